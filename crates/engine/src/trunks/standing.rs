//! What is known about one trunk beside its configuration: who holds its channels, when the next call may leave, whether
//! it answers, whether it asked for a rest. Shared by its calls and its [`super::keeper`]. Never talks to anybody.

use super::pace::Pace;
use super::shared::SharedTurns;
use super::status::{RegistrationStatus, TrunkHealth, TrunkStatus};
use crate::limits::CLAIM_EVERY;
use callwright_domain::agent::Switch;
use callwright_domain::{AccountId, CallId, Moment, TrunkId};
use callwright_store::{Channel, StoreError, Trunk};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Questions without an answer after which a trunk is out (BARS R58).
const MISSES: u32 = 2;

/// Whose trunk, and which.
pub(crate) type TrunkKey = (AccountId, TrunkId);

/// One trunk as its calls see it.
#[derive(Debug)]
pub(crate) struct Standing {
    key: TrunkKey,
    state: Mutex<State>,
    /// Held while a paced INVITE leaves, so that two cannot leave at once.
    gate: tokio::sync::Mutex<()>,
    /// Rung when a channel is given back that somebody may wait for.
    freed: Arc<Notify>,
    /// The turns that it shares with other nodes.
    turns: Option<SharedTurns>,
}

#[derive(Debug)]
struct State {
    enabled: Switch,
    max_calls: u32,
    pace: Pace,
    calls: u32,
    /// The nodes' calls together have all its channels: it is not asked before then.
    full_until: Option<Instant>,
    health: TrunkHealth,
    misses: u32,
    rests_until: Option<Moment>,
    registration: RegistrationStatus,
}

/// Whether calls go through a trunk, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    /// They do.
    Fit,
    /// It does not answer; it is tried when there is no better one.
    Silent,
    /// It asked for a rest until then; nobody disturbs it.
    Resting(Moment),
    /// It is switched off or removed.
    Off,
}

/// Why a call must wait for a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Busy {
    /// Every channel is taken: until one is given back.
    Full,
    /// The pace is kept, or other nodes have the channels: until then.
    Until(Instant),
}

impl Standing {
    /// A trunk about which nothing is known yet.
    pub(super) fn new(key: TrunkKey, freed: Arc<Notify>, turns: Option<SharedTurns>) -> Self {
        let state = State {
            enabled: Switch::Off,
            max_calls: 0,
            pace: Pace::default(),
            calls: 0,
            full_until: None,
            health: TrunkHealth::Unchecked,
            misses: 0,
            rests_until: None,
            registration: RegistrationStatus::Off,
        };
        Self { key, state: Mutex::new(state), gate: tokio::sync::Mutex::default(), freed, turns }
    }

    /// Whose trunk, and which.
    pub(super) const fn key(&self) -> &TrunkKey {
        &self.key
    }

    /// Takes over what was configured; `None`: the trunk was removed.
    pub(super) fn configure(&self, trunk: Option<&Trunk>) {
        let mut state = self.lock();
        state.enabled = trunk.map_or(Switch::Off, |trunk| trunk.enabled);
        if let Some(trunk) = trunk {
            state.max_calls = trunk.settings.max_calls;
            state.pace.limit(trunk.settings.cps);
        }
        drop(state);
        // More may fit now.
        self.freed.notify_one();
    }

    /// Forgets what its answers said: it is another trunk under the same name now.
    pub(super) fn begin_anew(&self) {
        let mut state = self.lock();
        (state.health, state.misses, state.rests_until) = (TrunkHealth::Unchecked, 0, None);
        state.registration = RegistrationStatus::Off;
    }

    /// Whether calls go through it at the time.
    pub(super) fn fitness(&self, now: Moment) -> Fitness {
        let state = self.lock();
        match state.rests_until.filter(|until| *until > now) {
            _ if !state.enabled.is_on() => Fitness::Off,
            Some(until) => Fitness::Resting(until),
            None if state.health == TrunkHealth::Down => Fitness::Silent,
            None => Fitness::Fit,
        }
    }

