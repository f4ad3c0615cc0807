//! Who speaks when: the state of one conversation, what moves it, and what it waits for. The moves themselves are in
//! the modules below, by what they are about: `listening`, `thinking`, `speaking`, `yielding` (to an interruption),
//! `marking` (of turns by the far end), `screening` (of machines that answer), `transferring`, `ending`.

mod ending;
mod listening;
mod marking;
mod ordered;
mod screening;
mod speaking;
mod thinking;
mod transferring;
mod yielding;

use crate::barge_in::BargeIn;
use crate::chance::{Chance, Selection};
use crate::endpointing::{Endpointing, Verdict};
use crate::exchange::{Ask, AskId, Bearing, Input, Output, PhraseId, Setup, ToolRunId};
use crate::history::{EntryId, History};
use crate::latency::Stopwatch;
use crate::machine::ordered::Orders;
use crate::mouth::Mouth;
use crate::speakable;
use crate::stock::{Stock, stock};
use crate::templates::{self, TemplateError};
use crate::timers::{Timer, Timers};
use crate::tools;
use crate::vocabulary::{Message, Role};
use callwright_domain::agent::{Choice, Greeting, Switch};
use callwright_domain::call::TurnLatency;
use callwright_domain::{AgentProfile, CallEvent, HangupCause};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use thinking::Answer;
use yielding::Interruption;

/// Silence after which the callee hears a built-in sentence while the model thinks. With the voice's own delay it stays
/// under the four seconds after which people ask "hello?".
const SILENCE: Duration = Duration::from_millis(3500);
/// The same for the first such sentence of a turn, where no fillers are configured: with the voice's own delay the
/// callee hears something a second and a half after having spoken.
const HOLD: Duration = Duration::from_millis(1250);
/// Most timers that ring at one input; more would be a defect of ours, and the rest ring at the next.
const RINGS: usize = 64;

/// How far the conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The callee has not answered.
    Ringing,
    /// Answered; the agent's first words are still to come.
    Greeting,
    /// Under way.
    Talking,
    /// Over. Nothing is put out any more.
    Over,
}

/// What became of the agent's first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeted {
    /// The agent was not heard yet.
    NotYet,
    /// It has been heard since then.
    Since(Instant),
    /// The callee has taken a turn.
    Answered,
}

/// What the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    /// Nothing: it listens.
    Quiet,
    /// It makes up its mind; the callee hears nothing.
    Thinking,
    /// It is heard.
    Speaking,
}

/// The numbers given out.
#[derive(Debug, Default)]
struct Names {
    ask: u64,
    phrase: u64,
    run: u64,
}

/// The turn that is being answered.
#[derive(Debug, Default)]
struct Turn {
    /// Runs until the answer's first sound.
    watch: Option<Stopwatch>,
    /// The go whose first sound counts.
    entry: Option<EntryId>,
    /// What was measured, until that go is noted.
    latency: Option<TurnLatency>,
    /// Tools used in it.
    tools: u32,
    /// Built-in sentences said while the callee waits.
    holds: u32,
    /// Since when the callee waits for the model's first word.
    owed: Option<Instant>,
    /// What the model is asked with.
    headers: BTreeMap<String, String>,
}

/// Texts that the settings have or the machine brings.
#[derive(Debug)]
struct Texts {
    fillers: Selection,
    reminders: Selection,
    backchannels: Selection,
    stock: Stock,
    /// What is said first and not heard yet: that a machine speaks.
    disclosure: Option<speaking::Disclosure>,
}

/// Nobody speaks.
#[derive(Debug, Default)]
struct Idle {
    /// Since when, if so.
    since: Option<Instant>,
    /// When the callee or the agent last said something that was no reminder.
    interaction: Option<Instant>,
    /// Reminders since then.
    reminders: u32,
}

/// Things that failed in a row.
#[derive(Debug, Default)]
struct Failures {
    brain: u32,
    voice: u32,
}

/// Who is at the other end, and whether they can be talked to.
#[derive(Debug, Default)]
struct FarEnd {
    /// They cannot hear us for now.
    held: Switch,
    /// Who answered.
    answerer: screening::Answerer,
    /// They are being handed over.
    handover: transferring::Handover,
    /// Whether they say when their turns begin and end.
    marks: marking::Marks,
}

