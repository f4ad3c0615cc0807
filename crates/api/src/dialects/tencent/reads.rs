//! Calls as the vendor shows them: sessions, call records, one call's detail.

use super::links;
use super::numbers;
use super::start::phones;
use super::words::VendorError;
use super::{Asked, ids, served, session_id};
use crate::dialects::is_same_number;
use callwright_domain::agent::Switch;
use callwright_domain::call::{EndOrigin, Timeline};
use callwright_domain::{CallState, HangupCause, Moment, PhoneNumber};
use callwright_engine::AgentRef;
use callwright_store::{CallFilter, CallView, Stage};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Longest window of a list, in seconds (vendor: under 90 days), and how far back it may begin (180 days).
const WINDOW_S: i64 = 90 * 86_400;
const BACK_S: i64 = 180 * 86_400;
/// Latest moment that is understood, in seconds: the end of the year 9999.
const END_OF_TIME_S: i64 = 253_402_300_799;
/// Largest page of call records.
const MAX_CDRS: u32 = 100;
/// Largest page of live calls.
const MAX_ACTIVE: u32 = 25;
/// Highest page number and offset.
const MAX_PLACE: u32 = 1_000_000;
/// Most numbers and ids that a list may be narrowed by.
const MAX_NARROWING: usize = 100;
/// Calls that are looked through when a list is narrowed by numbers.
const LOOKED_THROUGH: usize = 20_000;
/// Calls read at a time.
const AT_A_TIME: u32 = 500;

/// DescribeTelSession.
pub(super) async fn session(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId"]]).await?;
    let view = asked.view().await?;
    let mut session = shared(&view);
    session["StartTimestamp"] = json!(seconds(Some(view.plan.created)));
    session["AcceptTimestamp"] = json!(seconds(view.timeline.answered));
    session["OutBoundCaller"] = json!("");
    session["OutBoundCallee"] = json!("");
    Ok(json!({ "Session": session }))
}

/// DescribePSTNActiveSessionList: here the first and the last of the three times are texts.
pub(super) async fn active(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["Offset", "Limit"]]).await?;
    let fields = &asked.fields;
    let offset = fields.needed("Offset", fields.count("Offset", 0..=MAX_PLACE)?)? as usize;
    let limit = fields.needed("Limit", fields.count("Limit", 1..=MAX_ACTIVE)?)? as usize;
    // In the order in which a call goes through them: one that moves on meanwhile is met again, and counts where it is.
    let mut live = BTreeMap::new();
    for stage in [Stage::Queued, Stage::Dialing, Stage::Ringing, Stage::Talking, Stage::Transferring] {
        let filter = CallFilter { state: Some(stage), telephone: Switch::On, ..CallFilter::default() };
        // What is due later is no session yet.
        let due = |view: &CallView| stage != Stage::Queued || view.plan.due <= asked.request.received;
        live.extend(scanned(asked, &filter).await?.into_iter().filter(due).map(|view| (view.plan.id, view)));
    }
    let mut live: Vec<_> = live.into_values().collect();
    live.sort_by_key(|view| std::cmp::Reverse(view.plan.created));
    let shown = live.iter().skip(offset).take(limit).map(|view| {
        let mut session = shared(view);
        session["StartTimestamp"] = json!(seconds(Some(view.plan.created)).to_string());
        session["AcceptTimestamp"] = json!(seconds(view.timeline.answered).to_string());
        session
    });
    Ok(json!({"Total": live.len(), "Sessions": shown.collect::<Vec<_>>()}))
}

/// What both kinds of session show.
fn shared(view: &CallView) -> Value {
    json!({
        "SessionID": view.plan.id,
        "RoomID": "",
        "Caller": numbers::of(view.plan.caller()),
        "Callee": numbers::of(view.plan.callee()),
        "RingTimestamp": seconds(view.timeline.ringing),
        "StaffEmail": "",
        "StaffNumber": "",
        "SessionStatus": match view.state {
            CallState::Queued | CallState::Dialing | CallState::Ringing => "ringing",
            CallState::Transferring => "seatJoining",
            CallState::Talking => "inProgress",
            CallState::Ended(_) => "finished",
        },
        "Direction": 1,
        "ProtectedCaller": "",
        "ProtectedCallee": "",
    })
}

