//! The sending half of an RTP leg: one packet per tick out of playout, keys or silence.
//! Never sends out of turn: the leg's cadence decides when, this decides what.

use super::{Ambient, Channel, DtmfPath, IdleAudio, LegSettings, Transmit};
use crate::dtmf::{self, Digit, Tick};
use crate::frame::{Frame, Rate};
use crate::pcm::{DualTone, mix_into};
use crate::playout::{Playout, Taken};
use crate::rtp::packet::{self, HEADER_BYTES, Packet};
use crate::rtp::rtcp::SenderPart;
use crate::sdp::RemoteMedia;
use std::net::SocketAddr;

/// Longest payload: a 20 ms frame at 16 kHz as it is.
const MAX_FRAME: usize = 640;
/// Longest datagram we send.
const MAX_DATAGRAM: usize = HEADER_BYTES + MAX_FRAME;
/// Datagrams waiting to be polled: two of media and one of control per tick, one goodbye.
const OUTBOX: usize = 4;

/// Datagrams made and not yet polled, held inline.
pub(super) struct Outbox {
    slots: [Slot; OUTBOX],
    head: usize,
    len: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    channel: Channel,
    destination: Option<SocketAddr>,
    bytes: [u8; MAX_DATAGRAM],
    len: usize,
}

impl Outbox {
    const fn new() -> Self {
        let empty = Slot { channel: Channel::Rtp, destination: None, bytes: [0; MAX_DATAGRAM], len: 0 };
        Self { slots: [empty; OUTBOX], head: 0, len: 0 }
    }

    /// Queues a datagram made of two parts. When nobody polls, the oldest makes room.
    pub(super) fn push(&mut self, channel: Channel, destination: SocketAddr, parts: [&[u8]; 2]) {
        if self.len == OUTBOX {
            self.head = (self.head + 1) % OUTBOX;
            self.len -= 1;
        }
        let slot = &mut self.slots[(self.head + self.len) % OUTBOX];
        let [first, second] = parts;
        let total = first.len() + second.len();
        let Some(room) = slot.bytes.get_mut(..total) else {
            return;
        };
        room[..first.len()].copy_from_slice(first);
        room[first.len()..].copy_from_slice(second);
        slot.len = total;
        slot.channel = channel;
        slot.destination = Some(destination);
        self.len += 1;
    }

    pub(super) fn poll(&mut self) -> Option<Transmit<'_>> {
        if self.len == 0 {
            return None;
        }
        let slot = &self.slots[self.head];
        self.head = (self.head + 1) % OUTBOX;
        self.len -= 1;
        Some(Transmit { channel: slot.channel, destination: slot.destination?, bytes: slot.bytes.get(..slot.len)? })
    }
}

/// What the next packet continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spurt {
    /// Nothing was sent lately: the next packet begins a talk spurt whatever it holds.
    Broken,
    /// Silence is being sent.
    Silence,
    /// Speech is being sent.
    Speech,
}

/// What a tick put on the line.
pub(super) struct Said {
    /// The audio that left.
    pub(super) frame: Frame,
    /// The queue of agent audio ran empty with it.
    pub(super) drained: bool,
    /// The last key was sent with it.
    pub(super) keys_sent: bool,
}

/// State of the sending half.
pub(super) struct Send {
    rate: Rate,
    pub(super) ssrc: u32,
    sequence: u16,
    timestamp: u32,
    idle: IdleAudio,
    pub(super) playout: Playout,
    paused: bool,
    /// Audio was queued since the queue was last found empty or flushed.
    owes_drained: bool,
    spurt: Spurt,
    keys: dtmf::Sender,
    tone: Option<(Digit, DualTone)>,
    /// The sound of the place, and how far it has been played.
    ambient: Option<(Ambient, usize)>,
    pub(super) outbox: Outbox,
    pub(super) skipped: u64,
    packets: u64,
    octets: u64,
}

impl Send {
    pub(super) fn new(settings: &LegSettings) -> Self {
        Self {
            rate: settings.rate,
            ssrc: settings.start.ssrc,
            sequence: settings.start.sequence,
            timestamp: settings.start.timestamp,
            idle: settings.idle,
            playout: Playout::new(settings.rate, settings.playout),
            paused: false,
            owes_drained: false,
            spurt: Spurt::Broken,
            keys: dtmf::Sender::default(),
            tone: None,
            ambient: None,
            outbox: Outbox::new(),
            skipped: 0,
            packets: 0,
            octets: 0,
        }
    }

    pub(super) fn play(&mut self, pcm: &[i16]) -> usize {
        let taken = self.playout.push(pcm);
        self.owes_drained |= taken > 0;
        taken
    }

    pub(super) fn flush(&mut self) -> crate::playout::Heard {
        self.owes_drained = false;
        self.playout.flush()
    }

