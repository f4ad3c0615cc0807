//! Operations on calls: start, list, show, end, speak, hand over, live events. What was recorded is [`super::recordings`]'.

use super::decode::{Object, invalid, moment, number, query};
use super::refusals::{not_ordered, not_started, refused};
use super::{Asked, json_response, profile, webhooks};
use crate::dialects::{judge_services, timestamp, transfer_target};
use crate::fault::Fault;
use crate::feed::{self, Feed, Start};
use crate::http::Response;
use crate::links::Purpose;
use crate::socket;
use axum::body::Body;
use callwright_domain::campaign::{RetryPlan, Windows};
use callwright_domain::policy::Verdict;
use callwright_domain::retry::Retries;
use callwright_domain::transcript::{Speaker, TranscriptLine, of_journal};
use callwright_domain::{
    AccountId, AgentId, AgentPatch, AgentProfile, BrowserPlace, CallId, CallState, Moment, Origin, Pii, Recorded,
    Refusal, ThreadId, Transfer, Webhook,
};
use callwright_engine::{Calls, HangUp, OrderError, Repeat, Speech, StartCall};
use callwright_store::{CallFilter, CallView, Idempotency, Stage, StoredFindings};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest opaque text of a requester.
const MAX_USER_DATA: usize = 4096;
/// Longest value of a variable.
const MAX_VARIABLE: usize = 8192;
/// Longest that a call may wait for a place: a day.
const MAX_WAIT_S: u64 = 24 * 60 * 60;
/// Journal events shown with a call; the rest is in the feed.
const SHOWN_EVENTS: u32 = 1000;
/// Calls on a page unless asked otherwise, and at most.
const PAGE: (u32, u32) = (50, 200);
/// Links to recordings.
pub(super) const LINK: Purpose = Purpose("native");

pub(super) async fn start(asked: &Asked<'_>) -> Result<Response, Fault> {
    let (calls, now) = (&asked.context.calls, asked.request.received);
    let (request, endpoint) = decode(asked).await?;
    if is_dry_run(asked)? {
        return try_out(asked, request).await;
    }
    let secret = endpoint.as_ref().and_then(|webhook| webhook.endpoint.secrets.first().cloned());
    let started = match calls.start_told(request, endpoint, now).await {
        Ok(started) => started,
        Err(error) => return not_started(asked.request, &error),
    };
    let waits = started.waits.map(Refusal::id);
    let plan = match started.plan {
        Some(plan) => *plan,
        None => calls.reader().call(&asked.account, started.id).await?.ok_or(Fault::Internal)?.plan,
    };
    let mut body = json!({
        "id": plan.id,
        "status": "queued",
        "agent": plan.agent_id,
        "to": plan.callee(),
        "from": plan.caller(),
        "created_at": timestamp(plan.created),
        "waiting_for": waits,
    });
    if let Some(secret) = secret.filter(|_| started.repeat == Repeat::First) {
        body["webhook"] = json!({"secret": secret.expose()});
    }
    let mut response = json_response(StatusCode::ACCEPTED, &body);
    if started.repeat == Repeat::Replayed {
        response
            .headers_mut()
            .insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// What a request says of any call, dialled or met.
pub(super) struct Common {
    pub(super) agent: AgentId,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) user_data: Option<Pii<String>>,
    pub(super) thread: Option<ThreadId>,
    pub(super) patch: AgentPatch,
}

pub(super) fn common(asked: &Asked<'_>, body: &mut Object) -> Result<Common, Fault> {
    let agent = AgentId::new(body.needed_text("agent", 64)?).map_err(|why| invalid("agent", &why.to_string()))?;
    let variables = body.texts("variables", MAX_VARIABLE)?;
    let user_data = body.text("user_data", MAX_USER_DATA)?.map(Pii::new);
    let thread = body.text("thread", 255)?.map(ThreadId::new).transpose();
    let thread = thread.map_err(|why| invalid("thread", &why.to_string()))?;
    let patch: AgentPatch = body.object("overrides")?.unwrap_or_default();
    let mut overlaid = AgentProfile::default();
    patch.clone().apply(&mut overlaid);
    judge_services(asked.context, &overlaid)
        .map_err(|(field, why)| invalid(&format!("overrides.{field}"), &why.to_string()))?;
    profile::check_patch(&patch).map_err(|(field, rule)| invalid(&format!("overrides.{field}"), &rule))?;
    Ok(Common { agent, variables, user_data, thread, patch })
}

/// Whether only the verdict is wanted.
fn is_dry_run(asked: &Asked<'_>) -> Result<bool, Fault> {
    match query(asked.request, &["dry_run"])?.get("dry_run").map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid("dry_run", "must be true or false")),
    }
}

