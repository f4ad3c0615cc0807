//! Hostile descriptions and packets: every case of the two vector files, with what must come of it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod common;

use callwright_media::leg::LegEvent;
use callwright_media::sdp::{Direction, LocalMedia, Negotiation, RemoteMedia, SdpError, SdpFault, Srtp};
use common::{Seen, Sender, leg, ms, peer, run, stranger};
use serde_json::Value;
use std::time::Instant;

fn cases(text: &str) -> Vec<Value> {
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn answer(sdp: &[u8], srtp: Srtp) -> Result<RemoteMedia, SdpError> {
    let local = LocalMedia { srtp, ..LocalMedia::telephone("127.0.0.1:40002".parse().unwrap()) };
    let mut negotiation = Negotiation::new(local.clone(), 1);
    if srtp == Srtp::Required {
        assert_eq!(negotiation.offer(Direction::SendRecv), Err(SdpError::SrtpRequired));
        return negotiation.accept_answer(sdp);
    }
    negotiation.offer(Direction::SendRecv).unwrap();
    let accepted = negotiation.accept_answer(sdp);
    // The same text as an offer must meet the same fate.
    let answered = Negotiation::new(local, 1).answer_offer(sdp).map(|answer| answer.remote);
    assert_eq!(accepted.is_ok(), answered.is_ok());
    accepted
}

#[test]
fn sdp() {
    let cases = cases(include_str!("fixtures/sdp-hostile.jsonl"));
    assert_eq!(cases.len(), 31);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let text = case["sdp"].as_str().unwrap();
        let required = case.get("context").is_some();
        let result = answer(text.as_bytes(), if required { Srtp::Required } else { Srtp::Off });
        let fault = result.as_ref().err().map(SdpError::fault);
        match name {
            "baseline"
            | "ptime-0"
            | "ptime-negative"
            | "ptime-3-maxptime-1"
            | "c-at-media-only"
            | "s-missing-and-empty-s"
            | "lf-only"
            | "no-final-eol" => {
                let remote = result.unwrap();
                assert_eq!(remote.address, "127.0.0.1:40000".parse().unwrap(), "{name}");
                assert!(remote.events.is_some(), "{name}");
            }
            "m-lines-2000" | "line-60k" => assert_eq!(fault, Some(SdpFault::TooLarge), "{name}"),
            "port-0" => assert_eq!(fault, Some(SdpFault::NoMedia), "{name}"),
            "fmtp-nul" | "order-broken" => {} // alive is all that is asked
            "c-any" => assert!(result.unwrap().is_held(), "{name}"),
            "dtmf-pt-mismatch" => assert_eq!(result.unwrap().events.map(|e| e.clock), Some(48_000), "{name}"),
            "avp-answer-to-savp-offer" => assert_eq!(fault, Some(SdpFault::SrtpRequired), "{name}"),
            "savp-without-crypto" | "crypto-short-key" | "fingerprint-sha1-only" => {
                assert!(matches!(result, Err(SdpError::SecuredProfile(_))), "{name}");
            }
            "fmt-2pow32"
            | "no-fmt"
            | "rtpmap-clock-0"
            | "rtpmap-pt-collision"
            | "port-65536"
            | "port-22"
            | "c-broadcast"
            | "c-multicast"
            | "c-metadata"
            | "c-hostname"
            | "c-missing"
            | "ice-ufrag-257" => {
                assert!(result.is_err(), "{name}: {result:?}");
            }
            other => panic!("a case without a verdict: {other}"),
        }
    }
}

