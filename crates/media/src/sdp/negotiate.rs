//! The offer/answer exchange of one leg (RFC 3264): what we say, what they say, and what follows from both.
//! Never falls back from SRTP to plain RTP, never yields an address that is not to be sent to.

use super::parse::{MediaLine, SessionDescription, parse};
use super::write::{AudioLine, Format, Line, description};
use super::{Connection, Direction, RemoteMedia, RtcpPath, SdpError, TelephoneEvents};
use crate::codec::{self, Codec};
use std::net::{IpAddr, SocketAddr};

/// Media is never sent to a port below this (they belong to other services).
const LOWEST_PORT: u16 = 1024;
/// Keys 0-9, `*`, `#`, A-D (RFC 4733 section 2.4.1).
const EVENTS_FMTP: &str = "0-15";

/// The trunk's policy on encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Srtp {
    /// Plain RTP is spoken; secured profiles are refused.
    Off,
    /// Only SRTP may be spoken. It is not built yet, so that every exchange fails with [`SdpError::SrtpRequired`].
    Required,
}

/// Whether link-local addresses (169.254/16, fe80::/10; cloud metadata lives there) may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkLocal {
    /// They are refused.
    Refuse,
    /// The trunk is on such a network.
    Allow,
}

/// Our side of the exchange.
#[derive(Debug, Clone)]
pub struct LocalMedia {
    /// Where media reaches us, as the far end sees it.
    pub address: SocketAddr,
    /// Codecs in order of preference.
    pub codecs: Vec<&'static Codec>,
    /// Payload type we give telephone events in our offers.
    pub events_payload_type: u8,
    /// Encryption policy.
    pub srtp: Srtp,
    /// Address policy.
    pub link_local: LinkLocal,
}

impl LocalMedia {
    /// Mu-law, A-law and telephone events (payload type 101) at `address`.
    pub fn telephone(address: SocketAddr) -> Self {
        Self {
            address,
            codecs: codec::ALL.to_vec(),
            events_payload_type: 101,
            srtp: Srtp::Off,
            link_local: LinkLocal::Refuse,
        }
    }
}

/// Our answer to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The body to send.
    pub body: String,
    /// What follows for the leg.
    pub remote: RemoteMedia,
}

/// What stands at a position of our `m=` lines; positions never change within a session (RFC 3264 section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Audio,
    Refused(String),
}

/// The exchange of one leg, for as long as its dialog lives.
#[derive(Debug, Clone)]
pub struct Negotiation {
    local: LocalMedia,
    session: u64,
    version: u64,
    direction: Direction,
    slots: Vec<Slot>,
    events_payload_type: u8,
    last_body: Option<String>,
    offered: bool,
}

impl Negotiation {
    /// A fresh exchange. `session` must be unpredictable (entropy of the caller).
    pub fn new(local: LocalMedia, session: u64) -> Self {
        Self {
            events_payload_type: local.events_payload_type,
            local,
            // Some SBCs keep these in 63 bits.
            session: session >> 1,
            version: 1,
            direction: Direction::SendRecv,
            slots: vec![Slot::Audio],
            last_body: None,
            offered: false,
        }
    }

    /// Our offer: the first, or a new one in a re-INVITE (`SendOnly` holds the far end).
    ///
    /// # Errors
    /// [`SdpError::SrtpRequired`] when policy demands what is not built.
    pub fn offer(&mut self, direction: Direction) -> Result<String, SdpError> {
        self.refuse_plain_rtp()?;
        self.direction = direction;
        self.offered = true;
        self.events_payload_type = self.local.events_payload_type;
        let mut formats: Vec<Format<'_>> = self.local.codecs.iter().map(|c| format_of(c, c.payload_type)).collect();
        formats.push(events_format(self.events_payload_type, 8000));
        let line = AudioLine {
            port: self.local.address.port(),
            protocol: "RTP/AVP",
            formats: &formats,
            direction,
            muxed: true,
            fmtp: Some((self.events_payload_type, EVENTS_FMTP)),
        };
        let ip = self.local.address.ip();
        let body = versioned(self.session, &mut self.version, &mut self.last_body, |session, version| {
            description(session, version, ip, &lines(&self.slots, &line))
        });
        Ok(body)
    }

