//! The tables, as numbered steps that only ever add. Hides how the version is kept; never runs on a schema newer than
//! it knows.

use super::{Conn, dialect, query};
use crate::StoreError;

/// One line for each file. Numbers need not be without gaps, and a number lower than one that a database already has
/// is still carried out there. Steps that have been released are never edited: add a new one.
const STEPS: &[(i64, &str)] = &[
    (1, include_str!("migrations/0001_first.sql")),
    (2, include_str!("migrations/0002_nodes.sql")),
    (5, include_str!("migrations/0005_spare_trunks.sql")),
    (7, include_str!("migrations/0007_threads.sql")),
    (10, include_str!("migrations/0010_rules.sql")),
    (20, include_str!("migrations/0020_outbox.sql")),
    (40, include_str!("migrations/0040_campaigns.sql")),
    (51, include_str!("migrations/0051_chat.sql")),
    (60, include_str!("migrations/0060_waiting.sql")),
    (61, include_str!("migrations/0061_retries.sql")),
    (70, include_str!("migrations/0070_privacy.sql")),
    (80, include_str!("migrations/0080_extracts.sql")),
    (81, include_str!("migrations/0081_notes.sql")),
    (95, include_str!("migrations/0095_holding.sql")),
    (96, include_str!("migrations/0096_shares.sql")),
    (100, include_str!("migrations/0100_browsers.sql")),
    (110, include_str!("migrations/0110_pools.sql")),
    (125, include_str!("migrations/0125_open_channels.sql")),
    (130, include_str!("migrations/0130_marks.sql")),
    (140, include_str!("migrations/0140_aliases.sql")),
    (150, include_str!("migrations/0150_zones.sql")),
    (151, include_str!("migrations/0151_trunk_channels.sql")),
    (160, include_str!("migrations/0160_agents_made.sql")),
    (170, include_str!("migrations/0170_number_agent.sql")),
    (180, include_str!("migrations/0180_goodbyes.sql")),
    (181, include_str!("migrations/0181_moved.sql")),
    (190, include_str!("migrations/0190_gates.sql")),
    (191, include_str!("migrations/0191_reserved.sql")),
];

/// Brings the schema to the newest version, within the caller's transaction: all steps or none.
pub(crate) async fn upgrade(conn: &mut Conn) -> Result<(), StoreError> {
    conn.batch("CREATE TABLE IF NOT EXISTS schema_steps (version BIGINT NOT NULL PRIMARY KEY)").await?;
    let rows = query("SELECT version FROM schema_steps ORDER BY version").fetch_all(&mut *conn).await?;
    let done = rows.iter().map(|row| row.read(0)).collect::<Result<Vec<i64>, StoreError>>()?;
    let known = STEPS.last().map_or(0, |(version, _)| *version);
    if let Some(found) = done.iter().copied().find(|version| STEPS.iter().all(|(step, _)| step != version)) {
        return Err(StoreError::TooNew { found, known });
    }
    for (version, step) in STEPS.iter().filter(|(version, _)| !done.contains(version)) {
        conn.batch(dialect::migration(conn.backend(), step)).await?;
        query("INSERT INTO schema_steps (version) VALUES ($1)").bind(*version).execute(&mut *conn).await?;
        tracing::info!(version, "schema brought up to date");
    }
    if done.is_empty() {
        dialect::finish_new(conn).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    #[test]
    fn steps_are_in_order() {
        assert!(STEPS.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
