//! What goes into a conversation and what comes out of it. Data only; nothing here decides anything.

use crate::vocabulary::{AsrEvent, LlmEvent, Message, ToolSpec};
use callwright_domain::agent::{HistoryLine, Switch};
use callwright_domain::{AgentId, AgentProfile, CallEvent, HangupCause, Transfer, TransferTarget};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a conversation begins with.
#[derive(Clone, PartialEq)]
pub struct Setup {
    /// The agent, every patch laid over it.
    pub agent: AgentProfile,
    /// Values for the templates.
    pub variables: BTreeMap<String, String>,
    /// What was said in earlier calls of the same thread, oldest first.
    pub thread: Vec<HistoryLine>,
    /// Today in words, as templates may use it under the name `today`; a variable of that name wins.
    pub today: String,
    /// Seed of everything that is left to chance (fillers, reminders, backchannels).
    pub seed: u64,
}

impl fmt::Debug for Setup {
    /// Shows none of the variables and lines: they are personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("agent", &self.agent.name).field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Names one question to the model, for the length of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub(crate) u64);

impl AskId {
    /// The question for the agent's first words; see [`crate::Conversation::opening_request`].
    pub const OPENING: Self = Self(0);

    /// The id as a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Names one phrase, for the length of a call; also the number of its mark in the playout queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhraseId(pub(crate) u64);

impl PhraseId {
    /// The id as a number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The id behind a number that [`PhraseId::number`] gave, as when a mark comes back from the playout queue.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// Names one run of a tool, for the length of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolRunId(pub(crate) u64);

impl ToolRunId {
    /// The id as a number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// How a phrase gets on at the synthesiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceProgress {
    /// Its first sound was received.
    FirstSound,
    /// Its last sound is in the playout queue, its mark behind it.
    Complete,
    /// It will not be spoken, or not to its end.
    Failed,
    /// The voice does not take its text, now or later.
    Refused,
}

/// How far a phrase had been played when the playout queue was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardPhrase {
    /// Which.
    pub phrase: PhraseId,
    /// How much of its sound was sent.
    pub sent: Duration,
    /// How long it is altogether; `None` when not all of it had been synthesised.
    pub total: Option<Duration>,
}

/// How much time a conversation that is to stop still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// None.
    Now,
    /// What is being said is said to its end, at most 10 s.
    FinishUtterance,
}

/// Why an order from outside would never be heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// No person has answered, or the agent has not begun.
    Nobody,
    /// The last words are being said, or have been.
    LastWords,
    /// The callee is being handed over, or talks with somebody else.
    HandedOver,
    /// It has no room beside what waits already.
    Full,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The callee answered; audio flows.
    Answered,
    /// Voice activity detection: the callee speaks, and has done so for this long.
    SpeechStarted {
        /// Speech needed before it was reported.
        speech: Duration,
    },
    /// Voice activity detection: the callee has been silent for this long.
    SpeechStopped {
        /// The detector's hangover: silence that has already passed.
        silence: Duration,
    },
    /// The recogniser.
    Heard(AsrEvent),
    /// No recogniser works any more; the call cannot go on.
    EarsLost,
    /// The model.
    Model(AskId, LlmEvent),
    /// The model broke off; neither a retry nor a substitute helped.
    ModelFailed(AskId),
    /// The synthesiser.
    Voiced(PhraseId, VoiceProgress),
    /// The phrase was played to its end: its mark was reached.
    Played(PhraseId),
    /// The playout queue ran empty.
    PlayoutDrained,
    /// The answer to [`Output::Flush`]: the phrases in the playout queue that were not played to their end, in order. One
    /// that is missing was played whole if all of it had been queued (its mark may still be on its way) or a later one
    /// is there; otherwise it had not begun.
    Flushed(Vec<HeardPhrase>),
    /// A tool has run.
    ToolFinished {
        /// Which run.
        id: ToolRunId,
        /// What the model is told.
        result: String,
    },
    /// A steady tone has sounded and ended, as an answering machine's does; see [`crate::Conversation::wants_tones`].
    Tone,
    /// The callee pressed a key: `0`-`9`, `*`, `#`, `A`-`D`.
    Key(char),
    /// Order from outside: say this. Ignored before the answer and after the end.
    Say(Saying),
    /// Order from outside: answer this as if the callee had said it.
    UserText(Question),
    /// Order from outside: be silent now and listen.
    Interrupt,
    /// Order from outside: hand the callee over. Ignored before the answer and after the end.
    TransferTo(Transfer),
    /// What [`Output::Transfer`] asked for did not work, in words.
    TransferFailed(String),
    /// A person talks with the far end in the agent's place, from now on and to the end: the agent falls silent at once, and
    /// neither answers nor reminds any more. Ignored before the answer and after the end.
    TakenOver,
    /// From now on the far end says when a turn begins and ends, as with a key that is held down while one talks; or no more.
    TurnsMarked(Switch),
    /// It says so. Ignored while turns are not marked.
    Press(Press),
    /// The call is to end: by order, or because it has ended. Fed in either way, so that the last words reach the
    /// journal; [`Output::HangUp`] with the same cause closes the outputs.
    Stop {
        /// The cause that the call shall have.
        cause: HangupCause,
        /// How much time there is.
        grace: Grace,
    },
    /// The callee cannot hear us for now.
    HoldStarted,
    /// The callee hears us again.
    HoldEnded,
    /// Time has passed; see [`crate::Conversation::timeout`].
    Clock,
}

