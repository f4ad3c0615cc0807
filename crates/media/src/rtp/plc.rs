//! Concealment of lost audio: the last pitch period goes on, fading to silence within 60 ms.
//! Never makes sound after silence, so nobody mistakes it for speech.

use super::stretch::{max_period, mix, overlap, period_at_end};
use crate::Rate;

/// Past kept, in samples at 16 kHz: the longest period, the comparison window and some more.
const PAST: usize = 640;

/// Concealment of one stream.
#[derive(Debug, Clone)]
pub(super) struct Concealer {
    rate: Rate,
    /// The latest audio played; the end is newest.
    past: [i16; PAST],
    /// One period, shaped so that its end flows into its beginning.
    template: [i16; PAST],
    period: usize,
    /// Samples made up since the last real one; 0 when the last was real.
    made_up: usize,
}

impl Concealer {
    pub(super) const fn new(rate: Rate) -> Self {
        Self { rate, past: [0; PAST], template: [0; PAST], period: 1, made_up: 0 }
    }

    /// Whether so much was made up that only silence is left.
    pub(super) const fn is_silent(&self) -> bool {
        self.made_up >= self.rate.hertz() as usize * 60 / 1000
    }

    /// Remembers audio that was played, real or made up.
    pub(super) fn played(&mut self, samples: &[i16]) {
        append(&mut self.past, samples);
    }

    /// Appends `count` made-up samples.
    pub(super) fn conceal(&mut self, count: usize, out: &mut Vec<i16>) {
        if self.made_up == 0 {
            self.prepare(out);
        }
        for _ in 0..count {
            out.push(self.next());
        }
    }

    /// Real audio comes again at `real`: its first 5 ms fade in over what concealment would have gone on with.
    pub(super) fn rejoin(&mut self, real: &mut [i16]) {
        if self.made_up == 0 {
            return;
        }
        let fade = (overlap(self.rate) / 2).min(real.len());
        for (i, sample) in real.iter_mut().take(fade).enumerate() {
            *sample = mix(self.next(), *sample, i, fade);
        }
        self.made_up = 0;
    }

    /// Chooses the period from the past and whatever real audio already stands in `pending`.
    fn prepare(&mut self, pending: &[i16]) {
        let mut past = self.past;
        append(&mut past, pending);
        let kept = match self.rate {
            Rate::Narrow => PAST / 2,
            Rate::Wide => PAST,
        };
        let past = &past[PAST - kept..];
        let period = period_at_end(self.rate, past).map_or(max_period(self.rate), |period| period.samples);
        let fade = period / 4;
        let start = kept - period;
        self.template[..period].copy_from_slice(&past[start..]);
        for i in 0..fade {
            let tail = &mut self.template[period - fade + i];
            *tail = mix(*tail, past[start - fade + i], i + 1, fade);
        }
        self.period = period;
    }

    fn next(&mut self) -> i16 {
        let ms10 = self.rate.hertz() as usize / 100;
        let sample = self.template[self.made_up % self.period];
        let age = self.made_up;
        self.made_up = self.made_up.saturating_add(1);
        if age < ms10 {
            return sample;
        }
        // Full for 10 ms, then down to nothing at 60 ms.
        let left = (6 * ms10).saturating_sub(age);
        (i32::try_from(left).unwrap_or(0) * i32::from(sample) / (5 * ms10) as i32) as i16
    }
}

/// Shifts `samples` in at the end.
fn append(past: &mut [i16; PAST], samples: &[i16]) {
    let count = samples.len().min(PAST);
    past.copy_within(count.., 0);
    past[PAST - count..].copy_from_slice(&samples[samples.len() - count..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(from: usize, len: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU / 53.0;
        (from..from + len).map(|i| ((i as f32 * step).sin() * 8000.0) as i16).collect()
    }

    #[test]
    fn a_voice_goes_on_and_fades() {
        let mut concealer = Concealer::new(Rate::Narrow);
        concealer.played(&sine(0, 160));
        concealer.played(&sine(160, 160));
        let mut out = Vec::new();
        concealer.conceal(80, &mut out);
        let truth = sine(320, 80);
        let error: f64 = out.iter().zip(&truth).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let energy: f64 = truth.iter().map(|b| f64::from(*b).powi(2)).sum();
        assert!(error / energy < 0.05, "{}", error / energy);
        out.clear();
        concealer.conceal(480, &mut out);
        assert!(concealer.is_silent());
        assert!(out[400..].iter().all(|s| *s == 0));
    }

    #[test]
    fn silence_stays_silence() {
        let mut concealer = Concealer::new(Rate::Wide);
        let mut out = Vec::new();
        concealer.conceal(1000, &mut out);
        assert!(out.iter().all(|s| *s == 0));
    }
}
