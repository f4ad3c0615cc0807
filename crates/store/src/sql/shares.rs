//! What all nodes of a database take from together, by the database's clock: requests of a second, turns of a trunk. Each
//! question is one statement on one row, so nodes that ask at once are answered one after the other. Never waits for a turn.

use super::rows::unsigned;
use super::{Conn, dialect, query};
use crate::{Share, StoreError};
use callwright_domain::{AccountId, Moment};
use std::time::Duration;

const SECOND_US: i64 = 1_000_000;
/// A free turn farther away than this, and two turns, comes from a clock that was set back.
const FARTHEST_TURN_US: i64 = 60 * SECOND_US;

/// `$2`, `$3`: whose share; `$4`: how much is wanted; `$5`: how much a second has. A second that is past, or that a clock
/// was set back from, counts no more.
const TAKE: &str = "
    , $4, $4 FROM (SELECT 1 AS one) asks WHERE 1 = 1
    ON CONFLICT (account, name) DO UPDATE SET
        slot = CASE WHEN shares.slot < excluded.slot OR shares.slot > excluded.slot + 1 THEN excluded.slot ELSE shares.slot END,
        taken = CASE WHEN shares.slot < excluded.slot OR shares.slot > excluded.slot + 1 THEN excluded.taken
            WHEN shares.taken + excluded.taken <= $5 THEN shares.taken + excluded.taken
            WHEN shares.taken < $5 THEN $5 ELSE shares.taken END,
        granted = CASE WHEN shares.slot < excluded.slot OR shares.slot > excluded.slot + 1 THEN excluded.taken
            WHEN shares.taken + excluded.taken <= $5 THEN excluded.taken
            WHEN shares.taken < $5 THEN $5 - shares.taken ELSE 0 END
    RETURNING granted, slot, ";

/// `$2`, `$3`: whose turns; `$4`: how far apart they are. `slot` is the next free turn, after the one that is given.
const TURN: &str = " AS now) asks WHERE 1 = 1
    ON CONFLICT (account, name) DO UPDATE SET
        slot = $4 + CASE WHEN shares.slot > excluded.taken AND shares.slot <= excluded.taken + $5 THEN shares.slot
            ELSE excluded.taken END,
        taken = excluded.taken
    RETURNING slot, taken";

/// [`crate::Store::take_share`].
pub(crate) async fn take(
    conn: &mut Conn,
    (account, name): (&AccountId, &str),
    (limit, wanted): (u32, u32),
    now: Moment,
) -> Result<Share, StoreError> {
    let clock = dialect::clock_us(conn.backend());
    let mut take = query("INSERT INTO shares (account, name, slot, taken, granted) SELECT $2, $3, ");
    take.push(clock).push(" / 1000000").push(TAKE).push(clock).push(" AS now");
    let row = take
        .bind(now.millis().saturating_mul(1000))
        .bind(account.as_str())
        .bind(name)
        .bind(i64::from(wanted.min(limit)))
        .bind(i64::from(limit))
        .fetch_one(conn)
        .await?;
    let second: i64 = row.read("slot")?;
    let left = second.saturating_add(1).saturating_mul(SECOND_US).saturating_sub(row.read("now")?);
    let left = Duration::from_micros(unsigned("time", left.clamp(0, 2 * SECOND_US))?);
    Ok(Share { granted: unsigned("share", row.read("granted")?)?, second, left })
}

/// [`crate::Store::take_turn`]: how long it is until then.
pub(crate) async fn turn(
    conn: &mut Conn,
    (account, name): (&AccountId, &str),
    apart: Duration,
    now: Moment,
) -> Result<Duration, StoreError> {
    let apart = i64::try_from(apart.as_micros()).unwrap_or(SECOND_US);
    let mut turn = query(
        "INSERT INTO shares (account, name, slot, taken, granted) SELECT $2, $3, asks.now + $4, asks.now, 1 FROM (SELECT ",
    );
    turn.push(dialect::clock_us(conn.backend())).push(TURN);
    let row = turn
        .bind(now.millis().saturating_mul(1000))
        .bind(account.as_str())
        .bind(name)
        .bind(apart)
        .bind(FARTHEST_TURN_US.saturating_add(apart.saturating_mul(2)))
        .fetch_one(conn)
        .await?;
    let wait = row.read::<i64>("slot")?.saturating_sub(apart).saturating_sub(row.read("taken")?);
    Ok(Duration::from_micros(unsigned("time", wait.max(0))?))
}

/// Forgets whose shares nobody will take any more.
pub(super) async fn forget(conn: &mut Conn, account: &AccountId, name: &str) -> Result<(), StoreError> {
    query("DELETE FROM shares WHERE account = $1 AND name = $2")
        .bind(account.as_str())
        .bind(name)
        .execute(conn)
        .await?;
    Ok(())
}
