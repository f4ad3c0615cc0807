//! A stereo WAV file as bytes: the caller on the left, the agent on the right. Hides the RIFF layout.
//! Never writes anything: whoever owns the file appends the chunks, off the tick, and rewrites the header when it likes.
//!
//! The header written first claims the longest possible file, which players take to mean "until the end": a file cut
//! by a crash plays to the cut. [`repair`] gives the exact header for a file of known length.

use crate::{FramePair, Rate};
use std::time::Duration;

/// Bytes of the header before the first sample.
pub const HEADER_BYTES: usize = 44;

/// The caller and the agent.
const CHANNELS: u16 = 2;
/// Two channels of 16 bits.
const BYTES_PER_SAMPLE: u64 = 4;

/// Bytes after which a chunk is worth writing: half a second at 8 kHz.
const CHUNK_BYTES: usize = 16_000;

/// Encodes frame pairs. Holds at most about half a second of audio between two calls of [`Recorder::take`].
pub struct Recorder {
    rate: Rate,
    samples: u64,
    buffer: Vec<u8>,
}

/// Whether a chunk waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// Not yet worth a write.
    Filling,
    /// [`Recorder::take`] it and write it off the tick.
    Ready,
}

impl Recorder {
    /// A recorder whose first chunk begins with the streaming header.
    pub fn new(rate: Rate) -> Self {
        let mut buffer = Vec::with_capacity(2 * CHUNK_BYTES);
        buffer.extend_from_slice(&streaming_header(rate));
        Self { rate, samples: 0, buffer }
    }

    /// Appends one tick. No allocation as long as chunks are taken when they are ready.
    pub fn push(&mut self, pair: &FramePair) -> Chunk {
        let (left, right) = (pair.heard.samples(), pair.sent.samples());
        let both = left.len().min(right.len());
        let old = self.buffer.len();
        let longer = left.len().max(right.len());
        self.buffer.resize(old + longer * BYTES_PER_SAMPLE as usize, 0);
        let out = &mut self.buffer[old..];
        for ((bytes, l), r) in out.chunks_exact_mut(4).zip(left).zip(right) {
            let ([l0, l1], [r0, r1]) = (l.to_le_bytes(), r.to_le_bytes());
            bytes.copy_from_slice(&[l0, l1, r0, r1]);
        }
        // Frames of one leg are equally long; should one be short, the other goes on beside silence.
        for i in both..longer {
            let l = left.get(i).copied().unwrap_or(0).to_le_bytes();
            let r = right.get(i).copied().unwrap_or(0).to_le_bytes();
            out[4 * i..4 * i + 4].copy_from_slice(&[l[0], l[1], r[0], r[1]]);
        }
        self.samples += longer as u64;
        if self.buffer.len() >= CHUNK_BYTES { Chunk::Ready } else { Chunk::Filling }
    }

    /// The bytes so far, to be appended to the file. `spare` (emptied) becomes the next buffer, so that two buffers
    /// can go round for ever.
    pub fn take(&mut self, mut spare: Vec<u8>) -> Vec<u8> {
        spare.clear();
        spare.reserve(2 * CHUNK_BYTES);
        std::mem::replace(&mut self.buffer, spare)
    }

    /// Samples per channel pushed so far.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// The exact header for everything pushed so far, to be written over the first 44 bytes of the file.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        header(self.rate, self.samples)
    }
}

/// The header of a file of `samples` per channel. Beyond 4 GiB it is the streaming header.
pub fn header(rate: Rate, samples: u64) -> [u8; HEADER_BYTES] {
    match samples.checked_mul(BYTES_PER_SAMPLE).map(u32::try_from) {
        Some(Ok(bytes)) if bytes <= u32::MAX - 36 => header_of(rate, CHANNELS, (bytes + 36, bytes)),
        _ => streaming_header(rate),
    }
}

/// The header of a file whose length is not known yet: both sizes at their greatest.
pub fn streaming_header(rate: Rate) -> [u8; HEADER_BYTES] {
    header_of(rate, CHANNELS, (u32::MAX, u32::MAX))
}

/// The right header for a file found `file_bytes` long, for example after a crash; `None` if it holds no header.
/// A sample cut in half at the end is left out.
pub fn repair(rate: Rate, file_bytes: u64) -> Option<[u8; HEADER_BYTES]> {
    let audio = file_bytes.checked_sub(HEADER_BYTES as u64)?;
    Some(header(rate, audio / BYTES_PER_SAMPLE))
}

/// One side of a recorded call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What was heard: the left channel.
    Caller,
    /// What was sent: the right channel.
    Agent,
}

impl Side {
    /// The bytes of this side in stereo samples; an incomplete sample at the end is left out.
    pub fn of(self, stereo: &[u8]) -> Vec<u8> {
        let from = match self {
            Self::Caller => 0,
            Self::Agent => 2,
        };
        stereo.chunks_exact(BYTES_PER_SAMPLE as usize).flat_map(|sample| [sample[from], sample[from + 1]]).collect()
    }
}

/// Where a part of a recording lies in its file, and the header that makes a file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Of a file that holds the part alone.
    pub header: [u8; HEADER_BYTES],
    /// The part's first byte in the recording.
    pub first: u64,
    /// Its bytes there.
    pub length: u64,
}

