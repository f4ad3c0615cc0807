//! Requests a second, per source and per key, over the door.

use crate::support::{OTHER_KEY, SECRET, Signed, server_with};
use callwright_api::{Limits, Rates};
use callwright_domain::KeyId;
use callwright_testkit::AGENT;
use serde_json::Value;
use std::collections::BTreeMap;

fn off() -> Rates {
    Rates { per_source: 0, per_key: 0, keys: BTreeMap::new(), accounts: BTreeMap::new() }
}

#[tokio::test]
async fn a_key_gets_its_requests_each_second_and_is_told_when_to_come_again() {
    let server = server_with(Limits::default(), Rates { per_key: 3, ..off() }).await;
    for _ in 0..2 {
        let mut statuses = Vec::new();
        for _ in 0..5 {
            let answer = server.native("GET", "/v1/agents", &Value::Null).await;
            if answer.status == 429 {
                assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("rate_limited", Some("1")));
            }
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [200, 200, 200, 429, 429]);
        let mut call = Signed::new("DescribeAIAgentInstance", "InstanceId=x", "n1");
        call.key = ("admin", SECRET);
        let vendor = call.send(&server).await;
        assert_eq!((vendor.code().as_str(), vendor.header("retry-after")), ("Throttling.User", Some("1")));
        assert_eq!(vendor.header("x-acs-retry-after"), Some("1000"), "the vendor's clients read milliseconds here");
        // Another key has its own count, a wrong secret none, and what tells nothing needs no key.
        assert_eq!(server.native_as(OTHER_KEY, "GET", "/v1/agents", b"").await.status, 200);
        let wrong = server.send("GET", "/v1/agents", "Authorization: Bearer admin.wrong\r\n", b"").await;
        assert_eq!(wrong.status, 401);
        assert_eq!(server.send("GET", "/healthz", "", b"").await.status, 200);
        server.pass(1000);
    }
}

#[tokio::test]
async fn a_key_may_have_a_rate_of_its_own() {
    let keys = BTreeMap::from([(KeyId::new("admin").expect("an id"), 1)]);
    let server = server_with(Limits::default(), Rates { per_key: 100, keys, ..off() }).await;
    let path = format!("/v1/agents/{AGENT}");
    assert_eq!(server.native("GET", &path, &Value::Null).await.status, 200);
    assert_eq!(server.native("GET", &path, &Value::Null).await.status, 429);
    assert_eq!(server.native_as("onlyconfigread", "GET", &path, b"").await.status, 200);
}

#[tokio::test]
async fn a_source_is_slowed_down_before_its_body_is_read() {
    let server = server_with(Limits::default(), Rates { per_source: 2, ..off() }).await;
    for (at, status) in [200, 200, 429, 429].into_iter().enumerate() {
        assert_eq!(server.send("GET", "/healthz", "", b"").await.status, status, "{at}");
    }
    let vendor = Signed::new("DescribeAIAgentInstance", "InstanceId=x", "n1").send(&server).await;
    assert_eq!((vendor.code().as_str(), vendor.header("retry-after")), ("Throttling.User", Some("1")));
    server.pass(1000);
    assert_eq!(server.send("GET", "/healthz", "", b"").await.status, 200);
}
