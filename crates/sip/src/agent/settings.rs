//! What one node's user agent is told once: its addresses, its timers, whom it answers, and its limits.
//!
//! Hides nothing. Never holds anything about one call or one trunk account.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::message::Host;

/// How SIP messages travel. TLS and WebSocket are opened by whoever owns the sockets; here they are words in Via and URIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: the only transport on which this crate repeats messages.
    Udp,
    /// A stream.
    Tcp,
    /// A stream inside TLS.
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
}

impl Transport {
    /// The word in a Via line, upper case.
    pub fn via_word(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
        }
    }

    /// The value of a `transport` URI parameter, lower case; `None` where it is the default (UDP).
    pub fn uri_word(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            Self::Ws => Some("ws"),
        }
    }

    /// Whether the network below repeats what it loses, so that we must not.
    pub fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }
}

/// One address of ours as peers see it: it is printed in Via and Contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The transport this address serves.
    pub transport: Transport,
    /// Host name or IP address (IPv6 without brackets) that peers can reach.
    pub host: String,
    /// Port that peers can reach.
    pub port: u16,
}

impl LocalAddress {
    /// The address of a socket as it is, for nodes without address translation.
    pub fn of_socket(transport: Transport, socket: SocketAddr) -> Self {
        Self { transport, host: socket.ip().to_string(), port: socket.port() }
    }

    /// The host as SIP writes it; `None`: it is neither an address nor a host name.
    pub(crate) fn sip_host(&self) -> Option<Host> {
        match self.host.parse::<IpAddr>() {
            Ok(address) => Some(address.into()),
            Err(_) => self.host.parse().ok(), // Reported to the application as a missing local address.
        }
    }
}

/// The base timers of RFC 3261 section 17.1.1.1; every other timer follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate and first repeat interval; 500 ms by default.
    pub t1: Duration,
    /// Longest repeat interval of requests other than INVITE and of INVITE responses; 4 s by default.
    pub t2: Duration,
    /// How long a message may stay in the network; 5 s by default.
    pub t4: Duration,
}

impl Timers {
    /// 64*T1: how long a transaction waits before it gives up (timers B, F, H, L, M).
    pub fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

/// Bounds on what peers can make this node remember or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions alive at once; beyond it new requests from peers get 503 and own ones are refused.
    pub transactions: usize,
    /// Calls alive at once.
    pub calls: usize,
    /// New INVITEs from known peers taken per second; beyond it 503 with Retry-After, keeping no state (0: none taken).
    pub incoming_per_second: u32,
    /// Early dialogs (forks) followed per call; further ones are ignored until they answer.
    pub early_dialogs: usize,
    /// Largest own request in bytes sent as one datagram.
    pub datagram: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 20_000, calls: 10_000, incoming_per_second: 100, early_dialogs: 8, datagram: 16 * 1024 }
    }
}

/// What to do with INVITEs from known peers that belong to no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// Answered 403: this node only calls.
    Refuse,
    /// Given to the application as [`crate::Event::Incoming`].
    Offer,
}

/// Everything a [`crate::UserAgent`] is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our addresses, one per transport in use; the first one of a transport is used.
    pub local: Vec<LocalAddress>,
    /// `User-Agent` of own requests inside and outside calls; never sent to answer strangers. Empty: not sent.
    pub user_agent: String,
    /// Base timers.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// Addresses whose requests are answered. A request from elsewhere is dropped without a trace.
    pub peers: HashSet<IpAddr>,
    /// Whether peers may call us.
    pub inbound: Inbound,
    /// Smallest session interval accepted and asked for (`Min-SE`), seconds; at least 90 (RFC 4028 section 5).
    pub min_session_expires: u32,
    /// The session interval proposed when a peer asks for a timer without saying how long, seconds.
    pub session_expires: u32,
}

impl Settings {
    /// Defaults around the given addresses: no peer is known and nobody may call us.
    pub fn new(local: Vec<LocalAddress>) -> Self {
        Self {
            local,
            user_agent: String::from("Callwright"),
            timers: Timers::default(),
            limits: Limits::default(),
            peers: HashSet::new(),
            inbound: Inbound::Refuse,
            min_session_expires: 90,
            session_expires: 1800,
        }
    }

    /// Our address for a transport, if we have one.
    pub fn local_for(&self, transport: Transport) -> Option<&LocalAddress> {
        self.local.iter().find(|local| local.transport == transport)
    }
}
