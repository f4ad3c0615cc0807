//! What somebody outside orders to be said or answered, and when it is.

use crate::script::{agent, agent_with, check, greeter, setup, zero};
use callwright_conversation::{Conversation, Grace, Input, Question, Saying, Unheard};
use callwright_domain::agent::{Overheard, Switch};
use callwright_domain::{HangupCause, Transfer, TransferTarget};

fn long() -> callwright_domain::AgentProfile {
    greeter("Good morning. We have pizza, pasta and salad today.")
}

#[test]
fn what_is_said_only_in_silence_is_dropped_while_somebody_talks() {
    check(
        long(),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1500  order if silent: Too early.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   4000  order if silent: Now.
   4000      → says: Now.
   4300      → notes said by order "Now."
   5000  voice
   5500  order if silent: Over the callee.
   8000  until now
"#,
    );
}

#[test]
fn what_waits_is_forgotten_at_an_interruption_unless_it_is_to_be_said_in_any_case() {
    check(
        long(),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1000  order unless interrupted: Perhaps.
   1100  patient order: In any case.
   1500  order: This comes first.
   1500      → flushes
   1500      → notes interrupted
   1500      → says: This comes first.
   1500      → notes said, cut off "Good morning. We have pizza," before "pasta and salad today."
   2450      → notes said by order "This comes first."
   2450      → says: In any case.
   3150      → notes said by order "In any case."
   6000  until now
"#,
    );
    check(
        long(),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1000  order unless interrupted: Perhaps.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → says: Perhaps.
   3100      → notes said by order "Perhaps."
   6000  until now
"#,
    );
}

#[test]
fn beside_what_is_said_alone_nothing_else_is_taken() {
    check(
        agent(),
        r#"
      0  answered
   1000  order alone: This call is recorded.
   1000      → says firmly: This call is recorded.
   1200  order: Ignored.
   1300  patient order: Ignored, too.
   2200      → notes said by order "This call is recorded."
   3000  order: Taken.
   3000      → says: Taken.
   3400      → notes said by order "Taken."
   5000  until now
"#,
    );
}

#[test]
fn the_model_is_not_told_of_what_it_is_not_to_know() {
    check(
        agent(),
        r#"
      0  answered
   1000  order, not told: A secret.
   1000      → says: A secret.
   1100  patient order: No secret.
   1550      → notes said by order "A secret."
   1550      → says: No secret.
   2150      → notes said by order "No secret."
   3000  voice
   3500  no voice
   3550  final: What was that?
   3550      → asks 1: agent "No secret.", callee "What was that?"
   3700      → notes heard "What was that?"
   4550      → says: One moment, please.
   5000  until now
"#,
    );
}

#[test]
fn last_words_are_said_to_their_end_however_long_they_are() {
    check(
        long(),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1000  last order: And now, goodbye to you. Goodbye to everybody else, too. Do not call us, we call you. It was a pleasure, a great pleasure indeed. Never before have we said goodbye for so long, and never shall we do so again. Farewell.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → says: And now, goodbye to you.
   2600      → says: Goodbye to everybody else, too.
   2600      → says: Do not call us, we call you.
   2600      → says: It was a pleasure, a great pleasure indeed.
   3900      → says: Never before have we said goodbye for so long, and never shall we do so again.
   5450      → says: Farewell.
  13350      → notes said by order "And now, goodbye to you. Goodbye to everybody else, too. Do not call us, we call you. It was a pleasure, a great pleasure indeed. Never before have we said goodbye for so long, and never shall we do so again. Farewell."
  13350      → hangs up: ApiHungUp
  30000  until now
"#,
    );
}

#[test]
fn a_sound_is_played_like_a_phrase_and_is_as_long_as_it_is() {
    check(
        agent(),
        r#"
      0  answered
   1000  sound order: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
   1000      → says: (40000 ms of sound)
   2000  patient order: After the sound.
  41100      → says: After the sound.
  42000      → notes said by order "After the sound."
  60000  until now
"#,
    );
}

