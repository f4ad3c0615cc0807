//! Messages to endpoints: written with the event, in order, taken once, settled, told again; nobody else's are seen.

use super::{NOW, account, admission, call, dialing, equip, later};
use callwright_domain::webhook::{Announcement, Endpoint, History, MOST_TRIES, Order, Status, Topics, Whose};
use callwright_domain::{AccountId, AgentId, HangupCause, Moment, Origin, Pii, Topic, Webhook, WebhookId};
use callwright_store::outbox::{Attempt, Content, Fate, Pending, Replay, Settlement, Standing};
use callwright_store::{Ending, Opened, Store};
use std::time::Duration;

pub(crate) fn hook(name: &str) -> WebhookId {
    WebhookId::new(name).unwrap()
}

pub(crate) fn webhook(owner: &AccountId, name: &str, whose: Whose) -> Webhook {
    let endpoint = Endpoint {
        url: Pii::new("https://example.com/".to_owned()),
        description: String::new(),
        secrets: vec![Pii::new("whsec_x".to_owned())],
        headers: vec![("x-key".to_owned(), Pii::new("y".to_owned()))],
        origin: Origin { dialect: "native".into(), memo: "{}".into() },
        max_tries: MOST_TRIES,
        order: Order::PerCall,
        history: History::AtEnd,
    };
    Webhook {
        id: hook(name),
        account: owner.clone(),
        whose,
        endpoint,
        topics: Topics::All,
        status: Status::Enabled,
        failing_since: None,
        created: NOW,
        updated: NOW,
    }
}

fn settlement(fate: Fate, at: Moment) -> Settlement {
    let attempt = Attempt { at, took: Duration::from_millis(12), status: Some(200), detail: String::new() };
    Settlement { attempt, fate, lease: later(60_000), failing_before: Moment(0) }
}

async fn claim(store: &Store, name: &str, room: u32, now: Moment) -> Vec<Pending> {
    store.claim_outbox(vec![(hook(name), room)], now, now.after(Duration::from_secs(60))).await.unwrap()
}

fn seqs(pending: &[Pending]) -> Vec<u64> {
    let seq = |one: &Pending| match one.content {
        Content::Event { seq, .. } => seq,
        Content::Announcement(_) => 0,
    };
    pending.iter().map(seq).collect()
}

/// What is told is read whole, as the parts of it are read alone.
pub(crate) async fn what_a_message_is_about_is_read_whole(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.put_webhook(webhook(&acme, "all", Whose::Account)).await.unwrap();
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    store.append(call(1), vec![(later(5), dialing(1))]).await.unwrap();
    let found = reader.to_tell(&acme, &hook("all"), (call(1), 2)).await.unwrap();
    assert_eq!(found.webhook, reader.webhook(&acme, &hook("all")).await.unwrap());
    let (view, recorded) = found.happened.expect("both are there");
    assert_eq!(Some(view), reader.call(&acme, call(1)).await.unwrap());
    assert_eq!(vec![recorded], reader.journal(&acme, call(1), 1, 1).await.unwrap());
    let gone = reader.to_tell(&acme, &hook("none"), (call(1), 3)).await.unwrap();
    assert!(gone.webhook.is_none() && gone.happened.is_none());
    let theirs = reader.to_tell(&account("evil"), &hook("all"), (call(1), 2)).await.unwrap();
    assert!(theirs.webhook.is_none() && theirs.happened.is_none());
}

/// Tries that were planned, messages that were written and leases that were taken while the clock was a day ahead.
pub(crate) async fn a_clock_that_was_ahead_makes_nobody_wait(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.put_webhook(webhook(&acme, "all", Whose::Account)).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    let ahead = NOW.after(day);
    for id in 1..=3 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    let claimed = claim(&store, "all", 2, ahead).await;
    let again = settlement(Fate::Later(ahead.after(Duration::from_secs(300))), ahead);
    store.settle_outbox(claimed[0].clone(), again, ahead).await.unwrap();
    let mut late = admission(&acme, 4);
    late.plan.created = ahead;
    store.admit(late, ahead).await.unwrap();
    assert_eq!(store.mend_outbox(NOW, later(60_000)).await.unwrap(), 3);
    assert_eq!(store.mend_outbox(NOW, later(60_000)).await.unwrap(), 0, "nothing is mended twice");
    let page = reader.deliveries(&acme, &hook("all"), None, None, 9).await.unwrap();
    let mut due: Vec<_> = page.items.iter().map(|item| item.due.unwrap().millis() - NOW.millis()).collect();
    due.sort_unstable();
    assert_eq!(due, [0, 0, 60_000, 300_000]);
    assert_eq!(claim(&store, "all", 9, later(300_000)).await.len(), 4);
}

