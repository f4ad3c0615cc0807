//! Everything around the simulated node: the network with its weather, the trunk with its telephones, the receiver of
//! callbacks, the disk, the wall clock, and the log of what happened. It outlives the node's deaths. What is done with it
//! is done at a time of its own, in milliseconds since the beginning; it never sleeps in a life's stead.

use super::dice::Dice;
use super::script::{Death, DeathCause, Script};
use super::telephone::{Act, Head, Stage, Telephone, Temper, Timer};
use callwright_domain::{CallId, Moment};
use callwright_engine::Failpoint;
use callwright_net::{Air, Datagram, Wire};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// The node's address.
pub(super) const NODE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5060);
/// The trunk's address.
pub(super) const TRUNK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 5060);
/// When the world begins by the wall clock.
const EPOCH: i64 = 1_700_000_000_000;
/// How long a call that was judged may take until its INVITE leaves.
const UNDER_WAY: u64 = 1_000;
/// First media port of the telephones.
const FIRST_MEDIA: u16 = 30_000;

/// What is going to happen.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// A datagram of the node comes to the trunk.
    Arrive(Datagram),
    /// A datagram comes to the node.
    Deliver(Datagram),
    /// A telephone looks again.
    Ring(String, Timer),
    /// The wall clock jumps.
    Jump(i64),
    /// A client makes the request of that number.
    Ask(usize),
    /// A client hangs up the call of that request.
    HangUp(usize),
    /// A client puts the callee of that request on the deny list.
    Deny(usize),
    /// The node dies.
    Die,
    /// All trouble ends.
    Calm,
}

/// What a client knows of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it was not made, or no answer came.
    Nothing,
    /// The call it made.
    Accepted(CallId),
    /// It was refused, and no call exists.
    Refused,
}

/// One message as the receiver heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) id: String,
    pub(super) call: CallId,
    pub(super) seq: u64,
}

/// The world. Shared by the node's parts and whoever watches.
pub(super) struct World {
    state: Mutex<State>,
    changed: Notify,
    died: Notify,
}

pub(super) struct State {
    pub(super) script: Script,
    dice: Dice,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    /// The beginning of the present life, by its own clock and by ours.
    life: Option<(Instant, u64)>,
    now: u64,
    pub(super) calm: bool,
    wall: Wall,
    fate: Fate,
    wires: Option<(Wire, Wire)>,
    media_sent: u64,
    pub(super) telephones: BTreeMap<String, Telephone>,
    /// Call-ID and `From` of each INVITE that begins a call, by callee: a second call may bear the first one's Call-ID.
    pub(super) dialled: BTreeMap<String, BTreeSet<String>>,
    pub(super) answers: Answers,
    /// Calls of this life that hold a place for certain, as the wire shows it.
    up: BTreeSet<String>,
    pub(super) known: Vec<Known>,
    /// When clients heard that the callees of these requests are on the deny list.
    denied: BTreeMap<usize, u64>,
    pub(super) heard: Vec<Heard>,
    pub(super) faults: Vec<String>,
    log: Vec<String>,
}

/// What the node was answered.
#[derive(Default)]
pub(super) struct Answers {
    /// When it first heard of each answer.
    pub(super) heard: BTreeMap<String, u64>,
    /// Far ends that answered while the disk was full, and the node died before there was room: nothing could be written of
    /// them, and the next life cannot know them.
    unwritten: BTreeSet<String>,
}

/// How far the wall clock is from the simulated time, in milliseconds.
#[derive(Default)]
struct Wall {
    shift: i64,
    /// The furthest that it was ever ahead.
    most: i64,
}

/// Whether the node lives, and what it will die of.
#[derive(Default)]
struct Fate {
    powered: bool,
    deaths: VecDeque<Death>,
    /// How often this life passed each failpoint.
    reached: BTreeMap<Failpoint, u64>,
    /// SIP messages that this life sent.
    sent: u64,
}

