//! The receiving half of an RTP leg: from datagrams to frames, keys and signs of life.
//!
//! Every media packet goes two ways: at once to the ears ([`InOrder`], with speech detection), and through the jitter
//! buffer to the recorder, which wants both sides of a call in step.
//!
//! Never sends anything; it only tells where to send.

use super::{LegEvent, LegSettings, LegStats};
use crate::codec::{self, Codec};
use crate::dtmf;
use crate::frame::{Frame, Rate};
use crate::rtp::packet::{self, Packet};
use crate::rtp::{InOrder, Inserted, JitterBuffer, Origin, Reception, SourceLock, Verdict};
use crate::sdp::RemoteMedia;
use crate::speech::{SpeechChange, SpeechDetector, SpeechSettings};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Comfort noise (RFC 3389). Not offered, sent by some gateways all the same: a sign of life, not audio.
const COMFORT_NOISE: u8 = 13;

/// What a payload type means on this leg.
enum Meaning {
    Audio(&'static Codec),
    Keys(u32),
    LifeOnly,
    Unknown,
}

/// State of the receiving half.
pub(super) struct Receive {
    rate: Rate,
    pub(super) lock: SourceLock,
    pub(super) reception: Reception,
    jitter: JitterBuffer,
    ears: InOrder,
    keys: dtmf::Receiver,
    attention: Attention,
    no_media: Duration,
    lost: Duration,
    began: Option<Instant>,
    /// The last sign of life, or since when one is expected.
    alive: Option<Instant>,
    heard_anything: bool,
    no_media_told: bool,
    lost_told: bool,
    received: u64,
    rejected: u64,
}

impl Receive {
    pub(super) fn new(settings: &LegSettings) -> Self {
        Self {
            rate: settings.rate,
            lock: SourceLock::new(settings.source),
            reception: Reception::default(),
            jitter: JitterBuffer::new(settings.rate, settings.jitter),
            ears: InOrder::new(settings.rate),
            keys: dtmf::Receiver::default(),
            attention: Attention::new(settings),
            no_media: settings.no_media,
            lost: settings.lost,
            began: None,
            alive: None,
            heard_anything: false,
            no_media_told: false,
            lost_told: false,
            received: 0,
            rejected: 0,
        }
    }

    /// The remote is known (again): expect signs of life from now on.
    pub(super) fn expect(&mut self, now: Instant, remote: &RemoteMedia) {
        self.began.get_or_insert(now);
        self.alive = Some(now);
        self.ears.begin(now);
        if !remote.address.ip().is_unspecified() {
            self.lock.signalled(remote.address);
        }
    }

    /// A datagram that is no media packet.
    pub(super) fn reject(&mut self) {
        self.rejected += 1;
    }

    /// Takes a media packet; returns an event if it is the first.
    pub(super) fn packet(
        &mut self,
        now: Instant,
        source: SocketAddr,
        datagram: &[u8],
        remote: &RemoteMedia,
    ) -> Option<LegEvent> {
        let Ok(packet) = packet::parse(datagram) else {
            self.reject();
            return None;
        };
        self.parsed(now, source, &packet, remote)
    }

    /// Takes a media packet that was parsed before.
    pub(super) fn parsed(
        &mut self,
        now: Instant,
        source: SocketAddr,
        packet: &Packet<'_>,
        remote: &RemoteMedia,
    ) -> Option<LegEvent> {
        let meaning = meaning(packet.payload_type, remote);
        if matches!(meaning, Meaning::Unknown) || self.lock.judge(now, source, packet) == Verdict::Reject {
            self.reject();
            return None;
        }
        self.alive = Some(now);
        self.lost_told = false;
        match meaning {
            Meaning::Audio(codec) => self.audio(now, packet, codec),
            Meaning::Keys(clock) => {
                self.keys.handle(now, packet.timestamp, packet.payload, clock);
                self.ears.other(now, packet);
            }
            Meaning::LifeOnly | Meaning::Unknown => self.ears.other(now, packet),
        }
        let first = !self.heard_anything;
        self.heard_anything = true;
        first.then_some(LegEvent::Up { at: now })
    }

    fn audio(&mut self, now: Instant, packet: &Packet<'_>, codec: &'static Codec) {
        let verdict = self.jitter.insert(now, packet, codec);
        self.ears.packet(now, packet, codec, verdict);
        match verdict {
            Inserted::Stray => self.rejected += 1,
            Inserted::Duplicate => self.received += 1,
            Inserted::Began | Inserted::Held | Inserted::Late => {
                self.received += 1;
                let since = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
                let arrival = since.as_micros() * u128::from(codec.clock) / 1_000_000;
                let arrival = i64::try_from(arrival).unwrap_or(i64::MAX);
                self.reception.packet(packet.ssrc, packet.sequence, packet.timestamp, arrival);
            }
        }
    }

