//! `AIAgentOutboundCallConfig` to our own patch: one function for each of its objects. Every member is read, checked
//! against the vendor's range and given its effect, or read and known to have none here (`docs/alibaba.md` says which).

use super::invalid;
use super::section::Section;
use crate::fault::Fault;
use crate::http::Context;
use callwright_domain::agent::{
    AgentPatch, AgentProfile, AmbientPatch, BackchannelPatch, BrainPatch, Choice, EarsPatch, FillerPatch, Greeting,
    HistoryLine, HistoryRole, IdlePatch, InterruptPatch, Overheard, Pronunciation, Tool, TurnMode, TurnPatch,
    VoicePatch, WeightedText, params,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longest text whose length the vendor does not limit.
const MAX_TEXT: usize = 100_000;
/// What an answer that was cut off ends with for the model, where the history follows the voice.
const INTERRUPTED: &str = "<ims_agent_interrupted>";
/// Most words of lists whose length the vendor does not limit.
const MAX_WORDS: usize = 128;
/// How far a list's probabilities may be from 1 in sum.
const SUM_TOLERANCE: f64 = 0.01;
/// Patience when the vendor would choose it: between its middle and its long one.
const AUTOMATIC_PATIENCE_MS: u64 = 4000;

/// Words that a language of recognition goes by here.
const EARS_LANGUAGES: &[(&str, &str)] =
    &[("zh_mandarin", "zh"), ("en", "en"), ("zh_en", "zh"), ("es", "es"), ("jp", "ja"), ("", "")];
/// Words that a language of speech goes by here.
const VOICE_LANGUAGES: &[(&str, &str)] = &[
    ("Chinese", "zh"),
    ("Chinese,Yue", "yue"),
    ("English", "en"),
    ("Arabic", "ar"),
    ("Russian", "ru"),
    ("Spanish", "es"),
    ("French", "fr"),
    ("Portuguese", "pt"),
    ("German", "de"),
    ("Turkish", "tr"),
    ("Dutch", "nl"),
    ("Ukrainian", "uk"),
    ("Vietnamese", "vi"),
    ("Indonesian", "id"),
    ("Japanese", "ja"),
    ("Italian", "it"),
    ("Korean", "ko"),
    ("Thai", "th"),
    ("Polish", "pl"),
    ("Romanian", "ro"),
    ("Greek", "el"),
    ("Czech", "cs"),
    ("Finnish", "fi"),
    ("Hindi", "hi"),
    ("auto", ""),
    ("", ""),
];
const EMOTIONS: &[(&str, &str)] = &[
    ("happy", "happy"),
    ("sad", "sad"),
    ("angry", "angry"),
    ("fearful", "fearful"),
    ("disgusted", "disgusted"),
    ("surprised", "surprised"),
    ("calm", "calm"),
    ("", ""),
];
const VOICE_MODELS: &[(&str, &str)] =
    &[("speech-01-turbo", "speech-01-turbo"), ("speech-02-turbo", "speech-02-turbo"), ("", "")];
/// How long each eagerness waits for an unfinished sentence, in milliseconds.
const EAGERNESS: &[(&str, u64)] = &[("Low", 6000), ("Medium", 4000), ("High", 2000)];

/// The patch that a Config means; none without one.
///
/// # Errors
/// A fault of `Config` that names the first member that is not acceptable.
pub(super) fn decode(config: Option<&str>) -> Result<AgentPatch, Fault> {
    let Some(text) = config else { return Ok(AgentPatch::default()) };
    let value: Value = serde_json::from_str(text).map_err(|_| invalid("Config", "must be valid JSON"))?;
    if value.is_null() {
        return Ok(AgentPatch::default());
    }
    decode_at(&Section::of("Config", &value)?)
}

/// The patch that a configuration means, wherever it stands.
///
/// # Errors
/// A fault that names the first member that is not acceptable.
pub(super) fn decode_at(config: &Section<'_>) -> Result<AgentPatch, Fault> {
    // Opaque to us; kept with the call and shown again.
    config.json("ExperimentalConfig")?;
    let mut patch = AgentPatch::default();
    patch.opening.greeting = config.text("Greeting", 4000)?.map(|text| match text.is_empty() {
        true => Greeting::None,
        false => Greeting::Text(literal(&text)),
    });
    patch.opening.delay_ms = config.whole("GreetingDelay", 0, 5000)?;
    let interrupt = config.child("InterruptConfig")?;
    patch.ears = ears(&config.child("AsrConfig")?)?;
    patch.voice = voice(&config.child("TtsConfig")?)?;
    patch.interrupt = interruption(&interrupt)?;
    patch.turn = turn(&config.child("TurnDetectionConfig")?, &interrupt)?;
    patch.turn.join_segments = config.flag("EnableIntelligentSegment")?.map(Into::into);
    let language_model = config.child("LlmConfig")?;
    patch.brain = brain(&language_model)?;
    patch.voice.hold_below_chars = language_model.whole("OutputMinLength", 0, 100)?.map(small);
    patch.voice.hold_at_most_ms = language_model.whole_or_off("OutputMaxDelay", 1000, 10_000)?;
    patch.tools = tools(&language_model)?;
    let listening = config.child("AsrConfig")?;
    patch.turn.silence_ms = listening.whole("AsrMaxSilence", 200, 1200)?;
    patch.interrupt.min_speech_ms = listening.whole_or_off("VadDuration", 200, 2000)?;
    let speech = config.child("AutoSpeechConfig")?;
    patch.filler = filler(&speech.child("LlmPending")?)?;
    patch.idle = idle(&speech.child("UserIdle")?)?;
    let silence_s = config.signed("MaxIdleTime", -1, 86_400)?;
    patch.idle.hang_up_after_ms = silence_s.map(|seconds| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    patch.ambient = ambient(&config.child("AmbientSoundConfig")?)?;
    patch.backchannel = backchannel(config)?;
    Ok(patch)
}

/// What depends on the stored agent: its other tools stay, and its brain's own parameters stay unless the request brings
/// some. A voice that the agent's synthesiser does not have is the agent's own.
pub(super) fn settle(context: &Context, patch: &mut AgentPatch, stored: &AgentProfile) {
    if patch.voice.voice.is_some() {
        let mut agent = stored.clone();
        patch.clone().apply(&mut agent);
        if !context.calls.has_voice(&agent.voice) {
            patch.voice.voice = None;
        }
    }
    if let Some(tools) = &mut patch.tools {
        tools.extend(stored.tools.iter().filter(|tool| !matches!(tool, Tool::EndCall { .. })).cloned());
    }
}

/// Has the brain told of the call by the vendor's parameter `extendData`, unless it was given one that is null. `channel`: a
/// telephone call has none but itself.
pub(super) fn extend(
    patch: &mut AgentPatch,
    stored: &AgentProfile,
    (user_data, channel): (Option<&str>, Option<&str>),
) {
    let name = "extendData";
    if stored.brain.params.get(name) == Some(&Value::Null) {
        return;
    }
    let (user_data, channel) = (user_data.unwrap_or_default(), channel.unwrap_or(params::CALL));
    let extend =
        json!({"instanceId": params::CALL, "channelId": channel, "sentenceId": params::TURN, "userData": user_data});
    let params = patch.brain.params.get_or_insert_with(|| stored.brain.params.clone());
    params.insert(name.to_owned(), extend);
}

fn ears(section: &Section<'_>) -> Result<EarsPatch, Fault> {
    Ok(EarsPatch {
        language: section.word("AsrLanguageId", EARS_LANGUAGES)?.map(str::to_owned),
        hot_words: section.words("AsrHotWords", 128, 64)?,
        vad_level: section.whole("VadLevel", 0, 11)?.map(|level| u8::try_from(level).unwrap_or(u8::MAX)),
        params: section.pairs("CustomParams")?,
        ..EarsPatch::default()
    })
}

fn voice(section: &Section<'_>) -> Result<VoicePatch, Fault> {
    // Voices that a client could switch to; a telephone cannot.
    section.words("VoiceIdList", MAX_WORDS, 64)?;
    let rule = |rule: &Section<'_>| {
        rule.word("Type", &[("replacement", ())])?;
        let word = rule.label("Word", 10)?.filter(|word| !word.is_empty());
        let spoken = rule.label("Pronunciation", 10)?;
        Ok(Pronunciation { word: rule.needed("Word", word)?, spoken: rule.needed("Pronunciation", spoken)? })
    };
    let rules = section.sections("PronunciationRules", 20)?;
    Ok(VoicePatch {
        model: section.word("ModelId", VOICE_MODELS)?.map(str::to_owned),
        voice: section.label("VoiceId", 64)?,
        language: section.word("LanguageId", VOICE_LANGUAGES)?.map(str::to_owned),
        rate: section.real("SpeechRate", 0.5, 2.0)?,
        emotion: section.word("Emotion", EMOTIONS)?.map(str::to_owned),
        pronunciations: rules.map(|rules| rules.iter().map(rule).collect::<Result<_, Fault>>()).transpose()?,
        ..VoicePatch::default()
    })
}

fn interruption(section: &Section<'_>) -> Result<InterruptPatch, Fault> {
    let modes = [("cache", Overheard::Keep), ("discard", Overheard::Discard)];
    Ok(InterruptPatch {
        by_voice: section.flag("EnableVoiceInterrupt")?.map(Into::into),
        words: section.words("InterruptWords", MAX_WORDS, 64)?,
        keep_words: section.flag("KeepInterruptWordsForLLM")?.map(Into::into),
        overheard: section.word("NoInterruptMode", &modes)?,
        ..InterruptPatch::default()
    })
}

fn turn(section: &Section<'_>, interrupt: &Section<'_>) -> Result<TurnPatch, Fault> {
    let modes = [("Normal", TurnMode::Silence), ("Semantic", TurnMode::Semantic)];
    let wait = section.signed("SemanticWaitDuration", -1, 10_000)?;
    let wait = wait.map(|wait| u64::try_from(wait).unwrap_or(AUTOMATIC_PATIENCE_MS));
    // The deprecated place of the same word; it has no list of values, so other words have no effect.
    let older = interrupt.text("Eagerness", 64)?;
    let older =
        older.and_then(|word| EAGERNESS.iter().find(|(known, _)| *known == word)).map(|(_, patience)| *patience);
    Ok(TurnPatch {
        mode: section.word("Mode", &modes)?,
        end_words: section.words("TurnEndWords", MAX_WORDS, 64)?,
        patience_ms: section.word("Eagerness", EAGERNESS)?.or(wait).or(older),
        ..TurnPatch::default()
    })
}

fn brain(section: &Section<'_>) -> Result<BrainPatch, Fault> {
    let roles = [
        ("user", HistoryRole::User),
        ("assistant", HistoryRole::Assistant),
        ("system", HistoryRole::System),
        ("function", HistoryRole::Tool),
        ("plugin", HistoryRole::Tool),
        ("tool", HistoryRole::Tool),
    ];
    let line = |line: &Section<'_>| {
        let role = line.needed("Role", line.word("Role", &roles)?)?;
        Ok(HistoryLine { role, content: line.needed("Content", line.text("Content", MAX_TEXT)?)? })
    };
    let history = section.sections("LlmHistory", 500)?;
    // Our history always is what was played, and the whole reply only ever went to a client's data channel.
    let marks = section.flag("HistorySyncWithTTS")?;
    section.flag("LlmCompleteReply")?;
    let params = match section.json("BailianAppParams")? {
        None => None,
        Some(Value::Null) => Some(BTreeMap::new()),
        Some(Value::Object(members)) => Some(members.into_iter().collect()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(section.fault("BailianAppParams", "must be a string that holds a JSON object"));
        }
    };
    Ok(BrainPatch {
        system_prompt: section.text("LlmSystemPrompt", MAX_TEXT)?.map(|text| literal(&text)),
        history: history.map(|lines| lines.iter().map(line).collect::<Result<_, Fault>>()).transpose()?,
        history_limit: section.whole("LlmHistoryLimit", 0, 1000)?.map(small),
        cut_mark: marks.map(|marks| String::from(if marks { INTERRUPTED } else { "" })),
        query: section.pairs("OpenAIExtraQuery")?,
        params,
        ..BrainPatch::default()
    })
}

