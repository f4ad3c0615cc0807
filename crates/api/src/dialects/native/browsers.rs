//! Calls that are met in a browser: asked for, and what their tokens are signed with.

use super::calls::{Common, common, idempotency};
use super::decode::{Object, invalid, query};
use super::openapi::{Words, words};
use super::refusals::not_met;
use super::{Asked, json_response};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::{Request, Response};
use crate::join;
use callwright_domain::agent::Switch;
use callwright_domain::{CallId, CallPlan, ChannelName, Moment, Origin};
use callwright_engine::{MeetCall, Repeat};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a call waits to be joined, in seconds: unless asked otherwise, and at most.
const JOIN_S: (u64, u64, u64) = (1, 60, 86_400);
/// The same for a user who has vanished: none unless asked for.
const REJOIN_S: (u64, u64, u64) = (0, 0, 86_400);
/// How long a token lives, in seconds: unless asked otherwise, and at most.
const TOKEN_S: (u64, u64, u64) = (1, 3600, 604_800);

/// An operation about calls in browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    App,
}

/// What the document says of it.
pub(super) const fn about(action: Action) -> Words {
    match action {
        Action::Start => {
            words("meetCall", "Make a call that is met in a browser", Some("MeetCall"), "201", Some("MetCall"))
        }
        Action::App => words("channelApp", "What channel tokens are signed with", None, "200", Some("ChannelApp")),
    }
}

/// Carries it out.
pub(super) async fn serve(action: Action, asked: &Asked<'_>) -> Result<Response, Fault> {
    match action {
        Action::Start => start(asked).await,
        Action::App => app(asked).await,
    }
}

/// `POST /v1/browser-calls`
async fn start(asked: &Asked<'_>) -> Result<Response, Fault> {
    let now = asked.request.received;
    let (request, life_s) = decode(asked)?;
    let calls = &asked.context.calls;
    let app = join::app_of(asked.context, &asked.account, now).await?;
    let started = match calls.meet(request, now).await {
        Ok(started) => started,
        Err(error) => return not_met(asked.request, &error),
    };
    let view = calls.reader().call(&asked.account, started.id).await?.ok_or(Fault::Internal)?;
    let place = view.plan.browser().ok_or(Fault::Internal)?;
    let user = place.user.as_ref().ok_or(Fault::Internal)?;
    // A repeat is answered with a token of its own: the first one's may never have arrived.
    let pass = join::issue(&app, (&place.channel, user), (now, life_s));
    let body = json!({
        "id": view.plan.id,
        "agent": view.plan.agent_id,
        "channel": place.channel,
        "user": user,
        "agent_user": place.agent_user,
        "token": pass.spelled(),
        "expires_at": timestamp(Moment(pass.expires_s.saturating_mul(1000))),
        "join_by": timestamp(place.joins_until),
        "join_url": format!("{}/v1/join/{}", base(asked.request), place.channel),
    });
    let mut response = json_response(StatusCode::CREATED, &body);
    if started.repeat == Repeat::Replayed {
        let name = HeaderName::from_static("idempotency-replayed");
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// `GET /v1/channel-app`
async fn app(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let app = join::app_of(asked.context, &asked.account, asked.request.received).await?;
    Ok(json_response(StatusCode::OK, &json!({"app_id": app.id, "app_key": app.key.expose()})))
}

/// Where the requester reached us.
pub(in crate::dialects) fn base(request: &Request) -> String {
    let scheme = if request.header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{}", request.header("host").unwrap_or_default())
}

fn decode(asked: &Asked<'_>) -> Result<(MeetCall, i64), Fault> {
    let mut body = Object::of(asked.request)?;
    let Common { agent, variables, user_data, thread, patch } = common(asked, &mut body)?;
    let user = body.text("user", 64)?.map(ChannelName::new).transpose();
    let user = user.map_err(|why| invalid("user", &why.to_string()))?;
    let joins_within = Duration::from_secs(seconds("join_within_s", body.take("join_within_s"), JOIN_S)?);
    let returns_within = Duration::from_secs(seconds("rejoin_within_s", body.take("rejoin_within_s"), REJOIN_S)?);
    let life_s = seconds("token_s", body.take("token_s"), TOKEN_S)?;
    let push_to_talk: Switch = body.typed("push_to_talk")?.unwrap_or_default();
    body.end()?;
    // Made of the random number of the request: nobody has it.
    let made = |kind: u128| {
        let bits = asked.request.id.rotate_left(64) ^ kind;
        ChannelName::new(CallId::from_entropy(bits).to_string()).map_err(|_| Fault::Internal)
    };
    let request = MeetCall {
        account: asked.account.clone(),
        agent: agent.into(),
        patch,
        channel: made(0)?,
        user: Some(user.map_or_else(|| made(1), Ok)?),
        agent_user: made(2)?,
        joins_within,
        returns_within,
        mirror: None,
        variables,
        user_data,
        thread,
        once: idempotency(asked)?,
        origin: Origin { dialect: String::from("native"), memo: memo(push_to_talk) },
    };
    Ok((request, i64::try_from(life_s).unwrap_or(i64::MAX)))
}

/// What is kept of a request beside its plan.
fn memo(push_to_talk: Switch) -> String {
    if push_to_talk.is_on() { json!({"push_to_talk": push_to_talk}).to_string() } else { String::new() }
}

/// Whether the user of a call says when a turn begins and ends.
pub(super) fn push_to_talk(plan: &CallPlan) -> Switch {
    let memo: Value = serde_json::from_str(&plan.origin.memo).unwrap_or_default();
    Switch::from(memo["push_to_talk"] == json!("on"))
}

fn seconds(field: &str, given: Option<Value>, (least, usual, most): (u64, u64, u64)) -> Result<u64, Fault> {
    let Some(given) = given else { return Ok(usual) };
    let seconds = given.as_u64().filter(|seconds| (least..=most).contains(seconds));
    seconds.ok_or_else(|| invalid(field, &format!("must be a whole number from {least} to {most}")))
}
