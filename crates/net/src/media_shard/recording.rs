//! Recordings on disk, written by one thread so that a slow disk delays no tick. Hides the queue to it and the recycled
//! buffers. A file cut off by a crash plays to the cut: it begins with a streaming header, which is corrected every few
//! seconds and at the end. Never reads audio, never overwrites a file.

use callwright_media::record::{Chunk, HEADER_BYTES};
use callwright_media::{FramePair, Rate, Recorder};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How often the header is corrected.
const HEADER_EVERY: Duration = Duration::from_secs(5);
/// Audio held back for a slow disk before a recording is given up: about a minute at 8 kHz, 2 MB.
const HELD_BACK: u64 = 60 * 8000;

/// Bytes of one sample of both sides.
const SAMPLE_PAIR: u64 = 4;

/// A finished recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The file.
    pub path: PathBuf,
    /// How long it plays.
    pub length: Duration,
    /// Bytes in the file.
    pub bytes: u64,
}

/// Why a recording failed. The call goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be made or written.
    #[error("cannot write the recording: {0}")]
    Disk(#[from] io::Error),
    /// The disk is so far behind that nothing more can be queued.
    #[error("the disk does not keep up with the recordings")]
    Behind,
    /// The leg is closed.
    #[error("the leg is closed")]
    Gone,
    /// Not one sample was written.
    #[error("nothing was recorded")]
    Nothing,
}

/// Tells when a recording is complete, and when it stops before its time.
#[derive(Debug)]
pub struct RecordingTicket {
    done: oneshot::Receiver<Result<Recorded, RecordError>>,
    stopped: Option<RecordingStop>,
}

/// Tells that a recording stops before its time.
#[derive(Debug)]
pub struct RecordingStop(oneshot::Receiver<RecordError>);

impl RecordingStop {
    /// Waits for the moment; none: the recording was closed without one.
    pub async fn why(self) -> Option<RecordError> {
        self.0.await.ok()
    }
}

impl RecordingTicket {
    /// What tells that the recording stops before its time; once.
    pub const fn stop(&mut self) -> Option<RecordingStop> {
        self.stopped.take()
    }

    /// Waits until the file is complete: after the leg or the recording was closed. One that stopped before its time is as
    /// long as what was written of it.
    ///
    /// # Errors
    /// [`RecordError`] when there is nothing.
    pub async fn finished(self) -> Result<Recorded, RecordError> {
        self.done.await.unwrap_or(Err(RecordError::Gone))
    }
}

/// Makes the file of a recording, on the writing thread.
pub type CreateFile = Box<dyn FnOnce() -> io::Result<Box<dyn RecordingFile>> + Send>;

/// Where the bytes of a recording go. Used by the writing thread alone; a call may wait for the disk.
pub trait RecordingFile: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// As the disk says; nothing more is added then.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts the exact header in the place of the one that says "until the end". A file that is made differently may leave
    /// it to its readers.
    ///
    /// # Errors
    /// As the disk says.
    fn correct(&mut self, header: &[u8; HEADER_BYTES]) -> io::Result<()>;

    /// Everything was added.
    ///
    /// # Errors
    /// As the disk says.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A fresh file that only the owner may read, as it plays.
struct PlainFile(File);

