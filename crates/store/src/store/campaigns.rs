//! The writing verbs about campaigns. Each is one transaction; the long ones work in pieces, so that no other verb waits
//! for a hundred thousand rows.

use super::Store;
use crate::campaigns::{CampaignError, CampaignKey, Import, Launch, Launched, NewRow, StepOrder, Verdict};
use crate::sql::campaigns;
use crate::{AdmitError, StoreError};
use callwright_domain::Moment;
use callwright_domain::campaign::{Campaign, Settings};
use std::sync::Arc;

/// Rows that one transaction removes or closes.
const PIECE: u32 = 1000;

impl Store {
    /// Creates a campaign.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the account has one of this id.
    pub async fn create_campaign(&self, campaign: Campaign) -> Result<(), StoreError> {
        self.writer.write(move |conn| Box::pin(async move { campaigns::create(conn, &campaign).await })).await
    }

    /// Replaces what a campaign is to do; calls that exist keep what they were made with.
    ///
    /// # Errors
    /// [`CampaignError::State`] when it is over.
    pub async fn change_campaign(&self, key: CampaignKey, settings: Settings) -> Result<Campaign, CampaignError> {
        self.writer.write(move |conn| Box::pin(async move { campaigns::change(conn, &key, &settings).await })).await
    }

    /// Moves a campaign. When this returns, no call is launched any more that the new state does not allow.
    ///
    /// # Errors
    /// [`CampaignError::Illegal`]; [`CampaignError::Empty`] when it has nobody to call at its start.
    pub async fn step_campaign(
        &self,
        key: CampaignKey,
        order: StepOrder,
        now: Moment,
    ) -> Result<Campaign, CampaignError> {
        self.writer.write(move |conn| Box::pin(async move { campaigns::step(conn, &key, &order, now).await })).await
    }

    /// Gives rows of a stopped campaign that were still to be called their last state, a piece at a time. When none is
    /// left and no call is up the campaign is finished: since when.
    ///
    /// # Errors
    /// [`CampaignError::Unknown`], or the store's.
    pub async fn close_stopped(&self, key: CampaignKey, now: Moment) -> Result<Option<Moment>, CampaignError> {
        self.writer
            .write(move |conn| Box::pin(async move { campaigns::close_stopped(conn, &key, PIECE, now).await }))
            .await
    }

    /// Removes a campaign that is a draft or finished, with its rows. Its calls and their records stay.
    ///
    /// # Errors
    /// [`CampaignError::State`] while it is under way.
    pub async fn delete_campaign(&self, key: CampaignKey) -> Result<(), CampaignError> {
        loop {
            let key = key.clone();
            let gone: bool = self
                .writer
                .write(move |conn| Box::pin(async move { campaigns::delete(conn, &key, PIECE).await }))
                .await?;
            if gone {
                return Ok(());
            }
        }
    }

    /// Opens an import, and removes what one that broke off has left.
    ///
    /// # Errors
    /// [`CampaignError::Importing`] while another is open; [`CampaignError::State`] when the campaign is over.
    pub async fn begin_import(&self, import: Import, now: Moment) -> Result<(), CampaignError> {
        loop {
            let import = import.clone();
            let clean: bool = self
                .writer
                .write(move |conn| Box::pin(async move { campaigns::begin_import(conn, &import, PIECE, now).await }))
                .await?;
            if clean {
                return Ok(());
            }
        }
    }

    /// Adds rows to an open import; for each whether its number is a duplicate. They count when it is committed.
    ///
    /// # Errors
    /// [`CampaignError::Importing`] when the import has been taken over by another.
    pub async fn add_rows(&self, import: Import, rows: Vec<NewRow>, now: Moment) -> Result<Vec<bool>, CampaignError> {
        self.writer
            .write(move |conn| Box::pin(async move { campaigns::add_rows(conn, &import, &rows, now).await }))
            .await
    }

    /// Makes the rows of an import count, all at once.
    ///
    /// # Errors
    /// [`CampaignError::Importing`] when the import has been taken over by another; nothing counts then.
    pub async fn commit_import(&self, import: Import) -> Result<(), CampaignError> {
        self.writer.write(move |conn| Box::pin(async move { campaigns::end_import(conn, &import, 1).await })).await
    }

    /// Gives an import up: none of its rows counts.
    ///
    /// # Errors
    /// [`CampaignError::Importing`] when the import has been taken over by another.
    pub async fn abort_import(&self, import: Import) -> Result<(), CampaignError> {
        self.writer.write(move |conn| Box::pin(async move { campaigns::end_import(conn, &import, 0).await })).await
    }

    /// Makes campaigns that are under way and nobody's, or a dead node's, ours; how many.
    ///
    /// # Errors
    /// As the database says.
    pub async fn claim_campaigns(&self, now: Moment) -> Result<u64, StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { campaigns::claim(conn, &me, now).await })).await
    }

    /// Lets go of our campaigns, so that another node goes on with them; how many.
    ///
    /// # Errors
    /// As the database says.
    pub async fn leave_campaigns(&self) -> Result<u64, StoreError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { campaigns::leave(conn, &me).await })).await
    }

    /// Accepts the next call of a row: the row's change, the rules, the call, its first event and the attempt in one
    /// transaction, so that no crash can call a row twice or forget it.
    ///
    /// # Errors
    /// [`AdmitError::Refused`] by the rules; [`StoreError::NotOwner`] when the campaign is not ours, does not run, or the
    /// row has moved on. Nothing has changed then.
    pub async fn launch(&self, order: Launch, now: Moment) -> Result<Launched, AdmitError> {
        let me = Arc::clone(&self.me);
        self.writer.write(move |conn| Box::pin(async move { campaigns::launch(conn, &me, &order, now).await })).await
    }

    /// Gives a row a state, or a later time, without a call; `false`: it has moved on meanwhile.
    ///
    /// # Errors
    /// As the database says.
    pub async fn judge_row(&self, key: CampaignKey, verdict: Verdict, now: Moment) -> Result<bool, StoreError> {
        self.writer
            .write(move |conn| Box::pin(async move { campaigns::judge_row(conn, &key, &verdict, now).await }))
            .await
    }
}
