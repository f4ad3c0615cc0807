//! The outbox over a real store, a clock that the test moves, and a receiver that the test scripts.

use super::{CallNews, Desk, Failure, Notifier, Outbox, Subject, Telling, Told};
use crate::clock::Clock;
use crate::node::Entropy;
use crate::tasks::Tasks;
use callwright_domain::agent::Switch;
use callwright_domain::webhook::{Endpoint, History, MOST_TRIES, Order, Status, Topics, Whose};
use callwright_domain::{
    AccountId, AgentId, AgentProfile, CallEvent, CallId, CallPlan, CallState, DialIntent, HangupCause, Moment, Origin,
    PhoneNumber, Pii, Telephone, Topic, TrunkId, Way, Webhook, WebhookId,
};
use callwright_store::outbox::{Replay, Standing};
use callwright_store::{
    Admission, Ending, Number, Opened, Patience, Reader, Store, StoreSettings, Trunk, TrunkSettings,
};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

const START: i64 = 1_700_000_000_000;
/// Longest wait for something that is sure to come.
const PATIENCE: Duration = Duration::from_secs(20);

type Answer = Box<dyn Fn(&Telling) -> Told + Send + Sync>;

/// A receiver: answers as the test says, after a turn at the gate, and keeps what it was told.
struct Receiver {
    answer: Answer,
    /// Endpoints that hang until the gate opens.
    hanging: Option<(WebhookId, Arc<Semaphore>)>,
    told: mpsc::Sender<Telling>,
}

impl Notifier for Receiver {
    fn notify<'a>(&'a self, telling: &'a Telling) -> BoxFuture<'a, Told> {
        Box::pin(async move {
            if let Some((webhook, gate)) = &self.hanging
                && telling.webhook.id == *webhook
            {
                gate.acquire().await.expect("the gate is never closed").forget();
            }
            let answer = (self.answer)(telling);
            self.told.send(telling.clone()).await.expect("the test listens");
            answer
        })
    }
}

struct Rig {
    store: Store,
    reader: Reader,
    clock: Arc<AtomicI64>,
    tasks: Tasks,
    told: mpsc::Receiver<Telling>,
}

pub(crate) fn account() -> AccountId {
    AccountId::new("acme").expect("an id")
}

fn hook(name: &str) -> WebhookId {
    WebhookId::new(name).expect("an id")
}

fn webhook(name: &str, topics: Topics) -> Webhook {
    let endpoint = Endpoint {
        url: Pii::new(String::from("https://example.com/")),
        description: String::new(),
        secrets: Vec::new(),
        headers: Vec::new(),
        origin: Origin::default(),
        max_tries: MOST_TRIES,
        order: Order::PerCall,
        history: History::AtEnd,
    };
    Webhook {
        id: hook(name),
        account: account(),
        whose: Whose::Account,
        endpoint,
        topics,
        status: Status::Enabled,
        failing_since: None,
        created: Moment(START),
        updated: Moment(START),
    }
}

async fn rig(hanging: Option<(WebhookId, Arc<Semaphore>)>, answer: Answer) -> Rig {
    let Opened { store, reader, .. } =
        Store::open(StoreSettings::in_memory("a"), Moment(START)).await.expect("a store");
    configure(&store).await;
    let clock = Arc::new(AtomicI64::new(START));
    let (sender, told) = mpsc::channel(10_000);
    let tasks = Tasks::new();
    let hands = Arc::clone(&clock);
    let desk = Desk {
        store: store.clone(),
        reader: reader.clone(),
        notifier: Arc::new(Receiver { answer, hanging, told: sender }),
        clock: Clock::new(move || Moment(hands.load(Ordering::SeqCst))),
        entropy: Entropy::seeded([7; 32]),
        tasks: tasks.clone(),
    };
    tasks.spawn(Outbox::new(desk).run());
    Rig { store, reader, clock, tasks, told }
}

pub(crate) async fn configure(store: &Store) {
    let trunk = Trunk { id: TrunkId::new("t").unwrap(), settings: TrunkSettings::default(), enabled: Switch::On };
    store.put_trunk(account(), trunk).await.unwrap();
    let number = Number::new(account(), PhoneNumber::parse("+4930123456").unwrap(), TrunkId::new("t").unwrap());
    store.put_number(Number { max_calls: u32::MAX, ..number }).await.unwrap();
}

impl Rig {
    async fn next(&mut self) -> Telling {
        timeout(PATIENCE, self.told.recv()).await.expect("told in time").expect("the outbox lives")
    }

