//! Names that nobody can guess (BARS S33), and who may do what with the vendors' operations (BARS S34): each wants one
//! permission, and no other opens it.

use crate::alibaba_notify::ask;
use crate::happyrobot::id_as;
use crate::support::{NOW, SECRET, Server, Signed, key_with, server, server_over};
use crate::tencent::{numbered, request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_api::{Limits, Rates};
use callwright_domain::Scope;
use callwright_engine::Clock;
use callwright_store::Account;
use callwright_testkit::{AGENT, CALLER, NodeBuilder};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Ids of each kind.
const MANY: usize = 1000;
/// Of them at the same time.
const TOGETHER: usize = 50;
/// Farthest that the ones among so many of a bit are from half: six standard deviations, a chance of one in five hundred
/// million for each bit.
const APART: f64 = 6.0;
/// Calls in one request of HappyRobot's.
const BATCH: usize = 500;
/// Random bits of a UUID of version 4: the least that is random enough.
const BITS: usize = 122;

/// The bits of hexadecimal digits, first to last; dashes are left out.
fn bits(text: &str) -> Vec<bool> {
    let digits = text.chars().filter(|digit| *digit != '-').map(|digit| digit.to_digit(16).expect("a digit"));
    digits.flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1 == 1)).collect()
}

/// Checks that no id comes twice, that at least so many bits are as often one as not, and that the others never change.
fn are_random(kind: &str, ids: &[String], least: usize) {
    assert_eq!(ids.len(), MANY, "{kind}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), MANY, "{kind}: one came twice");
    let ids: Vec<Vec<bool>> = ids.iter().map(|id| bits(id)).collect();
    let half = f64::from(u32::try_from(MANY).expect("few")) / 2.0;
    let mut random = 0;
    for at in 0..ids[0].len() {
        let ones = ids.iter().filter(|id| id[at]).count();
        if ones == 0 || ones == MANY {
            continue;
        }
        let ones = f64::from(u32::try_from(ones).expect("few"));
        assert!((ones - half).abs() < APART * (half / 2.0).sqrt(), "{kind}: bit {at} is one {ones} times of {MANY}");
        random += 1;
    }
    assert!(random >= least, "{kind}: {random} random bits");
}

#[tokio::test]
async fn ids_and_tokens_cannot_be_guessed() {
    let mut builder = NodeBuilder::to_address(([127, 0, 0, 1], 9).into()).browsers();
    builder.clock = Clock::new(|| NOW);
    let rates = Rates { per_source: 0, per_key: 0, ..Rates::default() };
    let server = server_over(builder, Limits::default(), rates).await;
    let account = Account { id: server.node.account(), name: String::new(), max_calls: 100_000 };
    server.node.store().put_account(account).await.expect("stored");
    let (number, case) = (id_as(&server, "admin", CALLER).await, id_as(&server, "admin", AGENT).await);
    let dial = json!({"number_id": number, "use_case_id": case, "phone_number": "+15550123",
        "scheduled_for": "2099-01-01T00:00:00Z"});
    let batch = Value::Array(vec![dial; BATCH]);
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let text =
        |answer: &Value, name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{name}: {answer}")).to_owned();
    for _ in 0..MANY / TOGETHER {
        let asked = (0..TOGETHER).map(|_| async {
            let met = ask(&server, "GenerateAIAgentCall", &[("AIAgentId", AGENT)]).await.json();
            let pass =
                ask(&server, "GenerateMessageChatToken", &[("AIAgentId", AGENT), ("UserId", "ann")]).await.json();
            (met, pass, server.send("GET", "/v1/calls", "", b"").await)
        });
        for (met, pass, refused) in futures_util::future::join_all(asked).await {
            for name in ["InstanceId", "ChannelId", "AIAgentUserId", "UserId", "RequestId"] {
                found.entry(name).or_default().push(text(&met, name));
            }
            let token = STANDARD.decode(text(&met, "Token")).expect("base64");
            let token: Value = serde_json::from_slice(&token).expect("JSON");
            found.entry("a token's nonce").or_default().push(text(&token, "nonce"));
            found.entry("a chat token's nonce").or_default().push(text(&pass, "Nonce"));
            let id = refused.header("x-request-id").expect("an id").to_owned();
            found.entry("a native request").or_default().push(id);
        }
    }
    for (kind, ids) in &found {
        are_random(kind, ids, BITS);
    }
    // Twenty-four digits are the vendor's shape.
    let mut calls = Vec::new();
    for _ in 0..MANY / BATCH {
        let made = crate::happyrobot::ask(&server, "POST", "dial/outbound-batched", "", &batch).await.json();
        calls.extend(made.as_array().unwrap_or_else(|| panic!("{made}")).iter().map(|call| text(call, "id")));
    }
    are_random("a call of HappyRobot's", &calls, 96);
}

/// The scopes that open a door, one key for each.
async fn opened_by(refuses: impl AsyncFn(&'static str) -> bool) -> Vec<Scope> {
    let mut open = Vec::new();
    for scope in Scope::ALL {
        let key: &'static str = key_with(scope).leak();
        if !refuses(key).await {
            open.push(scope);
        }
    }
    open
}

/// What is read wants a permission to read, everything else one to write; and each wants one alone.
fn is_its_own(name: &str, reads: bool, open: &[Scope]) {
    let fit = if reads { [Scope::CallsRead, Scope::ConfigRead] } else { [Scope::CallsWrite, Scope::ConfigWrite] };
    assert!(matches!(open, [one] if fit.contains(one)), "{name} is opened by {open:?}");
}

#[tokio::test]
async fn each_operation_of_the_vendors_wants_one_permission() {
    let server = server().await;
    numbered(&server).await;
    let reads = |name: &str| ["Describe", "List", "Get"].iter().any(|verb| name.starts_with(verb));
    let mut tried = 0;
    for schema in [
        include_str!("../fixtures/alibaba-ims.schema.json"),
        include_str!("../fixtures/alibaba-ims-browsers.schema.json"),
        include_str!("../fixtures/alibaba-ims-siblings.schema.json"),
    ] {
        for action in operations(schema) {
            let open = opened_by(async |key| {
                let asked = Signed { key: (key, SECRET), ..Signed::new(action, "", &format!("{action}{key}")) };
                asked.send(&server).await.json()["Code"] == "Forbidden.RAM"
            });
            is_its_own(action, reads(action), &open.await);
            tried += 1;
        }
    }
    assert_eq!(tried, 20);
    for action in operations(include_str!("../fixtures/tencent-ccc.schema.json")) {
        server.pass(1000);
        if request(action, json!({})).code(&server).await == "UnsupportedOperation" {
            continue;
        }
        let open = opened_by(async |key| {
            let asked = crate::tencent::Tc3 { key: key.to_owned(), ..request(action, json!({})) };
            let code = asked.code(&server).await;
            ["AuthFailure.UnauthorizedOperation", "FailedOperation.PermissionDenied"].contains(&code.as_str())
        });
        is_its_own(action, reads(action), &open.await);
        tried += 1;
    }
    assert_eq!(tried, 42);
    for (method, path) in routes_of_happyrobots() {
        let open = opened_by(async |key| denied(&server, key, &method, &path).await);
        is_its_own(&format!("{method} {path}"), method == "GET", &open.await);
        tried += 1;
    }
    assert_eq!(tried, 42 + 26, "and its routes");
}

fn operations(schema: &str) -> Vec<&'static str> {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    schema["actions"].as_object().expect("actions").keys().map(|name| &*name.clone().leak()).collect()
}

/// Methods and paths of the page's tables and headings, with an id in each place for one.
fn routes_of_happyrobots() -> BTreeSet<(String, String)> {
    let page = include_str!("../../../../docs/happyrobot.md");
    let mut routes = BTreeSet::new();
    for line in
        page.lines().filter(|line| line.starts_with("| `") || line.starts_with("## `") || line.contains("-batched`"))
    {
        let mut methods: Vec<String> = Vec::new();
        for quoted in line.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2) {
            match quoted.split_once(" /") {
                Some((method, path)) => {
                    methods.push(method.to_owned());
                    methods.drain(..).for_each(|method| {
                        routes.insert((method, filled(path)));
                    });
                }
                // Another method before the path that both have.
                None if quoted.bytes().all(|byte| byte.is_ascii_uppercase()) => methods.push(quoted.to_owned()),
                None => {}
            }
        }
    }
    routes.retain(|(_, path)| !path.starts_with("v1/"));
    routes
}

fn filled(path: &str) -> String {
    path.split('?').next().unwrap_or_default().replace("{id}", &"0".repeat(24)).replace("{noteId}", &"0".repeat(24))
}

async fn denied(server: &Server, key: &str, method: &str, path: &str) -> bool {
    let headers = format!("Authorization: Bearer {key}.{SECRET}\r\nContent-Type: application/json\r\n");
    server.send(method, &format!("/api/v1/{path}"), &headers, b"{}").await.status == 403
}
