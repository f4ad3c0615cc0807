//! What all nodes take from together: never more than a second has, and turns as far apart as they are to be.

use super::{NOW, account, admission, call, dialing, equip, later};
use callwright_domain::{HangupCause, TrunkId};
use callwright_store::{Channel, Ending, Opened, Turns};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) async fn a_second_grants_no_more_than_it_has(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    let tasks = (0..64_u32).map(|task| {
        let (store, share) = (store.clone(), (acme.clone(), String::from("key k1")));
        tokio::spawn(async move { store.take_share(share, 20, 1 + task % 3, NOW).await.unwrap() })
    });
    // A shared database goes by its own clock, and may come to the next second meanwhile.
    let mut seconds: BTreeMap<i64, u32> = BTreeMap::new();
    for share in join_all(tasks).await.into_iter().map(Result::unwrap) {
        assert!(share.left <= Duration::from_secs(1), "{share:?}");
        *seconds.entry(share.second).or_default() += share.granted;
    }
    assert!(seconds.values().all(|granted| *granted <= 20), "{seconds:?}");
    // What is left is granted though it is less than was wanted; two questions may fall into two seconds, but not always.
    let mut rest = None;
    for _ in 0..100 {
        let share = (acme.clone(), String::from("key k2"));
        let first = store.take_share(share.clone(), 20, 15, NOW).await.unwrap();
        let second = store.take_share(share, 20, 15, NOW).await.unwrap();
        if (first.second, first.granted) == (second.second, 15) {
            rest = Some(second.granted);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(rest, Some(5));
    let others = (account("evil"), String::from("key k1"));
    assert_eq!(store.take_share(others, 3, 9, NOW).await.unwrap().granted, 3, "another account's share is its own");
}

pub(crate) async fn turns_are_as_far_apart_as_they_are_to_be(opened: Opened) {
    let (store, acme, trunk) = (opened.store, account("acme"), TrunkId::new("main").unwrap());
    let apart = Duration::from_millis(300);
    let began = std::time::Instant::now();
    let tasks = (0..20).map(|_| {
        let (store, acme, trunk) = (store.clone(), acme.clone(), trunk.clone());
        tokio::spawn(async move { store.take_turn(acme, Turns::Trunk(trunk), apart, NOW).await.unwrap() })
    });
    let mut waits: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    waits.sort_unstable();
    // By the clock of a shared database some asked later than others, but nobody later than this.
    let late = began.elapsed();
    for (turn, wait) in (0..).map(|place| apart * place).zip(&waits) {
        assert!(wait.abs_diff(turn) <= late, "{turn:?}: {waits:?}");
    }
    let other = store.take_turn(acme, Turns::Trunk(TrunkId::new("other").unwrap()), apart, later(0)).await.unwrap();
    assert_eq!(other, Duration::ZERO, "another trunk has its own turns");
}

/// A channel of the trunk [`equip`] makes.
pub(crate) fn channel(id: u128, hold: i64) -> Channel {
    Channel { account: account("acme"), trunk: TrunkId::new("main").unwrap(), call: call(id), hold }
}

pub(crate) async fn the_channels_of_a_trunk_are_no_more_than_it_has(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    for id in 0..15 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    // Their channels are asked for at once, and twice each.
    assert_eq!(store.claim_due(NOW, 64).await.unwrap().len(), 15);
    let asked = |hold: i64| {
        (0..15).map(move |id| channel(id, hold)).map(|wanted| {
            let store = store.clone();
            tokio::spawn(async move { (wanted.clone(), store.take_channel(wanted, 7).await.unwrap()) })
        })
    };
    let answers = join_all(asked(1).chain(asked(2))).await.into_iter().map(Result::unwrap);
    let taken: Vec<Channel> = answers.filter(|(_, taken)| *taken).map(|(channel, _)| channel).collect();
    assert_eq!(taken.len(), 7);
    assert!(store.take_channel(taken[0].clone(), 7).await.unwrap(), "what it has already");
    let other = Channel { trunk: TrunkId::new("other").unwrap(), ..taken[0].clone() };
    assert!(store.take_channel(other, 1).await.unwrap(), "another trunk has its own");
    // One comes back, and one call more gets it.
    let free = (0..15).map(|id| channel(id, 3)).find(|one| taken.iter().all(|taken| taken.call != one.call)).unwrap();
    assert!(!store.take_channel(free.clone(), 7).await.unwrap());
    store.give_channel_back(taken[1].clone()).await.unwrap();
    store.give_channel_back(taken[1].clone()).await.unwrap();
    assert!(store.take_channel(free.clone(), 7).await.unwrap());
    assert!(!store.take_channel(channel(taken[1].call.bits(), 4), 7).await.unwrap());
}

/// Whoever cannot give a channel back gives it back by ending, or by losing the call before it was dialled.
pub(crate) async fn a_channel_goes_with_its_call(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    for id in 1..=3 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    store.claim_due(NOW, 10).await.unwrap();
    store.append(call(1), vec![(NOW, dialing(1))]).await.unwrap();
    assert!(store.take_channel(channel(1, 1), 2).await.unwrap());
    assert!(store.take_channel(channel(2, 1), 2).await.unwrap());
    assert!(!store.take_channel(channel(3, 1), 2).await.unwrap(), "one is dialled, one is about to be");
    store.finish(call(1), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    assert!(store.take_channel(channel(3, 1), 2).await.unwrap(), "the end is enough");
    assert!(!store.take_channel(channel(3, 2), 2).await.unwrap());
    store.unclaim(vec![call(2)]).await.unwrap();
    assert!(store.take_channel(channel(3, 2), 2).await.unwrap(), "it was nobody's any more");
    assert!(!store.take_channel(channel(2, 2), 2).await.unwrap());
}
