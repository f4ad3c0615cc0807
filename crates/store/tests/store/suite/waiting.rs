//! Waiting for a place: in the order of arrival, exactly as many as there are places, and not for longer than asked.

use crate::suite::{CALLER, NOW, account, admission, call, equip, later, number};
use callwright_domain::CallerLine;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{AccountId, AgentId, CallEvent, CallState, HangupCause, Moment, Refusal, TrunkId};
use callwright_store::{
    Admission, AdmitError, Admitted, Ending, Number, NumberStatus, Opened, Patience, Permit, Reader, Seat, Store,
    WaitingLine, Waits,
};
use futures_util::future::join_all;

/// Longest wait of the calls here, in milliseconds.
const PATIENCE: i64 = 5000;

fn patient(owner: &AccountId, id: u128, at: Moment) -> Admission {
    let mut request = admission(owner, id);
    request.plan.wait_ms = PATIENCE.unsigned_abs();
    (request.plan.created, request.plan.due) = (at, at);
    request
}

/// An account whose number may have `max_calls`.
async fn equip_with(store: &Store, owner: &AccountId, max_calls: u32) {
    equip(store, owner).await;
    let main = TrunkId::new("main").unwrap();
    store.put_number(Number { max_calls, ..Number::new(owner.clone(), number(CALLER), main) }).await.unwrap();
}

async fn hang_up(store: &Store, id: u128, at: Moment) {
    store.finish(call(id), at, Ending::from(HangupCause::Cancelled)).await.unwrap();
}

/// Seats as many as find a place; who ended instead.
async fn seat_all(store: &Store, reader: &Reader, at: Moment) -> Vec<HangupCause> {
    let waiting = reader.waiting(at).await.unwrap();
    let mut ended = Vec::new();
    let mut tell = |seat: Seat| {
        if let Seat::Ended { recorded, .. } = seat {
            let CallEvent::Ended { cause, .. } = recorded.event else { panic!("{recorded:?} is no end") };
            ended.push(cause);
        }
    };
    for (account, call) in waiting.late {
        tell(store.give_up(account, call, at).await.unwrap());
    }
    for line in waiting.lines {
        loop {
            match store.seat(line.clone(), at).await.unwrap() {
                Seat::Full | Seat::Nobody => break,
                seat => tell(seat),
            }
        }
    }
    ended
}

async fn claimed(store: &Store, at: Moment) -> Vec<u128> {
    store.claim_due(at, 100).await.unwrap().iter().map(|plan| plan.id.bits()).collect()
}

async fn refused(store: &Store, request: Admission, at: Moment) -> bool {
    matches!(store.admit(request, at).await, Err(AdmitError::Refused(Refusal::CallerBusy)))
}

pub(crate) async fn a_free_place_is_whose_turn_it_is(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_with(&store, &acme, 1).await;
    assert_eq!(store.admit(patient(&acme, 90, NOW), NOW).await.unwrap(), Admitted::New, "a place is free");
    // Ids against the order of arrival, so that the order is not the ids'.
    for (id, after) in [(30, 1), (20, 2), (10, 3)] {
        let request = patient(&acme, id, later(after));
        assert_eq!(store.admit(request, later(after)).await.unwrap(), Admitted::Waiting(Refusal::CallerBusy));
    }
    let view = reader.call(&acme, call(20)).await.unwrap().unwrap();
    assert_eq!(view.waits, Some(Waits { rule: Refusal::CallerBusy, until: Some(later(2 + PATIENCE)) }));
    assert_eq!(reader.verdicts(&acme, call(20)).await.unwrap()[0].evidence["verdict"], "waits");
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 1, "who waits holds no place");
    assert_eq!(claimed(&store, later(10)).await, [90], "who waits is not dialled");
    assert_eq!(seat_all(&store, &reader, later(10)).await, []);
    for (gone, next, at) in [(90, 30, 20), (30, 20, 30), (20, 10, 40)] {
        hang_up(&store, gone, later(at)).await;
        assert!(refused(&store, admission(&acme, 99), later(at)).await, "the place belongs to who waits");
        seat_all(&store, &reader, later(at)).await;
        assert_eq!(claimed(&store, later(at)).await, [next]);
        let plan = reader.call(&acme, call(next)).await.unwrap().unwrap().plan;
        assert_eq!(store.permit(plan, later(at)).await.unwrap(), Permit::Granted);
    }
    hang_up(&store, 10, later(50)).await;
    assert_eq!(reader.waiting(later(50)).await.unwrap(), callwright_store::Waiting::default());
    assert_eq!(store.admit(admission(&acme, 99), later(50)).await.unwrap(), Admitted::New);
}

