//! What happened to calls while the shared database was away: on this machine's disk until it is back. Hides the file: lines
//! of JSON, each behind a checksum, in the order in which things happened; bounded, and the owner's alone to read. Never
//! knows what becomes of a record: whoever drains it says which are done with.
//!
//! What is taken out is taken out of memory first; the file is emptied when nothing is left. A crash in between leaves
//! records that the database has already, and the database knows them again by their marks ([`crate::Store::record`]).

use crate::{StoreError, sqlite};
use callwright_domain::{AccountId, CallEvent, CallId, Moment};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most records of a spool. A minute of a busy node; beyond it the database is not away but lost, and memory and disk are
/// bounded all the same.
pub const SPOOL_RECORDS: usize = 10_000;
/// Most bytes of its file: records are a few hundred bytes, but what a model said may be long.
const MOST_BYTES: u64 = 64 << 20;
/// The first line: what the file is, and in which form.
const HEADER: &str = "callwright spool 1\n";
/// Hexadecimal digits of a line's checksum, the beginning of its SHA-256.
const CHECKSUM: usize = 16;

/// One event that waits for the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spooled {
    /// Whose call.
    pub account: AccountId,
    /// Which.
    pub call: CallId,
    /// The life of this node that ran the call: it writes as that life, or not at all.
    pub epoch: i64,
    /// The event's mark within that life.
    pub mark: u64,
    /// When it happened.
    pub at: Moment,
    /// What happened.
    pub event: CallEvent,
}

/// Why records could not be kept. None of them is, then.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// There are [`SPOOL_RECORDS`], or the file has reached its size.
    #[error("the spool is full")]
    Full,
    /// The disk said no.
    #[error("the spool cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// The spool of one node. Dropping it leaves the file for the next life.
#[derive(Debug)]
pub struct Spool {
    file: Arc<File>,
    waiting: VecDeque<Spooled>,
    /// Records in the file, those that were taken out meanwhile among them.
    lines: usize,
    bytes: u64,
}

