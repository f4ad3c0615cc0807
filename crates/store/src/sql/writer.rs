//! The writers: each owns a writing connection, takes what has queued up, carries it out in a transaction, commits, and
//! only then answers. Hides batching and recovery; never answers "done" for work that is not on disk.
//!
//! The embedded database has one writer, a thread, which puts everything that waits into one transaction with a savepoint
//! for each job (group commit: one flush of the disk for up to [`BATCH`] verbs); nothing is handed from thread to thread
//! within a group, which cost more than the statements. The shared database has several, which are tasks, and each
//! verb is a transaction of its own, so that no two can ever wait for each other; the server flushes for many sessions
//! at once by itself. Only verbs that lock the same row ([`Writer::write_for`]) share a transaction there: they would
//! have waited for each other's flush.
//!
//! One of the documented places that spawn: the connection must outlive any verb's future, so that a caller who goes
//! away in the middle cannot leave a transaction half done.

use super::gathered::Gathered;
use super::{Ask, Backend, Conn, Held, Opener, dialect};
use crate::calls::Undone;
use crate::sqlite::{DirectoryLock, Disk};
use crate::{AdmitError, CampaignError, StoreError};
use futures_util::FutureExt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Verbs that wait to be carried out. More than this and the caller waits: the queue is two or three commits long.
const QUEUE: usize = 256;
/// Verbs in one commit. Larger groups gain little and make the first of the group wait for the last.
const BATCH: usize = 64;
/// Longest that a transaction on a shared database may take before the database counts as away. What was under way then
/// may or may not be stored; its caller hears an error, and a repeat with the same idempotency key finds out.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest that a fresh connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// A verb under way on the writing connection.
pub(crate) type Running<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// Hands jobs to the writer's task.
#[derive(Clone)]
pub(crate) struct Writer {
    queues: Arc<[Queue]>,
    turn: Arc<AtomicUsize>,
}

/// A writer's.
struct Queue {
    orders: mpsc::Sender<Order>,
    /// Verbs that have not been answered.
    pending: AtomicUsize,
}

impl Queue {
    const fn new(orders: mpsc::Sender<Order>) -> Self {
        Self { orders, pending: AtomicUsize::new(0) }
    }
}

/// One of the verbs that a queue has not answered; until it goes.
struct Pending<'a>(&'a AtomicUsize);

impl<'a> Pending<'a> {
    fn of(queue: &'a Queue) -> Self {
        queue.pending.fetch_add(1, Ordering::Relaxed);
        Self(&queue.pending)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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

impl Failure for Undone {
    fn store(&self) -> Option<&StoreError> {
        self.why.error.store()
    }
}

impl Writer {
    /// Starts a task for each connection to a shared database. They end after [`Writer::close`] or when every clone is
    /// dropped.
    pub(crate) fn of_tasks(connections: Vec<Conn>, opener: Opener) -> Self {
        let opener = Arc::new(opener);
        let queues = connections.into_iter().map(|conn| {
            let (queue, task) = WriterTask::new(conn, Arc::clone(&opener), (None, None));
            tokio::spawn(task.run());
            Queue::new(queue)
        });
        Self { queues: queues.collect(), turn: Arc::default() }
    }

    /// Starts a thread for the connection to the embedded database, whose statements wait for the disk on the spot. It
    /// ends, and gives `lock` free, after [`Writer::close`] or when every clone is dropped.
    pub(crate) fn on_a_thread(conn: Conn, opener: Opener, lock: DirectoryLock) -> io::Result<Self> {
        let (queue, task) = WriterTask::new(conn, Arc::new(opener), (Some(lock), None));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        thread::Builder::new().name("store".into()).spawn(move || runtime.block_on(task.run()))?;
        Ok(Self { queues: Arc::new([Queue::new(queue)]), turn: Arc::default() })
    }

    /// The same as a task, over a disk that is simulated: nothing else of a simulated node goes on during a statement.
    pub(crate) fn simulated(conn: Conn, opener: Opener, (lock, disk): (DirectoryLock, Arc<dyn Disk>)) -> Self {
        let (queue, task) = WriterTask::new(conn, Arc::new(opener), (Some(lock), Some(disk)));
        tokio::spawn(task.run());
        Self { queues: Arc::new([Queue::new(queue)]), turn: Arc::default() }
    }

    /// Queues `task` and waits until the transaction it was part of is committed or undone.
    pub(crate) async fn write<F, T, E>(&self, task: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> Running<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let (answer, answered) = oneshot::channel();
        let lane = None;
        self.queue(lane, Box::new(Work { task: Once(Some(task)), ask: None, outcome: None, answer }), answered).await
    }

    /// As [`Writer::write`], for a verb of a lane: those that wait together share a transaction, in an order that is the
    /// same for all transactions, so that no two of them wait for each other. One that would have to lock out of this order
    /// is undone and carried out once more in a transaction of its own.
    pub(crate) async fn write_for<F, T, E>(&self, mut lane: Lane, task: F) -> Result<T, E>
    where
        F: for<'c> Fn(&'c mut Conn) -> Running<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let (answer, answered) = oneshot::channel();
        let (ask, lane) = (lane.ask.take(), Some(lane));
        self.queue(lane, Box::new(Work { task: Again(task), ask, outcome: None, answer }), answered).await
    }

