//! Calls that nobody talks on, and hang-ups by order in every state.

use crate::{answered, dialing, ms, ringing, said};
use callwright_domain::policy::RulesPatch;
use callwright_domain::{CallEvent, CallId, HangupCause, Moment};
use callwright_engine::{HangUp, OrderError};
use callwright_sip::EndedBy;
use callwright_testkit::{Callee, Node, NodeBuilder, Plan, Then};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

async fn outcome(plan: Plan) -> (HangupCause, Option<u16>) {
    let callee = Callee::start(plan).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    let ended = node.wait_for(call, "the end", |event| matches!(event, CallEvent::Ended { .. })).await;
    let CallEvent::Ended { cause, status, .. } = ended.event else { panic!("an end") };
    assert_eq!(callee.calls(), 1, "dialled once");
    assert_eq!(node.active_calls().await, 0, "its place is given back");
    assert!(!node.event_names(call).await.contains(&"answered"));
    (cause, status)
}

#[tokio::test]
async fn refusals_have_their_causes() {
    for (status, cause) in [
        (486, HangupCause::Busy),
        (600, HangupCause::Busy),
        (603, HangupCause::Rejected),
        (404, HangupCause::Unreachable),
        (480, HangupCause::Unreachable),
        (488, HangupCause::MediaRefused),
        (500, HangupCause::TrunkFailed),
        (302, HangupCause::Redirected),
    ] {
        assert_eq!(outcome(Plan::then(Then::Refuse(status))).await, (cause, Some(status)), "{status}");
    }
}

#[tokio::test]
async fn an_answer_without_a_codec_of_ours_ends_the_call() {
    let body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 40000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n";
    let (cause, _) = outcome(Plan::then(Then::AnswerWith(body.into()))).await;
    assert_eq!(cause, HangupCause::MediaFailed);
}

#[tokio::test]
async fn a_telephone_that_nobody_picks_up_rings_until_the_limit() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).agent(|agent| agent.limits.ring_timeout_s = 1).start().await;
    let began = Instant::now();
    let call = node.call().await;
    assert_eq!(node.ended(call).await, HangupCause::NoAnswer);
    // A limit that is raised would be far above this.
    assert!((ms(900)..ms(10_000)).contains(&began.elapsed()), "{:?}", began.elapsed());
    callee.withdrawn(1).await;
}

#[tokio::test]
async fn a_ring_limit_counts_as_it_is_asked_for_unless_a_rule_is_longer() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).start().await;
    for (rule, asked, counts) in [(None, None, 45), (None, Some(5), 5), (Some(15), Some(5), 15), (Some(15), None, 45)] {
        let rules = RulesPatch { min_ring_s: rule, ..RulesPatch::default() };
        node.calls().configure().put_rules(&node.account(), None, &rules, node.now()).await.expect("kept");
        let mut request = node.request();
        request.patch.limits.ring_timeout_s = asked;
        let (plan, _) = node.calls().try_out(request, node.now()).await.expect("a verdict");
        assert_eq!(plan.agent.limits.ring_timeout_s, counts, "{rule:?} {asked:?}");
    }
}

#[tokio::test]
async fn a_trunk_that_never_answers_is_given_up() {
    let deaf = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut node = NodeBuilder::to_address(deaf.local_addr().expect("bound"));
    node.t1 = ms(10);
    let node = node.start().await;
    let call = node.call().await;
    assert_eq!(node.ended(call).await, HangupCause::NoResponse);
    assert_eq!(node.event_names(call).await, ["created", "dialing", "ended"]);
}

async fn hang_up(node: &Node, call: CallId) -> HangupCause {
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("taken");
    node.ended(call).await
}

