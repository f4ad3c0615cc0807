//! Accepting calls: the rules, the cap under contention, repeated requests, one-time values.

use crate::suite::{CALLER, NOW, account, admission, call, equip, later, number, plan, rings};
use callwright_domain::agent::Switch;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{AccountId, CallId, HangupCause, KeyId, Refusal, TrunkId, Way};
use callwright_store::{
    Account, Admission, AdmitError, Admitted, Alias, AliasKind, CallFilter, Denial, Ending, Idempotency, Listed,
    Number, NumberStatus, Opened, Permit, Purged, StoreError, Trunk, TrunkSettings,
};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

fn keyed(id: u128, key: &str, body: u8) -> Admission {
    let idempotency = Idempotency { key: key.into(), body_hash: [body; 32] };
    Admission { idempotency: Some(idempotency), ..admission(&account("acme"), id) }
}

pub(crate) async fn the_rules_are_asked(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let refused = async |why: Refusal| {
        let error = store.admit(admission(&acme, 1), NOW).await.unwrap_err();
        assert!(matches!(error, AdmitError::Refused(found) if found == why), "{error} is not {why}");
        assert_eq!(reader.call(&acme, call(1)).await.unwrap(), None);
    };
    refused(Refusal::CallerNotOwned).await;
    let main = TrunkId::new("main").unwrap();
    let own = Number::new(acme.clone(), number(CALLER), main.clone());
    store.put_number(own.clone()).await.unwrap();
    refused(Refusal::NoTrunk).await;
    let trunk = Trunk { id: main, settings: TrunkSettings::default(), enabled: Switch::Off };
    store.put_trunk(acme.clone(), trunk.clone()).await.unwrap();
    refused(Refusal::NoTrunk).await;
    store.put_trunk(acme.clone(), Trunk { enabled: Switch::On, ..trunk }).await.unwrap();
    store.put_number(Number { status: NumberStatus::Disabled, ..own.clone() }).await.unwrap();
    refused(Refusal::CallerDisabled).await;
    store.put_number(Number { max_calls: 0, ..own.clone() }).await.unwrap();
    refused(Refusal::CallerBusy).await;
    store.put_number(own).await.unwrap();
    store.put_account(Account { id: acme.clone(), name: String::new(), max_calls: 0 }).await.unwrap();
    refused(Refusal::AccountBusy).await;
    store.put_account(Account { id: acme.clone(), name: String::new(), max_calls: 1 }).await.unwrap();
    assert_eq!(store.admit(admission(&acme, 1), NOW).await.unwrap(), Admitted::New);
    let view = reader.call(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!(view.plan, plan(&acme, 1));
    assert_eq!(view.timeline.created, Some(NOW));
}

/// 64 at once for a number of 15, round after round; every slot comes back when its call ends.
pub(crate) async fn the_cap_holds_under_contention(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    for round in 0..100_u128 {
        let tasks = (0..64_u128).map(|n| {
            let (store, request) = (store.clone(), admission(&acme, round * 64 + n + 1));
            tokio::spawn(async move {
                let id = request.plan.id;
                (id, store.admit(request, NOW).await)
            })
        });
        let mut accepted = Vec::new();
        for outcome in join_all(tasks).await {
            match outcome.unwrap() {
                (id, Ok(_)) => accepted.push(id),
                (_, Err(AdmitError::Refused(Refusal::CallerBusy))) => {}
                (_, Err(other)) => panic!("{other}"),
            }
        }
        assert_eq!(accepted.len(), 15, "round {round}");
        assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 15);
        for id in accepted {
            store.finish(id, NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
        assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 0);
    }
}

/// One of a crowd, of the kind that its id says: 0 for tomorrow, 1 to a callee who is on a list, 2 with a key, 3 with a
/// vendor's id, 4 for tomorrow with a vendor's id that in every second round only one of them may have, 5 plain.
fn one_of_a_crowd(acme: &AccountId, round: u128, id: u128) -> Admission {
    let mut request = admission(acme, id);
    let tomorrow = later(86_400_000);
    let alias = |outer: String| {
        let inner = call(id).to_string();
        Some(Alias { account: acme.clone(), dialect: "d".into(), kind: AliasKind::Call, outer, inner })
    };
    match id % 6 {
        0 => request.plan.due = tomorrow,
        1 => rings(&mut request.plan, "+4915100000000"),
        2 => request = keyed(id, &id.to_string(), 1),
        3 => request.alias = alias(id.to_string()),
        4 => {
            request.plan.due = tomorrow;
            request.alias = alias(if round % 2 == 1 { format!("round {round}") } else { id.to_string() });
        }
        _ => {}
    }
    request
}

/// Requests of every kind at once for one number: each gets what it would have got alone, though those that wait together
/// are asked for and written together.
pub(crate) async fn a_crowd_is_answered_one_by_one(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let denial = Denial { number: number("+4915100000000"), reason: String::new() };
    store.deny(Listed::Of(acme.clone()), vec![denial], NOW).await.unwrap();
    let refused = |refusal| AdmitError::Refused(refusal).to_string();
    let (denied, busy) = (refused(Refusal::CalleeBlocked), refused(Refusal::CallerBusy));
    let (new, taken) = (String::from("New"), AdmitError::from(StoreError::Taken { what: "the id" }).to_string());
    for round in 0..10_u128 {
        let tasks = (1..=60).map(|n| {
            let (store, id) = (store.clone(), round * 60 + n);
            let request = one_of_a_crowd(&acme, round, id);
            tokio::spawn(async move { (id, store.admit(request, NOW).await) })
        });
        let mut told: BTreeMap<(u128, String), Vec<u128>> = BTreeMap::new();
        for (id, outcome) in join_all(tasks).await.into_iter().map(Result::unwrap) {
            let outcome = outcome.map_or_else(|error| error.to_string(), |admitted| format!("{admitted:?}"));
            // Whoever wants a place now is one of a kind.
            let kind = if [2, 3, 5].contains(&(id % 6)) { 5 } else { id % 6 };
            told.entry((kind, outcome)).or_default().push(id);
        }
        let counts: BTreeMap<_, _> = told.iter().map(|(key, ids)| (key.clone(), ids.len())).collect();
        // One that cannot be written sends all of its group back; without one they stay together.
        let fourth = if round % 2 == 1 { [(4, &new, 1), (4, &taken, 9)] } else { [(4, &new, 10), (4, &taken, 0)] };
        let wanted = [(0, &new, 10), (1, &denied, 10), (5, &new, 15), (5, &busy, 15)].into_iter().chain(fourth);
        let wanted = wanted
            .filter(|(.., count)| *count > 0)
            .map(|(kind, outcome, count)| ((kind, outcome.clone()), count))
            .collect();
        assert_eq!(counts, wanted, "round {round}");
        assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 15);
        for ((_, outcome), ids) in &told {
            for id in ids.iter().map(|id| call(*id)) {
                let found = reader.call(&acme, id).await.unwrap().map(|view| view.plan.id);
                assert_eq!(found, (*outcome == new).then_some(id), "{outcome}");
                let verdicts = reader.verdicts(&acme, id).await.unwrap();
                assert_eq!(verdicts.len(), usize::from(*outcome != taken), "{outcome}");
                let events = reader.journal(&acme, id, 0, 10).await.unwrap();
                assert_eq!(events.len(), usize::from(*outcome == new), "{outcome}");
            }
        }
        for id in &told[&(5, new.clone())] {
            store.finish(call(*id), NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
    }
}

fn called_from(owner: &AccountId, id: u128, (caller, callee): (&str, &str)) -> Admission {
    let mut request = admission(owner, id);
    if let Way::Telephone(telephone) = &mut request.plan.way {
        telephone.caller = number(caller);
        telephone.callee = number(callee);
    }
    request
}

pub(crate) async fn several_are_admitted_together_or_not_at_all(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let blocked = "+4915100000000";
    store
        .deny(Listed::Of(acme.clone()), vec![Denial { number: number(blocked), reason: String::new() }], NOW)
        .await
        .unwrap();
    let many = |ids: std::ops::RangeInclusive<u128>| ids.map(|id| admission(&acme, id)).collect::<Vec<_>>();
    let mut last_is_blocked = many(1..=14);
    last_is_blocked.push(called_from(&acme, 15, (CALLER, blocked)));
    for (requests, place, refusal) in
        [(last_is_blocked, 14, Refusal::CalleeBlocked), (many(21..=36), 15, Refusal::CallerBusy)]
    {
        let ids: Vec<_> = requests.iter().map(|request| request.plan.id).collect();
        let none = store.admit_all(requests, NOW).await.unwrap_err();
        assert_eq!((none.place, none.error.to_string()), (Some(place), AdmitError::Refused(refusal).to_string()));
        assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 0);
        for (at, id) in ids.into_iter().enumerate() {
            assert!(reader.call(&acme, id).await.unwrap().is_none(), "{at}");
            // Why the one was refused is kept.
            assert_eq!(reader.verdicts(&acme, id).await.unwrap().len(), usize::from(at == place), "{at}");
        }
    }
    let keyed = || (41..=55).map(|id| keyed(id, &format!("k{id}"), 1)).collect::<Vec<_>>();
    assert_eq!(store.admit_all(keyed(), NOW).await.unwrap(), vec![Admitted::New; 15]);
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 15);
    let again = store.admit_all(keyed(), NOW).await.unwrap();
    assert!(again.iter().all(|admitted| matches!(admitted, Admitted::Replayed { .. })), "{again:?}");
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 15);
}

