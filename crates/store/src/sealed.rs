//! Recordings that only the holder of a key can read: AES-256-GCM in frames, each readable by itself, so that a file cut
//! off by a crash reads to its last whole frame and any part of a long one is found without reading the rest. Hides the
//! format and the keys. Never writes a frame twice (a nonce is used once), and never says what is inside.
//!
//! A file is: `CWSEAL1\n`, one byte with the length of the key's id, the id, 32 random bytes, 16 bytes that tell whether a
//! key is the right one, then frames of 16 KiB and a tag of 16 bytes; the last frame may be shorter. Each file has a key of
//! its own, HMAC-SHA256 of the 32 bytes under the named key; the nonce is the frame's number, and what stands before the
//! first frame is authenticated with every one.
//! The WAV header inside says "until the end", because it is never written again; reading gives it the real lengths.

use crate::keyring::{CHECK, Keyring};
use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use aws_lc_rs::rand;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What a sealed file begins with.
const MAGIC: &[u8; 8] = b"CWSEAL1\n";
/// Bytes of audio in a frame: half a second at 8 kHz, which is what a crash may cost.
const FRAME: u64 = 16 * 1024;
/// Bytes of a frame's tag.
const TAG: u64 = 16;
/// Bytes that make each file's key its own.
const SALT: usize = 32;
/// Bytes of a WAV header.
const WAV_HEADER: usize = 44;
/// Whole frames that a crash of the machine may have left without their content at the end.
const LOST_FRAMES: u64 = 256;

fn nonce(frame: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&frame.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A recording that is being sealed. What does not fill a frame yet is held back, half a second at most.
pub struct SealedFile {
    file: File,
    key: LessSafeKey,
    head: Vec<u8>,
    buffer: Vec<u8>,
    frame: u64,
}

impl SealedFile {
    /// Makes the file, readable by the owner alone.
    ///
    /// # Errors
    /// As the operating system says; one of this name exists already; there is no key for new recordings.
    pub fn create(path: &Path, keys: &Keyring) -> io::Result<Self> {
        let id = keys.current().ok_or_else(|| broken("no key is set for new recordings"))?;
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| broken("the system gives no randomness"))?;
        let (key, check) = keys.file_key(id, &salt).ok_or_else(|| broken("the key cannot be used"))?;
        let length = u8::try_from(id.len()).map_err(|_| broken("the id of the key is too long"))?;
        let head = [MAGIC.as_slice(), &[length], id.as_bytes(), &salt, &check].concat();
        let mut file = crate::sqlite::private_file(OpenOptions::new().write(true).create_new(true)).open(path)?;
        file.write_all(&head)?;
        Ok(Self { file, key, head, buffer: Vec::with_capacity(2 * FRAME as usize), frame: 0 })
    }

    /// Adds bytes; whole frames are written.
    ///
    /// # Errors
    /// As the disk says.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= FRAME as usize {
            let rest = self.buffer.split_off(FRAME as usize);
            self.seal()?;
            self.buffer = rest;
        }
        Ok(())
    }

    /// Writes what is left. Nothing can be added after it.
    ///
    /// # Errors
    /// As the disk says.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.seal()?;
        }
        self.file.sync_all()
    }

    fn seal(&mut self) -> io::Result<()> {
        let sealed = self.key.seal_in_place_append_tag(nonce(self.frame), Aad::from(&self.head), &mut self.buffer);
        sealed.map_err(|_| broken("a frame cannot be sealed"))?;
        // Used up, whether the disk takes the frame or not.
        self.frame += 1;
        self.file.write_all(&self.buffer)
    }
}

/// Where a recording's bytes are read from.
pub(crate) trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// A sealed recording that is being read.
pub struct Unsealed {
    source: Box<dyn Source>,
    /// Bytes of the source.
    stored: u64,
    key: LessSafeKey,
    head: Vec<u8>,
    /// Bytes of audio, with the header.
    length: u64,
    at: u64,
    /// The frame that was read last.
    frame: Option<(u64, Vec<u8>)>,
    /// The header with the real lengths.
    header: Option<[u8; WAV_HEADER]>,
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealed").field("length", &self.length).finish_non_exhaustive()
    }
}

/// What a file turned out to be.
pub(crate) enum Opened {
    /// Not sealed; at its beginning.
    Plain(Box<dyn Source>),
    /// Sealed with a key that we have.
    Sealed(Box<Unsealed>),
    /// Sealed with one that we do not have.
    Locked(String),
    /// Sealed with another key than the one that we have of that name.
    OtherKey(String),
}

