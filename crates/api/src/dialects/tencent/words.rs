//! The vendor's words for everything that can go wrong. Every fault, refusal and cause has its word, without a wildcard.

use crate::fault::Fault;
use callwright_domain::Refusal;
use callwright_engine::{OrderError, StartError};
use callwright_store::StoreError;

/// An error in the vendor's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VendorError {
    /// Its code.
    pub(super) code: &'static str,
    /// What it says to people.
    pub(super) message: String,
    /// What the code means here, in Chinese, where that is not what it means elsewhere.
    chinese: Option<&'static str>,
}

impl VendorError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), chinese: None }
    }

    /// Of a large body for which there is no place: no word of the vendor's is nearer, and it is no matter of how often.
    fn no_place(message: String) -> Self {
        let chinese = Some("同时到达的较大请求过多，请等其他请求完成后再试");
        Self { chinese, ..Self::new("RequestLimitExceeded", message) }
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

impl VendorError {
    /// The message in Chinese; the parameter that it names stays as it is.
    pub(super) fn in_chinese(&self) -> String {
        let Some(sentence) = self.chinese.or_else(|| chinese(self.code)) else { return self.message.clone() };
        match self.message.split('`').nth(1) {
            Some(name) => format!("{sentence}：`{name}`。"),
            None => format!("{sentence}。"),
        }
    }
}

/// What a code means, in Chinese.
fn chinese(code: &str) -> Option<&'static str> {
    Some(match code {
        "AuthFailure.SecretIdNotFound" => "密钥不存在，请检查 SecretId 是否正确",
        "AuthFailure.SignatureFailure" => "签名错误，请检查签名计算是否正确",
        "AuthFailure.SignatureExpire" => "签名已过期或已被使用，请重新签名，请求时间与服务器时间不得相差五分钟以上",
        "AuthFailure.InvalidAuthorization" => "请求头部的 Authorization 不符合规范",
        "AuthFailure.TokenFailure" => "Token 错误",
        "AuthFailure.UnauthorizedOperation" => "该密钥无权执行此操作",
        "FailedOperation" => "操作失败",
        "FailedOperation.AcquireQuota" => "在等待时间内没有空闲的并发",
        "FailedOperation.AIConcurrentOverFrequency" => "账号的呼叫频率超过限制",
        "FailedOperation.CallOutFailed" => "外呼失败，没有线路可以使用该主叫号码",
        "FailedOperation.CalleeIsBlackUser" => "被叫号码在禁止呼叫的名单中",
        "FailedOperation.CalleeIsLimited" => "被叫号码受限，不允许呼叫",
        "FailedOperation.CallerOverFrequency" => "主叫号码的呼叫超过限制",
        "FailedOperation.CalloutRuleBlindArea" => "被叫号码所在的地区不允许呼叫",
        "FailedOperation.CalloutRuleMaxCallCountCalleeIntervalTime" => "短时间内呼叫同一被叫号码的次数超过限制",
        "FailedOperation.CalloutRuleMaxCallCountCalleePerDayAppID" => "当天呼叫同一被叫号码的次数超过限制",
        "FailedOperation.CalloutRuleNotWorkTime" => "当前不在允许呼叫的时间内",
        "FailedOperation.NoCallOutNumber" => "没有可用的主叫号码",
        "FailedOperation.PermissionDenied" => "该密钥没有呼叫的权限",
        "FailedOperation.SessionNotExists" => "会话不存在",
        "FailedOperation.SessionNotInControlState" => "会话当前的状态不可控制",
        "InternalError" => "内部错误",
        "InvalidAction" => "接口不存在",
        "InvalidParameter" => "参数错误",
        "InvalidParameterValue" => "参数取值错误",
        "InvalidParameterValue.InstanceNotExist" => "应用不存在，请检查 SdkAppId 是否正确",
        "LimitExceeded.BasePackageExpired" => "套餐已用完或已过期",
        "MissingParameter" => "缺少必要的参数",
        "NoSuchVersion" => "接口版本不存在",
        "OperationDenied.NotInWhiteList" => "没有被叫同意接听的记录",
        "RequestLimitExceeded" => "请求的次数超过频率限制",
        "RequestSizeLimitExceeded" => "请求的大小超过限制",
        "ResourceNotFound" => "资源不存在",
        "ServiceUnavailable" => "服务暂时不可用",
        "UnknownParameter" => "未知的参数",
        "UnsupportedOperation" => "不支持该操作",
        "UnsupportedProtocol" => "不支持该请求方法，请使用 GET 或 POST",
        _ => return None,
    })
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
            Fault::Busy => Self::new("RequestLimitExceeded", said),
            Fault::NoPlace { .. } => Self::no_place(said),
            Fault::Storage(_) | Fault::Internal => Self::new("InternalError", said),
        }
    }
}

impl From<StoreError> for VendorError {
    fn from(error: StoreError) -> Self {
        Fault::from(error).into()
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
            StartError::Store(why) => why.into(),
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
            OrderError::NotAnswered | OrderError::Transferring | OrderError::LastWords => Self::new(
                "FailedOperation.SessionNotInControlState",
                "The session is not in a state in which it can be controlled.",
            ),
            OrderError::NoRoom => Self::new(
                "FailedOperation.SessionNotInControlState",
                "Too much waits to be said in the session already: at most 2 minutes of sound and 256 sentences.",
            ),
            OrderError::Busy => Fault::Busy.into(),
            OrderError::Elsewhere => Fault::Storage("the node that runs the call cannot be reached").into(),
            OrderError::Store(why) => why.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../../docs/tencent.md");

    #[test]
    fn every_code_of_the_page_has_a_message_in_chinese() {
        let table = PAGE.split("\n## Errors\n").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
        let codes: Vec<&str> = rows.flat_map(|row| row.split('`').skip(1).step_by(2)).collect();
        assert!(codes.len() >= 30, "{codes:?}");
        for code in codes {
            assert!(chinese(code).is_some(), "{code}");
        }
    }

    #[test]
    fn the_name_of_a_parameter_stays() {
        assert_eq!(VendorError::missing("Callee").in_chinese(), "缺少必要的参数：`Callee`。");
        assert_eq!(VendorError::unknown_session().in_chinese(), "会话不存在。");
        let strange = VendorError::new("Strange", "As it is.");
        assert_eq!(strange.in_chinese(), "As it is.");
    }
}
