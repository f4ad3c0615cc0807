//! Every listed attack on HTTP APIs, tried over a real socket, or over a connection within the process
//! where the clock is the test's. A case for a dialect that does not exist waits for it; once
//! the dialect exists the case must be tried here.

use crate::support::{
    Answer, OTHER_AGENT, OTHER_NUMBER, SECRET, Server, Signed, answer_of, frame, h2_get, h2_hello, read_all, server,
    server_over, server_with,
};
use callwright_api::{Limits, Rates, dialect_names};
use callwright_domain::agent::Greeting;
use callwright_testkit::{AGENT, CALLER, Callee, NodeBuilder, PATIENCE, Plan};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, pause, resume, sleep, timeout};

const START: &str = "StartAIAgentOutboundCall";
const CALLEE: &str = "+15550123";

#[tokio::test]
async fn every_listed_case_is_tried_or_waits_for_its_dialect() {
    let server = server().await;
    let (mut tried, mut waiting) = (0, Vec::new());
    for line in include_str!("../fixtures/mutations.jsonl").lines() {
        let case: Value = serde_json::from_str(line).expect("JSON");
        let (name, api) = (case["name"].as_str().expect("a name"), case["api"].as_str().expect("an API"));
        let done = match api {
            "any" => any_dialect(name, &server).await,
            "alibaba" => alibaba(name, &server).await,
            "tencent" => crate::tencent::case(name, &server).await,
            "happyrobot" => crate::happyrobot::case(name, &server).await,
            _ => false,
        };
        match (done, api) {
            (true, _) => tried += 1,
            (false, "any") => panic!("{name} is not tried"),
            (false, api) if dialect_names().contains(&api) => panic!("{name}: {api} exists now: try it"),
            (false, api) => waiting.push(format!("{name}: waiting for dialect {api}")),
        }
    }
    assert_eq!(tried + waiting.len(), 45);
    assert_eq!(tried, 45);
}

/// Whether there is such a case; panics when it fails.
async fn any_dialect(name: &str, server: &Server) -> bool {
    match name {
        "json-depth-100k" => refused(server, "{\"a\":".repeat(100_000).as_bytes(), "invalid_json").await,
        "json-dup-key" => the_last_of_two_members_is_checked_and_used(server).await,
        "json-invalid-utf8" => {
            refused(server, b"{\"agent\":\"tester\",\"to\":\"+1555\xff0123\"}", "invalid_json").await;
        }
        "json-number-1e400" => refused(server, b"{\"agent\":1e400}", "invalid_json").await,
        "json-int-2pow63" => {
            let body = format!(
                r#"{{"agent":"{AGENT}","to":"{CALLEE}","overrides":{{"limits":{{"max_duration_s":9223372036854775808}}}}}}"#
            );
            refused(server, body.as_bytes(), "invalid_field").await;
        }
        "json-trailing" => refused(server, b"{}{}", "invalid_json").await,
        "json-array-instead" => refused(server, b"[]", "invalid_json").await,
        "body-10MiB" => {
            let answer = server.native_as("admin", "POST", "/v1/calls", &vec![b' '; 10 << 20]).await;
            assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
        }
        "body-chunked-endless" => an_endless_body_is_given_up().await,
        "slowloris-headers" => slow_heads_are_closed_and_others_served().await,
        "cl-te-both" => two_lengths_are_refused_and_nothing_behind_is_read(server).await,
        "h2-settings-window-0" => a_window_that_never_opens_is_closed().await,
        "path-dot-dot" => {
            let answer = server.native_as("admin", "POST", "/a/../v1/calls", b"{}").await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
        }
        "host-mismatch" => the_host_is_signed_or_without_effect(server).await,
        "method-override" => {
            let headers = format!("Authorization: Bearer admin.{SECRET}\r\nX-HTTP-Method-Override: DELETE\r\n");
            let path = format!("/v1/agents/{AGENT}");
            for _ in 0..2 {
                assert_eq!(server.send("GET", &path, &headers, b"").await.status, 200);
            }
        }
        "uri-64k" => long_targets_work_up_to_the_limit(server).await,
        "gzip-bomb" => {
            let headers = "Content-Encoding: gzip\r\nAuthorization: Bearer admin.s3cret\r\n";
            let answer = server.send("POST", "/v1/calls", headers, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).await;
            assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"));
        }
        "crlf-in-userdata" => line_ends_stay_data(server).await,
        "template-recursion" => a_variable_that_names_itself_is_said_as_it_is().await,
        _ => return false,
    }
    true
}

