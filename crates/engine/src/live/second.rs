//! A second leg: the server itself calls the one whom the callee is handed over to, for trunks that do not do that for us.
//! Hides its signalling and its audio path; what becomes of the call is the talk's to decide. Dropping it ends its call.

use super::dialing::{Dialog, Trouble, leg_settings, outbound};
use crate::limits::TRANSFER_PATIENCE;
use crate::node::Node;
use crate::trunks::Pick;
use callwright_domain::{CallEvent, CallPlan, DialIntent, TransferTarget, TrunkId};
use callwright_media::sdp::{Direction, LocalMedia, Negotiation};
use callwright_media::speech::Detection;
use callwright_net::{CallEvent as SipEvent, Farewell, LegHandle, LegReport};
use callwright_sip::{AckTiming, Body, DialogSnapshot, HangupCause as SipCause};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::debug;

/// The other telephone, and the audio path to it.
pub(super) struct Second {
    dialog: Dialog,
    leg: LegHandle,
    reports: mpsc::Receiver<LegReport>,
    /// Its channel on the trunk, as long as this lives.
    _passage: crate::trunks::Passage,
}

/// What happens on a second leg.
pub(super) enum News {
    /// It was made, or why not.
    Opened(Result<Box<Second>, Trouble>),
    /// From its signalling; `None`: it is gone.
    Sip(Option<SipEvent>),
    /// From its audio path; `None`: it is gone.
    Leg(Option<LegReport>),
}

/// Calls `to` through a trunk, as the `count`th of this call whom that is done for. The intent is on disk before it is done.
pub(super) async fn call(
    node: Arc<Node>,
    plan: CallPlan,
    to: TransferTarget,
    (trunk, count): (TrunkId, u32),
) -> Result<Box<Second>, Trouble> {
    let mut passage = match node.trunks.pick(&plan.account, std::slice::from_ref(&trunk)) {
        Pick::Take(passage) => passage,
        Pick::Wait(_) => return Err(Trouble::NoLine),
    };
    if !passage.claim(plan.id).await? {
        return Err(Trouble::NoLine);
    }
    let reachable = node.trunks.find(&plan.account, passage.trunk()).await?;
    let telephone = plan.telephone().ok_or(Trouble::NoLine)?;
    let mut settings = leg_settings(&node, &plan);
    settings.media.speech.detection = Detection::Off;
    let (leg, reports) = node.media.open(settings).await?;
    let mut negotiation = Negotiation::new(LocalMedia::telephone(leg.local()), node.entropy.bits64());
    let offer = Body::sdp(negotiation.offer(Direction::SendRecv)?);
    let id = plan.id;
    let mut intent = DialIntent {
        attempt: count,
        call_id: format!("{id}-t{count}@callwright"),
        from_tag: format!("{:016x}", node.entropy.bits64()),
        branch: format!("z9hG4bK{id}t{count}"),
        cseq: 1,
        trunk: Some(passage.trunk().clone()),
        dialog: String::new(),
    };
    let mut invite = outbound((&telephone.caller, &to), &reachable, &intent, offer)?;
    (invite.ring_timeout, invite.ack) = (TRANSFER_PATIENCE, AckTiming::AtOnce);
    intent.dialog = DialogSnapshot::of_intent(&invite)?.to_string();
    let stored = CallEvent::TransferDialing { intent };
    node.journal.commit(&plan.account, id, node.clock.now(), stored).await?;
    let sip = passage.in_turn(node.sip.invite(invite)).await??;
    let dialog = Dialog { sip, trunk, reachable, negotiation };
    Ok(Box::new(Second { dialog, leg, reports, _passage: passage }))
}

impl Second {
    /// The next thing that happens there.
    pub(super) async fn next(&mut self) -> News {
        tokio::select! {
            biased;
            event = self.dialog.sip.next() => News::Sip(event),
            report = self.reports.recv() => News::Leg(report),
        }
    }

    /// Somebody answered there: they and the far end of `first` hear each other. The dialog's text form, or why not.
    pub(super) async fn answered(&mut self, body: Option<Body>, first: &LegHandle) -> Result<String, &'static str> {
        let answer = body.map(|body| body.bytes).unwrap_or_default();
        let remote = self.dialog.negotiation.accept_answer(&answer).map_err(|_| "its answer holds no usable audio")?;
        let gone = |_| "its line is gone";
        self.leg.remote(remote).await.map_err(gone)?;
        let snapshot = self.dialog.sip.snapshot().await.map_err(|_| "its line is gone")?;
        first.join(&self.leg).await.map_err(gone)?;
        Ok(snapshot.map(|snapshot| snapshot.to_string()).unwrap_or_default())
    }

    /// Ends it; what tells when the far end knows.
    pub(super) fn farewell(self) -> Farewell {
        self.dialog.sip.farewell()
    }

    /// What else happens in its dialog.
    pub(super) async fn renegotiate(&mut self, event: SipEvent) {
        self.dialog.renegotiate(&self.leg, event).await;
    }

    /// A key that the other far end pressed.
    pub(super) async fn press(&self, digit: callwright_media::dtmf::Digit) {
        if let Err(gone) = self.leg.send_dtmf(vec![digit]).await {
            debug!(%gone, "a key was not passed on");
        }
    }
}

/// Why nobody was reached, in words.
pub(super) const fn words(cause: SipCause) -> &'static str {
    match cause {
        SipCause::Busy => "the number is busy",
        SipCause::NoAnswer => "nobody answered",
        SipCause::Declined | SipCause::Unwanted | SipCause::Forbidden | SipCause::PaymentRequired => {
            "the call there was declined"
        }
        SipCause::Normal
        | SipCause::Cancelled
        | SipCause::Unavailable
        | SipCause::NumberUnknown
        | SipCause::NumberInvalid
        | SipCause::Redirected
        | SipCause::AuthFailed
        | SipCause::IncompatibleMedia
        | SipCause::NoResponse
        | SipCause::Timeout
        | SipCause::Congested
        | SipCause::TrunkFailure
        | SipCause::TransportFailed
        | SipCause::Protocol
        | SipCause::CallLost
        | SipCause::SessionExpired => "the number was not reached",
    }
}