    /// A channel and a turn for one call.
    pub(super) fn take(self: &Arc<Self>, now: Instant) -> Result<Passage, Busy> {
        let mut state = self.lock();
        if state.max_calls > 0 && state.calls >= state.max_calls {
            return Err(Busy::Full);
        }
        if let Some(again) = state.full_until.filter(|again| *again > now) {
            return Err(Busy::Until(again));
        }
        let turn = state.pace.reserve(now).map_err(Busy::Until)?;
        state.calls = state.calls.saturating_add(1);
        let held = Held { standing: Arc::clone(self), turn, channel: None };
        Ok(Passage { trunk: self.key.1.clone(), held: Some(held) })
    }

    /// A channel came back to all nodes: it may be asked for again.
    fn reopen(&self) {
        self.lock().full_until = None;
        self.freed.notify_one();
    }

    /// The turn of a call that is ready: its own, or the next that all nodes agree on. Meanwhile no other call is made ready.
    async fn common_turn(&self, own: Instant) -> Instant {
        let Some(turns) = &self.turns else { return own };
        let apart = self.lock().pace.apart();
        let Some(turn) = turns.next(apart).await else { return own };
        self.lock().pace.put_off(turn);
        turn.max(own)
    }

    /// It answered a question.
    pub(super) fn answered(&self) -> TrunkHealth {
        let mut state = self.lock();
        state.misses = 0;
        std::mem::replace(&mut state.health, TrunkHealth::Up)
    }

    /// It did not answer a question; what it is taken for now.
    pub(super) fn missed(&self) -> TrunkHealth {
        let mut state = self.lock();
        state.misses = state.misses.saturating_add(1);
        if state.misses >= MISSES {
            state.health = TrunkHealth::Down;
        }
        state.health
    }

    /// It asked to be left alone.
    pub(super) fn rest_until(&self, until: Moment) {
        let mut state = self.lock();
        state.rests_until = state.rests_until.max(Some(until));
    }

    /// Where its registration stands.
    pub(super) fn registration(&self, status: RegistrationStatus) {
        self.lock().registration = status;
    }

    /// Calls that hold a channel.
    pub(super) fn calls(&self) -> u32 {
        self.lock().calls
    }

    /// What people are shown.
    pub(super) fn status(&self, now: Moment) -> TrunkStatus {
        let state = self.lock();
        TrunkStatus {
            registration: state.registration.clone(),
            health: state.health,
            calls: state.calls,
            waiting: 0,
            rests_until: state.rests_until.filter(|until| *until > now),
        }
    }

    // A panic while the state was locked cannot leave it half-changed: what is done under the lock does not panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's channel on a trunk, and its turn to be dialled. The channel is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Passage {
    trunk: TrunkId,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    standing: Arc<Standing>,
    turn: Option<Instant>,
    /// What it has of the channels that all nodes share.
    channel: Option<Channel>,
}

impl Passage {
    /// A way through a trunk that is not known: dialling will say why it cannot be used.
    pub(super) const fn unknown(trunk: TrunkId) -> Self {
        Self { trunk, held: None }
    }

    /// Makes the channel this call's over all nodes; `false`: theirs are all taken, and this way leads nowhere for now. A
    /// trunk without a limit, and a node that is alone, need not ask.
    pub(crate) async fn claim(&mut self, call: CallId) -> Result<bool, StoreError> {
        let Some(held) = &mut self.held else { return Ok(true) };
        let most = held.standing.lock().max_calls;
        let Some(shared) = held.standing.turns.as_ref().filter(|_| most > 0) else { return Ok(true) };
        let channel = shared.channel(call);
        // Noted before it is asked for: an answer that is not heard must not leave it taken.
        held.channel = Some(channel.clone());
        let taken = shared.take(channel, most).await?;
        if !taken {
            held.channel = None;
            held.standing.lock().full_until = Some(Instant::now() + CLAIM_EVERY);
        }
        Ok(taken)
    }

