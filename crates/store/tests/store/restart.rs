//! What a restart keeps and what it takes over; and a process killed at random instants loses nothing it acknowledged.

use crate::suite::{CALLER, NOW, account, admission, answered, call, dialing, equip, later, number};
use callwright_domain::{CallId, CallState, HangupCause, KeyId};
use callwright_store::{
    CallFilter, Ending, ErasureOrder, Number, Opened, Stage, Store, StoreError, StoreSettings, Suppress,
};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

async fn open(directory: &Path) -> Opened {
    named(directory, "a").await
}

async fn named(directory: &Path, node: &str) -> Opened {
    let settings = StoreSettings::directory(directory, node);
    Store::open(settings, NOW).await.expect("opens")
}

#[tokio::test]
async fn queued_calls_are_given_out_again_and_dialled_ones_never() {
    let directory = tempfile::tempdir().unwrap();
    let acme = account("acme");
    let opened = open(directory.path()).await;
    equip(&opened.store, &acme).await;
    for id in 1..=6 {
        opened.store.admit(admission(&acme, id), NOW).await.unwrap();
    }
    // 1 to 5 are claimed; 6 is not due to anybody yet.
    assert_eq!(opened.store.claim_due(NOW, 5).await.unwrap().len(), 5);
    opened.store.append(call(2), vec![(NOW, dialing(1))]).await.unwrap();
    opened.store.append(call(3), vec![(NOW, dialing(1)), (NOW, dialing(2)), (NOW, answered())]).await.unwrap();
    opened.store.append(call(4), vec![(NOW, dialing(1))]).await.unwrap();
    opened.store.finish(call(4), NOW, Ending::from(HangupCause::Busy)).await.unwrap();
    opened.store.renew_lease(NOW, Duration::from_secs(3600)).await.unwrap();
    let stale = opened.store.clone();
    opened.store.close().await;

    // Another name does not have to wait for the old one's lease: the directory is ours.
    let opened = named(directory.path(), "b").await;
    let taken = opened.store.interrupted_calls(NOW).await.unwrap();
    assert_eq!(taken.iter().map(|call| call.plan.id.bits()).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((taken[0].state, taken[0].dialog.as_deref()), (CallState::Dialing, None));
    assert_eq!((taken[1].state, taken[1].dialog.as_deref()), (CallState::Talking, Some("dialog text")));
    assert_eq!(taken[1].intent.as_ref().map(|intent| intent.attempt), Some(2));
    assert_eq!(opened.store.interrupted_calls(NOW).await.unwrap(), []);
    let due = opened.store.claim_due(NOW, 100).await.unwrap();
    assert_eq!(due.iter().map(|plan| plan.id.bits()).collect::<Vec<_>>(), [1, 5, 6]);
    assert_eq!(opened.reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 5);
    for call in taken {
        opened.store.finish(call.plan.id, NOW, Ending::from(HangupCause::ServerRestarted)).await.unwrap();
    }
    assert_eq!(opened.reader.active_calls(&acme, &number(CALLER)).await.unwrap(), 3);
    assert!(matches!(stale.purge(NOW).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_take_over_that_was_cut_short_is_repeated_in_the_next_life() {
    let directory = tempfile::tempdir().unwrap();
    let acme = account("acme");
    let opened = open(directory.path()).await;
    equip(&opened.store, &acme).await;
    opened.store.admit(admission(&acme, 1), NOW).await.unwrap();
    opened.store.claim_due(NOW, 1).await.unwrap();
    opened.store.append(call(1), vec![(NOW, dialing(1))]).await.unwrap();
    opened.store.close().await;
    for epoch in 2..5 {
        let opened = open(directory.path()).await;
        assert_eq!(opened.identity.epoch, epoch);
        assert_eq!(opened.store.interrupted_calls(NOW).await.unwrap().len(), 1);
        opened.store.close().await;
    }
}

#[tokio::test]
async fn a_goodbye_that_was_not_answered_is_owed_by_the_next_life() {
    let directory = tempfile::tempdir().unwrap();
    let acme = account("acme");
    let opened = open(directory.path()).await;
    equip(&opened.store, &acme).await;
    for id in 1..=3 {
        opened.store.admit(admission(&acme, id), NOW).await.unwrap();
        opened.store.claim_due(NOW, 1).await.unwrap();
        let events = if id == 3 { vec![dialing(1)] } else { vec![dialing(1), answered()] };
        opened.store.append(call(id), events.into_iter().map(|event| (NOW, event)).collect()).await.unwrap();
        let dialog = Some(String::from("of an answer that was of no use"));
        opened.store.owe_goodbye((acme.clone(), call(id)), dialog).await.unwrap();
        opened.store.finish(call(id), NOW, Ending::from(HangupCause::ApiHungUp)).await.unwrap();
    }
    opened.store.goodbye_said((acme.clone(), call(2))).await.unwrap();
    assert_eq!(opened.store.interrupted_calls(NOW).await.unwrap(), [], "what is ours to say is being said");
    opened.store.close().await;
    for _ in 0..2 {
        let opened = open(directory.path()).await;
        let owed = opened.store.interrupted_calls(NOW).await.unwrap();
        assert_eq!(owed.iter().map(|call| call.plan.id.bits()).collect::<Vec<_>>(), [1, 3]);
        assert_eq!((owed[0].state.is_ended(), owed[0].dialog.as_deref()), (true, Some("dialog text")));
        let intent = owed[1].intent.as_ref().expect("it was dialled");
        assert_eq!((owed[1].dialog.as_ref(), intent.dialog.as_str()), (None, "of an answer that was of no use"));
        assert_eq!(opened.store.interrupted_calls(NOW).await.unwrap(), [], "once in a life");
        opened.store.close().await;
    }
    let opened = open(directory.path()).await;
    assert_eq!(opened.store.left_behind(NOW).await.unwrap().len(), 2);
    for id in [1, 3] {
        opened.store.goodbye_said((acme.clone(), call(id))).await.unwrap();
    }
    opened.store.close().await;
    assert_eq!(open(directory.path()).await.store.interrupted_calls(NOW).await.unwrap(), []);
}

#[tokio::test]
async fn nonces_and_keys_survive() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyId::new("k").unwrap();
    let keep = Duration::from_secs(900);
    let opened = open(directory.path()).await;
    assert!(opened.store.use_nonce(key.clone(), "n".into(), NOW, keep).await.unwrap());
    opened.store.close().await;
    let opened = open(directory.path()).await;
    assert!(!opened.store.use_nonce(key, "n".into(), later(1), keep).await.unwrap());
}

const CHILD: &str = "CALLWRIGHT_STORE_KILL_CHILD";
const ROUNDS: u128 = 30;
const AT_ONCE: u128 = 8;

/// The other process of the kill loop; does nothing when it is run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_of_the_kill_loop() {
    let Ok(spec) = std::env::var(CHILD) else { return };
    let (round, directory) = spec.split_once(':').unwrap();
    let round: u128 = round.parse().unwrap();
    let opened = open(Path::new(directory)).await;
    let tasks = (0..AT_ONCE).map(|task| tokio::spawn(live(opened.store.clone(), (round * AT_ONCE + task) << 32)));
    join_all(tasks).await;
}

/// Accepts, dials and ends calls for ever, and says so after each acknowledgement.
async fn live(store: Store, base: u128) {
    for n in 1..u128::from(u32::MAX) {
        let id = call(base + n);
        store.admit(admission(&account("acme"), base + n), NOW).await.unwrap();
        say("admitted", id);
        if n % 3 == 0 {
            continue;
        }
        store.append(id, vec![(NOW, dialing(1))]).await.unwrap();
        say("dialled", id);
        if n % 3 == 1 {
            store.finish(id, NOW, Ending::from(HangupCause::Busy)).await.unwrap();
            say("ended", id);
        }
    }
}

fn say(what: &str, id: CallId) {
    // One write a line: a kill cannot leave half of one.
    std::io::stdout().lock().write_all(format!("\n{what} {id}\n").as_bytes()).unwrap();
}

#[derive(Default)]
struct Acknowledged {
    admitted: BTreeSet<CallId>,
    dialled: BTreeSet<CallId>,
    ended: BTreeSet<CallId>,
}

impl Acknowledged {
    fn note(&mut self, line: &str) -> bool {
        let Some((what, id)) = line.split_once(' ') else { return false };
        let Ok(id) = id.parse() else { return false };
        match what {
            "admitted" => self.admitted.insert(id),
            "dialled" => self.dialled.insert(id),
            "ended" => self.ended.insert(id),
            _ => false,
        }
    }
}

/// How often these words stand in the files of a directory.
fn times_in(directory: &Path, words: &str) -> usize {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let of =
        |path| std::fs::read(path).unwrap().windows(words.len()).filter(|found| *found == words.as_bytes()).count();
    files.map(of).sum()
}

/// Also not in the free parts of pages, or in the log, while the database is in use.
#[tokio::test]
async fn what_was_erased_is_in_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let (acme, callee) = (account("acme"), "4915112345678");
    let Opened { store, reader, .. } = open(directory.path()).await;
    equip(&store, &acme).await;
    for id in 1..=100 {
        store.admit(admission(&acme, id), NOW).await.unwrap();
        store.append(call(id), vec![(NOW, dialing(1)), (NOW, answered())]).await.unwrap();
        store.finish(call(id), later(1), Ending::from(HangupCause::CalleeHungUp)).await.unwrap();
    }
    assert!(times_in(directory.path(), callee) > 100);
    let order = ErasureOrder {
        account: acme.clone(),
        number: number("+4915112345678"),
        suppress: Suppress::AsItWas,
        now: later(2),
    };
    let id = store.open_erasure(order).await.unwrap().id;
    let step = async || store.erase_some(acme.clone(), id.clone(), 500, later(3)).await.unwrap().unwrap();
    assert_eq!(step().await.finished, None, "files wait");
    store.removed(reader.removals(&store.identity().node, 500).await.unwrap()).await.unwrap();
    assert_eq!(step().await.finished, Some(later(3)));
    assert_eq!(times_in(directory.path(), callee), 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_kills_lose_nothing_and_dial_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    let acme = account("acme");
    equip(&opened.store, &acme).await;
    let own = opened.reader.number(&acme, &number(CALLER)).await.unwrap().unwrap();
    opened.store.put_number(Number { max_calls: u32::MAX, ..own }).await.unwrap();
    opened.store.close().await;

    let began = Instant::now();
    let mut all = Acknowledged::default();
    let (mut seed, mut rounds) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    // Bounded on a slow machine, but never to nothing.
    while rounds < ROUNDS && (rounds < 5 || began.elapsed() < Duration::from_secs(18)) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        run_and_kill(directory.path(), rounds, seed % 120 + 1, &mut all);
        verify(directory.path(), &all).await;
        rounds += 1;
    }
    let (admitted, ended) = (all.admitted.len(), all.ended.len());
    assert!(admitted > 100 && ended > 20, "{admitted} accepted, {ended} ended: too few to mean anything");
    #[expect(clippy::print_stderr, reason = "the figures belong into the test's log")]
    {
        eprintln!("{rounds} kills: {admitted} accepted, {} dialled, {ended} ended, none lost", all.dialled.len());
    }
}

/// Kills the child after `lines` acknowledgements, in the midst of the commits that are under way then.
fn run_and_kill(directory: &Path, round: u128, lines: u64, all: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::child_of_the_kill_loop", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{round}:{}", directory.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        seen += u64::from(all.note(&line.unwrap()));
        if seen == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= lines, "the child stopped by itself after {seen} acknowledgements");
}

