//! Where each parameter of the operations that make a call stands, against the vendor's schema and our page.

use super::agent;
use super::fields::Fields;
use super::start;
use crate::places::Place::{Effect, Ignored, Refused};
use crate::places::{Operation, Place, check};
use serde_json::{Map, Value, json};

const SCHEMA: &str = include_str!("../../../tests/fixtures/tencent-ccc.schema.json");
const PAGE: &str = include_str!("../../../../../docs/tencent.md");
/// Where the tests are that are named here.
const SOURCES: [&str; 4] = [
    include_str!("tests.rs"),
    include_str!("../../../tests/door/tencent.rs"),
    include_str!("../../../tests/door/tencent_rules.rs"),
    include_str!("../../../tests/door/tencent_tasks.rs"),
];

/// Shown by the agent that a request describes, with values that must make a difference and values that must be named.
const DESCRIBED: &str = "every_parameter_makes_a_difference_and_wrong_ones_are_named";
/// Shown by the call that a request over HTTP makes.
const REACHES: &str = "every_parameter_of_a_request_reaches_the_call";
const VOICE: &str = "a_voice_of_ones_own_reaches_its_call_and_its_key_shows_nowhere";
const PLACE: &str = "a_place_is_waited_for_as_long_as_the_request_says";

/// Parameters of both operations.
fn common() -> Vec<(&'static str, Place)> {
    vec![
        ("SdkAppId", Effect("what_is_refused_before_any_rule")),
        ("Callee", Effect(REACHES)),
        ("Callers", Effect("callers_are_tried_in_their_order")),
        ("Variables", Effect(REACHES)),
        ("PromptVariables", Effect(REACHES)),
        ("MaxRingTimeoutSecond", Effect(REACHES)),
        ("AcquireTimeoutSecond", Effect(PLACE)),
    ]
}

/// Parameters of an agent that are refused, and those that nothing switches on.
const REFUSED: [&str; 1] = ["CustomSTTConfig"];
const IGNORED: [&str; 1] = ["VoicemailAction"];

fn described() -> Vec<(&'static str, Place)> {
    let place = |name: &&'static str| match *name {
        name if REFUSED.contains(&name) => (name, Refused(DESCRIBED)),
        name if IGNORED.contains(&name) => (name, Ignored),
        "CustomTTSConfig" => ("CustomTTSConfig", Effect(VOICE)),
        name => (name, Effect(REACHES)),
    };
    agent::PARAMETERS.iter().map(place).collect()
}

fn of_a_task() -> Vec<(&'static str, Place)> {
    let (shown, named) = ("every_parameter_of_a_task_has_its_effect", "what_a_task_cannot_be_is_named_and_makes_none");
    let works =
        super::tasks::PARAMETERS.iter().filter(|name| !["IvrId", "RetryTags", "TriggerStrategy"].contains(name));
    let mut places: Vec<(&str, Place)> = works.map(|name| (*name, Effect(shown))).collect();
    places.extend(["IvrId", "RetryTags", "TriggerStrategy"].map(|name| (name, Refused(named))));
    places.push(("SdkAppId", Effect("what_is_refused_before_any_rule")));
    places
}

fn operation<'a>(schema: &Value, name: &'a str, places: Vec<(&'static str, Place)>) -> Operation<'a> {
    let parameters = schema["actions"][name]["params"].as_object().expect("parameters");
    let heading = format!("### `{name}`");
    let page = PAGE.split(&heading).nth(1).and_then(|rest| rest.split("### ").next()).expect("a section");
    Operation { name, parameters: parameters.keys().cloned().collect(), places, page }
}

#[test]
fn every_parameter_stands_in_one_place() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let stored = [common(), vec![("AIAgentId", Effect("a_call_is_made_read_and_told_to_end"))]].concat();
    check(&operation(&schema, "CreateAIAgentCall", stored), &SOURCES);
    check(&operation(&schema, "CreateAICall", [common(), described()].concat()), &SOURCES);
    check(&operation(&schema, "CreateAutoCalloutTask", of_a_task()), &SOURCES);
}

/// A value of one of the schema's types with all of its members, as the vendor's examples have them.
fn example(schema: &Value, kind: &str) -> Value {
    if let Some(inner) = kind.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return json!([example(schema, inner)]);
    }
    match kind {
        "string" => json!("x"),
        "bool" => json!(true),
        "float" => json!(0.5),
        "int64" | "uint64" => json!(1),
        named => {
            let members = schema["types"][named].as_object().unwrap_or_else(|| panic!("{named} is no type"));
            let shown = members.iter().map(|(name, about)| {
                let chosen = about["enum"][0].clone();
                let value =
                    if chosen.is_null() { example(schema, about["type"].as_str().expect("a type")) } else { chosen };
                (name.clone(), value)
            });
            Value::Object(shown.collect())
        }
    }
}

/// No member that the vendor lists is unknown here, at any depth.
#[test]
fn members_of_parameters_are_known_at_every_depth() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let mut seen = 0;
    for action in ["CreateAIAgentCall", "CreateAICall"] {
        for (name, about) in schema["actions"][action]["params"].as_object().expect("parameters") {
            let kind = about["type"].as_str().expect("a type");
            let inner = kind.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(kind);
            if schema["types"][inner].is_null() {
                continue;
            }
            seen += 1;
            let least = json!({"Callee": "008612300000000", "LLMType": "openai", "APIKey": "k",
                "APIUrl": "https://llm.example.test/v1", name: example(&schema, kind)});
            let members: Map<String, Value> = least.as_object().expect("an object").clone();
            let fields = Fields::top(&members);
            let outcome = [agent::profile(&fields).err(), start::common(&fields).err()];
            for error in outcome.into_iter().flatten() {
                assert_ne!(error.code, "UnknownParameter", "{action}.{name}: {}", error.message);
            }
        }
    }
    assert!(seen >= 5, "{seen} parameters have members");
}
