//! The part of a call before anybody talks when it is met in a browser: the browser has joined, its audio path comes up.
//! What will be needed is made ready meanwhile. Nobody is dialled.

use super::LiveCall;
use super::dialing::{Early, Line, Signalling, Trouble};
use super::ending::Ending;
use super::parley::{Parlance, Parley};
use crate::limits::JOIN_WAIT;
use crate::node::Node;
use crate::registry::Ordered;
use callwright_conversation::Sound;
use callwright_domain::{CallEvent, CallPlan, ChannelName, HangupCause, Pii};
use callwright_media::Rate;
use callwright_net::{LegHandle, LegReport};
use futures_util::FutureExt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::error;

/// A browser that has joined a call.
pub(crate) struct Met {
    /// The user's id in the channel.
    pub(crate) user: ChannelName,
    /// Its audio path.
    pub(crate) leg: LegHandle,
    /// What happens there.
    pub(crate) reports: mpsc::Receiver<LegReport>,
    /// The words for its screen.
    pub(crate) parlance: Box<dyn Parlance>,
    /// What it is to hear before the greeting, or why it cannot.
    pub(crate) overture: Option<Result<Sound, String>>,
    /// Told once it is written down that it joined, or why it did not come to that.
    pub(crate) written: oneshot::Sender<Result<(), HangupCause>>,
}

/// What came of a joining.
enum Came {
    /// The browser is there.
    Up,
    /// It will not be.
    Over(HangupCause),
}

impl LiveCall {
    /// Lives the call of a browser that joined to its end. The end is written whatever happens.
    pub(crate) async fn run_met(node: Arc<Node>, plan: CallPlan, orders: mpsc::Receiver<Ordered>, met: Met) {
        let mut call = Self::beginning(node, plan, orders);
        let _counted = super::Counted::new();
        let ending = match call.meet(met).boxed().await {
            Ok(Ok(line)) => call.talk(line).boxed().await,
            Ok(Err(ending)) => ending,
            Err(trouble) => {
                error!(%trouble, "the call could not be held");
                Ending::of(trouble.cause())
            }
        };
        call.close(ending).await;
    }

    /// Makes ready what is needed, writes down that somebody joined, and waits for the audio path.
    async fn meet(&mut self, met: Met) -> Result<Result<Box<Line>, Ending>, Trouble> {
        let Met { user, leg, reports, parlance, overture, written } = met;
        let ready = self.ready((leg, reports), Parley::new(user.clone(), parlance)).await;
        let mut line = match ready {
            Ok(line) => line,
            Err(trouble) => {
                // Whoever joins hears of it at once; nobody waits for an answer any more when the send fails.
                written.send(Err(trouble.cause())).ok();
                return Err(trouble);
            }
        };
        let user = Pii::new(user.as_str().to_owned());
        let stored = self.commit(CallEvent::Joined { user }).await;
        // The same: a browser that hung up on its request is found out by its audio path.
        written.send(stored.as_ref().copied().map_err(|_| HangupCause::InternalError)).ok();
        stored?;
        line.make_greeting();
        match self.come(&mut line).await {
            Came::Up => {}
            Came::Over(cause) => return Ok(Err(Ending::of(cause))),
        }
        line.tape = self.record(&line.leg).await;
        line.ears = Some(self.ears(&line.leg)?);
        let codec = if line.leg.rate() == Rate::Wide { "opus" } else { "G.711" };
        self.note(CallEvent::Answered { dialog: String::new(), codec: codec.to_owned() }).await;
        match (overture, &mut line.conversation) {
            (Some(Ok(sound)), Some(conversation)) => conversation.open_with(sound),
            // A call without it is better than none.
            (Some(Err(detail)), _) => self.note(CallEvent::Trouble { part: String::from("sound"), detail }).await,
            (Some(Ok(_)), None) | (None, _) => {}
        }
        Ok(Ok(Box::new(line)))
    }

    async fn ready(
        &self,
        (leg, reports): (LegHandle, mpsc::Receiver<LegReport>),
        parley: Parley,
    ) -> Result<Line, Trouble> {
        self.check_vendors()?;
        let conversation = self.conversation().await?;
        let (brain, voice) = (self.brain()?, self.voice_line(&leg)?);
        if let Some(opening) = conversation.opening_request() {
            brain.warm(opening);
        }
        voice.synthesiser.warm(&voice.request(String::new()));
        Ok(Line {
            way: Signalling::Browser(parley),
            leg,
            reports,
            conversation: Some(conversation),
            ears: None,
            brain: Some(brain),
            greeting: None,
            tape: None,
            voice,
        })
    }

    /// Waits for the audio path, not for ever.
    async fn come(&mut self, line: &mut Line) -> Came {
        let late = Instant::now() + JOIN_WAIT;
        loop {
            let report = tokio::select! {
                biased;
                ordered = self.orders.recv() => {
                    match self.before_answer(ordered) {
                        Early::Change(patch) => self.change_before_answer(line, *patch).await,
                        Early::End(cause) => return Came::Over(cause),
                        Early::Nothing => {}
                    }
                    continue;
                }
                report = line.reports.recv() => report,
                () = sleep_until(late) => return Came::Over(HangupCause::MediaFailed),
            };
            match report {
                Some(LegReport::Connected { .. }) => return Came::Up,
                Some(LegReport::Closed) => return Came::Over(HangupCause::CalleeHungUp),
                Some(LegReport::NoMedia | LegReport::Lost) | None => return Came::Over(HangupCause::MediaFailed),
                Some(_) => {}
            }
        }
    }
}
