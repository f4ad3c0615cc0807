//! Giving up the floor: to a callee who interrupts, to hold, to an order. And taking it back when the callee had
//! nothing to say after all.

use super::{Conversation, Stage, Stance};
use crate::exchange::{Output, Sound};
use crate::history::{EntryId, Kind};
use crate::machine::thinking::{Answer, Purpose};
use crate::mouth::{Cut, Line};
use crate::timers::Timer;
use callwright_domain::CallEvent;
use callwright_domain::agent::Switch;
use std::time::{Duration, Instant};

/// How long a flush may go unreported.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);
/// An interruption that has brought no word this long after the voice stopped was none.
pub(super) const NO_WORDS: Duration = Duration::from_millis(1200);
/// A voice that goes on for so long without a word being recognised is noise.
const NOISE: Duration = Duration::from_secs(15);

/// What was given up, until words show that it was right to.
#[derive(Debug)]
pub(super) struct Interruption {
    at: Instant,
    /// What had been made and was not heard.
    rest: Vec<Rest>,
    /// What was being made.
    midway: Option<(Purpose, Option<EntryId>)>,
    /// Whether the greeting had only just begun.
    pub(super) of_greeting: Switch,
}

/// What was not heard of a phrase.
#[derive(Debug)]
struct Rest {
    kind: Kind,
    text: String,
    /// In the place of a text.
    sound: Option<Sound>,
}

impl Conversation {
    /// The callee has spoken for long enough.
    pub(super) fn voice_interrupts(&mut self, now: Instant) {
        let due = self.barge_in.due().is_some_and(|due| due <= now);
        if due && self.may_yield() {
            self.interrupt(now);
        }
    }

    /// Whether the voice alone can take the floor from the agent.
    pub(super) fn may_yield(&self) -> bool {
        let talking = self.stage == Stage::Talking && !self.far_end.held.is_on() && self.closing.is_none();
        talking && self.stance() != Stance::Quiet && self.mouth.is_interruptible() && !self.is_greeting()
    }

    /// Stops speaking and thinking at once, for the callee.
    pub(super) fn interrupt(&mut self, now: Instant) {
        let audible = self.mouth.is_audible();
        self.orders.interrupted();
        self.give_way(now);
        if audible {
            self.out.note(CallEvent::Interrupted);
        }
        let patience = if self.ears.is_speaking() { NOISE } else { NO_WORDS };
        self.out.timers.set(Timer::NoWords, now + patience);
    }

    /// Stops speaking and thinking at once, and remembers what was lost.
    pub(super) fn give_way(&mut self, now: Instant) {
        let mut rest = Vec::new();
        for line in self.mouth.take_ready() {
            rest.extend(self.cut_off(line, (0, Duration::ZERO)));
        }
        if self.mouth.is_open() {
            self.mouth.start_cutting();
            self.out.put(Output::Flush);
            self.out.timers.set(Timer::FlushReport, now + FLUSH_PATIENCE);
        }
        let thought = self.cancel_thought().filter(Answer::is_confirmed);
        let mut midway = thought.map(|thought| (thought.purpose, thought.entry));
        if self.runs.is_some() {
            self.interrupt_tools();
            midway = Some((Purpose::FollowUp, None));
        }
        self.out.timers.clear(Timer::Filler);
        self.turn.owed = None;
        self.overheard = None;
        let of_greeting = Switch::from(self.has_just_greeted(now));
        self.interruption = Some(Interruption { at: now, rest, midway, of_greeting });
    }

    /// It is known how much was heard of what was cut off.
    pub(super) fn settle_cuts(&mut self, now: Instant, cuts: Vec<Cut>) {
        self.out.timers.clear(Timer::FlushReport);
        let mut rest = Vec::new();
        for cut in cuts {
            self.note_sound(now, &cut);
            rest.extend(self.cut_off(cut.line, (cut.heard, cut.played)));
        }
        if let Some(interruption) = &mut self.interruption {
            rest.append(&mut interruption.rest);
            interruption.rest = rest;
        }
    }

