//! The `callwright` program. Wiring and command line only: what a call does is decided elsewhere.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

mod call;
mod check;
mod cli;
mod config;
mod demo;
mod descriptors;
mod manage;
mod migrate;
mod models;
mod ready;
mod recordings;
mod seeding;
mod serve;
mod telemetry;
mod view;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("callwright: {error:#}");
            ExitCode::FAILURE
        }
    }
}
