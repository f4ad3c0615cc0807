//! The jitter buffer: packets in as they come, 20 ms frames out on the leg's own clock.
//!
//! Every sample has a time to be played: media time plus the fastest transit of late plus a delay that most packets
//! meet. The delay is held between limits by leaving out or repeating single pitch periods, so it follows the network
//! and the drift between the two clocks. What does not come in time is concealed.
//!
//! Never trusts numbers of the far end further than one restart: a jump of sequence or time begins a new timeline.

use super::delay::Delays;
use super::packet::Packet;
use super::plc::Concealer;
use super::stretch::{lengthen, max_period, period_at_start, shorten};
use crate::leg::JitterLimits;
use crate::{Codec, Rate};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets held at most: over a second of 10 ms packets.
const MAX_PACKETS: usize = 128;
/// A sequence further away than this is another stream's (RFC 3550 A.1 has 3000 ahead, 100 behind).
const MAX_SEQUENCE_STEP: i64 = 1000;
/// A timestamp further from its arrival than this was set anew by the sender.
const JUMP_US: i64 = 500_000;
/// After this long without packets a stream starts over.
const DORMANT: Duration = Duration::from_secs(1);
/// This many packets in a row too late: the path itself became longer.
const LATE_RUN: u32 = 10;
/// More delay than wanted by this much is worked off.
const TOO_SLOW_US: i64 = 12_000;
/// Less delay than wanted by this much is built up.
const TOO_FAST_US: i64 = 4_000;
/// More delay than wanted by this much is cut at once.
const CUT_US: i64 = 100_000;
/// How periodic audio must be to be shortened while there is no hurry.
const GOOD_FIT: f32 = 0.6;
/// Beyond this surplus (or lack) any place is taken.
const HURRY_US: i64 = 40_000;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It will be played, as the first of a new timeline.
    Began,
    /// It will be played.
    Held,
    /// It was there before.
    Duplicate,
    /// Its time was over.
    Late,
    /// It fits no stream known; a second one like it would begin a new stream.
    Stray,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Audio of the far end.
    Audio,
    /// Mostly made up.
    Concealed,
    /// Silence: nothing is playing.
    Idle,
}

/// Counters since the leg began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JitterCounters {
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// New timelines begun after the first.
    pub resyncs: u64,
    /// Samples made up while audio was flowing.
    pub concealed: u64,
    /// Single periods left out or repeated.
    pub stretched: u64,
}

struct Held {
    sequence: i64,
    timestamp: i64,
    codec: &'static Codec,
    payload: Vec<u8>,
}

struct Stream {
    ssrc: u32,
    top_sequence: i64,
    top_timestamp: i64,
    /// Bit n: the packet n before the top came.
    seen: u64,
    packet_samples: i64,
    last_arrival: Instant,
    start_at: Instant,
    playing: bool,
    late_run: u32,
    /// Media time of the next sample to be played.
    next: i64,
}

/// The buffer of one leg.
pub struct JitterBuffer {
    rate: Rate,
    limits: JitterLimits,
    epoch: Option<Instant>,
    stream: Option<Stream>,
    probation: Option<(u32, u16)>,
    packets: VecDeque<Held>,
    spare: Vec<Vec<u8>>,
    delays: Delays,
    /// Decoded audio from `Stream::next` on.
    ready: Vec<i16>,
    concealer: Concealer,
    counters: JitterCounters,
    target_us: i64,
}

impl JitterBuffer {
    /// An empty buffer.
    pub fn new(rate: Rate, limits: JitterLimits) -> Self {
        Self {
            rate,
            limits,
            epoch: None,
            stream: None,
            probation: None,
            packets: VecDeque::with_capacity(32),
            spare: Vec::with_capacity(32),
            delays: Delays::new(),
            ready: Vec::with_capacity(4 * rate.frame_samples()),
            concealer: Concealer::new(rate),
            counters: JitterCounters::default(),
            target_us: micros(limits.start),
        }
    }

