//! Samples as numbers: resampling, gain, mixing, tones, sound files, sounds of places. Never knows where they come from
//! or go.

mod ambience;
mod beep;
mod lead;
mod mp3;
mod resample;
mod tone;
mod wav;

pub use ambience::{Place, ambience, information_tone};
pub use beep::{Beep, BeepDetector};
pub use lead::Lead;
pub use mp3::{Mp3, Mp3Error};
pub use resample::{Resampler, UnsupportedRates};
pub use tone::DualTone;
pub use wav::{Wav, WavError, read_wav};

/// A linear factor on samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain(f32);

impl Gain {
    /// No change.
    pub const UNITY: Self = Self(1.0);

    /// From decibels; clamped to -100..=40.
    pub fn from_db(db: f32) -> Self {
        Self(10_f32.powf(db.clamp(-100.0, 40.0) / 20.0))
    }

    /// From percent of the amplitude: 100 is no change.
    pub fn from_percent(percent: u8) -> Self {
        Self(f32::from(percent) / 100.0)
    }

    /// Applies it in place, saturating.
    pub fn apply(self, samples: &mut [i16]) {
        for sample in samples {
            *sample = (f32::from(*sample) * self.0).round() as i16;
        }
    }
}

/// Adds `source` at `gain` onto `target`, saturating; the shorter of the two decides.
pub fn mix_into(target: &mut [i16], source: &[i16], gain: Gain) {
    for (sample, other) in target.iter_mut().zip(source) {
        // A cast from float to integer saturates.
        *sample = (f32::from(*other) * gain.0 + f32::from(*sample)).round() as i16;
    }
}

/// Mean power of samples relative to full scale, in decibels; -100 for digital silence.
pub fn level_dbfs(samples: &[i16]) -> f32 {
    (10.0 * mean_power(samples).max(1e-10).log10()).max(-100.0)
}

/// Mean power relative to full scale (1 = a full-scale square wave).
pub fn mean_power(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    dot(samples, samples) / (samples.len() as f32 * 32_768.0 * 32_768.0)
}

/// Sum of products. Eight running sums, because one alone would wait for every addition.
pub(crate) fn dot(a: &[i16], b: &[i16]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 =
        a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| f32::from(*x) * f32::from(*y)).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += f32::from(x[i]) * f32::from(y[i]);
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gain_and_mix_saturate() {
        let mut samples = [20_000, -20_000, 100];
        Gain::from_db(6.0206).apply(&mut samples);
        assert_eq!(samples, [32_767, -32_768, 200]);
        mix_into(&mut samples, &[1, -1, 5], Gain::UNITY);
        assert_eq!(samples, [32_767, -32_768, 205]);
    }

    #[test]
    fn levels() {
        assert_eq!(level_dbfs(&[0; 160]), -100.0);
        assert!((level_dbfs(&[3277; 160]) + 20.0).abs() < 0.01);
    }
}
