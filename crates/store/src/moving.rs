//! Moves a stopped node from its embedded database to a shared one: every row of every table as it is, so that ids,
//! journals and answers to repeated requests stay what they were. All in one transaction: everything or nothing.
//! Recordings stay where they are, in the data directory. Marks the embedded
//! database, so that no server goes on with it by mistake; never changes its rows.

use crate::sql::{Conn, Query, Row, dialect, query, query_of_own_names};
use crate::sqlite::{DirectoryLock, FILE_NAME};
use crate::{SharedDatabase, StoreError, postgres, sqlite};
use callwright_domain::Moment;
use std::path::Path;

/// Rows read and sent at a time.
const PORTION: i64 = 2000;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// Each table and its rows.
    pub tables: Vec<(String, u64)>,
}

/// What a server writes into a fresh database by itself: what its configuration names.
const CONFIGURED: [&str; 4] = ["agents", "trunks", "numbers", "api_keys"];

/// What says nothing of anybody: lives of nodes, none of which goes on, and rows that are only locked.
const IDLE: [&str; 2] = ["nodes", "gates"];
/// Tables of a database's own state.
const OWN: [&str; 2] = ["schema_steps", "moved"];

/// Moves the node in `directory` to `shared`, which must be empty but for what the moved server's configuration names. The
/// data directory is marked: it is not opened again before [`undo_move`].
///
/// # Errors
/// [`StoreError::InUse`] while the node runs, [`StoreError::Moved`] when it was moved before; [`StoreError::Occupied`] when
/// the shared database is not empty or in use; others as the databases say. In every case the shared database is as it was.
pub async fn move_to_shared(directory: &Path, shared: &SharedDatabase) -> Result<Moved, StoreError> {
    let (_lock, mut from) = open_directory(directory).await?;
    sqlite::refuse_moved(&mut from, &directory.join(FILE_NAME)).await?;
    let mut to = postgres::open_for_moving(shared).await?;
    let Conn::Postgres(..) = &to else { return Err(StoreError::Closed) };
    let tables = tables(&mut from).await?;
    to.batch("BEGIN").await?;
    refuse_running(&mut to).await?;
    for table in &tables {
        refuse_held(&mut from, &mut to, table).await?;
    }
    let mut moved = Moved::default();
    for table in tables {
        let rows = copy(&mut from, &mut to, &table).await?;
        moved.tables.push((table, rows));
    }
    // No life of the moved node goes on: a start under its name begins the next one, and others need not wait.
    query("UPDATE nodes SET lease_until = 0").execute(&mut to).await?;
    // Before the commit: whoever is killed in between finds a server that does not start, not two that dial the same calls.
    query("INSERT INTO moved (destination) VALUES ($1)")
        .bind(postgres::destination(shared)?)
        .execute(&mut from)
        .await?;
    if let Err(error) = to.batch("COMMIT").await {
        // Whether it was committed is not known when the database is away: then the mark stays.
        if !matches!(error, StoreError::Away { .. }) {
            query("DELETE FROM moved").execute(&mut from).await?;
        }
        return Err(error);
    }
    from.close().await?;
    to.close().await?;
    Ok(moved)
}

/// Takes the mark off a data directory whose server was moved, so that it starts again on what stands there. `false`: there
/// was none.
///
/// # Errors
/// [`StoreError::InUse`]; others as the database says.
pub async fn undo_move(directory: &Path) -> Result<bool, StoreError> {
    let (_lock, mut from) = open_directory(directory).await?;
    let marks = query("DELETE FROM moved").execute(&mut from).await?;
    from.close().await?;
    Ok(marks > 0)
}

async fn open_directory(directory: &Path) -> Result<(DirectoryLock, Conn), StoreError> {
    let file = directory.join(FILE_NAME);
    if !file.is_file() {
        return Err(StoreError::Directory {
            path: directory.to_owned(),
            detail: format!("it holds no {FILE_NAME}; name the directory of `server.data`"),
        });
    }
    let lock = DirectoryLock::take(directory)?;
    Ok((lock, sqlite::open_for_moving(&file).await?))
}

/// In the order in which they were made, so that what is referred to comes first.
async fn tables(from: &mut Conn) -> Result<Vec<String>, StoreError> {
    let rows = query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid");
    let rows = rows.fetch_all(from).await?;
    let names = rows.iter().map(|row| row.read(0)).collect::<Result<Vec<String>, StoreError>>()?;
    Ok(names.into_iter().filter(|name| !OWN.contains(&name.as_str())).collect())
}

/// A server that runs on the shared database would find its own life gone.
async fn refuse_running(to: &mut Conn) -> Result<(), StoreError> {
    let now = dialect::lease_clock(to, Moment(0)).await?;
    let alive = query("SELECT node FROM nodes WHERE lease_until > $1 ORDER BY node LIMIT 1").bind(now.millis());
    match alive.fetch_optional(to).await? {
        None => Ok(()),
        Some(row) => Err(StoreError::Occupied {
            detail: format!(
                "the server `{}` runs on the shared database. Stop it and wait until its lease has run out (30 s)",
                row.read::<&str>(0)?
            ),
        }),
    }
}

/// What the table holds there would be lost, unless the moved server has the same by the same name.
async fn refuse_held(from: &mut Conn, to: &mut Conn, table: &str) -> Result<(), StoreError> {
    if IDLE.contains(&table) {
        return Ok(());
    }
    let columns = columns(from, table).await?;
    let keys: Vec<String> = columns.iter().filter(|column| column.is_key).map(|column| quoted(&column.name)).collect();
    let held = query_of_own_names(format!("SELECT {} FROM {} LIMIT {PORTION}", keys.join(", "), quoted(table)));
    for row in held.fetch_all(to).await? {
        if !CONFIGURED.contains(&table) || !is_held(from, table, (&keys, &row)).await? {
            let detail = format!(
                "the shared database is not empty: its table `{table}` holds what the moved server does not have. Name \
                 an empty database"
            );
            return Err(StoreError::Occupied { detail });
        }
    }
    Ok(())
}

/// Whether the table has a row of that key; the keys of what is configured are texts.
async fn is_held(from: &mut Conn, table: &str, (keys, row): (&[String], &Row)) -> Result<bool, StoreError> {
    let same: Vec<String> = (1..).zip(keys).map(|(place, key)| format!("{key} = ${place}")).collect();
    let mut find = query_of_own_names(format!("SELECT 1 FROM {} WHERE {}", quoted(table), same.join(" AND ")));
    for place in 0..keys.len() {
        find = find.bind(row.read::<&str>(place)?);
    }
    Ok(find.fetch_optional(from).await?.is_some())
}

struct Column {
    name: String,
    is_number: bool,
    is_key: bool,
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
    let rows =
        query("SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid").bind(table).fetch_all(from).await?;
    let column = |row: &Row| {
        let (is_number, is_key) = (row.read::<&str>(1)?.contains("INT"), row.read::<i64>(2)? > 0);
        Ok(Column { name: row.read(0)?, is_number, is_key })
    };
    rows.iter().map(column).collect()
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
