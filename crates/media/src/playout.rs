//! Agent audio waiting to be sent, with marks in it. Hides where in the queue a phrase ends and how much of it left.
//! Never blocks and never grows beyond its cap: what does not fit is refused, and `room` says how much fits.

use crate::Rate;
use std::collections::VecDeque;
use std::time::Duration;

/// A point in the queue, numbered by whoever sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkId(pub u64);

/// How much of one stretch of audio was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// The mark that closes the stretch; `None` for audio queued after the last mark.
    pub mark: Option<MarkId>,
    /// How much of it was sent.
    pub sent: Duration,
    /// How long it is (so far, when not yet closed by a mark).
    pub total: Duration,
}

/// What a flush threw away: every stretch that was not sent to its end, in order.
/// Only the first can have been sent in part; stretches sent whole were reported as marks before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The stretches cut.
    pub cut: Vec<Stretch>,
    /// Audio thrown away.
    pub dropped: Duration,
}

/// What taking a frame from the queue found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The frame is filled with queued audio (the last of it padded with silence).
    Audio,
    /// Nothing is queued; the frame was not touched.
    Nothing,
}

/// Samples of the fade that replaces a hard cut: 8 ms at 8 kHz. Shorter clicks, longer is heard as a syllable.
const FADE: usize = 64;

/// Queued marks: more than this many and the oldest audio has none; a phrase a second for ten seconds needs ten.
const MARK_CAP: usize = 256;

/// The queue. Positions are counted in samples since the leg began and never wrap.
pub struct Playout {
    rate: Rate,
    cap: usize,
    samples: VecDeque<i16>,
    /// Samples taken since the beginning; the head of `samples`.
    taken: u64,
    /// Where the stretch now at the head began.
    stretch_start: u64,
    marks: VecDeque<(MarkId, u64)>,
    reached: VecDeque<MarkId>,
    fade: [i16; FADE],
    fading: bool,
}

impl Playout {
    /// An empty queue that holds at most `cap` of audio.
    pub fn new(rate: Rate, cap: Duration) -> Self {
        Self {
            rate,
            cap: rate.samples_in(cap),
            samples: VecDeque::new(),
            taken: 0,
            stretch_start: 0,
            marks: VecDeque::new(),
            reached: VecDeque::new(),
            fade: [0; FADE],
            fading: false,
        }
    }

    /// Samples that can be queued now.
    pub fn room(&self) -> usize {
        self.cap.saturating_sub(self.samples.len())
    }

    /// How much audio waits.
    pub fn queued(&self) -> Duration {
        self.rate.duration_of(self.samples.len() as u64)
    }

