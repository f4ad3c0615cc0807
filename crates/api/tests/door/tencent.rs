//! Tencent's dialect over a real socket: the listed attacks on it, its rate, its envelope, and what its users read back.

use crate::support::{
    Answer, NOW, OTHER_KEY, OTHER_NUMBER, SECRET, Server, key_with, server, server_over, server_that_meets, server_with,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, HangupCause, Scope};
use callwright_testkit::{AGENT, Callee, NodeBuilder, PATIENCE, Plan, Reply, ScriptedBrain};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const START: &str = "CreateAIAgentCall";
const APPLICATION: i64 = 1_400_000_000;
const CALLEE: &str = "+15550123";
/// Last words that take their time.
const FAREWELL: &str = "Goodbye, and thank you very much for the long and pleasant talk that we have had today.";
/// Pairs of requests whose times are compared, and how far their medians may be apart.
const TIMED: usize = 300;
const APART: f64 = 0.15;
/// Rounds of them. What else a machine does may come between the two in one round; a difference of our own shows in each.
const ROUNDS: usize = 5;

/// A request signed the way of the vendor's newer SDKs. What is signed and what is sent can be told apart.
#[derive(Clone)]
pub(crate) struct Tc3 {
    pub(crate) key: String,
    pub(crate) secret: &'static str,
    pub(crate) action: &'static str,
    pub(crate) sent_action: Option<&'static str>,
    pub(crate) body: Value,
    pub(crate) sent_body: Option<Vec<u8>>,
    pub(crate) seconds: i64,
    pub(crate) date: &'static str,
}

pub(crate) fn request(action: &'static str, parameters: Value) -> Tc3 {
    let mut body = json!({ "SdkAppId": APPLICATION });
    if let (Some(all), Value::Object(more)) = (body.as_object_mut(), parameters) {
        all.extend(more);
    }
    Tc3 {
        key: String::from("admin"),
        secret: SECRET,
        action,
        sent_action: None,
        body,
        sent_body: None,
        seconds: NOW.millis() / 1000,
        date: "2026-11-21",
    }
}

impl Tc3 {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let hmac = |key: &[u8], text: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
            mac.update(text);
            mac.finalize().into_bytes()
        };
        let signed = self.body.to_string().into_bytes();
        let body = self.sent_body.as_ref().unwrap_or(&signed);
        let canonical = format!(
            "POST\n/\n\ncontent-type:application/json\nhost:api.test\n\ncontent-type;host\n{}",
            hex::encode(Sha256::digest(&signed))
        );
        let scope = format!("{}/ccc/tc3_request", self.date);
        let hash = hex::encode(Sha256::digest(canonical));
        let text = format!("TC3-HMAC-SHA256\n{}\n{scope}\n{hash}", self.seconds);
        let key = hmac(format!("TC3{}", self.secret).as_bytes(), self.date.as_bytes());
        let key = hmac(&hmac(&key, b"ccc"), b"tc3_request");
        let signature = hex::encode(hmac(&key, text.as_bytes()));
        let head = format!(
            "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\nX-TC-Action: {}\r\nX-TC-Version: 2020-02-10\r\nX-TC-Timestamp: {}\r\n\
             Authorization: TC3-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=content-type;host, \
             Signature={signature}\r\n\r\n",
            body.len(),
            self.sent_action.unwrap_or(self.action),
            self.seconds,
            self.key,
        );
        [head.as_bytes(), body].concat()
    }

    pub(crate) async fn send(&self, server: &Server) -> Answer {
        let answer = server.raw(&self.bytes()).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let response = &answer.json()["Response"];
        assert_eq!(response["RequestId"].as_str().map(str::len), Some(36), "{response}");
        answer
    }

    pub(crate) async fn code(&self, server: &Server) -> String {
        let answer = self.send(server).await.json();
        answer["Response"]["Error"]["Code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn ok(&self, server: &Server) -> Value {
        let mut answer = self.send(server).await.json();
        assert!(answer["Response"].get("Error").is_none(), "{answer}");
        answer["Response"].take()
    }
}

/// Gives the account and its agent the numbers that the requests here have.
pub(crate) async fn numbered(server: &Server) {
    let account = server.node.account();
    for (kind, id, names) in [("application", APPLICATION.to_string(), account.as_str()), ("agent", "15".into(), AGENT)]
    {
        let body = json!({"dialect": "tencent", "kind": kind, "id": id, "names": names});
        let answer = server.native("PUT", "/v1/ids", &body).await;
        assert_eq!(answer.status, 200, "{:?}", answer.json());
    }
}

