//! The life of a call: what it is to be, the states it goes through, the events that move it, and why it ended.
//!
//! [`CallState::apply`] is the only place where a call changes state. The engine asks it before acting, the store when
//! replaying, tests all day.

use crate::agent::AgentProfile;
use crate::campaign::CampaignCall;
use crate::policy::Refusal;
use crate::redaction::Redaction;
use crate::retry::Retries;
use crate::way::{BrowserPlace, CallerLine, Telephone, Way};
use crate::{AccountId, AgentId, CallId, Moment, PhoneNumber, Pii, ThreadId, TrunkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a request came from, for the dialect that will render callbacks and views. Opaque below `api`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the dialect.
    pub dialect: String,
    /// What that dialect wants back, in its own form.
    pub memo: String,
}

/// Everything about a call that is decided before it is dialled. Bound at admission: later edits of the stored agent
/// do not change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallPlan {
    /// The call.
    pub id: CallId,
    /// Whose call it is.
    pub account: AccountId,
    /// The stored agent it was made from.
    pub agent_id: AgentId,
    /// The agent with every patch laid over it.
    pub agent: AgentProfile,
    /// How it reaches its other party.
    #[serde(flatten)]
    pub way: Way,
    /// Values for the prompt's templates.
    pub variables: BTreeMap<String, String>,
    /// The requester's own text, given back unread.
    pub user_data: Option<Pii<String>>,
    /// The history it shares with other calls.
    pub thread: Option<ThreadId>,
    /// When it was accepted.
    pub created: Moment,
    /// When it is to be dialled.
    pub due: Moment,
    /// After this it is not dialled any more.
    pub deadline: Option<Moment>,
    /// How long it may wait for a place among the calls of its caller number, agent or account, in milliseconds from when
    /// it is due. 0: one that is due at once is refused instead, one that is due later waits until its deadline, or for
    /// [`CallPlan::WAIT`] where it has none.
    #[serde(default)]
    pub wait_ms: u64,
    /// When and how often it is followed by another when it reaches nobody.
    #[serde(default)]
    pub retry: Option<Retries>,
    /// Where the request came from.
    pub origin: Origin,
    /// Which call of a campaign it is, when it is one.
    #[serde(default)]
    pub campaign: Option<CampaignCall>,
    /// What is taken out of its words before they are written.
    #[serde(default)]
    pub redaction: Redaction,
    /// What its account's quota lets it talk, in milliseconds; none: nothing was said about it.
    #[serde(default)]
    pub talks_ms: Option<u64>,
}

impl CallPlan {
    /// The telephones and trunks of a call over the telephone network.
    pub const fn telephone(&self) -> Option<&Telephone> {
        match &self.way {
            Way::Telephone(telephone) => Some(telephone),
            Way::Browser(_) => None,
        }
    }

    /// Where a call through a browser is met.
    pub const fn browser(&self) -> Option<&BrowserPlace> {
        match &self.way {
            Way::Telephone(_) => None,
            Way::Browser(place) => Some(place),
        }
    }

    /// Who is rung; nobody in a call that is met.
    pub fn callee(&self) -> Option<&PhoneNumber> {
        self.telephone().map(|telephone| &telephone.callee)
    }

    /// Who shows on the display.
    pub fn caller(&self) -> Option<&PhoneNumber> {
        self.telephone().map(|telephone| &telephone.caller)
    }

    /// The callee as it is dialled; empty in a call that is met.
    pub fn callee_dialled(&self) -> &str {
        self.callee().map_or("", PhoneNumber::dial)
    }

    /// The caller number as it is dialled; empty in a call that is met.
    pub fn caller_dialled(&self) -> &str {
        self.caller().map_or("", PhoneNumber::dial)
    }

    /// Every number that may show, the one that shows first; none in a call that is met.
    pub fn callers(&self) -> impl Iterator<Item = &PhoneNumber> {
        self.telephone().into_iter().flat_map(Telephone::callers)
    }

    /// The same with their trunks.
    pub fn lines(&self) -> Vec<CallerLine> {
        self.telephone().map(Telephone::lines).unwrap_or_default()
    }

