//! `callwright migrate`: moves a stopped server from its embedded database to PostgreSQL.

use anyhow::{Result, bail};
use callwright_domain::Pii;
use callwright_store::{SharedDatabase, move_to_shared, undo_move};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is moved, and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The stopped server's data directory (`server.data`).
    #[arg(long)]
    from: PathBuf,
    /// The database that several servers will share: postgres://user:password@host:5432/name. It must be empty.
    #[arg(long, env = "CALLWRIGHT__STORE__URL", hide_env_values = true, required_unless_present = "undo")]
    to: Option<String>,
    /// Lets a server that was moved start again on its data directory, as it was then. Nothing is moved back.
    #[arg(long)]
    undo: bool,
}

/// Moves everything, or nothing.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    if arguments.undo {
        return undo(&arguments.from).await;
    }
    let Some(to) = arguments.to else { bail!("name the database: --to postgres://user:password@host:5432/name") };
    let shared = SharedDatabase { url: Pii::new(to), advertise_url: String::new() };
    let moved = move_to_shared(&arguments.from, &shared).await?;
    for (table, rows) in &moved.tables {
        println!("{rows:>10}  {table}");
    }
    println!(
        "Everything was moved. Set `store.url`, keep `server.data` (it holds the recordings), and start the server. \
         Without `store.url` it does not start any more."
    );
    Ok(ExitCode::SUCCESS)
}

async fn undo(from: &Path) -> Result<ExitCode> {
    if undo_move(from).await? {
        println!("The server starts again on what it had when it was moved. Nothing may use what was moved.");
    } else {
        println!("It was not moved, or that was undone.");
    }
    Ok(ExitCode::SUCCESS)
}
