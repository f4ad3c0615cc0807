//! `callwright migrate`: moves a stopped server from its embedded database to PostgreSQL.

use anyhow::Result;
use callwright_domain::Pii;
use callwright_store::{SharedDatabase, move_to_shared};
use std::path::PathBuf;
use std::process::ExitCode;

/// What is moved, and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The stopped server's data directory (`server.data`).
    #[arg(long)]
    from: PathBuf,
    /// The database that several servers will share: postgres://user:password@host:5432/name. It must hold no calls.
    #[arg(long, env = "CALLWRIGHT__STORE__URL", hide_env_values = true)]
    to: String,
}

/// Moves everything, or nothing.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let shared = SharedDatabase { url: Pii::new(arguments.to), advertise_url: String::new() };
    let moved = move_to_shared(&arguments.from, &shared).await?;
    for (table, rows) in &moved.tables {
        println!("{rows:>10}  {table}");
    }
    println!(
        "Everything was moved. Set `store.url`, keep `server.data` (it holds the recordings), and start the server."
    );
    Ok(ExitCode::SUCCESS)
}
