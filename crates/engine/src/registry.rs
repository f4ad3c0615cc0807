//! Who is live on this node: where orders to a call go. Never knows what a call is doing.

use crate::calls::HangUp;
use crate::live::Order;
use callwright_conversation::Unheard;
use callwright_domain::{AccountId, CallId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// An order on its way to a call.
#[derive(Debug)]
pub(crate) struct Ordered {
    /// What is ordered.
    pub(crate) order: Order,
    /// Told whether it is carried out. Nobody waits for that any more when it is closed.
    pub(crate) answer: oneshot::Sender<Result<(), Unheard>>,
}

impl Ordered {
    /// An order that nobody waits for.
    pub(crate) fn unheeded(order: Order) -> Self {
        Self { order, answer: oneshot::channel().0 }
    }

    /// Tells whoever gave it the verdict, and gives the order back when it is to be carried out. One that is judged is not when
    /// nobody waits any more: they have been told that the call is busy, and may have given it again.
    pub(crate) fn settle(self, verdict: Result<(), Unheard>) -> Option<Order> {
        let told = self.answer.send(verdict).is_ok();
        (!self.order.is_judged() || (told && verdict.is_ok())).then_some(self.order)
    }
}

/// Where the call's word comes about an order that it has; dropped without one, it has ended or is not answered.
pub(crate) type Word = oneshot::Receiver<Result<(), Unheard>>;

/// What became of an order.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The call has it.
    Yes(Word),
    /// The call has too many already.
    Full,
    /// The agent neither speaks nor answers any more: why.
    Mute(Mute),
    /// No such call is live here; the order comes back.
    NotLive(Order),
}

/// Why the agent of a live call cannot be ordered to speak or to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mute {
    /// Somebody has ended the call, or it has ended: what is being said is its last.
    Leaving,
    /// The callee talks with somebody else.
    Replaced,
}

#[derive(Debug)]
struct Live {
    account: AccountId,
    orders: mpsc::Sender<Ordered>,
    mute: Option<Mute>,
}

/// The live calls of this node. Locked for a map look-up only, never across a wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    live: Arc<Mutex<BTreeMap<CallId, Live>>>,
}

impl Registry {
    /// Enters a call; it leaves when the returned place is dropped.
    pub(crate) fn enter(&self, (account, call): (AccountId, CallId), orders: mpsc::Sender<Ordered>) -> Place {
        self.lock().insert(call, Live { account, orders, mute: None });
        Place { registry: self.clone(), call }
    }

    /// Hands an order to a live call. Whose call it is was looked at.
    pub(crate) fn send(&self, call: CallId, order: Order) -> Sent {
        match self.lock().get_mut(&call) {
            Some(live) => live.take(order),
            None => Sent::NotLive(order),
        }
    }

    /// Hands an order to a live call of this account; one of another is not told apart from none.
    pub(crate) fn send_of(&self, account: &AccountId, call: CallId, order: Order) -> Sent {
        match self.lock().get_mut(&call) {
            Some(live) if live.account == *account => live.take(order),
            Some(_) | None => Sent::NotLive(order),
        }
    }

    /// The callee talks with somebody else from now on.
    pub(crate) fn replaced(&self, call: CallId) {
        self.mute(call, Mute::Replaced);
    }

    /// The call is over: it is live until that is written down.
    pub(crate) fn over(&self, call: CallId) {
        self.mute(call, Mute::Leaving);
    }

    fn mute(&self, call: CallId, why: Mute) {
        if let Some(live) = self.lock().get_mut(&call) {
            live.mute = Some(why);
        }
    }

    /// Every live call's order box, for the end of a drain.
    pub(crate) fn everyone(&self) -> Vec<mpsc::Sender<Ordered>> {
        self.lock().values().map(|live| live.orders.clone()).collect()
    }

    /// How many calls are live.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    // A panic while the map was locked cannot leave it half-changed: each critical section is one map operation.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CallId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Takes an order, unless nobody would hear what it wants.
    fn take(&mut self, order: Order) -> Sent {
        let heard = match self.mute {
            None => true,
            Some(Mute::Replaced) => !matches!(order, Order::Say(_) | Order::Hear(_)),
            Some(Mute::Leaving) => !order.is_judged(),
        };
        if let Some(mute) = self.mute.filter(|_| !heard) {
            return Sent::Mute(mute);
        }
        let leaves = matches!(order, Order::HangUp(HangUp::AfterSentence));
        let (answer, word) = oneshot::channel();
        match self.orders.try_send(Ordered { order, answer }) {
            Ok(()) => {
                if leaves {
                    self.mute.get_or_insert(Mute::Leaving);
                }
                Sent::Yes(word)
            }
            Err(TrySendError::Full(_)) => Sent::Full,
            Err(TrySendError::Closed(ordered)) => Sent::NotLive(ordered.order),
        }
    }
}

/// A call's entry in the registry.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Registry,
    call: CallId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_carried_out_when_it_may_be_and_its_giver_hears_so() {
        let (account, call) = (AccountId::new("a").expect("an id"), CallId::from_entropy(7));
        let (registry, (sender, mut orders)) = (Registry::default(), mpsc::channel(4));
        let _place = registry.enter((account, call), sender);
        let mut give = |order: Order| match registry.send(call, order) {
            Sent::Yes(word) => (word, orders.try_recv().expect("it has come")),
            other => panic!("{other:?}"),
        };
        let question = || Order::Hear(String::from("hello").into());
        let (mut word, ordered) = give(question());
        assert!(ordered.settle(Ok(())).is_some());
        assert_eq!(word.try_recv(), Ok(Ok(())));
        let (mut word, ordered) = give(question());
        assert!(ordered.settle(Err(Unheard::LastWords)).is_none());
        assert_eq!(word.try_recv(), Ok(Err(Unheard::LastWords)));
        let (word, ordered) = give(question());
        drop(word);
        assert!(ordered.settle(Ok(())).is_none(), "its giver has been told that the call is busy");
        let (word, ordered) = give(Order::HangUp(HangUp::Now));
        drop(word);
        assert!(ordered.settle(Ok(())).is_some(), "nobody waits for the word about an end");
    }
}
