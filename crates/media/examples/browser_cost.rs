//! What a browser's leg costs beside a telephone's: `cargo run --profile demo --workspace --example browser_cost`.
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // it prints and measures: that is its purpose

#[path = "../../testkit/src/browser.rs"]
#[allow(dead_code, unreachable_pub)] // the testkit's, of which a part is needed here
mod browser;

use browser::{Browser, Redundancy, Speaks};
use callwright_media::leg::{Leg, LegSettings, RtpStart};
use callwright_media::sdp::{Direction, RemoteMedia, RtcpPath};
use callwright_media::webrtc::Identity;
use callwright_media::{FRAME, codec};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Ten seconds.
const TICKS: u32 = 500;

fn main() {
    let settings = || LegSettings::telephone(RtpStart { ssrc: 1, sequence: 1, timestamp: 1, seed: 1 });
    println!("microseconds of a leg per 20 ms, least of five runs; both sides speak");
    let telephone = (0..5).map(|_| telephone(settings())).min().unwrap_or_default();
    println!("{:>8.1}  telephone, G.711", per_tick(telephone));
    for (name, speaks) in [
        ("browser, Opus with redundancy", Speaks::Opus(Redundancy::Some)),
        ("browser, Opus without", Speaks::Opus(Redundancy::None)),
        ("browser, G.711", Speaks::Telephone(codec::PCMU)),
    ] {
        let runs: Vec<_> = (0..5).map(|_| browser(settings(), speaks)).collect();
        let least = |part: fn(&Cost) -> Duration| runs.iter().map(part).min().unwrap_or_default();
        let (both, silent) = (least(|cost| cost.speaking), least(|cost| cost.silent));
        println!("{:>8.1}  {name}: {:.1} times the telephone's", per_tick(both), both.div_duration_f64(telephone));
        println!("{:>8.1}  the same while nobody speaks", per_tick(silent));
        println!(
            "{:>8.1}  ms to answer the offer, {:.1} ms for the handshake, its longest step {:.1} ms",
            1e3 * least(|cost| cost.offer).as_secs_f64(),
            1e3 * least(|cost| cost.handshake).as_secs_f64(),
            1e3 * least(|cost| cost.longest).as_secs_f64(),
        );
    }
}

fn per_tick(spent: Duration) -> f64 {
    1e6 * spent.as_secs_f64() / f64::from(TICKS)
}

fn telephone(settings: LegSettings) -> Duration {
    let start = Instant::now();
    let peer = SocketAddr::from(([192, 0, 2, 1], 4000));
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
    let (caller, agent) = (speechlike(8000, 8000), speechlike(8000, 8000));
    let mut packet = [0; 172];
    let mut spent = Duration::ZERO;
    for i in 0..TICKS {
        let now = start + FRAME * i;
        if leg.room() > 72_000 {
            leg.play(&agent);
        }
        packet[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        packet[2..4].copy_from_slice(&(i as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(i * 160).to_be_bytes());
        let at = (i as usize * 160) % caller.len();
        (codec::PCMU.encode)(&caller[at..at + 160], &mut packet[12..]);
        spent += timed(|| {
            leg.handle_rtp(now, peer, &packet);
            leg.tick(now);
            drain(&mut leg, |_, _| {});
        });
    }
    spent
}

#[derive(Default)]
struct Cost {
    offer: Duration,
    handshake: Duration,
    longest: Duration,
    speaking: Duration,
    silent: Duration,
}

fn browser(settings: LegSettings, speaks: Speaks) -> Cost {
    let mut now = Instant::now();
    let here = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let there = SocketAddr::from(([127, 0, 0, 1], 50_000));
    let identity = Identity::new(&[here]).expect("an identity");
    let (mut browser, offer) = Browser::new(now, there, speaks);
    let mut cost = Cost::default();
    let mut made = None;
    cost.offer = timed(|| made = Some(Leg::browser(now, settings, &identity, &offer).expect("a good offer")));
    let Some((mut leg, answer)) = made else { return cost };
    browser.answered(now, &answer).expect("a good answer");
    let rate = browser.rate() as usize;
    let (caller, agent) = (speechlike(rate, rate), speechlike(8000, leg.rate().hertz() as usize));
    let mut round = |leg: &mut Leg, says: &[i16], plays: &[i16]| {
        now += FRAME;
        browser.time(now);
        if !says.is_empty() {
            browser.say(now, says);
        }
        let (mut spent, mut longest) = (Duration::ZERO, Duration::ZERO);
        let mut count = |took: Duration| {
            spent += took;
            longest = longest.max(took);
        };
        if leg.queued() < Duration::from_secs(1) && !plays.is_empty() {
            leg.play(plays);
        }
        loop {
            let mut out = Vec::new();
            while let Some((_, bytes)) = browser.poll() {
                count(timed(|| leg.handle_rtp(now, there, &bytes)));
            }
            count(timed(|| {
                leg.upkeep(now);
                leg.tick(now);
                drain(leg, |_, bytes| out.push(bytes.to_vec()));
            }));
            if out.is_empty() {
                return (spent, longest, browser.connected);
            }
            out.iter().for_each(|bytes| browser.handle(now, here, bytes));
        }
    };
    for _ in 0..100 {
        let (spent, longest, connected) = round(&mut leg, &[], &[]);
        cost.handshake += spent;
        cost.longest = cost.longest.max(longest);
        if connected {
            break;
        }
    }
    let silence = vec![0; rate / 50];
    for _ in 0..TICKS {
        cost.silent += round(&mut leg, &silence, &[]).0;
    }
    for i in 0..TICKS as usize {
        let at = (i * rate / 50) % caller.len();
        cost.speaking += round(&mut leg, &caller[at..at + rate / 50], &agent).0;
    }
    cost
}

fn drain(leg: &mut Leg, mut send: impl FnMut(SocketAddr, &[u8])) {
    while let Some(packet) = leg.poll_transmit() {
        send(packet.destination, black_box(packet.bytes));
    }
    while let Some(event) = leg.poll_event() {
        black_box(event);
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Loud and voiced enough to keep the gate open and the model busy.
fn speechlike(samples: usize, rate: usize) -> Vec<i16> {
    let wave = |i: usize, hertz: f32| (std::f32::consts::TAU * hertz * i as f32 / rate as f32).sin();
    (0..samples).map(|i| ((wave(i, 140.0) + wave(i, 700.0) * 0.7 + wave(i, 1260.0) * 0.4) * 5000.0) as i16).collect()
}
