//! Calls that are changed while they are dialled or talk.

use crate::{ms, ringing, said};
use callwright_domain::agent::{AgentProfile, Endpoint, Greeting, Tool};
use callwright_domain::{AccountId, AgentId, AgentPatch, HangupCause, Pii};
use callwright_engine::{ChangeError, OrderError, Speech};
use callwright_store::Amendment;
use callwright_testkit::{Callee, HttpVoice, Node, NodeBuilder, Plan, Reply, ScriptedBrain, Then, ToneVoice};
use std::collections::BTreeMap;

fn amendment(change: impl FnOnce(&mut AgentPatch)) -> Amendment {
    let mut patch = AgentPatch::default();
    change(&mut patch);
    Amendment { patch, ..Amendment::default() }
}

#[tokio::test]
async fn an_agent_is_changed_from_its_next_turn_on() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("", [Reply::say("Go on.")]);
    let node = NodeBuilder::to(&callee).brain(&brain).start().await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let change = amendment(|patch| {
        patch.brain.system_prompt = Some("Be brief.".into());
        patch.brain.max_tokens = Some(Some(7));
        patch.voice.pronunciations = Some(Vec::new());
    });
    calls.change(&account, call, change).await.expect("taken");
    calls.hear(&account, call, "Well?".into()).await.expect("taken");
    node.wait_for(call, "the answer", said("Go on.")).await;
    let asked = brain.asked();
    let last = asked.last().expect("asked");
    let told: Vec<&str> = last.messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!((told.as_slice(), last.max_tokens), (&["Be brief.", "Hello there.", "Well?"][..], Some(7)));
    calls.say(&account, call, "It can still speak.".into(), Speech::Interruptible).await.expect("taken");
    node.wait_for(call, "the order", said("It can still speak.")).await;
    let view = calls.reader().call(&account, call).await.expect("read").expect("there");
    assert_eq!(view.plan.agent.brain.system_prompt, "Be brief.");

    let stranger = AccountId::new("somebody-else").expect("an id");
    let foreign = calls.change(&stranger, call, Amendment::default()).await;
    assert!(matches!(foreign, Err(ChangeError::Order(OrderError::UnknownCall))), "{foreign:?}");
    let broken = amendment(|patch| patch.brain.system_prompt = Some("{{ nobody }}".into()));
    assert!(matches!(calls.change(&account, call, broken).await, Err(ChangeError::Template(_))));
    let unknown = amendment(|patch| patch.voice.vendor = Some("nobody".into()));
    assert!(matches!(calls.change(&account, call, unknown).await, Err(ChangeError::Unserved(_))));
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    let late = calls.change(&account, call, Amendment::default()).await;
    assert!(matches!(late, Err(ChangeError::Order(OrderError::Ended(_)))), "{late:?}");
}

#[tokio::test]
async fn before_the_answer_even_the_greeting_is_changed() {
    let mut callee = Callee::start(Plan { ring: ms(1500), ..Plan::answer() }).await;
    let node = NodeBuilder::to(&callee).start().await;
    let call = node.call().await;
    node.wait_for(call, "the ringing", ringing).await;
    let change = amendment(|patch| patch.opening.greeting = Some(Greeting::Text("Good evening.".into())));
    node.calls().change(&node.account(), call, change).await.expect("taken");
    let _line = callee.line().await;
    node.wait_for(call, "the greeting", said("Good evening.")).await;
    assert_eq!(node.transcript(call).await.len(), 1);
}

#[tokio::test]
async fn a_call_that_waits_is_not_changed() {
    let callee = Callee::start(Plan::then(Then::Never)).await;
    let node = NodeBuilder::to(&callee).start().await;
    let mut request = node.request();
    request.due = Some(node.now().after(std::time::Duration::from_secs(3600)));
    let call = node.calls().start(request, node.now()).await.expect("accepted").id;
    let early = node.calls().change(&node.account(), call, Amendment::default()).await;
    assert!(matches!(early, Err(ChangeError::Order(OrderError::NotAnswered))), "{early:?}");
}

