//! Planted secrets and personal data are looked for in everything that is written: log lines down to `trace`, error
//! bodies, metrics labels. Alone in its process, because log lines of a process have one receiver.

#[allow(dead_code, reason = "shared with the tests of the door")]
#[path = "door/support.rs"]
mod support;

use callwright_api::{Limits, Rates};
use callwright_domain::access::KeyStatus;
use callwright_domain::{ApiKey, KeyId, Pii, Scope};
use callwright_testkit::{AGENT, CALLER, Callee, NodeBuilder, Plan};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use support::{Server, Signed, server_over};
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
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_written_anywhere() {
    let lines = Lines::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(lines.clone()).init();
    let callee =
        Callee::start(Plan { hang_up_after: Some(std::time::Duration::from_millis(300)), ..Plan::answer() }).await;
    let server = server_over(NodeBuilder::to(&callee), Limits::default(), Rates::default()).await;
    put(&server, "planted", KEY, &Scope::ALL, KeyStatus::Active).await;
    put(&server, "disabled", &planted("disabled"), &Scope::ALL, KeyStatus::Disabled).await;
    put(&server, "narrow", &planted("narrow"), &[Scope::CallsWrite], KeyStatus::Active).await;
    put(&server, "vendor", &planted("vendor"), &Scope::ALL, KeyStatus::Active).await;

    let errors = requests(&server).await;
    let bearer = format!("Authorization: Bearer planted.{KEY}\r\nContent-Type: application/json\r\n");
    let ask = async |method: &str, target: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        server.send(method, target, &bearer, body.as_bytes()).await
    };
    let trunk =
        json!({"host": "127.0.0.1", "port": 9, "username": planted("trunkuser"), "password": planted("trunkpassword")});
    let put_trunk = ask("PUT", "/v1/trunks/planted", trunk).await;
    assert_eq!(put_trunk.status, 200, "{}", put_trunk.json());
    assert_eq!(ask("PUT", "/v1/numbers/+15550456", json!({"trunk": "planted"})).await.status, 200);
    let made = ask("POST", "/v1/keys", json!({"name": "x", "scopes": ["calls_read"]})).await.json();
    let made = made["secret"].as_str().expect("shown once").rsplit('.').next().expect("a secret").to_owned();
    let shown = String::from_utf8(ask("GET", "/v1/trunks/planted", Value::Null).await.body).expect("text");
    let keys = String::from_utf8(ask("GET", "/v1/keys", Value::Null).await.body).expect("text");
    for body in [
        json!({"agent": AGENT, "to": NUMBER, "from": CALLER, "user_data": planted("userdata"), "variables": {"name": planted("variable")}}),
        json!({"agent": AGENT, "to": NUMBER, "from": "+15550456"}),
    ] {
        let started = ask("POST", "/v1/calls", body).await;
        assert_eq!(started.status, 202, "{}", started.json());
        let id = started.json()["id"].as_str().expect("an id").to_owned();
        if started.json()["from"] == CALLER {
            server.node.ended(id.parse().expect("ours")).await;
        }
        ask("POST", &format!("/v1/calls/{id}/hangup"), Value::Null).await;
    }

    let written = String::from_utf8_lossy(&lines.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(
        written.contains("answered") && written.len() > 10_000,
        "the log was taken at its finest: {}",
        written.len()
    );
    for (place, body) in &errors {
        assert!(!body.contains(&planted(place)), "{place}: an error body shows it: {body}");
    }
    assert!(!shown.contains("trunkpassword") && !keys.contains(&made));
    let mut leaks = Vec::new();
    for line in written.lines() {
        if line.contains("Secret7f3a") || line.contains(&made) || line.contains(&NUMBER[1..]) {
            leaks.push(line);
        }
    }
    assert!(leaks.is_empty(), "{} lines, such as {:#?}", leaks.len(), &leaks[..leaks.len().min(5)]);
}
