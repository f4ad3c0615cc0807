//! Operations on campaigns: make, change, fill, steer, watch, export. Times are RFC 3339 here and never further in.

mod callees;
mod document;
mod results;
mod settings;

pub(super) use document::{Action, about, query_of, schemas};

use super::decode::{Object, invalid, number, query};
use super::refusals::not_campaign;
use super::{Asked, json_response, no_content};
use crate::dialects::timestamp;
use crate::fault::Fault;
use crate::http::Response;
use callwright_domain::campaign::pacing::Guard;
use callwright_domain::campaign::{Campaign, CampaignState, Counters, Hold, Row, RowState, Step, Stopped};
use callwright_domain::{CampaignId, HangupCause, Moment, PhoneNumber};
use callwright_engine::CampaignFault;
use callwright_store::{Answers, CampaignKey, RowCall, RowFilter};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Campaigns or rows on a page unless asked otherwise, and at most.
const PAGE: (u32, u32) = (50, 500);

pub(super) async fn serve(action: Action, asked: &Asked<'_>) -> Result<Response, Fault> {
    match action {
        Action::Create => create(asked).await,
        Action::List => list(asked).await,
        Action::Show => show(asked).await,
        Action::Change => change(asked).await,
        Action::Delete => delete(asked).await,
        Action::Start => step(asked, Step::Start).await,
        Action::Pause => step(asked, Step::Pause).await,
        Action::Resume => step(asked, Step::Resume).await,
        Action::Stop => stop(asked).await,
        Action::AddCallees => callees::add(asked).await,
        Action::ListCallees => rows(asked).await,
        Action::Results => results::export(asked).await,
    }
}

async fn create(asked: &Asked<'_>) -> Result<Response, Fault> {
    let wanted = settings::decode(Object::of(asked.request)?)?;
    let now = asked.request.received;
    match asked.context.calls.campaigns().create(&asked.account, wanted, now).await {
        Ok(campaign) => Ok(json_response(StatusCode::CREATED, &shown(&campaign)?)),
        Err(fault) => not_campaign(asked.request, &fault),
    }
}

async fn change(asked: &Asked<'_>) -> Result<Response, Fault> {
    let key = key(asked)?;
    let mut body = Object::of(asked.request)?;
    // What a GET shows may be sent back; what is not a setting is ours.
    for ours in ["id", "state", "stopped", "paused_because", "held_by", "progress"] {
        body.take(ours);
    }
    for ours in ["created_at", "started_at", "finished_at"] {
        body.take(ours);
    }
    let wanted = settings::decode(body)?;
    let changed = asked.context.calls.campaigns().change(&key, wanted, asked.request.received).await;
    moved(asked, changed)
}

async fn list(asked: &Asked<'_>) -> Result<Response, Fault> {
    let parameters = query(asked.request, &["state", "limit", "cursor"])?;
    let text = |name: &str| parameters.get(name).map(String::as_str);
    let state = |word: &str| {
        CampaignState::of_word(word)
            .ok_or_else(|| invalid("state", &one_of(CampaignState::ALL.map(CampaignState::word))))
    };
    let state = text("state").map(state).transpose()?;
    let reader = asked.context.calls.reader();
    let page = reader.campaigns(&asked.account, state, text("cursor"), limit(text("limit"))?).await?;
    let campaigns: Result<Vec<Value>, Fault> = page.items.iter().map(shown).collect();
    Ok(json_response(StatusCode::OK, &json!({"campaigns": campaigns?, "next": page.next})))
}

async fn show(asked: &Asked<'_>) -> Result<Response, Fault> {
    let key = key(asked)?;
    let campaign = find(asked, &key).await?;
    let (reader, now) = (asked.context.calls.reader(), asked.request.received);
    let counters = reader.campaign_counters(&key).await?;
    let answers = reader.campaign_answers(&key, now).await?;
    let mut body = shown(&campaign)?;
    body["held_by"] = match campaign.state {
        CampaignState::Running => held(campaign.hold(now, Guard::of(answers.answered, answers.abandoned))),
        CampaignState::Draft | CampaignState::Paused | CampaignState::Stopped | CampaignState::Done => Value::Null,
    };
    body["progress"] = progress(&counters, answers);
    Ok(json_response(StatusCode::OK, &body))
}

