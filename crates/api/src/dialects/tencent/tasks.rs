//! Tasks: calls to many callees, which are campaigns of ours. Every parameter is read, checked and given its effect, or
//! refused by its name (`docs/tencent.md` says which). Never dials: campaigns do.

use super::fields::Fields;
use super::start::{MAX_CALLERS, MAX_RINGING_S, Values, patch, phones};
use super::words::VendorError;
use super::{Asked, done, ids, lists, numbers};
use crate::fault::Fault;
use callwright_domain::agent::Switch;
use callwright_domain::campaign::{
    Callee, Campaign, CampaignState, Day, Pace, RetryPlan, RowState, Settings, Step, Stopped, Window, WindowFault,
    Windows,
};
use callwright_domain::{HangupCause, Moment, Origin, PhoneNumber, Pii, Refusal};
use callwright_engine::CampaignFault;
use callwright_store::{CampaignError, CampaignKey, NewRow, Repeats, RowFilter};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Parameters of CreateAutoCalloutTask.
pub(super) const PARAMETERS: &[&str] = &[
    "NotBefore",
    "Callees",
    "Callers",
    "IvrId",
    "Name",
    "Description",
    "NotAfter",
    "Tries",
    "Variables",
    "UUI",
    "CalleeAttributes",
    "TimeZone",
    "AvailableTime",
    "AIAgentId",
    "RetryInterval",
    "MaxRingTimeoutSecond",
    "RetryHangupTypes",
    "RetryTags",
    "AvailableWorkTimeConfig",
    "TriggerStrategy",
    "ConcurrencyLimit",
];

/// Most callees of a task; the vendor names no limit.
const MAX_CALLEES: usize = 10_000;
/// Longest name, description and UUI, in characters.
const MAX_NAME: usize = 200;
const MAX_DESCRIPTION: usize = 2000;
const MAX_UUI: usize = 1024;
/// Times a callee is called at most, and the wait between two calls in seconds: least, most.
const MAX_TRIES: u32 = 3;
const INTERVAL_S: (u32, u32) = (600, 86_400);
/// Latest moment that is understood, in seconds: the end of the year 9999.
const END_OF_TIME_S: i64 = 253_402_300_799;
/// The zone of times of day that name none.
const ZONE: &str = "Asia/Shanghai";
/// Largest page of tasks, and rows and campaigns read at a time.
const MAX_PAGE: u32 = 100;
const AT_A_TIME: u32 = 500;
/// How long a request's bytes are known again: longer than its signature holds on either side.
const REPEATS: Duration = Duration::from_secs(15 * 60);
/// Ends after which a callee is called again when the request names none.
const USUAL: &[HangupCause] = &[
    HangupCause::NoAnswer,
    HangupCause::Busy,
    HangupCause::Rejected,
    HangupCause::Unreachable,
    HangupCause::NoResponse,
    HangupCause::TrunkFailed,
];
/// The vendor's numbers of ends and ours. Announcements are not listened to: their numbers are known and never happen.
const HANGUPS: &[(&str, &[HangupCause])] = &[
    ("202", &[HangupCause::NoAnswer]),
    ("203", &[HangupCause::Rejected]),
    ("204", &[HangupCause::Unreachable]),
    ("205", &[HangupCause::Unreachable]),
    ("206", &[HangupCause::Busy]),
    ("207", &[HangupCause::Rejected]),
    (
        "208",
        &[
            HangupCause::AuthFailed,
            HangupCause::NoResponse,
            HangupCause::TrunkFailed,
            HangupCause::Redirected,
            HangupCause::MediaRefused,
            HangupCause::MediaFailed,
        ],
    ),
    ("210", &[]),
    ("212", &[]),
    ("213", &[]),
    ("215", &[]),
    ("216", &[]),
    ("217", &[]),
    ("218", &[]),
    ("219", &[]),
    ("221", &[]),
    ("222", &[HangupCause::VoicemailReached]),
    ("234", &[]),
];
/// The vendor's days.
const DAYS: &[(&str, Day)] = &[
    ("Monday", Day::Mon),
    ("Tuesday", Day::Tue),
    ("Wednesday", Day::Wed),
    ("Thursday", Day::Thu),
    ("Friday", Day::Fri),
    ("Saturday", Day::Sat),
    ("Sunday", Day::Sun),
];

type Read<T> = Result<T, VendorError>;

