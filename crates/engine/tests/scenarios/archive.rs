//! Recordings that go to an object store: sent after their calls, through its failures and ours, read there, and removed
//! there.

use crate::{ms, said};
use callwright_domain::agent::Recording;
use callwright_domain::{CallEvent, PhoneNumber, Pii};
use callwright_store::{BlobError, BlobName, ErasureOrder, Keyring, Recordings, Remote, Sent, Suppress};
use callwright_testkit::{Callee, FakeS3, Node, NodeBuilder, PATIENCE, Plan, S3Fault};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use tokio::runtime::Handle;
use tokio::time::timeout;

fn keys() -> Keyring {
    Keyring::new("k1", &BTreeMap::from([(String::from("k1"), Pii::new("5a".repeat(32)))])).expect("a key")
}

fn builder(callee: &Callee, store: &FakeS3, directory: &Path) -> NodeBuilder {
    let mut builder = NodeBuilder::to(callee).data(directory).remote(store);
    builder.keys = keys();
    builder.agent(|agent| agent.recording = Recording::Stereo)
}

/// A call that was talked, recorded and ended: the name of its recording.
async fn recorded(node: &Node, callee: &mut Callee) -> String {
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hang_up();
    let kept = node.wait_for(call, "the recording", |event| matches!(event, CallEvent::RecordingKept { .. })).await;
    let CallEvent::RecordingKept { name, .. } = kept.event else { panic!("a recording") };
    name
}

async fn bytes_of(node: &Node, name: &str) -> Vec<u8> {
    let mut blob = node.calls().recording(name).await.expect("kept");
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        blob.content.read_to_end(&mut bytes).map(|_| (bytes, blob.length))
    });
    let (bytes, length) = read.await.expect("no panic").expect("readable");
    assert_eq!(bytes.len() as u64, length);
    bytes
}