impl RecordingFile for PlainFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn correct(&mut self, header: &[u8; HEADER_BYTES]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(header)?;
        self.0.seek(SeekFrom::End(0)).map(|_| ())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// A recording to be made.
pub struct Target {
    /// The file; there must be none yet.
    pub path: PathBuf,
    /// Makes it.
    pub create: CreateFile,
}

impl Target {
    /// A file that holds the audio as it plays.
    pub fn plain(path: PathBuf) -> Self {
        let at = path.clone();
        let create = move || create(&at).map(|file| Box::new(PlainFile(file)) as Box<dyn RecordingFile>);
        Self { path, create: Box::new(create) }
    }
}

/// Work for the writer.
enum Job {
    Open { id: u64, target: Target, rate: Rate, told: Told },
    Append { id: u64, bytes: Vec<u8>, header: [u8; HEADER_BYTES], spare: SyncSender<Vec<u8>> },
    Close { id: u64, bytes: Vec<u8>, header: [u8; HEADER_BYTES], samples: u64, verdict: Verdict },
}

/// Whom a recording tells.
struct Told {
    done: oneshot::Sender<Result<Recorded, RecordError>>,
    /// Used up when it stops.
    stopped: Option<oneshot::Sender<RecordError>>,
}

impl Told {
    fn stop(&mut self, error: RecordError) {
        tracing::error!(%error, "a recording stops");
        // Nobody may listen; the file is as it is.
        self.stopped.take().map(|stopped| stopped.send(error).ok());
    }
}

/// How a recording ended.
#[derive(Clone, Copy)]
enum Verdict {
    Complete,
    Behind,
}

/// Where recordings are opened.
#[derive(Clone)]
pub(super) struct RecordingDesk {
    jobs: SyncSender<Job>,
    next: Arc<AtomicU64>,
}

impl RecordingDesk {
    /// A desk at which nothing can be recorded.
    pub(super) fn without_disk() -> Self {
        let (jobs, _nobody) = sync_channel(1);
        Self { jobs, next: Arc::new(AtomicU64::new(1)) }
    }

    pub(super) fn open(&self, target: Target, rate: Rate) -> Result<(ShardRecording, RecordingTicket), RecordError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let ((done, finished), (stop, stopped)) = (oneshot::channel(), oneshot::channel());
        let told = Told { done, stopped: Some(stop) };
        self.jobs.try_send(Job::Open { id, target, rate, told }).map_err(|_| RecordError::Behind)?;
        let (recorder, jobs) = (Recorder::new(rate), self.jobs.clone());
        let recording = ShardRecording { id, recorder, written: 0, jobs, pending: None, closed: false };
        Ok((recording, RecordingTicket { done: finished, stopped: Some(RecordingStop(stopped)) }))
    }
}

/// The half of a recording that lives on the tick.
pub(super) struct ShardRecording {
    id: u64,
    recorder: Recorder,
    /// Samples handed to the writer.
    written: u64,
    jobs: SyncSender<Job>,
    /// What the writer had no room for; nothing more is taken from the recorder before it is gone.
    pending: Option<Job>,
    closed: bool,
}

/// Whether a recording goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recording {
    Going,
    /// The disk is too far behind.
    GivenUp,
}

impl ShardRecording {
    /// Adds one tick; hands a chunk to the writer when there is one and the writer has room, else keeps it.
    pub(super) fn push(&mut self, pair: &FramePair, buffers: &RecordingBuffers) -> Recording {
        if self.recorder.push(pair) == Chunk::Filling {
            return Recording::Going;
        }
        let samples = self.recorder.samples();
        if !self.hand_over() {
            return if samples - self.written > HELD_BACK { Recording::GivenUp } else { Recording::Going };
        }
        let header = self.recorder.header();
        let bytes = self.recorder.take(buffers.returned.try_recv().unwrap_or_default());
        self.written = samples;
        self.pending = Some(Job::Append { id: self.id, bytes, header, spare: buffers.spare.clone() });
        self.hand_over();
        Recording::Going
    }

    /// Hands over the end. False: no room now, try again.
    pub(super) fn close(&mut self, outcome: Recording) -> bool {
        if !self.hand_over() {
            return false;
        }
        if !self.closed {
            self.closed = true;
            let verdict = match outcome {
                Recording::Going => Verdict::Complete,
                Recording::GivenUp => Verdict::Behind,
            };
            let (header, samples) = (self.recorder.header(), self.recorder.samples());
            let bytes = self.recorder.take(Vec::new());
            self.pending = Some(Job::Close { id: self.id, bytes, header, samples, verdict });
        }
        self.hand_over()
    }

    /// Whether nothing is pending any more.
    fn hand_over(&mut self) -> bool {
        let Some(job) = self.pending.take() else { return true };
        match self.jobs.try_send(job) {
            // Without a writer there is nothing to keep it for; the ticket tells.
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
            Err(TrySendError::Full(job)) => {
                self.pending = Some(job);
                false
            }
        }
    }
}

/// Byte buffers that go round between a shard and the writer.
pub(super) struct RecordingBuffers {
    pub(super) spare: SyncSender<Vec<u8>>,
    pub(super) returned: Receiver<Vec<u8>>,
}

/// The writing thread.
pub(super) struct Writer {
    files: HashMap<u64, Open>,
}

