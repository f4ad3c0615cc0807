//! What can be set, with its defaults. Validated as a whole by [`Settings::complaints`]; nothing is read here.

use super::doors::{self, Door};
use super::recordings::Recordings;
use super::webrtc::Webrtc;
use anyhow::Result;
use callwright_api::{Cluster, Egress, Rates};
use callwright_domain::agent::Switch;
use callwright_domain::policy::CALLS_PER_CALLER_NUMBER;
use callwright_domain::{AccountId, AgentId, KeyId, PhoneNumber, Pii, Scope, TrunkId};
use callwright_engine::trunk_flaw;
use callwright_providers::catalogue::{
    BrainVendor, Defaults, EarsVendor, Fallbacks, LocalEntry, ScriptEntry, VendorsConfig, VoiceVendor,
};
use callwright_store::{SharedDatabase, TrunkSettings};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The whole configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The process.
    pub(crate) server: Server,
    /// The database, when several nodes share one.
    pub(crate) store: Database,
    /// The HTTP API.
    pub(crate) http: Http,
    /// Doors of single dialects, by their names.
    pub(crate) dialects: BTreeMap<String, Door>,
    /// Recordings.
    pub(crate) recordings: Recordings,
    /// Callbacks.
    pub(crate) webhooks: Webhooks,
    /// Signalling.
    pub(crate) sip: Sip,
    /// Audio.
    pub(crate) media: Media,
    /// Browsers.
    pub(crate) webrtc: Webrtc,
    /// Local models.
    pub(crate) models: Models,
    /// Sounds that calls play.
    pub(crate) sounds: Sounds,
    /// Recognisers by name.
    pub(crate) ears: BTreeMap<String, EarsVendor>,
    /// Language models by name.
    pub(crate) brain: BTreeMap<String, BrainVendor>,
    /// Synthesisers by name.
    pub(crate) voice: BTreeMap<String, VoiceVendor>,
    /// Which of them an agent gets that names none.
    pub(crate) defaults: Defaults,
    /// Whom to ask when one fails.
    pub(crate) fallback: Fallbacks,
    /// API keys that exist from the start.
    pub(crate) keys: BTreeMap<KeyId, Key>,
    /// Trunks that exist from the start.
    pub(crate) trunks: BTreeMap<TrunkId, Trunk>,
    /// Caller numbers that exist from the start.
    pub(crate) numbers: BTreeMap<String, Number>,
    /// Agents that exist from the start.
    pub(crate) agents: BTreeMap<AgentId, Agent>,
}

/// `[server]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Directory of the database and the recordings; made when it is not there.
    pub(crate) data: PathBuf,
    /// This node's name, unique among nodes that share a database.
    pub(crate) node: String,
    /// Calls at once on this node.
    pub(crate) max_calls: u32,
    /// Seconds that live calls may go on after SIGTERM.
    pub(crate) drain_s: u64,
    /// Log lines: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,callwright_sip=debug`.
    pub(crate) log: String,
    /// Log format.
    pub(crate) log_format: LogFormat,
    /// Whether the system may write the process's memory to a file when it crashes: keys and what was said are in it.
    pub(crate) core_files: bool,
}

/// Shortest secret between nodes.
const SECRET_MIN: usize = 32;

/// `[store]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Database {
    /// `postgres://user:password@host:5432/name`: the database that several nodes share. Empty: an embedded database in
    /// `server.data`, for one node. Behind PgBouncer in transaction mode add `?statement-cache-capacity=0`.
    pub(crate) url: Pii<String>,
    /// Where other nodes reach this node's HTTP API, such as `http://10.0.0.5:8080`.
    pub(crate) advertise_url: String,
    /// The secret by which nodes know each other, the same on each; at least 32 characters.
    pub(crate) cluster_secret: Pii<String>,
}

impl Database {
    /// The shared database, when there is one.
    pub(crate) fn shared(&self) -> Option<SharedDatabase> {
        let url = self.url.clone();
        (!url.expose().is_empty()).then(|| SharedDatabase { url, advertise_url: self.advertise_url.clone() })
    }

    /// The other nodes, when there may be some.
    pub(crate) fn cluster(&self) -> Result<Option<Cluster>> {
        let secret = self.cluster_secret.clone();
        Ok((!secret.expose().is_empty()).then(|| Cluster::new(secret)).transpose()?)
    }

