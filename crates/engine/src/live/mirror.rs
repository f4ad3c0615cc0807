//! What is said in a call, written into a conversation of messages beside it, when its plan names one. The call waits for
//! none of it, and a message that could not be written is missed by nobody but its reader.

use crate::node::Node;
use callwright_domain::chat::{Archive, Author, ChatMessage, MessageKind, UserId};
use callwright_domain::{CallEvent, CallPlan, Moment};
use std::sync::Arc;
use tracing::warn;

/// Writes what an event says, after what may not be written was taken out of it.
pub(super) fn show(node: &Arc<Node>, plan: &CallPlan, event: &CallEvent, at: Moment) {
    let (author, text) = match event {
        CallEvent::Heard { text, .. } => (Author::User, text),
        CallEvent::Said { text, .. } => (Author::Agent, text),
        _ => return,
    };
    let mirror = plan.browser().and_then(|place| place.mirror.as_ref());
    let (Some(mirror), Some(thread)) = (mirror, &plan.thread) else { return };
    let Ok(user) = UserId::new(mirror.user.as_str()) else { return };
    let message = ChatMessage {
        account: plan.account.clone(),
        thread: thread.clone(),
        id: node.entropy.bits128(),
        round: plan.id.bits(),
        agent: mirror.agent.clone(),
        user,
        author,
        kind: MessageKind::Normal,
        // The call's own words are the thread's history already.
        archive: Archive::Passing,
        text: text.clone(),
        at,
    };
    let (store, call) = (node.store.clone(), plan.id);
    node.tasks.spawn(async move {
        if let Err(error) = store.keep_chat(message, None, at).await {
            warn!(%call, %error, "what was said could not be shown as a message");
        }
    });
}
