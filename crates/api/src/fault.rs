//! Requests that are not acceptable: signature, shape, size, unknown action. A dialect words them; none says more than
//! the requester may know.

use callwright_domain::Absence;
use callwright_store::StoreError;

/// Why a request is not acceptable.
///
/// Mirrored without a wildcard arm in every file of `crates/api/src/dialects/`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A required part is not there.
    #[error("{field} is missing")]
    Missing {
        /// Its name on the wire.
        field: String,
    },
    /// A part is there and wrong.
    #[error("{field} is not valid: {rule}")]
    Invalid {
        /// Its name on the wire.
        field: String,
        /// The rule and the shape that is wanted; never the value.
        rule: String,
    },
    /// A part is there that does not belong there.
    #[error("{field} does not belong here; known are {known}")]
    Unknown {
        /// Its name on the wire, cut short.
        field: String,
        /// The names that do belong.
        known: String,
    },
    /// The whole is not of the form that is wanted.
    #[error("{rule}")]
    Malformed {
        /// What is wanted.
        rule: String,
    },
    /// No such operation.
    #[error("there is no such operation")]
    UnknownOperation,
    /// The operation exists under other methods.
    #[error("this operation wants another method: {allowed}")]
    Method {
        /// The methods.
        allowed: &'static str,
    },
    /// The API version is not spoken.
    #[error("this API version is not spoken")]
    Version,
    /// No credentials, or not ones we issue.
    #[error("these credentials are not known")]
    Unauthenticated,
    /// The key is switched off.
    #[error("this key is disabled")]
    KeyDisabled,
    /// The key may not do this.
    #[error("this key may not do that; it needs the scope {scope}")]
    Forbidden {
        /// The scope that is missing.
        scope: &'static str,
    },
    /// The date is malformed.
    #[error("the request's date is malformed")]
    BadDate,
    /// The date is too far from now.
    #[error("the request's date is too far from now")]
    Expired,
    /// The signature does not hold.
    #[error("the signature does not match")]
    BadSignature {
        /// The text that we signed.
        signed: String,
    },
    /// The signed bytes were sent before.
    #[error("this signed request was sent before")]
    Replayed,
    /// Nothing of that id in the account.
    #[error("no {what} with this id exists")]
    NotFound {
        /// What was asked for.
        what: &'static str,
    },
    /// It was there and was removed.
    #[error("this {what} is not there any more: it {}", why(absence))]
    Gone {
        /// What was asked for.
        what: &'static str,
        /// Why it was removed.
        absence: Absence,
    },
    /// The body did not arrive in time.
    #[error("the body took too long to arrive")]
    Slow,
    /// Too large.
    #[error("the request is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request target is too long.
    #[error("the request target is longer than {limit} bytes")]
    LongTarget {
        /// The limit in bytes.
        limit: usize,
    },
    /// The headers are too many or too large.
    #[error("the request has more than {headers} headers, or more than {bytes} bytes of them")]
    LargeHead {
        /// The most there may be.
        headers: usize,
        /// The limit in bytes.
        bytes: usize,
    },
    /// Both Content-Length and Transfer-Encoding: where the body ends is anybody's guess.
    #[error("a request must not have both Content-Length and Transfer-Encoding")]
    TwoLengths,
    /// The body is of another type.
    #[error("the body must be {wanted}")]
    MediaType {
        /// The type that is wanted.
        wanted: &'static str,
    },
    /// The state of the thing does not allow it.
    #[error("{rule}")]
    Conflict {
        /// What does not allow it.
        rule: &'static str,
        /// The native dialect's code for it.
        code: &'static str,
    },
    /// Too many at once.
    #[error("too many requests")]
    Busy,
    /// Too many large bodies at once.
    #[error("too many {what} arrive at once; try again when others are through")]
    NoPlace {
        /// Of which kind.
        what: &'static str,
    },
    /// More requests in one second than the key or the source may make.
    #[error("too many requests in one second")]
    RateLimited {
        /// Seconds after which to try again.
        again_in_s: u32,
    },
    /// Our storage failed; the text is already fit for the public.
    #[error("{0}")]
    Storage(&'static str),
    /// A defect of ours.
    #[error("an internal error happened")]
    Internal,
}

/// Why something was removed, for people.
const fn why(absence: &Absence) -> &'static str {
    match absence {
        Absence::Expired => "was kept as long as the rules say, and has expired",
        Absence::Erased => "was erased with the number that was called",
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.public())
    }
}

impl Fault {
    /// The same fault of a member that stands below `member`.
    #[must_use]
    pub(crate) fn below(mut self, member: &str) -> Self {
        if let Self::Missing { field } | Self::Invalid { field, .. } | Self::Unknown { field, .. } = &mut self {
            // A value that is read as a whole has no name of its own.
            *field = if field == "body" { member.to_owned() } else { format!("{member}.{field}") };
        }
        self
    }
}
