//! Phone numbers: one canonical form, parsed from the many that callers send, and printed masked.
//! Never looks a number up: what it leads to is [`class`], where it may be [`zones`], whether it may be dialled is policy.

pub mod class;
pub mod country;
pub mod zones;

pub use country::Country;

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Most digits an E.164 number has (ITU-T E.164, section 6.1).
const MAX_DIGITS: usize = 15;
/// Fewest digits that we dial: extensions of a local exchange.
const MIN_DIGITS: usize = 2;
/// Most digits before a calling code when one dials abroad (Australia's 0011).
const LONGEST_PREFIX: usize = 4;
/// Fewest digits of a national number that is more than a service code.
const FULL: usize = 7;
/// How an erased number reads, and no other does.
const ERASED: &str = "erased";
/// Most digits of a national number as it is dialled within a country, where it could be taken for one that begins with
/// the calling code (China's mobile numbers have eleven).
const LONGEST_NATIONAL: usize = 11;

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
    /// An address instead of a number: its host would decide where the call goes.
    #[error("a phone number must be digits, not a sip: or tel: address")]
    Address,
    /// An extension behind the number: it can be keyed in once somebody has answered, it cannot be dialled.
    #[error("a phone number must come without its extension; an agent may press its keys after the answer")]
    Extension,
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
        let scheme = trimmed.split(':').next().unwrap_or_default();
        if ["sip", "sips", "tel"].iter().any(|name| scheme.eq_ignore_ascii_case(name)) && scheme.len() < trimmed.len() {
            return Err(BadNumber::Address);
        }
        for (at, c) in trimmed.char_indices() {
            match c {
                'e' | 'E' | 'x' | 'X' if is_extension(&trimmed[at..]) => return Err(BadNumber::Extension),
                '0'..='9' => digits.push(c),
                '+' if at == 0 => {}
                ' ' | '-' | '.' | '(' | ')' if at > 0 || c == '(' => {}
                _ => return Err(BadNumber::Character),
            }
            if digits.len() > MAX_DIGITS + LONGEST_PREFIX {
                return Err(BadNumber::Long);
            }
        }
        let international = if trimmed.starts_with('+') {
            Some(digits.as_str())
        } else {
            digits.strip_prefix("00").filter(|rest| rest.len() >= FULL && !is_other_prefix(rest))
        };
        let (plus, body) = international.map_or(("", digits.as_str()), |rest| ("+", rest));
        match body.len() {
            n if n < MIN_DIGITS => Err(BadNumber::Short),
            n if n > MAX_DIGITS && !(plus.is_empty() && body.starts_with('0')) => Err(BadNumber::Long),
            _ if plus.is_empty() => Ok(Self(body.to_owned())),
            _ => Ok(Self(format!("+{}", without_trunk_prefix(body)))),
        }
    }

    /// What stands in the place of a number that was erased. Nothing that is dialled or asked for is equal to it.
    pub fn erased() -> Self {
        Self(ERASED.to_owned())
    }

    /// The digits after `+`; none for a number whose country is not known.
    pub fn international(&self) -> Option<&str> {
        self.0.strip_prefix('+')
    }

    /// The country it belongs to, when it is known.
    pub fn country(&self) -> Option<Country> {
        self.international().and_then(Country::of_digits)
    }

    /// The number in international form, when it was given as it is dialled within `home`: with the prefix for other
    /// countries (`011…`), with the trunk prefix (`0…`), with the calling code but no `+`, or as a bare national number.
    /// What is too short for a subscriber's number (service codes, extensions) stays as it is.
    #[must_use]
    pub fn at_home(&self, home: Option<Country>) -> Self {
        let (Some(home), None) = (home, self.international()) else { return self.clone() };
        let digits = self.0.as_str();
        let abroad = digits.strip_prefix(home.international_prefix()).filter(|rest| rest.len() >= FULL);
        if let Some(rest) = abroad {
            return Self(format!("+{}", without_trunk_prefix(rest)));
        }
        let code = home.calling_code();
        let trunk = home.trunk_prefix();
        if home.is_north_american() {
            return match (digits.len(), digits.starts_with('1')) {
                (11, true) => Self(format!("+{digits}")),
                (10, false) => Self(format!("+1{digits}")),
                _ => self.clone(),
            };
        }
        if digits.len() > LONGEST_NATIONAL && digits.starts_with(code) {
            return Self(format!("+{}", without_trunk_prefix(digits)));
        }
        let national = if trunk.is_empty() { digits } else { digits.strip_prefix(trunk).unwrap_or(digits) };
        if national.len() < FULL || code.len() + national.len() > MAX_DIGITS {
            return self.clone();
        }
        Self(format!("+{code}{national}"))
    }

    /// The whole number as it is dialled. For SIP and storage, never for a log.
    pub fn dial(&self) -> &str {
        &self.0
    }

    /// The number with all but its last four digits hidden; shorter numbers are hidden whole.
    pub fn masked(&self) -> String {
        if self.0 == ERASED {
            return ERASED.to_owned();
        }
        let shown = if self.0.len() > 6 { &self.0[self.0.len() - 4..] } else { "" };
        format!("***{shown}")
    }
}