/// DescribeTelCdr: calls that have ended, newest first.
pub(super) async fn cdrs(asked: &Asked<'_>) -> Result<Value, VendorError> {
    const NAMES: &[&str] = &[
        "StartTimeStamp",
        "EndTimeStamp",
        "PageSize",
        "PageNumber",
        "InstanceId",
        "Limit",
        "Offset",
        "Phones",
        "SessionIds",
    ];
    asked.application(&[NAMES]).await?;
    let fields = &asked.fields;
    let (since, until) = window(asked, "StartTimeStamp", "EndTimeStamp")?;
    if asked.request.received.millis() / 1000 - since > BACK_S {
        return Err(fields.bad("StartTimeStamp", "must be within the last 180 days"));
    }
    let size = fields.needed("PageSize", fields.count("PageSize", 1..=MAX_CDRS)?)?;
    let page = fields.needed("PageNumber", fields.count("PageNumber", 0..=MAX_PLACE)?)?;
    // Deprecated, and of no effect with the vendor, too.
    for name in ["InstanceId", "Limit", "Offset"] {
        fields.whole(name, i64::MIN..=i64::MAX)?;
    }
    let phones = phones(fields, "Phones", MAX_NARROWING)?;
    let ids = fields.texts("SessionIds", MAX_NARROWING, 128)?.unwrap_or_default();
    let filter = CallFilter {
        state: Some(Stage::Ended),
        since: Some(Moment(since * 1000)),
        // The last second is part of it.
        until: Some(Moment((until + 1) * 1000)),
        // What is met in a browser has no numbers to be recorded with.
        telephone: Switch::On,
        ..CallFilter::default()
    };
    let (total, views) = if ids.is_empty() && phones.is_empty() {
        counted(asked, &filter, page, size).await?
    } else {
        narrowed(asked, &filter, (&ids, &phones), (page, size)).await?
    };
    let mut shown = Vec::with_capacity(views.len());
    for view in &views {
        shown.push(cdr(asked, view).await?);
    }
    Ok(json!({"TotalCount": total, "TelCdrs": shown, "TelCdrList": shown}))
}

/// A page of all calls of a window, counted by the database.
async fn counted(
    asked: &Asked<'_>,
    filter: &CallFilter,
    page: u32,
    size: u32,
) -> Result<(u64, Vec<CallView>), VendorError> {
    let reader = asked.context.calls.reader();
    let total = reader.count_calls(&asked.key.account, filter).await?;
    let offset = u64::from(page) * u64::from(size);
    let views = reader.calls_at(&asked.key.account, filter, offset, size).await?;
    Ok((total, views))
}

/// A page of the calls of some ids or numbers.
async fn narrowed(
    asked: &Asked<'_>,
    filter: &CallFilter,
    (ids, phones): (&[String], &[PhoneNumber]),
    (page, size): (u32, u32),
) -> Result<(u64, Vec<CallView>), VendorError> {
    let mut found = Vec::new();
    if ids.is_empty() {
        found = scanned(asked, filter).await?;
    } else {
        // A call that is named twice is shown once.
        let mut seen = BTreeSet::new();
        for id in ids.iter().filter_map(|id| session_id(id)).filter(|id| seen.insert(*id)) {
            let view = asked.context.calls.reader().call(&asked.key.account, id).await;
            found.extend(view?);
        }
        found.retain(|view| {
            let after = filter.since.is_none_or(|since| view.plan.created >= since);
            view.plan.telephone().is_some()
                && view.state.is_ended()
                && after
                && filter.until.is_none_or(|until| view.plan.created < until)
        });
    }
    let meant = |number: &PhoneNumber| phones.iter().any(|given| is_same_number(given, number));
    found.retain(|view| {
        phones.is_empty() || view.plan.callee().is_some_and(meant) || view.plan.caller().is_some_and(meant)
    });
    let total = found.len() as u64;
    let begin = (page as usize).saturating_mul(size as usize);
    Ok((total, found.into_iter().skip(begin).take(size as usize).collect()))
}

