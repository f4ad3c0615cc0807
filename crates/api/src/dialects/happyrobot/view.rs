//! What is shown: calls, use cases, transcripts, and the vendor's words for where a call stands. Never reads anything.

use super::ids::{Book, made, name_of};
use callwright_domain::agent::OnVoicemail;
use callwright_domain::call::EndOrigin;
use callwright_domain::extract::{CallTag, Fact, FactKind};
use callwright_domain::webhook::Whose;
use callwright_domain::{AgentId, AgentProfile, CallEvent, CallState, HangupCause, Moment, Recorded};
use callwright_store::{CallView, ExtractState, Note, StoredFindings};
use serde_json::{Value, json};
use std::time::Duration;

/// A call that waits longer than this was meant for later.
const SCHEDULED_FROM: Duration = Duration::from_secs(5);
/// What stands in the place of a header's value.
pub(super) const HIDDEN: &str = "***";
/// What is done when a machine answers: the call ends.
pub(super) const HANG_UP: &str = "Hangup";
/// The vendor's languages: the page's own, then those of later clients.
pub(super) const LANGUAGES: [&str; 15] = [
    "en-US", "en-GB", "es-MX", "es-ES", "pt-PT", "de-DE", "fr-FR", "pl-PL", "ro-RO", "it-IT", "es-CO", "zh-CN",
    "hi-IN", "ja-JP", "sv-SE",
];
/// Every status, as lists are asked for.
pub(super) const STATUSES: [&str; 12] = [
    "Scheduled",
    "Queued",
    "Initiated",
    "Ringing",
    "In progress",
    "Transferred",
    "Completed",
    "AMD Terminated",
    "Busy",
    "No answer",
    "Canceled",
    "Failed",
];

/// A moment in the vendor's form.
pub(super) fn time(moment: Moment) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The status of a call.
pub(super) fn status(view: &CallView, now: Moment) -> &'static str {
    match view.state {
        CallState::Queued if view.plan.due > now && view.plan.due.since(view.plan.created) > SCHEDULED_FROM => {
            "Scheduled"
        }
        CallState::Queued => "Queued",
        CallState::Dialing => "Initiated",
        CallState::Ringing => "Ringing",
        CallState::Talking | CallState::Transferring => "In progress",
        CallState::Ended(cause) => end(cause, view.status),
    }
}

/// The status of a call that is over, by what SIP said where it did (480 and 408: nobody is there to answer).
pub(super) const fn end(cause: HangupCause, status: Option<u16>) -> &'static str {
    match cause.origin() {
        EndOrigin::Unreached | EndOrigin::Line if matches!(status, Some(408 | 480)) => "No answer",
        EndOrigin::Callee if matches!(cause, HangupCause::CalleeHungUp) => "Completed",
        // Nobody declined: the trunk's account is empty.
        EndOrigin::Callee if matches!(status, Some(402)) => "Failed",
        EndOrigin::Callee => "Busy",
        EndOrigin::Unreached if matches!(cause, HangupCause::NoAnswer) => "No answer",
        EndOrigin::Unreached if matches!(cause, HangupCause::VoicemailReached) => "AMD Terminated",
        EndOrigin::Agent if matches!(cause, HangupCause::Cancelled) => "Canceled",
        EndOrigin::Agent if matches!(cause, HangupCause::Transferred) => "Transferred",
        EndOrigin::Agent | EndOrigin::Limit => "Completed",
        EndOrigin::Unreached | EndOrigin::Line | EndOrigin::Service | EndOrigin::Rule | EndOrigin::Server => "Failed",
    }
}

/// The vendor's word for a language.
pub(super) fn language(tag: &str) -> String {
    if tag.is_empty() {
        return String::from(LANGUAGES[0]);
    }
    let head = tag.split(['-', '_']).next().unwrap_or_default();
    let exact = LANGUAGES.iter().find(|known| known.eq_ignore_ascii_case(tag));
    let near = || match head {
        "es" => Some(&"es-ES"),
        head => LANGUAGES.iter().find(|known| known.split('-').next() == Some(head)),
    };
    exact.or_else(near).map_or_else(|| tag.to_owned(), |known| (*known).to_owned())
}

