//! Our own API: JSON over HTTP, bearer keys with scopes, one error shape. Everything that the other dialects can do is
//! reachable here under our own names; the routes are in one table with the scope that each needs.

mod browsers;
mod calls;
mod campaigns;
mod configuration;
mod decode;
mod exports;
mod ids;
mod openapi;
mod privacy;
mod profile;
mod recordings;
mod refusals;
mod rules;
mod told;
mod webhooks;

pub(super) use browsers::base;
pub(super) use decode::{invalid, json_body, moment, no_zero, no_zero_member, no_zero_parameter, scope_word};
pub(super) use ids::VendorId;
pub(super) use recordings::recording_of;
pub(super) use refusals::{again_in, status_of};

use super::{Dialect, EndpointShape};
use crate::callbacks::Callback;
use crate::fault::Fault;
use crate::http::{Context, Request, Response, bearer_of};
use crate::join::ScreenSettings;
use crate::links;
use crate::sign;
use axum::body::Body;
use callwright_domain::access::KeyStatus;
use callwright_domain::webhook::MOST_TRIES;
use callwright_domain::{AccountId, ApiKey, CallPlan, KeyId, Scope};
use callwright_engine::{Accepting, Telling};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// The dialect's entry in the table.
pub(super) static DIALECT: Native = Native;

/// Our own API.
pub(super) struct Native;

/// An operation of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    StartCall,
    Browser(browsers::Action),
    ListCalls,
    ShowCall,
    HangUp,
    Say,
    Hear,
    Transfer,
    Recording,
    CallEvents,
    AllEvents,
    Feed,
    ListAgents,
    ShowAgent,
    PutAgent,
    DeleteAgent,
    ListNumbers,
    ShowNumber,
    PutNumber,
    DeleteNumber,
    ListTrunks,
    ShowTrunk,
    PutTrunk,
    DeleteTrunk,
    ListIds,
    PutId,
    ListKeys,
    MakeKey,
    DeleteKey,
    Campaign(campaigns::Action),
    Rules(rules::Action),
    Privacy(privacy::Action),
    ListWebhooks,
    MakeWebhook,
    ShowWebhook,
    ChangeWebhook,
    DeleteWebhook,
    RotateSecret,
    TestWebhook,
    ListDeliveries,
    ShowAttempts,
    ReplayDelivery,
    ReplayFailed,
    Health,
    Ready,
    Metrics,
    OpenApi,
}

/// One row of the route table.
struct Route {
    method: Method,
    /// Segments; `*` is one that the operation reads.
    path: &'static [&'static str],
    operation: Operation,
    /// What the key must be allowed to do; none: open to everybody.
    scope: Option<Scope>,
}

const fn route(method: Method, path: &'static [&'static str], operation: Operation, scope: Option<Scope>) -> Route {
    Route { method, path, operation, scope }
}

/// A route to campaigns: reading takes the scope of reading calls, everything else that of making them.
const fn campaign(method: Method, path: &'static [&'static str], action: campaigns::Action) -> Route {
    let scope = match method {
        Method::GET => Scope::CallsRead,
        _ => Scope::CallsWrite,
    };
    route(method, path, Operation::Campaign(action), Some(scope))
}

