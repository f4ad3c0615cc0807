//! Erasing a number from an account: its calls lose it and everything that was said, campaign rows and consents lose it,
//! the deny list keeps a digest. A call that has not ended is left until it has. Never deletes the record of the attempt:
//! that somebody was called, for how long and what it cost is the account's own.

use super::retention::{forget_recording, forget_telling, forget_words};
use super::rows::{json, of_json, parsed};
use super::{Conn, Gates, Pool, Row, dialect, facts, query};
use crate::calls::Key;
use crate::privacy::Suppress;
use crate::{Erasure, ErasureOrder, StoreError, Tally};
use callwright_domain::agent::Greeting;
use callwright_domain::{Absence, AccountId, CallEvent, CallId, CallPlan, Moment, PhoneNumber, Pii, Way};
use sha2::{Digest, Sha256};
use std::ops::Range;

const COLUMNS: &str =
    "SELECT id, digest, number, requested, finished, tally FROM erasures WHERE account = $1 AND id = $2";

/// Rows whose calls are up keep the number until these have ended.
const ERASE_ROWS: &str = "
    UPDATE campaign_rows SET number = $3, own_id = NULL, details = $4, due = NULL, updated = $5,
        once = 'erased#' || CAST(place AS TEXT), reason = $3,
        state = CASE WHEN state IN ('waiting', 'retrying') THEN 'cancelled' ELSE state END
    WHERE account = $1 AND (campaign, place) IN (
        SELECT campaign, place FROM campaign_rows WHERE account = $1 AND number = $2 AND state <> 'calling' LIMIT $6)
        AND state <> 'calling'";

/// Queued calls to the number of an erasure, but for those that were asked for since: who wants the number called anew may.
/// What an earlier call or a campaign made is never that.
const QUEUED: &str = "
    SELECT c.id FROM erasures e, calls c WHERE e.account = $1 AND e.id = $2 AND e.finished IS NULL
        AND c.account = e.account AND c.callee = e.number AND c.state = 'queued' AND c.id > $3
        AND (c.created <= e.requested OR c.first_call IS NOT NULL
            OR EXISTS (SELECT 1 FROM campaign_attempts a WHERE a.account = c.account AND a.call = c.id))
    ORDER BY c.id LIMIT $4";

/// What stands for an erased number: the same for the same number of the same account, and none for another's. Numbers
/// are few enough to be tried one by one by whoever has the database; docs/privacy.md says so.
pub(crate) fn digest(account: &AccountId, number: &PhoneNumber) -> String {
    digest_of(account, number.dial())
}

