//! Calls that are changed while they are dialled or talk.

use crate::{ringing, said};
use callwright_domain::agent::Greeting;
use callwright_domain::{AccountId, AgentPatch, HangupCause};
use callwright_engine::{ChangeError, OrderError, Speech};
use callwright_store::Amendment;
use callwright_testkit::{Callee, NodeBuilder, Plan, Reply, ScriptedBrain, Then};

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
    assert!(matches!(calls.change(&account, call, unknown).await, Err(ChangeError::UnknownVendor(_))));
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    let late = calls.change(&account, call, Amendment::default()).await;
    assert!(matches!(late, Err(ChangeError::Order(OrderError::Ended(_)))), "{late:?}");
}

#[tokio::test]
async fn before_the_answer_even_the_greeting_is_changed() {
    let mut callee = Callee::start(Plan { ring: crate::ms(1500), ..Plan::answer() }).await;
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
