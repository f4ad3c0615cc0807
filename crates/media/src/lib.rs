//! Telephone audio without sockets: SDP, RTP, codecs, jitter, playout, voice activity, recording.
//! Hides everything between a UDP payload and 20 ms of mono PCM. Never opens a socket, reads a clock, starts a
//! thread or draws a random number: time and entropy are arguments. Knows nothing of SIP, agents or calls.

// Tests need a moment to count from; they take the real clock's and then only add to it.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::unwrap_used))]

pub mod codec;
pub mod dtmf;
mod frame;
pub mod leg;
pub mod pcm;
pub mod playout;
pub mod record;
pub mod rtp;
pub mod sdp;
pub mod speech;
pub mod webrtc;

pub use codec::Codec;
pub use dtmf::Digit;
pub use frame::{FRAME, Frame, FramePair, Rate};
pub use leg::{Channel, Connection, Leg, LegEvent, LegSettings, LegStats, RtpLeg, Transmit, WebRtcLeg};
pub use playout::{Heard, MarkId};
pub use record::Recorder;
pub use sdp::{Negotiation, RemoteMedia};
