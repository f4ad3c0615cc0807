//! Machines that answer, with real audio through a whole node.

use crate::{ms, said};
use callwright_domain::agent::{OnVoicemail, Switch};
use callwright_domain::call::MachineSign;
use callwright_domain::{CallEvent, HangupCause};
use callwright_testkit::{Callee, NodeBuilder, Plan, Reply, ScriptedBrain, ScriptedEars};

fn known_by(event: &CallEvent) -> Option<MachineSign> {
    match event {
        CallEvent::MachineDetected { sign } => Some(*sign),
        _ => None,
    }
}

#[tokio::test]
async fn a_machine_is_known_by_its_words_and_hung_up_on() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["You have reached Tom. Please leave a message after the tone."]);
    let node = NodeBuilder::to(&callee).ears(&ears).agent(|agent| agent.voicemail.detect = Switch::On).start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.speak(ms(900));
    assert_eq!(node.ended(call).await, HangupCause::VoicemailReached);
    assert_eq!(node.events(call).await.iter().find_map(known_by), Some(MachineSign::Words));
}

#[tokio::test]
async fn a_tone_is_heard_in_the_audio_and_the_message_is_left() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).agent(|agent| {
        agent.voicemail.detect = Switch::On;
        agent.voicemail.on_detect = OnVoicemail::LeaveMessage;
        agent.voicemail.message = "Please call us back.".into();
    });
    let node = node.start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.beep(ms(400));
    node.wait_for(call, "the message", said("Please call us back.")).await;
    assert_eq!(node.ended(call).await, HangupCause::VoicemailReached);
    assert_eq!(node.events(call).await.iter().find_map(known_by), Some(MachineSign::Tone));
}

#[tokio::test]
async fn a_person_is_talked_to() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["Hello, who is this?"]);
    let brain = ScriptedBrain::new().on("who", [Reply::say("It is Ann.")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain);
    let node = node.agent(|agent| agent.voicemail.detect = Switch::On).start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.speak(ms(500));
    node.wait_for(call, "the answer", said("It is Ann.")).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert!(!node.event_names(call).await.contains(&"machine_detected"));
}
