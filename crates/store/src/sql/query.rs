//! Statements and rows without the name of a database. Hides which of the two is underneath and keeps the common
//! subset: only 64-bit integers and text can be bound or read, so nothing that one database lacks can slip in.
//! Never rewrites a statement but to send several as one ([`together`], [`super::gathered`]): what is written is what is
//! sent.

use super::facts::Common;
use super::gathered::Gathered;
use crate::StoreError;
use crate::sqlite::{self, Done, Line, Value, Wanted};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgRow, Postgres};
use sqlx::{Arguments, AssertSqlSafe, ColumnIndex, ConnectOptions, Connection, Decode, PgConnection, Type};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest that a read of a shared database may take before the database counts as away. Reads are short.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// A read in a hurry is given up after so long a time in which the database answered nobody. A running node asks it several
/// times a second, so that a read that takes long by itself is not meant.
const SILENCE: Duration = Duration::from_secs(1);

/// Which database is underneath, for the few statements that differ: see [`super::dialect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A connection that writes.
pub(crate) enum Conn {
    /// Each statement is carried out on the spot.
    Sqlite(sqlite::Connection),
    /// With what its transaction has locked, and what its verbs do together.
    Postgres(PgConnection, Held, Gathered),
}

/// Rows of the table `gates`, by account and name. A transaction locks them in this order, so that no two wait for each
/// other.
pub(crate) type Gates = BTreeSet<(String, String)>;

/// What a transaction has locked so far, so that its later verbs need not ask again.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) gates: Gates,
    /// Caller numbers, with the rules as they were when those were locked.
    pub(super) ready: Vec<Arc<Common>>,
}

impl Conn {
    /// Which database it leads to.
    pub(crate) const fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Postgres(..) => Backend::Postgres,
        }
    }

    /// Begins, divides or ends a transaction. The embedded database keeps these statements ready, too.
    pub(crate) async fn bracket(&mut self, statements: &[&'static str]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(conn) => {
                statements.iter().try_for_each(|statement| conn.run(statement, &[], Wanted::Nothing).map(drop))
            }
            Self::Postgres(..) => self.batch(statements.join("; ")).await,
        }
    }

    /// Carries out statements without values, several at once if need be: migrations and the like.
    pub(crate) async fn batch(&mut self, sql: impl Into<Cow<'static, str>>) -> Result<(), StoreError> {
        let sql = sql.into();
        match self {
            Self::Sqlite(conn) => conn.batch(&sql),
            Self::Postgres(conn, ..) => Ok(sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)?),
        }
    }

    /// What the transaction has locked; none: this database has one writer and needs no locks.
    pub(crate) const fn held(&mut self) -> Option<&mut Held> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_, held, _) => Some(held),
        }
    }

    /// What the verbs of the transaction do together; none: see [`super::gathered`].
    pub(crate) const fn gathered(&mut self) -> Option<&mut Gathered> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_, _, gathered) => Some(gathered),
        }
    }

    /// Writes the rows that wait.
    pub(super) async fn write_gathered(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(conn, _, gathered) => gathered.write(conn).await,
        }
    }

    /// Sends rows in the text form of COPY; how many they were. Only PostgreSQL knows it.
    pub(crate) async fn copy_in(&mut self, statement: &str, rows: String) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(_) => Err(StoreError::Rejected { detail: "COPY is for PostgreSQL".into() }),
            Self::Postgres(conn, ..) => {
                let mut copy = conn.copy_in_raw(statement).await?;
                copy.send(rows.into_bytes()).await?;
                Ok(copy.finish().await?)
            }
        }
    }

    /// Takes leave of the database.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(conn) => conn.close()?,
            Self::Postgres(conn, ..) => conn.close().await?,
        }
        Ok(())
    }
}

/// Where fresh connections that write come from.
pub(crate) enum Opener {
    Sqlite(sqlite::Options),
    Postgres(Box<PgConnectOptions>),
}

impl Opener {
    /// A fresh connection.
    pub(crate) async fn connect(&self) -> Result<Conn, StoreError> {
        Ok(match self {
            Self::Sqlite(options) => Conn::Sqlite(options.connect()?),
            Self::Postgres(options) => Conn::Postgres(options.connect().await?, Held::default(), Gathered::default()),
        })
    }
}

/// The connections that read.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(sqlite::Readers),
    Postgres(SharedPool),
    /// PostgreSQL behind a pooler that gives out sessions a transaction at a time.
    Pooler(SharedPool),
}

