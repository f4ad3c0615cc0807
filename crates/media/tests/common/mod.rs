//! What several test files need: a peer, a voice, and network weather, all seeded and on a virtual clock.
#![allow(dead_code)] // every test file uses another part
#![allow(clippy::disallowed_methods, clippy::unwrap_used, unreachable_pub)]

use callwright_media::leg::{Leg, LegEvent, LegSettings, RtpStart};
use callwright_media::sdp::{Direction, RemoteMedia, RtcpPath, TelephoneEvents};
use callwright_media::{FRAME, codec};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub fn peer() -> SocketAddr {
    "192.0.2.1:4000".parse().unwrap()
}

pub fn stranger() -> SocketAddr {
    "192.0.2.66:4000".parse().unwrap()
}

pub fn settings() -> LegSettings {
    LegSettings::telephone(RtpStart { ssrc: 0x0a0b_0c0d, sequence: 65_530, timestamp: u32::MAX - 1000, seed: 7 })
}

pub fn remote() -> RemoteMedia {
    RemoteMedia {
        address: peer(),
        rtcp: RtcpPath::Muxed,
        codec: codec::PCMU,
        payload_type: 0,
        events: Some(TelephoneEvents { payload_type: 101, receive_payload_type: 101, clock: 8000 }),
        direction: Direction::SendRecv,
    }
}

pub fn leg(now: Instant) -> Leg {
    let mut leg = Leg::rtp(settings());
    leg.remote(now, remote());
    leg
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// xorshift64*: the same weather on every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Something like a voice: pulses of 110 to 140 Hz through three formants that move, in syllables of a quarter second.
pub fn voice(samples: usize, seed: u64) -> Vec<i16> {
    let mut dice = Dice::new(seed);
    let mut states = [[0.0_f64; 2]; 3];
    let (mut phase, mut out) = (0.0, Vec::with_capacity(samples));
    for i in 0..samples {
        let t = i as f64 / 8000.0;
        let pitch = 125.0 + 15.0 * (t * 2.1).sin();
        phase += pitch / 8000.0;
        let mut excitation = (dice.roll() - 0.5) * 0.05;
        if phase >= 1.0 {
            phase -= 1.0;
            excitation += 1.0;
        }
        let vowel = (t * 4.0) as usize % 4;
        let formants =
            [[700.0, 1200.0, 2500.0], [300.0, 2200.0, 2900.0], [500.0, 900.0, 2400.0], [400.0, 1900.0, 2600.0]];
        let mut sum = 0.0;
        for (k, state) in states.iter_mut().enumerate() {
            let (r, w) = (0.97_f64 - 0.01 * k as f64, std::f64::consts::TAU * formants[vowel][k] / 8000.0);
            let y = excitation + 2.0 * r * w.cos() * state[0] - r * r * state[1];
            state[1] = state[0];
            state[0] = y;
            sum += y / (1.0 + k as f64);
        }
        let syllable = (0.55 - 0.45 * (t * std::f64::consts::TAU * 4.0).cos()).max(0.0);
        out.push((sum * syllable * 1500.0).clamp(-30_000.0, 30_000.0) as i16);
    }
    out
}

/// A sender of mu-law packets with its own sequence and timestamps.
pub struct Sender {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

impl Sender {
    pub fn new(ssrc: u32) -> Self {
        Self { ssrc, sequence: 1000, timestamp: 50_000 }
    }

    pub fn packet(&mut self, samples: &[i16]) -> Vec<u8> {
        let mut payload = vec![0; samples.len()];
        (codec::PCMU.encode)(samples, &mut payload);
        let mut bytes = vec![0x80, 0];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples.len() as u32);
        bytes
    }
}

/// Drains a leg: events without audio, the audio as recorded and as given to the ears, packets sent.
#[derive(Default)]
pub struct Seen {
    pub events: Vec<LegEvent>,
    pub heard: Vec<i16>,
    pub ears: Vec<i16>,
    pub sent: Vec<i16>,
    pub packets: Vec<(SocketAddr, Vec<u8>)>,
}

impl Seen {
    pub fn drain(&mut self, leg: &mut Leg) {
        while let Some(packet) = leg.poll_transmit() {
            self.packets.push((packet.destination, packet.bytes.to_vec()));
        }
        while let Some(event) = leg.poll_event() {
            match event {
                LegEvent::Heard(frame) => self.ears.extend(frame.samples()),
                LegEvent::Audio(pair) => {
                    self.heard.extend(pair.heard.samples());
                    self.sent.extend(pair.sent.samples());
                }
                other => self.events.push(other),
            }
        }
    }

    pub fn digits(&self) -> String {
        let digit = |event: &LegEvent| match event {
            LegEvent::Dtmf { digit, .. } => Some(digit.as_char()),
            _ => None,
        };
        self.events.iter().filter_map(digit).collect()
    }

    /// Media packets only.
    pub fn rtp(&self) -> impl Iterator<Item = &(SocketAddr, Vec<u8>)> {
        self.packets.iter().filter(|(_, bytes)| bytes[1] & 0x7f < 72 || bytes[1] & 0x7f > 95)
    }
}

/// Ticks a leg exactly when it is due until `until`.
pub fn run(leg: &mut Leg, until: Instant, seen: &mut Seen) {
    while let Some(due) = leg.next_due().filter(|due| *due < until) {
        leg.tick(due);
        seen.drain(leg);
    }
}

/// One packet's fate in the network.
pub type Weather<'a> = &'a mut dyn FnMut(usize) -> Option<Duration>;

/// Sends `audio` in packets of `packet` samples through `weather` into `leg`, in order of arrival.
/// `clock` stretches the sender's clock (1.0002 = 200 ppm slow).
pub fn through(leg: &mut Leg, start: Instant, audio: &[i16], plan: (usize, f64), weather: Weather<'_>) -> Seen {
    let (packet, clock) = plan;
    let mut sender = Sender::new(0x5555);
    let mut arrivals: Vec<(Instant, usize, Vec<u8>)> = Vec::new();
    for (i, chunk) in audio.chunks(packet).enumerate() {
        let bytes = sender.packet(chunk);
        let sent = start + Duration::from_secs_f64(((i + 1) * packet) as f64 / 8000.0 * clock);
        if let Some(delay) = weather(i) {
            arrivals.push((sent + delay, i, bytes));
        }
    }
    arrivals.sort_by_key(|(at, i, _)| (*at, *i));
    let mut seen = Seen::default();
    for (at, _, bytes) in arrivals {
        run(leg, at, &mut seen);
        leg.handle_rtp(at, peer(), &bytes);
        seen.drain(leg);
    }
    let end = leg.next_due().unwrap() + FRAME * 5;
    run(leg, end, &mut seen);
    seen
}
