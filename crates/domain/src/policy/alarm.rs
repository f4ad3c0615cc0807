//! What of an account's limits is nearly used up, so that its owner hears of it before a call is refused (BARS S18). Counts
//! in, alarms out; who is told how often is the business of whoever asks. Never refuses anything.

use super::Usage;
use super::rules::{Quota, start_of_day};
use crate::Moment;
use serde::Serialize;

/// From this share of a limit on its owner hears of it, in percent.
pub const NEAR_PERCENT: u64 = 80;
/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;
/// Millionths of a unit of money.
const MONEY: u64 = 1_000_000;

/// A limit that can be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Calls of the account at once.
    Calls,
    /// Talked minutes of a day (UTC).
    MinutesPerDay,
    /// Talked minutes altogether.
    Minutes,
    /// Spent on a day (UTC), in the account's currency.
    CostPerDay,
}

impl Limit {
    /// Its word, as in the rules.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::MinutesPerDay => "minutes_per_day",
            Self::Minutes => "minutes",
            Self::CostPerDay => "cost_per_day",
        }
    }
}

/// A limit of which little is left.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Near {
    /// Which.
    pub limit: Limit,
    /// How much is used, in the limit's own unit.
    pub used: f64,
    /// How much there is.
    pub of: u32,
    /// The share that is used; above 100 when the last call went over the limit.
    pub percent: u64,
}

impl Near {
    fn of(limit: Limit, used: u64, unit: u64, of: u32) -> Option<Self> {
        let whole = u64::from(of).checked_mul(unit).filter(|whole| *whole > 0)?;
        let percent = used.saturating_mul(100) / whole;
        // Both are far below 2^52.
        #[allow(clippy::cast_precision_loss, reason = "a number for people, rounded to hundredths")]
        let used = (used as f64 / unit as f64 * 100.0).round() / 100.0;
        (percent >= NEAR_PERCENT).then_some(Self { limit, used, of, percent })
    }

    /// A name for this alarm in the stretch of time for which one is enough: the day (UTC), or for minutes altogether for as
    /// long as there are so many.
    pub fn name(&self, now: Moment) -> String {
        let (word, of) = (self.limit.word(), self.of);
        match self.limit {
            Limit::Minutes => format!("limit_{word}_{of}"),
            Limit::Calls | Limit::MinutesPerDay | Limit::CostPerDay => {
                format!("limit_{word}_{of}_{}", start_of_day(now).millis() / 86_400_000)
            }
        }
    }
}

/// What of a quota is nearly used up, when the rule is on.
pub fn near(rule: &Quota, usage: &Usage) -> Vec<Near> {
    if !rule.status.is_on() {
        return Vec::new();
    }
    let alarms = [
        Near::of(Limit::MinutesPerDay, usage.today_ms, MINUTE, rule.minutes_per_day),
        Near::of(Limit::Minutes, usage.ever_ms, MINUTE, rule.minutes),
        Near::of(Limit::CostPerDay, usage.today_cost, MONEY, rule.cost_per_day),
    ];
    alarms.into_iter().flatten().collect()
}

/// Whether `active` calls at once are nearly as many as an account may have; `u32::MAX`: it has no limit.
pub fn calls_near(active: u32, limit: u32) -> Option<Near> {
    if limit == u32::MAX { None } else { Near::of(Limit::Calls, u64::from(active), 1, limit) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Switch;

    #[test]
    fn four_fifths_are_near() {
        let rule = Quota { status: Switch::On, minutes_per_day: 10, cost_per_day: 5, ..Quota::default() };
        let usage = |today_ms, today_cost| Usage { today_ms, ever_ms: today_ms, today_cost, ..Usage::default() };
        let words = |usage: &Usage| near(&rule, usage).iter().map(|near| near.limit.word()).collect::<Vec<_>>();
        assert_eq!(words(&usage(479_999, 3_999_999)), Vec::<&str>::new());
        assert_eq!(words(&usage(480_000, 4_000_000)), ["minutes_per_day", "cost_per_day"]);
        let over = near(&rule, &usage(605_000, 0));
        assert_eq!((over[0].used, over[0].of, over[0].percent), (10.08, 10, 100));
        assert_eq!(near(&Quota { status: Switch::Off, ..rule }, &usage(480_000, 0)), []);
    }

    #[test]
    fn calls_at_once() {
        assert_eq!(calls_near(3, 4), None);
        assert_eq!(calls_near(4, 5).map(|near| near.percent), Some(80));
        assert_eq!(calls_near(u32::MAX, u32::MAX), None, "no limit");
        assert_eq!(calls_near(1, 0), None, "nothing to be near to");
    }

    #[test]
    fn one_alarm_a_day_and_for_each_limit() {
        let near = |limit, of| Near { limit, used: 1.0, of, percent: 80 };
        let (day, next) = (Moment(86_400_000 * 3 + 5), Moment(86_400_000 * 4));
        assert_eq!(near(Limit::Calls, 5).name(day), "limit_calls_5_3");
        assert_ne!(near(Limit::Calls, 5).name(day), near(Limit::Calls, 5).name(next));
        assert_eq!(near(Limit::Minutes, 5).name(day), near(Limit::Minutes, 5).name(next));
        assert_ne!(near(Limit::Minutes, 5).name(day), near(Limit::Minutes, 6).name(day));
    }
}
