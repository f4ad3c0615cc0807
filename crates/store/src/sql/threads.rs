//! Chat histories that calls share: which calls they are, what happened in them, and which lines are not to be told
//! again. Never changes a journal.

use super::reading::recorded_of;
use super::rows::{parsed, unsigned};
use super::{Conn, Pool, Query, query};
use crate::StoreError;
use crate::threads::{First, ThreadKey, ThreadPlace, ThreadSpan};
use callwright_domain::{AccountId, CallEvent, CallId, CallPlan, Recorded};
use std::collections::BTreeSet;

/// The calls of a thread that may have said something within a span.
const SPAN: &str = "
    SELECT e.call, e.seq, e.at, e.event FROM thread_calls t
    JOIN calls c ON c.account = t.account AND c.id = t.call
    JOIN events e ON e.account = t.account AND e.call = t.call
    WHERE t.account = $1 AND t.thread = $2 AND t.created <= $4 AND (c.ended IS NULL OR c.ended >= $3)
        AND e.at >= $3 AND e.at <= $4
        AND NOT EXISTS (SELECT 1 FROM thread_forgotten f
            WHERE f.account = e.account AND f.call = e.call AND f.seq = e.seq)";

/// Enters an accepted call into its thread, in the transaction that accepts it; none: it has no thread.
pub(super) fn join(plan: &CallPlan) -> Option<Query> {
    let thread = plan.thread.as_ref()?;
    let row = query("INSERT INTO thread_calls (account, thread, created, call) VALUES ($1, $2, $3, $4)");
    let row = row.bind(plan.account.as_str()).bind(thread.as_str());
    Some(row.bind(plan.created.millis()).bind(plan.id.to_string()))
}

/// [`crate::Store::forget`].
pub(crate) async fn forget(conn: &mut Conn, key: &ThreadKey, (call, seq): (CallId, u64)) -> Result<bool, StoreError> {
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let found = query(
        "SELECT e.seq, e.at, e.event FROM thread_calls t
         JOIN events e ON e.account = t.account AND e.call = t.call
         WHERE t.account = $1 AND t.thread = $2 AND t.call = $3 AND e.seq = $4",
    )
    .bind(key.account.as_str())
    .bind(key.thread.as_str())
    .bind(call.to_string())
    .bind(seq)
    .fetch_optional(&mut *conn)
    .await?;
    let event = found.as_ref().map(recorded_of).transpose()?.map(|recorded| recorded.event);
    if !matches!(event, Some(CallEvent::Heard { .. } | CallEvent::Said { .. })) {
        return Ok(false);
    }
    query("INSERT INTO thread_forgotten (account, call, seq) VALUES ($1, $2, $3) ON CONFLICT (account, call, seq) DO NOTHING")
        .bind(key.account.as_str())
        .bind(call.to_string())
        .bind(seq)
        .execute(conn)
        .await?;
    Ok(true)
}

/// [`crate::Reader::thread_calls`]. What was answered has a dialog.
pub(crate) async fn calls(pool: &Pool, key: &ThreadKey, limit: u32) -> Result<Vec<CallId>, StoreError> {
    query(
        "SELECT t.call FROM thread_calls t JOIN calls c ON c.account = t.account AND c.id = t.call
         WHERE t.account = $1 AND t.thread = $2 AND c.dialog IS NOT NULL
         ORDER BY t.created DESC, t.call DESC LIMIT $3",
    )
    .bind(key.account.as_str())
    .bind(key.thread.as_str())
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| parsed("call id", row.read("call")?))
    .collect()
}

/// [`crate::Reader::thread_events`].
pub(crate) async fn events(
    pool: &Pool,
    key: &ThreadKey,
    span: ThreadSpan,
    after: Option<ThreadPlace>,
    limit: u32,
) -> Result<Vec<(CallId, Recorded)>, StoreError> {
    let mut select = query(SPAN)
        .bind(key.account.as_str())
        .bind(key.thread.as_str())
        .bind(span.from.millis())
        .bind(span.until.millis());
    if let Some((at, call, seq)) = after {
        select = select.bind(at.millis()).bind(call.to_string()).bind(i64::try_from(seq).unwrap_or(i64::MAX));
        select.push(match span.first {
            First::Newest => " AND (e.at < $5 OR (e.at = $5 AND (e.call < $6 OR (e.call = $6 AND e.seq < $7))))",
            First::Oldest => " AND (e.at > $5 OR (e.at = $5 AND (e.call > $6 OR (e.call = $6 AND e.seq > $7))))",
        });
    }
    select.push(match span.first {
        First::Newest => " ORDER BY e.at DESC, e.call DESC, e.seq DESC LIMIT ",
        First::Oldest => " ORDER BY e.at, e.call, e.seq LIMIT ",
    });
    select.push_bind(i64::from(limit));
    let rows = select.fetch_all(pool).await?;
    rows.iter().map(|row| Ok((parsed("call id", row.read("call")?)?, recorded_of(row)?))).collect()
}

/// [`crate::Reader::forgotten`].
pub(crate) async fn forgotten(pool: &Pool, account: &AccountId, call: CallId) -> Result<BTreeSet<u64>, StoreError> {
    query("SELECT seq FROM thread_forgotten WHERE account = $1 AND call = $2 ORDER BY seq")
        .bind(account.as_str())
        .bind(call.to_string())
        .fetch_all(pool)
        .await?
        .iter()
        .map(|row| unsigned("sequence number", row.read("seq")?))
        .collect()
}
