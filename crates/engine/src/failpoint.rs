//! Named places in the life of a call between which a crash makes a difference: before and after each commit, each message
//! to the far end, each telling. A simulation stops the node dead at any of them. In the server nothing is armed, and
//! passing one is a look at an empty option. Never changes what a node does.

use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// A place where a simulated node may be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failpoint {
    /// A call is stored; its requester has not heard so.
    Accepted,
    /// Due calls are claimed; none is started.
    Claimed,
    /// A call may be dialled; nothing says that it will be.
    Permitted,
    /// The intent to dial is not stored yet.
    IntentDue,
    /// The intent is stored; no INVITE has left.
    IntentStored,
    /// The INVITE has left.
    Invited,
    /// The far end rings; nothing is noted.
    Rung,
    /// The far end has answered; nothing is noted.
    Answered,
    /// The answer is on its way into the journal.
    AnswerNoted,
    /// The far end was told goodbye, or told us; the end is not stored.
    EndDue,
    /// The end is stored.
    EndStored,
    /// A message is claimed from the outbox and not told.
    TellingDue,
    /// A message was told; nothing says so.
    TellingDone,
    /// After a restart: the far end of an interrupted call was told goodbye; its end is not stored.
    GhostDismissed,
}

impl Failpoint {
    /// All of them, in the order of a call's life.
    pub const ALL: [Self; 14] = [
        Self::Accepted,
        Self::Claimed,
        Self::Permitted,
        Self::IntentDue,
        Self::IntentStored,
        Self::Invited,
        Self::Rung,
        Self::Answered,
        Self::AnswerNoted,
        Self::EndDue,
        Self::EndStored,
        Self::TellingDue,
        Self::TellingDone,
        Self::GhostDismissed,
    ];
}

type Armed = Arc<dyn Fn(Failpoint) -> BoxFuture<'static, ()> + Send + Sync>;

/// What happens at failpoints: nothing, outside simulations.
#[derive(Clone, Default)]
pub struct Failpoints(Option<Armed>);

impl Failpoints {
    /// At each failpoint the node waits for what `armed` gives: for ever, if it is to die there.
    pub fn armed(armed: impl Fn(Failpoint) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(armed)))
    }

    /// Passes a failpoint.
    pub(crate) async fn reach(&self, point: Failpoint) {
        if let Some(armed) = &self.0 {
            armed(point).await;
        }
    }
}

impl fmt::Debug for Failpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Failpoints(armed)" } else { "Failpoints" })
    }
}
