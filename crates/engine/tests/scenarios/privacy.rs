//! What is kept of a call: words without personal data, and for how long.

use crate::{heard, ms, said};
use callwright_domain::agent::Recording;
use callwright_domain::policy::RulesPatch;
use callwright_domain::{CallEvent, HangupCause, Pii};
use callwright_engine::StartCall;
use callwright_store::{ErasureOrder, Keyring, Suppress};
use callwright_testkit::{Callee, NodeBuilder, Plan, Reply, ScriptedBrain, ScriptedEars, Wav};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

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

#[tokio::test]
async fn a_sealed_recording_plays_here_and_nowhere_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let keys = BTreeMap::from([(String::from("k1"), Pii::new("5a".repeat(32)))]);
    let mut node = NodeBuilder::to(&callee).data(directory.path());
    node.keys = Keyring::new("k1", &keys).expect("a key");
    let node = node.agent(|agent| agent.recording = Recording::Stereo).start().await;
    let began = Instant::now();
    let call = node.call().await;
    let mut line = callee.line().await;
    line.hears(began).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hang_up();
    let kept = node.wait_for(call, "the recording", |event| matches!(event, CallEvent::RecordingKept { .. })).await;
    let CallEvent::RecordingKept { name, duration_ms } = kept.event else { panic!("a recording") };
    let mut bytes = Vec::new();
    let mut blob = node.calls().recording(&name).await.expect("kept");
    blob.content.read_to_end(&mut bytes).expect("readable");
    assert_eq!(blob.length, bytes.len() as u64);
    let wav = Wav::parse(&bytes).expect("a WAV file");
    assert!(wav.length().abs_diff(Duration::from_millis(duration_ms)) < ms(30), "{:?}", wav.length());
    assert!(wav.first_loud(1).is_some(), "the agent is heard");
    let on_disk = std::fs::read(directory.path().join("recordings").join(&name)).expect("there");
    assert!(on_disk.starts_with(b"CWSEAL1") && !on_disk.windows(4).any(|at| at == b"RIFF" || at == b"WAVE"));
}

/// A hundred calls for tomorrow, and a node that dies before it has taken any of them back.
#[tokio::test]
async fn whoever_is_erased_is_not_rung_by_what_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let callee = Callee::start(Plan::answer()).await;
    let doomed = NodeBuilder::to(&callee).data(directory.path()).start_doomed().await;
    let node = doomed.node();
    let due = Some(node.now().after(Duration::from_secs(86_400)));
    let tomorrow = || StartCall { due, ..node.request() };
    let waiting = node.calls().start_all((0..100).map(|_| tomorrow()).collect(), node.now()).await.expect("accepted");
    let number = node.request().callee;
    let order = ErasureOrder { account: node.account(), number, suppress: Suppress::AsItWas, now: node.now() };
    let erasure = node.store().open_erasure(order.clone()).await.expect("opened");
    doomed.kill();

    let node = NodeBuilder::to(&callee).data(directory.path()).start().await;
    for call in &waiting {
        assert_eq!(node.ended(call.id).await, HangupCause::Cancelled);
    }
    let kept = async || node.calls().reader().erasure(&node.account(), &erasure.id).await.expect("readable");
    while kept().await.expect("there").finished.is_none() {
        node.calls().erase(order.clone()).await.expect("gone on with");
    }
    assert_eq!(kept().await.expect("there").tally.calls, 100);
    assert_eq!(callee.calls(), 0);
    let anew = node.call().await;
    node.wait_for(anew, "a call that is asked for later", said("Hello there.")).await;
}
