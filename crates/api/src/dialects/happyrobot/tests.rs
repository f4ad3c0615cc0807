//! Words, ids and paths; the page against the code.

use super::*;
use callwright_domain::{HangupCause, Moment, Refusal};

#[test]
fn paths_are_told_apart() {
    for (pattern, path, ids) in [
        ("calls", "calls", Some(vec![])),
        ("calls/*", "calls/abc", Some(vec!["abc"])),
        ("calls/*", "calls/", None),
        ("calls/*", "calls/a/b", None),
        ("calls/*/notes/*", "calls/a/notes/b", Some(vec!["a", "b"])),
        ("dial/outbound", "dial/outbound-batched", None),
    ] {
        assert_eq!(matched(pattern, path), ids, "{pattern} {path}");
    }
}

#[test]
fn ids_are_24_digits_and_differ_by_account_and_kind() {
    let account = |name: &str| AccountId::new(name).expect("an id");
    let ids = [
        ids::made(&account("main"), "agent", "desk"),
        ids::made(&account("main"), "number", "desk"),
        ids::made(&account("other"), "agent", "desk"),
    ];
    for id in &ids {
        assert_eq!(ids::rule(id), Ok(()), "{id}");
    }
    assert!(ids[0] != ids[1] && ids[0] != ids[2]);
    for bad in ["", "65F000000000000000000000", "65f00000000000000000000", "65g000000000000000000000"] {
        assert!(ids::rule(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_end_has_one_of_the_vendors_words() {
    for cause in HangupCause::ALL {
        assert!(view::STATUSES.contains(&view::end(cause, None)), "{cause:?}");
    }
    assert_eq!(view::end(HangupCause::NoAnswer, None), "No answer");
    assert_eq!(view::end(HangupCause::Unreachable, Some(480)), "No answer");
    assert_eq!(view::end(HangupCause::NoResponse, Some(408)), "No answer");
    assert_eq!(view::end(HangupCause::Unreachable, Some(404)), "Failed");
    assert_eq!(view::end(HangupCause::VoicemailReached, None), "AMD Terminated");
    assert_eq!(view::end(HangupCause::Rejected, Some(402)), "Failed");
    assert_eq!(view::end(HangupCause::Rejected, Some(603)), "Busy");
}

#[test]
fn times_and_languages_are_the_vendors() {
    assert_eq!(view::time(Moment(1_704_070_861_999)), "2024-01-01T01:01:01Z");
    for (tag, shown) in
        [("", "en-US"), ("en", "en-US"), ("es", "es-ES"), ("sv", "sv-SE"), ("en-GB", "en-GB"), ("nl", "nl")]
    {
        assert_eq!(view::language(tag), shown);
    }
}

/// What a refusal is answered with. A new one has its place here before anything builds.
const fn status_of(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::NoCallerNumber | Refusal::NoTrunk => 400,
        Refusal::CallerDisabled
        | Refusal::CalleeBlocked
        | Refusal::EmergencyNumber
        | Refusal::ShortNumber
        | Refusal::PremiumNumber
        | Refusal::SatelliteNumber
        | Refusal::DestinationNotAllowed
        | Refusal::OwnNumber
        | Refusal::RegionBlocked
        | Refusal::OutsideCallingHours
        | Refusal::NoConsent
        | Refusal::PlanExpired => 403,
        Refusal::UnknownAgent | Refusal::CallerNotOwned => 404,
        Refusal::CallerBusy
        | Refusal::AccountBusy
        | Refusal::AgentBusy
        | Refusal::CalleeTooOften
        | Refusal::CalleeDailyLimit
        | Refusal::CallerTooOften
        | Refusal::AccountTooOften
        | Refusal::QuotaUsedUp => 429,
        Refusal::NodeBusy | Refusal::Draining => 503,
    }
}

#[test]
fn every_refusal_has_a_status_and_words() {
    for refusal in Refusal::ALL {
        let complaint = Complaint::from(refusal);
        assert_eq!(complaint.status.as_u16(), status_of(refusal), "{refusal:?}");
        assert_eq!(complaint.message, refusal.to_string());
    }
}

#[test]
fn the_page_speaks_of_every_route_and_status() {
    let page = include_str!("../../../../../docs/happyrobot.md");
    for (method, path, operation, _) in ROUTES {
        let shown = format!("/{path}").replace("notes/*", "notes/{noteId}").replace('*', "{id}");
        assert!(page.contains(&format!("{shown}`")), "{method} {shown}");
        if *operation == Operation::NotBuilt {
            let refused = page.lines().any(|line| line.contains("*refused*") && line.contains(&format!("{shown}`")));
            assert!(refused, "{method} {shown}");
        }
    }
    for status in view::STATUSES {
        assert!(page.contains(status), "{status}");
    }
}
