//! The agent's first phrase, made while the telephone rings, so that it leaves with the first packet after the answer.
//! One phrase and no more: a vendor charges for what nobody may hear. Dropping it ends the vendor's work.

use super::voice::VoiceLine;
use crate::limits::{GREETING_AGAIN, GREETING_PIECES};
use callwright_conversation::vocabulary::TtsEvent;
use callwright_providers::tts::TtsStream;
use callwright_providers::{ErrorKind, ProviderError, Running};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// A phrase that is made or being made.
pub(super) struct Greeting {
    text: String,
    stream: TtsStream,
}

impl Greeting {
    /// Begins to make the sound of `text`.
    pub(super) fn make(line: &VoiceLine, text: String) -> Self {
        let (synthesiser, request) = (Arc::clone(&line.synthesiser), line.request(text.clone()));
        let speak = move || synthesiser.speak(request.clone());
        // A vendor's own queue holds a second or two, and stops it when it is full.
        let (sender, events) = mpsc::channel(GREETING_PIECES);
        Self { text, stream: TtsStream { events, running: Running::spawn(keep(speak, sender)) } }
    }

    /// Its sound, if it is the sound of `text`.
    pub(super) fn of(self, text: &str) -> Option<TtsStream> {
        (self.text == text).then_some(self.stream)
    }
}

/// Passes the sound on. A voice that has too much to do is asked again: it rings, so there is time, and a call that is
/// answered meanwhile waits no longer for it than for any other phrase.
async fn keep(speak: impl Fn() -> TtsStream, kept: mpsc::Sender<Result<TtsEvent, ProviderError>>) {
    let mut made = speak();
    let mut first = made.events.recv().await;
    while matches!(&first, Some(Err(error)) if error.kind == ErrorKind::Saturated) {
        sleep(GREETING_AGAIN).await;
        made = speak();
        first = made.events.recv().await;
    }
    while let Some(event) = first {
        if kept.send(event).await.is_err() {
            return;
        }
        first = made.events.recv().await;
    }
}
