//! What people write beside calls, as plain values and their verbs. Never part of the journal: it is no fact of the call.

use crate::sql::notes as sql;
use crate::{Reader, Store, StoreError};
use callwright_domain::{AccountId, CallId, Moment, Pii};

/// A note beside a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id, unique within the call.
    pub id: String,
    /// Who wrote it: the id of a key.
    pub author: String,
    /// What it says.
    pub content: Pii<String>,
    /// Whether somebody is to look at it.
    pub flagged: bool,
    /// When it was written.
    pub created: Moment,
}

impl Store {
    /// Writes a note, new or changed; who wrote it first and when stays. `false`: the account has no such call.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put_note(&self, account: AccountId, call: CallId, note: Note) -> Result<bool, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::put(conn, &account, call, &note).await })).await
    }

    /// Removes a note; `false` when there was none.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_note(&self, account: AccountId, call: CallId, id: String) -> Result<bool, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::delete(conn, &account, call, &id).await })).await
    }
}

impl Reader {
    /// The notes beside a call, oldest first.
    ///
    /// # Errors
    /// As the database says.
    pub async fn notes(&self, account: &AccountId, call: CallId) -> Result<Vec<Note>, StoreError> {
        sql::of_call(self.pool(), account, call).await
    }
}
