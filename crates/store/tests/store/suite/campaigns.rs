//! Campaigns: imports that count whole or not at all, rows that are called once for each attempt, ends that settle them.

use super::{CALLER, NOW, account, admission, answered, dialing, equip, later, number};
use callwright_domain::agent::Switch;
use callwright_domain::campaign::{
    Callee, Campaign, CampaignState, Pace, RetryPlan, Row, RowState, Settings, Step, Stopped,
};
use callwright_domain::{AccountId, AgentId, AgentPatch, CampaignId, HangupCause, Moment, Origin, Pii, Refusal};
use callwright_store::{
    AdmitError, CampaignError, CampaignKey, Import, Launch, NewRow, Opened, Reader, Repeats, RowFilter, StepOrder,
    Store, StoreError, Verdict,
};
use std::collections::BTreeMap;

pub(crate) fn key(owner: &AccountId) -> CampaignKey {
    CampaignKey { account: owner.clone(), id: CampaignId::new("spring").unwrap() }
}

fn settings() -> Settings {
    Settings {
        name: "spring".into(),
        agent: AgentId::new("desk").unwrap(),
        patch: AgentPatch::default(),
        callers: vec![number(CALLER)],
        variables: BTreeMap::new(),
        windows: None,
        pace: Pace::default(),
        retry: RetryPlan { on: vec![HangupCause::Busy], max_attempts: 2, waits_s: vec![1] },
        priority: 5,
        starts: None,
        deadline: None,
        abandonment_guard: Switch::On,
        origin: Origin::default(),
    }
}

pub(crate) fn row(line: u64, digits: &str) -> NewRow {
    let callee = Callee {
        number: number(digits),
        own_id: Some(format!("k{line}")),
        variables: BTreeMap::from([("name".to_owned(), "Ada".to_owned())]),
        user_data: None,
        due: None,
        max_duration_s: Some(60),
    };
    NewRow { line, callee: Ok(callee), repeats: Repeats::Skipped }
}

fn bad(line: u64) -> NewRow {
    NewRow { line, callee: Err((Pii::new("x".into()), "number_invalid")), repeats: Repeats::Skipped }
}

pub(crate) async fn import(store: &Store, owner: &AccountId, token: &str, rows: Vec<NewRow>) -> Vec<bool> {
    let import = Import { key: key(owner), token: token.into() };
    store.begin_import(import.clone(), NOW).await.unwrap();
    let duplicates = store.add_rows(import.clone(), rows, NOW).await.unwrap();
    store.commit_import(import).await.unwrap();
    duplicates
}

/// An account with a campaign of three callees, one invalid row and one duplicate, running and claimed.
pub(crate) async fn running(opened: &Opened) -> AccountId {
    let owner = account("acme");
    equip(&opened.store, &owner).await;
    let campaign = Campaign {
        id: key(&owner).id,
        account: owner.clone(),
        settings: settings(),
        state: CampaignState::Draft,
        stopped: None,
        trouble: None,
        created: NOW,
        started: None,
        finished: None,
    };
    opened.store.create_campaign(campaign).await.unwrap();
    let rows = vec![row(2, "+4930000001"), bad(3), row(4, "+4930000002"), row(5, "+4930000001"), row(6, "+4930000003")];
    assert_eq!(import(&opened.store, &owner, "one", rows).await, [false, false, false, true, false]);
    opened.store.step_campaign(key(&owner), Step::Start.into(), NOW).await.unwrap();
    assert_eq!(opened.store.claim_campaigns(NOW).await.unwrap(), 1);
    owner
}

async fn due(reader: &Reader, owner: &AccountId, now: Moment) -> Vec<(u64, u32)> {
    let rows = reader.due_rows(&key(owner), now, 10).await.unwrap();
    rows.iter().map(|row| (row.row, row.attempts)).collect()
}

