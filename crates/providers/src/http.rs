//! What all HTTP vendors have in common: one client with kept connections, deadlines, one quick retry, and the
//! translation of statuses and transport errors to [`ProviderError`]. Follows no redirect, and never puts a key, an
//! address with a query, or a long run of digits into an error's text.

use crate::endpoints::Outside;
use crate::{ErrorKind, ProviderError};
use callwright_domain::pii::Pii;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a vendor may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    /// For the connection, TLS included.
    pub(crate) connect: Duration,
    /// From the question to the first useful piece of the answer.
    pub(crate) first: Duration,
    /// Between two pieces of the answer.
    pub(crate) stall: Duration,
}

impl Waits {
    /// From milliseconds as configured.
    pub(crate) const fn from_ms(connect: u64, first: u64, stall: u64) -> Self {
        Self {
            connect: Duration::from_millis(connect),
            first: Duration::from_millis(first),
            stall: Duration::from_millis(stall),
        }
    }
}

/// One vendor reached over HTTP.
#[derive(Debug)]
pub(crate) struct HttpVendor {
    name: String,
    client: Client,
    waits: Waits,
    /// What no error may show.
    hidden: Vec<Pii<String>>,
}

impl HttpVendor {
    /// A vendor called `name`; `key` goes into `Authorization: Bearer`, `headers` beside it. Fails with
    /// [`ErrorKind::Rejected`] when one of them cannot be sent in a header.
    pub(crate) fn new(
        name: &str,
        waits: Waits,
        key: &Pii<String>,
        headers: &BTreeMap<String, Pii<String>>,
    ) -> Result<Self, ProviderError> {
        Self::within(name, waits, key, headers, &Outside::default())
    }

