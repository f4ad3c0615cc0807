//! One connection to the embedded database. A statement is carried out on the thread of whoever asks, before the call
//! returns: who must not wait for a disk asks from a thread that may. Hides the binding; knows no statement of ours.

use crate::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, ffi};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a statement waits for a lock. Nobody else writes, so only a foreign tool can hold one.
const BUSY: Duration = Duration::from_secs(5);
/// How long readers are waited for when the log is to be emptied.
const EMPTYING: Duration = Duration::from_millis(100);
/// Statements kept ready to run: more than the program has on its frequent ways.
const KEPT_READY: usize = 256;

/// A value to be bound or read: the two kinds that both databases have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Integer(None) | Self::Text(None) => ValueRef::Null,
            Self::Integer(Some(number)) => ValueRef::Integer(*number),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// What a statement gave, one row of it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    columns: Arc<[String]>,
    cells: Vec<Value>,
}

impl Line {
    /// The place of a column by its name.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// The value at a place.
    pub(crate) fn cell(&self, place: usize) -> Option<&Value> {
        self.cells.get(place)
    }
}

/// How much of a statement's outcome is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    First,
    All,
}

/// What a statement did.
#[derive(Debug)]
pub(crate) struct Done {
    /// Rows that it changed, when it changes any.
    pub(crate) changed: u64,
    /// Rows that it gave, as many as were wanted.
    pub(crate) lines: Vec<Line>,
}

/// What a connection may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads what is committed.
    Read,
    /// Reads and writes with the journal that the file has.
    Write,
    /// Writes ahead; what is committed is on the disk.
    WriteDurably,
    /// Writes ahead; what is committed may be lost with the machine, not with the process.
    WriteLoosely,
}

/// Where fresh connections come from.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    file: PathBuf,
    access: Access,
}

impl Options {
    pub(crate) fn new(file: &Path, access: Access) -> Self {
        Self { file: file.to_owned(), access }
    }

    /// A fresh connection to the file.
    pub(crate) fn connect(&self) -> Result<Connection, StoreError> {
        let way = match self.access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write | Access::WriteDurably | Access::WriteLoosely => {
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
            }
        };
        // A connection is used by one thread at a time, so the library need not see to that.
        let inner = rusqlite::Connection::open_with_flags(&self.file, way | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        inner.busy_timeout(BUSY)?;
        // Otherwise a statement that is kept ready is planned anew for each value that some plan could lean on, which takes
        // longer than carrying it out. Every index is chosen by the statement alone.
        inner.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        inner.set_prepared_statement_cache_capacity(KEPT_READY);
        inner.execute_batch("PRAGMA foreign_keys = ON")?;
        // What is erased, or written over, must not be left in the free parts of pages: they are filled with zeros.
        match self.access {
            Access::Read | Access::Write => {}
            Access::WriteDurably => inner
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON")?,
            Access::WriteLoosely => {
                inner.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA secure_delete = ON")?
            }
        }
        Ok(Connection {
            inner,
            forgets: false,
            #[cfg(test)]
            steps: 0,
            #[cfg(test)]
            planned_anew: 0,
        })
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    inner: rusqlite::Connection,
    /// Whether the log is to be emptied after the commit: it keeps pages as they were before something was erased.
    pub(crate) forgets: bool,
    /// Instructions of the database's machine so far: what a statement costs, the same every time.
    #[cfg(test)]
    pub(crate) steps: i64,
    /// How often a statement that was ready was planned again.
    #[cfg(test)]
    pub(crate) planned_anew: i64,
}

impl Connection {
    /// Carries out statements without values, several at once if need be.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(self.inner.execute_batch(sql)?)
    }

    /// Puts the log into the file and leaves nothing in it; `false`: a reader was in the way.
    pub(crate) fn empty_log(&mut self) -> Result<bool, StoreError> {
        self.inner.busy_timeout(EMPTYING)?;
        let busy = self.inner.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.inner.busy_timeout(BUSY)?;
        Ok(busy? == 0)
    }

    /// Carries out one statement; `$n` in it is the n-th of the values.
    pub(crate) fn run(&mut self, sql: &str, values: &[Value], wanted: Wanted) -> Result<Done, StoreError> {
        let mut statement = self.inner.prepare_cached(sql)?;
        for place in 1..=statement.parameter_count() {
            let value = statement.parameter_name(place).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
            let value = value.and_then(|number| values.get(number.checked_sub(1)?));
            let Some(value) = value else {
                return Err(StoreError::Database { detail: "a statement names a value that it was not given".into() });
            };
            statement.raw_bind_parameter(place, value)?;
        }
        let mut lines = Vec::new();
        let columns: Arc<[String]> = match wanted {
            Wanted::Nothing => Arc::default(),
            Wanted::First | Wanted::All => statement.column_names().map(str::to_owned).collect(),
        };
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if wanted == Wanted::Nothing || (wanted == Wanted::First && !lines.is_empty()) {
                continue;
            }
            let cells = (0..columns.len()).map(|place| cell(row.get_ref(place)?)).collect::<Result<_, StoreError>>()?;
            lines.push(Line { columns: Arc::clone(&columns), cells });
        }
        drop(rows);
        #[cfg(test)]
        {
            self.steps += i64::from(statement.reset_status(rusqlite::StatementStatus::VmStep));
            self.planned_anew += i64::from(statement.reset_status(rusqlite::StatementStatus::RePrepare));
        }
        drop(statement);
        // A group of transactions is many statements. Where threads run under a real-time policy those of one rank take
        // turns only when they offer it, and audio that has come due meanwhile must not wait for the whole group.
        std::thread::yield_now();
        Ok(Done { changed: self.inner.changes(), lines })
    }

    /// Takes leave of the file.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        self.inner.close().map_err(|(_, error)| error.into())
    }
}

fn cell(value: ValueRef<'_>) -> Result<Value, StoreError> {
    match value {
        ValueRef::Null => Ok(Value::Text(None)),
        ValueRef::Integer(number) => Ok(Value::Integer(Some(number))),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::Text(Some(text.to_owned()))),
            Err(error) => Err(StoreError::unreadable("text", error)),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => Err(StoreError::unreadable("value", "neither a number nor text")),
    }
}

/// By result code (sqlite.org/rescode.html). The message names columns, never values.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let detail = error.to_string();
        let rusqlite::Error::SqliteFailure(failure, _) = &error else { return Self::Database { detail } };
        match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE => Self::Taken { what: "the id" },
            // An extended code has the primary one in its low byte.
            code => match code & 0xff {
                ffi::SQLITE_CONSTRAINT => Self::Rejected { detail },
                ffi::SQLITE_FULL => Self::Full,
                ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => {
                    Self::Corrupt { path: PathBuf::from(super::FILE_NAME), detail }
                }
                _ => Self::Database { detail },
            },
        }
    }
}
