//! The engine's side of a SIP endpoint: orders in, reports out. Hides the queue between them. Never holds call state.

use super::call::SipCall;
use super::registration::SipRegistration;
use super::{Meter, SipStats};
use callwright_sip::{
    Body, Counts, DialogSnapshot, Inbound, Invitation, InviteError, OfferKey, OutboundInvite, Reason, Registration,
    RegistrationKey, SipUri, TrunkRef,
};
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The SIP endpoint has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the SIP endpoint has stopped")]
pub struct SipGone;

/// What happened beside the calls and registrations that are known.
#[derive(Debug)]
pub enum SipReport {
    /// A peer calls. Dropping the call refuses it.
    Incoming {
        /// To ring, accept or reject it.
        call: SipCall,
        /// What is known.
        invitation: Box<Invitation>,
    },
}

/// What the endpoint is told.
pub(super) enum Order {
    Call(callwright_sip::CallKey, CallOrder),
    Invite(Box<OutboundInvite>, oneshot::Sender<Result<SipCall, InviteError>>),
    EndStale(Box<DialogSnapshot>, TrunkRef, oneshot::Sender<Result<SipCall, InviteError>>),
    Register(Box<Registration>, oneshot::Sender<SipRegistration>),
    Unregister(RegistrationKey),
    Options(TrunkRef, oneshot::Sender<Option<u16>>),
    Peers(HashSet<IpAddr>),
    Inbound(Inbound),
    Live(oneshot::Sender<Counts>),
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Order(..)")
    }
}

/// What it is told about one call.
pub(super) enum CallOrder {
    HangUp(Option<Reason>),
    Ring(u16, Option<Body>),
    Accept(Body),
    Acknowledge,
    Reject(u16),
    Reinvite(Body, oneshot::Sender<bool>),
    AcceptOffer(OfferKey, Body),
    RejectOffer(OfferKey, u16),
    Dtmf(char, Duration, oneshot::Sender<bool>),
    Refer(Box<SipUri>, oneshot::Sender<bool>),
    Snapshot(oneshot::Sender<Option<DialogSnapshot>>),
    /// What saying goodbye again needs, once it was said and while it is not answered.
    Parting(oneshot::Sender<Option<DialogSnapshot>>),
    /// To be told when nothing of the call is left.
    Farewell(oneshot::Sender<()>),
    /// Nobody holds the call any more.
    Abandon,
}

/// Gives orders to a SIP endpoint. The endpoint ends its calls and stops when the last clone and call are gone.
#[derive(Debug, Clone)]
pub struct SipHandle {
    orders: mpsc::Sender<Order>,
    meter: Arc<Meter>,
    udp: SocketAddr,
    tcp: Option<SocketAddr>,
}

impl SipHandle {
    pub(super) fn new(
        orders: mpsc::Sender<Order>,
        meter: Arc<Meter>,
        udp: SocketAddr,
        tcp: Option<SocketAddr>,
    ) -> Self {
        Self { orders, meter, udp, tcp }
    }

    /// Where UDP listens.
    pub fn udp(&self) -> SocketAddr {
        self.udp
    }

    /// Where TCP listens.
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// Places a call. Dropping the returned call withdraws it.
    ///
    /// # Errors
    /// [`SipGone`] outside; inside, why the INVITE was not sent.
    pub async fn invite(&self, invite: OutboundInvite) -> Result<Result<SipCall, InviteError>, SipGone> {
        self.ask(|answer| Order::Invite(Box::new(invite), answer)).await
    }

    /// Ends a call that an earlier run of the program placed through `trunk`. The returned call reports how that went; dropping it
    /// does not stop the ending.
    ///
    /// # Errors
    /// [`SipGone`] outside; inside, why nothing was sent.
    pub async fn end_stale(
        &self,
        snapshot: DialogSnapshot,
        trunk: TrunkRef,
    ) -> Result<Result<SipCall, InviteError>, SipGone> {
        self.ask(|answer| Order::EndStale(Box::new(snapshot), trunk, answer)).await
    }

    /// Keeps an account registered. Dropping what is returned unregisters.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn register(&self, registration: Registration) -> Result<SipRegistration, SipGone> {
        self.ask(|answer| Order::Register(Box::new(registration), answer)).await
    }

    /// Asks a trunk whether it is alive: its status, or `None` when it did not answer.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn options(&self, trunk: TrunkRef) -> Result<Option<u16>, SipGone> {
        self.ask(|answer| Order::Options(trunk, answer)).await
    }

    /// Replaces the set of addresses whose requests are answered.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn peers(&self, peers: HashSet<IpAddr>) -> Result<(), SipGone> {
        self.order(Order::Peers(peers)).await
    }

    /// Says whether peers may call us.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn inbound(&self, inbound: Inbound) -> Result<(), SipGone> {
        self.order(Order::Inbound(inbound)).await
    }

    /// How much the user agent remembers.
    ///
    /// # Errors
    /// [`SipGone`].
    pub async fn live(&self) -> Result<Counts, SipGone> {
        self.ask(Order::Live).await
    }

    /// Counters since the start.
    pub fn stats(&self) -> SipStats {
        self.meter.read()
    }

    async fn order(&self, order: Order) -> Result<(), SipGone> {
        self.orders.send(order).await.map_err(|_| SipGone)
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, SipGone> {
        let (answer, answered) = oneshot::channel();
        self.order(order(answer)).await?;
        answered.await.map_err(|_| SipGone)
    }
}
