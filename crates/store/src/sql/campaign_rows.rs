//! Reading campaigns: themselves, their rows, what the driver needs, counters. Every statement but [`open`] is narrowed to
//! one account.

use super::query::{Pool, Query};
use super::rows::{cause_of, cause_word, of_json, parsed, unsigned};
use super::{Row, query};
use crate::campaigns::{Answers, CampaignKey, RowCall, RowFilter};
use crate::{NodeIdentity, Page, StoreError};
use callwright_domain::campaign::{Callee, Campaign, CampaignState, Counters, Row as CampaignRow, RowState, Stopped};
use callwright_domain::{AccountId, Moment, Pii};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The columns that [`campaign_of`] reads.
pub(super) const CAMPAIGN_COLUMNS: &str = "account, id, settings, state, stopped, trouble, created, started, finished";
/// The columns that [`row_of`] reads.
const ROW_COLUMNS: &str =
    "r.place, r.line, r.number, r.own_id, r.details, r.state, r.due, r.attempts, r.call, r.cause, r.reason, r.updated";
/// Rows of one campaign that count: those of finished imports.
const FROM_ROWS: &str = " FROM campaign_rows r WHERE r.account = $1 AND r.campaign = $2 AND r.import <=
    (SELECT c.imports FROM campaigns c WHERE c.account = $1 AND c.id = $2)";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Days over which abandoned calls are counted (16 CFR 310.4(b)(4)(i)).
const GUARDED_DAYS: i64 = 30;

/// What a row keeps that nobody searches for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Details {
    variables: BTreeMap<String, String>,
    user_data: Option<Pii<String>>,
    max_duration_s: Option<u64>,
}

impl Details {
    pub(super) fn of(callee: &Callee) -> Self {
        Self {
            variables: callee.variables.clone(),
            user_data: callee.user_data.clone(),
            max_duration_s: callee.max_duration_s,
        }
    }
}

/// The day of a moment, counted from the epoch.
pub(super) const fn day_of(moment: Moment) -> i64 {
    moment.millis().div_euclid(DAY_MS)
}

pub(super) fn campaign_of(row: &Row) -> Result<Campaign, StoreError> {
    let unknown = || StoreError::unreadable("campaign", "unknown word");
    let stopped: Option<&str> = row.read("stopped")?;
    let moment = |column: &'static str| Ok::<_, StoreError>(row.read::<Option<i64>>(column)?.map(Moment));
    Ok(Campaign {
        id: parsed("campaign id", row.read::<&str>("id")?)?,
        account: parsed("account id", row.read::<&str>("account")?)?,
        settings: of_json("campaign", row.read("settings")?)?,
        state: CampaignState::of_word(row.read("state")?).ok_or_else(unknown)?,
        stopped: stopped.map(|word| Stopped::of_word(word).ok_or_else(unknown)).transpose()?,
        trouble: row.read("trouble")?,
        created: Moment(row.read("created")?),
        started: moment("started")?,
        finished: moment("finished")?,
    })
}

fn row_of(row: &Row) -> Result<CampaignRow, StoreError> {
    let details: Details = of_json("campaign row", row.read("details")?)?;
    let state = RowState::of_word(row.read("state")?);
    let call: Option<&str> = row.read("call")?;
    let cause: Option<&str> = row.read("cause")?;
    Ok(CampaignRow {
        row: unsigned("row", row.read("place")?)?,
        line: unsigned("line", row.read("line")?)?,
        number: Pii::new(row.read("number")?),
        own_id: row.read("own_id")?,
        variables: details.variables,
        user_data: details.user_data,
        max_duration_s: details.max_duration_s,
        state: state.ok_or_else(|| StoreError::unreadable("campaign row", "unknown state"))?,
        due: row.read::<Option<i64>>("due")?.map(Moment),
        attempts: unsigned("attempts", row.read("attempts")?)?,
        call: call.map(|id| parsed("call id", id)).transpose()?,
        cause: cause.map(cause_of).transpose()?,
        reason: row.read("reason")?,
        updated: Moment(row.read("updated")?),
    })
}

fn of_key(text: &'static str, key: &CampaignKey) -> Query {
    query(text).bind(key.account.as_str()).bind(key.id.as_str())
}

fn rows_of(key: &CampaignKey) -> Query {
    let mut select = query("SELECT ");
    select.push(ROW_COLUMNS).push(FROM_ROWS);
    select.bind(key.account.as_str()).bind(key.id.as_str())
}

