//! Chores: one command each, the same for people and for CI. Never part of the product.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

mod format;
mod fuzz;
mod layers;
mod licences;
mod tidy;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Callwright's chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Everything that must hold before a push: tidy, format, lints, tests.
    Ci,
    /// The rules that the compiler does not keep: layers, sizes, banned calls, swallowed results, module headers.
    Tidy {
        /// Write today's oversized items into the ratchet list (it may only shrink).
        #[arg(long)]
        shrink: bool,
    },
    /// Format every source file, also those that macros declare.
    Fmt {
        /// Only say what is not formatted.
        #[arg(long)]
        check: bool,
    },
    /// Only the tests over captured vendor requests: what the dialects must go on accepting, byte for byte.
    Golden,
    /// Kill the server at random instants, 200 times and until 10,000 calls were accepted, and count what was lost or dialled
    /// twice.
    Killloop {
        /// Arguments handed to tests/killloop.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Try mutated input at every parser for a while, each round with other choices. What breaks something is kept beside
    /// the fixtures and tried first from then on.
    Fuzz {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Where the choices begin.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Run a whole campaign against the callee simulator, with a pause and two kills, and compare every row.
    Campaign {
        /// Arguments handed to tests/campaign.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Play stories of whole nodes in simulated time: calls, weather, faults, deaths, jumps of the clock, all from a seed.
    Simulate {
        /// How many.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// The first seed. One seed alone is told with its whole log.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Instead, so many deaths at each named failpoint.
        #[arg(long)]
        deaths: Option<u64>,
    },
    /// Kill a node a hundred times while it tells ten thousand events to a receiver that fails three times of ten.
    Webhookloop {
        /// Arguments handed to tests/heavy/webhooks.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// How long accepting a call takes at rising rates, on SQLite or PostgreSQL.
    Accept {
        /// Arguments handed to tests/heavy/accept.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// How long after an event its receiver hears of it, at hundreds of events a second.
    Told {
        /// Arguments handed to tests/heavy/told.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What several servers on one PostgreSQL must hold: race, rates, pace, records, failover or away.
    Cluster {
        /// Arguments handed to tests/heavy/cluster.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What becomes of calls whose server is not the one that is asked, or dies, or sleeps: orders, deaths or sleep.
    Owners {
        /// Arguments handed to tests/heavy/owners.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Order ten thousand calls of a number to be forgotten, and look for it in every file of the data directory.
    Erasure {
        /// Arguments handed to tests/heavy/erasure.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Fill the disk under a running server and empty it again. Needs root.
    DiskFull,
    /// Whether scheduled calls ring in time among a hundred thousand that are pending, also after a kill.
    Schedules {
        /// Arguments handed to tests/heavy/schedules.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// How long ten million numbers take onto the deny list, and what asking it costs then.
    DenyList {
        /// Arguments handed to tests/heavy/deny_list.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Moves the clock on the wall of a running server during calls: records, ends and messages must not suffer.
    Clock {
        /// Arguments handed to tests/heavy/clock.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// What signed requests cost at the front door, and whether the time of a refusal tells its reason.
    Signatures {
        /// Arguments handed to tests/heavy/signatures.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// How many agent calls one core carries. Needs the load tools; see docs/capacity.md.
    Capacity {
        /// Arguments handed to tests/capacity.py.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

fn main() -> Result<()> {
    let root = workspace_root()?;
    match Arguments::parse().chore {
        Chore::Ci => ci(&root),
        Chore::Tidy { shrink } => tidy::run(&root, tidy::Ratchet::from_flag(shrink)),
        Chore::Fmt { check } => format::run(&root, check),
        Chore::Golden => run(&root, "cargo", &["test", "--locked", "--workspace", "--lib", "--", "dialects::"]),
        Chore::Killloop { rest } => {
            // What is handed on comes later, and so counts.
            let all = ["--kills", "200", "--accepted", "10000"].map(String::from).into_iter().chain(rest);
            script(&root, "tests/killloop.py", &all.collect::<Vec<_>>())
        }
        Chore::Simulate { seeds, from, deaths } => simulate(&root, (seeds, from), deaths),
        Chore::Fuzz { seconds, seed } => fuzz::run(&root, Duration::from_secs(seconds), seed),
        Chore::Webhookloop { rest } => script(&root, "tests/heavy/webhooks.py", &rest),
        Chore::Campaign { rest } => script(&root, "tests/campaign.py", &rest),
        Chore::Accept { rest } => script(&root, "tests/heavy/accept.py", &rest),
        Chore::Told { rest } => script(&root, "tests/heavy/told.py", &rest),
        Chore::Cluster { rest } => script(&root, "tests/heavy/cluster.py", &rest),
        Chore::Owners { rest } => script(&root, "tests/heavy/owners.py", &rest),
        Chore::Erasure { rest } => script(&root, "tests/heavy/erasure.py", &rest),
        Chore::DiskFull => script(&root, "tests/heavy/disk_full.py", &[]),
        Chore::Schedules { rest } => script(&root, "tests/heavy/schedules.py", &rest),
        Chore::DenyList { rest } => script(&root, "tests/heavy/deny_list.py", &rest),
        Chore::Clock { rest } => script(&root, "tests/heavy/clock.py", &rest),
        Chore::Signatures { rest } => script(&root, "tests/heavy/signatures.py", &rest),
        Chore::Capacity { rest } => script(&root, "tests/capacity.py", &rest),
    }
}

fn ci(root: &Path) -> Result<()> {
    tidy::run(root, tidy::Ratchet::Keep)?;
    format::run(root, true)?;
    run(root, "cargo", &["clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    run(root, "cargo", &["test", "--locked", "--workspace", "--quiet"])
}

fn simulate(root: &Path, (seeds, from): (u64, u64), deaths: Option<u64>) -> Result<()> {
    let (seeds, from) = (seeds.to_string(), from.to_string());
    let deaths = deaths.map(|deaths| deaths.to_string());
    let mut arguments = vec!["run", "--locked", "--quiet", "--profile", "demo", "--package", "callwright-testkit"];
    arguments.extend(["--example", "simulate", "--", "--seeds", &seeds, "--from", &from]);
    if let Some(deaths) = &deaths {
        arguments.extend(["--deaths", deaths]);
    }
    run(root, "cargo", &arguments)
}

fn script(root: &Path, path: &str, rest: &[String]) -> Result<()> {
    let mut arguments = vec![path];
    arguments.extend(rest.iter().map(String::as_str));
    run(root, "python3", &arguments)
}

fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    println!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .status()
        .with_context(|| format!("{program} could not be started"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

fn workspace_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies inside the workspace")?.to_path_buf())
}

/// Every Rust source file of ours, sorted.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for top in ["crates", "xtask"] {
        collect(&root.join(top), &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target" && name != "fixtures") {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
