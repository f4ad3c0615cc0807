//! The words in which ears, brain and voice speak to a conversation. The vendors' crate depends on these, never the
//! reverse; nothing here is shaped after a vendor.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a recogniser says.
#[derive(Debug, Clone, PartialEq)]
pub enum AsrEvent {
    /// A guess at the utterance that is being spoken; replaces the guess before it.
    Partial {
        /// The guess from the start of the segment.
        text: String,
    },
    /// A stretch of speech whose words will not change.
    Final {
        /// Its words.
        text: String,
        /// Whether the recogniser itself thinks that the speaker has finished.
        end_of_turn: EndOfTurn,
    },
}

/// The recogniser's own opinion whether the speaker has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndOfTurn {
    /// It has none: the words are final, the turn may go on.
    #[default]
    Unknown,
    /// It has heard its own configured silence after these words.
    Yes,
    /// It (or the turn model) thinks the sentence is unfinished.
    No,
}

/// What a language model says.
#[derive(Debug, Clone, PartialEq)]
pub enum LlmEvent {
    /// A piece of text, as it streams.
    Text(String),
    /// A complete tool call.
    Tool(ToolCall),
    /// Nothing more comes.
    Done {
        /// Tokens, where the vendor tells.
        usage: Option<Usage>,
    },
}

/// Tokens spent on one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub prompt: u32,
    /// Tokens written.
    pub completion: u32,
}

/// What a synthesiser says.
#[derive(Debug, Clone, PartialEq)]
pub enum TtsEvent {
    /// A piece of sound: mono, at the rate that was asked for.
    Audio(Vec<i16>),
    /// The phrase is complete.
    Done,
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The agent.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One message to a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// Its text.
    pub content: String,
    /// Tools the assistant called in it.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's result: the call it answers.
    pub answers: Option<String>,
}

impl Message {
    /// A message of text alone.
    pub fn text(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), tool_calls: Vec::new(), answers: None }
    }
}

/// A tool as it is described to a language model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// When to use it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A tool call made by a language model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The model's id for it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments as JSON text, unread.
    pub arguments: String,
}
