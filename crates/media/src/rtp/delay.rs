//! How late packets come, compared with the fastest of late. Hides the clock offset between the two ends and its drift.

use std::time::Duration;

/// Width of a histogram bucket.
const BUCKET_US: i64 = 5_000;
/// Buckets: 0 to 320 ms late; the last takes everything later.
const BUCKETS: usize = 64;
/// Weight of a new packet once the histogram is filled: a memory of about ten seconds at 50 packets a second.
const FORGET: f32 = 0.002;
/// Share of packets that must be in time.
const IN_TIME: f32 = 0.985;
/// The fastest packet is looked for in this long a stretch (and the one before it): short enough to follow drift.
const BASE_WINDOW_US: i64 = 2_000_000;

/// Statistics of one stream. Times are microseconds since any fixed moment; transit = arrival - media time.
#[derive(Debug, Clone)]
pub(super) struct Delays {
    buckets: [f32; BUCKETS],
    packets: u32,
    window_start: i64,
    fastest: i64,
    fastest_before: i64,
    lateness: i64,
}

impl Delays {
    pub(super) const fn new() -> Self {
        Self { buckets: [0.0; BUCKETS], packets: 0, window_start: 0, fastest: 0, fastest_before: 0, lateness: 0 }
    }

    /// A new timeline begins with this packet. What is known of the network's jitter stays.
    pub(super) const fn rebase(&mut self, arrival: i64, transit: i64) {
        self.window_start = arrival;
        self.fastest = transit;
        self.fastest_before = transit;
    }

    /// Notes a packet and returns how late it was.
    pub(super) fn note(&mut self, arrival: i64, transit: i64) -> i64 {
        if arrival - self.window_start >= BASE_WINDOW_US {
            self.fastest_before = self.fastest;
            self.fastest = transit;
            self.window_start = arrival;
        }
        self.fastest = self.fastest.min(transit);
        let late = transit - self.base();
        self.packets = self.packets.saturating_add(1);
        let weight = FORGET.max(1.0 / self.packets as f32);
        for bucket in &mut self.buckets {
            *bucket *= 1.0 - weight;
        }
        let index = usize::try_from(late.max(0) / BUCKET_US).unwrap_or(0).min(BUCKETS - 1);
        self.buckets[index] += weight;
        self.lateness = self.quantile();
        late
    }

    /// Transit of the fastest packet of late.
    pub(super) fn base(&self) -> i64 {
        self.fastest.min(self.fastest_before)
    }

    /// The delay that nearly all packets meet; `None` before anything is known.
    pub(super) fn needed(&self) -> Option<Duration> {
        (self.packets > 0).then(|| Duration::from_micros(u64::try_from(self.lateness).unwrap_or(0)))
    }

    fn quantile(&self) -> i64 {
        let mut sum = 0.0;
        for (upper, bucket) in (1..).zip(&self.buckets) {
            sum += bucket;
            if sum >= IN_TIME {
                return upper * BUCKET_US;
            }
        }
        BUCKETS as i64 * BUCKET_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needed_delay_covers_nearly_all_packets_and_forgets() {
        let mut delays = Delays::new();
        delays.rebase(0, 0);
        for i in 0..500_i64 {
            delays.note(i * 20_000, if i % 10 == 0 { 93_000 } else { 0 });
        }
        assert_eq!(delays.needed(), Some(Duration::from_millis(95)));
        for i in 500..3_500_i64 {
            delays.note(i * 20_000, 0);
        }
        assert_eq!(delays.needed(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn the_base_follows_drift() {
        let mut delays = Delays::new();
        delays.rebase(0, 0);
        for i in 0..90_000_i64 {
            // 200 ppm: four microseconds a packet.
            let late = delays.note(i * 20_000, i * 4);
            assert!((0..2_000).contains(&late), "{late}");
        }
    }
}