    fn complaints(&self, found: &mut Vec<String>) {
        let secret = self.cluster_secret.expose().len();
        if secret < SECRET_MIN && (secret > 0 || !self.advertise_url.is_empty()) {
            found.push(format!(
                "`store.cluster_secret`: must have at least {SECRET_MIN} characters, the same on each node"
            ));
        }
        let url = self.url.expose();
        if !url.is_empty() && !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            found.push("`store.url`: must be of the form postgres://user:password@host:5432/name, or empty".to_owned());
        }
        let advertised = &self.advertise_url;
        if !advertised.is_empty() && !["http://", "https://"].iter().any(|scheme| advertised.starts_with(scheme)) {
            found.push("`store.advertise_url`: must begin with http:// or https://".to_owned());
        }
        if !advertised.is_empty() && url.is_empty() {
            found.push(
                "`store.advertise_url` is of use only to nodes that share a database: set `store.url`".to_owned(),
            );
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[http]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Address of the API; port 0 lets the system choose.
    pub(crate) listen: SocketAddr,
    /// Requests a second.
    pub(crate) rates: HttpRates,
    /// Origins of pages, such as `https://app.example.com`, that browsers may join calls from beside the server's own; `*`:
    /// any.
    pub(crate) origins: Vec<String>,
}

/// `[http.rates]`: requests a second that are answered; 0 means any number. Servers on one PostgreSQL share those of keys and
/// accounts; sources are counted by each for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpRates {
    /// From one address (IPv6: one network of 64 bits).
    pub(crate) per_source: u32,
    /// With one key.
    pub(crate) per_key: u32,
    /// With certain keys, instead of `per_key`.
    pub(crate) keys: BTreeMap<KeyId, u32>,
    /// With all the keys of certain accounts together.
    pub(crate) accounts: BTreeMap<AccountId, u32>,
}

/// `[webhooks]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhooks {
    /// Whether receivers may be reached over plain `http` beside `https`.
    pub(crate) plain_http: Switch,
    /// Whether receivers may have addresses of this machine and of private networks.
    pub(crate) allow_private: Switch,
    /// Ports below 1024 beside 80 and 443 that receivers may listen on.
    pub(crate) ports: Vec<u16>,
    /// URL of an HTTP proxy that callbacks go through; none: straight. Names are then resolved by the proxy.
    pub(crate) proxy: Option<String>,
}

impl Webhooks {
    /// What the guard is to let through.
    pub(crate) fn egress(&self) -> Egress {
        Egress {
            plain_http: self.plain_http,
            private: self.allow_private,
            ports: self.ports.clone(),
            proxy: self.proxy.clone(),
        }
    }
}

/// `[sip]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sip {
    /// Address for SIP over UDP.
    pub(crate) udp: SocketAddr,
    /// Address for SIP over TCP; none: TCP is not offered.
    pub(crate) tcp: Option<SocketAddr>,
    /// Host that peers see in Via and Contact; none: the address SIP listens on, or the route's own.
    pub(crate) advertise: Option<String>,
}

/// `[media]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Media {
    /// Address that RTP is sent from.
    pub(crate) address: IpAddr,
    /// Address that peers see in SDP; none: `address`.
    pub(crate) advertise: Option<IpAddr>,
    /// UDP ports for RTP, `first-last`.
    pub(crate) ports: PortRange,
    /// Media threads; 0: one a core.
    pub(crate) threads: usize,
    /// Seconds without any audio from the far end after which a call is ended.
    pub(crate) timeout_s: u64,
}

/// Two port numbers with a dash between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PortRange {
    /// The lowest.
    pub(crate) first: u16,
    /// The highest.
    pub(crate) last: u16,
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rule = "two ports with a dash between them, the first at least 1024 and smaller than the last, such as 10000-32767";
        let (first, last) = text.split_once('-').ok_or(rule)?;
        let parse = |part: &str| part.trim().parse::<u16>().map_err(|_| rule);
        let range = Self { first: parse(first)?, last: parse(last)? };
        if range.first < 1024 || range.first >= range.last {
            return Err(rule.to_owned());
        }
        Ok(range)
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        format!("{}-{}", range.first, range.last)
    }
}

/// `[models]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Models {
    /// Where `callwright models fetch` puts the local models.
    pub(crate) dir: PathBuf,
}

