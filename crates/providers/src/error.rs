//! One kind of failure for all vendors. `kind` says whether to try again, to fall back, or to give up; the text never
//! holds a secret.

/// What to do about a vendor's failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The vendor could not be reached, or the connection broke.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// It asks us to come back later.
    RateLimited,
    /// It refuses our credentials.
    Unauthorised,
    /// It refuses what we asked; asking again is useless.
    Rejected,
    /// It answered something that its protocol does not allow.
    Protocol,
    /// It failed inside.
    Internal,
    /// All its workers are busy (local models).
    Saturated,
    /// A model or library it needs is not installed.
    Missing,
}

impl ErrorKind {
    /// Whether the same vendor may be asked again at once.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unreachable | Self::Timeout | Self::Internal)
    }
}

/// A failure of an ear, a brain or a voice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{vendor}: {detail}")]
pub struct ProviderError {
    /// Name of the vendor as configured.
    pub vendor: String,
    /// What to do about it.
    pub kind: ErrorKind,
    /// What happened, for people.
    pub detail: String,
    /// Of [`ErrorKind::RateLimited`]: how long the vendor wants to be left alone.
    pub retry_after: Option<std::time::Duration>,
}

impl ProviderError {
    /// A failure of `vendor`.
    pub fn new(vendor: impl Into<String>, kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { vendor: vendor.into(), kind, detail: detail.into(), retry_after: None }
    }
}
