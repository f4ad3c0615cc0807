//! Signatures against requests captured from the vendor's SDKs, and every parameter of the two seed operations against
//! the vendor's schema.

use super::*;
use callwright_domain::agent::{Greeting, Switch, Tool};
use callwright_domain::{HangupCause, Moment, Refusal};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Map;
use std::collections::BTreeSet;

const SCHEMA: &str = include_str!("../../../tests/fixtures/tencent-ccc.schema.json");
const GOLDEN: [&str; 3] = [
    include_str!("../../../tests/golden/tencent/create_ai_agent_call_seed.json"),
    include_str!("../../../tests/golden/tencent/create_ai_agent_call_v1_hmacsha1_post.json"),
    include_str!("../../../tests/golden/tencent/node_cn_common_post.json"),
];
const BAD_SIGNATURE: &str = "AuthFailure.SignatureFailure";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is a text"))
}

fn request(method: Method, query: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).expect("name"), HeaderValue::from_str(value).expect("value"));
    }
    Request {
        method,
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
    let captured = &file["request"];
    let headers: Vec<(&str, &str)> = captured["headers"]
        .as_array()
        .expect("headers")
        .iter()
        .map(|pair| (pair[0].as_str().expect("name"), pair[1].as_str().expect("value")))
        .collect();
    let query = text_of(captured, "target").split_once('?').map_or("", |(_, query)| query);
    let method = text_of(captured, "method").parse().expect("a method");
    request(method, query, &headers, text_of(captured, "body"))
}

/// The moment at which a captured request was signed.
fn clock(request: &Request) -> Moment {
    let call = Call::of(request).expect("a call");
    let seconds: i64 = call.common("x-tc-timestamp", "Timestamp").expect("a time").parse().expect("seconds");
    Moment(seconds * 1000)
}

fn verdict(request: &Request, secret: &str, now: Moment) -> Result<(), &'static str> {
    let call = Call::of(request).map_err(|error| error.code)?;
    auth::claim(&call).and_then(|claim| claim.check(secret, now)).map_err(|error| error.code)
}

#[test]
fn captured_requests_verify_and_say_what_they_meant() {
    for file in GOLDEN.map(parsed) {
        let name = text_of(&file, "case").to_owned();
        let request = golden_request(&file);
        assert!(DIALECT.claims(&request), "{name}");
        let secret = text_of(&file["credentials"], "secret_key");
        assert_eq!(verdict(&request, secret, clock(&request)), Ok(()), "{name}");
        let call = Call::of(&request).expect("a call");
        assert_eq!(call.common("x-tc-action", "Action"), Some(text_of(&file, "action")), "{name}");
        assert_eq!(call.common("x-tc-version", "Version"), Some(VERSION), "{name}");
        let given = call.parameters().expect("parameters");
        let expected = file["sdk_params"].as_object().expect("parameters");
        assert_eq!(given.keys().collect::<BTreeSet<_>>(), expected.keys().collect::<BTreeSet<_>>(), "{name}");
        let fields = Fields::top(&given);
        assert_eq!(fields.whole("SdkAppId", 0..=i64::MAX), Ok(Some(1_400_000_000)), "{name}");
        assert_eq!(fields.whole("AIAgentId", 0..=i64::MAX), Ok(Some(15)), "{name}");
        start::common(&fields).expect("acceptable");
    }
}

#[test]
fn another_secret_or_one_changed_byte_does_not_verify() {
    for file in GOLDEN.map(parsed) {
        let original = golden_request(&file);
        let now = clock(&original);
        assert_eq!(verdict(&original, "testKeyX", now), Err(BAD_SIGNATURE));
        for at in [0, original.body.len() / 2, original.body.len() - 1] {
            let mut changed = golden_request(&file);
            let mut body = changed.body.to_vec();
            body[at] ^= 1;
            changed.body = body.into();
            assert!(verdict(&changed, "testKey", now).is_err(), "byte {at} of {}", text_of(&file, "case"));
        }
        let mut host = golden_request(&file);
        host.headers.insert("host", HeaderValue::from_static("other:1"));
        assert_eq!(verdict(&host, "testKey", now), Err(BAD_SIGNATURE));
    }
}

