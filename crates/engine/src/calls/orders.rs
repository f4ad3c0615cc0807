//! Orders to calls, wherever they run: judged by where the call stands, carried out here or sent to the node that runs it.

use super::Calls;
use crate::limits;
use crate::live::Order;
use crate::onward;
use crate::peers::{self, PeerMessage, PeerOrder};
use crate::registry::{Mute, Sent};
use callwright_conversation::{Question, Saying, Unheard};
use callwright_domain::agent::Switch;
use callwright_domain::campaign::MAX_ATTEMPTS;
use callwright_domain::{AccountId, CallId, CallState, HangupCause, Refusal, Transfer};
use callwright_store::StoreError;
use std::time::Duration;
use tokio::time::timeout;

/// Why an order to a call was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The account has no such call.
    #[error("no call with this id exists")]
    UnknownCall,
    /// It is over.
    #[error("the call has ended")]
    Ended(HangupCause),
    /// Its end was ordered: what is being said is its last.
    #[error("the call is saying its last words")]
    LastWords,
    /// It is not answered yet.
    #[error("the call is not answered yet")]
    NotAnswered,
    /// Another node runs it and cannot be reached.
    #[error("the node that runs the call cannot be reached")]
    Elsewhere,
    /// It is met in a browser: there is no telephone line whose other end could be handed over.
    #[error("the call is met in a browser: there is no telephone line to hand over")]
    NoTelephone,
    /// Its callee is being handed over already, or talks with somebody else.
    #[error("the callee is being handed over already")]
    Transferring,
    /// The rules name nobody for this desk.
    #[error("no desk of this name is configured")]
    NoDesk,
    /// The rules do not let anybody be called there.
    #[error(transparent)]
    Refused(Refusal),
    /// Too many orders wait already.
    #[error("the call has too many orders waiting")]
    Busy,
    /// It is to be said, and too much waits to be said already.
    #[error("too much waits to be said in the call already")]
    NoRoom,
    /// The journal could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unheard> for OrderError {
    fn from(why: Unheard) -> Self {
        match why {
            Unheard::Nobody => Self::NotAnswered,
            Unheard::LastWords => Self::LastWords,
            Unheard::HandedOver => Self::Transferring,
            Unheard::Full => Self::NoRoom,
        }
    }
}

impl From<Mute> for OrderError {
    fn from(why: Mute) -> Self {
        match why {
            Mute::Leaving => Self::LastWords,
            Mute::Replaced => Self::Transferring,
        }
    }
}

/// How a call is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// At once.
    Now,
    /// After the sentence that is being spoken, at most ten seconds.
    AfterSentence,
}

/// Whether a spoken order interrupts, and may be talked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// At once; the callee may interrupt it.
    Interruptible,
    /// At once, and to its end.
    Insistent,
    /// When the agent has said what it is saying; the callee may interrupt it.
    Patient,
}

impl Calls {
    /// Ends a call. A call that is still queued ends without being dialled; one that is over and is to be tried again is
    /// not tried again.
    ///
    /// # Errors
    /// [`OrderError::UnknownCall`] for a call of another account, too; [`OrderError::Ended`] when it is over already.
    pub async fn hang_up(&self, account: &AccountId, call: CallId, how: HangUp) -> Result<(), OrderError> {
        let ordered = async {
            let mut newest = call;
            for _ in 0..MAX_ATTEMPTS {
                let view = self.reader.call(account, newest).await?.ok_or(OrderError::UnknownCall)?;
                match view.next {
                    Some(next) => newest = next,
                    None => break,
                }
            }
            self.order(account, newest, Order::HangUp(how)).await
        };
        match ordered.await {
            Err(OrderError::Store(StoreError::Away { detail })) => match self.hang_up_here(account, call, how) {
                Err(OrderError::UnknownCall) => Err(StoreError::Away { detail }.into()),
                outcome => outcome,
            },
            outcome => outcome,
        }
    }

    /// Ends a call that this node runs, and asks nobody: the database may be away.
    ///
    /// # Errors
    /// [`OrderError::UnknownCall`] for one that is not live here, and for one of another account.
    pub fn hang_up_here(&self, account: &AccountId, call: CallId, how: HangUp) -> Result<(), OrderError> {
        match self.node.registry.send_of(account, call, Order::HangUp(how)) {
            Sent::Yes(_) => Ok(()),
            Sent::Full => Err(OrderError::Busy),
            Sent::Mute(why) => Err(why.into()),
            Sent::NotLive(_) => Err(OrderError::UnknownCall),
        }
    }

