//! Campaigns at work: the door through which they are made and steered, the driver that launches their calls, and what keeps
//! their pace. What a row becomes when its call ends is written by the store with that end, so that
//! nothing here has to survive a crash.

mod door;
mod driver;
mod launching;
mod pacing;

pub use door::{CampaignFault, Campaigns, Upload};
pub(crate) use driver::Driver;
pub(crate) use pacing::Pacing;