/// A call as the vendor shows it.
pub(super) fn call(view: &CallView, book: &Book, now: Moment) -> Value {
    let (plan, memo) = (&view.plan, memo(view));
    let custom = plan.user_data.as_ref().filter(|_| !memo.is_null());
    let custom: Value = custom.and_then(|text| serde_json::from_str(text.expose()).ok()).unwrap_or_else(|| json!({}));
    let mut metadata =
        json!({"from": plan.caller_dialled(), "to": plan.callee_dialled(), "tags": [], "custom": custom});
    if view.timeline.dialing.is_some() {
        metadata["call_sid"] = json!(format!("CA{}", plan.id));
    }
    if view.recording.is_some() {
        metadata["recording_sid"] = json!(format!("RE{}", plan.id));
    }
    let params = match &memo["params"] {
        Value::Null => json!(plan.variables),
        given => given.clone(),
    };
    let agent = match &memo["agent"] {
        Value::Null => json!({"id": book.agent(&plan.agent_id), "name": name_of(&plan.agent_id, &plan.agent)}),
        given => given.clone(),
    };
    let mut shown = json!({
        "id": book.call(plan.id),
        "organization_id": book.organization(),
        "metadata": metadata,
        "use_case": use_case(&plan.agent_id, &plan.agent, book),
        "params": params,
        "created": time(plan.created),
        "type": "Outbound",
        "status": status(view, now),
        "provider": if plan.browser().is_some() { "Web" } else { "Twilio" },
        "agent": agent,
        "language": language(&plan.agent.language),
        "viewed_by": [],
        "max_duration_mins": minutes(&plan.agent),
    });
    for name in ["prompt_id", "campaign_id", "scheduled_for"] {
        if !memo[name].is_null() {
            shown[name] = memo[name].clone();
        }
    }
    if let Some(first) = plan.retry.as_ref().and_then(|retries| retries.first) {
        shown["parent_call_id"] = json!(book.call(first));
    }
    if let (Some(answered), Some(ended)) = (view.timeline.answered, view.timeline.ended) {
        shown["duration"] = json!(ended.since(answered).as_millis() as f64 / 1000.0);
    }
    shown
}

/// What this dialect wanted to know of a call again; null for calls of other dialects.
pub(super) fn memo(view: &CallView) -> Value {
    let origin = &view.plan.origin;
    let own = origin.dialect == super::ids::DIALECT;
    // Written by us; one that cannot be read is treated as a call of another dialect.
    own.then(|| serde_json::from_str(&origin.memo).ok()).flatten().unwrap_or(Value::Null)
}

const fn minutes(agent: &AgentProfile) -> u64 {
    agent.limits.max_duration_s.div_ceil(60)
}

/// An agent as the vendor shows a use case.
pub(super) fn use_case(id: &AgentId, agent: &AgentProfile, book: &Book) -> Value {
    let hooks = book.hooks.iter().filter(|hook| hook.whose == Whose::Agent(id.clone()));
    let hooks = hooks.map(|hook| {
        let headers = hook.endpoint.headers.iter().map(|(key, _)| json!({"key": key, "value": HIDDEN}));
        json!({"url": hook.endpoint.url.expose(), "headers": headers.collect::<Vec<_>>()})
    });
    json!({
        "id": book.agent(id),
        "organization_id": book.organization(),
        "name": name_of(id, agent),
        "language": language(&agent.language),
        "transfer_number": super::cases::transfer_number(agent),
        "extract_with_ai": agent.extract.facts.iter().map(fact).collect::<Vec<_>>(),
        "classification_tags": agent.extract.tags.iter().map(tag).collect::<Vec<_>>(),
        "keywords": agent.ears.hot_words,
        "hooks": hooks.collect::<Vec<_>>(),
        "params": {},
        "amd": agent.voicemail.detect.is_on(),
        "amd_behavior": match agent.voicemail.on_detect {
            OnVoicemail::HangUp => HANG_UP,
            OnVoicemail::LeaveMessage => "Continue",
        },
        "max_duration_mins": minutes(agent),
        "model": agent.brain.model,
    })
}

