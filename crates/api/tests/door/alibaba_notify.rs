//! Alibaba's callbacks over real sockets: their settings, what a call tells and in which order, and the operations that
//! are refused by name.

use crate::support::{Answer, OTHER_AGENT, SECRET, Server, Signed, server, server_that_tells};
use callwright_domain::agent::Recording;
use callwright_domain::{CallEvent, CallId, Scope};
use callwright_testkit::{
    AGENT, CALLER, Callee, NodeBuilder, PATIENCE, Plan, Reply, ScriptedBrain, ScriptedEars, Then,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const TOKEN: &str = "hunter2-token";
static NONCE: AtomicUsize = AtomicUsize::new(0);

type Parameters<'a> = &'a [(&'a str, &'a str)];

/// Asks with these parameters, encoded here.
pub(crate) async fn ask(server: &Server, action: &'static str, parameters: Parameters<'_>) -> Answer {
    let mut query = parameters.to_vec();
    query.sort_unstable();
    let encode = |text: &str| text.bytes().map(encoded).collect::<String>();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let nonce = format!("notify{}", NONCE.fetch_add(1, Ordering::Relaxed));
    Signed::new(action, query.join("&"), &nonce).send(server).await
}

pub(crate) fn encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

pub(crate) async fn must(server: &Server, action: &'static str, parameters: &[(&str, &str)]) -> Value {
    let answer = ask(server, action, parameters).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.json());
    answer.json()
}

/// A receiver: keeps what it is told and says yes with 200, and in the words of a vendor that wants more than that.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) got: mpsc::Receiver<(String, Value)>,
}

pub(crate) async fn receiver() -> Receiver {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook?site=1", listener.local_addr().expect("bound"));
    let (told, got) = mpsc::channel(256);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, told.clone()));
        }
    });
    Receiver { url, got }
}

/// Reads requests off one connection, which is kept for the next.
async fn receive(mut stream: TcpStream, told: mpsc::Sender<(String, Value)>) {
    let mut bytes = Vec::new();
    loop {
        let whole = bytes.windows(4).position(|window| window == b"\r\n\r\n").and_then(|end| {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let length = length.expect("a length");
            (bytes.len() >= end + 4 + length).then_some((end + 4, length))
        });
        if let Some((begin, length)) = whole {
            let rest = bytes.split_off(begin + length);
            let head = String::from_utf8_lossy(&bytes[..begin]).into_owned();
            let body = serde_json::from_slice(&bytes[begin..]).expect("JSON");
            bytes = rest;
            told.send((head, body)).await.expect("the test listens");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"ErrCode\":0}")
                .await
                .expect("it is read");
            continue;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

impl Receiver {
    /// Everything up to and with the event of this name for which `last` holds.
    pub(crate) async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        loop {
            let next = timeout(PATIENCE, self.got.recv()).await;
            let Ok(Some((head, body))) = next else { panic!("not told in time; there were {all:#?}") };
            let over = last(&body);
            all.push((head, body));
            if over {
                return all;
            }
        }
    }
}

/// Has an agent's calls told there.
pub(crate) async fn set(server: &Server, agent: &str, url: &str) {
    must(server, "SetNotifyConfig", &[("AIAgentId", agent), ("EnableNotify", "true"), ("CallbackUrl", url)]).await;
}

fn is_over(body: &Value) -> bool {
    body["event"] == "outbound_call" && ["4", "5"].map(Value::from).contains(&body["extendData"]["status"])
}

fn names(all: &[(String, Value)]) -> Vec<&str> {
    all.iter().map(|(_, body)| body["event"].as_str().expect("a name")).collect()
}

/// The greeting, a question, its answer, and the end by the callee.
async fn a_turn(server: &Server, call: CallId, callee: &mut Callee) {
    let mut line = callee.line().await;
    let said = |words: &'static str| move |event: &CallEvent| matches!(event, CallEvent::Said { text, .. } if text.expose() == words);
    server.node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(Duration::from_millis(100)).await;
    line.speak(Duration::from_millis(500));
    server.node.wait_for(call, "the answer", said("How many?")).await;
    line.hang_up();
}

#[tokio::test]
async fn a_call_is_told_in_order_and_with_its_token() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]);
    let builder = NodeBuilder::to(&callee).ears(&ScriptedEars::new(["I want a table"])).brain(&brain);
    let server = server_that_tells(builder).await;
    let mut receiver = receiver().await;
    let settings = [("AIAgentId", AGENT), ("EnableNotify", "True"), ("CallbackUrl", &receiver.url), ("Token", TOKEN)];
    must(&server, "SetNotifyConfig", &settings).await;
    let user_data = r#"{"order": 7, "name": "Ann"}"#;
    let wanted =
        [("AIAgentId", AGENT), ("CallerNumber", CALLER), ("CalledNumber", "+15550123"), ("UserData", user_data)];
    let begun = must(&server, "StartAIAgentOutboundCall", &wanted).await;
    let call = begun["InstanceId"].as_str().expect("an id").parse().expect("ours");
    a_turn(&server, call, &mut callee).await;
    let all = receiver.until(is_over).await;
    let expected = ["outbound_call", "outbound_call", "outbound_call", "agent_start", "session_start", "chat_record"];
    let turn = ["chat_record", "intent_detected", "intent_recognized", "llm_data_received", "tts_data_received"];
    let end = ["chat_record", "agent_stop", "outbound_call"];
    assert_eq!(names(&all), [&expected[..], &turn, &end].concat());
    for (head, body) in &all {
        assert!(head.starts_with("POST /hook?site=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: hunter2-token\r\n"), "{head}");
        assert!(head.contains("content-type: application/json\r\n"), "{head}");
        let members: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut known =
            ["aiAgentId", "instanceId", "event", "code", "message", "timestamp", "userData", "data", "extendData"];
        known.sort_unstable();
        assert_eq!(members, known);
        assert_eq!((&body["aiAgentId"], &body["instanceId"]), (&json!(AGENT), &begun["InstanceId"]));
        assert_eq!(body["userData"], user_data);
        let shape: String = body["timestamp"]
            .as_str()
            .expect("a time")
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z");
    }
    words_and_numbers(&all.into_iter().map(|(_, body)| body).collect::<Vec<_>>(), &begun["InstanceId"]);
}

