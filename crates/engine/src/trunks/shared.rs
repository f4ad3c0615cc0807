//! The turns of one trunk that several nodes share: taken from the database one at a time, by the call that is about to
//! leave. Never hands out a turn by itself: without the database, each node goes by its own pace.

use super::standing::TrunkKey;
use crate::clock::Clock;
use crate::limits::TURN_PATIENCE;
use callwright_store::Store;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::warn;

/// Where the turns of a trunk are taken.
pub(super) struct SharedTurns {
    store: Store,
    key: TrunkKey,
    clock: Clock,
}

impl std::fmt::Debug for SharedTurns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTurns").field("key", &self.key).finish_non_exhaustive()
    }
}

impl SharedTurns {
    pub(super) const fn new(store: Store, key: TrunkKey, clock: Clock) -> Self {
        Self { store, key, clock }
    }

    /// The next turn that no other node has; none: the database does not say.
    pub(super) async fn next(&self, apart: Duration) -> Option<Instant> {
        let (account, trunk) = self.key.clone();
        let asked = Instant::now();
        match timeout(TURN_PATIENCE, self.store.take_turn(account, trunk, apart, self.clock.now())).await {
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
