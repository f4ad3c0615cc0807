//! What goes into a user agent and what comes out: messages from and to the network, and events for the application.
//!
//! Hides nothing; plain values. Never borrows from the user agent.

use std::net::SocketAddr;
use std::time::Duration;

use super::Transport;
use crate::cause::{EndedBy, HangupCause};
use crate::invite::{Body, CallKey, Confirmed, Failure, Incoming};
use crate::message::{Message, NameAddr, Reason, Uri};

/// Names one connection of a stream transport; chosen by whoever owns the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(pub u64);

/// What happened on the network.
#[derive(Clone, Debug)]
pub enum Input {
    /// One datagram.
    Message(Arrival),
    /// One message that [`crate::StreamParser`] cut from a stream.
    Parsed {
        /// The other end of the stream.
        source: SocketAddr,
        /// How.
        transport: Transport,
        /// On which connection.
        flow: FlowId,
        /// The message.
        message: Box<Message>,
    },
    /// A message could not be sent, or the way to an address broke.
    TransportFailed {
        /// The transport.
        transport: Transport,
        /// Where it should have gone.
        destination: SocketAddr,
    },
    /// A connection is gone; answers owed on it go to the address instead.
    FlowClosed {
        /// The connection.
        flow: FlowId,
    },
}

/// One message from the network.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// From where.
    pub source: SocketAddr,
    /// How.
    pub transport: Transport,
    /// On which connection, for streams.
    pub flow: Option<FlowId>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// One message for the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// How.
    pub transport: Transport,
    /// Where to.
    pub destination: SocketAddr,
    /// The connection to prefer if it is still open.
    pub flow: Option<FlowId>,
    /// The message.
    pub bytes: Vec<u8>,
}

/// Names one re-INVITE or UPDATE of the peer that waits for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OfferKey(pub(crate) u64);

/// Names one account that is kept registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationKey(pub(crate) u64);

/// Names one OPTIONS ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PingKey(pub(crate) u64);

/// A provisional answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// 100 to 199.
    pub status: u16,
    /// The branch of a fork it came from: the peer's To tag. `None`: it makes no early dialog.
    pub fork: Option<String>,
    /// A session description for early media.
    pub body: Option<Body>,
}

/// How an answered call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// By whom.
    pub by: EndedBy,
    /// Why.
    pub cause: HangupCause,
    /// The peer's `Reason`, if it gave one.
    pub reason: Option<Reason>,
}

/// A call from a peer.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Whom it is for.
    pub request_uri: Uri,
    /// Who calls, untrusted.
    pub from: NameAddr,
    /// Whom was dialled.
    pub to: NameAddr,
    /// The Call-ID.
    pub call_id: String,
    /// From which address.
    pub source: SocketAddr,
    /// The peer's offer; `None`: the answer to the call must hold our offer.
    pub body: Option<Body>,
}