struct Open {
    /// None: it could not be made, or nothing more can be written.
    file: Option<Box<dyn RecordingFile>>,
    /// Whether everything that was recorded is in the file.
    whole: bool,
    path: PathBuf,
    rate: Rate,
    bytes: u64,
    header_due: Instant,
    told: Told,
}

impl Writer {
    /// Starts the thread; it ends when nobody can record any more.
    pub(super) fn start(queue: usize) -> io::Result<RecordingDesk> {
        let (jobs, waiting) = sync_channel(queue.max(1));
        std::thread::Builder::new().name(String::from("recordings")).spawn(move || {
            let mut writer = Self { files: HashMap::new() };
            while let Ok(job) = waiting.recv() {
                writer.run(job);
            }
        })?;
        Ok(RecordingDesk { jobs, next: Arc::new(AtomicU64::new(1)) })
    }

    fn run(&mut self, job: Job) {
        match job {
            Job::Open { id, target, rate, mut told } => {
                // The error is told to whoever ordered the recording; here it only means that there is no file.
                let file = (target.create)().map_err(|error| told.stop(RecordError::Disk(error))).ok();
                let (whole, header_due) = (file.is_some(), Instant::now() + HEADER_EVERY);
                self.files.insert(id, Open { file, whole, path: target.path, rate, bytes: 0, header_due, told });
            }
            Job::Append { id, bytes, header, spare } => {
                if let Some(open) = self.files.get_mut(&id) {
                    open.append(&bytes, &header);
                }
                // A full pool, or a shard that has ended, needs no buffer back.
                drop(spare.try_send(bytes));
            }
            Job::Close { id, bytes, header, samples, verdict } => {
                if let Some(open) = self.files.remove(&id) {
                    open.close(&bytes, &header, samples, verdict);
                }
            }
        }
    }
}

impl Open {
    /// After the first failure nothing more is written, so that the file has no hole.
    fn append(&mut self, bytes: &[u8], header: &[u8; HEADER_BYTES]) {
        let Some(file) = self.file.as_mut().filter(|_| self.whole) else { return };
        if let Err(error) = file.append(bytes) {
            self.whole = false;
            self.told.stop(RecordError::Disk(error));
            return;
        }
        self.bytes += bytes.len() as u64;
        if Instant::now() >= self.header_due {
            self.header_due = Instant::now() + HEADER_EVERY;
            self.correct(header);
        }
    }

    /// A header that cannot be corrected goes on saying "until the end".
    fn correct(&mut self, header: &[u8; HEADER_BYTES]) {
        if let Some(Err(error)) = self.file.as_mut().map(|file| file.correct(header)) {
            tracing::warn!(%error, "the header of a recording could not be corrected");
        }
    }

    fn close(mut self, bytes: &[u8], header: &[u8; HEADER_BYTES], samples: u64, verdict: Verdict) {
        self.append(bytes, header);
        if matches!(verdict, Verdict::Behind) {
            self.told.stop(RecordError::Behind);
        }
        let length = if self.whole {
            self.correct(header);
            self.rate.duration_of(samples)
        } else {
            self.rate.duration_of(self.bytes.saturating_sub(HEADER_BYTES as u64) / SAMPLE_PAIR)
        };
        let written = self.file.is_some() && self.bytes > HEADER_BYTES as u64;
        // One that failed is left as it is: a format may not survive that something follows a failure.
        if let Some(Err(error)) = self.file.filter(|_| self.whole).map(RecordingFile::finish) {
            self.told.stop(RecordError::Disk(error));
        }
        let recorded = Recorded { path: self.path, length, bytes: self.bytes };
        let outcome = if written { Ok(recorded) } else { Err(RecordError::Nothing) };
        // Nobody may wait for the ticket any more; the file is complete all the same.
        drop(self.told.done.send(outcome));
    }
}

