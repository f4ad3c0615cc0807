//! What is read back over HTTP: recordings and parts of them, live events, ended calls, lists by pages.

use crate::support::{OTHER_KEY, SECRET, Server, answer_of, read_all, server, server_over};
use callwright_api::{Limits, Rates};
use callwright_domain::CallEvent;
use callwright_domain::agent::Recording;
use callwright_testkit::{AGENT, Callee, NodeBuilder, PATIENCE, Plan};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// A call that was talked, recorded and ended.
pub(crate) async fn ended_call() -> (Server, String, Callee) {
    ended_call_of(|builder| builder).await
}

/// The same on a node that is made differently.
pub(crate) async fn ended_call_of(change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> (Server, String, Callee) {
    let callee = Callee::start(Plan { hang_up_after: Some(Duration::from_millis(700)), ..Plan::answer() }).await;
    let builder = change(NodeBuilder::to(&callee).agent(|agent| agent.recording = Recording::Stereo));
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": "+15550123"})).await;
    let id = started.json()["id"].as_str().expect("an id").to_owned();
    let kept = |event: &CallEvent| matches!(event, CallEvent::RecordingKept { .. });
    server.node.wait_for(id.parse().expect("ours"), "the recording", kept).await;
    (server, id, callee)
}

#[tokio::test]
async fn a_recording_is_fetched_whole_in_parts_and_by_its_owner_alone() {
    let (server, id, _callee) = ended_call().await;
    let path = format!("/v1/calls/{id}/recording");
    let whole = server.native("GET", &path, &Value::Null).await;
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("audio/wav")));
    assert_eq!(&whole.body[..4], b"RIFF");
    let length = whole.body.len();
    assert_eq!(whole.header("content-length"), Some(length.to_string().as_str()));
    let range = async |range: &str| {
        let headers = format!("Authorization: Bearer admin.{SECRET}\r\nRange: {range}\r\n");
        server.send("GET", &path, &headers, b"").await
    };
    for (text, first, last) in [
        (String::from("bytes=0-43"), 0, 43),
        (String::from("bytes=44-"), 44, length - 1),
        (String::from("bytes=-10"), length - 10, length - 1),
        (format!("bytes=10-{}", length * 2), 10, length - 1),
    ] {
        let part = range(&text).await;
        assert_eq!(part.status, 206, "{text}");
        assert_eq!(part.body, whole.body[first..=last], "{text}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {first}-{last}/{length}").as_str()));
    }
    let beyond = range(&format!("bytes={length}-")).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(format!("bytes */{length}").as_str())));
    let head = server.native("HEAD", &path, &Value::Null).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.header("content-length"));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    let theirs = server.native_as(OTHER_KEY, "GET", &path, b"").await;
    assert_eq!((theirs.status, theirs.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn a_clip_of_a_recording_is_a_file_of_its_own() {
    let (server, id, _callee) = ended_call().await;
    let path = format!("/v1/calls/{id}/recording");
    let whole = server.native("GET", &path, &Value::Null).await.body;
    let clip = async |query: &str| server.native("GET", &format!("{path}?{query}"), &Value::Null).await;
    // 8 kHz and four bytes for both sides: 32 bytes a millisecond.
    let both = clip("from_ms=100&to_ms=200").await;
    assert_eq!((both.status, both.body.len()), (200, 44 + 3200));
    assert_eq!(both.body[44..], whole[44 + 3200..44 + 6400]);
    assert_eq!(both.header("content-length"), Some("3244"));
    let agent = clip("from_ms=100&to_ms=200&speaker=agent").await;
    let right: Vec<u8> = both.body[44..].chunks(4).flat_map(|sample| [sample[2], sample[3]]).collect();
    assert_eq!((agent.body[22], &agent.body[44..]), (1, &right[..]));
    let callee = clip("speaker=callee").await;
    assert_eq!(callee.body.len(), 44 + (whole.len() - 44) / 2);
    assert_eq!(clip("from_ms=999999").await.body.len(), 44);
    for (query, named) in [
        ("from_ms=-1", "from_ms"),
        ("to_ms=1.5", "to_ms"),
        ("from_ms=5&to_ms=5", "to_ms"),
        ("speaker=both", "speaker"),
        ("from=5", "from"),
        ("from_ms=1&from_ms=2", "from_ms"),
    ] {
        let refused = clip(query).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.json()["error"]["message"].as_str().is_some_and(|text| text.contains(named)), "{query}");
    }
}

#[tokio::test]
async fn an_ended_call_is_shown_with_what_was_said_and_why_it_ended() {
    let (server, id, _callee) = ended_call().await;
    let shown = server.native("GET", &format!("/v1/calls/{id}"), &Value::Null).await.json();
    assert_eq!((shown["status"].as_str(), shown["cause"].as_str()), (Some("ended"), Some("callee_hung_up")), "{shown}");
    assert_eq!(shown["transcript"][0]["speaker"], "agent");
    let names: Vec<&str> =
        shown["timeline"].as_array().expect("events").iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"created"), Some(&"recording_kept")), "{names:?}");
    assert!(shown["duration_s"].as_f64().expect("a duration") > 0.1);
    assert_eq!(shown["recording"], format!("/v1/calls/{id}/recording"));
    for order in ["hangup", "say", "hear"] {
        let ordered = server.native("POST", &format!("/v1/calls/{id}/{order}"), &json!({"text": "x"})).await;
        assert_ne!(ordered.status, 202, "{order}: {}", ordered.json());
    }
}

