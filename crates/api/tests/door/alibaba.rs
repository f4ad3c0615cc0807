//! Alibaba's operations around a call over a real socket: what they do, what they answer, and what they refuse by name.

use crate::support::{Answer, OTHER_AGENT, OTHER_KEY, SECRET, Server, Signed, key_with, server, server_over};
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, CallId, Scope};
use callwright_testkit::{AGENT, CALLER, Callee, Line, NodeBuilder, Plan, Reply, ScriptedBrain, Then, ToneVoice};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const SCHEMA: &str = include_str!("../fixtures/alibaba-ims-siblings.schema.json");
const CALLEE: &str = "+15550123";
const GREETING: &str = "Hello there.";
/// All time there is.
const ALWAYS: [(&str, &str); 2] = [("StartTime", "0"), ("EndTime", "9223372036854775807")];

/// Sends a signed request with these parameters.
async fn ask_as(server: &Server, key: &'static str, action: &'static str, parameters: &[(&str, &str)]) -> Answer {
    static NONCES: AtomicU32 = AtomicU32::new(0);
    let nonce = format!("alibaba{}", NONCES.fetch_add(1, Ordering::Relaxed));
    let mut pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", coded(name), coded(value))).collect();
    pairs.sort();
    let answer = Signed { key: (key, SECRET), ..Signed::new(action, pairs.join("&"), &nonce) }.send(server).await;
    assert_eq!(answer.header("content-type"), Some("application/json;charset=utf-8"));
    assert_eq!(answer.json()["RequestId"].as_str().map(str::len), Some(36), "{}", answer.json());
    answer
}

async fn ask(server: &Server, action: &'static str, parameters: &[(&str, &str)]) -> Answer {
    ask_as(server, "admin", action, parameters).await
}

/// The answer to a request that is carried out.
async fn done(server: &Server, action: &'static str, parameters: &[(&str, &str)]) -> Value {
    let answer = ask(server, action, parameters).await;
    assert_eq!(answer.status, 200, "{action}: {}", answer.json());
    answer.json()
}

/// The status and code of one that is not.
async fn refused(server: &Server, action: &'static str, parameters: &[(&str, &str)]) -> (u16, String) {
    let answer = ask(server, action, parameters).await;
    (answer.status, answer.code())
}

/// As a query writes it (RFC 3986).
fn coded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn talking_server(callee: &Callee) -> (Server, ScriptedBrain) {
    let brain = ScriptedBrain::new().on("table", [Reply::say("For how many?")]).on("", [Reply::say("Go on.")]);
    let server = server_over(NodeBuilder::to(callee).brain(&brain), Limits::default(), Rates::default()).await;
    (server, brain)
}

/// A call that was answered and greeted.
async fn greeted(server: &Server, callee: &mut Callee, session: Option<&str>) -> (CallId, Line) {
    let mut parameters = vec![("AIAgentId", AGENT), ("CalledNumber", CALLEE), ("CallerNumber", CALLER)];
    parameters.extend(session.map(|session| ("SessionId", session)));
    let started = done(server, "StartAIAgentOutboundCall", &parameters).await;
    let call = started["InstanceId"].as_str().expect("an id").parse().expect("ours");
    let line = callee.line().await;
    said(server, call, GREETING).await;
    (call, line)
}

async fn said(server: &Server, call: CallId, text: &str) {
    let wanted = |event: &CallEvent| matches!(event, CallEvent::Said { text: said, .. } if said.expose() == text);
    server.node.wait_for(call, text, wanted).await;
}

/// The dialogues of a session with these parameters besides all time.
async fn dialogues(server: &Server, session: &str, more: &[(&str, &str)]) -> Vec<Value> {
    let parameters = [&[("SessionId", session)][..], &ALWAYS, more].concat();
    let answer = done(server, "ListAIAgentDialogues", &parameters).await;
    answer["Dialogues"].as_array().expect("a list").clone()
}

fn texts(dialogues: &[Value]) -> Vec<&str> {
    dialogues.iter().map(|one| one["Text"].as_str().expect("a text")).collect()
}

const HISTORY: [&str; 4] = [GREETING, "A table please", "For how many?", "By the way."];

