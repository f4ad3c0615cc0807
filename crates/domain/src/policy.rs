//! May this call exist? A function of facts, never a fetch: the store gathers the facts and asks inside its transaction.

use serde::{Deserialize, Serialize};

/// Calls that one caller number may have at once unless the number says otherwise.
///
/// Alibaba IMS documents 15 for `StartAIAgentOutboundCall`; it is a sound default for any trunk.
pub const CALLS_PER_CALLER_NUMBER: u32 = 15;

/// Understood, and the rules say no. No call exists.
///
/// Mirrored without a wildcard arm in every file of `crates/api/src/dialects/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No agent of this id in the account.
    #[error("no agent with this id exists")]
    UnknownAgent,
    /// The caller number is not one of the account's.
    #[error("the caller number is not one of this account's numbers")]
    CallerNotOwned,
    /// The caller number exists but is switched off.
    #[error("the caller number is disabled")]
    CallerDisabled,
    /// No caller number was given and the account has none.
    #[error("no caller number is available")]
    NoCallerNumber,
    /// The number's calls are all in use.
    #[error("the caller number has reached its limit of calls at once")]
    CallerBusy,
    /// No trunk leads to the callee.
    #[error("no trunk is configured for this caller number")]
    NoTrunk,
    /// The account's calls are all in use.
    #[error("the account has reached its limit of calls at once")]
    AccountBusy,
    /// This node cannot carry another call.
    #[error("the server is at its capacity")]
    NodeBusy,
    /// The server is going down and takes no new calls.
    #[error("the server is shutting down")]
    Draining,
}

/// What is known at the moment of admission. Gathered by the store in the admitting transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// State of the caller number within the account.
    pub caller: CallerStanding,
    /// Calls of the caller number that are not ended.
    pub caller_active: u32,
    /// Most calls the caller number may have.
    pub caller_limit: u32,
    /// Calls of the account that are not ended.
    pub account_active: u32,
    /// Most calls the account may have.
    pub account_limit: u32,
}

/// State of a caller number within the account that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerStanding {
    /// Not the account's.
    Foreign,
    /// The account's, switched off.
    Disabled,
    /// The account's, but no trunk carries it.
    Trunkless,
    /// Ready.
    Ready,
}

/// The verdict on `facts`: `Ok` when a call may exist.
///
/// # Errors
/// The first rule that says no, in the order: ownership, state, trunk, number limit, account limit.
pub fn admit(facts: &Facts) -> Result<(), Refusal> {
    match facts.caller {
        CallerStanding::Foreign => return Err(Refusal::CallerNotOwned),
        CallerStanding::Disabled => return Err(Refusal::CallerDisabled),
        CallerStanding::Trunkless => return Err(Refusal::NoTrunk),
        CallerStanding::Ready => {}
    }
    if facts.caller_active >= facts.caller_limit {
        return Err(Refusal::CallerBusy);
    }
    if facts.account_active >= facts.account_limit {
        return Err(Refusal::AccountBusy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            caller: CallerStanding::Ready,
            caller_active: 14,
            caller_limit: CALLS_PER_CALLER_NUMBER,
            account_active: 14,
            account_limit: 100,
        }
    }

    #[test]
    fn the_sixteenth_is_refused_and_the_fifteenth_is_not() {
        assert_eq!(admit(&facts()), Ok(()));
        assert_eq!(admit(&Facts { caller_active: 15, ..facts() }), Err(Refusal::CallerBusy));
        assert_eq!(admit(&Facts { account_active: 100, ..facts() }), Err(Refusal::AccountBusy));
    }

    #[test]
    fn ownership_is_asked_first() {
        let foreign = Facts { caller: CallerStanding::Foreign, caller_active: 99, ..facts() };
        assert_eq!(admit(&foreign), Err(Refusal::CallerNotOwned));
        assert_eq!(admit(&Facts { caller: CallerStanding::Trunkless, ..facts() }), Err(Refusal::NoTrunk));
        assert_eq!(admit(&Facts { caller: CallerStanding::Disabled, ..facts() }), Err(Refusal::CallerDisabled));
    }
}
