//! Rules, deny lists, consents, usage and verdicts as they are kept. What a verdict is made of is gathered in
//! [`super::facts`]; never judges.

use super::rows::{json, of_json, unsigned};
use super::{Conn, Pool, Query, Row, dialect, erasure, outbox, query};
use crate::StoreError;
use crate::calls::Key;
use crate::rules::{DayUsage, Denial, Listed, StoredConsent, StoredVerdict};
use callwright_domain::policy::alarm::{self, Near};
use callwright_domain::policy::rules::{effective, start_of_day};
use callwright_domain::policy::{Evidence, Rules, RulesPatch};
use callwright_domain::webhook::Announcement;
use callwright_domain::{AccountId, AgentId, CallId, CallPlan, Moment, PhoneNumber, Topic};
use std::collections::BTreeMap;

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Numbers with the same reason in one statement of an import.
const AT_ONCE: usize = 10_000;
/// From so many numbers with the same reason on they go as one list.
const MANY: usize = 50;
/// Numbers with reasons of their own in one statement.
const ROWS_AT_ONCE: usize = 1000;

/// The rules that count for a call of `agent`.
pub(crate) async fn rules_of(conn: &mut Conn, account: &AccountId, agent: &AgentId) -> Result<Rules, StoreError> {
    let rows = query("SELECT agent, rules FROM rules WHERE account = $1 AND (agent = '' OR agent = $2)")
        .bind(account.as_str())
        .bind(agent.as_str())
        .fetch_all(conn)
        .await?;
    let of =
        |row: &Row| Ok((row.read::<&str>("agent")?.is_empty(), of_json::<RulesPatch>("rules", row.read("rules")?)?));
    let patches = rows.iter().map(of).collect::<Result<Vec<_>, StoreError>>()?;
    let of = |whole: bool| patches.iter().find(|(is, _)| *is == whole).map(|(_, patch)| patch.clone());
    Ok(effective(of(true), of(false)))
}

pub(super) fn day(at: Moment) -> i64 {
    start_of_day(at).millis() / DAY_MS
}

/// See [`crate::Reader::usage`].
pub(crate) async fn daily_usage(
    pool: &Pool,
    account: &AccountId,
    (from, until): (Moment, Moment),
) -> Result<Vec<DayUsage>, StoreError> {
    let rows = query(
        "SELECT day, talked_ms, cost FROM usage_days WHERE account = $1 AND day * $4 >= $2 AND day * $4 < $3 ORDER BY day",
    )
    .bind(account.as_str())
    .bind(from.millis())
    .bind(until.millis())
    .bind(DAY_MS)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DayUsage {
                day: Moment(row.read::<i64>("day")?.saturating_mul(DAY_MS)),
                talked_ms: unsigned("usage", row.read("talked_ms")?)?,
                cost: unsigned("usage", row.read("cost")?)?,
            })
        })
        .collect()
}

/// Adds a call's talk to what its account has used; how many messages to endpoints came of it.
pub(crate) async fn use_up(conn: &mut Conn, key: &Key, ended: Moment, talked_ms: i64) -> Result<u64, StoreError> {
    if talked_ms <= 0 {
        return Ok(0);
    }
    let row = query("SELECT plan FROM calls WHERE account = $1 AND id = $2")
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .fetch_one(&mut *conn)
        .await?;
    let plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    let rules = rules_of(conn, &plan.account, &plan.agent_id).await?;
    // The moments that hanging up takes are not counted, nor those in which its node was gone: no more is used than was left.
    let granted = plan.talks_ms.and_then(|granted| i64::try_from(granted).ok());
    let talked_ms = granted.map_or(talked_ms, |granted| talked_ms.min(granted));
    let digits = plan.callee().and_then(PhoneNumber::international).unwrap_or_default();
    let cost = rules.quota.cost(digits, u64::try_from(talked_ms).unwrap_or(0));
    query(
        "INSERT INTO usage_days (account, day, talked_ms, cost) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, day) DO UPDATE SET talked_ms = usage_days.talked_ms + excluded.talked_ms,
             cost = usage_days.cost + excluded.cost",
    )
    .bind(plan.account.as_str())
    .bind(day(ended))
    .bind(talked_ms)
    .bind(i64::try_from(cost).unwrap_or(i64::MAX))
    .execute(&mut *conn)
    .await?;
    if !rules.quota.status.is_on() {
        return Ok(0);
    }
    let usage = super::facts::usage(conn, (&plan.account, plan.id), &rules.quota, ended).await?;
    alarm(conn, &plan.account, alarm::near(&rules.quota, &usage), ended).await
}

/// Tells the account's endpoints which of its limits are nearly used up, each once in its time: what has been told has the
/// same name, and is in the outbox already.
pub(super) async fn alarm(
    conn: &mut Conn,
    account: &AccountId,
    alarms: impl IntoIterator<Item = Near>,
    now: Moment,
) -> Result<u64, StoreError> {
    let mut messages = 0;
    for near in alarms {
        let body = serde_json::to_value(&near).map_err(|error| StoreError::unreadable("alarm", error))?;
        let (id, account) = (near.name(now), account.clone());
        let news = Announcement { account, agent: None, topic: Topic::LimitNear, id, at: now, body };
        messages += outbox::announce(conn, &news, now).await?;
    }
    Ok(messages)
}

