//! A few threads on which the local models run, with their loaded networks. Hides the queue and its order: work that
//! somebody waits for goes before guesses, and a full queue refuses at once. Never runs anything on the async runtime,
//! and never outlives its owner: a network that still computes while the process takes its libraries apart crashes it.

use super::bench::Bench;
use super::{Home, VENDOR, failure};
use crate::{ErrorKind, ProviderError};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;

/// Urgent jobs that may wait. Beyond it the answer is [`ErrorKind::Saturated`]: at some 50 ms a job, one more would
/// be seconds late.
pub(crate) const URGENT_CAP: usize = 32;
/// Words that may wait to be recognised, beside the urgent jobs. The callee has said them: late is better than never.
pub(crate) const OWED_CAP: usize = 128;
/// Guesses that may wait; beyond it the guess is skipped, the next one replaces it anyway.
pub(crate) const CASUAL_CAP: usize = 4;
/// Most worker threads, whatever the machine: each holds its own copy of the networks, some 150 MB.
const MOST_THREADS: usize = 4;

type Job = Box<dyn FnOnce(&mut Bench) + Send>;

/// Whether somebody waits for the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A caller or callee waits in silence for it.
    Urgent,
    /// The same, and it cannot be asked again.
    Owed,
    /// A guess at unfinished speech.
    Casual,
}

/// The threads. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: usize,
    running: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    arrived: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Queues {
    urgent: VecDeque<Job>,
    casual: VecDeque<Job>,
    closed: bool,
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let mut queues = self.queues();
        loop {
            if queues.closed {
                return None;
            }
            if let Some(job) = queues.urgent.pop_front().or_else(|| queues.casual.pop_front()) {
                return Some(job);
            }
            queues = self.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Workers {
    /// Starts the threads; each loads a network when it first needs it.
    pub(crate) fn start(home: &Home) -> Self {
        let wanted = thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_THREADS);
        let shared = Arc::new(Shared::default());
        let mut running = Vec::new();
        for number in 0..wanted {
            let (shared, home) = (Arc::clone(&shared), home.clone());
            let named = thread::Builder::new().name(format!("local-model-{number}"));
            match named.spawn(move || work(&shared, &home)) {
                Ok(thread) => running.push(thread),
                Err(error) => tracing::error!(%error, "a thread for local models could not be started"),
            }
        }
        Self { shared, threads: running.len(), running: Mutex::new(running) }
    }

    /// None, for good: what stands in where models are wanted after the end.
    pub(crate) fn ended() -> Self {
        Self { shared: Arc::default(), threads: 0, running: Mutex::default() }
    }

    /// How many there are.
    pub(crate) const fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `job` on a worker. Refused at once with [`ErrorKind::Saturated`] when too much waits already.
    pub(crate) fn submit<T, F>(&self, urgency: Urgency, job: F) -> Result<Pending<T>, ProviderError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Bench) -> Result<T, ProviderError> + Send + 'static,
    {
        let (answer, pending) = oneshot::channel();
        let job: Job = Box::new(move |bench| {
            if answer.is_closed() {
                return;
            }
            // The asker may have gone meanwhile; then nobody wants the result.
            let _ = answer.send(job(bench));
        });
        {
            let mut queues = self.shared.queues();
            let closed = queues.closed;
            let (queue, cap) = match urgency {
                Urgency::Urgent => (&mut queues.urgent, URGENT_CAP),
                Urgency::Owed => (&mut queues.urgent, URGENT_CAP + OWED_CAP),
                Urgency::Casual => (&mut queues.casual, CASUAL_CAP),
            };
            if closed {
                return Err(failure("the local models are closed"));
            }
            if queue.len() >= cap || self.threads == 0 {
                return Err(ProviderError::new(VENDOR, ErrorKind::Saturated, "all threads for local models are busy"));
            }
            queue.push_back(job);
        }
        self.shared.arrived.notify_one();
        Ok(Pending { receiver: pending, kept: None })
    }

    /// Gives up what waits, lets what runs come to its end, and returns when no thread is left. Blocks as long as a
    /// job takes; further calls return at once.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut queues = self.shared.queues();
            queues.closed = true;
            (std::mem::take(&mut queues.urgent), std::mem::take(&mut queues.casual))
        };
        drop(waiting);
        self.shared.arrived.notify_all();
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in running {
            // The last owner may be a job: its own thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread for local models ended by a panic");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.close();
    }
}

