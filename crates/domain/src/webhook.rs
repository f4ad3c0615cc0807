//! Who is told what happened, and where: endpoints that accounts, agents or single calls name, and the topics they may
//! ask for. Never renders, signs or sends; never knows which dialect an endpoint came from.

use crate::{AccountId, AgentId, CallEvent, CallId, Moment, Origin, Pii, WebhookId};
use serde::{Deserialize, Serialize};

/// Most tries to tell one event to one endpoint: the first and one for each step of the retry schedule (BARS R22).
pub const MOST_TRIES: u32 = 8;

/// An endpoint that is told what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id, unique over all accounts.
    pub id: WebhookId,
    /// Whose it is.
    pub account: AccountId,
    /// Whose events it hears.
    pub whose: Whose,
    /// How it is told.
    pub endpoint: Endpoint,
    /// Which events it hears.
    pub topics: Topics,
    /// Whether it is told anything.
    pub status: Status,
    /// Since when nothing has reached it; none: the last delivery did, or there was none.
    pub failing_since: Option<Moment>,
    /// When it was made.
    pub created: Moment,
    /// When it was last changed by its owner.
    pub updated: Moment,
}

/// How an endpoint is reached and what it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Where to. May hold a token, so it prints masked.
    pub url: Pii<String>,
    /// What people call it.
    #[serde(default)]
    pub description: String,
    /// Keys that deliveries are signed with, newest first, at most two; none: the dialect does not sign.
    #[serde(default)]
    pub secrets: Vec<Pii<String>>,
    /// Headers that are sent along.
    #[serde(default)]
    pub headers: Vec<(String, Pii<String>)>,
    /// The dialect that renders for it, and what that dialect wants to know when it does (a token, its own words for the
    /// events, how its receivers say yes).
    #[serde(default)]
    pub origin: Origin,
    /// Tries before an event is given up: 1 to [`MOST_TRIES`].
    pub max_tries: u32,
    /// Whether a call's later events wait for its earlier ones.
    #[serde(default)]
    pub order: Order,
    /// Whether its dialect reads what happened before an event to tell the event.
    #[serde(default)]
    pub history: History,
}

/// When an event of a call comes with the call's journal up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Once the call has ended.
    #[default]
    AtEnd,
    /// Always; costs a read of the journal with each event.
    Always,
}

/// Whether a call's later events wait for its earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// They wait.
    #[default]
    PerCall,
    /// They do not; each event says its number.
    Free,
}

/// Whose events an endpoint hears.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Those of all calls of the account, and those of the account itself.
    Account,
    /// Those of one agent's calls.
    Agent(AgentId),
    /// Those of one call; it was named in the request that made the call.
    Call(CallId),
}

impl Whose {
    /// One word for storage: empty, `agent/<id>` or `call/<id>`.
    pub fn word(&self) -> String {
        match self {
            Self::Account => String::new(),
            Self::Agent(id) => format!("agent/{id}"),
            Self::Call(id) => format!("call/{id}"),
        }
    }

    /// The value of a stored word.
    pub fn of_word(word: &str) -> Option<Self> {
        match word.split_once('/') {
            None if word.is_empty() => Some(Self::Account),
            Some(("agent", id)) => AgentId::new(id).ok().map(Self::Agent),
            Some(("call", id)) => id.parse().ok().map(Self::Call),
            _ => None,
        }
    }
}

/// Whether an endpoint is told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is.
    Enabled,
    /// Its owner switched it off.
    Disabled,
    /// It answered 410: it does not want to be told any more.
    Gone,
    /// Nothing has reached it for days.
    Failing,
}

impl Status {
    /// Every status, in the order in which they are documented.
    pub const ALL: [Self; 4] = [Self::Enabled, Self::Disabled, Self::Gone, Self::Failing];

    /// The status's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The status of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }
}

/// Which topics an endpoint hears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topics {
    /// All, those of later versions too.
    All,
    /// These.
    Only(Vec<Topic>),
}

impl Topics {
    /// What an endpoint hears that did not say: the stages of a call and what comes after it.
    pub fn usual() -> Self {
        Self::Only(vec![
            Topic::CallDialing,
            Topic::CallRinging,
            Topic::CallJoined,
            Topic::CallAnswered,
            Topic::CallEnded,
            Topic::RecordingReady,
            Topic::LimitNear,
            Topic::WebhookDisabled,
        ])
    }

