//! SIP on the wire: one task that owns the user agent, its UDP socket and its TCP connections.
//! Hides sockets, connections, timers and who is told what. Decides nothing about calls and never waits for the engine:
//! a call whose events are not taken is ended, other reports that do not fit are dropped and counted.
//!
//! TLS and WebSocket connect here when they come: they are flows like TCP's, made by `streams`.

mod call;
mod connection;
mod desk;
mod endpoint;
mod handle;
mod registration;
mod streams;

use callwright_sip::{LocalAddress, Settings, Transport};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use call::{Acknowledgement, CallEvent, Farewell, SipCall};
pub use endpoint::SipEndpoint;
pub use handle::{SipGone, SipHandle, SipReport};
pub use registration::{RegistrationState, SipRegistration};

/// What a SIP endpoint is told once.
#[derive(Debug, Clone)]
pub struct SipSettings {
    /// Where UDP listens; port 0 takes a free one.
    pub udp: SocketAddr,
    /// Where TCP listens; `None`: no TCP at all.
    pub tcp: Option<SocketAddr>,
    /// Host name or address that peers reach us at; `None`: the address listened on, which must then be a concrete one.
    pub advertise: Option<String>,
    /// The user agent's own settings; `local` is filled in when the sockets are bound.
    pub agent: Settings,
    /// Orders waiting; whoever orders waits when it is full.
    pub orders: usize,
    /// Reports about anything but known calls waiting; one that does not fit is dropped (an incoming call refused).
    pub reports: usize,
    /// Events of one call waiting; a quarter is kept free of progress and keys. A call whose events do not fit is ended.
    pub call_events: usize,
    /// Bounds on connections.
    pub streams: StreamLimits,
}

impl SipSettings {
    /// Defaults around the two listening addresses.
    pub fn new(udp: SocketAddr, tcp: Option<SocketAddr>) -> Self {
        Self {
            udp,
            tcp,
            advertise: None,
            agent: Settings::new(Vec::new()),
            orders: 1024,
            reports: 256,
            call_events: 64,
            streams: StreamLimits::default(),
        }
    }
}

/// Bounds on TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Connections from peers at once; further ones are closed at once.
    pub accepted: usize,
    /// Connections to peers at once; further messages fail as if the peer were unreachable.
    pub opened: usize,
    /// How long connecting may take.
    pub connect: Duration,
    /// A connection on which nothing moved for this long is closed.
    pub idle: Duration,
    /// How long a message may take to arrive whole, and one of ours to leave.
    pub message: Duration,
    /// Messages of ours waiting for one connection.
    pub outgoing: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            accepted: 6000,
            opened: 1000,
            connect: Duration::from_secs(4),
            idle: Duration::from_secs(600),
            message: Duration::from_secs(32),
            outgoing: 64,
        }
    }
}

/// Why a SIP endpoint did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen for SIP on {transport:?} {address}: {source}")]
    Listen {
        /// The transport.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Listening on all addresses, so that nobody can tell which one peers reach.
    #[error("SIP listens on {0}: say in `advertise` which address peers can reach")]
    NoAdvertisedHost(SocketAddr),
}

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SipStats {
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages that could not be sent.
    pub send_failures: u64,
    /// Reports nobody took.
    pub dropped_reports: u64,
    /// Calls ended because their events were not taken.
    pub overruns: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections turned away at the limit.
    pub turned_away: u64,
}

/// The same as the task writes them.
#[derive(Debug, Default)]
struct Meter {
    received: AtomicU64,
    sent: AtomicU64,
    send_failures: AtomicU64,
    dropped_reports: AtomicU64,
    overruns: AtomicU64,
    accepted: AtomicU64,
    turned_away: AtomicU64,
}

impl Meter {
    fn read(&self) -> SipStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SipStats {
            received: read(&self.received),
            sent: read(&self.sent),
            send_failures: read(&self.send_failures),
            dropped_reports: read(&self.dropped_reports),
            overruns: read(&self.overruns),
            accepted: read(&self.accepted),
            turned_away: read(&self.turned_away),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The address to print for a bound socket.
fn local_address(
    transport: Transport,
    bound: SocketAddr,
    advertise: Option<&String>,
) -> Result<LocalAddress, StartError> {
    match advertise {
        Some(host) => Ok(LocalAddress { transport, host: host.clone(), port: bound.port() }),
        None if bound.ip().is_unspecified() => Err(StartError::NoAdvertisedHost(bound)),
        None => Ok(LocalAddress::of_socket(transport, bound)),
    }
}
