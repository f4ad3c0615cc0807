//! Chains of vendors: when one fails before it has said anything, the next is asked the same. After the first word the
//! failure is handed on, because only the conversation knows what was already heard. An ear is replaced at any time:
//! the audio whose words are not final is heard again.
//!
//! A vendor that panics has failed like any other: its breaker and the next vendor hear of it, and the call goes on.

use crate::asr::kept::KeptAudio;
use crate::asr::{Asr, AsrInput, AsrParams, AsrStream};
use crate::breaker::Breaker;
use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::tts::{Tts, TtsRequest, TtsStream};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::{AsrEvent, LlmEvent, Role, TtsEvent};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// One vendor of a chain.
pub struct Link<T: ?Sized> {
    /// Whom to ask.
    pub vendor: Arc<T>,
    /// Whether it may be asked; the same for all chains that the vendor is in.
    pub breaker: Arc<Breaker>,
}

impl<T: ?Sized> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self { vendor: Arc::clone(&self.vendor), breaker: Arc::clone(&self.breaker) }
    }
}

/// Vendors of one kind, in the order in which they are asked. It is an [`Asr`], [`Llm`] or [`Tts`] itself.
///
/// What is worded for the first vendor (model, voice, emotion, parameters) is not shown to the others: they use their
/// own defaults.
pub struct Chain<T: ?Sized> {
    name: String,
    links: Arc<[Link<T>]>,
}

impl<T: ?Sized> Chain<T> {
    /// A chain called `name`.
    pub fn new(name: impl Into<String>, links: Vec<Link<T>>) -> Self {
        Self { name: name.into(), links: links.into() }
    }

    fn course(&self) -> Course<T> {
        let now = Instant::now();
        let mut order: Vec<usize> = (0..self.links.len()).collect();
        order.sort_by_key(|place| self.links[*place].breaker.is_doubtful(now));
        Course { name: self.name.clone(), links: Arc::clone(&self.links), order, next: 0, asked: false, error: None }
    }
}

/// One question's way along a chain.
struct Course<T: ?Sized> {
    name: String,
    links: Arc<[Link<T>]>,
    /// Places in the order in which they are asked.
    order: Vec<usize>,
    /// How many of them are behind us.
    next: usize,
    asked: bool,
    error: Option<ProviderError>,
}

impl<T: ?Sized> Course<T> {
    /// The next vendor that may be asked, and its place.
    fn next(&mut self) -> Option<(usize, Link<T>)> {
        let now = Instant::now();
        let rest = || self.order.iter().enumerate().skip(self.next).map(|(turn, place)| (turn, *place));
        let found = rest().find(|(_, place)| self.links[*place].breaker.admits(now));
        // All rest: better one that may fail than none.
        let in_need = |place: usize| !self.asked && self.links[place].breaker.admits_in_need(now);
        let (turn, place) = found.or_else(|| rest().find(|(_, place)| in_need(*place)))?;
        self.next = turn + 1;
        self.asked = true;
        Some((place, self.links[place].clone()))
    }

    fn failed(&mut self, link: &Link<T>, error: ProviderError) {
        tracing::warn!(chain = %self.name, %error, "vendor failed");
        link.breaker.failed(&error, Instant::now());
        self.error = Some(error);
    }

    /// Whether somebody is left who might be asked.
    fn has_more(&self) -> bool {
        let now = Instant::now();
        self.order.iter().skip(self.next).any(|place| !self.links[*place].breaker.rests(now))
    }

    /// Why nobody answered.
    fn give_up(self) -> ProviderError {
        let resting = || ProviderError::new(self.name, ErrorKind::Unreachable, "every vendor rests after failures");
        self.error.unwrap_or_else(resting)
    }
}

type Answers<E> = mpsc::Receiver<Result<E, ProviderError>>;

/// What a kind of answer looks like, and how long it is waited for. Vendors have waits of their own, a little shorter;
/// these are for one that hangs in spite of them.
struct Shape<E> {
    /// Whether an event is the last one. A stream that closes without it broke off.
    is_last: fn(&E) -> bool,
    /// Wait for the first event while another vendor is left; the last one is waited for as long as the asker likes.
    first: Duration,
    /// Longest pause after that.
    stall: Duration,
    /// Whether an answer of nothing but its last event is none, while another vendor is left.
    empty: Empty,
}

/// What to make of an answer without content.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    /// It is an answer: a model may have nothing to say to a tool's result.
    Counts,
    /// It is a failure.
    Fails,
}

const WORDS: Shape<LlmEvent> = Shape {
    is_last: |event| matches!(event, LlmEvent::Done { .. }),
    first: FIRST_WORD,
    stall: WORD_STALL,
    empty: Empty::Fails,
};
const SOUND: Shape<TtsEvent> = Shape {
    is_last: |event| matches!(event, TtsEvent::Done),
    first: FIRST_SOUND,
    stall: SOUND_STALL,
    empty: Empty::Counts,
};