    /// Lets the `place`th of `lines` show and keeps the others, in their order, as spare ones. Nothing happens when there
    /// is none.
    pub fn show(&mut self, lines: Vec<CallerLine>, place: usize) {
        if let Way::Telephone(telephone) = &mut self.way {
            telephone.show(lines, place);
        }
    }

    /// How long it may talk.
    pub fn talks_at_most(&self) -> Duration {
        let longest = Duration::from_secs(self.agent.limits.max_duration_s.max(1));
        self.talks_ms.map_or(longest, |granted| longest.min(Duration::from_millis(granted)))
    }

    /// How long a call waits for a place that was not to be dialled at once and says nothing of it.
    pub const WAIT: Duration = Duration::from_secs(3600);

    /// Until when it may wait for a place, when it begins to wait at `now`.
    pub fn waits_until(&self, now: Moment) -> Moment {
        let after = |wait| self.due.max(now).after(wait);
        match (self.wait_ms, self.deadline) {
            (0, Some(deadline)) => deadline,
            (0, None) => after(Self::WAIT),
            (wait, deadline) => after(Duration::from_millis(wait)).min(deadline.unwrap_or(Moment(i64::MAX))),
        }
    }
}

/// The identifiers of an INVITE, committed before it is sent, so that a restart can tell a retransmission from a
/// second call (RFC 3261, section 17.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialIntent {
    /// First attempt is 1.
    pub attempt: u32,
    /// SIP Call-ID.
    pub call_id: String,
    /// Tag of our From.
    pub from_tag: String,
    /// Branch of our Via.
    pub branch: String,
    /// CSeq number of the first INVITE.
    pub cseq: u32,
    /// The trunk of this attempt; none in journals written before a call could have several.
    #[serde(default)]
    pub trunk: Option<TrunkId>,
    /// Text form of the dialog that the INVITE begins: what CANCEL needs after a restart.
    #[serde(default)]
    pub dialog: String,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Accepted, not yet dialled.
    Queued,
    /// The INVITE is out.
    Dialing,
    /// The callee's telephone rings; or a browser has joined, and its audio path is being made.
    Ringing,
    /// Answered.
    Talking,
    /// The callee is being handed over to somebody else.
    Transferring,
    /// Over.
    Ended(HangupCause),
}

/// Why a call ended.
///
/// Mirrored without a wildcard arm in every file of `crates/api/src/dialects/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangupCause {
    /// The callee hung up after answering.
    CalleeHungUp,
    /// The agent hung up through its tool.
    AgentHungUp,
    /// The API asked for it after the answer.
    ApiHungUp,
    /// The API asked for it before the answer.
    Cancelled,
    /// Busy.
    Busy,
    /// It rang until the ring limit.
    NoAnswer,
    /// Declined by the callee or its network.
    Rejected,
    /// The number does not exist or cannot be reached.
    Unreachable,
    /// The far end does not accept our media offer.
    MediaRefused,
    /// The trunk refused our credentials.
    AuthFailed,
    /// The far end never answered the INVITE.
    NoResponse,
    /// The trunk or the network behind it failed.
    TrunkFailed,
    /// The trunk answered with a redirection, which is not followed.
    Redirected,
    /// No port, no codec, or an answer without usable media.
    MediaFailed,
    /// The far end's audio stopped.
    MediaTimeout,
    /// The longest allowed duration was reached.
    MaxDuration,
    /// Nobody spoke.
    Idle,
    /// The callee was handed over to somebody else.
    Transferred,
    /// A machine answered: the call ended there, with a message or without.
    VoicemailReached,
    /// An ear, brain or voice failed and nothing could take its place.
    ProviderFailed,
    /// Nobody joined it in the time that it waited to be joined.
    NotJoined,
    /// It was not dialled before its deadline.
    Expired,
    /// Not dialled: no place among the calls of its caller number, agent or account became free while it waited for one.
    NoPlace,
    /// Not dialled: the callee came on a do-not-call list while the call waited.
    CalleeBlocked,
    /// Not dialled: the rules came to forbid the number or its region while the call waited.
    DestinationRefused,
    /// Not dialled: it was outside the calling hours where the callee is.
    OutsideHours,
    /// Not dialled: the callee, the caller number or the account had no call left by then, or the quota was used up.
    OverLimit,
    /// Not dialled: the callee's consent was missing or taken back.
    NoConsent,
    /// Not dialled: what the call was made from (agent, number, trunk) was gone or switched off.
    RuleRefused,
    /// The server was restarted while the call was up.
    ServerRestarted,
    /// The server was shut down while the call was up.
    ServerShutdown,
    /// A defect of ours.
    InternalError,
}

