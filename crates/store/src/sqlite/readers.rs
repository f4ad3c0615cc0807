//! The connections that read: a few, opened when they are first needed, used by threads that may wait for a disk. In a
//! simulation one, on the thread of whoever asks, so that nothing else of a simulated node goes on meanwhile. Hides
//! which; never writes. One of the documented places that spawn: a read must not hold up a thread that others wait for.

use super::connection::{Connection, Options};
use super::disk::Disk;
use crate::StoreError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections that read. Reads are short; more of them would only compete for the processor.
const READERS: usize = 4;
/// Longest wait for a reading connection before a read fails.
const READ_WAIT: Duration = Duration::from_secs(5);

/// Reads from the file.
#[derive(Clone)]
pub(crate) struct Readers {
    shelf: Arc<Shelf>,
    places: Arc<Semaphore>,
    /// In simulations.
    disk: Option<Arc<dyn Disk>>,
}

/// Connections that nobody uses just now.
struct Shelf {
    options: Options,
    idle: Mutex<Vec<Connection>>,
}

impl Shelf {
    /// Carries `work` out on a connection. One whose work panics is not put back.
    fn read<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let kept = self.idle().pop();
        let mut conn = kept.map_or_else(|| self.options.connect(), Ok)?;
        let outcome = work(&mut conn);
        self.idle().push(conn);
        outcome
    }

    // Nothing that holds the lock can panic half-way through a change.
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    /// Readers of a file, over a simulated disk if there is one.
    pub(crate) fn new(options: Options, disk: Option<Arc<dyn Disk>>) -> Self {
        let shelf = Arc::new(Shelf { options, idle: Mutex::default() });
        Self { shelf, places: Arc::new(Semaphore::new(READERS)), disk }
    }

    /// Carries `work` out where waiting for a disk holds nobody up.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(disk) = &self.disk {
            disk.before_read().await?;
            return self.shelf.read(work);
        }
        let place = match timeout(READ_WAIT, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(StoreError::Closed),
            Err(_) => return Err(StoreError::Away { detail: "no connection was free in time".into() }),
        };
        let shelf = Arc::clone(&self.shelf);
        let read = move || {
            let outcome = shelf.read(work);
            drop(place);
            outcome
        };
        match tokio::task::spawn_blocking(read).await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => Err(StoreError::Database { detail: "a read panicked".into() }),
            Err(_) => Err(StoreError::Closed),
        }
    }
}
