//! The RTP leg: both halves on one cadence, control packets, and the events that come of it.
//! Never ticks by itself: whoever owns the sockets calls `tick` when `next_due` says so.

use super::receive::Receive;
use super::send::Send;
use super::{Ambient, Channel, DtmfPath, Hold, LegEvent, LegSettings, LegStats, Transmit};
use crate::dtmf::Digit;
use crate::frame::{FRAME, Frame, FramePair, Rate};
use crate::playout::{Heard, MarkId};
use crate::rtp::ReportSchedule;
use crate::rtp::packet::{Datagram, Packet, classify};
use crate::rtp::rtcp;
use crate::sdp::{RemoteMedia, RtcpPath};
use crate::speech::SpeechSettings;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Ticks made up for after a stall; what lies further back is skipped.
const MAX_CATCH_UP: u64 = 50;
/// Lateness up to which two packets may follow each other at once; later than this the first is left out, so that
/// with the next tick there are never more than two.
const TWO_PACKETS_WITHIN: Duration = Duration::from_millis(30);
/// Events kept when nobody polls. Beyond this audio is dropped, never the others.
const EVENT_CAP: usize = 256;
/// Round trips beyond this are a clock error of the far end.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);
/// NTP time of the leg's first moment. Reports carry elapsed time: a leg knows no wall clock (RFC 3550 section 4).
const NTP_START_SECONDS: u64 = 3600;

/// Plain RTP over UDP.
pub struct RtpLeg {
    rate: Rate,
    seed: u64,
    remote: Option<RemoteMedia>,
    due: Option<Instant>,
    /// How far `due` is ahead of the wall clock's cadence: at most one frame, while a sentence is being sent.
    lead: Duration,
    /// A sentence waits that may begin from then on, before `due`.
    start: Option<Instant>,
    /// A packet sent ahead of the clock, until the caller's side of its 20 ms is complete.
    early: Option<(Instant, Frame)>,
    /// The last tick sent two packets.
    doubled: bool,
    began: Option<Instant>,
    now: Option<Instant>,
    receive: Receive,
    send: Send,
    reports: Option<ReportSchedule>,
    round_trip: Duration,
    remote_fraction_lost: u8,
    events: VecDeque<LegEvent>,
}

impl RtpLeg {
    /// A leg that knows no remote yet.
    pub fn new(settings: LegSettings) -> Self {
        Self {
            rate: settings.rate,
            seed: settings.start.seed,
            remote: None,
            due: None,
            lead: Duration::ZERO,
            start: None,
            early: None,
            doubled: false,
            began: None,
            now: None,
            receive: Receive::new(&settings),
            send: Send::new(&settings),
            reports: None,
            round_trip: Duration::ZERO,
            remote_fraction_lost: 0,
            events: VecDeque::with_capacity(8),
        }
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    pub(super) fn remote(&mut self, now: Instant, remote: RemoteMedia) {
        let was_held = self.remote.as_ref().is_some_and(RemoteMedia::is_held);
        if was_held != remote.is_held() {
            let hold = if remote.is_held() { Hold::Held } else { Hold::Resumed };
            self.events.push_back(LegEvent::Hold(hold));
        }
        self.receive.expect(now, &remote);
        self.remote = Some(remote);
        self.began.get_or_insert(now);
        self.due.get_or_insert(now);
        if self.reports.is_none() {
            self.reports = Some(ReportSchedule::new(now, self.seed));
        }
    }

    pub(super) fn handle_rtp(&mut self, now: Instant, source: SocketAddr, packet: &[u8]) {
        match classify(packet) {
            Datagram::Rtcp => self.handle_rtcp(now, source, packet),
            Datagram::Other => self.receive.reject(),
            Datagram::Rtp => {
                let Some(remote) = &self.remote else {
                    self.receive.reject();
                    return;
                };
                let event = self.receive.packet(now, source, packet, remote);
                self.events.extend(event);
                self.receive.listen(now, &mut self.events, EVENT_CAP);
            }
        }
    }

    /// A media packet that somebody else has unwrapped.
    pub(super) fn handle_packet(&mut self, now: Instant, source: SocketAddr, packet: &Packet<'_>) {
        let Some(remote) = &self.remote else {
            self.receive.reject();
            return;
        };
        let event = self.receive.parsed(now, source, packet, remote);
        self.events.extend(event);
        self.receive.listen(now, &mut self.events, EVENT_CAP);
    }

    pub(super) fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, packet: &[u8]) {
        let control = self.remote.as_ref().and_then(|remote| match remote.rtcp {
            RtcpPath::Muxed => None,
            RtcpPath::Separate(address) => Some(address),
        });
        if !self.receive.lock.accepts_control(source, control) {
            self.receive.reject();
            return;
        }
        let Ok(compound) = rtcp::parse(packet, self.send.ssrc) else {
            self.receive.reject();
            return;
        };
        if let Some(sender) = &compound.sender {
            self.receive.reception.sender_report(now, sender);
        }
        if let Some(block) = &compound.block {
            self.remote_fraction_lost = block.fraction_lost;
            if block.last_sr != 0 {
                let sent = block.last_sr.wrapping_add(block.since_last_sr);
                let trip = ((self.ntp(now) >> 16) as u32).wrapping_sub(sent);
                let trip = Duration::from_micros(u64::from(trip) * 1_000_000 / 65_536);
                if trip <= MAX_ROUND_TRIP {
                    self.round_trip = trip;
                }
            }
        }
        if compound.goodbye {
            self.events.push_back(LegEvent::Goodbye);
        }
    }

