//! HappyRobot's dialect over a real socket: the listed attacks on it, and what its users read back.

use crate::support::{Answer, OTHER_AGENT, OTHER_NUMBER, SECRET, Server, key_with, server};
use callwright_domain::agent::Greeting;
use callwright_domain::{AgentProfile, Scope};
use callwright_testkit::{AGENT, CALLER};
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) const CALLEE: &str = "+15550123";

pub(crate) async fn ask(server: &Server, method: &str, path: &str, headers: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let headers = format!("authorization: Bearer admin.{SECRET}\r\nContent-Type: application/json\r\n{headers}");
    server.send(method, &format!("/api/v1/{path}"), &headers, body.as_bytes()).await
}

pub(crate) async fn get(server: &Server, path: &str) -> Value {
    let answer = ask(server, "GET", path, "", &Value::Null).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    answer.json()
}

pub(crate) fn message(answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{json}");
    json["message"].as_str().expect("the vendor's envelope").to_owned()
}

/// The id under which the account's own thing is called, as `GET /v1/ids` prints it.
pub(crate) async fn id_as(server: &Server, key: &str, names: &str) -> String {
    let ids = server.native_as(key, "GET", "/v1/ids", b"").await.json();
    let all = ids["ids"].as_array().expect("ids").clone();
    let found = all.iter().find(|id| id["dialect"] == "happyrobot" && id["names"] == names);
    found.and_then(|id| id["id"].as_str()).unwrap_or_else(|| panic!("{names}: {ids}")).to_owned()
}

pub(crate) async fn request(server: &Server) -> Value {
    json!({
        "number_id": id_as(server, "admin", CALLER).await,
        "phone_number": CALLEE,
        "use_case_id": id_as(server, "admin", AGENT).await,
    })
}

/// Whether there is such a case; panics when it fails.
pub(crate) async fn case(name: &str, server: &Server) -> bool {
    let body = request(server).await;
    let text = body.to_string();
    let with = |authorization: &str| format!("Authorization: {authorization}\r\n");
    let dial = |headers: String| {
        let text = text.clone();
        async move { server.send("POST", "/api/v1/dial/outbound", &headers, text.as_bytes()).await }
    };
    match name {
        "bearer-empty" => {
            for empty in ["Bearer", "Bearer ", "", "Basic YTpi"] {
                let answer = dial(with(empty)).await;
                assert_eq!((answer.status, message(&answer).is_empty()), (401, false), "{empty}");
            }
            assert_eq!(dial(String::new()).await.status, 401);
        }
        "bearer-prefix-of-key" => {
            let whole = format!("admin.{SECRET}");
            for length in [whole.len() - 1, whole.len() - 2, 6] {
                assert_eq!(dial(with(&format!("Bearer {}", &whole[..length]))).await.status, 401);
            }
        }
        "bearer-in-query" => {
            let target = format!("/api/v1/dial/outbound?api_key=admin.{SECRET}");
            assert_eq!(server.send("POST", &target, "", text.as_bytes()).await.status, 401);
        }
        "idempotency-same-key-same-body" => {
            let key = "Idempotency-Key: happy-same\r\n";
            let first = ask(server, "POST", "dial/outbound", key, &body).await.json();
            let again = ask(server, "POST", "dial/outbound", key, &body).await.json();
            assert_eq!((&first["id"], first["id"].as_str().map(str::len)), (&again["id"], Some(24)));
        }
        "idempotency-same-key-other-body" => {
            let key = "Idempotency-Key: happy-other\r\n";
            assert_eq!(ask(server, "POST", "dial/outbound", key, &body).await.status, 200);
            let mut other = body.clone();
            other["phone_number"] = json!("+15550199");
            assert_eq!(ask(server, "POST", "dial/outbound", key, &other).await.status, 409);
            let found = get(server, "calls?search=15550199").await;
            assert_eq!(found["count"], 0);
        }
        "idempotency-concurrent-50" => {
            let key = "Idempotency-Key: happy-fifty\r\n";
            let all = (0..50).map(|_| ask(server, "POST", "dial/outbound", key, &body));
            let answers = futures_util::future::join_all(all).await;
            let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
            assert_eq!(ids.len(), 1, "{ids:?}");
        }
        "idempotency-key-256" => {
            let key = |length| format!("Idempotency-Key: {}\r\n", "k".repeat(length));
            assert_eq!(ask(server, "POST", "dial/outbound", &key(256), &body).await.status, 400);
            assert_eq!(ask(server, "POST", "dial/outbound", &key(255), &body).await.status, 200);
        }
        _ => return foreign(name, server, &body).await,
    }
    true
}

