//! Users of browsers who vanish and come back.

use crate::meeting::{comes, comes_speaking, joined_with, name, shown, speak};
use crate::takeover::heard as hears;
use crate::{heard, ms, said};
use callwright_domain::agent::Recording;
use callwright_domain::{CallEvent, HangupCause};
use callwright_engine::{HangUp, JoinError};
use callwright_media::codec::PCMU;
use callwright_testkit::{Callee, NodeBuilder, Plan, Reply, ScriptedBrain, ScriptedEars, Speaks};
use std::time::{Duration, Instant};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn who_comes_back_goes_on_with_the_same_agent_and_conversation() {
    let callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["I want a table"]);
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]);
    let node = NodeBuilder::to(&callee).browsers().ears(&ears).brain(&brain);
    let node = node.agent(|agent| agent.recording = Recording::Stereo).start().await;
    let (call, first) = joined_with(&node, LONG).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    first.with(|browser| browser.close()).await;
    assert!(matches!(comes(&node, &name("room"), "eve").await, Err(JoinError::OtherUser)));
    let second = comes(&node, &name("room"), "ann").await.expect("let in");
    assert!(second.until(|browser| browser.connected.then_some(())).await.is_some());
    speak(&second, ms(600)).await;
    node.wait_for(call, "the words", heard("table")).await;
    node.wait_for(call, "the answer", said("How many?")).await;
    assert!(hears(&second).await, "the agent is heard");
    shown(&second, "user: I want a table").await;
    shown(&second, "agent: How many?").await;
    assert!(second.with(|browser| browser.type_text("hello")).await);
    shown(&second, "read: hello").await;
    let asked = brain.asked();
    let spoken = |text: &str| asked.iter().any(|ask| ask.messages.iter().any(|message| message.content == text));
    assert!(spoken("Hello there."), "what was said before is remembered");
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("hung up");
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
    assert!(second.until(|browser| browser.closed.then_some(())).await.is_some(), "the browser is told of the end");
    node.wait_for(call, "the recording", |event| matches!(event, CallEvent::RecordingKept { .. })).await;
    let names = node.event_names(call).await;
    for once in ["joined", "answered", "recording_kept", "ended"] {
        assert_eq!(names.iter().filter(|name| **name == once).count(), 1, "{once}: {names:?}");
    }
    assert_eq!(node.active_calls().await, 0);
}

/// A page that is loaded anew comes before the one before it is missed.
#[tokio::test]
async fn a_second_browser_of_the_user_takes_the_place_of_the_first() {
    let callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["I want a table"]);
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]);
    let node = NodeBuilder::to(&callee).browsers().ears(&ears).brain(&brain).start().await;
    let (call, first) = joined_with(&node, LONG).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let telephone = comes_speaking(Speaks::Telephone(PCMU), &node, (&name("room"), "ann")).await;
    assert!(matches!(telephone, Err(JoinError::Offer(_))), "its codec has another rate than the call");
    let second = comes(&node, &name("room"), "ann").await.expect("let in");
    assert!(first.until(|browser| browser.closed.then_some(())).await.is_some(), "the first is told goodbye");
    assert!(second.until(|browser| browser.connected.then_some(())).await.is_some());
    speak(&second, ms(600)).await;
    node.wait_for(call, "the answer", said("How many?")).await;
    shown(&second, "agent: How many?").await;
    assert!(!first.with(|browser| browser.messages.iter().any(|text| text.contains("How many?"))).await);
    node.calls().leave(&node.account(), call, name("ann")).await.expect("taken");
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp, "who says that they leave has left");
}

#[tokio::test]
async fn who_does_not_come_back_in_time_has_hung_up() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).browsers().start().await;
    let (call, browser) = joined_with(&node, ms(300)).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let vanished = Instant::now();
    browser.with(|browser| browser.close()).await;
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert!(vanished.elapsed() >= ms(300), "{:?}", vanished.elapsed());
    assert!(matches!(comes(&node, &name("room"), "ann").await, Err(JoinError::Over)));
}
