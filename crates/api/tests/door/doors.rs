//! Doors of single dialects: listeners and host names behind which nobody else is served.

use crate::support::{Answer, SECRET, Server, Signed, server};
use crate::tencent::{numbered, request};
use serde_json::{Value, json};

/// One request of each dialect, as its clients send it. Each may be sent once.
fn of_each(round: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bearer = |target: &str, scheme: &str| {
        let key = format!("admin.{SECRET}");
        format!("GET {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{scheme} Bearer {key}\r\n\r\n")
            .into_bytes()
    };
    vec![
        ("alibaba", Signed::new("ListAIAgentPhoneNumber", "", &format!("doors-{round}")).bytes()),
        ("tencent", request("DescribeNumbers", json!({})).bytes()),
        ("happyrobot", bearer("/api/v1/numbers", "authorization:")),
        ("native", bearer("/v1/numbers", "Authorization:")),
    ]
}

/// Whether an answer is a success of a dialect.
fn is_good(dialect: &str, answer: &Answer) -> bool {
    let body = answer.json();
    answer.status == 200
        && match dialect {
            "tencent" => body["Response"]["TotalCount"].is_number(),
            "alibaba" => body["TotalNumber"].is_number(),
            _ => body.is_array() || body.is_object(),
        }
}

/// Whether an answer says in a dialect's words that there is no such operation.
fn is_unknown(dialect: &str, answer: &Answer) -> bool {
    let body = answer.json();
    match dialect {
        "alibaba" => (answer.status, &body["Code"]) == (404, &json!("InvalidAction.NotFound")),
        "tencent" => (answer.status, &body["Response"]["Error"]["Code"]) == (200, &json!("InvalidAction")),
        "happyrobot" => answer.status == 404 && body["message"].is_string(),
        _ => answer.status == 404 && body["error"]["code"].is_string(),
    }
}

#[tokio::test]
async fn behind_a_dialects_own_door_nobody_else_is_served_and_all_is_said_in_its_words() {
    let server = server().await;
    numbered(&server).await;
    for door in ["alibaba", "tencent", "happyrobot", "native"] {
        for (dialect, bytes) in of_each(door) {
            let answer = server.raw_at(door, &bytes).await;
            let expected = if dialect == door { is_good(dialect, &answer) } else { is_unknown(door, &answer) };
            assert!(expected, "{dialect} at the door of {door}: {} {}", answer.status, answer.json());
        }
        server.pass(1000);
    }
    // At everybody's door all are served.
    for (dialect, bytes) in of_each("all") {
        let answer = server.raw(&bytes).await;
        assert!(is_good(dialect, &answer), "{dialect}: {} {}", answer.status, answer.json());
    }
}

async fn under(server: &Server, host: &str, target: &str) -> (u16, Value) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let hosts = [("ims.calls.test", "alibaba"), ("bot.calls.test", "happyrobot")];
    let answer = server.raw_under(&hosts, request.as_bytes()).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_host_name_may_be_a_dialects_own() {
    let server = server().await;
    let (status, body) = under(&server, "IMS.calls.test.:8080", "/v1/calls").await;
    assert_eq!((status, &body["Code"]), (404, &json!("InvalidAction.NotFound")));
    // Its calls are met in browsers.
    let (status, body) = under(&server, "ims.calls.test", "/v1/join/nobody").await;
    assert_eq!((status, &body["Code"]), (405, &Value::Null), "{body}");
    let (status, body) = under(&server, "bot.calls.test", "/v1/join/nobody").await;
    assert_eq!((status, body["message"].is_string()), (404, true), "{body}");
    // Other names are everybody's.
    assert_eq!(under(&server, "calls.test", "/healthz").await.0, 200);
    assert_eq!(under(&server, "bot.calls.test", "/healthz").await.0, 404);
}