/// A session with one ended call in it: [`HISTORY`].
async fn history(server: &Server, callee: &mut Callee, session: &str) -> CallId {
    let (call, line) = greeted(server, callee, Some(session)).await;
    let instance = call.to_string();
    let put = [("InstanceId", instance.as_str()), ("Text", HISTORY[1])];
    assert_eq!(done(server, "SendAIAgentText", &put).await.as_object().map(serde_json::Map::len), Some(1));
    said(server, call, HISTORY[2]).await;
    let speak = [("InstanceId", instance.as_str()), ("Text", HISTORY[3]), ("EnableInterrupt", "False")];
    assert_eq!(done(server, "SendAIAgentSpeech", &speak).await.as_object().map(serde_json::Map::len), Some(1));
    said(server, call, HISTORY[3]).await;
    line.hang_up();
    server.node.ended(call).await;
    call
}

#[tokio::test]
async fn a_session_is_listed_as_its_calls_went() {
    let mut callee = Callee::start(Plan::answer()).await;
    let (server, _) = talking_server(&callee).await;
    let call = history(&server, &mut callee, "s 1").await;
    let oldest = dialogues(&server, "s 1", &[("Order", "ASC")]).await;
    assert_eq!(texts(&oldest), HISTORY);
    let view = |one: &Value| {
        ["Producer", "Type", "Source"].map(|name| one[name].as_str().expect("a text").to_owned()).join(" ")
    };
    let shown: Vec<String> = oldest.iter().map(view).collect();
    assert_eq!(shown, ["agent greeting call", "user normal call", "agent normal call", "agent speech call"]);
    let fields = &serde_json::from_str::<Value>(SCHEMA).expect("JSON")["types"];
    let fields = fields["ListAIAgentDialoguesResponseBodyDialogues"]["fields"].as_object().expect("fields").clone();
    for one in &oldest {
        assert_eq!(one.as_object().expect("an object").keys().collect::<Vec<_>>(), fields.keys().collect::<Vec<_>>());
    }
    let rounds: Vec<&Value> = oldest.iter().map(|one| &one["RoundId"]).collect();
    assert!(rounds[0] != rounds[1] && rounds[1] == rounds[2] && rounds[2] == rounds[3], "{rounds:?}");
    let times: Vec<i64> = oldest.iter().map(|one| one["Time"].as_i64().expect("a number")).collect();
    let transcript = server.node.transcript(call).await;
    assert_eq!(times, transcript.iter().map(|line| line.at.millis()).collect::<Vec<_>>());

    let mut newest = dialogues(&server, "s 1", &[]).await;
    newest.reverse();
    assert_eq!(newest, oldest, "newest first unless asked otherwise");
    for (size, page, expected) in
        [("3", "1", &oldest[..3]), ("3", "2", &oldest[3..]), ("3", "3", &[]), ("4", "1", &oldest)]
    {
        let found = dialogues(&server, "s 1", &[("Order", "ASC"), ("PageSize", size), ("PageNumber", page)]).await;
        assert_eq!(found, expected, "{size} {page}");
    }
    // Rounds are the newest, in the order that was asked for, and pages do not count.
    let rounds = dialogues(&server, "s 1", &[("Order", "ASC"), ("RoundLimit", "1"), ("PageSize", "1")]).await;
    assert_eq!(rounds, oldest[1..]);
    assert_eq!(texts(&dialogues(&server, "s 1", &[("RoundLimit", "1")]).await), [HISTORY[3], HISTORY[2], HISTORY[1]]);
    assert_eq!(dialogues(&server, "s 1", &[("Order", "ASC"), ("RoundLimit", "2")]).await, oldest);
    // Both ends are included.
    let (from, until) = (times[1].to_string(), times[2].to_string());
    let parameters = [("SessionId", "s 1"), ("StartTime", &from), ("EndTime", &until), ("Order", "ASC")];
    let between = done(&server, "ListAIAgentDialogues", &parameters).await;
    assert_eq!(texts(between["Dialogues"].as_array().expect("a list")), HISTORY[1..3]);

    assert_eq!(dialogues(&server, "s 2", &[]).await, [0; 0]);
    let parameters = [&[("SessionId", "s 1")][..], &ALWAYS].concat();
    let theirs = ask_as(&server, OTHER_KEY, "ListAIAgentDialogues", &parameters).await;
    assert_eq!((theirs.status, &theirs.json()["Dialogues"]), (200, &json!([])));
}

