//! Things that may be used once or paired once: nonces, vendor ids; and forgetting what has outlived its time.

use crate::{Alias, Purged, StoreError};
use callwright_domain::{KeyId, Moment};
use sqlx::SqliteConnection;
use std::time::Duration;

/// [`crate::Store::use_nonce`]. A nonce past its time counts as never used.
pub(crate) async fn use_nonce(
    conn: &mut SqliteConnection,
    key: &KeyId,
    nonce: &str,
    (now, keep): (Moment, Duration),
) -> Result<bool, StoreError> {
    let used = sqlx::query(
        "INSERT INTO nonces (key_id, nonce, expires) VALUES ($1, $2, $3)
         ON CONFLICT (key_id, nonce) DO UPDATE SET expires = excluded.expires WHERE nonces.expires <= $4",
    )
    .bind(key.as_str())
    .bind(nonce)
    .bind(now.after(keep).millis())
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// [`crate::Store::put_alias`].
pub(crate) async fn put_alias(conn: &mut SqliteConnection, alias: &Alias) -> Result<(), StoreError> {
    let put = sqlx::query(
        "INSERT INTO aliases (account, dialect, kind, outer_id, inner_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(alias.account.as_str())
    .bind(&alias.dialect)
    .bind(alias.kind.word())
    .bind(&alias.outer)
    .bind(&alias.inner)
    .execute(&mut *conn)
    .await?;
    if put.rows_affected() == 1 {
        return Ok(());
    }
    let inner: Option<String> = sqlx::query_scalar(
        "SELECT inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND outer_id = $4",
    )
    .bind(alias.account.as_str())
    .bind(&alias.dialect)
    .bind(alias.kind.word())
    .bind(&alias.outer)
    .fetch_optional(conn)
    .await?;
    if inner.as_deref() == Some(&alias.inner) { Ok(()) } else { Err(StoreError::Taken { what: "the vendor's id" }) }
}

/// [`crate::Store::purge`].
pub(crate) async fn purge(conn: &mut SqliteConnection, now: Moment) -> Result<Purged, StoreError> {
    let keys =
        sqlx::query("DELETE FROM idempotency_keys WHERE expires <= $1").bind(now.millis()).execute(&mut *conn).await?;
    let nonces = sqlx::query("DELETE FROM nonces WHERE expires <= $1").bind(now.millis()).execute(conn).await?;
    Ok(Purged { idempotency_keys: keys.rows_affected(), nonces: nonces.rows_affected() })
}
