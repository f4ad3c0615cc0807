//! A whole node on loopback: store, audio, signalling, the fakes, and an engine over them, seeded with one account that
//! has one agent, one number and one trunk to a [`Callee`].
//! Keeps everything that was ever fed, so that a test can wait for an event that may have happened already.

use crate::{Callee, FakeS3, PATIENCE, ScriptedBrain, ScriptedEars, ToneVoice};
use callwright_domain::agent::{Greeting, Recording, Switch};
use callwright_domain::transcript::TranscriptLine;
use callwright_domain::{
    AccountId, AgentId, AgentPatch, AgentProfile, CallEvent, CallId, HangupCause, Moment, Origin, PhoneNumber,
    Recorded, TrunkId,
};
use callwright_engine::{
    Calls, Clock, Engine, Failpoints, Fed, NoPeers, Notifier, Parts, Policy, Sounds, StartCall, Telling, Told,
};
use callwright_net::{BrowserSettings, MediaPlane, MediaSettings, SipEndpoint, SipHandle, SipReport, SipSettings};
use callwright_providers::ProviderError;
use callwright_providers::asr::Asr;
use callwright_providers::catalogue::{
    BrainVendor, Catalogue, EarsVendor, LocalEntry, LocalParts, VendorsConfig, VoiceVendor,
};
use callwright_providers::llm::Llm;
use callwright_providers::tts::Tts;
use callwright_store::{
    Disk, Keyring, Number, Opened, Remote, RemoteSettings, Store, StoreError, StoreSettings, Trunk, TrunkSettings,
};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::{self, Runtime};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::yield_now;
use tokio::time::timeout;

/// The account that everything belongs to.
pub const ACCOUNT: &str = "acme";
/// Its agent.
pub const AGENT: &str = "tester";
/// Its number.
pub const CALLER: &str = "+15550100";
const CALLEE: &str = "+15550123";
/// Its trunk.
pub const TRUNK: &str = "loop";
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a node is made of. Every field has a default that makes a call which greets and listens.
#[derive(Clone)]
pub struct NodeBuilder {
    /// The agent that calls.
    pub agent: AgentProfile,
    /// What it hears with.
    pub ears: ScriptedEars,
    /// What it thinks with.
    pub brain: ScriptedBrain,
    /// What it speaks with.
    pub voice: ToneVoice,
    /// Where the trunk leads.
    pub callee: SocketAddr,
    /// How trunks are used; where they lead is said beside it. No questions whether they are alive unless a test wants them.
    pub trunk: TrunkSettings,
    /// Where further trunks of the number lead, in their order: `spare0` and so on.
    pub spares: Vec<SocketAddr>,
    /// Where the store is; `None`: in memory.
    pub data: Option<PathBuf>,
    /// What the store's disk does; none: it is a real one.
    pub disk: Option<Arc<dyn Disk>>,
    /// What recordings are sealed with.
    pub keys: Keyring,
    /// The object store that recordings go to; none: they stay in the directory.
    pub remote: Option<RemoteSettings>,
    /// Calls that the number may have at once.
    pub number_calls: u32,
    /// Calls that the node may have at once.
    pub max_calls: u32,
    /// How long a drain waits for calls.
    pub drain: Duration,
    /// How long a far end may send no audio.
    pub media_timeout: Duration,
    /// Where browsers are met; none: nowhere.
    pub browsers: Option<BrowserSettings>,
    /// Who is told what happens.
    pub notifier: Arc<dyn Notifier>,
    /// The wall clock that it reads.
    pub clock: Clock,
    /// SIP's round-trip estimate; how long nobody's silence is waited out follows from it.
    pub t1: Duration,
}

impl NodeBuilder {
    /// A node whose calls go to this callee.
    pub fn to(callee: &Callee) -> Self {
        Self::to_address(callee.address())
    }

    /// A node whose calls go to this address.
    pub fn to_address(callee: SocketAddr) -> Self {
        Self {
            agent: agent(),
            ears: ScriptedEars::new([]),
            brain: ScriptedBrain::new(),
            voice: ToneVoice::new(Duration::from_millis(30)),
            callee,
            trunk: TrunkSettings { options_interval_s: 0, ..TrunkSettings::default() },
            spares: Vec::new(),
            data: None,
            disk: None,
            keys: Keyring::default(),
            remote: None,
            number_calls: 15,
            max_calls: 100,
            drain: Duration::from_secs(10),
            media_timeout: Duration::from_secs(30),
            browsers: None,
            notifier: Arc::new(Deaf),
            clock: Clock::new(now),
            t1: Duration::from_millis(500),
        }
    }

