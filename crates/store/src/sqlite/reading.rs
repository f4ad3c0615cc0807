//! SQL that reads. Every statement but [`key`], [`all_trunks`] and [`next_due`] is narrowed to one account.

use super::rows::{VIEW_COLUMNS, call_view, cause_of, of_json, parsed, q850_of, status_of, timeline_of, unsigned};
use crate::{
    Account, Alias, AliasKind, CallFilter, CallView, Number, NumberStatus, Page, Record, StoreError, StoredAgent, Trunk,
};
use callwright_domain::agent::Switch;
use callwright_domain::{
    AccountId, AgentId, ApiKey, CallEvent, CallId, KeyId, Moment, PhoneNumber, Pii, Recorded, TrunkId,
};
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{QueryBuilder, Row};
use std::time::Duration;

/// Finds a pair by the vendor's id.
pub(crate) const BY_OUTER: &str =
    "SELECT outer_id, inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND outer_id = $4";
/// Finds a pair by our id.
pub(crate) const BY_INNER: &str =
    "SELECT outer_id, inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND inner_id = $4";

/// See [`crate::Reader::account`].
pub(crate) async fn account(pool: &SqlitePool, id: &AccountId) -> Result<Option<Account>, StoreError> {
    let row: Option<(String, i64)> = sqlx::query_as("SELECT name, max_calls FROM accounts WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?;
    row.map(|(name, max_calls)| Ok(Account { id: id.clone(), name, max_calls: unsigned("limit", max_calls)? }))
        .transpose()
}

/// See [`crate::Reader::agent`].
pub(crate) async fn agent(
    pool: &SqlitePool,
    account: &AccountId,
    id: &AgentId,
) -> Result<Option<StoredAgent>, StoreError> {
    sqlx::query("SELECT id, profile, updated FROM agents WHERE account = $1 AND id = $2")
        .bind(account.as_str())
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(agent_of)
        .transpose()
}

/// See [`crate::Reader::agents`].
pub(crate) async fn agents(
    pool: &SqlitePool,
    account: &AccountId,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<StoredAgent>, StoreError> {
    let rows =
        sqlx::query("SELECT id, profile, updated FROM agents WHERE account = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(account.as_str())
            .bind(after.unwrap_or(""))
            .bind(i64::from(limit) + 1)
            .fetch_all(pool)
            .await?;
    let agents = rows.iter().map(agent_of).collect::<Result<Vec<_>, _>>()?;
    Ok(page(agents, limit, |agent| agent.id.to_string()))
}

fn agent_of(row: &SqliteRow) -> Result<StoredAgent, StoreError> {
    Ok(StoredAgent {
        id: parsed("agent id", row.try_get("id")?)?,
        profile: of_json("agent", row.try_get("profile")?)?,
        updated: Moment(row.try_get("updated")?),
    })
}

/// See [`crate::Reader::number`].
pub(crate) async fn number(
    pool: &SqlitePool,
    account: &AccountId,
    number: &PhoneNumber,
) -> Result<Option<Number>, StoreError> {
    sqlx::query("SELECT account, number, trunk, status, max_calls FROM numbers WHERE account = $1 AND number = $2")
        .bind(account.as_str())
        .bind(number.dial())
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(number_of)
        .transpose()
}

/// See [`crate::Reader::numbers`].
pub(crate) async fn numbers(pool: &SqlitePool, account: &AccountId) -> Result<Vec<Number>, StoreError> {
    sqlx::query("SELECT account, number, trunk, status, max_calls FROM numbers WHERE account = $1 ORDER BY number")
        .bind(account.as_str())
        .fetch_all(pool)
        .await?
        .iter()
        .map(number_of)
        .collect()
}

fn number_of(row: &SqliteRow) -> Result<Number, StoreError> {
    let status = NumberStatus::of_word(row.try_get("status")?);
    Ok(Number {
        account: parsed("account id", row.try_get("account")?)?,
        number: PhoneNumber::parse(row.try_get("number")?).map_err(|why| StoreError::unreadable("number", why))?,
        trunk: parsed("trunk id", row.try_get("trunk")?)?,
        status: status.ok_or_else(|| StoreError::unreadable("number", "unknown status"))?,
        max_calls: unsigned("limit", row.try_get("max_calls")?)?,
    })
}

/// See [`crate::Reader::trunk`].
pub(crate) async fn trunk(pool: &SqlitePool, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>, StoreError> {
    sqlx::query("SELECT id, settings, enabled FROM trunks WHERE account = $1 AND id = $2")
        .bind(account.as_str())
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(trunk_of)
        .transpose()
}

/// See [`crate::Reader::trunks`].
pub(crate) async fn trunks(pool: &SqlitePool, account: &AccountId) -> Result<Vec<Trunk>, StoreError> {
    sqlx::query("SELECT id, settings, enabled FROM trunks WHERE account = $1 ORDER BY id")
        .bind(account.as_str())
        .fetch_all(pool)
        .await?
        .iter()
        .map(trunk_of)
        .collect()
}

/// See [`crate::Reader::all_trunks`].
pub(crate) async fn all_trunks(pool: &SqlitePool) -> Result<Vec<(AccountId, Trunk)>, StoreError> {
    sqlx::query("SELECT account, id, settings, enabled FROM trunks ORDER BY account, id")
        .fetch_all(pool)
        .await?
        .iter()
        .map(|row| Ok((parsed("account id", row.try_get("account")?)?, trunk_of(row)?)))
        .collect()
}

fn trunk_of(row: &SqliteRow) -> Result<Trunk, StoreError> {
    Ok(Trunk {
        id: parsed("trunk id", row.try_get("id")?)?,
        settings: of_json("trunk", row.try_get("settings")?)?,
        enabled: Switch::from(row.try_get::<i64, _>("enabled")? != 0),
    })
}

/// See [`crate::Reader::key`].
pub(crate) async fn key(pool: &SqlitePool, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
    sqlx::query("SELECT account, id, name, secret, scopes, status FROM api_keys WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(key_of)
        .transpose()
}

/// See [`crate::Reader::keys`].
pub(crate) async fn keys(pool: &SqlitePool, account: &AccountId) -> Result<Vec<ApiKey>, StoreError> {
    sqlx::query("SELECT account, id, name, secret, scopes, status FROM api_keys WHERE account = $1 ORDER BY id")
        .bind(account.as_str())
        .fetch_all(pool)
        .await?
        .iter()
        .map(key_of)
        .collect()
}

fn key_of(row: &SqliteRow) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: parsed("key id", row.try_get("id")?)?,
        account: parsed("account id", row.try_get("account")?)?,
        name: row.try_get("name")?,
        secret: Pii::new(row.try_get("secret")?),
        scopes: of_json("scopes", row.try_get("scopes")?)?,
        status: of_json("key status", row.try_get("status")?)?,
    })
}

/// See [`crate::Reader::call`].
pub(crate) async fn call(pool: &SqlitePool, account: &AccountId, id: CallId) -> Result<Option<CallView>, StoreError> {
    let mut query = select_calls(account);
    query.push(" AND id = ").push_bind(id.to_string());
    query.build().fetch_optional(pool).await?.as_ref().map(call_view).transpose()
}

/// See [`crate::Reader::calls`].
pub(crate) async fn calls(
    pool: &SqlitePool,
    account: &AccountId,
    filter: &CallFilter,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<CallView>, StoreError> {
    let mut query = select_calls(account);
    narrow(&mut query, filter);
    if let Some(cursor) = cursor {
        let (created, id) = read_cursor(cursor).ok_or(StoreError::BadCursor)?;
        query.push(" AND (created < ").push_bind(created.millis());
        query.push(" OR (created = ").push_bind(created.millis());
        query.push(" AND id < ").push_bind(id.to_string()).push("))");
    }
    query.push(" ORDER BY created DESC, id DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = query.build().fetch_all(pool).await?;
    let views = rows.iter().map(call_view).collect::<Result<Vec<_>, _>>()?;
    Ok(page(views, limit, |view| format!("{}.{}", view.plan.created.millis(), view.plan.id)))
}

fn select_calls(account: &AccountId) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT ");
    query.push(VIEW_COLUMNS).push(" FROM calls WHERE account = ").push_bind(account.as_str().to_owned());
    query
}

fn narrow(query: &mut QueryBuilder<Sqlite>, filter: &CallFilter) {
    if let Some(stage) = filter.state {
        query.push(" AND state = ").push_bind(stage.word());
    }
    if let Some(agent) = &filter.agent {
        query.push(" AND agent = ").push_bind(agent.as_str().to_owned());
    }
    if let Some(callee) = &filter.callee {
        query.push(" AND callee = ").push_bind(callee.dial().to_owned());
    }
    if let Some(caller) = &filter.caller {
        query.push(" AND caller = ").push_bind(caller.dial().to_owned());
    }
    if let Some(since) = filter.since {
        query.push(" AND created >= ").push_bind(since.millis());
    }
    if let Some(until) = filter.until {
        query.push(" AND created < ").push_bind(until.millis());
    }
}

fn read_cursor(text: &str) -> Option<(Moment, CallId)> {
    let (created, id) = text.split_once('.')?;
    Some((Moment(created.parse().ok()?), id.parse().ok()?))
}

/// See [`crate::Reader::journal`].
pub(crate) async fn journal(
    pool: &SqlitePool,
    account: &AccountId,
    id: CallId,
    after_seq: u64,
    limit: u32,
) -> Result<Vec<Recorded>, StoreError> {
    sqlx::query("SELECT seq, at, event FROM events WHERE account = $1 AND call = $2 AND seq > $3 ORDER BY seq LIMIT $4")
        .bind(account.as_str())
        .bind(id.to_string())
        .bind(i64::try_from(after_seq).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(|row| {
            Ok(Recorded {
                seq: unsigned("sequence number", row.try_get("seq")?)?,
                at: Moment(row.try_get("at")?),
                event: of_json::<CallEvent>("event", row.try_get("event")?)?,
            })
        })
        .collect()
}

/// See [`crate::Reader::records`].
pub(crate) async fn records(pool: &SqlitePool, account: &AccountId, id: CallId) -> Result<Vec<Record>, StoreError> {
    sqlx::query(
        "SELECT attempt, cause, status, q850, timeline, talked_ms FROM records
         WHERE account = $1 AND call = $2 ORDER BY attempt",
    )
    .bind(account.as_str())
    .bind(id.to_string())
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| {
        Ok(Record {
            call: id,
            attempt: unsigned("attempt", row.try_get("attempt")?)?,
            cause: cause_of(row.try_get("cause")?)?,
            status: status_of(row)?,
            q850: q850_of(row)?,
            timeline: timeline_of(row)?,
            talked: Duration::from_millis(unsigned("duration", row.try_get("talked_ms")?)?),
        })
    })
    .collect()
}

/// See [`crate::Reader::active_calls`].
pub(crate) async fn active_calls(
    pool: &SqlitePool,
    account: &AccountId,
    caller: &PhoneNumber,
) -> Result<u32, StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM calls WHERE account = $1 AND caller = $2 AND ended IS NULL")
        .bind(account.as_str())
        .bind(caller.dial())
        .fetch_one(pool)
        .await?;
    unsigned("count", count)
}

/// See [`crate::Reader::next_due`].
pub(crate) async fn next_due(pool: &SqlitePool) -> Result<Option<Moment>, StoreError> {
    let due: Option<i64> = sqlx::query_scalar("SELECT MIN(due) FROM calls WHERE state = 'queued' AND owner IS NULL")
        .fetch_one(pool)
        .await?;
    Ok(due.map(Moment))
}

/// See [`crate::Reader::alias_of_outer`].
pub(crate) async fn alias(
    pool: &SqlitePool,
    statement: &'static str,
    (account, dialect, kind): (&AccountId, &str, AliasKind),
    id: &str,
) -> Result<Option<Alias>, StoreError> {
    let pair: Option<(String, String)> = sqlx::query_as(statement)
        .bind(account.as_str())
        .bind(dialect)
        .bind(kind.word())
        .bind(id)
        .fetch_optional(pool)
        .await?;
    Ok(pair.map(|(outer, inner)| Alias { account: account.clone(), dialect: dialect.to_owned(), kind, outer, inner }))
}

/// A page of at most `limit` from one item more than that.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}