/// The cases with ids of another account.
async fn foreign(name: &str, server: &Server, body: &Value) -> bool {
    match name {
        "happyrobot-foreign-agent-id" => {
            let theirs = id_as(server, crate::support::OTHER_KEY, OTHER_AGENT).await;
            for name in ["use_case_id", "agent_id", "prompt_id", "model_id"] {
                let with = |id: &str| {
                    let mut body = body.clone();
                    body[name] = json!(id);
                    body
                };
                let foreign = ask(server, "POST", "dial/outbound", "", &with(&theirs)).await;
                let random = ask(server, "POST", "dial/outbound", "", &with("65f000000000000000000000")).await;
                assert_eq!((foreign.status, &foreign.body), (404, &random.body), "{name}");
            }
        }
        "happyrobot-foreign-caller-number" => {
            let mut foreign = body.clone();
            foreign["number_id"] = json!(id_as(server, crate::support::OTHER_KEY, OTHER_NUMBER).await);
            let answer = ask(server, "POST", "dial/outbound", "", &foreign).await;
            assert_eq!((answer.status, message(&answer).as_str()), (404, "no number with this id exists"));
        }
        _ => return false,
    }
    true
}

#[tokio::test]
async fn a_call_comes_back_as_it_was_asked_for() {
    let server = server().await;
    let mut body = request(&server).await;
    let more = json!({
        "metadata": {"clientId": "123", "deep": {"list": [1, null]}}, "params": {"name": "Ann", "age": 7},
        "campaign_id": "spring sale", "language": "es-MX", "max_duration_mins": 3, "model": "Fast",
        "agent_id": body["use_case_id"], "prompt_id": body["use_case_id"], "model_id": body["use_case_id"],
        "voice_id": body["use_case_id"], "scheduled_for": "2099-01-01T02:01:01+01:00", "no such member": 1,
    });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let answer = ask(&server, "POST", "dial/outbound", "", &body).await;
    let call = answer.json();
    assert_eq!(answer.status, 200, "{call}");
    for name in ["id", "organization_id"] {
        assert_eq!(call[name].as_str().map(str::len), Some(24), "{name}");
    }
    assert_eq!(call["metadata"]["custom"], body["metadata"]);
    assert_eq!((&call["metadata"]["from"], &call["metadata"]["to"]), (&json!(CALLER), &body["phone_number"]));
    assert_eq!((&call["params"], &call["campaign_id"]), (&body["params"], &body["campaign_id"]));
    assert_eq!((&call["language"], &call["use_case"]["id"]), (&json!("es-MX"), &body["use_case_id"]));
    assert_eq!((&call["max_duration_mins"], &call["status"]), (&json!(3), &json!("Scheduled")));
    assert_eq!((&call["type"], &call["provider"]), (&json!("Outbound"), &json!("Twilio")));
    assert_eq!(call["scheduled_for"], "2099-01-01T01:01:01Z");
    let id = call["id"].as_str().expect("an id");
    assert_eq!(get(&server, &format!("calls/{id}")).await, call);
    let counts = [("", 1), ("?limit=1", 1), ("?ratings=x", 0), ("?transfer_contact_email=a%40b.example", 0)];
    for (filter, count) in counts {
        assert_eq!(get(&server, &format!("calls{filter}")).await["count"], count, "{filter}");
    }
    // Every parameter reached the call that will be made.
    let kept = server.native("GET", "/v1/calls", &Value::Null).await.json()["calls"][0]["id"].clone();
    let kept = kept.as_str().expect("an id").parse().expect("ours");
    let view = server.node.calls().reader().call(&server.node.account(), kept).await.expect("read").expect("there");
    assert_eq!(view.plan.wait_ms, 86_400_000, "it waits for a line for a day");
    assert_eq!((view.plan.agent.limits.max_duration_s, view.plan.agent.language.as_str()), (180, "es-MX"));
    assert_eq!(view.plan.variables["age"], "7");
    assert_eq!(view.plan.due.millis(), 4_070_912_461_000);
    let transcript = get(&server, &format!("calls/{id}/transcript")).await;
    assert_eq!((&transcript["call_id"], &transcript["messages"]), (&call["id"], &json!([])));
    assert_eq!(ask(&server, "GET", &format!("calls/{id}/recording"), "", &Value::Null).await.status, 404);
    let cancelled = ask(&server, "POST", &format!("calls/{id}/cancel"), "", &Value::Null).await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(get(&server, &format!("calls/{id}")).await["status"], "Canceled");
    for again in ["stop", "cancel"] {
        let answer = ask(&server, "POST", &format!("calls/{id}/{again}"), "", &Value::Null).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("Canceled")), "{again}");
    }
}

