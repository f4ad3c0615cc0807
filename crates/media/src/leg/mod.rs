//! One media path of a call: packets in and out on one side, 20 ms frames, keys and marks on the other.
//!
//! How to drive a leg (all calls from one thread, no locks):
//! 1. [`Leg::remote`] with what SDP agreed on; the first packet is due at once.
//! 2. Read the sockets: [`Leg::handle_rtp`], [`Leg::handle_rtcp`].
//! 3. When `now >= next_due()`: [`Leg::tick`], after the sockets were read.
//! 4. Drain [`Leg::poll_transmit`] and [`Leg::poll_event`] after every step that may have filled them (2, 3, orders).
//! 5. Look at `next_due()` again after orders: the first sound of a sentence is due at once, not at the next tick.
//!
//! Caller audio comes twice: at once and unevenly ([`LegEvent::Heard`], for recognisers), and in step with what was sent
//! ([`LegEvent::Audio`], for the recorder).
//!
//! Never allocates on the tick once it has run for a second, never sends to an address that SDP or the source lock
//! did not give, never sends more than two packets back to back.

mod receive;
mod rtp;
mod send;
mod web;

use crate::dtmf::Digit;
use crate::frame::{Frame, FramePair, Rate};
use crate::pcm::Gain;
use crate::playout::{Heard, MarkId};
use crate::sdp::RemoteMedia;
use crate::speech::SpeechSettings;
use crate::webrtc::{Identity, OfferError, Sent};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use rtp::RtpLeg;
pub use web::{Connection, WebRtcLeg};

/// Entropy for one leg: RFC 3550 wants all of these unpredictable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpStart {
    /// Our synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
    /// Seed of the spread of RTCP intervals; also the name in our RTCP reports.
    pub seed: u64,
}

/// How long arriving audio may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterLimits {
    /// Least delay.
    pub min: Duration,
    /// Delay before anything is known of the network.
    pub start: Duration,
    /// Greatest delay; what comes later than this is lost.
    pub max: Duration,
}

impl Default for JitterLimits {
    fn default() -> Self {
        Self { min: Duration::from_millis(20), start: Duration::from_millis(40), max: Duration::from_millis(200) }
    }
}

/// From whom media is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePolicy {
    /// Only from the address that SDP gave.
    Strict,
    /// As `Strict`, but a peer behind NAT may be learned when nothing comes from the SDP address.
    Learn,
}

/// What is sent while there is nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdleAudio {
    /// Silence: keeps NAT bindings and the far end's own source lock alive.
    Silence,
    /// Nothing: RFC 3550 silence suppression.
    Nothing,
}

/// Everything a leg is told once.
#[derive(Debug, Clone)]
pub struct LegSettings {
    /// Rate of the frames; must be the codec's own.
    pub rate: Rate,
    /// Entropy.
    pub start: RtpStart,
    /// Jitter buffer.
    pub jitter: JitterLimits,
    /// Source lock.
    pub source: SourcePolicy,
    /// Voice activity detection.
    pub speech: SpeechSettings,
    /// What to send when silent.
    pub idle: IdleAudio,
    /// Most agent audio queued.
    pub playout: Duration,
    /// [`LegEvent::NoMedia`] after this long without a single packet since the leg was told its remote.
    pub no_media: Duration,
    /// [`LegEvent::Lost`] after this long without a packet.
    pub lost: Duration,
}

impl LegSettings {
    /// The defaults of a telephone leg.
    pub fn telephone(start: RtpStart) -> Self {
        Self {
            rate: Rate::Narrow,
            start,
            jitter: JitterLimits::default(),
            source: SourcePolicy::Learn,
            speech: SpeechSettings::default(),
            idle: IdleAudio::Silence,
            playout: Duration::from_secs(10),
            no_media: Duration::from_secs(10),
            lost: Duration::from_secs(30),
        }
    }
}

/// The sound of a place, repeated for ever.
#[derive(Debug, Clone)]
pub struct Ambient {
    /// The sound at the leg's rate. An empty one is none.
    pub pcm: Arc<[i16]>,
    /// How loud.
    pub gain: Gain,
}

/// Which socket a packet belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The media socket.
    Rtp,
    /// The control socket (port + 1), when RTCP is not multiplexed.
    Rtcp,
}

/// A packet to send now. The bytes live in the leg until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// From which socket.
    pub channel: Channel,
    /// To whom.
    pub destination: SocketAddr,
    /// The packet.
    pub bytes: &'a [u8],
}

/// Whether the far end wants to hear us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It put us on hold: playout pauses, nothing is sent.
    Held,
    /// It talks with us (again).
    Resumed,
}

