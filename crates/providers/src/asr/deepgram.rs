//! Recognisers that speak Deepgram's streaming protocol (developers.deepgram.com, "Live Audio"): raw samples up,
//! `Results` down. Pure: frames and events only; the socket is the runner's.

use crate::asr::{Asr, AsrParams, AsrStream};
use crate::http::{error_message, masked};
use crate::ws::{self, Handshake, WsAsr, WsFrame, WsVendor};
use crate::{ErrorKind, ProviderError};
use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn};
use callwright_domain::pii::Pii;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// One configured recogniser of this kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeepgramConfig {
    /// Full address of the streaming endpoint, `ws://` or `wss://`.
    pub url: String,
    /// API key, sent as `Authorization: Token`; empty: none is sent.
    pub key: Pii<String>,
    /// Model when the agent names none; empty: the vendor's.
    pub model: String,
    /// Language when the agent names none; empty: the vendor's.
    pub language: String,
    /// Added to the query of every stream.
    pub params: BTreeMap<String, String>,
    /// Longest wait for a connection, in milliseconds.
    pub connect_ms: u64,
}

impl Default for DeepgramConfig {
    fn default() -> Self {
        Self {
            url: "wss://api.deepgram.com/v1/listen".to_owned(),
            key: Pii::default(),
            model: String::new(),
            language: String::new(),
            params: BTreeMap::new(),
            connect_ms: 2000,
        }
    }
}

/// A recogniser of this kind.
#[derive(Debug)]
pub struct Deepgram {
    name: String,
    url: Url,
    config: DeepgramConfig,
}

impl Deepgram {
    /// A recogniser called `name`. Fails with [`ErrorKind::Rejected`] when the address cannot be used.
    pub fn new(name: &str, config: DeepgramConfig) -> Result<Self, ProviderError> {
        let bad = |detail: String| ProviderError::new(name, ErrorKind::Rejected, detail);
        let url = Url::parse(&config.url).map_err(|error| bad(format!("bad url: {error}")))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(bad("the url must begin with ws:// or wss://".to_owned()));
        }
        Ok(Self { name: name.to_owned(), url, config })
    }
}

impl Asr for Deepgram {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, params: AsrParams) -> AsrStream {
        let about = WsVendor {
            name: self.name.clone(),
            rate: params.rate,
            connect: Duration::from_millis(self.config.connect_ms),
            key: self.config.key.clone(),
        };
        let stream = DeepgramStream {
            vendor: self.name.clone(),
            url: address(&self.url, &self.config, &params),
            key: self.config.key.clone(),
            unfinished: false,
        };
        ws::start(about, stream)
    }
}

/// The address with the query that says what is wanted; later settings replace earlier ones of the same name.
fn address(url: &Url, config: &DeepgramConfig, params: &AsrParams) -> String {
    let first = |a: &str, b: &str| if a.is_empty() { b.to_owned() } else { a.to_owned() };
    let model = first(&params.model, &config.model);
    let mut pairs = vec![
        ("encoding", "linear16".to_owned()),
        ("sample_rate", params.rate.to_string()),
        ("channels", "1".to_owned()),
        ("interim_results", "true".to_owned()),
        ("punctuate", "true".to_owned()),
        ("endpointing", params.silence_ms.to_string()),
        ("language", first(&params.language, &config.language)),
        ("model", model.clone()),
    ];
    // "Keyterm prompting" is what the models from the third generation on call it; the older ones know "keywords".
    let word = if model.starts_with("nova-3") || model.starts_with("flux") { "keyterm" } else { "keywords" };
    pairs.extend(params.hot_words.iter().map(|hot| (word, hot.clone())));
    if params.silence_ms == 0 {
        pairs.retain(|(name, _)| *name != "endpointing");
    }
    for (name, value) in config.params.iter().chain(&params.params) {
        pairs.retain(|(other, _)| other != name);
        pairs.push((name, value.clone()));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    let mut url = url.clone();
    url.query_pairs_mut().extend_pairs(pairs);
    url.into()
}

struct DeepgramStream {
    vendor: String,
    url: String,
    key: Pii<String>,
    /// Final words were given whose turn has not been said to be over.
    unfinished: bool,
}

impl WsAsr for DeepgramStream {
    fn handshake(&self) -> Handshake {
        let mut headers = Vec::new();
        if !self.key.expose().is_empty() {
            headers.push(("authorization", Pii::new(format!("Token {}", self.key.expose()))));
        }
        Handshake { url: self.url.clone(), headers }
    }

    fn audio(&mut self, pcm: &[i16]) -> WsFrame {
        WsFrame::Binary(pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect())
    }

    fn finish(&mut self) -> WsFrame {
        WsFrame::Text(r#"{"type":"CloseStream"}"#.to_owned())
    }

    fn settle(&mut self) -> Option<WsFrame> {
        Some(WsFrame::Text(r#"{"type":"Finalize"}"#.to_owned()))
    }

    fn keep_alive(&mut self) -> Option<WsFrame> {
        Some(WsFrame::Text(r#"{"type":"KeepAlive"}"#.to_owned()))
    }

    fn receive(&mut self, frame: WsFrame, out: &mut Vec<AsrEvent>) -> Result<(), ProviderError> {
        let garbage = || ProviderError::new(&self.vendor, ErrorKind::Protocol, "a message that is not its protocol");
        let WsFrame::Text(text) = frame else { return Err(garbage()) };
        let value: Value = serde_json::from_str(&text).map_err(|_| garbage())?;
        match value.get("type").and_then(Value::as_str) {
            Some("Results") => {
                let results = serde_json::from_value(value).map_err(|_| garbage())?;
                out.extend(self.results(results));
                Ok(())
            }
            Some("UtteranceEnd") => {
                out.extend(self.turn_over());
                Ok(())
            }
            Some("Error") => {
                let detail = value.get("description").and_then(Value::as_str).map(str::to_owned);
                let detail = detail.or_else(|| error_message(&value)).unwrap_or_else(|| "an error".to_owned());
                Err(ProviderError::new(&self.vendor, ErrorKind::Internal, masked(&detail, &self.key)))
            }
            // Metadata, SpeechStarted, Warning and whatever comes to be: nothing for us.
            Some(_) => Ok(()),
            None => Err(garbage()),
        }
    }
}

impl DeepgramStream {
    fn results(&mut self, results: Results) -> Option<AsrEvent> {
        let best = results.channel.alternatives.into_iter().next().unwrap_or_default();
        let text = best.transcript.trim().to_owned();
        if !results.is_final {
            return (!text.is_empty()).then_some(AsrEvent::Partial { text });
        }
        if text.is_empty() {
            // Silence is made final again and again; it matters only when it ends a turn.
            return if results.speech_final { self.turn_over() } else { None };
        }
        self.unfinished = !results.speech_final;
        let end_of_turn = if results.speech_final { EndOfTurn::Yes } else { EndOfTurn::Unknown };
        Some(AsrEvent::Final { text, end_of_turn })
    }

    /// The vendor heard the end of a turn after words that were already final: an event without words.
    fn turn_over(&mut self) -> Option<AsrEvent> {
        let over = std::mem::take(&mut self.unfinished);
        over.then(|| AsrEvent::Final { text: String::new(), end_of_turn: EndOfTurn::Yes })
    }
}

#[derive(Serialize, Deserialize)]
struct Results {
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    speech_final: bool,
    channel: Channel,
}

#[derive(Serialize, Deserialize)]
struct Channel {
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Default, Serialize, Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: String,
}

#[cfg(test)]
mod tests;
