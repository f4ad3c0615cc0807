//! The agent's voice: greeting, lines to the synthesiser, what became of them, and what is said of the machine's own
//! accord while the model is slow.

use super::{Conversation, Greeted, HOLD, SILENCE, Stage, Stance};
use crate::exchange::{HeardPhrase, Output, Phrase, PhraseId, VoiceProgress};
use crate::history::{Closed, EntryId, Memory};
use crate::latency::{Stopwatch, span_before};
use crate::machine::thinking::{Answer, Purpose};
use crate::mouth::{Cut, Line};
use crate::phrasing::Phraser;
use crate::speakable;
use crate::timers::{Timer, span};
use crate::words;
use callwright_domain::agent::{Greeting, Switch};
use callwright_domain::{CallEvent, HangupCause, Pii};
use std::time::{Duration, Instant};

/// Phrases in a row that the voice may fail at before the call cannot go on.
const VOICE_FAILURES: u32 = 3;

/// Whether a phrase that failed may be spoken later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Perhaps,
    Never,
}
/// A greeting waits no longer than this beyond its delay for a callee who is speaking.
const GREETING_PATIENCE: Duration = Duration::from_secs(3);
/// A model that was asked, or gave a sign of life, less than this ago is given the chance to answer before the callee is
/// put off.
const CHANCE: Duration = Duration::from_millis(500);
/// A "Hello?" that comes no later than this into the greeting was not said in answer to it.
const HELLO: Duration = Duration::from_millis(1500);
/// Texts up to this many characters are not cut at a clause: that would gain nothing and sound chopped.
const SHORT: usize = 40;
/// Longest text spoken by order, in bytes.
const ORDER_CAP: usize = 8 * 1024;

/// A sentence that must be heard, and how much of it was.
#[derive(Debug)]
pub(super) struct Disclosure {
    /// The go in which it is said.
    entry: EntryId,
    /// Its length, in bytes.
    whole: usize,
    /// How much of that was heard.
    heard: usize,
}

impl Conversation {
    /// What is said before the greeting.
    pub(super) fn disclosure(&self) -> Option<&String> {
        self.agent.opening.disclosure.as_ref().filter(|text| words::any(text))
    }

    /// Says that a machine speaks.
    fn disclose(&mut self, now: Instant) {
        let Some(text) = self.disclosure().cloned() else { return };
        if self.ears.has_words() {
            self.hear_unanswered(now);
        }
        let entry = self.say_text(&text, Memory::Keep, Switch::Off);
        self.texts.disclosure = entry.map(|entry| Disclosure { entry, whole: text.len(), heard: 0 });
    }

    /// What is left of it is said in another go.
    pub(super) fn disclose_in(&mut self, entry: EntryId) -> Switch {
        match &mut self.texts.disclosure {
            Some(pending) => {
                pending.entry = entry;
                Switch::Off
            }
            None => Switch::On,
        }
    }

    /// So much of a go was heard.
    fn note_disclosure(&mut self, entry: EntryId, heard: usize) {
        let Some(pending) = self.texts.disclosure.as_mut().filter(|pending| pending.entry == entry) else { return };
        pending.heard += heard;
        // Four fifths are enough to have understood it.
        if pending.heard * 5 >= pending.whole * 4 {
            self.texts.disclosure = None;
            self.out.note(CallEvent::Disclosed);
        }
    }

    pub(super) fn answered(&mut self, now: Instant) {
        if self.stage != Stage::Ringing {
            return;
        }
        self.stage = Stage::Greeting;
        self.note_interaction(now);
        self.begin_screening(now);
        self.out.timers.set(Timer::Greeting, now + span(self.agent.opening.delay_ms));
        if self.agent.opening.delay_ms == 0 {
            self.greet(now);
        }
    }

    /// Whether the agent's first words are still to come.
    pub(super) fn is_greeting(&self) -> bool {
        let made = self.thought.as_ref().is_some_and(|thought| thought.purpose == Purpose::Greeting);
        let awaited = self.agent.opening.greeting != Greeting::None && (made || self.mouth.is_busy());
        self.stage == Stage::Greeting || (awaited && self.stage == Stage::Talking && self.greeted == Greeted::NotYet)
    }

    pub(super) fn greet(&mut self, now: Instant) {
        if self.stage != Stage::Greeting || self.far_end.held.is_on() {
            return;
        }
        let begun = self.idle.interaction.unwrap_or(now);
        let limit = begun + span(self.agent.opening.delay_ms) + GREETING_PATIENCE;
        if self.ears.is_speaking() && now < limit {
            // Not over the callee's "Hello?".
            self.out.timers.set(Timer::Greeting, now + Duration::from_millis(100));
            return;
        }
        self.out.timers.clear(Timer::Greeting);
        self.disclose(now);
        self.play_overture();
        let greeting = self.agent.opening.greeting.clone();
        let wake_up = self.agent.opening.wake_up.clone().filter(|text| words::any(text));
        // The model makes its greeting knowing the wake-up words; after a text they are the next thing said.
        if let (Some(wake_up), Greeting::Model(_)) = (&wake_up, &greeting) {
            self.history.callee(wake_up);
        }
        match greeting {
            Greeting::None => {}
            Greeting::Text(text) => {
                if self.ears.has_words() {
                    self.hear_unanswered(now);
                }
                self.say_text(&text, Memory::Keep, self.agent.opening.interruptible);
            }
            Greeting::Model(_) if self.thought.is_some() => self.confirm_thought(now),
            Greeting::Model(_) => self.ask(now, Purpose::Greeting),
        }
        self.stage = Stage::Talking;
        if let (Some(wake_up), Greeting::None | Greeting::Text(_)) = (&wake_up, &self.agent.opening.greeting) {
            self.history.callee(wake_up);
            self.turn.watch = Some(Stopwatch::start(now, now, now));
            self.ask(now, Purpose::Turn);
        }
    }

