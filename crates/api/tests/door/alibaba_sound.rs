//! Sounds that are named by their URL and played into calls: fetched from a server on a socket, and told apart from what is none.

use crate::alibaba_notify::ask;
use crate::support::{Answer, NOW, Server, server_over, server_that_tells};
use callwright_api::{Limits, Rates};
use callwright_domain::agent::Greeting;
use callwright_domain::{CallEvent, CallId, HangupCause};
use callwright_engine::Clock;
use callwright_testkit::{AGENT, Callee, Line, NodeBuilder, OnlineBrowser, Plan, Redundancy, Speaks};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server of files, and how many were asked of it.
struct Files {
    base: String,
    asked: Arc<AtomicUsize>,
}

impl Files {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let turn = count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, turn));
            }
        });
        Self { base, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Answers one request; before it there were so many.
async fn serve(mut stream: TcpStream, turn: usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let found = |body: Vec<u8>| {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat()
    };
    let answer = match head.split(' ').nth(1).unwrap_or_default() {
        "/tone.wav" => found(tone(1)),
        "/once.wav" if turn == 0 => found(tone(1)),
        "/minutes.wav" => found(tone(61)),
        "/tone.mp3" => found(include_bytes!("../../../media/tests/fixtures/tone.mp3").to_vec()),
        "/song.mp3" => found(b"ID3\x04\0\0\0\0\0\0".to_vec()),
        "/page" => found(b"<html></html>".to_vec()),
        "/moved" => b"HTTP/1.1 302 Found\r\nLocation: /tone.wav\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/huge" => b"HTTP/1.1 200 OK\r\nContent-Length: 10485761\r\n\r\nRIFF".to_vec(),
        "/endless" => [&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], &vec![b'x'; (10 << 20) + 1]].concat(),
        "/broken" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nRIFF".to_vec(),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    };
    // Whoever has heard enough goes before the end.
    let _gone = stream.write_all(&answer).await;
}

/// A WAV file of so many seconds of a tone, in mu-law.
fn tone(seconds: usize) -> Vec<u8> {
    let wave = [[0x80; 8], [0x00; 8]].concat();
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data".to_vec();
    file.extend(u32::try_from(seconds * 8000).expect("short").to_le_bytes());
    file.extend(wave.iter().cycle().take(seconds * 8000));
    file
}

/// A call that is answered and silent.
async fn standing() -> (Server, Callee, Line, String) {
    let mut callee = Callee::start(Plan::answer()).await;
    let builder = NodeBuilder::to(&callee).agent(|agent| agent.opening.greeting = Greeting::None);
    let server = server_that_tells(builder).await;
    let call = server.node.call().await;
    let line = callee.line().await;
    server.node.wait_for(call, "the answer", |event| matches!(event, CallEvent::Answered { .. })).await;
    (server, callee, line, call.to_string())
}

#[tokio::test]
async fn a_sound_is_fetched_and_played() {
    let files = Files::new().await;
    let (server, _callee, mut line, call) = standing().await;
    for (file, interrupt, heard) in
        [("tone.wav", "true", 900), ("tone.wav", "false", 1800), ("tone.mp3", "false", 2200)]
    {
        let url = format!("{}/{file}", files.base);
        let parameters =
            [("InstanceId", &*call), ("Text", &*url), ("Type", "AudioUrl"), ("EnableInterrupt", interrupt)];
        let played = ask(&server, "SendAIAgentSpeech", &parameters).await;
        assert_eq!(played.status, 200, "{}", played.json());
        line.hears_altogether(Duration::from_millis(heard)).await;
    }
    assert_eq!(files.asked(), 3);
    line.hang_up();
    let call = call.parse().expect("ours");
    assert_eq!(server.node.ended(call).await, HangupCause::CalleeHungUp);
    assert!(server.node.transcript(call).await.is_empty(), "a sound has no words");
}

#[tokio::test]
async fn what_is_no_sound_is_told_by_name_before_the_answer() {
    let files = Files::new().await;
    let (server, _callee, line, call) = standing().await;
    for (path, rule) in [
        ("/gone", "404"),
        ("/moved", "redirects are not followed"),
        ("/huge", "at most 10 MB"),
        ("/endless", "at most 10 MB"),
        ("/broken", "can be fetched"),
        ("/page", "neither a WAV nor an MP3"),
        ("/song.mp3", "not an MP3 file"),
        ("/minutes.wav", "longer than 60 seconds"),
    ] {
        let url = format!("{}{path}", files.base);
        let parameters = [("InstanceId", &*call), ("Text", &*url), ("Type", "AudioUrl")];
        let refused = ask(&server, "SendAIAgentSpeech", &parameters).await;
        let said = refused.json()["Message"].as_str().expect("words").to_owned();
        assert_eq!((refused.status, refused.code().as_str()), (400, "InvalidParameter.Text"), "{path}: {said}");
        assert!(said.contains(rule) && !said.contains("127.0.0.1"), "{path}: {said}");
    }
    let (closed, asked) = ("http://127.0.0.1:1/tone.wav", files.asked());
    for (call, url, code) in [
        (&*call, closed, "InvalidParameter.Text"),
        (&*call, "ftp://x.example/tone.wav", "InvalidParameter.Text"),
        (&*call, "tone.wav", "InvalidParameter.Text"),
        (&*call, "http://169.254.169.254/latest", "InvalidParameter.Text"),
        ("00000000000000000000000000000000", &*format!("{}/tone.wav", files.base), "InstanceNotFound"),
    ] {
        let parameters = [("InstanceId", call), ("Text", url), ("Type", "AudioUrl")];
        assert_eq!(ask(&server, "SendAIAgentSpeech", &parameters).await.code(), code, "{url}");
    }
    line.hang_up();
    server.node.ended(call.parse().expect("ours")).await;
    let url = format!("{}/tone.wav", files.base);
    let parameters = [("InstanceId", &*call), ("Text", &*url), ("Type", "AudioUrl")];
    assert_eq!(ask(&server, "SendAIAgentSpeech", &parameters).await.code(), "InvalidStatus.Instance");
    assert_eq!(files.asked(), asked, "nothing is fetched for a call in which nothing can be said");
    assert_eq!(line.heard(), Duration::ZERO);
}

/// A server where browsers are met, which fetches files from this machine.
async fn meeting() -> Server {
    let mut builder = NodeBuilder::to_address(([127, 0, 0, 1], 9).into()).browsers();
    builder.clock = Clock::new(|| NOW);
    server_that_tells(builder).await
}

/// Makes an instance whose greeting this sound precedes.
async fn generated(server: &Server, url: &str) -> Answer {
    let config = json!({"PreConnectAudioUrl": url, "Greeting": "Good morning."}).to_string();
    ask(server, "GenerateAIAgentCall", &[("AIAgentId", AGENT), ("AgentConfig", &config)]).await
}

/// Joins an instance by a browser.
async fn joined(server: &Server, made: &Value) -> (CallId, OnlineBrowser) {
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}"));
    let (browser, offer) = OnlineBrowser::start(Speaks::Opus(Redundancy::Some)).await.expect("a browser");
    let headers = format!("Authorization: Bearer {}\r\nContent-Type: application/sdp\r\n", text("Token"));
    let path = format!("/v1/join/{}", text("ChannelId"));
    let answer = server.send("POST", &path, &headers, offer.as_bytes()).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    browser.answered(&String::from_utf8_lossy(&answer.body)).await.expect("a good answer");
    (text("InstanceId").parse().expect("ours"), browser)
}

