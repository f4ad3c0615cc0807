//! The local language model as a stream. Without the cargo feature `local-llm` it is only the answer that says so.

#[cfg(feature = "local-llm")]
mod chat;
#[cfg(feature = "local-llm")]
mod engine;
#[cfg(feature = "local-llm")]
mod with_model;
#[cfg(not(feature = "local-llm"))]
mod without_model;

#[cfg(feature = "local-llm")]
pub(crate) use with_model::{Engine, LocalBrain, build_finding};
#[cfg(not(feature = "local-llm"))]
pub(crate) use without_model::{LocalBrain, build_finding};
