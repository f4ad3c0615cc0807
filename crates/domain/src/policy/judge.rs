//! The verdict: rules and facts in, [`Placement`] or [`Refusal`] out. The order of the questions is the order in which a
//! requester can do something about the answer. Never fetches and never reads a clock.

use super::counts::{Count, Whom};
use super::hours::{local_time, midnight};
use super::rules::{Otherwise, Rules, start_of_day};
use super::{CalleeStanding, Consent, Facts, Refusal, admit};
use crate::Moment;
use crate::agent::Switch;
use crate::number::{Country, PhoneNumber, class, zones};
use serde::Serialize;

pub use crate::number::class::Class;

/// When a verdict is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// When a call is accepted: it is judged for the moment at which it is due.
    Accept,
    /// When it is about to be dialled.
    Dial,
}

/// What a verdict is about.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The rules that count for the call.
    pub rules: &'a Rules,
    /// The numbers of a call that is dialled; none: it is met in a browser, and no rule about numbers is asked.
    pub numbers: Option<Numbers<'a>>,
    /// The zone (IANA) that the account knows the callee to be in, when it knows better than the number and the rules.
    pub zone: Option<&'a str>,
    /// When the call is to be dialled: now, or when it is due.
    pub at: Moment,
}

/// The two ends of a call that is dialled.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    /// Who is to be rung.
    pub callee: &'a PhoneNumber,
    /// Who shows on the display.
    pub caller: &'a PhoneNumber,
}

/// A call may be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// When it may be dialled: later than asked when it was put off to the next opening.
    pub at: Moment,
    /// How long it may talk so that the quota holds, in milliseconds; none: the quota sets no limit.
    pub talks_ms: Option<u64>,
}

/// What a verdict was and what it was made of, to be kept with the call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// When the question was asked.
    pub asked: Moment,
    /// At which point of the call's life.
    pub stage: Stage,
    /// For which moment.
    pub at: Moment,
    /// The answer.
    pub verdict: Verdict,
    /// The rule that refused.
    pub refusal: Option<Refusal>,
    /// The callee's wall clocks at that moment: zone and local time.
    pub clocks: Vec<(String, String)>,
    /// What was counted, beside `facts.counts`.
    pub counted: Vec<Count>,
    /// What was known.
    pub facts: Facts,
    /// The rules that counted.
    pub rules: Rules,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be placed.
    Placed,
    /// It may not.
    Refused,
    /// It may as soon as a place is free; the refusal says among which calls.
    Waits,
}

