//! Calls that are met in browsers: they wait for nobody's dialler, are taken once, end when nobody comes, and count.

use crate::suite::{NOW, account, admission, answered, call, equip, later, plan};
use callwright_domain::agent::Switch;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{
    AccountId, BrowserPlace, CallEvent, CallPlan, CallState, ChannelName, HangupCause, Pii, Refusal, Way,
};
use callwright_store::{Account, Admission, AdmitError, Admitted, CallFilter, ChannelApp, Ending, Opened, StoreError};
use std::time::Duration;

/// How long these calls wait, in milliseconds.
const WAIT: i64 = 60_000;

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

fn met(owner: &AccountId, id: u128) -> Admission {
    let place = BrowserPlace {
        channel: name(&format!("room{id}")),
        user: Some(name("ann")),
        agent_user: name("agent"),
        joins_until: later(WAIT),
        returns_within_ms: 0,
        mirror: None,
    };
    Admission { plan: CallPlan { way: Way::Browser(place), ..plan(owner, id) }, ..admission(owner, id) }
}

/// Neither numbers nor trunks are needed, and no dialler gets it.
pub(crate) async fn a_call_that_is_met_waits_to_be_joined(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    assert_eq!(store.admit(met(&acme, 1), NOW).await.unwrap(), Admitted::New);
    assert_eq!(store.claim_due(later(1), 10).await.unwrap(), []);
    let view = reader.call_in_channel(&acme, &name("room1")).await.unwrap().unwrap();
    assert_eq!((view.state, view.plan), (CallState::Queued, met(&acme, 1).plan));
    assert_eq!(reader.call_in_channel(&account("other"), &name("room1")).await.unwrap(), None);
    assert_eq!(reader.call_in_channel(&acme, &name("room2")).await.unwrap(), None);
    for (telephone, count) in [(Switch::Off, 1), (Switch::On, 0)] {
        let filter = CallFilter { telephone, ..CallFilter::default() };
        assert_eq!(reader.count_calls(&acme, &filter).await.unwrap(), count, "it is no telephone call");
    }
}

pub(crate) async fn one_that_joins_takes_the_call(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    store.admit(met(&acme, 1), NOW).await.unwrap();
    assert_eq!(store.claim_joined(account("other"), call(1), later(1)).await.unwrap(), None);
    assert_eq!(store.claim_joined(acme.clone(), call(1), later(WAIT)).await.unwrap(), None, "too late");
    let at_once = (0..8).map(|_| store.claim_joined(acme.clone(), call(1), later(1)));
    let taken = futures_util::future::join_all(at_once).await;
    assert_eq!(taken.iter().filter(|taken| matches!(taken, Ok(Some(_)))).count(), 1);
    // Given back, because the browser's offer was of no use.
    store.unclaim(vec![call(1)]).await.unwrap();
    assert_eq!(store.claim_joined(acme.clone(), call(1), later(2)).await.unwrap(), Some(met(&acme, 1).plan));
    let joined = CallEvent::Joined { user: Pii::new("ann".into()) };
    store.append(call(1), vec![(later(3), joined), (later(4), answered())]).await.unwrap();
    assert_eq!(store.claim_joined(acme.clone(), call(1), later(5)).await.unwrap(), None, "it is joined");
    store.finish(call(1), later(1004), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    let record = &reader.records(&acme, call(1)).await.unwrap()[0];
    assert_eq!((record.attempt, record.cause, record.talked), (1, HangupCause::CalleeHungUp, Duration::from_secs(1)));
    assert_eq!(store.claim_joined(acme, call(1), later(5)).await.unwrap(), None, "it is over");
}

pub(crate) async fn who_is_not_joined_in_time_is_given_out(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    for id in 1..=3 {
        store.admit(met(&acme, id), NOW).await.unwrap();
    }
    store.claim_joined(acme.clone(), call(2), later(1)).await.unwrap().unwrap();
    store.finish(call(3), later(1), Ending::from(HangupCause::Cancelled)).await.unwrap();
    assert_eq!(reader.unjoined(later(WAIT - 1)).await.unwrap(), []);
    assert_eq!(reader.unjoined(later(WAIT)).await.unwrap(), [(acme.clone(), call(1))]);
    // The second is being joined; a minute later it is only left of a node that died over it.
    assert_eq!(reader.unjoined(later(2 * WAIT)).await.unwrap().len(), 2);
    store.finish(call(1), later(WAIT), Ending::from(HangupCause::NotJoined)).await.unwrap();
    let view = reader.call(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!((view.state, view.attempts), (CallState::Ended(HangupCause::NotJoined), 0));
}

/// Of several that ask at once for one channel one gets it, and the next when that one's call is over.
pub(crate) async fn a_channel_has_one_call_that_is_not_over(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let in_room = |owner: &AccountId, id: u128| {
        let mut request = met(owner, id);
        let Way::Browser(place) = &mut request.plan.way else { unreachable!("it is met") };
        place.channel = name("room");
        request
    };
    let taken =
        |outcome: &Result<Admitted, AdmitError>| matches!(outcome, Err(AdmitError::Store(StoreError::Taken { .. })));
    for round in 0..4 {
        let at_once = (1..=8).map(|id| store.admit(in_room(&acme, round * 10 + id), NOW));
        let outcomes = futures_util::future::join_all(at_once).await;
        assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Ok(Admitted::New))).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| taken(outcome)).count(), 7, "{outcomes:?}");
        let view = reader.call_in_channel(&acme, &name("room")).await.unwrap().unwrap();
        assert!(!view.state.is_ended());
        assert!(taken(&store.admit(in_room(&acme, round * 10 + 9), NOW).await));
        // Others have a room of the same name.
        let other = account(&format!("other{round}"));
        assert_eq!(store.admit(in_room(&other, 1000 + round), NOW).await.unwrap(), Admitted::New);
        store.finish(view.plan.id, later(1), Ending::from(HangupCause::NotJoined)).await.unwrap();
    }
}

