//! A browser without a window: it offers, joins, speaks, listens and types, on the WebRTC library's own full ICE. Hides
//! the library. Without sockets and on the clock of whoever drives it. Tests of the crates below this one take this file by
//! its path: it needs nothing but their own dependencies.

use callwright_media::Codec;
use ropus::{Application, Bitrate, Channels, DecodeMode, Decoder, Encoder, InbandFec};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::channel::ChannelId;
use str0m::format::{Codec as Format, FormatParams};
use str0m::media::{Direction, Frequency, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Payload types it offers.
const OPUS: u8 = 111;
const KEYS: u8 = 110;
/// Longest packet of Opus.
const PACKET: usize = 1276;

/// What it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Opus, as every browser; with or without redundancy in it.
    Opus(Redundancy),
    /// A codec of the telephone and nothing else.
    Telephone(&'static Codec),
}

/// Whether a packet carries the one before it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redundancy {
    /// It does.
    Some,
    /// It does not.
    None,
}

enum Voice {
    Opus(Box<(Encoder, Decoder)>),
    Telephone(&'static Codec),
}

/// A browser.
pub struct Browser {
    rtc: Rtc,
    pending: Option<SdpPendingOffer>,
    me: SocketAddr,
    mid: Mid,
    channel: ChannelId,
    timeout: Instant,
    voice: Voice,
    numbers: (u64, u32),
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Audio it was given, at [`Browser::rate`].
    pub heard: Vec<i16>,
    /// Keys it was given: event, and whether the packet was the last of it.
    pub keys: Vec<(u8, bool)>,
    /// Text it was given.
    pub messages: Vec<String>,
    /// Keys are agreed on.
    pub connected: bool,
    /// The far end closed the connection.
    pub closed: bool,
}

impl Browser {
    /// A browser at that address, and its offer of one audio line and a channel for text.
    ///
    /// # Panics
    /// When the library refuses what every browser does.
    pub fn new(now: Instant, me: SocketAddr, speaks: Speaks) -> (Self, String) {
        let mut config = Rtc::builder().clear_codecs().set_rtp_mode(true);
        let codecs = config.codec_config();
        let clock = match speaks {
            Speaks::Opus(_) => {
                let format =
                    FormatParams { min_p_time: Some(10), use_inband_fec: Some(true), ..FormatParams::default() };
                codecs.add_config(OPUS.into(), None, Format::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), format);
                Frequency::FORTY_EIGHT_KHZ
            }
            Speaks::Telephone(codec) => {
                codecs.enable_pcmu(codec.name == "PCMU", false);
                codecs.enable_pcma(codec.name == "PCMA", false);
                Frequency::EIGHT_KHZ
            }
        };
        codecs.add_config(KEYS.into(), None, Format::Tele, clock, None, FormatParams::default());
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(me, Protocol::Udp).expect("an address of this machine"));
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let channel = change.add_channel("text".to_owned());
        let (offer, pending) = change.apply().expect("there is something to offer");
        let browser = Self {
            rtc,
            pending: Some(pending),
            me,
            mid,
            channel,
            timeout: now,
            voice: voice(speaks),
            numbers: (1000, 50_000),
            out: VecDeque::new(),
            heard: Vec::new(),
            keys: Vec::new(),
            messages: Vec::new(),
            connected: false,
            closed: false,
        };
        (browser, offer.to_sdp_string())
    }

    /// Samples a second of what it says and hears.
    pub fn rate(&self) -> u32 {
        match &self.voice {
            Voice::Opus(_) => 48_000,
            Voice::Telephone(codec) => codec.rate.hertz(),
        }
    }

    /// Takes the answer; the checks begin.
    ///
    /// # Errors
    /// What the library says of an answer it cannot use.
    pub fn answered(&mut self, now: Instant, answer: &str) -> Result<(), String> {
        let answer = SdpAnswer::from_sdp_string(answer).map_err(|error| error.to_string())?;
        let pending = self.pending.take().ok_or("answered before")?;
        self.rtc.sdp_api().accept_answer(pending, answer).map_err(|error| error.to_string())?;
        self.time(now);
        Ok(())
    }

    /// A datagram came.
    pub fn handle(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.me, datagram) {
            // What is not for us is dropped, as browsers do.
            let _taken = self.rtc.handle_input(Input::Receive(now, receive));
        }
        self.drain();
    }

    /// When [`Browser::time`] wants to be called.
    pub fn due(&self) -> Instant {
        self.timeout
    }

    /// Time passes.
    pub fn time(&mut self, now: Instant) {
        // A library that is closed wants nothing.
        let _taken = self.rtc.handle_input(Input::Timeout(now));
        self.drain();
    }

    /// Says 20 ms.
    ///
    /// # Panics
    /// When the codec refuses a whole frame.
    pub fn say(&mut self, now: Instant, samples: &[i16]) {
        let mut packet = [0; PACKET];
        let (payload_type, length) = match &mut self.voice {
            Voice::Opus(codec) => (OPUS, codec.0.encode(samples, &mut packet).expect("a whole frame")),
            Voice::Telephone(codec) => (codec.payload_type, (codec.encode)(samples, &mut packet)),
        };
        let packet = packet[..length].to_vec();
        self.write(now, payload_type, (self.numbers.1, &packet));
        self.numbers.1 = self.numbers.1.wrapping_add(samples.len() as u32);
    }

    /// Presses a key for 100 ms, all at once: five packets and three ends.
    pub fn press(&mut self, now: Instant, event: u8) {
        let step = self.rate() / 50;
        let start = self.numbers.1;
        for packet in 1..=8_u32 {
            let end = if packet > 5 { 0x80 } else { 0 };
            let [high, low] = ((step * packet.min(5)) as u16).to_be_bytes();
            self.write(now, KEYS, (start, &[event, end | 10, high, low]));
        }
        self.numbers.1 = start.wrapping_add(5 * step);
    }

    /// Types; `false` when the channel is not open yet.
    pub fn type_text(&mut self, text: &str) -> bool {
        let id = self.channel;
        let written =
            self.rtc.channel(id).is_some_and(|mut channel| channel.write(false, text.as_bytes()).unwrap_or(false));
        self.drain();
        written
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        // An end is an end, whether it could be told or not.
        let _told = self.rtc.close();
        self.drain();
    }

    /// The next datagram to send.
    pub fn poll(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.out.pop_front()
    }

    fn write(&mut self, now: Instant, payload_type: u8, (timestamp, payload): (u32, &[u8])) {
        let write = RtpWrite::new(Pt::from(payload_type), self.numbers.0.into(), timestamp, now, payload);
        self.numbers.0 += 1;
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(write);
        }
        self.time(now);
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    return;
                }
                Ok(Output::Transmit(transmit)) => {
                    self.out.push_back((transmit.destination, transmit.contents.to_vec()));
                }
                Ok(Output::Event(event)) => self.event(event),
                Err(_) => return,
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::Closed => self.closed = true,
            Event::ChannelData(data) => self.messages.push(String::from_utf8_lossy(&data.data).into_owned()),
            Event::RtpPacket(packet) if *packet.header.payload_type == KEYS => {
                if let [event, flags, ..] = packet.payload[..] {
                    self.keys.push((event, flags & 0x80 != 0));
                }
            }
            Event::RtpPacket(packet) => self.listen(&packet.payload),
            _ => {}
        }
    }

    fn listen(&mut self, payload: &[u8]) {
        let mut samples = [0; 5760];
        let length = match &mut self.voice {
            Voice::Opus(codec) => codec.1.decode(payload, &mut samples, DecodeMode::Normal).unwrap_or(0),
            Voice::Telephone(codec) => (codec.decode)(payload, &mut samples[..payload.len()]),
        };
        self.heard.extend(&samples[..length]);
    }
}

fn voice(speaks: Speaks) -> Voice {
    match speaks {
        Speaks::Telephone(codec) => Voice::Telephone(codec),
        Speaks::Opus(redundancy) => {
            let builder = Encoder::builder(48_000, Channels::Mono, Application::Voip).bitrate(Bitrate::Bits(32_000));
            let builder = match redundancy {
                Redundancy::Some => builder.inband_fec(InbandFec::Enabled).packet_loss_perc(20),
                Redundancy::None => builder,
            };
            let encoder = builder.build().expect("settings every browser uses");
            let decoder = Decoder::new(48_000, Channels::Mono).expect("a rate every decoder knows");
            Voice::Opus(Box::new((encoder, decoder)))
        }
    }
}
