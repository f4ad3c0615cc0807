//! Whole nodes in simulated time (BARS R67), and their death at every named failpoint (BARS R1, R2).
#![allow(clippy::print_stderr, reason = "a failing seed is told where people look for it")]

use callwright_engine::Failpoint;
use callwright_testkit::sim::{simulate, simulate_death_at, simulate_unheard_goodbyes, tell};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Seeds of every run of the tests.
const SEEDS: u64 = 200;
/// Deaths at each failpoint: when it is passed for the first time, the second, and so on.
const TIMES: u64 = 3;

#[test]
fn every_seed_keeps_every_promise() {
    let bad = tell(0..SEEDS, simulate);
    for story in &bad {
        eprintln!("{:?}\n  see it: cargo xtask simulate --seeds 1 --from {}", story.faults, story.seed);
    }
    assert!(bad.is_empty(), "{} stories went wrong", bad.len());
}

#[test]
fn a_seed_is_the_same_story_byte_for_byte() {
    for seed in [1, 2, 3, 5, 8, 13] {
        let (first, second) = (simulate(seed), simulate(seed));
        for (line, (one, other)) in first.log.lines().zip(second.log.lines()).enumerate() {
            assert_eq!(one, other, "seed {seed} parts ways at line {line}");
        }
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Whoever dies while it repeats a goodbye says it again in its next life, wherever it died.
#[test]
fn a_goodbye_that_was_lost_in_two_lives_is_said_in_the_third() {
    let bad = tell(0..15, simulate_unheard_goodbyes);
    for story in &bad {
        eprintln!("{:?}\n{}", story.faults, story.log);
    }
    assert!(bad.is_empty(), "{} stories went wrong", bad.len());
    let story = simulate_unheard_goodbyes(0);
    assert_eq!(story.lives, 3);
    assert!(story.log.matches("unheard").count() >= 3 + 3, "{}", story.log);
}

#[test]
fn the_node_may_die_at_every_failpoint() {
    let points = Failpoint::ALL.len() as u64;
    let point = |turn: u64| Failpoint::ALL[usize::try_from(turn % points).expect("few failpoints")];
    let died = Mutex::new(BTreeSet::new());
    let bad = tell(0..points * TIMES, |turn| {
        let time = turn / points + 1;
        let story = simulate_death_at(point(turn), time, 100 + time);
        if story.log.contains(&format!("the node dies: {:?}", point(turn))) {
            died.lock().expect("nobody panics").insert(point(turn));
        }
        story
    });
    for story in &bad {
        eprintln!("{:?}\n{}", story.faults, story.log);
    }
    assert!(bad.is_empty(), "{} deaths went wrong", bad.len());
    let died = died.into_inner().expect("nobody panics");
    assert_eq!(died.into_iter().collect::<Vec<_>>(), Failpoint::ALL, "every failpoint is come to");
}
