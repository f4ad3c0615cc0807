//! Messages to endpoints: written with the event they tell, taken by lease, settled after each try.
//!
//! Only the first message of a call to an endpoint is ever due; the next one becomes due, or goes to whoever told the
//! first, when that one is settled. So order needs no more than the rows, whichever node tells.

use super::rows::{json, of_json, parsed, unsigned};
use super::{Conn, Query, Row, dialect, query, together};
use crate::calls::Key;
use crate::outbox::{Attempt, Content, Fate, Pending, Replay, Settled, Settlement, Standing};
use crate::{NodeIdentity, StoreError};
use callwright_domain::webhook::{Announcement, Order, Status, Topics, Whose};
use callwright_domain::{AccountId, CallEvent, Moment, Topic, WebhookId};

/// True for a call with an endpoint that may want to hear of it; `calls` is the call's table.
macro_rules! somebody_hears {
    () => {
        "CAST(CASE WHEN EXISTS (SELECT 1 FROM webhooks w WHERE w.account = calls.account AND w.status = 'enabled'
            AND w.whose IN ('', 'agent/' || calls.agent, 'call/' || COALESCE(calls.first_call, calls.id))) THEN 1 ELSE 0 END AS BIGINT)"
    };
}
pub(super) use somebody_hears;

const HEARING: &str = "
    SELECT w.id, w.topics, w.endpoint FROM webhooks w, calls
    WHERE calls.account = $1 AND calls.id = $2 AND w.account = calls.account AND w.status = 'enabled'
        AND w.whose IN ('', 'agent/' || calls.agent, 'call/' || COALESCE(calls.first_call, calls.id)) ORDER BY w.id";

/// A plus keeps SQLite from looking for what is due among all that is due to the endpoint; it is one call's that is wanted.
/// The count is not read: touching the row makes this wait for whoever settles it, and the other way round.
const QUEUE_UP: &str = "
    UPDATE outbox SET followers = followers + 1
    WHERE webhook = $1 AND call = $2 AND settled IS NULL AND +due IS NOT NULL";

const INSERT: &str = "
    INSERT INTO outbox (account, webhook, message, call, seq, topic, at, body, queued, due, tries, tries_before,
        followers)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0)
    ON CONFLICT (account, webhook, message) DO NOTHING";

