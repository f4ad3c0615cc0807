//! The rules of an account, and what an agent changes in them. Data: every rule can be switched, and each has one
//! [`super::Refusal`] of its own. What cannot be switched (emergency, premium and satellite numbers, one's own numbers,
//! deny lists) is not here.

use super::counts::Spell;
use super::hours::{Timetable, Window};
use crate::Moment;
use crate::agent::Switch;
use crate::number::{Country, zones};
use crate::redaction::Redaction;
use crate::retention::{FEWEST_RECORD_DAYS, LONGEST_DAYS, Retention};
use crate::transfer::{DeskName, TransferTarget, is_address_entry};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest list in a rule.
const MOST_ENTRIES: usize = 1000;
/// Most calls that a rule counts up to.
const MOST_CALLS: u32 = 1_000_000;
/// Longest stretch in which calls are counted: 31 days.
const LONGEST_SPELL_S: u32 = 31 * 24 * 3600;
/// Longest sentence that tells that a machine speaks, in characters.
const LONGEST_DISCLOSURE: usize = 1000;
/// Longest time that a telephone can be made to ring at least.
const LONGEST_RING_S: u64 = 120;

/// Which numbers may be called at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Destinations {
    /// Off: every country.
    pub status: Switch,
    /// Countries besides the home country.
    pub countries: Vec<Country>,
    /// Beginnings of numbers that may be called besides, such as `+4420`.
    pub prefixes: Vec<String>,
    /// Short numbers of a private exchange. Emergency numbers stay forbidden.
    pub extensions: Switch,
    /// Where callees may be handed over to beside telephone numbers: hosts of `sip:` addresses (`pbx.example`), or single
    /// addresses there (`desk@pbx.example`). Nobody is called there otherwise.
    pub addresses: Vec<String>,
}

impl Default for Destinations {
    fn default() -> Self {
        Self {
            status: Switch::On,
            countries: Vec::new(),
            prefixes: Vec::new(),
            extensions: Switch::Off,
            addresses: Vec::new(),
        }
    }
}

/// Regions that are never called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Regions {
    /// Off: none is blocked.
    pub status: Switch,
    /// Beginnings of numbers (`+86991`), countries (`CU`), or a region of the table (`CN-XJ`, `CN-XZ`: landlines; a mobile
    /// number does not tell its region).
    pub blocked: Vec<String>,
}

/// Regions by name: the beginnings of their landline numbers.
const NAMED_REGIONS: &[(&str, &[&str])] = &[
    (
        "CN-XJ",
        &[
            "86901", "86902", "86903", "86906", "86908", "86909", "86990", "86991", "86992", "86993", "86994", "86995",
            "86996", "86997", "86998", "86999",
        ],
    ),
    ("CN-XZ", &["86891", "86892", "86893", "86894", "86895", "86896", "86897"]),
];

impl Regions {
    /// Whether a number, given as international digits, lies in a blocked region.
    pub fn blocks(&self, digits: &str) -> bool {
        self.status.is_on() && self.blocked.iter().any(|entry| lies_in(entry, digits))
    }
}

fn lies_in(entry: &str, digits: &str) -> bool {
    if let Some(prefix) = entry.strip_prefix('+') {
        return digits.starts_with(prefix);
    }
    match NAMED_REGIONS.iter().find(|(name, _)| *name == entry) {
        Some((_, beginnings)) => beginnings.iter().any(|beginning| digits.starts_with(beginning)),
        None => Country::of_digits(digits).is_some_and(|country| country.code() == entry),
    }
}

/// When callees may be called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// Off: at any time.
    pub status: Switch,
    /// The windows. A country that no window names takes those that name none.
    pub windows: Vec<Window>,
    /// Days, on the callee's calendar, on which nobody is called.
    pub holidays: Vec<Date>,
    /// Judge everybody on this IANA zone's clock instead of the callee's own.
    pub zone: Option<String>,
    /// What becomes of a call outside the hours.
    pub otherwise: Otherwise,
}

