//! Live events: first what the journal holds, then what happens, without a gap or a repeat. A watcher that falls behind
//! reads the journal again; it never slows a call down. Told as Server-Sent Events here, over a WebSocket in
//! [`crate::socket`].

use axum::body::Body;
use bytes::Bytes;
use callwright_domain::{AccountId, CallEvent, CallId, Moment, Recorded};
use callwright_engine::{Calls, Fed};
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

/// Journal events read at a time.
const PAGE: u32 = 500;
/// A comment is sent this often when nothing happens, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a feed stays after the end of the call: the recording's name comes after it.
pub(crate) const AFTER_END: Duration = Duration::from_secs(6);
/// How long before a watcher's place events are looked for again: an event may be written later than one that happened
/// after it.
const OVERLAP: Duration = Duration::from_secs(60);
/// How far back all calls can be followed; what is older is read call by call.
pub(crate) const BACK: Duration = Duration::from_secs(60 * 60);
/// Calls whose places are remembered before those are looked through that nothing was heard of for a while.
const PLACES: usize = 4096;

/// What a feed gives next.
#[derive(Debug)]
pub(crate) enum News {
    /// An event.
    Event {
        /// Of which call.
        call: CallId,
        /// What and when.
        recorded: Recorded,
    },
    /// Nothing for a while.
    Quiet,
}

/// Why a feed gives nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Everything was told.
    Told,
    /// The journal cannot be read.
    Unreadable,
    /// The server stops.
    Stopping,
}

/// Events for one watcher.
pub(crate) enum Feed {
    /// Of one call.
    Call(Box<CallFeed>),
    /// Of all calls of an account.
    Account(Box<AccountFeed>),
}

impl Feed {
    /// The events of one call, beginning after `after`.
    pub(crate) fn of_call(calls: Calls, account: AccountId, call: CallId, after: u64) -> Self {
        let live = calls.watch();
        let (waiting, stage, told) = (VecDeque::new(), Stage::Reading, Told::Going);
        Self::Call(Box::new(CallFeed { calls, account, call, after, live, waiting, stage, told }))
    }

    /// The events of all calls of an account: from a place on, or from now on.
    pub(crate) fn of_account(calls: Calls, account: AccountId, start: Start, now: Moment) -> Self {
        let live = calls.watch();
        let (stage, floor, told) = match start {
            Start::Now => (All::Live, now, BTreeMap::new()),
            Start::Place { since, seen } => {
                let floor = since.before(OVERLAP);
                (All::Reading { from: floor, after: None }, floor, seen)
            }
        };
        let told = told.into_iter().map(|(call, seq)| (call, Place { seq, at: now })).collect();
        let waiting = VecDeque::new();
        let (filled, newest) = (None, now);
        Self::Account(Box::new(AccountFeed { calls, account, live, waiting, stage, told, filled, newest, floor }))
    }

    /// What comes next. Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Result<News, Over> {
        match self {
            Self::Call(feed) => feed.next().await,
            Self::Account(feed) => feed.next().await,
        }
    }
}

/// Where a feed of all calls begins.
pub(crate) enum Start {
    /// With what happens next.
    Now,
    /// With what was written since a moment, but for what was seen.
    Place {
        /// When the newest event happened that the watcher has.
        since: Moment,
        /// The last place that it has of each call.
        seen: BTreeMap<CallId, u64>,
    },
}

/// The events of one call as a stream of lines, beginning after `after`. An event's id is its `seq`.
pub(crate) fn of_call(calls: Calls, account: AccountId, call: CallId, after: u64) -> Body {
    let feed = Feed::of_call(calls, account, call, after);
    lines(feed, |_, recorded| line(&recorded.seq.to_string(), &event_json(recorded), recorded))
}

/// The events of all calls of an account as a stream of lines. An event's id is the place after it, see [`place_after`].
pub(crate) fn of_account(calls: Calls, account: AccountId, start: Start, now: Moment) -> Body {
    let feed = Feed::of_account(calls, account, start, now);
    lines(feed, |call, recorded| {
        let place = format!("{}-{call}-{}", recorded.at.millis(), recorded.seq);
        line(&place, &event_of(call, recorded), recorded)
    })
}

