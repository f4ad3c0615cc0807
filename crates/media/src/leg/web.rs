//! The leg to a browser: an RTP leg whose packets travel through a [`Link`] instead of a socket of their own, and whose
//! codec, where that has a memory, is turned into plain samples at the leg's edge. So jitter buffer, concealment, speech
//! detection, playout, marks and keys are the telephone leg's own.
//! Never sends anything to an address that has not proved to be the browser's.

use super::rtp::RtpLeg;
use super::{Channel, LegEvent, LegSettings, LegStats, SourcePolicy, Transmit};
use crate::codec::{self, Codec};
use crate::frame::Rate;
use crate::rtp::packet::{self, Datagram, Packet, classify};
use crate::sdp::{RemoteMedia, RtcpPath, TelephoneEvents};
use crate::webrtc::{Arrived, Identity, LineCodec, Link, LinkEvent, OfferError, Sent, Voice, Written};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

/// The far end as the RTP leg sees it: whatever comes through the link is the browser's.
const FAR_END: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9));
/// Payload types between the RTP leg and us.
const AUDIO: u8 = 96;
const KEYS: u8 = 101;
/// Text messages of a browser that wait for the engine; the oldest gives way.
const MESSAGES: usize = 64;
/// Bytes of a key's payload (RFC 4733 section 2.3).
const KEY_BYTES: usize = 4;
/// Longer than any call: whether a browser is there is told by consent, not by audio.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A media path to a browser.
pub struct WebRtcLeg {
    link: Link,
    sound: RtpLeg,
    /// The codec's memory, when it has one.
    voice: Option<Voice>,
    remote: RemoteMedia,
    line: Line,
    opened: Instant,
    lost: Duration,
    connected: bool,
    over: bool,
    events: VecDeque<LegEvent>,
    messages: VecDeque<String>,
    unheard: u64,
}

/// What is one connection's and not its leg's: a browser that comes back brings another.
pub struct Connection {
    link: Link,
    voice: Option<Voice>,
    remote: RemoteMedia,
    line: Line,
}

/// How the RTP leg's numbers are written on the line.
struct Line {
    payload_type: u8,
    events: Option<u8>,
    /// The line's clock over the leg's.
    scale: u32,
    /// Sequence number and timestamps of the last packet: on the line, and the RTP leg's.
    sequence: u64,
    timestamp: u32,
    last: Option<(u16, u32)>,
}

impl Connection {
    /// A connection to the browser that made `offer`, and the answer to it.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn answer(now: Instant, identity: &Identity, offer: &str) -> Result<(Self, String), OfferError> {
        let (link, answer, agreed) = Link::answer(now, identity, offer)?;
        let (codec, voice, scale): (&'static Codec, _, _) = match agreed.codec {
            LineCodec::Opus => (codec::L16, Some(Voice::new().ok_or(OfferError::NoCodec)?), 3),
            LineCodec::G711(codec) => (codec, None, 1),
        };
        let key = |_| TelephoneEvents { payload_type: KEYS, receive_payload_type: KEYS, clock: codec.clock };
        let remote = RemoteMedia {
            address: FAR_END,
            rtcp: RtcpPath::Muxed,
            codec,
            payload_type: AUDIO,
            events: agreed.events.map(key),
            direction: agreed.direction,
        };
        let line = Line {
            payload_type: agreed.payload_type,
            events: agreed.events,
            scale,
            sequence: 0,
            timestamp: 0,
            last: None,
        };
        Ok((Self { link, voice, remote, line }, answer))
    }

    /// Samples a second: 16 kHz with Opus and 8 kHz with G.711.
    pub const fn rate(&self) -> Rate {
        self.remote.codec.rate
    }

    /// Numbers its packets from there on.
    fn numbered(mut self, sequence: u64, timestamp: u32) -> Self {
        // Below 2^15, so that no wrap comes before the far end has the first packet (RFC 3711 section 3.3.1).
        self.line.sequence = sequence & 0x7fff;
        self.line.timestamp = timestamp;
        self
    }
}

