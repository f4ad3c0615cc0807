//! The statements about calls that are met in browsers. A call that waits to be joined is nobody's: it is taken in the
//! transaction that finds it free, so that of two nodes that are asked at once one gets it.

use super::leases::owner_is_dead;
use super::rows::{VIEW_COLUMNS, call_view, key_of, of_json, parsed};
use super::{Conn, Pool, Row, dialect, leases, query};
use crate::browsers::ChannelApp;
use crate::calls::Key;
use crate::{CallView, NodeIdentity, StoreError};
use callwright_domain::{AccountId, CallPlan, ChannelName, Moment, Pii};

/// Calls that nobody joined that are given out at a time.
const UNJOINED_AT_ONCE: i64 = 100;

/// Longest that a call may be taken and not joined yet, in milliseconds: joining is refused or written down well before. What
/// is left after that died with its node.
const JOINING_MS: i64 = 60_000;

const CLAIM: &str = concat!(
    "UPDATE calls SET owner = $1, epoch = $2, mark = 0 WHERE account = $4 AND id = $5 AND state = 'queued' AND channel IS NOT NULL
        AND joins_until > $6 AND (owner IS NULL OR (",
    owner_is_dead!(),
    ")) RETURNING plan"
);

/// [`crate::Store::claim_joined`].
pub(crate) async fn claim_joined(
    conn: &mut Conn,
    me: &NodeIdentity,
    key: &Key,
    now: Moment,
) -> Result<Option<CallPlan>, StoreError> {
    leases::require(conn, me, now).await?;
    let clock = dialect::lease_clock(conn, now).await?;
    let claim = query(CLAIM).bind(&me.node).bind(me.epoch).bind(clock.millis());
    let claim = claim.bind(key.0.as_str()).bind(key.1.to_string()).bind(now.millis());
    let row = claim.fetch_optional(conn).await?;
    row.map(|row| of_json("call plan", row.read("plan")?)).transpose()
}

/// [`crate::Reader::call_in_channel`].
pub(crate) async fn in_channel(
    pool: &Pool,
    account: &AccountId,
    channel: &ChannelName,
) -> Result<Option<CallView>, StoreError> {
    let mut select = query("SELECT ");
    select.push(VIEW_COLUMNS).push(" FROM calls WHERE account = ").push_bind(account.as_str());
    select.push(" AND channel = ").push_bind(channel.as_str());
    select.push(" ORDER BY created DESC, id DESC LIMIT 1");
    select.fetch_optional(pool).await?.as_ref().map(call_view).transpose()
}

/// [`crate::Reader::unjoined`].
pub(crate) async fn unjoined(pool: &Pool, now: Moment) -> Result<Vec<Key>, StoreError> {
    let rows = query(
        "SELECT account, id FROM calls WHERE channel IS NOT NULL AND state = 'queued' AND joins_until <= $1
            AND (owner IS NULL OR joins_until <= $2)
         ORDER BY joins_until, id LIMIT $3",
    );
    let joining = now.millis().saturating_sub(JOINING_MS);
    rows.bind(now.millis()).bind(joining).bind(UNJOINED_AT_ONCE).fetch_all(pool).await?.iter().map(key_of).collect()
}

/// [`crate::Store::channel_app`].
pub(crate) async fn put_app(conn: &mut Conn, fresh: &ChannelApp, now: Moment) -> Result<ChannelApp, StoreError> {
    query(
        "INSERT INTO channel_apps (app_id, account, app_key, created) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(&fresh.id)
    .bind(fresh.account.as_str())
    .bind(fresh.key.expose())
    .bind(now.millis())
    .execute(&mut *conn)
    .await?;
    let row = query("SELECT app_id, account, app_key FROM channel_apps WHERE account = $1");
    let row = row.bind(fresh.account.as_str()).fetch_optional(conn).await?;
    row.as_ref().map(app_in).transpose()?.ok_or(StoreError::Taken { what: "the application's id" })
}

/// [`crate::Reader::channel_app`].
pub(crate) async fn app(pool: &Pool, id: &str) -> Result<Option<ChannelApp>, StoreError> {
    let row = query("SELECT app_id, account, app_key FROM channel_apps WHERE app_id = $1");
    row.bind(id).fetch_optional(pool).await?.as_ref().map(app_in).transpose()
}

/// [`crate::Reader::channel_app_of`].
pub(crate) async fn app_of(pool: &Pool, account: &AccountId) -> Result<Option<ChannelApp>, StoreError> {
    let row = query("SELECT app_id, account, app_key FROM channel_apps WHERE account = $1");
    row.bind(account.as_str()).fetch_optional(pool).await?.as_ref().map(app_in).transpose()
}

fn app_in(row: &Row) -> Result<ChannelApp, StoreError> {
    Ok(ChannelApp {
        id: row.read("app_id")?,
        account: parsed("account id", row.read::<&str>("account")?)?,
        key: Pii::new(row.read("app_key")?),
    })
}
