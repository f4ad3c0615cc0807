//! The way into a shard: a bounded queue of orders and a bell. Hides that ringing twice wakes once.
//! Never blocks a shard; a sender waits when the queue is full.

use super::handle::{LegGone, MessageError};
use super::join::Joint;
use super::recording::ShardRecording;
use super::seat::NewSeat;
use callwright_media::Connection;
use callwright_media::dtmf::Digit;
use callwright_media::leg::{Ambient, DtmfPath, LegStats};
use callwright_media::playout::{Heard, MarkId};
use callwright_media::sdp::RemoteMedia;
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, mpsc, oneshot};

/// What a shard is told.
pub(super) enum Order {
    /// Take a new leg.
    Open(Box<NewSeat>),
    /// To the leg of that number.
    Leg(u64, LegOrder),
}

/// What a leg is told.
pub(super) enum LegOrder {
    Remote(Box<RemoteMedia>),
    /// Another connection in the place of a browser's.
    Reconnect(Box<Connection>),
    /// Audio whose credit was taken, with the epoch in which the speaker began to wait for it.
    Play(Vec<i16>, u64),
    Mark(MarkId),
    /// With the epoch it opens: audio of earlier ones that comes later is thrown away.
    Flush(u64, oneshot::Sender<Heard>),
    Pause,
    Resume,
    Ambient(Option<Ambient>),
    Dtmf(Vec<Digit>, oneshot::Sender<DtmfPath>),
    Message(String, oneshot::Sender<Result<(), MessageError>>),
    /// Its end of a joint with another leg; none: it is alone again.
    Join(Option<Box<Joint>>),
    Record(ShardRecording),
    StopRecording,
    Stats(oneshot::Sender<LegStats>),
}

/// Shared by the plane and the handles of a shard's legs. The shard ends when the last of them is gone.
pub(super) struct Door {
    orders: mpsc::Sender<Order>,
    bell: Arc<Bell>,
}

/// The half of the door that the shard keeps too.
pub(super) struct Bell {
    waker: Ringer,
    ringing: AtomicBool,
    closed: AtomicBool,
}

/// What wakes the shard.
pub(super) enum Ringer {
    /// A thread in its poll.
    Poll(Waker),
    /// A task.
    Task(Notify),
}

impl Door {
    pub(super) fn new(orders: mpsc::Sender<Order>, bell: Arc<Bell>) -> Self {
        Self { orders, bell }
    }

    /// Hands an order in; waits while the queue is full.
    pub(super) async fn send(&self, order: Order) -> Result<(), LegGone> {
        self.orders.send(order).await.map_err(|_| LegGone)?;
        self.bell.ring();
        Ok(())
    }

    /// Makes the shard look at its legs.
    pub(super) fn ring(&self) {
        self.bell.ring();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.bell.closed.store(true, Ordering::Release);
        self.bell.ring();
    }
}

impl Bell {
    pub(super) fn new(waker: Ringer) -> Self {
        Self { waker, ringing: AtomicBool::new(false), closed: AtomicBool::new(false) }
    }

    fn ring(&self) {
        if self.ringing.swap(true, Ordering::AcqRel) {
            return;
        }
        match &self.waker {
            Ringer::Poll(waker) => {
                if let Err(error) = waker.wake() {
                    tracing::error!(%error, "a media thread cannot be woken");
                }
            }
            Ringer::Task(notify) => notify.notify_one(),
        }
    }

    /// Waits for the bell, where a task answers it. Safe to drop midway.
    pub(super) async fn rung(&self) {
        match &self.waker {
            Ringer::Poll(_) => std::future::pending().await,
            Ringer::Task(notify) => notify.notified().await,
        }
    }

    /// Must be called before the orders are read, so that one which comes later rings again.
    pub(super) fn silence(&self) {
        self.ringing.store(false, Ordering::Release);
    }

    /// The shard's own reminder that it has not read everything.
    pub(super) fn ring_again(&self) {
        self.ring();
    }

    /// Nobody can order anything any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
