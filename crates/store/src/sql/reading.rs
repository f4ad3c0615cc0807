//! SQL that reads. Every statement but [`key`], [`is_kept`], [`all_trunks`] and [`next_due`] is narrowed to one account.

use super::rows::{VIEW_COLUMNS, call_view, cause_of, of_json, parsed, q850_of, status_of, timeline_of, unsigned};
use super::{Pool, Query, Row, query};
use crate::{
    Account, Alias, AliasKind, Basis, BlobName, CallFilter, CallOwner, CallView, Number, NumberStatus, Page, Record,
    StoreError, StoredAgent, Trunk,
};
use callwright_domain::agent::Switch;
use callwright_domain::policy::rules::effective;
use callwright_domain::{
    AccountId, AgentId, ApiKey, CallEvent, CallId, KeyId, Moment, PhoneNumber, Pii, Recorded, TrunkId,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Finds a pair by the vendor's id.
pub(crate) const BY_OUTER: &str =
    "SELECT outer_id, inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND outer_id = $4";
/// Finds a pair by our id.
pub(crate) const BY_INNER: &str =
    "SELECT outer_id, inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND inner_id = $4";

/// See [`crate::Reader::account`].
pub(crate) async fn account(pool: &Pool, id: &AccountId) -> Result<Option<Account>, StoreError> {
    let row =
        query("SELECT name, max_calls FROM accounts WHERE id = $1").bind(id.as_str()).fetch_optional(pool).await?;
    row.map(|row| {
        Ok(Account { id: id.clone(), name: row.read("name")?, max_calls: unsigned("limit", row.read("max_calls")?)? })
    })
    .transpose()
}

/// See [`crate::Reader::agent`].
pub(crate) async fn agent(pool: &Pool, account: &AccountId, id: &AgentId) -> Result<Option<StoredAgent>, StoreError> {
    query("SELECT id, profile, updated, created FROM agents WHERE account = $1 AND id = $2")
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
    pool: &Pool,
    account: &AccountId,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<StoredAgent>, StoreError> {
    let rows = query(
        "SELECT id, profile, updated, created FROM agents WHERE account = $1 AND id > $2
         ORDER BY id LIMIT $3",
    )
    .bind(account.as_str())
    .bind(after.unwrap_or(""))
    .bind(i64::from(limit) + 1)
    .fetch_all(pool)
    .await?;
    let agents = rows.iter().map(agent_of).collect::<Result<Vec<_>, _>>()?;
    Ok(page(agents, limit, |agent| agent.id.to_string()))
}

fn agent_of(row: &Row) -> Result<StoredAgent, StoreError> {
    Ok(StoredAgent {
        id: parsed("agent id", row.read("id")?)?,
        profile: of_json("agent", row.read("profile")?)?,
        updated: Moment(row.read("updated")?),
        created: Moment(row.read("created")?),
    })
}

/// See [`crate::Reader::number`].
pub(crate) async fn number(
    pool: &Pool,
    account: &AccountId,
    number: &PhoneNumber,
) -> Result<Option<Number>, StoreError> {
    query(
        "SELECT account, number, trunk, spare_trunks, status, max_calls, agent FROM numbers
         WHERE account = $1 AND number = $2",
    )
    .bind(account.as_str())
    .bind(number.dial())
    .fetch_optional(pool)
    .await?
    .as_ref()
    .map(number_of)
    .transpose()
}

/// See [`crate::Reader::numbers`].
pub(crate) async fn numbers(pool: &Pool, account: &AccountId) -> Result<Vec<Number>, StoreError> {
    query(
        "SELECT account, number, trunk, spare_trunks, status, max_calls, agent FROM numbers
         WHERE account = $1 ORDER BY number",
    )
    .bind(account.as_str())
    .fetch_all(pool)
    .await?
    .iter()
    .map(number_of)
    .collect()
}

fn number_of(row: &Row) -> Result<Number, StoreError> {
    let status = NumberStatus::of_word(row.read("status")?);
    Ok(Number {
        account: parsed("account id", row.read("account")?)?,
        number: PhoneNumber::parse(row.read("number")?).map_err(|why| StoreError::unreadable("number", why))?,
        trunk: parsed("trunk id", row.read("trunk")?)?,
        spare_trunks: of_json("spare trunks", row.read("spare_trunks")?)?,
        status: status.ok_or_else(|| StoreError::unreadable("number", "unknown status"))?,
        max_calls: unsigned("limit", row.read("max_calls")?)?,
        agent: match row.read("agent")? {
            "" => None,
            id => Some(parsed("agent id", id)?),
        },
    })
}

/// See [`crate::Reader::basis`]. Rows of three tables in one answer: `kind` says which; the columns are the numbers'.
pub(crate) async fn basis(
    pool: &Pool,
    (account, agent): (&AccountId, &AgentId),
    callers: &[PhoneNumber],
) -> Result<Basis, StoreError> {
    let mut select = query(
        "SELECT 'agent' AS kind, account, id AS number, profile AS trunk, '' AS spare_trunks, '' AS status,
                updated AS max_calls, created, '' AS agent FROM agents WHERE account = $1 AND id = $2
         UNION ALL SELECT 'rules', account, agent, rules, '', '', updated, 0, '' FROM rules
                WHERE account = $1 AND agent IN ('', $2)
         UNION ALL SELECT 'number', account, number, trunk, spare_trunks, status, max_calls, 0, agent FROM numbers
                WHERE account = $1",
    )
    .bind(account.as_str())
    .bind(agent.as_str());
    for (place, caller) in callers.iter().enumerate() {
        select.push(if place == 0 { " AND number IN (" } else { ", " }).push_bind(caller.dial());
    }
    if !callers.is_empty() {
        select.push(")");
    }
    let (mut found, mut whole, mut own) = (Basis::default(), None, None);
    for row in &select.fetch_all(pool).await? {
        match row.read::<&str>("kind")? {
            "agent" => {
                found.agent = Some(StoredAgent {
                    id: agent.clone(),
                    profile: of_json("agent", row.read("trunk")?)?,
                    updated: Moment(row.read("max_calls")?),
                    created: Moment(row.read("created")?),
                });
            }
            "rules" if row.read::<&str>("number")?.is_empty() => whole = Some(of_json("rules", row.read("trunk")?)?),
            "rules" => own = Some(of_json("rules", row.read("trunk")?)?),
            _ => found.numbers.push(number_of(row)?),
        }
    }
    found.rules = effective(whole, own);
    found.numbers.sort_by(|a, b| a.number.dial().cmp(b.number.dial()));
    Ok(found)
}

/// See [`crate::Reader::trunk`].
pub(crate) async fn trunk(pool: &Pool, account: &AccountId, id: &TrunkId) -> Result<Option<Trunk>, StoreError> {
    query("SELECT id, settings, enabled FROM trunks WHERE account = $1 AND id = $2")
        .bind(account.as_str())
        .bind(id.as_str())
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(trunk_of)
        .transpose()
}

/// See [`crate::Reader::trunks`].
pub(crate) async fn trunks(pool: &Pool, account: &AccountId) -> Result<Vec<Trunk>, StoreError> {
    query("SELECT id, settings, enabled FROM trunks WHERE account = $1 ORDER BY id")
        .bind(account.as_str())
        .fetch_all(pool)
        .await?
        .iter()
        .map(trunk_of)
        .collect()
}

/// See [`crate::Reader::all_trunks`].
pub(crate) async fn all_trunks(pool: &Pool) -> Result<Vec<(AccountId, Trunk)>, StoreError> {
    query("SELECT account, id, settings, enabled FROM trunks ORDER BY account, id")
        .fetch_all(pool)
        .await?
        .iter()
        .map(|row| Ok((parsed("account id", row.read("account")?)?, trunk_of(row)?)))
        .collect()
}

fn trunk_of(row: &Row) -> Result<Trunk, StoreError> {
    Ok(Trunk {
        id: parsed("trunk id", row.read("id")?)?,
        settings: of_json("trunk", row.read("settings")?)?,
        enabled: Switch::from(row.read::<i64>("enabled")? != 0),
    })
}

/// The key and nobody's, which is read and understood like any other: whether a key is there must not show in the time
/// that the answer takes.
const KEY: &str = "
    SELECT account, id, name, secret, scopes, status, CAST(1 AS BIGINT) AS known FROM api_keys WHERE id = $1
    UNION ALL SELECT 'nobody', 'nobody', 'nobody', 'nobody', '[\"calls_write\",\"calls_read\"]', '\"active\"',
        CAST(0 AS BIGINT)
    ORDER BY known DESC LIMIT 1";

/// See [`crate::Reader::key`].
pub(crate) async fn key(pool: &Pool, id: &KeyId) -> Result<Option<ApiKey>, StoreError> {
    let row = query(KEY).bind(id.as_str()).fetch_one(pool).await?;
    let (key, known) = (key_of(&row)?, row.read::<i64>("known")?);
    Ok((known == 1).then_some(key))
}

/// See [`crate::Reader::keys`].
pub(crate) async fn keys(pool: &Pool, account: &AccountId) -> Result<Vec<ApiKey>, StoreError> {
    query("SELECT account, id, name, secret, scopes, status FROM api_keys WHERE account = $1 ORDER BY id")
        .bind(account.as_str())
        .fetch_all(pool)
        .await?
        .iter()
        .map(key_of)
        .collect()
}

fn key_of(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: parsed("key id", row.read("id")?)?,
        account: parsed("account id", row.read("account")?)?,
        name: row.read("name")?,
        secret: Pii::new(row.read("secret")?),
        scopes: of_json("scopes", row.read("scopes")?)?,
        status: of_json("key status", row.read("status")?)?,
    })
}

