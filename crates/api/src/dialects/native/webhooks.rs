//! Operations on endpoints that are told what happens: make, change, change keys, try out, see what was told, tell again.
//! A key is shown when it is made and never again; a URL is judged before anything is kept.

use super::decode::{Object, invalid, moment, query};
use super::{Asked, json_response, no_content};
use crate::callbacks::{may_set, signature};
use crate::dialects::{self, EndpointShape, timestamp};
use crate::fault::Fault;
use crate::http::Response;
use callwright_domain::agent::Switch;
use callwright_domain::webhook::{Endpoint, History, MOST_TRIES, Order, Status, Topics, Whose};
use callwright_domain::{AgentId, CallId, Moment, Origin, Pii, Topic, Webhook, WebhookId};
use callwright_engine::Told;
use callwright_store::StoreError;
use callwright_store::outbox::{Attempt, Delivery, Replay, Standing};
use http::{HeaderValue, StatusCode, header};
use rand::RngCore;
use serde_json::{Map, Value, json};

/// Deliveries on a page unless asked otherwise, and at most.
const PAGE: (u32, u32) = (50, 200);
/// Longest URL; the guard's own limit.
const MAX_URL: usize = 2048;
/// Longest description.
const MAX_DESCRIPTION: usize = 200;
/// Most headers of an endpoint, and the longest value of one.
const MAX_HEADERS: (usize, usize) = (20, 4096);
/// Most endpoints of an account; each costs a row with every event.
const MAX_WEBHOOKS: usize = 100;
/// Bytes of a key that we make.
const KEY_BYTES: usize = 32;
/// What is shown in the place of a header's value; sent back, it means as it was.
const HIDDEN: &str = "***";
/// The word that stands for every topic.
const ALL: &str = "*";

pub(super) async fn list(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let webhooks = asked.context.calls.reader().webhooks(&asked.account, None).await?;
    let webhooks: Vec<Value> = webhooks.iter().map(webhook_json).collect();
    Ok(json_response(StatusCode::OK, &json!({ "webhooks": webhooks })))
}

pub(super) async fn show(asked: &Asked<'_>) -> Result<Response, Fault> {
    Ok(json_response(StatusCode::OK, &webhook_json(&find(asked).await?)))
}

pub(super) async fn make(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut body = Object::of(asked.request)?;
    let whose = agent(&mut body)?;
    let status = status(&mut body)?.unwrap_or(Status::Enabled);
    let wanted = wanted(asked, body, None).await?;
    let reader = asked.context.calls.reader();
    if reader.webhooks(&asked.account, None).await?.len() >= MAX_WEBHOOKS {
        return Err(Fault::Conflict { rule: "an account has at most 100 webhooks", code: "too_many_webhooks" });
    }
    if let Whose::Agent(agent) = &whose
        && reader.agent(&asked.account, agent).await?.is_none()
    {
        return Err(invalid("agent", "no agent with this id exists; create it first"));
    }
    let webhook = wanted.of(asked, whose, status);
    put(asked, &webhook).await?;
    Ok(with_secret(StatusCode::CREATED, &webhook))
}

pub(super) async fn change(asked: &Asked<'_>) -> Result<Response, Fault> {
    let before = find(asked).await?;
    let mut body = Object::of(asked.request)?;
    // What a GET shows may be sent back.
    for shown in ["id", "created_at", "updated_at", "failing_since", "secrets", "call"] {
        body.take(shown);
    }
    let whose = match agent(&mut body)? {
        Whose::Account if matches!(before.whose, Whose::Call(_)) => before.whose.clone(),
        other => other,
    };
    // Sending back what the server has switched off must not switch it on by accident; only the word does.
    let status = status(&mut body)?.unwrap_or(before.status);
    let mut after = wanted(asked, body, Some(&before.endpoint.origin)).await?.of(asked, whose, status);
    after.id = before.id;
    after.created = before.created;
    for (name, value) in &mut after.endpoint.headers {
        let was = before.endpoint.headers.iter().find(|(was, _)| was == name).map(|(_, was)| was);
        if let Some(was) = was.filter(|_| value.expose() == HIDDEN) {
            value.clone_from(was);
        }
    }
    after.endpoint.secrets = before.endpoint.secrets;
    after.endpoint.origin = before.endpoint.origin;
    after.endpoint.history = before.endpoint.history;
    after.failing_since =
        before.failing_since.filter(|_| status != Status::Enabled || before.status == Status::Enabled);
    put(asked, &after).await?;
    Ok(json_response(StatusCode::OK, &webhook_json(&after)))
}

