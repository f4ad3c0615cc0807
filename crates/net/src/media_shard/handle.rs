//! A leg as the engine holds it. Hides the queue to the shard and the credit that bounds queued audio.
//! Never touches a socket. Dropping the last clone closes the leg.

use super::door::{Door, LegOrder, Order};
use super::join::Joint;
use super::recording::{RecordError, RecordingDesk, RecordingTicket, Target};
use callwright_media::dtmf::Digit;
use callwright_media::leg::{Ambient, DtmfPath, LegStats};
use callwright_media::pcm::Gain;
use callwright_media::playout::{Heard, MarkId};
use callwright_media::sdp::RemoteMedia;
use callwright_media::{Connection, Rate};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Semaphore, oneshot};

/// The leg is closed: nothing can be ordered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the leg is closed")]
pub struct LegGone;

/// Why audio was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlayError {
    /// The leg is closed.
    #[error("the leg is closed")]
    Gone,
    /// The queue was flushed while this audio waited to get in: it belongs to what was thrown away.
    #[error("flushed while waiting to be queued")]
    Flushed,
    /// No room now (only from [`LegHandle::try_play`]).
    #[error("the playout queue is full")]
    Full,
}

/// Why a text message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The leg is closed.
    #[error("the leg is closed")]
    Gone,
    /// The far end has no channel for text: a telephone, a browser that opened none or is not connected yet.
    #[error("the far end has opened no channel for text")]
    NoChannel,
    /// Longer than [`callwright_media::webrtc::MESSAGE_BYTES`], or too many wait for a far end that takes none.
    #[error("the message is too long, or too many wait")]
    Full,
}

/// What a leg and its handles share.
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) rate: Rate,
    /// No handle is left, or the shard has closed the leg.
    closed: AtomicBool,
    /// Flushes so far.
    epoch: AtomicU64,
    /// Samples that may still be queued.
    credit: Semaphore,
    /// All the credit there is.
    room: usize,
    pub(super) dropped_chunks: AtomicU64,
}

impl Link {
    pub(super) fn new(id: u64, rate: Rate, room: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            rate,
            closed: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            credit: Semaphore::new(room),
            room,
            dropped_chunks: AtomicU64::new(0),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The shard has closed the leg; whoever waits for credit learns it.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.credit.close();
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn give_credit(&self, samples: usize) {
        self.credit.add_permits(samples);
    }
}

/// Closes the leg when the last handle is gone.
struct Grip {
    link: Arc<Link>,
    door: Arc<Door>,
}

impl Drop for Grip {
    fn drop(&mut self) {
        self.link.close();
        self.door.ring();
    }
}

/// A leg on a media thread. Clones are the same leg; it closes with the last of them, or at [`LegHandle::close`].
#[derive(Clone)]
pub struct LegHandle {
    grip: Arc<Grip>,
    local: SocketAddr,
    desk: RecordingDesk,
}

impl fmt::Debug for LegHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LegHandle({}, port {})", self.grip.link.id, self.local.port())
    }
}

impl LegHandle {
    pub(super) fn new(link: Arc<Link>, local: SocketAddr, door: Arc<Door>, desk: RecordingDesk) -> Self {
        Self { grip: Arc::new(Grip { link, door }), local, desk }
    }

    /// Number of the leg within this process.
    pub fn id(&self) -> u64 {
        self.grip.link.id
    }

    /// Where peers send RTP, as to be written into a session description. RTCP is on the next port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Rate of the audio both ways.
    pub fn rate(&self) -> Rate {
        self.grip.link.rate
    }

