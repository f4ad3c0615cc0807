//! Alibaba Cloud Intelligent Media Services (product ICE, version 2020-11-09): outbound calls, what is around them, and who
//! is told of them.
//! What works, what differs and what is refused is in `docs/alibaba.md`. Never knows how a call is made.
//!
//! Read from top to bottom: limits, who claims a request, the order of checks, the operations, the words of errors.

mod auth;
mod chat;
mod dialogues;
mod handover;
mod instances;
mod logs;
mod meet;
mod notify;
mod numbers;
mod outbound;
mod params;
#[cfg(test)]
mod places;
mod section;
mod speech;
mod told;
mod update;
mod view;
mod wire;

use super::Dialect;
use crate::callbacks::Callback;
use crate::dialects::native::again_in;
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use crate::join::ScreenSettings;
use callwright_domain::access::KeyStatus;
use callwright_domain::{
    AccountId, AgentId, ApiKey, CallId, CallPlan, KeyId, Origin, PhoneNumber, Pii, Refusal, Scope, ThreadId,
};
use callwright_engine::{AgentFlaw, AgentRef, HangUp, OrderError, StartCall, StartError, Telling};
use callwright_store::StoreError;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use wire::Call;

/// The only version that is spoken.
const VERSION: &str = "2020-11-09";
/// The methods of operations.
const METHODS: &str = "GET, POST";
/// Longest UserData, in characters. The vendor names no limit.
const MAX_USER_DATA: usize = 16_384;
/// Longest single-use value, in characters; the SDKs send 32.
const MAX_NONCE: usize = 256;
/// Most members of a UserData object that become variables.
const MAX_VARIABLES: usize = 100;

/// The dialect's entry in the table.
pub(super) static DIALECT: Alibaba = Alibaba;

/// Alibaba Cloud IMS.
pub(super) struct Alibaba;

impl Dialect for Alibaba {
    fn name(&self) -> &'static str {
        "alibaba"
    }

    fn claims(&self, request: &Request) -> bool {
        (request.path == "/" && wire::bears_signs(request)) || request.path == chat::DOOR || logs::bears_signs(request)
    }

    fn meets_browsers(&self) -> bool {
        true
    }

    fn serves_root(&self) -> bool {
        true
    }

    fn serve<'a>(&'a self, request: Request, context: &'a Context) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            if request.path == chat::DOOR {
                return chat::serve(&request, context).await;
            }
            if logs::bears_signs(&request) {
                return logs::serve(&request, context).await;
            }
            match answer(&request, context).await {
                Ok(body) => wire::success(&request, body),
                Err(error) => wire::failure(&request, &error),
            }
        })
    }

    fn refuse(&self, request: &Request, fault: Fault) -> Response {
        wire::failure(request, &VendorError::from(fault))
    }

    fn callbacks(&self, telling: &Telling) -> Vec<Callback> {
        told::callbacks(telling)
    }

    fn screen(&self, plan: &CallPlan) -> ScreenSettings {
        meet::screen(plan)
    }
}

/// The operations that exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Start,
    Generate,
    StartInstance,
    Stop,
    Describe,
    SetNotify,
    DescribeNotify,
    Takeover,
    Forward,
    SendMessage,
    Update,
    ListInstances,
    Concurrency,
    ListNumbers,
    ListDialogues,
    DeleteDialogue,
    Speak,
    Put,
    ChatToken,
    ChatText,
}