fn tools(section: &Section<'_>) -> Result<Option<Vec<Tool>>, Fault> {
    let Some(entries) = section.sections("FunctionMap", 20)? else { return Ok(None) };
    let mut tools: Vec<Tool> = Vec::new();
    for entry in &entries {
        entry.needed("Function", entry.word("Function", &[("hangup", ())])?)?;
        let name = entry.needed("MatchFunction", entry.text("MatchFunction", 64)?)?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
            return Err(entry.fault("MatchFunction", "must be 1 to 64 of A-Z a-z 0-9 - _"));
        }
        if tools.iter().any(|tool| tool.name() == name) {
            return Err(entry.fault("MatchFunction", "must be a name of its own"));
        }
        tools.push(Tool::EndCall { name, description: String::from("Ends the telephone call.") });
    }
    Ok(Some(tools))
}

fn filler(section: &Section<'_>) -> Result<FillerPatch, Fault> {
    if !section.is_there() {
        return Ok(FillerPatch::default());
    }
    let modes = [("random", Choice::Random), ("sequence", Choice::Sequence)];
    Ok(FillerPatch {
        after_ms: Some(section.needed("WaitTime", section.whole("WaitTime", 500, 10_000)?)?),
        texts: weighted(section, "Messages", 100)?,
        // Newer clients leave it out although it is required.
        choice: Some(section.word("Mode", &modes)?.unwrap_or(Choice::Random)),
    })
}