impl Case<'_> {
    /// Where national numbers belong: the rules' home, or the caller number's country.
    pub fn home(&self) -> Option<Country> {
        self.rules.home.or_else(|| self.numbers.and_then(|numbers| numbers.caller.country()))
    }

    /// The IANA names of the zones that the callee's telephone may be in.
    pub fn zones(&self) -> Vec<String> {
        match (self.zone, self.numbers) {
            (Some(zone), _) => vec![zone.to_owned()],
            (None, Some(numbers)) => zones::of_number(numbers.callee).into_iter().map(str::to_owned).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// When the calling hours let the call be dialled: at the moment that is asked for, or at the next opening.
    ///
    /// # Errors
    /// [`Refusal::OutsideCallingHours`].
    pub fn opening(&self) -> Result<Moment, Refusal> {
        self.numbers.map_or(Ok(self.at), |numbers| hours(self, numbers))
    }

    /// The evidence of a verdict on this case.
    pub fn evidence(
        &self,
        stage: Stage,
        asked: Moment,
        facts: &Facts,
        outcome: &Result<Placement, Refusal>,
    ) -> Evidence {
        let clocks = self.zones().into_iter().filter_map(|zone| Some((local_time(self.at, &zone)?, zone)));
        Evidence {
            asked,
            stage,
            at: outcome.as_ref().map_or(self.at, |placement| placement.at),
            verdict: if outcome.is_ok() { Verdict::Placed } else { Verdict::Refused },
            refusal: outcome.as_ref().err().copied(),
            clocks: clocks.map(|(time, zone)| (zone, time)).collect(),
            counted: counts_needed(self),
            facts: facts.clone(),
            rules: self.rules.clone(),
        }
    }
}

/// The counts that [`judge`] wants answered in [`Facts::counts`], in this order.
pub fn counts_needed(case: &Case<'_>) -> Vec<Count> {
    let rules = case.rules;
    let mut counts = Vec::new();
    let callee = if rules.callee.by_agent.is_on() { Whom::CalleeOfAgent } else { Whom::Callee };
    if rules.callee.status.is_on() && case.numbers.is_some() {
        let spells = rules.callee.at_most.iter();
        counts.extend(spells.map(|spell| spell.count(callee, case.at, Refusal::CalleeTooOften)));
        if rules.callee.per_day > 0 {
            let below = rules.callee.per_day;
            counts.push(Count { whom: callee, after: day_of(case), below, refusal: Refusal::CalleeDailyLimit });
        }
    }
    if rules.caller.status.is_on() && case.numbers.is_some() {
        let spells = rules.caller.at_most.iter();
        counts.extend(spells.map(|spell| spell.count(Whom::Caller, case.at, Refusal::CallerTooOften)));
    }
    if rules.account.status.is_on() {
        let spells = rules.account.at_most.iter();
        counts.extend(spells.map(|spell| spell.count(Whom::Account, case.at, Refusal::AccountTooOften)));
    }
    counts
}

/// Just before the earliest beginning of the callee's day, over its zones: a call at midnight belongs to the day.
fn day_of(case: &Case<'_>) -> Moment {
    let begin = case.zones().iter().filter_map(|zone| midnight(case.at, zone)).min();
    let begin = begin.unwrap_or_else(|| start_of_day(case.at));
    Moment(begin.millis().saturating_sub(1))
}

/// Whether the call may be placed. Questions that the facts do not answer (too few counts) count as no.
///
/// # Errors
/// The first rule that says no: caller number, destination, deny list, region, consent, quota, counts, places, hours.
pub fn judge(case: &Case<'_>, facts: &Facts) -> Result<Placement, Refusal> {
    admit(&Facts { caller_active: 0, account_active: 0, caller_limit: 1, account_limit: 1, ..facts.clone() })?;
    if let Some(numbers) = case.numbers {
        callable(case, numbers, facts)?;
        consent(case, facts)?;
    }
    let talks_ms = quota(case, facts)?;
    let at = case.opening()?;
    for (place, count) in counts_needed(case).iter().enumerate() {
        if !facts.counts.get(place).is_some_and(|found| count.allows(*found)) {
            return Err(count.refusal);
        }
    }
    if case.rules.agent_calls > 0 && facts.agent_active >= case.rules.agent_calls {
        return Err(Refusal::AgentBusy);
    }
    admit(facts)?;
    Ok(Placement { at, talks_ms })
}

/// Whether the number may be rung at all.
pub(super) fn callable(case: &Case<'_>, numbers: Numbers<'_>, facts: &Facts) -> Result<(), Refusal> {
    let Numbers { callee, caller } = numbers;
    destination(case, callee)?;
    match facts.callee {
        CalleeStanding::Free => {}
        CalleeStanding::Denied | CalleeStanding::DeniedEverywhere => return Err(Refusal::CalleeBlocked),
        CalleeStanding::Ours => return Err(Refusal::OwnNumber),
    }
    if callee == caller {
        return Err(Refusal::OwnNumber);
    }
    if callee.international().is_some_and(|digits| case.rules.regions.blocks(digits)) {
        return Err(Refusal::RegionBlocked);
    }
    Ok(())
}

fn destination(case: &Case<'_>, callee: &PhoneNumber) -> Result<(), Refusal> {
    let rule = &case.rules.destinations;
    let listed = |digits: &str| {
        rule.prefixes.iter().any(|prefix| prefix.strip_prefix('+').is_some_and(|begin| digits.starts_with(begin)))
    };
    match class::of(callee, case.home()) {
        Class::Emergency => Err(Refusal::EmergencyNumber),
        Class::Premium => Err(Refusal::PremiumNumber),
        Class::Satellite => Err(Refusal::SatelliteNumber),
        // Behind a caller number that is an extension itself lies a private exchange, which knows its own numbers.
        Class::Short | Class::Local if rule.extensions.is_on() || case.home().is_none() => Ok(()),
        Class::Short | Class::Local => Err(Refusal::ShortNumber),
        Class::Unassigned | Class::Subscriber(_) if rule.status == Switch::Off => Ok(()),
        Class::Unassigned => match callee.international().is_some_and(listed) {
            true => Ok(()),
            false => Err(Refusal::DestinationNotAllowed),
        },
        Class::Subscriber(country) => {
            let home = case.home() == Some(country) || rule.countries.contains(&country);
            match home || callee.international().is_some_and(listed) {
                true => Ok(()),
                false => Err(Refusal::DestinationNotAllowed),
            }
        }
    }
}

fn consent(case: &Case<'_>, facts: &Facts) -> Result<(), Refusal> {
    match facts.consent {
        // What was taken back stays taken back, whether or not the rule asks for consent.
        Consent::Revoked => Err(Refusal::NoConsent),
        Consent::Unknown if case.rules.consent.status.is_on() => Err(Refusal::NoConsent),
        Consent::Unknown | Consent::Given => Ok(()),
    }
}

/// How long the call may talk, in milliseconds: what neither calls that are over nor those that are up have for themselves.
fn quota(case: &Case<'_>, facts: &Facts) -> Result<Option<u64>, Refusal> {
    let rule = &case.rules.quota;
    if !rule.status.is_on() {
        return Ok(None);
    }
    if let Some(last) = rule.ends
        && local_date(case.at).is_none_or(|today| today > last)
    {
        return Err(Refusal::PlanExpired);
    }
    let left = |limit: u32, unit: u64, used: u64, held: u64| {
        (limit > 0).then(|| (u64::from(limit) * unit).saturating_sub(used.saturating_add(held)))
    };
    let usage = facts.usage;
    let money = left(rule.cost_per_day, 1_000_000, usage.today_cost, usage.held_cost);
    let digits = case.numbers.and_then(|numbers| numbers.callee.international()).unwrap_or_default();
    let times = [
        left(rule.minutes_per_day, 60_000, usage.today_ms, usage.held_ms),
        left(rule.minutes, 60_000, usage.ever_ms, usage.held_ms),
        money.and_then(|money| rule.affords(digits, money)),
    ];
    let seconds = times.into_iter().flatten().min().map(|time| time / 1000);
    if money == Some(0) || seconds == Some(0) {
        return Err(Refusal::QuotaUsedUp);
    }
    Ok(seconds.map(|seconds| seconds * 1000))
}

fn local_date(at: Moment) -> Option<jiff::civil::Date> {
    let at = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(at).date())
}

fn hours(case: &Case<'_>, numbers: Numbers<'_>) -> Result<Moment, Refusal> {
    let country = numbers.callee.country().or(case.home());
    let Some(table) = case.rules.hours.timetable(country, case.zone, &case.zones()) else {
        return Ok(case.at);
    };
    match case.rules.hours.otherwise {
        _ if table.is_open(case.at) => Ok(case.at),
        Otherwise::Refuse => Err(Refusal::OutsideCallingHours),
        Otherwise::Reschedule => table.next_opening(case.at).ok_or(Refusal::OutsideCallingHours),
    }
}
