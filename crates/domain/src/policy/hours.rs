//! Calling hours: weekly windows, judged on the wall clock where the callee is. Pure calendar arithmetic over the zones
//! that the build carries; never reads a clock.

use crate::Moment;
use crate::number::{Country, zones};
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How far ahead an opening is looked for.
const LOOK_AHEAD_DAYS: i32 = 15;
/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A time of day, in minutes since midnight; 24:00 is the end of the day. Written `08:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayTime(u16);

/// A text that is no time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a time of day from 00:00 to 24:00, such as 08:30")]
pub struct BadDayTime;

impl DayTime {
    /// Reads `08:30`.
    ///
    /// # Errors
    /// [`BadDayTime`].
    pub fn parse(text: &str) -> Result<Self, BadDayTime> {
        let two = |part: &str| -> Option<u16> {
            (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok())?
        };
        let (hour, minute) = text.split_once(':').ok_or(BadDayTime)?;
        match (two(hour), two(minute)) {
            (Some(hour), Some(minute)) if minute < 60 && hour * 60 + minute <= DAY => Ok(Self(hour * 60 + minute)),
            _ => Err(BadDayTime),
        }
    }
}

impl Serialize for DayTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

impl<'de> Deserialize<'de> for DayTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// A stretch of the day in which calls are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// On these days; empty: on every day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// From this time on.
    pub from: DayTime,
    /// Until just before this time.
    pub to: DayTime,
    /// For callees in these countries; empty: wherever no window names the country.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<Country>,
}

impl Window {
    fn holds(&self, at: DateTime) -> bool {
        let minute = u16::from(at.hour().unsigned_abs()) * 60 + u16::from(at.minute().unsigned_abs());
        self.is_on(at.date()) && (self.from.0..self.to.0).contains(&minute)
    }

    fn is_on(&self, date: Date) -> bool {
        self.days.is_empty() || self.days.contains(&day_of(date.weekday()))
    }
}

const fn day_of(day: Weekday) -> Day {
    match day {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

/// The windows that count for a callee, and where it is.
pub struct Timetable<'a> {
    windows: Vec<&'a Window>,
    holidays: &'a [Date],
    zones: Vec<TimeZone>,
}

impl<'a> Timetable<'a> {
    /// The timetable of a callee in `country` whose telephone may be in any of `zones` (IANA names; unknown ones do not
    /// count). None when no window applies to the country: then the hours do not restrict the call.
    pub fn of(
        windows: &'a [Window],
        holidays: &'a [Date],
        country: Option<Country>,
        zones: &[impl AsRef<str>],
    ) -> Option<Self> {
        let named = |window: &&Window| country.is_some_and(|country| window.countries.contains(&country));
        let mut chosen: Vec<&Window> = windows.iter().filter(named).collect();
        if chosen.is_empty() {
            chosen = windows.iter().filter(|window| window.countries.is_empty()).collect();
        }
        let mut zones: Vec<TimeZone> = zones.iter().filter_map(|zone| zones::named(zone.as_ref())).collect();
        if zones.is_empty() {
            // Nobody knows where the telephone is: the one clock that everybody shares.
            zones.push(TimeZone::UTC);
        }
        (!chosen.is_empty()).then_some(Self { windows: chosen, holidays, zones })
    }

    /// Whether calls are allowed at `now` in every zone.
    pub fn is_open(&self, now: Moment) -> bool {
        let Some(at) = timestamp(now) else { return false };
        self.zones.iter().all(|zone| self.holds(zone.to_datetime(at)))
    }

    /// The first moment from `now` on at which calls are allowed; none within two weeks. Opening happens where a window
    /// begins in one of the zones, or where a clock is set, which may be in the middle of one.
    pub fn next_opening(&self, now: Moment) -> Option<Moment> {
        if self.is_open(now) {
            return Some(now);
        }
        let at = timestamp(now)?;
        let mut candidates: Vec<Moment> = Vec::new();
        for zone in &self.zones {
            let today = zone.to_datetime(at).date();
            let set = zone.following(at).next().map(|change| change.timestamp());
            candidates.extend(set.map(|at| Moment(at.as_millisecond())));
            for ahead in 0..LOOK_AHEAD_DAYS {
                let Ok(date) = today.checked_add(ahead.days()) else { continue };
                candidates.extend(self.windows.iter().filter_map(|window| begin(zone, date, window.from)));
            }
        }
        candidates.sort_unstable();
        candidates.into_iter().filter(|moment| *moment > now).find(|moment| self.is_open(*moment))
    }

    fn holds(&self, at: DateTime) -> bool {
        !self.holidays.contains(&at.date()) && self.windows.iter().any(|window| window.holds(at))
    }
}

/// The beginning of the day on which `now` falls in `zone` (an IANA name).
pub fn midnight(now: Moment, zone: &str) -> Option<Moment> {
    let zone = zones::named(zone)?;
    begin(&zone, zone.to_datetime(timestamp(now)?).date(), DayTime(0))
}

/// `now` on the wall clock of `zone`, for people: `Mon 2026-05-04 20:59:59`.
pub fn local_time(now: Moment, zone: &str) -> Option<String> {
    let at = zones::named(zone)?.to_datetime(timestamp(now)?);
    Some(at.strftime("%a %Y-%m-%d %H:%M:%S").to_string())
}

/// When `time` of `date` is reached in `zone`. A time that the clocks jump over is reached when they have jumped.
fn begin(zone: &TimeZone, date: Date, time: DayTime) -> Option<Moment> {
    let (hour, minute) = (i8::try_from(time.0 / 60).ok()?, i8::try_from(time.0 % 60).ok()?);
    let at = date.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
    let reached = zone.to_ambiguous_timestamp(at).compatible().ok()?;
    Some(Moment(reached.as_millisecond()))
}

fn timestamp(now: Moment) -> Option<Timestamp> {
    Timestamp::from_millisecond(now.millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> Moment {
        Moment(text.parse::<Timestamp>().expect("a time").as_millisecond())
    }

    fn window(from: &str, to: &str) -> Window {
        let time = |text| DayTime::parse(text).expect("a time of day");
        Window { days: vec![], from: time(from), to: time(to), countries: vec![] }
    }

    #[test]
    fn times_of_day() {
        for good in ["00:00", "08:30", "24:00"] {
            let shown = serde_json::to_value(DayTime::parse(good).expect(good)).expect("a text");
            assert_eq!(shown, good);
        }
        for bad in ["", "8:30", "08:60", "24:01", "25:00", "+8:30", "0830", "08:30:00"] {
            assert_eq!(DayTime::parse(bad), Err(BadDayTime), "{bad}");
        }
    }

    /// On 25 October 2026 three o'clock in Berlin is two o'clock again: the same half hour is open twice.
    #[test]
    fn an_hour_that_comes_twice_opens_twice() {
        let night = [window("01:30", "02:30")];
        let table = Timetable::of(&night, &[], None, &["Europe/Berlin"]).expect("a window applies");
        let between = moment("2026-10-25T00:45:00Z");
        assert!(!table.is_open(between));
        assert_eq!(table.next_opening(between), Some(moment("2026-10-25T01:00:00Z")));
        assert_eq!(table.next_opening(moment("2026-10-25T01:30:00Z")), Some(moment("2026-10-26T00:30:00Z")));
    }

    #[test]
    fn the_next_opening_is_inside_in_every_zone() {
        let windows = [window("08:00", "21:00")];
        let zones = ["America/New_York", "America/Chicago"];
        let table = Timetable::of(&windows, &[], None, &zones).expect("a window applies");
        let opening = table.next_opening(moment("2026-05-04T12:30:00Z"));
        assert_eq!(opening, Some(moment("2026-05-04T13:00:00Z")), "08:00 in Chicago");
        let night = table.next_opening(moment("2026-05-05T01:30:00Z"));
        assert_eq!(night, Some(moment("2026-05-05T13:00:00Z")));
    }

    #[test]
    fn holidays_and_weekdays_are_local() {
        let mut weekdays = window("09:00", "17:00");
        weekdays.days = vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];
        let windows = [weekdays];
        let holidays = ["2026-12-25".parse().expect("a date")];
        let table = Timetable::of(&windows, &holidays, None, &["Asia/Tokyo"]).expect("a window applies");
        // Thursday evening in Tokyo: Friday is a holiday, then the weekend.
        let opening = table.next_opening(moment("2026-12-24T09:00:00Z"));
        assert_eq!(opening, Some(moment("2026-12-28T00:00:00Z")));
    }

    #[test]
    fn a_country_without_a_window_is_not_restricted() {
        let mut american = window("08:00", "21:00");
        american.countries = vec![crate::number::country::US];
        let windows = [american];
        assert!(Timetable::of(&windows, &[], Some(crate::number::country::CHINA), &["Asia/Shanghai"]).is_none());
        assert!(Timetable::of(&windows, &[], Some(crate::number::country::US), &["America/Denver"]).is_some());
    }

    #[test]
    fn the_day_begins_where_the_callee_is() {
        let now = moment("2026-03-08T12:00:00Z");
        assert_eq!(midnight(now, "America/New_York"), Some(moment("2026-03-08T05:00:00Z")));
        assert_eq!(midnight(now, "Pacific/Honolulu"), Some(moment("2026-03-08T10:00:00Z")));
        assert_eq!(midnight(now, "Mars/Olympus"), None);
    }
}