    /// The far end's answer to our last offer. May be applied more than once (183, then 200; forks).
    ///
    /// # Errors
    /// Whatever [`SdpError`] says; no error ever leaves a usable address behind.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<RemoteMedia, SdpError> {
        let sdp = parse(answer)?;
        self.refuse_plain_rtp()?;
        if !self.offered {
            return Err(SdpError::NoOffer);
        }
        let (_, line) = pick(&sdp)?;
        let codec = self.pick_codec(line).ok_or(SdpError::NoCommonCodec)?;
        let events = pick_events(line).map(|(payload_type, clock)| TelephoneEvents {
            payload_type,
            receive_payload_type: self.events_payload_type,
            clock,
        });
        self.remote(&sdp, line, codec, events)
    }

    /// Answers the far end's offer: an inbound INVITE, a re-INVITE, an UPDATE.
    ///
    /// # Errors
    /// Whatever [`SdpError`] says; its `fault` says how to answer. The session stays as it was.
    pub fn answer_offer(&mut self, offer: &[u8]) -> Result<Answer, SdpError> {
        let sdp = parse(offer)?;
        self.refuse_plain_rtp()?;
        let (index, media) = pick(&sdp)?;
        let chosen = self.pick_codec(media).ok_or(SdpError::NoCommonCodec)?;
        let events = pick_events(media);
        let remote = self.remote(
            &sdp,
            media,
            chosen,
            events.map(|(payload_type, clock)| TelephoneEvents {
                payload_type,
                receive_payload_type: payload_type,
                clock,
            }),
        )?;
        let slots = sdp.media.iter().enumerate();
        self.slots = slots.map(|(i, m)| if i == index { Slot::Audio } else { refused(m) }).collect();
        let mut formats = vec![format_of(chosen.0, chosen.1)];
        if let Some((payload_type, clock)) = events {
            formats.push(events_format(payload_type, clock));
            self.events_payload_type = payload_type;
        }
        let line = AudioLine {
            port: self.local.address.port(),
            protocol: if media.protocol == "RTP/AVPF" { "RTP/AVPF" } else { "RTP/AVP" },
            formats: &formats,
            direction: remote.direction,
            muxed: media.rtcp_mux,
            fmtp: events.map(|(payload_type, _)| (payload_type, EVENTS_FMTP)),
        };
        let ip = self.local.address.ip();
        let body = versioned(self.session, &mut self.version, &mut self.last_body, |session, version| {
            description(session, version, ip, &lines(&self.slots, &line))
        });
        Ok(Answer { body, remote })
    }

    /// SRTP is not built: where it is required nothing may be agreed at all.
    const fn refuse_plain_rtp(&self) -> Result<(), SdpError> {
        match self.local.srtp {
            Srtp::Off => Ok(()),
            Srtp::Required => Err(SdpError::SrtpRequired),
        }
    }

    /// The first of the far end's formats that we speak.
    fn pick_codec(&self, line: &MediaLine) -> Option<(&'static Codec, u8)> {
        line.payload_types().find_map(|payload_type| {
            let fixed = codec::by_payload_type(payload_type);
            let found = match line.map(payload_type) {
                Some(map) => codec::by_name(&map.name, map.clock).filter(|_| map.channels == 1)?,
                None => fixed?,
            };
            // A static payload type keeps its meaning whatever a=rtpmap says (RFC 3551 section 6).
            let contradicted = payload_type < 96 && fixed != Some(found);
            let ours = self.local.codecs.contains(&found);
            (ours && !contradicted).then_some((found, payload_type))
        })
    }

    fn remote(
        &self,
        sdp: &SessionDescription,
        line: &MediaLine,
        (codec, payload_type): (&'static Codec, u8),
        events: Option<TelephoneEvents>,
    ) -> Result<RemoteMedia, SdpError> {
        let ip = self.usable_address(line.connection.or(sdp.connection))?;
        if line.port < LOWEST_PORT {
            return Err(SdpError::BadPort);
        }
        let theirs = line.direction.or(sdp.direction).unwrap_or(Direction::SendRecv);
        // RFC 2543 hold: an address of zeros means "send nothing", whatever the direction says.
        let theirs = if ip.is_unspecified() { theirs.and(Direction::SendOnly) } else { theirs };
        let address = SocketAddr::new(ip, line.port);
        Ok(RemoteMedia {
            address,
            rtcp: rtcp_path(line, address),
            codec,
            payload_type,
            events,
            direction: theirs.reversed().and(self.direction),
        })
    }

    fn usable_address(&self, connection: Option<Connection>) -> Result<IpAddr, SdpError> {
        let ip = match connection {
            None => return Err(SdpError::Malformed("no c= line")),
            Some(Connection::Name) => return Err(SdpError::BadAddress("a name instead of an address")),
            Some(Connection::Range) => return Err(SdpError::BadAddress("a range of addresses")),
            Some(Connection::Address(ip)) => ip,
        };
        if ip.is_unspecified() {
            return Ok(ip);
        }
        let (forbidden, link_local) = match ip {
            // 0/8 is "this network", 240/4 is reserved and holds the broadcast address.
            IpAddr::V4(v4) => (v4.is_multicast() || v4.octets()[0] == 0 || v4.octets()[0] >= 240, v4.is_link_local()),
            IpAddr::V6(v6) => (v6.is_multicast(), v6.is_unicast_link_local()),
        };
        if forbidden {
            return Err(SdpError::BadAddress("multicast, broadcast or reserved"));
        }
        if link_local && self.local.link_local == LinkLocal::Refuse {
            return Err(SdpError::BadAddress("link-local"));
        }
        if ip.is_ipv4() != self.local.address.is_ipv4() {
            return Err(SdpError::BadAddress("another address family than ours"));
        }
        Ok(ip)
    }
}

