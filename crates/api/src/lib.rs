//! The HTTP API: the only crate that knows its JSON and the vendors' words.
//!
//! Hides listeners, dialects, signatures and live feeds. Never dials, never writes the store: it asks
//! [`callwright_engine::Calls`] and reads through its reader.

mod callbacks;
mod dialects;
mod doors;
mod fault;
mod feed;
mod fetch;
mod http;
mod join;
mod known;
mod links;
mod peers;
#[cfg(test)]
mod places;
mod rates;
mod sign;
mod socket;

pub use callbacks::{
    Blocked, Callback, Callbacks, Egress, Guard, Lookup, NoCallbacks, SystemLookup, Unreached, any_success,
};
pub use dialects::{Dialect, names as dialect_names, route_flaws};
pub use fault::Fault;
pub use http::{Api, Limits, Request, Response};
pub use peers::Cluster;
pub use rates::Rates;
