//! Accepting a call: facts, rules and the call's first rows in one transaction. Never judges by itself:
//! [`policy::judge`] does.

use super::campaigns::{self, Word};
use super::choosing::{self, Choice, Places};
use super::facts::{self, Audience, Ready, ready};
use super::journal::{self, Told};
use super::rows::{json, parsed};
use super::{Ask, Conn, Query, once, outbox, query, rules, threads, together, waiting, webhooks};
use crate::calls::{Answer, Permit, Undone};
use crate::{Admission, AdmitError, Admitted, Idempotency, NoneAdmitted, Patience, Stage, StoreError};
use callwright_domain::call::Timeline;
use callwright_domain::campaign::{Fate, Opening};
use callwright_domain::policy::alarm::{self, Near};
use callwright_domain::policy::{self, Case, Evidence, Facts, Numbers, Placement};
use callwright_domain::webhook::Whose;
use callwright_domain::{CallEvent, CallPlan, Moment, Refusal};
use std::fmt::Write;

const INSERT_CALL: &str = "
    INSERT INTO calls (account, id, agent, callee, caller, plan, created, due, state, timeline, seq, attempt,
        held, waits, waits_until, first_call, retries, wants_findings, pool, channel, joins_until, talks_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, 0, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)";

/// Whether somebody hears of the call comes back with its first event, so that where nobody does, nothing more is asked.
/// `$6` and `$7`: whose the agent's and the call's own endpoints are.
const INSERT_CREATED: &str = "
    INSERT INTO events (account, call, seq, at, event) VALUES ($1, $2, $3, $4, $5)
    RETURNING CAST(CASE WHEN EXISTS (SELECT 1 FROM webhooks w WHERE w.account = events.account AND w.status = 'enabled'
        AND w.whose IN ('', $6, $7)) THEN 1 ELSE 0 END AS BIGINT) AS heard";

/// A key past its time may be used anew, so the old row gives way; a living one does not. Two that bring the same key at
/// once meet here: the second waits for the first and then touches no row.
const KEEP_KEY: &str = "
    INSERT INTO idempotency_keys (account, key, body_hash, call, response, expires)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account, key) DO UPDATE SET body_hash = excluded.body_hash, call = excluded.call,
        response = excluded.response, expires = excluded.expires
    WHERE idempotency_keys.expires <= $7";

/// [`crate::Store::admit`]. A refusal is no error here: its evidence is to be kept.
pub(crate) async fn admit(conn: &mut Conn, request: &Admission, now: Moment) -> Result<Told<Answer>, AdmitError> {
    if let Some(idempotency) = &request.idempotency
        && let Some(earlier) = keep_key(conn, request, idempotency, now).await?
    {
        return Ok(Told { done: Answer::Admitted(earlier), messages: 0 });
    }
    let judged = judge(conn, request, now).await?;
    carry_out(conn, request, judged, now).await
}

/// Writes down what was judged: the call, or why there is none.
pub(super) async fn carry_out(
    conn: &mut Conn,
    request: &Admission,
    judged: Judged,
    now: Moment,
) -> Result<Told<Answer>, AdmitError> {
    let told = |done, messages| Ok(Told { done, messages });
    let Judged { mut plan, outcome, waits, evidence, audience } = judged;
    let verdict = rules::verdict(&plan, &evidence)?;
    match outcome {
        Ok(placement) => plan.due = plan.due.max(placement.at),
        Err(_) if waits.is_some() => {}
        Err(refusal) => {
            put(conn, vec![verdict.clone()], None).await?;
            if let Some(idempotency) = &request.idempotency {
                give_key_back(conn, &plan, idempotency).await?;
            }
            return told(Answer::Refused(refusal, Box::new(verdict)), 0);
        }
    }
    if let Some(endpoint) = &request.endpoint {
        webhooks::put(conn, endpoint).await?;
    }
    let place = match waits {
        Some(rule) => Place::Waits { rule, until: plan.waits_until(now) },
        None if plan.due <= now => Place::Held,
        None => Place::Later,
    };
    if let (Some(rule), Some(idempotency)) = (waits, &request.idempotency) {
        keep_answer(conn, &plan, idempotency, rule).await?;
    }
    let parts = [verdict].into_iter().chain(request.alias.as_ref().map(once::alias_row)).collect();
    let audience = if request.endpoint.is_none() { audience } else { Audience::Perhaps };
    let mut messages = insert_with(conn, (&plan, place), parts, audience).await?;
    if matches!(place, Place::Held) {
        messages += rules::alarm(conn, &plan.account, calls_near(&evidence.facts), now).await?;
    }
    told(Answer::Admitted(waits.map_or(Admitted::New, Admitted::Waiting)), messages)
}

