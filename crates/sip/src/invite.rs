//! What the application says to place, answer and end a call, and the typed handles it holds meanwhile.
//!
//! A handle is consumed by whatever ends the call, so a dead call cannot be used again. Hides that a handle is only a
//! key. Never holds call state: that lives in the user agent.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::agent::Transport;
use crate::auth::Credentials;
use crate::cause::HangupCause;
use crate::message::{NameAddr, Reason, Uri};

/// Names one call inside one user agent; found in every event about it. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(crate) u64);

impl CallKey {
    /// The number behind it, for log lines.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call#{}", self.0)
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        #[must_use = "a call is ended through its handle"]
        pub struct $name(pub(crate) CallKey);

        impl $name {
            /// The call it belongs to, as events name it.
            pub fn key(&self) -> CallKey {
                self.0
            }
        }
    };
}

handle! {
    /// A call of ours that is not answered yet. Ended by [`crate::UserAgent::cancel`].
    Calling
}
handle! {
    /// A call of a peer that we have not answered yet. Ended by `accept` or `reject`.
    Incoming
}
handle! {
    /// A call of a peer that we accepted and that the peer has not acknowledged yet.
    Answered
}
handle! {
    /// A call that both sides agreed on. Ended by [`crate::UserAgent::bye`].
    Confirmed
}

/// A peer we dial, register or ping through.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Where every request of ours goes, unless a route or contact of the peer names one of `addresses`.
    pub peer: SocketAddr,
    /// How we talk to it.
    pub transport: Transport,
    /// Further addresses of the same trunk: in-dialog requests are taken from, and may be sent to, these. `peer` always counts.
    pub addresses: Vec<IpAddr>,
    /// Account for 401 and 407; `None`: challenges end the call.
    pub credentials: Option<Credentials>,
    /// The only realm credentials are shown to; `None`: any realm, as long as the trunk itself asks.
    pub realm: Option<String>,
}

impl Trunk {
    /// A trunk at an address, without account.
    pub fn at(peer: SocketAddr, transport: Transport) -> Self {
        Self { peer, transport, addresses: Vec::new(), credentials: None, realm: None }
    }

    /// Whether messages from this address are the trunk's.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.peer.ip() == address || self.addresses.contains(&address)
    }
}

/// A trunk shared by its calls.
pub type TrunkRef = Arc<Trunk>;

/// The identity of one dial, chosen and written down by the application before the first packet, so that a restarted
/// application can find or end the call it may have placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialIntent {
    /// `Call-ID`, unique for ever; token characters and `@` only.
    pub call_id: String,
    /// `From` tag, token characters only.
    pub from_tag: String,
    /// Via branch of the first INVITE, starting with `z9hG4bK`.
    pub branch: String,
    /// `CSeq` of the first INVITE, 1..2^31.
    pub cseq: u32,
}

/// A message body with its type. The user agent never looks inside, except for `multipart` wrapping.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// `Content-Type`, such as `application/sdp`.
    pub content_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} octets", self.content_type, self.bytes.len())
    }
}

impl Body {
    /// A session description.
    pub fn sdp(bytes: impl Into<Vec<u8>>) -> Self {
        Self { content_type: String::from("application/sdp"), bytes: bytes.into() }
    }
}

/// When the ACK to the answer of a call of ours is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckTiming {
    /// As soon as the answer comes.
    #[default]
    AtOnce,
    /// When the application says so ([`crate::UserAgent::acknowledge_answer`]), for example after it has written the
    /// answer down. Until then the peer repeats its answer, so that a program which dies before finds the call again.
    WhenTold,
}

/// Whether reliable provisional answers (RFC 3262) are offered or demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliability {
    /// `100rel` is not mentioned; a peer must not use it.
    Off,
    /// `Supported: 100rel`: used when the peer wants it.
    #[default]
    Offered,
    /// `Require: 100rel`.
    Required,
}

/// One INVITE to be sent.
#[derive(Clone)]
pub struct OutboundInvite {
    /// Through whom.
    pub trunk: TrunkRef,
    /// The request URI: whom to ring.
    pub request_uri: Uri,
    /// `From` without tag.
    pub from: NameAddr,
    /// `To` without tag.
    pub to: NameAddr,
    /// `P-Asserted-Identity` (RFC 3325), for trunks that want it.
    pub asserted_identity: Option<NameAddr>,
    /// Further header lines, name and value. Names the user agent writes itself, and text with control characters, are refused.
    pub headers: Vec<(String, String)>,
    /// Written down beforehand.
    pub identity: DialIntent,
    /// The offer.
    pub offer: Body,
    /// `Session-Expires` to ask for, seconds; `None`: session timers are supported but not asked for.
    pub session_expires: Option<u32>,
    /// Reliable provisional answers.
    pub reliability: Reliability,
    /// How long it may ring, from the INVITE on; then CANCEL and cause [`HangupCause::NoAnswer`].
    pub ring_timeout: Duration,
    /// When the answer is acknowledged.
    pub ack: AckTiming,
}

// Numbers and names of people are in it; logs get what identifies the dial and no more.
impl fmt::Debug for OutboundInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundInvite").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Why an INVITE was not even sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// No local address for the trunk's transport.
    #[error("no local address for transport {0:?}")]
    NoLocalAddress(Transport),
    /// The limit of calls or transactions alive is reached.
    #[error("the limit of calls alive is reached")]
    Full,
    /// An INVITE with this branch is under way.
    #[error("the dial identity is in use")]
    DuplicateIdentity,
    /// An identity, header or body cannot be written into a SIP message.
    #[error("{0} cannot be written into a SIP message")]
    Unwritable(&'static str),
}

/// Q.850 cause 16, normal call clearing: the `Reason` of an ordinary goodbye.
pub fn normal_clearing() -> Reason {
    Reason { protocol: String::from("Q.850"), cause: Some(16), text: Some(String::from("Normal call clearing")) }
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub cause: HangupCause,
    /// The final status, if one came.
    pub status: Option<u16>,
    /// The peer's `Reason`, the Q.850 one if there are several.
    pub reason: Option<Reason>,
    /// How long the peer asked us to keep away, cut to 300 s.
    pub retry_after: Option<Duration>,
    /// The new address of a 3xx, untrusted and not followed.
    pub contact: Option<Uri>,
    /// How far the attempt got: whether somebody may have been rung.
    pub reached: Reached,
}

/// How far an attempt got before it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// No answer of any kind.
    Nothing,
    /// `100 Trying` or another provisional answer below 180.
    Trunk,
    /// 180 to 199: somebody may have been rung.
    Callee,
    /// A 2xx.
    Answered,
}

impl Failure {
    /// Whether the same call may be tried through another trunk at once: only when the trunk failed and nobody can have
    /// been rung.
    pub fn may_try_next_trunk(&self) -> bool {
        match self.status {
            Some(status) => matches!(status, 500 | 502 | 503 | 504) && self.reached <= Reached::Trunk,
            None => {
                let way_lost = matches!(self.cause, HangupCause::TransportFailed | HangupCause::NoResponse);
                way_lost && self.reached == Reached::Nothing
            }
        }
    }
}