/// The verdict that the request would have, and what it is made of. Nothing is kept.
async fn try_out(asked: &Asked<'_>, request: StartCall) -> Result<Response, Fault> {
    let (plan, evidence) = match asked.context.calls.try_out(request, asked.request.received).await {
        Ok(tried) => tried,
        Err(error) => return not_started(asked.request, &error),
    };
    let body = json!({
        "dry_run": true,
        "verdict": evidence.verdict,
        "rule": evidence.refusal.map(Refusal::id),
        "message": evidence.refusal.map(|refusal| refusal.to_string()),
        "dialled_at": (evidence.verdict == Verdict::Placed).then(|| timestamp(evidence.at)),
        "agent": plan.agent_id,
        "to": plan.callee(),
        "from": plan.caller(),
        "evidence": evidence,
    });
    Ok(json_response(StatusCode::OK, &body))
}

async fn decode(asked: &Asked<'_>) -> Result<(StartCall, Option<Webhook>), Fault> {
    let mut body = Object::of(asked.request)?;
    let Common { agent, variables, user_data, thread, patch } = common(asked, &mut body)?;
    let callee = body.number("to")?.ok_or_else(|| Fault::Missing { field: String::from("to") })?;
    let callers = body.numbers("from")?;
    let due = body.moment("scheduled_for")?;
    let deadline = body.moment("deadline")?;
    let wait = wait(body.take("wait_s"))?;
    let retry = retry(&mut body)?;
    let endpoint = body.inner("webhook")?;
    body.end()?;
    let now = asked.request.received;
    if deadline.is_some_and(|deadline| deadline <= due.unwrap_or(now)) {
        return Err(invalid("deadline", "must be later than the time of the call"));
    }
    let endpoint = match endpoint {
        None => None,
        Some(endpoint) => Some(webhooks::of_call(asked, endpoint).await?.webhook(asked)),
    };
    let request = StartCall {
        account: asked.account.clone(),
        agent: agent.into(),
        patch,
        callee,
        callers,
        variables,
        user_data,
        thread,
        due,
        deadline,
        wait,
        retry,
        once: idempotency(asked)?,
        origin: Origin { dialect: String::from("native"), memo: String::new() },
        outer: None,
    };
    Ok((request, endpoint))
}

/// How long a call may wait for a place.
fn wait(given: Option<Value>) -> Result<Duration, Fault> {
    let Some(given) = given else { return Ok(Duration::ZERO) };
    let seconds = given.as_u64().filter(|seconds| *seconds <= MAX_WAIT_S);
    let rule = format!("must be a whole number from 0 to {MAX_WAIT_S}");
    seconds.map(Duration::from_secs).ok_or_else(|| invalid("wait_s", &rule))
}

/// The plan for trying again.
fn retry(body: &mut Object) -> Result<Option<Retries>, Fault> {
    let Some(mut given) = body.inner("retry")? else { return Ok(None) };
    let windows: Option<Windows> = given.object("windows").map_err(|fault| fault.below("retry"))?;
    let plan: RetryPlan = given.whole().map_err(|fault| fault.below("retry"))?;
    let retries = Retries::new(plan, windows);
    retries.check().map_err(|flaw| invalid(&flaw.field, &flaw.rule))?;
    Ok(Some(retries))
}

pub(super) fn idempotency(asked: &Asked<'_>) -> Result<Option<Idempotency>, Fault> {
    let name = "Idempotency-Key";
    if !asked.request.headers.contains_key(name) {
        return Ok(None);
    }
    let rule = "must be 1 to 255 visible ASCII characters";
    let key = asked.request.header(name).ok_or_else(|| invalid(name, rule))?;
    if key.is_empty() || key.len() > 255 || !key.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err(invalid(name, rule));
    }
    let body_hash = Sha256::digest(&asked.request.body).into();
    Ok(Some(Idempotency { key: key.to_owned(), body_hash }))
}

