//! Twenty milliseconds of mono PCM, held inline. Never touches the heap, so frames can move on the tick for free.

use std::fmt;
use std::time::Duration;

/// The length of every frame inside the server.
pub const FRAME: Duration = Duration::from_millis(20);

/// Samples in the longest frame (20 ms at 16 kHz).
const MAX_SAMPLES: usize = 320;

/// Sampling rate of a leg. One rate per leg; conversion happens at its edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rate {
    /// 8000 Hz: the telephone.
    Narrow,
    /// 16000 Hz: wideband codecs and browsers.
    Wide,
}

impl Rate {
    /// Samples in a second.
    pub const fn hertz(self) -> u32 {
        match self {
            Self::Narrow => 8000,
            Self::Wide => 16_000,
        }
    }

    /// Samples in one 20 ms frame.
    pub const fn frame_samples(self) -> usize {
        match self {
            Self::Narrow => 160,
            Self::Wide => 320,
        }
    }

    /// Whole samples in `span`, rounded down.
    pub fn samples_in(self, span: Duration) -> usize {
        let samples = span.as_micros().saturating_mul(u128::from(self.hertz())) / 1_000_000;
        usize::try_from(samples).unwrap_or(usize::MAX)
    }

    /// How long `samples` last.
    pub const fn duration_of(self, samples: u64) -> Duration {
        let hertz = self.hertz() as u64;
        let micros = (samples % hertz) * 1_000_000 / hertz;
        Duration::from_secs(samples / hertz).saturating_add(Duration::from_micros(micros))
    }
}

/// Up to 20 ms of mono samples.
#[derive(Clone, Copy)]
pub struct Frame {
    samples: [i16; MAX_SAMPLES],
    len: u16,
}

impl Frame {
    /// A whole frame of silence.
    pub const fn silent(rate: Rate) -> Self {
        Self { samples: [0; MAX_SAMPLES], len: rate.frame_samples() as u16 }
    }

    /// A frame holding `samples`, cut at 320.
    pub fn from_samples(samples: &[i16]) -> Self {
        let len = samples.len().min(MAX_SAMPLES);
        let mut frame = Self { samples: [0; MAX_SAMPLES], len: len as u16 };
        frame.samples[..len].copy_from_slice(&samples[..len]);
        frame
    }

    /// The samples.
    pub fn samples(&self) -> &[i16] {
        &self.samples[..usize::from(self.len)]
    }

    /// The samples, to be changed in place.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..usize::from(self.len)]
    }

    /// Number of samples.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the frame holds no samples at all.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} samples)", self.len)
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.samples() == other.samples()
    }
}

impl Eq for Frame {}

/// What crossed a leg in the same 20 ms, both ways. The recorder's food.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePair {
    /// From the far end, after jitter buffer and concealment.
    pub heard: Frame,
    /// What was really put into the packet that left in this tick (silence when nothing left).
    pub sent: Frame,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_durations_agree() {
        for rate in [Rate::Narrow, Rate::Wide] {
            assert_eq!(rate.samples_in(FRAME), rate.frame_samples());
            assert_eq!(rate.duration_of(rate.frame_samples() as u64), FRAME);
            assert_eq!(rate.duration_of(u64::from(rate.hertz()) * 3600), Duration::from_secs(3600));
        }
    }

    #[test]
    fn an_overlong_slice_is_cut() {
        assert_eq!(Frame::from_samples(&[7; 1000]).len(), MAX_SAMPLES);
    }
}
