//! Appending to a call's journal and keeping its projections in step: the state, the timeline, the record. Never moves
//! a state by itself: [`CallState::apply`] does.

use super::outbox::{self, somebody_hears};
use super::reading::recorded_of;
use super::rows::{cause_word, json, key_of, state_of, timeline_of, unsigned};
use super::{Conn, Query, dialect, leases, query, retention, together};
use crate::calls::Key;
use crate::{Ending, Finished, Marked, NodeIdentity, Stage, StoreError};
use callwright_domain::call::Timeline;
use callwright_domain::{CallEvent, CallId, CallState, Moment, Recorded};

const LOAD: &str = concat!(
    "SELECT account, id, state, cause, status, q850, timeline, seq, attempt, ended, owner, epoch, mark, recording_gone, retries,
        wants_findings, ",
    somebody_hears!(),
    " AS heard FROM calls WHERE id = $1"
);

/// Whoever moves a call out of the queue owns it from then on, claimed or not: its death must be noticed.
const UPDATE: &str = "
    UPDATE calls SET state = $3, cause = $4, status = $5, q850 = $6, timeline = $7, seq = $8, attempt = $9, ended = $10,
        intent = COALESCE($11, intent), dialog = COALESCE($12, dialog), recording = COALESCE($13, recording),
        owner = CASE WHEN $3 = 'queued' THEN owner ELSE $14 END, epoch = CASE WHEN $3 = 'queued' THEN epoch ELSE $15 END,
        waits = CASE WHEN $3 = 'queued' THEN waits END, mark = $16
    WHERE account = $1 AND id = $2";

const RECORD: &str = "
    INSERT INTO records (account, call, attempt, cause, status, q850, timeline, talked_ms, ended)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (account, call, attempt) DO NOTHING";

/// A call's projections while events are added to them.
struct Standing {
    key: Key,
    state: CallState,
    timeline: Timeline,
    seq: u64,
    /// Of the last event that this owner wrote; 0: none with a mark.
    mark: u64,
    attempt: u32,
    status: Option<u16>,
    q850: Option<u8>,
    ended: Option<Moment>,
    intent: Option<String>,
    dialog: Option<String>,
    recording: Option<String>,
    /// Its recording is not to be kept: one that is told of now goes at once.
    unwanted: bool,
    /// Whether an endpoint may want to hear of it.
    heard: bool,
    /// Whether another call may follow its end.
    retries: bool,
    /// Whether something is to be found out about it once it is over.
    wants_findings: bool,
    /// Attempts that failed just now, each with a record of its own.
    failed: Vec<FailedAttempt>,
}

/// An attempt after which another trunk was tried.
struct FailedAttempt {
    attempt: u32,
    at: Moment,
    ending: Ending,
    timeline: Timeline,
}

impl Standing {
    /// The next event's place, and the projections with it in them.
    fn absorb(&mut self, at: Moment, event: &CallEvent) -> Result<u64, StoreError> {
        self.state = self.state.apply(event)?;
        self.timeline = self.timeline.with(at, event);
        self.seq = self.seq.saturating_add(1);
        match event {
            CallEvent::Dialing { intent } => {
                self.attempt = intent.attempt;
                self.intent = Some(json(intent)?);
            }
            // What is joined counts as an attempt, as what is dialled does.
            CallEvent::Joined { .. } => self.attempt = 1,
            CallEvent::AttemptFailed { attempt, cause, status, q850 } => {
                let ending = Ending { cause: *cause, status: *status, q850: *q850 };
                self.failed.push(FailedAttempt { attempt: *attempt, at, ending, timeline: self.timeline });
            }
            CallEvent::Answered { dialog, .. } => self.dialog = Some(dialog.clone()),
            CallEvent::RecordingKept { name, .. } => self.recording = (!self.unwanted).then(|| name.clone()),
            CallEvent::Ended { status, q850, .. } => {
                (self.status, self.q850, self.ended) = (*status, *q850, Some(at));
            }
            _ => {}
        }
        Ok(self.seq)
    }
}

/// What was done, and how many messages to endpoints came of it.
pub(crate) struct Told<T> {
    pub(crate) done: T,
    pub(crate) messages: u64,
}

/// [`crate::Store::append`].
pub(crate) async fn append(
    conn: &mut Conn,
    me: &NodeIdentity,
    call: CallId,
    events: Vec<(Moment, CallEvent)>,
) -> Result<Told<Vec<Recorded>>, StoreError> {
    if let Some((now, _)) = events.iter().find(|(_, event)| begins(event)) {
        leases::require(conn, me, *now).await?;
    }
    let standing = load(conn, me, call).await?;
    add(conn, me, standing, events).await
}

