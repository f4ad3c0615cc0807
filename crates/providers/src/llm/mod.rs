//! Brain: from a conversation to the next words.

pub(crate) mod azure;
pub(crate) mod dify;
pub(crate) mod minimax;
pub mod openai;
pub mod script;

use crate::{ProviderError, Running};
use callwright_conversation::vocabulary::{LlmEvent, Message, ToolSpec};
use callwright_domain::agent::ScriptStep;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// One question to a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmRequest {
    /// The same for all questions of one call: a local model keeps its cache under it, a remote one may route by it.
    pub conversation: String,
    /// The vendor's model name; empty: its default.
    pub model: String,
    /// The whole conversation so far.
    pub messages: Vec<Message>,
    /// What the model may do.
    pub tools: Vec<ToolSpec>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Added to the request's query string.
    pub query: BTreeMap<String, String>,
    /// Added to the request's body.
    pub params: BTreeMap<String, Value>,
    /// Rules of the agent's scripted brain; other brains ignore them.
    pub script: Arc<[ScriptStep]>,
    /// Headers of this question, where it is asked by HTTP.
    pub headers: BTreeMap<String, String>,
}

/// An answer as it streams. Dropping it cancels the model's work.
#[derive(Debug)]
pub struct LlmStream {
    /// Bounded; closed after `Done` or an error.
    pub events: mpsc::Receiver<Result<LlmEvent, ProviderError>>,
    /// The task behind it.
    pub running: Running,
}

/// A kind of language model.
pub trait Llm: Send + Sync {
    /// Its configured name.
    fn name(&self) -> &str;
    /// Asks; the answer streams.
    fn ask(&self, request: LlmRequest) -> LlmStream;
    /// Reads the beginning of a conversation in advance, while the phone rings. Most vendors need not.
    fn warm(&self, _request: &LlmRequest) {}
    /// The conversation is over: whatever is kept under its name may go.
    fn forget(&self, _conversation: &str) {}
    /// Whether it is known to be out of order for now; only a chain of vendors knows such a thing.
    fn rests(&self) -> bool {
        false
    }
}
