//! Nobody speaks.

use crate::script::{agent, agent_with, check};
use callwright_domain::AgentProfile;
use callwright_domain::agent::{Choice, WeightedText};

fn reminding() -> AgentProfile {
    let text = |text: &str| WeightedText { text: text.into(), weight: 0.5 };
    agent_with(|agent| {
        agent.idle.remind_after_ms = 5000;
        agent.idle.reminders = vec![text("Hello?"), text("Are you there?")];
        agent.idle.choice = Choice::Sequence;
        agent.idle.goodbye = "Goodbye then.".into();
    })
}

#[test]
fn a_silent_callee_is_reminded_and_then_left() {
    check(
        reminding(),
        r#"
      0  answered
   5000      → says: Hello?
   5400      → notes said "Hello?"
  10400      → says: Are you there?
  11200      → notes said "Are you there?"
  16200      → says firmly: Goodbye then.
  16950      → notes said "Goodbye then."
  16950      → hangs up: Idle
  30000  until now
"#,
    );
}

#[test]
fn reminders_may_run_out_without_a_hang_up() {
    let mut agent = reminding();
    agent.idle.leave = callwright_domain::agent::Switch::Off;
    agent.idle.max_reminders = 1;
    agent.idle.hang_up_after_ms = 20_000;
    agent.idle.goodbye = String::new();
    check(
        agent,
        r#"
      0  answered
   5000      → says: Hello?
   5400      → notes said "Hello?"
  20000      → hangs up: Idle
  30000  until now
"#,
    );
}

#[test]
fn who_speaks_again_is_reminded_anew() {
    check(
        reminding(),
        r#"
      0  answered
   5000      → says: Hello?
   5400      → notes said "Hello?"
  10400      → says: Are you there?
  11000  voice
  11100      → flushes
  11100      → notes interrupted
  11100      → notes said, cut off "Are you" before "there?"
  12000  no voice
  12050  final: Yes?
  12050      → asks 1: agent "Hello?", agent "Are you", callee "Yes?"
  12200      → notes heard "Yes?"
  12500  model, all: Good.
  12500      → says: Good.
  12850      → notes turn 800 = endpoint 400 + ears 0 + brain 300 + voice 100 + own 0
  12850      → notes said "Good."
  17850      → says: Hello?
  18250      → notes said "Hello?"
  23250      → says: Are you there?
  24000  until now
"#,
    );
}

#[test]
fn without_any_interaction_the_call_ends() {
    check(
        agent_with(|agent| agent.idle.hang_up_after_ms = 20_000),
        r#"
      0  answered
  15000  text: Hi.
  15000      → notes heard "Hi."
  15000      → asks 1: callee "Hi."
  15500  model, all: Hi.
  15500      → says: Hi.
  15750      → notes turn 600 = endpoint 0 + ears 0 + brain 500 + voice 100 + own 0
  15750      → notes said "Hi."
  35000      → hangs up: Idle
  50000  until now
"#,
    );
}

#[test]
fn noise_without_words_does_not_keep_a_call_alive() {
    check(
        agent_with(|agent| agent.idle.hang_up_after_ms = 20_000),
        r#"
      0  answered
  15000  voice
  20000      → hangs up: Idle
  40000  until now
"#,
    );
}

#[test]
fn by_default_nobody_is_reminded() {
    check(
        agent(),
        r#"
0 answered
500000 until now
"#,
    );
}