pub(crate) async fn messages_come_with_their_events_in_order(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.put_webhook(webhook(&acme, "all", Whose::Account)).await.unwrap();
    store.put_webhook(webhook(&acme, "desk", Whose::Agent(AgentId::new("desk").unwrap()))).await.unwrap();
    store.put_webhook(webhook(&acme, "other", Whose::Agent(AgentId::new("other").unwrap()))).await.unwrap();
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    store.append(call(1), vec![(later(1), dialing(1))]).await.unwrap();
    store.finish(call(1), later(2), Ending::from(HangupCause::Busy)).await.unwrap();
    let mut due = reader.outbox_due(later(2)).await.unwrap();
    due.sort();
    assert_eq!(due, [hook("all"), hook("desk")]);
    assert_eq!(reader.outbox_due(Moment(0)).await.unwrap(), []);

    let first = claim(&store, "all", 8, later(5)).await;
    assert_eq!(seqs(&first), [1], "only the first of a call");
    assert_eq!(claim(&store, "all", 8, later(5)).await, [], "and only once");
    let second = store.settle_outbox(first[0].clone(), settlement(Fate::Heard, later(6)), later(6)).await.unwrap();
    let second = second.next.expect("the next of the call");
    assert_eq!(seqs(std::slice::from_ref(&second)), [2]);
    // It fails, and is given out again when it is due, with a try more.
    let failed = store.settle_outbox(second, settlement(Fate::Later(later(900)), later(7)), later(7)).await.unwrap();
    assert_eq!((failed.next, failed.disabled), (None, None));
    assert_eq!(claim(&store, "all", 8, later(899)).await, []);
    let again = claim(&store, "all", 8, later(900)).await;
    assert_eq!((seqs(&again), again[0].tries), (vec![2], 1));
    // Whoever tells it dies: after the lease it is anybody's.
    assert_eq!(claim(&store, "all", 8, later(60_899)).await, []);
    let again = claim(&store, "all", 8, later(60_900)).await;
    assert_eq!(seqs(&again), [2]);
    let third = store.settle_outbox(again[0].clone(), settlement(Fate::GivenUp, later(8)), later(8)).await.unwrap();
    assert_eq!(seqs(&[third.next.expect("given up gives way")]), [3]);
    let tries = reader.attempts(&acme, &hook("all"), &again[0].message).await.unwrap();
    assert_eq!(tries.len(), 2);
}

pub(crate) async fn settled_messages_are_listed_and_replayed(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.put_webhook(webhook(&acme, "all", Whose::Account)).await.unwrap();
    for id in 1..=5 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    for (at, pending) in claim(&store, "all", 4, NOW).await.into_iter().enumerate() {
        let fate = if at == 0 { Fate::GivenUp } else { Fate::Heard };
        store.settle_outbox(pending, settlement(fate, NOW), later(1)).await.unwrap();
    }
    let mut listed = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = reader.deliveries(&acme, &hook("all"), None, cursor.as_deref(), 2).await.unwrap();
        listed.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let standing = |standing| listed.iter().filter(|one| one.standing == standing).count();
    assert_eq!((standing(Standing::Delivered), standing(Standing::Failed), standing(Standing::Pending)), (3, 1, 1));
    let failed = reader.deliveries(&acme, &hook("all"), Some(Standing::Failed), None, 10).await.unwrap().items;
    assert_eq!(failed.len(), 1);
    let delivered = listed.iter().find(|one| one.standing == Standing::Delivered).expect("three of them");
    for (which, count) in [
        (Replay::FailedSince(later(1)), 0),
        (Replay::FailedSince(NOW), 1),
        (Replay::FailedSince(NOW), 0),
        (Replay::One(delivered.message.clone()), 1),
        (Replay::One("msg_none".to_owned()), 0),
    ] {
        let replayed = store.replay_outbox(acme.clone(), hook("all"), which.clone(), later(2)).await.unwrap();
        assert_eq!(replayed, count, "{which:?}");
    }
    let again = claim(&store, "all", 8, later(3)).await;
    assert_eq!(again.len(), 3);
    assert!(again.iter().all(|one| one.tries == 0), "a replay begins the schedule anew");
    assert_eq!(store.purge_outbox(later(1)).await.unwrap(), 2, "what is settled and old goes, the rest stays");
}