/// Every route. One that is not here does not exist, and one that is here says who may use it.
static ROUTES: &[Route] = &[
    route(Method::POST, &["v1", "calls"], Operation::StartCall, Some(Scope::CallsWrite)),
    route(Method::POST, &["v1", "browser-calls"], Operation::Browser(browsers::Action::Start), Some(Scope::CallsWrite)),
    route(Method::GET, &["v1", "channel-app"], Operation::Browser(browsers::Action::App), Some(Scope::KeysWrite)),
    route(Method::GET, &["v1", "calls"], Operation::ListCalls, Some(Scope::CallsRead)),
    route(Method::GET, &["v1", "calls", "*"], Operation::ShowCall, Some(Scope::CallsRead)),
    route(Method::POST, &["v1", "calls", "*", "hangup"], Operation::HangUp, Some(Scope::CallsWrite)),
    route(Method::POST, &["v1", "calls", "*", "say"], Operation::Say, Some(Scope::CallsWrite)),
    route(Method::POST, &["v1", "calls", "*", "hear"], Operation::Hear, Some(Scope::CallsWrite)),
    route(Method::POST, &["v1", "calls", "*", "transfer"], Operation::Transfer, Some(Scope::CallsWrite)),
    route(Method::GET, &["v1", "calls", "*", "recording"], Operation::Recording, Some(Scope::CallsRead)),
    route(
        Method::POST,
        &["v1", "calls", "*", "recording", "link"],
        Operation::Privacy(privacy::Action::LinkRecording),
        Some(Scope::CallsRead),
    ),
    route(Method::GET, &["v1", "calls", "*", "events"], Operation::CallEvents, Some(Scope::CallsRead)),
    route(Method::GET, &["v1", "events"], Operation::AllEvents, Some(Scope::CallsRead)),
    route(Method::GET, &["v1", "feed"], Operation::Feed, Some(Scope::CallsRead)),
    route(Method::POST, &["v1", "exports"], Operation::Privacy(privacy::Action::Export), Some(Scope::CallsRead)),
    route(Method::GET, &["v1", "agents"], Operation::ListAgents, Some(Scope::ConfigRead)),
    route(Method::GET, &["v1", "agents", "*"], Operation::ShowAgent, Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "agents", "*"], Operation::PutAgent, Some(Scope::ConfigWrite)),
    route(Method::DELETE, &["v1", "agents", "*"], Operation::DeleteAgent, Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "numbers"], Operation::ListNumbers, Some(Scope::ConfigRead)),
    route(Method::GET, &["v1", "numbers", "*"], Operation::ShowNumber, Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "numbers", "*"], Operation::PutNumber, Some(Scope::ConfigWrite)),
    route(Method::DELETE, &["v1", "numbers", "*"], Operation::DeleteNumber, Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "trunks"], Operation::ListTrunks, Some(Scope::ConfigRead)),
    route(Method::GET, &["v1", "trunks", "*"], Operation::ShowTrunk, Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "trunks", "*"], Operation::PutTrunk, Some(Scope::ConfigWrite)),
    route(Method::DELETE, &["v1", "trunks", "*"], Operation::DeleteTrunk, Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "ids"], Operation::ListIds, Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "ids"], Operation::PutId, Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "keys"], Operation::ListKeys, Some(Scope::KeysWrite)),
    route(Method::POST, &["v1", "keys"], Operation::MakeKey, Some(Scope::KeysWrite)),
    route(Method::DELETE, &["v1", "keys", "*"], Operation::DeleteKey, Some(Scope::KeysWrite)),
    campaign(Method::POST, &["v1", "campaigns"], campaigns::Action::Create),
    campaign(Method::GET, &["v1", "campaigns"], campaigns::Action::List),
    campaign(Method::GET, &["v1", "campaigns", "*"], campaigns::Action::Show),
    campaign(Method::PUT, &["v1", "campaigns", "*"], campaigns::Action::Change),
    campaign(Method::DELETE, &["v1", "campaigns", "*"], campaigns::Action::Delete),
    campaign(Method::POST, &["v1", "campaigns", "*", "start"], campaigns::Action::Start),
    campaign(Method::POST, &["v1", "campaigns", "*", "pause"], campaigns::Action::Pause),
    campaign(Method::POST, &["v1", "campaigns", "*", "resume"], campaigns::Action::Resume),
    campaign(Method::POST, &["v1", "campaigns", "*", "stop"], campaigns::Action::Stop),
    campaign(Method::POST, &["v1", "campaigns", "*", "callees"], campaigns::Action::AddCallees),
    campaign(Method::GET, &["v1", "campaigns", "*", "callees"], campaigns::Action::ListCallees),
    campaign(Method::GET, &["v1", "campaigns", "*", "results"], campaigns::Action::Results),
    route(Method::GET, &["v1", "webhooks"], Operation::ListWebhooks, Some(Scope::ConfigRead)),
    route(Method::POST, &["v1", "webhooks"], Operation::MakeWebhook, Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "webhooks", "*"], Operation::ShowWebhook, Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "webhooks", "*"], Operation::ChangeWebhook, Some(Scope::ConfigWrite)),
    route(Method::DELETE, &["v1", "webhooks", "*"], Operation::DeleteWebhook, Some(Scope::ConfigWrite)),
    route(Method::POST, &["v1", "webhooks", "*", "rotate"], Operation::RotateSecret, Some(Scope::ConfigWrite)),
    route(Method::POST, &["v1", "webhooks", "*", "test"], Operation::TestWebhook, Some(Scope::ConfigWrite)),
    route(Method::POST, &["v1", "webhooks", "*", "replay"], Operation::ReplayFailed, Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "webhooks", "*", "deliveries"], Operation::ListDeliveries, Some(Scope::CallsRead)),
    route(Method::GET, &["v1", "webhooks", "*", "deliveries", "*"], Operation::ShowAttempts, Some(Scope::CallsRead)),
    route(
        Method::POST,
        &["v1", "webhooks", "*", "deliveries", "*", "replay"],
        Operation::ReplayDelivery,
        Some(Scope::ConfigWrite),
    ),
    route(Method::GET, &["v1", "rules"], Operation::Rules(rules::Action::ShowRules), Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "rules"], Operation::Rules(rules::Action::PutRules), Some(Scope::ConfigWrite)),
    route(
        Method::GET,
        &["v1", "agents", "*", "rules"],
        Operation::Rules(rules::Action::ShowAgentRules),
        Some(Scope::ConfigRead),
    ),
    route(
        Method::PUT,
        &["v1", "agents", "*", "rules"],
        Operation::Rules(rules::Action::PutAgentRules),
        Some(Scope::ConfigWrite),
    ),
    route(Method::POST, &["v1", "denied"], Operation::Rules(rules::Action::ImportDenied), Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "zones", "*"], Operation::Rules(rules::Action::ShowZone), Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "zones", "*"], Operation::Rules(rules::Action::PutZone), Some(Scope::ConfigWrite)),
    route(Method::DELETE, &["v1", "zones", "*"], Operation::Rules(rules::Action::DeleteZone), Some(Scope::ConfigWrite)),
    route(Method::GET, &["v1", "denied", "*"], Operation::Rules(rules::Action::ShowDenied), Some(Scope::ConfigRead)),
    route(Method::PUT, &["v1", "denied", "*"], Operation::Rules(rules::Action::Deny), Some(Scope::ConfigWrite)),
    route(Method::DELETE, &["v1", "denied", "*"], Operation::Rules(rules::Action::Allow), Some(Scope::ConfigWrite)),
    route(
        Method::GET,
        &["v1", "consents", "*"],
        Operation::Rules(rules::Action::ShowConsents),
        Some(Scope::ConfigRead),
    ),
    route(Method::PUT, &["v1", "consents", "*"], Operation::Rules(rules::Action::PutConsent), Some(Scope::ConfigWrite)),
    route(
        Method::DELETE,
        &["v1", "consents", "*"],
        Operation::Rules(rules::Action::RevokeConsent),
        Some(Scope::ConfigWrite),
    ),
    route(
        Method::GET,
        &["v1", "calls", "*", "verdicts"],
        Operation::Rules(rules::Action::Verdicts),
        Some(Scope::CallsRead),
    ),
    route(Method::POST, &["v1", "erasures"], Operation::Privacy(privacy::Action::Erase), Some(Scope::ConfigWrite)),
    route(
        Method::GET,
        &["v1", "erasures", "*"],
        Operation::Privacy(privacy::Action::ShowErasure),
        Some(Scope::ConfigRead),
    ),
    route(Method::GET, &["healthz"], Operation::Health, None),
    route(Method::GET, &["readyz"], Operation::Ready, None),
    route(Method::GET, &["metrics"], Operation::Metrics, None),
    route(Method::GET, &["openapi.json"], Operation::OpenApi, None),
];

