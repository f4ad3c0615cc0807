//! A small streaming converter between sampling rates: a polyphase filter of windowed sinc functions. Works on mono
//! 16-bit samples, adds no delay, and gives the same sound however the input is cut.

use std::f64::consts::PI;

/// Converts a stream of samples from one rate to another.
#[derive(Debug, Clone)]
pub(crate) struct Resampler {
    /// Output samples for `down` input samples.
    up: usize,
    down: usize,
    taps: usize,
    /// One row of `taps` coefficients for each of `up` phases; empty when the rates are equal.
    table: Vec<f32>,
    /// Input that the filter still needs, preceded by the silence before the first sample.
    kept: Vec<f32>,
    /// Position of the next output sample in `kept`, in units of `1 / up` input samples.
    at: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// A converter; `None` when a rate is none of [`RATES`].
    pub(crate) fn new(from: u32, to: u32) -> Option<Self> {
        if !RATES.contains(&from) || !RATES.contains(&to) {
            return None;
        }
        let divisor = gcd(from, to);
        let (up, down) = ((to / divisor) as usize, (from / divisor) as usize);
        if up == down {
            return Some(Self { up, down, taps: 0, table: vec![], kept: vec![], at: 0, taken: 0, given: 0 });
        }
        let scale = (f64::from(to) / f64::from(from)).min(1.0);
        let half = (ZERO_CROSSINGS / scale).ceil() as usize;
        let table = (0..up).flat_map(|phase| row(half, scale, phase as f64 / up as f64)).collect();
        Some(Self { up, down, taps: 2 * half, table, kept: vec![0.0; half - 1], at: 0, taken: 0, given: 0 })
    }

    /// Converts more input; returns what can be computed so far.
    pub(crate) fn push(&mut self, input: &[i16]) -> Vec<i16> {
        if self.table.is_empty() {
            return input.to_vec();
        }
        self.taken += input.len() as u64;
        self.kept.extend(input.iter().map(|sample| f32::from(*sample)));
        let mut output = Vec::with_capacity(input.len() * self.up / self.down + 1);
        loop {
            let (first, phase) = (self.at / self.up, self.at % self.up);
            let Some(window) = self.kept.get(first..first + self.taps) else { break };
            let row = &self.table[phase * self.taps..(phase + 1) * self.taps];
            output.push(rounded(dot(window, row)));
            self.at += self.down;
        }
        let used = (self.at / self.up).min(self.kept.len());
        self.kept.drain(..used);
        self.at -= used * self.up;
        self.given += output.len() as u64;
        output
    }

    /// The input has ended: the samples that were waiting for more.
    pub(crate) fn finish(mut self) -> Vec<i16> {
        if self.table.is_empty() {
            return vec![];
        }
        let wanted = (self.taken * self.up as u64).div_ceil(self.down as u64);
        let missing = wanted.saturating_sub(self.given) as usize;
        let silence = vec![0; self.taps + self.down];
        let mut output = self.push(&silence);
        output.truncate(missing);
        output
    }
}

/// Rates that are converted, in samples a second.
pub(crate) const RATES: [u32; 9] = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000];

/// The sum of the products. Kept in several sums of its own, because a single one could not be computed in parallel: this
/// is the only costly loop of a voice.
fn dot(window: &[f32], row: &[f32]) -> f32 {
    let ((windows, last), (rows, weights)) = (window.as_chunks::<LANES>(), row.as_chunks::<LANES>());
    let mut sums = [0.0_f32; LANES];
    for (samples, weights) in windows.iter().zip(rows) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += samples[lane] * weights[lane];
        }
    }
    let rest: f32 = last.iter().zip(weights).map(|(sample, weight)| sample * weight).sum();
    sums.iter().sum::<f32>() + rest
}

/// The nearest sample; what is too loud is clipped by the conversion.
fn rounded(value: f32) -> i16 {
    (value + 0.5_f32.copysign(value)) as i16
}

/// Coefficients for an output sample that lies `phase` of an input sample after the middle of its window.
fn row(half: usize, scale: f64, phase: f64) -> Vec<f32> {
    let weights: Vec<f64> = (0..2 * half)
        .map(|tap| {
            let x = tap as f64 - (half as f64 - 1.0) - phase;
            sinc(x * scale * PASSED) * kaiser(x / half as f64)
        })
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

fn kaiser(x: f64) -> f64 {
    bessel(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of the first kind and order zero, by its power series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..32 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Products that are summed side by side.
const LANES: usize = 8;
/// Length of the filter on each side, in zero crossings of its sinc.
const ZERO_CROSSINGS: f64 = 16.0;
/// Share of the narrower band that passes; the rest is the slope of the filter.
const PASSED: f64 = 0.9;
/// Shape of the window: about 80 dB of attenuation.
const BETA: f64 = 8.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f64, samples: usize) -> Vec<i16> {
        let step = 2.0 * PI * hertz / f64::from(rate);
        (0..samples).map(|n| ((n as f64 * step).sin() * 10_000.0) as i16).collect()
    }

    fn converted(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to).expect("known rates");
        let mut output = resampler.push(input);
        output.extend(resampler.finish());
        output
    }

    fn power(samples: &[i16]) -> f64 {
        samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn a_tone_stays_where_it_was() {
        for (from, to) in [(24000, 8000), (24000, 16000), (22050, 8000), (44100, 16000), (48000, 8000), (8000, 16000)] {
            let output = converted(from, to, &tone(from, 1000.0, from as usize));
            assert_eq!(output.len(), to as usize, "{from} to {to}");
            let wanted = tone(to, 1000.0, to as usize);
            let middle = 200..output.len() - 200;
            let errors: Vec<i16> = middle.clone().map(|n| output[n] - wanted[n]).collect();
            let ratio = 10.0 * (power(&wanted[middle]) / power(&errors)).log10();
            assert!(ratio > 60.0, "{from} to {to}: {ratio:.1} dB");
        }
    }

    #[test]
    fn what_the_narrower_band_cannot_carry_is_gone() {
        let output = converted(24000, 8000, &tone(24000, 6000.0, 24000));
        let ratio = 10.0 * (power(&tone(24000, 6000.0, 24000)) / power(&output[100..7900]).max(1e-6)).log10();
        assert!(ratio > 60.0, "{ratio:.1} dB");
    }

    #[test]
    fn cuts_do_not_matter() {
        let input = tone(24000, 700.0, 5000);
        let whole = converted(24000, 16000, &input);
        let mut resampler = Resampler::new(24000, 16000).expect("known rates");
        let mut pieces = Vec::new();
        for (n, piece) in input.chunks(37).enumerate() {
            pieces.extend(resampler.push(piece));
            if n % 5 == 0 {
                pieces.extend(resampler.push(&[]));
            }
        }
        pieces.extend(resampler.finish());
        assert_eq!(pieces, whole);
    }

    #[test]
    fn equal_rates_and_unknown_rates() {
        assert_eq!(converted(16000, 16000, &[1, 2, 3]), [1, 2, 3]);
        assert!(Resampler::new(0, 8000).is_none());
        assert!(Resampler::new(8000, 23999).is_none());
        assert_eq!(converted(24000, 8000, &[]), [0i16; 0]);
    }
}
