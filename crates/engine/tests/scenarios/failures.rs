//! Ears, brain and voice that fail, hang or panic.

use crate::{heard, in_time, ms, said, trouble, within};
use callwright_domain::agent::Greeting;
use callwright_domain::{CallEvent, CallId, HangupCause};
use callwright_engine::{Accepting, HangUp};
use callwright_testkit::{
    Callee, EarsFault, Line, Node, NodeBuilder, Plan, Reply, ScriptedBrain, ScriptedEars, ToneVoice, VoiceFault,
};
use std::time::Instant;

/// Calls, and lets the callee speak after the greeting.
async fn greeted(node: &Node, callee: &mut Callee) -> (CallId, Line) {
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(100)).await;
    line.speak(ms(400));
    (call, line)
}

fn count(events: &[CallEvent], wanted: impl Fn(&CallEvent) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

#[tokio::test]
async fn ears_that_fail_twice_are_replaced_and_hear_on() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["hi there agent"]).with_faults([EarsFault::Fail, EarsFault::Fail]);
    let brain = ScriptedBrain::new().on("hi", [Reply::say("Recovered.")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).start().await;
    let (call, _line) = greeted(&node, &mut callee).await;
    node.wait_for(call, "the answer", said("Recovered.")).await;
    assert!(ears.started() >= 3, "{} streams", ears.started());
    let events = node.events(call).await;
    assert_eq!(count(&events, |event| matches!(event, CallEvent::Ended { .. })), 0, "{events:?}");
}

#[tokio::test]
async fn ears_that_fail_for_good_end_the_call_with_an_apology() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new([]).with_faults([EarsFault::Fail; 50]);
    let voice = ToneVoice::new(ms(10));
    let node = NodeBuilder::to(&callee).ears(&ears).voice(&voice).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    assert_eq!(node.ended(call).await, HangupCause::ProviderFailed);
    line.ended().await;
    assert!(voice.spoken().iter().any(|text| text.contains("sorry")), "{:?}", voice.spoken());
    let names = node.event_names(call).await;
    assert!(names.contains(&"trouble") && names.contains(&"said"), "{names:?}");
}

#[tokio::test]
async fn ears_whose_task_panics_are_replaced() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["hi there agent"]).with_faults([EarsFault::Panic]);
    let brain = ScriptedBrain::new().on("hi", [Reply::say("Recovered.")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).start().await;
    let (call, _line) = greeted(&node, &mut callee).await;
    node.wait_for(call, "the answer", said("Recovered.")).await;
}

#[tokio::test]
async fn a_voice_that_has_too_much_to_do_is_late_not_broken() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["hi there agent"]);
    let brain = ScriptedBrain::new().on("hi", [Reply::say("Fine.")]);
    // More refusals than a call survives failures, first while it rings and then in the conversation.
    let busy = [VoiceFault::Busy; 4];
    let voice = ToneVoice::new(ms(10)).with_faults([&busy[..], &[VoiceFault::None], &busy].concat());
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).voice(&voice).start().await;
    let (call, _line) = greeted(&node, &mut callee).await;
    node.wait_for(call, "the answer", said("Fine.")).await;
    let events = node.events(call).await;
    assert_eq!(count(&events, trouble("voice")), 0, "{events:?}");
    assert_eq!(voice.spoken().iter().filter(|text| *text == "Fine.").count(), 5);
}

#[tokio::test]
async fn a_model_that_fails_once_is_asked_again_with_an_apology() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["hi there agent"]);
    // The question may be put in advance, so that the first failure is nobody's business: two of them.
    let brain = ScriptedBrain::new().on("hi", [Reply::fail().after(ms(300)), Reply::say("Fine.")]);
    let voice = ToneVoice::new(ms(10));
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).voice(&voice).start().await;
    let (call, _line) = greeted(&node, &mut callee).await;
    node.wait_for(call, "the answer", said("Fine.")).await;
    node.wait_for(call, "the failure", trouble("brain")).await;
    assert_eq!(voice.spoken(), ["Hello there.", "Sorry, just a moment.", "Fine."]);
}

#[tokio::test]
async fn a_model_that_fails_for_good_ends_the_call_with_an_apology() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["hi there agent"]);
    let brain = ScriptedBrain::new().on("", [Reply::fail()]);
    let voice = ToneVoice::new(ms(10));
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).voice(&voice).start().await;
    let (call, mut line) = greeted(&node, &mut callee).await;
    assert_eq!(node.ended(call).await, HangupCause::ProviderFailed);
    line.ended().await;
    assert!(voice.spoken().iter().any(|text| text.contains("I am sorry")), "{:?}", voice.spoken());
    assert!(node.events(call).await.iter().any(heard("hi")));
}

