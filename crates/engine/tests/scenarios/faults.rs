//! The catalogue of provider faults, each played against a conversation with chains of vendors on a virtual clock: the
//! first vendor has the fault, the second is well. What the callee hears is measured, not what was ordered.

use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn, LlmEvent, ToolCall, TtsEvent};
use callwright_conversation::{AskId, Conversation, HeardPhrase, Input, Output, Phrase, Setup, VoiceProgress};
use callwright_domain::agent::Tool;
use callwright_domain::{AgentProfile, HangupCause};
use callwright_engine::limits::{VOICE_FIRST_SOUND, VOICE_STALL};
use callwright_providers::asr::{Asr, AsrInput, AsrParams, AsrStream};
use callwright_providers::fallback::{Chain, Link};
use callwright_providers::llm::{Llm, LlmRequest, LlmStream};
use callwright_providers::tts::{Tts, TtsRequest, TtsStream};
use callwright_providers::{ErrorKind, ProviderError, Running};
use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

const RATE: u32 = 8000;
const ANSWER: &str = "We have a table for you. It is by the window. Shall I book it now?";
/// When the callee begins and ends to speak, in milliseconds after the answer.
const SPEECH: (u64, u64) = (500, 1500);

type Sent<E> = mpsc::Sender<Result<E, ProviderError>>;

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// A vendor with a fault, or none where there are no steps. Clones count together.
#[derive(Clone, Default)]
struct Vendor {
    steps: Vec<String>,
    asked: Arc<AtomicUsize>,
}

/// The seconds or tokens in a step: "sleep 8" has 8.
fn number(step: &str) -> u64 {
    step.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0)
}

impl Vendor {
    fn new(steps: &[String]) -> Self {
        Self { steps: steps.to_vec(), asked: Arc::default() }
    }

    fn has(&self, step: &str) -> bool {
        self.steps.iter().any(|own| own.starts_with(step))
    }

    /// The failure that comes instead of an answer, after the vendor's own waits.
    async fn failure(&self) -> Option<ProviderError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let fail = |kind| Some(ProviderError::new("faulty", kind, "as told"));
        if self.has("accept_syn_never_answer") {
            sleep(ms(2000)).await;
            return fail(ErrorKind::Timeout);
        }
        if self.has("429") {
            let mut error = ProviderError::new("faulty", ErrorKind::RateLimited, "as told");
            error.retry_after = Some(Duration::from_secs(30));
            return Some(error);
        }
        match () {
            () if self.has("refuse") => fail(ErrorKind::Unreachable),
            () if self.has("500") && asked == 0 => fail(ErrorKind::Internal),
            () if self.has("401") => fail(ErrorKind::Unauthorised),
            () if self.has("200") => fail(ErrorKind::Protocol),
            () => None,
        }
    }
}

impl Llm for Vendor {
    fn name(&self) -> &str {
        "brain"
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (sender, events) = mpsc::channel(64);
        let vendor = self.clone();
        LlmStream { events, running: Running::spawn(async move { vendor.think(request, sender).await }) }
    }
}

impl Vendor {
    async fn think(self, request: LlmRequest, events: Sent<LlmEvent>) {
        if let Some(error) = self.failure().await {
            drop(events.send(Err(error)).await);
            return;
        }
        let first = self.asked.load(Ordering::Relaxed) == 1;
        if let Some(step) = self.steps.iter().find(|step| step.starts_with("sleep")) {
            sleep(Duration::from_secs(number(step))).await;
        }
        if self.has("tool args") && first {
            let call = ToolCall { id: "1".into(), name: "press".into(), arguments: "{".into() };
            drop(events.send(Ok(LlmEvent::Tool(call))).await);
        }
        // Asked to go on, a model says what is missing.
        let said = request.messages.iter().rev().find(|message| ANSWER.starts_with(message.content.trim_end()));
        let said = said.map_or("", |message| message.content.as_str());
        let rest = ANSWER.strip_prefix(said).unwrap_or(ANSWER).trim_start();
        let tokens = self
            .steps
            .iter()
            .find(|step| step.starts_with("tokens "))
            .map_or(usize::MAX, |step| usize::try_from(number(step)).expect("few"));
        let silent = self.has("[DONE]") || (self.has("tool args") && first);
        for word in rest.split_inclusive(' ').take(if silent { 0 } else { tokens }) {
            sleep(ms(30)).await;
            if events.send(Ok(LlmEvent::Text(word.into()))).await.is_err() {
                return;
            }
        }
        if self.has("hang") {
            pending::<()>().await;
        }
        drop(events.send(Ok(LlmEvent::Done { usage: None })).await);
    }

