//! Campaigns: many callees, one agent, and the rules by which they are called. What a campaign is, the states that it and
//! its rows go through, and what becomes of a row when one of its calls ends.
//!
//! Pure: the engine asks [`pacing`] how many to dial, the store asks [`settle`] in the transaction that ends a call. Never
//! knows how a vendor spells a task or a batch.

pub mod contact;
pub mod csv;
pub mod pacing;
pub mod windows;

pub use contact::Contact;
pub use windows::{Day, Opening, Window, WindowFault, Windows};

use crate::agent::Switch;
use crate::{
    AccountId, AgentId, AgentPatch, CallId, CampaignId, HangupCause, Moment, Origin, PhoneNumber, Pii, Refusal,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most calls that one campaign may have at once.
pub const MAX_CONCURRENCY: u32 = 10_000;
/// Most calls that one campaign may begin in a second.
pub const MAX_CPS: u32 = 1_000;
/// Longest gap between two calls of a campaign: a day.
pub const MAX_GAP: Duration = Duration::from_secs(24 * 60 * 60);
/// Most times that one callee is tried.
pub const MAX_ATTEMPTS: u32 = 20;
/// Longest wait between two attempts: thirty days.
pub const MAX_WAIT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most urgent priority; 1 is the least.
pub const MAX_PRIORITY: u8 = 10;

/// What a campaign is to do. Changed by its owner while it is not over; calls that exist keep what they were made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What people call it.
    pub name: String,
    /// The stored agent. Read anew for each call.
    pub agent: AgentId,
    /// What the campaign changes in it.
    #[serde(default)]
    pub patch: AgentPatch,
    /// Who shows on the display: the numbers to choose from; empty: any number of the account.
    #[serde(default)]
    pub callers: Vec<PhoneNumber>,
    /// Values for the prompt's templates, for every callee; a callee's own win.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// When it may dial; none: always.
    #[serde(default)]
    pub windows: Option<Windows>,
    /// How fast it may dial.
    pub pace: Pace,
    /// When a callee who was not reached is called again.
    #[serde(default)]
    pub retry: RetryPlan,
    /// 1 to [`MAX_PRIORITY`]; the higher takes free lines first.
    pub priority: u8,
    /// Nothing is dialled before this.
    #[serde(default)]
    pub starts: Option<Moment>,
    /// Nothing is dialled after this; what is left then has expired.
    #[serde(default)]
    pub deadline: Option<Moment>,
    /// Whether the campaign slows and stops by itself when answered calls find nobody speaking.
    pub abandonment_guard: Switch,
    /// Where the request for it came from.
    #[serde(default)]
    pub origin: Origin,
}

/// How fast a campaign may dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// Calls at once.
    pub concurrency: u32,
    /// Calls begun in any second.
    pub cps: u32,
    /// Least time between the beginnings of two calls, in milliseconds; 0: as `cps` allows.
    #[serde(default)]
    pub gap_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { concurrency: 10, cps: 2, gap_ms: 0 }
    }
}

/// When and how often a callee who was not reached is called again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPlan {
    /// The ends after which it is tried again.
    pub on: Vec<HangupCause>,
    /// Times a callee is called altogether; 1: no second try.
    pub max_attempts: u32,
    /// Waits before the second, third, .. try, in seconds; the last one repeats.
    pub waits_s: Vec<u64>,
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self { on: Vec::new(), max_attempts: 1, waits_s: Vec::new() }
    }
}

impl RetryPlan {
    /// Checks that the plan can be kept.
    ///
    /// # Errors
    /// The first [`Flaw`], named below `retry`.
    pub fn check(&self) -> Result<(), Flaw> {
        within("retry.max_attempts", u64::from(self.max_attempts), u64::from(MAX_ATTEMPTS))?;
        if self.waits_s.iter().any(|wait| *wait > MAX_WAIT.as_secs()) {
            return Err(Flaw::new("retry.waits_s", format!("must each be at most {}", MAX_WAIT.as_secs())));
        }
        if self.waits_s.len() > usize::try_from(MAX_ATTEMPTS).unwrap_or(usize::MAX) {
            return Err(Flaw::new("retry.waits_s", format!("must hold at most {MAX_ATTEMPTS} waits")));
        }
        if self.max_attempts > 1 && self.on.is_empty() {
            return Err(Flaw::new("retry.on", "must name the ends after which to try again"));
        }
        if self.max_attempts == 1 && !(self.on.is_empty() && self.waits_s.is_empty()) {
            return Err(Flaw::new("retry.max_attempts", "must be 2 or more when retries are described"));
        }
        Ok(())
    }

