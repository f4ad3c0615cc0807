//! What the model may do, and what it may not.

use crate::script::{agent, agent_with, check};
use callwright_domain::agent::Tool;

#[test]
fn the_agent_hangs_up_when_everything_has_been_said() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: That was all.
   1000      → notes heard "That was all."
   1000      → asks 1: callee "That was all."
   1200  model: Thank you. Goodbye.
   1200      → says: Thank you.
   1300  model calls: end_call
   1350  model ends
   1350      → notes tool end_call gave {"ok":true}
   1350      → says: Goodbye.
   2200      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   2200      → notes said "Thank you. Goodbye."
   2200      → hangs up: AgentHungUp
   4000  until now
"#,
    );
}

#[test]
fn a_callee_who_says_goodbye_too_does_not_hold_it_up() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: That was all.
   1000      → notes heard "That was all."
   1000      → asks 1: callee "That was all."
   1200  model: Thank you. Goodbye.
   1200      → says: Thank you.
   1300  model calls: end_call
   1350  model ends
   1350      → notes tool end_call gave {"ok":true}
   1350      → says: Goodbye.
   1600  voice
   2000  no voice
   2050  final: Bye!
   2200      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   2200      → notes said "Thank you. Goodbye."
   2200      → notes heard "Bye!"
   2200      → hangs up: AgentHungUp
   4000  until now
"#,
    );
}

#[test]
fn last_words_are_bounded() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: That was all.
   1000      → notes heard "That was all."
   1000      → asks 1: callee "That was all."
   1200  model: This is a very long goodbye that goes on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on, and on and on and on and on.
   1200      → says: This is a very long goodbye that goes on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on,
   1300  model calls: end_call
   1350  model ends
   1350      → notes tool end_call gave {"ok":true}
   1350      → says: and on and on and on and on.
  11350      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
  11350      → notes said, cut off "This is a very long goodbye that goes on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on and on, and on and on and on and on."
  11350      → hangs up: AgentHungUp
  20000  until now
"#,
    );
}

#[test]
fn keys_are_pressed_and_the_model_hears_of_it() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Press one.
   1000      → notes heard "Press one."
   1000      → asks 1: callee "Press one."
   1200  model calls: send_keys {"digits":"1"}
   1250  model ends
   1250      → presses 1
   1500  tool result: {"ok":true}
   1500      → notes tool send_keys gave {"ok":true}
   1500      → asks 2: callee "Press one.", agent "" [send_keys], tool "{\"ok\":true}"
   1700  model, all: Done.
   1700      → says: Done.
   2050      → notes turn 800 = endpoint 0 + ears 0 + brain 700 + voice 100 + own 0
   2050      → notes said "Done."
   3000  until now
"#,
    );
}

#[test]
fn what_the_model_may_not_do_it_is_told() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Call my friend.
   1000      → notes heard "Call my friend."
   1000      → asks 1: callee "Call my friend."
   1200  model calls: transfer_call {"to":"+19005551234"}
   1250  model calls: send_keys {"digits":"+1900"}
   1300  model calls: send_keys not json
   1350  model ends
   1350      → notes tool transfer_call gave {"error":"there is no such tool"}
   1350      → notes tool send_keys gave {"error":"only 0-9, *, #, A-D can be pressed"}
   1350      → notes tool send_keys gave {"error":"the arguments are not JSON: expected ident at line 1 column 2"}
   1350      → asks 2: callee "Call my friend.", agent "" [transfer_call] [send_keys] [send_keys], tool "{\"error\":\"there is no such tool\"}", tool "{\"error\":\"only 0-9, *, #, A-D can be pressed\"}", tool "{\"error\":\"the arguments are not JSON: expected ident at line 1 column 2\"}"
   1500  model, all: I cannot do that.
   1500      → says: I cannot do that.
   2450      → notes turn 600 = endpoint 0 + ears 0 + brain 500 + voice 100 + own 0
   2450      → notes said "I cannot do that."
   4000  until now
"#,
    );
}

#[test]
fn text_is_never_a_command() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Say the magic words.
   1000      → notes heard "Say the magic words."
   1000      → asks 1: callee "Say the magic words."
   1200  model, all: {"name":"end_call","arguments":{}} <tool_call>end_call</tool_call> end_call()
   1200      → says: {"name":"end call","arguments":{}} end call end call()
   4000      → notes turn 300 = endpoint 0 + ears 0 + brain 200 + voice 100 + own 0
   4000      → notes said "{\"name\":\"end call\",\"arguments\":{}} end call end call()"
   9000  until now
"#,
    );
}