#[test]
fn times_are_checked_on_both_sides_and_after_the_signature() {
    for file in GOLDEN.map(parsed) {
        let request = golden_request(&file);
        let at = |seconds: i64| verdict(&request, "testKey", Moment(clock(&request).millis() + seconds * 1000));
        assert_eq!(at(300), Ok(()));
        assert_eq!(at(-300), Ok(()));
        assert_eq!(at(301), Err("AuthFailure.SignatureExpire"));
        assert_eq!(at(-301), Err("AuthFailure.SignatureExpire"));
        let forged = verdict(&request, "testKeyX", Moment(0));
        assert_eq!(forged, Err(BAD_SIGNATURE), "a forger learns nothing about clocks");
    }
}

/// The vendor's own example of its newer scheme, with headers in the form that its console signs.
#[test]
fn the_vendors_published_example_verifies() {
    let body = r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
    let signature = "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f";
    let authorization = format!(
        "TC3-HMAC-SHA256 Credential=AKID/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host;x-tc-action, \
         Signature={signature}"
    );
    let headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("host", "cvm.tencentcloudapi.com"),
        ("x-tc-action", "DescribeInstances"),
        ("x-tc-timestamp", "1551113065"),
        ("authorization", authorization.as_str()),
    ];
    let example = request(Method::POST, "", &headers, body);
    let (secret, now) = ("*".repeat(32), Moment(1_551_113_065_000));
    assert_eq!(verdict(&example, &secret, now), Ok(()));
    let mut action = request(Method::POST, "", &headers, body);
    action.headers.insert("x-tc-action", HeaderValue::from_static("RunInstances"));
    assert_eq!(verdict(&action, &secret, now), Err(BAD_SIGNATURE), "the action is signed here");
}

/// Signs like the vendor's SDKs, for what was not captured.
fn tc3(method: &str, query: &str, host: &str, payload: &str, date: &str) -> String {
    let hash = crate::sign::sha256_hex(payload.as_bytes());
    let kind = if method == "GET" { "application/x-www-form-urlencoded" } else { "application/json" };
    let canonical = format!("{method}\n/\n{query}\ncontent-type:{kind}\nhost:{host}\n\ncontent-type;host\n{hash}");
    let scope = format!("{date}/ccc/tc3_request");
    let text = format!("TC3-HMAC-SHA256\n1795227842\n{scope}\n{}", crate::sign::sha256_hex(canonical.as_bytes()));
    let key = crate::sign::hmac_sha256(b"TC3testKey", date.as_bytes());
    let key = crate::sign::hmac_sha256(&crate::sign::hmac_sha256(&key, b"ccc"), b"tc3_request");
    let signature = hex::encode(crate::sign::hmac_sha256(&key, text.as_bytes()));
    format!("TC3-HMAC-SHA256 Credential=testId/{scope}, SignedHeaders=content-type;host, Signature={signature}")
}

