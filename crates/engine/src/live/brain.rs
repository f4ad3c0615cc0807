//! The brain of one call: carries the conversation's questions to the language model and its answers back.
//! Holds at most two answers at a time (a speculative one and the one that replaces it); dropping one cancels it.

use callwright_conversation::vocabulary::{LlmEvent, Role};
use callwright_conversation::{Ask, AskId};
use callwright_domain::agent::{BrainSettings, ScriptStep, params};
use callwright_providers::ProviderError;
use callwright_providers::llm::{Llm, LlmRequest, LlmStream};
use serde_json::Value;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// What came from the model.
#[derive(Debug)]
pub(super) enum BrainReport {
    /// A piece of an answer.
    Event(AskId, LlmEvent),
    /// The answer broke off.
    Failed(AskId, ProviderError),
}

/// The model of one call and the answers it is giving.
pub(super) struct Brain {
    model: Arc<dyn Llm>,
    settings: BrainSettings,
    script: Arc<[ScriptStep]>,
    conversation: String,
    answers: Vec<(AskId, LlmStream)>,
}

impl Brain {
    /// A brain with nothing to think about. `conversation` names the call to the model.
    pub(super) fn new(model: Arc<dyn Llm>, settings: BrainSettings, conversation: String) -> Self {
        let script = settings.script.clone().into();
        Self { model, settings, script, conversation, answers: Vec::new() }
    }

    /// Lets the model read the beginning of the conversation while the telephone rings.
    pub(super) fn warm(&self, ask: Ask) {
        self.model.warm(&self.request(ask));
    }

    /// Puts a question. A model that gave an answer before goes on giving it until it is cancelled.
    pub(super) fn ask(&mut self, ask: Ask) {
        let id = ask.id;
        let stream = self.model.ask(self.request(ask));
        self.answers.push((id, stream));
    }

    /// Thinks as `fresh` does from the next question on; answers that are being given go on.
    pub(super) fn change(&mut self, mut fresh: Self) {
        std::mem::swap(&mut self.answers, &mut fresh.answers);
        std::mem::swap(self, &mut fresh);
    }

    /// The answer is not wanted any more.
    pub(super) fn cancel(&mut self, id: AskId) {
        self.answers.retain(|(asked, _)| *asked != id);
    }

    /// The next piece of any answer; waits for ever when nothing was asked.
    pub(super) async fn next(&mut self) -> BrainReport {
        poll_fn(|context| {
            for at in 0..self.answers.len() {
                let (id, stream) = &mut self.answers[at];
                let id = *id;
                let Poll::Ready(piece) = stream.events.poll_recv(context) else { continue };
                let over = !matches!(piece, Some(Ok(LlmEvent::Text(_) | LlmEvent::Tool(_))));
                if over {
                    self.answers.swap_remove(at);
                }
                return Poll::Ready(match piece {
                    Some(Ok(event)) => BrainReport::Event(id, event),
                    Some(Err(error)) => BrainReport::Failed(id, error),
                    None => BrainReport::Event(id, LlmEvent::Done { usage: None }),
                });
            }
            Poll::Pending
        })
        .await
    }

    fn request(&self, ask: Ask) -> LlmRequest {
        let mut params = self.settings.params.clone();
        let turn = ask.messages.iter().filter(|message| message.role == Role::User).count();
        params.values_mut().for_each(|value| fill(value, &self.conversation, turn));
        LlmRequest {
            conversation: self.conversation.clone(),
            model: self.settings.model.clone(),
            messages: ask.messages,
            tools: ask.tools,
            temperature: self.settings.temperature,
            max_tokens: self.settings.max_tokens,
            query: self.settings.query.clone(),
            params,
            script: Arc::clone(&self.script),
            headers: ask.headers,
        }
    }
}

/// Puts what is asked for into the places that parameters keep for it.
fn fill(value: &mut Value, call: &str, turn: usize) {
    match value {
        Value::String(text) if text == params::CALL => call.clone_into(text),
        Value::String(text) if text == params::TURN => *value = Value::from(turn),
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, call, turn)),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, call, turn)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Drop for Brain {
    fn drop(&mut self) {
        self.model.forget(&self.conversation);
    }
}
