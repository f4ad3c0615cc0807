//! Calls that wait for a place among the calls of their caller number, agent or account: in the order in which they came
//! to be due, each given its place in the transaction that counts the places. Never judges: [`policy::judge`] does.
//!
//! Who waits holds no place and counts for nobody but those who came later and want the same place.

use super::admission::case_of;
use super::choosing::{self, Choice, Places};
use super::facts::ready;
use super::journal::{self, Told};
use super::rows::{key_of, of_json, parsed};
use super::{Conn, Pool, Query, query, rules};
use crate::calls::{Ending, Key, Waiting, WaitingLine};
use crate::{NodeIdentity, Seat, StoreError};
use callwright_domain::policy::{self, Stage, Verdict};
use callwright_domain::{CallPlan, HangupCause, Moment, Refusal};

/// Calls whose patience has ended that are given out at a time.
const GIVEN_UP_AT_ONCE: i64 = 100;

/// The rule that a word of the column `waits` names.
pub(super) fn rule_of(word: &str) -> Result<Refusal, StoreError> {
    let rule = Refusal::ALL.into_iter().find(|rule| rule.id() == word);
    rule.ok_or_else(|| StoreError::unreadable("waiting", "unknown rule"))
}

/// Puts a call that is nobody's yet into the line of those who wait.
pub(super) fn begin(plan: &CallPlan, rule: Refusal, now: Moment) -> Query {
    query(
        "UPDATE calls SET waits = $3, waits_until = $4, held = 0, owner = NULL, epoch = NULL
         WHERE account = $1 AND id = $2 AND state = 'queued' RETURNING id",
    )
    .bind(plan.account.as_str())
    .bind(plan.id.to_string())
    .bind(rule.id())
    .bind(plan.waits_until(now).millis())
}

/// [`crate::Reader::waiting`].
pub(crate) async fn waiting(pool: &Pool, now: Moment) -> Result<Waiting, StoreError> {
    let lines = query(
        "SELECT account, caller, agent, waits, pool FROM calls WHERE waits IS NOT NULL
         GROUP BY account, caller, agent, waits, pool ORDER BY MIN(due), MIN(id)",
    );
    let lines = lines.fetch_all(pool).await?;
    if lines.is_empty() {
        return Ok(Waiting::default());
    }
    let late = query(
        "SELECT account, id FROM calls WHERE waits IS NOT NULL AND waits_until <= $1 ORDER BY waits_until, id LIMIT $2",
    );
    let late = late.bind(now.millis()).bind(GIVEN_UP_AT_ONCE).fetch_all(pool).await?;
    let lines = lines.iter().map(|row| {
        Ok(WaitingLine {
            account: parsed("account id", row.read::<&str>("account")?)?,
            caller: row.read("caller")?,
            pool: row.read("pool")?,
            agent: row.read("agent")?,
            rule: rule_of(row.read("waits")?)?,
        })
    });
    Ok(Waiting {
        lines: lines.collect::<Result<_, StoreError>>()?,
        late: late.iter().map(key_of).collect::<Result<_, StoreError>>()?,
    })
}

/// [`crate::Store::seat`].
pub(crate) async fn seat(
    conn: &mut Conn,
    me: &NodeIdentity,
    line: &WaitingLine,
    now: Moment,
) -> Result<Told<Seat>, StoreError> {
    let first = query(
        "SELECT plan FROM calls WHERE account = $1 AND caller = $2 AND agent = $3 AND waits = $4
            AND COALESCE(pool, '') = $5 ORDER BY due, id LIMIT 1",
    );
    let first = first.bind(line.account.as_str()).bind(&line.caller).bind(&line.agent).bind(line.rule.id());
    let first = first.bind(line.pool.as_deref().unwrap_or_default());
    match first.fetch_optional(&mut *conn).await? {
        Some(row) => settle(conn, me, &of_json("call plan", row.read("plan")?)?, now).await,
        None => Ok(untold(Seat::Nobody)),
    }
}

