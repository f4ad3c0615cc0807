//! What a transaction machine asks for after one stimulus: the vocabulary the four machines share.
//!
//! Never does anything itself.

use std::time::Duration;

use super::timer::Timer;
use crate::agent::Timers;

/// What to put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// The request of the transaction.
    Request,
    /// The ACK to a failure of an INVITE (RFC 3261 section 17.1.1.3).
    Ack,
    /// The latest answer.
    Response,
}

/// What the transaction's user hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// The answer that came in.
    Response,
    /// Nobody answered, or nobody acknowledged.
    Timeout,
    /// The way is broken.
    TransportFailed,
}

/// What becomes of one of a transaction's two timers: the repeating one (A, E, G) and the ending one (all others).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change {
    /// As it is.
    #[default]
    Keep,
    /// Stopped.
    Stop,
    /// Set anew.
    Set(Timer, Duration),
}

/// What follows one stimulus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) send: Option<Send>,
    pub(crate) tell: Option<Tell>,
    pub(crate) repeat: Change,
    pub(crate) end: Change,
    pub(crate) over: Over,
}

/// Whether the transaction lives on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Over {
    /// It does.
    #[default]
    No,
    /// It is to be forgotten.
    Yes,
}

impl Step {
    /// Nothing happens.
    pub(crate) const NOTHING: Self =
        Self { send: None, tell: None, repeat: Change::Keep, end: Change::Keep, over: Over::No };

    pub(crate) fn send(mut self, send: Send) -> Self {
        self.send = Some(send);
        self
    }

    pub(crate) fn tell(mut self, tell: Tell) -> Self {
        self.tell = Some(tell);
        self
    }

    pub(crate) fn repeat(mut self, change: Change) -> Self {
        self.repeat = change;
        self
    }

    pub(crate) fn end(mut self, change: Change) -> Self {
        self.end = change;
        self
    }

    pub(crate) fn over(mut self) -> Self {
        self.over = Over::Yes;
        self
    }
}

/// The times one transaction works with: the base timers and whether the network repeats for us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    timers: Timers,
    reliable: bool,
}

impl Pace {
    pub(crate) fn new(timers: Timers, reliable: bool) -> Self {
        Self { timers, reliable }
    }

    pub(crate) fn t1(&self) -> Duration {
        self.timers.t1
    }

    pub(crate) fn t2(&self) -> Duration {
        self.timers.t2
    }

    /// 64*T1.
    pub(crate) fn patience(&self) -> Duration {
        self.timers.patience()
    }

    /// The first interval of a repeating timer, which only unreliable transports have.
    pub(crate) fn first_repeat(&self, timer: Timer) -> Change {
        if self.reliable { Change::Stop } else { Change::Set(timer, self.timers.t1) }
    }

    /// How long late copies are awaited: not at all on reliable transports.
    pub(crate) fn linger(&self, timer: Timer) -> Option<Change> {
        let wait = match timer {
            Timer::I | Timer::K => self.timers.t4,
            // D is "at least 32 s" whatever T1 is, and never below 64*T1 (RFC 3261 section 17.1.1.2).
            Timer::D => self.timers.patience().max(Duration::from_secs(32)),
            _ => self.timers.patience(),
        };
        (!self.reliable).then_some(Change::Set(timer, wait))
    }
}
