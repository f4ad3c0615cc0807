//! The vectors of numbers on every door: the same verdict whoever asks. A new door is a new line in [`DOORS`].

use crate::support::{NOW, SECRET, Server, server};
use crate::tencent::{Tc3, numbered, request};
use crate::{alibaba_notify, happyrobot};
use callwright_domain::campaign::{Row, RowState};
use callwright_domain::{AgentId, CampaignId};
use callwright_store::{AliasKind, CampaignKey, RowFilter};
use callwright_testkit::{AGENT, CALLER, PATIENCE};
use serde_json::{Value, json};
use std::pin::Pin;
use tokio::task::yield_now;
use tokio::time::timeout;

/// The number that a door's accepted call rings, or the words of its refusal.
type Verdict<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + 'a>>;

/// Asks a door to call a number; the turn makes the request different from the others.
type Ask = for<'a> fn(&'a Server, &'a str, usize) -> Verdict<'a>;

/// How each door is asked, and what it says of a callee who is on the list of those not to be called.
const DOORS: &[(&str, Ask, &str)] = &[
    ("native", by_native, "callee_blocked"),
    ("native, scheduled", by_schedule, "callee_blocked"),
    ("StartAIAgentOutboundCall", by_alibaba, "Forbidden.CalledNumber"),
    ("CreateAIAgentCall", by_tencent, "FailedOperation.CalleeIsBlackUser"),
    ("CreateAICall", by_described_agent, "FailedOperation.CalleeIsBlackUser"),
    ("dial/outbound", by_happyrobot, "the callee is on a do-not-call list"),
    ("dial/outbound-batched", by_batch, "[0]: the callee is on a do-not-call list"),
    ("dial/scheduled", by_happy_schedule, "[0]: the callee is on a do-not-call list"),
];

fn by_native<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    Box::pin(placed(server, json!({"agent": AGENT, "to": number, "from": CALLER})))
}

fn by_schedule<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    let due = "2099-01-01T00:00:00Z";
    Box::pin(placed(server, json!({"agent": AGENT, "to": number, "from": CALLER, "scheduled_for": due})))
}

async fn placed(server: &Server, body: Value) -> Result<String, String> {
    let answer = server.native("POST", "/v1/calls", &body).await;
    match answer.status {
        202 => Ok(answer.json()["to"].as_str().expect("a number").to_owned()),
        _ => Err(answer.json()["error"]["code"].as_str().expect("a code").to_owned()),
    }
}

/// The number that a call rings.
async fn rung(server: &Server, call: &str) -> String {
    let view = server.native_as("admin", "GET", &format!("/v1/calls/{call}"), b"").await;
    view.json()["to"].as_str().expect("a number").to_owned()
}

fn by_alibaba<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    Box::pin(async move {
        let parameters = [("AIAgentId", AGENT), ("CalledNumber", number), ("CallerNumber", CALLER)];
        let body = alibaba_notify::ask(server, "StartAIAgentOutboundCall", &parameters).await.json();
        match body["InstanceId"].as_str() {
            Some(id) => Ok(rung(server, id).await),
            None => Err(body["Code"].as_str().expect("a code").to_owned()),
        }
    })
}

fn by_tencent<'a>(server: &'a Server, number: &'a str, turn: usize) -> Verdict<'a> {
    let parameters = json!({"AIAgentId": 15, "Callee": number, "Callers": [CALLER]});
    Box::pin(in_session(server, at_turn("CreateAIAgentCall", parameters, turn)))
}

fn by_described_agent<'a>(server: &'a Server, number: &'a str, turn: usize) -> Verdict<'a> {
    let parameters = json!({"Callee": number, "Callers": [CALLER], "LLMType": "openai", "APIKey": "k",
        "APIUrl": "https://8.8.8.8/v1"});
    Box::pin(in_session(server, at_turn("CreateAICall", parameters, turn)))
}

/// A request that is signed at another second in each turn: the same bytes would be the same call.
fn at_turn(action: &'static str, parameters: Value, turn: usize) -> Tc3 {
    let seconds = NOW.millis() / 1000 + i64::try_from(turn).expect("few");
    Tc3 { seconds, ..request(action, parameters) }
}

async fn in_session(server: &Server, request: Tc3) -> Result<String, String> {
    let response = request.send(server).await.json()["Response"].take();
    match response["SessionId"].as_str() {
        Some(id) => Ok(rung(server, id).await),
        None => Err(response["Error"]["Code"].as_str().expect("a code").to_owned()),
    }
}

fn by_happyrobot<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    Box::pin(dialled(server, "dial/outbound", "", number))
}

fn by_batch<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    Box::pin(dialled(server, "dial/outbound-batched", "/0", number))
}