#[tokio::test]
async fn a_sound_is_played_before_the_greeting() {
    let (files, server) = (Files::new().await, meeting().await);
    let made = generated(&server, &format!("{}/tone.wav", files.base)).await;
    assert_eq!((made.status, files.asked()), (200, 1), "{}", made.json());
    let (call, _browser) = joined(&server, &made.json()).await;
    assert_eq!(files.asked(), 2);
    let answered = |event: &CallEvent| matches!(event, CallEvent::Answered { .. });
    let answered = server.node.wait_for(call, "the answer", answered).await.at;
    let spoke = |event: &CallEvent| matches!(event, CallEvent::Spoke { .. });
    let spoke = server.node.wait_for(call, "the sound", spoke).await.at;
    let said = |event: &CallEvent| matches!(event, CallEvent::Said { .. });
    let said = server.node.wait_for(call, "the greeting", said).await;
    let CallEvent::Said { text, span: Some(span), .. } = &said.event else { panic!("{said:?}") };
    assert_eq!(text.expose(), "Good morning.");
    let begun = span.around(said.at).0;
    assert!(begun.since(spoke) >= Duration::from_millis(900), "{answered:?} {spoke:?} {begun:?}");
    // Once somebody talks it is too late to say.
    let config = json!({"PreConnectAudioUrl": format!("{}/tone.wav", files.base)}).to_string();
    let call = call.to_string();
    let late = ask(&server, "UpdateAIAgentInstance", &[("InstanceId", &call), ("AgentConfig", &config)]).await;
    assert_eq!((late.status, late.code().as_str()), (400, "InvalidParameter.AgentConfig"));
}