/// Keeps a verdict; a later one at the same stage takes its place.
pub(super) fn verdict(plan: &CallPlan, evidence: &Evidence) -> Result<Query, StoreError> {
    let stage = json(&evidence.stage)?;
    Ok(query(
        "INSERT INTO verdicts (account, call, stage, at, refusal, evidence) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (account, call, stage) DO UPDATE SET at = excluded.at, refusal = excluded.refusal,
             evidence = excluded.evidence",
    )
    .bind(plan.account.as_str())
    .bind(plan.id.to_string())
    .bind(stage.trim_matches('"'))
    .bind(evidence.asked.millis())
    .bind(evidence.refusal.map(callwright_domain::Refusal::id))
    .bind(json(evidence)?))
}

/// [`crate::Store::put_rules`].
pub(crate) async fn put_rules(
    conn: &mut Conn,
    account: &AccountId,
    agent: Option<&AgentId>,
    rules: &RulesPatch,
    now: Moment,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO rules (account, agent, rules, updated) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, agent) DO UPDATE SET rules = excluded.rules, updated = excluded.updated",
    )
    .bind(account.as_str())
    .bind(agent.map_or("", AgentId::as_str))
    .bind(json(rules)?)
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::deny`]. How many were not on the list before.
pub(crate) async fn deny(conn: &mut Conn, listed: Listed, denials: &[Denial], now: Moment) -> Result<u64, StoreError> {
    // Two imports with numbers in common would wait for each other, had each written some of them: one goes after the other.
    if conn.held().is_some() {
        let lock = query(
            "INSERT INTO gates (account, gate, touched) VALUES ($1, 'deny list', $2)
             ON CONFLICT (account, gate) DO UPDATE SET touched = excluded.touched",
        );
        lock.bind(listed.key()).bind(now.millis()).execute(&mut *conn).await?;
    }
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for denial in denials {
        by_reason.entry(&denial.reason).or_default().push(denial.number.dial());
    }
    let (mut added, mut few) = (0, Vec::new());
    for (reason, numbers) in by_reason {
        if numbers.len() < MANY {
            few.extend(numbers.into_iter().map(|number| (number, reason)));
            continue;
        }
        for piece in numbers.chunks(AT_ONCE) {
            let mut insert =
                query("INSERT INTO denied (account, added, reason, number) SELECT $1, $2, $3, listed.value FROM ");
            insert.push(dialect::listed(conn.backend())).push(" WHERE 1 = 1 ON CONFLICT (account, number) DO NOTHING");
            let insert = insert.bind(listed.key()).bind(now.millis()).bind(reason);
            added += insert.bind(dialect::list_of(conn.backend(), piece)?).execute(&mut *conn).await?;
        }
    }
    for piece in few.chunks(ROWS_AT_ONCE) {
        added += denied_rows(&listed, piece, now).execute(&mut *conn).await?;
    }
    Ok(added)
}

/// Numbers with a reason of their own each.
fn denied_rows(listed: &Listed, rows: &[(&str, &str)], now: Moment) -> Query {
    let mut insert = query("INSERT INTO denied (account, added, number, reason) VALUES ");
    for (place, (number, reason)) in rows.iter().enumerate() {
        insert.push(if place == 0 { "(" } else { ", (" });
        if place == 0 {
            insert.push_bind(listed.key()).push(", ").push_bind(now.millis());
        } else {
            // The list and the moment are the same for all.
            insert.push("$1, $2");
        }
        insert.push(", ").push_bind(*number).push(", ").push_bind(*reason).push(")");
    }
    insert.push(" ON CONFLICT (account, number) DO NOTHING");
    insert
}

/// [`crate::Store::allow`].
pub(crate) async fn allow(conn: &mut Conn, listed: &Listed, number: &PhoneNumber) -> Result<bool, StoreError> {
    let gone = query("DELETE FROM denied WHERE account = $1 AND number IN ($2, $3)");
    Ok(gone.bind(listed.key()).bind(number.dial()).bind(digest_of(listed, number)).execute(conn).await? > 0)
}

/// What stands on an account's list for a number that was erased. The server's list holds none.
fn digest_of(listed: &Listed, number: &PhoneNumber) -> Option<String> {
    match listed {
        Listed::Of(account) => Some(erasure::digest(account, number)),
        Listed::Everywhere => None,
    }
}

/// [`crate::Store::put_zone`].
pub(crate) async fn put_zone(
    conn: &mut Conn,
    account: &AccountId,
    (number, zone): (&PhoneNumber, &str),
    now: Moment,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO callee_zones (account, number, zone, updated) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, number) DO UPDATE SET zone = excluded.zone, updated = excluded.updated",
    )
    .bind(account.as_str())
    .bind(number.dial())
    .bind(zone)
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::delete_zone`].
pub(crate) async fn delete_zone(
    conn: &mut Conn,
    account: &AccountId,
    number: &PhoneNumber,
) -> Result<bool, StoreError> {
    let gone = query("DELETE FROM callee_zones WHERE account = $1 AND number = $2");
    Ok(gone.bind(account.as_str()).bind(number.dial()).execute(conn).await? > 0)
}

