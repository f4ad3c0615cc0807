//! When a campaign may dial: hours of the week in one time zone, with days off. Never reads a clock or the system's zones:
//! the zones are compiled in.

use super::Flaw;
use crate::Moment;
use crate::number::zones;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// Most windows of one campaign.
const MOST_WINDOWS: usize = 100;
/// Most days off of one campaign.
const MOST_HOLIDAYS: usize = 400;
/// How far ahead an opening is looked for, in days: a year of days off still ends.
const LOOK_AHEAD: i64 = MOST_HOLIDAYS as i64 + 8;
/// Seconds of a day.
const DAY: u32 = 24 * 60 * 60;

/// Hours of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// Name of the time zone (IANA), such as `Europe/Berlin`.
    pub zone: String,
    /// When it may dial; outside all of them it may not.
    pub weekly: Vec<Window>,
    /// Days on which it may not, as `2026-12-25`.
    #[serde(default)]
    pub holidays: Vec<String>,
}

/// The same hours on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`; empty: every day.
    #[serde(default)]
    pub days: Vec<Day>,
    /// First moment, as `09:00` or `09:00:00`.
    pub from: String,
    /// First moment after it, as `21:00`; `24:00` is the end of the day.
    pub to: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the seven days say what they are")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    const fn of(day: Weekday) -> Self {
        match day {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

/// Whether it may dial now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It may.
    Open,
    /// It may not before this; none: never again.
    Closed(Option<Moment>),
}

/// What is wrong with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowFault {
    /// It does not begin at a time of day.
    From,
    /// It does not end at one.
    To,
    /// It ends before it begins.
    Order,
}

impl Window {
    /// Checks that its hours exist.
    ///
    /// # Errors
    /// The first [`WindowFault`].
    pub fn check(&self) -> Result<(), WindowFault> {
        let from = seconds(&self.from).filter(|from| *from < DAY).ok_or(WindowFault::From)?;
        let to = seconds(&self.to).ok_or(WindowFault::To)?;
        if to <= from { Err(WindowFault::Order) } else { Ok(()) }
    }
}

impl Windows {
    /// Checks that the zone and the hours exist.
    ///
    /// # Errors
    /// The first [`Flaw`].
    pub fn check(&self) -> Result<(), Flaw> {
        zones::named(&self.zone).ok_or_else(|| {
            Flaw::new("windows.zone", "must be the name of a time zone (IANA), such as Europe/Berlin")
        })?;
        if self.weekly.is_empty() || self.weekly.len() > MOST_WINDOWS {
            return Err(Flaw::new("windows.weekly", format!("must hold 1 to {MOST_WINDOWS} windows")));
        }
        for (at, window) in self.weekly.iter().enumerate() {
            let wrong = |name: &str, rule: &str| Flaw::new(format!("windows.weekly[{at}].{name}"), rule);
            window.check().map_err(|fault| match fault {
                WindowFault::From => wrong("from", "must be a time of day such as 09:00"),
                WindowFault::To => wrong("to", "must be a time of day such as 21:00"),
                WindowFault::Order => wrong("to", "must be later than `from`; split a window that passes midnight"),
            })?;
        }
        if self.holidays.len() > MOST_HOLIDAYS || self.holidays.iter().any(|day| day.parse::<Date>().is_err()) {
            let rule = format!("must be at most {MOST_HOLIDAYS} days such as 2026-12-25");
            return Err(Flaw::new("windows.holidays", rule));
        }
        Ok(())
    }

    /// Whether it may dial at `now`. Windows that do not pass [`Windows::check`] are never open.
    pub fn opening(&self, now: Moment) -> Opening {
        let Some(zone) = zones::named(&self.zone) else { return Opening::Closed(None) };
        let Ok(timestamp) = Timestamp::from_millisecond(now.millis()) else { return Opening::Closed(None) };
        let today = timestamp.to_zoned(zone.clone()).date();
        for ahead in 0..LOOK_AHEAD {
            let Ok(date) = today.checked_add(Span::new().days(ahead)) else { return Opening::Closed(None) };
            let mut next: Option<Moment> = None;
            for (from, to) in self.hours(date, &zone) {
                if now < from {
                    next = Some(next.map_or(from, |earliest| earliest.min(from)));
                } else if now < to {
                    return Opening::Open;
                }
            }
            if next.is_some() {
                return Opening::Closed(next);
            }
        }
        Opening::Closed(None)
    }

    /// The open hours of a day as moments. An hour that a clock change leaves out is taken as the clock change has it.
    fn hours<'a>(&'a self, date: Date, zone: &'a TimeZone) -> impl Iterator<Item = (Moment, Moment)> + 'a {
        let day = Day::of(date.weekday());
        let off = self.holidays.iter().any(|holiday| holiday.parse::<Date>().is_ok_and(|holiday| holiday == date));
        self.weekly
            .iter()
            .filter(move |window| !off && (window.days.is_empty() || window.days.contains(&day)))
            .filter_map(move |window| {
                Some((at(date, seconds(&window.from)?, zone)?, at(date, seconds(&window.to)?, zone)?))
            })
    }
}

fn at(date: Date, second: u32, zone: &TimeZone) -> Option<Moment> {
    let (date, second) = if second == DAY { (date.tomorrow().ok()?, 0) } else { (date, second) };
    let part = |value: u32| i8::try_from(value).ok();
    let time = Time::new(part(second / 3600)?, part(second / 60 % 60)?, part(second % 60)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned(zone.clone()).ok()?;
    Some(Moment(zoned.timestamp().as_millisecond()))
}

/// Seconds since midnight of `09:00`, `09:00:00` or `24:00`.
fn seconds(text: &str) -> Option<u32> {
    let two = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u32>().ok()).flatten()
    };
    let mut parts = text.split(':');
    let (hour, minute) = (two(parts.next()?)?, two(parts.next()?)?);
    let second = parts.next().map_or(Some(0), two)?;
    let total = hour * 3600 + minute * 60 + second;
    (parts.next().is_none() && minute < 60 && second < 60 && total <= DAY).then_some(total)
}
