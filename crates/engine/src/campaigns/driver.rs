//! The loop that keeps campaigns going: claims those that nobody drives, holds those that may not dial now, launches as
//! many calls as there are lines for, closes those that are stopped and ends those that are through. Keeps nothing that a
//! crash could lose: a later life begins with the rows as they stand.

use super::launching::{Launcher, Trouble};
use crate::calls::{Calls, HangUp};
use crate::limits::{CAMPAIGN_CLAIM_EVERY, CAMPAIGN_GUARD_EVERY, CAMPAIGN_REST, CAMPAIGN_TICK, CLAIM_BATCH};
use crate::node::Node;
use callwright_domain::campaign::pacing::{Guard, Pacer, Supply, how_many};
use callwright_domain::campaign::{Campaign, CampaignState, Step, Stopped};
use callwright_domain::{CallId, CallState, Moment};
use callwright_store::{CampaignError, CampaignKey, StepOrder, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Instant, sleep};
use tracing::{debug, error, info, warn};

/// What the driver remembers of a campaign between two looks. All of it can be found out again.
struct Memory {
    pacer: Pacer,
    guard: Guard,
    guarded_at: Option<Instant>,
    /// It has met nothing but refusals, and is not tried before.
    rests_until: Option<Instant>,
}

/// The loop.
pub(crate) struct Driver {
    node: Arc<Node>,
    calls: Calls,
    began: Instant,
    claimed_at: Option<Instant>,
    memories: HashMap<CampaignKey, Memory>,
}

