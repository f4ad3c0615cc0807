//! Planted secrets and personal data are looked for in everything that is written: log lines down to `trace`, error
//! bodies, bodies of webhooks, names and labels of metrics, what a panic says. Alone in its process, because log lines,
//! metrics and panics of a process have one receiver.

#[allow(dead_code, reason = "shared with the tests of the door")]
#[path = "door/support.rs"]
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::access::KeyStatus;
use callwright_domain::agent::Greeting;
use callwright_domain::{ApiKey, KeyId, Pii, Scope};
use callwright_testkit::{AGENT, CALLER, Callee, NodeBuilder, PATIENCE, Plan, Reply, ScriptedBrain};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use support::{Server, Signed, server_that_tells};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn note(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(format!("{text}\n").as_bytes());
    }
}

/// Names and labels of what is counted: the page of metrics shows these and numbers.
struct Labels(Lines);

impl Recorder for Labels {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.0.note(&key.to_string());
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.note(&key.to_string());
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.note(&key.to_string());
        Histogram::noop()
    }
}

/// A receiver of webhooks that keeps their bodies; its address.
async fn receiver(bodies: Lines) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook?token={}", listener.local_addr().expect("bound"), planted("hookurl"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, bodies.clone()));
        }
    });
    url
}

async fn receive(mut stream: TcpStream, bodies: Lines) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = |head: &str| {
            let head = head.to_ascii_lowercase();
            head.lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
                .expect("a length")
        };
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if body.len() >= length(head) => {
                bodies.note(body);
                bytes.clear();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.expect("it is read");
            }
            _ => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
        }
    }
}

/// A secret of its own for each place.
fn planted(place: &str) -> String {
    format!("Planted{place}Secret7f3a")
}

const KEY: &str = "PlantedkeySecret7f3a";
const NUMBER: &str = "+15550198743";

async fn put(server: &Server, id: &str, secret: &str, scopes: &[Scope], status: KeyStatus) {
    let key = ApiKey {
        id: KeyId::new(id).expect("an id"),
        account: server.node.account(),
        name: String::from("planted"),
        secret: Pii::new(secret.to_owned()),
        scopes: scopes.to_vec(),
        status,
    };
    server.node.store().put_key(key).await.expect("stored");
}

/// Requests with secrets in every place that people put them; the error bodies that came back.
async fn requests(server: &Server) -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    let bearer = format!("Authorization: Bearer planted.{KEY}\r\n");
    for (place, target, headers, body) in [
        (
            "wrongtoken",
            "/v1/agents",
            format!("Authorization: Bearer planted.{}\r\n", planted("wrongtoken")),
            String::new(),
        ),
        ("basic", "/v1/agents", format!("Authorization: Basic {}\r\n", planted("basic")), String::new()),
        ("cookie", "/v1/agents", format!("Cookie: session={}\r\n", planted("cookie")), String::new()),
        ("apikey", "/v1/agents", format!("X-Api-Key: {}\r\n", planted("apikey")), String::new()),
        ("query", "/v1/agents?api_key=PlantedquerySecret7f3a", bearer.clone(), String::new()),
        ("path", "/v1/calls/PlantedpathSecret7f3a", bearer.clone(), String::new()),
        ("deeppath", "/v1/calls/x/PlanteddeeppathSecret7f3a", bearer.clone(), String::new()),
        (
            "disabled",
            "/v1/agents",
            format!("Authorization: Bearer disabled.{}\r\n", planted("disabled")),
            String::new(),
        ),
        ("narrow", "/v1/agents", format!("Authorization: Bearer narrow.{}\r\n", planted("narrow")), String::new()),
        ("brokenjson", "/v1/calls", bearer.clone(), format!("{{\"agent\":\"{}\",", planted("brokenjson"))),
        ("unknownvalue", "/v1/calls", bearer.clone(), json!({"colour": planted("unknownvalue")}).to_string()),
        ("badnumber", "/v1/calls", bearer.clone(), json!({"agent": AGENT, "to": planted("badnumber")}).to_string()),
        (
            "badtime",
            "/v1/calls",
            bearer.clone(),
            json!({"agent": AGENT, "to": NUMBER, "deadline": planted("badtime")}).to_string(),
        ),
        (
            "badtype",
            "/v1/calls",
            bearer.clone(),
            json!({"agent": AGENT, "to": NUMBER, "overrides": {"limits": {"max_duration_s": planted("badtype")}}})
                .to_string(),
        ),
        (
            "badvariant",
            "/v1/calls",
            bearer.clone(),
            json!({"agent": AGENT, "to": NUMBER, "overrides": {"recording": planted("badvariant")}}).to_string(),
        ),
    ] {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let answer = server.send(method, target, &headers, body.as_bytes()).await;
        assert!(answer.status >= 400, "{place}: {}", answer.status);
        bodies.push((place.to_owned(), String::from_utf8_lossy(&answer.body).into_owned()));
    }
    let mut signed = Signed::new("DescribeAIAgentInstance", "InstanceId=x", "n1");
    signed.key = ("vendor", "PlantedvendorSecret7f3a");
    bodies.push((String::from("vendor"), String::from_utf8_lossy(&signed.send(server).await.body).into_owned()));
    signed.key = ("vendor", "PlantedvendorwrongSecret7f3a");
    bodies.push((String::from("vendorwrong"), String::from_utf8_lossy(&signed.send(server).await.body).into_owned()));
    bodies.extend(of_other_vendors(server).await);
    bodies
}

