//! Recordings: files in one flat directory, readable by the owner alone. Hides paths and permissions; a name can never
//! lead out of the directory. Never looks into a file, and never says whose it is: the call that names it does.

use callwright_domain::CallId;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
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
    /// The open file, at its beginning.
    pub file: File,
    /// Its length in bytes when it was opened; one that is being written may have grown.
    pub length: u64,
}

/// The directory of recordings.
#[derive(Debug, Clone)]
pub struct Recordings {
    directory: PathBuf,
}

impl Recordings {
    /// Opens the directory, making it when it is absent.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn open(directory: PathBuf) -> Result<Self, BlobError> {
        crate::sqlite::make_directory(&directory).map_err(|error| BlobError::Io(io::Error::other(error)))?;
        Ok(Self { directory })
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
    /// [`BlobError::Missing`].
    pub fn read(&self, name: &BlobName) -> Result<Blob, BlobError> {
        let path = self.path(name);
        // A link could lead out of the directory.
        if !fs::symlink_metadata(&path)?.is_file() {
            return Err(BlobError::Missing);
        }
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        Ok(Blob { file, length })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
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
        kept.file.read_to_string(&mut text).unwrap();
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
