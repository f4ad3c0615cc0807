//! On whose behalf a request of ours travels: what a client transaction hands back with its outcome.

use crate::agent::{PingKey, RegistrationKey};
use crate::invite::{CallKey, TrunkRef};
use crate::message::Response;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The INVITE that places a call.
    Dial(CallKey),
    /// Its CANCEL: whatever comes back, the INVITE's own outcome counts.
    Cancel,
    /// A PRACK: whatever comes back, the call's own outcome counts.
    Prack,
    /// A re-INVITE.
    Reinvite(CallKey),
    /// An UPDATE that refreshes the session.
    Refresh(CallKey),
    /// An INFO with a key press.
    Key(CallKey),
    /// A REFER: the peer is to call somebody else in our place.
    Refer(CallKey),
    /// A BYE: the call is over whatever comes back. None: it ends a dialog that was never a call's.
    Bye(Option<CallKey>),
    /// A REGISTER.
    Register(RegistrationKey),
    /// An OPTIONS ping.
    Ping(PingKey),
}

/// What a request is for, through whom, and how often it was already sent again because of a challenge.
#[derive(Clone, Debug)]
pub(crate) struct Errand {
    pub(crate) purpose: Purpose,
    pub(crate) trunk: TrunkRef,
    /// Challenges answered so far, two at most.
    pub(crate) answered: u8,
}

impl Errand {
    pub(crate) fn new(purpose: Purpose, trunk: TrunkRef) -> Self {
        Self { purpose, trunk, answered: 0 }
    }
}

/// How a request of ours came out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome<'a> {
    /// An answer, provisional or final.
    Response(&'a Response),
    /// Nobody answered.
    Timeout,
    /// It could not be sent.
    TransportFailed,
}

impl Outcome<'_> {
    /// The status, or the one RFC 3261 section 8.1.3.1 puts in its place: 408 for silence, 503 for a broken way.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Response(response) => response.status.code(),
            Self::Timeout => 408,
            Self::TransportFailed => 503,
        }
    }
}
