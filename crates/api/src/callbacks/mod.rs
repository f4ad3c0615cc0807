//! Callbacks: what an event becomes on the wire. A dialect renders a [`Callback`]; this module signs and sends it.
//! Never decides when to try again: the engine's outbox does.

mod guard;
mod sender;
pub(crate) mod signature;

pub use guard::{Blocked, Egress, Guard, Lookup, SystemLookup, Unreached};
pub use sender::{Callbacks, NoCallbacks};
pub(crate) use sender::{may_set, reason};

use crate::dialects::{self, Dialect};
use callwright_domain::Pii;
use callwright_domain::webhook::Endpoint;
use http::StatusCode;

/// Most requests that one event may become: the time that the engine gives a message is reckoned with it.
pub(crate) const MOST_PER_EVENT: usize = 4;

/// One request to a receiver, as a dialect renders it.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Where to: the endpoint's URL, with what the dialect adds to its query.
    pub url: Pii<String>,
    /// Headers beside the endpoint's own ones; `Content-Type` is among them.
    pub headers: Vec<(&'static str, Pii<String>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether an answer means that the receiver has it.
    pub heard: fn(StatusCode, &[u8]) -> bool,
}

/// What most receivers mean by yes.
pub fn any_success(status: StatusCode, _body: &[u8]) -> bool {
    status.is_success()
}

/// The dialect that renders for an endpoint.
fn dialect_of(endpoint: &Endpoint) -> Option<&'static dyn Dialect> {
    dialects::named(&endpoint.origin.dialect)
}
