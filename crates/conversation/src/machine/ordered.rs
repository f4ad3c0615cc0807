//! What somebody outside orders: to say something, now or when the floor is free, and to answer something as if the callee had
//! said it. Never decides what an order says.

use super::{Conversation, Stage, Stance};
use crate::exchange::{Place, Question, Saying, Sound, Unheard, Words};
use crate::history::{EntryId, Memory};
use crate::mouth::{Line, spoken_length};
use callwright_domain::agent::Switch;
use callwright_domain::{CallEvent, HangupCause};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Lines that may wait before further orders to speak are refused.
const LINES_CAP: usize = 256;
/// Questions that may wait for the floor; further ones are refused.
const QUESTIONS_CAP: usize = 16;
/// How much sound may be played or wait, together; what would be more is refused: it is held in memory.
const SOUND_CAP: Duration = Duration::from_secs(120);

/// Orders that wait for the floor.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// To be said.
    sayings: VecDeque<Saying>,
    /// To be answered.
    questions: VecDeque<Question>,
    /// The go before whose end no other order to say something is taken.
    alone: Option<EntryId>,
    /// What the model is to be asked with when it is asked about the text that was put last.
    headers: BTreeMap<String, String>,
    /// Played before the greeting.
    overture: Option<Sound>,
}

impl Orders {
    /// Whether something waits for the floor.
    pub(super) fn wait(&self) -> bool {
        !self.sayings.is_empty() || !self.questions.is_empty()
    }

    /// How many questions wait for nothing but the end of what must be heard; they come before the others.
    fn pressing(&self) -> usize {
        self.questions.iter().take_while(|question| question.interrupts.is_on()).count()
    }

    /// What the model is to be asked with about the words that are to be answered.
    pub(super) const fn headers(&self) -> &BTreeMap<String, String> {
        &self.headers
    }

    /// The same, for the turn that begins.
    pub(super) fn take_headers(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.headers)
    }

    /// The agent was interrupted.
    pub(super) fn interrupted(&mut self) {
        self.sayings.retain(|saying| saying.place != Place::NextUnlessInterrupted);
    }

    /// Nothing of it is wanted any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// How much sound waits; after an interruption, what that leaves.
    fn sound(&self, interrupted: bool) -> Duration {
        let left = self.sayings.iter().filter(|saying| !(interrupted && saying.place == Place::NextUnlessInterrupted));
        left.filter_map(|saying| saying.words.sound()).map(Sound::length).sum()
    }
}

/// Whoever drives the machine asks these before an order is fed in, so that whoever gave it hears that it would be lost. What
/// an order says of itself when it is to be dropped is no loss.
impl Conversation {
    /// Whether an order to say this would be heard of.
    ///
    /// # Errors
    /// Why not.
    pub fn may_say(&self, saying: &Saying) -> Result<(), Unheard> {
        self.may_change()?;
        if self.has_room_for(saying) { Ok(()) } else { Err(Unheard::Full) }
    }

    /// The same of an order to answer this.
    ///
    /// # Errors
    /// Why not.
    pub fn may_answer(&self, question: &Question) -> Result<(), Unheard> {
        self.may_change()?;
        if self.is_transferring() {
            return Err(Unheard::HandedOver);
        }
        let patient = !question.interrupts.is_on();
        if self.is_with_machine() || (self.stage == Stage::Greeting && !patient) {
            return Err(Unheard::Nobody);
        }
        let waits = patient || self.must_be_heard_out();
        if waits && self.orders.questions.len() >= QUESTIONS_CAP { Err(Unheard::Full) } else { Ok(()) }
    }

    /// The same of an order to hand the callee over.
    ///
    /// # Errors
    /// Why not.
    pub fn may_transfer(&self) -> Result<(), Unheard> {
        self.may_change()?;
        if self.is_transferring() {
            return Err(Unheard::HandedOver);
        }
        let nobody = self.is_with_machine() || self.stage == Stage::Greeting;
        if nobody { Err(Unheard::Nobody) } else { Ok(()) }
    }

    /// Whether anything is still to come that another agent would do otherwise.
    ///
    /// # Errors
    /// Why not.
    pub const fn may_change(&self) -> Result<(), Unheard> {
        match self.stage {
            Stage::Ringing => Err(Unheard::Nobody),
            Stage::Greeting | Stage::Talking if self.closing.is_none() => Ok(()),
            Stage::Greeting | Stage::Talking | Stage::Over => Err(Unheard::LastWords),
        }
    }
}

impl Conversation {
    /// Plays this before the greeting, and after what tells that a machine speaks. To be said before the callee answers.
    pub fn open_with(&mut self, sound: Sound) {
        self.orders.overture = Some(sound);
    }

    /// Plays what is to be heard before the greeting.
    pub(super) fn play_overture(&mut self) {
        if let Some(sound) = self.orders.overture.take() {
            let entry = self.history.begin(Memory::Keep);
            self.play(entry, sound, self.agent.opening.interruptible);
        }
    }

    /// Somebody outside wants this to be said.
    pub(super) fn order_to_say(&mut self, now: Instant, saying: Saying) {
        if self.is_speaking_alone() || !self.takes_orders(now, &saying) {
            return;
        }
        match saying.place {
            Place::Now => {
                if self.makes_way() {
                    self.interrupt(now);
                    self.interruption = None;
                }
                self.say_by_order(now, &saying);
            }
            Place::Next | Place::NextUnlessInterrupted => self.orders.sayings.push_back(saying),
            Place::IfSilent => {
                if self.is_floor_free(now) && !self.orders.wait() {
                    self.say_by_order(now, &saying);
                }
            }
        }
    }

