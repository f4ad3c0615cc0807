//! What is found out about calls once they are over: by the agent's own model, once, over failures and restarts.

use crate::said;
use callwright_domain::agent::Switch;
use callwright_domain::extract::{ExtractSettings, Fact, Findings};
use callwright_domain::{AgentProfile, CallId};
use callwright_engine::HangUp;
use callwright_store::{ExtractState, StoredFindings};
use callwright_testkit::{Callee, Node, NodeBuilder, PATIENCE, Plan, Reply, ScriptedBrain};
use serde_json::json;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::timeout;

/// Only the question about a call that is over has a schema in it.
const QUESTION: &str = "JSON schema";
const ANSWER: &str = r#"{"facts": {"city": "Bonn"}, "summary": "They greeted.", "mood": "calm", "intention": null}"#;

fn wants(agent: &mut AgentProfile) {
    let city = Fact { name: "city".into(), ..Fact::default() };
    agent.extract = ExtractSettings { facts: vec![city], summary: Switch::On, ..ExtractSettings::default() };
}

/// A call in which the greeting was said, and which is over.
async fn talked(node: &Node) -> CallId {
    let call = node.call().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("it is up");
    node.ended(call).await;
    call
}

async fn findings(node: &Node, call: CallId, wanted: impl Fn(&StoredFindings) -> bool) -> StoredFindings {
    let looking = async {
        loop {
            let found = node.calls().reader().findings(&node.account(), call).await.expect("readable");
            if let Some(found) = found.filter(|found| wanted(found)) {
                return found;
            }
            yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.expect("something is found out in time")
}

#[tokio::test]
async fn the_agents_model_is_asked_about_the_whole_call() {
    let callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on(QUESTION, [Reply::say(ANSWER)]);
    let node = NodeBuilder::to(&callee).brain(&brain).agent(wants).start().await;
    let call = talked(&node).await;
    let found = findings(&node, call, |found| found.state == ExtractState::Done).await;
    let expected = Findings {
        facts: [("city".to_owned(), json!("Bonn"))].into(),
        summary: Some("They greeted.".into()),
        mood: Some("calm".into()),
        ..Findings::default()
    };
    assert_eq!((found.findings, found.detail.as_str()), (expected, ""));
    let asked: Vec<_> = brain.asked().into_iter().filter(|one| one.messages[0].content.contains(QUESTION)).collect();
    assert_eq!(asked.len(), 1, "once");
    assert!(asked[0].messages[0].content.contains("Agent: Hello there."), "{}", asked[0].messages[0].content);
    assert!(asked[0].tools.is_empty() && asked[0].conversation != call.to_string());
}

#[tokio::test]
async fn a_model_that_fails_is_asked_again_later_and_one_that_is_not_wanted_never() {
    let callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on(QUESTION, [Reply::say("I cannot say."), Reply::say(ANSWER)]);
    let node = NodeBuilder::to(&callee).brain(&brain).agent(wants).start().await;
    let call = talked(&node).await;
    let failed = findings(&node, call, |found| !found.detail.is_empty()).await;
    assert_eq!((failed.state, failed.findings), (ExtractState::Waiting, Findings::default()));
    assert!(failed.detail.contains("no JSON object"), "{}", failed.detail);
    let soon = node.store().claim_extracts(node.now().after(Duration::from_secs(2)), node.now(), 5).await;
    assert_eq!(soon.expect("taken"), [], "not at once");

    let node = NodeBuilder::to(&callee).start().await;
    let call = talked(&node).await;
    assert_eq!(node.calls().reader().findings(&node.account(), call).await.expect("readable"), None);
}

/// The row is written with the call's end: whoever lives then finds it out.
#[tokio::test]
async fn a_restart_forgets_nothing() {
    let callee = Callee::start(Plan::answer()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let hanging = ScriptedBrain::new().on(QUESTION, [Reply::hang()]);
    let doomed = NodeBuilder::to(&callee).brain(&hanging).agent(wants).data(directory.path()).start_doomed().await;
    let node = doomed.node();
    let call = talked(node).await;
    let waiting = async {
        while hanging.asked().is_empty() {
            yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the model is asked");
    let held = node.store().claim_extracts(node.now().after(Duration::from_secs(60)), node.now(), 5).await;
    assert_eq!(held.expect("taken"), [], "two never ask at once");
    doomed.kill();
    let brain = ScriptedBrain::new().on(QUESTION, [Reply::say(ANSWER)]);
    let node = NodeBuilder::to(&callee).brain(&brain).agent(wants).data(directory.path()).start().await;
    let found = findings(&node, call, |found| found.state == ExtractState::Done).await;
    assert_eq!(found.findings.mood.as_deref(), Some("calm"));
}