/// The turn-taking of one call.
///
/// Feed it with [`Self::handle`], then carry out what [`Self::poll`] gives until it gives nothing, then wait for the
/// next input or for [`Self::timeout`].
pub struct Conversation {
    agent: AgentProfile,
    stage: Stage,
    greeted: Greeted,
    history: History,
    ears: Endpointing,
    barge_in: BargeIn,
    mouth: Mouth,
    thought: Option<Answer>,
    runs: Option<thinking::ToolRuns>,
    turn: Turn,
    interruption: Option<Interruption>,
    overheard: Option<listening::Aside>,
    keys: String,
    orders: Orders,
    texts: Texts,
    idle: Idle,
    failures: Failures,
    closing: Option<HangupCause>,
    far_end: FarEnd,
    out: Out,
}

/// What leaves the machine, and what it needs for that.
#[derive(Debug)]
struct Out {
    queue: VecDeque<Output>,
    timers: Timers,
    chance: Chance,
    names: Names,
    /// The clock, as of the input being handled.
    now: Option<Instant>,
}

impl Conversation {
    /// A conversation that has not begun. Refuses templates that cannot be rendered.
    pub fn new(setup: Setup) -> Result<Self, TemplateError> {
        let Setup { mut agent, mut variables, thread, today, seed } = setup;
        variables.entry("today".to_owned()).or_insert(today);
        let prompt = templates::render("system_prompt", &agent.brain.system_prompt, &variables)?;
        if let Some(text) = &mut agent.opening.disclosure {
            *text = templates::render("disclosure", text, &variables)?;
        }
        match &mut agent.opening.greeting {
            Greeting::None => {}
            Greeting::Text(text) | Greeting::Model(text) => *text = templates::render("greeting", text, &variables)?,
        }
        let message = &mut agent.voicemail.message;
        *message = templates::render("voicemail_message", message, &variables)?;
        let given = std::mem::take(&mut agent.brain.history).into_iter().chain(thread);
        let reminders = Selection::new(&agent.idle.reminders, agent.idle.choice);
        Ok(Self {
            stage: Stage::Ringing,
            greeted: Greeted::NotYet,
            history: History::new(prompt, agent.brain.history_limit, agent.turn.join_segments, given)
                .marking(agent.brain.cut_mark.clone()),
            ears: Endpointing::new(agent.turn.clone()),
            barge_in: BargeIn::new(agent.interrupt.clone()),
            mouth: Mouth::new(),
            thought: None,
            runs: None,
            turn: Turn::default(),
            interruption: None,
            overheard: None,
            keys: String::new(),
            orders: Orders::default(),
            texts: Texts {
                fillers: Selection::new(&agent.filler.texts, agent.filler.choice),
                reminders,
                backchannels: Selection::new(&agent.backchannel.words, Choice::Random),
                stock: stock(&agent.language),
                disclosure: None,
            },
            idle: Idle::default(),
            failures: Failures::default(),
            closing: None,
            far_end: FarEnd::default(),
            out: Out {
                queue: VecDeque::new(),
                timers: Timers::default(),
                chance: Chance::new(seed),
                // The first number is the opening's.
                names: Names { ask: AskId::OPENING.0, ..Names::default() },
                now: None,
            },
            agent,
        })
    }

    /// Goes on as the agent of `fresh`, a conversation that has not begun: its settings and instructions count for
    /// everything that is still to come. What was said, what is being said and what is being thought stay.
    pub fn adopt(&mut self, fresh: Self) {
        let Self { agent, history, ears, barge_in, texts, .. } = fresh;
        self.agent = agent;
        self.history.adopt(history);
        self.ears.adopt(ears);
        self.barge_in.adopt(barge_in);
        self.texts = texts;
    }

    /// Whether the agent's templates can be rendered with these variables; for refusing a call before it is dialled.
    pub fn check(agent: &AgentProfile, variables: &BTreeMap<String, String>) -> Result<(), TemplateError> {
        let mut variables = variables.clone();
        variables.entry("today".to_owned()).or_default();
        templates::render("system_prompt", &agent.brain.system_prompt, &variables)?;
        if let Some(text) = &agent.opening.disclosure {
            templates::render("disclosure", text, &variables)?;
        }
        match &agent.opening.greeting {
            Greeting::None => {}
            Greeting::Text(text) | Greeting::Model(text) => {
                templates::render("greeting", text, &variables)?;
            }
        }
        templates::render("voicemail_message", &agent.voicemail.message, &variables)?;
        Ok(())
    }

