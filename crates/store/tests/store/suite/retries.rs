//! A call that reached nobody is followed by another, made with its end: once, whatever is repeated.

use crate::suite::outbox::webhook;
use crate::suite::{NOW, account, admission, answered, call, dialing, equip, later};
use callwright_domain::campaign::{RetryPlan, Windows};
use callwright_domain::retry::Retries;
use callwright_domain::webhook::Whose;
use callwright_domain::{AccountId, HangupCause, Moment, Refusal};
use callwright_store::{Admission, CallFilter, Ending, Opened, Permit, Reader, Store};
use futures_util::future::join_all;

pub(crate) fn tried(owner: &AccountId, id: u128, waits_s: &[u64]) -> Admission {
    let mut request = admission(owner, id);
    let plan = RetryPlan { on: vec![HangupCause::Busy], max_attempts: 3, waits_s: waits_s.to_vec() };
    request.plan.retry = Some(Retries::new(plan, None));
    request
}

async fn count(reader: &Reader, owner: &AccountId) -> usize {
    reader.calls(owner, &CallFilter::default(), None, 100).await.unwrap().items.len()
}

async fn dial_and_end(store: &Store, at: Moment, cause: HangupCause) -> u128 {
    let claimed = store.claim_due(at, 10).await.unwrap();
    assert_eq!(claimed.len(), 1, "one call is due");
    let plan = claimed[0].clone();
    assert_eq!(store.permit(plan.clone(), at).await.unwrap(), Permit::Granted);
    store.append(plan.id, vec![(at, dialing(1))]).await.unwrap();
    store.finish(plan.id, at, Ending::from(cause)).await.unwrap();
    plan.id.bits()
}

pub(crate) async fn a_call_is_followed_as_its_plan_says(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.admit(tried(&acme, 1, &[60]), NOW).await.unwrap();
    assert_eq!(dial_and_end(&store, NOW, HangupCause::Busy).await, 1);
    let first = reader.call(&acme, call(1)).await.unwrap().unwrap();
    let second = reader.call(&acme, first.next.expect("another try")).await.unwrap().unwrap();
    assert_eq!((second.plan.due, second.plan.created), (later(60_000), NOW));
    let chain = second.plan.retry.as_ref().unwrap();
    assert_eq!((chain.attempt, chain.first), (2, Some(call(1))));
    assert_eq!(store.claim_due(later(59_999), 10).await.unwrap(), []);
    assert_eq!(dial_and_end(&store, later(60_000), HangupCause::Busy).await, second.plan.id.bits());
    // The third is answered: an end that the plan does not name ends the chain.
    let third = reader.call(&acme, second.plan.id).await.unwrap().unwrap().next.expect("another try");
    let claimed = store.claim_due(later(120_000), 10).await.unwrap();
    assert_eq!(claimed.iter().map(|plan| plan.id).collect::<Vec<_>>(), [third]);
    let events = vec![(later(120_000), dialing(1)), (later(121_000), answered())];
    store.append(third, events).await.unwrap();
    store.finish(third, later(150_000), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    assert_eq!(reader.call(&acme, third).await.unwrap().unwrap().next, None);
    assert_eq!(count(&reader, &acme).await, 3);
    for id in [call(1), second.plan.id, third] {
        assert_eq!(reader.records(&acme, id).await.unwrap().len(), 1, "each try has its own record");
    }
}

pub(crate) async fn an_end_that_is_repeated_is_followed_once(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.admit(tried(&acme, 1, &[60]), NOW).await.unwrap();
    let ends = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap() })
    });
    join_all(ends).await.into_iter().for_each(|end| drop(end.unwrap()));
    assert_eq!(count(&reader, &acme).await, 2);
}

/// A retry holds no place while it is due later, and is judged when it is due.
pub(crate) async fn a_retry_is_judged_like_any_other(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.admit(tried(&acme, 1, &[0]), NOW).await.unwrap();
    store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    let caller = crate::suite::number(crate::suite::CALLER);
    assert_eq!(reader.active_calls(&acme, &caller).await.unwrap(), 0, "not even when it is due at once");
    let denial = callwright_store::Denial { number: crate::suite::number("+4915112345678"), reason: "asked".into() };
    store.deny(callwright_store::Listed::Of(acme.clone()), vec![denial], NOW).await.unwrap();
    let claimed = store.claim_due(NOW, 10).await.unwrap();
    let verdict = store.permit(claimed[0].clone(), NOW).await.unwrap();
    assert_eq!(verdict, Permit::Refused(Refusal::CalleeBlocked));
    store.finish(claimed[0].id, NOW, Ending::from(HangupCause::CalleeBlocked)).await.unwrap();
    assert_eq!(count(&reader, &acme).await, 2, "the plan does not name this end");
}

/// A retry whose way is free only when its hours are over waits for the next ones. NOW is a Tuesday, 22:13 UTC.
pub(crate) async fn a_retry_that_is_late_waits_for_its_hours(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    let windows: Windows =
        serde_json::from_str(r#"{"zone":"UTC","weekly":[{"days":[],"from":"08:00","to":"22:14"}]}"#).unwrap();
    let eight = Moment(1_700_035_200_000);
    for (id, deadline, says) in [
        (1, None, Permit::Later(eight)),
        (2, Some(Moment(eight.millis() - 1)), Permit::Refused(Refusal::OutsideCallingHours)),
    ] {
        let mut first = tried(&acme, id, &[0]);
        first.plan.deadline = deadline;
        first.plan.retry = first.plan.retry.map(|retries| Retries { windows: Some(windows.clone()), ..retries });
        store.admit(first, NOW).await.unwrap();
        // The first call has no hours to keep.
        let late = later(60_000);
        let claimed = store.claim_due(NOW, 10).await.unwrap();
        assert_eq!(store.permit(claimed[0].clone(), late).await.unwrap(), Permit::Granted);
        store.finish(call(id), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
        let claimed = store.claim_due(NOW, 10).await.unwrap();
        assert_eq!(store.permit(claimed[0].clone(), late).await.unwrap(), says);
        assert_eq!(store.claim_due(late, 10).await.unwrap(), []);
    }
    let claimed = store.claim_due(eight, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(store.permit(claimed[0].clone(), eight).await.unwrap(), Permit::Granted);
}

/// The endpoint that a request brought for its call is told of the calls that follow, too.
pub(crate) async fn the_calls_endpoint_hears_of_its_retries(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let endpoint = webhook(&acme, "own", Whose::Call(call(1)));
    let id = endpoint.id.clone();
    let request = Admission { endpoint: Some(endpoint), ..tried(&acme, 1, &[60]) };
    store.admit(request, NOW).await.unwrap();
    store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    let next = reader.call(&acme, call(1)).await.unwrap().unwrap().next.unwrap();
    let told = reader.deliveries(&acme, &id, None, None, 100).await.unwrap().items;
    assert!(told.iter().any(|delivery| delivery.event == Some((next, 1))), "{told:?}");
}
