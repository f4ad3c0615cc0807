//! The tone after which an answering machine records: one steady wave that begins and ends. Speech, keys, music and the
//! tones by which networks tell how a call gets on are none. Never keeps audio.

use crate::Rate;

/// Stretch that is judged at a time.
const BLOCK_MS: u32 = 20;
/// Frequencies of such tones, in hertz. Below lie the networks' own tones (350 to 450, and 480 with another).
const BAND: std::ops::RangeInclusive<f32> = 500.0..=2300.0;
/// The wave's least share of a block's power: two waves have half of it each, a voice has many.
const PURITY: f32 = 0.88;
/// How far the frequency may go from where it began.
const DRIFT: f32 = 0.02;
/// How far the power may go from what it was a block before, as a factor.
const SWELL: f32 = 2.0;
/// Least mean power of a sample: -40 dBFS.
const LOUD: f32 = 327.0 * 327.0;
/// Shortest and longest such tone, in blocks: 140 ms to 2.4 s.
const LENGTH: std::ops::RangeInclusive<u32> = 7..=120;

/// A tone that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beep {
    /// Its frequency, in hertz.
    pub hertz: f32,
    /// Its length, in milliseconds.
    pub length_ms: u32,
}

/// A tone that goes on.
#[derive(Debug, Clone, Copy)]
struct Wave {
    hertz: f32,
    power: f32,
    blocks: u32,
}

/// Listens for such a tone in what comes, in pieces of any length. All rates are judged as the telephone's: beyond it there
/// is none, and at a higher one a low wave's frequency is less sure.
#[derive(Debug, Clone)]
pub struct BeepDetector {
    /// Samples that make one of the telephone's, and their sum so far.
    fold: u32,
    sum: (u32, f32),
    block: Vec<f32>,
    wave: Option<Wave>,
}

/// Samples in a second and in a block, as they are judged.
const RATE: Rate = Rate::Narrow;
const BLOCK: usize = (RATE.hertz() * BLOCK_MS / 1000) as usize;

impl BeepDetector {
    /// A detector for audio of this rate.
    pub fn new(rate: Rate) -> Self {
        Self { fold: rate.hertz() / RATE.hertz(), sum: (0, 0.0), block: Vec::with_capacity(BLOCK), wave: None }
    }

    /// Hears on; the tone that ended in these samples.
    pub fn hear(&mut self, samples: &[i16]) -> Option<Beep> {
        let mut ended = None;
        for sample in samples {
            self.sum = (self.sum.0 + 1, self.sum.1 + f32::from(*sample));
            if self.sum.0 < self.fold {
                continue;
            }
            self.block.push(self.sum.1 / self.fold as f32);
            self.sum = (0, 0.0);
            if self.block.len() >= BLOCK {
                ended = self.judge().or(ended);
                self.block.clear();
            }
        }
        ended
    }

    fn judge(&mut self) -> Option<Beep> {
        let found = wave(&self.block, RATE.hertz() as f32);
        match (self.wave, found) {
            (Some(going), Some(now)) if goes_on(going, now) => {
                // Against where it began, so that what glides is no tone.
                self.wave = Some(Wave { hertz: going.hertz, power: now.power, blocks: going.blocks + 1 });
                None
            }
            (going, now) => {
                self.wave = now;
                going
                    .filter(|wave| LENGTH.contains(&wave.blocks) && now.is_none())
                    .map(|wave| Beep { hertz: wave.hertz, length_ms: wave.blocks * BLOCK_MS })
            }
        }
    }
}

fn goes_on(before: Wave, now: Wave) -> bool {
    let swell = now.power / before.power;
    (now.hertz / before.hertz - 1.0).abs() <= DRIFT && (1.0 / SWELL..=SWELL).contains(&swell)
}

