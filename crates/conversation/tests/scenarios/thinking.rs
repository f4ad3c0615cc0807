//! The model: fast, slow, broken.

use crate::script::{agent, agent_with, check};
use callwright_domain::agent::{Choice, Pronunciation, WeightedText};

#[test]
fn the_first_clause_is_spoken_before_the_answer_is_complete() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Where are you?
   1000      → notes heard "Where are you?"
   1000      → asks 1: callee "Where are you?"
   1400  model: We are in
   1450  model:  the old town,
   1500  model:  just behind
   1500      → says: We are in the old town,
   1550  model:  the church.
   1600  model:  See you!
   1600      → says: just behind the church.
   1650  model ends
   1650      → says: See you!
   4300      → notes turn 600 = endpoint 0 + ears 0 + brain 500 + voice 100 + own 0
   4300      → notes said "We are in the old town, just behind the church. See you!"
   6000  until now
"#,
    );
}

#[test]
fn a_long_answer_is_given_to_the_voice_in_small_portions() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Count.
   1000      → notes heard "Count."
   1000      → asks 1: callee "Count."
   1100  model, all: This is one. This is two, yes. This is three. This is four. This is five. This is six.
   1100      → says: This is one.
   1100      → says: This is two, yes.
   1100      → says: This is three.
   1100      → says: This is four.
   1800      → says: This is five.
   2500  until now
"#,
    );
}

#[test]
fn a_filler_covers_a_slow_model_and_is_not_remembered() {
    check(
        agent_with(|agent| {
            agent.filler.after_ms = 700;
            agent.filler.choice = Choice::Sequence;
            agent.filler.texts = vec![WeightedText { text: "Let me see.".into(), weight: 1.0 }];
        }),
        r#"
      0  answered
   1000  text: What is the price?
   1000      → notes heard "What is the price?"
   1000      → asks 1: callee "What is the price?"
   1700      → says: Let me see.
   2350      → notes said "Let me see."
   2500  model, all: Ten euros.
   2500      → says: Ten euros.
   3100      → notes turn 1600 = endpoint 0 + ears 0 + brain 1500 + voice 100 + own 0
   3100      → notes said "Ten euros."
   4000  text: And now?
   4000      → notes heard "And now?"
   4000      → asks 2: callee "What is the price?", agent "Ten euros.", callee "And now?"
   4200  until now
"#,
    );
}

#[test]
fn nobody_is_left_in_silence_and_a_mute_model_has_failed() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   2250      → says: One moment, please.
   3300      → notes said "One moment, please."
   6800      → says: Sorry, just a moment.
   7950      → notes said "Sorry, just a moment."
   8500      → cancels 1
   8500      → notes trouble with the brain: the model gave no sign of life
   8500      → says firmly: I am sorry,
   8500      → says firmly: something is not working on our side.
   8500      → says firmly: Please try again later.
   8500      → says firmly: Goodbye.
  12550      → notes said "I am sorry, something is not working on our side. Please try again later. Goodbye."
  12550      → hangs up: ProviderFailed
  30000  until now
"#,
    );
}

#[test]
fn a_model_that_fails_is_asked_once_more() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1200  model fails
   1200      → asks 2: callee "Hello?"
   1200      → says: Sorry, just a moment.
   1500  model, all: Hi, I am here.
   1500      → says: Hi, I am here.
   2350      → notes said "Sorry, just a moment."
   3050      → notes turn 600 = endpoint 0 + ears 0 + brain 300 + voice 100 + own 200
   3050      → notes said "Hi, I am here."
   4000  until now
"#,
    );
}

#[test]
fn after_a_failure_in_the_middle_nothing_is_said_twice() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1200  model: Hello there. I am
   1200      → says: Hello there.
   1300  model fails
   1300      → asks 2: callee "Hello?", agent "Hello there.", callee "(The line was silent. Go on from exactly where you stopped, without repeating anything.)"
   1500  model, all: I am Ann.
   1500      → says: I am Ann.
   1900      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   1900      → notes said "Hello there."
   2350      → notes said "I am Ann."
   4000  until now
"#,
    );
}

