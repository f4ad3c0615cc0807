//! Recordings in an object store that speaks S3. Hides the protocol, its signatures, and that a long file goes in parts.
//! Tries for seconds, never for long: whoever asks tries again. Never says a key, and never keeps a file of its own.

use crate::{BlobError, BlobName};
use bytes::Bytes;
use callwright_domain::Pii;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutPayload, RetryConfig,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take: a part at 150 kB/s.
const REQUEST: Duration = Duration::from_secs(60);
/// How often a request is repeated at once; longer trouble is for whoever asked.
const REPEATS: usize = 2;
/// How long such repeats may go on.
const REPEAT_TIME: Duration = Duration::from_secs(10);
/// A longer file goes in parts of this many bytes (S3 takes parts from 5 MiB); one is in memory at a time.
const PART: usize = 8 << 20;
/// Bytes that are fetched ahead of a reader: half a minute of a stereo recording at 8 kHz.
const AHEAD: u64 = 1 << 20;
/// Longest detail of a failure that is told.
const DETAIL: usize = 200;
/// What a check of the rights writes and removes. No recording's name begins with a dot.
const PROBE: &str = ".callwright-check";

/// Where the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteSettings {
    /// `https://host[:port]`; empty: Amazon's, of the region.
    pub endpoint: String,
    /// The bucket; it must exist.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The name of the key.
    pub access_key: Pii<String>,
    /// The key.
    pub secret_key: Pii<String>,
    /// What names begin with, such as `calls/`; may be empty.
    pub prefix: String,
    /// How the bucket is named in requests.
    pub addressing: Addressing,
}

/// How the bucket is named in requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// In the path: `https://host/bucket/name`.
    #[default]
    Path,
    /// In the host: `https://bucket.host/name`.
    Host,
}

/// An object store with recordings.
#[derive(Clone)]
pub struct Remote {
    store: Arc<AmazonS3>,
    prefix: String,
    /// What must not be told.
    secrets: [Pii<String>; 2],
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Remote {
    /// The store of these settings. Nothing is sent.
    ///
    /// # Errors
    /// [`BlobError::Away`] when the settings make no store; it says why.
    pub fn new(settings: &RemoteSettings) -> Result<Self, BlobError> {
        let secrets = [settings.secret_key.clone(), settings.access_key.clone()];
        let backoff = BackoffConfig::default();
        let options = ClientOptions::new()
            .with_allow_http(settings.endpoint.starts_with("http://"))
            .with_connect_timeout(CONNECT)
            .with_timeout(REQUEST);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_access_key_id(settings.access_key.expose())
            .with_secret_access_key(settings.secret_key.expose())
            .with_virtual_hosted_style_request(settings.addressing == Addressing::Host)
            // Many stores know no request for several at once.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { backoff, max_retries: REPEATS, retry_timeout: REPEAT_TIME })
            .with_client_options(options);
        if !settings.endpoint.is_empty() {
            builder = builder.with_endpoint(settings.endpoint.trim_end_matches('/'));
        }
        let store = builder.build().map_err(|error| fault(&error, &secrets))?;
        Ok(Self { store: Arc::new(store), prefix: settings.prefix.clone(), secrets })
    }

    /// Writes, reads and removes a small object: whether the store is there and lets us.
    ///
    /// # Errors
    /// [`BlobError::Away`], [`BlobError::Denied`].
    pub async fn check(&self) -> Result<(), BlobError> {
        let path = self.path(PROBE);
        let told = |error| self.fault(&error);
        self.store.put(&path, PutPayload::from_static(b"callwright")).await.map_err(told)?;
        let read = self.store.get(&path).await.map_err(told)?.bytes().await.map_err(told)?;
        self.store.delete(&path).await.map_err(told)?;
        if read.as_ref() == b"callwright" {
            Ok(())
        } else {
            Err(BlobError::Away { detail: String::from("it gave back other bytes than it was given") })
        }
    }

    /// Sends a file that does not change any more. When this returns `Ok`, the store has all of it.
    pub(crate) async fn put(&self, name: &BlobName, file: &Path) -> Result<(), BlobError> {
        let path = self.path(name.as_str());
        let mut file = File::open(file).await?;
        let length = file.metadata().await?.len();
        if length <= PART as u64 {
            let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(PART));
            file.read_to_end(&mut bytes).await?;
            self.store.put(&path, bytes.into()).await.map_err(|error| self.fault(&error))?;
        } else {
            let mut upload = self.store.put_multipart(&path).await.map_err(|error| self.fault(&error))?;
            if let Err(error) = self.put_parts(upload.as_mut(), file).await {
                // Best effort: what stays behind of an upload is for the bucket's own rules.
                upload.abort().await.ok();
                return Err(error);
            }
        }
        // The only other copy goes after this: what is there must be what was sent.
        let stored = self.store.head(&path).await.map_err(|error| self.fault(&error))?.size;
        if stored == length {
            return Ok(());
        }
        Err(BlobError::Away { detail: format!("it has {stored} of {length} bytes of the recording") })
    }

