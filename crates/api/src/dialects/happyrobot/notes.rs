//! Notes beside calls: written, changed and removed; the call is shown with them. Never part of what was said.

use super::Asked;
use super::calls::show;
use super::dial::Fields;
use super::ids::{LENGTH, find_call};
use super::words::Complaint;
use crate::dialects::native::invalid;
use crate::fault::Fault;
use callwright_domain::Pii;
use callwright_store::Note;
use rand::RngCore;
use serde_json::{Value, json};

/// Longest note, in characters, and most of one call.
const MAX_NOTE: usize = 10_000;
const MAX_NOTES: usize = 500;

/// What a request says of a note.
struct Wanted {
    content: Option<String>,
    flagged: Option<bool>,
}

fn wanted(body: &Value) -> Result<Wanted, Fault> {
    let fields = Fields::of(body, "the body")?;
    let rule = format!("must be a text of 1 to {MAX_NOTE} characters");
    let content = fields.raw("content").map(|value| {
        let text = value.as_str().filter(|text| !text.trim().is_empty() && text.chars().count() <= MAX_NOTE);
        text.map(str::to_owned).ok_or_else(|| invalid("content", &rule))
    });
    let flagged =
        fields.raw("flagged").map(|value| value.as_bool().ok_or_else(|| invalid("flagged", "must be true or false")));
    Ok(Wanted { content: content.transpose()?, flagged: flagged.transpose()? })
}

/// POST /calls/{id}/notes.
pub(super) async fn add(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let call = find_call(asked.context, &asked.key.account, id).await?;
    let wanted = wanted(&asked.body()?)?;
    let content = wanted.content.ok_or_else(|| Fault::Missing { field: String::from("content") })?;
    let before = asked.context.calls.reader().notes(&asked.key.account, call.plan.id).await;
    if before?.len() >= MAX_NOTES {
        return Err(Complaint::bad(format!("a call has at most {MAX_NOTES} notes")));
    }
    let mut bytes = [0; LENGTH / 2];
    rand::rng().fill_bytes(&mut bytes);
    let note = Note {
        id: hex::encode(bytes),
        author: asked.key.id.to_string(),
        content: Pii::new(content),
        flagged: wanted.flagged.unwrap_or(false),
        created: asked.request.received,
    };
    kept(asked, &call, note).await?;
    show(asked, id).await
}

/// PATCH /calls/{id}/notes/{noteId}.
pub(super) async fn change(asked: &Asked<'_>, id: &str, note: &str) -> Result<Value, Complaint> {
    let call = find_call(asked.context, &asked.key.account, id).await?;
    let wanted = wanted(&asked.body()?)?;
    let notes = asked.context.calls.reader().notes(&asked.key.account, call.plan.id).await;
    let mut found = notes?.into_iter().find(|known| known.id == note);
    let found = found.as_mut().ok_or(Fault::NotFound { what: "note" })?;
    if let Some(content) = wanted.content {
        found.content = Pii::new(content);
    }
    found.flagged = wanted.flagged.unwrap_or(found.flagged);
    kept(asked, &call, found.clone()).await?;
    show(asked, id).await
}

/// DELETE /calls/{id}/notes/{noteId}.
pub(super) async fn remove(asked: &Asked<'_>, id: &str, note: &str) -> Result<Value, Complaint> {
    let call = find_call(asked.context, &asked.key.account, id).await?;
    let gone = asked.context.calls.configure().delete_note(&asked.key.account, call.plan.id, note).await;
    if gone? {
        return show(asked, id).await;
    }
    Err(Fault::NotFound { what: "note" }.into())
}

async fn kept(asked: &Asked<'_>, call: &callwright_store::CallView, note: Note) -> Result<(), Complaint> {
    let put = asked.context.calls.configure().put_note(&asked.key.account, call.plan.id, note).await;
    if put? { Ok(()) } else { Err(Fault::NotFound { what: "call" }.into()) }
}

/// A note as the vendor shows it.
pub(super) fn shown(note: &Note) -> Value {
    json!({
        "id": note.id,
        "user_id": note.author,
        "content": note.content,
        "flagged": note.flagged,
        "created_at": super::view::time(note.created),
    })
}
