//! Calls that are met in a browser: waited for, refused at the door, over a restart.

use crate::ms;
use callwright_domain::agent::AgentPatch;
use callwright_domain::{AgentId, CallId, CallState, ChannelName, HangupCause, Origin};
use callwright_engine::{HangUp, Join, JoinError, MeetCall, MeetError, OrderError, Parlance, Shown, Wish};
use callwright_testkit::{AGENT, Callee, Node, NodeBuilder, Plan};
use std::collections::BTreeMap;
use std::time::Duration;

/// Long enough that no test sees its end.
const LONG: Duration = Duration::from_secs(3600);

/// A far end that shows nothing and wishes nothing.
struct Mute;

impl Parlance for Mute {
    fn wishes(&mut self, _: &str) -> Vec<Wish> {
        Vec::new()
    }

    fn words(&mut self, _: &Shown) -> Vec<String> {
        Vec::new()
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).expect("a name")
}

fn meeting(node: &Node, channel: &str, joins_within: Duration) -> MeetCall {
    MeetCall {
        account: node.account(),
        agent: AgentId::new(AGENT).expect("an id").into(),
        patch: AgentPatch::default(),
        channel: name(channel),
        user: Some(name("ann")),
        agent_user: name("agent"),
        joins_within,
        returns_within: Duration::ZERO,
        mirror: None,
        variables: BTreeMap::new(),
        user_data: None,
        thread: None,
        once: None,
        origin: Origin::default(),
    }
}

async fn meet(node: &Node, channel: &str, joins_within: Duration) -> CallId {
    node.calls().meet(meeting(node, channel, joins_within), node.now()).await.expect("accepted").id
}

async fn join(node: &Node, channel: &str, user: &str) -> JoinError {
    let join = Join {
        account: node.account(),
        channel: name(channel),
        user: name(user),
        offer: String::from("v=0\r\n"),
        parlance: Box::new(Mute),
        overture: None,
    };
    node.calls().join(join, node.now()).await.expect_err("nobody is met here")
}

async fn state(node: &Node, call: CallId) -> CallState {
    node.calls().reader().call(&node.account(), call).await.expect("readable").expect("known").state
}

#[tokio::test]
async fn a_call_that_nobody_joins_ends_with_a_name_of_its_own() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).browsers().start().await;
    let call = meet(&node, "room", ms(20)).await;
    assert_eq!(node.ended(call).await, HangupCause::NotJoined);
    assert_eq!(node.event_names(call).await, ["created", "ended"]);
    assert!(matches!(join(&node, "room", "ann").await, JoinError::Over));
    assert_eq!(callee.calls(), 0, "nobody was dialled");
}

#[tokio::test]
async fn who_may_not_join_is_told_why_and_the_call_waits_on() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).browsers().start().await;
    let call = meet(&node, "room", LONG).await;
    assert!(matches!(join(&node, "other", "ann").await, JoinError::NoCall));
    assert!(matches!(join(&node, "room", "eve").await, JoinError::OtherUser));
    assert!(matches!(join(&node, "room", "agent").await, JoinError::OtherUser));
    assert!(matches!(join(&node, "room", "ann").await, JoinError::Offer(_)));
    assert_eq!(state(&node, call).await, CallState::Queued, "a join that failed costs the call nothing");
    let (calls, account) = (node.calls(), node.account());
    assert!(matches!(calls.leave(&account, call, name("ann")).await, Err(OrderError::NotAnswered)));
    assert!(matches!(calls.show_text(&account, call, String::from("{}")).await, Err(OrderError::NotAnswered)));
    let twice = calls.meet(meeting(&node, "room", LONG), node.now()).await;
    assert!(matches!(twice, Err(MeetError::ChannelTaken)), "{twice:?}");
    calls.hang_up(&account, call, HangUp::Now).await.expect("hung up");
    assert_eq!(node.ended(call).await, HangupCause::Cancelled);
    assert!(matches!(join(&node, "room", "ann").await, JoinError::Over));
    meet(&node, "room", LONG).await;
}

#[tokio::test]
async fn a_call_that_waits_survives_and_waits_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).browsers().data(directory.path()).start_doomed().await;
    let waiting = meet(doomed.node(), "room", LONG).await;
    let late = meet(doomed.node(), "hall", ms(1)).await;
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    assert_eq!(node.ended(late).await, HangupCause::NotJoined);
    assert_eq!(state(&node, waiting).await, CallState::Queued);
    // This life meets no browsers.
    assert!(matches!(join(&node, "room", "ann").await, JoinError::Off));
    let another = node.calls().meet(meeting(&node, "hall", LONG), node.now()).await;
    assert!(matches!(another, Err(MeetError::Off)), "nobody could ever join it: {another:?}");
    let newest = node.calls().reader().call_in_channel(&node.account(), &name("hall")).await.expect("readable");
    assert_eq!(newest.map(|view| view.plan.id), Some(late), "none was made");
}

#[tokio::test]
async fn telephones_have_no_screen() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    node.wait_for(call, "the answer", crate::answered).await;
    let shown = node.calls().show_text(&node.account(), call, String::from("{}")).await;
    assert!(matches!(shown, Err(OrderError::NotAnswered)), "{shown:?}");
    // Nobody of this name is there: nobody leaves, and the call goes on.
    node.calls().leave(&node.account(), call, name("ann")).await.expect("taken");
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("hung up");
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
}
