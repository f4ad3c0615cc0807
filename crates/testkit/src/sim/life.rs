//! One life of the simulated node: the real store, signalling, media legs, providers' chains and engine in one runtime of
//! one thread, whose clock moves only when nothing is left to be done. It ends when the world says so, or when all is done.

use super::checks;
use super::script::Vendors;
use super::world::{Happening, Heard, Known, NODE, TRUNK, World};
use crate::node::{ACCOUNT, AGENT, CALLER, agent, catalogue_of};
use crate::{Reply, ScriptedBrain, ScriptedEars, ToneVoice, VoiceFault};
use callwright_domain::agent::Switch;
use callwright_domain::campaign::RetryPlan;
use callwright_domain::retry::Retries;
use callwright_domain::webhook::{Endpoint, History, MOST_TRIES, Order, Status, Topics, Whose};
use callwright_domain::{
    AccountId, AgentId, AgentPatch, HangupCause, Origin, PhoneNumber, Pii, TrunkId, Webhook, WebhookId,
};
use callwright_engine::{
    Calls, Clock, Engine, Failpoints, Failure, HangUp, NoPeers, Notifier, Parts, Policy, Sounds, StartCall, StartError,
    Subject, Telling, Told,
};
use callwright_net::{MediaPlane, MediaSettings, SipEndpoint, SipHandle, SipSettings, Wire};
use callwright_store::{
    Denial, Disk, DiskTime, Idempotency, Number, Opened, Store, StoreError, StoreSettings, Trunk, TrunkSettings,
};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tokio::runtime;
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

/// The endpoint that hears everything.
pub(super) const HOOK: &str = "hook";
/// How often it is looked at whether all is done, in simulated time.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks after the calm before what is still open counts as stuck: three minutes.
const MOST_LOOKS: u32 = 360;
/// Callees' numbers are this one and the following.
const FIRST_CALLEE: u64 = 15_550_200;

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It died; there is another.
    Died,
    /// All is done.
    Done,
}

/// The number that a request calls.
fn callee(number: usize) -> PhoneNumber {
    PhoneNumber::parse(&format!("+{}", FIRST_CALLEE + number as u64)).expect("a number")
}

/// The request that calls this number.
pub(super) fn request_of(user: &str) -> Option<usize> {
    let digits = user.trim_start_matches('+').parse::<u64>().ok()?;
    usize::try_from(digits.checked_sub(FIRST_CALLEE)?).ok()
}

pub(super) fn account() -> AccountId {
    AccountId::new(ACCOUNT).expect("an account id")
}

/// Lives once, over the database in `directory`.
pub(super) fn live(world: &Arc<World>, directory: &Path, life: u64) -> Fate {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread needs nothing");
    let fate = runtime.block_on(async {
        let signalling = Wire::new(NODE, Arc::clone(world) as Arc<_>);
        let media = Wire::new(std::net::SocketAddr::new(NODE.ip(), 0), Arc::clone(world) as Arc<_>);
        world.begin_life((signalling.clone(), media.clone()));
        tokio::select! {
            biased;
            () = world.died() => Fate::Died,
            () = run(world, (directory, life), (signalling, media)) => Fate::Done,
        }
    });
    // Everything unwritten goes with the runtime.
    drop(runtime);
    world.end_life();
    fate
}

/// The parts that a life is made of and looked at through.
pub(super) struct Living {
    pub(super) calls: Calls,
    pub(super) sip: SipHandle,
    pub(super) media: MediaPlane,
    pub(super) engine: Engine,
}

