//! A campaign's settings on the wire. What is not given has the default that the document states.

use super::super::decode::{Object, invalid};
use super::super::profile;
use crate::dialects::timestamp;
use crate::fault::Fault;
use callwright_domain::agent::Switch;
use callwright_domain::campaign::{Pace, RetryPlan, Settings, Windows};
use callwright_domain::{AgentId, AgentPatch, Origin};
use serde_json::{Value, json};

/// Longest name of a campaign.
const MAX_NAME: usize = 200;
/// Longest value of a variable.
const MAX_VARIABLE: usize = 8192;
/// The middle of the priorities.
const PRIORITY: u8 = 5;

pub(super) fn decode(mut body: Object) -> Result<Settings, Fault> {
    let name = body.needed_text("name", MAX_NAME)?;
    let agent = AgentId::new(body.needed_text("agent", 64)?).map_err(|why| invalid("agent", &why.to_string()))?;
    let patch: AgentPatch = body.object("overrides")?.unwrap_or_default();
    profile::check_patch(&patch).map_err(|(field, rule)| invalid(&format!("overrides.{field}"), &rule))?;
    let usual = Pace::default();
    let settings = Settings {
        name,
        agent,
        patch,
        callers: body.numbers("from")?,
        variables: body.texts("variables", MAX_VARIABLE)?,
        windows: body.object::<Windows>("windows")?,
        pace: Pace {
            concurrency: body.typed("concurrency")?.unwrap_or(usual.concurrency),
            cps: body.typed("cps")?.unwrap_or(usual.cps),
            gap_ms: body.typed("gap_ms")?.unwrap_or(usual.gap_ms),
        },
        retry: body.object::<RetryPlan>("retry")?.unwrap_or_default(),
        priority: body.typed("priority")?.unwrap_or(PRIORITY),
        starts: body.moment("starts_at")?,
        deadline: body.moment("deadline")?,
        abandonment_guard: body.typed("abandonment_guard")?.unwrap_or(Switch::On),
        origin: Origin { dialect: String::from("native"), memo: String::new() },
    };
    body.end()?;
    Ok(settings)
}

pub(super) fn shown(settings: &Settings) -> Result<Value, Fault> {
    let overrides = if settings.patch == AgentPatch::default() {
        Value::Null
    } else {
        serde_json::to_value(&settings.patch).map_err(|_| Fault::Internal)?
    };
    Ok(json!({
        "name": settings.name,
        "agent": settings.agent,
        "overrides": overrides,
        "from": if settings.callers.is_empty() { Value::Null } else { json!(settings.callers) },
        "variables": settings.variables,
        "windows": settings.windows,
        "concurrency": settings.pace.concurrency,
        "cps": settings.pace.cps,
        "gap_ms": settings.pace.gap_ms,
        "retry": settings.retry,
        "priority": settings.priority,
        "starts_at": settings.starts.map(timestamp),
        "deadline": settings.deadline.map(timestamp),
        "abandonment_guard": settings.abandonment_guard,
    }))
}
