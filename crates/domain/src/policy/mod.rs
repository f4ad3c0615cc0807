//! May this call exist? A function of facts, never a fetch: the store gathers the facts and asks inside its transaction,
//! when a call is accepted and again when it is to be dialled.

pub mod alarm;
mod counts;
pub mod hours;
mod judge;
mod onward;
pub mod rules;

pub use counts::{Count, Spell, Whom};
pub use judge::{Case, Class, Evidence, Numbers, Placement, Stage, Verdict, counts_needed, judge};
pub use onward::judge_transfer;
pub use rules::{RuleFlaw, Rules, RulesPatch};

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
    /// The agent's calls are all in use.
    #[error("the agent has reached its limit of calls at once")]
    AgentBusy,
    /// The callee is on a deny list, or asked not to be called.
    #[error("the callee is on a do-not-call list")]
    CalleeBlocked,
    /// Help in danger is not for machines to call.
    #[error("emergency numbers are never called")]
    EmergencyNumber,
    /// A service code, or an extension where extensions are not allowed.
    #[error("the number is a short code or an extension, and these are not allowed")]
    ShortNumber,
    /// Paid by the minute, or shared cost.
    #[error("premium-rate and shared-cost numbers are never called")]
    PremiumNumber,
    /// A satellite or a network without a country.
    #[error("satellite and global network numbers are never called")]
    SatelliteNumber,
    /// Neither the home country nor an allowed prefix.
    #[error("the number is outside the home country and the allowed prefixes")]
    DestinationNotAllowed,
    /// One of the account's own numbers: a loop.
    #[error("the number is one of this account's own")]
    OwnNumber,
    /// The callee's region is blocked.
    #[error("calls to this region are blocked")]
    RegionBlocked,
    /// Outside the calling hours where the callee is.
    #[error("it is outside the calling hours where the callee is")]
    OutsideCallingHours,
    /// Too many calls to the callee within a short time.
    #[error("the callee was called too often in a short time")]
    CalleeTooOften,
    /// The callee's calls of the day are used up.
    #[error("the callee has been called as often as one day allows")]
    CalleeDailyLimit,
    /// The caller number has placed its calls for the time being.
    #[error("the caller number has placed too many calls in a short time")]
    CallerTooOften,
    /// The account has placed its calls for the time being.
    #[error("the account has placed too many calls in a short time")]
    AccountTooOften,
    /// Consent is required, and there is none or it was taken back.
    #[error("there is no record of the callee's consent")]
    NoConsent,
    /// The account's minutes or money are used up for the day or altogether.
    #[error("the account's quota is used up")]
    QuotaUsedUp,
    /// The day after which the account may not call any more is past.
    #[error("the account's plan has expired")]
    PlanExpired,
}

impl Refusal {
    /// Every refusal, in the order in which they are documented.
    pub const ALL: [Self; 26] = [
        Self::UnknownAgent,
        Self::CallerNotOwned,
        Self::CallerDisabled,
        Self::NoCallerNumber,
        Self::CallerBusy,
        Self::NoTrunk,
        Self::AccountBusy,
        Self::NodeBusy,
        Self::Draining,
        Self::AgentBusy,
        Self::CalleeBlocked,
        Self::EmergencyNumber,
        Self::ShortNumber,
        Self::PremiumNumber,
        Self::SatelliteNumber,
        Self::DestinationNotAllowed,
        Self::OwnNumber,
        Self::RegionBlocked,
        Self::OutsideCallingHours,
        Self::CalleeTooOften,
        Self::CalleeDailyLimit,
        Self::CallerTooOften,
        Self::AccountTooOften,
        Self::NoConsent,
        Self::QuotaUsedUp,
        Self::PlanExpired,
    ];

    /// The rule's id, as it is stored and shown.
    pub const fn id(self) -> &'static str {
        match self {
            Self::UnknownAgent => "unknown_agent",
            Self::CallerNotOwned => "caller_not_owned",
            Self::CallerDisabled => "caller_disabled",
            Self::NoCallerNumber => "no_caller_number",
            Self::CallerBusy => "caller_busy",
            Self::NoTrunk => "no_trunk",
            Self::AccountBusy => "account_busy",
            Self::NodeBusy => "node_busy",
            Self::Draining => "draining",
            Self::AgentBusy => "agent_busy",
            Self::CalleeBlocked => "callee_blocked",
            Self::EmergencyNumber => "emergency_number",
            Self::ShortNumber => "short_number",
            Self::PremiumNumber => "premium_number",
            Self::SatelliteNumber => "satellite_number",
            Self::DestinationNotAllowed => "destination_not_allowed",
            Self::OwnNumber => "own_number",
            Self::RegionBlocked => "region_blocked",
            Self::OutsideCallingHours => "outside_calling_hours",
            Self::CalleeTooOften => "callee_too_often",
            Self::CalleeDailyLimit => "callee_daily_limit",
            Self::CallerTooOften => "caller_too_often",
            Self::AccountTooOften => "account_too_often",
            Self::NoConsent => "no_consent",
            Self::QuotaUsedUp => "quota_used_up",
            Self::PlanExpired => "plan_expired",
        }
    }

    /// Whether it passes by itself once another call has ended.
    pub const fn is_busy(self) -> bool {
        matches!(self, Self::CallerBusy | Self::AccountBusy | Self::AgentBusy | Self::NodeBusy)
    }
}