pub(crate) fn call(more: Value) -> Tc3 {
    let mut parameters = json!({"AIAgentId": 15, "Callee": CALLEE});
    if let (Some(all), Value::Object(more)) = (parameters.as_object_mut(), more) {
        all.extend(more);
    }
    request(START, parameters)
}

/// Tries a listed case; whether there is such a one.
pub(crate) async fn case(name: &str, server: &Server) -> bool {
    numbered(server).await;
    let signature_failure = "AuthFailure.SignatureFailure";
    let now = NOW.millis() / 1000;
    match name {
        "tencent-exact-replay" => {
            let bytes = call(json!({"MaxRingTimeoutSecond": 11})).bytes();
            let session = |answer: &Answer| answer.json()["Response"]["SessionId"].clone();
            let (first, second) = (server.raw(&bytes).await, server.raw(&bytes).await);
            assert!(session(&first).is_string(), "{:?}", first.json());
            assert_eq!(session(&first), session(&second));
        }
        "tencent-timestamp-301s-old" => {
            let old = Tc3 { seconds: now - 301, ..call(json!({})) };
            assert_eq!(old.code(server).await, "AuthFailure.SignatureExpire");
        }
        "tencent-timestamp-299s-old" => {
            Tc3 { seconds: now - 299, ..call(json!({"MaxRingTimeoutSecond": 12})) }.ok(server).await;
        }
        "tencent-date-scope-mismatch" => {
            let other = Tc3 { date: "2026-11-20", ..call(json!({})) };
            assert_eq!(other.code(server).await, signature_failure);
        }
        "tencent-unsigned-action-change" => {
            let reader = key_with(Scope::CallsRead);
            let numbers = Tc3 { sent_action: Some("DescribeNumbers"), ..request("DescribeTelSession", json!({})) };
            assert!(numbers.send(server).await.json()["Response"]["TotalCount"].is_number());
            let raised = Tc3 { sent_action: Some(START), key: reader, ..call(json!({})) };
            assert_eq!(raised.code(server).await, "FailedOperation.PermissionDenied");
        }
        "tencent-body-one-byte" => {
            let good = call(json!({}));
            let changed = good.body.to_string().replace("15550123", "15550124").into_bytes();
            assert_eq!(Tc3 { sent_body: Some(changed), ..good }.code(server).await, signature_failure);
        }
        "tencent-unknown-secret-id" => an_unknown_key_takes_as_long_as_a_bad_signature(server).await,
        "tencent-authorization-garbage" => {
            let head = "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nX-TC-Action: CreateAIAgentCall\r\n\
                Content-Length: 2\r\nAuthorization: TC3-HMAC-SHA256 Credential=,SignedHeaders=,Signature=\r\n\r\n{}";
            let answer = server.raw(head.as_bytes()).await;
            let code = answer.json()["Response"]["Error"]["Code"].clone();
            assert_eq!((answer.status, code), (200, json!("AuthFailure.InvalidAuthorization")));
        }
        "tencent-foreign-agent-id" => {
            let theirs = server.native_as(OTHER_KEY, "GET", "/v1/ids", b"").await.json();
            let ids = theirs["ids"].as_array().expect("ids").clone();
            let agent = ids.iter().find(|id| (&id["dialect"], &id["kind"]) == (&json!("tencent"), &json!("agent")));
            let number: i64 = agent.expect("theirs")["id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
            let answer = |number: i64| call(json!({ "AIAgentId": number }));
            let bare = |answer: Value| answer["Response"]["Error"].clone();
            let foreign = bare(answer(number).send(server).await.json());
            assert_eq!(foreign["Code"], "InvalidParameterValue");
            assert_eq!(foreign, bare(answer(987_654).send(server).await.json()));
        }
        "tencent-foreign-caller-number" => {
            let foreign = call(json!({"Callers": [OTHER_NUMBER]}));
            assert_eq!(foreign.code(server).await, "FailedOperation.NoCallOutNumber");
        }
        _ => return false,
    }
    // The next case has a second of its own.
    server.pass(0);
    true
}

async fn an_unknown_key_takes_as_long_as_a_bad_signature(server: &Server) {
    let bad = Tc3 { secret: "wrong", ..call(json!({})) };
    let unknown = Tc3 { key: String::from("nobody"), ..call(json!({})) };
    assert_eq!(bad.code(server).await, "AuthFailure.SignatureFailure");
    assert_eq!(unknown.code(server).await, "AuthFailure.SecretIdNotFound");
    let mut apart = Vec::new();
    for _ in 0..ROUNDS {
        let (known, foreign) = medians(server, &bad, &unknown).await;
        if (known / foreign - 1.0).abs() < APART {
            return;
        }
        apart.push((known, foreign));
    }
    panic!("{apart:?}");
}

/// How long two requests take, in seconds, asked in turns.
async fn medians(server: &Server, first: &Tc3, second: &Tc3) -> (f64, f64) {
    let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
    for _ in 0..TIMED {
        for (tried, times) in [(first, &mut firsts), (second, &mut seconds)] {
            let bytes = tried.bytes();
            let began = Instant::now();
            server.raw(&bytes).await;
            times.push(began.elapsed());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    (median(firsts), median(seconds))
}

#[tokio::test]
async fn twenty_requests_a_second_of_each_operation_and_no_more() {
    let server = server().await;
    numbered(&server).await;
    let numbers = request("DescribeNumbers", json!({}));
    for _ in 0..2 {
        for _ in 0..20 {
            numbers.ok(&server).await;
        }
        assert_eq!(numbers.code(&server).await, "RequestLimitExceeded");
        request("DescribeAIAgentInfoList", json!({"PageSize": 1, "PageNumber": 0})).ok(&server).await;
        server.pass(1000);
    }
}

#[tokio::test]
async fn what_is_refused_before_any_rule() {
    let server = server().await;
    numbered(&server).await;
    let strange = |parameters: Value| request(START, parameters);
    for (tried, code) in [
        (call(json!({"SdkAppId": 7})), "InvalidParameterValue.InstanceNotExist"),
        (call(json!({"SdkAppId": 9_223_372_036_854_775_808_u64})), "InvalidParameter"),
        (call(json!({"Nonsense": 1})), "UnknownParameter"),
        (strange(json!({"AIAgentId": 15})), "MissingParameter"),
        (call(json!({"Callee": "12\r\nVia: x"})), "InvalidParameterValue"),
        (call(json!({"Variables": [{"Key": "k"}]})), "MissingParameter"),
        (Tc3 { sent_action: Some("PlaySoundCall"), ..call(json!({})) }, "UnsupportedOperation"),
        (Tc3 { sent_action: Some("MakeTea"), ..call(json!({})) }, "InvalidAction"),
        (Tc3 { key: key_with(Scope::ConfigRead), ..call(json!({})) }, "FailedOperation.PermissionDenied"),
        (
            Tc3 { key: key_with(Scope::CallsWrite), ..request("DescribeNumbers", json!({})) },
            "AuthFailure.UnauthorizedOperation",
        ),
        (request("DescribeTelSession", json!({"SessionId": "x"})), "FailedOperation.SessionNotExists"),
        (request("CreateAICall", json!({"Callee": CALLEE, "LLMType": "openai"})), "MissingParameter"),
    ] {
        assert_eq!(tried.code(&server).await, code, "{}", tried.body);
    }
}

#[tokio::test]
async fn a_call_is_made_read_and_told_to_end() {
    let server = server().await;
    numbered(&server).await;
    let started = call(json!({"AIAgentId": 15, "Variables": [{"Key": "name", "Value": "Li"}]})).ok(&server).await;
    let session = started["SessionId"].as_str().expect("an id").to_owned();
    let view = server.native("GET", &format!("/v1/calls/{session}"), &Value::Null).await.json();
    assert_eq!(view["agent"], json!(AGENT), "{view}");
    let dashed =
        format!("{}-{}-{}-{}-{}", &session[..8], &session[8..12], &session[12..16], &session[16..20], &session[20..]);
    let one = || json!({ "SessionId": dashed.to_uppercase() });
    let shown = request("DescribeTelSession", one()).ok(&server).await["Session"].clone();
    assert_eq!((&shown["SessionID"], &shown["SessionStatus"]), (&json!(session), &json!("ringing")));
    assert_eq!((&shown["Callee"], &shown["AcceptTimestamp"]), (&json!("0015550123"), &json!(0)));
    let live = request("DescribePSTNActiveSessionList", json!({"Offset": 0, "Limit": 25})).ok(&server).await;
    assert_eq!((&live["Total"], &live["Sessions"][0]["AcceptTimestamp"]), (&json!(1), &json!("0")));
    let said = json!({"SessionId": session, "Command": "ServerPushText", "ServerPushText": {"Text": "Hello"}});
    // Before the answer nothing can be said.
    let early = request("ControlAIConversation", said).code(&server).await;
    assert!(["", "FailedOperation.SessionNotInControlState"].contains(&early.as_str()), "{early}");
    request("HangUpCall", one()).ok(&server).await;
    let now = NOW.millis() / 1000;
    let window =
        |size: i64| json!({"StartTimeStamp": now - 60, "EndTimeStamp": now + 60, "PageSize": size, "PageNumber": 0});
    let records = request("DescribeTelCdr", window(10)).ok(&server).await;
    assert_eq!(records["TelCdrs"], records["TelCdrList"]);
    assert_eq!(request("DescribeTelCdr", window(101)).code(&server).await, "InvalidParameterValue");
    let agents = request("DescribeAIAgentInfoList", json!({"PageSize": "10", "PageNumber": 0})).ok(&server).await;
    assert_eq!((&agents["TotalCount"], &agents["AIAgentInfoList"][0]["AIAgentId"]), (&json!(1), &json!(15)));
}

/// A request with the newer signature may be ten times as large as others, as long as there is room for it.
#[tokio::test]
async fn large_bodies_are_read_where_the_signature_allows_them() {
    let small = Limits { body: 64 * 1024, large: 1, ..Limits::default() };
    let server = server_with(small, Rates::default()).await;
    numbered(&server).await;
    let padded = |size: usize| call(json!({"Variables": [{"Key": "k", "Value": "x".repeat(size)}]}));
    assert_eq!(padded(200_000).code(&server).await, "InvalidParameterValue", "it was read");
    // The place is given back.
    assert_eq!(padded(200_000).code(&server).await, "InvalidParameterValue");
    let head = |length: usize, signature: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nX-TC-Action: {START}\r\n\
             Content-Length: {length}\r\n{signature}\r\n"
        )
    };
    let newer = signed_by("admin");
    let newer = newer.as_str();
    let code = |answer: Answer| answer.json()["Response"]["Error"]["Code"].as_str().expect("a code").to_owned();
    for (length, signature) in [((10 << 20) + 1, newer), ((64 << 10) + 1, "")] {
        let bytes = [head(length, signature).into_bytes(), vec![b' '; length]].concat();
        assert_eq!(code(server.raw(&bytes).await), "RequestSizeLimitExceeded", "{length}");
    }
    // Nothing but the beginning of its body says whose it is.
    let form = format!("Action={START}&Nonce=1&SecretId=admin&Large={}", "x".repeat(64 << 10)).into_bytes();
    let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = server.send("POST", "/", kind, &form).await;
    assert_eq!((answer.status, code(answer)), (200, String::from("RequestSizeLimitExceeded")));
    let full = server_with(Limits { large: 0, ..small }, Rates::default()).await;
    numbered(&full).await;
    assert_eq!(code(full.raw(head(200_000, newer).as_bytes()).await), "RequestLimitExceeded");
    assert_eq!(padded(20_000).code(&full).await, "InvalidParameterValue", "what is not large needs no place");
}

/// A signature of this key, as far as its form goes.
fn signed_by(key: &str) -> String {
    format!(
        "Authorization: TC3-HMAC-SHA256 Credential={key}/2026-11-21/ccc/tc3_request, \
         SignedHeaders=content-type;host, Signature=00\r\n"
    )
}

/// What is read of a connection whose request has no body yet.
async fn told(stream: &mut TcpStream) -> String {
    let (mut said, mut bytes) = (String::new(), vec![0; 4096]);
    while !said.starts_with("HTTP/1.1 100") && !said.contains("RequestId") {
        let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("readable");
        assert!(length > 0, "the server has gone: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    said
}

/// Whoever sends slowly holds a place for as long as that takes.
#[tokio::test]
async fn places_for_large_bodies_are_for_known_keys_and_nobody_has_them_all() {
    let limits = Limits { body: 64 * 1024, large: 2, ..Limits::default() };
    let server = server_with(limits, Rates::default()).await;
    let begin = async |signature: &str| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nX-TC-Action: {START}\r\n\
             Expect: 100-continue\r\nContent-Length: 200000\r\n{signature}\r\n"
        );
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.expect("sent");
        let said = told(&mut stream).await;
        (stream, said)
    };
    // The body is not waited for.
    for stranger in [signed_by("nobody"), String::from("Authorization: TC3-HMAC-SHA256 x\r\n")] {
        let (_stream, said) = begin(&stranger).await;
        assert!(said.contains("AuthFailure.SecretIdNotFound"), "{said}");
    }
    let (held, said) = begin(&signed_by("admin")).await;
    assert!(said.starts_with("HTTP/1.1 100"), "{said}");
    for another in ["admin", OTHER_KEY] {
        let (_stream, said) = begin(&signed_by(another)).await;
        assert!(said.contains("RequestLimitExceeded") && said.contains("large bodies"), "{another}: {said}");
        assert!(!said.contains("a second"), "{said}");
    }
    let (_stream, said) = begin(&format!("{}X-TC-Language: zh-CN\r\n", signed_by("admin"))).await;
    assert!(said.contains("RequestLimitExceeded") && said.contains("较大请求过多"), "{said}");
    assert!(!said.contains("频率"), "it is not about how often: {said}");
    drop(held);
    let again = async {
        loop {
            let (stream, said) = begin(&signed_by("admin")).await;
            if said.starts_with("HTTP/1.1 100") {
                return stream;
            }
        }
    };
    timeout(PATIENCE, again).await.expect("the place is given back");
}

#[tokio::test]
async fn a_file_is_taken_of_known_keys_alone() {
    let server = server().await;
    for (headers, status) in [("", 401), ("Authorization: Bearer admin.wrong\r\n", 401)] {
        let head = format!(
            "POST /v1/denied HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{headers}Content-Length: 200000\r\n\r\n"
        );
        assert_eq!(server.raw(head.as_bytes()).await.status, status, "{headers}");
    }
}

/// What a request lacks is named in the words of its own kind of signature.
#[tokio::test]
async fn what_a_request_lacks_is_named_as_its_kind_of_signature_has_it() {
    let server = server().await;
    let newer = "X-TC-Action: DescribeNumbers\r\nX-TC-Version: 2020-02-10\r\n";
    let target = "/?Action=DescribeNumbers&Version=2020-02-10";
    for (method, target, headers, lacks) in [
        ("GET", "/", newer, "Authorization"),
        ("POST", "/", newer, "Authorization"),
        ("POST", target, "", "SecretId"),
        ("GET", target, "", "SecretId"),
        ("GET", "/?SecretId=admin&Action=DescribeNumbers", newer, "Signature"),
    ] {
        let error = server.send(method, target, headers, b"").await.json()["Response"]["Error"].clone();
        assert_eq!(error["Code"], "MissingParameter", "{method} {target}");
        let said = error["Message"].as_str().unwrap_or_default();
        assert!(said.contains(&format!("`{lacks}`")), "{method} {target} {headers}: {said}");
    }
}

/// An instance in a browser has no numbers.
#[tokio::test]
async fn what_is_met_in_a_browser_is_no_telephone_call() {
    let server = server_that_meets().await;
    numbered(&server).await;
    let met = server.native("POST", "/v1/browser-calls", &json!({"agent": AGENT})).await.json();
    let id = met["id"].as_str().unwrap_or_else(|| panic!("{met}"));
    let active = request("DescribePSTNActiveSessionList", json!({"Offset": 0, "Limit": 10})).ok(&server).await;
    assert_eq!(active["Total"], 0);
    assert_eq!(server.native("POST", &format!("/v1/calls/{id}/hangup"), &json!({})).await.status, 202);
    server.node.ended(id.parse().expect("ours")).await;
    let now = NOW.millis() / 1000;
    for more in [json!({}), json!({"SessionIds": [id]})] {
        let mut asked =
            json!({"StartTimeStamp": now - 86_400, "EndTimeStamp": now + 86_400, "PageSize": 10, "PageNumber": 0});
        asked.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let records = request("DescribeTelCdr", asked).ok(&server).await;
        assert_eq!((&records["TotalCount"], &records["TelCdrs"]), (&json!(0), &json!([])), "{more}");
    }
}

#[tokio::test]
async fn messages_are_in_the_language_that_is_asked_for() {
    let server = server().await;
    numbered(&server).await;
    let message = |bytes: Vec<u8>| {
        let server = &server;
        async move {
            let error = server.raw(&bytes).await.json()["Response"]["Error"].take();
            (error["Code"].as_str().expect("a code").to_owned(), error["Message"].as_str().expect("words").to_owned())
        }
    };
    let spoken = |language: &str, bytes: Vec<u8>| {
        let head = format!("POST / HTTP/1.1\r\nX-TC-Language: {language}\r\n");
        [head.as_bytes(), bytes.strip_prefix(b"POST / HTTP/1.1\r\n").expect("a line")].concat()
    };
    let lacking = || request(START, json!({"AIAgentId": 15})).bytes();
    let missing = |text: &str| (String::from("MissingParameter"), String::from(text));
    let english = missing("The request is missing a required parameter `Callee`.");
    assert_eq!(message(lacking()).await, english);
    assert_eq!(message(spoken("en-US", lacking())).await, english);
    assert_eq!(message(spoken("zh-CN", lacking())).await, missing("缺少必要的参数：`Callee`。"));
    let older = "GET /?Action=DescribeNumbers&Version=2020-02-10&Language=zh-CN HTTP/1.1\r\nHost: api.test\r\n\
                 Connection: close\r\n\r\n";
    assert_eq!(message(older.as_bytes().to_vec()).await, missing("缺少必要的参数：`SecretId`。"));
}

#[tokio::test]
async fn what_is_pushed_is_heard_as_it_says_and_an_invoked_model_knows_why_it_is_asked() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("", [Reply::say("Gladly.")]);
    let server = server_over(NodeBuilder::to(&callee).brain(&brain), Limits::default(), Rates::default()).await;
    numbered(&server).await;
    let session = call(json!({})).ok(&server).await["SessionId"].as_str().expect("an id").to_owned();
    let id = session.parse().expect("ours");
    let mut line = callee.line().await;
    let said = |text: &'static str| move |event: &CallEvent| matches!(event, CallEvent::Said { text: said, .. } if said.expose() == text);
    server.node.wait_for(id, "the greeting", said("Hello there.")).await;
    let control = |name: &str, given: Value| {
        request("ControlAIConversation", json!({"SessionId": session, "Command": name, name: given}))
    };
    for (given, code) in [
        (json!({"Audio": "no base64"}), "InvalidParameterValue"),
        (json!({"Audio": "UklGRgAAAABXQVZF"}), "InvalidParameterValue"),
        (json!({"Text": "x", "DropMode": 2}), "InvalidParameterValue"),
        (json!({"Audio": ""}), "MissingParameter"),
    ] {
        assert_eq!(control("ServerPushText", given.clone()).code(&server).await, code, "{given}");
    }
    let silent = line.hears_silence(Duration::from_millis(60)).await;
    // A second of sound, loud enough to be heard; a text beside it is not read.
    let samples = (0..16_000).map(|at| if at / 20 % 2 == 0 { 8_000_i16 } else { -8_000 });
    let wave = STANDARD.encode(samples.flat_map(i16::to_le_bytes).collect::<Vec<u8>>());
    control("ServerPushText", json!({"Audio": wave, "Text": "Not read."})).ok(&server).await;
    line.hears(silent).await;
    let waits = json!({"Text": "When there is time.", "Interrupt": false, "DropMode": 1, "AddHistory": false});
    control("ServerPushText", waits).ok(&server).await;
    server.node.wait_for(id, "what waited", said("When there is time.")).await;
    control("InvokeLLM", json!({"Content": "Agree.", "Interrupt": false})).ok(&server).await;
    server.node.wait_for(id, "the answer", said("Gladly.")).await;
    let asked = brain.asked().pop().expect("a question");
    assert_eq!(asked.headers.get("X-Invoke-LLM").map(String::as_str), Some("1"));
    let told: Vec<&str> = asked.messages.iter().map(|message| message.content.as_str()).collect();
    assert!(told.ends_with(&["Hello there.", "Agree."]), "{told:?}");
    // A minute of silence has room twice.
    let minute = json!({"Audio": STANDARD.encode(vec![0_u8; 60 * 2 * 16_000]), "Interrupt": false, "DropMode": 1});
    for code in ["", "", "FailedOperation.SessionNotInControlState"] {
        assert_eq!(control("ServerPushText", minute.clone()).code(&server).await, code);
    }
    let last = json!({"Text": FAREWELL, "StopAfterPlay": true});
    control("ServerPushText", last).ok(&server).await;
    let late = [("ServerPushText", json!({"Text": "One more thing."})), ("InvokeLLM", json!({"Content": "Agree."}))];
    for (name, given) in late {
        let code = control(name, given).code(&server).await;
        assert_eq!(code, "FailedOperation.SessionNotInControlState", "{name}: it would be forgotten");
    }
    assert_eq!(server.node.ended(id).await, HangupCause::ApiHungUp);
    assert!(server.node.events(id).await.iter().any(said(FAREWELL)));
    let now = NOW.millis() / 1000;
    for action in ["DescribeAILatency", "DescribeAICallExtractResult", "DescribeAIAnalysisResult"] {
        let within =
            |from: i64, until: i64| request(action, json!({"SessionId": session, "StartTime": from, "EndTime": until}));
        within(now - 10, now + 10).ok(&server).await;
        assert_eq!(within(now - 99, now - 50).code(&server).await, "FailedOperation.SessionNotExists", "{action}");
    }
    let records = json!({"StartTimeStamp": now - 60, "EndTimeStamp": now + 60, "PageSize": 1, "PageNumber": 0});
    let seat = request("DescribeTelCdr", records).ok(&server).await["TelCdrList"][0]["SeatUser"].take();
    assert_eq!((&seat["Role"], &seat["ExtensionNumber"]), (&json!(0), &json!("")), "{seat}");
}

