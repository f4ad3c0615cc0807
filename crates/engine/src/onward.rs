//! May a callee be handed over to somebody? Gathers what is known of them and asks the rules, for whoever wants it: an
//! order from outside and the agent's own tool come to the same verdict. Never calls anybody.

use crate::calls::OrderError;
use crate::node::Node;
use callwright_domain::policy::{CalleeStanding, Rules, judge_transfer};
use callwright_domain::{AccountId, AgentId, CallPlan, PhoneNumber, TransferTarget};
use callwright_store::{Listed, StoreError};

/// The target as it is called, if the callee of this call may be handed over to it now.
///
/// # Errors
/// [`OrderError::Refused`] by the rules; [`OrderError::NoDesk`] when they do not name its desk; [`OrderError::NoTelephone`] for a call that is met in a browser.
pub(crate) async fn judged(node: &Node, plan: &CallPlan, to: &TransferTarget) -> Result<TransferTarget, OrderError> {
    let caller = plan.caller().ok_or(OrderError::NoTelephone)?;
    let rules = node.reader.basis(&plan.account, &plan.agent_id, std::slice::from_ref(caller)).await?.rules;
    let to = match to {
        TransferTarget::Desk(name) => rules.desks.get(name).ok_or(OrderError::NoDesk)?,
        TransferTarget::Number(_) | TransferTarget::Address(_) => to,
    };
    let to = to.at_home(rules.home.or_else(|| caller.country()));
    let standing = match to.number() {
        Some(number) => standing(node, (&plan.account, &plan.agent_id), &at_home(&number, &rules, caller)).await?,
        None => CalleeStanding::Free,
    };
    judge_transfer(&rules, caller, &to, standing).map_err(OrderError::Refused)?;
    Ok(to)
}

fn at_home(number: &PhoneNumber, rules: &Rules, caller: &PhoneNumber) -> PhoneNumber {
    number.at_home(rules.home.or_else(|| caller.country()))
}

async fn standing(
    node: &Node,
    (account, agent): (&AccountId, &AgentId),
    number: &PhoneNumber,
) -> Result<CalleeStanding, StoreError> {
    if !node.reader.basis(account, agent, std::slice::from_ref(number)).await?.numbers.is_empty() {
        return Ok(CalleeStanding::Ours);
    }
    if node.reader.denial(&Listed::Of(account.clone()), number).await?.is_some() {
        return Ok(CalleeStanding::Denied);
    }
    Ok(match node.reader.denial(&Listed::Everywhere, number).await? {
        Some(_) => CalleeStanding::DeniedEverywhere,
        None => CalleeStanding::Free,
    })
}
