//! The ears of one call: caller audio to the recogniser, its words back, and a fresh recogniser when one fails.
//! Never waits for the recogniser: audio that does not fit is dropped and counted.

use crate::limits::EARS_RESTARTS;
use callwright_conversation::vocabulary::AsrEvent;
use callwright_providers::ProviderError;
use callwright_providers::asr::{Asr, AsrInput, AsrParams, AsrStream};
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;

/// What came from the recogniser.
#[derive(Debug)]
pub(super) enum EarsReport {
    /// Words.
    Words(AsrEvent),
    /// It failed and a fresh one has taken its place.
    Restarted(ProviderError),
    /// It failed once too often.
    Deaf(ProviderError),
}

/// The recogniser of one call.
pub(super) struct Ears {
    recogniser: Arc<dyn Asr>,
    params: AsrParams,
    stream: Option<AsrStream>,
    restarts: u32,
    dropped: u64,
}

impl Ears {
    /// A recogniser that listens from now on.
    pub(super) fn new(recogniser: Arc<dyn Asr>, params: AsrParams) -> Self {
        let stream = Some(recogniser.start(params.clone()));
        Self { recogniser, params, stream, restarts: 0, dropped: 0 }
    }

    /// Listens with this recogniser and for this from now on. Where nothing changes, the one that listens goes on.
    pub(super) fn change(&mut self, recogniser: Arc<dyn Asr>, params: AsrParams) {
        if recogniser.name() == self.recogniser.name() && params == self.params {
            return;
        }
        self.stream = Some(recogniser.start(params.clone()));
        (self.recogniser, self.params) = (recogniser, params);
    }

    /// Hands input over; drops it when the recogniser is behind.
    pub(super) fn hear(&mut self, input: AsrInput) {
        let Some(stream) = &self.stream else { return };
        match stream.input.try_send(input) {
            Ok(()) => {}
            // A closed input is followed by an error or the end on the other channel, where it is dealt with.
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => self.dropped += 1,
        }
    }

    /// Pieces of audio that the recogniser was too slow for.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The recogniser's next words; waits for ever once it is deaf.
    pub(super) async fn next(&mut self) -> EarsReport {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        let error = match stream.events.recv().await {
            Some(Ok(words)) => return EarsReport::Words(words),
            Some(Err(error)) => error,
            None => ProviderError::new(
                self.recogniser.name(),
                callwright_providers::ErrorKind::Unreachable,
                "the recogniser ended while the call was up",
            ),
        };
        self.restarts += 1;
        if self.restarts > EARS_RESTARTS {
            self.stream = None;
            return EarsReport::Deaf(error);
        }
        self.stream = Some(self.recogniser.start(self.params.clone()));
        EarsReport::Restarted(error)
    }
}
