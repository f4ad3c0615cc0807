//! Tells endpoints what happened: takes what is due from the store's outbox, has it rendered and sent through a
//! [`Notifier`], and writes down how that went. Never knows a dialect, a signature or HTTP.

mod news;
mod schedule;
#[cfg(test)]
pub(crate) mod tests;
mod verbs;
mod worker;

pub(crate) use worker::{Desk, Outbox};

use callwright_domain::{AccountId, Moment, Recorded, Topic, Webhook};
use callwright_store::CallView;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// One thing to tell to one endpoint.
#[derive(Debug, Clone)]
pub struct Telling {
    /// Who is told.
    pub webhook: Webhook,
    /// The message's id: the same in every repeat, for receivers that tell copies apart by it.
    pub id: String,
    /// Which try this is; the first is 1.
    pub attempt: u32,
    /// The time of this try.
    pub now: Moment,
    /// What is told.
    pub subject: Subject,
}

/// What is told.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Something happened to a call.
    Call(Box<CallNews>),
    /// Something happened that is not a call's.
    Account {
        /// Whose news it is.
        account: AccountId,
        /// What it is about.
        topic: Topic,
        /// When it happened.
        at: Moment,
        /// What there is to say.
        body: serde_json::Value,
    },
}

/// Something that happened to a call.
#[derive(Debug, Clone)]
pub struct CallNews {
    /// The call as it was right after the event: a repeat hours later says the same.
    pub view: CallView,
    /// The event.
    pub recorded: Recorded,
    /// The journal up to and with the event: when the call has ended, or always where the endpoint wants its history; else
    /// empty.
    pub journal: Vec<Recorded>,
}

/// How telling went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The endpoint has it.
    Heard {
        /// The HTTP status of its answer.
        status: u16,
    },
    /// There was nothing to tell: the endpoint's dialect has no word for this event.
    Nothing,
    /// The endpoint answered that it wants nothing any more (410).
    Gone,
    /// It does not have it; try again later.
    Failed(Failure),
}

/// Why an endpoint does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status of its answer, when it gave one.
    pub status: Option<u16>,
    /// How long it asked to be left alone.
    pub retry_after: Option<Duration>,
    /// For the owner of the endpoint; holds no secret and nothing of a private network.
    pub detail: String,
}

/// Renders, signs and sends. Implemented by `api` over the table of dialects.
pub trait Notifier: Send + Sync {
    /// Tells once. Ends within the sender's time limits; never panics because of what a receiver says.
    fn notify<'a>(&'a self, telling: &'a Telling) -> BoxFuture<'a, Told>;
}
