//! The vendor's words for everything that can go wrong. Every fault, refusal and cause has its word, without a wildcard.

use crate::fault::Fault;
use callwright_domain::Refusal;
use callwright_engine::{OrderError, StartError};

/// An error in the vendor's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VendorError {
    /// Its code.
    pub(super) code: &'static str,
    /// What it says to people.
    pub(super) message: String,
}

impl VendorError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A part that must be there is not.
    pub(super) fn missing(name: &str) -> Self {
        Self::new("MissingParameter", format!("The request is missing a required parameter `{name}`."))
    }

    /// A parameter of another type, or input that cannot be read at all.
    pub(super) fn wrong_type(name: &str, rule: &str) -> Self {
        Self::new("InvalidParameter", format!("The parameter `{name}` is not valid: {rule}."))
    }

    /// A parameter of the right type and a value that does not do.
    pub(super) fn bad_value(name: &str, rule: &str) -> Self {
        Self::new("InvalidParameterValue", format!("The value of the parameter `{name}` is not valid: {rule}."))
    }

    /// A parameter that the operation does not have.
    pub(super) fn unknown_parameter(name: &str) -> Self {
        let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        Self::new("UnknownParameter", format!("The parameter `{name}` is not recognized."))
    }

    /// Something that the vendor offers and this server does not.
    pub(super) fn unsupported(what: &str) -> Self {
        Self::new("UnsupportedOperation", format!("This server does not offer {what}."))
    }

    pub(super) fn bad_signature() -> Self {
        Self::new(
            "AuthFailure.SignatureFailure",
            "The provided credentials could not be validated. Please check your signature is correct.",
        )
    }

    pub(super) fn expired_signature() -> Self {
        let message = "The signature has expired: the request's time differs from the server's by more than 5 minutes.";
        Self::new("AuthFailure.SignatureExpire", message)
    }

    /// Of a request whose very bytes came before. The vendor lists no code of its own for it.
    fn used_signature() -> Self {
        let message = "The signature has been used already: sign the request anew, at least a second later.";
        Self::new("AuthFailure.SignatureExpire", message)
    }

    pub(super) fn bad_authorization() -> Self {
        Self::new("AuthFailure.InvalidAuthorization", "The Authorization header is not of the form that is wanted.")
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new("RequestSizeLimitExceeded", format!("The request is larger than {limit} bytes."))
    }

    pub(super) fn unknown_application() -> Self {
        Self::new("InvalidParameterValue.InstanceNotExist", "No application with this SdkAppId exists.")
    }

    pub(super) fn too_many_requests() -> Self {
        let message = "The request limit of this operation has been reached: 20 requests a second.";
        Self::new("RequestLimitExceeded", message)
    }

    /// The key may not make calls.
    pub(super) fn not_permitted() -> Self {
        Self::new("FailedOperation.PermissionDenied", "This key is not permitted to make calls.")
    }

    /// Nobody is configured for a skill group.
    pub(super) fn no_skill_group() -> Self {
        Self::bad_value("SkillGroupId", "no desk of this number is in the rules of the account or the agent")
    }

    pub(super) fn unknown_session() -> Self {
        Self::new("FailedOperation.SessionNotExists", "No session with this SessionId exists.")
    }
}

