//! CreateAICall's parameters to an agent of ours: what the vendor stores for an agent, too. Every parameter is read, checked
//! and given its effect, or refused by its name (`docs/tencent.md` says which).

use super::extracts;
use super::fields::Fields;
use super::voices;
use super::words::VendorError;
use callwright_domain::agent::{
    AgentProfile, Endpoint, Greeting, IdleSettings, MOST_REMINDERS, Recording, Switch, Tool, VoiceSettings,
    WeightedText,
};
use callwright_domain::{AgentId, DeskName, Pii, TransferTarget};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The parameters that describe an agent.
pub(super) const PARAMETERS: &[&str] = &[
    "LLMType",
    "APIKey",
    "APIUrl",
    "Model",
    "SystemPrompt",
    "Temperature",
    "TopP",
    "LLMExtraBody",
    "VoiceType",
    "CustomTTSConfig",
    "CustomSTTConfig",
    "WelcomeMessage",
    "WelcomeType",
    "WelcomeMessagePriority",
    "MaxDuration",
    "MaxCallDurationMs",
    "NotifyDuration",
    "NotifyMessage",
    "NotifyMaxCount",
    "Languages",
    "InterruptMode",
    "InterruptSpeechDuration",
    "VadSilenceTime",
    "VadLevel",
    "EndFunctionEnable",
    "EndFunctionDesc",
    "TransferFunctionEnable",
    "TransferItems",
    "TransferToAgentEnable",
    "TransferToAgentItems",
    "ExtractConfig",
    "ToneWord",
    "EnableComplianceAudio",
    "EnableVoicemailDetection",
    "VoicemailAction",
    "AmbientSoundType",
    "AmbientSoundVolume",
];

/// Longest text whose length the vendor does not limit, in characters.
const MAX_TEXT: usize = 100_000;
/// Longest address.
const MAX_URL: usize = 2048;
/// Longest key.
const MAX_KEY: usize = 1024;
/// A day, in milliseconds: longest of all times.
const DAY_MS: u32 = 86_400_000;
/// Longest call when none is named: the vendor has no limit, we end what nobody ended after a day.
const NO_LIMIT_S: u64 = 86_400;
/// Silence after which the callee is left, unless the request says otherwise, in milliseconds.
const MAX_SILENCE_MS: u64 = 60_000;
/// Silence before a reminder unless the request says otherwise, in milliseconds, and the least.
const NOTIFY_MS: u32 = 10_000;
/// Speech that interrupts unless the request says otherwise, in milliseconds.
const INTERRUPT_MS: u64 = 500;
/// Silence that ends an utterance unless the request says otherwise, in milliseconds.
const VAD_SILENCE_MS: u64 = 1000;
/// Our insensitivity for each of the vendor's four levels; the last is ours for near speakers.
const VAD_LEVELS: [u8; 4] = [5, 7, 9, 11];
/// Percent of our loudness for the vendor's 1.
const AMBIENT_UNIT: f64 = 50.0;
/// Most functions that hand over.
const MAX_TRANSFERS: usize = 50;
/// Longest list of filler words of one mood.
const MAX_TONE_WORDS: usize = 50;

/// The vendor's built-in voices and the language of each.
const VOICES: &[(&str, &str)] = &[
    ("ZhiMei", "zh"),
    ("ZhiXi", "zh"),
    ("ZhiQi", "zh"),
    ("ZhiTian", "zh"),
    ("AiXiaoJing", "zh"),
    ("WeRose", "en"),
    ("Monika", "en"),
    ("Nanami", "ja"),
    ("SunHi", "ko"),
    ("Gadis", "id"),
    ("Yasmin", "ms"),
    ("Kani", "th"),
    ("Achara", "th"),
    ("HoaiMy", "vi"),
];
/// The vendor's languages and what ours are called.
const LANGUAGES: &[(&str, &str)] = &[
    ("zh", "zh"),
    ("zh-TW", "zh-TW"),
    ("zh-dialect", "zh"),
    ("en", "en"),
    ("vi", "vi"),
    ("ja", "ja"),
    ("ko", "ko"),
    ("id", "id"),
    ("th", "th"),
    ("pt", "pt"),
    ("tr", "tr"),
    ("ar", "ar"),
    ("es", "es"),
    ("hi", "hi"),
    ("fr", "fr"),
    ("ms", "ms"),
    ("fil", "fil"),
    ("de", "de"),
    ("it", "it"),
    ("ru", "ru"),
];
/// The vendor's background sounds and ours.
const SOUNDS: &[(&str, &str)] = &[("coffee_shops", "cafe"), ("busy_office", "office")];

