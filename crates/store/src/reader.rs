//! The reading verbs. Every one takes the account and sees nothing of another's, except [`Reader::key`], by which an
//! account is found, and what the engine asks for all at once. Sees what is committed; never writes.

mod campaigns;
mod chats;

use crate::calls::{CallFilter, CallOwner, CallView, Page, Record, Waiting};
use crate::configuration::{Account, Basis, Number, StoredAgent, Trunk};
use crate::joined::Joined;
use crate::sql::{Pool, reading, waiting};
use crate::sqlite::Scratch;
use crate::{Alias, AliasKind, BlobName, StoreError};
use callwright_domain::transcript::{TranscriptLine, of_journal};
use callwright_domain::{AccountId, AgentId, ApiKey, CallId, KeyId, Moment, PhoneNumber, Recorded, TrunkId};
use std::collections::BTreeMap;
use std::sync::Arc;

mod telling;
mod threads;

/// Most items of one page, whatever is asked for.
pub const PAGE_MAX: u32 = 1000;

/// Reads. Clones share one pool of connections.
#[derive(Clone)]
pub struct Reader {
    pool: Pool,
    shared: SharedReads,
    /// Keeps a vanishing store's files until nobody reads them.
    _scratch: Option<Arc<Scratch>>,
}

/// What every request reads: on a shared database each read is a message there and back, and those of requests that come
/// together ask the same.
#[derive(Clone, Default)]
struct SharedReads {
    keys: Joined<KeyId, Option<ApiKey>>,
    bases: Joined<(AccountId, AgentId, Vec<PhoneNumber>), Basis>,
}

impl Reader {
    pub(crate) fn new(pool: Pool, scratch: Option<Arc<Scratch>>) -> Self {
        Self { pool, shared: SharedReads::default(), _scratch: scratch }
    }

    /// The same for whoever would rather hear within a second or two that a shared database is away than wait for it: requests
    /// of people and programs. What a call needs is worth waiting for.
    #[must_use]
    pub fn hurried(&self) -> Self {
        Self { pool: self.pool.hurried(), shared: SharedReads::default(), _scratch: self._scratch.clone() }
    }

