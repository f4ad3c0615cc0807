//! The listener: connections, limits, time-outs, request ids, and the choice of a dialect. Knows no operation.
//!
//! The HTTP library parses and frames; what it would let pass is caught here. Its bytes come through a gate that finds
//! heads which are too large or could be read in two ways, and the conduct of each connection says when its peer has had
//! enough time.

mod conduct;
mod crowd;
mod gate;
mod room;
mod scan;

use crate::callbacks::{Egress, Guard, SystemLookup};
use crate::dialects;
use crate::doors::{Doors, Entrance, Guest};
use crate::fault::Fault;
use crate::fetch::Fetcher;
use crate::join;
use crate::known::KnownKeys;
use crate::peers::{self, Cluster};
use crate::rates::{Counters, Rates};
use crate::socket::{self, Wanted};
use axum::body::Body;
use bytes::Bytes;
use callwright_domain::Moment;
use callwright_engine::Calls;
use conduct::Conduct;
use crowd::Crowd;
use gate::Gate;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rand::RngCore;
use room::Place;
pub(crate) use room::{Room, Whose};
use scan::Flaw;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info_span};

/// An answer.
pub type Response = http::Response<Body>;

/// What the listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body in bytes; larger ones are answered with 413.
    pub body: usize,
    /// Largest file of callees in bytes, and time for it to arrive.
    pub upload: (usize, Duration),
    /// Files of callees that arrive at once; further ones are answered as too many. One key and one source have half of these
    /// places, and of the next.
    pub uploads: usize,
    /// Bodies larger than `body` that a dialect allows and that arrive at once; further ones are answered as too many.
    pub large: usize,
    /// Longest request target in bytes; longer ones are answered with 414. Alibaba's SDKs put whole configurations into
    /// the query. The URI type takes 64 KiB less two bytes.
    pub target: usize,
    /// Largest headers of a request, all together, in bytes; larger ones are answered with 431.
    pub header_bytes: usize,
    /// Most headers of a request; with more it is answered with 431.
    pub headers: usize,
    /// Time for a request's head to arrive, from its first byte; on a new connection from the start.
    pub head_time: Duration,
    /// Time for a request's body to arrive.
    pub body_time: Duration,
    /// Time without a request after which a connection is closed.
    pub keep_alive: Duration,
    /// Time in which the peer of an answer must make room for more of it.
    pub stall: Duration,
    /// Connections at once; further ones are answered 503 and closed.
    pub connections: usize,
    /// HTTP/2 streams at once on one connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            // A quarter of a million callees.
            upload: (32 * 1024 * 1024, Duration::from_secs(120)),
            uploads: 4,
            // Of 10 MiB at most.
            large: 16,
            target: 65_534,
            header_bytes: 32 * 1024,
            headers: 100,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            connections: 8192,
            streams: 128,
        }
    }
}

/// HTTP/2 streams that the peer opened and reset before they were looked at; one more and the connection is closed
/// (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// HTTP/2 streams that had to be reset because of the peer's errors; one more and the connection is closed.
const ERROR_RESETS: usize = 256;
/// Bytes of answers that one HTTP/2 stream may hold ready for a peer that reads slowly.
const SEND_BUFFER: usize = 128 * 1024;
/// What the HTTP library's buffer needs beyond a target and headers of the largest size.
const AROUND_HEAD: usize = 4096;

/// What there is room for, in the words of a refusal.
const FILES: &str = "files";
const LARGE: &str = "requests with large bodies";

/// A whole request, body read.
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its path as sent, percent-encoding untouched.
    pub path: String,
    /// Its query as sent; empty when there is none.
    pub query: String,
    /// Its headers, names in lower case.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// From where.
    pub peer: SocketAddr,
    /// When it was read.
    pub received: Moment,
    /// 128 random bits; printed by each dialect in its own shape.
    pub id: u128,
}

