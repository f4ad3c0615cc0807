//! From rows to calls: chooses the number that shows, plans each call as any other request is planned, and has it accepted
//! in one transaction with its row. Says what becomes of rows that the rules refuse.

use crate::calls::{Calls, StartCall, StartError};
use crate::limits::CAMPAIGN_AGAIN;
use crate::node::Node;
use callwright_domain::agent::CallLimitsPatch;
use callwright_domain::campaign::{Campaign, CampaignCall, Row, RowState};
use callwright_domain::{AgentPatch, Moment, PhoneNumber, Refusal};
use callwright_store::{Admission, AdmitError, CampaignKey, Launch, NumberStatus, Patience, StoreError, Verdict};
use futures_util::future::join_all;
use std::sync::Arc;
use tracing::{debug, warn};

/// Why nothing of the campaign can be dialled now.
pub(super) enum Trouble {
    /// Its configuration does not work any more; a word for why.
    Campaign(String),
    /// The store failed.
    Store(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The numbers that may show, and the lines that are free at each.
pub(super) struct Callers(Vec<(PhoneNumber, u32)>);

impl Callers {
    /// Lines free at all of them.
    pub(super) fn free(&self) -> u32 {
        self.0.iter().fold(0, |sum, (_, free)| sum.saturating_add(*free))
    }

    /// The number with the most free lines; one of them is taken.
    fn take(&mut self) -> Option<PhoneNumber> {
        let (number, free) = self.0.iter_mut().max_by_key(|(_, free)| *free)?;
        *free = free.checked_sub(1)?;
        Some(number.clone())
    }
}

/// What a refusal means for the row that met it.
enum Grade {
    /// It is called as soon as there is room.
    Wait,
    /// It is called later.
    Later,
    /// It is not called.
    Row,
    /// Nobody of the campaign can be called.
    Campaign,
}

fn grade(refusal: Refusal) -> Grade {
    match refusal {
        Refusal::CallerBusy
        | Refusal::AccountBusy
        | Refusal::AgentBusy
        | Refusal::NodeBusy
        | Refusal::Draining
        | Refusal::CallerTooOften
        | Refusal::AccountTooOften => Grade::Wait,
        Refusal::OutsideCallingHours | Refusal::CalleeTooOften | Refusal::CalleeDailyLimit => Grade::Later,
        Refusal::CalleeBlocked
        | Refusal::EmergencyNumber
        | Refusal::ShortNumber
        | Refusal::PremiumNumber
        | Refusal::SatelliteNumber
        | Refusal::DestinationNotAllowed
        | Refusal::OwnNumber
        | Refusal::RegionBlocked
        | Refusal::NoConsent => Grade::Row,
        Refusal::UnknownAgent
        | Refusal::CallerNotOwned
        | Refusal::CallerDisabled
        | Refusal::NoCallerNumber
        | Refusal::NoTrunk
        | Refusal::QuotaUsedUp
        | Refusal::PlanExpired => Grade::Campaign,
    }
}

/// What came of one row.
enum Outcome {
    Begun,
    Left,
    Judged(RowState, Option<Moment>, String),
    Trouble(Trouble),
}

/// Launches rows of one campaign.
pub(super) struct Launcher<'a> {
    node: &'a Arc<Node>,
    calls: &'a Calls,
    key: &'a CampaignKey,
    campaign: &'a Campaign,
}

impl<'a> Launcher<'a> {
    pub(super) const fn new(
        node: &'a Arc<Node>,
        calls: &'a Calls,
        key: &'a CampaignKey,
        campaign: &'a Campaign,
    ) -> Self {
        Self { node, calls, key, campaign }
    }

    /// The campaign's numbers with their free lines.
    pub(super) async fn callers(&self) -> Result<Callers, Trouble> {
        let wanted = &self.campaign.settings.callers;
        let owned = self.node.reader.numbers(&self.key.account).await?;
        let busy = self.node.reader.active_by_caller(&self.key.account).await?;
        let mut callers = Vec::new();
        for number in owned {
            if number.status != NumberStatus::Active || !(wanted.is_empty() || wanted.contains(&number.number)) {
                continue;
            }
            let active = busy.get(number.number.dial()).copied().unwrap_or(0);
            callers.push((number.number, number.max_calls.saturating_sub(active)));
        }
        if callers.is_empty() {
            Err(Trouble::Campaign(Refusal::NoCallerNumber.id().to_owned()))
        } else {
            Ok(Callers(callers))
        }
    }

