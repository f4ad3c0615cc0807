//! Plays a script against a conversation and writes down what comes out.

use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn, LlmEvent, Message, ToolCall};
use callwright_conversation::{
    AskId, Conversation, Grace, HeardPhrase, Input, Output, PhraseId, Place, Press, Question, Saying, Setup, Sound,
    ToolAction, ToolRunId, VoiceProgress, Words,
};
use callwright_domain::agent::{Greeting, Switch, Tool};
use callwright_domain::call::Span;
use callwright_domain::{AgentProfile, CallEvent, HangupCause, Transfer, TransferTarget};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Milliseconds of speech a character.
const CHARACTER: u64 = 50;
/// Milliseconds until the voice's first sound.
const VOICE: u64 = 100;

/// The moment at which the virtual clock begins.
#[allow(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; no test looks at the real time")]
pub(crate) fn zero() -> Instant {
    static ZERO: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

/// An agent that waits for the callee to speak first, and may hang up and press keys.
pub(crate) fn agent() -> AgentProfile {
    let mut agent = AgentProfile::default();
    agent.brain.system_prompt = "Be kind.".to_owned();
    agent.tools = vec![
        Tool::EndCall { name: "end_call".to_owned(), description: "Hang up.".to_owned() },
        Tool::SendKeys { name: "send_keys".to_owned(), description: "Press keys.".to_owned() },
    ];
    agent
}

/// The same, with changes.
pub(crate) fn agent_with(change: impl FnOnce(&mut AgentProfile)) -> AgentProfile {
    let mut agent = agent();
    change(&mut agent);
    agent
}

/// An agent that greets with this text.
pub(crate) fn greeter(text: &str) -> AgentProfile {
    agent_with(|agent| agent.opening.greeting = Greeting::Text(text.to_owned()))
}

pub(crate) fn setup(agent: AgentProfile) -> Setup {
    Setup { agent, variables: BTreeMap::new(), thread: Vec::new(), today: "Monday".to_owned(), seed: 7 }
}

/// Plays the script's inputs and gives the whole text: inputs, and what came out.
pub(crate) fn played(agent: AgentProfile, script: &str) -> String {
    Player::new(agent).play(&lines_of(script))
}

/// A script's lines, each with one blank after its moment.
fn lines_of(script: &str) -> String {
    let mut told = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at, what) = line.split_once(' ').unwrap_or_else(|| panic!("no time in {line:?}"));
        writeln!(told, "{at} {}", what.trim()).expect("text");
    }
    told
}

/// Plays the script's inputs and gives what was said, each with the moments at which it began and ended.
pub(crate) fn sounds(agent: AgentProfile, script: &str) -> Vec<String> {
    let mut player = Player::new(agent);
    player.run(&lines_of(script));
    player.sounds
}

/// Plays the script's inputs and compares the whole text with what came out.
#[track_caller]
pub(crate) fn check(agent: AgentProfile, script: &str) {
    let told = lines_of(script);
    let played = Player::new(agent).play(&told);
    let line = std::panic::Location::caller();
    assert!(told == played, "\n@@ {}:{}\n{played}@@ end\n\nexpected:\n{told}", line.file(), line.line());
}

/// A phrase in the hands of the voice.
struct Spoken {
    id: PhraseId,
    said: u64,
    long: u64,
    sounded: bool,
}

struct Player {
    conversation: Conversation,
    now: u64,
    voice: VecDeque<Spoken>,
    /// When the phrase at the front began to play.
    playing_since: u64,
    /// Phrases that the voice will fail at.
    failing: u32,
    /// Whether what fails is refused.
    refusing: bool,
    mute: bool,
    last_ask: Option<AskId>,
    last_run: Option<ToolRunId>,
    text: String,
    /// What was said and when it sounded.
    sounds: Vec<String>,
}

impl Player {
    fn new(agent: AgentProfile) -> Self {
        Self {
            conversation: Conversation::new(setup(agent)).expect("templates"),
            now: 0,
            voice: VecDeque::new(),
            playing_since: 0,
            failing: 0,
            refusing: false,
            mute: false,
            last_ask: None,
            last_run: None,
            text: String::new(),
            sounds: Vec::new(),
        }
    }

