//! Takes calls that are due from the queue, by lease, and starts a [`LiveCall`] for each while the node has room and a
//! trunk will carry it. A call whose trunk is full, paced or resting waits in line and is lost to nobody: it stays queued
//! until it starts. Never waits for a call: a live call is a task of its own.

use crate::calls::HangUp;
use crate::failpoint::Failpoint;
use crate::limits::{CLAIM_BATCH, CLAIM_EVERY, WAITING_CALLS};
use crate::live::{CampaignTurn, LiveCall, Order};
use crate::node::Node;
use crate::peers::{self, PeerMessage, PeerOrder};
use crate::registry::Ordered;
use crate::trunks::{Passage, Pick};
use callwright_domain::{AccountId, CallId, CallPlan, HangupCause};
use callwright_store::{Permit, Seat, StoreError};
use futures_util::future::join_all;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tracing::{Instrument, error, info, info_span, warn};

/// The loop that claims and starts.
pub(crate) struct Dialer {
    node: Arc<Node>,
}

/// Why the dialer looks up.
enum Occasion {
    /// New calls may be due.
    Due,
    /// A waiting call may find a way.
    Way,
}

impl Dialer {
    /// A dialer of this node.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Claims until the node stops.
    pub(crate) async fn run(self) {
        let stop = self.node.tasks.stopping();
        let (mut claim_at, mut look_at) = (Instant::now(), Instant::now());
        let mut way_at = None;
        loop {
            let occasion = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.node.bell.notified() => Occasion::Due,
                () = time::sleep_until(claim_at) => Occasion::Due,
                () = self.node.trunks.freed.notified() => Occasion::Way,
                () = time::sleep_until(way_at.unwrap_or(claim_at)) => Occasion::Way,
            };
            if self.node.is_draining() {
                self.give_back().await;
                claim_at = Instant::now() + CLAIM_EVERY;
                way_at = None;
                continue;
            }
            if !self.node.may_dial() {
                claim_at = Instant::now() + CLAIM_EVERY;
                way_at = None;
                continue;
            }
            self.end_expired().await;
            // Who waits already goes first: the room that is left is for new ones.
            way_at = self.start_waiting().await;
            if matches!(occasion, Occasion::Due) {
                // However often the bell rings.
                let by_the_clock = Instant::now() >= look_at;
                if by_the_clock {
                    look_at = Instant::now() + CLAIM_EVERY;
                    self.end_unjoined().await;
                }
                // Who waits for a place on another node's account is seen at the next look by the clock.
                if by_the_clock || self.node.waiting.places_are_wanted() {
                    self.seat().await;
                }
                claim_at = Instant::now() + CLAIM_EVERY;
                self.claim().await;
                way_at = self.start_waiting().await;
            }
        }
    }

    /// How many calls more may be live here.
    fn room(&self) -> usize {
        let most = usize::try_from(self.node.policy.max_calls).unwrap_or(usize::MAX);
        most.saturating_sub(self.node.registry.len())
    }

    /// Gives places that got free to those who wait for one, in their order, and ends whose patience is over.
    async fn seat(&self) {
        let now = self.node.clock.now();
        let waiting = match self.node.reader.waiting(now).await {
            Ok(waiting) => waiting,
            Err(error) => return error!(%error, "those who wait for a place could not be read"),
        };
        self.node.waiting.want_places(!waiting.lines.is_empty());
        for (account, call) in waiting.late {
            match self.node.store.give_up(account, call, now).await {
                Ok(seat) => self.node.seated(seat),
                Err(error) => error!(%call, %error, "a call whose patience is over could not be ended"),
            }
        }
        for line in waiting.lines {
            // Bounded, so that one long line does not keep the others from their turn.
            for _ in 0..CLAIM_BATCH {
                match self.node.store.seat(line.clone(), now).await {
                    Ok(Seat::Full | Seat::Nobody) => break,
                    Ok(seat) => self.node.seated(seat),
                    Err(error) => {
                        error!(%error, "a place could not be given to who waits for it");
                        break;
                    }
                }
            }
        }
    }

    async fn claim(&self) {
        let free = self.room().min(WAITING_CALLS.saturating_sub(self.node.waiting.len()));
        let batch = u32::try_from(free.min(CLAIM_BATCH)).unwrap_or(0);
        if batch == 0 {
            return;
        }
        match self.node.store.claim_due(self.node.clock.now(), batch).await {
            Ok(plans) => {
                if plans.len() == CLAIM_BATCH {
                    // More may wait: look again at once.
                    self.node.bell.notify_one();
                }
                if !plans.is_empty() {
                    self.node.tasks.reach(Failpoint::Claimed).await;
                }
                for plan in plans {
                    self.node.waiting.push(plan);
                }
            }
            Err(error) => error!(%error, "due calls could not be claimed"),
        }
        for choice in self.node.waiting.lines() {
            if let Err(error) = self.node.trunks.look_up(&choice).await {
                error!(%error, "the trunks of waiting calls could not be read");
            }
        }
    }

    /// Starts every waiting call that finds a way; when the next one may.
    async fn start_waiting(&self) -> Option<Instant> {
        let (lines, mut soonest) = self.ways();
        let claimed = join_all(lines.into_iter().map(claim)).await;
        for Claimed { go, stay } in claimed {
            for (plan, passage) in go {
                self.start(plan, passage);
            }
            if !stay.is_empty() {
                let again = Instant::now() + CLAIM_EVERY;
                soonest = Some(soonest.map_or(again, |soonest| soonest.min(again)));
            }
            for plan in stay.into_iter().rev() {
                self.node.waiting.put_back(plan);
            }
        }
        soonest
    }

    /// The waiting calls of each line that find a way on this node, taken out of it; when the next one may.
    fn ways(&self) -> (Vec<Ready>, Option<Instant>) {
        let (mut lines, mut soonest, mut room): (_, Option<Instant>, _) = (Vec::new(), None, self.room());
        for choice in self.node.waiting.lines() {
            let mut ready = Ready::new();
            while room > 0 {
                match self.node.trunks.pick(&choice.0, &choice.1) {
                    Pick::Take(passage) => match self.node.waiting.pop(&choice) {
                        Some(plan) => {
                            ready.push((plan, passage));
                            room -= 1;
                        }
                        None => break,
                    },
                    Pick::Wait(until) => {
                        soonest = match (soonest, until) {
                            (Some(soonest), Some(until)) => Some(soonest.min(until)),
                            (soonest, until) => soonest.or(until),
                        };
                        break;
                    }
                }
            }
            lines.push(ready);
        }
        (lines, soonest)
    }

    async fn end_expired(&self) {
        for plan in self.node.waiting.expired(self.node.clock.now()) {
            end(&self.node, &plan.account, plan.id, HangupCause::Expired).await;
        }
    }

    /// Ends the calls that nobody joined in time. Every node does; the first end stands.
    async fn end_unjoined(&self) {
        match self.node.reader.unjoined(self.node.clock.now()).await {
            Ok(unjoined) => {
                for (account, call) in unjoined {
                    end(&self.node, &account, call, HangupCause::NotJoined).await;
                }
            }
            Err(error) => error!(%error, "calls that nobody joined could not be read"),
        }
    }

    /// The node takes no new calls: another one, or the next life of this one, may have those that wait.
    async fn give_back(&self) {
        let waiting: Vec<CallId> = self.node.waiting.clear().into_iter().map(|plan| plan.id).collect();
        if !waiting.is_empty()
            && let Err(error) = self.node.store.unclaim(waiting).await
        {
            error!(%error, "waiting calls could not be given back; the next start finds them");
        }
    }

    fn start(&self, plan: CallPlan, passage: Passage) {
        let node = Arc::clone(&self.node);
        let call = plan.id;
        let account = plan.account.clone();
        let span = info_span!("call", id = %call);
        let after = Arc::clone(&node);
        let tasks = node.tasks.clone();
        let (orders, place) = LiveCall::enter(&node, &account, call);
        let work = async move {
            let _place = place;
            judged(&node, LiveCall::beginning(Arc::clone(&node), plan, orders), passage).await;
            node.place_freed();
        };
        tasks.spawn_guarded(work.instrument(span), move |said| async move {
            error!(%call, panic = said, "a call's task panicked; the call is ended");
            end(&after, &account, call, HangupCause::InternalError).await;
        });
    }
}

