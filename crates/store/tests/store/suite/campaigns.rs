//! Campaigns: imports that count whole or not at all, rows that are called once for each attempt, ends that settle them.

use super::privacy::order;
use super::{CALLER, NOW, account, admission, answered, dialing, equip, later, number};
use callwright_domain::agent::Switch;
use callwright_domain::campaign::{
    Callee, Campaign, CampaignCall, CampaignState, Pace, RetryPlan, Row, RowState, Settings, Step, Stopped, Windows,
};
use callwright_domain::{
    AccountId, AgentId, AgentPatch, CallId, CampaignId, HangupCause, Moment, Origin, Pii, Refusal,
};
use callwright_store::{
    AdmitError, CampaignError, CampaignKey, Import, Launch, Launched, NewRow, Opened, Permit, Reader, Repeats,
    RowFilter, StepOrder, Store, StoreError, Suppress, Verdict,
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
) -> Result<Launched, AdmitError> {
    let mut admission = admission(owner, id);
    let (campaign, attempt) = (key(owner).id, attempts + 1);
    admission.plan.campaign = Some(CampaignCall { campaign, row, attempt, pace: Pace::default() });
    store.launch(Launch { key: key(owner), row, attempts, admission }, NOW).await
}

/// Asks for the one call that is due.
async fn permit(store: &Store, now: Moment) -> Permit {
    let claimed = store.claim_due(now, 10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    store.permit(claimed[0].clone(), now).await.unwrap()
}

/// Where a row stands: its state, when it is due, its attempts and its call.
async fn standing(reader: &Reader, owner: &AccountId, place: u64) -> (RowState, Option<Moment>, u32, Option<CallId>) {
    let row = row_of(reader, owner, place).await;
    (row.state, row.due, row.attempts, row.call)
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

/// What was launched and not dialled yet is no more dialled than what was not launched: its row is as it was before.
pub(crate) async fn a_pause_reaches_calls_that_wait_to_be_dialled(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    launch(store, &owner, (1, 0), 1).await.unwrap();
    store.step_campaign(key(&owner), Step::Pause.into(), NOW).await.unwrap();
    assert_eq!(permit(store, NOW).await, Permit::Withdrawn);
    assert_eq!(standing(reader, &owner, 1).await, (RowState::Waiting, Some(NOW), 0, None));
    // The call may be asked for again before its end is written: by another life, after a crash.
    let plan = reader.call(&owner, super::call(1)).await.unwrap().unwrap().plan;
    assert_eq!(store.permit(plan, NOW).await.unwrap(), Permit::Withdrawn);
    store.step_campaign(key(&owner), Step::Resume.into(), NOW).await.unwrap();
    // The row's first attempt is made by another call; the end of the first one is nothing to it.
    launch(store, &owner, (1, 0), 2).await.unwrap();
    store.finish(super::call(1), NOW, HangupCause::Cancelled.into()).await.unwrap();
    assert_eq!(standing(reader, &owner, 1).await, (RowState::Calling, None, 1, Some(super::call(2))));
    assert_eq!(permit(store, NOW).await, Permit::Granted);
    end(store, 2, HangupCause::Busy, false).await;
    // A second attempt that is given back is the second attempt still.
    launch(store, &owner, (1, 1), 3).await.unwrap();
    let plan = reader.call(&owner, super::call(3)).await.unwrap().unwrap().plan;
    store.step_campaign(key(&owner), Step::Pause.into(), NOW).await.unwrap();
    assert_eq!(store.permit(plan, NOW).await.unwrap(), Permit::Withdrawn);
    assert_eq!(standing(reader, &owner, 1).await, (RowState::Retrying, Some(NOW), 1, Some(super::call(2))));
    store.finish(super::call(3), NOW, HangupCause::Cancelled.into()).await.unwrap();
    // A campaign that is over lets nobody be dialled, and its rows are final.
    store.step_campaign(key(&owner), Step::Resume.into(), NOW).await.unwrap();
    launch(store, &owner, (3, 0), 4).await.unwrap();
    let stop = StepOrder { step: Step::Stop, stopped: Some(Stopped::Asked), trouble: None };
    store.step_campaign(key(&owner), stop, NOW).await.unwrap();
    assert_eq!(permit(store, NOW).await, Permit::Withdrawn);
    store.finish(super::call(4), NOW, HangupCause::Cancelled.into()).await.unwrap();
    assert_eq!(row_of(reader, &owner, 3).await.state, RowState::Cancelled);
}

/// Whoever is to be forgotten does not wait for the campaign to go on.
pub(crate) async fn a_row_of_an_erased_number_is_not_given_back(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    launch(store, &owner, (1, 0), 1).await.unwrap();
    store.step_campaign(key(&owner), Step::Pause.into(), NOW).await.unwrap();
    let callee = reader.call(&owner, super::call(1)).await.unwrap().unwrap().plan.callee().unwrap().clone();
    store.open_erasure(order(&owner, callee.dial(), Suppress::AsItWas)).await.unwrap();
    assert_eq!(permit(store, NOW).await, Permit::Withdrawn);
    store.finish(super::call(1), NOW, HangupCause::Cancelled.into()).await.unwrap();
    assert_eq!(row_of(reader, &owner, 1).await.state, RowState::Cancelled);
}

/// NOW is a Tuesday, 22:13 UTC.
pub(crate) async fn windows_and_the_guard_reach_calls_that_wait_to_be_dialled(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    launch(store, &owner, (1, 0), 1).await.unwrap();
    let day: Windows = serde_json::from_str(
        r#"{"zone":"UTC","weekly":[{"days":["mon","tue","wed","thu","fri"],"from":"08:00","to":"22:00"}]}"#,
    )
    .unwrap();
    store.change_campaign(key(&owner), Settings { windows: Some(day), ..settings() }).await.unwrap();
    assert_eq!(permit(store, NOW).await, Permit::Withdrawn);
    let eight = Moment(1_700_035_200_000);
    assert_eq!(standing(reader, &owner, 1).await, (RowState::Waiting, Some(eight), 0, None));
    store.finish(super::call(1), NOW, HangupCause::Cancelled.into()).await.unwrap();
    // Three who heard nobody are three of a hundred.
    store.change_campaign(key(&owner), settings()).await.unwrap();
    let more = (10..13).map(|line| row(line, &format!("+49300001{line}"))).collect();
    import(store, &owner, "more", more).await;
    for (row, id) in [(3, 2), (5, 3), (6, 4)] {
        launch(store, &owner, (row, 0), id).await.unwrap();
        store.claim_due(NOW, 10).await.unwrap();
        store.append(super::call(id), vec![(NOW, dialing(1)), (NOW, answered())]).await.unwrap();
        store.finish(super::call(id), later(5_000), HangupCause::CalleeHungUp.into()).await.unwrap();
    }
    assert_eq!(reader.campaign_answers(&key(&owner), NOW).await.unwrap().abandoned, 3);
    launch(store, &owner, (7, 0), 5).await.unwrap();
    assert_eq!(permit(store, NOW).await, Permit::Withdrawn);
    store.finish(super::call(5), NOW, HangupCause::Cancelled.into()).await.unwrap();
    store.change_campaign(key(&owner), Settings { abandonment_guard: Switch::Off, ..settings() }).await.unwrap();
    launch(store, &owner, (7, 0), 6).await.unwrap();
    assert_eq!(permit(store, NOW).await, Permit::Granted);
}

/// A call that would wait for its hour is none: the row waits.
pub(crate) async fn a_row_waits_for_the_hour_of_its_callee(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    launch(store, &owner, (1, 0), 1).await.unwrap();
    let hours = r#"{"hours":{"status":"on","windows":[{"from":"08:00","to":"21:00"}],"otherwise":"reschedule"}}"#;
    let rules = serde_json::from_str(hours).unwrap();
    store.put_rules(owner.clone(), None, rules, NOW).await.unwrap();
    // 23:13 where the callee is.
    let eight = Moment(1_700_031_600_000);
    assert_eq!(launch(store, &owner, (3, 0), 2).await.unwrap(), Launched::Later(eight));
    assert_eq!(standing(reader, &owner, 3).await, (RowState::Waiting, Some(eight), 0, None));
    assert!(reader.call(&owner, super::call(2)).await.unwrap().is_none(), "no call was made");
    assert_eq!(permit(store, NOW).await, Permit::Withdrawn);
    assert_eq!(standing(reader, &owner, 1).await, (RowState::Waiting, Some(eight), 0, None));
    assert_eq!(row_of(reader, &owner, 1).await.reason.as_deref(), Some("outside_calling_hours"));
}

/// Callees that are just being added keep a campaign from being through; what a broken import left does not.
pub(crate) async fn a_broken_import_keeps_no_campaign_from_its_end(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    for (row, id) in [(1, 1), (3, 2), (5, 3)] {
        launch(store, &owner, (row, 0), id).await.unwrap();
        end(store, id, HangupCause::Rejected, false).await;
    }
    let broken = Import { key: key(&owner), token: "two".into() };
    store.begin_import(broken.clone(), NOW).await.unwrap();
    store.add_rows(broken.clone(), vec![row(2, "+4930000009")], NOW).await.unwrap();
    assert!(reader.has_campaign_work(&key(&owner), NOW).await.unwrap());
    let early = store.step_campaign(key(&owner), Step::Finish.into(), NOW).await;
    assert!(matches!(early, Err(CampaignError::State(CampaignState::Running))), "{early:?}");
    let past = later(61_000);
    assert!(!reader.has_campaign_work(&key(&owner), past).await.unwrap());
    store.step_campaign(key(&owner), Step::Finish.into(), past).await.unwrap();
    // Whoever comes back with the rest hears that it is too late, and nobody is called.
    let late = store.commit_import(broken).await;
    assert!(matches!(late, Err(CampaignError::State(CampaignState::Done))), "{late:?}");
    let counters = reader.campaign_counters(&key(&owner)).await.unwrap();
    assert_eq!((counters.finished(), counters.total()), (5, 5));
}

/// A node that goes down leaves its campaigns to whoever looks next.
pub(crate) async fn a_campaign_that_was_left_is_taken_at_once(opened: Opened) {
    let owner = running(&opened).await;
    let (store, reader) = (&opened.store, &opened.reader);
    assert_eq!(store.leave_campaigns().await.unwrap(), 1);
    assert_eq!(reader.open_campaigns().await.unwrap()[0].1, None);
    assert!(matches!(launch(store, &owner, (1, 0), 1).await, Err(AdmitError::Store(StoreError::NotOwner))));
    assert_eq!(store.claim_campaigns(NOW).await.unwrap(), 1);
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
    assert!(reader.has_campaign_work(&key(&owner), NOW).await.unwrap());
}