/// The part from `from` to `to`, counted from the beginning of the recording, of a file of `file_bytes` that begins with
/// `header`; of one side, or both. What lies beyond the end is left out, so that a part may be empty. `None`: the header is
/// none of ours.
pub fn part(
    header: &[u8; HEADER_BYTES],
    file_bytes: u64,
    (from, to): (Duration, Duration),
    side: Option<Side>,
) -> Option<Part> {
    let hertz = u32::from_le_bytes([header[24], header[25], header[26], header[27]]);
    let rate = [Rate::Narrow, Rate::Wide].into_iter().find(|rate| rate.hertz() == hertz)?;
    let samples = file_bytes.checked_sub(HEADER_BYTES as u64)? / BYTES_PER_SAMPLE;
    let at = |moment: Duration| {
        let sample = moment.as_millis().saturating_mul(u128::from(hertz)) / 1000;
        u64::try_from(sample).unwrap_or(u64::MAX).min(samples)
    };
    let (first, last) = (at(from), at(to));
    let count = last.saturating_sub(first);
    let channels = if side.is_some() { 1 } else { CHANNELS };
    let bytes = u32::try_from(count * u64::from(channels) * 2).ok().filter(|bytes| *bytes <= u32::MAX - 36);
    let (riff, data) = bytes.map_or((u32::MAX, u32::MAX), |bytes| (bytes + 36, bytes));
    let length = count * BYTES_PER_SAMPLE;
    Some(Part {
        header: header_of(rate, channels, (riff, data)),
        first: HEADER_BYTES as u64 + first * BYTES_PER_SAMPLE,
        length,
    })
}

fn header_of(rate: Rate, channels: u16, (riff, data): (u32, u32)) -> [u8; HEADER_BYTES] {
    let sample = channels * 2;
    let mut bytes = [0; HEADER_BYTES];
    let fields: [(usize, &[u8]); 12] = [
        (0, b"RIFF"),
        (4, &riff.to_le_bytes()),
        (8, b"WAVEfmt "),
        (16, &16_u32.to_le_bytes()),
        (20, &1_u16.to_le_bytes()), // integer PCM
        (22, &channels.to_le_bytes()),
        (24, &rate.hertz().to_le_bytes()),
        (28, &(rate.hertz() * u32::from(sample)).to_le_bytes()),
        (32, &sample.to_le_bytes()),
        (34, &16_u16.to_le_bytes()), // bits
        (36, b"data"),
        (40, &data.to_le_bytes()),
    ];
    for (at, field) in fields {
        bytes[at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frame;

    fn pair(heard: i16, sent: i16) -> FramePair {
        FramePair { heard: Frame::from_samples(&[heard; 160]), sent: Frame::from_samples(&[sent; 160]) }
    }

    fn le32(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    #[test]
    fn a_part_of_one_side_is_a_file_of_its_own() {
        let mut recorder = Recorder::new(Rate::Narrow);
        for tick in 0..50 {
            recorder.push(&pair(tick, -tick));
        }
        let mut file = recorder.take(Vec::new());
        file[..HEADER_BYTES].copy_from_slice(&recorder.header());
        let (header, length) = (file[..HEADER_BYTES].try_into().expect("a header"), file.len() as u64);
        let ms = Duration::from_millis;
        let part = |from, to, side| part(&header, length, (ms(from), ms(to)), side).expect("ours");
        // Ticks of 20 ms: the third and the fourth.
        let agents = part(40, 80, Some(Side::Agent));
        assert_eq!((agents.first, agents.length), (44 + 2 * 160 * 4, 2 * 160 * 4));
        let held = &file[agents.first as usize..(agents.first + agents.length) as usize];
        assert_eq!(Side::Agent.of(held)[..2], (-2_i16).to_le_bytes());
        assert_eq!(Side::Caller.of(held)[2 * 160..2 * 161], 3_i16.to_le_bytes());
        assert_eq!((agents.header[22], le32(&agents.header, 28), le32(&agents.header, 40)), (1, 16_000, 2 * 160 * 2));
        let both = part(40, 80, None);
        assert_eq!((both.header[22], le32(&both.header, 28), le32(&both.header, 40)), (2, 32_000, 2 * 160 * 4));
        // Beyond the end there is nothing, and backwards neither.
        assert_eq!(part(900, 5_000, None).length, 5 * 160 * 4);
        assert_eq!((part(5_000, 6_000, None).length, part(80, 40, None).length), (0, 0));
        assert_eq!(super::part(&[0; HEADER_BYTES], length, (ms(0), ms(1)), None), None);
    }

    #[test]
    fn caller_left_agent_right_and_an_exact_header() {
        let mut recorder = Recorder::new(Rate::Narrow);
        let mut file = Vec::new();
        for i in 0..100 {
            if recorder.push(&pair(i, -i)) == Chunk::Ready {
                file.extend(recorder.take(Vec::new()));
            }
        }
        assert!(file.len() > 3 * CHUNK_BYTES);
        file.extend(recorder.take(Vec::new()));
        assert_eq!(file.len(), HEADER_BYTES + 100 * 160 * 4);
        assert_eq!(le32(&file, 40), u32::MAX);
        file[..HEADER_BYTES].copy_from_slice(&recorder.header());
        assert_eq!(le32(&file, 40) as usize, file.len() - HEADER_BYTES);
        assert_eq!(le32(&file, 4) as usize, file.len() - 8);
        assert_eq!(le32(&file, 24), 8000);
        let last = &file[file.len() - 4..];
        assert_eq!(i16::from_le_bytes([last[0], last[1]]), 99);
        assert_eq!(i16::from_le_bytes([last[2], last[3]]), -99);
    }

    #[test]
    fn repair_gives_whole_samples_only() {
        for extra in 0..4 {
            let header = repair(Rate::Wide, 44 + 400 + extra).expect("long enough");
            assert_eq!(le32(&header, 40), 400);
        }
        assert_eq!(repair(Rate::Wide, 43), None);
        assert_eq!(le32(&repair(Rate::Narrow, u64::MAX).expect("long enough"), 40), u32::MAX);
    }
}
