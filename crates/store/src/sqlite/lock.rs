//! One process for one data directory. Hides the lock file; never waits for it.

use crate::StoreError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

const LOCK_FILE: &str = "lock";
/// Longest note read from a lock file.
const NOTE_MAX: u64 = 100;

/// Held while it lives; the operating system frees it when the process dies, however it dies.
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it.
    pub(crate) fn take(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(LOCK_FILE);
        let failed = |error: std::io::Error| StoreError::Directory { path: path.clone(), detail: error.to_string() };
        let mut file = super::private_file(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: directory.to_owned(), holder: note(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        write!(file, "process {}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn note(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(NOTE_MAX).read_to_string(&mut text) {
        Ok(n) if n > 0 => text,
        _ => "unknown process".to_owned(),
    }
}
