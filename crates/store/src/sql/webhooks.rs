//! Endpoints as they are kept, and reading what was told to them. Never tells.

use super::outbox::topic_of;
use super::rows::{VIEW_COLUMNS, call_view, json, of_json, parsed, unsigned};
use super::{Conn, Pool, Row, query};
use crate::outbox::{Attempt, Delivery, Standing, ToTell};
use crate::{Page, StoreError};
use callwright_domain::webhook::{Status, Whose};
use callwright_domain::{AccountId, CallEvent, CallId, Moment, Recorded, Webhook, WebhookId};
use std::time::Duration;

/// What [`super::configuration::delete`] removes; its messages go with it.
pub(crate) const WEBHOOK: &str = "DELETE FROM webhooks WHERE account = $1 AND id = $2";

const SELECT: &str =
    "SELECT account, id, whose, endpoint, topics, status, failing_since, created, updated FROM webhooks";

/// [`crate::Store::put_webhook`]. The id is unique over all accounts: another account's is not replaced.
pub(crate) async fn put(conn: &mut Conn, webhook: &Webhook) -> Result<(), StoreError> {
    let put = query(
        "INSERT INTO webhooks (account, id, whose, endpoint, topics, status, failing_since, created, updated)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (account, id) DO UPDATE SET whose = excluded.whose, endpoint = excluded.endpoint,
             topics = excluded.topics, status = excluded.status, failing_since = excluded.failing_since,
             updated = excluded.updated",
    )
    .bind(webhook.account.as_str())
    .bind(webhook.id.as_str())
    .bind(webhook.whose.word())
    .bind(json(&webhook.endpoint)?)
    .bind(json(&webhook.topics)?)
    .bind(webhook.status.word())
    .bind(webhook.failing_since.map(Moment::millis))
    .bind(webhook.created.millis())
    .bind(webhook.updated.millis())
    .execute(conn)
    .await?;
    if put == 1 { Ok(()) } else { Err(StoreError::Taken { what: "the webhook's id" }) }
}

/// See [`crate::Reader::webhook`].
pub(crate) async fn one(pool: &Pool, account: &AccountId, id: &WebhookId) -> Result<Option<Webhook>, StoreError> {
    let mut select = query(SELECT);
    select.push(" WHERE account = $1 AND id = $2");
    let row = select.bind(account.as_str()).bind(id.as_str()).fetch_optional(pool).await?;
    row.as_ref().map(webhook_of).transpose()
}

/// See [`crate::Reader::to_tell`]. The endpoint's and the event's columns have names of their own: the call's are read as
/// everywhere else.
pub(crate) async fn to_tell(
    pool: &Pool,
    (account, webhook): (&AccountId, &WebhookId),
    (call, seq): (CallId, u64),
) -> Result<ToTell, StoreError> {
    let mut select = query(
        "SELECT hook_id, hook_whose, hook_endpoint, hook_topics, hook_status, hook_failing, hook_created,
        hook_updated, event_at, event_text, ",
    );
    select.push(VIEW_COLUMNS).push(
        " FROM (SELECT 1 AS one) asks
        LEFT JOIN (SELECT id AS hook_id, whose AS hook_whose, endpoint AS hook_endpoint, topics AS hook_topics,
                status AS hook_status, failing_since AS hook_failing, created AS hook_created, updated AS hook_updated
            FROM webhooks WHERE account = $1 AND id = $2) hook ON 1 = 1
        LEFT JOIN (SELECT at AS event_at, event AS event_text FROM events
            WHERE account = $1 AND call = $3 AND seq = $4) happened ON 1 = 1
        LEFT JOIN (SELECT * FROM calls WHERE account = $1 AND id = $3) told ON 1 = 1",
    );
    let row = select
        .bind(account.as_str())
        .bind(webhook.as_str())
        .bind(call.to_string())
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .fetch_one(pool)
        .await?;
    let hook = match row.read::<Option<&str>>("hook_id")? {
        None => None,
        Some(_) => Some(webhook_from(&row, account.clone(), JOINED)?),
    };
    let happened = match (row.read::<Option<&str>>("plan")?, row.read::<Option<&str>>("event_text")?) {
        (Some(_), Some(event)) => {
            let recorded = Recorded { seq, at: Moment(row.read("event_at")?), event: of_json("event", event)? };
            Some((call_view(&row)?, recorded))
        }
        _ => None,
    };
    Ok(ToTell { webhook: hook, happened })
}

