//! The life of a call in the store: journal, projections, claims, ends, lists.

use crate::suite::{CALLER, NOW, account, admission, answered, call, dialing, equip, later, number, rings};
use callwright_domain::transcript::Speaker;
use callwright_domain::{AgentId, AgentPatch, CallEvent, CallState, HangupCause, Moment, Pii};
use callwright_store::{
    Admission, Amendment, CallFilter, Ending, Finished, Marked, Number, Opened, Stage, Store, StoreError,
};
use std::time::Duration;

async fn accept(store: &Store, ids: impl IntoIterator<Item = u128>) {
    for id in ids {
        store.admit(admission(&account("acme"), id), NOW).await.unwrap();
    }
}

pub(crate) async fn a_whole_life_is_kept(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1]).await;
    assert_eq!(store.claim_due(NOW, 10).await.unwrap().len(), 1);
    let text = |text: &str| Pii::new(text.to_owned());
    let first = vec![(later(10), dialing(1)), (later(20), CallEvent::Ringing { status: 180 })];
    let recorded = store.append(call(1), first).await.unwrap();
    assert_eq!(recorded.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
    let second = vec![
        (later(30), answered()),
        (later(40), CallEvent::Heard { text: text("hello?"), span: None }),
        (
            later(50),
            CallEvent::Said { text: text("good day"), interrupted: false, by_order: false, span: None, unsaid: None },
        ),
    ];
    store.append(call(1), second).await.unwrap();
    let ending = Ending { cause: HangupCause::CalleeHungUp, status: Some(200), q850: Some(16) };
    let finished = store.finish(call(1), later(1030), ending).await.unwrap();
    assert!(matches!(finished, Finished::Now(recorded) if recorded.seq == 7));
    let kept = CallEvent::RecordingKept { name: "1.wav".into(), duration_ms: 1000 };
    store.append(call(1), vec![(later(1040), kept)]).await.unwrap();

    let view = reader.call(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!(view.state, CallState::Ended(HangupCause::CalleeHungUp));
    assert_eq!((view.cause, view.status, view.q850), (Some(HangupCause::CalleeHungUp), Some(200), Some(16)));
    assert_eq!((view.attempts, view.last_seq, view.recording.as_deref()), (1, 8, Some("1.wav")));
    let moments = [view.timeline.created, view.timeline.dialing, view.timeline.ringing, view.timeline.answered];
    assert_eq!(moments, [NOW, later(10), later(20), later(30)].map(Some));
    assert_eq!(view.timeline.ended, Some(later(1030)));

    let journal = reader.journal(&acme, call(1), 0, 100).await.unwrap();
    assert_eq!(journal.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=8).collect::<Vec<u64>>());
    assert_eq!(reader.journal(&acme, call(1), 6, 1).await.unwrap(), journal[6..7]);
    let lines = reader.transcript(&acme, call(1)).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|line| (line.speaker, line.text.as_str())).collect();
    assert_eq!(lines, [(Speaker::Callee, "hello?"), (Speaker::Agent, "good day")]);
    let records = reader.records(&acme, call(1)).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].attempt, records[0].talked), (1, Duration::from_secs(1)));
}

pub(crate) async fn illegal_events_change_nothing(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1]).await;
    let said =
        CallEvent::Said { text: Pii::new("hi".into()), interrupted: false, by_order: false, span: None, unsaid: None };
    for events in [vec![(NOW, said.clone())], vec![(NOW, dialing(1)), (NOW, answered()), (NOW, dialing(2))]] {
        assert!(matches!(store.append(call(1), events).await, Err(StoreError::Illegal(_))));
        assert_eq!(reader.call(&acme, call(1)).await.unwrap().unwrap().state, CallState::Queued);
        assert_eq!(reader.journal(&acme, call(1), 0, 9).await.unwrap().len(), 1);
    }
    store.finish(call(1), NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
    assert!(matches!(store.append(call(1), vec![(NOW, dialing(1))]).await, Err(StoreError::Illegal(_))));
    assert!(matches!(store.append(call(9), vec![(NOW, said)]).await, Err(StoreError::NoSuchCall)));
    assert_eq!(store.append(call(1), vec![]).await.unwrap(), []);
}