async fn delete(asked: &Asked<'_>) -> Result<Response, Fault> {
    match asked.context.calls.campaigns().delete(&key(asked)?).await {
        Ok(()) => Ok(no_content()),
        Err(fault) => not_campaign(asked.request, &fault),
    }
}

async fn step(asked: &Asked<'_>, step: Step) -> Result<Response, Fault> {
    Object::of(asked.request)?.end()?;
    let moving = asked.context.calls.campaigns().step(&key(asked)?, step, asked.request.received).await;
    moved(asked, moving)
}

async fn stop(asked: &Asked<'_>) -> Result<Response, Fault> {
    let mut body = Object::of(asked.request)?;
    let hang_up: Option<bool> = body.typed("hang_up")?;
    body.end()?;
    let how = if hang_up == Some(true) { Stopped::AskedWithCalls } else { Stopped::Asked };
    let moving = asked.context.calls.campaigns().stop(&key(asked)?, how, asked.request.received).await;
    moved(asked, moving)
}

async fn rows(asked: &Asked<'_>) -> Result<Response, Fault> {
    let key = key(asked)?;
    find(asked, &key).await?;
    let parameters = query(asked.request, &["state", "cause", "to", "id", "limit", "cursor"])?;
    let text = |name: &str| parameters.get(name).map(String::as_str);
    let state = |word: &str| {
        RowState::of_word(word).ok_or_else(|| invalid("state", &one_of(RowState::ALL.map(RowState::word))))
    };
    let cause = |word: &str| {
        serde_json::from_value::<HangupCause>(json!(word))
            .map_err(|_| invalid("cause", "must be a cause of a call's end"))
    };
    let filter = RowFilter {
        state: text("state").map(state).transpose()?,
        cause: text("cause").map(cause).transpose()?,
        number: text("to").map(|text| number("to", text)).transpose()?.map(|number| number.dial().to_owned()),
        own_id: text("id").map(str::to_owned),
    };
    let after = text("cursor").map_or(Ok(0), |text| {
        text.parse::<u64>().map_err(|_| invalid("cursor", "must be the `next` of an earlier page"))
    })?;
    let reader = asked.context.calls.reader();
    let page = reader.campaign_rows(&key, &filter, after, limit(text("limit"))?).await?;
    let calls = calls_of(asked, &key, &page.items).await?;
    let rows: Vec<Value> = page.items.iter().map(|row| row_json(row, &calls)).collect();
    Ok(json_response(StatusCode::OK, &json!({"callees": rows, "next": page.next})))
}

