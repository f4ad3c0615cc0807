//! When an event that could not be told is told again. Never reads a clock or makes randomness.

use std::time::Duration;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Pauses before the second try, the third and so on, in milliseconds (BARS R22); the first is at once.
const PAUSES: [u64; 7] = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR];

/// How long to wait after `tries` tries of at most `max_tries`; none: give up. `random` spreads the pause over nine to
/// eleven tenths, so that receivers that come back are not met by everything at once. A receiver that named a time is
/// not asked sooner.
pub(super) fn pause(tries: u32, max_tries: u32, retry_after: Option<Duration>, random: u64) -> Option<Duration> {
    if tries >= max_tries {
        return None;
    }
    let step = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    let pause = *PAUSES.get(step)?;
    let spread = pause / 5;
    let jittered = pause - spread / 2 + random % (spread + 1);
    Some(Duration::from_millis(jittered).max(retry_after.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::webhook::MOST_TRIES;

    #[test]
    fn pauses_are_those_of_the_schedule_within_a_tenth() {
        let wanted = [5, 300, 1800, 7200, 18_000, 36_000, 36_000];
        for (tries, seconds) in (1..).zip(wanted) {
            let wanted = seconds * SECOND;
            let (mut low, mut high) = (u64::MAX, 0);
            for random in (0..2000).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
                let got = pause(tries, MOST_TRIES, None, random).expect("not given up yet").as_millis();
                let got = u64::try_from(got).expect("hours");
                (low, high) = (low.min(got), high.max(got));
            }
            assert!(low >= wanted * 9 / 10 && high <= wanted * 11 / 10, "after {tries}: {low} to {high}");
            assert!(low < wanted * 93 / 100 && high > wanted * 107 / 100, "after {tries} nothing is spread");
        }
        assert_eq!(pause(8, MOST_TRIES, None, 0), None);
        assert_eq!(pause(3, 3, None, 0), None);
    }

    #[test]
    fn a_named_time_is_kept() {
        let hour = Duration::from_secs(3600);
        assert_eq!(pause(1, MOST_TRIES, Some(hour), 7), Some(hour));
        assert!(pause(5, MOST_TRIES, Some(hour), 7) > Some(hour), "but never sooner than the schedule");
        assert_eq!(pause(MOST_TRIES, MOST_TRIES, Some(hour), 7), None);
    }
}
