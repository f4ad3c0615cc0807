//! Reads one object of a structured parameter. Every complaint carries the member's whole path. Absent, `null` and an
//! empty list are the same; `false`, `0` and `""` are values. Members that nobody asks for are ignored, as the vendor does.

use super::invalid;
use crate::fault::Fault;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Most `name=value` pairs of one text.
const MAX_PAIRS: usize = 100;

/// An object, or the place where one could be.
pub(super) struct Section<'a> {
    path: String,
    members: Option<&'a Map<String, Value>>,
}

/// A truth value, as one or as its word.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(yes) => Some(*yes),
        Value::String(word) if word.eq_ignore_ascii_case("true") => Some(true),
        Value::String(word) if word.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A whole number that some language writes with a point: `600.0`.
fn whole(number: f64) -> Option<i64> {
    // Beyond this not every whole number can be told from its neighbours.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

impl<'a> Section<'a> {
    /// The object at `path`.
    pub(super) fn of(path: &str, value: &'a Value) -> Result<Self, Fault> {
        match value {
            Value::Object(members) => Ok(Self { path: path.to_owned(), members: Some(members) }),
            _ => Err(invalid(path, "must be a JSON object")),
        }
    }

    /// Whether there is an object that says anything: SDKs send those that nobody filled with empty lists in them.
    pub(super) fn is_there(&self) -> bool {
        self.members.is_some_and(|members| members.keys().any(|name| self.raw(name).is_some()))
    }

    /// A fault of one of its members.
    pub(super) fn fault(&self, name: &str, rule: &str) -> Fault {
        invalid(&format!("{}.{name}", self.path), rule)
    }

    /// A member as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name).filter(|value| !value.is_null() && !value.as_array().is_some_and(Vec::is_empty))
    }

    /// A member that is an object.
    pub(super) fn child(&self, name: &str) -> Result<Self, Fault> {
        let path = format!("{}.{name}", self.path);
        match self.raw(name) {
            None => Ok(Section { path, members: None }),
            Some(value) => Section::of(&path, value),
        }
    }

    /// A text of at most `max` characters.
    pub(super) fn text(&self, name: &str, max: usize) -> Result<Option<String>, Fault> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text.clone())),
            Some(_) => Err(self.fault(name, &format!("must be a string of at most {max} characters"))),
        }
    }

    /// A text without control characters, for what becomes part of a line of some protocol.
    pub(super) fn label(&self, name: &str, max: usize) -> Result<Option<String>, Fault> {
        let text = self.text(name, max)?;
        if text.as_ref().is_some_and(|text| text.chars().any(char::is_control)) {
            return Err(self.fault(name, "must not hold control characters"));
        }
        Ok(text)
    }

    /// What one of several words stands for.
    pub(super) fn word<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Fault> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let found = known.iter().find(|(word, _)| value.as_str() == Some(*word));
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        found
            .map(|(_, meaning)| Some(*meaning))
            .ok_or_else(|| self.fault(name, &format!("must be one of {}", words.join(", "))))
    }

    /// A truth value, as one or as its word: a flattened object has texts only.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.raw(name) {
            None => Ok(None),
            Some(value) => truth(value).map(Some).ok_or_else(|| self.fault(name, "must be true or false")),
        }
    }

    /// A whole number, as number or as digits.
    pub(super) fn whole(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Fault> {
        let signed =
            self.signed(name, i64::try_from(least).unwrap_or(i64::MAX), i64::try_from(most).unwrap_or(i64::MAX))?;
        // `least` is not below zero.
        Ok(signed.map(|number| u64::try_from(number).unwrap_or(0)))
    }

    /// A whole number that may be below zero.
    pub(super) fn signed(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Fault> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            Value::String(digits) => digits.trim().parse().ok(),
            _ => None,
        };
        let fits = number.filter(|number| (least..=most).contains(number));
        fits.map(Some).ok_or_else(|| self.fault(name, &format!("must be a whole number from {least} to {most}")))
    }

    /// A whole number for which 0 means off, else within a range.
    pub(super) fn whole_or_off(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Fault> {
        let number = self.whole(name, 0, most)?;
        if number.is_some_and(|number| number != 0 && number < least) {
            return Err(self.fault(name, &format!("must be 0 (off) or a whole number from {least} to {most}")));
        }
        Ok(number)
    }

    /// A number, as number or as digits.
    pub(super) fn real(&self, name: &str, least: f64, most: f64) -> Result<Option<f64>, Fault> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(digits) => digits.trim().parse().ok(),
            _ => None,
        };
        let fits = number.filter(|number| *number >= least && *number <= most);
        fits.map(Some).ok_or_else(|| self.fault(name, &format!("must be a number from {least} to {most}")))
    }

    /// A list of objects.
    pub(super) fn sections(&self, name: &str, most: usize) -> Result<Option<Vec<Self>>, Fault> {
        let items = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(_) => return Err(self.fault(name, &format!("must be a list of at most {most} objects"))),
        };
        let path = |at: usize| format!("{}.{name}[{at}]", self.path);
        items.iter().enumerate().map(|(at, item)| Section::of(&path(at), item)).collect::<Result<_, _>>().map(Some)
    }

    /// A list of words without control characters, none of them empty.
    pub(super) fn words(&self, name: &str, most: usize, longest: usize) -> Result<Option<Vec<String>>, Fault> {
        let rule =
            format!("must be a list of at most {most} strings of 1 to {longest} characters without control characters");
        let items = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(_) => return Err(self.fault(name, &rule)),
        };
        let word = |item: &Value| {
            let text = item.as_str().filter(|text| !text.trim().is_empty() && text.chars().count() <= longest)?;
            (!text.chars().any(char::is_control)).then(|| text.to_owned())
        };
        items.iter().map(word).collect::<Option<Vec<_>>>().map(Some).ok_or_else(|| self.fault(name, &rule))
    }

    /// `name=value&name=value`, decoded.
    pub(super) fn pairs(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Fault> {
        let Some(text) = self.text(name, 8192)? else { return Ok(None) };
        let pieces: Vec<&str> = text.split('&').filter(|piece| !piece.is_empty()).collect();
        let pairs: BTreeMap<String, String> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let control = |text: &String| text.chars().any(char::is_control);
        let shaped = pieces.len() <= MAX_PAIRS && pieces.iter().all(|piece| piece.find('=').is_some_and(|at| at > 0));
        if !shaped || pairs.iter().any(|(name, value)| control(name) || control(value)) {
            let rule = format!("must be name=value joined with &, at most {MAX_PAIRS}, without control characters");
            return Err(self.fault(name, &rule));
        }
        Ok(Some(pairs))
    }

    /// A text that holds JSON.
    pub(super) fn json(&self, name: &str) -> Result<Option<Value>, Fault> {
        match self.text(name, 65_536)? {
            None => Ok(None),
            Some(text) if text.trim().is_empty() => Ok(Some(Value::Null)),
            Some(text) => {
                serde_json::from_str(&text).map(Some).map_err(|_| self.fault(name, "must be a string that holds JSON"))
            }
        }
    }

    /// A member that must be there when its object is.
    pub(super) fn needed<T>(&self, name: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| self.fault(name, "must be there"))
    }
}
