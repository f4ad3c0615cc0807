//! Orders to a call: end it, speak into it, give its model something to answer.

use super::words::VendorError;
use super::{Asked, agent, done};
use callwright_domain::Transfer;
use callwright_engine::{HangUp, OrderError, Speech};
use serde_json::Value;

/// Longest text that is spoken or given to the model, in characters.
const MAX_TEXT: usize = 4000;

/// What ControlAIConversation does.
#[derive(Clone, Copy)]
enum Command {
    ServerPushText,
    InvokeLlm,
}

/// HangUpCall. Ending what has ended is what was wanted.
pub(super) async fn hang_up(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId"]]).await?;
    match asked.context.calls.hang_up(&asked.key.account, asked.call_id()?, HangUp::Now).await {
        Ok(()) | Err(OrderError::Ended(_)) => Ok(done()),
        Err(error) => Err(error.into()),
    }
}

/// TransferToManual: a skill group is a desk of that number.
pub(super) async fn transfer(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId", "SkillGroupId"]]).await?;
    let group = asked.fields.needed("SkillGroupId", asked.fields.whole("SkillGroupId", 0..=i64::MAX)?)?;
    let transfer = Transfer::to(agent::desk_of(group));
    asked.context.calls.transfer(&asked.key.account, asked.call_id()?, transfer).await?;
    Ok(done())
}

/// ControlAIConversation.
pub(super) async fn converse(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["SessionId", "Command", "ServerPushText", "InvokeLLM"]]).await?;
    let known = [("ServerPushText", Command::ServerPushText), ("InvokeLLM", Command::InvokeLlm)];
    let command = asked.fields.needed("Command", asked.fields.word("Command", &known)?)?;
    let call = asked.call_id()?;
    match command {
        Command::ServerPushText => {
            let (text, speech, then) = push(asked)?;
            asked.context.calls.say(&asked.key.account, call, text, speech).await?;
            if let Some(how) = then {
                asked.context.calls.hang_up(&asked.key.account, call, how).await?;
            }
        }
        Command::InvokeLlm => {
            let given = asked.fields.needed("InvokeLLM", asked.fields.object("InvokeLLM")?)?;
            given.only(&[&["Content", "Interrupt"]])?;
            given.flag("Interrupt")?;
            let text = given.text("Content", MAX_TEXT)?.filter(|text| !text.trim().is_empty());
            let text = given.needed("Content", text)?;
            asked.context.calls.hear(&asked.key.account, call, text).await?;
        }
    }
    Ok(done())
}

/// What is to be said, whether it may be talked over, and whether the call ends with it.
fn push(asked: &Asked<'_>) -> Result<(String, Speech, Option<HangUp>), VendorError> {
    let given = asked.fields.needed("ServerPushText", asked.fields.object("ServerPushText")?)?;
    given.only(&[&["Text", "Interrupt", "StopAfterPlay", "Audio", "DropMode", "Priority", "AddHistory"]])?;
    if given.text("Audio", usize::MAX)?.is_some_and(|audio| !audio.is_empty()) {
        return Err(VendorError::unsupported("the parameter ServerPushText.Audio"));
    }
    let text = given.needed("Text", given.text("Text", MAX_TEXT)?.filter(|text| !text.trim().is_empty()))?;
    given.flag("Interrupt")?;
    given.count("DropMode", 0..=1)?;
    if given.flag("AddHistory")? == Some(false) {
        // What was heard is what the model knows.
        return Err(VendorError::unsupported("the value false of the parameter ServerPushText.AddHistory"));
    }
    let speech = match given.count("Priority", 0..=1)? {
        Some(1) => Speech::Insistent,
        _ => Speech::Interruptible,
    };
    let then = (given.flag("StopAfterPlay")? == Some(true)).then_some(HangUp::AfterSentence);
    Ok((text, speech, then))
}
