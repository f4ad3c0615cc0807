//! What was said in a call, line by line, as both sides really heard it. A projection of the journal, never a source.

use crate::Moment;
use crate::call::{CallEvent, Recorded, Span, TurnLatency};
use serde::{Deserialize, Serialize};

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person on the other end.
    Callee,
    /// Our agent.
    Agent,
}

/// One utterance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// Place of its event in the call's journal: together with the call it names the line.
    pub seq: u64,
    /// Who spoke.
    pub speaker: Speaker,
    /// What was heard. Of an interrupted agent only what was played.
    pub text: String,
    /// When the line was complete.
    pub at: Moment,
    /// When it sounded, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// The agent was cut off by the callee.
    pub interrupted: bool,
    /// Somebody outside had ordered the agent to say it as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_order: bool,
    /// How the time before this agent line was spent.
    pub latency: Option<TurnLatency>,
}

/// The transcript of a call from its journal.
pub fn of_journal(events: &[Recorded]) -> Vec<TranscriptLine> {
    let mut lines = Vec::new();
    let mut pending: Option<TurnLatency> = None;
    for recorded in events {
        match &recorded.event {
            CallEvent::Heard { text, span } => lines.push(TranscriptLine {
                seq: recorded.seq,
                speaker: Speaker::Callee,
                text: text.expose().clone(),
                at: recorded.at,
                span: *span,
                interrupted: false,
                by_order: false,
                latency: None,
            }),
            CallEvent::TurnTaken { latency } => pending = Some(*latency),
            CallEvent::Said { text, interrupted, by_order, span, unsaid: _ } => lines.push(TranscriptLine {
                seq: recorded.seq,
                speaker: Speaker::Agent,
                text: text.expose().clone(),
                at: recorded.at,
                span: *span,
                interrupted: *interrupted,
                by_order: *by_order,
                latency: pending.take(),
            }),
            _ => {}
        }
    }
    lines
}
