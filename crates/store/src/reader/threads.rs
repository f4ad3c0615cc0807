//! The reading verbs about threads.

use super::{Reader, page_size};
use crate::StoreError;
use crate::sql::threads;
use crate::threads::{ThreadKey, ThreadPlace, ThreadSpan};
use callwright_domain::{AccountId, CallId, Recorded};
use std::collections::BTreeSet;

impl Reader {
    /// Up to `limit` calls of a thread that were answered, newest first: in the others nobody said anything.
    ///
    /// # Errors
    /// As the database says.
    pub async fn thread_calls(&self, key: &ThreadKey, limit: u32) -> Result<Vec<CallId>, StoreError> {
        threads::calls(&self.pool, key, page_size(limit)).await
    }

    /// Up to `limit` events of all calls of a thread within a span, beyond the place `after`. Lines that were taken out
    /// are left out.
    ///
    /// # Errors
    /// As the database says.
    pub async fn thread_events(
        &self,
        key: &ThreadKey,
        span: ThreadSpan,
        after: Option<ThreadPlace>,
        limit: u32,
    ) -> Result<Vec<(CallId, Recorded)>, StoreError> {
        threads::events(&self.pool, key, span, after, page_size(limit)).await
    }

    /// Places of the lines of a call that were taken out of its thread.
    ///
    /// # Errors
    /// As the database says.
    pub async fn forgotten(&self, account: &AccountId, call: CallId) -> Result<BTreeSet<u64>, StoreError> {
        threads::forgotten(&self.pool, account, call).await
    }
}