pub(super) async fn delete(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = id(asked)?;
    let gone = asked.context.calls.configure().delete_webhook(&asked.account, &id).await;
    if gone? { Ok(no_content()) } else { Err(missing()) }
}

/// A new key beside the one that was in use, so that receivers can change without a gap; or in its place.
pub(super) async fn rotate(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut webhook = find(asked).await?;
    let mut body = Object::of(asked.request)?;
    let secret = secret(&mut body)?;
    let keep: Option<bool> = body.typed("keep_previous")?;
    body.end()?;
    let secrets = &mut webhook.endpoint.secrets;
    secrets.insert(0, secret);
    secrets.truncate(if keep == Some(false) { 1 } else { 2 });
    webhook.updated = asked.request.received;
    put(asked, &webhook).await?;
    Ok(with_secret(StatusCode::OK, &webhook))
}

/// Tells a test now and says how it went.
pub(super) async fn test(asked: &Asked<'_>) -> Result<Response, Fault> {
    let webhook = find(asked).await?;
    let (told, took) = asked.context.calls.try_webhook(webhook, asked.request.received).await;
    let (delivered, status, detail) = match told {
        Told::Heard { status } => (true, Some(status), None),
        Told::Nothing => (false, None, Some(String::from("the endpoint's dialect has no word for a test"))),
        Told::Gone => (false, Some(410), Some(String::from("the receiver wants no more"))),
        Told::Failed(failure) => (false, failure.status, Some(failure.detail)),
    };
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let body = json!({"delivered": delivered, "status": status, "detail": detail, "took_ms": took});
    Ok(json_response(StatusCode::OK, &body))
}

pub(super) async fn deliveries(asked: &Asked<'_>) -> Result<Response, Fault> {
    let webhook = find(asked).await?;
    let parameters = query(asked.request, &["status", "limit", "cursor"])?;
    let text = |name: &str| parameters.get(name).map(String::as_str);
    let standing = |word: &str| {
        let rule = "must be one of pending, delivered, skipped, failed";
        Standing::of_word(word).ok_or_else(|| invalid("status", rule))
    };
    let standing = text("status").map(standing).transpose()?;
    let limit = match text("limit") {
        None => PAGE.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE.1).contains(limit))
            .ok_or_else(|| invalid("limit", &format!("must be a number from 1 to {}", PAGE.1)))?,
    };
    let reader = asked.context.calls.reader();
    let page = reader.deliveries(&asked.account, &webhook.id, standing, text("cursor"), limit).await;
    let page = page.map_err(|error| match error {
        StoreError::BadCursor => invalid("cursor", "must be the `next` of an earlier page"),
        other => other.into(),
    })?;
    let deliveries: Vec<Value> = page.items.iter().map(delivery_json).collect();
    Ok(json_response(StatusCode::OK, &json!({"deliveries": deliveries, "next": page.next})))
}

pub(super) async fn attempts(asked: &Asked<'_>) -> Result<Response, Fault> {
    let webhook = find(asked).await?;
    let message = asked.parts.get(1).map_or("", String::as_str);
    let attempts = asked.context.calls.reader().attempts(&asked.account, &webhook.id, message).await?;
    let attempts: Vec<Value> = attempts.iter().map(attempt_json).collect();
    Ok(json_response(StatusCode::OK, &json!({"id": message, "attempts": attempts})))
}