#[tokio::test]
async fn what_cannot_be_played_before_the_greeting_is_told() {
    let (files, server) = (Files::new().await, meeting().await);
    let once = generated(&server, &format!("{}/once.wav", files.base)).await;
    assert_eq!(once.status, 200, "{}", once.json());
    let refused = generated(&server, &format!("{}/page", files.base)).await;
    let said = refused.json()["Message"].as_str().expect("words").to_owned();
    assert_eq!((refused.status, refused.code().as_str()), (400, "InvalidParameter.AgentConfig"), "{said}");
    assert!(said.contains("PreConnectAudioUrl") && said.contains("neither a WAV nor an MP3"), "{said}");
    let listed = ask(&server, "ListAIAgentInstance", &[("AIAgentId", AGENT)]).await.json();
    assert_eq!(listed["Instances"].as_array().map(Vec::len), Some(1), "{listed}");
    // What was there when the call was asked for is gone by now: the call goes on without it, and says so.
    let (call, _browser) = joined(&server, &once.json()).await;
    let trouble = |event: &CallEvent| matches!(event, CallEvent::Trouble { part, .. } if part == "sound");
    let trouble = server.node.wait_for(call, "the trouble", trouble).await;
    let CallEvent::Trouble { detail, .. } = trouble.event else { panic!("{trouble:?}") };
    assert!(detail.contains("404") && !detail.contains("127.0.0.1"), "{detail}");
    server.node.wait_for(call, "the greeting", |event| matches!(event, CallEvent::Said { .. })).await;
}

/// As the server is by default.
#[tokio::test]
async fn where_nothing_inside_may_be_reached_no_sound_is_fetched_there() {
    let files = Files::new().await;
    let mut callee = Callee::start(Plan::answer()).await;
    let server = server_over(NodeBuilder::to(&callee), Limits::default(), Rates::default()).await;
    let call = server.node.call().await;
    let _line = callee.line().await;
    server.node.wait_for(call, "the answer", |event| matches!(event, CallEvent::Answered { .. })).await;
    let call = call.to_string();
    for (url, rule) in
        [(format!("{}/tone.wav", files.base), "https://"), (files.base.replace("http://", "https://"), "private")]
    {
        let parameters = [("InstanceId", &*call), ("Text", &*url), ("Type", "AudioUrl")];
        let refused = ask(&server, "SendAIAgentSpeech", &parameters).await.json();
        assert_eq!(refused["Code"], json!("InvalidParameter.Text"), "{refused}");
        assert!(refused["Message"].as_str().is_some_and(|said| said.contains(rule)), "{refused}");
    }
    assert_eq!(files.asked(), 0);
}