impl WebRtcLeg {
    /// A leg for the browser that made `offer`, and the answer to it. Its rate is 16 kHz with Opus and 8 kHz with G.711,
    /// whatever the settings say.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn answer(
        now: Instant,
        mut settings: LegSettings,
        identity: &Identity,
        offer: &str,
    ) -> Result<(Self, String), OfferError> {
        let (connection, answer) = Connection::answer(now, identity, offer)?;
        settings.rate = connection.rate();
        settings.source = SourcePolicy::Strict;
        let lost = std::mem::replace(&mut settings.lost, NEVER);
        let connection = connection.numbered(u64::from(settings.start.sequence), settings.start.timestamp);
        let Connection { link, voice, remote, line } = connection;
        let leg = Self {
            link,
            sound: RtpLeg::new(settings),
            voice,
            remote,
            line,
            opened: now,
            lost,
            connected: false,
            over: false,
            events: VecDeque::with_capacity(4),
            messages: VecDeque::new(),
            unheard: 0,
        };
        Ok((leg, answer))
    }

    /// The name by which the browser's first packets find this leg.
    pub fn name(&self) -> &str {
        self.link.name()
    }

    /// Says goodbye to the browser that is connected, whose place another is to take.
    pub fn part(&mut self, now: Instant) {
        self.link.close(now);
    }

    /// A browser that comes back goes on with this leg, whose rate it must have. [`LegEvent::Connected`] tells when it is
    /// there, [`LegEvent::Lost`] that it did not come in time. Of the one before nothing is heard any more.
    pub fn reconnect(&mut self, now: Instant, connection: Connection) {
        self.unheard += self.link.rejected();
        let connection = connection.numbered(self.line.sequence, self.line.timestamp);
        Connection { link: self.link, voice: self.voice, remote: self.remote, line: self.line } = connection;
        self.messages.clear();
        self.opened = now;
        self.connected = false;
        self.over = false;
    }

    /// The next address that has proved to be the browser's, for whoever sorts packets of one socket over many legs.
    pub fn poll_address(&mut self) -> Option<SocketAddr> {
        self.link.poll_address()
    }

    /// The next text message of the browser.
    pub fn poll_message(&mut self) -> Option<String> {
        self.messages.pop_front()
    }

    /// Sends a text message.
    pub fn message(&mut self, now: Instant, text: &str) -> Sent {
        self.link.message(now, text)
    }

    pub(super) fn sound(&self) -> &RtpLeg {
        &self.sound
    }

    pub(super) fn sound_mut(&mut self) -> &mut RtpLeg {
        &mut self.sound
    }

    pub(super) fn handle(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        self.link.handle(now, source, datagram);
        self.take(now);
    }

    /// Time passes on the connection. To be called at least every 20 ms, connected or not.
    pub(super) fn upkeep(&mut self, now: Instant) {
        self.link.tick(now);
        self.take(now);
        if !self.connected && now.saturating_duration_since(self.opened) >= self.lost {
            self.end(LegEvent::Lost);
        }
    }

    /// Goes on while nobody is connected: what is recorded has no gap then, and who spoke has fallen silent.
    pub(super) fn tick(&mut self, now: Instant) {
        self.sound.tick(now);
        self.speak(now);
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.sound.next_due()
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        let (destination, bytes) = self.link.poll_transmit()?;
        Some(Transmit { channel: Channel::Rtp, destination, bytes })
    }

    pub(super) fn poll_event(&mut self) -> Option<LegEvent> {
        // What was heard before the end is told before it.
        self.sound.poll_event().or_else(|| self.events.pop_front())
    }

    pub(super) fn close(&mut self, now: Instant) {
        self.link.close(now);
        self.over = true;
    }

    pub(super) fn stats(&self) -> LegStats {
        let mut stats = self.sound.stats();
        (stats.round_trip, stats.remote_fraction_lost) = self.link.reported();
        stats.rejected += self.link.rejected() + self.unheard;
        stats
    }

    /// Takes what came through the link.
    fn take(&mut self, now: Instant) {
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Up => {
                    self.connected = true;
                    self.sound.remote(now, self.remote);
                    self.events.push_back(LegEvent::Connected { at: now });
                }
                LinkEvent::Media(packet) => self.hear(now, &packet),
                LinkEvent::Message(text) => {
                    if self.messages.len() >= MESSAGES {
                        self.messages.pop_front();
                        self.unheard += 1;
                    }
                    self.messages.push_back(text);
                }
                LinkEvent::Closed => self.end(LegEvent::Closed),
                LinkEvent::Failed => self.end(LegEvent::Lost),
            }
        }
    }

    fn end(&mut self, event: LegEvent) {
        if !self.over {
            self.over = true;
            self.events.push_back(event);
        }
    }

    /// A media packet of the browser, on its way to the RTP leg.
    fn hear(&mut self, now: Instant, arrived: &Arrived) {
        let scale = self.line.scale;
        // Truncated: timestamps wrap.
        let timestamp = (arrived.time / u64::from(scale)) as u32;
        let mut packet = Packet {
            marker: arrived.marker,
            payload_type: AUDIO,
            sequence: arrived.sequence,
            timestamp,
            ssrc: arrived.ssrc,
            payload: &arrived.payload,
        };
        if self.line.events == Some(arrived.payload_type) {
            let mut key = [0; KEY_BYTES];
            let Some(payload) = scaled(&arrived.payload, &mut key, |length| u32::from(length) / scale) else {
                self.unheard += 1;
                return;
            };
            packet.payload_type = KEYS;
            packet.payload = payload;
            // It takes a number that audio would have had.
            if let Some(voice) = &mut self.voice {
                voice.skip(arrived.sequence);
            }
            return self.sound.handle_packet(now, FAR_END, &packet);
        }
        if arrived.payload_type != self.line.payload_type || arrived.payload.is_empty() {
            self.unheard += 1;
            return;
        }
        let Some(voice) = &mut self.voice else {
            return self.sound.handle_packet(now, FAR_END, &packet);
        };
        let Some(decoded) = voice.decode(arrived.sequence, &arrived.payload) else {
            self.unheard += 1;
            return;
        };
        let mut bytes = [0; 2 * Voice::LONGEST];
        if let Some(before) = decoded.before {
            let length = (codec::L16.encode)(before, &mut bytes);
            let before = Packet {
                marker: false,
                sequence: packet.sequence.wrapping_sub(1),
                timestamp: timestamp.wrapping_sub(before.len() as u32),
                payload: bytes.get(..length).unwrap_or_default(),
                ..packet
            };
            self.sound.handle_packet(now, FAR_END, &before);
        }
        let length = (codec::L16.encode)(decoded.samples, &mut bytes);
        packet.payload = bytes.get(..length).unwrap_or_default();
        self.sound.handle_packet(now, FAR_END, &packet);
    }

    /// Sends what the RTP leg has to say.
    fn speak(&mut self, now: Instant) {
        let Self { link, sound, voice, line, over, .. } = self;
        while let Some(transmit) = sound.poll_transmit() {
            // The library reports for itself.
            if *over || classify(transmit.bytes) != Datagram::Rtp {
                continue;
            }
            let Ok(packet) = packet::parse(transmit.bytes) else { continue };
            let (sequence, timestamp) = line.count(&packet);
            let mut key = [0; KEY_BYTES];
            let scale = line.scale;
            let (payload_type, payload) = match (packet.payload_type, voice.as_mut()) {
                (KEYS, _) => {
                    let stretched = scaled(packet.payload, &mut key, |length| u32::from(length) * scale);
                    (line.events, stretched)
                }
                (_, None) => (Some(line.payload_type), Some(packet.payload)),
                (_, Some(voice)) => (Some(line.payload_type), voice.encode_bytes(packet.payload)),
            };
            if let (Some(payload_type), Some(payload)) = (payload_type, payload) {
                link.write(now, &Written { payload_type, marker: packet.marker, sequence, timestamp, payload });
            }
        }
    }
}

impl Line {
    /// The numbers on the line of a packet of the RTP leg.
    fn count(&mut self, packet: &Packet<'_>) -> (u64, u32) {
        if let Some((sequence, timestamp)) = self.last {
            self.sequence += u64::from(packet.sequence.wrapping_sub(sequence));
            let step = packet.timestamp.wrapping_sub(timestamp).wrapping_mul(self.scale);
            self.timestamp = self.timestamp.wrapping_add(step);
        }
        self.last = Some((packet.sequence, packet.timestamp));
        (self.sequence, self.timestamp)
    }
}

/// A key's payload with its duration on another clock.
fn scaled<'a>(payload: &[u8], out: &'a mut [u8; KEY_BYTES], length: impl Fn(u16) -> u32) -> Option<&'a [u8]> {
    let [event, flags, high, low] = *payload.first_chunk::<KEY_BYTES>()?;
    let length = u16::try_from(length(u16::from_be_bytes([high, low]))).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    *out = [event, flags, high, low];
    Some(out)
}