/// How one vendor's answer ended.
enum Told {
    /// In order, or nobody listens any more.
    Over,
    /// It failed before it said anything.
    Nothing(ProviderError),
    /// It failed in the middle.
    Part(ProviderError),
}

/// A vendor that was asked, and what came of it.
type AskedOf<T, E> = (Link<T>, Result<(Answers<E>, Running), ProviderError>);

/// Asks the next vendor that may be asked.
fn put<T: Named + ?Sized, E>(
    course: &mut Course<T>,
    ask: &impl Fn(&Link<T>, usize) -> (Answers<E>, Running),
) -> Option<AskedOf<T, E>> {
    let (place, link) = course.next()?;
    let asked = guarded(link.vendor.called(), || ask(&link, place));
    Some((link, asked))
}

/// Carries the answer of the first vendor that has one. `asked`: the first was asked already, by whoever asked the chain:
/// a question does not wait for this task's turn.
async fn relay<T: Named + ?Sized, E>(
    mut course: Course<T>,
    (shape, mut asked): (Shape<E>, Option<AskedOf<T, E>>),
    ask: impl Fn(&Link<T>, usize) -> (Answers<E>, Running),
    events: mpsc::Sender<Result<E, ProviderError>>,
) {
    while let Some((link, answer)) = asked {
        let told = match answer {
            Ok((mut answers, _running)) => carry(&course, &link, (&shape, &mut answers), &events).await,
            Err(panic) => Told::Nothing(panic),
        };
        match told {
            Told::Over => return,
            Told::Nothing(error) => course.failed(&link, error),
            Told::Part(error) => {
                course.failed(&link, error.clone());
                link.breaker.broke_off(Instant::now());
                // Nobody listening: the answer was cancelled.
                drop(events.send(Err(error)).await);
                return;
            }
        }
        asked = put(&mut course, &ask);
    }
    // Nobody listening: the question was cancelled.
    drop(events.send(Err(course.give_up())).await);
}

/// Carries one vendor's answer.
async fn carry<T: Named + ?Sized, E>(
    course: &Course<T>,
    link: &Link<T>,
    (shape, answers): (&Shape<E>, &mut Answers<E>),
    events: &mpsc::Sender<Result<E, ProviderError>>,
) -> Told {
    let broke = |kind, detail: &str| ProviderError::new(link.vendor.called(), kind, detail);
    let (mut spoke, mut ended) = (false, false);
    loop {
        let patience = if spoke { shape.stall } else { shape.first };
        let next =
            if spoke || course.has_more() { timeout(patience, answers.recv()).await } else { Ok(answers.recv().await) };
        let error = match next {
            Ok(Some(Ok(event)))
                if !spoke && shape.empty == Empty::Fails && (shape.is_last)(&event) && course.has_more() =>
            {
                broke(ErrorKind::Internal, "answered with nothing")
            }
            Ok(Some(Ok(event))) => {
                if !spoke {
                    link.breaker.succeeded();
                }
                spoke = true;
                ended |= (shape.is_last)(&event);
                if events.send(Ok(event)).await.is_err() {
                    return Told::Over;
                }
                continue;
            }
            Ok(None) | Err(_) if ended => return Told::Over,
            Ok(Some(Err(error))) => error,
            Ok(None) if spoke => broke(ErrorKind::Internal, "broke off in the middle of its answer"),
            Ok(None) => broke(ErrorKind::Internal, "ended without an answer"),
            Err(_) => broke(ErrorKind::Timeout, "gave no sign of life"),
        };
        return if spoke { Told::Part(error) } else { Told::Nothing(error) };
    }
}

/// Does what a vendor's code does in the asker's task; a panic there is the vendor's failure and nobody else's.
fn guarded<R>(vendor: &str, work: impl FnOnce() -> R) -> Result<R, ProviderError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| ProviderError::new(vendor, ErrorKind::Internal, "panicked"))
}

/// A vendor's configured name, whatever its kind.
trait Named {
    fn called(&self) -> &str;
}

impl Named for dyn Llm {
    fn called(&self) -> &str {
        self.name()
    }
}

impl Named for dyn Tts {
    fn called(&self) -> &str {
        self.name()
    }
}

impl Named for dyn Asr {
    fn called(&self) -> &str {
        self.name()
    }
}

impl<T: ?Sized> Chain<T> {
    /// Does something that needs no answer with a vendor.
    fn nudge(&self, link: &Link<T>, work: impl FnOnce(&T)) {
        if let Err(error) = guarded(&self.name, || work(&link.vendor)) {
            tracing::warn!(chain = %self.name, %error, "vendor failed");
            link.breaker.failed(&error, Instant::now());
        }
    }

