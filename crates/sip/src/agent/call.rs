//! What a user agent remembers of one call, by the stage it is in.
//!
//! Plain state; the rules are in the modules beside.

use std::time::Duration;

use crate::agent::{FlowId, OfferKey};
use crate::cause::HangupCause;
use crate::dialog::Dialog;
use crate::invite::{AckTiming, Body, OutboundInvite, Reached, TrunkRef};
use crate::message::{Reason, Request, Response};
use crate::session_timer::Agreement;
use crate::transaction::{Alarm, TransactionId, Way};

/// One call.
#[derive(Debug)]
pub(crate) enum Call {
    /// Ours, not answered.
    Dialing(Box<Dialing>),
    /// A peer's, not answered.
    Ringing(Box<Ringing>),
    /// Answered.
    Talking(Box<Talk>),
}

/// A call of ours before its answer.
#[derive(Debug)]
pub(crate) struct Dialing {
    pub(crate) trunk: TrunkRef,
    /// The transaction of the latest INVITE.
    pub(crate) invite: TransactionId,
    /// The offer, kept for a refresh by re-INVITE.
    pub(crate) offer: Option<Body>,
    pub(crate) ack: AckTiming,
    /// `Session-Expires` asked for, seconds, and whether a 422 already raised it.
    pub(crate) asked: Asked,
    /// One per fork, in the order of their first answers.
    pub(crate) early: Vec<Early>,
    pub(crate) reached: Reached,
    pub(crate) withdrawal: Withdrawal,
    pub(crate) ring: Option<Alarm>,
    pub(crate) patience: Option<Alarm>,
}

/// The session interval an INVITE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// None.
    Nothing,
    /// This many seconds.
    Seconds(u32),
    /// What a 422 demanded; another 422 ends the call.
    Raised(u32),
}

impl Asked {
    pub(crate) fn of(invite: &OutboundInvite) -> Self {
        invite
            .session_expires
            .map_or(Self::Nothing, |seconds| Self::Seconds(seconds.max(crate::session_timer::MIN_INTERVAL)))
    }
}

/// One early dialog of a call of ours.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) dialog: Dialog,
    /// The latest reliable provisional answer (RFC 3262 section 4).
    pub(crate) rseq: Option<u32>,
    /// The latest session description of this fork.
    pub(crate) body: Option<Body>,
}

/// Whether we want a call of ours to end before its answer, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawal {
    /// We do not.
    No,
    /// We do, but CANCEL must wait for a provisional answer (RFC 3261 section 9.1).
    Wanted(HangupCause),
    /// CANCEL is on its way.
    Sent(HangupCause),
}

impl Withdrawal {
    pub(crate) fn cause(self) -> Option<HangupCause> {
        match self {
            Self::No => None,
            Self::Wanted(cause) | Self::Sent(cause) => Some(cause),
        }
    }
}

/// A call of a peer before our answer.
#[derive(Debug)]
pub(crate) struct Ringing {
    /// The peer as a trunk without account.
    pub(crate) peer: TrunkRef,
    pub(crate) flow: Option<FlowId>,
    pub(crate) invite: TransactionId,
    /// Kept for the answers: the transaction drops its copy with the first final one.
    pub(crate) request: Box<Request>,
    pub(crate) dialog: Dialog,
    pub(crate) agreement: Option<Agreement>,
    /// The number of the latest reliable provisional answer.
    pub(crate) rseq: u32,
    /// The reliable provisional answer that waits for its PRACK.
    pub(crate) unpracked: Option<Unpracked>,
    /// What follows once it is acknowledged.
    pub(crate) queued: Option<Queued>,
}

/// A reliable provisional answer that is repeated until its PRACK (RFC 3262 section 3).
#[derive(Debug)]
pub(crate) struct Unpracked {
    pub(crate) response: Response,
    pub(crate) interval: Duration,
    pub(crate) repeat: Option<Alarm>,
    pub(crate) patience: Option<Alarm>,
}

/// What a call of a peer waits to be told after an unacknowledged provisional answer.
#[derive(Debug)]
pub(crate) enum Queued {
    /// Another provisional answer.
    Ring(u16, Option<Body>),
    /// The answer.
    Accept(Body),
}

/// An answered call.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) trunk: TrunkRef,
    pub(crate) flow: Option<FlowId>,
    pub(crate) dialog: Dialog,
    pub(crate) stage: Stage,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) refresh: Option<Alarm>,
    pub(crate) expiry: Option<Alarm>,
    /// A change of ours under way or waiting after a 491.
    pub(crate) ours: Ours,
    pub(crate) glare: Option<Alarm>,
    /// A change of the peer that waits for the application.
    pub(crate) theirs: Option<OfferKey>,
    /// Our 2xx to an INVITE or re-INVITE that waits for its ACK.
    pub(crate) unacked: Option<Unacked>,
    /// Our latest session description, for a refresh by re-INVITE.
    pub(crate) local_body: Option<Body>,
    pub(crate) updates: Updates,
    /// The INVITE of ours whose answer waits to be acknowledged.
    pub(crate) unsent_ack: Option<TransactionId>,
    pub(crate) referral: Referral,
}

/// Whether the peer was asked to call somebody else in our place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Referral {
    No,
    /// It was, and tells how that goes.
    UnderWay,
}

/// Whether both sides know that the call stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// We accepted a peer's call and wait for its ACK.
    Unconfirmed,
    /// As before, and BYE follows as soon as it may (RFC 3261 section 15).
    Leaving(Option<Reason>),
    /// It stands.
    Confirmed,
}

/// Whether the peer serves UPDATE (RFC 3311).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    Served,
    /// It told nothing about its methods (RFC 3261 section 20.5): worth a try, and silence is no proof of death.
    Untold,
    NotServed,
}

/// A change of the session that we ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// None.
    Nothing,
    /// A re-INVITE of the application.
    Offer(Body),
    /// A refresh of the session timer.
    Refresh,
}

/// Our 2xx that is repeated until its ACK (RFC 3261 section 13.3.1.4).
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(crate) cseq: u32,
    pub(crate) way: Way,
    pub(crate) bytes: Vec<u8>,
    pub(crate) holds: Holds,
    pub(crate) interval: Duration,
    pub(crate) repeat: Option<Alarm>,
    pub(crate) patience: Option<Alarm>,
}

/// What the session description in a 2xx of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The answer to the peer's offer.
    Answer,
    /// Our offer; the ACK brings the answer.
    Offer,
}

/// An ACK that is repeated with each repeated 2xx.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) remote_tag: Box<str>,
    pub(crate) way: Way,
    pub(crate) bytes: Vec<u8>,
    pub(crate) sending: Sending,
}

/// Whether an ACK may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// It was, and is with each repeated 2xx.
    Now,
    /// The application has not said so yet.
    Held,
}

/// A re-INVITE or UPDATE of a peer that waits for the application.
#[derive(Debug)]
pub(crate) struct PendingOffer {
    pub(crate) call: crate::invite::CallKey,
    pub(crate) transaction: TransactionId,
    pub(crate) holds: Holds,
    pub(crate) patience: Option<Alarm>,
}