/// The same with credentials of the other vendors' shapes.
async fn of_other_vendors(server: &Server) -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    let scope = "vendor/2026-11-21/ccc/tc3_request";
    let signed = format!("SignedHeaders=content-type;host, Signature={}", planted("tencentsignature"));
    let tencent = format!(
        "Authorization: TC3-HMAC-SHA256 Credential={scope}, {signed}\r\nX-TC-Action: CreateAIAgentCall\r\n\
         X-TC-Version: 2020-02-10\r\nX-TC-Timestamp: 1795228167\r\nX-TC-Token: {}\r\nContent-Type: application/json\r\n",
        planted("tencenttoken")
    );
    let described = json!({"SdkAppId": 1, "Callee": NUMBER, "LLMType": "openai", "APIKey": planted("tencentapikey"),
        "APIUrl": format!("https://8.8.8.8/v1?key={}", planted("tencentapiurl"))});
    let older = format!(
        "SecretId=vendor&Action=CreateAICall&Version=2020-02-10&Timestamp=1795228167&Nonce=1&Signature={}\
        &APIKey={}",
        planted("tencentolder"),
        planted("tencentolderkey")
    );
    let form = String::from("Content-Type: application/x-www-form-urlencoded\r\n");
    let happy = |key: &str| format!("Authorization: Bearer vendor.{key}\r\nContent-Type: application/json\r\n");
    let dial =
        json!({"number_id": planted("happynumber"), "phone_number": NUMBER, "use_case_id": planted("happycase")});
    for (place, target, headers, body) in [
        ("tencentsignature", "/", tencent.clone(), described.to_string()),
        ("tencenttoken", "/", tencent.clone(), described.to_string()),
        ("tencentapikey", "/", tencent.clone(), described.to_string()),
        ("tencentapiurl", "/", tencent, described.to_string()),
        ("tencentolder", "/", form.clone(), older.clone()),
        ("tencentolderkey", "/", form, older),
        ("happywrong", "/api/v1/dial/outbound", happy(&planted("happywrong")), dial.to_string()),
        ("happynumber", "/api/v1/dial/outbound", happy(&planted("vendor")), dial.to_string()),
    ] {
        let answer = server.send("POST", target, &headers, body.as_bytes()).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status >= 400 || body.contains("\"Error\""), "{place}: {body}");
        bodies.push((place.to_owned(), body));
    }
    bodies
}

