//! What a crash left behind. Calls that were queued will be dialled by the dialer; calls that were being dialled or were
//! up are ended here and never dialled again, because nobody can know whether the callee was rung.

use crate::failpoint::Failpoint;
use crate::goodbyes::{self, Farewells};
use crate::node::Node;
use crate::trunks::TrunkError;
use callwright_domain::{CallEvent, HangupCause, TrunkId};
use callwright_net::{Farewell, SipGone};
use callwright_sip::{InviteError, SnapshotError};
use callwright_store::{Interrupted, StoreError};
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use tracing::{error, info, warn};

/// Calls that are ended at the same time: their ends go to the disk in groups. One after another, a node that died with
/// three hundred calls would keep their callees, and whoever waits for it to be ready, for seconds.
const AT_ONCE: usize = 32;

/// Ends every call that a dead owner was dialling or talking on: BYE where the far end may still be up, then the record.
/// What such an owner had said to a far end that did not answer is said again.
pub(crate) async fn end_interrupted(node: &Arc<Node>) -> Result<(), StoreError> {
    end(node, node.store.interrupted_calls(node.clock.now()).await?).await
}

/// The same at the start of a life. Of several nodes it ends the calls of its own earlier lives alone: whether the others
/// are dead shows when they have had the time to renew their leases.
pub(crate) async fn end_left_behind(node: &Arc<Node>) -> Result<(), StoreError> {
    if !node.store.is_shared() {
        return end_interrupted(node).await;
    }
    end(node, node.store.left_behind(node.clock.now()).await?).await
}

async fn end(node: &Arc<Node>, interrupted: Vec<Interrupted>) -> Result<(), StoreError> {
    if !interrupted.is_empty() {
        info!(calls = interrupted.len(), "ending calls whose owner is dead");
    }
    let ends = stream::iter(interrupted).map(|call| end_one(node, call)).buffer_unordered(AT_ONCE);
    // Each is handed out once per life: one that cannot be written must not keep the others from their end.
    let failed = ends.fold(None, async |failed, ended| ended.err().or(failed)).await;
    failed.map_or(Ok(()), Err)
}

async fn end_one(node: &Arc<Node>, call: Interrupted) -> Result<(), StoreError> {
    let farewells = say_goodbye(node, &call).await.unwrap_or_else(|error| {
        warn!(call = %call.plan.id, %error, "the far end could not be told");
        Farewells::default()
    });
    node.tasks.reach(Failpoint::GhostDismissed).await;
    if call.state.is_ended() {
        goodbyes::repeat(node, (call.plan.account, call.plan.id), farewells);
        return Ok(());
    }
    goodbyes::settle(node, (&call.plan.account, call.plan.id), farewells).await;
    let ended = node.end(&call.plan.account, call.plan.id, HangupCause::ServerRestarted).await;
    if let Err(error) = &ended {
        error!(call = %call.plan.id, %error, "the end of an interrupted call could not be written");
    }
    ended
}

/// Why the far end of an interrupted call could not be told.
#[derive(Debug, thiserror::Error)]
enum Unsaid {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Trunk(#[from] TrunkError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Gone(#[from] SipGone),
    #[error(transparent)]
    Invite(#[from] InviteError),
}

async fn say_goodbye(node: &Arc<Node>, call: &Interrupted) -> Result<Farewells, Unsaid> {
    let other = say_goodbye_to_other(node, call).await.unwrap_or_else(|error| {
        warn!(call = %call.plan.id, %error, "whom the callee was handed over to could not be told");
        None
    });
    let own = say_goodbye_to_callee(node, call).await?;
    Ok(Farewells { own, other })
}

async fn say_goodbye_to_callee(node: &Arc<Node>, call: &Interrupted) -> Result<Option<Farewell>, Unsaid> {
    // An answered call gets BYE; one that was still being dialled gets CANCEL.
    let dialling = call.intent.as_ref().map(|intent| intent.dialog.as_str());
    let Some(dialog) = call.dialog.as_deref().or(dialling).filter(|dialog| !dialog.is_empty()) else { return Ok(None) };
    let own = call.plan.telephone().map(|telephone| &telephone.trunk);
    let Some(trunk) = call.intent.as_ref().and_then(|intent| intent.trunk.as_ref()).or(own) else { return Ok(None) };
    end_stale(node, call, (trunk, dialog)).await.map(Some)
}

/// The leg to whom the callee was being handed over, when the server had called there itself.
async fn say_goodbye_to_other(node: &Arc<Node>, call: &Interrupted) -> Result<Option<Farewell>, Unsaid> {
    let journal = node.reader.journal(&call.plan.account, call.plan.id, 0, u32::MAX).await?;
    let mut other: Option<(TrunkId, String)> = None;
    for recorded in journal {
        match recorded.event {
            CallEvent::TransferDialing { intent } => other = intent.trunk.map(|trunk| (trunk, intent.dialog)),
            CallEvent::TransferAnswered { dialog } => other = other.map(|(trunk, _)| (trunk, dialog)),
            CallEvent::TransferEnded { .. } => other = None,
            _ => {}
        }
    }
    match &other {
        Some((trunk, dialog)) if !dialog.is_empty() => end_stale(node, call, (trunk, dialog)).await.map(Some),
        _ => Ok(None),
    }
}

/// Dropping what signalling returns does not stop the ending.
async fn end_stale(
    node: &Arc<Node>,
    call: &Interrupted,
    (trunk, dialog): (&TrunkId, &str),
) -> Result<Farewell, Unsaid> {
    let trunk = node.trunks.find(&call.plan.account, trunk).await?;
    Ok(node.sip.end_stale(dialog.parse()?, trunk.route).await??.farewell())
}