/// Where a call's end came from: what most vendors want to know of a [`HangupCause`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOrigin {
    /// The callee hung up or declined.
    Callee,
    /// Nobody could be reached at the number.
    Unreached,
    /// The agent's side: the agent itself, or whoever ordered the call.
    Agent,
    /// The trunk or the audio path.
    Line,
    /// A limit of the agent's settings.
    Limit,
    /// A recogniser, model or voice.
    Service,
    /// A rule, before it was dialled.
    Rule,
    /// This server.
    Server,
}

impl HangupCause {
    /// Every cause, in the order in which they are documented.
    pub const ALL: [Self; 32] = [
        Self::CalleeHungUp,
        Self::AgentHungUp,
        Self::ApiHungUp,
        Self::Cancelled,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::Unreachable,
        Self::MediaRefused,
        Self::AuthFailed,
        Self::NoResponse,
        Self::TrunkFailed,
        Self::Redirected,
        Self::MediaFailed,
        Self::MediaTimeout,
        Self::MaxDuration,
        Self::Idle,
        Self::Transferred,
        Self::VoicemailReached,
        Self::ProviderFailed,
        Self::NotJoined,
        Self::Expired,
        Self::NoPlace,
        Self::CalleeBlocked,
        Self::DestinationRefused,
        Self::OutsideHours,
        Self::OverLimit,
        Self::NoConsent,
        Self::RuleRefused,
        Self::ServerRestarted,
        Self::ServerShutdown,
        Self::InternalError,
    ];

    /// Where the end came from.
    pub const fn origin(self) -> EndOrigin {
        match self {
            Self::CalleeHungUp | Self::Busy | Self::Rejected => EndOrigin::Callee,
            Self::NoAnswer | Self::Unreachable | Self::MediaRefused | Self::NotJoined | Self::VoicemailReached => {
                EndOrigin::Unreached
            }
            Self::AgentHungUp | Self::ApiHungUp | Self::Cancelled | Self::Transferred => EndOrigin::Agent,
            Self::AuthFailed
            | Self::NoResponse
            | Self::TrunkFailed
            | Self::Redirected
            | Self::MediaFailed
            | Self::MediaTimeout => EndOrigin::Line,
            Self::MaxDuration | Self::Idle => EndOrigin::Limit,
            Self::ProviderFailed => EndOrigin::Service,
            Self::Expired
            | Self::CalleeBlocked
            | Self::DestinationRefused
            | Self::OutsideHours
            | Self::OverLimit
            | Self::NoPlace
            | Self::NoConsent
            | Self::RuleRefused => EndOrigin::Rule,
            Self::ServerRestarted | Self::ServerShutdown | Self::InternalError => EndOrigin::Server,
        }
    }

    /// The end of a call that was accepted and is refused when it is to be dialled.
    pub const fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::CalleeBlocked => Self::CalleeBlocked,
            Refusal::EmergencyNumber
            | Refusal::ShortNumber
            | Refusal::PremiumNumber
            | Refusal::SatelliteNumber
            | Refusal::DestinationNotAllowed
            | Refusal::OwnNumber
            | Refusal::RegionBlocked => Self::DestinationRefused,
            Refusal::OutsideCallingHours => Self::OutsideHours,
            Refusal::CallerBusy
            | Refusal::AccountBusy
            | Refusal::NodeBusy
            | Refusal::AgentBusy
            | Refusal::CalleeTooOften
            | Refusal::CalleeDailyLimit
            | Refusal::CallerTooOften
            | Refusal::AccountTooOften
            | Refusal::QuotaUsedUp
            | Refusal::PlanExpired => Self::OverLimit,
            Refusal::NoConsent => Self::NoConsent,
            Refusal::UnknownAgent
            | Refusal::CallerNotOwned
            | Refusal::CallerDisabled
            | Refusal::NoCallerNumber
            | Refusal::NoTrunk => Self::RuleRefused,
            Refusal::Draining => Self::ServerShutdown,
        }
    }
}

