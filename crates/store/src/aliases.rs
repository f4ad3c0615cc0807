//! The vendors' ids and ours: a dialect that must print ids of its own shape keeps the pairs here. Never makes an id.

use crate::StoreError;
use callwright_domain::AccountId;

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AliasKind {
    /// A call.
    Call,
    /// An agent.
    Agent,
    /// What a vendor calls an account: its inner id is the account's own.
    Application,
    /// Calls to many callees.
    Task,
    /// A caller number: its inner id is the number as it is dialled.
    Number,
}

impl AliasKind {
    /// The kind's word, as it is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Agent => "agent",
            Self::Application => "application",
            Self::Task => "task",
            Self::Number => "number",
        }
    }
}

/// One pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// Whose.
    pub account: AccountId,
    /// Name of the dialect that prints the outer id.
    pub dialect: String,
    /// What both ids name.
    pub kind: AliasKind,
    /// The vendor-shaped id; unique within account, dialect and kind.
    pub outer: String,
    /// Ours, printed.
    pub inner: String,
}

impl Alias {
    /// Our id, read as its type.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the stored text is not of that type's shape.
    pub fn inner_as<T: std::str::FromStr<Err: std::fmt::Display>>(&self) -> Result<T, StoreError> {
        self.inner.parse().map_err(|why| StoreError::unreadable("vendor id", why))
    }
}
