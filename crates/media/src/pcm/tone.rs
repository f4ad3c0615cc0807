//! Two sine waves at once: key tones for far ends that take no telephone events (ITU-T Q.23).

use crate::{Digit, Rate};

/// Amplitude of each wave: -13 dBFS, about what telephones send.
const AMPLITUDE: f32 = 0.22 * 32_767.0;

/// A generator; goes on where it stopped.
#[derive(Debug, Clone)]
pub struct DualTone {
    step: [f32; 2],
    phase: [f32; 2],
}

impl DualTone {
    /// The sum of two frequencies in hertz.
    pub fn new(rate: Rate, low: f32, high: f32) -> Self {
        let step = |hertz: f32| std::f32::consts::TAU * hertz / rate.hertz() as f32;
        Self { step: [step(low), step(high)], phase: [0.0; 2] }
    }

    /// The tone of a key.
    pub fn of_digit(rate: Rate, digit: Digit) -> Self {
        const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
        const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
        let (row, column) = match digit.as_char() {
            '1' => (0, 0),
            '2' => (0, 1),
            '3' => (0, 2),
            'A' => (0, 3),
            '4' => (1, 0),
            '5' => (1, 1),
            '6' => (1, 2),
            'B' => (1, 3),
            '7' => (2, 0),
            '8' => (2, 1),
            '9' => (2, 2),
            'C' => (2, 3),
            '*' => (3, 0),
            '0' => (3, 1),
            '#' => (3, 2),
            _ => (3, 3),
        };
        Self::new(rate, ROWS[row], COLUMNS[column])
    }

    /// Overwrites `samples` with the tone.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            *sample = ((self.phase[0].sin() + self.phase[1].sin()) * AMPLITUDE) as i16;
            for (phase, step) in self.phase.iter_mut().zip(self.step) {
                *phase = (*phase + step) % std::f32::consts::TAU;
            }
        }
    }
}