/// What becomes of a call outside the calling hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// It is refused, or ended when it waits already.
    #[default]
    Refuse,
    /// It waits for the next opening, if that comes before its deadline.
    Reschedule,
}

impl Hours {
    /// The timetable for a callee that is known to be in the zone `known`, or else in the one that the rule names, or else
    /// in any of `zones`; none when nothing restricts the call.
    pub fn timetable<'a>(
        &'a self,
        country: Option<Country>,
        known: Option<&str>,
        zones: &[impl AsRef<str>],
    ) -> Option<Timetable<'a>> {
        if !self.status.is_on() {
            return None;
        }
        match known.or(self.zone.as_deref()) {
            Some(zone) => Timetable::of(&self.windows, &self.holidays, country, &[zone]),
            None => Timetable::of(&self.windows, &self.holidays, country, zones),
        }
    }
}

/// How often a callee may be called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalleeLimits {
    /// Off: as often as wanted.
    pub status: Switch,
    /// In sliding stretches of time.
    pub at_most: Vec<Spell>,
    /// On one day of the callee's calendar; 0: no limit.
    pub per_day: u32,
    /// Count only the calls of the same agent.
    pub by_agent: Switch,
}

/// How often something may happen in sliding stretches of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Frequency {
    /// Off: as often as wanted.
    pub status: Switch,
    /// The limits; all of them hold.
    pub at_most: Vec<Spell>,
}

/// Whether a callee must have agreed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsentRule {
    /// On: there must be a record that was not taken back.
    pub status: Switch,
    /// What the consent must be for; empty: for anything.
    pub scope: String,
}

/// What an account may use up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Off: no limit.
    pub status: Switch,
    /// Talked minutes of one day (UTC); 0: no limit.
    pub minutes_per_day: u32,
    /// Talked minutes altogether; 0: no limit.
    pub minutes: u32,
    /// Spent on one day (UTC), in the account's currency; 0: no limit.
    pub cost_per_day: u32,
    /// Prices; the longest prefix that fits counts.
    pub rates: Vec<Rate>,
    /// The last day (UTC) on which calls are placed.
    pub ends: Option<Date>,
}

/// The price of calls to numbers that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Beginning of the numbers, such as `+86`.
    pub prefix: String,
    /// Price of a minute, in millionths of the account's currency.
    pub micros_per_minute: u64,
}

impl Quota {
    /// What `talked_ms` to a number (international digits) cost, in millionths of the account's currency: by the second,
    /// rounded up. Numbers without a rate cost nothing.
    pub fn cost(&self, digits: &str, talked_ms: u64) -> u64 {
        let seconds = talked_ms.div_ceil(1000);
        self.micros_per_minute(digits).map_or(0, |price| seconds.saturating_mul(price).div_ceil(60))
    }

    /// How many milliseconds to a number cost no more than `money`: whole seconds. None: as many as one likes.
    pub fn affords(&self, digits: &str, money: u64) -> Option<u64> {
        let price = self.micros_per_minute(digits).filter(|price| *price > 0)?;
        Some((money.saturating_mul(60) / price).saturating_mul(1000))
    }

    fn micros_per_minute(&self, digits: &str) -> Option<u64> {
        let fits = |rate: &&Rate| rate.prefix.strip_prefix('+').is_some_and(|prefix| digits.starts_with(prefix));
        self.rates.iter().filter(fits).max_by_key(|rate| rate.prefix.len()).map(|rate| rate.micros_per_minute)
    }
}