/// Tells one message again, whether it was heard or not.
pub(super) async fn replay_one(asked: &Asked<'_>) -> Result<Response, Fault> {
    let webhook = find(asked).await?;
    Object::of(asked.request)?.end()?;
    let message = asked.parts.get(1).cloned().unwrap_or_default();
    if replayed(asked, &webhook, Replay::One(message)).await? == 0 {
        return Err(Fault::Conflict { rule: "no settled delivery with this id exists", code: "not_settled" });
    }
    Ok(json_response(StatusCode::ACCEPTED, &json!({"replayed": 1})))
}

/// Tells every message again that was given up.
pub(super) async fn replay_failed(asked: &Asked<'_>) -> Result<Response, Fault> {
    let webhook = find(asked).await?;
    let mut body = Object::of(asked.request)?;
    let since = body.text("since", 64)?.ok_or_else(|| Fault::Missing { field: String::from("since") })?;
    body.end()?;
    let replayed = replayed(asked, &webhook, Replay::FailedSince(moment("since", &since)?)).await?;
    Ok(json_response(StatusCode::ACCEPTED, &json!({ "replayed": replayed })))
}

async fn replayed(asked: &Asked<'_>, webhook: &Webhook, which: Replay) -> Result<u64, Fault> {
    if webhook.status != Status::Enabled {
        let rule = "the webhook is switched off; enable it first";
        return Err(Fault::Conflict { rule, code: "webhook_disabled" });
    }
    let configure = asked.context.calls.configure();
    let replayed = configure.replay(&asked.account, &webhook.id, which, asked.request.received).await;
    replayed.map_err(Into::into)
}

/// The endpoint that a request for a call names for that call alone.
pub(super) async fn of_call(asked: &Asked<'_>, body: Object) -> Result<CallEndpoint, Fault> {
    let wanted = wanted(asked, body, None).await.map_err(|fault| match fault {
        Fault::Missing { field } => Fault::Missing { field: format!("webhook.{field}") },
        Fault::Invalid { field, rule } => Fault::Invalid { field: format!("webhook.{field}"), rule },
        Fault::Unknown { field, known } => Fault::Unknown { field: format!("webhook.{field}"), known },
        other => other,
    })?;
    Ok(CallEndpoint(wanted))
}

/// See [`of_call`].
pub(super) struct CallEndpoint(Wanted);

impl CallEndpoint {
    /// The endpoint of this call, to be made with the call. The call's own id takes the place of `call`.
    pub(super) fn webhook(self, asked: &Asked<'_>) -> Webhook {
        self.0.of(asked, Whose::Call(CallId::from_entropy(0)), Status::Enabled)
    }
}

/// What an owner says about an endpoint, checked.
struct Wanted {
    endpoint: Endpoint,
    topics: Topics,
}

impl Wanted {
    fn of(self, asked: &Asked<'_>, whose: Whose, status: Status) -> Webhook {
        let now = asked.request.received;
        let id = WebhookId::new(format!("wh{}", hex::encode(random::<16>()))).expect("hexadecimal digits are allowed");
        Webhook {
            id,
            account: asked.account.clone(),
            whose,
            endpoint: self.endpoint,
            topics: self.topics,
            status,
            failing_since: None,
            created: now,
            updated: now,
        }
    }
}

/// `before`: what the endpoint was made for, if it is there already.
async fn wanted(asked: &Asked<'_>, mut body: Object, before: Option<&Origin>) -> Result<Wanted, Fault> {
    let (dialect, shape) = shape(asked, &mut body, before).await?;
    let url = body.needed_text("url", MAX_URL)?;
    let description = body.text("description", MAX_DESCRIPTION)?.unwrap_or_default();
    let topics = topics(&mut body, shape.topics)?;
    let headers = headers(&mut body)?;
    let secret = secret(&mut body)?;
    let max_tries: u32 = body.typed("max_tries")?.unwrap_or(shape.tries);
    let ordered: Option<Switch> = body.typed("ordered")?;
    body.end()?;
    if !(1..=MOST_TRIES).contains(&max_tries) {
        return Err(invalid("max_tries", &format!("must be a number from 1 to {MOST_TRIES}")));
    }
    asked.context.guard.admit(&url).await.map_err(|why| invalid("url", &why.to_string()))?;
    let order = if ordered == Some(Switch::Off) { Order::Free } else { Order::PerCall };
    let origin = Origin { dialect, memo: shape.memo };
    let (secrets, history) = (vec![secret], History::AtEnd);
    let endpoint = Endpoint { url: Pii::new(url), description, secrets, headers, origin, max_tries, order, history };
    Ok(Wanted { endpoint, topics })
}

