//! Changes of a call that is being dialled or talks: written down first, then told to the call.

use crate::calls::{AgentFlaw, Calls, OrderError};
use crate::live::Order;
use callwright_conversation::{Conversation, TemplateError};
use callwright_domain::{AccountId, AgentPatch, CallId, CallState};
use callwright_store::{Amendment, StoreError};

/// Why a call was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The call cannot be changed where it stands, or not be reached.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The agent's texts would need a variable that the call does not have, or would not be valid templates.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The agent would want what this server does not have.
    #[error(transparent)]
    Unserved(#[from] AgentFlaw),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Order(error.into())
    }
}

impl Calls {
    /// Changes a call that is being dialled or talks. Its agent is as changed from then on: before the answer in
    /// everything, after it in all that is still to come (the greeting has been said, the line has been opened).
    ///
    /// # Errors
    /// [`ChangeError`]; [`OrderError::NotAnswered`] while the call is queued.
    pub async fn change(&self, account: &AccountId, call: CallId, change: Amendment) -> Result<(), ChangeError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        match view.state {
            CallState::Ended(cause) => return Err(OrderError::Ended(cause).into()),
            CallState::Queued => return Err(OrderError::NotAnswered.into()),
            CallState::Dialing | CallState::Ringing | CallState::Talking | CallState::Transferring => {}
        }
        let patch = change.patch.clone();
        let mut agent = view.plan.agent;
        patch.clone().apply(&mut agent);
        Conversation::check(&agent, &view.plan.variables)?;
        self.fits(&agent)?;
        let changes = patch != AgentPatch::default();
        if changes {
            // Asked before anything is written: one that says its last words is not changed any more.
            self.order(account, call, Order::Change(Box::default())).await?;
        }
        if self.node.store.amend(account.clone(), call, change).await?.is_none() {
            let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
            return match view.state {
                CallState::Ended(cause) => Err(OrderError::Ended(cause).into()),
                _ => Err(OrderError::UnknownCall.into()),
            };
        }
        if changes {
            self.order(account, call, Order::Change(Box::new(patch))).await?;
        }
        Ok(())
    }
}
