//! What outlives its rules and what is erased: exactly that, of exactly those calls, in steps that can be repeated.

use crate::suite::{NOW, account, admission, call, campaigns, dialing, equip, later, number, retries, rings};
use callwright_domain::agent::Switch;
use callwright_domain::campaign::RowState;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{Absence, AccountId, AgentId, CallEvent, HangupCause, Moment, PhoneNumber, Pii, Refusal};
use callwright_store::{
    AdmitError, BlobName, CallFilter, Denial, Ending, ErasureOrder, Listed, Note, Opened, Reader, Removal, RowFilter,
    Store, StoredConsent, Suppress, Swept,
};

const DAY: i64 = 24 * 3600 * 1000;
const CALLEE: &str = "+4915112345678";
const OTHER: &str = "+4915199999999";

pub(crate) async fn rule(store: &Store, owner: &AccountId, agent: Option<&str>, json: &str) {
    let rules: RulesPatch = serde_json::from_str(json).unwrap();
    rules.check().unwrap();
    let agent = agent.map(|agent| AgentId::new(agent).unwrap());
    store.put_rules(owner.clone(), agent, rules, NOW).await.unwrap();
}

/// A call that was talked, recorded and ended at `ended`.
pub(crate) async fn talked(store: &Store, owner: &AccountId, (id, agent, callee): (u128, &str, &str), ended: Moment) {
    let mut request = admission(owner, id);
    request.plan.agent_id = AgentId::new(agent).unwrap();
    rings(&mut request.plan, callee);
    request.plan.user_data = Some(Pii::new(format!("about {callee}")));
    request.plan.agent.brain.system_prompt = format!("You call {callee}.");
    request.plan.agent.extract.summary = Switch::On;
    store.admit(request, NOW).await.unwrap();
    let CallEvent::Dialing { mut intent } = dialing(1) else { panic!("dialing") };
    intent.dialog = format!("To: <sip:{callee}@trunk.example>");
    let dialog = intent.dialog.clone();
    let words = Pii::new(format!("I am at {callee}"));
    let events = vec![
        CallEvent::Dialing { intent },
        CallEvent::Answered { dialog, codec: "PCMU".into() },
        CallEvent::Heard { text: words.clone(), span: None },
        CallEvent::Said { text: words.clone(), interrupted: false, by_order: false, span: None, unsaid: None },
        CallEvent::KeyPressed { key: '7' },
        CallEvent::ToolRun { name: "note".into(), arguments: words.clone(), result: words.clone() },
        CallEvent::Trouble { part: "brain".into(), detail: words.clone().into_exposed() },
        CallEvent::Transferring { to: words },
    ];
    store.append(call(id), events.into_iter().map(|event| (ended, event)).collect()).await.unwrap();
    store.finish(call(id), ended, Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    let kept = CallEvent::RecordingKept { name: BlobName::of_call(call(id)).to_string(), duration_ms: 9 };
    store.append(call(id), vec![(ended, kept)]).await.unwrap();
    let note = Note {
        id: "n".into(),
        author: "key".into(),
        content: Pii::new(format!("{callee} is at home")),
        flagged: false,
        created: ended,
    };
    assert!(store.put_note(owner.clone(), call(id), note).await.unwrap());
}

/// Whether something is kept that was made of what was said.
async fn made_of_it(reader: &Reader, owner: &AccountId, id: u128) -> bool {
    let notes = reader.notes(owner, call(id)).await.unwrap();
    let found = reader.findings(owner, call(id)).await.unwrap();
    assert_eq!(notes.is_empty(), found.is_none());
    found.is_some()
}

async fn names(reader: &Reader, owner: &AccountId, id: u128) -> Vec<&'static str> {
    reader.journal(owner, call(id), 0, 100).await.unwrap().iter().map(|one| one.event.name()).collect()
}

const WITHOUT_WORDS: [&str; 7] =
    ["created", "dialing", "answered", "trouble", "transferring", "ended", "recording_kept"];

