//! Voice: from phrases to sound.

pub(crate) mod azure;
pub(crate) mod custom;
mod hosted;
pub(crate) mod minimax;
pub mod openai;
mod sound;
pub(crate) mod tencent;
pub(crate) mod volcengine;

use crate::{ProviderError, Running};
use callwright_conversation::vocabulary::TtsEvent;
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// One phrase to speak.
#[derive(Debug, Clone, PartialEq)]
pub struct TtsRequest {
    /// The phrase.
    pub text: String,
    /// Samples a second of the sound that is wanted (8000 or 16000). The provider converts.
    pub rate: u32,
    /// The vendor's voice; empty: its default.
    pub voice: String,
    /// The vendor's model; empty: its default.
    pub model: String,
    /// BCP 47 tag or the vendor's own word; empty: the vendor's default.
    pub language: String,
    /// Speed; 1.0 is the voice's own.
    pub speed: f64,
    /// The vendor's word for an emotion; empty: none.
    pub emotion: String,
    /// Passed to the vendor as they are.
    pub params: BTreeMap<String, String>,
}

impl TtsRequest {
    /// `text` as the vendor's default voice says it.
    pub fn new(text: impl Into<String>, rate: u32) -> Self {
        Self {
            text: text.into(),
            rate,
            voice: String::new(),
            model: String::new(),
            language: String::new(),
            speed: 1.0,
            emotion: String::new(),
            params: BTreeMap::new(),
        }
    }
}

/// Sound as it streams. Dropping it cancels the synthesis.
#[derive(Debug)]
pub struct TtsStream {
    /// Bounded: a synthesiser faster than real time waits. Closed after `Done` or an error.
    pub events: mpsc::Receiver<Result<TtsEvent, ProviderError>>,
    /// The task behind it.
    pub running: Running,
}

impl TtsStream {
    /// All the sound of the phrase, for whoever need not begin to play it before it is whole.
    ///
    /// # Errors
    /// The vendor's, also when part of the phrase had sounded.
    pub async fn whole(mut self) -> Result<Vec<i16>, ProviderError> {
        let mut sound = Vec::new();
        while let Some(event) = self.events.recv().await {
            match event? {
                TtsEvent::Audio(pcm) => sound.extend(pcm),
                TtsEvent::Done => break,
            }
        }
        Ok(sound)
    }
}

/// A kind of synthesiser.
pub trait Tts: Send + Sync {
    /// Its configured name.
    fn name(&self) -> &str;
    /// Speaks one phrase; the sound streams.
    fn speak(&self, request: TtsRequest) -> TtsStream;
    /// Makes ready what the first phrase would wait for, while the phone rings. Costs nothing that a vendor charges for.
    fn warm(&self, _request: &TtsRequest) {}
    /// Whether it can speak a language (BCP 47 tag); what a vendor does not say counts as yes.
    fn speaks(&self, _language: &str) -> bool {
        true
    }
    /// Whether it has a voice of this name (empty: its default); what a vendor does not say counts as yes.
    fn has_voice(&self, _voice: &str) -> bool {
        true
    }
    /// Whether it is known to be out of order for now; only a chain of vendors knows such a thing.
    fn rests(&self) -> bool {
        false
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! What the tests of synthesisers share.

    use super::TtsStream;
    use crate::ErrorKind;

    /// All the sound of a phrase, or how it failed.
    pub(crate) async fn spoken(stream: TtsStream) -> Result<Vec<i16>, ErrorKind> {
        stream.whole().await.map_err(|error| {
            assert!(!error.to_string().contains("key"), "a secret shows: {error}");
            error.kind
        })
    }

    /// A sound that is easily told from silence.
    pub(crate) fn tone(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((n as f64 * 0.1).sin() * 8000.0) as i16).collect()
    }

    /// Samples as they are sent.
    pub(crate) fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }
}