    async fn queue<T, E: Failure>(
        &self,
        lane: Option<Lane>,
        job: Box<dyn Job>,
        answered: oneshot::Receiver<Result<T, E>>,
    ) -> Result<T, E> {
        let queue = self.queue_of(lane.as_ref()).ok_or_else(|| E::from(StoreError::Closed))?;
        let _pending = Pending::of(queue);
        queue.orders.send(Order::Work(Waiting { lane, job })).await.map_err(|_| E::from(StoreError::Closed))?;
        answered.await.unwrap_or_else(|_| Err(E::from(StoreError::Closed)))
    }

    /// Verbs of a lane meet in one queue. One without a lane goes where the fewest wait, in turn where that is the same:
    /// behind a lane that is never empty it would wait long, and keep everybody of that lane waiting while it is carried out.
    fn queue_of(&self, lane: Option<&Lane>) -> Option<&Queue> {
        let places = self.queues.len().max(1);
        if let Some(lane) = lane {
            // The low bits choose a queue; a number cut short on a small machine chooses as well.
            return self.queues.get(usize::try_from(lane.row & u64::from(u32::MAX)).unwrap_or_default() % places);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % places;
        let (before, after) = self.queues.split_at_checked(turn)?;
        after.iter().chain(before).min_by_key(|queue| queue.pending.load(Ordering::Relaxed))
    }

    /// Ends the tasks after what is queued; returns when the directory is free.
    pub(crate) async fn close(&self) {
        for queue in self.queues.iter() {
            let (done, ended) = oneshot::channel();
            if queue.orders.send(Order::Close(done)).await.is_ok() {
                // An error means the task is gone already, which is what was asked for.
                ended.await.unwrap_or_default();
            }
        }
    }
}

/// Verbs of one transaction.
type Group = Vec<Box<dyn Job>>;

/// What a verb locks: the row that it locks first, as a digest, and what it may lock after that, by name.
pub(crate) struct Lane {
    row: u64,
    then: (String, String),
    /// What it will ask for, which others of the lane may ask for with it.
    ask: Option<Box<Ask>>,
}

impl Lane {
    /// The lane of verbs that lock `row`, and then what `first` and `second` name.
    pub(crate) fn of(row: impl Hash, (first, second): (&str, &str)) -> Self {
        let mut hasher = DefaultHasher::new();
        row.hash(&mut hasher);
        Self { row: hasher.finish(), then: (first.to_owned(), second.to_owned()), ask: None }
    }

