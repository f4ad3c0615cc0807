//! Written conversations: keeps what a user and an agent write to each other, and has the agent's brain answer. Tells the
//! agent's endpoints. Never knows how a message reaches the user.

use crate::calls::Calls;
use crate::limits::{CHAT_ANSWER, CHAT_ANSWER_CAP};
use crate::live::{date_of, thread_lines};
use callwright_conversation::vocabulary::{LlmEvent, Message};
use callwright_conversation::{Setup, TemplateError, written};
use callwright_domain::chat::{Archive, Author, ChatMessage, MessageKind, UserId};
use callwright_domain::policy::rules::effective;
use callwright_domain::redaction::Redaction;
use callwright_domain::webhook::Announcement;
use callwright_domain::{AccountId, AgentId, AgentProfile, Moment, Pii, ThreadId, Topic};
use callwright_providers::ProviderError;
use callwright_providers::llm::LlmRequest;
use callwright_store::{StoreError, ThreadKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Something written, before it is kept.
#[derive(Debug, Clone)]
pub struct Written {
    /// Whose agent.
    pub account: AccountId,
    /// The agent.
    pub agent: AgentId,
    /// The thread that it belongs to.
    pub thread: ThreadId,
    /// The person.
    pub user: UserId,
    /// The text.
    pub text: Pii<String>,
}

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The account has no such agent.
    #[error("no agent with this id exists")]
    UnknownAgent,
    /// The prompt needs variables, which written conversations do not bring, or is no template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The agent names a brain that this server does not have.
    #[error("{0}")]
    UnknownVendor(String),
    /// Too many answers are being made, or the server goes down.
    #[error("the server has too much to do")]
    Busy,
    /// The brain failed.
    #[error("the agent's model failed")]
    Brain(#[source] ProviderError),
    /// The brain did not answer in time, or answered nothing.
    #[error("the agent's model did not answer")]
    NoAnswer,
    /// Nothing could be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Calls {
    /// Keeps what a user wrote, has the agent's brain answer, and keeps the answer: what was said and what was answered.
    /// What was written stays kept when there is no answer.
    ///
    /// # Errors
    /// [`ChatError`].
    pub async fn chat(&self, said: Written, now: Moment) -> Result<[ChatMessage; 2], ChatError> {
        if self.node.is_draining() {
            return Err(ChatError::Busy);
        }
        let began = Instant::now();
        let _place = self.node.chats.try_acquire().map_err(|_| ChatError::Busy)?;
        let stored = self.node.reader.agent(&said.account, &said.agent).await?.ok_or(ChatError::UnknownAgent)?;
        let key = ThreadKey { account: said.account.clone(), thread: said.thread.clone() };
        let thread = thread_lines(&self.node, &key, None).await?;
        let setup = Setup {
            agent: stored.profile.clone(),
            variables: BTreeMap::new(),
            thread,
            today: date_of(now),
            seed: self.node.entropy.bits64(),
        };
        let question = written::question(setup, said.text.expose())?;
        let round = self.node.entropy.bits128();
        // Whoever writes and the model know the words as they are; what is kept is without what the rules take out.
        let redaction = self.redaction(&said).await?;
        let asked = self.message(said, (Author::User, MessageKind::Normal, Archive::Kept), round, now);
        let kept = without(&redaction, &asked);
        self.node.store.keep_chat(kept.clone(), None, now).await?;
        let answer = self.think(&stored.profile, question, round).await?;
        // Never at the same moment as what it answers, so that the order is theirs.
        let at = now.after(began.elapsed().max(Duration::from_millis(1)));
        let id = self.node.entropy.bits128();
        let answer = ChatMessage { id, author: Author::Agent, text: Pii::new(answer), at, ..asked.clone() };
        let kept_answer = without(&redaction, &answer);
        let news = news(&[&kept, &kept_answer]);
        self.node.store.keep_chat(kept_answer, Some(news), at).await?;
        Ok([asked, answer])
    }

    /// Keeps something that the account's owner says to a user in the agent's name.
    ///
    /// # Errors
    /// [`ChatError::UnknownAgent`]; [`ChatError::Store`].
    pub async fn post(
        &self,
        said: Written,
        kind: MessageKind,
        archive: Archive,
        now: Moment,
    ) -> Result<ChatMessage, ChatError> {
        if self.node.reader.agent(&said.account, &said.agent).await?.is_none() {
            return Err(ChatError::UnknownAgent);
        }
        let redaction = self.redaction(&said).await?;
        let message = self.message(said, (Author::Agent, kind, archive), self.node.entropy.bits128(), now);
        let message = without(&redaction, &message);
        self.node.store.keep_chat(message.clone(), Some(news(&[&message])), now).await?;
        Ok(message)
    }

    async fn redaction(&self, said: &Written) -> Result<Redaction, StoreError> {
        let reader = &self.node.reader;
        let (account, agent) =
            (reader.rules(&said.account, None).await?, reader.rules(&said.account, Some(&said.agent)).await?);
        Ok(effective(account, agent).redaction)
    }

    fn message(
        &self,
        said: Written,
        (author, kind, archive): (Author, MessageKind, Archive),
        round: u128,
        at: Moment,
    ) -> ChatMessage {
        let Written { account, agent, thread, user, text } = said;
        let id = self.node.entropy.bits128();
        ChatMessage { account, thread, id, round, agent, user, author, kind, archive, text, at }
    }

    async fn think(&self, agent: &AgentProfile, messages: Vec<Message>, round: u128) -> Result<String, ChatError> {
        let brain = &agent.brain;
        let unknown = |error: &dyn std::fmt::Display| ChatError::UnknownVendor(error.to_string());
        let model = self.node.catalogue.brain_of(brain).map_err(|error| unknown(&error))?;
        let conversation = format!("chat-{round:032x}");
        let mut stream = model.ask(LlmRequest {
            conversation: conversation.clone(),
            model: brain.model.clone(),
            messages,
            // Tools act on a telephone call; there is none.
            tools: Vec::new(),
            temperature: brain.temperature,
            max_tokens: brain.max_tokens,
            query: brain.query.clone(),
            params: brain.params.clone(),
            script: brain.script.clone().into(),
            headers: BTreeMap::new(),
        });
        let whole = async {
            let mut answer = String::new();
            while let Some(event) = stream.events.recv().await {
                match event.map_err(ChatError::Brain)? {
                    LlmEvent::Text(text) if answer.len() < CHAT_ANSWER_CAP => answer.push_str(&text),
                    LlmEvent::Text(_) | LlmEvent::Tool(_) => {}
                    LlmEvent::Done { .. } => break,
                }
            }
            Ok(answer)
        };
        let answer = timeout(CHAT_ANSWER, whole).await.unwrap_or(Err(ChatError::NoAnswer));
        drop(stream);
        model.forget(&conversation);
        answer.map(|text| text.trim().to_owned()).and_then(|text| match text.is_empty() {
            true => Err(ChatError::NoAnswer),
            false => Ok(text),
        })
    }
}

/// A message as it is kept.
fn without(redaction: &Redaction, message: &ChatMessage) -> ChatMessage {
    ChatMessage { text: Pii::new(redaction.text(message.text.expose())), ..message.clone() }
}

/// What the agent's endpoints are told of messages of one round.
fn news(messages: &[&ChatMessage]) -> Announcement {
    let last = messages[messages.len() - 1];
    let shown = |message: &&ChatMessage| {
        json!({
            "id": format!("{:032x}", message.id),
            "round": format!("{:032x}", message.round),
            "author": message.author,
            "kind": message.kind,
            "text": message.text.expose(),
            "at": message.at.millis(),
        })
    };
    Announcement {
        account: last.account.clone(),
        agent: Some(last.agent.clone()),
        topic: Topic::ChatMessage,
        id: format!("chat_{:032x}", last.id),
        at: last.at,
        body: json!({
            "agent": last.agent,
            "thread": last.thread,
            "user": last.user,
            "messages": messages.iter().map(shown).collect::<Vec<Value>>(),
        }),
    }
}
