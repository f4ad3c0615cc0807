//! `POST /dial/outbound` and its siblings for many calls. Null and absent are the same; members that the vendor does not
//! know are ignored, as it does. Every id of an agent, a prompt or a model names a stored agent and takes that part of it.

use super::ids::{DIALECT, every_agent, name_of};
use super::view::{LANGUAGES, call};
use super::words::Complaint;
use super::{Asked, ids, retries};
use crate::dialects::native::{invalid, moment};
use crate::fault::Fault;
use callwright_domain::agent::{AgentProfile, BrainPatch, OpeningPatch, VoicePatch};
use callwright_domain::{AgentId, AgentPatch, Moment, Origin, PhoneNumber, Pii};
use callwright_engine::{HangUp, StartCall};
use callwright_store::{CallView, Idempotency, StoredAgent};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest text of a member that is no list or object.
const MAX_TEXT: usize = 1024;
/// Longest metadata as JSON, in bytes.
const MAX_METADATA: usize = 16 * 1024;
/// Most values of a prompt's template, and the longest, in bytes.
const MAX_PARAMS: (usize, usize) = (200, 8192);
/// Longest call, in minutes.
const MAX_MINUTES: u64 = 24 * 60;
/// Most calls of one request; the vendor names no limit.
const MAX_BATCH: usize = 500;
/// Calls of one request wait so long before the first rings: should a later one be refused, none does.
const HOLD: Duration = Duration::from_millis(1500);
/// What the deprecated `model` may be.
const MODELS: [&str; 3] = ["Fast", "Balanced", "Robust"];

/// An object of parameters.
pub(super) struct Fields<'a> {
    members: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(value: &'a Value, what: &str) -> Result<Self, Fault> {
        let members = value.as_object();
        Ok(Self { members: members.ok_or_else(|| Fault::Malformed { rule: format!("{what} must be a JSON object") })? })
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| invalid(name, "must be a string"))?;
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(invalid(name, &format!("must be at most {MAX_TEXT} bytes without control characters")));
        }
        Ok(Some(text))
    }

    fn needed(&self, name: &str) -> Result<&'a str, Fault> {
        self.text(name)?.ok_or_else(|| Fault::Missing { field: name.to_owned() })
    }

    fn minutes(&self, name: &str) -> Result<Option<u64>, Fault> {
        let rule = format!("must be a whole number from 1 to {MAX_MINUTES}");
        let read = |value: &Value| value.as_u64().filter(|n| (1..=MAX_MINUTES).contains(n));
        self.raw(name).map(|value| read(value).ok_or_else(|| invalid(name, &rule))).transpose()
    }
}

/// POST /dial/outbound.
pub(super) async fn outbound(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let body = asked.body()?;
    let mut wanted = decode(asked, &Fields::of(&body, "the body")?).await?;
    wanted.once = idempotency(asked)?.map(|key| once(asked, key));
    let view = start(asked, wanted).await?;
    ids::keep(asked.context, &asked.book, std::slice::from_ref(&view)).await?;
    Ok(call(&view, &asked.book, asked.request.received))
}

/// POST /dial/outbound-batched.
pub(super) async fn batched(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let body = asked.body()?;
    let elements = body.as_array().ok_or_else(|| Complaint::bad("the body must be a JSON array"))?;
    let mut wanted = Vec::new();
    for (at, element) in within(elements)?.iter().enumerate() {
        let fields = Fields::of(element, "each element").map_err(|fault| Complaint::from(fault).at(at))?;
        wanted.push(decode(asked, &fields).await.map_err(|complaint| complaint.at(at))?);
    }
    Ok(Value::Array(together(asked, wanted).await?))
}

fn within(elements: &[Value]) -> Result<&[Value], Complaint> {
    if elements.len() <= MAX_BATCH {
        return Ok(elements);
    }
    Err(Complaint::bad(format!("at most {MAX_BATCH} calls may be in one request")))
}

/// Members of POST /dial/scheduled that are not built; an empty one asks for nothing.
const NOT_SCHEDULED: [&str; 1] = ["csv_file"];
/// Members of one of its calls that are no values for the prompt.
const OWN_MEMBERS: [&str; 5] = ["phone_number", "scheduled_date", "scheduled_time", "timezone", "max_duration_mins"];

