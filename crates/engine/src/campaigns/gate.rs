//! Keeps the pace of each campaign at the moment when its INVITEs leave: whatever was queued, late or left over from an
//! earlier life, no second holds more than the campaign's setting. Never decides whether a call is made.

use callwright_domain::campaign::pacing::Cadence;
use callwright_domain::{AccountId, CallPlan, CampaignId};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::time::{Instant, sleep_until};

/// Campaigns whose cadence is remembered; beyond it those that nobody waits at are forgotten, and begin with a pause.
const REMEMBERED: usize = 10_000;

type Key = (AccountId, CampaignId);

/// The gates of a node, one for each campaign.
#[derive(Debug)]
pub(crate) struct Gates {
    /// Rung when a campaign was moved or got callees here.
    pub(crate) bell: Notify,
    began: Instant,
    cadences: std::sync::Mutex<HashMap<Key, Arc<Mutex<Cadence>>>>,
}

/// The turn of one call: the next of its campaign waits until it has left.
pub(crate) struct Turn {
    began: Instant,
    plan: callwright_domain::campaign::Pace,
    cadence: OwnedMutexGuard<Cadence>,
}

impl Gates {
    /// Gates at which nothing has passed, as far as anybody knows.
    pub(crate) fn new() -> Self {
        Self { bell: Notify::new(), began: Instant::now(), cadences: std::sync::Mutex::default() }
    }

    /// Waits for the turn of a call. Calls of no campaign have none to wait for.
    pub(crate) async fn turn(&self, plan: &CallPlan) -> Option<Turn> {
        let call = plan.campaign.as_ref()?;
        let cadence = self.cadence((plan.account.clone(), call.campaign.clone()));
        let cadence = cadence.lock_owned().await;
        let due = self.began + Duration::from_micros(cadence.earliest(&call.pace));
        sleep_until(due).await;
        Some(Turn { began: self.began, plan: call.pace, cadence })
    }

    fn cadence(&self, key: Key) -> Arc<Mutex<Cadence>> {
        let mut cadences = self.cadences.lock().unwrap_or_else(PoisonError::into_inner);
        if cadences.len() >= REMEMBERED && !cadences.contains_key(&key) {
            cadences.retain(|_, cadence| Arc::strong_count(cadence) > 1);
        }
        let now = micros(self.began.elapsed());
        Arc::clone(cadences.entry(key).or_insert_with(|| Arc::new(Mutex::new(Cadence::after_unknown(now)))))
    }
}

impl Turn {
    /// Notes that the INVITE has left.
    pub(crate) fn left(mut self) {
        let now = micros(self.began.elapsed());
        self.cadence.left(&self.plan, now);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
