//! Tencent Cloud Contact Center (product ccc, version 2020-02-10): AI calls, and what is asked about them. What works,
//! what differs and what is refused is in `docs/tencent.md`. Never knows how a call is made.
//!
//! Read from top to bottom: limits, who claims a request, the operations, the order of checks.

mod agent;
mod auth;
mod control;
mod extracts;
mod fields;
mod ids;
mod leading;
mod links;
mod lists;
mod numbers;
#[cfg(test)]
mod places;
mod push;
mod reads;
mod records;
mod served;
mod start;
mod tasks;
mod voices;
mod wire;
mod words;

use super::{Dialect, EndpointShape};
use crate::callbacks::Callback;
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use callwright_domain::access::KeyStatus;
use callwright_domain::campaign::Step;
use callwright_domain::{AccountId, AgentId, AgentProfile, ApiKey, CallId, KeyId, Scope};
use callwright_engine::Telling;
use callwright_store::{AliasKind, CallView};
use fields::Fields;
use futures_util::future::BoxFuture;
use http::Method;
use serde_json::{Value, json};
use wire::Call;
use words::VendorError;

/// The only version that is spoken.
const VERSION: &str = "2020-02-10";
/// Requests of one operation that a key's account may make in a second.
const PER_SECOND: u32 = 20;
/// What a key that does not exist is checked with, so that it takes as long as one that does.
const NOBODYS_SECRET: &str = "nobody's";

/// The dialect's entry in the table.
pub(super) static DIALECT: Tencent = Tencent;

/// Tencent Cloud CCC.
pub(super) struct Tencent;

impl Dialect for Tencent {
    fn name(&self) -> &'static str {
        "tencent"
    }

    fn claims(&self, request: &Request) -> bool {
        request.path == "/" && wire::bears_signs(request) || links::bears_signs(request)
    }

    fn longest_body(&self, request: &Request) -> Option<usize> {
        wire::longest_body(request)
    }

    fn vouched_by<'a>(&'a self, request: &'a Request, context: &'a Context) -> BoxFuture<'a, Result<KeyId, Fault>> {
        Box::pin(async move {
            let named = request.header("authorization").and_then(auth::secret_id).ok_or(Fault::Unauthenticated)?;
            Ok(active_key(named, context).await?.ok_or(Fault::Unauthenticated)?.id)
        })
    }

    fn serves_root(&self) -> bool {
        true
    }

    fn serve<'a>(&'a self, request: Request, context: &'a Context) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            if links::bears_signs(&request) {
                return links::serve(&request, context).await;
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

    fn ids<'a>(
        &'a self,
        context: &'a Context,
        account: &'a AccountId,
    ) -> BoxFuture<'a, Result<Vec<super::native::VendorId>, Fault>> {
        Box::pin(async move { ids::all(context, account).await.map_err(|_| Fault::Internal) })
    }

    fn id_rule(&self, _kind: AliasKind, outer: &str) -> Result<(), &'static str> {
        let plain = outer.bytes().all(|b| b.is_ascii_digit()) && !outer.starts_with('0');
        if plain && outer.parse::<i64>().is_ok() { Ok(()) } else { Err("must be a whole number from 1 on") }
    }

    fn callbacks(&self, telling: &Telling) -> Vec<Callback> {
        push::callback(telling).into_iter().collect()
    }

    fn endpoint<'a>(
        &'a self,
        request: &'a Request,
        context: &'a Context,
        account: &'a AccountId,
    ) -> BoxFuture<'a, Result<Option<EndpointShape>, Fault>> {
        Box::pin(async move {
            let application = ids::application(context, account)
                .await
                .map_err(|_| Fault::Storage("the application cannot be looked up"))?;
            Ok(Some(push::shape(application, super::native::base(request))))
        })
    }

    fn agent(&self, file: &Value) -> Option<Result<AgentProfile, Fault>> {
        Some(agent::of_file(file).map_err(|error| Fault::Malformed { rule: error.message }))
    }

    fn settle<'a>(
        &'a self,
        context: &'a Context,
        (account, id): (&'a AccountId, &'a AgentId),
        profile: &'a mut AgentProfile,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let settled = leading::settle(context, (account, Some(id)), profile).await;
            settled.map_err(|error| Fault::Malformed { rule: error.message })
        })
    }
}

