//! The user of a browser who vanished and comes back in time: the agent holds its tongue meanwhile, and the new browser goes on
//! with the audio path of the call, so that voice, ears, recording and conversation are what they were. Nobody comes back but
//! who was there; whoever says that they leave has left.

use super::ending::Ending;
use super::parley::Parlance;
use super::talking::Talk;
use crate::clock::instant;
use crate::limits::JOIN_WAIT;
use callwright_conversation::Input;
use callwright_domain::{ChannelName, HangupCause};
use callwright_net::BrowserError;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::info;

/// A user's browser that is there again.
pub(crate) struct Homecoming {
    /// Who.
    pub(crate) user: ChannelName,
    /// The browser's session description.
    pub(crate) offer: String,
    /// The words for its screen.
    pub(crate) parlance: Box<dyn Parlance>,
    /// Told ours, or why there is none.
    pub(crate) answered: oneshot::Sender<Result<String, Unwelcome>>,
}

/// Why nobody has come back.
pub(crate) enum Unwelcome {
    /// It is not who was there.
    Stranger,
    /// The browser cannot go on with the audio path.
    Browser(BrowserError),
}

impl fmt::Debug for Homecoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homecoming").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The user is not there.
pub(super) struct Away {
    /// How long they are waited for.
    until: Instant,
    /// Why the call ends then.
    cause: HangupCause,
}

impl Away {
    /// How long the user is waited for.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }
}

impl Talk<'_> {
    /// The audio path of the user is gone, because of this. They are waited for where they may come back.
    pub(super) async fn vanished(&mut self, cause: HangupCause) {
        let patience = self.call.plan.browser().map_or(0, |place| place.returns_within_ms);
        if patience == 0 {
            self.gone(cause);
        } else if self.away.is_none() {
            info!(patience, "the user of a browser has vanished");
            self.wait_for_user(Duration::from_millis(patience), cause).await;
        }
    }

    /// Nobody has come back.
    pub(super) fn give_user_up(&mut self) {
        if let Some(Away { cause, .. }) = self.away.take() {
            self.gone(cause);
        }
    }

    /// Somebody says that they are the user.
    pub(super) async fn user_returns(&mut self, homecoming: Homecoming) {
        let Homecoming { user, offer, parlance, answered } = homecoming;
        let outcome = self.reconnect(&user, &offer, parlance).await;
        // Let go: nobody waits for it when the browser's request was given up, and then its audio path never comes up.
        answered.send(outcome).ok();
    }

    /// The audio path of the user is up again.
    pub(super) async fn user_is_back(&mut self) {
        if self.away.take().is_some() {
            info!("the user of a browser is back");
            self.tell(Input::HoldEnded).await;
        }
    }

    async fn reconnect(
        &mut self,
        user: &ChannelName,
        offer: &str,
        parlance: Box<dyn Parlance>,
    ) -> Result<String, Unwelcome> {
        let Some(parley) = self.line.way.parley().filter(|parley| parley.is_with(user)) else {
            return Err(Unwelcome::Stranger);
        };
        let answer = self.call.node.media.reconnect_browser(&self.line.leg, offer).await;
        let answer = answer.map_err(Unwelcome::Browser)?;
        parley.begin_again(parlance);
        // One whose page was loaded anew may be here before it is missed.
        let cause = self.away.take().map_or(HangupCause::MediaFailed, |away| away.cause);
        self.wait_for_user(JOIN_WAIT, cause).await;
        Ok(answer)
    }

    /// The agent neither speaks nor listens until then.
    async fn wait_for_user(&mut self, patience: Duration, cause: HangupCause) {
        self.away = Some(Away { until: instant() + patience, cause });
        self.tell(Input::HoldStarted).await;
    }

    fn gone(&mut self, cause: HangupCause) {
        match cause {
            HangupCause::CalleeHungUp => self.leave(),
            cause => self.end(Ending::of(cause)),
        }
    }
}
