//! Sends complete recordings to the object store, when there is one. The directory is the queue: a recording that lies in
//! it and that a call names is to be sent, so that a restart, a store that is away for days and a store that was
//! configured later need nothing written down. Never touches what is being recorded, nor what a crash left behind.

use crate::journal::Fed;
use crate::limits::{ARCHIVE_AT_ONCE, ARCHIVE_LOOK, ARCHIVE_PAUSES};
use crate::node::Node;
use callwright_domain::CallEvent;
use callwright_store::{BlobError, BlobName, Sent, StoreError};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{self, Instant};
use tracing::{debug, warn};

/// The task that sends.
pub(crate) struct Archivist {
    node: Arc<Node>,
    /// What is known to be complete and here.
    waiting: BTreeSet<BlobName>,
    /// Failures one after the other; a store that is away is away for all recordings.
    failures: u32,
    /// Nothing is sent before.
    rest: Instant,
}

impl Archivist {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, waiting: BTreeSet::new(), failures: 0, rest: Instant::now() }
    }

    /// Sends until the node stops; what is on its way then is sent again by the next life.
    pub(crate) async fn run(mut self) {
        let stop = self.node.tasks.stopping();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        let mut feed = self.node.journal.watch();
        let mut look = time::interval(ARCHIVE_LOOK);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                fed = feed.recv() => match fed {
                    Ok(Fed { recorded, .. }) => self.hear(&recorded.event),
                    Err(RecvError::Lagged(_)) => look.reset_immediately(),
                    Err(RecvError::Closed) => return,
                },
                _ = look.tick() => self.look().await,
                () = time::sleep_until(self.rest), if !self.waiting.is_empty() => self.send_some().await,
            }
            metrics::gauge!("callwright_recordings_waiting")
                .set(f64::from(u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)));
        }
    }

    fn hear(&mut self, event: &CallEvent) {
        if let CallEvent::RecordingKept { name, .. } = event
            && let Ok(name) = BlobName::new(name.as_str())
        {
            self.waiting.insert(name);
        }
    }

    /// Finds what nobody told of in this life.
    async fn look(&mut self) {
        match self.found().await {
            Ok(found) => self.waiting.extend(found),
            Err(why) => warn!(why, "the recordings that are to be sent cannot be found; trying again"),
        }
    }

    async fn found(&self) -> Result<Vec<BlobName>, String> {
        let here = self.node.recordings.here().await.map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for name in here {
            if self.node.reader.is_kept(&name).await.map_err(|error: StoreError| error.to_string())? {
                found.push(name);
            }
        }
        Ok(found)
    }

    async fn send_some(&mut self) {
        let some: Vec<BlobName> = self.waiting.iter().take(ARCHIVE_AT_ONCE).cloned().collect();
        let recordings = &self.node.recordings;
        let outcomes = join_all(some.into_iter().map(|name| async move {
            let outcome = recordings.send(&name).await;
            (name, outcome)
        }));
        let mut trouble = None;
        for (name, outcome) in outcomes.await {
            match outcome {
                Ok(Sent::Moved) => count("sent"),
                Ok(Sent::NotHere) => {}
                // It is being removed; if it is not, the next look finds it.
                Err(BlobError::Busy) => debug!(%name, "a recording is being removed and is not sent"),
                Err(error) => {
                    count("failed");
                    trouble = Some((name, error));
                    continue;
                }
            }
            self.waiting.remove(&name);
        }
        match trouble {
            None => self.failures = 0,
            Some((name, error)) => self.pause(&name, &error),
        }
    }

    fn pause(&mut self, name: &BlobName, error: &BlobError) {
        let pause = pause_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.rest = Instant::now() + pause;
        // What is wrong with one file does not keep the others here: it waits for the next look.
        if matches!(error, BlobError::Io(_)) {
            self.waiting.remove(name);
        }
        warn!(%name, %error, again_in_s = pause.as_secs(), "a recording could not be sent; it stays here meanwhile");
    }
}

fn pause_after(failures: u32) -> Duration {
    let (first, longest) = ARCHIVE_PAUSES;
    first.saturating_mul(1 << failures.min(16)).min(longest)
}

fn count(outcome: &'static str) {
    metrics::counter!("callwright_recordings_sent_total", "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds: Vec<u64> = [0, 1, 2, 8, 40].into_iter().map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 300, 300]);
    }
}
