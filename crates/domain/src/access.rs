//! Who may ask: API keys and their scopes. Never checks a signature: that is the dialect's.

use crate::{AccountId, KeyId, Pii};
use serde::{Deserialize, Serialize};

/// What a key may do. An operation names one scope; a key without it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Start, stop and steer calls.
    CallsWrite,
    /// Read calls, transcripts and recordings.
    CallsRead,
    /// Create and change agents, numbers and trunks.
    ConfigWrite,
    /// Read agents, numbers and trunks.
    ConfigRead,
    /// Create and revoke keys.
    KeysWrite,
}

impl Scope {
    /// Every scope, in the order in which they are documented.
    pub const ALL: [Self; 5] =
        [Self::CallsWrite, Self::CallsRead, Self::ConfigWrite, Self::ConfigRead, Self::KeysWrite];
}

/// A key of an account. The secret is kept readable because vendor dialects compute signatures with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Public half.
    pub id: KeyId,
    /// Whose key it is.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// Secret half. Native dialect: the bearer token is `<id>.<secret>`.
    pub secret: Pii<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whether it is honoured.
    pub status: KeyStatus,
}

/// Whether a key is honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStatus {
    /// Honoured.
    Active,
    /// Known but refused.
    Disabled,
}

impl ApiKey {
    /// Whether the key is active and holds `scope`.
    pub fn permits(&self, scope: Scope) -> bool {
        self.status == KeyStatus::Active && self.scopes.contains(&scope)
    }
}
