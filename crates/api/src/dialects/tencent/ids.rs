//! This vendor's ids: whole numbers for applications, agents and tasks. An application is an account; its number is
//! made from the account's name unless it was given one. The others are numbered in the order in which they are first
//! asked for.

use super::words::VendorError;
use crate::dialects::native::VendorId;
use crate::fault::Fault;
use crate::http::Context;
use callwright_domain::{AccountId, AgentId, CampaignId};
use callwright_store::{Alias, AliasKind, StoreError};

/// The dialect's name, under which the pairs are kept.
const DIALECT: &str = "tencent";
/// Applications that were given no number are numbered from here; the vendor's own look like this.
const FIRST_APPLICATION: i64 = 1_400_000_000;
/// Numbers that are made from names.
const APPLICATIONS: u64 = 99_999_999;
/// Attempts to find an agent's number while others take theirs.
const ATTEMPTS: usize = 16;

/// The number of an account's application.
pub(super) async fn application(context: &Context, account: &AccountId) -> Result<i64, VendorError> {
    let kept = context
        .calls
        .reader()
        .alias_of_inner(account, DIALECT, AliasKind::Application, account.as_str())
        .await?
        .and_then(|alias| alias.outer.parse().ok());
    Ok(kept.unwrap_or_else(|| application_of(account)))
}

/// The number of an application that was given none: always the same for the same name (FNV-1a).
fn application_of(account: &AccountId) -> i64 {
    let hash = account
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    FIRST_APPLICATION + 1 + i64::try_from(hash % APPLICATIONS).unwrap_or(0)
}

/// All numbers of an account: its application's, and its agents', who get one when they have none.
pub(super) async fn all(context: &Context, account: &AccountId) -> Result<Vec<VendorId>, VendorError> {
    let number = application(context, account).await?;
    let mut ids =
        vec![VendorId { kind: AliasKind::Application, outer: number.to_string(), inner: account.to_string() }];
    for agent in crate::dialects::every_agent(context, account).await? {
        let number = number_of(context, account, &agent.id).await?;
        ids.push(VendorId { kind: AliasKind::Agent, outer: number.to_string(), inner: agent.id.to_string() });
    }
    Ok(ids)
}

/// The agent of a number.
pub(super) async fn agent_of(
    context: &Context,
    account: &AccountId,
    number: i64,
) -> Result<Option<AgentId>, VendorError> {
    let reader = context.calls.reader();
    let found = reader.alias_of_outer(account, DIALECT, AliasKind::Agent, &number.to_string()).await?;
    found.map(|alias| alias.inner_as()).transpose().map_err(Into::into)
}

/// The campaign of a task's number.
pub(super) async fn task_of(
    context: &Context,
    account: &AccountId,
    number: i64,
) -> Result<Option<CampaignId>, VendorError> {
    let reader = context.calls.reader();
    let found = reader.alias_of_outer(account, DIALECT, AliasKind::Task, &number.to_string()).await?;
    found.map(|alias| alias.inner_as()).transpose().map_err(Into::into)
}

/// The number of an agent; it gets one when it has none.
pub(super) async fn number_of(context: &Context, account: &AccountId, agent: &AgentId) -> Result<i64, VendorError> {
    numbered(context, account, AliasKind::Agent, agent.as_str()).await
}

/// The number of a task; it gets one when it has none.
pub(super) async fn number_of_task(
    context: &Context,
    account: &AccountId,
    campaign: &CampaignId,
) -> Result<i64, VendorError> {
    numbered(context, account, AliasKind::Task, campaign.as_str()).await
}

/// The number of one of an account's things of a kind: the next one when it has none.
async fn numbered(context: &Context, account: &AccountId, kind: AliasKind, inner: &str) -> Result<i64, VendorError> {
    let reader = context.calls.reader();
    for _ in 0..ATTEMPTS {
        let kept = reader.alias_of_inner(account, DIALECT, kind, inner).await;
        if let Some(number) = kept?.and_then(|alias| alias.outer.parse().ok()) {
            return Ok(number);
        }
        let all = reader.aliases(account, DIALECT, &[kind]).await?;
        let last = all.iter().filter_map(|alias| alias.outer.parse::<i64>().ok()).max().unwrap_or(0);
        let alias = Alias {
            account: account.clone(),
            dialect: DIALECT.to_owned(),
            kind,
            outer: last.saturating_add(1).to_string(),
            inner: inner.to_owned(),
        };
        match context.calls.configure().put_alias(alias).await {
            Ok(()) | Err(StoreError::Taken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Fault::Internal.into())
}
