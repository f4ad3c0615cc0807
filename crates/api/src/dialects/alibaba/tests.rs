//! Signatures against requests captured from the vendor's SDKs, and every member of a Config against its schema.

use super::view::agent_config;
use super::*;
use callwright_domain::agent::{Overheard, Switch, Tool, TurnMode};
use callwright_domain::{HangupCause, Moment};
use http::{HeaderMap, HeaderName, HeaderValue};

const SCHEMA: &str = include_str!("../../../tests/fixtures/alibaba-ims.schema.json");
const BROWSERS: &str = include_str!("../../../tests/fixtures/alibaba-ims-browsers.schema.json");
const GOLDEN: [&str; 4] = [
    include_str!("../../../tests/golden/alibaba/py643_default_outbound.json"),
    include_str!("../../../tests/golden/alibaba/v3_generate_rich.json"),
    include_str!("../../../tests/golden/alibaba/v3_instance_voice.json"),
    include_str!("../../../tests/golden/alibaba/v3_outbound_rich.json"),
];

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is a text"))
}

fn request(query: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).expect("name"), HeaderValue::from_str(value).expect("value"));
    }
    Request {
        method: Method::POST,
        path: String::from("/"),
        query: query.to_owned(),
        headers: map,
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        peer: ([127, 0, 0, 1], 1).into(),
        received: Moment(0),
        id: 7,
    }
}

fn golden_request(file: &Value) -> Request {
    let target = text_of(&file["request"], "target");
    let headers: Vec<(&str, &str)> = file["request"]["headers"]
        .as_array()
        .expect("headers")
        .iter()
        .map(|pair| (pair[0].as_str().expect("name"), pair[1].as_str().expect("value")))
        .collect();
    request(target.split_once('?').map_or("", |(_, query)| query), &headers, text_of(&file["request"], "body"))
}

fn clock(file: &Value) -> Moment {
    let time: jiff::Timestamp = text_of(file, "clock").parse().expect("a time");
    Moment(time.as_millisecond())
}

fn verdict(request: &Request, secret: &str, now: Moment) -> Result<(), Fault> {
    let call = Call::of(request)?;
    Ok(auth::claim(&call, now)?.check(secret)?)
}

#[test]
fn captured_requests_verify_and_say_what_they_meant() {
    for file in GOLDEN.map(parsed) {
        let name = text_of(&file, "name").to_owned();
        let request = golden_request(&file);
        assert!(DIALECT.claims(&request), "{name}");
        assert_eq!(verdict(&request, text_of(&file["credentials"], "AccessKeySecret"), clock(&file)), Ok(()), "{name}");
        let call = Call::of(&request).expect("a call");
        assert_eq!(call.action(), Some(text_of(&file, "action")), "{name}");
        assert_eq!(call.version(), Some(VERSION));
        for (parameter, expected) in file["params"].as_object().expect("params") {
            let given = call.parameter(parameter).unwrap_or_else(|| panic!("{name}: {parameter}"));
            match expected {
                Value::String(text) => assert_eq!(&given, text, "{name}: {parameter}"),
                Value::Object(_) => assert_eq!(&parsed(&given), expected, "{name}: {parameter}"),
                other => assert_eq!(given, other.to_string(), "{name}: {parameter}"),
            }
        }
    }
}

#[test]
fn another_secret_or_one_changed_byte_does_not_verify() {
    for file in GOLDEN.map(parsed) {
        let now = clock(&file);
        let original = golden_request(&file);
        let refused = |request: &Request, secret: &str| {
            let fault = verdict(request, secret, now).expect_err("must not verify");
            assert_eq!(VendorError::from(fault).code, "SignatureDoesNotMatch", "{}", text_of(&file, "name"));
        };
        refused(&original, "testSecretX");
        let mut query = golden_request(&file);
        query.query = query.query.replacen("AIAgentId=3", "AIAgentId=4", 1);
        assert_ne!(query.query, original.query);
        refused(&query, "testSecret");
        if original.headers.contains_key("authorization") {
            let mut body = golden_request(&file);
            body.body = bytes::Bytes::from_static(b" ");
            refused(&body, "testSecret");
            let mut action = golden_request(&file);
            action.headers.insert("x-acs-action", HeaderValue::from_static("StopAIAgentInstance"));
            refused(&action, "testSecret");
        }
    }
}

