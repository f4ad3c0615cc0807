//! The command line: one subcommand a job. Parses and hands over; does nothing itself.

use crate::config::{self, LogFormat};
use crate::{call, check, demo, manage, migrate, models, recordings, serve, telemetry};
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Self-hosted AI calling: your agents, over your own SIP trunk.
#[derive(Parser)]
#[command(name = "callwright", version, about)]
struct Arguments {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Run the server.
    Serve {
        /// Configuration file [default: callwright.toml if it is there].
        #[arg(long, short)]
        config: Option<PathBuf>,
        /// Write the addresses in use to this JSON file once the server is ready.
        #[arg(long)]
        ready_file: Option<PathBuf>,
    },
    /// Check the configuration and what it needs: models, ports, trunks.
    Check {
        /// Configuration file [default: callwright.toml if it is there].
        #[arg(long, short)]
        config: Option<PathBuf>,
    },
    /// Print the whole configuration as it is understood, secrets masked.
    PrintConfig {
        /// Configuration file [default: callwright.toml if it is there].
        #[arg(long, short)]
        config: Option<PathBuf>,
    },
    /// Place a call through a running server and watch it.
    Call(call::Arguments),
    /// Show the vendors' ids of what is there, or set one.
    Ids(manage::Ids),
    /// Store agents.
    Agents {
        #[command(subcommand)]
        job: manage::Agents,
    },
    /// A whole AI call on this machine, offline: server, telephone network and callee.
    Demo(demo::Arguments),
    /// Move a stopped server from its embedded database to PostgreSQL.
    Migrate(migrate::Arguments),
    /// Recordings: write a sealed one as it plays.
    Recordings {
        #[command(subcommand)]
        job: recordings::Job,
    },
    /// The local models: fetch, import, list, verify.
    Models {
        #[command(subcommand)]
        job: models::Job,
    },
}

/// Parses the command line and does the job.
pub(crate) fn run() -> Result<ExitCode> {
    match Arguments::parse().job {
        Job::Serve { config, ready_file } => {
            let settings = config::load(config.as_deref())?;
            telemetry::start(&settings)?;
            runtime()?.block_on(serve::run(settings, ready_file))
        }
        Job::Check { config } => {
            let settings = config::load(config.as_deref())?;
            runtime()?.block_on(check::run(&settings))
        }
        Job::PrintConfig { config } => {
            print!("{}", config::load(config.as_deref())?.printed()?);
            Ok(ExitCode::SUCCESS)
        }
        Job::Call(arguments) => runtime()?.block_on(call::run(arguments)),
        Job::Ids(arguments) => runtime()?.block_on(manage::ids(arguments)),
        Job::Agents { job } => runtime()?.block_on(manage::agents(job)),
        Job::Demo(arguments) => {
            telemetry::log(&arguments.log, LogFormat::Text)?;
            runtime()?.block_on(demo::run(arguments))
        }
        Job::Migrate(arguments) => runtime()?.block_on(migrate::run(arguments)),
        Job::Recordings { job } => recordings::run(job),
        Job::Models { job } => runtime()?.block_on(models::run(job)),
    }
}

/// Threads that carry tasks have another name than those that wait for disks, among which are the embedded store's reads:
/// who measures the server tells them apart.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    // The workers are the first to be started.
    let started = AtomicUsize::new(0);
    let name = move || match started.fetch_add(1, Ordering::Relaxed) {
        earlier if earlier < workers => String::from("worker"),
        _ => String::from("waits-for-disk"),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name_fn(name).enable_all().build().context("the runtime cannot start")
}
