//! Legs to browsers: where they are met, why an offer is refused, and how the packets of one socket find their legs. Hides
//! that they are not telephones: what is opened here is the same [`LegHandle`] with the same reports.
//!
//! All browsers have one thread and one UDP port to themselves: a handshake takes milliseconds and Opus a hundred
//! microseconds a frame, which no telephone leg shall wait for. A check (STUN) is sorted by the name in it, everything
//! else by the address that has proved to be some leg's. What is neither is counted and dropped.

use super::door::Order;
use super::handle::{LegHandle, Link};
use super::outbox::LegReport;
use super::seat::{Line, NewSeat, Seat, Supplies};
use super::{MediaPlane, MediaSettings, Meter, OpenLeg, ShardSeat, shard};
use crate::ports;
use callwright_media::webrtc::{Identity, OfferError, addressee};
use callwright_media::{Connection, Leg, WebRtcLeg};
use mio::event::Source;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::mpsc;

/// Datagrams taken from the browsers' socket before the legs have their turn: a flood must not starve the schedule.
const READS: usize = 256;
/// What the system may keep of a burst: a thousand browsers' packets of 20 ms.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// Where browsers are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSettings {
    /// UDP address of all browsers together; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Addresses under which browsers reach it, the best first; empty: the one it listens on.
    pub announce: Vec<IpAddr>,
}

/// A browser's leg as it was opened.
#[derive(Debug)]
pub struct BrowserLeg {
    /// The session description to give back to the browser.
    pub answer: String,
    /// The leg; its rate is 16 kHz with Opus and 8 kHz with G.711.
    pub leg: LegHandle,
    /// What happens on it.
    pub reports: mpsc::Receiver<LegReport>,
}

/// Why no leg was opened for a browser, or the plane not be started with them.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// No address for browsers is configured.
    #[error("this node meets no browsers: `webrtc.listen` is not set")]
    Off,
    /// The offer cannot be used.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The media threads have stopped.
    #[error("the media plane has stopped")]
    Stopped,
    /// No address that a browser could be told.
    #[error("no address in `webrtc.announce` (or `webrtc.listen`) is one that browsers can be told")]
    NoAddress,
    /// The socket or its thread could not be made.
    #[error("the address of `webrtc.listen` cannot be used: {0}")]
    System(#[from] io::Error),
}

impl MediaPlane {
    /// Whether browsers are met at all.
    pub const fn meets_browsers(&self) -> bool {
        self.browsers.is_some()
    }

    /// Opens a leg for the browser that made `offer`. [`LegReport::Connected`] comes when the browser is there,
    /// [`LegReport::Lost`] when it did not come within `media.lost` of the settings, or is not heard of for thirty
    /// seconds. The rate of `settings` is not looked at: the codec decides it.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub async fn open_browser(&self, mut settings: OpenLeg, offer: &str) -> Result<BrowserLeg, BrowserError> {
        let hall = self.browsers.as_ref().ok_or(BrowserError::Off)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (media, answer) = Leg::browser(Instant::now(), settings.media.clone(), &hall.identity, offer)?;
        settings.media.rate = media.rate();
        let (reports, received) = mpsc::channel(self.settings.reports.max(4));
        let link = Link::new(id, media.rate(), media.room());
        let local = hall.identity.addresses().first().copied().ok_or(BrowserError::NoAddress)?;
        let door = &hall.shard.door;
        let leg = LegHandle::new(Arc::clone(&link), local, Arc::clone(door), self.desk.clone());
        let line = Line::Shared(Arc::clone(&hall.socket));
        let seat = NewSeat { leg: media, line, link, reports, settings };
        door.send(Order::Open(Box::new(seat))).await.map_err(|_| BrowserError::Stopped)?;
        Ok(BrowserLeg { answer, leg, reports: received })
    }

    /// Lets the browser that made `offer` go on with `leg` in the place of the one that was connected; gives the session
    /// description for it. Whoever was there before is told goodbye. [`LegReport::Connected`] and [`LegReport::Lost`] come as
    /// with a leg that was opened.
    ///
    /// # Errors
    /// [`BrowserError`]; [`OfferError::NoCodec`] for a browser whose codec has another rate than the leg.
    pub async fn reconnect_browser(&self, leg: &LegHandle, offer: &str) -> Result<String, BrowserError> {
        let hall = self.browsers.as_ref().ok_or(BrowserError::Off)?;
        let (connection, answer) = Connection::answer(Instant::now(), &hall.identity, offer)?;
        if connection.rate() != leg.rate() {
            return Err(OfferError::NoCodec.into());
        }
        leg.reconnect(connection).await.map_err(|_| BrowserError::Stopped)?;
        Ok(answer)
    }

    /// Where browsers are met, as told to them; empty when they are not.
    pub fn browser_addresses(&self) -> &[SocketAddr] {
        self.browsers.as_ref().map_or(&[], |hall| hall.identity.addresses())
    }
}