/// Whether what follows `00` shows that the prefix was `001` or `0011`: nothing of the North American plan begins with
/// `10` or `11` or has more than eleven digits. Such digits wait for a home country to make sense of them.
fn is_other_prefix(rest: &str) -> bool {
    rest.starts_with("10") || rest.starts_with("11") || (rest.starts_with('1') && rest.len() > 11)
}

/// `ext`, `extension`, `x`, and digits.
fn is_extension(rest: &str) -> bool {
    let word = rest.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, ' ' | '.' | ':'));
    ["x", "ext", "extn", "extension"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// International digits without the zero that is only dialled within the country: `44 (0)20…`, `86 010…`.
fn without_trunk_prefix(digits: &str) -> String {
    if let Some(row) = country::by_code(digits)
        && row.trunk == "0"
        && let Some(national) = digits.strip_prefix(row.code)
        && let Some(rest) = national.strip_prefix('0')
        && rest.len() >= FULL
    {
        return format!("{}{rest}", row.code);
    }
    digits.to_owned()
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
        let text = String::deserialize(deserializer)?;
        if text == ERASED {
            return Ok(Self::erased());
        }
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_erased_number_is_kept_and_never_asked_for() {
        let kept = serde_json::to_string(&PhoneNumber::erased()).expect("JSON");
        assert_eq!(serde_json::from_str::<PhoneNumber>(&kept).expect("kept"), PhoneNumber::erased());
        assert!(PhoneNumber::parse(PhoneNumber::erased().dial()).is_err());
        assert_eq!(PhoneNumber::erased().to_string(), "erased");
    }

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
            ("+1é x12", BadNumber::Character),
            ("*21*123#", BadNumber::Character),
            ("12\u{2028}34", BadNumber::Character),
        ] {
            assert_eq!(PhoneNumber::parse(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn as_dialled_at_home() {
        for (home, given, dialled) in [
            ("CN", "13800138000", "+8613800138000"),
            ("CN", "8613800138000", "+8613800138000"),
            ("CN", "008613800138000", "+8613800138000"),
            ("CN", "008601012345678", "+861012345678"),
            ("CN", "0086075512345678", "+8675512345678"),
            ("CN", "861012345678", "+861012345678"),
            ("CN", "010 1234 5678", "+861012345678"),
            ("CN", "0755-12345678", "+8675512345678"),
            ("CN", "95588", "95588"),
            ("US", "(415) 555-0123", "+14155550123"),
            ("US", "1-415-555-0123", "+14155550123"),
            ("US", "011 44 20 7946 0000", "+442079460000"),
            ("US", "555-0123", "5550123"),
            ("GB", "020 7946 0000", "+442079460000"),
            ("GB", "+44 (0)20 7946 0000", "+442079460000"),
            ("IT", "06 1234 5678", "+390612345678"),
            ("RU", "8 (495) 123-45-67", "+74951234567"),
            ("JP", "010 1 415 555 0123", "+14155550123"),
            ("AU", "0011 44 20 7946 0000", "+442079460000"),
            ("DE", "030 123456", "+4930123456"),
        ] {
            let home = Country::new(home).expect("a country");
            assert_eq!(
                PhoneNumber::parse(given).expect(given).at_home(Some(home)).dial(),
                dialled,
                "{given} in {home}"
            );
        }
    }

    #[test]
    fn addresses_and_extensions_are_named() {
        for (bad, why) in [
            ("sip:+14155550123@evil.example", BadNumber::Address),
            ("SIPS:100@x", BadNumber::Address),
            ("tel:+14155550123", BadNumber::Address),
            ("+14155550123 ext. 12", BadNumber::Extension),
            ("+14155550123x12", BadNumber::Extension),
            ("+14155550123;ext=12", BadNumber::Character),
            ("1-800-FLOWERS", BadNumber::Character),
            ("1-800-EXTRA", BadNumber::Character),
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