/// In whose words the endpoint is told, and what that takes.
async fn shape(
    asked: &Asked<'_>,
    body: &mut Object,
    before: Option<&Origin>,
) -> Result<(String, EndpointShape), Fault> {
    let given = body.text("dialect", 20)?;
    if let Some(origin) = before {
        if given.as_ref().is_some_and(|given| *given != origin.dialect) {
            return Err(invalid("dialect", "cannot be changed; make another webhook"));
        }
        let made = made_here(asked, &origin.dialect).await?;
        let any = || EndpointShape { memo: String::new(), topics: &[], tries: MOST_TRIES };
        return Ok((origin.dialect.clone(), made.unwrap_or_else(any)));
    }
    let dialect = given.unwrap_or_else(|| String::from("native"));
    let rule = "must be native or tencent; alibaba's endpoints are made by SetNotifyConfig, happyrobot's by hooks";
    let shape = made_here(asked, &dialect).await?.ok_or_else(|| invalid("dialect", rule))?;
    Ok((dialect, shape))
}

/// What a dialect's endpoints keep, if they are made here.
async fn made_here(asked: &Asked<'_>, dialect: &str) -> Result<Option<EndpointShape>, Fault> {
    match dialects::named(dialect) {
        Some(dialect) => dialect.endpoint(asked.request, asked.context, &asked.account).await,
        None => Ok(None),
    }
}

fn agent(body: &mut Object) -> Result<Whose, Fault> {
    let agent = body.text("agent", 64)?.map(AgentId::new).transpose();
    Ok(agent.map_err(|why| invalid("agent", &why.to_string()))?.map_or(Whose::Account, Whose::Agent))
}

/// What an owner may say: on or off. The other words are the server's.
fn status(body: &mut Object) -> Result<Option<Status>, Fault> {
    let word = body.text("status", 20)?;
    let known = |word: &String| Status::of_word(word).ok_or_else(|| invalid("status", "must be enabled or disabled"));
    Ok(match word.as_ref().map(known).transpose()? {
        // As a GET shows it: as it was.
        Some(Status::Gone | Status::Failing) | None => None,
        Some(status @ (Status::Enabled | Status::Disabled)) => Some(status),
    })
}

/// `possible`: what the endpoint's dialect has words for; empty: all.
fn topics(body: &mut Object, possible: &[Topic]) -> Result<Topics, Fault> {
    let all = || if possible.is_empty() { Topics::All } else { Topics::Only(possible.to_vec()) };
    let Some(words) = body.typed::<Vec<String>>("events")? else {
        return Ok(if possible.is_empty() { Topics::usual() } else { all() });
    };
    if words.iter().any(|word| word == ALL) {
        return Ok(all());
    }
    let possible = if possible.is_empty() { Topic::ALL } else { possible };
    let known = || possible.iter().map(|topic| topic.word()).collect::<Vec<_>>().join(", ");
    let rule = || format!("must be a list of at least one of {ALL}, {}", known());
    if words.is_empty() {
        return Err(invalid("events", &rule()));
    }
    let of_word = |word: &String| Topic::of_word(word).filter(|topic| possible.contains(topic));
    let topics: Option<Vec<Topic>> = words.iter().map(of_word).collect();
    let mut topics = topics.ok_or_else(|| invalid("events", &rule()))?;
    topics.sort_unstable();
    topics.dedup();
    Ok(Topics::Only(topics))
}