/// See [`crate::Reader::call`].
pub(crate) async fn call(pool: &Pool, account: &AccountId, id: CallId) -> Result<Option<CallView>, StoreError> {
    let mut query = select_calls(account);
    query.push(" AND id = ").push_bind(id.to_string());
    query.fetch_optional(pool).await?.as_ref().map(call_view).transpose()
}

/// See [`crate::Reader::is_kept`].
pub(crate) async fn is_kept(pool: &Pool, call: CallId, name: &BlobName) -> Result<bool, StoreError> {
    let found = query("SELECT id FROM calls WHERE id = $1 AND recording = $2").bind(call.to_string());
    Ok(found.bind(name.as_str()).fetch_optional(pool).await?.is_some())
}

/// See [`crate::Reader::calls`].
pub(crate) async fn calls(
    pool: &Pool,
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
    let rows = query.fetch_all(pool).await?;
    let views = rows.iter().map(call_view).collect::<Result<Vec<_>, _>>()?;
    Ok(page(views, limit, |view| format!("{}.{}", view.plan.created.millis(), view.plan.id)))
}

/// See [`crate::Reader::count_calls`].
pub(crate) async fn count_calls(pool: &Pool, account: &AccountId, filter: &CallFilter) -> Result<u64, StoreError> {
    let mut query = query("SELECT COUNT(*) AS total FROM calls WHERE account = ");
    query.push_bind(account.as_str().to_owned());
    narrow(&mut query, filter);
    let row = query.fetch_optional(pool).await?;
    let total = row.map_or(Ok(0), |row| row.read::<i64>("total"))?;
    Ok(u64::try_from(total).unwrap_or(0))
}

