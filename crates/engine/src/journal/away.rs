//! The journal while the database is away (BARS R61): entries go to the spool on disk, so that live calls go on to their
//! end; once the database answers again, what waits is written in order, and only then does the journal go on as always.
//!
//! An intent to dial is refused at once and never spooled. When the spool has no more room for words, those of each call are
//! left out from there on, and the call says so; what moves a call always finds room, or the journal waits, as it does
//! without a spool. What another node has written about a call that it took over stands: nothing is written over it.

use super::{Entry, Writer};
use crate::limits::{JOURNAL_BATCH, JOURNAL_RETRY, SPOOL_TRIES, SPOOL_WORDS};
use callwright_domain::{AccountId, CallEvent, CallId, Recorded};
use callwright_store::{Marked, SPOOL_RECORDS, Spooled, Store, StoreError};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use std::collections::BTreeSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// What a call says when its words are left out.
const CUT: &str = "the database was away for so long that what was said from here on could not be kept";

/// What came of one try to write what waits.
struct Drained {
    /// How many records were tried, from the front.
    portion: usize,
    calls: Vec<(AccountId, CallId, Result<Vec<Recorded>, StoreError>)>,
}

impl Writer {
    /// Writes what an earlier life left in the spool.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not take it.
    pub(crate) async fn write_earlier(&mut self) -> Result<(), StoreError> {
        let mut tries = 0;
        while let Some(portion) = self.waiting() {
            let drained = drain(self.store.clone(), portion).await;
            tries += 1;
            if let Some(error) = self.settle(drained, &mut tries) {
                if tries > SPOOL_TRIES {
                    return Err(error);
                }
                sleep_until(Instant::now() + JOURNAL_RETRY).await;
            }
        }
        Ok(())
    }

    /// Keeps entries on disk until the database is back and has all of them; `false`: the node goes down, and the next
    /// life writes what is left.
    pub(super) async fn weather(&mut self, left: Vec<Entry>, stop: &CancellationToken) -> bool {
        warn!("the database is away: what happens to calls is kept on this machine's disk");
        metrics::gauge!("callwright_spooling").set(1.0);
        let began = Instant::now();
        let (mut batch, mut tries) = (left, 0);
        let mut next_try = began + JOURNAL_RETRY;
        let mut draining: Option<BoxFuture<'static, Drained>> = None;
        loop {
            self.keep(&mut batch).await;
            if batch.is_empty() && self.waiting().is_none() {
                info!(seconds = began.elapsed().as_secs(), "the database is back and has what happened meanwhile");
                metrics::gauge!("callwright_spooling").set(0.0);
                self.cut.clear();
                return true;
            }
            tokio::select! {
                biased;
                drained = finished(&mut draining), if draining.is_some() => {
                    draining = None;
                    tries += 1;
                    next_try = match self.settle(drained, &mut tries) {
                        Some(_) => Instant::now() + JOURNAL_RETRY,
                        None => Instant::now(),
                    };
                }
                taken = self.entries.recv_many(&mut batch, JOURNAL_BATCH), if batch.is_empty() => {
                    if taken == 0 {
                        return false;
                    }
                    self.number(&mut batch);
                }
                () = sleep_until(next_try), if draining.is_none() => match self.waiting() {
                    Some(portion) => draining = Some(drain(self.store.clone(), portion).boxed()),
                    // The disk took nothing, so nothing is in the way of what waits here.
                    None => {
                        batch = self.write_all(&mut batch, stop).await;
                        next_try = Instant::now() + JOURNAL_RETRY;
                    }
                },
                () = stop.cancelled() => {
                    self.leave(batch).await;
                    return false;
                }
            }
        }
    }

    /// The node goes down: what is queued goes to the disk, too.
    async fn leave(&mut self, mut batch: Vec<Entry>) {
        let mut queued = Vec::new();
        while let Ok(entry) = self.entries.try_recv() {
            queued.push(entry);
        }
        self.number(&mut queued);
        batch.append(&mut queued);
        self.keep(&mut batch).await;
        if !batch.is_empty() {
            error!(events = batch.len(), "events are lost: neither the database nor the disk takes them");
        }
    }

    /// The next records that wait for the database; none: nothing does.
    fn waiting(&self) -> Option<Vec<Spooled>> {
        self.spool.as_ref().filter(|spool| !spool.is_empty()).map(|spool| spool.front(JOURNAL_BATCH))
    }