/// CreateAutoCalloutTask.
pub(super) async fn create(asked: &Asked<'_>) -> Read<Value> {
    asked.application(&[PARAMETERS]).await?;
    let callees = callees(&asked.fields)?;
    let settings = settings(asked).await?;
    let now = asked.request.received;
    // This scheme has nothing else that is used once: the same bytes again would be the same calls again.
    let nonce: String = format!("task {}", asked.mark).chars().take(255).collect();
    let fresh = asked.context.calls.use_nonce(&asked.key.id, &nonce, now, REPEATS).await;
    if !fresh? {
        return Err(Fault::Replayed.into());
    }
    let campaigns = asked.context.calls.campaigns();
    let made = campaigns.create(&asked.key.account, settings, now).await.map_err(worded)?;
    let key = CampaignKey { account: asked.key.account.clone(), id: made.id.clone() };
    match filled(asked, &key, callees).await {
        Ok(number) => Ok(json!({ "TaskId": number })),
        Err(error) => {
            if let Err(left) = campaigns.delete(&key).await {
                tracing::warn!(campaign = %key.id, error = %left, "a task that was not made could not be removed");
            }
            Err(error)
        }
    }
}

/// Puts the callees into a campaign and starts it; its number.
async fn filled(asked: &Asked<'_>, key: &CampaignKey, callees: Vec<Callee>) -> Read<i64> {
    let (campaigns, now) = (asked.context.calls.campaigns(), asked.request.received);
    let number = ids::number_of_task(asked.context, &key.account, &key.id).await?;
    let mut upload = campaigns.upload(key, now).await.map_err(worded)?;
    for (line, callee) in (1..).zip(callees) {
        upload.add(NewRow { line, callee: Ok(callee), repeats: Repeats::Skipped }).await.map_err(worded)?;
    }
    upload.commit().await.map_err(worded)?;
    campaigns.step(key, Step::Start, now).await.map_err(worded)?;
    Ok(number)
}

/// Who is to be called, with what `CalleeAttributes` says of some.
fn callees(fields: &Fields<'_>) -> Read<Vec<Callee>> {
    let listed = phones(fields, "Callees", MAX_CALLEES)?;
    fields.needed("Callees", (!listed.is_empty()).then_some(()))?;
    let mut own = attributes(fields)?;
    if let Some((number, (at, _))) = own.iter().find(|(number, _)| !listed.contains(number)) {
        let said = numbers::shown(number).len();
        let rule = format!("must be among Callees (a number of {said} characters is not)");
        return Err(fields.bad(&format!("CalleeAttributes.{at}.Callee"), &rule));
    }
    let uui = fields.text("UUI", MAX_UUI)?;
    let callee = |number: PhoneNumber| {
        let (variables, own_uui) = own.remove(&number).map(|(_, own)| own).unwrap_or_default();
        let user_data = own_uui.or_else(|| uui.clone()).map(Pii::new);
        Callee { number, own_id: None, variables, user_data, due: None, max_duration_s: None }
    };
    Ok(listed.into_iter().map(callee).collect())
}

/// Variables and UUI of single callees, and where they stand in the request.
type Own = BTreeMap<PhoneNumber, (usize, (BTreeMap<String, String>, Option<String>))>;

fn attributes(fields: &Fields<'_>) -> Read<Own> {
    let mut own = BTreeMap::new();
    for (at, item) in fields.objects("CalleeAttributes", MAX_CALLEES)?.unwrap_or_default().iter().enumerate() {
        item.only(&[&["Callee", "UUI", "Variables"]])?;
        let number = item.needed("Callee", item.text("Callee", 64)?)?;
        let number = numbers::parse(&number).map_err(|why| item.bad("Callee", &why))?;
        let variables = Values::of(item, &["Variables"])?.variables;
        own.insert(number, (at, (variables, item.text("UUI", MAX_UUI)?)));
    }
    Ok(own)
}

