//! The callee speaks over the agent.

use crate::script::{agent, agent_with, check, greeter};
use callwright_domain::agent::{Greeting, Overheard, Switch};

fn long_greeter(change: impl FnOnce(&mut callwright_domain::AgentProfile)) -> callwright_domain::AgentProfile {
    agent_with(|agent| {
        agent.opening.greeting = Greeting::Text("Good morning. We have pizza, pasta and salad today.".into());
        change(agent);
    })
}

#[test]
fn a_voice_silences_the_agent_and_the_history_keeps_what_was_heard() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   2000  voice
   2100      → flushes
   2100      → notes interrupted
   2100      → notes said, cut off "Good morning. We have pizza, pasta and" before "salad today."
   2900  no voice
   2950  final: Just a salad.
   2950      → asks 1: agent "Good morning. We have pizza, pasta and", callee "Just a salad."
   3100      → notes heard "Just a salad."
   3950      → says: One moment, please.
   4000  until now
"#,
    );
}

#[test]
fn a_greeting_may_be_beyond_interruption() {
    check(
        agent_with(|agent| {
            agent.opening.greeting = Greeting::Text("We have pizza, pasta and salad today.".into());
            agent.opening.interruptible = Switch::Off;
        }),
        r#"
      0  answered
      0      → says firmly: We have pizza, pasta and salad today.
    500  voice
   1500  no voice
   1950      → notes said "We have pizza, pasta and salad today."
   3000  until now
"#,
    );
}

#[test]
fn a_cough_does_not() {
    check(
        long_greeter(|agent| agent.interrupt.min_speech_ms = 500),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1000  voice
   1300  no voice
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   4000  until now
"#,
    );
}

#[test]
fn an_interruption_without_words_is_taken_back() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   2000  voice
   2100      → flushes
   2100      → notes interrupted
   2100      → notes said, cut off "Good morning. We have pizza, pasta and" before "salad today."
   2600  no voice
   3600      → says: salad today.
   4300      → notes said "salad today."
   7000  until now
"#,
    );
}

#[test]
fn an_answer_cut_off_in_the_making_is_finished_by_the_model() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Tell me a story.
   1000      → notes heard "Tell me a story."
   1000      → asks 1: callee "Tell me a story."
   1100  model: Once upon a time, there was a king. He had
   1100      → says: Once upon a time,
   1100      → says: there was a king.
   3000  voice
   3100      → cancels 1
   3100      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
   3100      → notes said "Once upon a time, there was a king."
   3600  no voice
   4600      → asks 2: callee "Tell me a story.", agent "Once upon a time, there was a king.", callee "(The line was silent. Go on from exactly where you stopped, without repeating anything.)"
   4700  model, all: He had three daughters.
   4700      → says: He had three daughters.
   5950      → notes said "He had three daughters."
   7000  until now
"#,
    );
}

#[test]
fn on_a_noisy_line_words_are_needed() {
    check(
        greeter("One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."),
        r#"
      0  answered
      0      → says: One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen.
    500  voice
    600      → flushes
    600      → notes interrupted
    600      → notes said, cut off "One two" before "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."
    700  no voice
   1700      → says: three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen.
   2500  voice
   2600      → flushes
   2600      → notes interrupted
   2600      → notes said, cut off "three four five" before "six seven eight nine ten eleven twelve thirteen fourteen fifteen."
   2700  no voice
   3700      → says: six seven eight nine ten eleven twelve thirteen fourteen fifteen.
   4500  voice
   4900  no voice
   5000  voice
   5300  guess: please
   5300      → flushes
   5300      → notes interrupted
   5300      → notes said, cut off "six seven eight nine ten" before "eleven twelve thirteen fourteen fifteen."
   6000  until now
"#,
    );
}

#[test]
fn where_words_are_counted_a_murmur_does_not_interrupt() {
    check(
        long_greeter(|agent| agent.interrupt.min_words = 2),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    500  voice
    700  no voice
    750  final: Mhm.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → notes heard "Mhm."
   4000  until now
   5000  voice
   6000  no voice
   6050  final: A salad.
   6050      → asks 1: agent "Good morning. We have pizza, pasta and salad today.", callee "Mhm. A salad."
   6200      → notes heard "A salad."
   7000  until now
"#,
    );
}

