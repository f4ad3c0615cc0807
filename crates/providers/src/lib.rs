//! Ears, brain and voice: all somebody else's. A vendor's name appears only in its own file, its line in the table and
//! its fixtures; a vendor's failure becomes a [`ProviderError`] here.
//!
//! What the engine sees is three traits, [`asr::Asr`], [`llm::Llm`] and [`tts::Tts`]; each hands out a stream whose
//! sender and receiver are bounded, and dropping the stream ends the vendor's work.

pub mod asr;
mod breaker;
pub mod catalogue;
mod endpoints;
mod error;
pub mod fallback;
mod http;
pub mod llm;
pub mod local;
mod resample;
mod sse;
mod stream;
#[cfg(test)]
mod stub;
pub mod tts;
mod ws;

pub use breaker::Breaker;
pub use endpoints::Outside;
pub use error::{ErrorKind, ProviderError};
pub use stream::Running;
