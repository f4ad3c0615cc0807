//! What a leg tells the engine. Hides chunking, recycled buffers and what happens when the engine is slow: audio is
//! dropped and counted, everything else is kept until it fits. Never waits.

use super::handle::Link;
use callwright_media::dtmf::Digit;
use callwright_media::leg::Hold;
use callwright_media::{LegEvent, MarkId, Rate};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Reports other than audio that wait for a slow engine before the leg gives up: a minute of a busy call.
const WAITING: usize = 256;
/// Audio chunks that wait beside a full queue before the oldest of them is dropped: over a second.
const WAITING_AUDIO: usize = 64;
/// For how long after speech chunks stay short: recognisers take up to two seconds of silence to end a turn, and speech
/// too soft for our own detector often follows.
const ATTENTION: Duration = Duration::from_secs(2);

/// A piece of caller audio, mono.
pub struct AudioChunk {
    samples: Vec<i16>,
    spare: SyncSender<Vec<i16>>,
    rate: Rate,
    ends: Instant,
}

impl AudioChunk {
    /// Samples a second.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// When its last sample came, or was made up for one that did not come.
    pub fn ends(&self) -> Instant {
        self.ends
    }
}

impl Deref for AudioChunk {
    type Target = [i16];

    fn deref(&self) -> &[i16] {
        &self.samples
    }
}

impl Drop for AudioChunk {
    fn drop(&mut self) {
        // A full pool, or a shard that has ended, needs no buffer back.
        drop(self.spare.try_send(std::mem::take(&mut self.samples)));
    }
}

impl fmt::Debug for AudioChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AudioChunk({} samples)", self.samples.len())
    }
}

/// What happened on a leg. The channel of reports closes with the leg.
#[derive(Debug)]
pub enum LegReport {
    /// Caller audio.
    Audio(AudioChunk),
    /// Somebody began to speak.
    SpeechStarted {
        /// When the speech began.
        at: Instant,
    },
    /// Nobody speaks any more; all audio of it was reported before.
    SpeechStopped {
        /// When the speech ended.
        at: Instant,
        /// How long it lasted.
        lasted: Duration,
    },
    /// A key was pressed.
    Dtmf {
        /// Which.
        digit: Digit,
        /// For how long.
        duration: Duration,
    },
    /// All audio before the mark was sent.
    Mark {
        /// Which.
        id: MarkId,
        /// When its last packet left.
        at: Instant,
    },
    /// The queue of agent audio ran empty.
    Drained {
        /// When its last packet left.
        at: Instant,
    },
    /// The keys were all sent.
    DtmfSent,
    /// The first packet of the far end was accepted.
    Up {
        /// When.
        at: Instant,
    },
    /// Not one packet came within the time allowed.
    NoMedia,
    /// Packets stopped for the time allowed.
    Lost,
    /// The far end put us on hold or took us back.
    Hold(Hold),
    /// The far end's RTCP said goodbye.
    Goodbye,
    /// A browser is connected: keys are agreed on, audio and messages can flow.
    Connected {
        /// When.
        at: Instant,
    },
    /// A browser sent a text message.
    Message(String),
    /// A browser closed the connection. A browser that is merely not heard of is [`LegReport::Lost`].
    Closed,
}

/// Buffers that go round between a shard and the engine.
pub(super) struct BufferPool {
    pub(super) spare: SyncSender<Vec<i16>>,
    pub(super) returned: Receiver<Vec<i16>>,
}

/// How long chunks are.
#[derive(Clone, Copy)]
pub(super) struct ChunkLengths {
    pub(super) quiet: usize,
    pub(super) speech: usize,
}

/// How closely a recogniser listens.
#[derive(Clone, Copy)]
enum Interest {
    /// Somebody speaks.
    Speech,
    /// Nobody speaks, but the last speech was not long ago until then.
    Until(Option<Instant>),
}

/// Reports on their way out of one leg.
pub(super) struct Outbox {
    reports: mpsc::Sender<LegReport>,
    /// Slots of `reports` that audio leaves free.
    reserve: usize,
    rate: Rate,
    lengths: ChunkLengths,
    interest: Interest,
    gathered: Vec<i16>,
    waiting: VecDeque<LegReport>,
    waiting_audio: VecDeque<AudioChunk>,
    link: Arc<Link>,
}

