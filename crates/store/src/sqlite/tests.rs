//! What only the embedded database can be made to do: run full, be newer, be damaged, be locked.

use crate::{Admission, AdmitError, Number, Opened, Store, StoreError, StoreSettings, Trunk, TrunkSettings};
use callwright_domain::agent::Switch;
use callwright_domain::{
    AccountId, AgentId, AgentProfile, CallEvent, CallId, CallPlan, Moment, Origin, PhoneNumber, Telephone, TrunkId, Way,
};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

pub(super) const NOW: Moment = Moment(1_700_000_000_000);
const PAGE: u64 = 4096;

pub(super) fn account() -> AccountId {
    AccountId::new("acme").unwrap()
}

pub(super) fn admission(id: u128, ballast: usize) -> Admission {
    let plan = CallPlan {
        id: CallId::from_entropy(id),
        account: account(),
        agent_id: AgentId::new("desk").unwrap(),
        agent: AgentProfile::default(),
        way: Way::Telephone(Telephone {
            callee: PhoneNumber::parse("+4915112345678").unwrap(),
            caller: PhoneNumber::parse("+4930123456").unwrap(),
            trunk: TrunkId::new("main").unwrap(),
            spare_trunks: Vec::new(),
            spare_callers: Vec::new(),
        }),
        variables: BTreeMap::from([("ballast".to_owned(), "x".repeat(ballast))]),
        user_data: None,
        thread: None,
        created: NOW,
        due: NOW,
        deadline: None,
        origin: Origin::default(),
        wait_ms: 0,
        retry: None,
        campaign: None,
        redaction: callwright_domain::Redaction::default(),
        talks_ms: None,
    };
    let patience = crate::Patience::AnyPlace;
    Admission { plan, idempotency: None, endpoint: None, alias: None, patience }
}

async fn open(directory: &Path) -> Result<Opened, StoreError> {
    Store::open(StoreSettings::directory(directory, "a"), NOW).await
}

pub(super) async fn configure(store: &Store) {
    let trunk = Trunk { id: TrunkId::new("main").unwrap(), settings: TrunkSettings::default(), enabled: Switch::On };
    store.put_trunk(account(), trunk).await.unwrap();
    let number = PhoneNumber::parse("+4930123456").unwrap();
    let number = Number { max_calls: u32::MAX, ..Number::new(account(), number, TrunkId::new("main").unwrap()) };
    store.put_number(number).await.unwrap();
}

async fn execute(store: &Store, sql: &'static str) {
    let done: Result<(), StoreError> = store
        .writer()
        .write(move |conn| Box::pin(async move { crate::sql::query(sql).fetch_all(conn).await.map(drop) }))
        .await;
    done.unwrap();
}

async fn filled(directory: &Path, calls: u128) {
    let opened = open(directory).await.unwrap();
    configure(&opened.store).await;
    for id in 1..=calls {
        opened.store.admit(admission(id, 100), NOW).await.unwrap();
    }
    opened.store.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await.unwrap();
    configure(&opened.store).await;
    execute(&opened.store, "PRAGMA max_page_count = 120").await;
    let mut accepted = Vec::new();
    let refused = loop {
        let id = u128::try_from(accepted.len()).unwrap() + 1;
        match opened.store.admit(admission(id, 2000), NOW).await {
            Ok(_) => accepted.push(CallId::from_entropy(id)),
            Err(error) => break error,
        }
        assert!(accepted.len() < 1000, "never full");
    };
    assert!(matches!(refused, AdmitError::Store(StoreError::Full)), "{refused}");
    assert!(!accepted.is_empty());
    execute(&opened.store, "PRAGMA max_page_count = 100000").await;
    opened.store.admit(admission(5000, 2000), NOW).await.unwrap();
    for id in accepted {
        assert!(opened.reader.call(&account(), id).await.unwrap().is_some(), "{id}");
    }
}

#[tokio::test]
async fn one_bad_job_does_not_harm_the_others_of_its_batch() {
    let opened = Store::open(StoreSettings::in_memory("a"), NOW).await.unwrap();
    configure(&opened.store).await;
    opened.store.admit(admission(1000, 0), NOW).await.unwrap();
    // One thread: all are queued before the writer runs, so they share a commit.
    let admits = (1..=40).map(|id| {
        let store = opened.store.clone();
        async move { store.admit(admission(id, 0), NOW).await.is_ok() }
    });
    let first = CallId::from_entropy(1000);
    let legal = CallEvent::Trouble { part: "ears".into(), detail: "gone".into() };
    let bad = opened.store.append(first, vec![(NOW, legal), (NOW, CallEvent::Interrupted)]);
    let twice = opened.store.admit(admission(1000, 0), NOW);
    let (admitted, bad, twice) = tokio::join!(futures_util::future::join_all(admits), bad, twice);
    assert_eq!(admitted.into_iter().filter(|ok| *ok).count(), 40);
    assert!(matches!(bad, Err(StoreError::Illegal(_))));
    assert!(matches!(twice, Err(AdmitError::Store(StoreError::Taken { .. }))));
    // The legal event before the illegal one is undone with it.
    assert_eq!(opened.reader.journal(&account(), first, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await.unwrap();
    execute(&opened.store, "INSERT INTO schema_steps (version) VALUES (999)").await;
    opened.store.close().await;
    let error = open(directory.path()).await.err().unwrap();
    assert!(matches!(error, StoreError::TooNew { found: 999, .. }), "{error}");
    assert!(error.to_string().contains("newer program"), "{error}");
}

#[tokio::test]
async fn two_processes_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await.unwrap();
    // Another open file description of the same process is refused like another process.
    let error = open(directory.path()).await.err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    opened.store.close().await;
    assert_eq!(open(directory.path()).await.unwrap().identity.epoch, 2);
}

#[tokio::test]
async fn a_verb_that_panics_costs_nobody_else_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await.unwrap();
    configure(&opened.store).await;
    let broken: Result<(), StoreError> = opened
        .store
        .writer()
        .write(|conn| {
            Box::pin(async move {
                crate::sql::query("DELETE FROM numbers").fetch_all(conn).await?;
                panic!("as a test")
            })
        })
        .await;
    assert!(matches!(broken, Err(StoreError::Database { .. })), "{broken:?}");
    // What it had done is undone, and the next verb is carried out.
    opened.store.admit(admission(1, 100), NOW).await.unwrap();
    opened.store.close().await;
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let opened = Store::open(StoreSettings::in_memory("a"), NOW).await.unwrap();
    let other = opened.store.clone();
    opened.store.close().await;
    assert!(matches!(other.purge(NOW).await, Err(StoreError::Closed)));
    other.close().await;
}