#[tokio::test]
async fn a_queued_call_is_hung_up_without_being_dialled() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let mut request = node.request();
    request.due = Some(node.now().after(Duration::from_secs(3600)));
    let call = node.calls().start(request, node.now()).await.expect("accepted").id;
    // What is due later holds no place yet.
    assert_eq!(node.active_calls().await, 0);
    assert_eq!(hang_up(&node, call).await, HangupCause::Cancelled);
    assert_eq!(node.event_names(call).await, ["created", "ended"]);
    assert_eq!(node.active_calls().await, 0);
    let again = node.calls().hang_up(&node.account(), call, HangUp::Now).await;
    assert!(matches!(again, Err(OrderError::Ended(HangupCause::Cancelled))), "{again:?}");
    assert_eq!(callee.calls(), 0);
}

#[tokio::test]
async fn a_call_that_is_being_dialled_is_withdrawn() {
    let silent = Plan { ring: Duration::ZERO, ..Plan::then(Then::Never) };
    let callee = Callee::start(silent).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    node.wait_for(call, "the dialling", dialing).await;
    callee.called(1).await;
    assert_eq!(hang_up(&node, call).await, HangupCause::Cancelled);
    callee.withdrawn(1).await;
}

#[tokio::test]
async fn a_ringing_call_is_withdrawn() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    node.wait_for(call, "the ringing", ringing).await;
    let early = node.calls().say(&node.account(), call, "Hello?".into(), callwright_engine::Speech::Insistent).await;
    assert!(matches!(early, Err(OrderError::NotAnswered)), "{early:?}");
    assert_eq!(hang_up(&node, call).await, HangupCause::Cancelled);
    callee.withdrawn(1).await;
    assert_eq!(node.event_names(call).await, ["created", "dialing", "ringing", "ended"]);
}

#[tokio::test]
async fn a_call_that_is_up_is_hung_up() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the answer", answered).await;
    assert_eq!(hang_up(&node, call).await, HangupCause::ApiHungUp);
    assert_eq!(line.ended().await, EndedBy::Peer);
    let stranger = callwright_domain::AccountId::new("somebody-else").expect("an id");
    let foreign = node.calls().hang_up(&stranger, call, HangUp::Now).await;
    assert!(matches!(foreign, Err(OrderError::UnknownCall)), "{foreign:?}");
}

#[tokio::test]
async fn a_hang_up_that_meets_the_answer_is_still_a_hang_up() {
    let callee = Callee::start(Plan { ring: Duration::ZERO, ..Plan::answer() }).await;
    let node = NodeBuilder::to(&callee).start().await;
    for number in 1..=12 {
        let call = node.call().await;
        node.wait_for(call, "the dialling", dialing).await;
        if number % 2 == 0 {
            callee.called(number).await;
        }
        let cause = hang_up(&node, call).await;
        assert!(matches!(cause, HangupCause::Cancelled | HangupCause::ApiHungUp), "{cause:?}");
        let was_answered = node.event_names(call).await.contains(&"answered");
        assert_eq!(was_answered, cause == HangupCause::ApiHungUp, "{:?}", node.events(call).await);
    }
}

#[tokio::test]
async fn a_callee_who_vanishes_is_given_up() {
    let mut callee = Callee::start(Plan::answer()).await;
    let mut node = NodeBuilder::to(&callee);
    node.media_timeout = ms(500);
    let node = node.start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.vanish();
    assert_eq!(node.ended(call).await, HangupCause::MediaTimeout);
}

#[tokio::test]
async fn a_callee_who_hangs_up_by_plan_ends_the_call() {
    let mut callee = Callee::start(Plan { hang_up_after: Some(ms(600)), ..Plan::answer() }).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert_eq!(line.ended().await, EndedBy::Local);
}

#[tokio::test]
async fn a_call_past_its_deadline_is_not_dialled() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let mut request = node.request();
    request.deadline = Some(Moment(node.now().millis() - 1));
    let call = node.calls().start(request, node.now()).await.expect("accepted").id;
    assert_eq!(node.ended(call).await, HangupCause::Expired);
    assert_eq!(callee.calls(), 0);
}