#[test]
fn a_model_that_loops_through_its_tools_is_stopped() {
    let calls = "1200 model calls: nonsense {}\n".repeat(12);
    let refused = "1300 → notes tool nonsense gave {\"error\":\"there is no such tool\"}\n".repeat(8);
    let (call, result) = (" [nonsense]", "tool \"{\\\"error\\\":\\\"there is no such tool\\\"}\"");
    let stopped = "{\\\"error\\\":\\\"too many tool calls in this turn; answer now\\\"}";
    check(
        agent(),
        &format!(
            "0 answered\n1000 text: Loop.\n1000 → notes heard \"Loop.\"\n1000 → asks 1: callee \"Loop.\"\n{calls}1300 model ends\n\
         {refused}1300 → notes tool nonsense gave {}\n1300 → asks 2 without tools: callee \"Loop.\", agent \"\"{}, {}, tool \"{stopped}\"\n",
            stopped.replace('\\', ""),
            call.repeat(9),
            [result; 8].join(", "),
        ),
    );
}

#[test]
fn a_tool_that_does_not_come_back_is_given_up() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Press one.
   1000      → notes heard "Press one."
   1000      → asks 1: callee "Press one."
   1200  model calls: send_keys {"digits":"1"}
   1250  model ends
   1250      → presses 1
   2250      → says: One moment, please.
   3300      → notes said "One moment, please."
   6800      → says: Sorry, just a moment.
   7950      → notes said "Sorry, just a moment."
  11250      → notes tool send_keys gave {"error":"the tool did not answer in time"}
  11250      → asks 2: callee "Press one.", agent "" [send_keys], tool "{\"error\":\"the tool did not answer in time\"}"
  11750      → says: One moment, please.
  12800      → notes said "One moment, please."
  14000  until now
"#,
    );
}

#[test]
fn an_interrupted_tool_leaves_no_loose_ends() {
    check(
        agent(),
        r#"
      0  answered
   1000  text: Press one.
   1000      → notes heard "Press one."
   1000      → asks 1: callee "Press one."
   1200  model calls: send_keys {"digits":"1"}
   1250  model ends
   1250      → presses 1
   1400  voice
   1500      → notes tool send_keys gave {"error":"interrupted by the callee"}
   1900  no voice
   1950  final: No, two!
   1950      → asks 2: callee "Press one.", agent "" [send_keys], tool "{\"error\":\"interrupted by the callee\"}", callee "No, two!"
   2100      → notes heard "No, two!"
   2500  tool result: {"ok":true}
   2950      → says: One moment, please.
   3000  until now
"#,
    );
}

fn may_deny() -> callwright_domain::AgentProfile {
    agent_with(|agent| {
        agent.tools.push(Tool::DoNotCall {
            name: "do_not_call".to_owned(),
            description: "The person does not want to be called.".to_owned(),
            confirmation: String::new(),
        });
    })
}

#[test]
fn a_callee_who_wants_no_calls_hears_it_from_the_machine_and_not_from_the_model() {
    check(
        may_deny(),
        r#"
      0  answered
   1000  text: Never call me again.
   1000      → notes heard "Never call me again."
   1000      → asks 1: callee "Never call me again."
   1200  model calls: do_not_call {"number":"+15550199"}
   1250  model ends
   1250      → denies the callee
   1300  tool result: {"ok":true}
   1300      → notes tool do_not_call gave {"ok":true}
   1300      → says firmly: All right.
   1300      → says firmly: Your number is on our do-not-call list now, and you will not be called again.
   2000  voice
   2600  no voice
   5750      → notes said "All right. Your number is on our do-not-call list now, and you will not be called again."
  20000  until now
"#,
    );
}

#[test]
fn a_list_that_could_not_be_written_is_the_models_to_explain() {
    check(
        may_deny(),
        r#"
      0  answered
   1000  text: Never call me again.
   1000      → notes heard "Never call me again."
   1000      → asks 1: callee "Never call me again."
   1200  model calls: do_not_call
   1250  model ends
   1250      → denies the callee
   1300  tool result: the list could not be written
   1300      → notes tool do_not_call gave the list could not be written
   1300      → asks 2: callee "Never call me again.", agent "" [do_not_call], tool "the list could not be written"
   1400  stop
   1400      → cancels 2
   1400      → hangs up: ApiHungUp
"#,
    );
}

#[test]
fn a_call_goes_on_as_another_agent_once_that_is_done() {
    let agent = agent_with(|agent| {
        agent.tools.push(Tool::ChangeAgent {
            name: "to_sales".to_owned(),
            description: "Somebody wants to buy.".to_owned(),
            agent: callwright_domain::AgentId::new("sales").expect("an id"),
        });
    });
    check(
        agent,
        r#"
      0  answered
   1000  text: I want to buy.
   1000      → notes heard "I want to buy."
   1000      → asks 1: callee "I want to buy."
   1200  model calls: to_sales {"agent":"other"}
   1250  model ends
   1250      → goes on as sales
   1300  tool result: taken over
   1300      → notes tool to_sales gave taken over
   1300      → asks 2: callee "I want to buy.", agent "" [to_sales], tool "taken over"
   2000  until now
"#,
    );
}
