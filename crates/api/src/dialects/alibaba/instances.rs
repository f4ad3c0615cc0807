//! Instances of an agent: listed, and counted.

use super::notify::find;
use super::wire::Call;
use super::{VendorError, invalid, logs, view};
use crate::http::{Context, Request};
use callwright_domain::{AccountId, ApiKey, Moment};
use callwright_store::CallFilter;
use serde_json::{Value, json};

/// Longest AIAgentId, in characters. What cannot be an agent's id is no agent's.
const MAX_ID: usize = 255;
/// Highest number of a page (vendor).
const MAX_PAGE: u32 = 100;
/// Instances on a page unless asked otherwise, and at most (vendor).
const PAGE: (u32, u32) = (10, 100);

/// ListAIAgentInstance.
pub(super) async fn list(
    call: &Call<'_>,
    key: &ApiKey,
    request: &Request,
    context: &Context,
) -> Result<Value, VendorError> {
    let account = &key.account;
    let wanted = call.needed("AIAgentId", MAX_ID)?;
    let (since, until) = (call.moment("StartTime")?, call.moment("EndTime")?);
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(invalid("EndTime", "must not be before StartTime").into());
    }
    let page = call.count("PageNumber", 1..=MAX_PAGE)?.unwrap_or(1);
    let size = call.count("PageSize", 0..=PAGE.1)?.unwrap_or(PAGE.0);
    let agent = find(&wanted, account, context).await?.id;
    if size == 0 {
        return Ok(json!({"Instances": []}));
    }
    // The end is included.
    let until = until.map(|until| Moment(until.millis().saturating_add(1)));
    let filter = CallFilter { agent: Some(agent), since, until, ..CallFilter::default() };
    let offset = u64::from(page - 1) * u64::from(size);
    let found = context.calls.reader().calls_at(account, &filter, offset, size).await?;
    let listed = found.iter().map(|one| view::listed(one, &logs::link(request, key, one)));
    Ok(json!({"Instances": listed.collect::<Vec<_>>()}))
}

/// GetAIAgentConcurrency: instances that are being dialled or talking. One that is due later is none yet.
pub(super) async fn concurrency(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let agent = find(&call.needed("AIAgentId", MAX_ID)?, account, context).await?.id;
    let count = context.calls.reader().active_calls_of(account, &agent).await;
    Ok(json!({"ActiveCount": count?}))
}