async fn verify(directory: &Path, all: &Acknowledged) {
    let opened = open(directory).await;
    let acme = account("acme");
    let interrupted: BTreeSet<CallId> =
        opened.store.interrupted_calls(NOW).await.unwrap().into_iter().map(|call| call.plan.id).collect();
    let due: BTreeSet<CallId> =
        opened.store.claim_due(NOW, u32::MAX).await.unwrap().into_iter().map(|plan| plan.id).collect();
    for id in &interrupted {
        opened.store.finish(*id, NOW, Ending::from(HangupCause::ServerRestarted)).await.unwrap();
    }
    assert!(interrupted.is_disjoint(&due));
    assert!(due.is_disjoint(&all.dialled), "a dialled call was given out to be dialled again");
    let mut known = BTreeSet::new();
    let mut ended = BTreeSet::new();
    let mut cursor = None;
    loop {
        let page = opened.reader.calls(&acme, &CallFilter::default(), cursor.as_deref(), 1000).await.unwrap();
        for view in page.items {
            known.insert(view.plan.id);
            if Stage::from(view.state) == Stage::Ended {
                ended.insert(view.plan.id);
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(all.admitted.is_subset(&known), "an accepted call is lost");
    assert!(all.ended.is_subset(&ended), "an ended call is not ended");
    assert!(all.dialled.is_subset(&ended), "an interrupted call was not taken over");
    opened.store.close().await;
}