/// Lets this agent go on.
fn to_sales() -> Tool {
    let agent = AgentId::new("sales").expect("an id");
    Tool::ChangeAgent { name: "to_sales".into(), description: "Somebody wants to buy.".into(), agent }
}

async fn put(node: &Node, agent: AgentProfile) {
    let id = AgentId::new("sales").expect("an id");
    node.calls().configure().put_agent(&node.account(), &id, &agent, node.now()).await.expect("written");
}

/// One that hands over to [`to_sales`] when somebody wants to buy.
fn handing_over(answer: &str) -> ScriptedBrain {
    ScriptedBrain::new()
        .on("buy", [Reply::say("One moment.").tool("to_sales", "{}")])
        .on(answer, [Reply::say("How many?")])
        .on("Three", [Reply::say("Done.")])
}

#[tokio::test]
async fn another_agent_goes_on_with_its_own_instructions_tools_and_voice() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = handing_over("You have taken this call over");
    let (first, second) = (ToneVoice::new(ms(5)), HttpVoice::start(ms(5)).await);
    let node = NodeBuilder::to(&callee).brain(&brain).voice(&first).agent(|agent| agent.tools.push(to_sales()));
    let node = node.start().await;
    let key = Pii::new(String::from("k"));
    let endpoint = Endpoint { kind: String::from("custom"), url: second.url(), key, params: BTreeMap::new() };
    let mut sales = AgentProfile { language: String::from("en"), ..AgentProfile::default() };
    sales.brain.system_prompt = String::from("You sell.");
    sales.brain.model = String::from("larger");
    sales.voice.endpoint = Some(endpoint);
    sales.tools.push(Tool::EndCall { name: "bye".into(), description: String::new() });
    put(&node, sales).await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    node.calls().hear(&node.account(), call, "I want to buy.".into()).await.expect("taken");
    node.wait_for(call, "the other agent", said("How many?")).await;
    node.calls().hear(&node.account(), call, "Three".into()).await.expect("taken");
    node.wait_for(call, "its next answer", said("Done.")).await;
    let asked = brain.asked();
    let before = asked.iter().find(|request| request.messages.last().is_some_and(|last| last.content.contains("buy")));
    assert_ne!(before.expect("asked").messages[0].content, "You sell.");
    for request in &asked[asked.len() - 2..] {
        let tools: Vec<_> = request.tools.iter().map(|tool| tool.name.as_str()).collect();
        let shown = (request.messages[0].content.as_str(), request.model.as_str(), tools.as_slice());
        assert_eq!(shown, ("You sell.", "larger", &["bye"][..]));
        assert!(request.messages.iter().any(|message| message.content.contains("I want to buy.")));
    }
    let spoken: Vec<_> = second.asked().into_iter().map(|(_, body)| body["Text"].clone()).collect();
    assert_eq!(spoken[spoken.len() - 2..], ["How many?", "Done."], "{spoken:?}");
    assert_eq!(first.spoken()[0], "Hello there.");
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
}

/// An agent that is gone, or needs what the call does not have: the one that talks goes on, and its model hears why.
#[tokio::test]
async fn an_agent_that_cannot_go_on_leaves_the_call_where_it_was() {
    for (stored, why) in [(None, "no such agent"), (Some("You are {{ nobody }}."), "cannot take this call")] {
        let mut callee = Callee::start(Plan::answer()).await;
        let brain = handing_over(why);
        let builder = NodeBuilder::to(&callee).brain(&brain).agent(|agent| {
            agent.brain.system_prompt = String::from("You answer.");
            agent.tools.push(to_sales());
        });
        let node = builder.start().await;
        if let Some(prompt) = stored {
            let mut agent = AgentProfile::default();
            agent.brain.system_prompt = prompt.to_owned();
            put(&node, agent).await;
        }
        let call = node.call().await;
        let line = callee.line().await;
        node.wait_for(call, "the greeting", said("Hello there.")).await;
        node.calls().hear(&node.account(), call, "I want to buy.".into()).await.expect("taken");
        node.wait_for(call, "the first agent", said("How many?")).await;
        let asked = brain.asked();
        assert_eq!(asked.last().expect("asked").messages[0].content, "You answer.");
        line.hang_up();
        assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    }
}
