//! Live events over a WebSocket (RFC 6455): what [`crate::feed`] gives, one JSON text each. Hides the handshake, the pings
//! and the closing words. A watcher that does not take what it is sent, or answers no ping, is let go with a reason; it
//! never slows a call down. Takes no orders: a message from a watcher ends its feed.

use crate::fault::Fault;
use crate::feed::{Feed, News, Over, event_of};
use crate::http::{Request, Response};
use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Method, StatusCode, header};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How often a watcher is asked whether it is there; proxies keep the connection for it, too.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A watcher of which nothing was heard for this long is gone: two pings and some.
const DEAD: Duration = Duration::from_secs(40);
/// Largest message that is read of a watcher: pongs and closing words.
const HEARD_MAX: usize = 4096;
/// Bytes that wait for a slow network before the watcher's patience counts.
const UNSENT_MAX: usize = 256 * 1024;
/// How long the closing words may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes of a handshake's key in Base64 (RFC 6455, section 4.1).
const KEY_LENGTH: usize = 24;

/// The feed that a request asked for, on its way from the answer to the connection.
#[derive(Clone)]
pub(crate) struct Wanted(Arc<Mutex<Option<Feed>>>);

impl Wanted {
    /// The feed; once.
    pub(crate) fn take(&self) -> Option<Feed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted")
    }
}

/// What the handshake of a request needs.
#[derive(Debug)]
pub(crate) struct Handshake(HeaderValue);

/// Judges the handshake (RFC 6455, section 4.2.1).
///
/// # Errors
/// [`Fault`] that names the header.
pub(crate) fn handshake(request: &Request) -> Result<Handshake, Fault> {
    let lists = |name: &str, word: &str| {
        let listed = request.header(name).unwrap_or_default();
        listed.split(',').any(|given| given.trim().eq_ignore_ascii_case(word))
    };
    let wrong = |field: &str, rule: &str| Fault::Invalid { field: String::from(field), rule: String::from(rule) };
    if request.method != Method::GET || !lists("connection", "upgrade") || !lists("upgrade", "websocket") {
        return Err(wrong(
            "Upgrade",
            "must be websocket, over HTTP/1.1; /v1/events gives the events as a plain stream",
        ));
    }
    if request.header("sec-websocket-version") != Some("13") {
        return Err(wrong("Sec-WebSocket-Version", "must be 13"));
    }
    let key = request.header("sec-websocket-key").unwrap_or_default();
    if key.len() != KEY_LENGTH {
        return Err(wrong("Sec-WebSocket-Key", "must be 16 bytes in Base64"));
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    Ok(Handshake(accept.map_err(|_| wrong("Sec-WebSocket-Key", "must be 16 bytes in Base64"))?))
}

/// The answer after which the connection is a WebSocket with this feed.
pub(crate) fn accept(handshake: Handshake, feed: Feed) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, handshake.0);
    response.extensions_mut().insert(Wanted(Arc::new(Mutex::new(Some(feed)))));
    response
}

/// Why a feed is closed, as the watcher is told: a code, and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    /// Everything was told.
    Told,
    /// The server stops.
    Stopping,
    /// The journal cannot be read.
    Unreadable,
    /// It takes too long to take what it is sent.
    Slow,
    /// It answers no ping.
    Silent,
    /// It says something.
    Talks,
}

impl Goodbye {
    const fn words(self) -> (CloseCode, &'static str) {
        match self {
            Self::Told => (CloseCode::Normal, "the call is over and everything was told"),
            Self::Stopping => (CloseCode::Restart, "the server stops; resume on another or later"),
            Self::Unreadable => (CloseCode::Again, "the journal cannot be read now; resume later"),
            Self::Slow => (CloseCode::Policy, "too slow to take the events; resume where you are"),
            Self::Silent => (CloseCode::Policy, "no ping was answered; resume where you are"),
            Self::Talks => (CloseCode::Unsupported, "this feed takes no messages"),
        }
    }
}

impl From<Over> for Goodbye {
    fn from(over: Over) -> Self {
        match over {
            Over::Told => Self::Told,
            Over::Unreadable => Self::Unreadable,
            Over::Stopping => Self::Stopping,
        }
    }
}