#[test]
fn queries_unsigned_bodies_and_the_scopes_day() {
    let now = Moment(1_795_227_842_000);
    let query = "Callers.0=1&SdkAppId=1400000000&Name=%E6%9D%AD+x";
    let signed = |method: Method, body: &str, payload: &str, host: &str, date: &str| {
        let query = if method == Method::GET { query } else { "" };
        let kind = if method == Method::GET { "application/x-www-form-urlencoded" } else { "application/json" };
        let authorization = tc3(method.as_str(), query, host, payload, date);
        let headers = [
            ("content-type", kind),
            ("host", "h:81"),
            ("x-tc-timestamp", "1795227842"),
            ("authorization", authorization.as_str()),
        ];
        request(method, query, &headers, body)
    };
    let get = signed(Method::GET, "", "", "h:81", "2026-11-21");
    assert_eq!(verdict(&get, "testKey", now), Ok(()));
    let parameters = Call::of(&get).and_then(|call| call.parameters()).expect("parameters");
    assert_eq!(Value::Object(parameters), json!({"Callers": ["1"], "SdkAppId": "1400000000", "Name": "杭 x"}));
    let without_port = signed(Method::POST, "{}", "{}", "h", "2026-11-21");
    assert_eq!(verdict(&without_port, "testKey", now), Ok(()));
    let mut unsigned = signed(Method::POST, "{}", "UNSIGNED-PAYLOAD", "h:81", "2026-11-21");
    assert_eq!(verdict(&unsigned, "testKey", now), Err(BAD_SIGNATURE), "it must be said");
    unsigned.headers.insert("x-tc-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    assert_eq!(verdict(&unsigned, "testKey", now), Ok(()));
    // Another body in the same second has the same signature, and is another request all the same.
    let mark = |request: &Request| {
        let claim = Call::of(request).and_then(|call| auth::claim(&call)).map_err(|error| error.code);
        claim.expect("a claim").mark
    };
    let first = mark(&unsigned);
    assert_eq!(first, mark(&unsigned));
    unsigned.body = bytes::Bytes::from_static(b"{\"a\": 1}");
    assert_ne!(first, mark(&unsigned));
    let yesterday = signed(Method::POST, "{}", "{}", "h:81", "2026-11-20");
    assert_eq!(verdict(&yesterday, "testKey", now), Err(BAD_SIGNATURE));
}

#[test]
fn claims_that_are_none() {
    let claim = |authorization: &str| {
        let headers = [("x-tc-action", "CreateAIAgentCall"), ("authorization", authorization), ("x-tc-timestamp", "1")];
        verdict(&request(Method::POST, "", &headers, "{}"), "k", Moment(0)).expect_err("no claim")
    };
    for bad in [
        "SKIP",
        "TC3-HMAC-SHA256",
        "TC3-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
        "TC3-HMAC-SHA256 Credential=a/b/c, SignedHeaders=content-type;host, Signature=00",
        "TC3-HMAC-SHA256 Credential=a/b/c/tc3_request, SignedHeaders=host, Signature=00",
        "TC3-HMAC-SHA256 Credential=a/b/c/tc3_request, SignedHeaders=content-type;host;absent, Signature=00",
        "ACS3-HMAC-SHA256 Credential=a",
    ] {
        assert_eq!(claim(bad), "AuthFailure.InvalidAuthorization", "{bad}");
    }
    let none = request(Method::POST, "", &[("x-tc-action", "CreateAIAgentCall")], "{}");
    assert_eq!(verdict(&none, "k", Moment(0)), Err("MissingParameter"));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let older = |body: &str| verdict(&request(Method::POST, "", &[form], body), "k", Moment(0));
    assert_eq!(older("Action=a&SecretId=b&Timestamp=1&Nonce=1"), Err("MissingParameter"));
    assert_eq!(older("SecretId=b&Timestamp=1&Nonce=1&Signature=x&SignatureMethod=MD5"), Err("InvalidParameterValue"));
    assert_eq!(older("SecretId=b&Timestamp=1&Nonce=1&Signature=x"), Err(BAD_SIGNATURE));
}

#[test]
fn requests_of_others_are_not_claimed() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (method, query, headers, body, ours) in [
        (Method::POST, "", vec![("x-acs-action", "StartAIAgentOutboundCall")], "", false),
        (Method::POST, "Action=A&Signature=s&SignatureNonce=n&AccessKeyId=k", vec![], "", false),
        (Method::GET, "Action=A&SecretId=s&Signature=x", vec![], "", true),
        (Method::POST, "Action=A&SecretId=s&Signature=x", vec![form], "", false),
        (Method::POST, "", vec![form], "SecretId=s&Action=A", true),
        // Who lacks a sign is told which by the vendor whose version it names.
        (Method::POST, "", vec![form], "Action=A&Version=2020-02-10", true),
        (Method::GET, "Action=A&Version=2020-02-10&Signature=x", vec![], "", true),
        (Method::GET, "Action=A&Version=2020-11-09&Signature=x", vec![], "", false),
        (Method::POST, "", vec![("authorization", "TC3-HMAC-SHA256 x")], "", true),
        (Method::POST, "", vec![("host", "ccc.example.test")], "", true),
        (Method::POST, "", vec![("authorization", "Bearer x")], "{}", false),
    ] {
        assert_eq!(DIALECT.claims(&request(method, query, &headers, body)), ours, "{query} {headers:?} {body}");
    }
    let mut elsewhere = request(Method::POST, "", &[("x-tc-action", "A")], "");
    elsewhere.path = String::from("/v1/calls");
    assert!(!DIALECT.claims(&elsewhere));
}