/// The operations that exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    CreateAiAgentCall,
    CreateAiCall,
    HangUpCall,
    ControlAiConversation,
    DescribeTelSession,
    DescribeTelCdr,
    DescribeSessionDetail,
    DescribePstnActiveSessionList,
    DescribeAiCallInteractionRecords,
    DescribeTelRecordAsr,
    DescribeAiLatency,
    DescribeAiCallExtractResult,
    DescribeAiAnalysisResult,
    DescribeAiAgentInfoList,
    DescribeNumbers,
    TransferToManual,
    CreateAutoCalloutTask,
    DescribeAutoCalloutTask,
    DescribeAutoCalloutTasks,
    PauseAutoCalloutTask,
    ResumeAutoCalloutTask,
    StopAutoCalloutTask,
}

/// One row of the table of operations.
struct Row {
    name: &'static str,
    action: Action,
    scope: Scope,
}

const fn row(name: &'static str, action: Action, scope: Scope) -> Row {
    Row { name, action, scope }
}

/// Every operation that is answered, and what a key must be allowed to do for it.
const ACTIONS: [Row; 22] = [
    row("TransferToManual", Action::TransferToManual, Scope::CallsWrite),
    row("CreateAIAgentCall", Action::CreateAiAgentCall, Scope::CallsWrite),
    row("CreateAICall", Action::CreateAiCall, Scope::CallsWrite),
    row("HangUpCall", Action::HangUpCall, Scope::CallsWrite),
    row("ControlAIConversation", Action::ControlAiConversation, Scope::CallsWrite),
    row("DescribeTelSession", Action::DescribeTelSession, Scope::CallsRead),
    row("DescribeTelCdr", Action::DescribeTelCdr, Scope::CallsRead),
    row("DescribeSessionDetail", Action::DescribeSessionDetail, Scope::CallsRead),
    row("DescribePSTNActiveSessionList", Action::DescribePstnActiveSessionList, Scope::CallsRead),
    row("DescribeAICallInteractionRecords", Action::DescribeAiCallInteractionRecords, Scope::CallsRead),
    row("DescribeTelRecordAsr", Action::DescribeTelRecordAsr, Scope::CallsRead),
    row("DescribeAILatency", Action::DescribeAiLatency, Scope::CallsRead),
    row("DescribeAICallExtractResult", Action::DescribeAiCallExtractResult, Scope::CallsRead),
    row("DescribeAIAnalysisResult", Action::DescribeAiAnalysisResult, Scope::CallsRead),
    row("DescribeAIAgentInfoList", Action::DescribeAiAgentInfoList, Scope::ConfigRead),
    row("DescribeNumbers", Action::DescribeNumbers, Scope::ConfigRead),
    row("CreateAutoCalloutTask", Action::CreateAutoCalloutTask, Scope::CallsWrite),
    row("DescribeAutoCalloutTask", Action::DescribeAutoCalloutTask, Scope::CallsRead),
    row("DescribeAutoCalloutTasks", Action::DescribeAutoCalloutTasks, Scope::CallsRead),
    row("PauseAutoCalloutTask", Action::PauseAutoCalloutTask, Scope::CallsWrite),
    row("ResumeAutoCalloutTask", Action::ResumeAutoCalloutTask, Scope::CallsWrite),
    row("StopAutoCalloutTask", Action::StopAutoCalloutTask, Scope::CallsWrite),
];

/// A request whose key and operation are known.
struct Asked<'a> {
    request: &'a Request,
    context: &'a Context,
    key: ApiKey,
    /// The request's own mark, for knowing it again.
    mark: String,
    fields: Fields<'a>,
}

