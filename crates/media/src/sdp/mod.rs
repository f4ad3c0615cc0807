//! Session descriptions (RFC 8866) and the offer/answer exchange (RFC 3264). Hides everything about the text:
//! the rest of the server sees [`RemoteMedia`]. Tolerant on input, strict on output. Never sends or resolves anything.

mod negotiate;
mod parse;
mod write;

use crate::Codec;
use std::net::{IpAddr, SocketAddr};

pub use negotiate::{Answer, LinkLocal, LocalMedia, Negotiation, Srtp};
pub use parse::{MediaLine, SessionDescription, parse};

/// Largest description read, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;
/// Most `m=` lines read.
pub const MAX_MEDIA: usize = 16;
/// Most ICE candidates read.
pub const MAX_CANDIDATES: usize = 100;

/// Which way media flows, seen from the side that says it (RFC 3264 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// It sends and does not want to receive.
    SendOnly,
    /// It receives and does not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The same flow seen from the other side.
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::SendRecv | Self::Inactive => self,
        }
    }

    /// Whether the side that says it sends.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the side that says it receives.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// Both sides' wishes met.
    pub const fn and(self, other: Self) -> Self {
        match (self.sends() && other.sends(), self.receives() && other.receives()) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// How telephone events were agreed on (RFC 4733).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelephoneEvents {
    /// Payload type in packets to the far end.
    pub payload_type: u8,
    /// Payload type in packets from the far end (ours, as we wrote it).
    pub receive_payload_type: u8,
    /// Timestamp units in a second; nearly always that of the audio.
    pub clock: u32,
}

/// Where RTCP goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtcpPath {
    /// On the RTP port (RFC 5761).
    Muxed,
    /// To an address of its own (RTP port + 1 unless `a=rtcp` says otherwise).
    Separate(SocketAddr),
}

/// What the far end agreed to: all that a leg needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteMedia {
    /// Where our RTP goes. On hold by address (`c=0.0.0.0`) the unspecified address: nothing is sent.
    pub address: SocketAddr,
    /// Where our RTCP goes.
    pub rtcp: RtcpPath,
    /// The codec to send.
    pub codec: &'static Codec,
    /// Its payload type in packets to the far end.
    pub payload_type: u8,
    /// Telephone events, if the far end takes them.
    pub events: Option<TelephoneEvents>,
    /// Which way media flows, seen from **us**: `SendRecv` talks both ways; `RecvOnly` and `Inactive` mean we are held.
    pub direction: Direction,
}

impl RemoteMedia {
    /// Whether the far end wants nothing from us for now.
    pub fn is_held(&self) -> bool {
        !self.direction.sends() || self.address.ip().is_unspecified()
    }
}

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Over a cap: bytes, `m=` lines, candidates.
    #[error("session description over the limit of {0}")]
    TooLarge(&'static str),
    /// Not a description.
    #[error("malformed session description: {0}")]
    Malformed(&'static str),
    /// No audio line at all.
    #[error("no audio offered")]
    NoAudio,
    /// The audio line has port 0: refused by the far end.
    #[error("audio refused by the far end")]
    AudioRefused,
    /// No codec in common.
    #[error("no common codec")]
    NoCommonCodec,
    /// An address that is not to be sent to: multicast, broadcast, link-local, a name.
    #[error("media address not acceptable: {0}")]
    BadAddress(&'static str),
    /// A port that is not to be sent to: below 1024 or not a port.
    #[error("media port not acceptable")]
    BadPort,
    /// The policy demands SRTP and the far end did not agree to it.
    #[error("SRTP is required by policy and was not agreed")]
    SrtpRequired,
    /// The far end demands SRTP (or DTLS), which is not spoken here.
    #[error("the far end demands a secured profile that is not supported: {0}")]
    SecuredProfile(&'static str),
    /// An answer came while no offer was open.
    #[error("an answer without an offer")]
    NoOffer,
}

/// What to do about an [`SdpError`]. Mirrored by whoever answers re-INVITEs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SdpFault {
    /// 400 Bad Request, or end the call: the description is broken.
    Malformed,
    /// 413: too large.
    TooLarge,
    /// 488 Not Acceptable Here: understood, and no.
    NotAcceptable,
    /// 488, and the cause is policy: encryption was required.
    SrtpRequired,
    /// The far end refused audio: end with "no media".
    NoMedia,
}

impl SdpError {
    /// The kind of answer this deserves.
    pub const fn fault(&self) -> SdpFault {
        match self {
            Self::TooLarge(_) => SdpFault::TooLarge,
            Self::Malformed(_) | Self::NoOffer => SdpFault::Malformed,
            Self::NoAudio | Self::AudioRefused => SdpFault::NoMedia,
            Self::NoCommonCodec | Self::BadAddress(_) | Self::BadPort | Self::SecuredProfile(_) => {
                SdpFault::NotAcceptable
            }
            Self::SrtpRequired => SdpFault::SrtpRequired,
        }
    }
}

/// An `o=` line (RFC 8866 section 5.2). Numbers may exceed 64 bits on input, so they are kept as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Session id.
    pub session: String,
    /// Session version.
    pub version: String,
}

/// A `c=` line: where media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// A literal address.
    Address(IpAddr),
    /// A name; never resolved here.
    Name,
    /// More than one address: a multicast range.
    Range,
}
