//! Trunks as calls want them: names resolved, credentials at hand, the set of addresses that may talk to us, and for each
//! trunk whether and when the next call may leave through it. Each is kept (registered with, asked whether it is alive) by
//! a task of its own. Never dials; never keeps a trunk longer than its configuration stands.

mod keeper;
mod pace;
mod shared;
mod standing;
mod status;

use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::waiting::Choice;
use callwright_domain::agent::Switch;
use callwright_domain::{AccountId, TrunkId};
use callwright_net::{ResolveError, Resolver, SipHandle};
use callwright_sip::{Credentials, Trunk as Route, TrunkRef};
use callwright_store::{Reader, Store, StoreError, TransferBy, Transport, Trunk, TrunkSettings};
use keeper::Keeper;
use shared::SharedTurns;
use standing::{Busy, Fitness, Standing, TrunkKey};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use standing::Passage;
pub use status::{RegistrationStatus, TrunkHealth, TrunkStatus};

/// Most calls a second that a trunk may be given; beyond it the limit would be finer than the clock.
const MAX_CPS: u32 = 1000;
/// Most calls at once that a trunk may be given.
const MAX_CALLS: u32 = 100_000;
/// Longest pause between two questions whether a trunk is alive.
const MAX_OPTIONS_INTERVAL_S: u32 = 3600;
/// How often a removed trunk with calls on it is looked at again.
const LAST_CALLS_EVERY: Duration = Duration::from_secs(10);

/// What cannot be carried out of a trunk's settings: the setting, and the rule that it breaks. The host, the transport and
/// the texts are for whoever reads them to check.
pub fn trunk_flaw(settings: &TrunkSettings) -> Option<(&'static str, String)> {
    let limits = [
        ("cps", settings.cps, MAX_CPS),
        ("max_calls", settings.max_calls, MAX_CALLS),
        ("options_interval_s", settings.options_interval_s, MAX_OPTIONS_INTERVAL_S),
    ];
    if let Some((name, _, most)) = limits.into_iter().find(|(_, value, most)| value > most) {
        return Some((name, format!("must be a number from 0 to {most}; 0 means none")));
    }
    if settings.register.is_on() && settings.username.expose().is_empty() {
        return Some(("register", String::from("needs `username`: the name that is registered")));
    }
    None
}

/// A trunk that can be dialled through.
#[derive(Debug, Clone)]
pub(crate) struct Reachable {
    /// As the SIP user agent wants it.
    pub(crate) route: TrunkRef,
    /// Host part of our From and To.
    pub(crate) domain: String,
    /// How its callees are handed over.
    pub(crate) transfer: TransferBy,
}

/// A trunk as it was configured and resolved, and what came of it.
type Known = (Trunk, Vec<SocketAddr>, Reachable);

/// Why a trunk cannot be dialled through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrunkError {
    /// It was removed after the call was accepted.
    #[error("trunk {0} is not configured any more")]
    Gone(TrunkId),
    /// It is switched off.
    #[error("trunk {0} is disabled")]
    Disabled(TrunkId),
    /// Its host name means nothing.
    #[error("trunk {trunk}: {source}")]
    Unresolved {
        /// Which.
        trunk: TrunkId,
        /// Why.
        source: ResolveError,
    },
    /// Its transport is not built in yet.
    #[error("trunk {0} wants TLS, which this server does not speak yet; use udp or tcp")]
    Transport(TrunkId),
    /// Its user name or password cannot be written into a SIP message.
    #[error("trunk {0}: user name or password holds characters that SIP cannot carry")]
    Credentials(TrunkId),
    /// Its configuration cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a call may do about its trunks now.
pub(crate) enum Pick {
    /// Go this way.
    Take(Passage),
    /// Wait until then, or with `None` until a channel is given back.
    Wait(Option<Instant>),
}

/// A trunk that is kept.
struct Kept {
    standing: Arc<Standing>,
    wanted: watch::Sender<Option<Trunk>>,
}

#[derive(Default)]
struct AllKept {
    trunks: HashMap<TrunkKey, Kept>,
    /// Counts changes, so that what was read before one is not taken for newer.
    revision: u64,
}

/// The trunks of a node.
pub(crate) struct Trunks {
    reader: Reader,
    resolver: Resolver,
    sip: SipHandle,
    clock: Clock,
    tasks: Tasks,
    /// Where turns are taken that all nodes share; none: this node is alone.
    shared: Option<Store>,
    /// Rung when a waiting call may find a way: a channel came back, a trunk answers again.
    pub(crate) freed: Arc<Notify>,
    /// Every address that a trunk was ever found at; requests from elsewhere are dropped unanswered.
    peers: Mutex<HashSet<IpAddr>>,
    /// Routes are shared by their calls as long as the configuration stands.
    routes: Mutex<HashMap<TrunkKey, Known>>,
    kept: Mutex<AllKept>,
}