    fn play(mut self, script: &str) -> String {
        self.run(script);
        self.text
    }

    fn run(&mut self, script: &str) {
        for line in script.lines().filter(|line| !line.contains('→')) {
            let (at, what) = line.split_once(' ').unwrap_or_else(|| panic!("no time in {line:?}"));
            let at: u64 = at.parse().unwrap_or_else(|_| panic!("no time in {line:?}"));
            self.run_until(at);
            writeln!(self.text, "{line}").expect("text");
            self.input(what.trim());
        }
    }

    /// Lets the voice and the timers run up to a moment.
    fn run_until(&mut self, end: u64) {
        for _ in 0..10_000 {
            let timer = self.conversation.timeout().map(|due| ms_since_zero(due).max(self.now));
            let voice = self.voice_event().map(|(at, _)| at.max(self.now));
            let Some(next) = timer.into_iter().chain(voice).min().filter(|next| *next < end) else {
                self.now = end;
                return;
            };
            self.now = next;
            match self.voice_event().filter(|(at, _)| *at <= next) {
                Some((_, input)) => self.voice_happens(input),
                None => self.feed(Input::Clock),
            }
        }
        panic!("the machine spins at {} ms\n{}", self.now, self.text);
    }

    /// What the voice or the playout will report next.
    fn voice_event(&self) -> Option<(u64, Input)> {
        let front = self.voice.front()?;
        if self.mute {
            return None;
        }
        let next = self.voice.iter().find(|spoken| !spoken.sounded);
        let sound = next.map(|spoken| (spoken.said + VOICE, Input::Voiced(spoken.id, VoiceProgress::FirstSound)));
        let played = front.sounded.then(|| (self.playing_since + front.long, Input::Played(front.id)));
        sound.into_iter().chain(played).min_by_key(|(at, _)| *at)
    }

    fn voice_happens(&mut self, input: Input) {
        let Input::Voiced(id, _) = input else {
            self.voice.pop_front();
            self.playing_since = self.now;
            self.feed(input);
            if self.voice.is_empty() {
                self.feed(Input::PlayoutDrained);
            }
            return;
        };
        if self.failing > 0 {
            self.failing -= 1;
            self.voice.retain(|spoken| spoken.id != id);
            let progress = if self.refusing { VoiceProgress::Refused } else { VoiceProgress::Failed };
            self.feed(Input::Voiced(id, progress));
            return;
        }
        if self.voice.front().is_some_and(|front| front.id == id) {
            self.playing_since = self.now;
        }
        for spoken in self.voice.iter_mut().filter(|spoken| spoken.id == id) {
            spoken.sounded = true;
        }
        self.feed(input);
        self.feed(Input::Voiced(id, VoiceProgress::Complete));
    }

