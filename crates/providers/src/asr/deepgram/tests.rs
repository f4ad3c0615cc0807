use super::*;
use crate::asr::AsrInput;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

fn params() -> AsrParams {
    AsrParams {
        rate: 8000,
        language: "en".into(),
        model: String::new(),
        hot_words: vec!["opening hours".into()],
        silence_ms: 300,
        params: BTreeMap::from([("punctuate".into(), "false".into())]),
    }
}

fn stream() -> DeepgramStream {
    DeepgramStream { vendor: "dg".into(), url: String::new(), key: Pii::new("k".into()), unfinished: false }
}

fn results(is_final: bool, speech_final: bool, text: &str) -> String {
    serde_json::json!({"type": "Results", "is_final": is_final, "speech_final": speech_final,
        "channel": {"alternatives": [{"transcript": text, "confidence": 0.9}]}})
    .to_string()
}

fn final_of(text: &str, end_of_turn: EndOfTurn) -> AsrEvent {
    AsrEvent::Final { text: text.into(), end_of_turn }
}

#[test]
fn the_address_says_what_is_wanted() {
    let config = DeepgramConfig { model: "nova-3".into(), ..DeepgramConfig::default() };
    let url = Url::parse(&config.url).expect("a url");
    let address = address(&url, &config, &params());
    let query = "encoding=linear16&sample_rate=8000&channels=1&interim_results=true&endpointing=300&language=en\
        &model=nova-3&keyterm=opening+hours&punctuate=false";
    assert_eq!(address, format!("wss://api.deepgram.com/v1/listen?{query}"));
}

#[test]
fn frames_become_events() {
    let mut vendor = stream();
    let mut out = vec![];
    for text in [
        r#"{"type":"Metadata"}"#.to_owned(),
        results(false, false, " tell me "),
        results(true, false, "tell me"),
        results(true, true, ""),
        results(true, true, "the hours"),
        results(true, false, "please"),
        r#"{"type":"UtteranceEnd","last_word_end":2.5}"#.to_owned(),
        r#"{"type":"UtteranceEnd"}"#.to_owned(),
    ] {
        vendor.receive(WsFrame::Text(text), &mut out).expect("its protocol");
    }
    let wanted = [
        AsrEvent::Partial { text: "tell me".into() },
        final_of("tell me", EndOfTurn::Unknown),
        final_of("", EndOfTurn::Yes),
        final_of("the hours", EndOfTurn::Yes),
        final_of("please", EndOfTurn::Unknown),
        final_of("", EndOfTurn::Yes),
    ];
    assert_eq!(out, wanted);
    assert_eq!(vendor.audio(&[1, -2]), WsFrame::Binary(vec![1, 0, 254, 255]));
}

#[test]
fn empty_finals_are_nothing_and_garbage_is_an_error() {
    let mut vendor = stream();
    let mut out = vec![];
    for _ in 0..1000 {
        vendor.receive(WsFrame::Text(results(true, true, "")), &mut out).expect("its protocol");
    }
    assert_eq!(out, []);
    for text in ["", "{", "[]", "{}", r#"{"type":"Results"}"#, r#"{"type":"Results","channel":3}"#] {
        let error = vendor.receive(WsFrame::Text(text.into()), &mut out).expect_err(text);
        assert_eq!(error.kind, ErrorKind::Protocol);
    }
    assert!(vendor.receive(WsFrame::Binary(vec![]), &mut out).is_err());
    let refused = r#"{"type":"Error","description":"bad thing"}"#;
    let error = vendor.receive(WsFrame::Text(refused.into()), &mut out).expect_err("an error");
    assert_eq!((error.kind, error.detail.as_str()), (ErrorKind::Internal, "bad thing"));
}

async fn listener() -> (TcpListener, Deepgram) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let config = DeepgramConfig {
        url: format!("ws://127.0.0.1:{port}/v1/listen"),
        key: Pii::new("dg-secret".into()),
        connect_ms: 1000,
        ..DeepgramConfig::default()
    };
    (listener, Deepgram::new("dg", config).expect("a recogniser"))
}

async fn accept(listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (socket, _) = listener.accept().await.expect("a connection");
    accept_async(socket).await.expect("a handshake")
}

