//! Written messages: kept in order, listed by thread and by person, removed, and nobody else's.

use crate::suite::outbox::{hook, webhook};
use crate::suite::{NOW, account};
use callwright_domain::chat::{Archive, Author, ChatMessage, MessageKind, UserId};
use callwright_domain::webhook::{Announcement, Whose};
use callwright_domain::{AccountId, AgentId, Moment, Pii, ThreadId, Topic};
use callwright_store::{First, Opened, Reader, StoreError, ThreadKey, ThreadSpan};
use std::time::Duration;

const ALWAYS: ThreadSpan = ThreadSpan { from: Moment(0), until: Moment(i64::MAX), first: First::Newest };

/// The newest messages of a thread within a span.
async fn listed(reader: &Reader, owner: &AccountId, name: &str, span: ThreadSpan, limit: u32) -> Vec<ChatMessage> {
    let key = ThreadKey { account: owner.clone(), thread: thread(name) };
    reader.thread_messages(&key, span, None, limit).await.unwrap()
}

fn thread(name: &str) -> ThreadId {
    ThreadId::new(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn desk() -> AgentId {
    AgentId::new("desk").unwrap()
}

fn message(owner: &AccountId, at: u64, id: u128) -> ChatMessage {
    ChatMessage {
        account: owner.clone(),
        thread: thread("order 7"),
        id,
        round: 1,
        agent: desk(),
        user: user("ann"),
        author: if id % 2 == 1 { Author::User } else { Author::Agent },
        kind: MessageKind::Normal,
        archive: Archive::Kept,
        text: Pii::new(format!("message {id}")),
        at: NOW.after(Duration::from_millis(at)),
    }
}

pub(crate) async fn messages_come_back_in_their_order(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let announced = ChatMessage {
        kind: MessageKind::Announcement,
        archive: Archive::Passing,
        thread: thread("客户 42"),
        ..message(&acme, 20, 6)
    };
    // Neither the order of keeping nor that of ids counts.
    let all = [message(&acme, 30, 4), message(&acme, 10, 5), message(&acme, 10, u128::MAX), announced.clone()];
    for one in &all {
        store.keep_chat(one.clone(), None, NOW).await.unwrap();
    }
    let again = store.keep_chat(all[0].clone(), None, NOW).await;
    assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
    let [late, early, max, _] = &all;
    let all_of_it = listed(&reader, &acme, "order 7", ALWAYS, 10).await;
    assert_eq!(all_of_it, [late.clone(), max.clone(), early.clone()], "newest first");
    assert_eq!(listed(&reader, &acme, "order 7", ALWAYS, 1).await, std::slice::from_ref(late));
    let between = ThreadSpan { from: early.at, until: early.at, ..ALWAYS };
    assert_eq!(listed(&reader, &acme, "order 7", between, 10).await.len(), 2, "both ends belong to it");
    assert_eq!(listed(&reader, &acme, "客户 42", ALWAYS, 10).await, [], "it is no history");
    let inbox = reader.inbox(&acme, &desk(), &user("ann"), (Moment(0), 0), 10).await.unwrap();
    assert_eq!(inbox, [early.clone(), max.clone(), announced.clone(), late.clone()], "of all threads, oldest first");
    let after = reader.inbox(&acme, &desk(), &user("ann"), (early.at, early.id), 1).await.unwrap();
    assert_eq!(after, std::slice::from_ref(max));
    let oldest = ThreadSpan { first: First::Oldest, ..ALWAYS };
    let key = ThreadKey { account: acme.clone(), thread: thread("order 7") };
    for (span, expected) in [(oldest, [early, max, late]), (ALWAYS, [late, max, early])] {
        let mut after = None;
        for one in expected {
            let page = reader.thread_messages(&key, span, after, 1).await.unwrap();
            assert_eq!(page, std::slice::from_ref(one), "page by page");
            after = Some((one.at, one.id));
        }
        assert_eq!(reader.thread_messages(&key, span, after, 1).await.unwrap(), []);
    }
    assert!(store.delete_chat(acme.clone(), thread("order 7"), 4).await.unwrap());
    assert!(!store.delete_chat(acme.clone(), thread("order 7"), 4).await.unwrap());
    assert!(!store.delete_chat(acme.clone(), thread("order 7"), 6).await.unwrap(), "it is of another thread");
    assert_eq!(listed(&reader, &acme, "order 7", ALWAYS, 10).await.len(), 2);
}

pub(crate) async fn another_account_reads_and_removes_nothing(opened: Opened) {
    let (store, reader) = (opened.store, opened.reader);
    let (acme, other) = (account("acme"), account("other"));
    store.keep_chat(message(&acme, 0, 1), None, NOW).await.unwrap();
    // The same names and ids are another account's own.
    store.keep_chat(message(&other, 5, 1), None, NOW).await.unwrap();
    assert_eq!(listed(&reader, &other, "order 7", ALWAYS, 10).await, [message(&other, 5, 1)]);
    assert_eq!(reader.inbox(&other, &desk(), &user("ann"), (Moment(0), 0), 10).await.unwrap(), [message(&other, 5, 1)]);
    assert_eq!(reader.inbox(&acme, &desk(), &user("bob"), (Moment(0), 0), 10).await.unwrap(), []);
    assert!(store.delete_chat(other.clone(), thread("order 7"), 1).await.unwrap());
    assert_eq!(listed(&reader, &acme, "order 7", ALWAYS, 10).await, [message(&acme, 0, 1)]);
}

pub(crate) async fn what_is_kept_is_announced_with_it(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let other = AgentId::new("other").unwrap();
    for (name, whose) in [("h1", Whose::Account), ("h2", Whose::Agent(desk())), ("h3", Whose::Agent(other))] {
        store.put_webhook(webhook(&acme, name, whose)).await.unwrap();
    }
    let news = Announcement {
        account: acme.clone(),
        agent: Some(desk()),
        topic: Topic::ChatMessage,
        id: String::from("chat_1"),
        at: NOW,
        body: serde_json::json!({"messages": []}),
    };
    store.keep_chat(message(&acme, 0, 1), Some(news.clone()), NOW).await.unwrap();
    let mut due = reader.outbox_due(NOW).await.unwrap();
    due.sort();
    assert_eq!(due, [hook("h1"), hook("h2")], "the account's and this agent's endpoints");
    // A message that is not kept is not told: the same id again, with other news.
    let again = Announcement { id: String::from("chat_2"), ..news };
    assert!(store.keep_chat(message(&acme, 0, 1), Some(again), NOW).await.is_err());
    assert_eq!(reader.deliveries(&acme, &hook("h2"), None, None, 10).await.unwrap().items.len(), 1);
}

pub(crate) async fn messages_expire_with_the_words_of_calls(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    let other = AgentId::new("other").unwrap();
    let days =
        |days: u32| serde_json::from_value(serde_json::json!({"retention": {"transcripts_days": days}})).unwrap();
    store.put_rules(acme.clone(), None, days(1), NOW).await.unwrap();
    store.put_rules(acme.clone(), Some(other.clone()), days(3), NOW).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    for (id, agent, at) in [(1, desk(), NOW), (2, desk(), NOW.after(day)), (3, other, NOW)] {
        store.keep_chat(ChatMessage { agent, at, ..message(&acme, 0, id) }, None, NOW).await.unwrap();
    }
    let ids = async || -> Vec<u128> {
        listed(&reader, &acme, "order 7", ALWAYS, 10).await.iter().map(|one| one.id).collect()
    };
    store.sweep(NOW.after(day / 2), 10).await.unwrap();
    assert_eq!(ids().await, [2, 3, 1]);
    let swept = store.sweep(NOW.after(day), 10).await.unwrap();
    assert_eq!((swept.transcripts, swept.more, ids().await), (1, false, vec![2, 3]), "an agent may say otherwise");
    assert!(store.sweep(NOW.after(day * 3), 1).await.unwrap().more);
    assert_eq!(ids().await, []);
}