#[tokio::test]
async fn a_later_call_knows_the_session_without_the_dialogues_that_were_deleted() {
    let mut callee = Callee::start(Plan::answer()).await;
    let (server, brain) = talking_server(&callee).await;
    let call = history(&server, &mut callee, "s").await;
    let oldest = dialogues(&server, "s", &[("Order", "ASC")]).await;
    let id = oldest[2]["DialogueId"].as_str().expect("an id");
    let unknown = (404, String::from("DialogueNotFound"));
    for (session, dialogue, node) in [("t", id, ""), ("s", "x", ""), ("s", &format!("{call}-1"), ""), ("s", id, "n")] {
        let parameters = [("SessionId", session), ("DialogueId", dialogue), ("NodeId", node)];
        assert_eq!(
            refused(&server, "DeleteAIAgentDialogue", &parameters).await,
            unknown,
            "{session} {dialogue} {node}"
        );
    }
    let parameters = [("SessionId", "s"), ("DialogueId", id)];
    let theirs = ask_as(&server, OTHER_KEY, "DeleteAIAgentDialogue", &parameters).await;
    assert_eq!((theirs.status, theirs.code()), unknown);
    assert_eq!(dialogues(&server, "s", &[]).await.len(), 4);
    for _ in 0..2 {
        done(&server, "DeleteAIAgentDialogue", &parameters).await;
    }
    let left = [HISTORY[0], HISTORY[1], HISTORY[3]];
    assert_eq!(texts(&dialogues(&server, "s", &[("Order", "ASC")]).await), left);

    let (second, _line) = greeted(&server, &mut callee, Some("s")).await;
    let instance = second.to_string();
    done(&server, "SendAIAgentText", &[("InstanceId", &instance), ("Text", "Me again")]).await;
    said(&server, second, "Go on.").await;
    let asked = brain.asked();
    let told: Vec<&str> =
        asked.last().expect("asked").messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(told, [&left[..], &[GREETING, "Me again"]].concat());
    // One history of both calls.
    assert_eq!(dialogues(&server, "s", &[]).await.len(), 6);
}

#[tokio::test]
async fn a_call_without_a_session_begins_one() {
    let mut callee = Callee::start(Plan::answer()).await;
    let (server, _) = talking_server(&callee).await;
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let (call, _line) = greeted(&server, &mut callee, None).await;
        let shown = done(&server, "DescribeAIAgentInstance", &[("InstanceId", &call.to_string())]).await;
        let session = shown["Instance"]["SessionId"].as_str().expect("a text").to_owned();
        assert_eq!(session.len(), 32, "{session}");
        assert_eq!(texts(&dialogues(&server, &session, &[]).await), [GREETING]);
        sessions.push(session);
    }
    assert_ne!(sessions[0], sessions[1]);
}