/// Reads audio until `samples` are there; returns them.
async fn hear(socket: &mut WebSocketStream<TcpStream>, samples: usize) -> Vec<i16> {
    let mut heard = vec![];
    while heard.len() < samples {
        if let Message::Binary(bytes) = socket.next().await.expect("open").expect("a frame") {
            heard.extend(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
    }
    heard
}

async fn next(stream: &mut AsrStream) -> Option<Result<AsrEvent, ErrorKind>> {
    Some(stream.events.recv().await?.map_err(|error| error.kind))
}

#[tokio::test]
async fn audio_is_kept_while_connecting_and_over_a_break() {
    let (listener, vendor) = listener().await;
    let mut stream = vendor.start(params());
    let first: Vec<i16> = (0..8000).collect();
    stream.input.send(AsrInput::Audio(first.clone())).await.expect("open");
    let mut socket = accept(&listener).await;
    assert_eq!(hear(&mut socket, 8000).await, first);
    socket.send(Message::text(results(true, false, "one"))).await.expect("sent");
    assert_eq!(next(&mut stream).await, Some(Ok(final_of("one", EndOfTurn::Unknown))));
    let second: Vec<i16> = (8000..24000).collect();
    stream.input.send(AsrInput::Audio(second.clone())).await.expect("open");
    hear(&mut socket, second.len()).await;
    // Gone without a word, in the middle of a word: the last 300 ms before the final words and all after it come again.
    drop(socket);
    let mut socket = accept(&listener).await;
    let again = hear(&mut socket, 2400 + second.len()).await;
    assert_eq!(again, [&first[8000 - 2400..], &second].concat());
    socket.send(Message::text(results(true, true, "two"))).await.expect("sent");
    assert_eq!(next(&mut stream).await, Some(Ok(final_of("two", EndOfTurn::Yes))));
    // A second break in a row is not mended.
    drop((socket, listener));
    assert_eq!(next(&mut stream).await, Some(Err(ErrorKind::Unreachable)));
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn the_end_is_said_and_last_words_are_heard() {
    let (listener, vendor) = listener().await;
    let AsrStream { input, mut events, running: _running } = vendor.start(params());
    let mut socket = accept(&listener).await;
    input.send(AsrInput::SpeechStopped).await.expect("open");
    drop(input);
    let mut texts = vec![];
    while texts.len() < 2 {
        if let Message::Text(text) = socket.next().await.expect("open").expect("a frame") {
            texts.push(text.as_str().to_owned());
        }
    }
    assert_eq!(texts, [r#"{"type":"Finalize"}"#, r#"{"type":"CloseStream"}"#]);
    socket.send(Message::text(results(true, true, "last"))).await.expect("sent");
    drop(socket);
    assert_eq!(events.recv().await, Some(Ok(final_of("last", EndOfTurn::Yes))));
    assert_eq!(events.recv().await, None);
}

/// Answers each handshake with the next status; returns the error and the number of connections it took.
async fn refused(replies: &'static [&'static str]) -> (ProviderError, usize) {
    let (listener, vendor) = listener().await;
    let mut stream = vendor.start(params());
    let serving = tokio::spawn(async move {
        for (n, reply) in replies.iter().enumerate() {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 4096];
            tokio::io::AsyncReadExt::read(&mut socket, &mut head).await.expect("a request");
            assert!(String::from_utf8_lossy(&head).contains("uthorization: Token dg-secret"));
            socket.write_all(format!("HTTP/1.1 {reply}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.expect("sent");
            if n + 1 == replies.len() {
                return n + 1;
            }
        }
        0
    });
    let error = stream.events.recv().await.expect("an event").expect_err("an error");
    assert_eq!(stream.events.recv().await, None);
    assert!(!error.to_string().contains("secret"));
    (error, serving.await.expect("served"))
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (error, tries) = refused(&["401 Unauthorized"]).await;
    assert_eq!((error.kind, tries), (ErrorKind::Unauthorised, 1));
    let (error, tries) = refused(&["429 Too Many\r\nRetry-After: 30"]).await;
    assert_eq!((error.kind, error.retry_after, tries), (ErrorKind::RateLimited, Some(Duration::from_secs(30)), 1));
    let (error, tries) = refused(&["500 Oops", "503 Oops"]).await;
    assert_eq!((error.kind, tries), (ErrorKind::Internal, 2));
}

#[tokio::test]
async fn a_port_where_nobody_listens_and_one_that_says_nothing() {
    let (listener, vendor) = listener().await;
    let mut stream = vendor.start(params());
    let (_silent, _) = listener.accept().await.expect("a connection");
    assert_eq!(next(&mut stream).await, Some(Err(ErrorKind::Timeout)));
    drop(listener);
    let mut stream = vendor.start(params());
    assert_eq!(next(&mut stream).await, Some(Err(ErrorKind::Unreachable)));
}
