//! One running node: what every call of it shares, how it starts, and how it goes down.
//! Never knows what a single call is doing: that is [`crate::live`].

use crate::archive::Archivist;
use crate::calls::Calls;
use crate::campaigns::{Driver, Pacing};
use crate::clock::Clock;
use crate::dialer::Dialer;
use crate::extracts;
use crate::failpoint::Failpoints;
use crate::journal::{Journal, journal};
use crate::jumps;
use crate::limits::{
    CHATS, EXTRACT_EVERY, EXTRACTS, LEASE, LEASE_EVERY, OUTBOX_KEPT, PURGE_EVERY, STATISTICS_EVERY, SWEEP_EVERY,
    TRUNK_GAUGES_EVERY, TRUNKS_EVERY, UNDERTAKE_EVERY,
};
use crate::live::Order;
use crate::outbox::{Desk, Notifier, Outbox};
use crate::peers::{Membership, Peers};
use crate::recovery;
use crate::registry::{Ordered, Registry};
use crate::retention;
use crate::sounds::Sounds;
use crate::tasks::Tasks;
use crate::trunks::{RegistrationStatus, TrunkHealth, Trunks};
use crate::waiting::WaitingCalls;
use callwright_domain::{AccountId, CallEvent, CallId, HangupCause};
use callwright_net::{MediaPlane, SipHandle};
use callwright_providers::catalogue::Catalogue;
use callwright_store::{Reader, Recordings, Seat, Spool, Store, StoreError};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{self, Instant};
use tracing::{debug, error, info, warn};

/// What an engine is made of. Everything is handed in; the engine opens nothing.
pub struct Parts {
    /// The writing half of the store.
    pub store: Store,
    /// The reading half.
    pub reader: Reader,
    /// Where what happens to calls is kept while a shared database is away; none: it waits in memory.
    pub spool: Option<Spool>,
    /// Where recordings lie.
    pub recordings: Recordings,
    /// Ears, brains and voices by name.
    pub catalogue: Catalogue,
    /// What is played beside the voices.
    pub sounds: Sounds,
    /// Signalling.
    pub sip: SipHandle,
    /// Audio.
    pub media: MediaPlane,
    /// The way to other nodes.
    pub peers: Arc<dyn Peers>,
    /// Who renders and sends callbacks.
    pub notifier: Arc<dyn Notifier>,
    /// The wall clock.
    pub clock: Clock,
    /// What this node allows.
    pub policy: Policy,
    /// Seed of ids and tags; random outside tests.
    pub seed: [u8; 32],
    /// Where a simulation stops the node; none outside simulations.
    pub failpoints: Failpoints,
}

/// What a node allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Calls at once.
    pub max_calls: u32,
    /// How long live calls may go on once the node goes down.
    pub drain: Duration,
    /// A call whose far end sends no audio for this long is ended.
    pub media_timeout: Duration,
}

/// Randomness for ids and tags.
pub(crate) struct Entropy(Mutex<StdRng>);

impl Entropy {
    /// From a seed.
    pub(crate) fn seeded(seed: [u8; 32]) -> Self {
        Self(Mutex::new(StdRng::from_seed(seed)))
    }

    /// 64 random bits.
    pub(crate) fn bits64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// 128 random bits.
    pub(crate) fn bits128(&self) -> u128 {
        u128::from(self.bits64()) << 64 | u128::from(self.bits64())
    }
}

/// What the calls of one node share.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) recordings: Recordings,
    pub(crate) catalogue: Catalogue,
    pub(crate) sounds: Sounds,
    pub(crate) sip: SipHandle,
    pub(crate) media: MediaPlane,
    pub(crate) membership: Membership,
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) clock: Clock,
    pub(crate) policy: Policy,
    pub(crate) entropy: Entropy,
    pub(crate) journal: Journal,
    pub(crate) registry: Registry,
    pub(crate) trunks: Arc<Trunks>,
    pub(crate) waiting: WaitingCalls,
    pub(crate) tasks: Tasks,
    /// Rung when a call was accepted here, so that the dialer need not wait for its next look.
    pub(crate) bell: Notify,
    /// The pace of each campaign on the wire, and the bell of those that were moved here.
    pub(crate) pacing: Pacing,
    /// Places for written answers.
    pub(crate) chats: Semaphore,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("live", &self.registry.len()).finish_non_exhaustive()
    }
}

impl Node {
    /// Whether the node takes no new calls.
    pub(crate) fn is_draining(&self) -> bool {
        self.tasks.is_draining()
    }

