//! Tencent Cloud's streaming synthesis over HTTP (cloud.tencent.com, "real-time speech synthesis"): a signed JSON document
//! asks, raw samples answer as they are made.

use super::hosted::{Body, Hosted, HostedVoice, Place, Question, Stamp, number, param, telephone_rate};
use super::sound::Form;
use crate::endpoints::Outside;
use crate::tts::{Tts, TtsRequest};
use crate::{ErrorKind, ProviderError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::agent::Endpoint;
use callwright_domain::pii::Pii;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Url;
use serde_json::{Map, Value, json};
use sha1::Sha1;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where it is unless the endpoint says otherwise.
const ADDRESS: &str = "https://tts.cloud.tencent.com/stream";
/// How long a signature holds, in seconds.
const HOLDS_S: u64 = 3600;
/// How fast its numbers for speed are: a number and how much faster than the voice's own.
const SPEEDS: [(f64, f64); 6] = [(-2.0, 0.6), (-1.0, 0.8), (0.0, 1.0), (1.0, 1.2), (2.0, 1.5), (6.0, 2.5)];

/// The synthesiser of an account: `app`, `id`, `speed`, `volume`, `language` and `fast_voice` among the endpoint's settings.
pub(crate) fn voice(endpoint: &Endpoint, outside: &Outside) -> Result<Arc<dyn Tts>, ProviderError> {
    let name = endpoint.kind.as_str();
    let url = if endpoint.url.is_empty() { ADDRESS.to_owned() } else { endpoint.url.clone() };
    let parsed = Url::parse(&url).map_err(|error| {
        let why = format!("bad url: {error}");
        ProviderError::new(name, ErrorKind::Rejected, why)
    })?;
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    let signed = format!("POST{}{port}{}?", parsed.host_str().unwrap_or_default(), parsed.path());
    let secrets = vec![endpoint.key.clone(), Pii::new(param(endpoint, "id").to_owned())];
    let place = Place { url, bearer: Pii::default(), headers: BTreeMap::new(), secrets };
    Ok(Arc::new(Hosted::new(name, place, Tencent { endpoint: endpoint.clone(), signed }, outside)?))
}

struct Tencent {
    endpoint: Endpoint,
    /// What a signature's text begins with.
    signed: String,
}

impl HostedVoice for Tencent {
    fn question(&self, phrase: &TtsRequest, stamp: &Stamp) -> Question {
        let body = self.parameters(phrase, stamp);
        let headers = vec![("Authorization", sign(&self.signed, &body, &self.endpoint.key))];
        Question { headers, body: Body::Json(Value::Object(body)) }
    }

    fn form(&self, wanted: u32) -> Form {
        Form::raw(telephone_rate(wanted))
    }
}

impl Tencent {
    fn parameters(&self, phrase: &TtsRequest, stamp: &Stamp) -> Map<String, Value> {
        let endpoint = &self.endpoint;
        let whole = |text: &str| text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
        let named = [
            ("Action", json!("TextToStreamAudio")),
            ("AppId", whole(param(endpoint, "app"))),
            ("Codec", json!("pcm")),
            ("Expired", json!(stamp.seconds + HOLDS_S)),
            ("ModelType", json!(1)),
            ("PrimaryLanguage", json!(number(endpoint, "language", 1.0) as i64)),
            ("ProjectId", json!(0)),
            ("SampleRate", json!(telephone_rate(phrase.rate))),
            ("SecretId", json!(param(endpoint, "id"))),
            ("SessionId", json!(stamp.id)),
            ("Speed", shown(speed(number(endpoint, "speed", 0.0), phrase.speed))),
            ("Text", json!(phrase.text)),
            ("Timestamp", json!(stamp.seconds)),
            ("VoiceType", whole(&phrase.voice)),
            ("Volume", shown(number(endpoint, "volume", 0.0))),
        ];
        let mut all: Map<String, Value> = named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let own = param(endpoint, "fast_voice");
        if !own.is_empty() {
            all.insert("FastVoiceType".to_owned(), json!(own));
        }
        all
    }
}

/// The vendor's number for `own` made faster by a factor.
fn speed(own: f64, faster: f64) -> f64 {
    if (faster - 1.0).abs() < f64::EPSILON {
        return own;
    }
    let ratio = along(own, |(number, ratio)| (number, ratio)) * faster;
    // Two digits are what the vendor takes.
    (along(ratio, |(number, ratio)| (ratio, number)) * 100.0).round() / 100.0
}

/// The value of a line through [`SPEEDS`]; beyond its ends the value there.
fn along(at: f64, point: impl Fn((f64, f64)) -> (f64, f64)) -> f64 {
    let points = SPEEDS.map(point);
    let first = points[0];
    let mut before = first;
    for (x, y) in points {
        if at <= x {
            let (x0, y0) = before;
            return if x > x0 { y0 + (at.max(first.0) - x0) / (x - x0) * (y - y0) } else { y };
        }
        before = (x, y);
    }
    before.1
}

/// A number as it is signed and sent: without a point where it is whole.
fn shown(number: f64) -> Value {
    if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
}

/// HMAC-SHA1 over the parameters in the order of their names, in Base64.
fn sign(begin: &str, parameters: &Map<String, Value>, key: &Pii<String>) -> String {
    let sorted: BTreeMap<&String, &Value> = parameters.iter().collect();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs: Vec<String> = sorted.into_iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    // Any length is a key; one that were not would make a signature that is refused.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key.expose().as_bytes()) else { return String::new() };
    mac.update(format!("{begin}{}", pairs.join("&")).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Stub, reply};
    use crate::tts::tests::{bytes, spoken, tone};

    fn endpoint(url: String) -> Endpoint {
        let param = |name: &str, value: &str| (name.to_owned(), Pii::new(value.to_owned()));
        let params = [param("app", "123456"), param("id", "AKID1"), param("speed", "1.25"), param("volume", "5")];
        Endpoint { kind: "tencent".into(), url, key: Pii::new("hush".into()), params: BTreeMap::from(params) }
    }

    #[test]
    fn what_is_signed_is_what_is_sent_in_the_order_of_names() {
        let tencent = Tencent { endpoint: endpoint(String::new()), signed: "POSThost/stream?".into() };
        let mut phrase = TtsRequest::new("Hallo & tschüs", 8000);
        phrase.voice = "101001".into();
        let Question { headers, body } =
            tencent.question(&phrase, &Stamp { seconds: 1_700_000_000, id: "session-1".into() });
        let Body::Json(body) = body else { panic!("JSON") };
        assert_eq!((&body["VoiceType"], &body["Speed"], &body["Volume"]), (&json!(101_001), &json!(1.25), &json!(5)));
        let text = "POSThost/stream?Action=TextToStreamAudio&AppId=123456&Codec=pcm&Expired=1700003600&ModelType=1&\
            PrimaryLanguage=1&ProjectId=0&SampleRate=8000&SecretId=AKID1&SessionId=session-1&Speed=1.25&\
            Text=Hallo & tschüs&Timestamp=1700000000&VoiceType=101001&Volume=5";
        let mut mac = Hmac::<Sha1>::new_from_slice(b"hush").expect("any length");
        mac.update(text.as_bytes());
        assert_eq!(headers, [("Authorization", STANDARD.encode(mac.finalize().into_bytes()))]);
    }

    #[test]
    fn speeds_are_made_faster_as_they_sound() {
        for (own, faster, wanted) in
            [(1.25, 1.0, 1.25), (0.0, 1.2, 1.0), (1.0, 1.25, 2.0), (0.0, 0.5, -2.0), (6.0, 2.0, 6.0), (0.0, 1.35, 1.5)]
        {
            assert!((speed(own, faster) - wanted).abs() < 0.001, "{own} x {faster}: {}", speed(own, faster));
        }
    }

    #[tokio::test]
    async fn samples_are_played_and_complaints_are_not() {
        let complaint =
            r#"{"Response":{"Error":{"Code":"AuthorizationFailed","Message":"hush is not the key of AKID1"}}}"#;
        let stub = Stub::start([reply("200 OK", "", bytes(&tone(3000))), reply("200 OK", "", complaint)]).await;
        let endpoint = endpoint(format!("http://127.0.0.1:{}/stream", stub.port));
        let voice = voice(&endpoint, &Outside::default()).expect("a voice");
        assert_eq!(spoken(voice.speak(TtsRequest::new("Hello.", 16_000))).await, Ok(tone(3000)));
        assert_eq!(spoken(voice.speak(TtsRequest::new("Hello.", 16_000))).await, Err(ErrorKind::Protocol));
        assert!(!stub.requests().concat().contains("hush"), "the key itself is never sent");
    }
}