impl World {
    /// The world of a script, before anything happened.
    pub(super) fn new(script: Script) -> Arc<Self> {
        let mut state = State {
            dice: Dice::new(script.seed ^ 0x5eed),
            queue: BTreeMap::new(),
            queued: 0,
            life: None,
            now: 0,
            calm: false,
            wall: Wall::default(),
            fate: Fate { deaths: script.deaths.iter().copied().collect(), ..Fate::default() },
            wires: None,
            media_sent: 0,
            telephones: BTreeMap::new(),
            dialled: BTreeMap::new(),
            answers: Answers::default(),
            up: BTreeSet::new(),
            known: vec![Known::Nothing; script.requests.len()],
            denied: BTreeMap::new(),
            heard: Vec::new(),
            faults: Vec::new(),
            log: Vec::new(),
            script,
        };
        state.plan();
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), died: Notify::new() })
    }

    // A panic while the state was locked is a defect of the simulation itself and ends it.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.look_at_the_clock();
        state
    }

    /// The wall clock.
    pub(super) fn wall(&self) -> Moment {
        let state = self.lock();
        Moment(EPOCH + i64::try_from(state.now).unwrap_or(i64::MAX) + state.wall.shift)
    }

    /// A life begins, now by the runtime's clock.
    pub(super) fn begin_life(&self, wires: (Wire, Wire)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.life = Some((Instant::now(), state.now));
        (state.fate.powered, state.wires) = (true, Some(wires));
        (state.fate.sent, state.fate.reached) = (0, BTreeMap::new());
        state.up.clear();
        state.note("the node begins to live");
        if let Some(DeathCause::At(after)) = state.fate.deaths.front().map(|death| death.cause) {
            state.later(after, Happening::Die);
        }
        let open: Vec<usize> = (0..state.known.len()).filter(|number| state.is_owed(*number)).collect();
        for number in open {
            // Whoever got no answer asks again.
            state.later(200, Happening::Ask(number));
        }
        for (number, at) in state.denials() {
            if at <= state.now && !state.denied.contains_key(&number) {
                state.later(200, Happening::Deny(number));
            }
        }
    }

    /// The life is over; the world goes on without a node until another begins.
    pub(super) fn end_life(&self) {
        let mut state = self.lock();
        (state.life, state.wires, state.fate.powered) = (None, None, false);
        let down = state.fate.deaths.pop_front().map_or(0, |death| death.down);
        let until = state.now + down;
        while let Some((at, happening)) = state.due(until) {
            state.now = state.now.max(at);
            state.happen(happening);
        }
        state.now = until;
    }

    /// Lets time pass and things happen as long as the life lasts. What clients do is handed to `client`.
    pub(super) async fn play(self: Arc<Self>, client: impl Fn(Happening)) {
        loop {
            let next = {
                let state = self.lock();
                let (born, at) = state.life.expect("the world is played in a life");
                let next = state.queue.keys().next().map(|(time, _)| time.saturating_sub(at));
                next.map(|after| born + Duration::from_millis(after))
            };
            let pause = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = pause => {}
            }
            loop {
                let mut state = self.lock();
                let until = state.now;
                match state.due(until) {
                    None => break,
                    Some((_, happening @ (Happening::Ask(_) | Happening::HangUp(_) | Happening::Deny(_)))) => {
                        drop(state);
                        client(happening);
                    }
                    Some((_, Happening::Die)) => {
                        state.die("its time has come");
                        self.died.notify_one();
                    }
                    Some((_, happening)) => state.happen(happening),
                }
            }
        }
    }

    /// Until the node dies.
    pub(super) async fn died(&self) {
        self.died.notified().await;
    }

    /// Whether the node lives: nothing that a dead one does may be seen.
    pub(super) fn is_powered(&self) -> bool {
        self.lock().fate.powered
    }

    /// A failpoint of the node; never returns when the node dies there.
    pub(super) async fn reach(&self, point: Failpoint) {
        if self.lock().is_deadly(point) {
            self.died.notify_one();
        }
        self.wait_for_power().await;
    }

    /// Goes on only while the node lives.
    pub(super) async fn wait_for_power(&self) {
        if !self.is_powered() {
            std::future::pending::<()>().await;
        }
    }

    /// Sleeps for up to so many milliseconds, and for ever when the node dies meanwhile.
    pub(super) async fn pass(&self, most: u64) {
        let time = {
            let mut state = self.lock();
            if state.calm { 0 } else { state.dice.from(0, most) }
        };
        if time > 0 {
            // The story's own clock: it stands still while anybody has something to do, and then leaps.
            tokio::time::sleep(Duration::from_millis(time)).await;
        }
        self.wait_for_power().await;
    }

    /// Whether something that happens so many times of a hundred happens now. Not in calm weather.
    pub(super) fn strikes(&self, percent: u64) -> bool {
        let mut state = self.lock();
        !state.calm && percent > 0 && state.dice.chance(percent)
    }

    /// Puts something off.
    pub(super) fn later(&self, after: u64, happening: Happening) {
        self.lock().later(after, happening);
        self.changed.notify_one();
    }

    /// Writes a line into the log.
    pub(super) fn note(&self, line: &str) {
        self.lock().note(line);
    }

    /// Something is as it must not be.
    pub(super) fn fault(&self, what: String) {
        let mut state = self.lock();
        state.note(&format!("FAULT {what}"));
        state.faults.push(what);
    }

    /// Moves the wall clock.
    pub(super) fn jump(&self, by: i64) {
        self.lock().happen(Happening::Jump(by));
    }

    /// The whole log, a line each.
    pub(super) fn log(&self) -> String {
        self.lock().log.join("\n")
    }
}

