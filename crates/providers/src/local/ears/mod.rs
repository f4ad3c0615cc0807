//! The local recogniser as a stream: sound in, guesses and finals out, in the order in which they were spoken. Hides
//! segments, workers and the turn-end model. Never blocks the async runtime.

pub(crate) mod moonshine;
pub(crate) mod segment;
mod tokens;

use super::workers::{Pending, Urgency, Workers};
use super::{Inner, is_english, samples};
use crate::asr::{Asr, AsrInput, AsrParams, AsrStream};
use crate::resample::Resampler;
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::{AsrEvent, EndOfTurn};
use segment::{Order, Segmenter};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces of caller audio that may wait: ten seconds at 40 ms; beyond it the engine drops what comes.
const INPUT_CAP: usize = 250;
/// Events that may wait for the call.
const EVENT_CAP: usize = 16;
/// Finals under way; beyond it the stream waits for the oldest before it takes more sound.
const FINALS_CAP: usize = 4;
/// The turn-end model's opinion from which the speaker is taken to have finished.
const FINISHED: f32 = 0.5;

/// The local recogniser under its configured name.
#[derive(Debug)]
pub(crate) struct LocalEars {
    name: String,
    inner: Arc<Inner>,
}

impl LocalEars {
    pub(crate) fn new(name: &str, inner: Arc<Inner>) -> Self {
        Self { name: name.to_owned(), inner }
    }
}

impl Asr for LocalEars {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&self, params: AsrParams) -> AsrStream {
        let (input, inputs) = mpsc::channel(INPUT_CAP);
        let (events, received) = mpsc::channel(EVENT_CAP);
        let (inner, name) = (Arc::clone(&self.inner), self.name.clone());
        let running = Running::spawn(async move {
            let outcome = match Listening::new(&inner, &params, events.clone()) {
                Ok(listening) => listening.run(inputs).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                // The call may be over already; then nobody wants to know.
                let _ = events.send(Err(ProviderError { vendor: name, ..error })).await;
            }
        });
        AsrStream { input, events: received, running }
    }

    fn understands(&self, language: &str) -> bool {
        is_english(language)
    }
}

/// One stream at work.
struct Listening {
    workers: Arc<Workers>,
    segmenter: Segmenter,
    resampler: Resampler,
    guess: Option<Pending<String>>,
    guessed: bool,
    finals: VecDeque<FinalUnderWay>,
    events: mpsc::Sender<Result<AsrEvent, ProviderError>>,
}

struct FinalUnderWay {
    words: Pending<String>,
    /// The turn-end model at work beside it; none where the stretch was merely too long.
    finished: Option<Pending<f32>>,
    ends: bool,
    guessed: bool,
}

impl Listening {
    fn new(
        inner: &Inner,
        params: &AsrParams,
        events: mpsc::Sender<Result<AsrEvent, ProviderError>>,
    ) -> Result<Self, ProviderError> {
        if !is_english(&params.language) {
            let detail = format!("the local recogniser hears English only, not `{}`", params.language);
            return Err(ProviderError::new(super::VENDOR, ErrorKind::Rejected, detail));
        }
        inner.home.require(super::models::EARS_FILES)?;
        let resampler = Resampler::new(params.rate, moonshine::RATE as u32).ok_or_else(|| {
            let detail = format!("the local recogniser cannot take {} samples a second", params.rate);
            ProviderError::new(super::VENDOR, ErrorKind::Rejected, detail)
        })?;
        Ok(Self {
            workers: inner.workers(),
            segmenter: Segmenter::new(params.silence_ms),
            resampler,
            guess: None,
            guessed: false,
            finals: VecDeque::new(),
            events,
        })
    }

