//! Taking personal data out of the words of a call before they are written: cards, identity numbers, telephone numbers,
//! addresses, secrets, and numbers read out digit by digit. Hides how they are told from other numbers. Never sees what
//! the model hears or says: only what is kept of it. A judgement over text errs; docs/privacy.md says in which direction.

mod digits;
mod marks;

use crate::agent::Switch;
use crate::call::CallEvent;
use crate::pii::Pii;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What stands in the journal for a key that was pressed, when keys are personal.
pub const MASKED_KEY: char = '?';

/// A kind of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Personal {
    /// Numbers of payment cards, with their security codes and expiry dates.
    Card,
    /// Numbers of identity papers and social security.
    Identity,
    /// Telephone numbers.
    Phone,
    /// Addresses of electronic mail, written or spelled out.
    Email,
    /// Passwords, one-time codes, keys and tokens.
    Secret,
    /// Seven digits or more that were read out, and utterances that are nothing but digits.
    Digits,
    /// Keys that the callee pressed.
    Keys,
}

/// Whether and how personal data is taken out of what is written about a call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redaction {
    /// Off: words are written as they were said.
    pub status: Switch,
    /// Kinds that are written all the same.
    pub except: Vec<Personal>,
}

/// A stretch of text that is personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    kind: Personal,
    /// What is written in its place.
    label: &'static str,
}

impl Redaction {
    /// The event as it may be written.
    #[must_use]
    pub fn event(&self, event: CallEvent) -> CallEvent {
        if !self.status.is_on() {
            return event;
        }
        match event {
            CallEvent::Heard { text, span } => CallEvent::Heard { text: self.words(&text), span },
            CallEvent::Said { text, interrupted, by_order, span, unsaid } => {
                let unsaid = unsaid.and_then(|rest| self.rest(&text, &rest));
                CallEvent::Said { text: self.words(&text), interrupted, by_order, span, unsaid }
            }
            CallEvent::ToolRun { name, arguments, result } => {
                CallEvent::ToolRun { name, arguments: self.document(&arguments), result: self.document(&result) }
            }
            CallEvent::Trouble { part, detail } => CallEvent::Trouble { part, detail: self.text(&detail) },
            CallEvent::MessageReceived { text } => CallEvent::MessageReceived { text: self.document(&text) },
            CallEvent::KeyPressed { key } => {
                let key = if self.except.contains(&Personal::Keys) { key } else { MASKED_KEY };
                CallEvent::KeyPressed { key }
            }
            CallEvent::Transferring { to } => {
                let named = if to.expose().starts_with("sip:") { to } else { self.words(&to) };
                CallEvent::Transferring { to: named }
            }
            other => other,
        }
    }

    /// A text as it may be written.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if !self.status.is_on() {
            return text.to_owned();
        }
        let mut found = marks::find(text);
        found.extend(digits::find(text));
        found.retain(|one| !self.except.contains(&one.kind));
        replaced(text, found)
    }

    /// What came after a text. What is personal only when both are read together stands in neither then.
    fn rest(&self, text: &Pii<String>, rest: &Pii<String>) -> Option<Pii<String>> {
        let (text, rest) = (text.expose(), rest.expose());
        let (whole, parts) = (self.text(&format!("{text} {rest}")), format!("{} {}", self.text(text), self.text(rest)));
        (whole == parts).then(|| Pii::new(self.text(rest)))
    }

    fn words(&self, text: &Pii<String>) -> Pii<String> {
        Pii::new(self.text(text.expose()))
    }

    /// A JSON text member by member, so that it stays JSON; anything else as text.
    fn document(&self, text: &Pii<String>) -> Pii<String> {
        let Ok(mut value) = serde_json::from_str::<Value>(text.expose()) else { return self.words(text) };
        self.member("", &mut value);
        Pii::new(value.to_string())
    }

    fn member(&self, name: &str, value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| self.member(name, value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.member(name, item)),
            Value::String(text) => *text = self.named(name, text),
            Value::Number(number) => {
                let text = number.to_string();
                let redacted = self.named(name, &text);
                if redacted != text {
                    *value = Value::String(redacted);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// The value of a member: its name tells as much as the words before a number do.
    fn named(&self, name: &str, value: &str) -> String {
        let lead = format!("{}: ", name.replace(['_', '-'], " "));
        let whole = self.text(&format!("{lead}{value}"));
        whole.strip_prefix(&lead).map_or(whole.clone(), str::to_owned)
    }
}

/// The text with what was found replaced. What overlaps is replaced as one.
fn replaced(text: &str, mut found: Vec<Found>) -> String {
    found.sort_by_key(|one| (one.start, std::cmp::Reverse(one.end)));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for one in found {
        if one.start >= at {
            out.push_str(text.get(at..one.start).unwrap_or_default());
            out.push_str(one.label);
        }
        at = at.max(one.end);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
