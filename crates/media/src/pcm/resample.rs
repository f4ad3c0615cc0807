//! Change of sampling rate by a rational factor: a short polyphase filter with memory, so that audio may come in
//! pieces of any size. Never keeps more than the filter's length of past.

use crate::Rate;
use std::f64::consts::PI;

/// Zero crossings of the filter on each side, at the lower of the two rates: 60 dB of stop band for speech.
const ZERO_CROSSINGS: usize = 12;
/// Where the pass band ends, as a share of the lower rate's Nyquist frequency.
const PASS: f64 = 0.92;
/// Longest filter bank: 22 050 to 8000 Hz needs 160 phases of 67 taps.
const MAX_COEFFICIENTS: usize = 1 << 16;

/// The two rates have no small common ratio, or one of them is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot resample {from} Hz to {to} Hz")]
pub struct UnsupportedRates {
    /// Rate in.
    pub from: u32,
    /// Rate out.
    pub to: u32,
}

/// What a rate is rounded to that has no small ratio with ours: nobody hears a two-hundredth of a tone.
const NEAR: u32 = 100;

/// A whole sound at the rate that is wanted.
pub(super) fn converted(sound: Vec<i16>, rate: u32, wanted: Rate) -> Result<Vec<i16>, UnsupportedRates> {
    if rate == wanted.hertz() {
        return Ok(sound);
    }
    let near = (rate + NEAR / 2) / NEAR * NEAR;
    let mut resampler = Resampler::new(rate, wanted.hertz()).or_else(|_| Resampler::new(near, wanted.hertz()))?;
    let mut out = Vec::new();
    resampler.process(&sound, &mut out);
    resampler.finish(&mut out);
    Ok(out)
}

/// One direction of one stream.
#[derive(Debug, Clone)]
pub struct Resampler {
    up: usize,
    down: usize,
    taps: usize,
    /// `up` filters of `taps` coefficients.
    bank: Vec<f32>,
    past: Vec<f32>,
    /// Position of the next output: whole input samples into `past`, and phase.
    position: usize,
    phase: usize,
}

impl Resampler {
    /// From `from` to `to` hertz.
    ///
    /// # Errors
    /// [`UnsupportedRates`] when the ratio would need an absurd filter.
    pub fn new(from: u32, to: u32) -> Result<Self, UnsupportedRates> {
        let unsupported = UnsupportedRates { from, to };
        if from == 0 || to == 0 {
            return Err(unsupported);
        }
        let common = gcd(from, to);
        let (up, down) = ((to / common) as usize, (from / common) as usize);
        let half = ZERO_CROSSINGS * down.div_ceil(up).max(1);
        let taps = 2 * half;
        if up == down {
            return Ok(Self { up: 1, down: 1, taps: 1, bank: vec![1.0], past: Vec::new(), position: 0, phase: 0 });
        }
        if up.saturating_mul(taps) > MAX_COEFFICIENTS {
            return Err(unsupported);
        }
        Ok(Self { up, down, taps, bank: bank(up, down, taps), past: vec![0.0; half - 1], position: 0, phase: 0 })
    }

    /// Whether both rates are the same, so that nothing happens.
    pub const fn is_identity(&self) -> bool {
        self.up == self.down
    }

    /// Appends to `output` everything that `input` makes available. The delay is half the filter's length.
    pub fn process(&mut self, input: &[i16], output: &mut Vec<i16>) {
        if self.is_identity() {
            output.extend_from_slice(input);
            return;
        }
        self.past.extend(input.iter().map(|sample| f32::from(*sample)));
        while let Some(window) = self.past.get(self.position..self.position + self.taps) {
            let filter = &self.bank[self.phase * self.taps..(self.phase + 1) * self.taps];
            let sum: f32 = window.iter().zip(filter).map(|(sample, tap)| sample * tap).sum();
            output.push(sum.round() as i16);
            self.phase += self.down;
            self.position += self.phase / self.up;
            self.phase %= self.up;
        }
        let used = self.position.min(self.past.len());
        self.past.drain(..used);
        self.position -= used;
    }

    /// Appends what the filter still holds; the stream ends here.
    pub fn finish(&mut self, output: &mut Vec<i16>) {
        if !self.is_identity() {
            let silence = vec![0; self.taps / 2];
            self.process(&silence, output);
        }
    }
}