impl Spool {
    /// Opens the spool of a node in its data directory, with what an earlier life left there. A line that was cut short by
    /// a crash was never acknowledged and is dropped; one whose checksum is wrong is left out and told in the log.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it; [`StoreError::Directory`].
    pub fn open(directory: &Path, node: &str) -> Result<Self, StoreError> {
        sqlite::make_directory(directory)?;
        let path = path_of(directory, node);
        let failed = |error: io::Error| StoreError::Directory { path: path.clone(), detail: error.to_string() };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = sqlite::private_file(options).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = String::from("a server of the same node name");
                return Err(StoreError::InUse { path: directory.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        let found = read(&content);
        if found.damaged > 0 {
            tracing::error!(path = %path.display(), lines = found.damaged, "lines of the spool are damaged and left out");
        }
        let mut spool = Self { file: Arc::new(file), waiting: found.records, lines: 0, bytes: 0 };
        if spool.waiting.is_empty() {
            spool.empty().map_err(failed)?;
        } else {
            tracing::info!(
                records = spool.waiting.len(),
                "an earlier life left events that the database does not have"
            );
            spool.lines = spool.waiting.len();
            spool.bytes = found.good;
            spool.file.set_len(found.good).map_err(failed)?;
        }
        Ok(spool)
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Records that still fit. Those that were taken out make room when all are.
    pub fn room(&self) -> usize {
        SPOOL_RECORDS.saturating_sub(self.lines)
    }

    /// Keeps records behind those that wait; they are on disk when this returns.
    ///
    /// # Errors
    /// [`SpoolError`].
    pub async fn keep(&mut self, records: Vec<Spooled>) -> Result<(), SpoolError> {
        let mut text = String::new();
        for record in &records {
            let json = serde_json::to_string(record).map_err(io::Error::other)?;
            text.push_str(&checksum(json.as_bytes()));
            text.push(' ');
            text.push_str(&json);
            text.push('\n');
        }
        let (from, length) = (self.bytes, text.len() as u64);
        if records.len() > self.room() || from + length > MOST_BYTES {
            return Err(SpoolError::Full);
        }
        let file = Arc::clone(&self.file);
        let work = tokio::task::spawn_blocking(move || append(&file, from, text.as_bytes()));
        work.await.map_err(io::Error::other)??;
        self.bytes += length;
        self.lines += records.len();
        self.waiting.extend(records);
        Ok(())
    }

    /// The first `most` records that wait, in their order.
    pub fn front(&self, most: usize) -> Vec<Spooled> {
        self.waiting.iter().take(most).cloned().collect()
    }

    /// Of the first `portion` records, those of these calls are done with.
    ///
    /// # Errors
    /// When the file could not be emptied; what is in it then is drained once more by the next life, to no effect.
    pub fn settle(&mut self, portion: usize, calls: &BTreeSet<CallId>) -> Result<(), SpoolError> {
        let mut place = 0;
        self.waiting.retain(|record| {
            place += 1;
            place > portion || !calls.contains(&record.call)
        });
        if self.waiting.is_empty() && self.lines > 0 {
            self.empty()?;
        }
        Ok(())
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        append(&self.file, 0, HEADER.as_bytes())?;
        (self.lines, self.bytes) = (0, HEADER.len() as u64);
        Ok(())
    }
}

/// The file of a node. Two that share a directory by mistake do not share it.
fn path_of(directory: &Path, node: &str) -> PathBuf {
    directory.join(format!("spool-{}", checksum(node.as_bytes())))
}

/// Writes at the file's end, which is at `from`; a disk that refuses leaves it as it was.
fn append(mut file: &File, from: u64, bytes: &[u8]) -> io::Result<()> {
    let written = file.seek(SeekFrom::Start(from)).and_then(|_| file.write_all(bytes)).and_then(|()| file.sync_data());
    if let Err(error) = written {
        if let Err(also) = file.set_len(from) {
            tracing::warn!(error = %also, "half a line stays in the spool; it is dropped when it is read");
        }
        return Err(error);
    }
    Ok(())
}

fn checksum(bytes: &[u8]) -> String {
    let mut digits = hex::encode(Sha256::digest(bytes));
    digits.truncate(CHECKSUM);
    digits
}

struct Found {
    records: VecDeque<Spooled>,
    damaged: usize,
    /// Where the last whole line ends.
    good: u64,
}

fn read(content: &[u8]) -> Found {
    let mut found = Found { records: VecDeque::new(), damaged: 0, good: 0 };
    for (place, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        found.good += line.len() as u64;
        if place == 0 && line == HEADER.as_bytes() {
            continue;
        }
        match record_of(text) {
            Some(record) => found.records.push_back(record),
            None => found.damaged += 1,
        }
    }
    found
}

fn record_of(line: &[u8]) -> Option<Spooled> {
    let (sum, rest) = line.split_at_checked(CHECKSUM)?;
    let json = rest.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::{HangupCause, Pii};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn record(call: u128, mark: u64) -> Spooled {
        let event = CallEvent::Said {
            text: Pii::new(format!("words {mark}\nin two lines")),
            interrupted: false,
            by_order: false,
            span: None,
            unsaid: None,
        };
        let account = AccountId::new("acme").expect("a slug");
        Spooled { account, call: CallId::from_entropy(call), epoch: 3, mark, at: Moment(5), event }
    }

    fn all(spool: &Spool) -> Vec<u64> {
        spool.front(usize::MAX).iter().map(|record| record.mark).collect()
    }

    fn calls(of: &[u128]) -> BTreeSet<CallId> {
        of.iter().copied().map(CallId::from_entropy).collect()
    }

    #[tokio::test]
    async fn what_is_kept_is_there_in_the_next_life() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(directory.path(), "a").expect("opens");
        assert!(matches!(Spool::open(directory.path(), "a"), Err(StoreError::InUse { .. })));
        assert!(Spool::open(directory.path(), "b").expect("another node's").is_empty());
        let end = CallEvent::Ended { cause: HangupCause::CalleeHungUp, status: None, q850: Some(16) };
        spool.keep(vec![record(1, 1), record(2, 2)]).await.expect("kept");
        spool.keep(vec![Spooled { event: end, ..record(1, 3) }]).await.expect("kept");
        let kept = spool.front(9);
        drop(spool);
        let mode = fs::metadata(path_of(directory.path(), "a")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut spool = Spool::open(directory.path(), "a").expect("opens");
        assert_eq!(spool.front(9), kept);
        spool.settle(2, &calls(&[1])).expect("settled");
        assert_eq!(all(&spool), [2, 3], "the third was not in the portion");
        assert_eq!(spool.room(), SPOOL_RECORDS - 3, "room comes back when all are done with");
        spool.settle(2, &calls(&[1, 2])).expect("settled");
        assert_eq!((spool.len(), spool.room()), (0, SPOOL_RECORDS));
        drop(spool);
        assert!(Spool::open(directory.path(), "a").expect("opens").is_empty());
    }

    #[tokio::test]
    async fn a_torn_end_is_dropped_and_a_damaged_line_left_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = path_of(directory.path(), "a");
        let mut spool = Spool::open(directory.path(), "a").expect("opens");
        spool.keep(vec![record(1, 1), record(1, 2), record(1, 3)]).await.expect("kept");
        drop(spool);
        let whole = fs::read(&path).expect("readable");
        let lines: Vec<usize> =
            whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        for cut in lines[2] + 1..whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            let mut spool = Spool::open(directory.path(), "a").expect("opens");
            assert_eq!(all(&spool), [1, 2], "cut at {cut}");
            // What comes then stands on a line of its own.
            spool.keep(vec![record(2, 4)]).await.expect("kept");
            drop(spool);
            assert_eq!(all(&Spool::open(directory.path(), "a").expect("opens")), [1, 2, 4], "cut at {cut}");
        }
        for at in lines[0] + 1..lines[1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x01;
            fs::write(&path, &bytes).expect("written");
            let kept = all(&Spool::open(directory.path(), "a").expect("opens"));
            assert_eq!(kept, [2, 3], "a bit of byte {at}");
        }
    }

    #[tokio::test]
    async fn it_has_an_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::open(directory.path(), "a").expect("opens");
        spool.keep((1..SPOOL_RECORDS as u64).map(|mark| record(1, mark)).collect()).await.expect("kept");
        assert!(matches!(spool.keep(vec![record(1, 1), record(1, 2)]).await, Err(SpoolError::Full)));
        spool.keep(vec![record(1, 7)]).await.expect("one more fits");
        assert_eq!((spool.len(), spool.room()), (SPOOL_RECORDS, 0));
        drop(spool);
        assert_eq!(Spool::open(directory.path(), "a").expect("opens").len(), SPOOL_RECORDS);
    }
}
