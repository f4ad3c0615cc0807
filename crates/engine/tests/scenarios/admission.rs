//! Which calls may exist, and what happens to them when the node goes down.

use crate::{answered, ms, said};
use callwright_domain::agent::{Greeting, Recording};
use callwright_domain::policy::RulesPatch;
use callwright_domain::{AgentId, CallEvent, HangupCause, PhoneNumber, Refusal};
use callwright_engine::{Accepting, HangUp, Repeat, StartCall, StartError, Started};
use callwright_sip::EndedBy;
use callwright_store::Idempotency;
use callwright_testkit::{Callee, Node, NodeBuilder, PATIENCE, Plan, Then};
use std::future::{pending, ready};
use std::time::Instant;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

async fn start(node: &Node, change: impl FnOnce(&mut StartCall)) -> Result<Started, StartError> {
    let mut request = node.request();
    change(&mut request);
    node.calls().start(request, node.now()).await
}

#[tokio::test]
async fn requests_that_cannot_be_met_are_refused_by_name() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let refused = |outcome: Result<Started, StartError>| outcome.expect_err("refused").to_string();

    let unknown = refused(start(&node, |r| r.patch.brain.vendor = Some("oracle".into())).await);
    assert!(unknown.contains("oracle") && unknown.contains("local"), "{unknown}");
    let unknown = refused(start(&node, |r| r.patch.ears.vendor = Some("trumpet".into())).await);
    assert!(unknown.contains("trumpet"), "{unknown}");
    let greeting = Greeting::Text("Hello {{ first_name }}!".into());
    let missing = refused(start(&node, |r| r.patch.opening.greeting = Some(greeting.clone())).await);
    assert!(missing.contains("first_name") && missing.contains("greeting"), "{missing}");
    let missing = refused(start(&node, |r| r.patch.brain.system_prompt = Some("{{ shop }}".into())).await);
    assert!(missing.contains("shop") && missing.contains("system_prompt"), "{missing}");
    let foreign = start(&node, |r| r.callers = vec![PhoneNumber::parse("+15550999").expect("a number")]).await;
    assert!(matches!(foreign, Err(StartError::Refused(Refusal::CallerNotOwned))), "{foreign:?}");
    let nobody = start(&node, |r| r.agent = AgentId::new("nobody").expect("an id").into()).await;
    assert!(matches!(nobody, Err(StartError::Refused(Refusal::UnknownAgent))), "{nobody:?}");

    assert_eq!(node.active_calls().await, 0, "no refused call holds a place");
    assert_eq!(callee.calls(), 0);
    let named = start(&node, |r| {
        r.patch.opening.greeting = Some(greeting);
        r.variables.insert("first_name".into(), "Ada".into());
    });
    let call = named.await.expect("accepted").id;
    node.wait_for(call, "the greeting", said("Hello Ada!")).await;
}

#[tokio::test]
async fn a_repeated_request_is_the_same_call() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).start().await;
    let once = |hash| Some(Idempotency { key: "order-7".into(), body_hash: [hash; 32] });
    let first = start(&node, |r| r.once = once(1)).await.expect("accepted");
    let second = start(&node, |r| r.once = once(1)).await.expect("the same");
    assert_eq!((first.repeat, second.repeat), (Repeat::First, Repeat::Replayed));
    assert_eq!(first.id, second.id);
    let other = start(&node, |r| r.once = once(2)).await;
    assert!(matches!(other, Err(StartError::OtherRequest)), "{other:?}");
    assert_eq!(node.active_calls().await, 1);
}

/// One unit of money a day, which is a second: the call that has it is cut off after that, and no other is made, neither beside
/// it nor later.
#[tokio::test]
async fn a_quota_cuts_the_call_that_would_pass_it() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let rules = r#"{"quota":{"status":"on","cost_per_day":1,"rates":[{"prefix":"+","micros_per_minute":60000000}]}}"#;
    let rules: RulesPatch = serde_json::from_str(rules).expect("rules");
    node.store().put_rules(node.account(), None, rules, node.now()).await.expect("stored");
    let refused = async || match start(&node, |_| {}).await {
        Err(StartError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let began = Instant::now();
    let call = node.call().await;
    assert_eq!(refused().await, Refusal::QuotaUsedUp);
    node.wait_for(call, "the answer", answered).await;
    assert_eq!(node.ended(call).await, HangupCause::MaxDuration);
    assert!(began.elapsed() < ms(5_000), "{:?}", began.elapsed());
    assert_eq!(refused().await, Refusal::QuotaUsedUp);
    assert_eq!(callee.calls(), 1);
}

#[tokio::test]
async fn a_number_has_its_calls_and_no_more_and_gets_them_back() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let mut node = NodeBuilder::to(&callee);
    node.number_calls = 1;
    let node = node.start().await;
    let call = node.call().await;
    let refused = start(&node, |_| {}).await;
    assert!(matches!(refused, Err(StartError::Refused(Refusal::CallerBusy))), "{refused:?}");
    callee.called(1).await;
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("taken");
    node.ended(call).await;
    let again = node.call().await;
    callee.called(2).await;
    node.calls().hang_up(&node.account(), again, HangUp::Now).await.expect("taken");
    assert_eq!(node.ended(again).await, HangupCause::Cancelled);
}