#[test]
fn a_model_that_fails_twice_ends_the_call_with_an_apology() {
    check(
        agent_with(|agent| agent.language = "de-DE".into()),
        r#"
      0  answered
   1000  text: Hallo?
   1000      → notes heard "Hallo?"
   1000      → asks 1: callee "Hallo?"
   1200  model fails
   1200      → asks 2: callee "Hallo?"
   1200      → says: Entschuldigung, einen Moment.
   1400  model fails
   1400      → says firmly: Es tut mir leid,
   1400      → says firmly: bei uns funktioniert gerade etwas nicht.
   1400      → says firmly: Bitte versuchen Sie es später.
   2750      → notes said "Entschuldigung, einen Moment."
   2750      → says firmly: Auf Wiederhören.
   7850      → notes said "Es tut mir leid, bei uns funktioniert gerade etwas nicht. Bitte versuchen Sie es später. Auf Wiederhören."
   7850      → hangs up: ProviderFailed
  20000  until now
"#,
    );
}

#[test]
fn an_empty_answer_is_a_failure() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1200  model ends
   1200      → notes trouble with the brain: the model answered with nothing
   1200      → asks 2: callee "Hello?"
   1200      → says: Sorry, just a moment.
   1500  model, all: Hi.
   1500      → says: Hi.
   2350      → notes said "Sorry, just a moment."
   2500      → notes turn 600 = endpoint 0 + ears 0 + brain 300 + voice 100 + own 200
   2500      → notes said "Hi."
   3000  until now
"#,
    );
}

#[test]
fn words_are_pronounced_as_configured_but_remembered_as_written() {
    check(
        agent_with(|agent| {
            agent.voice.pronunciations = vec![Pronunciation { word: "SQL".into(), spoken: "sequel".into() }];
        }),
        r#"
      0  answered
   1000  text: What is it?
   1000      → notes heard "What is it?"
   1000      → asks 1: callee "What is it?"
   1200  model, all: **SQL** 😀 of course.
   1200      → says: sequel of course.
   2150      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   2150      → notes said "SQL of course."
   3000  until now
"#,
    );
}

#[test]
fn a_phrase_that_the_voice_fails_at_is_tried_again() {
    check(
        agent(),
        r#"
      0  answered
      0  voice fails: 1
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1200  model, all: Hello there.
   1200      → says: Hello there.
   1300      → says: Hello there.
   2000      → notes turn 400 = endpoint 0 + ears 0 + brain 200 + voice 200 + own 0
   2000      → notes said "Hello there."
   3000  until now
"#,
    );
}

#[test]
fn a_voice_that_always_fails_ends_the_call() {
    check(
        agent(),
        r#"
      0  answered
      0  voice fails: 9
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1200  model, all: Hello there.
   1200      → says: Hello there.
   1300      → says: Hello there.
   1400      → says: Hello there.
   1500      → notes trouble with the voice: nothing can be said
   1500      → hangs up: ProviderFailed
   3000  until now
"#,
    );
}

#[test]
fn a_voice_that_hangs_does_not_hang_the_call() {
    check(
        agent(),
        r#"
      0  answered
      0  voice hangs
   1000  text: Hello?
   1000      → notes heard "Hello?"
   1000      → asks 1: callee "Hello?"
   1200  model, all: Hi.
   1200      → says: Hi.
  11590      → says: Hi.
  21980      → says: Hi.
  32370      → notes trouble with the voice: nothing can be said
  32370      → hangs up: ProviderFailed
  60000  until now
"#,
    );
}

#[test]
fn the_history_is_limited_to_the_configured_turns() {
    check(
        agent_with(|agent| agent.brain.history_limit = 1),
        r#"
      0  answered
   1000  text: One?
   1000      → notes heard "One?"
   1000      → asks 1: callee "One?"
   1200  model, all: Yes.
   1200      → says: Yes.
   1500      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   1500      → notes said "Yes."
   3000  text: Two?
   3000      → notes heard "Two?"
   3000      → asks 2: callee "One?", agent "Yes.", callee "Two?"
   3200  model, all: Yes.
   3200      → says: Yes.
   3500      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   3500      → notes said "Yes."
   5000  text: Three?
   5000      → notes heard "Three?"
   5000      → asks 3: callee "Two?", agent "Yes.", callee "Three?"
   6000  until now
"#,
    );
}
