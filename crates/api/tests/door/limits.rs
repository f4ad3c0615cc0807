//! The limits of connections and requests, each with a setting small enough to reach.

use crate::support::{
    SECRET, Server, Signed, answer_of, frame, h2_block, h2_get, h2_hello, read_all, server, server_with,
};
use callwright_api::{Limits, Rates};
use callwright_testkit::PATIENCE;
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, pause, sleep, timeout};

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n";

#[tokio::test]
async fn many_or_large_headers_are_refused_in_the_dialects_words() {
    let server = server().await;
    let many = |count: usize| (0..count).map(|at| format!("X{at}: 1\r\n")).collect::<String>();
    let large = |bytes: usize| format!("X: {}\r\n", "x".repeat(bytes));
    for (headers, status) in [
        (many(98), 200),
        (many(99), 431),
        (many(5000), 431),
        (large(32_000), 200),
        (large(33_000), 431),
        (large(1 << 20), 431),
    ] {
        let answer = server.raw(format!("{GET}Connection: close\r\n{headers}\r\n").as_bytes()).await;
        assert_eq!(answer.status, status, "{headers:.20}");
        if status == 431 {
            assert_eq!(answer.code(), "headers_too_large");
        }
    }
}

#[tokio::test]
async fn nesting_has_a_limit() {
    let server = server().await;
    for (depth, code) in [(64, "missing_field"), (65, "invalid_json")] {
        let body = format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(server.native_as("admin", "POST", "/v1/calls", body.as_bytes()).await.code(), code, "{depth}");
    }
}

#[tokio::test]
async fn a_body_of_the_largest_size_is_read() {
    let server = server().await;
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat((1 << 20) - 8));
    assert_eq!(body.len(), 1 << 20);
    assert_eq!(server.native_as("admin", "POST", "/v1/calls", body.as_bytes()).await.code(), "missing_field");
    let more = server.native_as("admin", "POST", "/v1/calls", format!("{body} ").as_bytes()).await;
    assert_eq!((more.status, more.code().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_time_and_no_longer() {
    let (head_time, keep_alive) = (Duration::from_millis(200), Duration::from_millis(900));
    let server = server_with(Limits { head_time, keep_alive, ..Limits::default() }, Rates::default()).await;
    pause();
    let mut stream = server.wire();
    let mut answered = Instant::now();
    for _ in 0..2 {
        stream.write_all(format!("{GET}\r\n").as_bytes()).await.expect("sent");
        let mut answer = [0; 1024];
        let length = timeout(PATIENCE, stream.read(&mut answer)).await.expect("in time").expect("readable");
        assert_eq!(answer_of(&answer[..length]).status, 200);
        answered = Instant::now();
        // Longer than a head may take: between requests another clock runs.
        sleep(Duration::from_millis(500)).await;
    }
    assert!(read_all(&mut stream).await.is_empty());
    let kept = answered.elapsed();
    assert!(kept >= keep_alive && kept < keep_alive + head_time, "{kept:?}");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_though_it_answers_pings() {
    let (head_time, keep_alive) = (Duration::from_millis(200), Duration::from_millis(300));
    let server = server_with(Limits { keep_alive, head_time, ..Limits::default() }, Rates::default()).await;
    pause();
    let mut stream = server.wire();
    stream.write_all(&h2_hello(&[])).await.expect("sent");
    let began = Instant::now();
    while stream.write_all(&frame(6, 0, 0, &[0; 8])).await.is_ok() {
        sleep(Duration::from_millis(50)).await;
    }
    let kept = began.elapsed();
    assert!(kept >= keep_alive && kept < keep_alive + head_time, "{kept:?}");
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_let_go() {
    let moment = Duration::from_millis(300);
    let limits = Limits { stall: moment, keep_alive: moment, head_time: moment, ..Limits::default() };
    let server = server_with(limits, Rates::default()).await;
    pause();
    // Answers that nobody reads, until no buffer takes more.
    let mut stream = server.wire();
    let request = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n";
    let flooding = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    timeout(moment * 3, flooding).await.expect("closed in time");
}

/// Frames until the end of the connection: kind, flags, stream, payload.
async fn frames(stream: &mut TcpStream) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let bytes = read_all(stream).await;
    let (mut found, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((head, more)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, more)) = more.split_at_checked(length) else { break };
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        found.push((head[3], head[4], id, payload.to_vec()));
        rest = more;
    }
    found
}

async fn still_serves(server: &Server) {
    assert_eq!(server.send("GET", "/healthz", "", b"").await.status, 200);
}

const GOAWAY: u8 = 7;
const RST_STREAM: u8 = 3;

#[tokio::test]
async fn http2_serves_and_says_how_many_streams_it_takes() {
    let limits = Limits { keep_alive: Duration::from_millis(300), ..Limits::default() };
    let server = server_with(limits, Rates::default()).await;
    let mut stream = server.connect().await;
    let get = h2_get("/v1/agents", &format!("admin.{SECRET}"));
    stream.write_all(&[h2_hello(&[]), frame(1, 0x5, 1, &get)].concat()).await.expect("sent");
    let frames = frames(&mut stream).await;
    let settings = &frames.iter().find(|frame| (frame.0, frame.1) == (4, 0)).expect("settings").3;
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 128]), "{settings:?}");
    let data: Vec<u8> = frames.iter().filter(|frame| frame.0 == 0).flat_map(|frame| frame.3.clone()).collect();
    let json: Value = serde_json::from_slice(&data).expect("JSON");
    assert!(json["agents"].is_array());
}