impl Pool {
    /// Whether it leads to the embedded database, where a read is a function call.
    pub(crate) const fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// The same, for whoever would rather hear soon that the database is away than wait for it.
    pub(crate) fn hurried(&self) -> Self {
        match self {
            Self::Sqlite(readers) => Self::Sqlite(readers.clone()),
            Self::Postgres(shared) => Self::Postgres(shared.hurried()),
            Self::Pooler(shared) => Self::Pooler(shared.hurried()),
        }
    }
}

/// Connections to a shared database, and how long they are waited for.
#[derive(Clone)]
pub(crate) struct SharedPool {
    pool: PgPool,
    /// How often the database has answered a read.
    answers: Arc<AtomicU64>,
    haste: Haste,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    Patient,
    Hurried,
}

impl SharedPool {
    /// Waits its whole time.
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, answers: Arc::default(), haste: Haste::Patient }
    }

    fn hurried(&self) -> Self {
        Self { haste: Haste::Hurried, ..self.clone() }
    }

    /// A read that does not answer is given up.
    async fn in_time<T>(&self, read: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            outcome = read => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                Ok(outcome?)
            }
            () = self.given_up() => Err(StoreError::Away { detail: "a read was not answered in time".into() }),
        }
    }

    async fn given_up(&self) {
        let begun = Instant::now();
        loop {
            let before = self.answers.load(Ordering::Relaxed);
            sleep(SILENCE).await;
            let is_silent = self.answers.load(Ordering::Relaxed) == before;
            if begun.elapsed() >= READ_PATIENCE || (is_silent && self.haste == Haste::Hurried) {
                return;
            }
        }
    }
}

/// Where a statement is carried out: `&mut Conn` or `&Pool`.
pub(crate) enum On<'c> {
    Conn(&'c mut Conn),
    Pool(&'c Pool),
}

impl<'c> From<&'c mut Conn> for On<'c> {
    fn from(conn: &'c mut Conn) -> Self {
        Self::Conn(conn)
    }
}

impl<'c> From<&'c Pool> for On<'c> {
    fn from(pool: &'c Pool) -> Self {
        Self::Pool(pool)
    }
}

macro_rules! values {
    ($($from:ty => $variant:ident($pattern:pat => $value:expr)),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($pattern: $from) -> Self {
                Self::$variant($value)
            }
        })*
    };
}

values! {
    i64 => Integer(value => Some(value)),
    Option<i64> => Integer(value => value),
    String => Text(value => Some(value)),
    &String => Text(value => Some(value.clone())),
    &str => Text(value => Some(value.to_owned())),
    Option<String> => Text(value => value),
    Option<&str> => Text(value => value.map(str::to_owned)),
}

/// A statement and its values. The text is made of literals only, so no value can ever become part of it.
#[derive(Clone)]
pub(crate) struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
    concern: Concern,
}

/// What a statement has to do with what the verbs of a transaction do together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concern {
    Perhaps,
    None,
}

/// A statement with `$1`, `$2`, ... for what [`Query::bind`] gives in that order.
pub(crate) fn query(sql: &'static str) -> Query {
    Query { sql: Cow::Borrowed(sql), values: Vec::new(), concern: Concern::Perhaps }
}

/// As [`query`], with names of tables and columns that were read from our own schema. Never values.
pub(crate) fn query_of_own_names(sql: String) -> Query {
    Query::of(sql, Vec::new())
}

/// `run!(query, on, wanted, method)`: carries the query out wherever `on` leads. `method` is how PostgreSQL's library calls
/// what is wanted.
macro_rules! run {
    ($query:expr, $on:expr, $wanted:expr, $method:ident) => {
        match $on.into() {
            On::Conn(Conn::Sqlite(conn)) => Outcome::Sqlite(conn.run(&$query.sql, &$query.values, $wanted)?),
            On::Conn(Conn::Postgres(conn, _, gathered)) => {
                gathered.before(&$query, conn).await?;
                Outcome::Postgres($query.postgres()?.$method(conn).await?)
            }
            On::Pool(Pool::Sqlite(readers)) => {
                let Query { sql, values, .. } = $query;
                Outcome::Sqlite(readers.read(move |conn| conn.run(&sql, &values, $wanted)).await?)
            }
            On::Pool(Pool::Postgres(shared)) => {
                let query = $query.postgres()?;
                Outcome::Postgres(shared.in_time(query.$method(&shared.pool)).await?)
            }
            On::Pool(Pool::Pooler(shared)) => {
                let query = $query.postgres()?;
                let work = async {
                    let mut work = shared.pool.begin().await?;
                    let outcome = query.$method(&mut *work).await?;
                    work.commit().await?;
                    Ok(outcome)
                };
                Outcome::Postgres(shared.in_time(work).await?)
            }
        }
    };
}