#[test]
fn a_short_answer_at_the_end_of_the_question_is_an_answer() {
    check(
        long_greeter(|agent| agent.interrupt.min_words = 2),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   2000  voice
   2400  no voice
   2450  final: Pizza.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → notes heard "Pizza."
   2600      → asks 1: agent "Good morning. We have pizza, pasta and salad today.", callee "Pizza."
   3850      → says: One moment, please.
   4000  until now
"#,
    );
}

#[test]
fn a_hello_that_meets_the_greeting_on_the_way_is_greeted_again() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    400  voice
    500      → flushes
    500      → notes interrupted
    500      → notes said, cut off "Good" before "morning. We have pizza, pasta and salad today."
    900  no voice
    950  final: Hello?
   1100      → notes heard "Hello?"
   1100      → says: Good morning.
   1100      → says: We have pizza, pasta and salad today.
   3700      → notes said "Good morning. We have pizza, pasta and salad today."
   6000  until now
"#,
    );
}

#[test]
fn late_words_of_the_last_turn_do_not_interrupt_the_answer() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: A pizza
   2050      → asks 1: callee "A pizza"
   2200      → notes heard "A pizza"
   2300  model, all: Very well, one pizza.
   2300      → says: Very well,
   2300      → says: one pizza.
   2600  final: with cheese.
   2600      → notes heard "with cheese."
   3400      → notes turn 600 = endpoint 400 + ears 0 + brain 100 + voice 100 + own 0
   3400      → notes said "Very well, one pizza."
   4500  text: And a coke.
   4500      → notes heard "And a coke."
   4500      → asks 2: callee "A pizza with cheese.", agent "Very well, one pizza.", callee "And a coke."
   5000  until now
"#,
    );
}

#[test]
fn a_pressed_key_interrupts() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1000  key: 0
   1000      → notes key 0
   1100  key: #
   1100      → notes key #
   1100      → flushes
   1100      → notes interrupted
   1100      → notes said, cut off "Good morning. We" before "have pizza, pasta and salad today."
   1100      → notes heard "(pressed the keys 0 #)"
   1100      → asks 1: agent "Good morning. We", callee "(pressed the keys 0 #)"
   2000  until now
"#,
    );
}

#[test]
fn but_two_words_do() {
    check(
        long_greeter(|agent| agent.interrupt.min_words = 2),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    500  voice
    700  guess: Wait
    900  guess: Wait please
    900      → flushes
    900      → notes interrupted
    900      → notes said, cut off "Good morning. We" before "have pizza, pasta and salad today."
   1000  until now
"#,
    );
}

#[test]
fn an_interrupting_word_works_where_the_voice_does_not() {
    check(
        long_greeter(|agent| {
            agent.interrupt.by_voice = Switch::Off;
            agent.interrupt.words = vec!["stop".into()];
        }),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    500  voice
   1000  guess: Well
   1200  guess: Well stop
   1200      → flushes
   1200      → notes interrupted
   1200      → notes said, cut off "Good morning. We have" before "pizza, pasta and salad today."
   1500  no voice
   1550  final: Stop.
   1700      → notes heard "Stop."
   3000  until now
"#,
    );
}

#[test]
fn an_interrupting_word_is_no_question_even_where_the_voice_was_faster() {
    check(
        long_greeter(|agent| agent.interrupt.words = vec!["stop".into()]),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   2000  voice
   2100      → flushes
   2100      → notes interrupted
   2100      → notes said, cut off "Good morning. We have pizza, pasta and" before "salad today."
   2500  guess: Stop
   2800  no voice
   2850  final: Stop.
   3000      → notes heard "Stop."
   4000  voice
   5000  no voice
   5050  final: A salad.
   5050      → asks 1: agent "Good morning. We have pizza, pasta and", callee "A salad."
   5200      → notes heard "A salad."
   6000  until now
"#,
    );
}

#[test]
fn an_interrupting_word_may_be_kept_for_the_model() {
    check(
        long_greeter(|agent| {
            agent.interrupt.words = vec!["stop".into()];
            agent.interrupt.min_words = 9;
            agent.interrupt.keep_words = Switch::On;
        }),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    500  voice
   1200  guess: Stop
   1200      → flushes
   1200      → notes interrupted
   1200      → notes said, cut off "Good morning. We have" before "pizza, pasta and salad today."
   1500  no voice
   1550  final: Stop.
   1700      → notes heard "Stop."
   1700      → asks 1: agent "Good morning. We have", callee "Stop."
   2550      → says: One moment, please.
   3000  until now
"#,
    );
}

