//! Writes what happens to calls, in order, and tells those who watch. One task for the whole node: entries of many calls
//! that wait together are committed together. Never reads; a watcher that fell behind reads the store.

use crate::limits::{FEED_DEPTH, JOURNAL_BATCH, JOURNAL_GATHER, JOURNAL_QUEUE, JOURNAL_RETRY};
use callwright_domain::{AccountId, CallEvent, CallId, Moment, Recorded};
use callwright_store::{Ending, Finished, Store, StoreError};
use futures_util::future::join_all;
use std::collections::HashMap;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// An event as watchers get it.
#[derive(Debug, Clone)]
pub struct Fed {
    /// Whose call.
    pub account: AccountId,
    /// Which call.
    pub call: CallId,
    /// What happened.
    pub recorded: Recorded,
}

/// One event on its way to the store.
struct Entry {
    account: AccountId,
    call: CallId,
    at: Moment,
    event: CallEvent,
    written: Option<oneshot::Sender<Result<(), StoreError>>>,
}

/// The way into the journal. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    entries: mpsc::Sender<Entry>,
    feed: broadcast::Sender<Fed>,
}

/// The writing end; [`Writer::run`] is a task of the node.
pub(crate) struct Writer {
    store: Store,
    entries: mpsc::Receiver<Entry>,
    feed: broadcast::Sender<Fed>,
}

/// A journal and the task that writes it.
pub(crate) fn journal(store: Store) -> (Journal, Writer) {
    let (sender, receiver) = mpsc::channel(JOURNAL_QUEUE);
    let (feed, _) = broadcast::channel(FEED_DEPTH);
    (Journal { entries: sender, feed: feed.clone() }, Writer { store, entries: receiver, feed })
}

impl Journal {
    /// Queues an event; it is written in order, soon. Waits only when the queue is full.
    pub(crate) async fn note(&self, account: &AccountId, call: CallId, at: Moment, event: CallEvent) {
        let entry = Entry { account: account.clone(), call, at, event, written: None };
        if self.entries.send(entry).await.is_err() {
            error!(%call, "the journal is closed; an event is lost");
        }
    }

    /// Writes an event; when this returns `Ok`, it and everything queued before it for this call is durable.
    pub(crate) async fn commit(
        &self,
        account: &AccountId,
        call: CallId,
        at: Moment,
        event: CallEvent,
    ) -> Result<(), StoreError> {
        let done = self.enter(account, call, at, event).await?;
        done.await.map_err(|_| StoreError::Closed)?
    }

    /// Queues an event in its place; what is returned tells when it is durable.
    pub(crate) async fn enter(
        &self,
        account: &AccountId,
        call: CallId,
        at: Moment,
        event: CallEvent,
    ) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let (written, done) = oneshot::channel();
        let entry = Entry { account: account.clone(), call, at, event, written: Some(written) };
        self.entries.send(entry).await.map_err(|_| StoreError::Closed)?;
        Ok(done)
    }

    /// Tells the watchers of an event that another verb of the store wrote.
    pub(crate) fn announce(&self, account: AccountId, call: CallId, recorded: Recorded) {
        // Fails only when nobody watches.
        self.feed.send(Fed { account, call, recorded }).ok();
    }

    /// Everything written from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Fed> {
        self.feed.subscribe()
    }
}

