//! Goodbyes that are not answered. Signalling repeats them by itself; here it is written down that it does, before the end
//! of the call is, so that the next life says again what this one could not bring home. Never says goodbye itself.

use crate::limits::{BYE_GRACE, GOODBYE_AGAIN};
use crate::node::Node;
use callwright_domain::{AccountId, CallId};
use callwright_net::Farewell;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join_all};
use std::sync::Arc;
use tokio::time::timeout;
use tracing::{debug, warn};

/// The far ends of one call: its own, and whom the server has called for it.
#[derive(Debug, Default)]
pub(crate) struct Farewells {
    pub(crate) own: Option<Farewell>,
    pub(crate) other: Option<Farewell>,
}

/// Waits a moment until the far ends of a call have heard the goodbye; of what is not heard by then it is on disk, when
/// this returns, that it is owed.
pub(crate) async fn settle(node: &Arc<Node>, (account, call): (&AccountId, CallId), farewells: Farewells) {
    let own = farewells.own.clone();
    let said = all(farewells);
    if timeout(BYE_GRACE, said.clone()).await == Ok(true) {
        return;
    }
    let dialog = match own {
        // Signalling is gone: what the events say of the dialog must do.
        Some(own) => own.dialog().await.ok().flatten().map(|dialog| dialog.to_string()),
        None => None,
    };
    while let Err(error) = node.store.owe_goodbye((account.clone(), call), dialog.clone()).await {
        warn!(%call, %error, "a goodbye that is not answered could not be written down");
        if timeout(GOODBYE_AGAIN, said.clone()).await.is_ok() {
            return;
        }
    }
    debug!(%call, "a goodbye is not answered yet");
    watch(node, (account.clone(), call), said);
}

/// Strikes out what was owed, once the far ends of a call have heard it or were told for as long as SIP has it.
pub(crate) fn repeat(node: &Arc<Node>, key: (AccountId, CallId), farewells: Farewells) {
    watch(node, key, all(farewells));
}

/// Whether all were said; not, when signalling is gone before.
fn all(Farewells { own, other }: Farewells) -> Shared<BoxFuture<'static, bool>> {
    let said = join_all(own.into_iter().chain(other).map(Farewell::said));
    async move { said.await.into_iter().all(|said| said.is_ok()) }.boxed().shared()
}

fn watch(node: &Arc<Node>, key: (AccountId, CallId), said: Shared<BoxFuture<'static, bool>>) {
    let (stop, store) = (node.tasks.stopping(), node.store.clone());
    node.tasks.spawn(async move {
        let said = tokio::select! {
            biased;
            () = stop.cancelled() => false,
            said = said => said,
        };
        if said && let Err(error) = store.goodbye_said(key.clone()).await {
            debug!(call = %key.1, %error, "a goodbye will be said once more");
        }
    });
}