/// What happened on a leg.
#[allow(clippy::large_enum_variant)] // a boxed frame would be an allocation per tick
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegEvent {
    /// Caller audio for recognisers, the moment its packet came: up to 20 ms, in order, gaps made up, silence while the
    /// far end sends nothing. Adds up to real time, never ahead of it by more than a packet and 20 ms.
    Heard(Frame),
    /// Twenty milliseconds passed, both ways, for the recorder. Comes once per tick from the first `remote` on; while a
    /// sentence leaves ahead of the clock, one frame later.
    Audio(FramePair),
    /// Somebody began to speak.
    SpeechStarted {
        /// When the speech began (earlier than the event: it had to last for a while first).
        at: Instant,
    },
    /// Nobody speaks any more.
    SpeechStopped {
        /// When the speech ended (earlier than the event by the hangover).
        at: Instant,
        /// How long it lasted.
        lasted: Duration,
    },
    /// A key was pressed and released (or went silent).
    Dtmf {
        /// Which.
        digit: Digit,
        /// For how long.
        duration: Duration,
    },
    /// All audio before the mark was sent.
    Mark {
        /// Which.
        id: MarkId,
        /// When its last packet left.
        at: Instant,
    },
    /// The queue of agent audio ran empty.
    Drained {
        /// When its last packet left.
        at: Instant,
    },
    /// The keys given to `send_dtmf` were all sent.
    DtmfSent,
    /// The first packet of the far end was accepted.
    Up {
        /// When.
        at: Instant,
    },
    /// Not one packet came within the time allowed. Comes once.
    NoMedia,
    /// Packets came and stopped for the time allowed, or never came. Comes once until they come again.
    Lost,
    /// The far end put us on hold or took us back.
    Hold(Hold),
    /// The far end's RTCP said goodbye. The call goes on until signalling or [`LegEvent::Lost`] ends it.
    Goodbye,
    /// A browser is connected. Nothing is heard or sent before.
    Connected {
        /// When.
        at: Instant,
    },
    /// A browser closed the connection. Nothing follows.
    Closed,
}

/// Counters of one leg since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegStats {
    /// Packets sent.
    pub sent: u64,
    /// Ticks in which a packet was left out because the leg was ticked too late.
    pub skipped: u64,
    /// Media packets accepted.
    pub received: u64,
    /// Packets dropped: malformed, foreign source, unknown payload type, stray.
    pub rejected: u64,
    /// Packets that never came (RFC 3550 A.3).
    pub lost: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Times the jitter buffer started over.
    pub resyncs: u64,
    /// Audio made up by concealment.
    pub concealed: Duration,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// Delay of the jitter buffer now.
    pub delay: Duration,
    /// Round trip by RTCP; zero while unknown.
    pub round_trip: Duration,
    /// Loss the far end reports for what we send, in 1/256.
    pub remote_fraction_lost: u8,
    /// Keys dropped because they came faster than 20 a second.
    pub digits_dropped: u64,
}

/// How keys will travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtmfPath {
    /// As RFC 4733 events.
    Events,
    /// As tones in the audio: the far end takes no events.
    Tones,
}

/// One media path.
pub enum Leg {
    /// Plain RTP over UDP.
    Rtp(Box<RtpLeg>),
    /// A browser.
    WebRtc(Box<WebRtcLeg>),
}

impl Leg {
    /// A leg over plain RTP.
    pub fn rtp(settings: LegSettings) -> Self {
        Self::Rtp(Box::new(RtpLeg::new(settings)))
    }