pub(crate) async fn what_outlives_its_rules_goes_and_nothing_else(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    let others = account("others");
    equip(&store, &others).await;
    rule(&store, &acme, None, r#"{"retention": {"recordings_days": 2, "transcripts_days": 10, "records_days": 40}}"#)
        .await;
    rule(&store, &acme, Some("kept"), r#"{"retention": {"recordings_days": 1, "hold": "on"}}"#).await;
    rule(&store, &acme, Some("short"), r#"{"retention": {"recordings_days": 1}}"#).await;
    for (id, agent) in [(1, "desk"), (2, "desk"), (3, "desk"), (4, "kept"), (5, "short")] {
        talked(&store, &acme, (id, agent, CALLEE), later(0)).await;
    }
    talked(&store, &others, (6, "desk", CALLEE), later(0)).await;
    // Still up: nothing of it is touched, however old.
    store.admit(admission(&acme, 7), NOW).await.unwrap();

    let swept = |recordings, transcripts, records, more| Swept { recordings, transcripts, records, more };
    assert_eq!(store.sweep(later(DAY - 1), 2).await.unwrap(), Swept::default(), "a millisecond too early");
    assert_eq!(store.sweep(later(DAY), 2).await.unwrap(), swept(1, 0, 0, false));
    let view = reader.call(&acme, call(5)).await.unwrap().unwrap();
    assert_eq!((view.recording, view.recording_gone, view.words_gone), (None, Some(Absence::Expired), None));
    // In pieces of two.
    assert_eq!(store.sweep(later(2 * DAY), 2).await.unwrap(), swept(2, 0, 0, true));
    assert_eq!(store.sweep(later(2 * DAY), 2).await.unwrap(), swept(1, 0, 0, false));
    assert_eq!(store.sweep(later(2 * DAY), 2).await.unwrap(), Swept::default());
    let node = &store.identity().node;
    let files = reader.removals(node, 10).await.unwrap();
    let mut wanted: Vec<BlobName> = [1, 2, 3, 5].map(|id| BlobName::of_call(call(id))).to_vec();
    let mut found: Vec<BlobName> = files.iter().map(|file| file.name.clone()).collect();
    wanted.sort_by_key(ToString::to_string);
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, wanted);
    assert_eq!(reader.removals("another", 10).await.unwrap(), []);
    store.removed(files).await.unwrap();
    assert_eq!(reader.removals(node, 10).await.unwrap(), []);

    assert!(made_of_it(&reader, &acme, 1).await);
    assert_eq!(store.sweep(later(10 * DAY), 10).await.unwrap(), swept(0, 3, 0, false));
    assert!(!made_of_it(&reader, &acme, 1).await, "what was made of the words goes with them");
    assert!(made_of_it(&reader, &acme, 4).await && made_of_it(&reader, &others, 6).await);
    assert_eq!(names(&reader, &acme, 1).await, WITHOUT_WORDS);
    let view = reader.call(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!(view.plan.callee(), Some(&number(CALLEE)), "who was called is of the record");
    assert_eq!((view.words_gone, view.plan.user_data, view.plan.variables.len()), (Some(Absence::Expired), None, 0));
    assert_eq!(reader.transcript(&acme, call(1)).await.unwrap(), []);
    assert_eq!(reader.transcript(&acme, call(4)).await.unwrap().len(), 2, "held");
    assert_eq!(reader.transcript(&others, call(6)).await.unwrap().len(), 2, "another account's");

    assert_eq!(store.sweep(later(40 * DAY), 10).await.unwrap().records, 3);
    assert_eq!(reader.call(&acme, call(1)).await.unwrap(), None);
    assert_eq!(names(&reader, &acme, 1).await, [""; 0]);
    assert_eq!(reader.departed(&acme, call(1)).await.unwrap(), Some(Absence::Expired));
    assert_eq!(reader.departed(&others, call(1)).await.unwrap(), None);
    assert!(reader.call(&acme, call(7)).await.unwrap().is_some());
    assert_eq!(store.sweep(later(40 * DAY), 10).await.unwrap(), Swept::default());
}

pub(crate) fn order(owner: &AccountId, callee: &str, suppress: Suppress) -> ErasureOrder {
    ErasureOrder { account: owner.clone(), number: number(callee), suppress, now: later(5) }
}

pub(crate) async fn a_number_is_erased_from_its_account(opened: Opened) {
    let (store, reader, acme, others) = (opened.store, opened.reader, account("acme"), account("others"));
    equip(&store, &acme).await;
    equip(&store, &others).await;
    for (owner, id, callee) in [(&acme, 1, CALLEE), (&acme, 2, CALLEE), (&acme, 3, OTHER), (&others, 4, CALLEE)] {
        talked(&store, owner, (id, "desk", callee), later(1)).await;
    }
    store.admit(admission(&acme, 5), NOW).await.unwrap();
    let consent = StoredConsent {
        number: number(CALLEE),
        scope: "service".into(),
        source: "form".into(),
        wording: String::new(),
        given: NOW,
        revoked: None,
    };
    store.put_consent(acme.clone(), consent).await.unwrap();

    let begun = store.open_erasure(order(&acme, CALLEE, Suppress::AsItWas)).await.unwrap();
    assert_eq!((begun.finished, begun.tally.consents, begun.tally.suppressed), (None, 1, 0));
    assert!(!format!("{begun:?}").contains("1511234"), "the proof does not hold the number");
    assert_eq!(reader.open_erasures().await.unwrap(), [(acme.clone(), begun.id.clone())]);
    let step = async |now| store.erase_some(acme.clone(), begun.id.clone(), 1, now).await.unwrap().unwrap();
    assert_eq!(step(later(6)).await.tally.calls, 1);
    let both = step(later(7)).await;
    assert_eq!((both.tally.calls, both.tally.recordings, both.finished), (2, 2, None), "a call to it has not ended");

    store.finish(call(5), later(8), Ending::from(HangupCause::Cancelled)).await.unwrap();
    let all = step(later(9)).await;
    assert_eq!((all.tally.calls, all.finished), (3, None), "files wait");
    let files = reader.removals(&store.identity().node, 10).await.unwrap();
    assert_eq!(files.len(), 3, "one a call, whether anything tells of it or not: a crash may have left it");
    store.removed(files).await.unwrap();
    let proof = step(later(10)).await;
    assert_eq!(proof.finished, Some(later(10)));
    assert_eq!(reader.open_erasures().await.unwrap(), []);
    assert_eq!(reader.erasure(&acme, &begun.id).await.unwrap(), Some(proof));
    assert_eq!(reader.erasure(&others, &begun.id).await.unwrap(), None);

    assert_eq!(names(&reader, &acme, 1).await, WITHOUT_WORDS);
    assert!(!made_of_it(&reader, &acme, 1).await && made_of_it(&reader, &acme, 3).await);
    let view = reader.call(&acme, call(1)).await.unwrap().unwrap();
    assert_eq!((view.recording_gone, view.words_gone), (Some(Absence::Erased), Some(Absence::Erased)));
    let everything = format!(
        "{} {}",
        serde_json::to_string(&view.plan).unwrap(),
        serde_json::to_string(&reader.journal(&acme, call(1), 0, 100).await.unwrap()).unwrap()
    );
    assert!(!everything.contains("1511234"), "{everything}");
    let of = |callee| CallFilter { callee: Some(callee), ..CallFilter::default() };
    assert_eq!(reader.calls(&acme, &of(number(CALLEE)), None, 9).await.unwrap().items.len(), 0);
    assert_eq!(reader.calls(&acme, &of(PhoneNumber::erased()), None, 9).await.unwrap().items.len(), 3);
    assert_eq!(reader.records(&acme, call(1)).await.unwrap().len(), 1, "that there was a call is not erased");
    assert_eq!(reader.transcript(&acme, call(3)).await.unwrap().len(), 2, "another number");
    assert_eq!(reader.transcript(&others, call(4)).await.unwrap().len(), 2, "another account");
    assert_eq!(reader.consents(&acme, &number(CALLEE)).await.unwrap(), []);

    // A recording that is told of only now is not kept.
    let late = CallEvent::RecordingKept { name: "late.wav".into(), duration_ms: 9 };
    store.append(call(1), vec![(later(11), late)]).await.unwrap();
    assert_eq!(reader.call(&acme, call(1)).await.unwrap().unwrap().recording, None);
    let late = Removal { account: acme.clone(), name: BlobName::new("late.wav").unwrap() };
    assert_eq!(reader.removals(&store.identity().node, 10).await.unwrap(), [late]);
}

pub(crate) async fn an_erased_number_stays_on_the_deny_list_without_being_there(opened: Opened) {
    let (store, reader, acme, others) = (opened.store, opened.reader, account("acme"), account("others"));
    equip(&store, &acme).await;
    equip(&store, &others).await;
    let list = Listed::Of(acme.clone());
    let denial = Denial { number: number(CALLEE), reason: "Mr. Miller asked".into() };
    store.deny(list.clone(), vec![denial], NOW).await.unwrap();
    for (callee, suppress) in [(CALLEE, Suppress::AsItWas), (OTHER, Suppress::Deny)] {
        // Twice is as good as once.
        for _ in 0..2 {
            let begun = store.open_erasure(order(&acme, callee, suppress)).await.unwrap();
            assert_eq!(begun.tally.suppressed, 1);
            let done = store.erase_some(acme.clone(), begun.id, 10, later(6)).await.unwrap().unwrap();
            assert_eq!((done.finished, done.tally.calls), (Some(later(6)), 0));
        }
        let (kept, _) = reader.denial(&list, &number(callee)).await.unwrap().unwrap();
        assert_eq!(kept.reason, "erased");
        let mut request = admission(&acme, 1);
        rings(&mut request.plan, callee);
        let refused = store.admit(request.clone(), NOW).await;
        assert!(matches!(refused, Err(AdmitError::Refused(Refusal::CalleeBlocked))), "{refused:?}");
        let mut theirs = admission(&others, request.plan.id.bits() + u128::from(callee == OTHER) + 1);
        rings(&mut theirs.plan, callee);
        store.admit(theirs, NOW).await.unwrap();
        assert!(store.allow(list.clone(), number(callee)).await.unwrap());
        assert_eq!(reader.denial(&list, &number(callee)).await.unwrap(), None);
    }
    assert_eq!(store.erase_some(acme, "er_unknown".into(), 10, NOW).await.unwrap(), None);
}

/// Who took the consent back is not called after the erasure either, whether or not the rules ask for consent.
pub(crate) async fn a_consent_that_was_taken_back_is_not_forgotten(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    for (id, callee, revoked, refused) in
        [(1, CALLEE, Some(later(1)), Some(Refusal::CalleeBlocked)), (2, OTHER, None, None)]
    {
        let consent = StoredConsent {
            number: number(callee),
            scope: "service".into(),
            source: "form".into(),
            wording: String::new(),
            given: NOW,
            revoked,
        };
        store.put_consent(acme.clone(), consent).await.unwrap();
        let begun = store.open_erasure(order(&acme, callee, Suppress::AsItWas)).await.unwrap();
        assert_eq!((begun.tally.consents, begun.tally.suppressed), (1, u64::from(refused.is_some())));
        assert_eq!(reader.consents(&acme, &number(callee)).await.unwrap(), []);
        let mut request = admission(&acme, id);
        rings(&mut request.plan, callee);
        let outcome = match store.admit(request, NOW).await {
            Err(AdmitError::Refused(refusal)) => Some(refusal),
            other => other.map(|_| None).unwrap(),
        };
        assert_eq!(outcome, refused);
    }
}

pub(crate) async fn what_waits_for_an_erased_number_is_to_be_taken_back(opened: Opened) {
    let (store, reader, acme) = (opened.store, opened.reader, account("acme"));
    equip(&store, &acme).await;
    for id in 1..=5 {
        let mut tried = retries::tried(&acme, id, &[60]);
        rings(&mut tried.plan, if id == 5 { OTHER } else { CALLEE });
        store.admit(tried, NOW).await.unwrap();
    }
    // The fourth ended before, and another try follows.
    store.append(call(4), vec![(later(1), dialing(1))]).await.unwrap();
    store.finish(call(4), later(7), Ending::from(HangupCause::Busy)).await.unwrap();
    let retry = reader.call(&acme, call(4)).await.unwrap().unwrap().next.unwrap();
    let begun = store.open_erasure(order(&acme, CALLEE, Suppress::AsItWas)).await.unwrap();
    let mut anew = admission(&acme, 6);
    anew.plan.created = later(6);
    store.admit(anew, NOW).await.unwrap();
    let waiting = async |after, limit| reader.queued_for_erasure(&acme, &begun.id, after, limit).await.unwrap();
    assert_eq!(waiting(None, 2).await, [call(1), call(2)]);
    assert_eq!(waiting(Some(call(2)), 9).await, [call(3), retry]);
    assert_eq!(reader.queued_for_erasure(&account("others"), &begun.id, None, 9).await.unwrap(), []);
}

/// A call and a campaign's call are up while the number is erased: both end as if they were to be tried again.
pub(crate) async fn nothing_follows_to_a_number_that_is_being_erased(opened: Opened) {
    let acme = campaigns::running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    let campaign = campaigns::key(&acme);
    campaigns::import(store, &acme, "own", vec![campaigns::row(2, CALLEE)]).await;
    let place = reader.due_rows(&campaign, NOW, 9).await.unwrap().last().unwrap().row;
    campaigns::launch(store, &acme, (place, 0), 1).await.unwrap();
    for (id, callee) in [(2, CALLEE), (3, OTHER)] {
        let mut tried = retries::tried(&acme, id, &[60]);
        rings(&mut tried.plan, callee);
        store.admit(tried, NOW).await.unwrap();
    }
    let begun = store.open_erasure(order(&acme, CALLEE, Suppress::AsItWas)).await.unwrap();
    for id in 1..=3 {
        store.append(call(id), vec![(later(5), dialing(1))]).await.unwrap();
        store.finish(call(id), later(6), Ending::from(HangupCause::Busy)).await.unwrap();
    }
    let next = async |id| reader.call(&acme, call(id)).await.unwrap().unwrap().next;
    assert_eq!(next(2).await, None);
    assert!(next(3).await.is_some(), "another number is tried again");
    let row = async || {
        let rows = reader.campaign_rows(&campaign, &RowFilter::default(), place - 1, 1).await.unwrap().items;
        rows.into_iter().next().map(|row| (row.state, row.due)).unwrap()
    };
    assert_eq!(row().await, (RowState::Cancelled, None));
    store.erase_some(acme.clone(), begun.id, 10, later(9)).await.unwrap();
    assert_eq!(row().await, (RowState::Cancelled, None));
    assert_eq!(reader.due_rows(&campaign, later(1 << 40), 9).await.unwrap().len(), 3, "the other rows are called");
}
