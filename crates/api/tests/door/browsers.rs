//! Calls that are met in a browser, as far as no audio is needed: asked for in both dialects, tokens, the door for browsers.
//! The offer of most tests here is none: a join that everything else speaks for is answered with `bad_offer`, and nothing else is.

use crate::support::{Answer, DATE, NOW, OTHER_KEY, Server, Signed, server, server_over, server_that_meets};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callwright_api::{Limits, Rates};
use callwright_domain::{CallEvent, CallId, CallState, HangupCause, Moment};
use callwright_engine::Clock;
use callwright_testkit::{AGENT, Browser, Callee, NodeBuilder, OnlineBrowser, Plan, Redundancy, Speaks};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

const SDP: &str = "application/sdp";
/// Any offer: nothing looks at it here.
const OFFER: &[u8] = b"v=0\r\n";

async fn met(server: &Server, body: &Value) -> Value {
    let mut body = body.clone();
    body["agent"] = json!(AGENT);
    let answer = server.native("POST", "/v1/browser-calls", &body).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.json()
}

async fn join(server: &Server, channel: &str, token: &str) -> Answer {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: {SDP}\r\n");
    server.send("POST", &format!("/v1/join/{channel}"), &headers, OFFER).await
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is a text in {value}"))
}

pub(crate) async fn app(server: &Server, key: &str) -> (String, String) {
    let app = server.native_as(key, "GET", "/v1/channel-app", b"").await.json();
    (text(&app, "app_id").to_owned(), text(&app, "app_key").to_owned())
}

/// A token as the vendor's users make theirs.
pub(crate) fn token((id, key): &(String, String), channel: &str, user: &str, ends: i64) -> String {
    let digest = Sha256::digest(format!("{id}{key}{channel}{user}{ends}"));
    let signature = digest.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes it");
        hex
    });
    STANDARD.encode(
        json!({"appid": id, "channelid": channel, "userid": user, "nonce": "", "timestamp": ends, "token": signature})
            .to_string(),
    )
}

pub(crate) const fn seconds(moment: Moment) -> i64 {
    moment.millis() / 1000
}

async fn state(server: &Server, id: &str) -> CallState {
    let id: CallId = id.parse().expect("an id");
    let view = server.node.calls().reader().call(&server.node.account(), id).await.expect("read");
    view.expect("there").state
}

#[tokio::test]
async fn a_call_that_is_met_is_asked_for_and_shown() {
    let server = server_that_meets().await;
    let body = json!({"user": "ann", "variables": {"name": "Ann"}, "user_data": "u", "thread": "t", "token_s": 60,
        "join_within_s": 30});
    let call = met(&server, &body).await;
    let (id, channel) = (text(&call, "id"), text(&call, "channel"));
    assert_eq!(text(&call, "user"), "ann");
    assert_eq!(text(&call, "expires_at"), "2026-11-21T02:30:27.000Z");
    assert_eq!(text(&call, "join_by"), "2026-11-21T02:29:57.000Z");
    assert_eq!(text(&call, "join_url"), format!("http://api.test/v1/join/{channel}"));
    let pass: Value = serde_json::from_slice(&STANDARD.decode(text(&call, "token")).expect("base64")).expect("JSON");
    let (app_id, app_key) = app(&server, "admin").await;
    let nonce = text(&pass, "nonce");
    let signed = format!("{app_id}{app_key}{channel}ann{nonce}{}", seconds(NOW) + 60);
    assert_eq!(text(&pass, "token"), hex::encode(Sha256::digest(signed)));
    let shown = server.native("GET", &format!("/v1/calls/{id}"), &Value::Null).await.json();
    assert_eq!((text(&shown, "status"), &shown["to"], &shown["from"]), ("queued", &Value::Null, &Value::Null));
    assert_eq!(shown["browser"]["channel"], channel);
    for (body, field) in [
        (json!({"user": "a b"}), "user"),
        (json!({"join_within_s": 0}), "join_within_s"),
        (json!({"rejoin_within_s": 86_401}), "rejoin_within_s"),
        (json!({"token_s": 604_801}), "token_s"),
        (json!({"to": "+1555"}), "to"),
    ] {
        let mut body = body;
        body["agent"] = json!(AGENT);
        let refused = server.native("POST", "/v1/browser-calls", &body).await;
        assert_eq!((refused.status, text(&refused.json()["error"], "field")), (400, field));
    }
}

