//! The character U+0000, which one of the databases keeps in no text: refused by the name of its field at every door.

use crate::happyrobot;
use crate::support::{Answer, SECRET, Signed, server};
use crate::tencent;
use callwright_testkit::{AGENT, CALLER};
use serde_json::json;

/// It is told what is wrong with which field, and was not taken for anything else.
fn refused(answer: &Answer, field: &str) {
    let told = answer.json().to_string();
    assert!((400..500).contains(&answer.status) || told.contains("InvalidParameter"), "{}: {told}", answer.status);
    assert!(told.contains(field) && told.contains("U+0000"), "{field}: {told}");
}

#[tokio::test]
async fn no_door_takes_a_text_with_the_character_zero() {
    let server = server().await;
    let call = |more: serde_json::Value| {
        let mut body = json!({"agent": AGENT, "to": "+15550123"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for (target, body, field) in [
        ("/v1/calls", call(json!({"variables": {"name": "\0"}})), "variables.name"),
        ("/v1/calls", call(json!({"variables": {"na\0me": "x"}})), "variables.name"),
        ("/v1/calls", call(json!({"webhook": {"topics": ["a", "\0"]}})), "webhook.topics[1]"),
    ] {
        refused(&server.native("POST", target, &body).await, field);
    }
    let denial = json!({"reason": "a\0b"});
    refused(&server.native("PUT", "/v1/denied/%2B14155550123", &denial).await, "reason");
    let null = serde_json::Value::Null;
    refused(&server.native("GET", "/v1/calls?agent=a%00b", &null).await, "agent");
    refused(&server.native("GET", "/v1/agents/a%00b", &null).await, "path");
    let file = "number,reason\n+14155550124,asked\n+14155550123,a\0b\n";
    let head = format!("Authorization: Bearer admin.{SECRET}\r\nContent-Type: text/csv\r\n");
    let told = server.send("POST", "/v1/denied", &head, file.as_bytes()).await.json();
    assert_eq!((&told["added"], &told["errors"][0]["line"]), (&json!(1), &json!(3)), "{told}");

    let made = server.native("POST", "/v1/campaigns", &json!({"name": "x", "agent": AGENT})).await.json();
    let rows = json!({"callees": [{"to": "+14155550123", "id": "a\0b"}, {"to": "+14155550124"}]});
    let path = format!("/v1/campaigns/{}/callees", made["id"].as_str().expect("an id"));
    let told = server.native("POST", &path, &rows).await.json();
    assert_eq!((&told["added"], &told["problems"][0]["code"]), (&json!(1), &json!("zero_character")), "{told}");

    let query = format!("AIAgentId={AGENT}&CalledNumber=%2B15550123&CallerNumber=%2B{}&UserData=a%00b", &CALLER[1..]);
    refused(&Signed::new("StartAIAgentOutboundCall", query, "zero").send(&server).await, "UserData");
    let asked = tencent::request("DescribeAIAgentInfoList", json!({"AgentName": "a\0b"}));
    refused(&asked.send(&server).await, "AgentName");
    let mut body = happyrobot::request(&server).await;
    body["metadata"] = json!({"deep": ["a\0b"]});
    refused(&happyrobot::ask(&server, "POST", "dial/outbound", "", &body).await, "metadata.deep[0]");
    refused(&happyrobot::ask(&server, "GET", "calls?search=%00", "", &null).await, "search");
}
