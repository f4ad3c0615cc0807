//! Reads one object of parameters. JSON and flattened input look alike from here: numbers may come as digits and truth
//! values as words, as the vendor's own SDKs send them. Complaints name the member's whole path, `Variables.0.Key`.
//! Absent and `null` are the same.

use super::words::VendorError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// An object of parameters.
pub(super) struct Fields<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

type Read<T> = Result<T, VendorError>;

impl<'a> Fields<'a> {
    /// The parameters of an operation.
    pub(super) const fn top(members: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), members }
    }

    /// The members of an object that came as the text of the member `name`.
    pub(super) fn within<'b>(&self, name: &str, members: &'b Map<String, Value>) -> Fields<'b> {
        Fields { path: self.path(name) + ".", members }
    }

    fn inner(path: String, value: &'a Value) -> Read<Self> {
        match value {
            Value::Object(members) => Ok(Self { path: path + ".", members }),
            _ => Err(VendorError::wrong_type(&path, "must be an object")),
        }
    }

    /// The member's whole name.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Complains about members that are none of `known`.
    pub(super) fn only(&self, known: &[&[&str]]) -> Read<()> {
        let is_known = |name: &str| known.iter().any(|names| names.contains(&name));
        match self.members.keys().find(|name| !is_known(name)) {
            Some(name) => Err(VendorError::unknown_parameter(&self.path(name))),
            None => Ok(()),
        }
    }

    /// A member as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A member that must be there.
    pub(super) fn needed<T>(&self, name: &str, value: Option<T>) -> Read<T> {
        value.ok_or_else(|| VendorError::missing(&self.path(name)))
    }

    /// A complaint about a member's value.
    pub(super) fn bad(&self, name: &str, rule: &str) -> VendorError {
        VendorError::bad_value(&self.path(name), rule)
    }

    fn wrong(&self, name: &str, rule: &str) -> VendorError {
        VendorError::wrong_type(&self.path(name), rule)
    }

    /// A text of at most `max` characters.
    pub(super) fn text(&self, name: &str, max: usize) -> Read<Option<String>> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= max => Ok(Some(text.clone())),
            Some(Value::String(_)) => Err(self.bad(name, &format!("must be at most {max} characters"))),
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    /// A text without control characters, for what becomes part of a line of some protocol.
    pub(super) fn label(&self, name: &str, max: usize) -> Read<Option<String>> {
        let text = self.text(name, max)?;
        if text.as_ref().is_some_and(|text| text.chars().any(char::is_control)) {
            return Err(self.bad(name, "must not hold control characters"));
        }
        Ok(text)
    }

    /// What one of several words stands for, compared without case.
    pub(super) fn word<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Read<Option<T>> {
        let Some(text) = self.text(name, 256)? else { return Ok(None) };
        match known.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text)) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
                Err(self.bad(name, &format!("must be one of {}", words.join(", "))))
            }
        }
    }

    /// A truth value, also as a word in any case.
    pub(super) fn flag(&self, name: &str) -> Read<Option<bool>> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Bool(yes)) => Ok(Some(*yes)),
            Some(Value::String(word)) if word.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(word)) if word.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// A whole number, also as digits.
    pub(super) fn whole(&self, name: &str, range: RangeInclusive<i64>) -> Read<Option<i64>> {
        let number = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(digits)) => digits.parse().ok(),
            Some(_) => None,
        };
        let number = number.ok_or_else(|| self.wrong(name, "must be a whole number"))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        Err(self.bad(name, &format!("must be from {} to {}", range.start(), range.end())))
    }

    /// A whole number that is not below zero.
    pub(super) fn count(&self, name: &str, range: RangeInclusive<u32>) -> Read<Option<u32>> {
        let number = self.whole(name, i64::from(*range.start())..=i64::from(*range.end()))?;
        // The range has made it fit.
        Ok(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// A time in milliseconds.
    pub(super) fn millis(&self, name: &str, range: RangeInclusive<u32>) -> Read<Option<u64>> {
        Ok(self.count(name, range)?.map(u64::from))
    }

    /// A number, also as digits.
    pub(super) fn real(&self, name: &str, range: RangeInclusive<f64>) -> Read<Option<f64>> {
        let number = match self.raw(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(digits)) => digits.parse().ok(),
            Some(_) => None,
        };
        let number: f64 = number.filter(|n: &f64| n.is_finite()).ok_or_else(|| self.wrong(name, "must be a number"))?;
        if range.contains(&number) {
            return Ok(Some(number));
        }
        Err(self.bad(name, &format!("must be from {} to {}", range.start(), range.end())))
    }

    fn items(&self, name: &str, most: usize) -> Read<Option<&'a [Value]>> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::Array(items)) if items.len() <= most => Ok(Some(items)),
            Some(Value::Array(_)) => Err(self.bad(name, &format!("must have at most {most} items"))),
            Some(_) => Err(self.wrong(name, "must be a list")),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, name: &str, most: usize, longest: usize) -> Read<Option<Vec<String>>> {
        let Some(items) = self.items(name, most)? else { return Ok(None) };
        let mut texts = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let here = format!("{name}.{at}");
            let text = item.as_str().ok_or_else(|| self.wrong(&here, "must be a string"))?;
            if text.chars().count() > longest || text.chars().any(char::is_control) {
                return Err(self.bad(&here, &format!("must be at most {longest} characters, none of them control")));
            }
            texts.push(text.to_owned());
        }
        Ok(Some(texts))
    }

    /// A list of objects.
    pub(super) fn objects(&self, name: &str, most: usize) -> Read<Option<Vec<Self>>> {
        let Some(items) = self.items(name, most)? else { return Ok(None) };
        let inner = |(at, item): (usize, &'a Value)| Fields::inner(self.path(&format!("{name}.{at}")), item);
        items.iter().enumerate().map(inner).collect::<Read<_>>().map(Some)
    }

    /// An object.
    pub(super) fn object(&self, name: &str) -> Read<Option<Self>> {
        self.raw(name).map(|value| Fields::inner(self.path(name), value)).transpose()
    }

    /// A text that holds a JSON object.
    pub(super) fn json_object(&self, name: &str, max: usize) -> Read<Option<Map<String, Value>>> {
        let Some(text) = self.text(name, max)?.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let object = serde_json::from_str(&text);
        object.map(Some).map_err(|_| self.bad(name, "must be a string that holds a JSON object"))
    }
}
