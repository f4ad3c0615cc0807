//! Opus, both ways, mono at 16 kHz (RFC 6716, RFC 7587). Hides the codec's memory: packets are decoded as they come, what
//! is missing between them is taken from the redundancy of the next one where there is some.
//! Never passes a panic of the codec on: a packet that breaks it is a packet lost.

use crate::codec::L16;
use ropus::{Application, Bitrate, Channels, DecodeMode, Decoder, Encoder, InbandFec, Signal};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Samples a second.
const RATE: u32 = 16_000;
/// Samples in 20 ms.
const FRAME: usize = 320;
/// Samples in the longest packet (120 ms, RFC 6716 section 2).
const LONGEST: usize = 1920;
/// Longest packet: one frame of the most that a frame can hold, and its head (RFC 6716 section 3.4).
const PACKET: usize = 1276;
/// What a browser sends for one voice, and enough for the redundancy on top.
const BITS_A_SECOND: u32 = 32_000;
/// At the highest effort a frame takes half as long again, for a difference that is not heard in speech.
const EFFORT: u8 = 5;
/// Loss the redundancy is made for. It costs bits only while there is speech.
const EXPECTED_LOSS_PERCENT: u8 = 5;
/// Packets missing in a row that the decoder is told of; beyond this its memory is worth nothing.
const GAP: u16 = 3;
/// How far behind the newest packet one may come and still be decoded.
const BEHIND: u16 = 16;

/// What a packet gave.
pub(crate) struct Decoded<'a> {
    /// The packet before it, when that is missing and this one carried it too.
    pub(crate) before: Option<&'a [i16]>,
    /// Its own samples.
    pub(crate) samples: &'a [i16],
}

/// One voice each way.
pub(crate) struct Voice {
    encoder: Encoder,
    decoder: Decoder,
    packet: [u8; PACKET],
    before: [i16; LONGEST],
    samples: [i16; LONGEST],
    /// Samples of the last packet decoded.
    length: usize,
    /// The sequence number that comes next.
    next: Option<u16>,
}

impl Voice {
    /// Samples in the longest packet.
    pub(crate) const LONGEST: usize = LONGEST;

    /// A voice without a past; `None` when the codec cannot be made.
    pub(crate) fn new() -> Option<Self> {
        let encoder = Encoder::builder(RATE, Channels::Mono, Application::Voip)
            .complexity(EFFORT)
            .bitrate(Bitrate::Bits(BITS_A_SECOND))
            .signal(Signal::Voice)
            .inband_fec(InbandFec::Enabled)
            .packet_loss_perc(EXPECTED_LOSS_PERCENT)
            .build()
            .ok()?;
        Some(Self {
            encoder,
            decoder: fresh_decoder()?,
            packet: [0; PACKET],
            before: [0; LONGEST],
            samples: [0; LONGEST],
            length: FRAME,
            next: None,
        })
    }

    /// The packet that says 20 ms of samples, given as linear bytes.
    pub(crate) fn encode_bytes(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        let mut samples = [0; FRAME];
        let length = (L16.decode)(bytes, &mut samples);
        let samples = samples.get(..length)?;
        let (encoder, packet) = (&mut self.encoder, &mut self.packet);
        let length = catch_unwind(AssertUnwindSafe(|| encoder.encode(samples, packet))).ok()?.ok()?;
        self.packet.get(..length)
    }

    /// The packet of that number holds no audio.
    pub(crate) fn skip(&mut self, sequence: u16) {
        if self.next == Some(sequence) {
            self.next = Some(sequence.wrapping_add(1));
        }
    }

