//! Dify's chat applications (docs.dify.ai, "Send Chat Message"). The application keeps the prompt and the history: it is
//! told the last words only, under the id that it gave the conversation with its first answer. It knows no tools of ours.

use crate::endpoints::Outside;
use crate::http::{self, HttpVendor, Waits};
use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::sse::{self, Deadlines, Progress, SseReader};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::{LlmEvent, Message, Role, Usage};
use callwright_domain::agent::Endpoint;
use futures_util::StreamExt;
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Waits in milliseconds: connection, first word, pause. Applications search before they speak.
const WAITS: (u64, u64, u64) = (2000, 8000, 5000);
/// Pieces of an answer that may wait.
const EVENTS: usize = 64;
/// Conversations whose ids are kept; more at once means that somebody forgets to forget.
const MAX_CONVERSATIONS: usize = 10_000;

/// The ids that the application gave, by the call's own name.
type Conversations = Arc<Mutex<HashMap<String, String>>>;

/// A chat application.
#[derive(Debug)]
pub(crate) struct Dify {
    vendor: Arc<HttpVendor>,
    url: Url,
    conversations: Conversations,
}

impl Dify {
    /// The application behind `endpoint`, whose address ends in `/v1`.
    pub(crate) fn new(endpoint: &Endpoint, outside: &Outside) -> Result<Self, ProviderError> {
        let name = endpoint.kind.as_str();
        let waits = Waits::from_ms(WAITS.0, WAITS.1, WAITS.2);
        let vendor = HttpVendor::within(name, waits, &endpoint.key, &BTreeMap::new(), outside)?;
        let url = http::endpoint(&endpoint.url, &["chat-messages"], &BTreeMap::new())
            .map_err(|why| vendor.error(ErrorKind::Rejected, why))?;
        Ok(Self { vendor: Arc::new(vendor), url, conversations: Arc::default() })
    }
}

impl Llm for Dify {
    fn name(&self) -> &str {
        self.vendor.name()
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (sender, events) = mpsc::channel(EVENTS);
        let (vendor, url) = (Arc::clone(&self.vendor), self.url.clone());
        let conversations = Arc::clone(&self.conversations);
        let running = Running::spawn(async move {
            let known =
                conversations.lock().unwrap_or_else(PoisonError::into_inner).get(&request.conversation).cloned();
            let (body, headers) = (body(&request, known), http::headers_of(&request.headers));
            let mut reader = Reader::new(&vendor, &request.conversation, &conversations);
            if let Err(error) = answer(&vendor, (&url, &headers), &body, &mut reader, &sender).await {
                // Nobody listening: the answer was cancelled.
                drop(sender.send(Err(error)).await);
            }
        });
        LlmStream { events, running }
    }

    fn forget(&self, conversation: &str) {
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner).remove(conversation);
    }
}

/// The last words, the conversation they belong to, and what the agent adds: `inputs`, `user`, `conversation_id`.
fn body(request: &LlmRequest, known: Option<String>) -> Value {
    let mut body = Map::new();
    body.insert("inputs".to_owned(), json!({}));
    body.insert("user".to_owned(), json!(request.conversation));
    for (name, value) in &request.params {
        body.insert(name.clone(), value.clone());
    }
    if let Some(known) = known {
        body.insert("conversation_id".to_owned(), json!(known));
    }
    body.insert("query".to_owned(), json!(last_words(&request.messages)));
    body.insert("response_mode".to_owned(), json!("streaming"));
    Value::Object(body)
}

/// Everything that the person said since the agent spoke last.
fn last_words(messages: &[Message]) -> String {
    let since = messages.iter().rposition(|message| message.role == Role::Assistant).map_or(0, |at| at + 1);
    let said = messages[since..].iter().filter(|message| message.role == Role::User);
    let said: Vec<&str> = said.map(|message| message.content.as_str()).collect();
    said.join("\n")
}

