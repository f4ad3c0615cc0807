//! Parameters that are plain values. They come as text; each is read as what it must be, or refused by its name. Structured
//! ones are `section`'s.

use super::wire::Call;
use super::{invalid, missing};
use crate::fault::Fault;
use callwright_domain::Moment;
use std::ops::RangeInclusive;

impl Call<'_> {
    /// A text that must be there, of at most `max` characters.
    pub(super) fn needed(&self, name: &str, max: usize) -> Result<String, Fault> {
        let text = self.parameter(name).ok_or_else(|| missing(name))?;
        match text.chars().count() <= max {
            true => Ok(text),
            false => Err(invalid(name, &format!("must be at most {max} characters"))),
        }
    }

    /// A whole number.
    pub(super) fn whole(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Fault> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|number| range.contains(number));
        let rule = || invalid(name, &format!("must be a whole number from {} to {}", range.start(), range.end()));
        number.map(Some).ok_or_else(rule)
    }

    /// A whole number that is small and not negative.
    pub(super) fn count(&self, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, Fault> {
        let number = self.whole(name, i64::from(*range.start())..=i64::from(*range.end()))?;
        // Within the range, which is one of such numbers.
        Ok(number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
    }

    /// What one of several words stands for.
    pub(super) fn word<T: Copy>(&self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Fault> {
        let Some(text) = self.parameter(name) else { return Ok(None) };
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let found = known.iter().find(|(word, _)| *word == text);
        let rule = || invalid(name, &format!("must be one of {}", words.join(", ")));
        found.map(|(_, meaning)| Some(*meaning)).ok_or_else(rule)
    }

    /// A time as ISO 8601 writes it.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Moment>, Fault> {
        let text = self.parameter(name);
        text.map(|text| super::super::native::moment(name, &text)).transpose()
    }
}