enum Outcome<P> {
    Sqlite(Done),
    Postgres(P),
}

impl Query {
    /// Made of the texts of others.
    pub(super) const fn of(sql: String, values: Vec<Value>) -> Self {
        Self { sql: Cow::Owned(sql), values, concern: Concern::Perhaps }
    }

    /// Neither reads nor writes what the verbs of a transaction do together: calls, their events and verdicts, places.
    pub(super) const fn beside(mut self) -> Self {
        self.concern = Concern::None;
        self
    }

    /// Whether it is beside what verbs do together.
    pub(super) fn is_beside(&self) -> bool {
        self.concern == Concern::None
    }

    /// Whether it changes nothing: it begins with SELECT, or with what is asked for several calls.
    pub(super) fn only_reads(&self) -> bool {
        let sql = self.sql.trim_start();
        sql.starts_with("SELECT") || sql.starts_with("WITH asks")
    }

    /// Its text.
    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    /// Its values.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// The next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Adds to the statement's text.
    pub(crate) fn push(&mut self, sql: &'static str) -> &mut Self {
        self.sql.to_mut().push_str(sql);
        self
    }

    /// Adds a value and its placeholder.
    pub(crate) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.sql.to_mut().push_str(&place);
        self
    }

    /// Carries it out; how many rows it touched.
    pub(crate) async fn execute<'c>(self, on: impl Into<On<'c>>) -> Result<u64, StoreError> {
        Ok(match run!(self, on, Wanted::Nothing, execute) {
            Outcome::Sqlite(done) => done.changed,
            Outcome::Postgres(done) => done.rows_affected(),
        })
    }

    /// Every row.
    pub(crate) async fn fetch_all<'c>(self, on: impl Into<On<'c>>) -> Result<Vec<Row>, StoreError> {
        Ok(match run!(self, on, Wanted::All, fetch_all) {
            Outcome::Sqlite(done) => done.lines.into_iter().map(Row::Sqlite).collect(),
            Outcome::Postgres(rows) => rows.into_iter().map(Row::Postgres).collect(),
        })
    }

    /// The first row, when there is one.
    pub(crate) async fn fetch_optional<'c>(self, on: impl Into<On<'c>>) -> Result<Option<Row>, StoreError> {
        Ok(match run!(self, on, Wanted::First, fetch_optional) {
            Outcome::Sqlite(done) => done.lines.into_iter().next().map(Row::Sqlite),
            Outcome::Postgres(row) => row.map(Row::Postgres),
        })
    }

    /// The row of a statement that always gives one.
    pub(crate) async fn fetch_one<'c>(self, on: impl Into<On<'c>>) -> Result<Row, StoreError> {
        let row = self.fetch_optional(on).await?;
        row.ok_or_else(|| StoreError::Database { detail: "a statement that always gives a row gave none".into() })
    }

    pub(super) fn postgres(self) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, StoreError> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            match value {
                Value::Integer(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(AssertSqlSafe(self.sql), arguments))
    }
}

/// A statement as a part of a longer one, its values behind `before` others.
pub(super) fn moved_behind(sql: &str, before: usize) -> String {
    let mut moved = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some(at) = rest.find('$') {
        let (text, place) = rest.split_at(at + 1);
        let digits = place.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = place[..digits].parse().unwrap_or_default();
        moved.push_str(text);
        moved.push_str(&(number + before).to_string());
        rest = &place[digits..];
    }
    moved.push_str(rest);
    moved
}

/// Carries several statements out and gives the rows of the last. A shared database gets them in one message; so none of
/// them may need what another writes, or write what another writes. The embedded one gets them in their order.
pub(crate) async fn together(conn: &mut Conn, mut parts: Vec<Query>) -> Result<Vec<Row>, StoreError> {
    if conn.backend() == Backend::Postgres {
        return match as_one(parts) {
            Some(query) => query.fetch_all(conn).await,
            None => Ok(Vec::new()),
        };
    }
    let Some(last) = parts.pop() else { return Ok(Vec::new()) };
    for part in parts {
        part.execute(&mut *conn).await?;
    }
    last.fetch_all(conn).await
}

/// Several statements in one message, whose rows are those of the last; nothing of none.
pub(super) fn as_one(mut parts: Vec<Query>) -> Option<Query> {
    let last = parts.pop()?;
    if parts.is_empty() {
        return Some(last);
    }
    let (mut sql, mut values) = (String::from("WITH "), Vec::new());
    for (place, part) in parts.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        write!(sql, "{comma}part{place} AS ({})", moved_behind(&part.sql, values.len())).unwrap_or_default();
        values.extend(part.values);
    }
    sql.push(' ');
    sql.push_str(&moved_behind(&last.sql, values.len()));
    values.extend(last.values);
    Some(Query::of(sql, values))
}

