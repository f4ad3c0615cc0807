//! May the callee cut the agent off, and has it? Judges voice and words against the settings. Never flushes or cancels
//! anything itself.

use crate::timers::span;
use crate::words;
use callwright_domain::agent::{InterruptSettings, Switch};
use std::time::Instant;

/// After so many interruptions in a row that brought no word, the line is noisy: words are needed from then on.
const FALSE_ALARMS: u32 = 2;

/// What recognised words do to a speaking agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// They interrupt it: an interrupting word was among them.
    Keyword,
    /// They interrupt it: they are enough.
    Enough,
    /// They are too few.
    TooFew,
    /// The agent may not be interrupted by talking.
    Barred,
}

/// The judge.
#[derive(Debug)]
pub(crate) struct BargeIn {
    settings: InterruptSettings,
    speaking_since: Option<Instant>,
    false_alarms: u32,
}

impl BargeIn {
    pub(crate) const fn new(settings: InterruptSettings) -> Self {
        Self { settings, speaking_since: None, false_alarms: 0 }
    }

    /// Judges by other settings from now on.
    pub(crate) fn adopt(&mut self, fresh: Self) {
        self.settings = fresh.settings;
    }

    pub(crate) const fn speech_started(&mut self, since: Instant) {
        self.speaking_since = Some(since);
    }

    pub(crate) const fn speech_stopped(&mut self) {
        self.speaking_since = None;
    }

    /// When the voice that is noticed now will have lasted long enough to interrupt by itself.
    pub(crate) fn due(&self) -> Option<Instant> {
        let voice_alone = self.settings.by_voice.is_on() && self.settings.min_words == 0;
        if !voice_alone || self.false_alarms >= FALSE_ALARMS {
            return None;
        }
        self.speaking_since.map(|since| since + span(self.settings.min_speech_ms))
    }

    /// What these words, heard while the agent speaks, do.
    pub(crate) fn effect(&self, text: &str) -> Effect {
        if words::contains_any(text, &self.settings.words) {
            Effect::Keyword
        } else if !self.settings.by_voice.is_on() {
            Effect::Barred
        } else if words::count(text) >= self.settings.min_words.max(1) {
            Effect::Enough
        } else {
            Effect::TooFew
        }
    }

    /// What of an utterance that interrupted is given to the model.
    pub(crate) fn kept(&self, text: String) -> String {
        match self.settings.keep_words {
            Switch::On => text,
            Switch::Off if words::contains_any(&text, &self.settings.words) => {
                words::without(&text, &self.settings.words)
            }
            Switch::Off => text,
        }
    }

    /// The interruption brought words.
    pub(crate) const fn was_real(&mut self) {
        self.false_alarms = 0;
    }

    /// The interruption brought none. The voice that goes on does not interrupt again.
    pub(crate) const fn was_false(&mut self) {
        self.false_alarms = self.false_alarms.saturating_add(1);
        self.speaking_since = None;
    }
}
