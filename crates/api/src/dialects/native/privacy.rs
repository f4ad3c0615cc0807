//! Operations on what is kept of people: erasing a number, and the proof of it. How long things are kept is a rule
//! ([`super::rules`]). Never shows a number that was erased.

use super::decode::Object;
use super::openapi::{Words, object, words};
use super::rules::{storage, whole_number};
use super::{Asked, json_response};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::Response;
use callwright_store::{Erasure, ErasureOrder, Suppress};
use http::StatusCode;
use serde_json::{Map, Value, json};

/// Longest text that may be a number.
const MAX_NUMBER: usize = 40;

/// An operation of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Erase,
    ShowErasure,
}

/// Carries an operation out.
pub(super) async fn serve(action: Action, asked: &Asked<'_>) -> Result<Response, Fault> {
    match action {
        Action::Erase => erase(asked).await,
        Action::ShowErasure => show(asked).await,
    }
}

/// What is said about an operation.
pub(super) const fn about(action: Action) -> Words {
    match action {
        Action::Erase => {
            words("erase", "Erase a number and what was said to it", Some("Erase"), "202", Some("Erasure"))
        }
        Action::ShowErasure => words("showErasure", "Show the proof of an erasure", None, "200", Some("Erasure")),
    }
}

async fn erase(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut body = Object::of(asked.request)?;
    let given = body.needed_text("number", MAX_NUMBER)?;
    let suppress: Option<bool> = body.typed("suppress")?;
    body.end()?;
    let order = ErasureOrder {
        account: asked.account.clone(),
        number: whole_number(asked, &given).await?,
        suppress: if suppress == Some(true) { Suppress::Deny } else { Suppress::AsItWas },
        now: asked.request.received,
    };
    let erasure = asked.context.calls.erase(order).await.map_err(|error| storage(&error))?;
    Ok(json_response(StatusCode::ACCEPTED, &shown(&erasure)))
}

async fn show(asked: &Asked<'_>) -> Result<Response, Fault> {
    let found = asked.context.calls.reader().erasure(&asked.account, asked.part()).await;
    let found = found.map_err(|error| storage(&error))?.ok_or(Fault::NotFound { what: "erasure" })?;
    Ok(json_response(StatusCode::OK, &shown(&found)))
}

fn shown(erasure: &Erasure) -> Value {
    let tally = erasure.tally;
    json!({
        "id": erasure.id,
        "digest": erasure.digest,
        "status": if erasure.finished.is_some() { "finished" } else { "open" },
        "requested_at": timestamp(erasure.requested),
        "finished_at": erasure.finished.map(timestamp),
        "suppressed": tally.suppressed > 0,
        "erased": {
            "calls": tally.calls,
            "recordings": tally.recordings,
            "campaign_rows": tally.campaign_rows,
            "consents": tally.consents,
        },
    })
}

/// Shapes of erasures.
pub(super) fn schemas() -> Map<String, Value> {
    let (text, whole, time) =
        (json!({"type": "string"}), json!({"type": "integer"}), json!({"type": "string", "format": "date-time"}));
    let erased = json!({"calls": whole, "recordings": whole, "campaign_rows": whole, "consents": whole});
    let all = json!({
        "Erase": object(&["number"], json!({
            "number": text,
            "suppress": {"type": "boolean", "default": false, "description":
                "Put the number on the deny list as a digest. One that is on it stays there in any case"}})),
        "Erasure": object(&["id", "digest", "status"], json!({
            "id": text, "digest": text, "status": {"enum": ["open", "finished"]}, "requested_at": time,
            "finished_at": time, "suppressed": {"type": "boolean"},
            "erased": object(&["calls"], erased)})),
    });
    if let Value::Object(all) = all { all } else { Map::new() }
}
