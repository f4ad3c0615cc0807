//! Handing callees over, on every door that can: the vectors of numbers get the verdict that a call to them gets, and what
//! cannot be handed over is named.

use crate::alibaba_notify::ask;
use crate::support::{NOW, Server, server, server_over, server_that_meets};
use crate::tencent::{numbered, request};
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, CallId};
use callwright_engine::Clock;
use callwright_testkit::{AGENT, Callee, Line, NodeBuilder, Plan};
use serde_json::{Value, json};
use std::pin::Pin;

/// Nothing, or the words of the refusal.
type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// Asks a door to hand a callee over to a number.
type Ask = for<'a> fn(&'a Server, &'a str, &'a str) -> Verdict<'a>;

/// How each door is asked.
const DOORS: &[(&str, Ask)] = &[("native", by_native), ("alibaba", by_alibaba), ("tencent", by_tencent)];

/// What doors say of a number that nobody is handed over to.
const WHY: &[&str] = &[
    "invalid_field",
    "missing_field",
    "destination_not_allowed",
    "no desk",
    "InvalidParameter.CalledNumber",
    "MissingCalledNumber",
    "FailedOperation.CalleeIsLimited",
];

fn by_native<'a>(server: &'a Server, call: &'a str, number: &'a str) -> Verdict<'a> {
    Box::pin(async move {
        let answer = server.native("POST", &format!("/v1/calls/{call}/transfer"), &json!({ "to": number })).await;
        match answer.status {
            202 => Ok(()),
            _ => Err(answer.json()["error"]["code"].as_str().expect("a code").to_owned()),
        }
    })
}

fn by_alibaba<'a>(server: &'a Server, call: &'a str, number: &'a str) -> Verdict<'a> {
    Box::pin(async move {
        let parameters = [("InstanceId", call), ("CalledNumber", number)];
        let answer = ask(server, "ForwardAIAgentCall", &parameters).await;
        if answer.status == 200 { Ok(()) } else { Err(answer.code()) }
    })
}

/// The vendor hands over to groups: the number is the desk of one. What cannot be a desk is refused when the rules name it.
fn by_tencent<'a>(server: &'a Server, call: &'a str, number: &'a str) -> Verdict<'a> {
    Box::pin(async move {
        let home = server.native("GET", "/v1/rules", &Value::Null).await.json()["rules"]["home"].take();
        let rules = json!({"home": home, "desks": {"7": number}});
        let set = server.native("PUT", "/v1/rules", &rules).await;
        if set.status != 200 {
            assert_eq!(set.status, 400, "{}", set.json());
            return Err(String::from("no desk"));
        }
        // Twenty requests a second of one operation.
        server.pass(100);
        let handed = request("TransferToManual", json!({"SessionId": call, "SkillGroupId": 7}));
        match handed.code(server).await {
            done if done.is_empty() => Ok(()),
            code => Err(code),
        }
    })
}

/// A call that stands, to a telephone that refuses to be referred to anybody.
struct Standing {
    server: Server,
    call: String,
    callee: Callee,
    _line: Line,
}

impl Standing {
    async fn new() -> Self {
        let mut callee = Callee::start(Plan::answer()).await;
        let mut builder = NodeBuilder::to(&callee);
        // What is asked about the call names times by the server's clock, which stands.
        builder.clock = Clock::new(|| NOW);
        let server = server_over(builder, Limits::default(), Rates::default()).await;
        numbered(&server).await;
        let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": "+15550123"})).await;
        let call = started.json()["id"].as_str().expect("an id").to_owned();
        let line = callee.line().await;
        let standing = Self { server, call, callee, _line: line };
        standing.waits("the greeting", |event| matches!(event, CallEvent::Said { .. })).await;
        standing
    }

    async fn waits(&self, what: &str, wanted: impl Fn(&CallEvent) -> bool) {
        let call: CallId = self.call.parse().expect("ours");
        self.server.node.wait_for(call, what, wanted).await;
    }

