//! Identifiers. Each kind of thing has a type of its own, so that one cannot be passed for another.
//! Never makes randomness: a fresh identifier is built from entropy that the caller brings.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// An identifier that is not of its kind's shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {rule}")]
pub struct BadId {
    /// Which identifier was meant.
    pub kind: &'static str,
    /// The rule it breaks.
    pub rule: &'static str,
}

/// One attempt to talk to one party. 128 random bits, printed as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u128);

impl CallId {
    /// A call id from 128 random bits.
    pub const fn from_entropy(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits, for storage keys and sharding.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

impl FromStr for CallId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = BadId { kind: "call id", rule: "32 lower-case hexadecimal digits" };
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 32 || !hex {
            return Err(bad);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| bad)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Checks the shape and wraps the text.
            ///
            /// # Errors
            /// [`BadId`] names the rule that the text breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() || text.chars().count() > $max || !text.chars().all(allowed) {
                    return Err(BadId { kind: $kind, rule: $rule });
                }
                Ok(Self(text))
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn slug(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

text_id!(
    /// Whose calls, agents, numbers and keys: the tenant.
    AccountId, "account id", 64, "1 to 64 of A-Z a-z 0-9 - _", slug
);
text_id!(
    /// A configured agent.
    AgentId, "agent id", 64, "1 to 64 of A-Z a-z 0-9 - _", slug
);
text_id!(
    /// Many callees that one agent calls.
    CampaignId, "campaign id", 64, "1 to 64 of A-Z a-z 0-9 - _", slug
);
text_id!(
    /// A place where an agent and a browser meet, or somebody who comes there (vendors' channel id and user id).
    ChannelName, "channel or user id", 64, "1 to 64 of A-Z a-z 0-9 - _", slug
);
text_id!(
    /// A SIP account or peer that calls are dialled through.
    TrunkId, "trunk id", 64, "1 to 64 of A-Z a-z 0-9 - _", slug
);
text_id!(
    /// The public half of an API key (an access key id, in the vendors' words).
    KeyId, "key id", 128, "1 to 128 of A-Z a-z 0-9 - _ .", |c| slug(c) || c == '.'
);
text_id!(
    /// An endpoint that is told what happens.
    WebhookId, "webhook id", 64, "1 to 64 of A-Z a-z 0-9 - _", slug
);
text_id!(
    /// The user's own id of a chat history that several calls share.
    ThreadId, "thread id", 255, "1 to 255 characters without control characters", |c| !c.is_control()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_id_round_trips_and_is_strict() {
        let id = CallId::from_entropy(0xdead_beef);
        assert_eq!(id.to_string(), "000000000000000000000000deadbeef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "xyz", "000000000000000000000000DEADBEEF", "+00000000000000000000000deadbeef"] {
            assert!(bad.parse::<CallId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn text_ids_keep_their_shape() {
        assert!(AgentId::new("front-desk_2").is_ok());
        for bad in ["", "a b", "a\r\nb", "é", &"x".repeat(65)] {
            assert!(AgentId::new(bad).is_err(), "{bad:?}");
        }
        assert!(ThreadId::new("客户 42").is_ok());
        assert!(ThreadId::new("a\nb").is_err());
    }

    #[test]
    fn deserialising_checks_too() {
        assert!(serde_json::from_str::<AgentId>("\"a b\"").is_err());
        assert!(serde_json::from_str::<CallId>("\"12\"").is_err());
    }
}
