//! Every socket of telephony: SIP over UDP and TCP, RTP and RTCP, and the names of trunks.
//! Hides threads, timers, connections and ports. Drives the pure crates and decides nothing about calls.

pub mod media_shard;
pub mod ports;
pub mod resolve;
pub mod sip_transport;
pub mod wire;

pub use media_shard::{
    AudioChunk, BrowserError, BrowserLeg, BrowserSettings, CreateFile, LegGone, LegHandle, LegReport, MediaPlane,
    MediaSettings, MessageError, OpenError, OpenLeg, PlaneStats, PlayError, RecordError, Recorded, RecordingFile,
    RecordingStop, RecordingTicket, Target, random_start,
};
pub use ports::{PortError, PortRange, RtcpPort};
pub use resolve::{ResolveError, Resolver};
pub use sip_transport::{
    Acknowledgement, CallEvent, Farewell, RegistrationState, SipCall, SipEndpoint, SipGone, SipHandle, SipRegistration,
    SipReport, SipSettings, SipStats, StartError, StreamLimits,
};
pub use wire::{Air, Datagram, Wire};
