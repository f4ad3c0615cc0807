//! What is found out about calls after their end: who gets a row, who takes it, and what is kept.

use crate::suite::{NOW, account, admission, answered, call, dialing, equip, later};
use callwright_domain::agent::Switch;
use callwright_domain::extract::Findings;
use callwright_domain::{AccountId, HangupCause};
use callwright_store::{Ending, ExtractOrder, ExtractOutcome, ExtractState, Opened, Store};

/// Whether a call's agent wants to know anything, and whether the callee answers.
async fn over(store: &Store, owner: &AccountId, id: u128, wants: Switch, answer: bool) {
    let mut request = admission(owner, id);
    request.plan.agent.extract.summary = wants;
    store.admit(request, NOW).await.unwrap();
    store.append(call(id), vec![(later(1), dialing(1))]).await.unwrap();
    if answer {
        store.append(call(id), vec![(later(2), answered())]).await.unwrap();
    }
    store.finish(call(id), later(10), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
}

fn order(owner: &AccountId, id: u128, tries: u32) -> ExtractOrder {
    ExtractOrder { account: owner.clone(), call: call(id), tries }
}

pub(crate) async fn a_call_that_wants_it_is_looked_into_once(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    over(&store, &acme, 1, Switch::On, true).await;
    over(&store, &acme, 2, Switch::Off, true).await;
    over(&store, &acme, 3, Switch::On, false).await;
    let waiting = reader.findings(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.updated), (ExtractState::Waiting, later(10)));
    for id in [2, 3] {
        assert_eq!(reader.findings(&acme, call(id)).await.unwrap(), None, "call {id}");
    }
    assert_eq!(reader.findings(&account("evil"), call(1)).await.unwrap(), None);
    let (now, lease) = (later(100), later(200));
    assert_eq!(store.claim_extracts(later(9), lease, 5).await.unwrap(), []);
    assert_eq!(store.claim_extracts(now, lease, 5).await.unwrap(), [order(&acme, 1, 1)]);
    assert_eq!(store.claim_extracts(now, lease, 5).await.unwrap(), [], "it is taken");
    let findings = Findings { mood: Some("calm".into()), ..Findings::default() };
    let found = ExtractOutcome::Found(findings.clone());
    assert!(store.settle_extract(order(&acme, 1, 1), found.clone(), later(150)).await.unwrap());
    let kept = reader.findings(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.findings, kept.updated), (ExtractState::Done, findings, later(150)));
    assert!(!store.settle_extract(order(&acme, 1, 1), found, later(160)).await.unwrap(), "settled is settled");
    assert_eq!(store.claim_extracts(later(900), later(999), 5).await.unwrap(), []);
}

pub(crate) async fn what_was_begun_is_given_out_again(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    for id in 1..=3 {
        over(&store, &acme, id, Switch::On, true).await;
    }
    assert_eq!(store.claim_extracts(later(100), later(200), 2).await.unwrap().len(), 2);
    assert_eq!(store.claim_extracts(later(100), later(200), 2).await.unwrap().len(), 1);
    // Whoever took them died: their leases are out, and who comes late does not count.
    let again = store.claim_extracts(later(200), later(300), 5).await.unwrap();
    assert_eq!(again.iter().map(|order| order.tries).collect::<Vec<_>>(), [2, 2, 2]);
    let late = ExtractOutcome::GivenUp("late".into());
    assert!(!store.settle_extract(order(&acme, 1, 1), late, later(210)).await.unwrap());
    let later_on = ExtractOutcome::Later(later(1000), "no answer".into());
    assert!(store.settle_extract(order(&acme, 1, 2), later_on, later(220)).await.unwrap());
    let gone = ExtractOutcome::GivenUp("no model".into());
    assert!(store.settle_extract(order(&acme, 2, 2), gone, later(220)).await.unwrap());
    let kept = reader.findings(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.detail.as_str()), (ExtractState::Waiting, "no answer"));
    let failed = reader.findings(&acme, call(2)).await.unwrap().unwrap();
    assert_eq!((failed.state, failed.detail.as_str()), (ExtractState::Failed, "no model"));
    // The next life of a node takes up at once what its last was at.
    assert_eq!(store.release_extracts(later(250)).await.unwrap(), 2);
    let taken = store.claim_extracts(later(250), later(300), 5).await.unwrap();
    assert_eq!(taken.iter().map(|order| order.tries).collect::<Vec<_>>(), [3, 3]);
}
