//! Reception statistics and the schedule of reports (RFC 3550 sections 6.2, 6.4 and appendix A).
//! Hides extended sequence numbers and jitter arithmetic. Never draws randomness: it is seeded.

use super::rtcp::{Block, SenderPart};
use std::time::{Duration, Instant};

/// RFC 3550 section 6.2: the recommended least interval.
const INTERVAL: Duration = Duration::from_secs(5);

/// What was received of one stream.
#[derive(Debug, Clone, Default)]
pub struct Reception {
    ssrc: u32,
    base: u32,
    highest: u32,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// Sixteen times the jitter, in timestamp units (RFC 3550 A.8).
    jitter16: u32,
    last_transit: Option<i64>,
    last_sr: Option<(u32, Instant)>,
    /// Lost in streams that came before this one.
    lost_earlier: u64,
}

impl Reception {
    /// Counts an accepted media packet. `arrival` is in timestamp units of the media clock.
    pub fn packet(&mut self, ssrc: u32, sequence: u16, timestamp: u32, arrival: i64) {
        if self.received == 0 || ssrc != self.ssrc {
            let lost_earlier = self.lost();
            *self =
                Self { ssrc, base: u32::from(sequence), highest: u32::from(sequence), lost_earlier, ..Self::default() };
        }
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < 3000 {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        } else if ahead < u16::MAX - 100 {
            // The sender started its numbers over: so does the count (RFC 3550 A.1).
            self.lost_earlier = self.lost();
            self.base = u32::from(sequence);
            self.highest = self.base;
            self.received = 0;
            self.expected_before = 0;
            self.received_before = 0;
            self.last_transit = None;
        }
        self.received += 1;
        let transit = arrival.wrapping_sub(i64::from(timestamp));
        if let Some(last) = self.last_transit {
            // Timestamps wrap at 32 bits, so does their difference.
            let difference = (transit.wrapping_sub(last) as i32).unsigned_abs().min(8000);
            self.jitter16 = self.jitter16 - ((self.jitter16 + 8) >> 4) + difference;
        }
        self.last_transit = Some(transit);
    }

    /// Notes a sender report, for the round trip the far end computes.
    pub fn sender_report(&mut self, now: Instant, sender: &SenderPart) {
        self.last_sr = Some(((sender.ntp >> 16) as u32, now));
    }

    /// Packets that were expected and did not come.
    pub fn lost(&self) -> u64 {
        self.lost_earlier + self.expected().saturating_sub(self.received)
    }

    /// Jitter in timestamp units.
    pub const fn jitter(&self) -> u32 {
        self.jitter16 >> 4
    }

    /// The block for our next report; `None` before the first packet.
    pub fn block(&mut self, now: Instant) -> Option<Block> {
        if self.received == 0 {
            return None;
        }
        let expected = self.expected() - self.expected_before;
        let received = self.received - self.received_before;
        self.expected_before = self.expected();
        self.received_before = self.received;
        let lost = expected.saturating_sub(received);
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0).min(255);
        let total = i64::try_from(self.expected()).unwrap_or(i64::MAX) - i64::try_from(self.received).unwrap_or(0);
        let since = |at: Instant| u32::try_from(now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000);
        Some(Block {
            ssrc: self.ssrc,
            fraction_lost: fraction as u8,
            lost: total.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: self.highest,
            jitter: self.jitter(),
            last_sr: self.last_sr.map_or(0, |(ntp, _)| ntp),
            since_last_sr: self.last_sr.map_or(0, |(_, at)| since(at).unwrap_or(u32::MAX)),
        })
    }

    fn expected(&self) -> u64 {
        if self.received == 0 { 0 } else { u64::from(self.highest.wrapping_sub(self.base)) + 1 }
    }
}

/// When the next report is due: every five seconds, spread over half to one and a half of that.
#[derive(Debug, Clone)]
pub struct ReportSchedule {
    state: u64,
    due: Instant,
}

impl ReportSchedule {
    /// A schedule from `now`; the first report comes after half the interval.
    pub fn new(now: Instant, seed: u64) -> Self {
        let mut schedule = Self { state: seed | 1, due: now };
        schedule.due = now + schedule.interval() / 2;
        schedule
    }

    /// Whether a report is due; if so, the next one is scheduled.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now + self.interval();
        true
    }

    fn interval(&mut self) -> Duration {
        // xorshift64: spreading reports needs no better randomness.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        INTERVAL / 2 + INTERVAL.mul_f64((self.state >> 32) as f64 / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_wrap_are_counted() {
        let now = Instant::now();
        let mut reception = Reception::default();
        for i in 0..200_u32 {
            if i % 10 != 3 {
                reception.packet(1, (65_500_u32 + i) as u16, i * 160, i64::from(i) * 160);
            }
        }
        assert_eq!(reception.lost(), 20);
        let block = reception.block(now).expect("block");
        assert_eq!((block.lost, block.fraction_lost, block.highest), (20, 25, 65_699));
        assert_eq!(block.jitter, 0);
        assert_eq!(reception.block(now).map(|b| b.fraction_lost), Some(0));
    }

    #[test]
    fn reports_are_spread_around_five_seconds() {
        let start = Instant::now();
        let mut schedule = ReportSchedule::new(start, 42);
        let sent = (0..100_000).filter(|i| schedule.is_due(start + Duration::from_millis(20) * *i)).count();
        assert!((350..450).contains(&sent), "{sent} in 2000 s");
    }
}
