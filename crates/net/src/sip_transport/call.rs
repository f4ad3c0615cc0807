//! One call's signalling as the engine holds it. Hides the typed handles of the user agent, which stay with the endpoint.
//! Dropping it ends the call, whatever state it is in.

use super::handle::{CallOrder, Order, SipGone};
use callwright_sip::{
    Body, CallKey, DialogSnapshot, Ending, Failure, OfferKey, Progress, Reason, SipUri, normal_clearing,
};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What happened to a call.
#[derive(Debug)]
pub enum CallEvent {
    /// Our call makes progress.
    Progress(Progress),
    /// Our call is answered.
    Answered {
        /// The session description of the answer, if there is one.
        body: Option<Body>,
    },
    /// The peer acknowledged the call we accepted.
    Established {
        /// The peer's answer, if our 2xx held the offer.
        body: Option<Body>,
    },
    /// The attempt ended without an answered call. The last event.
    Failed(Failure),
    /// The answered call ended, whoever ended it. The last event.
    Ended(Ending),
    /// The peer wants to change the session: [`SipCall::accept_offer`] or [`SipCall::reject_offer`].
    Offer {
        /// To answer it.
        offer: OfferKey,
        /// The offer; `None`: the peer wants ours.
        body: Option<Body>,
    },
    /// An offer not answered yet is withdrawn.
    OfferWithdrawn {
        /// Which.
        offer: OfferKey,
    },
    /// The ACK brought the answer to the offer we made in answer to an offerless re-INVITE.
    AnswerInAck {
        /// The answer.
        body: Option<Body>,
    },
    /// Our re-INVITE succeeded.
    OfferAnswered {
        /// The answer.
        body: Option<Body>,
    },
    /// Our re-INVITE failed; the session goes on as it was.
    OfferRefused {
        /// The final status; 408 when nobody answered.
        status: u16,
    },
    /// The peer pressed a key, told by INFO.
    Dtmf {
        /// `0`-`9`, `*`, `#`, `A`-`D` or `!`.
        digit: char,
        /// For how long.
        duration: Duration,
    },
    /// Our INFO was answered.
    DtmfSent {
        /// The final status; 408 when nobody answered.
        status: u16,
    },
    /// The peer asked us to dial somebody and was refused.
    ReferRefused,
    /// The peer's answer to [`SipCall::refer`].
    ReferAnswered {
        /// The final status; 408 when nobody answered.
        status: u16,
    },
    /// How the transfer gets on.
    ReferProgress {
        /// The status that the peer got; 100 when it does not say.
        status: u16,
        /// Whether nothing follows.
        last: bool,
    },
}

impl CallEvent {
    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Ended(_))
    }

    /// Whether the call goes on well without the engine hearing of it.
    pub(super) fn is_chatter(&self) -> bool {
        matches!(self, Self::Progress(_) | Self::Dtmf { .. } | Self::DtmfSent { .. } | Self::ReferRefused)
    }
}

/// An answer that is still to be acknowledged.
#[derive(Debug)]
pub struct Acknowledgement {
    key: CallKey,
    orders: mpsc::Sender<Order>,
}

impl Acknowledgement {
    /// Acknowledges it. A call that is over by now needs none.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn send(self) -> Result<(), SipGone> {
        self.orders.send(Order::Call(self.key, CallOrder::Acknowledge)).await.map_err(|_| SipGone)
    }
}

/// Tells when the far end of a call knows of its end. Outlives the call.
#[derive(Debug, Clone)]
pub struct Farewell {
    key: CallKey,
    orders: mpsc::Sender<Order>,
}

impl Farewell {
    /// Waits until the call has ended and its BYE, if it needed one, was answered or repeated for as long as SIP has it.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn said(self) -> Result<(), SipGone> {
        ask(&self.orders, self.key, CallOrder::Farewell).await
    }

    /// What a later run of the program needs to say the goodbye again, once one was said and while it is not answered; `None`:
    /// the call has ended without, or all is said.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn dialog(self) -> Result<Option<DialogSnapshot>, SipGone> {
        ask(&self.orders, self.key, CallOrder::Parting).await
    }
}

async fn ask<T>(
    orders: &mpsc::Sender<Order>,
    key: CallKey,
    order: impl FnOnce(oneshot::Sender<T>) -> CallOrder,
) -> Result<T, SipGone> {
    let (answer, answered) = oneshot::channel();
    orders.send(Order::Call(key, order(answer))).await.map_err(|_| SipGone)?;
    answered.await.map_err(|_| SipGone)
}