#[tokio::test]
async fn instances_of_an_agent_are_listed_and_counted() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let (server, _) = talking_server(&callee).await;
    let mut made = Vec::new();
    for at in 0..3 {
        let data = at.to_string();
        let parameters =
            [("AIAgentId", AGENT), ("CalledNumber", CALLEE), ("CallerNumber", CALLER), ("UserData", data.as_str())];
        server.pass(1000);
        made.push(done(&server, "StartAIAgentOutboundCall", &parameters).await["InstanceId"].clone());
    }
    made.reverse();
    let list = async |more: &[(&str, &str)]| {
        let parameters = [&[("AIAgentId", AGENT)][..], more].concat();
        let answer = done(&server, "ListAIAgentInstance", &parameters).await;
        answer["Instances"].as_array().expect("a list").clone()
    };
    let all = list(&[]).await;
    assert_eq!(all.iter().map(|one| one["InstanceId"].clone()).collect::<Vec<_>>(), made, "newest first");
    assert_eq!(all[0]["UserData"], "2");
    let fields = serde_json::from_str::<Value>(SCHEMA).expect("JSON");
    for name in
        fields["types"]["ListAIAgentInstanceResponseBodyInstances"]["fields"].as_object().expect("fields").keys()
    {
        assert!(all[0].get(name).is_some(), "{name}");
    }
    assert_eq!(list(&[("PageSize", "2"), ("PageNumber", "2")]).await, all[2..]);
    assert_eq!(list(&[("PageSize", "0")]).await, [0; 0]);
    // The clock of the API began at 02:29:27 and went on a second before each; both ends are included.
    assert_eq!(list(&[("StartTime", "2026-11-21T02:29:29Z")]).await, all[..2]);
    assert_eq!(list(&[("EndTime", "2026-11-21T02:29:29Z")]).await, all[1..]);
    assert_eq!(list(&[("StartTime", "2026-11-21T10:29:30+08:00")]).await, all[..1]);

    let count = async || done(&server, "GetAIAgentConcurrency", &[("AIAgentId", AGENT)]).await["ActiveCount"].clone();
    assert_eq!(count().await, 3);
    let stopped = made[0].as_str().expect("an id");
    done(&server, "StopAIAgentInstance", &[("InstanceId", stopped)]).await;
    server.node.ended(stopped.parse().expect("ours")).await;
    assert_eq!(count().await, 2);
    for action in ["ListAIAgentInstance", "GetAIAgentConcurrency"] {
        for agent in ["nobody", OTHER_AGENT, "a\nb"] {
            let expected = (404, String::from("AgentNotFound"));
            assert_eq!(refused(&server, action, &[("AIAgentId", agent)]).await, expected, "{action} {agent}");
        }
    }
}

