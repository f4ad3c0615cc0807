//! The model: questions, answers as they stream, tools, and what happens when it fails or keeps silent.

use super::{Conversation, Stage, Stance};
use crate::exchange::{Ask, AskId, Output, ToolRunId};
use crate::history::{EntryId, Memory, UNFINISHED};
use crate::latency::Stopwatch;
use crate::phrasing::Phraser;
use crate::timers::Timer;
use crate::tools::{self, Wish};
use crate::vocabulary::{LlmEvent, Message, Role, ToolCall};
use crate::words;
use callwright_domain::agent::{Greeting, Switch};
use callwright_domain::{CallEvent, HangupCause, Pii};
use std::time::{Duration, Instant};

/// A callee who has waited so long for the model's first word, whatever was tried meanwhile, is told that nothing
/// works. With the apology the call ends within fifteen seconds of the callee's last word.
const ANSWER_PATIENCE: Duration = Duration::from_millis(7500);
/// A model that has begun to answer and gives no sign of life for so long has failed.
const MODEL_PATIENCE: Duration = Duration::from_secs(4);
/// A tool that does not come back for so long has failed.
const TOOL_PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer, in bytes: half an hour of speech is not an answer.
const ANSWER_CAP: usize = 16 * 1024;
/// Longest result of a tool told to the model, in bytes.
const RESULT_CAP: usize = 8 * 1024;
/// Told to the model when its answer broke off through no fault of the callee.
const GO_ON: &str = "(The line was silent. Go on from exactly where you stopped, without repeating anything.)";

/// Why the model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// For the agent's first words.
    Greeting,
    /// To answer the callee.
    Turn,
    /// To go on after tools have run.
    FollowUp,
    /// To finish an answer that broke off.
    GoOn,
}

/// Whether an answer may be spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Not yet: the question may turn out to be another one than this.
    Speculative(String),
    /// Yes.
    Confirmed,
}

/// An answer as it streams.
#[derive(Debug)]
pub(super) struct Answer {
    id: AskId,
    pub(super) purpose: Purpose,
    standing: Standing,
    asked: Instant,
    /// When it last gave a sign of life.
    alive: Instant,
    phraser: Phraser,
    /// Phrases that may not be spoken yet.
    kept: Vec<String>,
    calls: Vec<ToolCall>,
    pub(super) entry: Option<EntryId>,
    bytes: usize,
    done: Switch,
}

/// The tools of one answer that are running.
#[derive(Debug)]
pub(super) struct ToolRuns {
    entry: EntryId,
    /// Runs and the index of their call.
    waiting: Vec<(ToolRunId, usize)>,
    /// The callee was told what one of them did: the model need not.
    told: Switch,
}

impl ToolRuns {
    pub(super) const fn entry(&self) -> EntryId {
        self.entry
    }
}

impl Answer {
    pub(super) fn is_confirmed(&self) -> bool {
        self.standing == Standing::Confirmed
    }

    /// Whether it was asked in advance, about exactly this.
    pub(super) fn is_about(&self, text: &str) -> bool {
        matches!(&self.standing, Standing::Speculative(about) if about == text)
    }

    /// When it last gave a sign of life, or was asked for.
    pub(super) const fn alive(&self) -> Instant {
        self.alive
    }

    /// Whether anything of it has come.
    pub(super) const fn has_words(&self) -> bool {
        self.bytes > 0
    }

    pub(super) fn clause_due(&self) -> Option<Instant> {
        self.phraser.due()
    }
}

impl Conversation {
    /// Asks the model about the conversation as it stands.
    pub(super) fn ask(&mut self, now: Instant, purpose: Purpose) {
        let mut messages = self.history.messages(None);
        let id = match purpose {
            Purpose::Greeting => {
                if let Greeting::Model(instruction) = &self.agent.opening.greeting {
                    messages.push(Message::text(Role::User, instruction.clone()));
                }
                AskId::OPENING
            }
            Purpose::Turn | Purpose::FollowUp => self.out.name_ask(),
            Purpose::GoOn => {
                messages.push(Message::text(Role::User, GO_ON));
                self.out.name_ask()
            }
        };
        // An opening that failed or was interrupted is asked again under a name of its own.
        let id = if id == AskId::OPENING && self.stage == Stage::Talking { self.out.name_ask() } else { id };
        let headers = self.turn.headers.clone();
        self.put_question(now, Ask { id, messages, tools: Vec::new(), headers }, (purpose, Standing::Confirmed));
        if let (Some(watch), Purpose::Turn) = (&mut self.turn.watch, purpose) {
            watch.asked(now);
        }
        self.await_model(now, purpose);
    }