    /// Whether the greeting has only just begun: the callee's "Hello?" and it have met on the way.
    pub(super) fn has_just_greeted(&self, now: Instant) -> bool {
        let has_text = matches!(&self.agent.opening.greeting, Greeting::Text(text) if words::any(text));
        matches!(self.greeted, Greeted::Since(at) if has_text && now.saturating_duration_since(at) <= HELLO)
    }

    /// Greets once more a callee whose "Hello?" cut the greeting off.
    pub(super) fn greet_again(&mut self) {
        self.greeted = Greeted::Answered;
        if let Greeting::Text(text) = self.agent.opening.greeting.clone() {
            self.say_text(&text, Memory::Keep, Switch::On);
        }
    }

    /// Adds a phrase to a go.
    pub(super) fn say(&mut self, entry: EntryId, text: &str, interruptible: Switch) {
        let id = self.out.name_phrase();
        self.history.piece(entry, id, text);
        self.mouth.push(Line { id, entry, text: text.to_owned(), sound: None, interruptible });
    }

    /// Says a whole text, cut into phrases, as a go of its own.
    pub(super) fn say_text(&mut self, text: &str, memory: Memory, interruptible: Switch) -> Option<EntryId> {
        let now = self.out.now?;
        let mut entry = None;
        for phrase in self.phrases(text, now) {
            let entry = *entry.get_or_insert_with(|| self.history.begin(memory));
            self.say(entry, &phrase, interruptible);
        }
        entry
    }

    /// A whole text in phrases.
    pub(super) fn phrases(&self, text: &str, now: Instant) -> Vec<String> {
        let mut phraser = Phraser::new(&self.agent.voice);
        if text.chars().count() <= SHORT {
            phraser.prefer_sentences();
        }
        phraser.push(now, words::clip(text, ORDER_CAP));
        phraser.finish();
        std::iter::from_fn(|| phraser.next(now)).collect()
    }

    /// A phrase as the voice is given it.
    pub(super) fn spoken_form(&self, text: &str) -> String {
        let spoken = speakable::pronounce(text, &self.agent.voice.pronunciations);
        // A voice given nothing to say may never report that it said it.
        if words::any(&spoken) { spoken } else { text.to_owned() }
    }

    /// Says something that the model need not know of.
    pub(super) fn say_aside(&mut self, text: &str) {
        self.say_text(text, Memory::Forget, Switch::On);
    }

    /// Gives lines to the voice as it can take them.
    pub(super) fn release_lines(&mut self, now: Instant) {
        if self.stage == Stage::Ringing || self.far_end.held.is_on() {
            return;
        }
        while let Some(line) = self.mouth.release(now) {
            let text = if line.sound.is_some() { String::new() } else { self.spoken_form(&line.text) };
            let Line { id, sound, interruptible, .. } = line;
            self.out.put(Output::Say(Phrase { id, text, sound, interruptible }));
        }
    }

    pub(super) fn voiced(&mut self, now: Instant, id: PhraseId, progress: VoiceProgress) {
        match progress {
            VoiceProgress::FirstSound => {
                self.failures.voice = 0;
                if self.greeted == Greeted::NotYet {
                    self.greeted = Greeted::Since(now);
                }
                let Some(line) = self.mouth.first_sound(now, id) else { return };
                if Some(line.entry) == self.turn.entry {
                    self.turn.latency = self.turn.watch.take().map(|watch| watch.stop(now)).or(self.turn.latency);
                }
            }
            VoiceProgress::Complete => self.mouth.complete(now, id),
            VoiceProgress::Failed => self.voice_failed(now, id, Again::Perhaps),
            VoiceProgress::Refused => self.voice_failed(now, id, Again::Never),
        }
    }

    /// A phrase that made no sound is tried once more, when nothing was to follow it: later it would come out of order.
    fn voice_failed(&mut self, now: Instant, id: PhraseId, again: Again) {
        let Some((open, followed)) = self.mouth.failed(now, id) else { return };
        self.failures.voice += 1;
        let heard = open.sounded.map_or(0, |since| {
            let part = now.saturating_duration_since(since);
            if part >= open.line.length() { open.line.text.len() } else { 0 }
        });
        if let Some(since) = open.sounded.filter(|_| heard > 0) {
            self.history.sounded(id, (since, now));
        }
        let rest = self.history.lose(id, heard);
        if self.failures.voice >= VOICE_FAILURES {
            self.out.note(CallEvent::Trouble { part: "voice".to_owned(), detail: "nothing can be said".to_owned() });
            self.hang_up(now, HangupCause::ProviderFailed);
        } else if again == Again::Perhaps && open.sounded.is_none() && !followed && open.line.sound.is_none() {
            self.say(open.line.entry, &rest, open.line.interruptible);
        }
    }