/// Two nodes' worth of seating at once while calls come and go: never more than the places, and nobody is forgotten.
pub(crate) async fn places_are_exact_while_many_wait(opened: Opened) {
    const PLACES: u32 = 5;
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_with(&store, &acme, PLACES).await;
    let asked = (1..=60_u128).map(|id| {
        let (store, request) = (store.clone(), patient(&acme, id, NOW));
        tokio::spawn(async move { store.admit(request, NOW).await.unwrap() })
    });
    let asked = join_all(asked).await.into_iter().map(Result::unwrap);
    assert_eq!(asked.filter(|admitted| *admitted == Admitted::New).count(), 5);
    let mut dialled = 0;
    while dialled < 60 {
        let turns = (0..4).map(|_| {
            let (store, reader) = (store.clone(), reader.clone());
            tokio::spawn(async move { seat_all(&store, &reader, later(1)).await })
        });
        for ended in join_all(turns).await {
            assert_eq!(ended.unwrap(), []);
        }
        assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), PLACES);
        let up = claimed(&store, later(1)).await;
        assert_eq!(up.len(), 5, "every place is used at once");
        dialled += up.len();
        let ends = up.into_iter().map(|id| {
            let store = store.clone();
            tokio::spawn(async move { hang_up(&store, id, later(2)).await })
        });
        join_all(ends).await.into_iter().for_each(Result::unwrap);
    }
    assert_eq!(reader.waiting(later(2)).await.unwrap(), callwright_store::Waiting::default());
}

pub(crate) async fn patience_ends_with_a_name(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_with(&store, &acme, 1).await;
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    let mut hurried = patient(&acme, 2, later(1));
    hurried.plan.deadline = Some(later(1000));
    store.admit(hurried, later(1)).await.unwrap();
    store.admit(patient(&acme, 3, later(2)), later(2)).await.unwrap();
    store.admit(patient(&acme, 4, later(3)), later(3)).await.unwrap();
    // Somebody hangs up who waits: the line closes up.
    hang_up(&store, 4, later(500)).await;
    assert_eq!(reader.waiting(later(999)).await.unwrap().late, []);
    assert_eq!(seat_all(&store, &reader, later(1000)).await, [HangupCause::Expired]);
    assert_eq!(seat_all(&store, &reader, later(1 + PATIENCE)).await, []);
    // Late is late, even when a place gets free in the same moment.
    hang_up(&store, 1, later(2 + PATIENCE)).await;
    assert_eq!(seat_all(&store, &reader, later(2 + PATIENCE)).await, [HangupCause::NoPlace]);
    let view = reader.call(&acme, call(3)).await.unwrap().unwrap();
    assert_eq!((view.state, view.waits), (CallState::Ended(HangupCause::NoPlace), None));
    assert_eq!(reader.records(&acme, call(3)).await.unwrap()[0].cause, HangupCause::NoPlace);
    assert!(matches!(store.give_up(acme.clone(), call(3), later(9000)).await.unwrap(), Seat::Nobody));
    assert_eq!(claimed(&store, later(9000)).await, [1_u128; 0]);
}

/// Who was due later and says nothing of it waits for an hour from when the place was wanted, and until a deadline where there is one.
pub(crate) async fn who_was_due_later_waits_for_an_hour(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_with(&store, &acme, 1).await;
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    assert_eq!(claimed(&store, NOW).await, [1]);
    let (at, hour) = (later(60_000), 3_600_000);
    for (id, wait_ms, deadline) in [(2, 0, None), (3, 0, Some(later(2 * hour))), (4, 1_000, None)] {
        let mut request = admission(&acme, id);
        (request.plan.due, request.plan.wait_ms, request.plan.deadline) = (at, wait_ms, deadline);
        store.admit(request, NOW).await.unwrap();
    }
    for plan in store.claim_due(at, 10).await.unwrap() {
        assert_eq!(store.permit(plan, at).await.unwrap(), Permit::Waits(Refusal::CallerBusy));
    }
    let until = async |id| reader.call(&acme, call(id)).await.unwrap().unwrap().waits.unwrap().until;
    let hour_after = later(60_000 + hour);
    assert_eq!(
        (until(2).await, until(3).await, until(4).await),
        (Some(hour_after), Some(later(2 * hour)), Some(later(61_000)))
    );
    assert_eq!(seat_all(&store, &reader, later(61_000)).await, [HangupCause::NoPlace]);
    assert_eq!(seat_all(&store, &reader, later(59_999 + hour)).await, []);
    assert_eq!(seat_all(&store, &reader, hour_after).await, [HangupCause::NoPlace]);
    assert_eq!(seat_all(&store, &reader, later(2 * hour)).await, [HangupCause::Expired]);
}

