//! Machines that answer, and people who must not be taken for one.

use crate::script::{agent_with, check};
use callwright_domain::AgentProfile;
use callwright_domain::agent::{Greeting, OnVoicemail, Switch};

fn screening(change: impl FnOnce(&mut AgentProfile)) -> AgentProfile {
    agent_with(|agent| {
        agent.opening.greeting = Greeting::Text("Hello, this is Ann.".into());
        agent.voicemail.detect = Switch::On;
        change(agent);
    })
}

fn leaving(message: &str) -> AgentProfile {
    screening(|agent| {
        agent.voicemail.on_detect = OnVoicemail::LeaveMessage;
        agent.voicemail.message = message.into();
    })
}

#[test]
fn a_machine_is_hung_up_on_as_soon_as_it_is_known() {
    check(
        screening(|_| {}),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
   1050      → notes said "Hello, this is Ann."
   1200  voice
   3500  guess: You have reached Tom. Please leave a message after the tone
   3500      → notes heard "You have reached Tom. Please leave a message after the tone"
   3500      → notes machine_detected
   3500      → hangs up: VoicemailReached
"#,
    );
}

#[test]
fn a_tone_gives_a_short_machine_away() {
    check(
        screening(|_| {}),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
    200  voice
    300      → flushes
    300      → notes interrupted
   1500  no voice
   1600  final: Tom here.
   1700      → notes heard "Tom here."
   1700      → says: Hello, this is Ann.
   2000  tone
   2000      → notes machine_detected
   2000      → hangs up: VoicemailReached
"#,
    );
}

#[test]
fn a_message_is_left_after_the_tone() {
    check(
        leaving("Please call us back."),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
    300  voice
    400      → flushes
    400      → notes interrupted
    400      → notes said, cut off "Hello," before "this is Ann."
   2500  guess: leave a message
   2500      → notes heard "leave a message"
   2500      → notes machine_detected
   4000  final: Please leave a message after the beep.
   4000      → notes heard "Please leave a message after the beep."
   4500  no voice
   5000  tone
   5000      → says firmly: Please call us back.
   6100      → notes said "Please call us back."
   6100      → hangs up: VoicemailReached
   8000  until now
"#,
    );
}

#[test]
fn a_machine_without_a_tone_is_left_the_message_when_it_is_silent() {
    check(
        leaving("Please call us back."),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
    300  voice
    400      → flushes
    400      → notes interrupted
    400      → notes said, cut off "Hello," before "this is Ann."
   2500  guess: please leave a message
   2500      → notes heard "please leave a message"
   2500      → notes machine_detected
   4000  no voice
   7000      → says firmly: Please call us back.
   8100      → notes said "Please call us back."
   8100      → hangs up: VoicemailReached
   9000  until now
"#,
    );
}

/// Who has taken the call over leaves the message, if anybody does; the agent hangs up on nobody.
#[test]
fn a_machine_is_the_humans_who_takes_the_call_over() {
    check(
        leaving("Please call us back."),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
    300  voice
    400      → flushes
    400      → notes interrupted
    400      → notes said, cut off "Hello," before "this is Ann."
   2500  guess: please leave a message
   2500      → notes heard "please leave a message"
   2500      → notes machine_detected
   3000  taken over
   4000  no voice
   5000  tone
  60000  until now
"#,
    );
}

#[test]
fn a_person_who_says_hello_is_talked_to() {
    check(
        screening(|_| {}),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
   1050      → notes said "Hello, this is Ann."
   1500  voice
   2100  no voice
   2200  final: Hello, who is this?
   2200      → asks 1: agent "Hello, this is Ann.", callee "Hello, who is this?"
   2300      → notes heard "Hello, who is this?"
   2400  callee hangs up
   2400      → cancels 1
   2400      → hangs up: CalleeHungUp
"#,
    );
}

#[test]
fn nothing_is_looked_for_unless_it_is_wanted() {
    check(
        screening(|agent| agent.voicemail.detect = Switch::Off),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
   1050      → notes said "Hello, this is Ann."
   2000  tone
   3000  until now
"#,
    );
}