/// What is wrong with the route table: a route of the API that would be open to everybody, or one that stands twice.
/// A server with such a table does not start.
pub(in crate::dialects) fn route_flaws() -> Vec<String> {
    let mut flaws = Vec::new();
    for (at, route) in ROUTES.iter().enumerate() {
        let shown = || format!("{} /{}", route.method, route.path.join("/"));
        if route.scope.is_none() && route.path.first() == Some(&"v1") {
            flaws.push(format!("{} names no scope", shown()));
        }
        let same = |other: &Route| other.method == route.method && other.path == route.path;
        if ROUTES.get(..at).unwrap_or_default().iter().any(same) {
            flaws.push(format!("{} stands twice", shown()));
        }
    }
    flaws
}

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn claims(&self, _request: &Request) -> bool {
        true
    }

    fn meets_browsers(&self) -> bool {
        true
    }

    fn serve<'a>(&'a self, request: Request, context: &'a Context) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            match answer(&request, context).await {
                Ok(response) => response,
                Err(fault) => self.refuse(&request, fault),
            }
        })
    }

    fn refuse(&self, request: &Request, fault: Fault) -> Response {
        refusals::response(request, &fault)
    }

    fn callbacks(&self, telling: &Telling) -> Vec<Callback> {
        vec![told::callback(telling)]
    }

    fn endpoint<'a>(
        &'a self,
        _request: &'a Request,
        _context: &'a Context,
        _account: &'a AccountId,
    ) -> BoxFuture<'a, Result<Option<EndpointShape>, Fault>> {
        let shape = EndpointShape { memo: String::new(), topics: &[], tries: MOST_TRIES };
        Box::pin(async { Ok(Some(shape)) })
    }

    fn screen(&self, plan: &CallPlan) -> ScreenSettings {
        ScreenSettings { whole_replies: true, push_to_talk: browsers::push_to_talk(plan), ..ScreenSettings::default() }
    }
}

