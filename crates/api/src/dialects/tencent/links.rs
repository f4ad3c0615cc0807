//! Links to recordings and transcripts that need no key: they hold until a time and are signed with the key that asked for
//! them, or with the secret of the endpoint that was told of them. Taking that away takes its links away.

use super::records;
use crate::dialects::native;
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use crate::links::Purpose;
use axum::body::Body;
use callwright_domain::{ApiKey, CallId, Moment, Webhook};
use http::{HeaderValue, Method, header};
use serde_json::json;
use std::time::Duration;

/// How long a link holds (vendor: 24 hours).
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// What they are for.
const LINK: Purpose = Purpose("tencent");
/// Where they are.
const RECORDINGS: &str = "/tencent/recordings/";
const TRANSCRIPTS: &str = "/tencent/transcripts/";

/// Whether a request is for one of these links.
pub(super) fn bears_signs(request: &Request) -> bool {
    [RECORDINGS, TRANSCRIPTS].iter().any(|path| request.path.starts_with(path))
}

/// The link to a call's recording.
pub(super) fn recording(request: &Request, key: &ApiKey, call: CallId) -> String {
    LINK.link(request, key, &format!("{RECORDINGS}{call}"), LIFE)
}

/// The link to a call's recording for an endpoint that is told of it; none: it has no secret.
pub(super) fn told(webhook: &Webhook, base: &str, call: CallId, now: Moment) -> Option<String> {
    LINK.link_of(webhook, base, &format!("{RECORDINGS}{call}"), (now, LIFE))
}

/// The link to a call's transcript.
pub(super) fn transcript(request: &Request, key: &ApiKey, call: CallId) -> String {
    LINK.link(request, key, &format!("{TRANSCRIPTS}{call}"), LIFE)
}

/// Answers a link.
pub(super) async fn serve(request: &Request, context: &Context) -> Response {
    match fetch(request, context).await {
        Ok(response) => response,
        Err(fault) => super::super::Dialect::refuse(&native::DIALECT, request, fault),
    }
}

async fn fetch(request: &Request, context: &Context) -> Result<Response, Fault> {
    if request.method != Method::GET {
        return Err(Fault::Method { allowed: "GET" });
    }
    let account = LINK.account(request, context).await?;
    let (is_recording, digits) = match request.path.strip_prefix(RECORDINGS) {
        Some(digits) => (true, digits),
        None => (false, request.path.strip_prefix(TRANSCRIPTS).unwrap_or_default()),
    };
    let call: CallId = digits.parse().map_err(|_| Fault::NotFound { what: "call" })?;
    let view = context.calls.reader().call(&account, call).await?.ok_or(Fault::NotFound { what: "call" })?;
    if is_recording {
        return native::recording_of(request, context, &view).await;
    }
    let lines = records::transcript(context, &view).await?;
    let mut response = Response::new(Body::from(json!(lines).to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
