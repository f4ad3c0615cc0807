//! The brain of a build that has one: llama.cpp behind the face that every brain has.

pub(crate) use super::engine::Engine;

use super::engine::Question;
use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::local::{Finding, Inner, models};
use crate::{ProviderError, Running};
use callwright_conversation::vocabulary::LlmEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Pieces of text that may wait.
const EVENT_CAP: usize = 64;
/// Most tokens of an answer, where the request does not say: two or three spoken sentences.
const MAX_TOKENS: u32 = 96;
/// Temperature, where the request does not say.
const TEMPERATURE: f64 = 0.2;

/// The local language model under its configured name.
#[derive(Debug)]
pub(crate) struct LocalBrain {
    name: String,
    inner: Arc<Inner>,
}

impl LocalBrain {
    pub(crate) fn new(name: &str, inner: Arc<Inner>) -> Self {
        Self { name: name.to_owned(), inner }
    }

    fn put(
        &self,
        request: &LlmRequest,
        events: Option<Events>,
        cancelled: Arc<AtomicBool>,
    ) -> Result<(), ProviderError> {
        self.inner.home.require(&[models::BRAIN])?;
        let engine = self.inner.engine.get_or_init(|| Engine::start(&self.inner.home));
        let question = Question {
            messages: request.messages.clone(),
            tools: request.tools.clone(),
            temperature: request.temperature.unwrap_or(TEMPERATURE) as f32,
            max_tokens: request.max_tokens.unwrap_or(MAX_TOKENS).max(1),
            events,
            cancelled,
        };
        engine.put(&request.conversation, question)
    }
}

type Events = mpsc::Sender<Result<LlmEvent, ProviderError>>;

/// Tells the model's thread that nobody listens any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Llm for LocalBrain {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, request: LlmRequest) -> LlmStream {
        let (answers, mut answered) = mpsc::channel(EVENT_CAP);
        let (events, received) = mpsc::channel(EVENT_CAP);
        let cancelled = Arc::new(AtomicBool::new(false));
        let put = self.put(&request, Some(answers), Arc::clone(&cancelled));
        let (name, guard) = (self.name.clone(), Unwanted(cancelled));
        let running = Running::spawn(async move {
            let _guard = guard;
            if let Err(error) = put {
                // The asker may have gone; then nobody wants to know.
                let _ = events.send(Err(ProviderError { vendor: name, ..error })).await;
                return;
            }
            while let Some(event) = answered.recv().await {
                let event = event.map_err(|error| ProviderError { vendor: name.clone(), ..error });
                if events.send(event).await.is_err() {
                    return;
                }
            }
        });
        LlmStream { events: received, running }
    }

    fn warm(&self, request: &LlmRequest) {
        if let Err(error) = self.put(request, None, Arc::new(AtomicBool::new(false))) {
            tracing::debug!(%error, "the conversation could not be read in advance");
        }
    }

    fn forget(&self, conversation: &str) {
        if let Some(engine) = self.inner.engine.get() {
            engine.release(conversation);
        }
    }
}

/// What [`crate::local::LocalModels::check`] says of this build: nothing.
pub(crate) const fn build_finding() -> Option<Finding> {
    None
}
