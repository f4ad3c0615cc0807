//! Ears: from caller audio to words.

pub mod deepgram;
pub(crate) mod kept;

use crate::{ProviderError, Running};
use callwright_conversation::vocabulary::AsrEvent;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// What a recogniser is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct AsrParams {
    /// Samples a second of the audio that will be sent (8000 or 16000).
    pub rate: u32,
    /// BCP 47 tag or the vendor's own word; empty: the vendor's default.
    pub language: String,
    /// The vendor's model name; empty: its default.
    pub model: String,
    /// Words to listen for.
    pub hot_words: Vec<String>,
    /// Silence after which the recogniser may finalise, in milliseconds.
    pub silence_ms: u64,
    /// Passed to the vendor as they are.
    pub params: BTreeMap<String, String>,
}

/// What goes into a recogniser.
#[derive(Debug, Clone, PartialEq)]
pub enum AsrInput {
    /// Caller audio, mono, at the agreed rate, in pieces of any length.
    Audio(Vec<i16>),
    /// Our voice activity detector heard speech begin. A recogniser with its own detector may ignore it.
    SpeechStarted,
    /// Our voice activity detector has heard silence for a while: a good moment to make the words final.
    SpeechStopped,
}

/// A recogniser at work on one call. Dropping it ends the work.
#[derive(Debug)]
pub struct AsrStream {
    /// Bounded; when full, the engine drops the oldest audio.
    pub input: mpsc::Sender<AsrInput>,
    /// Bounded; closed after an error or the end.
    pub events: mpsc::Receiver<Result<AsrEvent, ProviderError>>,
    /// The task behind it.
    pub running: Running,
}

/// A kind of recogniser.
pub trait Asr: Send + Sync {
    /// Its configured name.
    fn name(&self) -> &str;
    /// Starts a stream at once; connecting happens inside, and audio sent meanwhile is kept.
    fn start(&self, params: AsrParams) -> AsrStream;
    /// Whether it understands a language (BCP 47 tag); what a vendor does not say counts as yes.
    fn understands(&self, _language: &str) -> bool {
        true
    }
    /// Whether it is known to be out of order for now; only a chain of vendors knows such a thing.
    fn rests(&self) -> bool {
        false
    }
}
