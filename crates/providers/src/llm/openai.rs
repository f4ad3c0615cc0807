//! Language models behind OpenAI's chat completions (platform.openai.com, "Create chat completion"), which most vendors
//! and most servers of open models imitate. Reads the answer as it streams; never runs a tool or reads its arguments.

use crate::endpoints::Outside;
use crate::http::{self, HttpVendor, Waits};
use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::sse::{self, Deadlines, Progress, SseReader};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::{LlmEvent, Message, Role, ToolCall, Usage};
use callwright_domain::pii::Pii;
use futures_util::StreamExt;
use reqwest::header::HeaderMap;
use reqwest::{Response, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// One configured model service of this kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiLlmConfig {
    /// Address before `/chat/completions`; may carry a query.
    pub base_url: String,
    /// API key, sent as `Authorization: Bearer`; empty: none is sent.
    pub key: Pii<String>,
    /// Further headers, such as `api-key`.
    pub headers: BTreeMap<String, Pii<String>>,
    /// Model when the agent names none; empty: none is sent.
    pub model: String,
    /// Members of every request's body; an agent's own go before them, and `null` takes a member away.
    pub params: BTreeMap<String, Value>,
    /// Longest wait for a connection, in milliseconds.
    pub connect_ms: u64,
    /// Longest wait for the first word, in milliseconds.
    pub first_ms: u64,
    /// Longest pause between two words, in milliseconds.
    pub stall_ms: u64,
    /// Where the same protocol is found with a vendor that calls it otherwise; empty: `/chat/completions`.
    #[serde(skip)]
    pub(crate) path: &'static [&'static str],
}

impl Default for OpenAiLlmConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            key: Pii::default(),
            headers: BTreeMap::new(),
            model: String::new(),
            params: BTreeMap::new(),
            connect_ms: 2000,
            first_ms: 5000,
            stall_ms: 3000,
            path: &[],
        }
    }
}

/// What a service is told of a call by those who come from Alibaba's agents. OpenAI itself refuses members that it does not
/// know; others pass over them.
const EXTENSION: &str = "extendData";
/// Ends of the names of hosts that refuse them.
const STRICT: [&str; 2] = ["api.openai.com", ".openai.azure.com"];

impl OpenAiLlmConfig {
    fn is_strict(&self) -> bool {
        // What is no address was refused when the service was made.
        let Ok(url) = Url::parse(&self.base_url) else { return false };
        url.host_str().is_some_and(|host| STRICT.iter().any(|strict| host.ends_with(strict)))
    }
}

/// A model service of this kind.
#[derive(Debug)]
pub struct OpenAiLlm {
    vendor: Arc<HttpVendor>,
    config: OpenAiLlmConfig,
    warming: Mutex<Option<Running>>,
}

impl OpenAiLlm {
    /// A model service called `name`. Fails with [`ErrorKind::Rejected`] when the address or a header cannot be used.
    pub fn new(name: &str, config: OpenAiLlmConfig) -> Result<Self, ProviderError> {
        Self::within(name, config, &Outside::default())
    }

    /// The same at an address that somebody else wrote.
    pub(crate) fn within(name: &str, config: OpenAiLlmConfig, outside: &Outside) -> Result<Self, ProviderError> {
        let waits = Waits::from_ms(config.connect_ms, config.first_ms, config.stall_ms);
        let vendor = Arc::new(HttpVendor::within(name, waits, &config.key, &config.headers, outside)?);
        let brain = Self { vendor, config, warming: Mutex::default() };
        brain.url(brain.path(), &BTreeMap::new())?;
        Ok(brain)
    }

    fn path(&self) -> &'static [&'static str] {
        if self.config.path.is_empty() { PATH } else { self.config.path }
    }

    fn url(&self, path: &[&str], query: &BTreeMap<String, String>) -> Result<Url, ProviderError> {
        http::endpoint(&self.config.base_url, path, query).map_err(|why| self.vendor.error(ErrorKind::Rejected, why))
    }
}

impl Llm for OpenAiLlm {
    fn name(&self) -> &str {
        self.vendor.name()
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (sender, events) = mpsc::channel(EVENTS);
        let vendor = Arc::clone(&self.vendor);
        let url = self.url(self.path(), &request.query);
        let headers = http::headers_of(&request.headers);
        let body = body(&self.config, request);
        let running = Running::spawn(async move {
            let asked = async { answer(&vendor, (&url?, &headers), &body, &sender).await };
            if let Err(error) = asked.await {
                // Nobody listening: the answer was cancelled.
                drop(sender.send(Err(error)).await);
            }
        });
        LlmStream { events, running }
    }