#[test]
fn flattened_parameters_are_the_same_as_json() {
    let read = |body: &str| {
        let form = ("content-type", "application/x-www-form-urlencoded");
        Call::of(&request(Method::POST, "", &[form], body)).and_then(|call| call.parameters())
    };
    let body = "SecretId=x&Action=y&Callers.0=1&Callers.1=2&Variables.1.Key=b&Variables.0.Key=a&Variables.0.Value=v\
                &ToneWord.ZHToneWords.Neutral.0=uh&EndFunctionEnable=True";
    let wanted = json!({"Callers": ["1", "2"], "Variables": [{"Key": "a", "Value": "v"}, {"Key": "b"}],
        "ToneWord": {"ZHToneWords": {"Neutral": ["uh"]}}, "EndFunctionEnable": "True"});
    assert_eq!(read(body).map(Value::Object), Ok(wanted));
    for bad in ["A=1&A.0=2", "A.0=2&A=1", "A=1&A=1", "a.b.c.d.e.f.g.h.i.j=1"] {
        assert_eq!(read(bad).map_err(|error| error.code), Err("UnknownParameter"), "{bad}");
    }
}

/// What every description of an agent must have.
fn least() -> Map<String, Value> {
    let value = json!({"LLMType": "openai", "APIKey": "k", "APIUrl": "https://llm.example.test/v1"});
    value.as_object().expect("an object").clone()
}

fn described(more: &[(&str, Value)]) -> Result<AgentProfile, VendorError> {
    let mut parameters = least();
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    agent::profile(&Fields::top(&parameters))
}

fn asked_for(more: &[(&str, Value)]) -> Result<start::Common, VendorError> {
    let mut parameters = json!({"Callee": "008612300000000"}).as_object().expect("an object").clone();
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    start::common(&Fields::top(&parameters))
}

/// Where each parameter of CreateAICall stands: what has an effect, with a value that must make a difference and one or
/// more that must be refused by the parameter's name.
fn effects() -> Vec<(&'static str, Value, Vec<Value>)> {
    vec![
        ("EnableVoicemailDetection", json!(true), vec![json!("x"), json!(7)]),
        ("LLMType", json!("Azure"), vec![json!("gemini"), json!(7)]),
        ("APIKey", json!("other"), vec![json!("a\nb"), json!(7)]),
        ("APIUrl", json!("http://other.example.test"), vec![json!("ftp://x"), json!("a b"), json!(1)]),
        ("Model", json!("gpt-4o-mini"), vec![json!(1), json!("a\r\nb")]),
        ("SystemPrompt", json!("Be kind."), vec![json!(1)]),
        ("Temperature", json!("0.1"), vec![json!(2.5), json!("x"), json!(true)]),
        ("TopP", json!(0.8), vec![json!(1.5), json!([])]),
        ("LLMExtraBody", json!("{\"seed\":1}"), vec![json!("{"), json!("[1]"), json!({})]),
        ("VoiceType", json!("ZhiQi"), vec![json!("Nobody"), json!(1)]),
        (
            "CustomTTSConfig",
            json!("{\"TTSType\":\"custom\",\"APIKey\":\"k\",\"APIUrl\":\"https://tts.example.test/say\"}"),
            vec![json!("{\"TTSType\":\"azure\"}"), json!("{"), json!({}), json!("{\"TTSType\":\"x\"}")],
        ),
        ("WelcomeMessage", json!("Hello"), vec![json!(1)]),
        ("WelcomeType", json!(1), vec![json!(2), json!("x")]),
        ("WelcomeMessagePriority", json!(2), vec![json!(1), json!(3)]),
        ("MaxDuration", json!(30_000), vec![json!(0), json!(-1), json!("x"), json!(1.5)]),
        ("MaxCallDurationMs", json!(60_000), vec![json!(0), json!(-1)]),
        ("NotifyDuration", json!(20_000), vec![json!(9999), json!("x")]),
        ("NotifyMessage", json!("Still there?"), vec![json!(1)]),
        ("NotifyMaxCount", json!(1), vec![json!(-1), json!("x")]),
        ("Languages", json!(["en", "zh"]), vec![json!(["xx"]), json!("en"), json!(["en", "zh", "ja", "ko", "id"])]),
        ("InterruptMode", json!(1), vec![json!(2)]),
        ("InterruptSpeechDuration", json!(300), vec![json!(-1), json!(100_000)]),
        ("VadSilenceTime", json!(500), vec![json!(239), json!(2001)]),
        ("VadLevel", json!(3), vec![json!(4), json!(-1)]),
        ("EndFunctionEnable", json!("True"), vec![json!("yes"), json!(1)]),
        (
            "ToneWord",
            json!({"FirstSentenceTimeout": 0.4, "ZHToneWords": {"Neutral": ["uh"]}}),
            vec![
                json!(1),
                json!({"FirstSentenceTimeout": "x"}),
                json!({"ZHToneWords": {"Neutral": "uh"}}),
                json!({"Other": 1}),
            ],
        ),
        ("EnableComplianceAudio", json!(false), vec![json!("no")]),
        (
            "ExtractConfig",
            json!([{"InfoType": "Selector", "InfoName": "size", "Choices": ["S", "L"]}]),
            vec![
                json!("x"),
                json!([{"InfoName": "n"}]),
                json!([{"InfoType": "Text"}]),
                json!([{"InfoType": "Date", "InfoName": "n"}]),
                json!([{"InfoType": "Selector", "InfoName": "n"}]),
                json!([{"InfoType": "Text", "InfoName": "n"}, {"InfoType": "Text", "InfoName": "n"}]),
                json!([{"InfoType": "Text", "InfoName": "n", "Other": 1}]),
            ],
        ),
        ("AmbientSoundType", json!("busy_office"), vec![json!("beach"), json!(1)]),
    ]
}