/// What an application learns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Our call makes progress.
    Progress {
        /// Which call.
        call: CallKey,
        /// How.
        progress: Progress,
    },
    /// Our call is answered and the answer acknowledged.
    Answered {
        /// Which call.
        call: CallKey,
        /// Replaces the `Calling` handle.
        handle: Confirmed,
        /// The session description of the answer; `None`: there was none, and no early one stands in for it.
        body: Option<Body>,
    },
    /// An attempt ended without an answered call: ours, or a peer's that it withdrew or that was never acknowledged.
    Failed {
        /// Which call.
        call: CallKey,
        /// How.
        failure: Failure,
    },
    /// A call from a peer waits to be rung, accepted or rejected.
    Incoming {
        /// Which call.
        call: CallKey,
        /// To ring, accept or reject it.
        handle: Incoming,
        /// What is known.
        invitation: Box<Invitation>,
    },
    /// The peer acknowledged the call we accepted.
    Established {
        /// Which call.
        call: CallKey,
        /// Replaces the `Answered` handle.
        handle: Confirmed,
        /// The peer's answer, if our 2xx held the offer.
        body: Option<Body>,
    },
    /// An answered call ended, whoever ended it. The last event of a call but for [`Event::Parted`].
    Ended {
        /// Which call.
        call: CallKey,
        /// How.
        ending: Ending,
    },
    /// The BYE of a call that has ended was answered, or repeated for as long as RFC 3261 has it: nobody is told any more.
    /// Follows the call's last event; a call that ended without a BYE of ours has none.
    Parted {
        /// Which call.
        call: CallKey,
    },
    /// The peer wants to change the session: answer with `accept_offer` or `reject_offer`.
    Offer {
        /// Which call.
        call: CallKey,
        /// To answer it.
        offer: OfferKey,
        /// The offer; `None`: the peer wants ours.
        body: Option<Body>,
    },
    /// An offer the application had not answered yet is withdrawn.
    OfferWithdrawn {
        /// Which call.
        call: CallKey,
        /// Which offer.
        offer: OfferKey,
    },
    /// The ACK brought the answer to the offer we made in answer to an offerless re-INVITE.
    AnswerInAck {
        /// Which call.
        call: CallKey,
        /// The answer.
        body: Option<Body>,
    },
    /// Our re-INVITE succeeded.
    OfferAnswered {
        /// Which call.
        call: CallKey,
        /// The answer.
        body: Option<Body>,
    },
    /// Our re-INVITE failed; the session goes on as it was.
    OfferRefused {
        /// Which call.
        call: CallKey,
        /// The final status; 408 when nobody answered.
        status: u16,
    },
    /// The peer pressed a key, told by INFO.
    Dtmf {
        /// Which call.
        call: CallKey,
        /// `0`-`9`, `*`, `#`, `A`-`D` or `!` (flash).
        digit: char,
        /// For how long.
        duration: Duration,
    },
    /// Our INFO was answered.
    DtmfSent {
        /// Which call.
        call: CallKey,
        /// The final status; 408 when nobody answered.
        status: u16,
    },
    /// The peer asked us to dial somebody and was refused.
    ReferRefused {
        /// Which call.
        call: CallKey,
    },
    /// Our REFER was answered.
    ReferAnswered {
        /// Which call.
        call: CallKey,
        /// The final status; 408 when nobody answered.
        status: u16,
    },
    /// How the call that our REFER asked for gets on.
    ReferProgress {
        /// Which call.
        call: CallKey,
        /// The status that the peer got; 100 when it does not say.
        status: u16,
        /// Whether nothing follows.
        last: bool,
    },
    /// The account is registered.
    Registered {
        /// Which.
        registration: RegistrationKey,
        /// For how long; it is refreshed before.
        expires: Duration,
    },
    /// The account is not registered; it is tried again by itself.
    RegistrationFailed {
        /// Which.
        registration: RegistrationKey,
        /// Why.
        cause: HangupCause,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The account is unregistered and forgotten.
    Unregistered {
        /// Which.
        registration: RegistrationKey,
    },
    /// The pinged peer is there.
    OptionsAnswered {
        /// Which ping.
        ping: PingKey,
        /// Any final status; every one proves that the peer is alive.
        status: u16,
    },
    /// The pinged peer did not answer.
    OptionsTimedOut {
        /// Which ping.
        ping: PingKey,
    },
}

impl Event {
    /// The call it is about, if it is about one.
    pub fn call(&self) -> Option<CallKey> {
        match self {
            Self::Progress { call, .. }
            | Self::Answered { call, .. }
            | Self::Failed { call, .. }
            | Self::Incoming { call, .. }
            | Self::Established { call, .. }
            | Self::Ended { call, .. }
            | Self::Parted { call }
            | Self::Offer { call, .. }
            | Self::OfferWithdrawn { call, .. }
            | Self::AnswerInAck { call, .. }
            | Self::OfferAnswered { call, .. }
            | Self::OfferRefused { call, .. }
            | Self::Dtmf { call, .. }
            | Self::DtmfSent { call, .. }
            | Self::ReferAnswered { call, .. }
            | Self::ReferProgress { call, .. }
            | Self::ReferRefused { call } => Some(*call),
            Self::Registered { .. }
            | Self::RegistrationFailed { .. }
            | Self::Unregistered { .. }
            | Self::OptionsAnswered { .. }
            | Self::OptionsTimedOut { .. } => None,
        }
    }
}

/// How much a user agent remembers; all zero when everything is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, answered or not.
    pub calls: usize,
    /// Dialogs that requests of peers can reach.
    pub dialogs: usize,
    /// Transactions, finished ones that still absorb repeats included.
    pub transactions: usize,
    /// Timers set.
    pub timers: usize,
    /// Accounts kept registered.
    pub registrations: usize,
    /// Everything else kept for a call: acknowledgements that may have to be repeated, offers not answered.
    pub leftovers: usize,
}

impl Counts {
    /// Nothing is remembered.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}