pub(crate) async fn launch(
    store: &Store,
    owner: &AccountId,
    (row, attempts): (u64, u32),
    id: u128,
) -> Result<(), AdmitError> {
    store.launch(Launch { key: key(owner), row, attempts, admission: admission(owner, id) }, NOW).await
}

async fn end(store: &Store, id: u128, cause: HangupCause, with_answer: bool) {
    store.claim_due(NOW, 100).await.unwrap();
    let mut events = vec![(NOW, dialing(1))];
    if with_answer {
        events.push((NOW, answered()));
    }
    store.append(super::call(id), events).await.unwrap();
    store.finish(super::call(id), later(500), cause.into()).await.unwrap();
}

async fn row_of(reader: &Reader, owner: &AccountId, place: u64) -> Row {
    let page = reader.campaign_rows(&key(owner), &RowFilter::default(), place - 1, 1).await.unwrap();
    page.items.into_iter().next().unwrap()
}

pub(crate) async fn an_import_counts_whole_or_not_at_all(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    let broken = Import { key: key(&owner), token: "two".into() };
    store.begin_import(broken.clone(), NOW).await.unwrap();
    store.add_rows(broken.clone(), vec![row(2, "+4930000009")], NOW).await.unwrap();
    assert_eq!(due(reader, &owner, NOW).await.len(), 3, "rows of an open import do not count");
    assert_eq!(reader.campaign_counters(&key(&owner)).await.unwrap().total(), 5);
    let third = Import { key: key(&owner), token: "three".into() };
    assert!(matches!(store.begin_import(third.clone(), NOW).await, Err(CampaignError::Importing)));
    let past = later(61_000);
    store.begin_import(third.clone(), past).await.unwrap();
    assert!(matches!(store.add_rows(broken.clone(), vec![bad(3)], past).await, Err(CampaignError::Importing)));
    assert!(matches!(store.commit_import(broken).await, Err(CampaignError::Importing)));
    // The number of the import that broke off is free again.
    let duplicates = store.add_rows(third.clone(), vec![row(2, "+4930000009")], past).await.unwrap();
    assert_eq!(duplicates, [false]);
    store.commit_import(third).await.unwrap();
    let counters = reader.campaign_counters(&key(&owner)).await.unwrap();
    assert_eq!((counters.total(), counters.of(RowState::Waiting)), (6, 4));
    assert_eq!((counters.of(RowState::Invalid), counters.of(RowState::Duplicate)), (1, 1));
}

pub(crate) async fn a_row_is_called_once_for_each_attempt(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    assert_eq!(due(reader, &owner, NOW).await, [(1, 0), (3, 0), (5, 0)]);
    launch(store, &owner, (1, 0), 1).await.unwrap();
    let again = launch(store, &owner, (1, 0), 2).await.unwrap_err();
    assert!(matches!(again, AdmitError::Store(StoreError::NotOwner)));
    assert!(reader.call(&owner, super::call(2)).await.unwrap().is_none(), "nothing half-created");
    assert_eq!(due(reader, &owner, NOW).await, [(3, 0), (5, 0)]);
    end(store, 1, HangupCause::Busy, false).await;
    let settled = row_of(reader, &owner, 1).await;
    assert_eq!((settled.state, settled.due, settled.attempts), (RowState::Retrying, Some(later(1_500)), 1));
    launch(store, &owner, (1, 1), 3).await.unwrap();
    end(store, 3, HangupCause::Busy, false).await;
    let settled = row_of(reader, &owner, 1).await;
    assert_eq!((settled.state, settled.due, settled.cause), (RowState::Unanswered, None, Some(HangupCause::Busy)));
    let calls = reader.campaign_calls(&key(&owner), 1, 1).await.unwrap();
    assert_eq!(
        calls.iter().map(|call| (call.attempt, call.call)).collect::<Vec<_>>(),
        [(1, super::call(1)), (2, super::call(3))]
    );
}