    /// When to try again after attempt number `attempt` (the first is 1) ended with `cause` at `ended`; none: not again.
    pub fn next(&self, attempt: u32, cause: HangupCause, ended: Moment) -> Option<Moment> {
        if attempt >= self.max_attempts || !self.on.contains(&cause) {
            return None;
        }
        let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = self.waits_s.get(at).or(self.waits_s.last()).copied().unwrap_or(0);
        Some(ended.after(Duration::from_secs(wait)))
    }
}

/// A rule of a campaign's settings that is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Flaw {
    /// The member to blame, as a path.
    pub field: String,
    /// What it must be.
    pub rule: String,
}

impl Flaw {
    pub(crate) fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

impl Settings {
    /// Checks what can be judged without looking anything up.
    ///
    /// # Errors
    /// The first [`Flaw`]; nothing of the settings may be used then.
    pub fn check(&self, now: Moment) -> Result<(), Flaw> {
        within("concurrency", u64::from(self.pace.concurrency), u64::from(MAX_CONCURRENCY))?;
        within("cps", u64::from(self.pace.cps), u64::from(MAX_CPS))?;
        within("priority", u64::from(self.priority), u64::from(MAX_PRIORITY))?;
        if u128::from(self.pace.gap_ms) > MAX_GAP.as_millis() {
            return Err(Flaw::new("gap_ms", format!("must be at most {}", MAX_GAP.as_millis())));
        }
        self.retry.check()?;
        if let Some(deadline) = self.deadline
            && (deadline <= now || self.starts.is_some_and(|starts| deadline <= starts))
        {
            return Err(Flaw::new("deadline", "must lie in the future and after the start"));
        }
        self.windows.as_ref().map_or(Ok(()), Windows::check)
    }
}

fn within(field: &str, value: u64, most: u64) -> Result<(), Flaw> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Flaw::new(field, format!("must be a number from 1 to {most}")))
}

/// A campaign as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Whose it is.
    pub account: AccountId,
    /// What it is to do.
    pub settings: Settings,
    /// Where it stands.
    pub state: CampaignState,
    /// Why it stopped by itself or was stopped; none while it goes on.
    pub stopped: Option<Stopped>,
    /// Why it paused by itself, as a word; none when it did not.
    pub trouble: Option<String>,
    /// When it was created.
    pub created: Moment,
    /// When it was first started.
    pub started: Option<Moment>,
    /// When its last row was final.
    pub finished: Option<Moment>,
}

/// Why a campaign that runs dials nobody at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its start lies ahead.
    NotYet(Moment),
    /// It is outside its windows, until then; none: they never open again.
    Closed(Option<Moment>),
    /// Too many answered calls found nobody speaking.
    Abandonment,
}

impl Campaign {
    /// Why it dials nobody at `now` although it runs; none: it dials as lines get free.
    pub fn hold(&self, now: Moment, guard: pacing::Guard) -> Option<Hold> {
        if let Some(starts) = self.settings.starts.filter(|starts| *starts > now) {
            return Some(Hold::NotYet(starts));
        }
        if let Some(Opening::Closed(until)) = self.settings.windows.as_ref().map(|windows| windows.opening(now)) {
            return Some(Hold::Closed(until));
        }
        let guarded = self.settings.abandonment_guard.is_on() && guard == pacing::Guard::Halt;
        guarded.then_some(Hold::Abandonment)
    }

    /// Whether its deadline has passed.
    pub fn is_late(&self, now: Moment) -> bool {
        self.settings.deadline.is_some_and(|deadline| deadline <= now)
    }
}

/// What a refusal means for the row that meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is called as soon as there is room.
    Wait,
    /// It is called later.
    Later,
    /// It is not called.
    Row,
    /// Nobody of the campaign can be called.
    Campaign,
}

impl Fate {
    /// How long a row waits that the rules do not allow yet.
    pub const LATER: Duration = Duration::from_secs(15 * 60);

    /// What `refusal` means.
    pub const fn of(refusal: Refusal) -> Self {
        match refusal {
            Refusal::CallerBusy
            | Refusal::AccountBusy
            | Refusal::AgentBusy
            | Refusal::NodeBusy
            | Refusal::Draining
            | Refusal::CallerTooOften
            | Refusal::AccountTooOften => Self::Wait,
            Refusal::OutsideCallingHours
            | Refusal::CalleeTooOften
            | Refusal::CalleeDailyLimit
            | Refusal::QuotaUsedUp => Self::Later,
            Refusal::CalleeBlocked
            | Refusal::EmergencyNumber
            | Refusal::ShortNumber
            | Refusal::PremiumNumber
            | Refusal::SatelliteNumber
            | Refusal::DestinationNotAllowed
            | Refusal::OwnNumber
            | Refusal::RegionBlocked
            | Refusal::NoConsent => Self::Row,
            Refusal::UnknownAgent
            | Refusal::CallerNotOwned
            | Refusal::CallerDisabled
            | Refusal::NoCallerNumber
            | Refusal::NoTrunk
            | Refusal::PlanExpired => Self::Campaign,
        }
    }

