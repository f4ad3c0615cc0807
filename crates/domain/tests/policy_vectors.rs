//! The vectors of numbers, calling windows and limits, against the pure verdict. The doors have the same numbers as a
//! table of their own.

use callwright_domain::agent::Switch;
use callwright_domain::campaign::Pace;
use callwright_domain::campaign::pacing::{Guard, Supply, how_many};
use callwright_domain::number::{Country, zones};
use callwright_domain::policy::hours::{DayTime, Window};
use callwright_domain::policy::{
    CALLS_PER_CALLER_NUMBER, CalleeStanding, CallerStanding, Case, Facts, Numbers, Refusal, Rules, Spell, admit,
    counts_needed, judge, judge_transfer,
};

use callwright_domain::{Moment, PhoneNumber, TransferTarget};
use serde_json::Value;
use std::collections::BTreeSet;

fn lines(text: &'static str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"))
}

fn moment(text: &str) -> Moment {
    Moment(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond())
}

fn caller_of(home: &str) -> PhoneNumber {
    let home = Country::new(home).expect("a country");
    PhoneNumber::parse(&format!("+{}5550100", home.calling_code())).expect("a number")
}

/// The whole way of a number: text in, refusal or the number that is dialled out.
fn verdict(text: &str, home: &str, own: &[String]) -> Result<String, String> {
    let rules = Rules { home: Country::new(home).ok(), ..Rules::default() };
    let callee = PhoneNumber::parse(text).map_err(|why| why.to_string())?.at_home(rules.home);
    let ours = own.iter().any(|number| number == callee.dial());
    let facts = Facts { callee: if ours { CalleeStanding::Ours } else { CalleeStanding::Free }, ..Facts::default() };
    let case = Case {
        rules: &rules,
        numbers: Some(Numbers { callee: &callee, caller: &caller_of(home) }),
        zone: None,
        at: Moment(0),
    };
    judge(&case, &facts).map(|_| callee.dial().to_owned()).map_err(|why| why.id().to_owned())
}

/// The same for somebody whom a callee is to be handed over to.
fn onward(text: &str, home: &str, own: &[String]) -> Result<String, String> {
    let rules = Rules { home: Country::new(home).ok(), ..Rules::default() };
    let target = TransferTarget::parse(text).map_err(|why| why.to_string())?.at_home(rules.home);
    let ours = own.contains(&target.dial());
    let standing = if ours { CalleeStanding::Ours } else { CalleeStanding::Free };
    let verdict = judge_transfer(&rules, &caller_of(home), &target, standing);
    verdict.map(|()| target.dial()).map_err(|why| why.id().to_owned())
}

