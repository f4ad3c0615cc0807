//! Sound files as samples: PCM WAV of 16 bits, the channels mixed into one. Never opens a file and takes no other format.

use super::Resampler;
use crate::Rate;

/// Longest sound read, in samples of its file: an hour at 48 kHz.
const MOST_SAMPLES: usize = 48_000 * 3600;

/// Why bytes are no sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Not a RIFF file with the chunks of a WAV.
    #[error("it is not a WAV file")]
    NotWav,
    /// A WAV in another format.
    #[error("it is not PCM of 16 bits in one or two channels")]
    Format,
    /// A rate that does not convert.
    #[error("{0} samples a second cannot be converted")]
    Rate(u32),
    /// Longer than an hour, or empty.
    #[error("it holds no sound, or more than an hour of it")]
    Length,
}

/// Reads a sound at the rate that is wanted. A file cut short is read as far as it goes.
///
/// # Errors
/// [`WavError`].
pub fn read_wav(bytes: &[u8], wanted: Rate) -> Result<Vec<i16>, WavError> {
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
            return samples(format.ok_or(WavError::NotWav)?, body, wanted);
        }
        // Chunks begin at even places.
        rest = after.get(body.len() + body.len() % 2..).unwrap_or_default();
    }
    Err(WavError::NotWav)
}

fn samples(format: &[u8], data: &[u8], wanted: Rate) -> Result<Vec<i16>, WavError> {
    let (Some(kind), Some(channels), Some(rate), Some(bits)) =
        (u16_at(format, 0), u16_at(format, 2), u32_at(format, 4), u16_at(format, 14))
    else {
        return Err(WavError::NotWav);
    };
    // 0xFFFE: the extensible form, whose samples are the same when they are of 16 bits.
    if !matches!(kind, 1 | 0xfffe) || bits != 16 || !matches!(channels, 1 | 2) {
        return Err(WavError::Format);
    }
    let width = 2 * usize::from(channels);
    if data.len() < width || data.len() / width > MOST_SAMPLES {
        return Err(WavError::Length);
    }
    let mono: Vec<i16> = data
        .chunks_exact(width)
        .map(|frame| {
            let sum: i32 = frame.chunks_exact(2).map(|b| i32::from(i16::from_le_bytes([b[0], b[1]]))).sum();
            i16::try_from(sum / i32::from(channels)).unwrap_or(i16::MAX)
        })
        .collect();
    if rate == wanted.hertz() {
        return Ok(mono);
    }
    let mut resampler = Resampler::new(rate, wanted.hertz()).map_err(|_| WavError::Rate(rate))?;
    let mut out = Vec::new();
    resampler.process(&mono, &mut out);
    resampler.finish(&mut out);
    Ok(out)
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
        let mut bytes = b"RIFF\0\0\0\0WAVE".to_vec();
        bytes.extend(b"LIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0");
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend((rate * u32::from(channels) * 2).to_le_bytes());
        bytes.extend((channels * 2).to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
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
            (wav(1, 8000, 8, &[1]), WavError::Format),
            (wav(6, 8000, 16, &[1; 6]), WavError::Format),
            (wav(1, 8000, 16, &[]), WavError::Length),
            (wav(1, 12_345, 16, &[1; 100]), WavError::Rate(12_345)),
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
