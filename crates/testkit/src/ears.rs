//! A recogniser that hears whether somebody speaks and "understands" the next text of its script. Time is the audio's
//! own, so that the same audio always gives the same events.

use crate::is_loud;
use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn};
use callwright_providers::asr::{Asr, AsrInput, AsrParams, AsrStream};
use callwright_providers::{ErrorKind, ProviderError, Running};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Audio is looked at in pieces of 20 ms: so many a second.
const PIECES: u32 = 50;
/// Sound shorter than this is no speech.
const LEAST_SPEECH: Duration = Duration::from_millis(100);

/// How a recogniser fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarsFault {
    /// The stream breaks off with an error at the first audio.
    Fail,
    /// The stream takes audio and never says anything.
    Hang,
    /// The task behind the stream panics at the first audio.
    Panic,
}

/// A recogniser for tests. Clones share the script.
#[derive(Clone)]
pub struct ScriptedEars {
    script: Arc<Mutex<Script>>,
    silence: Duration,
}

#[derive(Default)]
struct Script {
    texts: VecDeque<String>,
    /// Of the next streams, in order.
    faults: VecDeque<EarsFault>,
    started: usize,
}

impl ScriptedEars {
    /// Understands these texts, one a turn; nothing after them.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let texts = texts.into_iter().map(str::to_owned).collect();
        Self {
            script: Arc::new(Mutex::new(Script { texts, ..Script::default() })),
            // Longer than voice activity detection takes to notice the end, as with real recognisers.
            silence: Duration::from_millis(320),
        }
    }

    /// The next streams fail in this way, one each.
    #[must_use]
    pub fn with_faults(self, faults: impl IntoIterator<Item = EarsFault>) -> Self {
        self.lock().faults.extend(faults);
        self
    }

    /// Streams started so far.
    pub fn started(&self) -> usize {
        self.lock().started
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_text(&self) -> Option<String> {
        self.lock().texts.pop_front()
    }
}

impl Asr for ScriptedEars {
    fn name(&self) -> &str {
        "scripted ears"
    }

    fn start(&self, params: AsrParams) -> AsrStream {
        let fault = {
            let mut script = self.lock();
            script.started += 1;
            script.faults.pop_front()
        };
        let (input, audio) = mpsc::channel(256);
        let (words, events) = mpsc::channel(64);
        let piece = (params.rate / PIECES).max(1) as usize;
        let listener = Listener { ears: self.clone(), words, piece, speech: Duration::ZERO, quiet: Duration::ZERO };
        AsrStream { input, events, running: Running::spawn(listener.run(audio, fault)) }
    }
}

struct Listener {
    ears: ScriptedEars,
    words: mpsc::Sender<Result<AsrEvent, ProviderError>>,
    /// Samples that are looked at together.
    piece: usize,
    /// Sound heard in this turn.
    speech: Duration,
    /// Silence since the last sound.
    quiet: Duration,
}

impl Listener {
    async fn run(mut self, mut audio: mpsc::Receiver<AsrInput>, fault: Option<EarsFault>) {
        let mut rest: Vec<i16> = Vec::new();
        while let Some(input) = audio.recv().await {
            let AsrInput::Audio(samples) = input else { continue };
            match fault {
                None => {}
                Some(EarsFault::Hang) => continue,
                Some(EarsFault::Panic) => panic!("the recogniser's task panics, as it was told to"),
                Some(EarsFault::Fail) => {
                    let error = ProviderError::new(self.ears.name(), ErrorKind::Unreachable, "failed as told");
                    // Nobody listens any more: then nobody need be told.
                    self.words.send(Err(error)).await.ok();
                    return;
                }
            }
            rest.extend(samples);
            while rest.len() >= self.piece {
                let piece: Vec<i16> = rest.drain(..self.piece).collect();
                if self.hear(is_loud(&piece)).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn hear(&mut self, loud: bool) -> Result<(), mpsc::error::SendError<Result<AsrEvent, ProviderError>>> {
        let step = Duration::from_millis(20);
        if loud {
            self.speech += step;
            self.quiet = Duration::ZERO;
            return Ok(());
        }
        self.quiet += step;
        if self.quiet < self.ears.silence {
            return Ok(());
        }
        let spoke = std::mem::take(&mut self.speech) >= LEAST_SPEECH;
        match spoke.then(|| self.ears.next_text()).flatten() {
            Some(text) => self.words.send(Ok(AsrEvent::Final { text, end_of_turn: EndOfTurn::Yes })).await,
            None => Ok(()),
        }
    }
}
