//! From hibari's spectra to a waveform: a pulse train at the pitch, shaped by the harmonic spectrum, plus shaped noise,
//! plus a part with phases of its own, through one inverse short-time Fourier transform. Knows no network and no text.

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::f32::consts::PI;
use std::sync::Arc;

/// Samples a second of the result.
pub(crate) const RATE: u32 = 24_000;
/// Samples a frame.
const HOP: usize = 300;
const SIZE: usize = 1200;
/// Frequencies a frame.
pub(crate) const BINS: usize = SIZE / 2 + 1;
/// Pitch below which a frame has no voice, in hertz.
const VOICED: f32 = 40.0;
/// The pulse train has no harmonics above it, in hertz.
const TOP: f32 = 11_000.0;
/// Largest logarithm of a magnitude; beyond it the network is wrong.
const LOG_CAP: f32 = 7.0;
const NOISE_TABLE: usize = 1 << 14;

/// What the network says of a phrase: five tables of `BINS` rows and one column a frame, and the pitch a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spectra<'a> {
    /// Logarithm of the harmonic magnitude.
    pub harmonic: &'a [f32],
    /// Phase turn of the harmonic part, before the squashing.
    pub turn: &'a [f32],
    /// Logarithm of the noise magnitude.
    pub noise: &'a [f32],
    /// Logarithm of the free part's magnitude.
    pub free: &'a [f32],
    /// Phase of the free part.
    pub phase: &'a [f32],
    /// Pitch in hertz; below [`VOICED`]: none.
    pub pitch: &'a [f32],
}

impl Spectra<'_> {
    /// Whether the tables fit together.
    fn fits(&self) -> bool {
        let cells = self.pitch.len() * BINS;
        [self.harmonic, self.turn, self.noise, self.free, self.phase].iter().all(|table| table.len() == cells)
    }
}

/// Plans and tables, made once.
pub(crate) struct Vocoder {
    forward: Arc<dyn Fft<f32>>,
    inverse: Arc<dyn Fft<f32>>,
    window: Vec<f32>,
    /// Complex numbers of normally distributed parts; the same in every process, so that a phrase always sounds the same.
    noise: Vec<Complex<f32>>,
}

impl std::fmt::Debug for Vocoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocoder").finish_non_exhaustive()
    }
}

impl Vocoder {
    pub(crate) fn new() -> Self {
        let mut planner = FftPlanner::new();
        let window = (0..SIZE).map(|n| 0.5 - 0.5 * (2.0 * PI * n as f32 / SIZE as f32).cos()).collect();
        Self {
            forward: planner.plan_fft_forward(SIZE),
            inverse: planner.plan_fft_inverse(SIZE),
            window,
            noise: noise_table(),
        }
    }

    /// The sound of `spectra`, about -1..1, `HOP` samples a frame; its pitch multiplied by `pitch_scale`.
    pub(crate) fn sound(&self, spectra: Spectra<'_>, pitch_scale: f32) -> Vec<f32> {
        let frames = spectra.pitch.len();
        if frames == 0 || !spectra.fits() {
            return Vec::new();
        }
        let pitch: Vec<f32> = spectra.pitch.iter().map(|hertz| hertz * pitch_scale).collect();
        let source = reflected(&pulses(&pitch));
        let mut sound = vec![0.0f32; (frames + SIZE / HOP - 1) * HOP];
        let mut weight = vec![0.0f32; sound.len()];
        let mut spectrum = vec![Complex::default(); SIZE];
        let mut scratch = vec![
            Complex::default();
            self.forward.get_inplace_scratch_len().max(self.inverse.get_inplace_scratch_len())
        ];
        for frame in 0..frames {
            self.analyse(&source[frame * HOP..][..SIZE], &mut spectrum, &mut scratch);
            self.shape(spectra, frame, &mut spectrum);
            self.inverse.process_with_scratch(&mut spectrum, &mut scratch);
            let at = frame * HOP;
            for (n, (value, window)) in spectrum.iter().zip(&self.window).enumerate() {
                sound[at + n] += value.re / SIZE as f32 * window;
                weight[at + n] += window * window;
            }
        }
        let middle = SIZE / 2..SIZE / 2 + frames * HOP;
        sound[middle.clone()].iter().zip(&weight[middle]).map(|(sample, weight)| sample / weight.max(1e-11)).collect()
    }

    /// The pulse train's spectrum, scaled so that a cosine of amplitude 1 peaks at the network's magnitude.
    fn analyse(&self, source: &[f32], spectrum: &mut [Complex<f32>], scratch: &mut [Complex<f32>]) {
        let scale = 1.0 / (SIZE as f32 / 4.0);
        for ((slot, sample), window) in spectrum.iter_mut().zip(source).zip(&self.window) {
            *slot = Complex::new(sample * window * scale, 0.0);
        }
        self.forward.process_with_scratch(spectrum, scratch);
    }