async fn alibaba(name: &str, server: &Server) -> bool {
    match name {
        "alibaba-nonce-reuse" => {
            let mut call = start_by_form(AGENT, "reuse");
            assert_eq!(call.send(server).await.status, 200);
            call.body.extend_from_slice(b"&UserData=other");
            assert_eq!(call.send(server).await.code(), "SignatureNonceUsed");
        }
        "alibaba-timestamp-16min-old" => {
            let old = Signed { date: "2026-11-21T02:13:27Z", ..start_by_form(AGENT, "old") };
            assert_eq!(old.send(server).await.code(), "InvalidTimeStamp.Expired");
            let just = Signed { date: "2026-11-21T02:14:28Z", ..start_by_form(AGENT, "just") };
            assert_eq!(just.send(server).await.status, 200);
        }
        "alibaba-get-post-param-merge" => {
            // The query wins, whatever the form says: what is checked is what is used.
            let query = |agent: &str| format!("AIAgentId={agent}");
            let good = Signed { query: query(AGENT), ..start_by_form("nobody", "merge1") };
            assert_eq!(good.send(server).await.status, 200);
            let bad = Signed { query: query("nobody"), ..start_by_form(AGENT, "merge2") };
            assert_eq!(bad.send(server).await.code(), "AgentNotFound");
        }
        "alibaba-v3-body-hash-lie" => {
            let lie = Signed { hashed_body: Some(b"AIAgentId=x".to_vec()), ..start_by_form(AGENT, "lie") };
            assert_eq!(lie.send(server).await.code(), "SignatureDoesNotMatch");
        }
        "alibaba-percent-encoding-forms" => {
            for (sent, signed, good) in [
                ("UserData=a%20b~c", "UserData=a%20b~c", true),
                ("UserData=a+b%7Ec", "UserData=a%20b~c", true),
                ("UserData=a+b~c", "UserData=a+b~c", false),
                ("UserData=a%20b%7Ec", "UserData=a%20b%7Ec", false),
            ] {
                let call = start_by_form(AGENT, &format!("form{sent}{good}").replace(['%', '=', '~', '+'], ""));
                let call = Signed { query: sent.to_owned(), signed_query: Some(signed.to_owned()), ..call };
                let answer = call.send(server).await;
                assert_eq!(answer.status == 200, good, "{sent} signed as {signed}: {:?}", answer.json());
            }
        }
        "alibaba-foreign-agent-id" => {
            let foreign = without_ids(&start_by_form(OTHER_AGENT, "fa1").send(server).await);
            assert_eq!(foreign, without_ids(&start_by_form("nobody", "fa2").send(server).await));
        }
        "alibaba-foreign-caller-number" => {
            let call = |number: &str, nonce| {
                let body = form(AGENT).replace(&CALLER[1..], &number[1..]);
                Signed { body: body.into_bytes(), ..start_by_form(AGENT, nonce) }
            };
            let foreign = without_ids(&call(OTHER_NUMBER, "fc1").send(server).await);
            assert_eq!(foreign["Code"], "InvalidParameter.CallerNumber");
            assert_eq!(foreign, without_ids(&call("+15550111", "fc2").send(server).await));
        }
        _ => return false,
    }
    true
}

fn form(agent: &str) -> String {
    format!("AIAgentId={agent}&CalledNumber=%2B{}&CallerNumber=%2B{}", &CALLEE[1..], &CALLER[1..])
}

fn start_by_form(agent: &str, nonce: &str) -> Signed {
    Signed { body: form(agent).into_bytes(), ..Signed::new(START, "", nonce) }
}

/// A vendor's error without what differs in each answer.
fn without_ids(answer: &Answer) -> Value {
    let mut json = answer.json();
    let id = json["RequestId"].as_str().expect("an id").to_owned();
    json = serde_json::from_str(&json.to_string().replace(&id, "")).expect("JSON");
    json["status"] = json!(answer.status);
    json
}

async fn refused(server: &Server, body: &[u8], code: &str) {
    let answer = server.native_as("admin", "POST", "/v1/calls", body).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, code));
}

