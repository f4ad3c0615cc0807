//! Things that may be used once or paired once: nonces, vendor ids; and forgetting what has outlived its time.

use super::{Conn, Query, query};
use crate::{Alias, Purged, StoreError};
use callwright_domain::{KeyId, Moment};
use std::time::Duration;

/// How long it can be told why a call was placed or refused.
const VERDICTS_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// [`crate::Store::use_nonce`]. A nonce past its time counts as never used.
pub(crate) async fn use_nonce(
    conn: &mut Conn,
    key: &KeyId,
    nonce: &str,
    (now, keep): (Moment, Duration),
) -> Result<bool, StoreError> {
    let used = query(
        "INSERT INTO nonces (key_id, nonce, expires) VALUES ($1, $2, $3)
         ON CONFLICT (key_id, nonce) DO UPDATE SET expires = excluded.expires WHERE nonces.expires <= $4",
    )
    .bind(key.as_str())
    .bind(nonce)
    .bind(now.after(keep).millis())
    .bind(now.millis())
    .execute(conn)
    .await?;
    Ok(used == 1)
}

/// Writes a pair down.
pub(super) fn alias_row(alias: &Alias) -> Query {
    query("INSERT INTO aliases (account, dialect, kind, outer_id, inner_id) VALUES ($1, $2, $3, $4, $5)")
        .bind(alias.account.as_str())
        .bind(&alias.dialect)
        .bind(alias.kind.word())
        .bind(&alias.outer)
        .bind(&alias.inner)
}

/// [`crate::Store::put_alias`].
pub(crate) async fn put_alias(conn: &mut Conn, alias: &Alias) -> Result<(), StoreError> {
    let mut put = alias_row(alias);
    put.push(" ON CONFLICT DO NOTHING");
    let put = put.execute(&mut *conn).await?;
    if put == 1 {
        return Ok(());
    }
    let pair =
        query("SELECT inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND outer_id = $4")
            .bind(alias.account.as_str())
            .bind(&alias.dialect)
            .bind(alias.kind.word())
            .bind(&alias.outer)
            .fetch_optional(conn)
            .await?;
    let inner = pair.map(|row| row.read::<String>("inner_id")).transpose()?;
    if inner.as_deref() == Some(&alias.inner) { Ok(()) } else { Err(StoreError::Taken { what: "the vendor's id" }) }
}

/// [`crate::Store::replace_alias`].
pub(crate) async fn replace_alias(conn: &mut Conn, alias: &Alias) -> Result<(), StoreError> {
    let outer =
        query("SELECT inner_id FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND outer_id = $4")
            .bind(alias.account.as_str())
            .bind(&alias.dialect)
            .bind(alias.kind.word())
            .bind(&alias.outer)
            .fetch_optional(&mut *conn)
            .await?;
    let holder = outer.map(|row| row.read::<String>("inner_id")).transpose()?;
    if holder.is_some_and(|inner| inner != alias.inner) {
        return Err(StoreError::Taken { what: "the vendor's id" });
    }
    query("DELETE FROM aliases WHERE account = $1 AND dialect = $2 AND kind = $3 AND inner_id = $4")
        .bind(alias.account.as_str())
        .bind(&alias.dialect)
        .bind(alias.kind.word())
        .bind(&alias.inner)
        .execute(&mut *conn)
        .await?;
    put_alias(conn, alias).await
}

/// [`crate::Store::purge`].
pub(crate) async fn purge(conn: &mut Conn, now: Moment) -> Result<Purged, StoreError> {
    let keys = query("DELETE FROM idempotency_keys WHERE expires <= $1").bind(now.millis()).execute(&mut *conn).await?;
    let nonces = query("DELETE FROM nonces WHERE expires <= $1").bind(now.millis()).execute(&mut *conn).await?;
    let kept = i64::try_from(VERDICTS_KEPT.as_millis()).unwrap_or(i64::MAX);
    super::rules::purge_verdicts(conn, Moment(now.millis().saturating_sub(kept))).await?;
    Ok(Purged { idempotency_keys: keys, nonces })
}