#[test]
fn who_cannot_interrupt_is_answered_afterwards() {
    check(
        long_greeter(|agent| agent.interrupt.by_voice = Switch::Off),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    500  voice
   1000  no voice
   1050  final: Do you have soup?
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → notes heard "Do you have soup?"
   2600      → asks 1: agent "Good morning. We have pizza, pasta and salad today.", callee "Do you have soup?"
   3850      → says: One moment, please.
   4900      → notes said "One moment, please."
   5000  until now
"#,
    );
}

#[test]
fn or_not_at_all() {
    check(
        long_greeter(|agent| {
            agent.interrupt.by_voice = Switch::Off;
            agent.interrupt.overheard = Overheard::Discard;
        }),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
    500  voice
   1000  no voice
   1050  final: Do you have soup?
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   5000  until now
"#,
    );
}

#[test]
fn what_must_be_heard_cannot_be_interrupted() {
    check(
        agent(),
        r#"
      0  answered
   1000  firm order: This call is recorded.
   1000      → says firmly: This call is recorded.
   1500  voice
   2000  guess: No no no
   2200      → notes said by order "This call is recorded."
   2500  no voice
   2550  final: No no no.
   2550      → asks 1: agent "This call is recorded.", callee "No no no."
   2700      → notes heard "No no no."
   3550      → says: One moment, please.
   4000  until now
"#,
    );
}

#[test]
fn an_order_to_speak_cuts_what_is_being_said() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1500  order: Please hold the line.
   1500      → flushes
   1500      → notes interrupted
   1500      → says: Please hold the line.
   1500      → notes said, cut off "Good morning. We have pizza," before "pasta and salad today."
   2650      → notes said by order "Please hold the line."
   4000  until now
"#,
    );
}

#[test]
fn a_patient_order_waits_until_the_agent_has_finished() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1500  patient order: Please hold the line.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → says: Please hold the line.
   3750      → notes said by order "Please hold the line."
   5000  until now
"#,
    );
}

#[test]
fn a_patient_order_waits_for_a_callee_who_speaks_and_for_the_answer() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   1500  patient order: Please hold the line.
   2000  no voice
   2050  final: What time is it?
   2050      → asks 1: callee "What time is it?"
   2200      → notes heard "What time is it?"
   2300  model: Noon.
   2350  model ends
   2350      → says: Noon.
   2700      → notes turn 650 = endpoint 400 + ears 0 + brain 150 + voice 100 + own 0
   2700      → notes said "Noon."
   2700      → says: Please hold the line.
   3850      → notes said by order "Please hold the line."
   5000  until now
"#,
    );
}

#[test]
fn a_patient_order_waits_for_words_that_are_owed_but_not_for_ever() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   1500  patient order: Please hold the line.
   2000  no voice
   2800      → says: Please hold the line.
   3950      → notes said by order "Please hold the line."
   5000  until now
"#,
    );
}

#[test]
fn an_order_to_be_silent_is_not_taken_back() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1500  silence
   1500      → flushes
   1500      → notes interrupted
   1500      → notes said, cut off "Good morning. We have pizza," before "pasta and salad today."
   9000  until now
"#,
    );
}

#[test]
fn a_voice_while_the_agent_thinks_stops_it_thinking() {
    check(
        agent(),
        r#"
      0  answered
   1000  voice
   2000  no voice
   2050  final: Hello?
   2050      → asks 1: callee "Hello?"
   2200      → notes heard "Hello?"
   2500  voice
   2600      → cancels 1
   2700  no voice
   3700      → asks 2: callee "Hello?"
   4200      → says: One moment, please.
   5000  until now
"#,
    );
}

#[test]
fn on_hold_the_agent_is_silent_and_then_goes_on() {
    check(
        long_greeter(|_| {}),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1500  hold
   1500      → flushes
   1500      → notes said, cut off "Good morning. We have pizza," before "pasta and salad today."
   2000  voice
   3000  final: Music, music.
   5000  unhold
   5000      → says: pasta and salad today.
   6200      → notes said "pasta and salad today."
   9000  until now
"#,
    );
}
