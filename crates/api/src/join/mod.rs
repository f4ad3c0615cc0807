//! The door for browsers: a token and an offer come in, an answer goes out (in the manner of WHIP, RFC 9725: one request joins,
//! one leaves). Pages of other origins may come through it as far as the server's settings name them. Hides the form of tokens
//! and the words of the data channel; whether a call lets somebody in is for the call to say.

mod screen;
mod token;

pub(crate) use screen::ScreenSettings;
pub(crate) use token::Pass;

use crate::dialects;
use crate::http::{Context, Request, Response, bearer_of};
use axum::body::Body;
use callwright_domain::{AccountId, CallState, ChannelName, KeyId, Moment};
use callwright_engine::{Calls, Join, JoinError, OrderError, Sound};
use callwright_store::ChannelApp;
use http::{HeaderValue, Method, StatusCode, header};
use rand::RngCore;
use screen::{Renewal, Screen};
use serde_json::json;
use std::time::Duration;
use token::BadToken;
use tokio::time::timeout;

/// Where browsers join; the channel's name follows.
const PREFIX: &str = "/v1/join/";
/// Where our client is.
const CLIENT: &str = "/v1/client.js";
/// The client's text.
const CLIENT_TEXT: &str = include_str!("client.js");
/// What an offer is (RFC 8866).
const SDP: &str = "application/sdp";
/// How long a token lives that a client asked for over its channel, in seconds: it must have joined with one before.
const RENEWED_S: i64 = 3600;
/// How long whoever joins waits for the sound that is played before the greeting.
const OVERTURE: Duration = Duration::from_secs(5);
/// Methods that the door takes from pages of other origins.
const METHODS: &str = "POST, DELETE, OPTIONS";

/// Why nobody was let in, as it is told.
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }
}

/// Whether a request is for this door.
pub(crate) fn claims(request: &Request) -> bool {
    request.path == CLIENT || request.path.starts_with(PREFIX)
}

