//! Human agents who come by a browser and talk in the agent's place.

use crate::meeting::{comes, joined, name, shown, speak};
use crate::{ms, said};
use callwright_domain::{CallEvent, CallId, HangupCause, TransferTarget};
use callwright_engine::{Calls, JoinError, OrderError};
use callwright_media::pcm::level_dbfs;
use callwright_sip::EndedBy;
use callwright_testkit::{Callee, Node, NodeBuilder, OnlineBrowser, Plan, ScriptedBrain};
use std::time::Instant;

async fn taken_over(node: &Node, call: CallId) {
    node.wait_for(call, "the takeover", |event| matches!(event, CallEvent::TransferAnswered { .. })).await;
}

pub(crate) async fn heard(browser: &OnlineBrowser) -> bool {
    browser.until(|browser| (level_dbfs(&browser.heard) > -40.0).then_some(())).await.is_some()
}

#[tokio::test]
async fn a_telephone_call_is_taken_over_by_the_human_who_is_awaited() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new();
    let node = NodeBuilder::to(&callee).browsers().brain(&brain).start().await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let view = calls.reader().call(&account, call).await.expect("read").expect("there");
    let channel = Calls::channel_of(&view.plan);
    assert!(matches!(comes(&node, &channel, "human").await, Err(JoinError::OtherUser)), "nobody is awaited");
    calls.await_human(&account, call, name("human")).await.expect("taken");
    assert!(matches!(comes(&node, &channel, "eve").await, Err(JoinError::OtherUser)));
    let human = comes(&node, &channel, "human").await.expect("let in");
    taken_over(&node, call).await;
    line.hears_silence(ms(300)).await;
    let began = Instant::now();
    speak(&human, ms(600)).await;
    line.hears(began).await;
    line.speak(ms(600));
    assert!(heard(&human).await, "the human hears the callee");
    assert!(brain.asked().is_empty(), "nobody asks the model what to say");
    let text = calls.hear(&account, call, "Hello?".into()).await;
    assert!(matches!(text, Err(OrderError::Transferring)), "{text:?}");
    let speech = calls.say(&account, call, "Hello!".into(), callwright_engine::Speech::Interruptible).await;
    assert!(matches!(speech, Err(OrderError::Transferring)), "nobody would hear it: {speech:?}");
    let to = callwright_domain::Transfer::to(TransferTarget::parse("+15550199").expect("a number"));
    assert!(matches!(calls.transfer(&account, call, to).await, Err(OrderError::Transferring)));
    let again = calls.await_human(&account, call, name("other")).await;
    assert!(matches!(again, Err(OrderError::Transferring)), "{again:?}");
    // A stranger's leaving is nobody's.
    calls.leave(&account, call, name("eve")).await.expect("taken");
    calls.leave(&account, call, name("human")).await.expect("taken");
    assert_eq!(node.ended(call).await, HangupCause::Transferred);
    assert_eq!(line.ended().await, EndedBy::Peer);
    assert!(human.until(|browser| browser.closed.then_some(())).await.is_some(), "the human is told of the end");
    assert_eq!(node.active_calls().await, 0);
}

#[tokio::test]
async fn a_callee_who_hangs_up_leaves_no_human_on_the_line() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).browsers().start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    node.calls().await_human(&node.account(), call, name("human")).await.expect("taken");
    let human = comes(&node, &name(&call.to_string()), "human").await.expect("let in");
    taken_over(&node, call).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert!(human.until(|browser| browser.closed.then_some(())).await.is_some(), "the human is told of the end");
}

#[tokio::test]
async fn the_user_of_a_browser_sees_and_hears_the_human_and_the_call_ends_with_them() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).browsers().start().await;
    let (call, user) = joined(&node).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert!(matches!(comes(&node, &name("room"), "ann").await, Err(JoinError::Taken)), "the user is there already");
    assert!(matches!(comes(&node, &name("room"), "agent").await, Err(JoinError::OtherUser)));
    node.calls().await_human(&node.account(), call, name("human")).await.expect("taken");
    let human = comes(&node, &name("room"), "human").await.expect("let in");
    shown(&user, "human: human").await;
    user.with(|browser| browser.heard.clear()).await;
    speak(&human, ms(600)).await;
    assert!(heard(&user).await, "the user hears the human");
    human.with(|browser| browser.close()).await;
    assert_eq!(node.ended(call).await, HangupCause::Transferred);
    assert!(user.until(|browser| browser.closed.then_some(())).await.is_some(), "the user is told of the end");
    assert_eq!(callee.calls(), 0, "nobody was dialled");
}
