//! Who runs which call. A call is held by one life (epoch) of one node; the node's lease says until when others must
//! believe that it lives. Never judges our own life by a clock: what we claimed stays ours until the process ends.

use super::rows::{key_of, of_json, state_of};
use super::{Conn, dialect, goodbyes, query};
use crate::{Interrupted, NodeIdentity, StoreError};
use callwright_domain::{CallId, CallPlan, Moment};
use std::time::Duration;

/// How long a fresh life is believed in before its first renewal.
const FIRST_LEASE: Duration = Duration::from_secs(30);

/// `$1`, `$2`: our node and epoch; `$3`: the leases' clock. True for a row of the table, which is that of the calls when it
/// is not named, whose owner is neither we nor alive.
macro_rules! owner_is_dead {
    () => {
        owner_is_dead!("calls")
    };
    ($table:literal) => {
        concat!(
            "owner IS NOT NULL AND NOT (owner = $1 AND epoch = $2) AND NOT EXISTS (SELECT 1 FROM nodes
            WHERE nodes.node = ",
            $table,
            ".owner AND nodes.epoch = ",
            $table,
            ".epoch AND nodes.lease_until > $3)"
        )
    };
}

pub(super) use owner_is_dead;

/// The rows to be taken are chosen once: a plan that looked them up again could take more than the limit.
const CLAIM: &str = concat!(
    "WITH taken AS MATERIALIZED (SELECT id FROM calls WHERE state = 'queued' AND waits IS NULL AND channel IS NULL AND due <= $4 AND (owner IS NULL OR (",
    owner_is_dead!(),
    ")) ORDER BY due, id LIMIT $5"
);

const CLAIM_TAKEN: &str =
    ") UPDATE calls SET owner = $1, epoch = $2, mark = 0 WHERE id IN (SELECT id FROM taken) RETURNING plan";

const TAKE_OVER: &str = concat!(
    "WITH taken AS MATERIALIZED (SELECT id FROM calls WHERE ended IS NULL AND state <> 'queued' AND ",
    owner_is_dead!()
);

const TAKE_OVER_TAKEN: &str = ") UPDATE calls SET owner = $1, epoch = $2, mark = 0 WHERE id IN (SELECT id FROM taken)
    RETURNING account, id, plan, state, cause, intent, dialog";

/// Begins the next life of `node`, within the caller's transaction. With the embedded database the data directory is
/// locked by this process, so every other life that the database knows of is over, whatever its lease says: nobody
/// waits for leases to run out after a restart.
pub(crate) async fn begin_epoch(
    conn: &mut Conn,
    (node, advertise_url): (&str, &str),
    now: Moment,
) -> Result<i64, StoreError> {
    if !dialect::is_shared(conn.backend()) {
        query("UPDATE nodes SET lease_until = 0").execute(&mut *conn).await?;
    }
    let leases = dialect::lease_clock(conn, now).await?;
    query(
        "INSERT INTO nodes (node, epoch, lease_until, advertise_url) VALUES ($1, 1, $2, $3)
         ON CONFLICT (node) DO UPDATE SET epoch = nodes.epoch + 1, lease_until = excluded.lease_until,
             advertise_url = excluded.advertise_url
         RETURNING epoch",
    )
    .bind(node)
    .bind(leases.after(FIRST_LEASE).millis())
    .bind(advertise_url)
    .fetch_one(conn)
    .await?
    .read("epoch")
}

/// [`crate::Store::renew_lease`].
pub(crate) async fn renew(
    conn: &mut Conn,
    me: &NodeIdentity,
    (now, lasts): (Moment, Duration),
) -> Result<(), StoreError> {
    let until = dialect::lease_clock(conn, now).await?.after(lasts);
    let renewed = query("UPDATE nodes SET lease_until = $3 WHERE node = $1 AND epoch = $2")
        .bind(&me.node)
        .bind(me.epoch)
        .bind(until.millis())
        .execute(conn)
        .await?;
    if renewed == 1 { Ok(()) } else { Err(StoreError::NotOwner) }
}

