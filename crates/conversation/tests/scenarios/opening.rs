//! The first words of a call.

use crate::script::{agent_with, check, greeter, setup};
use callwright_conversation::{AskId, Conversation, TemplateError};
use callwright_domain::agent::Greeting;
use std::collections::BTreeMap;

#[test]
fn the_agent_greets_and_then_listens() {
    check(
        greeter("Hello, this is Ann."),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
   1050      → notes said "Hello, this is Ann."
   3000  until now
"#,
    );
}

#[test]
fn the_greeting_waits_for_its_delay() {
    check(
        agent_with(|agent| {
            agent.opening.greeting = Greeting::Text("Hello.".into());
            agent.opening.delay_ms = 800;
        }),
        r#"
      0  answered
    800      → says: Hello.
   1200      → notes said "Hello."
   2000  until now
"#,
    );
}

#[test]
fn a_hello_before_the_greeting_is_answered_by_the_greeting() {
    check(
        agent_with(|agent| {
            agent.opening.greeting = Greeting::Text("Good morning, this is Ann.".into());
            agent.opening.delay_ms = 500;
        }),
        r#"
      0  answered
    300  voice
    900  no voice
    950  final: Hello?
    950      → notes heard "Hello?"
   1000      → says: Good morning, this is Ann.
   2400      → notes said "Good morning, this is Ann."
   4000  until now
"#,
    );
}

#[test]
fn a_greeting_of_the_models_is_spoken_as_it_streams() {
    check(
        agent_with(|agent| agent.opening.greeting = Greeting::Model("Greet the callee.".into())),
        r#"
      0  answered
      0      → asks 0: callee "Greet the callee."
    300  model: Good morning, Mr.
    300      → says: Good morning,
    350  model:  Brown. How are
    400  model:  you?
    450  model ends
    450      → says: Mr. Brown. How are you?
   2200      → notes said "Good morning, Mr. Brown. How are you?"
   6000  until now
"#,
    );
}

#[test]
fn a_greeting_made_while_it_rings_is_spoken_at_once() {
    check(
        agent_with(|agent| agent.opening.greeting = Greeting::Model("Greet the callee.".into())),
        r#"
      0  model: Good morning, Mr. Brown.
      0  model ends
   5000  answered
   5000      → says: Good morning,
   5000      → says: Mr. Brown.
   6250      → notes said "Good morning, Mr. Brown."
   8000  until now
"#,
    );
}

/// It would be refused again; the call goes on.
#[test]
fn a_text_that_the_voice_refuses_is_not_said_again() {
    check(
        greeter("Hello."),
        r#"
      0  voice refuses: 1
      0  answered
      0      → says: Hello.
   1000  voice
   2000  no voice
   2050  final: Is anybody there?
   2050      → asks 1: callee "Is anybody there?"
   2200      → notes heard "Is anybody there?"
   2500  until now
"#,
    );
}

#[test]
fn a_greeting_that_the_voice_fails_at_is_said_again() {
    check(
        greeter("Hello."),
        r#"
      0  voice fails: 2
      0  answered
      0      → says: Hello.
    100      → says: Hello.
    200      → says: Hello.
    600      → notes said "Hello."
   1000  voice
   2000  no voice
   2050  final: Is anybody there?
   2050      → asks 1: agent "Hello.", callee "Is anybody there?"
   2200      → notes heard "Is anybody there?"
   2500  until now
"#,
    );
}

#[test]
fn without_a_greeting_the_agent_waits() {
    check(
        crate::script::agent(),
        r#"
0 answered
5000 until now
"#,
    );
}

#[test]
fn a_wake_up_text_is_answered_at_once() {
    check(
        agent_with(|agent| agent.opening.wake_up = Some("Who is calling?".into())),
        r#"
      0  answered
      0      → asks 1: callee "Who is calling?"
    200  model, all: This is Ann.
    200      → says: This is Ann.
    900      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
    900      → notes said "This is Ann."
   2000  until now
"#,
    );
}