impl Request {
    /// The value of a header, when it is there once or more (the first) and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The request's id as a UUID (RFC 9562 version 4), lower case.
    pub fn uuid(&self) -> String {
        let bits = (self.id & !(0xf << 76 | 0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Queries and bodies hold numbers and prompts: they are never printed.
        write!(f, "Request({} {}, {} bytes)", self.method, self.path, self.body.len())
    }
}

/// What a dialect needs to answer.
#[derive(Clone)]
pub(crate) struct Context {
    /// The door into the engine.
    pub(crate) calls: Calls,
    /// The wall clock.
    pub(crate) now: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// Renders the metrics page.
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// How many requests came in this second.
    pub(crate) rates: Arc<Counters>,
    /// Who was honoured a moment ago.
    pub(crate) known: Arc<KnownKeys>,
    /// Places for bodies that are whole files.
    uploads: Room,
    /// Places for bodies that only some dialects allow.
    large: Room,
    /// The other nodes that may send orders here.
    pub(crate) cluster: Option<Cluster>,
    /// Judges URLs that are to be kept.
    pub(crate) guard: Guard,
    /// Fetches files that requests name, behind the same guard.
    pub(crate) fetcher: Fetcher,
    /// Origins of pages, other than the server's own, that browsers may join from; `*`: any.
    pub(crate) origins: Arc<[String]>,
    /// Which dialect is behind which door.
    doors: Doors,
}

/// The HTTP API of a server.
#[derive(Clone)]
pub struct Api {
    context: Context,
    limits: Limits,
    /// Places for connections, of all listeners together.
    places: Arc<Semaphore>,
}

impl Api {
    /// An API over `calls`. `now` is the wall clock, `metrics` renders the metrics page.
    pub fn new(
        calls: Calls,
        now: impl Fn() -> Moment + Send + Sync + 'static,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let rates = Arc::new(Counters::new(Rates::default()));
        let limits = Limits::default();
        let (uploads, large) = (Room::new(limits.uploads, FILES), Room::new(limits.large, LARGE));
        let guard = Guard::new(Egress::default(), SystemLookup);
        let fetcher = Fetcher::new(guard.clone());
        let (now, metrics) = (Arc::new(now), Arc::new(metrics));
        let origins = Arc::default();
        let doors = Doors::default();
        let known = Arc::default();
        let cluster = None;
        let context =
            Context { calls, now, metrics, rates, known, uploads, large, cluster, guard, fetcher, origins, doors };
        Self { context, limits, places: Arc::new(Semaphore::new(limits.connections)) }
    }

    /// The same with another judge of URLs: the one that callbacks are sent behind.
    #[must_use]
    pub fn guarded_by(mut self, guard: Guard) -> Self {
        self.context.fetcher = Fetcher::new(guard.clone());
        self.context.guard = guard;
        self
    }

    /// The same for pages of these origins, too (`https://example.com`; `*`: any): browsers may join calls from there.
    #[must_use]
    pub fn origins(mut self, origins: Vec<String>) -> Self {
        self.context.origins = origins.into();
        self
    }

    /// The same with other limits of its connections.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.places = Arc::new(Semaphore::new(limits.connections));
        self.context.large = Room::new(limits.large, LARGE);
        self.limits = limits;
        self
    }

    /// The same for a listener behind which this dialect alone is served; `None` when there is no such dialect. Connections
    /// are counted together.
    #[must_use]
    pub fn only(&self, dialect: &str) -> Option<Self> {
        let mut own = self.clone();
        own.context.doors = self.context.doors.of_dialect(dialect)?;
        Some(own)
    }

    /// The same with host names, in lower case and without ports, under each of which one dialect alone is served.
    #[must_use]
    pub fn hosts(mut self, hosts: &BTreeMap<String, String>) -> Self {
        self.context.doors = self.context.doors.with_hosts(hosts);
        self
    }

    /// The same with other rates of requests.
    #[must_use]
    pub fn rates(mut self, rates: Rates) -> Self {
        self.context.rates = Arc::new(Counters::new(rates));
        self
    }

    /// Takes orders of other nodes, too.
    #[must_use]
    pub fn cluster(mut self, cluster: Option<Cluster>) -> Self {
        self.context.cluster = cluster;
        self
    }

    /// Serves until `stop`; then answers what has begun and returns.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let mut crowd = Crowd::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    crowd.without_descriptors(&listener, &error).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                crowd.turn_away(stream, &connections);
                continue;
            };
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "TCP_NODELAY was refused");
            }
            let (api, stop) = (self.clone(), stop.clone());
            connections.spawn(async move {
                api.serve_stream(stream, peer, stop).await;
                drop(place);
            });
        }
        connections.close();
        connections.wait().await;
    }

    /// Serves one connection that was accepted elsewhere, until it ends, its peer takes too long, or `stop`.
    pub async fn serve_stream<S>(self, stream: S, peer: SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        connection(stream, peer, self.context, self.limits, stop).await;
    }
}

