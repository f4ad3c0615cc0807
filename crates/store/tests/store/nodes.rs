//! Several nodes on one PostgreSQL: what one takes, no other takes; what a dead one held, another ends; limits and keys
//! are exact over all of them.

use crate::cluster::{self, Database};
use crate::suite::shares::channel;
use crate::suite::{CALLER, NOW, account, admission, answered, call, campaigns, dialing, equip, number};
use callwright_domain::{CallEvent, CallState, HangupCause, KeyId, Moment, Refusal};
use callwright_store::{
    Admission, AdmitError, Admitted, CallFilter, CallOwner, Denial, Ending, Idempotency, Listed, Number, Opened,
    Reader, Store, StoreError, StoreSettings, move_to_shared, undo_move,
};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(600);

async fn pair() -> Option<(Database, Opened, Opened)> {
    let database = cluster::database().await?;
    // Both at once: the schema is made by one of them.
    let (a, b) = (Store::open(database.node("a"), NOW), Store::open(database.node("b"), NOW));
    let (a, b) = tokio::join!(a, b);
    let (a, b) = (a.expect("opens"), b.expect("opens"));
    equip(&a.store, &account("acme")).await;
    Some((database, a, b))
}

async fn without_limit(store: &Store) {
    let main = callwright_domain::TrunkId::new("main").unwrap();
    let own = Number::new(account("acme"), number(CALLER), main);
    store.put_number(Number { max_calls: u32::MAX, ..own }).await.unwrap();
}

/// What a table was when a plan was made says nothing about it a thousand calls later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_looks_at_tables_that_have_grown() {
    let Some((_database, a, b)) = pair().await else { return };
    without_limit(&a.store).await;
    let acme = account("acme");
    let admits = (0..300).map(|n| a.store.admit(admission(&acme, n), NOW));
    assert!(join_all(admits).await.into_iter().all(|admitted| admitted.is_ok()));
    // A session tells what it has changed when it ends, at the latest.
    a.store.close().await;
    let mut seen = BTreeSet::new();
    for _ in 0..5000 {
        seen.extend(b.store.keep_statistics().await.unwrap());
        if seen.contains("calls") && seen.contains("events") {
            break;
        }
    }
    assert!(seen.contains("calls") && seen.contains("events") && !seen.contains("agents"), "{seen:?}");
    assert!(b.store.keep_statistics().await.unwrap().iter().all(|table| table != "calls"), "once is enough");
}

/// How PostgreSQL sees to it that an event belongs to a call: once a session has a plan it keeps it while the table grows.
#[tokio::test]
async fn a_call_of_an_empty_database_is_found_by_its_key() {
    let Some((database, _a, _b)) = pair().await else { return };
    let belongs = "SELECT 1 FROM ONLY calls x WHERE account = $1 AND id = $2 FOR KEY SHARE OF x";
    let plan = database.plan_of(("text, text", belongs, "'acme', 'x'")).await;
    assert!(plan.contains("calls_id_key") || plan.contains("calls_pkey"), "{plan}");
}