    /// A leg to the browser that made `offer`, and the answer to it.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn browser(
        now: Instant,
        settings: LegSettings,
        identity: &Identity,
        offer: &str,
    ) -> Result<(Self, String), OfferError> {
        let (leg, answer) = WebRtcLeg::answer(now, settings, identity, offer)?;
        Ok((Self::WebRtc(Box::new(leg)), answer))
    }

    /// Samples a second of the audio both ways.
    pub fn rate(&self) -> Rate {
        self.sound().rate()
    }

    /// What both kinds have in common: the audio, at the leg's own rate.
    fn sound(&self) -> &RtpLeg {
        match self {
            Self::Rtp(leg) => leg,
            Self::WebRtc(leg) => leg.sound(),
        }
    }

    fn sound_mut(&mut self) -> &mut RtpLeg {
        match self {
            Self::Rtp(leg) => leg,
            Self::WebRtc(leg) => leg.sound_mut(),
        }
    }

    /// A datagram on the media socket. Anything may come; what is not ours is counted and dropped.
    pub fn handle_rtp(&mut self, now: Instant, source: SocketAddr, packet: &[u8]) {
        match self {
            Self::Rtp(leg) => leg.handle_rtp(now, source, packet),
            Self::WebRtc(leg) => leg.handle(now, source, packet),
        }
    }

    /// A datagram on the control socket.
    pub fn handle_rtcp(&mut self, now: Instant, source: SocketAddr, packet: &[u8]) {
        match self {
            Self::Rtp(leg) => leg.handle_rtcp(now, source, packet),
            Self::WebRtc(leg) => leg.handle(now, source, packet),
        }
    }

    /// What SDP agreed on, the first time and after every renegotiation. (A browser's leg knows it already.) Starts the 20 ms cadence: the first tick is
    /// due at `now`, so audio that is already queued leaves at once.
    pub fn remote(&mut self, now: Instant, remote: RemoteMedia) {
        match self {
            Self::Rtp(leg) => leg.remote(now, remote),
            Self::WebRtc(_) => {}
        }
    }

    /// Makes the next tick due at `now` and moves the 20 ms cadence there. For the moment of answer when the remote was
    /// known before (early media): what is queued leaves at once instead of up to 20 ms later. Not for every sentence:
    /// each call shifts the far end's timing by up to one packet.
    pub fn start_now(&mut self, now: Instant) {
        self.sound_mut().start_now(now);
    }

    /// When [`Leg::tick`] wants to be called next; `None` until the remote is known.
    pub fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Rtp(leg) => leg.next_due(),
            Self::WebRtc(leg) => leg.next_due(),
        }
    }

    /// Does everything that is due by `now`. Call it after the sockets were read. Cheap and harmless when early.
    pub fn tick(&mut self, now: Instant) {
        match self {
            Self::Rtp(leg) => leg.tick(now),
            Self::WebRtc(leg) => leg.tick(now),
        }
    }

    /// Time passes on the connection of a leg that has one: to be called at least every 20 ms, whatever [`Leg::next_due`]
    /// says.
    pub fn upkeep(&mut self, now: Instant) {
        match self {
            Self::Rtp(_) => {}
            Self::WebRtc(leg) => leg.upkeep(now),
        }
    }

    /// The next text message of a browser.
    pub fn poll_message(&mut self) -> Option<String> {
        match self {
            Self::Rtp(_) => None,
            Self::WebRtc(leg) => leg.poll_message(),
        }
    }

    /// Sends a text message to a browser.
    pub fn message(&mut self, now: Instant, text: &str) -> Sent {
        match self {
            Self::Rtp(_) => Sent::NoChannel,
            Self::WebRtc(leg) => leg.message(now, text),
        }
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        match self {
            Self::Rtp(leg) => leg.poll_transmit(),
            Self::WebRtc(leg) => leg.poll_transmit(),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LegEvent> {
        match self {
            Self::Rtp(leg) => leg.poll_event(),
            Self::WebRtc(leg) => leg.poll_event(),
        }
    }

    /// Queues agent audio at the leg's rate; returns how many samples fitted (the rest was not taken). On a leg that was
    /// idle the first packet is due at once: [`Leg::next_due`] tells. It leaves up to 20 ms ahead of the clock; idle
    /// packets after the sentence wait until the clock has caught up.
    pub fn play(&mut self, pcm: &[i16]) -> usize {
        self.sound_mut().play(pcm)
    }

    /// Samples that can be queued now.
    pub fn room(&self) -> usize {
        self.sound().room()
    }

    /// Agent audio waiting to be sent.
    pub fn queued(&self) -> Duration {
        self.sound().queued()
    }

    /// Sets a mark after everything queued so far; [`LegEvent::Mark`] comes when it was sent.
    pub fn mark(&mut self, id: MarkId) {
        self.sound_mut().mark(id);
    }

    /// Throws away all queued audio at once and says how much of it was sent. No `Drained` follows.
    pub fn flush(&mut self) -> Heard {
        self.sound_mut().flush()
    }

    /// Stops taking from the queue without losing it; silence is sent meanwhile.
    pub fn pause(&mut self) {
        self.sound_mut().pause();
    }

    /// Goes on after [`Leg::pause`].
    pub fn resume(&mut self) {
        self.sound_mut().resume();
    }

    /// Sends keys after each other (100 ms each); agent audio waits meanwhile. At most 64 keys wait; more are dropped.
    pub fn send_dtmf(&mut self, digits: &[Digit]) -> DtmfPath {
        self.sound_mut().send_dtmf(digits)
    }

    /// Changes how speech is told from noise, for example less willingly while the agent speaks.
    pub fn detect(&mut self, settings: SpeechSettings) {
        self.sound_mut().detect(settings);
    }

    /// Plays a sound under the agent's voice and in its silence, or stops it.
    pub fn ambient(&mut self, ambient: Option<Ambient>) {
        self.sound_mut().ambient(ambient);
    }

    /// Says goodbye by RTCP; drain `poll_transmit` once more before dropping the leg.
    pub fn close(&mut self, now: Instant) {
        match self {
            Self::Rtp(leg) => leg.close(now),
            Self::WebRtc(leg) => leg.close(now),
        }
    }

    /// Counters since the leg began.
    pub fn stats(&self) -> LegStats {
        match self {
            Self::Rtp(leg) => leg.stats(),
            Self::WebRtc(leg) => leg.stats(),
        }
    }
}