/// The place that the id of an event names; none: it is no such id.
pub(crate) fn place_after(id: &str) -> Option<Start> {
    let mut parts = id.splitn(3, '-');
    let (at, call, seq) = (parts.next()?, parts.next()?, parts.next()?);
    let seen = BTreeMap::from([(call.parse().ok()?, seq.parse().ok()?)]);
    Some(Start::Place { since: Moment(at.parse().ok()?), seen })
}

fn lines(feed: Feed, line: impl Fn(CallId, &Recorded) -> Bytes + Send + 'static) -> Body {
    Body::from_stream(stream::unfold((feed, line), |(mut feed, line)| async move {
        let piece = match feed.next().await.ok()? {
            News::Event { call, recorded } => line(call, &recorded),
            News::Quiet => Bytes::from_static(b": \n\n"),
        };
        Some((Ok::<_, Infallible>(piece), (feed, line)))
    }))
}

/// Where a feed's next events come from.
enum Stage {
    /// The journal may hold more.
    Reading,
    /// The journal is read; live events follow.
    Live,
    /// Nothing follows, and why.
    Over(Over),
}

/// How much of a call's end was told.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    /// The call goes on.
    Going,
    /// Its end; the recording's name may follow.
    End,
    /// Everything.
    All,
}

pub(crate) struct CallFeed {
    calls: Calls,
    account: AccountId,
    call: CallId,
    after: u64,
    live: Receiver<Fed>,
    waiting: VecDeque<Recorded>,
    stage: Stage,
    told: Told,
}

impl CallFeed {
    async fn next(&mut self) -> Result<News, Over> {
        loop {
            if let Some(recorded) = self.waiting.pop_front() {
                self.note(&recorded);
                return Ok(News::Event { call: self.call, recorded });
            }
            match (&self.stage, self.told) {
                (Stage::Over(why), _) => return Err(*why),
                (Stage::Live, Told::All) => return Err(Over::Told),
                (Stage::Reading, _) => self.read().await,
                (Stage::Live, Told::Going) => match timeout(KEEP_ALIVE, self.live.recv()).await {
                    Err(_) => return Ok(News::Quiet),
                    Ok(event) => self.take(event),
                },
                (Stage::Live, Told::End) => match timeout(AFTER_END, self.live.recv()).await {
                    Err(_) => self.stage = Stage::Over(Over::Told),
                    Ok(event) => self.take(event),
                },
            }
        }
    }

    async fn read(&mut self) {
        match self.calls.reader().journal(&self.account, self.call, self.after, PAGE).await {
            Ok(events) if events.is_empty() => self.stage = Stage::Live,
            Ok(events) => self.waiting.extend(events),
            Err(_) => self.stage = Stage::Over(Over::Unreadable),
        }
    }

    fn take(&mut self, event: Result<Fed, RecvError>) {
        match event {
            Ok(fed) if fed.call == self.call && fed.recorded.seq > self.after => self.waiting.push_back(fed.recorded),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => self.stage = Stage::Reading,
            Err(RecvError::Closed) => self.stage = Stage::Over(Over::Stopping),
        }
    }

    fn note(&mut self, recorded: &Recorded) {
        self.after = self.after.max(recorded.seq);
        match &recorded.event {
            CallEvent::Ended { .. } => self.told = Told::End,
            CallEvent::RecordingKept { .. } if self.told == Told::End => self.told = Told::All,
            _ => {}
        }
    }
}

/// Where a feed of all calls is.
#[derive(Debug, Clone, Copy)]
enum All {
    /// The journal may hold more after this place.
    Reading { from: Moment, after: Option<(CallId, u64)> },
    /// The journal is read; live events follow.
    Live,
}

/// How far a call was told, and when that event happened.
#[derive(Debug, Clone, Copy)]
struct Place {
    seq: u64,
    at: Moment,
}