    /// The same for a vendor whose address somebody else wrote: `outside` says what its name may resolve to.
    pub(crate) fn within(
        name: &str,
        waits: Waits,
        key: &Pii<String>,
        headers: &BTreeMap<String, Pii<String>>,
        outside: &Outside,
    ) -> Result<Self, ProviderError> {
        let bad = |detail: String| ProviderError::new(name, ErrorKind::Rejected, detail);
        let mut fixed = HeaderMap::new();
        if !key.expose().is_empty() {
            fixed.insert(
                AUTHORIZATION,
                secret_value(&format!("Bearer {}", key.expose()))
                    .ok_or_else(|| bad("the key holds characters that a header cannot carry".to_owned()))?,
            );
        }
        for (header, value) in headers {
            let named =
                HeaderName::from_bytes(header.as_bytes()).map_err(|_| bad(format!("bad header name {header:?}")))?;
            let value = secret_value(value.expose()).ok_or_else(|| bad(format!("bad value of header {header:?}")))?;
            fixed.insert(named, value);
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(waits.connect)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .pool_idle_timeout(Duration::from_secs(90))
            .default_headers(fixed);
        let client =
            outside.over(client).build().map_err(|error| bad(format!("no HTTP client: {}", error.without_url())))?;
        let vendor = Self { name: name.to_owned(), client, waits, hidden: Vec::new() };
        Ok(vendor.hiding([key].into_iter().chain(headers.values()).cloned()))
    }

    /// The same with more that no error may show.
    #[must_use]
    pub(crate) fn hiding(mut self, secrets: impl IntoIterator<Item = Pii<String>>) -> Self {
        self.hidden.extend(secrets.into_iter().filter(|secret| !secret.expose().is_empty()));
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn waits(&self) -> Waits {
        self.waits
    }

    /// A failure of this vendor.
    pub(crate) fn error(&self, kind: ErrorKind, detail: impl Into<String>) -> ProviderError {
        ProviderError::new(&self.name, kind, detail)
    }

    /// Posts JSON and returns the successful answer, its body unread. A failure that came quickly and may pass is
    /// tried once more; a slow one is left to the fallback, because the caller is waiting.
    pub(crate) async fn post(&self, url: &Url, body: &Value, deadline: Instant) -> Result<Response, ProviderError> {
        self.post_with(&HeaderMap::new(), url, body, deadline).await
    }

    /// The same with headers of this request.
    pub(crate) async fn post_with(
        &self,
        headers: &HeaderMap,
        url: &Url,
        body: &Value,
        deadline: Instant,
    ) -> Result<Response, ProviderError> {
        self.ask(|client| client.post(url.clone()).headers(headers.clone()).json(body), deadline).await
    }

    /// The same for a request of any shape.
    pub(crate) async fn ask(
        &self,
        request: impl Fn(&Client) -> RequestBuilder + Send + Sync,
        deadline: Instant,
    ) -> Result<Response, ProviderError> {
        let started = Instant::now();
        match self.ask_once(request(&self.client), deadline).await {
            Err(error) if may_pass(error.kind) && started.elapsed() < QUICK => {
                tracing::debug!(vendor = %self.name, %error, "trying once more");
                sleep(RETRY_PAUSE).await;
                self.ask_once(request(&self.client), deadline).await
            }
            other => other,
        }
    }

    /// What an answer says that should have been something else.
    pub(crate) async fn complaint(&self, response: Response) -> ProviderError {
        let said = self.excerpt_of(response).await;
        let said = if said.is_empty() { said } else { format!(": {said}") };
        self.error(ErrorKind::Protocol, format!("an answer of another kind{said}"))
    }

    /// Opens a connection and leaves it in the pool. The answer does not matter.
    pub(crate) async fn knock(&self, url: Url) {
        match timeout(self.waits.first, self.client.get(url).send()).await {
            // Reading the rest lets the connection be used again.
            Ok(Ok(response)) => drop(self.excerpt_of(response).await),
            Ok(Err(error)) => tracing::debug!(vendor = %self.name, error = %error.without_url(), "not warmed"),
            Err(_) => tracing::debug!(vendor = %self.name, "not warmed in time"),
        }
    }

    /// Translates what the transport says.
    pub(crate) fn transport(&self, error: reqwest::Error) -> ProviderError {
        let error = error.without_url();
        if error.is_timeout() {
            return self.error(ErrorKind::Timeout, "no connection in time");
        }
        if error.is_builder() {
            return self.error(ErrorKind::Rejected, "the request could not be built");
        }
        let what = if error.is_connect() { "cannot connect" } else { "connection lost" };
        self.error(ErrorKind::Unreachable, format!("{what}: {}", self.mask(&root_cause(&error))))
    }

    /// Text from outside, fit for an error: the key and long runs of digits masked, one line, at most 200 characters.
    pub(crate) fn mask(&self, text: &str) -> String {
        let hide = |text: String, secret: &Pii<String>| text.replace(secret.expose().as_str(), "***");
        masked(&self.hidden.iter().fold(text.to_owned(), hide), &Pii::default())
    }

    async fn ask_once(&self, request: RequestBuilder, deadline: Instant) -> Result<Response, ProviderError> {
        let sent = timeout_at(deadline, request.send()).await;
        let response = sent
            .map_err(|_| self.error(ErrorKind::Timeout, "no answer in time"))?
            .map_err(|error| self.transport(error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn refusal(&self, response: Response) -> ProviderError {
        let status = response.status();
        let mut error = self.error(status_kind(status.as_u16()), format!("HTTP {}", status.as_u16()));
        error.retry_after = retry_after(response.headers(), error.kind);
        // Answers to bad credentials like to quote them.
        if error.kind != ErrorKind::Unauthorised {
            let excerpt = self.excerpt_of(response).await;
            if !excerpt.is_empty() {
                error.detail = format!("HTTP {}: {excerpt}", status.as_u16());
            }
        }
        error
    }

    async fn excerpt_of(&self, mut response: Response) -> String {
        let mut body = Vec::new();
        let reading = async {
            while body.len() < MAX_ERROR_BODY {
                match response.chunk().await {
                    Ok(Some(bytes)) => body.extend_from_slice(&bytes),
                    // An error's text is a courtesy: what cannot be read is left out.
                    Ok(None) | Err(_) => return,
                }
            }
        };
        if timeout(ERROR_BODY_WAIT, reading).await.is_err() {
            tracing::debug!(vendor = %self.name, "the text of the error did not come in time");
        }
        let text = String::from_utf8_lossy(&body);
        let message = serde_json::from_str::<Value>(&text).ok().and_then(|value| error_message(&value));
        self.mask(&message.unwrap_or_default())
    }
}

/// Headers of one request; those that HTTP does not allow are left out.
pub(crate) fn headers_of(wanted: &BTreeMap<String, String>) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
    };
    wanted.iter().filter_map(header).collect()
}

/// The endpoint `path` under `base`, with `query` added; `Err` says what is wrong with `base`.
pub(crate) fn endpoint(base: &str, path: &[&str], query: &BTreeMap<String, String>) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|error| format!("bad url: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the url must begin with http:// or https://".to_owned());
    }
    url.path_segments_mut().map_err(|()| "the url cannot have a path".to_owned())?.pop_if_empty().extend(path);
    for (key, value) in query {
        url.query_pairs_mut().append_pair(key, value);
    }
    Ok(url)
}

/// The failure that an HTTP status stands for.
pub(crate) const fn status_kind(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::Unauthorised,
        408 => ErrorKind::Timeout,
        429 => ErrorKind::RateLimited,
        500..=599 => ErrorKind::Internal,
        300..=499 => ErrorKind::Rejected,
        _ => ErrorKind::Protocol,
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3), at most five minutes. The form with a date is not read: it
/// needs the vendor's clock.
pub(crate) fn retry_after(headers: &HeaderMap, kind: ErrorKind) -> Option<Duration> {
    if kind != ErrorKind::RateLimited {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds.min(300)))
}