async fn connection<S>(stream: S, peer: SocketAddr, context: Context, limits: Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let head = limits.target + limits.header_bytes + AROUND_HEAD;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The time for a head is the gate's: the library would count the time between requests as part of it.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(head).max_headers(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .max_send_buf_size(SEND_BUFFER);
    let conduct = Conduct::new(Instant::now());
    let noted = Arc::clone(&conduct);
    let service = service_fn(move |request| answer(request, peer, context.clone(), limits, Arc::clone(&noted)));
    let gate = Gate::new(stream, Arc::clone(&conduct), &limits);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(gate), service);
    tokio::pin!(serving);
    // Looked at again before a new head could have had its time twice.
    let longest = limits.head_time / 4;
    let mut stopping = false;
    let outcome = loop {
        let look = conduct.due(&limits).min(Instant::now() + longest);
        tokio::select! {
            outcome = serving.as_mut() => break outcome,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                serving.as_mut().graceful_shutdown();
            }
            () = sleep_until(look) => {
                if conduct.due(&limits) <= Instant::now() {
                    debug!("a connection took too long");
                    metrics::counter!("callwright_http_slow_connections_total").increment(1);
                    return;
                }
            }
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "a connection broke");
    } else if let Some((connection, feed)) = conduct.feed() {
        match connection.await {
            Ok(stream) => socket::serve(TokioIo::new(stream), feed, limits.stall, stop).await,
            Err(error) => debug!(%error, "a watcher went before its feed began"),
        }
    }
}

async fn answer(
    mut request: hyper::Request<Incoming>,
    peer: SocketAddr,
    context: Context,
    limits: Limits,
    conduct: Arc<Conduct>,
) -> Result<Response, Infallible> {
    let began = Instant::now();
    let (open, flaw) = conduct.begin();
    let connection = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    let id = u128::from(rand::rng().next_u64()) << 64 | u128::from(rand::rng().next_u64());
    let named = name_host(&mut parts);
    let mut whole = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: Bytes::new(),
        peer,
        received: (context.now)(),
        id,
    };
    let span = info_span!("http", method = %whole.method, path = loggable(&whole.path), request = whole.uuid());
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    // Its place is held until the answer is made: so long the body is in memory.
    let _place;
    let fault = match refused_head(flaw, target, &whole, &limits)
        .or_else(|| named.err())
        .or_else(|| context.rates.take_source(peer.ip(), whole.received).err())
    {
        None => match room_of(&whole, &context, &limits).await {
            Ok((most, place)) => {
                _place = place;
                read_body(&mut whole, body, most).await.err()
            }
            Err(fault) => Some(fault),
        },
        fault => fault,
    };
    let Entrance { dialect, guest } = context.doors.entrance(&whole);
    let request_id = HeaderValue::from_str(&whole.uuid()).ok();
    let mut response = match fault {
        Some(fault) => {
            let ends = ends_connection(&fault) && parts.version <= Version::HTTP_11;
            let mut response = dialect.refuse(&whole, fault);
            if ends {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
        None if guest == Guest::Stranger => dialect.refuse(&whole, Fault::UnknownOperation),
        None if whole.path == peers::PATH => peers::answer(context.cluster.as_ref(), &context.calls, &whole).await,
        None if join::claims(&whole) => join::answer(&whole, &context).await,
        None => tracing::Instrument::instrument(dialect.serve(whole, &context), span.clone()).await,
    };
    if let Some(value) = request_id {
        response.headers_mut().entry(HeaderName::from_static("x-request-id")).or_insert(value);
    }
    if let Some(feed) = response.extensions_mut().remove::<Wanted>().and_then(|wanted| wanted.take()) {
        conduct.upgrade(connection, feed);
    }
    let status = response.status().as_u16();
    span.in_scope(|| debug!(status, dialect = dialect.name(), "answered"));
    metrics::histogram!("callwright_http_seconds", "dialect" => dialect.name(), "status" => status.to_string())
        .record(began.elapsed().as_secs_f64());
    Ok(response.map(|body| open.body(body)))
}

/// What follows the scheme `Bearer`, whose case does not count (RFC 9110 section 11.1).
pub(crate) fn bearer_of(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// HTTP/2 names the host in the request's target; signatures and doors look for it among the headers. Two that differ are
/// malformed there (RFC 9113 section 8.3.1).
fn name_host(parts: &mut http::request::Parts) -> Result<(), Fault> {
    let Some(authority) = parts.uri.authority() else { return Ok(()) };
    let wrong = |rule: &str| Fault::Invalid { field: String::from("host"), rule: rule.to_owned() };
    match parts.headers.get(header::HOST) {
        None => {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("must be a host"))?;
            parts.headers.insert(header::HOST, host);
            Ok(())
        }
        Some(_) if parts.version != Version::HTTP_2 => Ok(()),
        Some(host) if host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) => Ok(()),
        Some(_) => Err(wrong("must be the request's authority")),
    }
}