pub(crate) async fn the_first_ending_stands(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1]).await;
    store.append(call(1), vec![(NOW, dialing(1))]).await.unwrap();
    let causes = [HangupCause::Busy, HangupCause::NoAnswer, HangupCause::Busy];
    let ends = causes.map(|cause| store.finish(call(1), NOW, Ending::from(cause)));
    let ends = futures_util::future::join_all(ends).await;
    assert_eq!(ends.iter().filter(|end| matches!(end, Ok(Finished::Now(_)))).count(), 1);
    let again = store.finish(call(1), later(5), Ending::from(HangupCause::Idle)).await.unwrap();
    let view = reader.call(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!(Some(again), view.cause.map(Finished::Before));
    assert_eq!(reader.records(&acme, call(1)).await.unwrap().len(), 1);
    assert_eq!(view.last_seq, 3);
    assert!(matches!(store.finish(call(2), NOW, Ending::from(HangupCause::Idle)).await, Err(StoreError::NoSuchCall)));
}

pub(crate) async fn an_end_by_append_writes_the_record_too(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1]).await;
    let end = CallEvent::Ended { cause: HangupCause::Busy, status: Some(486), q850: Some(17) };
    let of_agent = async |id: &str| reader.active_calls_of(&acme, &AgentId::new(id).unwrap()).await.unwrap();
    let mut later_one = admission(&acme, 2);
    later_one.plan.due = later(60_000);
    store.admit(later_one, NOW).await.unwrap();
    assert_eq!((of_agent("desk").await, of_agent("other").await), (1, 0), "what is due later is not counted");
    store.append(call(1), vec![(NOW, dialing(1)), (later(9), end)]).await.unwrap();
    assert_eq!(of_agent("desk").await, 0);
    let records = reader.records(&acme, call(1)).await.unwrap();
    assert_eq!((records.len(), records[0].cause, records[0].status), (1, HangupCause::Busy, Some(486)));
    assert_eq!(reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 0);
}

pub(crate) async fn each_attempt_has_its_record(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1]).await;
    let failed =
        CallEvent::AttemptFailed { attempt: 1, cause: HangupCause::TrunkFailed, status: Some(503), q850: None };
    store.append(call(1), vec![(NOW, dialing(1)), (later(2), failed)]).await.unwrap();
    store.append(call(1), vec![(later(3), dialing(2)), (later(4), answered())]).await.unwrap();
    store.finish(call(1), later(9), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    let records = reader.records(&acme, call(1)).await.unwrap();
    let told: Vec<_> = records.iter().map(|it| (it.attempt, it.cause, it.status, it.timeline.dialing)).collect();
    let expected =
        [(1, HangupCause::TrunkFailed, Some(503), Some(NOW)), (2, HangupCause::CalleeHungUp, None, Some(later(3)))];
    assert_eq!(told, expected);
    assert_eq!((records[0].timeline.ended, records[1].timeline.ended), (Some(later(2)), Some(later(9))));
    assert_eq!(reader.call(&acme, call(1)).await.unwrap().unwrap().attempts, 2);
}

pub(crate) async fn due_calls_are_given_out_once_in_order(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    for (id, due) in [(1, 300), (2, 100), (3, 200), (4, 9000)] {
        let mut request = admission(&acme, id);
        request.plan.due = later(due);
        store.admit(request, NOW).await.unwrap();
    }
    assert_eq!(reader.next_due().await.unwrap(), Some(later(100)));
    let ids = |plans: Vec<callwright_domain::CallPlan>| plans.iter().map(|plan| plan.id.bits()).collect::<Vec<_>>();
    assert_eq!(ids(store.claim_due(NOW, 10).await.unwrap()), [0; 0]);
    assert_eq!(ids(store.claim_due(later(300), 2).await.unwrap()), [2, 3]);
    assert_eq!(ids(store.claim_due(later(300), 10).await.unwrap()), [1]);
    assert_eq!(ids(store.claim_due(later(300), 10).await.unwrap()), [0; 0]);
    store.append(call(3), vec![(later(300), dialing(1))]).await.unwrap();
    store.unclaim(vec![call(2), call(3)]).await.unwrap();
    assert_eq!(ids(store.claim_due(later(300), 10).await.unwrap()), [2]);
    assert_eq!(reader.next_due().await.unwrap(), Some(later(9000)));
    // The clock going back does not make our own calls somebody's.
    assert_eq!(ids(store.claim_due(Moment(0), 10).await.unwrap()), [0; 0]);
    assert_eq!(store.interrupted_calls(Moment(i64::MAX)).await.unwrap(), []);
    store.renew_lease(NOW, Duration::from_secs(10)).await.unwrap();
}

