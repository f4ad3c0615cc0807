//! One call from its first packet to its last. [`LiveCall`] is a task that owns everything about the call by value; the
//! outside sends it an [`Order`], and everything that can happen to it is a variant of [`Stimulus`].
//!
//! The loop: take one stimulus, let the conversation digest it, carry out what it wants, write down what happened,
//! sleep until the earliest timeout. Dropping the task gives back ports, vendor streams and the place in the registry,
//! because they are fields.

mod brain;
mod changing;
mod dialing;
mod ears;
mod ending;
mod greeting;
mod meeting;
mod mirror;
mod parley;
mod returning;
mod second;
mod takeover;
mod talking;
mod taping;
mod thread;
mod transfer;
mod voice;

pub(crate) use dialing::{date_of, leg_settings};
pub(crate) use meeting::Met;
pub use parley::{CutBy, Parlance, Shown, Wish};
pub(crate) use returning::{Homecoming, Unwelcome};
pub(crate) use takeover::Arrival;
pub(crate) use thread::thread_lines;

use crate::calls::HangUp;
use crate::clock::instant;
use crate::failpoint::Failpoint;
use crate::limits;
use crate::node::Node;
use crate::registry::{Ordered, Place};
use crate::trunks::Passage;
use brain::BrainReport;
use callwright_conversation::{Question, Saying, Unheard};
use callwright_domain::call::IllegalEvent;
use callwright_domain::{
    AccountId, AgentPatch, CallEvent, CallId, CallPlan, CallState, ChannelName, HangupCause, Moment, Transfer,
};
use callwright_net::{CallEvent as SipEvent, LegReport, RecordError};
use callwright_store::StoreError;
use dialing::{Approach, Dialed, Early};
use ears::EarsReport;
use ending::Ending;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tracing::{debug, error, info};
use voice::VoiceReport;

/// What the outside may order of a live call.
#[derive(Debug)]
pub(crate) enum Order {
    /// End it.
    HangUp(HangUp),
    /// Say this, past the model.
    Say(Saying),
    /// Answer this as if the callee had said it.
    Hear(Question),
    /// Hand the callee over.
    Transfer(Transfer),
    /// Change its agent.
    Change(Box<AgentPatch>),
    /// Show a browser this text.
    Message {
        /// The text.
        text: String,
    },
    /// The user of a browser goes; one of this name, if it is told, who may be a human agent.
    Leave {
        /// Who.
        user: Option<ChannelName>,
    },
    /// A human agent may come under this name and take the call over.
    Await {
        /// Who.
        user: ChannelName,
    },
    /// A human agent is there.
    TakeOver(Box<Arrival>),
    /// The user of a browser comes back.
    Return(Box<Homecoming>),
    /// The server goes down.
    Shutdown,
}

impl Order {
    /// Whether the call itself says if it is carried out: it may come at a moment that is not good for it.
    pub(crate) const fn is_judged(&self) -> bool {
        match self {
            Self::Say(_) | Self::Hear(_) | Self::Transfer(_) | Self::Change(_) => true,
            Self::HangUp(_)
            | Self::Message { .. }
            | Self::Leave { .. }
            | Self::Await { .. }
            | Self::TakeOver(_)
            | Self::Return(_)
            | Self::Shutdown => false,
        }
    }
}

/// Everything that can happen to a call.
enum Stimulus {
    /// From the audio path; `None`: it is gone.
    Leg(Option<LegReport>),
    /// From the leg to whom the callee is handed over.
    Second(second::News),
    /// From the audio path of a human agent; `None`: it is gone.
    Human(Option<LegReport>),
    /// From signalling; `None`: it is gone.
    Sip(Option<SipEvent>),
    /// From the recogniser.
    Ears(EarsReport),
    /// From the model.
    Brain(BrainReport),
    /// From the synthesiser.
    Voice(VoiceReport),
    /// From the outside; `None`: nobody can order any more.
    Order(Option<Ordered>),
    /// Time has passed.
    Clock,
}

/// What came of waiting for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CampaignTurn {
    /// It is the call's turn.
    Come,
    /// The call was ended meanwhile.
    Over(HangupCause),
    /// The node takes no more calls: another one, or its next life, is to have it.
    Draining,
}

/// What a call needs whatever it is doing.
pub(crate) struct LiveCall {
    node: Arc<Node>,
    plan: CallPlan,
    orders: mpsc::Receiver<Ordered>,
    /// When it began, by the clock on the wall and by the one that nobody sets.
    began: (Moment, Instant),
}

impl LiveCall {
    /// Enters a call into the registry before its task runs, so that an order cannot miss it.
    pub(crate) fn enter(node: &Arc<Node>, account: &AccountId, call: CallId) -> (mpsc::Receiver<Ordered>, Place) {
        let (sender, orders) = mpsc::channel(limits::CALL_ORDERS);
        (orders, node.registry.enter((account.clone(), call), sender))
    }

    /// Lives the call to its end. The end is written whatever happens.
    pub(crate) async fn run(mut self, passage: Passage) {
        let _counted = Counted::new();
        let began = instant();
        self.began = (self.node.clock.now(), began);
        match Approach::of(&self.plan, passage) {
            // Its channel is given back when the recording is closed.
            Some(mut way) => {
                let ending = self.dial_and_talk(&mut way).await;
                self.close(ending).await;
            }
            None => self.close(Ending::of(HangupCause::InternalError)).await,
        }
        metrics::histogram!("callwright_call_seconds").record(instant().saturating_duration_since(began).as_secs_f64());
    }

