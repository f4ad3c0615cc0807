//! The embedded database without threads of its own, for simulations: each statement is carried out on the thread of
//! whoever asks, whole, so that nothing else of a simulated node goes on meanwhile and the same node does the same
//! again. What a disk does to it is played by a [`Disk`]. Hides how a statement is waited for; never used by the server.

use crate::StoreError;
use sqlx::SqliteConnection;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk does, in the simulation's own time.
pub type DiskTime<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The disk under a simulated store.
pub trait Disk: Send + Sync {
    /// Before a transaction begins: a node that dies meanwhile has stored nothing of it. An error refuses all of it.
    fn before_commit(&self) -> DiskTime<Result<(), StoreError>>;
    /// After it is stored and before anybody hears so: a node that dies meanwhile has stored it and told nobody.
    fn after_commit(&self) -> DiskTime<()>;
    /// Before a read.
    fn before_read(&self) -> DiskTime<()>;
}

/// Carries `work` out whole. The budget of the task that asks does not apply: it could never be renewed meanwhile.
pub(crate) fn whole<T>(work: impl Future<Output = T>) -> T {
    futures_executor::block_on(tokio::task::unconstrained(work))
}

/// The one connection that reads.
#[derive(Clone)]
pub(crate) struct Reads {
    conn: Arc<Mutex<SqliteConnection>>,
    disk: Arc<dyn Disk>,
}

impl Reads {
    pub(crate) fn new(conn: SqliteConnection, disk: Arc<dyn Disk>) -> Self {
        Self { conn: Arc::new(Mutex::new(conn)), disk }
    }

    /// Waits for the disk.
    pub(crate) async fn turn(&self) {
        self.disk.before_read().await;
    }

    // A statement that panicked has left the connection as it was: sqlx resets it before the next.
    pub(crate) fn lock(&self) -> MutexGuard<'_, SqliteConnection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