    /// The first phrase that the agent will say, as the voice will be given it: worth making while it rings. `None` when it
    /// is not known before the answer.
    pub fn first_words(&self, now: Instant) -> Option<String> {
        let text = match (self.disclosure(), &self.agent.opening.greeting) {
            (Some(text), _) | (None, Greeting::Text(text)) => text,
            (None, Greeting::None | Greeting::Model(_)) => return None,
        };
        let phrase = self.phrases(text, now).into_iter().next()?;
        Some(self.spoken_form(&phrase))
    }

    /// What the model will be asked first, as far as that is known before the callee answers: the question behind a
    /// greeting made by the model, or the beginning that every later question shares (worth reading in advance).
    ///
    /// An answer to the question behind a greeting may be fed in, under its id, while it rings; it is spoken when the
    /// callee answers. When none of it came in time, the question is put again under the same id, and an answer that is
    /// still on its way must be dropped. `None` when the model has nothing to read.
    pub fn opening_request(&self) -> Option<Ask> {
        let mut messages = self.history.messages(None);
        if let Some(text) = self.disclosure() {
            messages.push(Message::text(Role::Assistant, speakable::clean(text)));
        }
        match &self.agent.opening.greeting {
            Greeting::None => {}
            Greeting::Text(text) => messages.push(Message::text(Role::Assistant, speakable::clean(text))),
            Greeting::Model(instruction) => messages.push(Message::text(Role::User, instruction.clone())),
        }
        if messages.is_empty() {
            return None;
        }
        Some(Ask { id: AskId::OPENING, messages, tools: tools::specs(&self.agent.tools), headers: BTreeMap::new() })
    }