    async fn speak_text(self, text: String, events: Sent<TtsEvent>) {
        if let Some(error) = self.failure().await {
            drop(events.send(Err(error)).await);
            return;
        }
        sleep(ms(120)).await;
        let pieces = text.len().div_ceil(2);
        for at in 0..pieces {
            if self.has("400 ms") && at == 4 {
                pending::<()>().await;
            }
            if self.has("zeros") {
                // What the vendor's file makes of sound without sound.
                drop(events.send(Err(ProviderError::new("faulty", ErrorKind::Protocol, "silence"))).await);
                return;
            }
            // 100 ms for two letters.
            if events.send(Ok(TtsEvent::Audio(vec![1000; RATE as usize / 10]))).await.is_err() {
                return;
            }
        }
        drop(events.send(Ok(TtsEvent::Done)).await);
    }

    async fn listen(self, mut inputs: mpsc::Receiver<AsrInput>, events: Sent<AsrEvent>) {
        if let Some(error) = self.failure().await {
            drop(events.send(Err(error)).await);
            return;
        }
        // Samples of the utterance, until it is over.
        let mut heard = 0;
        while let Some(input) = inputs.recv().await {
            match input {
                AsrInput::Audio(pcm) => heard += pcm.len(),
                AsrInput::SpeechStarted => {}
                AsrInput::SpeechStopped if self.has("partials only") => {}
                AsrInput::SpeechStopped => {
                    let last = AsrEvent::Final { text: "I want a table".into(), end_of_turn: EndOfTurn::Yes };
                    sleep(ms(50)).await;
                    drop(events.send(Ok(last)).await);
                    return pending().await;
                }
            }
            let storm = self.has("empty final");
            let event = match () {
                () if storm => AsrEvent::Final { text: String::new(), end_of_turn: EndOfTurn::Unknown },
                () if heard > 4000 => AsrEvent::Partial { text: "I want a table".into() },
                () => continue,
            };
            drop(events.send(Ok(event)).await);
            if self.has("ws close") {
                drop(events.send(Err(ProviderError::new("faulty", ErrorKind::Unreachable, "1006"))).await);
                return;
            }
        }
    }
}

impl Tts for Vendor {
    fn name(&self) -> &str {
        "voice"
    }

    fn speak(&self, request: TtsRequest) -> TtsStream {
        let (sender, events) = mpsc::channel(64);
        TtsStream { events, running: Running::spawn(self.clone().speak_text(request.text, sender)) }
    }
}

impl Asr for Vendor {
    fn name(&self) -> &str {
        "ears"
    }

    fn start(&self, _: AsrParams) -> AsrStream {
        let (input, inputs) = mpsc::channel(256);
        let (sender, events) = mpsc::channel(64);
        AsrStream { input, events, running: Running::spawn(self.clone().listen(inputs, sender)) }
    }
}

/// What the callee went through.
#[derive(Debug, Default)]
struct Lived {
    /// Stretches in which the agent was heard, in milliseconds after the answer.
    sounds: Vec<(u64, u64)>,
    /// Phrases that were heard.
    heard: Vec<String>,
    ended: Option<(u64, HangupCause)>,
    asked: usize,
}

impl Lived {
    /// From the end of the callee's speech to the agent's first sound.
    fn wait(&self) -> u64 {
        self.sounds.first().map_or(u64::MAX, |(from, _)| from.saturating_sub(SPEECH.1))
    }