async fn settings(asked: &Asked<'_>) -> Read<Settings> {
    let fields = &asked.fields;
    for name in ["RetryTags", "TriggerStrategy"] {
        if fields.objects(name, 100)?.is_some_and(|items| !items.is_empty()) {
            return Err(VendorError::unsupported(&format!("the parameter {name}")));
        }
    }
    if fields.whole("IvrId", 0..=i64::MAX)?.is_some_and(|id| id > 0) {
        return Err(VendorError::unsupported("the parameter IvrId"));
    }
    let agent = fields.needed("AIAgentId", fields.whole("AIAgentId", 0..=i64::MAX)?)?;
    let agent = ids::agent_of(asked.context, &asked.key.account, agent).await?.ok_or(Refusal::UnknownAgent)?;
    let values = Values::of(fields, &["Variables"])?;
    let mut patch = patch(&values, fields.count("MaxRingTimeoutSecond", 1..=MAX_RINGING_S)?);
    patch.brain.params = values.params(asked, &agent).await?;
    let starts = fields.needed("NotBefore", moment(fields, "NotBefore")?)?;
    let concurrency = fields.count("ConcurrencyLimit", 1..=callwright_domain::campaign::MAX_CONCURRENCY)?;
    let usual = Pace::default();
    let description = fields.text("Description", MAX_DESCRIPTION)?.unwrap_or_default();
    Ok(Settings {
        name: fields.label("Name", MAX_NAME)?.unwrap_or_default(),
        agent,
        patch,
        callers: callers(asked).await?,
        variables: values.variables,
        windows: windows(fields)?,
        pace: Pace { concurrency: concurrency.unwrap_or(usual.concurrency), ..usual },
        retry: retry(fields)?,
        priority: 5,
        starts: Some(starts).filter(|starts| *starts > asked.request.received),
        deadline: moment(fields, "NotAfter")?,
        abandonment_guard: Switch::On,
        origin: Origin { dialect: String::from("tencent"), memo: memo(starts, &description) },
    })
}

fn moment(fields: &Fields<'_>, name: &str) -> Read<Option<Moment>> {
    Ok(fields.whole(name, 0..=END_OF_TIME_S)?.map(|seconds| Moment(seconds * 1000)))
}

/// What is shown again and nobody here needs.
fn memo(starts: Moment, description: &str) -> String {
    json!({"NotBefore": starts.millis() / 1000, "Description": description}).to_string()
}

/// Numbers of the account among those that are named; others are passed over, as with single calls.
async fn callers(asked: &Asked<'_>) -> Read<Vec<PhoneNumber>> {
    let named = phones(&asked.fields, "Callers", MAX_CALLERS)?;
    asked.fields.needed("Callers", (!named.is_empty()).then_some(()))?;
    let owned = asked.context.calls.reader().numbers(&asked.key.account).await?;
    let mine: Vec<PhoneNumber> =
        named.into_iter().filter(|number| owned.iter().any(|own| own.number == *number)).collect();
    if mine.is_empty() { Err(Refusal::CallerNotOwned.into()) } else { Ok(mine) }
}

fn retry(fields: &Fields<'_>) -> Read<RetryPlan> {
    let max_attempts = fields.count("Tries", 1..=MAX_TRIES)?.unwrap_or(1);
    let wait = fields.count("RetryInterval", INTERVAL_S.0..=INTERVAL_S.1)?.unwrap_or(INTERVAL_S.0);
    let mut on: Vec<HangupCause> = Vec::new();
    match fields.texts("RetryHangupTypes", HANGUPS.len(), 8)? {
        None => on.extend(USUAL),
        Some(types) => {
            for (at, word) in types.iter().enumerate() {
                let known = HANGUPS.iter().find(|(number, _)| number == word);
                let rule = "must be one of the vendor's numbers of ends after which to try again";
                let (_, causes) = known.ok_or_else(|| fields.bad(&format!("RetryHangupTypes.{at}"), rule))?;
                on.extend(causes.iter().filter(|cause| !on.contains(cause)).copied().collect::<Vec<_>>());
            }
        }
    }
    if max_attempts == 1 || on.is_empty() {
        return Ok(RetryPlan::default());
    }
    Ok(RetryPlan { on, max_attempts, waits_s: vec![wait.into()] })
}

/// When it may dial; `AvailableTime` wins.
fn windows(fields: &Fields<'_>) -> Read<Option<Windows>> {
    let zone = fields.label("TimeZone", 64)?.unwrap_or_else(|| ZONE.to_owned());
    let daily = ranges(fields, "AvailableTime", &[])?;
    let mut weekly = Vec::new();
    for item in fields.objects("AvailableWorkTimeConfig", 100)?.unwrap_or_default() {
        item.only(&[&["DayType", "DaysOfWeek", "TimeRanges"]])?;
        let days = days(&item)?;
        weekly.extend(ranges(&item, "TimeRanges", &days)?);
    }
    let weekly = if daily.is_empty() { weekly } else { daily };
    let windows = Windows { zone, weekly, holidays: Vec::new() };
    match windows.check() {
        Err(flaw) if flaw.field.ends_with("zone") => Err(fields.bad("TimeZone", &flaw.rule)),
        _ if windows.weekly.is_empty() => Ok(None),
        Err(flaw) => Err(fields.bad("AvailableTime", &flaw.rule)),
        Ok(()) => Ok(Some(windows)),
    }
}