/// Every parameter of CreateAICall with a value of its own, and where that value stands in the call that is made: nothing is
/// lost between the request and the call.
#[tokio::test]
async fn every_parameter_of_a_request_reaches_the_call() {
    let server = server().await;
    numbered(&server).await;
    let second = "+15550101";
    let body = json!({"trunk": "loop"});
    assert_eq!(server.native("PUT", &format!("/v1/numbers/{second}"), &body).await.status, 200);
    let tone = json!({"FirstSentenceTimeout": 0.4, "ZHToneWords": {"Neutral": ["uh"]}});
    let groups =
        json!([{"TransferFunctionName": "to_a_person", "TransferFunctionDesc": "x", "TransferSkillGroupId": 7}]);
    assert_eq!(server.native("PUT", "/v1/rules", &json!({"desks": {"7": "+15550199"}})).await.status, 200);
    let agents = json!([{"TransferToAgentName": "to_sales", "TransferToAgentDesc": "x", "TransferToAgentId": 15}]);
    let facts =
        json!([{"InfoType": "Selector", "InfoName": "size", "InfoContent": "The size.", "Choices": ["S", "L"]}]);
    let parameters = vec![
        ("LLMType", json!("OpenAI"), "/brain/endpoint/kind", json!("openai")),
        ("APIKey", json!("key 2"), "/brain/endpoint/key", json!("key 2")),
        ("APIUrl", json!("https://llm.example.test/v2"), "/brain/endpoint/url", json!("https://llm.example.test/v2")),
        ("Model", json!("small"), "/brain/model", json!("small")),
        ("SystemPrompt", json!("Call ${name}."), "/brain/system_prompt", json!("Call {{ name }}.")),
        ("Temperature", json!(0.25), "/brain/temperature", json!(0.25)),
        ("TopP", json!(0.5), "/brain/params/top_p", json!(0.5)),
        ("LLMExtraBody", json!("{\"seed\":7}"), "/brain/params/seed", json!(7)),
        ("VoiceType", json!("WeRose"), "/voice/language", json!("en")),
        ("WelcomeMessage", json!("Hi ${other}"), "/opening/greeting/model", json!("Hi {{ other }}")),
        ("WelcomeType", json!(1), "/opening/greeting/model", json!("Hi {{ other }}")),
        ("WelcomeMessagePriority", json!(2), "/opening/interruptible", json!("off")),
        ("MaxDuration", json!(45_000), "/idle/hang_up_after_ms", json!(45_000)),
        ("MaxCallDurationMs", json!(61_000), "/limits/max_duration_s", json!(61)),
        ("NotifyDuration", json!(12_000), "/idle/remind_after_ms", json!(12_000)),
        ("NotifyMessage", json!("Still there?"), "/idle/reminders/0/text", json!("Still there?")),
        ("NotifyMaxCount", json!(3), "/idle/max_reminders", json!(3)),
        ("Languages", json!(["ja", "zh"]), "/language", json!("ja")),
        ("InterruptMode", json!(1), "/interrupt/by_voice", json!("off")),
        ("InterruptSpeechDuration", json!(300), "/interrupt/min_speech_ms", json!(300)),
        ("VadSilenceTime", json!(700), "/turn/silence_ms", json!(700)),
        ("VadLevel", json!(3), "/ears/vad_level", json!(11)),
        ("EndFunctionEnable", json!(true), "/tools/0/name", json!("call_end")),
        ("EndFunctionDesc", json!("On bye."), "/tools/0/description", json!("On bye.")),
        ("TransferFunctionEnable", json!(true), "/tools/1/kind", json!("transfer")),
        ("TransferItems", groups, "/tools/1/to", json!("desk:7")),
        ("TransferToAgentEnable", json!(true), "/tools/2/kind", json!("change_agent")),
        ("TransferToAgentItems", agents, "/tools/2/agent", json!(AGENT)),
        ("ToneWord", tone, "/filler/after_ms", json!(400)),
        ("EnableComplianceAudio", json!(false), "/opening/tone", json!("off")),
        ("EnableVoicemailDetection", json!(true), "/voicemail/detect", json!("on")),
        ("ExtractConfig", facts, "/extract/facts/0/choices/1", json!("L")),
        ("AmbientSoundType", json!("busy_office"), "/ambient/sound", json!("office")),
        ("AmbientSoundVolume", json!(2), "/ambient/volume", json!(100)),
        ("MaxRingTimeoutSecond", json!(33), "/limits/ring_timeout_s", json!(33)),
    ];
    let mut asked = json!({
        "Callee": "0015550777", "Callers": ["0015550101"],
        "PromptVariables": [{"Key": "name", "Value": "old"}, {"Key": "other", "Value": "kept"}],
        "Variables": [{"Key": "name", "Value": "Li"}],
    });
    for (name, value, ..) in &parameters {
        asked[*name] = value.clone();
    }
    let started = request("CreateAICall", asked).ok(&server).await;
    let id = started["SessionId"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let view = server.node.calls().reader().call(&server.node.account(), id).await.expect("read").expect("there");
    assert_eq!((view.plan.callee_dialled(), view.plan.caller_dialled()), ("+15550777", second));
    assert_eq!((view.plan.variables["name"].as_str(), view.plan.variables["other"].as_str()), ("Li", "kept"));
    let agent = serde_json::to_value(&view.plan.agent).expect("JSON");
    for (name, _, place, wanted) in parameters {
        assert_eq!(agent.pointer(place), Some(&wanted), "{name}");
    }
}

#[tokio::test]
async fn a_voice_of_ones_own_reaches_its_call_and_its_key_shows_nowhere() {
    let server = server().await;
    numbered(&server).await;
    let asked = |url: &str| {
        let voice = json!({"TTSType": "minimax", "Model": "speech-02", "APIUrl": url, "APIKey": "hunter2hunter2",
            "VoiceType": "female-1", "Speed": 1.5});
        request(
            "CreateAICall",
            json!({"Callee": CALLEE, "LLMType": "openai", "APIKey": "k",
            "APIUrl": "https://llm.example.test/v1", "CustomTTSConfig": voice.to_string()}),
        )
    };
    for inside in ["https://127.0.0.1/v1", "https://169.254.169.254/v1", "http://tts.example.test/v1"] {
        let error = asked(inside).send(&server).await.json()["Response"]["Error"].clone();
        assert_eq!(error["Code"], "InvalidParameterValue", "{error}");
        assert!(error["Message"].as_str().is_some_and(|text| text.contains("CustomTTSConfig.APIUrl")), "{error}");
    }
    let mut both = asked("https://tts.example.test/v1");
    both.body["VoiceType"] = json!("ZhiQi");
    assert_eq!(both.code(&server).await, "InvalidParameterValue");
    let started = asked("https://tts.example.test/v1").ok(&server).await;
    let id = started["SessionId"].as_str().expect("an id").to_owned();
    let call = id.parse().expect("an id");
    let view = server.node.calls().reader().call(&server.node.account(), call).await.expect("read").expect("there");
    let voice = &view.plan.agent.voice;
    let own = voice.endpoint.as_ref().expect("its own");
    assert_eq!((own.kind.as_str(), own.url.as_str()), ("minimax", "https://tts.example.test/v1"));
    assert_eq!((voice.voice.as_str(), voice.model.as_str(), voice.rate), ("female-1", "speech-02", 1.5));
    for path in [String::from("/v1/calls"), format!("/v1/calls/{id}")] {
        let answer = server.native_as("admin", "GET", &path, b"").await;
        let shown = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 200 && !shown.contains("hunter2"), "{path}: {shown}");
    }
}
