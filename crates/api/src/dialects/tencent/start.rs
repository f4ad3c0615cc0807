//! The two operations that make a call: with a stored agent, and with one that the request describes.

use super::fields::Fields;
use super::numbers;
use super::words::VendorError;
use super::{Asked, agent, ids, leading};
use crate::dialects::{judge_services, settle_voice};
use callwright_domain::agent::AgentPatch;
use callwright_domain::{AgentId, Origin, PhoneNumber, Refusal};
use callwright_engine::{AgentRef, StartCall};
use callwright_store::Idempotency;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Parameters that both operations have.
pub(super) const COMMON: &[&str] =
    &["Callee", "Callers", "Variables", "PromptVariables", "MaxRingTimeoutSecond", "AcquireTimeoutSecond"];
/// Most caller numbers of one request; the vendor names no limit.
pub(super) const MAX_CALLERS: usize = 100;
/// Most variables of one request; the vendor names no limit.
const MAX_VARIABLES: usize = 100;
/// Longest name and longest value of a variable, in characters.
const MAX_VARIABLE: (usize, usize) = (128, 10_000);
/// Longest ringing that may be asked for, in seconds.
pub(super) const MAX_RINGING_S: u32 = 600;
/// How long a request waits for a free place unless it says otherwise, in seconds, and at most.
const ACQUIRE_S: (u32, u32) = (5, 5);
/// Longest wait before the greeting, in seconds.
const MAX_WELCOME_DELAY_S: f64 = 60.0;

/// CreateAIAgentCall.
pub(super) async fn with_stored_agent(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[COMMON, &["AIAgentId"]]).await?;
    let number = asked.fields.whole("AIAgentId", 0..=i64::MAX)?;
    let number = asked.fields.needed("AIAgentId", number)?;
    let common = common(&asked.fields)?;
    let id = ids::agent_of(asked.context, &asked.key.account, number).await?.ok_or(Refusal::UnknownAgent)?;
    let mut patch = common.patch();
    patch.brain.params = common.values.params(asked, &id).await?;
    started(asked, common, AgentRef::Stored(id), patch).await
}

/// CreateAICall.
pub(super) async fn with_own_agent(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[COMMON, agent::PARAMETERS]).await?;
    let common = common(&asked.fields)?;
    let mut profile = agent::profile(&asked.fields)?;
    if let Some(inputs) = &common.values.inputs
        && profile.brain.endpoint.as_ref().is_some_and(|endpoint| endpoint.kind == "dify")
    {
        agent::lay_inputs(&mut profile.brain.params, inputs);
    }
    judge_services(asked.context, &profile).map_err(|(member, why)| {
        let name = if member.starts_with("voice") { "CustomTTSConfig.APIUrl" } else { "APIUrl" };
        asked.fields.bad(name, &why.to_string())
    })?;
    settle_voice(asked.context, &mut profile);
    leading::settle(asked.context, (&asked.key.account, None), &mut profile).await?;
    let patch = common.patch();
    started(asked, common, AgentRef::Inline(Box::new(profile)), patch).await
}

/// What both operations say.
#[derive(Debug, PartialEq)]
pub(super) struct Common {
    callee: PhoneNumber,
    callers: Vec<PhoneNumber>,
    values: Values,
    ringing_s: Option<u32>,
    acquire: Duration,
}

impl Common {
    fn patch(&self) -> AgentPatch {
        patch(&self.values, self.ringing_s)
    }
}

/// What a request for calls changes in an agent.
pub(super) fn patch(values: &Values, ringing_s: Option<u32>) -> AgentPatch {
    let mut patch = AgentPatch::default();
    patch.opening.delay_ms = values.welcome_delay_ms;
    patch.limits.ring_timeout_s = ringing_s.map(u64::from);
    patch
}

/// What a request's variables mean.
#[derive(Debug, PartialEq)]
pub(super) struct Values {
    /// For the texts of an agent.
    pub(super) variables: BTreeMap<String, String>,
    /// Members for a Dify application's request.
    inputs: Option<Map<String, Value>>,
    welcome_delay_ms: Option<u64>,
}