layered!(
    /// The rules that a call is judged by.
    #[derive(Default)]
    Rules, RulesPatch {
        /// Where national numbers belong, and what may be called without being listed. Null: the caller number's country.
        home: Option<Country>,
        /// Which numbers may be called at all.
        destinations: Destinations,
        /// Regions that are never called.
        regions: Regions,
        /// When callees may be called.
        hours: Hours,
        /// How often a callee may be called.
        callee: CalleeLimits,
        /// How often a caller number may call.
        caller: Frequency,
        /// How often the account may call.
        account: Frequency,
        /// Whether a callee must have agreed.
        consent: ConsentRule,
        /// What may be used up.
        quota: Quota,
        /// Most calls at once of an agent; 0: no limit.
        agent_calls: u32,
        /// A telephone rings at least so long before the call is given up, in seconds; a shorter ring limit of an agent or a
        /// request is raised to it. 0: no rule; what is asked for counts, and who asks for nothing has 45 seconds. (Where
        /// 16 CFR 310.4(b)(4)(ii) counts: 15 seconds or four rings.)
        min_ring_s: u64,
        /// What is taken out of the words of a call before they are written. Bound at acceptance.
        redaction: Redaction,
        /// How long what is known of a call is kept. Asked when the sweeper comes by, so a change counts for old calls too.
        retention: Retention,
        /// Said before the greeting of every agent that has no such sentence of its own: that a machine speaks. None: no rule.
        disclosure: Option<String>,
        /// Who sits at which desk: whom callees are handed over to where only the desk is named, such as the skill groups of
        /// one vendor. A desk's own address needs no entry of `destinations`.
        desks: BTreeMap<DeskName, TransferTarget>,
    }
);

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct RuleFlaw {
    /// The member to blame, as a path.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl RulesPatch {
    /// Checks that every rule that is set can be kept.
    ///
    /// # Errors
    /// The first member that cannot, and what it must be.
    pub fn check(&self) -> Result<(), RuleFlaw> {
        self.destinations.as_ref().map_or(Ok(()), check_destinations)?;
        self.regions.as_ref().map_or(Ok(()), check_regions)?;
        self.hours.as_ref().map_or(Ok(()), check_hours)?;
        self.callee.as_ref().map_or(Ok(()), check_callee)?;
        self.caller.as_ref().map_or(Ok(()), |rule| check_frequency(rule, "caller.at_most"))?;
        self.account.as_ref().map_or(Ok(()), |rule| check_frequency(rule, "account.at_most"))?;
        self.quota.as_ref().map_or(Ok(()), check_quota)?;
        if let Some(consent) = &self.consent {
            ensure(
                consent.scope.chars().count() <= 100 && !consent.scope.chars().any(char::is_control),
                "consent.scope",
                "must be at most 100 characters without control characters",
            )?;
        }
        ensure(self.agent_calls.is_none_or(|calls| calls <= MOST_CALLS), "agent_calls", "must be at most 1000000")?;
        ensure(self.min_ring_s.is_none_or(|s| s <= LONGEST_RING_S), "min_ring_s", "must be from 0 to 120 seconds")?;
        let days = self.retention.as_ref().is_none_or(|rule| rule.days().iter().all(|days| *days <= LONGEST_DAYS));
        ensure(days, "retention", "days must be from 0 (kept for ever) to 36500")?;
        let records =
            self.retention.is_none_or(|rule| rule.records_days == 0 || rule.records_days >= FEWEST_RECORD_DAYS);
        let words = "must be 0 (kept for ever) or at least 31: limits count the calls of 31 days";
        ensure(records, "retention.records_days", words)?;
        let somebody = |target: &TransferTarget| !matches!(target, TransferTarget::Desk(_));
        let desks = self.desks.as_ref().is_none_or(|desks| desks.len() <= MOST_ENTRIES && desks.values().all(somebody));
        ensure(desks, "desks", "must be at most 1000 desks, each with a telephone number or a sip: address")?;
        let said = |text: &String| !text.trim().is_empty() && text.chars().count() <= LONGEST_DISCLOSURE;
        let disclosure = self.disclosure.iter().flatten();
        ensure(disclosure.into_iter().all(said), "disclosure", "must be a sentence of 1 to 1000 characters")
    }
}

/// The rules of an account with an agent's laid over them; both may be absent.
pub fn effective(account: Option<RulesPatch>, agent: Option<RulesPatch>) -> Rules {
    let mut rules = Rules::default();
    agent.unwrap_or_default().over(account.unwrap_or_default()).apply(&mut rules);
    rules
}

fn ensure(holds: bool, field: &'static str, rule: &'static str) -> Result<(), RuleFlaw> {
    if holds { Ok(()) } else { Err(RuleFlaw { field, rule }) }
}

