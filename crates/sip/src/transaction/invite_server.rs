//! The INVITE server transaction (RFC 3261 figure 7, with Accepted of RFC 6026 figure 8).
//!
//! ```text
//!                 INVITE in
//!  INVITE: repeat ┌────────────┐
//!  1xx: send  └──►│ Proceeding ├─────────────┐ 2xx: send
//!                 └──────┬─────┘             │
//!         300-699: send  │                   │
//!  INVITE: repeat ┌──────▼─────┐       ┌─────▼────┐ INVITE: absorb
//!  G: repeat  └──►│ Completed  │       │ Accepted │ 2xx: send
//!                 └──┬──────┬──┘       └─────┬────┘
//!                ACK │      │ H: tell        │
//!                 ┌──▼──────┼──┐             │
//!     ACK: absorb │ Confirmed  │             │
//!                 └──┬──────┼──┘             │
//!                  I │      │              L │
//!                 ┌──▼──────▼────────────────▼┐
//!                 │        Terminated         │
//!                 └───────────────────────────┘
//! ```
//!
//! Repeating the 2xx is the user's work (RFC 3261 section 13.3.1.4). Never knows what an answer says beyond its status.

use std::time::Duration;

use super::step::{Change, Pace, Send, Step, Tell};
use super::timer::Timer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: State,
    pace: Pace,
    interval: Duration,
}

impl InviteServer {
    pub(crate) fn start(pace: Pace) -> Self {
        Self { state: State::Proceeding, pace, interval: pace.t1() }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The user answers.
    pub(crate) fn on_respond(&mut self, status: u16) -> Step {
        match (self.state, status / 100) {
            (State::Proceeding, 1) => Step::NOTHING.send(Send::Response),
            (State::Proceeding, 2) => {
                self.state = State::Accepted;
                Step::NOTHING.send(Send::Response).end(Change::Set(Timer::L, self.pace.patience()))
            }
            (State::Accepted, 2) => Step::NOTHING.send(Send::Response),
            (State::Proceeding, _) => {
                self.state = State::Completed;
                Step::NOTHING
                    .send(Send::Response)
                    .repeat(self.pace.first_repeat(Timer::G))
                    .end(Change::Set(Timer::H, self.pace.patience()))
            }
            _ => Step::NOTHING,
        }
    }

    /// The INVITE came again.
    pub(crate) fn on_repeat(&mut self) -> Step {
        match self.state {
            State::Proceeding | State::Completed => Step::NOTHING.send(Send::Response),
            State::Confirmed | State::Accepted | State::Terminated => Step::NOTHING,
        }
    }

    /// The ACK to a failure.
    pub(crate) fn on_ack(&mut self) -> Step {
        if self.state != State::Completed {
            return Step::NOTHING;
        }
        match self.pace.linger(Timer::I) {
            Some(end) => {
                self.state = State::Confirmed;
                Step::NOTHING.repeat(Change::Stop).end(end)
            }
            None => {
                self.state = State::Terminated;
                Step::NOTHING.repeat(Change::Stop).end(Change::Stop).over()
            }
        }
    }

    pub(crate) fn on_timer(&mut self, timer: Timer) -> Step {
        match (self.state, timer) {
            (State::Completed, Timer::G) => {
                self.interval = self.interval.saturating_mul(2).min(self.pace.t2());
                Step::NOTHING.send(Send::Response).repeat(Change::Set(Timer::G, self.interval))
            }
            (State::Completed, Timer::H) => {
                self.state = State::Terminated;
                Step::NOTHING.tell(Tell::Timeout).repeat(Change::Stop).over()
            }
            (State::Confirmed, Timer::I) | (State::Accepted, Timer::L) => {
                self.state = State::Terminated;
                Step::NOTHING.over()
            }
            _ => Step::NOTHING,
        }
    }
}