impl Action {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "StartAIAgentOutboundCall" => Some(Self::Start),
            "GenerateAIAgentCall" => Some(Self::Generate),
            "StartAIAgentInstance" => Some(Self::StartInstance),
            "StopAIAgentInstance" => Some(Self::Stop),
            "DescribeAIAgentInstance" => Some(Self::Describe),
            "SetNotifyConfig" => Some(Self::SetNotify),
            "DescribeNotifyConfig" => Some(Self::DescribeNotify),
            "TakeoverAIAgentCall" => Some(Self::Takeover),
            "ForwardAIAgentCall" => Some(Self::Forward),
            "SendAIAgentDataChannelMessage" => Some(Self::SendMessage),
            "UpdateAIAgentInstance" => Some(Self::Update),
            "ListAIAgentInstance" => Some(Self::ListInstances),
            "GetAIAgentConcurrency" => Some(Self::Concurrency),
            "ListAIAgentPhoneNumber" => Some(Self::ListNumbers),
            "ListAIAgentDialogues" => Some(Self::ListDialogues),
            "DeleteAIAgentDialogue" => Some(Self::DeleteDialogue),
            "SendAIAgentSpeech" => Some(Self::Speak),
            "SendAIAgentText" => Some(Self::Put),
            "GenerateMessageChatToken" => Some(Self::ChatToken),
            "SendMessageChatText" => Some(Self::ChatText),
            _ => None,
        }
    }

    const fn scope(self) -> Scope {
        match self {
            Self::Start
            | Self::Generate
            | Self::StartInstance
            | Self::Stop
            | Self::Update
            | Self::DeleteDialogue
            | Self::Speak
            | Self::Put
            | Self::Takeover
            | Self::Forward
            | Self::SendMessage
            | Self::ChatToken
            | Self::ChatText => Scope::CallsWrite,
            Self::Describe | Self::ListInstances | Self::Concurrency | Self::ListDialogues => Scope::CallsRead,
            Self::SetNotify => Scope::ConfigWrite,
            Self::DescribeNotify | Self::ListNumbers => Scope::ConfigRead,
        }
    }
}

/// The order of checks: action and version, date, key, signature, single use, then parameters. A wrong secret never
/// learns about parameters, and a stranger never uses up another's nonce.
async fn answer(request: &Request, context: &Context) -> Result<Value, VendorError> {
    if request.method != Method::POST && request.method != Method::GET {
        return Err(Fault::Method { allowed: METHODS }.into());
    }
    let call = Call::of(request)?;
    if call.lacks_authorization() {
        return Err(missing("Authorization").into());
    }
    let name = call.action().ok_or_else(|| missing("Action"))?;
    let action = Action::of_name(name).ok_or(Fault::UnknownOperation)?;
    if call.version().ok_or_else(|| missing("Version"))? != VERSION {
        return Err(Fault::Version.into());
    }
    let key = believe(&call, request, context).await?;
    if !key.permits(action.scope()) {
        return Err(Fault::Forbidden { scope: super::native::scope_word(action.scope()) }.into());
    }
    match action {
        Action::Start => start(&call, &key.account, request, context).await,
        Action::Generate => meet::generate(&call, &key, request, context).await,
        Action::StartInstance => meet::start(&call, &key, request, context).await,
        Action::Stop => stop(&call, &key.account, context).await,
        Action::Describe => describe(&call, &key, request, context).await,
        Action::SetNotify => notify::set(&call, &key.account, request, context).await,
        Action::DescribeNotify => notify::describe(&call, &key.account, context).await,
        Action::Takeover => handover::takeover(&call, &key.account, request, context).await,
        Action::Forward => handover::forward(&call, &key.account, context).await,
        Action::SendMessage => handover::message(&call, &key.account, context).await,
        Action::Update => update::update(&call, &key.account, context).await,
        Action::ListInstances => instances::list(&call, &key, request, context).await,
        Action::Concurrency => instances::concurrency(&call, &key.account, context).await,
        Action::ListNumbers => numbers::list(&call, &key.account, context).await,
        Action::ListDialogues => dialogues::list(&call, &key.account, context).await,
        Action::DeleteDialogue => dialogues::delete(&call, &key.account, context).await,
        Action::Speak => speech::speak(&call, &key, request, context).await,
        Action::Put => speech::put(&call, &key.account, context).await,
        Action::ChatToken => chat::token(&call, &key, request, context).await,
        Action::ChatText => chat::send(&call, &key.account, request, context).await,
    }
}

/// The key that signed the request.
async fn believe(call: &Call<'_>, request: &Request, context: &Context) -> Result<ApiKey, Fault> {
    let claim = auth::claim(call, request.received)?;
    let id = KeyId::new(claim.key.as_str()).map_err(|_| Fault::Unauthenticated)?;
    let found = context.calls.reader().key(&id).await?;
    let key = found.ok_or(Fault::Unauthenticated)?;
    if key.status == KeyStatus::Disabled {
        return Err(Fault::KeyDisabled);
    }
    claim.check(key.secret.expose())?;
    context.rates.take_key(&key, request.received, &context.calls).await?;
    if claim.nonce.is_empty() || claim.nonce.chars().count() > MAX_NONCE {
        return Err(invalid("SignatureNonce", &format!("must be 1 to {MAX_NONCE} characters")));
    }
    let used = context.calls.use_nonce(&id, &claim.nonce, request.received, auth::NONCE_KEPT).await;
    match used? {
        true => Ok(key),
        false => Err(Fault::Replayed),
    }
}

