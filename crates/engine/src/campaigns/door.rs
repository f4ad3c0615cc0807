//! What the outside may ask of campaigns. Checks what can be checked before anything is written, so that nothing is ever
//! half-created.

use crate::calls::Calls;
use crate::limits::IMPORT_BATCH;
use crate::node::Node;
use callwright_domain::campaign::{Campaign, CampaignState, Flaw, Settings, Step, Stopped};
use callwright_domain::{AccountId, CampaignId, Moment, Refusal};
use callwright_store::{CampaignError, CampaignKey, Import, NewRow, StepOrder, StoreError};
use std::sync::Arc;

/// Why a campaign was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum CampaignFault {
    /// A setting is not acceptable.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// The rules say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The agent names an ear, brain or voice that this server does not have, or a text that is no template.
    #[error("{0}")]
    Agent(String),
    /// The campaign is not there, or its state does not allow it.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
}

impl From<StoreError> for CampaignFault {
    fn from(error: StoreError) -> Self {
        Self::Campaign(CampaignError::Store(error))
    }
}

/// The door to campaigns.
pub struct Campaigns<'a> {
    node: &'a Arc<Node>,
    calls: &'a Calls,
}

impl<'a> Campaigns<'a> {
    pub(crate) const fn new(node: &'a Arc<Node>, calls: &'a Calls) -> Self {
        Self { node, calls }
    }

    /// Creates a campaign as a draft.
    ///
    /// # Errors
    /// [`CampaignFault`]; no campaign exists then.
    pub async fn create(
        &self,
        account: &AccountId,
        settings: Settings,
        now: Moment,
    ) -> Result<Campaign, CampaignFault> {
        self.check(account, &settings, now).await?;
        let id = format!("{:032x}", self.node.entropy.bits128());
        let campaign = Campaign {
            id: CampaignId::new(id).map_err(|why| CampaignFault::Agent(why.to_string()))?,
            account: account.clone(),
            settings,
            state: CampaignState::Draft,
            stopped: None,
            trouble: None,
            created: now,
            started: None,
            finished: None,
        };
        self.node.store.create_campaign(campaign.clone()).await?;
        Ok(campaign)
    }

    /// Replaces what a campaign is to do.
    ///
    /// # Errors
    /// [`CampaignFault`]; the campaign is as it was then.
    pub async fn change(&self, key: &CampaignKey, settings: Settings, now: Moment) -> Result<Campaign, CampaignFault> {
        self.check(&key.account, &settings, now).await?;
        Ok(self.node.store.change_campaign(key.clone(), settings).await?)
    }

    /// Moves a campaign: start, pause, resume.
    ///
    /// # Errors
    /// [`CampaignError::Illegal`] from a state that does not allow it, [`CampaignError::Empty`] at the start of a campaign
    /// with nobody to call, [`CampaignFault::Flaw`] when its settings cannot work any more (a deadline that has passed).
    pub async fn step(&self, key: &CampaignKey, step: Step, now: Moment) -> Result<Campaign, CampaignFault> {
        if matches!(step, Step::Start | Step::Resume) {
            let campaign = self.node.reader.campaign(key).await?.ok_or(CampaignError::Unknown)?;
            campaign.state.apply(step).map_err(CampaignError::from)?;
            self.check(&key.account, &campaign.settings, now).await?;
        }
        let moved = self.node.store.step_campaign(key.clone(), step.into(), now).await?;
        self.node.pacing.bell.notify_one();
        Ok(moved)
    }

    /// Stops a campaign for good: what is left is cancelled, calls that are up go on or are ended, as `how` says.
    ///
    /// # Errors
    /// [`CampaignError::Illegal`] when it is over already.
    pub async fn stop(&self, key: &CampaignKey, how: Stopped, now: Moment) -> Result<Campaign, CampaignFault> {
        let order = StepOrder { step: Step::Stop, stopped: Some(how), trouble: None };
        let moved = self.node.store.step_campaign(key.clone(), order, now).await?;
        self.node.pacing.bell.notify_one();
        Ok(moved)
    }

    /// Removes a campaign that is a draft or finished. Its calls and their records stay.
    ///
    /// # Errors
    /// [`CampaignError::State`] while it is under way.
    pub async fn delete(&self, key: &CampaignKey) -> Result<(), CampaignFault> {
        Ok(self.node.store.delete_campaign(key.clone()).await?)
    }

    /// Begins to add callees.
    ///
    /// # Errors
    /// [`CampaignError::Importing`] while somebody else adds some, [`CampaignError::State`] when the campaign is over.
    pub async fn upload(&self, key: &CampaignKey, now: Moment) -> Result<Upload, CampaignFault> {
        let token = format!("{:032x}", self.node.entropy.bits128());
        let import = Import { key: key.clone(), token };
        self.node.store.begin_import(import.clone(), now).await?;
        Ok(Upload { node: Arc::clone(self.node), import, waiting: Vec::new(), duplicates: Vec::new() })
    }

    /// Whether a campaign of these settings could dial at all.
    async fn check(&self, account: &AccountId, settings: &Settings, now: Moment) -> Result<(), CampaignFault> {
        settings.check(now)?;
        let agent = self.node.reader.agent(account, &settings.agent).await?.ok_or(Refusal::UnknownAgent)?;
        let mut profile = agent.profile;
        settings.patch.clone().apply(&mut profile);
        self.calls.check_agent(&profile).map_err(|flaw| CampaignFault::Agent(flaw.rule))?;
        let owned = self.node.reader.numbers(account).await?;
        if owned.is_empty() {
            return Err(Refusal::NoCallerNumber.into());
        }
        if settings.callers.iter().any(|caller| owned.iter().all(|number| number.number != *caller)) {
            return Err(Refusal::CallerNotOwned.into());
        }
        Ok(())
    }
}

/// Callees on their way into a campaign. They count when [`Upload::commit`] returns. What an upload leaves that is dropped or
/// given up counts for nothing, and the next one removes it.
pub struct Upload {
    node: Arc<Node>,
    import: Import,
    waiting: Vec<NewRow>,
    duplicates: Vec<u64>,
}

impl Upload {
    /// Adds one row; writes when a batch is full.
    ///
    /// # Errors
    /// [`CampaignError::Importing`] when it took so long that another upload took its place.
    pub async fn add(&mut self, row: NewRow) -> Result<(), CampaignFault> {
        self.waiting.push(row);
        if self.waiting.len() >= IMPORT_BATCH { self.write().await } else { Ok(()) }
    }

    /// Makes all rows count at once; the lines whose number the campaign had already.
    ///
    /// # Errors
    /// As [`Upload::add`]; none of the rows counts then.
    pub async fn commit(mut self) -> Result<Vec<u64>, CampaignFault> {
        self.write().await?;
        self.node.store.commit_import(self.import).await?;
        self.node.pacing.bell.notify_one();
        Ok(self.duplicates)
    }

    /// Gives it up; the campaign is as it was.
    ///
    /// # Errors
    /// The store's; the next upload clears up then.
    pub async fn abort(self) -> Result<(), CampaignFault> {
        Ok(self.node.store.abort_import(self.import).await?)
    }

    async fn write(&mut self) -> Result<(), CampaignFault> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let lines: Vec<u64> = rows.iter().map(|row| row.line).collect();
        let duplicates = self.node.store.add_rows(self.import.clone(), rows, self.node.clock.now()).await?;
        self.duplicates.extend(lines.into_iter().zip(duplicates).filter(|(_, twice)| *twice).map(|(line, _)| line));
        Ok(())
    }
}