    /// Counters since the beginning.
    pub const fn counters(&self) -> JitterCounters {
        self.counters
    }

    /// How long audio waits now, beyond the fastest packet; zero while nothing plays.
    pub fn delay(&self, now: Instant) -> Duration {
        match &self.stream {
            Some(stream) if stream.playing => {
                Duration::from_micros(u64::try_from(self.actual_us(now, stream.next)).unwrap_or(0))
            }
            _ => Duration::ZERO,
        }
    }

    /// Takes a media packet whose payload type means `codec`.
    pub fn insert(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec) -> Inserted {
        self.epoch.get_or_insert(now);
        let Some(stream) = &self.stream else {
            return self.begin(now, packet, codec);
        };
        if stream.ssrc != packet.ssrc {
            return self.probe(now, packet, codec);
        }
        if now.saturating_duration_since(stream.last_arrival) >= DORMANT && self.packets.is_empty() {
            return self.begin(now, packet, codec);
        }
        let step = i64::from(packet.sequence.wrapping_sub(stream.top_sequence as u16) as i16);
        let timestamp =
            stream.top_timestamp + i64::from(packet.timestamp.wrapping_sub(stream.top_timestamp as u32) as i32);
        if step.abs() > MAX_SEQUENCE_STEP {
            return self.probe(now, packet, codec);
        }
        if step <= 0 && step > -64 && stream.seen & (1 << -step) != 0 {
            self.counters.duplicated += 1;
            return Inserted::Duplicate;
        }
        let arrival = self.since_epoch(now);
        let transit = arrival - self.media_us(timestamp);
        let off = (transit - self.delays.base()).abs() > JUMP_US;
        let in_step = timestamp - stream.top_timestamp == step * stream.packet_samples;
        if off && !in_step {
            // A sender that set its timestamp anew goes on counting its packets.
            return if step == 1 { self.begin(now, packet, codec) } else { self.probe(now, packet, codec) };
        }
        self.probation = None;
        self.delays.note(arrival, transit);
        self.retarget();
        self.hold(now, step, timestamp, (packet, codec))
    }

    fn hold(
        &mut self,
        now: Instant,
        step: i64,
        timestamp: i64,
        (packet, codec): (&Packet<'_>, &'static Codec),
    ) -> Inserted {
        let Some(stream) = &mut self.stream else {
            return Inserted::Stray;
        };
        let sequence = stream.top_sequence + step;
        stream.last_arrival = now;
        if step > 0 {
            if step == 1 {
                let samples = timestamp - stream.top_timestamp;
                if (1..=1600).contains(&samples) {
                    stream.packet_samples = samples;
                }
            }
            stream.seen = if step < 64 { (stream.seen << step) | 1 } else { 1 };
            stream.top_sequence = sequence;
            stream.top_timestamp = timestamp;
        } else if step > -64 {
            stream.seen |= 1 << -step;
        }
        let samples = codec.samples_in(packet.payload.len()) as i64;
        if stream.playing && timestamp + samples <= stream.next {
            self.counters.late += 1;
            stream.late_run += 1;
            if stream.late_run >= LATE_RUN {
                return self.begin(now, packet, codec);
            }
            return Inserted::Late;
        }
        stream.late_run = 0;
        self.keep(sequence, timestamp, packet.payload, codec);
        Inserted::Held
    }

