//! The callee is handed over: the trunk is asked to call somebody else in our place (RFC 3515) and tells how that goes; or,
//! where it does not do that, the server calls them itself and joins the two. Until it has worked the call stays the
//! agent's; when it does not work, the conversation hears why.

use super::dialing::{Signalling, Trouble, address};
use super::ending::Ending;
use super::second::{self, News, Second};
use super::talking::Talk;
use crate::calls::OrderError;
use crate::clock::instant;
use crate::limits::{TRANSFER_JUDGED, TRANSFER_MADE, TRANSFER_PATIENCE};
use crate::onward;
use callwright_conversation::Input;
use callwright_domain::{CallEvent, HangupCause, Pii, TransferTarget};
use callwright_media::Rate;
use callwright_media::pcm::DualTone;
use callwright_net::{CallEvent as SipEvent, Farewell, LegReport};
use callwright_sip::Body;
use callwright_store::TransferBy;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;
use tracing::{debug, info};

/// What the callee hears while the other telephone rings: one second in five, as most networks have it (ITU-T E.180).
const RINGING_HZ: f32 = 425.0;
const RINGING_S: (usize, usize) = (1, 5);
/// How loud that is, in percent of a full tone.
const RINGING_VOLUME: u8 = 40;

/// A transfer that is under way.
pub(super) struct Transfer {
    /// When it is given up; none: it has worked.
    until: Option<Instant>,
    to: TransferTarget,
    way: Way,
}

/// How far it is.
enum Way {
    /// The trunk does it.
    Referred(Standing),
    /// The server is about to call there.
    Opening(BoxFuture<'static, Result<Box<Second>, Trouble>>),
    /// It rings there.
    Ringing(Box<Second>),
    /// The callee and the other hear each other.
    Joined(Box<Second>),
}

/// What is known of what the trunk does.
#[derive(PartialEq)]
enum Standing {
    Asked,
    /// It has agreed, and tells nothing yet.
    Accepted,
    /// It tells how it gets on, and would tell of its end.
    Told,
}

impl Transfer {
    /// When it is given up.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Lets go of whom the server has called itself; what tells when they know.
    pub(super) fn farewell(self) -> Option<Farewell> {
        match self.way {
            Way::Ringing(second) | Way::Joined(second) => Some(second.farewell()),
            Way::Referred(_) | Way::Opening(_) => None,
        }
    }

    /// Whether the callee is with the other when the line of this call ends now. A trunk that has told of the ringing would
    /// have told of the answer: there the callee has hung up.
    pub(super) fn is_taken_by_goodbye(&self) -> bool {
        matches!(self.way, Way::Referred(Standing::Accepted) | Way::Joined(_))
    }
}

/// What happens next on the way to the other telephone; never, while the server calls nobody there itself.
pub(super) async fn news(transfer: &mut Option<Transfer>) -> News {
    match transfer.as_mut().map(|transfer| &mut transfer.way) {
        Some(Way::Opening(opening)) => News::Opened(opening.await),
        Some(Way::Ringing(second) | Way::Joined(second)) => second.next().await,
        Some(Way::Referred(_)) | None => std::future::pending().await,
    }
}

impl Talk<'_> {
    pub(super) async fn transfer(&mut self, to: TransferTarget) {
        let judged = self.judged(&to).await;
        let shown = judged.as_ref().unwrap_or(&to).dial();
        self.call.note(CallEvent::Transferring { to: Pii::new(shown) }).await;
        let begun = match judged {
            Ok(to) => self.begin(to).await,
            Err(why) => Err(why),
        };
        if let Err(why) = begun {
            // The conversation has ordered this, and its outputs are being carried out: it is told, not run again.
            self.no_transfer(&why).await;
            self.conversation.handle(instant(), Input::TransferFailed(why));
        }
    }

    /// Asks the rules as they are now. Why they do not allow it, in words.
    async fn judged(&mut self, to: &TransferTarget) -> Result<TransferTarget, String> {
        match timeout(TRANSFER_JUDGED, onward::judged(&self.call.node, &self.call.plan, to)).await {
            Ok(Ok(to)) => Ok(to),
            Ok(Err(OrderError::Refused(rule))) => Err(format!("the rules do not allow it: {rule}")),
            Ok(Err(error @ (OrderError::NoTelephone | OrderError::NoDesk))) => Err(error.to_string()),
            Ok(Err(_)) | Err(_) => Err(String::from("whether the rules allow it could not be found out")),
        }
    }

