//! One leg on its shard: sockets, playout credit, recording, reports. Hides the order in which they are served.
//! Never waits, never allocates on a tick.

use super::OpenLeg;
use super::browser::SharedSocket;
use super::door::LegOrder;
use super::handle::{Link, MessageError};
use super::join::{self, Joint};
use super::outbox::{BufferPool, ChunkLengths, Flow, LegReport, Outbox};
use super::recording::{Recording, RecordingBuffers, ShardRecording};
use crate::ports::BoundPorts;
use crate::wire::Wire;
use callwright_media::leg::Channel;
use callwright_media::webrtc::Sent;
use callwright_media::{Connection, FramePair, Leg, LegEvent, WebRtcLeg};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use tokio::sync::mpsc;

/// Datagrams read from one socket before the others have their turn: a flood at one port must not starve the rest.
const READS: usize = 32;
/// Largest datagram looked at; RTP over Ethernet stays below 1500. A longer one fills the buffer and is dropped.
pub(super) const DATAGRAM: usize = 2048;
/// Buffers kept for reuse.
const POOL: usize = 512;

/// Where a leg's packets come from and go to.
pub(super) enum Line {
    /// Sockets of the system.
    Ports(BoundPorts),
    /// The one socket of all browsers.
    Shared(Arc<SharedSocket>),
    /// A port of a network in memory, and the one after it.
    Memory(Wire, u16),
}

/// A leg on its way to a shard.
pub(super) struct NewSeat {
    pub(super) leg: Leg,
    pub(super) line: Line,
    pub(super) link: Arc<Link>,
    pub(super) reports: mpsc::Sender<LegReport>,
    pub(super) settings: OpenLeg,
}

/// What a shard lends to its seats.
pub(super) struct Supplies {
    pub(super) chunks: BufferPool,
    pub(super) recordings: RecordingBuffers,
    pub(super) datagram: Box<[u8]>,
    pub(super) send_failures: u64,
}

impl Supplies {
    /// Empty pools.
    pub(super) fn new() -> Self {
        let (chunk_spare, chunk_returned) = sync_channel(POOL);
        let (record_spare, record_returned) = sync_channel(POOL);
        Self {
            chunks: BufferPool { spare: chunk_spare, returned: chunk_returned },
            recordings: RecordingBuffers { spare: record_spare, returned: record_returned },
            datagram: vec![0; DATAGRAM].into(),
            send_failures: 0,
        }
    }
}

/// Whether a seat is still wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    /// Its handle is gone.
    Closed,
    /// The engine does not take its reports.
    Overrun,
}

/// Whether a socket was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Drained,
    More,
}

/// A leg in place.
pub(super) struct Seat {
    leg: Leg,
    pub(super) line: Line,
    pub(super) link: Arc<Link>,
    outbox: Outbox,
    recording: Option<ShardRecording>,
    /// The last flush; what was ordered before it came before it.
    epoch: u64,
    /// Room in the leg's queue when last looked at.
    room: usize,
    /// Credit not given back yet.
    owed: usize,
    /// Credit worth a wake-up: 100 ms.
    worth: usize,
    /// Its end of a joint with another leg.
    joint: Option<Box<Joint>>,
    /// Samples of the other leg in the queue: nobody's credit.
    lent: usize,
    /// The phase it is visited in.
    pub(super) phase: usize,
}

impl Seat {
    pub(super) fn new(new: NewSeat) -> Self {
        let rate = new.link.rate;
        let lengths = ChunkLengths {
            quiet: rate.samples_in(new.settings.quiet_chunk),
            speech: rate.samples_in(new.settings.speech_chunk),
        };
        Self {
            room: new.leg.room(),
            leg: new.leg,
            line: new.line,
            outbox: Outbox::new(new.reports, lengths, Arc::clone(&new.link)),
            link: new.link,
            recording: None,
            joint: None,
            lent: 0,
            epoch: 0,
            owed: 0,
            worth: (rate.hertz() / 10) as usize,
            phase: 0,
        }
    }

    /// When the leg wants its next tick.
    pub(super) fn due(&self) -> Option<Instant> {
        self.leg.next_due()
    }