/// What is wrong with a head that the HTTP library took.
fn refused_head(flaw: Option<Flaw>, target: usize, request: &Request, limits: &Limits) -> Option<Fault> {
    let long = Fault::LongTarget { limit: limits.target };
    let large = Fault::LargeHead { headers: limits.headers, bytes: limits.header_bytes };
    match flaw {
        Some(Flaw::TwoLengths) => return Some(Fault::TwoLengths),
        Some(Flaw::LongTarget) => return Some(long),
        Some(Flaw::LargeHead) => return Some(large),
        None => {}
    }
    // HTTP/2 does not pass the scanner.
    let bytes: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if target > limits.target {
        Some(long)
    } else if request.headers.len() > limits.headers || bytes > limits.header_bytes + AROUND_HEAD {
        Some(large)
    } else {
        refused_packing(&request.headers)
    }
}

/// How large a body may be and how long it may take, and the place that one of more than the usual size needs. Whoever has no
/// key that is honoured gets none: it would be held for as long as the body takes.
async fn room_of(request: &Request, context: &Context, limits: &Limits) -> Result<Measure, Fault> {
    let (usual, source) = ((limits.body, limits.body_time), request.peer.ip());
    let stated = request.header("content-length").and_then(|length| length.parse::<usize>().ok());
    if is_upload(request) {
        let key = dialects::uploader(request, context).await?;
        return Ok((limits.upload, Some(context.uploads.take((key, source))?)));
    }
    if request.path == peers::PATH {
        let admitted = context.cluster.as_ref().is_some_and(|cluster| cluster.admits(request));
        return Ok((if admitted { (peers::LONGEST, limits.body_time) } else { usual }, None));
    }
    let dialect = context.doors.entrance(request).dialect;
    let Some(most) = dialect.longest_body(request).filter(|_| stated.is_none_or(|length| length > limits.body)) else {
        return Ok((usual, None));
    };
    if stated.is_some_and(|length| length > most) {
        return Err(Fault::TooLarge { limit: most });
    }
    let vouched = dialect.vouched_by(request, context).await;
    match vouched.and_then(|key| context.large.take((key, source))) {
        Ok(place) => Ok(((most, limits.body_time), Some(place))),
        // It does not say how long it is: it may be as long as everybody's.
        Err(_) if stated.is_none() => Ok((usual, None)),
        Err(fault) => Err(fault),
    }
}

type Measure = ((usize, Duration), Option<Place>);

/// Reads the body. Of one that is too large the beginning is kept: it may say whose words the refusal is to have.
async fn read_body(request: &mut Request, body: Incoming, (most, time): (usize, Duration)) -> Result<(), Fault> {
    let mut kept = Vec::new();
    let read = timeout(time, read_into(&mut kept, body, most)).await.unwrap_or(Err(Fault::Slow));
    request.body = kept.into();
    read
}

async fn read_into(kept: &mut Vec<u8>, mut body: Incoming, most: usize) -> Result<(), Fault> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::Malformed { rule: String::from("the body broke off") })?;
        // Trailers say nothing.
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > most - kept.len() {
            return Err(Fault::TooLarge { limit: most });
        }
        kept.extend_from_slice(&piece);
    }
    Ok(())
}

/// Whether the body may be a whole file: callees on their way into a campaign, numbers on theirs onto the deny list.
fn is_upload(request: &Request) -> bool {
    if request.method == Method::POST && request.path == "/v1/denied" {
        return true;
    }
    let inside = request.path.strip_prefix("/v1/campaigns/").and_then(|rest| rest.strip_suffix("/callees"));
    request.method == Method::POST && inside.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// Whether what is left of the request on the connection is better not read.
fn ends_connection(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::TwoLengths
            | Fault::LongTarget { .. }
            | Fault::LargeHead { .. }
            | Fault::TooLarge { .. }
            | Fault::Slow
            | Fault::NoPlace { .. }
            | Fault::MediaType { .. }
    )
}

/// Bodies that would grow when unpacked.
fn refused_packing(headers: &HeaderMap) -> Option<Fault> {
    let packed = headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
    packed.then_some(Fault::MediaType { wanted: "sent without a Content-Encoding" })
}

/// A path as it may stand in a log line: numbers are part of some, so only the first two segments are kept.
fn loggable(path: &str) -> String {
    let kept: Vec<&str> = path.splitn(4, '/').take(3).collect();
    kept.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_may_be_personal() {
        assert_eq!(loggable("/v1/numbers/+15550100"), "/v1/numbers");
        assert_eq!(loggable("/"), "/");
    }
}
