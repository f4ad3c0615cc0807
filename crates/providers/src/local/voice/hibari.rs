//! Hibari, the local voice: one sentence in, its sound out. Keeps nothing between sentences.

use super::super::onnx::{Network, tensor};
use super::super::{Home, failure, models};
use super::phonemes::Phonemes;
use super::vocoder::{BINS, RATE, Spectra, Vocoder};
use crate::ProviderError;
use crate::resample::Resampler;
use std::sync::Arc;

/// Loudest the sound may get; what is above is pressed down rather than cut.
const CEILING: f32 = 0.95;

/// What is more silent than this part of the loudest sample is no speech: 34 dB below it.
const SILENT: f32 = 0.02;
/// How much of the silence around the speech is kept, before and after it, in milliseconds: the weak begin of a word, and the
/// pause between two sentences. The network makes some 300 and 400 of it, too long a pause in the middle of an answer.
const KEPT_MS: (usize, usize) = (40, 250);

/// One way of using the one voice that ships.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Character {
    /// Its id.
    pub id: &'static str,
    /// Factor on the pitch in the source.
    pub pitch: f32,
    /// The sound is taken to be at this rate: lower than it was made moves pitch and formants down together.
    pub played_at: u32,
}

/// The ids that a request may name. The second is the same voice made deeper, for when two must be told apart.
pub(crate) const CHARACTERS: [Character; 2] = [
    Character { id: "hibari", pitch: 1.0, played_at: RATE },
    Character { id: "hibari-low", pitch: 0.8, played_at: 22_050 },
];

impl Character {
    /// By id; an empty id is the first.
    pub(crate) fn find(id: &str) -> Option<Self> {
        if id.is_empty() {
            CHARACTERS.first().copied()
        } else {
            CHARACTERS.iter().find(|known| known.id == id).copied()
        }
    }
}

/// The loaded network.
#[derive(Debug)]
pub(crate) struct Hibari {
    network: Network,
    vocoder: Vocoder,
    phonemes: Arc<Phonemes>,
}

impl Hibari {
    pub(crate) fn load(home: &Home) -> Result<Self, ProviderError> {
        let phonemes = home.phonemes()?;
        Ok(Self { network: Network::load(home, models::VOICE)?, vocoder: Vocoder::new(), phonemes })
    }

    /// The sound of `text` (words only: see `normalise`) at `rate` samples a second. `speed` 1.0 is the voice's own.
    pub(crate) fn say(
        &mut self,
        text: &str,
        character: Character,
        speed: f32,
        rate: u32,
    ) -> Result<Vec<i16>, ProviderError> {
        let numbers = self.phonemes.numbers(text)?;
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        // Playing the sound slower makes it longer; the network speaks so much faster.
        let speed = speed * RATE as f32 / character.played_at as f32;
        let outputs = self.network.run(vec![
            ("ids".into(), tensor(vec![1, numbers.len()], numbers)?.into()),
            ("speed".into(), tensor(vec![1], vec![speed])?.into()),
        ])?;
        let (shape, harmonic) = outputs.numbers::<f32>("lh")?;
        if shape.get(1) != Some(&BINS) {
            return Err(failure("the voice's network does not have the expected shape"));
        }
        let spectra = Spectra {
            harmonic,
            turn: outputs.numbers("theta")?.1,
            noise: outputs.numbers("ln")?.1,
            free: outputs.numbers("lr")?.1,
            phase: outputs.numbers("phi")?.1,
            pitch: outputs.numbers("f0")?.1,
        };
        let sound = self.vocoder.sound(spectra, character.pitch);
        let sound = pcm(speech(&sound, character.played_at));
        let mut resampler = Resampler::new(character.played_at, rate)
            .ok_or_else(|| failure(format!("the local voice cannot give {rate} samples a second")))?;
        let mut converted = resampler.push(&sound);
        converted.extend(resampler.finish());
        Ok(converted)
    }
}

/// The speech in a sound at `rate` samples a second, with a little of the silence around it; all of it when it is silent.
fn speech(sound: &[f32], rate: u32) -> &[f32] {
    let least = loudest(sound) * SILENT;
    let speaks = |sample: &f32| sample.abs() > least;
    let (Some(first), Some(last)) = (sound.iter().position(speaks), sound.iter().rposition(speaks)) else {
        return sound;
    };
    let samples = |ms: usize| ms * rate as usize / 1000;
    let end = sound.len().min(last + 1 + samples(KEPT_MS.1));
    &sound[first.saturating_sub(samples(KEPT_MS.0))..end]
}

fn loudest(sound: &[f32]) -> f32 {
    sound.iter().fold(0.0, |loudest, sample| loudest.max(sample.abs()))
}

fn pcm(sound: &[f32]) -> Vec<i16> {
    let loudest = loudest(sound);
    let gain = if loudest > CEILING { CEILING / loudest } else { 1.0 };
    sound.iter().map(|sample| (sample * gain * 32_767.0).round() as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_around_speech_is_cut_to_what_is_wanted() {
        // A thousand samples a second: one is a millisecond. Noise below the measure is silence.
        let sound = |before: usize, after: usize| {
            let mut sound = vec![0.001; before];
            sound.extend([0.5, -0.03, 0.0, 0.02]);
            sound.extend(vec![-0.001; after]);
            sound
        };
        for (before, after, left) in [(300, 400, 40 + 4 + 250), (10, 20, 10 + 4 + 20), (0, 0, 4)] {
            assert_eq!(speech(&sound(before, after), 1000).len(), left, "{before} and {after}");
        }
        assert_eq!(speech(&sound(300, 0), 1000)[40], 0.5);
        assert_eq!((speech(&[0.0; 9], 1000).len(), speech(&[], 1000).len()), (9, 0));
    }
}
