//! The end of a call, from outside.

use crate::script::{agent, check, greeter};

#[test]
fn a_graceful_stop_lets_the_agent_finish_its_utterance() {
    check(
        greeter("Hello, this is Ann. How can I help you?"),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
      0      → says: How can I help you?
    500  stop gracefully
   2000      → notes said "Hello, this is Ann. How can I help you?"
   2000      → hangs up: MaxDuration
   4000  until now
"#,
    );
}

#[test]
fn a_graceful_stop_while_thinking_is_immediate() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1500  stop gracefully
   1500      → cancels 1
   1500      → hangs up: MaxDuration
   1600  model, all: Hi.
   3000  until now
"#,
    );
}

#[test]
fn when_the_callee_hangs_up_what_was_said_so_far_is_noted() {
    check(
        greeter("Hello, this is Ann."),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
    800  voice
    850  guess: Not now
    850      → flushes
    850      → notes interrupted
    850      → notes said, cut off "Hello, this is" before "Ann."
    900  callee hangs up
    900      → notes heard "Not now"
    900      → hangs up: CalleeHungUp
   1000  text: Too late.
"#,
    );
}

#[test]
fn a_stop_is_immediate() {
    check(
        agent(),
        r#"
      0  answered
   1000  stop
   1000      → hangs up: ApiHungUp
   2000  key: 1
"#,
    );
}

#[test]
fn without_ears_the_agent_apologises_and_leaves() {
    check(
        greeter("Hello, this is Ann."),
        r#"
      0  answered
      0      → says: Hello, this is Ann.
    500  ears lost
    500      → says firmly: I am sorry,
    500      → says firmly: something is not working on our side.
    500      → says firmly: Please try again later.
   1050      → notes said "Hello, this is Ann."
   1050      → says firmly: Goodbye.
   5000      → notes said "I am sorry, something is not working on our side. Please try again later. Goodbye."
   5000      → hangs up: ProviderFailed
  20000  until now
"#,
    );
}