pub(super) async fn list(asked: &Asked<'_>) -> Result<Response, Fault> {
    let known = ["status", "agent", "to", "from", "since", "until", "limit", "cursor"];
    let parameters = query(asked.request, &known)?;
    let text = |name: &str| parameters.get(name).map(String::as_str);
    let stage = |word: &str| {
        let rule = "must be one of queued, dialing, ringing, talking, transferring, ended";
        Stage::of_word(word).ok_or_else(|| invalid("status", rule))
    };
    let filter = CallFilter {
        state: text("status").map(stage).transpose()?,
        agent: text("agent").map(AgentId::new).transpose().map_err(|why| invalid("agent", &why.to_string()))?,
        callee: text("to").map(|text| number("to", text)).transpose()?,
        caller: text("from").map(|text| number("from", text)).transpose()?,
        since: text("since").map(|text| moment("since", text)).transpose()?,
        until: text("until").map(|text| moment("until", text)).transpose()?,
        ..CallFilter::default()
    };
    let limit = match text("limit") {
        None => PAGE.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=PAGE.1).contains(limit))
            .ok_or_else(|| invalid("limit", &format!("must be a number from 1 to {}", PAGE.1)))?,
    };
    let reader = asked.context.calls.reader();
    let page = reader.calls(&asked.account, &filter, text("cursor"), limit).await.map_err(|error| match error {
        callwright_store::StoreError::BadCursor => invalid("cursor", "must be the `next` of an earlier page"),
        other => other.into(),
    })?;
    let calls: Vec<Value> = page.items.iter().map(summary).collect();
    Ok(json_response(StatusCode::OK, &json!({"calls": calls, "next": page.next})))
}

pub(super) async fn show(asked: &Asked<'_>) -> Result<Response, Fault> {
    let view = find(asked).await?;
    Ok(json_response(StatusCode::OK, &whole(&asked.context.calls, &asked.account, &view).await?))
}

/// A call with what was said, what happened and what was found out.
pub(super) async fn whole(calls: &Calls, account: &AccountId, view: &CallView) -> Result<Value, Fault> {
    let reader = calls.reader();
    let journal = reader.journal(account, view.plan.id, 0, SHOWN_EVENTS).await?;
    let mut body = summary(view);
    body["transcript"] = of_journal(&journal).iter().map(transcript_line).collect();
    body["timeline"] = journal.iter().map(timeline_line).collect();
    let found = reader.findings(account, view.plan.id).await;
    body["extract"] = json!(found?.as_ref().map(extract_json));
    Ok(body)
}

pub(super) async fn hang_up(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = call_id(asked)?;
    let how = how_to_hang_up(asked)?;
    asked.context.calls.hang_up(&asked.account, id, how).await.map_err(|error| not_ordered(&error))?;
    match accepted(asked).await {
        // It is done; where the call stands now cannot be looked up.
        Err(Fault::Storage(_)) => Ok(ordered(id)),
        outcome => outcome,
    }
}

/// The same for a call that this node runs, while the database is away.
pub(super) fn hang_up_here(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = call_id(asked)?;
    let how = how_to_hang_up(asked)?;
    match asked.context.calls.hang_up_here(&asked.account, id, how) {
        Ok(()) => Ok(ordered(id)),
        Err(OrderError::UnknownCall) => Err(Fault::Storage(
            "the server's storage cannot be reached just now, and this server does not run the call",
        )),
        Err(error) => Err(not_ordered(&error)),
    }
}

fn how_to_hang_up(asked: &Asked<'_>) -> Result<HangUp, Fault> {
    let mut body = Object::of(asked.request)?;
    let after_sentence: Option<bool> = body.typed("after_sentence")?;
    body.end()?;
    Ok(if after_sentence == Some(true) { HangUp::AfterSentence } else { HangUp::Now })
}

fn ordered(call: CallId) -> Response {
    json_response(StatusCode::ACCEPTED, &json!({ "id": call }))
}

pub(super) async fn say(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = call_id(asked)?;
    let mut body = Object::of(asked.request)?;
    let text = body.needed_text("text", 1024)?;
    let interruptible: Option<bool> = body.typed("interruptible")?;
    body.end()?;
    let speech = if interruptible == Some(false) { Speech::Insistent } else { Speech::Interruptible };
    asked.context.calls.say(&asked.account, id, text, speech).await.map_err(|error| not_ordered(&error))?;
    accepted(asked).await
}

pub(super) async fn hear(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = call_id(asked)?;
    let mut body = Object::of(asked.request)?;
    let text = body.needed_text("text", 4000)?;
    body.end()?;
    asked.context.calls.hear(&asked.account, id, text).await.map_err(|error| not_ordered(&error))?;
    accepted(asked).await
}

pub(super) async fn transfer(asked: &Asked<'_>) -> Result<Response, Fault> {
    let id = call_id(asked)?;
    let mut body = Object::of(asked.request)?;
    let to = transfer_target(&body.needed_text("to", 256)?).map_err(|rule| invalid("to", &rule))?;
    let announcement = body.text("announcement", 1024)?.unwrap_or_default();
    let apology = body.text("apology", 1024)?.unwrap_or_default();
    body.end()?;
    match asked.context.calls.transfer(&asked.account, id, Transfer { to, announcement, apology }).await {
        Ok(()) => accepted(asked).await,
        Err(OrderError::Refused(refusal)) => Ok(refused(asked.request, refusal)),
        Err(error) => Err(not_ordered(&error)),
    }
}