/// [`crate::Reader::zone`].
pub(crate) async fn zone(
    pool: &Pool,
    account: &AccountId,
    number: &PhoneNumber,
) -> Result<Option<(String, Moment)>, StoreError> {
    let row = query("SELECT zone, updated FROM callee_zones WHERE account = $1 AND number = $2");
    let row = row.bind(account.as_str()).bind(number.dial()).fetch_optional(pool).await?;
    row.map(|row| Ok((row.read("zone")?, Moment(row.read("updated")?)))).transpose()
}

/// [`crate::Store::put_consent`].
pub(crate) async fn put_consent(
    conn: &mut Conn,
    account: &AccountId,
    consent: &StoredConsent,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO consents (account, number, scope, source, wording, given, revoked)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (account, number, scope) DO UPDATE SET source = excluded.source, wording = excluded.wording,
             given = excluded.given, revoked = excluded.revoked",
    )
    .bind(account.as_str())
    .bind(consent.number.dial())
    .bind(&consent.scope)
    .bind(&consent.source)
    .bind(&consent.wording)
    .bind(consent.given.millis())
    .bind(consent.revoked.map(Moment::millis))
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::revoke_consent`]. How many records it was taken back from.
pub(crate) async fn revoke(
    conn: &mut Conn,
    account: &AccountId,
    number: &PhoneNumber,
    now: Moment,
) -> Result<u64, StoreError> {
    query("UPDATE consents SET revoked = $3 WHERE account = $1 AND number = $2 AND revoked IS NULL")
        .bind(account.as_str())
        .bind(number.dial())
        .bind(now.millis())
        .execute(conn)
        .await
}

/// [`crate::Reader::rules`].
pub(crate) async fn rules(
    pool: &Pool,
    account: &AccountId,
    agent: Option<&AgentId>,
) -> Result<Option<RulesPatch>, StoreError> {
    let row = query("SELECT rules FROM rules WHERE account = $1 AND agent = $2")
        .bind(account.as_str())
        .bind(agent.map_or("", AgentId::as_str))
        .fetch_optional(pool)
        .await?;
    row.map(|row| of_json("rules", row.read("rules")?)).transpose()
}

/// [`crate::Reader::denial`].
pub(crate) async fn denial(
    pool: &Pool,
    listed: &Listed,
    number: &PhoneNumber,
) -> Result<Option<(Denial, Moment)>, StoreError> {
    let row = query("SELECT reason, added FROM denied WHERE account = $1 AND number IN ($2, $3) ORDER BY number DESC")
        .bind(listed.key())
        .bind(number.dial())
        .bind(digest_of(listed, number))
        .fetch_optional(pool)
        .await?;
    row.map(|row| {
        let denial = Denial { number: number.clone(), reason: row.read("reason")? };
        Ok((denial, Moment(row.read("added")?)))
    })
    .transpose()
}

/// [`crate::Reader::consents`].
pub(crate) async fn consents(
    pool: &Pool,
    account: &AccountId,
    number: &PhoneNumber,
) -> Result<Vec<StoredConsent>, StoreError> {
    let rows = query(
        "SELECT scope, source, wording, given, revoked FROM consents WHERE account = $1 AND number = $2 ORDER BY scope",
    )
    .bind(account.as_str())
    .bind(number.dial())
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredConsent {
                number: number.clone(),
                scope: row.read("scope")?,
                source: row.read("source")?,
                wording: row.read("wording")?,
                given: Moment(row.read("given")?),
                revoked: row.read::<Option<i64>>("revoked")?.map(Moment),
            })
        })
        .collect()
}

/// [`crate::Reader::verdicts`].
pub(crate) async fn verdicts(pool: &Pool, account: &AccountId, call: CallId) -> Result<Vec<StoredVerdict>, StoreError> {
    let rows =
        query("SELECT stage, at, refusal, evidence FROM verdicts WHERE account = $1 AND call = $2 ORDER BY stage")
            .bind(account.as_str())
            .bind(call.to_string())
            .fetch_all(pool)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredVerdict {
                stage: row.read("stage")?,
                at: Moment(row.read("at")?),
                refusal: row.read("refusal")?,
                evidence: of_json("evidence", row.read("evidence")?)?,
            })
        })
        .collect()
}

/// Forgets verdicts that are older than `before`.
pub(crate) async fn purge_verdicts(conn: &mut Conn, before: Moment) -> Result<u64, StoreError> {
    let old: Query = query("DELETE FROM verdicts WHERE at < $1");
    old.bind(before.millis()).execute(conn).await
}
