//! The client transaction of every request but INVITE and ACK (RFC 3261 figure 6).
//!
//! ```text
//!              request sent
//!   E: repeat ┌──────────┐ F or transport error: tell
//!        └───►│  Trying  ├────────────────────────────┐
//!             └┬───────┬─┘                            │
//!    1xx: tell │       │ 200-699: tell                │
//!             ┌▼───────┼──┐ F or transport error: tell│
//!   E: repeat │Proceeding ├───────────────────────────┤
//!             └────────┼──┘                           │
//!      200-699: tell   │                              │
//!             ┌────────▼──┐                           │
//!             │ Completed │                           │
//!             └────────┬──┘                           │
//!                    K │                              │
//!             ┌────────▼──────────────────────────────▼┐
//!             │              Terminated                │
//!             └────────────────────────────────────────┘
//! ```
//!
//! Never knows which method it carries.

use std::time::Duration;

use super::step::{Change, Pace, Send, Step, Tell};
use super::timer::Timer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct NonInviteClient {
    state: State,
    pace: Pace,
    interval: Duration,
}

impl NonInviteClient {
    /// Starts by sending the request.
    pub(crate) fn start(pace: Pace) -> (Self, Step) {
        let machine = Self { state: State::Trying, pace, interval: pace.t1() };
        let step = Step::NOTHING
            .send(Send::Request)
            .repeat(pace.first_repeat(Timer::E))
            .end(Change::Set(Timer::F, pace.patience()));
        (machine, step)
    }

    pub(crate) fn on_status(&mut self, status: u16) -> Step {
        match (self.state, status) {
            (State::Trying | State::Proceeding, ..=199) => {
                self.state = State::Proceeding;
                Step::NOTHING.tell(Tell::Response)
            }
            (State::Trying | State::Proceeding, _) => {
                let step = Step::NOTHING.tell(Tell::Response).repeat(Change::Stop);
                match self.pace.linger(Timer::K) {
                    Some(end) => {
                        self.state = State::Completed;
                        step.end(end)
                    }
                    None => {
                        self.state = State::Terminated;
                        step.end(Change::Stop).over()
                    }
                }
            }
            (State::Completed | State::Terminated, _) => Step::NOTHING,
        }
    }

    pub(crate) fn on_timer(&mut self, timer: Timer) -> Step {
        match (self.state, timer) {
            (State::Trying, Timer::E) => {
                self.interval = self.interval.saturating_mul(2).min(self.pace.t2());
                Step::NOTHING.send(Send::Request).repeat(Change::Set(Timer::E, self.interval))
            }
            (State::Proceeding, Timer::E) => {
                Step::NOTHING.send(Send::Request).repeat(Change::Set(Timer::E, self.pace.t2()))
            }
            (State::Trying | State::Proceeding, Timer::F) => {
                self.state = State::Terminated;
                Step::NOTHING.tell(Tell::Timeout).over()
            }
            (State::Completed, Timer::K) => {
                self.state = State::Terminated;
                Step::NOTHING.over()
            }
            _ => Step::NOTHING,
        }
    }

    pub(crate) fn on_transport_failed(&mut self) -> Step {
        match self.state {
            State::Trying | State::Proceeding => {
                self.state = State::Terminated;
                Step::NOTHING.tell(Tell::TransportFailed).over()
            }
            State::Completed | State::Terminated => Step::NOTHING,
        }
    }
}
