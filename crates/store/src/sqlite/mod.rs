//! The embedded database: files, opening and checking, the one connection that writes and the few that read. The
//! statements are in [`crate::sql`]. Never seen outside the crate.

mod check;
mod connection;
mod disk;
mod lock;
mod readers;

pub use check::Check;
pub(crate) use connection::{Connection, Done, Line, Options, Value, Wanted};
pub use disk::{Disk, DiskTime};
pub(crate) use lock::DirectoryLock;
pub(crate) use readers::Readers;

use crate::StoreError;
use crate::blobs::Recordings;
use crate::sql::{Conn, Opener, Pool, Writer, dialect, leases, query, schema};
use crate::store::Base;
use callwright_domain::Moment;
use connection::Access;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The database's name within the data directory.
pub(crate) const FILE_NAME: &str = "callwright.db";
/// The path that stands for a store that vanishes.
pub(crate) const IN_MEMORY: &str = ":memory:";
const RECORDINGS: &str = "recordings";

/// Locks, checks and opens `path`, and begins a new epoch of `node`.
pub(crate) async fn open(path: &Path, node: &str, now: Moment) -> Result<Base, StoreError> {
    let scratch = (path == Path::new(IN_MEMORY)).then(|| Arc::new(Scratch::new()));
    let directory = scratch.as_ref().map_or(path, |scratch| &scratch.0);
    let access = if scratch.is_some() { Access::WriteLoosely } else { Access::WriteDurably };
    let prepared = prepare(directory, access, (node, now)).await?;
    let Prepared { lock, conn, opener, epoch, check } = prepared;
    let readers = Readers::new(Options::new(&directory.join(FILE_NAME), Access::Read), None);
    let recordings = recordings(directory)?;
    let writer = Writer::on_a_thread(conn, opener, lock)
        .map_err(|error| StoreError::Directory { path: directory.to_owned(), detail: error.to_string() })?;
    let directory = directory.to_owned();
    Ok(Base { directory, writer, readers: Pool::Sqlite(readers), recordings, epoch, check, scratch })
}

/// The same without threads of the database's own, over a disk that is simulated.
pub(crate) async fn open_simulated(
    directory: &Path,
    node: &str,
    (now, disk): (Moment, Arc<dyn Disk>),
) -> Result<Base, StoreError> {
    // A simulated crash ends the node, not the machine: what was written is there, flushed or not.
    let Prepared { lock, conn, opener, epoch, check } = prepare(directory, Access::WriteLoosely, (node, now)).await?;
    let readers = Readers::new(Options::new(&directory.join(FILE_NAME), Access::Read), Some(Arc::clone(&disk)));
    let recordings = recordings(directory)?;
    let writer = Writer::simulated(conn, opener, (lock, disk));
    let directory = directory.to_owned();
    Ok(Base { directory, writer, readers: Pool::Sqlite(readers), recordings, epoch, check, scratch: None })
}

fn recordings(directory: &Path) -> Result<Recordings, StoreError> {
    Recordings::open(directory.join(RECORDINGS))
        .map_err(|error| StoreError::Directory { path: directory.to_owned(), detail: error.to_string() })
}

/// A checked connection to a database whose directory the caller has locked, brought up to date.
pub(crate) async fn open_for_moving(file: &Path) -> Result<Conn, StoreError> {
    let mut conn = Opener::Sqlite(Options::new(file, Access::Write)).connect().await?;
    check::whole(&mut conn).await.map_err(|error| name_file(error, file))?;
    conn.batch(dialect::begin(conn.backend())).await?;
    schema::upgrade(&mut conn).await?;
    conn.batch("COMMIT").await?;
    Ok(conn)
}

/// A directory that is removed with the last reader of it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("callwright-scratch-{}-{count}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "a scratch directory was left behind");
        }
    }
}

/// Only the owner may read what is made: the database holds secrets and what people said.
pub(crate) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes a directory that only the owner may enter; one that exists is left as it is.
pub(crate) fn make_directory(path: &Path) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError::Directory { path: path.to_owned(), detail: error.to_string() })
}

/// The write-ahead log takes its permissions from the database file, so that one is made first, private.
fn make_file(path: &Path) -> Result<(), StoreError> {
    private_file(OpenOptions::new().write(true).create(true).truncate(false))
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::Directory { path: path.to_owned(), detail: error.to_string() })
}

/// A database that is ours, whole and up to date.
struct Prepared {
    lock: DirectoryLock,
    conn: Conn,
    opener: Opener,
    epoch: i64,
    check: Option<Check>,
}

async fn prepare(directory: &Path, access: Access, (node, now): (&str, Moment)) -> Result<Prepared, StoreError> {
    make_directory(directory)?;
    let lock = DirectoryLock::take(directory)?;
    let file = directory.join(FILE_NAME);
    make_file(&file)?;
    let opener = Opener::Sqlite(Options::new(&file, access));
    let begun = begin(&opener, &file, (node, now)).await;
    let (conn, epoch, check) = begun.map_err(|error| name_file(error, &file))?;
    Ok(Prepared { lock, conn, opener, epoch, check })
}

async fn begin(
    opener: &Opener,
    file: &Path,
    (node, now): (&str, Moment),
) -> Result<(Conn, i64, Option<Check>), StoreError> {
    let mut conn = opener.connect().await?;
    let reading = Opener::Sqlite(Options::new(file, Access::Read));
    let check = Check::of(file, &mut conn, reading).await?;
    conn.batch(dialect::begin(conn.backend())).await?;
    schema::upgrade(&mut conn).await?;
    refuse_moved(&mut conn, file).await?;
    let epoch = leases::begin_epoch(&mut conn, (node, ""), now).await?;
    conn.batch("COMMIT").await?;
    Ok((conn, epoch, check))
}

/// Whoever went on with what was moved would dial its calls again.
pub(crate) async fn refuse_moved(conn: &mut Conn, file: &Path) -> Result<(), StoreError> {
    match query("SELECT destination FROM moved LIMIT 1").fetch_optional(conn).await? {
        None => Ok(()),
        Some(row) => Err(StoreError::Moved { path: file.to_owned(), destination: row.read("destination")? }),
    }
}

fn name_file(error: StoreError, file: &Path) -> StoreError {
    match error {
        StoreError::Corrupt { detail, .. } => StoreError::Corrupt { path: file.to_owned(), detail },
        other => other,
    }
}

#[cfg(test)]
mod costs;
#[cfg(test)]
mod tests;