/// [`crate::Store::admit_all`].
pub(crate) async fn admit_all(
    conn: &mut Conn,
    requests: &[Admission],
    now: Moment,
) -> Result<Told<Vec<Admitted>>, Undone> {
    let plans: Vec<_> = requests.iter().map(|request| (&request.plan, request.plan.due.max(now))).collect();
    facts::lock_for_all(conn, &plans).await?;
    let (mut done, mut messages) = (Vec::with_capacity(requests.len()), 0);
    for (place, request) in requests.iter().enumerate() {
        let undone = |error, verdict| Undone { why: NoneAdmitted { place: Some(place), error }, verdict };
        let told = match admit(conn, request, now).await {
            Err(AdmitError::Store(error)) => return Err(error.into()),
            outcome => outcome.map_err(|error| undone(error, None))?,
        };
        messages += told.messages;
        match told.done {
            Answer::Admitted(admitted) => done.push(admitted),
            Answer::Refused(refusal, verdict) => return Err(undone(refusal.into(), Some(verdict))),
        }
    }
    Ok(Told { done, messages })
}

/// What would become of a request.
pub(super) struct Judged {
    /// With the number that would show.
    plan: CallPlan,
    outcome: Result<Placement, Refusal>,
    /// The rule that it would wait for.
    waits: Option<Refusal>,
    evidence: Evidence,
    audience: Audience,
}

impl Judged {
    /// When it would be dialled, if not now.
    pub(super) fn put_off(&self, now: Moment) -> Option<Moment> {
        self.outcome.as_ref().ok().map(|placement| placement.at).filter(|at| *at > now)
    }
}

pub(super) async fn judge(conn: &mut Conn, request: &Admission, now: Moment) -> Result<Judged, StoreError> {
    let mut plan = request.plan.clone();
    let ready = ready(conn, &plan).await?;
    // What is due later takes its place among the others' when it is dialled.
    let places = if plan.due > now { Places::NotYet } else { Places::Counted };
    let asked = (plan.due.max(now), places);
    let Choice { at, facts, outcome } = choosing::choose(conn, &mut plan, &ready, asked).await?;
    let evidence = case_of(&ready, &plan, at).evidence(policy::Stage::Accept, now, &facts, &outcome);
    let waits = outcome.as_ref().err().copied().filter(|refusal| may_wait(request, *refusal));
    let evidence = if waits.is_some() { waiting::waits(evidence) } else { evidence };
    Ok(Judged { plan, outcome, waits, evidence, audience: ready.audience() })
}

/// [`crate::Store::try_out`].
pub(crate) async fn try_out(
    conn: &mut Conn,
    request: &Admission,
    now: Moment,
) -> Result<(CallPlan, Evidence), StoreError> {
    let Judged { plan, evidence, .. } = judge(conn, request, now).await?;
    Ok((plan, evidence))
}

fn may_wait(request: &Admission, refusal: Refusal) -> bool {
    let wanted = request.patience == Patience::AnyPlace || refusal != Refusal::CallerBusy;
    refusal.is_busy() && wanted && request.plan.wait_ms > 0
}

/// [`crate::Store::permit`].
pub(crate) async fn permit(conn: &mut Conn, plan: &CallPlan, now: Moment) -> Result<Permit, StoreError> {
    match campaigns::word(conn, plan, now).await? {
        Word::Go => {}
        Word::Hold(due) => {
            campaigns::give_back(conn, plan, (due, None), now).await?;
            return Ok(Permit::Withdrawn);
        }
        Word::Gone => return Ok(Permit::Withdrawn),
    }
    if let Some(Opening::Closed(opens)) = plan.retry.as_ref().map(|retries| retries.opening(now)) {
        return wait_for_hours(conn, plan, opens).await;
    }
    let ready = ready(conn, plan).await?;
    let mut chosen = plan.clone();
    let asked = (now, Places::Counted);
    let Choice { at, facts, outcome } = choosing::choose(conn, &mut chosen, &ready, asked).await?;
    let evidence = case_of(&ready, &chosen, at).evidence(policy::Stage::Dial, now, &facts, &outcome);
    let (evidence, change, permit) = match outcome {
        // A campaign waits itself: with its row, and not with a call that a pause would not reach.
        Ok(placement) if placement.at > now && plan.campaign.is_some() => {
            rules::verdict(plan, &evidence)?.execute(&mut *conn).await?;
            campaigns::give_back(conn, plan, (placement.at, Some(Refusal::OutsideCallingHours)), now).await?;
            return Ok(Permit::Withdrawn);
        }
        Err(refusal) if refusal.is_busy() && plan.campaign.is_none() => {
            (waiting::waits(evidence), waiting::begin(plan, refusal, now), Permit::Waits(refusal))
        }
        Err(refusal) => {
            rules::verdict(plan, &evidence)?.execute(&mut *conn).await?;
            if let Some(due) = Fate::of(refusal).again(now) {
                campaigns::give_back(conn, plan, (due, Some(refusal)), now).await?;
            }
            return Ok(Permit::Refused(refusal));
        }
        Ok(placement) if placement.at > now => (evidence, postpone(plan, placement.at), Permit::Later(placement.at)),
        Ok(_) if choosing::changed(plan, &chosen) => (evidence, hold_for_nobody(plan, now), Permit::Moved),
        Ok(_) => (evidence, hold(plan, now), Permit::Granted),
    };
    // No row: it has ended since it was claimed.
    if together(conn, vec![rules::verdict(plan, &evidence)?, change]).await?.is_empty() {
        return Ok(Permit::Over);
    }
    if permit == Permit::Moved {
        choosing::keep(conn, &chosen).await?;
    }
    if permit == Permit::Granted {
        // The outbox looks by itself for what nobody rang its bell for.
        rules::alarm(conn, &plan.account, calls_near(&facts), now).await?;
    }
    Ok(permit)
}

