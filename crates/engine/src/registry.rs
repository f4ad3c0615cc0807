//! Who is live on this node: where orders to a call go. Never knows what a call is doing.

use crate::live::Order;
use callwright_domain::{AccountId, CallId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// What became of an order.
#[derive(Debug)]
pub(crate) enum Sent {
    /// The call has it.
    Yes,
    /// The call has too many already.
    Full,
    /// No such call is live here; the order comes back.
    NotLive(Order),
}

type Live = BTreeMap<CallId, (AccountId, mpsc::Sender<Order>)>;

/// The live calls of this node. Locked for a map look-up only, never across a wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    live: Arc<Mutex<Live>>,
}

impl Registry {
    /// Enters a call; it leaves when the returned place is dropped.
    pub(crate) fn enter(&self, (account, call): (AccountId, CallId), orders: mpsc::Sender<Order>) -> Place {
        self.lock().insert(call, (account, orders));
        Place { registry: self.clone(), call }
    }

    /// Hands an order to a live call. Whose call it is was looked at.
    pub(crate) fn send(&self, call: CallId, order: Order) -> Sent {
        let Some((_, orders)) = self.lock().get(&call).cloned() else { return Sent::NotLive(order) };
        hand(&orders, order)
    }

    /// Hands an order to a live call of this account; one of another is not told apart from none.
    pub(crate) fn send_of(&self, account: &AccountId, call: CallId, order: Order) -> Sent {
        match self.lock().get(&call).cloned() {
            Some((owner, orders)) if owner == *account => hand(&orders, order),
            Some(_) | None => Sent::NotLive(order),
        }
    }

    /// Every live call's order box, for the end of a drain.
    pub(crate) fn everyone(&self) -> Vec<mpsc::Sender<Order>> {
        self.lock().values().map(|(_, orders)| orders.clone()).collect()
    }

    /// How many calls are live.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    // A panic while the map was locked cannot leave it half-changed: each critical section is one map operation.
    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand(orders: &mpsc::Sender<Order>, order: Order) -> Sent {
    match orders.try_send(order) {
        Ok(()) => Sent::Yes,
        Err(TrySendError::Full(_)) => Sent::Full,
        Err(TrySendError::Closed(order)) => Sent::NotLive(order),
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