    /// The same with another agent.
    #[must_use]
    pub fn agent(mut self, change: impl FnOnce(&mut AgentProfile)) -> Self {
        change(&mut self.agent);
        self
    }

    /// The same with other ears.
    #[must_use]
    pub fn ears(mut self, ears: &ScriptedEars) -> Self {
        self.ears = ears.clone();
        self
    }

    /// The same with another brain.
    #[must_use]
    pub fn brain(mut self, brain: &ScriptedBrain) -> Self {
        self.brain = brain.clone();
        self
    }

    /// The same with another voice.
    #[must_use]
    pub fn voice(mut self, voice: &ToneVoice) -> Self {
        self.voice = voice.clone();
        self
    }

    /// The same with its store in this directory.
    #[must_use]
    pub fn data(mut self, directory: &Path) -> Self {
        self.data = Some(directory.to_owned());
        self
    }

    /// The same with recordings that go to this store.
    #[must_use]
    pub fn remote(mut self, store: &FakeS3) -> Self {
        self.remote = Some(store.settings());
        self
    }

    /// The same with a port where browsers are met.
    #[must_use]
    pub fn browsers(mut self) -> Self {
        self.browsers = Some(BrowserSettings { listen: SocketAddr::new(HOME, 0), announce: Vec::new() });
        self
    }

    /// Starts the node in the runtime of whoever asks.
    pub async fn start(self) -> Node {
        let Opened { store, reader, recordings, .. } = self.open_store().await;
        self.seed(&store).await;
        let mut recordings = recordings.with_keys(self.keys.clone()).expect("the keys that were there before");
        if let Some(remote) = &self.remote {
            recordings = recordings.with_remote(Remote::new(remote).expect("good settings"));
        }
        let browsers = self.browsers.clone();
        let settings = MediaSettings { threads: 1, bind: HOME, browsers, ..MediaSettings::default() };
        let media = MediaPlane::start(settings).expect("a media thread");
        let mut wanted = SipSettings::new(SocketAddr::new(HOME, 0), None);
        wanted.agent.timers.t1 = self.t1;
        let (endpoint, sip, reports) = SipEndpoint::bind(wanted).await.expect("loopback has a free port");
        tokio::spawn(endpoint.run());
        tokio::spawn(refuse(reports));
        let engine = Engine::start(Parts {
            store: store.clone(),
            reader,
            spool: None,
            recordings,
            catalogue: catalogue(&self),
            sounds: Sounds::default(),
            sip: sip.clone(),
            media: media.clone(),
            peers: Arc::new(NoPeers),
            notifier: Arc::clone(&self.notifier),
            clock: self.clock,
            policy: Policy { max_calls: self.max_calls, drain: self.drain, media_timeout: self.media_timeout },
            seed: rand_seed(),
            failpoints: Failpoints::default(),
        })
        .await
        .expect("an engine over a fresh store starts");
        let (fed, _) = watch::channel(Vec::new());
        tokio::spawn(keep(engine.calls().watch(), fed.clone()));
        Node { engine: Arc::new(engine), store, sip, media, fed }
    }

    /// Starts the node in a runtime of its own, which can be killed.
    pub async fn start_doomed(self) -> Doomed {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let node = runtime.spawn(self.start()).await.expect("the node starts");
        Doomed { node: Some(node), runtime: Some(runtime) }
    }

    /// Opens the store; waits while the process before this one, or what a test takes for it, has not let go of it.
    async fn open_store(&self) -> Opened {
        let settings = || match &self.data {
            Some(path) => StoreSettings::directory(path, "node"),
            None => StoreSettings::in_memory("node"),
        };
        let open = async {
            loop {
                let opened = match &self.disk {
                    Some(disk) => Store::open_simulated(settings(), now(), Arc::clone(disk)).await,
                    None => Store::open(settings(), now()).await,
                };
                match opened {
                    Err(StoreError::InUse { .. }) => yield_now().await,
                    opened => return opened.expect("a store"),
                }
            }
        };
        timeout(PATIENCE, open).await.expect("the store is free in time")
    }

