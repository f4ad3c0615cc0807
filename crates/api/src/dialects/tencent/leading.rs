//! Whom the functions of an agent lead to: skill groups, which are desks, and other agents. They are looked up when the agent
//! is described or stored, so that nobody finds out in a call that a function leads nowhere. Never hands anybody over.

use super::ids;
use super::words::VendorError;
use crate::http::Context;
use callwright_domain::agent::{AgentProfile, Tool};
use callwright_domain::{AccountId, AgentId, DeskName, TransferTarget};
use std::collections::BTreeMap;

/// Gives the functions of an agent those whom their numbers mean. `id`: the agent's own, when it is stored; its rules may name
/// desks, too.
///
/// # Errors
/// The first function that leads nowhere, by its name on the wire.
pub(super) async fn settle(
    context: &Context,
    (account, id): (&AccountId, Option<&AgentId>),
    profile: &mut AgentProfile,
) -> Result<(), VendorError> {
    know_groups(context, (account, id), profile).await?;
    let mut at = 0;
    for tool in &mut profile.tools {
        let Tool::ChangeAgent { agent, .. } = tool else { continue };
        let number = agent.as_str().parse().unwrap_or_default();
        let name = format!("TransferToAgentItems.{at}.TransferToAgentId");
        let found = ids::agent_of(context, account, number).await?;
        let stored = match &found {
            Some(id) => context.calls.reader().agent(account, id).await?,
            None => None,
        };
        *agent = stored.ok_or_else(|| VendorError::bad_value(&name, "no agent of this number exists"))?.id;
        at += 1;
    }
    Ok(())
}

/// Checks that somebody sits at the desk of every skill group that the agent may hand callees over to.
async fn know_groups(
    context: &Context,
    (account, id): (&AccountId, Option<&AgentId>),
    profile: &AgentProfile,
) -> Result<(), VendorError> {
    let groups: Vec<_> = profile.tools.iter().filter_map(desk).collect();
    if groups.is_empty() {
        return Ok(());
    }
    let mut desks = desks_of(context, account, None).await?;
    if id.is_some() {
        desks.append(&mut desks_of(context, account, id).await?);
    }
    match groups.iter().position(|group| !desks.contains_key(group)) {
        None => Ok(()),
        Some(at) => {
            let name = format!("TransferItems.{at}.TransferSkillGroupId");
            Err(VendorError::bad_value(&name, "no desk of this number is in the rules"))
        }
    }
}

fn desk(tool: &Tool) -> Option<DeskName> {
    match tool {
        Tool::Transfer { to, .. } => match TransferTarget::parse(to) {
            Ok(TransferTarget::Desk(desk)) => Some(desk),
            Ok(TransferTarget::Number(_) | TransferTarget::Address(_)) | Err(_) => None,
        },
        Tool::EndCall { .. } | Tool::DoNotCall { .. } | Tool::ChangeAgent { .. } | Tool::SendKeys { .. } => None,
    }
}

/// The desks that the rules of the account, or of one of its agents, name.
pub(super) async fn desks_of(
    context: &Context,
    account: &AccountId,
    agent: Option<&AgentId>,
) -> Result<BTreeMap<DeskName, TransferTarget>, VendorError> {
    let rules = context.calls.reader().rules(account, agent).await?;
    Ok(rules.and_then(|rules| rules.desks).unwrap_or_default())
}
