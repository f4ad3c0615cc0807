use super::*;
use crate::asr::Asr;
use callwright_conversation::vocabulary::{EndOfTurn, LlmEvent, TtsEvent};
use std::sync::Mutex;

/// A vendor that plays one list of events for each question.
struct Fake<E> {
    name: &'static str,
    plays: Mutex<Vec<Vec<Result<E, ErrorKind>>>>,
    asked: Mutex<Vec<String>>,
}

impl<E: Clone + Send + 'static> Fake<E> {
    fn new(name: &'static str, plays: Vec<Vec<Result<E, ErrorKind>>>) -> Arc<Self> {
        Arc::new(Self { name, plays: Mutex::new(plays), asked: Mutex::default() })
    }

    fn play(&self, model: &str) -> (Answers<E>, Running) {
        self.asked.lock().expect("no panic").push(model.to_owned());
        let mut plays = self.plays.lock().expect("no panic");
        let play = if plays.len() > 1 { plays.remove(0) } else { plays[0].clone() };
        let (sender, events) = mpsc::channel(8);
        let name = self.name;
        let running = Running::spawn(async move {
            for event in play {
                let event = event.map_err(|kind| ProviderError::new(name, kind, ""));
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
        (events, running)
    }

    fn times(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }
}

impl Llm for Fake<LlmEvent> {
    fn name(&self) -> &str {
        self.name
    }
    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (events, running) = self.play(&request.model);
        LlmStream { events, running }
    }
}

impl Tts for Fake<TtsEvent> {
    fn name(&self) -> &str {
        self.name
    }
    fn speak(&self, request: TtsRequest) -> TtsStream {
        let (events, running) = self.play(&request.voice);
        TtsStream { events, running }
    }
}

fn llm_chain(vendors: &[&Arc<Fake<LlmEvent>>]) -> Chain<dyn Llm> {
    let link = |vendor: &&Arc<Fake<LlmEvent>>| {
        let vendor: Arc<dyn Llm> = Arc::<Fake<LlmEvent>>::clone(vendor);
        Link { vendor, breaker: Arc::default() }
    };
    Chain::new("chain", vendors.iter().map(link).collect())
}

fn question() -> LlmRequest {
    LlmRequest {
        conversation: "c".into(),
        model: "first's".into(),
        messages: vec![],
        tools: vec![],
        temperature: None,
        max_tokens: None,
        query: Default::default(),
        params: Default::default(),
        script: Arc::new([]),
        headers: Default::default(),
    }
}

async fn heard<E>(mut events: Answers<E>) -> Vec<Result<E, ErrorKind>> {
    let mut heard = vec![];
    while let Some(event) = events.recv().await {
        heard.push(event.map_err(|error| error.kind));
    }
    heard
}

async fn ask(chain: &Chain<dyn Llm>) -> Vec<Result<LlmEvent, ErrorKind>> {
    let LlmStream { events, running: _running } = chain.ask(question());
    heard(events).await
}

fn text(text: &str) -> Result<LlmEvent, ErrorKind> {
    Ok(LlmEvent::Text(text.into()))
}

const DONE: Result<LlmEvent, ErrorKind> = Ok(LlmEvent::Done { usage: None });

#[tokio::test(start_paused = true)]
async fn the_next_answers_when_one_fails_before_its_first_word() {
    let a = Fake::new("a", vec![vec![Err(ErrorKind::Timeout)]]);
    let silent = Fake::new("b", vec![vec![]]);
    let c = Fake::new("c", vec![vec![text("hi"), DONE]]);
    let chain = llm_chain(&[&a, &silent, &c]);
    assert_eq!(ask(&chain).await, [text("hi"), DONE]);
    assert_eq!(*a.asked.lock().expect("no panic"), ["first's"]);
    assert_eq!(*c.asked.lock().expect("no panic"), [""], "another vendor does not know the first one's models");
}

#[tokio::test(start_paused = true)]
async fn after_the_first_word_the_failure_is_handed_on() {
    let a = Fake::new("a", vec![vec![text("well"), Err(ErrorKind::Timeout)]]);
    let b = Fake::new("b", vec![vec![text("no"), DONE]]);
    let chain = llm_chain(&[&a, &b]);
    assert_eq!(ask(&chain).await, [text("well"), Err(ErrorKind::Timeout)]);
    assert_eq!(b.times(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_failed_five_times_is_left_alone_for_a_while() {
    let a = Fake::new("a", vec![vec![Err(ErrorKind::Unreachable)]]);
    let b = Fake::new("b", vec![vec![DONE]]);
    let chain = llm_chain(&[&a, &b]);
    for _ in 0..20 {
        assert_eq!(ask(&chain).await, [DONE]);
    }
    assert_eq!(a.times(), 5);
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..20 {
        assert_eq!(ask(&chain).await, [DONE]);
    }
    assert_eq!(a.times(), 6, "one probe");
}

#[tokio::test(start_paused = true)]
async fn when_all_rest_one_is_tried_once_a_second() {
    let a = Fake::new("a", vec![vec![Err(ErrorKind::Unauthorised)]]);
    let chain = llm_chain(&[&a]);
    assert_eq!(ask(&chain).await, [Err(ErrorKind::Unauthorised)]);
    assert_eq!(ask(&chain).await, [Err(ErrorKind::Unreachable)]);
    assert_eq!(a.times(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&chain).await, [Err(ErrorKind::Unauthorised)]);
    assert_eq!(a.times(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_voice_that_was_silent_is_replaced_for_the_next_phrase() {
    let sound = Ok(TtsEvent::Audio(vec![0; 80]));
    let a = Fake::new("a", vec![vec![sound.clone(), Err(ErrorKind::Protocol)]]);
    let b = Fake::new("b", vec![vec![Ok(TtsEvent::Done)]]);
    let link = |vendor: Arc<dyn Tts>| Link { vendor, breaker: Arc::default() };
    let chain: Chain<dyn Tts> = Chain::new("chain", vec![link(a), link(b)]);
    let request = TtsRequest { voice: "anna".into(), ..TtsRequest::new("Hello.", 8000) };
    let TtsStream { events, running: _running } = chain.speak(request.clone());
    assert_eq!(heard(events).await, [sound, Err(ErrorKind::Protocol)]);
    let TtsStream { events, running: _running } = chain.speak(request);
    assert_eq!(heard(events).await, [Ok(TtsEvent::Done)]);
}

/// Hears `enough` samples, then fails, or repeats how many it heard when the audio ends.
struct FakeEars {
    enough: usize,
}

impl Asr for FakeEars {
    fn name(&self) -> &str {
        "ears"
    }
    fn start(&self, _: AsrParams) -> AsrStream {
        let (input, mut inputs) = mpsc::channel(1);
        let (sender, events) = mpsc::channel(1);
        let enough = self.enough;
        let running = Running::spawn(async move {
            let mut heard = 0;
            while let Some(next) = inputs.recv().await {
                if let AsrInput::Audio(pcm) = next {
                    heard += pcm.len();
                }
                if heard >= enough {
                    let error = ProviderError::new("ears", ErrorKind::Unreachable, "");
                    sender.send(Err(error)).await.expect("listened to");
                    return;
                }
            }
            let words = AsrEvent::Final { text: heard.to_string(), end_of_turn: EndOfTurn::Unknown };
            sender.send(Ok(words)).await.expect("listened to");
        });
        AsrStream { input, events, running }
    }
}

fn ears(enough: usize) -> Link<dyn Asr> {
    Link { vendor: Arc::new(FakeEars { enough }) as Arc<dyn Asr>, breaker: Arc::default() }
}

fn eight_kilohertz() -> AsrParams {
    AsrParams {
        rate: 8000,
        language: String::new(),
        model: String::new(),
        hot_words: vec![],
        silence_ms: 0,
        params: Default::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_ear_alone_is_heard_to_its_end_and_its_failures_count() {
    let whole: Chain<dyn Asr> = Chain::new("chain", vec![ears(usize::MAX)]);
    let AsrStream { input, mut events, running: _running } = whole.start(eight_kilohertz());
    input.send(AsrInput::Audio(vec![1; 160])).await.expect("open");
    drop(input);
    let words = events.recv().await.expect("an event").expect("words");
    assert_eq!(words, AsrEvent::Final { text: "160".into(), end_of_turn: EndOfTurn::Unknown });
    assert!(events.recv().await.is_none(), "an end in order is no failure");

    let breaking: Chain<dyn Asr> = Chain::new("chain", vec![ears(160)]);
    for _ in 0..5 {
        assert!(!breaking.rests());
        let AsrStream { input, mut events, running: _running } = breaking.start(eight_kilohertz());
        input.send(AsrInput::Audio(vec![1; 160])).await.expect("open");
        let error = events.recv().await.expect("an event").expect_err("a failure");
        assert_eq!(error.kind, ErrorKind::Unreachable);
        assert!(events.recv().await.is_none());
    }
    assert!(breaking.rests(), "five failures are enough");
}

#[tokio::test(start_paused = true)]
async fn an_ear_is_replaced_in_the_middle_and_hears_everything_again() {
    let chain: Chain<dyn Asr> = Chain::new("chain", vec![ears(800), ears(0), ears(usize::MAX)]);
    let AsrStream { input, mut events, running: _running } = chain.start(eight_kilohertz());
    for _ in 0..40 {
        input.send(AsrInput::Audio(vec![1; 160])).await.expect("open");
    }
    drop(input);
    let words = events.recv().await.expect("an event").expect("words");
    assert_eq!(words, AsrEvent::Final { text: "6400".into(), end_of_turn: EndOfTurn::Unknown });
    assert!(events.recv().await.is_none());
}

/// What a misbehaving model does.
#[derive(Clone, Copy, PartialEq)]
enum Mishap {
    PanicsWhenAsked,
    PanicsInItsTask,
    PanicsAfterAWord,
    Hangs,
    HangsAfterAWord,
}

/// Misbehaves, whatever it is asked.
struct Wreck(Mishap);

impl Llm for Wreck {
    fn name(&self) -> &str {
        "wreck"
    }
    fn ask(&self, _: LlmRequest) -> LlmStream {
        let mishap = self.0;
        assert!(mishap != Mishap::PanicsWhenAsked, "as told");
        let (sender, events) = mpsc::channel(8);
        let running = Running::spawn(async move {
            if matches!(mishap, Mishap::PanicsAfterAWord | Mishap::HangsAfterAWord) {
                sender.send(Ok(LlmEvent::Text("well".into()))).await.expect("listened to");
            }
            if matches!(mishap, Mishap::Hangs | Mishap::HangsAfterAWord) {
                std::future::pending::<()>().await;
            }
            panic!("as told");
        });
        LlmStream { events, running }
    }
    fn warm(&self, _: &LlmRequest) {
        panic!("as told");
    }
}

fn wrecked(mishap: Mishap, others: &[&Arc<Fake<LlmEvent>>]) -> (Chain<dyn Llm>, Arc<Breaker>) {
    let breaker: Arc<Breaker> = Arc::default();
    let wreck = Link { vendor: Arc::new(Wreck(mishap)) as Arc<dyn Llm>, breaker: Arc::clone(&breaker) };
    let rest = llm_chain(others);
    (Chain::new("chain", [wreck].into_iter().chain(rest.links.iter().cloned()).collect()), breaker)
}

#[tokio::test(start_paused = true)]
async fn panics_and_hangs_are_failures_and_the_next_is_asked() {
    for (mishap, answer, within_ms) in [
        (Mishap::PanicsWhenAsked, vec![text("hi"), DONE], 0),
        (Mishap::PanicsInItsTask, vec![text("hi"), DONE], 0),
        (Mishap::PanicsAfterAWord, vec![text("well"), Err(ErrorKind::Internal)], 0),
        (Mishap::Hangs, vec![text("hi"), DONE], 5500),
        (Mishap::HangsAfterAWord, vec![text("well"), Err(ErrorKind::Timeout)], 4000),
    ] {
        let good = Fake::new("good", vec![vec![text("hi"), DONE]]);
        let (chain, breaker) = wrecked(mishap, &[&good]);
        let began = Instant::now();
        assert_eq!(ask(&chain).await, answer);
        assert!(began.elapsed() <= Duration::from_millis(within_ms), "{:?}", began.elapsed());
        for _ in 0..4 {
            assert!(!breaker.rests(Instant::now()));
            // The window of the breaker is shorter than five hangs; as many calls hang at once as there are.
            breaker.failed(&ProviderError::new("wreck", ErrorKind::Internal, ""), Instant::now());
        }
        assert!(breaker.rests(Instant::now()), "the mishap has counted");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_vendor_is_waited_for_as_long_as_the_asker_likes() {
    let (chain, _) = wrecked(Mishap::Hangs, &[]);
    let answer = timeout(Duration::from_secs(60), ask(&chain)).await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_warming_hurts_nobody_and_counts() {
    let (chain, breaker) = wrecked(Mishap::Hangs, &[]);
    assert!(!chain.rests());
    for _ in 0..5 {
        chain.warm(&question());
    }
    assert!(breaker.rests(Instant::now()) && chain.rests());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(!chain.rests(), "it may be probed again");
}

#[tokio::test(start_paused = true)]
async fn who_broke_off_is_asked_last_for_a_while() {
    let good = Fake::new("good", vec![vec![text("hi"), DONE]]);
    let (chain, _) = wrecked(Mishap::PanicsAfterAWord, &[&good]);
    assert_eq!(ask(&chain).await, [text("well"), Err(ErrorKind::Internal)]);
    assert_eq!(ask(&chain).await, [text("hi"), DONE]);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(ask(&chain).await, [text("well"), Err(ErrorKind::Internal)]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_none_unless_a_tool_was_run() {
    let a = Fake::new("a", vec![vec![DONE]]);
    let b = Fake::new("b", vec![vec![text("hi"), DONE]]);
    let chain = llm_chain(&[&a, &b]);
    assert_eq!(ask(&chain).await, [text("hi"), DONE]);
    let messages = vec![callwright_conversation::vocabulary::Message::text(Role::Tool, "{}")];
    let LlmStream { events, running: _running } = chain.ask(LlmRequest { messages, ..question() });
    assert_eq!(heard(events).await, [DONE]);
    assert_eq!(ask(&llm_chain(&[&a])).await, [DONE], "the only vendor's word is taken as it is");
}