/// Opens what holds `stored` bytes, whichever it is.
pub(crate) fn open(mut source: Box<dyn Source>, stored: u64, keys: &Keyring) -> io::Result<Opened> {
    let mut start = [0; MAGIC.len() + 1];
    let sealed = match source.read_exact(&mut start) {
        Ok(()) => start.starts_with(MAGIC),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error),
    };
    if !sealed {
        source.seek(SeekFrom::Start(0))?;
        return Ok(Opened::Plain(source));
    }
    let mut rest = vec![0; usize::from(start[MAGIC.len()]) + SALT + CHECK];
    source.read_exact(&mut rest)?;
    let (id, own) = rest.split_at(rest.len() - SALT - CHECK);
    let (salt, check) = own.split_at(SALT);
    let id = std::str::from_utf8(id).map_err(|_| broken("the id of the key is no text"))?;
    let Some((key, ours)) = keys.file_key(id, salt) else { return Ok(Opened::Locked(id.to_owned())) };
    if ours != check {
        return Ok(Opened::OtherKey(id.to_owned()));
    }
    let head = [start.as_slice(), &rest].concat();
    let mut unsealed = Unsealed { source, stored, key, head, length: 0, at: 0, frame: None, header: None };
    unsealed.measure()?;
    Ok(Opened::Sealed(Box::new(unsealed)))
}

impl Unsealed {
    /// Bytes that can be read.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Finds the last frame that is whole. What a crash left behind it is no audio.
    fn measure(&mut self) -> io::Result<()> {
        let body = self.stored.saturating_sub(self.head.len() as u64);
        let (full, rest) = (body / (FRAME + TAG), body % (FRAME + TAG));
        self.length = full * FRAME + rest.saturating_sub(TAG);
        let (mut tried, any) = (0, full > 0);
        while self.length > 0 && self.load((self.length - 1) / FRAME).is_err() {
            tried += 1;
            if tried > LOST_FRAMES {
                return Err(broken("the recording is damaged at its end"));
            }
            self.length = (self.length - 1) / FRAME * FRAME;
        }
        if self.length == 0 && any {
            return Err(broken("the recording is damaged"));
        }
        if self.length >= WAV_HEADER as u64 {
            self.load(0)?;
            let start = self.frame.as_ref().and_then(|(_, frame)| frame.first_chunk::<WAV_HEADER>());
            self.header = start.and_then(|start| real_header(start, self.length));
        }
        Ok(())
    }

    /// Has this frame at hand.
    fn load(&mut self, frame: u64) -> io::Result<()> {
        if self.frame.as_ref().is_some_and(|(at, _)| *at == frame) {
            return Ok(());
        }
        let audio = self.length.saturating_sub(frame * FRAME).min(FRAME);
        let mut bytes = vec![0; usize::try_from(audio + TAG).unwrap_or(0)];
        self.source.seek(SeekFrom::Start(self.head.len() as u64 + frame * (FRAME + TAG)))?;
        self.source.read_exact(&mut bytes)?;
        let opened = self.key.open_in_place(nonce(frame), Aad::from(&self.head), &mut bytes);
        let length = opened.map_err(|_| broken("a frame of the recording is damaged"))?.len();
        bytes.truncate(length);
        self.frame = Some((frame, bytes));
        Ok(())
    }
}

/// Where a reader that was at `at` of `length` bytes is to be.
pub(crate) fn place(to: SeekFrom, at: u64, length: u64) -> io::Result<u64> {
    let at = match to {
        SeekFrom::Start(at) => Some(at),
        SeekFrom::End(by) => length.checked_add_signed(by),
        SeekFrom::Current(by) => at.checked_add_signed(by),
    };
    at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "before the beginning"))
}

/// The header of a file whose length is known, when it says "until the end" (both sizes at their greatest).
fn real_header(start: &[u8; WAV_HEADER], length: u64) -> Option<[u8; WAV_HEADER]> {
    let open = start.starts_with(b"RIFF") && start[4..8] == [0xff; 4] && start[40..] == [0xff; 4];
    let audio = u32::try_from(length.checked_sub(WAV_HEADER as u64)? / 4 * 4).ok().filter(|_| open)?;
    let mut header = *start;
    header[4..8].copy_from_slice(&audio.checked_add(36)?.to_le_bytes());
    header[40..].copy_from_slice(&audio.to_le_bytes());
    Some(header)
}

impl Read for Unsealed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.length || out.is_empty() {
            return Ok(0);
        }
        self.load(self.at / FRAME)?;
        let within = usize::try_from(self.at % FRAME).unwrap_or(0);
        let frame = self.frame.as_ref().map_or(&[][..], |(_, frame)| frame.as_slice());
        let mut from = frame.get(within..).unwrap_or_default();
        if let (Some(header), Ok(at)) = (&self.header, usize::try_from(self.at))
            && at < WAV_HEADER
        {
            from = &header[at..];
        }
        let count = from.len().min(out.len());
        out[..count].copy_from_slice(&from[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Unsealed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = place(to, self.at, self.length)?;
        Ok(self.at)
    }
}
