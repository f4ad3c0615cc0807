//! How long what is known of a call is kept. Pure: the sweeper brings the time and carries it out.

use crate::Moment;
use crate::agent::Switch;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most days that can be asked for: a hundred years.
pub const LONGEST_DAYS: u32 = 36_500;
/// Fewest days that a record can be kept: the limits on how often somebody is called count over 31 days of records.
pub const FEWEST_RECORD_DAYS: u32 = 31;
/// Seconds of a day.
const DAY_S: u64 = 24 * 3600;

/// How long the parts of an ended call are kept, in days after its end; 0: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Audio.
    pub recordings_days: u32,
    /// What was said, keys that were pressed, what tools were given, variables and the requester's own text.
    pub transcripts_days: u32,
    /// Everything else: the call itself, its record and events. What is older than this goes whole.
    pub records_days: u32,
    /// On: nothing is removed, whatever the days say.
    pub hold: Switch,
}

/// A part of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Audio.
    Recording,
    /// Words.
    Transcript,
    /// The call itself.
    Record,
}

/// Why something of a call is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// Its days were over.
    Expired,
    /// It was to be erased.
    Erased,
}

impl Absence {
    /// The word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Erased => "erased",
        }
    }

    /// The absence of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Expired, Self::Erased].into_iter().find(|absence| absence.word() == word)
    }
}

impl Kept {
    /// Every part, the most personal first.
    pub const ALL: [Self; 3] = [Self::Recording, Self::Transcript, Self::Record];
}

impl Retention {
    /// The days, in the order of [`Kept::ALL`].
    pub const fn days(&self) -> [u32; 3] {
        [self.recordings_days, self.transcripts_days, self.records_days]
    }

    /// Calls that ended at or before this moment lose this part; none: they keep it for ever.
    pub fn until(&self, part: Kept, now: Moment) -> Option<Moment> {
        let days = match part {
            Kept::Recording => self.recordings_days,
            Kept::Transcript => self.transcripts_days,
            Kept::Record => self.records_days,
        };
        let kept = Duration::from_secs(u64::from(days) * DAY_S);
        (days > 0 && !self.hold.is_on()).then(|| now.before(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_the_end_and_a_hold_holds() {
        let day = 24 * 3600 * 1000;
        let rule = Retention { recordings_days: 1, records_days: 30, ..Retention::default() };
        assert_eq!(rule.until(Kept::Recording, Moment(31 * day)), Some(Moment(30 * day)));
        assert_eq!(rule.until(Kept::Transcript, Moment(31 * day)), None);
        assert_eq!(rule.until(Kept::Record, Moment(31 * day)), Some(Moment(day)));
        let held = Retention { hold: Switch::On, ..rule };
        assert!(Kept::ALL.iter().all(|part| held.until(*part, Moment(31 * day)).is_none()));
    }
}