    /// Gives the channel back now.
    pub(crate) fn give_back(&mut self) {
        let Some(Held { standing, channel, .. }) = self.held.take() else { return };
        let mut state = standing.lock();
        state.calls = state.calls.saturating_sub(1);
        if state.max_calls > 0 {
            standing.freed.notify_one();
        }
        drop(state);
        if let (Some(channel), Some(shared)) = (channel, &standing.turns) {
            let then = Arc::clone(&standing);
            shared.give_back(channel, move || then.reopen());
        }
    }

    /// Which trunk.
    pub(crate) const fn trunk(&self) -> &TrunkId {
        &self.trunk
    }

    /// Sends the INVITE when it is its turn.
    pub(crate) async fn in_turn<T>(&self, send: impl Future<Output = T>) -> T {
        let Some(Held { standing, turn: Some(turn), .. }) = &self.held else { return send.await };
        let _alone = standing.gate.lock().await;
        let turn = standing.common_turn(*turn).await;
        let clear = standing.lock().pace.clear_at(turn);
        sleep_until(clear).await;
        standing.lock().pace.leaves(Instant::now());
        let sent = send.await;
        standing.lock().pace.left(Instant::now());
        sent
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::outbox::tests::{account, configure, plan};
    use crate::tasks::Tasks;
    use callwright_store::{Admission, Opened, Patience, Store, StoreSettings, TrunkSettings};
    use std::time::Duration;
    use tokio::task::JoinSet;

    fn standing(cps: u32, max_calls: u32) -> Arc<Standing> {
        let key = (AccountId::new("acme").expect("id"), TrunkId::new("t").expect("id"));
        let standing = Standing::new(key.clone(), Arc::default(), None);
        let settings = TrunkSettings { cps, max_calls, ..TrunkSettings::default() };
        standing.configure(Some(&Trunk { id: key.1, settings, enabled: Switch::On }));
        Arc::new(standing)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_race_for_channels_never_takes_one_too_many() {
        let standing = standing(0, 7);
        let mut racers = JoinSet::new();
        for _ in 0..64 {
            let standing = Arc::clone(&standing);
            racers.spawn(async move {
                let mut got = 0_u32;
                for _ in 0..200 {
                    if let Ok(passage) = standing.take(Instant::now()) {
                        got += 1;
                        assert!(standing.calls() <= 7);
                        tokio::task::yield_now().await;
                        drop(passage);
                    }
                }
                got
            });
        }
        assert!(racers.join_all().await.iter().sum::<u32>() > 0);
        assert_eq!(standing.calls(), 0, "every channel came back");
    }

    #[tokio::test]
    async fn a_channel_comes_back_when_its_holder_panics() {
        let standing = standing(0, 1);
        let passage = standing.take(Instant::now()).expect("free");
        let fell = tokio::spawn(async move {
            let _held = passage;
            panic!("on purpose");
        });
        assert!(fell.await.is_err());
        assert!(standing.take(Instant::now()).is_ok());
    }

    /// BARS R58.
    #[test]
    fn two_misses_are_out_and_one_answer_is_back() {
        let standing = standing(0, 0);
        assert_eq!(standing.fitness(Moment(0)), Fitness::Fit, "innocent until asked");
        standing.missed();
        assert_eq!(standing.fitness(Moment(0)), Fitness::Fit);
        standing.answered();
        standing.missed();
        assert_eq!(standing.fitness(Moment(0)), Fitness::Fit, "misses in a row count");
        standing.missed();
        assert_eq!(standing.fitness(Moment(0)), Fitness::Silent);
        standing.answered();
        assert_eq!(standing.fitness(Moment(0)), Fitness::Fit);
    }

    #[test]
    fn a_rest_ends_by_itself_and_is_never_cut_short() {
        let standing = standing(0, 0);
        standing.rest_until(Moment(5000));
        standing.rest_until(Moment(3000));
        assert_eq!(standing.fitness(Moment(4999)), Fitness::Resting(Moment(5000)));
        assert_eq!(standing.fitness(Moment(5000)), Fitness::Fit);
        standing.configure(None);
        assert_eq!(standing.fitness(Moment(0)), Fitness::Off);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_sent_late_and_all_at_once_keep_the_pace() {
        let standing = standing(10, 0);
        let mut racers = JoinSet::new();
        for number in 0..30_u64 {
            let standing = Arc::clone(&standing);
            racers.spawn(async move {
                let passage = loop {
                    match standing.take(Instant::now()) {
                        Ok(passage) => break passage,
                        Err(Busy::Until(again)) => sleep_until(again).await,
                        Err(Busy::Full) => panic!("no limit of channels"),
                    }
                };
                // Making ready takes some of them longer than the turn was early.
                tokio::time::sleep(Duration::from_millis((number % 5) * 37)).await;
                passage.in_turn(async { Instant::now() }).await
            });
        }
        let mut sent = racers.join_all().await;
        sent.sort_unstable();
        let tight = sent.windows(11).filter(|eleven| eleven[10] - eleven[0] < Duration::from_secs(1)).count();
        assert_eq!(tight, 0, "{sent:?}");
        let took = sent[29] - sent[0];
        // Twenty-nine turns of a window's tenth; and each of the three windows may begin late by as much as the slowest
        // call is ready after its turn, which was handed out 40 ms early.
        let late = Duration::from_millis(148 - 40);
        let longest = Duration::from_millis(102) * 29 + late * 3;
        assert!(took <= longest, "{took:?} for 30 calls at 10 a second");
    }

    /// Two nodes on one database, which is asked by each for every call.
    #[tokio::test]
    async fn nodes_that_share_a_trunk_have_no_more_channels_than_one() {
        let start = Moment(1_700_000_000_000);
        let Opened { store, .. } = Store::open(StoreSettings::in_memory("a"), start).await.expect("a store");
        configure(&store).await;
        for id in 0..12 {
            let plan = plan(id, start);
            let patience = Patience::AnyPlace;
            let admission = Admission { plan, idempotency: None, endpoint: None, alias: None, patience };
            store.admit(admission, start).await.expect("admitted");
        }
        let due = store.claim_due(start, 12).await.expect("readable");
        let key = (account(), TrunkId::new("t").expect("id"));
        let settings = TrunkSettings { max_calls: 3, ..TrunkSettings::default() };
        let trunk = Trunk { id: key.1.clone(), settings, enabled: Switch::On };
        let freed = Arc::new(Notify::new());
        let node = || {
            let turns = SharedTurns::new(store.clone(), key.clone(), Clock::new(move || start), Tasks::new());
            let standing = Arc::new(Standing::new(key.clone(), Arc::clone(&freed), Some(turns)));
            standing.configure(Some(&trunk));
            standing
        };
        let nodes = [node(), node()];
        let mut held = Vec::new();
        for (place, call) in due.iter().enumerate() {
            let Ok(mut passage) = nodes[place % 2].take(Instant::now()) else { continue };
            if passage.claim(call.id).await.expect("asked") {
                held.push(passage);
            }
        }
        assert_eq!(held.len(), 3, "of both together");
        assert!(nodes.iter().all(|node| node.calls() < 3), "it is not this node that is full");
        // One comes back, and is anybody's once that is written.
        held.pop();
        let mut another = None;
        while another.is_none() {
            // Let go: whether the bell rang or the time is over, it is asked again, as the dialer does.
            tokio::time::timeout(CLAIM_EVERY, freed.notified()).await.ok();
            let Ok(mut passage) = nodes[0].take(Instant::now()) else { continue };
            another = passage.claim(due[11].id).await.expect("asked").then_some(passage);
        }
    }
}
