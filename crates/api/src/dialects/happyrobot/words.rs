//! The vendor's envelope for what is refused: a status and `{"message"}`. The vendor publishes no error codes. Statuses
//! of refusals are the native dialect's, where the vendor gives no reason for others.

use crate::dialects::native::{again_in, status_of};
use crate::fault::Fault;
use crate::http::Response;
use callwright_domain::Refusal;
use callwright_engine::{OrderError, StartError};
use callwright_store::StoreError;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// Seconds after which to try again.
    again_in_s: Option<u32>,
}

impl Complaint {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), again_in_s: None }
    }

    /// Something that is well formed and not possible.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// An operation or a parameter of the vendor's that is not built.
    pub(super) fn unsupported(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("this server does not support {what}"))
    }

    /// The same about an element of a list.
    pub(super) fn at(mut self, place: usize) -> Self {
        self.message = format!("[{place}]: {}", self.message);
        self
    }

    pub(super) fn response(&self) -> Response {
        let mut response = super::super::native::json_response(self.status, &json!({"message": self.message}));
        if let Some(seconds) = self.again_in_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Fault> for Complaint {
    fn from(fault: Fault) -> Self {
        let status = match &fault {
            Fault::Missing { .. }
            | Fault::Invalid { .. }
            | Fault::Unknown { .. }
            | Fault::Malformed { .. }
            | Fault::Version
            | Fault::TwoLengths => StatusCode::BAD_REQUEST,
            Fault::UnknownOperation | Fault::NotFound { .. } => StatusCode::NOT_FOUND,
            Fault::Gone { .. } => StatusCode::GONE,
            Fault::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Fault::Unauthenticated
            | Fault::KeyDisabled
            | Fault::BadDate
            | Fault::Expired
            | Fault::BadSignature { .. } => StatusCode::UNAUTHORIZED,
            Fault::Forbidden { .. } => StatusCode::FORBIDDEN,
            Fault::Replayed | Fault::Conflict { .. } => StatusCode::CONFLICT,
            Fault::Slow => StatusCode::REQUEST_TIMEOUT,
            Fault::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::LongTarget { .. } => StatusCode::URI_TOO_LONG,
            Fault::LargeHead { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Fault::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Fault::Busy | Fault::NoPlace { .. } | Fault::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Fault::Storage(_) => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut complaint = Self::new(status, fault.to_string());
        if let Fault::RateLimited { again_in_s } = fault {
            complaint.again_in_s = Some(again_in_s);
        }
        complaint
    }
}

impl From<StoreError> for Complaint {
    fn from(error: StoreError) -> Self {
        Fault::from(error).into()
    }
}

impl From<Refusal> for Complaint {
    fn from(refusal: Refusal) -> Self {
        // Numbers are named by ids here, and there are no conflicts.
        let status = if refusal == Refusal::CallerNotOwned {
            StatusCode::NOT_FOUND
        } else if matches!(refusal, Refusal::NoCallerNumber | Refusal::NoTrunk) {
            StatusCode::BAD_REQUEST
        } else {
            status_of(refusal)
        };
        Self { again_in_s: again_in(refusal), ..Self::new(status, refusal.to_string()) }
    }
}

impl From<StartError> for Complaint {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(refusal) => refusal.into(),
            StartError::Template(why) => Self::bad(format!("params: {why}")),
            StartError::Unserved(flaw) => Self::bad(format!("use_case_id: {flaw}")),
            StartError::OtherRequest => {
                Self::new(StatusCode::CONFLICT, "the idempotency key was used before with another request")
            }
            StartError::Store(why) => why.into(),
        }
    }
}

impl From<OrderError> for Complaint {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::UnknownCall => Fault::NotFound { what: "call" }.into(),
            OrderError::Ended(_) => Self::bad("the call has ended"),
            OrderError::LastWords => Self::bad("the call is saying its last words"),
            OrderError::NotAnswered => Self::bad("the call is not answered yet"),
            OrderError::NoTelephone => Self::bad("the call is met in a browser: there is no telephone line"),
            OrderError::Transferring => Self::bad("the callee is being handed over already"),
            OrderError::NoDesk => Fault::NotFound { what: "desk" }.into(),
            OrderError::Refused(refusal) => refusal.into(),
            OrderError::Busy | OrderError::NoRoom => Fault::Busy.into(),
            OrderError::Elsewhere => Fault::Storage("the node that runs the call cannot be reached").into(),
            OrderError::Store(why) => why.into(),
        }
    }
}