    /// When a row that meets it at `now` is to be called; none: not by itself.
    pub fn again(self, now: Moment) -> Option<Moment> {
        match self {
            Self::Wait => Some(now),
            Self::Later => Some(now.after(Self::LATER)),
            Self::Row | Self::Campaign => None,
        }
    }
}

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignState {
    /// Being put together; nothing is dialled.
    Draft,
    /// Dials whenever its start, windows and limits allow.
    Running,
    /// Dials nothing until it is resumed. Calls that are up go on.
    Paused,
    /// Dials nothing any more; what is left is being cancelled.
    Stopped,
    /// Every row is final.
    Done,
}

impl CampaignState {
    /// Every state, in the order in which they are documented.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Running, Self::Paused, Self::Stopped, Self::Done];

    /// The state's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Done => "done",
        }
    }

    /// The state of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing is dialled any more, whatever comes.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Done)
    }

    /// The state after `step`.
    ///
    /// # Errors
    /// [`IllegalStep`] when the step cannot be taken from here; the state is unchanged.
    pub fn apply(self, step: Step) -> Result<Self, IllegalStep> {
        match (self, step) {
            (Self::Draft, Step::Start) | (Self::Paused, Step::Resume) => Ok(Self::Running),
            (Self::Running, Step::Pause) => Ok(Self::Paused),
            (Self::Draft | Self::Running | Self::Paused, Step::Stop) => Ok(Self::Stopped),
            (Self::Running, Step::Finish) => Ok(Self::Done),
            _ => Err(IllegalStep { state: self, step }),
        }
    }
}

/// What moves a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Begin.
    Start,
    /// Dial nothing for now.
    Pause,
    /// Go on.
    Resume,
    /// Dial nothing any more.
    Stop,
    /// Every row is final.
    Finish,
}

/// A step that cannot be taken in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a campaign that is {} cannot take this step", state.word())]
pub struct IllegalStep {
    /// The state the campaign is in.
    pub state: CampaignState,
    /// The step that was asked for.
    pub step: Step,
}

/// Why a campaign dials nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Somebody asked for it; calls that are up go on.
    Asked,
    /// Somebody asked for it, and for the end of its calls.
    AskedWithCalls,
    /// Its deadline has passed.
    Deadline,
}

impl Stopped {
    const ALL: [Self; 3] = [Self::Asked, Self::AskedWithCalls, Self::Deadline];

    /// The reason's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::AskedWithCalls => "asked_with_calls",
            Self::Deadline => "deadline",
        }
    }

    /// The reason of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// What a row that was still to be dialled becomes.
    pub const fn leftover(self) -> RowState {
        match self {
            Self::Asked | Self::AskedWithCalls => RowState::Cancelled,
            Self::Deadline => RowState::Expired,
        }
    }
}

/// Which call of which row of which campaign a call is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignCall {
    /// The campaign.
    pub campaign: CampaignId,
    /// The row within it.
    pub row: u64,
    /// The row's attempt; the first is 1.
    pub attempt: u32,
    /// The pace that holds for the INVITE.
    pub pace: Pace,
}

/// Somebody to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    /// The number.
    pub number: PhoneNumber,
    /// The requester's own id of the callee.
    pub own_id: Option<String>,
    /// Values for the prompt's templates.
    pub variables: BTreeMap<String, String>,
    /// The requester's own text, given back unread.
    pub user_data: Option<Pii<String>>,
    /// Not called before this.
    pub due: Option<Moment>,
    /// Longest conversation, in seconds; none: as the agent has it.
    pub max_duration_s: Option<u64>,
}

/// Where a row stands. The first three are under way, the others final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowState {
    /// Not called yet.
    Waiting,
    /// A call of it exists and has not ended.
    Calling,
    /// Was not reached; will be called again.
    Retrying,
    /// Answered.
    Answered,
    /// Not reached, and not to be tried again.
    Unanswered,
    /// The rules say no.
    Refused,
    /// The campaign or the call was stopped before it was reached.
    Cancelled,
    /// Its time passed before it was reached.
    Expired,
    /// What was given is nobody who can be called.
    Invalid,
    /// The same number stands in another row.
    Duplicate,
}