/// Whether the engine keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Going,
    /// Reports that must not be dropped do not fit any more.
    Overrun,
}

impl Outbox {
    pub(super) fn new(reports: mpsc::Sender<LegReport>, lengths: ChunkLengths, link: Arc<Link>) -> Self {
        Self {
            reserve: reports.max_capacity() / 4,
            reports,
            rate: link.rate,
            lengths,
            interest: Interest::Until(None),
            gathered: Vec::with_capacity(lengths.quiet.max(lengths.speech)),
            waiting: VecDeque::new(),
            waiting_audio: VecDeque::new(),
            link,
        }
    }

    /// Adds what was just heard.
    fn hear(&mut self, now: Instant, samples: &[i16], pool: &BufferPool) {
        self.gathered.extend_from_slice(samples);
        let target = match self.interest {
            Interest::Until(Some(until)) if now < until => self.lengths.speech,
            Interest::Until(_) => self.lengths.quiet,
            Interest::Speech => self.lengths.speech,
        };
        if self.gathered.len() >= target {
            self.cut(now, pool);
        }
    }

    /// Passes an event on at once; audio in chunks.
    pub(super) fn event(&mut self, now: Instant, event: LegEvent, pool: &BufferPool) {
        let report = match event {
            LegEvent::Heard(frame) => return self.hear(now, frame.samples(), pool),
            // The recorder's.
            LegEvent::Audio(_) => return,
            LegEvent::SpeechStarted { at } => {
                self.interest = Interest::Speech;
                self.cut(now, pool);
                LegReport::SpeechStarted { at }
            }
            LegEvent::SpeechStopped { at, lasted } => {
                self.interest = Interest::Until(now.checked_add(ATTENTION));
                self.cut(now, pool);
                LegReport::SpeechStopped { at, lasted }
            }
            LegEvent::Dtmf { digit, duration } => LegReport::Dtmf { digit, duration },
            LegEvent::Mark { id, at } => LegReport::Mark { id, at },
            LegEvent::Drained { at } => LegReport::Drained { at },
            LegEvent::DtmfSent => LegReport::DtmfSent,
            LegEvent::Up { at } => LegReport::Up { at },
            LegEvent::NoMedia => LegReport::NoMedia,
            LegEvent::Lost => LegReport::Lost,
            LegEvent::Hold(hold) => LegReport::Hold(hold),
            LegEvent::Goodbye => LegReport::Goodbye,
            LegEvent::Connected { at } => LegReport::Connected { at },
            LegEvent::Closed => LegReport::Closed,
        };
        self.report(report);
    }

    /// Passes a browser's text on.
    pub(super) fn message(&mut self, text: String) {
        self.report(LegReport::Message(text));
    }

    fn report(&mut self, report: LegReport) {
        self.waiting.push_back(report);
        self.hand_over();
    }