fn days(item: &Fields<'_>) -> Read<Vec<Day>> {
    const WORKING: usize = 5;
    let known = [("EveryDay", 0), ("BusinessDay", 1), ("Holiday", 2), ("Custom", 3)];
    match item.word("DayType", &known)?.unwrap_or(0) {
        0 => Ok(Vec::new()),
        1 => Ok(DAYS.iter().take(WORKING).map(|(_, day)| *day).collect()),
        // No calendar of holidays is kept here.
        2 => Err(VendorError::unsupported("the DayType Holiday")),
        _ => {
            let named = item.texts("DaysOfWeek", DAYS.len(), 16)?.unwrap_or_default();
            item.needed("DaysOfWeek", (!named.is_empty()).then_some(()))?;
            let day = |(at, word): (usize, &String)| {
                let found = DAYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
                found.map(|(_, day)| *day).ok_or_else(|| item.bad(&format!("DaysOfWeek.{at}"), "is no day of the week"))
            };
            named.iter().enumerate().map(day).collect()
        }
    }
}

fn ranges(fields: &Fields<'_>, name: &str, days: &[Day]) -> Read<Vec<Window>> {
    let mut windows = Vec::new();
    for range in fields.objects(name, 100)?.unwrap_or_default() {
        range.only(&[&["StartTime", "EndTime"]])?;
        let from = range.needed("StartTime", range.label("StartTime", 16)?)?;
        let to = range.needed("EndTime", range.label("EndTime", 16)?)?;
        let window = Window { days: days.to_vec(), from, to };
        // Here the two have names of their own.
        window.check().map_err(|fault| match fault {
            WindowFault::From => range.bad("StartTime", "must be a time of day such as 09:00:00"),
            WindowFault::To => range.bad("EndTime", "must be a time of day such as 21:00:00"),
            WindowFault::Order => {
                range.bad("EndTime", "must be later than StartTime; split a range that passes midnight")
            }
        })?;
        windows.push(window);
    }
    Ok(windows)
}

/// A campaign's fault in the vendor's words.
fn worded(fault: CampaignFault) -> VendorError {
    match fault {
        CampaignFault::Refused(refusal) => refusal.into(),
        CampaignFault::Flaw(flaw) => {
            let name = if flaw.field == "deadline" { "NotAfter" } else { flaw.field.as_str() };
            VendorError::bad_value(name, &flaw.rule)
        }
        CampaignFault::Agent(rule) => VendorError::new("FailedOperation", rule),
        CampaignFault::Campaign(error) => match error {
            CampaignError::Unknown => VendorError::bad_value("TaskId", "no task with this id exists"),
            CampaignError::Illegal(_) | CampaignError::State(_) | CampaignError::Importing => {
                VendorError::new("FailedOperation", "The task's state does not allow this.")
            }
            CampaignError::Empty => VendorError::bad_value("Callees", "nobody of them can be called"),
            CampaignError::Store(error) => error.into(),
        },
    }
}

/// The campaign that `TaskId` names.
async fn key(asked: &Asked<'_>) -> Read<CampaignKey> {
    asked.application(&[&["TaskId"]]).await?;
    let number = asked.fields.needed("TaskId", asked.fields.whole("TaskId", 0..=i64::MAX)?)?;
    let id = ids::task_of(asked.context, &asked.key.account, number).await?;
    let id = id.ok_or_else(|| worded(CampaignError::Unknown.into()))?;
    Ok(CampaignKey { account: asked.key.account.clone(), id })
}

/// PauseAutoCalloutTask and ResumeAutoCalloutTask.
pub(super) async fn step(asked: &Asked<'_>, step: Step) -> Read<Value> {
    let key = key(asked).await?;
    asked.context.calls.campaigns().step(&key, step, asked.request.received).await.map_err(worded)?;
    Ok(done())
}

/// StopAutoCalloutTask. Stopping what is over is what was wanted.
pub(super) async fn stop(asked: &Asked<'_>) -> Read<Value> {
    let key = key(asked).await?;
    match asked.context.calls.campaigns().stop(&key, Stopped::Asked, asked.request.received).await {
        Ok(_) | Err(CampaignFault::Campaign(CampaignError::Illegal(_))) => Ok(done()),
        Err(fault) => Err(worded(fault)),
    }
}

