//! Changing what a call was to be, while it is not over. The journal is not touched: what has happened has happened.

use super::rows::{json, of_json};
use super::{Conn, dialect, query};
use crate::StoreError;
use crate::calls::Amendment;
use callwright_domain::{AccountId, CallId, CallPlan};

/// [`crate::Store::amend`].
pub(crate) async fn amend(
    conn: &mut Conn,
    account: &AccountId,
    call: CallId,
    change: Amendment,
) -> Result<Option<CallPlan>, StoreError> {
    let mut select = query("SELECT plan FROM calls WHERE account = $1 AND id = $2 AND ended IS NULL");
    select.push(dialect::for_update(conn.backend()));
    let found = select.bind(account.as_str()).bind(call.to_string()).fetch_optional(&mut *conn).await?;
    let Some(row) = found else { return Ok(None) };
    let mut plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    change.patch.apply(&mut plan.agent);
    plan.user_data = change.user_data.or(plan.user_data);
    plan.origin.memo = change.memo.unwrap_or(plan.origin.memo);
    query("UPDATE calls SET plan = $3 WHERE account = $1 AND id = $2")
        .bind(account.as_str())
        .bind(call.to_string())
        .bind(json(&plan)?)
        .execute(conn)
        .await?;
    Ok(Some(plan))
}