/// The order of checks: signature, action and version, permission, rate, then parameters and the application. A wrong
/// secret never learns about anything else.
async fn answer(request: &Request, context: &Context) -> Result<Value, VendorError> {
    if request.method != Method::POST && request.method != Method::GET {
        return Err(Fault::Method { allowed: "GET, POST" }.into());
    }
    let call = Call::of(request)?;
    let (key, mark) = believe(&call, request, context).await?;
    let name = call.common("x-tc-action", "Action").ok_or_else(|| VendorError::missing("Action"))?;
    let version = call.common("x-tc-version", "Version").ok_or_else(|| VendorError::missing("Version"))?;
    let Some(row) = ACTIONS.iter().find(|row| row.name == name) else {
        return Err(match OTHERS.contains(&name) {
            true => VendorError::unsupported(&format!("the operation {name}")),
            false => Fault::UnknownOperation.into(),
        });
    };
    if version != VERSION {
        return Err(Fault::Version.into());
    }
    if !key.permits(row.scope) {
        return Err(match row.action {
            Action::CreateAiAgentCall | Action::CreateAiCall | Action::CreateAutoCalloutTask => {
                VendorError::not_permitted()
            }
            _ => Fault::Forbidden { scope: super::native::scope_word(row.scope) }.into(),
        });
    }
    context.rates.take_key(&key, request.received, &context.calls).await?;
    let action = (&key.account, row.name, PER_SECOND);
    context.rates.take_action(action, request.received, &context.calls).await?;
    let parameters = call.parameters()?;
    let asked = Asked { request, context, key, mark, fields: Fields::top(&parameters) };
    asked.perform(row.action).await
}

/// The key that signed the request, and the request's mark.
async fn believe(call: &Call<'_>, request: &Request, context: &Context) -> Result<(ApiKey, String), VendorError> {
    let claim = auth::claim(call)?;
    let known = active_key(&claim.key, context).await?;
    let verdict = claim.check(known.as_ref().map_or(NOBODYS_SECRET, |key| key.secret.expose()), request.received);
    let key = known.ok_or(Fault::Unauthenticated)?;
    verdict?;
    if call.common("x-tc-token", "Token").is_some() {
        // We give out no temporary credentials.
        return Err(VendorError::new("AuthFailure.TokenFailure", "The token is not valid."));
    }
    Ok((key, claim.mark))
}

/// The key of this name, when there is one that is honoured.
async fn active_key(name: &str, context: &Context) -> Result<Option<ApiKey>, Fault> {
    let Ok(id) = KeyId::new(name) else { return Ok(None) };
    let found = context.calls.reader().key(&id).await?;
    Ok(found.filter(|key| key.status == KeyStatus::Active))
}

impl Asked<'_> {
    async fn perform(&self, action: Action) -> Result<Value, VendorError> {
        match action {
            Action::CreateAiAgentCall => start::with_stored_agent(self).await,
            Action::CreateAiCall => start::with_own_agent(self).await,
            Action::TransferToManual => control::transfer(self).await,
            Action::HangUpCall => control::hang_up(self).await,
            Action::ControlAiConversation => control::converse(self).await,
            Action::DescribeTelSession => reads::session(self).await,
            Action::DescribeTelCdr => reads::cdrs(self).await,
            Action::DescribeSessionDetail => reads::detail(self).await,
            Action::DescribePstnActiveSessionList => reads::active(self).await,
            Action::DescribeAiCallInteractionRecords => records::rounds(self).await,
            Action::DescribeTelRecordAsr => records::lines(self).await,
            Action::DescribeAiLatency => records::latencies(self).await,
            Action::DescribeAiCallExtractResult => extracts::facts(self).await,
            Action::DescribeAiAnalysisResult => extracts::analysis(self).await,
            Action::DescribeAiAgentInfoList => lists::agents(self).await,
            Action::DescribeNumbers => lists::numbers(self).await,
            Action::CreateAutoCalloutTask => tasks::create(self).await,
            Action::DescribeAutoCalloutTask => tasks::show(self).await,
            Action::DescribeAutoCalloutTasks => tasks::list(self).await,
            Action::PauseAutoCalloutTask => tasks::step(self, Step::Pause).await,
            Action::ResumeAutoCalloutTask => tasks::step(self, Step::Resume).await,
            Action::StopAutoCalloutTask => tasks::stop(self).await,
        }
    }

    /// Checks the names of the parameters, and that the application is the account's.
    async fn application(&self, known: &[&[&str]]) -> Result<i64, VendorError> {
        let names: Vec<&[&str]> = [&["SdkAppId"][..]].into_iter().chain(known.iter().copied()).collect();
        self.fields.only(&names)?;
        let id = self.fields.whole("SdkAppId", 0..=i64::MAX)?;
        let id = self.fields.needed("SdkAppId", id)?;
        if ids::application(self.context, &self.key.account).await? == id {
            Ok(id)
        } else {
            Err(VendorError::unknown_application())
        }
    }

    /// The call that `SessionId` names: 32 hexadecimal digits, with dashes or without.
    fn call_id(&self) -> Result<CallId, VendorError> {
        let text = self.fields.needed("SessionId", self.fields.text("SessionId", 128)?)?;
        session_id(&text).ok_or_else(VendorError::unknown_session)
    }

    /// The call that `SessionId` names, as it stands.
    async fn view(&self) -> Result<CallView, VendorError> {
        let found = self.context.calls.reader().call(&self.key.account, self.call_id()?).await;
        found?.ok_or_else(VendorError::unknown_session)
    }
}

