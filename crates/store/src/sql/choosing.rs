//! Which of a call's numbers shows: the first that the rules let through, asked in their order with all of them locked, so
//! that a call is refused or waits only when none of them will do at that moment. Never judges: [`policy::judge`] does.

use super::admission::{before_deadline, case_of, talks_ms};
use super::facts::{self, Ready};
use super::rows::{json, of_json};
use super::{Ask, Conn, Lane, dialect, query};
use crate::StoreError;
use callwright_domain::policy::{self, Facts, Placement, Usage};
use callwright_domain::{CallPlan, Moment, PhoneNumber, Refusal};
use std::time::Duration;

/// Whether the places that are taken are in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Places {
    Counted,
    /// It takes its place later.
    NotYet,
}

/// A verdict, with what it was made of.
pub(super) struct Choice {
    /// For which moment: that which was asked for, or the next opening.
    pub(super) at: Moment,
    pub(super) facts: Facts,
    pub(super) outcome: Result<Placement, Refusal>,
}

/// All the numbers of a call that has several, each between two commas: what `LIKE` can find one in.
pub(super) fn pool_of(plan: &CallPlan) -> Option<String> {
    let several = plan.callers().nth(1).is_some();
    several.then(|| plan.callers().fold(String::from(","), |all, number| all + number.dial() + ","))
}

/// What those share who lock the same numbers, and in which order they go: that of the gates of agents and callees.
pub(crate) fn lane(plan: &CallPlan) -> Lane {
    let mut numbers: Vec<&str> = plan.callers().map(PhoneNumber::dial).collect();
    numbers.sort_unstable();
    let one = numbers.len() == 1;
    let lane = Lane::of((plan.account.as_str(), numbers), (plan.agent_id.as_str(), &facts::callee_gate(plan)));
    if one { lane.asking(Ask::of(plan)) } else { lane }
}

/// The verdict on the first number that may show, which shows in `plan` from then on. When none may, `plan` is as it was,
/// and the verdict is on the first that is only busy, or on the first. A call that takes its place now talks no longer than
/// the quota lets it, nor than it was told before.
pub(super) async fn choose(
    conn: &mut Conn,
    plan: &mut CallPlan,
    ready: &Ready,
    (at, places): (Moment, Places),
) -> Result<Choice, StoreError> {
    let choice = first_that_may(conn, plan, ready, (at, places)).await?;
    if let Ok(Placement { talks_ms: Some(left), .. }) = &choice.outcome
        && choice.at <= at
        && places == Places::Counted
    {
        let longest = plan.talks_at_most().min(Duration::from_millis(*left));
        plan.talks_ms = u64::try_from(longest.as_millis()).ok();
    }
    Ok(choice)
}

/// Whether there is something to [`keep`].
pub(super) fn changed(plan: &CallPlan, chosen: &CallPlan) -> bool {
    (plan.caller(), plan.talks_ms) != (chosen.caller(), chosen.talks_ms)
}

async fn first_that_may(
    conn: &mut Conn,
    plan: &mut CallPlan,
    ready: &Ready,
    (at, places): (Moment, Places),
) -> Result<Choice, StoreError> {
    if plan.callers().nth(1).is_none() {
        return verdict(conn, plan, ready, (at, places)).await;
    }
    let lines = plan.lines();
    let mut refused: Option<(Choice, Refusal)> = None;
    for place in 0..lines.len() {
        plan.show(lines.clone(), place);
        let choice = verdict(conn, plan, ready, (at, places)).await?;
        match choice.outcome {
            Err(refusal) if refusal.is_of_caller() => {
                if refused.as_ref().is_none_or(|(_, first)| refusal.is_busy() && !first.is_busy()) {
                    refused = Some((choice, refusal));
                }
            }
            _ => return Ok(choice),
        }
    }
    plan.show(lines, 0);
    match refused {
        Some((choice, _)) => Ok(choice),
        None => verdict(conn, plan, ready, (at, places)).await,
    }
}

async fn verdict(
    conn: &mut Conn,
    plan: &CallPlan,
    ready: &Ready,
    (at, places): (Moment, Places),
) -> Result<Choice, StoreError> {
    // What is put off is dialled among the calls of then: no place of now is its own, nor in its way.
    let opening = case_of(ready, plan, at).opening().unwrap_or(at);
    let (at, places) = if opening > at { (opening, Places::NotYet) } else { (at, places) };
    let case = case_of(ready, plan, at);
    let mut facts = facts::facts(conn, plan, ready, &case).await?;
    if places == Places::NotYet {
        let usage = Usage { held_ms: 0, held_cost: 0, ..facts.usage };
        facts = Facts { caller_active: 0, account_active: 0, agent_active: 0, usage, ..facts };
    }
    let outcome = policy::judge(&case, &facts).and_then(|placement| before_deadline(placement, plan));
    Ok(Choice { at, facts, outcome })
}

/// Writes down which number shows and how long the call may talk. What else has been changed in the call's plan meanwhile stays.
pub(super) async fn keep(conn: &mut Conn, chosen: &CallPlan) -> Result<(), StoreError> {
    let mut select = query("SELECT plan FROM calls WHERE account = $1 AND id = $2");
    select.push(dialect::for_update(conn.backend()));
    let row = select.bind(chosen.account.as_str()).bind(chosen.id.to_string()).fetch_one(&mut *conn).await?;
    let mut plan: CallPlan = of_json("call plan", row.read("plan")?)?;
    plan.show(chosen.lines(), 0);
    plan.talks_ms = chosen.talks_ms;
    query("UPDATE calls SET plan = $3, caller = $4, talks_ms = $5 WHERE account = $1 AND id = $2")
        .bind(plan.account.as_str())
        .bind(plan.id.to_string())
        .bind(json(&plan)?)
        .bind(plan.caller_dialled())
        .bind(talks_ms(&plan))
        .execute(conn)
        .await?;
    Ok(())
}
