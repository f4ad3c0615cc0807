//! RTP ports: even, drawn at random, bound with their RTCP neighbour; and the rest a port takes after a call.
//! Hides that the operating system's own table is the register of ports in use. Never reads media.

use mio::net::UdpSocket;
use rand::Rng;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Random draws before the range is searched in order: at 90 % occupancy 64 draws fail once in a thousand times.
const RANDOM_DRAWS: u32 = 64;
/// Receive buffer of a media socket, bytes: two seconds of G.711 in both kernels' accounting, and a small target for floods.
const RECEIVE_BUFFER: usize = 128 * 1024;
/// Expedited forwarding (RFC 3246), as it stands in the TOS byte.
const TOS_EXPEDITED: u32 = 0xB8;
/// Datagrams thrown away per look at a resting port.
const DISCARDS: usize = 64;

/// The ports media may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Even ports from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`PortError::BadRange`] for a range below 1024 or without an even port that has a neighbour.
    pub fn new(first: u16, last: u16) -> Result<Self, PortError> {
        let even = first.checked_add(first % 2).filter(|even| *even >= 1024 && *even <= last);
        even.map(|first| Self { first, last }).ok_or(PortError::BadRange { first, last })
    }

    /// How many calls fit at once, resting ports included.
    pub fn even_ports(&self) -> u16 {
        (self.last - self.first) / 2 + 1
    }

    fn port(&self, index: u16) -> u16 {
        self.first + 2 * (index % self.even_ports())
    }
}

impl Default for PortRange {
    /// 10000 to 32767: more than ten thousand even ports, all below Linux's ephemeral range.
    fn default() -> Self {
        Self { first: 10_000, last: 32_767 }
    }
}

/// Whether a leg has a control socket of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RtcpPort {
    /// On the next port (RFC 3550 section 11).
    #[default]
    NextPort,
    /// RTCP shares the media socket (RFC 5761).
    Muxed,
}