/// Named values.
type Named = Vec<(&'static str, Value)>;

/// A list with one function that hands over.
fn transfers(name: &str) -> Value {
    json!([{"TransferFunctionName": name, "TransferFunctionDesc": "A person is wanted.", "TransferSkillGroupId": 7}])
}

/// A list with one function that lets another agent go on.
fn successors(name: &str) -> Value {
    json!([{"TransferToAgentName": name, "TransferToAgentDesc": "Sales.", "TransferToAgentId": 8}])
}

/// Parameters that have their effect beside another one.
fn companions() -> Vec<(&'static str, Named, Value)> {
    vec![
        ("EndFunctionDesc", vec![("EndFunctionEnable", json!(true))], json!("When they say bye.")),
        (
            "TransferItems",
            vec![("TransferFunctionEnable", json!(true)), ("TransferItems", transfers("one"))],
            transfers("two"),
        ),
        ("TransferFunctionEnable", vec![("TransferItems", transfers("one"))], json!(true)),
        (
            "TransferToAgentItems",
            vec![("TransferToAgentEnable", json!(true)), ("TransferToAgentItems", successors("one"))],
            successors("two"),
        ),
        ("TransferToAgentEnable", vec![("TransferToAgentItems", successors("one"))], json!(true)),
        ("AmbientSoundVolume", vec![("AmbientSoundType", json!("coffee_shops"))], json!(2)),
    ]
}

/// Parameters of both operations.
fn commons() -> Vec<(&'static str, Value, Vec<Value>)> {
    let pair = |key: &str| json!([{"Key": key, "Value": "v"}]);
    vec![
        ("Callee", json!("008613012345678"), vec![json!("x"), json!(1), json!("")]),
        ("Callers", json!(["008601012345678"]), vec![json!("x"), json!(["x"]), json!([1])]),
        ("Variables", pair("foo"), vec![json!("x"), json!([{"Key": "a"}]), json!([{"Key": "", "Value": "v"}])]),
        ("PromptVariables", pair("foo"), vec![json!([1])]),
        ("MaxRingTimeoutSecond", json!(15), vec![json!(0), json!("x")]),
        ("AcquireTimeoutSecond", json!(0), vec![json!(6), json!(-1)]),
    ]
}

/// Refused by their name when they ask for something.
fn refused() -> Vec<(&'static str, Value)> {
    vec![("CustomSTTConfig", json!("{\"STTType\":\"x\"}"))]
}

/// Without effect with the vendor, too: what they belong to is refused or off.
const WITHOUT_EFFECT: [&str; 1] = ["VoicemailAction"];
/// Read by what is before every operation, or looked up.
const ELSEWHERE: [&str; 2] = ["SdkAppId", "AIAgentId"];

#[test]
fn every_parameter_of_the_schema_has_its_place() {
    let schema = parsed(SCHEMA);
    let mut placed: BTreeSet<String> = ELSEWHERE.iter().chain(&WITHOUT_EFFECT).map(|name| (*name).to_owned()).collect();
    placed.extend(effects().into_iter().chain(commons()).map(|(name, ..)| name.to_owned()));
    placed.extend(companions().into_iter().map(|(name, ..)| name.to_owned()));
    placed.extend(refused().into_iter().map(|(name, _)| name.to_owned()));
    for action in ["CreateAIAgentCall", "CreateAICall"] {
        for name in schema["actions"][action]["params"].as_object().expect("params").keys() {
            assert!(placed.contains(name), "{action}.{name} has no place");
            let known = agent::PARAMETERS.contains(&name.as_str()) || start::COMMON.contains(&name.as_str());
            assert!(known || ELSEWHERE.contains(&name.as_str()), "{name} would be refused as unknown");
        }
    }
}

#[test]
fn every_parameter_makes_a_difference_and_wrong_ones_are_named() {
    let plain = described(&[]).expect("acceptable");
    for (name, value, wrong) in effects() {
        assert_ne!(described(&[(name, value.clone())]).expect(name), plain, "{name} = {value}");
        for value in wrong {
            let error = described(&[(name, value.clone())]).expect_err(name);
            assert!(error.message.contains(name), "{name} = {value}: {}", error.message);
            let codes = ["InvalidParameter", "InvalidParameterValue", "MissingParameter", "UnknownParameter"];
            assert!(codes.contains(&error.code), "{name}: {}", error.code);
        }
    }
    for (name, beside, value) in companions() {
        let without = described(&beside).expect(name);
        let with = described(&[beside, vec![(name, value)]].concat()).expect(name);
        assert_ne!(with, without, "{name}");
    }
    let plain = asked_for(&[]).expect("acceptable");
    for (name, value, wrong) in commons() {
        assert_ne!(asked_for(&[(name, value)]).expect(name), plain, "{name}");
        for value in wrong {
            let error = asked_for(&[(name, value.clone())]).expect_err(name);
            assert!(error.message.contains(name), "{name} = {value}: {}", error.message);
        }
    }
    assert_eq!(refused().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["CustomSTTConfig"]);
    for (name, value) in refused() {
        let error = described(&[(name, value)]).expect_err(name);
        assert_eq!(error.code, "UnsupportedOperation");
        assert!(error.message.contains(name), "{}", error.message);
    }
    assert!(described(&[("VoicemailAction", json!(1))]).expect_err("only 0").message.contains("VoicemailAction"));
    for name in WITHOUT_EFFECT {
        assert_eq!(described(&[(name, json!(0))]).expect(name), described(&[]).expect("acceptable"), "{name}");
    }
}

#[test]
fn functions_that_hand_over_are_tools_that_lead_to_desks() {
    let on = |items: Value| described(&[("TransferFunctionEnable", json!(true)), ("TransferItems", items)]);
    let agent = on(transfers("to_a_person")).expect("acceptable");
    let wanted =
        |tool: &Tool| matches!(tool, Tool::Transfer { name, to, .. } if name == "to_a_person" && to == "desk:7");
    assert!(wanted(&agent.tools[0]) && agent.tools.len() == 1, "{:?}", agent.tools);
    let item = |name: Value, group: Value| json!([{"TransferFunctionName": name, "TransferFunctionDesc": "x", "TransferSkillGroupId": group}]);
    let two = json!([transfers("same")[0], transfers("same")[0]]);
    for (items, named) in [
        (json!([]), "TransferItems"),
        (json!("x"), "TransferItems"),
        (item(json!("a b"), json!(7)), "TransferItems.0.TransferFunctionName"),
        (item(json!(""), json!(7)), "TransferItems.0.TransferFunctionName"),
        (item(json!("a"), json!("sales")), "TransferItems.0.TransferSkillGroupId"),
        (item(json!("a"), json!(-1)), "TransferItems.0.TransferSkillGroupId"),
        (json!([{"TransferFunctionName": "a", "TransferFunctionDesc": "x"}]), "TransferItems.0.TransferSkillGroupId"),
        (json!([{"TransferFunctionName": "a", "TransferSkillGroupId": 7}]), "TransferItems.0.TransferFunctionDesc"),
        (two, "TransferItems.1.TransferFunctionName"),
    ] {
        let error = on(items.clone()).expect_err(named);
        assert!(error.message.contains(named), "{items}: {}", error.message);
    }
    assert!(
        described(&[("TransferFunctionEnable", json!(true))]).expect_err("no list").message.contains("TransferItems")
    );
}

#[test]
fn functions_that_change_the_agent_are_tools_that_name_one() {
    let on = |items: Value| described(&[("TransferToAgentEnable", json!("true")), ("TransferToAgentItems", items)]);
    let agent = on(successors("to_sales")).expect("acceptable");
    let wanted = |tool: &Tool| matches!(tool, Tool::ChangeAgent { name, agent, .. } if name == "to_sales" && agent.as_str() == "8");
    assert!(wanted(&agent.tools[0]) && agent.tools.len() == 1, "{:?}", agent.tools);
    let item = |name: Value, number: Value| json!([{"TransferToAgentName": name, "TransferToAgentDesc": "x", "TransferToAgentId": number}]);
    for (items, named) in [
        (json!([]), "TransferToAgentItems"),
        (item(json!("a b"), json!(8)), "TransferToAgentItems.0.TransferToAgentName"),
        (item(json!("a"), json!("sales")), "TransferToAgentItems.0.TransferToAgentId"),
        (json!([{"TransferToAgentName": "a", "TransferToAgentDesc": "x"}]), "TransferToAgentItems.0.TransferToAgentId"),
        (json!([{"TransferToAgentName": "a", "TransferToAgentId": 8}]), "TransferToAgentItems.0.TransferToAgentDesc"),
    ] {
        let error = on(items.clone()).expect_err(named);
        assert!(error.message.contains(named), "{items}: {}", error.message);
    }
    let both = described(&[
        ("TransferFunctionEnable", json!(true)),
        ("TransferItems", transfers("same")),
        ("TransferToAgentEnable", json!(true)),
        ("TransferToAgentItems", successors("same")),
    ]);
    assert!(both.expect_err("one name").message.contains("TransferToAgentItems.0.TransferToAgentName"));
}

#[test]
fn an_agent_is_what_its_parameters_say() {
    let agent = described(&[
        ("WelcomeMessage", json!("您好 ${name}, {{x}}")),
        ("SystemPrompt", json!("Call ${客户}.")),
        ("WelcomeMessagePriority", json!("2")),
        ("MaxDuration", json!(45_000)),
        ("MaxCallDurationMs", json!(1500)),
        ("NotifyDuration", json!(12_000)),
        ("NotifyMaxCount", json!(2)),
        ("Languages", json!(["en", "zh"])),
        ("InterruptMode", json!(1)),
        ("EndFunctionEnable", json!(true)),
        ("EndFunctionDesc", json!("Bye.")),
        ("LLMExtraBody", json!("{\"seed\":1}")),
        ("ToneWord", json!({"FirstSentenceTimeout": 0.4, "ZHToneWords": {"Negative": ["oh"]}})),
        ("AmbientSoundType", json!("coffee_shops")),
    ])
    .expect("acceptable");
    assert_eq!(agent.opening.greeting, Greeting::Text(r#"您好 {{ name }}, {{ "\u007b" }}{x}}"#.to_owned()));
    assert_eq!(agent.brain.system_prompt, "Call {{ x__e5aea2e688b7 }}.");
    assert_eq!(agent::variable_shown("x__e5aea2e688b7"), "客户");
    assert_eq!((agent.opening.interruptible, agent.opening.tone), (Switch::Off, Switch::On));
    assert_eq!((agent.idle.hang_up_after_ms, agent.limits.max_duration_s), (45_000, 2));
    assert_eq!((agent.idle.remind_after_ms, agent.idle.max_reminders, agent.idle.leave), (12_000, 2, Switch::Off));
    assert_eq!((agent.language.as_str(), agent.interrupt.by_voice), ("en", Switch::Off));
    assert!(
        matches!(&agent.tools[..], [Tool::EndCall { name, description }] if name == "call_end" && description == "Bye.")
    );
    assert_eq!(agent.brain.params["seed"], json!(1));
    assert_eq!((agent.filler.after_ms, agent.filler.texts[0].text.as_str()), (400, "oh"));
    assert_eq!((agent.ambient.sound.as_str(), agent.ambient.volume), ("cafe", 50));
    let endpoint = agent.brain.endpoint.expect("its own model");
    assert_eq!((endpoint.kind.as_str(), endpoint.key.expose().as_str()), ("openai", "k"));
}

#[test]
fn an_agent_file_is_the_parameters_without_the_call() {
    let mut file = Value::Object(least());
    file["AIAgentName"] = json!("Desk");
    let agent = DIALECT.agent(&file).expect("the dialect has files").expect("acceptable");
    assert_eq!(agent.name, "Desk");
    file["Callee"] = json!("1");
    assert!(DIALECT.agent(&file).expect("files").is_err());
}

#[test]
fn variables_reach_prompts_and_dify() {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect::<Vec<_>>()
    };
    let asked = asked_for(&[
        ("PromptVariables", json!(pairs(&[("a", "old"), ("b", "kept")]))),
        (
            "Variables",
            json!(pairs(&[
                ("a", "new"),
                ("welcome-message-delay", "1.5"),
                ("dify-inputs-city", "Bonn"),
                ("dify-inputs-user", "u1"),
                ("客户", "Li")
            ])),
        ),
    ])
    .expect("acceptable");
    let shown = format!("{asked:?}");
    for wanted in [r#""a": "new""#, r#""b": "kept""#, r#""x__e5aea2e688b7": "Li""#, "Some(1500)", "Bonn", "u1"] {
        assert!(shown.contains(wanted), "{wanted} is not in {shown}");
    }
    assert!(!shown.contains("welcome-"), "{shown}");
    assert!(asked_for(&[("Variables", json!(pairs(&[("welcome-message-delay", "soon")])))]).is_err());
}

#[test]
fn every_fault_refusal_and_cause_has_a_word_of_this_vendors() {
    for (refusal, code) in [
        (Refusal::UnknownAgent, "InvalidParameterValue"),
        (Refusal::CallerNotOwned, "FailedOperation.NoCallOutNumber"),
        (Refusal::NoCallerNumber, "FailedOperation.NoCallOutNumber"),
        (Refusal::CallerBusy, "FailedOperation.CallerOverFrequency"),
        (Refusal::NoTrunk, "FailedOperation.CallOutFailed"),
        (Refusal::AccountBusy, "FailedOperation.AcquireQuota"),
        (Refusal::CalleeBlocked, "FailedOperation.CalleeIsBlackUser"),
        (Refusal::RegionBlocked, "FailedOperation.CalloutRuleBlindArea"),
        (Refusal::OutsideCallingHours, "FailedOperation.CalloutRuleNotWorkTime"),
        (Refusal::CalleeTooOften, "FailedOperation.CalloutRuleMaxCallCountCalleeIntervalTime"),
        (Refusal::CalleeDailyLimit, "FailedOperation.CalloutRuleMaxCallCountCalleePerDayAppID"),
        (Refusal::PlanExpired, "LimitExceeded.BasePackageExpired"),
    ] {
        assert_eq!(VendorError::from(refusal).code, code);
    }
    assert_eq!(HangupCause::ALL.len(), 32, "a new cause needs its EndStatus, its reason and its side");
}

#[test]
fn every_operation_of_the_schema_is_known() {
    let schema = parsed(SCHEMA);
    let ours: BTreeSet<&str> = ACTIONS.iter().map(|row| row.name).chain(OTHERS).collect();
    let theirs: BTreeSet<&str> = schema["actions"].as_object().expect("actions").keys().map(String::as_str).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn the_page_speaks_of_every_operation_parameter_and_error() {
    let page = include_str!("../../../../../docs/tencent.md");
    let schema = parsed(SCHEMA);
    let mut missing = Vec::new();
    let mut want = |name: &str| {
        if !page.contains(&format!("`{name}`")) {
            missing.push(name.to_owned());
        }
    };
    schema["actions"].as_object().expect("actions").keys().for_each(|name| want(name));
    for row in &ACTIONS {
        let about = &schema["actions"][row.name];
        about["params"].as_object().expect("params").keys().for_each(|name| want(name));
    }
    assert!(missing.is_empty(), "docs/tencent.md does not speak of {missing:?}");
    let section =
        page.split("### `CreateAICall`").nth(1).and_then(|rest| rest.split("### ").next()).expect("a section");
    let state = |name: &str| {
        let row = section.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        row.and_then(|row| row.split('|').nth(2)).unwrap_or_else(|| panic!("{name} has no row")).trim()
    };
    let works = effects().into_iter().chain(commons()).map(|(name, ..)| name);
    for name in works.chain(companions().into_iter().map(|(name, ..)| name)) {
        assert!(["*works*", "*accepted, differs*"].contains(&state(name)), "{name}");
    }
    refused().iter().for_each(|(name, _)| assert_eq!(state(name), "*refused*", "{name}"));
    WITHOUT_EFFECT.iter().for_each(|name| assert_eq!(state(name), "*ignored by the vendor too*", "{name}"));
}

#[test]
fn the_page_speaks_of_every_word_for_a_refusal() {
    let page = include_str!("../../../../../docs/tencent.md");
    for refusal in Refusal::ALL {
        let code = VendorError::from(refusal).code;
        assert!(page.contains(&format!("`{code}`")), "docs/tencent.md does not speak of {code}");
    }
}
