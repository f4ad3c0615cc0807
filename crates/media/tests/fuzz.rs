//! Random and mutated input: nothing panics, nothing grows, nothing is sent astray.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use callwright_media::sdp::{Direction, LocalMedia, Negotiation, parse};
use callwright_media::{FRAME, rtp};
use common::{Seen, leg, peer, run, stranger};
use proptest::prelude::*;
use std::time::Instant;

const VALID: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
    a=rtcp:40001\r\na=ptime:20\r\na=sendrecv\r\nm=video 0 RTP/AVP 96\r\n";

/// How many times the usual number of cases a long run asks for.
fn rounds() -> u32 {
    std::env::var("CALLWRIGHT_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

fn mutated(text: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for (at, kind, byte) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = at % bytes.len();
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000 * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn descriptions(edits in edits()) {
        let bytes = mutated(VALID.as_bytes(), &edits);
        let local = LocalMedia::telephone("127.0.0.1:40002".parse().unwrap());
        let mut negotiation = Negotiation::new(local, 1);
        if let Ok(answer) = negotiation.answer_offer(&bytes) {
            prop_assert!(answer.remote.address.port() >= 1024);
            let ours = parse(answer.body.as_bytes()).unwrap();
            let theirs = parse(&bytes).unwrap();
            prop_assert_eq!(ours.media.len(), theirs.media.len());
            prop_assert!(answer.body.lines().all(|line| line.is_ascii()));
        }
        negotiation.offer(Direction::SendRecv).unwrap();
        if let Ok(remote) = negotiation.accept_answer(&bytes) {
            prop_assert!(!remote.address.ip().is_multicast());
        }
    }

    #[test]
    fn packets(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(packet) = rtp::packet::parse(&bytes) {
            prop_assert!(!packet.payload.is_empty() && packet.payload.len() <= bytes.len() - 12);
        }
        if let Ok(compound) = rtp::rtcp::parse(&bytes, 5) {
            prop_assert!(compound.block.is_none_or(|block| block.ssrc == 5));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500 * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Telephone events with any content, any timestamp and any clock: keys come out one by one and never in a flood.
    #[test]
    fn keys(events in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..12), any::<u32>()), 0..100)) {
        let start = Instant::now();
        let mut receiver = callwright_media::dtmf::Receiver::default();
        let mut told = 0;
        for (i, (timestamp, mut payload, clock)) in events.into_iter().enumerate() {
            if let Some(event) = payload.first_mut().filter(|_| i % 2 == 0) {
                *event %= 16;
            }
            let now = start + FRAME * i as u32;
            receiver.handle(now, timestamp, &payload, clock);
            told += usize::from(receiver.poll(now).is_some());
        }
        prop_assert!(told <= 41, "at most 20 a second, in 2 seconds: {}", told);
    }

    /// RTP and RTCP that was right once.
    #[test]
    fn nearly_right_packets(edits in edits()) {
        let rtp_packet = [&[0x80, 101, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7][..], &[5, 0x80, 3, 32]].concat();
        if let Ok(packet) = rtp::packet::parse(&mutated(&rtp_packet, &edits)) {
            prop_assert!(!packet.payload.is_empty());
        }
        let report = [
            &[0x81, 200, 0, 12, 0, 0, 0, 7][..], &[1; 20], &[0, 0, 0, 5, 0, 0, 0, 0], &[2; 16],
            &[0x81, 202, 0, 2, 0, 0, 0, 7, 1, 0, 0, 0],
        ].concat();
        if let Ok(compound) = rtp::rtcp::parse(&mutated(&report, &edits), 5) {
            prop_assert!(compound.block.is_none_or(|block| block.ssrc == 5));
        }
    }
}

/// A packet of the peer with arbitrary numbers.
fn hostile() -> impl Strategy<Value = (bool, u8, u16, u32, u32, usize)> {
    let payload_type = prop::sample::select(vec![0_u8, 8, 13, 101, 96, 128, 128 + 101, 200, 201, 203]);
    let ssrc = prop::sample::select(vec![1_u32, 2, u32::MAX]);
    (prop::bool::weighted(0.9), payload_type, any::<u16>(), any::<u32>(), ssrc, 0..1700_usize)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100 * rounds(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_peer_that_lies_about_every_number(packets in prop::collection::vec(hostile(), 1..200)) {
        let start = Instant::now();
        let mut leg = leg(start);
        let mut seen = Seen::default();
        let mut steady = (0_u16, 0_u32);
        for (i, (ours, payload_type, sequence, timestamp, ssrc, len)) in packets.into_iter().enumerate() {
            let now = start + FRAME / 2 * i as u32;
            run(&mut leg, now, &mut seen);
            // Every other packet goes on from the last, so that lies are also believed at times.
            if i % 2 == 0 {
                steady = (sequence, timestamp);
            }
            steady = (steady.0.wrapping_add(1), steady.1.wrapping_add(len as u32));
            let mut bytes = vec![0x80, payload_type];
            bytes.extend(steady.0.to_be_bytes());
            bytes.extend(steady.1.to_be_bytes());
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend(vec![0x23; len]);
            leg.handle_rtp(now, if ours { peer() } else { stranger() }, &bytes);
        }
        prop_assert!(seen.packets.iter().all(|(to, _)| *to == peer()));
        prop_assert!(leg.stats().delay.as_millis() < 2000);
    }
}