#[test]
fn numbers() {
    let mut seen = 0;
    for case in lines(include_str!("fixtures/dial_policy.jsonl")) {
        seen += 1;
        let (name, number) = (case["name"].as_str().expect("a name"), case["number"].as_str().expect("a number"));
        let expect = case["expect"].as_str().expect("what is expected");
        let own: Vec<String> = serde_json::from_value(case["own_numbers"].clone()).unwrap_or_default();
        let homes: Vec<&str> = match case["home"].as_str() {
            Some(home) => vec![home],
            // The numbers that no default policy allows, from homes that they are foreign to.
            None => vec!["CN", "DE", "IN"],
        };
        for home in homes {
            let outcome = verdict(number, home, &own);
            assert_eq!(onward(number, home, &own).ok(), outcome.clone().ok(), "{name} from {home}, on a transfer");
            match expect.split(' ').next() {
                Some("allow") => assert_eq!(outcome.as_deref(), Ok(case["e164"].as_str().expect("a number")), "{name}"),
                Some("reject" | "deny") => assert!(outcome.is_err(), "{name} from {home}: {outcome:?}"),
                Some("normalise") => {
                    assert!(outcome.as_deref().unwrap_or("+14155550123") == "+14155550123", "{name}: {outcome:?}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    assert_eq!(seen, 32);
}

/// What is never called is not called from its own country either, nor when its prefix is allowed.
#[test]
fn never_is_never() {
    for (number, home, refusal) in [
        ("+19005551234", "US", Refusal::PremiumNumber),
        ("+449012345678", "GB", Refusal::PremiumNumber),
        ("+33899123456", "FR", Refusal::PremiumNumber),
        ("+881612345678", "US", Refusal::SatelliteNumber),
        ("+883510001234", "US", Refusal::SatelliteNumber),
        ("911", "US", Refusal::EmergencyNumber),
        ("110", "CN", Refusal::EmergencyNumber),
        ("95588", "CN", Refusal::ShortNumber),
    ] {
        let mut rules = Rules { home: Country::new(home).ok(), ..Rules::default() };
        rules.destinations.status = Switch::Off;
        rules.destinations.prefixes = vec![String::from("+1"), String::from("+8")];
        let callee = PhoneNumber::parse(number).expect("a number").at_home(rules.home);
        let case = Case {
            rules: &rules,
            numbers: Some(Numbers { callee: &callee, caller: &caller_of(home) }),
            zone: None,
            at: Moment(0),
        };
        assert_eq!(judge(&case, &Facts::default()), Err(refusal), "{number} from {home}");
    }
}

#[test]
fn windows() {
    let window = |from: &str, to: &str, country: &str| Window {
        days: vec![],
        from: DayTime::parse(from).expect("a time of day"),
        to: DayTime::parse(to).expect("a time of day"),
        countries: vec![Country::new(country).expect("a country")],
    };
    let mut rules = Rules::default();
    rules.destinations.status = Switch::Off;
    rules.hours.status = Switch::On;
    rules.hours.windows =
        vec![window("08:00", "21:00", "US"), window("09:00", "12:00", "CN"), window("14:00", "21:00", "CN")];
    let mut seen = 0;
    for line in lines(include_str!("fixtures/windows.jsonl")) {
        seen += 1;
        let name = line["name"].as_str().expect("a name");
        let callee = PhoneNumber::parse(line["number"].as_str().expect("a number")).expect("a number");
        let wanted: BTreeSet<&str> =
            line["zones"].as_array().expect("zones").iter().map(|zone| zone.as_str().expect("a zone")).collect();
        assert_eq!(zones::of_number(&callee).into_iter().collect::<BTreeSet<_>>(), wanted, "{name}");
        let at = moment(line["utc"].as_str().expect("a time"));
        let case = Case {
            rules: &rules,
            numbers: Some(Numbers { callee: &callee, caller: &caller_of("US") }),
            zone: None,
            at,
        };
        let expected = if line["allow"] == true { Ok(at) } else { Err(Refusal::OutsideCallingHours) };
        assert_eq!(judge(&case, &Facts::default()).map(|placement| placement.at), expected, "{name}");
    }
    assert_eq!(seen, 15);
}

/// What a sequence of the vectors allows, attempt by attempt.
fn wanted(sequence: &Value) -> Vec<bool> {
    let attempts = sequence["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["allow"].as_bool().expect("a verdict")).collect()
}

/// A callee who gets onto the list while the call waits: the same case with the facts of each moment.
fn while_it_waits(sequence: &Value) -> Vec<bool> {
    let (rules, callee) = (Rules::default(), PhoneNumber::parse("+13105550123").expect("a number"));
    let mut standing = CalleeStanding::Free;
    let mut verdicts = Vec::new();
    for attempt in sequence["attempts"].as_array().expect("attempts") {
        match attempt["t"].as_str().expect("a moment") {
            // Adding to a list is always allowed, and is no attempt.
            "dnc added" => {
                standing = CalleeStanding::Denied;
                verdicts.push(true);
            }
            _ => {
                let numbers = Some(Numbers { callee: &callee, caller: &caller_of("US") });
                let case = Case { rules: &rules, numbers, zone: None, at: Moment(0) };
                let outcome = judge(&case, &Facts { callee: standing, ..Facts::default() });
                assert!(matches!(outcome, Ok(_) | Err(Refusal::CalleeBlocked)), "{outcome:?}");
                verdicts.push(outcome.is_ok());
            }
        }
    }
    verdicts
}

/// Calls of one number that all go on, under the number's usual limit.
fn at_the_same_time(sequence: &Value) -> Vec<bool> {
    let limit = CALLS_PER_CALLER_NUMBER;
    let mut active = 0;
    let attempts = sequence["attempts"].as_array().expect("attempts").iter().map(|_| {
        let facts = Facts { caller: CallerStanding::Ready, caller_active: active, caller_limit: limit, ..free() };
        let outcome = admit(&facts);
        assert!(matches!(outcome, Ok(()) | Err(Refusal::CallerBusy)), "{outcome:?}");
        active += u32::from(outcome.is_ok());
        outcome.is_ok()
    });
    attempts.collect()
}

/// Facts with room for everybody.
fn free() -> Facts {
    Facts { account_limit: 1000, ..Facts::default() }
}

/// A campaign with 97 calls that were connected, and calls that are abandoned one after the other: three may be, and before
/// a fourth could be it has stopped.
fn abandoned() -> Vec<bool> {
    let pace = Pace { concurrency: 100, cps: 100, gap_ms: 0 };
    let supply = Supply { active: 0, callers: 100, account: 100, node: 100, paced: 100 };
    let dials = |answered, abandoned| how_many(&pace, Guard::of(answered, abandoned), &supply) > 0;
    assert_eq!((Guard::of(97, 0), Guard::of(99, 2)), (Guard::Clear, Guard::Slow), "it slows before the limit");
    vec![dials(97, 0), (0..3).all(|before| dials(97 + before, before)), dials(100, 3)]
}

/// The vectors' sequences of attempts, counted as the store counts them.
#[test]
fn limits() {
    let sequences: Vec<Value> = lines(include_str!("fixtures/limits.jsonl")).collect();
    assert_eq!(sequences.len(), 6);
    let callee = PhoneNumber::parse("+8613800138000").expect("a number");
    let spell = |calls, seconds| Spell { calls, seconds };
    let mut frequent = Rules::default();
    frequent.callee.status = Switch::On;
    frequent.callee.at_most = vec![spell(1, 60), spell(5, 3600), spell(20, 86_400)];
    let mut daily = Rules::default();
    daily.callee.status = Switch::On;
    daily.callee.per_day = 2;
    for sequence in &sequences {
        let name = sequence["name"].as_str().expect("a name");
        let rules = match name {
            "vendor-example" | "one-per-minute" => &frequent,
            "per-callee-per-day-2" => &daily,
            "dnc-during-queue" => {
                assert_eq!(while_it_waits(sequence), wanted(sequence), "{name}");
                continue;
            }
            "caller-15-concurrent" => {
                assert_eq!(at_the_same_time(sequence), wanted(sequence), "{name}");
                continue;
            }
            "abandon-rate-3pct" => {
                assert_eq!(abandoned(), wanted(sequence), "{name}");
                continue;
            }
            other => panic!("{other} is not told"),
        };
        let mut placed: Vec<Moment> = Vec::new();
        for attempt in sequence["attempts"].as_array().expect("attempts") {
            let told = attempt["t"].as_str().expect("a time");
            let (day, clock) = told.strip_prefix('D').and_then(|rest| rest.split_once(' ')).unwrap_or(("1", told));
            let seconds = if clock.len() == 5 { ":00" } else { "" };
            let at = moment(&format!("2026-05-0{day}T{clock}{seconds}+08:00"));
            let case =
                Case { rules, numbers: Some(Numbers { callee: &callee, caller: &caller_of("CN") }), zone: None, at };
            let found = |after: Moment| placed.iter().filter(|then| **then > after && **then <= at).count();
            let needed = counts_needed(&case);
            let counts = needed.iter().map(|count| u32::try_from(found(count.after)).expect("few")).collect();
            let outcome = judge(&case, &Facts { counts, ..Facts::default() });
            assert_eq!(outcome.is_ok(), attempt["allow"] == true, "{name} at {told}: {outcome:?}");
            if outcome.is_ok() {
                placed.push(at);
            }
        }
    }
}

#[test]
fn each_rule_has_its_own_refusal() {
    let callee = PhoneNumber::parse("+8613800138000").expect("a number");
    let refused = |change: &dyn Fn(&mut Rules, &mut Facts)| {
        let (mut rules, mut facts) = (Rules::default(), Facts::default());
        change(&mut rules, &mut facts);
        let case = Case {
            rules: &rules,
            numbers: Some(Numbers { callee: &callee, caller: &caller_of("CN") }),
            zone: None,
            at: Moment(1_000),
        };
        judge(&case, &facts).err()
    };
    assert_eq!(refused(&|_, _| {}), None);
    let spell = Spell { calls: 1, seconds: 60 };
    type Change = fn(&mut Rules, &mut Facts, Spell);
    let table: [(Refusal, Change); 10] = [
        (Refusal::CalleeBlocked, |_, facts, _| facts.callee = CalleeStanding::Denied),
        (Refusal::CalleeBlocked, |_, facts, _| facts.callee = CalleeStanding::DeniedEverywhere),
        (Refusal::RegionBlocked, |rules, _, _| {
            rules.regions.status = Switch::On;
            rules.regions.blocked = vec![String::from("+86138")];
        }),
        (Refusal::NoConsent, |rules, _, _| rules.consent.status = Switch::On),
        (Refusal::AgentBusy, |rules, facts, _| (rules.agent_calls, facts.agent_active) = (2, 2)),
        (Refusal::CallerTooOften, |rules, facts, spell| {
            rules.caller.status = Switch::On;
            rules.caller.at_most = vec![spell];
            facts.counts = vec![1];
        }),
        (Refusal::AccountTooOften, |rules, facts, spell| {
            rules.account.status = Switch::On;
            rules.account.at_most = vec![spell];
            facts.counts = vec![1];
        }),
        (Refusal::QuotaUsedUp, |rules, facts, _| {
            rules.quota.status = Switch::On;
            rules.quota.minutes_per_day = 10;
            facts.usage.today_ms = 600_000;
        }),
        (Refusal::PlanExpired, |rules, _, _| {
            rules.quota.status = Switch::On;
            rules.quota.ends = Some("1969-12-31".parse().expect("a date"));
        }),
        // A count that nobody made is no permission.
        (Refusal::CallerTooOften, |rules, _, spell| {
            rules.caller.status = Switch::On;
            rules.caller.at_most = vec![spell];
        }),
    ];
    for (refusal, change) in table {
        assert_eq!(refused(&|rules, facts| change(rules, facts, spell)), Some(refusal));
    }
}