/// See [`crate::Reader::campaign`].
pub(crate) async fn campaign(pool: &Pool, key: &CampaignKey) -> Result<Option<Campaign>, StoreError> {
    let mut select = query("SELECT ");
    select.push(CAMPAIGN_COLUMNS).push(" FROM campaigns WHERE account = $1 AND id = $2");
    let row = select.bind(key.account.as_str()).bind(key.id.as_str()).fetch_optional(pool).await?;
    row.as_ref().map(campaign_of).transpose()
}

/// See [`crate::Reader::campaigns`].
pub(crate) async fn campaigns(
    pool: &Pool,
    account: &AccountId,
    state: Option<CampaignState>,
    (after, limit): (Option<&str>, u32),
) -> Result<Page<Campaign>, StoreError> {
    let mut select = query("SELECT ");
    select.push(CAMPAIGN_COLUMNS).push(" FROM campaigns WHERE account = ").push_bind(account.as_str());
    if let Some(state) = state {
        select.push(" AND state = ").push_bind(state.word());
    }
    select.push(" AND id > ").push_bind(after.unwrap_or(""));
    select.push(" ORDER BY id LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = select.fetch_all(pool).await?;
    let campaigns = rows.iter().map(campaign_of).collect::<Result<Vec<_>, _>>()?;
    Ok(super::reading::page(campaigns, limit, |campaign| campaign.id.to_string()))
}

/// See [`crate::Reader::open_campaigns`].
pub(crate) async fn open(pool: &Pool) -> Result<Vec<(Campaign, Option<NodeIdentity>)>, StoreError> {
    let mut select = query("SELECT ");
    select.push(CAMPAIGN_COLUMNS);
    select.push(", owner, epoch FROM campaigns WHERE finished IS NULL AND state <> 'draft' ORDER BY account, id");
    let rows = select.fetch_all(pool).await?;
    let owner_of = |row: &Row| -> Result<Option<NodeIdentity>, StoreError> {
        let (node, epoch): (Option<String>, Option<i64>) = (row.read("owner")?, row.read("epoch")?);
        Ok(node.zip(epoch).map(|(node, epoch)| NodeIdentity { node, epoch }))
    };
    rows.iter().map(|row| Ok((campaign_of(row)?, owner_of(row)?))).collect()
}

/// See [`crate::Reader::due_rows`].
pub(crate) async fn due(
    pool: &Pool,
    key: &CampaignKey,
    now: Moment,
    limit: u32,
) -> Result<Vec<CampaignRow>, StoreError> {
    let mut select = rows_of(key);
    select.push(" AND r.due <= ").push_bind(now.millis());
    select.push(" ORDER BY r.due, r.place LIMIT ").push_bind(i64::from(limit));
    select.fetch_all(pool).await?.iter().map(row_of).collect()
}

/// See [`crate::Reader::calling_rows`].
pub(crate) async fn calling(pool: &Pool, key: &CampaignKey) -> Result<Vec<CampaignRow>, StoreError> {
    let mut select = rows_of(key);
    select.push(" AND r.state = 'calling' ORDER BY r.place");
    select.fetch_all(pool).await?.iter().map(row_of).collect()
}

/// See [`crate::Reader::calling`].
pub(crate) async fn count_calling(pool: &Pool, key: &CampaignKey) -> Result<u32, StoreError> {
    let text = "SELECT COUNT(*) FROM campaign_rows WHERE account = $1 AND campaign = $2 AND state = 'calling'";
    unsigned("count", of_key(text, key).fetch_one(pool).await?.read(0)?)
}

/// A row that is to be called, if there is one.
pub(super) fn callable(key: &CampaignKey) -> Query {
    let mut select = query("SELECT r.place");
    select.push(FROM_ROWS).push(" AND r.due IS NOT NULL LIMIT 1");
    select.bind(key.account.as_str()).bind(key.id.as_str())
}

/// Anything that keeps a campaign from being through: a row that is to be called or being called, or callees that are just
/// being added. What an import left that broke off does not.
pub(super) fn work(key: &CampaignKey, now: Moment) -> Query {
    let mut select = query("SELECT 1 FROM campaigns c WHERE c.account = $1 AND c.id = $2 AND (");
    select
        .push("EXISTS (SELECT 1 FROM campaign_rows r WHERE r.account = $1 AND r.campaign = $2 AND r.state = 'calling')")
        .push(
            " OR EXISTS (SELECT 1 FROM campaign_rows r WHERE r.account = $1 AND r.campaign = $2 AND r.due IS NOT NULL",
        )
        .push(" AND r.import <= c.imports) OR c.importing_until > $3)");
    select.bind(key.account.as_str()).bind(key.id.as_str()).bind(now.millis())
}

/// See [`crate::Reader::has_campaign_work`].
pub(crate) async fn has_work(pool: &Pool, key: &CampaignKey, now: Moment) -> Result<bool, StoreError> {
    Ok(work(key, now).fetch_optional(pool).await?.is_some())
}

/// See [`crate::Reader::campaign_rows`].
pub(crate) async fn rows(
    pool: &Pool,
    key: &CampaignKey,
    filter: &RowFilter,
    (after, limit): (u64, u32),
) -> Result<Page<CampaignRow>, StoreError> {
    let mut select = rows_of(key);
    if let Some(state) = filter.state {
        select.push(" AND r.state = ").push_bind(state.word());
    }
    if let Some(cause) = filter.cause {
        select.push(" AND r.cause = ").push_bind(cause_word(cause)?);
    }
    if let Some(number) = &filter.number {
        select.push(" AND r.number = ").push_bind(number);
    }
    if let Some(own_id) = &filter.own_id {
        select.push(" AND r.own_id = ").push_bind(own_id);
    }
    select.push(" AND r.place > ").push_bind(i64::try_from(after).unwrap_or(i64::MAX));
    select.push(" ORDER BY r.place LIMIT ").push_bind(i64::from(limit) + 1);
    let rows = select.fetch_all(pool).await?;
    let rows = rows.iter().map(row_of).collect::<Result<Vec<_>, _>>()?;
    Ok(super::reading::page(rows, limit, |row| row.row.to_string()))
}

/// See [`crate::Reader::campaign_calls`].
pub(crate) async fn calls(
    pool: &Pool,
    key: &CampaignKey,
    (first, last): (u64, u64),
) -> Result<Vec<RowCall>, StoreError> {
    let text = "SELECT place, attempt, call FROM campaign_attempts WHERE account = $1 AND campaign = $2
        AND place BETWEEN $3 AND $4 ORDER BY place, attempt";
    let place = |row: u64| i64::try_from(row).unwrap_or(i64::MAX);
    let rows = of_key(text, key).bind(place(first)).bind(place(last)).fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok(RowCall {
                row: unsigned("row", row.read("place")?)?,
                attempt: unsigned("attempt", row.read("attempt")?)?,
                call: parsed("call id", row.read::<&str>("call")?)?,
            })
        })
        .collect()
}