    pub(super) const fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) const fn resume(&mut self) {
        self.paused = false;
    }

    pub(super) fn dial(&mut self, digits: &[Digit], remote: Option<&RemoteMedia>) -> DtmfPath {
        for digit in digits {
            // Beyond the cap of the queue keys are dropped: nobody dials 64 keys at once on purpose.
            let _queued = self.keys.push(*digit);
        }
        if remote.is_none_or(takes_events) { DtmfPath::Events } else { DtmfPath::Tones }
    }

    pub(super) fn set_ambient(&mut self, ambient: Option<Ambient>) {
        self.ambient = ambient.filter(|ambient| !ambient.pcm.is_empty()).map(|ambient| (ambient, 0));
    }

    /// Whether there is nothing to be said now.
    pub(super) fn is_idle(&self) -> bool {
        self.keys.is_idle() && (self.paused || self.playout.is_empty())
    }

    /// Packets sent so far.
    pub(super) const fn packets(&self) -> u64 {
        self.packets
    }

    /// Our part of a sender report; `None` before the first packet.
    pub(super) fn report(&self, ntp: u64) -> Option<SenderPart> {
        (self.packets > 0).then_some(SenderPart {
            ntp,
            timestamp: self.timestamp,
            packets: self.packets as u32,
            octets: self.octets as u32,
        })
    }

    /// A tick goes by without a packet: it comes too late, or the far end wants none. Time passes, nothing is taken.
    pub(super) fn skip(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(self.rate.frame_samples() as u32);
        self.spurt = Spurt::Broken;
    }

    /// One tick.
    pub(super) fn frame(&mut self, destination: SocketAddr, remote: &RemoteMedia) -> Said {
        let mut said = Said { frame: Frame::silent(self.rate), drained: false, keys_sent: false };
        if self.keys.is_idle() {
            said.drained = self.speak(destination, remote, &mut said.frame);
        } else {
            self.key(destination, remote, &mut said.frame);
            said.keys_sent = self.keys.is_idle();
        }
        self.timestamp = self.timestamp.wrapping_add(self.rate.frame_samples() as u32);
        said
    }

    /// Sends agent audio, or else what idleness means here. Returns whether the queue ran empty.
    fn speak(&mut self, destination: SocketAddr, remote: &RemoteMedia, frame: &mut Frame) -> bool {
        if self.paused || self.playout.take(frame.samples_mut()) == Taken::Nothing {
            self.idle(destination, remote, frame);
            return false;
        }
        self.add_ambient(frame);
        self.audio(destination, remote, frame, self.spurt != Spurt::Speech);
        self.spurt = Spurt::Speech;
        let drained = self.playout.is_empty() && self.owes_drained;
        self.owes_drained &= !drained;
        drained
    }

    /// Sends the sound of the place if there is one, else silence or nothing.
    fn idle(&mut self, destination: SocketAddr, remote: &RemoteMedia, frame: &mut Frame) {
        if self.ambient.is_none() {
            return self.hush(destination, remote);
        }
        self.add_ambient(frame);
        self.audio(destination, remote, frame, self.spurt == Spurt::Broken);
        self.spurt = Spurt::Silence;
    }

    fn add_ambient(&mut self, frame: &mut Frame) {
        let Some((ambient, at)) = &mut self.ambient else { return };
        let mut rest = frame.samples_mut();
        while !rest.is_empty() {
            let source = ambient.pcm.get(*at..).unwrap_or_default();
            let count = source.len().min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            mix_into(now, source, ambient.gain);
            *at = if count == source.len() { 0 } else { *at + count };
            rest = later;
        }
    }

    fn hush(&mut self, destination: SocketAddr, remote: &RemoteMedia) {
        match self.idle {
            IdleAudio::Nothing => self.spurt = Spurt::Broken,
            IdleAudio::Silence => {
                let payload = [remote.codec.silence; MAX_FRAME];
                let length = self.rate.frame_samples() * remote.codec.sample_bytes;
                let payload = payload.get(..length).unwrap_or_default();
                self.packet(destination, (remote.payload_type, self.spurt == Spurt::Broken, self.timestamp), payload);
                self.spurt = Spurt::Silence;
            }
        }
    }

    fn audio(&mut self, destination: SocketAddr, remote: &RemoteMedia, frame: &Frame, marker: bool) {
        let mut payload = [0; MAX_FRAME];
        let len = (remote.codec.encode)(frame.samples(), &mut payload);
        let payload = payload.get(..len).unwrap_or_default();
        self.packet(destination, (remote.payload_type, marker, self.timestamp), payload);
    }

    fn key(&mut self, destination: SocketAddr, remote: &RemoteMedia, frame: &mut Frame) {
        let before = self.keys.current();
        let step = self.rate.frame_samples() as u16;
        let tick = self.keys.tick(self.timestamp, step);
        let Some((digit, number)) = before.or_else(|| self.keys.current().map(|(digit, _)| (digit, 0))) else {
            return;
        };
        match remote.events.filter(|_| takes_events(remote)) {
            Some(events) => match tick {
                Some(Tick::Event { marker, timestamp, payload }) => {
                    self.packet(destination, (events.payload_type, marker, timestamp), &payload);
                    self.spurt = Spurt::Broken;
                }
                Some(Tick::Pause) | None => self.hush(destination, remote),
            },
            None if dtmf::Sender::sounds(number) => {
                let tone = match &mut self.tone {
                    Some((same, tone)) if *same == digit && number > 0 => tone,
                    other => &mut other.insert((digit, DualTone::of_digit(self.rate, digit))).1,
                };
                tone.fill(frame.samples_mut());
                self.audio(destination, remote, frame, self.spurt != Spurt::Speech);
                self.spurt = Spurt::Speech;
            }
            None => self.hush(destination, remote),
        }
    }

    fn packet(&mut self, destination: SocketAddr, (payload_type, marker, timestamp): (u8, bool, u32), payload: &[u8]) {
        let header = packet::header(&Packet {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            payload,
        });
        self.outbox.push(Channel::Rtp, destination, [&header, payload]);
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += payload.len() as u64;
    }
}

/// Events on another clock than the audio's cannot share its timestamps; tones can.
fn takes_events(remote: &RemoteMedia) -> bool {
    remote.events.is_some_and(|events| events.clock == remote.codec.clock)
}
