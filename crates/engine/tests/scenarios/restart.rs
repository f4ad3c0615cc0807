//! What a crash leaves behind, and what the next life makes of it.

use crate::{answered, ms, ringing, said};
use callwright_domain::campaign::RetryPlan;
use callwright_domain::retry::Retries;
use callwright_domain::{CallEvent, CallState, HangupCause};
use callwright_engine::{HangUp, OrderError};
use callwright_sip::EndedBy;
use callwright_testkit::{Callee, Node, NodeBuilder, Plan, Then};
use std::time::Instant;

async fn assert_restarted(node: &Node, call: callwright_domain::CallId) {
    let view = node.calls().reader().call(&node.account(), call).await.expect("readable").expect("still known");
    assert_eq!(view.state, CallState::Ended(HangupCause::ServerRestarted));
    assert!(matches!(node.events(call).await.last(), Some(CallEvent::Ended { .. })));
    assert_eq!(node.active_calls().await, 0, "its place is given back");
}

#[tokio::test]
async fn a_call_that_was_up_is_ended_and_never_dialled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    let began = Instant::now();
    let call = doomed.node().call().await;
    let mut line = callee.line().await;
    doomed.node().wait_for(call, "the answer", answered).await;
    line.hears(began).await;
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    assert_restarted(&node, call).await;
    assert_eq!(line.ended().await, EndedBy::Peer, "the callee is told");
    // The dialer has looked at the queue by the time that another call is up.
    let next = node.call().await;
    node.wait_for(next, "the greeting", said("Hello there.")).await;
    assert_eq!(callee.calls(), 2, "the interrupted call once, the next one once");
}

#[tokio::test]
async fn a_call_that_was_ringing_is_ended_and_never_dialled_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    let call = doomed.node().call().await;
    doomed.node().wait_for(call, "the ringing", ringing).await;
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    assert_restarted(&node, call).await;
    let next = node.call().await;
    node.wait_for(next, "the ringing", ringing).await;
    assert_eq!(callee.calls(), 2, "the interrupted call once, the next one once");
}

#[tokio::test]
async fn a_queued_call_survives_and_is_dialled_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    let mut request = doomed.node().request();
    request.due = Some(doomed.node().now().after(ms(1000)));
    let call = doomed.node().calls().start(request, doomed.node().now()).await.expect("accepted").id;
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert_eq!(callee.calls(), 1);
    assert_eq!(node.event_names(call).await, ["created", "dialing", "ringing", "answered", "spoke", "said"]);
}

#[tokio::test]
async fn a_call_that_waits_for_a_place_goes_on_waiting_and_is_dialled_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let builder = || {
        let mut builder = NodeBuilder::to(&callee).data(directory.path());
        builder.number_calls = 1;
        builder
    };
    let doomed = builder().start_doomed().await;
    let first = doomed.node().call().await;
    doomed.node().wait_for(first, "the ringing", ringing).await;
    let mut request = doomed.node().request();
    request.wait = callwright_testkit::PATIENCE;
    let call = doomed.node().calls().start(request, doomed.node().now()).await.expect("it waits").id;
    doomed.kill();

    let node = builder().start().await;
    node.wait_for(call, "the ringing", ringing).await;
    assert_eq!(node.event_names(call).await, ["created", "dialing", "ringing"]);
    assert_eq!(callee.calls(), 2, "the interrupted call once, the one that waited once");
}

#[tokio::test]
async fn a_call_that_is_tried_again_is_tried_once_whatever_crashes() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::then(Then::Refuse(486))).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    let mut request = doomed.node().request();
    let plan = RetryPlan { on: vec![HangupCause::Busy], max_attempts: 2, waits_s: vec![1] };
    request.retry = Some(Retries::new(plan, None));
    let first = doomed.node().calls().start(request, doomed.node().now()).await.expect("accepted").id;
    assert_eq!(doomed.node().ended(first).await, HangupCause::Busy);
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    let view = node.calls().reader().call(&node.account(), first).await.expect("readable").expect("still known");
    let second = view.next.expect("its end brought the next try with it");
    assert_eq!(node.ended(second).await, HangupCause::Busy);
    assert_eq!(node.event_names(second).await, ["created", "dialing", "ringing", "ended"]);
    let last = node.calls().reader().call(&node.account(), second).await.expect("readable").expect("known");
    assert_eq!(last.next, None, "twice altogether");
    assert_eq!(callee.calls(), 2);
}

#[tokio::test]
async fn hanging_up_what_is_to_be_tried_again_stops_the_next_try() {
    let callee = Callee::start(Plan::then(Then::Refuse(486))).await;
    let node = NodeBuilder::to(&callee).start().await;
    let mut request = node.request();
    let plan = RetryPlan { on: vec![HangupCause::Busy], max_attempts: 5, waits_s: vec![3600] };
    request.retry = Some(Retries::new(plan, None));
    let first = node.calls().start(request, node.now()).await.expect("accepted").id;
    assert_eq!(node.ended(first).await, HangupCause::Busy);
    let view = node.calls().reader().call(&node.account(), first).await.expect("readable").expect("known");
    node.calls().hang_up(&node.account(), first, HangUp::Now).await.expect("its retry waits");
    assert_eq!(node.ended(view.next.expect("another try")).await, HangupCause::Cancelled);
    let again = node.calls().hang_up(&node.account(), first, HangUp::Now).await;
    assert!(matches!(again, Err(OrderError::Ended(HangupCause::Cancelled))), "{again:?}");
    assert_eq!(callee.calls(), 1);
}

#[tokio::test]
async fn the_journal_of_an_ended_call_outlives_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    let call = doomed.node().call().await;
    let line = callee.line().await;
    doomed.node().wait_for(call, "the greeting", said("Hello there.")).await;
    line.hang_up();
    doomed.node().ended(call).await;
    let before = doomed.node().events(call).await;
    doomed.kill();
    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    assert_eq!(node.events(call).await, before);
}