type Read<T> = Result<T, VendorError>;

/// The agent of a file that holds the parameters as the vendor stores them; beside them it may have a name.
///
/// # Errors
/// The first parameter that is not acceptable.
pub(super) fn of_file(file: &Value) -> Read<AgentProfile> {
    let Value::Object(members) = file else { return Err(VendorError::wrong_type("agent", "must be an object")) };
    let fields = Fields::top(members);
    fields.only(&[PARAMETERS, &["AIAgentName"]])?;
    let mut agent = profile(&fields)?;
    agent.name = fields.label("AIAgentName", 200)?.unwrap_or_default();
    Ok(agent)
}

/// The agent that the parameters describe.
///
/// # Errors
/// The first parameter that is not acceptable.
pub(super) fn profile(fields: &Fields<'_>) -> Read<AgentProfile> {
    let mut agent = AgentProfile { recording: Recording::Stereo, ..AgentProfile::default() };
    let spoken = fields.texts("Languages", 4, 16)?.unwrap_or_default();
    for (at, word) in spoken.iter().enumerate() {
        let known = LANGUAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        let (_, ours) = known.ok_or_else(|| fields.bad(&format!("Languages.{at}"), "is no language of this list"))?;
        if at == 0 {
            (*ours).clone_into(&mut agent.language);
        }
    }
    if agent.language.is_empty() {
        "zh".clone_into(&mut agent.language);
    }
    brain(fields, &mut agent)?;
    agent.voice = voice(fields)?;
    opening(fields, &mut agent)?;
    agent.idle = idle(fields, &agent.language)?;
    turns(fields, &mut agent)?;
    tools(fields, &mut agent)?;
    filler(fields, &mut agent)?;
    ambient(fields, &mut agent)?;
    let longest = fields.millis("MaxCallDurationMs", 1..=DAY_MS)?;
    agent.limits.max_duration_s = longest.map_or(NO_LIMIT_S, |ms| ms.div_ceil(1000));
    agent.extract = extracts::wanted(fields)?;
    agent.voicemail.detect = Switch::from(fields.flag("EnableVoicemailDetection")? == Some(true));
    // Hanging up is all that there is.
    fields.whole("VoicemailAction", 0..=0)?;
    refuse_what_is_not_built(fields)?;
    Ok(agent)
}

/// Parameters without a part of ours behind them, when they ask for something.
fn refuse_what_is_not_built(fields: &Fields<'_>) -> Read<()> {
    match fields.text("CustomSTTConfig", MAX_TEXT)?.filter(|text| !text.trim().is_empty()) {
        Some(_) => Err(VendorError::unsupported("the parameter CustomSTTConfig")),
        None => Ok(()),
    }
}

fn brain(fields: &Fields<'_>, agent: &mut AgentProfile) -> Read<()> {
    let kinds = [("openai", "openai"), ("azure", "azure"), ("minimax", "minimax"), ("dify", "dify")];
    let kind = fields.needed("LLMType", fields.word("LLMType", &kinds)?)?;
    let key = fields.needed("APIKey", fields.label("APIKey", MAX_KEY)?)?;
    let url = fields.needed("APIUrl", fields.label("APIUrl", MAX_URL)?)?;
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(fields.bad("APIUrl", "must begin with https:// or http://"));
    }
    let brain = &mut agent.brain;
    brain.model = fields.label("Model", 256)?.unwrap_or_default();
    brain.system_prompt = templated(&fields.text("SystemPrompt", MAX_TEXT)?.unwrap_or_default());
    brain.temperature = fields.real("Temperature", 0.0..=2.0)?;
    if let Some(top_p) = fields.real("TopP", 0.0..=1.0)? {
        brain.params.insert("top_p".to_owned(), json!(top_p));
    }
    brain.params.extend(fields.json_object("LLMExtraBody", MAX_TEXT)?.unwrap_or_default());
    brain.endpoint = Some(Endpoint { kind: kind.to_owned(), url, key: Pii::new(key), params: BTreeMap::new() });
    Ok(())
}

