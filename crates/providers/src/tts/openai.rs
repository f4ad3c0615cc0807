//! Synthesisers behind OpenAI's speech endpoint (platform.openai.com, "Create speech"), which many servers of open
//! voices imitate. Takes raw samples only: a coded sound would have to be decoded, and a file's header would be heard.

use crate::http::{self, HttpVendor, Waits};
use crate::resample::{RATES, Resampler};
use crate::tts::{Tts, TtsRequest, TtsStream};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::TtsEvent;
use callwright_domain::pii::Pii;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// One configured synthesiser of this kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiTtsConfig {
    /// Address before `/audio/speech`; may carry a query.
    pub base_url: String,
    /// API key, sent as `Authorization: Bearer`; empty: none is sent.
    pub key: Pii<String>,
    /// Further headers, such as `api-key`.
    pub headers: BTreeMap<String, Pii<String>>,
    /// Model when the agent names none; empty: none is sent.
    pub model: String,
    /// Voice when the agent names none; empty: none is sent.
    pub voice: String,
    /// Samples a second of the sound that the vendor sends. Raw sound does not say; this is believed.
    pub rate: u32,
    /// Members of every request's body; an agent's own go before them, and `null` takes a member away.
    pub params: BTreeMap<String, Value>,
    /// Longest wait for a connection, in milliseconds.
    pub connect_ms: u64,
    /// Longest wait for the first sound, in milliseconds.
    pub first_ms: u64,
    /// Longest pause between two pieces of sound, in milliseconds.
    pub stall_ms: u64,
}

impl Default for OpenAiTtsConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".to_owned(),
            key: Pii::default(),
            headers: BTreeMap::new(),
            model: "gpt-4o-mini-tts".to_owned(),
            voice: "alloy".to_owned(),
            rate: 24_000,
            params: BTreeMap::new(),
            connect_ms: 2000,
            first_ms: 5000,
            stall_ms: 2000,
        }
    }
}

/// A synthesiser of this kind.
#[derive(Debug)]
pub struct OpenAiTts {
    vendor: Arc<HttpVendor>,
    url: Url,
    config: OpenAiTtsConfig,
    warming: Mutex<Option<Running>>,
}

impl OpenAiTts {
    /// A synthesiser called `name`. Fails with [`ErrorKind::Rejected`] when the address, a header or the rate cannot
    /// be used.
    pub fn new(name: &str, config: OpenAiTtsConfig) -> Result<Self, ProviderError> {
        let waits = Waits::from_ms(config.connect_ms, config.first_ms, config.stall_ms);
        let vendor = HttpVendor::new(name, waits, &config.key, &config.headers)?;
        let bad = |why: String| vendor.error(ErrorKind::Rejected, why);
        let url = http::endpoint(&config.base_url, &["audio", "speech"], &BTreeMap::new()).map_err(bad)?;
        if !RATES.contains(&config.rate) {
            return Err(bad(format!("rate {} is none of {RATES:?}", config.rate)));
        }
        Ok(Self { vendor: Arc::new(vendor), url, config, warming: Mutex::default() })
    }
}

impl Tts for OpenAiTts {
    fn name(&self) -> &str {
        self.vendor.name()
    }

    fn speak(&self, request: TtsRequest) -> TtsStream {
        let (sender, events) = mpsc::channel(EVENTS);
        let speaking = Speaking {
            vendor: Arc::clone(&self.vendor),
            sound: Sound::new(self.config.rate, request.rate),
            wanted: request.rate,
            events: sender.clone(),
        };
        let (url, body) = (self.url.clone(), body(&self.config, request));
        let running = Running::spawn(async move {
            if let Err(error) = speaking.run(&url, &body).await {
                // Nobody listening: the phrase was cancelled.
                drop(sender.send(Err(error)).await);
            }
        });
        TtsStream { events, running }
    }

    fn warm(&self, _request: &TtsRequest) {
        // A list of models costs nothing, and its connection is the one that the first phrase takes.
        let Ok(url) = http::endpoint(&self.config.base_url, &["models"], &BTreeMap::new()) else { return };
        let vendor = Arc::clone(&self.vendor);
        let knocking = Running::spawn(async move { vendor.knock(url).await });
        *self.warming.lock().unwrap_or_else(PoisonError::into_inner) = Some(knocking);
    }
}

/// The request's body. The agent's parameters are text; what reads as JSON is sent as that, so that numbers stay
/// numbers.
fn body(config: &OpenAiTtsConfig, request: TtsRequest) -> Value {
    let mut body = Map::new();
    let model = if request.model.is_empty() { config.model.clone() } else { request.model };
    let voice = if request.voice.is_empty() { config.voice.clone() } else { request.voice };
    for (name, value) in [("model", model), ("voice", voice), ("instructions", request.emotion)] {
        if !value.is_empty() {
            body.insert(name.to_owned(), json!(value));
        }
    }
    body.insert("input".to_owned(), json!(request.text));
    body.insert("response_format".to_owned(), json!("pcm"));
    if (request.speed - 1.0).abs() > f64::EPSILON {
        body.insert("speed".to_owned(), json!(request.speed));
    }
    let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    let own = request.params.into_iter().map(|(name, text)| (name, read(text)));
    for (name, value) in config.params.clone().into_iter().chain(own) {
        if value.is_null() {
            body.remove(&name);
        } else {
            body.insert(name, value);
        }
    }
    Value::Object(body)
}