/// By what a machine was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineSign {
    /// By what it said.
    Words,
    /// By how long it spoke.
    Length,
    /// By its tone.
    Tone,
}

/// How the time between the end of the callee's speech and the agent's first sound was spent, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TurnLatency {
    /// End of the callee's speech to the first sound of the agent.
    pub total_ms: u32,
    /// Waiting until the turn was surely over.
    pub endpoint_ms: u32,
    /// The recogniser's share after that.
    pub ears_ms: u32,
    /// The model's share: question asked to first speakable clause.
    pub brain_ms: u32,
    /// The synthesiser's share: first clause given to first sound received.
    pub voice_ms: u32,
    /// What is left: ours.
    pub own_ms: u32,
}

/// When an utterance sounded, reckoned from the moment at which its event happened: its words are known later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// How long before the event it began, in milliseconds.
    pub began_ms: u32,
    /// How long before the event it was over, in milliseconds; at most `began_ms`.
    pub ended_ms: u32,
}

impl Span {
    /// Begin and end of the utterance whose event happened at `event`.
    pub fn around(self, event: Moment) -> (Moment, Moment) {
        let before = |ms: u32| Moment(event.millis().saturating_sub(i64::from(ms)));
        (before(self.began_ms), before(self.ended_ms))
    }
}

/// Something that happened to a call. The journal of these is the truth about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum CallEvent {
    /// Accepted.
    Created,
    /// About to be dialled; committed before the INVITE is sent.
    Dialing {
        /// The INVITE's identifiers.
        intent: DialIntent,
    },
    /// The attempt failed before anybody can have been rung; another trunk is tried.
    AttemptFailed {
        /// Which attempt.
        attempt: u32,
        /// Why.
        cause: HangupCause,
        /// The SIP status that ended it, when one did.
        status: Option<u16>,
        /// The Q.850 cause that came with it (RFC 3326).
        q850: Option<u8>,
    },
    /// The callee's telephone rings.
    Ringing {
        /// The SIP status that said so.
        status: u16,
    },
    /// A browser has joined; its audio path is being made.
    Joined {
        /// The user's id in the channel.
        user: Pii<String>,
    },
    /// Answered; audio may flow. The dialog's text form lets another process end the call.
    Answered {
        /// What is needed to send BYE after a restart.
        dialog: String,
        /// Name of the codec that was agreed on.
        codec: String,
    },
    /// A machine has answered, not a person.
    MachineDetected {
        /// By what it was known.
        sign: MachineSign,
    },
    /// The callee said this.
    Heard {
        /// The recogniser's final text.
        text: Pii<String>,
        /// When it sounded; none: it was typed, or came when its sound was long over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<Span>,
    },
    /// How the time before the agent's next words was spent.
    TurnTaken {
        /// The split.
        latency: TurnLatency,
    },
    /// The agent said this, and it was played.
    Said {
        /// What was really played.
        text: Pii<String>,
        /// The callee cut it off.
        interrupted: bool,
        /// Somebody outside had ordered it to be said as it is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_order: bool,
        /// When it sounded; none: not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<Span>,
        /// What else it would have said when it was cut off, as far as that was made; none: nothing, or not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unsaid: Option<Pii<String>>,
    },
    /// The agent was heard for the first time.
    Spoke {
        /// How long the callee had waited in silence by then: since it stopped speaking, or since it answered when it had not
        /// spoken. 0: it was still speaking. In milliseconds.
        silence_ms: u32,
    },
    /// The sentence that tells that a machine speaks was heard, all of it or nearly.
    Disclosed,
    /// The callee spoke over the agent and won.
    Interrupted,
    /// The callee's browser sent a text of its own for whoever asked for the call.
    MessageReceived {
        /// The text.
        text: Pii<String>,
    },
    /// The callee pressed a key.
    KeyPressed {
        /// `0`-`9`, `*`, `#`, `A`-`D`.
        key: char,
    },
    /// The model used a tool.
    ToolRun {
        /// The tool's name.
        name: String,
        /// The model's arguments, JSON text.
        arguments: Pii<String>,
        /// What the model was told.
        result: Pii<String>,
    },
    /// Something went wrong that the call survived.
    Trouble {
        /// Which part.
        part: String,
        /// What, for people; never a secret.
        detail: String,
    },
    /// The callee is being handed over.
    Transferring {
        /// To whom: the number or address that is called.
        #[serde(default)]
        to: Pii<String>,
    },
    /// The server itself is about to call whom the callee is handed over to; committed before the INVITE is sent.
    TransferDialing {
        /// The INVITE's identifiers.
        intent: DialIntent,
    },
    /// Somebody answered there: they and the callee hear each other, and the agent is silent.
    TransferAnswered {
        /// What is needed to send BYE after a restart.
        dialog: String,
    },
    /// That did not work; back to the conversation.
    TransferEnded {
        /// Why, for people.
        #[serde(default)]
        reason: String,
    },
    /// Audio was kept under this name.
    RecordingKept {
        /// Name within the blob store.
        name: String,
        /// Length in milliseconds.
        duration_ms: u64,
    },
    /// Over.
    Ended {
        /// Why.
        cause: HangupCause,
        /// The SIP status that ended it, when one did.
        status: Option<u16>,
        /// The Q.850 cause that came with it (RFC 3326).
        q850: Option<u8>,
    },
}

