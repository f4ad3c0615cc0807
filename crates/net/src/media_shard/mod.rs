//! The media plane: a few threads that own every leg and its sockets, and wake for packets and on a 20 ms schedule.
//! Hides sockets, phases, credit and pools behind [`LegHandle`]. Never waits for the other plane: what the engine does
//! not take in time is dropped (audio) or ends the leg (everything else); a slow engine or disk never delays a tick.

mod browser;
mod door;
mod handle;
mod join;
mod memory;
mod outbox;
mod priority;
mod recording;
mod schedule;
mod seat;
mod shard;

use crate::ports::{self, PortError, PortRange, RtcpPort};
use crate::wire::Wire;
use callwright_media::leg::RtpStart;
use callwright_media::{Leg, LegSettings};
use door::{Bell, Door, Order, Ringer};
use memory::Table;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use recording::{RecordingDesk, Writer};
use seat::{Line, NewSeat};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

pub use browser::{BrowserError, BrowserLeg, BrowserSettings};
pub use handle::{LegGone, LegHandle, MessageError, PlayError};
pub use outbox::{AudioChunk, LegReport};
pub use recording::{CreateFile, RecordError, Recorded, RecordingFile, RecordingStop, RecordingTicket, Target};

/// What the media plane is told once.
#[derive(Debug, Clone)]
pub struct MediaSettings {
    /// Media threads: one per core that media may have. At least one.
    pub threads: usize,
    /// Address the sockets are bound to.
    pub bind: IpAddr,
    /// Address that peers reach them at; `None`: the bound one.
    pub advertise: Option<IpAddr>,
    /// Ports for RTP.
    pub ports: PortRange,
    /// How long a closed port stays bound and deaf after the last packet (at least 30 s outside tests).
    pub rest: Duration,
    /// Orders waiting for one thread; senders wait when it is full.
    pub orders: usize,
    /// Reports waiting from one leg to the engine. A quarter is kept free of audio; a leg whose other reports do not fit
    /// either is closed.
    pub reports: usize,
    /// Where browsers are met; `None`: nowhere.
    pub browsers: Option<BrowserSettings>,
    /// Recording pieces (half a second each) waiting for the disk, all legs together. Legs hold theirs back when full.
    pub recording: usize,
}

impl Default for MediaSettings {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            advertise: None,
            ports: PortRange::default(),
            rest: Duration::from_secs(30),
            orders: 4096,
            reports: 128,
            browsers: None,
            recording: 1024,
        }
    }
}

/// How one leg is opened.
#[derive(Debug, Clone)]
pub struct OpenLeg {
    /// What the leg itself is told.
    pub media: LegSettings,
    /// Whether it has a control socket of its own.
    pub rtcp: RtcpPort,
    /// Length of the audio chunks when nobody has spoken for two seconds.
    pub quiet_chunk: Duration,
    /// Length of the audio chunks while somebody speaks and for two seconds more, while a recogniser decides whether
    /// the turn is over: what waits here is waited for by the caller.
    pub speech_chunk: Duration,
}

impl OpenLeg {
    /// The defaults of a telephone leg, with entropy of its own.
    pub fn telephone() -> Self {
        Self::new(LegSettings::telephone(random_start()))
    }

    /// A leg with these media settings and the usual chunks: 100 ms in silence, and one packet (20 ms) around speech.
    pub fn new(media: LegSettings) -> Self {
        Self {
            media,
            rtcp: RtcpPort::NextPort,
            quiet_chunk: Duration::from_millis(100),
            speech_chunk: Duration::from_millis(20),
        }
    }
}

/// Fresh entropy for one leg (RFC 3550 section 5.1).
pub fn random_start() -> RtpStart {
    start_from(&mut rand::rng())
}

fn start_from(rng: &mut impl Rng) -> RtpStart {
    RtpStart { ssrc: rng.random(), sequence: rng.random(), timestamp: rng.random(), seed: rng.random() }
}

/// Why a leg could not be opened, or the plane not be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Bound to all addresses, so that nobody can tell which one belongs into a session description.
    #[error("media binds to {0}: say in `advertise` which address peers can reach")]
    NoAdvertisedAddress(IpAddr),
    /// The media threads have stopped.
    #[error("the media plane has stopped")]
    Stopped,
    /// A thread or its poll could not be made.
    #[error("cannot start a media thread: {0}")]
    System(#[from] io::Error),
    /// Browsers cannot be met.
    #[error(transparent)]
    Browsers(#[from] BrowserError),
}

/// Counters of the whole plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlaneStats {
    /// Legs open now.
    pub legs: usize,
    /// Visits to legs on the schedule.
    pub visits: u64,
    /// Visits more than 5 ms after their time.
    pub late_visits: u64,
    /// The latest visit so far.
    pub worst: Duration,
    /// Times a thread woke.
    pub wakes: u64,
    /// Audio chunks dropped because the engine did not take them.
    pub dropped_chunks: u64,
    /// Packets the system refused to send.
    pub send_failures: u64,
    /// Legs closed because the engine did not take their reports.
    pub overruns: u64,
    /// Packets at the browsers' door that belong to no leg.
    pub strangers: u64,
}

/// Counters as the threads write them.
#[derive(Debug, Default)]
struct Meter {
    visits: AtomicU64,
    late_visits: AtomicU64,
    worst_nanos: AtomicU64,
    wakes: AtomicU64,
    dropped_chunks: AtomicU64,
    send_failures: AtomicU64,
    overruns: AtomicU64,
    strangers: AtomicU64,
}

/// The media plane. Clones share it; its threads end when the last clone and the last leg are gone.
#[derive(Clone)]
pub struct MediaPlane {
    shards: Arc<[ShardSeat]>,
    settings: Arc<MediaSettings>,
    desk: RecordingDesk,
    meter: Arc<Meter>,
    next_id: Arc<AtomicU64>,
    browsers: Option<Arc<browser::Hall>>,
    ground: Ground,
}