    /// From now on the model owes its first word: counted from the callee's last, when that is what is answered.
    fn await_model(&mut self, now: Instant, purpose: Purpose) {
        let silent = self.turn.watch.as_ref().filter(|_| purpose == Purpose::Turn).map(Stopwatch::silent);
        // An answer taken up again after a disturbance has its own time.
        let just = silent.filter(|at| now.saturating_duration_since(*at) < ANSWER_PATIENCE / 2);
        let owed = *self.turn.owed.get_or_insert(just.unwrap_or(now));
        self.out.timers.set(Timer::ModelPatience, owed + ANSWER_PATIENCE);
    }

    /// Asks about an utterance that may not be over yet. Nothing of the answer is spoken before [`Self::confirm_thought`].
    pub(super) fn ask_in_advance(&mut self, now: Instant, text: String) {
        let messages = self.history.messages(Some(&text));
        let id = self.out.name_ask();
        let ask = Ask { id, messages, tools: Vec::new(), headers: self.orders.headers().clone() };
        self.put_question(now, ask, (Purpose::Turn, Standing::Speculative(text)));
    }

    fn put_question(&mut self, now: Instant, mut ask: Ask, (purpose, standing): (Purpose, Standing)) {
        self.cancel_thought();
        // A question asked in advance opens a turn of its own, with none used yet.
        let used = if standing == Standing::Confirmed { self.turn.tools } else { 0 };
        if used < tools::CALLS_PER_TURN {
            ask.tools = tools::specs(&self.agent.tools);
        }
        self.thought = Some(self.blank(now, ask.id, (purpose, standing)));
        self.out.put(Output::Ask(ask));
    }

    fn blank(&self, now: Instant, id: AskId, (purpose, standing): (Purpose, Standing)) -> Answer {
        Answer {
            id,
            purpose,
            standing,
            asked: now,
            alive: now,
            phraser: Phraser::new(&self.agent.voice),
            kept: Vec::new(),
            calls: Vec::new(),
            entry: None,
            bytes: 0,
            done: Switch::Off,
        }
    }

    /// The question asked in advance was the right one: its answer may be spoken.
    pub(super) fn confirm_thought(&mut self, now: Instant) {
        let Some(thought) = &mut self.thought else { return };
        thought.standing = Standing::Confirmed;
        let (asked, kept) = (thought.asked, std::mem::take(&mut thought.kept));
        if let Some(watch) = &mut self.turn.watch {
            watch.asked(asked);
        }
        for phrase in kept {
            self.say_thought(now, &phrase);
        }
        if self.thought.as_ref().is_some_and(|thought| thought.done.is_on()) {
            self.conclude(now);
        } else if self.thought.as_ref().is_some_and(Answer::has_words) {
            self.out.timers.set(Timer::ModelPatience, now + MODEL_PATIENCE);
        } else {
            self.await_model(now, Purpose::Turn);
        }
    }

    /// The question asked in advance, if any, was not the right one.
    pub(super) fn drop_speculation(&mut self) {
        if self.stage == Stage::Talking && self.thought.as_ref().is_some_and(|thought| !thought.is_confirmed()) {
            self.cancel_thought();
        }
    }

    /// Whether the question asked in advance is not what the callee has said by now.
    pub(super) fn thought_differs(&self) -> bool {
        let text = self.ears.text();
        self.thought.as_ref().is_some_and(|thought| !thought.is_confirmed() && !thought.is_about(&text))
    }

    /// Stops thinking, whatever about.
    pub(super) fn cancel_thought(&mut self) -> Option<Answer> {
        let thought = self.thought.take()?;
        self.out.timers.clear(Timer::ModelPatience);
        if !thought.done.is_on() {
            self.out.put(Output::CancelAsk(thought.id));
        }
        Some(thought)
    }