/// All calls that pass a filter, up to a bound.
async fn scanned(asked: &Asked<'_>, filter: &CallFilter) -> Result<Vec<CallView>, VendorError> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    while found.len() < LOOKED_THROUGH {
        let reader = asked.context.calls.reader();
        let page = reader.calls(&asked.key.account, filter, cursor.as_deref(), AT_A_TIME).await?;
        found.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(found)
}

/// DescribeSessionDetail.
pub(super) async fn detail(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId", "StartTimestamp", "EndTimestamp"]]).await?;
    let (since, until) = window(asked, "StartTimestamp", "EndTimestamp")?;
    let view = asked.view().await?;
    if !(since..=until).contains(&seconds(Some(view.plan.created))) {
        return Err(VendorError::unknown_session());
    }
    let end = end(&view);
    Ok(json!({
        "Caller": numbers::of(view.plan.caller()),
        "Callee": numbers::of(view.plan.callee()),
        "CallType": 1,
        "StartTimeStamp": seconds(Some(view.plan.created)),
        "RingTimestamp": seconds(view.timeline.ringing),
        "AcceptTimestamp": seconds(view.timeline.answered),
        "EndedTimestamp": seconds(view.timeline.ended),
        "QueuedTimestamp": 0,
        "StaffUserId": "",
        "EndStatus": end.status.0,
        "QueuedSkillGroupId": 0,
        "QueuedSkillGroupName": "",
        "RecordURL": recording(asked, &view),
        "CustomRecordURL": "",
        "AsrURL": transcript(asked, &view),
        "VoicemailRecordURL": [],
        "VoicemailAsrURL": [],
        "IVRKeyPressed": [],
        "PostIVRKeyPressed": [],
        "HungUpSide": end.side,
        "UUI": uui(&view),
        "Events": [],
        "ServeParticipants": served::participants(asked, &view).await?,
        "SysHangupReason": end.reason.0,
        "SysHangupReasonString": end.reason.1,
    }))
}

/// The beginning and the end of a window in Unix seconds, checked.
pub(super) fn window(asked: &Asked<'_>, from: &str, to: &str) -> Result<(i64, i64), VendorError> {
    let fields = &asked.fields;
    let since = fields.needed(from, fields.whole(from, 0..=END_OF_TIME_S)?)?;
    let until = fields.needed(to, fields.whole(to, 0..=END_OF_TIME_S)?)?;
    if until < since {
        return Err(fields.bad(to, "must not be before the beginning"));
    }
    if until - since >= WINDOW_S {
        return Err(fields.bad(to, "must be less than 90 days after the beginning"));
    }
    Ok((since, until))
}

/// The call that is asked about, when it lasted into the window.
pub(super) async fn view_within(asked: &Asked<'_>) -> Result<CallView, VendorError> {
    let (since, until) = window(asked, "StartTime", "EndTime")?;
    let view = asked.view().await?;
    let begun = seconds(Some(view.plan.created)) <= until;
    let over = view.timeline.ended.is_some_and(|ended| seconds(Some(ended)) < since);
    if begun && !over { Ok(view) } else { Err(VendorError::unknown_session()) }
}

