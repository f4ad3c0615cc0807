//! Notices that the wall clock was set back, and has what was reckoned by it while it was ahead reckoned again. Never
//! touches what people named a time for: a call that is to be made at ten is made at ten.

use crate::limits::{CLOCK_EVERY, CLOCK_SLACK, OUTBOX_LEASE};
use crate::node::Node;
use callwright_domain::Moment;
use std::sync::Arc;
use tokio::time::{self, Instant};
use tracing::{info, warn};

/// Looks at the clock until the node stops. It may have been set back while the node was down, too.
pub(crate) async fn watch(node: Arc<Node>) {
    let stop = node.tasks.stopping();
    mend(&node).await;
    let mut last = (Instant::now(), node.clock.now());
    // What a clock that was set back said before. What lives on from then is stamped by its own time, which is ahead of the
    // wall until the wall has come there.
    let mut ahead: Option<Moment> = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = time::sleep(CLOCK_EVERY) => {}
        }
        let now = (Instant::now(), node.clock.now());
        let expected = last.1.after(now.0.duration_since(last.0));
        if now.1.after(CLOCK_SLACK) < expected {
            info!(seconds = expected.since(now.1).as_secs(), "the clock was set back");
            ahead = ahead.max(Some(expected));
        }
        ahead = ahead.filter(|then| now.1 < *then);
        if ahead.is_some() {
            mend(&node).await;
        }
        last = now;
    }
}

async fn mend(node: &Node) {
    let now = node.clock.now();
    if let Err(error) = node.store.mend_outbox(now, now.after(OUTBOX_LEASE)).await {
        warn!(%error, "what was planned by a clock that was ahead waits until then");
    }
}
