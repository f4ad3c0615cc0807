//! The runner of synthesisers that are asked over HTTP, one request for each phrase: sends, reads the answer as it comes,
//! hands out samples under deadlines and back-pressure. What is sent and how the answer holds its sound is the vendor
//! file's business. Never plays what is no sound.

use super::sound::{Form, Sound};
use crate::endpoints::Outside;
use crate::http::{self, HttpVendor, Waits};
use crate::sse::{self, Deadlines, Progress, SseReader};
use crate::tts::{Tts, TtsRequest, TtsStream};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::TtsEvent;
use callwright_domain::agent::Endpoint;
use callwright_domain::pii::Pii;
use futures_util::StreamExt;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// What makes one request differ from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Seconds since 1970.
    pub(super) seconds: u64,
    /// Used by no other request of this program.
    pub(super) id: String,
}

impl Stamp {
    fn now() -> Self {
        static COUNTED: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("{:x}-{:x}", since.as_nanos(), COUNTED.fetch_add(1, Ordering::Relaxed));
        Self { seconds: since.as_secs(), id }
    }
}

/// What is sent for a phrase.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// Sent beside what every request carries.
    pub(super) headers: Vec<(&'static str, String)>,
    /// What is posted.
    pub(super) body: Body,
}

/// What is posted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    /// JSON.
    Json(Value),
    /// Text; its media type is one of the headers.
    Text(String),
}

/// What is wrong with a piece of an answer: what to do about it, and the service's words.
pub(super) type Flaw = (ErrorKind, String);

/// A piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of sound.
    Sound(Vec<u8>),
    /// Nothing more comes.
    Last,
}

/// Reads the data of an event.
pub(super) type ReadEvent = fn(&str) -> Result<Piece, Flaw>;
/// Reads a whole document; its sound.
pub(super) type ReadDocument = fn(&[u8]) -> Result<Vec<u8>, Flaw>;

/// How an answer holds its sound.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// The body is the sound.
    Body,
    /// Server-sent events, each read by this.
    Events(ReadEvent),
    /// One JSON document, read by this.
    Document(ReadDocument),
}

/// What a vendor's file writes. Pure.
pub(super) trait HostedVoice: Send + Sync + 'static {
    /// What to send for a phrase.
    fn question(&self, phrase: &TtsRequest, stamp: &Stamp) -> Question;
    /// The sound that a question for this many samples a second asks for.
    fn form(&self, wanted: u32) -> Form;
    /// How answers hold it.
    fn answer(&self) -> Answer {
        Answer::Body
    }
}

/// Where a service is and what it takes for a key.
pub(super) struct Place {
    /// What is posted to.
    pub(super) url: String,
    /// Sent as `Authorization: Bearer`; empty: not sent.
    pub(super) bearer: Pii<String>,
    /// Sent with every request.
    pub(super) headers: BTreeMap<String, Pii<String>>,
    /// Never shown in an error, beside the above.
    pub(super) secrets: Vec<Pii<String>>,
}

/// A synthesiser that comes with an agent.
pub(super) struct Hosted<V> {
    vendor: Arc<HttpVendor>,
    url: Url,
    voice: Arc<V>,
}