#[tokio::test]
async fn an_instance_that_talks_is_changed_and_shows_it() {
    let mut callee = Callee::start(Plan::answer()).await;
    let (server, brain) = talking_server(&callee).await;
    let (call, _line) = greeted(&server, &mut callee, None).await;
    let instance = call.to_string();
    let template = r#"{"VoiceChat":{"LlmSystemPrompt":"Be kind {{.","AsrMaxSilence":600,"Volume":50}}"#;
    let config = r#"{"AsrConfig":{"AsrMaxSilence":800},"BackChannelingConfigs":[],"GracefulShutdown":true}"#;
    let parameters =
        [("InstanceId", instance.as_str()), ("TemplateConfig", template), ("AgentConfig", config), ("UserData", "new")];
    done(&server, "UpdateAIAgentInstance", &parameters).await;
    done(&server, "SendAIAgentText", &[("InstanceId", &instance), ("Text", "Well?")]).await;
    said(&server, call, "Go on.").await;
    let asked = brain.asked().pop().expect("asked");
    assert_eq!(asked.messages[0].content, "Be kind {{.");
    let extend = json!({"instanceId": instance, "channelId": instance, "sentenceId": 1, "userData": "new"});
    assert_eq!(asked.params["extendData"], extend);
    let shown = done(&server, "DescribeAIAgentInstance", &[("InstanceId", &instance)]).await["Instance"].clone();
    assert_eq!(shown["UserData"], "new");
    let expected = json!({"LlmConfig": {"LlmSystemPrompt": "Be kind {{."}, "AsrConfig": {"AsrMaxSilence": 800},
        "Volume": 50, "GracefulShutdown": true, "BackChannelingConfigs": null});
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&shown["AgentConfig"][name], value, "{name}");
    }
    let view = server.node.calls().reader().call(&server.node.account(), call).await.expect("read").expect("there");
    assert_eq!((view.plan.agent.turn.silence_ms, view.plan.agent.voice.volume), (800, 50));
    let refusal = |code: &str| (400, code.to_owned());
    for (config, code) in [
        ("[]", "InvalidParameter.AgentConfig"),
        ("{", "InvalidParameter.AgentConfig"),
        (r#"{"Volume":401}"#, "InvalidParameter.AgentConfig"),
        (r#"{"EnablePushToTalk":true}"#, "InvalidParameter.AgentConfig"),
    ] {
        let parameters = [("InstanceId", instance.as_str()), ("AgentConfig", config)];
        assert_eq!(refused(&server, "UpdateAIAgentInstance", &parameters).await, refusal(code), "{config}");
    }
    let theirs = ask_as(&server, OTHER_KEY, "UpdateAIAgentInstance", &[("InstanceId", &instance)]).await;
    assert_eq!((theirs.status, theirs.code()), (404, String::from("InstanceNotFound")));
    done(&server, "StopAIAgentInstance", &[("InstanceId", &instance)]).await;
    server.node.ended(call).await;
    let late = refused(&server, "UpdateAIAgentInstance", &[("InstanceId", &instance)]).await;
    assert_eq!(late, refusal("InvalidStatus.Instance"));
}

#[tokio::test]
async fn numbers_are_listed_with_their_standing() {
    let server = server().await;
    let off = server.native("PUT", "/v1/numbers/+15550101", &json!({"trunk": "loop", "status": "disabled"})).await;
    assert_eq!(off.status, 200, "{}", off.json());
    let (one, two) = (json!({"PhoneNumber": CALLER, "Status": 2}), json!({"PhoneNumber": "+15550101", "Status": 4}));
    for (parameters, data, total) in [
        (&[][..], vec![&one, &two], 2),
        (&[("Status", "2")], vec![&one], 1),
        (&[("Status", "4")], vec![&two], 1),
        (&[("Status", "1")], vec![], 0),
        (&[("Number", "+1 555 0101")], vec![&two], 1),
        (&[("Number", "+15550777")], vec![], 0),
        (&[("PageSize", "1"), ("PageNumber", "2")], vec![&two], 2),
        (&[("PageNumber", "3")], vec![], 2),
    ] {
        let answer = done(&server, "ListAIAgentPhoneNumber", parameters).await;
        assert_eq!((&answer["Data"], &answer["TotalNumber"]), (&json!(data), &json!(total)), "{parameters:?}");
    }
    let berlin = json!({"trunk": "loop"});
    assert!(server.native("PUT", "/v1/numbers/+4930123456", &berlin).await.status < 300);
    for written in ["030 123456", "+49 30 123456", "004930123456"] {
        let answer = done(&server, "ListAIAgentPhoneNumber", &[("Number", written)]).await;
        assert_eq!(answer["Data"], json!([{"PhoneNumber": "+4930123456", "Status": 2}]), "{written}");
    }
    let answer = done(&server, "ListAIAgentPhoneNumber", &[]).await;
    assert_eq!((&answer["PageNumber"], &answer["PageSize"]), (&json!(1), &json!(50)));
}

#[tokio::test]
async fn words_are_for_an_instance_that_talks() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let (server, _) = talking_server(&callee).await;
    let parameters = [("AIAgentId", AGENT), ("CalledNumber", CALLEE), ("CallerNumber", CALLER)];
    let started = done(&server, "StartAIAgentOutboundCall", &parameters).await;
    let id = started["InstanceId"].as_str().expect("an id").to_owned();
    let refusal = |status: u16, code: &str| (status, code.to_owned());
    for action in ["SendAIAgentSpeech", "SendAIAgentText"] {
        let with = async |id: &str, text: &str| refused(&server, action, &[("InstanceId", id), ("Text", text)]).await;
        assert_eq!(with(&id, "Hello").await, refusal(400, "InvalidStatus.Instance"), "{action} before the answer");
        assert_eq!(with(&"0".repeat(32), "Hello").await, refusal(404, "InstanceNotFound"));
        assert_eq!(with(&id, " ").await, refusal(400, "InvalidParameter.Text"));
        let theirs = ask_as(&server, OTHER_KEY, action, &[("InstanceId", &id), ("Text", "Hello")]).await;
        assert_eq!((theirs.status, theirs.code()), refusal(404, "InstanceNotFound"));
    }
    done(&server, "StopAIAgentInstance", &[("InstanceId", &id)]).await;
    server.node.ended(id.parse().expect("ours")).await;
    let late = refused(&server, "SendAIAgentText", &[("InstanceId", &id), ("Text", "Hello")]).await;
    assert_eq!(late, refusal(400, "InvalidStatus.Instance"));
}

