//! What people are shown about a trunk. Plain values.

use callwright_domain::Moment;
use serde::Serialize;

/// Where a trunk stands on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkStatus {
    /// Whether we are registered with it.
    pub registration: RegistrationStatus,
    /// Whether it answers.
    pub health: TrunkHealth,
    /// Calls that hold one of its channels.
    pub calls: u32,
    /// Calls that wait for it.
    pub waiting: usize,
    /// It asked not to be disturbed until then (503 with `Retry-After`).
    pub rests_until: Option<Moment>,
}

/// Whether we are registered with a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationStatus {
    /// Nobody wants to be.
    Off,
    /// The first answer is not there yet.
    Trying,
    /// We are.
    Registered {
        /// It is refreshed before.
        until: Moment,
    },
    /// We are not; it is tried again by itself.
    Failed {
        /// Why, in a word or a sentence.
        cause: String,
        /// When it is tried again.
        retry_at: Moment,
    },
}

/// Whether a trunk answers OPTIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrunkHealth {
    /// It was not asked, or has neither answered nor failed to often enough.
    Unchecked,
    /// It answered the last time.
    Up,
    /// It is out: calls go through another trunk where there is one.
    Down,
}
