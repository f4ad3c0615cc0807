//! What a path to a browser is made of: offers ([`OfferError`]), the connection ([`Link`], the one place that touches the
//! WebRTC library) and the browser's codec ([`Voice`]). Never reads a clock or opens a socket; keys are made inside the
//! library. The leg that puts them together is `leg::WebRtcLeg`.

mod link;
mod offer;
mod voice;

pub(crate) use link::{Arrived, Link, LinkEvent, Written};
pub use link::{Identity, Sent};
pub(crate) use offer::LineCodec;
pub use offer::{OFFER_BYTES, OfferError};
pub(crate) use voice::Voice;

/// Longest text message, either way.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Bytes of a STUN header (RFC 8489 section 5).
const STUN_HEADER: usize = 20;
/// The USERNAME attribute (RFC 8489 section 14.3).
const USERNAME: u16 = 0x0006;

/// Whether a datagram is STUN, told by its first bytes (RFC 7983).
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= STUN_HEADER && datagram[0] < 4 && datagram[4..8] == [0x21, 0x12, 0xa4, 0x42]
}

/// For whom a STUN request is: the first half of its user name, which is the name that we gave the leg. Nothing is
/// verified here.
pub fn addressee(datagram: &[u8]) -> Option<&str> {
    let mut rest = is_stun(datagram).then(|| &datagram[STUN_HEADER..])?;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = after.get(..length)?;
        if u16::from_be_bytes([head[0], head[1]]) == USERNAME {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(ours, _)| ours);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        bytes.extend([0x80, 0x22, 0, 3, 1, 2, 3, 0]);
        bytes.extend([0, 6]);
        bytes.extend((name.len() as u16).to_be_bytes());
        bytes.extend(name);
        bytes
    }

    #[test]
    fn a_request_names_its_addressee() {
        assert_eq!(addressee(&request(b"ours:theirs")), Some("ours"));
        assert_eq!(addressee(&request(b"nocolon")), None);
        assert_eq!(addressee(&request(b"\xff:x")), None);
        for cut in 0..request(b"ours:theirs").len() {
            assert_eq!(addressee(&request(b"ours:theirs")[..cut]), None);
        }
    }
}