async fn run(world: &Arc<World>, (directory, life): (&Path, u64), (signalling, wire): (Wire, Wire)) {
    let settings = StoreSettings::directory(directory, "node");
    let disk = Arc::new(SlowDisk(Arc::clone(world)));
    let opened = Store::open_simulated(settings, world.wall(), disk).await.expect("the store opens");
    if life == 0 {
        configure(&opened.store, world).await;
    }
    let seed = world.lock().script.seed.wrapping_mul(31).wrapping_add(life);
    let mut wanted = SipSettings::new(NODE, None);
    wanted.agent.peers.insert(TRUNK.ip());
    let (endpoint, sip, reports) = SipEndpoint::on_wire(wanted, signalling, seed).expect("an address that can be told");
    let endpoint = tokio::spawn(endpoint.run());
    let (media, legs) = MediaPlane::on_wire(MediaSettings::default(), wire, seed);
    let legs = tokio::spawn(legs);
    let living = engine(world, opened, (sip, media), seed).await;
    let calls = living.calls.clone();
    tokio::spawn(follow(Arc::clone(world), calls.clone()));
    let client = Arc::clone(world);
    let play = tokio::spawn(Arc::clone(world).play(move |happening| {
        tokio::spawn(ask(Arc::clone(&client), calls.clone(), happening));
    }));
    wait(world, &living, &play).await;
    drop(reports);
    for (what, task) in [("signalling", &endpoint), ("media", &legs), ("the world", &play)] {
        if task.is_finished() {
            world.fault(format!("{what} broke down"));
        }
    }
    checks::everything(world, &living).await;
    living.engine.drain(async {}).await;
    checks::farewells(world, &living).await;
}

async fn engine(world: &Arc<World>, opened: Opened, (sip, media): (SipHandle, MediaPlane), seed: u64) -> Living {
    let (room, vendors) = {
        let state = world.lock();
        (state.script.room, state.script.vendors)
    };
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let (clock, points) = (Arc::clone(world), Arc::clone(world));
    let engine = Engine::start(Parts {
        store: opened.store,
        reader: opened.reader,
        spool: None,
        recordings: opened.recordings,
        catalogue: fakes(world, vendors),
        sounds: sounds(),
        sip: sip.clone(),
        media: media.clone(),
        peers: Arc::new(NoPeers),
        notifier: Arc::new(Receiver(Arc::clone(world))),
        clock: Clock::new(move || clock.wall()),
        policy: Policy { max_calls: room, drain: Duration::from_secs(10), media_timeout: Duration::from_secs(12) },
        seed: bytes,
        failpoints: Failpoints::armed(move |point| {
            let world = Arc::clone(&points);
            Box::pin(async move { world.reach(point).await })
        }),
    })
    .await
    .expect("an engine over its own store starts");
    Living { calls: engine.calls(), sip, media, engine }
}

/// Sounds are arithmetic, and the same in every story.
fn sounds() -> Sounds {
    static MADE: OnceLock<Sounds> = OnceLock::new();
    MADE.get_or_init(Sounds::default).clone()
}

/// Vendors that fail as often as the script says.
fn fakes(world: &World, vendors: Vendors) -> callwright_providers::catalogue::Catalogue {
    let failing: Vec<bool> = (0..40).map(|_| world.strikes(vendors.failing)).collect();
    let replies = failing.iter().map(|fails| if *fails { Reply::fail() } else { Reply::say("I see. Go on.") });
    let brain = ScriptedBrain::new().on("", replies.collect::<Vec<_>>());
    let faults = failing.iter().map(|fails| if *fails { VoiceFault::Fail } else { VoiceFault::None });
    let voice = ToneVoice::new(Duration::from_millis(20)).with_faults(faults.rev().collect::<Vec<_>>());
    catalogue_of(ScriptedEars::new(["Hello?", "And then?"]), brain, voice)
}