/// What is to become of events among which one cannot happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// None is written.
    Refuse,
    /// The others are.
    LeaveOut,
}

/// [`crate::Store::record`] and [`crate::Store::record_late`].
pub(crate) async fn record_marked(
    conn: &mut Conn,
    me: &NodeIdentity,
    (call, marked): (CallId, Vec<Marked>),
    unfit: Unfit,
) -> Result<Told<Vec<Recorded>>, StoreError> {
    let mut standing = load(conn, me, call).await?;
    let (known, fresh): (Vec<Marked>, Vec<Marked>) = marked.into_iter().partition(|one| one.mark <= standing.mark);
    let mut recorded = last_events(conn, &standing, known.len()).await?;
    let (mut state, mut events) = (standing.state, Vec::with_capacity(fresh.len()));
    for Marked { mark, at, event } in fresh {
        standing.mark = mark;
        match state.apply(&event) {
            // The first end stands.
            _ if state.is_ended() && matches!(event, CallEvent::Ended { .. }) => {}
            Ok(next) => {
                state = next;
                events.push((at, event));
            }
            Err(illegal) if unfit == Unfit::Refuse => return Err(illegal.into()),
            Err(illegal) => tracing::warn!(%call, %illegal, "an event came too late"),
        }
    }
    if let Some((now, _)) = events.iter().find(|(_, event)| begins(event)) {
        leases::require(conn, me, *now).await?;
    }
    let told = add(conn, me, standing, events).await?;
    recorded.extend(told.done);
    Ok(Told { done: recorded, messages: told.messages })
}

/// The last events of a journal: those that were written and whose writer did not hear so.
async fn last_events(conn: &mut Conn, standing: &Standing, count: usize) -> Result<Vec<Recorded>, StoreError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let after = standing.seq.saturating_sub(count as u64);
    let rows = query("SELECT seq, at, event FROM events WHERE account = $1 AND call = $2 AND seq > $3 ORDER BY seq")
        .bind(standing.key.0.as_str())
        .bind(standing.key.1.to_string())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await?;
    rows.iter().map(recorded_of).collect()
}

/// Whether a call comes to life by it, so that its owner's lease must hold.
const fn begins(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Dialing { .. } | CallEvent::Joined { .. })
}

/// [`crate::Store::finish`].
pub(crate) async fn finish(
    conn: &mut Conn,
    me: &NodeIdentity,
    call: CallId,
    at: Moment,
    ending: Ending,
) -> Result<Told<Finished>, StoreError> {
    let standing = load(conn, me, call).await?;
    if let CallState::Ended(cause) = standing.state {
        return Ok(Told { done: Finished::Before(cause), messages: 0 });
    }
    let event = CallEvent::Ended { cause: ending.cause, status: ending.status, q850: ending.q850 };
    let mut told = add(conn, me, standing, vec![(at, event)]).await?;
    let done = told.done.pop().map(Finished::Now).ok_or(StoreError::NoSuchCall)?;
    Ok(Told { done, messages: told.messages })
}

pub(super) const INSERT_EVENT: &str = "INSERT INTO events (account, call, seq, at, event) VALUES ($1, $2, $3, $4, $5)";

/// One event at its place, for a statement whose first values are its account, call, place, moment and text.
pub(super) fn event_row(
    statement: &'static str,
    key: &Key,
    seq: u64,
    (at, event): (Moment, &CallEvent),
) -> Result<Query, StoreError> {
    Ok(query(statement)
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .bind(at.millis())
        .bind(json(event)?))
}

async fn load(conn: &mut Conn, me: &NodeIdentity, call: CallId) -> Result<Standing, StoreError> {
    let mut load = query(LOAD);
    load.push(dialect::for_update(conn.backend()));
    let row = load.bind(call.to_string()).fetch_optional(conn).await?.ok_or(StoreError::NoSuchCall)?;
    let owner: (Option<String>, Option<i64>) = (row.read("owner")?, row.read("epoch")?);
    let mark = match owner {
        (None, _) => 0,
        (Some(node), Some(epoch)) if node == me.node && epoch == me.epoch => unsigned("mark", row.read("mark")?)?,
        (Some(_), _) => return Err(StoreError::NotOwner),
    };
    Ok(Standing {
        key: key_of(&row)?,
        state: state_of(&row)?,
        timeline: timeline_of(&row)?,
        seq: unsigned("sequence number", row.read("seq")?)?,
        mark,
        attempt: unsigned("attempt", row.read("attempt")?)?,
        status: super::rows::status_of(&row)?,
        q850: super::rows::q850_of(&row)?,
        ended: row.read::<Option<i64>>("ended")?.map(Moment),
        intent: None,
        dialog: None,
        recording: None,
        failed: Vec::new(),
        unwanted: row.read::<Option<&str>>("recording_gone")?.is_some(),
        heard: row.read::<i64>("heard")? != 0,
        retries: row.read::<i64>("retries")? != 0,
        wants_findings: row.read::<i64>("wants_findings")? != 0,
    })
}