impl Air for World {
    fn carry(&self, datagram: Datagram) {
        let mut state = self.lock();
        if !state.fate.powered {
            return;
        }
        if datagram.from != NODE {
            // Media is heard by nobody; that it was sent the same each time is enough.
            state.media_sent += 1;
            return;
        }
        state.leaves(datagram);
        drop(state);
        self.changed.notify_one();
    }
}

impl State {
    /// Puts everything into the queue that is known before.
    fn plan(&mut self) {
        let script = self.script.clone();
        for (number, request) in script.requests.iter().enumerate() {
            self.later(request.at, Happening::Ask(number));
            if let Some(after) = request.hang_up_after {
                self.later(request.at + after, Happening::HangUp(number));
            }
        }
        for (number, at) in self.denials() {
            self.later(at, Happening::Deny(number));
        }
        for (at, by) in &script.jumps {
            self.later(*at, Happening::Jump(*by));
        }
        self.later(script.calm, Happening::Calm);
    }

    /// The requests whose callees are put on the deny list, and when.
    fn denials(&self) -> Vec<(usize, u64)> {
        let requests = self.script.requests.iter().enumerate();
        requests.filter_map(|(number, request)| Some((number, request.at + request.terms.denied_after?))).collect()
    }

    /// A client has heard that the callee of a request is on the deny list.
    pub(super) fn denied(&mut self, number: usize) {
        let now = self.now;
        self.denied.entry(number).or_insert(now);
    }

    /// Whether the disk has no room. While a node starts it has: one that finds none does not start.
    pub(super) fn disk_is_full(&self) -> bool {
        let young = self.life.is_none_or(|(_, born)| self.now < born + 2_000);
        let full = self.script.disk.full.is_some_and(|(from, until)| (from..until).contains(&self.now));
        full && !young && !self.calm
    }