    /// Asks the trunk, or calls there. Why that did not come about, in words.
    async fn begin(&mut self, to: TransferTarget) -> Result<(), String> {
        let Signalling::Sip(dialog) = &self.line.way else { return Err(OrderError::NoTelephone.to_string()) };
        if self.takeover.is_begun() {
            return Err(String::from("a person takes the call over"));
        }
        if dialog.reachable.transfer == TransferBy::Bridge {
            self.call_there(to);
            return Ok(());
        }
        let uri = address(&to, &dialog.reachable.domain).map_err(|_| "the number cannot be called")?;
        match dialog.sip.refer(uri).await {
            Ok(true) => {
                info!(%to, "handing the callee over");
                let until = Some(instant() + TRANSFER_PATIENCE);
                self.transfer = Some(Transfer { until, to, way: Way::Referred(Standing::Asked) });
                Ok(())
            }
            Ok(false) | Err(_) => Err(String::from("the line does not allow it now")),
        }
    }

    /// The server calls there itself.
    fn call_there(&mut self, to: TransferTarget) {
        let Signalling::Sip(dialog) = &self.line.way else { return };
        info!(%to, "calling whom the callee is handed over to");
        self.transfers = self.transfers.saturating_add(1);
        let (node, plan) = (Arc::clone(&self.call.node), self.call.plan.clone());
        let opening = second::call(node, plan, to.clone(), (dialog.trunk.clone(), self.transfers));
        let until = Some(instant() + TRANSFER_PATIENCE + TRANSFER_MADE);
        self.transfer = Some(Transfer { until, to, way: Way::Opening(Box::pin(opening)) });
    }

    /// The trunk's answer.
    pub(super) async fn transfer_answered(&mut self, status: u16) {
        let Signalling::Sip(dialog) = &self.line.way else { return };
        let alone = dialog.reachable.transfer == TransferBy::Refer;
        let Some(Transfer { way: Way::Referred(standing), to, .. }) = &mut self.transfer else { return };
        match status {
            200..300 if *standing == Standing::Asked => *standing = Standing::Accepted,
            200..300 => {}
            // Nobody answered, or the line is gone: it is not known whether somebody is called already.
            408 | 481 => self.transfer_failed(&format!("the line refused it with status {status}")).await,
            _ if alone => self.transfer_failed(&format!("the line refused it with status {status}")).await,
            _ => {
                let to = to.clone();
                self.call_there(to);
            }
        }
    }

    /// The trunk tells how its call gets on.
    pub(super) async fn transfer_gets_on(&mut self, status: u16, last: bool) {
        // One that was given up may be answered all the same: the callee is there then, and not here.
        if (200..300).contains(&status) {
            return self.end(Ending::of(HangupCause::Transferred));
        }
        let Some(Transfer { way: Way::Referred(standing), .. }) = &mut self.transfer else { return };
        match status {
            486 | 600 => self.transfer_failed("the number is busy").await,
            300.. => self.transfer_failed(&format!("the number was not reached, status {status}")).await,
            _ if last => self.transfer_failed("the line did not say what became of it").await,
            // Every trunk says 100 at once (RFC 3515, section 2.4.4).
            101.. => *standing = Standing::Told,
            _ => {}
        }
    }

    /// Something happened on the way to the other telephone.
    pub(super) async fn on_news(&mut self, news: News) {
        match news {
            News::Opened(Ok(second)) => {
                if let Some(transfer) = &mut self.transfer {
                    transfer.way = Way::Ringing(second);
                }
            }
            News::Opened(Err(trouble)) => {
                debug!(%trouble, "the other telephone could not be called");
                let words = match trouble {
                    Trouble::NoLine => "the trunk has no line free for it",
                    _ => "the number could not be called",
                };
                self.transfer_failed(words).await;
            }
            News::Sip(event) => self.on_second_sip(event).await,
            News::Leg(report) => self.on_second_leg(report).await,
        }
    }

    async fn on_second_sip(&mut self, event: Option<SipEvent>) {
        match event {
            Some(SipEvent::Progress(progress)) if progress.status >= 180 => self.let_ring().await,
            Some(SipEvent::Answered { body }) => self.join(body).await,
            Some(SipEvent::Failed(failure)) => self.transfer_failed(second::words(failure.cause)).await,
            Some(SipEvent::Ended(_)) | None => self.other_left().await,
            Some(event) => {
                if let Some(Transfer { way: Way::Ringing(second) | Way::Joined(second), .. }) = &mut self.transfer {
                    second.renegotiate(event).await;
                }
            }
        }
    }