async fn start(
    call: &Call<'_>,
    account: &AccountId,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let mut wanted = decode(call, account)?;
    if wanted.thread.is_none() {
        // Without one the call begins a session of its own, which Describe tells. An
        // id of 32 digits is always a thread's; were it not, the call would have none.
        wanted.thread = ThreadId::new(request.uuid().replace('-', "")).ok();
    }
    if let AgentRef::Stored(agent) = &wanted.agent {
        let stored = context.calls.reader().agent(account, agent).await?.ok_or(Refusal::UnknownAgent)?;
        let user_data = wanted.user_data.as_ref().map(|text| text.expose().as_str());
        outbound::settle(context, &mut wanted.patch, &stored.profile);
        outbound::extend(&mut wanted.patch, &stored.profile, (user_data, None));
    }
    let started = context.calls.start(wanted, request.received).await?;
    Ok(json!({"InstanceId": started.id}))
}

/// The request for a call. Nothing is looked up: what cannot be an agent's id is no agent's.
fn decode(call: &Call<'_>, account: &AccountId) -> Result<StartCall, VendorError> {
    let needed = |name: &str| call.parameter(name).ok_or_else(|| missing(name));
    let (agent, caller, callee) = (needed("AIAgentId")?, needed("CallerNumber")?, needed("CalledNumber")?);
    let (caller, callee) = (number("CallerNumber", &caller)?, number("CalledNumber", &callee)?);
    let user_data = user_data(call)?;
    let thread = call.parameter("SessionId").map(ThreadId::new).transpose();
    let thread = thread.map_err(|why| invalid("SessionId", &why.to_string()))?;
    let config = call.parameter("Config");
    let patch = outbound::decode(config.as_deref())?;
    Ok(StartCall {
        account: account.clone(),
        agent: AgentId::new(agent).map_err(|_| Refusal::UnknownAgent)?.into(),
        patch,
        callee,
        callers: vec![caller],
        variables: variables(user_data.as_deref()),
        user_data: user_data.map(Pii::new),
        thread,
        due: None,
        deadline: None,
        wait: std::time::Duration::ZERO,
        retry: None,
        once: None,
        origin: Origin { dialect: String::from("alibaba"), memo: config.unwrap_or_default() },
        outer: None,
    })
}

fn user_data(call: &Call<'_>) -> Result<Option<String>, Fault> {
    match call.parameter("UserData") {
        Some(text) if text.chars().count() > MAX_USER_DATA => {
            Err(invalid("UserData", &format!("must be at most {MAX_USER_DATA} characters")))
        }
        given => Ok(given),
    }
}

/// When UserData is a JSON object, its plain members are the variables of the stored agent's templates.
fn variables(user_data: Option<&str>) -> BTreeMap<String, String> {
    let members = user_data.and_then(|text| serde_json::from_str::<serde_json::Map<String, Value>>(text).ok());
    let plain = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let named = members.into_iter().flatten().filter_map(|(name, value)| Some((name, plain(value)?)));
    named.take(MAX_VARIABLES).collect()
}

async fn stop(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let id = instance(call)?;
    let found = context.calls.reader().call(account, id).await?;
    let gentle = found.is_some_and(|view| section::truth(&view::config(&view)["GracefulShutdown"]) == Some(true));
    let how = if gentle { HangUp::AfterSentence } else { HangUp::Now };
    match context.calls.hang_up(account, id, how).await {
        // Stopping what has stopped is what was wanted.
        Ok(()) | Err(OrderError::Ended(_)) => Ok(json!({})),
        Err(error) => Err(error.into()),
    }
}

async fn describe(call: &Call<'_>, key: &ApiKey, request: &Request, context: &Context) -> Result<Value, VendorError> {
    let id = instance(call)?;
    let found = context.calls.reader().call(&key.account, id).await?;
    let view = found.ok_or(Fault::NotFound { what: "instance" })?;
    Ok(json!({"Instance": view::instance(&view, &logs::link(request, key, &view))}))
}

