//! SQL that writes what people configure. Never checks one thing against another: admission does, when it matters.

use super::rows::json;
use super::{Conn, query};
use crate::{Account, Number, StoreError, Trunk};
use callwright_domain::{AccountId, AgentId, AgentProfile, ApiKey, Moment};

/// What [`delete`] removes: one statement for each kind of thing.
pub(crate) const AGENT: &str = "DELETE FROM agents WHERE account = $1 AND id = $2";
/// See [`AGENT`].
pub(crate) const NUMBER: &str = "DELETE FROM numbers WHERE account = $1 AND number = $2";
/// See [`AGENT`].
pub(crate) const TRUNK: &str = "DELETE FROM trunks WHERE account = $1 AND id = $2";
/// See [`AGENT`].
pub(crate) const KEY: &str = "DELETE FROM api_keys WHERE account = $1 AND id = $2";

/// Removes one thing of an account; `false`: there was none.
pub(crate) async fn delete(
    conn: &mut Conn,
    statement: &'static str,
    account: &AccountId,
    id: &str,
) -> Result<bool, StoreError> {
    let gone = query(statement).bind(account.as_str()).bind(id).execute(conn).await?;
    Ok(gone > 0)
}

/// [`crate::Store::put_account`].
pub(crate) async fn put_account(conn: &mut Conn, account: &Account) -> Result<(), StoreError> {
    query(
        "INSERT INTO accounts (id, name, max_calls) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, max_calls = excluded.max_calls",
    )
    .bind(account.id.as_str())
    .bind(&account.name)
    .bind(i64::from(account.max_calls))
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::put_agent`].
pub(crate) async fn put_agent(
    conn: &mut Conn,
    account: &AccountId,
    id: &AgentId,
    profile: &AgentProfile,
    now: Moment,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO agents (account, id, profile, updated, created) VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (account, id) DO UPDATE SET profile = excluded.profile, updated = excluded.updated",
    )
    .bind(account.as_str())
    .bind(id.as_str())
    .bind(json(profile)?)
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::put_number`].
pub(crate) async fn put_number(conn: &mut Conn, number: &Number) -> Result<(), StoreError> {
    query(
        "INSERT INTO numbers (account, number, trunk, status, max_calls, spare_trunks, agent)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (account, number) DO UPDATE SET trunk = excluded.trunk, status = excluded.status,
             max_calls = excluded.max_calls, spare_trunks = excluded.spare_trunks, agent = excluded.agent",
    )
    .bind(number.account.as_str())
    .bind(number.number.dial())
    .bind(number.trunk.as_str())
    .bind(number.status.word())
    .bind(i64::from(number.max_calls))
    .bind(json(&number.spare_trunks)?)
    .bind(number.agent.as_ref().map_or("", AgentId::as_str))
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::put_trunk`].
pub(crate) async fn put_trunk(conn: &mut Conn, account: &AccountId, trunk: &Trunk) -> Result<(), StoreError> {
    query(
        "INSERT INTO trunks (account, id, settings, enabled) VALUES ($1, $2, $3, $4)
         ON CONFLICT (account, id) DO UPDATE SET settings = excluded.settings, enabled = excluded.enabled",
    )
    .bind(account.as_str())
    .bind(trunk.id.as_str())
    .bind(json(&trunk.settings)?)
    .bind(i64::from(trunk.enabled.is_on()))
    .execute(conn)
    .await?;
    Ok(())
}

/// [`crate::Store::put_key`]. The id alone finds a key, so it must be unique over all accounts.
pub(crate) async fn put_key(conn: &mut Conn, key: &ApiKey) -> Result<(), StoreError> {
    let put = query(
        "INSERT INTO api_keys (account, id, name, secret, scopes, status) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, secret = excluded.secret, scopes = excluded.scopes,
             status = excluded.status
         WHERE api_keys.account = excluded.account",
    )
    .bind(key.account.as_str())
    .bind(key.id.as_str())
    .bind(&key.name)
    .bind(key.secret.expose())
    .bind(json(&key.scopes)?)
    .bind(json(&key.status)?)
    .execute(conn)
    .await?;
    if put == 1 { Ok(()) } else { Err(StoreError::Taken { what: "the key's id" }) }
}
