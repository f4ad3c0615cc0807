//! What the door does while the database is away: whoever has a call on the line can hang it up, and everything else is
//! told that the storage cannot be reached.

use crate::support::{OTHER_KEY, SECRET, server_over};
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, HangupCause};
use callwright_testkit::{Callee, MovingDatabase, NodeBuilder, Plan};
use std::sync::Arc;

#[tokio::test]
async fn a_call_on_the_line_is_hung_up_without_the_database() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let database = Arc::new(MovingDatabase::default());
    let mut builder = NodeBuilder::to(&callee).data(directory.path());
    builder.disk = Some(Arc::clone(&database) as _);
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let call = server.node.call().await;
    let mut line = callee.line().await;
    server.node.wait_for(call, "the answer", |event| matches!(event, CallEvent::Answered { .. })).await;
    let path = format!("/v1/calls/{call}/hangup");
    // Their keys have been used, each on the calls of its own account.
    for key in ["admin", OTHER_KEY, "onlycallsread"] {
        server.native_as(key, "GET", &format!("/v1/calls/{call}"), b"").await;
    }
    database.go_away();
    let ask = async |key: &str, secret: &str, path: &str, body: &[u8]| {
        let head = format!("Authorization: Bearer {key}.{secret}\r\nContent-Type: application/json\r\n");
        let answer = server.send("POST", path, &head, body).await;
        (answer.status, answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let storage = (503, String::from("storage"));
    assert_eq!(ask(OTHER_KEY, SECRET, &path, b"{}").await, storage, "another account's");
    assert_eq!(ask("onlycallswrite", SECRET, &path, b"{}").await, storage, "a key that nobody has used lately");
    assert_eq!(ask("admin", "wrong", &path, b"{}").await.0, 401);
    assert_eq!(ask("onlycallsread", SECRET, &path, b"{}").await.0, 403);
    assert_eq!(ask("admin", SECRET, &path, br#"{"surprise": 1}"#).await.0, 400);
    assert_eq!(ask("admin", SECRET, "/v1/calls/00000000000000000000000000000007/hangup", b"{}").await, storage);
    assert_eq!(ask("admin", SECRET, "/v1/calls", b"{}").await, storage, "for nothing else");
    assert_eq!(ask("admin", SECRET, &path, b"{}").await.0, 202);
    assert_eq!(format!("{:?}", line.ended().await), "Peer", "nobody waits for the database");
    database.come_back();
    assert_eq!(server.node.ended(call).await, HangupCause::ApiHungUp);
}