/// What the callbacks of that call say.
fn words_and_numbers(all: &[Value], instance: &Value) {
    let of = |name: &'static str| all.iter().filter(move |body| body["event"] == name);
    let statuses: Vec<&str> = of("outbound_call").filter_map(|body| body["extendData"]["status"].as_str()).collect();
    assert_eq!(statuses, ["1", "2", "3", "4"]);
    let last = &all.last().expect("told")["extendData"];
    assert_eq!((&last["callerNumber"], &last["calleeNumber"]), (&json!(CALLER), &json!("+15550123")));
    assert_eq!((&last["channelId"], &last["hangupRole"]), (instance, &json!(1)));
    assert!(last["callDuration"].is_u64() && last["callStartTime"].is_string() && last["callEndTime"].is_string());
    let start = of("agent_start").next().expect("told");
    assert_eq!((&start["code"], &start["message"]), (&json!(1001), &json!("Agent start event")));
    let said: Vec<Value> = of("chat_record").map(|body| body["data"].clone()).collect();
    assert_eq!(
        said,
        [
            json!({"role": "agent", "type": "greeting", "text": "Hello there.", "sentence_id": 0}),
            json!({"role": "user", "type": "normal", "text": "I want a table", "sentence_id": 1}),
            json!({"role": "agent", "type": "normal", "text": "How many?", "sentence_id": 1}),
        ]
    );
    let mut before = 0;
    for name in ["intent_detected", "intent_recognized", "llm_data_received", "tts_data_received"] {
        let extend = &of(name).next().expect("told")["extendData"];
        assert_eq!((&extend["channelId"], &extend["sentenceId"]), (instance, &json!(1)), "{name}");
        let at = |member: &str| extend[member].as_i64().expect("milliseconds");
        let (asked, answered) = (at("requestTimestamp"), at("responseTimestamp"));
        assert!(asked >= before && answered >= asked, "{name}: {before} {extend}");
        before = asked;
    }
}

/// In up to three rounds: a machine that stands still for a moment tears a hole into one recording, a server that cuts at
/// the wrong place does so each time.
#[tokio::test]
async fn each_sentence_of_a_recorded_call_is_told_with_its_sound() {
    let mut torn = Vec::new();
    while torn.len() < 3 {
        match sentences_with_their_sound().await {
            Ok(()) => return,
            Err(sentence) => torn.push(sentence),
        }
    }
    panic!("{torn:?}");
}