    /// Hands over what waits, as far as the engine has room.
    pub(super) fn hand_over(&mut self) -> Flow {
        while let Some(report) = self.waiting.pop_front() {
            match self.reports.try_send(report) {
                // A receiver that is gone wants nothing; the leg itself ends with its handle.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(report)) => {
                    self.waiting.push_front(report);
                    break;
                }
            }
        }
        while !self.waiting_audio.is_empty() && self.reports.capacity() > self.reserve {
            let Some(chunk) = self.waiting_audio.pop_front() else { break };
            if let Err(TrySendError::Full(LegReport::Audio(chunk))) = self.reports.try_send(LegReport::Audio(chunk)) {
                self.waiting_audio.push_front(chunk);
                break;
            }
        }
        if self.waiting.len() > WAITING { Flow::Overrun } else { Flow::Going }
    }

    /// Hands over the last, short chunk.
    pub(super) fn finish(&mut self, now: Instant, pool: &BufferPool) {
        self.cut(now, pool);
        self.hand_over();
    }

    fn cut(&mut self, now: Instant, pool: &BufferPool) {
        if self.gathered.is_empty() {
            return;
        }
        let mut fresh = pool.returned.try_recv().unwrap_or_default();
        fresh.clear();
        fresh.reserve(self.lengths.quiet.max(self.lengths.speech));
        let samples = std::mem::replace(&mut self.gathered, fresh);
        if self.waiting_audio.len() >= WAITING_AUDIO {
            self.waiting_audio.pop_front();
            self.link.dropped_chunks.fetch_add(1, Ordering::Relaxed);
        }
        let chunk = AudioChunk { samples, spare: pool.spare.clone(), rate: self.rate, ends: now };
        self.waiting_audio.push_back(chunk);
        self.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_media::{Frame, FramePair};

    fn pool() -> BufferPool {
        let (spare, returned) = std::sync::mpsc::sync_channel(8);
        BufferPool { spare, returned }
    }

    fn outbox(capacity: usize) -> (Outbox, mpsc::Receiver<LegReport>, Arc<Link>) {
        let (reports, received) = mpsc::channel(capacity);
        let link = Link::new(1, Rate::Narrow, 80_000);
        let lengths = ChunkLengths { quiet: 800, speech: 160 };
        (Outbox::new(reports, lengths, Arc::clone(&link)), received, link)
    }

    #[test]
    fn chunks_are_short_around_speech_and_long_in_silence() {
        let (mut outbox, mut received, _) = outbox(400);
        let (pool, start) = (pool(), Instant::now());
        let mut seen = Vec::new();
        for tick in 0..130 {
            let now = start + Duration::from_millis(20) * tick;
            match tick {
                7 => outbox.event(now, LegEvent::SpeechStarted { at: now }, &pool),
                17 => outbox.event(now, LegEvent::SpeechStopped { at: now, lasted: Duration::ZERO }, &pool),
                _ => {}
            }
            outbox.event(now, LegEvent::Heard(Frame::from_samples(&[1; 160])), &pool);
        }
        while let Ok(report) = received.try_recv() {
            seen.push(match report {
                LegReport::Audio(chunk) => chunk.len(),
                _ => 0,
            });
        }
        // Ten packets of speech and two seconds after it; then five packets a chunk.
        let expected = [vec![800, 320, 0], vec![160; 10], vec![0], vec![160; 100], vec![800; 2]].concat();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_is_for_the_recorder_is_not_reported() {
        let (mut outbox, mut received, _) = outbox(8);
        let frame = Frame::from_samples(&[1; 160]);
        for _ in 0..10 {
            outbox.event(Instant::now(), LegEvent::Audio(FramePair { heard: frame, sent: frame }), &pool());
        }
        assert!(received.try_recv().is_err());
    }

    #[test]
    fn audio_gives_way_and_events_are_kept() {
        let (mut outbox, mut received, link) = outbox(8);
        let (pool, now) = (pool(), Instant::now());
        for _ in 0..100 {
            outbox.hear(now, &[1; 800], &pool);
        }
        assert_eq!(received.len(), 6, "a quarter is kept free");
        assert_eq!(link.dropped_chunks.load(Ordering::Relaxed), 100 - 6 - WAITING_AUDIO as u64);
        for id in 0..40 {
            outbox.event(now, LegEvent::Mark { id: MarkId(id), at: now }, &pool);
        }
        let mut marks = Vec::new();
        for _ in 0..100 {
            assert_eq!(outbox.hand_over(), Flow::Going);
            match received.try_recv() {
                Ok(LegReport::Mark { id, .. }) => marks.push(id.0),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        assert_eq!(marks, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn an_engine_that_never_reads_ends_the_leg() {
        let (mut outbox, _received, _) = outbox(8);
        let (pool, now) = (pool(), Instant::now());
        for id in 0..WAITING as u64 + 9 {
            outbox.event(now, LegEvent::Mark { id: MarkId(id), at: now }, &pool);
        }
        assert_eq!(outbox.hand_over(), Flow::Overrun);
    }

    #[test]
    fn buffers_come_back() {
        let (mut outbox, mut received, _) = outbox(8);
        let (pool, now) = (pool(), Instant::now());
        outbox.hear(now, &[1; 800], &pool);
        drop(received.try_recv());
        assert!(pool.returned.try_recv().is_ok());
    }
}
