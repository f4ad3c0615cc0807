//! A server on loopback with two accounts, and clients that send exactly the bytes a test wants.

use callwright_api::{Api, Callbacks, Egress, Guard, Limits, Rates, SystemLookup};
use callwright_domain::access::KeyStatus;
use callwright_domain::{AccountId, AgentId, AgentProfile, ApiKey, KeyId, Moment, PhoneNumber, Pii, Scope, TrunkId};
use callwright_engine::Clock;
use callwright_store::{Number, Trunk, TrunkSettings};
use callwright_testkit::{Node, NodeBuilder, PATIENCE};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Where the clock of the API begins: the signatures below are made for it.
pub(crate) const NOW: Moment = Moment(1_795_228_167_000);
pub(crate) const DATE: &str = "2026-11-21T02:29:27Z";
/// The other tenant's things.
pub(crate) const OTHER_AGENT: &str = "theirs";
pub(crate) const OTHER_TRUNK: &str = "theirtrunk";
pub(crate) const OTHER_NUMBER: &str = "+15550777";
pub(crate) const OTHER_KEY: &str = "otheradmin";
/// Bytes that a connection within the process holds for whoever does not read.
const WIRE: usize = 64 * 1024;
pub(crate) const SECRET: &str = "s3cret";

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) node: Node,
    api: Api,
    clock: Arc<AtomicI64>,
    stop: CancellationToken,
    _callee: Option<UdpSocket>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The code of an error, in either dialect.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let code = json["error"]["code"].as_str().or(json["Code"].as_str());
        code.unwrap_or_else(|| panic!("no code in {json}: {}", self.head)).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A server whose calls ring nowhere.
pub(crate) async fn server() -> Server {
    server_with(Limits::default(), Rates::default()).await
}

pub(crate) async fn server_with(limits: Limits, rates: Rates) -> Server {
    let callee = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let builder = NodeBuilder::to_address(callee.local_addr().expect("bound"));
    let mut server = server_over(builder, limits, rates).await;
    server._callee = Some(callee);
    server
}

/// A server where browsers are met, whose node's clock stands where the signatures' does.
pub(crate) async fn server_that_meets() -> Server {
    let mut builder = NodeBuilder::to_address(([127, 0, 0, 1], 9).into()).browsers();
    builder.clock = Clock::new(|| NOW);
    server_over(builder, Limits::default(), Rates::default()).await
}

pub(crate) async fn server_over(builder: NodeBuilder, limits: Limits, rates: Rates) -> Server {
    server_behind(builder, limits, rates, Guard::new(Egress::default(), SystemLookup)).await
}

/// A server that really tells, also receivers on this machine.
pub(crate) async fn server_that_tells(mut builder: NodeBuilder) -> Server {
    let on = callwright_domain::agent::Switch::On;
    let guard = Guard::new(Egress { plain_http: on, private: on, ..Egress::default() }, SystemLookup);
    builder.notifier = Arc::new(Callbacks::new(guard.clone()).expect("an HTTP client"));
    server_behind(builder, Limits::default(), Rates::default(), guard).await
}

async fn server_behind(builder: NodeBuilder, limits: Limits, rates: Rates, guard: Guard) -> Server {
    let node = builder.start().await;
    for (id, account, scopes) in
        [("admin", node.account(), &Scope::ALL[..]), (OTHER_KEY, other_account(), &Scope::ALL[..])]
    {
        put_key(&node, id, account, scopes).await;
    }
    for scope in Scope::ALL {
        put_key(&node, &key_with(scope), node.account(), &[scope]).await;
    }
    let (account, trunk) = (other_account(), TrunkId::new(OTHER_TRUNK).expect("an id"));
    let store = node.store();
    let agent = AgentId::new(OTHER_AGENT).expect("an id");
    store.put_agent(account.clone(), agent, AgentProfile::default(), NOW).await.expect("stored");
    let settings = TrunkSettings { host: String::from("127.0.0.1"), ..TrunkSettings::default() };
    let enabled = callwright_domain::agent::Switch::On;
    store.put_trunk(account.clone(), Trunk { id: trunk.clone(), settings, enabled }).await.expect("stored");
    let number = PhoneNumber::parse(OTHER_NUMBER).expect("a number");
    store.put_number(Number::new(account, number, trunk)).await.expect("stored");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, clock) = (CancellationToken::new(), Arc::new(AtomicI64::new(NOW.millis())));
    let shown = Arc::clone(&clock);
    let api = Api::new(node.calls(), move || Moment(shown.load(Ordering::Relaxed)), String::new);
    let api = api.guarded_by(guard).limits(limits).rates(rates);
    tokio::spawn(api.clone().serve(listener, stop.clone()));
    Server { address, node, api, clock, stop, _callee: None }
}