fn voice(fields: &Fields<'_>) -> Read<VoiceSettings> {
    let mut voice = VoiceSettings::default();
    let own = voices::wanted(fields)?;
    if let Some(name) = fields.label("VoiceType", 64)?.filter(|name| !name.is_empty()) {
        if own.is_some() {
            return Err(fields.bad("VoiceType", "must not be given beside CustomTTSConfig"));
        }
        let known = VOICES.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        let (name, language) = known.ok_or_else(|| fields.bad("VoiceType", "is none of the built-in voices"))?;
        (*name).clone_into(&mut voice.vendor);
        (*language).clone_into(&mut voice.language);
    }
    Ok(own.unwrap_or(voice))
}

fn opening(fields: &Fields<'_>, agent: &mut AgentProfile) -> Read<()> {
    let message = templated(&fields.text("WelcomeMessage", MAX_TEXT)?.unwrap_or_default());
    agent.opening.greeting = match fields.whole("WelcomeType", 0..=1)? {
        Some(1) if message.is_empty() => Greeting::Model(String::from("Greet the callee, in one short sentence.")),
        Some(1) => Greeting::Model(message),
        _ if message.is_empty() => Greeting::None,
        _ => Greeting::Text(message),
    };
    agent.opening.interruptible = match fields.whole("WelcomeMessagePriority", 0..=2)? {
        None | Some(0) => Switch::On,
        Some(2) => Switch::Off,
        Some(_) => return Err(fields.bad("WelcomeMessagePriority", "must be 0 or 2")),
    };
    agent.opening.tone = fields.flag("EnableComplianceAudio")?.unwrap_or(true).into();
    Ok(())
}

fn idle(fields: &Fields<'_>, language: &str) -> Read<IdleSettings> {
    let remind_after_ms = fields.millis("NotifyDuration", NOTIFY_MS..=DAY_MS)?.unwrap_or(NOTIFY_MS.into());
    let message = fields.text("NotifyMessage", 1000)?;
    let message = message.unwrap_or_else(|| default_reminder(language).to_owned());
    let reminders =
        if message.trim().is_empty() { Vec::new() } else { vec![WeightedText { text: message, weight: 1.0 }] };
    Ok(IdleSettings {
        remind_after_ms: if reminders.is_empty() { 0 } else { remind_after_ms },
        reminders,
        max_reminders: fields.count("NotifyMaxCount", 0..=MOST_REMINDERS)?.unwrap_or(MOST_REMINDERS),
        leave: Switch::Off,
        hang_up_after_ms: fields.millis("MaxDuration", 1..=DAY_MS)?.unwrap_or(MAX_SILENCE_MS),
        ..IdleSettings::default()
    })
}

fn default_reminder(language: &str) -> &'static str {
    match language.split('-').next().unwrap_or_default() {
        "zh" => "抱歉，我没有听到您的声音，请您再说一遍好吗？",
        _ => "Sorry, I did not hear you. Could you say that again?",
    }
}

fn turns(fields: &Fields<'_>, agent: &mut AgentProfile) -> Read<()> {
    agent.interrupt.by_voice = (fields.whole("InterruptMode", 0..=1)?.unwrap_or(0) == 0).into();
    agent.interrupt.min_speech_ms = fields.millis("InterruptSpeechDuration", 0..=10_000)?.unwrap_or(INTERRUPT_MS);
    agent.turn.silence_ms = fields.millis("VadSilenceTime", 240..=2000)?.unwrap_or(VAD_SILENCE_MS);
    let level = fields.count("VadLevel", 0..=3)?.unwrap_or(0);
    agent.ears.vad_level = VAD_LEVELS[level as usize];
    Ok(())
}

