//! Reads descriptions as the world writes them: LF instead of CRLF, no `s=`, blanks in `o=`, numbers of any length,
//! `m=` lines of other kinds. Bounded in bytes, lines and candidates. Never resolves a name.

use super::{Connection, Direction, MAX_BYTES, MAX_CANDIDATES, MAX_MEDIA, Origin, SdpError};
use std::net::IpAddr;

/// Longest ICE user fragment or password (RFC 8839 section 5.4).
const MAX_ICE_CREDENTIAL: usize = 256;
/// Formats kept of one `m=` line: seven bits of payload type allow no more that differ.
const MAX_FORMATS: usize = 128;

/// A description as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionDescription {
    /// Who made it; empty when the line is missing.
    pub origin: Origin,
    /// The session's address, for lines that have none of their own.
    pub connection: Option<Connection>,
    /// The session's direction, for lines that have none of their own.
    pub direction: Option<Direction>,
    /// The `m=` lines in order.
    pub media: Vec<MediaLine>,
}

/// One `m=` line with its attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaLine {
    /// `audio`, `video`, `image`, ... lower case.
    pub kind: String,
    /// The port; 0 refuses the line.
    pub port: u16,
    /// The transport, upper case: `RTP/AVP`, `UDPTL`, ...
    pub protocol: String,
    /// The formats as written.
    pub formats: Vec<String>,
    /// The line's own address.
    pub connection: Option<Connection>,
    /// The line's own direction.
    pub direction: Option<Direction>,
    /// `a=rtpmap` lines, the first of each payload type.
    pub maps: Vec<FormatMap>,
    /// `a=rtcp-mux` was there (RFC 5761).
    pub rtcp_mux: bool,
    /// Port of `a=rtcp` (RFC 3605).
    pub rtcp_port: Option<u16>,
}

/// An `a=rtpmap` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatMap {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name as written.
    pub name: String,
    /// Timestamp units in a second; 0 is possible on input and means unusable.
    pub clock: u32,
    /// Channels; 1 unless said otherwise.
    pub channels: u32,
}

impl MediaLine {
    /// Payload types in order of preference. Formats that are no payload type are left out.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.formats.iter().filter_map(|format| payload_type(format))
    }

    /// The map of a payload type.
    pub fn map(&self, payload_type: u8) -> Option<&FormatMap> {
        self.maps.iter().find(|map| map.payload_type == payload_type)
    }
}

/// Parses a description.
///
/// # Errors
/// [`SdpError::TooLarge`] beyond a cap, [`SdpError::Malformed`] when it is none or an audio line cannot be understood.
pub fn parse(bytes: &[u8]) -> Result<SessionDescription, SdpError> {
    if bytes.len() > MAX_BYTES {
        return Err(SdpError::TooLarge("32 KiB"));
    }
    let text = String::from_utf8_lossy(bytes);
    let mut reading = Reading::default();
    for line in text.split(['\n', '\r']) {
        let line = line.trim_end_matches([' ', '\t', '\0']);
        if line.is_empty() {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue; // Folded or broken lines of SBCs: nothing we need is ever in them.
        };
        reading.line(key, value.trim_start())?;
    }
    if !reading.version_seen {
        return Err(SdpError::Malformed("no v= line"));
    }
    Ok(reading.description)
}

#[derive(Default)]
struct Reading {
    description: SessionDescription,
    version_seen: bool,
    candidates: usize,
}

impl Reading {
    fn line(&mut self, key: &str, value: &str) -> Result<(), SdpError> {
        match key {
            "v" => self.version_seen = true,
            "o" => self.description.origin = origin(value),
            "c" => {
                let connection = connection(value)?;
                match self.description.media.last_mut() {
                    // Several c= lines in one medium are a layered multicast: the first counts.
                    Some(media) => media.connection = media.connection.or(Some(connection)),
                    None => self.description.connection = Some(connection),
                }
            }
            "m" => {
                if self.description.media.len() >= MAX_MEDIA {
                    return Err(SdpError::TooLarge("16 media lines"));
                }
                self.description.media.push(media_line(value)?);
            }
            "a" => self.attribute(value)?,
            _ => {}
        }
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), SdpError> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case("candidate") {
            self.candidates += 1;
            if self.candidates > MAX_CANDIDATES {
                return Err(SdpError::TooLarge("100 candidates"));
            }
        }
        let credential = name.eq_ignore_ascii_case("ice-ufrag") || name.eq_ignore_ascii_case("ice-pwd");
        if credential && value.trim().len() > MAX_ICE_CREDENTIAL {
            return Err(SdpError::Malformed("ICE credential longer than 256"));
        }
        if let Some(direction) = direction(name) {
            match self.description.media.last_mut() {
                Some(media) => media.direction = Some(direction),
                None => self.description.direction = Some(direction),
            }
            return Ok(());
        }
        let Some(media) = self.description.media.last_mut() else {
            return Ok(());
        };
        if name.eq_ignore_ascii_case("rtpmap") {
            if let Some(map) = format_map(value)
                && media.map(map.payload_type).is_none()
            {
                media.maps.push(map);
            }
        } else if name.eq_ignore_ascii_case("rtcp-mux") {
            media.rtcp_mux = true;
        } else if name.eq_ignore_ascii_case("rtcp") {
            media.rtcp_port = value.split_whitespace().next().and_then(|port| port.parse().ok());
        }
        Ok(())
    }
}