    /// Whether this node may take and dial calls: of several nodes only one whose lease is fresh may.
    pub(crate) fn may_dial(&self) -> bool {
        !self.store.is_shared() || self.membership.is_fresh()
    }

    /// Ends a call that is not live here: one still queued, or one whose task is gone.
    pub(crate) async fn end(&self, account: &AccountId, call: CallId, cause: HangupCause) -> Result<(), StoreError> {
        info!(%call, ?cause, "ended without a live call");
        let ended = CallEvent::Ended { cause, status: None, q850: None };
        self.journal.commit(account, call, self.clock.now(), ended).await?;
        self.place_freed();
        Ok(())
    }

    /// What became of a call that waited for a place is told to whoever watches.
    pub(crate) fn seated(&self, seat: Seat) {
        match seat {
            Seat::Taken(call) => self.waiting.settled(call),
            Seat::Ended { account, call, recorded } => {
                info!(%call, "ended while it waited for a place");
                self.journal.announce(account, call, *recorded);
                self.waiting.settled(call);
            }
            Seat::Full | Seat::Moved | Seat::Nobody => {}
        }
    }

    /// A call has ended: whoever waits for its place need not wait for the dialer's next look.
    pub(crate) fn place_freed(&self) {
        if self.waiting.places_are_wanted() {
            self.bell.notify_one();
        }
    }
}

/// A running engine.
pub struct Engine {
    node: Arc<Node>,
}

impl Engine {
    /// Starts the engine: ends what a crash interrupted, then takes calls from the queue.
    ///
    /// # Errors
    /// [`StoreError`] when the interrupted calls could not be read or ended.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let (journal, mut writer) = journal(parts.store.clone(), parts.spool);
        let tasks = Tasks::passing(parts.failpoints);
        let trunks =
            Trunks::new((&parts.store, parts.reader.clone()), parts.sip.clone(), parts.clock.clone(), tasks.clone());
        let node = Arc::new(Node {
            trunks: Arc::new(trunks),
            waiting: WaitingCalls::default(),
            store: parts.store,
            reader: parts.reader,
            recordings: parts.recordings,
            catalogue: parts.catalogue,
            sounds: parts.sounds,
            sip: parts.sip,
            media: parts.media,
            membership: Membership::new(parts.peers),
            notifier: parts.notifier,
            clock: parts.clock,
            policy: parts.policy,
            entropy: Entropy::seeded(parts.seed),
            journal,
            registry: Registry::default(),
            tasks: tasks.clone(),
            bell: Notify::new(),
            chats: Semaphore::new(CHATS),
            pacing: Pacing::new(),
        });
        let desk = desk(&node, parts.seed);
        node.store.renew_lease(node.clock.now(), LEASE).await?;
        // Before calls without an owner are looked at: what an earlier life could not tell of its own may be their end.
        writer.write_earlier().await?;
        tasks.spawn(writer.run(tasks.stopping()));
        recovery::end_left_behind(&node).await?;
        node.trunks.reload().await?;
        tasks.spawn(every(LEASE_EVERY, Arc::clone(&node), renew));
        if node.store.is_shared() {
            tasks.spawn(every(UNDERTAKE_EVERY, Arc::clone(&node), undertake));
            tasks.spawn(every(STATISTICS_EVERY, Arc::clone(&node), keep_statistics));
        }
        tasks.spawn(every(PURGE_EVERY, Arc::clone(&node), purge));
        tasks.spawn(every(SWEEP_EVERY, Arc::clone(&node), retention::sweep));
        tasks.spawn(every(TRUNKS_EVERY, Arc::clone(&node), reload_trunks));
        tasks.spawn(every(TRUNK_GAUGES_EVERY, Arc::clone(&node), show_trunks));
        node.store.release_outbox(node.clock.now()).await?;
        node.store.release_extracts(node.clock.now()).await?;
        tasks.spawn(jumps::watch(Arc::clone(&node)));
        tasks.spawn(Outbox::new(desk).run());
        let places = Arc::new(Semaphore::new(EXTRACTS));
        tasks.spawn(every(EXTRACT_EVERY, Arc::clone(&node), move |node| extracts::look(node, Arc::clone(&places))));
        if node.recordings.has_remote() {
            tasks.spawn(Archivist::new(Arc::clone(&node)).run());
        }
        tasks.spawn(Dialer::new(Arc::clone(&node)).run());
        tasks.spawn(Driver::new(Arc::clone(&node)).run());
        Ok(Self { node })
    }

    /// The door into the engine.
    pub fn calls(&self) -> Calls {
        Calls::new(Arc::clone(&self.node))
    }

    /// Takes no new calls and waits until the live ones have ended: by themselves within the policy's time or until
    /// `hurry` resolves, then with a goodbye and BYE.
    pub async fn drain(&self, hurry: impl Future<Output = ()> + Send) {
        self.node.tasks.drain();
        let live = self.node.registry.len();
        info!(live, "going down: no new calls");
        tokio::select! {
            biased;
            () = self.idle() => {}
            () = time::sleep(self.node.policy.drain) => warn!("the drain took too long"),
            () = hurry => info!("hurried"),
        }
        for orders in self.node.registry.everyone() {
            // A call whose order box is full or gone is ending anyway.
            orders.try_send(Ordered::unheeded(Order::Shutdown)).ok();
        }
        if time::timeout(LEASE, self.idle()).await.is_err() {
            warn!(live = self.node.registry.len(), "some calls did not end in time");
        }
        self.node.tasks.stop().await;
    }

    /// Until no call is live.
    async fn idle(&self) {
        while self.node.registry.len() > 0 {
            time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What the outbox needs of a node.
fn desk(node: &Node, seed: [u8; 32]) -> Desk {
    Desk {
        store: node.store.clone(),
        reader: node.reader.clone(),
        notifier: Arc::clone(&node.notifier),
        clock: node.clock.clone(),
        // Jitter need not be guessed right by anybody; it must only differ from the ids'.
        entropy: Entropy::seeded(seed.map(|byte| !byte)),
        tasks: node.tasks.clone(),
    }
}

/// Runs `work` again and again until the node stops.
async fn every<F: Future<Output = ()>>(pause: Duration, node: Arc<Node>, work: impl Fn(Arc<Node>) -> F) {
    let stop = node.tasks.stopping();
    let mut beat = time::interval(pause);
    beat.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = beat.tick() => work(Arc::clone(&node)).await,
        }
    }
}