    fn keep(&mut self, sequence: i64, timestamp: i64, payload: &[u8], codec: &'static Codec) {
        if self.packets.len() >= MAX_PACKETS
            && let Some(oldest) = self.packets.pop_front()
        {
            self.spare.push(oldest.payload);
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(payload);
        let behind = self.packets.iter().rev().take_while(|held| held.sequence > sequence).count();
        let held = Held { sequence, timestamp, codec, payload: bytes };
        self.packets.insert(self.packets.len() - behind, held);
    }

    /// A packet of another stream or far off: believed when its successor comes too (RFC 3550 A.1).
    fn probe(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec) -> Inserted {
        if self.probation == Some((packet.ssrc, packet.sequence.wrapping_sub(1))) {
            return self.begin(now, packet, codec);
        }
        self.probation = Some((packet.ssrc, packet.sequence));
        Inserted::Stray
    }

    /// Begins a timeline with this packet.
    fn begin(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec) -> Inserted {
        if self.stream.is_some() {
            self.counters.resyncs += 1;
        }
        while let Some(held) = self.packets.pop_front() {
            self.spare.push(held.payload);
        }
        self.ready.clear();
        self.probation = None;
        let timestamp = i64::from(packet.timestamp);
        let arrival = self.since_epoch(now);
        self.delays.rebase(arrival, arrival - self.media_us(timestamp));
        let wait = Duration::from_micros(u64::try_from(self.target_us).unwrap_or(0));
        self.stream = Some(Stream {
            ssrc: packet.ssrc,
            top_sequence: i64::from(packet.sequence),
            top_timestamp: timestamp,
            seen: 1,
            packet_samples: codec.samples_in(packet.payload.len()) as i64,
            last_arrival: now,
            start_at: now.checked_add(wait).unwrap_or(now),
            playing: false,
            late_run: 0,
            next: timestamp,
        });
        self.keep(i64::from(packet.sequence), timestamp, packet.payload, codec);
        Inserted::Began
    }

    /// Fills `frame` with what is to be heard at `now`; to be called once per frame of the leg's clock.
    pub fn pull(&mut self, now: Instant, frame: &mut [i16]) -> Pulled {
        let half_frame = crate::FRAME / 2;
        match &mut self.stream {
            Some(stream) if stream.playing => {}
            Some(stream) if now + half_frame >= stream.start_at => stream.playing = true,
            _ => {
                self.fade_out(frame);
                return Pulled::Idle;
            }
        }
        let wanted = frame.len();
        self.adjust(now, wanted);
        let before = self.counters.concealed;
        let idle = self.concealer.is_silent() && self.packets.is_empty() && self.ready.is_empty();
        let (advance, made_up) = self.complete(now, wanted);
        frame.copy_from_slice(&self.ready[..wanted]);
        self.ready.drain(..wanted);
        if let Some(stream) = &mut self.stream {
            stream.next += advance as i64;
        }
        self.concealer.played(frame);
        if idle {
            // Nothing flows (a pause of the sender, or its end): that is no loss to be counted.
            self.counters.concealed = before;
            return Pulled::Idle;
        }
        if made_up * 2 > wanted { Pulled::Concealed } else { Pulled::Audio }
    }

    /// Before a timeline plays, the end of the one before it dies away.
    fn fade_out(&mut self, frame: &mut [i16]) {
        if self.concealer.is_silent() || self.stream.is_none() {
            frame.fill(0);
            return;
        }
        self.ready.clear();
        self.concealer.conceal(frame.len(), &mut self.ready);
        frame.copy_from_slice(&self.ready[..frame.len()]);
        self.ready.clear();
        self.concealer.played(frame);
    }

    /// Brings the delay towards the target: a cut when far off, else one period more or less.
    fn adjust(&mut self, now: Instant, wanted: usize) {
        let Some(next) = self.stream.as_ref().map(|stream| stream.next) else {
            return;
        };
        let surplus = self.actual_us(now, next) - self.target_us;
        let too_long = self.actual_us(now, next) > micros(self.limits.max);
        if (surplus > CUT_US || (too_long && surplus > TOO_SLOW_US)) && !self.packets.is_empty() {
            self.skip(surplus * i64::from(self.rate.hertz()) / 1_000_000);
        } else if surplus > TOO_SLOW_US {
            self.decode(wanted + max_period(self.rate));
            self.stretch(surplus, wanted);
        } else if surplus < -TOO_FAST_US {
            self.decode(wanted + max_period(self.rate) / 2);
            self.stretch(surplus, wanted);
        }
    }

    /// Throws away `samples` of what would come next.
    fn skip(&mut self, samples: i64) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        stream.next += samples;
        let ready = usize::try_from(samples).unwrap_or(0).min(self.ready.len());
        self.ready.drain(..ready);
        if !self.ready.is_empty() {
            return;
        }
        let next = stream.next;
        while self.packets.front().is_some_and(|held| held.end() <= next) {
            if let Some(held) = self.packets.pop_front() {
                self.spare.push(held.payload);
            }
        }
    }