impl Refusal {
    /// Whether another caller number might have been let through where this one was not.
    pub const fn is_of_caller(self) -> bool {
        matches!(
            self,
            Self::CallerNotOwned
                | Self::CallerDisabled
                | Self::CallerBusy
                | Self::NoTrunk
                | Self::CallerTooOften
                // Without a home of its own an account is at home where its number is.
                | Self::DestinationNotAllowed
        )
    }
}

/// What is known at the moment of admission. Gathered by the store in the admitting transaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// State of the caller number within the account.
    pub caller: CallerStanding,
    /// Calls of the caller number that hold a place.
    pub caller_active: u32,
    /// Most calls the caller number may have.
    pub caller_limit: u32,
    /// Calls of the account that hold a place.
    pub account_active: u32,
    /// Most calls the account may have.
    pub account_limit: u32,
    /// Calls of the agent that hold a place. Asked only when the rules limit them.
    pub agent_active: u32,
    /// The callee is one of the account's own numbers.
    pub callee: CalleeStanding,
    /// Whether the callee agreed to be called.
    pub consent: Consent,
    /// Answers to [`counts_needed`], in its order.
    pub counts: Vec<u32>,
    /// What the account has used.
    pub usage: Usage,
}

/// State of the callee within the account that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalleeStanding {
    /// Nothing is known against a call.
    #[default]
    Free,
    /// On the account's deny list.
    Denied,
    /// On the list of the whole server.
    DeniedEverywhere,
    /// One of the account's own numbers.
    Ours,
}

/// Whether a callee agreed to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// There is no record.
    #[default]
    Unknown,
    /// There is one for the scope that the rules name.
    Given,
    /// It was taken back.
    Revoked,
}

/// What an account has used of its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Talked today (UTC), in milliseconds.
    pub today_ms: u64,
    /// Talked altogether, in milliseconds.
    pub ever_ms: u64,
    /// Spent today (UTC), in millionths of the account's currency.
    pub today_cost: u64,
    /// Talked by the calls that hold a place, if each talks as long as it may, in milliseconds.
    pub held_ms: u64,
    /// What that would cost, in millionths of the account's currency.
    pub held_cost: u64,
}

impl Default for Facts {
    /// Nothing is in the way of a call.
    fn default() -> Self {
        Self {
            caller: CallerStanding::Ready,
            caller_active: 0,
            caller_limit: CALLS_PER_CALLER_NUMBER,
            account_active: 0,
            account_limit: u32::MAX,
            agent_active: 0,
            callee: CalleeStanding::Free,
            consent: Consent::Unknown,
            counts: Vec::new(),
            usage: Usage::default(),
        }
    }
}

/// State of a caller number within the account that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// The verdict on places and numbers alone: `Ok` when there is room for a call. [`judge`] asks it last.
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
            ..Facts::default()
        }
    }

    #[test]
    fn the_sixteenth_is_refused_and_the_fifteenth_is_not() {
        assert_eq!(admit(&facts()), Ok(()));
        assert_eq!(admit(&Facts { caller_active: 15, ..facts() }), Err(Refusal::CallerBusy));
        assert_eq!(admit(&Facts { account_active: 100, ..facts() }), Err(Refusal::AccountBusy));
    }

    #[test]
    fn ids_are_the_stored_words() {
        for refusal in Refusal::ALL {
            assert_eq!(serde_json::to_value(refusal).expect("a word"), refusal.id());
        }
    }

    #[test]
    fn ownership_is_asked_first() {
        let foreign = Facts { caller: CallerStanding::Foreign, caller_active: 99, ..facts() };
        assert_eq!(admit(&foreign), Err(Refusal::CallerNotOwned));
        assert_eq!(admit(&Facts { caller: CallerStanding::Trunkless, ..facts() }), Err(Refusal::NoTrunk));
        assert_eq!(admit(&Facts { caller: CallerStanding::Disabled, ..facts() }), Err(Refusal::CallerDisabled));
    }
}
