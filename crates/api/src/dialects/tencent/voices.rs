//! CustomTTSConfig: a synthesiser of the user's own, by its `TTSType`. Every member is read and given its effect, or refused
//! by its whole name. What comes out is an endpoint in our words; nothing is asked of the service here.

use super::fields::Fields;
use super::words::VendorError;
use callwright_domain::Pii;
use callwright_domain::agent::{Endpoint, VoiceSettings};
use std::collections::BTreeMap;

/// The parameter.
const PARAMETER: &str = "CustomTTSConfig";
/// Longest text of the parameter.
const MAX_TEXT: usize = 100_000;
/// Longest address.
const MAX_URL: usize = 2048;
/// Longest key.
const MAX_KEY: usize = 1024;
/// Longest name of a voice, a model, a region.
const MAX_NAME: usize = 256;
/// Rates that can be converted, in samples a second.
const RATES: [u32; 9] = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

type Read<T> = Result<T, VendorError>;

/// Whose synthesiser it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tencent,
    MiniMax,
    Volcengine,
    Azure,
    Custom,
}

const KINDS: &[(&str, Kind)] = &[
    ("tencent", Kind::Tencent),
    ("minimax", Kind::MiniMax),
    ("volcengine", Kind::Volcengine),
    ("azure", Kind::Azure),
    ("custom", Kind::Custom),
];

/// The voice that the parameter asks for; none: it is absent or empty.
///
/// # Errors
/// The first member that is not acceptable, by its whole name.
pub(super) fn wanted(fields: &Fields<'_>) -> Read<Option<VoiceSettings>> {
    let Some(members) = fields.json_object(PARAMETER, MAX_TEXT)? else { return Ok(None) };
    let config = fields.within(PARAMETER, &members);
    let kind = config.needed("TTSType", config.word("TTSType", KINDS)?)?;
    match kind {
        Kind::Tencent => tencent(&config),
        Kind::MiniMax => minimax(&config),
        Kind::Volcengine => volcengine(&config),
        Kind::Azure => azure(&config),
        Kind::Custom => custom(&config),
    }
    .map(Some)
}

fn tencent(config: &Fields<'_>) -> Read<VoiceSettings> {
    const OWN: &[&str] = &["AppId", "SecretId", "SecretKey", "VoiceType", "Speed", "Volume", "PrimaryLanguage"];
    config.only(&[&["TTSType", "FastVoiceType"], OWN])?;
    let voice = config.needed("VoiceType", config.whole("VoiceType", 0..=i64::MAX)?)?;
    let params = [
        ("app", Some(number_as_text(config, "AppId")?)),
        ("id", Some(name(config, "SecretId", MAX_KEY)?)),
        ("speed", config.real("Speed", -2.0..=6.0)?.map(|speed| speed.to_string())),
        ("volume", config.real("Volume", 0.0..=10.0)?.map(|volume| volume.to_string())),
        ("language", config.whole("PrimaryLanguage", 1..=3)?.map(|language| language.to_string())),
        ("fast_voice", optional(config, "FastVoiceType", MAX_NAME)?),
    ];
    let endpoint = endpoint("tencent", String::new(), name(config, "SecretKey", MAX_KEY)?, params);
    Ok(VoiceSettings { voice: voice.to_string(), endpoint: Some(endpoint), ..VoiceSettings::default() })
}

fn minimax(config: &Fields<'_>) -> Read<VoiceSettings> {
    config.only(&[&["TTSType", "Model", "APIUrl", "APIKey", "GroupId", "VoiceType", "Speed"]])?;
    let params = [("group", optional(config, "GroupId", MAX_NAME)?)];
    let endpoint = endpoint("minimax", address(config)?, name(config, "APIKey", MAX_KEY)?, params);
    Ok(VoiceSettings {
        model: name(config, "Model", MAX_NAME)?,
        voice: name(config, "VoiceType", MAX_NAME)?,
        rate: config.real("Speed", 0.5..=2.0)?.unwrap_or(1.0),
        endpoint: Some(endpoint),
        ..VoiceSettings::default()
    })
}

