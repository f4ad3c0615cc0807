//! What was found out about a call after its end, as every door shows it: a real call to a callee on loopback, and a model that
//! follows a script.

use crate::happyrobot::get;
use crate::support::{NOW, Server, server_over};
use crate::tencent::{call, numbered, request};
use callwright_api::{Limits, Rates};
use callwright_domain::agent::Switch;
use callwright_domain::extract::{CallTag, ExtractSettings, Fact, FactKind};
use callwright_domain::{CallEvent, CallId};
use callwright_store::ExtractState;
use callwright_testkit::{Callee, NodeBuilder, PATIENCE, Plan, Reply, ScriptedBrain};
use serde_json::{Value, json};
use tokio::task::yield_now;
use tokio::time::timeout;

const ANSWER: &str = r#"{"facts": {"city": "Bonn", "age": 42, "agreed": true, "size": "small", "left": null},
    "tag": "sold", "reason": "They bought it.", "summary": "A sale.", "mood": "happy", "intention": "To buy."}"#;

fn wants() -> ExtractSettings {
    let fact = |name: &str, kind, choices: &[&str]| Fact {
        name: name.into(),
        kind,
        description: format!("the {name}"),
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
        examples: Vec::new(),
    };
    ExtractSettings {
        facts: vec![
            fact("city", FactKind::Text, &[]),
            fact("age", FactKind::Number, &[]),
            fact("agreed", FactKind::Flag, &[]),
            fact("size", FactKind::Choice, &["small", "large"]),
            fact("left", FactKind::Text, &[]),
        ],
        tags: vec![CallTag { name: "sold".into(), description: "bought".into() }],
        summary: Switch::On,
    }
}

async fn found(server: &Server, id: CallId) {
    let looking = async {
        loop {
            let found = server.node.calls().reader().findings(&server.node.account(), id).await.expect("readable");
            if found.is_some_and(|found| found.state == ExtractState::Done) {
                return;
            }
            yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.expect("found out in time");
}

#[tokio::test]
async fn what_was_found_out_is_shown_on_every_door() {
    let callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("JSON schema", [Reply::say(ANSWER)]);
    let builder = NodeBuilder::to(&callee).brain(&brain).agent(|agent| agent.extract = wants());
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    numbered(&server).await;
    let session = call(json!({})).ok(&server).await["SessionId"].as_str().expect("an id").to_owned();
    let id: CallId = session.parse().expect("ours");
    server.node.wait_for(id, "the greeting", |event| matches!(event, CallEvent::Said { .. })).await;
    let now = NOW.millis() / 1000;
    let asked = json!({"SessionId": session, "StartTime": now - 60, "EndTime": now + 60});
    let results = async |action| request(action, asked.clone()).ok(&server).await["ResultList"].clone();
    assert_eq!(results("DescribeAICallExtractResult").await, json!([]), "nothing before its end");
    request("HangUpCall", json!({ "SessionId": session })).ok(&server).await;
    server.node.ended(id).await;
    found(&server, id).await;

    let fact = |kind: &str, name: &str, result: Value| json!({"InfoType": kind, "InfoName": name, "InfoContent": format!("the {name}"), "Result": result});
    let expected = json!([
        fact("Text", "city", json!({"Text": "Bonn"})),
        fact("Number", "age", json!({"Number": 42.0})),
        fact("Boolean", "agreed", json!({"Boolean": true})),
        fact("Selector", "size", json!({"Chosen": ["small"]})),
    ]);
    assert_eq!(results("DescribeAICallExtractResult").await, expected);
    let analysed = json!([
        {"Type": "summary", "Result": "A sale."},
        {"Type": "mood", "Result": "happy"},
        {"Type": "intention", "Result": "To buy."},
    ]);
    assert_eq!(results("DescribeAIAnalysisResult").await, analysed);

    let native = server.native("GET", &format!("/v1/calls/{id}"), &Value::Null).await.json()["extract"].clone();
    assert_eq!(
        (&native["state"], &native["facts"]["age"], &native["tag"]),
        (&json!("done"), &json!(42.0), &json!("sold"))
    );
    assert_eq!((&native["mood"], &native["error"]), (&json!("happy"), &Value::Null));

    let list = get(&server, "calls?tags=sold,other&search=bonn").await;
    assert_eq!(list["count"], 1, "{list}");
    let shown = &list["calls"][0];
    assert_eq!((&shown["extraction"]["city"], &shown["metadata"]["tags"]), (&json!("Bonn"), &json!(["sold"])));
    assert_eq!(shown["classification"], json!({"tag": "sold", "reasoning": "They bought it."}));
    assert_eq!(shown["use_case"]["classification_tags"][0]["name"], "sold");
    assert_eq!(shown["use_case"]["extract_with_ai"][1]["type"], "number");
    for nothing in ["calls?tags=lost", "calls?search=berlin"] {
        assert_eq!(get(&server, nothing).await["count"], 0, "{nothing}");
    }
}
