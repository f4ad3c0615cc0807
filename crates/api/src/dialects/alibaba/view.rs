//! A call as `DescribeAIAgentInstance` shows it. The types of members are those of the vendor's response classes.

use super::update;
use callwright_domain::call::EndOrigin;
use callwright_domain::{CallPlan, CallState, HangupCause, Moment};
use callwright_store::CallView;
use serde_json::{Map, Value, json};

/// Members that are numbers in answers and may have come as text.
const WHOLE: [&str; 16] = [
    "AsrMaxSilence",
    "GreetingDelay",
    "LlmHistoryLimit",
    "MaxIdleTime",
    "MaxRepeats",
    "OutputMaxDelay",
    "OutputMinLength",
    "SemanticWaitDuration",
    "VadDuration",
    "VadLevel",
    "Volume",
    "WaitTime",
    "Expire",
    "UserOnlineTimeout",
    "UserOfflineTimeout",
    "CallbackDelay",
];

/// The same with numbers that need not be whole.
const REAL: [&str; 2] = ["Probability", "SpeechRate"];

/// The `Instance` of an answer; `log` leads to what was said.
pub(super) fn instance(view: &CallView, log: &str) -> Value {
    let plan = &view.plan;
    let timeline = &view.timeline;
    let latest = [timeline.dialing, timeline.ringing, timeline.answered, timeline.ended].into_iter().flatten().max();
    let mut shown = common(view, log);
    shown["SessionId"] = json!(plan.thread.as_ref().map_or("", |thread| thread.as_str()));
    shown["GmtCreate"] = json!(gmt(plan.created));
    shown["GmtModified"] = json!(gmt(latest.unwrap_or(plan.created)));
    if plan.telephone().is_some() {
        shown["CallInfo"] = call_info(view);
    }
    shown
}

/// An item of `Instances`. The vendor's has no id; without one a list would be of no use.
pub(super) fn listed(view: &CallView, log: &str) -> Value {
    let mut shown = common(view, log);
    shown["InstanceId"] = json!(view.plan.id);
    shown
}

/// What both show.
fn common(view: &CallView, log: &str) -> Value {
    let (plan, config) = (&view.plan, config(view));
    // The older form of the same, which an outbound call does not have.
    let template = if plan.browser().is_some() { update::as_template(&config) } else { json!({}) };
    json!({
        "Status": status(view.state),
        "TemplateConfig": template,
        "AgentConfig": config,
        "RuntimeConfig": runtime(plan),
        "UserData": plan.user_data.as_ref().map_or("", |text| text.expose().as_str()),
        "CallLogUrl": log,
    })
}

/// Where the agent of a browser's call is; nothing for a telephone's. The token that let it in is not shown.
fn runtime(plan: &CallPlan) -> Value {
    plan.browser()
        .map_or_else(|| json!({}), |place| json!({"ChannelId": place.channel, "AgentUserId": place.agent_user}))
}

/// The configuration that requests gave the instance.
pub(super) fn config(view: &CallView) -> Value {
    let origin = &view.plan.origin;
    agent_config(if origin.dialect == "alibaba" { &origin.memo } else { "" })
}

/// The channel of a call: a telephone call's is named like the call.
pub(super) fn channel(plan: &CallPlan) -> String {
    plan.browser().map_or_else(|| plan.id.to_string(), |place| place.channel.to_string())
}

/// The three states of an instance: made, both ends connected, over.
const fn status(state: CallState) -> &'static str {
    match state {
        CallState::Queued | CallState::Dialing | CallState::Ringing => "Created",
        CallState::Talking | CallState::Transferring => "Executing",
        CallState::Ended(_) => "Finished",
    }
}

/// The `CallInfo` of an answer.
pub(super) fn call_info(view: &CallView) -> Value {
    let timeline = &view.timeline;
    let answered = timeline.answered.is_some();
    let code = match view.state {
        CallState::Queued | CallState::Dialing => "1",
        CallState::Ringing => "2",
        CallState::Talking | CallState::Transferring => "3",
        CallState::Ended(_) if answered => "4",
        CallState::Ended(_) => "5",
    };
    let mut info = Map::new();
    info.insert(String::from("Status"), json!(code));
    info.insert(String::from("CallerNumber"), json!(view.plan.caller_dialled()));
    info.insert(String::from("CalleeNumber"), json!(view.plan.callee_dialled()));
    if let Some(began) = timeline.answered.or(timeline.dialing) {
        info.insert(String::from("CallStartTime"), json!(micros(began)));
    }
    if let Some(ended) = timeline.ended {
        info.insert(String::from("CallEndTime"), json!(micros(ended)));
        let talked = timeline.answered.map_or(0, |answered| ended.since(answered).as_secs());
        info.insert(String::from("CallDuration"), json!(talked));
    }
    if let CallState::Ended(cause) = view.state {
        info.insert(String::from("HangupRole"), json!(hangup_role(cause)));
    }
    Value::Object(info)
}

/// Who ended it: 0 the agent's side, 1 the user's, 2 nobody: the callee was handed over.
const fn hangup_role(cause: HangupCause) -> u8 {
    if matches!(cause, HangupCause::Transferred) {
        return 2;
    }
    match cause.origin() {
        EndOrigin::Callee | EndOrigin::Unreached => 1,
        EndOrigin::Agent
        | EndOrigin::Line
        | EndOrigin::Limit
        | EndOrigin::Service
        | EndOrigin::Rule
        | EndOrigin::Server => 0,
    }
}

/// The Config of the request in the shape of an answer's AgentConfig.
pub(super) fn agent_config(memo: &str) -> Value {
    let given = serde_json::from_str(memo).unwrap_or(Value::Null);
    match shown("", given) {
        Value::Object(members) => Value::Object(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => json!({}),
    }
}

/// Requests and answers differ: numbers may come as text, single objects for lists, and nothing comes as `null`.
fn shown(name: &str, value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            let kept: Map<_, _> = kept
                .map(|(name, value)| {
                    let value = shown(&name, value);
                    (name, value)
                })
                .collect();
            if matches!(name, "BackChannelingConfig" | "Words") { json!([kept]) } else { Value::Object(kept) }
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|item| shown("", item)).collect()),
        Value::String(text) if WHOLE.contains(&name) => {
            text.trim().parse::<i64>().map_or(json!(text), |number| json!(number))
        }
        Value::String(text) if REAL.contains(&name) => {
            text.trim().parse::<f64>().map_or(json!(text), |number| json!(number))
        }
        other => other,
    }
}

fn micros(moment: Moment) -> String {
    printed(moment, "%Y-%m-%dT%H:%M:%S.%6f+00:00")
}

fn gmt(moment: Moment) -> String {
    printed(moment, "%Y-%m-%dT%H:%M:%S.%3f+00:00")
}

fn printed(moment: Moment, format: &str) -> String {
    jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default().strftime(format).to_string()
}
