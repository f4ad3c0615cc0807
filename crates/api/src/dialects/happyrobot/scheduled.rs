//! `POST /dial/scheduled`: the calls of a campaign, from a list or a file, each in the form of a single one.

use super::dial::{Fields, decode, together, within};
use super::words::Complaint;
use super::{Asked, retries};
use crate::dialects::native::{invalid, moment};
use crate::fault::Fault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::Moment;
use callwright_domain::campaign::csv::{BadFile, BadLine, Mapping, Sheet};
use callwright_engine::StartCall;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Members of one call that are no values for the prompt.
const OWN_MEMBERS: [&str; 6] =
    ["phone_number", "scheduled_for", "scheduled_date", "scheduled_time", "timezone", "max_duration_mins"];

/// POST /dial/scheduled.
pub(super) async fn scheduled(asked: &Asked<'_>) -> Result<Value, Complaint> {
    let body = asked.body()?;
    let fields = Fields::of(&body, "the body")?;
    let elements = elements(&fields)?;
    let gap = fields.minutes("staggered_interval_minutes")?.unwrap_or(0);
    let retry = retries::of(&fields)?;
    let begins = fields.text("scheduled_for")?.map(|text| moment("scheduled_for", text)).transpose()?;
    let begins = begins.unwrap_or(asked.request.received);
    let mut wanted = Vec::new();
    for (at, element) in within(&elements)?.iter().enumerate() {
        let waits = gap * u64::try_from(at).unwrap_or(0);
        let element = scheduled_call(&body, element, begins.after(Duration::from_secs(waits * 60)))
            .map_err(|fault| Complaint::from(fault).at(at))?;
        let fields = Fields { members: &element };
        let call = decode(asked, &fields).await.map_err(|complaint| complaint.at(at))?;
        wanted.push(StartCall { retry: retry.clone(), ..call });
    }
    Ok(json!({"createdCalls": together(asked, wanted).await?}))
}

fn is_empty(value: &Value) -> bool {
    *value == json!(0) || *value == json!("") || *value == json!([])
}

/// The calls that are asked for: of the list, or of the file.
fn elements(fields: &Fields<'_>) -> Result<Vec<Value>, Fault> {
    let file = fields.raw("csv_file").filter(|value| !is_empty(value));
    match (fields.raw("calls").filter(|value| !is_empty(value)), file) {
        (Some(_), Some(_)) => Err(invalid("csv_file", "must be absent when there are calls")),
        (None, Some(file)) => lines(file),
        (None, None) => Err(Fault::Missing { field: String::from("calls") }),
        (Some(list), None) => {
            let list = list.as_array().ok_or_else(|| invalid("calls", "must be a list of objects"))?;
            // The vendor's example has a list in the list.
            Ok(match list.as_slice() {
                [Value::Array(inner)] => inner.clone(),
                _ => list.clone(),
            })
        }
    }
}

/// The lines of a file in Base64: its columns are the members of a call.
fn lines(file: &Value) -> Result<Vec<Value>, Fault> {
    let wrong = |rule: &str| invalid("csv_file", rule);
    let text = file.as_str().ok_or_else(|| wrong("must be a CSV file in Base64"))?;
    // Browsers put what it is before what they read from a file.
    let text = text.rsplit_once("base64,").map_or(text, |(_, text)| text);
    let bytes = STANDARD.decode(text.trim()).map_err(|_| wrong("must be a CSV file in Base64"))?;
    let unreadable = |why: BadFile| wrong(&why.to_string());
    let mut sheet = Sheet::open(&bytes, &Mapping::default()).map_err(unreadable)?;
    let mut elements = Vec::new();
    while let Some(line) = sheet.next_line().map_err(unreadable)? {
        let bad = |why: BadLine| wrong(&format!("line {}: {why}", line.line));
        let callee = line.callee.map_err(bad)?;
        let mut element = Map::new();
        element.insert(String::from("phone_number"), json!(callee.number.dial()));
        for (name, value) in callee.variables {
            // Everything in a file is text, and what is left out is empty.
            let own = OWN_MEMBERS.contains(&name.as_str());
            match value.parse::<u64>() {
                _ if own && value.is_empty() => continue,
                Ok(minutes) if name == "max_duration_mins" => element.insert(name, json!(minutes)),
                _ => element.insert(name, json!(value)),
            };
        }
        elements.push(Value::Object(element));
    }
    if elements.is_empty() { Err(wrong("must hold at least one line under the header")) } else { Ok(elements) }
}

/// A call of a campaign in the form of a single one. `turn` is when it is its turn if neither it nor the request names a time.
fn scheduled_call(body: &Value, element: &Value, turn: Moment) -> Result<Map<String, Value>, Fault> {
    let own = Fields::of(element, "each of calls")?;
    let mut whole = body.as_object().cloned().unwrap_or_default();
    let mut params = whole.get("params").and_then(Value::as_object).cloned().unwrap_or_default();
    let more = own.members.iter().filter(|(name, _)| !OWN_MEMBERS.contains(&name.as_str()));
    params.extend(more.map(|(name, value)| (name.clone(), value.clone())));
    whole.insert(String::from("params"), Value::Object(params));
    for name in ["phone_number", "max_duration_mins"] {
        if let Some(value) = own.raw(name) {
            whole.insert(name.to_owned(), value.clone());
        }
    }
    if let (None, Some(name)) = (whole.get("campaign_id"), whole.get("campaign_name").cloned()) {
        whole.insert(String::from("campaign_id"), name);
    }
    let due = match own.text("scheduled_date")? {
        Some(_) if own.raw("scheduled_for").is_some() => {
            return Err(invalid("scheduled_for", "must be absent where there is a scheduled_date"));
        }
        None if own.text("scheduled_time")?.is_some() => {
            return Err(invalid("scheduled_time", "needs a scheduled_date"));
        }
        None => own.text("scheduled_for")?.map_or(Ok(turn), |text| moment("scheduled_for", text))?,
        Some(date) => {
            let (hour, zone) =
                (own.text("scheduled_time")?.unwrap_or("00:00:00"), own.text("timezone")?.unwrap_or("UTC"));
            let rule = "must be a date such as 2024-01-01, with a time such as 01:01:01 and a time zone such as UTC";
            let at = format!("{date}T{hour}").parse::<jiff::civil::DateTime>();
            let at = at.and_then(|at| at.in_tz(zone)).map_err(|_| invalid("scheduled_date", rule))?;
            Moment(at.timestamp().as_millisecond())
        }
    };
    whole.insert(String::from("scheduled_for"), json!(super::view::time(due)));
    Ok(whole)
}