impl RowState {
    /// Every state, in the order in which they are documented.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Calling,
        Self::Retrying,
        Self::Answered,
        Self::Unanswered,
        Self::Refused,
        Self::Cancelled,
        Self::Expired,
        Self::Invalid,
        Self::Duplicate,
    ];

    /// The state's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Calling => "calling",
            Self::Retrying => "retrying",
            Self::Answered => "answered",
            Self::Unanswered => "unanswered",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
        }
    }

    /// The state of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing changes it any more.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Calling | Self::Retrying)
    }
}

/// One of a campaign's calls that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Which; the first is 1.
    pub number: u32,
    /// Why it ended.
    pub cause: HangupCause,
    /// Whether somebody answered.
    pub contact: Contact,
    /// When it ended.
    pub ended: Moment,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Where it stands now.
    pub state: RowState,
    /// When it is called again, when it is.
    pub due: Option<Moment>,
}

/// What becomes of a row whose call ended, in a campaign of this plan that stands here.
///
/// An end that the retry plan names is tried again even when somebody had answered (a plan may name `server_restarted`);
/// otherwise an answer is an answer, however the call ended.
pub fn settle(attempt: &Attempt, retry: &RetryPlan, state: CampaignState, deadline: Option<Moment>) -> Settled {
    let again = retry.next(attempt.number, attempt.cause, attempt.ended);
    let again = again.filter(|due| !state.is_over() && deadline.is_none_or(|deadline| *due < deadline));
    if again.is_some() {
        return Settled { state: RowState::Retrying, due: again };
    }
    let state = match (attempt.contact, attempt.cause) {
        (Contact::Connected | Contact::Abandoned, _) => RowState::Answered,
        (Contact::None, HangupCause::Cancelled) => RowState::Cancelled,
        (Contact::None, HangupCause::Expired) => RowState::Expired,
        (
            Contact::None,
            HangupCause::CalleeBlocked
            | HangupCause::DestinationRefused
            | HangupCause::OutsideHours
            | HangupCause::OverLimit
            | HangupCause::NoPlace
            | HangupCause::NoConsent
            | HangupCause::RuleRefused,
        ) => RowState::Refused,
        (Contact::None, _) => RowState::Unanswered,
    };
    Settled { state, due: None }
}

/// How many rows stand where: a function of the rows and of nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows in each state; a state that no row is in is absent.
    pub rows: BTreeMap<RowState, u64>,
    /// Final rows by the end of their last call.
    pub causes: BTreeMap<String, u64>,
}

impl Counters {
    /// Counts `count` more rows.
    pub fn add(&mut self, state: RowState, cause: Option<&str>, count: u64) {
        *self.rows.entry(state).or_default() += count;
        if let Some(cause) = cause.filter(|_| state.is_final()) {
            *self.causes.entry(cause.to_owned()).or_default() += count;
        }
    }

    /// Rows in `state`.
    pub fn of(&self, state: RowState) -> u64 {
        self.rows.get(&state).copied().unwrap_or(0)
    }

    /// All rows.
    pub fn total(&self) -> u64 {
        self.rows.values().sum()
    }

    /// Rows that nothing changes any more.
    pub fn finished(&self) -> u64 {
        self.rows.iter().filter(|(state, _)| state.is_final()).map(|(_, count)| count).sum()
    }
}

/// A row as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Place within the campaign; the first is 1.
    pub row: u64,
    /// Line of the file or place in the list that it came from.
    pub line: u64,
    /// The number as it is dialled, or what was given in its place when the row is not valid.
    pub number: Pii<String>,
    /// The requester's own id of the callee.
    pub own_id: Option<String>,
    /// Values for the prompt's templates.
    pub variables: BTreeMap<String, String>,
    /// The requester's own text.
    pub user_data: Option<Pii<String>>,
    /// Longest conversation, in seconds; none: as the agent has it.
    pub max_duration_s: Option<u64>,
    /// Where it stands.
    pub state: RowState,
    /// When it is to be called; none: it is not.
    pub due: Option<Moment>,
    /// Calls made so far.
    pub attempts: u32,
    /// The latest call.
    pub call: Option<CallId>,
    /// How the latest call ended.
    pub cause: Option<HangupCause>,
    /// Why it is refused or not valid, as a word.
    pub reason: Option<String>,
    /// When it last changed.
    pub updated: Moment,
}

#[cfg(test)]
mod tests;
