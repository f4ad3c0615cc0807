//! Live events over a WebSocket: the handshake, the same events as the streams, resuming, and who is let go.

use crate::reading::ended_call;
use crate::support::{DATE, OTHER_KEY, SECRET, Server, server};
use callwright_testkit::{AGENT, PATIENCE};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

type Watcher = WebSocketStream<TcpStream>;

/// Follows what `query` says; else the status and the answer.
async fn follow_as(server: &Server, key: &str, query: &str) -> Result<Watcher, (u16, Value)> {
    let mut request = format!("ws://api.test/v1/feed{query}").into_client_request().expect("a request");
    let bearer = format!("Bearer {key}.{SECRET}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    match client_async(request, server.connect().await).await {
        Ok((watcher, _)) => Ok(watcher),
        Err(Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            Err((answer.status().as_u16(), serde_json::from_slice(body).unwrap_or(Value::Null)))
        }
        Err(error) => panic!("{query}: {error}"),
    }
}

async fn follow(server: &Server, query: &str) -> Watcher {
    follow_as(server, "admin", query).await.expect("followed")
}

/// The next event; else the code and the words of the end.
async fn next(watcher: &mut Watcher) -> Result<Value, (u16, String)> {
    loop {
        match timeout(PATIENCE, watcher.next()).await.expect("in time") {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
            Some(Ok(Message::Close(Some(close)))) => return Err((close.code.into(), close.reason.to_string())),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("an event or the end, not {other:?}"),
        }
    }
}

fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["seq"].as_u64()).collect()
}

#[tokio::test]
async fn one_call_is_told_whole_and_from_a_place_on() {
    let (server, id, _callee) = ended_call().await;
    let shown = server.native("GET", &format!("/v1/calls/{id}"), &Value::Null).await.json();
    let timeline = shown["timeline"].as_array().expect("events").clone();
    for after in [0, 3] {
        let mut watcher = follow(&server, &format!("?call={id}&after={after}")).await;
        let mut told = Vec::new();
        let over = loop {
            match next(&mut watcher).await {
                Ok(event) => told.push(event),
                Err(over) => break over,
            }
        };
        assert_eq!((over.0, seqs(&told)), (1000, seqs(&timeline)[after..].to_vec()), "{over:?}");
        for (event, wanted) in told.iter().zip(&timeline[after..]) {
            assert_eq!((&event["call"], &event["event"], &event["at"]), (&json!(id), &wanted["event"], &wanted["at"]));
        }
    }
    let theirs = follow_as(&server, OTHER_KEY, &format!("?call={id}")).await.expect_err("not theirs");
    assert_eq!((theirs.0, &theirs.1["error"]["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn all_calls_are_told_from_now_on_and_again_from_where_a_watcher_was() {
    let server = server().await;
    let mut watcher = follow(&server, "").await;
    let call = async || {
        let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": "+15550123"})).await.json();
        started["id"].as_str().expect("an id").to_owned()
    };
    let first = call().await;
    let created = next(&mut watcher).await.expect("an event");
    assert_eq!((&created["call"], &created["event"], &created["seq"]), (&json!(first), &json!("created"), &json!(1)));
    let dialing = next(&mut watcher).await.expect("an event");
    assert_eq!((&dialing["call"], &dialing["seq"]), (&json!(first), &json!(2)));
    drop(watcher);
    let second = call().await;
    // The API's clock stands still here and the node's does not: the place is told by the one that is behind.
    let query = format!("?since={DATE}&seen={first}:2");
    let mut resumed = follow(&server, &query).await;
    let told = next(&mut resumed).await.expect("what was missed");
    assert_eq!((&told["call"], &told["seq"]), (&json!(second), &json!(1)), "and nothing of what was seen: {told}");
    let mut theirs = follow_as(&server, OTHER_KEY, &query).await.expect("a feed of their own");
    let third = call().await;
    let mut rest = Vec::new();
    while !rest.iter().any(|event: &Value| event["call"] == third.as_str()) {
        rest.push(next(&mut resumed).await.expect("an event"));
    }
    let of_second: Vec<u64> = rest
        .iter()
        .filter(|event| event["call"] == second.as_str())
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    assert!(of_second.is_sorted_by(|one, other| one < other) && !of_second.contains(&1), "{rest:?}");
    while let Ok(Some(Ok(heard))) = timeout(Duration::from_millis(50), theirs.next()).await {
        assert!(!heard.is_text(), "nothing of it is theirs");
    }
}

#[tokio::test]
async fn what_is_no_handshake_or_no_place_is_named() {
    let server = server().await;
    let plain = server.native("GET", "/v1/feed", &Value::Null).await;
    assert_eq!((plain.status, plain.json()["error"]["field"].as_str()), (400, Some("Upgrade")), "{:?}", plain.json());
    let headers = format!(
        "Authorization: Bearer admin.{SECRET}\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 8\r\n"
    );
    let old = server.send("GET", "/v1/feed", &headers.replace("Connection: upgrade\r\n", ""), b"").await;
    assert_eq!(old.status, 400);
    let long_ago = "2026-11-21T01:00:00Z";
    for (query, field) in [
        (format!("?since={long_ago}"), "since"),
        (String::from("?since=yesterday"), "since"),
        (String::from("?seen=x:1"), "seen"),
        (String::from("?since=2026-11-21T02:29:00Z&seen=x"), "seen"),
        (String::from("?after=1"), "after"),
        (format!("?call={}&since={long_ago}", "0".repeat(32)), "since"),
        (String::from("?follow=all"), "follow"),
    ] {
        let (status, answer) = follow_as(&server, "admin", &query).await.expect_err("refused");
        assert_eq!((status, &answer["error"]["field"]), (400, &json!(field)), "{query}: {answer}");
    }
    let (status, _) = follow_as(&server, "nobody", "").await.expect_err("refused");
    assert_eq!(status, 401);
    let (status, _) = follow_as(&server, "onlyconfigread", "").await.expect_err("refused");
    assert_eq!(status, 403);
}

#[tokio::test]
async fn who_talks_is_let_go_and_who_listens_hears_that_the_server_stops() {
    let server = server().await;
    let mut talker = follow(&server, "").await;
    talker.send(Message::Ping(vec![7].into())).await.expect("sent");
    // Its own ping may come first.
    let mut heard = Message::Ping(Vec::new().into());
    while heard.is_ping() {
        heard = timeout(PATIENCE, talker.next()).await.expect("in time").expect("open").expect("a message");
    }
    assert_eq!(heard, Message::Pong(vec![7].into()));
    talker.send(Message::text("hello")).await.expect("sent");
    let (code, words) = next(&mut talker).await.expect_err("let go");
    assert_eq!((code, words.as_str()), (1003, "this feed takes no messages"));
    let mut other = follow(&server, "").await;
    server.stop();
    let (code, _) = next(&mut other).await.expect_err("the server stops");
    assert_eq!(code, 1012);
}