/// Masks `text` for an error or a log line: no `key`, no run of five digits or more, one line, 200 characters.
pub(crate) fn masked(text: &str, key: &Pii<String>) -> String {
    let text = if key.expose().is_empty() { text.to_owned() } else { text.replace(key.expose().as_str(), "***") };
    let mut out = String::new();
    let mut digits = String::new();
    for c in text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).chain([' ']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        out.push_str(if digits.len() < 5 { &digits } else { "***" });
        digits.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}

/// The message in the usual shapes of an error: `{"error": {"message": ..}}`, `{"error": ".."}`, `{"message": ".."}`, also
/// in a wrapper and with capitals.
pub(crate) fn error_message(value: &Value) -> Option<String> {
    let member = |value: &'_ Value, names: [&str; 2]| names.iter().find_map(|name| value.get(name)).cloned();
    let value = value.get("Response").unwrap_or(value);
    let error = member(value, ["error", "Error"]).unwrap_or_else(|| value.clone());
    let text = |names| member(&error, names)?.as_str().map(str::to_owned);
    error.as_str().map(str::to_owned).or_else(|| text(["message", "Message"])).or_else(|| text(["code", "Code"]))
}

/// Whether the media type of `response` begins with one of `kinds`.
pub(crate) fn is_kind(response: &Response, kinds: &[&str]) -> bool {
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        let kind = kind.trim().to_ascii_lowercase();
        kinds.iter().any(|wanted| kind.starts_with(wanted))
    })
}

/// A status as the WebSocket handshake reports it.
pub(crate) fn status_of(status: StatusCode) -> ErrorKind {
    status_kind(status.as_u16())
}

const fn may_pass(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Internal | ErrorKind::Unreachable)
}

fn secret_value(text: &str) -> Option<HeaderValue> {
    // The reason names the value's bytes; the caller's message does without.
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A failure that took longer is not tried again: fallback must come within a second.
const QUICK: Duration = Duration::from_millis(500);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const MAX_ERROR_BODY: usize = 8 * 1024;
const ERROR_BODY_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_are_masked() {
        let key = Pii::new("sk-secret".to_owned());
        let masked = masked("bad key sk-secret\r\nfor +4930123456 and 1234", &key);
        assert_eq!(masked, "bad key ***  for +*** and 1234");
    }

    #[test]
    fn statuses_say_what_to_do() {
        let kinds = [301, 400, 401, 403, 404, 408, 429, 500, 503].map(status_kind);
        use ErrorKind as K;
        let wanted = [
            K::Rejected,
            K::Rejected,
            K::Unauthorised,
            K::Unauthorised,
            K::Rejected,
            K::Timeout,
            K::RateLimited,
            K::Internal,
            K::Internal,
        ];
        assert_eq!(kinds, wanted);
    }

    #[test]
    fn endpoints_keep_the_path_and_query_of_their_base() {
        let query = BTreeMap::from([("a".to_owned(), "b c".to_owned())]);
        let url = endpoint("https://host/v1/?api-version=1", &["chat", "completions"], &query).expect("a url");
        assert_eq!(url.as_str(), "https://host/v1/chat/completions?api-version=1&a=b+c");
        assert!(endpoint("file:///etc/passwd", &[], &query).is_err());
        assert!(endpoint("not a url", &[], &query).is_err());
    }

    #[test]
    fn a_key_that_no_header_carries_is_refused_without_being_shown() {
        let key = Pii::new("sk-\nsecret".to_owned());
        let error = HttpVendor::new("x", Waits::from_ms(1, 1, 1), &key, &BTreeMap::new()).expect_err("a bad key");
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn a_vendor_prints_without_its_key() {
        let key = Pii::new("sk-secret".to_owned());
        let headers = BTreeMap::from([("api-key".to_owned(), Pii::new("other-secret".to_owned()))]);
        let vendor = HttpVendor::new("x", Waits::from_ms(1, 1, 1), &key, &headers).expect("a vendor");
        assert!(!format!("{vendor:?}").contains("secret"), "{vendor:?}");
    }
}
