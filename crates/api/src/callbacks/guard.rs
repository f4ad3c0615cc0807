//! Where callbacks may go: the check of a URL that somebody else wrote, before it is kept and again at each connection.
//! Resolves names by itself, judges every address, and gives out only what it judged, so that the address that was
//! checked is the one that is connected to. Makes the clients that go by this, and never connects by itself.

use callwright_domain::agent::Switch;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Proxy, redirect};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// Time for a connection, name and TLS included (BARS S38).
const CONNECT: Duration = Duration::from_secs(5);
/// Time for the whole exchange (BARS S38).
pub(super) const EXCHANGE: Duration = Duration::from_secs(15);
/// Requests at once to one host (BARS S38).
pub(super) const PER_HOST: usize = 50;
/// Longest URL that is kept.
const MAX_URL: usize = 2048;
/// Ports below 1024 that callbacks may go to.
const WEB_PORTS: [u16; 2] = [443, 80];
/// The first port that needs no privilege: anybody's service may be there (BARS S37).
const FREE_PORTS: u16 = 1024;

/// What the operator allows callbacks to reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Egress {
    /// Plain `http` beside `https`.
    pub plain_http: Switch,
    /// Addresses of private networks and of this machine. Cloud metadata services stay out of reach.
    pub private: Switch,
    /// Ports below 1024 beside 80 and 443.
    pub ports: Vec<u16>,
    /// An HTTP proxy that callbacks go through.
    pub proxy: Option<String>,
}

/// Why a URL is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// It does not parse, or it is too long.
    #[error("must be an absolute URL of at most {MAX_URL} characters with a host")]
    Shape,
    /// Another scheme.
    #[error("must begin with https://")]
    NotHttps,
    /// Another scheme, where plain HTTP is allowed.
    #[error("must begin with https:// or http://")]
    NotHttp,
    /// A name or password in it.
    #[error("must not carry a user name or password; use a header")]
    Credentials,
    /// A port of some other service.
    #[error("must use port 443, 80, or one from 1024 on")]
    Port,
    /// It leads to a private, local or otherwise special address.
    #[error("must not lead to a private, local or special address")]
    Private,
}

/// Resolves host names. A trait, so that tests bring their own answers.
pub trait Lookup: Send + Sync {
    /// Every address of a host.
    fn lookup(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'_, io::Result<Vec<IpAddr>>> {
        Box::pin(
            async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.map(|address| address.ip()).collect()) },
        )
    }
}

