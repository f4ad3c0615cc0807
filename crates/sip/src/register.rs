//! What it takes to keep an account registered (RFC 3261 section 10): what the application asks for, and the schedule.
//!
//! Hides when to refresh and how long to wait after a failure. Sends nothing: the user agent does.

use std::time::Duration;

use crate::invite::TrunkRef;
use crate::message::{CallId, NameAddr, Uri};
use crate::transaction::{Alarm, TransactionId};

/// Shortest and longest registration asked for, seconds.
const EXPIRES_RANGE: std::ops::RangeInclusive<u32> = 30..=86_400;

/// First and longest wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// An account to be kept registered.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Where and with which account.
    pub trunk: TrunkRef,
    /// The registrar: the request URI, `sip:domain`.
    pub registrar: Uri,
    /// The address of record: To and From.
    pub address: NameAddr,
    /// How long to ask for, seconds; kept within 30 s and a day.
    pub expires: u32,
}

/// What an account is on the way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Registered.
    Stay,
    /// Unregistered and forgotten.
    Leave,
}

/// An account in the making.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) wanted: Registration,
    pub(crate) aim: Aim,
    pub(crate) call_id: CallId,
    pub(crate) tag: String,
    pub(crate) cseq: u32,
    pub(crate) transaction: Option<TransactionId>,
    pub(crate) alarm: Option<Alarm>,
    /// What is asked for now: a 423 raises it.
    pub(crate) expires: u32,
    failures: u32,
}

impl Registered {
    pub(crate) fn new(wanted: Registration, call_id: CallId, tag: String) -> Self {
        let expires = wanted.expires.clamp(*EXPIRES_RANGE.start(), *EXPIRES_RANGE.end());
        Self { wanted, aim: Aim::Stay, call_id, tag, cseq: 0, transaction: None, alarm: None, expires, failures: 0 }
    }

    /// The REGISTER went out again after a challenge.
    pub(crate) fn resent(&mut self, transaction: TransactionId, cseq: u32) {
        self.transaction = Some(transaction);
        self.cseq = cseq;
    }

    /// Takes what a 423 demands; false: it demands nothing that helps.
    pub(crate) fn raise(&mut self, demanded: Option<u32>) -> bool {
        match demanded {
            Some(seconds) if seconds > self.expires && EXPIRES_RANGE.contains(&seconds) => {
                self.expires = seconds;
                true
            }
            _ => false,
        }
    }

    /// How long to wait before the refresh of a registration granted for so many seconds.
    pub(crate) fn succeeded(&mut self, granted: u32) -> Duration {
        self.failures = 0;
        Duration::from_secs(u64::from(granted.max(10)) * 4 / 5)
    }

    /// How long to wait after a failure: doubling, no shorter than the registrar asked.
    pub(crate) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(5)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        wait.max(asked.unwrap_or_default())
    }
}
