//! Rules, deny lists, consents and usage: written by their owners, and gathered as the facts of a verdict in the
//! transaction that acts on it. Never judges: [`policy::judge`] does.

use super::rows::{json, of_json, unsigned};
use super::waiting::holds_or_is_before;
use super::{Backend, Conn, Pool, Query, erasure, query};
use crate::calls::Key;
use crate::rules::{DENIED_EVERYWHERE, DayUsage, Denial, Listed, StoredConsent, StoredVerdict};
use crate::{NumberStatus, StoreError};
use callwright_domain::policy::rules::{effective, start_of_day};
use callwright_domain::policy::{
    CalleeStanding, CallerStanding, Case, Consent, Count, Evidence, Facts, Rules, RulesPatch, Usage, Whom,
    counts_needed,
};
use callwright_domain::{AccountId, AgentId, CallId, CallPlan, Moment, PhoneNumber, Telephone, Way};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Numbers in one statement of an import.
const AT_ONCE: usize = 1000;

/// `$4` is the call itself, which is not counted; who waits before it is, also when the number is only one of several that
/// it waits for. An account without a limit is not counted, or
/// accepting would grow slower with every call that waits.
const STANDING: &str = concat!(
    "SELECT n.status, n.max_calls, t.enabled AS trunk_enabled, a.max_calls AS account_limit,
        (SELECT COUNT(*) FROM calls c WHERE c.account = n.account AND c.caller = n.number AND c.ended IS NULL
            AND c.id <> $4 AND ",
    holds_or_is_before!("caller_busy"),
    ") + (SELECT COUNT(*) FROM calls c WHERE c.account = n.account AND c.waits = 'caller_busy' AND c.pool IS NOT NULL
            AND c.caller <> n.number AND c.pool LIKE '%,' || n.number || ',%' AND c.held = 0 AND c.id <> $4 AND ",
    holds_or_is_before!("caller_busy"),
    ") AS caller_active,
        CASE WHEN a.id IS NULL THEN 0
            ELSE (SELECT COUNT(*) FROM calls c WHERE c.account = n.account AND c.ended IS NULL
                AND c.id <> $4 AND ",
    holds_or_is_before!("account_busy"),
    ") END AS account_active
    FROM numbers n
        LEFT JOIN trunks t ON t.account = n.account AND t.id = $3
        LEFT JOIN accounts a ON a.id = n.account
        LEFT JOIN calls m ON m.account = n.account AND m.id = $4
    WHERE n.account = $1 AND n.number = $2"
);

/// The account's part of it, for a call that has no number: `$2` is the call itself.
const STANDING_OF_ACCOUNT: &str = concat!(
    "SELECT a.max_calls AS account_limit,
        (SELECT COUNT(*) FROM calls c WHERE c.account = a.id AND c.ended IS NULL AND c.id <> $2 AND ",
    holds_or_is_before!("account_busy"),
    ") AS account_active
    FROM accounts a LEFT JOIN calls m ON m.account = a.id AND m.id = $2 WHERE a.id = $1"
);

/// Calls of an agent that hold a place or wait for one before the call `$3`.
const OF_AGENT: &str = concat!(
    "SELECT COUNT(*) FROM calls c LEFT JOIN calls m ON m.account = c.account AND m.id = $3
     WHERE c.account = $1 AND c.agent = $2 AND c.ended IS NULL AND c.id <> $3 AND ",
    holds_or_is_before!("agent_busy")
);

/// The rules that count for a call of `agent`.
pub(crate) async fn rules_of(conn: &mut Conn, account: &AccountId, agent: &AgentId) -> Result<Rules, StoreError> {
    let rows = query("SELECT agent, rules FROM rules WHERE account = $1 AND (agent = '' OR agent = $2)")
        .bind(account.as_str())
        .bind(agent.as_str())
        .fetch_all(conn)
        .await?;
    let (mut whole, mut own) = (None, None);
    for row in &rows {
        let patch: RulesPatch = of_json("rules", row.read("rules")?)?;
        if row.read::<&str>("agent")?.is_empty() { whole = Some(patch) } else { own = Some(patch) }
    }
    Ok(effective(whole, own))
}

/// What is known about a call that asks for a verdict.
pub(crate) async fn facts(conn: &mut Conn, plan: &CallPlan, case: &Case<'_>) -> Result<Facts, StoreError> {
    let counted = counts_needed(case);
    lock_gates(conn, plan, case.rules, &counted).await?;
    let mut facts = match &plan.way {
        Way::Telephone(telephone) => {
            let mut facts = standing(conn, plan, telephone).await?;
            facts.callee = callee(conn, plan, &telephone.callee).await?;
            facts.consent = consent(conn, plan, &telephone.callee, &case.rules.consent.scope).await?;
            facts
        }
        Way::Browser(_) => standing_of_account(conn, plan).await?,
    };
    for count in &counted {
        facts.counts.push(found(conn, plan, count, case.at).await?);
    }
    if case.rules.agent_calls > 0 {
        let row = query(OF_AGENT).bind(plan.account.as_str()).bind(plan.agent_id.as_str()).bind(plan.id.to_string());
        facts.agent_active = unsigned("count", row.fetch_one(&mut *conn).await?.read(0)?)?;
    }
    if case.rules.quota.status.is_on() {
        facts.usage = usage(conn, &plan.account, case.at).await?;
    }
    Ok(facts)
}

/// What is counted over without a row of its own is locked by one, in an order that is the same for everybody. SQLite
/// has one writer and needs nothing.
async fn lock_gates(conn: &mut Conn, plan: &CallPlan, rules: &Rules, counted: &[Count]) -> Result<(), StoreError> {
    if conn.backend() == Backend::Sqlite {
        return Ok(());
    }
    let mut gates = Vec::new();
    if counted.iter().any(|count| count.whom == Whom::Account) {
        gates.push(String::from("account"));
    }
    if rules.agent_calls > 0 {
        gates.push(format!("agent {}", plan.agent_id));
    }
    if counted.iter().any(|count| matches!(count.whom, Whom::Callee | Whom::CalleeOfAgent)) {
        gates.push(format!("callee {}", plan.callee_dialled()));
    }
    for gate in gates {
        query(
            "INSERT INTO gates (account, gate, touched) VALUES ($1, $2, $3)
             ON CONFLICT (account, gate) DO UPDATE SET touched = excluded.touched",
        )
        .bind(plan.account.as_str())
        .bind(gate)
        .bind(plan.created.millis())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

async fn standing_of_account(conn: &mut Conn, plan: &CallPlan) -> Result<Facts, StoreError> {
    let row = query(STANDING_OF_ACCOUNT).bind(plan.account.as_str()).bind(plan.id.to_string());
    let free = Facts { caller: CallerStanding::Ready, caller_active: 0, caller_limit: u32::MAX, ..Facts::default() };
    // An account without a row has no limit of its own.
    let Some(row) = row.fetch_optional(conn).await? else {
        return Ok(Facts { account_active: 0, account_limit: u32::MAX, ..free });
    };
    Ok(Facts {
        account_active: unsigned("count", row.read("account_active")?)?,
        account_limit: unsigned("limit", row.read("account_limit")?)?,
        ..free
    })
}

async fn standing(conn: &mut Conn, plan: &CallPlan, telephone: &Telephone) -> Result<Facts, StoreError> {
    let row = query(STANDING)
        .bind(plan.account.as_str())
        .bind(telephone.caller.dial())
        .bind(telephone.trunk.as_str())
        .bind(plan.id.to_string())
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else {
        return Ok(Facts { caller: CallerStanding::Foreign, ..Facts::default() });
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

async fn callee(conn: &mut Conn, plan: &CallPlan, callee: &PhoneNumber) -> Result<CalleeStanding, StoreError> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM denied WHERE account = $1 AND number IN ($2, $4)) AS here,
            (SELECT COUNT(*) FROM denied WHERE account = $3 AND number = $2) AS everywhere,
            (SELECT COUNT(*) FROM numbers WHERE account = $1 AND number = $2) AS ours",
    )
    .bind(plan.account.as_str())
    .bind(callee.dial())
    .bind(DENIED_EVERYWHERE)
    .bind(erasure::digest(&plan.account, callee))
    .fetch_one(conn)
    .await?;
    let is = |column: &'static str| row.read::<i64>(column).map(|count| count > 0);
    Ok(match (is("ours")?, is("here")?, is("everywhere")?) {
        (true, ..) => CalleeStanding::Ours,
        (_, true, _) => CalleeStanding::Denied,
        (_, _, true) => CalleeStanding::DeniedEverywhere,
        _ => CalleeStanding::Free,
    })
}

async fn consent(conn: &mut Conn, plan: &CallPlan, callee: &PhoneNumber, scope: &str) -> Result<Consent, StoreError> {
    let rows = query("SELECT revoked FROM consents WHERE account = $1 AND number = $2 AND ($3 = '' OR scope = $3)")
        .bind(plan.account.as_str())
        .bind(callee.dial())
        .bind(scope)
        .fetch_all(conn)
        .await?;
    let revoked = rows.iter().map(|row| row.read("revoked")).collect::<Result<Vec<Option<i64>>, StoreError>>()?;
    Ok(match revoked.first() {
        None => Consent::Unknown,
        Some(_) if revoked.iter().any(Option::is_none) => Consent::Given,
        Some(_) => Consent::Revoked,
    })
}

/// A call counts from its acceptance on, at the moment at which it is due; one that ended undialled does not. Counting
/// stops at the limit.
async fn found(conn: &mut Conn, plan: &CallPlan, count: &Count, at: Moment) -> Result<u32, StoreError> {
    let mut select = query("SELECT COUNT(*) FROM (SELECT 1 AS one FROM calls WHERE account = ");
    select.push_bind(plan.account.as_str()).push(" AND due > ").push_bind(count.after.millis());
    select.push(" AND due <= ").push_bind(at.millis());
    select.push(" AND id <> ").push_bind(plan.id.to_string()).push(" AND (ended IS NULL OR attempt > 0)");
    match count.whom {
        Whom::Account => {}
        Whom::Caller => {
            select.push(" AND caller = ").push_bind(plan.caller_dialled());
        }
        Whom::Callee => {
            select.push(" AND callee = ").push_bind(plan.callee_dialled());
        }
        Whom::CalleeOfAgent => {
            select.push(" AND callee = ").push_bind(plan.callee_dialled());
            select.push(" AND agent = ").push_bind(plan.agent_id.as_str());
        }
    }
    select.push(" LIMIT ").push_bind(i64::from(count.below)).push(") AS counted");
    unsigned("count", select.fetch_one(conn).await?.read(0)?)
}

async fn usage(conn: &mut Conn, account: &AccountId, at: Moment) -> Result<Usage, StoreError> {
    let row = query(
        "SELECT CAST(COALESCE(SUM(talked_ms), 0) AS BIGINT) AS ever,
            CAST(COALESCE(SUM(CASE WHEN day = $2 THEN talked_ms ELSE 0 END), 0) AS BIGINT) AS today,
            CAST(COALESCE(SUM(CASE WHEN day = $2 THEN cost ELSE 0 END), 0) AS BIGINT) AS cost
         FROM usage_days WHERE account = $1",
    )
    .bind(account.as_str())
    .bind(day(at))
    .fetch_one(conn)
    .await?;
    Ok(Usage {
        today_ms: unsigned("usage", row.read("today")?)?,
        ever_ms: unsigned("usage", row.read("ever")?)?,
        today_cost: unsigned("usage", row.read("cost")?)?,
    })
}

fn day(at: Moment) -> i64 {
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

/// Adds a call's talk to what its account has used.
pub(crate) async fn use_up(conn: &mut Conn, key: &Key, ended: Moment, talked_ms: i64) -> Result<(), StoreError> {
    if talked_ms <= 0 {
        return Ok(());
    }
    let row = query("SELECT plan FROM calls WHERE account = $1 AND id = $2")
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .fetch_one(&mut *conn)
        .await?;
    let plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    let rules = rules_of(conn, &plan.account, &plan.agent_id).await?;
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
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps a verdict; a later one at the same stage takes its place.
pub(crate) async fn keep_verdict(conn: &mut Conn, plan: &CallPlan, evidence: &Evidence) -> Result<(), StoreError> {
    let stage = json(&evidence.stage)?;
    query(
        "INSERT INTO verdicts (account, call, stage, at, refusal, evidence) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (account, call, stage) DO UPDATE SET at = excluded.at, refusal = excluded.refusal,
             evidence = excluded.evidence",
    )
    .bind(plan.account.as_str())
    .bind(plan.id.to_string())
    .bind(stage.trim_matches('"'))
    .bind(evidence.asked.millis())
    .bind(evidence.refusal.map(callwright_domain::Refusal::id))
    .bind(json(evidence)?)
    .execute(conn)
    .await?;
    Ok(())
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
    let mut added = 0;
    for piece in denials.chunks(AT_ONCE) {
        let mut insert = query("INSERT INTO denied (account, added, number, reason) VALUES ");
        for (place, denial) in piece.iter().enumerate() {
            insert.push(if place == 0 { "(" } else { ", (" });
            if place == 0 {
                insert.push_bind(listed.key()).push(", ").push_bind(now.millis());
            } else {
                // The list and the moment are the same for all.
                insert.push("$1, $2");
            }
            insert.push(", ").push_bind(denial.number.dial()).push(", ").push_bind(&denial.reason).push(")");
        }
        insert.push(" ON CONFLICT (account, number) DO NOTHING");
        added += insert.execute(&mut *conn).await?;
    }
    Ok(added)
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