const INSERT_COLUMNS: &str = "
    INSERT INTO outbox (account, call, webhook, message, seq, topic, at, queued, due, tries, tries_before, followers)
    VALUES (";

/// Messages in one statement.
const INSERTED_AT_ONCE: usize = 64;

const COLUMNS: &str = " RETURNING account, webhook, message, call, seq, topic, at, body, queued, tries, tries_before";

/// Chosen once and for all before anything is changed: a selection inside the condition may be made again for each row,
/// each time passing over what is locked already, and take more than its limit. Then found by its key (the plus, see
/// [`QUEUE_UP`]): a backlog costs a claim nothing.
const CHOOSE: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT account, message FROM outbox WHERE webhook = $4 AND due <= $5 ORDER BY due, message LIMIT $6";

const CLAIM: &str = ")
    UPDATE outbox SET due = $1, owner = $2, epoch = $3
    WHERE webhook = $4 AND +due <= $5 AND (account, message) IN (SELECT account, message FROM chosen)";

/// What waits for a moment that was reckoned from one which is yet to come (`$1`: now), or is held for longer than anything
/// is (`$2`).
const AHEAD: &str = "
    SELECT o.account, o.webhook, o.message, o.due, o.queued, o.owner, (SELECT MAX(t.at) FROM outbox_attempts t
            WHERE t.account = o.account AND t.webhook = o.webhook AND t.message = o.message) AS tried
    FROM outbox o WHERE o.due > $1 AND (o.queued > $1 OR (o.owner IS NOT NULL AND o.due > $2)
        OR EXISTS (SELECT 1 FROM outbox_attempts a
            WHERE a.account = o.account AND a.webhook = o.webhook AND a.message = o.message AND a.at > $1))";

const RELEASE: &str = "UPDATE outbox SET due = $3, owner = NULL, epoch = NULL
    WHERE owner = $1 AND epoch < $2 AND due IS NOT NULL";

/// `$4`: the moment, `$5`: how long it took, `$6`: the status, `$7`: the detail. The number of the try is one more than
/// those that were settled before it, in the same transaction or not.
const ATTEMPT: &str = "
    INSERT INTO outbox_attempts (account, webhook, message, attempt, at, took_ms, status, detail)
    SELECT account, webhook, message, tries + 1, $4, $5, $6, $7 FROM outbox
    WHERE account = $1 AND webhook = $2 AND message = $3 AND settled IS NULL
    ON CONFLICT (account, webhook, message, attempt) DO NOTHING";

const SETTLE: &str = "
    UPDATE outbox SET due = $4, tries = tries + 1, outcome = $5, settled = $6, owner = NULL, epoch = NULL
    WHERE account = $1 AND webhook = $2 AND message = $3 AND settled IS NULL RETURNING tries";

const NEXT: &str = "
    UPDATE outbox SET due = $3, owner = $4, epoch = $5
    WHERE webhook = $1 AND call = $2 AND settled IS NULL AND due IS NULL AND seq = (
        SELECT MIN(o.seq) FROM outbox o
        WHERE o.webhook = $1 AND o.call = $2 AND o.settled IS NULL AND o.due IS NULL)
    AND NOT EXISTS (SELECT 1 FROM outbox h
        WHERE h.webhook = $1 AND h.call = $2 AND h.settled IS NULL AND +h.due IS NOT NULL)";

/// One event of a call with its place in the journal.
pub(super) type Happened<'e> = (u64, Moment, &'e CallEvent);