/// DescribeAutoCalloutTask.
pub(super) async fn show(asked: &Asked<'_>) -> Read<Value> {
    let (key, reader) = (key(asked).await?, asked.context.calls.reader());
    let campaign = reader.campaign(&key).await?;
    let campaign = campaign.ok_or_else(|| worded(CampaignError::Unknown.into()))?;
    let (mut callees, mut after) = (Vec::new(), 0);
    loop {
        let page = reader.campaign_rows(&key, &RowFilter::default(), after, AT_A_TIME).await?;
        let last = page.items.last().map_or(after, |row| row.row);
        let calls = reader.campaign_calls(&key, after + 1, last).await?;
        for row in &page.items {
            let sessions: Vec<_> = calls.iter().filter(|call| call.row == row.row).map(|call| call.call).collect();
            let number = PhoneNumber::parse(row.number.expose());
            let number = number.map_or_else(|_| row.number.expose().clone(), |number| numbers::shown(&number));
            callees.push(json!({"Callee": number, "State": callee_state(row.state), "Sessions": sessions}));
        }
        if page.next.is_none() {
            break;
        }
        after = last;
    }
    let mut shown = shared(&campaign, asked.request.received);
    shown["Description"] = memo_of(&campaign)["Description"].clone();
    shown["Callees"] = json!(callees);
    Ok(shown)
}

/// DescribeAutoCalloutTasks: the newest first.
pub(super) async fn list(asked: &Asked<'_>) -> Read<Value> {
    asked.application(&[&["PageSize", "PageNumber"]]).await?;
    let size = asked.fields.needed("PageSize", asked.fields.count("PageSize", 1..=MAX_PAGE)?)?;
    let page = asked.fields.needed("PageNumber", asked.fields.count("PageNumber", 0..=1_000_000)?)?;
    let (reader, account) = (asked.context.calls.reader(), &asked.key.account);
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let found = reader.campaigns(account, None, after.as_deref(), AT_A_TIME).await?;
        all.extend(found.items.into_iter().filter(|campaign| campaign.settings.origin.dialect == "tencent"));
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    all.sort_by_key(|campaign| std::cmp::Reverse((campaign.created, campaign.id.as_str().to_owned())));
    let mut tasks = Vec::new();
    for campaign in lists::paged(&all, page, size) {
        let key = CampaignKey { account: account.clone(), id: campaign.id.clone() };
        let counters = reader.campaign_counters(&key).await?;
        let mut shown = shared(campaign, asked.request.received);
        shown["TaskId"] = json!(ids::number_of_task(asked.context, account, &campaign.id).await?);
        shown["CalleeCount"] = json!(counters.total());
        tasks.push(shown);
    }
    Ok(json!({"TotalCount": all.len(), "Tasks": tasks}))
}

fn memo_of(campaign: &Campaign) -> Value {
    // Written by us; one that cannot be read has nothing to show.
    serde_json::from_str(&campaign.settings.origin.memo).unwrap_or_default()
}

/// What a task shows in a list and by itself.
fn shared(campaign: &Campaign, now: Moment) -> Value {
    let settings = &campaign.settings;
    let mut shown = json!({
        "Name": settings.name,
        "NotBefore": memo_of(campaign)["NotBefore"],
        "NotAfter": settings.deadline.map(|deadline| deadline.millis() / 1000),
        "Callers": settings.callers.iter().map(numbers::shown).collect::<Vec<_>>(),
        "IvrId": 0,
        "State": state(campaign, now),
    });
    if let Some(seconds) = settings.patch.limits.ring_timeout_s {
        shown["MaxRingTimeoutSecond"] = json!(seconds);
    }
    shown
}

/// 0 created, 1 running, 2 done, 3 ending, 4 ended, 5 paused.
fn state(campaign: &Campaign, now: Moment) -> u8 {
    match campaign.state {
        CampaignState::Draft => 0,
        CampaignState::Running => u8::from(campaign.settings.starts.is_none_or(|starts| starts <= now)),
        CampaignState::Done => 2,
        CampaignState::Stopped if campaign.finished.is_none() => 3,
        CampaignState::Stopped => 4,
        CampaignState::Paused => 5,
    }
}

/// 0 waiting, 1 answered, 2 not answered, 3 calling, 4 to be called again.
const fn callee_state(state: RowState) -> u8 {
    match state {
        RowState::Waiting => 0,
        RowState::Answered => 1,
        RowState::Unanswered
        | RowState::Refused
        | RowState::Cancelled
        | RowState::Expired
        | RowState::Invalid
        | RowState::Duplicate => 2,
        RowState::Calling => 3,
        RowState::Retrying => 4,
    }
}
