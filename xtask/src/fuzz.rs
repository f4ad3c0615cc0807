//! Long runs of the tests that mutate input. Hides how each of them is told to make other choices; finds nothing by itself.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The tests with mutated input: crate, test binary, names that begin so.
const TARGETS: &[(&str, &str, &str)] = &[
    ("callwright-sip", "message_robust", "mutated_"),
    ("callwright-sip", "agent_random", ""),
    ("callwright-media", "fuzz", ""),
    ("callwright-api", "door", "fuzz::"),
];
/// How many times their usual number of cases the property tests try in one round.
const ROUNDS: &str = "20";

/// Runs them round after round until the time is over.
pub(crate) fn run(root: &Path, length: Duration, seed: u64) -> Result<()> {
    let began = Instant::now();
    for round in seed.. {
        for (package, test, names) in TARGETS {
            if began.elapsed() >= length {
                println!("fuzz: seeds {seed} to {round}, nothing broke");
                return Ok(());
            }
            let status = Command::new("cargo")
                .args(["test", "--locked", "--quiet", "--package", package, "--test", test, "--", names])
                .env("CALLWRIGHT_FUZZ_SEED", round.to_string())
                .env("CALLWRIGHT_FUZZ_ROUNDS", ROUNDS)
                .current_dir(root)
                .status()
                .context("cargo could not be started")?;
            if !status.success() {
                bail!(
                    "fuzz: {package} {test} broke with seed {round}; `cargo xtask fuzz --seed {round}` shows it again"
                );
            }
        }
    }
    Ok(())
}
