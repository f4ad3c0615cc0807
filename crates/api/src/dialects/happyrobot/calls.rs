//! Operations on calls: show, list, stop, cancel, transcript, recording.

use super::Asked;
use super::ids::{self, find_call};
use super::view::{self, STATUSES};
use super::words::Complaint;
use crate::dialects::native::{self, invalid, moment};
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use crate::links::Purpose;
use callwright_domain::extract::Findings;
use callwright_domain::{HangupCause, Moment};
use callwright_engine::{HangUp, OrderError};
use callwright_store::{CallFilter, CallView, Stage, StoredFindings};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Calls on a page unless asked otherwise, and at most.
const PAGE: (u32, u32) = (50, 200);
/// Most calls that may be left out before a page.
const MAX_SKIP: u32 = 1_000_000;
/// Most calls that are looked through for filters that the database does not know.
const MAX_SCANNED: usize = 10_000;
/// How long a link to a recording holds.
const LIFE: Duration = Duration::from_secs(60 * 60);
/// What such a link is for.
const LINK: Purpose = Purpose("happyrobot");
/// Where recordings are fetched from.
pub(super) const RECORDINGS: &str = "/api/v1/recordings/";
/// Longest text that is looked for, in bytes.
const MAX_SEARCH: usize = 200;
/// Days of use that are shown unless asked otherwise, and at most.
const USAGE_DAYS: (u64, u64) = (30, 400);
/// Filters over what no call here has: none passes them.
const OF_NOTHING: [&str; 2] = ["ratings", "transfer_contact_email"];

async fn find(asked: &Asked<'_>, id: &str) -> Result<CallView, Fault> {
    find_call(asked.context, &asked.key.account, id).await
}

/// A call with everything that came to it later.
async fn shown(asked: &Asked<'_>, call: &CallView) -> Result<Value, Fault> {
    let mut shown = view::call(call, &asked.book, asked.request.received);
    let notes = asked.context.calls.reader().notes(&asked.key.account, call.plan.id).await;
    let found = findings(asked, call).await?;
    view::add_later(&mut shown, found.as_ref(), &notes?);
    Ok(shown)
}

async fn findings(asked: &Asked<'_>, call: &CallView) -> Result<Option<StoredFindings>, Fault> {
    if !call.state.is_ended() || !call.plan.agent.extract.is_wanted() {
        return Ok(None);
    }
    let found = asked.context.calls.reader().findings(&asked.key.account, call.plan.id).await;
    found.map_err(Into::into)
}

/// GET /calls/{id}.
pub(super) async fn show(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    Ok(shown(asked, &find(asked, id).await?).await?)
}

/// POST /calls/{id}/stop.
pub(super) async fn stop(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find(asked, id).await?;
    match asked.context.calls.hang_up(&asked.key.account, found.plan.id, HangUp::Now).await {
        // Stopping what has stopped is what was wanted.
        Ok(()) | Err(OrderError::Ended(_)) => show(asked, id).await,
        Err(error) => Err(error.into()),
    }
}

/// POST /calls/{id}/cancel: only before it is dialled.
pub(super) async fn cancel(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find(asked, id).await?;
    match Stage::from(found.state) {
        Stage::Ended if found.cause != Some(HangupCause::Cancelled) => Err(Complaint::bad("the call has ended")),
        Stage::Queued | Stage::Ended => stop(asked, id).await,
        Stage::Dialing | Stage::Ringing | Stage::Talking | Stage::Transferring => {
            Err(Complaint::bad("the call has begun; POST /calls/{id}/stop ends it"))
        }
    }
}

/// GET /calls/{id}/transcript.
pub(super) async fn transcript(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find(asked, id).await?;
    let journal = asked.context.calls.reader().journal(&asked.key.account, found.plan.id, 0, u32::MAX).await?;
    Ok(json!({
        "id": ids::made(&asked.key.account, "transcript", &found.plan.id.to_string()),
        "organization_id": asked.book.organization(),
        "call_id": asked.book.call(found.plan.id),
        "start_time": view::beginning(&found).millis().div_euclid(1000),
        "messages": view::messages(&found, &journal),
    }))
}

