//! MiniMax's synthesis (platform.minimaxi.com, "T2A v2"): JSON asks, events answer, their sound is raw samples in
//! hexadecimal digits. Only what comes while it is made is played; a last event that holds all of it again is not.

use super::hosted::{Answer, Body, Flaw, Hosted, HostedVoice, Piece, Place, Question, Stamp, param, telephone_rate};
use super::sound::Form;
use crate::endpoints::Outside;
use crate::tts::{Tts, TtsRequest};
use crate::{ErrorKind, ProviderError};
use callwright_domain::agent::Endpoint;
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where it has the synthesis, under the interface's base.
const PATH: &str = "/t2a_v2";

/// The synthesiser at an address that may be the interface's base (`…/v1`) or lead to the synthesis itself; `group` among
/// its settings, where the account has one.
pub(crate) fn voice(endpoint: &Endpoint, outside: &Outside) -> Result<Arc<dyn Tts>, ProviderError> {
    let name = endpoint.kind.as_str();
    let bad = |why: String| ProviderError::new(name, ErrorKind::Rejected, why);
    let mut url = Url::parse(&endpoint.url).map_err(|error| bad(format!("bad url: {error}")))?;
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        url.set_path(&format!("{path}{PATH}"));
    }
    let group = param(endpoint, "group");
    if !group.is_empty() {
        url.query_pairs_mut().append_pair("GroupId", group);
    }
    let headers = BTreeMap::new();
    let place = Place { url: url.into(), bearer: endpoint.key.clone(), headers, secrets: Vec::new() };
    Ok(Arc::new(Hosted::new(name, place, MiniMax, outside)?))
}

struct MiniMax;

impl HostedVoice for MiniMax {
    fn question(&self, phrase: &TtsRequest, _stamp: &Stamp) -> Question {
        let body = json!({
            "model": phrase.model,
            "text": phrase.text,
            "stream": true,
            "stream_options": {"exclude_aggregated_audio": true},
            "voice_setting": {"voice_id": phrase.voice, "speed": phrase.speed, "vol": 1, "pitch": 0},
            "audio_setting": {"sample_rate": telephone_rate(phrase.rate), "format": "pcm", "channel": 1},
        });
        Question { headers: Vec::new(), body: Body::Json(body) }
    }

    fn form(&self, wanted: u32) -> Form {
        Form::raw(telephone_rate(wanted))
    }

    fn answer(&self) -> Answer {
        Answer::Events(event)
    }
}

#[derive(Deserialize)]
struct Event {
    data: Option<Data>,
    base_resp: Option<Outcome>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    audio: String,
    /// 1: more comes; 2: that was all.
    #[serde(default)]
    status: u8,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    status_code: u32,
    #[serde(default)]
    status_msg: String,
}

fn event(data: &str) -> Result<Piece, Flaw> {
    let garbage = || (ErrorKind::Protocol, String::from("an event that is not its protocol"));
    let event: Event = serde_json::from_str(data).map_err(|_| garbage())?;
    if let Some(outcome) = event.base_resp.filter(|outcome| outcome.status_code != 0) {
        return Err((kind(outcome.status_code), format!("{}: {}", outcome.status_code, outcome.status_msg)));
    }
    match event.data {
        Some(data) if data.status == 2 => Ok(Piece::Last),
        Some(data) => hex::decode(&data.audio).map(Piece::Sound).map_err(|_| garbage()),
        None => Ok(Piece::Sound(Vec::new())),
    }
}

/// What its codes mean to us.
const fn kind(code: u32) -> ErrorKind {
    match code {
        1001 => ErrorKind::Timeout,
        1002 | 1039 | 2056 => ErrorKind::RateLimited,
        1004 | 1008 | 2049 => ErrorKind::Unauthorised,
        1000 | 1013 | 1024 | 1033 => ErrorKind::Internal,
        _ => ErrorKind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Stub, chunked, last_chunk};
    use crate::tts::tests::{bytes, spoken, tone};
    use callwright_domain::pii::Pii;
    use serde_json::Value;

    fn line(value: &Value) -> String {
        format!("data: {value}\n\n")
    }

    async fn asked(events: &[Value]) -> (Result<Vec<i16>, ErrorKind>, String) {
        let lines: Vec<String> = events.iter().map(line).collect();
        let pieces: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let stub = Stub::start([[chunked("text/event-stream", &pieces), vec![last_chunk()]].concat()]).await;
        let endpoint = Endpoint {
            kind: "minimax".into(),
            url: format!("http://127.0.0.1:{}/v1/t2a_v2", stub.port),
            key: Pii::new("mm-key".into()),
            params: BTreeMap::from([("group".into(), Pii::new("77".into()))]),
        };
        let mut phrase = TtsRequest::new("Hello.", 8000);
        (phrase.voice, phrase.model, phrase.speed) = ("female-1".into(), "speech-02-turbo".into(), 1.25);
        let voice = voice(&endpoint, &Outside::default()).expect("a voice");
        (spoken(voice.speak(phrase)).await, stub.requests().concat())
    }

    #[tokio::test]
    async fn sound_comes_in_events_and_once() {
        let (first, second) = (tone(900), tone(801));
        let sound =
            |samples: &[i16], status: u8| json!({"data": {"audio": hex::encode(bytes(samples)), "status": status}});
        let last = json!({"data": {"audio": hex::encode(bytes(&tone(1701))), "status": 2},
            "base_resp": {"status_code": 0, "status_msg": ""}});
        let (heard, request) = asked(&[sound(&first, 1), sound(&second, 1), last]).await;
        assert_eq!(heard, Ok([first, second].concat()));
        assert!(request.starts_with("POST /v1/t2a_v2?GroupId=77 ") && request.contains("Bearer mm-key"), "{request}");
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
        let setting = json!({"voice_id": "female-1", "speed": 1.25, "vol": 1, "pitch": 0});
        assert_eq!((&body["voice_setting"], &body["model"]), (&setting, &json!("speech-02-turbo")));
        assert_eq!(body["audio_setting"], json!({"sample_rate": 8000, "format": "pcm", "channel": 1}));
    }

    #[tokio::test]
    async fn its_codes_are_failures() {
        for (code, kind) in
            [(1004, ErrorKind::Unauthorised), (1002, ErrorKind::RateLimited), (2013, ErrorKind::Rejected)]
        {
            let (heard, _) = asked(&[json!({"base_resp": {"status_code": code, "status_msg": "no"}})]).await;
            assert_eq!(heard, Err(kind));
        }
        assert_eq!(asked(&[json!({"data": {"audio": "xyz", "status": 1}})]).await.0, Err(ErrorKind::Protocol));
        assert_eq!(asked(&[json!({"data": {"status": 2}})]).await.0, Err(ErrorKind::Protocol), "no sound at all");
    }
}