/// The events of all calls of an account. Those of one call come in order.
pub(crate) struct AccountFeed {
    calls: Calls,
    account: AccountId,
    live: Receiver<Fed>,
    waiting: VecDeque<(CallId, Recorded)>,
    stage: All,
    /// What was told lately. Nothing at or before such a place is told again.
    told: BTreeMap<CallId, Place>,
    /// The event before which nothing more is to be looked for.
    filled: Option<(CallId, u64)>,
    /// When the newest event happened that was told.
    newest: Moment,
    /// Nothing older is told.
    floor: Moment,
}

impl AccountFeed {
    async fn next(&mut self) -> Result<News, Over> {
        loop {
            while self.fill().await?
                && let Some((call, recorded)) = self.waiting.pop_front()
            {
                if self.note(call, &recorded) {
                    return Ok(News::Event { call, recorded });
                }
            }
            match self.stage {
                All::Reading { from, after } => self.read(from, after).await?,
                All::Live => match timeout(KEEP_ALIVE, self.live.recv()).await {
                    Err(_) => return Ok(News::Quiet),
                    Ok(Ok(fed)) if fed.account == self.account => self.waiting.push_back((fed.call, fed.recorded)),
                    Ok(Ok(_)) => {}
                    Ok(Err(RecvError::Lagged(_))) => {
                        let from = self.newest.before(OVERLAP).max(self.floor);
                        self.stage = All::Reading { from, after: None };
                    }
                    Ok(Err(RecvError::Closed)) => return Err(Over::Stopping),
                },
            }
        }
    }

    async fn read(&mut self, from: Moment, after: Option<(CallId, u64)>) -> Result<(), Over> {
        let page = self.calls.reader().journal_since(&self.account, from, after, PAGE).await;
        let page = page.map_err(|_| Over::Unreadable)?;
        self.stage = match page.last() {
            None => All::Live,
            Some((call, recorded)) => All::Reading { from, after: Some((*call, recorded.seq)) },
        };
        self.waiting.extend(page);
        Ok(())
    }

    /// Puts what the journal holds between the last event that was told of the next one's call and that one before it: some
    /// events, such as a call's first, are written and told to no watcher. `false`: nothing waits.
    async fn fill(&mut self) -> Result<bool, Over> {
        let Some((call, recorded)) = self.waiting.front() else { return Ok(false) };
        let next = (*call, recorded.seq);
        let last = self.told.get(call).map_or(0, |place| place.seq);
        if next.1 <= last.saturating_add(1) || self.filled == Some(next) {
            return Ok(true);
        }
        let limit = u32::try_from(next.1 - last).unwrap_or(PAGE).min(PAGE);
        let found = self.calls.reader().journal(&self.account, next.0, last, limit).await;
        let found = found.map_err(|_| Over::Unreadable)?;
        let missing = found.into_iter().filter(|one| one.seq < next.1 && one.at >= self.floor);
        for one in missing.collect::<Vec<_>>().into_iter().rev() {
            self.waiting.push_front((next.0, one));
        }
        self.filled = Some(next);
        Ok(true)
    }

    /// Whether it is to be told; it is noted as told then.
    fn note(&mut self, call: CallId, recorded: &Recorded) -> bool {
        if self.told.get(&call).is_some_and(|place| recorded.seq <= place.seq) {
            return false;
        }
        self.newest = self.newest.max(recorded.at);
        self.told.insert(call, Place { seq: recorded.seq, at: recorded.at });
        if self.told.len() > PLACES {
            // Twice the overlap: what is read again begins one overlap before the newest.
            let old = self.newest.before(2 * OVERLAP);
            self.told.retain(|_, place| place.at >= old);
        }
        true
    }
}

fn line(id: &str, data: &Value, recorded: &Recorded) -> Bytes {
    Bytes::from(format!("id: {id}\nevent: {}\ndata: {data}\n\n", recorded.event.name()))
}

/// An event of a call among others: as [`event_json`], and which call.
pub(crate) fn event_of(call: CallId, recorded: &Recorded) -> Value {
    let mut data = event_json(recorded);
    if let Value::Object(members) = &mut data {
        members.insert(String::from("call"), json!(call));
    }
    data
}

