//! The reading verbs about written messages. Every one sees one account.

use super::{Reader, page_size};
use crate::StoreError;
use crate::sql::chats;
use crate::threads::{ThreadKey, ThreadSpan};
use callwright_domain::chat::{ChatMessage, UserId};
use callwright_domain::{AccountId, AgentId, Moment};

impl Reader {
    /// Up to `limit` written messages of a thread's history within a span, beyond the place `after` (time and id).
    ///
    /// # Errors
    /// As the database says.
    pub async fn thread_messages(
        &self,
        key: &ThreadKey,
        span: ThreadSpan,
        after: Option<(Moment, u128)>,
        limit: u32,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        chats::of_thread(&self.pool, key, span, after, page_size(limit)).await
    }

    /// What an agent and a person wrote to each other after that message (its time and id), all threads, oldest first.
    ///
    /// # Errors
    /// As the database says.
    pub async fn inbox(
        &self,
        account: &AccountId,
        agent: &AgentId,
        user: &UserId,
        after: (Moment, u128),
        limit: u32,
    ) -> Result<Vec<ChatMessage>, StoreError> {
        chats::of_user(&self.pool, (account, agent, user), after, page_size(limit)).await
    }
}
