//! Lists of what calls are made from: agents and caller numbers.

use super::words::VendorError;
use super::{Asked, ids, numbers};
use crate::dialects::every_agent;
use callwright_domain::agent::{AgentProfile, Greeting};
use callwright_store::NumberStatus;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Largest page of agents.
const MAX_AGENTS: u32 = 100;
/// Numbers on a page unless asked otherwise, and at most.
const NUMBERS: (u32, u32) = (20, 100);
/// Highest number of a page.
const MAX_PAGE: u32 = 1_000_000;

/// DescribeAIAgentInfoList.
pub(super) async fn agents(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["PageSize", "PageNumber"]]).await?;
    let fields = &asked.fields;
    let size = fields.needed("PageSize", fields.count("PageSize", 1..=MAX_AGENTS)?)?;
    let page = fields.needed("PageNumber", fields.count("PageNumber", 0..=MAX_PAGE)?)?;
    let all = every_agent(asked.context, &asked.key.account).await?;
    let mut numbered = Vec::with_capacity(all.len());
    for agent in &all {
        numbered.push((ids::number_of(asked.context, &asked.key.account, &agent.id).await?, agent));
    }
    numbered.sort_unstable_by_key(|(number, _)| *number);
    let shown = paged(&numbered, page, size).iter().map(|(number, agent)| {
        let name = if agent.profile.name.is_empty() { agent.id.as_str() } else { &agent.profile.name };
        json!({"AIAgentId": number, "AIAgentName": name, "VariableNames": variables(&agent.profile)})
    });
    Ok(json!({"AIAgentInfoList": shown.collect::<Vec<_>>(), "TotalCount": all.len()}))
}

/// Names between `{{` and `}}` in the agent's texts.
fn variables(agent: &AgentProfile) -> BTreeSet<String> {
    let greeting = match &agent.opening.greeting {
        Greeting::None => "",
        Greeting::Text(text) | Greeting::Model(text) => text,
    };
    let mut names = BTreeSet::new();
    for text in [agent.brain.system_prompt.as_str(), greeting] {
        for piece in text.split("{{").skip(1) {
            let name = piece.split(['}', '|']).next().unwrap_or_default().trim();
            if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            {
                names.insert(super::agent::variable_shown(name));
            }
        }
    }
    names
}

/// DescribeNumbers.
pub(super) async fn numbers(asked: &Asked<'_>) -> Result<Value, VendorError> {
    asked.application(&[&["PageSize", "PageNumber"]]).await?;
    let size = asked.fields.count("PageSize", 1..=NUMBERS.1)?.unwrap_or(NUMBERS.0);
    let page = asked.fields.count("PageNumber", 0..=MAX_PAGE)?.unwrap_or(0);
    let all = asked.context.calls.reader().numbers(&asked.key.account).await?;
    let shown = paged(&all, page, size).iter().map(|number| {
        let state = match number.status {
            NumberStatus::Active => 1,
            NumberStatus::Disabled => 2,
        };
        json!({"Number": numbers::shown(&number.number), "CallOutSkillGroupIds": [], "State": state, "CostType": 1})
    });
    Ok(json!({"TotalCount": all.len(), "Numbers": shown.collect::<Vec<_>>()}))
}

/// A page of a list that is there as a whole.
pub(super) fn paged<T>(all: &[T], page: u32, size: u32) -> &[T] {
    let begin = (page as usize).saturating_mul(size as usize).min(all.len());
    &all[begin..all.len().min(begin + size as usize)]
}
