//! Prints descriptions, strictly: CRLF, every mandatory line, nothing optional that some phone stumbles over.

use super::Direction;
use std::fmt::Write;
use std::net::IpAddr;

/// One format of the audio line.
#[derive(Clone, Copy)]
pub(super) struct Format<'a> {
    pub(super) payload_type: u8,
    pub(super) name: &'a str,
    pub(super) clock: u32,
}

/// The audio line.
#[derive(Clone)]
pub(super) struct AudioLine<'a> {
    pub(super) port: u16,
    pub(super) protocol: &'a str,
    pub(super) formats: &'a [Format<'a>],
    pub(super) direction: Direction,
    pub(super) muxed: bool,
    pub(super) fmtp: Option<(u8, &'a str)>,
}

/// One `m=` line of ours.
pub(super) enum Line<'a> {
    /// Audio that is on.
    Audio(AudioLine<'a>),
    /// A line refused with port 0; `media proto formats` are echoed from the offer (RFC 3264 section 6).
    Refused(String),
}

pub(super) fn description(session: u64, version: u64, ip: IpAddr, lines: &[Line<'_>]) -> String {
    let mut out = String::with_capacity(400);
    let family = family(ip);
    // A `fmt::Write` to a String cannot fail, so its result carries nothing.
    let _never_fails =
        write!(out, "v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n");
    for line in lines {
        match line {
            Line::Audio(audio) => out.push_str(&audio_line(audio)),
            Line::Refused(rest) => out.push_str(rest),
        }
    }
    out
}

const fn family(ip: IpAddr) -> &'static str {
    match ip {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}

fn audio_line(line: &AudioLine<'_>) -> String {
    let mut out = format!("m=audio {} {}", line.port, line.protocol);
    for format in line.formats {
        out.push_str(&format!(" {}", format.payload_type));
    }
    out.push_str("\r\n");
    for format in line.formats {
        out.push_str(&format!("a=rtpmap:{} {}/{}\r\n", format.payload_type, format.name, format.clock));
    }
    if let Some((payload_type, parameters)) = line.fmtp {
        out.push_str(&format!("a=fmtp:{payload_type} {parameters}\r\n"));
    }
    out.push_str("a=ptime:20\r\n");
    if line.muxed {
        out.push_str("a=rtcp-mux\r\n");
    }
    out.push_str(&format!("a={}\r\n", line.direction.as_str()));
    out
}
