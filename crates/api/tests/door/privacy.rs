//! What is removed, and what is said of it afterwards.

use crate::reading::{ended_call, ended_call_of, unchunked};
use crate::support::{NOW, OTHER_KEY, Server};
use crate::{happyrobot, tencent};
use callwright_domain::{Moment, Pii};
use callwright_store::Keyring;
use callwright_store::blobs::open_file;
use callwright_testkit::{FakeS3, S3Fault};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

const DAY_MS: i64 = 24 * 3600 * 1000;

#[tokio::test]
async fn an_erased_number_is_gone_from_its_calls_and_the_proof_does_not_hold_it() {
    let (server, id, _callee) = ended_call().await;
    let call = format!("/v1/calls/{id}");
    let name = format!("{id}.wav");
    assert!(server.node.calls().recording(&name).await.is_ok());
    for (body, field) in [
        (json!({}), "number"),
        (json!({"number": "sip:x@y"}), "number"),
        (json!({"number": "+15550123", "suppress": "yes"}), "suppress"),
        (json!({"number": "+15550123", "why": "asked"}), "why"),
    ] {
        let refused = server.native("POST", "/v1/erasures", &body).await;
        assert_eq!((refused.status, refused.json()["error"]["field"].as_str()), (400, Some(field)), "{body}");
    }
    let order = json!({"number": "+1 555-0123", "suppress": true});
    let done = server.native("POST", "/v1/erasures", &order).await;
    let proof = done.json();
    assert_eq!((done.status, proof["status"].as_str()), (202, Some("finished")), "{proof}");
    assert_eq!((&proof["erased"]["calls"], &proof["erased"]["recordings"]), (&json!(1), &json!(1)), "{proof}");
    assert!(!proof.to_string().contains("5550123"), "{proof}");
    let again = server.native("POST", "/v1/erasures", &order).await.json();
    assert_eq!((&again["id"], &again["erased"]), (&proof["id"], &proof["erased"]));
    let path = format!("/v1/erasures/{}", proof["id"].as_str().expect("an id"));
    assert_eq!(server.native("GET", &path, &Value::Null).await.json()["status"], "finished");

    assert!(server.node.calls().recording(&name).await.is_err(), "the file is gone");
    let recording = server.native("GET", &format!("{call}/recording"), &Value::Null).await;
    assert_eq!((recording.status, recording.code().as_str()), (410, "erased"));
    let shown = server.native("GET", &call, &Value::Null).await.json();
    assert_eq!((&shown["to"], &shown["transcript"]), (&json!("erased"), &json!([])), "{shown}");
    assert_eq!(shown["gone"], json!({"recording": "erased", "transcript": "erased"}));
    assert!(!shown.to_string().contains("5550123"), "{shown}");
    let denied = server.native("POST", "/v1/calls", &json!({"agent": "tester", "to": "+15550123"})).await;
    assert_eq!(denied.code(), "callee_blocked");
    let allowed = server.native("DELETE", "/v1/denied/+15550123", &Value::Null).await;
    assert_eq!(allowed.status, 204);
}

#[tokio::test]
async fn what_has_expired_says_so() {
    let (server, id, _callee) = ended_call().await;
    let (call, recording) = (format!("/v1/calls/{id}"), format!("/v1/calls/{id}/recording"));
    let rules = json!({"retention": {"recordings_days": 1, "transcripts_days": 2, "records_days": 31}});
    assert_eq!(server.native("PUT", "/v1/rules", &rules).await.status, 200);
    assert_eq!(server.native("GET", &recording, &Value::Null).await.status, 200);
    let sweep = async |days: i64| {
        let then = Moment(server.node.now().millis() + days * DAY_MS);
        server.node.store().sweep(then, 10).await.expect("swept")
    };
    assert_eq!(sweep(1).await.recordings, 1);
    let gone = server.native("GET", &recording, &Value::Null).await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "expired"));
    let shown = server.native("GET", &call, &Value::Null).await.json();
    assert_eq!(shown["gone"], json!({"recording": "expired", "transcript": null}));
    assert_eq!(shown["transcript"].as_array().map(Vec::len), Some(1));
    sweep(2).await;
    let shown = server.native("GET", &call, &Value::Null).await.json();
    assert_eq!((&shown["gone"]["transcript"], &shown["transcript"]), (&json!("expired"), &json!([])));
    sweep(31).await;
    let gone = server.native("GET", &call, &Value::Null).await;
    assert_eq!((gone.status, gone.code().as_str()), (410, "expired"));
}

