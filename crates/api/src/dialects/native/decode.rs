//! From JSON and query text to our own types. Every complaint names the field, the rule and the shape that is wanted,
//! never the value.

use crate::fault::Fault;
use crate::http::Request;
use callwright_domain::{Moment, PhoneNumber, Scope};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Deepest nesting of a body.
const MAX_DEPTH: usize = 64;

/// The body as a JSON object of which every member must be taken.
pub(super) struct Object {
    members: Map<String, Value>,
    /// Names of members as they stand below the top, such as `overrides.voice`.
    taken: Vec<&'static str>,
}

impl Object {
    /// Reads the body of a request. An empty body is an object without members.
    pub(super) fn of(request: &Request) -> Result<Self, Fault> {
        Self::of_value(json_body(request)?)
    }

    /// The same where each of many rows is judged by itself, also by [`NO_ZERO`].
    pub(super) fn of_rows(request: &Request) -> Result<Self, Fault> {
        Self::of_value(any_json_body(request)?)
    }

    fn of_value(value: Option<Value>) -> Result<Self, Fault> {
        let Some(value) = value else {
            return Ok(Self { members: Map::new(), taken: Vec::new() });
        };
        match value {
            Value::Object(members) => Ok(Self { members, taken: Vec::new() }),
            _ => Err(Fault::Malformed { rule: String::from("the body must be a JSON object") }),
        }
    }

    /// A member; `null` counts as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.taken.push(name);
        self.members.remove(name).filter(|value| !value.is_null())
    }

    /// A text; absent when the member is.
    pub(super) fn text(&mut self, name: &'static str, max: usize) -> Result<Option<String>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text)),
            Some(_) => Err(invalid(name, &format!("must be a string of at most {max} characters"))),
        }
    }

    /// A text that must be there.
    pub(super) fn needed_text(&mut self, name: &'static str, max: usize) -> Result<String, Fault> {
        self.text(name, max)?.filter(|text| !text.is_empty()).ok_or_else(|| Fault::Missing { field: name.to_owned() })
    }

    /// A member of a type that knows how to read itself.
    pub(super) fn typed<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        self.take(name).map(|value| read(name, value)).transpose()
    }

    /// A member that is an object of a type that knows how to read itself. A list would pass for one without this.
    pub(super) fn object<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(value @ Value::Object(_)) => read(name, value).map(Some),
            Some(_) => Err(invalid(name, "must be an object")),
        }
    }

    /// A member that is an object whose members must be taken, too.
    pub(super) fn inner(&mut self, name: &'static str) -> Result<Option<Self>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { members, taken: Vec::new() })),
            Some(_) => Err(invalid(name, "must be an object")),
        }
    }

    /// Texts by name, each at most `max` characters.
    pub(super) fn texts(&mut self, name: &'static str, max: usize) -> Result<BTreeMap<String, String>, Fault> {
        let rule = format!("must be an object of at most 100 strings of at most {max} characters");
        match self.take(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(members)) if members.len() <= 100 => members
                .into_iter()
                .map(|(key, value)| match value {
                    Value::String(text) if text.chars().count() <= max && key.chars().count() <= 100 => Ok((key, text)),
                    _ => Err(invalid(name, &rule)),
                })
                .collect(),
            Some(_) => Err(invalid(name, &rule)),
        }
    }

    /// A phone number.
    pub(super) fn number(&mut self, name: &'static str) -> Result<Option<PhoneNumber>, Fault> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => number(name, &text).map(Some),
            Some(_) => Err(invalid(name, "must be a string with a phone number")),
        }
    }

    /// One phone number or a list of up to 100.
    pub(super) fn numbers(&mut self, name: &'static str) -> Result<Vec<PhoneNumber>, Fault> {
        let rule = "must be a phone number or a list of 1 to 100 phone numbers";
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![number(name, &text)?]),
            Some(Value::Array(items)) if (1..=100).contains(&items.len()) => {
                items.iter().map(|item| number(name, item.as_str().ok_or_else(|| invalid(name, rule))?)).collect()
            }
            Some(_) => Err(invalid(name, rule)),
        }
    }

    /// A moment, RFC 3339.
    pub(super) fn moment(&mut self, name: &'static str) -> Result<Option<Moment>, Fault> {
        self.text(name, 64)?.map(|text| moment(name, &text)).transpose()
    }

    /// The rest of the object read as a whole: for bodies that are one thing.
    pub(super) fn whole<T: DeserializeOwned>(self) -> Result<T, Fault> {
        read("", Value::Object(self.members))
    }

    /// Refuses members that nobody took.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(Fault::Unknown { field: shown(name), known: self.taken.join(", ") }),
        }
    }
}

/// The body of a request as JSON; none: there is no body.
pub(in crate::dialects) fn json_body(request: &Request) -> Result<Option<Value>, Fault> {
    let value = any_json_body(request)?;
    value.as_ref().map_or(Ok(()), no_zero)?;
    Ok(value)
}

