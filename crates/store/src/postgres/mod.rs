//! The shared database of several nodes: connecting, bringing the schema up to date under a lock that is a row, and the
//! number of connections. The statements are in [`crate::sql`]. Never seen outside the crate.
//!
//! Works behind PgBouncer in transaction mode when the URL says `statement-cache-capacity=0`: then no statement outlives
//! its transaction, and reads are transactions too, because a read is two messages that must reach the same session.

use crate::sql::{Conn, Opener, Pool, SharedPool, Writer, dialect, leases, query, schema};
use crate::store::{Base, SharedDatabase};
use crate::{Recordings, StoreError};
use callwright_domain::Moment;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// Connections that write. Each holds one transaction at a time, which lasts one flush of the server's disk: this many
/// keep a thousand a second going, and three nodes stay below a server's usual hundred connections.
const WRITERS: usize = 12;
/// Connections that read.
const READERS: u32 = 8;
/// Longest wait for a reading connection before a read fails.
const READ_WAIT: Duration = Duration::from_secs(3);
/// How long an idle reading connection is kept.
const READ_IDLE: Duration = Duration::from_secs(300);
/// Statements that a connection keeps prepared, unless the URL says otherwise. There are a few hundred.
const PREPARED: usize = 500;
const RECORDINGS: &str = "recordings";

/// Connects, brings the schema up to date and begins a new epoch of `node`. `directory` is this node's own, for
/// recordings.
pub(crate) async fn open(
    directory: &Path,
    shared: &SharedDatabase,
    node: &str,
    now: Moment,
) -> Result<Base, StoreError> {
    let options = options(shared)?;
    crate::sqlite::make_directory(directory)?;
    let opener = Opener::Postgres(Box::new(options.clone()));
    let mut conn = opener.connect().await?;
    upgrade(&mut conn).await?;
    conn.batch("BEGIN").await?;
    let epoch = leases::begin_epoch(&mut conn, (node, &shared.advertise_url), now).await?;
    conn.batch("COMMIT").await?;
    let mut connections = vec![conn];
    while connections.len() < WRITERS {
        connections.push(opener.connect().await?);
    }
    let readers = PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(READ_WAIT)
        .idle_timeout(READ_IDLE)
        .test_before_acquire(false)
        .connect_lazy_with(options);
    let readers = SharedPool::new(readers);
    let recordings = Recordings::open(directory.join(RECORDINGS))
        .map_err(|error| StoreError::Directory { path: directory.to_owned(), detail: error.to_string() })?;
    Ok(Base {
        directory: directory.to_owned(),
        writer: Writer::of_tasks(connections, opener),
        readers: if is_pooled(shared) { Pool::Pooler(readers) } else { Pool::Postgres(readers) },
        recordings,
        epoch,
        check: None,
        scratch: None,
    })
}

/// A connection to a database that was brought up to date.
pub(crate) async fn open_for_moving(shared: &SharedDatabase) -> Result<Conn, StoreError> {
    let mut conn = Opener::Postgres(Box::new(options(shared)?)).connect().await?;
    upgrade(&mut conn).await?;
    Ok(conn)
}

/// Where a URL leads to, without who goes there.
pub(crate) fn destination(shared: &SharedDatabase) -> Result<String, StoreError> {
    let options = options(shared)?;
    let name = options.get_database().unwrap_or_default();
    Ok(format!("{}:{}/{name}", options.get_host(), options.get_port()))
}

/// The URL's password must not come out in an error, so only the kind of mistake is told.
fn options(shared: &SharedDatabase) -> Result<PgConnectOptions, StoreError> {
    let kept = |options: PgConnectOptions| match shared.url.expose().contains("statement-cache-capacity=") {
        true => options,
        false => options.statement_cache_capacity(PREPARED),
    };
    PgConnectOptions::from_str(shared.url.expose())
        .map(kept)
        // A pooler in between refuses parameters of a session that it does not know.
        .map(|options| options.extra_float_digits(None).application_name("callwright"))
        .map_err(|_| StoreError::Rejected {
            detail: "the database's URL is not of the form postgres://user:password@host:5432/name".into(),
        })
}

/// Whether a pooler in transaction mode may lie in between, as the URL says.
fn is_pooled(shared: &SharedDatabase) -> bool {
    shared.url.expose().contains("statement-cache-capacity=0")
}

/// Several nodes may start at once: the first to lock the row does the work, the others wait and find it done.
async fn upgrade(conn: &mut Conn) -> Result<(), StoreError> {
    // Two that make the same table at once may collide in the catalogue; the second finds it made.
    if let Err(error) = conn.batch("CREATE TABLE IF NOT EXISTS schema_lock (id BIGINT NOT NULL PRIMARY KEY)").await {
        tracing::debug!(%error, "another node makes the tables too");
    }
    conn.batch("BEGIN").await?;
    query("INSERT INTO schema_lock (id) VALUES (1) ON CONFLICT (id) DO NOTHING").execute(&mut *conn).await?;
    dialect::lock_row(conn, "SELECT id FROM schema_lock WHERE id = 1", &[]).await?;
    schema::upgrade(conn).await?;
    conn.batch("COMMIT").await
}
