//! Removing what has outlived its account's rules: files are marked here and removed by the node that has them, words and
//! whole calls go in the same transaction. Never judges how long is long: [`Retention`] does.

use super::rows::{absence_of, json, of_json, parsed};
use super::{Conn, Pool, Query, chats, dialect, query};
use crate::calls::Key;
use crate::{BlobName, Removal, StoreError, Swept};
use callwright_domain::policy::RulesPatch;
use callwright_domain::policy::rules::effective;
use callwright_domain::retention::Kept;
use callwright_domain::{Absence, AccountId, AgentId, CallId, CallPlan, Moment, Retention};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long it can be told that a call was there: as long as why it was placed.
const DEPARTED_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// Events that hold words. The tag is the first member of what serde writes (`CallEvent` is tagged inside), so the text
/// can be asked for its beginning without reading JSON in the database.
const FORGET_WORDS: &str = r#"
    DELETE FROM events WHERE account = $1 AND call = $2 AND (event LIKE '{"event":"heard",%'
        OR event LIKE '{"event":"said",%' OR event LIKE '{"event":"tool_run",%' OR event LIKE '{"event":"key_pressed",%')"#;

/// What an account set, and what each of its agents changes in it.
type Patches = (Option<RulesPatch>, Vec<(AgentId, RulesPatch)>);

/// Calls of one account under one rule: those of one agent, or of all that have no rule of their own.
struct Scope {
    account: AccountId,
    agent: Option<AgentId>,
    /// With no agent: those that have rules of their own.
    others: Vec<AgentId>,
    rule: Retention,
}

/// [`crate::Store::sweep`].
pub(crate) async fn sweep(conn: &mut Conn, now: Moment, limit: u32) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    for scope in scopes(conn).await? {
        for part in Kept::ALL {
            let Some(until) = scope.rule.until(part, now) else { continue };
            if part == Kept::Transcript {
                let whose = (scope.agent.as_ref(), scope.others.as_slice());
                let expired = chats::expire(conn, &scope.account, whose, (until, limit)).await?;
                swept.transcripts += expired;
                swept.more |= expired >= u64::from(limit);
            }
            let calls = outlived(conn, &scope, part, (until, limit)).await?;
            swept.more |= calls.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
            for (key, owner) in &calls {
                match part {
                    Kept::Recording => {
                        expire_recording(conn, key, (owner.as_deref(), now)).await?;
                        swept.recordings += 1;
                    }
                    Kept::Transcript => {
                        expire_words(conn, key).await?;
                        swept.transcripts += 1;
                    }
                    Kept::Record => {
                        expire_record(conn, key, (owner.as_deref(), now)).await?;
                        swept.records += 1;
                    }
                }
            }
        }
    }
    let before = now.before(DEPARTED_KEPT).millis();
    query("DELETE FROM departed WHERE at < $1").bind(before).execute(conn).await?;
    Ok(swept)
}

/// Every rule that removes something, with the calls that it is for.
async fn scopes(conn: &mut Conn) -> Result<Vec<Scope>, StoreError> {
    let rows = query("SELECT account, agent, rules FROM rules ORDER BY account, agent").fetch_all(conn).await?;
    let mut accounts: BTreeMap<String, Patches> = BTreeMap::new();
    for row in &rows {
        let patch: RulesPatch = of_json("rules", row.read("rules")?)?;
        let of = accounts.entry(row.read("account")?).or_default();
        match row.read::<&str>("agent")? {
            "" => of.0 = Some(patch),
            agent => of.1.push((parsed("agent id", agent)?, patch)),
        }
    }
    let mut scopes = Vec::new();
    for (account, (whole, agents)) in accounts {
        let account: AccountId = parsed("account id", &account)?;
        let others: Vec<AgentId> = agents.iter().map(|(agent, _)| agent.clone()).collect();
        for (agent, own) in agents {
            let rule = effective(whole.clone(), Some(own)).retention;
            scopes.push(Scope { account: account.clone(), agent: Some(agent), others: Vec::new(), rule });
        }
        scopes.push(Scope { account, agent: None, others, rule: effective(whole, None).retention });
    }
    Ok(scopes)
}

/// Ended calls that still have this part and should not: themselves, and the node that ran them.
async fn outlived(
    conn: &mut Conn,
    scope: &Scope,
    part: Kept,
    (until, limit): (Moment, u32),
) -> Result<Vec<(Key, Option<String>)>, StoreError> {
    let mut select = query("SELECT id, owner FROM calls WHERE account = ");
    select.push_bind(scope.account.as_str()).push(" AND ended IS NOT NULL AND ended <= ").push_bind(until.millis());
    match part {
        Kept::Recording => select.push(" AND recording_gone IS NULL"),
        Kept::Transcript => select.push(" AND words_gone IS NULL"),
        Kept::Record => &mut select,
    };
    if let Some(agent) = &scope.agent {
        select.push(" AND agent = ").push_bind(agent.as_str());
    }
    for other in &scope.others {
        select.push(" AND agent <> ").push_bind(other.as_str());
    }
    select.push(" ORDER BY ended, id LIMIT ").push_bind(i64::from(limit));
    select.push(dialect::skip_locked(conn.backend()));
    let rows = select.fetch_all(conn).await?;
    let key = |id| Ok::<Key, StoreError>((scope.account.clone(), parsed("call id", id)?));
    rows.iter().map(|row| Ok((key(row.read("id")?)?, row.read("owner")?))).collect()
}

