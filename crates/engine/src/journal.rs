//! Writes what happens to calls, in order, and tells those who watch. One task for the whole node: entries of many calls
//! that wait together are committed together. Never reads; a watcher that fell behind reads the store.
//!
//! Every entry has a mark, so that one whose commit was not heard of is written again and stands there once. While a shared
//! database is away or has no space left, entries go to the node's [`Spool`] ([`away`]); a node without one keeps them waiting.

mod away;
#[cfg(test)]
mod tests;

use crate::limits::{FEED_DEPTH, JOURNAL_BATCH, JOURNAL_GATHER, JOURNAL_QUEUE, JOURNAL_RETRY};
use callwright_domain::{AccountId, CallEvent, CallId, Moment, Recorded};
use callwright_store::{Marked, Spool, Store, StoreError};
use futures_util::future::join_all;
use std::collections::{BTreeSet, HashMap};
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
    /// Given by the writer.
    mark: u64,
    at: Moment,
    event: CallEvent,
    written: Option<oneshot::Sender<Result<(), StoreError>>>,
}

impl Entry {
    fn marked(&self) -> Marked {
        Marked { mark: self.mark, at: self.at, event: self.event.clone() }
    }

    fn is_end(&self) -> bool {
        matches!(self.event, CallEvent::Ended { .. })
    }

    /// Whether it may happen only once it is written.
    fn dials(&self) -> bool {
        matches!(self.event, CallEvent::Dialing { .. } | CallEvent::TransferDialing { .. })
    }

    fn answer(self, outcome: Result<(), StoreError>) {
        if let Some(answer) = self.written {
            // Fails only when the call did not wait for the answer.
            answer.send(outcome).ok();
        }
    }
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
    /// The last mark that was given.
    mark: u64,
    spool: Option<Spool>,
    /// Calls whose words are left out, because the spool has no more room for words.
    cut: BTreeSet<CallId>,
}

/// A journal and the task that writes it. Without a spool, what a database that is away does not take waits in memory.
pub(crate) fn journal(store: Store, spool: Option<Spool>) -> (Journal, Writer) {
    let (sender, entries) = mpsc::channel(JOURNAL_QUEUE);
    let (feed, _) = broadcast::channel(FEED_DEPTH);
    let journal = Journal { entries: sender, feed: feed.clone() };
    (journal, Writer { store, entries, feed, mark: 0, spool, cut: BTreeSet::new() })
}

impl Journal {
    /// Queues an event; it is written in order, soon. Waits only when the queue is full.
    pub(crate) async fn note(&self, account: &AccountId, call: CallId, at: Moment, event: CallEvent) {
        let entry = Entry { account: account.clone(), call, mark: 0, at, event, written: None };
        if self.entries.send(entry).await.is_err() {
            error!(%call, "the journal is closed; an event is lost");
        }
    }

    /// Writes an event; when this returns `Ok`, it and everything queued before it for this call is durable: in the
    /// database, or on this machine's disk while that is away.
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
        let entry = Entry { account: account.clone(), call, mark: 0, at, event, written: Some(written) };
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
            self.number(&mut batch);
            let left = self.write_all(&mut batch, &stop).await;
            if !left.is_empty() && !self.weather(left, &stop).await {
                return;
            }
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

    fn number(&mut self, batch: &mut [Entry]) {
        for entry in batch {
            self.mark += 1;
            entry.mark = self.mark;
        }
    }

    /// Writes entries of many calls at once; what a database that is away or full did not take comes back, in order.
    async fn write_all(&self, batch: &mut Vec<Entry>, stop: &CancellationToken) -> Vec<Entry> {
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
            order.into_iter().filter_map(|call| by_call.remove(&call)).map(|entries| self.write(entries, stop));
        join_all(writes).await.into_iter().flatten().collect()
    }

    /// Writes the waiting events of one call in order and tells everyone. An end is written by itself: what cannot happen
    /// any more after it must not undo it.
    async fn write(&self, entries: Vec<Entry>, stop: &CancellationToken) -> Vec<Entry> {
        let (mut left, mut piece) = (Vec::new(), Vec::with_capacity(entries.len()));
        for entry in entries {
            if entry.is_end() {
                self.write_piece(std::mem::take(&mut piece), &mut left, stop).await;
                self.write_piece(vec![entry], &mut left, stop).await;
            } else {
                piece.push(entry);
            }
        }
        self.write_piece(piece, &mut left, stop).await;
        left
    }

    /// What may be dialled only once it is written must hear of a refusal at once; everything else has happened already,
    /// and is written when the database is back.
    async fn write_piece(&self, entries: Vec<Entry>, left: &mut Vec<Entry>, stop: &CancellationToken) {
        let Some(first) = entries.first() else { return };
        if !left.is_empty() {
            return left.extend(entries);
        }
        let (account, call) = (first.account.clone(), first.call);
        let dials = entries.iter().any(Entry::dials);
        let outcome = loop {
            let marked = entries.iter().map(Entry::marked).collect();
            match self.store.record(call, marked).await {
                Err(StoreError::Away { .. } | StoreError::Full) if self.spool.is_some() => return left.extend(entries),
                Err(error @ (StoreError::Away { .. } | StoreError::Full)) if !dials => {
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
        for entry in entries {
            entry.answer(outcome.as_ref().map(|_| ()).map_err(Clone::clone));
        }
    }

    fn feed(&self, account: &AccountId, call: CallId, recorded: Recorded) {
        // Fails only when nobody watches.
        self.feed.send(Fed { account: account.clone(), call, recorded }).ok();
    }
}

/// Waits a little for a database that is away or full; `false`: the node goes down, and what is not written now is told by the
/// next life or by another node, which ends the call.
async fn wait_for_return(error: &StoreError, stop: &CancellationToken) -> bool {
    warn!(%error, "events wait until the database takes them");
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = tokio::time::sleep(JOURNAL_RETRY) => true,
    }
}
