//! Tenants over every door: whatever takes an id answers another tenant's as it answers one that nobody has. The vendors'
//! operations come from their schemas and pages, so one that is added is tried, or says here why not.

use crate::alibaba_notify::encoded;
use crate::browsers::{app, seconds, token};
use crate::happyrobot::id_as;
use crate::support::{
    Answer, NOW, OTHER_AGENT, OTHER_KEY, OTHER_NUMBER, SECRET, Server, Signed, other_account, server_over,
};
use crate::tenants::{Route, foreign, routes};
use crate::tencent::{numbered, request};
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, CallId, Pii};
use callwright_engine::Clock;
use callwright_store::{Alias, AliasKind, Ending};
use callwright_testkit::{AGENT, CALLER, NodeBuilder};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Pairs of a route and a thing of the other tenant.
const PAIRS: usize = 10_000;
/// Requests on their way at the same time.
const TOGETHER: usize = 16;
const ALIBABA: [&str; 3] = [
    include_str!("../fixtures/alibaba-ims.schema.json"),
    include_str!("../fixtures/alibaba-ims-browsers.schema.json"),
    include_str!("../fixtures/alibaba-ims-siblings.schema.json"),
];
const TENCENT: &str = include_str!("../fixtures/tencent-ccc.schema.json");
const HAPPYROBOT: &str = include_str!("../../../../docs/happyrobot.md");
/// Names that end as ids do and name nothing of the account's: users by their own names, who is called, what does not exist here.
const NO_IDS: [&str; 7] = ["UserId", "HumanAgentUserId", "ReceiverId", "NodeId", "CalledNumber", "IvrId", "PageNumber"];
/// A session of both tenants' own.
const SESSION: &str = "their session";

/// What is done with an id that is carried out: nothing that one can ask ten thousand times, or only once.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    Nothing,
    Something,
}

/// A place for an id: what is asked, and the bytes that ask it with this id, in this turn.
struct Door {
    name: String,
    kind: &'static str,
    leaves: Leaves,
    ask: Ask,
}

/// Makes the bytes that ask a door about an id, in this turn.
type Ask = Box<dyn Fn(&Own, &str, usize) -> Vec<u8>>;

/// What the asking tenant has.
struct Own {
    app: (String, String),
    call: String,
    number: String,
    case: String,
    their_line: String,
}