/// A low pass at the lower Nyquist frequency, cut into phases, each of unity gain.
fn bank(up: usize, down: usize, taps: usize) -> Vec<f32> {
    let cut = PASS * (up as f64 / down as f64).min(1.0);
    let half = taps as f64 / 2.0;
    let mut bank = vec![0.0; up * taps];
    for phase in 0..up {
        let filter = &mut bank[phase * taps..(phase + 1) * taps];
        let mut exact = vec![0.0; taps];
        for (i, tap) in exact.iter_mut().enumerate() {
            // Distance of input sample i from the output's place, which lies half a filter in.
            let x = i as f64 - (half - 1.0) - phase as f64 / up as f64;
            let window = (0.5 + 0.5 * (PI * x / half).cos()).max(0.0);
            let sinc = if x == 0.0 { 1.0 } else { (PI * x * cut).sin() / (PI * x * cut) };
            *tap = sinc * window;
        }
        let sum: f64 = exact.iter().sum();
        for (tap, exact) in filter.iter_mut().zip(exact) {
            *tap = (exact / sum) as f32;
        }
    }
    bank
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hertz: f64, samples: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        (0..samples).map(|i| ((i as f64 * step).sin() * 10_000.0) as i16).collect()
    }

    fn power(samples: &[i16]) -> f64 {
        samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64
    }

    /// What is left when the best-fitting sine of that frequency is taken away, in dB below the whole.
    fn purity(samples: &[i16], rate: u32, hertz: f64) -> f64 {
        let step = std::f64::consts::TAU * hertz / f64::from(rate);
        let (mut s, mut c) = (0.0, 0.0);
        for (i, x) in samples.iter().enumerate() {
            s += f64::from(*x) * (i as f64 * step).sin();
            c += f64::from(*x) * (i as f64 * step).cos();
        }
        let n = samples.len() as f64 / 2.0;
        let rest: f64 = samples
            .iter()
            .enumerate()
            .map(|(i, x)| f64::from(*x) - s / n * (i as f64 * step).sin() - c / n * (i as f64 * step).cos())
            .map(|e| e * e)
            .sum();
        10.0 * (power(samples) * samples.len() as f64 / rest).log10()
    }

    const PAIRS: [(u32, u32); 9] = [
        (24_000, 8000),
        (24_000, 16_000),
        (16_000, 8000),
        (8000, 16_000),
        (22_050, 8000),
        (22_050, 16_000),
        (48_000, 8000),
        (44_100, 8000),
        (8000, 24_000),
    ];

    #[test]
    fn a_tone_stays_a_tone_of_the_same_level() {
        for (from, to) in PAIRS {
            let mut out = Vec::new();
            let mut resampler = Resampler::new(from, to).expect("usual rates");
            // In odd pieces: the result must not depend on them.
            for piece in sine(from, 1000.0, from as usize).chunks(317) {
                resampler.process(piece, &mut out);
            }
            resampler.finish(&mut out);
            assert!((out.len() as i64 - i64::from(to)).abs() <= 2, "{from} {to}: {}", out.len());
            let middle = &out[1000..1000 + to as usize / 2];
            let purity = purity(middle, to, 1000.0);
            assert!(purity > 55.0, "{from} {to}: {purity} dB");
            let level = 10.0 * (power(middle) / 5e7).log10();
            assert!(level.abs() < 0.1, "{from} {to}: {level} dB");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_removed() {
        for (from, hertz) in [(24_000, 5000.0), (48_000, 7000.0), (16_000, 5500.0), (22_050, 6000.0)] {
            let mut out = Vec::new();
            Resampler::new(from, 8000).expect("usual rates").process(&sine(from, hertz, from as usize), &mut out);
            let left = 10.0 * (power(&out[500..7000]).max(0.01) / 5e7).log10();
            assert!(left < -45.0, "{from} Hz, tone {hertz}: {left} dB");
        }
    }

    #[test]
    fn absurd_rates_are_refused() {
        assert!(Resampler::new(0, 8000).is_err());
        assert!(Resampler::new(4_294_967_291, 8000).is_err());
        assert!(Resampler::new(8000, 8000).expect("same").is_identity());
    }
}