/// Prints a body; the version grows only when something else changed (RFC 3264 section 8).
fn versioned(session: u64, version: &mut u64, last: &mut Option<String>, print: impl Fn(u64, u64) -> String) -> String {
    let same = print(session, *version);
    match last {
        Some(previous) if *previous != same => *version = version.saturating_add(1),
        _ => {
            *last = Some(same.clone());
            return same;
        }
    }
    let body = print(session, *version);
    *last = Some(body.clone());
    body
}

fn lines<'a>(slots: &[Slot], audio: &AudioLine<'a>) -> Vec<Line<'a>> {
    let line = |slot: &Slot| match slot {
        Slot::Audio => Line::Audio(audio.clone()),
        Slot::Refused(text) => Line::Refused(text.clone()),
    };
    slots.iter().map(line).collect()
}

const fn format_of(codec: &'static Codec, payload_type: u8) -> Format<'static> {
    Format { payload_type, name: codec.name, clock: codec.clock }
}

const fn events_format(payload_type: u8, clock: u32) -> Format<'static> {
    Format { payload_type, name: "telephone-event", clock }
}

/// The audio line to use: the first that is on and speaks plain RTP. Otherwise the error of the first audio line.
fn pick(sdp: &SessionDescription) -> Result<(usize, &MediaLine), SdpError> {
    let mut first_error = None;
    for (index, line) in sdp.media.iter().enumerate().filter(|(_, line)| line.kind == "audio") {
        let verdict = match line.protocol.as_str() {
            _ if line.port == 0 => SdpError::AudioRefused,
            "RTP/AVP" | "RTP/AVPF" => return Ok((index, line)),
            "RTP/SAVP" | "RTP/SAVPF" => SdpError::SecuredProfile("SRTP"),
            "UDP/TLS/RTP/SAVP" | "UDP/TLS/RTP/SAVPF" => SdpError::SecuredProfile("DTLS-SRTP"),
            _ => SdpError::NoCommonCodec,
        };
        first_error.get_or_insert(verdict);
    }
    Err(first_error.unwrap_or(SdpError::NoAudio))
}

/// Telephone events of a line: those on an 8 kHz clock before others.
fn pick_events(line: &MediaLine) -> Option<(u8, u32)> {
    let all = || {
        line.payload_types().filter_map(|payload_type| {
            let map = line.map(payload_type)?;
            let events = map.name.eq_ignore_ascii_case("telephone-event") && map.clock > 0;
            events.then_some((payload_type, map.clock))
        })
    };
    all().find(|(_, clock)| *clock == 8000).or_else(|| all().next())
}

fn rtcp_path(line: &MediaLine, address: SocketAddr) -> RtcpPath {
    if line.rtcp_mux {
        return RtcpPath::Muxed;
    }
    let given = line.rtcp_port.filter(|port| *port >= LOWEST_PORT);
    // Beyond the last port there is none: then it can only share the media port.
    match given.or_else(|| address.port().checked_add(1)) {
        Some(port) => RtcpPath::Separate(SocketAddr::new(address.ip(), port)),
        None => RtcpPath::Muxed,
    }
}