/// The one wave that a block consists of, if it does.
fn wave(block: &[f32], rate: f32) -> Option<Wave> {
    let count = block.len() as f32;
    let energy: f32 = block.iter().map(|x| x * x).sum();
    if energy / count < LOUD {
        return None;
    }
    // Of one wave, each sample and the second next are 2 cos(w) times the one between: the best such factor says which.
    let (mut across, mut within) = (0.0, 0.0);
    for three in block.windows(3) {
        across += three[1] * (three[0] + three[2]);
        within += three[1] * three[1];
    }
    let cosine = across / (2.0 * within.max(1.0));
    let angle = if cosine.abs() < 1.0 { cosine.acos() } else { return None };
    let hertz = angle * rate / std::f32::consts::TAU;
    if !BAND.contains(&hertz) {
        return None;
    }
    // How much of the block is that wave.
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (place, x) in block.iter().enumerate() {
        let (sine, cosine) = (angle * place as f32).sin_cos();
        real += x * cosine;
        imaginary += x * sine;
    }
    let share = 2.0 * (real * real + imaginary * imaginary) / (count * energy);
    (share >= PURITY).then_some(Wave { hertz, power: energy / count, blocks: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digit;
    use crate::pcm::DualTone;

    const RATES: [Rate; 2] = [Rate::Narrow, Rate::Wide];

    /// Waves of these frequencies, as loud together as one of them alone, over a floor of noise.
    fn waves(rate: Rate, ms: u32, hertz: &[f32], level: f32) -> Vec<i16> {
        let mut seed = 9_u32;
        let count = (rate.hertz() * ms / 1000) as usize;
        let sample = |place: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 16) as f32 / 65_536.0 - 0.5;
            let at = place as f32 / rate.hertz() as f32;
            let sum: f32 = hertz.iter().map(|hertz| (std::f32::consts::TAU * hertz * at).sin()).sum();
            (level * sum / (hertz.len().max(1) as f32) + 200.0 * noise) as i16
        };
        (0..count).map(sample).collect()
    }

    /// Something like a voice: a pitch that moves, and its harmonics through a moving filter.
    fn voice(rate: Rate, ms: u32) -> Vec<i16> {
        let count = (rate.hertz() * ms / 1000) as usize;
        let mut phase = 0.0_f32;
        let sample = |place: usize| {
            let at = place as f32 / rate.hertz() as f32;
            let pitch = 130.0 + 35.0 * (at * 5.0).sin();
            phase += std::f32::consts::TAU * pitch / rate.hertz() as f32;
            let formant = 500.0 + 300.0 * (at * 3.0).sin();
            let sum: f32 = (1..20_u8)
                .map(|harmonic| {
                    let hertz = pitch * f32::from(harmonic);
                    let away = (hertz - formant) / 250.0;
                    (-away * away).exp() * (phase * f32::from(harmonic)).sin()
                })
                .sum();
            (5000.0 * sum) as i16
        };
        (0..count).map(sample).collect()
    }

    fn heard(rate: Rate, audio: &[i16]) -> Vec<Beep> {
        let mut detector = BeepDetector::new(rate);
        // Pieces that are no multiple of a block.
        audio.chunks(173).filter_map(|piece| detector.hear(piece)).collect()
    }

    #[test]
    fn one_steady_wave_is_a_tone_and_is_told_when_it_ends() {
        for rate in RATES {
            for hertz in [520.0, 800.0, 1000.0, 1400.0, 2000.0] {
                for (ms, level) in [(200, 12_000.0), (500, 2000.0), (1500, 8000.0)] {
                    let mut audio = voice(rate, 300);
                    audio.extend(waves(rate, ms, &[hertz], level));
                    assert_eq!(heard(rate, &audio).len(), 0, "it goes on: {hertz} Hz");
                    audio.extend(waves(rate, 300, &[], 0.0));
                    let beeps = heard(rate, &audio);
                    assert_eq!(beeps.len(), 1, "{rate:?} {hertz} Hz, {ms} ms, {level}: {beeps:?}");
                    assert!((beeps[0].hertz / hertz - 1.0).abs() < 0.03, "{hertz}: {beeps:?}");
                    assert!(beeps[0].length_ms.abs_diff(ms) <= 60, "{ms}: {beeps:?}");
                }
            }
        }
    }

    #[test]
    fn voices_keys_and_the_networks_tones_are_none() {
        for rate in RATES {
            let silence = waves(rate, 300, &[], 0.0);
            let mut others = vec![voice(rate, 8000), waves(rate, 3000, &[], 0.0)];
            for progress in [&[425.0][..], &[440.0, 480.0], &[480.0, 620.0], &[350.0, 440.0], &[450.0]] {
                others.push(waves(rate, 400, progress, 8000.0));
            }
            for key in "0123456789*#".chars() {
                let mut tone = vec![0; rate.hertz() as usize / 4];
                DualTone::of_digit(rate, Digit::from_char(key).unwrap()).fill(&mut tone);
                others.push(tone);
            }
            // Too short, too long, too soft, and one that glides.
            others.push(waves(rate, 80, &[1000.0], 8000.0));
            others.push(waves(rate, 3000, &[1000.0], 8000.0));
            others.push(waves(rate, 500, &[1000.0], 150.0));
            let glide = (0..rate.hertz() / 2).map(|place| {
                let at = place as f32 / rate.hertz() as f32;
                (8000.0 * (std::f32::consts::TAU * (800.0 + 500.0 * at) * at).sin()) as i16
            });
            others.push(glide.collect());
            for (place, mut audio) in others.into_iter().enumerate() {
                audio.extend(&silence);
                assert_eq!(heard(rate, &audio), [], "{rate:?}, sound {place}");
            }
        }
    }
}
