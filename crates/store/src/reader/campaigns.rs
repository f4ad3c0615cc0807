//! The reading verbs about campaigns. Every one but [`Reader::open_campaigns`] sees one account.

use super::{Reader, page_size};
use crate::campaigns::{Answers, CampaignKey, RowCall, RowFilter};
use crate::sql::campaign_rows;
use crate::{NodeIdentity, Page, StoreError};
use callwright_domain::campaign::{Campaign, CampaignState, Counters, Row};
use callwright_domain::{AccountId, Moment};

impl Reader {
    /// A campaign.
    ///
    /// # Errors
    /// As the database says.
    pub async fn campaign(&self, key: &CampaignKey) -> Result<Option<Campaign>, StoreError> {
        campaign_rows::campaign(&self.pool, key).await
    }

    /// Campaigns in the order of their ids, of one state when one is named; `after` is the last page's `next`.
    ///
    /// # Errors
    /// As the database says.
    pub async fn campaigns(
        &self,
        account: &AccountId,
        state: Option<CampaignState>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Campaign>, StoreError> {
        campaign_rows::campaigns(&self.pool, account, state, (after, page_size(limit))).await
    }

    /// Every campaign that is under way, whosever it is, and which life of which node drives it.
    ///
    /// # Errors
    /// As the database says.
    pub async fn open_campaigns(&self) -> Result<Vec<(Campaign, Option<NodeIdentity>)>, StoreError> {
        campaign_rows::open(&self.pool).await
    }

    /// Up to `limit` rows that are to be called by now, the longest due first.
    ///
    /// # Errors
    /// As the database says.
    pub async fn due_rows(&self, key: &CampaignKey, now: Moment, limit: u32) -> Result<Vec<Row>, StoreError> {
        campaign_rows::due(&self.pool, key, now, limit).await
    }

    /// Rows of which a call has not ended.
    ///
    /// # Errors
    /// As the database says.
    pub async fn calling_rows(&self, key: &CampaignKey) -> Result<Vec<Row>, StoreError> {
        campaign_rows::calling(&self.pool, key).await
    }

    /// How many rows have a call that has not ended.
    ///
    /// # Errors
    /// As the database says.
    pub async fn count_calling(&self, key: &CampaignKey) -> Result<u32, StoreError> {
        campaign_rows::count_calling(&self.pool, key).await
    }

    /// Whether a row is to be called or has a call that has not ended, or callees are just being added.
    ///
    /// # Errors
    /// As the database says.
    pub async fn has_campaign_work(&self, key: &CampaignKey, now: Moment) -> Result<bool, StoreError> {
        campaign_rows::has_work(&self.pool, key, now).await
    }

    /// Rows that pass `filter`, in their order, after row `after` (0: from the beginning).
    ///
    /// # Errors
    /// As the database says.
    pub async fn campaign_rows(
        &self,
        key: &CampaignKey,
        filter: &RowFilter,
        after: u64,
        limit: u32,
    ) -> Result<Page<Row>, StoreError> {
        campaign_rows::rows(&self.pool, key, filter, (after, page_size(limit))).await
    }

    /// The calls of rows `first` to `last`, in order.
    ///
    /// # Errors
    /// As the database says.
    pub async fn campaign_calls(&self, key: &CampaignKey, first: u64, last: u64) -> Result<Vec<RowCall>, StoreError> {
        campaign_rows::calls(&self.pool, key, (first, last)).await
    }

    /// How many rows stand where. Counted from the rows, at the time of asking.
    ///
    /// # Errors
    /// As the database says.
    pub async fn campaign_counters(&self, key: &CampaignKey) -> Result<Counters, StoreError> {
        campaign_rows::counters(&self.pool, key).await
    }

    /// Answered and abandoned calls of the thirty days before `now`.
    ///
    /// # Errors
    /// As the database says.
    pub async fn campaign_answers(&self, key: &CampaignKey, now: Moment) -> Result<Answers, StoreError> {
        campaign_rows::answers(&self.pool, key, now).await
    }
}