/// The user name may hold blanks, so the line is read from its end: `.. session version IN IP4 address`.
fn origin(value: &str) -> Origin {
    let mut words = value.split_whitespace().rev();
    let mut word = || words.next().unwrap_or_default().chars().take(64).collect::<String>();
    let (_address, _family, _net, version, session) = (word(), word(), word(), word(), word());
    Origin { session, version }
}

fn connection(value: &str) -> Result<Connection, SdpError> {
    let mut words = value.split_whitespace();
    let (Some(_net), Some(family), Some(address)) = (words.next(), words.next(), words.next()) else {
        return Err(SdpError::Malformed("c= line"));
    };
    let mut parts = address.split('/');
    let base = parts.next().unwrap_or_default();
    let Ok(ip) = base.parse::<IpAddr>() else {
        return Ok(Connection::Name);
    };
    // IPv4 writes /ttl/count, IPv6 only /count (RFC 8866 section 5.7).
    let count = if family.eq_ignore_ascii_case("IP4") { parts.nth(1) } else { parts.next() };
    Ok(if count.is_some() { Connection::Range } else { Connection::Address(ip.to_canonical()) })
}

fn media_line(value: &str) -> Result<MediaLine, SdpError> {
    let mut words = value.split_whitespace();
    let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
        return Err(SdpError::Malformed("m= line"));
    };
    let kind = kind.to_ascii_lowercase();
    // `4000/2` means two ports; only the first concerns us.
    let port = port.split('/').next().unwrap_or_default().parse::<u16>();
    let line = MediaLine {
        // A line of another kind will be refused anyway: its oddities are not ours to judge.
        port: if kind == "audio" { port.map_err(|_| SdpError::BadPort)? } else { port.unwrap_or(0) },
        protocol: protocol.to_ascii_uppercase(),
        formats: words.take(MAX_FORMATS).map(str::to_owned).collect(),
        kind,
        ..MediaLine::default()
    };
    if line.kind == "audio" && line.protocol.contains("RTP/") {
        if line.formats.is_empty() {
            return Err(SdpError::Malformed("no formats"));
        }
        if line.formats.iter().any(|format| payload_type(format).is_none()) {
            return Err(SdpError::Malformed("format is no payload type"));
        }
    }
    Ok(line)
}

fn payload_type(format: &str) -> Option<u8> {
    format.parse::<u8>().ok().filter(|number| *number < 128)
}

fn format_map(value: &str) -> Option<FormatMap> {
    let (number, encoding) = value.trim().split_once(char::is_whitespace)?;
    let mut parts = encoding.trim().split('/');
    Some(FormatMap {
        payload_type: payload_type(number)?,
        name: parts.next()?.chars().take(64).collect(),
        clock: parts.next()?.trim().parse().ok()?,
        channels: parts.next().and_then(|count| count.trim().parse().ok()).unwrap_or(1),
    })
}

fn direction(name: &str) -> Option<Direction> {
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .find(|direction| name.eq_ignore_ascii_case(direction.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_odd_things_real_equipment_writes() {
        let text = "v=0\no=Some Phone 99999999999999999999999 18446744073709551616 IN IP4 10.0.0.1\n\
            c=IN IP4 10.0.0.1\nt=0 0\nm=image 4000 udptl t38\na=T38FaxVersion:0\n\
            m=audio 4000/2 rtp/avp 8 101 \na=RTPMAP:101 telephone-event/8000\na=SENDONLY\na=rtcp:4009\nnonsense\n";
        let sdp = parse(text.as_bytes()).expect("parses");
        assert_eq!(sdp.origin.version, "18446744073709551616");
        assert_eq!(sdp.media[0].protocol, "UDPTL");
        let audio = &sdp.media[1];
        assert_eq!((audio.port, audio.protocol.as_str(), audio.rtcp_port), (4000, "RTP/AVP", Some(4009)));
        assert_eq!(audio.direction, Some(Direction::SendOnly));
        assert_eq!(audio.payload_types().collect::<Vec<_>>(), [8, 101]);
        assert_eq!(audio.map(101).map(|m| m.clock), Some(8000));
    }

    #[test]
    fn caps_hold_at_the_boundary() {
        let base = "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 0\r\n".to_owned();
        let media = |n: usize| base.clone() + &"m=video 0 RTP/AVP 96\r\n".repeat(n);
        assert!(parse(media(MAX_MEDIA - 1).as_bytes()).is_ok());
        assert_eq!(parse(media(MAX_MEDIA).as_bytes()), Err(SdpError::TooLarge("16 media lines")));
        let candidates = |n: usize| base.clone() + &"a=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\r\n".repeat(n);
        assert!(parse(candidates(MAX_CANDIDATES).as_bytes()).is_ok());
        assert!(parse(candidates(MAX_CANDIDATES + 1).as_bytes()).is_err());
        let padded = |n: usize| base.clone() + "i=" + &"x".repeat(n - base.len() - 2);
        assert!(parse(padded(MAX_BYTES).as_bytes()).is_ok());
        assert_eq!(parse(padded(MAX_BYTES + 1).as_bytes()), Err(SdpError::TooLarge("32 KiB")));
    }
}
