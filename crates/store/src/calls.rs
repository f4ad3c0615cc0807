//! What goes into and comes out of the verbs about calls. Plain values; the verbs are in [`crate::Store`] and
//! [`crate::Reader`].

use crate::sql::Query;
use crate::{Alias, StoreError};
use callwright_domain::agent::Switch;
use callwright_domain::call::Timeline;
use callwright_domain::{
    Absence, AccountId, AgentId, AgentPatch, CallEvent, CallId, CallPlan, CallState, DialIntent, HangupCause, Moment,
    PhoneNumber, Pii, Recorded, Refusal, Webhook,
};
use std::time::Duration;

/// A request to accept a call.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The call. Its id must be fresh.
    pub plan: CallPlan,
    /// The requester's promise not to mean two calls by one request.
    pub idempotency: Option<Idempotency>,
    /// An endpoint that is told of this call alone; made with the call.
    pub endpoint: Option<Webhook>,
    /// The vendor's id of the call, for a dialect that cannot make ours of it again; kept with the call.
    pub alias: Option<Alias>,
    /// Which places it may wait for, when its plan lets it wait.
    pub patience: Patience,
}

/// Which places a call that is being accepted may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// All of them.
    #[default]
    AnyPlace,
    /// A place among its agent's or its account's calls. When every caller number is busy, it is refused.
    NoCaller,
}

/// What is changed in a call that is not over.
#[derive(Debug, Clone, Default)]
pub struct Amendment {
    /// What is changed in its agent.
    pub patch: AgentPatch,
    /// The requester's own text from now on; none: as it was.
    pub user_data: Option<Pii<String>>,
    /// What its dialect wants back from now on; none: as it was.
    pub memo: Option<String>,
}

/// A key under which a request may be repeated. Kept for [`Idempotency::KEPT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// 1 to 255 characters, the requester's own; unique within the account.
    pub key: String,
    /// SHA-256 over the request's body: a repeat must be byte for byte the same.
    pub body_hash: [u8; 32],
}

impl Idempotency {
    /// How long a key is kept: at least 24 hours (BARS R3), also for a server whose clock jumps by a day between a request
    /// and its repeat.
    pub const KEPT: Duration = Duration::from_secs(48 * 60 * 60);
}

/// An accepted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// The call exists now; it is on disk.
    New,
    /// The same, and it waits for a place: this is the rule in its way.
    Waiting(Refusal),
    /// The same request was accepted before; nothing was written.
    Replayed {
        /// The call that exists since then.
        call: CallId,
        /// The rule that was in its way then.
        waits: Option<Refusal>,
    },
}

/// What came of a request, within the store.
pub(crate) enum Answer {
    Admitted(Admitted),
    /// With the row that says why, which is to stay if the transaction is undone.
    Refused(Refusal, Box<Query>),
}

/// Why a transaction of several requests was undone.
pub(crate) struct Undone {
    pub(crate) why: NoneAdmitted,
    /// The row that says why one was refused.
    pub(crate) verdict: Option<Box<Query>>,
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Self {
        Self { why: NoneAdmitted { place: None, error: error.into() }, verdict: None }
    }
}

/// Whether a call that is due may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Now. It holds its place among its caller number's calls.
    Granted,
    /// It waits again, and is nobody's until then.
    Later(Moment),
    /// Another of its numbers shows from now on: it has its place, is due and nobody's, and finds a trunk anew.
    Moved,
    /// Every place is taken: it waits in line for one, and is nobody's meanwhile.
    Waits(Refusal),
    /// The rules have come to forbid it: it is to be ended.
    Refused(Refusal),
    /// Its campaign may not dial it now: it is to be ended. A row that is to be called all the same has been given back.
    Withdrawn,
    /// It has ended meanwhile.
    Over,
}

/// Calls that wait for the same place, first come, first served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingLine {
    /// Whose calls.
    pub account: AccountId,
    /// Their caller number, as it is dialled.
    pub caller: String,
    /// All their numbers when they have several, as the store writes them.
    pub pool: Option<String>,
    /// Their agent.
    pub agent: String,
    /// What is in their way.
    pub rule: Refusal,
}

/// Who waits for a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Every line with somebody in it.
    pub lines: Vec<WaitingLine>,
    /// Calls whose patience is at its end, some at a time.
    pub late: Vec<(AccountId, CallId)>,
}

/// What became of a waiting call.
#[derive(Debug, Clone, PartialEq)]
pub enum Seat {
    /// It has its place and is due.
    Taken(CallId),
    /// It waits on: no place is free.
    Full,
    /// It waits for another place, or not any more.
    Moved,
    /// Nobody is in line.
    Nobody,
    /// It ended without being dialled.
    Ended {
        /// Whose call.
        account: AccountId,
        /// Which.
        call: CallId,
        /// Its last event.
        recorded: Box<Recorded>,
    },
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// The rule in its way.
    pub rule: Refusal,
    /// Until when it waits; none: for ever.
    pub until: Option<Moment>,
}

/// Why no call was accepted.
///
/// There is no "in flight" variant: the key, the count and the call are one transaction, so a repeat meets either
/// nothing or the finished acceptance.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AdmitError {
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key was used for a different request.
    #[error("this idempotency key was used for a different request")]
    IdempotencyMismatch,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why none of several requests was accepted.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct NoneAdmitted {
    /// The first that was not, by its place among them; none: the store could not.
    pub place: Option<usize>,
    /// Why.
    pub error: AdmitError,
}