/// See [`crate::Reader::webhooks`]. Endpoints of single calls are not listed: they are read by their call.
pub(crate) async fn list(pool: &Pool, account: &AccountId, whose: Option<&Whose>) -> Result<Vec<Webhook>, StoreError> {
    let mut select = query(SELECT);
    select.push(match whose {
        None => " WHERE account = $1 AND whose NOT LIKE 'call/%' ORDER BY created, id",
        Some(_) => " WHERE account = $1 AND whose = $2 ORDER BY created, id",
    });
    let mut select = select.bind(account.as_str());
    if let Some(whose) = whose {
        select = select.bind(whose.word());
    }
    select.fetch_all(pool).await?.iter().map(webhook_of).collect()
}

/// See [`crate::Reader::outbox_due`]. Hops from endpoint to endpoint, so that the messages waiting for one do not count.
pub(crate) async fn due(pool: &Pool, now: Moment) -> Result<Vec<WebhookId>, StoreError> {
    let rows = query(
        "WITH RECURSIVE waiting (webhook) AS (
             SELECT MIN(webhook) FROM outbox WHERE due IS NOT NULL
             UNION ALL
             SELECT (SELECT MIN(o.webhook) FROM outbox o WHERE o.due IS NOT NULL AND o.webhook > waiting.webhook)
             FROM waiting WHERE waiting.webhook IS NOT NULL)
         SELECT webhook FROM waiting WHERE webhook IS NOT NULL
             AND EXISTS (SELECT 1 FROM outbox d WHERE d.webhook = waiting.webhook AND d.due <= $1)",
    )
    .bind(now.millis())
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| parsed("webhook id", row.read("webhook")?)).collect()
}

/// See [`crate::Reader::deliveries`]. Newest first.
pub(crate) async fn deliveries(
    pool: &Pool,
    (account, webhook): (&AccountId, &WebhookId),
    standing: Option<Standing>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Delivery>, StoreError> {
    let (before, message) = match cursor {
        None => (i64::MAX, String::new()),
        Some(cursor) => {
            let (at, message) = cursor.split_once('.').ok_or(StoreError::BadCursor)?;
            (at.parse().map_err(|_| StoreError::BadCursor)?, message.to_owned())
        }
    };
    let mut select = query(
        "SELECT message, call, seq, topic, at, queued, due, tries, outcome, settled FROM outbox
         WHERE account = $1 AND webhook = $2 AND (queued < $3 OR (queued = $3 AND message < $4))",
    )
    .bind(account.as_str())
    .bind(webhook.as_str())
    .bind(before)
    .bind(message);
    match standing {
        None => {}
        Some(Standing::Pending) => {
            select.push(" AND settled IS NULL");
        }
        Some(standing) => {
            select.push(" AND outcome = ").push_bind(standing.word());
        }
    }
    select.push(" ORDER BY queued DESC, message DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = select.fetch_all(pool).await?;
    let mut items = rows.iter().map(delivery_of).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next = items.last().filter(|_| more).map(|last| format!("{}.{}", last.queued.millis(), last.message));
    Ok(Page { items, next })
}

/// See [`crate::Reader::attempts`].
pub(crate) async fn attempts(
    pool: &Pool,
    account: &AccountId,
    webhook: &WebhookId,
    message: &str,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = query(
        "SELECT at, took_ms, status, detail FROM outbox_attempts
         WHERE account = $1 AND webhook = $2 AND message = $3 ORDER BY attempt",
    )
    .bind(account.as_str())
    .bind(webhook.as_str())
    .bind(message)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Attempt {
                at: Moment(row.read("at")?),
                took: Duration::from_millis(unsigned("duration", row.read("took_ms")?)?),
                status: row.read::<Option<i64>>("status")?.map(|value| unsigned("status", value)).transpose()?,
                detail: row.read("detail")?,
            })
        })
        .collect()
}

