//! Voices that come with a call instead of with the server.

use crate::{ms, said, trouble};
use callwright_domain::agent::Endpoint;
use callwright_domain::{AgentPatch, HangupCause, Pii};
use callwright_testkit::{Callee, HttpVoice, Node, NodeBuilder, Plan, ToneVoice, VoiceFault};
use std::collections::BTreeMap;
use std::time::Instant;

/// A call that brings this service for its voice.
fn bringing(node: &Node, url: String) -> callwright_engine::StartCall {
    let key = Pii::new(String::from("own-key"));
    let endpoint = Endpoint { kind: String::from("custom"), url, key, params: BTreeMap::new() };
    let mut request = node.request();
    request.patch = AgentPatch::default();
    request.patch.voice.endpoint = Some(Some(endpoint));
    request
}

#[tokio::test]
async fn a_voice_that_comes_with_a_call_is_the_one_that_is_heard() {
    let mut callee = Callee::start(Plan::answer()).await;
    let configured = ToneVoice::new(ms(30));
    let own = HttpVoice::start(ms(60)).await;
    let node = NodeBuilder::to(&callee).voice(&configured).start().await;
    let began = Instant::now();
    let call = node.calls().start(bringing(&node, own.url()), node.now()).await.expect("accepted").id;
    let mut line = callee.line().await;
    line.hears(began).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(200)).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    // Twice as slow as the configured one: nothing else could have made this.
    let length = ms(60) * 12;
    assert!(line.heard().abs_diff(length) <= ms(80), "{:?} of {length:?}", line.heard());
    assert!(configured.spoken().is_empty(), "{:?}", configured.spoken());
    let asked = own.asked();
    assert_eq!(asked.len(), 1, "paid for once: {asked:?}");
    assert_eq!((&asked[0].1["Text"], &asked[0].1["Format"]), (&"Hello there.".into(), &"wav".into()));
    assert!(asked[0].0.contains("authorization: bearer own-key"), "{}", asked[0].0);
}

#[tokio::test]
async fn a_voice_that_cannot_be_reached_is_told_without_its_key() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    // Nobody listens on a port that was let go.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let call =
        node.calls().start(bringing(&node, format!("http://{gone}/say")), node.now()).await.expect("accepted").id;
    let _line = callee.line().await;
    let told = node.wait_for(call, "the trouble", trouble("voice")).await;
    assert!(!format!("{told:?}").contains("own-key"), "{told:?}");
}

/// Calls whose voice fails, until one is given up before anybody is rung; how many callees were.
async fn wear_out(node: &Node, request: impl Fn() -> callwright_engine::StartCall) -> usize {
    for rung in 0..4 {
        let call = node.calls().start(request(), node.now()).await.expect("accepted").id;
        assert_eq!(node.ended(call).await, HangupCause::ProviderFailed);
        if !node.event_names(call).await.contains(&"dialing") {
            return rung;
        }
    }
    panic!("callees are rung for a voice that is down");
}

#[tokio::test]
async fn nobody_is_rung_for_a_voice_of_the_call_that_is_known_to_be_down() {
    let callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let rung = wear_out(&node, || bringing(&node, format!("http://{gone}/say"))).await;
    assert!(rung > 0, "nobody knows that it is down before it was asked");
    assert_eq!(callee.calls(), rung);
}

#[tokio::test]
async fn a_call_with_a_voice_of_its_own_does_not_mind_that_the_configured_one_is_down() {
    let mut callee = Callee::start(Plan::answer()).await;
    let configured = ToneVoice::new(ms(20)).always(VoiceFault::Fail);
    let own = HttpVoice::start(ms(5)).await;
    let node = NodeBuilder::to(&callee).voice(&configured).start().await;
    for _ in 0..wear_out(&node, || node.request()).await {
        callee.line().await;
    }
    let call = node.calls().start(bringing(&node, own.url()), node.now()).await.expect("accepted").id;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
}
