//! Browsers that join: two people talk over WebRTC, and see what is said.

use crate::{answered, heard, ms, said};
use callwright_domain::agent::{Greeting, Recording, Switch};
use callwright_domain::{AgentId, CallEvent, CallId, ChannelName, HangupCause, Origin};
use callwright_engine::{HangUp, Join, JoinError, MeetCall, Parlance, Press, Shown, Wish};
use callwright_media::pcm::level_dbfs;
use callwright_testkit::{
    AGENT, Callee, Node, NodeBuilder, OnlineBrowser, Plan, RATE, Redundancy, Reply, ScriptedBrain, ScriptedEars,
    Speaks, speech,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::interval;

/// Opus, as every browser.
pub(crate) const OPUS: Speaks = Speaks::Opus(Redundancy::Some);

/// Shows what is said, and passes on what is typed.
pub(crate) struct Plain;

impl Parlance for Plain {
    fn wishes(&mut self, message: &str) -> Vec<Wish> {
        match message {
            "leave" => vec![Wish::Leave],
            "hush" => vec![Wish::Interrupt],
            "mark" => vec![Wish::MarkTurns(Switch::On), Wish::Answer("marked".into())],
            "press" => vec![Wish::Press(Press::Begun), Wish::Answer("pressed".into())],
            "release" => vec![Wish::Press(Press::Finished)],
            text => vec![Wish::Answer(format!("read: {text}"))],
        }
    }

    fn words(&mut self, shown: &Shown) -> Vec<String> {
        match shown {
            Shown::AgentBegins(text) => vec![format!("begins: {}", text.expose())],
            Shown::AgentSaid(text) => vec![format!("agent: {}", text.expose())],
            Shown::UserSaid(text) => vec![format!("user: {}", text.expose())],
            Shown::HumanJoined(user) => vec![format!("human: {}", user.expose())],
            _ => Vec::new(),
        }
    }
}

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::new(text).expect("a name")
}

/// A call that is met, and the browser that has joined it.
pub(crate) async fn joined(node: &Node) -> (CallId, OnlineBrowser) {
    joined_at(node, &Handle::current(), Duration::ZERO).await
}

/// The same where a user who vanished has so long to come back.
pub(crate) async fn joined_with(node: &Node, returns_within: Duration) -> (CallId, OnlineBrowser) {
    joined_at(node, &Handle::current(), returns_within).await
}

/// The same for a node that lives there.
async fn joined_at(node: &Node, home: &Handle, returns_within: Duration) -> (CallId, OnlineBrowser) {
    let meeting = MeetCall {
        account: node.account(),
        agent: AgentId::new(AGENT).expect("an id").into(),
        patch: Default::default(),
        channel: name("room"),
        user: Some(name("ann")),
        agent_user: name("agent"),
        joins_within: Duration::from_secs(3600),
        returns_within,
        mirror: None,
        variables: BTreeMap::new(),
        user_data: None,
        thread: None,
        once: None,
        origin: Origin::default(),
    };
    let call = node.calls().meet(meeting, node.now()).await.expect("accepted").id;
    let (browser, offer) = OnlineBrowser::start(OPUS).await.expect("a browser");
    let (account, channel, user) = (node.account(), name("room"), name("ann"));
    let join = Join { account, channel, user, offer, parlance: Box::new(Plain), overture: None };
    let (calls, now) = (node.calls(), node.now());
    let joined = home.spawn(async move { calls.join(join, now).await }).await.expect("no panic").expect("joined");
    assert_eq!(joined.call, call);
    browser.answered(&joined.answer).await.expect("a good answer");
    (call, browser)
}

/// A browser that comes into a call, if it is let in.
pub(crate) async fn comes(node: &Node, channel: &ChannelName, user: &str) -> Result<OnlineBrowser, JoinError> {
    comes_speaking(OPUS, node, (channel, user)).await
}

/// The same with another codec.
pub(crate) async fn comes_speaking(
    speaks: Speaks,
    node: &Node,
    (channel, user): (&ChannelName, &str),
) -> Result<OnlineBrowser, JoinError> {
    let (browser, offer) = OnlineBrowser::start(speaks).await.expect("a browser");
    let (account, channel, user) = (node.account(), channel.clone(), name(user));
    let join = Join { account, channel, user, offer, parlance: Box::new(Plain), overture: None };
    let joined = node.calls().join(join, node.now()).await?;
    browser.answered(&joined.answer).await.expect("a good answer");
    Ok(browser)
}

/// Says something for so long, then nothing for a second, at a browser's pace: it never stops sending.
pub(crate) async fn speak(browser: &OnlineBrowser, length: Duration) {
    let rate = browser.with(|browser| browser.rate()).await;
    // Each sample held: coarse, and speech all the same.
    let finer = (rate / RATE) as usize;
    let mut voice: Vec<i16> =
        speech(length).into_iter().flat_map(|sample| std::iter::repeat_n(sample, finer)).collect();
    voice.resize(voice.len() + rate as usize, 0);
    let mut pace = interval(ms(20));
    for frame in voice.chunks_exact(rate as usize / 50) {
        pace.tick().await;
        browser.with(|browser| browser.say(Instant::now(), frame)).await;
    }
}

