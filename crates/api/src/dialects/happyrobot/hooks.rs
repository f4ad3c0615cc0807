//! The hooks of a use case: told when the conversation begins and when the call is over, however it went. Not signed:
//! receivers know us by the headers that they gave.

use super::ids::Book;
use super::view;
use crate::callbacks::{Callback, any_success};
use callwright_domain::{CallEvent, Pii};
use callwright_engine::{Subject, Telling};
use serde_json::{Value, json};

/// The request that tells an event; none: the vendor tells nothing then.
pub(super) fn callback(telling: &Telling) -> Option<Callback> {
    let Subject::Call(news) = &telling.subject else { return None };
    let (kind, content) = match &news.recorded.event {
        CallEvent::Answered { .. } => ("start", json!({})),
        CallEvent::Ended { .. } => ("end", json!({"messages": view::messages(&news.view, &news.journal)})),
        CallEvent::Created
        | CallEvent::Dialing { .. }
        | CallEvent::AttemptFailed { .. }
        | CallEvent::Ringing { .. }
        | CallEvent::Joined { .. }
        | CallEvent::MessageReceived { .. }
        | CallEvent::Heard { .. }
        | CallEvent::TurnTaken { .. }
        | CallEvent::Said { .. }
        | CallEvent::Spoke { .. }
        | CallEvent::Disclosed
        | CallEvent::MachineDetected { .. }
        | CallEvent::Interrupted
        | CallEvent::KeyPressed { .. }
        | CallEvent::ToolRun { .. }
        | CallEvent::Trouble { .. }
        | CallEvent::Transferring { .. }
        | CallEvent::TransferDialing { .. }
        | CallEvent::TransferAnswered { .. }
        | CallEvent::TransferEnded { .. }
        | CallEvent::RecordingKept { .. } => return None,
    };
    let endpoint = &telling.webhook.endpoint;
    let book = Book::blank(news.view.plan.account.clone());
    let mut call = view::call(&news.view, &book, news.recorded.at);
    // Ids that the owner gave were written down with the hook.
    let given: Value = serde_json::from_str(&endpoint.origin.memo).unwrap_or_default();
    if let Some(organization) = given["organization_id"].as_str() {
        call["organization_id"] = json!(organization);
        call["use_case"]["organization_id"] = json!(organization);
    }
    if let Some(use_case) = given["use_case_id"].as_str() {
        call["use_case"]["id"] = json!(use_case);
    }
    Some(Callback {
        url: endpoint.url.clone(),
        headers: vec![("content-type", Pii::new(String::from("application/json")))],
        body: json!({"type": kind, "call": call, "content": content}).to_string().into_bytes(),
        heard: any_success,
    })
}
