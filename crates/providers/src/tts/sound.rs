//! Sound as services send it: raw 16-bit samples or a WAV file, cut anywhere, turned into one channel at the wanted rate.
//! Never decodes a compressed sound, and believes no length that a file's header claims beyond what really comes.

use crate::resample::Resampler;

/// How a sound is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    /// Samples and nothing else.
    Raw,
    /// A WAV file (RIFF, PCM of 16 bits); its header wins over what was expected.
    Wav,
}

/// What a service sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// How it is written down.
    pub(super) container: Container,
    /// Samples a second.
    pub(super) rate: u32,
    /// Channels, at least one; they are mixed.
    pub(super) channels: u16,
}

impl Form {
    /// Raw samples of one channel.
    pub(super) const fn raw(rate: u32) -> Self {
        Self { container: Container::Raw, rate, channels: 1 }
    }
}

/// Turns the bytes of a sound into samples at the wanted rate.
#[derive(Debug, Clone)]
pub(super) struct Sound {
    form: Form,
    wanted: u32,
    resampler: Resampler,
    stage: Stage,
    /// Part of a frame, when a piece of the body ended within one.
    rest: Vec<u8>,
    heard: u64,
    loudest: u16,
}

/// What is being read.
#[derive(Debug, Clone)]
enum Stage {
    /// The first bytes of raw samples, looked at once.
    Start(Vec<u8>),
    /// A file's header.
    Header(Vec<u8>),
    /// Samples; so many more bytes of them where a header says so.
    Samples(Option<u64>),
}

impl Sound {
    /// Reads `form` for somebody who wants `wanted` samples a second; `None` when one of the rates is not converted.
    pub(super) fn of(form: Form, wanted: u32) -> Option<Self> {
        let resampler = Resampler::new(form.rate, wanted)?;
        let stage = match form.container {
            Container::Raw => Stage::Start(Vec::new()),
            Container::Wav => Stage::Header(Vec::new()),
        };
        Some(Self { form, wanted, resampler, stage, rest: Vec::new(), heard: 0, loudest: 0 })
    }

    /// Bytes that make a piece of sound worth handing out: a tenth of a second.
    pub(super) const fn portion(&self) -> usize {
        let frames = self.form.rate as usize / 10;
        if frames == 0 { 2 } else { 2 * self.form.channels as usize * frames }
    }

    /// Takes more bytes; the samples that they make.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, &'static str> {
        match &mut self.stage {
            Stage::Start(head) => {
                head.extend(bytes.iter().take(4 - head.len()));
                if let Some(why) = no_samples(head) {
                    return Err(why);
                }
                if head.len() == 4 {
                    self.stage = Stage::Samples(None);
                }
                self.samples(bytes)
            }
            Stage::Header(header) => {
                header.extend_from_slice(bytes);
                let Some(begin) = wav_begin(header)? else { return Ok(Vec::new()) };
                let samples = header.split_off(begin.at);
                self.form = Form { container: Container::Wav, rate: begin.rate, channels: begin.channels };
                self.resampler = Resampler::new(begin.rate, self.wanted).ok_or("a WAV file of a strange rate")?;
                self.stage = Stage::Samples(begin.length);
                self.push(&samples)
            }
            Stage::Samples(None) => self.samples(bytes),
            Stage::Samples(Some(left)) => {
                // What follows the samples of a file is about them.
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                self.samples(&bytes[..taken])
            }
        }
    }

    fn samples(&mut self, bytes: &[u8]) -> Result<Vec<i16>, &'static str> {
        self.rest.extend_from_slice(bytes);
        let frame = 2 * usize::from(self.form.channels);
        let whole = self.rest.len() / frame * frame;
        let left = self.rest.split_off(whole);
        let frames = std::mem::replace(&mut self.rest, left);
        let samples: Vec<i16> = frames.chunks_exact(frame).map(mixed).collect();
        self.heard += samples.len() as u64;
        if self.heard > u64::from(self.form.rate) * LONGEST_PHRASE_S {
            return Err("a phrase without end");
        }
        self.loudest = samples.iter().map(|sample| sample.unsigned_abs()).fold(self.loudest, u16::max);
        Ok(self.resampler.push(&samples))
    }

    /// The sound has ended: the samples that were waiting for more.
    pub(super) fn finish(self) -> Result<Vec<i16>, &'static str> {
        if self.heard == 0 {
            return Err("no sound at all");
        }
        if self.loudest == 0 {
            return Err("nothing but silence");
        }
        Ok(self.resampler.finish())
    }
}

/// One frame as one sample.
fn mixed(frame: &[u8]) -> i16 {
    let (pairs, _) = frame.as_chunks::<2>();
    let sum: i32 = pairs.iter().map(|pair| i32::from(i16::from_le_bytes(*pair))).sum();
    let channels = i32::try_from(pairs.len().max(1)).unwrap_or(1);
    i16::try_from(sum / channels).unwrap_or_default()
}

/// Why the first bytes of a body cannot be samples.
fn no_samples(head: &[u8]) -> Option<&'static str> {
    match head {
        b"RIFF" => Some("a WAV file instead of raw sound"),
        // Some services complain with a good status and no media type.
        [b'{', b'"', a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Some("JSON instead of sound"),
        _ => None,
    }
}

/// Where the samples of a WAV file begin, and what they are.
#[derive(Debug, PartialEq, Eq)]
struct Begin {
    rate: u32,
    channels: u16,
    at: usize,
    /// Bytes of samples; none: to the end of what comes.
    length: Option<u64>,
}

