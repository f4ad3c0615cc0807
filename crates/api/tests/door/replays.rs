//! The same signed bytes again, also at the same time: one call, however often (BARS S31).

use crate::alibaba_notify::encoded;
use crate::support::{DATE, NOW, SECRET, Server, Signed, server};
use crate::tencent::{call, numbered};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_testkit::{AGENT, CALLER, TRUNK};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use std::collections::BTreeSet;

/// How often each request is sent, and how many of them at the same time: as many as one operation is answered in a second.
const TIMES: usize = 1000;
const TOGETHER: usize = 20;

fn by_form(form: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

fn coded(text: &str) -> String {
    text.bytes().map(encoded).collect()
}

/// A call signed as Alibaba's older SDKs do.
fn alibaba_v1() -> Vec<u8> {
    let mut parameters = vec![
        ("AIAgentId", AGENT),
        ("AccessKeyId", "admin"),
        ("Action", "StartAIAgentOutboundCall"),
        ("CalledNumber", "+15550123"),
        ("CallerNumber", CALLER),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", "replayed"),
        ("SignatureVersion", "1.0"),
        ("Timestamp", DATE),
        ("Version", "2020-11-09"),
    ];
    parameters.sort_unstable();
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", coded(value))).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{SECRET}&").as_bytes()).expect("any length");
    mac.update(format!("POST&%2F&{}", coded(&pairs.join("&"))).as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    by_form(&format!("{}&Signature={}", pairs.join("&"), coded(&signature)))
}

/// A call signed as Tencent's older SDKs do.
fn tencent_older() -> Vec<u8> {
    let seconds = (NOW.millis() / 1000).to_string();
    let mut parameters = vec![
        ("AIAgentId", "15"),
        ("Action", "CreateAIAgentCall"),
        ("Callee", "0015550123"),
        ("Nonce", "7"),
        ("SdkAppId", "1400000000"),
        ("SecretId", "admin"),
        ("SignatureMethod", "HmacSHA1"),
        ("Timestamp", &seconds),
        ("Version", "2020-02-10"),
    ];
    parameters.sort_unstable();
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let text = format!("POSTapi.test/?{}", pairs.join("&"));
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    by_form(&format!("{}&Signature={}", pairs.join("&"), coded(&signature)))
}

/// Sends the same bytes again and again; the answers.
async fn replayed(server: &Server, bytes: &[u8]) -> Vec<Value> {
    let mut answers = Vec::new();
    for _ in 0..TIMES / TOGETHER {
        let asked = (0..TOGETHER).map(|_| server.raw(bytes));
        let answered = futures_util::future::join_all(asked).await;
        answers.extend(answered.iter().map(crate::support::Answer::json));
        server.pass(1000);
    }
    answers
}

async fn calls(server: &Server) -> usize {
    server.native("GET", "/v1/calls", &Value::Null).await.json()["calls"].as_array().expect("a list").len()
}

#[tokio::test]
async fn signed_bytes_of_alibabas_make_one_call() {
    let query = format!("AIAgentId={AGENT}&CalledNumber={}&CallerNumber={}", coded("+15550123"), coded(CALLER));
    for (scheme, bytes) in
        [("V3", Signed::new("StartAIAgentOutboundCall", query, "replayed").bytes()), ("V1", alibaba_v1())]
    {
        let server = server().await;
        let answers = replayed(&server, &bytes).await;
        let made = answers.iter().filter(|answer| answer["InstanceId"].is_string()).count();
        let used = answers.iter().filter(|answer| answer["Code"] == "SignatureNonceUsed").count();
        assert_eq!((made, used), (1, TIMES - 1), "{scheme}: {}", answers[0]);
        assert_eq!(calls(&server).await, 1, "{scheme}");
    }
}

#[tokio::test]
async fn signed_bytes_of_tencents_make_one_call() {
    for (scheme, bytes) in [("TC3", call(json!({})).bytes()), ("HmacSHA1", tencent_older())] {
        let server = server().await;
        numbered(&server).await;
        let answers = replayed(&server, &bytes).await;
        let told: BTreeSet<_> = answers.iter().map(|answer| answer["Response"]["SessionId"].as_str()).collect();
        assert!(told.len() == 1 && !told.contains(&None), "{scheme}: {told:?}, such as {}", answers[0]);
        assert_eq!(calls(&server).await, 1, "{scheme}");
    }
}

/// A call that waited when it was asked for and has its place by now.
#[tokio::test]
async fn a_key_gets_the_same_answer_again() {
    let server = server().await;
    let number = json!({"trunk": TRUNK, "max_calls": 1});
    let put = server.native("PUT", &format!("/v1/numbers/{}", coded(CALLER)), &number).await;
    assert_eq!(put.status, 200, "{}", put.json());
    let asked = json!({"agent": AGENT, "to": "+15550123", "from": CALLER});
    let first = server.native("POST", "/v1/calls", &asked).await.json();
    let mut patient = asked;
    patient["wait_s"] = json!(600);
    let ask = async || {
        let headers = format!(
            "Authorization: Bearer admin.{SECRET}\r\nContent-Type: application/json\r\nIdempotency-Key: once\r\n"
        );
        server.send("POST", "/v1/calls", &headers, patient.to_string().as_bytes()).await
    };
    let answer = ask().await;
    assert_eq!((answer.status, answer.json()["waiting_for"].as_str()), (202, Some("caller_busy")));
    let path = format!("/v1/calls/{}/hangup", answer.json()["id"].as_str().expect("an id"));
    // It is over by itself where the first one was quick.
    assert!(matches!(server.native("POST", &path, &Value::Null).await.status, 202 | 409));
    let again = ask().await;
    assert_eq!((again.status, again.json()), (answer.status, answer.json()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_ne!(again.json()["id"], first["id"]);
}
