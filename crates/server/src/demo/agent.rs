//! The demo's agent: the front desk of a dental clinic. One prompt for the language model, and the same conversation as a
//! script for machines without one.

use anyhow::Result;
use callwright_conversation::vocabulary::{LlmEvent, Message, Role};
use callwright_domain::AgentProfile;
use callwright_domain::agent::{Greeting, ScriptStep, Switch, Tool};
use callwright_providers::llm::{Llm, LlmRequest};
use std::collections::BTreeMap;
use std::sync::Arc;

const GREETING: &str = "Good morning, this is Anna from the Bright Smile dental clinic. How can I help you?";

/// Facts, rules, and a few short examples: what a small model needs to stay on its subject. The examples repeat facts of
/// the list and no others, because a small model copies what it is shown.
const PROMPT: &str = "\
You are Anna, the friendly voice assistant at the front desk of the Bright Smile dental clinic. You are on the phone with Mr. Johnson.
Facts:
- Mr. Johnson has an appointment on Tuesday at ten.
- Free on Thursday: two o'clock and four o'clock.
- A cleaning costs eighty dollars, a check-up sixty dollars, and whitening two hundred dollars.
- Patients bring their insurance card.
- The clinic is at 12 Main Street, with parking behind the house.
Rules:
- Answer in one or two short spoken sentences. No lists, no symbols.
- Use only the facts. If you do not know something, say so.
- You are an AI assistant, and you say so when you are asked.
- When the caller says goodbye, say goodbye.
Examples:
Caller: Can I move my appointment to Thursday? You: Of course, on Thursday I have two o'clock or four o'clock.
Caller: Four o'clock please. You: Great, I moved you to Thursday at four.
Caller: What does it cost? You: A cleaning is eighty dollars, a check-up is sixty dollars.
Caller: Are you a real person? You: No, I am the clinic's AI assistant.";

/// Name of the scripted brain.
const SCRIPT: &str = "script";

/// The agent with a brain of this name.
pub(super) fn profile(brain: &str) -> AgentProfile {
    let mut agent =
        AgentProfile { name: String::from("Anna"), language: String::from("en"), ..AgentProfile::default() };
    agent.opening.greeting = Greeting::Text(GREETING.to_owned());
    agent.brain.vendor = brain.to_owned();
    agent.brain.system_prompt = PROMPT.to_owned();
    agent.brain.max_tokens = Some(80);
    agent.brain.script = script();
    agent.turn.silence_ms = 550;
    agent.turn.join_segments = Switch::On;
    agent.interrupt.min_speech_ms = 240;
    if brain == SCRIPT {
        // The small language model never calls a tool; the callee hangs up on it.
        agent.tools.push(Tool::EndCall {
            name: String::from("end_call"),
            description: String::from("Hang up. Use it after saying goodbye, when the caller has said goodbye."),
        });
    }
    agent.limits.max_duration_s = 180;
    agent
}

/// Lets the language model answer once, so that it is loaded before anybody waits for it.
pub(super) async fn rehearse(model: &Arc<dyn Llm>) -> Result<()> {
    let conversation = String::from("rehearsal");
    let mut answer = model.ask(LlmRequest {
        conversation: conversation.clone(),
        model: String::new(),
        messages: vec![Message::text(Role::System, "Answer with one word."), Message::text(Role::User, "Hello?")],
        tools: Vec::new(),
        temperature: None,
        max_tokens: Some(4),
        query: BTreeMap::new(),
        params: BTreeMap::new(),
        script: Vec::new().into(),
        headers: BTreeMap::new(),
    });
    while let Some(piece) = answer.events.recv().await {
        if let LlmEvent::Done { .. } = piece? {
            break;
        }
    }
    model.forget(&conversation);
    Ok(())
}

fn script() -> Vec<ScriptStep> {
    let step = |when: &[&str], say: &str, tool: Option<&str>| ScriptStep {
        when: when.iter().map(|word| (*word).to_owned()).collect(),
        say: say.to_owned(),
        tool: tool.map(str::to_owned),
        times: 0,
    };
    vec![
        step(&["bye", "goodbye", "good-bye"], "Thank you for calling. See you on Thursday. Goodbye!", Some("end_call")),
        step(&["real person", "robot", "human"], "No, I am the clinic's AI assistant, but I am happy to help.", None),
        step(&["bring"], "Please bring your insurance card.", None),
        step(
            &["price", "prices", "cost", "how much"],
            "A check-up is sixty dollars. A cleaning is eighty dollars, and whitening is two hundred dollars. \
             All our prices include the examination, the X-rays, and a short talk with the dentist afterwards.",
            None,
        ),
        step(&["four", "4"], "Great, I moved your appointment to Thursday at four o'clock.", None),
        step(&["thursday", "appointment"], "Of course. On Thursday I have two o'clock, or four o'clock.", None),
        step(&[], "I am sorry, could you say that again?", None),
    ]
}