async fn add(
    conn: &mut Conn,
    me: &NodeIdentity,
    mut standing: Standing,
    events: Vec<(Moment, CallEvent)>,
) -> Result<Told<Vec<Recorded>>, StoreError> {
    if events.is_empty() {
        return Ok(Told { done: Vec::new(), messages: 0 });
    }
    let was_ended = standing.state.is_ended();
    let mut recorded = Vec::with_capacity(events.len());
    let mut parts = Vec::with_capacity(events.len() + 1);
    for (at, event) in events {
        let seq = standing.absorb(at, &event)?;
        parts.push(event_row(INSERT_EVENT, &standing.key, seq, (at, &event))?);
        if let (CallEvent::RecordingKept { name, .. }, true) = (&event, standing.unwanted) {
            retention::remove_recording(conn, &standing.key, (name, &me.node), (None, at)).await?;
        }
        recorded.push(Recorded { seq, at, event });
    }
    parts.push(update(me, &standing)?);
    together(conn, parts).await?;
    let mut messages = 0;
    for failed in &standing.failed {
        let timeline = Timeline { ended: Some(failed.at), ..failed.timeline };
        messages += write_record(conn, &standing.key, (failed.attempt, failed.ending), &timeline).await?;
    }
    if !was_ended {
        messages += record(conn, &standing).await?;
        if let (CallState::Ended(cause), Some(ended)) = (standing.state, standing.ended) {
            super::campaigns::settle_call(conn, &standing.key, (cause, ended)).await?;
            if standing.retries {
                messages += super::retries::follow(conn, &standing.key, (cause, ended)).await?;
            }
            if standing.wants_findings && standing.timeline.answered.is_some() {
                super::extracts::begin(conn, &standing.key, ended).await?;
            }
        }
    }
    if standing.heard {
        let happened: Vec<_> = recorded.iter().map(|one| (one.seq, one.at, &one.event)).collect();
        messages += outbox::tell(conn, &standing.key, &happened).await?;
    }
    Ok(Told { done: recorded, messages })
}

fn update(me: &NodeIdentity, standing: &Standing) -> Result<Query, StoreError> {
    let cause = match standing.state {
        CallState::Ended(cause) => Some(cause_word(cause)?),
        _ => None,
    };
    Ok(query(UPDATE)
        .bind(standing.key.0.as_str())
        .bind(standing.key.1.to_string())
        .bind(Stage::from(standing.state).word())
        .bind(cause)
        .bind(standing.status.map(i64::from))
        .bind(standing.q850.map(i64::from))
        .bind(json(&standing.timeline)?)
        .bind(i64::try_from(standing.seq).unwrap_or(i64::MAX))
        .bind(i64::from(standing.attempt))
        .bind(standing.ended.map(Moment::millis))
        .bind(standing.intent.as_deref())
        .bind(standing.dialog.as_deref())
        .bind(standing.recording.as_deref())
        .bind(&me.node)
        .bind(me.epoch)
        .bind(i64::try_from(standing.mark).unwrap_or(i64::MAX)))
}

/// Writes the attempt's record when the call has just ended; how many messages to endpoints came of it.
async fn record(conn: &mut Conn, standing: &Standing) -> Result<u64, StoreError> {
    let CallState::Ended(cause) = standing.state else { return Ok(0) };
    let ending = Ending { cause, status: standing.status, q850: standing.q850 };
    write_record(conn, &standing.key, (standing.attempt, ending), &standing.timeline).await
}

async fn write_record(
    conn: &mut Conn,
    key: &Key,
    (attempt, ending): (u32, Ending),
    timeline: &Timeline,
) -> Result<u64, StoreError> {
    let Some(ended) = timeline.ended else { return Ok(0) };
    let talked = timeline.answered.map_or(0, |answered| ended.since(answered).as_millis());
    let written = query(RECORD)
        .bind(key.0.as_str())
        .bind(key.1.to_string())
        .bind(i64::from(attempt))
        .bind(cause_word(ending.cause)?)
        .bind(ending.status.map(i64::from))
        .bind(ending.q850.map(i64::from))
        .bind(json(timeline)?)
        .bind(i64::try_from(talked).unwrap_or(i64::MAX))
        .bind(ended.millis())
        .execute(&mut *conn)
        .await?;
    if written == 0 {
        return Ok(0);
    }
    super::rules::use_up(conn, key, ended, i64::try_from(talked).unwrap_or(i64::MAX)).await
}