#[tokio::test]
async fn mistakes_are_named_in_the_vendors_envelope() {
    let server = server().await;
    let good = request(&server).await;
    for (name, value, status, words) in [
        ("number_id", Value::Null, 400, "number_id is missing"),
        ("number_id", json!(7), 400, "number_id is not valid"),
        ("phone_number", Value::Null, 400, "phone_number is missing"),
        ("phone_number", json!("sip:x@y"), 400, "phone_number is not valid"),
        ("use_case_id", json!("x"), 404, "no use case"),
        ("assistant_id", json!(7), 400, "assistant_id"),
        ("voice_id", json!("nobody"), 404, "no voice"),
        ("language", json!("tlh"), 400, "language"),
        ("model", json!("Slow"), 400, "model"),
        ("metadata", json!("x"), 400, "metadata"),
        ("scheduled_for", json!("tomorrow"), 400, "scheduled_for"),
        ("max_duration_mins", json!(0), 400, "max_duration_mins"),
        ("campaign_id", json!(1), 400, "campaign_id"),
    ] {
        let mut body = good.clone();
        body[name] = value;
        let answer = ask(&server, "POST", "dial/outbound", "", &body).await;
        let said = message(&answer);
        assert!(answer.status == status && said.contains(words), "{name}: {} {said}", answer.status);
        let batch = ask(&server, "POST", "dial/outbound-batched", "", &json!([good, body])).await;
        assert!(message(&batch).starts_with("[1]: "), "{name}");
    }
    assert_eq!(get(&server, "calls").await["count"], 0, "no call was made");
    for (method, path, status) in [
        ("POST", "tools", 501),
        ("PATCH", "calls/65f000000000000000000000/rating", 501),
        ("GET", "calls?limit=0", 400),
        ("GET", "calls?limit=201", 400),
        ("GET", "calls?statuses=Sleeping", 400),
        ("GET", "nothing", 404),
        ("GET", "calls/65f000000000000000000000", 404),
        ("POST", "dial/outbound", 400),
    ] {
        let answer = ask(&server, method, path, "", &Value::Null).await;
        assert_eq!(answer.status, status, "{path}: {}", message(&answer));
    }
    let headers = format!("Authorization: Bearer {}.{SECRET}\r\n", key_with(Scope::CallsRead));
    let answer = server.send("POST", "/api/v1/dial/outbound", &headers, b"{}").await;
    assert_eq!((answer.status, message(&answer).is_empty()), (403, false));
}

#[tokio::test]
async fn the_calls_of_a_list_have_a_time_together_and_each_its_own() {
    let server = server().await;
    let body = request(&server).await;
    let mut timed = body.clone();
    timed["scheduled_for"] = json!("2099-01-03T00:00:00Z");
    timed["staggered_interval_minutes"] = json!(60);
    timed["calls"] = json!([{"phone_number": "+15550006"}, {"phone_number": "+15550007"},
        {"phone_number": "+15550008", "scheduled_for": "2099-01-02T00:00:00Z"}]);
    let made = ask(&server, "POST", "dial/scheduled", "", &timed).await.json();
    let due = ["0", "1", "2"].map(|at| made.pointer(&format!("/createdCalls/{at}/scheduled_for")).cloned());
    let wanted = ["2099-01-03T00:00:00Z", "2099-01-03T01:00:00Z", "2099-01-02T00:00:00Z"];
    assert_eq!(due, wanted.map(|at| Some(json!(at))), "{made}");
    for own in [
        json!({"scheduled_for": "garbage"}),
        json!({"scheduled_for": 7}),
        json!({"scheduled_for": "2099-01-02T00:00:00Z", "scheduled_date": "2099-01-02"}),
    ] {
        let mut wrong = body.clone();
        wrong["calls"] = json!([own]);
        wrong["calls"][0]["phone_number"] = json!("+15550008");
        assert_eq!(ask(&server, "POST", "dial/scheduled", "", &wrong).await.status, 400, "{wrong}");
    }
}