    /// Whether nothing waits to be sent.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty() && !self.fading
    }

    /// Queues as much of `pcm` as fits and returns how many samples that was.
    pub fn push(&mut self, pcm: &[i16]) -> usize {
        let fits = self.room().min(pcm.len());
        self.samples.extend(&pcm[..fits]);
        fits
    }

    /// Sets a mark after everything queued so far. With nothing queued it is reached at once.
    /// Returns whether it was set: beyond 256 marks the newest are refused.
    pub fn mark(&mut self, id: MarkId) -> bool {
        if self.samples.is_empty() {
            self.stretch_start = self.taken;
            self.reached.push_back(id);
            return true;
        }
        if self.marks.len() >= MARK_CAP {
            return false;
        }
        self.marks.push_back((id, self.taken + self.samples.len() as u64));
        true
    }

    /// Fills `frame` from the queue; a short end is padded with silence.
    pub fn take(&mut self, frame: &mut [i16]) -> Taken {
        if self.is_empty() {
            return Taken::Nothing;
        }
        let faded = self.take_fade(frame);
        let rest = frame.get_mut(faded..).unwrap_or_default();
        let count = rest.len().min(self.samples.len());
        let (front, back) = self.samples.as_slices();
        let from_front = count.min(front.len());
        rest[..from_front].copy_from_slice(&front[..from_front]);
        rest[from_front..count].copy_from_slice(&back[..count - from_front]);
        rest[count..].fill(0);
        self.samples.drain(..count);
        self.taken += count as u64;
        while let Some((id, at)) = self.marks.front().copied() {
            if at > self.taken {
                break;
            }
            self.stretch_start = at;
            self.reached.push_back(id);
            self.marks.pop_front();
        }
        Taken::Audio
    }

    /// The next mark whose audio has been taken whole.
    pub fn poll_mark(&mut self) -> Option<MarkId> {
        self.reached.pop_front()
    }

    /// Throws everything away at once and says how much of it had been taken. A few milliseconds fade out so that
    /// the cut does not click; they are not counted as heard.
    pub fn flush(&mut self) -> Heard {
        let end = self.taken + self.samples.len() as u64;
        let mut cut = Vec::with_capacity(self.marks.len() + 1);
        let mut start = self.stretch_start;
        let closed = self.marks.iter().map(|(id, at)| (Some(*id), *at));
        for (mark, at) in closed.chain([(None, end)]) {
            if at > start {
                cut.push(Stretch {
                    mark,
                    sent: self.rate.duration_of(self.taken.saturating_sub(start).min(at - start)),
                    total: self.rate.duration_of(at - start),
                });
            }
            start = at;
        }
        let dropped = self.queued();
        self.start_fade();
        self.samples.clear();
        // Ten seconds of audio are not kept reserved by a leg that was interrupted once.
        self.samples.shrink_to(self.rate.hertz() as usize);
        self.marks.clear();
        self.stretch_start = self.taken;
        Heard { cut, dropped }
    }

    fn start_fade(&mut self) {
        let count = self.samples.len().min(FADE);
        self.fade.fill(0);
        for (i, sample) in self.samples.iter().take(count).enumerate() {
            let left = i32::try_from(FADE - i).unwrap_or(0);
            self.fade[i] = (i32::from(*sample) * left / FADE as i32) as i16;
        }
        self.fading = count > 0;
    }

    fn take_fade(&mut self, frame: &mut [i16]) -> usize {
        if !self.fading {
            return 0;
        }
        self.fading = false;
        let count = frame.len().min(FADE);
        frame[..count].copy_from_slice(&self.fade[..count]);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Playout {
        Playout::new(Rate::Narrow, Duration::from_secs(10))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn marks_come_when_their_audio_is_taken() {
        let mut playout = queue();
        playout.push(&[1; 240]);
        playout.mark(MarkId(1));
        playout.push(&[2; 80]);
        playout.mark(MarkId(2));
        let mut frame = [0; 160];
        assert_eq!(playout.take(&mut frame), Taken::Audio);
        assert_eq!(playout.poll_mark(), None);
        assert_eq!(playout.take(&mut frame), Taken::Audio);
        assert_eq!(frame[79], 1);
        assert_eq!(frame[80], 2);
        assert_eq!(playout.poll_mark(), Some(MarkId(1)));
        assert_eq!(playout.poll_mark(), Some(MarkId(2)));
        assert_eq!(playout.take(&mut frame), Taken::Nothing);
    }

    #[test]
    fn flush_tells_what_was_heard_of_each_stretch() {
        let mut playout = queue();
        playout.push(&[1; 160]);
        playout.mark(MarkId(1));
        playout.push(&[1; 1600]);
        playout.mark(MarkId(2));
        playout.push(&[1; 800]);
        playout.mark(MarkId(3));
        playout.push(&[1; 400]);
        let mut frame = [0; 160];
        for _ in 0..4 {
            playout.take(&mut frame);
        }
        let heard = playout.flush();
        let expected = [
            Stretch { mark: Some(MarkId(2)), sent: ms(60), total: ms(200) },
            Stretch { mark: Some(MarkId(3)), sent: ms(0), total: ms(100) },
            Stretch { mark: None, sent: ms(0), total: ms(50) },
        ];
        assert_eq!(heard.cut, expected);
        assert_eq!(heard.dropped, ms(140 + 100 + 50));
        assert_eq!(playout.poll_mark(), Some(MarkId(1)));
        assert_eq!(playout.poll_mark(), None);
        assert_eq!(playout.flush().cut, []);
    }

    #[test]
    fn a_flush_fades_within_one_frame_and_then_is_empty() {
        let mut playout = queue();
        playout.push(&[8000; 4000]);
        playout.flush();
        let mut frame = [1; 160];
        assert_eq!(playout.take(&mut frame), Taken::Audio);
        assert_eq!(frame[0], 8000);
        assert!(frame.windows(2).all(|w| w[0] >= w[1] && w[0] - w[1] <= 8000 / 32));
        assert_eq!(frame[FADE], 0);
        assert!(playout.is_empty());
    }

    #[test]
    fn the_cap_holds() {
        let mut playout = queue();
        assert_eq!(playout.push(&vec![1; 100_000]), 80_000);
        assert_eq!(playout.room(), 0);
        assert_eq!(playout.push(&[1]), 0);
        assert_eq!(playout.queued(), Duration::from_secs(10));
    }

    #[test]
    fn a_mark_on_an_empty_queue_is_reached_at_once() {
        let mut playout = queue();
        playout.mark(MarkId(9));
        assert_eq!(playout.poll_mark(), Some(MarkId(9)));
    }
}
