//! The voice of one call: phrases to the synthesiser, its sound to the leg's playout, one phrase after the other, the
//! next one being synthesised while the last is still playing. A task of its own, so that a full playout queue holds up
//! the voice and nobody else; dropping the [`Voice`] silences it at once.

use crate::limits::{VOICE_AGAIN, VOICE_FIRST_SOUND, VOICE_PHRASES, VOICE_REPORTS, VOICE_STALL};
use crate::tasks::Tasks;
use callwright_conversation::vocabulary::TtsEvent;
use callwright_conversation::{PhraseId, Sound};
use callwright_domain::agent::VoiceSettings;
use callwright_media::Rate;
use callwright_media::pcm::{Lead, Resampler};
use callwright_net::LegHandle;
use callwright_providers::tts::{Tts, TtsRequest, TtsStream};
use callwright_providers::{ErrorKind, ProviderError, Running};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What came from the voice.
#[derive(Debug)]
pub(super) enum VoiceReport {
    /// The first sound of a phrase arrived.
    FirstSound(PhraseId),
    /// The whole phrase is in the playout queue, its mark behind it.
    Complete(PhraseId),
    /// The phrase will not be spoken, or not to its end.
    Failed(PhraseId, ProviderError),
}

/// A phrase on its way to the synthesiser.
pub(super) struct Phrase {
    /// Its id, also its mark in the playout queue; none: a murmur, which nobody asks after.
    pub(super) id: Option<PhraseId>,
    /// What to speak.
    pub(super) text: String,
    /// Its sound, where that was ordered before.
    pub(super) made: Option<TtsStream>,
    /// Whose sound it is.
    pub(super) of: Source,
}

/// Where a phrase's sound is from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The synthesiser, which may take a breath first.
    Voice,
    /// Somebody's own recording, which is played as it is.
    Recording,
}

/// How the voice of a call sounds and where it goes.
#[derive(Clone)]
pub(super) struct VoiceLine {
    /// The synthesiser.
    pub(super) synthesiser: Arc<dyn Tts>,
    /// The agent's voice.
    pub(super) settings: VoiceSettings,
    /// Samples a second of the leg.
    pub(super) rate: u32,
    /// Where the sound goes.
    pub(super) leg: LegHandle,
}

impl VoiceLine {
    /// What the synthesiser is asked for.
    pub(super) fn request(&self, text: String) -> TtsRequest {
        let settings = &self.settings;
        TtsRequest {
            text,
            rate: self.rate,
            voice: settings.voice.clone(),
            model: settings.model.clone(),
            language: settings.language.clone(),
            speed: settings.rate,
            emotion: settings.emotion.clone(),
            params: BTreeMap::new(),
        }
    }
}

/// Sound that is played in the place of the voice, at the leg's rate.
pub(super) fn sounding(sound: &Sound, rate: Rate) -> TtsStream {
    let mut samples = Vec::new();
    match Resampler::new(sound.hertz(), rate.hertz()) {
        Ok(mut resampler) => {
            resampler.process(sound.samples(), &mut samples);
            resampler.finish(&mut samples);
        }
        Err(_) if sound.hertz() == rate.hertz() => samples.extend_from_slice(sound.samples()),
        Err(unsupported) => tracing::warn!(%unsupported, "a sound is not played"),
    }
    // All of it and its end fit.
    let (sender, events) = mpsc::channel(2);
    for event in [TtsEvent::Audio(samples), TtsEvent::Done] {
        // Let go: it can be neither full nor closed, both ends are here.
        sender.try_send(Ok(event)).ok();
    }
    TtsStream { events, running: Running::spawn(std::future::ready(())) }
}

/// A voice that can be silenced.
pub(super) struct Voice {
    /// As the next phrase will sound.
    line: watch::Sender<VoiceLine>,
    tasks: Tasks,
    phrases: mpsc::Sender<Phrase>,
    reports: mpsc::Receiver<VoiceReport>,
    /// The phrase being synthesised.
    speaking: watch::Receiver<Option<PhraseId>>,
    _alive: DropGuard,
}

impl Voice {
    /// A voice with nothing to say yet.
    pub(super) fn new(line: VoiceLine, tasks: Tasks) -> Self {
        let (phrases, waiting) = mpsc::channel(VOICE_PHRASES);
        let (report, reports) = mpsc::channel(VOICE_REPORTS);
        let stop = CancellationToken::new();
        let (now_speaking, speaking) = watch::channel(None);
        let (line, changed) = watch::channel(line);
        let speaker = Speaker { line: changed, waiting, report, speaking: now_speaking };
        let stopped = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopped.cancelled() => {}
                () = speaker.run() => {}
            }
        });
        Self { line, tasks, phrases, reports, speaking, _alive: stop.drop_guard() }
    }

    /// Queues a phrase. One that does not fit is reported as failed, never dropped in silence.
    pub(super) fn say(&self, phrase: Phrase) -> Result<(), VoiceReport> {
        let Err(refused) = self.phrases.try_send(phrase) else { return Ok(()) };
        let vendor = self.line.borrow().synthesiser.name().to_owned();
        let error = ProviderError::new(&vendor, ErrorKind::Saturated, "too many phrases wait");
        refused.into_inner().id.map_or(Ok(()), |id| Err(VoiceReport::Failed(id, error)))
    }

    /// Sounds like this from the next phrase on.
    pub(super) fn change(&self, line: VoiceLine) {
        self.line.send_replace(line);
    }

    /// Queues a small sound of attention; one that does not fit is not missed.
    pub(super) fn murmur(&self, text: String) {
        // Let go: when it is full, the agent is talking anyway.
        self.phrases.try_send(Phrase { id: None, text, made: None, of: Source::Voice }).ok();
    }

    /// Forgets everything queued and being synthesised, and names the phrase that was being synthesised. The playout
    /// queue is the leg's to flush.
    pub(super) fn silence(&mut self) -> Option<PhraseId> {
        let speaking = *self.speaking.borrow();
        let line = self.line.borrow().clone();
        *self = Self::new(line, self.tasks.clone());
        speaking
    }

    /// The next report; waits for ever when nothing is being said.
    pub(super) async fn next(&mut self) -> VoiceReport {
        match self.reports.recv().await {
            Some(report) => report,
            None => std::future::pending().await,
        }
    }
}