/// As long as a list may be, with one that is refused at its end.
#[tokio::test]
async fn none_of_a_long_list_is_made_when_its_last_is_refused() {
    let server = server().await;
    let good = request(&server).await;
    let denied = server.native_as("admin", "PUT", "/v1/denied/+14155550123", br#"{"reason": "asked"}"#).await;
    assert!((200..300).contains(&denied.status), "{}", denied.json());
    let list = |many: usize, scheduled: Value| {
        let element = |at: usize| {
            let mut body = good.clone();
            body["phone_number"] = json!(format!("+1555{:07}", 1_000_000 + at));
            body["scheduled_for"] = scheduled.clone();
            body
        };
        (0..many).map(element).collect::<Vec<_>>()
    };
    let later = || json!("2099-01-01T00:00:00Z");
    for (many, scheduled) in [(3, Value::Null), (499, later())] {
        let mut batch = list(many, scheduled);
        let mut last = good.clone();
        last["phone_number"] = json!("+14155550123");
        batch.push(last);
        let refused = ask(&server, "POST", "dial/outbound-batched", "", &json!(batch)).await;
        assert!(message(&refused).starts_with(&format!("[{many}]: ")), "{}", refused.json());
        assert_eq!(get(&server, "calls").await["count"], 0, "no call was made");
    }
    let batch = json!(list(500, later()));
    let made = ask(&server, "POST", "dial/outbound-batched", "Idempotency-Key: k\r\n", &batch).await.json();
    assert_eq!(made.as_array().map(Vec::len), Some(500));
    let again = ask(&server, "POST", "dial/outbound-batched", "Idempotency-Key: k\r\n", &batch).await.json();
    assert_eq!(made, again, "the same calls");
    assert_eq!(get(&server, "calls").await["count"], 500);
}

#[tokio::test]
async fn many_calls_are_made_together_and_found_by_every_filter() {
    let server = server().await;
    let good = request(&server).await;
    let element = |number: &str, campaign: &str| {
        let mut body = good.clone();
        body["phone_number"] = json!(number);
        body["campaign_id"] = json!(campaign);
        body["scheduled_for"] = json!("2099-01-01T00:00:00Z");
        body
    };
    let batch = json!([element("+15550001", "a"), element("+15550002", "b")]);
    let made = ask(&server, "POST", "dial/outbound-batched", "", &batch).await;
    assert_eq!(made.status, 200, "{}", made.json());
    let to = |call: &Value| call["metadata"]["to"].clone();
    assert_eq!(made.json().as_array().expect("a list").iter().map(to).collect::<Vec<_>>(), ["+15550001", "+15550002"]);
    let mut body = good.clone();
    body["calls"] = json!([[
        {"phone_number": "+15550003", "scheduled_date": "2099-01-01", "scheduled_time": "01:01:01", "timezone": "Europe/Madrid", "fruit": "fig"},
        {"phone_number": "+15550004", "max_duration_mins": 2},
    ]]);
    body["campaign_name"] = json!("c");
    body["staggered_interval_minutes"] = json!(60);
    let made = ask(&server, "POST", "dial/scheduled", "", &body).await.json();
    let calls = made["createdCalls"].as_array().unwrap_or_else(|| panic!("{made}")).clone();
    assert_eq!(
        (&calls[0]["scheduled_for"], &calls[0]["params"]["fruit"]),
        (&json!("2099-01-01T00:01:01Z"), &json!("fig"))
    );
    assert_eq!((&calls[0]["status"], &calls[1]["max_duration_mins"]), (&json!("Scheduled"), &json!(2)));
    assert_eq!(calls[1]["scheduled_for"], "2026-11-21T03:29:27Z", "an hour after the first");
    let mut dateless = body.clone();
    dateless["calls"] = json!([{"phone_number": "+15550005", "scheduled_time": "01:01:01"}]);
    assert_eq!(ask(&server, "POST", "dial/scheduled", "", &dateless).await.status, 400, "a time of no day");
    body["csv_file"] = json!("eA==");
    assert_eq!(ask(&server, "POST", "dial/scheduled", "", &body).await.status, 400, "both a list and a file");
    let id = good["use_case_id"].as_str().expect("an id");
    for (query, count, shown) in [
        (String::from("limit=2"), 4, 2),
        (String::from("limit=3&skip=3"), 4, 1),
        (String::from("type=Inbound"), 0, 0),
        (String::from("type=Outbound&sort=asc"), 4, 4),
        (String::from("statuses=Scheduled,Transferred&campaigns=a,b"), 2, 2),
        (String::from("statuses=No%20answer"), 0, 0),
        (String::from("campaigns=a,c"), 3, 3),
        (String::from("search=5550002"), 1, 1),
        (String::from("search=fig"), 0, 0),
        (format!("use_cases={id}&limit=1"), 4, 1),
        (format!("models={id}&limit=1"), 4, 1),
        (String::from("models=65f000000000000000000000"), 0, 0),
        (String::from("tags=sold"), 0, 0),
        (String::from("from=2026-11-21&to=2026-11-21"), 4, 4),
        (String::from("to=2026-11-20"), 0, 0),
    ] {
        let list = get(&server, &format!("calls?{query}")).await;
        assert_eq!((&list["count"], list["calls"].as_array().map(Vec::len)), (&json!(count), Some(shown)), "{query}");
    }
}

#[tokio::test]
async fn ids_are_found_and_given() {
    let server = server().await;
    let number = id_as(&server, "admin", CALLER).await;
    let numbers = get(&server, "numbers").await;
    assert_eq!((&numbers[0]["id"], &numbers[0]["number"]), (&json!(number), &json!(CALLER)));
    assert_eq!(get(&server, &format!("numbers/{number}")).await, numbers[0]);
    let case = id_as(&server, "admin", AGENT).await;
    assert_eq!(get(&server, "use-cases").await[0]["id"], json!(case));
    let agent = get(&server, "agents").await[0].take();
    assert_eq!(agent["id"], json!(case));
    let made = agent["created_at"].as_str().expect("a time");
    assert!(made.len() == 20 && made.ends_with('Z'), "{agent}");
    // Changing it makes it no younger.
    let case_path = format!("use-cases/{case}");
    server.pass(7_200_000);
    assert_eq!(ask(&server, "PATCH", &case_path, "", &json!({"name": "Renamed"})).await.status, 200);
    assert_eq!(get(&server, "agents").await[0]["created_at"], made);
    // The id that some code has already takes the made one's place.
    let mine = "65f0a1b2c3d4e5f60718293a";
    for (kind, names) in [("agent", AGENT), ("number", CALLER)] {
        let body = json!({"dialect": "happyrobot", "kind": kind, "id": mine, "names": names});
        assert_eq!(server.native("PUT", "/v1/ids", &body).await.status, 200, "{kind}");
    }
    let body = json!({"number_id": mine, "phone_number": CALLEE, "use_case_id": mine});
    assert_eq!(ask(&server, "POST", "dial/outbound", "", &body).await.json()["use_case"]["id"], mine);
    let body = json!({"number_id": number, "phone_number": CALLEE});
    assert_eq!(ask(&server, "POST", "dial/outbound", "", &body).await.status, 404);
    // Without a use case, the account's only one is meant.
    let body = json!({"number_id": mine, "phone_number": CALLEE});
    assert_eq!(ask(&server, "POST", "dial/outbound", "", &body).await.json()["use_case"]["id"], mine);
}

#[tokio::test]
async fn a_call_that_names_no_use_case_has_that_of_its_number() {
    let server = server().await;
    assert!(server.native("PUT", "/v1/agents/other", &json!({"name": "Other"})).await.status < 300);
    let (number, first) = (id_as(&server, "admin", CALLER).await, id_as(&server, "admin", AGENT).await);
    let (other, path) = (id_as(&server, "admin", "other").await, format!("numbers/{number}"));
    let body = json!({"number_id": number, "phone_number": CALLEE});
    let nameless = ask(&server, "POST", "dial/outbound", "", &body).await;
    assert_eq!((nameless.status, message(&nameless).contains("use_case_id")), (400, true), "which of two?");
    assert_eq!(get(&server, &path).await["use_case_config"], Value::Null);
    for (change, case) in [
        (json!({"use_case_config": {"id": other, "prompt_routes": [], "agent_routes": []}}), &other),
        (json!({"use_case_id": first}), &first),
    ] {
        let changed = ask(&server, "PATCH", &path, "", &change).await;
        assert_eq!((changed.status, &changed.json()["use_case_config"]["id"]), (200, &json!(case)), "{change}");
        assert_eq!(get(&server, "numbers").await[0]["use_case_config"]["id"], json!(case));
        let made = ask(&server, "POST", "dial/outbound", "", &body).await;
        assert_eq!((made.status, &made.json()["use_case"]["id"]), (200, &json!(case)), "{change}");
    }
    for (change, status, words) in [
        (json!({}), 400, "use_case_config.id"),
        (json!({"use_case_id": "65f000000000000000000000"}), 404, "no use case"),
        (
            json!({"use_case_config": {"id": other, "agent_routes": [{"probability": 100, "id": other}]}}),
            501,
            "agent_routes",
        ),
        (json!({"title": "Sales"}), 501, "title"),
    ] {
        let refused = ask(&server, "PATCH", &path, "", &change).await;
        assert!(refused.status == status && message(&refused).contains(words), "{change}: {}", refused.json());
    }
    // As the native API shows it; what it knows nobody by is refused there.
    let native = format!("/v1/numbers/{CALLER}");
    let shown = server.native("GET", &native, &Value::Null).await.json();
    assert_eq!(shown["agent"], AGENT);
    let mut wrong = shown.clone();
    wrong["agent"] = json!("nobody");
    assert_eq!(server.native("PUT", &native, &wrong).await.status, 400);
    assert_eq!(server.native("PUT", &native, &shown).await.json(), shown);
    // An agent that is gone is none.
    wrong["agent"] = json!("other");
    assert_eq!(server.native("PUT", &native, &wrong).await.status, 200);
    assert!(server.native("DELETE", "/v1/agents/other", &Value::Null).await.status < 300);
    assert_eq!(ask(&server, "POST", "dial/outbound", "", &body).await.json()["use_case"]["id"], json!(first));
}

/// What an id of an agent, a prompt, a model or a voice takes from the agent that it names, and leaves of the use case.
#[tokio::test]
async fn each_id_takes_its_part_of_an_agent() {
    let server = server().await;
    let other = json!({
        "name": "Other", "voice": {"voice": "v2", "rate": 1.5}, "opening": {"greeting": {"text": "Other greeting"}},
        "brain": {"system_prompt": "Other prompt", "model": "m2", "temperature": 0.5},
    });
    assert!(server.native("PUT", "/v1/agents/other", &other).await.status < 300);
    let (first, second) = (id_as(&server, "admin", AGENT).await, id_as(&server, "admin", "other").await);
    let number = id_as(&server, "admin", CALLER).await;
    let base = json!({"number_id": number, "phone_number": CALLEE, "scheduled_for": "2099-01-01T00:00:00Z"});
    let parts = |agent: &AgentProfile| {
        let greeting = agent.opening.greeting == Greeting::Text(String::from("Other greeting"));
        [
            ("agent_id", agent.voice.voice == "v2" && (agent.voice.rate - 1.5).abs() < 1e-9),
            ("prompt_id", agent.brain.system_prompt == "Other prompt" && greeting),
            ("model_id", agent.brain.model == "m2" && agent.brain.temperature == Some(0.5)),
        ]
    };
    for (name, id, taken) in [
        ("agent_id", second.as_str(), vec!["agent_id"]),
        ("prompt_id", &second, vec!["prompt_id"]),
        ("model_id", &second, vec!["model_id"]),
        ("voice_id", "v2", vec!["agent_id"]),
        ("assistant_id", &second, vec!["agent_id", "prompt_id", "model_id"]),
    ] {
        let mut body = base.clone();
        if name != "assistant_id" {
            body["use_case_id"] = json!(first);
        }
        body[name] = json!(id);
        let answer = ask(&server, "POST", "dial/outbound", "", &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.json());
        let newest = server.native("GET", "/v1/calls?limit=1", &Value::Null).await.json()["calls"][0]["id"].clone();
        let newest = newest.as_str().expect("an id").parse().expect("ours");
        let view = server.node.calls().reader().call(&server.node.account(), newest).await.expect("read");
        let agent = view.expect("there").plan.agent;
        for (part, is_other) in parts(&agent) {
            assert_eq!(is_other, taken.contains(&part), "{name}: {part}");
        }
        server.pass(1000);
    }
}