    pub(super) fn model(&mut self, now: Instant, id: AskId, event: LlmEvent) {
        if self.stage == Stage::Ringing && id == AskId::OPENING && self.thought.is_none() {
            // The greeting is being made while it rings.
            self.thought = Some(self.blank(now, id, (Purpose::Greeting, Standing::Speculative(String::new()))));
        }
        let Some(thought) = self.thought.as_mut().filter(|thought| thought.id == id && !thought.done.is_on()) else {
            return;
        };
        thought.alive = now;
        if thought.is_confirmed() {
            self.turn.owed = None;
            self.out.timers.set(Timer::ModelPatience, now + MODEL_PATIENCE);
        }
        match event {
            LlmEvent::Text(piece) => {
                let piece = words::clip(&piece, ANSWER_CAP - thought.bytes);
                thought.bytes += piece.len();
                thought.phraser.push(now, piece);
                if thought.bytes >= ANSWER_CAP - 4 {
                    self.out.put(Output::CancelAsk(id));
                    self.finish_thought(now);
                } else {
                    self.phrase_thought(now);
                }
            }
            LlmEvent::Tool(mut call) => {
                // One more than may run, so that the model is told of the limit.
                if thought.calls.len() <= tools::CALLS_PER_TURN as usize {
                    call.arguments.truncate(call.arguments.floor_char_boundary(ANSWER_CAP));
                    thought.calls.push(call);
                }
            }
            LlmEvent::Done { usage: _ } => self.finish_thought(now),
        }
    }

    /// Speaks what of the answer can be spoken by now.
    pub(super) fn phrase_thought(&mut self, now: Instant) {
        while let Some(thought) = &mut self.thought {
            let Some(phrase) = thought.phraser.next(now) else { return };
            if thought.is_confirmed() {
                self.say_thought(now, &phrase);
            } else {
                thought.kept.push(phrase);
            }
        }
    }

    fn say_thought(&mut self, now: Instant, phrase: &str) {
        let Some(thought) = &mut self.thought else { return };
        let (purpose, entry) = (thought.purpose, thought.entry);
        let entry = entry.unwrap_or_else(|| self.history.begin(Memory::Keep));
        thought.entry = Some(entry);
        if purpose != Purpose::Greeting && self.turn.entry.is_none() {
            self.turn.entry = Some(entry);
        }
        if let Some(watch) = self.turn.watch.as_mut().filter(|_| self.turn.entry == Some(entry)) {
            watch.phrased(now);
        }
        self.out.timers.clear(Timer::Filler);
        let interruptible = match purpose {
            Purpose::Greeting => self.agent.opening.interruptible,
            Purpose::Turn | Purpose::FollowUp | Purpose::GoOn => Switch::On,
        };
        self.say(entry, phrase, interruptible);
    }

    fn finish_thought(&mut self, now: Instant) {
        if let Some(thought) = &mut self.thought {
            thought.phraser.finish();
            thought.done = Switch::On;
        }
        self.phrase_thought(now);
        if self.thought.as_ref().is_some_and(Answer::is_confirmed) {
            self.conclude(now);
        }
    }

    /// The answer is complete: runs the tools it asks for.
    fn conclude(&mut self, now: Instant) {
        self.out.timers.clear(Timer::ModelPatience);
        let Some(thought) = self.thought.take() else { return };
        if thought.entry.is_none() && thought.calls.is_empty() && thought.purpose != Purpose::FollowUp {
            self.model_said_nothing(now, thought);
            return;
        }
        self.failures.brain = 0;
        if !thought.calls.is_empty() {
            let entry = thought.entry.unwrap_or_else(|| self.history.begin(Memory::Keep));
            self.run_tools(now, entry, thought.calls);
        }
    }

    fn run_tools(&mut self, now: Instant, entry: EntryId, calls: Vec<ToolCall>) {
        self.history.calls(entry, calls.clone());
        self.runs = Some(ToolRuns { entry, waiting: Vec::new(), told: Switch::Off });
        for (index, call) in calls.iter().enumerate() {
            self.turn.tools = self.turn.tools.saturating_add(1);
            let wish = if self.turn.tools > tools::CALLS_PER_TURN {
                Wish::Refused("too many tool calls in this turn; answer now".to_owned())
            } else {
                tools::wish(&self.agent.tools, call)
            };
            match wish {
                Wish::EndCall => {
                    self.tool_result(entry, index, &tools::done());
                    self.close_call(now, HangupCause::AgentHungUp);
                }
                Wish::Transfer(transfer) => {
                    self.tool_result(entry, index, &tools::done());
                    if let Some(runs) = &mut self.runs {
                        // What follows is the other's to say, or the failure's.
                        runs.told = Switch::On;
                    }
                    self.want_transfer(transfer);
                }
                Wish::Run(action) => {
                    let id = self.out.name_run();
                    if let Some(runs) = &mut self.runs {
                        runs.waiting.push((id, index));
                    }
                    self.out.put(Output::RunTool { id, action });
                    self.out.timers.set(Timer::ToolPatience, now + TOOL_PATIENCE);
                }
                Wish::Refused(reason) => {
                    self.tool_result(entry, index, &tools::refusal(&reason));
                }
            }
        }
        self.go_on_after_tools(now);
    }

