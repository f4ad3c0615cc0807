//! `retry_logic` and `max_retries` of POST /dial/scheduled, as a plan for trying again. What the plan cannot keep is refused
//! by name. Never makes a call.

use super::dial::Fields;
use crate::dialects::native::invalid;
use crate::fault::Fault;
use callwright_domain::HangupCause;
use callwright_domain::campaign::{MAX_ATTEMPTS, RetryPlan};
use callwright_domain::retry::Retries;
use serde_json::Value;

/// Retries when rules are given and their number is not; the vendor names none.
const USUAL: u64 = 3;
/// Minutes between two tries unless a rule says otherwise; the vendor names none.
const USUAL_PERIOD: u64 = 60;
/// Longest period, in minutes: thirty days.
const MAX_PERIOD: u64 = 30 * 24 * 60;
/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;

/// Ends without a conversation, as a status of the vendor's names them.
const QUERIES: [(&str, &[HangupCause]); 3] = [
    ("Busy", &[HangupCause::Busy, HangupCause::Rejected]),
    ("No answer", &[HangupCause::NoAnswer]),
    ("Failed", &[HangupCause::Unreachable, HangupCause::NoResponse, HangupCause::TrunkFailed]),
];

/// What the rules of a request have in common: one plan has one period and one number a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    period_s: u64,
    per_day: Option<u64>,
}

/// The plan that a request asks for; none: it asks for none.
pub(super) fn of(fields: &Fields<'_>) -> Result<Option<Retries>, Fault> {
    let most = u64::from(MAX_ATTEMPTS) - 1;
    let retries = whole(fields.raw("max_retries"), "max_retries", (0, most))?;
    let rules = match fields.raw("retry_logic") {
        None => &[],
        Some(Value::Array(rules)) => rules.as_slice(),
        // The vendor's older clients send nothing as an empty text.
        Some(Value::String(text)) if text.is_empty() => &[],
        Some(_) => return Err(invalid("retry_logic", "must be a list of objects")),
    };
    let retries = match (retries, rules) {
        (Some(0), _) | (None, []) => return Ok(None),
        (Some(retries), _) => retries,
        (None, _) => USUAL,
    };
    let (mut on, mut pace) = (Vec::new(), None);
    for rule in rules {
        let (causes, own) = read(rule)?;
        on.extend(causes.iter().copied().filter(|cause| !on.contains(cause)).collect::<Vec<_>>());
        if pace.replace(own).is_some_and(|earlier| earlier != own) {
            let rule = "must have the same retry_period and max_retry_per_day in all its rules";
            return Err(invalid("retry_logic", rule));
        }
    }
    if rules.is_empty() {
        on = every();
    }
    let pace = pace.unwrap_or(Pace { period_s: USUAL_PERIOD * 60, per_day: None });
    let waits_s = (0..retries).map(|before| wait(pace, before)).collect();
    let max_attempts = u32::try_from(retries + 1).unwrap_or(MAX_ATTEMPTS);
    let plan = Retries::new(RetryPlan { on, max_attempts, waits_s }, None);
    plan.check().map_err(|flaw| invalid("retry_logic", &flaw.rule))?;
    Ok(Some(plan))
}

/// The wait before a retry that `before` others came before: a day when the day's are used up.
fn wait(pace: Pace, before: u64) -> u64 {
    let used_up = pace.per_day.is_some_and(|per_day| before > 0 && before.is_multiple_of(per_day));
    if used_up { pace.period_s.max(DAY_S) } else { pace.period_s }
}

fn read(rule: &Value) -> Result<(Vec<HangupCause>, Pace), Fault> {
    let known = ["query", "retry_period", "max_retry_per_day"];
    let members = rule.as_object().ok_or_else(|| invalid("retry_logic", "must be a list of objects"))?;
    if members.keys().any(|name| !known.contains(&name.as_str())) {
        return Err(invalid("retry_logic", &format!("each of its objects may hold {}", known.join(", "))));
    }
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    let on = match given("query") {
        None => every(),
        Some(Value::String(text)) if text.is_empty() => every(),
        Some(value) => query(value)?,
    };
    let period = whole(given("retry_period"), "retry_logic.retry_period", (1, MAX_PERIOD))?;
    let per_day = whole(given("max_retry_per_day"), "retry_logic.max_retry_per_day", (1, u64::from(MAX_ATTEMPTS)))?;
    Ok((on, Pace { period_s: period.unwrap_or(USUAL_PERIOD) * 60, per_day }))
}

/// Statuses, comma separated.
fn query(value: &Value) -> Result<Vec<HangupCause>, Fault> {
    let names = QUERIES.map(|(name, _)| name).join(", ");
    let rule = format!("must be one or more of {names}, comma separated");
    let bad = || invalid("retry_logic.query", &rule);
    let mut on = Vec::new();
    for word in value.as_str().ok_or_else(bad)?.split(',') {
        let found = QUERIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.trim()));
        on.extend(found.ok_or_else(bad)?.1);
    }
    Ok(on)
}

fn every() -> Vec<HangupCause> {
    QUERIES.iter().flat_map(|(_, causes)| causes.iter().copied()).collect()
}

/// A whole number, or a text of one.
fn whole(value: Option<&Value>, name: &str, (least, most): (u64, u64)) -> Result<Option<u64>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let number = number.filter(|number| (least..=most).contains(number));
    let rule = format!("must be a whole number from {least} to {most}");
    number.map(Some).ok_or_else(|| invalid(name, &rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(body: &Value) -> Result<Option<RetryPlan>, String> {
        let fields = Fields::of(body, "the body").expect("an object");
        of(&fields).map(|plan| plan.map(|plan| plan.plan)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn rules_come_to_a_plan() {
        let rule = json!({"query": "Busy, no answer", "retry_period": 30, "max_retry_per_day": 2});
        let found = plan(&json!({"retry_logic": [rule], "max_retries": 5})).expect("good").expect("a plan");
        assert_eq!(found.on, [HangupCause::Busy, HangupCause::Rejected, HangupCause::NoAnswer]);
        assert_eq!((found.max_attempts, found.waits_s.as_slice()), (6, &[1800, 1800, DAY_S, 1800, DAY_S][..]));
        let usual = plan(&json!({"max_retries": 1})).expect("good").expect("a plan");
        assert_eq!((usual.max_attempts, usual.waits_s.as_slice(), usual.on.len()), (2, &[3600][..], 6));
        for nothing in [json!({}), json!({"retry_logic": []}), json!({"max_retries": 0}), json!({"retry_logic": ""})] {
            assert_eq!(plan(&nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn what_the_plan_cannot_keep_is_named() {
        for (body, named) in [
            (json!({"max_retries": 20}), "max_retries"),
            (json!({"max_retries": -1}), "max_retries"),
            (json!({"retry_logic": "x"}), "retry_logic"),
            (json!({"retry_logic": [1]}), "retry_logic"),
            (json!({"retry_logic": [{"when": 1}]}), "may hold query"),
            (json!({"retry_logic": [{"query": "voicemail"}]}), "retry_logic.query"),
            (json!({"retry_logic": [{"retry_period": 0}]}), "retry_period"),
            (json!({"retry_logic": [{"max_retry_per_day": 0}]}), "max_retry_per_day"),
            (json!({"retry_logic": [{"retry_period": 5}, {"retry_period": 6}]}), "the same retry_period"),
        ] {
            let said = plan(&body).expect_err("it cannot be kept");
            assert!(said.contains(named), "{body}: {said}");
        }
    }
}
