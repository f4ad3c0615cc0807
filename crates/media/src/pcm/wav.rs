//! Sound files as samples: WAV with PCM of 8 or 16 bits, mu-law or A-law, the channels mixed into one. Never opens a file and
//! takes no other format.

use super::resample::converted;
use crate::Rate;
use crate::codec::{Codec, PCMA, PCMU};
use std::time::Duration;

/// Longest sound read, in samples of its file: an hour at 48 kHz.
const MOST_SAMPLES: usize = 48_000 * 3600;
/// Samples a second that a file may have.
const RATES: std::ops::RangeInclusive<u32> = 4000..=192_000;

/// Why bytes are no sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Not a RIFF file with the chunks of a WAV.
    #[error("it is not a WAV file")]
    NotWav,
    /// A WAV in another format.
    #[error("it is not PCM of 8 or 16 bits, mu-law or A-law, in one or two channels")]
    Format,
    /// A rate that does not convert.
    #[error("{0} samples a second cannot be converted")]
    Rate(u32),
    /// Longer than an hour, or empty.
    #[error("it holds no sound, or more than an hour of it")]
    Length,
}

/// How a sample is written down.
#[derive(Debug, Clone, Copy)]
enum Coding {
    /// Whole numbers of 16 bits.
    Pcm16,
    /// Of 8 bits, and never below zero.
    Pcm8,
    /// As telephones send it.
    Telephone(&'static Codec),
}

impl Coding {
    /// Bytes of a sample.
    const fn width(self) -> usize {
        match self {
            Self::Pcm16 => 2,
            Self::Pcm8 | Self::Telephone(_) => 1,
        }
    }
}

/// A WAV file, its samples not yet looked at.
#[derive(Debug, Clone, Copy)]
pub struct Wav<'a> {
    coding: Coding,
    channels: usize,
    rate: u32,
    data: &'a [u8],
}

/// Reads a sound at the rate that is wanted. A file cut short is read as far as it goes.
///
/// # Errors
/// [`WavError`].
pub fn read_wav(bytes: &[u8], wanted: Rate) -> Result<Vec<i16>, WavError> {
    Wav::open(bytes)?.at(wanted)
}

