//! The end: nobody speaks, somebody hangs up, nothing works. Last words are played before the line is cut, within
//! bounds.

use super::{Conversation, Stage};
use crate::exchange::{Grace, Output};
use crate::history::Memory;
use crate::latency::Stopwatch;
use crate::timers::{Timer, Timers, span};
use crate::words;
use callwright_domain::HangupCause;
use callwright_domain::agent::Switch;
use std::time::{Duration, Instant};

/// How long the call goes on for the sake of last words.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The least of it that an apology has.
const APOLOGY: Duration = Duration::from_secs(6);
/// By when an apology is over, counted from the callee's last sound: with the time a model may hang before it and what
/// is left to do after it, a call in which nothing works ends within fifteen seconds.
const APOLOGY_BY: Duration = Duration::from_millis(13_500);

impl Conversation {
    /// The callee did something, or somebody outside did.
    pub(super) fn note_interaction(&mut self, now: Instant) {
        self.idle.interaction = Some(now);
        self.idle.since = None;
        self.idle.reminders = 0;
    }

    /// When to remind a silent callee, and when to leave one.
    pub(super) fn idle_deadlines(&mut self, now: Instant, quiet: bool) -> (Option<Instant>, Option<Instant>) {
        let settings = &self.agent.idle;
        let waiting = self.interruption.is_some() || self.closing.is_some() || self.is_with_machine();
        let waiting = waiting || self.mouth.is_cutting() || self.is_transferring();
        if !quiet || waiting || self.ears.has_words() {
            self.idle.since = None;
            return (None, None);
        }
        let after = |from: Instant, ms: u64| (ms > 0).then(|| from + span(ms));
        let leave = after(self.idle.interaction.unwrap_or(now), settings.hang_up_after_ms);
        if self.ears.is_speaking() {
            self.idle.since = None;
            return (None, leave);
        }
        let since = *self.idle.since.get_or_insert(now);
        let used_up = self.idle.reminders >= settings.max_reminders;
        let has_reminders = !self.texts.reminders.is_empty() || settings.max_reminders == 0;
        let has_reminders = has_reminders && (settings.leave.is_on() || !used_up);
        let remind = if has_reminders { after(since, settings.remind_after_ms) } else { None };
        (remind, leave)
    }

    pub(super) fn remind(&mut self, now: Instant) {
        if self.idle.reminders >= self.agent.idle.max_reminders {
            if self.agent.idle.leave.is_on() {
                self.leave(now);
            }
            return;
        }
        self.idle.reminders += 1;
        if let Some(reminder) = self.texts.reminders.take(&mut self.out.chance) {
            self.say_text(&reminder, Memory::Keep, Switch::On);
        }
    }

    /// Nobody is there: says goodbye and hangs up.
    pub(super) fn leave(&mut self, now: Instant) {
        let goodbye = self.agent.idle.goodbye.clone();
        self.say_text(&goodbye, Memory::Keep, Switch::Off);
        self.close_call(now, HangupCause::Idle);
    }

    /// Something without which there is no conversation has failed: apologises and hangs up.
    pub(super) fn give_up(&mut self, now: Instant, cause: HangupCause) {
        if self.stage == Stage::Ringing {
            self.hang_up(now, cause);
            return;
        }
        if self.closing.is_some() {
            return;
        }
        self.cancel_thought();
        self.interrupt_tools();
        self.stage = Stage::Talking;
        for line in self.mouth.take_ready() {
            self.history.cut(line.id, 0);
        }
        let sorry = self.texts.stock.sorry;
        self.say_text(sorry, Memory::Forget, Switch::Off);
        self.close_call(now, cause);
        let callee = self.turn.watch.as_ref().map(Stopwatch::silent);
        let by = callee.map_or(now + LAST_WORDS, |silent| silent + APOLOGY_BY);
        self.out.timers.set(Timer::LastWords, by.clamp(now + APOLOGY, now + LAST_WORDS));
    }

    /// From now on only last words are said; then the call ends.
    pub(super) fn close_call(&mut self, now: Instant, cause: HangupCause) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(cause);
        self.interruption = None;
        self.drop_speculation();
        self.out.timers.set(Timer::LastWords, now + LAST_WORDS);
    }

    /// What was just begun, which takes so long, are the last words.
    pub(super) fn close_after(&mut self, now: Instant, length: Duration, cause: HangupCause) {
        self.cancel_thought();
        self.interrupt_tools();
        self.stage = Stage::Talking;
        self.close_call(now, cause);
        self.out.timers.set(Timer::LastWords, now + length + LAST_WORDS);
    }

    pub(super) fn stop(&mut self, now: Instant, cause: HangupCause, grace: Grace) {
        match grace {
            Grace::FinishUtterance if self.stage == Stage::Talking => {
                self.cancel_thought();
                self.interrupt_tools();
                self.close_call(now, cause);
            }
            Grace::FinishUtterance | Grace::Now => self.hang_up(now, cause),
        }
    }

    pub(super) fn last_words_took_too_long(&mut self, now: Instant) {
        self.finish_call(now);
    }

    /// The last words have been said.
    pub(super) fn finish_call(&mut self, now: Instant) {
        if let Some(cause) = self.closing {
            self.hang_up(now, cause);
        }
    }

    /// Ends the call at once. What was said and heard so far still goes into the journal.
    pub(super) fn hang_up(&mut self, now: Instant, cause: HangupCause) {
        self.cancel_thought();
        self.interrupt_tools();
        for line in self.mouth.take_ready() {
            self.history.cut(line.id, 0);
        }
        self.mouth.start_cutting();
        for cut in self.mouth.cut_by_estimate(now) {
            self.note_sound(now, &cut);
            self.history.cut(cut.line.id, cut.heard);
        }
        self.note_what_was_said(now);
        let left = self.ears.take(now);
        if words::any(&left.text) && self.stage != Stage::Ringing {
            self.out.note(left.event(now));
        }
        self.stage = Stage::Over;
        self.out.timers = Timers::default();
        self.out.put(Output::HangUp(cause));
    }
}