    /// Stores the further trunks of the number; their ids in order.
    async fn spares(&self, store: &Store) -> Vec<TrunkId> {
        let mut ids = Vec::new();
        for (at, address) in self.spares.iter().enumerate() {
            let id = TrunkId::new(format!("spare{at}")).expect("a trunk id");
            let settings = TrunkSettings { host: address.ip().to_string(), port: address.port(), ..self.trunk.clone() };
            let trunk = Trunk { id: id.clone(), settings, enabled: Switch::On };
            store.put_trunk(account(), trunk).await.expect("stored");
            ids.push(id);
        }
        ids
    }

    async fn seed(&self, store: &Store) {
        let (account, trunk) = (account(), TrunkId::new(TRUNK).expect("a trunk id"));
        let agent = AgentId::new(AGENT).expect("an agent id");
        store.put_agent(account.clone(), agent, self.agent.clone(), now()).await.expect("stored");
        let host = self.callee.ip().to_string();
        let settings = TrunkSettings { host, port: self.callee.port(), ..self.trunk.clone() };
        let configured = Trunk { id: trunk.clone(), settings, enabled: Switch::On };
        store.put_trunk(account.clone(), configured).await.expect("stored");
        let mut number = Number::new(account, PhoneNumber::parse(CALLER).expect("a number"), trunk);
        number.max_calls = self.number_calls;
        number.spare_trunks = self.spares(store).await;
        store.put_number(number).await.expect("stored");
    }
}

/// Tells nobody.
struct Deaf;

impl Notifier for Deaf {
    fn notify<'a>(&'a self, _telling: &'a Telling) -> BoxFuture<'a, Told> {
        Box::pin(async { Told::Nothing })
    }
}

/// An agent that greets, ends turns quickly and keeps no recording.
pub(crate) fn agent() -> AgentProfile {
    let mut agent = AgentProfile { language: String::from("en"), ..AgentProfile::default() };
    agent.opening.greeting = Greeting::Text(String::from("Hello there."));
    agent.turn.silence_ms = 200;
    agent.interrupt.min_speech_ms = 100;
    agent.recording = Recording::Off;
    agent
}