    /// Puts entries on disk and answers those who wait for that. What the disk does not take stays in `batch`.
    async fn keep(&mut self, batch: &mut Vec<Entry>) {
        let epoch = self.store.identity().epoch;
        let Some(spool) = &mut self.spool else { return };
        let mut taken = SPOOL_RECORDS - spool.room();
        let (mut entries, mut records, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for mut entry in batch.drain(..) {
            if !rest.is_empty() {
                rest.push(entry);
                continue;
            }
            if entry.dials() {
                entry.answer(Err(StoreError::Away { detail: "it is waited for".into() }));
                continue;
            }
            if taken >= SPOOL_WORDS && is_of_talk(&entry.event) {
                if !self.cut.insert(entry.call) {
                    metrics::counter!("callwright_spool_left_out_total").increment(1);
                    entry.answer(Ok(()));
                    continue;
                }
                entry.event = CallEvent::Trouble { part: String::from("journal"), detail: String::from(CUT) };
            }
            if taken >= SPOOL_RECORDS {
                rest.push(entry);
                continue;
            }
            taken += 1;
            let Marked { mark, at, event } = entry.marked();
            records.push(Spooled { account: entry.account.clone(), call: entry.call, epoch, mark, at, event });
            entries.push(entry);
        }
        let kept = if records.is_empty() { Ok(()) } else { spool.keep(records).await };
        match kept {
            Ok(()) => entries.into_iter().for_each(|entry| entry.answer(Ok(()))),
            Err(error) => {
                warn!(%error, "events wait in memory");
                batch.append(&mut entries);
            }
        }
        batch.append(&mut rest);
        metrics::gauge!("callwright_spooled").set(f64::from(u32::try_from(spool.len()).unwrap_or(u32::MAX)));
    }

    /// Tells what was written and lets go of it, and of what can never be written; the error of what is tried again.
    fn settle(&mut self, drained: Drained, tries: &mut u32) -> Option<StoreError> {
        let (mut done, mut again) = (BTreeSet::new(), None);
        for (account, call, outcome) in drained.calls {
            match outcome {
                Ok(written) => written.into_iter().for_each(|recorded| self.feed(&account, call, recorded)),
                Err(error) if is_passing(&error, *tries) => {
                    again = Some(error);
                    continue;
                }
                Err(StoreError::NotOwner) => {
                    warn!(%call, "another node has taken the call over meanwhile; what that one wrote stands");
                    metrics::counter!("callwright_spool_refused_total").increment(1);
                }
                Err(error) => {
                    error!(%call, %error, "events that waited could not be written");
                    metrics::counter!("callwright_spool_refused_total").increment(1);
                }
            }
            done.insert(call);
        }
        if !done.is_empty() {
            *tries = 0;
        }
        let settled = self.spool.as_mut().map_or(Ok(()), |spool| spool.settle(drained.portion, &done));
        if let Err(error) = settled {
            warn!(%error, "what was written stays in the spool; writing it again changes nothing");
        }
        again
    }
}

/// The try that is under way.
async fn finished(draining: &mut Option<BoxFuture<'static, Drained>>) -> Drained {
    match draining {
        Some(draining) => draining.await,
        None => std::future::pending().await,
    }
}

/// Whether an error passes by itself. One of the database's own that does not for long is the record's.
const fn is_passing(error: &StoreError, tries: u32) -> bool {
    match error {
        StoreError::Away { .. } | StoreError::Full | StoreError::Closed => true,
        StoreError::Database { .. } | StoreError::Apart => tries <= SPOOL_TRIES,
        StoreError::Corrupt { .. }
        | StoreError::TooNew { .. }
        | StoreError::InUse { .. }
        | StoreError::Moved { .. }
        | StoreError::Occupied { .. }
        | StoreError::Directory { .. }
        | StoreError::NoSuchCall
        | StoreError::NotOwner
        | StoreError::Illegal(_)
        | StoreError::Taken { .. }
        | StoreError::BadCursor
        | StoreError::Rejected { .. }
        | StoreError::Unreadable { .. } => false,
    }
}

/// What is said and done in a call; what moves it from one state to the next is not.
const fn is_of_talk(event: &CallEvent) -> bool {
    match event {
        CallEvent::Heard { .. }
        | CallEvent::TurnTaken { .. }
        | CallEvent::Said { .. }
        | CallEvent::Interrupted
        | CallEvent::MessageReceived { .. }
        | CallEvent::KeyPressed { .. }
        | CallEvent::ToolRun { .. }
        | CallEvent::Trouble { .. } => true,
        CallEvent::Created
        | CallEvent::Dialing { .. }
        | CallEvent::AttemptFailed { .. }
        | CallEvent::Ringing { .. }
        | CallEvent::Joined { .. }
        | CallEvent::Answered { .. }
        | CallEvent::MachineDetected { .. }
        | CallEvent::Spoke { .. }
        | CallEvent::Disclosed
        | CallEvent::Transferring { .. }
        | CallEvent::TransferDialing { .. }
        | CallEvent::TransferAnswered { .. }
        | CallEvent::TransferEnded { .. }
        | CallEvent::RecordingKept { .. }
        | CallEvent::Ended { .. } => false,
    }
}

/// Tries to write records: those of a call in their order and in one transaction, calls beside each other.
async fn drain(store: Store, records: Vec<Spooled>) -> Drained {
    let portion = records.len();
    let mut of_calls: Vec<(AccountId, CallId, i64, Vec<Marked>)> = Vec::new();
    for Spooled { account, call, epoch, mark, at, event } in records {
        let marked = Marked { mark, at, event };
        match of_calls.iter_mut().find(|(_, of, life, _)| (*of, *life) == (call, epoch)) {
            Some((.., events)) => events.push(marked),
            None => of_calls.push((account, call, epoch, vec![marked])),
        }
    }
    let writes = of_calls.into_iter().map(|(account, call, epoch, events)| {
        let store = &store;
        async move { (account, call, store.record_late(epoch, call, events).await) }
    });
    Drained { portion, calls: join_all(writes).await }
}