/// See [`crate::Reader::calls_at`].
pub(crate) async fn calls_at(
    pool: &Pool,
    account: &AccountId,
    filter: &CallFilter,
    (offset, limit): (u64, u32),
) -> Result<Vec<CallView>, StoreError> {
    let mut query = select_calls(account);
    narrow(&mut query, filter);
    query.push(" ORDER BY created DESC, id DESC LIMIT ").push_bind(i64::from(limit));
    query.push(" OFFSET ").push_bind(i64::try_from(offset).unwrap_or(i64::MAX));
    query.fetch_all(pool).await?.iter().map(call_view).collect()
}

fn select_calls(account: &AccountId) -> Query {
    let mut query = query("SELECT ");
    query.push(VIEW_COLUMNS).push(" FROM calls WHERE account = ").push_bind(account.as_str().to_owned());
    query
}

fn narrow(query: &mut Query, filter: &CallFilter) {
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
    if filter.telephone.is_on() {
        query.push(" AND channel IS NULL");
    }
}

fn read_cursor(text: &str) -> Option<(Moment, CallId)> {
    let (created, id) = text.split_once('.')?;
    Some((Moment(created.parse().ok()?), id.parse().ok()?))
}

/// See [`crate::Reader::journal`].
pub(crate) async fn journal(
    pool: &Pool,
    account: &AccountId,
    id: CallId,
    after_seq: u64,
    limit: u32,
) -> Result<Vec<Recorded>, StoreError> {
    query("SELECT seq, at, event FROM events WHERE account = $1 AND call = $2 AND seq > $3 ORDER BY seq LIMIT $4")
        .bind(account.as_str())
        .bind(id.to_string())
        .bind(i64::try_from(after_seq).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?
        .iter()
        .map(recorded_of)
        .collect()
}

/// See [`crate::Reader::journal_since`].
pub(crate) async fn journal_since(
    pool: &Pool,
    account: &AccountId,
    from: Moment,
    after: Option<(CallId, u64)>,
    limit: u32,
) -> Result<Vec<(CallId, Recorded)>, StoreError> {
    let (call, seq) = after.map_or_else(Default::default, |(call, seq)| (call.to_string(), seq));
    query(
        "SELECT events.call, events.seq, events.at, events.event FROM calls
         JOIN events ON events.account = calls.account AND events.call = calls.id
         WHERE calls.account = $1 AND (calls.ended IS NULL OR calls.ended >= $2) AND events.at >= $2
             AND (events.call > $3 OR (events.call = $3 AND events.seq > $4))
         ORDER BY events.call, events.seq LIMIT $5",
    )
    .bind(account.as_str())
    .bind(from.millis())
    .bind(call)
    .bind(i64::try_from(seq).unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| Ok((parsed("call id", row.read("call")?)?, recorded_of(row)?)))
    .collect()
}

/// The event that the columns `seq`, `at` and `event` spell.
pub(super) fn recorded_of(row: &Row) -> Result<Recorded, StoreError> {
    Ok(Recorded {
        seq: unsigned("sequence number", row.read("seq")?)?,
        at: Moment(row.read("at")?),
        event: of_json::<CallEvent>("event", row.read("event")?)?,
    })
}

/// See [`crate::Reader::records`].
pub(crate) async fn records(pool: &Pool, account: &AccountId, id: CallId) -> Result<Vec<Record>, StoreError> {
    query(
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
            attempt: unsigned("attempt", row.read("attempt")?)?,
            cause: cause_of(row.read("cause")?)?,
            status: status_of(row)?,
            q850: q850_of(row)?,
            timeline: timeline_of(row)?,
            talked: Duration::from_millis(unsigned("duration", row.read("talked_ms")?)?),
        })
    })
    .collect()
}