/// The events of a stream: id, name, data.
fn events(text: &str) -> Vec<(Option<u64>, String, Value)> {
    let mut found = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.trim().is_empty() && !block.starts_with(':')) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let data = serde_json::from_str(field("data").expect("data")).expect("JSON");
        found.push((field("id").and_then(|id| id.parse().ok()), field("event").expect("a name").to_owned(), data));
    }
    found
}

/// Body of a chunked answer.
pub(crate) fn unchunked(body: &[u8]) -> String {
    let (mut text, mut rest) = (Vec::new(), body);
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).expect("a size"), 16).expect("hexadecimal");
        let begin = end + 2;
        text.extend_from_slice(&rest[begin..(begin + size).min(rest.len())]);
        rest = rest.get(begin + size + 2..).unwrap_or_default();
    }
    String::from_utf8(text).expect("UTF-8")
}

#[tokio::test]
async fn a_feed_tells_everything_once_and_goes_on_where_it_was_left() {
    let (server, id, _callee) = ended_call().await;
    let path = format!("/v1/calls/{id}/events");
    let feed = async |last: Option<u64>| {
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let headers = format!("Authorization: Bearer admin.{SECRET}\r\n{last}");
        server.send("GET", &path, &headers, b"").await
    };
    let all = feed(None).await;
    assert_eq!((all.status, all.header("content-type")), (200, Some("text/event-stream")));
    let all = events(&unchunked(&all.body));
    let ids: Vec<u64> = all.iter().map(|(id, ..)| id.expect("each has one")).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    assert_eq!(all.last().map(|(_, name, _)| name.as_str()), Some("recording_kept"));
    let rest = events(&unchunked(&feed(Some(ids[2])).await.body));
    assert_eq!(rest, all[3..]);
    // A browser asks again when the stream ends: this answer ends that.
    assert_eq!(feed(ids.last().copied()).await.status, 204);
    let theirs = server.native_as(OTHER_KEY, "GET", &path, b"").await;
    assert_eq!((theirs.status, theirs.code().as_str()), (404, "not_found"));
}