    /// Does what is due.
    pub(super) fn visit(&mut self, now: Instant, supplies: &mut Supplies) -> Life {
        if self.link.is_closed() {
            return Life::Closed;
        }
        self.leg.upkeep(now);
        self.hear_other();
        if self.leg.next_due().is_some_and(|due| due <= now) {
            self.leg.tick(now);
        }
        self.drain(now, supplies);
        match self.outbox.hand_over() {
            Flow::Going => Life::Alive,
            Flow::Overrun => Life::Overrun,
        }
    }

    /// Reads one of the sockets, up to a limit.
    pub(super) fn read(&mut self, now: Instant, channel: Channel, supplies: &mut Supplies) -> Read {
        let socket = match (&self.line, channel) {
            (Line::Ports(ports), Channel::Rtp) => Some(&ports.rtp),
            (Line::Ports(ports), Channel::Rtcp) => ports.rtcp.as_ref(),
            (Line::Memory(..) | Line::Shared(_), _) => None,
        };
        let Some(socket) = socket else { return Read::Drained };
        let mut outcome = Read::More;
        for _ in 0..READS {
            match socket.recv_from(&mut supplies.datagram) {
                Ok((length, source)) if length < DATAGRAM => {
                    let packet = supplies.datagram.get(..length).unwrap_or_default();
                    match channel {
                        Channel::Rtp => self.leg.handle_rtp(now, source, packet),
                        Channel::Rtcp => self.leg.handle_rtcp(now, source, packet),
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        tracing::debug!(leg = self.link.id, %error, "a media socket cannot be read");
                    }
                    outcome = Read::Drained;
                    break;
                }
            }
        }
        self.drain(now, supplies);
        outcome
    }

    /// Whether this port of a network in memory is one of its two.
    pub(super) fn listens_at(&self, port: u16) -> bool {
        matches!(&self.line, Line::Memory(_, own) if *own == port || own.saturating_add(1) == port)
    }

