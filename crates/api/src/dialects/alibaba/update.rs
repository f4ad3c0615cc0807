//! UpdateAIAgentInstance: what is changed in an instance that is being dialled or talks.

use super::section::Section;
use super::wire::Call;
use super::{VendorError, instance, invalid, meet, outbound, user_data, view};
use crate::dialects::Dialect;
use crate::fault::Fault;
use crate::http::Context;
use callwright_domain::{AccountId, AgentPatch, Pii};
use callwright_engine::ChangeError;
use callwright_store::Amendment;
use serde_json::{Map, Value, json};

/// The kinds of agents that a TemplateConfig may speak of; the first is that of a telephone's.
const KINDS: [&str; 4] = ["VoiceChat", "VisionChat", "AvatarChat3D", "VideoChat"];
/// Where the flat members of a TemplateConfig stand in an AgentConfig; the others have the same place.
const MOVED: [(&str, &str); 15] = [
    ("AsrLanguageId", "AsrConfig"),
    ("AsrMaxSilence", "AsrConfig"),
    ("AsrHotWords", "AsrConfig"),
    ("VadLevel", "AsrConfig"),
    ("VoiceId", "TtsConfig"),
    ("VoiceIdList", "TtsConfig"),
    ("LlmSystemPrompt", "LlmConfig"),
    ("LlmHistory", "LlmConfig"),
    ("LlmHistoryLimit", "LlmConfig"),
    ("BailianAppParams", "LlmConfig"),
    ("EnableVoiceInterrupt", "InterruptConfig"),
    ("InterruptWords", "InterruptConfig"),
    ("UseVoiceprint", "VoiceprintConfig"),
    ("VoiceprintId", "VoiceprintConfig"),
    ("AvatarId", "AvatarConfig"),
];

/// Members of a TemplateConfig that have the same place in an AgentConfig.
const SAME: [&str; 12] = [
    "Greeting",
    "WakeUpQuery",
    "MaxIdleTime",
    "UserOnlineTimeout",
    "UserOfflineTimeout",
    "GracefulShutdown",
    "EnablePushToTalk",
    "EnableIntelligentSegment",
    "Volume",
    "WorkflowOverrideParams",
    "AvatarUrl",
    "AvatarUrlType",
];

/// UpdateAIAgentInstance.
pub(super) async fn update(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let id = instance(call)?;
    let user_data = user_data(call)?;
    let given = object(call, "AgentConfig")?;
    let template = object(call, "TemplateConfig")?.map(of_template).transpose()?;
    let mut patch = AgentPatch::default();
    for (name, config) in [("TemplateConfig", &template), ("AgentConfig", &given)] {
        if let Some(config) = config {
            settled(name, config)?;
            patch = decode(name, config)?.over(patch);
        }
    }
    let found = context.calls.reader().call(account, id).await?;
    let view = found.ok_or(Fault::NotFound { what: "instance" })?;
    outbound::settle(context, &mut patch, &view.plan.agent);
    if user_data.is_some() || patch.brain.params.is_some() {
        let known = view.plan.user_data.as_ref().map(|text| text.expose().as_str());
        let channel = view.plan.browser().map(|place| place.channel.as_str());
        outbound::extend(&mut patch, &view.plan.agent, (user_data.as_deref().or(known), channel));
    }
    // Another dialect's own form is not this one's to change.
    let shows = (template.is_some() || given.is_some()) && view.plan.origin.dialect == super::DIALECT.name();
    let memo = shows.then(|| {
        let mut shown = view::config(&view);
        for config in [template, given].into_iter().flatten() {
            merge(&mut shown, config);
        }
        shown.to_string()
    });
    let change = Amendment { patch, user_data: user_data.map(Pii::new), memo };
    context.calls.change(account, id, change).await?;
    Ok(json!({}))
}

/// A parameter that is a JSON object.
pub(super) fn object(call: &Call<'_>, name: &str) -> Result<Option<Value>, Fault> {
    let Some(text) = call.parameter(name) else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(Value::Object(members)) => Ok(Some(Value::Object(members))),
        Ok(Value::Null) => Ok(None),
        Ok(_) | Err(_) => Err(invalid(name, "must be a JSON object")),
    }
}

/// The member for this kind of agent, as the AgentConfig that it stands for.
pub(super) fn of_template(template: Value) -> Result<Value, Fault> {
    let Value::Object(mut kinds) = template else { return Ok(json!({})) };
    let kind = KINDS.into_iter().find(|kind| kinds.get(*kind).is_some_and(|value| !value.is_null()));
    let Some(kind) = kind else { return Ok(json!({})) };
    let Some(Value::Object(members)) = kinds.remove(kind) else {
        return Err(invalid(&format!("TemplateConfig.{kind}"), "must be a JSON object"));
    };
    let mut config = Map::new();
    for (name, value) in members {
        match MOVED.iter().find(|(moved, _)| *moved == name) {
            None => {
                config.insert(name, value);
            }
            Some((_, section)) => {
                let section = config.entry(*section).or_insert_with(|| json!({}));
                section[name] = value;
            }
        }
    }
    Ok(Value::Object(config))
}

