//! The one place that spawns. Counts what runs, so that a drain knows when the last call has ended, and turns a panic
//! into the end of one call instead of the end of all.

use crate::failpoint::{Failpoint, Failpoints};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks of one server, the word that no call is to begin, and the word that ends them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    drain: CancellationToken,
    stop: CancellationToken,
    failpoints: Failpoints,
}

impl Tasks {
    /// No tasks yet.
    #[cfg(test)]
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// No tasks yet; those to come pass these failpoints.
    pub(crate) fn passing(failpoints: Failpoints) -> Self {
        Self { failpoints, ..Self::default() }
    }

    /// Passes a failpoint.
    pub(crate) async fn reach(&self, point: Failpoint) {
        self.failpoints.reach(point).await;
    }

    /// From now on no call is to begin.
    pub(crate) fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether no call is to begin.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Cancelled when the server stops; background loops watch it.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `work` to its end.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Runs `work`; if it panics, `after_panic` gets what was said.
    pub(crate) fn spawn_guarded<F>(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
        after_panic: impl FnOnce(String) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        // On the heap before it is wrapped: the life of a call is tens of kilobytes, and each wrapper would hold room for it
        // on the stack.
        let work = AssertUnwindSafe(work).catch_unwind().boxed();
        self.tracker.spawn(async move {
            if let Err(panic) = work.await {
                let said = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| String::from("a panic without words"));
                after_panic(said).await;
            }
        });
    }

    /// Ends the background loops and waits for every task.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_panic_is_told_and_the_rest_goes_on() {
        let tasks = Tasks::new();
        let (told, heard) = oneshot::channel();
        tasks.spawn_guarded(async { panic!("oh no") }, |said| async move {
            told.send(said).expect("the test listens");
        });
        assert_eq!(heard.await.expect("told"), "oh no");
        tasks.stop().await;
    }
}