    pub(super) fn start_now(&mut self, now: Instant) {
        self.due = self.due.map(|due| due.min(now));
    }

    pub(super) fn detect(&mut self, settings: SpeechSettings) {
        self.receive.detect(settings);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.map(|due| self.start.map_or(due, |start| start.min(due)))
    }

    /// A sentence waits on a leg that was idle: it may begin up to one frame before the clock is due, but not behind two
    /// packets that left together.
    fn hurry(&mut self) {
        let (Some(due), Some(last), false) = (self.due, self.now, self.doubled) else {
            return;
        };
        if self.remote.as_ref().is_none_or(RemoteMedia::is_held) || self.receive.lock.destination().is_none() {
            return;
        }
        self.start = (due + self.lead).checked_sub(FRAME).map(|earliest| earliest.max(last));
    }

    /// Moves the cadence to `now` if a sentence may begin; remembers by how much it is ahead of the clock then.
    fn begin_sentence(&mut self, now: Instant) {
        let (Some(start), Some(due)) = (self.start, self.due) else {
            return;
        };
        if now < start && now < due {
            return;
        }
        self.start = None;
        if now < due {
            self.lead += due.saturating_duration_since(now);
            self.due = Some(now);
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.now = Some(now);
        self.begin_sentence(now);
        let (Some(mut due), Some(remote)) = (self.due, self.remote) else {
            return;
        };
        let Some(late) = now.checked_duration_since(due) else {
            return;
        };
        let behind = 1 + u64::try_from(late.as_micros() / FRAME.as_micros()).unwrap_or(u64::MAX - 1);
        let frames = behind.min(MAX_CATCH_UP);
        for _ in frames..behind.min(u64::from(u32::MAX)) {
            self.send.skip();
            self.send.skipped += 1;
        }
        due += FRAME * u32::try_from(behind - frames).unwrap_or(u32::MAX);
        let packets = if late < TWO_PACKETS_WITHIN { 2 } else { 1 };
        for left in (1..=frames).rev() {
            self.one_frame(due, now, &remote, left <= packets);
            due += FRAME;
        }
        self.doubled = packets.min(frames) > 1;
        if self.send.is_idle() {
            due += std::mem::take(&mut self.lead);
        }
        self.due = Some(due);
        self.receive.wait(now);
        self.receive.listen(now, &mut self.events, EVENT_CAP);
        while let Some(key) = self.receive.key(now) {
            self.events.push_back(key);
        }
        let watch = self.receive.watch(now, !remote.is_held() && remote.direction.receives());
        self.events.extend(watch);
        if self.reports.as_mut().is_some_and(|reports| reports.is_due(now)) {
            self.report(now, &remote, Farewell::No);
        }
    }

    fn one_frame(&mut self, due: Instant, now: Instant, remote: &RemoteMedia, in_time: bool) {
        let sent = self.say(now, remote, in_time);
        if let Some((at, before)) = self.early.take() {
            self.pair(at, before);
        }
        let at = due + self.lead;
        if at > now {
            // The caller's side of these 20 ms is not over yet.
            self.early = Some((at, sent));
        } else {
            self.pair(at, sent);
        }
    }

    fn pair(&mut self, at: Instant, sent: Frame) {
        let heard = self.receive.frame(at);
        if self.events.len() < EVENT_CAP {
            self.events.push_back(LegEvent::Audio(FramePair { heard, sent }));
        }
    }

    /// Sends this tick's packet, if there is somebody to send to and it is not too late.
    fn say(&mut self, now: Instant, remote: &RemoteMedia, in_time: bool) -> Frame {
        // Marks set on an empty queue are reached without a packet.
        self.tell_marks(now);
        let destination = self.receive.lock.destination();
        let (Some(destination), false, true) = (destination, remote.is_held(), in_time) else {
            self.send.skip();
            self.send.skipped += u64::from(!in_time);
            return Frame::silent(self.rate);
        };
        let said = self.send.frame(destination, remote);
        self.tell_marks(now);
        if said.drained {
            self.events.push_back(LegEvent::Drained { at: now });
        }
        if said.keys_sent {
            self.events.push_back(LegEvent::DtmfSent);
        }
        said.frame
    }

    fn tell_marks(&mut self, at: Instant) {
        while let Some(id) = self.send.playout.poll_mark() {
            self.events.push_back(LegEvent::Mark { id, at });
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.send.outbox.poll()
    }

    pub(super) fn poll_event(&mut self) -> Option<LegEvent> {
        self.events.pop_front()
    }

    pub(super) fn play(&mut self, pcm: &[i16]) -> usize {
        let was_idle = self.send.is_idle();
        let taken = self.send.play(pcm);
        if was_idle && !self.send.is_idle() {
            self.hurry();
        }
        taken
    }

    pub(super) fn ambient(&mut self, ambient: Option<Ambient>) {
        self.send.set_ambient(ambient);
    }

    pub(super) fn room(&self) -> usize {
        self.send.playout.room()
    }

    pub(super) fn queued(&self) -> Duration {
        self.send.playout.queued()
    }

    pub(super) fn mark(&mut self, id: MarkId) {
        // More marks than the queue keeps are refused; the next mark then also covers this one's audio.
        let _kept = self.send.playout.mark(id);
    }

    pub(super) fn flush(&mut self) -> Heard {
        self.start = None;
        self.send.flush()
    }

    pub(super) const fn pause(&mut self) {
        self.start = None;
        self.send.pause();
    }

    pub(super) fn resume(&mut self) {
        let was_idle = self.send.is_idle();
        self.send.resume();
        if was_idle && !self.send.is_idle() {
            self.hurry();
        }
    }

    pub(super) fn send_dtmf(&mut self, digits: &[Digit]) -> DtmfPath {
        self.send.dial(digits, self.remote.as_ref())
    }

    pub(super) fn close(&mut self, now: Instant) {
        if let Some(remote) = self.remote.take() {
            self.report(now, &remote, Farewell::Yes);
        }
        self.due = None;
    }

    pub(super) fn stats(&self) -> LegStats {
        let mut stats = LegStats {
            sent: self.send.packets(),
            skipped: self.send.skipped,
            round_trip: self.round_trip,
            remote_fraction_lost: self.remote_fraction_lost,
            ..LegStats::default()
        };
        if let Some(now) = self.now {
            self.receive.count(now, &mut stats);
        }
        stats
    }

    fn report(&mut self, now: Instant, remote: &RemoteMedia, farewell: Farewell) {
        let (channel, destination) = match remote.rtcp {
            RtcpPath::Muxed => (Channel::Rtp, self.receive.lock.destination()),
            RtcpPath::Separate(address) => (Channel::Rtcp, Some(address)),
        };
        let Some(destination) = destination.filter(|to| !to.ip().is_unspecified()) else {
            return;
        };
        let report = rtcp::Report {
            ssrc: self.send.ssrc,
            name: self.seed,
            sender: self.send.report(self.ntp(now)),
            block: self.receive.reception.block(now),
            goodbye: farewell == Farewell::Yes,
        };
        let mut bytes = [0; rtcp::MAX_PRINTED];
        let len = rtcp::print(&report, &mut bytes);
        self.send.outbox.push(channel, destination, [bytes.get(..len).unwrap_or_default(), &[]]);
    }

    fn ntp(&self, now: Instant) -> u64 {
        let elapsed = self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        ((elapsed.as_secs() + NTP_START_SECONDS) << 32) | fraction
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Yes,
    No,
}