impl Writer {
    /// Writes until every [`Journal`] is gone, or until `stop`: then what is queued is written first.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(JOURNAL_BATCH);
        loop {
            tokio::select! {
                biased;
                taken = self.entries.recv_many(&mut batch, JOURNAL_BATCH) => if taken == 0 { return },
                () = stop.cancelled() => return,
            }
            self.gather(&mut batch).await;
            let mut order = Vec::new();
            let mut by_call: HashMap<CallId, Vec<Entry>> = HashMap::new();
            for entry in batch.drain(..) {
                by_call.entry(entry.call).or_insert_with_key(|call| {
                    order.push(*call);
                    Vec::new()
                });
                if let Some(entries) = by_call.get_mut(&entry.call) {
                    entries.push(entry);
                }
            }
            let writes =
                order.into_iter().filter_map(|call| by_call.remove(&call)).map(|entries| self.write(entries, &stop));
            join_all(writes).await;
        }
    }

    /// Lets entries that nobody waits for wait a moment for more: one flush for all of them, and the work of writing comes
    /// after the work that a caller hears. One that somebody waits for ends it.
    async fn gather(&mut self, batch: &mut Vec<Entry>) {
        if batch.iter().any(|entry| entry.written.is_some()) {
            return;
        }
        let until = Instant::now() + JOURNAL_GATHER;
        while batch.len() < JOURNAL_BATCH {
            let entry = tokio::select! {
                biased;
                entry = self.entries.recv() => entry,
                () = sleep_until(until) => return,
            };
            let Some(entry) = entry else { return };
            let urgent = entry.written.is_some();
            batch.push(entry);
            if urgent {
                return;
            }
        }
    }

    /// Writes the waiting events of one call in order and tells everyone. The end has a verb of its own, because the
    /// record and the slot go with it in one transaction.
    async fn write(&self, entries: Vec<Entry>, stop: &CancellationToken) {
        let mut waiting: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            if matches!(entry.event, CallEvent::Ended { .. }) {
                self.append(std::mem::take(&mut waiting), stop).await;
                self.finish(entry, stop).await;
            } else {
                waiting.push(entry);
            }
        }
        self.append(waiting, stop).await;
    }

    async fn append(&self, entries: Vec<Entry>, stop: &CancellationToken) {
        let Some(first) = entries.first() else { return };
        let (account, call) = (first.account.clone(), first.call);
        let mut answers = Vec::new();
        let mut events = Vec::with_capacity(entries.len());
        for entry in entries {
            events.push((entry.at, entry.event));
            answers.extend(entry.written);
        }
        // What may be dialled only once it is written must hear of a refusal at once; everything else has happened
        // already, and is written when the database is back.
        let dials = events.iter().any(|(_, event)| matches!(event, CallEvent::Dialing { .. }));
        let outcome = loop {
            match self.store.append(call, events.clone()).await {
                Err(error @ StoreError::Away { .. }) if !dials => {
                    if !wait_for_return(&error, stop).await {
                        break Err(error);
                    }
                }
                outcome => break outcome,
            }
        };
        match &outcome {
            Ok(written) => written.iter().for_each(|recorded| self.feed(&account, call, recorded.clone())),
            Err(error) => error!(%call, %error, "events could not be written"),
        }
        for answer in answers {
            answer_with(answer, outcome.as_ref().map(|_| ()).map_err(Clone::clone));
        }
    }

    async fn finish(&self, entry: Entry, stop: &CancellationToken) {
        let CallEvent::Ended { cause, status, q850 } = entry.event else { return };
        let ending = Ending { cause, status, q850 };
        let outcome = loop {
            match self.store.finish(entry.call, entry.at, ending).await {
                Err(error @ StoreError::Away { .. }) => {
                    if !wait_for_return(&error, stop).await {
                        break Err(error);
                    }
                }
                outcome => break outcome,
            }
        };
        match &outcome {
            Ok(Finished::Now(recorded)) => self.feed(&entry.account, entry.call, recorded.clone()),
            // The first end stands; nobody needs to hear of it twice.
            Ok(Finished::Before(_)) => {}
            Err(error) => error!(call = %entry.call, %error, "the end of a call could not be written"),
        }
        if let Some(answer) = entry.written {
            answer_with(answer, outcome.map(|_| ()));
        }
    }

    fn feed(&self, account: &AccountId, call: CallId, recorded: Recorded) {
        // Fails only when nobody watches.
        self.feed.send(Fed { account: account.clone(), call, recorded }).ok();
    }
}

/// Waits a little for a database that is away; `false`: the node goes down, and what is not written now is told by the
/// next life or by another node, which ends the call.
async fn wait_for_return(error: &StoreError, stop: &CancellationToken) -> bool {
    warn!(%error, "events wait until the database is back");
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(JOURNAL_RETRY) => true,
    }
}

fn answer_with(answer: oneshot::Sender<Result<(), StoreError>>, outcome: Result<(), StoreError>) {
    // Fails only when the call did not wait for the answer.
    answer.send(outcome).ok();
}