fn digest_of(account: &AccountId, dialled: &str) -> String {
    let mut hasher = Sha256::new();
    for part in ["callwright erasure 1", account.as_str(), dialled] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

/// Behind the digest's `sha256:`: 4,096 gates, so that numbers hardly ever share one at the same time.
const GATE_OF_DIGEST: Range<usize> = 7..10;

/// The gate that a number shares with a few others: it does not tell which it is, and an account has no more of them
/// however many numbers it calls.
pub(super) fn gate(what: &str, account: &AccountId, dialled: &str) -> String {
    format!("{what} {}", digest_of(account, dialled).get(GATE_OF_DIGEST).unwrap_or_default())
}

/// An erasure opens, and a call's end is followed by another call, behind the same gate: whichever is first, the other
/// knows of it.
async fn lock_gate(conn: &mut Conn, account: &AccountId, dialled: &str, now: Moment) -> Result<(), StoreError> {
    let gate = (account.as_str().to_owned(), gate("erasure", account, dialled));
    facts::lock(conn, Gates::from([gate]), now).await
}

/// Whether the number is being erased: then no call to it follows from one that has ended.
pub(super) async fn is_open(
    conn: &mut Conn,
    account: &AccountId,
    dialled: &str,
    now: Moment,
) -> Result<bool, StoreError> {
    lock_gate(conn, account, dialled, now).await?;
    let open = query("SELECT 1 FROM erasures WHERE account = $1 AND number = $2 AND finished IS NULL");
    Ok(open.bind(account.as_str()).bind(dialled).fetch_optional(conn).await?.is_some())
}

/// [`crate::Store::open_erasure`].
pub(crate) async fn open(conn: &mut Conn, order: &ErasureOrder) -> Result<Erasure, StoreError> {
    lock_gate(conn, &order.account, order.number.dial(), order.now).await?;
    let digest = digest(&order.account, &order.number);
    let id = format!("er_{}", digest.get("sha256:".len()..).and_then(|hex| hex.get(..32)).unwrap_or_default());
    query(
        "INSERT INTO erasures (account, id, digest, number, requested, finished, tally)
         VALUES ($1, $2, $3, $4, $5, NULL, $6)
         ON CONFLICT (account, id) DO UPDATE SET number = excluded.number, requested = excluded.requested,
             finished = NULL",
    )
    .bind(order.account.as_str())
    .bind(&id)
    .bind(&digest)
    .bind(order.number.dial())
    .bind(order.now.millis())
    .bind(json(&Tally::default())?)
    .execute(&mut *conn)
    .await?;
    let (mut erasure, _) = load(conn, (&order.account, &id)).await?.ok_or(StoreError::Closed)?;
    let consents = query("DELETE FROM consents WHERE account = $1 AND number = $2 RETURNING revoked");
    let consents = consents.bind(order.account.as_str()).bind(order.number.dial()).fetch_all(&mut *conn).await?;
    erasure.tally.consents += consents.len() as u64;
    let mut refuses = order.suppress;
    for consent in &consents {
        if consent.read::<Option<i64>>("revoked")?.is_some() {
            refuses = Suppress::Deny;
        }
    }
    super::rules::delete_zone(conn, &order.account, &order.number).await?;
    erasure.tally.suppressed = suppress(conn, order, (refuses, &digest)).await?;
    // All of them at once: none is to be launched from here on.
    erasure.tally.campaign_rows += erase_rows(conn, &order.account, order.number.dial(), (i64::MAX, order.now)).await?;
    save(conn, &order.account, &erasure).await?;
    Ok(erasure)
}

/// The number's entry on the account's deny list becomes its digest; the words that say why go. `refuses`: whether one is
/// made. Who took a consent back asked for that.
async fn suppress(
    conn: &mut Conn,
    order: &ErasureOrder,
    (refuses, digest): (Suppress, &str),
) -> Result<u64, StoreError> {
    let plain = query("DELETE FROM denied WHERE account = $1 AND number = $2");
    let plain = plain.bind(order.account.as_str()).bind(order.number.dial()).execute(&mut *conn).await?;
    if plain > 0 || refuses == Suppress::Deny {
        query("INSERT INTO denied (account, number, reason, added) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING")
            .bind(order.account.as_str())
            .bind(digest)
            .bind(Absence::Erased.word())
            .bind(order.now.millis())
            .execute(&mut *conn)
            .await?;
    }
    let held = query("SELECT COUNT(*) FROM denied WHERE account = $1 AND number = $2");
    let held = held.bind(order.account.as_str()).bind(digest).fetch_one(conn).await?;
    Ok(u64::try_from(held.read::<i64>(0)?).unwrap_or(0))
}

/// [`crate::Store::erase_some`].
pub(crate) async fn some(
    conn: &mut Conn,
    (account, id): (&AccountId, &str),
    limit: u32,
    now: Moment,
) -> Result<Option<Erasure>, StoreError> {
    let Some((mut erasure, number)) = load(conn, (account, id)).await? else { return Ok(None) };
    let Some(number) = number.filter(|_| erasure.finished.is_none()) else { return Ok(Some(erasure)) };
    erasure.tally.campaign_rows += erase_rows(conn, account, &number, (i64::from(limit), now)).await?;
    let rows = query(
        "SELECT id, owner, plan, recording FROM calls
         WHERE account = $1 AND callee = $2 AND ended IS NOT NULL ORDER BY due LIMIT $3",
    )
    .bind(account.as_str())
    .bind(&number)
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        erase_call(conn, row, (id, now)).await?;
        erasure.tally.calls += 1;
        erasure.tally.recordings += u64::from(row.read::<Option<&str>>("recording")?.is_some());
    }
    if left(conn, (account, id), &number).await? == 0 {
        erasure.finished = Some(now);
        dialect::forget_after_commit(conn);
    }
    save(conn, account, &erasure).await?;
    Ok(Some(erasure))
}

async fn erase_rows(
    conn: &mut Conn,
    account: &AccountId,
    number: &str,
    (limit, now): (i64, Moment),
) -> Result<u64, StoreError> {
    query(ERASE_ROWS)
        .bind(account.as_str())
        .bind(number)
        .bind(Absence::Erased.word())
        .bind(json(&super::campaign_rows::Details::default())?)
        .bind(now.millis())
        .bind(limit)
        .execute(conn)
        .await
}

/// What still has the number, or waits for a node to remove its file.
async fn left(conn: &mut Conn, (account, id): (&AccountId, &str), number: &str) -> Result<i64, StoreError> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM calls WHERE account = $1 AND callee = $2)
            + (SELECT COUNT(*) FROM campaign_rows WHERE account = $1 AND number = $2)
            + (SELECT COUNT(*) FROM removals WHERE account = $1 AND erasure = $3)",
    )
    .bind(account.as_str())
    .bind(number)
    .bind(id)
    .fetch_one(conn)
    .await?;
    row.read(0)
}

async fn erase_call(conn: &mut Conn, row: &Row, (erasure, now): (&str, Moment)) -> Result<(), StoreError> {
    let mut plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    let key: Key = (plan.account.clone(), plan.id);
    forget_recording(conn, &key, (row.read("owner")?, Some(erasure), now)).await?;
    forget_words(conn, &key).await?;
    forget_signalling(conn, &key).await?;
    forget_telling(conn, &key).await?;
    // The thread's name is the requester's own and may be a person's.
    let threads = query("DELETE FROM thread_calls WHERE account = $1 AND call = $2");
    threads.bind(key.0.as_str()).bind(key.1.to_string()).execute(&mut *conn).await?;
    strip(&mut plan);
    query(
        "UPDATE calls SET callee = $3, plan = $4, intent = NULL, dialog = NULL, recording = NULL, recording_gone = $5,
            words_gone = $5 WHERE account = $1 AND id = $2",
    )
    .bind(key.0.as_str())
    .bind(key.1.to_string())
    .bind(plan.callee_dialled())
    .bind(json(&plan)?)
    .bind(Absence::Erased.word())
    .execute(conn)
    .await?;
    Ok(())
}