    /// Takes a packet that came through a network in memory.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        (source, port): (SocketAddr, u16),
        packet: &[u8],
        supplies: &mut Supplies,
    ) {
        match &self.line {
            Line::Memory(_, own) if *own == port => self.leg.handle_rtp(now, source, packet),
            Line::Memory(..) => self.leg.handle_rtcp(now, source, packet),
            Line::Ports(_) | Line::Shared(_) => {}
        }
        self.drain(now, supplies);
    }

    /// Takes a packet that came to the socket of all browsers.
    pub(super) fn admit(&mut self, now: Instant, source: SocketAddr, packet: &[u8], supplies: &mut Supplies) {
        self.leg.handle_rtp(now, source, packet);
        self.drain(now, supplies);
    }

    /// The browser's leg in this seat.
    pub(super) fn browser(&mut self) -> Option<&mut WebRtcLeg> {
        match &mut self.leg {
            Leg::WebRtc(leg) => Some(leg),
            Leg::Rtp(_) => None,
        }
    }

    /// Carries an order out. Audio that can leave at once does.
    pub(super) fn obey(&mut self, now: Instant, order: LegOrder, supplies: &mut Supplies) {
        match order {
            LegOrder::Remote(remote) => self.leg.remote(now, *remote),
            LegOrder::Reconnect(connection) => self.reconnect(now, *connection, supplies),
            LegOrder::Play(pcm, epoch) => self.play(&pcm, epoch),
            LegOrder::Mark(id) => self.leg.mark(id),
            LegOrder::Flush(epoch, answer) => {
                self.epoch = self.epoch.max(epoch);
                let heard = self.leg.flush();
                self.return_credit();
                // Whoever asked may have gone away since; the queue is empty all the same.
                drop(answer.send(heard));
            }
            LegOrder::Pause => self.leg.pause(),
            LegOrder::Resume => self.leg.resume(),
            LegOrder::Ambient(ambient) => self.leg.ambient(ambient),
            // As above: the keys are pressed whether or not anybody waits to hear how.
            LegOrder::Dtmf(digits, answer) => drop(answer.send(self.leg.send_dtmf(&digits))),
            // As above.
            LegOrder::Message(text, answer) => drop(answer.send(self.message(now, &text))),
            LegOrder::Join(joint) => self.joint = joint,
            LegOrder::Record(recording) => {
                if let Some(mut former) = self.recording.replace(recording) {
                    former.close(Recording::Going);
                }
            }
            LegOrder::StopRecording => {
                if let Some(mut recording) = self.recording.take() {
                    recording.close(Recording::Going);
                }
            }
            // As above.
            LegOrder::Stats(answer) => drop(answer.send(self.leg.stats())),
        }
        if self.leg.next_due().is_some_and(|due| due <= now) {
            self.leg.tick(now);
        }
        self.drain(now, supplies);
    }

    /// Another connection takes the place of the browser's, once that is told goodbye.
    fn reconnect(&mut self, now: Instant, connection: Connection, supplies: &mut Supplies) {
        if let Some(leg) = self.browser() {
            leg.part(now);
        }
        self.drain(now, supplies);
        if let Some(leg) = self.browser() {
            leg.reconnect(now, connection);
        }
    }

    /// Ends the leg; gives its ports, and a recording whose end the writer has no room for yet.
    pub(super) fn close(mut self, now: Instant, supplies: &mut Supplies) -> (Line, Option<ShardRecording>) {
        self.leg.close(now);
        self.drain(now, supplies);
        self.outbox.finish(now, &supplies.chunks);
        self.link.close();
        let unfinished = self.recording.take().and_then(|mut recording| {
            let handed_over = recording.close(Recording::Going);
            (!handed_over).then_some(recording)
        });
        (self.line, unfinished)
    }

    /// Takes what the leg that this one is joined with has heard. What would have to wait too long is dropped.
    fn hear_other(&mut self) {
        let Some(joint) = &self.joint else { return };
        while let Some(frame) = joint.take() {
            if self.leg.queued() < join::QUEUED {
                let taken = self.leg.play(frame.samples());
                self.lent += taken;
                self.room = self.room.saturating_sub(taken);
            }
        }
    }

    fn message(&mut self, now: Instant, text: &str) -> Result<(), MessageError> {
        match self.leg.message(now, text) {
            Sent::Yes => Ok(()),
            Sent::NoChannel => Err(MessageError::NoChannel),
            Sent::Full => Err(MessageError::Full),
        }
    }

    fn play(&mut self, pcm: &[i16], epoch: u64) {
        let taken = if epoch < self.epoch { 0 } else { self.leg.play(pcm) };
        self.owed += pcm.len() - taken.min(pcm.len());
        self.room = self.room.saturating_sub(taken);
    }

    /// Sends and reports everything there is.
    fn drain(&mut self, now: Instant, supplies: &mut Supplies) {
        while let Some(packet) = self.leg.poll_transmit() {
            let (to, bytes) = (packet.destination, packet.bytes);
            let sent = match (&self.line, packet.channel) {
                (Line::Ports(ports), Channel::Rtp) => ports.rtp.send_to(bytes, to),
                (Line::Ports(ports), Channel::Rtcp) => ports.rtcp.as_ref().unwrap_or(&ports.rtp).send_to(bytes, to),
                (Line::Shared(socket), _) => socket.send_to(bytes, to),
                (Line::Memory(wire, port), channel) => {
                    let port = port.saturating_add(u16::from(channel == Channel::Rtcp));
                    wire.send_from(port, to, bytes);
                    continue;
                }
            };
            if let Err(error) = sent {
                supplies.send_failures += 1;
                tracing::trace!(leg = self.link.id, %error, "a packet was not sent");
            }
        }
        while let Some(event) = self.leg.poll_event() {
            match &event {
                // The recorder's alone. Not handed on: a pair of frames is long, and moving it is not free.
                LegEvent::Audio(pair) => {
                    self.record(pair, supplies);
                    if let Some(joint) = &mut self.joint {
                        joint.give(&pair.heard);
                    }
                }
                _ => self.outbox.event(now, event, &supplies.chunks),
            }
        }
        while let Some(text) = self.leg.poll_message() {
            self.outbox.message(text);
        }
        self.return_credit();
    }

    fn record(&mut self, pair: &FramePair, supplies: &Supplies) {
        if let Some(recording) = &mut self.recording
            && recording.push(pair, &supplies.recordings) == Recording::GivenUp
        {
            recording.close(Recording::GivenUp);
            self.recording = None;
        }
    }

    /// Gives credit back for samples that left, in portions worth a wake-up.
    fn return_credit(&mut self) {
        let room = self.leg.room();
        let freed = room.saturating_sub(self.room);
        let others = freed.min(self.lent);
        self.lent -= others;
        self.owed += freed - others;
        self.room = room;
        if self.owed >= self.worth || (self.owed > 0 && self.leg.queued().is_zero()) {
            self.link.give_credit(std::mem::take(&mut self.owed));
        }
    }
}