    /// So much of a phrase was heard, in bytes of its text and in time of its sound. What is left, if that is worth saying.
    fn cut_off(&mut self, line: Line, (heard, played): (usize, Duration)) -> Option<Rest> {
        let kind = self.history.kind_to_go_on(line.entry);
        let text = self.history.cut(line.id, heard);
        let sound = line.sound.and_then(|sound| sound.behind(played));
        let rest = Rest { kind: kind?, text, sound };
        (!rest.text.is_empty() || rest.sound.is_some()).then_some(rest)
    }

    /// The time for words after an interruption is over.
    pub(super) fn no_words_came(&mut self, now: Instant) {
        let Some(interruption) = &self.interruption else { return };
        if self.ears.has_words() {
            // The end of the turn decides.
            return;
        }
        let noise = interruption.at + NOISE;
        if self.ears.is_speaking() && now < noise {
            self.out.timers.set(Timer::NoWords, noise);
            return;
        }
        if self.mouth.is_cutting() {
            self.out.timers.set(Timer::NoWords, now + FLUSH_PATIENCE);
            return;
        }
        self.barge_in.was_false();
        self.resume(now);
    }

    /// Goes on where the agent was cut off.
    fn resume(&mut self, now: Instant) {
        let Some(interruption) = self.interruption.take() else { return };
        self.out.timers.clear(Timer::NoWords);
        match interruption.midway {
            // What was made and not heard is made again: the model cannot be told to begin in mid-air.
            Some((_, Some(entry))) if self.history.was_heard(entry) => self.ask(now, Purpose::GoOn),
            Some((purpose, _)) => self.ask(now, purpose),
            None => self.say_rest(interruption.rest),
        }
    }

    /// Says it in as few goes as its kinds allow.
    fn say_rest(&mut self, rest: Vec<Rest>) {
        let mut open: Option<(Kind, EntryId, Switch)> = None;
        for Rest { kind, text, sound } in rest {
            let (_, entry, interruptible) = match open {
                Some(go @ (same, ..)) if same == kind => go,
                // What tells that a machine speaks is said before anything else.
                None if !kind.by_order => {
                    let entry = self.history.begin(kind.memory);
                    (kind, entry, self.disclose_in(entry))
                }
                Some(_) | None => (kind, self.go_of(kind), Switch::On),
            };
            open = Some((kind, entry, interruptible));
            match sound {
                Some(sound) => self.play(entry, sound, interruptible),
                None => self.say(entry, &text, interruptible),
            }
        }
    }

    /// Begins a go of this kind.
    fn go_of(&mut self, kind: Kind) -> EntryId {
        let entry = self.history.begin(kind.memory);
        if kind.by_order {
            self.history.ordered(entry);
        }
        entry
    }

    /// Somebody outside wants silence.
    pub(super) fn order_to_be_silent(&mut self, now: Instant) {
        if self.stage == Stage::Talking && self.closing.is_none() && self.stance() != Stance::Quiet {
            self.interrupt(now);
            self.interruption = None;
        }
    }

    pub(super) fn hold(&mut self, now: Instant) {
        if self.stage == Stage::Ringing || self.far_end.held.is_on() {
            return;
        }
        self.far_end.held = Switch::On;
        self.drop_speculation();
        if self.stage == Stage::Talking && self.closing.is_none() && self.stance() != Stance::Quiet {
            self.give_way(now);
        }
        // Music on hold is not the callee.
        self.out.timers.clear(Timer::NoWords);
        self.ears.reset();
        self.far_end.marks = self.far_end.marks.over();
        self.barge_in.speech_stopped();
    }

    pub(super) fn unhold(&mut self, now: Instant) {
        if !self.far_end.held.is_on() {
            return;
        }
        self.far_end.held = Switch::Off;
        self.note_interaction(now);
        if self.stage == Stage::Greeting {
            self.greet(now);
        } else if self.mouth.is_cutting() {
            self.out.timers.set(Timer::NoWords, now + FLUSH_PATIENCE);
        } else {
            self.resume(now);
        }
    }
}
