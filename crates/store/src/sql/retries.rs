//! The call that follows one that reached nobody, made in the transaction that ends it: a kill leaves both or neither.
//! Never decides whether one follows: [`CallPlan::retry_after`] does, and none follows to a number that is being erased.

use super::admission::{Place, insert};
use super::rows::of_json;
use super::{Conn, erasure, query};
use crate::StoreError;
use crate::calls::Key;
use callwright_domain::{CallPlan, HangupCause, Moment};

/// What the end of a call with a plan for retries means; how many messages to endpoints came of it. The new call holds no
/// place and is judged like any other when it is due.
pub(super) async fn follow(
    conn: &mut Conn,
    key: &Key,
    (cause, ended): (HangupCause, Moment),
) -> Result<u64, StoreError> {
    let row = query("SELECT plan FROM calls WHERE account = $1 AND id = $2 AND next_call IS NULL");
    let row = row.bind(key.0.as_str()).bind(key.1.to_string()).fetch_optional(&mut *conn).await?;
    let Some(row) = row else { return Ok(0) };
    let plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    let Some(next) = plan.retry_after(cause, ended) else { return Ok(0) };
    if erasure::is_open(conn, &key.0, next.callee_dialled(), ended).await? {
        return Ok(0);
    }
    query("UPDATE calls SET next_call = $3 WHERE account = $1 AND id = $2")
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .bind(next.id.to_string())
        .execute(&mut *conn)
        .await?;
    insert(conn, &next, Place::Later).await
}