/// See [`crate::Reader::campaign_counters`].
pub(crate) async fn counters(pool: &Pool, key: &CampaignKey) -> Result<Counters, StoreError> {
    let mut select = query("SELECT r.state, r.cause, COUNT(*) AS found");
    select.push(FROM_ROWS).push(" GROUP BY r.state, r.cause");
    let mut counters = Counters::default();
    for row in select.bind(key.account.as_str()).bind(key.id.as_str()).fetch_all(pool).await? {
        let state = RowState::of_word(row.read("state")?);
        let state = state.ok_or_else(|| StoreError::unreadable("campaign row", "unknown state"))?;
        counters.add(state, row.read::<Option<&str>>("cause")?, unsigned("count", row.read("found")?)?);
    }
    Ok(counters)
}

/// See [`crate::Reader::campaign_answers`].
pub(crate) async fn answers(pool: &Pool, key: &CampaignKey, now: Moment) -> Result<Answers, StoreError> {
    counted(&answers_of(key, now).fetch_one(pool).await?)
}

pub(super) fn answers_of(key: &CampaignKey, now: Moment) -> Query {
    let text = "SELECT CAST(COALESCE(SUM(answered), 0) AS BIGINT) AS answered,
            CAST(COALESCE(SUM(abandoned), 0) AS BIGINT) AS abandoned
        FROM campaign_days WHERE account = $1 AND campaign = $2 AND day > $3";
    of_key(text, key).bind(day_of(now) - GUARDED_DAYS)
}

/// What [`answers_of`] found.
pub(super) fn counted(row: &Row) -> Result<Answers, StoreError> {
    Ok(Answers {
        answered: unsigned("count", row.read("answered")?)?,
        abandoned: unsigned("count", row.read("abandoned")?)?,
    })
}
