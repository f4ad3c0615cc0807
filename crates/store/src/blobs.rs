//! Recordings: files in one flat directory, readable by the owner alone and sealed when there is a key ([`crate::sealed`]).
//! Where there is an object store ([`crate::remote`]), the directory holds what is being recorded and what is on its way
//! there. Hides paths, permissions, whether a file is sealed and where it is; a name can never lead out of the directory.
//! Never looks into a file, and never says whose it is: the call that names it does.

use crate::Keyring;
use crate::remote::Remote;
use crate::sealed::{self, Opened, Source, Unsealed};
use callwright_domain::CallId;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// Longest name.
const NAME_MAX: usize = 128;

/// The name of a recording: 1 to 128 of `a-z A-Z 0-9 - _ .`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName(String);

impl BlobName {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`BlobError::Name`].
    pub fn new(text: impl Into<String>) -> Result<Self, BlobError> {
        let text = text.into();
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if text.is_empty() || text.len() > NAME_MAX || text.starts_with('.') || !plain {
            return Err(BlobError::Name);
        }
        Ok(Self(text))
    }

    /// The name of a call's recording.
    pub fn of_call(call: CallId) -> Self {
        Self(format!("{call}.wav"))
    }

    /// The call whose recording is called so; none: no call's is.
    pub fn call(&self) -> Option<CallId> {
        self.0.strip_suffix(".wav")?.parse().ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BlobName {
    type Err = BlobError;

    fn from_str(text: &str) -> Result<Self, BlobError> {
        Self::new(text)
    }
}

/// Why a recording could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Not the shape of a name.
    #[error("a recording's name is 1 to 128 of a-z A-Z 0-9 - _ . and does not begin with a dot")]
    Name,
    /// No recording of this name.
    #[error("no recording of this name exists")]
    Missing,
    /// A recording of this name exists already.
    #[error("a recording of this name exists already")]
    Exists,
    /// The disk is full.
    #[error("the recordings' disk is full")]
    Full,
    /// Sealed with a key that is not among the configured ones.
    #[error("the recording is sealed with the key {key:?}, which is not configured")]
    Locked {
        /// The key's id.
        key: String,
    },
    /// Sealed with another key than the configured one of that name.
    #[error("the recording key {key:?} is not the key of that name that recordings were sealed with")]
    OtherKey {
        /// The key's id.
        key: String,
    },
    /// The object store cannot be reached, or cannot do it now.
    #[error("the store of the recordings fails: {detail}")]
    Away {
        /// What it or the way to it says.
        detail: String,
    },
    /// The object store does not let us.
    #[error("the store of the recordings refuses the key; check its name, its secret and its rights")]
    Denied,
    /// It is being sent or removed right now.
    #[error("the recording is being moved")]
    Busy,
    /// The operating system said no.
    #[error("the recordings' directory failed: {0}")]
    Io(io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// A fresh recording to be written.
#[derive(Debug)]
pub struct Fresh {
    /// The open file.
    pub file: File,
    /// Where it is, for a writer that opens files itself.
    pub path: PathBuf,
}

/// A recording to be read.
#[derive(Debug)]
pub struct Blob {
    /// What it holds, at its beginning.
    pub content: Content,
    /// Its length in bytes when it was opened; one that is being written may have grown.
    pub length: u64,
}

/// What a recording holds, whether its file is sealed or not.
pub struct Content(Inside);

enum Inside {
    /// As it lies on disk.
    Plain(Box<dyn Source>),
    /// Unsealed while it is read.
    Sealed(Box<Unsealed>),
}

impl Content {
    /// Whether it lies sealed.
    pub const fn is_sealed(&self) -> bool {
        matches!(self.0, Inside::Sealed(_))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("sealed", &self.is_sealed()).finish_non_exhaustive()
    }
}

impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inside::Plain(source) => source.read(out),
            Inside::Sealed(source) => source.read(out),
        }
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            Inside::Plain(source) => source.seek(to),
            Inside::Sealed(source) => source.seek(to),
        }
    }
}