impl Driver {
    /// A driver of this node.
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let calls = Calls::new(Arc::clone(&node));
        Self { node, calls, began: Instant::now(), claimed_at: None, memories: HashMap::new() }
    }

    /// Drives until the node stops.
    pub(crate) async fn run(mut self) {
        let stop = self.node.tasks.stopping();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.node.pacing.bell.notified() => {}
                () = sleep(CAMPAIGN_TICK) => {}
            }
            if self.node.is_draining() {
                // Another node goes on with them, however long the calls that are up here take.
                match self.node.store.leave_campaigns().await {
                    Ok(_) => return,
                    Err(error) => {
                        error!(%error, "campaigns could not be given to other nodes; tried again");
                        continue;
                    }
                }
            }
            if let Err(error) = self.look().await {
                error!(%error, "campaigns could not be looked at");
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let now = self.node.clock.now();
        let me = self.node.store.identity().clone();
        let mut open = self.node.reader.open_campaigns().await?;
        let unclaimed = open.iter().any(|(_, owner)| owner.as_ref() != Some(&me));
        if unclaimed && self.claimed_at.is_none_or(|at| at.elapsed() >= CAMPAIGN_CLAIM_EVERY) {
            self.claimed_at = Some(Instant::now());
            if self.node.store.claim_campaigns(now).await? > 0 {
                open = self.node.reader.open_campaigns().await?;
            }
        }
        let mut mine: Vec<Campaign> =
            open.into_iter().filter(|(_, owner)| owner.as_ref() == Some(&me)).map(|(campaign, _)| campaign).collect();
        self.memories
            .retain(|key, _| mine.iter().any(|campaign| campaign.id == key.id && campaign.account == key.account));
        // The more urgent first; among equals the one that began first.
        mine.sort_by_key(|campaign| (u8::MAX - campaign.settings.priority, campaign.started, campaign.id.clone()));
        let live = u32::try_from(self.node.registry.len()).unwrap_or(u32::MAX);
        let mut room = self.node.policy.max_calls.saturating_sub(live);
        for campaign in mine {
            let key = CampaignKey { account: campaign.account.clone(), id: campaign.id.clone() };
            match self.drive(&key, &campaign, room, now).await {
                Ok(begun) => room = room.saturating_sub(begun),
                Err(error) => error!(campaign = %key.id, %error, "a campaign could not be driven"),
            }
        }
        Ok(())
    }

    /// One look at one campaign; how many calls it began.
    async fn drive(
        &mut self,
        key: &CampaignKey,
        campaign: &Campaign,
        room: u32,
        now: Moment,
    ) -> Result<u32, CampaignError> {
        match campaign.state {
            CampaignState::Stopped => self.close(key, campaign, now).await.map(|()| 0),
            CampaignState::Running | CampaignState::Paused if campaign.is_late(now) => {
                let order = StepOrder { step: Step::Stop, stopped: Some(Stopped::Deadline), trouble: None };
                self.step(key, order, now).await.map(|()| 0)
            }
            CampaignState::Running => self.dial(key, campaign, room, now).await,
            CampaignState::Draft | CampaignState::Paused | CampaignState::Done => Ok(0),
        }
    }

    async fn close(&self, key: &CampaignKey, campaign: &Campaign, now: Moment) -> Result<(), CampaignError> {
        for call in self.node.reader.calling_rows(key).await?.into_iter().filter_map(|row| row.call) {
            // A call that nobody was rung for ends however the campaign was stopped.
            let ends = campaign.stopped == Some(Stopped::AskedWithCalls) || self.is_queued(key, call).await?;
            if ends && let Err(error) = self.calls.hang_up(&key.account, call, HangUp::Now).await {
                debug!(%call, %error, "a call of a stopped campaign was not ended now");
            }
        }
        if self.node.store.close_stopped(key.clone(), now).await?.is_some() {
            info!(campaign = %key.id, "stopped campaign finished");
        }
        Ok(())
    }

    async fn is_queued(&self, key: &CampaignKey, call: CallId) -> Result<bool, StoreError> {
        let view = self.node.reader.call(&key.account, call).await?;
        Ok(view.is_some_and(|view| view.state == CallState::Queued))
    }

    async fn step(&self, key: &CampaignKey, order: StepOrder, now: Moment) -> Result<(), CampaignError> {
        let step = order.step;
        match self.node.store.step_campaign(key.clone(), order, now).await {
            Ok(moved) => info!(campaign = %key.id, state = moved.state.word(), "campaign moved"),
            // Somebody else moved it, or added callees, in between: the next look sees it.
            Err(CampaignError::Illegal(_) | CampaignError::State(_)) => debug!(campaign = %key.id, ?step, "not moved"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn dial(
        &mut self,
        key: &CampaignKey,
        campaign: &Campaign,
        room: u32,
        now: Moment,
    ) -> Result<u32, CampaignError> {
        let guard = self.guard(key, now).await?;
        if campaign.hold(now, guard).is_some() {
            return Ok(0);
        }
        let began = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let pace = campaign.settings.pace;
        let paced = self.memory(key, began).pacer.allowance(&pace, began);
        if paced == 0 || self.memory(key, began).rests_until.is_some_and(|until| until > Instant::now()) {
            return Ok(0);
        }
        let launcher = Launcher::new(&self.node, &self.calls, key, campaign);
        let free = match launcher.free().await {
            Ok(free) => free,
            Err(trouble) => return self.pause(key, trouble, now).await,
        };
        let supply = Supply {
            active: self.node.reader.count_calling(key).await?,
            callers: free.callers.free(),
            account: free.account.min(free.agent),
            node: room,
            paced: paced.min(u32::try_from(CLAIM_BATCH).unwrap_or(u32::MAX)),
        };
        let count = how_many(&pace, guard, &supply);
        if count == 0 {
            return Ok(0);
        }
        let rows = self.node.reader.due_rows(key, now, count).await?;
        if rows.is_empty() {
            if !self.node.reader.has_campaign_work(key, now).await? {
                self.step(key, Step::Finish.into(), now).await?;
            }
            return Ok(0);
        }
        let (begun, trouble) = launcher.launch(rows, free.callers, now).await;
        let memory = self.memory(key, began);
        memory.pacer.spend(&pace, begun);
        if begun == 0 {
            memory.rests_until = Some(Instant::now() + CAMPAIGN_REST);
        }
        if begun > 0 {
            self.node.bell.notify_one();
        }
        match trouble {
            Some(trouble) => self.pause(key, trouble, now).await.map(|_| begun),
            None => Ok(begun),
        }
    }

    /// A campaign that cannot call anybody as it is configured waits for its owner.
    async fn pause(&self, key: &CampaignKey, trouble: Trouble, now: Moment) -> Result<u32, CampaignError> {
        match trouble {
            Trouble::Store(error) => Err(error.into()),
            Trouble::Campaign(reason) => {
                warn!(campaign = %key.id, reason, "a campaign pauses by itself");
                let order = StepOrder { step: Step::Pause, stopped: None, trouble: Some(reason) };
                self.step(key, order, now).await.map(|()| 0)
            }
        }
    }

    fn memory(&mut self, key: &CampaignKey, now_us: u64) -> &mut Memory {
        self.memories.entry(key.clone()).or_insert_with(|| Memory {
            pacer: Pacer::after_unknown(now_us),
            guard: Guard::Clear,
            guarded_at: None,
            rests_until: None,
        })
    }

    /// What the share of abandoned calls asks for; counted anew now and then.
    async fn guard(&mut self, key: &CampaignKey, now: Moment) -> Result<Guard, StoreError> {
        let began = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let memory = self.memory(key, began);
        if memory.guarded_at.is_some_and(|at| at.elapsed() < CAMPAIGN_GUARD_EVERY) {
            return Ok(memory.guard);
        }
        let answers = self.node.reader.campaign_answers(key, now).await?;
        let memory = self.memory(key, began);
        memory.guarded_at = Some(Instant::now());
        memory.guard = Guard::of(answers.answered, answers.abandoned);
        Ok(memory.guard)
    }
}