pub(super) async fn events(asked: &Asked<'_>) -> Result<Response, Fault> {
    let view = find(asked).await?;
    let after = asked.request.header("last-event-id").and_then(|id| id.parse().ok()).unwrap_or(0);
    if is_told(asked, &view, after).await? {
        // Browsers ask again when a stream ends; this answer ends that (the HTML standard's server-sent events).
        return Ok(super::no_content());
    }
    Ok(event_stream(feed::of_call(asked.context.calls.clone(), asked.account.clone(), view.plan.id, after)))
}

/// Whether a watcher that has seen the events up to `after` has seen all that there will ever be.
async fn is_told(asked: &Asked<'_>, view: &CallView, after: u64) -> Result<bool, Fault> {
    let CallState::Ended(_) = view.state else { return Ok(false) };
    let settled = view.timeline.ended.is_some_and(|ended| asked.request.received.since(ended) > feed::AFTER_END);
    if view.recording.is_none() && !settled {
        return Ok(false);
    }
    let more = asked.context.calls.reader().journal(&asked.account, view.plan.id, after, 1).await;
    Ok(more?.is_empty())
}

pub(super) fn all_events(asked: &Asked<'_>) -> Result<Response, Fault> {
    let now = asked.request.received;
    let start = match asked.request.header("last-event-id").filter(|id| !id.is_empty()) {
        None => Start::Now,
        Some(id) => feed::place_after(id)
            .ok_or_else(|| invalid("Last-Event-ID", "must be the id of an event of this stream"))?,
    };
    if matches!(&start, Start::Place { since, .. } if now.since(*since) > feed::BACK) {
        return Err(invalid("Last-Event-ID", "must be of the last hour; older calls are read one by one"));
    }
    Ok(event_stream(feed::of_account(asked.context.calls.clone(), asked.account.clone(), start, now)))
}

/// The same events over a WebSocket, of one call or of all, from a place on or from now on.
pub(super) async fn feed(asked: &Asked<'_>) -> Result<Response, Fault> {
    let parameters = query(asked.request, &["call", "after", "since", "seen"])?;
    let text = |name: &str| parameters.get(name).map(String::as_str);
    let (calls, account, now) = (asked.context.calls.clone(), asked.account.clone(), asked.request.received);
    let handshake = socket::handshake(asked.request)?;
    let feed = if let Some(call) = text("call") {
        if let Some(name) = ["since", "seen"].into_iter().find(|name| text(name).is_some()) {
            return Err(invalid(name, "is for all calls; with `call` give `after`"));
        }
        let place = |text: &str| text.parse().map_err(|_| invalid("after", "must be the `seq` of an event"));
        let after = text("after").map(place).transpose()?.unwrap_or(0);
        let call = call.parse().map_err(|_| Fault::NotFound { what: "call" })?;
        let call = find_id(asked, call).await?.plan.id;
        Feed::of_call(calls, account, call, after)
    } else {
        if text("after").is_some() {
            return Err(invalid("after", "is for one call; give `call`, or `since` and `seen`"));
        }
        Feed::of_account(calls, account, place_of(text("since"), text("seen"), now)?, now)
    };
    Ok(socket::accept(handshake, feed))
}

/// Where a watcher of all calls was: `since` is the `at` of the newest event that it has, `seen` the last `seq` that it has
/// of each call lately, as `CALL:SEQ,CALL:SEQ`.
fn place_of(since: Option<&str>, seen: Option<&str>, now: Moment) -> Result<Start, Fault> {
    let Some(since) = since.map(|text| moment("since", text)).transpose()? else {
        return match seen {
            Some(_) => Err(invalid("seen", "needs `since`")),
            None => Ok(Start::Now),
        };
    };
    if now.since(since) > feed::BACK {
        return Err(invalid("since", "must be within the last hour; older calls are read one by one"));
    }
    let pair = |text: &str| {
        let (call, seq) = text.split_once(':')?;
        Some((call.parse().ok()?, seq.parse().ok()?))
    };
    let seen = seen.unwrap_or_default().split(',').filter(|text| !text.is_empty());
    let seen = seen.map(|text| pair(text).ok_or_else(|| invalid("seen", "must be CALL:SEQ pairs with commas between")));
    Ok(Start::Place { since, seen: seen.collect::<Result<_, _>>()? })
}

fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to an order: where the call stands. The order is carried out beside the request.
async fn accepted(asked: &Asked<'_>) -> Result<Response, Fault> {
    let view = find(asked).await?;
    let body = json!({"id": view.plan.id, "status": Stage::from(view.state).word()});
    Ok(json_response(StatusCode::ACCEPTED, &body))
}

fn call_id(asked: &Asked<'_>) -> Result<CallId, Fault> {
    asked.part().parse().map_err(|_| Fault::NotFound { what: "call" })
}

/// The call of the path, of this account; any other is not told apart from none.
pub(super) async fn find(asked: &Asked<'_>) -> Result<CallView, Fault> {
    find_id(asked, call_id(asked)?).await
}

async fn find_id(asked: &Asked<'_>, id: CallId) -> Result<CallView, Fault> {
    let reader = asked.context.calls.reader();
    if let Some(found) = reader.call(&asked.account, id).await? {
        return Ok(found);
    }
    match reader.departed(&asked.account, id).await? {
        Some(absence) => Err(Fault::Gone { what: "call", absence }),
        None => Err(Fault::NotFound { what: "call" }),
    }
}

/// What was found out about a call after its end.
fn extract_json(found: &StoredFindings) -> Value {
    let findings = &found.findings;
    json!({
        "state": found.state.word(),
        "facts": findings.facts,
        "tag": findings.tag,
        "reason": findings.reason,
        "summary": findings.summary,
        "mood": findings.mood,
        "intention": findings.intention,
        "error": Some(&found.detail).filter(|detail| !detail.is_empty()),
        "updated_at": timestamp(found.updated),
    })
}

pub(super) fn summary(view: &CallView) -> Value {
    let plan = &view.plan;
    let at = |moment: Option<Moment>| moment.map(timestamp);
    let talked = match (view.timeline.answered, view.timeline.ended) {
        (Some(answered), Some(ended)) => Some(ended.since(answered).as_secs_f64()),
        _ => None,
    };
    json!({
        "id": plan.id,
        "status": Stage::from(view.state).word(),
        "agent": plan.agent_id,
        "to": plan.callee(),
        "from": plan.caller(),
        "trunk": plan.telephone().map(|telephone| &telephone.trunk),
        "browser": plan.browser().map(place),
        "user_data": plan.user_data,
        "thread": plan.thread,
        "variables": plan.variables,
        "created_at": timestamp(plan.created),
        "scheduled_for": timestamp(plan.due),
        "retry": plan.retry.as_ref().map(|retries| retry_shown(view, retries)),
        "waiting_for": waiting_for(view),
        "waits_until": at(view.waits.and_then(|waits| waits.until)),
        "dialing_at": at(view.timeline.dialing),
        "ringing_at": at(view.timeline.ringing),
        "answered_at": at(view.timeline.answered),
        "ended_at": at(view.timeline.ended),
        "duration_s": talked,
        "cause": if let CallState::Ended(cause) = view.state { json!(cause) } else { Value::Null },
        "sip_status": view.status,
        "q850": view.q850,
        "recording": view.recording.as_ref().map(|_| format!("/v1/calls/{}/recording", plan.id)),
        "gone": {"recording": view.recording_gone, "transcript": view.words_gone},
    })
}

/// Where a call is met.
fn place(place: &BrowserPlace) -> Value {
    json!({
        "channel": place.channel,
        "user": place.user,
        "agent_user": place.agent_user,
        "join_by": timestamp(place.joins_until),
    })
}

fn retry_shown(view: &CallView, retries: &Retries) -> Value {
    json!({
        "on": retries.plan.on,
        "max_attempts": retries.plan.max_attempts,
        "waits_s": retries.plan.waits_s,
        "windows": retries.windows,
        "attempt": retries.attempt,
        "first": retries.first.unwrap_or(view.plan.id),
        "next": view.next,
    })
}

/// The rule in the way of a call that waits for a place.
fn waiting_for(view: &CallView) -> Option<&'static str> {
    view.waits.map(|waits| waits.rule.id())
}

pub(super) fn transcript_line(line: &TranscriptLine) -> Value {
    let speaker = match line.speaker {
        Speaker::Callee => "callee",
        Speaker::Agent => "agent",
    };
    json!({
        "speaker": speaker,
        "text": line.text,
        "at": timestamp(line.at),
        "began_at": line.span.map(|span| timestamp(span.around(line.at).0)),
        "ended_at": line.span.map(|span| timestamp(span.around(line.at).1)),
        "interrupted": line.interrupted,
        "latency": line.latency,
    })
}

pub(super) fn timeline_line(recorded: &Recorded) -> Value {
    feed::event_json(recorded)
}
