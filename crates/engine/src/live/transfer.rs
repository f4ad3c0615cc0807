//! The callee is handed over: the trunk is asked to call somebody else in our place (RFC 3515) and tells how that goes.
//! Until it has worked the call stays ours; when it does not work, the conversation hears why.

use super::dialing::Signalling;
use super::ending::Ending;
use super::talking::Talk;
use crate::calls::OrderError;
use crate::clock::instant;
use crate::limits::{TRANSFER_JUDGED, TRANSFER_PATIENCE};
use crate::onward;
use callwright_conversation::Input;
use callwright_domain::{CallEvent, HangupCause, Pii, TransferTarget};
use callwright_sip::{Host, SipUri, Uri};
use std::time::Instant;
use tokio::time::timeout;
use tracing::info;

/// A transfer that is under way.
pub(super) struct Transfer {
    until: Instant,
    standing: Standing,
}

/// What is known of it.
#[derive(PartialEq)]
enum Standing {
    Asked,
    /// The trunk has agreed, and tells nothing yet.
    Accepted,
    /// The trunk tells how it gets on, and would tell of its end.
    Told,
}

impl Transfer {
    /// When it is given up.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// Whether a trunk that lets go of the call now has taken the callee over. One that has told of the ringing would have
    /// told of the answer: there the callee has hung up.
    pub(super) fn is_taken_by_goodbye(&self) -> bool {
        self.standing == Standing::Accepted
    }
}

impl Talk<'_> {
    pub(super) async fn transfer(&mut self, to: TransferTarget) {
        self.call.note(CallEvent::Transferring { to: Pii::new(to.dial().to_owned()) }).await;
        self.transfer = Some(Transfer { until: instant() + TRANSFER_PATIENCE, standing: Standing::Asked });
        if let Err(why) = self.refer(to).await {
            // The conversation has ordered this, and its outputs are being carried out: it is told, not run again.
            self.no_transfer(&why).await;
            self.conversation.handle(instant(), Input::TransferFailed(why));
        }
    }

    /// Asks the rules as they are now, then the trunk. Why that did not come about, in words.
    async fn refer(&self, to: TransferTarget) -> Result<(), String> {
        let judged = timeout(TRANSFER_JUDGED, onward::judged(&self.call.node, &self.call.plan, &to)).await;
        let to = match judged {
            Ok(Ok(to)) => to,
            Ok(Err(OrderError::Refused(rule))) => return Err(format!("the rules do not allow it: {rule}")),
            Ok(Err(error @ OrderError::NoTelephone)) => return Err(error.to_string()),
            Ok(Err(_)) | Err(_) => return Err(String::from("whether the rules allow it could not be found out")),
        };
        let Signalling::Sip(dialog) = &self.line.way else { return Err(OrderError::NoTelephone.to_string()) };
        let uri = address(&to, &dialog.domain).ok_or("the number cannot be called")?;
        match dialog.sip.refer(uri).await {
            Ok(true) => {
                info!(%to, "handing the callee over");
                Ok(())
            }
            Ok(false) | Err(_) => Err(String::from("the line does not allow it now")),
        }
    }

    /// The trunk's answer.
    pub(super) async fn transfer_answered(&mut self, status: u16) {
        match &mut self.transfer {
            Some(Transfer { standing, .. }) if *standing == Standing::Asked && (200..300).contains(&status) => {
                *standing = Standing::Accepted;
            }
            // A notification may come before the answer.
            Some(_) if (200..300).contains(&status) => {}
            Some(_) => self.transfer_failed(&format!("the line refused it with status {status}")).await,
            None => {}
        }
    }

    /// The other end tells how its call gets on.
    pub(super) async fn transfer_gets_on(&mut self, status: u16, last: bool) {
        // One that was given up may be answered all the same: the callee is there then, and not here.
        if (200..300).contains(&status) {
            return self.end(Ending::of(HangupCause::Transferred));
        }
        let Some(transfer) = &mut self.transfer else { return };
        match status {
            486 | 600 => self.transfer_failed("the number is busy").await,
            300.. => self.transfer_failed(&format!("the number was not reached, status {status}")).await,
            _ if last => self.transfer_failed("the line did not say what became of it").await,
            // Every trunk says 100 at once (RFC 3515, section 2.4.4).
            101.. => transfer.standing = Standing::Told,
            _ => {}
        }
    }

    /// It did not work, and the conversation hears why.
    pub(super) async fn transfer_failed(&mut self, why: &str) {
        self.no_transfer(why).await;
        self.tell(Input::TransferFailed(why.to_owned())).await;
    }

    async fn no_transfer(&mut self, why: &str) {
        self.transfer = None;
        info!(why, "the callee was not handed over");
        self.call.note(CallEvent::TransferEnded { reason: why.to_owned() }).await;
    }
}

/// Where to: an address as it is, a number at the trunk's own domain.
fn address(to: &TransferTarget, domain: &str) -> Option<SipUri> {
    match to {
        TransferTarget::Address(_) => to.dial().parse::<Uri>().ok()?.as_sip().cloned(),
        TransferTarget::Number(number) => {
            let host: Host = domain.parse().ok()?;
            SipUri::new(host).with_user(number.dial()).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_called_at_the_trunk_and_addresses_where_they_are() {
        let shown = |to: &str| {
            let to = TransferTarget::parse(to).expect("a target");
            address(&to, "carrier.example").map(|uri| uri.to_string())
        };
        assert_eq!(shown("+4930123456").as_deref(), Some("sip:+4930123456@carrier.example"));
        assert_eq!(shown("sip:desk@10.0.0.1:5070").as_deref(), Some("sip:desk@10.0.0.1:5070"));
        assert_eq!(shown("sip:desk@[::1]").as_deref(), Some("sip:desk@[::1]"));
    }
}
