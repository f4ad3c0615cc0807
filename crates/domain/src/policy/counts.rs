//! Counting calls in time: which counts a verdict needs, and whether they allow one call more. The store answers each
//! with one bounded count; the two sides share the list, so that neither can forget one.

use super::Refusal;
use crate::Moment;
use serde::{Deserialize, Serialize};

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// Calls to the callee, of the whole account.
    Callee,
    /// Calls to the callee by the call's agent.
    CalleeOfAgent,
    /// Calls that show the caller number.
    Caller,
    /// Calls of the account.
    Account,
}

/// One count that a verdict needs: calls after `after`, up to and with now, the judged call itself not among them. A
/// call counts from its acceptance, and not at all when it ended before it was dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Whose calls.
    pub whom: Whom,
    /// Calls at this moment or earlier are not counted.
    pub after: Moment,
    /// The most there may be already; counting may stop beyond it.
    pub below: u32,
    /// The refusal when there are as many.
    pub refusal: Refusal,
}

impl Count {
    /// Whether `found` calls allow one more.
    pub const fn allows(&self, found: u32) -> bool {
        found < self.below
    }
}

/// At most so many calls in a sliding stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spell {
    /// The most calls.
    pub calls: u32,
    /// The stretch, in seconds.
    pub seconds: u32,
}

impl Spell {
    /// The count that this asks for at `now`.
    pub(super) fn count(self, whom: Whom, now: Moment, refusal: Refusal) -> Count {
        let after = Moment(now.millis().saturating_sub(i64::from(self.seconds).saturating_mul(1000)));
        Count { whom, after, below: self.calls, refusal }
    }
}
