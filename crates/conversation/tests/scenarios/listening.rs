//! Has the callee finished?

use crate::script::{agent, agent_with, check, sounds};
use callwright_domain::agent::{Switch, TurnMode, WeightedText};

#[test]
fn silence_ends_the_turn_and_the_model_is_asked_before_it_is_sure() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: What does it cost?
   2050      → asks 1: callee "What does it cost?"
   2190  model: Ten euros.
   2195  model ends
   2200      → notes heard "What does it cost?"
   2200      → says: Ten euros.
   2800      → notes turn 500 = endpoint 400 + ears 0 + brain 0 + voice 100 + own 0
   2800      → notes said "Ten euros."
   5000  until now
"#,
    );
}

#[test]
fn a_callee_who_goes_on_is_not_answered_too_early() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: I would like
   2050      → asks 1: callee "I would like"
   2150  voice
   2150      → cancels 1
   2160  guess: a pizza
   3000  no voice
   3050  final: a pizza.
   3050      → asks 2: callee "I would like a pizza."
   3200      → notes heard "I would like a pizza."
   4000  until now
"#,
    );
}

#[test]
fn the_recognisers_own_verdict_ends_the_turn_at_once() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   1900  final, and over: Yes please.
   1900      → notes heard "Yes please."
   1900      → asks 1: callee "Yes please."
   2000  until now
"#,
    );
}

#[test]
fn words_that_come_after_the_silence_are_waited_for() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2700  final: Hello there.
   2700      → asks 1: callee "Hello there."
   2700      → notes heard "Hello there."
   2900  model, all: Hi.
   2900      → says: Hi.
   3150      → notes turn 1200 = endpoint 400 + ears 500 + brain 200 + voice 100 + own 0
   3150      → notes said "Hi."
   4000  until now
"#,
    );
}

#[test]
fn without_a_final_text_the_last_guess_counts_and_the_final_is_not_heard_twice() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   1500  guess: I want a
   1900  guess: I want a pizza
   2000  no voice
   2800      → notes heard "I want a pizza"
   2800      → asks 1: callee "I want a pizza"
   3000  final: I want a pizza.
   3300      → says: One moment, please.
   4000  until now
"#,
    );
}

#[test]
fn a_final_text_that_says_more_than_the_guess_is_added() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   1900  guess: I want a pizza
   2000  no voice
   2800      → notes heard "I want a pizza"
   2800      → asks 1: callee "I want a pizza"
   3000  final: I want a pizza, please.
   3000      → cancels 1
   3000      → notes heard "please."
   3000      → asks 2: callee "I want a pizza please."
   3500      → says: One moment, please.
   4000  until now
"#,
    );
}

#[test]
fn without_voice_activity_the_words_tell_when_it_is_silent() {
    check(
        agent(),
        r#"
      0  answered
   1000  guess: Hello
   1300  guess: Hello there
   1500  final: Hello there.
   1500      → asks 1: callee "Hello there."
   1900      → notes heard "Hello there."
   2750      → says: One moment, please.
   3000  until now
"#,
    );
}

#[test]
fn an_end_word_ends_the_turn_at_once() {
    check(
        agent_with(|agent| agent.turn.end_words = vec!["over".into()]),
        r#"
      0  answered
   1000  voice
   1500  guess: I am here,
   1800  guess: I am here, over
   1800      → notes heard "I am here, over"
   1800      → asks 1: callee "I am here, over"
   2000  until now
"#,
    );
}

#[test]
fn an_unfinished_sentence_is_given_patience_in_semantic_mode() {
    check(
        agent_with(|agent| {
            agent.turn.mode = TurnMode::Semantic;
            agent.turn.patience_ms = 3000;
        }),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final, not over: My number is
   4000  voice
   5000  no voice
   5050  final, and over: five five five.
   5050      → asks 1: callee "My number is five five five."
   5050      → notes heard "My number is five five five."
   6000  until now
"#,
    );
}

#[test]
fn patience_has_an_end() {
    check(
        agent_with(|agent| {
            agent.turn.mode = TurnMode::Semantic;
            agent.turn.patience_ms = 3000;
        }),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final, not over: My number is
   4800      → notes heard "My number is"
   4800      → asks 1: callee "My number is"
   5300      → says: One moment, please.
   6000  until now
"#,
    );
}