    fn stretch(&mut self, surplus: i64, wanted: usize) {
        let Some(period) = period_at_start(self.rate, &self.ready) else {
            return;
        };
        let Some(stream) = &mut self.stream else {
            return;
        };
        if period.fit < GOOD_FIT && surplus.abs() < HURRY_US {
            return;
        }
        if surplus < 0 {
            lengthen(self.rate, &mut self.ready, period.samples);
            stream.next -= period.samples as i64;
        } else if self.ready.len() >= wanted + period.samples {
            shorten(self.rate, &mut self.ready, period.samples);
            stream.next += period.samples as i64;
        } else {
            return;
        }
        self.counters.stretched += 1;
    }

    /// Makes `ready` hold at least `wanted` samples. Returns by how much media time advances and how much was made up.
    fn complete(&mut self, now: Instant, wanted: usize) -> (usize, usize) {
        let mut made_up = 0;
        let mut advance = wanted;
        self.decode(wanted);
        while self.ready.len() < wanted {
            let missing = wanted - self.ready.len();
            let Some(next) = self.stream.as_ref().map(|stream| stream.next) else {
                self.ready.resize(wanted, 0);
                break;
            };
            let end = next + self.ready.len() as i64;
            let gap = self.packets.front().map(|head| usize::try_from(head.timestamp - end).unwrap_or(0));
            let count = gap.map_or(missing, |gap| gap.clamp(1, missing));
            // With too little delay and nothing to play, the made-up audio is a wait, not a replacement.
            let waits = gap.is_none() && self.actual_us(now, next) < self.target_us - TOO_FAST_US;
            self.concealer.conceal(count, &mut self.ready);
            made_up += count;
            self.counters.concealed += count as u64;
            if waits {
                advance -= count;
            }
            self.decode(wanted);
        }
        (advance, made_up)
    }

    /// Decodes packets that continue `ready` until it holds `wanted` samples or the next packet is missing.
    fn decode(&mut self, wanted: usize) {
        let Some(next) = self.stream.as_ref().map(|stream| stream.next) else {
            return;
        };
        while self.ready.len() < wanted {
            let end = next + self.ready.len() as i64;
            if self.packets.front().is_none_or(|head| head.timestamp > end) {
                return;
            }
            let Some(held) = self.packets.pop_front() else {
                return;
            };
            let already = usize::try_from(end - held.timestamp).unwrap_or(0);
            let samples = held.codec.samples_in(held.payload.len());
            if already < samples {
                let old = self.ready.len();
                self.ready.resize(old + samples, 0);
                let written = (held.codec.decode)(&held.payload, &mut self.ready[old..]);
                self.ready.truncate(old + written);
                self.ready.drain(old..old + already.min(written));
                self.concealer.rejoin(&mut self.ready[old..]);
            }
            self.spare.push(held.payload);
        }
    }

    fn retarget(&mut self) {
        // A frame that is not aligned with the packets needs the last of them, which begins almost a frame later.
        let needed = self.delays.needed().map_or(self.limits.start, |needed| needed + crate::FRAME);
        // A little below the maximum, so that the delay itself never exceeds it. No clamp: settings may be odd.
        let most = micros(self.limits.max) - TOO_SLOW_US;
        self.target_us = micros(needed).min(most).max(micros(self.limits.min));
    }

    fn since_epoch(&self, now: Instant) -> i64 {
        self.epoch.map_or(0, |epoch| micros(now.saturating_duration_since(epoch)))
    }