/// POST /dial/scheduled.
pub(super) async fn scheduled(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let body = asked.body()?;
    let fields = Fields::of(&body, "the body")?;
    for name in NOT_SCHEDULED {
        let empty = |value: &Value| *value == json!(0) || *value == json!("") || *value == json!([]);
        if fields.raw(name).is_some_and(|value| !empty(value)) {
            return Err(Complaint::unsupported(&format!("the parameter {name}")));
        }
    }
    let elements = fields.raw("calls").ok_or_else(|| Fault::Missing { field: String::from("calls") })?;
    let elements = elements.as_array().ok_or_else(|| invalid("calls", "must be a list of objects"))?;
    // The vendor's example has a list in the list.
    let elements = match elements.as_slice() {
        [Value::Array(inner)] => inner,
        _ => elements,
    };
    let gap = fields.minutes("staggered_interval_minutes")?.unwrap_or(0);
    let retry = retries::of(&fields)?;
    let mut wanted = Vec::new();
    for (at, element) in within(elements)?.iter().enumerate() {
        let waits = gap * u64::try_from(at).unwrap_or(0);
        let element = scheduled_call(&body, element, asked.request.received.after(Duration::from_secs(waits * 60)))
            .map_err(|fault| Complaint::from(fault).at(at))?;
        let fields = Fields { members: &element };
        let call = decode(asked, &fields).await.map_err(|complaint| complaint.at(at))?;
        wanted.push(StartCall { retry: retry.clone(), ..call });
    }
    Ok(json!({"createdCalls": together(asked, wanted).await?}))
}

/// A call of a campaign in the form of a single one. `turn` is when it is its turn if it names no time of its own.
fn scheduled_call(body: &Value, element: &Value, turn: Moment) -> Result<Map<String, Value>, Fault> {
    let own = Fields::of(element, "each of calls")?;
    let mut whole = body.as_object().cloned().unwrap_or_default();
    let mut params = whole.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    let more = own.members.iter().filter(|(name, _)| !OWN_MEMBERS.contains(&name.as_str()));
    params.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    whole.insert(String::from("params"), Value::Object(params));
    for name in ["phone_number", "max_duration_mins"] {
        if let Some(value) = own.raw(name) {
            whole.insert(name.to_owned(), value.clone());
        }
    }
    if let (None, Some(name)) = (whole.get("campaign_id"), whole.get("campaign_name").cloned()) {
        whole.insert(String::from("campaign_id"), name);
    }
    let due = match own.text("scheduled_date")? {
        None => turn,
        Some(date) => {
            let (hour, zone) =
                (own.text("scheduled_time")?.unwrap_or("00:00:00"), own.text("timezone")?.unwrap_or("UTC"));
            let rule = "must be a date such as 2024-01-01, with a time such as 01:01:01 and a time zone such as UTC";
            let at = format!("{date}T{hour}").parse::<jiff::civil::DateTime>();
            let at = at.and_then(|at| at.in_tz(zone)).map_err(|_| invalid("scheduled_date", rule))?;
            Moment(at.timestamp().as_millisecond())
        }
    };
    whole.insert(String::from("scheduled_for"), json!(super::view::time(due)));
    Ok(whole)
}

/// Makes all calls or none.
async fn together(asked: &Asked<'_>, wanted: Vec<StartCall>) -> Result<Vec<Value>, Complaint> {
    let key = idempotency(asked)?.map(|key| hex::encode(Sha256::digest(key)));
    let hold = asked.request.received.after(HOLD);
    let mut views = Vec::new();
    for (at, mut call) in wanted.into_iter().enumerate() {
        call.due = Some(call.due.unwrap_or(hold).max(hold));
        call.once = key.as_ref().map(|key| once(asked, &format!("{key}#{at}")));
        match start(asked, call).await {
            Ok(view) => views.push(view),
            Err(complaint) => {
                give_up(asked, &views).await;
                return Err(complaint.at(at));
            }
        }
    }
    ids::keep(asked.context, &asked.book, &views).await?;
    Ok(views.iter().map(|view| call(view, &asked.book, asked.request.received)).collect())
}

/// Ends calls that have not rung yet.
async fn give_up(asked: &Asked<'_>, views: &[CallView]) {
    for view in views {
        let ended = asked.context.calls.hang_up(&asked.key.account, view.plan.id, HangUp::Now).await;
        if let Err(error) = ended {
            tracing::warn!(call = %view.plan.id, %error, "a call of a refused batch could not be cancelled");
        }
    }
}