async fn the_last_of_two_members_is_checked_and_used(server: &Server) {
    let body = |first: &str, last: &str| format!(r#"{{"agent":"{AGENT}","to":"{first}","to":"{last}"}}"#);
    let answer = server.native_as("admin", "POST", "/v1/calls", body("+15550124", CALLEE).as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["to"]), (202, &json!(CALLEE)));
    let path = format!("/v1/calls/{}", answer.json()["id"].as_str().expect("an id"));
    assert_eq!(server.native("GET", &path, &Value::Null).await.json()["to"], CALLEE);
    refused(server, body(CALLEE, "1@evil.example").as_bytes(), "invalid_field").await;
    // The same in the vendor's JSON.
    let json = format!(
        r#"{{"AIAgentId":"{AGENT}","CallerNumber":"{CALLER}","CalledNumber":"1@evil.example","CalledNumber":"{CALLEE}"}}"#
    );
    let call = Signed { body: json.into_bytes(), content_type: "application/json", ..Signed::new(START, "", "dup") };
    let started = call.send(server).await;
    let id = started.json()["InstanceId"].as_str().expect("an id").to_owned();
    let view = server.node.calls().reader().call(&server.node.account(), id.parse().expect("ours")).await;
    assert_eq!(view.expect("read").expect("there").plan.callee_dialled(), CALLEE);
}

async fn an_endless_body_is_given_up() {
    let body_time = Duration::from_millis(300);
    let server = server_with(Limits { body_time, ..Limits::default() }, Rates::default()).await;
    pause();
    let (mut reader, mut writer) = split(server.wire());
    let head = "POST /v1/calls HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes()).await.expect("sent");
    let began = Instant::now();
    let dripping = drip(&mut writer, b"1\r\n \r\n", Duration::from_millis(20));
    let mut bytes = Vec::new();
    tokio::select! {
        () = dripping => {}
        closed = timeout(PATIENCE, reader.read_to_end(&mut bytes)) => drop(closed.expect("closed in time")),
    }
    let took = began.elapsed();
    resume();
    let answer = answer_of(&bytes);
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
    assert_eq!(answer.header("connection"), Some("close"));
    // The connection is closed at most two seconds after the answer: whoever goes on sending must be able to read it.
    assert!(took >= body_time && took < body_time + Duration::from_secs(5), "{took:?}");
}

/// Sends the same bytes again and again, and then waits for ever.
async fn drip(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8], pause: Duration) {
    while writer.write_all(bytes).await.is_ok() {
        sleep(pause).await;
    }
    std::future::pending::<()>().await;
}

async fn slow_heads_are_closed_and_others_served() {
    let head_time = Duration::from_millis(400);
    let server = server_with(Limits { head_time, ..Limits::default() }, Rates::default()).await;
    pause();
    let mut slow = Vec::new();
    // The first could go on for ever; the others turn out to be no request.
    for sent in ["GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", "", "P", "GET / HT", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let (mut reader, mut writer) = split(server.wire());
        writer.write_all(sent.as_bytes()).await.expect("sent");
        slow.push(tokio::spawn(async move {
            let began = Instant::now();
            let mut end = Vec::new();
            tokio::select! {
                () = drip(&mut writer, b"x", Duration::from_millis(50)) => {}
                closed = timeout(PATIENCE, reader.read_to_end(&mut end)) => drop(closed.expect("closed in time")),
            }
            began.elapsed()
        }));
    }
    for _ in 0..5 {
        let mut stream = server.wire();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("sent");
        assert_eq!(answer_of(&read_all(&mut stream).await).status, 200);
    }
    let mut took = Vec::new();
    for slow in slow {
        took.push(slow.await.expect("no panic"));
    }
    resume();
    assert!(took[0] >= head_time && took.iter().all(|took| *took <= head_time * 3 / 2), "{took:?}");
}

