//! Recordings: files in one flat directory, readable by the owner alone and sealed when there is a key ([`crate::sealed`]).
//! Hides paths, permissions and whether a file is sealed; a name can never lead out of the directory. Never looks into a
//! file, and never says whose it is: the call that names it does.

use crate::Keyring;
use crate::sealed::{self, Opened, Source, Unsealed};
use callwright_domain::CallId;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Longest name.
const NAME_MAX: usize = 128;

/// The name of a recording: 1 to 128 of `a-z A-Z 0-9 - _ .`, not beginning with a dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// The directory of recordings.
#[derive(Debug, Clone)]
pub struct Recordings {
    directory: PathBuf,
    keys: Keyring,
}

impl Recordings {
    /// Opens the directory, making it when it is absent.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn open(directory: PathBuf) -> Result<Self, BlobError> {
        crate::sqlite::make_directory(&directory).map_err(|error| BlobError::Io(io::Error::other(error)))?;
        Ok(Self { directory, keys: Keyring::default() })
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

    /// Opens a recording for reading.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Locked`], [`BlobError::OtherKey`], [`BlobError::Io`].
    pub fn read(&self, name: &BlobName) -> Result<Blob, BlobError> {
        let path = self.path(name);
        // A link could lead out of the directory.
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(BlobError::Missing);
        }
        open_file(&path, &self.keys)
    }

    /// Removes a recording; `false`: there was none.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn remove(&self, name: &BlobName) -> Result<bool, BlobError> {
        match fs::remove_file(self.path(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
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

    #[test]
    fn written_once_read_back_private() {
        let directory = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(directory.path().join("recordings")).unwrap();
        let name = BlobName::of_call(CallId::from_entropy(7));
        assert!(matches!(recordings.read(&name), Err(BlobError::Missing)));
        let mut fresh = recordings.create(&name).unwrap();
        fresh.file.write_all(b"RIFF").unwrap();
        assert_eq!(fs::metadata(&fresh.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(recordings.create(&name), Err(BlobError::Exists)));
        let mut kept = recordings.read(&name).unwrap();
        let mut text = String::new();
        kept.content.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), kept.length), ("RIFF", 4));
        assert!(recordings.remove(&name).unwrap());
        assert!(!recordings.remove(&name).unwrap());
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let recordings = Recordings::open(directory.path().to_owned()).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("link.wav")).unwrap();
        assert!(matches!(recordings.read(&BlobName::new("link.wav").unwrap()), Err(BlobError::Missing)));
    }
}