/// `[sounds]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sounds {
    /// Folder with WAV files (PCM of 8 or 16 bits, mu-law, A-law): each is an ambient sound by its name without `.wav`; `apology.wav` and
    /// `apology-LANGUAGE.wav` are played when no voice works. None: only the built-in sounds.
    pub(crate) dir: Option<PathBuf>,
    /// Said before hanging up on an English-speaking call when no voice works, where there is no such file and the local
    /// voice is installed.
    pub(crate) apology: String,
}

impl Default for Sounds {
    fn default() -> Self {
        Self {
            dir: None,
            apology: String::from("I am sorry, something is not working on our side. Please try again later. Goodbye."),
        }
    }
}

/// `[keys.ID]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Key {
    /// Whose key it is.
    pub(crate) account: AccountId,
    /// The secret half.
    pub(crate) secret: Pii<String>,
    /// What it may do.
    pub(crate) scopes: Vec<Scope>,
}

impl Default for Key {
    fn default() -> Self {
        Self { account: main_account(), secret: Pii::default(), scopes: Scope::ALL.to_vec() }
    }
}

/// `[trunks.ID]`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Trunk {
    /// Whose trunk it is.
    #[serde(default = "main_account")]
    pub(crate) account: AccountId,
    /// Everything else.
    #[serde(flatten)]
    pub(crate) settings: TrunkSettings,
}

/// `[numbers."+1555…"]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Number {
    /// Whose number it is.
    #[serde(default = "main_account")]
    pub(crate) account: AccountId,
    /// The trunk its calls go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trunk: Option<TrunkId>,
    /// Several trunks instead of one: the next is tried when one fails before anybody can have been rung.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trunks: Vec<TrunkId>,
    /// Calls at once.
    #[serde(default = "default_calls")]
    pub(crate) max_calls: u32,
    /// The agent of its calls that name none, where a dialect lets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<AgentId>,
    /// Whether calls may be made from it.
    #[serde(default = "switched_on")]
    pub(crate) enabled: Switch,
}

/// `[agents.ID]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    /// Whose agent it is.
    #[serde(default = "main_account")]
    pub(crate) account: AccountId,
    /// TOML or JSON file with the agent, relative to the working directory.
    pub(crate) file: PathBuf,
}

impl Number {
    /// The first trunk and the others; `None`: it does not say which, or says it twice.
    pub(crate) fn route(&self) -> Option<(&TrunkId, &[TrunkId])> {
        match (&self.trunk, self.trunks.split_first()) {
            (Some(trunk), None) => Some((trunk, &[])),
            (None, Some((first, spares))) => {
                let once: BTreeSet<_> = self.trunks.iter().collect();
                (once.len() == self.trunks.len()).then_some((first, spares))
            }
            (None, None) | (Some(_), Some(_)) => None,
        }
    }
}

/// The account that everything belongs to unless it says otherwise.
pub(crate) fn main_account() -> AccountId {
    AccountId::new("main").expect("a valid account id")
}

const fn default_calls() -> u32 {
    CALLS_PER_CALLER_NUMBER
}

const fn switched_on() -> Switch {
    Switch::On
}

impl Default for Server {
    fn default() -> Self {
        Self {
            data: PathBuf::from("callwright-data"),
            node: String::from("node1"),
            max_calls: 1000,
            drain_s: 3600,
            log: String::from("info"),
            log_format: LogFormat::default(),
            core_files: false,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), rates: HttpRates::default(), origins: Vec::new() }
    }
}

impl Default for HttpRates {
    fn default() -> Self {
        let Rates { per_source, per_key, keys, accounts } = Rates::default();
        Self { per_source, per_key, keys, accounts }
    }
}

impl HttpRates {
    /// The same as the API takes them.
    pub(crate) fn rates(&self) -> Rates {
        let Self { per_source, per_key, keys, accounts } = self.clone();
        Rates { per_source, per_key, keys, accounts }
    }
}

impl Default for Sip {
    fn default() -> Self {
        Self { udp: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5060)), tcp: None, advertise: None }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            advertise: None,
            ports: PortRange { first: 10_000, last: 32_767 },
            threads: 0,
            timeout_s: 30,
        }
    }
}

impl Default for Models {
    fn default() -> Self {
        Self { dir: PathBuf::from(".callwright/models") }
    }
}

/// The name of what needs no configuration: the models in this process.
const LOCAL: &str = "local";
/// The name of the brain that needs no configuration: the agent's own rules.
const SCRIPT: &str = "script";