/// A result under way. Dropping it cancels the job if it has not begun.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    receiver: oneshot::Receiver<Result<T, ProviderError>>,
    kept: Option<Result<T, ProviderError>>,
}

impl<T: Clone> Pending<T> {
    /// Waits for it. Cancel-safe, and may be asked again.
    pub(crate) async fn ready(&mut self) -> Result<T, ProviderError> {
        if self.kept.is_none() {
            self.kept = Some((&mut self.receiver).await.unwrap_or_else(|_| Err(lost())));
        }
        self.kept.clone().unwrap_or_else(|| Err(lost()))
    }
}

impl<T> Pending<T> {
    /// Waits for it on a thread that is not the async runtime's.
    pub(crate) fn wait(self) -> Result<T, ProviderError> {
        self.receiver.blocking_recv().unwrap_or_else(|_| Err(lost()))
    }
}

fn lost() -> ProviderError {
    failure("a local model's worker gave up")
}

fn work(shared: &Shared, home: &Home) {
    let mut bench = Bench::new(home.clone());
    while let Some(job) = shared.next() {
        if catch_unwind(AssertUnwindSafe(|| job(&mut bench))).is_err() {
            tracing::error!("a local model's job panicked; its networks are loaded anew");
            bench = Bench::new(home.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn workers() -> Workers {
        Workers::start(&Home::new("/nowhere"))
    }

    #[test]
    fn a_full_queue_refuses_and_urgent_work_goes_first() {
        let workers = workers();
        let gate = Arc::new(Barrier::new(workers.threads() + 1));
        let held: Vec<_> = (0..workers.threads())
            .map(|_| {
                let gate = Arc::clone(&gate);
                workers
                    .submit(Urgency::Urgent, move |_| {
                        gate.wait();
                        gate.wait();
                        Ok(())
                    })
                    .unwrap()
            })
            .collect();
        gate.wait();
        let order = Arc::new(Mutex::new(vec![]));
        let note = |word: &'static str, urgency| {
            let order = Arc::clone(&order);
            workers.submit(urgency, move |_| {
                order.lock().unwrap().push(word);
                Ok(())
            })
        };
        let casual: Vec<_> = (0..CASUAL_CAP).map(|_| note("casual", Urgency::Casual).unwrap()).collect();
        let refused = note("casual", Urgency::Casual).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Saturated);
        let urgent = note("urgent", Urgency::Urgent).unwrap();
        gate.wait();
        for pending in held.into_iter().chain(casual).chain([urgent]) {
            pending.wait().unwrap();
        }
        assert_eq!(order.lock().unwrap()[0], "urgent");
    }

    #[test]
    fn closing_waits_for_what_runs_and_gives_up_what_waits() {
        let workers = workers();
        let (gate, done) = (Arc::new(Barrier::new(2)), Arc::new(Mutex::new(false)));
        let (inside, finished) = (Arc::clone(&gate), Arc::clone(&done));
        let runs = workers
            .submit(Urgency::Urgent, move |_| {
                inside.wait();
                // The closing thread has every chance to return too early.
                (0..1000).for_each(|_| thread::yield_now());
                *finished.lock().unwrap() = true;
                Ok(())
            })
            .unwrap();
        gate.wait();
        workers.close();
        assert!(*done.lock().unwrap());
        runs.wait().unwrap();
        assert_eq!(workers.submit(Urgency::Owed, |_| Ok(())).unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(Workers::ended().submit(Urgency::Owed, |_| Ok(())).unwrap_err().kind, ErrorKind::Saturated);
    }

    #[test]
    fn a_panic_costs_one_job() {
        let workers = workers();
        let broken = workers.submit::<(), _>(Urgency::Urgent, |_| panic!("as a test")).unwrap();
        assert_eq!(broken.wait().unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(workers.submit(Urgency::Urgent, |_| Ok(7)).unwrap().wait(), Ok(7));
    }
}