struct Speaking {
    vendor: Arc<HttpVendor>,
    sound: Option<Sound>,
    wanted: u32,
    events: mpsc::Sender<Result<TtsEvent, ProviderError>>,
}

impl Speaking {
    async fn run(self, url: &Url, body: &Value) -> Result<(), ProviderError> {
        let error = |kind, detail: &str| self.vendor.error(kind, detail);
        let mut sound = self.sound.clone().ok_or_else(|| {
            self.vendor.error(ErrorKind::Rejected, format!("cannot speak at {} samples a second", self.wanted))
        })?;
        let waits = self.vendor.waits();
        let mut limit = Instant::now() + waits.first;
        let mut late = "no sound in time";
        let mut response = self.vendor.post(url, body, limit).await?;
        if http::is_kind(&response, NOT_RAW) {
            return Err(error(ErrorKind::Protocol, "something else than raw sound"));
        }
        loop {
            let piece = timeout_at(limit, response.chunk()).await.map_err(|_| error(ErrorKind::Timeout, late))?;
            let Some(bytes) = piece.map_err(|error| self.vendor.transport(error))? else { break };
            // In portions: the first sound must not wait for the conversion of all that came with it, and what the
            // listener has no room for yet need not be converted.
            for portion in bytes.chunks(sound.portion()) {
                let samples = sound.push(portion).map_err(|why| error(ErrorKind::Protocol, why))?;
                if !self.deliver(&samples).await {
                    return Ok(());
                }
                // Whoever plays the portion goes first, and so do other calls.
                tokio::task::yield_now().await;
            }
            if !bytes.is_empty() {
                late = "stopped in the middle";
                limit = Instant::now() + waits.stall;
            }
        }
        let samples = sound.finish().map_err(|why| error(ErrorKind::Protocol, why))?;
        if self.deliver(&samples).await {
            // Nobody listening: the phrase was cancelled.
            drop(self.events.send(Ok(TtsEvent::Done)).await);
        }
        Ok(())
    }

    /// Hands out samples in pieces of at most a tenth of a second, waiting while the listener is busy; false when
    /// nobody listens.
    async fn deliver(&self, samples: &[i16]) -> bool {
        let piece = (self.wanted as usize / 10).max(1);
        for piece in samples.chunks(piece) {
            if self.events.send(Ok(TtsEvent::Audio(piece.to_vec()))).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Turns the bytes of a body into samples at the wanted rate.
#[derive(Debug, Clone)]
struct Sound {
    resampler: Resampler,
    rate: u32,
    /// Half a sample, when a piece of the body ended within one.
    half: Option<u8>,
    head: Vec<u8>,
    heard: u64,
    loudest: u16,
}

impl Sound {
    fn new(from: u32, to: u32) -> Option<Self> {
        let resampler = Resampler::new(from, to)?;
        Some(Self { resampler, rate: from, half: None, head: Vec::new(), heard: 0, loudest: 0 })
    }

    /// Bytes that make a piece of sound worth handing out: a tenth of a second.
    const fn portion(&self) -> usize {
        let samples = self.rate as usize / 10;
        if samples == 0 { 2 } else { 2 * samples }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, &'static str> {
        if self.head.len() < 4 {
            self.head.extend(bytes.iter().take(4 - self.head.len()));
            if self.head == b"RIFF" {
                return Err("a WAV file instead of raw sound");
            }
        }
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        let mut rest = bytes;
        if let (Some(low), Some((high, later))) = (self.half, rest.split_first()) {
            samples.push(i16::from_le_bytes([low, *high]));
            self.half = None;
            rest = later;
        }
        let (pairs, odd) = rest.as_chunks::<2>();
        samples.extend(pairs.iter().map(|pair| i16::from_le_bytes(*pair)));
        self.half = odd.first().copied().or(self.half);
        self.heard += samples.len() as u64;
        if self.heard > u64::from(self.rate) * LONGEST_PHRASE_S {
            return Err("a phrase without end");
        }
        self.loudest = samples.iter().map(|sample| sample.unsigned_abs()).fold(self.loudest, u16::max);
        Ok(self.resampler.push(&samples))
    }

    fn finish(self) -> Result<Vec<i16>, &'static str> {
        if self.heard == 0 {
            return Err("no sound at all");
        }
        if self.loudest == 0 {
            return Err("nothing but silence");
        }
        Ok(self.resampler.finish())
    }
}

/// Media types that are not raw samples. Everything else is believed: servers call raw sound by many names.
const NOT_RAW: &[&str] = &[
    "text/",
    "application/json",
    "application/xml",
    "audio/mpeg",
    "audio/mp3",
    "audio/mp4",
    "audio/wav",
    "audio/wave",
    "audio/x-wav",
    "audio/vnd.wave",
    "audio/ogg",
    "audio/opus",
    "audio/aac",
    "audio/flac",
    "audio/webm",
];
/// Two seconds of sound in whole pieces: a faster synthesiser waits.
const EVENTS: usize = 20;
/// In seconds. A phrase is a sentence or two.
const LONGEST_PHRASE_S: u64 = 120;

#[cfg(test)]
mod tests;
