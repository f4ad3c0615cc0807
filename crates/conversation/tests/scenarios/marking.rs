//! Turns that the far end marks.

use crate::script::{agent, greeter, played};
use callwright_domain::AgentProfile;

/// What comes out of a script, without the inputs: its moments and words.
fn told(agent: AgentProfile, script: &str) -> Vec<String> {
    let all = played(agent, script);
    all.lines().filter(|line| line.contains('→')).map(|line| line.replace("→ ", "").trim().to_owned()).collect()
}

#[test]
fn a_marked_turn_ends_when_it_is_released_and_not_with_silence() {
    let said = told(
        agent(),
        r#"
      0  answered
     10  turns are marked
   1000  pressed
   1100  voice
   2000  no voice
   2050  final: I would like
   5000  voice
   5900  final: a table.
   6000  released
   9000  until now
"#,
    );
    assert_eq!(said, ["6000 notes heard \"I would like a table.\"", "6000 asks 1: callee \"I would like a table.\""]);
}

#[test]
fn words_may_come_after_the_release_and_the_last_guess_is_taken_in_the_end() {
    let script = |last: &str| {
        format!(
            "0 answered\n10 turns are marked\n1000 pressed\n1100 voice\n2000 guess: two\n2100 released\n{last}9000 until now"
        )
    };
    let said = told(agent(), &script("2400 final: two pizzas\n"));
    assert_eq!(said, ["2400 notes heard \"two pizzas\"", "2400 asks 1: callee \"two pizzas\""]);
    let said = told(agent(), &script(""));
    assert_eq!(said[0], "3100 notes heard \"two\"");
}

#[test]
fn what_is_heard_between_turns_or_taken_back_is_nobodys() {
    let said = told(
        agent(),
        r#"
      0  answered
     10  turns are marked
    500  voice
   1000  final, and over: Not for you.
   2000  pressed
   2100  voice
   2900  final, and over: Never mind.
   3000  cancelled
   3100  final: Really.
   8000  pressed
   8100  released
   8200  until now
"#,
    );
    assert!(said.is_empty(), "{said:?}");
    let said = told(
        agent(),
        "0 answered\n10 turns are marked\n20 turns are not marked\n500 voice\n900 final, and over: Yes.\n1000 until now",
    );
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn a_press_interrupts_and_nothing_is_taken_up_again() {
    let said = told(
        greeter("Good day, what can I do for you on this fine morning?"),
        r#"
      0  answered
     10  turns are marked
   1000  pressed
   1100  released
   9000  until now
"#,
    );
    let flushes = said.iter().filter(|line| line.ends_with("flushes")).count();
    let says = said.iter().filter(|line| line.contains("says")).count();
    assert_eq!((flushes, says), (1, 1), "{said:?}");
}
