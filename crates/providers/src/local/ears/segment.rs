//! Cuts the caller's sound into stretches of speech. A value you push `(input)` into and take orders out of; it knows
//! no model, no clock and no task. Never holds more than [`LONGEST`] of sound.

use super::moonshine::RATE;
use std::collections::VecDeque;

/// Sound kept from before speech was noticed: detectors are late by about a syllable.
pub(crate) const PRE_ROLL: usize = RATE * 3 / 10;
/// New sound after which the growing stretch is read again.
pub(crate) const GUESS_EVERY: usize = RATE * 32 / 100;
/// A stretch is cut when it gets this long; the recogniser breaks on more than 20 s.
pub(crate) const LONGEST: usize = RATE * 18;
/// The cut is made at the quietest point of this much of its end.
const CUT_WITHIN: usize = RATE * 5;
/// Width of "the quietest point".
const QUIET_SPAN: usize = RATE / 10;
/// One step of the energy measure: 10 ms.
const STEP: usize = RATE / 100;
/// Least speech in a stretch: a click or a knock is shorter.
const LEAST_SPEECH_STEPS: usize = 8;
/// Mean power below which a step is silence whatever the line's noise: about -52 dB of full scale.
const SILENCE: f32 = 6e-6;
/// Without a detector's word: steps above the noise that begin a stretch.
const OWN_START_STEPS: usize = 8;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Order {
    /// Read this much as a guess.
    Guess(Vec<f32>),
    /// Read this for good; `ends` tells whether the speaker paused after it, or the stretch was merely too long.
    Final {
        /// The sound.
        audio: Vec<f32>,
        /// Whether the speaker paused.
        ends: bool,
    },
    /// The stretch held no speech after all.
    Nothing,
}

/// The cutter of one call.
#[derive(Debug)]
pub(crate) struct Segmenter {
    before: VecDeque<f32>,
    speech: Option<Stretch>,
    /// Whether somebody else's detector has ever spoken; until then the energy tells.
    told: bool,
    own: OwnDetector,
}

#[derive(Debug)]
struct Stretch {
    audio: Vec<f32>,
    guessed_at: usize,
}

impl Segmenter {
    /// `silence_ms` is used only while nobody tells when speech begins and ends.
    pub(crate) fn new(silence_ms: u64) -> Self {
        let silent_steps = usize::try_from(silence_ms.clamp(200, 3000) / 10).unwrap_or(50);
        Self {
            before: VecDeque::with_capacity(PRE_ROLL),
            speech: None,
            told: false,
            own: OwnDetector::new(silent_steps),
        }
    }

    /// The detector heard speech begin.
    pub(crate) fn started(&mut self) {
        self.told = true;
        self.open();
    }

    /// The detector heard silence.
    pub(crate) fn stopped(&mut self) -> Option<Order> {
        self.told = true;
        self.close()
    }

    /// More sound. `None` while there is nothing to do.
    pub(crate) fn push(&mut self, audio: &[f32]) -> Option<Order> {
        let turned = if self.told { None } else { self.own.push(audio) };
        if turned == Some(Turned::On) {
            self.open();
        }
        let Some(stretch) = &mut self.speech else {
            self.before.extend(audio);
            let surplus = self.before.len().saturating_sub(PRE_ROLL);
            self.before.drain(..surplus);
            return None;
        };
        stretch.audio.extend_from_slice(audio);
        if turned == Some(Turned::Off) {
            return self.close();
        }
        if stretch.audio.len() >= LONGEST {
            let cut = quietest(&stretch.audio);
            let rest = stretch.audio.split_off(cut);
            let audio = std::mem::replace(&mut stretch.audio, rest);
            stretch.guessed_at = stretch.audio.len();
            return Some(Order::Final { audio, ends: false });
        }
        if stretch.audio.len() < stretch.guessed_at + GUESS_EVERY {
            return None;
        }
        stretch.guessed_at = stretch.audio.len();
        has_speech(&stretch.audio).then(|| Order::Guess(stretch.audio.clone()))
    }