fn account() -> AccountId {
    AccountId::new(ACCOUNT).expect("an account id")
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Call ids must differ from those of an earlier life over the same store.
fn rand_seed() -> [u8; 32] {
    let mut seed = [7; 32];
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    seed[..16].copy_from_slice(&nanos.to_le_bytes());
    seed
}

/// The fakes under the name that the catalogue takes for the default.
struct Fakes(ScriptedEars, ScriptedBrain, ToneVoice);

impl LocalParts for Fakes {
    fn ears(&self, _: &str, _: &LocalEntry) -> Result<Arc<dyn Asr>, ProviderError> {
        Ok(Arc::new(self.0.clone()))
    }

    fn brain(&self, _: &str, _: &LocalEntry) -> Result<Arc<dyn Llm>, ProviderError> {
        Ok(Arc::new(self.1.clone()))
    }

    fn voice(&self, _: &str, _: &LocalEntry) -> Result<Arc<dyn Tts>, ProviderError> {
        Ok(Arc::new(self.2.clone()))
    }
}

fn catalogue(builder: &NodeBuilder) -> Catalogue {
    catalogue_of(builder.ears.clone(), builder.brain.clone(), builder.voice.clone())
}

/// A catalogue of these and nothing else.
pub(crate) fn catalogue_of(ears: ScriptedEars, brain: ScriptedBrain, voice: ToneVoice) -> Catalogue {
    let (name, entry) = (String::from("local"), LocalEntry::default());
    let vendors = VendorsConfig {
        ears: BTreeMap::from([(name.clone(), EarsVendor::Local(entry.clone()))]),
        brain: BTreeMap::from([(name.clone(), BrainVendor::Local(entry.clone()))]),
        voice: BTreeMap::from([(name, VoiceVendor::Local(entry))]),
        ..VendorsConfig::default()
    };
    Catalogue::build(&vendors, &Fakes(ears, brain, voice)).expect("the fakes are configured well")
}

/// Nobody may call a node; a report that is dropped refuses its call.
async fn refuse(mut reports: mpsc::Receiver<SipReport>) {
    while reports.recv().await.is_some() {}
}

async fn keep(mut feed: broadcast::Receiver<Fed>, kept: watch::Sender<Vec<Fed>>) {
    loop {
        match feed.recv().await {
            Ok(fed) => kept.send_modify(|all| all.push(fed)),
            Err(RecvError::Lagged(missed)) => panic!("{missed} events of the feed were missed"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// A running node.
pub struct Node {
    engine: Arc<Engine>,
    store: Store,
    sip: SipHandle,
    media: MediaPlane,
    fed: watch::Sender<Vec<Fed>>,
}

impl Node {
    /// The door into the engine.
    pub fn calls(&self) -> Calls {
        self.engine.calls()
    }

    /// The engine, for its end.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// The writing half of the store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Signalling.
    pub const fn sip(&self) -> &SipHandle {
        &self.sip
    }

    /// Audio.
    pub const fn media(&self) -> &MediaPlane {
        &self.media
    }

    /// The account that everything belongs to.
    pub fn account(&self) -> AccountId {
        account()
    }

    /// The time as the node has it.
    pub fn now(&self) -> Moment {
        now()
    }

    /// A request for a call by the agent to the callee, now.
    pub fn request(&self) -> StartCall {
        StartCall {
            account: account(),
            agent: AgentId::new(AGENT).expect("an agent id").into(),
            patch: AgentPatch::default(),
            callee: PhoneNumber::parse(CALLEE).expect("a number"),
            callers: Vec::new(),
            variables: BTreeMap::new(),
            user_data: None,
            thread: None,
            due: None,
            deadline: None,
            wait: Duration::ZERO,
            retry: None,
            once: None,
            origin: Origin::default(),
            outer: None,
        }
    }

    /// Makes such a call.
    pub async fn call(&self) -> CallId {
        self.calls().start(self.request(), now()).await.expect("the call is accepted").id
    }

    /// Waits for an event of a call, which may have happened already.
    pub async fn wait_for(&self, call: CallId, what: &str, wanted: impl Fn(&CallEvent) -> bool) -> Recorded {
        let mut fed = self.fed.subscribe();
        let find = |all: &Vec<Fed>| {
            let mut of_call = all.iter().filter(|fed| fed.call == call);
            of_call.find(|fed| wanted(&fed.recorded.event)).map(|fed| fed.recorded.clone())
        };
        let waiting = timeout(PATIENCE, fed.wait_for(|all| find(all).is_some())).await;
        let found = match waiting {
            Ok(all) => find(&all.expect("the node keeps what is fed")),
            Err(_) => None,
        };
        match found {
            Some(recorded) => recorded,
            None => panic!("no event in time: {what}; there were {:#?}", self.events(call).await),
        }
    }

    /// Waits for the end of a call.
    pub async fn ended(&self, call: CallId) -> HangupCause {
        let ended = self.wait_for(call, "the end", |event| matches!(event, CallEvent::Ended { .. })).await;
        match ended.event {
            CallEvent::Ended { cause, .. } => cause,
            other => panic!("an end, not {other:?}"),
        }
    }

    /// The journal of a call.
    pub async fn events(&self, call: CallId) -> Vec<CallEvent> {
        let journal = self.calls().reader().journal(&account(), call, 0, 1000).await.expect("readable");
        journal.into_iter().map(|recorded| recorded.event).collect()
    }

    /// The names of a call's events in their order.
    pub async fn event_names(&self, call: CallId) -> Vec<&'static str> {
        self.events(call).await.iter().map(CallEvent::name).collect()
    }

    /// What was said in a call.
    pub async fn transcript(&self, call: CallId) -> Vec<TranscriptLine> {
        self.calls().reader().transcript(&account(), call).await.expect("readable")
    }

    /// Calls of the number that have not ended.
    pub async fn active_calls(&self) -> u32 {
        let caller = PhoneNumber::parse(CALLER).expect("a number");
        self.calls().reader().active_calls(&account(), &caller).await.expect("readable")
    }
}

/// A node in a runtime of its own.
pub struct Doomed {
    node: Option<Node>,
    runtime: Option<Runtime>,
}

impl Doomed {
    /// The node, as long as it lives.
    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("alive until it is killed")
    }

    /// Where what it does must run, if it is to end with it: tasks belong to whoever asks.
    pub fn home(&self) -> &runtime::Handle {
        self.runtime.as_ref().expect("alive until it is killed").handle()
    }

    /// Ends it as a crash would: from one moment to the next, with no goodbye to anybody.
    pub fn kill(mut self) {
        let (node, runtime) = (self.node.take(), self.runtime.take());
        if let Some(runtime) = runtime {
            // Its one thread takes up no task any more, so that none sees another go.
            runtime.shutdown_background();
        }
        drop(node);
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime must not be dropped where tasks run.
            runtime.shutdown_background();
        }
    }
}
