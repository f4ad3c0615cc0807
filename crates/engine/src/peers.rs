//! Orders for calls that another node runs. Hides who runs what and how often is tried; how an order travels is the
//! business of a [`Peers`]. Never sends an order on that came from another node, so no order can go round in circles.

use crate::calls::{HangUp, OrderError};
use crate::limits::{LEASE, LEASE_DOUBT, LEASE_GAP, PEER_PAUSE, PEER_TRIES};
use crate::live::Order;
use crate::node::Node;
use callwright_conversation::{Question, Saying};
use callwright_domain::{AccountId, AgentPatch, CallId, ChannelName, HangupCause, Transfer};
use callwright_store::{CallOwner, StoreError};
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{self, Instant};
use tracing::warn;

/// What may be asked of a call on another node.
#[derive(Debug, Clone, PartialEq)]
pub enum PeerOrder {
    /// End it.
    HangUp(HangUp),
    /// Speak or play something.
    Say(Saying),
    /// Take a text as if the callee had said it.
    Hear(Question),
    /// Hand the callee over.
    Transfer(Transfer),
    /// Change its agent.
    Change {
        /// What is changed.
        patch: Box<AgentPatch>,
    },
    /// Show a browser this text.
    Message {
        /// The text.
        text: String,
    },
    /// The user of a browser goes.
    Leave {
        /// Who; none: the call's own user.
        user: Option<ChannelName>,
    },
    /// A human agent may come.
    Await {
        /// Who.
        user: ChannelName,
    },
}

/// An order and the call it is for.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerMessage {
    /// Whose call.
    pub account: AccountId,
    /// Which call.
    pub call: CallId,
    /// What is asked.
    pub order: PeerOrder,
}

/// Why another node did not carry an order out.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It could not be reached, or did not answer in time.
    #[error("the node that runs the call cannot be reached: {0}")]
    Unreached(String),
    /// It was reached and says no.
    #[error(transparent)]
    Refused(#[from] OrderError),
}

/// The way to other nodes.
pub trait Peers: Send + Sync {
    /// Hands an order to the node at `url`, once.
    fn send<'a>(&'a self, url: &'a str, message: &'a PeerMessage) -> BoxFuture<'a, Result<(), PeerError>>;
}

/// For a node that is alone.
#[derive(Debug, Clone, Copy)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn send<'a>(&'a self, _url: &'a str, _message: &'a PeerMessage) -> BoxFuture<'a, Result<(), PeerError>> {
        Box::pin(async { Err(PeerError::Unreached("this node knows no others".to_owned())) })
    }
}

/// A node's standing among the others: the way to them, and how fresh its lease is.
pub(crate) struct Membership {
    peers: Arc<dyn Peers>,
    standing: Mutex<Standing>,
}

/// Since when and until when a lease is known to hold.
#[derive(Clone, Copy)]
struct Standing {
    /// Renewed without a gap since.
    since: Instant,
    /// Renewed last.
    renewed: Instant,
}

impl Membership {
    /// The standing of a node whose lease begins now.
    pub(crate) fn new(peers: Arc<dyn Peers>) -> Self {
        let now = Instant::now();
        Self { peers, standing: Mutex::new(Standing { since: now, renewed: now }) }
    }

    /// The lease was renewed; asked for at `asked`, and it began no earlier than that.
    pub(crate) fn renew(&self, asked: Instant) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.saturating_duration_since(standing.renewed) >= LEASE_GAP {
            standing.since = asked;
        }
        standing.renewed = asked;
    }

    fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody else can have taken what this node holds.
    pub(crate) fn is_fresh(&self) -> bool {
        self.standing().renewed.elapsed() < LEASE_DOUBT
    }

    /// Whether a lease that has run out by now is that of a dead node: while this one's was renewed without a gap, so could
    /// have been every other one's. After a gap all may have run out together, because the database was away.
    pub(crate) fn may_undertake(&self) -> bool {
        self.is_fresh() && self.standing().since.elapsed() >= LEASE
    }
}

/// Carries out an order for a call that is not live here.
pub(crate) async fn order(node: &Arc<Node>, message: PeerMessage) -> Result<(), OrderError> {
    for attempt in 1..=PEER_TRIES {
        let owner = node.reader.owner(&message.account, message.call).await?;
        let Some(owner) = owner.filter(|owner| owner.node != node.store.identity().node) else {
            match here(node, &message).await {
                // Another node has taken it since it was looked for: that one is told.
                Err(OrderError::Store(StoreError::NotOwner)) if attempt < PEER_TRIES => continue,
                outcome => return settled(outcome, attempt, &message.order),
            }
        };
        match node.membership.peers.send(&owner.advertise_url, &message).await {
            Ok(()) => return Ok(()),
            Err(PeerError::Refused(why)) => return settled(Err(why), attempt, &message.order),
            Err(PeerError::Unreached(why)) => {
                warn!(call = %message.call, node = owner.node, attempt, why, "the owner of a call cannot be reached");
                time::sleep(PEER_PAUSE).await;
            }
        }
        if attempt == PEER_TRIES {
            return unreached(node, message, &owner);
        }
    }
    Err(OrderError::Busy)
}