/// Calls of one line, in their order, and the ways that they have found.
type Ready = Vec<(CallPlan, Passage)>;

/// What became of calls that asked for channels which several nodes share.
struct Claimed {
    go: Ready,
    /// They wait on, in their order.
    stay: Vec<CallPlan>,
}

/// Asks for the channels of a line's calls. The first asks alone: while other nodes have all channels, one question is
/// enough.
async fn claim(mut ready: Ready) -> Claimed {
    let rest = ready.split_off(ready.len().min(1));
    let mut claimed = Claimed { go: Vec::new(), stay: Vec::new() };
    for (plan, mut passage) in ready {
        claimed.note(plan.id, passage.claim(plan.id).await, (plan, passage));
    }
    if claimed.stay.is_empty() {
        let asked =
            rest.into_iter().map(|(plan, mut passage)| async move { (passage.claim(plan.id).await, (plan, passage)) });
        for (outcome, (plan, passage)) in join_all(asked).await {
            claimed.note(plan.id, outcome, (plan, passage));
        }
    } else {
        claimed.stay.extend(rest.into_iter().map(|(plan, _)| plan));
    }
    claimed
}

impl Claimed {
    fn note(&mut self, call: CallId, outcome: Result<bool, StoreError>, (plan, passage): (CallPlan, Passage)) {
        match outcome {
            Ok(true) => self.go.push((plan, passage)),
            Ok(false) => self.stay.push(plan),
            Err(error) => {
                warn!(%call, %error, "a trunk's channel could not be asked for; the call waits");
                self.stay.push(plan);
            }
        }
    }
}

