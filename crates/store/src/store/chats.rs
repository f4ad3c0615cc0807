//! The writing verbs about written messages.

use super::Store;
use crate::StoreError;
use crate::sql::{chats, outbox};
use callwright_domain::chat::ChatMessage;
use callwright_domain::webhook::Announcement;
use callwright_domain::{AccountId, Moment, ThreadId};

impl Store {
    /// Keeps a written message, and puts the news of it into the outbox: both or neither.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the thread has one of this id.
    pub async fn keep_chat(
        &self,
        message: ChatMessage,
        news: Option<Announcement>,
        now: Moment,
    ) -> Result<(), StoreError> {
        let told = self
            .writer
            .write(move |conn| {
                Box::pin(async move {
                    chats::keep(conn, &message).await?;
                    match &news {
                        None => Ok(0),
                        Some(news) => outbox::announce(conn, news, now).await,
                    }
                })
            })
            .await?;
        if told > 0 {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Removes a written message; `false`: there was none.
    ///
    /// # Errors
    /// As the database says.
    pub async fn delete_chat(&self, account: AccountId, thread: ThreadId, id: u128) -> Result<bool, StoreError> {
        self.writer.write(move |conn| Box::pin(async move { chats::delete(conn, &account, &thread, id).await })).await
    }
}
