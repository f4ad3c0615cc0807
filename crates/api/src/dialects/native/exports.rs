//! Everything that is held about one number, as one JSON document: what a person may ask for. Written piece by piece, so
//! that ten thousand calls need no more memory than one; when something cannot be read the connection breaks, and a document
//! that ends is whole. Recordings are named, not included. Never tells of another account.

use super::decode::{Object, scope_word};
use super::rules::{consent_json, verdict_json, whole_number};
use super::{Asked, calls, campaigns};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::Response;
use axum::body::Body;
use bytes::Bytes;
use callwright_domain::{AccountId, PhoneNumber, Scope};
use callwright_engine::Calls;
use callwright_store::{CallFilter, CallView, Listed, Note};
use futures_util::stream;
use http::{HeaderValue, header};
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Longest text that may be a number.
const MAX_NUMBER: usize = 40;
/// Calls read at a time.
const AT_A_TIME: u32 = 100;

/// POST /v1/exports.
pub(super) async fn export(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut body = Object::of(asked.request)?;
    let given = body.needed_text("number", MAX_NUMBER)?;
    body.end()?;
    // Lists and campaigns are the configuration's.
    if !asked.key.permits(Scope::ConfigRead) {
        return Err(Fault::Forbidden { scope: scope_word(Scope::ConfigRead) });
    }
    let number = whole_number(asked, &given).await?;
    let head = head(asked, &number).await?;
    let export = Export {
        calls: asked.context.calls.clone(),
        account: asked.account.clone(),
        number,
        waiting: VecDeque::new(),
        cursor: Cursor::First,
        written: 0,
        head: Some(head),
    };
    let pieces = stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(export))),
            Ok(None) => Some((Ok(Bytes::from_static(b"]}\n")), None)),
            // The answer has begun: only its breaking off can tell.
            Err(_) => Some((Err(std::io::Error::other("the store cannot be read")), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"export.json\""));
    Ok(response)
}

/// What is not calls, and the beginning of the list of calls.
async fn head(asked: &Asked<'_>, number: &PhoneNumber) -> Result<Bytes, Fault> {
    let reader = asked.context.calls.reader();
    let denied = reader.denial(&Listed::Of(asked.account.clone()), number).await?;
    let denied = denied.map(|(denial, added)| json!({"reason": denial.reason, "added_at": timestamp(added)}));
    let consents = reader.consents(&asked.account, number).await?;
    let consents: Vec<Value> = consents.iter().map(consent_json).collect();
    let zone = reader.zone(&asked.account, number).await?;
    let zone = zone.map(|(zone, updated)| json!({"zone": zone, "updated_at": timestamp(updated)}));
    let rows = campaigns::rows_of(asked, number).await?;
    let head = json!({
        "number": number,
        "exported_at": timestamp(asked.request.received),
        "denied": denied,
        "consents": consents,
        "zone": zone,
        "campaign_rows": rows,
    });
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"calls\":[");
    Ok(Bytes::from(text))
}

/// Where the next calls are.
enum Cursor {
    First,
    After(String),
    End,
}

struct Export {
    calls: Calls,
    account: AccountId,
    number: PhoneNumber,
    waiting: VecDeque<CallView>,
    cursor: Cursor,
    written: u64,
    head: Option<Bytes>,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head));
        }
        while self.waiting.is_empty() {
            let cursor = match &self.cursor {
                Cursor::First => None,
                Cursor::After(cursor) => Some(cursor.as_str()),
                Cursor::End => return Ok(None),
            };
            let filter = CallFilter { callee: Some(self.number.clone()), ..CallFilter::default() };
            let page = self.calls.reader().calls(&self.account, &filter, cursor, AT_A_TIME).await?;
            self.cursor = page.next.map_or(Cursor::End, Cursor::After);
            self.waiting.extend(page.items);
        }
        let Some(view) = self.waiting.pop_front() else { return Ok(None) };
        let mut call = calls::whole(&self.calls, &self.account, &view).await?;
        let reader = self.calls.reader();
        let verdicts = reader.verdicts(&self.account, view.plan.id).await?;
        call["verdicts"] = verdicts.iter().map(verdict_json).collect();
        let notes = reader.notes(&self.account, view.plan.id).await?;
        call["notes"] = notes.iter().map(note_json).collect();
        let comma = if self.written == 0 { "" } else { "," };
        self.written += 1;
        Ok(Some(Bytes::from(format!("{comma}{call}"))))
    }
}

fn note_json(note: &Note) -> Value {
    json!({
        "id": note.id,
        "author": note.author,
        "text": note.content.expose(),
        "flagged": note.flagged,
        "created_at": timestamp(note.created),
    })
}