/// Reads a file's header as far as it has come; `None`: more is needed.
fn wav_begin(header: &[u8]) -> Result<Option<Begin>, &'static str> {
    const NO_WAV: &str = "something else than a WAV file";
    if header.len() < 12 {
        return if b"RIFF".starts_with(&header[..header.len().min(4)]) { Ok(None) } else { Err(NO_WAV) };
    }
    if &header[..4] != b"RIFF" || &header[8..12] != b"WAVE" {
        return Err(NO_WAV);
    }
    let (mut at, mut about) = (12, None);
    while let Some([a, b, c, d, sizes @ ..]) = header.get(at..at + 8) {
        let size = sizes.first_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size));
        at += 8;
        match [*a, *b, *c, *d] {
            [b'd', b'a', b't', b'a'] => {
                let (rate, channels) = about.ok_or("a WAV file that does not say what it is")?;
                // A file that was written as it was made does not know its length.
                let length = (size != 0 && size < UNKNOWN_LENGTH).then_some(u64::from(size));
                return Ok(Some(Begin { rate, channels, at, length }));
            }
            [b'f', b'm', b't', b' '] => match header.get(at..at + 16) {
                None => break,
                Some(format) => about = Some(pcm_format(format)?),
            },
            _ => {}
        }
        // Chunks begin at even places.
        at += (size as usize).min(MAX_HEADER) + (size as usize & 1);
    }
    if header.len() > MAX_HEADER { Err("a WAV file with a header without end") } else { Ok(None) }
}

/// Rate and channels of PCM of 16 bits.
fn pcm_format(format: &[u8]) -> Result<(u32, u16), &'static str> {
    let half = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
    let rate = u32::from(half(4)) | u32::from(half(6)) << 16;
    // 0xFFFE: the same, said at greater length.
    let pcm = matches!(half(0), 1 | 0xFFFE) && half(14) == 16;
    match half(2) {
        channels @ 1..=2 if pcm => Ok((rate, channels)),
        _ => Err("a WAV file of something else than one or two channels of 16 bits"),
    }
}

/// In seconds. A phrase is a sentence or two.
pub(super) const LONGEST_PHRASE_S: u64 = 120;
/// Longest header of a file, in bytes.
const MAX_HEADER: usize = 64 * 1024;
/// Lengths from here on mean that nobody knew.
const UNKNOWN_LENGTH: u32 = 0x7FFF_0000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file around these samples, with a chunk of something else before them.
    fn wav(rate: u32, channels: u16, length: u32, samples: &[i16]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0".to_vec();
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate * u32::from(channels) * 2).to_le_bytes());
        file.extend((channels * 2).to_le_bytes());
        file.extend(16_u16.to_le_bytes());
        file.extend(b"data");
        file.extend(length.to_le_bytes());
        file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        file
    }

    const FORM: Form = Form { container: Container::Wav, rate: 16_000, channels: 1 };

    fn read(form: Form, bytes: &[u8], piece: usize) -> Result<Vec<i16>, &'static str> {
        let mut sound = Sound::of(form, 8000).expect("known rates");
        let mut samples = Vec::new();
        for piece in bytes.chunks(piece) {
            samples.extend(sound.push(piece)?);
        }
        samples.extend(sound.finish()?);
        Ok(samples)
    }

    #[test]
    fn a_files_header_wins_however_it_is_cut() {
        let samples = [100, 300, -200, -400, 7, 9];
        for length in [0, 12, u32::MAX] {
            let file = wav(8000, 2, length, &samples);
            for piece in [1, 3, 7, 1000] {
                assert_eq!(read(FORM, &file, piece), Ok(vec![200, -300, 8]), "{length} in pieces of {piece}");
            }
        }
        let trailed = [wav(8000, 2, 12, &samples), b"LIST\x04\0\0\0text".to_vec()].concat();
        assert_eq!(read(FORM, &trailed, 5), Ok(vec![200, -300, 8]));
    }

    #[test]
    fn what_is_no_such_file_is_named() {
        let whole = wav(16_000, 1, 0, &[1; 100]);
        let changed = |at: usize, byte: u8| {
            let mut file = whole.clone();
            file[at] = byte;
            file
        };
        for file in [b"{\"error\":1}".to_vec(), changed(8, b'X'), changed(32, 3), changed(34, 3), changed(46, 8)] {
            assert!(read(FORM, &file, 9).is_err(), "{:?}", String::from_utf8_lossy(&file[..12.min(file.len())]));
        }
        let endless = [whole[..12].to_vec(), b"junk\xff\xff\xff\x7f".to_vec(), vec![0; 2 * MAX_HEADER]].concat();
        assert_eq!(read(FORM, &endless, 1024), Err("a WAV file with a header without end"));
        assert_eq!(read(FORM, &whole[..20], 4), Err("no sound at all"));
    }

    #[test]
    fn complaints_are_not_played() {
        let raw = Form::raw(8000);
        assert_eq!(read(raw, b"{\"Response\":{}}", 3), Err("JSON instead of sound"));
        assert_eq!(read(raw, &wav(8000, 1, 0, &[5; 20]), 3), Err("a WAV file instead of raw sound"));
        assert_eq!(read(raw, &[1, 0, 2, 0, 3], 2), Ok(vec![1, 2]), "half a sample at the end is none");
    }

    #[test]
    fn a_phrase_has_an_end() {
        let mut sound = Sound::of(Form::raw(8000), 8000).expect("known rates");
        let second = [1; 16_000];
        let most = (0..200).take_while(|_| sound.push(&second).is_ok()).count();
        assert_eq!(most as u64, LONGEST_PHRASE_S);
    }
}