/// See [`crate::Reader::active_calls`].
pub(crate) async fn active_calls(pool: &Pool, account: &AccountId, caller: &PhoneNumber) -> Result<u32, StoreError> {
    let row = query("SELECT COUNT(*) FROM calls WHERE account = $1 AND caller = $2 AND ended IS NULL AND held = 1")
        .bind(account.as_str())
        .bind(caller.dial())
        .fetch_one(pool)
        .await?;
    unsigned("count", row.read(0)?)
}

/// See [`crate::Reader::active_by_caller`].
pub(crate) async fn active_by_caller(pool: &Pool, account: &AccountId) -> Result<BTreeMap<String, u32>, StoreError> {
    query(
        "SELECT caller, COUNT(*) AS active FROM calls WHERE account = $1 AND ended IS NULL AND held = 1 GROUP BY caller",
    )
    .bind(account.as_str())
    .fetch_all(pool)
    .await?
    .iter()
    .map(|row| Ok((row.read("caller")?, unsigned("count", row.read("active")?)?)))
    .collect()
}

/// See [`crate::Reader::active_calls_of`].
pub(crate) async fn active_calls_of(pool: &Pool, account: &AccountId, agent: &AgentId) -> Result<u32, StoreError> {
    let row = query("SELECT COUNT(*) FROM calls WHERE account = $1 AND agent = $2 AND ended IS NULL AND held = 1")
        .bind(account.as_str())
        .bind(agent.as_str())
        .fetch_one(pool)
        .await?;
    unsigned("count", row.read(0)?)
}