    fn media_us(&self, timestamp: i64) -> i64 {
        timestamp * 1_000_000 / i64::from(self.rate.hertz())
    }

    /// How long after the earliest possible moment the sample at `next` would be played at `now`.
    fn actual_us(&self, now: Instant, next: i64) -> i64 {
        self.since_epoch(now) - self.delays.base() - self.media_us(next)
    }
}

impl Held {
    fn end(&self) -> i64 {
        self.timestamp + self.codec.samples_in(self.payload.len()) as i64
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FRAME, codec};

    struct Bench {
        start: Instant,
        buffer: JitterBuffer,
        ticks: u32,
    }

    impl Bench {
        fn new() -> Self {
            let buffer = JitterBuffer::new(Rate::Narrow, JitterLimits::default());
            Self { start: Instant::now(), buffer, ticks: 0 }
        }

        /// Packet number `n` of a stream, full of the byte `n`, arriving now.
        fn insert(&mut self, ssrc: u32, n: u16) -> Inserted {
            let payload = [n as u8; 160];
            let timestamp = u32::from(n) * 160;
            let packet = Packet { marker: false, payload_type: 0, sequence: n, timestamp, ssrc, payload: &payload };
            self.buffer.insert(self.now(), &packet, codec::PCMU)
        }

        fn now(&self) -> Instant {
            self.start + FRAME * self.ticks
        }

        fn pull(&mut self) -> (Pulled, [i16; 160]) {
            self.ticks += 1;
            let mut frame = [0; 160];
            (self.buffer.pull(self.now(), &mut frame), frame)
        }
    }

    fn decoded(byte: u8) -> i16 {
        let mut sample = [0];
        (codec::PCMU.decode)(&[byte], &mut sample);
        sample[0]
    }

    #[test]
    fn packets_are_played_in_order_and_once() {
        let mut bench = Bench::new();
        let mut heard = Vec::new();
        // The second packet comes with the third, after it, and twice.
        let arrivals: [&[u16]; 8] = [&[1], &[], &[3, 2, 2], &[4], &[], &[], &[], &[]];
        for numbers in arrivals {
            let outcomes: Vec<Inserted> = numbers.iter().map(|n| bench.insert(7, *n)).collect();
            assert_eq!(outcomes.get(2), (outcomes.len() > 2).then_some(&Inserted::Duplicate));
            let (pulled, frame) = bench.pull();
            if pulled == Pulled::Audio {
                heard.push(frame[80]);
            }
        }
        assert_eq!(heard, [1, 2, 3, 4].map(decoded));
        assert_eq!(bench.insert(7, 2), Inserted::Duplicate);
    }

    #[test]
    fn another_stream_needs_two_packets_in_a_row() {
        let mut bench = Bench::new();
        assert_eq!(bench.insert(7, 1), Inserted::Began);
        assert_eq!(bench.insert(8, 500), Inserted::Stray);
        assert_eq!(bench.insert(7, 2), Inserted::Held);
        assert_eq!(bench.insert(8, 501), Inserted::Stray);
        assert_eq!(bench.insert(8, 502), Inserted::Began);
        assert_eq!(bench.buffer.counters().resyncs, 1);
    }

    #[test]
    fn what_nobody_pulls_is_bounded() {
        let mut bench = Bench::new();
        for n in 0..1000 {
            bench.ticks += 1;
            bench.insert(7, n);
        }
        assert_eq!(bench.buffer.packets.len(), MAX_PACKETS);
        assert!(bench.buffer.spare.len() <= 2);
    }

    #[test]
    fn odd_limits_are_no_panic() {
        let limits = JitterLimits { min: Duration::from_secs(9), start: Duration::MAX, max: Duration::ZERO };
        let mut bench = Bench::new();
        bench.buffer = JitterBuffer::new(Rate::Narrow, limits);
        bench.buffer.target_us = 0;
        for n in 0..100 {
            bench.insert(7, n);
            bench.pull();
        }
    }
}
