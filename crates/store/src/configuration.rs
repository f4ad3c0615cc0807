//! What people configure: accounts, agents, numbers, trunks. Plain values; never checks them against each other.

use callwright_domain::agent::Switch;
use callwright_domain::{AccountId, AgentId, AgentProfile, Moment, PhoneNumber, Pii, TrunkId, policy};
use serde::{Deserialize, Serialize};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// Most calls it may have at once.
    pub max_calls: u32,
}

/// An agent as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAgent {
    /// Its id within the account.
    pub id: AgentId,
    /// What it is.
    pub profile: AgentProfile,
    /// When it was last written.
    pub updated: Moment,
    /// When it was first written.
    pub created: Moment,
}

/// A caller number of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Whose number it is.
    pub account: AccountId,
    /// The number.
    pub number: PhoneNumber,
    /// The trunk its calls go through.
    pub trunk: TrunkId,
    /// The trunks that are tried when that one fails before anybody can have been rung, in this order.
    pub spare_trunks: Vec<TrunkId>,
    /// Whether calls may be made from it.
    pub status: NumberStatus,
    /// Most calls it may have at once.
    pub max_calls: u32,
    /// The agent of its calls that name none, where a dialect lets them.
    pub agent: Option<AgentId>,
}

impl Number {
    /// An active number with the default limit of [`policy::CALLS_PER_CALLER_NUMBER`] calls.
    pub const fn new(account: AccountId, number: PhoneNumber, trunk: TrunkId) -> Self {
        Self {
            account,
            number,
            trunk,
            spare_trunks: Vec::new(),
            status: NumberStatus::Active,
            max_calls: policy::CALLS_PER_CALLER_NUMBER,
            agent: None,
        }
    }
}

/// What a call is made from.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// Its agent; none: the account has no such agent.
    pub agent: Option<StoredAgent>,
    /// The rules that count for the agent's calls.
    pub rules: policy::Rules,
    /// The caller numbers that were asked for and are the account's.
    pub numbers: Vec<Number>,
}

/// Whether calls may be made from a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberStatus {
    /// They may.
    Active,
    /// They may not.
    Disabled,
}

impl NumberStatus {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Disabled].into_iter().find(|status| status.word() == word)
    }
}

/// A SIP account or peer that calls are dialled through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its id within the account.
    pub id: TrunkId,
    /// How it is reached and used.
    pub settings: TrunkSettings,
    /// Whether calls may go through it.
    pub enabled: Switch,
}

/// Seconds between questions whether a trunk is alive, unless it is configured otherwise (BARS R58).
const OPTIONS_INTERVAL_S: u32 = 30;

/// How a trunk is reached and used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrunkSettings {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Transport of the signalling.
    pub transport: Transport,
    /// Digest user name; empty: the trunk asks for none.
    pub username: Pii<String>,
    /// Digest password.
    pub password: Pii<String>,
    /// The only realm that credentials are given to; none: the first that the trunk names.
    pub realm: Option<String>,
    /// Host part of our From and To; none: `host`.
    pub domain: Option<String>,
    /// Whether we register with it (RFC 3261, section 10).
    pub register: Switch,
    /// Most new calls a second; 0: no limit.
    pub cps: u32,
    /// Most calls at once; 0: no limit.
    pub max_calls: u32,
    /// Seconds between OPTIONS that ask whether it is alive; 0: never.
    pub options_interval_s: u32,
    /// How callees are handed over to another telephone.
    pub transfer: TransferBy,
}

impl Default for TrunkSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 5060,
            transport: Transport::Udp,
            username: Pii::default(),
            password: Pii::default(),
            realm: None,
            domain: None,
            register: Switch::Off,
            cps: 0,
            max_calls: 0,
            options_interval_s: OPTIONS_INTERVAL_S,
            transfer: TransferBy::Auto,
        }
    }
}

/// How the callees of a trunk are handed over to another telephone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferBy {
    /// The trunk is asked to do it; where it refuses, the server calls the other telephone itself.
    #[default]
    Auto,
    /// The trunk does it, or nobody.
    Refer,
    /// The server calls the other telephone itself and joins the two calls.
    Bridge,
}

/// Transport of a trunk's signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A stream.
    Tcp,
    /// A stream under TLS.
    Tls,
}
