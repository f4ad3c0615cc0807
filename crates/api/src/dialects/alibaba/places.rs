//! Where each parameter of the operations that make an instance stands, with the members of their configurations, against the
//! vendor's schemas and our page.

use super::section::Section;
use super::update::of_template;
use super::{meet, outbound};
use crate::places::Place::{Effect, NoEffect, Refused};
use crate::places::{Operation, Place, check};
use callwright_domain::AgentProfile;
use callwright_domain::agent::Switch;
use serde_json::{Value, json};

const OUTBOUND: &str = include_str!("../../../tests/fixtures/alibaba-ims.schema.json");
const BROWSERS: &str = include_str!("../../../tests/fixtures/alibaba-ims-browsers.schema.json");
const PAGE: &str = include_str!("../../../../../docs/alibaba.md");
/// Where the tests are that are named here.
const SOURCES: [&str; 5] = [
    include_str!("places.rs"),
    include_str!("meet.rs"),
    include_str!("../../../tests/door/alibaba.rs"),
    include_str!("../../../tests/door/alibaba_notify.rs"),
    include_str!("../../../tests/door/browsers.rs"),
];

/// Tests of this file, by what of an agent they are about.
const VOICES: &str = "members_about_ears_and_voice_have_their_effect";
const WORDS: &str = "members_about_the_model_have_their_effect";
const TURNS: &str = "members_about_turns_have_their_effect";
const FILLERS: &str = "members_about_silence_and_sounds_have_their_effect";
const TEMPLATE: &str = "members_of_a_template_have_the_effect_of_their_namesakes";
const OLD: &str = "what_a_template_cannot_have_is_refused_by_name";
/// Tests over HTTP.
const MADE: &str = "alibabas_generate_makes_a_channel_and_a_token";
const REACH: &str = "every_parameter_of_a_browsers_instance_reaches_it";
const PLACED: &str = "every_parameter_of_an_outbound_call_reaches_it";
const JOINS: &str = "alibabas_instance_joins_a_channel_that_the_caller_made";
const CANNOT: &str = "what_a_browser_cannot_have_here_is_refused_by_name";
const SCREEN: &str = "what_a_browsers_page_is_shown_comes_from_its_configuration";

/// What makes a difference, and where: a configuration, and each member of it with its place in an agent and what stands there.
type Difference<'a> = (Value, &'a [(&'a str, &'a str, Value)]);

/// The agent that a configuration makes of a plain one.
fn agent_with(config: &Value, of_browser: bool) -> Value {
    let patch = if of_browser {
        meet::configuration("AgentConfig", config)
    } else {
        Section::of("Config", config).and_then(|section| outbound::decode_at(&section))
    };
    let mut agent = AgentProfile::default();
    patch.unwrap_or_else(|fault| panic!("{config}: {fault}")).apply(&mut agent);
    serde_json::to_value(agent).expect("JSON")
}

