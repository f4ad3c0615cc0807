//! What one tick of one leg costs: `cargo run --release -p callwright-media --example tick_cost`.
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // it prints and measures: that is its purpose

use callwright_media::leg::{Leg, LegEvent, LegSettings, RtpStart};
use callwright_media::sdp::{Direction, RemoteMedia, RtcpPath};
use callwright_media::speech::Detection;
use callwright_media::{FRAME, Rate, Recorder, codec};
use std::hint::black_box;
use std::time::{Duration, Instant};

const TICKS: u32 = 20_000;

/// What the leg under test does.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    speaks: bool,
    plays: bool,
    detection: Detection,
}

fn main() {
    let load = |name, speaks, plays, detection| Load { name, speaks, plays, detection };
    println!("nanoseconds per leg and tick (packet in, frame, packet out), least of five runs");
    for load in [
        load("idle: silence in, nothing playing", false, false, Detection::On),
        load("playing into silence", false, true, Detection::On),
        load("speech in, playing, no detection", true, true, Detection::Off),
        load("full: speech in, playing, detection", true, true, Detection::On),
    ] {
        let best = (0..5).map(|_| measure(load)).min().unwrap_or_default();
        println!("{:>8}  {}", best.as_nanos() / u128::from(TICKS), load.name);
    }
}

fn measure(load: Load) -> Duration {
    let start = Instant::now();
    let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 4000));
    let mut settings = LegSettings::telephone(RtpStart { ssrc: 1, sequence: 1, timestamp: 1, seed: 1 });
    settings.speech.detection = load.detection;
    let mut leg = Leg::rtp(settings);
    leg.remote(
        start,
        RemoteMedia {
            address: peer,
            rtcp: RtcpPath::Muxed,
            codec: codec::PCMU,
            payload_type: 0,
            events: None,
            direction: Direction::SendRecv,
        },
    );
    let mut recorder = Recorder::new(Rate::Narrow);
    let mut spare = Vec::new();
    let agent = speechlike(8000, 0);
    let caller = speechlike(80_000, 3);
    let mut packet = vec![0xff_u8; 172];
    let mut spent = Duration::ZERO;
    for i in 0..TICKS {
        let now = start + FRAME * i;
        if load.plays && leg.room() > 72_000 {
            leg.play(&agent);
        }
        packet[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        packet[2..4].copy_from_slice(&(i as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(i * 160).to_be_bytes());
        if load.speaks {
            let at = (i as usize * 160) % caller.len();
            (codec::PCMU.encode)(&caller[at..at + 160], &mut packet[12..]);
        }
        let began = Instant::now();
        leg.handle_rtp(now, peer, &packet);
        leg.tick(now);
        while let Some(out) = leg.poll_transmit() {
            black_box(out.bytes);
        }
        while let Some(event) = leg.poll_event() {
            if let LegEvent::Audio(pair) = black_box(event)
                && recorder.push(&pair) == callwright_media::record::Chunk::Ready
            {
                spare = recorder.take(std::mem::take(&mut spare));
            }
        }
        spent += began.elapsed();
    }
    spent
}

/// Loud and voiced enough to keep the gate open and the model busy.
fn speechlike(samples: usize, shift: usize) -> Vec<i16> {
    let wave = |i: usize, hertz: f32| (std::f32::consts::TAU * hertz * i as f32 / 8000.0).sin();
    (shift..samples + shift)
        .map(|i| ((wave(i, 140.0) + wave(i, 700.0) * 0.7 + wave(i, 1260.0) * 0.4) * 5000.0) as i16)
        .collect()
}