/// The rows of one number in every campaign of the account, each with its campaign.
pub(super) async fn rows_of(asked: &Asked<'_>, number: &PhoneNumber) -> Result<Vec<Value>, Fault> {
    let (reader, mut found, mut after) = (asked.context.calls.reader(), Vec::new(), None::<String>);
    loop {
        let page = reader.campaigns(&asked.account, None, after.as_deref(), PAGE.1).await?;
        for campaign in &page.items {
            let key = CampaignKey { account: asked.account.clone(), id: campaign.id.clone() };
            for mut row in rows_in(asked, &key, number).await? {
                row["campaign"] = json!(campaign.id);
                found.push(row);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

async fn rows_in(asked: &Asked<'_>, key: &CampaignKey, number: &PhoneNumber) -> Result<Vec<Value>, Fault> {
    let filter = RowFilter { number: Some(number.dial().to_owned()), ..RowFilter::default() };
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = asked.context.calls.reader().campaign_rows(key, &filter, after, PAGE.1).await?;
        let calls = calls_of(asked, key, &page.items).await?;
        found.extend(page.items.iter().map(|row| row_json(row, &calls)));
        match page.next.and_then(|next| next.parse().ok()) {
            Some(next) => after = next,
            None => return Ok(found),
        }
    }
}

/// The calls of some rows, by row.
async fn calls_of(asked: &Asked<'_>, key: &CampaignKey, rows: &[Row]) -> Result<BTreeMap<u64, Vec<RowCall>>, Fault> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(BTreeMap::new()) };
    let found = asked.context.calls.reader().campaign_calls(key, first.row, last.row).await;
    Ok(by_row(found?))
}

fn by_row(calls: Vec<RowCall>) -> BTreeMap<u64, Vec<RowCall>> {
    let mut by_row: BTreeMap<u64, Vec<RowCall>> = BTreeMap::new();
    for call in calls {
        by_row.entry(call.row).or_default().push(call);
    }
    by_row
}

fn row_json(row: &Row, calls: &BTreeMap<u64, Vec<RowCall>>) -> Value {
    let calls = calls.get(&row.row).map(Vec::as_slice).unwrap_or_default();
    json!({
        "row": row.row,
        "line": row.line,
        "to": row.number,
        "id": row.own_id,
        "variables": row.variables,
        "user_data": row.user_data,
        "max_duration_s": row.max_duration_s,
        "state": row.state,
        "cause": row.cause,
        "reason": row.reason,
        "attempts": row.attempts,
        "due_at": row.due.map(timestamp),
        "calls": calls.iter().map(|call| json!({"attempt": call.attempt, "call": call.call})).collect::<Vec<_>>(),
        "updated_at": timestamp(row.updated),
    })
}

/// The campaign of the path, of this account; any other is not told apart from none.
async fn find(asked: &Asked<'_>, key: &CampaignKey) -> Result<Campaign, Fault> {
    let found = asked.context.calls.reader().campaign(key).await?;
    found.ok_or(Fault::NotFound { what: "campaign" })
}

fn key(asked: &Asked<'_>) -> Result<CampaignKey, Fault> {
    let id = CampaignId::new(asked.part()).map_err(|_| Fault::NotFound { what: "campaign" })?;
    Ok(CampaignKey { account: asked.account.clone(), id })
}

fn moved(asked: &Asked<'_>, outcome: Result<Campaign, CampaignFault>) -> Result<Response, Fault> {
    match outcome {
        Ok(campaign) => Ok(json_response(StatusCode::OK, &shown(&campaign)?)),
        Err(fault) => not_campaign(asked.request, &fault),
    }
}

fn shown(campaign: &Campaign) -> Result<Value, Fault> {
    let mut body = settings::shown(&campaign.settings)?;
    let at = |moment: Option<Moment>| json!(moment.map(timestamp));
    body["id"] = json!(campaign.id);
    body["state"] = json!(campaign.state);
    body["stopped"] = json!(campaign.stopped);
    body["paused_because"] = json!(campaign.trouble);
    body["created_at"] = json!(timestamp(campaign.created));
    body["started_at"] = at(campaign.started);
    body["finished_at"] = at(campaign.finished);
    Ok(body)
}

fn held(hold: Option<Hold>) -> Value {
    match hold {
        None => Value::Null,
        Some(Hold::NotYet(until)) => json!({"reason": "not_started", "until": timestamp(until)}),
        Some(Hold::Closed(until)) => json!({"reason": "outside_windows", "until": until.map(timestamp)}),
        Some(Hold::Abandonment) => json!({"reason": "abandonment", "until": null}),
    }
}

fn progress(counters: &Counters, answers: Answers) -> Value {
    let rows: BTreeMap<&str, u64> = RowState::ALL.into_iter().map(|state| (state.word(), counters.of(state))).collect();
    json!({
        "total": counters.total(),
        "finished": counters.finished(),
        "rows": rows,
        "causes": counters.causes,
        "last_30_days": {"answered": answers.answered, "abandoned": answers.abandoned},
    })
}

fn limit(text: Option<&str>) -> Result<u32, Fault> {
    let Some(text) = text else { return Ok(PAGE.0) };
    let limit = text.parse().ok().filter(|limit| (1..=PAGE.1).contains(limit));
    limit.ok_or_else(|| invalid("limit", &format!("must be a number from 1 to {}", PAGE.1)))
}

fn one_of<const N: usize>(words: [&str; N]) -> String {
    format!("must be one of {}", words.join(", "))
}
