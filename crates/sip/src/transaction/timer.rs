//! Everything that can wake the user agent, on one screen, and the queue it waits in.
//!
//! Hides how wake-ups are kept: each one is removed the moment it is no longer wanted, so the next wake-up is always
//! a real one. Never reads a clock.

use std::collections::BTreeMap;
use std::time::Instant;

use super::TransactionId;
use crate::agent::RegistrationKey;
use crate::invite::CallKey;

/// What a wake-up is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A timer of RFC 3261 section 17.
    Transaction(TransactionId, Timer),
    /// A timer of a call.
    Call(CallKey, CallTimer),
    /// A re-INVITE has had 64*T1 for its final answer: RFC 3261 bounds no INVITE that got a provisional one.
    Overdue(TransactionId),
    /// A registration is to be refreshed or tried again.
    Register(RegistrationKey),
}

/// The timers of RFC 3261 table 4 and RFC 6026, by their letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// INVITE request repeated (T1, doubling), unreliable transports only.
    A,
    /// INVITE given up (64*T1).
    B,
    /// Repeated failures of an INVITE absorbed (32 s; 0 on reliable transports).
    D,
    /// Other request repeated (T1, doubling up to T2).
    E,
    /// Other request given up (64*T1).
    F,
    /// INVITE failure repeated until its ACK (T1, doubling up to T2).
    G,
    /// ACK given up (64*T1).
    H,
    /// Repeated ACKs absorbed (T4; 0 on reliable transports).
    I,
    /// Repeated requests absorbed (64*T1; 0 on reliable transports).
    J,
    /// Repeated answers absorbed (T4; 0 on reliable transports).
    K,
    /// Repeated INVITEs absorbed after a 2xx (64*T1, RFC 6026).
    L,
    /// Further 2xx of an INVITE awaited (64*T1, RFC 6026).
    M,
}

/// The timers of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallTimer {
    /// It has rung long enough: CANCEL.
    Ring,
    /// A CANCEL brought no final answer within 64*T1 (RFC 3261 section 9.1): forget the call.
    CancelPatience,
    /// A 2xx of ours without ACK is repeated (RFC 3261 section 13.3.1.4: T1, doubling up to T2).
    AnswerRepeat,
    /// No ACK for our 2xx within 64*T1: BYE.
    AckPatience,
    /// A reliable provisional answer without PRACK is repeated (RFC 3262 section 3: T1, doubling).
    ProvisionalRepeat,
    /// No PRACK within 64*T1: the INVITE is rejected with 5xx.
    ProvisionalPatience,
    /// The application has not answered an offer in time: 500... the session goes on as it was.
    OfferPatience,
    /// The session is to be refreshed (RFC 4028 section 10: half the interval).
    SessionRefresh,
    /// The session ran out (RFC 4028 section 10).
    SessionExpiry,
    /// A re-INVITE that met another one (491) may be sent again (RFC 3261 section 14.1).
    GlareRetry,
}

/// Names one wake-up in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    at: Instant,
    number: u64,
}

/// All wake-ups, earliest first; equal times in the order in which they were set.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    queue: BTreeMap<Alarm, Wake>,
    next: u64,
}

impl Alarms {
    /// Sets a wake-up.
    pub(crate) fn set(&mut self, at: Instant, wake: Wake) -> Alarm {
        let alarm = Alarm { at, number: self.next };
        self.next += 1;
        self.queue.insert(alarm, wake);
        alarm
    }

    /// Removes a wake-up, if it is still there, and empties its place.
    pub(crate) fn stop(&mut self, place: &mut Option<Alarm>) {
        if let Some(alarm) = place.take() {
            self.queue.remove(&alarm);
        }
    }

    /// Sets a wake-up in a place that may hold an older one.
    pub(crate) fn reset(&mut self, place: &mut Option<Alarm>, at: Instant, wake: Wake) {
        self.stop(place);
        *place = Some(self.set(at, wake));
    }

    /// When the earliest wake-up is due.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.queue.keys().next().map(|alarm| alarm.at)
    }

    /// Takes the earliest wake-up that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Wake> {
        let entry = self.queue.first_entry()?;
        (entry.key().at <= now).then(|| entry.remove())
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a virtual clock needs one real moment to start from")]
    fn wakes_in_order_and_forgets_what_was_stopped() {
        let start = Instant::now();
        let mut alarms = Alarms::default();
        let later = alarms.set(start + Duration::from_secs(2), Wake::Register(RegistrationKey(2)));
        alarms.set(start + Duration::from_secs(1), Wake::Register(RegistrationKey(1)));
        let mut place = Some(alarms.set(start, Wake::Register(RegistrationKey(0))));
        alarms.stop(&mut place);
        assert_eq!(alarms.next_at(), Some(start + Duration::from_secs(1)));
        assert_eq!(alarms.pop_due(start), None);
        assert_eq!(alarms.pop_due(start + Duration::from_secs(9)), Some(Wake::Register(RegistrationKey(1))));
        alarms.stop(&mut Some(later));
        assert_eq!(alarms.len(), 0);
    }
}