fn tools(fields: &Fields<'_>, agent: &mut AgentProfile) -> Read<()> {
    let description = fields.text("EndFunctionDesc", 1000)?;
    if fields.flag("EndFunctionEnable")? == Some(true) {
        let fallback = "Call this when the user says goodbye, or says that they have to leave.";
        let description = description.filter(|text| !text.is_empty()).unwrap_or_else(|| fallback.to_owned());
        agent.tools.push(Tool::EndCall { name: String::from("call_end"), description });
    }
    leads(fields, &TO_PEOPLE, agent, |name, description, group| {
        let (announcement, apology) = (String::new(), String::new());
        Tool::Transfer { name, description, to: desk_of(group).dial(), announcement, apology }
    })?;
    leads(fields, &TO_AGENTS, agent, |name, description, number| Tool::ChangeAgent {
        name,
        description,
        agent: agent_numbered(number),
    })
}

/// How functions of one kind are spelled that lead away from the agent.
struct Leads {
    /// What switches them on, and their list.
    list: (&'static str, &'static str),
    /// The members of each: its name, when it is to be used, where it leads.
    members: [&'static str; 3],
}

/// To a skill group: a desk of that number, which the rules of the account or the agent say more about.
const TO_PEOPLE: Leads = Leads {
    list: ("TransferFunctionEnable", "TransferItems"),
    members: ["TransferFunctionName", "TransferFunctionDesc", "TransferSkillGroupId"],
};
/// To another agent, who goes on with the call.
const TO_AGENTS: Leads = Leads {
    list: ("TransferToAgentEnable", "TransferToAgentItems"),
    members: ["TransferToAgentName", "TransferToAgentDesc", "TransferToAgentId"],
};

fn leads(
    fields: &Fields<'_>,
    spelled: &Leads,
    agent: &mut AgentProfile,
    tool: impl Fn(String, String, i64) -> Tool,
) -> Read<()> {
    let (switch, list) = spelled.list;
    let items = fields.objects(list, MAX_TRANSFERS)?;
    // A list that nothing switches on is of no effect with the vendor, too.
    if fields.flag(switch)? != Some(true) {
        return Ok(());
    }
    let [name_member, description, target] = spelled.members;
    for item in fields.needed(list, items.filter(|items| !items.is_empty()))? {
        item.only(&[&spelled.members])?;
        let name = item.needed(name_member, item.label(name_member, 64)?)?;
        let shaped = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if name.is_empty() || !shaped {
            return Err(item.bad(name_member, "must be 1 to 64 of A-Z a-z 0-9 - _"));
        }
        if agent.tools.iter().any(|other| other.name() == name) {
            return Err(item.bad(name_member, "must be a name that no other function has"));
        }
        let description = item.needed(description, item.text(description, 1000)?)?;
        let target = item.needed(target, item.whole(target, 0..=i64::MAX)?)?;
        agent.tools.push(tool(name, description, target));
    }
    Ok(())
}

/// An agent by its number, until [`super::leading::settle`] has looked up who that is.
fn agent_numbered(number: i64) -> AgentId {
    AgentId::new(number.to_string()).expect("digits are an id")
}

/// The desk that a skill group is.
pub(super) fn desk_of(group: i64) -> TransferTarget {
    TransferTarget::Desk(DeskName::new(group.to_string()).expect("digits are a name"))
}

fn filler(fields: &Fields<'_>, agent: &mut AgentProfile) -> Read<()> {
    let Some(tone) = fields.object("ToneWord")? else { return Ok(()) };
    tone.only(&[&["FirstSentenceTimeout", "ZHToneWords"]])?;
    let after_s = tone.real("FirstSentenceTimeout", 0.1..=60.0)?;
    let Some(words) = tone.object("ZHToneWords")? else { return Ok(()) };
    words.only(&[&["Neutral", "Positive", "Negative"]])?;
    let mut moods = Vec::new();
    for mood in ["Neutral", "Positive", "Negative"] {
        moods.push(words.texts(mood, MAX_TONE_WORDS, 100)?.unwrap_or_default());
    }
    // What the answer's mood will be is not known before it comes: neutral words fit any.
    let chosen = if moods[0].is_empty() { moods.concat() } else { moods.swap_remove(0) };
    let weight = 1.0 / f64::from(u32::try_from(chosen.len().max(1)).unwrap_or(u32::MAX));
    agent.filler.texts = chosen.into_iter().map(|text| WeightedText { text, weight }).collect();
    // Seconds, already small.
    agent.filler.after_ms = std::time::Duration::from_secs_f64(after_s.unwrap_or(1.0)).as_millis() as u64;
    Ok(())
}

fn ambient(fields: &Fields<'_>, agent: &mut AgentProfile) -> Read<()> {
    let sound = match fields.text("AmbientSoundType", 64)? {
        None => None,
        Some(name) if name.is_empty() => None,
        Some(_) => fields.word("AmbientSoundType", SOUNDS)?,
    };
    let volume = fields.real("AmbientSoundVolume", 0.0..=2.0)?.unwrap_or(1.0);
    if let Some(sound) = sound {
        sound.clone_into(&mut agent.ambient.sound);
        agent.ambient.volume = (volume * AMBIENT_UNIT).round() as u32;
    }
    Ok(())
}

/// A vendor's text as a template of ours: `${Name}` is a variable, and what looks like a template of ours stands for
/// itself.
pub(super) fn templated(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['$', '{']) {
        written.push_str(&rest[..at]);
        rest = &rest[at..];
        let name = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        if let Some(name) = name.filter(|name| !name.is_empty() && !name.contains(['{', '$', '\n'])) {
            // Writing to a String cannot fail.
            write!(written, "{{{{ {} }}}}", variable_name(name.trim())).unwrap_or_default();
            rest = &rest[name.len() + 3..];
            continue;
        }
        let opens = ["{{", "{%", "{#"].iter().any(|tag| rest.starts_with(tag));
        written.push_str(if opens { r#"{{ "\u007b" }}"# } else { &rest[..1] });
        rest = &rest[1..];
    }
    written + rest
}

/// A variable's name as our templates can use it: what is no identifier goes by its bytes.
pub(super) fn variable_name(name: &str) -> String {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !name.starts_with(ENCODED);
    let plain = starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain && !KEYWORDS.contains(&name) { name.to_owned() } else { format!("{ENCODED}{}", hex::encode(name)) }
}

/// The vendor's name of a variable of ours.
pub(super) fn variable_shown(name: &str) -> String {
    let decoded = name.strip_prefix(ENCODED).and_then(|digits| hex::decode(digits).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_else(|| name.to_owned())
}

/// What names begin with that are no identifiers themselves.
const ENCODED: &str = "x__";
/// Words of the template language.
const KEYWORDS: [&str; 16] = [
    "true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else", "elif", "endif",
    "loop",
];

/// Takes the variables that are meant for a Dify application out of the others: members of its request.
pub(super) fn take_inputs(given: &mut BTreeMap<String, String>) -> Option<Map<String, Value>> {
    const PREFIX: &str = "dify-inputs-";
    let names: Vec<String> = given.keys().filter(|name| name.starts_with(PREFIX)).cloned().collect();
    let mut members = Map::new();
    let mut inputs = Map::new();
    for name in names {
        let Some(value) = given.remove(&name) else { continue };
        match &name[PREFIX.len()..] {
            member @ ("user" | "conversation_id") => drop(members.insert(member.to_owned(), json!(value))),
            input => drop(inputs.insert(input.to_owned(), json!(value))),
        }
    }
    if !inputs.is_empty() {
        members.insert(String::from("inputs"), Value::Object(inputs));
    }
    (!members.is_empty()).then_some(members)
}

/// Lays such members over an agent's parameters; inputs one by one.
pub(super) fn lay_inputs(params: &mut BTreeMap<String, Value>, members: &Map<String, Value>) {
    for (name, value) in members {
        match (params.get_mut(name), value) {
            (Some(Value::Object(kept)), Value::Object(new)) => kept.extend(new.clone()),
            _ => drop(params.insert(name.clone(), value.clone())),
        }
    }
}