/// Checks that each member makes its difference, in an outbound call's configuration and in a browser's.
fn have_their_effect(differences: &[Difference<'_>]) {
    let plain = serde_json::to_value(AgentProfile::default()).expect("JSON");
    for (config, members) in differences {
        for of_browser in [false, true] {
            let agent = agent_with(config, of_browser);
            for (name, place, wanted) in *members {
                assert_eq!(agent.pointer(place), Some(wanted), "{name} at {place} of {agent}");
                assert_ne!(plain.pointer(place), Some(wanted), "{name} makes no difference");
            }
        }
    }
}

#[test]
fn members_about_ears_and_voice_have_their_effect() {
    have_their_effect(&[
        (
            json!({"AsrConfig": {"AsrLanguageId": "jp", "AsrMaxSilence": 650, "AsrHotWords": ["Callwright"],
                "VadLevel": 3, "VadDuration": 310, "CustomParams": "a=1&b=x%20y"}}),
            &[
                ("AsrConfig.AsrLanguageId", "/ears/language", json!("ja")),
                ("AsrConfig.AsrMaxSilence", "/turn/silence_ms", json!(650)),
                ("AsrConfig.AsrHotWords", "/ears/hot_words", json!(["Callwright"])),
                ("AsrConfig.VadLevel", "/ears/vad_level", json!(3)),
                ("AsrConfig.VadDuration", "/interrupt/min_speech_ms", json!(310)),
                ("AsrConfig.CustomParams", "/ears/params", json!({"a": "1", "b": "x y"})),
            ],
        ),
        (
            json!({"TtsConfig": {"VoiceId": "v", "SpeechRate": "0.9", "Emotion": "calm", "LanguageId": "Chinese,Yue",
                "ModelId": "speech-02-turbo",
                "PronunciationRules": [{"Word": "SQL", "Pronunciation": "sequel", "Type": "replacement"}]}}),
            &[
                ("TtsConfig.VoiceId", "/voice/voice", json!("v")),
                ("TtsConfig.SpeechRate", "/voice/rate", json!(0.9)),
                ("TtsConfig.Emotion", "/voice/emotion", json!("calm")),
                ("TtsConfig.LanguageId", "/voice/language", json!("yue")),
                ("TtsConfig.ModelId", "/voice/model", json!("speech-02-turbo")),
                ("TtsConfig.PronunciationRules", "/voice/pronunciations/0/word", json!("SQL")),
                ("TtsConfig.PronunciationRules[].Word", "/voice/pronunciations/0/word", json!("SQL")),
                ("TtsConfig.PronunciationRules[].Pronunciation", "/voice/pronunciations/0/spoken", json!("sequel")),
                ("TtsConfig.PronunciationRules[].Type", "/voice/pronunciations/0/spoken", json!("sequel")),
            ],
        ),
    ]);
}

#[test]
fn members_about_the_model_have_their_effect() {
    have_their_effect(&[(
        json!({"Greeting": "Hello", "LlmConfig": {"LlmSystemPrompt": "Be kind.",
            "LlmHistory": [{"Role": "assistant", "Content": "x"}], "LlmHistoryLimit": 4,
            "BailianAppParams": "{\"p\":{\"q\":1}}", "OpenAIExtraQuery": "a=b&c=d", "HistorySyncWithTTS": true,
            "FunctionMap": [{"Function": "hangup", "MatchFunction": "bye"}], "OutputMinLength": 5,
            "OutputMaxDelay": "2000"}}),
        &[
            ("Greeting", "/opening/greeting/text", json!("Hello")),
            ("LlmConfig", "/brain/system_prompt", json!("Be kind.")),
            ("LlmConfig.LlmSystemPrompt", "/brain/system_prompt", json!("Be kind.")),
            ("LlmConfig.LlmHistory", "/brain/history/0/content", json!("x")),
            ("LlmConfig.LlmHistory[].Role", "/brain/history/0/role", json!("assistant")),
            ("LlmConfig.LlmHistory[].Content", "/brain/history/0/content", json!("x")),
            ("LlmConfig.LlmHistoryLimit", "/brain/history_limit", json!(4)),
            ("LlmConfig.BailianAppParams", "/brain/params/p", json!({"q": 1})),
            ("LlmConfig.OpenAIExtraQuery", "/brain/query", json!({"a": "b", "c": "d"})),
            ("LlmConfig.HistorySyncWithTTS", "/brain/cut_mark", json!("<ims_agent_interrupted>")),
            ("LlmConfig.FunctionMap", "/tools/0/kind", json!("end_call")),
            ("LlmConfig.FunctionMap[].Function", "/tools/0/kind", json!("end_call")),
            ("LlmConfig.FunctionMap[].MatchFunction", "/tools/0/name", json!("bye")),
            ("LlmConfig.OutputMinLength", "/voice/hold_below_chars", json!(5)),
            ("LlmConfig.OutputMaxDelay", "/voice/hold_at_most_ms", json!(2000)),
        ],
    )]);
}

#[test]
fn members_about_turns_have_their_effect() {
    let waits = |config: Value, name: &'static str, wait: u64| (config, [(name, "/turn/patience_ms", json!(wait))]);
    let older = waits(json!({"InterruptConfig": {"Eagerness": "Low"}}), "InterruptConfig.Eagerness", 6000);
    let newer = waits(json!({"TurnDetectionConfig": {"Eagerness": "High"}}), "TurnDetectionConfig.Eagerness", 2000);
    let exact = json!({"TurnDetectionConfig": {"SemanticWaitDuration": 900}});
    let exact = waits(exact, "TurnDetectionConfig.SemanticWaitDuration", 900);
    have_their_effect(&[
        (
            json!({"InterruptConfig": {"EnableVoiceInterrupt": false, "InterruptWords": ["stop"],
                "KeepInterruptWordsForLLM": true, "NoInterruptMode": "discard"}}),
            &[
                ("InterruptConfig", "/interrupt/by_voice", json!("off")),
                ("InterruptConfig.EnableVoiceInterrupt", "/interrupt/by_voice", json!("off")),
                ("InterruptConfig.InterruptWords", "/interrupt/words", json!(["stop"])),
                ("InterruptConfig.KeepInterruptWordsForLLM", "/interrupt/keep_words", json!("on")),
                ("InterruptConfig.NoInterruptMode", "/interrupt/overheard", json!("discard")),
            ],
        ),
        (
            json!({"EnableIntelligentSegment": false, "TurnDetectionConfig": {"Mode": "Semantic", "TurnEndWords": ["over"]}}),
            &[
                ("EnableIntelligentSegment", "/turn/join_segments", json!("off")),
                ("TurnDetectionConfig", "/turn/mode", json!("semantic")),
                ("TurnDetectionConfig.Mode", "/turn/mode", json!("semantic")),
                ("TurnDetectionConfig.TurnEndWords", "/turn/end_words", json!(["over"])),
            ],
        ),
        (older.0, &older.1),
        (newer.0, &newer.1),
        (exact.0, &exact.1),
    ]);
}

#[test]
fn members_about_silence_and_sounds_have_their_effect() {
    let texts = json!([{"Text": "Hm", "Probability": 0.4}, {"Text": "Oh", "Probability": 0.6}]);
    let hm = json!({"text": "Hm", "weight": 0.4});
    let uh = json!([{"text": "uh", "weight": 1.0}]);
    have_their_effect(&[
        (
            json!({"GreetingDelay": "500", "MaxIdleTime": 120, "AmbientSoundConfig": {"ResourceId": "office", "Volume": 20},
                "AutoSpeechConfig": {"LlmPending": {"WaitTime": 2000, "Mode": "sequence", "Messages": texts},
                    "UserIdle": {"WaitTime": 8000, "MaxRepeats": 7, "Messages": texts, "HangupEndWord": "Bye"}}}),
            &[
                ("GreetingDelay", "/opening/delay_ms", json!(500)),
                ("MaxIdleTime", "/idle/hang_up_after_ms", json!(120_000)),
                ("AmbientSoundConfig", "/ambient/sound", json!("office")),
                ("AmbientSoundConfig.ResourceId", "/ambient/sound", json!("office")),
                ("AmbientSoundConfig.Volume", "/ambient/volume", json!(20)),
                ("AutoSpeechConfig", "/filler/after_ms", json!(2000)),
                ("AutoSpeechConfig.LlmPending", "/filler/after_ms", json!(2000)),
                ("AutoSpeechConfig.LlmPending.WaitTime", "/filler/after_ms", json!(2000)),
                ("AutoSpeechConfig.LlmPending.Mode", "/filler/choice", json!("sequence")),
                ("AutoSpeechConfig.LlmPending.Messages", "/filler/texts/0", hm.clone()),
                ("AutoSpeechConfig.LlmPending.Messages[].Text", "/filler/texts/0/text", json!("Hm")),
                ("AutoSpeechConfig.LlmPending.Messages[].Probability", "/filler/texts/0/weight", json!(0.4)),
                ("AutoSpeechConfig.UserIdle", "/idle/remind_after_ms", json!(8000)),
                ("AutoSpeechConfig.UserIdle.WaitTime", "/idle/remind_after_ms", json!(8000)),
                ("AutoSpeechConfig.UserIdle.MaxRepeats", "/idle/max_reminders", json!(7)),
                ("AutoSpeechConfig.UserIdle.Messages", "/idle/reminders/0", hm),
                ("AutoSpeechConfig.UserIdle.Messages[].Text", "/idle/reminders/0/text", json!("Hm")),
                ("AutoSpeechConfig.UserIdle.Messages[].Probability", "/idle/reminders/0/weight", json!(0.4)),
                ("AutoSpeechConfig.UserIdle.HangupEndWord", "/idle/goodbye", json!("Bye")),
            ],
        ),
        (
            json!({"BackChannelingConfig": {"Enabled": true, "Probability": 0.1, "TriggerStage": "pause_detected",
                "Words": {"Text": "uh", "Probability": 1}}}),
            &[
                ("BackChannelingConfig", "/backchannel/probability", json!(0.1)),
                ("BackChannelingConfig.Enabled", "/backchannel/probability", json!(0.1)),
                ("BackChannelingConfig.Probability", "/backchannel/probability", json!(0.1)),
                ("BackChannelingConfig.TriggerStage", "/backchannel/probability", json!(0.1)),
                ("BackChannelingConfig.Words", "/backchannel/words", uh.clone()),
                ("BackChannelingConfig.Words.Text", "/backchannel/words", uh.clone()),
                ("BackChannelingConfig.Words.Probability", "/backchannel/words", uh),
            ],
        ),
    ]);
}

#[test]
fn the_newer_name_of_backchannels_has_its_effect() {
    let uh = json!([{"text": "hm", "weight": 1.0}]);
    have_their_effect(&[(
        json!({"BackChannelingConfigs": [{"Enabled": true, "Probability": 0.3, "TriggerStage": "pause_detected",
            "Words": [{"Text": "hm", "Probability": 1.0}]}]}),
        &[
            ("BackChannelingConfigs", "/backchannel/probability", json!(0.3)),
            ("BackChannelingConfigs[].Enabled", "/backchannel/probability", json!(0.3)),
            ("BackChannelingConfigs[].Probability", "/backchannel/probability", json!(0.3)),
            ("BackChannelingConfigs[].TriggerStage", "/backchannel/probability", json!(0.3)),
            ("BackChannelingConfigs[].Words", "/backchannel/words", uh.clone()),
            ("BackChannelingConfigs[].Words[].Text", "/backchannel/words", uh.clone()),
            ("BackChannelingConfigs[].Words[].Probability", "/backchannel/words", uh),
        ],
    )]);
}

#[test]
fn members_of_a_template_have_the_effect_of_their_namesakes() {
    let template = json!({"AsrLanguageId": "jp", "AsrMaxSilence": 650, "AsrHotWords": ["Callwright"], "VadLevel": 3,
        "VoiceId": "v", "LlmSystemPrompt": "Be kind.", "LlmHistory": [{"Role": "assistant", "Content": "x"}],
        "LlmHistoryLimit": 4, "BailianAppParams": "{\"p\":{\"q\":1}}", "EnableVoiceInterrupt": false,
        "InterruptWords": ["stop"], "Greeting": "Hello", "WakeUpQuery": "Hi", "MaxIdleTime": 120,
        "EnableIntelligentSegment": false, "Volume": 120});
    let plain = serde_json::to_value(AgentProfile::default()).expect("JSON");
    for kind in ["VoiceChat", "VisionChat", "AvatarChat3D"] {
        let config = of_template(json!({ kind: template })).expect("an object");
        let agent = agent_with(&config, true);
        for (name, place, wanted) in [
            ("AsrLanguageId", "/ears/language", json!("ja")),
            ("AsrMaxSilence", "/turn/silence_ms", json!(650)),
            ("AsrHotWords", "/ears/hot_words", json!(["Callwright"])),
            ("VadLevel", "/ears/vad_level", json!(3)),
            ("VoiceId", "/voice/voice", json!("v")),
            ("LlmSystemPrompt", "/brain/system_prompt", json!("Be kind.")),
            ("LlmHistory", "/brain/history/0/content", json!("x")),
            ("LlmHistory[].Role", "/brain/history/0/role", json!("assistant")),
            ("LlmHistory[].Content", "/brain/history/0/content", json!("x")),
            ("LlmHistoryLimit", "/brain/history_limit", json!(4)),
            ("BailianAppParams", "/brain/params/p", json!({"q": 1})),
            ("EnableVoiceInterrupt", "/interrupt/by_voice", json!("off")),
            ("InterruptWords", "/interrupt/words", json!(["stop"])),
            ("Greeting", "/opening/greeting/text", json!("Hello")),
            ("WakeUpQuery", "/opening/wake_up", json!("Hi")),
            ("MaxIdleTime", "/idle/hang_up_after_ms", json!(120_000)),
            ("EnableIntelligentSegment", "/turn/join_segments", json!("off")),
            ("Volume", "/voice/volume", json!(120)),
        ] {
            assert_eq!(agent.pointer(place), Some(&wanted), "{kind}.{name} at {place} of {agent}");
            assert_ne!(plain.pointer(place), Some(&wanted), "{name} makes no difference");
        }
    }
    // Those of the channel and the page stand where the AgentConfig has them, too.
    let moved =
        of_template(json!({"VoiceChat": {"UserOnlineTimeout": 30, "UserOfflineTimeout": 9, "GracefulShutdown": true,
        "EnablePushToTalk": true, "VoiceIdList": ["v1"]}}));
    let wanted = json!({"UserOnlineTimeout": 30, "UserOfflineTimeout": 9, "GracefulShutdown": true,
        "EnablePushToTalk": true, "TtsConfig": {"VoiceIdList": ["v1"]}});
    assert_eq!(moved, Ok(wanted));
}

#[test]
fn what_a_template_cannot_have_is_refused_by_name() {
    for (name, value) in [("UseVoiceprint", json!(true)), ("AvatarId", json!("a"))] {
        let config = of_template(json!({"AvatarChat3D": { name: value }})).expect("an object");
        let fault = meet::configuration("TemplateConfig", &config).expect_err(name);
        assert!(fault.to_string().contains(name), "{fault}");
    }
}

#[test]
fn what_a_browser_cannot_have_of_voices_is_refused_by_name() {
    for (name, config) in [
        ("VoiceprintConfig.UseVoiceprint", json!({"VoiceprintConfig": {"UseVoiceprint": true}})),
        ("AvatarConfig.AvatarId", json!({"AvatarConfig": {"AvatarId": "a"}})),
    ] {
        let fault = meet::configuration("AgentConfig", &config).expect_err(name);
        assert!(fault.to_string().contains(&format!("AgentConfig.{name}")), "{fault}");
    }
}

#[test]
fn what_a_browsers_page_is_shown_comes_from_its_configuration() {
    let screen = |config: Value| {
        let plan = json!({"id": "0".repeat(32), "account": "a", "agent_id": "x", "agent": AgentProfile::default(),
            "callee": "+15550101", "caller": "+15550100", "trunk": "t", "variables": {}, "created": 0, "due": 0,
            "origin": {"dialect": "alibaba", "memo": config.to_string()}});
        meet::screen(&serde_json::from_value(plan).expect("a plan"))
    };
    let plain = screen(json!({}));
    assert!(!plain.whole_replies && plain.voices.is_empty() && plain.push_to_talk == Switch::Off);
    for (name, config) in [
        ("LlmConfig.LlmCompleteReply", json!({"LlmConfig": {"LlmCompleteReply": true}})),
        ("TtsConfig.VoiceIdList", json!({"TtsConfig": {"VoiceIdList": ["v1", "v2"]}})),
        ("EnablePushToTalk", json!({"EnablePushToTalk": true})),
    ] {
        let shown = screen(config);
        let changed = [shown.whole_replies, shown.voices == ["v1", "v2"], shown.push_to_talk == Switch::On];
        assert_eq!(changed.map(u8::from).iter().sum::<u8>(), 1, "{name}");
    }
}

/// The members of a type of a schema at every depth, as the page writes them.
fn members(schema: &Value, kind: &str, at: &str, found: &mut Vec<String>) {
    for (name, field) in
        schema["types"][kind]["fields"].as_object().unwrap_or_else(|| panic!("{kind} is in the schema"))
    {
        let here = format!("{at}{name}");
        found.push(here.clone());
        if let Some(inner) = field["ref"].as_str() {
            members(schema, inner, &format!("{here}."), found);
        }
        if let Some(inner) = field["items"]["ref"].as_str() {
            members(schema, inner, &format!("{here}[]."), found);
        }
    }
}

fn listed(schema: &str, kind: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    let mut found = Vec::new();
    members(&schema, kind, "", &mut found);
    // A list in a browser's configuration, one object in an outbound call's: the page has one row for both.
    for name in &mut found {
        if let Some(rest) = name.strip_prefix("BackChannelingConfig[].") {
            *name = format!("BackChannelingConfig.{}", rest.replace("[]", ""));
        }
    }
    found
}

/// Where a member of a configuration stands that is a browser's or an outbound call's.
fn place_of(name: &str, of_browser: bool) -> Place {
    let whole = name.split(['.', '[']).next().unwrap_or_default();
    match (whole, name) {
        ("ExperimentalConfig" | "VcrConfig" | "AvatarUrl" | "AvatarUrlType" | "WorkflowOverrideParams", _) => NoEffect,
        (_, "VoiceprintConfig.UseVoiceprint") => Refused("what_a_browser_cannot_have_of_voices_is_refused_by_name"),
        ("VoiceprintConfig", _) => NoEffect,
        ("AvatarConfig", "AvatarConfig.AvatarId") => Refused("what_a_browser_cannot_have_of_voices_is_refused_by_name"),
        ("AvatarConfig", _) => Refused(CANNOT),
        (_, "TtsConfig.VoiceIdList" | "LlmConfig.LlmCompleteReply") => {
            if of_browser {
                Effect(SCREEN)
            } else {
                NoEffect
            }
        }
        ("EnablePushToTalk", _) => Effect(SCREEN),
        ("WakeUpQuery" | "Volume", _) => Effect("what_a_browser_has_beyond_a_telephone_has_its_effect"),
        ("UserOnlineTimeout" | "UserOfflineTimeout", _) => Effect(MADE),
        ("GracefulShutdown", _) => Effect(REACH),
        ("AsrConfig" | "TtsConfig", _) => Effect(VOICES),
        ("LlmConfig" | "Greeting", _) => Effect(WORDS),
        ("InterruptConfig" | "TurnDetectionConfig" | "EnableIntelligentSegment", _) => Effect(TURNS),
        ("BackChannelingConfigs", _) => Effect("the_newer_name_of_backchannels_has_its_effect"),
        _ => Effect(FILLERS),
    }
}

/// The rows of the page under a heading.
fn section(heading: &str) -> String {
    let rest = PAGE.split(&format!("\n{heading}")).nth(1).unwrap_or_else(|| panic!("{heading} is on the page"));
    let level = heading.split(' ').next().unwrap_or_default();
    rest.split(&format!("\n{level} ")).next().unwrap_or_default().to_owned()
}

/// Names that are as long as the test.
fn kept(names: &[String]) -> Vec<&'static str> {
    names.iter().map(|name| &*name.clone().leak()).collect()
}

