//! The API over real HTTP, before a real engine and a store in memory. The callee is a port that answers nothing, so that
//! calls stay where they are.

use callwright_api::{Api, Limits};
use callwright_domain::access::KeyStatus;
use callwright_domain::{ApiKey, KeyId, Moment, Pii, Scope};
use callwright_testkit::{AGENT, CALLER, Node, NodeBuilder};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::{SocketAddr, UdpSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The clock of the API: the signatures below are made for it.
const NOW: Moment = Moment(1_795_228_167_000);
const DATE: &str = "2026-11-21T02:29:27Z";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct Server {
    address: SocketAddr,
    node: Node,
    stop: CancellationToken,
    _callee: UdpSocket,
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

async fn server() -> Server {
    server_within(Limits::default()).await
}

async fn server_within(limits: Limits) -> Server {
    let callee = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let node = NodeBuilder::to_address(callee.local_addr().expect("bound")).start().await;
    for (id, scopes, status) in [
        ("admin", Scope::ALL.to_vec(), KeyStatus::Active),
        ("reader", vec![Scope::CallsRead, Scope::KeysWrite], KeyStatus::Active),
        ("off", Scope::ALL.to_vec(), KeyStatus::Disabled),
    ] {
        let id = KeyId::new(id).expect("an id");
        let secret = Pii::new(String::from("s3cret"));
        let key = ApiKey { id, account: node.account(), name: String::from("test"), secret, scopes, status };
        node.store().put_key(key).await.expect("stored");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let api = Api::new(node.calls(), || NOW, String::new).limits(limits);
    tokio::spawn(api.serve(listener, stop.clone()));
    Server { address, node, stop, _callee: callee }
}

impl Server {
    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(request).await.expect("sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("read");
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {length}");
        self.raw(format!("{head}\r\n{headers}\r\n{body}").as_bytes()).await
    }

    async fn native(&self, method: &str, target: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, target, "Authorization: Bearer admin.s3cret\r\nContent-Type: application/json\r\n", &body)
            .await
    }

    /// A request with the newer signature; `query` must be in canonical order and encoding.
    async fn vendor(&self, key: (&str, &str), action: &str, query: &str, nonce: &str) -> Answer {
        let signed = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
        let values = format!(
            "host:api.test\nx-acs-action:{action}\nx-acs-content-sha256:{EMPTY}\nx-acs-date:{DATE}\n\
             x-acs-signature-nonce:{nonce}\nx-acs-version:2020-11-09\n"
        );
        let canonical = format!("POST\n/\n{query}\n{values}\n{signed}\n{EMPTY}");
        let text = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.1.as_bytes()).expect("any length");
        mac.update(text.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let headers = format!(
            "x-acs-action: {action}\r\nx-acs-version: 2020-11-09\r\nx-acs-date: {DATE}\r\n\
             x-acs-signature-nonce: {nonce}\r\nx-acs-content-sha256: {EMPTY}\r\n\
             Authorization: ACS3-HMAC-SHA256 Credential={},SignedHeaders={signed},Signature={signature}\r\n",
            key.0
        );
        self.send("POST", &format!("/?{query}"), &headers, "").await
    }
}

fn code(answer: &Answer) -> &str {
    answer.body["error"]["code"].as_str().unwrap_or_else(|| panic!("no code in {}", answer.body))
}

#[tokio::test]
async fn a_native_call_is_made_once_and_shown_and_ended() {
    let server = server().await;
    let start = json!({"agent": AGENT, "to": "+15550123", "from": CALLER, "user_data": "a\r\nb"}).to_string();
    let headers = "Authorization: Bearer admin.s3cret\r\nIdempotency-Key: k1\r\n";
    let first = server.send("POST", "/v1/calls", headers, &start).await;
    assert_eq!((first.status, first.body["status"].as_str()), (202, Some("queued")), "{}", first.body);
    let again = server.send("POST", "/v1/calls", headers, &start).await;
    assert_eq!(again.body, first.body);
    assert!(again.head.contains("idempotency-replayed: true"));
    let other = server.send("POST", "/v1/calls", headers, &start.replace("0123", "0124")).await;
    assert_eq!((other.status, code(&other)), (422, "idempotency_mismatch"));
    let id = first.body["id"].as_str().expect("an id");
    let shown = server.native("GET", &format!("/v1/calls/{id}"), Value::Null).await;
    assert_eq!((shown.status, shown.body["user_data"].as_str()), (200, Some("a\r\nb")));
    let listed = server.native("GET", "/v1/calls?agent=tester", Value::Null).await;
    assert_eq!(listed.body["calls"].as_array().map(Vec::len), Some(1));
    let ended = server.native("POST", &format!("/v1/calls/{id}/hangup"), Value::Null).await;
    assert_eq!(ended.status, 202, "{}", ended.body);
    let said = server.native("POST", &format!("/v1/calls/{}/say", "0".repeat(32)), json!({"text": "x"})).await;
    assert_eq!((said.status, code(&said)), (404, "not_found"));
    server.stop.cancel();
}

#[tokio::test]
async fn every_native_fault_has_its_code_and_field() {
    let server = server().await;
    let good = json!({"agent": AGENT, "to": "+15550123"});
    for (name, value, expected) in [
        ("agent", json!(7), "invalid_field"),
        ("agent", json!("a b"), "invalid_field"),
        ("agent", Value::Null, "missing_field"),
        ("to", json!("12\r\nVia: x"), "invalid_field"),
        ("to", json!(15550123), "invalid_field"),
        ("to", Value::Null, "missing_field"),
        ("from", json!([]), "invalid_field"),
        ("from", json!([7]), "invalid_field"),
        ("variables", json!({"a": 7}), "invalid_field"),
        ("variables", json!([]), "invalid_field"),
        ("user_data", json!("x".repeat(4097)), "invalid_field"),
        ("thread", json!("a\r\nb"), "invalid_field"),
        ("thread", json!("x".repeat(256)), "invalid_field"),
        ("overrides", json!([]), "invalid_field"),
        ("overrides.speed", json!({"speed": 1}), "unknown_field"),
        ("overrides.voice.rate", json!({"voice": {"rate": 9}}), "invalid_field"),
        ("scheduled_for", json!("tomorrow"), "invalid_field"),
        ("deadline", json!("2001-01-01T00:00:00Z"), "invalid_field"),
        ("tone", json!(1), "unknown_field"),
    ] {
        let mut body = good.clone();
        body[name.split('.').next().expect("a name")] = value;
        let answer = server.native("POST", "/v1/calls", body).await;
        assert_eq!((answer.status, code(&answer)), (400, expected), "{name}: {}", answer.body);
        assert_eq!(answer.body["error"]["field"], name);
        assert!(answer.head.contains("x-request-id: "));
    }
    for (body, status, expected) in [
        ("{\"agent\":", 400, "invalid_json"),
        ("{}{}", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ("{\"a\":1e400}", 400, "invalid_json"),
        (&"{\"a\":".repeat(100_000), 400, "invalid_json"),
        (&" ".repeat(1024 * 1024 + 1), 413, "body_too_large"),
    ] {
        let answer = server.send("POST", "/v1/calls", "Authorization: Bearer admin.s3cret\r\n", body).await;
        assert_eq!((answer.status, code(&answer)), (status, expected), "{body:.20}");
    }
    let gzip = server.send("POST", "/v1/calls", "Content-Encoding: gzip\r\n", "x").await;
    assert_eq!((gzip.status, code(&gzip)), (415, "unsupported_media_type"));
    server.stop.cancel();
}

#[tokio::test]
async fn keys_open_what_they_may_and_make_none_stronger() {
    let server = server().await;
    for (token, status) in [
        ("", 401),
        ("Bearer", 401),
        ("Bearer admin.s3cre", 401),
        ("Bearer off.s3cret", 401),
        ("Bearer nobody.s3cret", 401),
        ("Bearer reader.s3cret", 403),
        ("Bearer admin.s3cret", 200),
    ] {
        let answer = server.send("GET", "/v1/agents", &format!("Authorization: {token}\r\n"), "").await;
        assert_eq!(answer.status, status, "{token}: {}", answer.body);
    }
    let stronger = json!({"name": "x", "scopes": ["calls_write"]}).to_string();
    let answer = server.send("POST", "/v1/keys", "Authorization: Bearer reader.s3cret\r\n", &stronger).await;
    assert_eq!((answer.status, code(&answer)), (403, "forbidden"));
    let made = server.native("POST", "/v1/keys", json!({"name": "x", "scopes": ["calls_read"]})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let secret = made.body["secret"].as_str().expect("shown once");
    let listed = server.native("GET", "/v1/keys", Value::Null).await;
    assert!(!listed.body.to_string().contains(secret));
    let method = server.native("PATCH", "/v1/calls", Value::Null).await;
    assert_eq!((method.status, code(&method)), (405, "method_not_allowed"));
    server.stop.cancel();
}

#[tokio::test]
async fn configuration_is_checked_and_shown_again() {
    let server = server().await;
    for (agent, field) in [
        (json!({"voice": {"rate": 3}}), "voice.rate"),
        (json!({"speed": 1}), "speed"),
        (json!({"opening": {"greeting": {"text": "Hi {{ name"}}}), "opening.greeting"),
        (json!({"brain": {"vendor": "nobody"}}), "brain.vendor"),
    ] {
        let answer = server.native("PUT", "/v1/agents/a1", agent).await;
        assert_eq!((answer.status, answer.body["error"]["field"].as_str()), (400, Some(field)), "{}", answer.body);
    }
    let put = server.native("PUT", "/v1/agents/a1", json!({"opening": {"greeting": {"text": "Hi {{ name }}"}}})).await;
    assert_eq!((put.status, put.body["id"].as_str()), (200, Some("a1")), "{}", put.body);
    let shown = server.native("GET", "/v1/agents/a1", Value::Null).await;
    assert_eq!(server.native("PUT", "/v1/agents/a1", shown.body.clone()).await.status, 200);
    let trunk = json!({"host": "sip.example", "username": "u", "password": "hunter2"});
    let put = server.native("PUT", "/v1/trunks/t1", trunk).await;
    assert_eq!((put.status, &put.body["password"], put.body["enabled"].as_str()), (200, &Value::Null, Some("on")));
    let number = server.native("PUT", "/v1/numbers/+15550999", json!({"trunk": "nowhere"})).await;
    assert_eq!((number.status, number.body["error"]["field"].as_str()), (400, Some("trunk")));
    let number = server.native("PUT", "/v1/numbers/%2B15550999", json!({"trunk": "t1"})).await;
    assert_eq!((number.status, &number.body["max_calls"]), (200, &json!(15)), "{}", number.body);
    assert_eq!(server.native("DELETE", "/v1/agents/a1", Value::Null).await.status, 204);
    assert_eq!(server.native("GET", "/v1/agents/a1", Value::Null).await.status, 404);
    server.stop.cancel();
}

#[tokio::test]
async fn the_vendors_client_starts_describes_and_stops() {
    let server = server().await;
    let key = ("admin", "s3cret");
    let config = "%7B%22Greeting%22%3A%22Hi%20%7B%7Bname%7D%7D%2C%20don%27t%20%2A%22%2C%22LlmConfig%22%3A%7B%22OutputMaxDelay%22%3A%222000%22%7D%7D";
    let query =
        format!("AIAgentId={AGENT}&CalledNumber=%2B15550123&CallerNumber=%2B15550100&Config={config}&UserData=u");
    let started = server.vendor(key, "StartAIAgentOutboundCall", &query, "n1").await;
    assert_eq!(started.status, 200, "{}", started.body);
    assert!(started.head.contains("content-type: application/json;charset=utf-8"));
    let id = started.body["InstanceId"].as_str().expect("an id").to_owned();
    let request = started.body["RequestId"].as_str().expect("an id");
    assert!(started.head.contains(&format!("x-acs-request-id: {}", request.to_ascii_lowercase())));
    let code = |answer: &Answer| answer.body["Code"].as_str().unwrap_or("none").to_owned();
    let replayed = server.vendor(key, "StartAIAgentOutboundCall", &query, "n1").await;
    assert_eq!(code(&replayed), "SignatureNonceUsed");
    let instance = format!("InstanceId={id}");
    let shown = server.vendor(key, "DescribeAIAgentInstance", &instance, "n2").await;
    assert_eq!(shown.body["Instance"]["Status"], "Created", "{}", shown.body);
    assert_eq!(shown.body["Instance"]["AgentConfig"]["LlmConfig"]["OutputMaxDelay"], 2000);
    assert_eq!(shown.body["Instance"]["UserData"], "u");
    let view = server.node.calls().reader().call(&server.node.account(), id.parse().expect("ours")).await;
    assert_eq!(view.expect("read").expect("there").plan.origin.dialect, "alibaba");
    for nonce in ["n3", "n4"] {
        let stopped = server.vendor(key, "StopAIAgentInstance", &instance, nonce).await;
        assert_eq!(stopped.status, 200, "{}", stopped.body);
    }
    let foreign = query.replace("15550100", "15550111");
    let unknown = query.replace(AGENT, "nobody");
    for (who, action, query, nonce, expected, status) in [
        (("admin", "wrong"), "StopAIAgentInstance", instance.as_str(), "n5", "SignatureDoesNotMatch", 400),
        (("nobody", "s3cret"), "StopAIAgentInstance", &instance, "n5", "InvalidAccessKeyId.NotFound", 404),
        (("off", "s3cret"), "StopAIAgentInstance", &instance, "n5", "InvalidAccessKeyId.Inactive", 400),
        (("reader", "s3cret"), "StopAIAgentInstance", &instance, "n5", "Forbidden.RAM", 403),
        (key, "CreateHotwordLibrary", "", "n5", "InvalidAction.NotFound", 404),
        (key, "StopAIAgentInstance", "InstanceId=x", "n5", "InstanceNotFound", 404),
        (key, "DescribeAIAgentInstance", "", "n6", "MissingInstanceId", 400),
        (key, "StartAIAgentOutboundCall", &foreign, "n7", "InvalidParameter.CallerNumber", 400),
        (key, "StartAIAgentOutboundCall", &unknown, "n8", "AgentNotFound", 404),
    ] {
        let answer = server.vendor(who, action, query, nonce).await;
        assert_eq!((code(&answer).as_str(), answer.status), (expected, status), "{}", answer.body);
        assert_eq!(answer.body["HostId"], "api.test");
    }
    server.stop.cancel();
}

#[tokio::test]
async fn odd_requests_are_read_in_one_way_or_refused() {
    let server = server().await;
    let long = server.send("GET", &format!("/v1/calls?{}", "x".repeat(65_536)), "", "").await;
    assert_eq!(long.status, 414);
    let dots = server.send("POST", "/a/../v1/calls", "Authorization: Bearer admin.s3cret\r\n", "{}").await;
    assert_eq!(dots.status, 404);
    let over = server.send("GET", "/healthz", "X-HTTP-Method-Override: DELETE\r\n", "").await;
    assert_eq!((over.status, over.body["status"].as_str()), (200, Some("ok")));
    server.stop.cancel();
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_at_once() {
    let server = server_within(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = TcpStream::connect(server.address).await.expect("it listens");
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut some = [0; 12];
    first.read_exact(&mut some).await.expect("answered");
    assert_eq!(&some, b"HTTP/1.1 200");
    let refused = server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (503, &json!("busy")));
    assert!(refused.head.contains("retry-after: 1"), "{}", refused.head);
    drop(first);
    // The place is free when the server has seen the end of the connection, which nobody is told of.
    loop {
        let answer = server.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503);
        tokio::task::yield_now().await;
    }
}
