//! The one writer: a task that owns the only writing connection, takes what has queued up, carries it out in one
//! transaction with a savepoint for each job, commits, and only then answers (group commit: one flush of the disk for
//! up to [`BATCH`] verbs). Hides batching and recovery; never answers "done" for work that is not on disk.
//!
//! One of the documented places that spawn: the connection must outlive any verb's future, so that a caller who goes
//! away in the middle cannot leave a transaction half done.

use super::{Conn, Opener, dialect};
use crate::sqlite::DirectoryLock;
use crate::{AdmitError, CampaignError, StoreError};
use std::pin::Pin;
use tokio::sync::{mpsc, oneshot};

/// Verbs that wait to be carried out. More than this and the caller waits: the queue is two or three commits long.
const QUEUE: usize = 256;
/// Verbs in one commit. Larger groups gain little and make the first of the group wait for the last.
const BATCH: usize = 64;

/// A verb under way on the writing connection.
pub(crate) type Running<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// Hands jobs to the writer's task.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Order>,
}

/// The error type of a job.
pub(crate) trait Failure: From<StoreError> + Send + 'static {
    /// The store's own error within, when it is that.
    fn store(&self) -> Option<&StoreError>;
}

impl Failure for StoreError {
    fn store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl Failure for CampaignError {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Unknown | Self::Illegal(_) | Self::State(_) | Self::Empty | Self::Importing => None,
        }
    }
}

impl Failure for AdmitError {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Refused(_) | Self::IdempotencyMismatch => None,
        }
    }
}

impl Writer {
    /// Starts the task. It ends, and gives `lock` free, after [`Writer::close`] or when every clone is dropped.
    pub(crate) fn start(conn: Conn, opener: Opener, lock: DirectoryLock) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE);
        tokio::spawn(WriterTask { conn, opener, orders, lock }.run());
        Self { queue }
    }

    /// Queues `task` and waits until the transaction it was part of is committed or undone.
    pub(crate) async fn write<F, T, E>(&self, task: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> Running<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Work { task: Some(task), outcome: None, answer });
        self.queue.send(Order::Work(job)).await.map_err(|_| E::from(StoreError::Closed))?;
        answered.await.unwrap_or_else(|_| Err(E::from(StoreError::Closed)))
    }

    /// Ends the task after what is queued; returns when the directory is free.
    pub(crate) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.queue.send(Order::Close(done)).await.is_ok() {
            // An error means the task is gone already, which is what was asked for.
            ended.await.unwrap_or_default();
        }
    }
}

enum Order {
    Work(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// What is to become of a job's savepoint.
enum Verdict {
    Keep,
    Undo,
    /// The database may have undone everything: the whole batch fails.
    Spoilt(StoreError),
}

trait Job: Send {
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> Running<'c, Verdict>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Work<F, T, E> {
    task: Option<F>,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Work<F, T, E>
where
    F: for<'c> FnOnce(&'c mut Conn) -> Running<'c, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Failure,
{
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> Running<'c, Verdict> {
        Box::pin(async move {
            let Some(task) = self.task.take() else { return Verdict::Undo };
            let outcome = task(conn).await;
            let verdict = match &outcome {
                Ok(_) => Verdict::Keep,
                Err(error) => match error.store() {
                    Some(error) if error.spoils_batch() => Verdict::Spoilt(error.clone()),
                    _ => Verdict::Undo,
                },
            };
            self.outcome = Some(outcome);
            verdict
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(E::from(StoreError::Closed)),
            (Err(error), _) => Err(E::from(error)),
        };
        if self.answer.send(outcome).is_err() {
            tracing::debug!("a verb was carried out after its caller went away");
        }
    }
}

struct WriterTask {
    conn: Conn,
    opener: Opener,
    orders: mpsc::Receiver<Order>,
    lock: DirectoryLock,
}

impl WriterTask {
    async fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH);
        let mut closers = Vec::new();
        while self.orders.recv_many(&mut taken, BATCH).await > 0 {
            let mut batch = Vec::with_capacity(taken.len());
            for order in taken.drain(..) {
                match order {
                    Order::Work(job) => batch.push(job),
                    Order::Close(done) => {
                        self.orders.close();
                        closers.push(done);
                    }
                }
            }
            self.settle(batch).await;
        }
        self.end(closers).await;
    }

    async fn settle(&mut self, mut batch: Vec<Box<dyn Job>>) {
        if batch.is_empty() {
            return;
        }
        let committed = self.commit(&mut batch).await;
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = batch.len(), "a commit failed; its verbs are refused");
            self.recover().await;
        }
        for job in batch {
            job.answer(committed.clone());
        }
    }

    async fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        self.conn.batch(dialect::begin(self.conn.backend())).await?;
        for job in batch {
            self.conn.batch("SAVEPOINT job").await?;
            match job.run(&mut self.conn).await {
                Verdict::Keep => {}
                Verdict::Undo => {
                    self.conn.batch("ROLLBACK TO SAVEPOINT job").await?;
                }
                Verdict::Spoilt(error) => return Err(error),
            }
            self.conn.batch("RELEASE SAVEPOINT job").await?;
        }
        self.conn.batch("COMMIT").await?;
        Ok(())
    }

    /// After a failed batch. The database may have ended the transaction by itself, so a refused ROLLBACK is no news,
    /// but the connection's state is then in doubt and a fresh one takes its place.
    async fn recover(&mut self) {
        if self.conn.batch("ROLLBACK").await.is_ok() {
            return;
        }
        match self.opener.connect().await {
            Ok(fresh) => self.conn = fresh,
            Err(error) => tracing::error!(%error, "the database cannot be opened again; trying with the next verb"),
        }
    }

    async fn end(mut self, closers: Vec<oneshot::Sender<()>>) {
        dialect::tidy_up(&mut self.conn).await;
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "the database did not close cleanly; it recovers when it is next opened");
        }
        drop(self.lock);
        for done in closers {
            // Nobody waiting any more is fine: the store is closed either way.
            done.send(()).unwrap_or_default();
        }
    }
}
