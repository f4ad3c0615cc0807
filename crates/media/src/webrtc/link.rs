//! The connection to one browser: ICE, DTLS, SRTP and the data channel. **The one file that touches the WebRTC library.**
//!
//! On our side ICE is lite (RFC 8445 section 2.5): we answer the browser's checks and send none. What is no check is
//! handled only from an address whose check was answered in the last thirty seconds, and nothing else is sent anywhere
//! (RFC 7675: consent).
//!
//! The library is young: every call into it is caught. A panic ends this connection and no other.

use super::offer::{Judged, LineCodec, judge};
use super::{MESSAGE_BYTES, OfferError, is_stun};
use crate::sdp::Direction;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::config::DtlsCert;
use str0m::format::{Codec as Format, CodecConfig, FormatParams};
use str0m::media::{Frequency, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::{Extension, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// How long consent lasts (RFC 7675 section 5.1).
const CONSENT: Duration = Duration::from_secs(30);
/// Addresses of one browser that have consent at a time: its interfaces, each behind some NAT.
const ADDRESSES: usize = 8;
/// Outputs taken from the library at a time; it has never more than a few. A defence against an endless loop in it.
const OUTPUTS: usize = 4096;
/// Errors in a row after which the library is given up.
const ERRORS: usize = 16;
/// Text messages taken from a browser in a second; more are dropped. Nobody types as fast.
const MESSAGES_A_SECOND: u32 = 50;
/// Bytes of text on their way to a browser that takes none.
const UNSENT_BYTES: usize = 1024 * 1024;
/// How often the library tells what the far end reports.
const REPORTS: Duration = Duration::from_secs(5);
/// Payload types before an offer has chosen others.
const OPUS: u8 = 111;
const OPUS_EVENTS: u8 = 110;
const G711_EVENTS: u8 = 126;

/// Who we are to all browsers: a certificate, and the addresses at which they find us.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCert,
    addresses: Arc<[SocketAddr]>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({:?})", self.addresses)
    }
}

impl Identity {
    /// An identity with a new certificate; `None` when the library cannot make one, or no address is one that can be
    /// announced (unspecified, multicast and broadcast ones cannot, nor IPv4's link-local ones). All must lead to the
    /// same socket.
    pub fn new(addresses: &[SocketAddr]) -> Option<Self> {
        let announced = addresses.iter().filter(|address| candidate(**address).is_some()).copied();
        let addresses: Arc<[SocketAddr]> = announced.collect();
        let provider = str0m::crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate()?;
        (!addresses.is_empty()).then_some(Self { certificate, addresses })
    }

    /// Where browsers find us, the best first.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

fn candidate(address: SocketAddr) -> Option<Candidate> {
    Candidate::host(address, Protocol::Udp).ok()
}

/// A media packet of the browser.
pub(crate) struct Arrived {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    pub(crate) sequence: u16,
    /// Media time on the line's clock; does not wrap.
    pub(crate) time: u64,
    pub(crate) ssrc: u32,
    pub(crate) payload: Arc<[u8]>,
}

/// A media packet for the browser.
pub(crate) struct Written<'a> {
    pub(crate) payload_type: u8,
    pub(crate) marker: bool,
    /// Does not wrap.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
}

/// What became of a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// The browser has opened no channel (yet).
    NoChannel,
    /// It is too long, or too much waits.
    Full,
}

/// What happened on a connection.
pub(crate) enum LinkEvent {
    /// Keys are agreed on.
    Up,
    /// A media packet, decrypted and authentic.
    Media(Arrived),
    /// A text message.
    Message(String),
    /// The browser closed the connection.
    Closed,
    /// The connection cannot go on: consent ended, the certificate was not the offered one, the library failed.
    Failed,
}

/// What an offer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) codec: LineCodec,
    pub(crate) payload_type: u8,
    pub(crate) events: Option<u8>,
    pub(crate) direction: Direction,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Alive,
    /// Says goodbye, and takes nothing any more.
    Closing,
    Over,
}

/// One connection.
pub(crate) struct Link {
    rtc: Rtc,
    phase: Phase,
    /// The audio line.
    mid: Mid,
    /// Our name in the browser's checks.
    name: String,
    local: Arc<[SocketAddr]>,
    /// When the library wants to be woken.
    timeout: Instant,
    consent: Vec<(SocketAddr, Instant)>,
    /// Addresses that have consent for the first time.
    fresh: VecDeque<SocketAddr>,
    channel: Option<ChannelId>,
    outgoing: VecDeque<Transmit>,
    current: Option<Transmit>,
    events: VecDeque<LinkEvent>,
    /// Since when messages are counted, and how many came.
    messages: (Instant, u32),
    /// Datagrams and messages that were dropped, and media packets handed to the library that it has not given back.
    rejected: u64,
    pending: u64,
    round_trip: Duration,
    fraction_lost: u8,
}