    fn warm(&self, _request: &LlmRequest) {
        let Ok(url) = self.url(&["models"], &BTreeMap::new()) else { return };
        let vendor = Arc::clone(&self.vendor);
        let knocking = Running::spawn(async move { vendor.knock(url).await });
        *self.warming.lock().unwrap_or_else(PoisonError::into_inner) = Some(knocking);
    }
}

/// The request's body: what we know, then what is configured, then what the agent asks for.
fn body(config: &OpenAiLlmConfig, request: LlmRequest) -> Value {
    let mut body = Map::new();
    let model = if request.model.is_empty() { &config.model } else { &request.model };
    if !model.is_empty() {
        body.insert("model".to_owned(), json!(model));
    }
    body.insert("messages".to_owned(), request.messages.iter().map(message).collect());
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    if let Some(temperature) = request.temperature {
        body.insert("temperature".to_owned(), json!(temperature));
    }
    if let Some(max_tokens) = request.max_tokens {
        body.insert("max_tokens".to_owned(), json!(max_tokens));
    }
    if !request.tools.is_empty() {
        let tool = |name: &str, description: &str, parameters: &Value| json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}});
        let tools = request.tools.iter().map(|spec| tool(&spec.name, &spec.description, &spec.parameters)).collect();
        body.insert("tools".to_owned(), tools);
    }
    // What this service was configured never to be sent stays away, whoever asks for it.
    let refused = config.is_strict() || config.params.get(EXTENSION).is_some_and(Value::is_null);
    let wanted = request.params.into_iter().filter(|(name, _)| !(refused && name == EXTENSION));
    for (name, value) in config.params.clone().into_iter().chain(wanted) {
        if value.is_null() {
            body.remove(&name);
        } else {
            body.insert(name, value);
        }
    }
    Value::Object(body)
}

fn message(message: &Message) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut wire = json!({"role": role, "content": message.content});
    if !message.tool_calls.is_empty() {
        let call = |call: &ToolCall| json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}});
        wire["tool_calls"] = message.tool_calls.iter().map(call).collect();
        if message.content.is_empty() {
            wire["content"] = Value::Null;
        }
    }
    if let Some(call) = &message.answers {
        wire["tool_call_id"] = json!(call);
    }
    wire
}

type Events = mpsc::Sender<Result<LlmEvent, ProviderError>>;

async fn answer(
    vendor: &HttpVendor,
    (url, headers): (&Url, &HeaderMap),
    body: &Value,
    events: &Events,
) -> Result<(), ProviderError> {
    let first = Instant::now() + vendor.waits().first;
    let response = vendor.post_with(headers, url, body, first).await?;
    let mut reader = Reader::new(vendor);
    if http::is_kind(&response, &["application/json"]) {
        return whole(vendor, response, &mut reader, events, first).await;
    }
    if http::is_kind(&response, &["text/html"]) {
        return Err(vendor.error(ErrorKind::Protocol, "a web page instead of an answer"));
    }
    let body = response.bytes_stream().map(|piece| piece.map_err(|error| vendor.transport(error))).boxed();
    let deadlines = Deadlines { first, stall: vendor.waits().stall };
    sse::pump(vendor.name(), body, &mut reader, deadlines, events).await
}

