//! What an offer must hold, and what of it the WebRTC library is shown. Hides which attributes concern us: all others,
//! the browser's candidates among them, never reach the library (on our side it only answers checks, RFC 8445 section 2.5).

use super::super::codec::{self, Codec};
use super::super::sdp::{self, Direction, MediaLine, SdpError};

/// Longest offer looked at. A browser's own for one audio line and a data channel has about 2 kB.
pub const OFFER_BYTES: usize = sdp::MAX_BYTES;

/// The clock of Opus in RTP, whatever its audio (RFC 7587 section 4.1).
const OPUS_CLOCK: u32 = 48_000;

/// Attributes that the library is shown. Directions, `rtpmap` and `fmtp` are among them; candidates are not.
const SHOWN: [&str; 19] = [
    "group",
    "msid-semantic",
    "ice-options",
    "ice-lite",
    "ice-ufrag",
    "ice-pwd",
    "fingerprint",
    "setup",
    "mid",
    "sendrecv",
    "sendonly",
    "recvonly",
    "rtcp-mux",
    "rtpmap",
    "fmtp",
    "ssrc",
    "msid",
    "sctp-port",
    "max-message-size",
];
/// The only header extension taken: by it the lines of a bundle are told apart (RFC 9143 section 15).
const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// Why a browser's offer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Over [`OFFER_BYTES`], or more lines than any browser offers.
    #[error("the offer is larger than {OFFER_BYTES} bytes or has too many media")]
    TooLarge,
    /// Not a session description, or one that contradicts itself.
    #[error("the offer is no session description")]
    Malformed,
    /// No audio line, or one that is switched off.
    #[error("the offer has no audio")]
    NoAudio,
    /// None of Opus, PCMU and PCMA.
    #[error("the offer has none of opus, PCMU and PCMA")]
    NoCodec,
    /// Without what ICE and DTLS need: `ice-ufrag`, `ice-pwd`, `fingerprint`, a secured profile with rtcp-mux.
    #[error("the offer lacks ICE credentials, a DTLS fingerprint or rtcp-mux")]
    NotSecured,
}

impl From<SdpError> for OfferError {
    fn from(error: SdpError) -> Self {
        if matches!(error, SdpError::TooLarge(_)) { Self::TooLarge } else { Self::Malformed }
    }
}

/// The codec of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineCodec {
    /// Opus.
    Opus,
    /// One of the telephone's.
    G711(&'static Codec),
}

/// An offer that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judged {
    /// What the library is shown.
    pub(super) text: String,
    /// The name of the audio line (`a=mid`).
    pub(super) name: String,
    /// The codec chosen.
    pub(super) codec: LineCodec,
    /// Which way audio flows, seen from us.
    pub(super) direction: Direction,
    /// Whether telephone events on the codec's clock are offered.
    pub(super) events: bool,
}

/// Judges an offer.
pub(super) fn judge(offer: &str) -> Result<Judged, OfferError> {
    let description = sdp::parse(offer.as_bytes())?;
    let mut audio = description.media.iter().enumerate().filter(|(_, line)| line.kind == "audio" && line.port != 0);
    let (place, line) = audio.next().ok_or(OfferError::NoAudio)?;
    let direction = line.direction.or(description.direction).unwrap_or(Direction::SendRecv).reversed();
    if !direction.sends() && !direction.receives() {
        return Err(OfferError::NoAudio);
    }
    let secured = line.protocol.contains("TLS/RTP/SAVP") && line.rtcp_mux;
    if !secured || !["ice-ufrag", "ice-pwd", "fingerprint"].iter().all(|name| has(offer, name)) {
        return Err(OfferError::NotSecured);
    }
    let codec = choose(line).ok_or(OfferError::NoCodec)?;
    let clock = match codec {
        LineCodec::Opus => OPUS_CLOCK,
        LineCodec::G711(codec) => codec.clock,
    };
    let events = line.maps.iter().any(|map| map.name.eq_ignore_ascii_case("telephone-event") && map.clock == clock);
    let name = names(offer).get(place).map(|name| (*name).to_owned()).unwrap_or_default();
    Ok(Judged { text: shown(offer, place), name, codec, direction, events })
}

fn choose(line: &MediaLine) -> Option<LineCodec> {
    let opus = line.maps.iter().any(|map| map.name.eq_ignore_ascii_case("opus") && map.clock == OPUS_CLOCK);
    if opus {
        return Some(LineCodec::Opus);
    }
    line.payload_types()
        .find_map(|number| match line.map(number) {
            Some(map) => codec::by_name(&map.name, map.clock),
            None => codec::by_payload_type(number),
        })
        .map(LineCodec::G711)
}

