//! The few places where the two databases need different words. Everything else in `sql/` is common to both.

use super::{Backend, Conn, Query, query, query_of_own_names};
use crate::StoreError;
use callwright_domain::Moment;

/// How a transaction that writes begins. SQLite takes its one write lock at once, or two writers could deadlock.
pub(crate) const fn begin(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN",
    }
}

/// Ends a `SELECT` of a row that is about to be written: whoever else wants to write it waits until our transaction's
/// end. SQLite has one writer and needs nothing.
pub(crate) const fn for_update(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "",
        Backend::Postgres => " FOR UPDATE",
    }
}

/// The same for a `SELECT` of several tables, of which only the rows of `n` are locked.
pub(crate) const fn for_update_of_n(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "",
        Backend::Postgres => " FOR UPDATE OF n",
    }
}

/// The time that leases are measured by: the shared database's own, because the nodes' clocks may differ. With the
/// embedded database there is one node, and its clock is `now`.
pub(crate) async fn lease_clock(conn: &mut Conn, now: Moment) -> Result<Moment, StoreError> {
    match conn.backend() {
        Backend::Sqlite => Ok(now),
        Backend::Postgres => {
            let row =
                query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)").fetch_one(conn).await?;
            Ok(Moment(row.read(0)?))
        }
    }
}

/// The same time within a statement, in microseconds, where `$1` is the embedded database's.
pub(crate) const fn clock_us(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "$1",
        // The value must be mentioned.
        Backend::Postgres => "($1 * 0 + CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT))",
    }
}

/// Whether what other nodes hold is theirs while their leases last. The embedded database has one node at a time: when
/// it opens, every other life is over.
pub(crate) const fn is_shared(backend: Backend) -> bool {
    match backend {
        Backend::Sqlite => false,
        Backend::Postgres => true,
    }
}

/// Ends a `SELECT .. ORDER BY .. LIMIT` whose rows are to be taken by one of several nodes: rows that another node is
/// taking at this moment are passed over. SQLite has one writer and needs nothing.
pub(crate) const fn skip_locked(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "",
        Backend::Postgres => " FOR UPDATE SKIP LOCKED",
    }
}

/// The rows of the list that `$4` holds, in the column `listed.value`: ten thousand numbers are one value instead of as many,
/// which is most of the cost of writing them.
pub(crate) const fn listed(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "json_each($4) AS listed",
        Backend::Postgres => "unnest(string_to_array($4, ',')) AS listed(value)",
    }
}

/// A list as the value of [`listed`]. Entries have no commas.
pub(crate) fn list_of(backend: Backend, entries: &[&str]) -> Result<String, StoreError> {
    match backend {
        Backend::Sqlite => serde_json::to_string(entries).map_err(|error| StoreError::unreadable("list", error)),
        Backend::Postgres => Ok(entries.join(",")),
    }
}

/// Locks one row until the transaction's end: whoever else locks the same row waits. `statement` selects it and ends
/// with its condition, and `values` are what it binds. SQLite has one writer and needs nothing.
pub(crate) async fn lock_row(conn: &mut Conn, statement: &'static str, values: &[&str]) -> Result<(), StoreError> {
    lock_rows(conn, values.iter().fold(query(statement), |select, value| select.bind(*value))).await
}

/// Locks the rows of a `SELECT`, in its order: who locks several must do it in an order that is the same for everybody.
pub(crate) async fn lock_rows(conn: &mut Conn, mut select: Query) -> Result<(), StoreError> {
    if conn.backend() == Backend::Sqlite {
        return Ok(());
    }
    select.push(for_update(conn.backend()));
    select.execute(conn).await?;
    Ok(())
}

/// Has the log emptied after the commit that is under way: until then it keeps pages as they were before something was
/// erased. PostgreSQL keeps old rows until it next cleans its tables up, which it does by itself.
pub(crate) fn forget_after_commit(conn: &mut Conn) {
    if let Conn::Sqlite(conn) = conn {
        conn.forgets = true;
    }
}

