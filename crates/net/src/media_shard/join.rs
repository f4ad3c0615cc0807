//! Two legs joined: what one hears, the other says, frame by frame, between threads and rates. Hides the queue between them.
//! Never waits: a frame for which there is no room is dropped, so that what is said arrives late by a bounded time only,
//! however far the clocks of the two ends drift apart.

use callwright_media::pcm::Resampler;
use callwright_media::{Frame, Rate};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Frames between two legs: what one thread's turn may be behind the other's.
const FRAMES: usize = 3;
/// Most of the other's audio that waits on a leg for its turn. Beyond it the delay would be heard.
pub(super) const QUEUED: Duration = Duration::from_millis(60);

/// One leg's end of a joint.
pub(super) struct Joint {
    to: SyncSender<Frame>,
    from: Receiver<Frame>,
    /// From this leg's rate to the other's, where they differ.
    resampler: Option<Resampler>,
    converted: Vec<i16>,
}

impl Joint {
    /// The two ends of a joint between legs of these rates; none: audio cannot be converted between them.
    pub(super) fn between(one: Rate, other: Rate) -> Option<(Self, Self)> {
        let (to_other, from_one) = sync_channel(FRAMES);
        let (to_one, from_other) = sync_channel(FRAMES);
        Some((Self::new(to_other, from_other, (one, other))?, Self::new(to_one, from_one, (other, one))?))
    }

    fn new(to: SyncSender<Frame>, from: Receiver<Frame>, (own, others): (Rate, Rate)) -> Option<Self> {
        let resampler = match own == others {
            true => None,
            false => Some(Resampler::new(own.hertz(), others.hertz()).ok()?),
        };
        Some(Self { to, from, resampler, converted: Vec::with_capacity(2 * Rate::Wide.frame_samples()) })
    }

    /// Hands over what this leg heard.
    pub(super) fn give(&mut self, heard: &Frame) {
        let Some(resampler) = &mut self.resampler else { return self.push(*heard) };
        self.converted.clear();
        resampler.process(heard.samples(), &mut self.converted);
        for piece in self.converted.chunks(Rate::Wide.frame_samples()) {
            self.push(Frame::from_samples(piece));
        }
    }

    fn push(&self, frame: Frame) {
        // Full, or the other leg is gone: what is said now is heard by nobody.
        self.to.try_send(frame).ok();
    }

    /// What the other leg heard, if there is any.
    pub(super) fn take(&self) -> Option<Frame> {
        self.from.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_both_ways_at_the_others_rate_and_never_pile_up() {
        let (mut narrow, mut wide) = Joint::between(Rate::Narrow, Rate::Wide).expect("known rates");
        let mut samples = 0;
        for _ in 0..50 {
            narrow.give(&Frame::from_samples(&[1000; 160]));
            while let Some(frame) = wide.take() {
                samples += frame.len();
            }
        }
        assert!((15_600..=16_000).contains(&samples), "{samples}");
        wide.give(&Frame::from_samples(&[1000; 320]));
        assert!(narrow.take().is_some_and(|frame| frame.len() <= 160));
        for _ in 0..50 {
            narrow.give(&Frame::from_samples(&[1000; 160]));
        }
        assert_eq!(std::iter::from_fn(|| wide.take()).count(), FRAMES);
        drop(wide);
        narrow.give(&Frame::from_samples(&[0; 160]));
        assert!(narrow.take().is_none());
    }
}