/// What the account has.
async fn configure(store: &Store, world: &World) {
    let (cap, pace, ask_every) = {
        let state = world.lock();
        (state.script.cap, state.script.pace, state.script.ask_every)
    };
    let mut profile = agent();
    profile.limits.max_duration_s = 10;
    profile.limits.ring_timeout_s = 15;
    let id = AgentId::new(AGENT).expect("an agent id");
    store.put_agent(account(), id, profile, world.wall()).await.expect("stored");
    let trunk = TrunkId::new("loop").expect("a trunk id");
    let settings = TrunkSettings {
        host: TRUNK.ip().to_string(),
        port: TRUNK.port(),
        cps: pace,
        options_interval_s: ask_every,
        ..TrunkSettings::default()
    };
    store.put_trunk(account(), Trunk { id: trunk.clone(), settings, enabled: Switch::On }).await.expect("stored");
    let mut number = Number::new(account(), PhoneNumber::parse(CALLER).expect("a number"), trunk);
    number.max_calls = cap;
    store.put_number(number).await.expect("stored");
    store.put_webhook(hook(world)).await.expect("stored");
}

fn hook(world: &World) -> Webhook {
    let endpoint = Endpoint {
        url: Pii::new(String::from("https://receiver.example/")),
        description: String::new(),
        secrets: Vec::new(),
        headers: Vec::new(),
        origin: Origin::default(),
        max_tries: MOST_TRIES,
        order: Order::PerCall,
        history: History::AtEnd,
    };
    Webhook {
        id: WebhookId::new(HOOK).expect("a webhook id"),
        account: account(),
        whose: Whose::Account,
        endpoint,
        topics: Topics::All,
        status: Status::Enabled,
        failing_since: None,
        created: world.wall(),
        updated: world.wall(),
    }
}

/// Writes what watchers are told into the log.
async fn follow(world: Arc<World>, calls: Calls) {
    let mut feed = calls.watch();
    while let Ok(fed) = feed.recv().await {
        let (seq, name) = (fed.recorded.seq, fed.recorded.event.name());
        world.note(&format!("* {} {seq} {name}", fed.call));
    }
}

/// Waits until the trouble is over and everything has come to its end.
async fn wait(world: &Arc<World>, living: &Living, play: &JoinHandle<()>) {
    let mut looks = 0;
    loop {
        sleep(LOOK_EVERY).await;
        let open = checks::still_open(world, living).await;
        if play.is_finished() {
            // Without a world it is never calm; that it broke down is told.
            return;
        }
        if !world.lock().calm {
            continue;
        }
        if open.is_empty() {
            return;
        }
        looks += 1;
        if looks > MOST_LOOKS {
            return world.fault(format!("stuck: {}", open.join(", ")));
        }
        if looks.is_multiple_of(10) {
            // Messages that were refused are told again hours later by the wall clock.
            world.jump(1_800_000);
        }
    }
}

/// What a client does.
async fn ask(world: Arc<World>, calls: Calls, happening: Happening) {
    match happening {
        Happening::Ask(number) => request(&world, &calls, number).await,
        Happening::HangUp(number) => {
            let known = world.lock().known.get(number).cloned();
            let Some(Known::Accepted(call)) = known else { return };
            let ended = calls.hang_up(&account(), call, HangUp::Now).await;
            if world.is_powered() {
                world.note(&format!(
                    "client {number} hangs up: {}",
                    ended.map_or_else(|error| error.to_string(), |()| "ending".into())
                ));
            }
        }
        Happening::Deny(number) => {
            let denial = Denial { number: callee(number), reason: String::from("asked") };
            let denied = calls.configure().deny(&account(), vec![denial], world.wall()).await;
            if !world.is_powered() {
                return;
            }
            world.note(&format!("client {number} denies its callee: {denied:?}"));
            match denied {
                Ok(_) => world.lock().denied(number),
                Err(_) => world.later(500, Happening::Deny(number)),
            }
        }
        _ => {}
    }
}

