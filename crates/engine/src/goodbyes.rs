//! Goodbyes that are not answered. Signalling repeats them by itself; here it is written down that it does, before the end
//! of the call is, so that the next life says again what this one could not bring home. Never says goodbye itself.

use crate::limits::{BYE_GRACE, GOODBYE_AGAIN};
use crate::node::Node;
use callwright_domain::{AccountId, CallId};
use callwright_net::Farewell;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join, join_all};
use std::sync::Arc;
use tokio::time::timeout;
use tracing::{debug, warn};

/// Whether the far ends have heard.
type Said = Shared<BoxFuture<'static, bool>>;
/// What BYE needs, as text; none: it needs none.
type Dialog = Shared<BoxFuture<'static, Option<String>>>;

/// The far ends of one call: its own, and whom the server has called for it.
#[derive(Debug, Default)]
pub(crate) struct Farewells {
    pub(crate) own: Option<Farewell>,
    pub(crate) other: Option<Farewell>,
}

/// Waits a moment until the far ends of a call have heard the goodbye; of what is not heard by then it is on disk, when
/// this returns, that it is owed.
pub(crate) async fn settle(node: &Arc<Node>, (account, call): (&AccountId, CallId), farewells: Farewells) {
    let dialog = dialog(farewells.own.clone());
    let said = all(farewells);
    // The dialog is asked for now, so that it is known by the time that it is needed.
    if timeout(BYE_GRACE, join(said.clone(), dialog.clone())).await.is_ok_and(|(said, _)| said) {
        return;
    }
    let known = dialog.peek().cloned().flatten();
    while let Err(error) = node.store.owe_goodbye((account.clone(), call), known.clone()).await {
        warn!(%call, %error, "a goodbye that is not answered could not be written down");
        if timeout(GOODBYE_AGAIN, said.clone()).await.is_ok() {
            return;
        }
    }
    debug!(%call, "a goodbye is not answered yet");
    watch(node, (account.clone(), call), (said, dialog));
}

/// Strikes out what is owed already, once the far ends of a call have heard it or were told for as long as SIP has it.
pub(crate) fn repeat(node: &Arc<Node>, key: (AccountId, CallId), farewells: Farewells) {
    let dialog = dialog(farewells.own.clone());
    watch(node, key, (all(farewells), dialog));
}

/// What saying goodbye again needs, once one was said.
fn dialog(own: Option<Farewell>) -> Dialog {
    let dialog = async move { own?.dialog().await.ok()?.map(|dialog| dialog.to_string()) };
    dialog.boxed().shared()
}

/// Whether all were said; not, when signalling is gone before.
fn all(Farewells { own, other }: Farewells) -> Said {
    let said = join_all(own.into_iter().chain(other).map(Farewell::said));
    async move { said.await.into_iter().all(|said| said.is_ok()) }.boxed().shared()
}

fn watch(node: &Arc<Node>, key: (AccountId, CallId), (said, dialog): (Said, Dialog)) {
    let (stop, store) = (node.tasks.stopping(), node.store.clone());
    // Who was being called may answer while the call is taken back: only then there is a dialog.
    let is_new = dialog.peek().is_none();
    node.tasks.spawn(async move {
        let strike_out = async {
            if let Some(dialog) = dialog.await.filter(|_| is_new)
                && let Err(error) = store.owe_goodbye(key.clone(), Some(dialog)).await
            {
                debug!(call = %key.1, %error, "what a goodbye needs could not be written down");
            }
            if said.await
                && let Err(error) = store.goodbye_said(key.clone()).await
            {
                debug!(call = %key.1, %error, "a goodbye will be said once more");
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = strike_out => {}
        }
    });
}