/// To be called after every commit. Readers in the way are not waited for long, because everybody's verbs wait behind this:
/// the next commit tries again.
pub(crate) fn after_commit(conn: &mut Conn) {
    if let Conn::Sqlite(conn) = conn
        && conn.forgets
    {
        match conn.empty_log() {
            Ok(emptied) => conn.forgets = !emptied,
            Err(error) => tracing::warn!(%error, "the log could not be emptied; trying again"),
        }
    }
}

/// What is to be done before the last connection closes. SQLite puts its log into the file and leaves nothing in it, when no
/// reader is in the way.
pub(crate) async fn tidy_up(conn: &mut Conn) {
    if conn.backend() == Backend::Postgres {
        return;
    }
    if let Err(error) = conn.batch("PRAGMA wal_checkpoint(TRUNCATE)").await {
        tracing::debug!(%error, "the log was left as it is");
    }
}

/// Has the database look at tables that have grown to five times what they were when it last did, or changed as much;
/// which those were. PostgreSQL plans by what it knows of a table, keeps its plans, and looks by itself once a minute: in the
/// first minute of a new database it would go on reading all calls where it took the table for empty. Looking takes a tenth
/// of a second of a processor at ten thousand calls, which everybody waits for, so it is not done more often than it has to.
/// SQLite plans by the indexes alone.
pub(crate) async fn keep_statistics(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    if conn.backend() == Backend::Sqlite {
        return Ok(Vec::new());
    }
    let changed = query(
        "SELECT CAST(relname AS TEXT) AS name FROM pg_stat_user_tables
         WHERE schemaname = current_schema()
             AND n_mod_since_analyze > 100 + 4 * GREATEST(n_live_tup - n_mod_since_analyze, 0) ORDER BY relname",
    );
    let rows = changed.fetch_all(&mut *conn).await?;
    let tables = rows.iter().map(|row| row.read("name")).collect::<Result<Vec<String>, StoreError>>()?;
    for table in &tables {
        // Another node may be at it.
        let look = format!("ANALYZE (SKIP_LOCKED) \"{}\"", table.replace('"', "\"\""));
        query_of_own_names(look).execute(&mut *conn).await?;
    }
    Ok(tables)
}

/// What a new database needs once its tables are there. Of indexes that look alike to it, as all do while a table is empty,
/// PostgreSQL takes the youngest, and keeps the plan: it would find the call that an event belongs to by reading all calls of
/// the account, until it next looks at the table. So the key is made last.
pub(crate) async fn finish_new(conn: &mut Conn) -> Result<(), StoreError> {
    match conn.backend() {
        Backend::Sqlite => Ok(()),
        Backend::Postgres => {
            let young = "ALTER TABLE calls DROP CONSTRAINT calls_id_key, ADD CONSTRAINT calls_id_key UNIQUE (id)";
            conn.batch(young).await
        }
    }
}

/// A migration as this database takes it. Text is compared byte by byte in SQLite, and must be in PostgreSQL too: pages
/// are read in the order of ids, and an index in a language's order costs more.
pub(crate) fn migration(backend: Backend, step: &'static str) -> String {
    match backend {
        Backend::Sqlite => step.to_owned(),
        Backend::Postgres => step.lines().map(|line| with_collation(line) + "\n").collect(),
    }
}

fn with_collation(line: &str) -> String {
    let code = line.split("--").next().unwrap_or_default();
    code.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .map(|piece| match piece.strip_prefix("TEXT") {
            Some(rest) if rest.chars().all(|c| !(c.is_ascii_alphanumeric() || c == '_')) => {
                format!("TEXT COLLATE \"C\"{rest}")
            }
            _ => piece.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_columns_are_compared_byte_by_byte() {
        let step = "CREATE TABLE a (\n    id   TEXT   NOT NULL, -- TEXT here\n    CONTEXT TEXT,\n n BIGINT, t TEXT)";
        let expected = "CREATE TABLE a (\n    id   TEXT COLLATE \"C\"   NOT NULL, \n    CONTEXT TEXT COLLATE \"C\",\n n BIGINT, t TEXT COLLATE \"C\")\n";
        assert_eq!(migration(Backend::Postgres, step), expected);
        assert_eq!(migration(Backend::Sqlite, step), step);
    }
}