    /// Whether every vendor of the chain rests after failures.
    fn all_rest(&self) -> bool {
        let now = Instant::now();
        self.links.iter().all(|link| link.breaker.rests(now))
    }
}

impl Llm for Chain<dyn Llm> {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (sender, events) = mpsc::channel(EVENTS);
        let after_tool = request.messages.last().is_some_and(|message| message.role == Role::Tool);
        let shape = Shape { empty: if after_tool { Empty::Counts } else { Empty::Fails }, ..WORDS };
        let ask = move |link: &Link<dyn Llm>, place: usize| {
            let mut request = request.clone();
            if place > 0 {
                request.model.clear();
                request.query.clear();
                request.params.clear();
            }
            let stream = link.vendor.ask(request);
            (stream.events, stream.running)
        };
        let mut course = self.course();
        let asked = put(&mut course, &ask);
        LlmStream { events, running: Running::spawn(relay(course, (shape, asked), ask, sender)) }
    }

    fn warm(&self, request: &LlmRequest) {
        if let Some(link) = self.links.first() {
            self.nudge(link, |vendor| vendor.warm(request));
        }
    }

    fn forget(&self, conversation: &str) {
        for link in self.links.iter() {
            self.nudge(link, |vendor| vendor.forget(conversation));
        }
    }

    fn rests(&self) -> bool {
        self.all_rest()
    }
}

impl Tts for Chain<dyn Tts> {
    fn name(&self) -> &str {
        &self.name
    }

    fn speak(&self, request: TtsRequest) -> TtsStream {
        let (sender, events) = mpsc::channel(SOUNDS);
        let ask = move |link: &Link<dyn Tts>, place: usize| {
            let mut request = request.clone();
            if place > 0 {
                request.model.clear();
                request.voice.clear();
                request.emotion.clear();
                request.params.clear();
            }
            let stream = link.vendor.speak(request);
            (stream.events, stream.running)
        };
        let mut course = self.course();
        let asked = put(&mut course, &ask);
        TtsStream { events, running: Running::spawn(relay(course, (SOUND, asked), ask, sender)) }
    }

    /// Whichever can is asked in the end.
    fn speaks(&self, language: &str) -> bool {
        self.links.iter().any(|link| link.vendor.speaks(language))
    }

    fn has_voice(&self, voice: &str) -> bool {
        self.links.iter().any(|link| link.vendor.has_voice(voice))
    }

    fn warm(&self, request: &TtsRequest) {
        if let Some(link) = self.links.first() {
            self.nudge(link, |vendor| vendor.warm(request));
        }
    }

    fn rests(&self) -> bool {
        self.all_rest()
    }
}

impl Asr for Chain<dyn Asr> {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, params: AsrParams) -> AsrStream {
        if self.links.len() == 1
            && let Some(stream) = self.alone(&params)
        {
            return stream;
        }
        let (input, inputs) = mpsc::channel(INPUTS);
        let (sender, events) = mpsc::channel(EVENTS);
        let listening = Listening {
            kept: KeptAudio::new(params.rate),
            params,
            inputs: Some(inputs),
            events: sender,
            pending: None,
        };
        AsrStream { input, events, running: Running::spawn(listening.run(self.course())) }
    }

    fn understands(&self, language: &str) -> bool {
        self.links.iter().any(|link| link.vendor.understands(language))
    }

    fn rests(&self) -> bool {
        self.all_rest()
    }
}

impl Chain<dyn Asr> {
    /// The stream of a chain's only vendor. No other could hear the audio again, so it is not kept here and goes to the
    /// vendor by the shortest way; only what the vendor says is listened to, for its breaker. None: it cannot be asked.
    fn alone(&self, params: &AsrParams) -> Option<AsrStream> {
        let mut course = self.course();
        let (_, link) = course.next()?;
        let started = guarded(link.vendor.called(), || link.vendor.start(params.clone()));
        let (sender, events) = mpsc::channel(EVENTS);
        let (input, work) = match started {
            Ok(stream) => (stream.input.clone(), Ok(stream)),
            // Closed at once; the reason follows on the other channel.
            Err(panic) => (mpsc::channel(1).0, Err(panic)),
        };
        let open = input.downgrade();
        let overhear = async move {
            let error = match work {
                Ok(AsrStream { input, events, running: _running }) => {
                    drop(input);
                    match overhear(&link, events, open, &sender).await {
                        End::Over => return,
                        End::Failed(error) => error,
                    }
                }
                Err(panic) => panic,
            };
            course.failed(&link, error);
            // Nobody listening: the call is over.
            drop(sender.send(Err(course.give_up())).await);
        };
        Some(AsrStream { input, events, running: Running::spawn(overhear) })
    }
}

