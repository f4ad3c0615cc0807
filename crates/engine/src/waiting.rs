//! Calls that are due and wait for a trunk: for its pace, a free channel, or the end of its rest. One line for each
//! choice of trunks, first come, first served. They are still queued as far as anybody can see, and a crash loses none.
//! Never starts a call.

use callwright_domain::{AccountId, CallId, CallPlan, Moment, Telephone, TrunkId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The account and the trunks that a call may go through, best first.
pub(crate) type Choice = (AccountId, Vec<TrunkId>);

type Lines = BTreeMap<Choice, VecDeque<CallPlan>>;

fn choice_of(plan: &CallPlan) -> Choice {
    (plan.account.clone(), plan.telephone().map(Telephone::trunks).unwrap_or_default())
}

/// Everybody who waits on this node.
#[derive(Debug, Default)]
pub(crate) struct WaitingCalls {
    lines: Mutex<Lines>,
    /// Whether calls in the store waited for a place at the last look, so that a place that gets free is worth ringing for.
    places_wanted: AtomicBool,
    /// Requests that want to know when their call has its place.
    watched: Mutex<BTreeMap<CallId, Vec<oneshot::Sender<()>>>>,
}

impl WaitingCalls {
    /// Puts a call at the end of its line.
    pub(crate) fn push(&self, plan: CallPlan) {
        self.lock().entry(choice_of(&plan)).or_default().push_back(plan);
    }

    /// Puts a call that could not go back where it stood, before everybody of its line.
    pub(crate) fn put_back(&self, plan: CallPlan) {
        self.lock().entry(choice_of(&plan)).or_default().push_front(plan);
    }

    /// Notes whether calls wait for a place.
    pub(crate) fn want_places(&self, wanted: bool) {
        self.places_wanted.store(wanted, Ordering::Relaxed);
    }

    /// Whether calls waited for a place at the last look.
    pub(crate) fn places_are_wanted(&self) -> bool {
        self.places_wanted.load(Ordering::Relaxed)
    }

    /// Tells when this node has settled what becomes of a call that waits for a place.
    pub(crate) fn watch(&self, call: CallId) -> oneshot::Receiver<()> {
        let (settled, watch) = oneshot::channel();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Who went away left nothing behind but this.
        watched.retain(|_, watches| {
            watches.retain(|watch| !watch.is_closed());
            !watches.is_empty()
        });
        watched.entry(call).or_default().push(settled);
        watch
    }

    /// A call has its place, or waits no more.
    pub(crate) fn settled(&self, call: CallId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for watch in watched.remove(&call).unwrap_or_default() {
            // Whoever asked may have gone away.
            watch.send(()).ok();
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().values().map(VecDeque::len).sum()
    }

    /// How many wait for this trunk before any other.
    pub(crate) fn count(&self, account: &AccountId, trunk: &TrunkId) -> usize {
        let lines = self.lock();
        let first = lines.iter().filter(|((owner, trunks), _)| owner == account && trunks.first() == Some(trunk));
        first.map(|(_, line)| line.len()).sum()
    }

    /// The lines somebody waits in; the one whose first call is due the longest comes first.
    pub(crate) fn lines(&self) -> Vec<Choice> {
        let lines = self.lock();
        let mut found: Vec<_> =
            lines.iter().filter_map(|(choice, line)| Some((line.front()?.due, choice.clone()))).collect();
        found.sort();
        found.into_iter().map(|(_, choice)| choice).collect()
    }

    /// The first of a line.
    pub(crate) fn pop(&self, choice: &Choice) -> Option<CallPlan> {
        let mut lines = self.lock();
        let line = lines.get_mut(choice)?;
        let plan = line.pop_front();
        if line.is_empty() {
            lines.remove(choice);
        }
        plan
    }

    /// Takes out the calls whose deadline is past.
    pub(crate) fn expired(&self, now: Moment) -> Vec<CallPlan> {
        self.take(|plan| plan.deadline.is_some_and(|deadline| deadline < now))
    }

    /// Takes out a call that was ended while it waited.
    pub(crate) fn forget(&self, call: CallId) {
        self.take(|plan| plan.id == call);
        self.settled(call);
    }

    /// Takes out everybody.
    pub(crate) fn clear(&self) -> Vec<CallPlan> {
        self.take(|_| true)
    }

    fn take(&self, unwanted: impl Fn(&CallPlan) -> bool) -> Vec<CallPlan> {
        let mut lines = self.lock();
        let mut taken = Vec::new();
        for line in lines.values_mut() {
            if line.iter().any(&unwanted) {
                let (out, stay): (VecDeque<_>, VecDeque<_>) = line.drain(..).partition(&unwanted);
                *line = stay;
                taken.extend(out);
            }
        }
        lines.retain(|_, line| !line.is_empty());
        taken
    }

    // A panic while the lines were locked cannot leave them half-changed: what is done under the lock does not panic.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
