//! The account's caller numbers, listed.

use super::wire::Call;
use super::{VendorError, invalid};
use crate::dialects::is_same_number;
use crate::http::Context;
use callwright_domain::{AccountId, PhoneNumber};
use callwright_store::NumberStatus;
use serde_json::{Value, json};

/// Numbers on a page unless asked otherwise, and at most (vendor).
const PAGE: (u32, u32) = (50, 100);
/// Highest number of a page.
const MAX_PAGE: u32 = 1_000_000;
/// Longest Number, in characters.
const MAX_NUMBER: usize = 64;

/// ListAIAgentPhoneNumber.
pub(super) async fn list(call: &Call<'_>, account: &AccountId, context: &Context) -> Result<Value, VendorError> {
    let wanted = match call.parameter("Number") {
        None => None,
        Some(text) if text.chars().count() > MAX_NUMBER => {
            return Err(invalid("Number", &format!("must be at most {MAX_NUMBER} characters")).into());
        }
        Some(text) => Some(PhoneNumber::parse(&text).map_err(|why| invalid("Number", &why.to_string()))?),
    };
    let status = call.count("Status", 1..=4)?;
    let page = call.count("PageNumber", 1..=MAX_PAGE)?.unwrap_or(1);
    let size = call.count("PageSize", 1..=PAGE.1)?.unwrap_or(PAGE.0);
    let all = context.calls.reader().numbers(account).await?;
    let shown: Vec<Value> = all
        .iter()
        .map(|number| (&number.number, word(number.status)))
        .filter(|(number, its)| {
            wanted.as_ref().is_none_or(|wanted| is_same_number(wanted, number))
                && status.is_none_or(|status| status == *its)
        })
        .map(|(number, status)| json!({"PhoneNumber": number.dial(), "Status": status}))
        .collect();
    let begin = (page as usize - 1).saturating_mul(size as usize).min(shown.len());
    let end = shown.len().min(begin + size as usize);
    Ok(json!({"Data": &shown[begin..end], "PageNumber": page, "PageSize": size, "TotalNumber": shown.len()}))
}

/// 2: in use, 4: out of use. Numbers here never stand between the two (1 and 3).
const fn word(status: NumberStatus) -> u32 {
    match status {
        NumberStatus::Active => 2,
        NumberStatus::Disabled => 4,
    }
}