pub(crate) async fn lists_are_narrowed_and_paged(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let own = reader.number(&acme, &number(CALLER)).await.unwrap().unwrap();
    store.put_number(Number { max_calls: 100, ..own }).await.unwrap();
    for id in 1..=20_u128 {
        let mut request: Admission = admission(&acme, id);
        // Pairs share a moment, so that the cursor must tell them apart.
        request.plan.created = later(i64::try_from(id / 2).unwrap());
        rings(&mut request.plan, if id % 4 == 0 { "+4915100000000" } else { "+4915199999999" });
        store.admit(request, NOW).await.unwrap();
    }
    store.finish(call(8), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.calls(&acme, &CallFilter::default(), cursor.as_deref(), 3).await.unwrap();
        seen.extend(page.items.iter().map(|view| view.plan.id.bits()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, (1..=20).rev().collect::<Vec<u128>>());
    let count = async |filter: CallFilter| reader.calls(&acme, &filter, None, 100).await.unwrap().items.len();
    let none = CallFilter::default;
    assert_eq!(count(CallFilter { state: Some(Stage::Ended), ..none() }).await, 1);
    assert_eq!(count(CallFilter { state: Some(Stage::Queued), ..none() }).await, 19);
    assert_eq!(count(CallFilter { callee: Some(number("+4915100000000")), ..none() }).await, 5);
    assert_eq!(count(CallFilter { caller: Some(number("+4915100000000")), ..none() }).await, 0);
    assert_eq!(count(CallFilter { since: Some(later(2)), until: Some(later(4)), ..none() }).await, 4);
    assert_eq!(count(CallFilter { agent: Some("desk".parse().unwrap()), ..none() }).await, 20);
    for bad in ["", "x", "1.2", "1.zz", "'; DROP TABLE calls; --"] {
        let outcome = reader.calls(&acme, &none(), Some(bad), 3).await;
        assert!(matches!(outcome, Err(StoreError::BadCursor)), "{bad}");
    }
}

pub(crate) async fn a_call_is_amended_until_it_is_over(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1]).await;
    let mut patch = AgentPatch::default();
    patch.voice.voice = Some("v".into());
    let change = Amendment { patch, user_data: Some(Pii::new("u".into())), memo: Some("m".into()) };
    let amend = async |owner: &str, change: &Amendment| store.amend(account(owner), call(1), change.clone()).await;
    assert_eq!(amend("other", &change).await.unwrap(), None);
    let amended = amend("acme", &change).await.unwrap().unwrap();
    assert_eq!((amended.agent.voice.voice.as_str(), amended.origin.memo.as_str()), ("v", "m"));
    assert_eq!(reader.call(&acme, call(1)).await.unwrap().unwrap().plan, amended);
    // What is not named stays.
    assert_eq!(amend("acme", &Amendment::default()).await.unwrap(), Some(amended.clone()));
    assert_eq!(amended.user_data.as_ref().map(|text| text.expose().as_str()), Some("u"));
    assert_eq!(store.claim_due(NOW, 9).await.unwrap(), [amended]);
    store.finish(call(1), NOW, Ending::from(HangupCause::Cancelled)).await.unwrap();
    assert_eq!(amend("acme", &change).await.unwrap(), None);
}

