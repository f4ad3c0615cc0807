//! Whole calls over loopback: an engine with a store, signalling and audio of its own, a callee with a telephone, and
//! vendors that follow a script. Every wait is for an event; nothing sleeps.

mod admission;
mod archive;
mod away;
mod browsers;
mod campaigns;
mod changing;
mod ends;
mod extracts;
mod failures;
mod faults;
mod meeting;
mod outcomes;
mod privacy;
mod restart;
mod returning;
mod takeover;
mod talking;
mod threads;
mod transfers;
mod trunks;
mod voicemail;
mod voices;

use callwright_domain::CallEvent;
use std::time::Duration;

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Plays a scenario that is judged by the real clock, in up to three rounds: a machine that stood still for a moment is late
/// in one of them, a server that is too slow in each. A round says what came too late.
async fn in_time(mut round: impl AsyncFnMut() -> Result<(), String>) {
    let mut late = Vec::new();
    while late.len() < 3 {
        match round().await {
            Ok(()) => return,
            Err(what) => late.push(what),
        }
    }
    panic!("{late:?}");
}

/// What came after so long a time must have come within the bound.
fn within(bound: Duration, took: Duration, what: &str) -> Result<(), String> {
    if took < bound { Ok(()) } else { Err(format!("{what} after {took:?}")) }
}

/// Whether the agent said exactly this.
fn said(text: &str) -> impl Fn(&CallEvent) -> bool {
    move |event| matches!(event, CallEvent::Said { text: said, .. } if said.expose() == text)
}

/// Whether the callee was understood to have said this.
fn heard(words: &str) -> impl Fn(&CallEvent) -> bool {
    move |event| matches!(event, CallEvent::Heard { text, .. } if text.expose().contains(words))
}

/// Whether something of this part went wrong.
fn trouble(wanted: &str) -> impl Fn(&CallEvent) -> bool {
    move |event| matches!(event, CallEvent::Trouble { part, .. } if part == wanted)
}

fn answered(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Answered { .. })
}

fn ringing(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Ringing { .. })
}

fn dialing(event: &CallEvent) -> bool {
    matches!(event, CallEvent::Dialing { .. })
}