/// The name of the key that has this scope alone.
pub(crate) fn key_with(scope: Scope) -> String {
    format!("only{}", serde_json::to_value(scope).expect("a word").as_str().expect("a word").replace('_', ""))
}

pub(crate) fn other_account() -> AccountId {
    AccountId::new("others").expect("an id")
}

async fn put_key(node: &Node, id: &str, account: AccountId, scopes: &[Scope]) {
    let key = ApiKey {
        id: KeyId::new(id).expect("an id"),
        account,
        name: String::from("test"),
        secret: Pii::new(String::from(SECRET)),
        scopes: scopes.to_vec(),
        status: KeyStatus::Active,
    };
    node.store().put_key(key).await.expect("stored");
}

impl Server {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// A connection within the process, for tests whose clock stands still while anybody has something to do. What is
    /// asked there must not need the store, whose threads that clock does not see.
    pub(crate) fn wire(&self) -> DuplexStream {
        let (ours, theirs) = duplex(WIRE);
        tokio::spawn(self.api.clone().serve_stream(theirs, self.address, self.stop.clone()));
        ours
    }

    /// Sends bytes to a listener of this dialect's own, reads to the end of the connection.
    pub(crate) async fn raw_at(&self, dialect: &str, request: &[u8]) -> Answer {
        let own = self.api.only(dialect).expect("a dialect");
        let (mut ours, theirs) = duplex(WIRE);
        tokio::spawn(own.serve_stream(theirs, self.address, self.stop.clone()));
        ours.write_all(request).await.expect("it reads");
        answer_of(&read_all(&mut ours).await)
    }

    /// The same server, with names that are each a dialect's own, on a connection within the process.
    pub(crate) async fn raw_under(&self, hosts: &[(&str, &str)], request: &[u8]) -> Answer {
        let hosts = hosts.iter().map(|(host, dialect)| ((*host).to_owned(), (*dialect).to_owned())).collect();
        let named = self.api.clone().hosts(&hosts);
        let (mut ours, theirs) = duplex(WIRE);
        tokio::spawn(named.serve_stream(theirs, self.address, self.stop.clone()));
        ours.write_all(request).await.expect("it reads");
        answer_of(&read_all(&mut ours).await)
    }

    /// Lets every connection end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn pass(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    /// Sends bytes, reads to the end of the connection.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // A server that refuses early may close before it has everything.
        let _early = stream.write_all(request).await;
        answer_of(&read_all(&mut stream).await)
    }

    pub(crate) async fn send(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    /// A native request with the key of that name.
    pub(crate) async fn native_as(&self, key: &str, method: &str, target: &str, body: &[u8]) -> Answer {
        let headers = format!("Authorization: Bearer {key}.{SECRET}\r\nContent-Type: application/json\r\n");
        self.send(method, target, &headers, body).await
    }

    pub(crate) async fn native(&self, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.native_as("admin", method, target, body.as_bytes()).await
    }
}

/// Everything until the other side closes or breaks off.
pub(crate) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    let reading = async {
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..length]);
        }
    };
    timeout(PATIENCE, reading).await.expect("closed in time");
    bytes
}

