//! What was said in an instance, behind a link that needs no key.

use crate::alibaba_notify::must;
use crate::support::server_over;
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, CallId};
use callwright_testkit::{Callee, NodeBuilder, Plan};
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn the_log_of_an_instance_is_behind_a_link_once_it_is_over() {
    let mut callee = Callee::start(Plan::answer()).await;
    let server = server_over(NodeBuilder::to(&callee), Limits::default(), Rates::default()).await;
    let log = async |call: CallId| {
        let id = call.to_string();
        let shown = must(&server, "DescribeAIAgentInstance", &[("InstanceId", &id)]).await;
        shown["Instance"]["CallLogUrl"].as_str().expect("a text").to_owned()
    };
    let began = Instant::now();
    let call = server.node.call().await;
    let mut line = callee.line().await;
    line.hears(began).await;
    assert_eq!(log(call).await, "", "it is not over");
    let said = |event: &CallEvent| matches!(event, CallEvent::Said { .. });
    server.node.wait_for(call, "the greeting", said).await;
    line.hang_up();
    server.node.ended(call).await;
    let link = log(call).await;
    let target = link.strip_prefix("http://api.test").expect("our host");
    let fetched = server.send("GET", target, "", b"").await;
    let body = fetched.json();
    assert_eq!((fetched.status, &body["InstanceId"]), (200, &json!(call)), "{body}");
    let first = &body["Dialogues"][0];
    assert_eq!((&first["Producer"], &first["Text"]), (&json!("agent"), &json!("Hello there.")));
    assert!(first["Time"].is_i64());
    let forged = target.replace(&call.to_string(), "00000000000000000000000000000000");
    let refused = server.send("GET", &forged, "", b"").await;
    assert!(refused.status >= 400 && refused.json()["Code"].is_string(), "{}", refused.json());
    server.pass(25 * 60 * 60 * 1000);
    assert!(server.send("GET", target, "", b"").await.status >= 400, "its time is over");
}