fn any_json_body(request: &Request) -> Result<Option<Value>, Fault> {
    let content_type = request.header("content-type").unwrap_or("application/json");
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Fault::MediaType { wanted: "application/json" });
    }
    if request.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    check_depth(&request.body)?;
    let value = serde_json::from_slice(&request.body).map_err(|error| Fault::Malformed {
        rule: format!("the body is not valid JSON: line {}, column {}", error.line(), error.column()),
    })?;
    Ok(Some(value))
}

/// What no text may hold: PostgreSQL keeps none that does, and who reads it in C hears half of it.
pub(in crate::dialects) const NO_ZERO: &str = "must not hold the character U+0000";

/// Refuses a value that holds the character in one of its texts, by the text's place.
pub(in crate::dialects) fn no_zero(value: &Value) -> Result<(), Fault> {
    told(zero_in(value, ""))
}

/// The same of an object's members.
pub(in crate::dialects) fn no_zero_member(members: &Map<String, Value>) -> Result<(), Fault> {
    told(zero_among(members, ""))
}

/// The same of parameters of a query or a form.
pub(in crate::dialects) fn no_zero_parameter(pairs: &[(String, String)]) -> Result<(), Fault> {
    let found = pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0'));
    told(found.map(|(name, _)| shown(name)))
}

fn told(place: Option<String>) -> Result<(), Fault> {
    place.map_or(Ok(()), |place| Err(invalid(&place, NO_ZERO)))
}

fn zero_in(value: &Value, place: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(|| place.to_owned()),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| zero_in(item, &format!("{place}[{at}]"))),
        Value::Object(members) => zero_among(members, place),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn zero_among(members: &Map<String, Value>, place: &str) -> Option<String> {
    members.iter().find_map(|(name, member)| {
        let place = if place.is_empty() { shown(name) } else { format!("{place}.{}", shown(name)) };
        if name.contains('\0') { Some(place) } else { zero_in(member, &place) }
    })
}

/// A name that somebody gave, as it may be told.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// A fault of one field.
pub(in crate::dialects) fn invalid(field: &str, rule: &str) -> Fault {
    Fault::Invalid { field: field.to_owned(), rule: rule.to_owned() }
}

/// A phone number of a field.
pub(super) fn number(field: &str, text: &str) -> Result<PhoneNumber, Fault> {
    PhoneNumber::parse(text).map_err(|why| invalid(field, &why.to_string()))
}

/// A moment of a field.
pub(in crate::dialects) fn moment(field: &str, text: &str) -> Result<Moment, Fault> {
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    parsed
        .map(|timestamp| Moment(timestamp.as_millisecond()))
        .map_err(|_| invalid(field, "must be a time as RFC 3339 writes it, such as 2026-11-21T09:30:00Z"))
}

/// The query's parameters, decoded; each may stand once.
pub(super) fn query(request: &Request, known: &[&str]) -> Result<BTreeMap<String, String>, Fault> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
        if !known.contains(&name.as_ref()) {
            return Err(Fault::Unknown { field: shown(&name), known: known.join(", ") });
        }
        if value.contains('\0') {
            return Err(invalid(&name, NO_ZERO));
        }
        if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
            return Err(invalid(&name, "may stand once"));
        }
    }
    Ok(parameters)
}

/// A scope's word on the wire.
pub(in crate::dialects) const fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::CallsWrite => "calls_write",
        Scope::CallsRead => "calls_read",
        Scope::ConfigWrite => "config_write",
        Scope::ConfigRead => "config_read",
        Scope::KeysWrite => "keys_write",
    }
}

fn read<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, Fault> {
    serde_json::from_value(value).map_err(|error| {
        // Serde's words quote the value before they name the rule: a value may be a secret in the wrong place.
        let said = error.to_string();
        let rule = match said.rsplit_once(", expected ") {
            Some((before, rule)) if !before.starts_with("unknown field") => {
                format!("must be {}", rule.replace('`', ""))
            }
            _ => said,
        };
        let words: String = rule.chars().filter(|c| !c.is_control()).take(200).collect();
        match words.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
            Some((field, rest)) if name.is_empty() => Fault::Unknown { field: field.to_owned(), known: expected(rest) },
            Some((field, rest)) => Fault::Unknown { field: format!("{name}.{field}"), known: expected(rest) },
            None => invalid(if name.is_empty() { "body" } else { name }, &words),
        }
    })
}

/// The names in serde's ", expected one of `a`, `b`".
fn expected(rest: &str) -> String {
    rest.trim_start_matches(", expected ").trim_start_matches("one of ").replace('`', "")
}

fn check_depth(body: &[u8]) -> Result<(), Fault> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Fault::Malformed { rule: format!("the body is nested deeper than {MAX_DEPTH}") });
        }
    }
    Ok(())
}
