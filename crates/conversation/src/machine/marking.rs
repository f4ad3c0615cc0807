//! Turns that the far end marks: it says when it begins to talk and when it has finished. What is heard between turns is
//! nobody's; silence within one ends nothing.

use super::{Conversation, Stage, Stance};
use crate::endpointing::Mark;
use crate::exchange::Press;
use crate::timers::Timer;
use callwright_domain::agent::Switch;
use std::time::{Duration, Instant};

/// How long after a turn words of it may still come.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whether turns are marked, and where the far end is in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Marks {
    /// They are not: voice and words tell.
    #[default]
    None,
    /// Between two turns.
    Between,
    /// Within one.
    Open,
    /// After one, whose words may still come until then.
    Closing(Instant),
}

impl Marks {
    /// Whether what is heard counts.
    pub(super) fn hear(self, now: Instant) -> bool {
        match self {
            Self::None | Self::Open => true,
            Self::Between => false,
            Self::Closing(until) => now <= until,
        }
    }

    /// The turn at hand has been taken, or what was said in it is lost.
    pub(super) const fn over(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Between | Self::Closing(_) | Self::Open => Self::Between,
        }
    }
}

impl Conversation {
    /// Turns are marked from now on, or no more.
    pub(super) fn mark_turns(&mut self, on: Switch) {
        if on.is_on() == (self.far_end.marks != Marks::None) {
            return;
        }
        self.far_end.marks = if on.is_on() { Marks::Between } else { Marks::None };
        self.forget_what_was_heard();
    }

    /// The far end marks a turn.
    pub(super) fn press(&mut self, now: Instant, press: Press) {
        let alive = matches!(self.stage, Stage::Greeting | Stage::Talking) && self.closing.is_none();
        if self.far_end.marks == Marks::None || !alive {
            return;
        }
        self.note_interaction(now);
        match press {
            Press::Begun => {
                let busy = self.stage == Stage::Talking && self.stance() != Stance::Quiet;
                if busy && self.mouth.is_interruptible() {
                    self.interrupt(now);
                    // It was meant: nothing is taken up again when no word comes.
                    self.interruption = None;
                    self.out.timers.clear(Timer::NoWords);
                }
                self.forget_what_was_heard();
                self.ears.mark(Mark::Open);
                self.far_end.marks = Marks::Open;
            }
            Press::Finished if self.far_end.marks == Marks::Open => {
                self.ears.mark(Mark::Ended(now));
                self.far_end.marks = Marks::Closing(now + LAST_WORDS);
            }
            Press::Finished => {}
            Press::Cancelled => {
                self.forget_what_was_heard();
                self.far_end.marks = self.far_end.marks.over();
            }
        }
    }

    fn forget_what_was_heard(&mut self) {
        self.drop_speculation();
        self.ears.reset();
        self.barge_in.speech_stopped();
    }
}