#[test]
fn dates_are_checked_on_both_sides() {
    let file = parsed(GOLDEN[3]);
    let request = golden_request(&file);
    let at = |minutes: i64| {
        verdict(&request, "testSecret", Moment(clock(&file).millis() + minutes * 60_000))
            .map_err(|fault| VendorError::from(fault).code)
    };
    assert_eq!(at(14), Ok(()));
    assert_eq!(at(-14), Ok(()));
    assert_eq!(at(16), Err(String::from("InvalidTimeStamp.Expired")));
    assert_eq!(at(-16), Err(String::from("InvalidTimeStamp.Expired")));
    let mut malformed = golden_request(&file);
    malformed.headers.insert("x-acs-date", HeaderValue::from_static("2026-11-21 02:29:27"));
    assert_eq!(verdict(&malformed, "testSecret", clock(&file)), Err(Fault::BadDate));
}

#[test]
fn an_unsigned_header_of_the_vendors_is_refused() {
    let file = parsed(GOLDEN[3]);
    let mut request = golden_request(&file);
    request.headers.insert("x-acs-security-token", HeaderValue::from_static("t"));
    let fault = verdict(&request, "testSecret", clock(&file)).expect_err("refused");
    assert_eq!(VendorError::from(fault).code, "InvalidParameter.SignedHeaders");
}