/// The JSON of the answer on a stream of an HTTP/2 connection.
async fn h2_answer(server: &Server, block: &[u8]) -> Value {
    let mut stream = server.connect().await;
    stream.write_all(&[h2_hello(&[]), frame(1, 0x5, 1, block)].concat()).await.expect("sent");
    let frames = frames(&mut stream).await;
    let data: Vec<u8> = frames.iter().filter(|frame| frame.0 == 0).flat_map(|frame| frame.3.clone()).collect();
    serde_json::from_slice(&data).expect("JSON")
}

#[tokio::test]
async fn signatures_hold_over_http2_where_the_host_is_not_a_header() {
    let limits = Limits { keep_alive: Duration::from_millis(300), ..Limits::default() };
    let server = server_with(limits, Rates::default()).await;
    let signed = Signed::new("ListAIAgentPhoneNumber", "", "http2").bytes();
    let answer = h2_answer(&server, &h2_block(&signed)).await;
    assert!(answer["TotalNumber"].is_number(), "{answer}");
    let mut block = h2_get("/v1/agents", &format!("admin.{SECRET}"));
    block.extend(b"\x00\x04host\x0aother.test");
    let answer = h2_answer(&server, &block).await;
    assert_eq!(answer["error"]["code"], "invalid_field", "two hosts: {answer}");
}

#[tokio::test]
async fn too_many_streams_at_once_are_refused() {
    let limits = Limits {
        streams: 8,
        body_time: Duration::from_millis(300),
        keep_alive: Duration::from_millis(600),
        ..Limits::default()
    };
    let server = server_with(limits, Rates::default()).await;
    let mut stream = server.connect().await;
    let mut bytes = h2_hello(&[]);
    let get = h2_get("/v1/agents", &format!("admin.{SECRET}"));
    for at in 0..12 {
        // Without END_STREAM: each waits for its body.
        bytes.extend(frame(1, 0x4, at * 2 + 1, &get));
    }
    stream.write_all(&bytes).await.expect("sent");
    let frames = frames(&mut stream).await;
    let refused = frames.iter().filter(|frame| frame.0 == RST_STREAM && frame.3 == [0, 0, 0, 7]).count();
    assert!(refused == 4 || frames.iter().any(|frame| frame.0 == GOAWAY), "{refused} refused");
    still_serves(&server).await;
}

#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let server = server().await;
    let mut stream = server.connect().await;
    stream.write_all(&h2_hello(&[])).await.expect("sent");
    let get = h2_get("/v1/agents", &format!("admin.{SECRET}"));
    let flood: Vec<u8> = (0..2000)
        .flat_map(|at| [frame(1, 0x5, at * 2 + 1, &get), frame(RST_STREAM, 0, at * 2 + 1, &[0, 0, 0, 8])].concat())
        .collect();
    // The end of the connection may come before the end of the flood.
    let _early = stream.write_all(&flood).await;
    let frames = frames(&mut stream).await;
    let answered = frames.iter().filter(|frame| frame.0 == 1).count();
    assert!(answered < 500, "{answered} answers to what nobody waits for");
    still_serves(&server).await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let server = server().await;
    let mut stream = server.connect().await;
    let get = h2_get("/v1/agents", &format!("admin.{SECRET}"));
    let mut bytes = [h2_hello(&[]), frame(1, 0x1, 1, &get)].concat();
    // A literal header without index: name `x`, a value of 1,000 bytes.
    let header = [&[0x00, 1, b'x', 0x7f, 0xe9, 0x06], [b'y'; 1000].as_slice()].concat();
    for _ in 0..2000 {
        bytes.extend(frame(9, 0, 1, &header));
    }
    let _early = stream.write_all(&bytes).await;
    let frames = frames(&mut stream).await;
    assert!(frames.iter().any(|frame| frame.0 == GOAWAY) || frames.iter().all(|frame| frame.0 != 1));
    still_serves(&server).await;
}
