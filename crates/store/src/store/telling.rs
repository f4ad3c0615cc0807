//! The writing verbs about endpoints and the messages to them.

use super::Store;
use crate::StoreError;
use crate::outbox::{Pending, Replay, Settled, Settlement};
use crate::sql::journal::Told;
use crate::sql::{configuration, outbox, webhooks};
use callwright_domain::webhook::Announcement;
use callwright_domain::{AccountId, Moment, Webhook, WebhookId};
use std::sync::Arc;
use tokio::sync::Notify;

impl Store {
    /// Rung when this process has put a message into the outbox, so that whoever tells need not wait for a look.
    pub fn outbox_bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// What was done, after the bell was rung for what came of it. Only after the commit: who looks sooner sees nothing.
    pub(super) fn rung<T>(&self, told: Told<T>) -> T {
        if told.messages > 0 {
            self.bell.notify_one();
        }
        told.done
    }

    /// Creates or replaces an endpoint. Messages that wait are told as it is from now on.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when another account has an endpoint of this id.
    pub async fn put_webhook(&self, webhook: Webhook) -> Result<(), StoreError> {
        let put = self.writer.write(move |conn| Box::pin(async move { webhooks::put(conn, &webhook).await })).await;
        self.bell.notify_one();
        put
    }

    /// Removes an endpoint and every message to it; `false`: there was none.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_webhook(&self, account: AccountId, id: WebhookId) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| {
                Box::pin(async move { configuration::delete(conn, webhooks::WEBHOOK, &account, id.as_str()).await })
            })
            .await
    }

    /// Puts an announcement into the outbox for every endpoint of the account that wants to hear of it. Announcing the
    /// same again is harmless.
    ///
    /// # Errors
    /// As the database says.
    pub async fn announce(&self, news: Announcement, now: Moment) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { outbox::announce(conn, &news, now).await })).await?;
        self.bell.notify_one();
        Ok(())
    }

    /// Takes messages that are due: for each endpoint at most as many as it has room for. They are ours until `lease`;
    /// after that somebody else may take them.
    ///
    /// # Errors
    /// As the database says.
    pub async fn claim_outbox(
        &self,
        wanted: Vec<(WebhookId, u32)>,
        now: Moment,
        lease: Moment,
    ) -> Result<Vec<Pending>, StoreError> {
        let me = Arc::clone(&self.me);
        self.writer
            .write(move |conn| Box::pin(async move { outbox::claim(conn, &me, &wanted, (now, lease)).await }))
            .await
    }

    /// Gives free what an earlier life of this node had taken and not settled.
    ///
    /// # Errors
    /// As the database says.
    pub async fn release_outbox(&self, now: Moment) -> Result<u64, StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { outbox::release(conn, &me, now).await })).await
    }

    /// Writes down how a try went, what becomes of the message and of its endpoint, and takes the call's next message.
    ///
    /// # Errors
    /// As the database says; then the message is told again when its lease is out.
    pub async fn settle_outbox(
        &self,
        pending: Pending,
        settlement: Settlement,
        now: Moment,
    ) -> Result<Settled, StoreError> {
        let me = Arc::clone(&self.me);
        self.writer
            .write(move |conn| Box::pin(async move { outbox::settle(conn, &me, &pending, &settlement, now).await }))
            .await
    }

    /// For when the wall clock was set back: what was to be told so long after a moment that is yet to come is told so long
    /// after `now`, and nothing is held beyond `lease`. How many messages that were.
    ///
    /// # Errors
    /// As the database says.
    pub async fn mend_outbox(&self, now: Moment, lease: Moment) -> Result<u64, StoreError> {
        let mended =
            self.writer.write(move |conn| Box::pin(async move { outbox::mend(conn, (now, lease)).await })).await;
        self.bell.notify_one();
        mended
    }

    /// Makes messages due again that were settled; how many.
    ///
    /// # Errors
    /// As the database says.
    pub async fn replay_outbox(
        &self,
        account: AccountId,
        webhook: WebhookId,
        which: Replay,
        now: Moment,
    ) -> Result<u64, StoreError> {
        let replayed = self
            .writer
            .write(move |conn| Box::pin(async move { outbox::replay(conn, &account, &webhook, &which, now).await }))
            .await;
        self.bell.notify_one();
        replayed
    }

    /// Forgets messages that were settled before `before`, and endpoints of single calls with nothing left to hear.
    ///
    /// # Errors
    /// As the database says.
    pub async fn purge_outbox(&self, before: Moment) -> Result<u64, StoreError> {
        self.writer.write(move |conn| Box::pin(async move { outbox::purge(conn, before).await })).await
    }
}
