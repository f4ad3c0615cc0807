//! A whole node in simulated time: one seed is one story of calls, callees, weather, slow disks, failing receivers and
//! vendors, deaths of the node and jumps of its clock, and the same seed is the same story byte for byte.
//!
//! What really runs: the engine, the store on an SQLite file, the SIP endpoint with its user agent, the media legs with
//! their codecs and playout, the chains of vendors. What is played: the sockets (datagrams in memory), the threads of
//! database and media (their work is done on the spot by the one thread there is), the vendors, the far ends, the disk's
//! time, the wall clock. Not simulated: HTTP, TCP, recordings, PostgreSQL, several nodes; a crash ends the process, so
//! that what SQLite has committed is there.

mod checks;
mod dice;
mod life;
mod script;
mod telephone;
mod world;

use callwright_engine::Failpoint;
use life::Fate;
use script::Script;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use world::World;

/// Lives of one story at most; the script holds fewer.
const MOST_LIVES: u64 = 10;

/// What came of one story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// Its seed.
    pub seed: u64,
    /// Everything that happened, a line each.
    pub log: String,
    /// What was not as it must be; empty: all was well.
    pub faults: Vec<String>,
    /// How often the node lived.
    pub lives: u64,
    /// How long it all took by the simulated clock, in milliseconds.
    pub lasted: u64,
}

impl Story {
    /// A short name of the log: equal for equal logs.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.log.hash(&mut hasher);
        hasher.finish()
    }
}

/// Plays the story of a seed.
pub fn simulate(seed: u64) -> Story {
    play(Script::of(seed))
}

/// Plays a story in which the node dies when it comes to `point` for the `time`th time.
pub fn simulate_death_at(point: Failpoint, time: u64, seed: u64) -> Story {
    play(Script::dying_at(point, time, seed))
}

/// Plays a story in which goodbyes are lost until the node has died twice, the first time when it has sent so many messages.
pub fn simulate_unheard_goodbyes(sent: u64) -> Story {
    play(Script::unheard_goodbyes(sent))
}

/// Plays a story for each of `turns`, as many at once as there are processors; those in which something went wrong.
pub fn tell(turns: Range<u64>, play: impl Fn(u64) -> Story + Sync) -> Vec<Story> {
    let tellers = thread::available_parallelism().map_or(2, usize::from);
    let (next, end) = (AtomicU64::new(turns.start), turns.end);
    let teller = || {
        let mut bad = Vec::new();
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= end {
                return bad;
            }
            let story = play(turn);
            if !story.faults.is_empty() {
                bad.push(story);
            }
        }
    };
    thread::scope(|scope| {
        let telling: Vec<_> = (0..tellers).map(|_| scope.spawn(teller)).collect();
        telling.into_iter().flat_map(|one| one.join().expect("a story that panics is a defect of its own")).collect()
    })
}

fn play(script: Script) -> Story {
    let seed = script.seed;
    let folder = Folder::new(seed);
    let world = World::new(script);
    let mut lives = 0;
    loop {
        let fate = life::live(&world, &folder.0, lives);
        lives += 1;
        if fate == Fate::Done {
            break;
        }
        if lives >= MOST_LIVES {
            world.fault(String::from("the node dies again and again"));
            break;
        }
    }
    let (faults, lasted) = {
        let state = world.lock();
        (state.faults.clone(), state.now())
    };
    Story { seed, log: world.log(), faults, lives, lasted }
}

/// A directory in memory where there is one: what is simulated needs no disk.
struct Folder(PathBuf);

impl Folder {
    fn new(seed: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let turn = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(place.join(format!("callwright-story-{}-{seed}-{turn}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // One that was never made need not be removed; one that is left behind is found by its name.
        fs::remove_dir_all(&self.0).ok();
    }
}
