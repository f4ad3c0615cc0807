//! Synthesisers behind OpenAI's speech endpoint (platform.openai.com, "Create speech"), which many servers of open
//! voices imitate. Takes raw samples only: a coded sound would have to be decoded, and a file's header would be heard.

use super::hosted::{EVENTS, Listener};
use super::sound::Form;
use crate::http::{self, HttpVendor, Waits};
use crate::resample::RATES;
use crate::tts::{Tts, TtsRequest, TtsStream};
use crate::{ErrorKind, ProviderError, Running};
use callwright_domain::pii::Pii;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::time::Instant;

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
        let listener = Listener { vendor: Arc::clone(&self.vendor), wanted: request.rate, events: sender.clone() };
        let (url, form, body) = (self.url.clone(), Form::raw(self.config.rate), body(&self.config, request));
        let running = Running::spawn(async move {
            if let Err(error) = speak(&listener, &url, &body, form).await {
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

async fn speak(listener: &Listener, url: &Url, body: &Value, form: Form) -> Result<(), ProviderError> {
    let sound = listener.reader(form)?;
    let first = Instant::now() + listener.vendor.waits().first;
    let response = listener.vendor.post(url, body, first).await?;
    if http::is_kind(&response, NOT_RAW) {
        return Err(listener.vendor.error(ErrorKind::Protocol, "something else than raw sound"));
    }
    listener.body(response, sound, first).await
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

#[cfg(test)]
mod tests;
