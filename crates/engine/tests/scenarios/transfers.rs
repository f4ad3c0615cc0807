//! The callee is handed over to another telephone.

use crate::said;
use callwright_domain::agent::Tool;
use callwright_domain::policy::RulesPatch;
use callwright_domain::policy::rules::Destinations;
use callwright_domain::{CallEvent, CallState, HangupCause, Moment, Refusal, Transfer, TransferTarget, TrunkId};
use callwright_engine::OrderError;
use callwright_sip::EndedBy;
use callwright_store::{Denial, TransferBy};
use callwright_testkit::{Callee, Line, Node, NodeBuilder, Plan, Reply, ScriptedBrain, TRUNK};
use std::time::{Duration, Instant};

fn to(text: &str) -> Transfer {
    Transfer::to(TransferTarget::parse(text).expect("a target"))
}

fn desk(number: &str) -> Tool {
    Tool::Transfer {
        name: "desk".into(),
        description: "A person is wanted.".into(),
        to: number.into(),
        announcement: "I am connecting you.".into(),
        apology: String::new(),
    }
}

/// How the trunk of these tests hands callees over.
async fn transfers_by(node: &Node, by: TransferBy) {
    let id = TrunkId::new(TRUNK).expect("an id");
    let found = node.calls().reader().trunk(&node.account(), &id).await.expect("readable");
    let mut trunk = found.expect("the node has a trunk");
    trunk.settings.transfer = by;
    node.calls().configure().put_trunk(&node.account(), &trunk).await.expect("written");
}

/// Why the transfers of a call did not work, in their order.
async fn reasons(node: &Node, call: callwright_domain::CallId) -> Vec<String> {
    let journal = node.calls().reader().journal(&node.account(), call, 0, 1000).await.expect("readable");
    let ended = journal.into_iter().filter_map(|recorded| match recorded.event {
        CallEvent::TransferEnded { reason } => Some(reason),
        _ => None,
    });
    ended.collect()
}

/// The callee of these tests is a user agent that refuses to be referred.
#[tokio::test]
async fn a_transfer_that_is_refused_is_told_and_the_agent_goes_on() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new()
        .on("person", [Reply::say("One moment.").tool("desk", "{}")])
        .on("could not be transferred", [Reply::say("Nobody is there.")]);
    let node = NodeBuilder::to(&callee).brain(&brain).agent(|agent| agent.tools.push(desk("+15550199"))).start().await;
    transfers_by(&node, TransferBy::Refer).await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    node.calls().hear(&node.account(), call, "a person, please".into()).await.expect("taken");
    node.wait_for(call, "the announcement", said("I am connecting you.")).await;
    node.wait_for(call, "the failure", said("Nobody is there.")).await;
    let with_words = Transfer { apology: "It is closed.".into(), ..to("+15550198") };
    node.calls().transfer(&node.account(), call, with_words).await.expect("taken");
    node.wait_for(call, "the other failure", said("It is closed.")).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    let names = node.event_names(call).await;
    let steps: Vec<_> = names.iter().filter(|name| name.starts_with("transfer")).collect();
    assert_eq!(steps, [&"transferring", &"transfer_ended", &"transferring", &"transfer_ended"]);
    assert_eq!(reasons(&node, call).await, ["the line refused it with status 403"; 2]);
}

