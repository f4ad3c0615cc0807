//! RTCP (RFC 3550 section 6): sender and receiver reports, source description, goodbye.
//! Reads what concerns one stream; feedback messages are skipped. Never acts on what it reads.

/// Room for everything we ever print: SR with one block, SDES with a 16-byte name, BYE.
pub const MAX_PRINTED: usize = 96;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const CNAME: u8 = 1;
/// Bytes of one report block.
const BLOCK_BYTES: usize = 24;

/// Sender's part of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderPart {
    /// 64-bit NTP time.
    pub ntp: u64,
    /// The same moment in RTP units.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// One report block: how a receiver gets a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block {
    /// The stream.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Loss altogether (24 bits, signed).
    pub lost: i32,
    /// Highest sequence number with its cycles.
    pub highest: u32,
    /// Interarrival jitter in RTP units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time.
    pub last_sr: u32,
    /// Delay since then, in 1/65536 s.
    pub since_last_sr: u32,
}

/// What one compound packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compound {
    /// Who sent it.
    pub ssrc: u32,
    /// Its sender report.
    pub sender: Option<SenderPart>,
    /// Its block about the stream asked for.
    pub block: Option<Block>,
    /// It said goodbye.
    pub goodbye: bool,
}

/// The compound packet is broken or does not begin with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed RTCP")]
pub struct RtcpError;

/// Parses a compound packet; of its report blocks the one about `ours` is kept.
///
/// # Errors
/// [`RtcpError`] when any part does not add up (RFC 3550 A.2): then nothing of it is believed.
pub fn parse(datagram: &[u8], ours: u32) -> Result<Compound, RtcpError> {
    let mut compound = Compound::default();
    let mut rest = datagram;
    let mut first = true;
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<4>().ok_or(RtcpError)?;
        let bytes = usize::from(u16::from_be_bytes([header[2], header[3]])) * 4;
        let body = after.get(..bytes).ok_or(RtcpError)?;
        rest = after.get(bytes..).unwrap_or_default();
        if header[0] >> 6 != 2 || (first && !matches!(header[1], SENDER_REPORT | RECEIVER_REPORT)) {
            return Err(RtcpError);
        }
        let count = usize::from(header[0] & 0x1f);
        match header[1] {
            SENDER_REPORT => {
                compound.sender = Some(SenderPart {
                    ntp: (u64::from(word(body, 4)?) << 32) | u64::from(word(body, 8)?),
                    timestamp: word(body, 12)?,
                    packets: word(body, 16)?,
                    octets: word(body, 20)?,
                });
                compound.ssrc = word(body, 0)?;
                compound.block = blocks(body, 24, count, ours)?.or(compound.block);
            }
            RECEIVER_REPORT => {
                compound.ssrc = word(body, 0)?;
                compound.block = blocks(body, 4, count, ours)?.or(compound.block);
            }
            GOODBYE if body.len() < count * 4 => return Err(RtcpError),
            GOODBYE => compound.goodbye = true,
            _ => {}
        }
        first = false;
    }
    if first { Err(RtcpError) } else { Ok(compound) }
}

fn word(body: &[u8], at: usize) -> Result<u32, RtcpError> {
    let bytes = body.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(RtcpError)?;
    Ok(u32::from_be_bytes(*bytes))
}

fn blocks(body: &[u8], start: usize, count: usize, ours: u32) -> Result<Option<Block>, RtcpError> {
    if body.len() < start + count * BLOCK_BYTES {
        return Err(RtcpError);
    }
    for i in 0..count {
        let at = start + i * BLOCK_BYTES;
        if word(body, at)? != ours {
            continue;
        }
        let loss = word(body, at + 4)?;
        return Ok(Some(Block {
            ssrc: ours,
            fraction_lost: (loss >> 24) as u8,
            // Shifted up and down again so that the 24-bit sign is kept.
            lost: (loss << 8) as i32 >> 8,
            highest: word(body, at + 8)?,
            jitter: word(body, at + 12)?,
            last_sr: word(body, at + 16)?,
            since_last_sr: word(body, at + 20)?,
        }));
    }
    Ok(None)
}

/// What to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// We.
    pub ssrc: u32,
    /// Our canonical name: opaque, the same for the life of the leg (RFC 7022).
    pub name: u64,
    /// Present when we sent media lately.
    pub sender: Option<SenderPart>,
    /// Present when we received media.
    pub block: Option<Block>,
    /// Say goodbye as well.
    pub goodbye: bool,
}

/// Prints a compound packet and returns its length. `out` must hold [`MAX_PRINTED`] bytes.
pub fn print(report: &Report, out: &mut [u8; MAX_PRINTED]) -> usize {
    let mut printer = Printer { out, len: 0 };
    let count = u8::from(report.block.is_some());
    let kind = if report.sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    let words = 1 + if report.sender.is_some() { 5 } else { 0 } + u16::from(count) * 6;
    printer.head(count, kind, words);
    printer.word(report.ssrc);
    if let Some(sender) = &report.sender {
        printer.word((sender.ntp >> 32) as u32);
        printer.word(sender.ntp as u32);
        printer.word(sender.timestamp);
        printer.word(sender.packets);
        printer.word(sender.octets);
    }
    if let Some(block) = &report.block {
        printer.word(block.ssrc);
        let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        printer.word((u32::from(block.fraction_lost) << 24) | lost);
        printer.word(block.highest);
        printer.word(block.jitter);
        printer.word(block.last_sr);
        printer.word(block.since_last_sr);
    }
    // SDES: ssrc, item CNAME of 16 hexadecimal digits, then zeros up to a word: 4 + 2 + 16 + 2 bytes.
    printer.head(1, SOURCE_DESCRIPTION, 6);
    printer.word(report.ssrc);
    printer.bytes(&[CNAME, 16]);
    let mut digits = [0_u8; 16];
    for (i, digit) in digits.iter_mut().enumerate() {
        let nibble = (report.name >> (60 - 4 * i)) & 0x0f;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    printer.bytes(&digits);
    printer.bytes(&[0, 0]);
    if report.goodbye {
        printer.head(1, GOODBYE, 1);
        printer.word(report.ssrc);
    }
    printer.len
}

/// Appends to a buffer that is known to be large enough; beyond its end nothing is written.
struct Printer<'a> {
    out: &'a mut [u8; MAX_PRINTED],
    len: usize,
}

impl Printer<'_> {
    fn head(&mut self, count: u8, kind: u8, words: u16) {
        self.bytes(&[0x80 | count, kind]);
        self.bytes(&words.to_be_bytes());
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(room) = self.out.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_printed_parses_back() {
        let sender = SenderPart { ntp: 0x0102_0304_0506_0708, timestamp: 9, packets: 10, octets: 1600 };
        let block =
            Block { ssrc: 77, fraction_lost: 12, lost: -3, highest: 65_540, jitter: 8, last_sr: 1, since_last_sr: 2 };
        for (sender, block) in [(Some(sender), Some(block)), (None, Some(block)), (Some(sender), None), (None, None)] {
            for goodbye in [false, true] {
                let report = Report { ssrc: 5, name: 0xabc, sender, block, goodbye };
                let mut out = [0; MAX_PRINTED];
                let len = print(&report, &mut out);
                assert_eq!(len % 4, 0);
                let expected = Compound { ssrc: 5, sender, block, goodbye };
                assert_eq!(parse(&out[..len], 77), Ok(expected));
                for cut in 1..len {
                    let shorter = parse(&out[..cut], 77);
                    assert!(shorter.is_err() || cut == len - 8 || cut == len - 36 || cut == len - 28, "{cut} of {len}");
                }
            }
        }
    }
}
