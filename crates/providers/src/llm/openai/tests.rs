use super::*;
use crate::stub::{Piece, Stub, chunked, last_chunk, reply};
use callwright_conversation::vocabulary::ToolSpec;
use std::time::Duration;

type Heard = Vec<Result<LlmEvent, ErrorKind>>;

fn config(port: u16) -> OpenAiLlmConfig {
    OpenAiLlmConfig {
        base_url: format!("http://127.0.0.1:{port}/v1"),
        key: Pii::new("sk-secret".into()),
        model: "m".into(),
        first_ms: 1500,
        stall_ms: 700,
        ..OpenAiLlmConfig::default()
    }
}

fn question() -> LlmRequest {
    LlmRequest {
        conversation: "c".into(),
        model: String::new(),
        messages: vec![Message::text(Role::User, "hello")],
        tools: vec![],
        temperature: Some(0.5),
        max_tokens: Some(9),
        query: BTreeMap::from([("q".into(), "1".into())]),
        params: BTreeMap::new(),
        script: Arc::new([]),
        headers: BTreeMap::new(),
    }
}

async fn ask(brain: &OpenAiLlm) -> Vec<Result<LlmEvent, ProviderError>> {
    let LlmStream { mut events, running: _running } = brain.ask(question());
    let mut heard = vec![];
    while let Some(event) = events.recv().await {
        heard.push(event);
    }
    heard
}

async fn heard(replies: impl IntoIterator<Item = Vec<Piece>>) -> (Heard, Stub) {
    let stub = Stub::start(replies).await;
    let brain = OpenAiLlm::new("brain", config(stub.port)).expect("a brain");
    let events = ask(&brain).await;
    let events = events.into_iter().map(|event| event.map_err(|error| error.kind)).collect();
    (events, stub)
}

fn delta(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
}

fn sse(pieces: &[&str], end: &[Piece]) -> Vec<Piece> {
    let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
    [chunked("text/event-stream; charset=utf-8", &pieces), end.to_vec()].concat()
}

fn text(text: &str) -> Result<LlmEvent, ErrorKind> {
    Ok(LlmEvent::Text(text.into()))
}

