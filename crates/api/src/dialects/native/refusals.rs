//! Our words for faults, refusals and failed orders. No wildcard arm: a new rule must find its word here.

use crate::fault::Fault;
use crate::http::{Request, Response};
use callwright_domain::Refusal;
use callwright_engine::{CampaignFault, MeetError, OrderError, StartError};
use callwright_store::CampaignError;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// What a fault is called on the wire, and its status.
fn code(fault: &Fault) -> (StatusCode, &'static str) {
    match fault {
        Fault::Missing { .. } => (StatusCode::BAD_REQUEST, "missing_field"),
        Fault::Invalid { .. } => (StatusCode::BAD_REQUEST, "invalid_field"),
        Fault::Malformed { .. } => (StatusCode::BAD_REQUEST, "invalid_json"),
        Fault::Unknown { .. } => (StatusCode::BAD_REQUEST, "unknown_field"),
        Fault::Slow => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
        Fault::UnknownOperation => (StatusCode::NOT_FOUND, "not_found"),
        Fault::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Fault::Version => (StatusCode::BAD_REQUEST, "unknown_version"),
        Fault::Unauthenticated | Fault::KeyDisabled | Fault::BadDate | Fault::Expired | Fault::BadSignature { .. } => {
            (StatusCode::UNAUTHORIZED, "unauthenticated")
        }
        Fault::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
        Fault::Replayed => (StatusCode::CONFLICT, "replayed"),
        Fault::NotFound { .. } => (StatusCode::NOT_FOUND, "not_found"),
        Fault::Gone { absence, .. } => (StatusCode::GONE, absence.word()),
        Fault::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
        Fault::LongTarget { .. } => (StatusCode::URI_TOO_LONG, "target_too_long"),
        Fault::LargeHead { .. } => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
        Fault::TwoLengths => (StatusCode::BAD_REQUEST, "two_lengths"),
        Fault::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Fault::MediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        Fault::Conflict { code, .. } => (StatusCode::CONFLICT, code),
        Fault::Busy | Fault::NoPlace { .. } => (StatusCode::TOO_MANY_REQUESTS, "busy"),
        Fault::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
        Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// The answer that a fault gets.
pub(super) fn response(request: &Request, fault: &Fault) -> Response {
    let (status, code) = code(fault);
    let field = match fault {
        Fault::Missing { field } | Fault::Invalid { field, .. } | Fault::Unknown { field, .. } => Some(field.as_str()),
        _ => None,
    };
    let mut answer = worded(request, status, code, &fault.to_string(), field);
    if let Fault::Method { allowed } = fault {
        let allowed = if allowed.contains("GET") { format!("{allowed}, HEAD") } else { (*allowed).to_owned() };
        if let Ok(allowed) = HeaderValue::try_from(allowed) {
            answer.headers_mut().insert(header::ALLOW, allowed);
        }
    }
    if let Fault::RateLimited { again_in_s } = fault {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*again_in_s));
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// The status that a refusal goes with.
pub(in crate::dialects) const fn status_of(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::UnknownAgent => StatusCode::NOT_FOUND,
        Refusal::CallerNotOwned
        | Refusal::CallerDisabled
        | Refusal::CalleeBlocked
        | Refusal::EmergencyNumber
        | Refusal::ShortNumber
        | Refusal::PremiumNumber
        | Refusal::SatelliteNumber
        | Refusal::DestinationNotAllowed
        | Refusal::OwnNumber
        | Refusal::RegionBlocked
        | Refusal::OutsideCallingHours
        | Refusal::NoConsent
        | Refusal::PlanExpired => StatusCode::FORBIDDEN,
        Refusal::NoCallerNumber | Refusal::NoTrunk => StatusCode::CONFLICT,
        Refusal::CallerBusy
        | Refusal::AccountBusy
        | Refusal::AgentBusy
        | Refusal::CalleeTooOften
        | Refusal::CalleeDailyLimit
        | Refusal::CallerTooOften
        | Refusal::AccountTooOften
        | Refusal::QuotaUsedUp => StatusCode::TOO_MANY_REQUESTS,
        Refusal::NodeBusy | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// After how many seconds to try again. When other refusals pass depends on calls of the past: nobody is told to try at a
/// moment that may be wrong.
pub(in crate::dialects) const fn again_in(refusal: Refusal) -> Option<u32> {
    if refusal.is_busy() {
        return Some(5);
    }
    if matches!(refusal, Refusal::Draining) { Some(30) } else { None }
}

/// The answer that a refusal gets.
pub(super) fn refused(request: &Request, refusal: Refusal) -> Response {
    let mut answer = worded(request, status_of(refusal), refusal.id(), &refusal.to_string(), None);
    if let Some(seconds) = again_in(refusal) {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// The answer to a call that was not made.
pub(super) fn not_started(request: &Request, error: &StartError) -> Result<Response, Fault> {
    match error {
        StartError::Refused(refusal) => Ok(refused(request, *refusal)),
        StartError::Template(error) => {
            Err(Fault::Invalid { field: String::from("variables"), rule: error.to_string() })
        }
        StartError::Unserved(flaw) => {
            Err(Fault::Invalid { field: format!("agent.{}", flaw.field), rule: flaw.rule.clone() })
        }
        StartError::OtherRequest => {
            Ok(worded(request, StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", &error.to_string(), None))
        }
        StartError::Store(error) => Err(Fault::Storage(error.public())),
    }
}

/// The answer to a call that was not made and would have been met in a browser.
pub(super) fn not_met(request: &Request, error: &MeetError) -> Result<Response, Fault> {
    match error {
        MeetError::Start(error) => not_started(request, error),
        MeetError::Off => {
            // As whoever would join is answered where a call waits that another server took.
            let said = "this server meets no browsers: set `listen` in [webrtc] of its configuration";
            Ok(worded(request, StatusCode::NOT_IMPLEMENTED, "browsers_off", said, None))
        }
        // A channel has a name that nobody has.
        MeetError::ChannelTaken => Err(Fault::Internal),
    }
}

/// The answer to a campaign that was not made or changed.
pub(super) fn not_campaign(request: &Request, fault: &CampaignFault) -> Result<Response, Fault> {
    let conflict = |rule: &'static str, code: &'static str| Err(Fault::Conflict { rule, code });
    match fault {
        CampaignFault::Refused(refusal) => Ok(refused(request, *refusal)),
        CampaignFault::Flaw(flaw) => Err(Fault::Invalid { field: flaw.field.clone(), rule: flaw.rule.clone() }),
        CampaignFault::Agent(rule) => Err(Fault::Invalid { field: String::from("agent"), rule: rule.clone() }),
        CampaignFault::Campaign(error) => match error {
            CampaignError::Unknown => Err(Fault::NotFound { what: "campaign" }),
            CampaignError::Illegal(_) | CampaignError::State(_) => {
                conflict("the campaign's state does not allow this", "wrong_state")
            }
            CampaignError::Empty => conflict("the campaign has no callees that can be called", "no_callees"),
            CampaignError::Importing => {
                conflict("callees are being added to the campaign by another request", "import_running")
            }
            CampaignError::Store(error) => Err(Fault::Storage(error.public())),
        },
    }
}

/// The fault behind an order that was not carried out.
pub(super) fn not_ordered(error: &OrderError) -> Fault {
    match error {
        OrderError::UnknownCall => Fault::NotFound { what: "call" },
        OrderError::Ended(_) => Fault::Conflict { rule: "the call has ended", code: "call_ended" },
        OrderError::LastWords => Fault::Conflict { rule: "the call is saying its last words", code: "call_ended" },
        OrderError::NotAnswered => Fault::Conflict { rule: "the call is not answered yet", code: "not_answered" },
        OrderError::NoTelephone => Fault::Conflict {
            rule: "the call is met in a browser: there is no telephone line to hand over",
            code: "no_telephone",
        },
        OrderError::Transferring => {
            Fault::Conflict { rule: "the callee is being handed over already", code: "transferring" }
        }
        OrderError::NoDesk => {
            Fault::Invalid { field: String::from("to"), rule: String::from("no desk of this name is in the rules") }
        }
        OrderError::Refused(refusal) => Fault::Conflict { rule: "the rules do not allow it", code: refusal.id() },
        OrderError::Elsewhere => Fault::Storage("the node that runs the call cannot be reached"),
        OrderError::NoRoom => {
            Fault::Conflict { rule: "too much waits to be said in the call already", code: "too_much_to_say" }
        }
        OrderError::Busy => Fault::Busy,
        OrderError::Store(error) => Fault::Storage(error.public()),
    }
}

fn worded(request: &Request, status: StatusCode, code: &str, message: &str, field: Option<&str>) -> Response {
    let mut error = json!({"code": code, "message": message, "request_id": request.uuid()});
    if let Some(field) = field {
        error["field"] = json!(field);
    }
    super::json_response(status, &json!({ "error": error }))
}
