//! The codec table. Hides how samples become bytes; never knows which payload type a call negotiated.
//!
//! To add a codec: a file here with `pub(super) static CODEC`, one word in `codecs!` below, reference vectors in its tests.

use crate::Rate;
use std::fmt;

/// One way to turn samples into bytes and back. Compared by name.
pub struct Codec {
    /// Encoding name as in `a=rtpmap` (RFC 3551 section 6), upper case.
    pub name: &'static str,
    /// The static payload type of RFC 3551.
    pub payload_type: u8,
    /// RTP timestamp units in a second.
    pub clock: u32,
    /// Sampling rate of the decoded audio.
    pub rate: Rate,
    /// Decodes `payload` into `samples`; returns how many were written (the shorter of the two).
    pub decode: fn(payload: &[u8], samples: &mut [i16]) -> usize,
    /// Encodes `samples` into `payload`; returns how many bytes were written (the shorter of the two).
    pub encode: fn(samples: &[i16], payload: &mut [u8]) -> usize,
    /// The byte that decodes to (nearly) zero.
    pub silence: u8,
    /// Bytes that one sample takes.
    pub sample_bytes: usize,
}

impl Codec {
    /// Samples that a payload of that many bytes decodes to. Every codec here spends the same bytes on each sample.
    pub const fn samples_in(&self, payload_bytes: usize) -> usize {
        payload_bytes / self.sample_bytes
    }
}

impl PartialEq for Codec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Codec {}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.clock)
    }
}

macro_rules! codecs {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+
        /// Every codec, in the order in which they are offered by default.
        pub static ALL: &[&Codec] = &[$(&$module::CODEC),+];
    };
}

codecs! { pcmu, pcma }

mod l16;

/// Samples as they are, between a leg and a codec that has a memory of its own. Never offered to anybody.
pub const L16: &Codec = &l16::CODEC;

/// G.711 mu-law (RFC 3551, payload type 0).
pub const PCMU: &Codec = &pcmu::CODEC;

/// G.711 A-law (RFC 3551, payload type 8).
pub const PCMA: &Codec = &pcma::CODEC;

/// The codec of that encoding name and clock, in any case.
pub fn by_name(name: &str, clock: u32) -> Option<&'static Codec> {
    ALL.iter().copied().find(|codec| codec.clock == clock && codec.name.eq_ignore_ascii_case(name))
}

/// The codec of that static payload type.
pub fn by_payload_type(payload_type: u8) -> Option<&'static Codec> {
    ALL.iter().copied().find(|codec| codec.payload_type == payload_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_payload_types_are_unique() {
        for (i, a) in ALL.iter().enumerate() {
            for b in &ALL[i + 1..] {
                assert_ne!(a.name, b.name);
                assert_ne!(a.payload_type, b.payload_type);
            }
            assert_eq!(by_name(&a.name.to_lowercase(), a.clock), Some(*a));
            assert_eq!(by_payload_type(a.payload_type), Some(*a));
        }
    }

    #[test]
    fn silence_is_silent() {
        for codec in ALL {
            let mut sample = [1234_i16];
            assert_eq!((codec.decode)(&[codec.silence], &mut sample), 1);
            assert!(sample[0].abs() <= 8, "{codec:?}: {}", sample[0]);
        }
    }
}
