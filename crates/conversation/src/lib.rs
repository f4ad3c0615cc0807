//! Who speaks when: the turn-taking machine of one call.
//!
//! Pure: driven by `(now, input)`. The agent acts only through typed tool calls; text the model speaks is never parsed
//! for commands.
//!
//! ```text
//! ears  ── Heard ─────────►┐                      ┌─ Ask, CancelAsk ──► brain
//! leg   ── Speech…, Key ──►│  Conversation        ├─ Say, Flush ──────► voice, playout
//! voice ── Voiced, Played ►│  handle(now, input)  ├─ RunTool, HangUp ─► call
//! brain ── Model ─────────►┘                      └─ Note ────────────► journal
//! ```
//!
//! Whoever drives it carries out every output in order, answers each [`Output::Flush`] with one [`Input::Flushed`], and
//! comes back with [`Input::Clock`] when [`Conversation::timeout`] is reached.

#![deny(clippy::wildcard_enum_match_arm)]

mod barge_in;
mod chance;
mod endpointing;
mod exchange;
mod history;
mod latency;
mod machine;
mod mouth;
mod phrasing;
mod screening;
mod speakable;
mod stock;
mod templates;
#[cfg(test)]
mod testing;
mod timers;
mod tools;
pub mod vocabulary;
mod words;
pub mod written;

pub use exchange::{
    Ask, AskId, Bearing, Grace, HeardPhrase, Input, Output, Phrase, PhraseId, Place, Press, Question, Saying, Setup,
    Sound, ToolAction, ToolRunId, Unheard, VoiceProgress, Words,
};
pub use machine::Conversation;
pub use templates::TemplateError;
pub use tools::DONE as TOOL_DONE;