/// GET /calls/{id}/recording: a link that needs no key.
pub(super) async fn recording(asked: &Asked<'_>, id: &str) -> Result<Value, Complaint> {
    let found = find(asked, id).await?;
    if let Some(absence) = found.recording_gone {
        return Err(Fault::Gone { what: "recording", absence }.into());
    }
    if found.recording.is_none() {
        return Err(Fault::NotFound { what: "recording" }.into());
    }
    let path = format!("{RECORDINGS}{id}");
    Ok(json!({"url": LINK.link(asked.request, &asked.key, &path, LIFE)}))
}

/// Answers such a link. Taking the key away takes its links away.
pub(super) async fn fetch(request: &Request, context: &Context) -> Result<Response, Fault> {
    let key = LINK.key(request, context).await?;
    let outer = request.path.strip_prefix(RECORDINGS).unwrap_or_default();
    native::recording_of(request, context, &find_call(context, &key.account, outer).await?).await
}

/// What is looked for in numbers and extractions.
struct Search {
    /// Digits of a number; empty: no number can hold the text.
    digits: String,
    /// In lower case.
    text: String,
}

/// What a list is asked for.
struct Wanted {
    filter: CallFilter,
    statuses: Vec<String>,
    campaigns: Vec<String>,
    use_cases: Vec<String>,
    models: Vec<String>,
    tags: Vec<String>,
    search: Option<Search>,
    /// Whether any call can pass.
    any: bool,
    oldest_first: bool,
    skip: usize,
    limit: u32,
}

/// GET /calls.
pub(super) async fn list(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let wanted = wanted(asked)?;
    let (calls, count) = match (wanted.any, wanted.is_plain()) {
        (false, _) => (Vec::new(), 0),
        (true, true) => counted(asked, &wanted).await?,
        (true, false) => scanned(asked, &wanted).await?,
    };
    ids::keep(asked.context, &asked.book, &calls).await?;
    let page = wanted.skip / wanted.limit as usize + 1;
    let mut listed = Vec::with_capacity(calls.len());
    for call in &calls {
        listed.push(shown(asked, call).await?);
    }
    Ok(json!({"calls": listed, "count": count, "currentPage": page}))
}

impl Wanted {
    /// Whether the database can answer alone.
    const fn is_plain(&self) -> bool {
        self.statuses.is_empty()
            && self.campaigns.is_empty()
            && self.use_cases.is_empty()
            && self.models.is_empty()
            && self.tags.is_empty()
            && self.search.is_none()
    }

    async fn takes(&self, asked: &Asked<'_>, call: &CallView) -> Result<bool, Fault> {
        let among = |list: &[String], word: &str| list.is_empty() || list.iter().any(|known| known == word);
        let memo = if self.campaigns.is_empty() && self.models.is_empty() { Value::Null } else { view::memo(call) };
        let of_memo = |name: &str| memo[name].as_str().unwrap_or_default();
        let case = asked.book.agent(&call.plan.agent_id);
        let model = Some(of_memo("model_id")).filter(|id| !id.is_empty()).unwrap_or(&case);
        let fits = among(&self.statuses, view::status(call, asked.request.received))
            && among(&self.use_cases, &case)
            && among(&self.models, model)
            && among(&self.campaigns, of_memo("campaign_id"));
        if !fits || self.tags.is_empty() && self.search.is_none() {
            return Ok(fits);
        }
        let found = findings(asked, call).await?.map(|found| found.findings).unwrap_or_default();
        let tagged = self.tags.is_empty() || found.tag.as_ref().is_some_and(|tag| self.tags.contains(tag));
        Ok(tagged && self.search.as_ref().is_none_or(|search| search.finds(call, &found)))
    }
}