/// A parameter of Alibaba's: the operation, the kind of thing, and what is said beside `<id>`.
type Parameter = (&'static str, &'static str, Leaves, &'static [(&'static str, &'static str)]);

const START: &[(&str, &str)] = &[("AIAgentId", "<id>"), ("CallerNumber", CALLER), ("CalledNumber", "+15550123")];
const DIALOGUES: &[(&str, &str)] = &[("SessionId", "<id>"), ("StartTime", "0"), ("EndTime", "9223372036854775807")];
const CHAT: &[(&str, &str)] =
    &[("AIAgentId", "<id>"), ("ReceiverId", "ann"), ("SessionId", "mine"), ("Text", "x"), ("Type", "custom")];
const INSTANCE: &[(&str, &str)] = &[("InstanceId", "<id>")];
const OF_AGENT: &[(&str, &str)] = &[("AIAgentId", "<id>")];
const RUNTIME: (&str, &str) =
    ("RuntimeConfig", r#"{"ChannelId":"mine","AgentUserId":"bot","AuthToken":"<token mine>"}"#);

const PARAMETERS: &[Parameter] = &[
    ("StartAIAgentOutboundCall", "agents", Leaves::Nothing, START),
    (
        "StartAIAgentOutboundCall",
        "numbers",
        Leaves::Nothing,
        &[("AIAgentId", AGENT), ("CallerNumber", "<id>"), ("CalledNumber", "+15550123")],
    ),
    (
        "StartAIAgentOutboundCall",
        "sessions",
        Leaves::Something,
        &[("AIAgentId", AGENT), ("CallerNumber", CALLER), ("CalledNumber", "+15550123"), ("SessionId", "<id>")],
    ),
    ("StopAIAgentInstance", "calls", Leaves::Nothing, INSTANCE),
    ("DescribeAIAgentInstance", "calls", Leaves::Nothing, INSTANCE),
    ("SetNotifyConfig", "agents", Leaves::Nothing, &[("AIAgentId", "<id>"), ("EnableNotify", "false")]),
    ("DescribeNotifyConfig", "agents", Leaves::Nothing, OF_AGENT),
    ("TakeoverAIAgentCall", "calls", Leaves::Nothing, INSTANCE),
    ("ForwardAIAgentCall", "calls", Leaves::Nothing, &[("InstanceId", "<id>"), ("CalledNumber", "+15550124")]),
    (
        "ForwardAIAgentCall",
        "numbers",
        Leaves::Nothing,
        &[("InstanceId", "<own call>"), ("CalledNumber", "+15550124"), ("CallerNumber", "<id>")],
    ),
    ("SendAIAgentDataChannelMessage", "calls", Leaves::Nothing, &[("InstanceId", "<id>"), ("Message", "{}")]),
    ("GenerateMessageChatToken", "agents", Leaves::Nothing, &[("AIAgentId", "<id>"), ("UserId", "ann")]),
    ("SendMessageChatText", "agents", Leaves::Nothing, CHAT),
    (
        "SendMessageChatText",
        "sessions",
        Leaves::Something,
        &[("AIAgentId", AGENT), ("ReceiverId", "ann"), ("SessionId", "<id>"), ("Text", "x"), ("Type", "custom")],
    ),
    ("GenerateAIAgentCall", "agents", Leaves::Nothing, OF_AGENT),
    ("GenerateAIAgentCall", "sessions", Leaves::Something, &[("AIAgentId", AGENT), ("SessionId", "<id>")]),
    (
        "GenerateAIAgentCall",
        "agents",
        Leaves::Nothing,
        &[("AIAgentId", AGENT), ("ChatSyncConfig", r#"{"IMAIAgentId":"<id>","ReceiverId":"ann"}"#)],
    ),
    ("StartAIAgentInstance", "agents", Leaves::Nothing, &[("AIAgentId", "<id>"), RUNTIME]),
    (
        "StartAIAgentInstance",
        "sessions",
        Leaves::Something,
        &[
            ("AIAgentId", AGENT),
            ("SessionId", "<id>"),
            ("RuntimeConfig", r#"{"ChannelId":"room<turn>","AgentUserId":"bot","AuthToken":"<token room<turn>>"}"#),
        ],
    ),
    (
        "StartAIAgentInstance",
        "channels",
        Leaves::Something,
        &[
            ("AIAgentId", AGENT),
            ("RuntimeConfig", r#"{"ChannelId":"<id>","AgentUserId":"bot","AuthToken":"<token <id>>"}"#),
        ],
    ),
    (
        "StartAIAgentInstance",
        "agents",
        Leaves::Nothing,
        &[("AIAgentId", AGENT), RUNTIME, ("ChatSyncConfig", r#"{"IMAIAgentId":"<id>","ReceiverId":"ann"}"#)],
    ),
    ("UpdateAIAgentInstance", "calls", Leaves::Nothing, INSTANCE),
    ("ListAIAgentDialogues", "sessions", Leaves::Nothing, DIALOGUES),
    ("DeleteAIAgentDialogue", "sessions", Leaves::Nothing, &[("SessionId", "<id>"), ("DialogueId", "<their line>")]),
    ("DeleteAIAgentDialogue", "dialogues", Leaves::Nothing, &[("SessionId", SESSION), ("DialogueId", "<id>")]),
    ("ListAIAgentInstance", "agents", Leaves::Nothing, OF_AGENT),
    ("ListAIAgentPhoneNumber", "numbers", Leaves::Nothing, &[("Number", "<id>")]),
    ("GetAIAgentConcurrency", "agents", Leaves::Nothing, OF_AGENT),
    ("SendAIAgentSpeech", "calls", Leaves::Nothing, &[("InstanceId", "<id>"), ("Text", "x")]),
    ("SendAIAgentText", "calls", Leaves::Nothing, &[("InstanceId", "<id>"), ("Text", "x")]),
];

/// An id in Tencent's parameters: the operation, the kind of thing, the parameter, and all that is said.
type Member = (&'static str, &'static str, &'static str, fn(&str) -> Value);

fn number(id: &str) -> i64 {
    id.parse().expect("a number")
}

fn described(more: Value) -> Value {
    let mut call = json!({"Callee": "+15550123", "LLMType": "openai", "APIKey": "k", "APIUrl": "https://8.8.8.8/v1"});
    call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    call
}

fn during(id: &str) -> Value {
    let now = NOW.millis() / 1000;
    json!({"SessionId": id, "StartTime": now - 86_400, "EndTime": now + 86_400})
}

fn task(more: Value) -> Value {
    let mut task = json!({"Callees": ["+15550123"], "Callers": [CALLER], "AIAgentId": 15,
        "NotBefore": NOW.millis() / 1000 + 86_400});
    task.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    task
}

const MEMBERS: &[Member] = &[
    ("CreateAIAgentCall", "tencent agents", "AIAgentId", |id| json!({"AIAgentId": number(id), "Callee": "+15550123"})),
    ("CreateAIAgentCall", "numbers", "Callers", |id| json!({"AIAgentId": 15, "Callee": "+15550123", "Callers": [id]})),
    ("CreateAICall", "numbers", "Callers", |id| described(json!({"Callers": [id]}))),
    ("CreateAICall", "skill groups", "TransferItems", |id| {
        described(json!({"TransferFunctionEnable": true, "TransferItems": [{"TransferFunctionName": "person",
            "TransferFunctionDesc": "x", "TransferSkillGroupId": number(id)}]}))
    }),
    ("CreateAICall", "tencent agents", "TransferToAgentItems", |id| {
        described(json!({"TransferToAgentEnable": true, "TransferToAgentItems": [{"TransferToAgentName": "sales",
            "TransferToAgentDesc": "x", "TransferToAgentId": number(id)}]}))
    }),
    ("HangUpCall", "calls", "SessionId", |id| json!({"SessionId": id})),
    (
        "ControlAIConversation",
        "calls",
        "SessionId",
        |id| json!({"SessionId": id, "Command": "ServerPushText", "ServerPushText": {"Text": "x"}}),
    ),
    ("TransferToManual", "calls", "SessionId", |id| json!({"SessionId": id, "SkillGroupId": 1})),
    (
        "TransferToManual",
        "skill groups",
        "SkillGroupId",
        |id| json!({"SessionId": "0".repeat(32), "SkillGroupId": number(id)}),
    ),
    ("DescribeTelSession", "calls", "SessionId", |id| json!({"SessionId": id})),
    ("DescribeTelCdr", "calls", "SessionIds", |id| {
        let now = NOW.millis() / 1000;
        json!({"SessionIds": [id], "StartTimeStamp": now - 86_400, "EndTimeStamp": now + 86_400, "PageSize": 10,
            "PageNumber": 0})
    }),
    ("DescribeTelCdr", "numbers", "Phones", |id| {
        let now = NOW.millis() / 1000;
        json!({"Phones": [id], "StartTimeStamp": now - 86_400, "EndTimeStamp": now + 86_400, "PageSize": 10,
            "PageNumber": 0})
    }),
    ("DescribeSessionDetail", "calls", "SessionId", |id| {
        let now = NOW.millis() / 1000;
        json!({"SessionId": id, "StartTimestamp": now - 86_400, "EndTimestamp": now + 86_400})
    }),
    ("DescribeAICallInteractionRecords", "calls", "SessionId", |id| json!({"SessionId": id})),
    ("DescribeTelRecordAsr", "calls", "SessionId", |id| json!({"SessionId": id})),
    ("DescribeAILatency", "calls", "SessionId", during),
    ("DescribeAICallExtractResult", "calls", "SessionId", during),
    ("DescribeAIAnalysisResult", "calls", "SessionId", during),
    ("CreateAutoCalloutTask", "tencent agents", "AIAgentId", |id| task(json!({"AIAgentId": number(id)}))),
    ("CreateAutoCalloutTask", "numbers", "Callers", |id| task(json!({"Callers": [id]}))),
    ("DescribeAutoCalloutTask", "tasks", "TaskId", |id| json!({"TaskId": number(id)})),
    ("PauseAutoCalloutTask", "tasks", "TaskId", |id| json!({"TaskId": number(id)})),
    ("ResumeAutoCalloutTask", "tasks", "TaskId", |id| json!({"TaskId": number(id)})),
    ("StopAutoCalloutTask", "tasks", "TaskId", |id| json!({"TaskId": number(id)})),
    // No thing of the account's but the application, which is asked with each operation.
    ("DescribePSTNActiveSessionList", "", "", |_| json!({"Offset": 0, "Limit": 10})),
    ("DescribeAIAgentInfoList", "", "", |_| json!({"PageSize": 10, "PageNumber": 0})),
    ("DescribeNumbers", "", "", |_| json!({})),
    ("DescribeAutoCalloutTasks", "", "", |_| json!({"PageSize": 10, "PageNumber": 0})),
];

/// HappyRobot's routes with an id in their path, and the kind of thing.
const PATHS: &[(&str, &str, &str)] = &[
    ("GET", "calls/{id}", "happy calls"),
    ("GET", "calls/{id}/transcript", "happy calls"),
    ("GET", "calls/{id}/recording", "happy calls"),
    ("POST", "calls/{id}/stop", "happy calls"),
    ("POST", "calls/{id}/cancel", "happy calls"),
    ("POST", "calls/{id}/notes", "happy calls"),
    ("PATCH", "calls/{id}/notes/{noteId}", "happy calls"),
    ("DELETE", "calls/{id}/notes/{noteId}", "happy calls"),
    ("PATCH", "calls/{id}/viewed", "happy calls"),
    ("PATCH", "calls/{id}/rating", "happy calls"),
    ("DELETE", "calls/{id}", "happy calls"),
    ("GET", "numbers/{id}", "happy numbers"),
    ("PATCH", "numbers/{id}", "happy numbers"),
    ("GET", "use-cases/{id}", "happy agents"),
    ("PATCH", "use-cases/{id}", "happy agents"),
];
/// Ids in the body of a call.
const NAMED: &[(&str, &str)] = &[
    ("number_id", "happy numbers"),
    ("use_case_id", "happy agents"),
    ("assistant_id", "happy agents"),
    ("agent_id", "happy agents"),
    ("prompt_id", "happy agents"),
    ("model_id", "happy agents"),
    ("voice_id", "happy agents"),
];

fn http(key: &str, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nAuthorization: Bearer {key}.{SECRET}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn native(route: Route) -> Option<Door> {
    let kind = match route.kind()? {
        // Names in the document and names here.
        "calls" => "calls",
        "agents" => "agents",
        "numbers" => "numbers",
        "trunks" => "trunks",
        "keys" => "keys",
        "campaigns" => "campaigns",
        "erasures" => "erasures",
        "webhooks" => "webhooks",
        "denied" => "denied",
        "consents" => "consents",
        "zones" => "zones",
        // A channel is nobody's key: who joins has a token, which `browsers` tries.
        "join" => return None,
        other => panic!("{other}: make one of another tenant"),
    };
    // Whoever puts something has one of their own by that name.
    let leaves = if route.method == "PUT" { Leaves::Something } else { Leaves::Nothing };
    let name = format!("{} {}", route.method, route.path);
    let ask = move |_: &Own, id: &str, _| http("admin", &route.method, &route.with(id), &route.body());
    Some(Door { name, kind, leaves, ask: Box::new(ask) })
}

fn alibaba((action, kind, leaves, parameters): Parameter) -> Door {
    let ask = move |own: &Own, id: &str, turn: usize| {
        let mut query: Vec<String> = parameters.iter().map(|(name, text)| said(own, name, text, (id, turn))).collect();
        query.sort_unstable();
        Signed::new(action, query.join("&"), &format!("tenant{turn}")).bytes()
    };
    let named = parameters.iter().find(|(_, text)| text.contains("<id>")).expect("a place for the id").0;
    Door { name: format!("{action} {named}"), kind, leaves, ask: Box::new(ask) }
}

/// One parameter as a query has it.
fn said(own: &Own, name: &str, text: &str, (id, turn): (&str, usize)) -> String {
    let mut text = text.replace("<turn>", &turn.to_string()).replace("<id>", id);
    text = text.replace("<own call>", &own.call).replace("<their line>", &own.their_line);
    if let Some((before, rest)) = text.clone().split_once("<token ") {
        let (channel, after) = rest.split_once('>').expect("its end");
        text = format!("{before}{}{after}", token(&own.app, channel, "bot", seconds(NOW) + 3600));
    }
    format!("{name}={}", text.bytes().map(encoded).collect::<String>())
}

fn tencent((action, kind, named, parameters): Member) -> impl Iterator<Item = Door> {
    let ask = move |_: &Own, id: &str, turn: usize| signed(action, parameters(id), turn);
    let of_thing = (!kind.is_empty()).then(|| Door {
        name: format!("{action} {named}"),
        kind,
        leaves: Leaves::Nothing,
        ask: Box::new(ask),
    });
    let ask = move |_: &Own, id: &str, turn: usize| {
        // Which thing it is about does not matter: the application is nobody's.
        let mut all = parameters(&"9".repeat(if kind == "calls" { 32 } else { 6 }));
        all["SdkAppId"] = json!(number(id));
        signed(action, all, turn)
    };
    let of_application =
        Door { name: format!("{action} SdkAppId"), kind: "applications", leaves: Leaves::Nothing, ask: Box::new(ask) };
    of_thing.into_iter().chain([of_application])
}

/// Signed at one of the seconds around now, so that the same is seldom asked with the same bytes.
fn signed(action: &'static str, parameters: Value, turn: usize) -> Vec<u8> {
    let mut request = request(action, parameters);
    request.seconds += i64::try_from(turn % 100).expect("few");
    request.bytes()
}

fn happyrobot() -> impl Iterator<Item = Door> {
    let paths = PATHS.iter().map(|(method, path, kind)| {
        let ask = move |_: &Own, id: &str, _| {
            let path = path.replace("{id}", id).replace("{noteId}", &"0".repeat(24));
            http("admin", method, &format!("/api/v1/{path}"), br#"{"content":"x"}"#)
        };
        Door { name: format!("{method} /api/v1/{path}"), kind, leaves: Leaves::Nothing, ask: Box::new(ask) }
    });
    let named = NAMED.iter().map(|(member, kind)| {
        let ask = move |own: &Own, id: &str, _| {
            let mut call = json!({"number_id": own.number, "use_case_id": own.case, "phone_number": "+15550123"});
            if *member == "assistant_id" {
                // The older name counts where the newer is not said.
                call["use_case_id"] = Value::Null;
            }
            call[*member] = json!(id);
            http("admin", "POST", "/api/v1/dial/outbound", call.to_string().as_bytes())
        };
        Door { name: format!("dial/outbound {member}"), kind, leaves: Leaves::Nothing, ask: Box::new(ask) }
    });
    paths.chain(named)
}

/// Checks that every operation of the vendors' that takes an id stands in the tables above.
async fn nothing_is_left_out(server: &Server) {
    let names_one = |name: &str| {
        let lists = ["RuntimeConfig", "ChatSyncConfig", "Callers", "Phones", "TransferItems", "TransferToAgentItems"];
        let ends = name.ends_with("Id") || name.ends_with("Ids") || name.ends_with("Number");
        (ends || lists.contains(&name)) && !NO_IDS.contains(&name)
    };
    let mut lacking = BTreeSet::new();
    for schema in ALIBABA {
        let schema: Value = serde_json::from_str(schema).expect("JSON");
        for (action, about) in schema["actions"].as_object().expect("actions") {
            for name in about["params"].as_object().expect("parameters").keys().filter(|name| names_one(name)) {
                let has = |(of, .., said): &Parameter| {
                    *of == action && said.iter().any(|(said, text)| said == name && text.contains("<id>"))
                };
                if !PARAMETERS.iter().any(has) {
                    lacking.insert(format!("{action} {name}"));
                }
            }
        }
    }
    let schema: Value = serde_json::from_str(TENCENT).expect("JSON");
    for (action, about) in schema["actions"].as_object().expect("actions") {
        let action: &'static str = action.clone().leak();
        server.pass(100);
        if request(action, json!({})).code(server).await == "UnsupportedOperation" {
            continue;
        }
        let served: Vec<_> = MEMBERS.iter().filter(|(of, ..)| *of == action).collect();
        assert!(!served.is_empty(), "{action} is served");
        for name in about["params"].as_object().expect("parameters").keys() {
            // Nothing of an account's has the number of an instance here.
            let tried = ["SdkAppId", "InstanceId"].contains(&name.as_str()) || !names_one(name);
            if !tried && !served.iter().any(|(.., named, _)| named == name) {
                lacking.insert(format!("{action} {name}"));
            }
        }
    }
    for (path, _) in HAPPYROBOT.match_indices("/{id}").filter_map(|(at, _)| {
        let begin = HAPPYROBOT[..at].rfind(" /")?;
        let (row, path) = (HAPPYROBOT[..at].rfind('\n')?, HAPPYROBOT[begin + 2..].split('`').next()?);
        HAPPYROBOT[row..].starts_with("\n| `").then_some((path, row))
    }) {
        if !path.starts_with("v1/") && !PATHS.iter().any(|(_, known, _)| *known == path) {
            lacking.insert(path.to_owned());
        }
    }
    assert!(lacking.is_empty(), "ids that are tried nowhere: {lacking:?}");
}

/// The things of the other tenant by their kinds.
async fn theirs(server: &Server) -> BTreeMap<&'static str, Vec<String>> {
    let mut things: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (kind, id, _) in foreign(server).await {
        things.entry(kind).or_default().push(id);
    }
    let ask = async |method: &str, path: &str, body: Value| {
        let answer = server.native_as(OTHER_KEY, method, path, body.to_string().as_bytes()).await;
        assert!(answer.status < 300, "{path}: {}", answer.json());
        answer.json()
    };
    for (kind, id, names) in [("application", "1400000777", other_account().as_str()), ("agent", "77", OTHER_AGENT)] {
        ask("PUT", "/v1/ids", json!({"dialect": "tencent", "kind": kind, "id": id, "names": names})).await;
    }
    let (dialect, inner) = (String::from("tencent"), things["campaigns"][0].clone());
    let task = Alias { account: other_account(), dialect, kind: AliasKind::Task, outer: String::from("88"), inner };
    server.node.calls().configure().put_alias(task).await.expect("stored");
    ask("PUT", "/v1/rules", json!({"desks": {"7": "+15550199"}})).await;
    let met = ask("POST", "/v1/browser-calls", json!({"agent": OTHER_AGENT})).await;
    let body = json!({"agent": OTHER_AGENT, "to": "+15550123", "from": OTHER_NUMBER, "thread": SESSION,
        "scheduled_for": "2099-01-01T00:00:00Z"});
    let (waits, over) = (ask("POST", "/v1/calls", body.clone()).await, ask("POST", "/v1/calls", body).await);
    let id = |call: &Value, member: &str| call[member].as_str().unwrap_or_else(|| panic!("{call}")).to_owned();
    talked(server, &id(&over, "id")).await;
    let number = id_as(server, OTHER_KEY, OTHER_NUMBER).await;
    let case = id_as(server, OTHER_KEY, OTHER_AGENT).await;
    let dial = json!({"number_id": number, "use_case_id": case, "phone_number": "+15550123",
        "scheduled_for": "2099-01-01T00:00:00Z"});
    let happy = ask("POST", "/api/v1/dial/outbound", dial).await;
    for (kind, id) in [
        ("calls", id(&waits, "id")),
        ("calls", id(&over, "id")),
        ("calls", id(&met, "id")),
        ("channels", id(&met, "channel")),
        ("sessions", SESSION.to_owned()),
        ("dialogues", format!("{}-4", id(&over, "id"))),
        ("tencent agents", String::from("77")),
        ("applications", String::from("1400000777")),
        ("tasks", String::from("88")),
        ("skill groups", String::from("7")),
        ("happy calls", id(&happy, "id")),
        ("happy numbers", number),
        ("happy agents", case),
    ] {
        things.entry(kind).or_default().push(id);
    }
    things
}

/// Has a call go as if it had been answered and something had been said.
async fn talked(server: &Server, call: &str) {
    let call: CallId = call.parse().expect("ours");
    let at = |seconds: u64| NOW.after(Duration::from_secs(seconds));
    let dialing: CallEvent = serde_json::from_value(json!({"event": "dialing", "intent": {
        "attempt": 1, "call_id": "c", "from_tag": "f", "branch": "b", "cseq": 1, "trunk": null, "dialog": ""}}))
    .expect("an event");
    let answered = CallEvent::Answered { dialog: String::new(), codec: "PCMU".into() };
    let text = Pii::new(String::from("between us"));
    let said = CallEvent::Said { text, interrupted: false, by_order: false, span: None, unsaid: None };
    let events = vec![(at(0), dialing), (at(1), answered), (at(2), said)];
    server.node.store().append(call, events).await.expect("written");
    let end = Ending::from(callwright_domain::HangupCause::CalleeHungUp);
    server.node.store().finish(call, at(91), end).await.expect("written");
}

/// An id of this kind that nobody has.
fn nobodys(kind: &str, random: &mut StdRng) -> String {
    let wide: u128 = random.random();
    match kind {
        "calls" | "campaigns" | "webhooks" | "channels" => format!("{wide:032x}"),
        "dialogues" => format!("{wide:032x}-4"),
        "erasures" => format!("er_{wide:032x}"),
        "happy calls" | "happy numbers" | "happy agents" => format!("{wide:032x}")[..24].to_owned(),
        "tencent agents" | "applications" | "tasks" | "skill groups" => (wide % 1_000_000 + 2_000_000).to_string(),
        "numbers" | "denied" | "consents" | "zones" => format!("+1415555{:04}", wide % 10_000),
        "agents" | "trunks" | "keys" | "sessions" => format!("nobody{}", wide % 1_000_000),
        other => panic!("{other}: what is its shape?"),
    }
}

/// An answer without what names the request, its id and what it made.
fn plain(answer: &Answer, id: &str) -> String {
    fn masked(value: &mut Value) {
        const MADE: [&str; 9] = [
            "RequestId",
            "InstanceId",
            "ChannelId",
            "AIAgentUserId",
            "UserId",
            "Token",
            "Nonce",
            "AppSign",
            "request_id",
        ];
        match value {
            Value::Object(members) => {
                members.retain(|name, _| !MADE.contains(&name.as_str()) && !name.ends_with("_at"));
                members.values_mut().for_each(masked);
            }
            Value::Array(items) => items.iter_mut().for_each(masked),
            _ => {}
        }
    }
    let mut body = answer.json();
    let request = body["RequestId"].as_str().unwrap_or("no request").to_owned();
    masked(&mut body);
    let own = ["x-request-id", "x-acs-request-id", "date: ", "content-length"];
    let head: Vec<_> = answer.head.lines().filter(|line| !own.iter().any(|name| line.starts_with(name))).collect();
    let bytes = if body.is_null() { String::from_utf8_lossy(&answer.body).into_owned() } else { body.to_string() };
    format!("{}\n{bytes}", head.join("\n")).replace(id, "<id>").replace(&request, "<request>")
}

async fn meeting() -> Server {
    let mut builder = NodeBuilder::to_address(([127, 0, 0, 1], 9).into()).browsers();
    builder.clock = Clock::new(|| NOW);
    let rates = Rates { per_source: 0, per_key: 0, ..Rates::default() };
    let server = server_over(builder, Limits::default(), rates).await;
    numbered(&server).await;
    server
}

async fn own(server: &Server) -> Own {
    let body = json!({"agent": AGENT, "to": "+15550123", "scheduled_for": "2099-01-01T00:00:00Z"});
    let call = server.native("POST", "/v1/calls", &body).await.json();
    Own {
        app: app(server, "admin").await,
        call: call["id"].as_str().expect("an id").to_owned(),
        number: id_as(server, "admin", CALLER).await,
        case: id_as(server, "admin", AGENT).await,
        their_line: String::new(),
    }
}

/// What is asked of a server in one test.
struct Asking<'a> {
    server: &'a Server,
    own: Own,
    things: BTreeMap<&'static str, Vec<String>>,
    random: StdRng,
    turn: usize,
}

impl Asking<'_> {
    /// Asks each door for everything of the other tenant's and for what nobody has; the answers to the latter.
    async fn each(&mut self, doors: &[Door]) -> Vec<String> {
        let mut wanted = Vec::new();
        for door in doors {
            let nobodys = nobodys(door.kind, &mut self.random);
            let mut answers = Vec::new();
            for id in [nobodys].iter().chain(&self.things[door.kind]) {
                self.turn += 1;
                self.server.pass(100);
                let answer = self.server.raw(&(door.ask)(&self.own, id, self.turn)).await;
                answers.push(plain(&answer, id));
                assert_eq!(answers.last(), answers.first(), "{}: {id}", door.name);
            }
            wanted.extend(answers.into_iter().next());
        }
        wanted
    }

    /// Asks random doors for random things of the other tenant's: each answers what it answered about nobody's.
    async fn pairs(&mut self, doors: &[Door], wanted: &[String]) {
        let server = self.server;
        for _ in 0..PAIRS / TOGETHER {
            // Some operations are answered twenty times a second.
            server.pass(200);
            let pairs: Vec<_> = (0..TOGETHER)
                .map(|_| {
                    self.turn += 1;
                    let at = self.random.random_range(0..doors.len());
                    let of_kind = &self.things[doors[at].kind];
                    let id = &of_kind[self.random.random_range(0..of_kind.len())];
                    (at, id, (doors[at].ask)(&self.own, id, self.turn))
                })
                .collect();
            let asked = pairs.iter().map(|(at, id, bytes)| async move {
                let answer = server.raw(bytes).await;
                assert_eq!(plain(&answer, id), wanted[*at], "{}: {id}", doors[*at].name);
            });
            futures_util::future::join_all(asked).await;
        }
    }

    /// The lines of the other tenant's session, as it is listed to them.
    async fn lines(&mut self) -> Value {
        self.turn += 1;
        let mut query: Vec<String> =
            DIALOGUES.iter().map(|(name, text)| said(&self.own, name, text, (SESSION, 0))).collect();
        query.sort_unstable();
        let asked = Signed::new("ListAIAgentDialogues", query.join("&"), &format!("lines{}", self.turn));
        Signed { key: (OTHER_KEY, SECRET), ..asked }.send(self.server).await.json()["Dialogues"].take()
    }

    /// Where the other tenant's calls stand.
    async fn standing(&self) -> Vec<Value> {
        let mut standing = Vec::new();
        for call in &self.things["calls"] {
            let view = self.server.native_as(OTHER_KEY, "GET", &format!("/v1/calls/{call}"), b"").await;
            assert_eq!(view.status, 200, "{call}");
            standing.push(view.json()["status"].clone());
        }
        standing
    }
}

/// BARS S32.
#[tokio::test]
async fn ids_of_another_tenant_are_nobodys_on_every_door() {
    let server = meeting().await;
    nothing_is_left_out(&server).await;
    let things = theirs(&server).await;
    let own = Own { their_line: things["dialogues"][0].clone(), ..own(&server).await };
    let mut asking = Asking { server: &server, own, things, random: StdRng::seed_from_u64(32), turn: 0 };
    let (lines, standing) = (asking.lines().await, asking.standing().await);
    assert_eq!(lines[0]["Text"], "between us");
    let native: Vec<Door> = routes(&server).await.into_iter().filter_map(native).collect();
    let vendors = PARAMETERS.iter().map(|one| alibaba(*one)).chain(MEMBERS.iter().flat_map(|one| tencent(*one)));
    let doors = native.into_iter().chain(vendors).chain(happyrobot());
    let (harmless, mut others): (Vec<Door>, Vec<Door>) = doors.partition(|door| door.leaves == Leaves::Nothing);
    assert!(harmless.len() + others.len() > 150, "{} and {}", harmless.len(), others.len());
    let wanted = asking.each(&harmless).await;
    asking.pairs(&harmless, &wanted).await;
    // What makes something of our own of that name comes last.
    others.sort_by_key(|door| door.name.starts_with("PUT") && door.name.ends_with('}'));
    asking.each(&others).await;
    assert_eq!((asking.lines().await, asking.standing().await), (lines, standing), "nothing of theirs was changed");
}
