//! Sends the callbacks of one event, one after the other: within time and size limits, to an address that the guard has
//! judged, following no redirect. Never tries twice, and never lets what a receiver says into a log whole.

use super::guard::{EXCHANGE, Guard, PER_HOST, Unreached};
use super::{Callback, MOST_PER_EVENT, dialect_of};
use callwright_domain::Pii;
use callwright_engine::{Failure, Notifier, Telling, Told};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Client, Response};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use url::Url;

/// How long a callback may wait for its turn at a busy host before it counts as not delivered.
const TURN: Duration = Duration::from_secs(15);
/// Most of an answer that is read; the rest is left (BARS S38).
const MAX_ANSWER: usize = 64 * 1024;
/// Hosts that are remembered before those without a request are forgotten.
const HOSTS: usize = 1024;
/// The longest that a receiver may ask to be left alone.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Headers that are the sender's own.
const RESERVED: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-authorization",
];

/// Whether the owner of an endpoint may set a header of this name.
pub(crate) fn may_set(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    HeaderName::from_bytes(name.as_bytes()).is_ok()
        && !RESERVED.contains(&name.as_str())
        && !name.starts_with("webhook-")
}

/// Sends callbacks. One for the whole server.
pub struct Callbacks {
    guard: Guard,
    client: Client,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Why callbacks cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("callbacks cannot be sent: {0}")]
pub struct NoCallbacks(String);

impl Callbacks {
    /// A sender behind this guard.
    ///
    /// # Errors
    /// [`NoCallbacks`] when the proxy's URL is not one, or TLS cannot be set up.
    pub fn new(guard: Guard) -> Result<Self, NoCallbacks> {
        let no = |error: reqwest::Error| NoCallbacks(error.without_url().to_string());
        Ok(Self { client: guard.client().map_err(no)?, guard, hosts: Mutex::default() })
    }

    /// The guard, for URLs that are to be kept.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Sends the callbacks of one event in their order; the first that is not heard ends it.
    async fn send(&self, callbacks: &[Callback], fixed: &[(String, Pii<String>)]) -> Result<Told, Failure> {
        let (mut told, mut turn) = (Told::Nothing, None);
        for callback in callbacks.iter().take(MOST_PER_EVENT) {
            let url = self.guard.judged(callback.url.expose()).await.map_err(|why| failed(None, why.to_string()))?;
            if turn.is_none() {
                turn = Some(self.turn(&url).await?);
            }
            told = self.exchange(url, callback, fixed).await?;
            if !matches!(told, Told::Heard { .. }) {
                break;
            }
        }
        Ok(told)
    }

    async fn exchange(&self, url: Url, callback: &Callback, fixed: &[(String, Pii<String>)]) -> Result<Told, Failure> {
        let request = self.client.post(url).headers(headers(callback, fixed)).body(callback.body.clone());
        let exchange = async {
            let response = request.send().await.map_err(|error| failed(None, reason(&error)))?;
            Ok(verdict(callback, response).await)
        };
        timeout(EXCHANGE, exchange).await.unwrap_or_else(|_| Err(failed(None, "no answer in 15 s")))
    }

    /// A place among the requests to one host.
    async fn turn(&self, url: &Url) -> Result<OwnedSemaphorePermit, Failure> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let places = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            if hosts.len() > HOSTS {
                hosts.retain(|_, places| Arc::strong_count(places) > 1);
            }
            Arc::clone(hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(PER_HOST))))
        };
        let busy = || failed(None, "too many requests to this host at once");
        timeout(TURN, places.acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())
    }
}

impl Notifier for Callbacks {
    fn notify<'a>(&'a self, telling: &'a Telling) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            let endpoint = &telling.webhook.endpoint;
            let callbacks = dialect_of(endpoint).map(|dialect| dialect.callbacks(telling)).unwrap_or_default();
            self.send(&callbacks, &endpoint.headers).await.unwrap_or_else(Told::Failed)
        })
    }
}

fn headers(callback: &Callback, fixed: &[(String, Pii<String>)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let own = callback.headers.iter().map(|(name, value)| (*name, value));
    let fixed = fixed.iter().map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| may_set(name));
    // The dialect's own come last: an endpoint's header cannot take the place of a signature.
    for (name, value) in fixed.chain(own) {
        // Checked when the endpoint was made; one that cannot be sent is left out.
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value.expose()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

async fn verdict(callback: &Callback, mut response: Response) -> Told {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| pause(text, jiff::Timestamp::now()));
    if status == StatusCode::GONE {
        return Told::Gone;
    }
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    if (callback.heard)(status, &body) {
        return Told::Heard { status: status.as_u16() };
    }
    let detail = if status.is_redirection() {
        String::from("the receiver redirects; redirects are not followed")
    } else {
        String::from("the receiver's answer does not say that it has the event")
    };
    Told::Failed(Failure { status: Some(status.as_u16()), retry_after, detail })
}

/// Retry-After: seconds or a date (RFC 9110, section 10.2.3).
fn pause(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let pause = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
            Duration::from_secs(u64::try_from(until.as_second().saturating_sub(now.as_second())).unwrap_or(0))
        }
    };
    Some(pause.min(MAX_RETRY_AFTER))
}

fn failed(status: Option<u16>, detail: impl Into<String>) -> Failure {
    Failure { status, retry_after: None, detail: detail.into() }
}

/// What went wrong, in words that name no address.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return String::from(if error.is_connect() { "no connection in 5 s" } else { "no answer in 15 s" });
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(why) = inner.downcast_ref::<Unreached>() {
            return why.to_string();
        }
        cause = inner.source();
    }
    String::from(if error.is_connect() { "no connection" } else { "the connection broke" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-11-21T10:00:00Z".parse().expect("a time");
        assert_eq!(pause("120", now), Some(Duration::from_secs(120)));
        assert_eq!(pause("Sat, 21 Nov 2026 10:01:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(pause("Sat, 21 Nov 2026 09:01:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(pause("999999999", now), Some(MAX_RETRY_AFTER));
        assert_eq!(pause("soon", now), None);
    }

    #[test]
    fn the_senders_own_headers_cannot_be_set() {
        for name in ["Host", "content-length", "Webhook-Signature", "bad name", ""] {
            assert!(!may_set(name), "{name}");
        }
        assert!(may_set("Authorization") && may_set("X-Key"));
    }
}
