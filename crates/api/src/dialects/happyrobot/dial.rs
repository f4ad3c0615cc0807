//! `POST /dial/outbound` and its sibling for many calls. Null and absent are the same; members that the vendor does not
//! know are ignored, as it does. Every id of an agent, a prompt or a model names a stored agent and takes that part of it.

use super::ids::{DIALECT, name_of};
use super::view::{LANGUAGES, call, time};
use super::words::Complaint;
use super::{Asked, ids};
use crate::dialects::every_agent;
use crate::dialects::native::{invalid, moment};
use crate::fault::Fault;
use callwright_domain::agent::{AgentProfile, BrainPatch, OpeningPatch, VoicePatch};
use callwright_domain::{AgentId, AgentPatch, CallId, Origin, PhoneNumber, Pii};
use callwright_engine::StartCall;
use callwright_store::{CallView, Idempotency, Number, StoredAgent};
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
/// How long a call that was due later waits for a line: many are asked for at the same time, and the vendor names no end.
const LATER_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// What the deprecated `model` may be.
const MODELS: [&str; 3] = ["Fast", "Balanced", "Robust"];

/// An object of parameters.
pub(super) struct Fields<'a> {
    pub(super) members: &'a Map<String, Value>,
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

    pub(super) fn minutes(&self, name: &str) -> Result<Option<u64>, Fault> {
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

pub(super) fn within(elements: &[Value]) -> Result<&[Value], Complaint> {
    if elements.len() <= MAX_BATCH {
        return Ok(elements);
    }
    Err(Complaint::bad(format!("at most {MAX_BATCH} calls may be in one request")))
}

/// Makes all calls or none.
pub(super) async fn together(asked: &Asked<'_>, mut wanted: Vec<StartCall>) -> Result<Vec<Value>, Complaint> {
    let key = idempotency(asked)?.map(|key| hex::encode(Sha256::digest(key)));
    for (at, call) in wanted.iter_mut().enumerate() {
        call.once = key.as_ref().map(|key| once(asked, &format!("{key}#{at}")));
    }
    let started = asked.context.calls.start_all(wanted, asked.request.received).await;
    let started = started.map_err(|none| {
        let complaint = Complaint::from(none.error);
        none.place.into_iter().fold(complaint, Complaint::at)
    })?;
    let mut answer = Vec::with_capacity(started.len());
    for made in started {
        answer.push(call(&view_of(asked, made.id).await?, &asked.book, asked.request.received));
    }
    Ok(answer)
}

async fn start(asked: &Asked<'_>, wanted: StartCall) -> Result<CallView, Complaint> {
    let started = asked.context.calls.start(wanted, asked.request.received).await?;
    view_of(asked, started.id).await
}

async fn view_of(asked: &Asked<'_>, call: CallId) -> Result<CallView, Complaint> {
    let view = asked.context.calls.reader().call(&asked.key.account, call).await;
    Ok(view?.ok_or(Fault::Internal)?)
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
pub(super) async fn decode(asked: &Asked<'_>, fields: &Fields<'_>) -> Result<StartCall, Complaint> {
    let number = fields.needed("number_id")?;
    let callee = fields.needed("phone_number")?;
    let callee = PhoneNumber::parse(callee).map_err(|why| invalid("phone_number", &why.to_string()))?;
    let number = asked.book.find_number(asked.context, number).await?.ok_or(Fault::NotFound { what: "number" })?;
    let case = use_case(asked, fields, &number).await?;
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
    refuse_a_language_that_nobody_knows(asked, &case, &patch)?;
    let minutes = fields.minutes("max_duration_mins")?;
    patch.limits.max_duration_s = minutes.map(|minutes| minutes * 60);
    let due = fields.text("scheduled_for")?.map(|text| moment("scheduled_for", text)).transpose()?;
    let memo = json!({
        "agent": {"id": asked.book.agent(agent.0), "name": name_of(agent.0, agent.1)},
        "prompt_id": fields.text("prompt_id")?,
        "model_id": fields.text("model_id")?,
        "campaign_id": fields.text("campaign_id")?,
        "scheduled_for": due.map(time),
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
        due,
        deadline: None,
        wait: if due.is_some_and(|due| due > asked.request.received) { LATER_WAIT } else { Duration::ZERO },
        retry: None,
        once: None,
        origin: Origin { dialect: DIALECT.to_owned(), memo: memo.to_string() },
        outer: Some(ids::of_call),
    })
}

/// A language that was asked for is one that the recogniser and the voice know: nobody is rung to hear silence.
fn refuse_a_language_that_nobody_knows(
    asked: &Asked<'_>,
    case: &StoredAgent,
    patch: &AgentPatch,
) -> Result<(), Complaint> {
    let Some(tag) = &patch.language else { return Ok(()) };
    let mut agent = case.profile.clone();
    patch.clone().apply(&mut agent);
    match asked.context.calls.speech_flaw(&agent) {
        None => Ok(()),
        Some(flaw) => Err(Complaint::unsupported(&format!("the language {tag}: {flaw}"))),
    }
}

/// The use case of a call: the one that is named, or the number's own, or the account's only one.
async fn use_case(asked: &Asked<'_>, fields: &Fields<'_>, number: &Number) -> Result<StoredAgent, Complaint> {
    let (newer, older) = (fields.text("use_case_id")?, fields.text("assistant_id")?);
    if let Some(id) = newer.or(older) {
        let found = asked.book.find_agent(asked.context, id).await?;
        return Ok(found.ok_or(Fault::NotFound { what: "use case" })?);
    }
    if let Some(id) = &number.agent {
        let found = asked.context.calls.reader().agent(&asked.key.account, id).await;
        if let Some(found) = found? {
            return Ok(found);
        }
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