/// Stores what has secrets in it: a webhook, an agent with a model of its own. Gives what is made of secrets on the way, and
/// what shows the things again.
async fn with_secrets(server: &Server, bearer: &str, hook: &str) -> (Vec<String>, Vec<String>) {
    let ask = async |method: &str, target: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = server.send(method, target, bearer, body.as_bytes()).await;
        assert!(answer.status < 300, "{target}: {}", answer.json());
        answer
    };
    // Twenty-four bytes at the least, as the standard of webhooks has it.
    let secret = STANDARD.encode(planted("webhooksecret"));
    ask("POST", "/v1/webhooks", json!({"url": hook, "secret": format!("whsec_{secret}")})).await;
    // Nobody listens there any more: that it cannot be reached is told, and the address has a secret in it.
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    let endpoint = json!({"kind": "openai", "url": format!("http://{nobody}/v1?key={}", planted("endpointurl")),
        "key": planted("endpointkey")});
    let agent = json!({"brain": {"endpoint": endpoint}, "opening": {"greeting": {"model": "Greet."}}});
    ask("PUT", "/v1/agents/ownmodel", agent).await;
    let met = ask("POST", "/v1/browser-calls", json!({"agent": AGENT, "variables": {"name": "x"}})).await.json();
    let (token, channel) = (met["token"].as_str().expect("a token"), met["channel"].as_str().expect("a channel"));
    let offer = format!("Authorization: Bearer {token}\r\nContent-Type: application/sdp\r\n");
    let joined = server.send("POST", &format!("/v1/join/{channel}"), &offer, b"v=0\r\n").await;
    let mut shown = vec![String::from_utf8_lossy(&joined.body).into_owned()];
    for path in ["/v1/agents/ownmodel", "/v1/agents", "/v1/webhooks"] {
        shown.push(String::from_utf8_lossy(&ask("GET", path, Value::Null).await.body).into_owned());
    }
    (vec![secret, token.to_owned()], shown)
}

/// Everything that a process writes.
#[derive(Default)]
struct Written {
    lines: Lines,
    counted: Lines,
    panics: Lines,
    told: Lines,
}

impl Written {
    /// Begins to listen to everything but webhooks.
    fn listen() -> Self {
        let written = Self::default();
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(written.lines.clone()).init();
        assert!(metrics::set_global_recorder(Labels(written.counted.clone())).is_ok(), "alone in its process");
        let panics = written.panics.clone();
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            panics.note(&panic.to_string());
            usual(panic);
        }));
        written
    }

    /// Looks for secrets in what was written, and for the callee's number outside of webhooks, which tell it.
    fn check(&self, made: &[String]) {
        let (lines, told) = (self.lines.text(), self.told.text());
        assert!(lines.contains("answered") && lines.len() > 10_000, "the log was taken at its finest: {}", lines.len());
        assert!(self.panics.text().contains("as it was told to"), "a call panicked: {}", self.panics.text());
        assert!(self.counted.text().contains("callwright_"), "{}", self.counted.text());
        assert!(told.contains(&NUMBER[1..]), "webhooks were told: {told}");
        // The requester's own words are given back to the requester.
        let told = told.replace(&planted("userdata"), "").replace(&planted("variable"), "");
        let mut leaks = Vec::new();
        let others = [lines, self.counted.text(), self.panics.text()].join("\n");
        for (text, number) in [(&others, &NUMBER[1..]), (&told, "no number")] {
            let secret = |line: &&str| {
                line.contains("Secret7f3a")
                    || line.contains(number)
                    || made.iter().any(|made| line.contains(made.as_str()))
            };
            leaks.extend(text.lines().filter(secret).map(str::to_owned));
        }
        assert!(leaks.is_empty(), "{} lines, such as {:#?}", leaks.len(), &leaks[..leaks.len().min(5)]);
    }
}