/// Why there is no port for a leg.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// No even port in the range.
    #[error("RTP port range {first}-{last} holds no even port above 1023")]
    BadRange {
        /// First port asked for.
        first: u16,
        /// Last port asked for.
        last: u16,
    },
    /// All ports are in use or at rest after a call.
    #[error("all {ports} RTP ports of {first}-{last} are in use or resting; widen the range")]
    Exhausted {
        /// First port of the range.
        first: u16,
        /// Last port of the range.
        last: u16,
        /// Even ports in it.
        ports: u16,
    },
    /// The system refuses for another reason: address not ours, no file descriptor left.
    #[error("cannot bind an RTP port on {address}: {source}")]
    System {
        /// The address.
        address: IpAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// The sockets of one leg.
#[derive(Debug)]
pub struct BoundPorts {
    /// Media, on an even port.
    pub rtp: UdpSocket,
    /// Control, on the next port, unless multiplexed.
    pub rtcp: Option<UdpSocket>,
    /// The media port.
    pub port: u16,
}

/// Binds a random even port of `range` and, if wanted, its neighbour.
///
/// # Errors
/// See [`PortError`].
pub fn bind(range: PortRange, address: IpAddr, rtcp: RtcpPort) -> Result<BoundPorts, PortError> {
    let mut rng = rand::rng();
    let count = range.even_ports();
    for _ in 0..RANDOM_DRAWS {
        if let Some(bound) = bind_pair(address, range.port(rng.random_range(0..count)), rtcp)? {
            return Ok(bound);
        }
    }
    let start = rng.random_range(0..count);
    for step in 0..count {
        let index = (u32::from(start) + u32::from(step)) % u32::from(count);
        let index = u16::try_from(index).unwrap_or(0);
        if let Some(bound) = bind_pair(address, range.port(index), rtcp)? {
            return Ok(bound);
        }
    }
    Err(PortError::Exhausted { first: range.first, last: range.last, ports: count })
}

/// `None`: the port or its neighbour is taken.
fn bind_pair(address: IpAddr, port: u16, rtcp: RtcpPort) -> Result<Option<BoundPorts>, PortError> {
    let Some(rtp) = bind_one(address, port)? else { return Ok(None) };
    let rtcp = match (rtcp, port.checked_add(1)) {
        (RtcpPort::Muxed, _) => None,
        (RtcpPort::NextPort, None) => return Ok(None),
        (RtcpPort::NextPort, Some(next)) => match bind_one(address, next)? {
            Some(socket) => Some(socket),
            None => return Ok(None),
        },
    };
    Ok(Some(BoundPorts { rtp, rtcp, port }))
}

fn bind_one(address: IpAddr, port: u16) -> Result<Option<UdpSocket>, PortError> {
    match open(SocketAddr::new(address, port)) {
        Ok(socket) => Ok(Some(socket)),
        // A port that only root may bind, or that the system reserves, is as taken as one in use.
        Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => Ok(None),
        Err(source) => Err(PortError::System { address, source }),
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_shared(address, RECEIVE_BUFFER).map(UdpSocket::from_std)
}

/// A media socket at that address, for one leg or for many, that keeps so many bytes of a burst.
pub(crate) fn bind_shared(address: SocketAddr, buffer: usize) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if let Err(error) = socket.set_recv_buffer_size(buffer) {
        tracing::debug!(%error, "receive buffer left at the system's size");
    }
    if address.is_ipv4()
        && let Err(error) = socket.set_tos_v4(TOS_EXPEDITED)
    {
        tracing::debug!(%error, "media goes without its traffic class");
    }
    Ok(socket.into())
}

/// Ports that are closed for their call but stay bound and deaf, so that a stale sender never reaches another call.
#[derive(Debug)]
pub struct Quarantine {
    rest: Duration,
    held: VecDeque<Resting>,
}

#[derive(Debug)]
struct Resting {
    ports: BoundPorts,
    until: Instant,
}

impl Quarantine {
    /// Ports rest until nothing came for `rest`.
    pub fn new(rest: Duration) -> Self {
        Self { rest, held: VecDeque::new() }
    }

    /// Takes the ports of a closed leg.
    pub fn admit(&mut self, now: Instant, ports: BoundPorts) {
        self.held.push_back(Resting { ports, until: now + self.rest });
    }

    /// Looks at up to `budget` resting ports: one that still hears somebody begins its rest again, one that has rested is
    /// released.
    pub fn sweep(&mut self, now: Instant, budget: usize) {
        for _ in 0..budget.min(self.held.len()) {
            let Some(mut resting) = self.held.pop_front() else { return };
            let rtcp_heard = resting.ports.rtcp.as_ref().is_some_and(discard);
            if discard(&resting.ports.rtp) || rtcp_heard {
                resting.until = now + self.rest;
            }
            if resting.until > now {
                self.held.push_back(resting);
            }
        }
    }

    /// Ports at rest.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether no port rests.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Throws away what waits on a socket; whether there was anything.
fn discard(socket: &UdpSocket) -> bool {
    let mut scrap = [0; 16];
    (0..DISCARDS).take_while(|_| socket.recv_from(&mut scrap).is_ok()).count() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const REST: Duration = Duration::from_secs(30);

    #[test]
    fn the_default_range_has_ten_thousand_even_ports() {
        assert!(PortRange::default().even_ports() >= 10_000);
        assert!(PortRange::new(9, 9).is_err());
        assert!(PortRange::new(u16::MAX, u16::MAX).is_err());
        assert_eq!(PortRange::new(2001, 2004).map(|range| range.even_ports()).ok(), Some(2));
    }

    #[test]
    fn ports_are_even_paired_and_random() {
        let drawn: Vec<_> =
            (0..40).map(|_| bind(PortRange::default(), HOME, RtcpPort::NextPort).expect("a port")).collect();
        for ports in &drawn {
            assert_eq!(ports.port % 2, 0);
            assert_eq!(ports.rtp.local_addr().expect("bound").port(), ports.port);
            let rtcp = ports.rtcp.as_ref().expect("a pair").local_addr().expect("bound");
            assert_eq!(rtcp.port(), ports.port + 1);
        }
        let distinct: HashSet<_> = drawn.iter().map(|ports| ports.port).collect();
        assert_eq!(distinct.len(), 40);
        let low = drawn.iter().filter(|ports| ports.port < 21_000).count();
        assert!((4..=36).contains(&low), "{low} of 40 in the lower half");
    }

    #[test]
    fn an_exhausted_range_says_so() {
        let held = bind(PortRange::default(), HOME, RtcpPort::NextPort).expect("a port");
        let range = PortRange::new(held.port, held.port + 1).expect("one even port");
        let error = bind(range, HOME, RtcpPort::NextPort).expect_err("taken");
        assert!(matches!(error, PortError::Exhausted { ports: 1, .. }), "{error}");
    }

    #[test]
    fn a_foreign_address_is_a_system_error() {
        let foreign = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert!(matches!(bind(PortRange::default(), foreign, RtcpPort::Muxed), Err(PortError::System { .. })));
    }

    #[test]
    fn a_closed_port_rests_until_nobody_sends_to_it() {
        let ports = bind(PortRange::default(), HOME, RtcpPort::NextPort).expect("a port");
        let range = PortRange::new(ports.port, ports.port).expect("one even port");
        let target = ports.rtp.local_addr().expect("bound");
        let stale = std::net::UdpSocket::bind((HOME, 0)).expect("a sender");
        let mut quarantine = Quarantine::new(REST);
        let start = Instant::now();
        quarantine.admit(start, ports);
        quarantine.sweep(start + REST - Duration::from_millis(1), 8);
        assert_eq!(quarantine.len(), 1);
        stale.send_to(b"late", target).expect("sent");
        quarantine.sweep(start + REST, 8);
        assert_eq!(quarantine.len(), 1, "a packet came: the rest begins again");
        assert!(bind(range, HOME, RtcpPort::NextPort).is_err());
        quarantine.sweep(start + REST + REST - Duration::from_millis(1), 8);
        assert_eq!(quarantine.len(), 1);
        quarantine.sweep(start + REST + REST, 8);
        assert!(quarantine.is_empty());
        bind(range, HOME, RtcpPort::NextPort).expect("free again");
    }
}
