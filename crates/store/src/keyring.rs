//! The keys that recordings are sealed with, by name. Hides them from every print, and notices when a name stands for
//! another key than it did before. Never writes a key down: what is kept of one is a fingerprint that tells nothing of it.

use crate::BlobError;
use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::Pii;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Longest id of a key.
const ID_MAX: usize = 32;
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes that tell whether a key is the one that a file was sealed with.
pub(crate) const CHECK: usize = 16;
/// What is known of the keys that recordings were ever sealed with: a line each, the id and the fingerprint. No
/// recording's name begins with a dot.
const KNOWN: &str = ".keys";

/// The keys that recordings are sealed with. Prints their ids only.
#[derive(Clone, Default)]
pub struct Keyring {
    current: Option<String>,
    keys: Arc<BTreeMap<String, [u8; KEY_BYTES]>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("current", &self.current).field("keys", &self.keys.keys()).finish()
    }
}

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFlaw {
    /// Not an id.
    #[error("{id:?}: the id of a key is 1 to 32 of a-z A-Z 0-9 - _ .")]
    Id {
        /// As it was given.
        id: String,
    },
    /// Not 32 bytes.
    #[error("{id}: a key is 32 random bytes in Base64 or hexadecimal; `openssl rand -base64 32` makes one")]
    Shape {
        /// Which key.
        id: String,
    },
    /// The key for new recordings is not among the keys.
    #[error("no key is called {id:?}")]
    Unknown {
        /// The name that was given.
        id: String,
    },
}

impl Keyring {
    /// Keys by id, and the id of the one that new recordings get; empty: they are not sealed.
    ///
    /// # Errors
    /// [`KeyFlaw`]; it never holds a key.
    pub fn new<'k>(
        current: &str,
        keys: impl IntoIterator<Item = (&'k String, &'k Pii<String>)>,
    ) -> Result<Self, KeyFlaw> {
        let mut ring = BTreeMap::new();
        for (id, text) in keys {
            let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if id.is_empty() || id.len() > ID_MAX || !plain {
                return Err(KeyFlaw::Id { id: id.clone() });
            }
            let text = text.expose().trim();
            let bytes = hex::decode(text).ok().or_else(|| STANDARD.decode(text).ok());
            let key = bytes.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
            ring.insert(id.clone(), key.ok_or_else(|| KeyFlaw::Shape { id: id.clone() })?);
        }
        if !current.is_empty() && !ring.contains_key(current) {
            return Err(KeyFlaw::Unknown { id: current.to_owned() });
        }
        let current = (!current.is_empty()).then(|| current.to_owned());
        Ok(Self { current, keys: Arc::new(ring) })
    }

    /// The id of the key that new recordings get; none: they are not sealed.
    pub fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// The key of one file, and what tells that it is the right one.
    pub(crate) fn file_key(&self, id: &str, salt: &[u8]) -> Option<(LessSafeKey, [u8; CHECK])> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, self.keys.get(id)?);
        let own = hmac::sign(&master, salt);
        let key = UnboundKey::new(&AES_256_GCM, own.as_ref()).ok().map(LessSafeKey::new)?;
        let check = hmac::sign(&master, &[b"check", salt].concat());
        Some((key, *check.as_ref().first_chunk()?))
    }

    /// Compares the keys with those that this directory's recordings were sealed with before, and notes the current one.
    /// Gives the ids of keys that were used and are not there any more: what they sealed cannot be read.
    ///
    /// # Errors
    /// [`BlobError::OtherKey`] when a name stands for another key than before; [`BlobError::Io`].
    pub(crate) fn acquaint(&self, directory: &Path) -> Result<Vec<String>, BlobError> {
        let file = directory.join(KNOWN);
        let mut known = read_known(&file)?;
        for (id, seen) in &known {
            if self.fingerprint(id).is_some_and(|ours| ours != *seen) {
                return Err(BlobError::OtherKey { key: id.clone() });
            }
        }
        if let Some((id, print)) = self.current().and_then(|id| Some((id.to_owned(), self.fingerprint(id)?)))
            && !known.contains_key(&id)
        {
            known.insert(id, print);
            write_known(directory, &file, &known)?;
        }
        Ok(known.into_keys().filter(|id| !self.keys.contains_key(id)).collect())
    }

    fn fingerprint(&self, id: &str) -> Option<String> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, self.keys.get(id)?);
        let sign = hmac::sign(&master, b"callwright fingerprint of a recording key");
        Some(hex::encode(sign.as_ref().get(..CHECK)?))
    }
}

fn read_known(file: &Path) -> Result<BTreeMap<String, String>, BlobError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(BlobError::Io(error)),
    };
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs.map(|(id, print)| (id.to_owned(), print.to_owned())).collect())
}

/// In one piece: a crash leaves the old file or the new one.
fn write_known(directory: &Path, file: &Path, known: &BTreeMap<String, String>) -> Result<(), BlobError> {
    let text: String = known.iter().map(|(id, print)| format!("{id} {print}\n")).collect();
    let fresh = file.with_extension("new");
    let mut options = OpenOptions::new();
    let mut written = crate::sqlite::private_file(options.write(true).create(true).truncate(true)).open(&fresh)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&fresh, file)?;
    File::open(directory)?.sync_all()?;
    Ok(())
}
