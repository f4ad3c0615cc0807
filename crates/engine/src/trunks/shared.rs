//! The turns and channels of one trunk that several nodes share: taken from the database one at a time, by the call that is
//! about to leave. Never hands out a turn or a channel by itself: without the database, each node goes by its own pace, and
//! nobody gets a channel.

use super::standing::TrunkKey;
use crate::clock::Clock;
use crate::limits::TURN_PATIENCE;
use crate::tasks::Tasks;
use callwright_domain::CallId;
use callwright_store::{Channel, Store, StoreError, Turns};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

/// Where the turns and channels of a trunk are taken.
pub(super) struct SharedTurns {
    store: Store,
    key: TrunkKey,
    clock: Clock,
    tasks: Tasks,
    /// How often a channel was asked for.
    holds: AtomicI64,
}

impl std::fmt::Debug for SharedTurns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTurns").field("key", &self.key).finish_non_exhaustive()
    }
}

impl SharedTurns {
    pub(super) const fn new(store: Store, key: TrunkKey, clock: Clock, tasks: Tasks) -> Self {
        Self { store, key, clock, tasks, holds: AtomicI64::new(0) }
    }

    /// The channel that a call is about to ask for.
    pub(super) fn channel(&self, call: CallId) -> Channel {
        let (account, trunk) = self.key.clone();
        Channel { account, trunk, call, hold: self.holds.fetch_add(1, Ordering::Relaxed) }
    }

    /// Takes it, of `most` that all nodes have together; `false`: all are taken.
    pub(super) async fn take(&self, channel: Channel, most: u32) -> Result<bool, StoreError> {
        self.store.take_channel(channel, most).await
    }

    /// Gives it back, soon; `then` is told when that is done.
    pub(super) fn give_back(&self, channel: Channel, then: impl FnOnce() + Send + 'static) {
        let store = self.store.clone();
        self.tasks.spawn(async move {
            let call = channel.call;
            match store.give_channel_back(channel).await {
                Ok(()) => then(),
                Err(error) => debug!(%call, %error, "a trunk's channel comes back with the end of its call"),
            }
        });
    }

    /// The next turn that no other node has; none: the database does not say.
    pub(super) async fn next(&self, apart: Duration) -> Option<Instant> {
        let (account, trunk) = self.key.clone();
        let asked = Instant::now();
        match timeout(TURN_PATIENCE, self.store.take_turn(account, Turns::Trunk(trunk), apart, self.clock.now())).await
        {
            // Reckoned from the question: not later than it is, by the time the answer took, so that no turn is wasted;
            // two turns of one node are kept apart by its own pace.
            Ok(Ok(wait)) => Some(asked + wait),
            Ok(Err(error)) => {
                warn!(trunk = %self.key.1, %error, "the nodes' common pace could not be asked for; this one keeps its own");
                None
            }
            Err(_) => {
                warn!(trunk = %self.key.1, "the nodes' common pace was not told in time; this one keeps its own");
                None
            }
        }
    }
}