#[tokio::test]
async fn a_watcher_of_an_account_sees_its_calls_and_no_others() {
    let server = server().await;
    let mut stream = server.connect().await;
    let request = format!("GET /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin.{SECRET}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = vec![0; 64 * 1024];
    let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("the head");
    assert!(String::from_utf8_lossy(&bytes[..length]).starts_with("HTTP/1.1 200"));
    let theirs = json!({"agent": crate::support::OTHER_AGENT, "to": "+15550123"}).to_string();
    let theirs = server.native_as(OTHER_KEY, "POST", "/v1/calls", theirs.as_bytes()).await;
    assert_eq!(theirs.status, 202, "{}", theirs.json());
    let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": "+15550123"})).await;
    let id = started.json()["id"].as_str().expect("an id").to_owned();
    let mut text = String::new();
    while !text.contains("event: dialing") {
        let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("events");
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    assert!(text.contains(&id));
    assert!(!text.contains(theirs.json()["id"].as_str().expect("an id")));
}

/// What a stream of all calls tells until an event of that name: the id and the `seq` of each event of `call`.
async fn all_until(server: &Server, last: Option<&str>, name: &str, call: impl AsyncFnOnce()) -> Vec<(String, u64)> {
    let mut stream = server.connect().await;
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    let request = format!("GET /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin.{SECRET}\r\n{last}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = vec![0; 64 * 1024];
    let mut text = String::new();
    let mut read = async |text: &mut String| {
        let length = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("events");
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    };
    read(&mut text).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    call().await;
    let end = format!("event: {name}\n");
    while !text.split_once(&end).is_some_and(|(_, rest)| rest.contains("\n\n")) {
        read(&mut text).await;
    }
    let field = |block: &str, name: &str| block.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()));
    let blocks = text.split("\n\n").filter_map(|block| Some((field(block, "id: ")?, field(block, "data: ")?)));
    let blocks = blocks.map(|(id, data)| {
        let data: Value = serde_json::from_str(&data).expect("JSON");
        (id, data["seq"].as_u64().expect("a place"))
    });
    blocks.collect()
}

#[tokio::test]
async fn a_watcher_of_an_account_goes_on_where_it_was_left() {
    let callee = Callee::start(Plan { hang_up_after: Some(Duration::from_millis(300)), ..Plan::answer() }).await;
    let server = server_over(NodeBuilder::to(&callee), Limits::default(), Rates::default()).await;
    let mut id = String::new();
    let call = async || {
        let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": "+15550123"})).await;
        id = started.json()["id"].as_str().expect("an id").to_owned();
    };
    let before = all_until(&server, None, "answered", call).await;
    server.node.ended(id.parse().expect("ours")).await;
    let (last, seq) = before.last().expect("some events");
    let after = all_until(&server, Some(last), "ended", async || {}).await;
    let seen: Vec<u64> = before.iter().chain(&after).map(|(_, seq)| *seq).collect();
    assert_eq!(seen, (seen[0]..seen[0] + seen.len() as u64).collect::<Vec<_>>(), "each once, after {seq}");
    for id in ["x", "1-2", "1000-0123456789abcdef0123456789abcdef-1"] {
        let headers = format!("Authorization: Bearer admin.{SECRET}\r\nLast-Event-ID: {id}\r\n");
        let refused = server.send("GET", "/v1/events", &headers, b"").await;
        assert_eq!((refused.status, refused.json()["error"]["field"].as_str()), (400, Some("Last-Event-ID")), "{id}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_without_gap_or_repeat() {
    let server = server().await;
    let mut made = Vec::new();
    for at in 0..7 {
        let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": format!("+1555012{at}")})).await;
        made.push(started.json()["id"].as_str().expect("an id").to_owned());
    }
    let (mut seen, mut cursor, mut sizes) = (Vec::new(), None::<String>, Vec::new());
    loop {
        let more = cursor.map(|cursor| format!("&cursor={}", cursor.replace('+', "%2B"))).unwrap_or_default();
        let page = server.native("GET", &format!("/v1/calls?limit=3{more}"), &Value::Null).await.json();
        let calls = page["calls"].as_array().unwrap_or_else(|| panic!("{page}"));
        sizes.push(calls.len());
        seen.extend(calls.iter().map(|call| call["id"].as_str().expect("an id").to_owned()));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || sizes.len() > 5 {
            break;
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
    for (query, field) in
        [("limit=0", "limit"), ("limit=201", "limit"), ("cursor=x", "cursor"), ("status=done", "status")]
    {
        let refused = server.native("GET", &format!("/v1/calls?{query}"), &Value::Null).await;
        assert_eq!((refused.status, refused.json()["error"]["field"].as_str()), (400, Some(field)), "{query}");
    }
    let one = server.native("GET", "/v1/calls?to=%2B15550123", &Value::Null).await.json();
    assert_eq!(one["calls"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let server = server().await;
    for path in ["/healthz", "/v1/agents", "/v1/calls/nothing"] {
        let get = server.native("GET", path, &Value::Null).await;
        let mut stream = server.connect().await;
        let request = format!(
            "HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer admin.{SECRET}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let head = answer_of(&read_all(&mut stream).await);
        assert_eq!((head.status, head.header("content-length")), (get.status, get.header("content-length")), "{path}");
        assert!(head.body.is_empty());
    }
}