#[tokio::test]
async fn each_operation_needs_its_scope() {
    let server = server().await;
    for (scope, actions) in [
        (Scope::CallsRead, &["ListAIAgentDialogues", "ListAIAgentInstance", "GetAIAgentConcurrency"][..]),
        (
            Scope::CallsWrite,
            &["DeleteAIAgentDialogue", "SendAIAgentSpeech", "SendAIAgentText", "UpdateAIAgentInstance"],
        ),
        (Scope::ConfigRead, &["ListAIAgentPhoneNumber"]),
    ] {
        for action in actions {
            for other in Scope::ALL {
                let key: &'static str = key_with(other).leak();
                let answer = ask_as(&server, key, action, &[]).await;
                assert_eq!(answer.status == 403, other != scope, "{action} {other:?}: {}", answer.json());
            }
        }
    }
}

/// What would be acceptable for a parameter.
fn good(name: &str) -> Option<&'static str> {
    match name {
        "AIAgentId" => Some(AGENT),
        "InstanceId" => Some("00000000000000000000000000000000"),
        "SessionId" | "DialogueId" | "Text" => Some("x"),
        "StartTime" => Some("0"),
        "EndTime" => Some("9"),
        _ => None,
    }
}

/// Values that a parameter of this schema entry must not take.
fn wrong(field: &Value) -> Vec<String> {
    let mut values = match field["type"].as_str().expect("a type") {
        "integer" => ["x", "1.5", "true", "9223372036854775808", "-1", "1 2"].map(str::to_owned).to_vec(),
        "object" => ["x", "7", "[1]"].map(str::to_owned).to_vec(),
        "boolean" => ["yes", "1", "TRUE!"].map(str::to_owned).to_vec(),
        "string" => vec!["x".repeat(17_000)],
        other => panic!("a type that the test does not know: {other}"),
    };
    for (bound, step) in [("max", 1), ("min", -1)] {
        values.extend(field[bound].as_i64().map(|bound| (bound + step).to_string()));
    }
    if let Some(longest) = field["maxLength"].as_u64() {
        values.push("é".repeat(usize::try_from(longest).expect("small") + 1));
    }
    if let Some(known) = field["enum"].as_array() {
        let numbers = known.iter().all(Value::is_number);
        values.extend((if numbers { ["0", "5"] } else { ["no-such-word", "asc"] }).map(str::to_owned));
    }
    if field["format"] == "iso8601" {
        values.extend(["2026-11-21", "yesterday"].map(str::to_owned));
    }
    values
}

#[tokio::test]
async fn every_wrong_or_missing_parameter_is_named() {
    let server = server().await;
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let mut parameters_seen = 0;
    for (action, about) in schema["actions"].as_object().expect("actions") {
        let action: &'static str = action.clone().leak();
        let parameters = about["params"].as_object().expect("parameters");
        let needed = parameters.iter().filter(|(_, field)| field["required"] == true);
        let base: Vec<(&str, &str)> =
            needed.map(|(name, _)| (name.as_str(), good(name).unwrap_or_else(|| panic!("{name}")))).collect();
        for (name, field) in parameters {
            parameters_seen += 1;
            let others: Vec<(&str, &str)> = base.iter().filter(|(other, _)| other != name).copied().collect();
            if field["required"] == true {
                let expected = (400, format!("Missing{name}"));
                assert_eq!(refused(&server, action, &others).await, expected, "{action}");
            }
            if name == "InstanceId" || name == "AIAgentId" {
                continue;
            }
            for value in wrong(field) {
                let all = [&others[..], &[(name.as_str(), value.as_str())]].concat();
                let expected = (400, format!("InvalidParameter.{name}"));
                assert_eq!(refused(&server, action, &all).await, expected, "{action} {name}={value:.40}");
            }
        }
    }
    assert_eq!(parameters_seen, 30);
    let backwards = [("SessionId", "x"), ("StartTime", "2"), ("EndTime", "1")];
    let expected = (400, String::from("InvalidParameter.EndTime"));
    assert_eq!(refused(&server, "ListAIAgentDialogues", &backwards).await, expected);
    let backwards = [("AIAgentId", AGENT), ("StartTime", "2026-11-21T00:00:01Z"), ("EndTime", "2026-11-21T00:00:00Z")];
    assert_eq!(refused(&server, "ListAIAgentInstance", &backwards).await, expected);
}