pub(crate) async fn endpoints_are_switched_off_and_announced(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    store.put_webhook(webhook(&acme, "bad", Whose::Account)).await.unwrap();
    let good = Webhook { topics: Topics::Only(vec![Topic::WebhookDisabled]), ..webhook(&acme, "good", Whose::Account) };
    store.put_webhook(good).await.unwrap();
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    let pending = claim(&store, "bad", 1, NOW).await;
    let failing = Settlement { failing_before: later(-1), ..settlement(Fate::Later(later(5)), NOW) };
    let first = store.settle_outbox(pending[0].clone(), failing.clone(), NOW).await.unwrap();
    assert_eq!(first.disabled, None);
    let since = reader.webhook(&acme, &hook("bad")).await.unwrap().unwrap().failing_since;
    assert_eq!(since, Some(NOW));
    let pending = claim(&store, "bad", 1, later(5)).await;
    let longer = Settlement { failing_before: later(1), ..failing };
    let second = store.settle_outbox(pending[0].clone(), longer, later(5)).await.unwrap();
    assert_eq!(second.disabled, Some(Status::Failing));
    let told = claim(&store, "good", 8, later(9)).await;
    assert_eq!((told.len(), told[0].topic), (1, Topic::WebhookDisabled));
    store.admit(admission(&acme, 2), NOW).await.unwrap();
    assert_eq!(reader.deliveries(&acme, &hook("bad"), None, None, 10).await.unwrap().items.len(), 1, "told no more");
    let news = Announcement {
        agent: None,
        account: acme.clone(),
        topic: Topic::WebhookDisabled,
        id: "once".into(),
        at: NOW,
        body: serde_json::json!({"a": 1}),
    };
    store.announce(news.clone(), later(10)).await.unwrap();
    store.announce(news, later(11)).await.unwrap();
    let told = claim(&store, "good", 8, later(12)).await;
    assert_eq!(told.len(), 1, "an announcement is made once");
    assert_eq!(told[0].content, Content::Announcement(serde_json::json!({"a": 1})));
}

pub(crate) async fn another_account_hears_and_sees_nothing(opened: Opened) {
    let (store, reader, acme, evil) = (opened.store, opened.reader, account("acme"), account("evil"));
    equip(&store, &acme).await;
    store.put_webhook(webhook(&acme, "ours", Whose::Account)).await.unwrap();
    store.put_webhook(webhook(&evil, "theirs", Whose::Account)).await.unwrap();
    assert!(store.put_webhook(webhook(&evil, "ours", Whose::Account)).await.is_err(), "an id is one account's");
    store.admit(admission(&acme, 1), NOW).await.unwrap();
    assert_eq!(reader.outbox_due(NOW).await.unwrap(), [hook("ours")]);
    let ours = claim(&store, "ours", 8, NOW).await;
    store.settle_outbox(ours[0].clone(), settlement(Fate::GivenUp, NOW), NOW).await.unwrap();
    assert_eq!(reader.webhook(&evil, &hook("ours")).await.unwrap(), None);
    assert_eq!(reader.webhooks(&evil, None).await.unwrap().len(), 1);
    assert_eq!(reader.deliveries(&evil, &hook("ours"), None, None, 10).await.unwrap().items, []);
    assert_eq!(reader.attempts(&evil, &hook("ours"), &ours[0].message).await.unwrap(), []);
    assert_eq!(reader.happened(&evil, (Moment(0), call(0), 0), 10).await.unwrap(), []);
    assert_eq!(reader.happened(&acme, (Moment(0), call(0), 0), 10).await.unwrap().len(), 1);
    let replayed = store.replay_outbox(evil.clone(), hook("ours"), Replay::FailedSince(NOW), NOW).await.unwrap();
    assert_eq!(replayed, 0);
    assert!(!store.delete_webhook(evil, hook("ours")).await.unwrap());
    assert!(store.delete_webhook(acme.clone(), hook("ours")).await.unwrap());
    assert_eq!(reader.deliveries(&acme, &hook("ours"), None, None, 10).await.unwrap().items, []);
}

pub(crate) async fn a_call_brings_its_own_endpoint_or_neither_exists(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let own = |id: u128| Some(webhook(&acme, &format!("own{id}"), Whose::Call(call(id))));
    let refused = callwright_store::Admission { endpoint: own(1), ..admission(&acme, 1) };
    assert!(store.admit(refused, NOW).await.is_err(), "no number yet");
    assert_eq!(reader.webhook(&acme, &hook("own1")).await.unwrap(), None);
    equip(&store, &acme).await;
    for id in [1, 2] {
        let accepted = callwright_store::Admission { endpoint: own(id), ..admission(&acme, id) };
        store.admit(accepted, NOW).await.unwrap();
    }
    let told = claim(&store, "own1", 8, NOW).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].content, Content::Event { call: call(1), seq: 1 });
    assert_eq!(reader.webhooks(&acme, None).await.unwrap(), []);
    assert_eq!(reader.webhooks(&acme, Some(&Whose::Call(call(2)))).await.unwrap().len(), 1);
}