#[tokio::test]
async fn a_damaged_page_is_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 40).await;
    let file = directory.path().join(super::FILE_NAME);
    assert!(!directory.path().join("callwright.db-wal").exists(), "closing leaves one file");
    let pages = fs::metadata(&file).unwrap().len() / PAGE;
    assert!(pages > 20, "{pages}");
    for page in 0..pages {
        flip(&file, page * PAGE);
        let error = open(directory.path()).await.err();
        assert!(matches!(error, Some(StoreError::Corrupt { .. })), "page {page}: {error:?}");
        let text = error.unwrap().to_string();
        assert!(text.contains(".recover") && text.contains(file.to_str().unwrap()), "{text}");
        flip(&file, page * PAGE);
    }
    open(directory.path()).await.unwrap();
}

/// A large file is in use before it was read: a restart must not wait for a slow disk.
#[tokio::test]
async fn a_large_file_is_read_while_it_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 40).await;
    let opened = open(directory.path()).await.unwrap();
    assert!(opened.check.is_none(), "a small one was read before");
    execute(&opened.store, "CREATE TABLE ballast (content BLOB)").await;
    for _ in 0..66 {
        execute(&opened.store, "INSERT INTO ballast VALUES (zeroblob(1048576))").await;
    }
    execute(&opened.store, "CREATE TABLE later (number INTEGER PRIMARY KEY, text TEXT)").await;
    execute(&opened.store, "INSERT INTO later VALUES (1, 'something'), (2, 'more')").await;
    opened.store.close().await;
    let opened = open(directory.path()).await.unwrap();
    opened.check.expect("still to be read").run().await.expect("whole");
    opened.store.close().await;

    // The last page is the last table's, which nobody reads at the start.
    let file = directory.path().join(super::FILE_NAME);
    flip(&file, fs::metadata(&file).unwrap().len() - PAGE);
    let opened = open(directory.path()).await.unwrap();
    opened.store.admit(admission(100, 100), NOW).await.unwrap();
    let found = opened.check.expect("still to be read").run().await.unwrap_err();
    assert!(matches!(found, StoreError::Corrupt { .. }), "{found}");
    let text = found.to_string();
    assert!(text.contains(".recover") && text.contains(file.to_str().unwrap()), "{text}");
    opened.store.close().await;
}

#[tokio::test]
async fn half_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    filled(directory.path(), 40).await;
    let file = directory.path().join(super::FILE_NAME);
    let length = fs::metadata(&file).unwrap().len();
    OpenOptions::new().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    let error = open(directory.path()).await.err().unwrap();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

/// A log that was cut off in the middle of a write, as by a power cut: what was committed before the cut is all there,
/// in order, and nothing half.
#[tokio::test]
async fn a_torn_log_keeps_every_commit_before_the_tear() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await.unwrap();
    configure(&opened.store).await;
    for id in 1..=20 {
        opened.store.admit(admission(id, 100), NOW).await.unwrap();
    }
    let log = fs::read(directory.path().join("callwright.db-wal")).unwrap();
    let mut counts = Vec::new();
    for cut in (0..=10).map(|tenth| log.len() * tenth / 10) {
        let torn = tempfile::tempdir().unwrap();
        fs::copy(directory.path().join(super::FILE_NAME), torn.path().join(super::FILE_NAME)).unwrap();
        fs::write(torn.path().join("callwright.db-wal"), &log[..cut]).unwrap();
        let reopened = open(torn.path()).await.unwrap();
        let page = reopened.reader.calls(&account(), &crate::CallFilter::default(), None, 100).await.unwrap();
        let mut ids: Vec<u128> = page.items.iter().map(|view| view.plan.id.bits()).collect();
        ids.reverse();
        assert_eq!(ids, (1..=u128::try_from(ids.len()).unwrap()).collect::<Vec<_>>(), "cut at {cut}");
        for id in ids {
            let journal = reopened.reader.journal(&account(), CallId::from_entropy(id), 0, 9).await.unwrap();
            assert_eq!(journal.len(), 1, "half a call");
        }
        counts.push(page.items.len());
        reopened.store.close().await;
    }
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!((counts.first(), counts.last()), (Some(&0), Some(&20)));
    assert!(counts.iter().any(|count| (1..20).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("data");
    let opened = open(&directory).await.unwrap();
    configure(&opened.store).await;
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    for name in ["callwright.db", "callwright.db-wal", "lock"] {
        let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

fn flip(file: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 0xff]).unwrap();
}