fn instance(call: &Call<'_>) -> Result<CallId, Fault> {
    let id = call.parameter("InstanceId").ok_or_else(|| missing("InstanceId"))?;
    id.parse().map_err(|_| Fault::NotFound { what: "instance" })
}

fn number(name: &str, text: &str) -> Result<PhoneNumber, Fault> {
    PhoneNumber::parse(text).map_err(|why| invalid(name, &why.to_string()))
}

fn missing(name: &str) -> Fault {
    Fault::Missing { field: name.to_owned() }
}

/// A fault of one parameter; inside Config `field` is the path, such as `Config.AsrConfig.AsrMaxSilence`.
fn invalid(field: &str, rule: &str) -> Fault {
    Fault::Invalid { field: field.to_owned(), rule: rule.to_owned() }
}

/// An error in the vendor's words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VendorError {
    status: StatusCode,
    code: String,
    message: String,
    /// Seconds after which to try again.
    again_in_s: Option<u32>,
}

impl VendorError {
    fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), again_in_s: None }
    }

    fn parameter(field: &str, rule: &str) -> Self {
        let parameter = field.split(['.', '[']).next().unwrap_or(field);
        let message = format!("The specified parameter {field} is not valid: {rule}.");
        Self::new(StatusCode::BAD_REQUEST, format!("InvalidParameter.{parameter}"), message)
    }

    /// The configuration in `parameter` may have asked for it; what no configuration can ask for is the agent's.
    fn unserved(parameter: &str, flaw: &AgentFlaw) -> Self {
        let member = match flaw.field {
            "ears.language" => "AsrConfig.AsrLanguageId",
            "voice.language" => "TtsConfig.LanguageId",
            "voice.voice" => "TtsConfig.VoiceId",
            "ambient.sound" => "AmbientSoundConfig.ResourceId",
            _ => return Self::parameter("AIAgentId", &flaw.rule),
        };
        Self::parameter(&format!("{parameter}.{member}"), &flaw.rule)
    }

    fn unavailable(message: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }
}

