//! One account that is kept registered, as the engine holds it. Hides refreshes, retries and back-off, which are the user
//! agent's. Dropping it unregisters.

use super::handle::{Order, SipGone};
use callwright_sip::{HangupCause, RegistrationKey};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Where a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationState {
    /// The first REGISTER is not answered yet.
    Trying,
    /// Registered.
    Registered {
        /// For how long; it is refreshed before.
        expires: Duration,
    },
    /// Not registered; it is tried again by itself.
    Failed {
        /// Why.
        cause: HangupCause,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// Unregistered and forgotten.
    Over,
}

/// An account that is kept registered until this is dropped or [`SipRegistration::unregister`] is called.
#[derive(Debug)]
pub struct SipRegistration {
    key: RegistrationKey,
    state: watch::Receiver<RegistrationState>,
    orders: mpsc::Sender<Order>,
}

impl Drop for SipRegistration {
    fn drop(&mut self) {
        // With a full queue the endpoint finds the closed channel at its next round.
        drop(self.orders.try_send(Order::Unregister(self.key)));
    }
}

impl SipRegistration {
    pub(super) fn new(
        key: RegistrationKey,
        state: watch::Receiver<RegistrationState>,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        Self { key, state, orders }
    }

    /// Where it stands now.
    pub fn state(&self) -> RegistrationState {
        *self.state.borrow()
    }

    /// Waits for news: the next state after the one that was seen last. Safe to drop midway.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn changed(&mut self) -> Result<RegistrationState, SipGone> {
        self.state.changed().await.map_err(|_| SipGone)?;
        Ok(*self.state.borrow_and_update())
    }

    /// Takes the registration back and waits for the registrar's answer, whatever it is.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn unregister(mut self) -> Result<(), SipGone> {
        self.orders.send(Order::Unregister(self.key)).await.map_err(|_| SipGone)?;
        // The endpoint forgets the account together with its last word; either says that it is over.
        self.state.wait_for(|state| *state == RegistrationState::Over).await.map(|_| ()).map_err(|_| SipGone)
    }
}
