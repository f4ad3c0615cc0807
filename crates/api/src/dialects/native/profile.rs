//! What an agent's values may be, where their types allow more. The same rules hold for a stored agent and for the
//! overrides of one call.

use crate::dialects::transfer_target;
use callwright_domain::agent::{AgentPatch, AgentProfile, Greeting, MOST_REMINDERS, OnVoicemail, Tool, WeightedText};
use std::collections::BTreeSet;
use std::fmt::Display;

/// How far the weights of one list may be from 1 in sum.
const SUM_TOLERANCE: f64 = 0.01;
/// Longest prompt, greeting or other text, in characters.
const MAX_TEXT: usize = 100_000;
/// Longest mark of what was cut off, in characters: it stands behind every such answer.
const MAX_MARK: usize = 200;
/// Most entries of any list.
const MAX_LIST: usize = 500;

/// A member's path and the rule that it breaks.
pub(super) type Flaw = (&'static str, String);

/// Checks the values of an agent.
///
/// # Errors
/// The first member that is not acceptable.
pub(super) fn check(agent: &AgentProfile) -> Result<(), Flaw> {
    text("name", &agent.name)?;
    match &agent.opening.greeting {
        Greeting::None => {}
        Greeting::Text(words) | Greeting::Model(words) => text("opening.greeting", words)?,
    }
    if let Some(words) = &agent.opening.disclosure {
        text("opening.disclosure", words)?;
        if words.trim().is_empty() {
            return Err((
                "opening.disclosure",
                String::from("must have a word; leave it out when nothing is to be said"),
            ));
        }
    }
    within("opening.delay_ms", agent.opening.delay_ms, 0, 5000)?;
    text("opening.wake_up", agent.opening.wake_up.as_deref().unwrap_or_default())?;
    within("ears.vad_level", agent.ears.vad_level, 0, 11)?;
    list("ears.hot_words", agent.ears.hot_words.len())?;
    brain(agent)?;
    within("voice.rate", agent.voice.rate, 0.5, 2.0)?;
    within("voice.volume", agent.voice.volume, 0, 400)?;
    within("voice.hold_below_chars", agent.voice.hold_below_chars, 0, 1000)?;
    within("voice.hold_at_most_ms", agent.voice.hold_at_most_ms, 0, 60_000)?;
    list("voice.pronunciations", agent.voice.pronunciations.len())?;
    if agent.voice.pronunciations.iter().any(|rule| rule.word.is_empty()) {
        return Err(("voice.pronunciations", String::from("every word must have a character")));
    }
    within("turn.silence_ms", agent.turn.silence_ms, 50, 10_000)?;
    within("turn.patience_ms", agent.turn.patience_ms, 0, 60_000)?;
    words("turn.end_words", &agent.turn.end_words)?;
    within("interrupt.min_speech_ms", agent.interrupt.min_speech_ms, 0, 10_000)?;
    within("interrupt.min_words", agent.interrupt.min_words, 0, 100)?;
    words("interrupt.words", &agent.interrupt.words)?;
    within("idle.remind_after_ms", agent.idle.remind_after_ms, 0, 3_600_000)?;
    within("idle.max_reminders", agent.idle.max_reminders, 0, MOST_REMINDERS)?;
    within("idle.hang_up_after_ms", agent.idle.hang_up_after_ms, 0, 86_400_000)?;
    weights("idle.reminders", &agent.idle.reminders)?;
    text("idle.goodbye", &agent.idle.goodbye)?;
    text("voicemail.message", &agent.voicemail.message)?;
    if agent.voicemail.on_detect == OnVoicemail::LeaveMessage && agent.voicemail.message.trim().is_empty() {
        return Err(("voicemail.message", String::from("must have a word when a message is to be left")));
    }
    within("filler.after_ms", agent.filler.after_ms, 0, 60_000)?;
    weights("filler.texts", &agent.filler.texts)?;
    within("backchannel.probability", agent.backchannel.probability, 0.0, 1.0)?;
    weights("backchannel.words", &agent.backchannel.words)?;
    within("ambient.volume", agent.ambient.volume, 0, 100)?;
    tools(agent)?;
    within("limits.max_duration_s", agent.limits.max_duration_s, 1, 86_400)?;
    within("limits.ring_timeout_s", agent.limits.ring_timeout_s, 1, 600)?;
    agent.extract.check().map_err(|(field, rule)| ("extract", format!("{field} {rule}")))
}

/// Checks the values that a patch brings.
///
/// # Errors
/// The first member that is not acceptable.
pub(super) fn check_patch(patch: &AgentPatch) -> Result<(), Flaw> {
    // What the patch leaves alone is the default, which passes.
    let mut agent = AgentProfile::default();
    patch.clone().apply(&mut agent);
    if patch.voicemail.message.is_none() {
        // It is the stored agent's.
        agent.voicemail.on_detect = OnVoicemail::HangUp;
    }
    check(&agent)
}

fn brain(agent: &AgentProfile) -> Result<(), Flaw> {
    text("brain.system_prompt", &agent.brain.system_prompt)?;
    if agent.brain.cut_mark.chars().count() > MAX_MARK {
        return Err(("brain.cut_mark", format!("must be at most {MAX_MARK} characters")));
    }
    list("brain.history", agent.brain.history.len())?;
    list("brain.script", agent.brain.script.len())?;
    within("brain.history_limit", agent.brain.history_limit, 0, 1000)?;
    if let Some(temperature) = agent.brain.temperature {
        within("brain.temperature", temperature, 0.0, 2.0)?;
    }
    if let Some(tokens) = agent.brain.max_tokens {
        within("brain.max_tokens", tokens, 1, 1_000_000)?;
    }
    let control = |text: &String| text.chars().any(char::is_control);
    if agent.brain.query.iter().any(|(name, value)| name.is_empty() || control(name) || control(value)) {
        return Err(("brain.query", String::from("names must not be empty, and nothing may hold control characters")));
    }
    Ok(())
}

fn tools(agent: &AgentProfile) -> Result<(), Flaw> {
    list("tools", agent.tools.len())?;
    let mut names = BTreeSet::new();
    for tool in &agent.tools {
        match tool {
            Tool::DoNotCall { confirmation, .. } => text("tools.confirmation", confirmation)?,
            Tool::Transfer { to, announcement, apology, .. } => {
                text("tools.announcement", announcement)?;
                text("tools.apology", apology)?;
                transfer_target(to).map_err(|rule| ("tools.to", rule))?;
            }
            Tool::EndCall { .. } | Tool::ChangeAgent { .. } | Tool::SendKeys { .. } => {}
        }
        let name = tool.name();
        if name.is_empty()
            || name.len() > 64
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        {
            return Err(("tools", String::from("a name must be 1 to 64 of A-Z a-z 0-9 - _")));
        }
        if !names.insert(name) {
            return Err(("tools", String::from("every tool must have a name of its own")));
        }
    }
    Ok(())
}

fn within<T: PartialOrd + Display>(field: &'static str, value: T, least: T, most: T) -> Result<(), Flaw> {
    // Written so that a number that is not one fails too.
    if value >= least && value <= most { Ok(()) } else { Err((field, format!("must be from {least} to {most}"))) }
}

fn text(field: &'static str, text: &str) -> Result<(), Flaw> {
    if text.chars().count() > MAX_TEXT {
        Err((field, format!("must be at most {MAX_TEXT} characters")))
    } else {
        Ok(())
    }
}

fn list(field: &'static str, length: usize) -> Result<(), Flaw> {
    if length > MAX_LIST { Err((field, format!("must have at most {MAX_LIST} entries"))) } else { Ok(()) }
}

fn words(field: &'static str, words: &[String]) -> Result<(), Flaw> {
    list(field, words.len())?;
    if words.iter().any(|word| word.trim().is_empty()) {
        return Err((field, String::from("every entry must have a word")));
    }
    Ok(())
}

fn weights(field: &'static str, texts: &[WeightedText]) -> Result<(), Flaw> {
    list(field, texts.len())?;
    for entry in texts {
        within(field, entry.weight, 0.0, 1.0)?;
        if entry.text.is_empty() {
            return Err((field, String::from("every text must have a character")));
        }
    }
    let sum: f64 = texts.iter().map(|entry| entry.weight).sum();
    if texts.is_empty() || (sum - 1.0).abs() <= SUM_TOLERANCE {
        Ok(())
    } else {
        Err((field, String::from("the weights must sum to 1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_names_its_member() {
        check(&AgentProfile::default()).expect("the default is acceptable");
        type Change = fn(&mut AgentProfile);
        let word = |weight| WeightedText { text: String::from("hm"), weight };
        let cases: [(&str, Change); 19] = [
            ("tools.to", |agent| {
                agent.tools = vec![Tool::Transfer {
                    name: String::from("desk"),
                    description: String::new(),
                    to: String::from("not a number"),
                    announcement: String::new(),
                    apology: String::new(),
                }];
            }),
            ("voicemail.message", |agent| agent.voicemail.on_detect = OnVoicemail::LeaveMessage),
            ("extract", |agent| agent.extract.facts = vec![callwright_domain::extract::Fact::default()]),
            ("voice.rate", |agent| agent.voice.rate = 0.49),
            ("voice.rate", |agent| agent.voice.rate = f64::NAN),
            ("voice.volume", |agent| agent.voice.volume = 401),
            ("opening.delay_ms", |agent| agent.opening.delay_ms = 5001),
            ("opening.disclosure", |agent| agent.opening.disclosure = Some(String::from(" "))),
            ("ears.vad_level", |agent| agent.ears.vad_level = 12),
            ("turn.silence_ms", |agent| agent.turn.silence_ms = 0),
            ("turn.end_words", |agent| agent.turn.end_words.push(String::new())),
            ("interrupt.words", |agent| agent.interrupt.words.push(String::from(" "))),
            ("backchannel.probability", |agent| agent.backchannel.probability = 1.1),
            ("brain.cut_mark", |agent| agent.brain.cut_mark = "x".repeat(201)),
            ("brain.temperature", |agent| agent.brain.temperature = Some(-0.1)),
            ("brain.query", |agent| {
                agent.brain.query.insert(String::from("a"), String::from("b\r\nc"));
            }),
            ("limits.ring_timeout_s", |agent| agent.limits.ring_timeout_s = 0),
            ("ambient.volume", |agent| agent.ambient.volume = 101),
            ("tools", |agent| {
                let tool = Tool::EndCall { name: String::from("end"), description: String::new() };
                agent.tools = vec![tool.clone(), tool];
            }),
        ];
        for (field, change) in cases {
            let mut agent = AgentProfile::default();
            change(&mut agent);
            assert_eq!(check(&agent).expect_err(field).0, field);
        }
        for (weights, good) in
            [(vec![0.5, 0.5], true), (vec![0.5, 0.4], false), (vec![0.995], true), (vec![1.2, -0.2], false)]
        {
            let mut agent = AgentProfile::default();
            agent.filler.texts = weights.into_iter().map(word).collect();
            assert_eq!(check(&agent).is_ok(), good);
        }
    }

    #[test]
    fn a_patch_is_held_to_the_same_rules() {
        check_patch(&AgentPatch::default()).expect("nothing is acceptable");
        let mut patch = AgentPatch::default();
        patch.voice.rate = Some(3.0);
        assert_eq!(check_patch(&patch).expect_err("too fast").0, "voice.rate");
    }
}