fn idle(section: &Section<'_>) -> Result<IdlePatch, Fault> {
    if !section.is_there() {
        return Ok(IdlePatch::default());
    }
    Ok(IdlePatch {
        remind_after_ms: Some(section.needed("WaitTime", section.whole("WaitTime", 5000, 600_000)?)?),
        max_reminders: Some(small(section.needed("MaxRepeats", section.whole("MaxRepeats", 0, 10)?)?)),
        reminders: weighted(section, "Messages", 100)?,
        goodbye: section.text("HangupEndWord", 1000)?,
        ..IdlePatch::default()
    })
}

fn ambient(section: &Section<'_>) -> Result<AmbientPatch, Fault> {
    Ok(AmbientPatch { sound: section.label("ResourceId", 128)?, volume: section.whole("Volume", 0, 100)?.map(small) })
}

/// The first item that is enabled; all of them answer the only stage there is. The deprecated name holds one object in
/// the server SDKs and a list in the browser's.
fn backchannel(config: &Section<'_>) -> Result<BackchannelPatch, Fault> {
    let name = "BackChannelingConfig";
    let older = match config.raw(name) {
        Some(Value::Object(_)) => Some(vec![config.child(name)?]),
        _ => config.sections(name, 10)?,
    };
    let mut items = Vec::new();
    for section in older.iter().flatten() {
        items.push(channel(section)?);
    }
    // The newer name wins, but both are checked.
    if let Some(newer) = config.sections("BackChannelingConfigs", 10)? {
        items = newer.iter().map(channel).collect::<Result<_, Fault>>()?;
    }
    if items.is_empty() {
        return Ok(BackchannelPatch::default());
    }
    let off = BackchannelPatch { probability: Some(0.0), words: None };
    Ok(items.into_iter().flatten().next().unwrap_or(off))
}