    /// Somebody outside wants this to be answered.
    pub(super) fn order_to_answer(&mut self, now: Instant, question: Question) {
        let interrupts = question.interrupts.is_on();
        if interrupts && !self.must_be_heard_out() {
            self.put_question_of(now, question);
        } else if self.may_answer(&question).is_ok() {
            let pressing = self.orders.pressing();
            let at = if interrupts { pressing } else { self.orders.questions.len() };
            self.orders.questions.insert(at, question);
        }
    }

    /// Puts the questions that wait only for what must be heard, once it was; else one of those that wait for silence, when it
    /// is there.
    pub(super) fn put_what_waits(&mut self, now: Instant) {
        let pressing = if self.must_be_heard_out() { 0 } else { self.orders.pressing() };
        for _ in 0..pressing {
            if let Some(question) = self.orders.questions.pop_front() {
                self.put_question_of(now, question);
            }
        }
        if !self.orders.questions.is_empty()
            && self.is_floor_free(now)
            && let Some(question) = self.orders.questions.pop_front()
        {
            self.put_question_of(now, question);
        }
    }

    fn put_question_of(&mut self, now: Instant, question: Question) {
        self.orders.headers = question.headers;
        self.user_text(now, &question.text);
        if !self.ears.has_words() {
            // Nobody is asked anything.
            self.orders.take_headers();
        }
    }

    /// Says one of the things that wait for silence, when it is there.
    pub(super) fn say_what_waits(&mut self, now: Instant) {
        if !self.orders.sayings.is_empty()
            && self.is_floor_free(now)
            && let Some(saying) = self.orders.sayings.pop_front()
        {
            self.say_by_order(now, &saying);
        }
    }

    fn say_by_order(&mut self, now: Instant, saying: &Saying) {
        let memory = if saying.remembered.is_on() { Memory::Keep } else { Memory::Forget };
        let entry = match &saying.words {
            Words::Text(text) => self.say_text(text, memory, saying.interruptible),
            Words::Sound(sound) => {
                let entry = self.history.begin(memory);
                self.play(entry, sound.clone(), saying.interruptible);
                Some(entry)
            }
        };
        if let Some(entry) = entry {
            self.history.ordered(entry);
        }
        if saying.alone.is_on() {
            self.orders.alone = entry;
        }
        if saying.last.is_on() {
            self.close_after(now, saying.words.length(), HangupCause::ApiHungUp);
        }
    }

    /// Adds a sound to a go.
    pub(super) fn play(&mut self, entry: EntryId, sound: Sound, interruptible: Switch) {
        let id = self.out.name_phrase();
        self.history.piece(entry, id, "");
        self.mouth.push(Line { id, entry, text: String::new(), sound: Some(sound), interruptible });
    }

    /// Whether what is being said makes way for what is to be said at once.
    fn makes_way(&self) -> bool {
        self.stance() == Stance::Speaking && self.mouth.is_interruptible()
    }

    /// Whether something is being said, or about to be, that nothing may cut off.
    fn must_be_heard_out(&self) -> bool {
        self.stance() != Stance::Quiet && !self.mouth.is_interruptible()
    }

    /// Whether something is being said, or waits, beside which nothing else may be ordered.
    fn is_speaking_alone(&self) -> bool {
        let said = self.orders.alone.is_some_and(|entry| self.mouth.holds(entry));
        said || self.orders.sayings.iter().any(|saying| saying.alone.is_on())
    }

    /// Whether nobody talks, and nobody waits for an answer.
    fn is_floor_free(&self, now: Instant) -> bool {
        let free = self.stage == Stage::Talking && !self.far_end.held.is_on() && self.closing.is_none();
        let silent = self.stance() == Stance::Quiet && !self.mouth.is_cutting();
        let owed = self.ears.owes_words_until().is_some_and(|until| now < until);
        free && silent && !owed && !self.ears.is_speaking() && !self.ears.has_words()
    }

    /// Whether the agent can be ordered to say this.
    fn takes_orders(&mut self, now: Instant, saying: &Saying) -> bool {
        match self.may_say(saying) {
            Ok(()) => {
                self.note_interaction(now);
                true
            }
            Err(Unheard::Full) => {
                let detail = "more is ordered to be said than can be".to_owned();
                self.out.note(CallEvent::Trouble { part: "voice".to_owned(), detail });
                false
            }
            Err(Unheard::Nobody | Unheard::LastWords | Unheard::HandedOver) => false,
        }
    }

    /// Whether this can wait beside all that waits. What is said in silence only never does.
    fn has_room_for(&self, saying: &Saying) -> bool {
        let cuts = saying.place == Place::Now && self.makes_way();
        let playing = if cuts { Duration::ZERO } else { self.mouth.sounds() };
        let fits = |sound: &Sound| playing + self.orders.sound(cuts) + sound.length() <= SOUND_CAP;
        let sound = saying.place == Place::IfSilent || saying.words.sound().is_none_or(fits);
        sound && self.mouth.waiting() + self.orders.sayings.len() < LINES_CAP
    }
}

impl Words {
    /// About how long it takes to say.
    fn length(&self) -> Duration {
        match self {
            Self::Sound(sound) => sound.length(),
            Self::Text(text) => spoken_length(text),
        }
    }

    const fn sound(&self) -> Option<&Sound> {
        match self {
            Self::Sound(sound) => Some(sound),
            Self::Text(_) => None,
        }
    }
}