impl Link {
    /// Answers an offer. Gives the connection, the answer's text, and what was agreed on.
    pub(crate) fn answer(now: Instant, identity: &Identity, offer: &str) -> Result<(Self, String, Agreed), OfferError> {
        let judged = judge(offer)?;
        // Whatever the library makes of a text, the process goes on.
        catch_unwind(AssertUnwindSafe(|| Self::negotiate(now, identity, &judged))).map_err(|_| OfferError::Malformed)?
    }

    fn negotiate(now: Instant, identity: &Identity, judged: &Judged) -> Result<(Self, String, Agreed), OfferError> {
        let mut rtc = config(judged).set_dtls_cert(identity.certificate.clone()).build(now);
        for candidate in identity.addresses.iter().filter_map(|address| candidate(*address)) {
            rtc.add_local_candidate(candidate);
        }
        let offer = SdpOffer::from_sdp_string(&judged.text).map_err(|_| OfferError::Malformed)?;
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|_| OfferError::Malformed)?.to_sdp_string();
        let name = rtc.direct_api().local_ice_credentials().ufrag;
        let mut link = Self {
            rtc,
            phase: Phase::Alive,
            mid: Mid::from(judged.name.as_str()),
            name,
            local: Arc::clone(&identity.addresses),
            timeout: now,
            consent: Vec::with_capacity(ADDRESSES),
            fresh: VecDeque::new(),
            channel: None,
            outgoing: VecDeque::with_capacity(8),
            current: None,
            events: VecDeque::with_capacity(8),
            messages: (now, 0),
            rejected: 0,
            pending: 0,
            round_trip: Duration::ZERO,
            fraction_lost: 0,
        };
        link.drain(now);
        let agreed = link.agreed(judged).ok_or(OfferError::NoCodec)?;
        Ok((link, answer, agreed))
    }

    fn agreed(&self, judged: &Judged) -> Option<Agreed> {
        let media = self.rtc.media(self.mid)?;
        let number = |format: Format| {
            let taken =
                |pt: &&Pt| self.rtc.codec_config().find(|p| p.pt() == **pt && p.spec().codec == format).is_some();
            media.remote_pts().iter().find(taken).map(|pt| **pt)
        };
        let format = match judged.codec {
            LineCodec::Opus => Format::Opus,
            LineCodec::G711(codec) if codec.name == "PCMA" => Format::PCMA,
            LineCodec::G711(_) => Format::PCMU,
        };
        Some(Agreed {
            codec: judged.codec,
            payload_type: number(format)?,
            events: judged.events.then(|| number(Format::Tele)).flatten(),
            direction: judged.direction,
        })
    }

    /// The name by which the browser's first packets find this connection.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Datagrams and messages dropped so far: of strangers, broken, not authentic, too many.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected + self.pending
    }

    /// Round trip and loss (in 1/256) that the browser reports.
    pub(crate) fn reported(&self) -> (Duration, u8) {
        (self.round_trip, self.fraction_lost)
    }

    /// A datagram of anybody.
    pub(crate) fn handle(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.phase != Phase::Alive {
            self.rejected += 1;
            return;
        }
        let checks = is_stun(datagram);
        if !checks && !self.consented(now, source) {
            self.rejected += 1;
            return;
        }
        let input = self.read(now, source, datagram).filter(|input| !checks || self.is_for_us(input));
        let Some(input) = input else {
            self.rejected += 1;
            return;
        };
        match self.guarded(|rtc| rtc.handle_input(input).is_ok()) {
            Some(true) if is_media(datagram) => self.pending += 1,
            Some(true) => {}
            Some(false) | None => self.rejected += 1,
        }
        self.drain(now);
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        if now >= self.timeout {
            // An error shows again when the outputs are taken.
            let _answered = self.guarded(|rtc| rtc.handle_input(Input::Timeout(now)).is_ok());
            self.drain(now);
        }
        let last = self.consent.iter().map(|(_, at)| *at).max();
        if last.is_some_and(|last| now.saturating_duration_since(last) >= CONSENT) {
            self.fail();
        }
    }

    /// Sends a media packet, if the browser is there.
    pub(crate) fn write(&mut self, now: Instant, packet: &Written<'_>) {
        if self.phase != Phase::Alive {
            return;
        }
        let mid = self.mid;
        let _answered = self.guarded(|rtc| {
            if let Some(stream) = rtc.direct_api().stream_tx_by_mid(mid, None) {
                let number = Pt::from(packet.payload_type);
                let write = RtpWrite::new(number, packet.sequence.into(), packet.timestamp, now, packet.payload);
                stream.write_rtp(write.marker(packet.marker));
            }
            rtc.handle_input(Input::Timeout(now)).is_ok()
        });
        self.drain(now);
    }

    /// Sends a text message over the channel that the browser opened last.
    pub(crate) fn message(&mut self, now: Instant, text: &str) -> Sent {
        let Some(id) = self.channel.filter(|_| self.phase == Phase::Alive) else { return Sent::NoChannel };
        if text.len() > MESSAGE_BYTES {
            return Sent::Full;
        }
        let sent = self.guarded(|rtc| {
            let Some(mut channel) = rtc.channel(id) else { return Sent::NoChannel };
            let fits = channel.buffered_amount() + text.len() <= UNSENT_BYTES;
            let written = fits && channel.write(false, text.as_bytes()).unwrap_or(false);
            if written { Sent::Yes } else { Sent::Full }
        });
        self.drain(now);
        sent.unwrap_or(Sent::NoChannel)
    }

    /// Says goodbye; take what is to be sent, then drop the connection.
    pub(crate) fn close(&mut self, now: Instant) {
        if self.phase == Phase::Alive {
            self.phase = Phase::Closing;
            // Whether the goodbye could be said or not, this is the end.
            let _said = self.guarded(|rtc| rtc.close().is_ok());
            self.drain(now);
        }
        self.phase = Phase::Over;
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, &[u8])> {
        self.current = self.outgoing.pop_front();
        self.current.as_ref().map(|transmit| (transmit.destination, &transmit.contents[..]))
    }

    /// The next address that has proved to be the browser's.
    pub(crate) fn poll_address(&mut self) -> Option<SocketAddr> {
        self.fresh.pop_front()
    }

    /// The next event.
    pub(crate) fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Anybody's datagram as the library reads it. A panic is a datagram that cannot be read, and changes nothing.
    fn read<'a>(&self, now: Instant, source: SocketAddr, datagram: &'a [u8]) -> Option<Input<'a>> {
        let destination = self.local_for(source)?;
        // Why a stranger's datagram cannot be read helps nobody: it is left out.
        let receive = || Receive::new(Protocol::Udp, source, destination, datagram).ok();
        let receive = catch_unwind(AssertUnwindSafe(receive)).ok().flatten()?;
        Some(Input::Receive(now, receive))
    }

    /// Whether a check is authentic: it has our name and the browser's, and was made with our password.
    fn is_for_us(&self, check: &Input<'_>) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.rtc.accepts(check))).unwrap_or(false)
    }

    /// What of ours a datagram from there was sent to. There is one socket behind all our addresses, so any of the same
    /// family will do.
    fn local_for(&self, source: SocketAddr) -> Option<SocketAddr> {
        self.local.iter().find(|local| local.is_ipv4() == source.is_ipv4()).copied()
    }

    fn consented(&self, now: Instant, address: SocketAddr) -> bool {
        let fresh = |at: Instant| now.saturating_duration_since(at) < CONSENT;
        self.consent.iter().any(|(other, at)| *other == address && fresh(*at))
    }

    /// Calls into the library; `None` when it panicked, and then this connection is over.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut Rtc) -> T) -> Option<T> {
        let rtc = &mut self.rtc;
        let outcome = catch_unwind(AssertUnwindSafe(|| call(rtc)));
        if outcome.is_err() {
            self.fail();
        }
        outcome.ok()
    }

    fn fail(&mut self) {
        if self.phase == Phase::Alive {
            self.events.push_back(LinkEvent::Failed);
        }
        self.phase = Phase::Over;
    }

    /// Takes everything that the library has to say.
    fn drain(&mut self, now: Instant) {
        let mut errors = 0;
        for _ in 0..OUTPUTS {
            if self.phase == Phase::Over {
                return;
            }
            match self.guarded(Rtc::poll_output) {
                Some(Ok(Output::Timeout(at))) => {
                    self.timeout = at;
                    break;
                }
                Some(Ok(Output::Transmit(transmit))) => self.transmit(now, transmit),
                Some(Ok(Output::Event(event))) => self.event(now, event),
                Some(Err(_)) if errors < ERRORS => errors += 1,
                Some(Err(_)) => return self.fail(),
                None => return,
            }
        }
        if self.phase == Phase::Alive && !self.rtc.is_alive() {
            self.fail();
        }
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        let to = transmit.destination;
        if is_stun(&transmit.contents) {
            if transmit.contents.starts_with(&[1, 1]) {
                self.consent_of(now, to);
            }
        } else if !self.consented(now, to) {
            return;
        }
        self.outgoing.push_back(transmit);
    }

    /// A check from there was authentic and is answered with success.
    fn consent_of(&mut self, now: Instant, address: SocketAddr) {
        if let Some((_, at)) = self.consent.iter_mut().find(|(other, _)| *other == address) {
            let returned = now.saturating_duration_since(*at) >= CONSENT;
            *at = now;
            if !returned {
                return;
            }
        } else {
            if self.consent.len() >= ADDRESSES
                && let Some(oldest) = (0..self.consent.len()).min_by_key(|i| self.consent[*i].1)
            {
                self.consent.swap_remove(oldest);
            }
            self.consent.push((address, now));
        }
        self.fresh.push_back(address);
    }

    fn event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => self.events.push_back(LinkEvent::Up),
            Event::RtpPacket(packet) => {
                self.pending = self.pending.saturating_sub(1);
                self.events.push_back(LinkEvent::Media(arrived(packet)));
            }
            Event::ChannelOpen(id, _) => self.channel = Some(id),
            Event::ChannelClose(id) if self.channel == Some(id) => self.channel = None,
            Event::ChannelData(data) => {
                self.channel = Some(data.id);
                match String::from_utf8(data.data) {
                    Ok(text) if !data.binary && text.len() <= MESSAGE_BYTES && self.may_speak(now) => {
                        self.events.push_back(LinkEvent::Message(text));
                    }
                    _ => self.rejected += 1,
                }
            }
            Event::MediaEgressStats(stats) => {
                self.round_trip = stats.rtt.unwrap_or(self.round_trip);
                self.fraction_lost =
                    stats.loss.map_or(self.fraction_lost, |loss| (loss.clamp(0.0, 0.99) * 256.0) as u8);
            }
            Event::Closed => {
                self.events.push_back(LinkEvent::Closed);
                self.phase = Phase::Closing;
            }
            // Lines, streams and channels that we did not agree on, and what the library tells of its own progress.
            _ => {}
        }
    }

    /// Whether another message is taken in this second.
    fn may_speak(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.messages.0) >= Duration::from_secs(1) {
            self.messages = (now, 0);
        }
        self.messages.1 += 1;
        self.messages.1 <= MESSAGES_A_SECOND
    }
}

