//! Phone numbers: one canonical form, parsed from the many that callers send, and printed masked.
//! Never looks a number up: whether it may be dialled is policy.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Most digits an E.164 number has (ITU-T E.164, section 6.1).
const MAX_DIGITS: usize = 15;
/// Fewest digits that we dial: extensions of a local exchange.
const MIN_DIGITS: usize = 2;

/// A number that can be dialled: `+` and digits when the country is known, digits alone when it is not.
///
/// `Debug` and `Display` show the last four digits only; [`PhoneNumber::dial`] gives the whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PhoneNumber(String);

/// Why a text is not a phone number. The message names the rule and the shape, never the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// Nothing but blanks.
    #[error("a phone number must not be empty")]
    Empty,
    /// A character that no phone number has; control characters and SIP syntax end here.
    #[error("a phone number may hold digits, a leading +, and the separators space - . ( ) only")]
    Character,
    /// Too few digits.
    #[error("a phone number needs at least {MIN_DIGITS} digits")]
    Short,
    /// Too many digits.
    #[error("a phone number has at most {MAX_DIGITS} digits")]
    Long,
}

impl PhoneNumber {
    /// Parses `+1 (415) 555-0100`, `00 86 173…`, `0086173…` and plain digits. `00` becomes `+`.
    ///
    /// # Errors
    /// [`BadNumber`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadNumber> {
        let trimmed = text.trim_matches(' ');
        if trimmed.is_empty() {
            return Err(BadNumber::Empty);
        }
        let mut digits = String::with_capacity(MAX_DIGITS + 1);
        for (at, c) in trimmed.chars().enumerate() {
            match c {
                '0'..='9' => digits.push(c),
                '+' if at == 0 => {}
                ' ' | '-' | '.' | '(' | ')' if at > 0 || c == '(' => {}
                _ => return Err(BadNumber::Character),
            }
            if digits.len() > MAX_DIGITS + 2 {
                return Err(BadNumber::Long);
            }
        }
        let international = if trimmed.starts_with('+') {
            Some(digits.as_str())
        } else {
            digits.strip_prefix("00").filter(|rest| rest.len() >= 7)
        };
        let (plus, body) = international.map_or(("", digits.as_str()), |rest| ("+", rest));
        match body.len() {
            n if n < MIN_DIGITS => Err(BadNumber::Short),
            n if n > MAX_DIGITS => Err(BadNumber::Long),
            _ => Ok(Self(format!("{plus}{body}"))),
        }
    }

    /// The whole number as it is dialled. For SIP and storage, never for a log.
    pub fn dial(&self) -> &str {
        &self.0
    }

    /// The number with all but its last four digits hidden; shorter numbers are hidden whole.
    pub fn masked(&self) -> String {
        let shown = if self.0.len() > 6 { &self.0[self.0.len() - 4..] } else { "" };
        format!("***{shown}")
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({})", self.masked())
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_many_spellings() {
        for (given, dialled) in [
            ("+14155550100", "+14155550100"),
            ("+1 (415) 555-0100", "+14155550100"),
            ("0014155550100", "+14155550100"),
            ("00 86 173 0000 0533", "+8617300000533"),
            ("(020) 7946 0000", "02079460000"),
            ("1001", "1001"),
            ("17300000533", "17300000533"),
        ] {
            assert_eq!(PhoneNumber::parse(given).expect(given).dial(), dialled);
        }
    }

    #[test]
    fn nothing_that_could_write_a_sip_line_gets_in() {
        for (bad, why) in [
            ("", BadNumber::Empty),
            ("  ", BadNumber::Empty),
            ("1", BadNumber::Short),
            ("+", BadNumber::Short),
            ("1234567890123456", BadNumber::Long),
            ("12\r\nVia: x", BadNumber::Character),
            ("12%0d%0a", BadNumber::Character),
            ("12;tag=1", BadNumber::Character),
            ("12@evil", BadNumber::Character),
            ("1+2", BadNumber::Character),
            ("１２３４", BadNumber::Character),
            ("*21*123#", BadNumber::Character),
            ("12\u{2028}34", BadNumber::Character),
        ] {
            assert_eq!(PhoneNumber::parse(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn prints_masked() {
        let number = PhoneNumber::parse("+14155550100").expect("valid");
        assert_eq!(format!("{number} {number:?}"), "***0100 PhoneNumber(***0100)");
        assert_eq!(PhoneNumber::parse("1001").expect("valid").to_string(), "***");
    }
}