    async fn on_second_leg(&mut self, report: Option<LegReport>) {
        match report {
            Some(LegReport::Dtmf { digit, .. }) if self.is_joined() => {
                if let Err(gone) = self.line.leg.send_dtmf(vec![digit]).await {
                    debug!(%gone, "a key was not passed on");
                }
            }
            Some(LegReport::Lost) | None => self.other_left().await,
            Some(_) => {}
        }
    }

    /// The other has hung up, or is lost: with the callee when they were joined.
    async fn other_left(&mut self) {
        if self.is_joined() {
            self.end(Ending::of(HangupCause::Transferred));
        } else {
            self.transfer_failed("the call there ended before it was answered").await;
        }
    }

    /// The callee hears that it rings.
    async fn let_ring(&mut self) {
        let rate = self.line.leg.rate();
        if let Err(gone) = self.line.leg.ambient(Some(ringing(rate)), RINGING_VOLUME).await {
            debug!(%gone, "nothing rings");
        }
    }

    /// Somebody has answered there.
    async fn join(&mut self, body: Option<Body>) {
        let Some(Transfer { way: Way::Ringing(second), .. }) = &mut self.transfer else { return };
        let dialog = match second.answered(body, &self.line.leg).await {
            Ok(dialog) => dialog,
            Err(why) => return self.transfer_failed(why).await,
        };
        if let Err(gone) = self.line.leg.ambient(None, 0).await {
            debug!(%gone, "the line is gone");
        }
        if let Some(Transfer { to, way: Way::Ringing(second), .. }) = self.transfer.take() {
            info!(%to, "the callee is handed over");
            self.transfer = Some(Transfer { until: None, to, way: Way::Joined(second) });
            self.call.node.registry.replaced(self.call.plan.id);
        }
        self.call.note(CallEvent::TransferAnswered { dialog }).await;
    }

    /// Whether the callee talks with somebody else: the agent neither hears nor speaks any more.
    pub(super) fn is_joined(&self) -> bool {
        self.takeover.is_joined() || matches!(&self.transfer, Some(Transfer { way: Way::Joined(_), .. }))
    }

    /// What a joined callee's line reports; what is still the call's own business is given back.
    pub(super) async fn pass_on(&mut self, report: LegReport) -> Option<LegReport> {
        if self.takeover.is_joined() {
            return match report {
                LegReport::NoMedia | LegReport::Lost | LegReport::Closed => Some(report),
                LegReport::Connected { .. } | LegReport::Message(_) => Some(report),
                _ => None,
            };
        }
        let Some(Transfer { way: Way::Joined(second), .. }) = &self.transfer else { return Some(report) };
        match report {
            LegReport::Dtmf { digit, .. } => {
                second.press(digit).await;
                None
            }
            LegReport::NoMedia | LegReport::Lost | LegReport::Closed => Some(report),
            _ => None,
        }
    }

    /// It did not work, and the conversation hears why.
    pub(super) async fn transfer_failed(&mut self, why: &str) {
        self.no_transfer(why).await;
        self.tell(Input::TransferFailed(why.to_owned())).await;
    }

    async fn no_transfer(&mut self, why: &str) {
        let own = self.transfer.take().is_some_and(|transfer| !matches!(transfer.way, Way::Referred(_)));
        if own {
            self.surround().await;
        }
        info!(why, "the callee was not handed over");
        self.call.note(CallEvent::TransferEnded { reason: why.to_owned() }).await;
    }
}

/// One round of the tone that tells of ringing.
fn ringing(rate: Rate) -> Arc<[i16]> {
    let second = rate.hertz() as usize;
    let mut round = vec![0; second * RINGING_S.1];
    DualTone::new(rate, RINGING_HZ, RINGING_HZ).fill(&mut round[..second * RINGING_S.0]);
    round.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_called_at_the_trunk_and_addresses_where_they_are() {
        let shown = |to: &str| {
            let to = TransferTarget::parse(to).expect("a target");
            address(&to, "carrier.example").map(|uri| uri.to_string()).ok()
        };
        assert_eq!(shown("+4930123456").as_deref(), Some("sip:+4930123456@carrier.example"));
        assert_eq!(shown("sip:desk@10.0.0.1:5070").as_deref(), Some("sip:desk@10.0.0.1:5070"));
        assert_eq!(shown("sip:desk@[::1]").as_deref(), Some("sip:desk@[::1]"));
    }

    #[test]
    fn it_rings_one_second_in_five() {
        let round = ringing(Rate::Narrow);
        assert_eq!(round.len(), 40_000);
        assert!(round[..8000].iter().any(|sample| *sample > 1000) && round[8000..].iter().all(|sample| *sample == 0));
    }
}
