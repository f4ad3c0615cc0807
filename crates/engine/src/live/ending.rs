//! How a call ended and what is left to be done for it. Never ends anything itself.

use crate::limits::RECORDING_CLOSE;
use callwright_domain::{CallEvent, HangupCause};
use callwright_net::{RecordError, RecordingTicket};
use callwright_sip::HangupCause as SipCause;
use callwright_sip::{Ending as SipEnding, Failure};
use tokio::time::timeout;

/// The end of a call.
pub(super) struct Ending {
    /// Why.
    pub(super) cause: HangupCause,
    /// The SIP status that ended it.
    pub(super) status: Option<u16>,
    /// The Q.850 cause that came with it.
    pub(super) q850: Option<u8>,
    /// The recording that is being closed.
    pub(super) recording: Option<Tape>,
}

impl Ending {
    /// An end of our own making.
    pub(super) const fn of(cause: HangupCause) -> Self {
        Self { cause, status: None, q850: None, recording: None }
    }

    /// The end of an attempt that was never answered.
    pub(super) fn of_failure(failure: &Failure) -> Self {
        let q850 = failure.reason.as_ref().filter(|reason| reason.protocol == "Q.850").and_then(|reason| reason.cause);
        Self {
            cause: cause_of(failure.cause),
            status: failure.status,
            q850: q850.and_then(|cause| u8::try_from(cause).ok()),
            recording: None,
        }
    }

    /// The end of an answered call that the far end or the network brought about.
    pub(super) fn of_sip(ending: &SipEnding) -> Self {
        let q850 = ending.reason.as_ref().filter(|reason| reason.protocol == "Q.850").and_then(|reason| reason.cause);
        let cause = match ending.cause {
            SipCause::Normal => HangupCause::CalleeHungUp,
            other => cause_of(other),
        };
        Self { cause, status: None, q850: q850.and_then(|cause| u8::try_from(cause).ok()), recording: None }
    }

    /// The same end, with a recording to be closed.
    pub(super) fn with_tape(mut self, tape: Option<Tape>) -> Self {
        self.recording = tape;
        self
    }
}

/// A recording that is being closed.
pub(super) struct Tape {
    /// Its name in the blob store.
    pub(super) name: String,
    /// Tells when the file is whole.
    pub(super) ticket: RecordingTicket,
}

impl Tape {
    /// Waits until the file is whole; the event that says so.
    pub(super) async fn kept(self) -> Result<CallEvent, RecordError> {
        let recorded = timeout(RECORDING_CLOSE, self.ticket.finished()).await.unwrap_or(Err(RecordError::Gone))?;
        let duration_ms = u64::try_from(recorded.length.as_millis()).unwrap_or(u64::MAX);
        Ok(CallEvent::RecordingKept { name: self.name, duration_ms })
    }
}

/// One word of ours for each of SIP's. No wildcard: a cause that SIP gains must find its word here.
pub(super) fn cause_of(cause: SipCause) -> HangupCause {
    match cause {
        SipCause::Normal => HangupCause::CalleeHungUp,
        SipCause::Cancelled => HangupCause::Cancelled,
        SipCause::NoAnswer => HangupCause::NoAnswer,
        SipCause::Busy => HangupCause::Busy,
        SipCause::Declined | SipCause::Unwanted | SipCause::Forbidden | SipCause::PaymentRequired => {
            HangupCause::Rejected
        }
        SipCause::Unavailable | SipCause::NumberUnknown | SipCause::NumberInvalid => HangupCause::Unreachable,
        SipCause::Redirected => HangupCause::Redirected,
        SipCause::AuthFailed => HangupCause::AuthFailed,
        SipCause::IncompatibleMedia => HangupCause::MediaRefused,
        SipCause::NoResponse | SipCause::Timeout => HangupCause::NoResponse,
        SipCause::Congested
        | SipCause::TrunkFailure
        | SipCause::TransportFailed
        | SipCause::Protocol
        | SipCause::CallLost
        | SipCause::SessionExpired => HangupCause::TrunkFailed,
    }
}