/// Says no when this life's lease has run out, so that a node that slept dials nothing before it has renewed: what it
/// holds may be another's by now. With the embedded database nobody else can have taken anything.
pub(super) async fn require(conn: &mut Conn, me: &NodeIdentity, now: Moment) -> Result<(), StoreError> {
    if !dialect::is_shared(conn.backend()) {
        return Ok(());
    }
    let leases = dialect::lease_clock(conn, now).await?;
    let alive = query("SELECT node FROM nodes WHERE node = $1 AND epoch = $2 AND lease_until > $3")
        .bind(&me.node)
        .bind(me.epoch)
        .bind(leases.millis())
        .fetch_optional(conn)
        .await?;
    if alive.is_some() { Ok(()) } else { Err(StoreError::NotOwner) }
}

/// [`crate::Store::claim_due`].
pub(crate) async fn claim_due(
    conn: &mut Conn,
    me: &NodeIdentity,
    now: Moment,
    limit: u32,
) -> Result<Vec<CallPlan>, StoreError> {
    let leases = dialect::lease_clock(conn, now).await?;
    let mut claim = query(CLAIM);
    claim.push(dialect::skip_locked(conn.backend())).push(CLAIM_TAKEN);
    let rows = claim
        .bind(&me.node)
        .bind(me.epoch)
        .bind(leases.millis())
        .bind(now.millis())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await?;
    let mut plans = rows
        .iter()
        .map(|row| of_json("call plan", row.read("plan")?))
        .collect::<Result<Vec<CallPlan>, StoreError>>()?;
    // The order of what RETURNING gives is not defined.
    plans.sort_by_key(|plan| (plan.due, plan.id));
    Ok(plans)
}

/// [`crate::Store::unclaim`].
pub(crate) async fn unclaim(conn: &mut Conn, me: &NodeIdentity, calls: &[CallId]) -> Result<(), StoreError> {
    for call in calls {
        query(
            "UPDATE calls SET owner = NULL, epoch = NULL
             WHERE id = $3 AND owner = $1 AND epoch = $2 AND state = 'queued'",
        )
        .bind(&me.node)
        .bind(me.epoch)
        .bind(call.to_string())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Which dead owners are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    /// Every one.
    Anyone,
    /// Earlier lives of this node.
    Ourselves,
}

impl Dead {
    /// What a statement that takes their rows adds to its condition.
    pub(super) const fn condition(self) -> &'static str {
        match self {
            Self::Anyone => "",
            Self::Ourselves => " AND owner = $1",
        }
    }
}

/// [`crate::Store::interrupted_calls`].
pub(crate) async fn take_over(
    conn: &mut Conn,
    me: &NodeIdentity,
    (whose, now): (Dead, Moment),
) -> Result<Vec<Interrupted>, StoreError> {
    let leases = dialect::lease_clock(conn, now).await?;
    let mut take = query(TAKE_OVER);
    take.push(whose.condition()).push(dialect::skip_locked(conn.backend())).push(TAKE_OVER_TAKEN);
    let mut rows = take.bind(&me.node).bind(me.epoch).bind(leases.millis()).fetch_all(&mut *conn).await?;
    rows.extend(goodbyes::take_over(conn, me, (whose, leases)).await?);
    let mut taken = Vec::with_capacity(rows.len());
    for row in &rows {
        let intent: Option<&str> = row.read("intent")?;
        // One row that cannot be read must not keep the others from being ended.
        match of_json::<CallPlan>("call plan", row.read("plan")?) {
            Ok(plan) => taken.push(Interrupted {
                plan,
                state: state_of(row)?,
                intent: intent.map(|text| of_json("dial intent", text)).transpose()?,
                dialog: row.read("dialog")?,
            }),
            Err(error) => tracing::error!(call = %key_of(row)?.1, %error, "an interrupted call cannot be read"),
        }
    }
    taken.sort_by_key(|call| (call.plan.created, call.plan.id));
    Ok(taken)
}