/// [`crate::Store::give_up`].
pub(crate) async fn give_up(
    conn: &mut Conn,
    me: &NodeIdentity,
    key: &Key,
    now: Moment,
) -> Result<Told<Seat>, StoreError> {
    let row = query("SELECT plan FROM calls WHERE account = $1 AND id = $2 AND waits IS NOT NULL");
    match row.bind(key.0.as_str()).bind(key.1.to_string()).fetch_optional(&mut *conn).await? {
        Some(row) => settle(conn, me, &of_json("call plan", row.read("plan")?)?, now).await,
        None => Ok(untold(Seat::Nobody)),
    }
}

const fn untold(done: Seat) -> Told<Seat> {
    Told { done, messages: 0 }
}

/// What becomes of a waiting call now. What it is judged by is locked before it is looked at again: it may have been given
/// its place, or ended, in between.
async fn settle(conn: &mut Conn, me: &NodeIdentity, plan: &CallPlan, now: Moment) -> Result<Told<Seat>, StoreError> {
    let ready = ready(conn, plan).await?;
    let row = query("SELECT waits, waits_until FROM calls WHERE account = $1 AND id = $2");
    let row = row.bind(plan.account.as_str()).bind(plan.id.to_string()).fetch_one(&mut *conn).await?;
    let Some(waits) = row.read::<Option<String>>("waits")? else { return Ok(untold(Seat::Moved)) };
    if row.read::<Option<i64>>("waits_until")?.is_some_and(|until| until <= now.millis()) {
        let expired = plan.deadline.is_some_and(|deadline| deadline <= now);
        return end(conn, me, plan, if expired { HangupCause::Expired } else { HangupCause::NoPlace }, now).await;
    }
    let mut chosen = plan.clone();
    let asked = (now, Places::Counted);
    let Choice { at, facts, outcome } = choosing::choose(conn, &mut chosen, &ready, asked).await?;
    if let Err(refusal) = outcome
        && refusal.is_busy()
    {
        if refusal.id() == waits {
            return Ok(untold(Seat::Full));
        }
        change(conn, plan, (Some(refusal), 0), None).await?;
        return Ok(untold(Seat::Moved));
    }
    let evidence = case_of(&ready, &chosen, at).evidence(Stage::Dial, now, &facts, &outcome);
    rules::verdict(plan, &evidence)?.execute(&mut *conn).await?;
    match outcome {
        Err(refusal) => end(conn, me, plan, HangupCause::of_refusal(refusal), now).await,
        // Put off to the next opening: it takes its place then.
        Ok(placement) if placement.at > now => {
            change(conn, plan, (None, 0), Some(placement.at)).await?;
            Ok(untold(Seat::Moved))
        }
        Ok(_) => {
            if choosing::changed(plan, &chosen) {
                choosing::keep(conn, &chosen).await?;
            }
            change(conn, plan, (None, 1), None).await?;
            Ok(untold(Seat::Taken(plan.id)))
        }
    }
}

/// Changes what a call waits for, unless it does not wait any more.
async fn change(
    conn: &mut Conn,
    plan: &CallPlan,
    (waits, held): (Option<Refusal>, i64),
    due: Option<Moment>,
) -> Result<(), StoreError> {
    query(
        "UPDATE calls SET waits = $3, held = $4, due = COALESCE($5, due)
         WHERE account = $1 AND id = $2 AND waits IS NOT NULL",
    )
    .bind(plan.account.as_str())
    .bind(plan.id.to_string())
    .bind(waits.map(Refusal::id))
    .bind(held)
    .bind(due.map(Moment::millis))
    .execute(conn)
    .await?;
    Ok(())
}

async fn end(
    conn: &mut Conn,
    me: &NodeIdentity,
    plan: &CallPlan,
    cause: HangupCause,
    now: Moment,
) -> Result<Told<Seat>, StoreError> {
    let told = journal::finish(conn, me, plan.id, now, Ending::from(cause)).await?;
    let done = match told.done {
        crate::Finished::Now(recorded) => {
            Seat::Ended { account: plan.account.clone(), call: plan.id, recorded: Box::new(recorded) }
        }
        crate::Finished::Before(_) => Seat::Moved,
    };
    Ok(Told { done, messages: told.messages })
}

/// The evidence of a call that is to wait says so.
pub(super) fn waits(mut evidence: policy::Evidence) -> policy::Evidence {
    evidence.verdict = Verdict::Waits;
    evidence
}
