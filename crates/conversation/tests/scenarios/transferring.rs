//! Handing the callee over to somebody else.

use crate::script::{agent_with, check};
use callwright_domain::AgentProfile;
use callwright_domain::agent::Tool;

fn with_desk(announcement: &str, apology: &str) -> AgentProfile {
    agent_with(|agent| {
        agent.tools.push(Tool::Transfer {
            name: "to_the_desk".into(),
            description: "A person is wanted.".into(),
            to: "+4930123456".into(),
            announcement: announcement.into(),
            apology: apology.into(),
        });
    })
}

#[test]
fn it_is_said_first_and_done_then() {
    check(
        with_desk("I am connecting you.", ""),
        r#"
      0  answered
    500  final, and over: A person, please.
    500      → asks 1: callee "A person, please."
    500      → notes heard "A person, please."
    900  model: Of course.
    900  model calls: to_the_desk {}
    900  model ends
    900      → notes tool to_the_desk gave {"ok":true}
    900      → says: Of course.
    900      → says firmly: I am connecting you.
   1500      → notes turn 500 = endpoint 0 + ears 0 + brain 400 + voice 100 + own 0
   1500      → notes said "Of course."
   2500      → notes said "I am connecting you."
   2500      → transfers to +4930123456
   6000  callee hangs up
   6000      → hangs up: CalleeHungUp
"#,
    );
}

#[test]
fn when_it_does_not_work_the_agent_says_so_and_listens() {
    check(
        with_desk("", ""),
        r#"
      0  answered
    500  final, and over: A person, please.
    500      → asks 1: callee "A person, please."
    500      → notes heard "A person, please."
    900  model calls: to_the_desk {"to":"+19005550123"}
    900  model ends
    900      → notes tool to_the_desk gave {"ok":true}
    900      → transfers to +4930123456
   2000  voice
   2500  no voice
   2600  final: Hello?
   3000  transfer fails: the number is busy
   3000      → asks 2: callee "A person, please.", agent "" [to_the_desk], tool "{\"ok\":true}", callee "(The call could not be transferred: the number is busy. Say so, and go on.)"
   3100  model, all: I am sorry, it is busy.
   3100      → says: I am sorry,
   3100      → says: it is busy.
   4300      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
   4300      → notes said "I am sorry, it is busy."
   6000  final, and over: Never mind.
   6000      → asks 3: callee "A person, please.", agent "" [to_the_desk], tool "{\"ok\":true}", callee "(The call could not be transferred: the number is busy. Say so, and go on.)", agent "I am sorry, it is busy.", callee "Never mind."
   6000      → notes heard "Never mind."
   6100  model, all: Bye.
   6100      → says: Bye.
   6400      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
   6400      → notes said "Bye."
   8000  until now
"#,
    );
}

#[test]
fn an_order_waits_for_the_sentence() {
    check(
        with_desk("", ""),
        r#"
      0  answered
    500  final, and over: What is open?
    500      → asks 1: callee "What is open?"
    500      → notes heard "What is open?"
    600  model, all: We are open from nine to five.
    600      → says: We are open from nine to five.
    900  transfer: +4930123456
   2200      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
   2200      → notes said "We are open from nine to five."
   2200      → transfers to +4930123456
   4000  until now
"#,
    );
}

#[test]
fn words_that_are_written_for_it_are_said_when_it_does_not_work() {
    check(
        with_desk("", "Nobody is free just now."),
        r#"
      0  answered
    500  final, and over: A person, please.
    500      → asks 1: callee "A person, please."
    500      → notes heard "A person, please."
    900  model calls: to_the_desk {}
    900  model ends
    900      → notes tool to_the_desk gave {"ok":true}
    900      → transfers to +4930123456
   3000  transfer fails: the number is busy
   3000      → says: Nobody is free just now.
   4300      → notes said "Nobody is free just now."
   6000  final, and over: Then tomorrow.
   6000      → asks 2: callee "A person, please.", agent "" [to_the_desk], tool "{\"ok\":true}", callee "(The call could not be transferred: the number is busy.)", agent "Nobody is free just now.", callee "Then tomorrow."
   6000      → notes heard "Then tomorrow."
   7000  until now
"#,
    );
}

/// Somebody takes it over: the sentence is cut off, what was being thought is dropped, and nothing is said any more.
#[test]
fn who_is_taken_over_from_falls_silent_for_good() {
    check(
        agent_with(|agent| {
            agent.idle.remind_after_ms = 5000;
            agent.idle.hang_up_after_ms = 20_000;
        }),
        r#"
      0  answered
    500  final, and over: What is open?
    500      → asks 1: callee "What is open?"
    500      → notes heard "What is open?"
    600  model, all: We are open from nine to five.
    600      → says: We are open from nine to five.
   1000  taken over
   1000      → flushes
   1000      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
   1000      → notes said, cut off "We" before "are open from nine to five."
   2000  final, and over: And tomorrow?
   3000  text: And tomorrow?
  60000  until now
"#,
    );
}

#[test]
fn a_goodbye_is_no_more_the_agents_once_somebody_takes_over() {
    check(
        agent_with(|agent| {
            agent.tools.push(Tool::EndCall { name: "bye".into(), description: String::new() });
        }),
        r#"
      0  answered
    500  final, and over: Bye.
    500      → asks 1: callee "Bye."
    500      → notes heard "Bye."
    600  model: Have a very good day, and goodbye.
    600      → says: Have a very good day,
    600  model calls: bye
    600  model ends
    600      → notes tool bye gave {"ok":true}
    600      → says: and goodbye.
    900  taken over
    900      → flushes
    900      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
    900      → notes said, cut off "Have" before "a very good day, and goodbye."
  30000  until now
  30000  callee hangs up
  30000      → hangs up: CalleeHungUp
"#,
    );
}