/// The task behind a voice.
struct Speaker {
    line: watch::Receiver<VoiceLine>,
    waiting: mpsc::Receiver<Phrase>,
    report: mpsc::Sender<VoiceReport>,
    speaking: watch::Sender<Option<PhraseId>>,
}

impl Speaker {
    async fn run(mut self) {
        while let Some(phrase) = self.waiting.recv().await {
            let id = phrase.id;
            self.speaking.send_replace(id);
            let outcome = self.speak(phrase).await;
            self.speaking.send_replace(None);
            let Some(id) = id else { continue };
            let report = match outcome {
                Ok(()) => VoiceReport::Complete(id),
                Err(error) => VoiceReport::Failed(id, error),
            };
            if self.report.send(report).await.is_err() {
                return;
            }
        }
    }

    async fn speak(&self, phrase: Phrase) -> Result<(), ProviderError> {
        let line = &self.line.borrow().clone();
        let gone = || ProviderError::new("playout", ErrorKind::Unreachable, "the leg is closed");
        let hangs = || {
            let detail = "the synthesiser gave no sign of life";
            ProviderError::new(line.synthesiser.name(), ErrorKind::Timeout, detail)
        };
        let begun = timeout(VOICE_FIRST_SOUND, begin(line, phrase.text, phrase.made));
        let (mut stream, mut event) = begun.await.map_err(|_| hangs())?;
        let mut sounded = false;
        let mut lead = (phrase.of == Source::Voice).then(|| Lead::new(line.leg.rate()));
        loop {
            let (pcm, last) = match event {
                Some(Ok(TtsEvent::Audio(pcm))) => match &mut lead {
                    Some(lead) => (lead.cut(pcm), false),
                    None => (pcm, false),
                },
                Some(Ok(TtsEvent::Done)) => (lead.take().map(Lead::finish).unwrap_or_default(), true),
                Some(Err(error)) => return Err(error),
                None if sounded => break,
                None => {
                    let silent = "the synthesiser ended without a sound";
                    return Err(ProviderError::new(line.synthesiser.name(), ErrorKind::Protocol, silent));
                }
            };
            if !pcm.is_empty() {
                if let (false, Some(id)) = (sounded, phrase.id) {
                    self.report.send(VoiceReport::FirstSound(id)).await.map_err(|_| gone())?;
                }
                sounded = true;
                line.leg.play(amplified(pcm, line.settings.volume)).await.map_err(|_| gone())?;
            }
            if last {
                break;
            }
            event = timeout(VOICE_STALL, stream.events.recv()).await.map_err(|_| hangs())?;
        }
        match phrase.id {
            Some(id) => line.leg.mark(id.number()).await.map_err(|_| gone()),
            None => Ok(()),
        }
    }
}

/// The phrase's stream and its first event. A voice that has too much to do is asked again: it is late, not broken.
async fn begin(
    line: &VoiceLine,
    text: String,
    made: Option<TtsStream>,
) -> (TtsStream, Option<Result<TtsEvent, ProviderError>>) {
    let request = line.request(text);
    let mut stream = made.unwrap_or_else(|| line.synthesiser.speak(request.clone()));
    loop {
        let first = stream.events.recv().await;
        if !matches!(&first, Some(Err(error)) if error.kind == ErrorKind::Saturated) {
            return (stream, first);
        }
        sleep(VOICE_AGAIN).await;
        stream = line.synthesiser.speak(request.clone());
    }
}

/// A piece, louder or softer; `percent` of 100 leaves it as it is.
fn amplified(mut pcm: Vec<i16>, percent: u32) -> Vec<i16> {
    if percent == 100 {
        return pcm;
    }
    for sample in &mut pcm {
        let louder = i64::from(*sample) * i64::from(percent) / 100;
        *sample = i16::try_from(louder.clamp(i64::from(i16::MIN), i64::from(i16::MAX))).unwrap_or(i16::MAX);
    }
    pcm
}

#[cfg(test)]
mod tests {
    use super::amplified;

    #[test]
    fn loudness_is_clipped_never_wrapped() {
        let pcm = amplified(vec![0, 100, -100, 30_000, -30_000], 400);
        assert_eq!(pcm, [0, 400, -400, i16::MAX, i16::MIN]);
        assert_eq!(amplified(pcm, 0), [0; 5]);
    }
}
