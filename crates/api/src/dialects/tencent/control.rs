//! Orders to a call: end it, speak into it, give its model something to answer.

use super::fields::Fields;
use super::words::VendorError;
use super::{Asked, agent, done};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::Transfer;
use callwright_engine::{HangUp, OrderError, Place, Question, Saying, Sound, Words, limits};
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest text that is spoken or given to the model, in characters.
const MAX_TEXT: usize = 4000;
/// Samples a second of pushed sound: what the vendor's synthesisers make.
const AUDIO_HERTZ: u32 = 16_000;
/// Longest sound. The vendor names no limit.
const MAX_SECONDS: usize = limits::ORDERED_SOUND.as_secs() as usize;
/// Longest sound in Base64, in characters: of twice that length, so that one that is too long is told so.
const MAX_AUDIO: usize = 2 * MAX_SECONDS * 2 * AUDIO_HERTZ as usize * 4 / 3;
/// What the model is asked with when it is asked about a text of InvokeLLM.
const INVOKED: [&str; 2] = ["X-Invoke-LLM", "1"];

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
            let saying = push(asked)?;
            asked.context.calls.speak(&asked.key.account, call, saying).await?;
        }
        Command::InvokeLlm => {
            let given = asked.fields.needed("InvokeLLM", asked.fields.object("InvokeLLM")?)?;
            given.only(&[&["Content", "Interrupt"]])?;
            let interrupts = given.flag("Interrupt")?.unwrap_or(true).into();
            let text = given.text("Content", MAX_TEXT)?.filter(|text| !text.trim().is_empty());
            let text = given.needed("Content", text)?;
            let headers = BTreeMap::from([INVOKED.map(String::from).into()]);
            asked.context.calls.ask(&asked.key.account, call, Question { text, interrupts, headers }).await?;
        }
    }
    Ok(done())
}

/// What is to be said, and how. The vendor says of neither `Interrupt` nor `AddHistory` what their absence means: here what is
/// pushed is heard, and the model knows of it.
fn push(asked: &Asked<'_>) -> Result<Saying, VendorError> {
    let given = asked.fields.needed("ServerPushText", asked.fields.object("ServerPushText")?)?;
    given.only(&[&["Text", "Interrupt", "StopAfterPlay", "Audio", "DropMode", "Priority", "AddHistory"]])?;
    let words = match given.text("Audio", MAX_AUDIO)?.filter(|audio| !audio.is_empty()) {
        // The vendor reads no text beside it.
        Some(audio) => Words::Sound(sound(&given, &audio)?),
        None => {
            let text = given.text("Text", MAX_TEXT)?.filter(|text| !text.trim().is_empty());
            Words::Text(given.needed("Text", text)?)
        }
    };
    let interrupts = given.flag("Interrupt")?.unwrap_or(true);
    let place = match (interrupts, given.count("DropMode", 0..=1)?) {
        (true, _) => Place::Now,
        (false, Some(1)) => Place::NextUnlessInterrupted,
        (false, _) => Place::IfSilent,
    };
    let first = given.count("Priority", 0..=1)? == Some(1);
    Ok(Saying {
        words,
        place,
        interruptible: (!first).into(),
        alone: first.into(),
        remembered: given.flag("AddHistory")?.unwrap_or(true).into(),
        last: given.flag("StopAfterPlay")?.unwrap_or(false).into(),
    })
}

/// Sound as the vendor takes it: 16-bit samples of one channel without a header, little end first, in Base64.
fn sound(given: &Fields<'_>, audio: &str) -> Result<Sound, VendorError> {
    let bad = |rule: &str| given.bad("Audio", rule);
    let bytes = STANDARD.decode(audio.trim()).map_err(|_| bad("must be Base64"))?;
    if bytes.starts_with(b"RIFF") {
        return Err(bad("must be 16-bit samples without a header"));
    }
    if bytes.len() % 2 != 0 {
        return Err(bad("must be whole 16-bit samples"));
    }
    let samples: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    if samples.len() > MAX_SECONDS * AUDIO_HERTZ as usize {
        return Err(bad(&format!("must be at most {MAX_SECONDS} seconds at {AUDIO_HERTZ} Hz")));
    }
    Ok(Sound::new(samples, AUDIO_HERTZ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn decoded(audio: &str) -> Result<Sound, String> {
        let members = serde_json::Map::from_iter([(String::from("Audio"), json!(audio))]);
        sound(&Fields::top(&members), audio).map_err(|error| error.message)
    }

    #[test]
    fn sound_is_whole_samples_and_not_endless() {
        let second = vec![0_u8; 2 * AUDIO_HERTZ as usize];
        assert_eq!(decoded(&STANDARD.encode(&second)).expect("a second").length(), Duration::from_secs(1));
        assert_eq!(decoded(&STANDARD.encode([1, 2, 255, 255])).expect("two samples").samples(), [513, -1]);
        let longest = second.repeat(MAX_SECONDS);
        assert!(decoded(&STANDARD.encode(&longest)).is_ok());
        let beyond = STANDARD.encode([&longest[..], &[0, 0]].concat());
        assert!(decoded(&beyond).expect_err("one sample more").contains("at most 60 seconds"));
        let long = STANDARD.encode(second.repeat(MAX_SECONDS + 1));
        assert!(long.len() < MAX_AUDIO, "the rule that is broken is the length");
        for (audio, rule) in [
            ("no base64!", "must be Base64"),
            (&STANDARD.encode("RIFFxxxxWAVE"), "without a header"),
            (&STANDARD.encode([1]), "whole 16-bit samples"),
            (&long, "at most 60 seconds"),
        ] {
            let message = decoded(audio).expect_err(rule);
            assert!(message.contains(rule), "{message}");
        }
    }
}
