//! What is removed of calls, as plain values, and the verbs for it. Hides which rows that means. Each verb is one short
//! transaction over a few calls, so that no other waits long and a crash loses nothing: what is left is found again.

use crate::sql::{erasure, retention};
use crate::{BlobName, Reader, Store, StoreError};
use callwright_domain::{Absence, AccountId, CallId, Moment, PhoneNumber};
use serde::{Deserialize, Serialize};

/// What one step of the sweeper removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Recordings marked as gone; their files are [`Removal`]s now.
    pub recordings: u64,
    /// Calls whose words are gone.
    pub transcripts: u64,
    /// Calls that are gone whole.
    pub records: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// A recording's file that is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Whose it was.
    pub account: AccountId,
    /// Its name.
    pub name: BlobName,
}

/// A number to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureOrder {
    /// In whose calls.
    pub account: AccountId,
    /// The number, as it was or would be dialled.
    pub number: PhoneNumber,
    /// Whether nobody is to call it again. One that is on the deny list stays there in any case, as
    /// a digest, and one whose consent was taken back comes to stand there.
    pub suppress: Suppress,
    /// When it was asked for.
    pub now: Moment,
}

/// Whether an erased number is put on the deny list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppress {
    /// Yes, as a digest.
    Deny,
    /// Only when it was there.
    AsItWas,
}

/// How much was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Calls whose number, words and variables are gone.
    pub calls: u64,
    /// Recordings among them.
    pub recordings: u64,
    /// Callees of campaigns.
    pub campaign_rows: u64,
    /// Records of consent.
    pub consents: u64,
    /// 1: the number stands on the deny list, as a digest.
    pub suppressed: u64,
}

/// The proof that a number was erased. It does not hold the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The same for the same number of the same account.
    pub id: String,
    /// SHA-256 over the account and the number.
    pub digest: String,
    /// When it was last asked for.
    pub requested: Moment,
    /// When nothing was left; none: calls are up, or files wait for the node that has them.
    pub finished: Option<Moment>,
    /// What was erased so far.
    pub tally: Tally,
}

impl Store {
    /// Removes what has outlived the rules of its account, of at most `limit` calls of each part and rule.
    ///
    /// # Errors
    /// As the database says.
    pub async fn sweep(&self, now: Moment, limit: u32) -> Result<Swept, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { retention::sweep(conn, now, limit).await })).await
    }

    /// Says that these files are not there any more.
    ///
    /// # Errors
    /// As the database says.
    pub async fn removed(&self, gone: Vec<Removal>) -> Result<(), StoreError> {
        self.writer().write(move |conn| Box::pin(async move { retention::removed(conn, &gone).await })).await
    }

    /// Takes an erasure up, or up again: lists and consents at once, the rest by [`Store::erase_some`].
    ///
    /// # Errors
    /// As the database says.
    pub async fn open_erasure(&self, order: ErasureOrder) -> Result<Erasure, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { erasure::open(conn, &order).await })).await
    }

    /// Erases up to `limit` ended calls and as many campaign rows. [`Erasure::finished`] is set when nothing is left.
    ///
    /// # Errors
    /// As the database says.
    pub async fn erase_some(
        &self,
        account: AccountId,
        id: String,
        limit: u32,
        now: Moment,
    ) -> Result<Option<Erasure>, StoreError> {
        self.writer()
            .write(move |conn| Box::pin(async move { erasure::some(conn, (&account, &id), limit, now).await }))
            .await
    }
}

impl Reader {
    /// Files that this node is to remove, oldest first.
    ///
    /// # Errors
    /// As the database says.
    pub async fn removals(&self, node: &str, limit: u32) -> Result<Vec<Removal>, StoreError> {
        retention::removals(self.pool(), node, limit).await
    }

    /// Erasures that are not finished: account and id.
    ///
    /// # Errors
    /// As the database says.
    pub async fn open_erasures(&self) -> Result<Vec<(AccountId, String)>, StoreError> {
        erasure::all_open(self.pool()).await
    }

    /// Calls that wait to be dialled and are to be taken back for an erasure, in the order of their ids. Not those that
    /// were asked for after it was.
    ///
    /// # Errors
    /// As the database says.
    pub async fn queued_for_erasure(
        &self,
        account: &AccountId,
        id: &str,
        after: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallId>, StoreError> {
        erasure::queued(self.pool(), (account, id), after, limit).await
    }

    /// An erasure.
    ///
    /// # Errors
    /// As the database says.
    pub async fn erasure(&self, account: &AccountId, id: &str) -> Result<Option<Erasure>, StoreError> {
        erasure::find(self.pool(), account, id).await
    }

    /// Why a call that was there is not any more.
    ///
    /// # Errors
    /// As the database says.
    pub async fn departed(&self, account: &AccountId, call: CallId) -> Result<Option<Absence>, StoreError> {
        retention::departed(self.pool(), account, call).await
    }
}