    /// Adds the three parts of one frame up, and mirrors the result so that the inverse transform is real.
    fn shape(&self, spectra: Spectra<'_>, frame: usize, spectrum: &mut [Complex<f32>]) {
        let frames = spectra.pitch.len();
        // An odd stride through the table: neighbouring frames get unrelated noise.
        let start = frame.wrapping_mul(7919);
        for (bin, slot) in spectrum.iter_mut().enumerate().take(BINS) {
            let cell = bin * frames + frame;
            let turned = Complex::from_polar(magnitude(spectra.harmonic[cell]), PI * spectra.turn[cell].tanh());
            let noise = self.noise[(start + bin) % NOISE_TABLE] * magnitude(spectra.noise[cell]);
            let free = Complex::from_polar(magnitude(spectra.free[cell]), spectra.phase[cell]);
            *slot = *slot * turned + noise + free;
        }
        spectrum[0].im = 0.0;
        spectrum[SIZE / 2].im = 0.0;
        for bin in 1..SIZE / 2 {
            spectrum[SIZE - bin] = spectrum[bin].conj();
        }
    }
}

fn magnitude(logarithm: f32) -> f32 {
    logarithm.min(LOG_CAP).exp()
}

/// A pulse train: all harmonics of the pitch up to [`TOP`], each of amplitude 1, in closed form.
fn pulses(pitch: &[f32]) -> Vec<f32> {
    let mut phase = 0.0f64;
    (0..pitch.len() * HOP)
        .map(|n| {
            let hertz = pitch_at(pitch, n);
            let voiced = hertz > VOICED;
            let hertz = hertz.max(VOICED);
            phase = (phase + f64::from(hertz) / f64::from(RATE)).fract();
            if !voiced {
                return 0.0;
            }
            let angle = (phase * std::f64::consts::TAU) as f32;
            let harmonics = (TOP / hertz).floor() + 0.5;
            let divisor = 2.0 * (angle * 0.5).sin();
            let sum = if divisor.abs() <= 2e-3 { harmonics } else { (harmonics * angle).sin() / divisor };
            sum - 0.5
        })
        .collect()
}

/// Pitch at sample `n`, drawn straight between the middles of the frames.
fn pitch_at(pitch: &[f32], n: usize) -> f32 {
    let position = (n as f32 + 0.5) / HOP as f32 - 0.5;
    let last = pitch.len() - 1;
    let (left, part) = if position < 0.0 { (0, 0.0) } else { (position as usize, position.fract()) };
    let (left, right) = (left.min(last), (left + 1).min(last));
    pitch[left] * (1.0 - part) + pitch[right] * part
}

/// Half a window of mirrored sound on both ends.
fn reflected(sound: &[f32]) -> Vec<f32> {
    let half = SIZE / 2;
    let mirror = |index: isize| {
        let last = sound.len() as isize - 1;
        let folded = index.abs();
        // Phrases shorter than half a window fold more than once.
        let period = (2 * last).max(1);
        let folded = folded % period;
        sound[(if folded > last { period - folded } else { folded }).clamp(0, last) as usize]
    };
    (0..sound.len() + SIZE).map(|n| mirror(n as isize - half as isize)).collect()
}

/// Normally distributed numbers by Box and Muller over a fixed sequence.
fn noise_table() -> Vec<Complex<f32>> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 + 0.5) / (1u64 << 24) as f32
    };
    (0..NOISE_TABLE)
        .map(|_| {
            let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), 2.0 * PI * uniform());
            Complex::new(radius * angle.cos(), radius * angle.sin())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: f32 = -30.0;

    fn rms(sound: &[f32]) -> f32 {
        (sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len() as f32).sqrt()
    }

    /// Strength of one frequency.
    fn strength(sound: &[f32], hertz: f32) -> f32 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in sound.iter().enumerate() {
            let angle = 2.0 * PI * hertz * n as f32 / RATE as f32;
            re += sample * angle.cos();
            im += sample * angle.sin();
        }
        (re * re + im * im).sqrt() / sound.len() as f32
    }

    #[test]
    fn a_voiced_frame_sounds_at_its_pitch() {
        let frames = 40;
        let (loud, quiet, zero) = (vec![-2.0; BINS * frames], vec![QUIET; BINS * frames], vec![0.0; BINS * frames]);
        let pitch = vec![200.0; frames];
        let spectra =
            Spectra { harmonic: &loud, turn: &zero, noise: &quiet, free: &quiet, phase: &zero, pitch: &pitch };
        let vocoder = Vocoder::new();
        let sound = vocoder.sound(spectra, 1.0);
        assert_eq!(sound.len(), frames * HOP);
        let middle = &sound[HOP * 5..HOP * 35];
        assert!(strength(middle, 400.0) > 20.0 * strength(middle, 300.0));
        let lower = vocoder.sound(spectra, 0.75);
        let middle = &lower[HOP * 5..HOP * 35];
        assert!(strength(middle, 300.0) > 20.0 * strength(middle, 200.0));
    }

    #[test]
    fn noise_has_its_magnitude_and_silence_is_silent() {
        let frames = 40;
        let (quiet, zero) = (vec![QUIET; BINS * frames], vec![0.0; BINS * frames]);
        let pitch = vec![0.0; frames];
        let noisy = vec![1.0; BINS * frames];
        let vocoder = Vocoder::new();
        let mut spectra =
            Spectra { harmonic: &quiet, turn: &zero, noise: &noisy, free: &quiet, phase: &zero, pitch: &pitch };
        assert!(rms(&vocoder.sound(spectra, 1.0)) > 0.01);
        spectra.noise = &quiet;
        assert!(rms(&vocoder.sound(spectra, 1.0)) < 1e-6);
        spectra.pitch = &pitch[..3];
        assert!(vocoder.sound(spectra, 1.0).is_empty(), "tables that do not fit give nothing");
    }
}
