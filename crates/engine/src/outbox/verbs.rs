//! What the outside may ask of endpoints and the messages to them.

use super::{Subject, Telling, Told};
use crate::calls::Calls;
use crate::configure::Configure;
use callwright_domain::webhook::Announcement;
use callwright_domain::{AccountId, Moment, Topic, Webhook, WebhookId};
use callwright_store::StoreError;
use callwright_store::outbox::Replay;
use std::time::Duration;
use tokio::time::Instant;

impl Calls {
    /// Tells an endpoint a test, now and once; how that went and how long it took. Nothing of it is kept.
    pub async fn try_webhook(&self, webhook: Webhook, now: Moment) -> (Told, Duration) {
        let began = Instant::now();
        let body = serde_json::json!({"webhook": webhook.id, "message": "this is a test"});
        let id = format!("msg_{:032x}", self.node.entropy.bits128());
        let account = webhook.account.clone();
        let subject = Subject::Account { account, topic: Topic::WebhookTest, at: now, body };
        let telling = Telling { webhook, id, attempt: 1, now, subject };
        let told = self.node.notifier.notify(&telling).await;
        (told, began.elapsed())
    }

    /// Tells every endpoint of an account that wants to hear of it, at least once each, whatever happens. For what is not
    /// an event of a call.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written; then nobody is told.
    pub async fn announce(&self, news: Announcement, now: Moment) -> Result<(), StoreError> {
        self.node.store.announce(news, now).await
    }
}

impl Configure<'_> {
    /// Stores an endpoint, new or changed.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn put_webhook(&self, webhook: &Webhook) -> Result<(), StoreError> {
        self.node.store.put_webhook(webhook.clone()).await
    }

    /// Removes an endpoint and the messages to it; `false` when there was none.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn delete_webhook(&self, account: &AccountId, id: &WebhookId) -> Result<bool, StoreError> {
        self.node.store.delete_webhook(account.clone(), id.clone()).await
    }

    /// Tells settled messages again; how many.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be written.
    pub async fn replay(
        &self,
        account: &AccountId,
        webhook: &WebhookId,
        which: Replay,
        now: Moment,
    ) -> Result<u64, StoreError> {
        self.node.store.replay_outbox(account.clone(), webhook.clone(), which, now).await
    }
}
