//! The brain of a build that has none.

use crate::llm::{Llm, LlmRequest, LlmStream};
use crate::local::{Finding, Inner, VENDOR};
use crate::{ErrorKind, ProviderError, Running};
use std::sync::Arc;
use tokio::sync::mpsc;

const PROBLEM: &str = "is not part of this build";
const REMEDY: &str = "build with `--features local-llm` (needs cmake, libclang and a C++ compiler), or configure a remote or scripted brain";

/// Answers every question with [`ErrorKind::Missing`].
#[derive(Debug)]
pub(crate) struct LocalBrain {
    name: String,
}

impl LocalBrain {
    pub(crate) fn new(name: &str, _inner: Arc<Inner>) -> Self {
        Self { name: name.to_owned() }
    }
}

impl Llm for LocalBrain {
    fn name(&self) -> &str {
        &self.name
    }

    fn ask(&self, _request: LlmRequest) -> LlmStream {
        let (events, received) = mpsc::channel(1);
        let detail = format!("the local language model {PROBLEM}; {REMEDY}");
        let error = ProviderError::new(self.name.clone(), ErrorKind::Missing, detail);
        let running = Running::spawn(async move {
            // The asker may have gone; then nobody wants to know.
            let _ = events.send(Err(error)).await;
        });
        LlmStream { events: received, running }
    }
}

/// What [`super::super::LocalModels::check`] says of this build.
pub(crate) fn build_finding() -> Option<Finding> {
    let what = format!("{VENDOR} language model");
    Some(Finding { what, problem: PROBLEM.into(), remedy: REMEDY.into(), set: "llm" })
}
