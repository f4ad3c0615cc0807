//! Volcengine's synthesis over HTTP (volcengine.com, "HTTP API of speech synthesis"): one JSON document asks and one
//! answers, with the raw samples of the phrase in Base64.

use super::hosted::{Answer, Body, Flaw, Hosted, HostedVoice, Place, Question, Stamp, number, param, telephone_rate};
use super::sound::Form;
use crate::endpoints::Outside;
use crate::tts::{Tts, TtsRequest};
use crate::{ErrorKind, ProviderError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::agent::Endpoint;
use callwright_domain::pii::Pii;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where it is unless the endpoint says otherwise.
const ADDRESS: &str = "https://openspeech.bytedance.com/api/v1/tts";
/// The cluster of its ordinary voices.
const CLUSTER: &str = "volcano_tts";
/// The code of an answer that holds sound.
const GOOD: u32 = 3000;
/// Slowest and fastest that it speaks.
const SPEED: (f64, f64) = (0.2, 3.0);

/// The synthesiser of an application: `app`, `cluster`, `speed` and `volume` among the endpoint's settings.
pub(crate) fn voice(endpoint: &Endpoint, outside: &Outside) -> Result<Arc<dyn Tts>, ProviderError> {
    let url = if endpoint.url.is_empty() { ADDRESS.to_owned() } else { endpoint.url.clone() };
    // A semicolon, as the vendor has it.
    let headers = BTreeMap::from([("Authorization".to_owned(), Pii::new(format!("Bearer;{}", endpoint.key.expose())))]);
    let place = Place { url, bearer: Pii::default(), headers, secrets: vec![endpoint.key.clone()] };
    Ok(Arc::new(Hosted::new(&endpoint.kind, place, Volcengine(endpoint.clone()), outside)?))
}

struct Volcengine(Endpoint);

impl HostedVoice for Volcengine {
    fn question(&self, phrase: &TtsRequest, stamp: &Stamp) -> Question {
        let cluster = Some(param(&self.0, "cluster")).filter(|cluster| !cluster.is_empty()).unwrap_or(CLUSTER);
        let speed = (number(&self.0, "speed", 1.0) * phrase.speed).clamp(SPEED.0, SPEED.1);
        let body = json!({
            "app": {"appid": param(&self.0, "app"), "token": self.0.key.expose(), "cluster": cluster},
            "user": {"uid": "callwright"},
            "audio": {
                "voice_type": phrase.voice,
                "encoding": "pcm",
                "rate": telephone_rate(phrase.rate),
                "speed_ratio": speed,
                "volume_ratio": number(&self.0, "volume", 1.0),
            },
            "request": {"reqid": stamp.id, "text": phrase.text, "text_type": "plain", "operation": "query"},
        });
        Question { headers: Vec::new(), body: Body::Json(body) }
    }

    fn form(&self, wanted: u32) -> Form {
        Form::raw(telephone_rate(wanted))
    }

    fn answer(&self) -> Answer {
        Answer::Document(document)
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: String,
}

fn document(bytes: &[u8]) -> Result<Vec<u8>, Flaw> {
    let garbage = || (ErrorKind::Protocol, String::from("an answer that is not its protocol"));
    let document: Document = serde_json::from_slice(bytes).map_err(|_| garbage())?;
    if document.code != GOOD {
        return Err((kind(document.code), format!("{}: {}", document.code, document.message)));
    }
    STANDARD.decode(&document.data).map_err(|_| garbage())
}

/// What its codes mean to us.
const fn kind(code: u32) -> ErrorKind {
    match code {
        3003 => ErrorKind::RateLimited,
        3005 | 3031 | 3032 | 3040 => ErrorKind::Internal,
        3030 => ErrorKind::Timeout,
        _ => ErrorKind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Stub, reply};
    use crate::tts::tests::{bytes, spoken, tone};
    use serde_json::Value;

    async fn asked(answer: &Value) -> (Result<Vec<i16>, ErrorKind>, String) {
        let stub = Stub::start([reply("200 OK", "Content-Type: application/json\r\n", answer.to_string())]).await;
        let param = |name: &str, value: &str| (name.to_owned(), Pii::new(value.to_owned()));
        let endpoint = Endpoint {
            kind: "volcengine".into(),
            url: format!("http://127.0.0.1:{}/api/v1/tts", stub.port),
            key: Pii::new("volc-token".into()),
            params: BTreeMap::from([param("app", "42"), param("speed", "1.5"), param("volume", "2")]),
        };
        let mut phrase = TtsRequest::new("Hello.", 16_000);
        phrase.voice = "BV001".into();
        let voice = voice(&endpoint, &Outside::default()).expect("a voice");
        (spoken(voice.speak(phrase)).await, stub.requests().concat())
    }

    #[tokio::test]
    async fn a_phrase_comes_in_one_document() {
        let sound = STANDARD.encode(bytes(&tone(5000)));
        let (heard, request) = asked(&json!({"reqid": "x", "code": 3000, "message": "Success", "data": sound})).await;
        assert_eq!(heard, Ok(tone(5000)));
        assert!(request.to_ascii_lowercase().contains("authorization: bearer;volc-token"), "{request}");
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        assert_eq!(body["app"], json!({"appid": "42", "token": "volc-token", "cluster": "volcano_tts"}));
        let audio = json!({"voice_type": "BV001", "encoding": "pcm", "rate": 16_000, "speed_ratio": 1.5,
            "volume_ratio": 2.0});
        assert_eq!((&body["audio"], &body["request"]["operation"]), (&audio, &json!("query")));
    }

    #[tokio::test]
    async fn its_codes_are_failures() {
        for (answer, kind) in [
            (json!({"code": 3003, "message": "busy"}), ErrorKind::RateLimited),
            (json!({"code": 3050, "message": "no such voice"}), ErrorKind::Rejected),
            (json!({"code": 3000, "data": "%"}), ErrorKind::Protocol),
            (json!({"code": 3000}), ErrorKind::Protocol),
            (json!(7), ErrorKind::Protocol),
        ] {
            assert_eq!(asked(&answer).await.0, Err(kind), "{answer}");
        }
    }
}