#[tokio::test]
async fn a_repeated_request_is_the_same_call_with_a_token_of_its_own() {
    let server = server_that_meets().await;
    let headers = format!(
        "Authorization: Bearer admin.{}\r\nContent-Type: application/json\r\nIdempotency-Key: k1\r\n",
        crate::support::SECRET
    );
    let body = json!({"agent": AGENT}).to_string();
    let first = server.send("POST", "/v1/browser-calls", &headers, body.as_bytes()).await;
    let second = server.send("POST", "/v1/browser-calls", &headers, body.as_bytes()).await;
    assert_eq!((first.status, second.status), (201, 201), "{}", second.json());
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let (first, second) = (first.json(), second.json());
    assert_eq!((&first["id"], &first["channel"], &first["user"]), (&second["id"], &second["channel"], &second["user"]));
    assert_eq!(join(&server, text(&second, "channel"), text(&second, "token")).await.code(), "bad_offer");
}

/// BARS S41: what lets nobody in, and why it says so.
#[tokio::test]
async fn tokens_let_their_user_into_their_channel_until_their_time() {
    let server = server_that_meets().await;
    let call = met(&server, &json!({"user": "ann"})).await;
    let other = met(&server, &json!({"user": "ann"})).await;
    let channel = text(&call, "channel");
    let agent = text(&call, "agent_user");
    let (own, foreign) = (app(&server, "admin").await, app(&server, OTHER_KEY).await);
    let now = seconds(NOW);
    let unsigned = format!("{}..", STANDARD.encode(r#"{"alg":"none"}"#));
    let cases = [
        ("accepted", text(&call, "token").to_owned(), 400, "bad_offer"),
        ("made by a user of the vendor", token(&own, channel, "ann", now + 60), 400, "bad_offer"),
        ("expired", token(&own, channel, "ann", now - 1), 401, "expired_token"),
        ("expired within leeway", token(&own, channel, "ann", now - 4), 401, "expired_token"),
        ("ends now", token(&own, channel, "ann", now), 401, "expired_token"),
        ("alg none", unsigned, 401, "bad_token"),
        ("no signature", token(&(own.0.clone(), String::new()), channel, "ann", now + 60), 401, "bad_token"),
        ("channel swapped", text(&other, "token").to_owned(), 401, "bad_token"),
        ("user swapped", token(&own, channel, "eve", now + 60), 403, "other_user"),
        ("the agent's own name", token(&own, channel, agent, now + 60), 403, "other_user"),
        ("another account's application", token(&foreign, channel, "ann", now + 60), 404, "no_call"),
        (
            "an unknown application",
            token(&(String::from("x"), own.1.clone()), channel, "ann", now + 60),
            401,
            "bad_token",
        ),
        (
            "another account's name, own key",
            token(&(foreign.0.clone(), own.1.clone()), channel, "ann", now + 60),
            401,
            "bad_token",
        ),
        ("nothing", String::new(), 401, "bad_token"),
    ];
    for (name, token, status, code) in cases {
        let answer = join(&server, channel, &token).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{name}");
    }
    assert_eq!(state(&server, text(&call, "id")).await, CallState::Queued, "nobody has used it up");
    let hangup = format!("/v1/calls/{}/hangup", text(&call, "id"));
    assert_eq!(server.native("POST", &hangup, &json!({})).await.status, 202);
    let answer = join(&server, channel, text(&call, "token")).await;
    assert_eq!((answer.status, answer.code().as_str()), (410, "call_over"), "revoked at the end");
    server.pass(3_600_000);
    let answer = join(&server, text(&other, "channel"), text(&other, "token")).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "expired_token"));
}

