//! What is known about a call that asks for a verdict: gathered in the transaction that acts on the verdict, behind the
//! lock of its caller number. Two statements where no rule counts over calls. Never judges: [`policy::judge`] does.
//!
//! [`policy::judge`]: callwright_domain::policy::judge

use super::admission::case_of;
use super::rows::{of_json, unsigned};
use super::rules::{day, rules_of};
use super::{Conn, Gates, Held, Query, Row, dialect, erasure, query};
use crate::rules::DENIED_EVERYWHERE;
use crate::{NumberStatus, StoreError};
use callwright_domain::policy::rules::{Quota, effective};
use callwright_domain::policy::{
    CalleeStanding, CallerStanding, Case, Consent, Count, Facts, Rules, RulesPatch, Usage, Whom, counts_needed,
};
use callwright_domain::webhook::Whose;
use callwright_domain::{AccountId, AgentId, CallId, CallPlan, Moment, PhoneNumber};
use std::collections::BTreeSet;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// The caller numbers that may show, with the account's limit and rules. Nobody else counts over the numbers' calls from
/// here to the transaction's end; what is counted is asked for afterwards, or it would not show what was written by
/// whoever had the lock before.
const NUMBERS: &str = "
    SELECT n.number, n.status, n.max_calls, a.max_calls AS account_limit,
        (SELECT r.rules FROM rules r WHERE r.account = $1 AND r.agent = '') AS whole,
        (SELECT r.rules FROM rules r WHERE r.account = $1 AND r.agent = $2) AS own,
        (SELECT z.zone FROM callee_zones z WHERE z.account = $1 AND z.number = $3) AS zone,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM callee_zones k WHERE k.account = $1) THEN 1 ELSE 0 END AS BIGINT) AS zones,
        CAST(CASE WHEN EXISTS (SELECT 1 FROM webhooks w WHERE w.account = $1 AND w.status = 'enabled'
            AND w.whose IN ('', $4)) THEN 1 ELSE 0 END AS BIGINT) AS heard
    FROM numbers n LEFT JOIN accounts a ON a.id = n.account
    WHERE n.account = $1 AND n.number IN (";

/// A call without a number locks its account.
const ACCOUNT: &str = "SELECT max_calls FROM accounts WHERE id = $1";

/// Calls that wait for the place in the brackets before the call that asks, `m`. A call that is not there yet comes
/// after everybody, one that holds its place before. Written as a choice and not with OR, which SQLite would look up in
/// the indexes of all calls.
macro_rules! wait_before {
    ($busy:literal) => {
        concat!(
            "c.waits = '",
            $busy,
            "' AND CASE WHEN c.due < COALESCE(CASE WHEN m.held = 1 THEN -1 ELSE m.due END, 9223372036854775807) THEN 1
                WHEN c.due = m.due AND m.held = 0 AND c.id < m.id THEN 1 ELSE 0 END = 1"
        )
    };
}

/// Calls that ask, a row each: account, caller, call, agent, whether the account's and the agent's calls are counted,
/// callee, the callee's digest, whose list is everybody's, the scope of the consent, trunk.
const ASKS: &str = "
    WITH asks(account, caller, call, agent, of_account, of_agent, callee, digest, everybody, scope, trunk) AS (VALUES ";

/// The call itself is not counted. Who waits before it is, also when the number is only one of several that
/// they wait for. Who holds a place and who waits for one are counted apart, each by an
/// index that holds nothing else: a hundred thousand calls that are due later cost nothing. What has no limit
/// is not counted.
const COUNTED: &str = concat!(
    ")
    SELECT a.call,
        (SELECT COUNT(*) FROM calls c
            WHERE c.account = a.account AND c.caller = a.caller AND c.ended IS NULL AND c.held = 1 AND c.id <> a.call)
            + (SELECT COUNT(*) FROM calls c WHERE c.account = a.account AND c.caller = a.caller AND c.id <> a.call AND ",
    wait_before!("caller_busy"),
    ")
            + (SELECT COUNT(*) FROM calls c WHERE c.account = a.account AND c.waits IS NOT NULL AND c.pool IS NOT NULL
                AND c.caller <> a.caller AND c.pool LIKE '%,' || a.caller || ',%' AND c.id <> a.call AND ",
    wait_before!("caller_busy"),
    ") AS caller_active,
        (SELECT t.enabled FROM trunks t WHERE t.account = a.account AND t.id = a.trunk) AS trunk_enabled,
        CASE WHEN a.of_account = 0 THEN CAST(0 AS BIGINT) ELSE
            (SELECT COUNT(*) FROM calls c
                WHERE c.account = a.account AND c.ended IS NULL AND c.held = 1 AND c.id <> a.call)
            + (SELECT COUNT(*) FROM calls c WHERE c.account = a.account AND c.id <> a.call AND ",
    wait_before!("account_busy"),
    ") END AS account_active,
        CASE WHEN a.of_agent = 0 THEN CAST(0 AS BIGINT) ELSE
            (SELECT COUNT(*) FROM calls c
                WHERE c.account = a.account AND c.agent = a.agent AND c.ended IS NULL AND c.held = 1 AND c.id <> a.call)
            + (SELECT COUNT(*) FROM calls c WHERE c.account = a.account AND c.agent = a.agent AND c.id <> a.call AND ",
    wait_before!("agent_busy"),
    ") END AS agent_active,
        (SELECT COUNT(*) FROM denied d WHERE d.account = a.account AND d.number IN (a.callee, a.digest)) AS here,
        (SELECT COUNT(*) FROM denied d WHERE d.account = a.everybody AND d.number = a.callee) AS everywhere,
        (SELECT COUNT(*) FROM numbers n WHERE n.account = a.account AND n.number = a.callee) AS ours,
        (SELECT COUNT(*) FROM consents k
            WHERE k.account = a.account AND k.number = a.callee AND (a.scope = '' OR k.scope = a.scope)) AS consents,
        (SELECT COUNT(*) FROM consents k WHERE k.account = a.account AND k.number = a.callee
            AND (a.scope = '' OR k.scope = a.scope) AND k.revoked IS NULL) AS standing
    FROM asks a LEFT JOIN calls m ON m.account = a.account AND m.id = a.call"
);

/// What a call asks of the database, as far as the call says it.
#[derive(Clone)]
pub(crate) struct Ask {
    /// The call's id.
    pub(super) call: String,
    account: String,
    agent: String,
    caller: String,
    callee: String,
    digest: String,
    trunk: Option<String>,
}

impl Ask {
    /// Of the caller number that shows in the plan.
    pub(crate) fn of(plan: &CallPlan) -> Self {
        Self {
            call: plan.id.to_string(),
            account: plan.account.as_str().to_owned(),
            agent: plan.agent_id.as_str().to_owned(),
            caller: plan.caller_dialled().to_owned(),
            callee: plan.callee_dialled().to_owned(),
            digest: plan.callee().map(|callee| erasure::digest(&plan.account, callee)).unwrap_or_default(),
            trunk: plan.telephone().map(|telephone| telephone.trunk.as_str().to_owned()),
        }
    }

    /// Whether the same rules and limits count for both.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.account, &self.agent, &self.caller) == (&other.account, &other.agent, &other.caller)
    }
}

/// What the database knows of a call that asks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counted {
    caller_active: u32,
    account_active: u32,
    agent_active: u32,
    trunk_enabled: Option<bool>,
    callee: CalleeStanding,
    consent: Consent,
}

impl Counted {
    /// After `other` has taken a place.
    pub(super) fn with(self, own: &Ask, other: &Ask) -> Self {
        if own.account != other.account || own.call == other.call {
            return self;
        }
        let and = |active: u32, same: bool| active.saturating_add(u32::from(same));
        Self {
            caller_active: and(self.caller_active, own.caller == other.caller),
            account_active: and(self.account_active, true),
            agent_active: and(self.agent_active, own.agent == other.agent),
            ..self
        }
    }

    fn read(row: &Row) -> Result<Self, StoreError> {
        let is = |column: &'static str| row.read::<i64>(column).map(|count| count > 0);
        Ok(Self {
            caller_active: unsigned("count", row.read("caller_active")?)?,
            account_active: unsigned("count", row.read("account_active")?)?,
            agent_active: unsigned("count", row.read("agent_active")?)?,
            trunk_enabled: row.read::<Option<i64>>("trunk_enabled")?.map(|enabled| enabled != 0),
            callee: match (is("ours")?, is("here")?, is("everywhere")?) {
                (true, ..) => CalleeStanding::Ours,
                (_, true, _) => CalleeStanding::Denied,
                (_, _, true) => CalleeStanding::DeniedEverywhere,
                _ => CalleeStanding::Free,
            },
            consent: match (is("consents")?, is("standing")?) {
                (false, _) => Consent::Unknown,
                (true, true) => Consent::Given,
                (true, false) => Consent::Revoked,
            },
        })
    }
}

/// How far the moment of asking may lie behind that of somebody else's dialling: a wait in the store, and clocks of nodes
/// that do not agree.
const APART: Duration = Duration::from_secs(60);

/// What a verdict on a call begins with.
pub(super) struct Ready {
    common: Arc<Common>,
    /// The time zone that the account knows the callee to be in.
    pub(super) zone: Option<String>,
}

impl Ready {
    /// The rules that count for the call.
    pub(super) fn rules(&self) -> &Rules {
        &self.common.rules
    }

    /// Who hears of the call, but for endpoints of its own.
    pub(super) fn audience(&self) -> Audience {
        self.common.audience
    }
}

/// Caller numbers whose rows are locked, and the rules that count for a call of them.
pub(crate) struct Common {
    account: AccountId,
    agent: AgentId,
    asked: Vec<PhoneNumber>,
    rules: Rules,
    zones: Zones,
    audience: Audience,
    numbers: Vec<Locked>,
    account_limit: Option<u32>,
}

/// Whether the account knows where any of its callees are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zones {
    Known,
    Unknown,
}

/// Whether an endpoint of the account or of the agent is told of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    Nobody,
    /// Or it is not known.
    Perhaps,
}

/// One of them.
struct Locked {
    number: String,
    status: NumberStatus,
    max_calls: u32,
}

impl Common {
    /// Whether it is what a call needs.
    fn is_for(&self, plan: &CallPlan) -> bool {
        self.account == plan.account && self.agent == plan.agent_id && self.asked.iter().eq(plan.callers())
    }

    fn new(plan: &CallPlan, rules: Rules, (numbers, account_limit): (Vec<Locked>, Option<u32>)) -> Self {
        let (account, agent, asked) = (plan.account.clone(), plan.agent_id.clone(), plan.callers().cloned().collect());
        let (zones, audience) = (Zones::Unknown, Audience::Perhaps);
        Self { account, agent, asked, rules, zones, audience, numbers, account_limit }
    }
}

/// Locks the numbers that may show for a call: nobody else counts until this verdict is written. What an earlier verb of
/// the same transaction has locked is ready: every verb of it was asked for before its first lock, so that none misses a
/// change that its requester knows of.
pub(super) async fn ready(conn: &mut Conn, plan: &CallPlan) -> Result<Ready, StoreError> {
    let known = |held: &mut Held| held.ready.iter().find(|common| common.is_for(plan)).cloned();
    if let Some(common) = conn.held().and_then(known) {
        let zone = match common.zones {
            Zones::Known => zone_of(conn, plan).await?,
            Zones::Unknown => None,
        };
        return Ok(Ready { common, zone });
    }
    let (common, zone) = lock_numbers(conn, plan).await?;
    let common = Arc::new(common);
    if let Some(held) = conn.held() {
        held.ready.push(Arc::clone(&common));
    }
    Ok(Ready { common, zone })
}

async fn zone_of(conn: &mut Conn, plan: &CallPlan) -> Result<Option<String>, StoreError> {
    let select = query("SELECT zone FROM callee_zones WHERE account = $1 AND number = $2").bind(plan.account.as_str());
    let row = select.bind(plan.callee_dialled()).fetch_optional(conn).await?;
    row.map(|row| row.read("zone")).transpose()
}

/// The same of the database, with the callee's zone.
async fn lock_numbers(conn: &mut Conn, plan: &CallPlan) -> Result<(Common, Option<String>), StoreError> {
    if plan.telephone().is_none() {
        return Ok((ready_to_be_met(conn, plan).await?, None));
    }
    let select = query(NUMBERS).bind(plan.account.as_str()).bind(plan.agent_id.as_str());
    let mut select = select.bind(plan.callee_dialled()).bind(Whose::Agent(plan.agent_id.clone()).word());
    for (place, number) in plan.callers().enumerate() {
        select.push(if place == 0 { "" } else { ", " }).push_bind(number.dial());
    }
    // Who locks several must do it in an order that is the same for everybody.
    select.push(") ORDER BY n.number").push(dialect::for_update_of_n(conn.backend()));
    let rows = select.fetch_all(&mut *conn).await?;
    let Some(row) = rows.first() else {
        let rules = rules_of(conn, &plan.account, &plan.agent_id).await?;
        return Ok((Common::new(plan, rules, (Vec::new(), None)), None));
    };
    let patch = |column: &'static str| {
        row.read::<Option<&str>>(column)?.map(|text| of_json::<RulesPatch>("rules", text)).transpose()
    };
    let limit = row.read::<Option<i64>>("account_limit")?.map(|limit| unsigned("limit", limit)).transpose()?;
    let numbers = rows.iter().map(locked).collect::<Result<_, StoreError>>()?;
    let common = Common::new(plan, effective(patch("whole")?, patch("own")?), (numbers, limit));
    let zones = if row.read::<i64>("zones")? == 0 { Zones::Unknown } else { Zones::Known };
    let audience = if row.read::<i64>("heard")? == 0 { Audience::Nobody } else { Audience::Perhaps };
    Ok((Common { zones, audience, ..common }, row.read("zone")?))
}

fn locked(row: &Row) -> Result<Locked, StoreError> {
    let status = NumberStatus::of_word(row.read("status")?);
    Ok(Locked {
        number: row.read("number")?,
        status: status.ok_or_else(|| StoreError::unreadable("number", "unknown status"))?,
        max_calls: unsigned("limit", row.read("max_calls")?)?,
    })
}

async fn ready_to_be_met(conn: &mut Conn, plan: &CallPlan) -> Result<Common, StoreError> {
    let mut select = query(ACCOUNT);
    select.push(dialect::for_update(conn.backend()));
    let row = select.bind(plan.account.as_str()).fetch_optional(&mut *conn).await?;
    // An account without a row has no limit of its own.
    let limit = row.map(|row| unsigned("limit", row.read("max_calls")?)).transpose()?;
    let rules = rules_of(conn, &plan.account, &plan.agent_id).await?;
    Ok(Common::new(plan, rules, (Vec::new(), limit)))
}

/// What is known about a call whose caller number is locked.
pub(super) async fn facts(
    conn: &mut Conn,
    plan: &CallPlan,
    ready: &Ready,
    case: &Case<'_>,
) -> Result<Facts, StoreError> {
    let counted = counts_needed(case);
    lock_gates(conn, plan, ready, &counted).await?;
    let mut facts = standing(conn, plan, ready).await?;
    for count in &counted {
        facts.counts.push(found(conn, plan, count, case.at).await?);
    }
    if case.rules.quota.status.is_on() {
        facts.usage = usage(conn, (&plan.account, plan.id), &case.rules.quota, case.at).await?;
    }
    Ok(facts)
}

/// What is counted over without a row of its own is locked by one: all that a verdict needs in one statement, and over the
/// verbs of a transaction in an order that is the same for everybody. SQLite has one writer and needs nothing.
async fn lock_gates(conn: &mut Conn, plan: &CallPlan, ready: &Ready, counted: &[Count]) -> Result<(), StoreError> {
    lock(conn, gates_of(plan, ready, counted), plan.created).await
}

/// The gates that a verdict on a call needs.
fn gates_of(plan: &CallPlan, ready: &Ready, counted: &[Count]) -> Gates {
    let mut gates = Vec::new();
    if ready.common.account_limit.is_some()
        || counted.iter().any(|count| count.whom == Whom::Account)
        || ready.common.rules.quota.status.is_on()
    {
        gates.push(String::from("account"));
    }
    if ready.common.rules.agent_calls > 0 {
        gates.push(format!("agent {}", plan.agent_id));
    }
    if counted.iter().any(|count| matches!(count.whom, Whom::Callee | Whom::CalleeOfAgent)) {
        gates.push(callee_gate(plan));
    }
    gates.into_iter().map(|gate| (plan.account.as_str().to_owned(), gate)).collect()
}

pub(super) fn callee_gate(plan: &CallPlan) -> String {
    erasure::gate("callee", &plan.account, plan.callee_dialled())
}

/// Locks everything that verdicts on these calls, at these moments, need, before the first of them: whoever locks more than
/// one thing does it in an order that is the same for everybody.
pub(super) async fn lock_for_all(conn: &mut Conn, plans: &[(&CallPlan, Moment)]) -> Result<(), StoreError> {
    if !dialect::is_shared(conn.backend()) {
        return Ok(());
    }
    let of = |plan: &CallPlan| plan.callers().map(|number| number.dial().to_owned()).collect::<Vec<_>>();
    let numbers: BTreeSet<(&str, String)> =
        plans.iter().flat_map(|(plan, _)| of(plan).into_iter().map(|number| (plan.account.as_str(), number))).collect();
    for (account, number) in &numbers {
        let row = "SELECT number FROM numbers WHERE account = $1 AND number = $2";
        dialect::lock_row(conn, row, &[account, number]).await?;
    }
    let mut gates = Gates::new();
    for (plan, at) in plans {
        let ready = ready(conn, plan).await?;
        gates.extend(gates_of(plan, &ready, &counts_needed(&case_of(&ready, plan, *at))));
    }
    let touched = plans.first().map_or(Moment(0), |(plan, _)| plan.created);
    lock(conn, gates, touched).await
}

pub(super) async fn lock(conn: &mut Conn, wanted: Gates, now: Moment) -> Result<(), StoreError> {
    let Some(held) = conn.held().map(|held| &held.gates) else { return Ok(()) };
    let wanted: Gates = wanted.difference(held).cloned().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    // Another verb of this transaction has locked gates that come later: this one waits for a transaction of its own.
    if wanted.first() < held.last() {
        return Err(StoreError::Apart);
    }
    let mut lock = query("INSERT INTO gates (account, gate, touched) VALUES ");
    for (place, (account, gate)) in wanted.iter().enumerate() {
        lock.push(if place == 0 { "(" } else { ", (" }).push_bind(account).push(", ").push_bind(gate);
        lock.push(", ").push_bind(now.millis()).push(")");
    }
    lock.push(" ON CONFLICT (account, gate) DO UPDATE SET touched = excluded.touched");
    lock.execute(&mut *conn).await?;
    if let Some(held) = conn.held() {
        held.gates.extend(wanted);
    }
    Ok(())
}

async fn standing(conn: &mut Conn, plan: &CallPlan, ready: &Ready) -> Result<Facts, StoreError> {
    let counted = counted(conn, &Ask::of(plan), ready).await?;
    let facts = Facts {
        account_active: counted.account_active,
        account_limit: ready.common.account_limit.unwrap_or(u32::MAX),
        agent_active: counted.agent_active,
        ..Facts::default()
    };
    if plan.telephone().is_none() {
        return Ok(Facts { caller: CallerStanding::Ready, caller_active: 0, caller_limit: u32::MAX, ..facts });
    }
    let own = ready.common.numbers.iter().find(|own| own.number == plan.caller_dialled());
    Ok(Facts {
        caller: match (own.map(|own| own.status), counted.trunk_enabled) {
            (None, _) => CallerStanding::Foreign,
            (Some(NumberStatus::Disabled), _) => CallerStanding::Disabled,
            (Some(NumberStatus::Active), None | Some(false)) => CallerStanding::Trunkless,
            (Some(NumberStatus::Active), Some(true)) => CallerStanding::Ready,
        },
        caller_active: counted.caller_active,
        caller_limit: own.map_or(0, |own| own.max_calls),
        callee: counted.callee,
        consent: counted.consent,
        ..facts
    })
}

/// What the database knows of a call; of others that will ask in this transaction at the same time.
async fn counted(conn: &mut Conn, own: &Ask, ready: &Ready) -> Result<Counted, StoreError> {
    if let Some(known) = conn.gathered().and_then(|gathered| gathered.known(own)) {
        return Ok(known);
    }
    let others = conn.gathered().map(|gathered| gathered.asked_with(own)).unwrap_or_default();
    let mut found = None;
    let asks = [slice::from_ref(own), others.as_slice()].concat();
    for row in asking(&asks, ready).fetch_all(&mut *conn).await? {
        let (call, counted) = (row.read::<&str>("call")?, Counted::read(&row)?);
        if call == own.call {
            found = Some(counted);
        } else if let Some(gathered) = conn.gathered() {
            gathered.learn(call.to_owned(), counted);
        }
    }
    found.ok_or_else(|| StoreError::Database { detail: "a call that asks was not answered".into() })
}

fn asking(asks: &[Ask], ready: &Ready) -> Query {
    let mut select = query(ASKS);
    for (place, ask) in asks.iter().enumerate() {
        select.push(if place == 0 { "(" } else { ", (" });
        select.push_bind(&ask.account).push(", ").push_bind(&ask.caller).push(", ").push_bind(&ask.call);
        select.push(", ").push_bind(&ask.agent);
        select.push(", ").push_bind(i64::from(ready.common.account_limit.is_some()));
        select.push(", ").push_bind(i64::from(ready.common.rules.agent_calls));
        select.push(", ").push_bind(&ask.callee).push(", ").push_bind(&ask.digest);
        select.push(", ").push_bind(DENIED_EVERYWHERE).push(", ").push_bind(ready.common.rules.consent.scope.as_str());
        select.push(", ").push_bind(ask.trunk.as_deref()).push(")");
    }
    select.push(COUNTED);
    select
}

/// A call counts from its acceptance on, at the moment at which it is due; one that ended undialled does not. One that is
/// being dialled counts also when that began after the asking did: who asks has looked at the clock before. Counting stops
/// at the limit.
async fn found(conn: &mut Conn, plan: &CallPlan, count: &Count, at: Moment) -> Result<u32, StoreError> {
    let mut select = query("SELECT COUNT(*) FROM (SELECT 1 AS one FROM calls WHERE account = ");
    select.push_bind(plan.account.as_str()).push(" AND due > ").push_bind(count.after.millis());
    select.push(" AND due <= ").push_bind(at.after(APART).millis());
    // A choice and not OR, for which SQLite would leave the index of the due calls.
    select.push(" AND CASE WHEN due <= ").push_bind(at.millis()).push(" THEN 1 ELSE held END = 1");
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

/// What an account has used, and what its calls other than `own` that hold a place may still use: of one moment, since a call
/// that ends goes from here to there.
pub(super) async fn usage(
    conn: &mut Conn,
    (account, own): (&AccountId, CallId),
    quota: &Quota,
    at: Moment,
) -> Result<Usage, StoreError> {
    let rows = query(
        "SELECT CAST(NULL AS TEXT) AS callee, CAST(0 AS BIGINT) AS held,
            CAST(COALESCE(SUM(talked_ms), 0) AS BIGINT) AS ever,
            CAST(COALESCE(SUM(CASE WHEN day = $2 THEN talked_ms ELSE 0 END), 0) AS BIGINT) AS today,
            CAST(COALESCE(SUM(CASE WHEN day = $2 THEN cost ELSE 0 END), 0) AS BIGINT) AS cost
         FROM usage_days WHERE account = $1
         UNION ALL SELECT callee, talks_ms, 0, 0, 0 FROM calls
         WHERE account = $1 AND ended IS NULL AND held = 1 AND id <> $3",
    )
    .bind(account.as_str())
    .bind(day(at))
    .bind(own.to_string())
    .fetch_all(conn)
    .await?;
    let mut usage = Usage::default();
    for row in rows {
        let held: u64 = unsigned("usage", row.read("held")?)?;
        let digits = row.read::<Option<&str>>("callee")?.and_then(|callee| callee.strip_prefix('+'));
        usage.held_ms = usage.held_ms.saturating_add(held);
        usage.held_cost = usage.held_cost.saturating_add(quota.cost(digits.unwrap_or_default(), held));
        usage.ever_ms += unsigned::<u64>("usage", row.read("ever")?)?;
        usage.today_ms += unsigned::<u64>("usage", row.read("today")?)?;
        usage.today_cost += unsigned::<u64>("usage", row.read("cost")?)?;
    }
    Ok(usage)
}
