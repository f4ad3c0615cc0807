//! The server transaction of every request but INVITE and ACK (RFC 3261 figure 8).
//!
//! ```text
//!                request in
//!                 ┌────────────┐
//!                 │   Trying   ├───────────┐
//!                 └──────┬─────┘           │
//!              1xx: send │                 │ 200-699: send
//!  request: repeat┌──────▼─────┐           │
//!  1xx: send  └──►│ Proceeding │           │
//!                 └──────┬─────┘           │
//!          200-699: send │                 │
//!  request: repeat┌──────▼─────────────────▼┐
//!             └──►│        Completed        │
//!                 └──────┬──────────────────┘
//!                      J │
//!                 ┌──────▼─────┐
//!                 │ Terminated │
//!                 └────────────┘
//! ```
//!
//! Never knows which method it carries.

use super::step::{Change, Pace, Send, Step};
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
pub(crate) struct NonInviteServer {
    state: State,
    pace: Pace,
}

impl NonInviteServer {
    pub(crate) fn start(pace: Pace) -> Self {
        Self { state: State::Trying, pace }
    }

    /// The user answers.
    pub(crate) fn on_respond(&mut self, status: u16) -> Step {
        match (self.state, status) {
            (State::Trying | State::Proceeding, ..=199) => {
                self.state = State::Proceeding;
                Step::NOTHING.send(Send::Response)
            }
            (State::Trying | State::Proceeding, _) => match self.pace.linger(Timer::J) {
                Some(end) => {
                    self.state = State::Completed;
                    Step::NOTHING.send(Send::Response).end(end)
                }
                None => {
                    self.state = State::Terminated;
                    Step::NOTHING.send(Send::Response).end(Change::Stop).over()
                }
            },
            (State::Completed | State::Terminated, _) => Step::NOTHING,
        }
    }

    /// The request came again.
    pub(crate) fn on_repeat(&mut self) -> Step {
        match self.state {
            State::Proceeding | State::Completed => Step::NOTHING.send(Send::Response),
            State::Trying | State::Terminated => Step::NOTHING,
        }
    }

    pub(crate) fn on_timer(&mut self, timer: Timer) -> Step {
        match (self.state, timer) {
            (State::Completed, Timer::J) => {
                self.state = State::Terminated;
                Step::NOTHING.over()
            }
            _ => Step::NOTHING,
        }
    }
}
