//! A human agent takes a call over: comes by a browser, is joined with the callee, and the agent of the call falls silent. Until
//! the audio path of the human is up nothing changes; when the human goes, so does the call. Who may come is said before, by
//! name; nobody else is let in.

use super::ending::Ending;
use super::parley::Shown;
use super::talking::Talk;
use crate::clock::instant;
use crate::limits::JOIN_WAIT;
use callwright_conversation::Input;
use callwright_domain::{CallEvent, ChannelName, HangupCause, Pii};
use callwright_net::{LegHandle, LegReport};
use std::fmt;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};

/// A human agent whose browser has come.
pub(crate) struct Arrival {
    /// Under which name.
    pub(crate) user: ChannelName,
    /// The audio path.
    pub(crate) leg: LegHandle,
    /// What happens there.
    pub(crate) reports: mpsc::Receiver<LegReport>,
    /// Told whether this one is let in.
    pub(crate) admitted: oneshot::Sender<bool>,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How far a takeover is.
#[derive(Default)]
pub(super) struct Takeover {
    /// Who may come.
    awaited: Option<ChannelName>,
    /// Who has.
    human: Option<Human>,
}

struct Human {
    user: ChannelName,
    leg: LegHandle,
    reports: mpsc::Receiver<LegReport>,
    /// When the audio path must be up; none: it is, and the callee is joined with it.
    until: Option<Instant>,
}

impl Takeover {
    /// Lets somebody of this name come.
    pub(super) fn wait_for(&mut self, user: ChannelName) {
        self.awaited = Some(user);
    }

    /// When the human's audio path is given up.
    pub(super) fn until(&self) -> Option<Instant> {
        self.human.as_ref().and_then(|human| human.until)
    }

    /// Whether a human is there or about to be.
    pub(super) const fn is_begun(&self) -> bool {
        self.human.is_some()
    }

    /// Whether the callee talks with a human.
    pub(super) fn is_joined(&self) -> bool {
        self.human.as_ref().is_some_and(|human| human.until.is_none())
    }
}

/// What the human's audio path reports next; never, while there is none.
pub(super) async fn report(takeover: &mut Takeover) -> Option<LegReport> {
    match &mut takeover.human {
        Some(human) => human.reports.recv().await,
        None => std::future::pending().await,
    }
}

impl Talk<'_> {
    /// A human agent has come; whoever is not awaited is sent away.
    pub(super) async fn human_comes(&mut self, arrival: Arrival) {
        let Arrival { user, leg, reports, admitted } = arrival;
        let free = !self.takeover.is_joined() && self.transfer.is_none();
        let welcome = free && self.takeover.awaited.as_ref() == Some(&user);
        if welcome {
            let human = Human { user: user.clone(), leg, reports, until: Some(instant() + JOIN_WAIT) };
            self.takeover.human = Some(human);
            self.show(Shown::HumanComes(Pii::new(user.to_string()))).await;
        }
        // Let go: nobody waits for it when the browser's request was given up, and then its audio path never comes up.
        admitted.send(welcome).ok();
    }

    /// Something happened on the human's audio path.
    pub(super) async fn on_human(&mut self, report: Option<LegReport>) {
        match report {
            Some(LegReport::Connected { .. }) if !self.takeover.is_joined() => self.hand_to_human().await,
            Some(LegReport::Closed | LegReport::Lost) | None => self.human_left(),
            Some(_) => {}
        }
    }

    /// The human's audio path is up: the agent is silent from now on.
    async fn hand_to_human(&mut self) {
        if self.transfer.is_some() {
            // The callee is on the way to somebody else by now.
            return self.human_left();
        }
        self.tell(Input::TakenOver).await;
        let Some(human) = &mut self.takeover.human else { return };
        human.until = None;
        self.takeover.awaited = None;
        let to = Pii::new(human.user.to_string());
        if let Err(gone) = self.line.leg.ambient(None, 0).await {
            debug!(%gone, "the line is gone");
        }
        if let Err(gone) = self.line.leg.join(&human.leg).await {
            debug!(%gone, "the callee and the human could not be joined");
            return self.end(Ending::of(HangupCause::MediaFailed));
        }
        info!("a human agent has taken the call over");
        self.call.note(CallEvent::Transferring { to: to.clone() }).await;
        self.call.node.registry.replaced(self.call.plan.id);
        self.call.note(CallEvent::TransferAnswered { dialog: String::new() }).await;
        self.show(Shown::HumanJoined(to)).await;
    }

    /// The human has gone, or never came: with the call when they were joined, and the agent goes on otherwise.
    pub(super) fn human_left(&mut self) {
        if self.takeover.is_joined() {
            self.end(Ending::of(HangupCause::Transferred));
        } else {
            debug!("a human agent did not take the call over");
            self.takeover.human = None;
        }
    }

    /// Somebody of this name leaves; no name: the user.
    pub(super) fn leave_as(&mut self, user: Option<ChannelName>) {
        let human = self.takeover.human.as_ref().map(|human| &human.user);
        match &user {
            Some(user) if human == Some(user) => self.human_left(),
            Some(user) if self.call.plan.browser().is_none_or(|place| !place.admits(user)) => {
                debug!("somebody leaves who was not there");
            }
            _ => self.leave(),
        }
    }
}