/// The account's limit and the agent's, from acceptance to the end, beside calls that are dialled.
pub(crate) async fn limits_count_calls_that_are_met(opened: Opened) {
    let (store, acme) = (opened.store, account("acme"));
    equip(&store, &acme).await;
    store.put_account(Account { id: acme.clone(), name: String::new(), max_calls: 2 }).await.unwrap();
    store.admit(met(&acme, 1), NOW).await.unwrap();
    store.admit(admission(&acme, 2), NOW).await.unwrap();
    let refused = async |request: Admission| match store.admit(request, NOW).await.unwrap_err() {
        AdmitError::Refused(why) => why,
        error => panic!("{error}"),
    };
    assert_eq!(refused(met(&acme, 3)).await, Refusal::AccountBusy);
    assert_eq!(refused(admission(&acme, 3)).await, Refusal::AccountBusy);
    store.finish(call(1), later(1), Ending::from(HangupCause::NotJoined)).await.unwrap();
    let rules: RulesPatch = serde_json::from_str(r#"{"agent_calls": 1}"#).unwrap();
    store.put_rules(acme.clone(), None, rules, NOW).await.unwrap();
    assert_eq!(refused(met(&acme, 3)).await, Refusal::AgentBusy);
    store.finish(call(2), later(1), Ending::from(HangupCause::Cancelled)).await.unwrap();
    assert_eq!(store.admit(met(&acme, 3), NOW).await.unwrap(), Admitted::New);
}

pub(crate) async fn an_account_has_one_application(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let app = |id: &str, owner: &str| ChannelApp { id: id.into(), account: account(owner), key: Pii::new("k".into()) };
    assert_eq!(reader.channel_app_of(&acme).await.unwrap(), None);
    assert_eq!(store.channel_app(app("a1", "acme"), NOW).await.unwrap(), app("a1", "acme"));
    assert_eq!(store.channel_app(app("a2", "acme"), NOW).await.unwrap(), app("a1", "acme"), "the first stands");
    assert!(store.channel_app(app("a1", "other"), NOW).await.is_err(), "the name is another's");
    assert_eq!(reader.channel_app("a1").await.unwrap(), Some(app("a1", "acme")));
    assert_eq!(reader.channel_app_of(&acme).await.unwrap(), Some(app("a1", "acme")));
    assert_eq!(reader.channel_app("a2").await.unwrap(), None);
}