    /// What SDP agreed on, the first time and after each renegotiation. Audio that is queued leaves at once.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn remote(&self, remote: RemoteMedia) -> Result<(), LegGone> {
        self.order(LegOrder::Remote(Box::new(remote))).await
    }

    /// Another connection takes the place of a browser's.
    pub(super) async fn reconnect(&self, connection: Connection) -> Result<(), LegGone> {
        self.order(LegOrder::Reconnect(Box::new(connection))).await
    }

    /// Queues agent audio at the leg's rate; waits while ten seconds (the leg's `playout`) are queued.
    /// When dropped midway, the part that fitted stays queued.
    ///
    /// # Errors
    /// [`PlayError::Gone`], or [`PlayError::Flushed`] when a flush came while it waited.
    pub async fn play(&self, pcm: Vec<i16>) -> Result<(), PlayError> {
        let link = &self.grip.link;
        let epoch = link.epoch();
        let piece = (link.rate.hertz() as usize).clamp(1, link.room.max(1));
        let mut rest = pcm;
        while !rest.is_empty() {
            let later = if rest.len() > piece { rest.split_off(piece) } else { Vec::new() };
            let samples = u32::try_from(rest.len()).map_err(|_| PlayError::Full)?;
            let credit = link.credit.acquire_many(samples).await.map_err(|_| PlayError::Gone)?;
            if link.epoch() != epoch {
                return Err(PlayError::Flushed);
            }
            self.order(LegOrder::Play(rest, epoch)).await.map_err(|_| PlayError::Gone)?;
            // The shard gives it back when the samples have left.
            credit.forget();
            rest = later;
        }
        Ok(())
    }

    /// Queues agent audio if all of it fits now.
    ///
    /// # Errors
    /// [`PlayError::Full`] or [`PlayError::Gone`]; nothing was queued.
    pub async fn try_play(&self, pcm: Vec<i16>) -> Result<(), PlayError> {
        if self.grip.link.is_closed() {
            return Err(PlayError::Gone);
        }
        if pcm.len() > self.room() {
            return Err(PlayError::Full);
        }
        self.play(pcm).await
    }

    /// Samples that can be queued now.
    pub fn room(&self) -> usize {
        self.grip.link.credit.available_permits()
    }

    /// Sets a mark after everything queued so far; [`super::LegReport::Mark`] comes when all before it was sent.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn mark(&self, id: u64) -> Result<(), LegGone> {
        self.order(LegOrder::Mark(MarkId(id))).await
    }

    /// Throws all queued audio away, and whatever still waits in [`LegHandle::play`]; tells how much was sent.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn flush(&self) -> Result<Heard, LegGone> {
        let epoch = self.grip.link.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.ask(|answer| LegOrder::Flush(epoch, answer)).await
    }

    /// Holds the queue without losing it.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn pause(&self) -> Result<(), LegGone> {
        self.order(LegOrder::Pause).await
    }

    /// Goes on after [`LegHandle::pause`].
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn resume(&self) -> Result<(), LegGone> {
        self.order(LegOrder::Resume).await
    }

    /// Plays the sound of a place under the agent's voice and in its silence, again and again, at that percentage of its
    /// own amplitude (above 100 it is amplified); `None` stops it. The samples are at the leg's rate.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn ambient(&self, pcm: Option<Arc<[i16]>>, volume_percent: u8) -> Result<(), LegGone> {
        let gain = Gain::from_percent(volume_percent);
        self.order(LegOrder::Ambient(pcm.map(|pcm| Ambient { pcm, gain }))).await
    }

    /// Presses keys, one after the other.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn send_dtmf(&self, digits: Vec<Digit>) -> Result<DtmfPath, LegGone> {
        self.ask(|answer| LegOrder::Dtmf(digits, answer)).await
    }

    /// Sends a text message over a browser's data channel.
    ///
    /// # Errors
    /// [`MessageError`]; nothing was sent.
    pub async fn message(&self, text: String) -> Result<(), MessageError> {
        self.ask(|answer| LegOrder::Message(text, answer)).await.map_err(|_| MessageError::Gone)?
    }

    /// Joins it with another leg: what one far end says, the other hears, beside what is played to them. A leg is joined
    /// with one other at most; the former joint is gone then. It ends with either leg, or with [`LegHandle::part`].
    ///
    /// # Errors
    /// [`LegGone`], of either.
    pub async fn join(&self, other: &Self) -> Result<(), LegGone> {
        let (own, others) = Joint::between(self.rate(), other.rate()).ok_or(LegGone)?;
        self.order(LegOrder::Join(Some(Box::new(own)))).await?;
        other.order(LegOrder::Join(Some(Box::new(others)))).await
    }

    /// Ends its part in a joint: neither hears the other any more.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn part(&self) -> Result<(), LegGone> {
        self.order(LegOrder::Join(None)).await
    }

    /// Records both sides into a new stereo WAV file at `path` (caller left, agent right), readable by the owner alone.
    /// It ends with the leg or with [`LegHandle::stop_recording`]; the ticket tells when the file is complete.
    ///
    /// # Errors
    /// [`RecordError`]; the call itself is not touched.
    pub async fn record(&self, target: Target) -> Result<RecordingTicket, RecordError> {
        let (recording, ticket) = self.desk.open(target, self.rate())?;
        self.order(LegOrder::Record(recording)).await.map_err(|_| RecordError::Gone)?;
        Ok(ticket)
    }

    /// Ends the recording, if there is one.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn stop_recording(&self) -> Result<(), LegGone> {
        self.order(LegOrder::StopRecording).await
    }

    /// Counters of the leg.
    ///
    /// # Errors
    /// [`LegGone`].
    pub async fn stats(&self) -> Result<LegStats, LegGone> {
        self.ask(LegOrder::Stats).await
    }

    /// Audio chunks dropped because the engine did not take them.
    pub fn dropped_chunks(&self) -> u64 {
        self.grip.link.dropped_chunks.load(Ordering::Relaxed)
    }

    /// Closes the leg for all clones.
    pub fn close(&self) {
        self.grip.link.close();
        self.grip.door.ring();
    }

    async fn order(&self, order: LegOrder) -> Result<(), LegGone> {
        if self.grip.link.is_closed() {
            return Err(LegGone);
        }
        self.grip.door.send(Order::Leg(self.grip.link.id, order)).await
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> LegOrder) -> Result<T, LegGone> {
        let (answer, answered) = oneshot::channel();
        self.order(order(answer)).await?;
        answered.await.map_err(|_| LegGone)
    }
}
