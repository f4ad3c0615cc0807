//! Whom a callee may be handed over to: a telephone number, an address of an exchange, or a desk that the rules name. Parsed here, judged by
//! [`policy::judge_transfer`](crate::policy::judge_transfer); how somebody gets there is not known here.

use crate::number::{BadNumber, Country, PhoneNumber};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest address, in bytes.
const MAX_ADDRESS: usize = 128;
/// What addresses begin with.
const SCHEME: &str = "sip:";
/// What desks begin with.
const DESK: &str = "desk:";
/// Longest name of a desk, in bytes.
const MAX_DESK: usize = 64;

/// Whom a callee may be handed over to.
///
/// `Debug` and `Display` mask telephone numbers; [`TransferTarget::dial`] gives the whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TransferTarget {
    /// A telephone, called at the trunk's own domain.
    Number(PhoneNumber),
    /// Somebody at an exchange, called where the address says.
    Address(Address),
    /// Whoever sits at a desk of the account: its rules say who that is.
    Desk(DeskName),
}

/// The name of a desk: 1 to 64 of `A-Z a-z 0-9 - _`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeskName(String);

/// `sip:user@host` or `sip:user@host:port`, and nothing more: parameters and headers of an address could say anything.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    user: String,
    host: String,
}

/// Why a text names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not a number.
    #[error("{0}")]
    Number(#[from] BadNumber),
    /// No name of a desk.
    #[error("a desk's name must be 1 to 64 of A-Z a-z 0-9 - _")]
    Desk,
    /// Not an address as it is wanted here.
    #[error("an address must be sip:name@host or sip:name@host:port, without anything behind it")]
    Address,
}

impl TransferTarget {
    /// Parses a telephone number, an address that begins with `sip:`, or a desk (`desk:sales`).
    ///
    /// # Errors
    /// [`BadTarget`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        if let Some(name) = text.strip_prefix(DESK) {
            return Ok(Self::Desk(DeskName::new(name)?));
        }
        let begins = text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
        if !begins {
            return Ok(Self::Number(PhoneNumber::parse(text)?));
        }
        Address::parse(&text[SCHEME.len()..]).map(Self::Address).ok_or(BadTarget::Address)
    }

    /// The number that is rung: the target itself, or the name in an address when it is one.
    pub fn number(&self) -> Option<PhoneNumber> {
        match self {
            Self::Number(number) => Some(number.clone()),
            Self::Address(address) => PhoneNumber::parse(&address.user).ok(),
            Self::Desk(_) => None,
        }
    }

    /// The same with a national number as it is dialled from anywhere; see [`PhoneNumber::at_home`].
    #[must_use]
    pub fn at_home(&self, home: Option<Country>) -> Self {
        match self {
            Self::Number(number) => Self::Number(number.at_home(home)),
            Self::Address(_) | Self::Desk(_) => self.clone(),
        }
    }

    /// The whole of it, as it is called. For SIP and storage, never for a log.
    pub fn dial(&self) -> String {
        match self {
            Self::Number(number) => number.dial().to_owned(),
            Self::Address(address) => address.text.clone(),
            Self::Desk(name) => format!("{DESK}{}", name.0),
        }
    }
}

impl DeskName {
    /// Checks the shape and wraps the text.
    ///
    /// # Errors
    /// [`BadTarget::Desk`].
    pub fn new(text: impl Into<String>) -> Result<Self, BadTarget> {
        let text = text.into();
        let shaped = (1..=MAX_DESK).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if shaped { Ok(Self(text)) } else { Err(BadTarget::Desk) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeskName {
    type Error = BadTarget;

    fn try_from(text: String) -> Result<Self, BadTarget> {
        Self::new(text)
    }
}

impl From<DeskName> for String {
    fn from(name: DeskName) -> Self {
        name.0
    }
}

impl Address {
    fn parse(rest: &str) -> Option<Self> {
        let (user, place) = rest.split_once('@')?;
        let named = !user.is_empty()
            && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'_' | b'.'));
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => {
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (format!("[{host}]"), port.to_owned())
            }
            None => {
                let (host, port) = place.split_at(place.find(':').unwrap_or(place.len()));
                let letters = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
                (letters && !host.is_empty()).then(|| (host.to_ascii_lowercase(), port.to_owned()))?
            }
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse::<u16>().ok().filter(|port| *port > 0).map(|port| format!(":{port}"))?,
            None if port.is_empty() => String::new(),
            None => return None,
        };
        let text = format!("{SCHEME}{user}@{host}{port}");
        (named && text.len() <= MAX_ADDRESS).then(|| Self { text, user: user.to_owned(), host })
    }