/// An event on its way into a call's journal, with a number by which it is known again.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// Greater than the mark of every earlier event that the same life of the same node wrote to the call; above 0.
    pub mark: u64,
    /// When it happened.
    pub at: Moment,
    /// What happened.
    pub event: CallEvent,
}

/// How a call ended, for [`crate::Store::finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub cause: HangupCause,
    /// The SIP status that ended it, when one did.
    pub status: Option<u16>,
    /// The Q.850 cause that came with it (RFC 3326).
    pub q850: Option<u8>,
}

impl From<HangupCause> for Ending {
    fn from(cause: HangupCause) -> Self {
        Self { cause, status: None, q850: None }
    }
}

/// What [`crate::Store::finish`] did.
#[derive(Debug, Clone, PartialEq)]
pub enum Finished {
    /// The call ended with this event.
    Now(Recorded),
    /// It had ended before; nothing was written. The first cause stands.
    Before(HangupCause),
}

/// A call that was being dialled or up when its owner died: it is to be ended, never dialled again. Or one that has ended,
/// whose owner died before the far end was known to have heard the goodbye.
#[derive(Debug, Clone, PartialEq)]
pub struct Interrupted {
    /// The call.
    pub plan: CallPlan,
    /// Where it stood.
    pub state: CallState,
    /// The last INVITE's identifiers.
    pub intent: Option<DialIntent>,
    /// The dialog's text form, when it was answered: what BYE needs.
    pub dialog: Option<String>,
}

/// A call as readers see it: a projection of its journal.
#[derive(Debug, Clone, PartialEq)]
pub struct CallView {
    /// What it was to be.
    pub plan: CallPlan,
    /// Where it stands.
    pub state: CallState,
    /// When its stages were reached.
    pub timeline: Timeline,
    /// Why it ended, when it has.
    pub cause: Option<HangupCause>,
    /// The SIP status that ended it, when one did.
    pub status: Option<u16>,
    /// The Q.850 cause that came with it (RFC 3326).
    pub q850: Option<u8>,
    /// Times it was dialled.
    pub attempts: u32,
    /// Place of its latest event.
    pub last_seq: u64,
    /// Name of the recording kept, when one was and is still there.
    pub recording: Option<String>,
    /// Why there is no recording any more.
    pub recording_gone: Option<Absence>,
    /// Why it is not known any more what was said.
    pub words_gone: Option<Absence>,
    /// The place that it waits for, when it does.
    pub waits: Option<Waits>,
    /// The call that tries again, once this one has ended and is tried again.
    pub next: Option<CallId>,
}

/// The node that runs a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOwner {
    /// Its name.
    pub node: String,
    /// Where it is reached with orders; empty: nowhere.
    pub advertise_url: String,
}

/// The summary written once for each attempt that ended; what a bill is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The call.
    pub call: CallId,
    /// Number of the attempt; 0 when it was never dialled.
    pub attempt: u32,
    /// Why it ended.
    pub cause: HangupCause,
    /// The SIP status that ended it, when one did.
    pub status: Option<u16>,
    /// The Q.850 cause that came with it (RFC 3326).
    pub q850: Option<u8>,
    /// When its stages were reached.
    pub timeline: Timeline,
    /// From the answer to the end; zero when it was not answered.
    pub talked: Duration,
}

/// Where a call stands, without the cause of an end: what lists are filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Accepted, not yet dialled.
    Queued,
    /// The INVITE is out.
    Dialing,
    /// The callee's telephone rings.
    Ringing,
    /// Answered.
    Talking,
    /// A second leg is being brought in.
    Transferring,
    /// Over.
    Ended,
}

impl Stage {
    /// Every stage, in the order of a call's life.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Dialing, Self::Ringing, Self::Talking, Self::Transferring, Self::Ended];

    /// The stage's word, as stored and as lists are asked for.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Talking => "talking",
            Self::Transferring => "transferring",
            Self::Ended => "ended",
        }
    }

    /// The stage of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.word() == word)
    }
}

impl From<CallState> for Stage {
    fn from(state: CallState) -> Self {
        match state {
            CallState::Queued => Self::Queued,
            CallState::Dialing => Self::Dialing,
            CallState::Ringing => Self::Ringing,
            CallState::Talking => Self::Talking,
            CallState::Transferring => Self::Transferring,
            CallState::Ended(_) => Self::Ended,
        }
    }
}

/// Which calls a list shows. What is `None` does not narrow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    /// Only calls that stand here.
    pub state: Option<Stage>,
    /// Only calls of this agent.
    pub agent: Option<AgentId>,
    /// Only calls to this number.
    pub callee: Option<PhoneNumber>,
    /// Only calls from this number.
    pub caller: Option<PhoneNumber>,
    /// Only calls accepted at or after this.
    pub since: Option<Moment>,
    /// Only calls accepted before this.
    pub until: Option<Moment>,
    /// Only calls by telephone.
    pub telephone: Switch,
}

/// A piece of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The piece.
    pub items: Vec<T>,
    /// Give this back to read on; none: this was the last piece.
    pub next: Option<String>,
}

/// What [`crate::Store::purge`] removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Idempotency keys past their 24 hours.
    pub idempotency_keys: u64,
    /// Nonces past their time.
    pub nonces: u64,
}

/// Whose call an id names, for verbs that know the id only.
pub(crate) type Key = (AccountId, CallId);