fn lines(offer: &str) -> impl Iterator<Item = (&str, &str)> {
    offer.split(['\n', '\r']).filter_map(|line| line.trim_end().split_once('='))
}

fn attribute(value: &str) -> (&str, &str) {
    value.split_once(':').unwrap_or((value, ""))
}

fn has(offer: &str, name: &str) -> bool {
    lines(offer).any(|(key, value)| key == "a" && attribute(value).0 == name && !attribute(value).1.trim().is_empty())
}

/// The name (`a=mid`) of each medium, in order; empty for one without.
fn names(offer: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (key, value) in lines(offer) {
        match (key, names.last_mut()) {
            ("m", _) => names.push(""),
            ("a", Some(name)) if attribute(value).0 == "mid" => *name = attribute(value).1.trim(),
            _ => {}
        }
    }
    names
}

/// The lines that concern us; media other than the audio line at `place` and data channels are switched off.
fn shown(offer: &str, place: usize) -> String {
    let names = names(offer);
    let kinds = lines(offer).filter(|(key, _)| *key == "m").map(|(_, value)| value.split(' ').next().unwrap_or(""));
    let wanted: Vec<bool> = kinds.enumerate().map(|(at, kind)| at == place || kind == "application").collect();
    let dropped = |name: &str| names.iter().zip(&wanted).any(|(other, wanted)| !wanted && *other == name);
    let mut text = String::with_capacity(offer.len());
    let mut media = wanted.iter();
    for (key, value) in lines(offer) {
        let (name, rest) = attribute(value);
        let keep = match key {
            "a" => SHOWN.contains(&name) || (name == "extmap" && rest.contains(MID_EXTENSION)),
            "v" | "o" | "s" | "t" | "c" | "m" => true,
            _ => false,
        };
        if !keep {
            continue;
        }
        let written = match key {
            "m" if media.next() == Some(&false) => switched_off(value),
            // A medium that is off is no part of the bundle (RFC 9143 section 7.3.3).
            "a" if name == "group" => value.split(' ').filter(|word| !dropped(word)).collect::<Vec<_>>().join(" "),
            _ => value.to_owned(),
        };
        text.push_str(&format!("{key}={written}\r\n"));
    }
    text
}

/// A media line with port 0.
fn switched_off(value: &str) -> String {
    let mut words: Vec<&str> = value.split(' ').collect();
    if let Some(port) = words.get_mut(1) {
        *port = "0";
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110 126\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n\
        a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\n\
        a=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n\
        a=rtpmap:126 telephone-event/8000\r\n";

    #[test]
    fn opus_first_then_what_the_telephone_speaks() {
        let opus = judge(OFFER).expect("good");
        assert_eq!((opus.codec, opus.events), (LineCodec::Opus, true));
        assert!(!opus.text.contains("candidate") && opus.text.contains("a=ice-pwd"));
        let older = OFFER.replace("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 ISAC/16000").replace("111 0 8", "111 8 0");
        assert_eq!(judge(&older).map(|judged| judged.codec), Ok(LineCodec::G711(codec::PCMA)));
    }

    #[test]
    fn what_cannot_be_used_has_a_name() {
        for (from, to, error) in [
            ("v=0", "x=0", OfferError::Malformed),
            ("audio 9", "audio 0", OfferError::NoAudio),
            ("audio 9", "video 9", OfferError::NoAudio),
            ("sendrecv", "inactive", OfferError::NoAudio),
            ("111 0 8 110 126", "9", OfferError::NoCodec),
            ("a=rtcp-mux", "a=x", OfferError::NotSecured),
            ("UDP/TLS/RTP/SAVPF", "RTP/AVP", OfferError::NotSecured),
            ("a=ice-pwd:", "a=x:", OfferError::NotSecured),
            ("a=fingerprint:sha-256 00:11", "a=fingerprint:", OfferError::NotSecured),
        ] {
            let mut offer = OFFER.replace(from, to);
            if to == "9" {
                offer = offer.replace("opus", "ISAC");
            }
            assert_eq!(judge(&offer).map(|_| ()), Err(error), "{from} -> {to}");
        }
        assert_eq!(judge(&OFFER.repeat(64)).map(|_| ()), Err(OfferError::TooLarge));
    }

    #[test]
    fn other_media_are_switched_off() {
        let more =
            OFFER.to_owned() + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
        let text = judge(&more).expect("good").text;
        assert!(text.contains("m=video 0 UDP") && text.contains("m=application 9 ") && text.contains("m=audio 9 "));
    }
}