async fn cdr(asked: &Asked<'_>, view: &CallView) -> Result<Value, VendorError> {
    let end = end(view);
    let timeline = &view.timeline;
    let agent = if view.plan.agent_id.as_str() == AgentRef::INLINE {
        0
    } else {
        ids::number_of(asked.context, &asked.key.account, &view.plan.agent_id).await?
    };
    let seat = json!({"Name": "", "Mail": "", "StaffNumber": "", "Phone": "", "Nick": "", "UserId": "",
        "SkillGroupNameList": [], "Role": 0, "ExtensionNumber": ""});
    let mut record = json!({
        "Caller": numbers::of(view.plan.caller()),
        "Callee": numbers::of(view.plan.callee()),
        "Time": seconds(Some(view.plan.created)),
        "Direction": 1,
        "CallType": 1,
        "Duration": talked(timeline),
        "RecordURL": recording(asked, view),
        "RecordId": if view.recording.is_some() { view.plan.id.to_string() } else { String::new() },
        "SeatUser": seat,
        "EndStatus": end.status.0,
        "EndStatusString": end.status.1,
        "HungUpSide": end.side,
        "SysHangupReason": end.reason.0,
        "SysHangupReasonString": end.reason.1,
        "StartTimestamp": seconds(Some(view.plan.created)),
        "RingTimestamp": seconds(timeline.ringing),
        "AcceptTimestamp": seconds(timeline.answered),
        "EndedTimestamp": seconds(timeline.ended),
        "SessionId": view.plan.id,
        "AsrUrl": transcript(asked, view),
        "AsrStatus": if timeline.answered.is_some() { "Complete" } else { "NotExists" },
        "UUI": uui(view),
        "AIAgentId": agent,
        "AIAgentName": view.plan.agent.name,
    });
    // What only calls with people at seats have.
    for name in ["IVRDuration", "SkillGroupId", "QueuedTimestamp", "QueuedSkillGroupId"] {
        record[name] = json!(0);
    }
    for name in [
        "SkillGroup",
        "CallerLocation",
        "ProtectedCaller",
        "ProtectedCallee",
        "CustomRecordURL",
        "Remark",
        "QueuedSkillGroupName",
    ] {
        record[name] = json!("");
    }
    for name in [
        "IVRKeyPressed",
        "IVRKeyPressedEx",
        "PostIVRKeyPressed",
        "PostIVRKeyPressedEx",
        "VoicemailRecordURL",
        "VoicemailAsrURL",
    ] {
        record[name] = json!([]);
    }
    record["ServeParticipants"] = json!(served::participants(asked, view).await?);
    record["Uui"] = Value::Null;
    Ok(record)
}

pub(super) fn recording(asked: &Asked<'_>, view: &CallView) -> String {
    match view.recording {
        Some(_) => links::recording(asked.request, &asked.key, view.plan.id),
        None => String::new(),
    }
}

fn transcript(asked: &Asked<'_>, view: &CallView) -> String {
    match view.timeline.answered {
        Some(_) => links::transcript(asked.request, &asked.key, view.plan.id),
        None => String::new(),
    }
}

/// The requester's own text; that of other dialects is not this vendor's.
pub(super) fn uui(view: &CallView) -> &str {
    let own = view.plan.user_data.as_ref().filter(|_| view.plan.origin.dialect == "tencent");
    own.map_or("", |text| text.expose().as_str())
}

/// Unix seconds; 0 for what did not happen.
pub(super) fn seconds(moment: Option<Moment>) -> i64 {
    moment.map_or(0, |moment| moment.millis().div_euclid(1000))
}

/// Seconds from the answer to the end, as the two moments are shown.
pub(super) fn talked(timeline: &Timeline) -> i64 {
    timeline.answered.map_or(0, |answered| (seconds(timeline.ended) - seconds(Some(answered))).max(0))
}

