//! Sounds of places, made by arithmetic: the same every time, and seamless when repeated. Never reads a recording.

use super::DualTone;
use crate::Rate;

/// Length of a loop: long enough that nobody hears it come round.
const LOOP_SECONDS: usize = 20;
/// The end fades into the beginning over this long.
const SEAM_SECONDS: usize = 1;

/// A place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Air, keys being typed far away, now and then a voice without words.
    Office,
    /// Many voices without words, now and then a cup.
    Cafe,
}

/// The sound of a place at about -26 dB of full scale, to be repeated for ever.
pub fn ambience(place: Place, rate: Rate) -> Vec<i16> {
    let hertz = rate.hertz() as usize;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ place as u64);
    let mut sound = vec![0.0_f32; (LOOP_SECONDS + SEAM_SECONDS) * hertz];
    match place {
        Place::Office => {
            air(&mut sound, 0.6, &mut dice);
            voices(&mut sound, (2, 0.25), hertz, &mut dice);
            knocks(&mut sound, (90, 1800.0, 0.5), hertz, &mut dice);
        }
        Place::Cafe => {
            air(&mut sound, 0.25, &mut dice);
            voices(&mut sound, (9, 0.5), hertz, &mut dice);
            knocks(&mut sound, (14, 2900.0, 0.9), hertz, &mut dice);
        }
    }
    levelled(&looped(sound, SEAM_SECONDS * hertz))
}

/// The three rising tones that tell callers everywhere that something does not work (ITU-T E.180, the special information
/// tone), twice: an apology for want of words.
pub fn information_tone(rate: Rate) -> Vec<i16> {
    let third = rate.hertz() as usize / 3;
    let mut sound = Vec::new();
    for _ in 0..2 {
        for hertz in [950.0, 1400.0, 1800.0] {
            let mut tone = vec![0; third / 2];
            DualTone::new(rate, hertz, hertz).fill(&mut tone);
            sound.extend(tone.iter().map(|sample| sample / 3));
        }
        sound.extend(std::iter::repeat_n(0, third));
    }
    sound
}

/// Noise that falls with frequency, as of an air conditioner.
fn air(sound: &mut [f32], loud: f32, dice: &mut Dice) {
    let (mut slow, mut slower) = (0.0, 0.0);
    for sample in sound {
        slow += (dice.roll() - 0.5 - slow) * 0.2;
        slower += (slow - slower) * 0.2;
        *sample += slower * loud * 4.0;
    }
}

/// People too far away to be understood: two resonances of a pulsing throat, in syllables, with pauses.
fn voices(sound: &mut [f32], (many, loud): (u32, f32), hertz: usize, dice: &mut Dice) {
    let rate = hertz as f32;
    for _ in 0..many {
        let pitch = 90.0 + dice.roll() * 120.0;
        let (mut phase, mut states, mut envelope) = (0.0_f32, [[0.0_f32; 2]; 2], 0.0_f32);
        let (mut target, mut formants, mut left) = (0.0_f32, [500.0_f32, 1500.0], 0_usize);
        for sample in &mut *sound {
            if left == 0 {
                left = (rate * (0.08 + dice.roll() * 0.25)) as usize;
                // Half of the time they listen.
                target = if dice.roll() < 0.5 { 0.3 + dice.roll() * 0.7 } else { 0.0 };
                formants = [300.0 + dice.roll() * 500.0, 900.0 + dice.roll() * 900.0];
            }
            left -= 1;
            envelope += (target - envelope) * 60.0 / rate;
            phase += pitch / rate;
            let pulse = if phase >= 1.0 { 1.0 } else { (dice.roll() - 0.5) * 0.2 };
            phase = phase.fract();
            for (state, formant) in states.iter_mut().zip(formants) {
                let angle = std::f32::consts::TAU * formant / rate;
                let out = pulse + 2.0 * 0.95 * angle.cos() * state[0] - 0.9025 * state[1];
                *state = [out, state[0]];
                *sample += out * envelope * loud * 0.1;
            }
        }
    }
}

/// Short rings: keys, cups.
fn knocks(sound: &mut [f32], (many, pitch, loud): (u32, f32, f32), hertz: usize, dice: &mut Dice) {
    for _ in 0..many {
        let at = (dice.roll() * sound.len() as f32) as usize;
        let (pitch, loud) = (pitch * (0.8 + dice.roll() * 0.4), loud * (0.2 + dice.roll() * 0.8));
        for (n, sample) in sound.iter_mut().skip(at).take(hertz / 20).enumerate() {
            let t = n as f32 / hertz as f32;
            *sample += (std::f32::consts::TAU * pitch * t).sin() * (-t * 180.0).exp() * loud;
        }
    }
}

/// Lays what exceeds the loop over its beginning.
fn looped(mut sound: Vec<f32>, seam: usize) -> Vec<f32> {
    let tail = sound.split_off(sound.len() - seam);
    for (n, (sample, over)) in sound.iter_mut().zip(tail).enumerate() {
        let fade = n as f32 / seam as f32;
        *sample = *sample * fade.sqrt() + over * (1.0 - fade).sqrt();
    }
    sound
}

fn levelled(sound: &[f32]) -> Vec<i16> {
    let power = sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32;
    let gain = 32_767.0 * 0.05 / power.sqrt().max(1e-6);
    // A cast from float to integer saturates.
    sound.iter().map(|sample| (sample * gain) as i16).collect()
}

/// xorshift64*, for noise that is the same every time.
struct Dice(u64);

impl Dice {
    /// 0 to 1.
    fn roll(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1_u64 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::level_dbfs;

    #[test]
    fn places_are_soft_steady_and_seamless() {
        for place in [Place::Office, Place::Cafe] {
            let sound = ambience(place, Rate::Narrow);
            assert_eq!(sound.len(), LOOP_SECONDS * 8000);
            assert_eq!(sound, ambience(place, Rate::Narrow), "the same every time");
            assert!((level_dbfs(&sound) + 26.0).abs() < 1.0, "{place:?}: {}", level_dbfs(&sound));
            for second in sound.chunks(8000) {
                assert!((-45.0..-15.0).contains(&level_dbfs(second)), "{place:?}: {}", level_dbfs(second));
            }
            let step = |a: i16, b: i16| i32::from(a).abs_diff(i32::from(b));
            let typical = sound.windows(2).map(|pair| step(pair[0], pair[1])).max().expect("long enough");
            assert!(step(sound[sound.len() - 1], sound[0]) <= typical, "{place:?} clicks when it comes round");
        }
        assert_ne!(ambience(Place::Office, Rate::Narrow), ambience(Place::Cafe, Rate::Narrow));
    }

    #[test]
    fn the_information_tone_is_short() {
        let tone = information_tone(Rate::Narrow);
        assert!((8000..20_000).contains(&tone.len()) && level_dbfs(&tone) > -30.0, "{}", tone.len());
    }
}