    /// Speaks a text into the call, past the model.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn say(&self, account: &AccountId, call: CallId, text: String, order: Speech) -> Result<(), OrderError> {
        let saying = match order {
            Speech::Interruptible => Saying::now(text, Switch::On),
            Speech::Insistent => Saying::now(text, Switch::Off),
            Speech::Patient => Saying::next(text),
        };
        self.speak(account, call, saying).await
    }

    /// Whether the call is one in which something could be said now: for whoever has to fetch first what that is.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn may_speak(&self, account: &AccountId, call: CallId) -> Result<(), OrderError> {
        self.check_order(account, call, &Order::Say(Saying::next(String::new()))).await
    }

    /// Speaks or plays something into the call, past the model.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn speak(&self, account: &AccountId, call: CallId, saying: Saying) -> Result<(), OrderError> {
        self.order(account, call, Order::Say(saying)).await
    }

    /// Gives the model a text as if the callee had said it.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn hear(&self, account: &AccountId, call: CallId, text: String) -> Result<(), OrderError> {
        self.ask(account, call, text.into()).await
    }

    /// The same in a way of its own.
    ///
    /// # Errors
    /// [`OrderError`].
    pub async fn ask(&self, account: &AccountId, call: CallId, question: Question) -> Result<(), OrderError> {
        self.order(account, call, Order::Hear(question)).await
    }

    /// Hands the callee over to somebody through the call's own trunk, once the agent has said what it is saying. The call
    /// ends when that has worked; otherwise the agent goes on. The journal tells which.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::Refused`] when the rules do not let anybody be called there.
    pub async fn transfer(&self, account: &AccountId, call: CallId, transfer: Transfer) -> Result<(), OrderError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        if view.plan.telephone().is_none() {
            return Err(OrderError::NoTelephone);
        }
        let order = Order::Transfer(transfer.clone());
        self.check_order(account, call, &order).await?;
        // Asked again when it comes to it: the rules may have changed by then. Here, whoever orders it hears of it.
        onward::judged(&self.node, &view.plan, &transfer.to).await?;
        self.order(account, call, order).await
    }

    /// Carries out another node's order for a call that should be live here. Never sends it on.
    ///
    /// # Errors
    /// [`OrderError`]; [`OrderError::NotAnswered`] when it is not live here (any more), and whoever asks looks again.
    pub async fn obey(&self, message: PeerMessage) -> Result<(), OrderError> {
        let order = message.order.into_order();
        self.check_order(&message.account, message.call, &order).await?;
        match self.hand_over((&message.account, message.call), order, limits::PEER_WORD).await {
            Ok(outcome) => outcome,
            Err(Order::HangUp(_)) => {
                self.node.end(&message.account, message.call, HangupCause::Cancelled).await?;
                self.node.waiting.forget(message.call);
                Ok(())
            }
            Err(_) => Err(OrderError::NotAnswered),
        }
    }

    /// Hands an order to a call that is live here, and waits for its word where the call judges the order. One that is not
    /// live here gives the order back.
    async fn hand_over(
        &self,
        (account, call): (&AccountId, CallId),
        order: Order,
        patience: Duration,
    ) -> Result<Result<(), OrderError>, Order> {
        let judged = order.is_judged();
        Ok(match self.node.registry.send(call, order) {
            Sent::Yes(word) if judged => match timeout(patience, word).await {
                Ok(word) => self.word_of((account, call), word.ok()).await,
                Err(_) => Err(OrderError::Busy),
            },
            Sent::Yes(_) => Ok(()),
            Sent::Full => Err(OrderError::Busy),
            Sent::Mute(why) => Err(why.into()),
            Sent::NotLive(order) => return Err(order),
        })
    }

    /// What a call says to an order that it had; none: it ended, or has not begun to talk.
    async fn word_of(
        &self,
        (account, call): (&AccountId, CallId),
        word: Option<Result<(), Unheard>>,
    ) -> Result<(), OrderError> {
        if let Some(verdict) = word {
            return Ok(verdict?);
        }
        match self.node.reader.call(account, call).await?.map(|view| view.state) {
            Some(CallState::Ended(cause)) => Err(OrderError::Ended(cause)),
            Some(_) => Err(OrderError::NotAnswered),
            None => Err(OrderError::UnknownCall),
        }
    }

    /// Whether the call can carry the order out where it stands. One that speaks is for an answered call alone: before the
    /// answer nobody would hear of it.
    async fn check_order(&self, account: &AccountId, call: CallId, order: &Order) -> Result<(), OrderError> {
        let view = self.node.reader.call(account, call).await?.ok_or(OrderError::UnknownCall)?;
        match (view.state, order) {
            (CallState::Ended(cause), _) => Err(OrderError::Ended(cause)),
            (CallState::Transferring, Order::Transfer(_) | Order::Hear(_) | Order::Await { .. }) => {
                Err(OrderError::Transferring)
            }
            (CallState::Talking | CallState::Transferring, _) => Ok(()),
            (CallState::Queued, Order::Leave { .. })
            | (
                _,
                Order::Say(_)
                | Order::Hear(_)
                | Order::Message { .. }
                | Order::Transfer(_)
                | Order::Await { .. }
                | Order::TakeOver(_)
                | Order::Return(_),
            ) => Err(OrderError::NotAnswered),
            (_, Order::HangUp(_) | Order::Leave { .. } | Order::Change(_) | Order::Shutdown) => Ok(()),
        }
    }

    pub(crate) async fn order(&self, account: &AccountId, call: CallId, order: Order) -> Result<(), OrderError> {
        self.check_order(account, call, &order).await?;
        match self.hand_over((account, call), order, limits::CALL_WORD).await {
            Ok(outcome) => outcome,
            Err(order) => {
                let order = PeerOrder::of(&order).ok_or(OrderError::NotAnswered)?;
                peers::order(&self.node, PeerMessage { account: account.clone(), call, order }).await?;
                self.node.waiting.forget(call);
                Ok(())
            }
        }
    }
}