/// Plays one case into a leg, one packet each 20 ms, and runs on for half a second.
fn play(case: &Value) -> (callwright_media::LegStats, Seen) {
    let name = case["name"].as_str().unwrap();
    let start = Instant::now();
    let mut leg = leg(start);
    let mut seen = Seen::default();
    let mut now = start;
    if name == "inject-other-source" || name.starts_with("rtcp") || name.contains("dtls") {
        let mut sender = Sender::new(0x1122_3344);
        for _ in 0..10 {
            now += ms(20);
            leg.handle_rtp(now, peer(), &sender.packet(&[0; 160]));
            run(&mut leg, now, &mut seen);
        }
    }
    let mut source = peer();
    for packet in case["packets"].as_array().unwrap() {
        let packet = packet.as_str().unwrap();
        if packet.starts_with("SEND_FROM_OTHER") {
            source = stranger();
            continue;
        }
        now += ms(20);
        leg.handle_rtp(now, source, &hex::decode(packet).unwrap());
        run(&mut leg, now, &mut seen);
    }
    let sent = case["packets"].as_array().unwrap().last().unwrap().as_str().unwrap();
    if ["seq-jump-30000", "ts-backward", "ssrc-change-mid-stream"].contains(&name) {
        // The stream goes on from the packet that jumped.
        let bytes = hex::decode(sent).unwrap();
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut sender = Sender::new(word(8));
        sender.sequence = (word(0) as u16).wrapping_add(1);
        sender.timestamp = word(4).wrapping_add(160);
        for _ in 0..50 {
            now += ms(20);
            leg.handle_rtp(now, peer(), &sender.packet(&[0; 160]));
            run(&mut leg, now, &mut seen);
        }
        assert!(leg.stats().delay < ms(200), "{name}: {:?}", leg.stats().delay);
        return (leg.stats(), seen);
    }
    if name == "spray-before-first" {
        let mut sender = Sender::new(1);
        for _ in 0..10 {
            now += ms(20);
            leg.handle_rtp(now, peer(), &sender.packet(&[0; 160]));
            run(&mut leg, now, &mut seen);
        }
    }
    run(&mut leg, now + ms(500), &mut seen);
    (leg.stats(), seen)
}

#[test]
fn rtp() {
    let cases = cases(include_str!("fixtures/rtp-hostile.jsonl"));
    assert_eq!(cases.len(), 34);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let (stats, seen) = play(case);
        assert!(seen.packets.iter().all(|(to, _)| *to == peer()), "{name}: a packet went astray");
        assert!(seen.rtp().count() >= 20, "{name}: the leg went silent");
        assert!(!seen.events.contains(&LegEvent::Goodbye), "{name}");
        match name {
            "baseline" | "seq-wrap" => {
                assert_eq!((stats.received, stats.rejected, stats.lost, stats.late), (5, 0, 0, 0), "{name}");
            }
            "version-1"
            | "version-3"
            | "short-11-bytes"
            | "header-only"
            | "cc-15-no-csrc"
            | "ext-length-overrun"
            | "padding-larger-than-payload"
            | "padding-zero"
            | "jumbo-9000"
            | "pt-unknown-35"
            | "stun-on-rtp-port" => assert_eq!((stats.received, stats.rejected), (0, 1), "{name}"),
            "odd-payload-1-byte" => assert_eq!(stats.received, 1),
            "seq-jump-30000" | "ssrc-change-mid-stream" => {
                assert_eq!((stats.resyncs, stats.rejected), (1, 1), "{name}");
                assert_eq!(stats.received, 51, "{name}");
            }
            "ts-backward" => assert_eq!((stats.resyncs, stats.rejected, stats.received), (1, 0, 52)),
            "duplicate-x50" => assert_eq!((stats.duplicated, stats.received, stats.late), (49, 50, 0)),
            "inject-other-source" => assert_eq!((stats.received, stats.rejected), (10, 50)),
            "spray-before-first" => assert_eq!((stats.received, stats.rejected), (10, 3)),
            "dtmf-5-normal" => assert_eq!(seen.digits(), "5"),
            "dtmf-no-end" => assert_eq!(seen.digits(), "7"),
            "dtmf-end-only" => assert_eq!(seen.digits(), "9"),
            "dtmf-start-lost-ends-x3" => assert_eq!(seen.digits(), "1"),
            "dtmf-duration-wrap" => assert_eq!(seen.digits(), "3"),
            "dtmf-event-99" | "dtmf-short-3-bytes" => assert_eq!(seen.digits(), ""),
            "rtcp-sr-ok" => assert_eq!(stats.rejected, 0),
            "rtcp-length-overrun"
            | "rtcp-length-0-loop"
            | "rtcp-rr-31-blocks-short"
            | "rtcp-bye-spoofed"
            | "rtcp-fb-rpsi-short"
            | "dtls-hello-null-cipher" => assert_eq!(stats.rejected, 1, "{name}"),
            other => panic!("a case without a verdict: {other}"),
        }
    }
}