/// Something that the agent is ordered to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saying {
    /// What.
    pub words: Words,
    /// When.
    pub place: Place,
    /// Whether the callee may cut it off.
    pub interruptible: Switch,
    /// Until it has been said, other orders to say something are ignored.
    pub alone: Switch,
    /// Whether the model is told of it.
    pub remembered: Switch,
    /// Whether the call ends when it has been said.
    pub last: Switch,
}

impl Saying {
    /// A text that is said at once.
    pub const fn now(text: String, interruptible: Switch) -> Self {
        Self {
            words: Words::Text(text),
            place: Place::Now,
            interruptible,
            alone: Switch::Off,
            remembered: Switch::On,
            last: Switch::Off,
        }
    }

    /// A text that is said when the floor is free, and may be cut off.
    pub fn next(text: String) -> Self {
        Self { place: Place::Next, ..Self::now(text, Switch::On) }
    }
}

/// What is said by order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// The voice speaks it as it is written.
    Text(String),
    /// It is played as it is.
    Sound(Sound),
}

/// When it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At once: what is being said and may be cut off makes way, what may not is said first.
    Now,
    /// When the agent has said what it is saying and the callee was answered.
    Next,
    /// The same; not at all when the agent is interrupted before.
    NextUnlessInterrupted,
    /// At once when nobody talks and nobody is owed an answer; else not at all.
    IfSilent,
}

/// Sound that somebody has made: mono.
#[derive(Clone, PartialEq, Eq)]
pub struct Sound {
    samples: Arc<[i16]>,
    hertz: u32,
}

impl Sound {
    /// These samples, so many a second (at least one).
    pub fn new(samples: impl Into<Arc<[i16]>>, hertz: u32) -> Self {
        Self { samples: samples.into(), hertz: hertz.max(1) }
    }

    /// The samples.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// How many of them make a second.
    pub const fn hertz(&self) -> u32 {
        self.hertz
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        let samples = u64::try_from(self.samples.len()).unwrap_or(u64::MAX);
        Duration::from_millis(samples.saturating_mul(1000) / u64::from(self.hertz))
    }

    /// What is left of it behind its first `played`; none: nothing.
    pub(crate) fn behind(&self, played: Duration) -> Option<Self> {
        let played = played.as_millis().saturating_mul(self.hertz.into()) / 1000;
        let rest = self.samples.get(usize::try_from(played).unwrap_or(usize::MAX)..)?;
        (!rest.is_empty()).then(|| Self::new(rest, self.hertz))
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({:?} at {} Hz)", self.length(), self.hertz)
    }
}

/// A text that is answered as if the callee had said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The text.
    pub text: String,
    /// Whether what the agent is saying makes way; otherwise it waits until nobody talks.
    pub interrupts: Switch,
    /// Headers that the model is asked with in this turn, where it is asked by HTTP.
    pub headers: BTreeMap<String, String>,
}

impl From<String> for Question {
    /// One that interrupts, and is asked as everything is.
    fn from(text: String) -> Self {
        Self { text, interrupts: Switch::On, headers: BTreeMap::new() }
    }
}

/// A question to the model. The answer streams back as [`Input::Model`] under its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Its name.
    pub id: AskId,
    /// The whole conversation as the model shall see it, instructions first.
    pub messages: Vec<Message>,
    /// What the model may do.
    pub tools: Vec<ToolSpec>,
    /// Headers to ask it with, where it is asked by HTTP.
    pub headers: BTreeMap<String, String>,
}

/// What a far end does that marks its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Press {
    /// It talks from now on, over the agent where that may be interrupted.
    Begun,
    /// It has finished; the agent answers.
    Finished,
    /// What it has said since it began is not meant.
    Cancelled,
}

/// A piece of speech. Phrases are spoken in the order in which they are put out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// Its name, and the number of its mark.
    pub id: PhraseId,
    /// What to speak: no markup, pronunciations applied.
    pub text: String,
    /// Played in its place: then there is no text.
    pub sound: Option<Sound>,
    /// Whether the callee may cut it off; for display, the machine itself sees to it.
    pub interruptible: Switch,
}

/// Something the call does for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolAction {
    /// Put the callee on the account's do-not-call list. Done when the run's result is [`crate::TOOL_DONE`]: then the machine
    /// says so by itself.
    DoNotCall,
    /// Go on as this agent: [`crate::Conversation::adopt`], before the run is reported as finished. What follows is asked with
    /// its instructions.
    ChangeAgent {
        /// The stored agent.
        agent: AgentId,
    },
    /// Press these keys: 1 to 32 of `0`-`9`, `*`, `#`, `A`-`D`.
    SendKeys {
        /// The keys.
        digits: String,
    },
}

/// What the agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearing {
    /// It is silent.
    Listening,
    /// It is about to answer.
    Thinking,
    /// It speaks.
    Speaking,
}

/// Something to be done, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Ask the model.
    Ask(Ask),
    /// The answer to this question is not wanted any more.
    CancelAsk(AskId),
    /// Speak.
    Say(Phrase),
    /// Be silent at once: drop what is queued and being synthesised, then report [`Input::Flushed`].
    Flush,
    /// A small sound of attention under the callee's speech. Not a phrase: no mark, no report.
    Backchannel(String),
    /// Do this, then report [`Input::ToolFinished`].
    RunTool {
        /// Name of the run.
        id: ToolRunId,
        /// What to do.
        action: ToolAction,
    },
    /// Hand the callee over now. [`Input::TransferFailed`] follows, or the end of the call.
    Transfer(TransferTarget),
    /// For the journal.
    Note(CallEvent),
    /// End the call. Nothing follows.
    HangUp(HangupCause),
}
