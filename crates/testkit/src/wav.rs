//! Reads the recordings of calls: PCM WAV of 16 bits. Never reads anything else.

use std::time::Duration;

/// A WAV file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// Samples a second.
    pub rate: u32,
    /// Samples by channel.
    pub channels: Vec<Vec<i16>>,
}

impl Wav {
    /// Takes a file apart; says what is wrong with it.
    ///
    /// # Errors
    /// In words.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let field = |at: usize, length: usize| bytes.get(at..at + length).ok_or(format!("it ends before byte {at}"));
        let u16_at = |at| field(at, 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let u32_at = |at| field(at, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if field(0, 4)? != b"RIFF" || field(8, 8)? != b"WAVEfmt " {
            return Err(String::from("it does not begin like a WAV file"));
        }
        if u32_at(4)? as usize + 8 != bytes.len() {
            return Err(format!("its header says {} bytes, it has {}", u32_at(4)? + 8, bytes.len()));
        }
        let (format, channels, rate, bits) = (u16_at(20)?, usize::from(u16_at(22)?), u32_at(24)?, u16_at(34)?);
        if format != 1 || bits != 16 || channels == 0 {
            return Err(format!("format {format}, {bits} bits, {channels} channels"));
        }
        let mut at = 20 + u32_at(16)? as usize;
        while field(at, 4)? != b"data" {
            at += 8 + u32_at(at + 4)? as usize;
        }
        let data = field(at + 8, u32_at(at + 4)? as usize)?;
        let samples: Vec<i16> = data.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        let channel = |number| samples.iter().skip(number).step_by(channels).copied().collect();
        Ok(Self { rate, channels: (0..channels).map(channel).collect() })
    }

    /// How long it plays.
    pub fn length(&self) -> Duration {
        let samples = self.channels.first().map_or(0, Vec::len);
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate.max(1)))
    }

    /// When a channel is first loud, from the beginning; pieces of 20 ms.
    pub fn first_loud(&self, channel: usize) -> Option<Duration> {
        let piece = self.rate as usize / 50;
        let at = self.channels.get(channel)?.chunks(piece).position(crate::is_loud)?;
        Some(Duration::from_millis(20) * u32::try_from(at).ok()?) // a file of years has no such place
    }
}
