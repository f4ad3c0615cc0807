//! What came of each row, as a file: CSV for people, JSON lines for programs. Read piece by piece while it is sent, so that
//! a campaign of any size costs the memory of one piece.

use super::super::Asked;
use super::super::decode::{invalid, query};
use super::{by_row, find, key, row_json};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::Response;
use axum::body::Body;
use bytes::Bytes;
use callwright_domain::campaign::Row;
use callwright_engine::Calls;
use callwright_store::{CampaignKey, Record, RowCall, RowFilter, StoreError};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Rows read at a time.
const PIECE: u32 = 500;
const COLUMNS: [&str; 15] = [
    "row",
    "line",
    "to",
    "id",
    "state",
    "cause",
    "reason",
    "attempts",
    "call",
    "calls",
    "answered_at",
    "ended_at",
    "duration_s",
    "user_data",
    "variables",
];

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Csv,
    JsonLines,
}

pub(super) async fn export(asked: &Asked<'_>) -> Result<Response, Fault> {
    let key = key(asked)?;
    find(asked, &key).await?;
    let parameters = query(asked.request, &["format"])?;
    let (format, content_type, ending) = match parameters.get("format").map(String::as_str) {
        None | Some("csv") => (Format::Csv, "text/csv; charset=utf-8", "csv"),
        Some("jsonl") => (Format::JsonLines, "application/x-ndjson", "jsonl"),
        Some(_) => return Err(invalid("format", "must be csv or jsonl")),
    };
    let name = format!("attachment; filename=\"campaign-{}.{ending}\"", key.id);
    let mut response = Response::new(body(asked.context.calls.clone(), key, format));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(name) = HeaderValue::try_from(name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

fn body(calls: Calls, key: CampaignKey, format: Format) -> Body {
    let pieces = futures_util::stream::unfold(Some(0_u64), move |after| {
        let (calls, key) = (calls.clone(), key.clone());
        async move {
            let after = after?;
            // A piece that cannot be read breaks the file off, so that nobody takes it for whole.
            match piece(&calls, &key, format, after).await {
                Ok((bytes, next)) => Some((Ok(bytes), next)),
                Err(error) => Some((Err(std::io::Error::other(error.public())), None)),
            }
        }
    });
    Body::from_stream(pieces)
}

async fn piece(
    calls: &Calls,
    key: &CampaignKey,
    format: Format,
    after: u64,
) -> Result<(Bytes, Option<u64>), StoreError> {
    let reader = calls.reader();
    let page = reader.campaign_rows(key, &RowFilter::default(), after, PIECE).await?;
    let last = page.items.last().map_or(after, |row| row.row);
    let made = by_row(reader.campaign_calls(key, after + 1, last).await?);
    let mut bytes = Vec::new();
    if format == Format::Csv && after == 0 {
        bytes.extend(line(COLUMNS.map(str::to_owned)));
    }
    for row in &page.items {
        let record = match row.call {
            Some(call) => reader.records(&key.account, call).await?.pop(),
            None => None,
        };
        match format {
            Format::Csv => bytes.extend(line(cells(row, &made, record.as_ref()))),
            Format::JsonLines => {
                let mut value = row_json(row, &made);
                value["answered_at"] = json!(answered(record.as_ref()));
                value["ended_at"] = json!(ended(record.as_ref()));
                value["duration_s"] = duration(record.as_ref()).map_or(Value::Null, |seconds| json!(seconds));
                bytes.extend(value.to_string().into_bytes());
                bytes.push(b'\n');
            }
        }
    }
    Ok((Bytes::from(bytes), page.next.map(|_| last)))
}

fn answered(record: Option<&Record>) -> Option<String> {
    record?.timeline.answered.map(timestamp)
}

fn ended(record: Option<&Record>) -> Option<String> {
    record?.timeline.ended.map(timestamp)
}

fn duration(record: Option<&Record>) -> Option<f64> {
    record?.timeline.answered?;
    Some(record?.talked.as_secs_f64())
}

fn cells(row: &Row, calls: &BTreeMap<u64, Vec<RowCall>>, record: Option<&Record>) -> [String; 15] {
    let calls = calls.get(&row.row).map(Vec::as_slice).unwrap_or_default();
    let cause = match json!(row.cause) {
        Value::String(word) => word,
        _ => String::new(),
    };
    [
        row.row.to_string(),
        row.line.to_string(),
        row.number.expose().clone(),
        row.own_id.clone().unwrap_or_default(),
        row.state.word().to_owned(),
        cause,
        row.reason.clone().unwrap_or_default(),
        row.attempts.to_string(),
        row.call.map(|call| call.to_string()).unwrap_or_default(),
        calls.iter().map(|call| call.call.to_string()).collect::<Vec<_>>().join(" "),
        answered(record).unwrap_or_default(),
        ended(record).unwrap_or_default(),
        duration(record).map(|seconds| format!("{seconds:.3}")).unwrap_or_default(),
        row.user_data.as_ref().map(|text| text.expose().clone()).unwrap_or_default(),
        json!(row.variables).to_string(),
    ]
}

/// One line of CSV (RFC 4180): a cell with a comma, a quote or a line end is quoted.
fn line(cells: [String; 15]) -> Vec<u8> {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    });
    format!("{}\r\n", quoted.join(",")).into_bytes()
}
