//! Written conversations: single messages between an agent and a user, both sides, kept under the thread that they belong
//! to. Never knows how a message reaches anybody.

use crate::ids::BadId;
use crate::{AccountId, AgentId, Moment, Pii, ThreadId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The person at the other end of written messages, by a name that the account's owner gave.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// Checks the shape and wraps the text.
    ///
    /// # Errors
    /// [`BadId`] names the rule that the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
        let text = text.into();
        if text.is_empty() || text.len() > 64 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(BadId { kind: "user id", rule: "1 to 64 of A-Z a-z 0-9 _" });
        }
        Ok(Self(text))
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    /// People's names are personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(***)")
    }
}

impl std::str::FromStr for UserId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        Self::new(text)
    }
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The person.
    User,
    /// The agent.
    Agent,
}

impl Author {
    /// The author's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
        }
    }

    /// The author of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::User, Self::Agent].into_iter().find(|author| author.word() == word)
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// Said in conversation.
    Normal,
    /// Told by the account's owner in the agent's name.
    Announcement,
    /// For the client's program rather than for the person.
    Custom,
}

impl MessageKind {
    const ALL: [Self; 3] = [Self::Normal, Self::Announcement, Self::Custom];

    /// The kind's word, as stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Announcement => "announcement",
            Self::Custom => "custom",
        }
    }

    /// The kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Whether a message belongs to its thread's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Archive {
    /// It does: later answers know of it.
    Kept,
    /// It is only told to the user.
    Passing,
}

/// One written message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Whose agent.
    pub account: AccountId,
    /// The thread that it belongs to.
    pub thread: ThreadId,
    /// Its id: 128 random bits.
    pub id: u128,
    /// The same for a user's message and the answer to it.
    pub round: u128,
    /// The agent.
    pub agent: AgentId,
    /// The person.
    pub user: UserId,
    /// Who wrote it.
    pub author: Author,
    /// What it is.
    pub kind: MessageKind,
    /// Whether it belongs to the history.
    pub archive: Archive,
    /// Its text.
    pub text: Pii<String>,
    /// When it was written. Messages of a thread are ordered by this, then by id.
    pub at: Moment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_names_keep_their_shape() {
        for author in [Author::User, Author::Agent] {
            assert_eq!(Author::of_word(author.word()), Some(author));
        }
        for kind in MessageKind::ALL {
            assert_eq!(MessageKind::of_word(kind.word()), Some(kind));
        }
        assert!(UserId::new("Ann_7").is_ok_and(|user| format!("{user:?}") == "UserId(***)"));
        for bad in ["", "a-b", "a b", "é", &"x".repeat(65)] {
            assert!(UserId::new(bad).is_err(), "{bad:?}");
        }
    }
}