#[test]
fn a_wake_up_text_is_answered_after_the_greeting() {
    check(
        agent_with(|agent| {
            agent.opening.greeting = Greeting::Text("Hello.".into());
            agent.opening.wake_up = Some("Who is calling?".into());
        }),
        r#"
      0  answered
      0      → asks 1: agent "Hello.", callee "Who is calling?"
      0      → says: Hello.
    200  model, all: This is Ann.
    200      → says: This is Ann.
    400      → notes said "Hello."
   1000      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   1000      → notes said "This is Ann."
   3000  until now
"#,
    );
}

#[test]
fn a_greeting_of_the_models_knows_the_wake_up_text() {
    check(
        agent_with(|agent| {
            agent.opening.greeting = Greeting::Model("Greet the callee.".into());
            agent.opening.wake_up = Some("Who is calling?".into());
        }),
        r#"
      0  answered
      0      → asks 0: callee "Who is calling?", callee "Greet the callee."
    200  model, all: This is Ann.
    200      → says: This is Ann.
    900      → notes said "This is Ann."
   3000  until now
"#,
    );
}

#[test]
fn templates_are_strict() {
    let agent = agent_with(|agent| {
        agent.brain.system_prompt = "You speak with {{ name }} on {{ today }}.".into();
        agent.opening.greeting = Greeting::Text("Hello {{ name }}.".into());
    });
    let error = TemplateError::Unknown { place: "system_prompt", variable: "name".into() };
    assert_eq!(Conversation::check(&agent, &BTreeMap::new()), Err(error.clone()));
    assert_eq!(Conversation::new(setup(agent.clone())).err(), Some(error));
    let mut known = setup(agent);
    known.variables.insert("name".into(), "Ann".into());
    let ask = Conversation::new(known).expect("all known").opening_request().expect("something to read");
    assert_eq!(ask.id, AskId::OPENING);
    let told: Vec<_> = ask.messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(told, ["You speak with Ann on Monday.", "Hello Ann."]);
}

/// A sentence that must be heard, then a greeting that need not.
fn discloser(greeting: Greeting) -> callwright_domain::AgentProfile {
    agent_with(|agent| {
        agent.opening.disclosure = Some("I am an automated assistant.".to_owned());
        agent.opening.greeting = greeting;
    })
}

#[test]
fn that_a_machine_speaks_is_said_first_and_not_cut_off() {
    check(
        discloser(Greeting::Text("How can I help you today?".to_owned())),
        r#"
      0  answered
      0      → says firmly: I am an automated assistant.
      0      → says: How can I help you today?
    500  voice
    900  no voice
   1500      → notes said "I am an automated assistant."
   1500      → notes disclosed
   2750      → notes said "How can I help you today?"
   4000  until now
"#,
    );
}

#[test]
fn a_callee_who_leaves_before_the_end_was_not_told() {
    check(
        discloser(Greeting::None),
        r#"
      0  answered
      0      → says firmly: I am an automated assistant.
    700  callee hangs up
    700      → notes said, cut off "I am an" before "automated assistant."
    700      → hangs up: CalleeHungUp
"#,
    );
}

#[test]
fn what_hold_cut_off_of_it_is_said_when_the_callee_is_back() {
    check(
        discloser(Greeting::None),
        r#"
      0  answered
      0      → says firmly: I am an automated assistant.
    700  hold
    700      → flushes
    700      → notes said, cut off "I am an" before "automated assistant."
   5000  unhold
   5000      → says firmly: automated assistant.
   6100      → notes said "automated assistant."
   6100      → notes disclosed
   9000  until now
"#,
    );
}

/// The law wants to know who speaks before anything else.
#[test]
fn a_sound_is_played_before_the_greeting_and_after_the_disclosure() {
    let mut agent = greeter("Good morning.");
    agent.opening.disclosure = Some("I am a machine.".to_owned());
    check(
        agent,
        r#"
      0  sound before the greeting: xx
    100  answered
    100      → says firmly: I am a machine.
    100      → says: (2000 ms of sound)
    100      → says: Good morning.
    950      → notes said "I am a machine."
    950      → notes disclosed
   3600      → notes said "Good morning."
   5000  until now
"#,
    );
}