    pub(super) fn tool_finished(&mut self, now: Instant, id: ToolRunId, result: &str) {
        let Some(runs) = &mut self.runs else { return };
        let Some(at) = runs.waiting.iter().position(|(run, _)| *run == id) else { return };
        let (entry, (_, index)) = (runs.entry, runs.waiting.remove(at));
        let name = self.tool_result(entry, index, words::clip(result, RESULT_CAP));
        self.confirm_tool(name.filter(|_| result == tools::DONE).as_deref());
        self.go_on_after_tools(now);
    }

    /// Says that a tool has done its work, where somebody has a right to hear it from us and not from the model.
    fn confirm_tool(&mut self, name: Option<&str>) {
        let Some(words) = name.and_then(|name| tools::confirmation(&self.agent.tools, name)) else { return };
        let words = if words::any(words) { words.to_owned() } else { self.texts.stock.removed.to_owned() };
        if let Some(runs) = &mut self.runs {
            runs.told = Switch::On;
        }
        self.say_text(&words, Memory::Keep, Switch::Off);
    }

    pub(super) fn tools_are_mute(&mut self, now: Instant) {
        self.abandon_tools(&tools::refusal("the tool did not answer in time"));
        self.go_on_after_tools(now);
    }

    /// Gives every tool that still runs this result. The runs stay the model's to hear of.
    fn abandon_tools(&mut self, result: &str) {
        let Some(runs) = &mut self.runs else { return };
        let (entry, waiting) = (runs.entry, std::mem::take(&mut runs.waiting));
        for (_, index) in waiting {
            self.tool_result(entry, index, result);
        }
    }

    /// The callee interrupted: the tools' results are not waited for.
    pub(super) fn interrupt_tools(&mut self) {
        self.abandon_tools(UNFINISHED);
        self.runs = None;
        self.out.timers.clear(Timer::ToolPatience);
    }

    /// The name of the tool.
    fn tool_result(&mut self, entry: EntryId, index: usize, result: &str) -> Option<String> {
        let call = self.history.result(entry, index, result)?;
        let (arguments, result) = (Pii::new(call.arguments), Pii::new(result.to_owned()));
        self.out.note(CallEvent::ToolRun { name: call.name.clone(), arguments, result });
        Some(call.name)
    }

    fn go_on_after_tools(&mut self, now: Instant) {
        let Some(runs) = self.runs.take_if(|runs| runs.waiting.is_empty()) else { return };
        self.out.timers.clear(Timer::ToolPatience);
        if self.closing.is_none() && !runs.told.is_on() {
            self.ask(now, Purpose::FollowUp);
        }
    }

    /// The model answered with neither a word nor a tool.
    fn model_said_nothing(&mut self, now: Instant, thought: Answer) {
        self.out.note(trouble("the model answered with nothing"));
        self.think_again(now, &thought);
    }

    pub(super) fn model_failed(&mut self, now: Instant, id: AskId) {
        let Some(thought) = self.thought.take_if(|thought| thought.id == id && !thought.done.is_on()) else { return };
        self.out.timers.clear(Timer::ModelPatience);
        // Nobody waits for an answer asked in advance; it is asked again when it is needed.
        if thought.is_confirmed() {
            self.think_again(now, &thought);
        }
    }

    pub(super) fn model_is_mute(&mut self, now: Instant) {
        let Some(thought) = self.cancel_thought() else { return };
        self.out.note(trouble("the model gave no sign of life"));
        if self.turn.owed.is_some() {
            self.give_up(now, HangupCause::ProviderFailed);
        } else {
            self.think_again(now, &thought);
        }
    }

    /// Asks once more, with an apology; gives up the second time in a row.
    fn think_again(&mut self, now: Instant, thought: &Answer) {
        self.failures.brain += 1;
        // The silence so far counts.
        self.turn.owed.get_or_insert(thought.alive);
        if self.failures.brain > 1 {
            self.give_up(now, HangupCause::ProviderFailed);
        } else if thought.entry.is_some() {
            self.ask(now, Purpose::GoOn);
        } else {
            if self.stance() != Stance::Speaking {
                let retry = self.texts.stock.retry;
                self.say_aside(retry);
            }
            self.ask(now, thought.purpose);
        }
    }
}

fn trouble(detail: &str) -> CallEvent {
    CallEvent::Trouble { part: "brain".to_owned(), detail: detail.to_owned() }
}
