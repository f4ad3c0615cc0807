//! Calls that are met in browsers: who takes one that is joined, which were never joined, and what an account's channel
//! tokens are signed with. Never makes or checks a token.

use crate::sql::browsers as sql;
use crate::{CallView, Reader, Store, StoreError};
use callwright_domain::{AccountId, CallId, CallPlan, ChannelName, Moment, Pii};
use std::sync::Arc;

/// What an account's channel tokens name and are signed with. An account has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelApp {
    /// Named in every token; unique over all accounts.
    pub id: String,
    /// Whose it is.
    pub account: AccountId,
    /// What tokens are signed with.
    pub key: Pii<String>,
}

impl Store {
    /// Takes a call that waits to be joined and makes it ours, however many nodes are asked at once. `None`: there is no such
    /// call, or it is over, joined, being joined, or nobody is waited for any more.
    ///
    /// # Errors
    /// As the database says.
    pub async fn claim_joined(
        &self,
        account: AccountId,
        call: CallId,
        now: Moment,
    ) -> Result<Option<CallPlan>, StoreError> {
        let me = Arc::clone(self.me());
        self.writer()
            .write(move |conn| Box::pin(async move { sql::claim_joined(conn, &me, &(account, call), now).await }))
            .await
    }

    /// The account's application: `fresh` when it had none.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when `fresh` has the name of another account's.
    pub async fn channel_app(&self, fresh: ChannelApp, now: Moment) -> Result<ChannelApp, StoreError> {
        self.writer().write(move |conn| Box::pin(async move { sql::put_app(conn, &fresh, now).await })).await
    }
}

impl Reader {
    /// The newest call that is met in this channel.
    ///
    /// # Errors
    /// As the database says.
    pub async fn call_in_channel(
        &self,
        account: &AccountId,
        channel: &ChannelName,
    ) -> Result<Option<CallView>, StoreError> {
        sql::in_channel(self.pool(), account, channel).await
    }

    /// Calls that nobody joined in time and that nobody is just joining, some at a time.
    ///
    /// # Errors
    /// As the database says.
    pub async fn unjoined(&self, now: Moment) -> Result<Vec<(AccountId, CallId)>, StoreError> {
        sql::unjoined(self.pool(), now).await
    }

    /// The application that a token names.
    ///
    /// # Errors
    /// As the database says.
    pub async fn channel_app(&self, id: &str) -> Result<Option<ChannelApp>, StoreError> {
        sql::app(self.pool(), id).await
    }

    /// The account's application, when it has one.
    ///
    /// # Errors
    /// As the database says.
    pub async fn channel_app_of(&self, account: &AccountId) -> Result<Option<ChannelApp>, StoreError> {
        sql::app_of(self.pool(), account).await
    }
}
