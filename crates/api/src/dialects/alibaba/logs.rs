//! Links to what was said in an instance that is over: they need no key, hold for a day, and are signed with the key that
//! asked for them. What lies behind them is laid out by us: the vendor does not describe it.

use super::{VendorError, wire};
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use crate::links::Purpose;
use axum::body::Body;
use callwright_domain::transcript::Speaker;
use callwright_domain::{ApiKey, CallId};
use callwright_store::CallView;
use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a link holds.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// What they are for.
const LINK: Purpose = Purpose("alibaba");
/// Where they are.
const LOGS: &str = "/alibaba/call-logs/";

/// Whether a request is for one of these links.
pub(super) fn bears_signs(request: &Request) -> bool {
    request.path.starts_with(LOGS)
}

/// The link to the log of an instance; empty while it is not over, and when it was never answered.
pub(super) fn link(request: &Request, key: &ApiKey, view: &CallView) -> String {
    if view.timeline.ended.is_none() || view.timeline.answered.is_none() {
        return String::new();
    }
    LINK.link(request, key, &format!("{LOGS}{}", view.plan.id), LIFE)
}

/// Answers a link.
pub(super) async fn serve(request: &Request, context: &Context) -> Response {
    match fetch(request, context).await {
        Ok(log) => {
            let mut response = Response::new(Body::from(log.to_string()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(fault) => wire::failure(request, &VendorError::from(fault)),
    }
}

async fn fetch(request: &Request, context: &Context) -> Result<Value, Fault> {
    if request.method != Method::GET {
        return Err(Fault::Method { allowed: "GET" });
    }
    let account = LINK.account(request, context).await?;
    let none = || Fault::NotFound { what: "instance" };
    let id: CallId = request.path.strip_prefix(LOGS).and_then(|digits| digits.parse().ok()).ok_or_else(none)?;
    let reader = context.calls.reader();
    let view = reader.call(&account, id).await?.ok_or_else(none)?;
    let lines = reader.transcript(&account, id).await?;
    let dialogues = lines.iter().map(|line| {
        let producer = match line.speaker {
            Speaker::Callee => "user",
            Speaker::Agent => "agent",
        };
        json!({"Producer": producer, "Text": line.text, "Time": line.at.millis()})
    });
    Ok(json!({
        "InstanceId": view.plan.id,
        "AIAgentId": view.plan.agent_id,
        "SessionId": view.plan.thread.as_ref().map_or("", |thread| thread.as_str()),
        "Dialogues": dialogues.collect::<Vec<_>>(),
    }))
}