    fn look_at_the_clock(&mut self) {
        // Between two lives the clock at hand is the real one, and a life that died young may have taken longer by it.
        if let Some((born, at)) = self.life.filter(|_| Handle::try_current().is_ok()) {
            let lived = u64::try_from(born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.now = self.now.max(at + lived);
        }
    }

    /// Milliseconds since the beginning.
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    fn later(&mut self, after: u64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + after, self.queued), happening);
    }

    fn due(&mut self, until: u64) -> Option<(u64, Happening)> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= until)?;
        let ((at, _), happening) = first.remove_entry();
        Some((at, happening))
    }

    pub(super) fn note(&mut self, line: &str) {
        self.log.push(format!("{:>7} {line}", self.now));
    }

    /// Whether a request's client still waits for an answer.
    fn is_owed(&self, number: usize) -> bool {
        let made = self.script.requests.get(number).is_some_and(|request| request.at <= self.now);
        made && self.known.get(number) == Some(&Known::Nothing)
    }

    fn is_deadly(&mut self, point: Failpoint) -> bool {
        if !self.fate.powered {
            return false;
        }
        let times = self.fate.reached.entry(point).or_default();
        *times += 1;
        let deadly = self.fate.deaths.front().map(|death| death.cause) == Some(DeathCause::Point(point, *times));
        if deadly {
            self.die(&format!("{point:?}"));
        }
        deadly
    }

    fn die(&mut self, of: &str) {
        if self.fate.powered {
            self.fate.powered = false;
            if let Some((full, _)) = self.script.disk.full.filter(|_| self.disk_is_full()) {
                // One that is answered may be written as long as the last commit before took.
                let late = self.answers.heard.iter().filter(|(_, at)| **at + UNDER_WAY >= full);
                self.answers.unwritten.extend(late.map(|(id, _)| id.clone()));
            }
            self.note(&format!("the node dies: {of}"));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive(datagram) => self.arrives(&datagram),
            Happening::Deliver(datagram) => self.delivers(datagram),
            Happening::Ring(call, timer) => {
                let acts = self.telephones.get_mut(&call).map(|telephone| telephone.wake(timer)).unwrap_or_default();
                self.act(&call, acts);
            }
            Happening::Jump(by) => {
                self.wall.shift += by;
                self.wall.most = self.wall.most.max(self.wall.shift);
                self.note(&format!("the wall clock jumps by {by} ms"));
            }
            Happening::Calm => {
                self.calm = true;
                // What was put off while the clock was ahead is due by that clock: the world waits until it is there.
                self.wall.shift = self.wall.most;
                self.fate.deaths.clear();
                self.note("calm");
            }
            // A client finds nobody; a node that is dead cannot die.
            Happening::Ask(_) | Happening::HangUp(_) | Happening::Deny(_) | Happening::Die => {}
        }
    }

    /// A SIP message leaves the node.
    fn leaves(&mut self, datagram: Datagram) {
        let head = Head::cut(&datagram.bytes);
        self.note(&format!("> {} {} {}", head.start, head.of("call-id"), digest(&datagram.bytes)));
        self.watch_leaving(&head);
        self.travel(datagram, Happening::Arrive);
        self.fate.sent += 1;
        if self.fate.deaths.front().map(|death| death.cause) == Some(DeathCause::Sent(self.fate.sent)) {
            // What leaves in the same moment leaves whole.
            self.later(0, Happening::Die);
        }
    }

    /// What the rules say about each message that leaves.
    fn watch_leaving(&mut self, head: &Head) {
        let id = head.of("call-id").to_owned();
        match head.method() {
            "INVITE" if !head.of("to").contains(";tag=") => {
                let number = super::life::request_of(head.user());
                let most = number.and_then(|number| self.script.requests.get(number));
                let most = most.map_or(1, |request| request.terms.most_calls());
                let ids = self.dialled.entry(head.user().to_owned()).or_default();
                let fresh = ids.insert(format!("{id} {}", head.of("from")));
                let twice = ids.iter().filter(|known| known.split(' ').next() == Some(&id)).count() > 1;
                if twice || ids.len() > most {
                    let what = format!("{} is dialled more often than {most} times: {ids:?}", head.user());
                    self.broken(what);
                }
                let denied = number.and_then(|number| self.denied.get(&number).copied());
                if fresh && denied.is_some_and(|at| self.now > at + UNDER_WAY) {
                    let what = format!("{} is dialled, and was denied at {denied:?}", head.user());
                    self.broken(what);
                }
                // One that is only said again may have crossed its refusal on the way.
                if fresh {
                    self.up.insert(id);
                }
                let most = self.script.cap.min(self.script.room);
                if self.up.len() > most as usize {
                    self.broken(format!("{} calls at once, and only {most} may be", self.up.len()));
                }
            }
            "CANCEL" | "BYE" => {
                self.up.remove(&id);
            }
            _ => {}
        }
    }

    fn broken(&mut self, what: String) {
        self.note(&format!("FAULT {what}"));
        self.faults.push(what);
    }

    /// Sends a datagram through the weather.
    fn travel(&mut self, datagram: Datagram, how: impl Fn(Datagram) -> Happening) {
        let weather = self.script.weather;
        if self.calm {
            return self.later(2, how(datagram));
        }
        if self.dice.chance(weather.loss) {
            return self.note("  lost");
        }
        let copies = if self.dice.chance(weather.copies) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = self.dice.from(1, weather.delay);
            self.later(delay, how(datagram.clone()));
        }
    }

    /// A SIP message comes to the trunk.
    fn arrives(&mut self, datagram: &Datagram) {
        let head = Head::cut(&datagram.bytes);
        if head.method() == "OPTIONS" {
            let answer = head.answer(200, "trunk", TRUNK, "");
            return self.travel(Datagram { from: TRUNK, to: NODE, bytes: answer }, Happening::Deliver);
        }
        let id = head.of("call-id").to_owned();
        if head.method() == "INVITE" && !self.telephones.contains_key(&id) {
            let temper = self.temper(head.user());
            let media = FIRST_MEDIA + 2 * u16::try_from(self.telephones.len()).unwrap_or_default();
            let (telephone, acts) = Telephone::called(temper, head, (TRUNK, SocketAddr::new(TRUNK.ip(), media)));
            self.telephones.insert(id.clone(), telephone);
            return self.act(&id, acts);
        }
        if head.method() == "BYE" && self.now < self.script.deaf {
            return self.note("  unheard");
        }
        let acts = match self.telephones.get_mut(&id) {
            Some(telephone) => telephone.hear(&head),
            None if head.method().is_empty() || head.method() == "ACK" => Vec::new(),
            None => vec![Act::Send(head.answer(481, "trunk", TRUNK, ""))],
        };
        self.act(&id, acts);
    }

    /// The temper of the callee with that number.
    fn temper(&self, user: &str) -> Temper {
        let number = super::life::request_of(user);
        number
            .and_then(|number| self.script.requests.get(number))
            .map_or(Temper::Mute, |request| request.temper.clone())
    }

    fn act(&mut self, call: &str, acts: Vec<Act>) {
        for act in acts {
            match act {
                Act::Send(bytes) => {
                    let head = Head::cut(&bytes);
                    let final_failure = head.start.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
                    if head.method() == "BYE" || final_failure.is_some_and(|status| status >= 300) {
                        self.up.remove(call);
                    }
                    self.travel(Datagram { from: TRUNK, to: NODE, bytes }, Happening::Deliver);
                }
                Act::Speak(to, bytes) => self.later(3, Happening::Deliver(Datagram { from: TRUNK, to, bytes })),
                Act::Later(after, timer) => self.later(after, Happening::Ring(call.to_owned(), timer)),
            }
        }
        if self.telephones.get(call).is_some_and(|telephone| telephone.temper == Temper::Mute) {
            self.up.remove(call);
        }
    }

    fn delivers(&mut self, datagram: Datagram) {
        let Some((signalling, media)) = &self.wires else { return };
        if datagram.to == NODE {
            let head = Head::cut(&datagram.bytes);
            signalling.deliver(datagram.clone());
            if head.start.starts_with("SIP/2.0 200") && head.of("cseq").ends_with("INVITE") {
                self.answers.heard.entry(head.of("call-id").to_owned()).or_insert(self.now);
            }
            self.note(&format!("< {} {} {}", head.start, head.of("call-id"), head.of("cseq")));
        } else {
            media.deliver(datagram);
        }
    }

    /// Far ends that are still up or ringing.
    pub(super) fn ghosts(&self) -> Vec<String> {
        let alive = self.telephones.iter().filter(|(_, telephone)| {
            telephone.stage == Stage::Up && !matches!(telephone.temper, Temper::Vanishes(_) | Temper::Mute)
        });
        alive.map(|(id, _)| id.clone()).filter(|id| !self.answers.unwritten.contains(id)).collect()
    }

    /// Media packets that the node has sent.
    pub(super) const fn media_sent(&self) -> u64 {
        self.media_sent
    }
}

/// A short name for bytes.
fn digest(bytes: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}
