//! Calls of one thread: what the model of a later one is told of the earlier ones.

use crate::said;
use callwright_conversation::vocabulary::Role;
use callwright_domain::agent::Switch;
use callwright_domain::transcript::TranscriptLine;
use callwright_domain::{AccountId, AgentId, CallId, HangupCause, PhoneNumber, ThreadId};
use callwright_engine::StartCall;
use callwright_store::{Number, ThreadKey, Trunk, TrunkSettings};
use callwright_testkit::{ACCOUNT, AGENT, CALLER, Callee, Line, Node, NodeBuilder, Plan, Reply, ScriptedBrain, TRUNK};

const GREETING: &str = "Hello there.";

fn thread(id: &str) -> ThreadId {
    ThreadId::new(id).expect("an id")
}

fn brain() -> ScriptedBrain {
    ScriptedBrain::new()
        .on("table", [Reply::say("For how many?")])
        .on("garden", [Reply::say("In the garden then.")])
        .on("", [Reply::say("Go on.")])
}

/// A call that is up and has greeted.
async fn up(node: &Node, callee: &mut Callee, request: StartCall) -> (CallId, Line) {
    let call = node.calls().start(request, node.now()).await.expect("accepted").id;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said(GREETING)).await;
    (call, line)
}

/// Gives the model a text of the callee's and waits for its answer.
async fn turn(node: &Node, account: &AccountId, call: CallId, (words, answer): (&str, &str)) {
    node.calls().hear(account, call, words.to_owned()).await.expect("taken");
    node.wait_for(call, answer, said(answer)).await;
}

/// A whole call of a thread with one turn in it.
async fn talked(node: &Node, callee: &mut Callee, id: Option<&str>, exchange: (&str, &str)) -> CallId {
    let request = StartCall { thread: id.map(thread), ..node.request() };
    let (call, line) = up(node, callee, request).await;
    turn(node, &node.account(), call, exchange).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    call
}

/// What the model was told last, without its instructions.
fn told(brain: &ScriptedBrain) -> Vec<String> {
    let asked = brain.asked();
    let messages = asked.last().expect("asked").messages.iter().filter(|message| message.role != Role::System);
    messages.map(|message| format!("{:?}: {}", message.role, message.content)).collect()
}

const FIRST: [&str; 3] = ["Assistant: Hello there.", "User: A table please", "Assistant: For how many?"];
const SECOND: [&str; 2] = ["Assistant: Hello there.", "User: Me again"];

#[tokio::test]
async fn a_call_knows_what_was_said_in_the_earlier_ones_of_its_thread() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = brain();
    let node = NodeBuilder::to(&callee).brain(&brain).start().await;
    talked(&node, &mut callee, Some("t"), ("A table please", "For how many?")).await;
    // Another thread and no thread: strangers to the first call.
    for id in [Some("u"), None] {
        talked(&node, &mut callee, id, ("Me again", "Go on.")).await;
        assert_eq!(told(&brain), SECOND, "{id:?}");
    }
    talked(&node, &mut callee, Some("t"), ("Me again", "Go on.")).await;
    assert_eq!(told(&brain), [&FIRST[..], &SECOND].concat());
    talked(&node, &mut callee, Some("t"), ("In the garden", "In the garden then.")).await;
    let third = ["Assistant: Go on.", "Assistant: Hello there.", "User: In the garden"];
    assert_eq!(told(&brain), [&FIRST[..], &SECOND, &third].concat());
}

#[tokio::test]
async fn a_line_that_was_taken_out_is_not_told_again() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = brain();
    let node = NodeBuilder::to(&callee).brain(&brain).start().await;
    let call = talked(&node, &mut callee, Some("t"), ("A table please", "For how many?")).await;
    let lines: Vec<TranscriptLine> = node.transcript(call).await;
    let key = |id: &str| ThreadKey { account: node.account(), thread: thread(id) };
    assert!(!node.calls().forget(key("u"), call, lines[1].seq).await.expect("read"));
    assert!(node.calls().forget(key("t"), call, lines[1].seq).await.expect("written"));
    talked(&node, &mut callee, Some("t"), ("Me again", "Go on.")).await;
    assert_eq!(told(&brain), [&[FIRST[0], FIRST[2]][..], &SECOND].concat());
    assert_eq!(node.transcript(call).await, lines, "the call's own transcript is as it was");
}

#[tokio::test]
async fn a_call_that_is_still_up_counts_with_what_was_said_so_far() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = brain();
    let node = NodeBuilder::to(&callee).brain(&brain).start().await;
    let request = || StartCall { thread: Some(thread("t")), ..node.request() };
    let (first, _line) = up(&node, &mut callee, request()).await;
    turn(&node, &node.account(), first, ("A table please", "For how many?")).await;
    let (second, _line) = up(&node, &mut callee, request()).await;
    turn(&node, &node.account(), second, ("Me again", "Go on.")).await;
    assert_eq!(told(&brain), [&FIRST[..], &SECOND].concat());
    // What is said in the second does not reach into the first.
    turn(&node, &node.account(), first, ("In the garden", "In the garden then.")).await;
    assert_eq!(told(&brain), [&FIRST[..], &["User: In the garden"]].concat());
}

#[tokio::test]
async fn another_account_has_a_thread_of_its_own() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = brain();
    let builder = NodeBuilder::to(&callee).brain(&brain);
    let (agent, address) = (builder.agent.clone(), builder.callee);
    let node = builder.start().await;
    talked(&node, &mut callee, Some("t"), ("A table please", "For how many?")).await;
    let theirs = AccountId::new("others").expect("an id");
    assert_ne!(theirs.as_str(), ACCOUNT);
    let (store, id) = (node.store(), AgentId::new(AGENT).expect("an id"));
    store.put_agent(theirs.clone(), id, agent, node.now()).await.expect("stored");
    let trunk = TRUNK.parse().expect("an id");
    let settings = TrunkSettings {
        host: address.ip().to_string(),
        port: address.port(),
        options_interval_s: 0,
        ..TrunkSettings::default()
    };
    let trunk = Trunk { id: trunk, settings, enabled: Switch::On };
    let number = Number::new(theirs.clone(), PhoneNumber::parse(CALLER).expect("a number"), trunk.id.clone());
    node.calls().configure().put_trunk(&theirs, &trunk).await.expect("stored");
    store.put_number(number).await.expect("stored");
    let request = StartCall { account: theirs.clone(), thread: Some(thread("t")), ..node.request() };
    let (call, _line) = up(&node, &mut callee, request).await;
    turn(&node, &theirs, call, ("Me again", "Go on.")).await;
    assert_eq!(told(&brain), SECOND);
}