/// What a request may have told of the callee: everything that was its own and not the agent's.
fn strip(plan: &mut CallPlan) {
    match &mut plan.way {
        Way::Telephone(telephone) => telephone.callee = PhoneNumber::erased(),
        Way::Browser(place) => place.user = None,
    }
    plan.variables.clear();
    plan.user_data = None;
    plan.thread = None;
    plan.origin.memo.clear();
    plan.agent.opening.greeting = Greeting::None;
    plan.agent.opening.wake_up = None;
    plan.agent.brain.system_prompt.clear();
    plan.agent.brain.history.clear();
    plan.agent.brain.script.clear();
}

/// Dialogs hold the callee's address, and what went wrong may quote anything.
async fn forget_signalling(conn: &mut Conn, key: &Key) -> Result<(), StoreError> {
    let rows = query(
        r#"SELECT seq, event FROM events WHERE account = $1 AND call = $2 AND (event LIKE '{"event":"dialing",%'
            OR event LIKE '{"event":"answered",%' OR event LIKE '{"event":"trouble",%'
            OR event LIKE '{"event":"transfer%') ORDER BY seq"#,
    )
    .bind(key.0.as_str())
    .bind(key.1.to_string())
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        let mut event: CallEvent = of_json("event", row.read("event")?)?;
        match &mut event {
            CallEvent::Dialing { intent } => intent.dialog.clear(),
            CallEvent::Answered { dialog, .. } => dialog.clear(),
            CallEvent::Trouble { detail, .. } => Absence::Erased.word().clone_into(detail),
            CallEvent::Transferring { to } => *to = Pii::default(),
            CallEvent::TransferDialing { intent } => intent.dialog.clear(),
            CallEvent::TransferAnswered { dialog } => dialog.clear(),
            _ => {}
        }
        query("UPDATE events SET event = $4 WHERE account = $1 AND call = $2 AND seq = $3")
            .bind(key.0.as_str())
            .bind(key.1.to_string())
            .bind(row.read::<i64>("seq")?)
            .bind(json(&event)?)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn save(conn: &mut Conn, account: &AccountId, erasure: &Erasure) -> Result<(), StoreError> {
    query(
        "UPDATE erasures SET finished = $3, tally = $4, number = CASE WHEN $3 IS NULL THEN number ELSE NULL END
         WHERE account = $1 AND id = $2",
    )
    .bind(account.as_str())
    .bind(&erasure.id)
    .bind(erasure.finished.map(Moment::millis))
    .bind(json(&erasure.tally)?)
    .execute(conn)
    .await?;
    Ok(())
}

async fn load(
    conn: &mut Conn,
    (account, id): (&AccountId, &str),
) -> Result<Option<(Erasure, Option<String>)>, StoreError> {
    let mut select = query(COLUMNS);
    select.push(dialect::for_update(conn.backend()));
    let row = select.bind(account.as_str()).bind(id).fetch_optional(conn).await?;
    row.map(|row| Ok((erasure_of(&row)?, row.read("number")?))).transpose()
}

fn erasure_of(row: &Row) -> Result<Erasure, StoreError> {
    Ok(Erasure {
        id: row.read("id")?,
        digest: row.read("digest")?,
        requested: Moment(row.read("requested")?),
        finished: row.read::<Option<i64>>("finished")?.map(Moment),
        tally: of_json("tally", row.read("tally")?)?,
    })
}

/// [`crate::Reader::erasure`].
pub(crate) async fn find(pool: &Pool, account: &AccountId, id: &str) -> Result<Option<Erasure>, StoreError> {
    let row = query(COLUMNS).bind(account.as_str()).bind(id).fetch_optional(pool).await?;
    row.as_ref().map(erasure_of).transpose()
}

/// [`crate::Reader::open_erasures`].
pub(crate) async fn all_open(pool: &Pool) -> Result<Vec<(AccountId, String)>, StoreError> {
    let rows = query("SELECT account, id FROM erasures WHERE finished IS NULL ORDER BY account, id").fetch_all(pool);
    rows.await?.iter().map(|row| Ok((parsed("account id", row.read("account")?)?, row.read("id")?))).collect()
}

/// [`crate::Reader::queued_for_erasure`].
pub(crate) async fn queued(
    pool: &Pool,
    (account, id): (&AccountId, &str),
    after: Option<CallId>,
    limit: u32,
) -> Result<Vec<CallId>, StoreError> {
    let after = after.map(|call| call.to_string()).unwrap_or_default();
    let select = query(QUEUED).bind(account.as_str()).bind(id).bind(after).bind(i64::from(limit));
    select.fetch_all(pool).await?.iter().map(|row| parsed("call id", row.read("id")?)).collect()
}
