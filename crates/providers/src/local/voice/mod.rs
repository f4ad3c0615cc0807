//! The local voice as a stream: a phrase in, its sound out, sentence by sentence in short pieces. Hides text
//! normalisation, workers and a small store of phrases spoken lately. Never blocks the async runtime.

pub(crate) mod hibari;
mod normalise;
mod phonemes;
mod recent;
mod vocoder;

pub(crate) use normalise::{sentences, spoken};
pub(crate) use phonemes::Phonemes;
pub(crate) use recent::Recent;

use super::workers::{Pending, Urgency};
use super::{Inner, is_english};
use crate::tts::{Tts, TtsRequest, TtsStream};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::TtsEvent;
use hibari::{CHARACTERS, Character};
use recent::Phrase;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Pieces of sound that may wait: some six seconds.
const EVENT_CAP: usize = 32;
/// Length of one piece, in milliseconds.
const PIECE_MS: u32 = 200;
/// Speeds at which the voice is still understood.
const SPEEDS: std::ops::RangeInclusive<f32> = 0.5..=2.0;

/// The local voice under its configured name.
#[derive(Debug)]
pub(crate) struct LocalVoice {
    name: String,
    inner: Arc<Inner>,
    warming: Mutex<Option<Running>>,
}

impl LocalVoice {
    pub(crate) fn new(name: &str, inner: Arc<Inner>) -> Self {
        Self { name: name.to_owned(), inner, warming: Mutex::default() }
    }
}

impl Tts for LocalVoice {
    fn name(&self) -> &str {
        &self.name
    }

    fn speak(&self, request: TtsRequest) -> TtsStream {
        let (events, received) = mpsc::channel(EVENT_CAP);
        let (inner, name) = (Arc::clone(&self.inner), self.name.clone());
        let running = Running::spawn(async move {
            let last = match speak(&inner, &request, &events).await {
                Ok(()) => Ok(TtsEvent::Done),
                Err(error) => Err(ProviderError { vendor: name, ..error }),
            };
            // The phrase may have been interrupted; then nobody listens.
            let _ = events.send(last).await;
        });
        TtsStream { events: received, running }
    }

    fn speaks(&self, language: &str) -> bool {
        is_english(language)
    }

    fn has_voice(&self, voice: &str) -> bool {
        Character::find(voice).is_some()
    }

    fn warm(&self, _request: &TtsRequest) {
        if self.inner.home.require(super::models::VOICE_FILES).is_err() {
            return;
        }
        // Full queues mean that the network is loaded.
        let Ok(mut loading) = self.inner.workers().submit(Urgency::Urgent, |bench| bench.voice().map(drop)) else {
            return;
        };
        let loading = Running::spawn(async move {
            if let Err(error) = loading.ready().await {
                tracing::debug!(%error, "the local voice could not be warmed");
            }
        });
        *self.warming.lock().unwrap_or_else(PoisonError::into_inner) = Some(loading);
    }
}

type Events = mpsc::Sender<Result<TtsEvent, ProviderError>>;

async fn speak(inner: &Arc<Inner>, request: &TtsRequest, events: &Events) -> Result<(), ProviderError> {
    let phrase = phrase(request)?;
    inner.home.require(super::models::VOICE_FILES)?;
    let mut parts = sentences(&spoken(&phrase.text)).into_iter();
    let mut ahead = parts.next().map(|part| sound(inner, &phrase, part)).transpose()?;
    while let Some(now) = ahead {
        // The next sentence is made while this one is handed out.
        ahead = parts.next().map(|part| sound(inner, &phrase, part)).transpose()?;
        let sound = now.ready().await?;
        for piece in sound.chunks((phrase.rate * PIECE_MS / 1000) as usize) {
            if events.send(Ok(TtsEvent::Audio(piece.to_vec()))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Sound that is there or being made.
enum Coming {
    Known(Arc<[i16]>),
    Made(Pending<Arc<[i16]>>),
}

impl Coming {
    async fn ready(self) -> Result<Arc<[i16]>, ProviderError> {
        match self {
            Self::Known(sound) => Ok(sound),
            Self::Made(mut pending) => pending.ready().await,
        }
    }
}

fn sound(inner: &Arc<Inner>, phrase: &Phrase, text: String) -> Result<Coming, ProviderError> {
    let key = Phrase { text, ..phrase.clone() };
    if let Some(sound) = inner.recent().find(&key) {
        return Ok(Coming::Known(sound));
    }
    let store = Arc::clone(inner);
    let pending = inner.workers().submit(Urgency::Urgent, move |bench| {
        // Thirty calls greet with the same words: those that waited behind the first take what it made.
        if let Some(sound) = store.recent().find(&key) {
            return Ok(sound);
        }
        let character = Character::find(&key.voice).unwrap_or(CHARACTERS[0]);
        let speed = f32::from(key.speed_percent) / 100.0;
        let sound: Arc<[i16]> = bench.voice()?.say(&key.text, character, speed, key.rate).map(Arc::from)?;
        store.recent().keep(key, Arc::clone(&sound));
        Ok(sound)
    })?;
    Ok(Coming::Made(pending))
}

fn phrase(request: &TtsRequest) -> Result<Phrase, ProviderError> {
    let rejected = |detail: String| ProviderError::new(super::VENDOR, ErrorKind::Rejected, detail);
    if !is_english(&request.language) {
        return Err(rejected(format!("the local voice speaks English only, not `{}`", request.language)));
    }
    let character = Character::find(&request.voice).ok_or_else(|| {
        let ids: Vec<_> = CHARACTERS.iter().map(|character| character.id).collect();
        rejected(format!("the local voice is one of {}, not `{}`", ids.join(", "), request.voice))
    })?;
    if !matches!(request.rate, 8000 | 16_000 | 24_000) {
        return Err(rejected(format!(
            "the local voice gives 8000, 16000 or 24000 samples a second, not {}",
            request.rate
        )));
    }
    let speed = request.speed as f32;
    let speed = if speed.is_finite() { speed.clamp(*SPEEDS.start(), *SPEEDS.end()) } else { 1.0 };
    Ok(Phrase {
        text: request.text.clone(),
        voice: character.id.to_owned(),
        rate: request.rate,
        speed_percent: (speed * 100.0).round() as u16,
    })
}