    fn feed(&mut self, input: Input) {
        self.conversation.handle(zero() + Duration::from_millis(self.now), input);
        while let Some(output) = self.conversation.poll() {
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        let line = match output {
            Output::Ask(ask) => {
                self.last_ask = Some(ask.id);
                let tools = if ask.tools.is_empty() { " without tools" } else { "" };
                let headers: String = ask.headers.keys().map(|name| format!(" with {name}")).collect();
                format!("asks {}{tools}{headers}: {}", ask.id.number(), told(&ask.messages))
            }
            Output::CancelAsk(id) => format!("cancels {}", id.number()),
            Output::Say(phrase) => {
                let spoken = phrase.text.chars().count() as u64 * CHARACTER;
                let played = phrase.sound.as_ref().map(|sound| sound.length().as_millis() as u64);
                let long = played.unwrap_or(spoken);
                let text = if played.is_some() { format!("({long} ms of sound)") } else { phrase.text };
                self.voice.push_back(Spoken { id: phrase.id, said: self.now, long, sounded: false });
                let firmly = if phrase.interruptible.is_on() { "" } else { " firmly" };
                format!("says{firmly}: {text}")
            }
            Output::Flush => "flushes".to_owned(),
            Output::Transfer(to) => format!("transfers to {}", to.dial()),
            Output::Backchannel(text) => format!("murmurs: {text}"),
            Output::RunTool { id, action: ToolAction::SendKeys { digits } } => {
                self.last_run = Some(id);
                format!("presses {digits}")
            }
            Output::RunTool { id, action: ToolAction::DoNotCall } => {
                self.last_run = Some(id);
                "denies the callee".to_owned()
            }
            Output::RunTool { id, action: ToolAction::ChangeAgent { agent } } => {
                self.last_run = Some(id);
                format!("goes on as {agent}")
            }
            Output::Note(event) => {
                self.sounds.extend(sounded(self.now, &event));
                format!("notes {}", noted(&event))
            }
            Output::HangUp(cause) => format!("hangs up: {cause:?}"),
        };
        writeln!(self.text, "{} → {line}", self.now).expect("text");
        if line == "flushes" {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut report = Vec::new();
        for (at, spoken) in self.voice.drain(..).enumerate() {
            if spoken.sounded {
                let sent = if at == 0 { self.now.saturating_sub(self.playing_since) } else { 0 };
                let (sent, total) = (Duration::from_millis(sent), Some(Duration::from_millis(spoken.long)));
                report.push(HeardPhrase { phrase: spoken.id, sent, total });
            }
        }
        // Reported after the outputs that go with the flush were carried out.
        let now = zero() + Duration::from_millis(self.now);
        let mut rest = Vec::new();
        while let Some(output) = self.conversation.poll() {
            rest.push(output);
        }
        for output in rest {
            self.output(output);
        }
        self.conversation.handle(now, Input::Flushed(report));
    }

    fn input(&mut self, what: &str) {
        let (verb, rest) = what.split_once(": ").unwrap_or((what, ""));
        let text = rest.to_owned();
        let ask = self.last_ask.unwrap_or(AskId::OPENING);
        let model = |event| Input::Model(ask, event);
        let input = match verb {
            "answered" => Input::Answered,
            "voice" => Input::SpeechStarted { speech: Duration::from_millis(100) },
            "no voice" => Input::SpeechStopped { silence: Duration::from_millis(200) },
            "guess" => Input::Heard(AsrEvent::Partial { text }),
            "final" => final_text(text, EndOfTurn::Unknown),
            "final, and over" => final_text(text, EndOfTurn::Yes),
            "final, not over" => final_text(text, EndOfTurn::No),
            "ears lost" => Input::EarsLost,
            "model" => model(LlmEvent::Text(text)),
            "model ends" => model(LlmEvent::Done { usage: None }),
            "model, all" => {
                self.feed(model(LlmEvent::Text(text)));
                model(LlmEvent::Done { usage: None })
            }
            "model calls" => {
                let (name, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
                let call = ToolCall { id: "c".into(), name: name.into(), arguments: arguments.into() };
                model(LlmEvent::Tool(call))
            }
            "model fails" => Input::ModelFailed(ask),
            "tool result" => Input::ToolFinished { id: self.last_run.expect("a tool was run"), result: text },
            "tone" => Input::Tone,
            "transfer" => Input::TransferTo(Transfer::to(TransferTarget::parse(&text).expect("a target"))),
            "taken over" => Input::TakenOver,
            "transfer fails" => Input::TransferFailed(text),
            "key" => Input::Key(rest.chars().next().expect("a key")),
            "order: silence" | "silence" => Input::Interrupt,
            "stop" => Input::Stop { cause: HangupCause::ApiHungUp, grace: Grace::Now },
            "stop gracefully" => Input::Stop { cause: HangupCause::MaxDuration, grace: Grace::FinishUtterance },
            "callee hangs up" => Input::Stop { cause: HangupCause::CalleeHungUp, grace: Grace::Now },
            "hold" => Input::HoldStarted,
            "turns are marked" => Input::TurnsMarked(Switch::On),
            "turns are not marked" => Input::TurnsMarked(Switch::Off),
            "pressed" => Input::Press(Press::Begun),
            "released" => Input::Press(Press::Finished),
            "cancelled" => Input::Press(Press::Cancelled),
            "unhold" => Input::HoldEnded,
            "voice fails" | "voice refuses" => {
                self.refusing = verb == "voice refuses";
                self.failing = rest.parse().expect("how often");
                Input::Clock
            }
            "voice hangs" => {
                self.mute = true;
                Input::Clock
            }
            "sound before the greeting" => {
                self.conversation.open_with(silence_of(&text));
                Input::Clock
            }
            "until now" => Input::Clock,
            other => ordered(other, &text).unwrap_or_else(|| panic!("nobody knows how to {other:?}")),
        };
        self.feed(input);
    }
}

/// What somebody outside orders.
fn ordered(verb: &str, text: &str) -> Option<Input> {
    let text = text.to_owned();
    Some(match verb {
        "order" => Input::Say(Saying::now(text, Switch::On)),
        "firm order" => Input::Say(Saying::now(text, Switch::Off)),
        "order alone" => Input::Say(Saying { alone: Switch::On, ..Saying::now(text, Switch::Off) }),
        "order, not told" => Input::Say(Saying { remembered: Switch::Off, ..Saying::now(text, Switch::On) }),
        "last order" => Input::Say(Saying { last: Switch::On, ..Saying::next(text) }),
        "order if silent" => Input::Say(Saying { place: Place::IfSilent, ..Saying::next(text) }),
        "order unless interrupted" => Input::Say(Saying { place: Place::NextUnlessInterrupted, ..Saying::next(text) }),
        "sound order" => Input::Say(Saying { words: Words::Sound(silence_of(&text)), ..Saying::next(text) }),
        "patient order" => Input::Say(Saying::next(text)),
        "text" => Input::UserText(text.into()),
        "patient text" => {
            let headers = BTreeMap::from([("x-asked".to_owned(), "1".to_owned())]);
            Input::UserText(Question { text, interrupts: Switch::Off, headers })
        }
        _ => return None,
    })
}

/// A sound of a second for each character.
fn silence_of(text: &str) -> Sound {
    Sound::new(vec![0; text.len() * 100], 100)
}

fn final_text(text: String, end_of_turn: EndOfTurn) -> Input {
    Input::Heard(AsrEvent::Final { text, end_of_turn })
}

/// A moment as the script writes it; a fraction of a millisecond is not over before the next.
fn ms_since_zero(at: Instant) -> u64 {
    let span = at.saturating_duration_since(zero());
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).expect("short enough")
}

/// What the model is told, without the prompt that always comes first.
fn told(messages: &[Message]) -> String {
    assert_eq!(messages[0].content, "Be kind.");
    let line = |message: &Message| {
        let calls: String = message.tool_calls.iter().map(|call| format!(" [{}]", call.name)).collect();
        let who = format!("{:?}", message.role).to_lowercase();
        let who = who.replace("assistant", "agent").replace("user", "callee");
        format!("{who} {:?}{calls}", message.content)
    };
    messages[1..].iter().map(line).collect::<Vec<_>>().join(", ")
}

fn sounded(now: u64, event: &CallEvent) -> Option<String> {
    let (CallEvent::Heard { text, span } | CallEvent::Said { text, span, .. }) = event else { return None };
    let from_to = |span: &Span| format!("{} to {}", now - u64::from(span.began_ms), now - u64::from(span.ended_ms));
    Some(format!("{}: {}", span.as_ref().map_or_else(|| "never".to_owned(), from_to), text.expose()))
}

fn noted(event: &CallEvent) -> String {
    match event {
        CallEvent::Heard { text, .. } => format!("heard {:?}", text.expose()),
        CallEvent::Said { text, interrupted, by_order, unsaid, .. } => {
            let (cut, order) = (if *interrupted { ", cut off" } else { "" }, if *by_order { " by order" } else { "" });
            let rest = unsaid.as_ref().map_or_else(String::new, |rest| format!(" before {:?}", rest.expose()));
            format!("said{order}{cut} {:?}{rest}", text.expose())
        }
        CallEvent::TurnTaken { latency } => format!(
            "turn {} = endpoint {} + ears {} + brain {} + voice {} + own {}",
            latency.total_ms, latency.endpoint_ms, latency.ears_ms, latency.brain_ms, latency.voice_ms, latency.own_ms
        ),
        CallEvent::ToolRun { name, result, .. } => format!("tool {name} gave {}", result.expose()),
        CallEvent::Trouble { part, detail } => format!("trouble with the {part}: {detail}"),
        CallEvent::KeyPressed { key } => format!("key {key}"),
        other => other.name().to_owned(),
    }
}