/// How a call ended, in the vendor's numbers and words.
pub(super) struct End {
    /// EndStatus and its string.
    pub(super) status: (u16, &'static str),
    /// SysHangupReason and its string.
    pub(super) reason: (u16, &'static str),
    /// HungUpSide.
    pub(super) side: &'static str,
}

/// A machine answered. It is the only end of an answered call that has a status of its own.
const MAILBOX: (u16, &str) = (222, "voiceMailReached");

/// An answered call has ended well, and the reason says how; one that was not answered has its status.
pub(super) fn end(view: &CallView) -> End {
    let Some(cause) = view.cause else { return End { status: (0, ""), reason: (0, ""), side: "" } };
    let side = side(cause);
    if cause == HangupCause::VoicemailReached {
        return End { status: MAILBOX, reason: MAILBOX, side };
    }
    if view.timeline.answered.is_some() {
        return End { status: (1, "ok"), reason: reason(cause), side };
    }
    End { status: unanswered(cause, view.status, view.timeline.ringing.is_some()), reason: (0, ""), side }
}

const fn reason(cause: HangupCause) -> (u16, &'static str) {
    match cause {
        HangupCause::CalleeHungUp => (1010, "userHangupDuringAIAgent"),
        HangupCause::AgentHungUp => (228, "functionCallHangup"),
        HangupCause::ApiHungUp | HangupCause::Cancelled => (231, "callTerminatedByAPI"),
        HangupCause::MaxDuration => (229, "maxCallDurationReached"),
        HangupCause::Idle => (230, "userInactivity"),
        HangupCause::VoicemailReached => MAILBOX,
        // The vendor has no word for it: the conversation with the agent went well.
        HangupCause::Transferred => (1, "ok"),
        HangupCause::ProviderFailed => (226, "llmasrError"),
        HangupCause::MediaFailed | HangupCause::MediaTimeout | HangupCause::MediaRefused => (211, "clientError"),
        HangupCause::Busy
        | HangupCause::NoAnswer
        | HangupCause::Rejected
        | HangupCause::Unreachable
        | HangupCause::NotJoined
        | HangupCause::AuthFailed
        | HangupCause::NoResponse
        | HangupCause::TrunkFailed
        | HangupCause::Redirected => (208, "operatorError"),
        HangupCause::Expired
        | HangupCause::CalleeBlocked
        | HangupCause::DestinationRefused
        | HangupCause::OutsideHours
        | HangupCause::OverLimit
        | HangupCause::NoPlace
        | HangupCause::NoConsent
        | HangupCause::RuleRefused
        | HangupCause::ServerRestarted
        | HangupCause::ServerShutdown
        | HangupCause::InternalError => (211, "clientError"),
    }
}

fn unanswered(cause: HangupCause, status: Option<u16>, rang: bool) -> (u16, &'static str) {
    match cause {
        HangupCause::Busy => (206, "busy"),
        HangupCause::NoAnswer | HangupCause::NotJoined => (202, "notAnswer"),
        HangupCause::Rejected if status == Some(402) => (207, "outOfCredit"),
        HangupCause::Rejected => (203, "userReject"),
        HangupCause::Unreachable if status == Some(480) => (202, "notAnswer"),
        HangupCause::NoResponse if status == Some(408) => (202, "notAnswer"),
        HangupCause::Unreachable => (205, "numberNotExist"),
        HangupCause::Cancelled | HangupCause::ApiHungUp if rang => (220, "callerCancelWhileRing"),
        HangupCause::Cancelled | HangupCause::ApiHungUp => (209, "callerCancel"),
        HangupCause::AuthFailed
        | HangupCause::NoResponse
        | HangupCause::TrunkFailed
        | HangupCause::Redirected
        | HangupCause::MediaRefused
        | HangupCause::MediaFailed
        | HangupCause::MediaTimeout => (208, "operatorError"),
        HangupCause::CalleeBlocked | HangupCause::NoConsent => (108, "restrictedCallee"),
        HangupCause::VoicemailReached => MAILBOX,
        HangupCause::Transferred => (1, "ok"),
        HangupCause::OverLimit | HangupCause::NoPlace => (109, "tooManyRequest"),
        HangupCause::DestinationRefused => (110, "restrictedArea"),
        HangupCause::OutsideHours => (111, "restrictedTime"),
        HangupCause::CalleeHungUp
        | HangupCause::AgentHungUp
        | HangupCause::RuleRefused
        | HangupCause::MaxDuration
        | HangupCause::Idle
        | HangupCause::ProviderFailed
        | HangupCause::Expired
        | HangupCause::ServerRestarted
        | HangupCause::ServerShutdown
        | HangupCause::InternalError => (211, "clientError"),
    }
}

const fn side(cause: HangupCause) -> &'static str {
    match cause.origin() {
        EndOrigin::Callee => "user",
        EndOrigin::Agent => "seat",
        EndOrigin::Unreached
        | EndOrigin::Line
        | EndOrigin::Limit
        | EndOrigin::Service
        | EndOrigin::Rule
        | EndOrigin::Server => "system",
    }
}