    /// Takes in what happened. `now` must not go back.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.out.now = Some(now);
        for _ in 0..RINGS {
            match self.out.timers.take_due(now) {
                Some(timer) if self.stage != Stage::Over => {
                    self.ring(now, timer);
                    self.settle(now);
                }
                _ => break,
            }
        }
        if self.stage != Stage::Over {
            // Looked at once it is known what was said.
            let sign = self.is_screening().then(|| input.clone());
            self.digest(now, input);
            if let Some(sign) = sign.filter(|_| self.stage != Stage::Over) {
                self.screen(now, &sign);
            }
            self.settle(now);
        }
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.queue.pop_front()
    }

    /// When to come back with [`Input::Clock`], at the latest.
    pub fn timeout(&self) -> Option<Instant> {
        if self.stage == Stage::Over { None } else { self.out.timers.earliest() }
    }

    /// What the agent is doing, as one would tell somebody who cannot hear it.
    pub fn bearing(&self) -> Bearing {
        match self.stance() {
            Stance::Speaking => Bearing::Speaking,
            Stance::Thinking => Bearing::Thinking,
            Stance::Quiet => Bearing::Listening,
        }
    }

    fn digest(&mut self, now: Instant, input: Input) {
        match input {
            Input::Answered => self.answered(now),
            Input::SpeechStarted { speech } => self.speech_started(now, speech),
            Input::SpeechStopped { silence } => self.speech_stopped(now, silence),
            Input::Heard(event) => self.heard(now, &event),
            Input::EarsLost => self.give_up(now, HangupCause::ProviderFailed),
            Input::Model(id, event) => self.model(now, id, event),
            Input::ModelFailed(id) => self.model_failed(now, id),
            Input::Voiced(id, progress) => self.voiced(now, id, progress),
            Input::Played(id) => self.played(now, id),
            Input::PlayoutDrained => self.playout_drained(now),
            Input::Flushed(report) => self.flushed(now, &report),
            Input::ToolFinished { id, result } => self.tool_finished(now, id, &result),
            Input::Key(key) => self.key(now, key),
            Input::Say(saying) => self.order_to_say(now, saying),
            Input::UserText(question) => self.order_to_answer(now, question),
            Input::Interrupt => self.order_to_be_silent(now),
            Input::TransferTo(transfer) => self.order_to_transfer(transfer),
            Input::TransferFailed(why) => self.transfer_failed(now, &why),
            Input::TakenOver => self.taken_over(now),
            Input::TurnsMarked(on) => self.mark_turns(on),
            Input::Press(press) => self.press(now, press),
            Input::Stop { cause, grace } => self.stop(now, cause, grace),
            Input::HoldStarted => self.hold(now),
            Input::HoldEnded => self.unhold(now),
            Input::Tone | Input::Clock => {}
        }
    }

    fn ring(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Greeting => self.greet(now),
            // Settling looks at the clock by itself.
            Timer::Endpoint => {}
            Timer::BargeIn => self.voice_interrupts(now),
            Timer::NoWords => self.no_words_came(now),
            Timer::Clause => self.phrase_thought(now),
            Timer::Filler => self.fill(),
            Timer::Silence => self.ask_for_patience(),
            Timer::ModelPatience => self.model_is_mute(now),
            Timer::ToolPatience => self.tools_are_mute(now),
            Timer::FlushReport => self.flush_unreported(now),
            Timer::Playout => self.playout_is_stuck(now),
            Timer::Keys => self.keys_are_complete(now),
            Timer::Screening => self.screen_again(now),
            Timer::Machine => self.leave_message(now),
            Timer::Reminder => self.remind(now),
            Timer::IdleHangUp => self.leave(now),
            Timer::LastWords => self.last_words_took_too_long(now),
        }
    }

    /// Does what the new state makes due: ends the callee's turn, gives lines to the voice, notes what was said,
    /// hangs up, and arranges the timers.
    fn settle(&mut self, now: Instant) {
        if self.stage == Stage::Over {
            return;
        }
        // What the agent said comes before what the callee says to it.
        self.note_what_was_said(now);
        // What was overheard is no part of what is ordered to be answered.
        self.consider_overheard(now);
        self.put_what_waits(now);
        self.consider_turn(now);
        self.say_what_waits(now);
        self.release_lines(now);
        if self.closing.is_some() && self.stance() == Stance::Quiet && !self.mouth.is_cutting() {
            self.finish_call(now);
            return;
        }
        self.transfer_when_silent();
        self.arrange_timers(now);
    }

    fn stance(&self) -> Stance {
        let thinking = self.thought.as_ref().is_some_and(Answer::is_confirmed) || self.runs.is_some();
        if self.mouth.is_midway() {
            Stance::Speaking
        } else if thinking || self.mouth.is_busy() {
            Stance::Thinking
        } else {
            Stance::Quiet
        }
    }

    /// Timers that follow from the state; the others are set where their wait begins.
    fn arrange_timers(&mut self, now: Instant) {
        // A timer in the past would ring at once, change nothing, and ring again.
        let later = now + Duration::from_millis(1);
        let stance = self.stance();
        let talking = self.stage == Stage::Talking && !self.far_end.held.is_on();
        let endpoint = match self.ears.verdict(now) {
            Verdict::Wait(due) if talking && stance == Stance::Quiet => Some(due),
            Verdict::Nothing if self.orders.wait() => self.ears.owes_words_until().filter(|due| *due > now),
            Verdict::Wait(_) | Verdict::Nothing | Verdict::Over => None,
        };
        let barge_in = if self.may_yield() { self.barge_in.due() } else { None };
        let clause = self.thought.as_ref().and_then(Answer::clause_due);
        let waiting = talking && stance == Stance::Thinking && !self.mouth.is_busy() && !self.ears.is_speaking();
        let silence = waiting.then(|| self.next_hold(now));
        let idle = self.idle_deadlines(now, talking && stance == Stance::Quiet);
        let screening = self.screening_due();
        let timers = &mut self.out.timers;
        for (timer, due) in [
            (Timer::Screening, screening),
            (Timer::Endpoint, endpoint),
            (Timer::BargeIn, barge_in),
            (Timer::Clause, clause),
            (Timer::Silence, silence),
            (Timer::Playout, self.mouth.stuck().map(|(due, _)| due)),
            (Timer::Reminder, idle.0),
            (Timer::IdleHangUp, idle.1),
        ] {
            timers.arrange(timer, due.map(|due| due.max(later)));
        }
    }
}

impl Out {
    fn put(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    fn note(&mut self, event: CallEvent) {
        self.put(Output::Note(event));
    }

    fn name_ask(&mut self) -> AskId {
        self.names.ask += 1;
        AskId(self.names.ask)
    }

    fn name_phrase(&mut self) -> PhraseId {
        self.names.phrase += 1;
        PhraseId(self.names.phrase)
    }

    fn name_run(&mut self) -> ToolRunId {
        self.names.run += 1;
        ToolRunId(self.names.run)
    }
}

impl std::fmt::Debug for Conversation {
    /// Shows how far the conversation is, and none of its words: they are personal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation")
            .field("stage", &self.stage)
            .field("stance", &self.stance())
            .finish_non_exhaustive()
    }
}