    /// The call is over: what is left of the speech.
    pub(crate) fn finish(&mut self) -> Option<Order> {
        self.close()
    }

    fn open(&mut self) {
        if self.speech.is_none() {
            let audio: Vec<f32> = self.before.drain(..).collect();
            let guessed_at = audio.len();
            self.speech = Some(Stretch { audio, guessed_at });
        }
    }

    fn close(&mut self) -> Option<Order> {
        let audio = self.speech.take()?.audio;
        self.before.extend(&audio[audio.len().saturating_sub(PRE_ROLL / 3)..]);
        Some(if has_speech(&audio) { Order::Final { audio, ends: true } } else { Order::Nothing })
    }
}

/// Cuts a whole recording into stretches of at most [`LONGEST`], at quiet points.
pub(crate) fn stretches(mut audio: &[f32]) -> Vec<&[f32]> {
    let mut parts = Vec::new();
    while audio.len() > LONGEST {
        let (part, rest) = audio.split_at(quietest(&audio[..LONGEST]));
        parts.push(part);
        audio = rest;
    }
    parts.push(audio);
    parts.retain(|part| has_speech(part));
    parts
}

/// Whether enough of `audio` stands out of its own quietest parts. A hum, a click, or an empty line does not; the
/// recogniser would hear "you" in it.
pub(crate) fn has_speech(audio: &[f32]) -> bool {
    let powers: Vec<f32> = audio.chunks(STEP).map(power).collect();
    let mut sorted = powers.clone();
    sorted.sort_by(f32::total_cmp);
    let Some(noise) = sorted.get(sorted.len() / 10) else { return false };
    let peak = sorted.get(sorted.len() * 95 / 100).copied().unwrap_or_default();
    // Speech varies; steady noise stays within a few decibels of itself.
    let threshold = (noise * 4.0).max(SILENCE).min((peak * 0.05).max(SILENCE));
    let varied = peak > noise * 6.0 || *noise > SILENCE * 100.0;
    varied && powers.iter().filter(|power| **power > threshold).count() >= LEAST_SPEECH_STEPS
}

/// Where to cut a long stretch: the middle of the quietest tenth of a second near its end.
fn quietest(audio: &[f32]) -> usize {
    let from = audio.len().saturating_sub(CUT_WITHIN);
    let spots = (from..audio.len().saturating_sub(QUIET_SPAN)).step_by(STEP);
    // The latest of equally quiet points: the later the cut, the more the recogniser has to go by.
    let quiet =
        spots.rev().min_by(|a, b| power(&audio[*a..a + QUIET_SPAN]).total_cmp(&power(&audio[*b..b + QUIET_SPAN])));
    quiet.map_or(audio.len(), |spot| spot + QUIET_SPAN / 2).max(1)
}

fn power(audio: &[f32]) -> f32 {
    audio.iter().map(|sample| sample * sample).sum::<f32>() / audio.len().max(1) as f32
}

/// A change that the energy tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turned {
    On,
    Off,
}

/// An energy gate with a floor that follows the line's noise; only for callers who bring no detector.
#[derive(Debug)]
struct OwnDetector {
    pending: Vec<f32>,
    floor: f32,
    loud: usize,
    quiet: usize,
    on: bool,
    silent_steps: usize,
}

impl OwnDetector {
    const fn new(silent_steps: usize) -> Self {
        Self { pending: Vec::new(), floor: SILENCE, loud: 0, quiet: 0, on: false, silent_steps }
    }

    fn push(&mut self, audio: &[f32]) -> Option<Turned> {
        self.pending.extend_from_slice(audio);
        let whole = self.pending.len() / STEP * STEP;
        let steps: Vec<f32> = self.pending.drain(..whole).collect();
        let before = self.on;
        for step in steps.chunks(STEP) {
            self.step(power(step));
        }
        match (before, self.on) {
            (false, true) => Some(Turned::On),
            (true, false) => Some(Turned::Off),
            (false, false) | (true, true) => None,
        }
    }

