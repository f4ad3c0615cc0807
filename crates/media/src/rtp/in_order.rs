//! The short way to the ears: a packet that is next in sequence is decoded the moment it comes, without any delay for
//! jitter. Recognisers want audio early and whole; they do not mind that it comes unevenly.
//!
//! The sequence decides the order, the clock decides the length: what is missing is waited for shortly and then made up,
//! a sender that pauses is replaced by silence, and what would exceed real time is left out.
//!
//! Never decides which stream is believed: it follows the jitter buffer's verdict on each packet.

use super::jitter::Inserted;
use super::packet::Packet;
use super::plc::Concealer;
use crate::{Codec, FRAME, Rate};
use std::time::{Duration, Instant};

/// A gap is waited for until this many later packets came...
const LATER_PACKETS: usize = 2;
/// ...or for this long after the first of them.
const GAP_WAIT: Duration = Duration::from_millis(40);
/// A sender is taken to pause after this long without a packet: longer than two packets can be apart on a good path.
const PAUSE: Duration = Duration::from_millis(60);
/// On a path that stalls, pauses are believed this late at most.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Of the patience gained in a stall one part in this many is lost with each packet: it is forgotten within ten seconds.
const FORGET: u32 = 256;
/// By how much the ears are kept behind real time when audio begins, so that neither a first packet that was slow nor
/// a sentence that its sender began ahead of its own clock (as ours do) costs a packet.
const LEEWAY: Duration = Duration::from_millis(20);
/// Silence made up at once after a stall of our own; what lies further back is skipped.
const MOST_SILENCE: Duration = Duration::from_secs(1);

/// Where samples come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The far end.
    Sent,
    /// Concealment or silence.
    MadeUp,
}

struct Held {
    sequence: u16,
    timestamp: u32,
    came: Instant,
    samples: Vec<i16>,
}

struct Stream {
    ssrc: u32,
    /// What follows the last packet delivered.
    sequence: u16,
    timestamp: u32,
}

/// How a packet joins what was delivered before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// A new stream: nothing is known of the time between.
    Fresh,
    /// The next packet of the sender; a gap in its timestamps is a pause.
    Next,
    /// Packets before it were lost.
    AfterLoss,
}

/// The stage of one leg. What it lets through stands in [`InOrder::runs`] until [`InOrder::clear`].
pub struct InOrder {
    rate: Rate,
    stream: Option<Stream>,
    /// Until when the ears have been given audio; `None` before the leg is up.
    fed: Option<Instant>,
    last_packet: Option<Instant>,
    /// How long without a packet is a pause, on this path.
    patience: Duration,
    /// Silence was made up since the last packet.
    paused: bool,
    waiting: Vec<Held>,
    spare: Vec<Vec<i16>>,
    concealer: Concealer,
    out: Vec<i16>,
    runs: Vec<(usize, Origin)>,
}

