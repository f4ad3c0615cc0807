//! What the model may do, as it is described to it, and what it wants, checked. Text is never searched for commands:
//! only a typed tool call gets here.

use crate::exchange::ToolAction;
use crate::vocabulary::{ToolCall, ToolSpec};
use callwright_domain::agent::Tool;
use callwright_domain::{Transfer, TransferTarget};
use serde_json::{Value, json};

/// The result of a tool that did its work and has nothing to tell.
pub const DONE: &str = r#"{"ok":true}"#;
/// Most tool calls in one turn; a model that loops is stopped here.
pub(crate) const CALLS_PER_TURN: u32 = 8;
/// Most keys pressed by one call.
const KEYS_CAP: usize = 32;
/// Longest arguments that are read, in bytes.
const ARGUMENTS_CAP: usize = 8 * 1024;

/// What a tool call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Hang up once everything has been said.
    EndCall,
    /// Hand the callee over once everything has been said.
    Transfer(Transfer),
    /// Something for the call to do.
    Run(ToolAction),
    /// It cannot be granted; the model is told why.
    Refused(String),
}

/// The tools as the model sees them.
pub(crate) fn specs(tools: &[Tool]) -> Vec<ToolSpec> {
    tools
        .iter()
        .map(|tool| match tool {
            Tool::EndCall { name, description }
            | Tool::DoNotCall { name, description, .. }
            | Tool::Transfer { name, description, .. }
            | Tool::ChangeAgent { name, description, .. } => ToolSpec {
                name: name.clone(),
                description: description.clone(),
                parameters: json!({"type": "object", "properties": {}, "additionalProperties": false}),
            },
            Tool::SendKeys { name, description } => ToolSpec {
                name: name.clone(),
                description: description.clone(),
                parameters: json!({
                    "type": "object",
                    "properties": {"digits": {
                        "type": "string",
                        "description": "The keys to press, in order.",
                        "pattern": "^[0-9*#A-D]{1,32}$",
                    }},
                    "required": ["digits"],
                    "additionalProperties": false,
                }),
            },
        })
        .collect()
}

/// Reads a tool call against the agent's own list.
pub(crate) fn wish(tools: &[Tool], call: &ToolCall) -> Wish {
    let Some(tool) = tools.iter().find(|tool| tool.name() == call.name) else {
        return Wish::Refused("there is no such tool".to_owned());
    };
    let arguments = match arguments(&call.arguments) {
        Ok(arguments) => arguments,
        Err(reason) => return Wish::Refused(reason),
    };
    match tool {
        Tool::EndCall { .. } => Wish::EndCall,
        // Whom it is about is never the model's to say.
        Tool::DoNotCall { .. } => Wish::Run(ToolAction::DoNotCall),
        // Neither is whom it leads to.
        Tool::Transfer { to, announcement, apology, .. } => match TransferTarget::parse(to) {
            Ok(to) => {
                let (announcement, apology) = (announcement.clone(), apology.clone());
                Wish::Transfer(Transfer { to, announcement, apology })
            }
            Err(_) => Wish::Refused("it leads nowhere".to_owned()),
        },
        Tool::ChangeAgent { agent, .. } => Wish::Run(ToolAction::ChangeAgent { agent: agent.clone() }),
        Tool::SendKeys { .. } => match digits(&arguments) {
            Ok(digits) => Wish::Run(ToolAction::SendKeys { digits }),
            Err(reason) => Wish::Refused(reason),
        },
    }
}

/// The result that tells the model why a call was refused.
pub(crate) fn refusal(reason: &str) -> String {
    json!({"error": reason}).to_string()
}

/// The result of a tool that has nothing to tell.
pub(crate) fn done() -> String {
    DONE.to_owned()
}

/// What is said once a tool of this name has done its work, if anything; empty: a sentence of the machine's own.
pub(crate) fn confirmation<'a>(tools: &'a [Tool], name: &str) -> Option<&'a str> {
    match tools.iter().find(|tool| tool.name() == name)? {
        Tool::DoNotCall { confirmation, .. } => Some(confirmation),
        Tool::EndCall { .. } | Tool::Transfer { .. } | Tool::ChangeAgent { .. } | Tool::SendKeys { .. } => None,
    }
}