/// Who waits for a busy agent stands in the way of that agent's calls alone.
pub(crate) async fn who_waits_for_an_agent_is_in_nobody_elses_way(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_with(&store, &acme, 3).await;
    let rules: RulesPatch = serde_json::from_str(r#"{"agent_calls":1}"#).unwrap();
    let desk = AgentId::new("desk").unwrap();
    store.put_rules(acme.clone(), Some(desk), rules, NOW).await.unwrap();
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    for id in 2..=4 {
        let waits = store.admit(patient(&acme, id, NOW), NOW).await.unwrap();
        assert_eq!(waits, Admitted::Waiting(Refusal::AgentBusy));
    }
    for id in 11..=12 {
        let mut other = admission(&acme, id);
        other.plan.agent_id = AgentId::new("other").unwrap();
        assert_eq!(store.admit(other, NOW).await.unwrap(), Admitted::New);
    }
    // The number is full now, too: the first of those who wait for the agent goes on to wait for the number.
    hang_up(&store, 1, NOW).await;
    let mut other = admission(&acme, 13);
    other.plan.agent_id = AgentId::new("other").unwrap();
    assert_eq!(store.admit(other, NOW).await.unwrap(), Admitted::New);
    seat_all(&store, &reader, NOW).await;
    let waits = reader.call(&acme, call(2)).await.unwrap().unwrap().waits.unwrap();
    assert_eq!(waits.rule, Refusal::CallerBusy);
    hang_up(&store, 11, NOW).await;
    seat_all(&store, &reader, NOW).await;
    let line = |rule| WaitingLine {
        account: acme.clone(),
        caller: number(CALLER).dial().into(),
        pool: None,
        agent: "desk".into(),
        rule,
    };
    assert_eq!(reader.waiting(NOW).await.unwrap().lines, [line(Refusal::AgentBusy)]);
    assert!(claimed(&store, NOW).await.contains(&2));
}

/// What came to be forbidden while it waited is not dialled when a place gets free.
pub(crate) async fn the_rules_are_asked_before_a_place_is_given(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_with(&store, &acme, 1).await;
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    store.admit(patient(&acme, 2, NOW), NOW).await.unwrap();
    let denied = callwright_store::Denial { number: number("+4915112345678"), reason: "asked".into() };
    store.deny(callwright_store::Listed::Of(acme.clone()), vec![denied], NOW).await.unwrap();
    hang_up(&store, 1, later(1)).await;
    assert_eq!(seat_all(&store, &reader, later(1)).await, [HangupCause::CalleeBlocked]);
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 0);
}

const SECOND: &str = "+4930123457";

/// A call that may show any of these numbers, of which each may have one call.
fn pooled(owner: &AccountId, id: u128, at: Moment, numbers: &[&str]) -> Admission {
    let mut request = patient(owner, id, at);
    let main = TrunkId::new("main").unwrap();
    let line = |text: &&str| CallerLine { number: number(text), trunk: main.clone(), spare_trunks: Vec::new() };
    request.plan.show(numbers.iter().map(line).collect(), 0);
    request
}

async fn equip_two(store: &Store, owner: &AccountId, max_calls: u32) {
    equip(store, owner).await;
    let main = TrunkId::new("main").unwrap();
    for text in [CALLER, SECOND] {
        let own = Number { max_calls, ..Number::new(owner.clone(), number(text), main.clone()) };
        store.put_number(own).await.unwrap();
    }
}

async fn shown(reader: &Reader, owner: &AccountId, id: u128) -> String {
    reader.call(owner, call(id)).await.unwrap().unwrap().plan.caller_dialled().to_owned()
}

