//! Words and sounds given to an instance that talks: spoken or played past the model, or put to it as if the user had said them.

use super::wire::Call;
use super::{VendorError, instance, invalid};
use crate::http::{Context, Request};
use callwright_domain::agent::Switch;
use callwright_domain::{AccountId, ApiKey};
use callwright_engine::{Saying, Words};
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
pub(super) async fn speak(
    call: &Call<'_>,
    key: &ApiKey,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let id = instance(call)?;
    let text = words(call, MAX_SPEECH)?;
    let kind = call.word("Type", &[("Text", Kind::Text), ("AudioUrl", Kind::AudioUrl)])?.unwrap_or(Kind::Text);
    // It says whether what the agent is saying gives way to this.
    let saying = match call.flag("EnableInterrupt")? {
        None | Some(true) => Saying::now(String::new(), Switch::On),
        Some(false) => Saying::next(String::new()),
    };
    let words = match kind {
        Kind::Text => Words::Text(text),
        Kind::AudioUrl => {
            // For nobody's call nothing is fetched.
            context.calls.may_speak(&key.account, id).await?;
            let whose = (key.id.clone(), request.peer.ip());
            Words::Sound(context.fetcher.sound(("Text", text.trim()), whose).await?)
        }
    };
    context.calls.speak(&key.account, id, Saying { words, ..saying }).await?;
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