impl Search {
    fn of(text: &str) -> Self {
        let number = text.chars().all(|c| c.is_ascii_digit() || "+-() .".contains(c));
        let digits = text.chars().filter(|c| number && (c.is_ascii_digit() || *c == '+')).collect();
        Self { digits, text: text.to_lowercase() }
    }

    fn finds(&self, call: &CallView, found: &Findings) -> bool {
        let dialled = [call.plan.callee_dialled(), call.plan.caller_dialled()];
        let held = |value: &Value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.to_lowercase().contains(&self.text)
        };
        let numbers = !self.digits.is_empty() && dialled.iter().any(|number| number.contains(&self.digits));
        numbers || found.facts.values().any(held)
    }
}

/// The query's parameters, decoded.
fn parameters(asked: &Asked<'_>) -> Result<Vec<(String, String)>, Fault> {
    let given: Vec<_> = form_urlencoded::parse(asked.request.query.as_bytes()).into_owned().collect();
    native::no_zero_parameter(&given)?;
    Ok(given)
}

fn wanted(asked: &Asked<'_>) -> Result<Wanted, Complaint> {
    let given = parameters(asked)?;
    let part = |name: &str| {
        let found = given.iter().find(|(given, value)| given == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    let words = |name: &str| -> Vec<String> {
        part(name).into_iter().flat_map(|list| list.split(',')).map(|word| word.trim().to_owned()).collect()
    };
    let statuses = words("statuses");
    if !statuses.iter().all(|status| STATUSES.contains(&status.as_str())) {
        return Err(invalid("statuses", &format!("must be among {}", STATUSES.join(", "))).into());
    }
    let word = |name: &str, known: [&str; 2]| match part(name) {
        None => Ok(None),
        Some(word) if known.contains(&word) => Ok(Some(word == known[0])),
        Some(_) => Err(invalid(name, &format!("must be {} or {}", known[0], known[1]))),
    };
    let number =
        |name: &str, or: u32, range: RangeInclusive<u32>| match part(name) {
            None => Ok(or),
            Some(text) => text.parse().ok().filter(|n| range.contains(n)).ok_or_else(|| {
                invalid(name, &format!("must be a whole number from {} to {}", range.start(), range.end()))
            }),
        };
    let limit = number("limit", PAGE.0, 1..=PAGE.1)?;
    let skip = number("skip", 0, 0..=MAX_SKIP)? as usize;
    let since = part("from").map(|text| day("from", text, false)).transpose()?;
    let until = part("to").map(|text| day("to", text, true)).transpose()?;
    if part("search").is_some_and(|text| text.len() > MAX_SEARCH) {
        return Err(invalid("search", &format!("must be at most {MAX_SEARCH} bytes")).into());
    }
    Ok(Wanted {
        filter: CallFilter { since, until, ..CallFilter::default() },
        statuses,
        campaigns: words("campaigns"),
        use_cases: words("use_cases"),
        models: words("models"),
        tags: words("tags"),
        search: part("search").map(Search::of),
        any: word("type", ["Outbound", "Inbound"])?.unwrap_or(true)
            && OF_NOTHING.iter().all(|name| part(name).is_none()),
        oldest_first: word("sort", ["asc", "desc"])?.unwrap_or(false),
        skip,
        limit,
    })
}

/// A day or a moment; the end of a day is the next one's beginning.
fn day(name: &str, text: &str, ends: bool) -> Result<Moment, Fault> {
    let rule = "must be a date such as 2024-01-01, or a time such as 2024-01-01T01:01:01Z";
    let whole = |text: &str| moment(name, text).map_err(|_| invalid(name, rule));
    let Ok(day) = text.parse::<jiff::civil::Date>() else { return whole(text) };
    if text.contains('T') {
        return whole(text);
    }
    let day = if ends { day.tomorrow() } else { Ok(day) };
    let begin = day.and_then(|day| day.in_tz("UTC")).map_err(|_| invalid(name, rule))?;
    Ok(Moment(begin.timestamp().as_millisecond()))
}

/// A page that the database finds.
async fn counted(asked: &Asked<'_>, wanted: &Wanted) -> Result<(Vec<CallView>, usize), Fault> {
    let (reader, account) = (asked.context.calls.reader(), &asked.key.account);
    let count = reader.count_calls(account, &wanted.filter).await?;
    let (skip, limit) = (wanted.skip as u64, u64::from(wanted.limit));
    let (offset, size) = match wanted.oldest_first {
        false => (skip, limit),
        true => (count.saturating_sub(skip + limit), limit.min(count.saturating_sub(skip))),
    };
    let mut calls = Vec::new();
    if size > 0 {
        let size = u32::try_from(size).unwrap_or(wanted.limit);
        calls = reader.calls_at(account, &wanted.filter, offset, size).await?;
    }
    if wanted.oldest_first {
        calls.reverse();
    }
    Ok((calls, usize::try_from(count).unwrap_or(usize::MAX)))
}

/// A page of what is found by looking at each call.
async fn scanned(asked: &Asked<'_>, wanted: &Wanted) -> Result<(Vec<CallView>, usize), Complaint> {
    let (mut found, mut seen, mut after) = (Vec::new(), 0, None::<String>);
    loop {
        let reader = asked.context.calls.reader();
        let page = reader.calls(&asked.key.account, &wanted.filter, after.as_deref(), PAGE.1).await?;
        seen += page.items.len();
        for call in page.items {
            if wanted.takes(asked, &call).await? {
                found.push(call);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
        if seen >= MAX_SCANNED {
            return Err(Complaint::bad("too many calls to look through; narrow them with from and to"));
        }
    }
    if wanted.oldest_first {
        found.reverse();
    }
    let count = found.len();
    Ok((found.into_iter().skip(wanted.skip).take(wanted.limit as usize).collect(), count))
}

/// GET /usage: what was talked on each day.
pub(super) async fn usage(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let given = parameters(asked)?;
    let part = |name: &str| given.iter().find(|(given, value)| given == name && !value.is_empty());
    let read = |name: &str, ends| part(name).map(|(_, text)| day(name, text, ends)).transpose();
    let days = |count: u64| Duration::from_secs(count * 24 * 60 * 60);
    let until = read("to", true)?.unwrap_or(asked.request.received);
    let from = read("from", false)?.unwrap_or_else(|| until.before(days(USAGE_DAYS.0)));
    if until < from {
        // Without a `to` it is now.
        let (name, rule) = match part("to") {
            Some(_) => ("to", "must not be before from"),
            None => ("from", "must not be in the future, unless to is there, too"),
        };
        return Err(invalid(name, rule).into());
    }
    if until.since(from) > days(USAGE_DAYS.1) {
        let rule = format!("must be at most {} days before to, which is now when it is absent", USAGE_DAYS.1);
        return Err(invalid("from", &rule).into());
    }
    let (reader, account) = (asked.context.calls.reader(), &asked.key.account);
    let used = reader.usage(account, from, until).await?;
    let filter = CallFilter { since: Some(from), until: Some(until), ..CallFilter::default() };
    let calls = reader.count_calls(account, &filter).await?;
    let minutes = |ms: u64| Duration::from_millis(ms).as_secs_f64() / 60.0;
    let shown = used.iter().map(|day| json!({"date": &view::time(day.day)[..10], "minutes": minutes(day.talked_ms)}));
    let total: u64 = used.iter().map(|day| day.talked_ms).sum();
    Ok(json!({
        "from": view::time(from), "to": view::time(until), "calls": calls, "minutes": minutes(total),
        "days": shown.collect::<Vec<_>>(),
    }))
}
