//! Host names of trunks to addresses. Hides the system's resolver and remembers its answers for a while.
//! Never used for anything a SIP message names. NAPTR and SRV (RFC 3263) belong here when they come: the face stays.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is believed. The system's resolver does not tell the record's own time to live.
pub const BELIEVED_FOR: Duration = Duration::from_secs(60);
/// How long the system's resolver may take.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// Names remembered; beyond it the oldest answer is forgotten.
const NAMES: usize = 1024;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver said no.
    #[error("cannot resolve {host}: {source}")]
    Failed {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The resolver did not answer in time.
    #[error("resolving {host} took too long")]
    TimedOut {
        /// The name.
        host: String,
    },
    /// The name exists and has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
}

/// Resolves names, with a small memory. Share it by reference.
#[derive(Debug, Default)]
pub struct Resolver {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    addresses: Vec<IpAddr>,
    learned: Instant,
}

impl Resolver {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// All addresses of `host` (a name or a literal address, IPv6 with or without brackets), in the resolver's order.
    /// While the resolver is down the last answer serves, however old.
    ///
    /// # Errors
    /// [`ResolveError`] when there is neither a new nor an old answer.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = host.to_ascii_lowercase();
        let known = self.recall(&name);
        if let Some(known) = &known
            && known.learned.elapsed() < BELIEVED_FOR
        {
            return Ok(with_port(&known.addresses, port));
        }
        match look_up(&name).await {
            Ok(addresses) => {
                let answer = with_port(&addresses, port);
                self.remember(name, Known { addresses, learned: Instant::now() });
                Ok(answer)
            }
            Err(error) => match known {
                Some(stale) => {
                    tracing::warn!(%error, "the last known addresses serve");
                    Ok(with_port(&stale.addresses, port))
                }
                None => Err(error),
            },
        }
    }

    fn recall(&self, name: &str) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn remember(&self, name: String, known: Known) {
        let mut memory = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= NAMES && !memory.contains_key(&name) {
            let oldest = memory.iter().min_by_key(|(_, known)| known.learned).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                memory.remove(&oldest);
            }
        }
        memory.insert(name, known);
    }
}

fn with_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}

async fn look_up(host: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let host_name = || host.to_owned();
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, 0)))
        .await
        .map_err(|_| ResolveError::TimedOut { host: host_name() })?
        .map_err(|source| ResolveError::Failed { host: host_name(), source })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(ResolveError::NoAddress { host: host_name() }) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_and_names() {
        let resolver = Resolver::new();
        for (host, expected) in [("127.0.0.1", "127.0.0.1:5060"), ("[::1]", "[::1]:5060"), ("::1", "[::1]:5060")] {
            let found = resolver.resolve(host, 5060).await.expect("a literal");
            assert_eq!(found, [expected.parse::<SocketAddr>().expect("an address")]);
        }
        let found = resolver.resolve("LocalHost", 7).await.expect("localhost");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        assert!(resolver.recall("localhost").is_some());
        assert!(resolver.resolve("bad host name", 1).await.is_err());
    }

    #[tokio::test]
    async fn an_old_answer_serves_while_the_resolver_is_down() {
        let resolver = Resolver::new();
        let Some(learned) = Instant::now().checked_sub(2 * BELIEVED_FOR) else { return };
        let address = IpAddr::from([192, 0, 2, 7]);
        resolver.remember(String::from("bad host name"), Known { addresses: vec![address], learned });
        let found = resolver.resolve("bad host name", 9).await.expect("the old answer");
        assert_eq!(found, [SocketAddr::new(address, 9)]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let resolver = Resolver::new();
        for i in 0..2 * NAMES {
            let known = Known { addresses: Vec::new(), learned: Instant::now() };
            resolver.remember(format!("host{i}"), known);
        }
        assert_eq!(resolver.known.lock().expect("not poisoned").len(), NAMES);
    }
}