#[test]
fn every_member_of_a_configuration_stands_in_one_place() {
    let own = section("### A browser's AgentConfig");
    for (kind, schema, of_browser) in
        [("AIAgentOutboundCallConfig", OUTBOUND, false), ("AIAgentConfig", BROWSERS, true)]
    {
        let parameters = listed(schema, kind);
        assert!(parameters.len() >= 80, "{}", parameters.len());
        let places = kept(&parameters).into_iter().map(|name| (name, place_of(name, of_browser))).collect();
        let page = if of_browser { format!("{own}\n{}", section("## Config")) } else { section("## Config") };
        check(&Operation { name: kind, parameters, places, page: &page }, &SOURCES);
    }
}

#[test]
fn every_member_of_a_template_stands_in_one_place() {
    let page = section("### A browser's TemplateConfig");
    let kinds = vec!["VoiceChat", "VisionChat", "AvatarChat3D"];
    for kind in &kinds {
        let parameters = listed(BROWSERS, &format!("AIAgentTemplateConfig{kind}"));
        let place = |name: &'static str| match name {
            "UseVoiceprint" | "AvatarId" => Refused(OLD),
            "VoiceprintId" | "AvatarUrl" | "AvatarUrlType" | "WorkflowOverrideParams" | "CharBreak" => NoEffect,
            _ => Effect(TEMPLATE),
        };
        let places = kept(&parameters).into_iter().map(|name| (name, place(name))).collect();
        check(&Operation { name: kind, parameters, places, page: &page }, &SOURCES);
    }
    let places = kinds.iter().map(|kind| (*kind, Effect(TEMPLATE))).collect();
    let parameters = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    check(&Operation { name: "TemplateConfig", parameters, places, page: &page }, &SOURCES);
}