impl From<Fault> for VendorError {
    fn from(fault: Fault) -> Self {
        let said = fault.to_string();
        let bad = |code: &str, message: &str| Self::new(StatusCode::BAD_REQUEST, code, message);
        match fault {
            Fault::Missing { field } => {
                bad(&format!("Missing{field}"), &format!("{field} is mandatory for this action."))
            }
            Fault::Invalid { field, rule } => Self::parameter(&field, &rule),
            Fault::Unknown { field, .. } => Self::parameter(&field, "it does not belong here"),
            Fault::Malformed { rule } => bad("InvalidParameter", &format!("The request is not valid: {rule}.")),
            Fault::UnknownOperation => Self::new(
                StatusCode::NOT_FOUND,
                "InvalidAction.NotFound",
                "Specified api is not found, please check your url and method.",
            ),
            Fault::Method { .. } => Self::new(StatusCode::METHOD_NOT_ALLOWED, "UnsupportedHTTPMethod", said),
            Fault::Version => bad("InvalidVersion", "Specified parameter Version is not valid."),
            Fault::Unauthenticated => {
                Self::new(StatusCode::NOT_FOUND, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
            }
            Fault::KeyDisabled => bad("InvalidAccessKeyId.Inactive", "Specified access key is disabled."),
            Fault::Forbidden { .. } => Self::new(StatusCode::FORBIDDEN, "Forbidden.RAM", said),
            Fault::BadDate => {
                bad("InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
            }
            Fault::Expired => bad("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
            Fault::BadSignature { signed } => bad(
                "SignatureDoesNotMatch",
                &format!("Specified signature is not matched with our calculation. server string to sign is:{signed}"),
            ),
            Fault::Replayed => bad("SignatureNonceUsed", "Specified signature nonce was used already."),
            Fault::NotFound { .. } | Fault::Gone { .. } => {
                Self::new(StatusCode::NOT_FOUND, "InstanceNotFound", "The instance is not found.")
            }
            Fault::Slow => Self::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", said),
            Fault::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", said),
            Fault::LongTarget { .. } => Self::new(StatusCode::URI_TOO_LONG, "RequestURITooLong", said),
            Fault::LargeHead { .. } => {
                Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestHeaderTooLarge", said)
            }
            Fault::TwoLengths => bad("InvalidRequest", &said),
            Fault::RateLimited { again_in_s } => {
                let mut error = bad("Throttling.User", "Request was denied due to user flow control.");
                error.again_in_s = Some(again_in_s);
                error
            }
            Fault::MediaType { .. } => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", said),
            Fault::Conflict { .. } => bad("InvalidStatus.Instance", &said),
            Fault::Busy | Fault::NoPlace { .. } => {
                bad("Throttling.User", "Request was denied due to user flow control.")
            }
            Fault::Storage(_) => Self::unavailable(&said),
            Fault::Internal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", said),
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
        let said = refusal.to_string();
        let bad = |code: &str, message: &str| Self::new(StatusCode::BAD_REQUEST, code, message);
        match refusal {
            Refusal::UnknownAgent => Self::new(StatusCode::NOT_FOUND, "AgentNotFound", "The agent is not found."),
            Refusal::CallerNotOwned | Refusal::CallerDisabled | Refusal::NoCallerNumber | Refusal::NoTrunk => {
                Self::parameter("CallerNumber", &said)
            }
            Refusal::CallerBusy => {
                bad("Throttling.CallerNumber", "The caller number has reached its limit of concurrent calls.")
            }
            Refusal::AccountBusy | Refusal::AgentBusy | Refusal::AccountTooOften => {
                bad("Throttling.User", "Request was denied due to user flow control.")
            }
            // The vendor lists no codes for these: its general forms, with the rule in the last part of the code.
            Refusal::CallerTooOften => bad("Throttling.CallerNumber", &said),
            Refusal::CalleeTooOften | Refusal::CalleeDailyLimit => bad("Throttling.CalledNumber", &said),
            Refusal::EmergencyNumber
            | Refusal::ShortNumber
            | Refusal::PremiumNumber
            | Refusal::SatelliteNumber
            | Refusal::DestinationNotAllowed
            | Refusal::OwnNumber => Self::parameter("CalledNumber", &said),
            Refusal::CalleeBlocked => Self::new(StatusCode::FORBIDDEN, "Forbidden.CalledNumber", said),
            Refusal::RegionBlocked => Self::new(StatusCode::FORBIDDEN, "Forbidden.Region", said),
            Refusal::OutsideCallingHours => Self::new(StatusCode::FORBIDDEN, "Forbidden.CallingHours", said),
            Refusal::NoConsent => Self::new(StatusCode::FORBIDDEN, "Forbidden.Consent", said),
            Refusal::QuotaUsedUp | Refusal::PlanExpired => {
                Self::new(StatusCode::FORBIDDEN, "Forbidden.SubscriptionRequired", said)
            }
            Refusal::NodeBusy | Refusal::Draining => Self { again_in_s: again_in(refusal), ..Self::unavailable(&said) },
        }
    }
}

impl From<StartError> for VendorError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(refusal) => refusal.into(),
            StartError::Template(why) => Self::parameter("UserData", &why.to_string()),
            StartError::Unserved(flaw) => Self::unserved("Config", &flaw),
            // This dialect sends no idempotency key.
            StartError::OtherRequest => Fault::Internal.into(),
            StartError::Store(why) => why.into(),
        }
    }
}

impl From<OrderError> for VendorError {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::UnknownCall => Fault::NotFound { what: "instance" }.into(),
            OrderError::NoTelephone => {
                let message =
                    "The operation is not supported: the instance is met in a browser, and there is no telephone line.";
                Self::new(StatusCode::BAD_REQUEST, "UnsupportedOperation", message)
            }
            OrderError::NoDesk => Fault::NotFound { what: "desk" }.into(),
            OrderError::Refused(refusal) => refusal.into(),
            OrderError::Ended(_) | OrderError::LastWords | OrderError::NotAnswered | OrderError::Transferring => {
                let message = "The instance is not in a state that allows this.";
                Self::new(StatusCode::BAD_REQUEST, "InvalidStatus.Instance", message)
            }
            OrderError::Elsewhere => Fault::Storage("the node that runs the call cannot be reached").into(),
            OrderError::Busy | OrderError::NoRoom => Fault::Busy.into(),
            OrderError::Store(why) => why.into(),
        }
    }
}

#[cfg(test)]
mod tests;