    /// The frame of the steady timeline at `at`, for the recorder.
    pub(super) fn frame(&mut self, at: Instant) -> Frame {
        let mut frame = Frame::silent(self.rate);
        self.jitter.pull(at, frame.samples_mut());
        frame
    }

    /// Time passes for the ears: gaps are given up, pauses become silence. Once per tick.
    pub(super) fn wait(&mut self, now: Instant) {
        self.ears.wait(now);
    }

    /// Tells what the ears were given since the last call, and what speech detection makes of it. When nobody has polled
    /// for `cap` events audio is dropped.
    pub(super) fn listen(&mut self, now: Instant, events: &mut VecDeque<LegEvent>, cap: usize) {
        for (samples, origin) in self.ears.runs() {
            for piece in samples.chunks(self.rate.frame_samples()) {
                if events.len() < cap {
                    events.push_back(LegEvent::Heard(Frame::from_samples(piece)));
                }
            }
            self.attention.pay(now, samples, origin, events);
        }
        self.ears.clear();
    }

    pub(super) fn detect(&mut self, settings: SpeechSettings) {
        self.attention.speech.configure(settings);
    }

    /// The next key of the far end.
    pub(super) fn key(&mut self, now: Instant) -> Option<LegEvent> {
        self.keys.poll(now).map(|(digit, duration)| LegEvent::Dtmf { digit, duration })
    }

    /// Whether media is missing. While the leg is held nothing is expected and the clock stands still.
    pub(super) fn watch(&mut self, now: Instant, expected: bool) -> Option<LegEvent> {
        if !expected {
            self.alive = Some(now);
            return None;
        }
        let silent = now.saturating_duration_since(self.alive?);
        if !self.heard_anything && !self.no_media_told && silent >= self.no_media {
            self.no_media_told = true;
            return Some(LegEvent::NoMedia);
        }
        if !self.lost_told && silent >= self.lost {
            self.lost_told = true;
            return Some(LegEvent::Lost);
        }
        None
    }

    /// Adds the receiving half's counters.
    pub(super) fn count(&self, now: Instant, stats: &mut LegStats) {
        let jitter = self.jitter.counters();
        stats.received = self.received;
        stats.rejected = self.rejected;
        stats.lost = self.reception.lost();
        stats.late = jitter.late;
        stats.duplicated = jitter.duplicated;
        stats.resyncs = jitter.resyncs;
        stats.concealed = self.rate.duration_of(jitter.concealed);
        stats.jitter = self.rate.duration_of(u64::from(self.reception.jitter()));
        stats.delay = self.jitter.delay(now);
        stats.digits_dropped = self.keys.dropped();
    }
}

/// Speech detection on what the ears are given: whole frames, whatever the length of the packets.
struct Attention {
    speech: SpeechDetector,
    frame: Frame,
    filled: usize,
    made_up: usize,
}

impl Attention {
    fn new(settings: &LegSettings) -> Self {
        let speech = SpeechDetector::new(settings.rate, settings.speech);
        Self { speech, frame: Frame::silent(settings.rate), filled: 0, made_up: 0 }
    }

    fn pay(&mut self, now: Instant, samples: &[i16], origin: Origin, events: &mut VecDeque<LegEvent>) {
        let mut rest = samples;
        while !rest.is_empty() {
            let room = self.frame.samples_mut().get_mut(self.filled..).unwrap_or_default();
            let (piece, later) = rest.split_at(rest.len().min(room.len()));
            room[..piece.len()].copy_from_slice(piece);
            rest = later;
            self.filled += piece.len();
            self.made_up += if origin == Origin::MadeUp { piece.len() } else { 0 };
            if self.filled >= self.frame.len() {
                let change = if self.made_up * 2 > self.filled {
                    self.speech.gap(now)
                } else {
                    self.speech.frame(now, self.frame.samples())
                };
                (self.filled, self.made_up) = (0, 0);
                events.extend(change.map(|change| match change {
                    SpeechChange::Started { at } => LegEvent::SpeechStarted { at },
                    SpeechChange::Stopped { at, lasted } => LegEvent::SpeechStopped { at, lasted },
                }));
            }
        }
    }
}

fn meaning(payload_type: u8, remote: &RemoteMedia) -> Meaning {
    if let Some(events) = remote.events
        && events.receive_payload_type == payload_type
    {
        return Meaning::Keys(events.clock);
    }
    if payload_type == remote.payload_type {
        return Meaning::Audio(remote.codec);
    }
    match codec::by_payload_type(payload_type) {
        Some(codec) => Meaning::Audio(codec),
        None if payload_type == COMFORT_NOISE => Meaning::LifeOnly,
        None => Meaning::Unknown,
    }
}