/// What became of a recording that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The store has it, and the directory not any more.
    Moved,
    /// It is not in the directory, or nobody knows a store.
    NotHere,
}

/// The directory of recordings.
#[derive(Debug, Clone)]
pub struct Recordings {
    directory: PathBuf,
    keys: Keyring,
    remote: Option<Remote>,
    /// What is being sent or removed: never both at once, so that nothing is sent that was removed.
    moving: Arc<Mutex<BTreeSet<BlobName>>>,
}

/// The right to send or to remove one recording.
struct Claim {
    moving: Arc<Mutex<BTreeSet<BlobName>>>,
    name: BlobName,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Recordings {
    /// Opens the directory, making it when it is absent.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn open(directory: PathBuf) -> Result<Self, BlobError> {
        crate::sqlite::make_directory(&directory).map_err(|error| BlobError::Io(io::Error::other(error)))?;
        Ok(Self { directory, keys: Keyring::default(), remote: None, moving: Arc::default() })
    }

    /// The same directory with keys: new recordings are sealed with the current one, if there is one, and those that were
    /// sealed with any of them can be read. A key that was used here before and is not among them is told in the log.
    ///
    /// # Errors
    /// [`BlobError::OtherKey`] when a name stands for another key than before; [`BlobError::Io`].
    pub fn with_keys(self, keys: Keyring) -> Result<Self, BlobError> {
        for key in keys.acquaint(&self.directory)? {
            tracing::warn!(key, "recordings were sealed with a key that is not configured; they cannot be read");
        }
        Ok(Self { keys, ..self })
    }

    /// The same directory, whose complete recordings go to this store.
    #[must_use]
    pub fn with_remote(self, remote: Remote) -> Self {
        Self { remote: Some(remote), ..self }
    }

    /// Whether there is a store that recordings go to.
    pub const fn has_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// The keys.
    pub const fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// Makes a fresh recording that only the owner may read.
    ///
    /// # Errors
    /// [`BlobError::Exists`]; a recording is never written over.
    pub fn create(&self, name: &BlobName) -> Result<Fresh, BlobError> {
        let path = self.path(name);
        let file =
            crate::sqlite::private_file(OpenOptions::new().read(true).write(true).create_new(true)).open(&path)?;
        Ok(Fresh { file, path })
    }

    /// Opens a recording for reading, wherever it is. To be asked and read from a thread of `runtime` that may wait.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Locked`], [`BlobError::OtherKey`], [`BlobError::Away`], [`BlobError::Denied`],
    /// [`BlobError::Io`].
    pub fn read(&self, name: &BlobName, runtime: &Handle) -> Result<Blob, BlobError> {
        match (self.read_here(name), &self.remote) {
            // The store has it before it goes from here.
            (Err(BlobError::Missing), Some(remote)) => {
                let (file, stored) = remote.open(name, runtime.clone())?;
                unsealed(Box::new(file), stored, &self.keys)
            }
            (here, _) => here,
        }
    }