/// A call's id as the vendor's users may write it.
fn session_id(text: &str) -> Option<CallId> {
    let digits: String = text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    digits.parse().ok()
}

/// Nothing but the request's id.
fn done() -> Value {
    json!({})
}

/// The vendor's operations that are not answered here.
const OTHERS: [&str; 62] = [
    "AbortAgentCruiseDialingCampaign",
    "AbortPredictiveDialingCampaign",
    "BindNumberCallInInterface",
    "BindNumberCallOutSkillGroup",
    "BindStaffSkillGroupList",
    "CreateAdminURL",
    "CreateAgentCruiseDialingCampaign",
    "CreateCallOutSession",
    "CreateCarrierPrivilegeNumberApplicant",
    "CreateCCCSkillGroup",
    "CreateCompanyApply",
    "CreateExtension",
    "CreateIVRSession",
    "CreateOwnNumberApply",
    "CreatePredictiveDialingCampaign",
    "CreateSDKLoginToken",
    "CreateStaff",
    "CreateUserSig",
    "DeleteCCCSkillGroup",
    "DeleteExtension",
    "DeletePredictiveDialingCampaign",
    "DeleteStaff",
    "DescribeActiveCarrierPrivilegeNumber",
    "DescribeAgentCruiseDialingCampaign",
    "DescribeCallInMetrics",
    "DescribeCarrierPrivilegeNumberApplicants",
    "DescribeCCCBuyInfoList",
    "DescribeChatMessages",
    "DescribeCompanyList",
    "DescribeExtension",
    "DescribeExtensions",
    "DescribeFlashSMSList",
    "DescribeIMCdrList",
    "DescribeIMCdrs",
    "DescribeIvrAudioList",
    "DescribePredictiveDialingCampaign",
    "DescribePredictiveDialingCampaigns",
    "DescribePredictiveDialingSessions",
    "DescribeProtectedTelCdr",
    "DescribeSkillGroupInfoList",
    "DescribeStaffInfoList",
    "DescribeStaffStatusHistory",
    "DescribeStaffStatusMetrics",
    "DescribeTelCallInfo",
    "DisableCCCPhoneNumber",
    "ForceMemberOffline",
    "ModifyCompanyApply",
    "ModifyExtension",
    "ModifyOwnNumberApply",
    "ModifyStaff",
    "ModifyStaffPassword",
    "PausePredictiveDialingCampaign",
    "PlaySoundCall",
    "ResetExtensionPassword",
    "RestoreMemberOnline",
    "ResumePredictiveDialingCampaign",
    "SetStaffStatus",
    "UnbindNumberCallOutSkillGroup",
    "UnbindStaffSkillGroupList",
    "UpdateCCCSkillGroup",
    "UpdatePredictiveDialingCampaign",
    "UploadIvrAudio",
];

#[cfg(test)]
mod tests;