/// Lists of the same numbers and callees in all orders, beside calls that come alone.
pub(crate) async fn crowds_that_are_admitted_together_wait_for_no_circle(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    let rules: RulesPatch =
        serde_json::from_str(r#"{"agent_calls": 40, "callee": {"status": "on", "per_day": 500}}"#).expect("rules");
    store.put_rules(acme.clone(), None, rules, NOW).await.unwrap();
    let callers: Vec<_> = (0..4).map(|n| format!("+493012345{n}")).collect();
    let callees: Vec<_> = (0..4).map(|n| format!("+491511234567{n}")).collect();
    for own in &callers {
        store.put_number(Number::new(acme.clone(), number(own), TrunkId::new("main").unwrap())).await.unwrap();
    }
    let tasks = (0..24_u128).map(|task| {
        let turn = usize::try_from(task).unwrap();
        let of = |n: usize| (callers[(turn * 3 + n) % 4].as_str(), callees[(turn + n * 3) % 4].as_str());
        let several = if task % 3 == 0 { 1 } else { 4 };
        let requests: Vec<_> = (0..several).map(|n| called_from(&acme, task * 10 + n as u128 + 1, of(n))).collect();
        let store = store.clone();
        tokio::spawn(async move { (several, store.admit_all(requests, NOW).await) })
    });
    let mut admitted = 0;
    for (several, outcome) in join_all(tasks).await.into_iter().map(Result::unwrap) {
        match outcome {
            Ok(made) => {
                assert_eq!(made, vec![Admitted::New; several]);
                admitted += several;
            }
            Err(none) => assert!(matches!(none.error, AdmitError::Refused(Refusal::AgentBusy)), "{none}"),
        }
    }
    assert!((37..=40).contains(&admitted), "{admitted} of 40 places");
}

/// Calls end while others are being accepted: the count never passes the cap at any moment that a reader can see.
pub(crate) async fn the_cap_holds_while_calls_end(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let tasks = (0..40_u128).map(|task| {
        let (store, reader, acme) = (store.clone(), reader.clone(), acme.clone());
        tokio::spawn(async move {
            let mut most = 0;
            for n in 0..20 {
                let id = task * 1000 + n + 1;
                if store.admit(admission(&acme, id), NOW).await.is_ok() {
                    most = most.max(reader.active_calls(&acme, &number(CALLER)).await.unwrap());
                    store.finish(call(id), NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
                }
            }
            most
        })
    });
    let most = join_all(tasks).await.into_iter().map(Result::unwrap).max().unwrap();
    assert!((1..=15).contains(&most), "{most}");
}

/// What counts over several caller numbers is exact too: their calls are accepted side by side.
pub(crate) async fn a_limit_of_the_account_holds_over_its_numbers(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    let numbers: Vec<_> = (0..8).map(|n| number(&format!("+493012345{n}"))).collect();
    for own in &numbers {
        let own = Number::new(acme.clone(), own.clone(), TrunkId::new("main").unwrap());
        store.put_number(own).await.unwrap();
    }
    store.put_account(Account { id: acme.clone(), name: String::new(), max_calls: 5 }).await.unwrap();
    for round in 0..20_u128 {
        let tasks = (0..64_u128).map(|n| {
            let (store, mut request) = (store.clone(), admission(&acme, round * 64 + n + 1));
            if let Way::Telephone(telephone) = &mut request.plan.way {
                telephone.caller = numbers[usize::try_from(n % 8).unwrap()].clone();
            }
            tokio::spawn(async move {
                let id = request.plan.id;
                store.admit(request, NOW).await.map(|_| id)
            })
        });
        let accepted: Vec<_> = join_all(tasks).await.into_iter().filter_map(|outcome| outcome.unwrap().ok()).collect();
        assert_eq!(accepted.len(), 5, "round {round}");
        for id in accepted {
            store.finish(id, NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
    }
}

pub(crate) async fn a_call_that_has_ended_is_not_permitted(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    let claimed = store.claim_due(NOW, 9).await.unwrap();
    store.finish(call(1), later(1), Ending::from(HangupCause::Cancelled)).await.unwrap();
    assert_eq!(store.permit(claimed[0].clone(), later(2)).await.unwrap(), Permit::Over);
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 0);
}

pub(crate) async fn a_repeat_is_replayed(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    assert_eq!(store.admit(keyed(1, "k", 1), NOW).await.unwrap(), Admitted::New);
    let replayed = Admitted::Replayed { call: call(1), waits: None };
    assert_eq!(store.admit(keyed(2, "k", 1), later(1)).await.unwrap(), replayed);
    assert!(matches!(store.admit(keyed(3, "k", 2), NOW).await, Err(AdmitError::IdempotencyMismatch)));
    // A full number does not keep an accepted request from being answered again.
    let full = Number { max_calls: 1, ..Number::new(acme.clone(), number(CALLER), TrunkId::new("main").unwrap()) };
    store.put_number(full).await.unwrap();
    assert_eq!(store.admit(keyed(4, "k", 1), NOW).await.unwrap(), replayed);
    // A refused request does not use its key up.
    assert!(matches!(store.admit(keyed(5, "other", 1), NOW).await, Err(AdmitError::Refused(_))));
    store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    assert_eq!(store.admit(keyed(6, "other", 9), NOW).await.unwrap(), Admitted::New);
    // One that waited when it was accepted is answered so for good.
    let patient =
        |id| Admission { plan: callwright_domain::CallPlan { wait_ms: 9, ..plan(&acme, id) }, ..keyed(id, "p", 1) };
    assert_eq!(store.admit(patient(8), NOW).await.unwrap(), Admitted::Waiting(Refusal::CallerBusy));
    store.finish(call(6), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    store.finish(call(8), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    let waited = Admitted::Replayed { call: call(8), waits: Some(Refusal::CallerBusy) };
    assert_eq!(store.admit(patient(9), later(1)).await.unwrap(), waited);
    // Another account's key of the same text is another key.
    let evil = account("evil");
    equip(&store, &evil).await;
    let theirs = Admission { plan: plan(&evil, 7), ..keyed(7, "k", 3) };
    assert_eq!(store.admit(theirs, NOW).await.unwrap(), Admitted::New);
}

pub(crate) async fn a_key_is_forgotten_after_a_day(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    let day = i64::try_from(Idempotency::KEPT.as_millis()).unwrap();
    store.admit(keyed(1, "k", 1), NOW).await.unwrap();
    assert!(matches!(store.admit(keyed(2, "k", 2), later(day - 1)).await, Err(AdmitError::IdempotencyMismatch)));
    assert_eq!(store.purge(later(day - 1)).await.unwrap(), Purged::default());
    assert_eq!(store.admit(keyed(3, "k", 2), later(day)).await.unwrap(), Admitted::New);
    assert_eq!(store.purge(later(3 * day)).await.unwrap().idempotency_keys, 1);
}

pub(crate) async fn keys_out_of_shape_are_refused(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    for (key, good) in [("", false), (&"k".repeat(256), false), (&"k".repeat(255), true)] {
        let outcome = store.admit(keyed(u128::try_from(key.len()).unwrap(), key, 1), NOW).await;
        if good {
            assert_eq!(outcome.unwrap(), Admitted::New);
        } else {
            assert!(matches!(outcome, Err(AdmitError::Store(StoreError::Rejected { .. }))), "{outcome:?}");
        }
    }
}

pub(crate) async fn fifty_repeats_at_once_make_one_call(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let tasks = (1..=50_u128).map(|id| {
        let store = store.clone();
        tokio::spawn(async move { store.admit(keyed(id, "k", u8::from(id == 50)), NOW).await })
    });
    let (mut new, mut replayed, mut mismatched) = (0, Vec::new(), 0);
    for outcome in join_all(tasks).await {
        match outcome.unwrap() {
            Ok(Admitted::New) => new += 1,
            Ok(Admitted::Replayed { call, .. }) => replayed.push(call),
            Err(AdmitError::IdempotencyMismatch) => mismatched += 1,
            Ok(Admitted::Waiting(rule)) => panic!("nobody may wait: {rule}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(replayed.len() + mismatched, 49);
    let calls = reader.calls(&acme, &CallFilter::default(), None, 100).await.unwrap().items;
    assert_eq!(calls.len(), 1);
    assert!(replayed.iter().all(|id| *id == calls[0].plan.id));
}

pub(crate) async fn a_vendors_id_is_kept_with_its_call(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let named = |id: u128, outer: &str| {
        let (outer, inner) = (outer.to_owned(), call(id).to_string());
        let alias = Alias { account: acme.clone(), dialect: "d".into(), kind: AliasKind::Call, outer, inner };
        Admission { alias: Some(alias), ..keyed(id, &id.to_string(), 1) }
    };
    let of = async |outer: &str| {
        let found = reader.alias_of_outer(&acme, "d", AliasKind::Call, outer).await.unwrap();
        found.map(|alias| alias.inner_as::<CallId>().unwrap())
    };
    assert_eq!(store.admit(named(1, "one"), NOW).await.unwrap(), Admitted::New);
    assert_eq!(of("one").await, Some(call(1)));
    // An id that is taken makes no call, whoever asks in the same moment.
    let asked = [named(2, "two"), named(3, "one"), named(4, "four")];
    let answers = join_all(asked.into_iter().map(|request| store.admit(request, NOW))).await;
    assert!(matches!(answers[1], Err(AdmitError::Store(StoreError::Taken { .. }))), "{:?}", answers[1]);
    assert_eq!((of("two").await, of("four").await), (Some(call(2)), Some(call(4))));
    assert_eq!((reader.call(&acme, call(3)).await.unwrap(), of("one").await), (None, Some(call(1))));
    // A refused call has no id.
    let full = Number { max_calls: 1, ..Number::new(acme.clone(), number(CALLER), TrunkId::new("main").unwrap()) };
    store.put_number(full).await.unwrap();
    assert!(matches!(store.admit(named(5, "five"), NOW).await, Err(AdmitError::Refused(_))));
    assert_eq!(of("five").await, None);
}

pub(crate) async fn a_nonce_works_once(opened: Opened) {
    let store = opened.store;
    let key = |id: &str| KeyId::new(id).unwrap();
    let keep = Duration::from_secs(900);
    let tasks = (0..20).map(|_| {
        let (store, key) = (store.clone(), key("k"));
        tokio::spawn(async move { store.use_nonce(key, "n".into(), NOW, keep).await.unwrap() })
    });
    let fresh = join_all(tasks).await.into_iter().filter(|used| *used.as_ref().unwrap()).count();
    assert_eq!(fresh, 1);
    assert!(store.use_nonce(key("other"), "n".into(), NOW, keep).await.unwrap());
    assert!(!store.use_nonce(key("k"), "n".into(), later(899_999), keep).await.unwrap());
    assert!(store.use_nonce(key("k"), "n".into(), later(900_000), keep).await.unwrap());
    assert_eq!(store.purge(later(1_799_999)).await.unwrap().nonces, 1);
    assert_eq!(store.purge(later(1_800_000)).await.unwrap().nonces, 1);
}