type Events = mpsc::Sender<Result<LlmEvent, ProviderError>>;

async fn answer(
    vendor: &HttpVendor,
    (url, headers): (&Url, &HeaderMap),
    body: &Value,
    reader: &mut Reader<'_>,
    events: &Events,
) -> Result<(), ProviderError> {
    let first = Instant::now() + vendor.waits().first;
    let response = vendor.post_with(headers, url, body, first).await?;
    if !http::is_kind(&response, &["text/event-stream"]) {
        return Err(vendor.error(ErrorKind::Protocol, "something else than a stream of events"));
    }
    let body = response.bytes_stream().map(|piece| piece.map_err(|error| vendor.transport(error))).boxed();
    let deadlines = Deadlines { first, stall: vendor.waits().stall };
    sse::pump(vendor.name(), body, reader, deadlines, events).await
}

/// Reads one answer.
struct Reader<'a> {
    vendor: &'a HttpVendor,
    conversation: &'a str,
    conversations: &'a Conversations,
    progress: Progress,
    written: usize,
}

impl<'a> Reader<'a> {
    const fn new(vendor: &'a HttpVendor, conversation: &'a str, conversations: &'a Conversations) -> Self {
        Self { vendor, conversation, conversations, progress: Progress::Silent, written: 0 }
    }

    fn remember(&self, id: Option<String>) {
        let Some(id) = id.filter(|id| !id.is_empty()) else { return };
        let mut all = self.conversations.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_CONVERSATIONS && !all.contains_key(self.conversation) {
            all.clear();
        }
        all.insert(self.conversation.to_owned(), id);
    }

    fn done(&mut self, usage: Option<Usage>, out: &mut Vec<LlmEvent>) {
        self.progress = Progress::Done;
        out.push(LlmEvent::Done { usage });
    }
}

