//! The journal over a real store whose database goes away and comes back, by a clock that the test moves.

use super::{Fed, Journal, journal};
use crate::limits::SPOOL_WORDS;
use crate::outbox::tests::{account, configure, plan};
use callwright_domain::{CallEvent, CallId, DialIntent, HangupCause, Moment, Pii, Recorded};
use callwright_store::{
    Admission, Disk, DiskTime, Ending, Opened, Patience, Reader, SPOOL_RECORDS, Spool, Store, StoreError, StoreSettings,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const START: Moment = Moment(1_700_000_000_000);
/// How long the database is away.
const AWAY: Duration = Duration::from_secs(60);

/// A database that is away, or full, when the test says so.
#[derive(Default)]
struct Line {
    away: AtomicBool,
    full: AtomicBool,
}

impl Disk for Line {
    fn before_commit(&self) -> DiskTime<Result<(), StoreError>> {
        let (away, full) = (self.away.load(Ordering::SeqCst), self.full.load(Ordering::SeqCst));
        Box::pin(async move {
            match (away, full) {
                (true, _) => Err(StoreError::Away { detail: "by order".into() }),
                (_, true) => Err(StoreError::Full),
                _ => Ok(()),
            }
        })
    }

    fn after_commit(&self) -> DiskTime<()> {
        Box::pin(async {})
    }

    fn before_read(&self) -> DiskTime<Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// One life of a node that does nothing but write.
struct Life {
    store: Store,
    reader: Reader,
    line: Arc<Line>,
    journal: Journal,
    feed: broadcast::Receiver<Fed>,
    stop: CancellationToken,
    writer: JoinHandle<()>,
}

impl Life {
    async fn begin(directory: &Path) -> Self {
        Self::begin_with(directory, Some(Spool::open(directory, "a").expect("a spool"))).await
    }

    async fn begin_with(directory: &Path, spool: Option<Spool>) -> Self {
        let (Opened { store, reader, .. }, line) = open(directory, "a").await;
        let (journal, mut writer) = journal(store.clone(), spool);
        let (stop, feed) = (CancellationToken::new(), journal.watch());
        writer.write_earlier().await.expect("the database is there");
        let writer = tokio::spawn(writer.run(stop.clone()));
        Self { store, reader, line, journal, feed, stop, writer }
    }

    /// The node goes down, or dies: nothing more is written.
    async fn end(self) {
        self.stop.cancel();
        self.writer.await.expect("the writer does not panic");
        self.store.close().await;
    }

    fn away(&self, is: bool) {
        self.line.away.store(is, Ordering::SeqCst);
    }

    /// A call that is being dialled.
    async fn dialled(&self, id: u128) -> CallId {
        let plan = plan(id, START);
        let call = plan.id;
        let patience = Patience::AnyPlace;
        let (idempotency, endpoint, alias) = (None, None, None);
        let admission = Admission { plan, idempotency, endpoint, alias, patience };
        self.store.admit(admission, START).await.expect("admitted");
        self.commit(call, dialing()).await.expect("written");
        call
    }

    async fn note(&self, call: CallId, event: CallEvent) {
        self.journal.note(&account(), call, START, event).await;
    }

    async fn commit(&self, call: CallId, event: CallEvent) -> Result<(), StoreError> {
        // No virtual second may pass: a call does not wait for the database.
        timeout(Duration::from_secs(1), self.journal.commit(&account(), call, START, event)).await.expect("at once")
    }

    async fn names(&self, call: CallId) -> Vec<String> {
        let journal = self.reader.journal(&account(), call, 0, 100_000).await.expect("read");
        assert!(journal.iter().map(|event| event.seq).eq(1..=journal.len() as u64), "a gap: {journal:?}");
        journal.iter().map(told).collect()
    }

    /// What watchers were told, up to the end of `calls` calls.
    async fn fed(&mut self, mut calls: usize) -> BTreeMap<CallId, Vec<String>> {
        let mut fed: BTreeMap<CallId, Vec<String>> = BTreeMap::new();
        while calls > 0 {
            let one = timeout(AWAY * 2, self.feed.recv()).await.expect("in time").expect("told");
            calls -= usize::from(matches!(one.recorded.event, CallEvent::Ended { .. }));
            fed.entry(one.call).or_default().push(told(&one.recorded));
        }
        fed
    }
}

fn told(recorded: &Recorded) -> String {
    match &recorded.event {
        CallEvent::Said { text, .. } => text.expose().clone(),
        CallEvent::Ended { cause, .. } => format!("{cause:?}"),
        event => event.name().to_owned(),
    }
}

fn dialing() -> CallEvent {
    let (call_id, from_tag, branch) = ("c".into(), "f".into(), "b".into());
    CallEvent::Dialing {
        intent: DialIntent { trunk: None, attempt: 1, call_id, from_tag, branch, cseq: 1, dialog: String::new() },
    }
}

fn answered() -> CallEvent {
    CallEvent::Answered { dialog: "dialog".into(), codec: "PCMU".into() }
}

fn said(words: impl ToString) -> CallEvent {
    CallEvent::Said { text: Pii::new(words.to_string()), interrupted: false, by_order: false, span: None, unsaid: None }
}

fn ended(cause: HangupCause) -> CallEvent {
    CallEvent::Ended { cause, status: None, q850: None }
}

async fn open(directory: &Path, node: &str) -> (Opened, Arc<Line>) {
    let line = Arc::new(Line::default());
    let settings = StoreSettings::directory(directory.join("database"), node);
    let opened = Store::open_simulated(settings, START, Arc::clone(&line) as Arc<dyn Disk>).await;
    (opened.expect("a store"), line)
}

async fn place() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let life = Life::begin(directory.path()).await;
    configure(&life.store).await;
    life.end().await;
    directory
}

/// On a shared database and on the embedded one, which has no other place for what happens.
#[tokio::test(start_paused = true)]
async fn what_happens_while_there_is_no_space_is_written_when_there_is() {
    for shared in [true, false] {
        let directory = place().await;
        let spool = shared.then(|| Spool::open(directory.path(), "a").expect("a spool"));
        let mut life = Life::begin_with(directory.path(), spool).await;
        let (one, two) = (life.dialled(1).await, life.dialled(2).await);
        life.note(one, answered()).await;
        sleep(AWAY / 4).await;
        life.line.full.store(true, Ordering::SeqCst);
        let trouble = CallEvent::Trouble { part: "recording".into(), detail: "full".into() };
        for event in [said("a"), trouble, said("b")] {
            life.note(one, event).await;
            sleep(AWAY / 4).await;
        }
        life.note(one, ended(HangupCause::CalleeHungUp)).await;
        if shared {
            // Nobody is dialled whose dialling is not in the database; without a spool, the journal is still at the others.
            assert!(life.commit(two, dialing()).await.is_err());
        }
        assert_eq!(life.names(one).await, ["created", "dialing", "answered"]);
        life.line.full.store(false, Ordering::SeqCst);
        life.fed(1).await;
        let names = ["created", "dialing", "answered", "a", "trouble", "b", "CalleeHungUp"];
        assert_eq!(life.names(one).await, names, "with a spool: {shared}");
        life.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_to_their_end_and_are_written_once_it_is_back() {
    let directory = place().await;
    let mut life = Life::begin(directory.path()).await;
    let (one, two, three) = (life.dialled(1).await, life.dialled(2).await, life.dialled(3).await);
    life.away(true);
    life.note(one, CallEvent::Ringing { status: 180 }).await;
    life.commit(one, answered()).await.expect("kept on disk");
    for words in ["a", "b", "c"] {
        life.note(one, said(words)).await;
        life.note(two, CallEvent::Trouble { part: "trunk".into(), detail: words.into() }).await;
        sleep(AWAY / 4).await;
    }
    // Nobody is dialled whose dialling is not in the database.
    let refused = life.commit(three, dialing()).await;
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    life.commit(two, ended(HangupCause::NoAnswer)).await.expect("kept on disk");
    life.commit(one, ended(HangupCause::CalleeHungUp)).await.expect("kept on disk");
    life.note(one, CallEvent::RecordingKept { name: "1.wav".into(), duration_ms: 9 }).await;
    sleep(AWAY / 4).await;
    assert_eq!(life.names(one).await, ["created", "dialing"], "the database was not there");
    life.away(false);
    let fed = life.fed(2).await;
    let first = ["created", "dialing", "ringing", "answered", "a", "b", "c", "CalleeHungUp", "recording_kept"];
    assert_eq!(life.names(one).await, first);
    assert_eq!(fed[&one], first[1..], "in order, and once");
    let second = ["created", "dialing", "trouble", "trouble", "trouble", "NoAnswer"];
    assert_eq!(
        (life.names(two).await.as_slice(), fed[&two].as_slice()),
        (&second.map(str::to_owned)[..], &second.map(str::to_owned)[1..])
    );
    assert_eq!(life.reader.records(&account(), one).await.expect("read").len(), 1);
    // From here on all is as it was.
    life.commit(three, ended(HangupCause::Busy)).await.expect("written");
    assert_eq!(life.names(three).await, ["created", "dialing", "Busy"]);
    life.end().await;
    assert!(Spool::open(directory.path(), "a").expect("opens").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_life_could_not_write_the_next_one_does_and_only_once() {
    let directory = place().await;
    let life = Life::begin(directory.path()).await;
    let (call, open) = (life.dialled(1).await, life.dialled(2).await);
    life.away(true);
    life.commit(call, answered()).await.expect("kept on disk");
    life.note(call, said("words")).await;
    life.commit(call, ended(HangupCause::AgentHungUp)).await.expect("kept on disk");
    life.commit(open, answered()).await.expect("kept on disk");
    life.end().await;
    let spool = spool_file(directory.path());
    let kept = std::fs::read(&spool).expect("a file");

    let wanted = ["created", "dialing", "answered", "words", "AgentHungUp"];
    for round in 0..2 {
        // The second round is that of a node that died before it could empty its spool.
        std::fs::write(&spool, &kept).expect("written");
        let life = Life::begin(directory.path()).await;
        assert_eq!(life.names(call).await, wanted, "round {round}");
        assert_eq!(life.names(open).await, ["created", "dialing", "answered"], "round {round}");
        assert_eq!(life.reader.records(&account(), call).await.expect("read").len(), 1);
        life.end().await;
    }
    // What was up is found with all that a goodbye needs.
    let life = Life::begin(directory.path()).await;
    let interrupted = life.store.interrupted_calls(START).await.expect("taken");
    assert_eq!(
        interrupted.iter().map(|call| (call.plan.id, call.dialog.as_deref())).collect::<Vec<_>>(),
        [(open, Some("dialog"))]
    );
    life.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_another_owner_has_written_stands() {
    let directory = place().await;
    let life = Life::begin(directory.path()).await;
    let call = life.dialled(1).await;
    life.away(true);
    life.commit(call, ended(HangupCause::CalleeHungUp)).await.expect("kept on disk");
    life.end().await;
    // Somebody who does not have the spool ends the call.
    let other = open(directory.path(), "b").await.0.store;
    assert_eq!(other.interrupted_calls(START).await.expect("taken").len(), 1);
    other.finish(call, START, Ending::from(HangupCause::ServerRestarted)).await.expect("ended");
    other.close().await;
    let life = Life::begin(directory.path()).await;
    assert_eq!(life.names(call).await, ["created", "dialing", "ServerRestarted"]);
    assert_eq!(life.reader.records(&account(), call).await.expect("read").len(), 1);
    life.end().await;
    assert!(Spool::open(directory.path(), "a").expect("opens").is_empty(), "it is not tried for ever");
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_leaves_words_out_and_no_end() {
    let directory = place().await;
    let life = Life::begin(directory.path()).await;
    let (one, two) = (life.dialled(1).await, life.dialled(2).await);
    for call in [one, two] {
        life.commit(call, answered()).await.expect("written");
    }
    life.away(true);
    for words in 0..SPOOL_RECORDS {
        life.note(one, said(words)).await;
    }
    for call in [one, two] {
        life.note(call, said("more")).await;
        life.commit(call, ended(HangupCause::CalleeHungUp)).await.expect("there is room for ends");
    }
    life.away(false);
    while life.names(two).await.len() < 5 {
        sleep(Duration::from_secs(1)).await;
    }
    let names = life.names(one).await;
    assert_eq!(names.len(), 3 + SPOOL_WORDS + 2);
    assert_eq!(names[3 + SPOOL_WORDS..], ["trouble", "CalleeHungUp"]);
    assert_eq!(life.names(two).await[3..], ["trouble", "CalleeHungUp"]);
    // It is words again from here on.
    let three = life.dialled(3).await;
    life.commit(three, answered()).await.expect("written");
    life.commit(three, said("again")).await.expect("written");
    assert_eq!(life.names(three).await[3..], ["again"]);
    life.end().await;
}

fn spool_file(directory: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path());
    entries.into_iter().find(|path| path.is_file()).expect("a spool")
}