/// The rules are asked about every target: of an order at once, of the agent's own tool when it comes to it.
#[tokio::test]
async fn nobody_is_called_whom_the_rules_do_not_let_be_called() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new()
        .on("person", [Reply::say("One moment.").tool("desk", r#"{"to":"+15550199"}"#)])
        .on("do-not-call", [Reply::say("Nobody is there.")]);
    let node = NodeBuilder::to(&callee).brain(&brain).agent(|agent| agent.tools.push(desk("+15550177"))).start().await;
    let account = node.account();
    let calls = node.calls();
    let denied =
        Denial { number: callwright_domain::PhoneNumber::parse("+15550177").expect("a number"), reason: String::new() };
    calls.configure().deny(&account, vec![denied], Moment(0)).await.expect("written");
    let destinations = Destinations { addresses: vec![String::from("pbx.example")], ..Destinations::default() };
    let rules = RulesPatch { destinations: Some(destinations), ..RulesPatch::default() };
    calls.configure().put_rules(&account, None, &rules, Moment(0)).await.expect("written");
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    for (target, refusal) in [
        ("+15550177", Refusal::CalleeBlocked),
        ("sip:+15550177@pbx.example", Refusal::CalleeBlocked),
        ("+19005551234", Refusal::PremiumNumber),
        ("911", Refusal::EmergencyNumber),
        ("+4930123456", Refusal::DestinationNotAllowed),
        (callwright_testkit::CALLER, Refusal::OwnNumber),
        ("sip:desk@127.0.0.1:9", Refusal::DestinationNotAllowed),
        ("sip:+19005551234@pbx.example", Refusal::PremiumNumber),
    ] {
        let outcome = calls.transfer(&account, call, to(target)).await;
        assert!(matches!(outcome, Err(OrderError::Refused(why)) if why == refusal), "{target}: {outcome:?}");
    }
    calls.hear(&account, call, "a person, please".into()).await.expect("taken");
    node.wait_for(call, "the failure", said("Nobody is there.")).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert_eq!(reasons(&node, call).await, ["the rules do not allow it: the callee is on a do-not-call list"]);
    assert_eq!(callee.calls(), 1);
}

/// A call that was greeted and is joined with another telephone; the trunk refuses to do that itself, so the server does.
async fn joined(callee: &mut Callee, node: &Node) -> (callwright_domain::CallId, Line, Line) {
    let call = node.call().await;
    let first = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    node.calls().transfer(&node.account(), call, to("+15550199")).await.expect("taken");
    let second = callee.line().await;
    node.wait_for(call, "the answer there", |event| matches!(event, CallEvent::TransferAnswered { .. })).await;
    (call, first, second)
}

#[tokio::test]
async fn a_trunk_that_refuses_leaves_it_to_the_server_which_joins_the_two() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let (call, mut first, mut second) = joined(&mut callee, &node).await;
    let began = Instant::now();
    first.speak(Duration::from_millis(600));
    second.hears(began).await;
    second.hears_silence(Duration::from_millis(300)).await;
    first.hears_silence(Duration::from_millis(300)).await;
    let began = Instant::now();
    second.speak(Duration::from_millis(600));
    first.hears(began).await;
    first.press("5");
    second.hears_keys("5").await;
    second.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::Transferred);
    assert_eq!(first.ended().await, EndedBy::Peer);
    let steps: Vec<_> = node.event_names(call).await.into_iter().filter(|name| name.starts_with("transfer")).collect();
    assert_eq!(steps, ["transferring", "transfer_dialing", "transfer_answered"]);
    assert_eq!((callee.calls(), node.active_calls().await), (2, 0));
}

#[tokio::test]
async fn a_callee_who_hangs_up_leaves_nobody_on_the_other_line() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    transfers_by(&node, TransferBy::Bridge).await;
    let (call, first, mut second) = joined(&mut callee, &node).await;
    first.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::Transferred);
    assert_eq!(second.ended().await, EndedBy::Peer);
}

/// Of two that come at once one is refused: it would be forgotten. Once the other has failed, another may come.
#[tokio::test]
async fn of_two_transfers_at_once_one_is_refused() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    transfers_by(&node, TransferBy::Refer).await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let transfer = |number: &str| Transfer {
        announcement: "I am connecting you.".into(),
        apology: "It is closed.".into(),
        ..to(number)
    };
    let (one, other) = (transfer("+15550199"), transfer("+15550198"));
    // Which of them comes first is chance.
    let outcomes = tokio::join!(calls.transfer(&account, call, one), calls.transfer(&account, call, other));
    let taken = matches!(outcomes, (Ok(()), Err(OrderError::Transferring)) | (Err(OrderError::Transferring), Ok(())));
    assert!(taken, "{outcomes:?}");
    let asked = calls.hear(&account, call, "Are you there?".into()).await;
    assert!(matches!(asked, Err(OrderError::Transferring)), "nobody would answer: {asked:?}");
    node.wait_for(call, "the failure", said("It is closed.")).await;
    calls.transfer(&account, call, to("+15550198")).await.expect("the agent is back");
    line.hang_up();
    node.ended(call).await;
}

/// Neither of two people who were joined is left on the line by a crash.
#[tokio::test]
async fn a_crash_leaves_nobody_of_a_joined_pair_on_the_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    transfers_by(doomed.node(), TransferBy::Bridge).await;
    let (call, mut first, mut second) = joined(&mut callee, doomed.node()).await;
    let began = Instant::now();
    first.speak(Duration::from_millis(400));
    second.hears(began).await;
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    assert_eq!((first.ended().await, second.ended().await), (EndedBy::Peer, EndedBy::Peer));
    let view = node.calls().reader().call(&node.account(), call).await.expect("readable").expect("still known");
    assert_eq!(view.state, CallState::Ended(HangupCause::ServerRestarted));
    let steps: Vec<_> = node.event_names(call).await.into_iter().filter(|name| name.starts_with("transfer")).collect();
    assert_eq!(steps, ["transferring", "transfer_dialing", "transfer_answered"]);
    assert_eq!((callee.calls(), node.active_calls().await), (2, 0), "nobody is called again");
}
