//! Whether the file of the database is whole. A small one is read before anything is written to it; a large one, of which a
//! disk that is not in memory gives some hundred megabytes a second, while it is in use already: a restart must not wait.

use super::{FILE_NAME, name_file};
use crate::StoreError;
use crate::sql::{Conn, Opener, query};
use std::path::{Path, PathBuf};
use std::{fs, thread};
use tokio::sync::oneshot;

/// A file up to this size is read before it is used.
const AT_ONCE_BYTES: u64 = 64 << 20;

/// A check that is still to be made.
pub struct Check {
    opener: Opener,
    file: PathBuf,
}

impl Check {
    /// Checks the file now when it is small, and else gives the check. `reading` opens it for what is done later.
    pub(super) async fn of(file: &Path, conn: &mut Conn, reading: Opener) -> Result<Option<Self>, StoreError> {
        if fs::metadata(file).map_or(0, |known| known.len()) <= AT_ONCE_BYTES {
            return whole(conn).await.map(|()| None);
        }
        Ok(Some(Self { opener: reading, file: file.to_owned() }))
    }

    /// Reads the whole file, on a thread of its own that nobody waits for when the server ends.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; others when the file could not be read.
    pub async fn run(self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| StoreError::Database { detail: error.to_string() })?;
        let read = move || {
            let outcome = runtime.block_on(async { whole(&mut self.opener.connect().await?).await });
            if answer.send(outcome.map_err(|error| name_file(error, &self.file))).is_err() {
                tracing::debug!("the server ended before its database was read whole");
            }
        };
        let begun = thread::Builder::new().name("check".into()).spawn(read);
        begun.map_err(|error| StoreError::Database { detail: error.to_string() })?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// Reads every page and cell of the file: never run on half a database.
pub(super) async fn whole(conn: &mut Conn) -> Result<(), StoreError> {
    let rows = query("PRAGMA quick_check(5)").fetch_all(conn).await?;
    let findings = rows.iter().map(|row| row.read(0)).collect::<Result<Vec<String>, StoreError>>()?;
    match findings.first() {
        Some(first) if first != "ok" => {
            Err(StoreError::Corrupt { path: PathBuf::from(FILE_NAME), detail: findings.join("; ") })
        }
        _ => Ok(()),
    }
}