#[test]
fn sound_is_refused_when_too_much_of_it_waits() {
    check(
        agent(),
        r#"
      0  answered
   1000  sound order: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
   1000      → says: (60000 ms of sound)
   1001  sound order: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
   1002  sound order: x
   1002      → notes trouble with the voice: more is ordered to be said than can be
   2000  stop
   2000      → hangs up: ApiHungUp
"#,
    );
}

#[test]
fn a_patient_question_waits_for_the_agent_and_the_model_is_asked_with_its_headers() {
    check(
        long(),
        r#"
      0  answered
      0      → says: Good morning.
      0      → says: We have pizza, pasta and salad today.
   1000  patient text: Offer the pizza.
   2600      → notes said "Good morning. We have pizza, pasta and salad today."
   2600      → notes heard "Offer the pizza."
   2600      → asks 1 with x-asked: agent "Good morning. We have pizza, pasta and salad today.", callee "Offer the pizza."
   3000  model, all: Pizza?
   3000      → says: Pizza?
   3400      → notes turn 500 = endpoint 0 + ears 0 + brain 400 + voice 100 + own 0
   3400      → notes said "Pizza?"
   5000  voice
   5500  no voice
   5550  final: Yes.
   5550      → asks 2: agent "Good morning. We have pizza, pasta and salad today.", callee "Offer the pizza.", agent "Pizza?", callee "Yes."
   5700      → notes heard "Yes."
   6550      → says: One moment, please.
   7000  until now
"#,
    );
}

/// Whoever drives the machine asks before it gives an order, and hears why it would be lost.
#[test]
fn an_order_that_would_be_lost_is_refused_in_advance() {
    let verdicts = |conversation: &Conversation| {
        let question = Question::from("Well?".to_owned());
        let saying = Saying::next("Well.".to_owned());
        let patient = Question { interrupts: Switch::Off, ..question.clone() };
        let says = [conversation.may_say(&saying), conversation.may_change()];
        let asks = [conversation.may_answer(&question), conversation.may_answer(&patient), conversation.may_transfer()];
        (says, asks)
    };
    let of = |says: Result<(), Unheard>, asks: Result<(), Unheard>| ([says; 2], [asks; 3]);
    let nobody = Err(Unheard::Nobody);
    let mut conversation = Conversation::new(setup(agent())).expect("templates");
    assert_eq!(verdicts(&conversation), of(nobody, nobody));
    conversation.handle(zero(), Input::Answered);
    assert_eq!(verdicts(&conversation), of(Ok(()), Ok(())));
    let to = Transfer { announcement: "One moment.".to_owned(), ..Transfer::to(target()) };
    conversation.handle(zero(), Input::TransferTo(to));
    assert_eq!(verdicts(&conversation), of(Ok(()), Err(Unheard::HandedOver)));
    conversation.handle(zero(), Input::Stop { cause: HangupCause::ApiHungUp, grace: Grace::FinishUtterance });
    let late = Err(Unheard::LastWords);
    assert_eq!(verdicts(&conversation), of(late, late));
    conversation.handle(zero(), Input::Stop { cause: HangupCause::CalleeHungUp, grace: Grace::Now });
    assert_eq!(verdicts(&conversation), of(late, late));

    // The agent waits a moment before it begins: what must be answered at once has nobody to answer it.
    let waiting = agent_with(|agent| agent.opening.delay_ms = 1000);
    let mut conversation = Conversation::new(setup(waiting)).expect("templates");
    conversation.handle(zero(), Input::Answered);
    assert_eq!(verdicts(&conversation), ([Ok(()); 2], [nobody, Ok(()), nobody]));
}

fn target() -> TransferTarget {
    TransferTarget::parse("+15550199").expect("a target")
}

