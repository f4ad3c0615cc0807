//! What is kept of a call: words without personal data, and for how long.

use crate::{heard, ms, said};
use callwright_domain::CallEvent;
use callwright_domain::policy::RulesPatch;
use callwright_testkit::{Callee, NodeBuilder, Plan, Reply, ScriptedBrain, ScriptedEars};

const CARD: &str = "four one one one one one one one one one one one one one one one";

#[tokio::test]
async fn the_model_hears_the_card_and_nobody_reads_it_later() {
    let mut callee = Callee::start(Plan::answer()).await;
    let words = format!("my card is {CARD}");
    let ears = ScriptedEars::new([words.as_str()]);
    let brain = ScriptedBrain::new().on("card is four", [Reply::say("So 4111 1111 1111 1111, yes?")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).start().await;
    let rules: RulesPatch = serde_json::from_str(r#"{"redaction": {"status": "on"}}"#).expect("rules");
    node.store().put_rules(node.account(), None, rules, node.now()).await.expect("stored");
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(100)).await;
    line.speak(ms(500));
    node.wait_for(call, "the words as they are fed", heard("my card is [card]")).await;
    node.wait_for(call, "the answer as it is fed", said("So [card], yes?")).await;
    line.press("42");
    let pressed = |event: &CallEvent| matches!(event, CallEvent::KeyPressed { key: '?' });
    node.wait_for(call, "a key", pressed).await;
    line.hang_up();
    node.ended(call).await;
    let written = format!("{:?}", serde_json::to_string(&node.events(call).await).expect("JSON"));
    assert!(!written.contains("4111") && !written.contains("four one"), "{written}");
    assert!(brain.asked().iter().any(|asked| asked.messages.iter().any(|message| message.content.contains(CARD))));
    let texts: Vec<String> = node.transcript(call).await.into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["Hello there.", "my card is [card]", "So [card], yes?"]);
}