fn of_key(statement: &'static str, key: &Key) -> Query {
    query(statement).bind(key.0.as_str()).bind(key.1.to_string())
}

async fn expire_recording(conn: &mut Conn, key: &Key, (owner, now): (Option<&str>, Moment)) -> Result<(), StoreError> {
    of_key("UPDATE calls SET recording = NULL, recording_gone = $3 WHERE account = $1 AND id = $2", key)
        .bind(Absence::Expired.word())
        .execute(&mut *conn)
        .await?;
    forget_recording(conn, key, (owner, None, now)).await
}

/// Queues the file that a call has or would have: after a crash there may be one that nothing tells of.
pub(super) async fn forget_recording(
    conn: &mut Conn,
    key: &Key,
    (owner, erasure, now): (Option<&str>, Option<&str>, Moment),
) -> Result<(), StoreError> {
    match owner {
        // Nobody ever ran it.
        None => Ok(()),
        Some(node) => remove_recording(conn, key, (BlobName::of_call(key.1).as_str(), node), (erasure, now)).await,
    }
}

/// Queues a file for its removal.
pub(super) async fn remove_recording(
    conn: &mut Conn,
    key: &Key,
    (name, node): (&str, &str),
    (erasure, now): (Option<&str>, Moment),
) -> Result<(), StoreError> {
    query(
        "INSERT INTO removals (account, name, node, erasure, queued) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account, name) DO UPDATE SET erasure = COALESCE(excluded.erasure, removals.erasure)",
    )
    .bind(key.0.as_str())
    .bind(name)
    .bind(node)
    .bind(erasure)
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(())
}

async fn expire_words(conn: &mut Conn, key: &Key) -> Result<(), StoreError> {
    forget_words(conn, key).await?;
    let row = of_key("SELECT plan FROM calls WHERE account = $1 AND id = $2", key).fetch_one(&mut *conn).await?;
    let mut plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    plan.variables.clear();
    plan.user_data = None;
    of_key("UPDATE calls SET words_gone = $3, plan = $4 WHERE account = $1 AND id = $2", key)
        .bind(Absence::Expired.word())
        .bind(json(&plan)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes what was said, pressed and given to tools out of the journal, and what was made of it. The places of the other
/// events stay.
pub(super) async fn forget_words(conn: &mut Conn, key: &Key) -> Result<(), StoreError> {
    for statement in [
        FORGET_WORDS,
        "DELETE FROM extracts WHERE account = $1 AND call = $2",
        "DELETE FROM call_notes WHERE account = $1 AND call = $2",
    ] {
        of_key(statement, key).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Takes away what was told of a call, and the endpoint that was told of it alone.
pub(super) async fn forget_telling(conn: &mut Conn, key: &Key) -> Result<(), StoreError> {
    let settled = "DELETE FROM outbox WHERE account = $1 AND call = $2 AND settled IS NOT NULL";
    of_key(settled, key).execute(&mut *conn).await?;
    let own = query("DELETE FROM webhooks WHERE account = $1 AND whose = $2");
    own.bind(key.0.as_str()).bind(format!("call/{}", key.1)).execute(conn).await?;
    Ok(())
}

async fn expire_record(conn: &mut Conn, key: &Key, (owner, now): (Option<&str>, Moment)) -> Result<(), StoreError> {
    forget_recording(conn, key, (owner, None, now)).await?;
    forget_telling(conn, key).await?;
    for statement in [
        "DELETE FROM outbox WHERE account = $1 AND call = $2",
        "DELETE FROM verdicts WHERE account = $1 AND call = $2",
        "DELETE FROM extracts WHERE account = $1 AND call = $2",
        "DELETE FROM call_notes WHERE account = $1 AND call = $2",
        "DELETE FROM aliases WHERE account = $1 AND inner_id = $2",
        "DELETE FROM calls WHERE account = $1 AND id = $2",
    ] {
        of_key(statement, key).execute(&mut *conn).await?;
    }
    of_key("INSERT INTO departed (account, call, why, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING", key)
        .bind(Absence::Expired.word())
        .bind(now.millis())
        .execute(conn)
        .await?;
    Ok(())
}

/// [`crate::Store::removed`].
pub(crate) async fn removed(conn: &mut Conn, gone: &[Removal]) -> Result<(), StoreError> {
    for one in gone {
        query("DELETE FROM removals WHERE account = $1 AND name = $2")
            .bind(one.account.as_str())
            .bind(one.name.as_str())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// [`crate::Reader::removals`].
pub(crate) async fn removals(pool: &Pool, node: &str, limit: u32) -> Result<Vec<Removal>, StoreError> {
    let rows = query("SELECT account, name FROM removals WHERE node = $1 ORDER BY queued, name LIMIT $2")
        .bind(node)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    rows.iter()
        .map(|row| {
            let account = parsed("account id", row.read("account")?)?;
            Ok(Removal { account, name: parsed("recording", row.read("name")?)? })
        })
        .collect()
}

/// [`crate::Reader::departed`].
pub(crate) async fn departed(pool: &Pool, account: &AccountId, call: CallId) -> Result<Option<Absence>, StoreError> {
    let row = query("SELECT why FROM departed WHERE account = $1 AND call = $2")
        .bind(account.as_str())
        .bind(call.to_string())
        .fetch_optional(pool)
        .await?;
    row.map_or(Ok(None), |row| absence_of(row.read("why")?))
}
