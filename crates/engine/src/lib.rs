//! Runs calls: takes them from the queue, dials, lets the agent talk, writes down what happened.
//!
//! Hides tasks, leases, live calls and the writing half of the store. The outside holds a [`Calls`] and nothing else.
//! Never opens a socket, speaks HTTP or SQL, and never knows which dialect a call came from.

mod archive;
mod browsers;
mod callers;
mod calls;
mod campaigns;
mod changing;
mod chats;
mod clock;
mod configure;
mod dialer;
mod excerpt;
mod extracts;
mod failpoint;
mod goodbyes;
mod in_line;
mod journal;
mod jumps;
pub mod limits;
mod live;
mod node;
mod onward;
mod outbox;
mod peers;
mod recovery;
mod registry;
mod retention;
mod sounds;
mod tasks;
mod threads;
mod trunks;
mod waiting;

pub use browsers::{Join, JoinError, Joined, MeetCall, MeetError};
pub use calls::{
    Accepting, AgentFlaw, AgentRef, Calls, HangUp, NoneStarted, OrderError, Readiness, Repeat, Speech, StartCall,
    StartError, Started,
};
pub use callwright_conversation::{Bearing, Place, Press, Question, Saying, Sound, Words};
pub use campaigns::{CampaignFault, Campaigns, Upload};
pub use changing::ChangeError;
pub use chats::{ChatError, Written};
pub use clock::Clock;
pub use configure::Configure;
pub use excerpt::{Clip, Excerpt};
pub use failpoint::{Failpoint, Failpoints};
pub use journal::Fed;
pub use live::{CutBy, Parlance, Shown, Wish};
pub use node::{Engine, Parts, Policy};
pub use outbox::{CallNews, Failure, Notifier, Subject, Telling, Told};
pub use peers::{NoPeers, PeerError, PeerMessage, PeerOrder, Peers};
pub use sounds::{SoundFlaw, Sounds, read_sound};
pub use trunks::{RegistrationStatus, TrunkHealth, TrunkStatus, trunk_flaw};
