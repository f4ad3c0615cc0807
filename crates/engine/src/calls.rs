//! What the outside may ask of calls. The only door into the engine: dialects, the feed and the command line hold a
//! [`Calls`], nothing else. Hides the store's writing half, the registry of live calls and the dialer.

mod fitness;
mod orders;
mod starting;

pub use fitness::AgentFlaw;
pub use orders::{HangUp, OrderError, Speech};
pub(crate) use starting::Bound;
pub use starting::{AgentRef, NoneStarted, Repeat, StartCall, StartError, Started};

use crate::campaigns::Campaigns;
use crate::configure::Configure;
use crate::excerpt::{Clip, Excerpt};
use crate::journal::Fed;
use crate::node::Node;
use crate::retention;
use crate::trunks::TrunkStatus;
use callwright_domain::{AccountId, KeyId, Moment, TrunkId};
use callwright_store::blobs::Blob;
use callwright_store::{BlobError, BlobName, Erasure, ErasureOrder, Reader, Share, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Whether the server takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// It takes new calls.
    pub accepting: Accepting,
    /// Calls that are up or being dialled.
    pub live: usize,
}

/// Whether new calls are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepting {
    /// Yes.
    Open,
    /// No: going down.
    Draining,
}

/// The door into the engine. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    pub(crate) node: Arc<Node>,
    /// What requests read through.
    reader: Reader,
}

impl Calls {
    /// The door of a running node.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let reader = node.reader.hurried();
        Self { node, reader }
    }

    /// Everything that happens to calls from now on, all accounts; the watcher filters.
    pub fn watch(&self) -> broadcast::Receiver<Fed> {
        self.node.journal.watch()
    }

    /// Reads of calls and configuration, for requests: a database that is away is heard of within a second or two.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Where a trunk stands on this node; `None`: it is not known here (yet).
    pub fn trunk_status(&self, account: &AccountId, id: &TrunkId) -> Option<TrunkStatus> {
        let mut status = self.node.trunks.status(account, id)?;
        status.waiting = self.node.waiting.count(account, id);
        Some(status)
    }

    /// Whether the server takes calls.
    pub fn readiness(&self) -> Readiness {
        let accepting = if self.node.is_draining() { Accepting::Draining } else { Accepting::Open };
        Readiness { accepting, live: self.node.registry.len() }
    }

    /// Remembers a nonce for `keep`; `false` when it was used before.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn use_nonce(&self, key: &KeyId, nonce: &str, now: Moment, keep: Duration) -> Result<bool, StoreError> {
        self.node.store.use_nonce(key.clone(), nonce.to_owned(), now, keep).await
    }

    /// Takes up to `wanted` of the requests that `name` may make in this second, `limit` for all nodes of the database
    /// together; none: this node is alone with its database, and counts for itself.
    ///
    /// # Errors
    /// [`StoreError`] when the database could not be asked.
    pub async fn take_share(
        &self,
        account: &AccountId,
        name: &str,
        limit: u32,
        wanted: u32,
    ) -> Result<Option<Share>, StoreError> {
        if !self.node.store.is_shared() {
            return Ok(None);
        }
        let share = (account.clone(), name.to_owned());
        self.node.store.take_share(share, limit, wanted, self.node.clock.now()).await.map(Some)
    }

    /// Changes of agents, numbers, trunks and keys.
    pub fn configure(&self) -> Configure<'_> {
        Configure { node: &self.node }
    }

    /// Opens a recording by the name that the journal gives it.
    ///
    /// # Errors
    /// [`BlobError`] when there is none of that name, or it cannot be read.
    pub async fn recording(&self, name: &str) -> Result<Blob, BlobError> {
        let (recordings, name) = (self.node.recordings.clone(), BlobName::new(name)?);
        // Away from the runtime's threads: a disk may be slow, and a sealed file is measured when it is opened.
        let runtime = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || recordings.read(&name, &runtime));
        work.await.map_err(|error| BlobError::Io(std::io::Error::other(error)))?
    }

    /// Opens a part of a recording as a file of its own.
    ///
    /// # Errors
    /// As [`Self::recording`].
    pub async fn excerpt(&self, name: &str, clip: Clip) -> Result<Excerpt, BlobError> {
        let recording = self.recording(name).await?;
        let work = tokio::task::spawn_blocking(move || Excerpt::of(recording, clip));
        work.await.map_err(std::io::Error::other).and_then(|outcome| outcome).map_err(BlobError::Io)
    }

    /// Erases a number from an account: calls to it that have ended lose the number and what was said, those that wait are
    /// taken back, and those that are up are erased after their end. Repeating it is harmless.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written; what was written is found again by the sweeper.
    pub async fn erase(&self, order: ErasureOrder) -> Result<Erasure, StoreError> {
        let account = order.account.clone();
        let erasure = self.node.store.open_erasure(order).await?;
        let done = retention::erase(&self.node, &account, &erasure.id).await?;
        Ok(done.unwrap_or(erasure))
    }

    /// Campaigns.
    pub fn campaigns(&self) -> Campaigns<'_> {
        Campaigns::new(&self.node, self)
    }
}