#[tokio::test]
async fn who_waits_for_a_place_gets_it_in_turn_or_ends_with_a_name() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let mut node = NodeBuilder::to(&callee);
    node.number_calls = 1;
    let node = node.start().await;
    let first = node.call().await;
    let second = start(&node, |r| r.wait = PATIENCE).await.expect("it waits");
    assert_eq!(second.waits, Some(Refusal::CallerBusy));
    let third = start(&node, |r| r.wait = PATIENCE).await.expect("it waits").id;
    let hasty = start(&node, |r| r.wait = ms(1)).await.expect("it waits").id;
    assert_eq!(node.ended(hasty).await, HangupCause::NoPlace);
    callee.called(1).await;
    node.calls().hang_up(&node.account(), first, HangUp::Now).await.expect("taken");
    node.wait_for(second.id, "the ringing", crate::ringing).await;
    assert_eq!(node.event_names(third).await, ["created"], "it is not its turn");
    assert_eq!(node.active_calls().await, 1);
    // Who waits may be told to stop waiting.
    node.calls().hang_up(&node.account(), third, HangUp::Now).await.expect("taken");
    assert_eq!(node.ended(third).await, HangupCause::Cancelled);
    node.calls().hang_up(&node.account(), second.id, HangUp::Now).await.expect("taken");
    assert_eq!(node.ended(second.id).await, HangupCause::Cancelled);
    assert_eq!(callee.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_starts_at_once_a_number_gets_15() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).start().await;
    let mut starts = JoinSet::new();
    for _ in 0..64 {
        let (calls, request, now) = (node.calls(), node.request(), node.now());
        starts.spawn(async move { calls.start(request, now).await });
    }
    let mut accepted = Vec::new();
    for outcome in starts.join_all().await {
        match outcome {
            Ok(started) => accepted.push(started.id),
            Err(StartError::Refused(Refusal::CallerBusy)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(accepted.len(), 15);
    assert_eq!(node.active_calls().await, 15);
    callee.called(15).await;
    for call in &accepted {
        node.calls().hang_up(&node.account(), *call, HangUp::Now).await.expect("taken");
    }
    for call in &accepted {
        assert_eq!(node.ended(*call).await, HangupCause::Cancelled);
    }
    callee.withdrawn(15).await;
    assert_eq!((node.active_calls().await, callee.calls()), (0, 15));
}

#[tokio::test]
async fn a_node_takes_no_more_than_its_calls_and_dials_the_rest_later() {
    let mut callee = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to(&callee);
    node.max_calls = 1;
    let node = node.start().await;
    let (first, second) = (node.call().await, node.call().await);
    let mut line = callee.line().await;
    node.wait_for(first, "the greeting", said("Hello there.")).await;
    assert_eq!(node.event_names(second).await, ["created"]);
    line.hang_up();
    line.ended().await;
    node.wait_for(second, "the greeting", said("Hello there.")).await;
    assert_eq!(callee.calls(), 2);
}

async fn draining(node: &Node) {
    let closed = async {
        while node.calls().readiness().accepting != Accepting::Draining {
            yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.expect("the drain begins in time");
}

#[tokio::test]
async fn a_drain_refuses_new_calls_and_lets_live_ones_finish() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).agent(|agent| agent.recording = Recording::Stereo).start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the answer", answered).await;
    let engine = node.engine();
    let drain = tokio::spawn(async move { engine.drain(pending()).await });
    draining(&node).await;
    let refused = start(&node, |_| {}).await;
    assert!(matches!(refused, Err(StartError::Refused(Refusal::Draining))), "{refused:?}");
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hang_up();
    timeout(PATIENCE, drain).await.expect("in time").expect("no panic");
    let names = node.event_names(call).await;
    assert_eq!(names[4..], ["spoke", "said", "ended", "recording_kept"], "nothing is lost: {names:?}");
    assert_eq!(node.calls().readiness().live, 0);
}

#[tokio::test]
async fn a_hurried_drain_ends_live_calls() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    timeout(PATIENCE, node.engine().drain(ready(()))).await.expect("in time");
    assert_eq!(line.ended().await, EndedBy::Peer);
    let last = node.events(call).await.pop();
    assert!(matches!(last, Some(CallEvent::Ended { cause: HangupCause::ServerShutdown, .. })), "{last:?}");
}

#[tokio::test]
async fn a_call_that_is_not_due_waits() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let due = node.now().after(ms(400));
    let call = start(&node, |r| r.due = Some(due)).await.expect("accepted").id;
    callee.line().await;
    assert!(node.now().millis() >= due.millis());
    node.wait_for(call, "the greeting", said("Hello there.")).await;
}

/// Requests that wait for their agent's only place are answered in the order in which they came, as it gets free; one whose
/// patience ends is refused, and its call is not dialled.
#[tokio::test]
async fn a_request_waits_in_line_and_is_told() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).start().await;
    let rules = RulesPatch { agent_calls: Some(1), ..Default::default() };
    let calls = node.calls();
    calls.configure().put_rules(&node.account(), None, &rules, node.now()).await.expect("stored");
    let in_line = |wait: std::time::Duration| {
        let (calls, mut request, now) = (node.calls(), node.request(), node.now());
        request.wait = wait;
        async move { calls.start_in_line(request, now).await }
    };
    let first = in_line(ms(0)).await.expect("there is a place").id;
    let busy = in_line(ms(0)).await;
    assert!(matches!(busy, Err(StartError::Refused(Refusal::AgentBusy))), "{busy:?}");
    let late = in_line(ms(50)).await;
    assert!(matches!(late, Err(StartError::Refused(Refusal::AgentBusy))), "{late:?}");
    let second = tokio::spawn(in_line(ms(60_000)));
    let waiting = async {
        while calls.reader().waiting(node.now()).await.expect("readable").lines.is_empty() {
            yield_now().await;
        }
    };
    waiting.await;
    assert!(!second.is_finished());
    calls.hang_up(&node.account(), first, HangUp::Now).await.expect("ordered");
    let second = second.await.expect("it ran").expect("its turn came");
    assert_eq!(second.waits, None);
    let view = calls.reader().call(&node.account(), second.id).await.expect("readable").expect("there");
    assert_eq!(view.waits, None);
}