/// Waits until it has been shown this.
pub(crate) async fn shown(browser: &OnlineBrowser, wanted: &str) {
    let found = browser.until(|browser| browser.messages.iter().any(|text| text == wanted).then_some(())).await;
    assert!(found.is_some(), "{wanted:?} was not shown");
}

#[tokio::test]
async fn a_browser_joins_and_two_turns_are_heard_and_shown() {
    let callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["I want a table"]);
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]);
    let node = NodeBuilder::to(&callee).browsers().ears(&ears).brain(&brain);
    let node = node.agent(|agent| agent.recording = Recording::Stereo).start().await;
    let (call, browser) = joined(&node).await;
    let agreed = node.wait_for(call, "the audio path", answered).await.event;
    assert!(matches!(&agreed, CallEvent::Answered { codec, .. } if codec == "opus"), "{agreed:?}");
    let sound = browser.until(|browser| (level_dbfs(&browser.heard) > -40.0).then_some(())).await;
    assert!(sound.is_some(), "the agent is heard");
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    // It began before the channel for text was open.
    shown(&browser, "begins: Hello there.").await;
    shown(&browser, "agent: Hello there.").await;
    speak(&browser, ms(600)).await;
    node.wait_for(call, "the words", heard("table")).await;
    node.wait_for(call, "the answer", said("How many?")).await;
    shown(&browser, "user: I want a table").await;
    shown(&browser, "agent: How many?").await;
    assert!(browser.with(|browser| browser.type_text("hello")).await);
    shown(&browser, "read: hello").await;
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("hung up");
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
    assert!(browser.until(|browser| browser.closed.then_some(())).await.is_some(), "the browser is told of the end");
    let kept = node.wait_for(call, "the recording", |event| matches!(event, CallEvent::RecordingKept { .. })).await;
    assert!(matches!(kept.event, CallEvent::RecordingKept { .. }));
    let names = node.event_names(call).await;
    assert_eq!(names[..5], ["created", "joined", "answered", "spoke", "said"], "{names:?}");
    assert_eq!(callee.calls(), 0, "nobody was dialled");
}

#[tokio::test]
async fn a_browser_that_closes_has_hung_up() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).browsers().start().await;
    let (call, browser) = joined(&node).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    browser.with(|browser| browser.close()).await;
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
}

#[tokio::test]
async fn who_types_that_it_leaves_has_left_and_who_types_hush_is_obeyed() {
    let callee = Callee::start(Plan::answer()).await;
    let long = "This is a rather long greeting that goes on and on so that somebody can type over it before it ends.";
    let node = NodeBuilder::to(&callee).browsers();
    let node = node.agent(|agent| agent.opening.greeting = Greeting::Text(long.into())).start().await;
    let (call, browser) = joined(&node).await;
    let sound = browser.until(|browser| (level_dbfs(&browser.heard) > -40.0).then_some(())).await;
    assert!(sound.is_some(), "the agent is heard");
    // The channel for text comes up a little after the audio.
    assert!(browser.until(|browser| browser.type_text("hush").then_some(())).await.is_some());
    node.wait_for(call, "the silence", |event| matches!(event, CallEvent::Interrupted)).await;
    assert!(browser.with(|browser| browser.type_text("leave")).await);
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
}

#[tokio::test]
async fn who_marks_turns_is_heard_within_them_alone_and_answered_on_release() {
    let callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["not for you", "I want a table"]);
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]);
    let node = NodeBuilder::to(&callee).browsers().ears(&ears).brain(&brain).start().await;
    let (call, browser) = joined(&node).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert!(browser.until(|browser| browser.type_text("mark").then_some(())).await.is_some());
    shown(&browser, "marked").await;
    speak(&browser, ms(600)).await;
    assert!(browser.with(|browser| browser.type_text("press")).await);
    shown(&browser, "pressed").await;
    speak(&browser, ms(600)).await;
    // The pause after the words was many times as long as the one that ends turns otherwise.
    assert!(!node.event_names(call).await.contains(&"heard"), "{:?}", node.event_names(call).await);
    assert!(browser.with(|browser| browser.type_text("release")).await);
    node.wait_for(call, "the answer", said("How many?")).await;
    shown(&browser, "user: I want a table").await;
}

#[tokio::test]
async fn a_talk_with_a_browser_that_a_crash_cut_off_is_ended_by_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).browsers().data(directory.path()).start_doomed().await;
    let (call, _browser) = joined_at(doomed.node(), doomed.home(), Duration::ZERO).await;
    doomed.node().wait_for(call, "the greeting", said("Hello there.")).await;
    doomed.kill();
    let node = NodeBuilder::to(&callee).browsers().data(directory.path()).start().await;
    let last = node.events(call).await.pop();
    assert!(matches!(last, Some(CallEvent::Ended { cause: HangupCause::ServerRestarted, .. })), "{last:?}");
}
