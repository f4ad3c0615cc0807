//! Operations on what is kept of people: erasing a number, the proof of it, and links to recordings that hold for a while. How long things are kept is a rule
//! ([`super::rules`]). Never shows a number that was erased.

use super::decode::{Object, invalid};
use super::openapi::{Words, object, words};
use super::rules::whole_number;
use super::{Asked, calls, exports, json_response};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::Response;
use crate::links;
use callwright_store::{Erasure, ErasureOrder, Suppress};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long a link holds at least, and at most, which is the default (BARS S45).
const LINK_S: (u64, u64) = (1, 3600);
/// Longest text that may be a number.
const MAX_NUMBER: usize = 40;

/// An operation of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Erase,
    ShowErasure,
    LinkRecording,
    Export,
}

/// Carries an operation out.
pub(super) async fn serve(action: Action, asked: &Asked<'_>) -> Result<Response, Fault> {
    match action {
        Action::Erase => erase(asked).await,
        Action::ShowErasure => show(asked).await,
        Action::LinkRecording => link(asked).await,
        Action::Export => exports::export(asked).await,
    }
}

/// What is said about an operation.
pub(super) const fn about(action: Action) -> Words {
    match action {
        Action::Erase => {
            words("erase", "Erase a number and what was said to it", Some("Erase"), "202", Some("Erasure"))
        }
        Action::ShowErasure => words("showErasure", "Show the proof of an erasure", None, "200", Some("Erasure")),
        Action::Export => {
            words("export", "Everything held about one number", Some("ExportOrder"), "200", Some("Export"))
        }
        Action::LinkRecording => words(
            "linkRecording",
            "Make a link to the recording that needs no key",
            Some("LinkRecording"),
            "201",
            Some("RecordingLink"),
        ),
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
    let erasure = asked.context.calls.erase(order).await?;
    Ok(json_response(StatusCode::ACCEPTED, &shown(&erasure)))
}

async fn show(asked: &Asked<'_>) -> Result<Response, Fault> {
    let found = asked
        .context
        .calls
        .reader()
        .erasure(&asked.account, asked.part())
        .await?
        .ok_or(Fault::NotFound { what: "erasure" })?;
    Ok(json_response(StatusCode::OK, &shown(&found)))
}

/// A link to the recording, signed with the key that asks: it ends with its time or with the key.
async fn link(asked: &Asked<'_>) -> Result<Response, Fault> {
    let view = calls::find(asked).await?;
    let mut body = Object::of(asked.request)?;
    let seconds: Option<u64> = body.typed("expires_in_s")?;
    body.end()?;
    let seconds = seconds.unwrap_or(LINK_S.1);
    if !(LINK_S.0..=LINK_S.1).contains(&seconds) {
        return Err(invalid("expires_in_s", "must be from 1 to 3600 seconds"));
    }
    if let Some(absence) = view.recording_gone {
        return Err(Fault::Gone { what: "recording", absence });
    }
    if view.recording.is_none() {
        return Err(Fault::NotFound { what: "recording" });
    }
    let (path, life) = (format!("/v1/calls/{}/recording", view.plan.id), Duration::from_secs(seconds));
    let url = calls::LINK.link(asked.request, &asked.key, &path, life);
    let body = json!({"url": url, "expires_at": timestamp(links::end(asked.request, life))});
    Ok(json_response(StatusCode::CREATED, &body))
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
        "ExportOrder": object(&["number"], json!({"number": text})),
        "Export": object(&["number", "exported_at", "consents", "campaign_rows", "calls"], json!({
            "number": text, "exported_at": time, "denied": {"type": ["object", "null"]}, "zone": {"type": ["object", "null"]},
            "consents": {"type": "array", "items": {"$ref": "#/components/schemas/Consent"}},
            "campaign_rows": {"type": "array", "items": {"type": "object"}},
            "calls": {"type": "array", "items": {"type": "object"}}})),
        "LinkRecording": object(&[], json!({
            "expires_in_s": {"type": "integer", "minimum": 1, "maximum": 3600, "default": 3600}})),
        "RecordingLink": object(&["url", "expires_at"], json!({"url": text, "expires_at": time})),
        "Erasure": object(&["id", "digest", "status"], json!({
            "id": text, "digest": text, "status": {"enum": ["open", "finished"]}, "requested_at": time,
            "finished_at": time, "suppressed": {"type": "boolean"},
            "erased": object(&["calls"], erased)})),
    });
    if let Value::Object(all) = all { all } else { Map::new() }
}
