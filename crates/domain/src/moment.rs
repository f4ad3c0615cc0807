//! Wall-clock time as a value. Never reads a clock: the caller brings the time in.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in wall-clock time: milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub i64);

impl Moment {
    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This moment moved later by `by`, saturating at the end of time.
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment moved earlier by `by`, saturating at the beginning of time.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_never_underflows() {
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
        assert_eq!(Moment(i64::MIN).since(Moment(i64::MAX)), Duration::ZERO);
        assert_eq!(Moment(9).since(Moment(5)), Duration::from_millis(4));
    }

    #[test]
    fn after_saturates() {
        assert_eq!(Moment(i64::MAX).after(Duration::from_secs(1)), Moment(i64::MAX));
    }
}