    fn read_here(&self, name: &BlobName) -> Result<Blob, BlobError> {
        let path = self.path(name);
        // A link could lead out of the directory.
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(BlobError::Missing);
        }
        open_file(&path, &self.keys)
    }

    /// Removes a recording from the directory and from the store. Repeating it is harmless.
    ///
    /// # Errors
    /// [`BlobError::Busy`] while it is being sent; [`BlobError::Away`], [`BlobError::Denied`], [`BlobError::Io`].
    pub async fn remove(&self, name: &BlobName) -> Result<(), BlobError> {
        let _claim = self.claim(name)?;
        self.remove_here(name).await?;
        match &self.remote {
            Some(remote) => remote.delete(name).await,
            None => Ok(()),
        }
    }

    /// Sends a complete recording to the store, and removes it from the directory once the store has all of it.
    ///
    /// # Errors
    /// [`BlobError::Busy`], [`BlobError::Away`], [`BlobError::Denied`], [`BlobError::Io`]; it is still here then.
    pub async fn send(&self, name: &BlobName) -> Result<Sent, BlobError> {
        let Some(remote) = &self.remote else { return Ok(Sent::NotHere) };
        let _claim = self.claim(name)?;
        match remote.put(name, &self.path(name)).await {
            Ok(()) => self.remove_here(name).await.map(|()| Sent::Moved),
            Err(BlobError::Missing) if !self.path(name).exists() => Ok(Sent::NotHere),
            // No bucket of that name.
            Err(BlobError::Missing) => Err(BlobError::Denied),
            Err(error) => Err(error),
        }
    }

    /// The recordings in the directory, in the order of their names: those that are being made, those that are to be sent,
    /// and what a crash left behind.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub async fn here(&self) -> Result<Vec<BlobName>, BlobError> {
        let directory = self.directory.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    found.extend(entry.file_name().to_str().and_then(|name| BlobName::new(name).ok()));
                }
            }
            found.sort_unstable();
            Ok(found)
        });
        work.await.map_err(|error| BlobError::Io(io::Error::other(error)))?
    }

    async fn remove_here(&self, name: &BlobName) -> Result<(), BlobError> {
        match tokio::fs::remove_file(self.path(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn claim(&self, name: &BlobName) -> Result<Claim, BlobError> {
        let mut moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if !moving.insert(name.clone()) {
            return Err(BlobError::Busy);
        }
        Ok(Claim { moving: Arc::clone(&self.moving), name: name.clone() })
    }

    /// Where a recording lies or would lie, for a writer that opens files itself.
    pub fn path(&self, name: &BlobName) -> PathBuf {
        self.directory.join(&name.0)
    }
}

/// Opens a recording that lies anywhere.
///
/// # Errors
/// [`BlobError::Missing`], [`BlobError::Locked`], [`BlobError::OtherKey`], [`BlobError::Io`].
pub fn open_file(path: &Path, keys: &Keyring) -> Result<Blob, BlobError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    unsealed(Box::new(file), length, keys)
}

/// What `stored` bytes hold, with the keys that there are.
fn unsealed(source: Box<dyn Source>, stored: u64, keys: &Keyring) -> Result<Blob, BlobError> {
    match sealed::open(source, stored, keys)? {
        Opened::Plain(source) => Ok(Blob { content: Content(Inside::Plain(source)), length: stored }),
        Opened::Sealed(source) => Ok(Blob { length: source.length(), content: Content(Inside::Sealed(source)) }),
        Opened::Locked(key) => Err(BlobError::Locked { key }),
        Opened::OtherKey(key) => Err(BlobError::OtherKey { key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn no_name_leads_out() {
        for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\\b", ".hidden", "a\0b", "é", &"x".repeat(129)] {
            assert!(BlobName::new(bad).is_err(), "{bad:?}");
        }
        assert!(BlobName::new("0123.wav").is_ok());
    }

    #[tokio::test]
    async fn written_once_read_back_private() {
        let directory = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(directory.path().join("recordings")).unwrap();
        let name = BlobName::of_call(CallId::from_entropy(7));
        assert!(matches!(recordings.read_here(&name), Err(BlobError::Missing)));
        let mut fresh = recordings.create(&name).unwrap();
        fresh.file.write_all(b"RIFF").unwrap();
        assert_eq!(fs::metadata(&fresh.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(recordings.create(&name), Err(BlobError::Exists)));
        let mut kept = recordings.read_here(&name).unwrap();
        let mut text = String::new();
        kept.content.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), kept.length), ("RIFF", 4));
        assert_eq!(recordings.here().await.unwrap(), std::slice::from_ref(&name));
        recordings.remove(&name).await.unwrap();
        recordings.remove(&name).await.expect("again is harmless");
        assert_eq!(recordings.here().await.unwrap(), []);
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(directory.path().to_owned()).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link.wav")).unwrap();
        assert!(matches!(recordings.read_here(&BlobName::new("link.wav").unwrap()), Err(BlobError::Missing)));
    }
}
