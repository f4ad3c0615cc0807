//! What is found out about calls after their end: the rows that say so, given out for a time, and what came of them. Never
//! asks anything.

use super::rows::{json, of_json, parsed, unsigned};
use super::{Conn, Pool, dialect, query};
use crate::calls::Key;
use crate::extracts::{ExtractOrder, ExtractOutcome, ExtractState, StoredFindings};
use crate::{NodeIdentity, StoreError};
use callwright_domain::{AccountId, CallId, Moment};

const CHOOSE: &str = "UPDATE extracts SET due = $1, tries = tries + 1, owner = $4
     WHERE (account, call) IN (SELECT account, call FROM extracts WHERE due <= $2 ORDER BY due LIMIT $3";

/// Writes down that something is to be found out about a call that has just ended.
pub(super) async fn begin(conn: &mut Conn, key: &Key, ended: Moment) -> Result<(), StoreError> {
    query(
        "INSERT INTO extracts (account, call, state, due, tries, findings, detail, updated)
         VALUES ($1, $2, $3, $4, 0, NULL, '', $4) ON CONFLICT (account, call) DO NOTHING",
    )
    .bind(key.0.as_str())
    .bind(key.1.to_string())
    .bind(ExtractState::Waiting.word())
    .bind(ended.millis())
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::claim_extracts`].
pub(crate) async fn claim(
    conn: &mut Conn,
    me: &NodeIdentity,
    (now, lease): (Moment, Moment),
    most: u32,
) -> Result<Vec<ExtractOrder>, StoreError> {
    let mut claim = query(CHOOSE);
    claim.push(dialect::skip_locked(conn.backend())).push(") RETURNING account, call, tries");
    let claim = claim.bind(lease.millis()).bind(now.millis()).bind(i64::from(most)).bind(&me.node);
    let rows = claim.fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(ExtractOrder {
                account: parsed("account id", row.read("account")?)?,
                call: parsed("call id", row.read("call")?)?,
                tries: unsigned("tries", row.read("tries")?)?,
            })
        })
        .collect()
}

/// [`crate::Store::release_extracts`].
pub(crate) async fn release(conn: &mut Conn, me: &NodeIdentity, now: Moment) -> Result<u64, StoreError> {
    query("UPDATE extracts SET due = $1 WHERE owner = $2 AND due > $1")
        .bind(now.millis())
        .bind(&me.node)
        .execute(conn)
        .await
}

/// [`crate::Store::settle_extract`]. Who was believed dead and comes late finds another number of tries.
pub(crate) async fn settle(
    conn: &mut Conn,
    order: &ExtractOrder,
    outcome: &ExtractOutcome,
    now: Moment,
) -> Result<bool, StoreError> {
    let (state, due, findings, detail) = match outcome {
        ExtractOutcome::Found(findings) => (ExtractState::Done, None, Some(json(findings)?), ""),
        ExtractOutcome::Later(then, detail) => (ExtractState::Waiting, Some(*then), None, detail.as_str()),
        ExtractOutcome::GivenUp(detail) => (ExtractState::Failed, None, None, detail.as_str()),
    };
    let settled = query(
        "UPDATE extracts SET state = $4, due = $5, findings = $6, detail = $7, updated = $8
         WHERE account = $1 AND call = $2 AND tries = $3 AND due IS NOT NULL",
    )
    .bind(order.account.as_str())
    .bind(order.call.to_string())
    .bind(i64::from(order.tries))
    .bind(state.word())
    .bind(due.map(Moment::millis))
    .bind(findings)
    .bind(detail)
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(settled == 1)
}

/// See [`crate::Reader::findings`].
pub(crate) async fn one(pool: &Pool, account: &AccountId, call: CallId) -> Result<Option<StoredFindings>, StoreError> {
    let row = query("SELECT state, findings, detail, updated FROM extracts WHERE account = $1 AND call = $2")
        .bind(account.as_str())
        .bind(call.to_string())
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let state = ExtractState::of_word(row.read("state")?);
    let findings: Option<&str> = row.read("findings")?;
    Ok(Some(StoredFindings {
        state: state.ok_or_else(|| StoreError::unreadable("findings", "unknown word"))?,
        findings: findings.map(|text| of_json("findings", text)).transpose()?.unwrap_or_default(),
        detail: row.read("detail")?,
        updated: Moment(row.read("updated")?),
    }))
}