    /// Whether an entry of the rules means it: its host, or its name at its host.
    pub fn is_listed(&self, entry: &str) -> bool {
        match entry.split_once('@') {
            Some((user, host)) => user == self.user && host.eq_ignore_ascii_case(&self.host),
            None => entry.eq_ignore_ascii_case(&self.host),
        }
    }
}

/// Whether a text may stand in the rules: a host, or a name at a host.
pub fn is_address_entry(text: &str) -> bool {
    let whole = if text.contains('@') { text.to_owned() } else { format!("x@{text}") };
    let port = text.rsplit(']').next().unwrap_or_default().contains(':');
    !port && Address::parse(&whole).is_some()
}

impl fmt::Display for TransferTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => f.write_str(&number.masked()),
            Self::Address(address) => match PhoneNumber::parse(&address.user) {
                Ok(number) => write!(f, "{SCHEME}{}@{}", number.masked(), address.host),
                Err(_) => f.write_str(&address.text),
            },
            Self::Desk(name) => write!(f, "{DESK}{}", name.0),
        }
    }
}

impl fmt::Debug for TransferTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for TransferTarget {
    type Error = BadTarget;

    fn try_from(text: String) -> Result<Self, BadTarget> {
        Self::parse(&text)
    }
}

impl From<TransferTarget> for String {
    fn from(target: TransferTarget) -> Self {
        target.dial()
    }
}

/// An order to hand a callee over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// To whom.
    pub to: TransferTarget,
    /// What is said before; empty: nothing.
    #[serde(default)]
    pub announcement: String,
    /// What is said when it does not work; empty: the model is told, and says so in its own words.
    #[serde(default)]
    pub apology: String,
}

impl Transfer {
    /// Without words of its own.
    pub const fn to(to: TransferTarget) -> Self {
        Self { to, announcement: String::new(), apology: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_plain_addresses_are_targets() {
        for (text, dialled, shown) in [
            ("+49 30 123456", "+4930123456", "***3456"),
            ("sip:desk@10.0.0.1", "sip:desk@10.0.0.1", "sip:desk@10.0.0.1"),
            ("SIP:Desk-1@PBX.example:5070", "sip:Desk-1@pbx.example:5070", "sip:Desk-1@pbx.example:5070"),
            ("desk:sales_1", "desk:sales_1", "desk:sales_1"),
            ("sip:+4930123456@[::1]:5070", "sip:+4930123456@[::1]:5070", "sip:***3456@[::1]"),
        ] {
            let target = TransferTarget::parse(text).expect(text);
            assert_eq!((target.dial().as_str(), target.to_string().as_str()), (dialled, shown));
            assert!(!shown.contains("***") || target.number().is_some());
            let stored = serde_json::to_string(&target).expect("JSON");
            assert_eq!(serde_json::from_str::<TransferTarget>(&stored).ok(), Some(target));
        }
        for text in [
            "",
            "desk",
            "sip:",
            "sip:desk",
            "sip:@host",
            "sip:desk@",
            "sip:desk@host;transport=tcp",
            "sip:a b@host",
            "sip:desk@host?Replaces=x",
            "sip:desk@host:0",
            "sip:desk@host:x",
            "sip:desk@ho\r\nst",
            "sip:*72@host",
            "sip:desk@[x]",
            "sip:desk@[::1]5060",
            "sips:desk@host",
            "tel:+4930123456",
            "*72",
            "<sip:desk@host>",
            "desk:",
            "desk:a b",
        ] {
            assert!(TransferTarget::parse(text).is_err(), "{text}");
        }
        assert!(TransferTarget::parse(&format!("sip:desk@{}", "h".repeat(MAX_ADDRESS))).is_err());
    }

    #[test]
    fn entries_of_the_rules_are_hosts_or_names_at_hosts() {
        for entry in ["pbx.example", "10.0.0.1", "desk@pbx.example", "[::1]"] {
            assert!(is_address_entry(entry), "{entry}");
        }
        for entry in ["", "@", "pbx.example:5060", "[::1]:5060", "sip:pbx.example", "a b", "desk@"] {
            assert!(!is_address_entry(entry), "{entry}");
        }
    }
}
