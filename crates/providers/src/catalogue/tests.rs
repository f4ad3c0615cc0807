use super::*;
use crate::llm::script::FALLBACK;
use serde_json::json;

fn config(value: serde_json::Value) -> Result<VendorsConfig, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn sample() -> VendorsConfig {
    config(json!({
        "ears": {"main": {"kind": "deepgram", "url": "ws://localhost/listen", "key": "dg-secret"}},
        "brain": {
            "big": {"kind": "openai", "base_url": "http://localhost/v1", "key": "sk-secret", "model": "m"},
            "rules": {"kind": "script"},
        },
        "voice": {"a": {"kind": "openai", "rate": 22050}},
        "defaults": {"brain": "rules"},
        "fallback": {"brain": {"big": ["rules"]}},
    }))
    .expect("a good configuration")
}

#[test]
fn finds_by_name_and_by_default() {
    let catalogue = Catalogue::build(&sample(), &NoLocalParts).expect("built");
    assert_eq!(catalogue.ears("").expect("the only one").name(), "main");
    assert_eq!(catalogue.brain("").expect("the default").name(), "rules");
    assert_eq!(catalogue.brain("big").expect("by name").name(), "big");
    assert_eq!(catalogue.voice("a").expect("by name").name(), "a");
    let error = catalogue.brain("huge").err().expect("unknown").to_string();
    assert_eq!(error, r#"no brain is called "huge"; configured: big, rules"#);
    assert!(FALLBACK.ends_with('?'));
}

#[test]
fn mistakes_name_the_key() {
    let bad = |value, wanted: &str| {
        let error = config(value).expect_err("a mistake");
        assert!(error.contains(wanted), "{error}");
    };
    bad(json!({"ears": {"x": {"kind": "deepgram", "urll": ""}}}), "urll");
    bad(json!({"ears": {"x": {"kind": "whisper"}}}), "whisper");
    bad(json!({"brain": {"x": {"kind": "script", "rules": 1}}}), "rules");
    bad(json!({"voice": {"x": {"kind": "local", "modell": ""}}}), "modell");
    bad(json!({"mouth": {}}), "mouth");
    let unusable = |value, wanted: &str| {
        let config = config(value).expect("well formed");
        let error = Catalogue::build(&config, &NoLocalParts).expect_err("a mistake").to_string();
        assert!(error.contains(wanted), "{error}");
    };
    unusable(json!({"brain": {"x": {"kind": "openai", "base_url": "localhost"}}}), "brain.x: bad url");
    unusable(json!({"voice": {"x": {"kind": "openai", "rate": 1}}}), "voice.x: rate 1");
    unusable(json!({"ears": {"x": {"kind": "deepgram", "url": "http://x"}}}), "ears.x: the url must begin with ws");
    unusable(json!({"ears": {"x": {"kind": "local"}}}), "ears.x: this program has no local models");
    unusable(json!({"defaults": {"ears": "x"}}), "no ears is called \"x\"; configured: none");
    unusable(json!({"fallback": {"voice": {"x": []}}}), "no voice is called \"x\"");
    let two = config(json!({"brain": {"a": {"kind": "script"}, "b": {"kind": "script"}}})).expect("well formed");
    let catalogue = Catalogue::build(&two, &NoLocalParts).expect("built");
    let error = catalogue.brain("").err().expect("no default").to_string();
    assert_eq!(error, "defaults.brain is not set, and there is no obvious choice; configured: a, b");
}

#[test]
fn secrets_do_not_print() {
    let printed = format!("{:?} {:?}", sample(), Catalogue::build(&sample(), &NoLocalParts));
    assert!(!printed.contains("secret"), "{printed}");
}
