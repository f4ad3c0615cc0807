//! A call as it stood right after one of its events, made from what is stored now: so that a repeat hours later says the
//! same as the first try. Never reads anything by itself.

use super::CallNews;
use callwright_domain::webhook::History;
use callwright_domain::{CallEvent, CallState, Moment, Recorded};
use callwright_store::CallView;

/// The news of an event. `journal` is the call's up to and with the event where [`wants_journal`] says so, else empty.
pub(super) fn news(view: CallView, recorded: Recorded, journal: Vec<Recorded>, history: History) -> CallNews {
    let view = if journal.is_empty() { before_the_end(view, &recorded) } else { replayed(view, &journal) };
    // An event of the same millisecond as the end came before it after all.
    let journal = if view.state.is_ended() || history == History::Always { journal } else { Vec::new() };
    CallNews { view, recorded, journal }
}

/// Whether the journal is needed: only an ended call is told with its transcript, unless the endpoint wants it always.
pub(super) fn wants_journal(view: &CallView, recorded: &Recorded, history: History) -> bool {
    history == History::Always
        || matches!(recorded.event, CallEvent::Ended { .. })
        || view.timeline.ended.is_some_and(|ended| ended <= recorded.at)
}

/// Everything from the journal itself.
fn replayed(mut view: CallView, journal: &[Recorded]) -> CallView {
    let mut state = CallState::Queued;
    view.timeline = callwright_domain::call::Timeline::default();
    (view.cause, view.status, view.q850, view.recording) = (None, None, None, None);
    for recorded in journal {
        // The store applied the same event to the same state when it was written.
        state = state.apply(&recorded.event).unwrap_or(state);
        view.timeline = view.timeline.with(recorded.at, &recorded.event);
        view.last_seq = recorded.seq;
        match &recorded.event {
            CallEvent::Dialing { intent } => view.attempts = intent.attempt,
            CallEvent::RecordingKept { name, .. } => view.recording = Some(name.clone()),
            CallEvent::Ended { cause, status, q850 } => {
                (view.cause, view.status, view.q850) = (Some(*cause), *status, *q850);
            }
            _ => {}
        }
    }
    view.state = state;
    view.recording = view.recording.filter(|_| view.recording_gone.is_none());
    (view.waits, view.next) = (None, view.next.filter(|_| state.is_ended()));
    view
}

/// What came later is taken away again.
fn before_the_end(mut view: CallView, recorded: &Recorded) -> CallView {
    let kept = |moment: Option<Moment>| moment.filter(|moment| *moment <= recorded.at);
    let mut timeline = view.timeline;
    timeline.dialing = kept(timeline.dialing);
    timeline.ringing = kept(timeline.ringing);
    timeline.answered = kept(timeline.answered);
    timeline.ended = None;
    view.timeline = timeline.with(recorded.at, &recorded.event);
    view.state = match (&recorded.event, view.timeline) {
        (CallEvent::Created, _) => CallState::Queued,
        (CallEvent::Dialing { .. }, _) => CallState::Dialing,
        (CallEvent::Ringing { .. } | CallEvent::Joined { .. }, _) => CallState::Ringing,
        (CallEvent::Transferring { .. }, _) => CallState::Transferring,
        (_, timeline) if timeline.answered.is_some() => CallState::Talking,
        (_, timeline) if timeline.ringing.is_some() => CallState::Ringing,
        (_, timeline) if timeline.dialing.is_some() => CallState::Dialing,
        _ => CallState::Queued,
    };
    (view.cause, view.status, view.q850) = (None, None, None);
    (view.waits, view.next) = (None, None);
    view.last_seq = recorded.seq;
    view.recording = match &recorded.event {
        CallEvent::RecordingKept { name, .. } => Some(name.clone()),
        _ => None,
    };
    view
}