/// Whoever came first gets the place that gets free, at whichever of its numbers; nobody in front of it who wants another
/// number is in its way.
pub(crate) async fn a_pool_waits_for_any_of_its_numbers(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_two(&store, &acme, 1).await;
    let both = [CALLER, SECOND];
    let wait = Admitted::Waiting(Refusal::CallerBusy);
    for (id, at, numbers, outcome) in [
        (90, 0, &both[..], Admitted::New),
        (91, 1, &both[..], Admitted::New),
        (50, 2, &both[..1], wait.clone()),
        (40, 3, &both[..], wait.clone()),
        (30, 4, &both[1..], wait.clone()),
        (20, 5, &both[..], wait),
    ] {
        let request = pooled(&acme, id, later(at), numbers);
        assert_eq!(store.admit(request, later(at)).await.unwrap(), outcome, "{id}");
    }
    assert_eq!((shown(&reader, &acme, 90).await.as_str(), shown(&reader, &acme, 91).await.as_str()), (CALLER, SECOND));
    for (gone, next, number) in [(91, 40, SECOND), (40, 30, SECOND), (90, 50, CALLER), (30, 20, SECOND)] {
        hang_up(&store, gone, later(10)).await;
        // In whatever order the lines are looked at.
        for _ in 0..3 {
            seat_all(&store, &reader, later(10)).await;
        }
        assert_eq!(shown(&reader, &acme, next).await, number, "{next} after {gone}");
        let waits = reader.call(&acme, call(next)).await.unwrap().unwrap().waits;
        assert_eq!(waits, None, "{next} after {gone}");
    }
    assert_eq!(reader.waiting(later(10)).await.unwrap().lines, []);
}

/// Many at once over two numbers: as many as there are places, none of them beyond its number's.
pub(crate) async fn a_pool_is_filled_exactly_under_contention(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_two(&store, &acme, 5).await;
    for round in 0..20_u128 {
        let tasks = (0..32_u128).map(|n| {
            let numbers = if n % 2 == 0 { [CALLER, SECOND] } else { [SECOND, CALLER] };
            let mut request = pooled(&acme, round * 32 + n + 1, NOW, &numbers);
            request.plan.wait_ms = 0;
            let store = store.clone();
            tokio::spawn(async move { (request.plan.id, store.admit(request, NOW).await) })
        });
        let mut accepted = Vec::new();
        for outcome in join_all(tasks).await {
            match outcome.unwrap() {
                (id, Ok(_)) => accepted.push(id),
                (_, Err(AdmitError::Refused(Refusal::CallerBusy))) => {}
                (_, Err(other)) => panic!("{other}"),
            }
        }
        assert_eq!(accepted.len(), 10, "round {round}");
        for text in [CALLER, SECOND] {
            assert_eq!(reader.active_calls(&acme, &number(text)).await.unwrap(), 5, "round {round}");
        }
        for id in accepted {
            store.finish(id, NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
    }
}

/// A number that is switched off, foreign or over its frequency is passed over, and one that is due later chooses when it
/// is dialled.
pub(crate) async fn the_next_number_is_tried(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip_two(&store, &acme, 1).await;
    let foreign = "+4930999999";
    store.admit(pooled(&acme, 1, NOW, &[foreign, CALLER, SECOND]), NOW).await.unwrap();
    assert_eq!(shown(&reader, &acme, 1).await, CALLER);
    let (mut planned, soon) = (pooled(&acme, 2, NOW, &[CALLER, foreign, SECOND]), later(1000));
    planned.plan.due = soon;
    assert_eq!(store.admit(planned, NOW).await.unwrap(), Admitted::New);
    assert_eq!(shown(&reader, &acme, 2).await, CALLER, "it takes its place when it is due");
    let claimed = store.claim_due(soon, 100).await.unwrap();
    let plan = claimed.into_iter().find(|plan| plan.id == call(2)).unwrap();
    assert_eq!(store.permit(plan, soon).await.unwrap(), Permit::Moved);
    let again = store.claim_due(soon, 100).await.unwrap();
    assert_eq!(again.iter().map(|plan| (plan.id, plan.caller_dialled())).collect::<Vec<_>>(), [(call(2), SECOND)]);
    assert_eq!(store.permit(again[0].clone(), soon).await.unwrap(), Permit::Granted);
    // All are busy, and one may not be waited for: which one is said does not depend on the order.
    let mut hasty = pooled(&acme, 3, NOW, &[foreign, CALLER, SECOND]);
    hasty.patience = Patience::NoCaller;
    assert!(refused(&store, hasty, NOW).await);
    let disabled = Number::new(acme.clone(), number(SECOND), TrunkId::new("main").unwrap());
    hang_up(&store, 1, later(1)).await;
    store.put_number(Number { status: NumberStatus::Disabled, ..disabled }).await.unwrap();
    store.admit(pooled(&acme, 4, later(1), &[SECOND, CALLER]), later(1)).await.unwrap();
    assert_eq!(shown(&reader, &acme, 4).await, CALLER);
}