/// An answer that does not stream, although it was asked to.
async fn whole(
    vendor: &HttpVendor,
    mut response: Response,
    reader: &mut Reader<'_>,
    events: &Events,
    deadline: Instant,
) -> Result<(), ProviderError> {
    let mut body = Vec::new();
    loop {
        let piece = timeout_at(deadline, response.chunk()).await;
        let piece = piece.map_err(|_| vendor.error(ErrorKind::Timeout, "no first word in time"))?;
        let Some(piece) = piece.map_err(|error| vendor.transport(error))? else { break };
        if body.len() + piece.len() > sse::MAX_EVENT {
            return Err(vendor.error(ErrorKind::Protocol, "an answer that is too long"));
        }
        body.extend_from_slice(&piece);
    }
    let mut out = Vec::new();
    reader.data(&String::from_utf8_lossy(&body), &mut out)?;
    reader.ended(&mut out)?;
    for event in out {
        if events.send(Ok(event)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads one answer.
struct Reader<'a> {
    vendor: &'a HttpVendor,
    progress: Progress,
    tools: Vec<PartialTool>,
    usage: Option<Usage>,
    written: usize,
}

impl<'a> Reader<'a> {
    const fn new(vendor: &'a HttpVendor) -> Self {
        Self { vendor, progress: Progress::Silent, tools: Vec::new(), usage: None, written: 0 }
    }

    fn take(&mut self, choice: Choice, out: &mut Vec<LlmEvent>) -> Result<(), ProviderError> {
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            self.grow(text.len())?;
            self.progress = Progress::Speaking;
            out.push(LlmEvent::Text(text));
        }
        for (place, tool) in delta.tool_calls.unwrap_or_default().into_iter().enumerate() {
            self.progress = Progress::Speaking;
            self.assemble(place, tool)?;
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => Ok(()),
            Some("error") => Err(self.vendor.error(ErrorKind::Internal, "it gave up in the middle")),
            Some("content_filter") if self.progress == Progress::Silent => {
                Err(self.vendor.error(ErrorKind::Rejected, "its content filter kept the answer back"))
            }
            Some(reason) => {
                if !matches!(reason, "stop" | "tool_calls" | "function_call") {
                    tracing::info!(vendor = %self.vendor.name(), reason = %self.vendor.mask(reason), "answer cut short");
                }
                self.progress = Progress::Closing;
                out.extend(self.tools.drain(..).map(PartialTool::complete).map(LlmEvent::Tool));
                Ok(())
            }
        }
    }

    /// Adds a piece to the tool call it belongs to: by its index, or by its place where a vendor leaves that out.
    fn assemble(&mut self, place: usize, piece: ToolDelta) -> Result<(), ProviderError> {
        let index = piece.index.unwrap_or(place);
        let at = match self.tools.iter().position(|tool| tool.index == index) {
            Some(at) => at,
            None if self.tools.len() < MAX_TOOLS => {
                self.tools.push(PartialTool { index, ..PartialTool::default() });
                self.tools.len() - 1
            }
            None => return Err(self.vendor.error(ErrorKind::Protocol, "too many tool calls")),
        };
        let function = piece.function.unwrap_or_default();
        let arguments = match function.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
        };
        self.grow(arguments.len())?;
        let tool = &mut self.tools[at];
        if let Some(id) = piece.id.filter(|id| !id.is_empty()) {
            tool.id = id;
        }
        if tool.name.is_empty() {
            tool.name = function.name.unwrap_or_default();
        }
        tool.arguments.push_str(&arguments);
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), ProviderError> {
        self.written = self.written.saturating_add(bytes);
        if self.written > sse::MAX_EVENT {
            return Err(self.vendor.error(ErrorKind::Protocol, "an answer that is too long"));
        }
        Ok(())
    }

    fn done(&mut self, out: &mut Vec<LlmEvent>) {
        self.progress = Progress::Done;
        // Some vendors end without a finish reason; what they say is over is over.
        out.extend(self.tools.drain(..).map(PartialTool::complete).map(LlmEvent::Tool));
        out.push(LlmEvent::Done { usage: self.usage });
    }
}

impl SseReader for Reader<'_> {
    type Event = LlmEvent;

    fn data(&mut self, data: &str, out: &mut Vec<LlmEvent>) -> Result<(), ProviderError> {
        if data.trim() == "[DONE]" {
            self.done(out);
            return Ok(());
        }
        let garbage = || self.vendor.error(ErrorKind::Protocol, "an event that is not its protocol");
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| garbage())?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let message = http::error_message(&json!({ "error": error })).unwrap_or_default();
            return Err(self.vendor.error(ErrorKind::Internal, format!("an error: {}", self.vendor.mask(&message))));
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(Usage { prompt: usage.prompt_tokens, completion: usage.completion_tokens });
        }
        // We ask for one answer; a second one would be read into the first.
        for choice in chunk.choices.unwrap_or_default().into_iter().filter(|choice| choice.index == 0) {
            self.take(choice, out)?;
        }
        Ok(())
    }

    fn ended(&mut self, out: &mut Vec<LlmEvent>) -> Result<(), ProviderError> {
        match self.progress {
            Progress::Silent => Err(self.vendor.error(ErrorKind::Protocol, "it ended without a word")),
            Progress::Speaking => {
                tracing::warn!(vendor = %self.vendor.name(), "answer broken off; what came is taken as the whole");
                // Half a tool call must not be made.
                self.tools.clear();
                self.done(out);
                Ok(())
            }
            Progress::Closing => {
                self.done(out);
                Ok(())
            }
            Progress::Done => Ok(()),
        }
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}

#[derive(Debug, Default)]
struct PartialTool {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

impl PartialTool {
    fn complete(self) -> ToolCall {
        let id = if self.id.is_empty() { format!("call_{}", self.index) } else { self.id };
        ToolCall { id, name: self.name, arguments: self.arguments }
    }
}

#[derive(Serialize, Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    message: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Delta {
    content: Option<String>,
    tool_calls: Option<Vec<ToolDelta>>,
}

#[derive(Serialize, Deserialize)]
struct ToolDelta {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionDelta>,
}

#[derive(Default, Serialize, Deserialize)]
struct FunctionDelta {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

/// Where OpenAI has it.
const PATH: &[&str] = &["chat", "completions"];
const EVENTS: usize = 64;
const MAX_TOOLS: usize = 64;

#[cfg(test)]
mod tests;
