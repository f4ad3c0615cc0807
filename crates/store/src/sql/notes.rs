//! Notes beside calls. Never written for a call that the account does not have.

use super::{Conn, Pool, query};
use crate::StoreError;
use crate::notes::Note;
use callwright_domain::{AccountId, CallId, Moment, Pii};

/// [`crate::Store::put_note`].
pub(crate) async fn put(conn: &mut Conn, account: &AccountId, call: CallId, note: &Note) -> Result<bool, StoreError> {
    let put = query(
        "INSERT INTO call_notes (account, call, id, author, content, flagged, created)
         SELECT account, id, $3, $4, $5, $6, $7 FROM calls WHERE account = $1 AND id = $2
         ON CONFLICT (account, call, id) DO UPDATE SET content = excluded.content, flagged = excluded.flagged",
    )
    .bind(account.as_str())
    .bind(call.to_string())
    .bind(&note.id)
    .bind(&note.author)
    .bind(note.content.expose())
    .bind(i64::from(note.flagged))
    .bind(note.created.millis())
    .execute(conn)
    .await?;
    Ok(put == 1)
}

/// [`crate::Store::delete_note`].
pub(crate) async fn delete(conn: &mut Conn, account: &AccountId, call: CallId, id: &str) -> Result<bool, StoreError> {
    let gone = query("DELETE FROM call_notes WHERE account = $1 AND call = $2 AND id = $3")
        .bind(account.as_str())
        .bind(call.to_string())
        .bind(id)
        .execute(conn)
        .await?;
    Ok(gone == 1)
}

/// See [`crate::Reader::notes`].
pub(crate) async fn of_call(pool: &Pool, account: &AccountId, call: CallId) -> Result<Vec<Note>, StoreError> {
    let rows = query(
        "SELECT id, author, content, flagged, created FROM call_notes WHERE account = $1 AND call = $2
         ORDER BY created, id",
    )
    .bind(account.as_str())
    .bind(call.to_string())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Note {
                id: row.read("id")?,
                author: row.read("author")?,
                content: Pii::new(row.read("content")?),
                flagged: row.read::<i64>("flagged")? != 0,
                created: Moment(row.read("created")?),
            })
        })
        .collect()
}