#[tokio::test]
async fn a_link_needs_no_key_and_holds_until_its_end() {
    let (server, id, _callee) = ended_call().await;
    let path = format!("/v1/calls/{id}/recording");
    let ask = async |body: &Value| server.native("POST", &format!("{path}/link"), body).await;
    for seconds in [json!(0), json!(3601), json!("9")] {
        assert_eq!(ask(&json!({"expires_in_s": seconds})).await.json()["error"]["field"], "expires_in_s");
    }
    let made = ask(&json!({"expires_in_s": 60})).await;
    assert_eq!((made.status, made.json()["expires_at"].as_str()), (201, Some("2026-11-21T02:30:27.000Z")));
    let url = made.json()["url"].as_str().expect("a link").to_owned();
    let target = url.strip_prefix("http://api.test").expect("on the host that was asked").to_owned();
    let fetch = async |target: &str, headers: &str| server.send("GET", target, headers, b"").await;
    let whole = fetch(&target, "").await;
    assert_eq!((whole.status, &whole.body[..4]), (200, &b"RIFF"[..]));
    let part = fetch(&target, "Range: bytes=0-43\r\n").await;
    assert_eq!((part.status, part.body.len()), (206, 44));
    // Signed for this path and this end alone, and for nothing but the recording.
    let (_, query) = target.split_once('?').expect("a query");
    let later = query.replace("until=", "until=9");
    let forged = query.replace("signature=", "signature=0");
    let other = query.replace("key=admin", "key=otheradmin");
    for target in [
        format!("{path}?{later}"),
        format!("{path}?{forged}"),
        format!("{path}?{other}"),
        format!("/v1/calls/{}/recording?{query}", "0".repeat(32)),
        format!("/v1/calls/{id}?{query}"),
        format!("/v1/calls/{id}/events?{query}"),
    ] {
        assert_eq!(fetch(&target, "").await.status, 401, "{target}");
    }
    server.pass(60_999);
    assert_eq!(fetch(&target, "").await.status, 401, "its time is over");
    // A key that is taken away takes its links away.
    let made = server.native_as("onlycallsread", "POST", &format!("{path}/link"), b"{}").await;
    let url = made.json()["url"].as_str().expect("a link").to_owned();
    let target = url.strip_prefix("http://api.test").expect("on the host that was asked");
    assert_eq!(fetch(target, "").await.status, 200);
    assert_eq!(server.native("DELETE", "/v1/keys/onlycallsread", &Value::Null).await.status, 204);
    assert_eq!(fetch(target, "").await.status, 401);
}

/// What stands behind the host of a link.
fn target(url: &Value) -> String {
    url.as_str().and_then(|url| url.strip_prefix("http://api.test")).expect("on the host that was asked").to_owned()
}

/// Where each dialect says that the recording of the one call is: no key is needed there.
async fn doors(server: &Server, id: &str) -> [(&'static str, String); 3] {
    let native = server.native("POST", &format!("/v1/calls/{id}/recording/link"), &Value::Null).await.json();
    tencent::numbered(server).await;
    let now = NOW.millis() / 1000;
    let window = json!({"StartTimeStamp": now - 60, "EndTimeStamp": now + 60, "PageSize": 10, "PageNumber": 0});
    let records = tencent::request("DescribeTelCdr", window).ok(server).await;
    let calls = happyrobot::get(server, "calls").await;
    let theirs = calls["calls"][0]["id"].as_str();
    let theirs = theirs.unwrap_or_else(|| panic!("one call in {calls}"));
    let happyrobot = happyrobot::get(server, &format!("calls/{theirs}/recording")).await;
    [
        ("native", target(&native["url"])),
        ("tencent", target(&records["TelCdrs"][0]["RecordURL"])),
        ("happyrobot", target(&happyrobot["url"])),
    ]
}

/// Sealed or not, here or in the store, each door gives the same bytes, whole and in parts.
#[tokio::test]
async fn every_door_opens_a_sealed_recording() {
    let directory = tempfile::tempdir().expect("a directory");
    let keys = keys();
    let (server, id, _callee) = ended_call_of(|builder| {
        let mut builder = builder.data(directory.path());
        builder.keys = keys.clone();
        builder
    })
    .await;
    let file = directory.path().join(format!("recordings/{id}.wav"));
    let on_disk = std::fs::read(&file).expect("there");
    assert!(!on_disk.windows(4).any(|at| at == b"RIFF" || at == b"WAVE"));
    doors_give(&server, &id, &plain(&file, &keys)).await;
}

#[tokio::test]
async fn every_door_opens_a_recording_in_the_store() {
    let (store, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let keys = keys();
    let (server, id, _callee) = ended_call_of(|builder| {
        let mut builder = builder.data(directory.path()).remote(&store);
        builder.keys = keys.clone();
        builder
    })
    .await;
    let object = format!("calls/{id}.wav");
    store.wait_for("the recording", |store| store.object(&object).is_some()).await;
    let copy = directory.path().join("copy.wav");
    std::fs::write(&copy, store.object(&object).expect("there")).expect("written");
    doors_give(&server, &id, &plain(&copy, &keys)).await;
    store.fail(S3Fault::Away);
    let refused = server.native("GET", &format!("/v1/calls/{id}/recording"), &Value::Null).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "storage"));
}