pub(crate) fn answer_of(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("a head, not {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

/// A request signed the way of Alibaba's newer SDKs. What is signed and what is sent can be told apart.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) method: &'static str,
    pub(crate) key: (&'static str, &'static str),
    pub(crate) action: &'static str,
    /// The query as it is sent.
    pub(crate) query: String,
    /// The query as it is signed; none: as it is sent.
    pub(crate) signed_query: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: &'static str,
    /// The body that the stated hash is of; none: the body.
    pub(crate) hashed_body: Option<Vec<u8>>,
    pub(crate) nonce: String,
    pub(crate) date: &'static str,
    pub(crate) sent_host: &'static str,
}

impl Signed {
    pub(crate) fn new(action: &'static str, query: impl Into<String>, nonce: &str) -> Self {
        Self {
            method: "POST",
            key: ("admin", SECRET),
            action,
            query: query.into(),
            signed_query: None,
            body: Vec::new(),
            content_type: "application/x-www-form-urlencoded",
            hashed_body: None,
            nonce: nonce.to_owned(),
            date: DATE,
            sent_host: "api.test",
        }
    }

    pub(crate) async fn send(&self, server: &Server) -> Answer {
        server.raw(&self.bytes()).await
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { method, action, query, nonce, date, .. } = self;
        let hash = hex::encode(Sha256::digest(self.hashed_body.as_ref().unwrap_or(&self.body)));
        let signed = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";
        let values = format!(
            "host:api.test\nx-acs-action:{action}\nx-acs-content-sha256:{hash}\nx-acs-date:{date}\n\
             x-acs-signature-nonce:{nonce}\nx-acs-version:2020-11-09\n"
        );
        let canonical_query = self.signed_query.as_ref().unwrap_or(query);
        let canonical = format!("{method}\n/\n{canonical_query}\n{values}\n{signed}\n{hash}");
        let text = format!("ACS3-HMAC-SHA256\n{}", hex::encode(Sha256::digest(canonical)));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.1.as_bytes()).expect("any length");
        mac.update(text.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let head = format!(
            "{method} /?{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: {}\r\nx-acs-action: {action}\r\nx-acs-version: 2020-11-09\r\nx-acs-date: {date}\r\n\
             x-acs-signature-nonce: {nonce}\r\nx-acs-content-sha256: {hash}\r\n\
             Authorization: ACS3-HMAC-SHA256 Credential={},SignedHeaders={signed},Signature={signature}\r\n\r\n",
            self.sent_host,
            self.body.len(),
            self.content_type,
            self.key.0,
        );
        [head.as_bytes(), &self.body].concat()
    }
}

/// One HTTP/2 frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of an HTTP/2 connection: preface and settings, each an identifier and a value.
pub(crate) fn h2_hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend_from_slice(&name.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, &payload).as_slice()].concat()
}

/// A text of a header block: its length with a prefix of seven bits (RFC 7541 section 5.1), and it.
fn h2_text(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.len());
    let low = |number: usize| u8::try_from(number % 256).expect("a byte");
    if rest >= 127 {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push(low(rest % 128 + 128));
            rest /= 128;
        }
    }
    bytes.push(low(rest));
    [bytes.as_slice(), text.as_bytes()].concat()
}

/// The header block of a request without a body that is written for HTTP/1.1: its host becomes the authority.
pub(crate) fn h2_block(request: &[u8]) -> Vec<u8> {
    let head = std::str::from_utf8(request).expect("UTF-8").trim_end();
    let (line, fields) = head.split_once("\r\n").expect("a request line");
    let mut parts = line.split(' ');
    let (method, path) = (parts.next().expect("a method"), parts.next().expect("a target"));
    let mut block = [&[0x86, 0x02], h2_text(method).as_slice(), &[0x04], &h2_text(path)].concat();
    let fields: Vec<(String, &str)> = fields
        .lines()
        .filter_map(|field| field.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    for (_, host) in fields.iter().filter(|(name, _)| name == "host") {
        block.extend([&[0x01], h2_text(host).as_slice()].concat());
    }
    let of_one_connection = |name: &str| matches!(name, "host" | "connection" | "content-length");
    for (name, value) in fields.iter().filter(|(name, _)| !of_one_connection(name)) {
        block.extend([&[0x00], h2_text(name).as_slice(), &h2_text(value)].concat());
    }
    block
}

/// The header block of a GET (RFC 7541: static names, literal values, nothing indexed).
pub(crate) fn h2_get(path: &str, token: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04];
    block.extend(h2_text(path));
    block.push(0x01);
    block.extend(h2_text("api.test"));
    block.extend([0x0f, 0x08]);
    block.extend(h2_text(&format!("Bearer {token}")));
    block
}