#[test]
fn a_callee_who_goes_on_while_the_agent_thinks_has_said_one_thing() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: I would like a pizza.
   2050      → asks 1: callee "I would like a pizza."
   2200      → notes heard "I would like a pizza."
   2500  voice
   2600      → cancels 1
   3500  no voice
   3550  final: And a coke.
   3550      → asks 2: callee "I would like a pizza. And a coke."
   3700      → notes heard "And a coke."
   4500  until now
"#,
    );
}

#[test]
fn or_two_things_where_segments_are_not_joined() {
    check(
        agent_with(|agent| agent.turn.join_segments = Switch::Off),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: I would like a pizza.
   2050      → asks 1: callee "I would like a pizza."
   2200      → notes heard "I would like a pizza."
   2500  voice
   2600      → cancels 1
   3500  no voice
   3550  final: And a coke.
   3550      → asks 2: callee "I would like a pizza.", callee "And a coke."
   3700      → notes heard "And a coke."
   4500  until now
"#,
    );
}

#[test]
fn a_late_word_of_the_same_turn_asks_anew() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: I would like a pizza
   2050      → asks 1: callee "I would like a pizza"
   2200      → notes heard "I would like a pizza"
   2600  final: for two.
   2600      → cancels 1
   2600      → notes heard "for two."
   2600      → asks 2: callee "I would like a pizza for two."
   3100      → says: One moment, please.
   4000  until now
"#,
    );
}

#[test]
fn a_voice_that_never_stops_is_noise() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  final: Hello there.
  12000      → notes heard "Hello there."
  12000      → asks 1: callee "Hello there."
  13000  until now
"#,
    );
}

#[test]
fn keys_are_words_too() {
    check(
        agent(),
        r#"
      0  answered
   1000  key: 4
   1000      → notes key 4
   1500  key: 2
   1500      → notes key 2
   3000      → notes heard "(pressed the keys 4 2)"
   3000      → asks 1: callee "(pressed the keys 4 2)"
   4000  key: 1
   4000      → notes key 1
   4200  key: #
   4200      → notes key #
   4200      → cancels 1
   4200      → notes heard "(pressed the keys 1 #)"
   4200      → asks 2: callee "(pressed the keys 4 2) (pressed the keys 1 #)"
   5000  until now
"#,
    );
}

#[test]
fn the_agent_murmurs_while_the_callee_pauses() {
    check(
        agent_with(|agent| {
            agent.backchannel.probability = 1.0;
            agent.backchannel.words = vec![WeightedText { text: "mhm".into(), weight: 1.0 }];
            agent.turn.silence_ms = 1000;
        }),
        r#"
      0  answered
   1000  voice
   1500  guess: So I was there
   2000  no voice
   2000      → murmurs: mhm
   2050  final: So I was there
   2050      → asks 1: callee "So I was there"
   2300  voice
   2300      → cancels 1
   2800  no voice
   2800      → murmurs: mhm
   2850  final: and then
   2850      → asks 2: callee "So I was there and then"
   2900  until now
"#,
    );
}

#[test]
fn the_callee_may_write_instead_of_speak() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: What time is it?
   1000      → notes heard "What time is it?"
   1000      → asks 1: callee "What time is it?"
   1500  model, all: It is noon.
   1500      → says: It is noon.
   1700  text: Where?
   1700      → flushes
   1700      → notes interrupted
   1700      → notes turn 600 = endpoint 0 + ears 0 + brain 500 + voice 100 + own 0
   1700      → notes said, cut off "It" before "is noon."
   1700      → notes heard "Where?"
   1700      → asks 2: callee "What time is it?", agent "It", callee "Where?"
   2000  until now
"#,
    );
}

#[test]
fn what_was_said_is_known_with_its_times() {
    let told = sounds(
        agent(),
        r#"
      0  answered
   1000  voice
   2200  no voice
   2300  final: Where are you?
   2600  model, all: We are in the old town. Just behind the church, on the left side.
   4500  voice
   5200  no voice
   5400  final: Stop that please now.
   5900  model, all: All right.
   8000  text: Typed.
   8500  model, all: Then look here.
  12000  until now
"#,
    );
    // The callee from the first sound to the last; the agent until it was cut off; what was typed never sounded.
    let expected = [
        "900 to 2000: Where are you?",
        "2700 to 4600: We are in the old town. Just behind the",
        "4400 to 5000: Stop that please now.",
        "6000 to 6500: All right.",
        "never: Typed.",
        "8600 to 9350: Then look here.",
    ];
    assert_eq!(told, expected);
}