/// The signalling of one call. When dropped before its last event the call is withdrawn, refused or ended, as it may be.
#[derive(Debug)]
pub struct SipCall {
    key: CallKey,
    events: mpsc::Receiver<CallEvent>,
    orders: mpsc::Sender<Order>,
}

impl Drop for SipCall {
    fn drop(&mut self) {
        // With a full queue the endpoint finds the closed channel at its next round.
        drop(self.orders.try_send(Order::Call(self.key, CallOrder::Abandon)));
    }
}

impl SipCall {
    pub(super) fn new(key: CallKey, events: mpsc::Receiver<CallEvent>, orders: mpsc::Sender<Order>) -> Self {
        Self { key, events, orders }
    }

    /// Names the call in log lines.
    pub fn key(&self) -> CallKey {
        self.key
    }

    /// The next event; `None` after the last, or when the call was ended because its events were not taken.
    /// Safe to drop midway.
    pub async fn next(&mut self) -> Option<CallEvent> {
        self.events.recv().await
    }

    /// Ends the call in whatever state it is: CANCEL, BYE or a refusal. [`CallEvent::Failed`] or [`CallEvent::Ended`]
    /// follows. Harmless when repeated.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn hang_up(&self, reason: Option<Reason>) -> Result<(), SipGone> {
        self.order(CallOrder::HangUp(reason)).await
    }

    /// [`SipCall::hang_up`] with the `Reason` of an ordinary goodbye.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn say_goodbye(&self) -> Result<(), SipGone> {
        self.hang_up(Some(normal_clearing())).await
    }

    /// Tells the caller that it rings (180), or what goes on (181 to 199).
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn ring(&self, status: u16, body: Option<Body>) -> Result<(), SipGone> {
        self.order(CallOrder::Ring(status, body)).await
    }

    /// Answers a call from a peer; [`CallEvent::Established`] follows.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn accept(&self, body: Body) -> Result<(), SipGone> {
        self.order(CallOrder::Accept(body)).await
    }

    /// Acknowledges the answer of a call of ours later, from elsewhere; for an INVITE that says [`AckTiming::WhenTold`].
    ///
    /// [`AckTiming::WhenTold`]: callwright_sip::AckTiming::WhenTold
    pub fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement { key: self.key, orders: self.orders.clone() }
    }

    /// Tells when the far end knows of the call's end; of use once the call was ended or dropped.
    pub fn farewell(&self) -> Farewell {
        Farewell { key: self.key, orders: self.orders.clone() }
    }

    /// Refuses a call from a peer with a status of 300 to 699.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn reject(&self, status: u16) -> Result<(), SipGone> {
        self.order(CallOrder::Reject(status)).await
    }

    /// Offers another session. False: another change is still going on, or the call is not up.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn reinvite(&self, offer: Body) -> Result<bool, SipGone> {
        self.ask(|answer| CallOrder::Reinvite(offer, answer)).await
    }

    /// Answers [`CallEvent::Offer`].
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn accept_offer(&self, offer: OfferKey, body: Body) -> Result<(), SipGone> {
        self.order(CallOrder::AcceptOffer(offer, body)).await
    }

    /// Refuses [`CallEvent::Offer`], usually with 488.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn reject_offer(&self, offer: OfferKey, status: u16) -> Result<(), SipGone> {
        self.order(CallOrder::RejectOffer(offer, status)).await
    }

    /// Presses a key by INFO. False: not a key, or the call is not up.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn send_dtmf(&self, digit: char, duration: Duration) -> Result<bool, SipGone> {
        self.ask(|answer| CallOrder::Dtmf(digit, duration, answer)).await
    }

    /// Asks the peer to call `target` in our place; [`CallEvent::ReferAnswered`] follows. False: a transfer is under way, or
    /// the call is not up.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn refer(&self, target: SipUri) -> Result<bool, SipGone> {
        self.ask(|answer| CallOrder::Refer(Box::new(target), answer)).await
    }

    /// What must be written down to end this call after a restart; `None`: there is nothing to end.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn snapshot(&self) -> Result<Option<DialogSnapshot>, SipGone> {
        self.ask(CallOrder::Snapshot).await
    }

    async fn order(&self, order: CallOrder) -> Result<(), SipGone> {
        self.orders.send(Order::Call(self.key, order)).await.map_err(|_| SipGone)
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> CallOrder) -> Result<T, SipGone> {
        ask(&self.orders, self.key, order).await
    }
}