    /// What the packet of that number says; `None` when it says nothing or came too late.
    pub(crate) fn decode(&mut self, sequence: u16, packet: &[u8]) -> Option<Decoded<'_>> {
        if packet.is_empty() {
            return None;
        }
        let ahead = self.next.map_or(0, |next| sequence.wrapping_sub(next));
        let late = ahead > u16::MAX / 2;
        if late && ahead.wrapping_neg() > BEHIND {
            return None;
        }
        let mut before = None;
        if (1..=GAP).contains(&ahead) {
            for _ in 1..ahead {
                self.step(&[], DecodeMode::Normal, Target::Before);
            }
            let carried = ropus::opus::decoder::opus_packet_has_lbrr(packet, packet.len() as i32) == Ok(true);
            let mode = if carried { DecodeMode::Fec } else { DecodeMode::Normal };
            let length = self.step(if carried { packet } else { &[] }, mode, Target::Before);
            before = length.filter(|_| carried);
        }
        let length = self.step(packet, DecodeMode::Normal, Target::Samples)?;
        self.length = length;
        if !late {
            self.next = Some(sequence.wrapping_add(1));
        }
        let before = before.and_then(|length| self.before.get(..length));
        Some(Decoded { before, samples: self.samples.get(..length)? })
    }

    /// One step of the decoder, with what it gave put where it belongs. A packet that is missing is as long as the last.
    fn step(&mut self, packet: &[u8], mode: DecodeMode, target: Target) -> Option<usize> {
        let room = match target {
            Target::Before => self.before.get_mut(..self.length)?,
            Target::Samples => &mut self.samples[..],
        };
        let decoder = &mut self.decoder;
        match catch_unwind(AssertUnwindSafe(|| decoder.decode(packet, room, mode))) {
            Ok(decoded) => decoded.ok().filter(|length| (1..=LONGEST).contains(length)),
            Err(_) => {
                // Its memory may be half written.
                if let Some(fresh) = fresh_decoder() {
                    self.decoder = fresh;
                }
                None
            }
        }
    }
}

enum Target {
    Before,
    Samples,
}

fn fresh_decoder() -> Option<Decoder> {
    Decoder::new(RATE, Channels::Mono).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Syllables of a voice of 140 Hz, as packets.
    fn packets(voice: &mut Voice, count: usize) -> Vec<Vec<u8>> {
        let wave = |i: usize, hertz: f32| (std::f32::consts::TAU * hertz * i as f32 / RATE as f32).sin();
        let sample = |i: usize| {
            let syllable = wave(i, 2.0).max(0.0);
            ((wave(i, 140.0) + wave(i, 700.0) * 0.7 + wave(i, 1260.0) * 0.4) * 5000.0 * syllable) as i16
        };
        let frames = (0..count).map(|frame| (0..FRAME).map(|i| sample(frame * FRAME + i)).collect::<Vec<_>>());
        frames
            .map(|frame| {
                let bytes: Vec<u8> = frame.iter().flat_map(|sample| sample.to_be_bytes()).collect();
                voice.encode_bytes(&bytes).expect("a whole frame").to_vec()
            })
            .collect()
    }

    #[test]
    fn what_is_missing_comes_with_the_next_packet() {
        let mut voice = Voice::new().expect("a codec");
        let packets = packets(&mut voice, 200);
        let (mut recovered, mut lost) = (0, 0);
        for (i, packet) in packets.iter().enumerate() {
            if i % 10 == 5 {
                continue;
            }
            let decoded = voice.decode(65_500_u16.wrapping_add(i as u16), packet).expect("decodes");
            assert_eq!(decoded.samples.len(), FRAME);
            if i % 10 == 6 {
                lost += 1;
                recovered += decoded.before.map_or(0, |before| usize::from(before.len() == FRAME));
            } else {
                assert!(decoded.before.is_none(), "nothing was missing before {i}");
            }
        }
        assert!(recovered * 3 >= lost, "{recovered} of {lost}: half of it is silence and carries nothing");
    }

    #[test]
    fn late_and_broken_packets_do_no_harm() {
        let mut voice = Voice::new().expect("a codec");
        let packets = packets(&mut voice, 30);
        for (i, packet) in packets.iter().enumerate().skip(1) {
            assert!(voice.decode(i as u16, packet).is_some());
        }
        assert!(voice.decode(20, &packets[20]).is_some(), "late, and of use");
        assert!(voice.decode(0, &packets[0]).is_none(), "too late");
        assert!(voice.decode(30, &[]).is_none());
        for seed in 0..2000_u32 {
            let mut junk = packets[seed as usize % packets.len()].clone();
            let at = seed as usize * 7 % junk.len();
            junk[at] ^= (seed >> 3) as u8 | 1;
            junk.truncate(1 + (seed as usize * 13) % junk.len());
            if let Some(decoded) = voice.decode(30 + seed as u16, &junk) {
                assert!(decoded.samples.len() <= LONGEST);
            }
        }
    }
}
