//! What goes into and comes out of the verbs about threads. Plain values; the verbs are in [`crate::Store`] and
//! [`crate::Reader`].

use callwright_domain::{AccountId, CallId, Moment, ThreadId};

/// Whose thread, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadKey {
    /// The account.
    pub account: AccountId,
    /// The thread, by the account's own id.
    pub thread: ThreadId,
}

/// The part of a thread that is looked at, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadSpan {
    /// Nothing before this.
    pub from: Moment,
    /// Nothing after this.
    pub until: Moment,
    /// What comes first.
    pub first: First,
}

/// What comes first in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// What happened last.
    Newest,
    /// What happened first.
    Oldest,
}

/// Names one event of a thread, and its place among the others: time, then call, then place in the call's journal.
pub type ThreadPlace = (Moment, CallId, u64);