    /// A call that nobody was rung for yet.
    pub(crate) fn beginning(node: Arc<Node>, plan: CallPlan, orders: mpsc::Receiver<Ordered>) -> Self {
        let began = (node.clock.now(), instant());
        Self { node, plan, orders, began }
    }

    /// What it is to be.
    pub(crate) const fn plan(&self) -> &CallPlan {
        &self.plan
    }

    /// The orders that it has not heard, of a call that does not come to life.
    pub(crate) fn into_orders(self) -> mpsc::Receiver<Ordered> {
        self.orders
    }

    /// Waits for the call's turn among those of its campaign, before the rules are asked: what was paused, forbidden or
    /// ended meanwhile is seen. Calls of no campaign have none to wait for.
    pub(crate) async fn campaign_turn(&mut self) -> CampaignTurn {
        let Some(call) = &self.plan.campaign else { return CampaignTurn::Come };
        let (account, now) = (&self.plan.account, self.node.clock.now());
        let due = self.node.pacing.turn_of(&self.node.store, (account, call), now).await;
        loop {
            if self.node.is_draining() {
                return CampaignTurn::Draining;
            }
            let look = due.min(tokio::time::Instant::now() + limits::CAMPAIGN_CLAIM_EVERY);
            tokio::select! {
                biased;
                ordered = self.orders.recv() => match self.before_answer(ordered) {
                    Early::Change(patch) => self.change_plan(*patch),
                    Early::End(cause) => return CampaignTurn::Over(cause),
                    Early::Nothing => {}
                },
                () = tokio::time::sleep_until(look) => if look == due { return CampaignTurn::Come },
            }
        }
    }

    /// The time of this call: the wall's when it began, and what has gone by since. Whoever sets the clock during a call makes
    /// it neither longer nor shorter (BARS R63).
    fn now(&self) -> Moment {
        self.began.0.after(instant().saturating_duration_since(self.began.1))
    }

    async fn dial_and_talk(&mut self, way: &mut Approach) -> Ending {
        // Each in a room of its own: what dialling needs is given back before anybody talks.
        match self.dial(way).boxed().await {
            Ok(Dialed::Answered(line)) => self.talk(line).boxed().await,
            Ok(Dialed::Over(ending)) => ending,
            Err(trouble) => {
                match trouble.cause() {
                    HangupCause::Cancelled => debug!(%trouble, "the call was taken back before it was dialled"),
                    _ => error!(%trouble, "the call could not be dialled"),
                }
                Ending::of(trouble.cause())
            }
        }
    }

    /// Writes the end, then closes the recording, whose name comes after the end in the journal.
    async fn close(self, ending: Ending) {
        let Ending { cause, status, q850, recording } = ending;
        info!(?cause, status, "ended");
        metrics::counter!("callwright_calls_ended_total", "cause" => format!("{cause:?}")).increment(1);
        self.node.tasks.reach(Failpoint::EndDue).await;
        match self.commit(CallEvent::Ended { cause, status, q850 }).await {
            Ok(()) => {}
            Err(StoreError::Illegal(IllegalEvent { state: CallState::Ended(_), .. })) => {
                debug!("the end was written by whoever ended it");
            }
            Err(error) => error!(%error, "the end of the call could not be written; the next start will write it"),
        }
        self.node.tasks.reach(Failpoint::EndStored).await;
        if let Some(recording) = recording {
            match recording.kept().await {
                Ok(event) => self.note(event).await,
                // Told when it stopped, or a call without a sample.
                Err(RecordError::Nothing) => debug!("nothing was recorded"),
                Err(error) => {
                    error!(%error, "the recording is not complete");
                    self.note(taping::trouble(&error)).await;
                }
            }
        }
    }

    /// The call is over: whoever waits for its word, or comes while the end is written, hears so.
    fn hear_no_more(&mut self) {
        self.node.registry.over(self.plan.id);
        while let Ok(Ordered { answer, .. }) = self.orders.try_recv() {
            if answer.send(Err(Unheard::LastWords)).is_err() {
                debug!("an order was left that nobody waits for");
            }
        }
    }

    /// Queues an event for the journal, without what may not be written. The conversation has seen it whole.
    async fn note(&self, event: CallEvent) {
        let event = self.plan.redaction.event(event);
        let now = self.now();
        mirror::show(&self.node, &self.plan, &event, now);
        self.node.journal.note(&self.plan.account, self.plan.id, now, event).await;
    }

    /// Writes an event; durable when this returns.
    async fn commit(&self, event: CallEvent) -> Result<(), StoreError> {
        let event = self.plan.redaction.event(event);
        self.node.journal.commit(&self.plan.account, self.plan.id, self.now(), event).await
    }
}

/// Counts a live call for as long as its task lives, even when it panics.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::gauge!("callwright_calls_live").increment(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("callwright_calls_live").decrement(1.0);
    }
}

/// The cause of a call that ends because somebody asked for it.
const fn asked(answered: bool) -> HangupCause {
    if answered { HangupCause::ApiHungUp } else { HangupCause::Cancelled }
}