    async fn put_parts(&self, upload: &mut dyn MultipartUpload, mut file: File) -> Result<(), BlobError> {
        loop {
            let mut part = Vec::with_capacity(PART);
            (&mut file).take(PART as u64).read_to_end(&mut part).await?;
            if part.is_empty() {
                break;
            }
            upload.put_part(part.into()).await.map_err(|error| self.fault(&error))?;
        }
        upload.complete().await.map(drop).map_err(|error| self.fault(&error))
    }

    /// Opens a recording and says how many bytes it has. To be asked and read from a thread that may wait.
    pub(crate) fn open(&self, name: &BlobName, runtime: Handle) -> Result<(RemoteFile, u64), BlobError> {
        let path = self.path(name.as_str());
        let range = Some(GetRange::Bounded(0..AHEAD));
        let (length, first) = runtime.block_on(async {
            let found = self.store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await;
            let found = found.map_err(|error| self.fault(&error))?;
            let length = found.meta.size;
            found.bytes().await.map(|first| (length, first)).map_err(|error| self.fault(&error))
        })?;
        Ok((RemoteFile { remote: self.clone(), path, runtime, length, at: 0, ahead: (0, first) }, length))
    }

    /// Removes a recording; one that is not there is as good.
    pub(crate) async fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        match self.store.delete(&self.path(name.as_str())).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn path(&self, name: &str) -> ObjectPath {
        ObjectPath::from(format!("{}{name}", self.prefix))
    }

    fn fault(&self, error: &Error) -> BlobError {
        fault(error, &self.secrets)
    }
}

/// Our word for what the store or the way to it says. A store's text may quote the request, so keys are taken out.
fn fault(error: &Error, secrets: &[Pii<String>]) -> BlobError {
    match error {
        Error::NotFound { .. } => BlobError::Missing,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => BlobError::Denied,
        other => {
            let mut detail = other.to_string();
            for secret in secrets.iter().map(Pii::expose).filter(|secret| !secret.is_empty()) {
                detail = detail.replace(secret.as_str(), "***");
            }
            BlobError::Away { detail: detail.chars().take(DETAIL).collect() }
        }
    }
}

/// A recording in the store that is being read, a piece ahead.
pub(crate) struct RemoteFile {
    remote: Remote,
    path: ObjectPath,
    runtime: Handle,
    length: u64,
    at: u64,
    /// Where the bytes at hand begin, and they.
    ahead: (u64, Bytes),
}

impl RemoteFile {
    /// The bytes at hand from where the reader is.
    fn at_hand(&self) -> &[u8] {
        let within = self.at.checked_sub(self.ahead.0).and_then(|within| usize::try_from(within).ok());
        within.and_then(|within| self.ahead.1.get(within..)).unwrap_or_default()
    }
}

impl Read for RemoteFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.length || out.is_empty() {
            return Ok(0);
        }
        if self.at_hand().is_empty() {
            let range = self.at..self.length.min(self.at + AHEAD);
            let fetched = self.runtime.block_on(self.remote.store.get_range(&self.path, range));
            self.ahead = (self.at, fetched.map_err(|error| io::Error::other(self.remote.fault(&error)))?);
        }
        let piece = self.at_hand();
        let count = piece.len().min(out.len());
        out[..count].copy_from_slice(&piece[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for RemoteFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = crate::sealed::place(to, self.at, self.length)?;
        Ok(self.at)
    }
}