async fn request(world: &Arc<World>, calls: &Calls, number: usize) {
    if world.lock().known.get(number) != Some(&Known::Nothing) {
        return;
    }
    let now = world.wall();
    let (due_in, at, terms) = {
        let state = world.lock();
        let request = state.script.requests.get(number).expect("a request of the script");
        (request.due_in, request.at, request.terms)
    };
    let due = (due_in > 0).then(|| now.after(Duration::from_millis(due_in)));
    let once =
        Idempotency { key: format!("request-{number}"), body_hash: [u8::try_from(at % 251).unwrap_or_default(); 32] };
    let start = StartCall {
        account: account(),
        agent: AgentId::new(AGENT).expect("an agent id").into(),
        patch: AgentPatch::default(),
        callee: callee(number),
        callers: Vec::new(),
        variables: BTreeMap::new(),
        user_data: None,
        thread: None,
        due,
        deadline: terms.deadline.map(|after| due.unwrap_or(now).after(Duration::from_millis(after))),
        wait: Duration::from_millis(terms.wait),
        retry: terms.tries.map(retries),
        once: Some(once),
        origin: Origin::default(),
        outer: None,
    };
    let answer = calls.start(start, now).await;
    if !world.is_powered() {
        return;
    }
    match answer {
        Ok(started) => {
            world.note(&format!("client {number} has {} {:?}", started.id, started.repeat));
            world.lock().known[number] = Known::Accepted(started.id);
        }
        Err(StartError::Refused(refusal)) => {
            world.note(&format!("client {number} is refused: {}", refusal.id()));
            if refusal.is_busy() && world.lock().now() < 60_000 {
                return world.later(1_000, Happening::Ask(number));
            }
            world.lock().known[number] = Known::Refused;
        }
        Err(error) => {
            world.note(&format!("client {number} meets trouble: {error}"));
            world.later(1_000, Happening::Ask(number));
        }
    }
}

/// A plan for that many calls with that pause between.
fn retries((max_attempts, pause): (u32, u64)) -> Retries {
    let on = vec![HangupCause::Busy, HangupCause::NoAnswer, HangupCause::Unreachable, HangupCause::TrunkFailed];
    Retries::new(RetryPlan { on, max_attempts, waits_s: vec![pause] }, None)
}

/// A disk that takes its time.
struct SlowDisk(Arc<World>);

impl Disk for SlowDisk {
    fn before_commit(&self) -> DiskTime<Result<(), StoreError>> {
        let world = Arc::clone(&self.0);
        Box::pin(async move {
            let disk = world.lock().script.disk;
            world.pass(disk.before).await;
            if world.lock().disk_is_full() {
                world.note("  the disk is full");
                return Err(StoreError::Full);
            }
            Ok(())
        })
    }

    fn after_commit(&self) -> DiskTime<()> {
        let world = Arc::clone(&self.0);
        Box::pin(async move {
            let most = world.lock().script.disk.after;
            world.pass(most).await;
        })
    }

    fn before_read(&self) -> DiskTime<Result<(), StoreError>> {
        let world = Arc::clone(&self.0);
        Box::pin(async move {
            let most = world.lock().script.disk.read;
            world.pass(most).await;
            Ok(())
        })
    }
}

/// A receiver of callbacks that is not always well.
struct Receiver(Arc<World>);

impl Notifier for Receiver {
    fn notify<'a>(&'a self, telling: &'a Telling) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            let world = &self.0;
            world.pass(40).await;
            let failed =
                |detail: &str| Told::Failed(Failure { status: Some(500), retry_after: None, detail: detail.into() });
            let temper = world.lock().script.receiver;
            // Never so often that a message is given up.
            let patient = telling.attempt < 4;
            if patient && world.strikes(temper.hangs) {
                sleep(Duration::from_secs(15)).await;
                return failed("no answer in time");
            }
            if patient && world.strikes(temper.refuses) {
                return failed("not now");
            }
            if let Subject::Call(news) = &telling.subject {
                let heard = Heard { id: telling.id.clone(), call: news.view.plan.id, seq: news.recorded.seq };
                world.note(&format!("@ {} try {}", heard.id, telling.attempt));
                world.lock().heard.push(heard);
            }
            if patient && world.strikes(temper.mute) {
                failed("the answer was lost")
            } else {
                Told::Heard { status: 200 }
            }
        })
    }
}