impl<'a> Wav<'a> {
    /// Finds the samples of a file, and what they are.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, WavError> {
        if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
            return Err(WavError::NotWav);
        }
        let mut format = None;
        let mut rest = bytes.get(12..).unwrap_or_default();
        while let (Some(name), Some(length)) = (rest.get(..4), u32_at(rest, 4)) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let after = rest.get(8..).unwrap_or_default();
            let body = after.get(..length).unwrap_or(after);
            if name == b"fmt " {
                format = Some(body);
            } else if name == b"data" {
                return Self::of(format.ok_or(WavError::NotWav)?, body);
            }
            // Chunks begin at even places.
            rest = after.get(body.len() + body.len() % 2..).unwrap_or_default();
        }
        Err(WavError::NotWav)
    }

    fn of(format: &[u8], data: &'a [u8]) -> Result<Self, WavError> {
        let (Some(kind), Some(channels), Some(rate), Some(bits)) =
            (u16_at(format, 0), u16_at(format, 2), u32_at(format, 4), u16_at(format, 14))
        else {
            return Err(WavError::NotWav);
        };
        // 0xFFFE: the extensible form, which says at greater length what the samples are.
        let kind = if kind == 0xfffe { u16_at(format, 24).unwrap_or(1) } else { kind };
        let coding = match (kind, bits) {
            (1, 16) => Coding::Pcm16,
            (1, 8) => Coding::Pcm8,
            (6, 8) => Coding::Telephone(PCMA),
            (7, 8) => Coding::Telephone(PCMU),
            _ => return Err(WavError::Format),
        };
        if !matches!(channels, 1 | 2) {
            return Err(WavError::Format);
        }
        let wav = Self { coding, channels: usize::from(channels), rate, data };
        if !RATES.contains(&rate) {
            return Err(WavError::Rate(rate));
        }
        if (1..=MOST_SAMPLES).contains(&wav.frames()) { Ok(wav) } else { Err(WavError::Length) }
    }

    fn frames(&self) -> usize {
        self.data.len() / (self.coding.width() * self.channels)
    }

    /// Its samples a second.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        let frames = u64::try_from(self.frames()).unwrap_or(u64::MAX);
        Duration::from_millis(frames.saturating_mul(1000) / u64::from(self.rate.max(1)))
    }

    /// Its samples at this rate.
    ///
    /// # Errors
    /// [`WavError::Rate`].
    pub fn at(&self, wanted: Rate) -> Result<Vec<i16>, WavError> {
        converted(self.mono(), self.rate, wanted).map_err(|_| WavError::Rate(self.rate))
    }

    fn mono(&self) -> Vec<i16> {
        let width = self.coding.width() * self.channels;
        let whole = &self.data[..self.frames() * width];
        let samples: Vec<i16> = match self.coding {
            Coding::Pcm16 => whole.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect(),
            Coding::Pcm8 => whole.iter().map(|byte| (i16::from(*byte) - 128) * 256).collect(),
            Coding::Telephone(codec) => {
                let mut samples = vec![0; whole.len()];
                (codec.decode)(whole, &mut samples);
                samples
            }
        };
        if self.channels == 1 {
            return samples;
        }
        // Half of two samples is a sample.
        let mixed = samples.chunks_exact(2).map(|pair| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16);
        mixed.collect()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(channels: u16, rate: u32, bits: u16, pcm: &[i16]) -> Vec<u8> {
        let data: Vec<u8> = pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        file((1, bits), (channels, rate), &data)
    }

    fn file((kind, bits): (u16, u16), (channels, rate): (u16, u32), data: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        bytes.extend(b"LIST\x03\0\0\0abc\0fmt \x10\0\0\0");
        bytes.extend(kind.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend(rate.wrapping_mul(u32::from(channels * bits / 8)).to_le_bytes());
        bytes.extend((channels * bits / 8).to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn what_telephones_and_old_files_have_is_read() {
        let read = |coding, data: &[u8]| read_wav(&file(coding, (1, 8000), data), Rate::Narrow);
        assert_eq!(read((1, 8), &[128, 255, 0]), Ok(vec![0, 127 * 256, -128 * 256]));
        // G.711, tables 1a and 2a: the loudest of each sign, and silence.
        assert_eq!(read((7, 8), &[0xff, 0x80, 0x00]), Ok(vec![0, 32124, -32124]));
        assert_eq!(read((6, 8), &[0xd5, 0xaa, 0x2a]), Ok(vec![8, 32256, -32256]));
        assert_eq!(read((3, 32), &[0; 8]), Err(WavError::Format), "floating point");
        let both = read_wav(&file((1, 8), (2, 8000), &[128, 132, 128, 124, 9]), Rate::Narrow);
        assert_eq!(both, Ok(vec![512, -512]));
        let mut long = b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0\xfe\xff\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0".to_vec();
        long.extend(b"\x16\0\x08\0\x04\0\0\0\x07\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71data\x01\0\0\0\x80");
        assert_eq!(read_wav(&long, Rate::Narrow), Ok(vec![32124]), "the extensible form says mu-law");
    }

    #[test]
    fn any_rate_of_a_file_is_converted() {
        for rate in [4000, 7999, 8001, 11_025, 12_345, 22_050, 44_100, 47_999, 96_000, 176_400, 192_000] {
            for wanted in [Rate::Narrow, Rate::Wide] {
                let second = wav(1, rate, 16, &vec![1000; rate as usize]);
                let read = Wav::open(&second).expect("a file");
                assert_eq!(read.length(), Duration::from_secs(1));
                let samples = read.at(wanted).unwrap_or_else(|why| panic!("{rate}: {why}"));
                let off = samples.len().abs_diff(wanted.hertz() as usize);
                assert!(off * 100 <= samples.len(), "{rate} to {wanted:?}: {}", samples.len());
            }
        }
    }

    #[test]
    fn files_are_read_or_refused_by_name() {
        let rate = Rate::Narrow;
        assert_eq!(read_wav(&wav(1, 8000, 16, &[1, -2, 3]), rate), Ok(vec![1, -2, 3]));
        assert_eq!(read_wav(&wav(2, 8000, 16, &[100, 300, -4, -6, 9]), rate), Ok(vec![200, -5]));
        let half = read_wav(&wav(1, 16_000, 16, &[1000; 1600]), rate).expect("converted");
        assert!((790..=810).contains(&half.len()), "{}", half.len());
        for (bytes, error) in [
            (Vec::new(), WavError::NotWav),
            (b"ID3 mp3".to_vec(), WavError::NotWav),
            (wav(1, 8000, 24, &[1; 3]), WavError::Format),
            (wav(6, 8000, 16, &[1; 6]), WavError::Format),
            (wav(1, 8000, 16, &[]), WavError::Length),
            (wav(1, 3999, 16, &[1; 100]), WavError::Rate(3999)),
            (wav(1, 0, 16, &[1; 100]), WavError::Rate(0)),
        ] {
            assert_eq!(read_wav(&bytes, rate), Err(error));
        }
        // Every beginning of a file is refused or read, and none panics.
        let whole = wav(2, 8000, 16, &[7; 64]);
        for end in 0..whole.len() {
            drop(read_wav(&whole[..end], rate));
        }
    }
}