    /// Moves the clock and says that there is something to look at.
    fn pass(&self, by: Duration) {
        self.clock.fetch_add(i64::try_from(by.as_millis()).expect("hours"), Ordering::SeqCst);
        self.store.outbox_bell().notify_one();
    }

    fn now(&self) -> Moment {
        Moment(self.clock.load(Ordering::SeqCst))
    }

    async fn admit(&self, id: u128, endpoint: Option<Webhook>) -> CallId {
        let plan = plan(id, self.now());
        let call = plan.id;
        let (idempotency, alias, patience) = (None, None, Patience::AnyPlace);
        let admission = Admission { plan, idempotency, endpoint, alias, patience };
        self.store.admit(admission, self.now()).await.expect("admitted");
        call
    }

    async fn dialled(&self, call: CallId) {
        let intent = DialIntent {
            trunk: None,
            attempt: 1,
            call_id: "c".into(),
            from_tag: "f".into(),
            branch: "b".into(),
            cseq: 1,
            dialog: String::new(),
        };
        let events =
            vec![(self.now(), CallEvent::Dialing { intent }), (self.now(), CallEvent::Ringing { status: 180 })];
        self.store.append(call, events).await.expect("appended");
    }

    async fn ended(&self, call: CallId) {
        self.store.finish(call, self.now(), Ending::from(HangupCause::Busy)).await.expect("finished");
    }