/// A retry that found its way only when its hours were over waits for the next.
async fn wait_for_hours(conn: &mut Conn, plan: &CallPlan, opens: Option<Moment>) -> Result<Permit, StoreError> {
    match opens.filter(|opens| plan.deadline.is_none_or(|deadline| *opens < deadline)) {
        Some(opens) if postpone(plan, opens).fetch_optional(conn).await?.is_none() => Ok(Permit::Over),
        Some(opens) => Ok(Permit::Later(opens)),
        None => Ok(Permit::Refused(Refusal::OutsideCallingHours)),
    }
}

/// Whether the account has nearly all of its calls, with one more than the facts know of.
fn calls_near(facts: &Facts) -> Option<Near> {
    alarm::calls_near(facts.account_active.saturating_add(1), facts.account_limit)
}

fn hold(plan: &CallPlan, now: Moment) -> Query {
    query("UPDATE calls SET held = 1, due = $3 WHERE account = $1 AND id = $2 AND state = 'queued' RETURNING id")
        .bind(plan.account.as_str())
        .bind(plan.id.to_string())
        .bind(now.millis())
}

fn hold_for_nobody(plan: &CallPlan, now: Moment) -> Query {
    query(
        "UPDATE calls SET held = 1, due = $3, owner = NULL, epoch = NULL
         WHERE account = $1 AND id = $2 AND state = 'queued' RETURNING id",
    )
    .bind(plan.account.as_str())
    .bind(plan.id.to_string())
    .bind(now.millis())
}

fn postpone(plan: &CallPlan, until: Moment) -> Query {
    query(
        "UPDATE calls SET due = $3, held = 0, owner = NULL, epoch = NULL
         WHERE account = $1 AND id = $2 AND state = 'queued' RETURNING id",
    )
    .bind(plan.account.as_str())
    .bind(plan.id.to_string())
    .bind(until.millis())
}

pub(super) fn case_of<'a>(ready: &'a Ready, plan: &'a CallPlan, at: Moment) -> Case<'a> {
    let numbers = plan.telephone().map(|telephone| Numbers { callee: &telephone.callee, caller: &telephone.caller });
    Case { rules: ready.rules(), numbers, zone: ready.zone.as_deref(), at }
}

/// An opening after the deadline is none.
pub(super) fn before_deadline(placement: Placement, plan: &CallPlan) -> Result<Placement, Refusal> {
    match plan.deadline {
        Some(deadline) if placement.at > deadline && placement.at > plan.due => Err(Refusal::OutsideCallingHours),
        _ => Ok(placement),
    }
}

/// A refused request does not use its key up.
async fn give_key_back(conn: &mut Conn, plan: &CallPlan, idempotency: &Idempotency) -> Result<(), StoreError> {
    query("DELETE FROM idempotency_keys WHERE account = $1 AND key = $2 AND call = $3")
        .bind(plan.account.as_str())
        .bind(&idempotency.key)
        .bind(plan.id.to_string())
        .beside()
        .execute(conn)
        .await?;
    Ok(())
}