fn headers(body: &mut Object) -> Result<Vec<(String, Pii<String>)>, Fault> {
    let headers = body.texts("headers", MAX_HEADERS.1)?;
    if headers.len() > MAX_HEADERS.0 {
        return Err(invalid("headers", &format!("must be at most {} headers", MAX_HEADERS.0)));
    }
    for (name, value) in &headers {
        if !may_set(name) {
            return Err(invalid("headers", "must have names that a header may have and that the server does not set"));
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(invalid("headers", "must have values that a header may carry"));
        }
    }
    Ok(headers.into_iter().map(|(name, value)| (name, Pii::new(value))).collect())
}

fn secret(body: &mut Object) -> Result<Pii<String>, Fault> {
    let given = body.text("secret", 200)?;
    if given.as_deref().is_some_and(|given| signature::key_of(given).is_none()) {
        return Err(invalid("secret", "must be `whsec_` and 24 to 64 bytes in Base64"));
    }
    Ok(Pii::new(given.unwrap_or_else(|| signature::text_of(&random::<KEY_BYTES>()))))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The thread's generator is cryptographically strong and seeded by the operating system.
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn id(asked: &Asked<'_>) -> Result<WebhookId, Fault> {
    WebhookId::new(asked.part()).map_err(|_| missing())
}

async fn find(asked: &Asked<'_>) -> Result<Webhook, Fault> {
    let id = id(asked)?;
    let found = asked.context.calls.reader().webhook(&asked.account, &id).await?;
    found.ok_or_else(missing)
}

async fn put(asked: &Asked<'_>, webhook: &Webhook) -> Result<(), Fault> {
    asked.context.calls.configure().put_webhook(webhook).await.map_err(Into::into)
}

fn missing() -> Fault {
    Fault::NotFound { what: "webhook" }
}

/// An endpoint with its newest key, which is not shown again.
fn with_secret(status: StatusCode, webhook: &Webhook) -> Response {
    let mut shown = webhook_json(webhook);
    shown["secret"] = json!(webhook.endpoint.secrets.first().map(Pii::expose));
    let mut response = json_response(status, &shown);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn webhook_json(webhook: &Webhook) -> Value {
    let endpoint = &webhook.endpoint;
    let headers: Map<String, Value> = endpoint.headers.iter().map(|(name, _)| (name.clone(), json!(HIDDEN))).collect();
    let mut shown = json!({
        "id": webhook.id,
        "url": endpoint.url.expose(),
        "dialect": endpoint.origin.dialect,
        "description": endpoint.description,
        "events": match &webhook.topics {
            Topics::All => json!([ALL]),
            Topics::Only(topics) => json!(topics),
        },
        "headers": headers,
        "max_tries": endpoint.max_tries,
        "ordered": Switch::from(endpoint.order == Order::PerCall),
        "status": webhook.status.word(),
        "failing_since": webhook.failing_since.map(timestamp),
        "secrets": endpoint.secrets.len(),
        "created_at": timestamp(webhook.created),
        "updated_at": timestamp(webhook.updated),
    });
    match &webhook.whose {
        Whose::Account => {}
        Whose::Agent(agent) => shown["agent"] = json!(agent),
        Whose::Call(call) => shown["call"] = json!(call),
    }
    shown
}

fn delivery_json(delivery: &Delivery) -> Value {
    let at = |moment: Option<Moment>| moment.map(timestamp);
    json!({
        "id": delivery.message,
        "event": delivery.topic.word(),
        "call": delivery.event.map(|(call, _)| call),
        "seq": delivery.event.map(|(_, seq)| seq),
        "at": timestamp(delivery.at),
        "status": delivery.standing.word(),
        "tries": delivery.tries,
        "next_try_at": at(delivery.due),
        "settled_at": at(delivery.settled),
    })
}

fn attempt_json(attempt: &Attempt) -> Value {
    let took = u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX);
    let detail = if attempt.detail.is_empty() { Value::Null } else { json!(attempt.detail) };
    json!({"at": timestamp(attempt.at), "took_ms": took, "status": attempt.status, "detail": detail})
}