    /// Until the message stands there.
    async fn settled(&self, name: &str, message: &str, standing: Standing) {
        let id = hook(name);
        let wait = async {
            loop {
                let page = self.reader.deliveries(&account(), &id, None, None, 1000).await.expect("read");
                if page.items.iter().any(|item| item.message == message && item.standing == standing) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("settled in time");
    }

    async fn tries(&self, name: &str, message: &str, wanted: usize) {
        let id = hook(name);
        let wait = async {
            while self.reader.attempts(&account(), &id, message).await.expect("read").len() < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("tried in time");
    }

    async fn close(self) {
        self.tasks.stop().await;
        self.store.close().await;
    }
}

pub(crate) fn plan(id: u128, now: Moment) -> CallPlan {
    CallPlan {
        id: CallId::from_entropy(id),
        account: account(),
        agent_id: AgentId::new("desk").unwrap(),
        agent: AgentProfile::default(),
        way: Way::Telephone(Telephone {
            callee: PhoneNumber::parse("+4915112345678").unwrap(),
            caller: PhoneNumber::parse("+4930123456").unwrap(),
            trunk: TrunkId::new("t").unwrap(),
            spare_trunks: Vec::new(),
            spare_callers: Vec::new(),
        }),
        wait_ms: 0,
        retry: None,
        campaign: None,
        redaction: callwright_domain::Redaction::default(),
        talks_ms: None,
        variables: BTreeMap::new(),
        user_data: None,
        thread: None,
        created: now,
        due: now,
        deadline: None,
        origin: Origin::default(),
    }
}

fn news(telling: &Telling) -> &CallNews {
    match &telling.subject {
        Subject::Call(news) => news,
        Subject::Account { topic, .. } => panic!("{} is not about a call", topic.word()),
    }
}

fn failed() -> Told {
    Told::Failed(Failure { status: Some(500), retry_after: None, detail: String::from("no") })
}

fn heard() -> Answer {
    Box::new(|_| Told::Heard { status: 200 })
}

#[tokio::test]
async fn a_call_is_told_in_order_as_it_stood_then() {
    let mut rig = rig(None, heard()).await;
    rig.store.put_webhook(webhook("h", Topics::All)).await.unwrap();
    let call = rig.admit(1, None).await;
    rig.dialled(call).await;
    rig.ended(call).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let telling = rig.next().await;
        let news = news(&telling);
        assert_eq!(telling.id, format!("msg_{call}_{}", news.recorded.seq));
        seen.push((news.recorded.seq, news.recorded.event.name(), news.view.state.is_ended()));
        assert_eq!(news.journal.is_empty(), news.recorded.seq < 4, "only the end comes with its journal");
    }
    let wanted = [(1, "created", false), (2, "dialing", false), (3, "ringing", false), (4, "ended", true)];
    assert_eq!(seen, wanted);
    rig.close().await;
}

/// BARS R22: the whole schedule on the test's clock; then the message is given up and can be replayed.
#[tokio::test]
async fn a_failing_receiver_is_tried_on_the_schedule() {
    let mut rig =
        rig(None, Box::new(|telling| if telling.attempt <= 8 { failed() } else { Told::Heard { status: 200 } })).await;
    rig.store.put_webhook(webhook("h", Topics::Only(vec![Topic::CallCreated]))).await.unwrap();
    let call = rig.admit(1, None).await;
    let message = format!("msg_{call}_1");
    let pauses = [0, 5, 300, 1800, 7200, 18_000, 36_000, 36_000];
    for (tries, pause) in (1..).zip(pauses) {
        if pause > 0 {
            rig.pass(Duration::from_millis(pause * 890));
            rig.tries("h", &message, tries - 1).await;
            assert!(rig.told.try_recv().is_err(), "try {tries} came too soon");
            rig.pass(Duration::from_millis(pause * 215));
        }
        let telling = rig.next().await;
        assert_eq!((telling.attempt, telling.id.as_str()), (u32::try_from(tries).unwrap(), message.as_str()));
        rig.tries("h", &message, tries).await;
    }
    rig.settled("h", &message, Standing::Failed).await;
    let again = rig.store.replay_outbox(account(), hook("h"), Replay::FailedSince(Moment(0)), rig.now()).await;
    assert_eq!(again.unwrap(), 1);
    assert_eq!(rig.next().await.id, message, "a replay carries the same id");
    rig.close().await;
}

#[tokio::test]
async fn a_receiver_that_names_a_time_is_left_alone_until_then() {
    let hour = Duration::from_secs(3600);
    let answer = move |telling: &Telling| match telling.attempt {
        1 => Told::Failed(Failure { status: Some(503), retry_after: Some(hour), detail: String::new() }),
        _ => Told::Heard { status: 200 },
    };
    let mut rig = rig(None, Box::new(answer)).await;
    rig.store.put_webhook(webhook("h", Topics::Only(vec![Topic::CallCreated]))).await.unwrap();
    let call = rig.admit(1, None).await;
    rig.next().await;
    rig.tries("h", &format!("msg_{call}_1"), 1).await;
    let page = rig.reader.deliveries(&account(), &hook("h"), Some(Standing::Pending), None, 10).await.unwrap();
    assert_eq!(page.items[0].due, Some(Moment(START).after(hour)));
    rig.pass(hour);
    assert_eq!(rig.next().await.attempt, 2);
    rig.close().await;
}

/// BARS R21: a failing event holds back its own call and no other.
#[tokio::test]
async fn a_failing_event_blocks_its_own_call_alone() {
    let bad = CallId::from_entropy(1);
    let answer = move |telling: &Telling| {
        let fails = news(telling).view.plan.id == bad && telling.attempt == 1 && news(telling).recorded.seq == 1;
        if fails { failed() } else { Told::Heard { status: 200 } }
    };
    let mut rig = rig(None, Box::new(answer)).await;
    rig.store.put_webhook(webhook("h", Topics::All)).await.unwrap();
    for id in 1..=5 {
        let call = rig.admit(id, None).await;
        rig.dialled(call).await;
        rig.ended(call).await;
    }
    let mut seqs: HashMap<CallId, Vec<u64>> = HashMap::new();
    for _ in 0..1 + 4 * 4 {
        let telling = rig.next().await;
        seqs.entry(news(&telling).view.plan.id).or_default().push(news(&telling).recorded.seq);
    }
    assert_eq!(seqs.remove(&bad), Some(vec![1]));
    assert!(seqs.len() == 4 && seqs.values().all(|seqs| *seqs == [1, 2, 3, 4]), "{seqs:?}");
    rig.tries("h", &format!("msg_{bad}_1"), 1).await;
    rig.pass(Duration::from_secs(6));
    for seq in 1..=4 {
        assert_eq!(news(&rig.next().await).recorded.seq, seq);
    }
    rig.close().await;
}

/// BARS R23: an endpoint that hangs holds at most its own places.
#[tokio::test]
async fn a_hanging_receiver_hurts_nobody_else() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = rig(Some((hook("bad"), Arc::clone(&gate))), heard()).await;
    for name in ["bad", "good"] {
        rig.store.put_webhook(webhook(name, Topics::Only(vec![Topic::CallCreated]))).await.unwrap();
    }
    for id in 1..=40 {
        rig.admit(id, None).await;
    }
    for _ in 0..40 {
        assert_eq!(rig.next().await.webhook.id, hook("good"));
    }
    assert_eq!(rig.tasks_of_bad().await, 8, "as many as an endpoint may have at once");
    gate.add_permits(1000);
    for _ in 0..40 {
        assert_eq!(rig.next().await.webhook.id, hook("bad"));
    }
    rig.close().await;
}

impl Rig {
    /// Messages that are being told to the endpoint that hangs: their due time is the end of a lease.
    async fn tasks_of_bad(&self) -> usize {
        let page = self.reader.deliveries(&account(), &hook("bad"), Some(Standing::Pending), None, 1000).await.unwrap();
        page.items.iter().filter(|item| item.due.is_some_and(|due| due > self.now())).count()
    }
}

#[tokio::test]
async fn gone_switches_off_and_others_hear_of_it() {
    let answer = |telling: &Telling| {
        if telling.webhook.id.as_str() == "bad" { Told::Gone } else { Told::Heard { status: 200 } }
    };
    let mut rig = rig(None, Box::new(answer)).await;
    rig.store.put_webhook(webhook("bad", Topics::Only(vec![Topic::CallCreated]))).await.unwrap();
    rig.store.put_webhook(webhook("good", Topics::Only(vec![Topic::WebhookDisabled]))).await.unwrap();
    rig.admit(1, None).await;
    assert_eq!(rig.next().await.webhook.id, hook("bad"));
    let telling = rig.next().await;
    assert_eq!(telling.webhook.id, hook("good"));
    let Subject::Account { topic, body, .. } = &telling.subject else { panic!("not an announcement") };
    assert_eq!((*topic, &body["webhook"], &body["reason"]), (Topic::WebhookDisabled, &"bad".into(), &"gone".into()));
    let bad = rig.reader.webhook(&account(), &hook("bad")).await.unwrap().expect("still there");
    assert_eq!(bad.status, Status::Gone);
    rig.close().await;
}

#[tokio::test]
async fn five_days_of_failures_switch_an_endpoint_off() {
    let mut rig = rig(None, Box::new(|_| failed())).await;
    rig.store.put_webhook(webhook("h", Topics::Only(vec![Topic::CallCreated]))).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    for id in 1..=6 {
        let call = rig.admit(id, None).await;
        rig.next().await;
        rig.tries("h", &format!("msg_{call}_1"), 1).await;
        let status = rig.reader.webhook(&account(), &hook("h")).await.unwrap().expect("there").status;
        assert_eq!(status, if id == 6 { Status::Failing } else { Status::Enabled }, "after {} days", id - 1);
        // Not the bell: old messages must not be tried in between, or they would be told in any order.
        rig.clock.fetch_add(i64::try_from(day.as_millis()).unwrap(), Ordering::SeqCst);
        while rig.told.try_recv().is_ok() {}
    }
    rig.close().await;
}

#[tokio::test]
async fn a_call_can_bring_its_own_endpoint() {
    let mut rig = rig(None, heard()).await;
    let own = Webhook { whose: Whose::Call(CallId::from_entropy(1)), ..webhook("own", Topics::All) };
    rig.admit(1, Some(own)).await;
    rig.admit(2, None).await;
    assert_eq!(news(&rig.next().await).view.plan.id, CallId::from_entropy(1));
    rig.dialled(CallId::from_entropy(2)).await;
    rig.dialled(CallId::from_entropy(1)).await;
    for seq in [2, 3] {
        let telling = rig.next().await;
        assert_eq!((news(&telling).view.plan.id, news(&telling).recorded.seq), (CallId::from_entropy(1), seq));
    }
    rig.close().await;
}

#[tokio::test]
async fn history_comes_with_every_event_where_it_is_wanted() {
    let mut rig = rig(None, heard()).await;
    let mut whole = webhook("h", Topics::All);
    whole.endpoint.history = History::Always;
    rig.store.put_webhook(whole).await.unwrap();
    let call = rig.admit(1, None).await;
    rig.dialled(call).await;
    for (seq, state) in [(1, CallState::Queued), (2, CallState::Dialing), (3, CallState::Ringing)] {
        let telling = rig.next().await;
        let journal: Vec<u64> = news(&telling).journal.iter().map(|recorded| recorded.seq).collect();
        assert_eq!(journal, (1..=seq).collect::<Vec<_>>());
        assert_eq!((news(&telling).view.state, news(&telling).view.last_seq), (state, seq));
    }
    rig.close().await;
}

/// What the lives of the loop share.
#[derive(Clone)]
struct World {
    folder: PathBuf,
    clock: Arc<AtomicI64>,
    random: Arc<AtomicU64>,
    /// Messages that must be heard.
    owed: Arc<Mutex<Vec<String>>>,
    heard: Arc<Mutex<HashMap<String, u32>>>,
    /// The last life that has made all its calls.
    idle: Arc<AtomicU64>,
}

impl World {
    fn random(&self) -> u64 {
        let step = |old: u64| Some(old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap_or_default() >> 33
    }

    /// One life of a node: calls that end, an outbox over a receiver that fails three times of ten, hours that fly.
    async fn live(self, life: u128, calls: u128) {
        let now = || Moment(self.clock.load(Ordering::SeqCst));
        let settings = StoreSettings { path: self.folder.clone(), node: String::from("a"), shared: None };
        let Opened { store, reader, .. } = loop {
            match Store::open(settings.clone(), now()).await {
                Ok(opened) => break opened,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        store.release_outbox(now()).await.unwrap();
        configure(&store).await;
        store.put_webhook(webhook("h", Topics::All)).await.unwrap();
        let (told, mut drain) = mpsc::channel(1000);
        tokio::spawn(async move { while drain.recv().await.is_some() {} });
        let (world, hands, tasks) = (self.clone(), Arc::clone(&self.clock), Tasks::new());
        let answer = move |telling: &Telling| {
            // Never so often that a message is given up: that is another test's.
            if world.random() % 10 < 3 && telling.attempt < 6 {
                return failed();
            }
            *world.heard.lock().unwrap().entry(telling.id.clone()).or_default() += 1;
            Told::Heard { status: 200 }
        };
        let desk = Desk {
            store: store.clone(),
            reader,
            notifier: Arc::new(Receiver { answer: Box::new(answer), hanging: None, told }),
            clock: Clock::new(move || Moment(hands.load(Ordering::SeqCst))),
            entropy: Entropy::seeded([7; 32]),
            tasks: tasks.clone(),
        };
        tasks.spawn(Outbox::new(desk).run());
        for call in 0..calls {
            let plan = plan(life * 1000 + call, now());
            let id = plan.id;
            let admission =
                Admission { plan, idempotency: None, endpoint: None, alias: None, patience: Patience::AnyPlace };
            store.admit(admission, now()).await.unwrap();
            self.owed.lock().unwrap().push(format!("msg_{id}_1"));
            store.finish(id, now(), Ending::from(HangupCause::Busy)).await.unwrap();
            self.owed.lock().unwrap().push(format!("msg_{id}_2"));
        }
        self.idle.store(life as u64, Ordering::SeqCst);
        loop {
            // Far less than the five days after which the endpoint would be switched off.
            self.clock.fetch_add(600_000, Ordering::SeqCst);
            store.outbox_bell().notify_one();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// BARS R20, small: nothing that was acknowledged is lost, whenever the node dies. `cargo xtask webhookloop` does it to a real
/// server, with ten thousand events.
#[test]
fn nothing_is_lost_over_kills() {
    kill_loop(7, 25);
}

fn kill_loop(kills: u128, calls: u128) {
    let folder = tempfile::tempdir().expect("a directory");
    let world = World {
        folder: folder.path().to_owned(),
        clock: Arc::new(AtomicI64::new(START)),
        random: Arc::new(AtomicU64::new(42)),
        owed: Arc::default(),
        heard: Arc::default(),
        idle: Arc::new(AtomicU64::new(u64::MAX)),
    };
    for life in 0..=kills {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running = runtime.spawn(world.clone().live(life, calls));
        let last = life == kills;
        let (began, kill) = (std::time::Instant::now(), Duration::from_millis(100 + world.random() % 200));
        let done = || {
            let (owed, heard) = (world.owed.lock().unwrap(), world.heard.lock().unwrap());
            world.idle.load(Ordering::SeqCst) == life as u64 && owed.iter().all(|message| heard.contains_key(message))
        };
        while if last { !done() } else { began.elapsed() < kill } {
            assert!(!running.is_finished() && began.elapsed() < Duration::from_secs(60), "life {life} does not get on");
            std::thread::sleep(Duration::from_millis(5));
        }
        runtime.shutdown_background();
    }
    let (owed, heard) = (world.owed.lock().unwrap(), world.heard.lock().unwrap());
    assert!(owed.len() >= 50 && owed.iter().all(|message| heard.contains_key(message)));
}
