//! A whole telephone call on one machine, for tests: a callee with a telephone, ears and a brain that follow a script,
//! a voice that hums, and the engine between them. Real UDP on loopback, ports chosen by the system.
//!
//! [`sim`] is the other way to test a node: in simulated time, on no network at all, from a seed.
//!
//! Hides sockets, tasks and the waiting. Never sleeps to wait for something: whoever waits here waits for an event, with
//! [`PATIENCE`] as the bound that only a defect reaches. Never part of the server.

mod away;
mod brain;
mod browser;
mod callee;
mod ears;
mod http_voice;
mod node;
mod online;
mod s3;
pub mod sim;
mod sound;
mod voice;
mod wav;

pub use away::MovingDatabase;
pub use brain::{Reply, ScriptedBrain};
pub use browser::{Browser, Redundancy, Speaks};
pub use callee::{Callee, Line, Plan, Then};
pub use ears::{EarsFault, ScriptedEars};
pub use http_voice::HttpVoice;
pub use node::{ACCOUNT, AGENT, CALLER, Doomed, Node, NodeBuilder, TRUNK};
pub use online::OnlineBrowser;
pub use s3::{FakeS3, S3Asked, S3Fault};
pub use sound::{LOUD, beep, is_loud, speech, tone};
pub use voice::{ToneVoice, VoiceFault};
pub use wav::Wav;

use std::time::Duration;

/// Nothing takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Samples a second of every telephone here.
pub const RATE: u32 = 8000;
