//! Every statement, written once for both databases. Hides SQL from the rest of the crate; opening a database is in
//! `sqlite/` and `postgres/`. Never seen outside the crate.
//!
//! The subset that PostgreSQL, YugabyteDB, PgBouncer in transaction mode and SQLite share:
//! - `$1` placeholders; columns are `BIGINT` or `TEXT` (digests and bytes as hex or base64 text, booleans as 0 and 1,
//!   times as ms since the epoch, structured values as JSON text that only Rust reads);
//! - `INSERT .. ON CONFLICT .. DO UPDATE SET x = excluded.x`, `RETURNING`; no statement relies on the order of rows
//!   without `ORDER BY`;
//! - `CAST(.. AS BIGINT)` around `SUM` and around integer literals that are read; `COUNT` needs none;
//! - no LISTEN, advisory lock, temporary table, `SET`, sequence or other state of a session;
//! - what has to differ is a function of [`dialect`], which takes the [`Backend`].
//!
//! **To add a verb**: the SQL as a function `(conn: &mut Conn, ..)` in a module here (a new module for a new group of
//! verbs), with [`query`] and [`Row::read`]; a method on [`crate::Store`] that hands it to the writer, or for a read a
//! function `(pool: &Pool, ..)` in [`reading`] (or the group's own module) and a method on [`crate::Reader`]; a check in
//! `tests/store/suite`, which runs on both databases. A verb that counts and then writes what it counted must lock
//! what it counts over with [`dialect::lock_row`], because PostgreSQL runs several verbs at once and SQLite one.
//!
//! **To add a table**: a file `migrations/NNNN_what.sql` and its line in [`schema`]. Every key begins with the account.
//! Released files are never edited; steps only add. The same file runs on both databases.

pub(crate) mod admission;
pub(crate) mod amending;
pub(crate) mod browsers;
pub(crate) mod campaign_rows;
pub(crate) mod campaigns;
pub(crate) mod channels;
pub(crate) mod chats;
pub(crate) mod choosing;
pub(crate) mod configuration;
pub(crate) mod dialect;
pub(crate) mod erasure;
pub(crate) mod extracts;
mod facts;
mod gathered;
pub(crate) mod goodbyes;
pub(crate) mod journal;
pub(crate) mod leases;
pub(crate) mod notes;
pub(crate) mod once;
pub(crate) mod outbox;
mod query;
pub(crate) mod reading;
pub(crate) mod retention;
mod retries;
mod rows;
pub(crate) mod rules;
pub(crate) mod schema;
pub(crate) mod shares;
pub(crate) mod threads;
pub(crate) mod waiting;
pub(crate) mod webhooks;
mod writer;

pub(crate) use facts::Ask;
pub(crate) use query::{
    Backend, Conn, Gates, Held, Opener, Pool, Query, Row, SharedPool, query, query_of_own_names, together,
};
pub(crate) use writer::{Lane, Writer};
