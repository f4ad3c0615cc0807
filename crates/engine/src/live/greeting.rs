//! The agent's first phrase, made while the telephone rings, so that it leaves with the first packet after the answer.
//! One phrase and no more: a vendor charges for what nobody may hear. Dropping it ends the vendor's work.

use super::voice::VoiceLine;
use crate::limits::GREETING_PIECES;
use callwright_conversation::vocabulary::TtsEvent;
use callwright_providers::tts::TtsStream;
use callwright_providers::{ProviderError, Running};
use tokio::sync::mpsc;

/// A phrase that is made or being made.
pub(super) struct Greeting {
    text: String,
    stream: TtsStream,
}

impl Greeting {
    /// Begins to make the sound of `text`.
    pub(super) fn make(line: &VoiceLine, text: String) -> Self {
        let stream = line.synthesiser.speak(line.request(text.clone()));
        // A vendor's own queue holds a second or two, and stops it when it is full.
        let (sender, events) = mpsc::channel(GREETING_PIECES);
        Self { text, stream: TtsStream { events, running: Running::spawn(keep(stream, sender)) } }
    }

    /// Its sound, if it is the sound of `text`.
    pub(super) fn of(self, text: &str) -> Option<TtsStream> {
        (self.text == text).then_some(self.stream)
    }
}

async fn keep(mut made: TtsStream, kept: mpsc::Sender<Result<TtsEvent, ProviderError>>) {
    while let Some(event) = made.events.recv().await {
        if kept.send(event).await.is_err() {
            return;
        }
    }
}
