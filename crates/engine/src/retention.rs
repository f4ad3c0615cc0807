//! The sweeper: removes what has outlived its account's rules, goes on with erasures, and takes files away that nothing
//! names any more. Never decides how long something is kept. Each step is a transaction of its own and finds by itself
//! what is left, so that a crash in the middle, or another node beside it, changes nothing.

use crate::calls::{Calls, HangUp};
use crate::limits::{ERASED_CALLS, SWEEP_BATCH, SWEEP_ROUNDS};
use crate::node::Node;
use callwright_domain::AccountId;
use callwright_store::{BlobError, Erasure, StoreError};
use futures_util::future::join_all;
use std::sync::Arc;
use tracing::{info, warn};

/// One round of the sweeper.
pub(crate) async fn sweep(node: Arc<Node>) {
    if let Err(error) = round(&node).await {
        warn!(%error, "what is not to be kept could not all be removed; trying again");
    }
}

async fn round(node: &Arc<Node>) -> Result<(), StoreError> {
    for _ in 0..SWEEP_ROUNDS {
        let swept = node.store.sweep(node.clock.now(), SWEEP_BATCH).await?;
        if swept.recordings + swept.transcripts + swept.records > 0 {
            info!(swept.recordings, swept.transcripts, swept.records, "removed what was kept long enough");
        }
        if !swept.more {
            break;
        }
    }
    for (account, id) in node.reader.open_erasures().await? {
        erase(node, &account, &id).await?;
    }
    for _ in 0..SWEEP_ROUNDS {
        if remove_files(node).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Goes on with an erasure as far as that is possible now; none: there is no such erasure.
pub(crate) async fn erase(node: &Arc<Node>, account: &AccountId, id: &str) -> Result<Option<Erasure>, StoreError> {
    take_back(node, account, id).await?;
    let mut before = None;
    for _ in 0..SWEEP_ROUNDS {
        let now = node.clock.now();
        let erasure = node.store.erase_some(account.clone(), id.to_owned(), SWEEP_BATCH, now).await?;
        let removed = remove_files(node).await?;
        let tally = erasure.as_ref().map(|erasure| erasure.tally);
        let finished = erasure.as_ref().is_none_or(|erasure| erasure.finished.is_some());
        // Nothing more to be done before a call ends or another node has removed a file.
        if finished || removed == 0 && tally == before {
            return Ok(erasure);
        }
        before = tally;
    }
    node.reader.erasure(account, id).await
}

/// Ends the calls to the number that are not dialled yet, however many.
async fn take_back(node: &Arc<Node>, account: &AccountId, id: &str) -> Result<(), StoreError> {
    let (calls, mut after) = (Calls::new(Arc::clone(node)), None);
    loop {
        let waiting = node.reader.queued_for_erasure(account, id, after, ERASED_CALLS).await?;
        let Some(last) = waiting.last() else { return Ok(()) };
        after = Some(*last);
        let ends = waiting.into_iter().map(|call| {
            let calls = &calls;
            async move {
                // One that is being dialled by now is erased after its end like any other.
                if let Err(error) = calls.hang_up(account, call, HangUp::Now).await {
                    info!(%call, %error, "a call to an erased number could not be taken back");
                }
            }
        });
        join_all(ends).await;
    }
}

/// Removes the files of this node that nothing names any more; how many.
async fn remove_files(node: &Node) -> Result<usize, StoreError> {
    let due = node.reader.removals(&node.store.identity().node, SWEEP_BATCH).await?;
    let mut gone = Vec::with_capacity(due.len());
    let stop = node.tasks.stopping();
    for removal in due {
        let removed = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            removed = node.recordings.remove(&removal.name) => removed,
        };
        match removed {
            Ok(()) => gone.push(removal),
            Err(error) => {
                warn!(name = %removal.name, %error, "a recording could not be removed; trying again");
                // A store that is away would be waited for again with each of them.
                if matches!(error, BlobError::Away { .. } | BlobError::Denied) {
                    break;
                }
            }
        }
    }
    let count = gone.len();
    if count > 0 {
        node.store.removed(gone).await?;
    }
    Ok(count)
}
