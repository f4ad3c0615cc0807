//! Chains of vendors: when one fails before it has said anything, the next is asked the same. After the first word the
//! failure is handed on, because only the conversation knows what was already heard. An ear is replaced at any time:
//! the audio whose words are not final is heard again.

use crate::asr::kept::KeptAudio;
use crate::asr::{Asr, AsrInput, AsrParams, AsrStream};
use crate::breaker::Breaker;
use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::tts::{Tts, TtsRequest, TtsStream};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::AsrEvent;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

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
        Course { name: self.name.clone(), links: Arc::clone(&self.links), next: 0, asked: false, error: None }
    }
}

/// One question's way along a chain.
struct Course<T: ?Sized> {
    name: String,
    links: Arc<[Link<T>]>,
    next: usize,
    asked: bool,
    error: Option<ProviderError>,
}

impl<T: ?Sized> Course<T> {
    /// The next vendor that may be asked, and its place.
    fn next(&mut self) -> Option<(usize, Link<T>)> {
        let now = Instant::now();
        let rest = || self.links.iter().enumerate().skip(self.next);
        let found = rest().find(|(_, link)| link.breaker.admits(now));
        // All rest: better one that may fail than none.
        let found = found.or_else(|| rest().find(|(_, link)| !self.asked && link.breaker.admits_in_need(now)));
        let (place, link) = found?;
        let link = link.clone();
        self.next = place + 1;
        self.asked = true;
        Some((place, link))
    }

    fn failed(&mut self, link: &Link<T>, error: ProviderError) {
        tracing::warn!(chain = %self.name, %error, "vendor failed");
        link.breaker.failed(&error, Instant::now());
        self.error = Some(error);
    }

    /// Why nobody answered.
    fn give_up(self) -> ProviderError {
        let resting = || ProviderError::new(self.name, ErrorKind::Unreachable, "every vendor rests after failures");
        self.error.unwrap_or_else(resting)
    }
}

type Answers<E> = mpsc::Receiver<Result<E, ProviderError>>;

/// Carries the answer of the first vendor that has one.
async fn relay<T: ?Sized, E>(
    mut course: Course<T>,
    ask: impl Fn(&Link<T>, usize) -> (Answers<E>, Running),
    events: mpsc::Sender<Result<E, ProviderError>>,
) {
    while let Some((place, link)) = course.next() {
        let (mut answers, _running) = ask(&link, place);
        let mut spoke = false;
        loop {
            match answers.recv().await {
                Some(Ok(event)) => {
                    if !spoke {
                        link.breaker.succeeded();
                    }
                    spoke = true;
                    if events.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) if spoke => {
                    course.failed(&link, error.clone());
                    // Nobody listening: the answer was cancelled.
                    drop(events.send(Err(error)).await);
                    return;
                }
                Some(Err(error)) => {
                    course.failed(&link, error);
                    break;
                }
                None if spoke => return,
                None => {
                    let error = ProviderError::new(&course.name, ErrorKind::Internal, "ended without an answer");
                    course.failed(&link, error);
                    break;
                }
            }
        }
    }
    // Nobody listening: the question was cancelled.
    drop(events.send(Err(course.give_up())).await);
}

impl Llm for Chain<dyn Llm> {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (sender, events) = mpsc::channel(EVENTS);
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
        LlmStream { events, running: Running::spawn(relay(self.course(), ask, sender)) }
    }

    fn warm(&self, request: &LlmRequest) {
        if let Some(link) = self.links.first() {
            link.vendor.warm(request);
        }
    }

    fn forget(&self, conversation: &str) {
        for link in self.links.iter() {
            link.vendor.forget(conversation);
        }
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
        TtsStream { events, running: Running::spawn(relay(self.course(), ask, sender)) }
    }
}

impl Asr for Chain<dyn Asr> {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, params: AsrParams) -> AsrStream {
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
        let AsrStream { input, mut events, running: _running } = link.vendor.start(params);
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
                    None => {
                        let detail = "its stream ended in the middle of the call";
                        return End::Failed(ProviderError::new(link.vendor.name(), ErrorKind::Internal, detail));
                    }
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
/// The vendor's own queue holds two seconds of sound; this one adds as little as it can.
const SOUNDS: usize = 2;
const INPUTS: usize = 250;

#[cfg(test)]
mod tests;