    /// The longest silence from the end of the callee's speech to the agent's last sound.
    fn longest_silence(&self) -> u64 {
        let (mut until, mut longest) = (SPEECH.1, 0);
        for (from, to) in &self.sounds {
            longest = longest.max(from.saturating_sub(until));
            until = until.max(*to);
        }
        longest
    }

    /// What was heard of the answer, without what was said meanwhile.
    fn answer(&self) -> String {
        let stock = |text: &str| text.contains("moment");
        self.heard.iter().filter(|text| !stock(text)).cloned().collect::<Vec<_>>().join(" ")
    }
}

/// A call without telephones.
struct Call {
    start: Instant,
    conversation: Conversation,
    brain: Chain<dyn Llm>,
    ears: AsrStream,
    voice: Chain<dyn Tts>,
    answers: Vec<(AskId, LlmStream)>,
    phrases: VecDeque<Phrase>,
    /// The phrase being made, whether it has sounded, and since when it is waited for.
    making: Option<(Phrase, TtsStream, bool, Instant)>,
    /// Until when the playout queue lasts, and the marks in it.
    queue: Instant,
    marks: VecDeque<(Instant, Phrase)>,
    lived: Lived,
}

enum Event {
    Heard(AsrEvent),
    Deaf,
    Model(AskId, Option<Result<LlmEvent, ProviderError>>),
    Sound(Result<Option<Result<TtsEvent, ProviderError>>, tokio::time::error::Elapsed>),
    Played,
    Callee(u64),
    Clock,
}

fn chain<T: ?Sized>(vendors: Vec<Arc<T>>) -> Chain<T> {
    Chain::new("chain", vendors.into_iter().map(|vendor| Link { vendor, breaker: Arc::default() }).collect())
}

impl Call {
    fn new(part: &str, faulty: &Vendor) -> Self {
        let well = Vendor::default();
        let vendors = |own: &str| match part {
            "all" => vec![faulty.clone()],
            _ if part == own => vec![faulty.clone(), well.clone()],
            _ => vec![well.clone()],
        };
        let ears: Chain<dyn Asr> =
            chain(vendors("asr").into_iter().map(|vendor| Arc::new(vendor) as Arc<dyn Asr>).collect());
        let mut agent = AgentProfile { language: "en".into(), ..AgentProfile::default() };
        agent.tools = vec![Tool::SendKeys { name: "press".into(), description: "Presses keys.".into() }];
        let setup = Setup { agent, variables: BTreeMap::new(), thread: vec![], today: String::new(), seed: 1 };
        let start = Instant::now();
        Self {
            start,
            conversation: Conversation::new(setup).expect("templates"),
            brain: chain(vendors("llm").into_iter().map(|vendor| Arc::new(vendor) as Arc<dyn Llm>).collect()),
            ears: ears.start(AsrParams {
                rate: RATE,
                language: String::new(),
                model: String::new(),
                hot_words: vec![],
                silence_ms: 400,
                params: BTreeMap::new(),
            }),
            voice: chain(vendors("tts").into_iter().map(|vendor| Arc::new(vendor) as Arc<dyn Tts>).collect()),
            answers: Vec::new(),
            phrases: VecDeque::new(),
            making: None,
            queue: start,
            marks: VecDeque::new(),
            lived: Lived::default(),
        }
    }

