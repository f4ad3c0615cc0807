//! Where the time between the callee's last sound and the agent's first one went, and when something sounded, as it is told.
//! Measures; decides nothing.

use callwright_domain::call::{Span, TurnLatency};
use std::time::{Duration, Instant};

/// The stopwatch of one turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch {
    /// The callee's last sound.
    silent: Instant,
    /// When the configured rule alone would have ended the turn.
    ruled: Instant,
    /// When it was ended.
    decided: Instant,
    asked: Option<Instant>,
    phrase: Option<Instant>,
}

impl Stopwatch {
    /// Starts when the turn is over. `silent` and `ruled` in the future count as `decided`.
    pub(crate) fn start(silent: Instant, ruled: Instant, decided: Instant) -> Self {
        let silent = silent.min(decided);
        Self { silent, ruled: ruled.clamp(silent, decided), decided, asked: None, phrase: None }
    }

    /// The question that is answered now was put (perhaps before the turn was over).
    pub(crate) fn asked(&mut self, at: Instant) {
        if self.phrase.is_none() {
            self.asked = Some(at);
        }
    }

    /// The first phrase of the answer went to the voice.
    pub(crate) fn phrased(&mut self, at: Instant) {
        self.phrase.get_or_insert(at);
    }

    /// When the callee fell silent.
    pub(crate) const fn silent(&self) -> Instant {
        self.silent
    }

    /// The split, at the first sound of the answer.
    pub(crate) fn stop(&self, sound: Instant) -> TurnLatency {
        let asked = self.asked.unwrap_or(self.decided).max(self.decided);
        let phrase = self.phrase.unwrap_or(asked).max(asked);
        let total_ms = between(self.silent, sound);
        let endpoint_ms = between(self.silent, self.ruled);
        let ears_ms = between(self.ruled, self.decided);
        let brain_ms = between(asked, phrase);
        let voice_ms = between(phrase, sound);
        let parts = endpoint_ms.saturating_add(ears_ms).saturating_add(brain_ms).saturating_add(voice_ms);
        TurnLatency { total_ms, endpoint_ms, ears_ms, brain_ms, voice_ms, own_ms: total_ms.saturating_sub(parts) }
    }
}

/// When something sounded, from its begin to its end, as it is told at `now`.
pub(crate) fn span_before(now: Instant, (began, ended): (Instant, Instant)) -> Span {
    let ended_ms = between(ended, now);
    Span { began_ms: between(began, now).max(ended_ms), ended_ms }
}

/// In milliseconds.
fn between(from: Instant, to: Instant) -> u32 {
    let span: Duration = to.saturating_duration_since(from);
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_whole() {
        let zero = crate::testing::zero();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut watch = Stopwatch::start(at(0), at(400), at(550));
        watch.asked(at(300));
        watch.phrased(at(900));
        let latency = watch.stop(at(1000));
        let expected =
            TurnLatency { total_ms: 1000, endpoint_ms: 400, ears_ms: 150, brain_ms: 350, voice_ms: 100, own_ms: 0 };
        assert_eq!(latency, expected);
    }
}
