//! Trunks as signalling wants them: names resolved, credentials at hand, and the set of addresses that may talk to us.
//! Never dials; never keeps a trunk longer than its configuration stands.

use callwright_domain::agent::Switch;
use callwright_domain::{AccountId, TrunkId};
use callwright_net::{ResolveError, Resolver, SipHandle};
use callwright_sip::{Credentials, Trunk as Route, TrunkRef};
use callwright_store::{Reader, StoreError, Transport, Trunk};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// A trunk that can be dialled through.
#[derive(Debug, Clone)]
pub(crate) struct Reachable {
    /// As the SIP user agent wants it.
    pub(crate) route: TrunkRef,
    /// Host part of our From and To.
    pub(crate) domain: String,
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

/// The trunks of a node.
pub(crate) struct Trunks {
    reader: Reader,
    resolver: Resolver,
    sip: SipHandle,
    /// Every address that a trunk was ever found at; requests from elsewhere are dropped unanswered.
    peers: Mutex<HashSet<IpAddr>>,
    /// Routes are shared by their calls as long as the configuration stands.
    routes: Mutex<HashMap<(AccountId, TrunkId), Known>>,
}

impl Trunks {
    /// No trunk is known yet.
    pub(crate) fn new(reader: Reader, sip: SipHandle) -> Self {
        Self { reader, sip, resolver: Resolver::new(), peers: Mutex::default(), routes: Mutex::default() }
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
        };
        self.admit(&addresses).await;
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(key, (trunk, addresses, reachable.clone()));
        Ok(reachable)
    }

    fn known(&self, key: &(AccountId, TrunkId), trunk: &Trunk, addresses: &[SocketAddr]) -> Option<Reachable> {
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

fn credentials(id: &TrunkId, trunk: &Trunk) -> Result<Option<Credentials>, TrunkError> {
    let (username, password) = (trunk.settings.username.expose(), trunk.settings.password.expose());
    if username.is_empty() {
        return Ok(None);
    }
    Credentials::new(username, password).map(Some).map_err(|_| TrunkError::Credentials(id.clone()))
}