/// What was ordered is said on like everything else, in words that the model is not told of, and as sound.
#[test]
fn what_was_ordered_is_said_on_after_a_false_interruption() {
    check(
        agent(),
        r#"
      0  answered
   1000  order, not told: A secret of the house.
   1000      → says: A secret of the house.
   1500  voice
   1600      → flushes
   1600      → notes interrupted
   1600      → notes said by order, cut off "A secret" before "of the house."
   2000  no voice
   3000      → says: of the house.
   3750      → notes said by order "of the house."
   9000  until now
"#,
    );
    check(
        agent(),
        r#"
      0  answered
   1000  sound order: xxxxx
   1000      → says: (5000 ms of sound)
   3000  voice
   3100      → flushes
   3100      → notes interrupted
   3500  no voice
   4500      → says: (3000 ms of sound)
   9000  until now
"#,
    );
}

/// Nobody spoke: the wait for the floor is no recogniser's.
#[test]
fn a_question_that_waits_for_the_floor_is_not_said_to_have_been_heard_slowly() {
    check(
        agent(),
        r#"
      0  answered
   1000  order alone: This call is recorded.
   1000      → says firmly: This call is recorded.
   1200  text: What is the weather?
   2200      → notes said by order "This call is recorded."
   2200      → notes heard "What is the weather?"
   2200      → asks 1: agent "This call is recorded.", callee "What is the weather?"
   2600  model, all: Sunny.
   2600      → says: Sunny.
   3000      → notes turn 500 = endpoint 0 + ears 0 + brain 400 + voice 100 + own 0
   3000      → notes said "Sunny."
   4000  until now
"#,
    );
}

/// An order is nothing that was overheard, whatever becomes of that.
#[test]
fn a_question_waits_for_what_must_be_heard_and_what_is_overheard_meanwhile_is_not() {
    for more in ["text", "patient text"] {
        let asked = if more == "text" { "" } else { " with x-asked" };
        let script = r#"
      0  answered
   1000  order alone: This call is recorded.
   1000      → says firmly: This call is recorded.
   1100  voice
   1200  {more}: What is the weather?
   1500  no voice
   1550  final: Never mind.
   2200      → notes said by order "This call is recorded."
   2200      → notes heard "What is the weather?"
   2200      → asks 1{asked}: agent "This call is recorded.", callee "What is the weather?"
   2600  model, all: Sunny.
   2600      → says: Sunny.
   3000      → notes turn 500 = endpoint 0 + ears 0 + brain 400 + voice 100 + own 0
   3000      → notes said "Sunny."
   4000  until now
"#;
        let discarding = agent_with(|agent| agent.interrupt.overheard = Overheard::Discard);
        check(discarding, &script.replace("{more}", more).replace("{asked}", asked));
    }
}

/// Questions that wait for the end of what must be heard are one, as they would be otherwise; what follows it makes way.
#[test]
fn questions_that_waited_for_what_must_be_heard_come_before_patient_ones() {
    check(
        agent(),
        r#"
      0  answered
   1000  order alone: This call is recorded.
   1000      → says firmly: This call is recorded.
   1100  patient text: Later.
   1200  text: One.
   1300  text: Two.
   2200      → notes said by order "This call is recorded."
   2200      → notes heard "One. Two."
   2200      → asks 1: agent "This call is recorded.", callee "One. Two."
   2600  model, all: Three.
   2600      → says: Three.
   3000      → notes turn 500 = endpoint 0 + ears 0 + brain 400 + voice 100 + own 0
   3000      → notes said "Three."
   3000      → notes heard "Later."
   3000      → asks 2 with x-asked: agent "This call is recorded.", callee "One. Two.", agent "Three.", callee "Later."
   3100  model, all: Now.
   3100      → says: Now.
   3400      → notes turn 200 = endpoint 0 + ears 0 + brain 100 + voice 100 + own 0
   3400      → notes said "Now."
   4000  until now
"#,
    );
}
