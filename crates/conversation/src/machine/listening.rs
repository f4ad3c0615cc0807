//! The callee: voice, words, keys, and text that stands for words. Ends with a turn that is to be answered.

use super::yielding::NO_WORDS;
use super::{Conversation, Greeted, Stage, Stance};
use crate::barge_in::Effect;
use crate::endpointing::{News, Utterance, Verdict};
use crate::exchange::Output;
use crate::latency::Stopwatch;
use crate::machine::thinking::Purpose;
use crate::timers::{Timer, span};
use crate::vocabulary::AsrEvent;
use crate::words;
use callwright_domain::CallEvent;
use callwright_domain::agent::Overheard;
use std::time::{Duration, Instant};

/// Words under the agent's speech that were too few to interrupt, but fell at its end, are an answer to it.
const AT_THE_END: Duration = Duration::from_millis(1500);
/// A callee who says no more than this into the first words of a greeting has not answered it.
const HELLO_WORDS: u32 = 2;
/// Keys that follow each other faster than this belong together.
const KEY_PAUSE: Duration = Duration::from_millis(1500);
/// Most keys given to the model at once.
const KEYS_CAP: usize = 32;
/// Longest text taken from outside, in bytes.
const TEXT_CAP: usize = 4000;

/// Words that were heard under the agent's speech and did not stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aside {
    /// It could not be interrupted.
    Barred,
    /// They were too few.
    TooFew,
}

impl Conversation {
    pub(super) fn speech_started(&mut self, now: Instant, speech: Duration) {
        if !self.listens(now) {
            return;
        }
        let since = now.checked_sub(speech).unwrap_or(now);
        self.ears.speech_started(since);
        self.barge_in.speech_started(since);
        self.drop_speculation();
    }

    pub(super) fn speech_stopped(&mut self, now: Instant, silence: Duration) {
        if !self.listens(now) || !self.ears.is_speaking() {
            return;
        }
        let since = now.checked_sub(silence).unwrap_or(now);
        self.ears.speech_stopped(since);
        self.barge_in.speech_stopped();
        if self.interruption.is_some() {
            self.out.timers.set(Timer::NoWords, since + NO_WORDS);
        }
        self.murmur();
        self.speculate(now);
    }

    pub(super) fn heard(&mut self, now: Instant, event: &AsrEvent) {
        if !self.listens(now) {
            return;
        }
        let late = self.ears.is_late(now);
        if self.ears.heard(now, event) == News::Nothing {
            return;
        }
        self.note_interaction(now);
        if self.thought_differs() {
            self.drop_speculation();
        }
        let is_final = matches!(event, AsrEvent::Final { .. });
        match self.stance() {
            _ if self.closing.is_some() => {}
            // "Hello?" before the greeting is answered by the greeting.
            Stance::Quiet | Stance::Thinking if self.is_greeting() => {
                if is_final {
                    self.hear_unanswered(now);
                }
            }
            // Said before the answer that has just ended: known to the model next time, and no turn of its own.
            Stance::Quiet if late && is_final && self.has_answered() => self.amend(now),
            Stance::Quiet => self.speculate(now),
            Stance::Thinking => self.words_while_thinking(now),
            Stance::Speaking if late => {
                if is_final {
                    self.amend(now);
                }
            }
            Stance::Speaking => self.words_over_speech(now),
        }
    }

    /// The words belong to the turn that is being answered or has been.
    fn amend(&mut self, now: Instant) {
        let utterance = self.ears.take(now);
        self.out.note(utterance.event(now));
        self.history.amend_callee(&utterance.text);
    }

    /// Whether the callee's last turn was answered by voice.
    fn has_answered(&self) -> bool {
        self.turn.entry.is_some() && self.turn.watch.is_none()
    }

    /// Whether the callee's turn may end: the agent does nothing.
    fn may_take_turn(&self) -> bool {
        let free = self.stage == Stage::Talking && !self.far_end.held.is_on() && !self.mouth.is_cutting();
        free && self.stance() == Stance::Quiet && self.closing.is_none()
    }

    /// Once the agent has spoken: what becomes of the words that were heard meanwhile.
    pub(super) fn consider_overheard(&mut self, now: Instant) {
        if !self.may_take_turn() {
            return;
        }
        match self.overheard.take() {
            Some(Aside::Barred) if self.agent.interrupt.overheard == Overheard::Discard => self.ears.discard(now),
            Some(Aside::TooFew) if !self.fell_at_the_end(now) => {
                self.hear_unanswered(now);
            }
            Some(Aside::Barred | Aside::TooFew) | None => {}
        }
    }

    /// Ends the callee's turn when it is over and the floor is free.
    pub(super) fn consider_turn(&mut self, now: Instant) {
        if self.may_take_turn() && self.ears.verdict(now) == Verdict::Over {
            let mut utterance = self.ears.take(now);
            self.far_end.marks = self.far_end.marks.over();
            if words::any(&utterance.text) {
                self.out.note(utterance.event(now));
            }
            if self.interruption.is_some() {
                utterance.text = self.barge_in.kept(utterance.text);
            }
            if self.is_hello(&utterance.text) {
                self.history.callee(&utterance.text);
                self.drop_speculation();
                self.interruption = None;
                self.greet_again();
            } else if words::any(&utterance.text) {
                self.answer(now, utterance);
            } else {
                self.drop_speculation();
                self.interruption = None;
            }
        }
    }

