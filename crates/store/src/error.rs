//! What can go wrong below the verbs. Hides the database's own codes; never carries a stored value.

use callwright_domain::call::IllegalEvent;
use sqlx::postgres::PgDatabaseError;
use std::path::PathBuf;

/// Why a verb did nothing. Whatever the variant: nothing of the verb's work is stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database file is damaged; the server must not run on it.
    #[error(
        "the database {path} is damaged ({detail}). Stop the server, keep a copy of the file, then either restore a \
         backup or salvage what is readable with: sqlite3 '{path}' .recover | sqlite3 '{path}.recovered'",
        path = path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },
    /// The file was written by a newer Callwright.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}. Run the newer program \
         again, or restore a backup made before the upgrade"
    )]
    TooNew {
        /// Version in the file.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// Another process uses the data directory.
    #[error(
        "the data directory {path} is in use by another process ({holder}). Stop that process, or give this one a \
         data directory of its own",
        path = path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// What the lock file says about the holder.
        holder: String,
    },
    /// The data directory cannot be used.
    #[error("the data directory {path} cannot be used: {detail}", path = path.display())]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// The operating system's reason.
        detail: String,
    },
    /// What stood in the data directory was moved to a shared database: whoever went on here would dial its calls again.
    #[error(
        "the database {path} was moved to {destination}: set `store.url` to that database. To go on here instead, make \
         sure that no server uses what was moved, then run: callwright migrate --from '{from}' --undo",
        path = path.display(),
        from = path.parent().unwrap_or(path).display()
    )]
    Moved {
        /// The file.
        path: PathBuf,
        /// Host and name of the shared database.
        destination: String,
    },
    /// The shared database that a server is to be moved to is not empty, or is being used.
    #[error("nothing was moved: {detail}")]
    Occupied {
        /// What is there.
        detail: String,
    },
    /// The disk, or the space given to the database, is full. Works again when there is space.
    #[error("the database has no space left")]
    Full,
    /// The shared database cannot be reached, or does not answer. What was under way may or may not be stored.
    #[error("the database cannot be reached: {detail}")]
    Away {
        /// What was tried; never the address or a password.
        detail: String,
    },
    /// The store is closed or closing.
    #[error("the store is closed")]
    Closed,
    /// Never leaves the store: the verb is to be carried out in a transaction of its own.
    #[error("the database is to be asked once more")]
    Apart,
    /// No call of this id.
    #[error("no call with this id exists")]
    NoSuchCall,
    /// The call is another node's, or an earlier life's of this node.
    #[error("the call belongs to another owner")]
    NotOwner,
    /// The event cannot happen in the call's state.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    /// The id is taken by something else: a key of another account, a vendor id of another call.
    #[error("{what} is already taken")]
    Taken {
        /// Which kind of id.
        what: &'static str,
    },
    /// A cursor that no page gave.
    #[error("the cursor is not one that a page gave")]
    BadCursor,
    /// The database refused the value: too long, empty, or naming what does not exist.
    #[error("the database refused a value: {detail}")]
    Rejected {
        /// The rule, in the database's words.
        detail: String,
    },
    /// A stored row cannot be read back: written by a newer program, or damaged.
    #[error("a stored {what} cannot be read: {detail}")]
    Unreadable {
        /// Which kind of row.
        what: &'static str,
        /// Why; never the value.
        detail: String,
    },
    /// Anything else the database said.
    #[error("the database failed: {detail}")]
    Database {
        /// The database's message.
        detail: String,
    },
}

impl StoreError {
    /// What may be shown to whoever made the request: no path, no message of the database.
    pub const fn public(&self) -> &'static str {
        match self {
            Self::Away { .. } => "the server's storage cannot be reached just now",
            Self::Full => "the server has no space left for new work",
            Self::NoSuchCall => "no call with this id exists",
            Self::NotOwner => "the call is being run elsewhere",
            Self::Illegal(_) => "this cannot happen to the call in its present state",
            Self::Taken { .. } => "this id is already taken",
            Self::BadCursor => "the cursor is not one that a page gave",
            Self::Rejected { .. } => "a value is not acceptable",
            Self::Closed => "the server is shutting down",
            Self::Corrupt { .. }
            | Self::TooNew { .. }
            | Self::InUse { .. }
            | Self::Moved { .. }
            | Self::Occupied { .. }
            | Self::Directory { .. }
            | Self::Unreadable { .. }
            | Self::Apart
            | Self::Database { .. } => "the server's storage failed",
        }
    }

    /// Whether the database may have thrown the whole transaction away, not only the statement.
    pub(crate) const fn spoils_batch(&self) -> bool {
        matches!(self, Self::Full | Self::Away { .. } | Self::Corrupt { .. } | Self::Database { .. })
    }

    /// A row that does not parse.
    pub(crate) fn unreadable(what: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Unreadable { what, detail: why.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) {
            return Self::Taken { what: "the id" };
        }
        if let Some(failure) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) {
            return of_postgres(failure);
        }
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::Io(error) => Self::Away { detail: error.kind().to_string() },
            sqlx::Error::PoolTimedOut => Self::Away { detail: "no connection was free in time".into() },
            sqlx::Error::Tls(_) => Self::Away { detail: "no secure connection could be made".into() },
            other => Self::Database { detail: other.to_string() },
        }
    }
}

/// By class of SQLSTATE (PostgreSQL manual, appendix A). The message is kept, the detail is not: it quotes values.
fn of_postgres(failure: &PgDatabaseError) -> StoreError {
    let detail = format!("{} ({})", failure.message(), failure.code());
    match failure.code() {
        "53100" => StoreError::Full,
        code => match code.get(..2) {
            // A value the column cannot hold; a rule of the table.
            Some("22" | "23") => StoreError::Rejected { detail },
            // Connection lost; out of connections; going down or not yet up; read only, as a standby is.
            Some("08" | "53" | "57" | "25") => StoreError::Away { detail },
            _ => StoreError::Database { detail },
        },
    }
}
