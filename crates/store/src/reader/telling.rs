//! The reading verbs about endpoints and the messages to them.

use super::{Reader, page_size};
use crate::outbox::{Attempt, Delivery, Standing, ToTell};
use crate::sql::webhooks;
use crate::{Page, StoreError};
use callwright_domain::webhook::Whose;
use callwright_domain::{AccountId, CallId, Moment, Recorded, Webhook, WebhookId};

impl Reader {
    /// An endpoint.
    ///
    /// # Errors
    /// As the database says.
    pub async fn webhook(&self, account: &AccountId, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
        webhooks::one(&self.pool, account, id).await
    }

    /// Endpoints of the account, oldest first: those of `whose`, or all but those of single calls.
    ///
    /// # Errors
    /// As the database says.
    pub async fn webhooks(&self, account: &AccountId, whose: Option<&Whose>) -> Result<Vec<Webhook>, StoreError> {
        webhooks::list(&self.pool, account, whose).await
    }

    /// What a message is about, as it stands now: its endpoint, the call and the event. For the outbox alone.
    ///
    /// # Errors
    /// As the database says.
    pub async fn to_tell(
        &self,
        account: &AccountId,
        webhook: &WebhookId,
        event: (CallId, u64),
    ) -> Result<ToTell, StoreError> {
        webhooks::to_tell(&self.pool, (account, webhook), event).await
    }

    /// Endpoints, of every account, that have a message due. For the outbox alone.
    ///
    /// # Errors
    /// As the database says.
    pub async fn outbox_due(&self, now: Moment) -> Result<Vec<WebhookId>, StoreError> {
        webhooks::due(&self.pool, now).await
    }

    /// Up to `limit` events of all calls of the account, in the order of time, call and number, after that place.
    ///
    /// # Errors
    /// As the database says.
    pub async fn happened(
        &self,
        account: &AccountId,
        after: (Moment, CallId, u64),
        limit: u32,
    ) -> Result<Vec<(CallId, Recorded)>, StoreError> {
        webhooks::happened(&self.pool, account, after, page_size(limit)).await
    }

    /// Messages to an endpoint, newest first; `cursor` is the last page's `next`.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] when `cursor` is none of ours.
    pub async fn deliveries(
        &self,
        account: &AccountId,
        webhook: &WebhookId,
        standing: Option<Standing>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Delivery>, StoreError> {
        webhooks::deliveries(&self.pool, (account, webhook), standing, cursor, page_size(limit)).await
    }

    /// The tries that were made to tell a message, in order.
    ///
    /// # Errors
    /// As the database says.
    pub async fn attempts(
        &self,
        account: &AccountId,
        webhook: &WebhookId,
        message: &str,
    ) -> Result<Vec<Attempt>, StoreError> {
        webhooks::attempts(&self.pool, account, webhook, message).await
    }
}