pub(crate) async fn a_refused_launch_changes_nothing(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    store.delete_number(owner.clone(), number(CALLER)).await.unwrap();
    let refused = launch(store, &owner, (1, 0), 1).await.unwrap_err();
    assert!(matches!(refused, AdmitError::Refused(Refusal::CallerNotOwned)));
    assert_eq!(due(reader, &owner, NOW).await, [(1, 0), (3, 0), (5, 0)]);
    let verdict = Verdict { row: 1, attempts: 0, state: RowState::Refused, due: None, reason: "callee_blocked".into() };
    assert!(store.judge_row(key(&owner), verdict.clone(), NOW).await.unwrap());
    assert!(!store.judge_row(key(&owner), verdict, NOW).await.unwrap(), "a final row is final");
    assert_eq!(due(reader, &owner, NOW).await, [(3, 0), (5, 0)]);
}

pub(crate) async fn a_pause_and_a_stop_hold_at_once(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    launch(store, &owner, (1, 0), 1).await.unwrap();
    store.step_campaign(key(&owner), Step::Pause.into(), NOW).await.unwrap();
    assert!(launch(store, &owner, (3, 0), 2).await.is_err());
    store.step_campaign(key(&owner), Step::Resume.into(), NOW).await.unwrap();
    launch(store, &owner, (3, 0), 3).await.unwrap();
    assert!(matches!(
        store.step_campaign(key(&owner), Step::Finish.into(), NOW).await,
        Err(CampaignError::State(CampaignState::Running))
    ));
    let stop = StepOrder { step: Step::Stop, stopped: Some(Stopped::Asked), trouble: None };
    store.step_campaign(key(&owner), stop, NOW).await.unwrap();
    assert!(matches!(store.delete_campaign(key(&owner)).await, Err(CampaignError::State(CampaignState::Stopped))));
    assert_eq!(store.close_stopped(key(&owner), NOW).await.unwrap(), None, "the third row is cancelled");
    assert_eq!(store.close_stopped(key(&owner), NOW).await.unwrap(), None, "two calls are up");
    end(store, 1, HangupCause::Busy, false).await;
    end(store, 3, HangupCause::CalleeHungUp, true).await;
    assert_eq!(store.close_stopped(key(&owner), later(9)).await.unwrap(), Some(later(9)));
    let counters = reader.campaign_counters(&key(&owner)).await.unwrap();
    assert_eq!(counters.finished(), counters.total());
    for (state, count) in [(RowState::Unanswered, 1), (RowState::Answered, 1), (RowState::Cancelled, 1)] {
        assert_eq!(counters.of(state), count, "{state:?}");
    }
    let answers = reader.campaign_answers(&key(&owner), NOW).await.unwrap();
    assert_eq!((answers.answered, answers.abandoned), (1, 0));
    store.delete_campaign(key(&owner)).await.unwrap();
    assert!(reader.campaign(&key(&owner)).await.unwrap().is_none());
    assert!(reader.call(&owner, super::call(1)).await.unwrap().is_some(), "its calls stay");
}

pub(crate) async fn another_account_sees_no_campaign(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    let foreign = key(&account("other"));
    assert!(reader.campaign(&foreign).await.unwrap().is_none());
    assert!(reader.due_rows(&foreign, NOW, 10).await.unwrap().is_empty());
    assert_eq!(reader.campaign_counters(&foreign).await.unwrap().total(), 0);
    assert!(matches!(store.step_campaign(foreign.clone(), Step::Pause.into(), NOW).await, Err(CampaignError::Unknown)));
    assert!(matches!(store.delete_campaign(foreign.clone()).await, Err(CampaignError::Unknown)));
    let import = Import { key: foreign, token: "x".into() };
    assert!(matches!(store.begin_import(import, NOW).await, Err(CampaignError::Unknown)));
    assert_eq!(reader.open_campaigns().await.unwrap().len(), 1);
    assert!(reader.has_campaign_work(&key(&owner)).await.unwrap());
}
