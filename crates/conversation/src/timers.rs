//! Everything that can wake the machine, on one screen.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a conversation waits for. When several are due at once they ring in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The greeting's delay is over.
    Greeting,
    /// The callee's silence ends their turn.
    Endpoint,
    /// The callee has spoken over the agent long enough to interrupt.
    BargeIn,
    /// An interruption brought no words: it was none.
    NoWords,
    /// Text of the model has waited long enough for the rest of its clause.
    Clause,
    /// The model is slow: a configured filler.
    Filler,
    /// The callee has heard nothing for too long: a built-in sentence.
    Silence,
    /// The model has given no sign of life: it counts as failed.
    ModelPatience,
    /// A tool has not come back.
    ToolPatience,
    /// A flush was not reported.
    FlushReport,
    /// A phrase neither sounded nor ended.
    Playout,
    /// No further key was pressed.
    Keys,
    /// It may be known by now who answered.
    Screening,
    /// A machine has announced what it had to.
    Machine,
    /// Nobody speaks: a reminder.
    Reminder,
    /// Nobody has spoken for very long.
    IdleHangUp,
    /// The last words have taken long enough.
    LastWords,
}

/// A configured time. Beyond a year it is as good as never, and the sum with a moment must stay within the clock.
pub(crate) fn span(ms: u64) -> Duration {
    const YEAR_MS: u64 = 366 * 24 * 3600 * 1000;
    Duration::from_millis(ms.min(YEAR_MS))
}

/// The timers that run.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<Timer, Instant>);

impl Timers {
    /// Starts a timer, or moves it.
    pub(crate) fn set(&mut self, timer: Timer, due: Instant) {
        self.0.insert(timer, due);
    }

    /// Stops a timer.
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    /// Starts or stops a timer.
    pub(crate) fn arrange(&mut self, timer: Timer, due: Option<Instant>) {
        match due {
            Some(due) => self.set(timer, due),
            None => self.clear(timer),
        }
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes a timer that is due: the one that has been due for longest.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (timer, due) = self.0.iter().min_by_key(|(timer, due)| (**due, **timer)).map(|(t, d)| (*t, *d))?;
        if due > now {
            return None;
        }
        self.0.remove(&timer);
        Some(timer)
    }
}
