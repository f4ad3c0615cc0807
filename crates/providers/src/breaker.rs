//! The breaker: a vendor that keeps failing is left alone for a while, then probed. Knows nothing of calls; the clock
//! is an argument, so that it can be tested without waiting.

use crate::{ErrorKind, ProviderError};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Whether one vendor may be asked. Shared by all calls of the process.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    state: State,
    /// When it failed, within the last [`WINDOW`].
    failures: VecDeque<Instant>,
    /// How long the next rest is.
    rest: Duration,
    last_try: Option<Instant>,
    /// When it last failed in the middle of an answer.
    broke_off: Option<Instant>,
}

impl Default for Inner {
    fn default() -> Self {
        Self { state: State::Closed, failures: VecDeque::new(), rest: SHORTEST_REST, last_try: None, broke_off: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Not to be asked before `until`; `wished` when the vendor said so itself.
    Resting {
        until: Instant,
        wished: bool,
    },
    /// One question in a while shows whether it is back.
    Probing {
        next: Instant,
    },
}

impl Breaker {
    /// Whether the vendor may be asked now. A yes while it is being probed uses up the probe.
    pub fn admits(&self, now: Instant) -> bool {
        self.with(|inner| {
            let yes = match inner.state {
                State::Closed => true,
                State::Resting { until: next, .. } | State::Probing { next } => now >= next,
            };
            if yes && inner.state != State::Closed {
                inner.state = State::Probing { next: now + SHORTEST_REST };
            }
            if yes {
                inner.last_try = Some(now);
            }
            yes
        })
    }

    /// Whether the vendor may be asked although it rests, because no other is left: once a second, and never when it
    /// asked for the rest itself.
    pub fn admits_in_need(&self, now: Instant) -> bool {
        self.with(|inner| {
            let wished = matches!(inner.state, State::Resting { until, wished: true } if now < until);
            let rested = inner.last_try.is_none_or(|last| now.duration_since(last) >= BETWEEN_TRIES);
            let yes = !wished && rested;
            if yes {
                inner.last_try = Some(now);
            }
            yes
        })
    }

    /// Whether it is left alone now. Asking this uses nothing up.
    pub fn rests(&self, now: Instant) -> bool {
        self.with(|inner| matches!(inner.state, State::Resting { until, .. } if now < until))
    }

    /// It failed in the middle of an answer, besides [`Self::failed`].
    pub fn broke_off(&self, now: Instant) {
        self.with(|inner| inner.broke_off = Some(now));
    }

    /// Whether it has lately failed in the middle of an answer: whoever asks again had better ask another first.
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.with(|inner| inner.broke_off.is_some_and(|at| now.duration_since(at) < WINDOW))
    }

    /// It answered.
    pub fn succeeded(&self) {
        self.with(|inner| match inner.state {
            State::Probing { .. } => *inner = Inner { last_try: inner.last_try, ..Inner::default() },
            // An answer to a question from before the failures tells nothing.
            State::Closed | State::Resting { .. } => {}
        });
    }

    /// It failed.
    pub fn failed(&self, error: &ProviderError, now: Instant) {
        self.with(|inner| match error.kind {
            // The next question may be a better one; and who has too much to do is well.
            ErrorKind::Rejected | ErrorKind::Saturated => {}
            ErrorKind::RateLimited => {
                let until = now + error.retry_after.unwrap_or(SHORTEST_REST);
                inner.state = State::Resting { until, wished: true };
            }
            // Asking again at once cannot help.
            ErrorKind::Unauthorised | ErrorKind::Missing | ErrorKind::Protocol => inner.open(now),
            ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Internal => {
                inner.failures.push_back(now);
                inner.failures.retain(|failure| now.duration_since(*failure) <= WINDOW);
                let probing = matches!(inner.state, State::Probing { .. });
                if probing || inner.failures.len() >= FAILURES {
                    inner.open(now);
                }
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// Rests longer each time until an answer comes. Failures of questions asked earlier do not prolong a rest.
    fn open(&mut self, now: Instant) {
        if !matches!(self.state, State::Resting { until, .. } if now < until) {
            self.state = State::Resting { until: now + self.rest, wished: false };
            self.rest = (self.rest * 2).min(LONGEST_REST);
        }
        self.failures.clear();
    }
}

const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
const SHORTEST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> ProviderError {
        ProviderError::new("x", kind, "")
    }

    #[tokio::test(start_paused = true)]
    async fn opens_after_five_failures_in_ten_seconds_and_probes() {
        let (breaker, t) = (Breaker::default(), Instant::now());
        let at = |seconds: u64| t + Duration::from_secs(seconds);
        for seconds in [0, 3, 6, 9, 12, 15, 18, 21] {
            breaker.failed(&error(ErrorKind::Timeout), at(seconds));
            assert!(breaker.admits(at(seconds)), "four in ten seconds are too few");
        }
        breaker.failed(&error(ErrorKind::Internal), at(21));
        assert!(!breaker.admits(at(21)) && !breaker.admits(at(25)));
        assert!(breaker.admits(at(26)), "one probe");
        assert!(!breaker.admits(at(26)), "only one");
        breaker.failed(&error(ErrorKind::Timeout), at(27));
        assert!(!breaker.admits(at(36)), "rests twice as long");
        assert!(breaker.admits(at(37)));
        for probe in 1..9 {
            breaker.failed(&error(ErrorKind::Timeout), at(37 + 100 * probe));
            assert!(!breaker.admits(at(37 + 100 * probe + 4)));
            assert!(breaker.admits(at(37 + 100 * probe + 30)), "never rests longer than thirty seconds");
        }
        breaker.succeeded();
        assert!(breaker.admits(at(2000)) && breaker.admits(at(2000)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_rests_as_long_as_it_says() {
        let (breaker, t) = (Breaker::default(), Instant::now());
        let limit = ProviderError { retry_after: Some(Duration::from_secs(30)), ..error(ErrorKind::RateLimited) };
        breaker.failed(&limit, t);
        breaker.succeeded();
        assert!(!breaker.admits(t + Duration::from_secs(29)));
        assert!(!breaker.admits_in_need(t + Duration::from_secs(29)));
        assert!(breaker.admits(t + Duration::from_secs(30)));
    }

    #[tokio::test(start_paused = true)]
    async fn in_need_once_a_second() {
        let (breaker, t) = (Breaker::default(), Instant::now());
        breaker.failed(&error(ErrorKind::Unauthorised), t);
        breaker.failed(&error(ErrorKind::Rejected), t);
        assert!(!breaker.admits(t));
        assert!(breaker.admits_in_need(t));
        assert!(!breaker.admits_in_need(t + Duration::from_millis(999)));
        assert!(breaker.admits_in_need(t + Duration::from_secs(1)));
    }
}
