//! What is found out about calls after their end, as plain values, and the verbs about it. A call that wants it gets its row
//! in the transaction of its end, so that no crash forgets it.

use crate::sql::extracts as sql;
use crate::{Reader, Store, StoreError};
use callwright_domain::extract::Findings;
use callwright_domain::{AccountId, CallId, Moment};

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtractState {
    /// Still to be found out.
    Waiting,
    /// Found out.
    Done,
    /// Given up.
    Failed,
}

impl ExtractState {
    const ALL: [Self; 3] = [Self::Waiting, Self::Done, Self::Failed];

    /// The state's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// The state of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A call about which something is to be found out now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractOrder {
    /// Whose call.
    pub account: AccountId,
    /// The call.
    pub call: CallId,
    /// Which try this is; the first is 1.
    pub tries: u32,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq)]
pub enum ExtractOutcome {
    /// This was found.
    Found(Findings),
    /// Nothing yet: to be tried again then, and why.
    Later(Moment, String),
    /// Nothing, and it is not tried again; why.
    GivenUp(String),
}

/// What is known about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFindings {
    /// How far it has come.
    pub state: ExtractState,
    /// What was found; nothing before it is done.
    pub findings: Findings,
    /// Why the last try failed; empty: it did not.
    pub detail: String,
    /// When that was last changed.
    pub updated: Moment,
}

impl Store {
    /// Takes at most `most` calls about which something is to be found out by `now`. They are the caller's until `lease`;
    /// after that somebody else may take them.
    ///
    /// # Errors
    /// As the database says.
    pub async fn claim_extracts(&self, now: Moment, lease: Moment, most: u32) -> Result<Vec<ExtractOrder>, StoreError> {
        let me = self.identity().clone();
        self.writer().write(move |conn| Box::pin(async move { sql::claim(conn, &me, (now, lease), most).await })).await
    }

    /// Makes due at once what an earlier life of this node was at, or was to try again; how many calls.
    ///
    /// # Errors
    /// As the database says.
    pub async fn release_extracts(&self, now: Moment) -> Result<u64, StoreError> {
        let me = self.identity().clone();
        self.writer().write(move |conn| Box::pin(async move { sql::release(conn, &me, now).await })).await
    }

    /// Writes down what came of a try; `false`: another one was begun meanwhile, and this one does not count.
    ///
    /// # Errors
    /// As the database says; then it is tried again when its lease is out.
    pub async fn settle_extract(
        &self,
        order: ExtractOrder,
        outcome: ExtractOutcome,
        now: Moment,
    ) -> Result<bool, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::settle(conn, &order, &outcome, now).await })).await
    }
}

impl Reader {
    /// What was found out about a call; none: nothing was asked for, or it has not ended.
    ///
    /// # Errors
    /// As the database says.
    pub async fn findings(&self, account: &AccountId, call: CallId) -> Result<Option<StoredFindings>, StoreError> {
        sql::one(self.pool(), account, call).await
    }
}
