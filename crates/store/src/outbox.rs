//! What goes into and comes out of the verbs about endpoints and the messages to them. Plain values; the verbs are in
//! [`crate::Store`] and [`crate::Reader`].

use crate::CallView;
use callwright_domain::webhook::Status;
use callwright_domain::{AccountId, CallId, Moment, Recorded, Topic, Webhook, WebhookId};
use std::time::Duration;

/// A message that this node may tell now.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Whose endpoint.
    pub account: AccountId,
    /// The endpoint.
    pub webhook: WebhookId,
    /// The message's id: the same in every repeat.
    pub message: String,
    /// What it is about.
    pub topic: Topic,
    /// When that happened.
    pub at: Moment,
    /// What it tells.
    pub content: Content,
    /// When it was put into the outbox.
    pub queued: Moment,
    /// Tries that were made since then, or since it was last replayed.
    pub tries: u32,
}

/// What a message tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An event of a call, which is in the journal.
    Event {
        /// The call.
        call: CallId,
        /// The event's place in the call's journal.
        seq: u64,
    },
    /// Something else, kept with the message.
    Announcement(serde_json::Value),
}

/// How one try went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Moment,
    /// How long it took.
    pub took: Duration,
    /// The HTTP status of the answer, when there was one.
    pub status: Option<u16>,
    /// What went wrong; empty: nothing.
    pub detail: String,
}

/// What becomes of a message after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The endpoint has it.
    Heard,
    /// There was nothing to tell.
    Nothing,
    /// It is tried again then.
    Later(Moment),
    /// It is not tried again, unless somebody replays it.
    GivenUp,
    /// The endpoint wants nothing any more: it is switched off.
    Gone,
}

impl Fate {
    /// The fate's word, for metrics and lists.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Heard => "delivered",
            Self::Nothing => "skipped",
            Self::Later(_) => "retried",
            Self::GivenUp | Self::Gone => "failed",
        }
    }
}

/// How a try went and what follows from it, for [`crate::Store::settle_outbox`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// How it went.
    pub attempt: Attempt,
    /// What becomes of the message.
    pub fate: Fate,
    /// Until when we are believed to be telling the next message, if there is one.
    pub lease: Moment,
    /// An endpoint that nothing has reached since before this is switched off.
    pub failing_before: Moment,
}

/// What [`crate::Store::settle_outbox`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The next message of the same call to the same endpoint; it is ours to tell.
    pub next: Option<Pending>,
    /// The endpoint was switched off, for this reason.
    pub disabled: Option<Status>,
}

/// What a message about a call is made from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToTell {
    /// Who is told; none: it is gone.
    pub webhook: Option<Webhook>,
    /// The call and the event; none: one of them is gone.
    pub happened: Option<(CallView, Recorded)>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is told when it is due, or waits for an earlier one.
    Pending,
    /// The endpoint has it.
    Delivered,
    /// The endpoint's dialect has no word for it, or what it tells of exists no more.
    Skipped,
    /// It was given up.
    Failed,
}

impl Standing {
    /// Every standing, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Skipped, Self::Failed];

    /// The word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// The standing of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.word() == word)
    }
}

/// A message as readers see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The message's id.
    pub message: String,
    /// What it is about.
    pub topic: Topic,
    /// The event that it tells; none: an announcement.
    pub event: Option<(CallId, u64)>,
    /// When that happened.
    pub at: Moment,
    /// When it was put into the outbox.
    pub queued: Moment,
    /// Where it stands.
    pub standing: Standing,
    /// When it is tried next; none: it waits for an earlier one, or is settled.
    pub due: Option<Moment>,
    /// All tries that were made.
    pub tries: u32,
    /// When it was settled.
    pub settled: Option<Moment>,
}

/// Which messages are told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replay {
    /// This one, whether it was heard or not.
    One(String),
    /// Every one that was given up and was put into the outbox at or after this.
    FailedSince(Moment),
}