fn volcengine(config: &Fields<'_>) -> Read<VoiceSettings> {
    config.only(&[&["TTSType", "AppId", "Token", "Cluster", "VoiceType", "Speed", "Volume"]])?;
    let params = [
        ("app", Some(number_as_text(config, "AppId")?)),
        ("cluster", optional(config, "Cluster", MAX_NAME)?),
        ("speed", config.real("Speed", 0.2..=3.0)?.map(|speed| speed.to_string())),
        ("volume", config.real("Volume", 0.1..=3.0)?.map(|volume| volume.to_string())),
    ];
    let endpoint = endpoint("volcengine", String::new(), name(config, "Token", MAX_KEY)?, params);
    let voice = name(config, "VoiceType", MAX_NAME)?;
    Ok(VoiceSettings { voice, endpoint: Some(endpoint), ..VoiceSettings::default() })
}

fn azure(config: &Fields<'_>) -> Read<VoiceSettings> {
    config.only(&[&["TTSType", "SubscriptionKey", "Region", "VoiceName", "Language", "Rate"]])?;
    let region = name(config, "Region", 32)?;
    if !region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        // It becomes part of a host's name.
        return Err(config.bad("Region", "must be lower-case letters and digits"));
    }
    let key = name(config, "SubscriptionKey", MAX_KEY)?;
    Ok(VoiceSettings {
        voice: name(config, "VoiceName", MAX_NAME)?,
        language: name(config, "Language", 35)?,
        rate: config.real("Rate", 0.5..=2.0)?.unwrap_or(1.0),
        endpoint: Some(endpoint("azure", String::new(), key, [("region", Some(region))])),
        ..VoiceSettings::default()
    })
}

fn custom(config: &Fields<'_>) -> Read<VoiceSettings> {
    config.only(&[&["TTSType", "APIKey", "APIUrl", "AudioFormat", "SampleRate", "AudioChannel"]])?;
    let rate = config.count("SampleRate", 8000..=48_000)?;
    if rate.is_some_and(|rate| !RATES.contains(&rate)) {
        return Err(config.bad("SampleRate", &format!("must be one of {RATES:?}")));
    }
    let params = [
        ("format", config.word("AudioFormat", &[("wav", "wav"), ("pcm", "pcm")])?.map(str::to_owned)),
        ("rate", rate.map(|rate| rate.to_string())),
        ("channels", config.count("AudioChannel", 1..=2)?.map(|channels| channels.to_string())),
    ];
    let endpoint = endpoint("custom", address(config)?, name(config, "APIKey", MAX_KEY)?, params);
    Ok(VoiceSettings { endpoint: Some(endpoint), ..VoiceSettings::default() })
}

fn endpoint<const N: usize>(kind: &str, url: String, key: String, params: [(&str, Option<String>); N]) -> Endpoint {
    let given = params.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Pii::new(value?))));
    Endpoint { kind: kind.to_owned(), url, key: Pii::new(key), params: BTreeMap::from_iter(given) }
}

/// A text that must be there and say something.
fn name(config: &Fields<'_>, member: &str, longest: usize) -> Read<String> {
    config.needed(member, optional(config, member, longest)?)
}

fn optional(config: &Fields<'_>, member: &str, longest: usize) -> Read<Option<String>> {
    Ok(config.label(member, longest)?.filter(|text| !text.trim().is_empty()))
}

/// The number of an application, which users write with quotation marks and without.
fn number_as_text(config: &Fields<'_>, member: &str) -> Read<String> {
    Ok(config.needed(member, config.whole(member, 0..=i64::MAX)?)?.to_string())
}

