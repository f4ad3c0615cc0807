//! Moves a stopped node from its embedded database to a shared one: every row of every table as it is, so that ids,
//! journals and answers to repeated requests stay what they were. All in one transaction: everything or nothing.
//! Recordings stay where they are, in the data directory. Never changes the embedded database's rows.

use crate::sql::{Conn, Query, Row, query, query_of_own_names};
use crate::sqlite::{DirectoryLock, FILE_NAME};
use crate::{SharedDatabase, StoreError, postgres, sqlite};
use std::path::Path;

/// Rows read and sent at a time.
const PORTION: i64 = 2000;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Each table and its rows.
    pub tables: Vec<(String, u64)>,
}

/// Moves the node in `directory` to `shared`, which must hold no calls yet.
///
/// # Errors
/// [`StoreError::InUse`] while the node runs; [`StoreError::Taken`] when the shared database has calls; others as the
/// databases say. In every case the shared database is as it was.
pub async fn move_to_shared(directory: &Path, shared: &SharedDatabase) -> Result<Moved, StoreError> {
    if !directory.join(FILE_NAME).is_file() {
        return Err(StoreError::Directory {
            path: directory.to_owned(),
            detail: format!("it holds no {FILE_NAME}; name the directory of `server.data`"),
        });
    }
    let _lock = DirectoryLock::take(directory)?;
    let mut from = sqlite::open_for_moving(&directory.join(FILE_NAME)).await?;
    let mut to = postgres::open_for_moving(shared).await?;
    let Conn::Postgres(..) = &to else { return Err(StoreError::Closed) };
    to.batch("BEGIN").await?;
    let held = query("SELECT COUNT(*) FROM calls").fetch_one(&mut to).await?.read::<i64>(0)?;
    if held > 0 {
        return Err(StoreError::Taken { what: "the shared database (it holds calls)" });
    }
    let mut moved = Moved::default();
    // In the order in which they were made, so that what is referred to comes first.
    let tables = query(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_steps'
         ORDER BY rowid",
    );
    for row in tables.fetch_all(&mut from).await? {
        let table: String = row.read(0)?;
        let rows = copy(&mut from, &mut to, &table).await?;
        moved.tables.push((table, rows));
    }
    // No life of the moved node goes on: a start under its name begins the next one, and others need not wait.
    query("UPDATE nodes SET lease_until = 0").execute(&mut to).await?;
    to.batch("COMMIT").await?;
    from.close().await?;
    to.close().await?;
    Ok(moved)
}

struct Column {
    name: String,
    is_number: bool,
}

async fn copy(from: &mut Conn, to: &mut Conn, table: &str) -> Result<u64, StoreError> {
    let columns = columns(from, table).await?;
    let names = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
    query_of_own_names(format!("DELETE FROM {}", quoted(table))).execute(&mut *to).await?;
    let statement = format!("COPY {} ({names}) FROM STDIN", quoted(table));
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let select = format!("SELECT rowid, {names} FROM {} WHERE rowid > $1 ORDER BY rowid LIMIT $2", quoted(table));
        let select: Query = query_of_own_names(select).bind(after).bind(PORTION);
        let rows = select.fetch_all(&mut *from).await?;
        let Some(last) = rows.last() else { return Ok(count) };
        after = last.read(0)?;
        let mut portion = String::new();
        for row in &rows {
            line(row, &columns, &mut portion)?;
        }
        count += to.copy_in(&statement, portion).await?;
    }
}

async fn columns(from: &mut Conn, table: &str) -> Result<Vec<Column>, StoreError> {
    let rows = query("SELECT name, type FROM pragma_table_info($1) ORDER BY cid").bind(table).fetch_all(from).await?;
    rows.iter().map(|row| Ok(Column { name: row.read(0)?, is_number: row.read::<&str>(1)?.contains("INT") })).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A row in the text form of COPY (PostgreSQL manual, COPY, file formats).
fn line(row: &Row, columns: &[Column], out: &mut String) -> Result<(), StoreError> {
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push('\t');
        }
        let at = place + 1;
        let text = if column.is_number {
            row.read::<Option<i64>>(at)?.map(|number| number.to_string())
        } else {
            row.read::<Option<String>>(at)?
        };
        match text {
            None => out.push_str("\\N"),
            Some(text) => text.chars().for_each(|c| match c {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                c => out.push(c),
            }),
        }
    }
    out.push('\n');
    Ok(())
}
