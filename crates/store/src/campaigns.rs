//! What goes into and comes out of the verbs about campaigns. Plain values; the verbs are in [`crate::Store`] and
//! [`crate::Reader`].

use crate::{Admission, StoreError};
use callwright_domain::campaign::{Callee, CampaignState, IllegalStep, RowState, Step, Stopped};
use callwright_domain::{AccountId, CallId, CampaignId, HangupCause, Moment, Pii};
use std::time::Duration;

/// Whose campaign, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CampaignKey {
    /// The account.
    pub account: AccountId,
    /// The campaign.
    pub id: CampaignId,
}

/// Why a campaign was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CampaignError {
    /// The account has none of this id.
    #[error("no campaign with this id exists")]
    Unknown,
    /// Not from the state it is in.
    #[error(transparent)]
    Illegal(#[from] IllegalStep),
    /// It is over, or not over yet: what was asked for needs the other.
    #[error("the campaign is {}", .0.word())]
    State(CampaignState),
    /// It has nobody to call.
    #[error("the campaign has no callees that can be called")]
    Empty,
    /// Somebody is adding callees at this moment.
    #[error("callees are being added to the campaign by another request")]
    Importing,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An import that is open. Its rows count when it is committed, and not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The campaign.
    pub key: CampaignKey,
    /// Whose turn it is: only its holder may add.
    pub token: String,
}

impl Import {
    /// How long an import whose holder says nothing keeps others out.
    pub const LEASE: Duration = Duration::from_secs(60);
}

/// A row that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Line of the file or place in the list.
    pub line: u64,
    /// Who is to be called, or what stood in the number's place and the word for what is wrong with it.
    pub callee: Result<Callee, (Pii<String>, &'static str)>,
    /// Whether the number may stand in another row of the campaign as well.
    pub repeats: Repeats,
}

/// What becomes of a number that the campaign has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// The later row is kept as a duplicate and not called.
    Skipped,
    /// It is called in each row.
    Called,
}

/// The first call or a further one of a row: accepted in one transaction with the row's own change.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The campaign.
    pub key: CampaignKey,
    /// The row.
    pub row: u64,
    /// Calls that the row has had: another number means that somebody was faster.
    pub attempts: u32,
    /// The call.
    pub admission: Admission,
}

/// What came of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launched {
    /// The call is accepted and due.
    Begun,
    /// No call was made: the rules let the callee be called from then on, and the row is due then.
    Later(Moment),
}

/// What becomes of a row without a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The row.
    pub row: u64,
    /// Calls that the row has had.
    pub attempts: u32,
    /// Where it stands now.
    pub state: RowState,
    /// When it is called after all, when it is.
    pub due: Option<Moment>,
    /// Why, as a word.
    pub reason: String,
}

/// Which rows a list shows. What is `None` does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// Only rows that stand here.
    pub state: Option<RowState>,
    /// Only rows whose latest call ended so.
    pub cause: Option<HangupCause>,
    /// Only rows of this number, as it is dialled.
    pub number: Option<String>,
    /// Only rows of this own id.
    pub own_id: Option<String>,
}

/// One of a row's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCall {
    /// The row.
    pub row: u64,
    /// Which attempt; the first is 1.
    pub attempt: u32,
    /// The call.
    pub call: CallId,
}

/// Answered and abandoned calls of the last thirty days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Answers {
    /// Answered by somebody.
    pub answered: u64,
    /// Of these, those who found nobody speaking.
    pub abandoned: u64,
}

/// A step of a campaign and why it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepOrder {
    /// The step.
    pub step: Step,
    /// Why it stops, when it does.
    pub stopped: Option<Stopped>,
    /// Why it pauses by itself, as a word, when it does.
    pub trouble: Option<String>,
}

impl From<Step> for StepOrder {
    fn from(step: Step) -> Self {
        Self { step, stopped: None, trouble: None }
    }
}