/// The agent of a call that is asked for with these parameters.
async fn agent_of(server: &Server, more: &[(&str, &str)]) -> callwright_domain::agent::AgentProfile {
    let parameters = [&[("AIAgentId", AGENT), ("CalledNumber", CALLEE), ("CallerNumber", CALLER)][..], more].concat();
    let started = done(server, "StartAIAgentOutboundCall", &parameters).await;
    let call: CallId = started["InstanceId"].as_str().expect("an id").parse().expect("ours");
    let view = server.node.calls().reader().call(&server.node.account(), call).await.expect("read");
    view.expect("there").plan.agent
}

#[tokio::test]
async fn what_the_server_cannot_say_is_refused_by_name_and_a_voice_that_it_lacks_is_the_agents_own() {
    let nowhere = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let voice = ToneVoice::new(Duration::from_millis(30)).speaking("en").with_voices(&["anna", "bert"]);
    let builder = NodeBuilder::to_address(nowhere.local_addr().expect("bound")).voice(&voice);
    let builder = builder.agent(|agent| agent.voice.voice = String::from("bert"));
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    for (config, member) in [
        (r#"{"TtsConfig": {"LanguageId": "Chinese"}}"#, "Config.TtsConfig.LanguageId"),
        (r#"{"AmbientSoundConfig": {"ResourceId": "r1"}}"#, "Config.AmbientSoundConfig.ResourceId"),
    ] {
        let parameters = [("AIAgentId", AGENT), ("CalledNumber", CALLEE), ("CallerNumber", CALLER), ("Config", config)];
        let answer = ask(&server, "StartAIAgentOutboundCall", &parameters).await;
        let message = answer.json()["Message"].as_str().expect("a text").to_owned();
        assert_eq!((answer.status, answer.code().as_str()), (400, "InvalidParameter.Config"), "{message}");
        assert!(message.contains(member), "{message}");
    }
    for (wanted, spoken) in [("longxiaochun", "bert"), ("anna", "anna")] {
        let config = json!({"TtsConfig": {"VoiceId": wanted}}).to_string();
        assert_eq!(agent_of(&server, &[("Config", &config)]).await.voice.voice, spoken);
    }
    let flat =
        [("Config.Greeting", "Flat."), ("Config.TtsConfig.VoiceId", "anna"), ("Config.AsrConfig.AsrMaxSilence", "700")];
    let agent = agent_of(&server, &flat).await;
    assert_eq!((agent.voice.voice.as_str(), agent.turn.silence_ms), ("anna", 700));
}

#[tokio::test]
async fn every_parameter_of_an_outbound_call_reaches_it() {
    let server = server().await;
    let parameters = [
        ("AIAgentId", AGENT),
        ("CalledNumber", CALLEE),
        ("CallerNumber", CALLER),
        ("Config", r#"{"Greeting":"Hi"}"#),
        ("SessionId", "s 1"),
        ("UserData", r#"{"name":"Li"}"#),
        ("ImsAIAgentFreeObCall", "x"),
    ];
    let started = done(&server, "StartAIAgentOutboundCall", &parameters).await;
    let call: CallId = started["InstanceId"].as_str().expect("an id").parse().expect("ours");
    let view = server.node.calls().reader().call(&server.node.account(), call).await.expect("read").expect("there");
    let plan = &view.plan;
    assert_eq!((plan.agent_id.as_str(), plan.callee_dialled(), plan.caller_dialled()), (AGENT, CALLEE, CALLER));
    assert_eq!(serde_json::to_value(&plan.agent.opening.greeting).expect("JSON"), json!({"text": "Hi"}));
    assert_eq!(plan.thread.as_ref().map(callwright_domain::ThreadId::as_str), Some("s 1"));
    assert_eq!(plan.user_data.as_ref().map(|data| data.expose().as_str()), Some(r#"{"name":"Li"}"#));
    assert_eq!(plan.variables["name"], "Li");
}