fn keys() -> Keyring {
    Keyring::new("k1", &BTreeMap::from([(String::from("k1"), Pii::new("5a".repeat(32)))])).expect("a key")
}

fn plain(file: &Path, keys: &Keyring) -> Vec<u8> {
    let mut plain = Vec::new();
    open_file(file, keys).expect("the key").content.read_to_end(&mut plain).expect("whole");
    assert_eq!((&plain[..4], plain.len() % 4), (&b"RIFF"[..], 0));
    plain
}

async fn doors_give(server: &Server, id: &str, plain: &[u8]) {
    let last = plain.len() - 1;
    let doors = doors(server, id).await;
    for (door, target) in &doors {
        let whole = server.send("GET", target, "", b"").await;
        assert_eq!((whole.status, whole.header("content-type")), (200, Some("audio/wav")), "{door}");
        assert_eq!(whole.body, plain, "{door}");
        for (range, part) in [
            (String::from("bytes=0-43"), &plain[..44]),
            (String::from("bytes=3-50"), &plain[3..51]),
            (String::from("bytes=-7"), &plain[last - 6..]),
            (format!("bytes=44-{}", last + 9), &plain[44..]),
        ] {
            let got = server.send("GET", target, &format!("Range: {range}\r\n"), b"").await;
            assert_eq!((got.status, got.body.as_slice()), (206, part), "{door} {range}");
        }
        let beyond = server.send("GET", target, &format!("Range: bytes={}-\r\n", last + 1), b"").await;
        assert_eq!(beyond.status, 416, "{door}");
        // Nothing of a link may be changed, and it opens one door alone.
        let (path, query) = target.split_once('?').expect("a query");
        let (other, _) = doors.iter().find(|(other, _)| other != door).expect("another").1.split_once('?').expect("");
        for forged in [
            format!("{path}?{}", query.replace("until=", "until=1")),
            format!("{path}?{}", query.replace("signature=", "signature=0")),
            format!("{path}?{}", query.replace("key=admin", "key=onlycallsread")),
            format!("{other}?{query}"),
        ] {
            assert_eq!(server.send("GET", &forged, "", b"").await.status, 401, "{door}: {forged}");
        }
    }
    server.pass(24 * 3600 * 1000 + 1);
    for (door, target) in &doors {
        let late = server.send("GET", target, "", b"").await;
        assert_eq!(late.status, 401, "{door}: {}", late.json());
    }
}

/// All that is held about a number, and nothing about any other; a key needs both scopes.
#[tokio::test]
async fn all_that_is_held_about_a_number_is_one_document() {
    let (server, id, _callee) = ended_call().await;
    let consent = json!({"scope": "marketing", "source": "a form"});
    assert_eq!(server.native("PUT", "/v1/consents/+15550123", &consent).await.status, 200);
    assert_eq!(server.native("PUT", "/v1/denied/+15550123", &json!({"reason": "asked"})).await.status, 200);
    assert_eq!(server.native("PUT", "/v1/denied/+15550199", &json!({"reason": "another"})).await.status, 200);
    let order = json!({"number": "+1 555-0123"});
    let answer = server.native("POST", "/v1/exports", &order).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let export: Value = serde_json::from_str(&unchunked(&answer.body)).expect("one document");
    assert_eq!((&export["number"], &export["denied"]["reason"]), (&json!("+15550123"), &json!("asked")), "{export}");
    assert_eq!(export["consents"][0]["source"], "a form");
    let calls = export["calls"].as_array().expect("calls");
    let shown = server.native("GET", &format!("/v1/calls/{id}"), &Value::Null).await.json();
    assert_eq!((calls.len(), &calls[0]["transcript"]), (1, &shown["transcript"]), "{export}");
    assert_eq!(calls[0]["timeline"], shown["timeline"]);
    assert!(calls[0]["verdicts"].as_array().is_some_and(|verdicts| !verdicts.is_empty()), "{export}");
    assert!(!export.to_string().contains("5550199"));
    let nothing = server.native("POST", "/v1/exports", &json!({"number": "+15550188"})).await;
    let nothing: Value = serde_json::from_str(&unchunked(&nothing.body)).expect("one document");
    assert_eq!((&nothing["calls"], &nothing["denied"]), (&json!([]), &Value::Null));
    let theirs = server.native_as(OTHER_KEY, "POST", "/v1/exports", order.to_string().as_bytes()).await;
    let theirs: Value = serde_json::from_str(&unchunked(&theirs.body)).expect("one document");
    assert_eq!((&theirs["calls"], &theirs["consents"]), (&json!([]), &json!([])), "another account's");
    let half = server.native_as("onlycallsread", "POST", "/v1/exports", order.to_string().as_bytes()).await;
    assert_eq!((half.status, half.code().as_str()), (403, "forbidden"));
    let refused = server.native("POST", "/v1/exports", &json!({"number": "x"})).await;
    assert_eq!((refused.status, refused.json()["error"]["field"].as_str()), (400, Some("number")));
}
