//! Between stored text and typed values. Hides encodings; never prints a value in an error.

use super::Row;
use crate::calls::Key;
use crate::{CallView, Stage, StoreError, Waits};
use callwright_domain::call::Timeline;
use callwright_domain::{Absence, CallState, HangupCause, Moment};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The columns that [`call_view`] reads.
pub(super) const VIEW_COLUMNS: &str = "plan, state, cause, status, q850, timeline, seq, attempt, recording,
    recording_gone, words_gone, waits, waits_until, next_call";

/// A value as JSON text.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|why| StoreError::unreadable("value", category(&why)))
}

/// The value of a JSON text.
pub(super) fn of_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|why| StoreError::unreadable(what, category(&why)))
}

/// The parser's own message may quote the value, which may be personal: its kind and place must do.
fn category(why: &serde_json::Error) -> String {
    format!("{:?} at line {} column {}", why.classify(), why.line(), why.column())
}

/// An identifier or number from its text.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(what: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|why| StoreError::unreadable(what, why))
}

/// A count from a signed column.
pub(super) fn unsigned<T: TryFrom<i64>>(what: &'static str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::unreadable(what, "out of range"))
}

/// A cause as one stored word.
pub(super) fn cause_word(cause: HangupCause) -> Result<String, StoreError> {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(StoreError::unreadable("cause", "it has no word")),
    }
}

/// The cause of a stored word.
pub(super) fn cause_of(word: &str) -> Result<HangupCause, StoreError> {
    serde_json::from_value(serde_json::Value::String(word.to_owned()))
        .map_err(|_| StoreError::unreadable("cause", "unknown word"))
}

/// The state that the columns `state` and `cause` spell.
pub(super) fn state_of(row: &Row) -> Result<CallState, StoreError> {
    let word: String = row.read("state")?;
    let stage = Stage::of_word(&word).ok_or_else(|| StoreError::unreadable("state", "unknown word"))?;
    Ok(match stage {
        Stage::Queued => CallState::Queued,
        Stage::Dialing => CallState::Dialing,
        Stage::Ringing => CallState::Ringing,
        Stage::Talking => CallState::Talking,
        Stage::Transferring => CallState::Transferring,
        Stage::Ended => {
            let cause: Option<String> = row.read("cause")?;
            let cause = cause.ok_or_else(|| StoreError::unreadable("state", "ended without a cause"))?;
            CallState::Ended(cause_of(&cause)?)
        }
    })
}

/// The call that the columns `account` and `id` name.
pub(super) fn key_of(row: &Row) -> Result<Key, StoreError> {
    Ok((parsed("account id", row.read::<&str>("account")?)?, parsed("call id", row.read::<&str>("id")?)?))
}

/// A SIP status.
pub(super) fn status_of(row: &Row) -> Result<Option<u16>, StoreError> {
    row.read::<Option<i64>>("status")?.map(|value| unsigned("status", value)).transpose()
}

/// A Q.850 cause.
pub(super) fn q850_of(row: &Row) -> Result<Option<u8>, StoreError> {
    row.read::<Option<i64>>("q850")?.map(|value| unsigned("Q.850 cause", value)).transpose()
}

/// The timeline.
pub(super) fn timeline_of(row: &Row) -> Result<Timeline, StoreError> {
    of_json("timeline", row.read("timeline")?)
}

/// Why something is gone, from its word.
pub(super) fn absence_of(word: Option<&str>) -> Result<Option<Absence>, StoreError> {
    let known = |word| Absence::of_word(word).ok_or_else(|| StoreError::unreadable("absence", "unknown word"));
    word.map(known).transpose()
}

/// A call as readers see it, from [`VIEW_COLUMNS`].
pub(super) fn call_view(row: &Row) -> Result<CallView, StoreError> {
    let state = state_of(row)?;
    Ok(CallView {
        plan: of_json("call plan", row.read("plan")?)?,
        state,
        timeline: timeline_of(row)?,
        cause: match state {
            CallState::Ended(cause) => Some(cause),
            _ => None,
        },
        status: status_of(row)?,
        q850: q850_of(row)?,
        attempts: unsigned("attempt", row.read("attempt")?)?,
        last_seq: unsigned("sequence number", row.read("seq")?)?,
        recording: row.read("recording")?,
        recording_gone: absence_of(row.read("recording_gone")?)?,
        words_gone: absence_of(row.read("words_gone")?)?,
        next: row.read::<Option<&str>>("next_call")?.map(|id| parsed("call id", id)).transpose()?,
        waits: match row.read::<Option<String>>("waits")? {
            None => None,
            Some(word) => Some(Waits {
                rule: super::waiting::rule_of(&word)?,
                until: row.read::<Option<i64>>("waits_until")?.map(Moment),
            }),
        },
    })
}