    /// Launches one call for each row; how many began, and what is wrong with the whole when something is.
    pub(super) async fn launch(&self, rows: Vec<Row>, mut callers: Callers, now: Moment) -> (u32, Option<Trouble>) {
        let launches = rows.into_iter().map_while(|row| callers.take().map(|caller| self.one(row, caller, now)));
        let (mut begun, mut trouble) = (0, None);
        for outcome in join_all(launches).await {
            match outcome {
                Outcome::Begun => begun += 1,
                Outcome::Left | Outcome::Judged(..) => {}
                Outcome::Trouble(what) => trouble = Some(what),
            }
        }
        (begun, trouble)
    }

    async fn one(&self, row: Row, caller: PhoneNumber, now: Moment) -> Outcome {
        let outcome = self.try_one(&row, caller, now).await;
        let Outcome::Judged(state, due, reason) = outcome else { return outcome };
        let verdict = Verdict { row: row.row, attempts: row.attempts, state, due, reason: reason.clone() };
        match self.node.store.judge_row(self.key.clone(), verdict, now).await {
            Ok(_) => Outcome::Judged(state, due, reason),
            Err(error) => Outcome::Trouble(error.into()),
        }
    }

    async fn try_one(&self, row: &Row, caller: PhoneNumber, now: Moment) -> Outcome {
        let Some(request) = self.request(row, caller) else {
            return Outcome::Judged(RowState::Invalid, None, String::from("number_invalid"));
        };
        let mut plan = match self.calls.plan(request, now).await {
            Ok(plan) => plan,
            Err(error) => return self.not_planned(row, error, now),
        };
        plan.campaign = Some(CampaignCall {
            campaign: self.key.id.clone(),
            row: row.row,
            attempt: row.attempts.saturating_add(1),
            pace: self.campaign.settings.pace,
        });
        let admission =
            Admission { plan, idempotency: None, endpoint: None, alias: None, patience: Patience::AnyPlace };
        let launch = Launch { key: self.key.clone(), row: row.row, attempts: row.attempts, admission };
        match self.node.store.launch(launch, now).await {
            Ok(()) => Outcome::Begun,
            // Paused, stopped or taken over between the look and the launch.
            Err(AdmitError::Store(StoreError::NotOwner)) => Outcome::Left,
            Err(AdmitError::Store(error)) => Outcome::Trouble(error.into()),
            Err(AdmitError::Refused(refusal)) => self.refused(row, refusal, now),
            Err(AdmitError::IdempotencyMismatch) => Outcome::Left,
        }
    }

    /// The row as the request that it stands for; none when its number cannot be read any more.
    fn request(&self, row: &Row, caller: PhoneNumber) -> Option<StartCall> {
        let settings = &self.campaign.settings;
        let mut variables = settings.variables.clone();
        variables.extend(row.variables.clone());
        let limits = CallLimitsPatch { max_duration_s: row.max_duration_s, ..CallLimitsPatch::default() };
        let own = AgentPatch { limits, ..AgentPatch::default() };
        Some(StartCall {
            account: self.key.account.clone(),
            agent: settings.agent.clone().into(),
            patch: own.over(settings.patch.clone()),
            callee: PhoneNumber::parse(row.number.expose()).ok()?,
            callers: vec![caller],
            variables,
            user_data: row.user_data.clone(),
            thread: None,
            due: None,
            deadline: settings.deadline,
            // The campaign waits itself, and looks for another number meanwhile.
            wait: std::time::Duration::ZERO,
            retry: None,
            once: None,
            origin: settings.origin.clone(),
            outer: None,
        })
    }

    fn not_planned(&self, row: &Row, error: StartError, now: Moment) -> Outcome {
        match error {
            StartError::Refused(refusal) => self.refused(row, refusal, now),
            // Another row may bring the variable that this one lacks.
            StartError::Template(_) => Outcome::Judged(RowState::Refused, None, String::from("variables")),
            StartError::Unserved(flaw) => {
                warn!(campaign = %self.key.id, field = flaw.field, %flaw, "the agent's vendors are not all there");
                Outcome::Trouble(Trouble::Campaign(String::from("unknown_vendor")))
            }
            StartError::OtherRequest => Outcome::Left,
            StartError::Store(error) => Outcome::Trouble(error.into()),
        }
    }

    fn refused(&self, row: &Row, refusal: Refusal, now: Moment) -> Outcome {
        debug!(campaign = %self.key.id, row = row.row, %refusal, "a row was refused");
        match grade(refusal) {
            Grade::Wait => Outcome::Left,
            Grade::Later => {
                let state = if row.attempts == 0 { RowState::Waiting } else { RowState::Retrying };
                Outcome::Judged(state, Some(now.after(CAMPAIGN_AGAIN)), refusal.id().to_owned())
            }
            Grade::Row => Outcome::Judged(RowState::Refused, None, refusal.id().to_owned()),
            Grade::Campaign => Outcome::Trouble(Trouble::Campaign(refusal.id().to_owned())),
        }
    }
}