    /// For the verbs that stand in files of their own.
    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// An account.
    ///
    /// # Errors
    /// As the database says.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        reading::account(&self.pool, id).await
    }

    /// Who waits for a place, of all accounts.
    ///
    /// # Errors
    /// As the database says.
    pub async fn waiting(&self, now: Moment) -> Result<Waiting, StoreError> {
        waiting::waiting(&self.pool, now).await
    }

    /// An agent.
    ///
    /// # Errors
    /// As the database says.
    pub async fn agent(&self, account: &AccountId, id: &AgentId) -> Result<Option<StoredAgent>, StoreError> {
        reading::agent(&self.pool, account, id).await
    }

    /// Agents in the order of their ids; `after` is the last page's `next`.
    ///
    /// # Errors
    /// As the database says.
    pub async fn agents(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<StoredAgent>, StoreError> {
        reading::agents(&self.pool, account, after, page_size(limit)).await
    }

    /// A caller number.
    ///
    /// # Errors
    /// As the database says.
    pub async fn number(&self, account: &AccountId, number: &PhoneNumber) -> Result<Option<Number>, StoreError> {
        reading::number(&self.pool, account, number).await
    }

    /// All caller numbers of the account, in the order of their digits.
    ///
    /// # Errors
    /// As the database says.
    pub async fn numbers(&self, account: &AccountId) -> Result<Vec<Number>, StoreError> {
        reading::numbers(&self.pool, account).await
    }

    /// What a call is made from: its agent, the rules that count for it, and the account's numbers among `callers` (none
    /// named: all of them, in the order of their digits).
    ///
    /// # Errors
    /// As the database says.
    pub async fn basis(
        &self,
        account: &AccountId,
        agent: &AgentId,
        callers: &[PhoneNumber],
    ) -> Result<Basis, StoreError> {
        if self.pool.is_embedded() {
            return reading::basis(&self.pool, (account, agent), callers).await;
        }
        let (pool, asked) = (self.pool.clone(), (account.clone(), agent.clone(), callers.to_vec()));
        let key = asked.clone();
        let read = async move { reading::basis(&pool, (&asked.0, &asked.1), &asked.2).await };
        self.shared.bases.ask(key, read).await
    }

    /// A trunk.
    ///
    /// # Errors
    /// As the database says.
    pub async fn trunk(&self, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>, StoreError> {
        reading::trunk(&self.pool, account, id).await
    }

    /// All trunks of the account, in the order of their ids.
    ///
    /// # Errors
    /// As the database says.
    pub async fn trunks(&self, account: &AccountId) -> Result<Vec<Trunk>, StoreError> {
        reading::trunks(&self.pool, account).await
    }

    /// All trunks of all accounts, for whoever registers with them and asks whether they are alive.
    ///
    /// # Errors
    /// As the database says.
    pub async fn all_trunks(&self) -> Result<Vec<(AccountId, Trunk)>, StoreError> {
        reading::all_trunks(&self.pool).await
    }

    /// A key, whosever it is: this is how a request's account is found.
    ///
    /// # Errors
    /// As the database says.
    pub async fn key(&self, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
        if self.pool.is_embedded() {
            return reading::key(&self.pool, id).await;
        }
        let (pool, asked) = (self.pool.clone(), id.clone());
        self.shared.keys.ask(id.clone(), async move { reading::key(&pool, &asked).await }).await
    }

    /// All keys of the account, in the order of their ids.
    ///
    /// # Errors
    /// As the database says.
    pub async fn keys(&self, account: &AccountId) -> Result<Vec<ApiKey>, StoreError> {
        reading::keys(&self.pool, account).await
    }

    /// A call.
    ///
    /// # Errors
    /// As the database says.
    pub async fn call(&self, account: &AccountId, id: CallId) -> Result<Option<CallView>, StoreError> {
        reading::call(&self.pool, account, id).await
    }

    /// Whether a call, of whichever account, has this recording.
    ///
    /// # Errors
    /// As the database says.
    pub async fn is_kept(&self, name: &BlobName) -> Result<bool, StoreError> {
        match name.call() {
            Some(call) => reading::is_kept(&self.pool, call, name).await,
            None => Ok(false),
        }
    }

    /// Calls that pass `filter`, newest first; `cursor` is the last page's `next`.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] when `cursor` is none of ours.
    pub async fn calls(
        &self,
        account: &AccountId,
        filter: &CallFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CallView>, StoreError> {
        reading::calls(&self.pool, account, filter, cursor, page_size(limit)).await
    }

    /// How many calls pass `filter`.
    ///
    /// # Errors
    /// As the database says.
    pub async fn count_calls(&self, account: &AccountId, filter: &CallFilter) -> Result<u64, StoreError> {
        reading::count_calls(&self.pool, account, filter).await
    }

    /// Calls that pass `filter`, newest first, without the first `offset`: for vendors whose pages have numbers. The
    /// farther down the list, the longer it takes; [`Reader::calls`] does not.
    ///
    /// # Errors
    /// As the database says.
    pub async fn calls_at(
        &self,
        account: &AccountId,
        filter: &CallFilter,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<CallView>, StoreError> {
        reading::calls_at(&self.pool, account, filter, (offset, page_size(limit))).await
    }

    /// Up to `limit` events that happened at `from` or later, of calls that are up or ended since, each call's in order; `after`
    /// is the last of the page before.
    ///
    /// # Errors
    /// As the database says.
    pub async fn journal_since(
        &self,
        account: &AccountId,
        from: Moment,
        after: Option<(CallId, u64)>,
        limit: u32,
    ) -> Result<Vec<(CallId, Recorded)>, StoreError> {
        reading::journal_since(&self.pool, account, from, after, limit).await
    }

    /// Up to `limit` events of a call after place `after_seq` (0: from the beginning), in order. Empty when the
    /// account has no such call.
    ///
    /// # Errors
    /// As the database says.
    pub async fn journal(
        &self,
        account: &AccountId,
        id: CallId,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<Recorded>, StoreError> {
        reading::journal(&self.pool, account, id, after_seq, limit).await
    }

    /// What was said in a call so far. Empty when the account has no such call.
    ///
    /// # Errors
    /// As the database says.
    pub async fn transcript(&self, account: &AccountId, id: CallId) -> Result<Vec<TranscriptLine>, StoreError> {
        Ok(of_journal(&reading::journal(&self.pool, account, id, 0, u32::MAX).await?))
    }

    /// The records of a call's attempts: one when it has ended.
    ///
    /// # Errors
    /// As the database says.
    pub async fn records(&self, account: &AccountId, id: CallId) -> Result<Vec<Record>, StoreError> {
        reading::records(&self.pool, account, id).await
    }

    /// Calls of a caller number that have not ended.
    ///
    /// # Errors
    /// As the database says.
    pub async fn active_calls(&self, account: &AccountId, caller: &PhoneNumber) -> Result<u32, StoreError> {
        reading::active_calls(&self.pool, account, caller).await
    }

    /// How many calls each caller number of the account has that hold a place, by its digits; those without any are left
    /// out.
    ///
    /// # Errors
    /// As the database says.
    pub async fn active_by_caller(&self, account: &AccountId) -> Result<BTreeMap<String, u32>, StoreError> {
        reading::active_by_caller(&self.pool, account).await
    }

    /// Calls of an agent that have not ended and are not due later.
    ///
    /// # Errors
    /// As the database says.
    pub async fn active_calls_of(&self, account: &AccountId, agent: &AgentId) -> Result<u32, StoreError> {
        reading::active_calls_of(&self.pool, account, agent).await
    }

    /// The node that runs a call; none: nobody, or a life of a node that is over.
    ///
    /// # Errors
    /// As the database says.
    pub async fn owner(&self, account: &AccountId, id: CallId) -> Result<Option<CallOwner>, StoreError> {
        reading::owner(&self.pool, account, id).await
    }

    /// When the next unclaimed call is due, for whoever sleeps until then.
    ///
    /// # Errors
    /// As the database says.
    pub async fn next_due(&self) -> Result<Option<Moment>, StoreError> {
        reading::next_due(&self.pool).await
    }

    /// All pairs of these kinds, in the order of the vendor's ids as texts.
    ///
    /// # Errors
    /// As the database says.
    pub async fn aliases(
        &self,
        account: &AccountId,
        dialect: &str,
        kinds: &[AliasKind],
    ) -> Result<Vec<Alias>, StoreError> {
        reading::aliases(&self.pool, account, dialect, kinds).await
    }

    /// The pair of a vendor's id.
    ///
    /// # Errors
    /// As the database says.
    pub async fn alias_of_outer(
        &self,
        account: &AccountId,
        dialect: &str,
        kind: AliasKind,
        outer: &str,
    ) -> Result<Option<Alias>, StoreError> {
        reading::alias(&self.pool, reading::BY_OUTER, (account, dialect, kind), outer).await
    }

    /// The pair of one of our ids.
    ///
    /// # Errors
    /// As the database says.
    pub async fn alias_of_inner(
        &self,
        account: &AccountId,
        dialect: &str,
        kind: AliasKind,
        inner: &str,
    ) -> Result<Option<Alias>, StoreError> {
        reading::alias(&self.pool, reading::BY_INNER, (account, dialect, kind), inner).await
    }
}

fn page_size(asked: u32) -> u32 {
    asked.clamp(1, PAGE_MAX)
}
