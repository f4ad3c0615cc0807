//! What a disk does to the embedded database, played in a simulation's own time. Never used by the server.

use crate::StoreError;
use std::pin::Pin;

/// What a disk does, in the simulation's own time.
pub type DiskTime<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The disk under a simulated store.
pub trait Disk: Send + Sync {
    /// Before a transaction begins: a node that dies meanwhile has stored nothing of it. An error refuses all of it.
    fn before_commit(&self) -> DiskTime<Result<(), StoreError>>;
    /// After it is stored and before anybody hears so: a node that dies meanwhile has stored it and told nobody.
    fn after_commit(&self) -> DiskTime<()>;
    /// Before a read. An error refuses it.
    fn before_read(&self) -> DiskTime<Result<(), StoreError>>;
}