impl From<Fault> for VendorError {
    fn from(fault: Fault) -> Self {
        let said = fault.to_string();
        match fault {
            Fault::Missing { field } => Self::missing(&field),
            Fault::Invalid { field, rule } => Self::bad_value(&field, &rule),
            Fault::Unknown { field, .. } => Self::unknown_parameter(&field),
            Fault::Malformed { .. } | Fault::MediaType { .. } => Self::new("InvalidParameter", said),
            Fault::UnknownOperation => Self::new("InvalidAction", "The action does not exist."),
            Fault::Method { .. } => Self::new("UnsupportedProtocol", said),
            Fault::Version => Self::new("NoSuchVersion", "The version does not exist."),
            Fault::Unauthenticated | Fault::KeyDisabled => Self::new(
                "AuthFailure.SecretIdNotFound",
                "The SecretId is not found, please ensure that your SecretId is correct.",
            ),
            Fault::Forbidden { .. } => Self::new("AuthFailure.UnauthorizedOperation", said),
            Fault::BadDate => Self::wrong_type("X-TC-Timestamp", "must be Unix seconds"),
            Fault::Expired => Self::expired_signature(),
            Fault::Replayed => Self::used_signature(),
            Fault::BadSignature { .. } => Self::bad_signature(),
            Fault::NotFound { .. } | Fault::Gone { .. } => Self::new("ResourceNotFound", said),
            Fault::Slow => Self::new("InvalidParameter", said),
            Fault::TooLarge { limit } | Fault::LongTarget { limit } => Self::too_large(limit),
            Fault::LargeHead { .. } => Self::new("RequestSizeLimitExceeded", said),
            Fault::TwoLengths => Self::new("InvalidParameter", said),
            Fault::RateLimited { .. } => Self::too_many_requests(),
            Fault::Conflict { .. } => Self::new("FailedOperation", said),
            Fault::Busy => Self::too_many_requests(),
            Fault::Storage(_) | Fault::Internal => Self::new("InternalError", said),
        }
    }
}

impl From<Refusal> for VendorError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::UnknownAgent => return Self::bad_value("AIAgentId", "no agent with this id exists"),
            Refusal::CallerNotOwned | Refusal::CallerDisabled | Refusal::NoCallerNumber => {
                "FailedOperation.NoCallOutNumber"
            }
            Refusal::CallerBusy | Refusal::CallerTooOften => "FailedOperation.CallerOverFrequency",
            Refusal::NoTrunk => "FailedOperation.CallOutFailed",
            Refusal::AccountBusy | Refusal::NodeBusy | Refusal::AgentBusy => "FailedOperation.AcquireQuota",
            Refusal::AccountTooOften => "FailedOperation.AIConcurrentOverFrequency",
            Refusal::CalleeBlocked => "FailedOperation.CalleeIsBlackUser",
            Refusal::EmergencyNumber
            | Refusal::ShortNumber
            | Refusal::PremiumNumber
            | Refusal::SatelliteNumber
            | Refusal::DestinationNotAllowed
            | Refusal::OwnNumber => "FailedOperation.CalleeIsLimited",
            Refusal::RegionBlocked => "FailedOperation.CalloutRuleBlindArea",
            Refusal::OutsideCallingHours => "FailedOperation.CalloutRuleNotWorkTime",
            Refusal::CalleeTooOften => "FailedOperation.CalloutRuleMaxCallCountCalleeIntervalTime",
            Refusal::CalleeDailyLimit => "FailedOperation.CalloutRuleMaxCallCountCalleePerDayAppID",
            Refusal::NoConsent => "OperationDenied.NotInWhiteList",
            Refusal::QuotaUsedUp | Refusal::PlanExpired => "LimitExceeded.BasePackageExpired",
            Refusal::Draining => "ServiceUnavailable",
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<StartError> for VendorError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(refusal) => refusal.into(),
            StartError::Template(why) => Self::bad_value("Variables", &why.to_string()),
            StartError::Unserved(flaw) => Self::new("FailedOperation", flaw.rule),
            // The same signature over another body: not the signer's doing.
            StartError::OtherRequest => Self::bad_signature(),
            StartError::Store(why) => Fault::Storage(why.public()).into(),
        }
    }
}

impl From<OrderError> for VendorError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::UnknownCall | OrderError::Ended(_) => Self::unknown_session(),
            OrderError::NoTelephone => Self::unsupported("a session that is met in a browser"),
            OrderError::NoDesk => Self::no_skill_group(),
            OrderError::Refused(refusal) => refusal.into(),
            OrderError::NotAnswered | OrderError::Transferring => Self::new(
                "FailedOperation.SessionNotInControlState",
                "The session is not in a state in which it can be controlled.",
            ),
            OrderError::Busy => Fault::Busy.into(),
            OrderError::Elsewhere => Fault::Storage("the node that runs the call cannot be reached").into(),
            OrderError::Store(why) => Fault::Storage(why.public()).into(),
        }
    }
}