impl Settings {
    /// The configured vendors, and beside them those that need no configuration.
    pub(crate) fn vendors(&self) -> VendorsConfig {
        let (mut ears, mut brain, mut voice) = (self.ears.clone(), self.brain.clone(), self.voice.clone());
        ears.entry(LOCAL.to_owned()).or_insert_with(|| EarsVendor::Local(LocalEntry::default()));
        voice.entry(LOCAL.to_owned()).or_insert_with(|| VoiceVendor::Local(LocalEntry::default()));
        brain.entry(SCRIPT.to_owned()).or_insert_with(|| BrainVendor::Script(ScriptEntry::default()));
        if cfg!(feature = "local-llm") {
            brain.entry(LOCAL.to_owned()).or_insert_with(|| BrainVendor::Local(LocalEntry::default()));
        }
        let mut defaults = self.defaults.clone();
        if defaults.brain.is_empty() && !brain.contains_key(LOCAL) {
            // The one that somebody took the trouble to configure, else the script.
            let configured = self.brain.keys().next().filter(|_| self.brain.len() == 1);
            defaults.brain = configured.cloned().unwrap_or_else(|| SCRIPT.to_owned());
        }
        VendorsConfig { ears, brain, voice, defaults, fallback: self.fallback.clone() }
    }

    /// What is well-formed and still cannot work, one line each: key, what is wrong, remedy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.store.complaints(&mut found);
        self.recordings.complaints(&mut found);
        for (number, settings) in &self.numbers {
            if let Err(why) = PhoneNumber::parse(number) {
                found.push(format!("`numbers.\"{}…\"`: {why}", number.chars().take(4).collect::<String>()));
            }
            found.extend(self.trunk_complaints(settings));
        }
        for (id, trunk) in &self.trunks {
            if trunk.settings.host.is_empty() {
                found.push(format!("`trunks.{id}.host` is missing: the host name or address of the trunk"));
            }
        }
        for (id, trunk) in &self.trunks {
            if let Some((name, rule)) = trunk_flaw(&trunk.settings) {
                found.push(format!("`trunks.{id}.{name}` {rule}"));
            }
        }
        for (id, key) in &self.keys {
            if key.secret.expose().is_empty() {
                found.push(format!(
                    "`keys.{id}.secret` is missing: any text that is hard to guess, such as `${{file:secret.txt}}`"
                ));
            }
        }
        self.webrtc.complaints(&mut found);
        doors::complaints(&self.dialects, self.http.listen, &mut found);
        for origin in &self.http.origins {
            let host = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
            if origin != "*" && host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                found.push(format!("`http.origins`: {origin:?} is no origin; write https://host, or \"*\" for any"));
            }
        }
        if self.server.max_calls == 0 {
            found.push(String::from(
                "`server.max_calls` is 0: no call could ever be made; leave it out or give at least 1",
            ));
        }
        found
    }

    /// What is wrong with the trunks of a number.
    fn trunk_complaints(&self, number: &Number) -> Vec<String> {
        let mut found = Vec::new();
        match number.route() {
            None => found.push(String::from(
                "`numbers`: name either one `trunk`, or several `trunks` in the order in which they are tried, each once",
            )),
            Some((trunk, spares)) => {
                for trunk in std::iter::once(trunk).chain(spares) {
                    match self.trunks.get(trunk) {
                        None => found.push(format!(
                            "`numbers`: trunk `{trunk}` is not configured; add a section [trunks.{trunk}] with its host"
                        )),
                        Some(owner) if owner.account != number.account => found.push(format!(
                            "`numbers`: trunk `{trunk}` belongs to account `{}`, the number to `{}`",
                            owner.account, number.account
                        )),
                        Some(_) => {}
                    }
                }
            }
        }
        found
    }

    /// The whole configuration as TOML, secrets masked.
    pub(crate) fn printed(&self) -> Result<String> {
        let mut tree = toml::Table::try_from(self)?;
        mask(&mut tree);
        Ok(toml::to_string_pretty(&tree)?)
    }
}

/// Keys whose values are secrets, wherever they stand.
const SECRET_KEYS: [&str; 4] = ["secret", "password", "key", "username"];

fn mask(tree: &mut toml::Table) {
    for (name, value) in tree.iter_mut() {
        match value {
            toml::Value::Table(table) => mask(table),
            toml::Value::String(text) if SECRET_KEYS.contains(&name.as_str()) && !text.is_empty() => {
                *text = String::from("***");
            }
            _ => {}
        }
    }
}
