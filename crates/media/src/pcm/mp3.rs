//! MP3 files as samples, the channels mixed into one. Never opens a file, and never reads more than it is asked for: such a
//! file says nowhere how long it is.

use super::UnsupportedRates;
use super::resample::converted;
use crate::Rate;
use std::io::Cursor;
use std::time::Duration;
use symphonia_bundle_mp3::{MpaDecoder, MpaReader};
use symphonia_core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia_core::errors::Error;
use symphonia_core::formats::{FormatOptions, FormatReader};
use symphonia_core::io::{MediaSourceStream, MediaSourceStreamOptions};

/// Length of the head of a tag, and of its foot where it has one (ID3v2.4, section 3).
const TAG_HEAD: usize = 10;
/// The flag that says that there is a foot.
const TAG_FOOT: u8 = 0x10;

/// Why bytes are no sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mp3Error {
    /// No frame of it could be read.
    #[error("it is not an MP3 file that can be read")]
    NotMp3,
    /// It is longer than was asked for.
    #[error("it is too long")]
    Long,
}

/// The sound of an MP3 file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mp3 {
    mono: Vec<i16>,
    rate: u32,
}

impl Mp3 {
    /// Whether a file begins as MP3 files do: with a tag, or with a frame (ISO 11172-3, section 2.4.1.3).
    pub fn is_begun_by(bytes: &[u8]) -> bool {
        bytes.starts_with(b"ID3") || matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0)
    }

    /// Reads a file that lasts no longer than this. Frames that are damaged are passed over, as by every player.
    ///
    /// # Errors
    /// [`Mp3Error`].
    pub fn decode(bytes: &[u8], longest: Duration) -> Result<Self, Mp3Error> {
        let unread = |_: Error| Mp3Error::NotMp3;
        let source = Box::new(Cursor::new(bytes.get(tag(bytes)..).unwrap_or_default()));
        let source = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let mut frames = MpaReader::try_new(source, FormatOptions::default()).map_err(unread)?;
        let track = frames.tracks().first().and_then(|track| track.codec_params.as_ref());
        let about = track.and_then(|about| about.audio()).ok_or(Mp3Error::NotMp3)?;
        let mut decoder = MpaDecoder::try_new(about, &AudioDecoderOptions::default()).map_err(unread)?;
        let (mut sound, mut frame) = (Self { mono: Vec::new(), rate: 0 }, Vec::<i16>::new());
        while let Ok(Some(packet)) = frames.next_packet() {
            let Ok(decoded) = decoder.decode(&packet) else { continue };
            let (channels, rate) = (decoded.spec().channels().count().max(1), decoded.spec().rate());
            sound.rate = rate;
            frame.clear();
            decoded.copy_to_vec_interleaved(&mut frame);
            let mixed = |all: &[i16]| all.iter().map(|sample| i32::from(*sample)).sum::<i32>() / all.len() as i32;
            sound.mono.extend(frame.chunks_exact(channels).map(|all| mixed(all) as i16));
            if sound.mono.len() as u64 * 1000 > u64::from(rate) * longest.as_millis() as u64 {
                return Err(Mp3Error::Long);
            }
        }
        if sound.mono.is_empty() { Err(Mp3Error::NotMp3) } else { Ok(sound) }
    }

    /// Its samples a second.
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Its samples at this rate.
    ///
    /// # Errors
    /// [`UnsupportedRates`].
    pub fn at(self, wanted: Rate) -> Result<Vec<i16>, UnsupportedRates> {
        converted(self.mono, self.rate, wanted)
    }
}

/// How many bytes a tag takes at the begin of a file.
fn tag(bytes: &[u8]) -> usize {
    let Some([b'I', b'D', b'3', _, _, flags, size @ ..]) = bytes.get(..TAG_HEAD) else { return 0 };
    // Seven bits of each byte count.
    let size = size.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
    let foot = if flags & TAG_FOOT == 0 { 0 } else { TAG_HEAD };
    TAG_HEAD + size + foot
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second of 440 Hz at 16,000 samples a second, encoded by LAME at 16 kbit/s.
    const TONE: &[u8] = include_bytes!("../../tests/fixtures/tone.mp3");
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_tone_is_a_tone() {
        let tone = Mp3::decode(TONE, SECOND).expect("a file");
        assert_eq!(tone.rate(), 16_000);
        let samples = tone.clone().at(Rate::Wide).expect("as it is");
        // What the encoder puts before and after is less than a tenth of a second.
        assert!((8000..9600).contains(&samples.len()), "{}", samples.len());
        let middle = &samples[4000..7200];
        let crossings = middle.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        assert!((174..=178).contains(&crossings), "440 Hz cross zero 880 times a second: {crossings} in a fifth");
        let loudest = middle.iter().map(|sample| sample.unsigned_abs()).max();
        assert!(loudest.is_some_and(|loudest| (10_000..14_000).contains(&loudest)), "{loudest:?}");
        let narrow = tone.at(Rate::Narrow).expect("converted");
        assert!(narrow.len().abs_diff(samples.len() / 2) < 10);
    }

    #[test]
    fn tags_are_passed_over_and_what_is_none_is_named() {
        let tagged = [&b"ID3\x04\0\0\0\0\x01\x02"[..], &[0xff; 130], TONE].concat();
        assert_eq!(Mp3::decode(&tagged, SECOND), Mp3::decode(TONE, SECOND));
        for (bytes, error) in [
            (&b""[..], Mp3Error::NotMp3),
            (b"ID3\x04\0\0\x7f\x7f\x7f\x7f", Mp3Error::NotMp3),
            (b"\xff\xfb\x90\x44 and no more", Mp3Error::NotMp3),
            (&[0xff; 10_000], Mp3Error::NotMp3),
        ] {
            assert_eq!(Mp3::decode(bytes, SECOND), Err(error));
        }
        assert_eq!(Mp3::decode(TONE, SECOND / 2), Err(Mp3Error::Long));
        assert!(Mp3::is_begun_by(TONE) && Mp3::is_begun_by(&tagged) && !Mp3::is_begun_by(b"RIFF"));
    }

    /// What comes of a damaged file is anybody's guess, but for a panic.
    #[test]
    fn damaged_files_are_read_as_far_as_they_go() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize % below
        };
        for _ in 0..500 {
            let mut bytes = TONE.to_vec();
            for _ in 0..=random(30) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            bytes.truncate(1 + random(TONE.len()));
            drop(Mp3::decode(&bytes, SECOND));
        }
    }
}