/// An event with its place and time in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Place in the call's journal; the first is 1.
    pub seq: u64,
    /// When it happened.
    pub at: Moment,
    /// What happened.
    #[serde(flatten)]
    pub event: CallEvent,
}

/// An event that cannot happen in a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to a call that is {state:?}")]
pub struct IllegalEvent {
    /// The state the call was in.
    pub state: CallState,
    /// The event's name.
    pub event: &'static str,
}

impl CallState {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] when the event cannot happen in this state; the state is unchanged.
    pub fn apply(self, event: &CallEvent) -> Result<Self, IllegalEvent> {
        use CallEvent as E;
        let next = match (self, event) {
            (Self::Queued, E::Created) => Self::Queued,
            // A second `Dialing` is a further attempt after a trunk failed.
            (Self::Queued | Self::Dialing, E::Dialing { .. }) | (Self::Dialing, E::AttemptFailed { .. }) => {
                Self::Dialing
            }
            (Self::Dialing | Self::Ringing, E::Ringing { .. }) | (Self::Queued, E::Joined { .. }) => Self::Ringing,
            (Self::Dialing | Self::Ringing, E::Answered { .. }) => Self::Talking,
            (Self::Talking, E::Transferring { .. }) => Self::Transferring,
            (Self::Transferring, E::TransferEnded { .. }) => Self::Talking,
            (Self::Transferring, E::TransferDialing { .. } | E::TransferAnswered { .. }) => self,
            (Self::Ended(_), E::RecordingKept { .. } | E::Trouble { .. }) => self,
            (Self::Ended(_), _) => return Err(self.refuses(event)),
            (_, E::Ended { cause, .. }) => Self::Ended(*cause),
            (_, E::Trouble { .. } | E::RecordingKept { .. }) => self,
            (Self::Talking | Self::Transferring, talk) if talk.needs_answer() => self,
            _ => return Err(self.refuses(event)),
        };
        Ok(next)
    }

    /// Whether the call is over.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Ended(_))
    }

    fn refuses(self, event: &CallEvent) -> IllegalEvent {
        IllegalEvent { state: self, event: event.name() }
    }
}

impl CallEvent {
    /// The event's name as it is stored and streamed.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Dialing { .. } => "dialing",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::Ringing { .. } => "ringing",
            Self::Joined { .. } => "joined",
            Self::Answered { .. } => "answered",
            Self::MachineDetected { .. } => "machine_detected",
            Self::Heard { .. } => "heard",
            Self::TurnTaken { .. } => "turn_taken",
            Self::Said { .. } => "said",
            Self::Spoke { .. } => "spoke",
            Self::Disclosed => "disclosed",
            Self::Interrupted => "interrupted",
            Self::MessageReceived { .. } => "message_received",
            Self::KeyPressed { .. } => "key_pressed",
            Self::ToolRun { .. } => "tool_run",
            Self::Trouble { .. } => "trouble",
            Self::Transferring { .. } => "transferring",
            Self::TransferDialing { .. } => "transfer_dialing",
            Self::TransferAnswered { .. } => "transfer_answered",
            Self::TransferEnded { .. } => "transfer_ended",
            Self::RecordingKept { .. } => "recording_kept",
            Self::Ended { .. } => "ended",
        }
    }

    /// Whether the event can only happen while two people are connected.
    const fn needs_answer(&self) -> bool {
        matches!(
            self,
            Self::MachineDetected { .. }
                | Self::Heard { .. }
                | Self::TurnTaken { .. }
                | Self::Said { .. }
                | Self::Spoke { .. }
                | Self::Disclosed
                | Self::Interrupted
                | Self::MessageReceived { .. }
                | Self::KeyPressed { .. }
                | Self::ToolRun { .. }
        )
    }
}