    /// Of a verb that will ask `ask`.
    pub(crate) fn asking(self, ask: Ask) -> Self {
        Self { ask: Some(Box::new(ask)), ..self }
    }
}

struct Waiting {
    lane: Option<Lane>,
    job: Box<dyn Job>,
}

enum Order {
    Work(Waiting),
    Close(oneshot::Sender<()>),
}

/// What is to become of a job's savepoint.
enum Verdict {
    Keep,
    Undo,
    /// It is to be carried out again in another transaction.
    Apart,
    /// The database may have undone everything: the whole batch fails.
    Spoilt(StoreError),
}

trait Job: Send {
    /// Whether it can be carried out again once it was undone.
    fn is_repeatable(&self) -> bool;
    /// What it will ask for.
    fn ask(&self) -> Option<&Ask>;
    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> Running<'c, Verdict>;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// What a job does, once or as often as it is told.
trait Task<T, E>: Send + 'static {
    /// Whether it may begin more than once.
    const REPEATABLE: bool;
    fn begin<'c>(&mut self, conn: &'c mut Conn) -> Option<Running<'c, Result<T, E>>>;
}

struct Once<F>(Option<F>);

struct Again<F>(F);

impl<F, T, E> Task<T, E> for Once<F>
where
    F: for<'c> FnOnce(&'c mut Conn) -> Running<'c, Result<T, E>> + Send + 'static,
{
    const REPEATABLE: bool = false;

    fn begin<'c>(&mut self, conn: &'c mut Conn) -> Option<Running<'c, Result<T, E>>> {
        self.0.take().map(|task| task(conn))
    }
}

impl<F, T, E> Task<T, E> for Again<F>
where
    F: for<'c> Fn(&'c mut Conn) -> Running<'c, Result<T, E>> + Send + 'static,
{
    const REPEATABLE: bool = true;

    fn begin<'c>(&mut self, conn: &'c mut Conn) -> Option<Running<'c, Result<T, E>>> {
        Some((self.0)(conn))
    }
}