/// An event as the native API shows it: its members beside `seq`, `at` and `event`.
pub(crate) fn event_json(recorded: &Recorded) -> Value {
    let mut data = serde_json::to_value(recorded).unwrap_or_default();
    if let Value::Object(members) = &mut data {
        members.insert(String::from("at"), json!(crate::dialects::timestamp(recorded.at)));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::Moment;
    use callwright_testkit::{Callee, NodeBuilder, Plan, Then};
    use tokio::sync::broadcast;

    #[tokio::test]
    async fn a_watcher_that_fell_behind_reads_the_journal_and_misses_nothing() {
        let callee = Callee::start(Plan::then(Then::Refuse(486))).await;
        let node = NodeBuilder::to(&callee).start().await;
        let call = node.call().await;
        node.ended(call).await;
        let journal = node.calls().reader().journal(&node.account(), call, 0, 1000).await.expect("readable");
        let (sender, live) = broadcast::channel(2);
        let calls = node.calls();
        let waiting = VecDeque::from(vec![journal[0].clone()]);
        let feed = CallFeed {
            calls,
            account: node.account(),
            call,
            after: 0,
            live,
            waiting,
            stage: Stage::Live,
            told: Told::Going,
        };
        // Far more than the channel holds, all of them old news by the time that they are read.
        for _ in 0..20 {
            let recorded = Recorded { seq: 1, at: Moment(0), event: CallEvent::Created };
            let fed = Fed { account: node.account(), call, recorded };
            assert!(sender.send(fed).is_ok(), "somebody watches");
        }
        drop(sender);
        let mut feed = Feed::Call(Box::new(feed));
        let mut ids = Vec::new();
        while let Ok(news) = feed.next().await {
            if let News::Event { recorded, .. } = news {
                ids.push(recorded.seq);
            }
        }
        let wanted: Vec<u64> = journal.iter().map(|recorded| recorded.seq).collect();
        assert_eq!(ids, wanted);
    }

    /// Far behind, over the switch from stored to live, with some of it seen before: each event once, each call in order.
    #[tokio::test]
    async fn a_watcher_of_all_calls_that_fell_behind_is_told_each_event_once() {
        let callee = Callee::start(Plan::then(Then::Refuse(486))).await;
        let node = NodeBuilder::to(&callee).start().await;
        let mut journals = BTreeMap::new();
        for _ in 0..3 {
            let call = node.call().await;
            node.ended(call).await;
            let journal = node.calls().reader().journal(&node.account(), call, 0, 1000).await.expect("readable");
            journals.insert(call, journal);
        }
        let (sender, live) = broadcast::channel(4);
        let seen_of = *journals.keys().next().expect("three calls");
        let mut feed = AccountFeed {
            calls: node.calls(),
            account: node.account(),
            live,
            waiting: VecDeque::new(),
            stage: All::Live,
            told: BTreeMap::from([(seen_of, Place { seq: 2, at: node.now() })]),
            filled: None,
            newest: node.now(),
            floor: Moment(0),
        };
        // All of it live and in a jumble, and more than the channel holds: the journal tells it, then repeats come.
        for (call, recorded) in journals.iter().flat_map(|(call, all)| all.iter().map(|one| (*call, one.clone()))) {
            assert!(sender.send(Fed { account: node.account(), call, recorded }).is_ok(), "somebody watches");
        }
        drop(sender);
        let mut told: BTreeMap<CallId, Vec<u64>> = BTreeMap::new();
        let over = loop {
            match feed.next().await {
                Ok(News::Event { call, recorded }) => told.entry(call).or_default().push(recorded.seq),
                Ok(News::Quiet) => {}
                Err(over) => break over,
            }
        };
        assert_eq!(over, Over::Stopping);
        for (call, journal) in journals {
            let from = if call == seen_of { 2 } else { 0 };
            let wanted: Vec<u64> = journal.iter().map(|recorded| recorded.seq).filter(|seq| *seq > from).collect();
            assert_eq!(told.remove(&call), Some(wanted));
        }
    }
}
