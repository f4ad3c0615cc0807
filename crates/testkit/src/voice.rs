//! A synthesiser that hums: a tone whose length is proportional to the text's.

use crate::sound::samples_in;
use crate::tone;
use callwright_conversation::vocabulary::TtsEvent;
use callwright_providers::tts::{Tts, TtsRequest, TtsStream};
use callwright_providers::{ErrorKind, ProviderError, Running};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How a synthesiser fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceFault {
    /// An error instead of sound.
    Fail,
    /// It says that it has too much to do.
    Busy,
    /// Neither sound nor error.
    Hang,
    /// The task behind the phrase panics.
    Panic,
    /// No fault: this phrase is hummed.
    None,
}

/// A synthesiser for tests. Clones share what was spoken.
#[derive(Clone)]
pub struct ToneVoice {
    per_character: Duration,
    delay: Duration,
    /// The silence in front of each phrase's sound.
    breath: Duration,
    /// The beginning of the tags that it speaks; empty: all.
    language: &'static str,
    /// The voices that it has besides its own; none: all.
    voices: Option<&'static [&'static str]>,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    /// Of the next phrases, in order.
    faults: VecDeque<VoiceFault>,
    /// Of all phrases after those.
    always: Option<VoiceFault>,
    spoken: Vec<String>,
}

impl ToneVoice {
    /// Hums this long for each character.
    pub fn new(per_character: Duration) -> Self {
        let (delay, breath) = (Duration::ZERO, Duration::ZERO);
        Self { per_character, delay, breath, language: "", voices: None, notes: Arc::default() }
    }

    /// The same, for languages whose tags begin like this alone.
    #[must_use]
    pub fn speaking(mut self, language: &'static str) -> Self {
        self.language = language;
        self
    }

    /// The same, with these voices alone.
    #[must_use]
    pub const fn with_voices(mut self, voices: &'static [&'static str]) -> Self {
        self.voices = Some(voices);
        self
    }

    /// The same, with this wait before the first sound of each phrase.
    #[must_use]
    pub fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The same, with this silence in front of the sound of each phrase.
    #[must_use]
    pub fn breathing(mut self, breath: Duration) -> Self {
        self.breath = breath;
        self
    }

    /// The next phrases fail in this way, one each.
    #[must_use]
    pub fn with_faults(self, faults: impl IntoIterator<Item = VoiceFault>) -> Self {
        self.lock().faults.extend(faults);
        self
    }

    /// All phrases after those fail in this way.
    #[must_use]
    pub fn always(self, fault: VoiceFault) -> Self {
        self.lock().always = Some(fault);
        self
    }

    /// Every phrase that was to be spoken so far.
    pub fn spoken(&self) -> Vec<String> {
        self.lock().spoken.clone()
    }

    /// How long a text is hummed.
    pub fn length(&self, text: &str) -> Duration {
        self.per_character * u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tts for ToneVoice {
    fn name(&self) -> &str {
        "tone voice"
    }

    fn speaks(&self, language: &str) -> bool {
        language.starts_with(self.language)
    }

    fn has_voice(&self, voice: &str) -> bool {
        voice.is_empty() || self.voices.is_none_or(|voices| voices.contains(&voice))
    }

    fn speak(&self, request: TtsRequest) -> TtsStream {
        let fault = {
            let mut notes = self.lock();
            notes.spoken.push(request.text.clone());
            notes.faults.pop_front().or(notes.always).unwrap_or(VoiceFault::None)
        };
        let breath = vec![0; samples_in(self.breath, request.rate)];
        let pcm = [breath, tone(self.length(&request.text), request.rate)].concat();
        let (sender, events) = mpsc::channel(8);
        TtsStream { events, running: Running::spawn(hum(pcm, request.rate, (self.delay, fault), sender)) }
    }
}

async fn hum(
    pcm: Vec<i16>,
    rate: u32,
    (delay, fault): (Duration, VoiceFault),
    events: mpsc::Sender<Result<TtsEvent, ProviderError>>,
) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let last = match fault {
        VoiceFault::None => Ok(TtsEvent::Done),
        VoiceFault::Fail => Err(ProviderError::new("tone voice", ErrorKind::Internal, "failed as told")),
        VoiceFault::Busy => Err(ProviderError::new("tone voice", ErrorKind::Saturated, "busy as told")),
        VoiceFault::Hang => std::future::pending().await,
        VoiceFault::Panic => panic!("the synthesiser's task panics, as it was told to"),
    };
    if last.is_ok() {
        for piece in pcm.chunks(rate as usize / 10) {
            if events.send(Ok(TtsEvent::Audio(piece.to_vec()))).await.is_err() {
                return;
            }
        }
    }
    // Nobody listens any more: then nobody need be told.
    events.send(last).await.ok();
}
