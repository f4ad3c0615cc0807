//! Is somebody speaking? An energy gate with an adaptive noise floor, behind it a small model that tells voice from
//! other sound. The model runs only while the gate is open, so silence costs one pass over the samples.
//! Never decides what speech means: that is turn-taking, elsewhere.

use crate::pcm::mean_power;
use crate::{FRAME, Rate};
use std::time::{Duration, Instant};

/// Whether the detector runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// It runs on every frame.
    On,
    /// No speech events.
    Off,
}

/// How speech is told from noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeechSettings {
    /// Whether the detector runs.
    pub detection: Detection,
    /// Speech must last this long before it counts.
    pub min_speech: Duration,
    /// Silence must last this long before speech has stopped.
    pub hangover: Duration,
    /// Least level that can be speech, in dB relative to full scale.
    pub gate_dbfs: f32,
    /// How far above the noise floor speech must be, in dB.
    pub above_noise_db: f32,
    /// Least score of the model, 0 to 1.
    pub threshold: f32,
}

impl Default for SpeechSettings {
    fn default() -> Self {
        Self {
            detection: Detection::On,
            min_speech: Duration::from_millis(100),
            hangover: Duration::from_millis(200),
            gate_dbfs: -55.0,
            above_noise_db: 9.0,
            threshold: 0.6,
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeechChange {
    /// Speech began at that moment (it had to last before it counted).
    Started {
        /// When.
        at: Instant,
    },
    /// Speech ended at that moment (the hangover is over since).
    Stopped {
        /// When.
        at: Instant,
        /// How long it lasted.
        lasted: Duration,
    },
}

/// Samples of one step of the model: 16 ms at 16 kHz.
const STEP: usize = 256;
/// Frames without voice inside the first words that do not start the count over.
const GAPS: u32 = 3;
/// Once speaking, quieter ends of words still count.
const HYSTERESIS: f32 = 0.2;
/// The model's score rises over some frames at an onset. Frames above this share of the threshold count towards the
/// least duration, once the threshold itself is met.
const RISING: f32 = 0.5;
/// Level at which the model hears quiet callers: -26 dBFS, the nominal level of telephone speech.
const NOMINAL: f32 = 2.5e-3;
/// Most amplification for the model; more would only raise the noise of the codec.
const MOST_GAIN: f32 = 6.0;
/// The noise floor is never thought lower than -75 dBFS: quantisation noise is no floor.
const LEAST_FLOOR: f32 = 3.2e-8;
/// Rise of the floor per frame: one decibel a second.
const FLOOR_RISE: f32 = 1.0046;
/// Below this score a frame is certainly no voice...
const NOISE_SCORE: f32 = 0.3;
/// ...and after half a second of such frames neither are the next ones (an onset takes a few frames to be noticed).
const NOISE_FRAMES: u32 = 25;
/// After this many frames with the gate closed the model's memory is of no more use.
const FORGET_FRAMES: u32 = 10;

#[derive(Debug, Clone, Copy)]
enum State {
    Quiet { since: Option<Instant>, voiced: Duration, gaps: u32 },
    Speaking { since: Instant, last_voiced: Instant },
}

const QUIET: State = State::Quiet { since: None, voiced: Duration::ZERO, gaps: 0 };

/// The detector of one leg.
pub struct SpeechDetector {
    settings: SpeechSettings,
    gate: f32,
    above_noise: f32,
    rate: Rate,
    floor: f32,
    /// Frames since the gate was open.
    closed_for: u32,
    state: State,
    model: Box<earshot::Detector>,
    /// Audio at 16 kHz waiting for a whole step of the model.
    step: [i16; STEP],
    filled: usize,
    upsampler: Doubler,
    /// The frame before: the model hears it when the gate opens, so that it does not miss the onset.
    before: [i16; 320],
    score: f32,
    /// Frames in a row that the model took for noise.
    noise_for: u32,
    /// Level of what passed the gate lately, for the model's amplification.
    level: f32,
}

/// What one frame is, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not voice.
    Other,
    /// Perhaps the onset of voice.
    Rising,
    /// Voice.
    Voice,
}

impl SpeechDetector {
    /// A detector that has heard nothing.
    pub fn new(rate: Rate, settings: SpeechSettings) -> Self {
        Self {
            settings,
            gate: 10_f32.powf(settings.gate_dbfs / 10.0),
            above_noise: 10_f32.powf(settings.above_noise_db / 10.0),
            rate,
            floor: LEAST_FLOOR,
            closed_for: FORGET_FRAMES,
            state: QUIET,
            model: Box::default(),
            step: [0; STEP],
            filled: 0,
            upsampler: Doubler::default(),
            before: [0; 320],
            score: 0.0,
            noise_for: 0,
            level: NOMINAL,
        }
    }

    /// Takes other settings; what was heard so far stays.
    pub fn configure(&mut self, settings: SpeechSettings) {
        self.settings = settings;
        self.gate = 10_f32.powf(settings.gate_dbfs / 10.0);
        self.above_noise = 10_f32.powf(settings.above_noise_db / 10.0);
    }

    /// One frame of audio that ends at `end`.
    pub fn frame(&mut self, end: Instant, samples: &[i16]) -> Option<SpeechChange> {
        if self.settings.detection == Detection::Off {
            return None;
        }
        let kind = self.kind(samples);
        let kept = samples.len().min(self.before.len());
        self.before[..kept].copy_from_slice(&samples[..kept]);
        self.advance(end, kind)
    }

    /// One frame in which nothing real was heard: silence of a paused sender, or concealment. Never begins speech.
    pub fn gap(&mut self, end: Instant) -> Option<SpeechChange> {
        if self.settings.detection == Detection::Off {
            return None;
        }
        self.closed_for = self.closed_for.saturating_add(1);
        match &mut self.state {
            // Lost packets inside the first words neither count nor discount.
            State::Quiet { gaps, .. } if *gaps == 0 => {
                *gaps = 1;
                None
            }
            _ => self.advance(end, Kind::Other),
        }
    }

    fn kind(&mut self, samples: &[i16]) -> Kind {
        let power = mean_power(samples);
        let open = power > self.gate && power > self.floor * self.above_noise;
        if power < self.floor {
            self.floor = (self.floor + 0.2 * (power - self.floor)).max(LEAST_FLOOR);
        } else {
            self.floor *= FLOOR_RISE;
        }
        // Between syllables the gate closes for a moment; the model goes on so that its memory has no holes.
        let warm = self.closed_for < FORGET_FRAMES / 3;
        if !open && !warm {
            self.closed_for = self.closed_for.saturating_add(1);
            return Kind::Other;
        }
        if open {
            // Up at once, down over a second or two.
            self.level = power.max(self.level * 0.99);
        }
        if open && self.closed_for >= FORGET_FRAMES {
            self.model.reset();
            self.filled = 0;
            self.upsampler = Doubler::default();
            let before = self.before;
            self.listen(&before[..samples.len().min(before.len())]);
        }
        self.closed_for = if open { 0 } else { self.closed_for + 1 };
        self.listen(samples);
        self.noise_for = if self.score < NOISE_SCORE { self.noise_for.saturating_add(1) } else { 0 };
        if self.noise_for >= NOISE_FRAMES {
            // A noisy place: the floor follows, the gate closes, the model may rest.
            self.floor += 0.05 * (power - self.floor);
        }
        let speaking = matches!(self.state, State::Speaking { .. });
        let threshold = self.settings.threshold - if speaking { HYSTERESIS } else { 0.0 };
        match self.score {
            _ if !open => Kind::Other,
            score if score >= threshold => Kind::Voice,
            score if score >= threshold * RISING => Kind::Rising,
            _ => Kind::Other,
        }
    }

    /// Feeds the model and keeps the best score of the steps completed.
    fn listen(&mut self, samples: &[i16]) {
        let mut best: Option<f32> = None;
        let gain = (NOMINAL / self.level).sqrt().clamp(1.0, MOST_GAIN);
        for sample in samples {
            let sample = f32::from(*sample) * gain;
            let pair = match self.rate {
                Rate::Narrow => self.upsampler.push(sample),
                Rate::Wide => [sample as i16; 2],
            };
            let fresh = match self.rate {
                Rate::Narrow => &pair[..],
                Rate::Wide => &pair[..1],
            };
            for sample in fresh {
                self.step[self.filled] = *sample;
                self.filled += 1;
                if self.filled == STEP {
                    self.filled = 0;
                    let score = self.model.predict_i16(&self.step);
                    best = Some(best.map_or(score, |b| b.max(score)));
                }
            }
        }
        if let Some(best) = best {
            self.score = best;
        }
    }

    fn advance(&mut self, end: Instant, kind: Kind) -> Option<SpeechChange> {
        match &mut self.state {
            State::Quiet { since, voiced, gaps } if kind != Kind::Other => {
                let began = *since.get_or_insert(end.checked_sub(FRAME).unwrap_or(end));
                *voiced += FRAME;
                *gaps = 0;
                if *voiced < self.settings.min_speech || kind != Kind::Voice {
                    return None;
                }
                self.state = State::Speaking { since: began, last_voiced: end };
                Some(SpeechChange::Started { at: began })
            }
            State::Quiet { gaps, .. } => {
                *gaps += 1;
                if *gaps > GAPS {
                    self.state = QUIET;
                }
                None
            }
            State::Speaking { last_voiced, .. } if kind == Kind::Voice => {
                *last_voiced = end;
                None
            }
            State::Speaking { since, last_voiced } => {
                let (since, at) = (*since, *last_voiced);
                if end.saturating_duration_since(at) < self.settings.hangover {
                    return None;
                }
                self.state = QUIET;
                Some(SpeechChange::Stopped { at, lasted: at.saturating_duration_since(since) })
            }
        }
    }
}

/// Twice the sampling rate: every other sample is interpolated by an eight-tap half-band filter.
#[derive(Debug, Clone, Default)]
struct Doubler {
    past: [f32; 8],
}

impl Doubler {
    /// Windowed sinc at the half positions; the other half mirrors it. Sums to one half.
    const TAPS: [f32; 4] = [0.6105, -0.1516, 0.0547, -0.0136];

    fn push(&mut self, sample: f32) -> [i16; 2] {
        self.past.rotate_left(1);
        self.past[7] = sample;
        let p = &self.past;
        let between = Self::TAPS[0] * (p[3] + p[4])
            + Self::TAPS[1] * (p[2] + p[5])
            + Self::TAPS[2] * (p[1] + p[6])
            + Self::TAPS[3] * (p[0] + p[7]);
        [p[3] as i16, between as i16]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        start: Instant,
        frames: u32,
        detector: SpeechDetector,
        changes: Vec<SpeechChange>,
    }

    impl Bench {
        fn new() -> Self {
            let detector = SpeechDetector::new(Rate::Narrow, SpeechSettings::default());
            Self { start: Instant::now(), frames: 0, detector, changes: Vec::new() }
        }

        fn hear(&mut self, samples: &[i16]) {
            for frame in samples.chunks_exact(160) {
                self.frames += 1;
                let change = self.detector.frame(self.start + FRAME * self.frames, frame);
                self.changes.extend(change);
            }
        }
    }

    fn noise(samples: usize, amplitude: f32) -> Vec<i16> {
        let mut state = 99_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        (0..samples).map(|_| (next() * amplitude) as i16).collect()
    }

    /// Harmonics of a falling pitch under moving formants, a quarter second a syllable: what the model takes for voice.
    fn voice(samples: usize) -> Vec<i16> {
        let mut phase = 0.0_f32;
        let sample = |i: usize| {
            let t = i as f32 / 8000.0;
            let pitch = 130.0 + 25.0 * (t * 5.0).sin();
            phase = (phase + pitch / 8000.0) % 1.0;
            let formants = [[700.0, 1200.0], [350.0, 2000.0], [500.0, 1000.0]][(t * 4.0) as usize % 3];
            let harmonic = |k: usize| {
                let hertz = pitch * k as f32;
                let near = |f: f32| 1.0 / (1.0 + ((hertz - f) / 120.0).powi(2));
                let gain = near(formants[0]) + 0.5 * near(formants[1]) + 0.02;
                gain * (std::f32::consts::TAU * phase * k as f32).sin()
            };
            let sum: f32 = (1..=24).map(harmonic).sum();
            let syllable = 0.55 - 0.45 * (t * 4.0 * std::f32::consts::TAU).cos();
            (sum * syllable * 5000.0) as i16
        };
        (0..samples).map(sample).collect()
    }

    #[test]
    fn a_voice_is_noticed_soon_and_its_end_after_the_hangover() {
        let mut bench = Bench::new();
        bench.hear(&noise(16_000, 30.0));
        assert_eq!(bench.changes, []);
        bench.hear(&voice(16_000));
        bench.hear(&noise(16_000, 30.0));
        let [SpeechChange::Started { at }, SpeechChange::Stopped { at: end, .. }] = bench.changes[..] else {
            panic!("{:?}", bench.changes);
        };
        let began = at.saturating_duration_since(bench.start);
        let ended = end.saturating_duration_since(bench.start);
        assert!((1900..2300).contains(&began.as_millis()), "{began:?}");
        assert!((3700..4150).contains(&ended.as_millis()), "{ended:?}");
    }

    #[test]
    fn silence_and_steady_noise_are_no_speech() {
        for amplitude in [0.0, 10.0, 300.0, 3000.0] {
            let mut bench = Bench::new();
            bench.hear(&noise(80_000, amplitude));
            assert_eq!(bench.changes, [], "{amplitude}");
            assert!(bench.detector.closed_for > 100, "{amplitude}: the model still listens to noise");
        }
    }

    #[test]
    fn a_voice_is_noticed_in_a_noisy_place() {
        let mut bench = Bench::new();
        let mut audio = noise(80_000, 400.0);
        crate::pcm::mix_into(&mut audio[40_000..56_000], &voice(16_000), crate::pcm::Gain::UNITY);
        bench.hear(&audio);
        let [SpeechChange::Started { at }, SpeechChange::Stopped { at: end, .. }] = bench.changes[..] else {
            panic!("{:?}", bench.changes);
        };
        let began = at.saturating_duration_since(bench.start).as_millis();
        let ended = end.saturating_duration_since(bench.start).as_millis();
        assert!((4900..5300).contains(&began) && (6600..7300).contains(&ended), "{began} {ended}");
    }

    #[test]
    fn a_click_is_no_speech_and_gaps_never_begin_any() {
        let mut bench = Bench::new();
        bench.hear(&[0; 1600]);
        bench.hear(&[12_000; 160]);
        bench.hear(&[0; 1600]);
        for i in 0..100 {
            let change = bench.detector.gap(bench.start + FRAME * (bench.frames + i));
            bench.changes.extend(change);
        }
        assert_eq!(bench.changes, []);
    }

    #[test]
    fn switched_off_it_says_nothing() {
        let settings = SpeechSettings { detection: Detection::Off, ..SpeechSettings::default() };
        let mut bench = Bench::new();
        bench.detector.configure(settings);
        bench.hear(&voice(16_000));
        assert_eq!(bench.changes, []);
    }
}