const DONE: Result<LlmEvent, ErrorKind> = Ok(LlmEvent::Done { usage: None });
const END: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn words_stream_and_the_connection_is_used_again() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n";
    let stop = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let answer = sse(&[role, &delta("Hel"), &delta("lo."), stop, usage, END], &[last_chunk()]);
    let stub = Stub::start([answer.clone(), answer]).await;
    let brain = OpenAiLlm::new("brain", config(stub.port)).expect("a brain");
    for _ in 0..2 {
        let done = LlmEvent::Done { usage: Some(Usage { prompt: 3, completion: 2 }) };
        let wanted = [Ok(LlmEvent::Text("Hel".into())), Ok(LlmEvent::Text("lo.".into())), Ok(done)];
        assert_eq!(ask(&brain).await, wanted);
    }
    assert_eq!(stub.connections(), 1);
    let request = stub.requests().remove(0);
    assert!(request.starts_with("POST /v1/chat/completions?q=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer sk-secret\r\n"));
    let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let wanted = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": true,
        "stream_options": {"include_usage": true}, "temperature": 0.5, "max_tokens": 9});
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_question_may_have_headers_of_its_own() {
    let stub = Stub::start([sse(&[&delta("Hi."), END], &[last_chunk()])]).await;
    let brain = OpenAiLlm::new("brain", config(stub.port)).expect("a brain");
    let headers = [("X-Asked", "1"), ("no header", "1"), ("X-Broken", "a\r\nb")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let LlmStream { mut events, running: _running } = brain.ask(LlmRequest { headers, ..question() });
    while events.recv().await.is_some() {}
    let head = stub.requests().remove(0).to_lowercase();
    assert!(head.contains("\r\nx-asked: 1\r\n") && !head.contains("header") && !head.contains("broken"), "{head}");
}

/// OpenAI itself refuses members that it does not know, and any service may be spared them.
#[test]
fn what_a_service_refuses_is_not_sent() {
    let sent = |url: &str, configured: Option<Value>| {
        let mut config = OpenAiLlmConfig { base_url: url.into(), ..config(1) };
        config.params.extend(configured.map(|value| (EXTENSION.into(), value)));
        let mut request = question();
        request.params = BTreeMap::from([(EXTENSION.into(), json!({"userData": "u"})), ("seed".into(), json!(7))]);
        let body = body(&config, request);
        assert_eq!(body["seed"], 7);
        body.get(EXTENSION).cloned()
    };
    assert_eq!(sent("http://127.0.0.1:1/v1", None), Some(json!({"userData": "u"})));
    assert_eq!(sent("http://127.0.0.1:1/v1", Some(Value::Null)), None);
    assert_eq!(sent("https://api.openai.com/v1", None), None);
    assert_eq!(sent("https://res.openai.azure.com/openai", None), None);
}

#[test]
fn bodies_carry_tools_and_parameters() {
    let mut request = question();
    request.model = "mine".into();
    request.tools = vec![ToolSpec { name: "end_call".into(), description: "d".into(), parameters: json!({}) }];
    let call = ToolCall { id: "1".into(), name: "end_call".into(), arguments: "{}".into() };
    let mut said = Message::text(Role::Assistant, "");
    said.tool_calls.push(call);
    let mut result = Message::text(Role::Tool, "ok");
    result.answers = Some("1".into());
    request.messages = vec![said, result];
    request.params = BTreeMap::from([("stream_options".into(), Value::Null), ("seed".into(), json!(7))]);
    let mut config = config(1);
    config.params = BTreeMap::from([("seed".into(), json!(1)), ("user".into(), json!("u"))]);
    let body = body(&config, request);
    let wanted = json!({
        "model": "mine", "stream": true, "temperature": 0.5, "max_tokens": 9, "seed": 7, "user": "u",
        "messages": [
            {"role": "assistant", "content": null, "tool_calls":
                [{"id": "1", "type": "function", "function": {"name": "end_call", "arguments": "{}"}}]},
            {"role": "tool", "content": "ok", "tool_call_id": "1"},
        ],
        "tools": [{"type": "function", "function": {"name": "end_call", "description": "d", "parameters": {}}}],
    });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn tool_calls_are_assembled_by_index() {
    let piece = |calls: Value| format!("data: {}\n\n", json!({"choices": [{"delta": {"tool_calls": calls}}]}));
    let stop = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
    let pieces = [
        piece(json!([{"index": 0, "id": "a", "function": {"name": "send_keys", "arguments": ""}}])),
        piece(json!([{"index": 1, "id": "b", "function": {"name": "end_call", "arguments": "{"}}])),
        piece(json!([{"index": 0, "function": {"arguments": "{\"keys\":"}}])),
        piece(json!([{"index": 0, "function": {"arguments": "\"12#\"}"}}])),
        stop.to_owned(),
        END.to_owned(),
    ];
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (events, _stub) = heard([sse(&pieces, &[last_chunk()])]).await;
    let call = |id: &str, name: &str, arguments: &str| {
        Ok(LlmEvent::Tool(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }))
    };
    // Arguments that are no JSON are handed on unread: whoever runs tools tells the model.
    assert_eq!(events, [call("a", "send_keys", "{\"keys\":\"12#\"}"), call("b", "end_call", "{"), DONE]);
}

#[tokio::test]
async fn half_a_tool_call_is_not_made() {
    let half = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"x\"}}]}}]}\n\n";
    let (events, _stub) = heard([sse(&[half], &[Piece::Close])]).await;
    assert_eq!(events, [DONE]);
}

#[tokio::test]
async fn characters_cut_by_the_network_are_whole() {
    let body = [delta("Gr\u{fc}\u{df} \u{4f60}\u{597d}"), END.to_owned()].concat();
    let pieces: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let (events, _stub) = heard([[chunked("text/event-stream", &pieces), vec![last_chunk()]].concat()]).await;
    assert_eq!(events, [text("Gr\u{fc}\u{df} \u{4f60}\u{597d}"), DONE]);
}

#[tokio::test]
async fn slow_first_words_and_stalls_are_timeouts() {
    let (events, _stub) = heard([sse(&[": ping\n\n"], &[Piece::Hang])]).await;
    assert_eq!(events, [Err(ErrorKind::Timeout)]);
    let (events, _stub) = heard([vec![Piece::Hang]]).await;
    assert_eq!(events, [Err(ErrorKind::Timeout)]);
    let (events, _stub) = heard([sse(&[&delta("well")], &[Piece::Hang])]).await;
    assert_eq!(events, [text("well"), Err(ErrorKind::Timeout)]);
}

#[tokio::test]
async fn answers_without_an_end() {
    let (events, _stub) = heard([sse(&[&delta("well"), "data: {\"cho"], &[Piece::Close])]).await;
    assert_eq!(events, [text("well"), DONE]);
    let (events, _stub) = heard([sse(&[": x\n\n"], &[Piece::Close])]).await;
    assert_eq!(events, [Err(ErrorKind::Unreachable)]);
    let (events, _stub) = heard([sse(&[END], &[last_chunk()])]).await;
    assert_eq!(events, [DONE], "an empty answer is the conversation's business");
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    for body in ["data: {\"choices\":3}\n\n", "data: hello\n\n", "<html>", "", "\u{0}\u{1}\n\n"] {
        let (events, _stub) = heard([reply("200 OK", "Content-Type: text/event-stream\r\n", body)]).await;
        assert_eq!(events, [Err(ErrorKind::Protocol)], "{body:?}");
    }
    let (events, _stub) = heard([reply("200 OK", "Content-Type: text/html\r\n", "<html>")]).await;
    assert_eq!(events, [Err(ErrorKind::Protocol)]);
    let (events, _stub) = heard([reply("200 OK", "", vec![b'x'; 3 << 20])]).await;
    assert_eq!(events, [Err(ErrorKind::Protocol)]);
    let json = "Content-Type: application/json\r\n";
    let (events, _stub) = heard([reply("200 OK", json, vec![b' '; 3 << 20])]).await;
    assert_eq!(events, [Err(ErrorKind::Protocol)]);
}

#[tokio::test]
async fn an_answer_that_does_not_stream_is_read_whole() {
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    let body = r#"{"choices":[{"index":0,"message":{"content":"Hi.","tool_calls":[{"id":"a","function":{"name":"x","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let (events, _stub) = heard([reply("200 OK", json, body)]).await;
    let call = ToolCall { id: "a".into(), name: "x".into(), arguments: "{}".into() };
    let done = LlmEvent::Done { usage: Some(Usage { prompt: 1, completion: 1 }) };
    assert_eq!(events, [text("Hi."), Ok(LlmEvent::Tool(call)), Ok(done)]);
    let (events, _stub) = heard([reply("200 OK", json, r#"{"error":{"message":"overloaded"}}"#)]).await;
    assert_eq!(events, [Err(ErrorKind::Internal)]);
}

#[tokio::test]
async fn refusals_say_what_to_do_and_keep_the_key() {
    let stub = Stub::start([
        reply("401 No", "", r#"{"error":{"message":"bad key sk-secret"}}"#),
        reply("429 Slow", "Retry-After: 30\r\n", ""),
        reply("404 No", "", r#"{"error":{"message":"no model m for sk-secret of 4930123456"}}"#),
        reply("302 There", "Location: http://127.0.0.1:1/\r\n", ""),
    ])
    .await;
    let brain = OpenAiLlm::new("brain", config(stub.port)).expect("a brain");
    let mut errors = vec![];
    for _ in 0..4 {
        errors.push(ask(&brain).await.remove(0).expect_err("an error"));
    }
    let printed: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        printed,
        ["brain: HTTP 401", "brain: HTTP 429", "brain: HTTP 404: no model m for *** of ***", "brain: HTTP 302"]
    );
    use ErrorKind as K;
    assert_eq!(
        errors.iter().map(|e| e.kind).collect::<Vec<_>>(),
        [K::Unauthorised, K::RateLimited, K::Rejected, K::Rejected]
    );
    assert_eq!(errors[1].retry_after, Some(Duration::from_secs(30)));
    assert_eq!(stub.requests().len(), 4, "none of them is tried again");
    assert!(!format!("{brain:?}").contains("secret"));
}

#[tokio::test]
async fn one_failure_that_passes_is_not_noticed() {
    let (events, stub) = heard([reply("500 Oops", "", ""), sse(&[&delta("ok"), END], &[last_chunk()])]).await;
    assert_eq!((events, stub.requests().len()), (vec![text("ok"), DONE], 2));
    let (events, stub) = heard([reply("503 Oops", "", ""), reply("500 Oops", "", "")]).await;
    assert_eq!((events, stub.requests().len()), (vec![Err(ErrorKind::Internal)], 2));
}

#[tokio::test]
async fn nobody_listens_there() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let brain = OpenAiLlm::new("brain", config(port)).expect("a brain");
    let error = ask(&brain).await.remove(0).expect_err("an error");
    assert_eq!(error.kind, ErrorKind::Unreachable);
}

#[tokio::test]
async fn dropping_the_answer_closes_the_connection() {
    let stub = Stub::start([sse(&[&delta("well")], &[Piece::Hang])]).await;
    let brain = OpenAiLlm::new("brain", config(stub.port)).expect("a brain");
    let LlmStream { mut events, running } = brain.ask(question());
    assert_eq!(events.recv().await, Some(Ok(LlmEvent::Text("well".into()))));
    drop(running);
    assert_eq!(events.recv().await, None);
}
