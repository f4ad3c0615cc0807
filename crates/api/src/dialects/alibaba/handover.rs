//! What brings somebody or something else into a running call: a message to a browser's data channel; another telephone that
//! takes the callee over; and a human agent, who comes by a browser with a token of their own.

use super::{Call, VendorError, instance, invalid, meet, missing, number};
use crate::dialects::is_same_number;
use crate::fault::Fault;
use crate::http::{Context, Request};
use crate::join;
use callwright_domain::{AccountId, Transfer, TransferTarget};
use callwright_engine::Calls;
use callwright_store::CallView;
use http::StatusCode;
use serde_json::{Value, json};

/// Longest text said before a transfer, in characters.
const MAX_PROMPT: usize = 1024;
/// Longest message to a client, in characters.
const MAX_MESSAGE: usize = 8192;

/// `TakeoverAIAgentCall`.
pub(super) async fn takeover(
    call: &Call<'_>,
    account: &AccountId,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let wants_token = call.flag("RequireToken")? == Some(true);
    let named = |text| meet::name("HumanAgentUserId", text);
    let user = call.parameter("HumanAgentUserId").map(named).transpose()?.unwrap_or_else(meet::fresh);
    let view = running(call, account, context).await?;
    if view.plan.browser().is_some_and(|place| place.agent_user == user || place.user.as_ref() == Some(&user)) {
        return Err(invalid("HumanAgentUserId", "must not be the id of one who is in the channel").into());
    }
    if !context.calls.meets_browsers() {
        return Err(unsupported("this server meets no browsers, by which a human agent could come"));
    }
    context.calls.await_human(account, view.plan.id, user.clone()).await?;
    let channel = Calls::channel_of(&view.plan);
    let mut answer = json!({"ChannelId": channel, "HumanAgentUserId": user});
    if wants_token {
        let app = join::app_of(context, account, request.received).await?;
        let pass = join::issue(&app, (&channel, &user), (request.received, meet::LIFE_S.0));
        answer["Token"] = json!(pass.spelled());
    }
    Ok(answer)
}

/// `ForwardAIAgentCall`.
pub(super) async fn forward(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let called = call.parameter("CalledNumber").ok_or_else(|| missing("CalledNumber"))?;
    let called = number("CalledNumber", &called)?;
    let caller = call.parameter("CallerNumber").map(|caller| number("CallerNumber", &caller)).transpose()?;
    let (announcement, apology) = (prompt(call, "TransferPrompt")?, prompt(call, "ErrorPrompt")?);
    let view = running(call, account, context).await?;
    if caller.is_some_and(|caller| view.plan.caller().is_some_and(|shown| !is_same_number(&caller, shown))) {
        return Err(unsupported("the trunk places the other call, and shows the number of this one"));
    }
    let transfer = Transfer { to: TransferTarget::Number(called), announcement, apology };
    context.calls.transfer(account, view.plan.id, transfer).await?;
    Ok(json!({}))
}

/// What is said at a transfer; empty: nothing of its own.
fn prompt(call: &Call<'_>, name: &str) -> Result<String, VendorError> {
    let text = call.parameter(name).unwrap_or_default();
    match text.chars().count() > MAX_PROMPT {
        true => Err(invalid(name, &format!("must be at most {MAX_PROMPT} characters")).into()),
        false => Ok(text.trim().to_owned()),
    }
}

/// `SendAIAgentDataChannelMessage`.
pub(super) async fn message(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let text = call.parameter("Message").ok_or_else(|| missing("Message"))?;
    if text.chars().count() > MAX_MESSAGE || serde_json::from_str::<Value>(&text).is_err() {
        return Err(invalid("Message", &format!("must be JSON of at most {MAX_MESSAGE} characters")).into());
    }
    let view = running(call, account, context).await?;
    if view.plan.browser().is_none() {
        let message = "The instance is not in a state that allows this: a telephone has no data channel.";
        return Err(VendorError::new(StatusCode::BAD_REQUEST, "InvalidStatus.Instance", message));
    }
    context.calls.show_text(account, view.plan.id, text).await?;
    Ok(json!({}))
}

/// The instance of a request, if it is not over.
async fn running(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<CallView, VendorError> {
    let id = instance(call)?;
    let found = context.calls.reader().call(account, id).await?;
    let view = found.ok_or(Fault::NotFound { what: "instance" })?;
    if view.state.is_ended() {
        let message = "The instance is not in a state that allows this.";
        return Err(VendorError::new(StatusCode::BAD_REQUEST, "InvalidStatus.Instance", message));
    }
    Ok(view)
}

pub(super) fn unsupported(why: &str) -> VendorError {
    VendorError::new(StatusCode::BAD_REQUEST, "UnsupportedOperation", format!("The operation is not supported: {why}."))
}
