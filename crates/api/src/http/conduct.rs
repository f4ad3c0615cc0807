//! How the peer of one connection behaves: what it has begun and not ended, and until when it may. Hides the bookkeeping
//! that the listener, the byte gate and the answers share; closes nothing by itself.

use super::Limits;
use super::scan::Flaw;
use crate::feed::Feed;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// The shared notes about one connection.
#[derive(Debug)]
pub(crate) struct Conduct {
    notes: Mutex<Notes>,
    /// Whether what comes is no HTTP any more.
    upgraded: AtomicBool,
}

struct Notes {
    /// Since when a head has been arriving.
    head_since: Option<Instant>,
    /// Requests whose answers are not over.
    open: usize,
    /// Since when there are none.
    idle_since: Instant,
    /// Requests that the library has read so far.
    requests: u64,
    /// The head that is flawed, counted from 1.
    flawed: Option<(u64, Flaw)>,
    /// When each answer that is not over was last asked for more.
    answers: Vec<Weak<Mutex<Instant>>>,
    /// Since when we have nothing more to say.
    closing_since: Option<Instant>,
    /// What the connection becomes after the answer.
    feed: Option<(OnUpgrade, Feed)>,
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notes").field("open", &self.open).field("requests", &self.requests).finish_non_exhaustive()
    }
}

/// How long the peer of a refused request may go on sending it: the answer reaches it meanwhile.
const LINGER: Duration = Duration::from_secs(2);

/// A request that is being answered, body and all.
#[derive(Debug)]
pub(crate) struct Open(Arc<Conduct>);

impl Conduct {
    /// Notes about a connection that has just come.
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        let notes = Notes {
            head_since: Some(now),
            open: 0,
            idle_since: now,
            requests: 0,
            flawed: None,
            answers: Vec::new(),
            closing_since: None,
            feed: None,
        };
        Arc::new(Self { notes: Mutex::new(notes), upgraded: AtomicBool::new(false) })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Nothing that holds the lock can panic half-way through a change.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate saw bytes: whether a head is in progress now, and which head is flawed.
    pub(crate) fn saw(&self, in_head: bool, flawed: Option<(u64, Flaw)>, now: Instant) {
        let mut notes = self.notes();
        notes.flawed = flawed;
        if in_head {
            notes.head_since.get_or_insert(now);
        } else if notes.head_since.take().is_some() {
            notes.idle_since = now;
        }
    }

    /// After the answer that is being made the connection is a WebSocket with this feed.
    pub(crate) fn upgrade(&self, connection: OnUpgrade, feed: Feed) {
        self.notes().feed = Some((connection, feed));
        self.upgraded.store(true, Ordering::Release);
    }

    /// Whether what comes is no HTTP any more.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    /// What the connection becomes; once.
    pub(crate) fn feed(&self) -> Option<(OnUpgrade, Feed)> {
        self.notes().feed.take()
    }

    /// We have said our last on this connection.
    pub(crate) fn closing(&self, now: Instant) {
        self.notes().closing_since.get_or_insert(now);
    }

    /// The library has read a request; the flaw of its head, when it has one.
    pub(crate) fn begin(self: &Arc<Self>) -> (Open, Option<Flaw>) {
        let mut notes = self.notes();
        notes.open += 1;
        notes.requests += 1;
        let flaw = notes.flawed.filter(|(head, _)| *head == notes.requests).map(|(_, flaw)| flaw);
        drop(notes);
        (Open(Arc::clone(self)), flaw)
    }

    /// The moment after which the peer has had enough time for what it is at.
    pub(crate) fn due(&self, limits: &Limits) -> Instant {
        let mut notes = self.notes();
        notes.answers.retain(|answer| answer.strong_count() > 0);
        let head = notes.head_since.map(|since| since + limits.head_time);
        let idle = (notes.open == 0 && head.is_none()).then(|| notes.idle_since + limits.keep_alive);
        let stalled = notes.answers.iter().filter_map(Weak::upgrade).map(|last| *locked(&last) + limits.stall).min();
        let far = Instant::now() + limits.keep_alive;
        let closing = notes.closing_since.map(|since| since + LINGER);
        [head, idle, stalled, closing].into_iter().flatten().min().unwrap_or(far)
    }
}

fn locked(instant: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    instant.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Open {
    /// The body of the answer: as long as it lives, the request is open.
    pub(crate) fn body(self, inner: Body) -> Body {
        let last = Arc::new(Mutex::new(Instant::now()));
        self.0.notes().answers.push(Arc::downgrade(&last));
        Body::new(Watched { inner, last, _open: self })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut notes = self.0.notes();
        notes.open = notes.open.saturating_sub(1);
        notes.idle_since = Instant::now();
    }
}

/// A body that notes when it is asked for more: one that is not, waits for a peer that reads nothing.
struct Watched {
    inner: Body,
    last: Arc<Mutex<Instant>>,
    _open: Open,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        *locked(&self.last) = Instant::now();
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_own_patience() {
        let limits = Limits::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let conduct = Conduct::new(start);
        assert_eq!(conduct.due(&limits), at(10), "nothing came yet");
        conduct.saw(true, None, at(3));
        assert_eq!(conduct.due(&limits), at(10), "the head does not get more time by coming in pieces");
        conduct.saw(false, None, at(4));
        assert_eq!(conduct.due(&limits), at(4) + limits.keep_alive);
        let (open, flaw) = conduct.begin();
        assert_eq!(flaw, None);
        assert!(conduct.due(&limits) > at(60), "being answered");
        conduct.saw(true, Some((2, Flaw::TwoLengths)), at(6));
        assert_eq!(conduct.due(&limits), at(16), "the next head has begun");
        conduct.saw(false, Some((2, Flaw::TwoLengths)), at(7));
        drop(open);
        assert_eq!(conduct.begin().1, Some(Flaw::TwoLengths));
    }
}