/// A browser's configuration in the deprecated form: flat, in the member of its kind.
pub(super) fn as_template(config: &Value) -> Value {
    let same = SAME.iter().filter_map(|name| Some(((*name).to_owned(), config.get(name)?.clone())));
    let moved = MOVED.iter().filter_map(|(name, section)| {
        let value = config.get(section)?.get(name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    let flat: Map<String, Value> = same.chain(moved).collect();
    if flat.is_empty() { json!({}) } else { json!({ KINDS[0]: flat }) }
}

/// The patch of a configuration, with what it has beyond an outbound call's.
pub(super) fn decode(name: &str, config: &Value) -> Result<AgentPatch, Fault> {
    let section = Section::of(name, config)?;
    let mut patch = outbound::decode_at(&section)?;
    let volume = section.whole("Volume", 0, 400)?;
    patch.voice.volume = volume.map(|percent| u32::try_from(percent).unwrap_or(100));
    let voiceprint = section.child("VoiceprintConfig")?;
    if voiceprint.flag("UseVoiceprint")? == Some(true) {
        return Err(voiceprint.fault("UseVoiceprint", "calls here cannot have it"));
    }
    section.flag("EnablePushToTalk")?;
    section.flag("GracefulShutdown")?;
    Ok(patch)
}

/// What can be said only when an instance is made.
fn settled(name: &str, config: &Value) -> Result<(), Fault> {
    let section = Section::of(name, config)?;
    if section.raw(meet::OVERTURE).is_some_and(|url| url != "") {
        return Err(section.fault(meet::OVERTURE, "must be said when the instance is made"));
    }
    match section.flag("EnablePushToTalk")? {
        Some(true) => Err(section.fault("EnablePushToTalk", "a browser's page switches it by message 1105")),
        Some(false) | None => Ok(()),
    }
}

/// Lays a configuration over another, as the vendor does: objects member by member, lists whole, nothing by nothing.
pub(super) fn merge(lower: &mut Value, upper: Value) {
    match (lower, upper) {
        (Value::Object(lower), Value::Object(upper)) => {
            for (name, value) in upper {
                merge(lower.entry(name).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (_, Value::Array(items)) if items.is_empty() => {}
        (lower, upper) => *lower = upper,
    }
}

impl From<ChangeError> for VendorError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Order(why) => why.into(),
            ChangeError::Template(why) => Self::parameter("UserData", &why.to_string()),
            ChangeError::Unserved(flaw) => Self::unserved("AgentConfig", &flaw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_says_the_same_as_an_agent_config() {
        let template = json!({"VoiceChat": {"Volume": 120, "VoiceId": "v", "AsrMaxSilence": 600, "VadLevel": 3,
            "EnableVoiceInterrupt": false, "BailianAppParams": "{\"a\":1}", "CharBreak": true}, "VisionChat": null});
        let config = json!({"Volume": 120, "TtsConfig": {"VoiceId": "v"}, "AsrConfig": {"AsrMaxSilence": 600, "VadLevel": 3},
            "InterruptConfig": {"EnableVoiceInterrupt": false}, "LlmConfig": {"BailianAppParams": "{\"a\":1}"},
            "CharBreak": true});
        assert_eq!(of_template(template), Ok(config.clone()));
        let patch = decode("AgentConfig", &config).expect("acceptable");
        assert_eq!(
            (patch.voice.volume, patch.voice.voice.as_deref(), patch.turn.silence_ms),
            (Some(120), Some("v"), Some(600))
        );
        let shown = json!({"VoiceChat": {"Volume": 120, "VoiceId": "v", "AsrMaxSilence": 600, "VadLevel": 3,
            "EnableVoiceInterrupt": false, "BailianAppParams": "{\"a\":1}"}});
        assert_eq!((as_template(&config), as_template(&json!({}))), (shown, json!({})));
        assert!(of_template(json!({"VoiceChat": 7})).is_err());
        assert_eq!(of_template(json!({})), Ok(json!({})));
    }

    #[test]
    fn configurations_are_laid_over_each_other_as_the_vendor_does() {
        let mut lower = json!({"A": {"B": 1, "C": [1]}, "D": "x"});
        merge(&mut lower, json!({"A": {"B": 2, "C": [], "E": {"F": 1}}, "D": null, "G": false}));
        assert_eq!(lower, json!({"A": {"B": 2, "C": [1], "E": {"F": 1}}, "D": "x", "G": false}));
    }

    #[test]
    fn what_a_telephone_cannot_have_is_refused_by_name() {
        for (config, member) in [
            (json!({"EnablePushToTalk": "yes"}), "AgentConfig.EnablePushToTalk"),
            (json!({"VoiceprintConfig": {"UseVoiceprint": true}}), "AgentConfig.VoiceprintConfig.UseVoiceprint"),
            (json!({"Volume": 401}), "AgentConfig.Volume"),
            (json!({"GracefulShutdown": "yes"}), "AgentConfig.GracefulShutdown"),
            (json!({"TtsConfig": {"VoiceId": 7}}), "AgentConfig.TtsConfig.VoiceId"),
        ] {
            let Err(Fault::Invalid { field, .. }) = decode("AgentConfig", &config) else { panic!("{config}") };
            assert_eq!(field, member);
        }
        assert!(settled("AgentConfig", &json!({"EnablePushToTalk": true})).is_err());
        assert!(decode("AgentConfig", &json!({"EnablePushToTalk": false, "WakeUpQuery": "x"})).is_ok());
    }
}
