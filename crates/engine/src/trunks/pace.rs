//! How the calls of one trunk are spread over time, so that no window of a second sees more INVITEs than were agreed.
//! Pure: the time is an argument. Never waits.
//!
//! Turns are handed out evenly, and a turn may be used only when the last-but-`cps` INVITE really left long enough ago:
//! the first keeps a trunk from bursts, the second from a busy machine that sends two turns' calls at once.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The window that is kept: a second, and a little for what the network does to the distance between two packets.
const WINDOW: Duration = Duration::from_millis(1020);
/// A turn is handed out this early, so that the call can be made ready for it.
const LEAD: Duration = Duration::from_millis(40);

/// The pace of one trunk.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Most INVITEs a second; 0: no limit.
    cps: u32,
    /// The earliest turn that nobody has yet.
    next: Option<Instant>,
    /// When the latest INVITEs left, at most `cps` of them, oldest first.
    sent: VecDeque<Instant>,
}

impl Pace {
    /// Changes the limit; what was sent still counts.
    pub(super) fn limit(&mut self, cps: u32) {
        self.cps = cps;
        self.forget_old();
    }

    /// A turn, if one comes soon; else when to ask again. `Ok(None)`: nothing limits it.
    pub(super) fn reserve(&mut self, now: Instant) -> Result<Option<Instant>, Instant> {
        if self.cps == 0 {
            return Ok(None);
        }
        let turn = self.clear_at(self.next.unwrap_or(now)).max(now);
        if turn > now + LEAD {
            return Err(turn - LEAD);
        }
        self.next = Some(turn + self.apart());
        Ok(Some(turn))
    }

    /// How far apart turns are.
    pub(super) fn apart(&self) -> Duration {
        WINDOW / self.cps.max(1)
    }

    /// Hands out no turn before `until`: other nodes have those.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.next = Some(self.next.map_or(until, |next| next.max(until)));
    }

    /// When the holder of `turn` may send.
    pub(super) fn clear_at(&self, turn: Instant) -> Instant {
        let cps = usize::try_from(self.cps).unwrap_or(usize::MAX);
        match self.sent.front() {
            Some(first) if cps > 0 && self.sent.len() >= cps => turn.max(*first + WINDOW),
            _ => turn,
        }
    }

    /// An INVITE leaves now.
    pub(super) fn leaves(&mut self, now: Instant) {
        if self.cps > 0 {
            self.sent.push_back(now);
            self.forget_old();
        }
    }

    /// The INVITE that left last did so a little later.
    pub(super) fn left(&mut self, now: Instant) {
        if let Some(last) = self.sent.back_mut() {
            *last = now;
        }
    }

    fn forget_old(&mut self) {
        while self.sent.len() > usize::try_from(self.cps).unwrap_or(usize::MAX) {
            self.sent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// Sends as many calls as wait, `late` after each turn; when they left.
    fn run(cps: u32, calls: usize, late: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let begin = Instant::now();
        let (mut pace, mut now, mut left) = (Pace::default(), begin, Vec::new());
        pace.limit(cps);
        while left.len() < calls {
            match pace.reserve(now) {
                Ok(turn) => {
                    let turn = turn.unwrap_or(now);
                    now = pace.clear_at(turn).max(now) + late(left.len());
                    pace.leaves(now);
                    pace.left(now);
                    left.push(now - begin);
                }
                Err(again) => {
                    assert!(again > now, "who asks again at once would spin");
                    now = again;
                }
            }
        }
        left
    }

    fn most_in_a_second(left: &[Duration]) -> usize {
        left.iter()
            .map(|from| left.iter().filter(|at| *at >= from && **at < *from + ms(1000)).count())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn no_second_sees_more_than_was_agreed_and_few_see_less() {
        for cps in [1_u32, 2, 3, 7, 10, 33, 100, 1000] {
            let wanted = usize::try_from(cps).expect("small");
            for late in [0_u64, 1, 7, 60] {
                // Every seventh call is late, as on a busy machine: the next ones must not make up for it at once.
                let left = run(cps, wanted * 5 + 1, |at| if at % 7 == 0 { ms(late) } else { ms(0) });
                assert!(most_in_a_second(&left) <= wanted, "{cps} a second, late by {late}: {left:?}");
            }
            let left = run(cps, wanted * 5 + 1, |_| ms(0));
            let took = left.last().expect("some").as_secs_f64();
            assert!(f64::from(cps) * 5.0 / took >= f64::from(cps) * 0.95, "{cps} a second took {took}");
        }
    }

    #[test]
    fn a_trunk_without_a_limit_is_never_slowed_down() {
        assert_eq!(run(0, 50, |_| ms(0)).last(), Some(&ms(0)));
    }

    #[test]
    fn a_lower_limit_counts_what_was_sent_before() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        pace.limit(100);
        for _ in 0..100 {
            pace.leaves(begin);
        }
        pace.limit(1);
        assert!(matches!(pace.reserve(begin), Err(again) if again > begin + ms(900)));
    }
}