/// What of the answer cannot be told from the call any more when it is asked for again: that it waited, and for what.
async fn keep_answer(
    conn: &mut Conn,
    plan: &CallPlan,
    idempotency: &Idempotency,
    waits: Refusal,
) -> Result<(), StoreError> {
    query("UPDATE idempotency_keys SET response = $3 WHERE account = $1 AND key = $2")
        .bind(plan.account.as_str())
        .bind(&idempotency.key)
        .bind(waits.id())
        .beside()
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps the key for this request, or gives the answer of the earlier one that has it.
async fn keep_key(
    conn: &mut Conn,
    request: &Admission,
    idempotency: &Idempotency,
    now: Moment,
) -> Result<Option<Admitted>, AdmitError> {
    let kept = query(KEEP_KEY)
        .bind(request.plan.account.as_str())
        .bind(&idempotency.key)
        .bind(hex(&idempotency.body_hash))
        .bind(request.plan.id.to_string())
        .bind("")
        .bind(now.after(Idempotency::KEPT).millis())
        .bind(now.millis())
        .beside()
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
    .beside()
    .fetch_optional(conn)
    .await?;
    let Some(known) = known else { return Ok(None) };
    if known.read::<&str>("body_hash")? != hex(&idempotency.body_hash) {
        return Err(AdmitError::IdempotencyMismatch);
    }
    let call = parsed("call id", known.read("call")?)?;
    let waits = Some(known.read::<&str>("response")?).filter(|word| !word.is_empty());
    Ok(Some(Admitted::Replayed { call, waits: waits.map(waiting::rule_of).transpose()? }))
}

/// A new call's place among those of its caller number, agent and account.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// It holds one.
    Held,
    /// It takes one when it is dialled.
    Later,
    /// It waits for one.
    Waits {
        /// What is in its way.
        rule: Refusal,
        /// Until when it waits.
        until: Moment,
    },
}

/// Writes the call and its first event; how many messages to endpoints came of it.
pub(super) async fn insert(conn: &mut Conn, plan: &CallPlan, place: Place) -> Result<u64, StoreError> {
    insert_with(conn, (plan, place), Vec::new(), Audience::Perhaps).await
}

/// The same with what else is to be written. Where nobody hears of it, its rows may wait for those of other calls.
async fn insert_with(
    conn: &mut Conn,
    (plan, place): (&CallPlan, Place),
    mut parts: Vec<Query>,
    audience: Audience,
) -> Result<u64, StoreError> {
    let key = (plan.account.clone(), plan.id);
    let first = plan.retry.as_ref().and_then(|retries| retries.first).unwrap_or(plan.id);
    parts.push(call_row(plan, place)?);
    parts.extend(threads::join(plan));
    // Who waits for a place stands in the way of others, which they see only when it is written.
    if audience == Audience::Nobody && first == plan.id && !matches!(place, Place::Waits { .. }) {
        parts.push(journal::event_row(journal::INSERT_EVENT, &key, 1, (plan.created, &CallEvent::Created))?);
        put(conn, parts, matches!(place, Place::Held).then(|| Ask::of(plan))).await?;
        return Ok(0);
    }
    let created = journal::event_row(INSERT_CREATED, &key, 1, (plan.created, &CallEvent::Created))?;
    parts.push(created.bind(Whose::Agent(plan.agent_id.clone()).word()).bind(Whose::Call(first).word()));
    let rows = together(conn, parts).await?;
    let heard = rows.first().map_or(Ok(0), |row| row.read::<i64>("heard"))?;
    if heard == 0 {
        return Ok(0);
    }
    outbox::tell(conn, &key, &[(1, plan.created, &CallEvent::Created)]).await
}

/// Writes rows, later where they may wait; `taken`: the call that takes a place by them.
async fn put(conn: &mut Conn, rows: Vec<Query>, taken: Option<Ask>) -> Result<(), StoreError> {
    if let Some(gathered) = conn.gathered().filter(|gathered| gathered.is_on()) {
        gathered.add(rows, taken);
        return Ok(());
    }
    together(conn, rows).await.map(drop)
}

/// The column `talks_ms`.
pub(super) fn talks_ms(plan: &CallPlan) -> i64 {
    i64::try_from(plan.talks_at_most().as_millis()).unwrap_or(i64::MAX)
}

fn call_row(plan: &CallPlan, place: Place) -> Result<Query, StoreError> {
    let (held, waits, until) = match place {
        Place::Held => (1, None, None),
        Place::Later => (0, None, None),
        Place::Waits { rule, until } => (0, Some(rule.id()), Some(until.millis())),
    };
    let timeline = Timeline::default().with(plan.created, &CallEvent::Created);
    Ok(query(INSERT_CALL)
        .bind(plan.account.as_str())
        .bind(plan.id.to_string())
        .bind(plan.agent_id.as_str())
        .bind(plan.callee_dialled())
        .bind(plan.caller_dialled())
        .bind(json(plan)?)
        .bind(plan.created.millis())
        .bind(plan.due.millis())
        .bind(Stage::Queued.word())
        .bind(json(&timeline)?)
        .bind(held)
        .bind(waits)
        .bind(until)
        .bind(plan.retry.as_ref().and_then(|retries| retries.first).map(|first| first.to_string()))
        .bind(i64::from(plan.retry.is_some()))
        .bind(i64::from(plan.agent.extract.is_wanted()))
        .bind(choosing::pool_of(plan))
        .bind(plan.browser().map(|place| place.channel.as_str()))
        .bind(plan.browser().map(|place| place.joins_until.millis()))
        .bind(talks_ms(plan)))
}

/// Digests are kept as text: the one form that every database spells alike.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
