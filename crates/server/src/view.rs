//! A call as it happens, for people at a terminal. Reads journal events only, the same that the API streams.

use callwright_domain::call::{CallEvent, TurnLatency};
use callwright_domain::{HangupCause, Moment, Recorded};
use std::time::Duration;

/// Prints a call line by line and remembers the latency of each turn.
pub(crate) struct CallPrinter {
    began: Option<Moment>,
    pending: Option<TurnLatency>,
    turns: Vec<TurnLatency>,
    said: Vec<String>,
    heard: Vec<String>,
    interruptions: u32,
}

/// What a whole call came to.
pub(crate) struct Summary {
    /// Latency of each answered turn.
    pub(crate) turns: Vec<TurnLatency>,
    /// What the agent said, as far as it was heard.
    pub(crate) said: Vec<String>,
    /// What the callee said.
    pub(crate) heard: Vec<String>,
    /// Times the callee cut the agent off.
    pub(crate) interruptions: u32,
}

impl CallPrinter {
    /// A printer that has seen nothing yet.
    pub(crate) fn new() -> Self {
        Self { began: None, pending: None, turns: Vec::new(), said: Vec::new(), heard: Vec::new(), interruptions: 0 }
    }

    /// Prints one event; `Some` when the call is over.
    pub(crate) fn show(&mut self, recorded: &Recorded) -> Option<HangupCause> {
        let began = *self.began.get_or_insert(recorded.at);
        let at = recorded.at.since(began);
        match &recorded.event {
            CallEvent::Created => line(at, "call", "accepted"),
            CallEvent::Dialing { intent } => line(at, "call", &format!("dialling (attempt {})", intent.attempt)),
            CallEvent::AttemptFailed { attempt, cause, status, .. } => {
                let status = status.map(|status| format!(", {status}")).unwrap_or_default();
                line(at, "call", &format!("attempt {attempt} failed: {cause:?}{status}; the next trunk is tried"));
            }
            CallEvent::Ringing { status } => line(at, "call", &format!("ringing ({status})")),
            CallEvent::Joined { .. } => line(at, "call", "joined"),
            CallEvent::MessageReceived { text } => line(at, "callee", &format!("sent {}", text.expose())),
            CallEvent::Answered { codec, .. } => line(at, "call", &format!("answered, {codec}")),
            CallEvent::Heard { text, .. } => {
                line(at, "callee", text.expose());
                self.heard.push(text.expose().clone());
            }
            CallEvent::TurnTaken { latency } => self.pending = Some(*latency),
            CallEvent::Said { text, interrupted, .. } => self.agent_spoke(at, text.expose(), *interrupted),
            CallEvent::MachineDetected { sign } => {
                let sign = format!("{sign:?}").to_lowercase();
                line(at, "call", &format!("a machine has answered (known by its {sign})"));
            }
            CallEvent::Spoke { .. } => {}
            CallEvent::Disclosed => line(at, "call", "the callee knows that a machine speaks"),
            CallEvent::Interrupted => {
                self.interruptions += 1;
                line(at, "call", "the callee interrupted; the agent fell silent");
            }
            CallEvent::KeyPressed { key } => line(at, "callee", &format!("pressed {key}")),
            CallEvent::ToolRun { name, .. } => line(at, "agent", &format!("used its tool {name}")),
            CallEvent::Trouble { part, detail } => line(at, "call", &format!("trouble with {part}: {detail}")),
            CallEvent::Transferring { .. } => line(at, "call", "transferring"),
            CallEvent::TransferDialing { .. } => line(at, "call", "calling the other telephone"),
            CallEvent::TransferAnswered { .. } => line(at, "call", "the other telephone was answered"),
            CallEvent::TransferEnded { reason } => line(at, "call", &format!("transfer ended: {reason}")),
            CallEvent::RecordingKept { name, .. } => line(at, "call", &format!("recording kept as {name}")),
            CallEvent::Ended { cause, status, .. } => {
                let status = status.map(|status| format!(" (SIP {status})")).unwrap_or_default();
                line(at, "call", &format!("ended: {}{status}", words(*cause)));
                return Some(*cause);
            }
        }
        None
    }

    /// What it came to.
    pub(crate) fn finish(self) -> Summary {
        Summary { turns: self.turns, said: self.said, heard: self.heard, interruptions: self.interruptions }
    }

    fn agent_spoke(&mut self, at: Duration, text: &str, interrupted: bool) {
        let cut = if interrupted { " —" } else { "" };
        line(at, "agent", &format!("{text}{cut}"));
        self.said.push(text.to_owned());
        if let Some(latency) = self.pending.take() {
            println!("{:>8}   {:<7} {}", "", "", split(&latency));
            self.turns.push(latency);
        }
    }
}

/// The split of one turn's latency.
pub(crate) fn split(latency: &TurnLatency) -> String {
    format!(
        "[{} ms = endpoint {} + recogniser {} + model {} + voice {} + own {}]",
        latency.total_ms, latency.endpoint_ms, latency.ears_ms, latency.brain_ms, latency.voice_ms, latency.own_ms
    )
}

/// A cause in words: its stored name with blanks.
pub(crate) fn words(cause: HangupCause) -> String {
    serde_json::to_value(cause)
        .ok()
        .and_then(|value| value.as_str().map(|name| name.replace('_', " ")))
        .unwrap_or_else(|| format!("{cause:?}"))
}

fn line(at: Duration, who: &str, what: &str) {
    println!("{:>7.2}s   {who:<7} {what}", at.as_secs_f64());
}