fn is_prefix(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
}

fn check_destinations(rule: &Destinations) -> Result<(), RuleFlaw> {
    let prefixes = "must be a list of at most 1000 beginnings of numbers, such as +4420";
    let fits = rule.prefixes.len() <= MOST_ENTRIES && rule.prefixes.iter().all(|prefix| is_prefix(prefix));
    ensure(fits, "destinations.prefixes", prefixes)?;
    let addresses = "must be a list of at most 1000 hosts, or names at hosts, such as desk@pbx.example";
    let known = rule.addresses.len() <= MOST_ENTRIES && rule.addresses.iter().all(|entry| is_address_entry(entry));
    ensure(known, "destinations.addresses", addresses)?;
    ensure(rule.countries.len() <= MOST_ENTRIES, "destinations.countries", "must be a list of at most 1000 countries")
}

fn check_regions(rule: &Regions) -> Result<(), RuleFlaw> {
    let known = |entry: &String| {
        is_prefix(entry) || NAMED_REGIONS.iter().any(|(name, _)| name == entry) || Country::new(entry).is_ok()
    };
    let words = "must be a list of at most 1000 of: a beginning of numbers (+86991), a country (CU), CN-XJ, CN-XZ";
    ensure(rule.blocked.len() <= MOST_ENTRIES && rule.blocked.iter().all(known), "regions.blocked", words)
}

fn check_hours(rule: &Hours) -> Result<(), RuleFlaw> {
    let some = !rule.status.is_on() || !rule.windows.is_empty();
    ensure(some, "hours.windows", "must hold at least one window when the rule is on")?;
    ensure(rule.windows.len() <= MOST_ENTRIES, "hours.windows", "must be a list of at most 1000 windows")?;
    let possible = rule.windows.iter().all(|window| window.from < window.to);
    ensure(possible, "hours.windows", "each window must begin before it ends; one over midnight is two windows")?;
    ensure(rule.holidays.len() <= MOST_ENTRIES, "hours.holidays", "must be a list of at most 1000 days")?;
    let zone = rule.zone.as_deref().is_none_or(|zone| zones::named(zone).is_some());
    ensure(zone, "hours.zone", "must be the IANA name of a time zone, such as Asia/Shanghai")
}

fn check_spells(spells: &[Spell], field: &'static str) -> Result<(), RuleFlaw> {
    let good =
        |spell: &Spell| (1..=MOST_CALLS).contains(&spell.calls) && (1..=LONGEST_SPELL_S).contains(&spell.seconds);
    let words = "must be a list of at most 16 of: calls (1 to 1000000) in seconds (1 to 2678400)";
    ensure(spells.len() <= 16 && spells.iter().all(good), field, words)
}

fn check_frequency(rule: &Frequency, field: &'static str) -> Result<(), RuleFlaw> {
    ensure(!rule.status.is_on() || !rule.at_most.is_empty(), field, "must hold a limit when the rule is on")?;
    check_spells(&rule.at_most, field)
}

fn check_callee(rule: &CalleeLimits) -> Result<(), RuleFlaw> {
    let some = !rule.status.is_on() || !rule.at_most.is_empty() || rule.per_day > 0;
    ensure(some, "callee.at_most", "must hold a limit, or per_day must be set, when the rule is on")?;
    ensure(rule.per_day <= MOST_CALLS, "callee.per_day", "must be at most 1000000")?;
    check_spells(&rule.at_most, "callee.at_most")
}

fn check_quota(rule: &Quota) -> Result<(), RuleFlaw> {
    let some = rule.minutes_per_day > 0 || rule.minutes > 0 || rule.cost_per_day > 0 || rule.ends.is_some();
    let words = "must set minutes_per_day, minutes, cost_per_day or ends when the rule is on";
    ensure(!rule.status.is_on() || some, "quota.status", words)?;
    let good = |rate: &Rate| is_prefix(&rate.prefix) && rate.micros_per_minute <= 1_000_000_000_000;
    let words = "must be a list of at most 1000 of: prefix (+86), micros_per_minute (to 1000000000000)";
    ensure(rule.rates.len() <= MOST_ENTRIES && rule.rates.iter().all(good), "quota.rates", words)?;
    let priced = rule.cost_per_day == 0 || !rule.rates.is_empty();
    ensure(priced, "quota.rates", "must hold the prices that cost_per_day is reckoned with")
}