async fn renew(node: Arc<Node>) {
    let asked = Instant::now();
    match node.store.renew_lease(node.clock.now(), LEASE).await {
        Ok(()) => node.membership.renew(asked),
        Err(StoreError::NotOwner) => error!(
            "another process began a life under this node's name; this one dials nothing any more. Give each node a \
             name of its own (`server.node`)"
        ),
        Err(error) => warn!(%error, "the lease could not be renewed"),
    }
}

/// Ends the calls of nodes whose leases have run out. Not while nobody's lease may have been renewed because the database
/// was away.
async fn undertake(node: Arc<Node>) {
    if !node.membership.may_undertake() {
        return;
    }
    if let Err(error) = recovery::end_interrupted(&node).await {
        warn!(%error, "the calls of dead nodes could not be ended; trying again");
    }
}

async fn keep_statistics(node: Arc<Node>) {
    match node.store.keep_statistics().await {
        Ok(tables) if tables.is_empty() => {}
        Ok(tables) => debug!(?tables, "the database has looked at tables that had grown"),
        Err(error) => debug!(%error, "the database could not look at its tables; it does so by itself in time"),
    }
}

async fn purge(node: Arc<Node>) {
    if let Err(error) = node.store.purge(node.clock.now()).await {
        warn!(%error, "expired nonces and keys could not be removed");
    }
    if let Err(error) = node.store.purge_outbox(node.clock.now().before(OUTBOX_KEPT)).await {
        warn!(%error, "old messages of the outbox could not be removed");
    }
}

async fn reload_trunks(node: Arc<Node>) {
    if let Err(error) = node.trunks.reload().await {
        warn!(%error, "the trunks could not be read");
    }
}

async fn show_trunks(node: Arc<Node>) {
    for (account, trunk, status) in node.trunks.all() {
        let waiting = u32::try_from(node.waiting.count(&account, &trunk)).unwrap_or(u32::MAX);
        let labels = [("account", account.to_string()), ("trunk", trunk.to_string())];
        let registered = matches!(status.registration, RegistrationStatus::Registered { .. });
        let up = status.health != TrunkHealth::Down;
        metrics::gauge!("callwright_trunk_registered", &labels).set(f64::from(u8::from(registered)));
        metrics::gauge!("callwright_trunk_up", &labels).set(f64::from(u8::from(up)));
        metrics::gauge!("callwright_trunk_calls", &labels).set(f64::from(status.calls));
        metrics::gauge!("callwright_trunk_waiting", &labels).set(f64::from(waiting));
    }
}