impl SseReader for Reader<'_> {
    type Event = LlmEvent;

    fn data(&mut self, data: &str, out: &mut Vec<LlmEvent>) -> Result<(), ProviderError> {
        let garbage = || self.vendor.error(ErrorKind::Protocol, "an event that is not its protocol");
        let event: Event = serde_json::from_str(data).map_err(|_| garbage())?;
        match event.event.as_str() {
            "message" | "agent_message" => {
                self.remember(event.conversation_id);
                let Some(text) = event.answer.filter(|text| !text.is_empty()) else { return Ok(()) };
                self.written = self.written.saturating_add(text.len());
                if self.written > sse::MAX_EVENT {
                    return Err(self.vendor.error(ErrorKind::Protocol, "an answer that is too long"));
                }
                self.progress = Progress::Speaking;
                out.push(LlmEvent::Text(text));
            }
            "message_end" => {
                self.remember(event.conversation_id);
                let usage = event.metadata.and_then(|metadata| metadata.usage);
                let usage = usage.map(|u| Usage { prompt: u.prompt_tokens, completion: u.completion_tokens });
                self.done(usage, out);
            }
            "error" => {
                let kind = http::status_kind(event.status.unwrap_or(500));
                let message = self.vendor.mask(&event.message.unwrap_or_default());
                return Err(self.vendor.error(kind, format!("an error: {message}")));
            }
            // Of a workflow's inside, of sound, of files, and signs of life: nothing to say.
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, out: &mut Vec<LlmEvent>) -> Result<(), ProviderError> {
        match self.progress {
            Progress::Silent => Err(self.vendor.error(ErrorKind::Protocol, "it ended without a word")),
            Progress::Speaking | Progress::Closing => {
                self.done(None, out);
                Ok(())
            }
            Progress::Done => Ok(()),
        }
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    event: String,
    answer: Option<String>,
    conversation_id: Option<String>,
    metadata: Option<Metadata>,
    status: Option<u16>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Stub, chunked, last_chunk};

    fn question(messages: Vec<Message>) -> LlmRequest {
        LlmRequest {
            conversation: "call-1".into(),
            model: String::new(),
            messages,
            tools: vec![],
            temperature: None,
            max_tokens: None,
            query: BTreeMap::new(),
            params: BTreeMap::from([("inputs".into(), json!({"city": "Bonn"}))]),
            script: Arc::new([]),
            headers: BTreeMap::new(),
        }
    }

    async fn heard(brain: &Dify, messages: Vec<Message>) -> Vec<Result<LlmEvent, ErrorKind>> {
        let LlmStream { mut events, running: _running } = brain.ask(question(messages));
        let mut heard = vec![];
        while let Some(event) = events.recv().await {
            heard.push(event.map_err(|error| error.kind));
        }
        heard
    }

    fn line(value: &Value) -> String {
        format!("data: {value}\n\n")
    }

    #[tokio::test]
    async fn the_application_is_told_the_last_words_under_its_own_id() {
        let words = |text: &str| line(&json!({"event": "message", "answer": text, "conversation_id": "dify-7"}));
        let end = line(&json!({"event": "message_end", "conversation_id": "dify-7",
            "metadata": {"usage": {"prompt_tokens": 4, "completion_tokens": 2}}}));
        let started = line(&json!({"event": "workflow_started", "task_id": "t"}));
        let answer = || {
            let (good, day) = (words("Good "), words("day."));
            let pieces = [started.as_str(), &good, &day, &end].map(str::as_bytes);
            [chunked("text/event-stream", &pieces), vec![last_chunk()]].concat()
        };
        let stub = Stub::start([answer(), answer()]).await;
        let endpoint = Endpoint {
            kind: "dify".into(),
            url: format!("http://127.0.0.1:{}/v1", stub.port),
            key: callwright_domain::Pii::new("app-key".into()),
            ..Endpoint::default()
        };
        let brain = Dify::new(&endpoint, &Outside::default()).expect("a brain");
        let text = |role, text: &str| Message::text(role, text);
        let first = vec![text(Role::System, "Be kind."), text(Role::User, "Hello?"), text(Role::User, "Anybody?")];
        let done = LlmEvent::Done { usage: Some(Usage { prompt: 4, completion: 2 }) };
        let wanted = vec![Ok(LlmEvent::Text("Good ".into())), Ok(LlmEvent::Text("day.".into())), Ok(done)];
        assert_eq!(heard(&brain, first.clone()).await, wanted);
        let second = [first, vec![text(Role::Assistant, "Good day."), text(Role::User, "Bye.")]].concat();
        assert_eq!(heard(&brain, second).await, wanted);
        let requests = stub.requests();
        assert!(requests[0].contains("POST /v1/chat-messages") && requests[0].contains("Bearer app-key"));
        assert!(requests[0].contains(r#""query":"Hello?\nAnybody?""#), "{}", requests[0]);
        assert!(requests[0].contains(r#""inputs":{"city":"Bonn"}"#) && !requests[0].contains("conversation_id"));
        assert!(requests[1].contains(r#""query":"Bye.""#) && requests[1].contains(r#""conversation_id":"dify-7""#));
        brain.forget("call-1");
        assert!(brain.conversations.lock().expect("whole").is_empty());
    }

    #[tokio::test]
    async fn its_errors_are_failures() {
        let error = line(&json!({"event": "error", "status": 429, "code": "busy", "message": "later"}));
        let stub =
            Stub::start([[chunked("text/event-stream", &[error.as_bytes()]), vec![last_chunk()]].concat()]).await;
        let endpoint =
            Endpoint { kind: "dify".into(), url: format!("http://127.0.0.1:{}", stub.port), ..Endpoint::default() };
        let brain = Dify::new(&endpoint, &Outside::default()).expect("a brain");
        assert_eq!(heard(&brain, vec![Message::text(Role::User, "x")]).await, [Err(ErrorKind::RateLimited)]);
    }
}
