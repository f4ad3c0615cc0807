//! Live events as Server-Sent Events: first what the journal holds, then what happens, without a gap or a repeat.
//! A watcher that falls behind reads the journal again; it never slows a call down.

use axum::body::Body;
use bytes::Bytes;
use callwright_domain::{AccountId, CallEvent, CallId, Recorded};
use callwright_engine::{Calls, Fed};
use futures_util::stream;
use serde_json::{Value, json};
use std::collections::VecDeque;
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

/// The events of one call as a stream of lines, beginning after `after`.
pub(crate) fn of_call(calls: Calls, account: AccountId, call: CallId, after: u64) -> Body {
    let live = calls.watch();
    let (waiting, stage, told) = (VecDeque::new(), Stage::Reading, Told::Going);
    let feed = CallFeed { calls, account, call, after, live, waiting, stage, told };
    Body::from_stream(stream::unfold(feed, |mut feed| async move {
        let piece = feed.next().await?;
        Some((Ok::<_, Infallible>(piece), feed))
    }))
}

/// The events of all calls of an account from now on.
pub(crate) fn of_account(calls: &Calls, account: AccountId) -> Body {
    let live = calls.watch();
    Body::from_stream(stream::unfold((live, account), |(mut live, account)| async move {
        let piece = loop {
            match timeout(KEEP_ALIVE, live.recv()).await {
                Err(_) => break Bytes::from_static(b": \n\n"),
                Ok(Ok(fed)) if fed.account == account => break line(None, &fed.recorded, Some(fed.call)),
                Ok(Ok(_)) => {}
                Ok(Err(RecvError::Lagged(missed))) => {
                    break Bytes::from(format!("event: missed\ndata: {{\"events\":{missed}}}\n\n"));
                }
                Ok(Err(RecvError::Closed)) => return None,
            }
        };
        Some((Ok::<_, Infallible>(piece), (live, account)))
    }))
}

/// Where a feed's next events come from.
enum Stage {
    /// The journal may hold more.
    Reading,
    /// The journal is read; live events follow.
    Live,
    /// Nothing follows.
    Over,
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

struct CallFeed {
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
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(recorded) = self.waiting.pop_front() {
                self.note(&recorded);
                return Some(line(Some(recorded.seq), &recorded, None));
            }
            match (&self.stage, self.told) {
                (Stage::Over, _) | (Stage::Live, Told::All) => return None,
                (Stage::Reading, _) => self.read().await,
                (Stage::Live, Told::Going) => match timeout(KEEP_ALIVE, self.live.recv()).await {
                    Err(_) => return Some(Bytes::from_static(b": \n\n")),
                    Ok(event) => self.take(event),
                },
                (Stage::Live, Told::End) => match timeout(AFTER_END, self.live.recv()).await {
                    Err(_) => self.stage = Stage::Over,
                    Ok(event) => self.take(event),
                },
            }
        }
    }

    async fn read(&mut self) {
        match self.calls.reader().journal(&self.account, self.call, self.after, PAGE).await {
            Ok(events) if events.is_empty() => self.stage = Stage::Live,
            Ok(events) => self.waiting.extend(events),
            Err(_) => self.stage = Stage::Over,
        }
    }

    fn take(&mut self, event: Result<Fed, RecvError>) {
        match event {
            Ok(fed) if fed.call == self.call && fed.recorded.seq > self.after => self.waiting.push_back(fed.recorded),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => self.stage = Stage::Reading,
            Err(RecvError::Closed) => self.stage = Stage::Over,
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

fn line(id: Option<u64>, recorded: &Recorded, call: Option<CallId>) -> Bytes {
    let mut data = event_json(recorded);
    if let (Some(call), Value::Object(members)) = (call, &mut data) {
        members.insert(String::from("call"), json!(call));
    }
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Bytes::from(format!("{id}event: {}\ndata: {data}\n\n", recorded.event.name()))
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
    use futures_util::StreamExt;
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
        let pieces = stream::unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) });
        let text: Vec<u8> = pieces.collect::<Vec<_>>().await.concat();
        let text = String::from_utf8(text).expect("UTF-8");
        let ids: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
        let wanted: Vec<u64> = journal.iter().map(|recorded| recorded.seq).collect();
        assert_eq!(ids, wanted);
    }
}