/// Judges URLs and addresses. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    egress: Arc<Egress>,
    lookup: Arc<dyn Lookup>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("private", &self.egress.private).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard over these rules.
    pub fn new(egress: Egress, lookup: impl Lookup + 'static) -> Self {
        Self { egress: Arc::new(egress), lookup: Arc::new(lookup) }
    }

    /// What can be said about a URL without asking anybody.
    ///
    /// # Errors
    /// [`Blocked`] names the rule.
    pub fn judge(&self, text: &str) -> Result<Url, Blocked> {
        if text.len() > MAX_URL || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Blocked::Shape);
        }
        // Parsers mend what lies between the scheme and the host, each in its own way.
        let host = text.split_once("://").map_or("", |(_, rest)| rest);
        if host.is_empty() || host.starts_with(['/', '\\']) {
            return Err(Blocked::Shape);
        }
        let url = Url::parse(text).map_err(|_| Blocked::Shape)?;
        match (url.scheme(), self.egress.plain_http) {
            ("https", _) | ("http", Switch::On) => {}
            (_, Switch::On) => return Err(Blocked::NotHttp),
            (_, Switch::Off) => return Err(Blocked::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Blocked::Credentials);
        }
        let host = url.host().ok_or(Blocked::Shape)?;
        self.judge_host(&host)?;
        let port = url.port_or_known_default().ok_or(Blocked::Port)?;
        if port < FREE_PORTS && !WEB_PORTS.contains(&port) && !self.egress.ports.contains(&port) {
            return Err(Blocked::Port);
        }
        Ok(url)
    }

    /// The addresses that may be connected to for a URL's host. A name with any address that may not is refused whole.
    ///
    /// # Errors
    /// [`Unreached`] says whether the name or an address was the reason.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unreached> {
        let found = self.lookup.lookup(host.to_owned()).await.map_err(|_| Unreached::Unknown)?;
        if found.is_empty() {
            return Err(Unreached::Unknown);
        }
        for address in &found {
            self.judge_address(*address)?;
        }
        Ok(found)
    }

    /// The whole check before a URL is kept. A name that cannot be resolved just now is let through: it is checked again
    /// at every connection.
    ///
    /// # Errors
    /// [`Blocked`] names the rule.
    pub async fn admit(&self, text: &str) -> Result<Url, Blocked> {
        let url = self.judge(text)?;
        if let Some(Host::Domain(name)) = url.host() {
            match self.addresses(name).await {
                Ok(_) | Err(Unreached::Unknown) => {}
                Err(Unreached::Blocked(why)) => return Err(why),
            }
        }
        Ok(url)
    }

    /// A URL that is to be connected to now, if it may be.
    ///
    /// # Errors
    /// [`Unreached`] names the rule.
    pub(crate) async fn judged(&self, text: &str) -> Result<Url, Unreached> {
        let url = self.judge(text)?;
        if self.egress.proxy.is_some()
            && let Some(Host::Domain(name)) = url.host()
        {
            // The proxy resolves by itself; a name that leads inside is at least not handed to it knowingly.
            self.addresses(name).await?;
        }
        Ok(url)
    }

    /// An HTTP client that can only connect to what the guard has judged, follows no redirect, and has little patience.
    ///
    /// # Errors
    /// When the proxy's URL is not one, or TLS cannot be set up.
    pub(crate) fn client(&self) -> Result<Client, reqwest::Error> {
        let builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(EXCHANGE)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(PER_HOST)
            .user_agent(concat!("Callwright/", env!("CARGO_PKG_VERSION")));
        match &self.egress.proxy {
            // The proxy's own name must not be judged by the guard: it is the operator's, and most often private.
            Some(proxy) => builder.proxy(Proxy::all(proxy)?),
            None => builder.no_proxy().dns_resolver(self.clone()),
        }
        .build()
    }

    fn judge_host(&self, host: &Host<&str>) -> Result<(), Blocked> {
        match host {
            Host::Ipv4(address) => self.judge_address(IpAddr::V4(*address)),
            Host::Ipv6(address) => self.judge_address(IpAddr::V6(*address)),
            Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let local = name == "localhost" || name.ends_with(".localhost");
                if name.is_empty() {
                    return Err(Blocked::Shape);
                }
                if local && !self.egress.private.is_on() { Err(Blocked::Private) } else { Ok(()) }
            }
        }
    }

    fn judge_address(&self, address: IpAddr) -> Result<(), Blocked> {
        match reach(address) {
            Reach::Public => Ok(()),
            Reach::Private if self.egress.private.is_on() => Ok(()),
            Reach::Private | Reach::Never => Err(Blocked::Private),
        }
    }
}

impl Unreached {
    /// The rule that a URL breaks, as what it must be or do.
    pub(crate) fn of_a_url(self) -> String {
        match self {
            Self::Unknown => String::from("must have a host name that can be resolved"),
            Self::Blocked(why) => why.to_string(),
        }
    }
}

/// Why a host has no address that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// The name has no address now.
    #[error("the host name could not be resolved")]
    Unknown,
    /// One of its addresses is not allowed.
    #[error("the URL {0}")]
    Blocked(#[from] Blocked),
}

/// The HTTP client asks the guard, and so can only connect to what the guard has judged.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await?;
            // The client puts the URL's port in the place of 0.
            let sockets: Vec<SocketAddr> = addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(Box::new(sockets.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Anybody's.
    Public,
    /// Of this machine or its networks: for the operator to allow.
    Private,
    /// Nobody's receiver: metadata services, groups, nothing at all.
    Never,
}

/// Metadata services whose addresses lie among private ones.
const METADATA: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254))];

fn reach(address: IpAddr) -> Reach {
    if METADATA.contains(&address) {
        return Reach::Never;
    }
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

/// The registry of special IPv4 addresses (RFC 6890 and its updates).
fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127 | 10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Reach::Private,
        [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => Reach::Never,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Never,
        _ => Reach::Public,
    }
}

/// Only 2000::/3 is given to anybody, and not all of it; forms that carry an IPv4 address are judged by that.
fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(v4) = address.to_ipv4_mapped() {
        return reach_v4(v4);
    }
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        // Unique local addresses (RFC 4193).
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments, Teredo among them (RFC 2928), and documentation (RFC 3849, RFC 9637).
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests;
