//! The vectors of numbers on every door: the same verdict whoever asks. A new door is a new line in [`DOORS`].

use crate::support::{SECRET, Server, Signed, server};
use callwright_testkit::{AGENT, CALLER};
use serde_json::{Value, json};
use std::pin::Pin;

/// The number that a door's accepted call rings, or the words of its refusal.
type Verdict<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + 'a>>;

/// Asks a door to call a number; the turn makes the request different from the others.
type Ask = for<'a> fn(&'a Server, &'a str, usize) -> Verdict<'a>;

/// How each door is asked.
const DOORS: &[(&str, Ask)] = &[("native", by_native), ("alibaba", by_alibaba)];

fn by_native<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    Box::pin(async move {
        let body = json!({"agent": AGENT, "to": number, "from": CALLER}).to_string();
        let answer = server.native_as("admin", "POST", "/v1/calls", body.as_bytes()).await;
        match answer.status {
            202 => Ok(answer.json()["to"].as_str().expect("a number").to_owned()),
            _ => Err(answer.json()["error"]["code"].as_str().expect("a code").to_owned()),
        }
    })
}

fn by_alibaba<'a>(server: &'a Server, number: &'a str, turn: usize) -> Verdict<'a> {
    Box::pin(async move {
        let coded = |text: &str| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
            text.bytes().map(one).collect()
        };
        let query = format!("AIAgentId={AGENT}&CalledNumber={}&CallerNumber={}", coded(number), coded(CALLER));
        let answer = Signed::new("StartAIAgentOutboundCall", query, &format!("numbers{turn}")).send(server).await;
        let body = answer.json();
        match body["InstanceId"].as_str() {
            Some(id) => {
                let view = server.native_as("admin", "GET", &format!("/v1/calls/{id}"), b"").await;
                Ok(view.json()["to"].as_str().expect("a number").to_owned())
            }
            None => Err(body["Code"].as_str().expect("a code").to_owned()),
        }
    })
}

