//! What a use case says of the agent behind it: its name, language and length, what is found out after its calls.

use super::dial::Fields;
use super::view::{HANG_UP, LANGUAGES};
use crate::dialects::native::invalid;
use crate::dialects::transfer_target;
use crate::fault::Fault;
use callwright_domain::AgentProfile;
use callwright_domain::agent::{OnVoicemail, Switch, Tool};
use callwright_domain::extract::{CallTag, Fact, FactKind};
use serde_json::Value;

/// The tool that a transfer number makes: its name, and when it is to be used.
const TRANSFER: (&str, &str) =
    ("transfer", "Hand the person over to a colleague, when they ask for one or you cannot help them.");
/// Longest name, in characters.
const MAX_NAME: usize = 200;
/// Most keywords, and the longest in characters.
const MAX_KEYWORDS: (usize, usize) = (500, 100);

/// Lays what a request says of a use case over its agent.
pub(super) fn lay(fields: &Fields<'_>, agent: &mut AgentProfile) -> Result<(), Fault> {
    if let Some(name) = fields.text("name")? {
        if name.trim().is_empty() || name.chars().count() > MAX_NAME {
            return Err(invalid("name", &format!("must be 1 to {MAX_NAME} characters, one of them no blank")));
        }
        name.clone_into(&mut agent.name);
    }
    if let Some(tag) = fields.text("language")? {
        let rule = format!("must be one of {}", LANGUAGES.join(", "));
        let tag = LANGUAGES.iter().find(|known| **known == tag).ok_or_else(|| invalid("language", &rule))?;
        (*tag).clone_into(&mut agent.language);
    }
    if let Some(minutes) = fields.minutes("max_duration_mins")? {
        agent.limits.max_duration_s = minutes * 60;
    }
    if let Some(words) = fields.raw("keywords") {
        let words = words.as_array().filter(|words| words.len() <= MAX_KEYWORDS.0);
        let texts = words.and_then(|words| words.iter().map(keyword).collect());
        let (most, long) = MAX_KEYWORDS;
        let rule =
            format!("must be a list of at most {most} words of 1 to {long} characters without control characters");
        agent.ears.hot_words = texts.ok_or_else(|| invalid("keywords", &rule))?;
    }
    if let Some(detects) = fields.raw("amd") {
        let detects = detects.as_bool().ok_or_else(|| invalid("amd", "must be true or false"))?;
        agent.voicemail.detect = if detects { Switch::On } else { Switch::Off };
    }
    if let Some(behavior) = fields.text("amd_behavior")? {
        if behavior != HANG_UP {
            return Err(invalid("amd_behavior", "must be Hangup: an agent does not talk on with a machine"));
        }
        agent.voicemail.on_detect = OnVoicemail::HangUp;
    }
    if let Some(number) = fields.text("transfer_number")? {
        transfer_to(agent, number)?;
    }
    if let Some(list) = fields.raw("extract_with_ai") {
        agent.extract.facts = each("extract_with_ai", list, fact)?;
    }
    if let Some(list) = fields.raw("classification_tags") {
        agent.extract.tags = each("classification_tags", list, |fields| {
            Ok(CallTag { name: needed(fields)?, description: described(fields)? })
        })?;
    }
    agent.extract.check().map_err(|(path, rule)| {
        let name = if path.starts_with("tags") { "classification_tags" } else { "extract_with_ai" };
        invalid(name, &format!("{path} {rule}"))
    })
}

/// A word that a recogniser can be told to listen for.
fn keyword(word: &Value) -> Option<String> {
    let word = word.as_str()?.trim();
    let fits = !word.is_empty() && word.chars().count() <= MAX_KEYWORDS.1 && !word.chars().any(char::is_control);
    fits.then(|| word.to_owned())
}

/// Whom the agent may hand callers over to; empty: nobody.
fn transfer_to(agent: &mut AgentProfile, number: &str) -> Result<(), Fault> {
    if number.is_empty() {
        agent.tools.retain(|tool| !matches!(tool, Tool::Transfer { .. }));
        return Ok(());
    }
    let target = transfer_target(number).map_err(|rule| invalid("transfer_number", &rule))?.dial();
    if let Some(to) = agent.tools.iter_mut().find_map(leads_to) {
        *to = target;
        return Ok(());
    }
    if agent.tools.iter().any(|tool| tool.name() == TRANSFER.0) {
        let rule = format!("cannot be set: another tool of the agent is called {}", TRANSFER.0);
        return Err(invalid("transfer_number", &rule));
    }
    agent.tools.push(Tool::Transfer {
        name: TRANSFER.0.to_owned(),
        description: TRANSFER.1.to_owned(),
        to: target,
        announcement: String::new(),
        apology: String::new(),
    });
    Ok(())
}

fn leads_to(tool: &mut Tool) -> Option<&mut String> {
    match tool {
        Tool::Transfer { to, .. } => Some(to),
        Tool::EndCall { .. } | Tool::DoNotCall { .. } | Tool::ChangeAgent { .. } | Tool::SendKeys { .. } => None,
    }
}

/// Where the agent hands callers over first.
pub(super) fn transfer_number(agent: &AgentProfile) -> Option<&str> {
    agent.tools.iter().find_map(|tool| match tool {
        Tool::Transfer { to, .. } => Some(to.as_str()),
        Tool::EndCall { .. } | Tool::DoNotCall { .. } | Tool::ChangeAgent { .. } | Tool::SendKeys { .. } => None,
    })
}

fn each<T>(name: &str, list: &Value, read: impl Fn(&Fields<'_>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let items = list.as_array().ok_or_else(|| invalid(name, "must be a list of objects"))?;
    items.iter().map(|item| read(&Fields::of(item, &format!("each of {name}"))?)).collect()
}

fn needed(fields: &Fields<'_>) -> Result<String, Fault> {
    fields.text("name")?.map(str::to_owned).ok_or_else(|| Fault::Missing { field: String::from("name") })
}

fn described(fields: &Fields<'_>) -> Result<String, Fault> {
    Ok(fields.text("description")?.unwrap_or_default().to_owned())
}

fn fact(fields: &Fields<'_>) -> Result<Fact, Fault> {
    let kind = match fields.text("type")? {
        None | Some("string") => FactKind::Text,
        Some("number" | "integer") => FactKind::Number,
        Some("boolean") => FactKind::Flag,
        Some(_) => return Err(invalid("type", "must be string, number or boolean")),
    };
    let example = fields.text("example")?.filter(|example| !example.is_empty());
    Ok(Fact {
        name: needed(fields)?,
        kind,
        description: described(fields)?,
        examples: example.map(str::to_owned).into_iter().collect(),
        choices: Vec::new(),
    })
}
