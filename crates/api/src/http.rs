//! The listener: connections, limits, time-outs, request ids, and the choice of a dialect. Knows no operation.

use crate::dialects;
use crate::fault::Fault;
use axum::body::Body;
use bytes::Bytes;
use callwright_domain::Moment;
use callwright_engine::Calls;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rand::RngCore;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info_span, warn};

/// An answer.
pub type Response = http::Response<Body>;

/// What the listener allows.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body in bytes; larger ones are answered with 413.
    pub body: usize,
    /// Largest request line and headers in bytes. Alibaba's SDKs put whole configurations into the query.
    pub head: usize,
    /// Time for a request's head to arrive.
    pub head_time: Duration,
    /// Time for a request's body to arrive.
    pub body_time: Duration,
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// HTTP/2 streams at once on one connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            head: 256 * 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            connections: 8192,
            streams: 128,
        }
    }
}

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
}

/// The HTTP API of a server.
pub struct Api {
    context: Context,
    limits: Limits,
}

impl Api {
    /// An API over `calls`. `now` is the wall clock, `metrics` renders the metrics page.
    pub fn new(
        calls: Calls,
        now: impl Fn() -> Moment + Send + Sync + 'static,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        let context = Context { calls, now: Arc::new(now), metrics: Arc::new(metrics) };
        Self { context, limits: Limits::default() }
    }

    /// Serves until `stop`; then answers what has begun and returns.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let connections = TaskTracker::new();
        loop {
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (context, limits, stop) = (self.context.clone(), self.limits, stop.clone());
                    connections.spawn(async move {
                        connection(stream, peer, context, limits, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give the others time to end.
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, context: Context, limits: Limits, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY was refused");
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.head_time).max_buf_size(limits.head);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(75));
    let service = service_fn(move |request| answer(request, peer, context.clone(), limits));
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        debug!(%error, "a connection broke");
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    context: Context,
    limits: Limits,
) -> Result<Response, Infallible> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let id = u128::from(rand::rng().next_u64()) << 64 | u128::from(rand::rng().next_u64());
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
    let read = timeout(limits.body_time, Limited::new(body, limits.body).collect()).await;
    let fault = match read {
        Ok(Ok(collected)) => {
            whole.body = collected.to_bytes();
            None
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Some(Fault::TooLarge { limit: limits.body })
        }
        Ok(Err(_)) => Some(Fault::Malformed { rule: String::from("the body broke off") }),
        Err(_) => Some(Fault::Slow),
    };
    let fault = fault.or_else(|| refused_packing(&whole.headers));
    let dialect = dialects::of(&whole);
    let request_id = HeaderValue::from_str(&whole.uuid()).ok();
    let mut response = match fault {
        Some(fault) => dialect.refuse(&whole, fault),
        None => tracing::Instrument::instrument(dialect.serve(whole, &context), span.clone()).await,
    };
    if let Some(value) = request_id {
        response.headers_mut().entry(HeaderName::from_static("x-request-id")).or_insert(value);
    }
    let status = response.status().as_u16();
    span.in_scope(|| debug!(status, dialect = dialect.name(), "answered"));
    metrics::histogram!("callwright_http_seconds", "dialect" => dialect.name(), "status" => status.to_string())
        .record(began.elapsed().as_secs_f64());
    Ok(response)
}

/// Bodies that would grow when unpacked. One with both Content-Length and Transfer-Encoding never shows both here: the
/// HTTP library drops the length, as RFC 9112, section 6.1, allows.
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