/// Runs a call if the rules still allow it when its turn comes: what was accepted may have been forbidden while it waited.
async fn judged(node: &Arc<Node>, mut live: LiveCall, passage: Passage) {
    let (account, call) = (live.plan().account.clone(), live.plan().id);
    match live.campaign_turn().await {
        CampaignTurn::Come => {}
        CampaignTurn::Over(cause) if cause != HangupCause::ServerShutdown => {
            return end(node, &account, call, cause).await;
        }
        CampaignTurn::Over(_) | CampaignTurn::Draining => return put_back(node, &account, live).await,
    }
    if live.plan().deadline.is_some_and(|deadline| deadline < node.clock.now()) {
        return end(node, &account, call, HangupCause::Expired).await;
    }
    match node.store.permit(live.plan().clone(), node.clock.now()).await {
        Ok(Permit::Granted) => {
            node.tasks.reach(Failpoint::Permitted).await;
            live.run(passage).await;
        }
        Ok(Permit::Withdrawn) => {
            info!("not dialled: its campaign does not dial now");
            end(node, &account, call, HangupCause::Cancelled).await;
        }
        Ok(Permit::Refused(refusal)) => {
            info!(rule = refusal.id(), "not dialled: the rules forbid it");
            end(node, &account, call, HangupCause::of_refusal(refusal)).await;
        }
        Ok(Permit::Over) => {}
        Ok(permit @ (Permit::Moved | Permit::Later(_) | Permit::Waits(_))) => {
            // Another number's trunk may be another one: it is taken from the queue again, with a passage through that.
            if permit == Permit::Moved {
                drop(passage);
                node.bell.notify_one();
            }
            // It is nobody's by now, and may even be another node's.
            if is_to_end(&mut live.into_orders()).await {
                let message = PeerMessage { account, call, order: PeerOrder::HangUp(HangUp::Now) };
                if let Err(error) = peers::order(node, message).await {
                    error!(%call, %error, "a call that was put off could not be ended");
                }
            }
        }
        Err(error) => {
            error!(%call, %error, "a due call could not be judged; it is tried again");
            put_back(node, &account, live).await;
        }
    }
}

/// Gives a call back to the queue, unless it is to end.
async fn put_back(node: &Node, account: &AccountId, live: LiveCall) {
    let plan = live.plan().clone();
    if is_to_end(&mut live.into_orders()).await {
        return end(node, account, plan.id, HangupCause::Cancelled).await;
    }
    if let Err(error) = node.store.unclaim(vec![plan.id]).await {
        // It is still ours, and nobody else looks at it.
        warn!(call = %plan.id, %error, "the call could not be given back; it waits here");
        node.waiting.put_back(plan);
    }
}

/// Whether a call that does not come to life here has been told to end. From here on nobody can tell it anything: who
/// tries finds it in the queue.
async fn is_to_end(orders: &mut mpsc::Receiver<Ordered>) -> bool {
    orders.close();
    let mut ends = false;
    // Ends when nobody is in the middle of telling, either.
    while let Some(Ordered { order, .. }) = orders.recv().await {
        ends |= matches!(order, Order::HangUp(_));
    }
    ends
}

async fn end(node: &Node, account: &AccountId, call: CallId, cause: HangupCause) {
    if let Err(error) = node.end(account, call, cause).await {
        error!(%call, %error, "the end of a call could not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is told that a call has the order was heard; everybody else is told that it is not live, and looks for it in
    /// the queue. Nobody falls in between.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_order_is_taken_whole_or_refused() {
        for race in 0..2000 {
            let (sender, mut orders) = mpsc::channel(4);
            sender.try_send(Ordered::unheeded(Order::Hear(String::from("hello").into()))).expect("there is room");
            let telling =
                tokio::spawn(async move { sender.try_send(Ordered::unheeded(Order::HangUp(HangUp::Now))).is_ok() });
            if race % 2 == 0 {
                tokio::task::yield_now().await;
            }
            let ended = is_to_end(&mut orders).await;
            assert_eq!(telling.await.expect("it does not panic"), ended, "race {race}");
        }
    }
}
