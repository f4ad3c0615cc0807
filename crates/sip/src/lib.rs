//! A SIP user agent without sockets: messages, digest authentication, transactions, dialogs.
//!
//! Everything here is a value: octets, times and randomness come in as arguments, messages and events go out. The crate
//! opens nothing, waits for nothing and asks no clock, and it does not know what the bodies mean that it carries.

pub mod agent;
pub mod auth;
pub mod cause;
mod dialog;
pub mod invite;
pub mod message;
pub mod register;
mod session_timer;
mod transaction;

pub use agent::{
    Arrival, Counts, Ending, Event, FlowId, Inbound, Input, Invitation, Limits, LocalAddress, OfferKey, PingKey,
    Progress, RegistrationKey, Settings, Timers, Transmit, Transport, UserAgent,
};
pub use agent::{DialogSnapshot, SnapshotError};
pub use auth::Credentials;
pub use cause::{EndedBy, HangupCause, Retry};
pub use invite::{
    AckTiming, Answered, Body, CallKey, Calling, Confirmed, DialIntent, Failure, Incoming, InviteError, OutboundInvite,
    Reached, Reliability, Trunk, TrunkRef, normal_clearing,
};
pub use message::{Host, NameAddr, Reason, SipUri, StreamItem, StreamParser, Uri};
pub use register::Registration;