fn fact(fact: &Fact) -> Value {
    let kind = match fact.kind {
        FactKind::Text | FactKind::Choice => "string",
        FactKind::Number => "number",
        FactKind::Flag => "boolean",
    };
    let example = fact.examples.first().map_or("", String::as_str);
    json!({"name": fact.name, "description": fact.description, "type": kind, "example": example, "required": false})
}

fn tag(tag: &CallTag) -> Value {
    json!({"name": tag.name, "description": tag.description})
}

/// Adds to a call what was found out about it after its end, and what people wrote beside it.
pub(super) fn add_later(shown: &mut Value, found: Option<&StoredFindings>, notes: &[Note]) {
    if let Some(found) = found.filter(|found| found.state == ExtractState::Done) {
        shown["extraction"] = json!(found.findings.facts);
        if let Some(tag) = &found.findings.tag {
            shown["classification"] = json!({"tag": tag, "reasoning": found.findings.reason});
            shown["metadata"]["tags"] = json!([tag]);
        }
    }
    if !notes.is_empty() {
        shown["notes"] = notes.iter().map(super::notes::shown).collect();
    }
}

/// When a call's transcript begins.
pub(super) fn beginning(view: &CallView) -> Moment {
    view.timeline.answered.unwrap_or(view.plan.created)
}

/// What was said in a call. What has no known time of its own begins where the line before ended.
pub(super) fn messages(view: &CallView, journal: &[Recorded]) -> Vec<Value> {
    let begin = beginning(view);
    let mut messages = Vec::new();
    let mut last = 0.0;
    for recorded in journal {
        let since = |moment: Moment| moment.since(begin).as_secs_f64();
        let (start, end) = match &recorded.event {
            CallEvent::Heard { span: Some(span), .. } | CallEvent::Said { span: Some(span), .. } => {
                let (began, ended) = span.around(recorded.at);
                (since(began), since(ended))
            }
            _ => (last, since(recorded.at)),
        };
        let id = |part: &str| made(&view.plan.account, part, &format!("{}/{}", view.plan.id, recorded.seq));
        let mut line = |role: &str, content: &str, more: Value| {
            let mut line = json!({"id": id(role), "role": role, "content": content, "start": start, "end": end,
                "is_filler": false, "discard": false});
            if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
                line.extend(more);
            }
            messages.push(line);
            last = end;
        };
        match &recorded.event {
            CallEvent::Heard { text, .. } => line("user", text.expose(), Value::Null),
            CallEvent::Said { text, unsaid, .. } => {
                let more = unsaid.as_ref().map(|rest| json!({"interrupted_thoughts": rest.expose()}));
                line("assistant", text.expose(), more.unwrap_or_default());
            }
            CallEvent::ToolRun { name, arguments, result } => {
                let used = json!({"type": "function", "id": id("tool-call"),
                    "function": {"name": name, "arguments": arguments.expose()}});
                line("assistant", "", json!({"tool_calls": [used]}));
                line("tool", result.expose(), json!({"name": name, "tool_call_id": id("tool-call")}));
            }
            CallEvent::Transferring { to } => {
                // Whoever picks up there is known by the number alone.
                let phone = json!({"number": to.expose(), "extension": Value::Null});
                let contact = json!({"type": "Terminal", "name": "", "email": Value::Null, "phone": phone});
                line("system", "The call is being transferred.", json!({"transfer_contact": contact}));
            }
            CallEvent::TransferEnded { reason } => {
                line("system", &format!("The call was not transferred: {reason}."), Value::Null);
            }
            CallEvent::Created
            | CallEvent::Dialing { .. }
            | CallEvent::AttemptFailed { .. }
            | CallEvent::Ringing { .. }
            | CallEvent::Joined { .. }
            | CallEvent::MessageReceived { .. }
            | CallEvent::Answered { .. }
            | CallEvent::TurnTaken { .. }
            | CallEvent::Spoke { .. }
            | CallEvent::Disclosed
            | CallEvent::MachineDetected { .. }
            | CallEvent::Interrupted
            | CallEvent::KeyPressed { .. }
            | CallEvent::Trouble { .. }
            | CallEvent::TransferDialing { .. }
            | CallEvent::TransferAnswered { .. }
            | CallEvent::RecordingKept { .. }
            | CallEvent::Ended { .. } => {}
        }
    }
    messages
}
