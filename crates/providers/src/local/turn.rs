//! Has the speaker finished? The smart-turn network over a log-mel picture of the last eight seconds. It is a hint,
//! never the only rule: it hears intonation, not silence. Never sees text.

use super::Home;
use super::onnx::{Network, tensor};
use crate::ProviderError;
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::f64::consts::PI;
use std::sync::Arc;

/// Samples a second the network hears.
pub(crate) const RATE: usize = 16_000;
/// The network's window: eight seconds.
const WINDOW: usize = 8 * RATE;
const FRAME: usize = 400;
const HOP: usize = 160;
const BINS: usize = FRAME / 2 + 1;
const MELS: usize = 80;
const FRAMES: usize = WINDOW / HOP;
/// Below this power everything is silence.
const FLOOR: f64 = 1e-10;

/// The loaded network.
#[derive(Debug)]
pub(crate) struct TurnModel {
    network: Network,
    mel: LogMel,
}

impl TurnModel {
    pub(crate) fn load(home: &Home) -> Result<Self, ProviderError> {
        Ok(Self { network: Network::load(home, super::models::TURN)?, mel: LogMel::new() })
    }

    /// Probability that the speaker of `audio` (16 kHz, -1..1; the last 8 s count) has finished.
    pub(crate) fn finished(&mut self, audio: &[f32]) -> Result<f32, ProviderError> {
        let picture = self.mel.picture(audio);
        let input = tensor(vec![1, MELS, FRAMES], picture)?;
        let outputs = self.network.run(vec![("input_features".into(), input.into())])?;
        let (_, numbers) = outputs.numbers::<f32>("logits")?;
        // The exported network ends in a sigmoid, whatever the output's name says.
        Ok(numbers.first().copied().unwrap_or(0.0))
    }
}

/// The picture that the network was trained on: 80 mel bands on the Slaney scale, logarithm of the power, the loudest
/// 80 dB, squeezed to about -1..1.
pub(crate) struct LogMel {
    fft: Arc<dyn Fft<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
}

impl std::fmt::Debug for LogMel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogMel").field("bands", &self.bands.len()).finish_non_exhaustive()
    }
}

/// One triangular filter: its weights from bin `first` on.
#[derive(Debug, Clone, PartialEq)]
struct Band {
    first: usize,
    weights: Vec<f64>,
}

impl LogMel {
    pub(crate) fn new() -> Self {
        let window = (0..FRAME).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f64 / FRAME as f64).cos()).collect();
        Self { fft: FftPlanner::new().plan_fft_forward(FRAME), window, bands: bands() }
    }

    /// `MELS` rows of `FRAMES` values for the last eight seconds of `audio`; silence is put before shorter audio.
    pub(crate) fn picture(&self, audio: &[f32]) -> Vec<f32> {
        let padded = reflected(&levelled(audio));
        let mut logs = vec![0.0f64; MELS * FRAMES];
        let mut spectrum = vec![Complex::default(); FRAME];
        let mut scratch = vec![Complex::default(); self.fft.get_inplace_scratch_len()];
        let mut loudest = f64::MIN;
        // Two real frames go through one complex transform: the second as the imaginary part.
        for pair in (0..FRAMES).step_by(2) {
            let (left, right) = (&padded[pair * HOP..][..FRAME], &padded[(pair + 1) * HOP..][..FRAME]);
            for ((slot, window), (a, b)) in spectrum.iter_mut().zip(&self.window).zip(left.iter().zip(right)) {
                *slot = Complex::new(a * window, b * window);
            }
            self.fft.process_with_scratch(&mut spectrum, &mut scratch);
            let (first, second) = powers(&spectrum);
            for (mel, band) in self.bands.iter().enumerate() {
                for (offset, power) in [&first, &second].into_iter().enumerate() {
                    let log = band.energy(power).max(FLOOR).log10();
                    loudest = loudest.max(log);
                    logs[mel * FRAMES + pair + offset] = log;
                }
            }
        }
        logs.into_iter().map(|log| ((log.max(loudest - 8.0) + 4.0) / 4.0) as f32).collect()
    }
}

impl Band {
    fn energy(&self, power: &[f64]) -> f64 {
        power[self.first..].iter().zip(&self.weights).map(|(power, weight)| power * weight).sum()
    }
}

/// Powers of the two real signals that were transformed together.
fn powers(spectrum: &[Complex<f64>]) -> (Vec<f64>, Vec<f64>) {
    (0..BINS)
        .map(|bin| {
            let (here, mirror) = (spectrum[bin], spectrum[(FRAME - bin) % FRAME].conj());
            (((here + mirror) * 0.5).norm_sqr(), ((here - mirror) * 0.5).norm_sqr())
        })
        .unzip()
}

/// The last eight seconds with mean 0 and variance 1, silence first.
fn levelled(audio: &[f32]) -> Vec<f64> {
    let tail = &audio[audio.len().saturating_sub(WINDOW)..];
    let mut window = vec![0.0; WINDOW - tail.len()];
    window.extend(tail.iter().map(|sample| f64::from(*sample)));
    let mean = window.iter().sum::<f64>() / WINDOW as f64;
    let variance = window.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / WINDOW as f64;
    let scale = 1.0 / (variance + 1e-7).sqrt();
    window.iter().map(|sample| (sample - mean) * scale).collect()
}