async fn sentences_with_their_sound() -> Result<(), Value> {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]);
    let builder = NodeBuilder::to(&callee).ears(&ScriptedEars::new(["I want a table"])).brain(&brain);
    let server = server_that_tells(builder.agent(|agent| agent.recording = Recording::Stereo)).await;
    let mut receiver = receiver().await;
    let settings = [
        ("AIAgentId", AGENT),
        ("EnableNotify", "true"),
        ("CallbackUrl", receiver.url.as_str()),
        ("EnableAudioRecording", "true"),
        ("EventTypes", "audio_record,full_audio_record"),
    ];
    must(&server, "SetNotifyConfig", &settings).await;
    let wanted = [("AIAgentId", AGENT), ("CallerNumber", CALLER), ("CalledNumber", "+15550123")];
    let begun = must(&server, "StartAIAgentOutboundCall", &wanted).await;
    let call = begun["InstanceId"].as_str().expect("an id").parse().expect("ours");
    a_turn(&server, call, &mut callee).await;
    let all = receiver.until(|body| body["event"] == "full_audio_record").await;
    let data: Vec<&Value> = all.iter().map(|(_, body)| &body["data"]).collect();
    let told: Vec<(&Value, &Value, &Value)> =
        data.iter().map(|data| (&data["role"], &data["text"], &data["sentence_id"])).collect();
    let expected = [("agent", "Hello there.", 0), ("user", "I want a table", 1), ("agent", "How many?", 1)];
    let expected = expected.map(|(role, text, sentence)| (json!(role), json!(text), json!(sentence)));
    assert_eq!(told[..3], expected.each_ref().map(|(role, text, sentence)| (role, text, sentence)), "{all:#?}");
    assert_eq!(all.len(), 4);
    for data in &data[..3] {
        let url = data["audioUrl"].as_str().expect("a URL");
        let path = &url[url.find("/v1/").expect("a path of ours")..];
        let sound = server.native("GET", path, &Value::Null).await;
        assert_eq!((sound.status, sound.header("content-type")), (200, Some("audio/wav")), "{path}");
        // One channel of 8 kHz, as long as it says to a frame, and somebody speaks in it soon and to its end nearly.
        assert_eq!((sound.body[22], u32::from_le_bytes(sound.body[24..28].try_into().expect("four"))), (1, 8000));
        let samples: Vec<i16> =
            sound.body[44..].chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect();
        let length = data["duration"].as_u64().expect("milliseconds");
        assert!((samples.len() as u64 / 8).abs_diff(length) <= 20, "{} samples in {length} ms", samples.len());
        let loud = |samples: &[i16]| samples.iter().any(|sample| sample.unsigned_abs() > 300);
        let margin = 8 * 200;
        if !loud(&samples[..margin]) || !loud(&samples[samples.len().saturating_sub(margin + 8 * 50)..]) {
            return Err((*data).clone());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tool_that_was_used_is_an_instruction() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("goodbye", [Reply::say("Bye.").tool("leave", r#"{"mood":"glad"}"#)]);
    let builder = NodeBuilder::to(&callee).ears(&ScriptedEars::new(["thanks and goodbye"])).brain(&brain);
    let server = server_that_tells(builder).await;
    let path = format!("/v1/agents/{AGENT}");
    let mut agent = server.native("GET", &path, &Value::Null).await.json();
    agent.as_object_mut().expect("an object").retain(|name, _| !["id", "updated"].contains(&name.as_str()));
    agent["tools"] = json!([{"kind": "end_call", "name": "leave", "description": "Ends the call."}]);
    let put = server.native("PUT", &path, &agent).await;
    assert!(put.status < 300, "{}", put.json());
    let mut receiver = receiver().await;
    let settings = [("AIAgentId", AGENT), ("EnableNotify", "true"), ("CallbackUrl", &receiver.url)];
    must(&server, "SetNotifyConfig", &[&settings[..], &[("EventTypes", "instruction,agent_stop")]].concat()).await;
    let wanted = [("AIAgentId", AGENT), ("CallerNumber", CALLER), ("CalledNumber", "+15550123")];
    must(&server, "StartAIAgentOutboundCall", &wanted).await;
    let mut line = callee.line().await;
    line.hears_silence(Duration::from_millis(100)).await;
    line.speak(Duration::from_millis(500));
    let all = receiver.until(|body| body["event"] == "agent_stop").await;
    assert_eq!(names(&all), ["instruction", "agent_stop"]);
    let data = &all[0].1["data"];
    assert_eq!((&data["name"], &data["arguments"]), (&json!("leave"), &json!(r#"{"mood":"glad"}"#)), "{data}");
}

#[tokio::test]
async fn only_what_was_chosen_is_told_and_nothing_once_it_is_off() {
    let callee = Callee::start(Plan::then(Then::Refuse(503))).await;
    let server = server_that_tells(NodeBuilder::to(&callee)).await;
    let mut receiver = receiver().await;
    let url = receiver.url.clone();
    let base = [("AIAgentId", AGENT), ("CallbackUrl", url.as_str())];
    let set = |more: &[(&'static str, &'static str)]| [&base[..], more].concat();
    must(&server, "SetNotifyConfig", &set(&[("EnableNotify", "true"), ("EventTypes", "error, agent_stop")])).await;
    server.node.ended(server.node.call().await).await;
    // What waits when the endpoint is switched off is given up: told before that.
    let mut all = receiver.until(|body| body["event"] == "error").await;
    must(&server, "SetNotifyConfig", &set(&[("EnableNotify", "false")])).await;
    server.node.ended(server.node.call().await).await;
    must(&server, "SetNotifyConfig", &set(&[("EnableNotify", "true"), ("EventTypes", "outbound_call")])).await;
    server.node.ended(server.node.call().await).await;
    all.extend(receiver.until(is_over).await);
    assert_eq!(names(&all), ["error", "outbound_call", "outbound_call", "outbound_call"], "{all:#?}");
    let failed = &all[0].1;
    assert_eq!(failed["data"], json!({"cause": "trunk_failed", "fatal": true}));
    assert_eq!(all[3].1["extendData"]["status"], "5");
    assert!(all.iter().all(|(head, _)| !head.contains("authorization")), "no token was given");
}

#[tokio::test]
async fn settings_come_back_and_are_replaced_whole() {
    let server = server_that_tells(NodeBuilder::to_address(([127, 0, 0, 1], 9).into())).await;
    let describe = async || {
        let mut shown = must(&server, "DescribeNotifyConfig", &[("AIAgentId", AGENT)]).await;
        shown.as_object_mut().expect("an object").remove("RequestId");
        shown
    };
    let none = json!({"EnableNotify": false, "CallbackUrl": "", "Token": "", "EventTypes": "",
        "EnableAudioRecording": false, "AudioOssPath": ""});
    assert_eq!(describe().await, none);
    let agent = json!({"name": "Desk", "recording": "stereo"});
    assert_eq!(server.native("PUT", &format!("/v1/agents/{AGENT}"), &agent).await.status, 200);
    let url = "http://127.0.0.1:9999/hook";
    let given = [
        ("AIAgentId", AGENT),
        ("EnableNotify", "true"),
        ("CallbackUrl", url),
        ("Token", "Bearer t"),
        ("EventTypes", "agent_start,agent_stop,error"),
        ("EnableAudioRecording", "True"),
    ];
    must(&server, "SetNotifyConfig", &given).await;
    let whole = json!({"EnableNotify": true, "CallbackUrl": url, "Token": "Bearer t",
        "EventTypes": "agent_start,agent_stop,error", "EnableAudioRecording": true, "AudioOssPath": ""});
    assert_eq!(describe().await, whole);
    // Ours shows it too, without the token.
    let listed = server.native("GET", "/v1/webhooks", &Value::Null).await.json();
    assert_eq!((&listed["webhooks"][0]["agent"], &listed["webhooks"][0]["url"]), (&json!(AGENT), &json!(url)));
    assert!(!listed.to_string().contains("Bearer t"), "{listed}");
    must(&server, "SetNotifyConfig", &[("AIAgentId", AGENT), ("EnableNotify", "false")]).await;
    assert_eq!(describe().await, none);
    let listed = server.native("GET", "/v1/webhooks", &Value::Null).await.json();
    assert_eq!(listed["webhooks"].as_array().map(Vec::len), Some(1), "setting it again changes it");
}

#[tokio::test]
async fn mistakes_in_settings_are_named() {
    let server = server().await;
    let good = [("AIAgentId", AGENT), ("EnableNotify", "true"), ("CallbackUrl", "https://8.8.8.8/hook")];
    for (name, value, code) in [
        ("AIAgentId", "", "MissingAIAgentId"),
        ("AIAgentId", "nobody", "AgentNotFound"),
        ("AIAgentId", OTHER_AGENT, "AgentNotFound"),
        ("AIAgentId", "a\nb", "AgentNotFound"),
        ("EnableNotify", "", "MissingEnableNotify"),
        ("EnableNotify", "maybe", "InvalidParameter.EnableNotify"),
        ("CallbackUrl", "", "MissingCallbackUrl"),
        ("CallbackUrl", "http://8.8.8.8/", "InvalidParameter.CallbackUrl"),
        ("CallbackUrl", "https://127.0.0.1/", "InvalidParameter.CallbackUrl"),
        ("CallbackUrl", "https://169.254.169.254/latest", "InvalidParameter.CallbackUrl"),
        ("CallbackUrl", "nonsense", "InvalidParameter.CallbackUrl"),
        ("Token", "a\r\nb", "InvalidParameter.Token"),
        ("EventTypes", "agent_start,agent_end", "InvalidParameter.EventTypes"),
        ("EventTypes", ",", "InvalidParameter.EventTypes"),
        ("EnableAudioRecording", "1", "InvalidParameter.EnableAudioRecording"),
        ("EnableAudioRecording", "true", "InvalidParameter.EnableAudioRecording"),
        ("AudioOssPath", "oss://bucket/path", "InvalidParameter.AudioOssPath"),
    ] {
        let mut parameters: Vec<_> = good.iter().copied().filter(|(given, _)| *given != name).collect();
        parameters.push((name, value));
        let answer = ask(&server, "SetNotifyConfig", &parameters).await;
        assert_eq!(answer.code(), code, "{name}={value}");
    }
    assert_eq!(ask(&server, "DescribeNotifyConfig", &[]).await.code(), "MissingAIAgentId");
    assert_eq!(ask(&server, "DescribeNotifyConfig", &[("AIAgentId", OTHER_AGENT)]).await.code(), "AgentNotFound");
    let listed = server.native("GET", "/v1/webhooks", &Value::Null).await.json();
    assert_eq!(listed, json!({"webhooks": []}), "nothing was kept");
    let narrow = Signed {
        key: (Box::leak(crate::support::key_with(Scope::CallsWrite).into_boxed_str()), SECRET),
        ..Signed::new("SetNotifyConfig", "", "narrow")
    };
    assert_eq!(narrow.send(&server).await.code(), "Forbidden.RAM");
}

#[tokio::test]
async fn what_cannot_be_brought_into_a_call_is_refused_by_name() {
    let server = server().await;
    let later = json!({"agent": AGENT, "to": "+15550123", "scheduled_for": "2099-01-01T00:00:00Z"});
    let call = server.native("POST", "/v1/calls", &later).await.json()["id"].as_str().expect("an id").to_owned();
    let one = ("InstanceId", call.as_str());
    let good: [(&'static str, Parameters<'_>, &str); 3] = [
        // The server of this test meets no browsers.
        (
            "TakeoverAIAgentCall",
            &[one, ("HumanAgentUserId", "human_1"), ("RequireToken", "True")],
            "UnsupportedOperation",
        ),
        // It is not answered yet.
        (
            "ForwardAIAgentCall",
            &[one, ("CalledNumber", "+15550124"), ("TransferPrompt", "x")],
            "InvalidStatus.Instance",
        ),
        ("SendAIAgentDataChannelMessage", &[one, ("Message", "{\"a\":1}")], "InvalidStatus.Instance"),
    ];
    for (action, parameters, code) in good {
        let answer = ask(&server, action, parameters).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{action}");
        let mut foreign = parameters.to_vec();
        foreign[0].1 = "00000000000000000000000000000000";
        assert_eq!(ask(&server, action, &foreign).await.code(), "InstanceNotFound", "{action}");
        assert_eq!(ask(&server, action, &parameters[1..]).await.code(), "MissingInstanceId", "{action}");
    }
    let long = format!("\"{}\"", "x".repeat(8192));
    let called = ("CalledNumber", "+15550124");
    for name in ["TransferPrompt", "ErrorPrompt"] {
        let answer = ask(&server, "ForwardAIAgentCall", &[one, called, (name, &long)]).await;
        assert_eq!(answer.code(), format!("InvalidParameter.{name}"));
    }
    for (action, parameters, code) in [
        ("TakeoverAIAgentCall", [one, ("HumanAgentUserId", "a b")], "InvalidParameter.HumanAgentUserId"),
        ("TakeoverAIAgentCall", [one, ("RequireToken", "yes")], "InvalidParameter.RequireToken"),
        ("ForwardAIAgentCall", [one, ("CalledNumber", "")], "MissingCalledNumber"),
        ("ForwardAIAgentCall", [one, ("CalledNumber", "x")], "InvalidParameter.CalledNumber"),
        ("ForwardAIAgentCall", [one, ("CalledNumber", "+19005550123")], "InvalidStatus.Instance"),
        ("SendAIAgentDataChannelMessage", [one, ("Message", "")], "MissingMessage"),
        ("SendAIAgentDataChannelMessage", [one, ("Message", "{")], "InvalidParameter.Message"),
        ("SendAIAgentDataChannelMessage", [one, ("Message", &long)], "InvalidParameter.Message"),
    ] {
        assert_eq!(ask(&server, action, &parameters).await.code(), code, "{action} {parameters:.60?}");
    }
    must(&server, "StopAIAgentInstance", &[one]).await;
    server.node.ended(call.parse().expect("ours")).await;
    for (action, parameters, _) in good {
        assert_eq!(ask(&server, action, parameters).await.code(), "InvalidStatus.Instance", "{action}");
    }
}