#[tokio::test]
async fn a_model_that_hangs_keeps_nobody_in_silence() {
    in_time(async || {
        let mut callee = Callee::start(Plan::answer()).await;
        let ears = ScriptedEars::new(["hi there agent"]);
        let brain = ScriptedBrain::new().on("", [Reply::hang()]);
        let voice = ToneVoice::new(ms(10));
        let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).voice(&voice).start().await;
        let (call, mut line) = greeted(&node, &mut callee).await;
        let spoke = Instant::now();
        line.hears(spoke).await;
        // Four tenths of a second of it the callee itself spoke.
        within(ms(1900), spoke.elapsed(), "the phrase came")?;
        node.wait_for(call, "the phrase", said("One moment, please.")).await;
        assert_eq!(node.ended(call).await, HangupCause::ProviderFailed);
        within(ms(15_400), spoke.elapsed(), "the end came")?;
        assert!(voice.spoken().iter().any(|text| text.contains("I am sorry")), "{:?}", voice.spoken());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn when_nothing_works_an_apology_is_played_and_the_call_ends() {
    for fault in [VoiceFault::Fail, VoiceFault::Hang] {
        in_time(async || {
            let mut callee = Callee::start(Plan::answer()).await;
            let ears = ScriptedEars::new(["hi there agent"]);
            let brain = ScriptedBrain::new().on("", [Reply::hang()]);
            // The greeting is heard, and nothing after it.
            let voice = ToneVoice::new(ms(10)).with_faults([VoiceFault::None]).always(fault);
            let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).voice(&voice).start().await;
            let (call, mut line) = greeted(&node, &mut callee).await;
            let spoke = Instant::now();
            line.hears(spoke).await;
            assert_eq!(node.ended(call).await, HangupCause::ProviderFailed, "{fault:?}");
            within(ms(15_400), spoke.elapsed(), &format!("{fault:?}: the end came"))?;
            line.ended().await;
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_is_rung_while_the_model_is_known_to_be_down() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("", [Reply::fail()]);
    let node = NodeBuilder::to(&callee).brain(&brain).voice(&ToneVoice::new(ms(10))).start().await;
    let (calls, account) = (node.calls(), node.account());
    // Two failures a call.
    for _ in 0..3 {
        let call = node.call().await;
        node.wait_for(call, "the greeting", said("Hello there.")).await;
        calls.hear(&account, call, "hi".into()).await.expect("taken");
        assert_eq!(node.ended(call).await, HangupCause::ProviderFailed);
        callee.line().await;
    }
    let call = node.call().await;
    assert_eq!(node.ended(call).await, HangupCause::ProviderFailed);
    assert_eq!(callee.calls(), 3, "the fourth callee was not rung");
    assert!(!node.event_names(call).await.contains(&"dialing"));
}

#[tokio::test]
async fn a_phrase_that_fails_is_spoken_at_the_second_try() {
    let mut callee = Callee::start(Plan::answer()).await;
    let voice = ToneVoice::new(ms(20)).with_faults([VoiceFault::Fail]);
    let node = NodeBuilder::to(&callee).voice(&voice).start().await;
    let began = Instant::now();
    let call = node.call().await;
    let mut line = callee.line().await;
    line.hears(began).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
}

#[tokio::test]
async fn a_voice_that_fails_for_good_ends_the_call() {
    let mut callee = Callee::start(Plan::answer()).await;
    for fault in [VoiceFault::Fail, VoiceFault::Panic] {
        let voice = ToneVoice::new(ms(20)).always(fault);
        let node = NodeBuilder::to(&callee).voice(&voice).start().await;
        let call = node.call().await;
        let mut line = callee.line().await;
        assert_eq!(node.ended(call).await, HangupCause::ProviderFailed, "{fault:?}");
        line.ended().await;
        let names = node.event_names(call).await;
        assert!(names.contains(&"trouble") && !names.contains(&"said"), "{names:?}");
    }
}

#[tokio::test]
async fn a_panic_in_one_call_leaves_the_others_alone() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new()
        .on("bomb", [Reply::panic_at_once()])
        .on("grenade", [Reply::panic()])
        .on("hi", [Reply::say("Hi yourself.")]);
    let node = NodeBuilder::to(&callee).brain(&brain).start().await;
    let (calls, account) = (node.calls(), node.account());
    let (hit, spared) = (node.call().await, node.call().await);
    for call in [hit, spared] {
        node.wait_for(call, "the greeting", said("Hello there.")).await;
    }
    // A vendor panics in the call's own task, while it dials: the call goes on.
    let mut request = node.request();
    request.patch.opening.greeting = Some(Greeting::Text("bomb".into()));
    let bombed = calls.start(request, node.now()).await.expect("accepted").id;
    node.wait_for(bombed, "the greeting", said("bomb")).await;
    calls.hang_up(&account, bombed, HangUp::Now).await.expect("taken");
    node.ended(bombed).await;
    // A vendor's task panics, again and again.
    calls.hear(&account, hit, "grenade".into()).await.expect("taken");
    assert_eq!(node.ended(hit).await, HangupCause::ProviderFailed);
    calls.hear(&account, spared, "hi".into()).await.expect("taken");
    node.wait_for(spared, "the answer", said("Hi yourself.")).await;
    assert_eq!(calls.readiness().accepting, Accepting::Open);
    let next = node.call().await;
    node.wait_for(next, "the greeting", said("Hello there.")).await;
    callee.line().await;
    assert_eq!(node.active_calls().await, 2, "only the spared one and the next");
}