/// The place of the browsers.
pub(super) struct Hall {
    identity: Identity,
    socket: Arc<SharedSocket>,
    pub(super) shard: ShardSeat,
}

impl Hall {
    pub(super) fn open(
        wanted: &BrowserSettings,
        settings: &MediaSettings,
        meter: &Arc<Meter>,
    ) -> Result<Self, BrowserError> {
        let socket = ports::bind_shared(wanted.listen, RECEIVE_BUFFER)?;
        let bound = socket.local_addr()?;
        let announced: Vec<SocketAddr> = if wanted.announce.is_empty() {
            vec![bound]
        } else {
            wanted.announce.iter().map(|ip| SocketAddr::new(*ip, bound.port())).collect()
        };
        let identity = Identity::new(&announced).ok_or(BrowserError::NoAddress)?;
        let legs = Arc::new(AtomicUsize::new(0));
        let counters = (Arc::clone(&legs), Arc::clone(meter));
        let gate = Gate::new(socket.try_clone()?);
        let door = shard::start("media-browsers".to_owned(), settings, counters, Some(gate))?;
        let socket = Arc::new(SharedSocket { socket, dual: bound.is_ipv6() });
        Ok(Self { identity, socket, shard: ShardSeat { door, legs } })
    }
}

/// The way in of all browsers, on their thread.
pub(super) struct Gate {
    socket: mio::net::UdpSocket,
    /// Legs by the names in checks.
    names: HashMap<String, usize>,
    /// Legs by the addresses that have proved to be theirs.
    addresses: HashMap<SocketAddr, usize>,
    unread: bool,
    strangers: u64,
}

impl Gate {
    fn new(socket: UdpSocket) -> Self {
        Self {
            socket: mio::net::UdpSocket::from_std(socket),
            names: HashMap::new(),
            addresses: HashMap::new(),
            unread: false,
            strangers: 0,
        }
    }

    /// What is to be polled.
    pub(super) fn source(&mut self) -> &mut impl Source {
        &mut self.socket
    }

    /// The socket can be read.
    pub(super) fn ring(&mut self) {
        self.unread = true;
    }

    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// The leg in that seat is called `name`.
    pub(super) fn expect(&mut self, seat: usize, name: &str) {
        self.names.insert(name.to_owned(), seat);
    }

    /// Nobody sits there any more.
    pub(super) fn forget(&mut self, seat: usize) {
        self.names.retain(|_, other| *other != seat);
        self.addresses.retain(|_, other| *other != seat);
    }

    /// Packets of nobody since the last call.
    pub(super) fn take_strangers(&mut self) -> u64 {
        std::mem::take(&mut self.strangers)
    }

    /// Reads what came, up to a limit, and hands it to the legs.
    pub(super) fn read(&mut self, now: Instant, seats: &mut [Option<Seat>], supplies: &mut Supplies) {
        if !self.unread {
            return;
        }
        for _ in 0..READS {
            // Lent to the leg that the packet is for, together with the other supplies.
            let mut datagram = std::mem::take(&mut supplies.datagram);
            let came = self.socket.recv_from(&mut datagram);
            match came {
                Ok((length, source)) if length < datagram.len() => {
                    let packet = datagram.get(..length).unwrap_or_default();
                    self.hand_over(now, (source, packet), seats, supplies);
                }
                Ok(_) => self.strangers += 1,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // A refusal of some browser's machine that came back (ICMP) shows here too; the socket goes on.
                    self.unread = error.kind() != ErrorKind::WouldBlock;
                    supplies.datagram = datagram;
                    return;
                }
            }
            supplies.datagram = datagram;
        }
    }

    fn hand_over(
        &mut self,
        now: Instant,
        (source, packet): (SocketAddr, &[u8]),
        seats: &mut [Option<Seat>],
        supplies: &mut Supplies,
    ) {
        let source = canonical(source);
        let named = addressee(packet).and_then(|name| self.names.get(name));
        let index = named.or_else(|| self.addresses.get(&source)).copied();
        let Some((index, seat)) = index.and_then(|index| Some((index, seats.get_mut(index)?.as_mut()?))) else {
            self.strangers += 1;
            return;
        };
        seat.admit(now, source, packet, supplies);
        while let Some(address) = seat.browser().and_then(WebRtcLeg::poll_address) {
            self.addresses.insert(address, index);
        }
    }
}

/// An IPv4 address that came through a socket for both families, as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The socket of all browsers, as their legs write to it.
pub(super) struct SharedSocket {
    socket: UdpSocket,
    /// It is one for both families: IPv4 addresses are written as mapped ones.
    dual: bool,
}

impl SharedSocket {
    pub(super) fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        match to.ip() {
            IpAddr::V4(ip) if self.dual => {
                self.socket.send_to(bytes, SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()))
            }
            _ => self.socket.send_to(bytes, to),
        }
    }
}
