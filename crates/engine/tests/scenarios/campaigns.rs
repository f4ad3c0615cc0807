//! Campaigns whose calls wait to be dialled: for a channel, or for their turn.

use crate::dialing;
use callwright_domain::agent::Switch;
use callwright_domain::campaign::{Callee as Somebody, Counters, Pace, RetryPlan, RowState, Settings, Step};
use callwright_domain::{AgentId, AgentPatch, CallId, HangupCause, Origin, PhoneNumber, TrunkId};
use callwright_engine::HangUp;
use callwright_store::{CampaignKey, NewRow, Number, Repeats, RowFilter, Trunk, TrunkSettings, Turns};
use callwright_testkit::{AGENT, Callee, Node, NodeBuilder, PATIENCE, Plan};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

fn settings() -> Settings {
    Settings {
        name: "spring".into(),
        agent: AgentId::new(AGENT).expect("an agent id"),
        patch: AgentPatch::default(),
        callers: Vec::new(),
        variables: BTreeMap::new(),
        windows: None,
        pace: Pace { concurrency: 3, cps: 100, gap_ms: 0 },
        retry: RetryPlan { on: Vec::new(), max_attempts: 1, waits_s: Vec::new() },
        priority: 5,
        starts: None,
        deadline: None,
        abandonment_guard: Switch::Off,
        origin: Origin::default(),
    }
}

async fn created(node: &Node) -> CampaignKey {
    let campaign = node.calls().campaigns().create(&node.account(), settings(), node.now()).await.expect("created");
    CampaignKey { account: campaign.account, id: campaign.id }
}

async fn filled(node: &Node, key: &CampaignKey, callees: u64) {
    let calls = node.calls();
    let mut upload = calls.campaigns().upload(key, node.now()).await.expect("it takes callees");
    for line in 1..=callees {
        let number = PhoneNumber::parse(&format!("+1555012{line}")).expect("a number");
        let (variables, user_data) = (BTreeMap::new(), None);
        let callee = Somebody { number, own_id: None, variables, user_data, due: None, max_duration_s: None };
        upload.add(NewRow { line, callee: Ok(callee), repeats: Repeats::Skipped }).await.expect("added");
    }
    upload.commit().await.expect("they count");
    calls.campaigns().step(key, Step::Start, node.now()).await.expect("it starts");
}

/// Looks until the rows stand so.
async fn stand(node: &Node, key: &CampaignKey, what: &str, wanted: impl Fn(&Counters) -> bool) {
    let looks = async {
        let mut every = tokio::time::interval(Duration::from_millis(5));
        loop {
            every.tick().await;
            let counters = node.calls().reader().campaign_counters(key).await.expect("readable");
            if wanted(&counters) {
                return;
            }
        }
    };
    if timeout(PATIENCE, looks).await.is_err() {
        let rows = node.calls().reader().campaign_rows(key, &RowFilter::default(), 0, 10).await.expect("readable");
        panic!("not in time: {what}; {:?}", rows.items);
    }
}

async fn call_of(node: &Node, key: &CampaignKey, row: u64) -> CallId {
    let rows = node.calls().reader().campaign_rows(key, &RowFilter::default(), row - 1, 1).await.expect("readable");
    rows.items[0].call.expect("it has a call")
}

#[tokio::test]
async fn a_pause_reaches_calls_that_wait_for_a_channel() {
    let mut callee = Callee::start(Plan::answer()).await;
    let mut builder = NodeBuilder::to(&callee);
    builder.trunk.max_calls = 1;
    let node = builder.start().await;
    let key = created(&node).await;
    filled(&node, &key, 3).await;
    let line = callee.line().await;
    stand(&node, &key, "three calls", |rows| rows.of(RowState::Calling) == 3).await;
    node.calls().campaigns().step(&key, Step::Pause, node.now()).await.expect("it pauses");
    // The channel gets free, and nobody is to be called by it.
    line.hang_up();
    stand(&node, &key, "what was not dialled waits again", |rows| rows.of(RowState::Calling) == 0).await;
    let counters = node.calls().reader().campaign_counters(&key).await.expect("readable");
    assert_eq!((counters.of(RowState::Answered), counters.of(RowState::Waiting)), (1, 2));
    assert_eq!(callee.calls(), 1);
    // Nothing is lost by it: each is called, once, when the campaign goes on.
    node.calls().campaigns().step(&key, Step::Resume, node.now()).await.expect("it goes on");
    for _ in 0..2 {
        callee.line().await.hang_up();
    }
    stand(&node, &key, "all are called", |rows| rows.of(RowState::Answered) == 3).await;
    assert_eq!(callee.calls(), 3);
}

/// Whoever waits for a turn is not rung for yet: an order, and a rule, still reach the call.
#[tokio::test]
async fn a_call_that_waits_for_its_turn_can_be_ended() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let key = created(&node).await;
    // The turns of most of a minute are taken: by other nodes, for all that this one knows.
    let turns = Turns::Campaign(key.id.clone());
    let taken = node.store().take_turn(key.account.clone(), turns, Duration::from_secs(55), node.now()).await;
    assert_eq!(taken.expect("taken"), Duration::ZERO);
    filled(&node, &key, 1).await;
    stand(&node, &key, "its call", |rows| rows.of(RowState::Calling) == 1).await;
    let call = call_of(&node, &key, 1).await;
    let live = async {
        while node.calls().readiness().live == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, live).await.expect("it waits for its turn");
    node.calls().hang_up(&key.account, call, HangUp::Now).await.expect("it hears");
    assert_eq!(node.ended(call).await, HangupCause::Cancelled);
    assert!(!node.events(call).await.iter().any(dialing), "nobody was about to be rung");
    stand(&node, &key, "the row is cancelled", |rows| rows.of(RowState::Cancelled) == 1).await;
    assert_eq!(callee.calls(), 0);
}

/// A pool is as good as its best number.
#[tokio::test]
async fn a_number_whose_trunk_is_off_stops_no_campaign() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let off = TrunkId::new("off").expect("a trunk id");
    let trunk = Trunk { id: off.clone(), settings: TrunkSettings::default(), enabled: Switch::Off };
    node.store().put_trunk(node.account(), trunk).await.expect("stored");
    // With more lines than the other: it would be asked first.
    let number = PhoneNumber::parse("+15550199").expect("a number");
    let number = Number { max_calls: 1000, ..Number::new(node.account(), number, off) };
    node.store().put_number(number).await.expect("stored");
    let key = created(&node).await;
    filled(&node, &key, 3).await;
    for _ in 0..3 {
        callee.line().await.hang_up();
    }
    stand(&node, &key, "all are called", |rows| rows.of(RowState::Answered) == 3).await;
    let campaign = node.calls().reader().campaign(&key).await.expect("readable").expect("known");
    assert_eq!(campaign.trouble, None);
}
