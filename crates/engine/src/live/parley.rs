//! What a browser is shown while it talks, and what it wishes beside talking. The words for it are a [`Parlance`], handed in
//! with each browser that joins: nothing here knows how they are spelled. Telephones have none of this.

use super::talking::Talk;
use crate::limits::{CLIENT_MESSAGES, HELD_MESSAGES};
use callwright_conversation::{Bearing, Input, Press};
use callwright_domain::agent::Switch;
use callwright_domain::{AgentPatch, CallEvent, ChannelName, HangupCause, Pii};
use callwright_net::{LegHandle, MessageError};
use callwright_providers::asr::AsrInput;
use std::collections::VecDeque;
use tracing::debug;

/// What a far end is shown that can show something.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    /// The agent listens, thinks or speaks from now on.
    Bearing(Bearing),
    /// The agent begins to say this.
    AgentBegins(Pii<String>),
    /// The agent has said this, all together.
    AgentSaid(Pii<String>),
    /// What the user seems to be saying; replaces what was shown of the sentence before.
    UserSays(Pii<String>),
    /// The user has said this.
    UserSaid(Pii<String>),
    /// The agent was cut off.
    Interrupted(CutBy),
    /// A text of the one who asked for the call.
    Message(Pii<String>),
    /// Something went wrong that the call survived: which part.
    Trouble(String),
    /// A human agent of this name is about to take the call over.
    HumanComes(Pii<String>),
    /// The human agent of this name talks from now on.
    HumanJoined(Pii<String>),
    /// The agent leaves, because of this.
    Leaving(HangupCause),
}

/// What cut the agent off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutBy {
    /// The user's voice.
    Voice,
    /// The user's client.
    Client,
    /// A text that the agent was ordered to say.
    Speech,
    /// A text that it was ordered to answer.
    Text,
}

/// What a far end wishes beside talking.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// To be answered so.
    Answer(String),
    /// To leave.
    Leave,
    /// That the agent be silent.
    Interrupt,
    /// That this be taken as said by the user.
    Hear(Pii<String>),
    /// Another agent, as far as this goes.
    Change(Box<AgentPatch>),
    /// That the one who asked for the call be told this.
    Tell(Pii<String>),
    /// To say by itself when it talks, or no more.
    MarkTurns(Switch),
    /// That it begins to talk, has finished, or meant nothing.
    Press(Press),
}

/// The words in which a call and a browser speak of the call. Values only: it never sends anything.
pub trait Parlance: Send + Sync {
    /// What a message of the browser wishes, in this order. What cannot be read wishes nothing.
    fn wishes(&mut self, message: &str) -> Vec<Wish>;
    /// The messages that show this; none: it is not shown.
    fn words(&mut self, shown: &Shown) -> Vec<String>;
}

/// A call's talk with its browser about the call.
pub(super) struct Parley {
    /// Who is there.
    user: ChannelName,
    parlance: Box<dyn Parlance>,
    bearing: Option<Bearing>,
    cut_by: CutBy,
    received: u32,
    /// What waits for the channel to open: that happens a little after audio flows.
    held: VecDeque<String>,
}

impl Parley {
    /// With this user, in these words.
    pub(super) fn new(user: ChannelName, parlance: Box<dyn Parlance>) -> Self {
        Self { user, parlance, bearing: None, cut_by: CutBy::Voice, received: 0, held: VecDeque::new() }
    }

    /// Whether this is who is there.
    pub(super) fn is_with(&self, user: &ChannelName) -> bool {
        self.user == *user
    }

    /// Another browser of the same user, which has been shown nothing yet. What the one before has sent still counts.
    pub(super) fn begin_again(&mut self, parlance: Box<dyn Parlance>) {
        self.parlance = parlance;
        self.bearing = None;
        self.held.clear();
    }

    /// What a message wishes; nothing once there have been too many.
    fn wishes(&mut self, message: &str) -> Vec<Wish> {
        self.received = self.received.saturating_add(1);
        if self.received > CLIENT_MESSAGES {
            return Vec::new();
        }
        self.parlance.wishes(message)
    }

