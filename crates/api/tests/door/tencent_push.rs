//! Tencent's data push, asked for through the native API and told to a receiver on a socket.

use crate::alibaba_notify::receiver;
use crate::support::{NOW, Server, server, server_that_tells};
use crate::tencent::numbered;
use callwright_domain::agent::Recording;
use callwright_domain::{CallEvent, WebhookId};
use callwright_store::outbox::Standing;
use callwright_testkit::{AGENT, Callee, NodeBuilder, PATIENCE, Plan};
use serde_json::{Value, json};
use std::time::Instant;
use tokio::time::timeout;

const HOUR_MS: i64 = 60 * 60 * 1000;

async fn made(server: &Server, more: Value) -> (u16, Value) {
    let mut body = json!({"dialect": "tencent", "url": "https://8.8.8.8/push"});
    if let (Some(all), Value::Object(more)) = (body.as_object_mut(), more) {
        all.extend(more);
    }
    let answer = server.native("POST", "/v1/webhooks", &body).await;
    (answer.status, answer.json())
}

/// The value of a header in a request's head.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default()
}

#[tokio::test]
async fn a_call_is_pushed_and_its_recording_is_fetched_by_the_link() {
    let mut callee = Callee::start(Plan::answer()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let builder = NodeBuilder::to(&callee).agent(|agent| agent.recording = Recording::Stereo).data(folder.path());
    let server = server_that_tells(builder).await;
    numbered(&server).await;
    let mut receiver = receiver().await;
    let headers = json!({"Authorization": "Basic dXNlcjpwYXNzd29yZA=="});
    let (status, hook) = made(&server, json!({"url": receiver.url, "headers": headers})).await;
    assert_eq!((status, &hook["dialect"], &hook["max_tries"]), (201, &json!("tencent"), &json!(4)), "{hook}");
    assert_eq!(hook["events"], json!(["call.ended", "call.recording_ready"]));
    let began = Instant::now();
    let call = server.node.call().await;
    let mut line = callee.line().await;
    line.hears(began).await;
    let said = |event: &CallEvent| matches!(event, CallEvent::Said { .. });
    server.node.wait_for(call, "the greeting", said).await;
    line.hang_up();
    server.node.ended(call).await;
    let kept = |event: &CallEvent| matches!(event, CallEvent::RecordingKept { .. });
    server.node.wait_for(call, "the recording", kept).await;
    let told = receiver.until(|body| body.get("RecordURL").is_some()).await;
    let (head, record) = told.last().expect("told");
    assert!(head.contains("action=record&version=1"), "{head}");
    assert_eq!(header(head, "authorization"), "Basic dXNlcjpwYXNzd29yZA==", "{head}");
    assert_eq!(header(head, "x-tccc-push-uuid").len(), 36, "{head}");
    assert_eq!((&record["SdkAppId"], &record["SessionId"]), (&json!(1_400_000_000), &json!(call)));
    let cdr = told.iter().find(|(head, _)| head.contains("action=cdr")).expect("the record of the call");
    assert_eq!((&cdr.1["EndStatusString"], &cdr.1["HungUpSide"]), (&json!("ok"), &json!("user")));
    // The link needs no key, is under the host that made the endpoint, and goes with it.
    let link = record["RecordURL"].as_str().expect("a link");
    let target = link.strip_prefix("http://api.test").expect("our host");
    let until: i64 = target.split(['=', '&']).nth(5).and_then(|until| until.parse().ok()).expect("its end");
    // Links end by the engine's clock, and are judged by the API's: an hour before its end.
    server.pass(until * 1000 - HOUR_MS - NOW.millis());
    let fetched = server.send("GET", target, "", b"").await;
    assert_eq!((fetched.status, &fetched.body[..4]), (200, &b"RIFF"[..]));
    let forged = target.replace(&call.to_string(), "00000000000000000000000000000000");
    assert_eq!(server.send("GET", &forged, "", b"").await.status, 401);
    let foreign = target.replace("account=acme", "account=others");
    assert_ne!(foreign, target);
    assert_eq!(server.send("GET", &foreign, "", b"").await.status, 401);
    server.pass(HOUR_MS + 1000);
    assert_eq!(server.send("GET", target, "", b"").await.status, 401, "its time is over");
    let id = hook["id"].as_str().expect("an id");
    assert_eq!(server.native("DELETE", &format!("/v1/webhooks/{id}"), &Value::Null).await.status, 204);
    assert_eq!(server.send("GET", target, "", b"").await.status, 401);
}

/// An instance in a browser has no numbers, and the vendor's records leave it out, too.
#[tokio::test]
async fn what_is_met_in_a_browser_is_not_pushed() {
    let server = server_that_tells(NodeBuilder::to_address(([127, 0, 0, 1], 9).into()).browsers()).await;
    let mut receiver = receiver().await;
    let (status, hook) = made(&server, json!({"url": receiver.url, "events": ["call.ended"]})).await;
    assert_eq!(status, 201, "{hook}");
    let ended = async |path: &str, body: Value| {
        let made = server.native("POST", path, &body).await.json();
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        assert_eq!(server.native("POST", &format!("/v1/calls/{id}/hangup"), &json!({})).await.status, 202);
        server.node.ended(id.parse().expect("ours")).await;
        id
    };
    ended("/v1/browser-calls", json!({"agent": AGENT})).await;
    let (reader, account) = (server.node.calls().reader().clone(), server.node.account());
    let hook = WebhookId::new(hook["id"].as_str().expect("an id")).expect("ours");
    let settled = async {
        loop {
            let page = reader.deliveries(&account, &hook, None, None, 1).await.expect("readable");
            match page.items.first().map(|delivery| delivery.standing) {
                None | Some(Standing::Pending) => tokio::task::yield_now().await,
                Some(standing) => return standing,
            }
        }
    };
    assert_eq!(timeout(PATIENCE, settled).await.expect("looked at in time"), Standing::Skipped);
    let later = json!({"agent": AGENT, "to": "+15550123", "scheduled_for": "2099-01-01T00:00:00Z"});
    let telephone = ended("/v1/calls", later).await;
    let told = receiver.until(|_| true).await;
    assert_eq!(told[0].1["SessionId"], json!(telephone), "the first that is pushed");
}

#[tokio::test]
async fn mistakes_are_named_and_what_was_made_stays_what_it_is() {
    let server = server().await;
    for (more, field) in [
        (json!({"dialect": "alibaba"}), "dialect"),
        (json!({"dialect": "acme"}), "dialect"),
        (json!({"events": ["call.ringing"]}), "events"),
        (json!({"url": "https://127.0.0.1/push"}), "url"),
        (json!({"url": "http://8.8.8.8/push"}), "url"),
        (json!({"max_tries": 9}), "max_tries"),
    ] {
        let (status, body) = made(&server, more).await;
        assert_eq!((status, &body["error"]["field"]), (400, &json!(field)), "{body}");
    }
    let (status, hook) = made(&server, json!({"events": ["call.ended"]})).await;
    assert_eq!(status, 201, "{hook}");
    let path = format!("/v1/webhooks/{}", hook["id"].as_str().expect("an id"));
    let mut shown = server.native("GET", &path, &Value::Null).await.json();
    shown["events"] = json!(["call.recording_ready"]);
    let changed = server.native("PUT", &path, &shown).await.json();
    assert_eq!((&changed["dialect"], &changed["events"]), (&json!("tencent"), &json!(["call.recording_ready"])));
    shown["dialect"] = json!("native");
    let refused = server.native("PUT", &path, &shown).await;
    assert_eq!((refused.status, &refused.json()["error"]["field"]), (400, &json!("dialect")));
}