async fn set(server: &Server, path: &str, body: Value) {
    let answer = server.native_as("admin", "PUT", path, body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
}

#[tokio::test]
async fn every_door_gives_the_same_verdict_on_a_number() {
    let server = server().await;
    let cases = include_str!("../fixtures/dial_policy.jsonl").lines();
    let cases: Vec<Value> = cases.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(cases.len(), 32);
    let mut turn = 0;
    for case in &cases {
        let (name, number) = (case["name"].as_str().expect("a name"), case["number"].as_str().expect("a number"));
        for own in case["own_numbers"].as_array().into_iter().flatten() {
            set(&server, &format!("/v1/numbers/{}", own.as_str().expect("a number")), json!({"trunk": "loop"})).await;
        }
        let homes = case["home"].as_str().map_or(vec!["CN", "DE", "IN"], |home| vec![home]);
        for home in homes {
            set(&server, "/v1/rules", json!({ "home": home })).await;
            for (door, ask) in DOORS {
                turn += 1;
                let outcome = ask(&server, number, turn).await;
                match case["expect"].as_str().and_then(|expect| expect.split(' ').next()) {
                    Some("allow") => {
                        let dialled = case["e164"].as_str().expect("a number");
                        assert_eq!(outcome.as_deref(), Ok(dialled), "{name} on {door}");
                    }
                    Some("normalise") => {
                        let dialled = outcome.as_deref().unwrap_or("+14155550123");
                        assert_eq!(dialled, "+14155550123", "{name} on {door}");
                    }
                    _ => assert!(outcome.is_err(), "{name} from {home} on {door}: {outcome:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn rules_and_lists_are_set_shown_and_asked() {
    let server = server().await;
    let ask = async |method: &str, path: &str, body: &[u8]| server.native_as("admin", method, path, body).await;
    for (body, field) in [
        (r#"{"hours":{"status":"on","windows":[{"from":"21:00","to":"08:00"}]}}"#, "hours.windows"),
        (r#"{"hours":{"zone":"Mars/Olympus"}}"#, "hours.zone"),
        (r#"{"callee":{"at_most":[{"calls":0,"seconds":60}]}}"#, "callee.at_most"),
        (r#"{"surprise":1}"#, "surprise"),
    ] {
        let answer = ask("PUT", "/v1/rules", body.as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!(field)), "{body}");
    }
    assert_eq!(ask("GET", "/v1/rules", b"").await.json()["rules"]["home"], Value::Null, "nothing was half stored");
    let agent = format!("/v1/agents/{AGENT}/rules");
    set(&server, &agent, json!({"agent_calls": 3})).await;
    assert_eq!(ask("GET", &agent, b"").await.json()["effective"]["agent_calls"], 3);
    set(&server, "/v1/denied/+14155550123", json!({"reason": "asked"})).await;
    assert_eq!(ask("GET", "/v1/denied/+14155550123", b"").await.json()["reason"], "asked");
    for (door, ask) in DOORS {
        let words = if *door == "native" { "callee_blocked" } else { "Forbidden.CalledNumber" };
        assert_eq!(ask(&server, "+14155550123", 1000).await, Err(words.to_owned()), "{door}");
    }
    assert_eq!(ask("DELETE", "/v1/denied/+14155550123", b"").await.status, 204);
    set(&server, "/v1/rules", json!({"consent": {"status": "on"}})).await;
    assert_eq!(by_native(&server, "+14155550123", 0).await, Err(String::from("no_consent")));
    set(&server, "/v1/consents/+14155550123", json!({"scope": "service", "source": "form"})).await;
    assert_eq!(by_native(&server, "+14155550123", 0).await, Ok(String::from("+14155550123")));
}

/// What a request would meet, with everything that the answer is made of; and nothing is left of having asked.
#[tokio::test]
async fn a_call_can_be_tried_out() {
    let server = server().await;
    let request = json!({"agent": AGENT, "to": "+14155550123"});
    let body = request.to_string();
    let dry =
        async |query: &str| server.native_as("admin", "POST", &format!("/v1/calls?{query}"), body.as_bytes()).await;
    let placed = dry("dry_run=true").await;
    let told = placed.json();
    assert_eq!((placed.status, &told["verdict"], &told["rule"]), (200, &json!("placed"), &Value::Null), "{told}");
    assert_eq!((&told["dry_run"], &told["to"]), (&json!(true), &json!("+14155550123")));
    assert_eq!(told["evidence"]["facts"]["callee"], "free");
    set(&server, "/v1/denied/+14155550123", json!({"reason": "asked"})).await;
    let refused = dry("dry_run=true").await.json();
    assert_eq!((&refused["verdict"], &refused["rule"]), (&json!("refused"), &json!("callee_blocked")), "{refused}");
    assert_eq!(refused["dialled_at"], Value::Null);
    for (query, field) in [("dry_run=yes", "dry_run"), ("dryrun=true", "dryrun")] {
        let answer = dry(query).await;
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!(field)), "{query}");
    }
    let calls = server.native_as("admin", "GET", "/v1/calls", b"").await.json();
    assert_eq!(calls["calls"], json!([]), "{calls}");
    // Where the callee is said to be is where the clock is read.
    let zones = async |method: &str, body: &str| {
        server.native_as("admin", method, "/v1/zones/+14155550123", body.as_bytes()).await
    };
    assert_eq!(zones("GET", "").await.status, 404);
    assert_eq!(zones("PUT", r#"{"zone": "Mars/Olympus"}"#).await.json()["error"]["field"], "zone");
    assert_eq!(zones("PUT", r#"{"zone": "Asia/Tokyo"}"#).await.json()["zone"], "Asia/Tokyo");
    assert_eq!(dry("dry_run=true").await.json()["evidence"]["clocks"][0][0], "Asia/Tokyo");
    assert_eq!(zones("DELETE", "").await.status, 204);
    assert_eq!(zones("DELETE", "").await.status, 404);
}

/// A file of numbers in any order, with what is wrong told by its line.
#[tokio::test]
async fn a_list_comes_as_a_file() {
    let server = server().await;
    let ask = async |method: &str, path: &str, body: &[u8]| server.native_as("admin", method, path, body).await;
    let csv = format!("Authorization: Bearer admin.{SECRET}\r\nContent-Type: text/csv\r\n");
    let file =
        "number,why\n+14155550199,asked\nnobody\n+14155550101\na,b\n+14155550199,again\n+8613800138000, by mail\n";
    let answer = server.send("POST", "/v1/denied", &csv, file.as_bytes()).await.json();
    assert_eq!((&answer["read"], &answer["added"], &answer["invalid"]), (&json!(4), &json!(3), &json!(2)), "{answer}");
    let lines: Vec<_> = answer["errors"].as_array().expect("a list").iter().map(|one| one["line"].clone()).collect();
    assert_eq!(lines, [3, 5]);
    for (number, reason) in [("+14155550199", "asked"), ("+14155550101", ""), ("+8613800138000", "by mail")] {
        assert_eq!(ask("GET", &format!("/v1/denied/{number}"), b"").await.json()["reason"], reason, "{number}");
    }
}

/// Of several numbers that may show, the answer names the one that does.
#[tokio::test]
async fn the_answer_names_the_number_that_was_chosen() {
    const SPARE: &str = "+15550555";
    let server = server().await;
    set(&server, &format!("/v1/numbers/{CALLER}"), json!({"trunk": "loop", "max_calls": 1})).await;
    set(&server, &format!("/v1/numbers/{SPARE}"), json!({"trunk": "loop"})).await;
    for shows in [CALLER, SPARE] {
        let body = json!({"agent": AGENT, "to": "+15550123", "from": [CALLER, SPARE]});
        let answer = server.native("POST", "/v1/calls", &body).await;
        let made = answer.json();
        assert_eq!((answer.status, &made["from"]), (202, &json!(shows)));
        let path = format!("/v1/calls/{}", made["id"].as_str().expect("an id"));
        assert_eq!(server.native_as("admin", "GET", &path, b"").await.json()["from"], json!(shows));
    }
}
