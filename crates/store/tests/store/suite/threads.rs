//! Calls that share a history: found again, read in order, and lines taken out.

use super::campaigns;
use crate::suite::{NOW, account, admission, answered, call, dialing, equip, later};
use callwright_domain::{AccountId, CallEvent, CallId, HangupCause, Moment, Pii, Recorded, ThreadId};
use callwright_store::{Ending, First, Launch, Opened, Store, ThreadKey, ThreadSpan};

const ALWAYS: ThreadSpan = ThreadSpan { from: Moment(0), until: Moment(i64::MAX), first: First::Oldest };

fn key(owner: &AccountId, thread: &str) -> ThreadKey {
    ThreadKey { account: owner.clone(), thread: ThreadId::new(thread).unwrap() }
}

/// A call of a thread that was accepted so many milliseconds after [`NOW`].
async fn accept(store: &Store, owner: &AccountId, id: u128, (thread, ms): (&str, i64)) {
    let mut request = admission(owner, id);
    request.plan.thread = Some(ThreadId::new(thread).unwrap());
    request.plan.created = later(ms);
    store.admit(request, later(ms)).await.unwrap();
}

/// The same, answered, with one line of each side and its end.
async fn talked(store: &Store, owner: &AccountId, id: u128, (thread, ms): (&str, i64)) {
    accept(store, owner, id, (thread, ms)).await;
    store.append(call(id), vec![(later(ms + 1), dialing(1)), (later(ms + 2), answered())]).await.unwrap();
    let text = |what: &str| Pii::new(format!("{what} {id}"));
    let lines = vec![
        (later(ms + 3), CallEvent::Heard { text: text("heard"), span: None }),
        (
            later(ms + 4),
            CallEvent::Said { text: text("said"), interrupted: false, by_order: false, span: None, unsaid: None },
        ),
    ];
    store.append(call(id), lines).await.unwrap();
    store.finish(call(id), later(ms + 5), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
}

/// What was said, as `call: line`, of the events of a thread.
fn lines(events: &[(CallId, Recorded)]) -> Vec<String> {
    let line = |(call, recorded): &(CallId, Recorded)| match &recorded.event {
        CallEvent::Heard { text, .. } | CallEvent::Said { text, .. } => {
            Some(format!("{}: {}", call.bits(), text.expose()))
        }
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

pub(crate) async fn calls_of_a_thread_are_found_newest_first(opened: Opened) {
    let (store, reader, acme, other) = (opened.store, opened.reader, account("acme"), account("other"));
    equip(&store, &acme).await;
    equip(&store, &other).await;
    talked(&store, &acme, 1, ("t", 0)).await;
    talked(&store, &acme, 2, ("t", 1000)).await;
    talked(&store, &acme, 3, ("u", 2000)).await;
    talked(&store, &other, 4, ("t", 3000)).await;
    accept(&store, &acme, 5, ("t", 4000)).await;
    store.admit(admission(&acme, 6), NOW).await.unwrap();
    let found = async |owner: &AccountId, thread: &str, limit| reader.thread_calls(&key(owner, thread), limit).await;
    assert_eq!(found(&acme, "t", 9).await.unwrap(), [call(2), call(1)], "without the one that nobody answered");
    assert_eq!(found(&acme, "t", 1).await.unwrap(), [call(2)]);
    assert_eq!(found(&acme, "u", 9).await.unwrap(), [call(3)]);
    assert_eq!(found(&other, "t", 9).await.unwrap(), [call(4)]);
    assert_eq!(found(&other, "u", 9).await.unwrap(), []);
    // As soon as it is answered it counts, and what it says is there.
    store.append(call(5), vec![(later(4001), dialing(1)), (later(4002), answered())]).await.unwrap();
    assert_eq!(found(&acme, "t", 9).await.unwrap(), [call(5), call(2), call(1)]);
}

pub(crate) async fn events_of_a_thread_come_in_order_and_in_portions(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    talked(&store, &acme, 1, ("t", 0)).await;
    talked(&store, &acme, 2, ("t", 1000)).await;
    // Two at the same moment.
    talked(&store, &acme, 3, ("t", 1000)).await;
    talked(&store, &acme, 4, ("u", 0)).await;
    let key = key(&acme, "t");
    let whole = async |first, limit| {
        let (span, mut after, mut all) = (ThreadSpan { first, ..ALWAYS }, None, Vec::new());
        loop {
            let portion = reader.thread_events(&key, span, after, limit).await.unwrap();
            let Some((call, last)) = portion.last() else { return all };
            after = Some((last.at, *call, last.seq));
            all.extend(portion);
        }
    };
    let oldest = whole(First::Oldest, 1000).await;
    let expected = ["1: heard 1", "1: said 1", "2: heard 2", "3: heard 3", "2: said 2", "3: said 3"].map(str::to_owned);
    assert_eq!(lines(&oldest), expected);
    assert_eq!(whole(First::Oldest, 1).await, oldest);
    assert_eq!(whole(First::Oldest, 4).await, oldest);
    let mut newest = whole(First::Newest, 3).await;
    newest.reverse();
    assert_eq!(newest, oldest);
    let span = |from, until| ThreadSpan { from: later(from), until: later(until), first: First::Oldest };
    for (from, until, expected) in
        [(3, 3, &["1: heard 1"][..]), (4, 1003, &["1: said 1", "2: heard 2", "3: heard 3"]), (5, 999, &[]), (9, 3, &[])]
    {
        let found = reader.thread_events(&key, span(from, until), None, 99).await.unwrap();
        assert_eq!(lines(&found), expected, "{from} to {until}");
    }
}

pub(crate) async fn a_line_is_taken_out_by_its_owner_alone(opened: Opened) {
    let (store, reader, acme, other) = (opened.store, opened.reader, account("acme"), account("other"));
    equip(&store, &acme).await;
    talked(&store, &acme, 1, ("t", 0)).await;
    for (owner, thread, id, seq) in
        [(&other, "t", 1, 4), (&acme, "u", 1, 4), (&acme, "t", 2, 4), (&acme, "t", 1, 3), (&acme, "t", 1, 99)]
    {
        let forgotten = store.forget(key(owner, thread), call(id), seq).await.unwrap();
        assert!(!forgotten, "{owner} {thread} {id} {seq}");
    }
    let said = async || {
        let events = reader.thread_events(&key(&acme, "t"), ALWAYS, None, 99).await.unwrap();
        lines(&events)
    };
    assert_eq!(said().await, ["1: heard 1", "1: said 1"]);
    for _ in 0..2 {
        assert!(store.forget(key(&acme, "t"), call(1), 4).await.unwrap());
    }
    assert_eq!(said().await, ["1: said 1"]);
    assert_eq!(reader.forgotten(&acme, call(1)).await.unwrap().into_iter().collect::<Vec<_>>(), [4]);
    assert!(reader.forgotten(&other, call(1)).await.unwrap().is_empty());
    assert_eq!(reader.transcript(&acme, call(1)).await.unwrap().len(), 2, "the journal is as it was");
}

pub(crate) async fn a_campaigns_call_joins_the_thread_of_its_plan(opened: Opened) {
    let owner = campaigns::running(&opened).await;
    let mut request = admission(&owner, 1);
    request.plan.thread = Some(ThreadId::new("t").unwrap());
    let launch = Launch { key: campaigns::key(&owner), row: 1, attempts: 0, admission: request };
    opened.store.launch(launch, NOW).await.unwrap();
    let events = opened.reader.thread_events(&key(&owner, "t"), ALWAYS, None, 9).await.unwrap();
    assert_eq!(events.first().map(|(call, recorded)| (*call, recorded.event.name())), Some((call(1), "created")));
}