async fn two_lengths_are_refused_and_nothing_behind_is_read(server: &Server) {
    let before = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for two in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "transfer-ENCODING:chunked\r\ncontent-LENGTH:0",
    ] {
        let head =
            format!("POST /v1/calls HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin.{SECRET}\r\n{two}\r\n\r\n");
        let mut stream = server.connect().await;
        let bytes = format!("{before}{head}0\r\n\r\n{before}");
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        let text = String::from_utf8(read_all(&mut stream).await).expect("text");
        let answers: Vec<&str> = text.matches("HTTP/1.1 ").collect();
        assert_eq!(answers.len(), 2, "{two}: {text}");
        let second = text.rfind("HTTP/1.1 ").expect("an answer");
        let answer = answer_of(&text.as_bytes()[second..]);
        assert_eq!((answer.status, answer.code().as_str()), (400, "two_lengths"), "{two}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

async fn a_window_that_never_opens_is_closed() {
    let limits =
        Limits { stall: Duration::from_millis(300), head_time: Duration::from_millis(400), ..Limits::default() };
    let server = server_with(limits, Rates::default()).await;
    let mut stream = server.connect().await;
    let block = h2_get("/openapi.json", &format!("admin.{SECRET}"));
    let request = [h2_hello(&[(4, 0)]), frame(1, 0x5, 1, &block)].concat();
    stream.write_all(&request).await.expect("sent");
    let began = Instant::now();
    let bytes = read_all(&mut stream).await;
    assert!(bytes.len() < 4096, "no body was let out");
    assert!(bytes.windows(2).any(|pair| pair == [1, 4]), "the answer's head came");
    assert!(began.elapsed() >= Duration::from_millis(300));
}

async fn the_host_is_signed_or_without_effect(server: &Server) {
    let signed = Signed { sent_host: "other.example", ..start_by_form(AGENT, "host") };
    assert_eq!(signed.send(server).await.code(), "SignatureDoesNotMatch");
    let request = format!(
        "GET /v1/agents HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\nAuthorization: Bearer admin.{SECRET}\r\n\r\n"
    );
    let answer = server.raw(request.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["agents"][0]["id"]), (200, &json!(AGENT)));
}

async fn long_targets_work_up_to_the_limit(server: &Server) {
    for (filling, native, vendor) in [(60_000, (400, "unknown_field"), 200), (65_536, (414, "target_too_long"), 414)] {
        let long = server.native("GET", &format!("/v1/calls?{}", "x".repeat(filling)), &Value::Null).await;
        assert_eq!((long.status, long.code().as_str()), native);
        // A name that nobody asks for: the SDK of a later day may send it, and it is signed like the others.
        let query = format!("{}&Zzz={}", form(AGENT), "x".repeat(filling));
        let long = Signed { method: "GET", ..Signed::new(START, query, &format!("long{filling}")) };
        let answer = long.send(server).await;
        assert_eq!(answer.status, vendor, "{:?}", answer.head);
        assert!(answer.json()["RequestId"].is_string(), "the vendor's envelope");
    }
    assert_eq!(server.native("GET", &format!("/{}", "x".repeat(3 << 20)), &Value::Null).await.status, 414);
}

async fn line_ends_stay_data(server: &Server) {
    let body = json!({"agent": AGENT, "to": CALLEE, "user_data": "a\r\nX-Evil: b"});
    let started = server.native("POST", "/v1/calls", &body).await;
    let id = started.json()["id"].as_str().expect("an id").to_owned();
    let shown = server.native("GET", &format!("/v1/calls/{id}"), &Value::Null).await;
    assert_eq!(shown.json()["user_data"], "a\r\nX-Evil: b");
    assert!(!shown.head.contains("evil"));
}

async fn a_variable_that_names_itself_is_said_as_it_is() {
    let callee = Callee::start(Plan::answer()).await;
    let builder = NodeBuilder::to(&callee)
        .agent(|agent| agent.opening.greeting = Greeting::Text(String::from("Hello {{ name }}.")));
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let body = json!({"agent": AGENT, "to": CALLEE, "variables": {"name": "{{ name }}"}});
    let started = server.native("POST", "/v1/calls", &body).await;
    assert_eq!(started.status, 202);
    let id = started.json()["id"].as_str().expect("an id").parse().expect("ours");
    let spoken = |event: &callwright_domain::CallEvent| event.name().contains("said") || event.name().contains("heard");
    server.node.wait_for(id, "the greeting", spoken).await;
    let lines = server.node.transcript(id).await;
    assert_eq!(format!("{:?}", lines.first().expect("a line").text).matches("{{ name }}").count(), 1);
}