    async fn rules(&self, rules: &Value) {
        let answer = self.server.native("PUT", "/v1/rules", rules).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

#[tokio::test]
async fn every_door_gives_the_verdict_of_a_call_on_whom_a_callee_is_handed_over_to() {
    let standing = Standing::new().await;
    let mut allowed = Vec::new();
    let mut seen = 0;
    for case in include_str!("../fixtures/dial_policy.jsonl").lines() {
        seen += 1;
        let case: Value = serde_json::from_str(case).expect("a line of JSON");
        let (name, number) = (case["name"].as_str().expect("a name"), case["number"].as_str().expect("a number"));
        let words = case["expect"].as_str().and_then(|expect| expect.split(' ').next());
        if matches!(words, Some("allow" | "normalise")) {
            allowed.push(case);
            continue;
        }
        for own in case["own_numbers"].as_array().into_iter().flatten() {
            let path = format!("/v1/numbers/{}", own.as_str().expect("a number"));
            assert_eq!(standing.server.native("PUT", &path, &json!({"trunk": "loop"})).await.status, 200);
        }
        for home in ["CN", "DE", "IN"] {
            standing.rules(&json!({ "home": home })).await;
            for (door, ask) in DOORS {
                let outcome = ask(&standing.server, &standing.call, number).await;
                let why = outcome.expect_err(&format!("{name} from {home} on {door}"));
                // The number is why, and not how the call stands.
                assert!(WHY.contains(&why.as_str()) || why.ends_with("_number"), "{name} on {door}: {why}");
            }
        }
    }
    assert_eq!((seen, allowed.len()), (32, 4));
    assert_eq!(standing.callee.calls(), 1);
    let doors = allowed.iter().flat_map(|case| DOORS.iter().map(move |door| (case, door)));
    let all = doors.map(|(case, (door, ask))| async move {
        let standing = Standing::new().await;
        let home = case["home"].as_str().unwrap_or("US");
        standing.rules(&json!({ "home": home })).await;
        let outcome = ask(&standing.server, &standing.call, case["number"].as_str().expect("a number")).await;
        assert_eq!(outcome, Ok(()), "{} on {door}", case["name"]);
        let tells = |event: &CallEvent| matches!(event, CallEvent::Transferring { .. });
        standing.waits("the transfer", tells).await;
        standing.waits("the answer there", |event| matches!(event, CallEvent::TransferAnswered { .. })).await;
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn what_cannot_be_handed_over_is_named() {
    let standing = Standing::new().await;
    let path = format!("/v1/calls/{}/transfer", standing.call);
    let long = "x".repeat(1025);
    for (body, field) in [
        (json!({}), "to"),
        (json!({"to": ""}), "to"),
        (json!({"to": "desk"}), "to"),
        (json!({"to": "sip:desk@pbx.example;transport=tcp"}), "to"),
        (json!({"to": "+15550124", "announcement": long}), "announcement"),
        (json!({"to": "+15550124", "apology": long}), "apology"),
        (json!({"to": "+15550124", "by": "me"}), "by"),
    ] {
        let answer = standing.server.native("POST", &path, &body).await;
        assert_eq!((answer.status, &answer.json()["error"]["field"]), (400, &json!(field)), "{body:.60}");
    }
    let unlisted = standing.server.native("POST", &path, &json!({"to": "sip:desk@pbx.example"})).await;
    assert_eq!((unlisted.status, unlisted.json()["error"]["code"].clone()), (403, json!("destination_not_allowed")));
    for entries in [json!(["sip:desk@pbx.example"]), json!(["pbx.example:5060"]), json!("pbx.example")] {
        let rules = json!({"destinations": {"addresses": entries}});
        assert_eq!(standing.server.native("PUT", "/v1/rules", &rules).await.status, 400, "{rules}");
    }
    standing.rules(&json!({"destinations": {"addresses": ["desk@pbx.example"]}})).await;
    assert_eq!(standing.server.native("POST", &path, &json!({"to": "sip:desk@pbx.example"})).await.status, 202);
    standing.waits("the answer there", |event| matches!(event, CallEvent::TransferAnswered { .. })).await;
    let server = server_that_meets().await;
    let other = server.native("POST", "/v1/browser-calls", &json!({"agent": AGENT})).await;
    let met = other.json()["id"].as_str().unwrap_or_else(|| panic!("{}", other.json())).to_owned();
    let refused = server.native("POST", &format!("/v1/calls/{met}/transfer"), &json!({"to": "+15550124"})).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (409, json!("no_telephone")));
}

/// Of two orders to hand a callee over the second would be forgotten, and after a last word every one.
#[tokio::test]
async fn what_would_be_forgotten_is_refused_on_every_door() {
    let standing = Standing::new().await;
    let (server, call) = (&standing.server, standing.call.as_str());
    let announced = json!({"to": "+15550124", "announcement": "I am connecting you, one moment please."});
    let path = format!("/v1/calls/{call}");
    let first = server.native("POST", &format!("{path}/transfer"), &announced).await;
    assert_eq!(first.status, 202, "{}", first.json());
    assert_eq!(by_native(server, call, "+15550125").await, Err(String::from("transferring")));
    assert_eq!(by_alibaba(server, call, "+15550125").await, Err(String::from("InvalidStatus.Instance")));

    let standing = Standing::new().await;
    let (server, call) = (&standing.server, standing.call.as_str());
    let path = format!("/v1/calls/{call}");
    let long = json!({"text": "Goodbye, and thank you very much for the long and pleasant talk that we have had."});
    assert_eq!(server.native("POST", &format!("{path}/say"), &long).await.status, 202);
    let stop = server.native("POST", &format!("{path}/hangup"), &json!({"after_sentence": true})).await;
    assert_eq!(stop.status, 202);
    assert_eq!(by_native(server, call, "+15550125").await, Err(String::from("call_ended")));
    assert_eq!(by_alibaba(server, call, "+15550125").await, Err(String::from("InvalidStatus.Instance")));
    let config = ("AgentConfig", r#"{"LlmConfig":{"LlmSystemPrompt":"Be brief."}}"#);
    let changed = ask(server, "UpdateAIAgentInstance", &[("InstanceId", call), config]).await;
    assert_eq!((changed.status, changed.code().as_str()), (400, "InvalidStatus.Instance"));
}

/// Tencent's skill groups are desks of their number.
#[tokio::test]
async fn a_callee_is_handed_over_to_a_skill_group() {
    let standing = Standing::new().await;
    numbered(&standing.server).await;
    let to = |group: Value| request("TransferToManual", json!({"SessionId": standing.call, "SkillGroupId": group}));
    let code = async |group: Value| to(group).send(&standing.server).await.json()["Response"]["Error"].clone();
    assert_eq!(code(json!("sales")).await["Code"], "InvalidParameter");
    let unknown = code(json!(9)).await;
    assert_eq!(unknown["Code"], "InvalidParameterValue");
    assert!(unknown["Message"].as_str().is_some_and(|said| said.contains("SkillGroupId")), "{unknown}");
    for desks in [json!({"7": "desk:8"}), json!({"a b": "+15550199"}), json!({"7": "nobody"}), json!(["+15550199"])] {
        let rules = json!({ "desks": desks });
        assert_eq!(standing.server.native("PUT", "/v1/rules", &rules).await.status, 400, "{rules}");
    }
    standing.rules(&json!({"desks": {"7": "+15550199", "8": "+19005551234", "sales": "sip:sales@pbx.example"}})).await;
    assert_eq!(code(json!(8)).await["Code"], "FailedOperation.CalleeIsLimited");
    to(json!(7)).ok(&standing.server).await;
    let number = |event: &CallEvent| matches!(event, CallEvent::Transferring { to } if to.expose() == "+15550199");
    standing.waits("the transfer", number).await;
    served_by_a_desk(&standing).await;
    let described = json!({"Callee": "0015550777", "LLMType": "openai", "APIKey": "k", "APIUrl": "https://8.8.8.8/v1",
        "TransferFunctionEnable": true, "TransferItems": [
            {"TransferFunctionName": "to_nobody", "TransferFunctionDesc": "x", "TransferSkillGroupId": 9}]});
    let refused = request("CreateAICall", described).send(&standing.server).await.json()["Response"]["Error"].clone();
    assert_eq!(refused["Code"], "InvalidParameterValue");
    let named = refused["Message"].as_str().is_some_and(|said| said.contains("TransferItems.0.TransferSkillGroupId"));
    assert!(named, "{refused}");
    let gone = request("TransferToManual", json!({"SessionId": "0".repeat(32), "SkillGroupId": 7}));
    let gone = gone.send(&standing.server).await.json()["Response"]["Error"]["Code"].clone();
    assert_eq!(gone, "FailedOperation.SessionNotExists");
}

/// Who took the callee over is shown: the desk's telephone, and the group whose desk it is.
async fn served_by_a_desk(standing: &Standing) {
    standing.waits("the answer there", |event| matches!(event, CallEvent::TransferAnswered { .. })).await;
    let now = NOW.millis() / 1000;
    let day = 86_400;
    let asked = json!({"SessionId": standing.call, "StartTimestamp": now - day, "EndTimestamp": now + day});
    let detail = request("DescribeSessionDetail", asked).ok(&standing.server).await;
    let served = &detail["ServeParticipants"][0];
    assert_eq!((&served["Phone"], &served["SkillGroupId"]), (&json!("0015550199"), &json!(7)), "{detail}");
    assert!(served["AcceptTimestamp"].as_i64() >= served["RingTimestamp"].as_i64(), "{served}");
}

/// Where the functions of a stored agent lead is looked up when it is stored, and not when somebody waits at the telephone.
#[tokio::test]
async fn an_agent_of_tencents_shape_leads_to_desks_and_agents_that_exist() {
    let server = server().await;
    numbered(&server).await;
    let file = |group: i64, agent: i64| {
        json!({"LLMType": "openai", "APIKey": "k", "APIUrl": "https://8.8.8.8/v1",
            "TransferFunctionEnable": true, "TransferItems": [
                {"TransferFunctionName": "to_a_person", "TransferFunctionDesc": "x", "TransferSkillGroupId": group}],
            "TransferToAgentEnable": true, "TransferToAgentItems": [
                {"TransferToAgentName": "to_sales", "TransferToAgentDesc": "x", "TransferToAgentId": agent}]})
    };
    let path = "/v1/agents/front?shape=tencent";
    let refused = async |file: Value, named: &str| {
        let answer = server.native("PUT", path, &file).await;
        let said = answer.json()["error"]["message"].to_string();
        assert_eq!(answer.status, 400, "{said}");
        assert!(said.contains(named), "{said}");
    };
    refused(file(7, 15), "TransferItems.0.TransferSkillGroupId").await;
    // The rules of the agent alone may name its desks.
    let bare = json!({"LLMType": "openai", "APIKey": "k", "APIUrl": "https://8.8.8.8/v1"});
    assert_eq!(server.native("PUT", path, &bare).await.status, 200);
    let desks = json!({"desks": {"7": "+15550199"}});
    assert_eq!(server.native("PUT", "/v1/agents/front/rules", &desks).await.status, 200);
    refused(file(7, 16), "TransferToAgentItems.0.TransferToAgentId").await;
    refused(file(8, 15), "TransferItems.0.TransferSkillGroupId").await;
    let stored = server.native("PUT", path, &file(7, 15)).await;
    assert_eq!(stored.status, 200, "{}", stored.json());
    let tools = &stored.json()["tools"];
    assert_eq!(
        (&tools[0]["to"], &tools[1]["kind"], &tools[1]["agent"]),
        (&json!("desk:7"), &json!("change_agent"), &json!(AGENT))
    );
    // In our own shape the same.
    let leading = async |to: &str| {
        let tool = json!({"kind": "change_agent", "name": "on", "description": "x", "agent": to});
        server.native("PUT", "/v1/agents/own", &json!({"tools": [tool]})).await
    };
    let known = leading("front").await;
    assert_eq!(known.status, 200, "{}", known.json());
    assert_eq!(leading("own").await.status, 200, "itself");
    let unknown = leading("nobody").await;
    assert_eq!((unknown.status, &unknown.json()["error"]["field"]), (400, &json!("tools.agent")));
}