#[test]
fn parameters_come_from_the_query_first_and_unsigned_bodies_are_not_read() {
    let json = ("content-type", "application/json");
    let v3 =
        request("A=1&B=", &[json, ("authorization", "ACS3-HMAC-SHA256 x")], r#"{"A":"2","C":{"d":1},"E":7,"F":null}"#);
    let call = Call::of(&v3).expect("a call");
    for (name, value) in [("A", Some("1")), ("B", None), ("C", Some(r#"{"d":1}"#)), ("E", Some("7")), ("F", None)] {
        assert_eq!(call.parameter(name).as_deref(), value, "{name}");
    }
    let v1 = request("A=1", &[json], r#"{"C":"3"}"#);
    assert_eq!(Call::of(&v1).expect("a call").parameter("C"), None, "the older scheme does not sign it");
    let form = request("A=1", &[("content-type", "application/x-www-form-urlencoded")], "A=2&G=a+b%2B");
    let call = Call::of(&form).expect("a call");
    assert_eq!((call.parameter("A").as_deref(), call.parameter("G").as_deref()), (Some("1"), Some("a b+")));
}

/// A Config with every member of the schema; the test of faults breaks one after the other.
fn whole_config() -> Value {
    let messages = json!([{"Text": "One moment", "Probability": 0.4}, {"Text": "Hm", "Probability": 0.6}]);
    json!({
        "Greeting": "Hello {{name}}", "GreetingDelay": "500", "MaxIdleTime": 120, "EnableIntelligentSegment": false,
        "ExperimentalConfig": "{\"e\":1}",
        "AsrConfig": {"AsrLanguageId": "en", "AsrMaxSilence": 600, "AsrHotWords": ["Callwright"], "VadLevel": 3,
            "VadDuration": 300, "CustomParams": "a=1&b=x%20y"},
        "TtsConfig": {"VoiceId": "v", "VoiceIdList": ["v", "w"], "SpeechRate": "0.9", "Emotion": "calm",
            "LanguageId": "Chinese,Yue", "ModelId": "speech-02-turbo",
            "PronunciationRules": [{"Word": "SQL", "Pronunciation": "sequel", "Type": "replacement"}]},
        "LlmConfig": {"LlmSystemPrompt": "Be kind.", "LlmHistory": [{"Role": "user", "Content": "x"}],
            "LlmHistoryLimit": 4, "BailianAppParams": "{\"p\":{\"q\":1}}", "OpenAIExtraQuery": "a=b&c=d",
            "FunctionMap": [{"Function": "hangup", "MatchFunction": "bye"}], "HistorySyncWithTTS": true,
            "LlmCompleteReply": false, "OutputMinLength": 5, "OutputMaxDelay": "2000"},
        "InterruptConfig": {"EnableVoiceInterrupt": false, "InterruptWords": ["stop"], "KeepInterruptWordsForLLM": true,
            "NoInterruptMode": "discard", "Eagerness": "Low"},
        "TurnDetectionConfig": {"Mode": "Semantic", "TurnEndWords": ["over"], "SemanticWaitDuration": 900, "Eagerness": "High"},
        "AutoSpeechConfig": {"LlmPending": {"WaitTime": 2000, "Mode": "sequence", "Messages": messages},
            "UserIdle": {"WaitTime": 8000, "MaxRepeats": 2, "Messages": messages, "HangupEndWord": "Bye"}},
        "AmbientSoundConfig": {"ResourceId": "office", "Volume": 20},
        "BackChannelingConfig": {"Enabled": false, "Probability": 0.1, "TriggerStage": "pause_detected",
            "Words": {"Text": "uh", "Probability": 1}},
        "BackChannelingConfigs": [{"Enabled": true, "Probability": 0.3, "TriggerStage": "pause_detected",
            "Words": [{"Text": "hm", "Probability": 1.0}]}],
    })
}

fn decoded(config: &Value) -> Result<callwright_domain::AgentPatch, Fault> {
    outbound::decode(Some(&config.to_string()))
}

#[test]
fn every_member_has_its_effect() {
    let patch = decoded(&whole_config()).expect("acceptable");
    let mut agent = callwright_domain::AgentProfile::default();
    patch.apply(&mut agent);
    assert_eq!(agent.opening.delay_ms, 500);
    assert_eq!(agent.idle.hang_up_after_ms, 120_000);
    assert_eq!(agent.turn.join_segments, Switch::Off);
    assert_eq!((agent.ears.language.as_str(), agent.turn.silence_ms, agent.ears.vad_level), ("en", 600, 3));
    assert_eq!((agent.interrupt.min_speech_ms, agent.ears.params["b"].as_str()), (300, "x y"));
    assert_eq!(agent.ears.hot_words, ["Callwright"]);
    assert_eq!((agent.voice.voice.as_str(), agent.voice.rate, agent.voice.emotion.as_str()), ("v", 0.9, "calm"));
    assert_eq!((agent.voice.language.as_str(), agent.voice.model.as_str()), ("yue", "speech-02-turbo"));
    assert_eq!(agent.voice.pronunciations[0].spoken, "sequel");
    assert_eq!((agent.voice.hold_below_chars, agent.voice.hold_at_most_ms), (5, 2000));
    assert_eq!((agent.brain.system_prompt.as_str(), agent.brain.history_limit), ("Be kind.", 4));
    assert_eq!((agent.brain.history.len(), agent.brain.query["c"].as_str()), (1, "d"));
    assert_eq!(agent.brain.params["p"], json!({"q": 1}));
    assert_eq!(agent.brain.cut_mark, "<ims_agent_interrupted>");
    assert!(matches!(&agent.tools[..], [Tool::EndCall { name, .. }] if name == "bye"));
    assert_eq!((agent.interrupt.by_voice, agent.interrupt.keep_words), (Switch::Off, Switch::On));
    assert_eq!((agent.interrupt.overheard, agent.interrupt.words.len()), (Overheard::Discard, 1));
    assert_eq!((agent.turn.mode, agent.turn.patience_ms), (TurnMode::Semantic, 2000));
    assert_eq!(agent.turn.end_words, ["over"]);
    assert_eq!((agent.filler.after_ms, agent.filler.texts.len()), (2000, 2));
    assert_eq!((agent.idle.remind_after_ms, agent.idle.max_reminders), (8000, 2));
    assert_eq!(agent.idle.goodbye, "Bye");
    assert_eq!((agent.ambient.sound.as_str(), agent.ambient.volume), ("office", 20));
    assert_eq!((agent.backchannel.probability, agent.backchannel.words.len()), (0.3, 1));
}

#[test]
fn empty_lists_and_null_are_absent_and_zero_is_not() {
    let config = json!({"TtsConfig": {"PronunciationRules": [], "VoiceId": null}, "LlmConfig": {"LlmHistory": [],
        "FunctionMap": []}, "BackChannelingConfigs": [], "Unknown": 7, "AsrConfig": {"VadLevel": 0},
        "AmbientSoundConfig": {"ResourceId": "", "Volume": 0}, "Greeting": "", "EnableIntelligentSegment": false,
        "AutoSpeechConfig": {"LlmPending": {"Messages": []}, "UserIdle": {"WaitTime": null, "Messages": []}}});
    let patch = decoded(&config).expect("acceptable");
    assert_eq!((patch.filler.after_ms, patch.idle.remind_after_ms), (None, None));
    assert_eq!(patch.voice.pronunciations, None);
    assert_eq!(patch.voice.voice, None);
    assert_eq!((patch.brain.history, patch.tools), (None, None));
    assert_eq!(patch.backchannel.probability, None);
    assert_eq!(patch.ears.vad_level, Some(0));
    assert_eq!((patch.ambient.sound.as_deref(), patch.ambient.volume), (Some(""), Some(0)));
    assert_eq!(patch.opening.greeting, Some(callwright_domain::agent::Greeting::None));
    assert_eq!(patch.turn.join_segments, Some(Switch::Off));
}

#[test]
fn an_object_may_come_flattened() {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let flat = "AgentConfig.Greeting=n&AgentConfig.LlmConfig.LlmHistory.1.Role=user&AgentConfig.LlmConfig.LlmHistory.1.Content=hi\
        &AgentConfig.LlmConfig.LlmHistory.2.Role=assistant&AgentConfig.EnableIntelligentSegment=true&AgentConfig.Volume=120\
        &AgentConfig.Greeting.x=1&AgentConfig.LlmConfig.LlmHistory.9999999.Role=x&AgentConfigs.Greeting=y&Other=AgentConfig.Greeting";
    let wanted = json!({"Greeting": "n", "LlmConfig": {"LlmHistory": [{"Role": "user", "Content": "hi"},
        {"Role": "assistant"}]}, "EnableIntelligentSegment": "true", "Volume": "120"});
    for sent in [request(flat, &[], ""), request("", &form, flat)] {
        let call = Call::of(&sent).expect("a call");
        let found = call.parameter("AgentConfig").map(|text| serde_json::from_str::<Value>(&text).expect("JSON"));
        assert_eq!(found, Some(wanted.clone()));
        assert_eq!(call.parameter("Agent"), None);
    }
    // One that is whole as well counts alone.
    let both = request("AgentConfig=%7B%7D&AgentConfig.Greeting=n", &[], "");
    assert_eq!(Call::of(&both).expect("a call").parameter("AgentConfig").as_deref(), Some("{}"));
    let patch = decoded(&json!({"EnableIntelligentSegment": "true", "LlmConfig": {"LlmHistoryLimit": "3"}}));
    assert_eq!(patch.expect("acceptable").turn.join_segments, Some(Switch::On));
}

/// Values that a member of this schema entry must not take.
fn wrong(field: &Value) -> Vec<Value> {
    let mut values = match text_of(field, "type") {
        "string" if field["min"].is_number() => vec![json!("x"), json!(true), json!(-1)],
        "string" => vec![json!(7), json!(true), json!({})],
        "integer" => vec![json!("x"), json!(1.5), json!(true), json!([1]), json!(9_223_372_036_854_775_808_u64)],
        "number" => vec![json!("x"), json!(true), json!([1])],
        "boolean" => vec![json!("yes"), json!(1)],
        "object" => vec![json!(5), json!("x"), json!(true)],
        "array" => vec![json!(5), json!("x"), json!([5]), json!([""])],
        other => panic!("a type that the test does not know: {other}"),
    };
    if let Some(most) = field["max"].as_f64() {
        values.push(json!(most + 1.0));
        values.push(json!((most + 1.0).to_string()));
    }
    if let Some(least) = field["min"].as_f64() {
        values.push(json!(least - 1.0));
    }
    if let Some(longest) = field["maxLength"].as_u64() {
        values.push(json!("x".repeat(usize::try_from(longest).expect("small") + 1)));
    }
    if field["enum"].is_array() {
        values.push(json!("no-such-word"));
        values.push(json!("a\r\nb"));
    }
    match field["format"].as_str() {
        Some("json") => values.push(json!("{")),
        Some("urlquery") => values.extend([json!("novalue"), json!("=x"), json!("a=%0D%0Ab")]),
        _ => {}
    }
    values
}

/// Calls `check` with the pointer and the schema entry of every member below `kind`.
fn walk(types: &Value, kind: &str, at: &str, check: &mut impl FnMut(&str, &Value)) {
    for (name, field) in types[kind]["fields"].as_object().unwrap_or_else(|| panic!("{kind} is in the schema")) {
        let here = format!("{at}/{name}");
        check(&here, field);
        if let Some(inner) = field["ref"].as_str() {
            walk(types, inner, &here, check);
        }
        if let Some(inner) = field["items"]["ref"].as_str() {
            walk(types, inner, &format!("{here}/0"), check);
        }
    }
}

#[test]
fn every_wrong_member_is_named() {
    let types = &parsed(SCHEMA)["types"];
    let whole = whole_config();
    let mut members = 0;
    walk(types, "AIAgentOutboundCallConfig", "", &mut |pointer, field| {
        members += 1;
        assert!(whole.pointer(pointer).is_some(), "{pointer} is not in the example");
        let mut bad = wrong(field);
        if let Some(most) = field["maxItems"].as_u64().filter(|_| field["type"] == "array") {
            let item = whole.pointer(&format!("{pointer}/0")).expect("an item");
            bad.push(Value::Array(vec![item.clone(); usize::try_from(most).expect("small") + 1]));
        }
        for value in bad {
            let mut config = whole.clone();
            *config.pointer_mut(pointer).expect("there") = value.clone();
            let Err(Fault::Invalid { field: blamed, .. }) = decoded(&config) else {
                panic!("{pointer} must not be {value}");
            };
            let last = pointer.rsplit('/').next().expect("a name");
            assert!(blamed.starts_with("Config.") && blamed.contains(last), "{pointer} = {value}: {blamed}");
        }
    });
    assert!(members > 70, "{members}");
}

/// A browser's AgentConfig with every member of the schema that can have its effect here.
fn whole_agent_config() -> Value {
    let mut config = whole_config();
    let own = json!({
        "WakeUpQuery": "hello", "UserOnlineTimeout": 45, "UserOfflineTimeout": 8, "GracefulShutdown": true,
        "EnablePushToTalk": false, "Volume": 120, "WorkflowOverrideParams": "{\"w\":1}", "AvatarUrl": "https://a.example/x.png",
        "AvatarUrlType": "USER", "AvatarConfig": {"AvatarId": ""},
        "VoiceprintConfig": {"VoiceprintId": "v", "UseVoiceprint": false, "RegistrationMode": "Explicit"},
        "VcrConfig": {"StillFrameMotion": {"Enabled": true, "CallbackDelay": 300},
            "InvalidFrameMotion": {"Enabled": true, "CallbackDelay": 300}, "PeopleCount": {"Enabled": true},
            "Equipment": {"Enabled": true}, "HeadMotion": {"Enabled": true}, "LookAway": {"Enabled": true}},
    });
    for (name, value) in own.as_object().expect("members") {
        config[name] = value.clone();
    }
    // A list here and one object there.
    let item = config["BackChannelingConfig"].take();
    config["BackChannelingConfig"] = json!([item]);
    let words = config["BackChannelingConfig"][0]["Words"].take();
    config["BackChannelingConfig"][0]["Words"] = json!([words]);
    config["LlmConfig"]["OutputMaxDelay"] = json!(2000);
    config
}

#[test]
fn every_wrong_member_of_a_browsers_configuration_is_named() {
    let types = &parsed(BROWSERS)["types"];
    let whole = whole_agent_config();
    assert!(meet::configuration("AgentConfig", &whole).is_ok());
    let mut members = 0;
    walk(types, "AIAgentConfig", "", &mut |pointer, field| {
        // What a camera sees is nobody's business here: the vendor's voice agents let all of it go.
        if pointer.starts_with("/VcrConfig/") {
            return;
        }
        // One length for both configurations: an outbound call's rules may have ten characters, a browser's nine.
        let field = &match pointer {
            "/TtsConfig/PronunciationRules/0/Word" | "/TtsConfig/PronunciationRules/0/Pronunciation" => {
                json!({"type": "string", "maxLength": 10})
            }
            _ => field.clone(),
        };
        members += 1;
        assert!(whole.pointer(pointer).is_some(), "{pointer} is not in the example");
        for value in wrong(field) {
            let mut config = whole.clone();
            *config.pointer_mut(pointer).expect("there") = value.clone();
            // The one that says for how long a user is waited for is read where it counts.
            let read = meet::configuration("AgentConfig", &config).and_then(|_| {
                let section = section::Section::of("AgentConfig", &config)?;
                section.whole("UserOnlineTimeout", 1, 86_400).map(|_| ())
            });
            let Err(Fault::Invalid { field: blamed, .. }) = read else { panic!("{pointer} must not be {value}") };
            let last = pointer.rsplit('/').next().expect("a name");
            assert!(blamed.starts_with("AgentConfig") && blamed.contains(last), "{pointer} = {value}: {blamed}");
        }
    });
    assert!(members > 80, "{members}");
}

#[test]
fn what_becomes_a_line_elsewhere_holds_no_line_end() {
    for pointer in [
        "/TtsConfig/VoiceId",
        "/AmbientSoundConfig/ResourceId",
        "/LlmConfig/FunctionMap/0/MatchFunction",
        "/AsrConfig/AsrHotWords/0",
        "/InterruptConfig/InterruptWords/0",
        "/TurnDetectionConfig/TurnEndWords/0",
        "/TtsConfig/PronunciationRules/0/Word",
        "/TtsConfig/VoiceIdList/0",
    ] {
        let mut config = whole_config();
        *config.pointer_mut(pointer).expect("there") = json!("a\r\nb");
        assert!(decoded(&config).is_err(), "{pointer}");
    }
    for (pointer, value) in [
        ("/AutoSpeechConfig/LlmPending/Messages/0/Probability", json!(0.9)),
        ("/AutoSpeechConfig/UserIdle/WaitTime", Value::Null),
        ("/AutoSpeechConfig/UserIdle/MaxRepeats", Value::Null),
        ("/AutoSpeechConfig/LlmPending/WaitTime", Value::Null),
        ("/LlmConfig/OutputMaxDelay", json!("999")),
        ("/AsrConfig/VadDuration", json!(199)),
        ("/LlmConfig/BailianAppParams", json!("[1]")),
    ] {
        let mut config = whole_config();
        *config.pointer_mut(pointer).expect("there") = value;
        assert!(decoded(&config).is_err(), "{pointer}");
    }
    for text in ["", "[]", "{", "7", "{}{}", "{\"MaxIdleTime\":1e400}"] {
        assert!(outbound::decode(Some(text)).is_err(), "{text}");
    }
    assert!(outbound::decode(Some(&"{\"a\":".repeat(100_000))).is_err(), "deep nesting is refused, not followed");
}

#[test]
fn parameters_are_needed_and_checked() {
    let account = AccountId::new("a").expect("id");
    let good = "AIAgentId=x&CallerNumber=%2B15550100&CalledNumber=%2B15550101";
    let code = |query: &str| {
        let request = request(query, &[], "");
        decode(&Call::of(&request).expect("a call"), &account).map_err(|error| error.code)
    };
    let call =
        code(&format!("{good}&UserData={}", "%7B%22city%22%3A%22X%5Cr%5Cn%22%2C%22n%22%3A7%2C%22o%22%3A%7B%7D%7D"))
            .expect("good");
    assert_eq!(call.variables["city"], "X\r\n");
    assert_eq!(call.variables["n"], "7");
    assert_eq!(call.variables.len(), 2);
    for (query, expected) in [
        ("", "MissingAIAgentId"),
        ("AIAgentId=", "MissingAIAgentId"),
        ("AIAgentId=x", "MissingCallerNumber"),
        ("AIAgentId=x&CallerNumber=15550100", "MissingCalledNumber"),
        ("AIAgentId=x&CallerNumber=abc&CalledNumber=15550101", "InvalidParameter.CallerNumber"),
        ("AIAgentId=x&CallerNumber=15550100&CalledNumber=1555%0D%0A0101", "InvalidParameter.CalledNumber"),
        ("AIAgentId=x&CallerNumber=15550100&CalledNumber=1234567890123456", "InvalidParameter.CalledNumber"),
        ("AIAgentId=a%0Ab&CallerNumber=15550100&CalledNumber=15550101", "AgentNotFound"),
        (&format!("{good}&SessionId=a%0D%0Ab"), "InvalidParameter.SessionId"),
        (&format!("{good}&SessionId={}", "x".repeat(256)), "InvalidParameter.SessionId"),
        (&format!("{good}&UserData={}", "x".repeat(MAX_USER_DATA + 1)), "InvalidParameter.UserData"),
        (&format!("{good}&Config=%7B"), "InvalidParameter.Config"),
    ] {
        assert_eq!(code(query).expect_err(query), expected, "{query:.80}");
    }
}

#[test]
fn a_config_is_shown_in_the_types_of_an_answer() {
    let shown = agent_config(&whole_config().to_string());
    assert_eq!(shown["LlmConfig"]["OutputMaxDelay"], json!(2000));
    assert_eq!(shown["GreetingDelay"], json!(500));
    assert_eq!(shown["BackChannelingConfig"][0]["Words"][0]["Text"], "uh");
    assert_eq!(shown["BackChannelingConfigs"][0]["Words"][0]["Text"], "hm");
    assert_eq!(agent_config(""), json!({}));
    assert_eq!(agent_config("[]"), json!({}));
}

/// What the vendor's users hear of a refusal. A new one has its place here before anything builds.
const fn word_of(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::UnknownAgent => (404, "AgentNotFound"),
        Refusal::CallerNotOwned | Refusal::CallerDisabled | Refusal::NoCallerNumber | Refusal::NoTrunk => {
            (400, "InvalidParameter.CallerNumber")
        }
        Refusal::CallerBusy | Refusal::CallerTooOften => (400, "Throttling.CallerNumber"),
        Refusal::AccountBusy | Refusal::AgentBusy | Refusal::AccountTooOften => (400, "Throttling.User"),
        Refusal::NodeBusy | Refusal::Draining => (503, "ServiceUnavailable"),
        Refusal::EmergencyNumber
        | Refusal::ShortNumber
        | Refusal::PremiumNumber
        | Refusal::SatelliteNumber
        | Refusal::DestinationNotAllowed
        | Refusal::OwnNumber => (400, "InvalidParameter.CalledNumber"),
        Refusal::CalleeTooOften | Refusal::CalleeDailyLimit => (400, "Throttling.CalledNumber"),
        Refusal::CalleeBlocked => (403, "Forbidden.CalledNumber"),
        Refusal::RegionBlocked => (403, "Forbidden.Region"),
        Refusal::OutsideCallingHours => (403, "Forbidden.CallingHours"),
        Refusal::NoConsent => (403, "Forbidden.Consent"),
        Refusal::QuotaUsedUp | Refusal::PlanExpired => (403, "Forbidden.SubscriptionRequired"),
    }
}

/// The same of faults, one of each.
fn words_of_faults() -> Vec<(Fault, u16, &'static str)> {
    let (field, rule) = (String::from("Config.AsrConfig"), String::from("r"));
    let absence = callwright_domain::Absence::Expired;
    let unknown = Fault::Unknown { field: field.clone(), known: String::new() };
    vec![
        (Fault::Missing { field: String::from("Text") }, 400, "MissingText"),
        (Fault::Invalid { field, rule: rule.clone() }, 400, "InvalidParameter.Config"),
        (unknown, 400, "InvalidParameter.Config"),
        (Fault::Malformed { rule }, 400, "InvalidParameter"),
        (Fault::UnknownOperation, 404, "InvalidAction.NotFound"),
        (Fault::Method { allowed: METHODS }, 405, "UnsupportedHTTPMethod"),
        (Fault::Version, 400, "InvalidVersion"),
        (Fault::Unauthenticated, 404, "InvalidAccessKeyId.NotFound"),
        (Fault::KeyDisabled, 400, "InvalidAccessKeyId.Inactive"),
        (Fault::Forbidden { scope: "calls_write" }, 403, "Forbidden.RAM"),
        (Fault::BadDate, 400, "InvalidTimeStamp.Format"),
        (Fault::Expired, 400, "InvalidTimeStamp.Expired"),
        (Fault::BadSignature { signed: String::new() }, 400, "SignatureDoesNotMatch"),
        (Fault::Replayed, 400, "SignatureNonceUsed"),
        (Fault::NotFound { what: "instance" }, 404, "InstanceNotFound"),
        (Fault::Gone { what: "instance", absence }, 404, "InstanceNotFound"),
        (Fault::Slow, 408, "RequestTimeout"),
        (Fault::TooLarge { limit: 1 }, 413, "RequestEntityTooLarge"),
        (Fault::LongTarget { limit: 1 }, 414, "RequestURITooLong"),
        (Fault::LargeHead { headers: 1, bytes: 1 }, 431, "RequestHeaderTooLarge"),
        (Fault::TwoLengths, 400, "InvalidRequest"),
        (Fault::MediaType { wanted: "JSON" }, 415, "UnsupportedMediaType"),
        (Fault::Conflict { rule: "r", code: "c" }, 400, "InvalidStatus.Instance"),
        (Fault::Busy, 400, "Throttling.User"),
        (Fault::NoPlace { what: "bodies" }, 400, "Throttling.User"),
        (Fault::RateLimited { again_in_s: 1 }, 400, "Throttling.User"),
        (Fault::Storage("away"), 503, "ServiceUnavailable"),
        (Fault::Internal, 500, "InternalError"),
    ]
}

#[test]
fn every_fault_and_refusal_has_a_word_of_this_vendors() {
    let error = VendorError::from(invalid("Config.AsrConfig.AsrMaxSilence", "r"));
    assert!(error.message.contains("Config.AsrConfig.AsrMaxSilence"));
    for refusal in Refusal::ALL {
        let error = VendorError::from(refusal);
        assert_eq!((error.status.as_u16(), error.code.as_str()), word_of(refusal), "{refusal:?}");
        assert!(!error.message.is_empty(), "{refusal:?}");
    }
    let mut kinds = std::collections::HashSet::new();
    for (fault, status, code) in words_of_faults() {
        assert!(kinds.insert(std::mem::discriminant(&fault)), "{fault:?} twice");
        let shown = format!("{fault:?}");
        let error = VendorError::from(fault);
        assert_eq!((error.status.as_u16(), error.code.as_str()), (status, code), "{shown}");
    }
    assert_eq!(HangupCause::ALL.len(), 32, "a new cause needs its HangupRole");
}

/// Every code that the dialect can send stands in the page's table of errors with its status, and no other code does.
#[test]
fn the_page_lists_every_code_with_its_status() {
    let page = include_str!("../../../../../docs/alibaba.md");
    let table = page.split("\n## Errors\n").nth(1).expect("a section");
    let mut listed = std::collections::BTreeSet::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let statuses: Vec<&str> = cells[2].split(", ").collect();
        for (at, code) in cells[1].split('`').skip(1).step_by(2).enumerate() {
            let status: u16 = statuses.get(at).unwrap_or(&statuses[0]).parse().expect("a status");
            listed.insert((code.to_owned(), status));
        }
    }
    let sent = |status: u16, code: &str| {
        // Of these there is one for each parameter.
        let general = ["Missing<Parameter>", "InvalidParameter.<Parameter>"];
        let of_parameter =
            general.into_iter().find(|form| code.starts_with(form.split('<').next().unwrap_or_default()));
        let exact = (code.to_owned(), status);
        if listed.contains(&exact) { exact } else { (of_parameter.unwrap_or(code).to_owned(), status) }
    };
    let mut wanted: std::collections::BTreeSet<(String, u16)> = Refusal::ALL
        .map(word_of)
        .into_iter()
        .chain(words_of_faults().into_iter().map(|(_, status, code)| (status, code)))
        .map(|(status, code)| sent(status, code))
        .collect();
    // Orders to a call, dialogues and tokens have words of their own.
    for (code, status) in [("UnsupportedOperation", 400), ("DialogueNotFound", 404), ("InvalidToken", 403)] {
        wanted.insert((code.to_owned(), status));
    }
    assert_eq!(listed, wanted, "the page, and what is sent");
    assert!(!page.contains("does not occur."), "every code on the page is sent");
}

/// Codes are written in no other file than those whose words are held against the page.
#[test]
fn codes_stand_where_the_page_is_held_against_them() {
    let page = include_str!("../../../../../docs/alibaba.md");
    for source in [
        include_str!("mod.rs"),
        include_str!("chat.rs"),
        include_str!("dialogues.rs"),
        include_str!("handover.rs"),
        include_str!("meet.rs"),
    ] {
        for said in source.split("StatusCode::").skip(1) {
            let Some((_, rest)) = said.split_once(',') else { continue };
            let Some(code) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            assert!(code.starts_with("InvalidParameter.") || page.contains(&format!("`{code}`")), "{code}");
        }
    }
}

#[test]
fn the_page_speaks_of_every_member_and_error() {
    let page = include_str!("../../../../../docs/alibaba.md");
    let schema = parsed(SCHEMA);
    let mut missing = Vec::new();
    let mut want = |name: &str| {
        if !page.contains(&format!("`{name}`")) {
            missing.push(name.to_owned());
        }
    };
    walk(&schema["types"], "AIAgentOutboundCallConfig", "", &mut |pointer, _| {
        want(&pointer[1..].replace("/0/", "[].").replace('/', "."));
    });
    for (action, about) in schema["actions"].as_object().expect("actions") {
        want(action);
        about["params"].as_object().expect("params").keys().for_each(|name| want(name));
        about["response"].as_object().expect("response").keys().for_each(|name| want(name));
    }
    for kind in ["DescribeAIAgentInstanceResponseBodyInstance", "AIAgentCallInfo"] {
        schema["types"][kind]["fields"].as_object().expect(kind).keys().for_each(|name| want(name));
    }
    let siblings = parsed(include_str!("../../../tests/fixtures/alibaba-ims-siblings.schema.json"));
    for (action, about) in siblings["actions"].as_object().expect("actions") {
        want(action);
        about["params"].as_object().expect("params").keys().for_each(|name| want(name));
        about["response"].as_object().expect("response").keys().for_each(|name| want(name));
    }
    let browsers = parsed(BROWSERS);
    for (action, about) in browsers["actions"].as_object().expect("actions") {
        want(action);
        about["params"].as_object().expect("params").keys().for_each(|name| want(name));
        about["response"].as_object().expect("response").keys().for_each(|name| want(name));
    }
    for kind in ["AIAgentConfig", "AIAgentRuntimeConfig", "AIAgentTemplateConfigVoiceChat"] {
        browsers["types"][kind]["fields"].as_object().expect(kind).keys().for_each(|name| want(name));
    }
    for (kind, about) in siblings["types"].as_object().expect("types") {
        about["fields"].as_object().expect(kind).keys().for_each(|name| want(name));
    }
    assert!(missing.is_empty(), "docs/alibaba.md does not speak of {missing:?}");
}