fn arguments(text: &str) -> Result<Value, String> {
    if text.len() > ARGUMENTS_CAP {
        return Err("the arguments are too long".to_owned());
    }
    // Models send nothing at all for a tool without arguments.
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value: Value = serde_json::from_str(text).map_err(|error| format!("the arguments are not JSON: {error}"))?;
    if value.is_object() { Ok(value) } else { Err("the arguments must be a JSON object".to_owned()) }
}

fn digits(arguments: &Value) -> Result<String, String> {
    let wanted = match arguments.get("digits") {
        Some(Value::String(digits)) => digits.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err("digits must be a text of keys to press".to_owned()),
    };
    let digits: String = wanted.chars().filter(|c| !matches!(c, ' ' | '-')).map(|c| c.to_ascii_uppercase()).collect();
    if digits.is_empty() || digits.len() > KEYS_CAP {
        return Err(format!("digits must be 1 to {KEYS_CAP} keys"));
    }
    let is_key = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D');
    if digits.chars().all(is_key) { Ok(digits) } else { Err("only 0-9, *, #, A-D can be pressed".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::AgentId;

    fn transfer(name: &str, to: &str) -> Tool {
        let (announcement, apology) = (String::new(), String::new());
        Tool::Transfer { name: name.into(), description: String::new(), to: to.into(), announcement, apology }
    }

    fn agent(id: &str) -> AgentId {
        AgentId::new(id).expect("an id")
    }

    fn check(name: &str, arguments: &str, expected: Result<Wish, &str>) {
        let tools = [
            Tool::EndCall { name: "bye".into(), description: String::new() },
            Tool::SendKeys { name: "keys".into(), description: String::new() },
            Tool::DoNotCall { name: "never".into(), description: String::new(), confirmation: String::new() },
            transfer("desk", "+4930123456"),
            transfer("nowhere", "nobody"),
            Tool::ChangeAgent { name: "sales".into(), description: String::new(), agent: agent("sales-1") },
        ];
        let call = ToolCall { id: "1".into(), name: name.into(), arguments: arguments.into() };
        let expected = expected.unwrap_or_else(|reason| Wish::Refused(reason.to_owned()));
        assert_eq!(wish(&tools, &call), expected, "{name} {arguments}");
    }

    #[test]
    fn only_what_is_allowed_and_well_formed_is_granted() {
        let keys = |digits: &str| Ok(Wish::Run(ToolAction::SendKeys { digits: digits.into() }));
        check("bye", "", Ok(Wish::EndCall));
        check("bye", "{\"reason\":\"done\"}", Ok(Wish::EndCall));
        check("never", "{\"number\":\"+19005551234\"}", Ok(Wish::Run(ToolAction::DoNotCall)));
        check("keys", "{\"digits\":\"12 3#*a\"}", keys("123#*A"));
        check("keys", "{\"digits\":42}", keys("42"));
        check("keys", "{\"digits\":\"\"}", Err("digits must be 1 to 32 keys"));
        check("keys", &format!("{{\"digits\":\"{}\"}}", "1".repeat(33)), Err("digits must be 1 to 32 keys"));
        check("keys", "{\"digits\":\"+19005551234\"}", Err("only 0-9, *, #, A-D can be pressed"));
        check("keys", "{}", Err("digits must be a text of keys to press"));
        check("keys", "[1]", Err("the arguments must be a JSON object"));
        check("transfer", "{}", Err("there is no such tool"));
        // Whatever the model or the callee says: it leads where the agent's own list says.
        let to = TransferTarget::parse("+4930123456").expect("a number");
        check("desk", "{\"to\":\"+19005551234\"}", Ok(Wish::Transfer(Transfer::to(to))));
        check("nowhere", "{\"to\":\"+4930123456\"}", Err("it leads nowhere"));
        let sales = Wish::Run(ToolAction::ChangeAgent { agent: agent("sales-1") });
        check("sales", r#"{"agent":"other"}"#, Ok(sales));
        check("bye", &" ".repeat(ARGUMENTS_CAP + 1), Err("the arguments are too long"));
    }
}
