//! Accepting a call: facts, rules and the call's first rows in one transaction. Never judges by itself:
//! [`policy::admit`] does.

use super::journal::Told;
use super::outbox::{self, somebody_hears};
use super::rows::{json, parsed, unsigned};
use super::{Conn, dialect, query, webhooks};
use crate::{Admission, AdmitError, Admitted, Idempotency, NumberStatus, Stage, StoreError};
use callwright_domain::call::Timeline;
use callwright_domain::policy::{self, CallerStanding, Facts};
use callwright_domain::{CallEvent, CallPlan, Moment};
use std::fmt::Write;

/// Each count is bounded by its limit, because admission keeps it there; an account without a limit is not counted, or
/// accepting would grow slower with every call that waits.
const FACTS: &str = "
    SELECT n.status, n.max_calls, t.enabled AS trunk_enabled, a.max_calls AS account_limit,
        (SELECT COUNT(*) FROM calls c WHERE c.account = n.account AND c.caller = n.number AND c.ended IS NULL)
            AS caller_active,
        CASE WHEN a.id IS NULL THEN 0
            ELSE (SELECT COUNT(*) FROM calls c WHERE c.account = n.account AND c.ended IS NULL) END AS account_active
    FROM numbers n
        LEFT JOIN trunks t ON t.account = n.account AND t.id = $3
        LEFT JOIN accounts a ON a.id = n.account
    WHERE n.account = $1 AND n.number = $2";

/// What [`FACTS`] counts over: nobody else may count for the same number until this call is among the counted.
const LOCK_NUMBER: &str = "SELECT number FROM numbers WHERE account = $1 AND number = $2";

/// Whether somebody hears of it comes back with the row, so that where nobody does, nothing more is asked.
const INSERT_CALL: &str = concat!(
    "INSERT INTO calls (account, id, agent, callee, caller, plan, created, due, state, timeline, seq, attempt)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, 0) RETURNING ",
    somebody_hears!(),
    " AS heard"
);

/// A key past its time may be used anew, so the old row gives way; a living one does not. Two that bring the same key at
/// once meet here: the second waits for the first and then touches no row.
const KEEP_KEY: &str = "
    INSERT INTO idempotency_keys (account, key, body_hash, call, response, expires)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account, key) DO UPDATE SET body_hash = excluded.body_hash, call = excluded.call,
        response = excluded.response, expires = excluded.expires
    WHERE idempotency_keys.expires <= $7";

/// [`crate::Store::admit`].
pub(crate) async fn admit(conn: &mut Conn, request: &Admission, now: Moment) -> Result<Told<Admitted>, AdmitError> {
    if let Some(idempotency) = &request.idempotency
        && let Some(earlier) = keep_key(conn, request, idempotency, now).await?
    {
        return Ok(Told { done: earlier, messages: 0 });
    }
    dialect::lock_row(conn, LOCK_NUMBER, &[request.plan.account.as_str(), request.plan.caller.dial()]).await?;
    policy::admit(&facts(conn, &request.plan).await?)?;
    if let Some(endpoint) = &request.endpoint {
        webhooks::put(conn, endpoint).await?;
    }
    let messages = insert(conn, &request.plan).await?;
    Ok(Told { done: Admitted::New, messages })
}

/// Keeps the key for this request, or gives the answer of the earlier one that has it. What is kept is undone with the
/// rest when the request is refused.
async fn keep_key(
    conn: &mut Conn,
    request: &Admission,
    idempotency: &Idempotency,
    now: Moment,
) -> Result<Option<Admitted>, AdmitError> {
    if let Some(earlier) = earlier(conn, &request.plan, idempotency, now).await? {
        return Ok(Some(earlier));
    }
    let kept = query(KEEP_KEY)
        .bind(request.plan.account.as_str())
        .bind(&idempotency.key)
        .bind(hex(&idempotency.body_hash))
        .bind(request.plan.id.to_string())
        .bind(&request.response)
        .bind(now.after(Idempotency::KEPT).millis())
        .bind(now.millis())
        .execute(&mut *conn)
        .await?;
    if kept == 1 { Ok(None) } else { earlier(conn, &request.plan, idempotency, now).await }
}

async fn earlier(
    conn: &mut Conn,
    plan: &CallPlan,
    idempotency: &Idempotency,
    now: Moment,
) -> Result<Option<Admitted>, AdmitError> {
    let known = query(
        "SELECT body_hash, call, response FROM idempotency_keys WHERE account = $1 AND key = $2 AND expires > $3",
    )
    .bind(plan.account.as_str())
    .bind(&idempotency.key)
    .bind(now.millis())
    .fetch_optional(conn)
    .await?;
    let Some(known) = known else { return Ok(None) };
    if known.read::<&str>("body_hash")? != hex(&idempotency.body_hash) {
        return Err(AdmitError::IdempotencyMismatch);
    }
    let call = parsed("call id", known.read("call")?)?;
    Ok(Some(Admitted::Replayed { call, response: known.read("response")? }))
}

async fn facts(conn: &mut Conn, plan: &CallPlan) -> Result<Facts, StoreError> {
    let row = query(FACTS)
        .bind(plan.account.as_str())
        .bind(plan.caller.dial())
        .bind(plan.trunk.as_str())
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else {
        return Ok(Facts {
            caller: CallerStanding::Foreign,
            caller_active: 0,
            caller_limit: 0,
            account_active: 0,
            account_limit: 0,
            ..Facts::default()
        });
    };
    let status = NumberStatus::of_word(row.read("status")?);
    let caller = match (status, row.read::<Option<i64>>("trunk_enabled")?) {
        (None, _) => return Err(StoreError::unreadable("number", "unknown status")),
        (Some(NumberStatus::Disabled), _) => CallerStanding::Disabled,
        (Some(NumberStatus::Active), None | Some(0)) => CallerStanding::Trunkless,
        (Some(NumberStatus::Active), Some(_)) => CallerStanding::Ready,
    };
    let account_limit: Option<i64> = row.read("account_limit")?;
    Ok(Facts {
        caller,
        caller_active: unsigned("count", row.read("caller_active")?)?,
        caller_limit: unsigned("limit", row.read("max_calls")?)?,
        account_active: unsigned("count", row.read("account_active")?)?,
        account_limit: account_limit.map_or(Ok(u32::MAX), |limit| unsigned("limit", limit))?,
        ..Facts::default()
    })
}

/// Writes the call and its first event; how many messages to endpoints came of it.
async fn insert(conn: &mut Conn, plan: &CallPlan) -> Result<u64, StoreError> {
    let timeline = Timeline::default().with(plan.created, &CallEvent::Created);
    let row = query(INSERT_CALL)
        .bind(plan.account.as_str())
        .bind(plan.id.to_string())
        .bind(plan.agent_id.as_str())
        .bind(plan.callee.dial())
        .bind(plan.caller.dial())
        .bind(json(plan)?)
        .bind(plan.created.millis())
        .bind(plan.due.millis())
        .bind(Stage::Queued.word())
        .bind(json(&timeline)?)
        .fetch_one(&mut *conn)
        .await?;
    let key = (plan.account.clone(), plan.id);
    super::journal::insert_event(conn, &key, 1, (plan.created, &CallEvent::Created)).await?;
    if row.read::<i64>("heard")? == 0 {
        return Ok(0);
    }
    outbox::tell(conn, &key, &[(1, plan.created, &CallEvent::Created)]).await
}

/// Digests are kept as text: the one form that every database spells alike.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
