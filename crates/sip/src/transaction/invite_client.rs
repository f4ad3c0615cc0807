//! The INVITE client transaction (RFC 3261 figure 5, with Accepted of RFC 6026 figure 7).
//!
//! ```text
//!               INVITE sent
//!   A: repeat ┌──────────┐ B or transport error: tell
//!        └───►│ Calling  ├───────────────────────────────┐
//!             └┬──┬────┬─┘                               │
//!          1xx │  │    │ 2xx: tell                       │
//!             ┌▼──┼────┼──────┐  2xx: tell               │
//!    1xx: tell│Proceeding     ├────────────┐             │
//!             └───┼───────────┘            │             │
//!     3xx-6xx: ACK, tell                   │             │
//!             ┌───▼───────┐          ┌─────▼────┐        │
//!    3xx-6xx: │ Completed │   2xx:   │ Accepted │        │
//!        ACK  └───┬───────┘   tell   └─────┬────┘        │
//!               D │                      M │             │
//!             ┌───▼────────────────────────▼─────────────▼┐
//!             │                Terminated                 │
//!             └───────────────────────────────────────────┘
//! ```
//!
//! Never knows what an INVITE or an answer says beyond its status.

use std::time::Duration;

use super::step::{Change, Pace, Send, Step, Tell};
use super::timer::Timer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct InviteClient {
    state: State,
    pace: Pace,
    interval: Duration,
}

impl InviteClient {
    /// Starts by sending the INVITE.
    pub(crate) fn start(pace: Pace) -> (Self, Step) {
        let machine = Self { state: State::Calling, pace, interval: pace.t1() };
        let step = Step::NOTHING
            .send(Send::Request)
            .repeat(pace.first_repeat(Timer::A))
            .end(Change::Set(Timer::B, pace.patience()));
        (machine, step)
    }

    /// Takes up an INVITE that an earlier run of the program sent: whatever comes is welcome, nothing is repeated.
    pub(crate) fn resume(pace: Pace) -> Self {
        Self { state: State::Proceeding, pace, interval: pace.t1() }
    }

    pub(crate) fn on_status(&mut self, status: u16) -> Step {
        match (self.state, status / 100) {
            (State::Calling | State::Proceeding, 1) => {
                self.state = State::Proceeding;
                Step::NOTHING.tell(Tell::Response).repeat(Change::Stop).end(Change::Stop)
            }
            (State::Calling | State::Proceeding, 2) => {
                self.state = State::Accepted;
                // M runs on reliable transports too: forks answer one after the other there as well.
                let end = Change::Set(Timer::M, self.pace.patience());
                Step::NOTHING.tell(Tell::Response).repeat(Change::Stop).end(end)
            }
            (State::Calling | State::Proceeding, _) => {
                let step = Step::NOTHING.send(Send::Ack).tell(Tell::Response).repeat(Change::Stop);
                match self.pace.linger(Timer::D) {
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
            (State::Accepted, 2) => Step::NOTHING.tell(Tell::Response),
            (State::Completed, 3..) => Step::NOTHING.send(Send::Ack),
            (State::Accepted | State::Completed | State::Terminated, _) => Step::NOTHING,
        }
    }

    pub(crate) fn on_timer(&mut self, timer: Timer) -> Step {
        match (self.state, timer) {
            (State::Calling, Timer::A) => {
                self.interval = self.interval.saturating_mul(2);
                Step::NOTHING.send(Send::Request).repeat(Change::Set(Timer::A, self.interval))
            }
            (State::Calling, Timer::B) => {
                self.state = State::Terminated;
                Step::NOTHING.tell(Tell::Timeout).over()
            }
            (State::Completed, Timer::D) | (State::Accepted, Timer::M) => {
                self.state = State::Terminated;
                Step::NOTHING.over()
            }
            _ => Step::NOTHING,
        }
    }

    /// Whether no final answer came yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    pub(crate) fn on_transport_failed(&mut self) -> Step {
        match self.state {
            State::Calling => {
                self.state = State::Terminated;
                Step::NOTHING.tell(Tell::TransportFailed).over()
            }
            // Answers may still come over another way; the user's own timers bound the wait.
            State::Proceeding | State::Completed | State::Accepted | State::Terminated => Step::NOTHING,
        }
    }
}
