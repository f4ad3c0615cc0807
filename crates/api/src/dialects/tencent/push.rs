//! The vendor's data push: a call's record when it has ended, and its recording when it is kept. Receivers say yes with
//! `ErrCode` 0. The endpoint's memo holds the number of the application, which is part of every push, and where the server
//! was reached when the endpoint was made, which recordings are told under.

use super::reads::{end, seconds, talked, uui};
use super::{links, numbers};
use crate::callbacks::Callback;
use crate::dialects::EndpointShape;
use callwright_domain::{CallEvent, Pii, Topic};
use callwright_engine::{Subject, Telling};
use callwright_store::CallView;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

/// What every push says that it is, letter for letter.
const CONTENT_TYPE: &str = "application/json;charset=utf8";
/// Repeats of a push that is not heard, unless the endpoint says otherwise.
const REPEATS: u32 = 3;

/// The push for an event; none: the vendor pushes nothing then.
pub(super) fn callback(telling: &Telling) -> Option<Callback> {
    let Subject::Call(news) = &telling.subject else { return None };
    // What is met in a browser has no numbers: none of the vendor's telephone records holds it, and no push does.
    news.view.plan.telephone()?;
    let endpoint = &telling.webhook.endpoint;
    let memo = Memo::of(&endpoint.origin.memo);
    let (action, body) = match &news.recorded.event {
        CallEvent::Ended { .. } => ("cdr", record(&news.view, memo.application)),
        CallEvent::RecordingKept { .. } => {
            let call = news.view.plan.id;
            let link = (!memo.base.is_empty()).then(|| links::told(&telling.webhook, &memo.base, call, telling.now));
            ("record", recording(&news.view, memo.application, link.flatten().unwrap_or_default()))
        }
        _ => return None,
    };
    let mut url = Url::parse(endpoint.url.expose()).ok()?;
    url.query_pairs_mut().append_pair("action", action).append_pair("version", "1");
    Some(Callback {
        url: Pii::new(url.into()),
        headers: vec![
            ("content-type", Pii::new(CONTENT_TYPE.to_owned())),
            ("x-tccc-push-uuid", Pii::new(uuid(&telling.id))),
        ],
        body: body.to_string().into_bytes(),
        heard: said_yes,
    })
}

/// What an endpoint of this dialect is to keep, and how it is told; the vendor repeats a push at most three times.
pub(super) fn shape(application: i64, base: String) -> EndpointShape {
    let memo = json!(Memo { application, base }).to_string();
    EndpointShape { memo, topics: &[Topic::CallEnded, Topic::RecordingReady], tries: 1 + REPEATS }
}

/// What an endpoint keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memo {
    application: i64,
    /// `https://host`; empty: nobody knows.
    base: String,
}

impl Memo {
    /// Endpoints of older versions have the bare number.
    fn of(text: &str) -> Self {
        let bare = || Self { application: text.trim().parse().unwrap_or(0), base: String::new() };
        serde_json::from_str(text).ok().filter(|_| text.starts_with('{')).unwrap_or_else(bare)
    }
}

/// Anything but an `ErrCode` of 0 is a no.
fn said_yes(status: StatusCode, body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    status.is_success() && answer["ErrCode"] == json!(0)
}

/// A UUID made of a message's id: the same in every repeat (RFC 9562, version 8).
fn uuid(id: &str) -> String {
    let mut bytes: [u8; 32] = Sha256::digest(id.as_bytes()).into();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(&bytes[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn record(view: &CallView, application: i64) -> Value {
    let end = end(view);
    let timeline = &view.timeline;
    json!({
        "SdkAppId": application,
        "SessionId": view.plan.id,
        "Caller": numbers::of(view.plan.caller()),
        "Callee": numbers::of(view.plan.callee()),
        "Direction": 1,
        "CallType": 1,
        "Duration": talked(timeline),
        "CallerLocation": "",
        "IVRDuration": 0,
        "StartTimestamp": seconds(Some(view.plan.created)),
        "QueuedTimestamp": 0,
        "RingTimestamp": seconds(timeline.ringing),
        "AcceptTimestamp": seconds(timeline.answered),
        "EndedTimestamp": seconds(timeline.ended),
        "EndStatus": end.status.0,
        "EndStatusString": end.status.1,
        "HungUpSide": end.side,
        "SeatUser": {},
        "ServeParticipants": [],
        "IVRKeyPressed": [],
        "PostIVRKeyPressed": [],
        "QueuedSkillGroupId": 0,
        "Uui": uui(view),
        "TelLocation": {"TelNumber": numbers::of(view.plan.callee()), "Country": "", "Province": "", "City": "",
            "Operator": ""},
    })
}

fn recording(view: &CallView, application: i64, link: String) -> Value {
    json!({
        "SdkAppId": application,
        "RecordId": view.plan.id,
        "SessionId": view.plan.id,
        "Timestamp": seconds(view.timeline.ended),
        "EndpointUser": numbers::of(view.plan.callee()),
        "RecordURL": link,
        "CustomRecordURL": "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_a_yes_only_with_its_code() {
        let ok = StatusCode::OK;
        assert!(said_yes(ok, br#"{"ErrCode": 0, "ErrMsg": ""}"#));
        for (status, body) in [(ok, &br#"{"ErrCode": 1}"#[..]), (ok, b""), (ok, b"ok"), (StatusCode::BAD_GATEWAY, b"")]
        {
            assert!(!said_yes(status, body));
        }
    }

    #[test]
    fn memos_of_older_endpoints_are_read() {
        let read = |text: &str| (Memo::of(text).application, Memo::of(text).base);
        assert_eq!(read("1400000001"), (1_400_000_001, String::new()));
        let EndpointShape { memo, .. } = shape(7, String::from("https://calls.test"));
        assert_eq!(read(&memo), (7, String::from("https://calls.test")));
        assert_eq!(read("junk"), (0, String::new()));
    }

    #[test]
    fn repeats_bear_the_same_uuid() {
        assert_eq!(uuid("a"), uuid("a"));
        assert_ne!(uuid("a"), uuid("b"));
        assert_eq!((uuid("a").len(), uuid("a").as_bytes()[14]), (36, b'8'));
    }
}