    /// Whether a topic is among them.
    pub fn include(&self, topic: Topic) -> bool {
        match self {
            Self::All => true,
            Self::Only(topics) => topics.contains(&topic),
        }
    }
}

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What an event is about, as far as who wants to hear it goes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Topic { $($(#[$doc])* #[serde(rename = $word)] $name,)* }

        impl Topic {
            /// Every topic, in the order in which they are documented.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The topic's word.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

topics! {
    /// A call was accepted.
    CallCreated = "call.created",
    /// It is being dialled.
    CallDialing = "call.dialing",
    /// The callee's telephone rings.
    CallRinging = "call.ringing",
    /// A browser has joined; its audio path is being made.
    CallJoined = "call.joined",
    /// The callee answered.
    CallAnswered = "call.answered",
    /// A machine answered in a person's place.
    MachineDetected = "call.machine_detected",
    /// Somebody finished saying something; final text.
    Transcript = "call.transcript",
    /// The agent was heard for the first time.
    AgentSpoke = "call.agent_spoke",
    /// How the time before an agent's answer was spent.
    CallTurn = "call.turn",
    /// The callee interrupted the agent.
    CallInterrupted = "call.interrupted",
    /// The callee's browser sent a text for whoever asked for the call.
    MessageReceived = "call.message",
    /// The callee pressed a key.
    KeyPressed = "call.key_pressed",
    /// The model used a tool.
    ToolRun = "call.tool_run",
    /// Something went wrong that the call survived.
    CallTrouble = "call.trouble",
    /// The callee is being handed over.
    TransferStarted = "call.transfer_started",
    /// Somebody answered there, and hears the callee.
    TransferAnswered = "call.transfer_answered",
    /// That did not work; the agent goes on.
    TransferEnded = "call.transfer_ended",
    /// An agent and a user wrote to each other.
    ChatMessage = "chat.message",
    /// The recording can be fetched.
    RecordingReady = "call.recording_ready",
    /// The call is over; comes with its record and transcript.
    CallEnded = "call.ended",
    /// Four fifths of one of the account's limits are used up.
    LimitNear = "limit.near",
    /// Another endpoint of the account was switched off by the server.
    WebhookDisabled = "webhook.disabled",
    /// A test that the owner asked for.
    WebhookTest = "webhook.test",
}

impl Topic {
    /// The topic of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.word() == word)
    }

    /// What an event of a call is about.
    pub const fn of(event: &CallEvent) -> Self {
        match event {
            CallEvent::Created => Self::CallCreated,
            CallEvent::Dialing { .. } => Self::CallDialing,
            CallEvent::Ringing { .. } => Self::CallRinging,
            CallEvent::Joined { .. } => Self::CallJoined,
            CallEvent::Answered { .. } => Self::CallAnswered,
            CallEvent::MachineDetected { .. } => Self::MachineDetected,
            CallEvent::Heard { .. } | CallEvent::Said { .. } | CallEvent::Disclosed => Self::Transcript,
            CallEvent::Spoke { .. } => Self::AgentSpoke,
            CallEvent::TurnTaken { .. } => Self::CallTurn,
            CallEvent::Interrupted => Self::CallInterrupted,
            CallEvent::MessageReceived { .. } => Self::MessageReceived,
            CallEvent::KeyPressed { .. } => Self::KeyPressed,
            CallEvent::ToolRun { .. } => Self::ToolRun,
            CallEvent::Trouble { .. } | CallEvent::AttemptFailed { .. } => Self::CallTrouble,
            CallEvent::Transferring { .. } | CallEvent::TransferDialing { .. } => Self::TransferStarted,
            CallEvent::TransferAnswered { .. } => Self::TransferAnswered,
            CallEvent::TransferEnded { .. } => Self::TransferEnded,
            CallEvent::RecordingKept { .. } => Self::RecordingReady,
            CallEvent::Ended { .. } => Self::CallEnded,
        }
    }
}

/// Something to tell an account that is not an event of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// Whom.
    pub account: AccountId,
    /// Whose endpoints hear it beside the account's own; none: nobody's.
    pub agent: Option<AgentId>,
    /// What it is about.
    pub topic: Topic,
    /// Makes it one: the same announcement made twice is told once. At most 64 of A-Z a-z 0-9 - _ .
    pub id: String,
    /// When it happened.
    pub at: Moment,
    /// What there is to say.
    pub body: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_unique_and_come_back() {
        let words: BTreeSet<_> = Topic::ALL.iter().map(|topic| topic.word()).collect();
        assert_eq!(words.len(), Topic::ALL.len());
        for topic in Topic::ALL {
            assert_eq!(Topic::of_word(topic.word()), Some(*topic));
            assert_eq!(serde_json::to_value(topic).expect("serialises"), topic.word());
        }
        for status in Status::ALL {
            assert_eq!(Status::of_word(status.word()), Some(status));
        }
    }

    #[test]
    fn targets_come_back_from_their_words() {
        let agent = AgentId::new("front-desk").expect("id");
        for whose in [Whose::Account, Whose::Agent(agent), Whose::Call(CallId::from_entropy(7))] {
            assert_eq!(Whose::of_word(&whose.word()), Some(whose));
        }
        for bad in ["agent/", "call/7", "other/x", "agent"] {
            assert_eq!(Whose::of_word(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_may_hold_a_secret_does_not_print() {
        let endpoint = Endpoint {
            url: Pii::new(String::from("https://example.com/?token=hunter2")),
            description: String::new(),
            secrets: vec![Pii::new(String::from("hunter2"))],
            headers: vec![(String::from("x-key"), Pii::new(String::from("hunter2")))],
            origin: Origin::default(),
            max_tries: MOST_TRIES,
            order: Order::PerCall,
            history: History::AtEnd,
        };
        assert!(!format!("{endpoint:?}").contains("hunter2"));
    }
}