/// An earlier try may have been carried out though its answer did not come: a call that is over then is what was asked for.
fn settled(outcome: Result<(), OrderError>, attempt: u32, order: &PeerOrder) -> Result<(), OrderError> {
    match outcome {
        Err(OrderError::Ended(_)) if attempt > 1 && matches!(order, PeerOrder::HangUp(_)) => Ok(()),
        outcome => outcome,
    }
}

/// Nobody runs it, or we do and it is not live: it waits in the queue, or its task has just ended.
async fn here(node: &Arc<Node>, message: &PeerMessage) -> Result<(), OrderError> {
    match message.order {
        PeerOrder::HangUp(_) => Ok(node.end(&message.account, message.call, HangupCause::Cancelled).await?),
        PeerOrder::Say(_)
        | PeerOrder::Hear(_)
        | PeerOrder::Change { .. }
        | PeerOrder::Transfer(_)
        | PeerOrder::Message { .. }
        | PeerOrder::Leave { .. }
        | PeerOrder::Await { .. } => Err(OrderError::NotAnswered),
    }
}

/// A call whose owner is dead ends when the owner's lease has run out, and one whose owner lives ends when it is reached:
/// so "it is ending" is the truth, and somebody goes on saying so to the owner until one of the two has come.
fn unreached(node: &Arc<Node>, message: PeerMessage, owner: &CallOwner) -> Result<(), OrderError> {
    match message.order {
        PeerOrder::HangUp(_) => {
            let (node, url) = (Arc::clone(node), owner.advertise_url.clone());
            let tasks = node.tasks.clone();
            tasks.spawn(async move {
                let stop = node.tasks.stopping();
                let insisting = async {
                    while let Err(PeerError::Unreached(_)) = node.membership.peers.send(&url, &message).await {
                        time::sleep(PEER_PAUSE).await;
                    }
                };
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    outcome = time::timeout(crate::limits::PEER_INSISTENCE, insisting) => {
                        if outcome.is_err() {
                            warn!(call = %message.call, "the owner of a call could not be told to hang up");
                        }
                    }
                }
            });
            Ok(())
        }
        PeerOrder::Say(_)
        | PeerOrder::Hear(_)
        | PeerOrder::Change { .. }
        | PeerOrder::Transfer(_)
        | PeerOrder::Message { .. }
        | PeerOrder::Leave { .. }
        | PeerOrder::Await { .. } => Err(OrderError::Elsewhere),
    }
}

impl PeerOrder {
    /// The order as a message to a call; none: a call of another node is never told that this one goes down.
    pub(crate) fn of(order: &Order) -> Option<Self> {
        match order {
            Order::HangUp(how) => Some(Self::HangUp(*how)),
            Order::Say(saying) => Some(Self::Say(saying.clone())),
            Order::Hear(question) => Some(Self::Hear(question.clone())),
            Order::Transfer(transfer) => Some(Self::Transfer(transfer.clone())),
            Order::Change(patch) => Some(Self::Change { patch: patch.clone() }),
            Order::Message { text } => Some(Self::Message { text: text.clone() }),
            Order::Leave { user } => Some(Self::Leave { user: user.clone() }),
            Order::Await { user } => Some(Self::Await { user: user.clone() }),
            // An audio path does not travel.
            Order::TakeOver(_) | Order::Return(_) | Order::Shutdown => None,
        }
    }

    pub(crate) fn into_order(self) -> Order {
        match self {
            Self::HangUp(how) => Order::HangUp(how),
            Self::Say(saying) => Order::Say(saying),
            Self::Hear(question) => Order::Hear(question),
            Self::Transfer(transfer) => Order::Transfer(transfer),
            Self::Change { patch } => Order::Change(patch),
            Self::Message { text } => Order::Message { text },
            Self::Leave { user } => Order::Leave { user },
            Self::Await { user } => Order::Await { user },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_whose_answer_was_lost_is_none_that_came_too_late() {
        let over = || Err(OrderError::Ended(HangupCause::Cancelled));
        let (hang_up, leave) = (PeerOrder::HangUp(HangUp::Now), PeerOrder::Leave { user: None });
        assert!(matches!(settled(over(), 1, &hang_up), Err(OrderError::Ended(_))), "it was over before it was asked");
        assert!(settled(over(), 2, &hang_up).is_ok());
        assert!(matches!(settled(over(), 2, &leave), Err(OrderError::Ended(_))));
        assert!(matches!(settled(Err(OrderError::Busy), 2, &hang_up), Err(OrderError::Busy)));
    }
}