/// See [`crate::Reader::happened`].
pub(crate) async fn happened(
    pool: &Pool,
    account: &AccountId,
    (at, call, seq): (Moment, CallId, u64),
    limit: u32,
) -> Result<Vec<(CallId, Recorded)>, StoreError> {
    let rows = query(
        "SELECT call, seq, at, event FROM events
         WHERE account = $1 AND at >= $2 AND (at > $2 OR call > $3 OR (call = $3 AND seq > $4))
         ORDER BY at, call, seq LIMIT $5",
    )
    .bind(account.as_str())
    .bind(at.millis())
    .bind(call.to_string())
    .bind(i64::try_from(seq).unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let recorded = Recorded {
                seq: unsigned("sequence number", row.read("seq")?)?,
                at: Moment(row.read("at")?),
                event: of_json::<CallEvent>("event", row.read("event")?)?,
            };
            Ok((parsed("call id", row.read("call")?)?, recorded))
        })
        .collect()
}

/// The columns of an endpoint: id, whose, endpoint, topics, status, failing since, created, updated.
type Columns = [&'static str; 8];

const OWN: Columns = ["id", "whose", "endpoint", "topics", "status", "failing_since", "created", "updated"];

const JOINED: Columns = [
    "hook_id",
    "hook_whose",
    "hook_endpoint",
    "hook_topics",
    "hook_status",
    "hook_failing",
    "hook_created",
    "hook_updated",
];

fn webhook_of(row: &Row) -> Result<Webhook, StoreError> {
    webhook_from(row, parsed("account id", row.read("account")?)?, OWN)
}

fn webhook_from(row: &Row, account: AccountId, columns: Columns) -> Result<Webhook, StoreError> {
    let unknown = |what| StoreError::unreadable(what, "unknown word");
    let [id, whose, endpoint, topics, status, failing_since, created, updated] = columns;
    Ok(Webhook {
        id: parsed("webhook id", row.read(id)?)?,
        account,
        whose: Whose::of_word(row.read(whose)?).ok_or_else(|| unknown("webhook"))?,
        endpoint: of_json("endpoint", row.read(endpoint)?)?,
        topics: of_json("topics", row.read(topics)?)?,
        status: Status::of_word(row.read(status)?).ok_or_else(|| unknown("webhook status"))?,
        failing_since: row.read::<Option<i64>>(failing_since)?.map(Moment),
        created: Moment(row.read(created)?),
        updated: Moment(row.read(updated)?),
    })
}

fn delivery_of(row: &Row) -> Result<Delivery, StoreError> {
    let call: &str = row.read("call")?;
    let event = if call.is_empty() {
        None
    } else {
        Some((parsed("call id", call)?, unsigned("sequence number", row.read("seq")?)?))
    };
    let outcome: Option<&str> = row.read("outcome")?;
    let standing = Standing::of_word(outcome.unwrap_or(Standing::Pending.word()));
    Ok(Delivery {
        message: row.read("message")?,
        topic: topic_of(row)?,
        event,
        at: Moment(row.read("at")?),
        queued: Moment(row.read("queued")?),
        standing: standing.ok_or_else(|| StoreError::unreadable("message", "unknown outcome"))?,
        due: row.read::<Option<i64>>("due")?.map(Moment),
        tries: unsigned("tries", row.read("tries")?)?,
        settled: row.read::<Option<i64>>("settled")?.map(Moment),
    })
}