/// One item; none when it is switched off.
fn channel(section: &Section<'_>) -> Result<Option<BackchannelPatch>, Fault> {
    section.word("TriggerStage", &[("pause_detected", ())])?;
    let enabled = match section.flag("Enabled")? {
        Some(enabled) => Some(enabled),
        // The browser's SDK misspells it.
        None => section.flag("Enable")?,
    };
    let enabled = section.needed("Enabled", enabled)?;
    let probability = section.needed("Probability", section.real("Probability", 0.0, 1.0)?)?;
    let words = match section.raw("Words") {
        Some(Value::Object(_)) => weights(section, "Words", &[section.child("Words")?], 20)?,
        _ => weighted(section, "Words", 20)?,
    };
    Ok(enabled.then_some(BackchannelPatch { probability: Some(probability), words }))
}

fn weighted(section: &Section<'_>, name: &str, longest: usize) -> Result<Option<Vec<WeightedText>>, Fault> {
    match section.sections(name, 10)? {
        None => Ok(None),
        Some(items) => weights(section, name, &items, longest),
    }
}

/// Texts whose probabilities sum to 1. When none has one, all have the same.
fn weights(
    section: &Section<'_>,
    name: &str,
    items: &[Section<'_>],
    longest: usize,
) -> Result<Option<Vec<WeightedText>>, Fault> {
    let mut texts = Vec::with_capacity(items.len());
    let mut stated = false;
    for item in items {
        let text = item.text("Text", longest)?.filter(|text| !text.trim().is_empty());
        let weight = item.real("Probability", 0.0, 1.0)?;
        stated |= weight.is_some();
        texts.push(WeightedText { text: item.needed("Text", text)?, weight: weight.unwrap_or(0.0) });
    }
    let count = f64::from(u32::try_from(texts.len()).unwrap_or(u32::MAX));
    if !stated {
        texts.iter_mut().for_each(|entry| entry.weight = 1.0 / count);
    }
    let sum: f64 = texts.iter().map(|entry| entry.weight).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(section.fault(name, "the probabilities must sum to 1"));
    }
    Ok(Some(texts))
}

/// The vendor's texts are spoken and sent as they are: what looks like one of our templates is made to stand for itself.
pub(super) fn literal(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' if matches!(rest.peek(), Some('{' | '%' | '#')) => written.push_str(r#"{{ "\u007b" }}"#),
            _ => written.push(c),
        }
    }
    written
}

/// A number that a range has already made small.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
