//! Takes calls that are due from the queue, by lease, and starts a [`LiveCall`] for each while the node has room.
//! Never waits for a call: a live call is a task of its own.

use crate::limits::{CLAIM_BATCH, CLAIM_EVERY};
use crate::live::LiveCall;
use crate::node::Node;
use callwright_domain::{AccountId, CallId, CallPlan, HangupCause};
use std::sync::Arc;
use tokio::time;
use tracing::{Instrument, error, info_span};

/// The loop that claims and starts.
pub(crate) struct Dialer {
    node: Arc<Node>,
}

impl Dialer {
    /// A dialer of this node.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Claims until the node stops.
    pub(crate) async fn run(self) {
        let stop = self.node.tasks.stopping();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.node.bell.notified() => {}
                () = time::sleep(CLAIM_EVERY) => {}
            }
            if !self.node.is_draining() {
                self.claim().await;
            }
        }
    }

    async fn claim(&self) {
        let live = self.node.registry.len();
        let free = usize::try_from(self.node.policy.max_calls).unwrap_or(usize::MAX).saturating_sub(live);
        let batch = u32::try_from(free.min(CLAIM_BATCH)).unwrap_or(0);
        if batch == 0 {
            return;
        }
        let now = self.node.clock.now();
        match self.node.store.claim_due(now, batch).await {
            Ok(plans) => {
                if plans.len() == CLAIM_BATCH {
                    // More may wait: look again at once.
                    self.node.bell.notify_one();
                }
                for plan in plans {
                    self.start(plan);
                }
            }
            Err(error) => error!(%error, "due calls could not be claimed"),
        }
    }

    fn start(&self, plan: CallPlan) {
        let node = Arc::clone(&self.node);
        let call = plan.id;
        let account = plan.account.clone();
        let expired = plan.deadline.is_some_and(|deadline| deadline < node.clock.now());
        let span = info_span!("call", id = %call);
        let after = Arc::clone(&node);
        let tasks = node.tasks.clone();
        let (orders, place) = LiveCall::enter(&node, call);
        let work = async move {
            let _place = place;
            if expired {
                end(&node, &plan.account, call, HangupCause::Expired).await;
            } else {
                LiveCall::run(Arc::clone(&node), plan, orders).await;
            }
        };
        tasks.spawn_guarded(work.instrument(span), move |said| async move {
            error!(%call, panic = said, "a call's task panicked; the call is ended");
            end(&after, &account, call, HangupCause::InternalError).await;
        });
    }
}

async fn end(node: &Node, account: &AccountId, call: CallId, cause: HangupCause) {
    if let Err(error) = node.end(account, call, cause).await {
        error!(%call, %error, "the end of a call could not be written");
    }
}
