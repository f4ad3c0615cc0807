//! G.711 A-law. Hides the segment arithmetic; never sees RTP.

use super::Codec;
use crate::Rate;

pub(super) static CODEC: Codec = Codec {
    name: "PCMA",
    payload_type: 8,
    clock: 8000,
    rate: Rate::Narrow,
    decode,
    encode,
    silence: 0xd5,
    sample_bytes: 1,
};

/// Every other bit is inverted on the wire (G.711 section 3).
const TOGGLE: u8 = 0x55;

static DECODED: [i16; 256] = decode_table();

const fn decode_table() -> [i16; 256] {
    let mut table = [0_i16; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = (byte as u8) ^ TOGGLE;
        let segment = ((code >> 4) & 7) as i32;
        let step = (code & 0x0f) as i32;
        // The half step puts the value in the middle of its interval.
        let magnitude = if segment == 0 { (step << 4) + 8 } else { ((step << 4) + 0x108) << (segment - 1) };
        table[byte] = if code & 0x80 == 0 { -magnitude as i16 } else { magnitude as i16 };
        byte += 1;
    }
    table
}

fn decode(payload: &[u8], samples: &mut [i16]) -> usize {
    for (sample, byte) in samples.iter_mut().zip(payload) {
        *sample = DECODED[usize::from(*byte)];
    }
    samples.len().min(payload.len())
}

fn encode(samples: &[i16], payload: &mut [u8]) -> usize {
    for (byte, sample) in payload.iter_mut().zip(samples) {
        *byte = encode_one(*sample);
    }
    samples.len().min(payload.len())
}

const fn encode_one(sample: i16) -> u8 {
    // Thirteen bits count; one's complement keeps the negative side symmetric and never overflows.
    let (sign, magnitude) = if sample >= 0 { (0x80_u8, sample as u32) } else { (0, !(sample as i32) as u32) };
    let magnitude = magnitude >> 4;
    let code = if magnitude < 32 {
        magnitude as u8
    } else {
        let segment = 28 - magnitude.leading_zeros();
        ((segment as u8) << 4) | ((magnitude >> (segment - 1)) as u8 & 0x0f)
    };
    (sign | code) ^ TOGGLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_round_trip() {
        for byte in 0..=255_u8 {
            assert_eq!(encode_one(DECODED[usize::from(byte)]), byte);
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(DECODED[0xd5], 8);
        assert_eq!(DECODED[0x55], -8);
        assert_eq!(DECODED[0xaa], 32_256);
        assert_eq!(DECODED[0x2a], -32_256);
        assert_eq!(encode_one(i16::MAX), 0xaa);
        assert_eq!(encode_one(i16::MIN), 0x2a);
        assert_eq!(encode_one(0), 0xd5);
    }

    #[test]
    fn every_sample_goes_into_its_interval() {
        for sample in i16::MIN..=i16::MAX {
            let byte = encode_one(sample);
            let segment = i32::from((byte ^ TOGGLE) >> 4 & 7);
            let error = (i32::from(DECODED[usize::from(byte)]) - i32::from(sample)).abs();
            assert!(error <= 8 << (segment - 1).max(0), "{sample}: {error}");
        }
    }
}
