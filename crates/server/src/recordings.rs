//! `callwright recordings`: reads sealed recordings without a server, with the keys of the configuration.

use crate::config;
use anyhow::{Context, Result};
use callwright_store::blobs::open_file;
use clap::Subcommand;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum Job {
    /// Write a sealed recording as a WAV file that only you may read. One that is not sealed is copied.
    Decrypt {
        /// The recording.
        file: PathBuf,
        /// Where to; there must be no file yet [default: beside it, ending in .plain.wav].
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// Configuration file [default: callwright.toml if it is there].
        #[arg(long, short)]
        config: Option<PathBuf>,
    },
}

/// Does the job.
pub(crate) fn run(job: Job) -> Result<ExitCode> {
    let Job::Decrypt { file, output, config } = job;
    let keys = config::load(config.as_deref())?.recordings.keyring().context("`recordings`")?;
    let mut kept = open_file(&file, &keys).with_context(|| file.display().to_string())?;
    let output = output.unwrap_or_else(|| file.with_extension("plain.wav"));
    let mut written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&output)
        .with_context(|| format!("{} cannot be made", output.display()))?;
    let bytes = io::copy(&mut kept.content, &mut written).with_context(|| file.display().to_string())?;
    println!("{bytes} bytes in {}", output.display());
    Ok(ExitCode::SUCCESS)
}
