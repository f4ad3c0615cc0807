//! What a live call goes through while the database is away, or somebody sets the clock.

use crate::said;
use callwright_domain::{AccountId, CallId, HangupCause, Moment};
use callwright_engine::{Clock, HangUp, OrderError};
use callwright_sip::EndedBy;
use callwright_store::StoreError;
use callwright_testkit::{Callee, MovingDatabase, NodeBuilder, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn a_live_call_is_hung_up_while_the_database_is_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut callee = Callee::start(Plan::answer()).await;
    let database = Arc::new(MovingDatabase::default());
    let mut builder = NodeBuilder::to(&callee).data(directory.path());
    builder.disk = Some(Arc::clone(&database) as _);
    let node = builder.start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    database.go_away();
    let stranger = AccountId::new("stranger").expect("an id");
    for (account, call) in [(&stranger, call), (&node.account(), CallId::from_entropy(7))] {
        let outcome = node.calls().hang_up(account, call, HangUp::Now).await;
        assert!(matches!(outcome, Err(OrderError::Store(StoreError::Away { .. }))), "{outcome:?}");
        assert!(matches!(node.calls().hang_up_here(account, call, HangUp::Now), Err(OrderError::UnknownCall)));
    }
    node.calls().hang_up(&node.account(), call, HangUp::Now).await.expect("it is live here");
    assert_eq!(line.ended().await, EndedBy::Peer, "nobody waits for the database");
    database.come_back();
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
}

/// BARS R63.
#[tokio::test]
async fn a_clock_that_is_set_makes_no_call_longer_or_shorter() {
    const DAY: i64 = 86_400_000;
    for by in [DAY, -DAY] {
        let mut callee = Callee::start(Plan::answer()).await;
        let ahead = Arc::new(AtomicI64::new(0));
        let hands = Arc::clone(&ahead);
        let mut builder = NodeBuilder::to(&callee);
        builder.clock = Clock::new(move || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            Moment(i64::try_from(since.as_millis()).expect("before the year 9999") + hands.load(Ordering::SeqCst))
        });
        let node = builder.start().await;
        let call = node.call().await;
        let line = callee.line().await;
        node.wait_for(call, "the greeting", said("Hello there.")).await;
        ahead.store(by, Ordering::SeqCst);
        line.hang_up();
        assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
        let journal = node.calls().reader().journal(&node.account(), call, 0, 100).await.expect("readable");
        assert!(journal.is_sorted_by_key(|recorded| recorded.at), "{by}: {journal:?}");
        let view = node.calls().reader().call(&node.account(), call).await.expect("readable").expect("known");
        let (answered, ended) = (view.timeline.answered.expect("answered"), view.timeline.ended.expect("ended"));
        assert!(ended.since(answered) < Duration::from_secs(3600), "{by}: {:?}", ended.since(answered));
    }
}