/// A request whose operation and key are known.
struct Asked<'a> {
    request: &'a Request,
    context: &'a Context,
    account: AccountId,
    /// The key that asks.
    key: ApiKey,
    /// What stood in the place of each `*`, decoded.
    parts: Vec<String>,
}

impl Asked<'_> {
    /// The first part of the path.
    fn part(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

async fn answer(request: &Request, context: &Context) -> Result<Response, Fault> {
    let (route, parts) = find(request)?;
    let key = match route.scope {
        None => return open(route.operation, context),
        // A recording may be asked for by a link instead of a key.
        Some(_) if route.operation == Operation::Recording && by_link(request) => {
            calls::LINK.key(request, context).await?
        }
        Some(scope) => match authenticate(request, context, scope).await {
            // Whoever has a call on the line can hang it up while the database is away.
            Err(away @ Fault::Storage(_)) if route.operation == Operation::HangUp => {
                let key = known(request, context, scope).ok_or(away)??;
                let asked = Asked { request, context, account: key.account.clone(), key, parts };
                return calls::hang_up_here(&asked);
            }
            outcome => outcome?,
        },
    };
    let asked = Asked { request, context, account: key.account.clone(), key, parts };
    match route.operation {
        Operation::StartCall => calls::start(&asked).await,
        Operation::Browser(action) => browsers::serve(action, &asked).await,
        Operation::ListCalls => calls::list(&asked).await,
        Operation::ShowCall => calls::show(&asked).await,
        Operation::HangUp => calls::hang_up(&asked).await,
        Operation::Say => calls::say(&asked).await,
        Operation::Hear => calls::hear(&asked).await,
        Operation::Transfer => calls::transfer(&asked).await,
        Operation::Recording => recordings::recording(&asked).await,
        Operation::CallEvents => calls::events(&asked).await,
        Operation::AllEvents => calls::all_events(&asked),
        Operation::Feed => calls::feed(&asked).await,
        Operation::ListAgents => configuration::list_agents(&asked).await,
        Operation::ShowAgent => configuration::show_agent(&asked).await,
        Operation::PutAgent => configuration::put_agent(&asked).await,
        Operation::DeleteAgent => configuration::delete_agent(&asked).await,
        Operation::ListNumbers => configuration::list_numbers(&asked).await,
        Operation::ShowNumber => configuration::show_number(&asked).await,
        Operation::PutNumber => configuration::put_number(&asked).await,
        Operation::DeleteNumber => configuration::delete_number(&asked).await,
        Operation::ListTrunks => configuration::list_trunks(&asked).await,
        Operation::ShowTrunk => configuration::show_trunk(&asked).await,
        Operation::PutTrunk => configuration::put_trunk(&asked).await,
        Operation::DeleteTrunk => configuration::delete_trunk(&asked).await,
        Operation::ListIds => ids::list(&asked).await,
        Operation::PutId => ids::put(&asked).await,
        Operation::ListKeys => configuration::list_keys(&asked).await,
        Operation::MakeKey => configuration::make_key(&asked).await,
        Operation::DeleteKey => configuration::delete_key(&asked).await,
        Operation::Campaign(action) => campaigns::serve(action, &asked).await,
        Operation::Rules(action) => rules::serve(action, &asked).await,
        Operation::Privacy(action) => privacy::serve(action, &asked).await,
        Operation::ListWebhooks => webhooks::list(&asked).await,
        Operation::MakeWebhook => webhooks::make(&asked).await,
        Operation::ShowWebhook => webhooks::show(&asked).await,
        Operation::ChangeWebhook => webhooks::change(&asked).await,
        Operation::DeleteWebhook => webhooks::delete(&asked).await,
        Operation::RotateSecret => webhooks::rotate(&asked).await,
        Operation::TestWebhook => webhooks::test(&asked).await,
        Operation::ListDeliveries => webhooks::deliveries(&asked).await,
        Operation::ShowAttempts => webhooks::attempts(&asked).await,
        Operation::ReplayDelivery => webhooks::replay_one(&asked).await,
        Operation::ReplayFailed => webhooks::replay_failed(&asked).await,
        Operation::Health | Operation::Ready | Operation::Metrics | Operation::OpenApi => Err(Fault::Internal),
    }
}

/// Whether a request brings a link's signature and no key.
fn by_link(request: &Request) -> bool {
    request.header("authorization").is_none() && links::is_signed(request)
}

/// Operations that need no key.
fn open(operation: Operation, context: &Context) -> Result<Response, Fault> {
    match operation {
        Operation::Health => Ok(json_response(StatusCode::OK, &json!({"status": "ok"}))),
        Operation::Ready => {
            let readiness = context.calls.readiness();
            let (status, word) = match readiness.accepting {
                Accepting::Open => (StatusCode::OK, "ready"),
                Accepting::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            };
            Ok(json_response(status, &json!({"status": word, "live_calls": readiness.live})))
        }
        Operation::Metrics => Ok(text_response("text/plain; version=0.0.4; charset=utf-8", (context.metrics)())),
        Operation::OpenApi => Ok(json_response(StatusCode::OK, openapi::document())),
        Operation::StartCall
        | Operation::Browser(_)
        | Operation::ListCalls
        | Operation::ShowCall
        | Operation::HangUp
        | Operation::Say
        | Operation::Hear
        | Operation::Transfer
        | Operation::Recording
        | Operation::CallEvents
        | Operation::AllEvents
        | Operation::Feed
        | Operation::ListAgents
        | Operation::ShowAgent
        | Operation::PutAgent
        | Operation::DeleteAgent
        | Operation::ListNumbers
        | Operation::ShowNumber
        | Operation::PutNumber
        | Operation::DeleteNumber
        | Operation::ListTrunks
        | Operation::ShowTrunk
        | Operation::PutTrunk
        | Operation::DeleteTrunk
        | Operation::ListIds
        | Operation::PutId
        | Operation::ListKeys
        | Operation::MakeKey
        | Operation::DeleteKey
        | Operation::Campaign(_)
        | Operation::Privacy(_)
        | Operation::ListWebhooks
        | Operation::MakeWebhook
        | Operation::ShowWebhook
        | Operation::ChangeWebhook
        | Operation::DeleteWebhook
        | Operation::RotateSecret
        | Operation::TestWebhook
        | Operation::ListDeliveries
        | Operation::ShowAttempts
        | Operation::ReplayDelivery
        | Operation::ReplayFailed
        | Operation::Rules(_) => Err(Fault::Internal),
    }
}

/// The route of a request. A path that exists under other methods is told apart from one that does not.
fn find(request: &Request) -> Result<(&'static Route, Vec<String>), Fault> {
    let segments: Vec<&str> = request.path.strip_prefix('/').unwrap_or_default().split('/').collect();
    let mut allowed = None;
    for route in ROUTES {
        let Some(parts) = matched(route.path, &segments)? else { continue };
        // A HEAD is a GET whose body stays away (RFC 9110, section 9.3.2); the HTTP library leaves it out.
        let asked = if request.method == Method::HEAD { &Method::GET } else { &request.method };
        if route.method == *asked {
            return Ok((route, parts));
        }
        allowed = Some(methods(route.path));
    }
    Err(allowed.map_or(Fault::UnknownOperation, |allowed| Fault::Method { allowed }))
}

fn matched(path: &[&str], segments: &[&str]) -> Result<Option<Vec<String>>, Fault> {
    if path.len() != segments.len() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for (wanted, given) in path.iter().zip(segments) {
        if *wanted == "*" {
            let decoded = percent_decode_str(given).decode_utf8();
            let decoded = decoded.map_err(|_| Fault::Malformed { rule: String::from("the path must be UTF-8") })?;
            if decoded.contains('\0') {
                return Err(Fault::Malformed { rule: format!("the path {}", decode::NO_ZERO) });
            }
            parts.push(decoded.into_owned());
        } else if wanted != given {
            return Ok(None);
        }
    }
    Ok(Some(parts))
}

/// The methods under which a path exists, for the `Allow` header.
fn methods(path: &[&str]) -> &'static str {
    match path {
        ["v1", "calls" | "keys" | "webhooks"] => "GET, POST",
        ["v1", "ids"] => "GET, PUT",
        ["v1", "calls", "*", "hangup" | "say" | "hear" | "transfer"] | ["v1", "calls", "*", "recording", "link"] => {
            "POST"
        }
        ["v1", "webhooks", "*", "rotate" | "test" | "replay"] => "POST",
        ["v1", "webhooks", "*", "deliveries", "*", "replay"] => "POST",
        ["v1", "rules"] | ["v1", "agents", "*", "rules"] => "GET, PUT",
        ["v1", "denied" | "erasures" | "exports" | "browser-calls"] => "POST",
        ["v1", "agents" | "numbers" | "trunks" | "webhooks" | "denied" | "consents" | "zones", "*"] => {
            "DELETE, GET, PUT"
        }
        ["v1", "keys", "*"] => "DELETE",
        ["v1", "campaigns"] | ["v1", "campaigns", "*", "callees"] => "GET, POST",
        ["v1", "campaigns", "*"] => "DELETE, GET, PUT",
        ["v1", "campaigns", "*", "start" | "pause" | "resume" | "stop"] => "POST",
        _ => "GET",
    }
}