impl Trunks {
    /// No trunk is known yet.
    pub(crate) fn new((store, reader): (&Store, Reader), sip: SipHandle, clock: Clock, tasks: Tasks) -> Self {
        Self {
            reader,
            sip,
            clock,
            tasks,
            shared: store.is_shared().then(|| store.clone()),
            resolver: Resolver::new(),
            freed: Arc::default(),
            peers: Mutex::default(),
            routes: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Takes over what the store says: at the start, and now and then for what another process changed.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), StoreError> {
        let revision = self.kept().revision;
        let stored = self.reader.all_trunks().await?;
        let mut kept = self.kept();
        if kept.revision != revision {
            // Something newer than what was read is known already.
            return Ok(());
        }
        let mut gone: BTreeSet<TrunkKey> = kept.trunks.keys().cloned().collect();
        for (account, trunk) in stored {
            let key = (account, trunk.id.clone());
            gone.remove(&key);
            self.keep(&mut kept, key, Some(trunk));
        }
        for key in gone {
            self.keep(&mut kept, key, None);
        }
        Ok(())
    }

    /// Takes over a change that was just stored; `None`: the trunk was removed.
    pub(crate) fn learn(self: &Arc<Self>, account: &AccountId, id: &TrunkId, trunk: Option<Trunk>) {
        let mut kept = self.kept();
        kept.revision += 1;
        self.keep(&mut kept, (account.clone(), id.clone()), trunk);
    }

    /// Makes sure that the trunks of a choice are known, as far as they exist.
    pub(crate) async fn look_up(self: &Arc<Self>, (account, ids): &Choice) -> Result<(), StoreError> {
        for id in ids {
            let key = (account.clone(), id.clone());
            if self.standing(&key).is_none()
                && let Some(trunk) = self.reader.trunk(account, id).await?
            {
                self.keep(&mut self.kept(), key, Some(trunk));
            }
        }
        Ok(())
    }

    fn keep(self: &Arc<Self>, kept: &mut AllKept, key: TrunkKey, trunk: Option<Trunk>) {
        if let Some(known) = kept.trunks.get(&key) {
            known.standing.configure(trunk.as_ref());
            known.wanted.send_if_modified(|wanted| {
                let changed = *wanted != trunk;
                *wanted = trunk;
                changed
            });
        } else if trunk.is_some() {
            let turns = self
                .shared
                .clone()
                .map(|store| SharedTurns::new(store, key.clone(), self.clock.clone(), self.tasks.clone()));
            let standing = Arc::new(Standing::new(key.clone(), Arc::clone(&self.freed), turns));
            standing.configure(trunk.as_ref());
            let (wanted, watched) = watch::channel(trunk);
            kept.trunks.insert(key, Kept { standing: Arc::clone(&standing), wanted });
            let stop = self.tasks.stopping();
            self.tasks.spawn(Keeper { trunks: Arc::clone(self), standing, wanted: watched, stop }.run());
        }
    }

    /// For the keeper of a removed trunk: `true` when it was put back; `false` when nothing holds it any more.
    async fn is_wanted_again(
        &self,
        standing: &Standing,
        wanted: &mut watch::Receiver<Option<Trunk>>,
        stop: &CancellationToken,
    ) -> bool {
        loop {
            {
                let mut kept = self.kept();
                if wanted.borrow().is_some() {
                    return true;
                }
                if standing.calls() == 0 {
                    kept.trunks.remove(standing.key());
                    return false;
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                _ = wanted.changed() => {}
                () = time::sleep(LAST_CALLS_EVERY) => {}
            }
        }
    }

    /// The way a call takes now: the first trunk of its choice that is fit; when none is, the first that is silent, for
    /// many carriers do not answer questions; when all rest, none for now.
    pub(crate) fn pick(&self, account: &AccountId, ids: &[TrunkId]) -> Pick {
        let (now, wall) = (Instant::now(), self.clock.now());
        let mut silent = None;
        let mut rest: Option<Duration> = None;
        for id in ids {
            let Some(standing) = self.standing(&(account.clone(), id.clone())) else { continue };
            match standing.fitness(wall) {
                Fitness::Fit => return take(&standing, now),
                Fitness::Silent => silent = silent.or(Some(standing)),
                Fitness::Resting(until) => {
                    let left = until.since(wall);
                    rest = Some(rest.map_or(left, |rest| rest.min(left)));
                }
                Fitness::Off => {}
            }
        }
        match (silent, rest, ids.first()) {
            (Some(silent), ..) => take(&silent, now),
            (None, Some(rest), _) => Pick::Wait(Some(now + rest)),
            // Switched off or removed since the call was accepted: dialling says so.
            (None, None, Some(id)) => Pick::Take(Passage::unknown(id.clone())),
            (None, None, None) => Pick::Wait(None),
        }
    }

    /// A trunk asked to be left alone for so long (RFC 3261, section 21.5.4).
    pub(crate) fn rest(&self, account: &AccountId, id: &TrunkId, length: Duration) {
        if let Some(standing) = self.standing(&(account.clone(), id.clone())) {
            info!(trunk = %id, ?length, "a trunk asks for a rest");
            standing.rest_until(self.clock.now().after(length));
        }
    }

    /// Where a trunk stands on this node; `None`: it is not known here.
    pub(crate) fn status(&self, account: &AccountId, id: &TrunkId) -> Option<TrunkStatus> {
        self.standing(&(account.clone(), id.clone())).map(|standing| standing.status(self.clock.now()))
    }

    /// All trunks that are kept, and where each stands.
    pub(crate) fn all(&self) -> Vec<(AccountId, TrunkId, TrunkStatus)> {
        let (kept, now) = (self.kept(), self.clock.now());
        kept.trunks
            .iter()
            .map(|((account, id), known)| (account.clone(), id.clone(), known.standing.status(now)))
            .collect()
    }

    fn standing(&self, key: &TrunkKey) -> Option<Arc<Standing>> {
        self.kept().trunks.get(key).map(|known| Arc::clone(&known.standing))
    }

    // A panic while the map was locked cannot leave it half-changed: each critical section is one change.
    fn kept(&self) -> MutexGuard<'_, AllKept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A trunk by its id, resolved now.
    pub(crate) async fn find(&self, account: &AccountId, id: &TrunkId) -> Result<Reachable, TrunkError> {
        let trunk = self.reader.trunk(account, id).await?.ok_or_else(|| TrunkError::Gone(id.clone()))?;
        if trunk.enabled == Switch::Off {
            return Err(TrunkError::Disabled(id.clone()));
        }
        let settings = &trunk.settings;
        let transport = match settings.transport {
            Transport::Udp => callwright_sip::Transport::Udp,
            Transport::Tcp => callwright_sip::Transport::Tcp,
            Transport::Tls => return Err(TrunkError::Transport(id.clone())),
        };
        let addresses = self.resolver.resolve(&settings.host, settings.port).await;
        let addresses = addresses.map_err(|source| TrunkError::Unresolved { trunk: id.clone(), source })?;
        let key = (account.clone(), id.clone());
        if let Some(known) = self.known(&key, &trunk, &addresses) {
            return Ok(known);
        }
        let Some(peer) = addresses.first().copied() else { return Err(TrunkError::Gone(id.clone())) };
        let route = Route {
            peer,
            transport,
            addresses: addresses.iter().map(SocketAddr::ip).collect(),
            credentials: credentials(id, &trunk)?,
            realm: settings.realm.clone(),
        };
        let reachable = Reachable {
            route: Arc::new(route),
            domain: settings.domain.clone().unwrap_or_else(|| settings.host.clone()),
            transfer: settings.transfer,
        };
        self.admit(&addresses).await;
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(key, (trunk, addresses, reachable.clone()));
        Ok(reachable)
    }

    fn known(&self, key: &TrunkKey, trunk: &Trunk, addresses: &[SocketAddr]) -> Option<Reachable> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let (configured, resolved, reachable) = routes.get(key)?;
        (configured == trunk && resolved == addresses).then(|| reachable.clone())
    }

    /// Lets these addresses talk to us.
    async fn admit(&self, addresses: &[SocketAddr]) {
        let peers = {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            let before = peers.len();
            peers.extend(addresses.iter().map(SocketAddr::ip));
            if peers.len() == before {
                return;
            }
            peers.clone()
        };
        if let Err(gone) = self.sip.peers(peers).await {
            warn!(%gone, "a trunk's addresses could not be admitted");
        }
    }
}

fn take(standing: &Arc<Standing>, now: Instant) -> Pick {
    match standing.take(now) {
        Ok(passage) => Pick::Take(passage),
        Err(Busy::Full) => Pick::Wait(None),
        Err(Busy::Until(again)) => Pick::Wait(Some(again)),
    }
}

fn credentials(id: &TrunkId, trunk: &Trunk) -> Result<Option<Credentials>, TrunkError> {
    let (username, password) = (trunk.settings.username.expose(), trunk.settings.password.expose());
    if username.is_empty() {
        return Ok(None);
    }
    Credentials::new(username, password).map(Some).map_err(|_| TrunkError::Credentials(id.clone()))
}