/// The first millisecond of the day (UTC) on which `now` falls.
pub fn start_of_day(now: Moment) -> Moment {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    Moment(now.millis().saturating_sub(now.millis().rem_euclid(DAY_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(json: &str) -> Result<RulesPatch, String> {
        let patch: RulesPatch = serde_json::from_str(json).map_err(|error| error.to_string())?;
        patch.check().map_err(|flaw| flaw.to_string()).map(|()| patch)
    }

    #[test]
    fn rules_that_cannot_be_kept_are_named() {
        for (json, blamed) in [
            (r#"{"hours":{"status":"on"}}"#, "hours.windows"),
            (r#"{"hours":{"windows":[{"from":"21:00","to":"08:00"}]}}"#, "hours.windows"),
            (r#"{"hours":{"windows":[{"from":"08:00","to":"08:00"}]}}"#, "hours.windows"),
            (r#"{"hours":{"windows":[{"from":"8","to":"21:00"}]}}"#, "time of day"),
            (r#"{"hours":{"zone":"Mars/Olympus"}}"#, "hours.zone"),
            (r#"{"hours":{"holidays":["2026-02-30"]}}"#, "day"),
            (r#"{"callee":{"status":"on"}}"#, "callee.at_most"),
            (r#"{"callee":{"at_most":[{"calls":0,"seconds":60}]}}"#, "callee.at_most"),
            (r#"{"caller":{"status":"on"}}"#, "caller.at_most"),
            (r#"{"caller":{"at_most":[{"calls":5,"seconds":0}]}}"#, "caller.at_most"),
            (r#"{"destinations":{"prefixes":["0044"]}}"#, "destinations.prefixes"),
            (r#"{"destinations":{"countries":["XX"]}}"#, "ISO 3166"),
            (r#"{"regions":{"blocked":["Atlantis"]}}"#, "regions.blocked"),
            (r#"{"quota":{"status":"on"}}"#, "quota.status"),
            (r#"{"quota":{"cost_per_day":5}}"#, "quota.rates"),
            (r#"{"min_ring_s":1000}"#, "min_ring_s"),
            (r#"{"retention":{"recordings_days":36501}}"#, "retention"),
            (r#"{"retention":{"records_days":30}}"#, "retention.records_days"),
            (r#"{"redaction":{"status":"on","except":["names"]}}"#, "names"),
            (r#"{"disclosure":""}"#, "disclosure"),
            (r#"{"disclosure":"  "}"#, "disclosure"),
            (r#"{"surprise":1}"#, "surprise"),
        ] {
            let said = patch(json).expect_err(json);
            assert!(said.contains(blamed), "{json}: {said}");
        }
    }

    #[test]
    fn an_agents_rules_lie_over_the_accounts() {
        let account = patch(r#"{"home":"CN","agent_calls":3,"min_ring_s":20}"#).expect("good rules");
        let agent = patch(r#"{"agent_calls":1}"#).expect("good rules");
        let rules = effective(Some(account), Some(agent));
        assert_eq!((rules.home.map(Country::code), rules.agent_calls, rules.min_ring_s), (Some("CN"), 1, 20));
        assert_eq!(effective(None, None), Rules::default());
    }

    #[test]
    fn the_longest_prefix_sets_the_price() {
        let rate = |prefix: &str, micros_per_minute| Rate { prefix: prefix.into(), micros_per_minute };
        let quota = Quota { rates: vec![rate("+86", 60_000), rate("+86400", 600_000)], ..Quota::default() };
        assert_eq!(quota.cost("8613800138000", 60_000), 60_000);
        assert_eq!(quota.cost("8613800138000", 60_001), 61_000);
        assert_eq!(quota.cost("864008123456", 1), 10_000);
        assert_eq!(quota.cost("4420", 60_000), 0);
    }
}
