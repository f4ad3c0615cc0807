//! Formatting by file list: the formatter does not follow modules that a macro declares.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Formats every source file, or with `check` only says which ones are not formatted.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let mut command = Command::new("rustfmt");
    command.args(["--edition", "2024", "--config-path"]).arg(root.join("rustfmt.toml"));
    if check {
        command.args(["--check", "-l"]);
    }
    let status = command
        .args(crate::sources(root)?)
        .current_dir(root)
        .status()
        .context("rustfmt could not be started: `rustup component add rustfmt`")?;
    if !status.success() {
        bail!("some files are not formatted: run `cargo xtask fmt`");
    }
    Ok(())
}