/// The key behind a file that is to be uploaded. Its scope is looked at when the file is there, like every other's.
pub(super) async fn vouched_by(request: &Request, context: &Context) -> Result<KeyId, Fault> {
    let (id, secret) = bearer(request)?;
    let found = context.calls.reader().key(&id).await?;
    let key = found.filter(|key| sign::same(key.secret.expose(), secret)).ok_or(Fault::Unauthenticated)?;
    if key.status == KeyStatus::Disabled { Err(Fault::KeyDisabled) } else { Ok(id) }
}

/// The request's bearer key, when it is honoured and may do this. Which of its parts was wrong is not told.
pub(super) async fn authenticate(request: &Request, context: &Context, scope: Scope) -> Result<ApiKey, Fault> {
    let (id, secret) = bearer(request)?;
    let key = context.calls.reader().key(&id).await?;
    let key = match key {
        Some(key) if sign::same(key.secret.expose(), secret) => key,
        stored => {
            context.known.correct(&id, stored);
            return Err(Fault::Unauthenticated);
        }
    };
    context.known.note(&key);
    context.rates.take_key(&key, request.received, &context.calls).await?;
    permitted(&key, scope)?;
    Ok(key)
}

/// The same for a key that was honoured a moment ago, without the database; none: nothing is known of it.
fn known(request: &Request, context: &Context, scope: Scope) -> Option<Result<ApiKey, Fault>> {
    let (id, secret) = bearer(request).ok()?;
    let found = context.known.find(&id, secret)?;
    Some(found.and_then(|key| {
        context.rates.take_key_alone(&key, request.received)?;
        permitted(&key, scope)?;
        Ok(key)
    }))
}

fn bearer(request: &Request) -> Result<(KeyId, &str), Fault> {
    let (id, secret) = bearer_of(request).and_then(|token| token.rsplit_once('.')).ok_or(Fault::Unauthenticated)?;
    Ok((KeyId::new(id).map_err(|_| Fault::Unauthenticated)?, secret))
}

fn permitted(key: &ApiKey, scope: Scope) -> Result<(), Fault> {
    if key.status == KeyStatus::Disabled {
        return Err(Fault::KeyDisabled);
    }
    if !key.permits(scope) {
        return Err(Fault::Forbidden { scope: scope_word(scope) });
    }
    Ok(())
}

pub(super) fn json_response(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text_response(content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_one_of_its_paths_methods() {
        for route in ROUTES {
            assert!(methods(route.path).contains(route.method.as_str()), "{:?}", route.path);
        }
    }

    #[test]
    fn the_table_has_no_flaw() {
        assert_eq!(route_flaws(), Vec::<String>::new());
    }
}