fn address(config: &Fields<'_>) -> Read<String> {
    let url = name(config, "APIUrl", MAX_URL)?;
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(url);
    }
    Err(config.bad("APIUrl", "must begin with https:// or http://"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};

    fn read(config: &Value) -> Read<Option<VoiceSettings>> {
        let members = Map::from_iter([(PARAMETER.to_owned(), json!(config.to_string()))]);
        wanted(&Fields::top(&members))
    }

    /// One of each kind with all its members.
    fn whole() -> Vec<Value> {
        vec![
            json!({"TTSType": "tencent", "AppId": "123", "SecretId": "i", "SecretKey": "s", "VoiceType": 101_001,
                "Speed": 1.25, "Volume": 5, "PrimaryLanguage": 1, "FastVoiceType": "f"}),
            json!({"TTSType": "minimax", "Model": "m", "APIUrl": "https://tts.example.test/v1/t2a_v2", "APIKey": "k",
                "GroupId": "g", "VoiceType": "v", "Speed": 1.5}),
            json!({"TTSType": "volcengine", "AppId": "42", "Token": "t", "Cluster": "c", "VoiceType": "v", "Speed": 1.5,
                "Volume": 2}),
            json!({"TTSType": "azure", "SubscriptionKey": "k", "Region": "chinanorth3", "VoiceName": "v",
                "Language": "zh-CN", "Rate": 1.5}),
            json!({"TTSType": "custom", "APIKey": "k", "APIUrl": "https://tts.example.test/say", "AudioFormat": "pcm",
                "SampleRate": 8000, "AudioChannel": 2}),
        ]
    }

    const OPTIONAL: &[&str] = &[
        "Speed",
        "Volume",
        "PrimaryLanguage",
        "FastVoiceType",
        "GroupId",
        "Cluster",
        "Rate",
        "AudioFormat",
        "SampleRate",
        "AudioChannel",
    ];

    #[test]
    fn every_member_makes_a_difference_and_a_missing_or_strange_one_is_named() {
        for config in whole() {
            let plain = read(&config).expect("acceptable").expect("a voice");
            let kind = config["TTSType"].as_str().expect("a kind");
            assert_eq!(plain.endpoint.as_ref().expect("its own").kind, kind);
            for (member, _) in config.as_object().expect("an object") {
                let changed = |value: Option<Value>| {
                    let mut config = config.clone();
                    let members = config.as_object_mut().expect("an object");
                    members.remove(member);
                    members.extend(value.map(|value| (member.clone(), value)));
                    read(&config)
                };
                let named = format!("`CustomTTSConfig.{member}`");
                let error = changed(Some(json!({}))).expect_err(member);
                assert!(error.message.contains(&named), "{kind}: {}", error.message);
                match changed(None) {
                    Ok(voice) => {
                        assert!(OPTIONAL.contains(&member.as_str()), "{kind}.{member} must be needed");
                        assert_ne!(voice.expect("a voice"), plain, "{kind}.{member} is of no effect");
                    }
                    Err(error) => {
                        assert!(!OPTIONAL.contains(&member.as_str()), "{kind}: {}", error.message);
                        assert_eq!(error.code, "MissingParameter");
                        assert!(error.message.contains(&named), "{kind}: {}", error.message);
                    }
                }
            }
        }
    }

    #[test]
    fn rules_are_named_with_the_member() {
        for (kind, member, value, rule) in [
            (0, "Speed", json!(7), "from -2 to 6"),
            (0, "Volume", json!(-1), "from 0 to 10"),
            (0, "PrimaryLanguage", json!(4), "from 1 to 3"),
            (0, "VoiceType", json!("nice"), "whole number"),
            (1, "Speed", json!(0.4), "from 0.5 to 2"),
            (1, "APIUrl", json!("ftp://x"), "https://"),
            (2, "Volume", json!(9), "from 0.1 to 3"),
            (3, "Region", json!("a.evil.example"), "lower-case letters and digits"),
            (3, "Rate", json!(3), "from 0.5 to 2"),
            (4, "AudioFormat", json!("mp3"), "must be one of wav, pcm"),
            (4, "SampleRate", json!(9000), "must be one of [8000,"),
            (4, "AudioChannel", json!(3), "from 1 to 2"),
            (4, "APIKey", json!("a\nb"), "control characters"),
            (4, "Pitch", json!(1), "not recognized"),
            (4, "TTSType", json!("nobody"), "must be one of tencent, minimax, volcengine, azure, custom"),
        ] {
            let mut config = whole().swap_remove(kind);
            config[member] = value;
            let error = read(&config).expect_err(member);
            assert!(error.message.contains(&format!("`CustomTTSConfig.{member}`")), "{}", error.message);
            assert!(error.message.contains(rule), "{}", error.message);
        }
        let members = Map::from_iter([(PARAMETER.to_owned(), json!("{TTSType}"))]);
        let error = wanted(&Fields::top(&members)).expect_err("no JSON");
        assert!(error.message.contains("`CustomTTSConfig`") && error.message.contains("JSON object"));
    }

    #[test]
    fn keys_are_never_shown() {
        for config in whole() {
            let mut config = config;
            for member in ["SecretKey", "SecretId", "APIKey", "Token", "SubscriptionKey"] {
                if config.get(member).is_some() {
                    config[member] = json!("hunter2hunter2");
                }
            }
            let shown = format!("{:?}", read(&config).expect("acceptable"));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
