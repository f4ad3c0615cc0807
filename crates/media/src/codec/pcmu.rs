//! G.711 mu-law. Hides the segment arithmetic; never sees RTP.

use super::Codec;
use crate::Rate;

pub(super) static CODEC: Codec = Codec {
    name: "PCMU",
    payload_type: 0,
    clock: 8000,
    rate: Rate::Narrow,
    decode,
    encode,
    silence: 0xff,
    sample_bytes: 1,
};

/// Added before the logarithm so that the first segment is as wide as the others (G.711, on a 16-bit scale).
const BIAS: i32 = 0x84;
/// Largest magnitude that can be expressed.
const CLIP: i32 = 32_635;

static DECODED: [i16; 256] = decode_table();

const fn decode_table() -> [i16; 256] {
    let mut table = [0_i16; 256];
    let mut byte = 0;
    while byte < 256 {
        let code = !(byte as u8);
        let segment = ((code >> 4) & 7) as i32;
        let step = (code & 0x0f) as i32;
        let magnitude = (((step << 3) + BIAS) << segment) - BIAS;
        table[byte] = if code & 0x80 == 0 { magnitude as i16 } else { -magnitude as i16 };
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
    let wide = sample as i32;
    let sign = if wide < 0 { 0x80_u8 } else { 0 };
    let magnitude = wide.abs();
    let biased = if magnitude > CLIP { CLIP } else { magnitude } + BIAS;
    // `biased` lies in 132..=32767, so its top bit is bit 7..=14: that is the segment.
    let segment = 24 - biased.leading_zeros();
    let step = (biased >> (segment + 3)) & 0x0f;
    !(sign | ((segment as u8) << 4) | step as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_a_round_trip() {
        for byte in 0..=255_u8 {
            let again = encode_one(DECODED[usize::from(byte)]);
            // 0x7f is "minus zero"; it comes back as plus zero.
            assert_eq!(again, if byte == 0x7f { 0xff } else { byte });
        }
    }

    #[test]
    fn known_values() {
        assert_eq!(DECODED[0x00], -32_124);
        assert_eq!(DECODED[0x80], 32_124);
        assert_eq!(DECODED[0xff], 0);
        assert_eq!(DECODED[0xfe], 8);
        assert_eq!(encode_one(i16::MIN), 0x00);
        assert_eq!(encode_one(i16::MAX), 0x80);
    }

    #[test]
    fn every_sample_goes_into_its_interval() {
        for sample in i16::MIN..=i16::MAX {
            let byte = encode_one(sample);
            let segment = i32::from(!byte >> 4 & 7);
            let clipped = i32::from(sample).clamp(-CLIP, CLIP);
            let error = (i32::from(DECODED[usize::from(byte)]) - clipped).abs();
            assert!(error <= 4 << segment, "{sample}: {error}");
        }
    }
}