/// A server whose model panics when it is asked, with keys of every kind; the others are left as they are.
async fn planted_server() -> (Server, Callee) {
    let callee =
        Callee::start(Plan { hang_up_after: Some(std::time::Duration::from_millis(300)), ..Plan::answer() }).await;
    let brain = ScriptedBrain::new().on("", [Reply::panic(), Reply::panic()]);
    let greeted = |agent: &mut callwright_domain::AgentProfile| {
        agent.opening.greeting = Greeting::Model(String::from("Greet {{ name }}."));
    };
    let server = server_that_tells(NodeBuilder::to(&callee).brain(&brain).agent(greeted).browsers()).await;
    put(&server, "planted", KEY, &Scope::ALL, KeyStatus::Active).await;
    put(&server, "disabled", &planted("disabled"), &Scope::ALL, KeyStatus::Disabled).await;
    put(&server, "narrow", &planted("narrow"), &[Scope::CallsWrite], KeyStatus::Active).await;
    put(&server, "vendor", &planted("vendor"), &Scope::ALL, KeyStatus::Active).await;
    (server, callee)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_anywhere() {
    let written = Written::listen();
    let (server, _callee) = planted_server().await;
    let hook = receiver(written.told.clone()).await;
    let errors = requests(&server).await;
    let bearer = format!("Authorization: Bearer planted.{KEY}\r\nContent-Type: application/json\r\n");
    let ask = async |method: &str, target: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        server.send(method, target, &bearer, body.as_bytes()).await
    };
    let (mut made, mut shown) = with_secrets(&server, &bearer, &hook).await;
    let trunk =
        json!({"host": "127.0.0.1", "port": 9, "username": planted("trunkuser"), "password": planted("trunkpassword")});
    let put_trunk = ask("PUT", "/v1/trunks/planted", trunk).await;
    assert_eq!(put_trunk.status, 200, "{}", put_trunk.json());
    assert_eq!(ask("PUT", "/v1/numbers/+15550456", json!({"trunk": "planted"})).await.status, 200);
    let key = ask("POST", "/v1/keys", json!({"name": "x", "scopes": ["calls_read"]})).await.json();
    made.push(key["secret"].as_str().expect("shown once").rsplit('.').next().expect("a secret").to_owned());
    for path in ["/v1/trunks/planted", "/v1/keys"] {
        shown.push(String::from_utf8(ask("GET", path, Value::Null).await.body).expect("text"));
    }
    for body in [
        json!({"agent": AGENT, "to": NUMBER, "from": CALLER, "user_data": planted("userdata"), "variables": {"name": planted("variable")}}),
        json!({"agent": "ownmodel", "to": NUMBER, "from": CALLER}),
        json!({"agent": AGENT, "to": NUMBER, "from": "+15550456", "variables": {"name": "x"}}),
    ] {
        let started = ask("POST", "/v1/calls", body).await;
        assert_eq!(started.status, 202, "{}", started.json());
        let id = started.json()["id"].as_str().expect("an id").to_owned();
        if started.json()["from"] == CALLER {
            server.node.ended(id.parse().expect("ours")).await;
        }
        ask("POST", &format!("/v1/calls/{id}/hangup"), Value::Null).await;
    }
    let all_told = async {
        while !written.told.text().contains("call.ended") && !written.told.text().contains("\"ended\"") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_told).await.expect("webhooks are told in time");
    for (place, body) in &errors {
        assert!(!body.contains(&planted(place)), "{place}: an error body shows it: {body}");
    }
    // Addresses and names of users are shown to whoever may see settings; keys and passwords to nobody.
    for body in &shown {
        let hidden = ["trunkpassword", "endpointkey"].map(planted);
        let found = made.iter().chain(&hidden).find(|secret| body.contains(secret.as_str()));
        assert!(found.is_none(), "{found:?}: {body}");
    }
    written.check(&made);
}