/// A line we do not want, echoed with port 0 (RFC 3264 section 6). Odd bytes are not repeated.
fn refused(line: &MediaLine) -> Slot {
    let clean = |word: &str| !word.is_empty() && word.len() <= 64 && word.bytes().all(|b| b.is_ascii_graphic());
    let kind = if clean(&line.kind) { line.kind.as_str() } else { "application" };
    let protocol = match line.protocol.as_str() {
        "UDPTL" => "udptl",
        other if clean(other) => other,
        _ => "RTP/AVP",
    };
    let format = line.formats.iter().find(|format| clean(format)).map_or("0", String::as_str);
    Slot::Refused(format!("m={kind} 0 {protocol} {format}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiation() -> Negotiation {
        let address = "192.0.2.10:40000".parse().expect("address");
        Negotiation::new(LocalMedia::telephone(address), 2_000)
    }

    fn body(address: &str, port: u16, rest: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} {rest}")
    }

    #[test]
    fn our_offer_to_the_letter() {
        let offer = negotiation().offer(Direction::SendRecv).expect("offer");
        let expected = "v=0\r\no=- 1000 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
            m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp-mux\r\na=sendrecv\r\n";
        assert_eq!(offer, expected);
    }

    #[test]
    fn an_answer_gives_the_far_end_s_choice() {
        let mut ours = negotiation();
        ours.offer(Direction::SendRecv).expect("offer");
        let answer = body("198.51.100.1", 5000, "RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n");
        let remote = ours.accept_answer(answer.as_bytes()).expect("answer");
        assert_eq!(remote.codec, codec::PCMA);
        assert_eq!(remote.address, "198.51.100.1:5000".parse().expect("address"));
        assert_eq!(remote.rtcp, RtcpPath::Separate("198.51.100.1:5001".parse().expect("address")));
        let events = TelephoneEvents { payload_type: 96, receive_payload_type: 101, clock: 8000 };
        assert_eq!(remote.events, Some(events));
        assert!(!remote.is_held());
    }

    #[test]
    fn hold_and_resume() {
        let mut ours = negotiation();
        let cases = [
            ("198.51.100.1", "a=sendonly\r\n", Direction::RecvOnly),
            ("198.51.100.1", "a=inactive\r\n", Direction::Inactive),
            ("0.0.0.0", "", Direction::RecvOnly),
            ("0.0.0.0", "a=inactive\r\n", Direction::Inactive),
            ("198.51.100.1", "", Direction::SendRecv),
            ("198.51.100.1", "a=recvonly\r\n", Direction::SendOnly),
        ];
        for (address, attribute, expected) in cases {
            let offer = body(address, 5000, &format!("RTP/AVP 0\r\n{attribute}"));
            let answer = ours.answer_offer(offer.as_bytes()).expect("answer");
            assert_eq!(answer.remote.direction, expected, "{address} {attribute}");
            assert!(answer.body.contains(&format!("a={}\r\n", expected.as_str())));
            assert_eq!(answer.remote.is_held(), !expected.sends());
        }
    }

    #[test]
    fn the_version_grows_only_with_a_change() {
        let mut ours = negotiation();
        let version = |body: &str| parse(body.as_bytes()).expect("own body").origin.version;
        assert_eq!(version(&ours.offer(Direction::SendRecv).expect("offer")), "1");
        assert_eq!(version(&ours.offer(Direction::SendRecv).expect("offer")), "1");
        assert_eq!(version(&ours.offer(Direction::SendOnly).expect("offer")), "2");
        let offer = body("198.51.100.1", 5000, "RTP/AVP 8 0\r\n");
        assert_eq!(version(&ours.answer_offer(offer.as_bytes()).expect("answer").body), "3");
        assert_eq!(version(&ours.answer_offer(offer.as_bytes()).expect("answer").body), "3");
    }

    #[test]
    fn every_line_of_an_offer_is_answered_in_its_place() {
        let mut ours = negotiation();
        let offer = format!(
            "{}m=video 6000 RTP/AVP 96\r\nm=image 7000 udptl t38\r\n",
            body("198.51.100.1", 5000, "RTP/AVP 8 97\r\na=rtpmap:97 telephone-event/8000\r\n")
        );
        let answer = ours.answer_offer(offer.as_bytes()).expect("answer");
        let lines: Vec<&str> = answer.body.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(lines, ["m=audio 40000 RTP/AVP 8 97", "m=video 0 RTP/AVP 96", "m=image 0 udptl t38"]);
        let again = ours.offer(Direction::SendRecv).expect("offer");
        assert_eq!(again.lines().filter(|l| l.starts_with("m=")).count(), 3);
    }

    #[test]
    fn a_refused_offer_says_how_to_answer() {
        use super::super::SdpFault;
        let cases = [
            (body("198.51.100.1", 0, "RTP/AVP 0\r\n"), SdpFault::NoMedia),
            (body("198.51.100.1", 5000, "RTP/AVP 9 18\r\n"), SdpFault::NotAcceptable),
            (body("198.51.100.1", 5000, "RTP/SAVP 0\r\n"), SdpFault::NotAcceptable),
            (body("224.0.0.1", 5000, "RTP/AVP 0\r\n"), SdpFault::NotAcceptable),
            ("v=0\r\n".to_owned(), SdpFault::NoMedia),
            ("hello".to_owned(), SdpFault::Malformed),
        ];
        for (offer, fault) in cases {
            let error = negotiation().answer_offer(offer.as_bytes()).expect_err(&offer);
            assert_eq!(error.fault(), fault, "{offer}");
        }
    }
}