impl<V: HostedVoice> Hosted<V> {
    /// The service `voice` at `place`. Fails with [`ErrorKind::Rejected`] when its address or a header cannot be used.
    pub(super) fn new(name: &str, place: Place, voice: V, outside: &Outside) -> Result<Self, ProviderError> {
        let waits = Waits::from_ms(WAITS.0, WAITS.1, WAITS.2);
        let vendor = HttpVendor::within(name, waits, &place.bearer, &place.headers, outside)?.hiding(place.secrets);
        let bad = |why: String| vendor.error(ErrorKind::Rejected, why);
        let url = Url::parse(&place.url).map_err(|error| bad(format!("bad url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(String::from("the url must begin with http:// or https://")));
        }
        Ok(Self { vendor: Arc::new(vendor), url, voice: Arc::new(voice) })
    }
}

impl<V: HostedVoice> Tts for Hosted<V> {
    fn name(&self) -> &str {
        self.vendor.name()
    }

    fn speak(&self, request: TtsRequest) -> TtsStream {
        let (sender, events) = mpsc::channel(EVENTS);
        let (url, voice) = (self.url.clone(), Arc::clone(&self.voice));
        let listener = Listener { vendor: Arc::clone(&self.vendor), wanted: request.rate, events: sender.clone() };
        let running = Running::spawn(async move {
            let question = voice.question(&request, &Stamp::now());
            let answer = (voice.form(request.rate), voice.answer());
            if let Err(error) = listener.ask(&url, &question, answer).await {
                // Nobody listening: the phrase was cancelled.
                drop(sender.send(Err(error)).await);
            }
        });
        TtsStream { events, running }
    }
}

/// One phrase between a service and whoever listens.
pub(super) struct Listener {
    /// Whom it is asked of.
    pub(super) vendor: Arc<HttpVendor>,
    /// Samples a second that are wanted.
    pub(super) wanted: u32,
    /// Where they go.
    pub(super) events: mpsc::Sender<Result<TtsEvent, ProviderError>>,
}

impl Listener {
    async fn ask(&self, url: &Url, question: &Question, (form, answer): (Form, Answer)) -> Result<(), ProviderError> {
        let sound = self.reader(form)?;
        let first = Instant::now() + self.vendor.waits().first;
        let request = |client: &Client| put(client.post(url.clone()), question);
        let response = self.vendor.ask(request, first).await?;
        match answer {
            Answer::Body if http::is_kind(&response, COMPLAINTS) => Err(self.vendor.complaint(response).await),
            Answer::Body => self.body(response, sound, first).await,
            Answer::Events(read) => self.events(response, sound, (read, first)).await,
            Answer::Document(read) => self.document(response, sound, (read, first)).await,
        }
    }

    /// What reads a sound of this form.
    pub(super) fn reader(&self, form: Form) -> Result<Sound, ProviderError> {
        let strange = || format!("cannot speak at {} samples a second", self.wanted);
        Sound::of(form, self.wanted).ok_or_else(|| self.vendor.error(ErrorKind::Rejected, strange()))
    }

    /// Hands out a body that is the sound itself.
    pub(super) async fn body(
        &self,
        mut response: Response,
        mut sound: Sound,
        first: Instant,
    ) -> Result<(), ProviderError> {
        let (mut limit, mut late) = (first, "no sound in time");
        loop {
            let piece = timeout_at(limit, response.chunk()).await;
            let piece = piece.map_err(|_| self.vendor.error(ErrorKind::Timeout, late))?;
            let Some(bytes) = piece.map_err(|error| self.vendor.transport(error))? else { break };
            if !self.play(&mut sound, &bytes).await? {
                return Ok(());
            }
            if !bytes.is_empty() {
                late = "stopped in the middle";
                limit = Instant::now() + self.vendor.waits().stall;
            }
        }
        self.end(sound).await
    }

    async fn events(
        &self,
        response: Response,
        sound: Sound,
        (read, first): (ReadEvent, Instant),
    ) -> Result<(), ProviderError> {
        if !http::is_kind(&response, &["text/event-stream"]) {
            return Err(self.vendor.complaint(response).await);
        }
        let stall = self.vendor.waits().stall;
        let mut reader =
            Reader { vendor: &self.vendor, read, sound: Some(sound), wanted: self.wanted, progress: Progress::Silent };
        let body = response.bytes_stream().map(|piece| piece.map_err(|error| self.vendor.transport(error))).boxed();
        sse::pump(self.vendor.name(), body, &mut reader, Deadlines { first, stall }, &self.events).await
    }

    async fn document(
        &self,
        mut response: Response,
        mut sound: Sound,
        (read, first): (ReadDocument, Instant),
    ) -> Result<(), ProviderError> {
        let late = |_| self.vendor.error(ErrorKind::Timeout, "no sound in time");
        let mut document = Vec::new();
        while let Some(bytes) =
            timeout_at(first, response.chunk()).await.map_err(late)?.map_err(|error| self.vendor.transport(error))?
        {
            document.extend_from_slice(&bytes);
            if document.len() > MAX_DOCUMENT {
                return Err(self.vendor.error(ErrorKind::Protocol, "an answer that is too long"));
            }
        }
        let bytes = read(&document).map_err(|flaw| flawed(&self.vendor, flaw))?;
        if self.play(&mut sound, &bytes).await? { self.end(sound).await } else { Ok(()) }
    }

    /// Hands out bytes of sound; false when nobody listens. In portions: the first sound must not wait for the conversion
    /// of all that came with it, and what the listener has no room for yet need not be converted.
    async fn play(&self, sound: &mut Sound, bytes: &[u8]) -> Result<bool, ProviderError> {
        for portion in bytes.chunks(sound.portion()) {
            let samples = sound.push(portion).map_err(|why| self.vendor.error(ErrorKind::Protocol, why))?;
            if !self.deliver(&samples).await {
                return Ok(false);
            }
            // Whoever plays the portion goes first, and so do other calls.
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    async fn end(&self, sound: Sound) -> Result<(), ProviderError> {
        let samples = sound.finish().map_err(|why| self.vendor.error(ErrorKind::Protocol, why))?;
        if self.deliver(&samples).await {
            // Nobody listening: the phrase was cancelled.
            drop(self.events.send(Ok(TtsEvent::Done)).await);
        }
        Ok(())
    }

    /// Hands out samples in pieces of at most a tenth of a second, waiting while the listener is busy; false when nobody
    /// listens.
    async fn deliver(&self, samples: &[i16]) -> bool {
        for piece in samples.chunks(tenth(self.wanted)) {
            if self.events.send(Ok(TtsEvent::Audio(piece.to_vec()))).await.is_err() {
                return false;
            }
        }
        true
    }
}

fn put(request: RequestBuilder, question: &Question) -> RequestBuilder {
    let request = question.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    match &question.body {
        Body::Json(body) => request.json(body),
        Body::Text(body) => request.body(body.clone()),
    }
}

fn flawed(vendor: &HttpVendor, (kind, words): Flaw) -> ProviderError {
    vendor.error(kind, vendor.mask(&words))
}

/// Samples of a tenth of a second.
fn tenth(rate: u32) -> usize {
    (rate as usize / 10).max(1)
}

/// Reads sound that comes in events.
struct Reader<'a> {
    vendor: &'a HttpVendor,
    read: ReadEvent,
    /// Until the end.
    sound: Option<Sound>,
    wanted: u32,
    progress: Progress,
}

impl Reader<'_> {
    fn say(&self, samples: &[i16], out: &mut Vec<TtsEvent>) {
        out.extend(samples.chunks(tenth(self.wanted)).map(|piece| TtsEvent::Audio(piece.to_vec())));
    }

    fn finish(&mut self, out: &mut Vec<TtsEvent>) -> Result<(), ProviderError> {
        let Some(sound) = self.sound.take() else { return Ok(()) };
        let samples = sound.finish().map_err(|why| self.vendor.error(ErrorKind::Protocol, why))?;
        self.say(&samples, out);
        out.push(TtsEvent::Done);
        self.progress = Progress::Done;
        Ok(())
    }
}

impl SseReader for Reader<'_> {
    type Event = TtsEvent;

    fn data(&mut self, data: &str, out: &mut Vec<TtsEvent>) -> Result<(), ProviderError> {
        let bytes = match (self.read)(data).map_err(|flaw| flawed(self.vendor, flaw))? {
            Piece::Last => return self.finish(out),
            Piece::Sound(bytes) => bytes,
        };
        let Some(sound) = &mut self.sound else { return Ok(()) };
        let samples = sound.push(&bytes).map_err(|why| self.vendor.error(ErrorKind::Protocol, why))?;
        if !bytes.is_empty() {
            self.progress = Progress::Speaking;
        }
        self.say(&samples, out);
        Ok(())
    }

    fn ended(&mut self, out: &mut Vec<TtsEvent>) -> Result<(), ProviderError> {
        self.finish(out)
    }

    fn progress(&self) -> Progress {
        self.progress
    }
}

/// A member of an endpoint's further settings; empty when it is not there.
pub(super) fn param<'a>(endpoint: &'a Endpoint, name: &str) -> &'a str {
    endpoint.params.get(name).map_or("", |value| value.expose().as_str())
}

/// The same as a number; an absent or strange one is `otherwise`.
pub(super) fn number(endpoint: &Endpoint, name: &str, otherwise: f64) -> f64 {
    param(endpoint, name).parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(otherwise)
}

/// The rate that a service is asked for: telephones and browsers have one of the two.
pub(super) const fn telephone_rate(wanted: u32) -> u32 {
    if wanted == 8000 { 8000 } else { 16_000 }
}

/// Two seconds of sound in whole pieces: a faster synthesiser waits.
pub(super) const EVENTS: usize = 20;
/// Waits in milliseconds: connection, first sound, pause.
const WAITS: (u64, u64, u64) = (2000, 5000, 2000);
/// Longest answer that is read whole, in bytes: two minutes of sound in Base64, and some.
const MAX_DOCUMENT: usize = 8 * 1024 * 1024;
/// Media types of answers that are words about why there is no sound.
const COMPLAINTS: &[&str] = &["application/json", "text/", "application/xml"];
