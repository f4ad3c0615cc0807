//! The RTP header (RFC 3550 section 5.1). Never looks into the payload.

/// Bytes of a header without contributing sources or extension.
pub const HEADER_BYTES: usize = 12;
/// Longest payload taken: 200 ms of G.711. Longer ones are nobody's voice.
pub const MAX_PAYLOAD: usize = 1600;

/// A packet, borrowed from the datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Start of a talk spurt, for audio.
    pub marker: bool,
    /// Payload type.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Media time.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Payload without padding.
    pub payload: &'a [u8],
}

/// What a datagram on a media port is, told by its first bytes (RFC 7983, RFC 5761).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram {
    /// Perhaps RTP.
    Rtp,
    /// Perhaps RTCP.
    Rtcp,
    /// STUN, DTLS or noise.
    Other,
}

/// Tells RTP from RTCP from the rest.
pub fn classify(datagram: &[u8]) -> Datagram {
    match datagram {
        [first, second, ..] if first >> 6 == 2 => {
            if (192..=223).contains(second) {
                Datagram::Rtcp
            } else {
                Datagram::Rtp
            }
        }
        _ => Datagram::Other,
    }
}

/// Why a datagram is no usable RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RtpError {
    /// Shorter than its own header says.
    #[error("truncated")]
    Truncated,
    /// Not version 2.
    #[error("not RTP version 2")]
    Version,
    /// Padding longer than the payload, or of length zero.
    #[error("impossible padding")]
    Padding,
    /// No payload at all.
    #[error("no payload")]
    Empty,
    /// Longer than any voice packet.
    #[error("payload too long")]
    TooLong,
}

/// Parses a datagram.
///
/// # Errors
/// [`RtpError`] when lengths do not add up.
pub fn parse(datagram: &[u8]) -> Result<Packet<'_>, RtpError> {
    let (header, mut rest) = datagram.split_first_chunk::<HEADER_BYTES>().ok_or(RtpError::Truncated)?;
    let first = header[0];
    if first >> 6 != 2 {
        return Err(RtpError::Version);
    }
    let sources = usize::from(first & 0x0f) * 4;
    rest = rest.get(sources..).ok_or(RtpError::Truncated)?;
    if first & 0x10 != 0 {
        let (extension, after) = rest.split_first_chunk::<4>().ok_or(RtpError::Truncated)?;
        let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        rest = after.get(words * 4..).ok_or(RtpError::Truncated)?;
    }
    if first & 0x20 != 0 {
        let padding = usize::from(*rest.last().ok_or(RtpError::Padding)?);
        if padding == 0 {
            return Err(RtpError::Padding);
        }
        let keep = rest.len().checked_sub(padding).ok_or(RtpError::Padding)?;
        rest = rest.get(..keep).ok_or(RtpError::Padding)?;
    }
    match rest.len() {
        0 => return Err(RtpError::Empty),
        1..=MAX_PAYLOAD => {}
        _ => return Err(RtpError::TooLong),
    }
    Ok(Packet {
        marker: header[1] & 0x80 != 0,
        payload_type: header[1] & 0x7f,
        sequence: u16::from_be_bytes([header[2], header[3]]),
        timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        payload: rest,
    })
}

/// The header of a packet (its payload is ignored): no padding, extension or contributing sources.
pub const fn header(packet: &Packet<'_>) -> [u8; HEADER_BYTES] {
    let [s0, s1] = packet.sequence.to_be_bytes();
    let [t0, t1, t2, t3] = packet.timestamp.to_be_bytes();
    let [c0, c1, c2, c3] = packet.ssrc.to_be_bytes();
    let marker = if packet.marker { 0x80 } else { 0 };
    [0x80, marker | (packet.payload_type & 0x7f), s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_packet_parses_back() {
        let packet = Packet {
            marker: true,
            payload_type: 101,
            sequence: 0xfffe,
            timestamp: 0xdead_beef,
            ssrc: 0x0102_0304,
            payload: b"voice",
        };
        let bytes = [&header(&packet)[..], b"voice"].concat();
        assert_eq!(parse(&bytes), Ok(packet));
        assert_eq!(classify(&bytes), Datagram::Rtp);
    }

    #[test]
    fn sources_extension_and_padding_are_cut_away() {
        let mut bytes = vec![0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        bytes.extend([9; 4]);
        bytes.extend([0xbe, 0xde, 0, 1, 8, 8, 8, 8]);
        bytes.extend(b"voice");
        bytes.extend([0, 0, 3]);
        assert_eq!(parse(&bytes).map(|p| p.payload), Ok(&b"voice"[..]));
        for cut in 0..bytes.len() {
            // Whatever is cut off, the parser only ever refuses or reads what is there.
            if let Ok(packet) = parse(&bytes[..cut]) {
                assert!(packet.payload.len() <= cut);
            }
        }
    }
}