async fn start(asked: &Asked<'_>, wanted: StartCall) -> Result<CallView, Complaint> {
    let started = asked.context.calls.start(wanted, asked.request.received).await?;
    let view = asked.context.calls.reader().call(&asked.key.account, started.id).await;
    Ok(view.map_err(|error| ids::storage(&error))?.ok_or(Fault::Internal)?)
}

fn idempotency<'a>(asked: &'a Asked<'_>) -> Result<Option<&'a str>, Fault> {
    let name = "Idempotency-Key";
    if !asked.request.headers.contains_key(name) {
        return Ok(None);
    }
    let key = asked.request.header(name).filter(|key| !key.is_empty() && key.len() <= 255);
    let key = key.filter(|key| key.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
    key.map(Some).ok_or_else(|| invalid(name, "must be 1 to 255 visible ASCII characters"))
}

fn once(asked: &Asked<'_>, key: &str) -> Idempotency {
    Idempotency { key: key.to_owned(), body_hash: Sha256::digest(&asked.request.body).into() }
}

/// One call as it is asked for.
async fn decode(asked: &Asked<'_>, fields: &Fields<'_>) -> Result<StartCall, Complaint> {
    let number = fields.needed("number_id")?;
    let callee = fields.needed("phone_number")?;
    let callee = PhoneNumber::parse(callee).map_err(|why| invalid("phone_number", &why.to_string()))?;
    let number = asked.book.find_number(asked.context, number).await?.ok_or(Fault::NotFound { what: "number" })?;
    let case = use_case(asked, fields).await?;
    let parts = Parts::of(asked, fields).await?;
    let (mut patch, mut agent) = (AgentPatch::default(), (&case.id, &case.profile));
    parts.lay(&mut patch, &mut agent);
    if let Some(tag) = fields.text("language")? {
        let rule = format!("must be one of {}", LANGUAGES.join(", "));
        let tag = LANGUAGES.iter().find(|known| **known == tag).ok_or_else(|| invalid("language", &rule))?;
        for place in [&mut patch.language, &mut patch.ears.language, &mut patch.voice.language] {
            *place = Some((*tag).to_owned());
        }
    }
    if let Some(model) = fields.text("model")?
        && !MODELS.contains(&model)
    {
        return Err(invalid("model", &format!("must be one of {}", MODELS.join(", "))).into());
    }
    let minutes = fields.minutes("max_duration_mins")?;
    patch.limits.max_duration_s = minutes.map(|minutes| minutes * 60);
    let due = fields.text("scheduled_for")?;
    let memo = json!({
        "agent": {"id": asked.book.agent(agent.0), "name": name_of(agent.0, agent.1)},
        "prompt_id": fields.text("prompt_id")?,
        "campaign_id": fields.text("campaign_id")?,
        "scheduled_for": due,
        "params": fields.raw("params").cloned().unwrap_or_else(|| json!({})),
    });
    Ok(StartCall {
        account: asked.key.account.clone(),
        agent: case.id.clone().into(),
        patch,
        callee,
        callers: vec![number.number],
        variables: variables(fields)?,
        user_data: metadata(fields)?,
        thread: None,
        due: due.map(|text| moment("scheduled_for", text)).transpose()?,
        deadline: None,
        wait: Duration::ZERO,
        retry: None,
        once: None,
        origin: Origin { dialect: DIALECT.to_owned(), memo: memo.to_string() },
    })
}

/// The use case of a call: the one that is named, or the account's only one.
async fn use_case(asked: &Asked<'_>, fields: &Fields<'_>) -> Result<StoredAgent, Complaint> {
    let (newer, older) = (fields.text("use_case_id")?, fields.text("assistant_id")?);
    if let Some(id) = newer.or(older) {
        let found = asked.book.find_agent(asked.context, id).await?;
        return Ok(found.ok_or(Fault::NotFound { what: "use case" })?);
    }
    let mut all = every_agent(asked.context, &asked.key.account).await?;
    match all.len() {
        1 => Ok(all.remove(0)),
        _ => Err(Fault::Missing { field: String::from("use_case_id") }.into()),
    }
}

fn variables(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let variables: BTreeMap<String, String> = match fields.raw("params") {
        None => BTreeMap::new(),
        Some(Value::Object(members)) => members.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Some(other) => BTreeMap::from([(String::from("params"), text(other))]),
    };
    let long = variables.iter().any(|(name, value)| name.len() > MAX_TEXT || value.len() > MAX_PARAMS.1);
    if long || variables.len() > MAX_PARAMS.0 {
        let rule = format!("must be at most {} values of at most {} bytes", MAX_PARAMS.0, MAX_PARAMS.1);
        return Err(invalid("params", &rule));
    }
    Ok(variables)
}

fn metadata(fields: &Fields<'_>) -> Result<Option<Pii<String>>, Fault> {
    let Some(value) = fields.raw("metadata") else { return Ok(None) };
    let text = value.to_string();
    if !value.is_object() || text.len() > MAX_METADATA {
        return Err(invalid("metadata", &format!("must be an object of at most {MAX_METADATA} bytes")));
    }
    Ok(Some(Pii::new(text)))
}

/// The stored agents of which a call takes a part.
struct Parts {
    voice: Option<StoredAgent>,
    prompt: Option<StoredAgent>,
    model: Option<StoredAgent>,
}

impl Parts {
    async fn of(asked: &Asked<'_>, fields: &Fields<'_>) -> Result<Self, Fault> {
        let mut parts = [None, None, None];
        let known = [("agent_id", "agent"), ("prompt_id", "prompt"), ("model_id", "model")];
        for (part, (name, what)) in parts.iter_mut().zip(known) {
            if let Some(id) = fields.text(name)? {
                let found = asked.book.find_agent(asked.context, id).await?;
                *part = Some(found.ok_or(Fault::NotFound { what })?);
            }
        }
        let [mut voice, prompt, model] = parts;
        if let (None, Some(id)) = (&voice, fields.text("voice_id")?) {
            let all = every_agent(asked.context, &asked.key.account).await?;
            let found = all.into_iter().find(|agent| voice_id(asked, agent) == id);
            voice = Some(found.ok_or(Fault::NotFound { what: "voice" })?);
        }
        Ok(Self { voice, prompt, model })
    }

    fn lay<'a>(&'a self, patch: &mut AgentPatch, shown: &mut (&'a AgentId, &'a AgentProfile)) {
        if let Some(agent) = &self.voice {
            *shown = (&agent.id, &agent.profile);
            patch.voice = voice(&agent.profile);
        }
        if let Some(agent) = &self.prompt {
            let (brain, opening) = (&agent.profile.brain, &agent.profile.opening);
            patch.brain.system_prompt = Some(brain.system_prompt.clone());
            patch.brain.history = Some(brain.history.clone());
            patch.brain.script = Some(brain.script.clone());
            patch.opening = OpeningPatch {
                greeting: Some(opening.greeting.clone()),
                wake_up: opening.wake_up.clone().map(Some),
                ..OpeningPatch::default()
            };
        }
        if let Some(agent) = &self.model {
            let brain = agent.profile.brain.clone();
            let (system_prompt, history, script) =
                (patch.brain.system_prompt.take(), patch.brain.history.take(), patch.brain.script.take());
            patch.brain = BrainPatch {
                vendor: Some(brain.vendor),
                model: Some(brain.model),
                temperature: Some(brain.temperature),
                max_tokens: Some(brain.max_tokens),
                query: Some(brain.query),
                params: Some(brain.params),
                endpoint: Some(brain.endpoint),
                system_prompt,
                history,
                script,
                ..BrainPatch::default()
            };
        }
    }
}

/// What an agent's voice is called: the vendor's word for it, or the agent's id.
pub(super) fn voice_id(asked: &Asked<'_>, agent: &StoredAgent) -> String {
    let voice = &agent.profile.voice.voice;
    if voice.is_empty() { asked.book.agent(&agent.id) } else { voice.clone() }
}

fn voice(agent: &AgentProfile) -> VoicePatch {
    let voice = agent.voice.clone();
    VoicePatch {
        vendor: Some(voice.vendor),
        model: Some(voice.model),
        voice: Some(voice.voice),
        language: Some(voice.language),
        rate: Some(voice.rate),
        volume: Some(voice.volume),
        emotion: Some(voice.emotion),
        pronunciations: Some(voice.pronunciations),
        hold_below_chars: Some(voice.hold_below_chars),
        hold_at_most_ms: Some(voice.hold_at_most_ms),
        endpoint: Some(voice.endpoint),
    }
}