/// Waits until the directory has no such file any more. The store has answered by then; the removal follows.
async fn gone_from(directory: &Path, name: &str) {
    let file = directory.join("recordings").join(name);
    let waiting = async {
        while file.exists() {
            tokio::time::sleep(ms(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the copy here goes");
}

#[tokio::test]
async fn a_recording_goes_to_the_store_and_is_read_and_erased_there() {
    let (store, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let mut callee = Callee::start(Plan::answer()).await;
    let node = builder(&callee, &store, directory.path()).start().await;
    store.fail(S3Fault::Away);
    let name = recorded(&node, &mut callee).await;
    let object = format!("calls/{name}");
    store.wait_for("an attempt", |store| !store.asked().is_empty()).await;
    let here = bytes_of(&node, &name).await;
    assert!(here.starts_with(b"RIFF"), "read here while the store is away");
    store.fail(S3Fault::None);
    store.wait_for("the recording", |store| store.object(&object).is_some()).await;
    gone_from(directory.path(), &name).await;
    let sealed = store.object(&object).expect("there");
    assert!(sealed.starts_with(b"CWSEAL1") && !sealed.windows(4).any(|at| at == b"RIFF"), "sealed as it was here");
    assert_eq!(bytes_of(&node, &name).await, here);
    // Away again: reading is refused by name, an erasure stays open, and neither forgets.
    store.fail(S3Fault::Away);
    assert!(matches!(node.calls().recording(&name).await, Err(BlobError::Away { .. })));
    let order = || ErasureOrder {
        account: node.account(),
        number: PhoneNumber::parse("+15550123").expect("a number"),
        suppress: Suppress::AsItWas,
        now: node.now(),
    };
    let open = node.calls().erase(order()).await.expect("taken up");
    assert_eq!((open.finished, open.tally.recordings), (None, 1));
    store.fail(S3Fault::None);
    // The sweeper may be at it right now; asking again is harmless.
    let finished = async { while node.calls().erase(order()).await.expect("taken up again").finished.is_none() {} };
    timeout(PATIENCE, finished).await.expect("finished");
    assert_eq!(store.object(&object), None, "nothing of it is left");
    assert!(matches!(node.calls().recording(&name).await, Err(BlobError::Missing)));
}

#[tokio::test]
async fn the_store_is_away_over_a_restart_and_nothing_is_lost() {
    let (store, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let mut callee = Callee::start(Plan::answer()).await;
    store.fail(S3Fault::Breaks);
    let doomed = builder(&callee, &store, directory.path()).start_doomed().await;
    let first = recorded(doomed.node(), &mut callee).await;
    let second = recorded(doomed.node(), &mut callee).await;
    let written =
        [&first, &second].map(|name| std::fs::read(directory.path().join("recordings").join(name)).expect(""));
    store.wait_for("an attempt", |store| !store.asked().is_empty()).await;
    doomed.kill();
    // What a crash left of a recording that no call names is nobody's to send.
    let leftover = directory.path().join("recordings").join(format!("{}.wav", "7".repeat(32)));
    std::fs::write(&leftover, b"CWSEAL1\n").expect("written");
    // Fewer failures than the client repeats, and one more than that: both are got over.
    store.fail(S3Fault::Requests(7));
    let node = builder(&callee, &store, directory.path()).start().await;
    for (name, written) in [&first, &second].into_iter().zip(written) {
        let object = format!("calls/{name}");
        store.wait_for("a recording of the life before", |store| store.object(&object).is_some()).await;
        gone_from(directory.path(), name).await;
        assert_eq!(store.object(&object), Some(written), "as it was written");
        assert!(bytes_of(&node, name).await.starts_with(b"RIFF"));
    }
    assert!(leftover.exists());
    assert_eq!(store.object(&format!("calls/{}.wav", "7".repeat(32))), None);
}

/// Long files go in parts, and are read in pieces that do not fall on any border.
#[tokio::test]
async fn a_long_recording_goes_in_parts_and_comes_back_in_any_piece() {
    let (store, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let remote = Remote::new(&store.settings()).expect("good settings");
    remote.check().await.expect("a store that lets us");
    let recordings = Recordings::open(directory.path().to_owned()).expect("opened").with_remote(remote);
    let name = BlobName::new("long.wav").expect("a name");
    let bytes: Vec<u8> = (0..(17_u32 << 20) + 5).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(recordings.path(&name), &bytes).expect("written");
    assert_eq!(recordings.send(&name).await.expect("sent"), Sent::Moved);
    assert_eq!(recordings.send(&name).await.expect("there is nothing to do"), Sent::NotHere);
    let parts = store.asked().iter().filter(|(_, _, query)| query.contains("partNumber=")).count();
    assert_eq!((parts, store.object("calls/long.wav").map(|object| object == bytes)), (3, Some(true)));
    let runtime = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let mut blob = recordings.read(&name, &runtime).expect("there");
        assert_eq!(blob.length, bytes.len() as u64);
        for (from, count) in [(0, 3), ((1 << 20) - 2, 5), (17 << 20, 5), (5 << 20, 3 << 20), (bytes.len(), 0)] {
            let mut piece = vec![0; count];
            blob.content.seek(SeekFrom::Start(from as u64)).expect("seeks");
            blob.content.read_exact(&mut piece).expect("readable");
            assert!(piece == bytes[from..from + count], "{count} bytes from {from}");
        }
    });
    reading.await.expect("no panic");
}

#[tokio::test]
async fn what_the_store_refuses_is_named_and_keys_are_never_told() {
    let (store, directory) = (FakeS3::start().await, tempfile::tempdir().expect("a directory"));
    let name = BlobName::new("a.wav").expect("a name");
    let of = |change: fn(&mut callwright_store::RemoteSettings)| {
        let mut settings = store.settings();
        change(&mut settings);
        let remote = Remote::new(&settings).expect("good settings");
        assert!(!format!("{settings:?} {remote:?}").contains("hunter2"));
        let recordings = Recordings::open(directory.path().to_owned()).expect("opened");
        std::fs::write(recordings.path(&name), b"RIFF").expect("written");
        recordings.with_remote(remote)
    };
    let wrong_key = of(|settings| settings.access_key = Pii::new(String::from("AKIDOTHER")));
    assert!(matches!(wrong_key.send(&name).await, Err(BlobError::Denied)));
    let no_bucket = of(|settings| settings.bucket = String::from("nowhere"));
    assert!(matches!(no_bucket.send(&name).await, Err(BlobError::Denied)));
    let good = of(|_| ());
    store.fail(S3Fault::Tells);
    let told = good.send(&name).await.expect_err("refused").to_string();
    assert!(!told.contains("hunter2") && !told.contains("AKIDCALLWRIGHT"), "{told}");
    store.fail(S3Fault::None);
    assert!(good.path(&name).exists(), "what was not sent is here");
    let other = BlobName::new("b.wav").expect("a name");
    let runtime = Handle::current();
    let missing = tokio::task::spawn_blocking(move || good.read(&other, &runtime).map(drop));
    assert!(matches!(missing.await.expect("no panic"), Err(BlobError::Missing)));
}