/// Hands a vendor's words on until its stream ends. `open`: whether more audio may come.
async fn overhear(
    link: &Link<dyn Asr>,
    mut said: Answers<AsrEvent>,
    open: mpsc::WeakSender<AsrInput>,
    events: &mpsc::Sender<Result<AsrEvent, ProviderError>>,
) -> End {
    loop {
        match said.recv().await {
            Some(Ok(event)) => {
                link.breaker.succeeded();
                if events.send(Ok(event)).await.is_err() {
                    return End::Over;
                }
            }
            Some(Err(error)) => return End::Failed(error),
            None if open.upgrade().is_none() => return End::Over,
            None => return End::Failed(ended_early(link)),
        }
    }
}

fn ended_early(link: &Link<dyn Asr>) -> ProviderError {
    ProviderError::new(link.vendor.name(), ErrorKind::Internal, "its stream ended in the middle of the call")
}

struct Listening {
    params: AsrParams,
    /// None once the engine has no more audio.
    inputs: Option<mpsc::Receiver<AsrInput>>,
    events: mpsc::Sender<Result<AsrEvent, ProviderError>>,
    kept: KeptAudio,
    /// What the present vendor has no room for yet.
    pending: Option<AsrInput>,
}

/// How a vendor's stream ended.
enum End {
    /// In order, or nobody listens.
    Over,
    Failed(ProviderError),
}

impl Listening {
    async fn run(mut self, mut course: Course<dyn Asr>) {
        while let Some((place, link)) = course.next() {
            match self.listen(&link, place).await {
                End::Over => return,
                End::Failed(error) => course.failed(&link, error),
            }
        }
        // Nobody listening: the call is over.
        drop(self.events.send(Err(course.give_up())).await);
    }

    async fn listen(&mut self, link: &Link<dyn Asr>, place: usize) -> End {
        let mut params = self.params.clone();
        if place > 0 {
            params.model.clear();
            params.params.clear();
        }
        let AsrStream { input, mut events, running: _running } =
            match guarded(link.vendor.called(), || link.vendor.start(params)) {
                Ok(stream) => stream,
                Err(panic) => return End::Failed(panic),
            };
        let mut input = Some(input);
        let kept = self.kept.to_vec();
        self.pending = (!kept.is_empty()).then_some(AsrInput::Audio(kept));
        let mut gone = false;
        loop {
            if gone || (self.inputs.is_none() && self.pending.is_none()) {
                // Tells the vendor that no more audio comes.
                input = None;
            }
            tokio::select! {
                biased;
                heard = events.recv() => match heard {
                    Some(Ok(event)) => {
                        link.breaker.succeeded();
                        if matches!(event, AsrEvent::Final { .. }) {
                            self.kept.settle();
                        }
                        if self.events.send(Ok(event)).await.is_err() {
                            return End::Over;
                        }
                    }
                    Some(Err(error)) => return End::Failed(error),
                    None if self.inputs.is_none() => return End::Over,
                    None => return End::Failed(ended_early(link)),
                },
                permit = reserve(&input), if self.pending.is_some() => match (permit, self.pending.take()) {
                    (Ok(permit), Some(pending)) => permit.send(pending),
                    // The vendor is gone; its last event says why.
                    (Err(Gone), _) => gone = true,
                    (Ok(_), None) => {}
                },
                next = next(&mut self.inputs), if self.pending.is_none() => match next {
                    Some(next) => {
                        if let AsrInput::Audio(pcm) = &next {
                            self.kept.push(pcm);
                        }
                        self.pending = Some(next);
                    }
                    None => self.inputs = None,
                },
            }
        }
    }
}

struct Gone;

async fn reserve(input: &Option<mpsc::Sender<AsrInput>>) -> Result<mpsc::Permit<'_, AsrInput>, Gone> {
    match input {
        Some(input) => input.reserve().await.map_err(|_| Gone),
        None => std::future::pending().await,
    }
}

async fn next(inputs: &mut Option<mpsc::Receiver<AsrInput>>) -> Option<AsrInput> {
    match inputs {
        Some(inputs) => inputs.recv().await,
        None => std::future::pending().await,
    }
}

const EVENTS: usize = 64;
/// A little more than a model's own five seconds.
const FIRST_WORD: Duration = Duration::from_millis(5200);
/// A little more than a model's own three seconds.
const WORD_STALL: Duration = Duration::from_millis(3500);
/// A little more than a synthesiser's own two seconds; with the next voice's first sound the callee still waits no
/// longer than four.
const FIRST_SOUND: Duration = Duration::from_millis(2500);
/// As long: what is in the playout queue covers a part of it.
const SOUND_STALL: Duration = Duration::from_millis(2500);
/// The vendor's own queue holds two seconds of sound; this one adds as little as it can.
const SOUNDS: usize = 2;
const INPUTS: usize = 250;

#[cfg(test)]
mod tests;
