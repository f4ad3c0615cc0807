//! Plays stories of simulated nodes, as many as are wanted, and tells those in which something went wrong.
//! `simulate --seeds 10000 --from 0`; a single seed is told with its whole log. `--deaths 20` instead: so many deaths at
//! each named failpoint.
#![allow(clippy::print_stdout, reason = "a command-line tool speaks on its streams")]

use callwright_engine::Failpoint;
use callwright_testkit::sim::{Story, simulate, simulate_death_at, tell};
use std::env;
use std::process::ExitCode;
use std::time::Instant;

/// The number after a flag.
fn number(flag: &str) -> Option<u64> {
    let mut arguments = env::args().skip_while(|argument| argument != flag).skip(1);
    arguments.next().and_then(|value| value.parse().ok())
}

/// One story with everything in it.
fn whole(seed: u64) -> ExitCode {
    let story = simulate(seed);
    println!("{}", story.log);
    let (lives, seconds, digest) = (story.lives, story.lasted / 1000, story.digest());
    println!("seed {seed}: {lives} lives in {seconds} s, digest {digest:016x}, faults: {:?}", story.faults);
    if story.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line for a story that went wrong.
fn line(name: &str, story: &Story) {
    if !story.faults.is_empty() {
        println!("{name}: {}", story.faults.join("; "));
    }
}

fn main() -> ExitCode {
    let (seeds, from) = (number("--seeds").unwrap_or(200), number("--from").unwrap_or(0));
    let began = Instant::now();
    let bad = match number("--deaths") {
        Some(deaths) => {
            let points = Failpoint::ALL.len() as u64;
            tell(0..points * deaths, |turn| {
                let point = Failpoint::ALL[usize::try_from(turn % points).unwrap_or_default()];
                let (time, seed) = (turn / points % 4 + 1, turn / points);
                let story = simulate_death_at(point, time, seed);
                line(&format!("{point:?}, time {time}, seed {seed}"), &story);
                story
            })
        }
        None if seeds == 1 => return whole(from),
        None => tell(from..from.saturating_add(seeds), |seed| {
            let story = simulate(seed);
            line(&format!("seed {seed}"), &story);
            story
        }),
    };
    println!("{:.1?}: {} stories went wrong", began.elapsed(), bad.len());
    if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