/// When the stages of a call were reached. A projection of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// Accepted.
    pub created: Option<Moment>,
    /// INVITE sent (the last attempt's).
    pub dialing: Option<Moment>,
    /// First ringing; or a browser has joined.
    pub ringing: Option<Moment>,
    /// Answered.
    pub answered: Option<Moment>,
    /// Over.
    pub ended: Option<Moment>,
}

impl Timeline {
    /// The timeline with one more event in it.
    #[must_use]
    pub fn with(mut self, at: Moment, event: &CallEvent) -> Self {
        match event {
            CallEvent::Created => self.created = Some(at),
            CallEvent::Dialing { .. } => self.dialing = Some(at),
            CallEvent::Ringing { .. } | CallEvent::Joined { .. } => self.ringing = self.ringing.or(Some(at)),
            CallEvent::Answered { .. } => self.answered = Some(at),
            CallEvent::Ended { .. } => self.ended = Some(at),
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> DialIntent {
        DialIntent {
            attempt: 1,
            call_id: "c".into(),
            from_tag: "f".into(),
            branch: "b".into(),
            cseq: 1,
            trunk: None,
            dialog: String::new(),
        }
    }

    fn samples() -> Vec<CallEvent> {
        let text = || Pii::new(String::from("hello"));
        vec![
            CallEvent::Created,
            CallEvent::Dialing { intent: intent() },
            CallEvent::AttemptFailed { attempt: 1, cause: HangupCause::TrunkFailed, status: Some(503), q850: None },
            CallEvent::Ringing { status: 180 },
            CallEvent::Answered { dialog: String::new(), codec: "PCMU".into() },
            CallEvent::Heard { text: text(), span: None },
            CallEvent::TurnTaken { latency: TurnLatency::default() },
            CallEvent::Said { text: text(), interrupted: false, by_order: false, span: None, unsaid: None },
            CallEvent::Spoke { silence_ms: 300 },
            CallEvent::Disclosed,
            CallEvent::MachineDetected { sign: MachineSign::Tone },
            CallEvent::Interrupted,
            CallEvent::MessageReceived { text: text() },
            CallEvent::KeyPressed { key: '5' },
            CallEvent::ToolRun { name: "end_call".into(), arguments: text(), result: text() },
            CallEvent::Trouble { part: "ears".into(), detail: "gone".into() },
            CallEvent::Transferring { to: text() },
            CallEvent::TransferDialing { intent: intent() },
            CallEvent::TransferAnswered { dialog: String::new() },
            CallEvent::TransferEnded { reason: "busy".into() },
            CallEvent::RecordingKept { name: "x.wav".into(), duration_ms: 1 },
            CallEvent::Ended { cause: HangupCause::Busy, status: Some(486), q850: Some(17) },
        ]
    }

    #[test]
    fn a_whole_life() {
        let mut state = CallState::Queued;
        for event in samples() {
            state = state.apply(&event).expect("the samples are in the order of a life");
        }
        assert_eq!(state, CallState::Ended(HangupCause::Busy));
    }

    #[test]
    fn a_browser_joins_once_and_is_answered() {
        let joined = CallEvent::Joined { user: Pii::new("u1".into()) };
        let state = CallState::Queued.apply(&joined).expect("a call that waits may be joined");
        assert_eq!(state, CallState::Ringing);
        let answered = CallEvent::Answered { dialog: String::new(), codec: "opus".into() };
        assert_eq!(state.apply(&answered), Ok(CallState::Talking));
        for state in [CallState::Dialing, CallState::Ringing, CallState::Talking, CallState::Transferring] {
            assert!(state.apply(&joined).is_err(), "{state:?}");
        }
        let stored = serde_json::to_string(&joined).expect("serialises");
        assert_eq!(serde_json::from_str::<CallEvent>(&stored).expect("parses"), joined);
    }

    #[test]
    fn dialing_may_go_straight_to_talking() {
        let state = CallState::Dialing.apply(&CallEvent::Answered { dialog: String::new(), codec: String::new() });
        assert_eq!(state, Ok(CallState::Talking));
    }

    /// BARS R11, for every sequence there is: what comes of an event depends on the state and the event alone, so it is enough
    /// that no event leads out of an end, from any state that can be reached.
    #[test]
    fn no_sequence_of_events_leaves_an_end() {
        let ended = |cause| CallEvent::Ended { cause, status: None, q850: None };
        let events: Vec<CallEvent> = samples().into_iter().chain(HangupCause::ALL.map(ended)).collect();
        let (mut reached, mut fresh) = (vec![CallState::Queued], vec![CallState::Queued]);
        while let Some(state) = fresh.pop() {
            for event in &events {
                let Ok(next) = state.apply(event) else { continue };
                assert!(!state.is_ended() || next == state, "{state:?} left by {}", event.name());
                if !reached.contains(&next) {
                    reached.push(next);
                    fresh.push(next);
                }
            }
        }
        // The five on the way, and each end.
        assert_eq!(reached.len(), 5 + HangupCause::ALL.len());
    }

    /// The same with sequences made at random.
    #[test]
    fn the_end_is_final_whatever_comes() {
        let samples = samples();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let (mut state, mut ends) = (CallState::Queued, 0);
            for _ in 0..50 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let event = &samples[usize::try_from(seed % 18).expect("below 18")];
                let Ok(next) = state.apply(event) else { continue };
                assert!(!state.is_ended() || next == state, "{state:?} left by {}", event.name());
                ends += u32::from(next.is_ended() && !state.is_ended());
                state = next;
            }
            assert!(ends <= 1);
        }
    }

