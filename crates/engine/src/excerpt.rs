//! A part of a recording as a file of its own, of one speaker or of both, made while it is read. Knows neither the file's
//! layout, which is `callwright_media::record`'s, nor where it lies.

use callwright_domain::transcript::Speaker;
use callwright_media::record::{HEADER_BYTES, Side, part};
use callwright_store::blobs::{Blob, Content};
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

/// Bytes taken from the recording at a time; whole stereo samples.
const PIECE: u64 = 16 * 1024;

/// What is wanted of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// Its begin, from the recording's; 0 is the answer.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
    /// Whose voice; none: both, in stereo.
    pub speaker: Option<Speaker>,
}

/// A WAV file that holds the clip.
#[derive(Debug)]
pub struct Excerpt {
    content: Content,
    side: Option<Side>,
    /// Bytes of the recording that are still to be read.
    left: u64,
    /// What can be given out, and how much of it was.
    ready: (Vec<u8>, usize),
    length: u64,
}

impl Excerpt {
    /// The clip of a recording, which may be empty: what lies beyond the end is left out.
    ///
    /// # Errors
    /// When the recording cannot be read, or is none of ours.
    pub(crate) fn of(mut recording: Blob, clip: Clip) -> io::Result<Self> {
        let mut header = [0; HEADER_BYTES];
        recording.content.read_exact(&mut header)?;
        let side = clip.speaker.map(|speaker| match speaker {
            Speaker::Callee => Side::Caller,
            Speaker::Agent => Side::Agent,
        });
        let part = part(&header, recording.length, (clip.from, clip.to), side).ok_or(io::ErrorKind::InvalidData)?;
        recording.content.seek(SeekFrom::Start(part.first))?;
        let length = HEADER_BYTES as u64 + if side.is_some() { part.length / 2 } else { part.length };
        Ok(Self { content: recording.content, side, left: part.length, ready: (part.header.to_vec(), 0), length })
    }

    /// Bytes of the whole file.
    pub const fn length(&self) -> u64 {
        self.length
    }

    fn refill(&mut self) -> io::Result<()> {
        let wanted = self.left.min(PIECE);
        let mut stereo = Vec::new();
        (&mut self.content).take(wanted).read_to_end(&mut stereo)?;
        if (stereo.len() as u64) < wanted {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= wanted;
        let ready = match self.side {
            Some(side) => side.of(&stereo),
            None => stereo,
        };
        self.ready = (ready, 0);
        Ok(())
    }
}

impl Read for Excerpt {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.ready.1 == self.ready.0.len() && self.left > 0 {
            self.refill()?;
        }
        let (ready, given) = &mut self.ready;
        let count = (&ready[*given..]).read(out)?;
        *given += count;
        Ok(count)
    }
}