    pub(super) fn played(&mut self, now: Instant, id: PhraseId) {
        let played = self.mouth.played(now, id);
        self.hear(now, &played);
    }

    pub(super) fn playout_drained(&mut self, now: Instant) {
        let played = self.mouth.drained(now);
        self.hear(now, &played);
    }

    /// These phrases were played to their ends.
    fn hear(&mut self, now: Instant, played: &[Cut]) {
        for phrase in played {
            self.note_sound(now, phrase);
            self.history.heard(phrase.line.id);
        }
    }

    /// A phrase sounded until now, be it only its begin.
    pub(super) fn note_sound(&mut self, now: Instant, phrase: &Cut) {
        if let Some(began) = phrase.began
            && phrase.heard > 0
        {
            self.history.sounded(phrase.line.id, (began, now));
        }
    }

    /// The phrase at the front neither sounded nor ended: it is taken as failed, or as played when it was heard.
    pub(super) fn playout_is_stuck(&mut self, now: Instant) {
        let Some((due, id)) = self.mouth.stuck() else { return };
        if due > now {
            return;
        }
        if self.mouth.is_audible() {
            self.played(now, id);
        } else {
            self.voice_failed(now, id, Again::Perhaps);
        }
    }

    pub(super) fn flushed(&mut self, now: Instant, report: &[HeardPhrase]) {
        if self.mouth.is_cutting() {
            let cuts = self.mouth.cut(now, report);
            self.settle_cuts(now, cuts);
        }
    }

    pub(super) fn flush_unreported(&mut self, now: Instant) {
        let cuts = self.mouth.cut_by_estimate(now);
        self.settle_cuts(now, cuts);
    }

    /// Notes the goes of which nothing more will be heard.
    pub(super) fn note_what_was_said(&mut self, now: Instant) {
        if !self.history.has_open() {
            return;
        }
        let open = self.thought.as_ref().and_then(|thought: &Answer| thought.entry);
        let open = open.or(self.runs.as_ref().map(|runs| runs.entry()));
        for closed in self.history.close(open) {
            if Some(closed.id) == self.turn.entry
                && let Some(latency) = self.turn.latency.take()
            {
                self.out.note(CallEvent::TurnTaken { latency });
            }
            let heard = closed.text.len();
            let Closed { text, interrupted, by_order, sound, unsaid, .. } = closed;
            let span = sound.map(|sound| span_before(now, sound));
            let unsaid = words::any(&unsaid).then(|| Pii::new(unsaid));
            self.out.note(CallEvent::Said { text: Pii::new(text), interrupted, by_order, span, unsaid });
            self.note_disclosure(closed.id, heard);
        }
    }

    /// The model is slow: says a configured filler, once a turn.
    pub(super) fn fill(&mut self) {
        if self.keeps_waiting()
            && let Some(filler) = self.texts.fillers.take(&mut self.out.chance)
        {
            self.say_aside(&filler);
        }
    }

    /// The model is slow: says a built-in sentence.
    pub(super) fn ask_for_patience(&mut self) {
        if self.keeps_waiting() {
            let stock = self.texts.stock;
            let sentence = if self.turn.holds.is_multiple_of(2) { stock.wait } else { stock.retry };
            self.turn.holds = self.turn.holds.saturating_add(1);
            self.say_aside(sentence);
        }
    }

    /// When the callee, who hears nothing while the agent thinks, is to hear a built-in sentence.
    pub(super) fn next_hold(&self, now: Instant) -> Instant {
        let answers = self.turn.watch.is_some() && self.turn.holds == 0 && self.greeted != Greeted::NotYet;
        let fills = self.agent.filler.after_ms > 0 && !self.texts.fillers.is_empty();
        let due = self.silent_since(now) + if answers && !fills { HOLD } else { SILENCE };
        // Words that are on their way would only be delayed.
        let chance = self.thought.as_ref().map(|thought| thought.alive() + CHANCE);
        chance.map_or(due, |chance| due.max(chance))
    }

    /// Whether the callee waits for the model and hears nothing.
    fn keeps_waiting(&self) -> bool {
        let silent = !self.mouth.is_busy() && !self.ears.is_speaking();
        silent && self.stance() == Stance::Thinking && self.closing.is_none()
    }

    /// Since when neither side has been heard.
    pub(super) fn silent_since(&self, now: Instant) -> Instant {
        let callee = self.turn.watch.as_ref().map(Stopwatch::silent);
        let begun = self.idle.interaction;
        callee.max(self.mouth.progress()).or(begun).unwrap_or(now).min(now)
    }
}