/// See [`crate::Reader::owner`].
pub(crate) async fn owner(pool: &Pool, account: &AccountId, id: CallId) -> Result<Option<CallOwner>, StoreError> {
    let row = query(
        "SELECT c.owner, n.advertise_url FROM calls c JOIN nodes n ON n.node = c.owner AND n.epoch = c.epoch
         WHERE c.account = $1 AND c.id = $2",
    )
    .bind(account.as_str())
    .bind(id.to_string())
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok(CallOwner { node: row.read("owner")?, advertise_url: row.read("advertise_url")? })).transpose()
}

/// See [`crate::Reader::next_due`].
pub(crate) async fn next_due(pool: &Pool) -> Result<Option<Moment>, StoreError> {
    let row = query("SELECT MIN(due) FROM calls WHERE state = 'queued' AND waits IS NULL AND owner IS NULL")
        .fetch_one(pool)
        .await?;
    Ok(row.read::<Option<i64>>(0)?.map(Moment))
}

/// See [`crate::Reader::alias_of_outer`].
pub(crate) async fn alias(
    pool: &Pool,
    statement: &'static str,
    (account, dialect, kind): (&AccountId, &str, AliasKind),
    id: &str,
) -> Result<Option<Alias>, StoreError> {
    let pair =
        query(statement).bind(account.as_str()).bind(dialect).bind(kind.word()).bind(id).fetch_optional(pool).await?;
    pair.map(|row| {
        let (outer, inner) = (row.read("outer_id")?, row.read("inner_id")?);
        Ok(Alias { account: account.clone(), dialect: dialect.to_owned(), kind, outer, inner })
    })
    .transpose()
}

/// See [`crate::Reader::aliases`].
pub(crate) async fn aliases(
    pool: &Pool,
    account: &AccountId,
    dialect: &str,
    kinds: &[AliasKind],
) -> Result<Vec<Alias>, StoreError> {
    let mut select =
        query("SELECT kind, outer_id, inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind IN (")
            .bind(account.as_str())
            .bind(dialect);
    for (place, kind) in kinds.iter().enumerate() {
        select.push(if place == 0 { "" } else { ", " }).push_bind(kind.word());
    }
    select.push(") ORDER BY outer_id");
    let pair = |row: &Row| {
        let (word, outer, inner) = (row.read::<&str>("kind")?, row.read("outer_id")?, row.read("inner_id")?);
        let kind = kinds.iter().find(|kind| kind.word() == word).copied();
        let kind = kind.ok_or_else(|| StoreError::unreadable("vendor id", "unknown kind"))?;
        Ok(Alias { account: account.clone(), dialect: dialect.to_owned(), kind, outer, inner })
    };
    select.fetch_all(pool).await?.iter().map(pair).collect()
}

/// A page of at most `limit` from one item more than that.
pub(super) fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}