fn by_happy_schedule<'a>(server: &'a Server, number: &'a str, _turn: usize) -> Verdict<'a> {
    Box::pin(dialled(server, "dial/scheduled", "/createdCalls/0", number))
}

/// What `HappyRobot`'s door of this path says; the call stands at `made` in its answer.
async fn dialled(server: &Server, path: &str, made: &str, number: &str) -> Result<String, String> {
    let mut call = happyrobot::request(server).await;
    call["phone_number"] = json!(number);
    let body = match path {
        "dial/outbound" => call,
        "dial/outbound-batched" => json!([call]),
        _ => {
            let callee = json!([{ "phone_number": call["phone_number"].take() }]);
            call["calls"] = callee;
            call
        }
    };
    let answer = happyrobot::ask(server, "POST", path, "", &body).await;
    if answer.status != 200 {
        return Err(happyrobot::message(&answer));
    }
    let shown = answer.json();
    let called = shown.pointer(&format!("{made}/metadata/to")).cloned();
    Ok(called.as_ref().and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: {shown}")).to_owned())
}

async fn set(server: &Server, path: &str, body: Value) {
    let answer = server.native_as("admin", "PUT", path, body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
}

/// The vectors; their own numbers are the account's, and its caller has lines for everybody.
async fn cases(server: &Server) -> Vec<Value> {
    let cases = include_str!("../fixtures/dial_policy.jsonl").lines();
    let cases: Vec<Value> = cases.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(cases.len(), 32);
    for own in cases.iter().flat_map(|case| case["own_numbers"].as_array().into_iter().flatten()) {
        set(server, &format!("/v1/numbers/{}", own.as_str().expect("a number")), json!({"trunk": "loop"})).await;
    }
    set(server, &format!("/v1/numbers/{CALLER}"), json!({"trunk": "loop", "max_calls": 100})).await;
    numbered(server).await;
    cases
}

fn homes(case: &Value) -> Vec<&str> {
    case["home"].as_str().map_or(vec!["CN", "DE", "IN"], |home| vec![home])
}

/// Holds a door's verdict on a case against what the case wants.
fn agrees(case: &Value, door: &str, outcome: &Result<String, String>) {
    let name = &case["name"];
    match case["expect"].as_str().and_then(|expect| expect.split(' ').next()) {
        Some("allow") => {
            assert_eq!(outcome.as_deref(), Ok(case["e164"].as_str().expect("a number")), "{name} on {door}")
        }
        Some("normalise") => {
            assert_eq!(outcome.as_deref().unwrap_or("+14155550123"), "+14155550123", "{name} on {door}");
        }
        _ => assert!(outcome.is_err(), "{name} on {door}: {outcome:?}"),
    }
}

#[tokio::test]
async fn every_door_gives_the_same_verdict_on_a_number() {
    let server = server().await;
    let mut turn = 0;
    for case in &cases(&server).await {
        let number = case["number"].as_str().expect("a number");
        for home in homes(case) {
            set(&server, "/v1/rules", json!({ "home": home })).await;
            turn += 1;
            // Tencent's operations are asked twenty times a second at most.
            server.pass(100);
            let mut placed = 0;
            for (door, ask, _) in DOORS {
                let outcome = ask(&server, number, turn).await;
                agrees(case, &format!("{door} from {home}"), &outcome);
                placed += usize::from(outcome.is_ok());
            }
            assert!([0, DOORS.len()].contains(&placed), "{}: {placed} doors would call it", case["name"]);
        }
    }
}

/// The verdict on a row that is judged: the number that it rings, or why it does not.
async fn verdict(server: &Server, row: &Row) -> Result<String, String> {
    match row.state {
        RowState::Refused | RowState::Invalid => Err(row.reason.clone().expect("a reason")),
        RowState::Calling => Ok(rung(server, &row.call.expect("a call").to_string()).await),
        // The number stands in an earlier row, which has its verdict.
        RowState::Duplicate => Ok(row.number.expose().clone()),
        other => panic!("row {} is {other:?}", row.line),
    }
}

/// The verdicts on the rows of a campaign once each is judged.
async fn judged(server: &Server, id: CampaignId) -> Vec<Result<String, String>> {
    let (reader, key) = (server.node.calls().reader().clone(), CampaignKey { account: server.node.account(), id });
    let waiting = async {
        loop {
            let rows = reader.campaign_rows(&key, &RowFilter::default(), 0, 100).await.expect("readable").items;
            if rows.iter().all(|row| row.state != RowState::Waiting) {
                break rows;
            }
            yield_now().await;
        }
    };
    let mut verdicts = Vec::new();
    for row in timeout(PATIENCE, waiting).await.expect("judged in time") {
        verdicts.push(verdict(server, &row).await);
    }
    verdicts
}

/// A campaign over these numbers by the agent of a home; started.
async fn campaign(server: &Server, agent: &str, numbers: &[&str]) -> CampaignId {
    let settings = json!({"name": agent, "agent": agent, "from": CALLER, "cps": 1000, "concurrency": 100});
    let made = server.native("POST", "/v1/campaigns", &settings).await.json();
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let callees: Vec<Value> = numbers.iter().map(|number| json!({ "to": number })).collect();
    let path = format!("/v1/campaigns/{id}");
    let added = server.native("POST", &format!("{path}/callees"), &json!({ "callees": callees })).await;
    assert_eq!((added.status, &added.json()["lines"]), (200, &json!(numbers.len())));
    let started = server.native("POST", &format!("{path}/start"), &Value::Null).await;
    assert_eq!(started.status, 200, "{}", started.json());
    CampaignId::new(id).expect("ours")
}

/// A task on these numbers: what it names is left out, with its verdict, and the others are its callees.
async fn task(server: &Server, agent: usize, numbers: &[&str]) -> (CampaignId, Vec<Option<Result<String, String>>>) {
    let mut verdicts: Vec<Option<Result<String, String>>> = vec![None; numbers.len()];
    let made = loop {
        server.pass(100);
        let left: Vec<usize> = (0..numbers.len()).filter(|at| verdicts[*at].is_none()).collect();
        let callees: Vec<&str> = left.iter().map(|at| numbers[*at]).collect();
        let parameters =
            json!({"AIAgentId": agent, "Callees": callees, "Callers": [CALLER], "NotBefore": NOW.millis() / 1000});
        let response = request("CreateAutoCalloutTask", parameters).send(server).await.json()["Response"].take();
        if let Some(number) = response["TaskId"].as_i64() {
            break number.to_string();
        }
        let said = response["Error"]["Message"].as_str().expect("a message");
        let named = said.split("`Callees.").nth(1).and_then(|rest| rest.split('`').next());
        let at: usize = named.and_then(|at| at.parse().ok()).unwrap_or_else(|| panic!("{response}"));
        verdicts[left[at]] = Some(Err(response["Error"]["Code"].to_string()));
    };
    let account = server.node.account();
    let all = server.node.calls().reader().aliases(&account, "tencent", &[AliasKind::Task]).await.expect("readable");
    let id = all.into_iter().find(|alias| alias.outer == made).expect("a task").inner_as().expect("ours");
    (id, verdicts)
}

/// Stores an agent whose rules say where home is, as the tester is but for that.
async fn agent_at(server: &Server, home: &str, number: usize) -> String {
    let (account, agent) = (server.node.account(), format!("home{}", home.to_ascii_lowercase()));
    let tester = AgentId::new(AGENT).expect("an id");
    let tester = server.node.calls().reader().agent(&account, &tester).await.expect("readable").expect("there");
    let id = AgentId::new(agent.as_str()).expect("an id");
    server.node.store().put_agent(account, id, tester.profile, NOW).await.expect("stored");
    set(server, &format!("/v1/agents/{agent}/rules"), json!({ "home": home })).await;
    let named = json!({"dialect": "tencent", "kind": "agent", "id": number.to_string(), "names": agent});
    set(server, "/v1/ids", named).await;
    agent
}

/// A row is judged as a call is. The homes are of agents here, so that all are judged at once.
#[tokio::test]
async fn rows_of_campaigns_get_the_verdict_of_a_call() {
    let server = server().await;
    let (server, cases) = (&server, cases(&server).await);
    let mut asked = Vec::new();
    for (number, home) in (20..).zip(["CN", "DE", "IN", "US"]) {
        let agent = agent_at(server, home, number).await;
        let of_home: Vec<&Value> = cases.iter().filter(|case| homes(case).contains(&home)).collect();
        let numbers: Vec<&str> = of_home.iter().map(|case| case["number"].as_str().expect("a number")).collect();
        let rows = campaign(server, &agent, &numbers).await;
        asked.push((home, of_home, rows, task(server, number, &numbers).await));
    }
    let all = asked.into_iter().map(|(home, of_home, rows, (task, named))| async move {
        let (rows, callees) = tokio::join!(judged(server, rows), judged(server, task));
        let mut callees = callees.into_iter();
        assert_eq!((rows.len(), named.len()), (of_home.len(), of_home.len()));
        for ((case, row), named) in of_home.iter().zip(&rows).zip(named) {
            agrees(case, &format!("a campaign's row from {home}"), row);
            let of_task = named.or_else(|| callees.next()).expect("a verdict on each");
            agrees(case, &format!("a task's callee from {home}"), &of_task);
        }
        assert!(callees.next().is_none());
    });
    futures_util::future::join_all(all).await;
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
    numbered(&server).await;
    for (door, ask, words) in DOORS {
        assert_eq!(ask(&server, "+14155550123", 1).await, Err((*words).to_owned()), "{door}");
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
