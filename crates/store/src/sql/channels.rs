//! The channels of trunks that several nodes share: taken one at a time behind the lock of the trunk's row, so that no two
//! nodes take the last one. A channel goes with its call: what a node could not give back, because it died or the database
//! was away, is free when the call has ended, or is another's before it was dialled. Never waits for a channel.

use super::{Conn, Query, dialect, query};
use crate::{Channel, NodeIdentity, StoreError};

const LOCK: &str = "SELECT id FROM trunks WHERE account = $1 AND id = $2";

/// `$7`: how many there are.
const TAKE: &str = "
    INSERT INTO trunk_channels (account, trunk, call, hold, owner, epoch)
    SELECT $1, $2, $3, $4, $5, $6 FROM (SELECT 1 AS one) asks
    WHERE (SELECT COUNT(*) FROM trunk_channels c
        WHERE c.account = $1 AND c.trunk = $2 AND NOT (c.call = $3 AND c.hold = $4)) < $7
    ON CONFLICT (account, trunk, call, hold) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch";

/// A call that is being dialled or talked in holds its channel whoever owns it: until its far end was told of the end, the
/// trunk counts it. One that is still queued holds it for its owner alone, who cannot dial it once it is another's.
const FREE: &str = "
    DELETE FROM trunk_channels WHERE account = $1 AND trunk = $2 AND NOT EXISTS (
        SELECT 1 FROM calls k WHERE k.account = trunk_channels.account AND k.id = trunk_channels.call AND k.ended IS NULL
            AND (k.state <> 'queued' OR (k.owner = trunk_channels.owner AND k.epoch = trunk_channels.epoch)))";

const GIVE_BACK: &str = "
    DELETE FROM trunk_channels
    WHERE account = $1 AND trunk = $2 AND call = $3 AND hold = $4 AND owner = $5 AND epoch = $6";

/// [`crate::Store::take_channel`].
pub(crate) async fn take(
    conn: &mut Conn,
    me: &NodeIdentity,
    (channel, most): (&Channel, u32),
) -> Result<bool, StoreError> {
    let whose = [channel.account.as_str(), channel.trunk.as_str()];
    dialect::lock_row(conn, LOCK, &whose).await?;
    if insert(conn, me, (channel, most)).await? {
        return Ok(true);
    }
    let freed = query(FREE).bind(whose[0]).bind(whose[1]).execute(&mut *conn).await?;
    if freed == 0 { Ok(false) } else { insert(conn, me, (channel, most)).await }
}

async fn insert(conn: &mut Conn, me: &NodeIdentity, (channel, most): (&Channel, u32)) -> Result<bool, StoreError> {
    let taken = of_channel(TAKE, me, channel).bind(i64::from(most)).execute(conn).await?;
    Ok(taken > 0)
}

/// A statement with what names a channel and its holder as its first six values.
fn of_channel(statement: &'static str, me: &NodeIdentity, channel: &Channel) -> Query {
    query(statement)
        .bind(channel.account.as_str())
        .bind(channel.trunk.as_str())
        .bind(channel.call.to_string())
        .bind(channel.hold)
        .bind(&me.node)
        .bind(me.epoch)
}

/// [`crate::Store::give_channel_back`].
pub(crate) async fn give_back(conn: &mut Conn, me: &NodeIdentity, channel: &Channel) -> Result<(), StoreError> {
    of_channel(GIVE_BACK, me, channel).execute(conn).await?;
    Ok(())
}