/// 64 clients on each of two nodes, round after round: never a sixteenth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_of_a_number_holds_over_both() {
    let Some((_database, a, b)) = pair().await else { return };
    let acme = account("acme");
    for round in 0..15_u128 {
        let tasks = (0..128_u128).map(|n| {
            let store = if n % 2 == 0 { a.store.clone() } else { b.store.clone() };
            let request = admission(&acme, round * 128 + n + 1);
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
        assert_eq!(accepted.len(), 15, "round {round}");
        assert_eq!(b.reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 15);
        for id in accepted {
            a.store.finish(id, NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_repeats_on_both_make_one_call() {
    let Some((_database, a, b)) = pair().await else { return };
    let acme = account("acme");
    for round in 0..10_u128 {
        let tasks = (1..=100_u128).map(|n| {
            let store = if n % 2 == 0 { a.store.clone() } else { b.store.clone() };
            let idempotency = Idempotency { key: format!("key {round}"), body_hash: [1; 32] };
            let request = Admission { idempotency: Some(idempotency), ..admission(&acme, round * 1000 + n) };
            tokio::spawn(async move { store.admit(request, NOW).await.unwrap() })
        });
        let outcomes: Vec<Admitted> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Admitted::New).count(), 1, "round {round}");
        let calls = a.reader.calls(&acme, &CallFilter::default(), None, 100).await.unwrap().items;
        assert_eq!(calls.len(), usize::try_from(round).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_works_once_over_both() {
    let Some((_database, a, b)) = pair().await else { return };
    let tasks = (0..40).map(|n| {
        let store = if n % 2 == 0 { a.store.clone() } else { b.store.clone() };
        let key = KeyId::new("k").unwrap();
        tokio::spawn(async move { store.use_nonce(key, "n".into(), NOW, Duration::from_secs(900)).await.unwrap() })
    });
    assert_eq!(join_all(tasks).await.into_iter().filter(|used| *used.as_ref().unwrap()).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_claimed_by_one() {
    let Some((_database, a, b)) = pair().await else { return };
    without_limit(&a.store).await;
    for id in 1..=300_u128 {
        a.store.admit(admission(&account("acme"), id), NOW).await.unwrap();
    }
    let claim = |store: Store| async move {
        let mut mine = Vec::new();
        loop {
            let batch = store.claim_due(NOW, 7).await.unwrap();
            if batch.is_empty() {
                return mine;
            }
            mine.extend(batch.into_iter().map(|plan| plan.id));
        }
    };
    let (first, second) = tokio::join!(claim(a.store.clone()), claim(b.store.clone()));
    let all: BTreeSet<_> = first.iter().chain(&second).collect();
    assert_eq!((all.len(), first.len() + second.len()), (300, 300));
    assert!(!first.is_empty() && !second.is_empty());
}

/// A node that stops renewing is dead to the others: they end what it was dialling, and dial what it had only claimed.
/// When it wakes up it can neither dial nor write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_held_is_ended_by_another() {
    let Some((_database, a, b)) = pair().await else { return };
    let acme = account("acme");
    a.store.renew_lease(NOW, LEASE).await.unwrap();
    b.store.renew_lease(NOW, LEASE).await.unwrap();
    for id in 1..=3_u128 {
        a.store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    assert_eq!(a.store.claim_due(NOW, 10).await.unwrap().len(), 3);
    a.store.append(call(1), vec![(NOW, dialing(1)), (NOW, answered())]).await.unwrap();
    let owner = CallOwner { node: "a".into(), advertise_url: "http://a.example:8080".into() };
    assert_eq!(b.reader.owner(&acme, call(1)).await.unwrap(), Some(owner));
    // While the owner lives, its calls are nobody else's.
    assert_eq!(b.store.interrupted_calls(NOW).await.unwrap(), []);
    assert_eq!(b.store.claim_due(NOW, 10).await.unwrap(), []);
    assert!(matches!(b.store.append(call(1), vec![(NOW, dialing(2))]).await, Err(StoreError::NotOwner)));
    // Its lease runs out: before anybody has taken anything, it may not dial any more.
    a.store.renew_lease(NOW, Duration::ZERO).await.unwrap();
    assert!(matches!(a.store.append(call(2), vec![(NOW, dialing(1))]).await, Err(StoreError::NotOwner)));
    let taken = b.store.interrupted_calls(NOW).await.unwrap();
    assert_eq!(
        taken.iter().map(|call| (call.plan.id, call.state)).collect::<Vec<_>>(),
        [(call(1), CallState::Talking)]
    );
    assert_eq!(b.store.claim_due(NOW, 1).await.unwrap().iter().map(|plan| plan.id).collect::<Vec<_>>(), [call(2)]);
    // It wakes up and renews: what was taken stays taken, what was not is still its own.
    a.store.renew_lease(NOW, LEASE).await.unwrap();
    for id in [1, 2] {
        assert!(matches!(a.store.append(call(id), vec![(NOW, dialing(1))]).await, Err(StoreError::NotOwner)));
        let ended = a.store.finish(call(id), NOW, Ending::from(HangupCause::Cancelled)).await;
        assert!(matches!(ended, Err(StoreError::NotOwner)), "{ended:?}");
    }
    a.store.append(call(3), vec![(NOW, dialing(1))]).await.unwrap();
    b.store.finish(call(1), NOW, Ending::from(HangupCause::ServerRestarted)).await.unwrap();
    assert_eq!(a.reader.records(&acme, call(1)).await.unwrap().len(), 1);
    assert_eq!(a.reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 2);
}

/// Both ask at once for the channels of a trunk, round after round; and what a dead node held is free when its call has
/// ended, or is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channels_of_a_trunk_hold_over_both() {
    let Some((_database, a, b)) = pair().await else { return };
    let acme = account("acme");
    without_limit(&a.store).await;
    for node in [&a, &b] {
        node.store.renew_lease(NOW, LEASE).await.unwrap();
        for id in 0..32 {
            let id = id + if std::ptr::eq(node, &a) { 0 } else { 100 };
            node.store.admit(admission(&acme, id), NOW).await.unwrap();
        }
        assert_eq!(node.store.claim_due(NOW, 100).await.unwrap().len(), 32);
    }
    let mut held = Vec::new();
    for hold in 0..10 {
        let asks =
            (0..32).flat_map(|id| [(a.store.clone(), channel(id, hold)), (b.store.clone(), channel(100 + id, hold))]);
        let asks = asks.map(|(store, wanted)| {
            tokio::spawn(async move {
                let taken = store.take_channel(wanted.clone(), 10).await.unwrap();
                (store, wanted, taken)
            })
        });
        let answers = join_all(asks).await.into_iter().map(Result::unwrap);
        held = answers.filter(|(.., taken)| *taken).map(|(store, channel, _)| (store, channel)).collect();
        assert_eq!(held.len(), 10, "round {hold}");
        if hold < 9 {
            for (store, channel) in &held {
                store.give_channel_back(channel.clone()).await.unwrap();
            }
        }
    }
    // It dies with what it holds: one call was being dialled, the others were about to be.
    let of_a: Vec<_> = held.iter().filter(|(_, one)| (0..32).any(|id| call(id) == one.call)).collect();
    for (store, channel) in &held {
        if of_a.iter().all(|(_, one)| one != channel) {
            store.give_channel_back(channel.clone()).await.unwrap();
        }
    }
    let (free, mut last) = (10 - of_a.len(), 200);
    let mut fill = async |wanted: usize| {
        for _ in 0..wanted {
            last += 1;
            assert!(b.store.take_channel(channel(100, last), 10).await.unwrap());
        }
        assert!(!b.store.take_channel(channel(101, last), 10).await.unwrap());
    };
    fill(free).await;
    if let Some((_, dialled)) = of_a.first() {
        a.store.append(dialled.call, vec![(NOW, dialing(1))]).await.unwrap();
        a.store.renew_lease(NOW, Duration::ZERO).await.unwrap();
        fill(0).await;
        assert_eq!(b.store.claim_due(NOW, 100).await.unwrap().len(), 31);
        fill(of_a.len() - 1).await;
        assert_eq!(b.store.interrupted_calls(NOW).await.unwrap().len(), 1);
        fill(0).await;
        b.store.finish(dialled.call, NOW, Ending::from(HangupCause::ServerRestarted)).await.unwrap();
        fill(1).await;
    }
}

/// Whose campaign it is, the database's clock says: not that of a node which is an hour ahead, or behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_neither_steals_nor_leaves_a_campaign() {
    let Some((_database, a, b)) = pair().await else { return };
    a.store.renew_lease(NOW, LEASE).await.unwrap();
    campaigns::running(&a).await;
    assert_eq!(b.store.claim_campaigns(Moment(i64::MAX / 2)).await.unwrap(), 0, "its owner lives");
    a.store.renew_lease(NOW, Duration::ZERO).await.unwrap();
    assert_eq!(b.store.claim_campaigns(Moment(0)).await.unwrap(), 1, "its owner is dead");
}

/// A node that starts again does not wait for the lease of its earlier life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_takes_its_own_calls_at_once() {
    let Some((database, a, b)) = pair().await else { return };
    a.store.renew_lease(NOW, LEASE).await.unwrap();
    a.store.admit(admission(&account("acme"), 1), NOW).await.unwrap();
    a.store.claim_due(NOW, 10).await.unwrap();
    a.store.append(call(1), vec![(NOW, dialing(1))]).await.unwrap();
    // Another node's lease has run out; that one may only have been away as long as the database.
    a.store.admit(admission(&account("acme"), 2), NOW).await.unwrap();
    assert_eq!(b.store.claim_due(NOW, 10).await.unwrap().len(), 1);
    b.store.append(call(2), vec![(NOW, dialing(1))]).await.unwrap();
    b.store.renew_lease(NOW, Duration::ZERO).await.unwrap();
    let again = Store::open(database.node("a"), NOW).await.unwrap();
    assert_eq!(again.identity.epoch, 2);
    let ids = |taken: Vec<callwright_store::Interrupted>| taken.iter().map(|call| call.plan.id).collect::<Vec<_>>();
    assert_eq!(ids(again.store.left_behind(NOW).await.unwrap()), [call(1)]);
    assert_eq!(ids(again.store.interrupted_calls(NOW).await.unwrap()), [call(2)]);
    assert!(matches!(a.store.renew_lease(NOW, LEASE).await, Err(StoreError::NotOwner)));
    assert_eq!(b.store.interrupted_calls(NOW).await.unwrap(), []);
}

/// What a dead node had said to far ends that did not answer, another says again; the calls stay whose they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goodbyes_of_a_dead_node_are_said_by_another() {
    let Some((database, a, b)) = pair().await else { return };
    let acme = account("acme");
    a.store.renew_lease(NOW, LEASE).await.unwrap();
    a.store.admit(admission(&acme, 1), NOW).await.unwrap();
    a.store.claim_due(NOW, 10).await.unwrap();
    a.store.append(call(1), vec![(NOW, dialing(1)), (NOW, answered())]).await.unwrap();
    a.store.owe_goodbye((acme.clone(), call(1)), None).await.unwrap();
    a.store.finish(call(1), NOW, Ending::from(HangupCause::ApiHungUp)).await.unwrap();
    assert_eq!(b.store.interrupted_calls(NOW).await.unwrap(), [], "its owner lives");
    a.store.renew_lease(NOW, Duration::ZERO).await.unwrap();
    assert_eq!(b.store.left_behind(NOW).await.unwrap(), [], "another's");
    let owed = b.store.interrupted_calls(NOW).await.unwrap();
    assert_eq!(owed.iter().map(|call| (call.plan.id, call.state.is_ended())).collect::<Vec<_>>(), [(call(1), true)]);
    let owner = b.reader.owner(&acme, call(1)).await.unwrap().expect("owned");
    assert_eq!(owner.node, "a", "its recording lies there");
    assert_eq!(b.store.interrupted_calls(NOW).await.unwrap(), [], "ours from now on");
    // The node that was only away strikes out nothing that is another's by now.
    a.store.goodbye_said((acme.clone(), call(1))).await.unwrap();
    let again = Store::open(database.node("b"), NOW).await.unwrap();
    assert_eq!(again.store.left_behind(NOW).await.unwrap().len(), 1);
    again.store.goodbye_said((acme, call(1))).await.unwrap();
    let third = Store::open(database.node("b"), NOW).await.unwrap();
    assert_eq!(third.store.interrupted_calls(NOW).await.unwrap(), []);
}

/// A shared database that somebody uses, or has used, is not overwritten; what the configuration of the moved server wrote
/// there is no use of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_moves_to_an_empty_database_alone() {
    let Some(database) = cluster::database().await else { return };
    let (directory, acme) = (tempfile::tempdir().unwrap(), account("acme"));
    let old = Store::open(StoreSettings::directory(directory.path(), "a"), NOW).await.unwrap();
    equip(&old.store, &acme).await;
    old.store.close().await;
    let shared = database.node("a").shared.unwrap();
    let refused = async || move_to_shared(directory.path(), &shared).await.unwrap_err().to_string();
    let new = Store::open(database.node("b"), NOW).await.unwrap();
    equip(&new.store, &acme).await;
    let running = refused().await;
    assert!(running.contains("the server `b` runs"), "{running}");
    let denial = Denial { number: number("+4915112345678"), reason: String::from("asked") };
    new.store.deny(Listed::Of(acme.clone()), vec![denial.clone()], NOW).await.unwrap();
    new.store.renew_lease(NOW, Duration::ZERO).await.unwrap();
    let held = refused().await;
    assert!(held.contains("`denied`"), "{held}");
    assert!(new.store.allow(Listed::Of(acme.clone()), denial.number).await.unwrap());
    let other = callwright_domain::TrunkId::new("main").unwrap();
    new.store.put_number(Number::new(acme.clone(), number("+4930999999"), other)).await.unwrap();
    let held = refused().await;
    assert!(held.contains("`numbers`"), "{held}");
    assert!(new.store.delete_number(acme, number("+4930999999")).await.unwrap());
    new.store.close().await;
    move_to_shared(directory.path(), &shared).await.unwrap();
    assert!(undo_move(directory.path()).await.unwrap() && !undo_move(directory.path()).await.unwrap());
    Store::open(StoreSettings::directory(directory.path(), "a"), NOW).await.expect("as it was");
}

/// Everything a stopped node had is in the shared database afterwards, under the same ids; a running one is refused, and
/// so is a database that holds calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_moves_unchanged() {
    let Some(database) = cluster::database().await else { return };
    let (directory, acme) = (tempfile::tempdir().unwrap(), account("acme"));
    let old = Store::open(StoreSettings::directory(directory.path(), "a"), NOW).await.unwrap();
    equip(&old.store, &acme).await;
    for id in 1..=3_u128 {
        let idempotency = Idempotency { key: format!("key \t\\N {id}"), body_hash: [1; 32] };
        let request = Admission { idempotency: Some(idempotency), ..admission(&acme, id) };
        old.store.admit(request, NOW).await.unwrap();
    }
    old.store.claim_due(NOW, 2).await.unwrap();
    let trouble = CallEvent::Trouble { part: "ears".into(), detail: "a\tb\nc\\N\\.\r\u{1f4de}".into() };
    old.store.append(call(1), vec![(NOW, dialing(1)), (NOW, trouble)]).await.unwrap();
    old.store.finish(call(2), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    let shared = database.node("a").shared.unwrap();
    let refused = move_to_shared(directory.path(), &shared).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }), "{refused}");
    let seen = async |reader: &Reader| {
        let calls = reader.calls(&acme, &CallFilter::default(), None, 10).await.unwrap();
        let mut journals = Vec::new();
        for id in 1..=3 {
            journals
                .push((reader.journal(&acme, call(id), 0, 10).await.unwrap(), reader.records(&acme, call(id)).await));
        }
        format!("{calls:?} {journals:?} {:?}", reader.numbers(&acme).await.unwrap())
    };
    let before = seen(&old.reader).await;
    old.store.close().await;
    let moved = move_to_shared(directory.path(), &shared).await.unwrap();
    assert!(moved.tables.contains(&("calls".to_owned(), 3)), "{moved:?}");
    let refused = move_to_shared(directory.path(), &shared).await.unwrap_err();
    assert!(matches!(refused, StoreError::Moved { .. }), "{refused}");
    // Whoever went on with the old one would dial what is the new one's.
    let refused = Store::open(StoreSettings::directory(directory.path(), "a"), NOW).await.err().expect("marked");
    let StoreError::Moved { destination, .. } = &refused else { panic!("{refused}") };
    let name = destination.rsplit('/').next().unwrap();
    assert!(!destination.contains('@') && shared.url.expose().contains(&format!("/{name}")), "{destination}");
    assert!(refused.to_string().contains("--undo"), "{refused}");
    let new = Store::open(database.node("a"), NOW).await.unwrap();
    assert_eq!(new.identity.epoch, 2);
    assert_eq!(seen(&new.reader).await, before);
    assert_eq!(new.store.interrupted_calls(NOW).await.unwrap().len(), 1);
    assert_eq!(new.store.claim_due(NOW, 10).await.unwrap().len(), 1);
    let idempotency = Idempotency { key: "key \t\\N 3".into(), body_hash: [1; 32] };
    let again = Admission { idempotency: Some(idempotency), ..admission(&acme, 9) };
    assert!(matches!(new.store.admit(again, NOW).await.unwrap(), Admitted::Replayed { call: id, .. } if id == call(3)));
}
