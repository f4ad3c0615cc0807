//! Words given to an instance that talks: spoken past the model, or put to it as if the user had said them.

use super::wire::Call;
use super::{VendorError, instance, invalid};
use crate::http::Context;
use callwright_domain::AccountId;
use callwright_engine::Speech;
use serde_json::{Value, json};

/// Longest text that is spoken, in characters (vendor).
const MAX_SPEECH: usize = 1024;
/// Longest text that is put to the model, in characters. The vendor names no limit.
const MAX_TEXT: usize = 4000;

/// What SendAIAgentSpeech is given.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    AudioUrl,
}

/// SendAIAgentSpeech.
pub(super) async fn speak(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let id = instance(call)?;
    let text = words(call, MAX_SPEECH)?;
    match call.word("Type", &[("Text", Kind::Text), ("AudioUrl", Kind::AudioUrl)])? {
        None | Some(Kind::Text) => {}
        Some(Kind::AudioUrl) => {
            return Err(invalid("Type", "AudioUrl is not supported: the text itself is spoken").into());
        }
    }
    // It says whether what the agent is saying gives way to this.
    let speech = match call.flag("EnableInterrupt")? {
        None | Some(true) => Speech::Interruptible,
        Some(false) => Speech::Patient,
    };
    context.calls.say(account, id, text, speech).await?;
    Ok(json!({}))
}

/// SendAIAgentText.
pub(super) async fn put(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let id = instance(call)?;
    let text = words(call, MAX_TEXT)?;
    context.calls.hear(account, id, text).await?;
    Ok(json!({}))
}

/// A text with words in it.
fn words(call: &Call<'_>, max: usize) -> Result<String, VendorError> {
    let text = call.needed("Text", max)?;
    if text.trim().is_empty() {
        return Err(invalid("Text", "must hold words").into());
    }
    Ok(text)
}