impl InOrder {
    /// A stage that has heard nothing.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            stream: None,
            fed: None,
            last_packet: None,
            patience: PAUSE,
            paused: false,
            waiting: Vec::with_capacity(LATER_PACKETS),
            spare: Vec::with_capacity(LATER_PACKETS),
            concealer: Concealer::new(rate),
            out: Vec::with_capacity(4 * rate.frame_samples()),
            runs: Vec::with_capacity(8),
        }
    }

    /// The leg is up: from now on there is audio in real time, silence if nothing else.
    pub fn begin(&mut self, now: Instant) {
        self.fed.get_or_insert(now.checked_sub(LEEWAY).unwrap_or(now));
        self.last_packet.get_or_insert(now);
    }

    /// What was let through since [`InOrder::clear`], in order.
    pub fn runs(&self) -> impl Iterator<Item = (&[i16], Origin)> {
        let mut from = 0;
        self.runs.iter().map(move |(until, origin)| {
            let samples = self.out.get(from..*until).unwrap_or_default();
            from = *until;
            (samples, *origin)
        })
    }

    /// Forgets what [`InOrder::runs`] gave.
    pub fn clear(&mut self) {
        self.out.clear();
        self.runs.clear();
    }

    /// A media packet on which the jitter buffer's verdict was `verdict`.
    pub fn packet(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec, verdict: Inserted) {
        let begins = match verdict {
            Inserted::Stray | Inserted::Duplicate => return,
            Inserted::Began => true,
            Inserted::Held | Inserted::Late => false,
        };
        let ahead = match &self.stream {
            Some(stream) if stream.ssrc == packet.ssrc => Some(packet.sequence.wrapping_sub(stream.sequence) as i16),
            _ => None,
        };
        match ahead {
            // The jitter buffer may begin anew for reasons of its own; to the ears the next packet is the next packet.
            Some(0) => self.deliver_packet(now, packet, codec, Joint::Next),
            Some(ahead) if !begins && ahead < 0 => {}
            Some(_) if !begins => self.hold(now, packet, codec),
            _ => {
                while !self.waiting.is_empty() {
                    self.give_up(now);
                }
                self.stream =
                    Some(Stream { ssrc: packet.ssrc, sequence: packet.sequence, timestamp: packet.timestamp });
                self.deliver_packet(now, packet, codec, Joint::Fresh);
            }
        }
        self.release(now);
    }

    /// A packet of the same stream that carries no audio (keys, comfort noise) took this sequence number.
    pub fn other(&mut self, now: Instant, packet: &Packet<'_>) {
        if let Some(stream) = &mut self.stream
            && (stream.ssrc, stream.sequence) == (packet.ssrc, packet.sequence)
        {
            stream.sequence = stream.sequence.wrapping_add(1);
            self.release(now);
        }
    }

    /// Time passes: gaps are given up, pauses filled. To be called every 20 ms.
    pub fn wait(&mut self, now: Instant) {
        while self.waiting.first().is_some_and(|held| now.saturating_duration_since(held.came) >= GAP_WAIT) {
            self.give_up(now);
        }
        let (Some(mut fed), Some(last)) = (self.fed, self.last_packet) else { return };
        if now.saturating_duration_since(last) <= self.patience {
            return;
        }
        let Some(until) = now.checked_sub(self.patience) else { return };
        if until.saturating_duration_since(fed) > MOST_SILENCE {
            fed = until.checked_sub(MOST_SILENCE).unwrap_or(fed);
            self.fed = Some(fed);
        }
        let frames = until.saturating_duration_since(fed).as_micros() / FRAME.as_micros();
        let samples = usize::try_from(frames).unwrap_or(0) * self.rate.frame_samples();
        if samples > 0 {
            self.paused = true;
            self.silence(samples);
        }
    }

    /// Keeps a packet whose predecessor has not come.
    fn hold(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec) {
        let Some(first) = self.stream.as_ref().map(|stream| stream.sequence) else { return };
        let distance = |sequence: u16| sequence.wrapping_sub(first);
        let place = self.waiting.partition_point(|held| distance(held.sequence) < distance(packet.sequence));
        let mut samples = self.spare.pop().unwrap_or_default();
        decode(codec, packet.payload, &mut samples);
        let (sequence, timestamp) = (packet.sequence, packet.timestamp);
        self.last_packet = Some(now);
        self.waiting.insert(place, Held { sequence, timestamp, came: now, samples });
        if self.waiting.len() >= LATER_PACKETS {
            self.give_up(now);
        }
    }

    /// Delivers packets held as far as they follow without a gap.
    fn release(&mut self, now: Instant) {
        while let (Some(stream), Some(held)) = (&self.stream, self.waiting.first()) {
            if held.sequence != stream.sequence {
                return;
            }
            self.deliver_first(now, Joint::Next);
        }
    }

    /// What is missing before the first packet held is lost.
    fn give_up(&mut self, now: Instant) {
        self.deliver_first(now, Joint::AfterLoss);
        self.release(now);
    }

    fn deliver_first(&mut self, now: Instant, joint: Joint) {
        if self.waiting.is_empty() {
            return;
        }
        let mut held = self.waiting.remove(0);
        self.deliver(now, (held.sequence, held.timestamp), &mut held.samples, joint);
        self.spare.push(held.samples);
    }

    fn deliver_packet(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec, joint: Joint) {
        let mut samples = self.spare.pop().unwrap_or_default();
        decode(codec, packet.payload, &mut samples);
        self.deliver(now, (packet.sequence, packet.timestamp), &mut samples, joint);
        self.spare.push(samples);
    }

    fn deliver(&mut self, now: Instant, (sequence, timestamp): (u16, u32), samples: &mut [i16], joint: Joint) {
        let (Some(stream), Some(fed)) = (&mut self.stream, self.fed) else { return };
        let gap = i64::from(timestamp.wrapping_sub(stream.timestamp) as i32);
        stream.sequence = sequence.wrapping_add(1);
        stream.timestamp = timestamp.wrapping_add(samples.len() as u32);
        let length = self.rate.duration_of(samples.len() as u64);
        self.learn(now, joint == Joint::Next && gap == 0);
        // However long the gap claims to be, it is filled up to the clock and no further.
        let behind = now.saturating_duration_since(fed).saturating_sub(length);
        let missing = match joint {
            Joint::Next if gap <= 0 => 0,
            Joint::Fresh => self.rate.samples_in(behind.saturating_sub(LEEWAY)),
            Joint::Next => usize::try_from(gap).unwrap_or(0).min(self.rate.samples_in(behind.saturating_sub(LEEWAY))),
            Joint::AfterLoss => usize::try_from(gap).unwrap_or(0).min(self.rate.samples_in(behind)),
        };
        match joint {
            Joint::AfterLoss => self.conceal(missing),
            Joint::Fresh | Joint::Next => self.silence(missing),
        }
        let Some(fed) = self.fed.filter(|fed| *fed <= now) else {
            return;
        };
        self.concealer.rejoin(samples);
        self.concealer.played(samples);
        self.emit(samples.len(), Origin::Sent, |out| out.extend_from_slice(samples));
        // A sender whose clock is slow falls behind ours for ever; that is no pause to be filled.
        let least = now.checked_sub(LONGEST_PAUSE).unwrap_or(fed);
        self.fed = self.fed.map(|fed| fed.max(least));
    }

    /// A packet came: after a stall (its audio goes on where it stopped) pauses are believed later, for a while.
    fn learn(&mut self, now: Instant, continues: bool) {
        let apart = self.last_packet.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_packet = Some(now);
        let stalled = std::mem::take(&mut self.paused) && continues;
        if stalled {
            self.patience = self.patience.max((apart + FRAME).min(LONGEST_PAUSE));
        } else {
            self.patience -= self.patience.saturating_sub(PAUSE) / FORGET;
        }
    }

    fn silence(&mut self, samples: usize) {
        if samples == 0 {
            return;
        }
        self.concealer.played(&[0; 640]);
        self.emit(samples, Origin::MadeUp, |out| out.resize(out.len() + samples, 0));
    }

    fn conceal(&mut self, samples: usize) {
        if samples == 0 {
            return;
        }
        let mut made_up = self.spare.pop().unwrap_or_default();
        made_up.clear();
        self.concealer.conceal(samples, &mut made_up);
        self.concealer.played(&made_up);
        self.emit(samples, Origin::MadeUp, |out| out.extend_from_slice(&made_up));
        self.spare.push(made_up);
    }

    fn emit(&mut self, samples: usize, origin: Origin, append: impl FnOnce(&mut Vec<i16>)) {
        append(&mut self.out);
        self.runs.push((self.out.len(), origin));
        self.fed = self.fed.map(|fed| fed + self.rate.duration_of(samples as u64));
    }
}