#[test]
fn every_parameter_of_what_makes_an_instance_stands_in_one_place() {
    let browsers: Value = serde_json::from_str(BROWSERS).expect("JSON");
    let outbound: Value = serde_json::from_str(OUTBOUND).expect("JSON");
    let generate = section("### `GenerateAIAgentCall`");
    let start = format!("{}\n{generate}", section("### `StartAIAgentInstance`"));
    let place = |name: &'static str| match name {
        "ImsAIAgentFreeObCall" => NoEffect,
        "CallerNumber" | "CalledNumber" | "Config" => Effect(PLACED),
        "Expire" | "UserId" => Effect(MADE),
        _ => Effect(REACH),
    };
    for (action, schema, page) in [
        ("StartAIAgentOutboundCall", &outbound, section("### `StartAIAgentOutboundCall`")),
        ("GenerateAIAgentCall", &browsers, generate.clone()),
        ("StartAIAgentInstance", &browsers, start.clone()),
    ] {
        let about = schema["actions"][action]["params"].as_object().expect("parameters");
        let parameters: Vec<String> = about.keys().cloned().collect();
        let places = kept(&parameters).into_iter().map(|name| match action {
            "StartAIAgentOutboundCall" if name != "ImsAIAgentFreeObCall" => (name, Effect(PLACED)),
            _ => (name, place(name)),
        });
        check(&Operation { name: action, places: places.collect(), parameters, page: &page }, &SOURCES);
    }
    let mut parameters = listed(BROWSERS, "AIAgentRuntimeConfig");
    // Those of the three kinds are the flat ones again.
    parameters.retain(|name| !name.contains('.'));
    let places = kept(&parameters).into_iter().map(|name| match name {
        "AvatarChat3D" | "VisionChat" => (name, Refused(JOINS)),
        _ => (name, Effect(JOINS)),
    });
    let page = section("### A browser's RuntimeConfig");
    check(&Operation { name: "RuntimeConfig", places: places.collect(), parameters, page: &page }, &SOURCES);
    // The vendored schema has no type for it: its members are those of the vendor's page.
    let parameters: Vec<String> = ["IMAIAgentId", "ReceiverId"].map(str::to_owned).into();
    let places = kept(&parameters).into_iter().map(|name| (name, Effect(REACH))).collect();
    let page = section("### A browser's ChatSyncConfig");
    check(&Operation { name: "ChatSyncConfig", parameters, places, page: &page }, &SOURCES);
}
