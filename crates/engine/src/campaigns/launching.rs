//! From rows to calls: chooses the number that shows, plans each call as any other request is planned, and has it accepted
//! in one transaction with its row. Says what becomes of rows that the rules refuse.

use crate::calls::{Calls, StartCall, StartError};
use crate::node::Node;
use callwright_domain::agent::CallLimitsPatch;
use callwright_domain::campaign::{Campaign, CampaignCall, Fate, Row, RowState};
use callwright_domain::{AgentPatch, Moment, PhoneNumber, Refusal};
use callwright_store::{
    Admission, AdmitError, Basis, CampaignKey, Launch, Launched, Number, NumberStatus, Patience, StoreError, Verdict,
};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::{debug, warn};

/// Numbers that are asked for one call: each is judged, in one transaction, until one may show.
const SHOWN: usize = 16;

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
    /// Those of `numbers` that may be used, with their free lines.
    fn of(numbers: Vec<Number>, busy: &BTreeMap<String, u32>) -> Result<Self, Trouble> {
        let active = numbers.into_iter().filter(|number| number.status == NumberStatus::Active);
        let lines: Vec<_> = active
            .map(|number| {
                let held = busy.get(number.number.dial()).copied().unwrap_or(0);
                (number.number, number.max_calls.saturating_sub(held))
            })
            .collect();
        if lines.is_empty() {
            return Err(Trouble::Campaign(Refusal::NoCallerNumber.id().to_owned()));
        }
        Ok(Self(lines))
    }

    /// Lines free at all of them.
    pub(super) fn free(&self) -> u32 {
        self.0.iter().fold(0, |sum, (_, free)| sum.saturating_add(*free))
    }

    /// The number with the most free lines, one of which is taken, and others that may show in its place when the rules do
    /// not let it.
    fn take(&mut self) -> Option<Vec<PhoneNumber>> {
        self.0.sort_by_key(|(_, free)| u32::MAX - *free);
        let (_, free) = self.0.first_mut()?;
        *free = free.checked_sub(1)?;
        let spare = self.0.iter().skip(1).filter(|(_, free)| *free > 0);
        Some(self.0.iter().take(1).chain(spare).take(SHOWN).map(|(number, _)| number.clone()).collect())
    }
}

/// What is free for one campaign.
pub(super) struct Free {
    /// At its numbers.
    pub(super) callers: Callers,
    /// In its account: calls.
    pub(super) account: u32,
    /// With its agent: calls.
    pub(super) agent: u32,
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

    /// What the campaign's account, its agent and its numbers have free.
    pub(super) async fn free(&self) -> Result<Free, Trouble> {
        let (reader, account, settings) = (&self.node.reader, &self.key.account, &self.campaign.settings);
        let busy = reader.active_by_caller(account).await?;
        let most = reader.account(account).await?.map_or(u32::MAX, |account| account.max_calls);
        let Basis { rules, numbers, .. } = reader.basis(account, &settings.agent, &settings.callers).await?;
        let agent = match rules.agent_calls {
            0 => u32::MAX,
            most => most.saturating_sub(reader.active_calls_of(account, &settings.agent).await?),
        };
        let held = busy.values().fold(0_u32, |sum, held| sum.saturating_add(*held));
        Ok(Free { callers: Callers::of(numbers, &busy)?, account: most.saturating_sub(held), agent })
    }

    /// Launches one call for each row; how many began, and what is wrong with the whole when something is.
    pub(super) async fn launch(&self, rows: Vec<Row>, mut callers: Callers, now: Moment) -> (u32, Option<Trouble>) {
        let launches = rows.into_iter().map_while(|row| callers.take().map(|callers| self.one(row, callers, now)));
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

    async fn one(&self, row: Row, callers: Vec<PhoneNumber>, now: Moment) -> Outcome {
        let outcome = self.try_one(&row, callers, now).await;
        let Outcome::Judged(state, due, reason) = outcome else { return outcome };
        let verdict = Verdict { row: row.row, attempts: row.attempts, state, due, reason: reason.clone() };
        match self.node.store.judge_row(self.key.clone(), verdict, now).await {
            Ok(_) => Outcome::Judged(state, due, reason),
            Err(error) => Outcome::Trouble(error.into()),
        }
    }

    async fn try_one(&self, row: &Row, callers: Vec<PhoneNumber>, now: Moment) -> Outcome {
        let Some(request) = self.request(row, callers) else {
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
            Ok(Launched::Begun) => Outcome::Begun,
            Ok(Launched::Later(_)) => Outcome::Left,
            // Paused, stopped or taken over between the look and the launch.
            Err(AdmitError::Store(StoreError::NotOwner)) => Outcome::Left,
            Err(AdmitError::Store(error)) => Outcome::Trouble(error.into()),
            Err(AdmitError::Refused(refusal)) => self.refused(row, refusal, now),
            Err(AdmitError::IdempotencyMismatch) => Outcome::Left,
        }
    }

    /// The row as the request that it stands for; none when its number cannot be read any more.
    fn request(&self, row: &Row, callers: Vec<PhoneNumber>) -> Option<StartCall> {
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
            callers,
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
        let fate = Fate::of(refusal);
        match fate {
            Fate::Wait => Outcome::Left,
            Fate::Later => {
                let state = if row.attempts == 0 { RowState::Waiting } else { RowState::Retrying };
                Outcome::Judged(state, fate.again(now), refusal.id().to_owned())
            }
            Fate::Row => Outcome::Judged(RowState::Refused, None, refusal.id().to_owned()),
            Fate::Campaign => Outcome::Trouble(Trouble::Campaign(refusal.id().to_owned())),
        }
    }
}
