//! Holds a short written conversation with the local language model and prints what it costs.
//!
//!     cargo run -p callwright-providers --features local-llm --example local_brain -- MODELS_FOLDER

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it says on the console what it finds")]

use callwright_conversation::vocabulary::{LlmEvent, Message, Role};
use callwright_providers::llm::{Llm, LlmRequest};
use callwright_providers::local::LocalModels;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

const INSTRUCTIONS: &str = "You are Anna, the phone assistant of Riverside Dental Clinic. You are talking to the patient \
on the phone.\nFacts: The patient's appointment is on Thursday at 10:30 AM. Free slots are Thursday 4 PM and Friday 9 AM. \
A cleaning costs 120 dollars.\nRules: Answer in one short spoken sentence. No lists, no markup. Only these facts.\n\
Examples:\nPatient: Who is this?\nAnna: Hi, this is Anna, the assistant of Riverside Dental Clinic.\n\
Patient: Are you a robot?\nAnna: Yes, I'm an AI assistant of the clinic.\nPatient: Thanks, bye.\nAnna: You're welcome, \
goodbye!";
const CALLER: [&str; 8] = [
    "Hello, who is this?",
    "Can I come in the afternoon instead?",
    "Four o'clock please.",
    "How much is a cleaning?",
    "Are you a real person?",
    "No, that's all I needed.",
    "Yes please.",
    "Okay great, thank you, goodbye.",
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: local_brain MODELS_FOLDER")?;
    let brain = LocalModels::new(folder.into()).brain("local");
    let mut request = LlmRequest {
        conversation: "example".into(),
        model: String::new(),
        messages: vec![Message::text(Role::System, INSTRUCTIONS)],
        tools: vec![],
        temperature: None,
        max_tokens: None,
        query: Default::default(),
        params: Default::default(),
        script: Arc::from([]),
        headers: Default::default(),
    };
    brain.warm(&request);
    for said in CALLER {
        writeln!(std::io::stdout(), "caller: {said}")?;
        request.messages.push(Message::text(Role::User, said));
        let answer = ask(&*brain, &request).await?;
        request.messages.push(answer);
    }
    Ok(())
}

async fn ask(brain: &dyn Llm, request: &LlmRequest) -> Result<Message, Box<dyn Error>> {
    let began = Instant::now();
    let (mut first, mut clause) = (None, None);
    let mut answer = Message::text(Role::Assistant, "");
    let mut stream = brain.ask(request.clone());
    while let Some(event) = stream.events.recv().await {
        match event? {
            LlmEvent::Text(piece) => {
                first.get_or_insert_with(|| began.elapsed());
                answer.content.push_str(&piece);
                if answer.content.trim_end().ends_with([',', '.', '?', '!']) {
                    clause.get_or_insert_with(|| began.elapsed());
                }
            }
            LlmEvent::Tool(call) => writeln!(std::io::stdout(), "        {call:?}")?,
            LlmEvent::Done { usage } => {
                let total = began.elapsed().as_secs_f64();
                let tokens = usage.map_or(0, |usage| usage.completion);
                let (first, clause) = (first.unwrap_or_default().as_millis(), clause.unwrap_or_default().as_millis());
                writeln!(
                    std::io::stdout(),
                    "agent:  {}\n        first {first} ms, clause {clause} ms, {tokens} tokens in {total:.2} s",
                    answer.content.trim(),
                )?;
            }
        }
    }
    Ok(answer)
}