struct Work<K, T, E> {
    task: K,
    ask: Option<Box<Ask>>,
    outcome: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<K, T, E> Job for Work<K, T, E>
where
    K: Task<T, E>,
    T: Send + 'static,
    E: Failure,
{
    fn is_repeatable(&self) -> bool {
        K::REPEATABLE
    }

    fn ask(&self) -> Option<&Ask> {
        self.ask.as_deref()
    }

    fn run<'c>(&'c mut self, conn: &'c mut Conn) -> Running<'c, Verdict> {
        Box::pin(async move {
            let Some(task) = self.task.begin(conn) else { return Verdict::Undo };
            let outcome = task.await;
            let verdict = match &outcome {
                Ok(_) => Verdict::Keep,
                Err(error) => match error.store() {
                    Some(StoreError::Apart) => Verdict::Apart,
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

/// Whether the connection can be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// It broke in the middle of something: a fresh one must take its place first.
    Broken,
}

struct WriterTask {
    conn: Conn,
    opener: Arc<Opener>,
    orders: mpsc::Receiver<Order>,
    health: Health,
    lock: Option<DirectoryLock>,
    /// In simulations.
    disk: Option<Arc<dyn Disk>>,
}

impl WriterTask {
    fn new(
        conn: Conn,
        opener: Arc<Opener>,
        (lock, disk): (Option<DirectoryLock>, Option<Arc<dyn Disk>>),
    ) -> (mpsc::Sender<Order>, Self) {
        let (queue, orders) = mpsc::channel(QUEUE);
        (queue, Self { conn, opener, orders, health: Health::Good, lock, disk })
    }

    async fn run(mut self) {
        let mut taken = Vec::with_capacity(BATCH);
        let mut closers = Vec::new();
        while self.orders.recv_many(&mut taken, BATCH).await > 0 {
            let mut batch = Vec::with_capacity(taken.len());
            for order in taken.drain(..) {
                match order {
                    Order::Work(waiting) => batch.push(waiting),
                    Order::Close(done) => {
                        self.orders.close();
                        closers.push(done);
                    }
                }
            }
            let mut away = None;
            for group in groups(batch, self.conn.backend()) {
                away = self.settle(group, away).await;
            }
        }
        self.end(closers).await;
    }

    /// Carries a group out, in as many transactions as it needs, or refuses it by `away`: what came at the same time as a
    /// group for which there was no connection need not wait for the next try in its turn. Gives that on when there is none.
    async fn settle(&mut self, mut batch: Group, mut away: Option<StoreError>) -> Option<StoreError> {
        while !batch.is_empty() {
            (batch, away) = self.settle_first(batch, away).await;
        }
        away
    }

    /// The same with those of a group that go into the first transaction; the others come back.
    async fn settle_first(&mut self, mut batch: Group, away: Option<StoreError>) -> (Group, Option<StoreError>) {
        let connected = match away {
            Some(error) => Err(error),
            None => self.mend().await,
        };
        let refused = connected.as_ref().err().cloned();
        let committed = match connected {
            Ok(()) => {
                // A verb that panics costs its group and the connection; without this it would cost everybody the store.
                let outcome = AssertUnwindSafe(self.commit_in_time(&mut batch)).catch_unwind().await;
                outcome.unwrap_or_else(|_| {
                    self.health = Health::Broken;
                    Err(StoreError::Database { detail: "a verb panicked".into() })
                })
            }
            Err(error) => Err(error),
        };
        let rest = batch.split_off(committed.as_ref().map_or(batch.len(), |done| *done));
        let committed = committed.map(|_| ());
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = batch.len(), "a commit failed; its verbs are refused");
            self.recover().await;
        } else {
            dialect::after_commit(&mut self.conn);
        }
        if let Some(disk) = &self.disk {
            disk.after_commit().await;
        }
        for job in batch {
            job.answer(committed.clone());
        }
        (rest, refused)
    }

    /// How many jobs are done with; the others want a transaction of their own.
    async fn commit_in_time(&mut self, batch: &mut [Box<dyn Job>]) -> Result<usize, StoreError> {
        if let Some(disk) = &self.disk {
            disk.before_commit().await?;
        }
        match self.conn.backend() {
            // A disk may stall for long, and nothing but waiting helps.
            Backend::Sqlite => self.commit(batch).await,
            Backend::Postgres => {
                let outcome = timeout(PATIENCE, self.commit(batch)).await;
                outcome.unwrap_or_else(|_| {
                    self.health = Health::Broken;
                    Err(StoreError::Away { detail: "it did not answer in time".into() })
                })
            }
        }
    }

    /// A fresh connection in place of one that broke.
    async fn mend(&mut self) -> Result<(), StoreError> {
        if self.health == Health::Good {
            return Ok(());
        }
        let fresh = timeout(CONNECT, self.opener.connect()).await;
        self.conn =
            fresh.unwrap_or_else(|_| Err(StoreError::Away { detail: "no connection could be made in time".into() }))?;
        self.health = Health::Good;
        Ok(())
    }

    /// Savepoints cost a question each, and verbs that can be carried out again hardly ever want to be undone: a group of
    /// them goes without at first.
    async fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<usize, StoreError> {
        let repeatable = batch.len() > 1 && batch.iter().all(|job| job.is_repeatable());
        if repeatable && self.commit_as_one(batch).await? {
            return Ok(batch.len());
        }
        self.commit_each(batch).await
    }

    /// All or none; `false`: one of them wants to be undone, and all are. They ask and write together.
    async fn commit_as_one(&mut self, batch: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
        self.gather(Gathered::of(batch.iter().filter_map(|job| job.ask().cloned()).collect()));
        let committed = self.all_or_none(batch).await;
        self.gather(Gathered::default());
        committed
    }

    async fn all_or_none(&mut self, batch: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
        self.hold(Held::default());
        self.conn.bracket(&[dialect::begin(self.conn.backend())]).await?;
        for job in batch.iter_mut() {
            match job.run(&mut self.conn).await {
                Verdict::Keep => {}
                Verdict::Undo | Verdict::Apart => return self.conn.bracket(&["ROLLBACK"]).await.map(|()| false),
                Verdict::Spoilt(error) => return Err(error),
            }
        }
        match self.conn.write_gathered().await {
            Ok(()) => self.conn.bracket(&["COMMIT"]).await.map(|()| true),
            Err(error @ (StoreError::Away { .. } | StoreError::Full)) => Err(error),
            // Whose row it was shows when each is carried out by itself.
            Err(_) => self.conn.bracket(&["ROLLBACK"]).await.map(|()| false),
        }
    }

    /// Each to be undone by itself. A verb alone needs no savepoint: undoing it is undoing the transaction.
    async fn commit_each(&mut self, batch: &mut [Box<dyn Job>]) -> Result<usize, StoreError> {
        let alone = batch.len() == 1;
        let mut done = batch.len();
        self.hold(Held::default());
        let opening = dialect::begin(self.conn.backend());
        if alone {
            self.conn.bracket(&[opening]).await?;
        } else {
            self.conn.bracket(&[opening, "SAVEPOINT job"]).await?;
        }
        for (place, job) in batch.iter_mut().enumerate() {
            if place > 0 {
                self.conn.bracket(&["RELEASE SAVEPOINT job", "SAVEPOINT job"]).await?;
            }
            let held = self.conn.held().cloned().unwrap_or_default();
            match job.run(&mut self.conn).await {
                Verdict::Keep => {}
                Verdict::Undo if alone => return self.conn.bracket(&["ROLLBACK"]).await.map(|()| done),
                Verdict::Undo => {
                    // What was locked since the savepoint is free again.
                    self.conn.bracket(&["ROLLBACK TO SAVEPOINT job"]).await?;
                    self.hold(held);
                }
                Verdict::Apart if place > 0 => {
                    self.conn.bracket(&["ROLLBACK TO SAVEPOINT job"]).await?;
                    done = place;
                    break;
                }
                Verdict::Apart => return Err(StoreError::Database { detail: "a verb locks out of order".into() }),
                Verdict::Spoilt(error) => return Err(error),
            }
        }
        self.conn.bracket(&["COMMIT"]).await.map(|()| done)
    }

    fn hold(&mut self, now: Held) {
        if let Some(held) = self.conn.held() {
            *held = now;
        }
    }

    fn gather(&mut self, now: Gathered) {
        if let Some(gathered) = self.conn.gathered() {
            *gathered = now;
        }
    }

    /// After a failed batch. The database may have ended the transaction by itself, so a refused ROLLBACK is no news,
    /// but the connection's state is then in doubt and a fresh one takes its place.
    async fn recover(&mut self) {
        if self.health == Health::Broken {
            return;
        }
        let undone = timeout(CONNECT, self.conn.bracket(&["ROLLBACK"])).await;
        if !matches!(undone, Ok(Ok(()))) {
            self.health = Health::Broken;
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

/// What goes into one transaction each: everything on the embedded database; on a shared one only what is of one lane.
fn groups(batch: Vec<Waiting>, backend: Backend) -> Vec<Group> {
    let mut groups: Vec<Vec<Waiting>> = Vec::new();
    for waiting in batch {
        let open = match (backend, &waiting.lane) {
            (Backend::Sqlite, _) => groups.first_mut(),
            (Backend::Postgres, None) => None,
            (Backend::Postgres, Some(lane)) => {
                let row = Some(lane.row);
                groups.iter_mut().find(|group| group.iter().all(|of| of.lane.as_ref().map(|of| of.row) == row))
            }
        };
        match open {
            Some(group) => group.push(waiting),
            None => groups.push(vec![waiting]),
        }
    }
    if backend == Backend::Postgres {
        let then = |waiting: &Waiting| waiting.lane.as_ref().map(|lane| lane.then.clone());
        groups.iter_mut().for_each(|group| group.sort_by_cached_key(then));
    }
    groups.into_iter().map(|group| group.into_iter().map(|waiting| waiting.job).collect()).collect()
}
