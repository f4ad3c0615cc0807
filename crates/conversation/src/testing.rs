//! What the tests of several modules share.

use std::sync::OnceLock;
use std::time::Instant;

/// The moment at which the virtual clock of every test begins.
#[allow(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; no test looks at the real time")]
pub(crate) fn zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}
