//! A database that is away when a test says so, for what a node does meanwhile. Everything else about it is real.

use callwright_store::{Disk, DiskTime, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};

/// A database that answers, or does not. A node over it needs a directory ([`crate::NodeBuilder::data`]).
#[derive(Debug, Default)]
pub struct MovingDatabase(AtomicBool);

impl MovingDatabase {
    /// From now on nothing is read or written, until [`MovingDatabase::come_back`].
    pub fn go_away(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// It answers again.
    pub fn come_back(&self) {
        self.0.store(false, Ordering::SeqCst);
    }

    fn answer(&self) -> DiskTime<Result<(), StoreError>> {
        let is_away = self.0.load(Ordering::SeqCst);
        Box::pin(async move { if is_away { Err(StoreError::Away { detail: "by order".into() }) } else { Ok(()) } })
    }
}

impl Disk for MovingDatabase {
    fn before_commit(&self) -> DiskTime<Result<(), StoreError>> {
        self.answer()
    }

    fn after_commit(&self) -> DiskTime<()> {
        Box::pin(async {})
    }

    fn before_read(&self) -> DiskTime<Result<(), StoreError>> {
        self.answer()
    }
}