/// Writes a message for every endpoint that wants to hear of one of these events of a call. How many were written.
pub(super) async fn tell(conn: &mut Conn, key: &Key, events: &[Happened<'_>]) -> Result<u64, StoreError> {
    let rows = query(HEARING).bind(key.0.as_str()).bind(key.1.to_string()).fetch_all(&mut *conn).await?;
    let call = key.1.to_string();
    let mut wanted = Vec::new();
    for row in &rows {
        let webhook: String = row.read("id")?;
        let topics: Topics = of_json("topics", row.read("topics")?)?;
        let wants: Vec<_> = events.iter().filter(|(_, _, event)| topics.include(Topic::of(event))).collect();
        if wants.is_empty() {
            continue;
        }
        let in_order = order_of(row)? == Order::PerCall;
        // Nothing can have been told of a call before its first event.
        let waits = in_order
            && events.iter().all(|(seq, ..)| *seq > 1)
            && query(QUEUE_UP).bind(&webhook).bind(&call).execute(&mut *conn).await? > 0;
        for (place, event) in wants.into_iter().enumerate() {
            // The others of one order wait for the first of them at least.
            wanted.push((webhook.clone(), event, waits || (in_order && place > 0)));
        }
    }
    let mut written = 0;
    for piece in wanted.chunks(INSERTED_AT_ONCE) {
        written += message_rows(key, piece).execute(&mut *conn).await?;
    }
    Ok(written)
}

/// Messages with their endpoint, and whether each waits for an earlier one.
fn message_rows(key: &Key, wanted: &[(String, &Happened<'_>, bool)]) -> Query {
    let mut insert = query(INSERT_COLUMNS);
    insert.push_bind(key.0.as_str()).push(", ").push_bind(key.1.to_string());
    let mut first = true;
    for (webhook, (seq, at, event), waits) in wanted {
        if !first {
            // The call is the same for all.
            insert.push(", ($1, $2");
        }
        first = false;
        insert.push(", ").push_bind(webhook).push(", ").push_bind(format!("msg_{}_{seq}", key.1));
        insert.push(", ").push_bind(i64::try_from(*seq).unwrap_or(i64::MAX));
        insert.push(", ").push_bind(Topic::of(event).word()).push(", ").push_bind(at.millis());
        insert.push(", ").push_bind(at.millis());
        insert.push(", ").push_bind((!waits).then_some(at.millis())).push(", 0, 0, 0)");
    }
    insert.push(" ON CONFLICT (account, webhook, message) DO NOTHING");
    insert
}

fn order_of(row: &Row) -> Result<Order, StoreError> {
    let endpoint: callwright_domain::webhook::Endpoint = of_json("endpoint", row.read("endpoint")?)?;
    Ok(endpoint.order)
}

/// [`crate::Store::announce`].
pub(crate) async fn announce(conn: &mut Conn, news: &Announcement, now: Moment) -> Result<u64, StoreError> {
    let agents = news.agent.as_ref().map_or_else(String::new, |agent| Whose::Agent(agent.clone()).word());
    let rows = query("SELECT id, topics FROM webhooks WHERE account = $1 AND whose IN ('', $2) AND status = 'enabled'")
        .bind(news.account.as_str())
        .bind(agents)
        .fetch_all(&mut *conn)
        .await?;
    let mut written = 0;
    for row in &rows {
        let topics: Topics = of_json("topics", row.read("topics")?)?;
        if !topics.include(news.topic) {
            continue;
        }
        written += query(INSERT)
            .bind(news.account.as_str())
            .bind(row.read::<&str>("id")?)
            .bind(format!("msg_{}", news.id))
            .bind("")
            .bind(0)
            .bind(news.topic.word())
            .bind(news.at.millis())
            .bind(json(&news.body)?)
            .bind(now.millis())
            .bind(now.millis())
            .execute(&mut *conn)
            .await?;
    }
    Ok(written)
}

/// [`crate::Store::claim_outbox`].
pub(crate) async fn claim(
    conn: &mut Conn,
    me: &NodeIdentity,
    wanted: &[(WebhookId, u32)],
    (now, lease): (Moment, Moment),
) -> Result<Vec<Pending>, StoreError> {
    let mut taken = Vec::new();
    for (webhook, room) in wanted {
        let mut claim = query(CHOOSE);
        claim.push(dialect::skip_locked(conn.backend())).push(CLAIM).push(COLUMNS);
        let rows = claim
            .bind(lease.millis())
            .bind(&me.node)
            .bind(me.epoch)
            .bind(webhook.as_str())
            .bind(now.millis())
            .bind(i64::from(*room))
            .fetch_all(&mut *conn)
            .await?;
        for row in &rows {
            taken.push(pending_of(row)?);
        }
    }
    Ok(taken)
}

/// [`crate::Store::release_outbox`].
pub(crate) async fn release(conn: &mut Conn, me: &NodeIdentity, now: Moment) -> Result<u64, StoreError> {
    query(RELEASE).bind(&me.node).bind(me.epoch).bind(now.millis()).execute(conn).await
}

/// [`crate::Store::settle_outbox`].
pub(crate) async fn settle(
    conn: &mut Conn,
    me: &NodeIdentity,
    pending: &Pending,
    settlement: &Settlement,
    now: Moment,
) -> Result<Settled, StoreError> {
    let (due, standing) = match settlement.fate {
        Fate::Heard => (None, Some(Standing::Delivered)),
        Fate::Nothing => (None, Some(Standing::Skipped)),
        Fate::GivenUp | Fate::Gone => (None, Some(Standing::Failed)),
        Fate::Later(then) => (Some(then), None),
    };
    let settle = query(SETTLE)
        .bind(pending.account.as_str())
        .bind(pending.webhook.as_str())
        .bind(&pending.message)
        .bind(due.map(Moment::millis))
        .bind(standing.map(Standing::word))
        .bind(standing.map(|_| now.millis()));
    let mut parts = vec![attempt_row(pending, &settlement.attempt)];
    parts.extend(failing_row(pending, settlement));
    parts.push(settle);
    // Settled by somebody else after our lease was out, or its endpoint was deleted.
    if together(conn, parts).await?.is_empty() {
        return Ok(Settled { next: None, disabled: None });
    }
    let disabled = judge_endpoint(conn, pending, settlement, now).await?;
    let next = if standing.is_some() { next(conn, me, pending, settlement.lease).await? } else { None };
    Ok(Settled { next, disabled })
}

async fn next(
    conn: &mut Conn,
    me: &NodeIdentity,
    pending: &Pending,
    lease: Moment,
) -> Result<Option<Pending>, StoreError> {
    let Content::Event { call, .. } = &pending.content else { return Ok(None) };
    let mut next = query(NEXT);
    next.push(COLUMNS);
    let row = next
        .bind(pending.webhook.as_str())
        .bind(call.to_string())
        .bind(lease.millis())
        .bind(&me.node)
        .bind(me.epoch)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(pending_of).transpose()
}

fn attempt_row(pending: &Pending, attempt: &Attempt) -> Query {
    query(ATTEMPT)
        .bind(pending.account.as_str())
        .bind(pending.webhook.as_str())
        .bind(&pending.message)
        .bind(attempt.at.millis())
        .bind(i64::try_from(attempt.took.as_millis()).unwrap_or(i64::MAX))
        .bind(attempt.status.map(i64::from))
        .bind(&attempt.detail)
}

/// Keeps since when an endpoint fails.
fn failing_row(pending: &Pending, settlement: &Settlement) -> Option<Query> {
    let failed = match settlement.fate {
        Fate::Nothing | Fate::Gone => return None,
        Fate::Heard => query(
            "UPDATE webhooks SET failing_since = NULL WHERE account = $1 AND id = $2 AND failing_since IS NOT NULL",
        )
        .bind(pending.account.as_str())
        .bind(pending.webhook.as_str()),
        Fate::Later(_) | Fate::GivenUp => {
            query("UPDATE webhooks SET failing_since = $3 WHERE account = $1 AND id = $2 AND failing_since IS NULL")
                .bind(pending.account.as_str())
                .bind(pending.webhook.as_str())
                .bind(settlement.attempt.at.millis())
        }
    };
    Some(failed)
}

/// Switches an endpoint off that has failed for too long or asked for it.
async fn judge_endpoint(
    conn: &mut Conn,
    pending: &Pending,
    settlement: &Settlement,
    now: Moment,
) -> Result<Option<Status>, StoreError> {
    let (owner, webhook) = (pending.account.as_str(), pending.webhook.as_str());
    let status = match settlement.fate {
        Fate::Nothing | Fate::Heard => return Ok(None),
        Fate::Gone => Status::Gone,
        Fate::Later(_) | Fate::GivenUp => Status::Failing,
    };
    let limit = if status == Status::Gone { i64::MAX } else { settlement.failing_before.millis() };
    let switched = query(
        "UPDATE webhooks SET status = $3 WHERE account = $1 AND id = $2 AND status = 'enabled'
             AND COALESCE(failing_since, 0) <= $4",
    )
    .bind(owner)
    .bind(webhook)
    .bind(status.word())
    .bind(limit)
    .execute(&mut *conn)
    .await?;
    if switched == 0 {
        return Ok(None);
    }
    let body = serde_json::json!({"webhook": webhook, "reason": status.word()});
    let id = format!("{webhook}_{}_{}", status.word(), now.millis());
    let account = pending.account.clone();
    let news = Announcement { account, agent: None, topic: Topic::WebhookDisabled, id, at: now, body };
    announce(conn, &news, now).await?;
    Ok(Some(status))
}

/// [`crate::Store::replay_outbox`]. What is told again is due at once, past the order of its call.
pub(crate) async fn replay(
    conn: &mut Conn,
    account: &AccountId,
    webhook: &WebhookId,
    which: &Replay,
    now: Moment,
) -> Result<u64, StoreError> {
    const AGAIN: &str = "UPDATE outbox SET due = $3, settled = NULL, outcome = NULL, tries_before = tries, owner = NULL
        WHERE account = $1 AND webhook = $2 AND ";
    let mut again = query(AGAIN);
    match which {
        Replay::One(_) => again.push("message = $4 AND settled IS NOT NULL"),
        Replay::FailedSince(_) => again.push("outcome = 'failed' AND queued >= $4"),
    };
    let again = again.bind(account.as_str()).bind(webhook.as_str()).bind(now.millis());
    match which {
        Replay::One(message) => again.bind(message),
        Replay::FailedSince(since) => again.bind(since.millis()),
    }
    .execute(conn)
    .await
}

/// [`crate::Store::mend_outbox`].
pub(crate) async fn mend(conn: &mut Conn, (now, lease): (Moment, Moment)) -> Result<u64, StoreError> {
    let rows = query(AHEAD).bind(now.millis()).bind(lease.millis()).fetch_all(&mut *conn).await?;
    let mut mended = 0;
    for row in &rows {
        let due: i64 = row.read("due")?;
        let seen = row.read::<Option<i64>>("tried")?.unwrap_or(0).max(row.read("queued")?);
        let ahead = seen.saturating_sub(now.millis());
        // As long after now as it was to be after the moment that was taken for now; what comes before that was mended.
        let meant = if ahead > 0 && due >= seen { due.saturating_sub(ahead) } else { due };
        let held = row.read::<Option<&str>>("owner")?.is_some();
        let meant = if held { meant.min(lease.millis()) } else { meant };
        if meant == due {
            continue;
        }
        mended += query("UPDATE outbox SET due = $5 WHERE account = $1 AND webhook = $2 AND message = $3 AND due = $4")
            .bind(row.read::<&str>("account")?)
            .bind(row.read::<&str>("webhook")?)
            .bind(row.read::<&str>("message")?)
            .bind(due)
            .bind(meant)
            .execute(&mut *conn)
            .await?;
    }
    Ok(mended)
}

/// Forgets messages that were settled before `before`, and endpoints of single calls that have nothing left to hear.
pub(crate) async fn purge(conn: &mut Conn, before: Moment) -> Result<u64, StoreError> {
    let messages = query("DELETE FROM outbox WHERE settled <= $1").bind(before.millis()).execute(&mut *conn).await?;
    query(
        "DELETE FROM webhooks WHERE whose LIKE 'call/%' AND created <= $1
             AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.account = webhooks.account AND o.webhook = webhooks.id)
             AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.account = webhooks.account
                 AND c.id = SUBSTR(webhooks.whose, 6) AND (c.ended IS NULL OR c.ended > $1))",
    )
    .bind(before.millis())
    .execute(conn)
    .await?;
    Ok(messages)
}

fn pending_of(row: &Row) -> Result<Pending, StoreError> {
    let call: &str = row.read("call")?;
    let content = if call.is_empty() {
        Content::Announcement(of_json("announcement", row.read::<Option<&str>>("body")?.unwrap_or("null"))?)
    } else {
        Content::Event { call: parsed("call id", call)?, seq: unsigned("sequence number", row.read("seq")?)? }
    };
    let tries: i64 = row.read("tries")?;
    let before: i64 = row.read("tries_before")?;
    Ok(Pending {
        account: parsed("account id", row.read("account")?)?,
        webhook: parsed("webhook id", row.read("webhook")?)?,
        message: row.read("message")?,
        topic: topic_of(row)?,
        at: Moment(row.read("at")?),
        content,
        queued: Moment(row.read("queued")?),
        tries: unsigned("tries", tries - before)?,
    })
}

/// The topic of the column `topic`.
pub(super) fn topic_of(row: &Row) -> Result<Topic, StoreError> {
    Topic::of_word(row.read("topic")?).ok_or_else(|| StoreError::unreadable("topic", "unknown word"))
}