/// Half a frame of mirrored sound on both ends, so that the first frame is centred on the first sample.
fn reflected(window: &[f64]) -> Vec<f64> {
    let half = FRAME / 2;
    let before = window[1..=half].iter().rev();
    let after = window[window.len() - half - 1..window.len() - 1].iter().rev();
    before.chain(window).chain(after).copied().collect()
}

/// The filter bank: triangles of equal area, spaced evenly on the Slaney mel scale up to 8 kHz.
fn bands() -> Vec<Band> {
    let top = mel(RATE as f64 / 2.0);
    let corners: Vec<f64> = (0..MELS + 2).map(|n| hertz(top * n as f64 / (MELS + 1) as f64)).collect();
    let bin_width = RATE as f64 / FRAME as f64;
    corners
        .windows(3)
        .map(|corner| {
            let area = 2.0 / (corner[2] - corner[0]);
            let weight = |bin: usize| {
                let frequency = bin as f64 * bin_width;
                let rise = (frequency - corner[0]) / (corner[1] - corner[0]);
                let fall = (corner[2] - frequency) / (corner[2] - corner[1]);
                rise.min(fall).max(0.0) * area
            };
            let first = (0..BINS).find(|bin| weight(*bin) > 0.0).unwrap_or(BINS);
            let weights = (first..BINS).map(weight).take_while(|weight| *weight > 0.0).collect();
            Band { first, weights }
        })
        .collect()
}

/// Slaney's scale: linear below 1 kHz, logarithmic above.
fn mel(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + (hertz / 1000.0).ln() * 27.0 / 6.4f64.ln() }
}

fn hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4f64.ln() / 27.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, seconds: f64) -> Vec<f32> {
        (0..(seconds * RATE as f64) as usize)
            .map(|n| (0.5 * (2.0 * PI * hertz * n as f64 / RATE as f64).sin()) as f32)
            .collect()
    }

    #[test]
    fn the_scale_goes_both_ways() {
        for frequency in [0.0, 250.0, 999.0, 1000.0, 3400.0, 8000.0] {
            assert!((hertz(mel(frequency)) - frequency).abs() < 1e-6, "{frequency}");
        }
        assert!((mel(1000.0) - 15.0).abs() < 1e-12);
        assert!((mel(6400.0) - 42.0).abs() < 1e-9);
    }

    #[test]
    fn the_filter_bank_covers_the_spectrum() {
        let bands = bands();
        assert_eq!(bands.len(), MELS);
        assert!(bands.iter().all(|band| !band.weights.is_empty() && band.first + band.weights.len() <= BINS));
        // Golden values of the reference filter bank (Slaney scale and area): first band, bin 1; last band, its peak.
        let first = &bands[0];
        assert_eq!(first.first, 1);
        assert!((first.weights[0] - 0.024_862_594).abs() < 1e-8, "{}", first.weights[0]);
        let last = &bands[79];
        let peak = last.weights.iter().copied().fold(0.0, f64::max);
        assert!((peak - 0.003_164_711_7).abs() < 1e-8, "{peak}");
        assert!((last.weights[192 - last.first] - peak).abs() < 1e-12);
    }

    #[test]
    fn a_tone_lights_its_own_band() {
        let picture = LogMel::new().picture(&tone(1000.0, 8.0));
        assert_eq!(picture.len(), MELS * FRAMES);
        let column: Vec<f32> = (0..MELS).map(|mel| picture[mel * FRAMES + 400]).collect();
        let loudest = (0..MELS).max_by(|a, b| column[*a].total_cmp(&column[*b])).unwrap();
        let middle = hertz(mel(8000.0) * (loudest + 1) as f64 / (MELS + 1) as f64);
        assert!((middle - 1000.0).abs() < 60.0, "{middle}");
        let (low, high) = picture.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        assert!((high - low - 2.0).abs() < 1e-4, "the loudest 80 dB remain: {low} {high}");
    }

    #[test]
    fn a_rising_tone_gives_the_reference_values() {
        // Two seconds of a tone that rises from 200 Hz after six of silence; values of the reference implementation.
        let mut audio = vec![0.0f32; WINDOW];
        for n in 0..32_000usize {
            let frequency = 200.0 + n as f64 * 0.02;
            audio[WINDOW - 32_000 + n] = (0.3 * (2.0 * PI * frequency * n as f64 / RATE as f64).sin()) as f32;
        }
        let picture = LogMel::new().picture(&audio);
        for (mel, frame, wanted) in
            [(10, 700, -0.171_242), (20, 750, -0.171_242), (40, 799, 0.774_072), (3, 620, 0.526_328)]
        {
            let value = picture[mel * FRAMES + frame];
            assert!((value - wanted).abs() < 1e-3, "band {mel} frame {frame}: {value}");
        }
    }

    #[test]
    fn short_and_empty_audio_is_padded_in_front() {
        let picture = LogMel::new().picture(&tone(500.0, 1.0));
        let energy = |frame: usize| (0..MELS).map(|mel| picture[mel * FRAMES + frame]).sum::<f32>();
        assert!(energy(750) > energy(100));
        assert_eq!(LogMel::new().picture(&[]).len(), MELS * FRAMES);
    }
}