fn create(path: &PathBuf) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_media::Frame;

    fn buffers() -> RecordingBuffers {
        let (spare, returned) = sync_channel(4);
        RecordingBuffers { spare, returned }
    }

    fn pair(level: i16) -> FramePair {
        FramePair { heard: Frame::from_samples(&[level; 160]), sent: Frame::from_samples(&[-level; 160]) }
    }

    fn fresh_path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("callwright-{name}-{:016x}.wav", rand::random::<u64>()))
    }

    #[tokio::test]
    async fn a_recording_is_complete_and_private() {
        let desk = Writer::start(64).expect("a thread");
        let path = fresh_path("complete");
        let (mut recording, mut ticket) = desk.open(Target::plain(path.clone()), Rate::Narrow).expect("room");
        let buffers = buffers();
        for level in 0..200 {
            assert_eq!(recording.push(&pair(level), &buffers), Recording::Going);
        }
        while !recording.close(Recording::Going) {
            std::thread::yield_now();
        }
        let stop = ticket.stop().expect("once");
        let recorded = ticket.finished().await.expect("written");
        assert!(stop.why().await.is_none(), "it did not stop before its time");
        let file = std::fs::read(&path).expect("readable");
        assert_eq!(recorded, Recorded { path: path.clone(), length: Duration::from_secs(4), bytes: file.len() as u64 });
        assert_eq!(file.len(), HEADER_BYTES + 200 * 160 * 4);
        assert_eq!(file[40..44], (200_u32 * 160 * 4).to_le_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        }
        std::fs::remove_file(path).expect("removed");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_is_told_and_an_existing_one_kept() {
        let desk = Writer::start(64).expect("a thread");
        let path = fresh_path("existing");
        std::fs::write(&path, b"precious").expect("written");
        for refused in [path.clone(), PathBuf::from("/nonexistent/there.wav")] {
            let (mut recording, mut ticket) = desk.open(Target::plain(refused), Rate::Narrow).expect("room");
            recording.push(&pair(1), &buffers());
            while !recording.close(Recording::Going) {
                std::thread::yield_now();
            }
            let why = ticket.stop().expect("once").why().await;
            assert!(matches!(why, Some(RecordError::Disk(_))), "{why:?}");
            assert!(matches!(ticket.finished().await, Err(RecordError::Nothing)));
        }
        assert_eq!(std::fs::read(&path).expect("readable"), b"precious");
        std::fs::remove_file(path).expect("removed");
    }

    /// A file on a disk that is full after so many bytes.
    struct FullDisk(usize);

    impl RecordingFile for FullDisk {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(())
        }

        fn correct(&mut self, _header: &[u8; HEADER_BYTES]) -> io::Result<()> {
            Ok(())
        }

        fn finish(self: Box<Self>) -> io::Result<()> {
            panic!("nothing follows a failure")
        }
    }

    /// It is told when the disk is full, not when the call is over, and what was written until then is kept.
    #[tokio::test]
    async fn a_full_disk_is_told_at_once_and_costs_only_what_comes_after() {
        let desk = Writer::start(64).expect("a thread");
        let target =
            Target { path: PathBuf::from("full"), create: Box::new(|| Ok(Box::new(FullDisk(HEADER_BYTES + 100_000)))) };
        let (mut recording, mut ticket) = desk.open(target, Rate::Narrow).expect("room");
        let buffers = buffers();
        for level in 0..500 {
            while recording.pending.is_some() && !recording.hand_over() {
                std::thread::yield_now();
            }
            assert_eq!(recording.push(&pair(level), &buffers), Recording::Going, "the call goes on");
        }
        let why = ticket.stop().expect("once").why().await;
        assert!(matches!(why, Some(RecordError::Disk(error)) if error.kind() == io::ErrorKind::StorageFull));
        while !recording.close(Recording::Going) {
            std::thread::yield_now();
        }
        let recorded = ticket.finished().await.expect("what was written before");
        assert!(recorded.bytes > HEADER_BYTES as u64 && recorded.bytes <= HEADER_BYTES as u64 + 100_000);
        assert_eq!(recorded.length, Rate::Narrow.duration_of((recorded.bytes - HEADER_BYTES as u64) / SAMPLE_PAIR));
    }

    #[test]
    fn a_slow_disk_is_waited_for_and_then_given_up() {
        let (jobs, waiting) = sync_channel(1);
        let desk = RecordingDesk { jobs, next: Arc::new(AtomicU64::new(1)) };
        let (mut recording, _ticket) = desk.open(Target::plain(fresh_path("never")), Rate::Narrow).expect("room");
        let buffers = buffers();
        let given_up = (0..10_000).position(|_| recording.push(&pair(1), &buffers) == Recording::GivenUp);
        let seconds = given_up.expect("given up") / 50;
        assert!((60..=62).contains(&seconds), "{seconds} s");
        assert!(!recording.close(Recording::GivenUp));
        drop(waiting);
        assert!(recording.close(Recording::GivenUp));
    }
}