impl Values {
    /// The variables of these lists; a later list wins.
    pub(super) fn of(fields: &Fields<'_>, lists: &[&str]) -> Result<Self, VendorError> {
        let mut given = BTreeMap::new();
        for list in lists {
            given.extend(pairs(fields, list)?);
        }
        let welcome_delay_ms = match given.remove("welcome-message-delay") {
            None => None,
            Some(seconds) => {
                let seconds = seconds.trim().parse().ok().filter(|s: &f64| (0.0..=MAX_WELCOME_DELAY_S).contains(s));
                let rule = format!("welcome-message-delay must be seconds from 0 to {MAX_WELCOME_DELAY_S}");
                let seconds = seconds.ok_or_else(|| fields.bad("Variables", &rule))?;
                u64::try_from(Duration::from_secs_f64(seconds).as_millis()).ok()
            }
        };
        let inputs = agent::take_inputs(&mut given);
        let variables = given.into_iter().map(|(name, value)| (agent::variable_name(&name), value)).collect();
        Ok(Self { variables, inputs, welcome_delay_ms })
    }

    /// The model's parameters of a stored agent with what is meant for a Dify application laid over them; none: as stored.
    pub(super) async fn params(
        &self,
        asked: &Asked<'_>,
        id: &AgentId,
    ) -> Result<Option<BTreeMap<String, Value>>, VendorError> {
        let Some(inputs) = &self.inputs else { return Ok(None) };
        let stored = asked.context.calls.reader().agent(&asked.key.account, id).await?.ok_or(Refusal::UnknownAgent)?;
        // Other models refuse members that they do not know.
        if stored.profile.brain.endpoint.as_ref().is_none_or(|endpoint| endpoint.kind != "dify") {
            return Ok(None);
        }
        let mut params = stored.profile.brain.params;
        agent::lay_inputs(&mut params, inputs);
        Ok(Some(params))
    }
}

/// The numbers of a list, each named when it is none.
pub(super) fn phones(fields: &Fields<'_>, name: &str, most: usize) -> Result<Vec<PhoneNumber>, VendorError> {
    let given = fields.texts(name, most, 64)?.unwrap_or_default();
    let read =
        |(at, text): (usize, &String)| numbers::parse(text).map_err(|why| fields.bad(&format!("{name}.{at}"), &why));
    given.iter().enumerate().map(read).collect()
}

pub(super) fn common(fields: &Fields<'_>) -> Result<Common, VendorError> {
    let callee = fields.needed("Callee", fields.text("Callee", 64)?)?;
    let callee = numbers::parse(&callee).map_err(|why| fields.bad("Callee", &why))?;
    let callers = phones(fields, "Callers", MAX_CALLERS)?;
    // The newer name wins.
    let values = Values::of(fields, &["PromptVariables", "Variables"])?;
    let ringing_s = fields.count("MaxRingTimeoutSecond", 1..=MAX_RINGING_S)?;
    let acquire = fields.count("AcquireTimeoutSecond", 0..=ACQUIRE_S.1)?.unwrap_or(ACQUIRE_S.0);
    let acquire = Duration::from_secs(acquire.into());
    Ok(Common { callee, callers, values, ringing_s, acquire })
}

fn pairs(fields: &Fields<'_>, name: &str) -> Result<BTreeMap<String, String>, VendorError> {
    let mut pairs = BTreeMap::new();
    for pair in fields.objects(name, MAX_VARIABLES)?.unwrap_or_default() {
        pair.only(&[&["Key", "Value"]])?;
        let key = pair.needed("Key", pair.label("Key", MAX_VARIABLE.0)?.filter(|key| !key.is_empty()))?;
        let value = pair.needed("Value", pair.text("Value", MAX_VARIABLE.1)?)?;
        pairs.insert(key, value);
    }
    Ok(pairs)
}

/// Makes the call and answers when it has its place, or when the request's patience ends. The same signature twice is the
/// same request: this scheme has nothing else that is used once.
async fn started(asked: &Asked<'_>, common: Common, agent: AgentRef, patch: AgentPatch) -> Result<Value, VendorError> {
    let wanted = StartCall {
        account: asked.key.account.clone(),
        agent,
        patch,
        callee: common.callee,
        callers: common.callers,
        variables: common.values.variables,
        user_data: None,
        thread: None,
        due: None,
        deadline: None,
        wait: common.acquire,
        retry: None,
        once: Some(Idempotency {
            key: format!("tencent {} {}", asked.key.id, asked.mark).chars().take(255).collect(),
            body_hash: hash(asked),
        }),
        origin: Origin { dialect: String::from("tencent"), memo: String::new() },
        outer: None,
    };
    let started = asked.context.calls.start_in_line(wanted, asked.request.received).await?;
    Ok(json!({"SessionId": started.id}))
}

fn hash(asked: &Asked<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(asked.request.query.as_bytes());
    hash.update([0]);
    hash.update(&asked.request.body);
    hash.finalize().into()
}
