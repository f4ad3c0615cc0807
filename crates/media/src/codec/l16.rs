//! Linear samples at 16 kHz, two bytes each, most significant first (RFC 3551 section 4.5.11). What a leg speaks when the
//! codec of the line cannot be decoded packet by packet. Never sees RTP.

use super::Codec;
use crate::Rate;

pub(super) static CODEC: Codec = Codec {
    name: "L16",
    // Has no static type at this rate; this one is never on a line.
    payload_type: 127,
    clock: 16_000,
    rate: Rate::Wide,
    decode,
    encode,
    silence: 0,
    sample_bytes: 2,
};

fn decode(payload: &[u8], samples: &mut [i16]) -> usize {
    let pairs = payload.as_chunks::<2>().0;
    for (sample, pair) in samples.iter_mut().zip(pairs) {
        *sample = i16::from_be_bytes(*pair);
    }
    samples.len().min(pairs.len())
}

fn encode(samples: &[i16], payload: &mut [u8]) -> usize {
    let pairs = payload.as_chunks_mut::<2>().0;
    for (pair, sample) in pairs.iter_mut().zip(samples) {
        *pair = sample.to_be_bytes();
    }
    2 * samples.len().min(pairs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_as_they_were() {
        let samples = [0, 1, -1, i16::MIN, i16::MAX, 300];
        let (mut bytes, mut back) = ([0xee; 12], [7; 6]);
        assert_eq!(encode(&samples, &mut bytes), 12);
        assert_eq!((bytes[2], bytes[3]), (0, 1), "the most significant byte first");
        assert_eq!(decode(&bytes, &mut back), 6);
        assert_eq!(back, samples);
        assert_eq!(decode(&bytes[..5], &mut back), 2, "half a sample is none");
    }
}