    /// The callee has said this; the agent is to answer.
    fn answer(&mut self, now: Instant, utterance: Utterance) {
        self.interruption = None;
        self.overheard = None;
        self.greeted = Greeted::Answered;
        self.out.timers.clear(Timer::NoWords);
        // A voice that goes on from before the end of the turn does not interrupt the answer; words will.
        self.barge_in.speech_stopped();
        self.barge_in.was_real();
        self.note_interaction(now);
        self.turn = super::Turn::default();
        self.turn.headers = self.orders.take_headers();
        self.turn.watch = Some(Stopwatch::start(utterance.silent, utterance.ruled, now));
        if self.agent.filler.after_ms > 0 {
            self.out.timers.set(Timer::Filler, now + span(self.agent.filler.after_ms));
        }
        let guessed = self.thought.as_ref().is_some_and(|thought| thought.is_about(&utterance.text));
        self.history.callee(&utterance.text);
        if guessed {
            self.confirm_thought(now);
        } else {
            self.drop_speculation();
            self.ask(now, Purpose::Turn);
        }
    }

    pub(super) fn key(&mut self, now: Instant, key: char) {
        let key = key.to_ascii_uppercase();
        let is_key = key.is_ascii_digit() || matches!(key, '*' | '#' | 'A'..='D');
        if !is_key || self.stage == Stage::Ringing {
            return;
        }
        self.out.note(CallEvent::KeyPressed { key });
        self.note_interaction(now);
        if self.keys.len() < KEYS_CAP {
            self.keys.push(key);
        }
        if key == '#' {
            self.keys_are_complete(now);
        } else {
            self.out.timers.set(Timer::Keys, now + KEY_PAUSE);
        }
    }

    /// Keys are given to the model as words of the callee.
    pub(super) fn keys_are_complete(&mut self, now: Instant) {
        self.out.timers.clear(Timer::Keys);
        let keys: Vec<String> = std::mem::take(&mut self.keys).chars().map(String::from).collect();
        if !keys.is_empty() {
            self.put_in_the_callees_mouth(now, &format!("(pressed the keys {})", keys.join(" ")));
        }
    }

    /// Answers a text from outside.
    pub(super) fn user_text(&mut self, now: Instant, text: &str) {
        self.put_in_the_callees_mouth(now, words::clip(text.trim(), TEXT_CAP));
    }

    /// Answers a text as if it had been heard, unless the agent is saying something that must be heard first.
    fn put_in_the_callees_mouth(&mut self, now: Instant, text: &str) {
        let nobody = self.closing.is_some() || self.is_with_machine() || self.is_transferring();
        if self.stage != Stage::Talking || nobody || text.is_empty() {
            return;
        }
        if self.ears.given(now, text) == News::Nothing {
            return;
        }
        self.drop_speculation();
        self.note_interaction(now);
        match self.stance() {
            Stance::Quiet => {}
            Stance::Thinking | Stance::Speaking if self.mouth.is_interruptible() => self.interrupt(now),
            Stance::Thinking | Stance::Speaking => self.overheard = Some(Aside::Barred),
        }
    }

    /// The words heard so far go into the history, but nobody answers them.
    pub(super) fn hear_unanswered(&mut self, now: Instant) {
        self.orders.take_headers();
        let utterance = self.ears.take(now);
        self.interruption = None;
        if words::any(&utterance.text) {
            self.out.note(utterance.event(now));
            self.history.callee(&utterance.text);
        }
    }

    /// Asks the model in advance, when the callee would be complete if nothing more came.
    pub(super) fn speculate(&mut self, now: Instant) {
        let free = self.stance() == Stance::Quiet && self.stage == Stage::Talking && !self.mouth.is_cutting();
        if !free || self.closing.is_some() || self.thought.is_some() {
            return;
        }
        let Some(text) = self.ears.likely().map(str::to_owned) else { return };
        let interrupts = self.interruption.is_some() && self.barge_in.effect(&text) == Effect::Keyword;
        if !interrupts && !self.is_hello(&text) {
            self.ask_in_advance(now, text);
        }
    }

    /// A small sound of attention while the callee pauses in the middle of something.
    fn murmur(&mut self) {
        let unfinished = self.stance() == Stance::Quiet && self.ears.has_words() && self.closing.is_none();
        let likely = self.agent.backchannel.probability;
        if unfinished
            && self.out.chance.happens(likely)
            && let Some(word) = self.texts.backchannels.take(&mut self.out.chance)
        {
            self.out.put(Output::Backchannel(word));
        }
    }

    fn words_while_thinking(&mut self, now: Instant) {
        if self.mouth.is_interruptible() {
            self.interrupt(now);
        } else {
            self.overheard = Some(Aside::Barred);
        }
    }

    fn words_over_speech(&mut self, now: Instant) {
        match self.barge_in.effect(&self.ears.text()) {
            Effect::Keyword | Effect::Enough if self.mouth.is_interruptible() => {
                self.interrupt(now);
            }
            Effect::Keyword | Effect::Enough | Effect::Barred => self.overheard = Some(Aside::Barred),
            Effect::TooFew => self.overheard = Some(Aside::TooFew),
        }
    }

    /// Whether these words only collided with the greeting.
    fn is_hello(&self, text: &str) -> bool {
        let collided = self.interruption.as_ref().is_some_and(|interruption| interruption.of_greeting.is_on());
        let short = words::any(text) && words::count(text) <= HELLO_WORDS;
        collided && short && self.barge_in.effect(text) != Effect::Keyword
    }

    fn fell_at_the_end(&self, now: Instant) -> bool {
        self.ears.is_speaking()
            || self.ears.last_words().is_some_and(|at| now.saturating_duration_since(at) <= AT_THE_END)
    }

    /// Whether what is heard matters: the call is answered, not on hold, not over, and not between two turns.
    fn listens(&self, now: Instant) -> bool {
        let somebody = !self.far_end.held.is_on() && !self.is_with_machine() && !self.is_transferring();
        matches!(self.stage, Stage::Greeting | Stage::Talking) && somebody && self.far_end.marks.hear(now)
    }
}