    async fn run(mut self, mut inputs: mpsc::Receiver<AsrInput>) -> Result<(), ProviderError> {
        loop {
            tokio::select! {
                biased;
                outcome = finished(&mut self.finals), if !self.finals.is_empty() => {
                    if !self.emit(outcome?).await {
                        return Ok(());
                    }
                }
                guess = guessed(&mut self.guess), if self.guess.is_some() => {
                    if !self.emit_guess(guess).await {
                        return Ok(());
                    }
                }
                input = inputs.recv(), if self.finals.len() < FINALS_CAP => match input {
                    Some(input) => self.take(input)?,
                    None => break,
                },
            }
        }
        if let Some(order) = self.segmenter.finish() {
            self.obey(order)?;
        }
        while !self.finals.is_empty() {
            let outcome = finished(&mut self.finals).await?;
            if !self.emit(outcome).await {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, input: AsrInput) -> Result<(), ProviderError> {
        let order = match input {
            AsrInput::SpeechStarted => {
                self.segmenter.started();
                None
            }
            AsrInput::SpeechStopped => self.segmenter.stopped(),
            AsrInput::Audio(audio) => self.segmenter.push(&samples(&self.resampler.push(&audio))),
        };
        order.map_or(Ok(()), |order| self.obey(order))
    }

    fn obey(&mut self, order: Order) -> Result<(), ProviderError> {
        match order {
            Order::Guess(audio) => {
                if self.guess.is_none() {
                    // A guess that cannot be taken on is skipped; the next one holds more anyway.
                    self.guess = self.workers.submit(Urgency::Casual, move |bench| bench.ears()?.words(&audio)).ok();
                }
            }
            Order::Final { audio, ends } => {
                self.guess = None;
                let audio: Arc<[f32]> = audio.into();
                let heard = Arc::clone(&audio);
                let words = self.workers.submit(Urgency::Owed, move |bench| bench.ears()?.words(&heard))?;
                // The words come without an opinion when the machine is busy or the model is not installed.
                let opinion = || self.workers.submit(Urgency::Urgent, move |bench| bench.turn()?.finished(&audio)).ok();
                let finished = if ends { opinion() } else { None };
                let guessed = std::mem::take(&mut self.guessed);
                self.finals.push_back(FinalUnderWay { words, finished, ends, guessed });
            }
            Order::Nothing => {
                self.guess = None;
                if std::mem::take(&mut self.guessed) {
                    let words = self.workers.submit(Urgency::Owed, |_| Ok(String::new()))?;
                    self.finals.push_back(FinalUnderWay { words, finished: None, ends: true, guessed: true });
                }
            }
        }
        Ok(())
    }

    /// Whether the call still listens.
    async fn emit(&mut self, outcome: Heard) -> bool {
        // An empty final only takes back a guess.
        if outcome.text.is_empty() && !outcome.guessed {
            return true;
        }
        let event = AsrEvent::Final { text: outcome.text, end_of_turn: outcome.end_of_turn };
        self.events.send(Ok(event)).await.is_ok()
    }

    async fn emit_guess(&mut self, guess: Result<String, ProviderError>) -> bool {
        match guess {
            Ok(text) if !text.is_empty() => {
                self.guessed = true;
                self.events.send(Ok(AsrEvent::Partial { text })).await.is_ok()
            }
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "a guess failed");
                true
            }
        }
    }
}

struct Heard {
    text: String,
    end_of_turn: EndOfTurn,
    guessed: bool,
}

/// Waits for the oldest final. Cancel-safe: what was not finished stays where it is.
async fn finished(finals: &mut VecDeque<FinalUnderWay>) -> Result<Heard, ProviderError> {
    let Some(oldest) = finals.front_mut() else { return std::future::pending().await };
    let words = oldest.words.ready().await;
    let opinion = match &mut oldest.finished {
        Some(finished) => Some(finished.ready().await),
        None => None,
    };
    let (ends, guessed) = (oldest.ends, oldest.guessed);
    finals.pop_front();
    let text = plausible(words?);
    let end_of_turn = match opinion {
        None if !ends => EndOfTurn::No,
        None | Some(Err(_)) => EndOfTurn::Unknown,
        // The network hears the tone of voice and not the words: nobody has finished after "and".
        Some(Ok(probability)) if probability >= FINISHED && is_dangling(&text) => EndOfTurn::Unknown,
        Some(Ok(probability)) if probability >= FINISHED => EndOfTurn::Yes,
        Some(Ok(_)) => EndOfTurn::No,
    };
    Ok(Heard { text, end_of_turn, guessed })
}

async fn guessed(guess: &mut Option<Pending<String>>) -> Result<String, ProviderError> {
    let Some(pending) = guess else { return std::future::pending().await };
    let text = pending.ready().await;
    *guess = None;
    text.map(plausible)
}

/// Last words after which an English sentence goes on.
const GOES_ON: [&str; 22] = [
    "and", "or", "but", "because", "if", "than", "the", "a", "an", "my", "your", "our", "their", "of", "from", "with",
    "into", "between", "um", "uh", "er", "erm",
];

/// Whether the words leave the sentence open. An opinion that the speaker has finished is then not believed, and the
/// configured silence decides: a complete sentence is answered no later for it.
fn is_dangling(text: &str) -> bool {
    let text = text.trim_end();
    let last = text.rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
    let word = last.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    text.ends_with([',', '-', '\u{2014}', '\u{2026}']) || GOES_ON.contains(&word.as_str())
}

/// A text without letters or digits is noise.
fn plausible(text: String) -> String {
    if text.chars().any(char::is_alphanumeric) { text } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::is_dangling;

    #[test]
    fn a_sentence_that_goes_on_is_not_over() {
        for (text, goes_on) in [
            ("I would like a table for two and", true),
            ("Well, because.", true),
            ("On Friday,", true),
            ("It was the...", true),
            ("For two people, please.", false),
            ("Yes.", false),
            ("What is it for?", false),
            ("Turn it on.", false),
            ("", false),
        ] {
            assert_eq!(is_dangling(text), goes_on, "{text}");
        }
    }
}
