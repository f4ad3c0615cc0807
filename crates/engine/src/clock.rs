//! Wall-clock time for journal stamps. The clock is an input: the server brings the system's, a test its own.

use callwright_domain::Moment;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// The time that durations and timers are measured in: the runtime's clock, which a simulation stops and moves.
pub(crate) fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    pub fn new(now: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> Moment {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