/// What happened since a moment, in the order of each call, page by page, of calls that are up or ended since.
pub(crate) async fn what_happened_since_is_read_by_pages(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1, 2, 3]).await;
    store.finish(call(1), later(10), Ending::from(HangupCause::Cancelled)).await.unwrap();
    store
        .append(call(2), vec![(later(20), dialing(1)), (later(30), CallEvent::Ringing { status: 180 })])
        .await
        .unwrap();
    store.finish(call(3), later(40), Ending::from(HangupCause::Cancelled)).await.unwrap();
    let read = async |from: Moment, limit: u32| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = reader.journal_since(&acme, from, after, limit).await.unwrap();
            let Some((call, recorded)) = page.last() else { return found };
            after = Some((*call, recorded.seq));
            found.extend(page.iter().map(|(call, recorded)| (*call, recorded.seq)));
        }
    };
    let mut all: Vec<_> =
        [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2)].map(|(id, seq)| (call(id), seq)).into();
    all.sort_unstable_by_key(|(call, seq)| (call.to_string(), *seq));
    for limit in [1, 2, 100] {
        assert_eq!(read(NOW, limit).await, all, "{limit} at a time");
    }
    let mut late = vec![(call(2), 3), (call(3), 2)];
    late.sort_unstable_by_key(|(call, _)| call.to_string());
    assert_eq!(read(later(30), 1).await, late, "not of the call that was over, and nothing older");
    assert_eq!(reader.journal_since(&account("other"), NOW, None, 9).await.unwrap(), []);
}

/// Who did not hear that its events were written writes them again, with more behind them: each stands there once.
pub(crate) async fn what_is_written_again_stands_once(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    accept(&store, [1, 2]).await;
    assert_eq!(store.claim_due(NOW, 10).await.unwrap().len(), 2);
    let marked = |mark: u64, event: CallEvent| Marked { mark, at: later(i64::try_from(mark).unwrap()), event };
    let said = |text: &str| CallEvent::Said {
        text: Pii::new(text.to_owned()),
        interrupted: false,
        by_order: false,
        span: None,
        unsaid: None,
    };
    let busy = CallEvent::Ended { cause: HangupCause::Busy, status: None, q850: None };
    let seqs = |recorded: &[callwright_domain::Recorded]| recorded.iter().map(|one| one.seq).collect::<Vec<_>>();

    let first = vec![marked(3, dialing(1)), marked(4, answered())];
    assert_eq!(seqs(&store.record(call(1), first.clone()).await.unwrap()), [2, 3]);
    assert_eq!(seqs(&store.record(call(1), first.clone()).await.unwrap()), [2, 3], "as it stands there");
    let more = [first.clone(), vec![marked(7, said("hello"))]].concat();
    let recorded = store.record(call(1), more).await.unwrap();
    assert_eq!((seqs(&recorded), &recorded[2].event), (vec![2, 3, 4], &said("hello")));
    // An event without a mark in between changes nothing.
    let trouble = CallEvent::Trouble { part: "ears".into(), detail: "x".into() };
    store.append(call(1), vec![(NOW, trouble.clone())]).await.unwrap();
    assert_eq!(store.record(call(1), vec![marked(7, said("hello"))]).await.unwrap().len(), 1);
    assert_eq!(reader.journal(&acme, call(1), 0, 99).await.unwrap().len(), 5);

    // What cannot happen refuses all of it, or is left out when it comes late.
    let illegal = vec![marked(8, trouble.clone()), marked(9, dialing(2))];
    assert!(matches!(store.record(call(1), illegal.clone()).await, Err(StoreError::Illegal(_))));
    let epoch = opened.identity.epoch;
    let late = [illegal, vec![marked(10, busy.clone()), marked(11, busy.clone()), marked(12, trouble)]].concat();
    assert_eq!(seqs(&store.record_late(epoch, call(1), late).await.unwrap()), [6, 7, 8]);
    assert_eq!(store.record(call(1), vec![marked(13, busy.clone())]).await.unwrap(), [], "the first end stands");
    assert_eq!(reader.records(&acme, call(1)).await.unwrap().len(), 1);

    // Another life's marks mean nothing, and another life's calls are not written to.
    let other = store.record_late(epoch + 1, call(2), vec![marked(1, busy.clone())]).await;
    assert!(matches!(other, Err(StoreError::NotOwner)), "{other:?}");
    store.unclaim(vec![call(2)]).await.unwrap();
    store
        .record(call(2), vec![marked(20, CallEvent::Trouble { part: "trunk".into(), detail: "y".into() })])
        .await
        .unwrap();
    let told = store.record_late(epoch + 1, call(2), vec![marked(1, busy)]).await.unwrap();
    assert_eq!(seqs(&told), [3], "nobody's call, written by a life whose marks are lower");
}
