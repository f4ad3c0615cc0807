//! How many calls of a campaign to begin now. By free lines, not by guesswork: every number here is counted, none is
//! predicted. Times are milliseconds or microseconds that the caller brings.

use super::Pace;
use std::collections::VecDeque;
use std::time::Duration;

/// Answered calls below which a share says nothing: the guard then judges as if there were so many.
const LEAST_SAMPLE: u64 = 100;
/// Abandoned calls in a hundred answered ones from which a campaign slows down (BARS C8).
const SLOW_AT: u64 = 2;
/// Abandoned calls in a hundred answered ones from which it begins no more (16 CFR 310.4(b)(4)(i)).
const STOP_AT: u64 = 3;
/// A slowed campaign dials with one line in so many.
const SLOWED: u32 = 2;
/// Calls that may be begun at once after the pacer was not asked for a while, in microseconds of its pace.
const CATCH_UP: u64 = 250_000;
/// A second and a little, in microseconds: what lies between a call and the one that is `cps` later.
const SECOND: u64 = 1_008_000;
/// The same where several nodes dial, each at its own speed.
const SHARED_SECOND: u64 = 1_050_000;

/// What the share of abandoned calls asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    Clear,
    /// Fewer lines.
    Slow,
    /// No new calls.
    Halt,
}

impl Guard {
    /// The verdict on `abandoned` of `answered` calls of the last thirty days.
    pub const fn of(answered: u64, abandoned: u64) -> Self {
        let sample = if answered < LEAST_SAMPLE { LEAST_SAMPLE } else { answered };
        let share = abandoned.saturating_mul(100);
        if share >= sample.saturating_mul(STOP_AT) {
            Self::Halt
        } else if share >= sample.saturating_mul(SLOW_AT) {
            Self::Slow
        } else {
            Self::Clear
        }
    }
}

/// What is free at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supply {
    /// Calls that the campaign has and that have not ended.
    pub active: u32,
    /// Lines free at its caller numbers.
    pub callers: u32,
    /// Calls that the account, and the agent, may still have.
    pub account: u32,
    /// Calls that the node may still carry.
    pub node: u32,
    /// Calls that the pace allows now.
    pub paced: u32,
}

/// How many calls to begin now.
pub fn how_many(pace: &Pace, guard: Guard, supply: &Supply) -> u32 {
    let lines = match guard {
        Guard::Clear => pace.concurrency,
        Guard::Slow => (pace.concurrency / SLOWED).max(1),
        Guard::Halt => 0,
    };
    let own = lines.saturating_sub(supply.active);
    own.min(supply.callers).min(supply.account).min(supply.node).min(supply.paced)
}

/// Gives out beginnings of calls at an even pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacer {
    next_us: u64,
}

impl Pacer {
    /// A pacer of which nobody knows what was begun in the second before `now_us`: it waits that second out.
    pub const fn after_unknown(now_us: u64) -> Self {
        Self { next_us: now_us.saturating_add(SECOND) }
    }

    /// How many calls may be begun at `now_us`.
    pub fn allowance(&mut self, pace: &Pace, now_us: u64) -> u32 {
        let interval = interval_us(pace);
        let catch_up = if pace.gap_ms == 0 { CATCH_UP } else { 0 };
        self.next_us = self.next_us.max(now_us.saturating_sub(catch_up));
        match now_us.checked_sub(self.next_us) {
            None => 0,
            Some(late) => u32::try_from(late / interval + 1).unwrap_or(u32::MAX).min(pace.cps),
        }
    }

    /// Notes that `count` calls were begun.
    pub fn spend(&mut self, pace: &Pace, count: u32) {
        self.next_us = self.next_us.saturating_add(interval_us(pace).saturating_mul(u64::from(count)));
    }
}

/// The even distance between two calls, in microseconds.
fn interval_us(pace: &Pace) -> u64 {
    (1_000_000 / u64::from(pace.cps.max(1))).max(pace.gap_ms.saturating_mul(1_000)).max(1)
}

/// Who dials a campaign's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialers {
    /// One node; its [`Cadence`] keeps every second.
    One,
    /// Several, each of which takes its own time from a turn to the INVITE.
    Several,
}

/// How far apart the turns of a campaign's calls are. With several nodes a little more than evenly apart, so that no second
/// holds more than the pace says.
pub fn turns_apart(pace: &Pace, dialers: Dialers) -> Duration {
    let evenly = interval_us(pace);
    Duration::from_micros(match dialers {
        Dialers::One => evenly,
        Dialers::Several => evenly.max(SHARED_SECOND / u64::from(pace.cps.max(1))),
    })
}

/// Watches the moments at which INVITEs really leave, so that no second ever holds more than the pace allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cadence {
    /// The latest departures, oldest first; at most as many as one second may hold.
    sent_us: VecDeque<u64>,
    /// Nothing leaves before this.
    not_before_us: u64,
}

impl Cadence {
    /// A cadence of which nobody knows what left in the second before `now_us`.
    pub fn after_unknown(now_us: u64) -> Self {
        Self { sent_us: VecDeque::new(), not_before_us: now_us.saturating_add(SECOND) }
    }

    /// Before this nothing leaves, whatever the pace.
    pub const fn opening(&self) -> u64 {
        self.not_before_us
    }

    /// The earliest moment at which the next may leave.
    pub fn earliest(&self, pace: &Pace) -> u64 {
        let cps = usize::try_from(pace.cps.max(1)).unwrap_or(usize::MAX);
        let full = self.sent_us.len().checked_sub(cps).and_then(|at| self.sent_us.get(at));
        let after_second = full.map_or(0, |sent| sent.saturating_add(SECOND));
        // Short of the even distance, so that a departure that was late does not make all that follow late.
        let apart = if pace.gap_ms > 0 { interval_us(pace) } else { interval_us(pace) / 5 * 4 };
        let after_last = self.sent_us.back().map_or(0, |sent| sent.saturating_add(apart));
        after_second.max(after_last).max(self.not_before_us)
    }

    /// Notes that one left at `now_us`.
    pub fn left(&mut self, pace: &Pace, now_us: u64) {
        self.sent_us.push_back(now_us);
        let cps = usize::try_from(pace.cps.max(1)).unwrap_or(usize::MAX);
        while self.sent_us.len() > cps {
            self.sent_us.pop_front();
        }
    }
}
