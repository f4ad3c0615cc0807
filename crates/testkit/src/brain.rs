//! A language model that answers by a table: the first rule whose words occur in the last message. Rules are chosen by
//! what was said and not by order, because questions may be put in advance and dropped again.

use callwright_conversation::vocabulary::{LlmEvent, ToolCall};
use callwright_providers::llm::{Llm, LlmRequest, LlmStream};
use callwright_providers::{ErrorKind, ProviderError, Running};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    after: Duration,
    text: String,
    tools: Vec<ToolCall>,
    end: End,
}

/// What follows the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    #[default]
    Done,
    Fail,
    Hang,
    Panic,
    PanicAtOnce,
}

impl Reply {
    /// These words.
    pub fn say(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// An error instead of words.
    pub fn fail() -> Self {
        Self { end: End::Fail, ..Self::default() }
    }

    /// Nothing, for ever.
    pub fn hang() -> Self {
        Self { end: End::Hang, ..Self::default() }
    }

    /// The task behind the answer panics.
    pub fn panic() -> Self {
        Self { end: End::Panic, ..Self::default() }
    }

    /// The question itself panics, in the task of whoever asks; being told of it in advance does, too.
    pub fn panic_at_once() -> Self {
        Self { end: End::PanicAtOnce, ..Self::default() }
    }

    /// The same, this much later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// The same, and this tool called with these JSON arguments.
    #[must_use]
    pub fn tool(mut self, name: &str, arguments: &str) -> Self {
        let id = format!("tool-{}", self.tools.len() + 1);
        self.tools.push(ToolCall { id, name: name.to_owned(), arguments: arguments.to_owned() });
        self
    }
}

/// A language model for tests. Clones share the table.
#[derive(Clone, Default)]
pub struct ScriptedBrain {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    rules: Vec<Rule>,
    asked: Vec<LlmRequest>,
}

struct Rule {
    when: String,
    replies: Vec<Reply>,
    used: usize,
}

impl ScriptedBrain {
    /// A brain without an answer to anything; such a question fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers messages that contain `when` (empty: all) with these replies in order, the last again and again.
    #[must_use]
    pub fn on(self, when: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        let rule = Rule { when: when.to_owned(), replies: replies.into_iter().collect(), used: 0 };
        self.lock().rules.push(rule);
        self
    }

    /// Every question so far.
    pub fn asked(&self) -> Vec<LlmRequest> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reply(&self, request: LlmRequest) -> Reply {
        let mut table = self.lock();
        let last = request.messages.last().map(|message| message.content.clone()).unwrap_or_default();
        table.asked.push(request);
        let Some(rule) = table.rules.iter_mut().find(|rule| last.contains(&rule.when)) else { return Reply::fail() };
        rule.used += 1;
        rule.replies.get(rule.used - 1).or(rule.replies.last()).cloned().unwrap_or_else(Reply::fail)
    }
}

impl Llm for ScriptedBrain {
    fn name(&self) -> &str {
        "scripted brain"
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let reply = self.reply(request);
        assert!(reply.end != End::PanicAtOnce, "the model panics when asked, as it was told to");
        let (sender, events) = mpsc::channel(64);
        LlmStream { events, running: Running::spawn(answer(reply, sender)) }
    }

    fn warm(&self, request: &LlmRequest) {
        let last = request.messages.last().map(|message| message.content.clone()).unwrap_or_default();
        let table = self.lock();
        let rule = table.rules.iter().find(|rule| last.contains(&rule.when));
        let panics = rule.is_some_and(|rule| rule.replies.iter().any(|reply| reply.end == End::PanicAtOnce));
        drop(table);
        assert!(!panics, "the model panics when it is warmed, as it was told to");
    }
}

async fn answer(reply: Reply, events: mpsc::Sender<Result<LlmEvent, ProviderError>>) {
    let Reply { after, text, tools, end } = reply;
    if !after.is_zero() {
        sleep(after).await;
    }
    let words = text.split_inclusive(' ').map(|word| LlmEvent::Text(word.to_owned()));
    for event in words.chain(tools.into_iter().map(LlmEvent::Tool)) {
        if events.send(Ok(event)).await.is_err() {
            return;
        }
    }
    let last = match end {
        End::Done => Ok(LlmEvent::Done { usage: None }),
        End::Fail => Err(ProviderError::new("scripted brain", ErrorKind::Internal, "failed as told")),
        End::Hang => std::future::pending().await,
        End::Panic | End::PanicAtOnce => panic!("the model's task panics, as it was told to"),
    };
    // Nobody listens any more: then nobody need be told.
    events.send(last).await.ok();
}