    fn at(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.start).as_millis()).expect("a short call")
    }

    async fn live(mut self, until: u64) -> Lived {
        self.tell(Input::Answered);
        // A step of the callee's every 20 ms.
        let mut step = 20;
        while self.lived.ended.is_none() && self.at(Instant::now()) < until {
            match self.next(step).await {
                Event::Heard(words) => self.tell(Input::Heard(words)),
                Event::Deaf => self.tell(Input::EarsLost),
                Event::Model(id, event) => self.model(id, event),
                Event::Sound(sound) => self.sound(sound),
                Event::Played => {
                    let (_, phrase) = self.marks.pop_front().expect("a mark was due");
                    self.tell(Input::Played(phrase.id));
                    self.lived.heard.push(phrase.text);
                }
                Event::Callee(at) => {
                    self.callee(at);
                    step = at + 20;
                }
                Event::Clock => self.tell(Input::Clock),
            }
        }
        self.lived
    }

    async fn next(&mut self, step: u64) -> Event {
        if self.making.is_none()
            && let Some(phrase) = self.phrases.pop_front()
        {
            let stream = self.voice.speak(TtsRequest::new(phrase.text.clone(), RATE));
            self.making = Some((phrase, stream, false, Instant::now()));
        }
        let clock = self.conversation.timeout().map(Instant::from_std);
        let mark = self.marks.front().map(|(at, _)| *at);
        let ears = &mut self.ears.events;
        let answers = &mut self.answers;
        tokio::select! {
            biased;
            () = until(mark) => Event::Played,
            heard = ears.recv(), if !ears.is_closed() => match heard {
                Some(Ok(words)) => Event::Heard(words),
                Some(Err(_)) | None => Event::Deaf,
            },
            (id, event) = first(answers) => Event::Model(id, event),
            sound = piece(&mut self.making) => Event::Sound(sound),
            () = sleep_until(self.start + ms(step)) => Event::Callee(step),
            () = until(clock) => Event::Clock,
        }
    }

    /// What the callee does at this moment: a second of speech, heard by the detector 200 ms late.
    fn callee(&mut self, at: u64) {
        let loud = (SPEECH.0..SPEECH.1).contains(&at);
        let hear = |input| drop(self.ears.input.try_send(input));
        hear(AsrInput::Audio(vec![if loud { 1000 } else { 0 }; 160]));
        if at == SPEECH.0 + 100 {
            hear(AsrInput::SpeechStarted);
            self.tell(Input::SpeechStarted { speech: ms(100) });
        } else if at == SPEECH.1 + 200 {
            hear(AsrInput::SpeechStopped);
            self.tell(Input::SpeechStopped { silence: ms(200) });
        }
    }

    fn model(&mut self, id: AskId, event: Option<Result<LlmEvent, ProviderError>>) {
        let over = !matches!(event, Some(Ok(LlmEvent::Text(_) | LlmEvent::Tool(_))));
        if over {
            self.answers.retain(|(asked, _)| *asked != id);
        }
        match event {
            Some(Ok(event)) => self.tell(Input::Model(id, event)),
            Some(Err(_)) | None => self.tell(Input::ModelFailed(id)),
        }
    }

    fn sound(&mut self, sound: Result<Option<Result<TtsEvent, ProviderError>>, tokio::time::error::Elapsed>) {
        let Some((phrase, stream, sounded, _)) = self.making.take() else { return };
        let now = Instant::now();
        match sound {
            Ok(Some(Ok(TtsEvent::Audio(pcm)))) => {
                let (id, from) = (phrase.id, self.queue.max(now));
                self.queue = from + Duration::from_secs_f64(pcm.len() as f64 / f64::from(RATE));
                self.lived.sounds.push((self.at(from), self.at(self.queue)));
                self.making = Some((phrase, stream, true, now));
                if !sounded {
                    self.tell(Input::Voiced(id, VoiceProgress::FirstSound));
                }
            }
            Ok(Some(Ok(TtsEvent::Done))) => {
                self.tell(Input::Voiced(phrase.id, VoiceProgress::Complete));
                self.marks.push_back((self.queue.max(now), phrase));
            }
            Ok(Some(Err(_)) | None) | Err(_) => self.tell(Input::Voiced(phrase.id, VoiceProgress::Failed)),
        }
    }

    fn tell(&mut self, input: Input) {
        self.conversation.handle(Instant::now().into_std(), input);
        while let Some(output) = self.conversation.poll() {
            match output {
                Output::Ask(ask) => {
                    self.lived.asked += 1;
                    let request = LlmRequest {
                        conversation: "call".into(),
                        model: String::new(),
                        messages: ask.messages,
                        tools: ask.tools,
                        temperature: None,
                        max_tokens: None,
                        query: BTreeMap::new(),
                        params: BTreeMap::new(),
                        script: Arc::new([]),
                        headers: BTreeMap::new(),
                    };
                    self.answers.push((ask.id, self.brain.ask(request)));
                }
                Output::CancelAsk(id) => self.answers.retain(|(asked, _)| *asked != id),
                Output::Say(phrase) => self.phrases.push_back(phrase),
                Output::Flush => self.flush(),
                Output::HangUp(cause) => self.lived.ended = Some((self.at(Instant::now()), cause)),
                Output::RunTool { .. } | Output::Transfer(_) => panic!("a tool with broken arguments was run"),
                Output::Backchannel(_) | Output::Note(_) => {}
            }
        }
    }

    fn flush(&mut self) {
        let none: Vec<HeardPhrase> = Vec::new();
        self.phrases.clear();
        self.making = None;
        self.marks.clear();
        self.queue = Instant::now();
        self.conversation.handle(Instant::now().into_std(), Input::Flushed(none));
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

async fn first(answers: &mut [(AskId, LlmStream)]) -> (AskId, Option<Result<LlmEvent, ProviderError>>) {
    match answers.last_mut() {
        Some((id, stream)) => (*id, stream.events.recv().await),
        None => pending().await,
    }
}

/// The next piece of sound, waited for as the engine does.
async fn piece(
    making: &mut Option<(Phrase, TtsStream, bool, Instant)>,
) -> Result<Option<Result<TtsEvent, ProviderError>>, tokio::time::error::Elapsed> {
    let Some((_, stream, sounded, since)) = making else { return pending().await };
    let patience = if *sounded { VOICE_STALL } else { VOICE_FIRST_SOUND };
    let left = (*since + patience).saturating_duration_since(Instant::now());
    timeout(left, stream.events.recv()).await
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_provider_is_covered() {
    let faults = include_str!("../../../providers/tests/fixtures/provider-faults.jsonl");
    let (mut report, mut wrong) = (String::new(), Vec::new());
    for fault in faults.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object")) {
        let text = |key: &str| fault[key].as_str().expect("a text").to_owned();
        let steps = fault["steps"].as_array().expect("a list");
        let steps: Vec<String> = steps.iter().map(|step| step.as_str().expect("a text").to_owned()).collect();
        let (name, part) = (text("name"), text("provider"));
        let vendor = Vendor::new(&steps);
        let lived = Call::new(&part, &vendor).live(30_000).await;
        let (wait, silence, answer) = (lived.wait(), lived.longest_silence(), lived.answer());
        let tried = vendor.asked.load(Ordering::Relaxed);
        report += &format!("{name}: first sound after {wait} ms, longest silence {silence} ms, asked {tried} times, ");
        report += &format!("ended {:?}, heard {:?}\n", lived.ended, lived.heard);
        let mut check = |good: bool, what: &str| {
            if !good {
                wrong.push(format!("{name}: {what}"));
            }
        };
        if name == "all-providers-down" {
            let end = lived.ended.map(|(at, cause)| (at <= SPEECH.1 + 15_000, cause));
            check(end == Some((true, HangupCause::ProviderFailed)), "the call has not ended in time");
            continue;
        }
        check(lived.ended.is_none(), "the call has ended");
        // A voice that cannot be reached says no hold phrase either; another follows when connecting takes too long.
        let in_time = if name == "tts-connect-blackhole" { 3500 } else { 1500 };
        check(wait <= in_time, "the callee heard nothing in time");
        check(silence <= 4000, "the callee was in silence for too long");
        check(tried <= 3, "the faulty vendor was asked again and again");
        // A voice that hangs in mid-sentence has said a part; the rest of that phrase is skipped.
        let whole = match name.as_str() {
            "tts-hang-mid-sentence" => ANSWER.ends_with(&answer) && answer.len() > ANSWER.len() / 2,
            // What came counts as the whole answer.
            "llm-sse-cut-no-done" => ANSWER.starts_with(&answer) && !answer.is_empty(),
            _ => answer == ANSWER,
        };
        check(whole, "words were lost or said twice");
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{report}");
}
