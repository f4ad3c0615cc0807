//! A request that is answered only when its call has a place, or when its patience ends. The call stands in the store's
//! line like any other that waits, on disk and in the order of arrival: the request looks on, and is woken when its call
//! is seated. Never gives places.

use crate::calls::{Calls, Repeat, StartCall, StartError, Started};
use crate::limits::PLACE_LOOK;
use callwright_domain::{AccountId, CallId, CallState, HangupCause, Moment, Refusal};
use callwright_store::Patience;
use tokio::time::timeout;

impl Calls {
    /// Makes a call and returns when it has its place. When its agent's or its account's places are taken, it waits in line
    /// for as long as the request says; when every caller number is busy, it does not. Whoever stops listening leaves the
    /// call where it is: it is dialled when its turn comes in time.
    ///
    /// # Errors
    /// [`StartError`]. After [`StartError::Refused`] by a busy rule, the call may exist: it has ended for want of a place
    /// and is not dialled.
    pub async fn start_in_line(&self, request: StartCall, now: Moment) -> Result<Started, StartError> {
        let account = request.account.clone();
        let started = self.accept(request, None, Patience::NoCaller, now).await?;
        // An earlier request's call may wait by now, or have waited in vain.
        if started.waits.is_some() || started.repeat == Repeat::Replayed {
            self.placed(&account, started.id).await?;
        }
        Ok(Started { waits: None, ..started })
    }

    async fn placed(&self, account: &AccountId, call: CallId) -> Result<(), StartError> {
        let mut rule = Refusal::AccountBusy;
        loop {
            // Before the look, or what happens between the two would be missed.
            let settled = self.node.waiting.watch(call);
            let Some(view) = self.node.reader.call(account, call).await? else { return Ok(()) };
            let Some(waits) = view.waits else {
                return match view.state {
                    CallState::Ended(HangupCause::NoPlace) => Err(rule.into()),
                    _ => Ok(()),
                };
            };
            rule = waits.rule;
            let Some(until) = waits.until else { return Ok(()) };
            let now = self.node.clock.now();
            let left = until.since(now);
            if left.is_zero() {
                let seat = self.node.store.give_up(account.clone(), call, now).await?;
                self.node.seated(seat);
                continue;
            }
            // Another node that seats it says nothing here.
            let nap = if self.node.store.is_shared() { left.min(PLACE_LOOK) } else { left };
            // Woken or not: the store says what has become of it.
            timeout(nap, settled).await.ok();
        }
    }
}