    /// Shows it; before the channel is open, as soon as it is. What the far end has no channel for is not shown: its audio
    /// goes on.
    pub(super) async fn show(&mut self, leg: &LegHandle, shown: &Shown) {
        let texts = self.parlance.words(shown);
        self.held.extend(texts);
        let too_many = self.held.len().saturating_sub(HELD_MESSAGES);
        self.held.drain(..too_many);
        self.show_held(leg).await;
    }

    /// Shows what waits, in its order.
    async fn show_held(&mut self, leg: &LegHandle) {
        while let Some(text) = self.held.pop_front() {
            match leg.message(text.clone()).await {
                Ok(()) => {}
                Err(MessageError::NoChannel) => return self.held.push_front(text),
                Err(error) => return debug!(%error, "not shown"),
            }
        }
    }
}

impl Talk<'_> {
    /// Shows it to a browser.
    pub(super) async fn show(&mut self, shown: Shown) {
        if let Some(parley) = self.line.way.parley() {
            parley.show(&self.line.leg, &shown).await;
        }
    }

    /// Shows what the agent does now, when that is new.
    pub(super) async fn show_bearing(&mut self) {
        let bearing = self.conversation.bearing();
        if let Some(parley) = self.line.way.parley()
            && parley.bearing != Some(bearing)
        {
            parley.bearing = Some(bearing);
            parley.show(&self.line.leg, &Shown::Bearing(bearing)).await;
        }
    }

    /// Shows what an event has to show.
    pub(super) async fn show_event(&mut self, event: &CallEvent) {
        let Some(parley) = self.line.way.parley() else { return };
        let shown = match event {
            CallEvent::Heard { text, .. } => Shown::UserSaid(text.clone()),
            CallEvent::Said { text, .. } => Shown::AgentSaid(text.clone()),
            CallEvent::Interrupted => Shown::Interrupted(parley.cut_by),
            _ => return,
        };
        parley.show(&self.line.leg, &shown).await;
    }

    /// Names what would cut the agent off with the next input; the user's voice when nothing else does.
    pub(super) fn cut_by(&mut self, by: CutBy) {
        if let Some(parley) = self.line.way.parley() {
            parley.cut_by = by;
        }
    }

    /// A browser sent a message.
    pub(super) async fn on_message(&mut self, message: &str) {
        let Some(parley) = self.line.way.parley() else { return };
        for wish in parley.wishes(message) {
            self.grant(wish).await;
        }
        // Who sends something has an open channel.
        if let Some(parley) = self.line.way.parley() {
            parley.show_held(&self.line.leg).await;
        }
    }

    async fn grant(&mut self, wish: Wish) {
        if self.is_joined() && !matches!(wish, Wish::Answer(_) | Wish::Leave | Wish::Tell(_)) {
            return debug!("a wish to the agent, who is silent by now");
        }
        match wish {
            Wish::Answer(text) => {
                if let Err(error) = self.line.leg.message(text).await {
                    debug!(%error, "a message was not answered");
                }
            }
            Wish::Leave => self.leave(),
            Wish::Interrupt => self.tell_cutting(Input::Interrupt, CutBy::Client).await,
            Wish::Hear(text) => self.tell_cutting(Input::UserText(text.expose().clone().into()), CutBy::Text).await,
            Wish::Change(patch) => self.change(*patch).await,
            Wish::Tell(text) => self.call.note(CallEvent::MessageReceived { text }).await,
            Wish::MarkTurns(on) => self.tell(Input::TurnsMarked(on)).await,
            Wish::Press(press) => {
                if press == Press::Finished {
                    // The recogniser is not to wait for a silence.
                    self.ears.hear(AsrInput::SpeechStopped);
                }
                self.tell_cutting(Input::Press(press), CutBy::Client).await;
            }
        }
    }

    /// Tells the conversation something that may cut the agent off.
    pub(super) async fn tell_cutting(&mut self, input: Input, by: CutBy) {
        self.cut_by(by);
        self.tell(input).await;
        self.cut_by(CutBy::Voice);
    }
}