    fn step(&mut self, power: f32) {
        let loud = power > self.floor * 8.0 && power > SILENCE * 4.0;
        let speed = if power < self.floor {
            0.2
        } else if self.on {
            0.0005
        } else {
            0.02
        };
        self.floor = (self.floor + (power - self.floor) * speed).max(SILENCE / 4.0);
        if loud {
            self.loud += 1;
            self.quiet = 0;
        } else {
            self.quiet += 1;
            if self.quiet > 3 {
                self.loud = 0;
            }
        }
        if !self.on && self.loud >= OWN_START_STEPS {
            self.on = true;
        } else if self.on && self.quiet >= self.silent_steps {
            self.on = false;
            self.loud = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Syllables: bursts of tone with pauses between them.
    fn speech(seconds: f32) -> Vec<f32> {
        (0..(seconds * RATE as f32) as usize)
            .map(|n| {
                let t = n as f32 / RATE as f32;
                let envelope = (t * 25.0).sin().max(0.05);
                envelope * 0.3 * (t * 1200.0).sin()
            })
            .collect()
    }

    fn silence(seconds: f32) -> Vec<f32> {
        vec![0.0; (seconds * RATE as f32) as usize]
    }

    fn push_all(segmenter: &mut Segmenter, audio: &[f32]) -> Vec<Order> {
        audio.chunks(320).filter_map(|chunk| segmenter.push(chunk)).collect()
    }

    #[test]
    fn a_stretch_has_its_pre_roll_its_guesses_and_its_end() {
        let mut segmenter = Segmenter::new(500);
        segmenter.started();
        segmenter.stopped();
        assert!(push_all(&mut segmenter, &silence(1.0)).is_empty());
        segmenter.started();
        let guesses = push_all(&mut segmenter, &speech(1.0));
        assert_eq!(guesses.len(), 3, "every 320 ms");
        let Some(Order::Final { audio, ends: true }) = segmenter.stopped() else { panic!("no final") };
        assert_eq!(audio.len(), PRE_ROLL + RATE);
        assert_eq!(segmenter.stopped(), None);
    }

    #[test]
    fn a_click_and_an_empty_line_are_nothing() {
        let mut segmenter = Segmenter::new(500);
        segmenter.started();
        let mut click = silence(0.5);
        click[100..400].fill(0.5);
        push_all(&mut segmenter, &click);
        assert_eq!(segmenter.stopped(), Some(Order::Nothing));
        segmenter.started();
        let hiss: Vec<f32> =
            (0..RATE as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as f32 / 65536.0 * 0.01 - 0.005).collect();
        push_all(&mut segmenter, &hiss);
        assert_eq!(segmenter.stopped(), Some(Order::Nothing));
    }

    #[test]
    fn a_long_speech_is_cut_at_a_quiet_point() {
        let mut segmenter = Segmenter::new(500);
        segmenter.started();
        let mut audio = speech(15.0);
        audio.extend(silence(0.3));
        audio.extend(speech(5.0));
        let orders = push_all(&mut segmenter, &audio);
        let Some(Order::Final { audio, ends: false }) =
            orders.iter().find(|order| matches!(order, Order::Final { .. }))
        else {
            panic!("no cut")
        };
        assert!((15 * RATE..15 * RATE + RATE * 3 / 10).contains(&audio.len()), "{}", audio.len());
        assert!(matches!(segmenter.finish(), Some(Order::Final { ends: true, .. })));
    }

    #[test]
    fn without_a_detector_the_energy_tells() {
        let mut segmenter = Segmenter::new(400);
        let mut audio = silence(0.5);
        audio.extend(speech(1.0));
        audio.extend(silence(1.0));
        let orders = push_all(&mut segmenter, &audio);
        assert!(matches!(orders.last(), Some(Order::Final { ends: true, .. })), "{}", orders.len());
    }

    #[test]
    fn a_recording_is_cut_below_the_limit_and_keeps_its_sound() {
        let audio = speech(50.0);
        let parts = stretches(&audio);
        assert!(parts.iter().all(|part| part.len() <= LONGEST));
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), audio.len());
        assert!(stretches(&silence(30.0)).is_empty());
        assert!(stretches(&[]).is_empty());
    }
}
