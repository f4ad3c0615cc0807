//! The tables, as numbered steps that only ever add. Hides how the version is kept; never runs on a schema newer than
//! it knows.

use crate::StoreError;
use sqlx::SqliteConnection;

/// Step n brings the schema to version n. Steps that have been released are never edited: add a new one.
const STEPS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// Brings the schema to the newest version, each step in a transaction of its own.
pub(super) async fn upgrade(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("CREATE TABLE IF NOT EXISTS schema_steps (version BIGINT NOT NULL PRIMARY KEY)")
        .execute(&mut *conn)
        .await?;
    let found: i64 =
        sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM schema_steps").fetch_one(&mut *conn).await?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, step) in (1_i64..).zip(STEPS).filter(|(version, _)| *version > found) {
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *conn).await?;
        sqlx::raw_sql(*step).execute(&mut *conn).await?;
        sqlx::query("INSERT INTO schema_steps (version) VALUES ($1)").bind(version).execute(&mut *conn).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await?;
        tracing::info!(version, "schema brought up to date");
    }
    Ok(())
}