/// RTP, and not RTCP (RFC 5761 section 4).
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if first >> 6 == 2 && !(64..96).contains(&(second & 0x7f)))
}

fn arrived(packet: RtpPacket) -> Arrived {
    Arrived {
        payload_type: *packet.header.payload_type,
        marker: packet.header.marker,
        sequence: packet.header.sequence_number,
        time: packet.time.numer(),
        ssrc: *packet.header.ssrc,
        payload: packet.payload,
    }
}

/// Just the codec chosen, its telephone events, and the one header extension that tells the lines of a bundle apart.
fn config(judged: &Judged) -> RtcConfig {
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .clear_codecs()
        .clear_extension_map()
        .set_extension(4, Extension::RtpMid)
        .set_stats_interval(Some(REPORTS))
        .set_sctp_max_message_size(MESSAGE_BYTES as u32)
        .set_sctp_max_buffered_amount(UNSENT_BYTES);
    let codecs = config.codec_config();
    match judged.codec {
        LineCodec::Opus => {
            let format = FormatParams { min_p_time: Some(10), use_inband_fec: Some(true), ..FormatParams::default() };
            codecs.add_config(OPUS.into(), None, Format::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), format);
            if judged.events {
                add_events(codecs, OPUS_EVENTS, Frequency::FORTY_EIGHT_KHZ);
            }
        }
        LineCodec::G711(codec) => {
            codecs.enable_pcma(codec.name == "PCMA", false);
            codecs.enable_pcmu(codec.name == "PCMU", false);
            if judged.events {
                add_events(codecs, G711_EVENTS, Frequency::EIGHT_KHZ);
            }
        }
    }
    config
}

fn add_events(codecs: &mut CodecConfig, number: u8, clock: Frequency) {
    codecs.add_config(number.into(), None, Format::Tele, clock, None, FormatParams::default());
}