#[tokio::test]
async fn the_door_names_what_is_wrong_with_a_request() {
    let server = server_that_meets().await;
    let call = met(&server, &json!({})).await;
    let (path, token) = (format!("/v1/join/{}", text(&call, "channel")), text(&call, "token"));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (method, headers, body, status, code) in [
        ("POST", String::new(), OFFER, 401, "bad_token"),
        ("POST", bearer.clone(), OFFER, 415, "unsupported_media_type"),
        ("POST", format!("{bearer}Content-Type: application/json\r\n"), OFFER, 415, "unsupported_media_type"),
        ("POST", format!("{bearer}Content-Type: {SDP}\r\n"), b"\xff".as_slice(), 400, "bad_offer"),
        ("DELETE", bearer.clone(), b"".as_slice(), 409, "not_joined"),
        ("DELETE", String::new(), b"", 401, "bad_token"),
        ("GET", bearer.clone(), b"", 405, "method_not_allowed"),
    ] {
        let answer = server.send(method, &path, &headers, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {headers}");
    }
    let client = server.send("GET", "/v1/client.js", "Origin: https://evil.test\r\n", b"").await;
    assert_eq!((client.status, client.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert_eq!(client.header("content-security-policy"), Some("default-src 'none'"));
    assert_eq!(client.header("access-control-allow-origin"), None, "no page of another origin is named");
    assert!(String::from_utf8_lossy(&client.body).contains("class CallwrightCall"));
}

async fn alibaba(server: &Server, action: &'static str, parameters: &[(&str, &str)], nonce: &str) -> Answer {
    assert_eq!(DATE, "2026-11-21T02:29:27Z");
    let mut sorted: Vec<_> = parameters.to_vec();
    sorted.sort_unstable();
    let encode = |text: &str| {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
                other => write!(encoded, "%{other:02X}").expect("a string takes it"),
            }
        }
        encoded
    };
    let query: Vec<String> = sorted.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    Signed::new(action, query.join("&"), nonce).send(server).await
}

#[tokio::test]
async fn alibabas_generate_makes_a_channel_and_a_token() {
    let server = server_that_meets().await;
    let config = json!({"WakeUpQuery": "hello?", "UserOnlineTimeout": 45, "UserOfflineTimeout": 8, "GracefulShutdown": true,
        "LlmConfig": {"LlmCompleteReply": true, "LlmSystemPrompt": "Short."}, "TtsConfig": {"VoiceIdList": ["v1"]}});
    let template =
        json!({"VoiceChat": {"UserOnlineTimeout": 30, "UserOfflineTimeout": 9, "Volume": 80, "VoiceId": "t"}});
    let (config, template) = (config.to_string(), template.to_string());
    let parameters = [
        ("AIAgentId", AGENT),
        ("UserId", "user123"),
        ("Expire", "7200"),
        ("AgentConfig", config.as_str()),
        ("TemplateConfig", template.as_str()),
        ("UserData", r#"{"name":"Li"}"#),
        ("SessionId", "s 1"),
    ];
    let answer = alibaba(&server, "GenerateAIAgentCall", &parameters, "n1").await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let made = answer.json();
    let names: Vec<_> = made.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["AIAgentUserId", "ChannelId", "InstanceId", "RequestId", "Token", "UserId"]);
    assert_eq!(text(&made, "UserId"), "user123");
    let pass: Value = serde_json::from_slice(&STANDARD.decode(text(&made, "Token")).expect("base64")).expect("JSON");
    assert_eq!((&pass["channelid"], &pass["userid"]), (&made["ChannelId"], &made["UserId"]));
    assert_eq!(pass["timestamp"], seconds(NOW) + 7200);
    assert_eq!(join(&server, text(&made, "ChannelId"), text(&made, "Token")).await.code(), "bad_offer");

    let id = text(&made, "InstanceId");
    let call: CallId = id.parse().expect("ours");
    let view = server.node.calls().reader().call(&server.node.account(), call).await.expect("read").expect("there");
    let agent = &view.plan.agent;
    assert_eq!(
        (agent.opening.wake_up.as_deref(), agent.voice.volume, agent.voice.voice.as_str()),
        (Some("hello?"), 80, "t")
    );
    let place = view.plan.browser().expect("met");
    assert_eq!((place.joins_until, place.returns_within_ms), (Moment(NOW.millis() + 45_000), 8000));
    let described = alibaba(&server, "DescribeAIAgentInstance", &[("InstanceId", id)], "n2").await.json();
    let instance = &described["Instance"];
    assert_eq!((text(instance, "Status"), text(instance, "SessionId")), ("Created", "s 1"));
    assert_eq!(instance["RuntimeConfig"]["ChannelId"], made["ChannelId"]);
    assert_eq!(instance["AgentConfig"]["Volume"], 80);
    assert_eq!(instance["CallInfo"], Value::Null, "it is no telephone call");
    let message = [("InstanceId", id), ("Message", "{}")];
    let early = alibaba(&server, "SendAIAgentDataChannelMessage", &message, "n3").await;
    assert_eq!(early.code(), "InvalidStatus.Instance");
    let listed = alibaba(&server, "ListAIAgentInstance", &[("AIAgentId", AGENT)], "n4").await.json();
    assert_eq!(text(&listed["Instances"][0], "InstanceId"), id);
    assert_eq!(alibaba(&server, "StopAIAgentInstance", &[("InstanceId", id)], "n5").await.status, 200);
    assert_eq!(state(&server, id).await, CallState::Ended(HangupCause::Cancelled));
    assert_eq!(join(&server, text(&made, "ChannelId"), text(&made, "Token")).await.code(), "call_over");
}

/// Both operations that make an instance for a browser, with every parameter that they share.
#[tokio::test]
async fn every_parameter_of_a_browsers_instance_reaches_it() {
    let server = server_that_meets().await;
    let runtime = json!({"ChannelId": "room", "AgentUserId": "bot",
        "AuthToken": token(&app(&server, "admin").await, "room", "bot", seconds(NOW) + 600)});
    let runtime = runtime.to_string();
    // What the vendor calls them: "ChatSyncConfig.IMAIAgentId", "ChatSyncConfig.ReceiverId".
    let sync = json!({"IMAIAgentId": AGENT, "ReceiverId": "ann"}).to_string();
    for action in ["GenerateAIAgentCall", "StartAIAgentInstance"] {
        let mut parameters = vec![
            ("AIAgentId", AGENT),
            ("AgentConfig", r#"{"Greeting":"Hi","GracefulShutdown":true}"#),
            ("TemplateConfig", r#"{"VoiceChat":{"Greeting":"Hello","VadLevel":3}}"#),
            ("UserData", r#"{"name":"Li"}"#),
            ("SessionId", "s 1"),
            ("ChatSyncConfig", sync.as_str()),
        ];
        if action == "StartAIAgentInstance" {
            parameters.push(("RuntimeConfig", runtime.as_str()));
        }
        let made = alibaba(&server, action, &parameters, action).await.json();
        let call: CallId = text(&made, "InstanceId").parse().expect("ours");
        let view = server.node.calls().reader().call(&server.node.account(), call).await.expect("read").expect("there");
        let (plan, place) = (&view.plan, view.plan.browser().expect("met"));
        assert_eq!(plan.agent_id.as_str(), AGENT);
        assert_eq!(serde_json::to_value(&plan.agent.opening.greeting).expect("JSON"), json!({"text": "Hi"}));
        assert_eq!((plan.agent.ears.vad_level, plan.variables["name"].as_str()), (3, "Li"));
        assert_eq!(plan.user_data.as_ref().map(|data| data.expose().as_str()), Some(r#"{"name":"Li"}"#));
        assert_eq!(plan.thread.as_ref().map(callwright_domain::ThreadId::as_str), Some("s 1"));
        let mirror = place.mirror.as_ref().expect("both are named");
        assert_eq!((mirror.agent.as_str(), mirror.user.as_str()), (AGENT, "ann"));
        let channel = made["ChannelId"].as_str().unwrap_or("room");
        assert_eq!((place.channel.as_str(), place.user.is_some()), (channel, action == "GenerateAIAgentCall"));
        let (one, nonce) = ([("InstanceId", text(&made, "InstanceId"))], format!("{action}d"));
        let told = alibaba(&server, "DescribeAIAgentInstance", &one, &nonce).await.json();
        assert_eq!(told["Instance"]["AgentConfig"]["GracefulShutdown"], json!(true));
    }
}

/// The token would be good for nothing.
#[tokio::test]
async fn calls_are_refused_where_no_browser_could_come() {
    let server = server().await;
    let own = server.native("POST", "/v1/browser-calls", &json!({"agent": AGENT})).await;
    assert_eq!((own.status, own.code().as_str()), (501, "browsers_off"));
    assert!(text(&own.json()["error"], "message").contains("[webrtc]"), "{}", own.json());
    let listed = server.native("GET", "/v1/calls", &Value::Null).await.json();
    assert_eq!(listed["calls"], json!([]), "none was made");
    let runtime = json!({"ChannelId": "room", "AgentUserId": "bot",
        "AuthToken": token(&app(&server, "admin").await, "room", "bot", seconds(NOW) + 600)});
    let runtime = runtime.to_string();
    for (action, more) in [("GenerateAIAgentCall", None), ("StartAIAgentInstance", Some(("RuntimeConfig", &*runtime)))]
    {
        let parameters: Vec<_> = [("AIAgentId", AGENT)].into_iter().chain(more).collect();
        let answer = alibaba(&server, action, &parameters, action).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "UnsupportedOperation"));
        assert!(text(&answer.json(), "Message").contains("meets no browsers"), "{}", answer.json());
    }
    let listed = alibaba(&server, "ListAIAgentInstance", &[("AIAgentId", AGENT)], "n").await.json();
    assert_eq!(listed["Instances"], json!([]), "none was made");
}

#[tokio::test]
async fn alibabas_generate_refuses_by_name() {
    let server = server_that_meets().await;
    let sync = json!({"IMAIAgentId": AGENT, "ReceiverId": "ann"}).to_string();
    for (at, (name, value, code)) in [
        ("Expire", "604801", "InvalidParameter.Expire"),
        ("Expire", "-1", "InvalidParameter.Expire"),
        ("UserId", "a b", "InvalidParameter.UserId"),
        ("AgentConfig", "7", "InvalidParameter.AgentConfig"),
        ("AgentConfig", r#"{"EnablePushToTalk":"yes"}"#, "InvalidParameter.AgentConfig"),
        ("AgentConfig", r#"{"UserOnlineTimeout":0}"#, "InvalidParameter.AgentConfig"),
        ("TemplateConfig", r#"{"VoiceChat":{"AvatarId":"a"}}"#, "InvalidParameter.TemplateConfig"),
        ("ChatSyncConfig", r#"{"IMAIAgentId":"nobody","ReceiverId":"ann"}"#, "InvalidParameter.ChatSyncConfig"),
        ("ChatSyncConfig", r#"{"ReceiverId":"ann"}"#, "InvalidParameter.ChatSyncConfig"),
    ]
    .into_iter()
    .enumerate()
    {
        let parameters = [("AIAgentId", AGENT), (name, value)];
        let answer = alibaba(&server, "GenerateAIAgentCall", &parameters, &format!("r{at}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{value}");
    }
    let unknown = alibaba(&server, "GenerateAIAgentCall", &[("AIAgentId", "nobody")], "u1").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "AgentNotFound"));
    // Zero is in the vendor's range: the call exists, and its token is over.
    let parameters = [("AIAgentId", AGENT), ("Expire", "0"), ("ChatSyncConfig", sync.as_str())];
    let made = alibaba(&server, "GenerateAIAgentCall", &parameters, "z1").await.json();
    assert_eq!(text(&made, "UserId").len(), 32);
    assert_eq!(join(&server, text(&made, "ChannelId"), text(&made, "Token")).await.code(), "expired_token");
}

#[tokio::test]
async fn alibabas_instance_joins_a_channel_that_the_caller_made() {
    let server = server_that_meets().await;
    let own = app(&server, "admin").await;
    let later = seconds(NOW) + 600;
    let runtime = |token: &str| json!({"ChannelId": "room", "AgentUserId": "bot", "AuthToken": token});
    let start = async |runtime: &Value, nonce: &str| {
        let runtime = runtime.to_string();
        let parameters = [("AIAgentId", AGENT), ("RuntimeConfig", runtime.as_str())];
        alibaba(&server, "StartAIAgentInstance", &parameters, nonce).await
    };
    let missing = alibaba(&server, "StartAIAgentInstance", &[("AIAgentId", AGENT)], "m").await;
    assert_eq!(missing.code(), "MissingRuntimeConfig");
    let good = token(&own, "room", "bot", later);
    for (at, refused) in [
        runtime(""),
        runtime("nonsense"),
        runtime(&token(&own, "other", "bot", later)),
        runtime(&token(&own, "room", "ann", later)),
        runtime(&token(&own, "room", "bot", seconds(NOW) - 1)),
        runtime(&token(&(own.0.clone(), String::from("k")), "room", "bot", later)),
        json!({"VisionChat": runtime(&good)}),
        json!({"AvatarChat3D": runtime(&good)}),
        json!({"VoiceChat": {"ChannelId": "room"}, "ChannelId": "room"}),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(start(refused, &format!("b{at}")).await.code(), "InvalidParameter.RuntimeConfig", "{refused}");
    }
    let started = start(&json!({"VoiceChat": runtime(&good)}), "g1").await;
    assert_eq!(started.status, 200, "{}", started.json());
    let names: Vec<_> = started.json().as_object().expect("an object").keys().cloned().collect();
    assert_eq!(names, ["InstanceId", "RequestId"]);
    assert_eq!(start(&runtime(&good), "g2").await.code(), "InvalidParameter.RuntimeConfig", "the channel is taken");
    // Whoever has a token for the channel may come, but not under the agent's name.
    assert_eq!(join(&server, "room", &token(&own, "room", "ann", later)).await.code(), "bad_offer");
    assert_eq!(join(&server, "room", &good).await.code(), "other_user");
    let id = started.json()["InstanceId"].as_str().expect("an id").to_owned();
    assert_eq!(alibaba(&server, "StopAIAgentInstance", &[("InstanceId", id.as_str())], "g3").await.status, 200);
    assert_eq!(start(&runtime(&good), "g4").await.status, 200, "it is free again");
}

/// `TakeoverAIAgentCall` gives what a human agent's browser needs to come into a telephone call, and it comes.
#[tokio::test]
async fn alibabas_takeover_lets_a_human_agent_into_a_telephone_call() {
    let mut callee = Callee::start(Plan::answer()).await;
    let mut builder = NodeBuilder::to(&callee).browsers();
    builder.clock = Clock::new(|| NOW);
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let started = server.native("POST", "/v1/calls", &json!({"agent": AGENT, "to": "+15550123"})).await.json();
    let id = text(&started, "id");
    let _line = callee.line().await;
    let call: CallId = id.parse().expect("ours");
    server.node.wait_for(call, "the greeting", |event| matches!(event, CallEvent::Said { .. })).await;
    let instance = ("InstanceId", id);
    let plain = alibaba(&server, "TakeoverAIAgentCall", &[instance], "t1").await.json();
    assert_eq!((text(&plain, "ChannelId"), text(&plain, "HumanAgentUserId").len()), (id, 32));
    assert_eq!(plain.get("Token"), None);
    let parameters = [instance, ("HumanAgentUserId", "human_1"), ("RequireToken", "True")];
    let made = alibaba(&server, "TakeoverAIAgentCall", &parameters, "t2").await.json();
    assert_eq!(text(&made, "HumanAgentUserId"), "human_1");
    let (browser, offer) = OnlineBrowser::start(Speaks::Opus(Redundancy::Some)).await.expect("a browser");
    let come = async |token: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: {SDP}\r\n");
        server.send("POST", &format!("/v1/join/{}", text(&made, "ChannelId")), &headers, offer.as_bytes()).await
    };
    let stranger = token(&app(&server, "admin").await, id, "eve", seconds(NOW) + 600);
    assert_eq!(come(&stranger).await.code(), "other_user");
    let answer = come(text(&made, "Token")).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    browser.answered(&String::from_utf8_lossy(&answer.body)).await.expect("a good answer");
    server.node.wait_for(call, "the takeover", |event| matches!(event, CallEvent::TransferAnswered { .. })).await;
    let again = alibaba(&server, "TakeoverAIAgentCall", &parameters, "t3").await;
    assert_eq!(again.code(), "InvalidStatus.Instance", "somebody has");
    let headers = format!("Authorization: Bearer {}\r\n", text(&made, "Token"));
    let left = server.send("DELETE", &format!("/v1/join/{id}"), &headers, b"").await;
    assert_eq!(left.status, 200);
    assert_eq!(server.node.ended(call).await, HangupCause::Transferred);
    let late = alibaba(&server, "TakeoverAIAgentCall", &parameters, "t4").await;
    assert_eq!(late.code(), "InvalidStatus.Instance", "it is over");
    assert_eq!(come(text(&made, "Token")).await.code(), "call_over");
}

/// `UserOfflineTimeout`: a page that vanished comes back through the same door with the same token.
#[tokio::test]
async fn alibabas_user_who_vanished_may_come_back() {
    let callee = Callee::start(Plan::answer()).await;
    let mut builder = NodeBuilder::to(&callee).browsers();
    builder.clock = Clock::new(|| NOW);
    let server = server_over(builder, Limits::default(), Rates::default()).await;
    let parameters = [("AIAgentId", AGENT), ("AgentConfig", r#"{"UserOfflineTimeout":3600}"#)];
    let made = alibaba(&server, "GenerateAIAgentCall", &parameters, "o1").await.json();
    let (path, token) = (format!("/v1/join/{}", text(&made, "ChannelId")), text(&made, "Token"));
    let come = async || {
        let (browser, offer) = OnlineBrowser::start(Speaks::Opus(Redundancy::Some)).await.expect("a browser");
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: {SDP}\r\n");
        let answer = server.send("POST", &path, &headers, offer.as_bytes()).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        browser.answered(&String::from_utf8_lossy(&answer.body)).await.expect("a good answer");
        browser
    };
    let first = come().await;
    let call: CallId = text(&made, "InstanceId").parse().expect("ours");
    server.node.wait_for(call, "the greeting", |event| matches!(event, CallEvent::Said { .. })).await;
    first.with(|browser| browser.close()).await;
    let second = come().await;
    assert!(second.until(|browser| browser.connected.then_some(())).await.is_some());
    // Its page is greeted as any other, and sees what goes on.
    let hello = r#"{"key":"aliyun_aigc","version":"1.0","type":"ready_req","data":{"ready":true}}"#;
    assert!(second.until(|browser| browser.type_text(hello).then_some(())).await.is_some());
    let answered =
        |browser: &mut Browser| browser.messages.iter().any(|text| text.contains("ready_resp")).then_some(());
    assert!(second.until(answered).await.is_some());
    let left = server.send("DELETE", &path, &format!("Authorization: Bearer {token}\r\n"), b"").await;
    assert_eq!(left.status, 200);
    assert_eq!(server.node.ended(call).await, HangupCause::CalleeHungUp);
    // The vendor's time unless said, none where nobody asks for it.
    let usual = alibaba(&server, "GenerateAIAgentCall", &[("AIAgentId", AGENT)], "o2").await.json();
    let own = met(&server, &json!({"rejoin_within_s": 7})).await;
    let without = met(&server, &json!({})).await;
    for (id, wanted) in [(text(&usual, "InstanceId"), 5000), (text(&own, "id"), 7000), (text(&without, "id"), 0)] {
        let id: CallId = id.parse().expect("an id");
        let view = server.node.calls().reader().call(&server.node.account(), id).await.expect("read").expect("there");
        assert_eq!(view.plan.browser().expect("met").returns_within_ms, wanted);
    }
}
