//! Callees into a campaign, from a CSV file or a JSON list: all of them or none. What is wrong with a line is told with its
//! number; the line is kept, so that results account for every one.

use super::super::Asked;
use super::super::decode::{Object, invalid, query};
use super::super::json_response;
use super::super::refusals::not_campaign;
use super::key;
use crate::fault::Fault;
use crate::http::Response;
use callwright_domain::campaign::Callee;
use callwright_domain::campaign::csv::{BadLine, Draft, Line, MAX_COLUMNS, MAX_FIELD, Mapping, Sheet, given};
use callwright_engine::{CampaignFault, Upload};
use callwright_store::{NewRow, Repeats};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Problems told in one answer; all of them are in the list of callees.
const TOLD: usize = 1000;
/// Longest opaque text of a requester.
const MAX_USER_DATA: usize = 4096;

/// One member of a JSON list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    to: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    user_data: Option<String>,
    #[serde(default)]
    scheduled_for: Option<String>,
    #[serde(default)]
    max_duration_s: Option<u64>,
}

/// What became of the lines.
#[derive(Default)]
struct Report {
    lines: u64,
    invalid: u64,
    problems: Vec<Value>,
}

impl Report {
    fn note(&mut self, line: u64, code: &str, message: &str) {
        if self.problems.len() < TOLD {
            self.problems.push(json!({"line": line, "code": code, "message": message}));
        }
    }

    fn row(&mut self, line: u64, callee: Result<Callee, BadLine>, told: callwright_domain::Pii<String>) -> NewRow {
        self.lines += 1;
        let callee = callee.map_err(|bad| {
            self.invalid += 1;
            self.note(line, bad.word(), &bad.to_string());
            (told, bad.word())
        });
        NewRow { line, callee, repeats: Repeats::Skipped }
    }

    fn told(mut self, duplicates: &[u64]) -> Value {
        for line in duplicates {
            self.note(*line, "duplicate", "the number stands in an earlier row");
        }
        let twice = duplicates.len() as u64;
        let omitted = self.invalid + twice - self.problems.len() as u64;
        json!({
            "lines": self.lines,
            "added": self.lines - self.invalid - twice,
            "invalid": self.invalid,
            "duplicates": twice,
            "problems": self.problems,
            "problems_omitted": omitted,
        })
    }
}

pub(super) async fn add(asked: &Asked<'_>) -> Result<Response, Fault> {
    let content_type = asked.request.header("content-type").unwrap_or("application/json");
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/csv" => add_file(asked).await,
        "application/json" => add_list(asked).await,
        _ => Err(Fault::MediaType { wanted: "text/csv or application/json" }),
    }
}

async fn add_file(asked: &Asked<'_>) -> Result<Response, Fault> {
    let parameters = query(asked.request, &["number_column", "id_column", "duplicates"])?;
    let mapping =
        Mapping { number: parameters.get("number_column").cloned(), own_id: parameters.get("id_column").cloned() };
    let repeats = repeats(parameters.get("duplicates").map(String::as_str))?;
    let bad = |why: &dyn std::fmt::Display| invalid("csv", &why.to_string());
    // Read to its end before anything is written: a file that is broken in its last line is found here.
    let mut sheet = Sheet::open(&asked.request.body, &mapping).map_err(|why| bad(&why))?;
    let mut lines = 0_u64;
    while sheet.next_line().map_err(|why| bad(&why))?.is_some() {
        lines += 1;
    }
    if lines == 0 {
        return Err(invalid("csv", "must hold at least one line under the header"));
    }
    let upload = asked.context.calls.campaigns().upload(&key(asked)?, asked.request.received).await;
    let mut upload = match upload {
        Ok(upload) => upload,
        Err(fault) => return not_campaign(asked.request, &fault),
    };
    let mut report = Report::default();
    let mut sheet = Sheet::open(&asked.request.body, &mapping).map_err(|why| bad(&why))?;
    while let Some(Line { line, given, callee }) = sheet.next_line().map_err(|why| bad(&why))? {
        let row = NewRow { repeats, ..report.row(line, callee, given) };
        if let Err(fault) = upload.add(row).await {
            return given_up(asked, upload, &fault).await;
        }
    }
    finish(asked, upload, report).await
}

async fn add_list(asked: &Asked<'_>) -> Result<Response, Fault> {
    query(asked.request, &[])?;
    let mut body = Object::of_rows(asked.request)?;
    let items: Vec<Item> = body.typed("callees")?.ok_or_else(|| Fault::Missing { field: String::from("callees") })?;
    let repeats = repeats(body.text("duplicates", 16)?.as_deref())?;
    body.end()?;
    if items.is_empty() {
        return Err(invalid("callees", "must hold at least one callee"));
    }
    for (at, item) in items.iter().enumerate() {
        check(at, item)?;
    }
    let upload = asked.context.calls.campaigns().upload(&key(asked)?, asked.request.received).await;
    let mut upload = match upload {
        Ok(upload) => upload,
        Err(fault) => return not_campaign(asked.request, &fault),
    };
    let mut report = Report::default();
    for (line, item) in (1..).zip(items) {
        let told = given(&item.to);
        let draft = Draft {
            number: item.to.trim().to_owned(),
            own_id: item.id,
            variables: item.variables,
            user_data: item.user_data,
            due: item.scheduled_for,
            max_duration_s: item.max_duration_s,
        };
        let row = NewRow { repeats, ..report.row(line, draft.callee(), told) };
        if let Err(fault) = upload.add(row).await {
            return given_up(asked, upload, &fault).await;
        }
    }
    finish(asked, upload, report).await
}

async fn finish(asked: &Asked<'_>, upload: Upload, report: Report) -> Result<Response, Fault> {
    match upload.commit().await {
        Ok(duplicates) => Ok(json_response(StatusCode::OK, &report.told(&duplicates))),
        Err(fault) => not_campaign(asked.request, &fault),
    }
}

/// The first trouble is what is told; what was written does not count and is removed by the next upload.
async fn given_up(asked: &Asked<'_>, upload: Upload, fault: &CampaignFault) -> Result<Response, Fault> {
    if let Err(error) = upload.abort().await {
        tracing::debug!(%error, "an upload could not be given up; the next one clears up");
    }
    not_campaign(asked.request, fault)
}

fn check(at: usize, item: &Item) -> Result<(), Fault> {
    let wrong = |name: &str, rule: String| invalid(&format!("callees[{at}].{name}"), &rule);
    let long = |text: &String| text.len() > MAX_FIELD;
    if item.variables.len() > MAX_COLUMNS || item.variables.iter().any(|(name, value)| long(name) || long(value)) {
        return Err(wrong("variables", format!("must be at most {MAX_COLUMNS} texts of at most {MAX_FIELD} bytes")));
    }
    if item.user_data.as_ref().is_some_and(|text| text.chars().count() > MAX_USER_DATA) {
        return Err(wrong("user_data", format!("must be a string of at most {MAX_USER_DATA} characters")));
    }
    Ok(())
}

fn repeats(word: Option<&str>) -> Result<Repeats, Fault> {
    match word {
        None | Some("skip") => Ok(Repeats::Skipped),
        Some("call") => Ok(Repeats::Called),
        Some(_) => Err(invalid("duplicates", "must be skip or call")),
    }
}