fn decode(codec: &Codec, payload: &[u8], samples: &mut Vec<i16>) {
    samples.clear();
    samples.resize(codec.samples_in(payload.len()), 0);
    let written = (codec.decode)(payload, samples);
    samples.truncate(written);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    struct Bench {
        start: Instant,
        stage: InOrder,
        sequence: u16,
        timestamp: u32,
        heard: Vec<(i16, Origin)>,
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    impl Bench {
        fn new() -> Self {
            let (start, mut stage) = (Instant::now(), InOrder::new(Rate::Narrow));
            stage.begin(start);
            Self { start, stage, sequence: 65_534, timestamp: u32::MAX - 200, heard: Vec::new() }
        }

        /// The packet `ahead` of the first one arrives at `at` ms; returns the samples let through by it.
        fn packet(&mut self, at: u64, ahead: u16, verdict: Inserted) -> usize {
            let packet = Packet {
                marker: false,
                payload_type: 0,
                sequence: self.sequence.wrapping_add(ahead),
                timestamp: self.timestamp.wrapping_add(160 * u32::from(ahead)),
                ssrc: 7,
                payload: &[0x9f; 160],
            };
            self.stage.packet(self.start + ms(at), &packet, codec::PCMU, verdict);
            self.collect()
        }

        fn wait(&mut self, at: u64) -> usize {
            self.stage.wait(self.start + ms(at));
            self.collect()
        }

        fn collect(&mut self) -> usize {
            let before = self.heard.len();
            for (samples, origin) in self.stage.runs() {
                self.heard.extend(samples.iter().map(|sample| (*sample, origin)));
            }
            self.stage.clear();
            self.heard.len() - before
        }

        fn made_up(&self) -> usize {
            self.heard.iter().filter(|(_, origin)| *origin == Origin::MadeUp).count()
        }
    }

    #[test]
    fn what_is_next_comes_at_once_and_nothing_twice() {
        let mut bench = Bench::new();
        assert_eq!(bench.packet(0, 0, Inserted::Began), 160);
        for i in 1..10 {
            assert_eq!(bench.packet(20 * u64::from(i), i, Inserted::Held), 160);
            assert_eq!(bench.packet(20 * u64::from(i), i, Inserted::Duplicate), 0);
            assert_eq!(bench.packet(20 * u64::from(i), i - 1, Inserted::Late), 0);
        }
        assert_eq!(bench.made_up(), 0);
    }

    #[test]
    fn reordered_packets_come_in_order() {
        let mut bench = Bench::new();
        bench.packet(0, 0, Inserted::Began);
        assert_eq!(bench.packet(41, 2, Inserted::Held), 0);
        assert_eq!(bench.packet(45, 1, Inserted::Held), 320);
        assert_eq!(bench.packet(60, 3, Inserted::Held), 160);
        assert_eq!(bench.made_up(), 0);
    }

    #[test]
    fn a_gap_is_filled_when_two_later_packets_came_or_forty_milliseconds_passed() {
        let mut bench = Bench::new();
        bench.packet(0, 0, Inserted::Began);
        assert_eq!(bench.packet(40, 2, Inserted::Held), 0);
        assert_eq!(bench.packet(60, 3, Inserted::Held), 480);
        assert_eq!(bench.made_up(), 160);
        assert_eq!(bench.packet(120, 6, Inserted::Held), 0);
        assert_eq!(bench.wait(159), 0);
        assert_eq!(bench.wait(160), 480);
        assert_eq!(bench.made_up(), 480);
        assert_eq!(bench.packet(161, 4, Inserted::Held), 0, "too late");
        let made_up = bench.heard[160].0;
        assert!(made_up != 0, "the voice goes on over the gap");
    }

    #[test]
    fn a_pause_is_silence_in_real_time() {
        let mut bench = Bench::new();
        bench.packet(0, 0, Inserted::Began);
        for at in (20..=2000).step_by(20) {
            let now = bench.wait(at);
            assert!(now <= 160, "{at}: {now}");
            assert!(bench.heard.len() as u64 <= 8 * at + 160, "{at}: never ahead of the clock");
            assert!(bench.heard.len() as u64 + 8 * 80 >= 8 * at, "{at}: {}", bench.heard.len());
        }
        // The sender goes on, its timestamps count the pause, its sequence does not.
        bench.sequence = bench.sequence.wrapping_sub(99);
        assert!(bench.packet(2000, 100, Inserted::Held) >= 160);
        let total = bench.heard.len() as i64;
        assert!((total - 16_000).abs() <= 160, "{total}");
        assert_eq!(bench.packet(2020, 101, Inserted::Held), 160);
    }

    #[test]
    fn after_a_stall_the_speech_is_kept_and_the_length_is_bounded() {
        let mut bench = Bench::new();
        bench.packet(0, 0, Inserted::Began);
        let mut next = 1;
        for stall in 0..10_u64 {
            let from = 200 * stall;
            for at in (from + 20..=from + 100).step_by(20) {
                bench.wait(at);
            }
            for _ in 0..5 {
                bench.packet(from + 100, next, Inserted::Held);
                next += 1;
            }
            assert!(bench.heard.len() as u64 <= 8 * (from + 100) + 320);
            for at in (from + 120..=from + 200).step_by(20) {
                bench.packet(at, next, Inserted::Held);
                next += 1;
            }
        }
        let sent = bench.heard.len() - bench.made_up();
        assert!(sent >= 160 * (usize::from(next) - 2), "{} of {next} packets", sent / 160);
        assert!(bench.made_up() <= 480, "only the first stall is taken for a pause: {}", bench.made_up());
    }

    #[test]
    fn keys_in_the_same_stream_are_no_loss() {
        let mut bench = Bench::new();
        bench.packet(0, 0, Inserted::Began);
        for i in 1..5_u16 {
            let sequence = bench.sequence.wrapping_add(i);
            let key = Packet { marker: false, payload_type: 101, sequence, timestamp: 0, ssrc: 7, payload: &[0; 4] };
            bench.stage.other(bench.start + ms(20 * u64::from(i)), &key);
        }
        assert!(bench.packet(100, 5, Inserted::Held) >= 160);
    }

    #[test]
    fn a_new_stream_goes_on_at_once() {
        let mut bench = Bench::new();
        bench.packet(0, 0, Inserted::Began);
        bench.packet(40, 2, Inserted::Held);
        bench.timestamp = bench.timestamp.wrapping_add(1_000_000);
        bench.sequence = bench.sequence.wrapping_add(9_000);
        assert_eq!(bench.packet(60, 0, Inserted::Began), 160 + 160 + 160, "a loss, what waited, and the new stream");
        assert_eq!(bench.packet(80, 1, Inserted::Held), 160);
    }
}