/// What a statement gave.
pub(crate) enum Row {
    Sqlite(Line),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column, by its name or its place: `i64`, `&str`, `String`, or an `Option` of them.
    ///
    /// A count or a sum that PostgreSQL would widen, and a literal that it would narrow, needs `CAST(.. AS BIGINT)`.
    pub(crate) fn read<'r, T: Readable<'r>>(&'r self, column: impl At) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(line) => match column.place(line).and_then(|place| line.cell(place)) {
                Some(value) => T::of(value),
                None => Err(StoreError::unreadable("column", "there is none of this name")),
            },
            Self::Postgres(row) => Ok(sqlx::Row::try_get(row, column)?),
        }
    }
}

/// What can be read from a column of either database.
pub(crate) trait Readable<'r>: Decode<'r, Postgres> + Type<Postgres> {
    /// From a value of the embedded database.
    fn of(value: &'r Value) -> Result<Self, StoreError>
    where
        Self: Sized;
}

fn unlike<T>(wanted: &'static str) -> Result<T, StoreError> {
    Err(StoreError::unreadable("column", format_args!("it does not hold {wanted}")))
}

impl Readable<'_> for i64 {
    fn of(value: &Value) -> Result<Self, StoreError> {
        if let Value::Integer(Some(number)) = value { Ok(*number) } else { unlike("a number") }
    }
}

impl<'r> Readable<'r> for &'r str {
    fn of(value: &'r Value) -> Result<Self, StoreError> {
        if let Value::Text(Some(text)) = value { Ok(text) } else { unlike("text") }
    }
}

impl Readable<'_> for String {
    fn of(value: &Value) -> Result<Self, StoreError> {
        <&str>::of(value).map(Self::from)
    }
}

impl<'r, T: Readable<'r>> Readable<'r> for Option<T>
where
    Self: Decode<'r, Postgres> + Type<Postgres>,
{
    fn of(value: &'r Value) -> Result<Self, StoreError> {
        match value {
            Value::Integer(None) | Value::Text(None) => Ok(None),
            Value::Integer(Some(_)) | Value::Text(Some(_)) => T::of(value).map(Some),
        }
    }
}

/// A column's name or place.
pub(crate) trait At: ColumnIndex<PgRow> {
    /// Its place in a row of the embedded database.
    fn place(&self, line: &Line) -> Option<usize>;
}

impl At for &str {
    fn place(&self, line: &Line) -> Option<usize> {
        line.place(self)
    }
}

impl At for usize {
    fn place(&self, _line: &Line) -> Option<usize> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[test]
    fn a_part_counts_its_values_behind_those_of_the_others() {
        let part = "UPDATE a SET b = $2, c = $12 WHERE d = $1 AND e IN ($3,$4)";
        assert_eq!(moved_behind(part, 0), part);
        assert_eq!(moved_behind(part, 9), "UPDATE a SET b = $11, c = $21 WHERE d = $10 AND e IN ($12,$13)");
        assert_eq!(moved_behind("SELECT 1", 3), "SELECT 1");
    }

    /// How long a read that is never answered is waited for, while the database answers others every so often.
    async fn waited(haste: Haste, others: Option<Duration>) -> Duration {
        let shared = SharedPool { haste, ..SharedPool::new(PgPool::connect_lazy_with(PgConnectOptions::new())) };
        let answers = Arc::clone(&shared.answers);
        let begun = Instant::now();
        let answering = async {
            loop {
                sleep(others.unwrap_or(READ_PATIENCE * 2)).await;
                answers.fetch_add(1, Ordering::Relaxed);
            }
        };
        tokio::select! {
            biased;
            outcome = shared.in_time(pending::<Result<(), sqlx::Error>>()) => {
                assert!(matches!(outcome, Err(StoreError::Away { .. })), "{outcome:?}");
                begun.elapsed()
            }
            () = answering => Duration::ZERO,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_a_hurry_waits_for_a_database_that_answers_anybody() {
        let often = Some(Duration::from_millis(300));
        assert_eq!(waited(Haste::Hurried, None).await, SILENCE);
        assert_eq!(waited(Haste::Hurried, often).await, READ_PATIENCE);
        assert_eq!(waited(Haste::Patient, None).await, READ_PATIENCE);
    }
}