/// Where legs send and receive.
#[derive(Clone)]
enum Ground {
    /// On sockets of the system.
    System,
    /// On a network in memory; the seed is for what else would be random.
    Memory(Wire, u64),
}

/// One shard as the plane sees it.
struct ShardSeat {
    door: Arc<Door>,
    legs: Arc<AtomicUsize>,
}

impl MediaPlane {
    /// Starts the media threads and the thread that writes recordings.
    ///
    /// # Errors
    /// [`OpenError::System`] when a thread or its poll cannot be made; [`OpenError::NoAdvertisedAddress`].
    pub fn start(settings: MediaSettings) -> Result<Self, OpenError> {
        if settings.advertise.unwrap_or(settings.bind).is_unspecified() {
            return Err(OpenError::NoAdvertisedAddress(settings.bind));
        }
        let meter = Arc::new(Meter::default());
        let mut shards = Vec::new();
        for number in 0..settings.threads.max(1) {
            let legs = Arc::new(AtomicUsize::new(0));
            let name = format!("media-{number}");
            let door = shard::start(name, &settings, (Arc::clone(&legs), Arc::clone(&meter)), None)?;
            shards.push(ShardSeat { door, legs });
        }
        let browsers = match &settings.browsers {
            Some(wanted) => Some(Arc::new(browser::Hall::open(wanted, &settings, &meter)?)),
            None => None,
        };
        Ok(Self {
            shards: shards.into(),
            desk: Writer::start(settings.recording)?,
            settings: Arc::new(settings),
            meter,
            next_id: Arc::new(AtomicU64::new(1)),
            browsers,
            ground: Ground::System,
        })
    }

    /// A plane without threads, on a network in memory and on the runtime's clock; the same seed over the same network
    /// does the same. Its legs live while the future runs. It records nothing.
    pub fn on_wire(settings: MediaSettings, wire: Wire, seed: u64) -> (Self, impl Future<Output = ()> + Send) {
        let (meter, legs) = (Arc::new(Meter::default()), Arc::new(AtomicUsize::new(0)));
        let bell = Arc::new(Bell::new(Ringer::Task(Notify::new())));
        let (sender, orders) = mpsc::channel(settings.orders.max(1));
        let table = Table {
            wire: wire.clone(),
            orders,
            bell: Arc::clone(&bell),
            legs: Arc::clone(&legs),
            meter: Arc::clone(&meter),
            seats: BTreeMap::new(),
        };
        let plane = Self {
            shards: Arc::new([ShardSeat { door: Arc::new(Door::new(sender, bell)), legs }]),
            desk: RecordingDesk::without_disk(),
            settings: Arc::new(settings),
            meter,
            next_id: Arc::new(AtomicU64::new(1)),
            browsers: None,
            ground: Ground::Memory(wire, seed),
        };
        (plane, table.run())
    }

    /// Opens a leg on the shard with the fewest. It is deaf and silent until [`LegHandle::remote`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, mut leg: OpenLeg) -> Result<(LegHandle, mpsc::Receiver<LegReport>), OpenError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (line, local) = self.line(id, &mut leg)?;
        let shard = self.least_loaded().ok_or(OpenError::Stopped)?;
        let (reports, received) = mpsc::channel(self.settings.reports.max(4));
        let media = Leg::rtp(leg.media.clone());
        let link = handle::Link::new(id, leg.media.rate, media.room());
        let handle = LegHandle::new(Arc::clone(&link), local, Arc::clone(&shard.door), self.desk.clone());
        let seat = NewSeat { leg: media, line, link, reports, settings: leg };
        shard.door.send(Order::Open(Box::new(seat))).await.map_err(|_| OpenError::Stopped)?;
        Ok((handle, received))
    }

    /// Where a new leg sends and receives, and the address to tell peers.
    fn line(&self, id: u64, leg: &mut OpenLeg) -> Result<(Line, SocketAddr), OpenError> {
        match &self.ground {
            Ground::System => {
                let ports = ports::bind(self.settings.ports, self.settings.bind, leg.rtcp)?;
                let host = self.settings.advertise.unwrap_or(self.settings.bind);
                let local = SocketAddr::new(host, ports.port);
                Ok((Line::Ports(ports), local))
            }
            Ground::Memory(wire, seed) => {
                leg.media.start = start_from(&mut StdRng::seed_from_u64(seed.wrapping_add(id)));
                let port = memory::port_of(id);
                Ok((Line::Memory(wire.clone(), port), SocketAddr::new(wire.address().ip(), port)))
            }
        }
    }

    /// Counters since the start.
    pub fn stats(&self) -> PlaneStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PlaneStats {
            legs: self.shards.iter().chain(self.hall()).map(|shard| shard.legs.load(Ordering::Relaxed)).sum(),
            visits: read(&self.meter.visits),
            late_visits: read(&self.meter.late_visits),
            worst: Duration::from_nanos(read(&self.meter.worst_nanos)),
            wakes: read(&self.meter.wakes),
            dropped_chunks: read(&self.meter.dropped_chunks),
            send_failures: read(&self.meter.send_failures),
            overruns: read(&self.meter.overruns),
            strangers: read(&self.meter.strangers),
        }
    }

    /// The thread of the browsers.
    fn hall(&self) -> Option<&ShardSeat> {
        self.browsers.as_ref().map(|hall| &hall.shard)
    }

    fn least_loaded(&self) -> Option<&ShardSeat> {
        self.shards.iter().min_by_key(|shard| shard.legs.load(Ordering::Relaxed))
    }
}