/// Tells a watcher until its feed is over, it goes, or `stop`. `patience`: how long it may take to take an event.
pub(crate) async fn serve<S>(stream: S, mut feed: Feed, patience: Duration, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .max_message_size(Some(HEARD_MAX))
        .max_frame_size(Some(HEARD_MAX))
        .write_buffer_size(0)
        .max_write_buffer_size(UNSENT_MAX);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut watcher = Watcher { socket, patience, heard: Instant::now() };
    let Err(why) = watcher.tell(&mut feed, &stop).await;
    debug!(?why, "a watcher's feed is over");
    if let Some(why) = why {
        let (code, reason) = why.words();
        metrics::counter!("callwright_watchers_closed_total", "why" => format!("{why:?}")).increment(1);
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        // A slow one may not take this either, and one that is gone need not.
        timeout(GOODBYE, watcher.part(close)).await.ok();
    }
}

struct Watcher<S> {
    socket: WebSocketStream<S>,
    patience: Duration,
    /// When something was last heard of it.
    heard: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watcher<S> {
    /// Until it is over: why, or none when the watcher went by itself.
    async fn tell(
        &mut self,
        feed: &mut Feed,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, Option<Goodbye>> {
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Some(Goodbye::Stopping)),
                heard = self.socket.next() => self.hear(heard)?,
                _ = ping.tick() => {
                    if self.heard.elapsed() > DEAD {
                        return Err(Some(Goodbye::Silent));
                    }
                    self.send(Message::Ping(Bytes::new())).await?;
                }
                news = feed.next() => match news {
                    Ok(News::Event { call, recorded }) => {
                        self.send(Message::text(event_of(call, &recorded).to_string())).await?;
                    }
                    Ok(News::Quiet) => {}
                    Err(over) => return Err(Some(over.into())),
                },
            }
        }
    }

    fn hear<E>(&mut self, heard: Option<Result<Message, E>>) -> Result<(), Option<Goodbye>> {
        match heard {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                self.heard = Instant::now();
                Ok(())
            }
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Frame(_))) => Err(Some(Goodbye::Talks)),
            // Its closing words are answered by the library.
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(None),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Option<Goodbye>> {
        match timeout(self.patience, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => Err(Some(Goodbye::Slow)),
        }
    }

    /// Sends the closing words and waits for the other side's.
    async fn part(&mut self, close: Message) {
        if self.socket.send(close).await.is_ok() {
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Start;
    use callwright_domain::Moment;
    use callwright_testkit::{Callee, NodeBuilder, PATIENCE, Plan, Then};
    use tokio::io::duplex;

    /// What is not taken in time ends the feed; the calls do not wait for it.
    #[tokio::test]
    async fn a_watcher_that_takes_nothing_is_let_go() {
        let callee = Callee::start(Plan::then(Then::Refuse(486))).await;
        let node = NodeBuilder::to(&callee).start().await;
        for _ in 0..3 {
            let call = node.call().await;
            node.ended(call).await;
        }
        // Everything that was written, into a pipe that takes less than that and is not read.
        let start = Start::Place { since: Moment(0), seen: Default::default() };
        let mut feed = Feed::of_account(node.calls(), node.account(), start, node.now());
        let (ours, theirs) = duplex(64);
        let config = WebSocketConfig::default().write_buffer_size(0);
        let socket = WebSocketStream::from_raw_socket(ours, Role::Server, Some(config)).await;
        let mut watcher = Watcher { socket, patience: Duration::from_millis(50), heard: Instant::now() };
        let stop = CancellationToken::new();
        let told = timeout(PATIENCE, watcher.tell(&mut feed, &stop)).await.expect("it does not wait for ever");
        assert_eq!(told.map(drop), Err(Some(Goodbye::Slow)));
        drop(theirs);
    }

    #[test]
    fn closing_words_fit_into_a_frame_and_have_their_codes() {
        let all =
            [Goodbye::Told, Goodbye::Stopping, Goodbye::Unreadable, Goodbye::Slow, Goodbye::Silent, Goodbye::Talks];
        let codes = all.map(|why| u16::from(why.words().0));
        assert_eq!(codes, [1000, 1012, 1013, 1008, 1008, 1003]);
        // RFC 6455, section 5.5: a control frame holds 125 bytes, two of them the code.
        assert!(all.iter().all(|why| why.words().1.len() <= 123));
    }
}