/// Answers a browser.
pub(crate) async fn answer(request: &Request, context: &Context) -> Response {
    let mut response = match (&request.method, request.path.as_str()) {
        (&Method::GET | &Method::HEAD, CLIENT) => client(),
        (&Method::OPTIONS, _) => empty(StatusCode::NO_CONTENT),
        (&Method::POST, path) if path != CLIENT => {
            join(request, context).await.unwrap_or_else(|why| worded(request, &why))
        }
        (&Method::DELETE, path) if path != CLIENT => {
            leave(request, context).await.unwrap_or_else(|why| worded(request, &why))
        }
        _ => {
            let allowed = if request.path == CLIENT { "GET, HEAD" } else { METHODS };
            let said = format!("this operation wants another method: {allowed}");
            let mut response =
                worded(request, &Refused::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", said));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            response
        }
    };
    permit_origin(request, context, &mut response);
    response
}

async fn join(request: &Request, context: &Context) -> Result<Response, Refused> {
    let (pass, app) = believe(request, context).await?;
    pass.check(&app, request.received)?;
    let media = request.header("content-type").unwrap_or_default();
    if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(SDP) {
        let said = format!("the body must be {SDP}");
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", said));
    }
    let malformed = || Refused::new(StatusCode::BAD_REQUEST, "bad_offer", "the offer must be text");
    let offer = std::str::from_utf8(&request.body).map_err(|_| malformed())?.to_owned();
    let calls = &context.calls;
    let view = calls.to_join(&app.account, &pass.channel, &pass.user).await?;
    // A telephone call has no agent in a channel; the human who takes it over is shown nothing.
    let agent = view.plan.browser().map_or_else(|| Calls::channel_of(&view.plan), |place| place.agent_user.clone());
    let settings = dialects::named(&view.plan.origin.dialect).map(|dialect| dialect.screen(&view.plan));
    let settings = settings.unwrap_or_default();
    // Who comes back, or takes over, was or is greeted already.
    let wanted = settings.overture.as_deref().filter(|_| view.state == CallState::Queued);
    let overture = match wanted {
        Some(url) => Some(overture(url, &app, (request, context)).await),
        None => None,
    };
    let renew = renewal(app.clone(), &pass, context);
    let screen = Screen::new(settings, (agent, pass.user.clone()), renew);
    let (account, channel, user) = (app.account, pass.channel, pass.user);
    let location = format!("{PREFIX}{channel}");
    let join = Join { account, channel, user, offer, parlance: Box::new(screen), overture };
    let joined = calls.join(join, request.received).await?;
    let mut response = Response::new(Body::from(joined.answer));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The sound that is played before the greeting, which was fetched once when the call was asked for; or why there is none.
async fn overture(url: &str, app: &ChannelApp, (request, context): (&Request, &Context)) -> Result<Sound, String> {
    // No key asks here: the account's application stands for one.
    let key = KeyId::new(app.id.as_str()).map_err(|why| why.to_string())?;
    let fetching = context.fetcher.sound(("the sound before the greeting", url), (key, request.peer.ip()));
    match timeout(OVERTURE, fetching).await {
        Ok(fetched) => fetched.map_err(|why| why.to_string()),
        Err(_) => Err(format!("the sound before the greeting did not come in {} s", OVERTURE.as_secs())),
    }
}

/// A token whose time is over still leaves: it let its user in.
async fn leave(request: &Request, context: &Context) -> Result<Response, Refused> {
    let (pass, app) = believe(request, context).await?;
    let view = context.calls.to_join(&app.account, &pass.channel, &pass.user).await?;
    match context.calls.leave(&app.account, view.plan.id, pass.user).await {
        // Who has gone has gone.
        Ok(()) | Err(OrderError::Ended(_)) => Ok(empty(StatusCode::OK)),
        Err(OrderError::NotAnswered) => {
            Err(Refused::new(StatusCode::CONFLICT, "not_joined", "nobody has joined this call"))
        }
        Err(OrderError::UnknownCall) => Err(JoinError::NoCall.into()),
        Err(
            OrderError::Busy
            | OrderError::NoRoom
            | OrderError::LastWords
            | OrderError::Elsewhere
            | OrderError::NoTelephone
            | OrderError::Transferring
            | OrderError::NoDesk
            | OrderError::Refused(_)
            | OrderError::Store(_),
        ) => Err(JoinError::Unavailable.into()),
    }
}

/// The token of a request, signed by the application that it names and for the channel of the path. One answer for all that
/// is wrong with it, so that nothing is learnt by trying.
async fn believe(request: &Request, context: &Context) -> Result<(Pass, ChannelApp), Refused> {
    let wrong = || Refused::from(BadToken::Invalid);
    let bearer = bearer_of(request).ok_or_else(wrong)?;
    let pass = Pass::read(bearer.trim())?;
    let app = context.calls.reader().channel_app(&pass.app).await.map_err(JoinError::from)?;
    let app = app.filter(|app| pass.is_of(app)).ok_or_else(wrong)?;
    let named = request.path.strip_prefix(PREFIX).unwrap_or_default();
    if named != pass.channel.as_str() {
        return Err(wrong());
    }
    Ok((pass, app))
}

/// A new token of the account for a user in a channel, and when it ends, in seconds.
pub(crate) fn issue(
    app: &ChannelApp,
    (channel, user): (&ChannelName, &ChannelName),
    (now, life_s): (Moment, i64),
) -> Pass {
    let mut nonce = [0; 16];
    // The thread's generator is cryptographically strong and seeded by the operating system.
    rand::rng().fill_bytes(&mut nonce);
    let ends = now.millis().div_euclid(1000).saturating_add(life_s);
    Pass::issue(app, channel, user, (hex::encode(nonce), ends))
}

/// The account's application; made when it has none.
pub(crate) async fn app_of(
    context: &Context,
    account: &AccountId,
    now: Moment,
) -> Result<ChannelApp, callwright_store::StoreError> {
    context.calls.channel_app(account, now).await
}

fn renewal(app: ChannelApp, pass: &Pass, context: &Context) -> Renewal {
    let (channel, user) = (pass.channel.clone(), pass.user.clone());
    let now = std::sync::Arc::clone(&context.now);
    Box::new(move || issue(&app, (&channel, &user), (now(), RENEWED_S)).spelled())
}

fn client() -> Response {
    let mut response = Response::new(Body::from(CLIENT_TEXT));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "public, max-age=300"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Errors look as everywhere in our own API.
fn worded(request: &Request, why: &Refused) -> Response {
    let error = json!({"code": why.code, "message": why.message, "request_id": request.uuid()});
    let mut response = Response::new(Body::from(json!({ "error": error }).to_string()));
    *response.status_mut() = why.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Lets the page that asks read the answer, when its origin is one of those that may.
fn permit_origin(request: &Request, context: &Context, response: &mut Response) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = request.headers.get(header::ORIGIN) else { return };
    let known = context.origins.iter().any(|known| known == "*" || known.as_bytes() == origin.as_bytes());
    if !known {
        return;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "location"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

impl From<BadToken> for Refused {
    fn from(why: BadToken) -> Self {
        let code = match why {
            BadToken::Invalid => "bad_token",
            BadToken::Expired => "expired_token",
        };
        Self::new(StatusCode::UNAUTHORIZED, code, why.to_string())
    }
}

impl From<JoinError> for Refused {
    fn from(error: JoinError) -> Self {
        let said = error.to_string();
        match error {
            JoinError::NoCall => Self::new(StatusCode::NOT_FOUND, "no_call", said),
            JoinError::OtherUser => Self::new(StatusCode::FORBIDDEN, "other_user", said),
            JoinError::Over => Self::new(StatusCode::GONE, "call_over", said),
            JoinError::Taken => Self::new(StatusCode::CONFLICT, "already_joined", said),
            JoinError::Unavailable => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", said),
            JoinError::Off => Self::new(StatusCode::NOT_IMPLEMENTED, "browsers_off", said),
            JoinError::Offer(_) => Self::new(StatusCode::BAD_REQUEST, "bad_offer", said),
            JoinError::Media(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "no audio path was made"),
            JoinError::Store(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage", "the storage failed"),
        }
    }
}
