//! Sounds that people and agents make in tests, and whether there is any. Never random.

use crate::RATE;
use callwright_media::pcm::level_dbfs;
use std::time::Duration;

/// Level above which a piece of audio is not silence, in dB relative to full scale. Mu-law's own noise is far below it.
pub const LOUD: f32 = -40.0;

/// Whether a piece of audio is not silence.
pub fn is_loud(samples: &[i16]) -> bool {
    level_dbfs(samples) > LOUD
}

/// A 500 Hz tone, about -15 dB relative to full scale, at `rate` samples a second.
pub fn tone(length: Duration, rate: u32) -> Vec<i16> {
    let step = 500.0 * std::f32::consts::TAU / rate as f32;
    (0..samples_in(length, rate)).map(|at| (8000.0 * (at as f32 * step).sin()) as i16).collect()
}

/// A 1000 Hz tone at [`RATE`]: an answering machine's.
pub fn beep(length: Duration) -> Vec<i16> {
    let step = 1000.0 * std::f32::consts::TAU / RATE as f32;
    (0..samples_in(length, RATE)).map(|at| (8000.0 * (at as f32 * step).sin()) as i16).collect()
}

/// What voice activity detection takes for a person: harmonics of a wandering pitch under moving formants, four
/// syllables a second, at [`RATE`].
pub fn speech(length: Duration) -> Vec<i16> {
    const FORMANTS: [[f32; 2]; 3] = [[650.0, 1250.0], [320.0, 2050.0], [480.0, 950.0]];
    let mut phase = 0.0_f32;
    let sample = |at: usize| {
        let time = at as f32 / RATE as f32;
        let pitch = 125.0 + 22.0 * (time * 5.0).sin();
        phase = (phase + pitch / RATE as f32) % 1.0;
        let formants = FORMANTS[(time * 4.0) as usize % FORMANTS.len()];
        let harmonic = |number: u16| {
            let hertz = pitch * f32::from(number);
            let near = |formant: f32| 1.0 / (1.0 + ((hertz - formant) / 120.0).powi(2));
            let gain = near(formants[0]) + 0.5 * near(formants[1]) + 0.02;
            gain * (std::f32::consts::TAU * phase * f32::from(number)).sin()
        };
        let sum: f32 = (1..=24).map(harmonic).sum();
        let syllable = 0.6 - 0.4 * (time * 4.0 * std::f32::consts::TAU).cos();
        (sum * syllable * 5000.0) as i16
    };
    (0..samples_in(length, RATE)).map(sample).collect()
}

pub(crate) fn samples_in(length: Duration, rate: u32) -> usize {
    (length.as_secs_f64() * f64::from(rate)) as usize
}