    /// BARS R55: no further trunk once somebody may have been rung.
    #[test]
    fn an_attempt_fails_only_while_dialling() {
        let failed = CallEvent::AttemptFailed { attempt: 1, cause: HangupCause::NoResponse, status: None, q850: None };
        assert_eq!(CallState::Dialing.apply(&failed), Ok(CallState::Dialing));
        for state in [CallState::Queued, CallState::Ringing, CallState::Talking, CallState::Transferring] {
            assert!(state.apply(&failed).is_err(), "{state:?}");
        }
    }

    #[test]
    fn nobody_talks_before_the_answer() {
        let said = CallEvent::Said {
            text: Pii::new("hi".into()),
            interrupted: false,
            by_order: false,
            span: None,
            unsaid: None,
        };
        for state in [CallState::Queued, CallState::Dialing, CallState::Ringing] {
            assert!(state.apply(&said).is_err(), "{state:?}");
        }
    }

    #[test]
    fn events_survive_storage() {
        for event in samples() {
            let recorded = Recorded { seq: 7, at: Moment(5), event };
            let text = serde_json::to_string(&recorded).expect("serialises");
            assert_eq!(serde_json::from_str::<Recorded>(&text).expect("parses"), recorded);
        }
    }

    #[test]
    fn what_was_said_before_the_rest_was_kept_still_reads() {
        let old = r#"{"event":"said","text":"hi","interrupted":true}"#;
        let said = |unsaid: Option<&str>| CallEvent::Said {
            text: Pii::new("hi".into()),
            interrupted: true,
            by_order: false,
            span: None,
            unsaid: unsaid.map(|text| Pii::new(text.into())),
        };
        assert_eq!(serde_json::from_str::<CallEvent>(old).expect("parses"), said(None));
        assert_eq!(serde_json::to_string(&said(None)).expect("serialises"), old);
        let new = serde_json::to_string(&said(Some("there"))).expect("serialises");
        assert_eq!(serde_json::from_str::<CallEvent>(&new).expect("parses"), said(Some("there")));
    }

    #[test]
    fn what_was_said_does_not_print() {
        let heard = CallEvent::Heard { text: Pii::new("my card is 4111".into()), span: None };
        assert!(!format!("{heard:?}").contains("4111"));
    }
}
