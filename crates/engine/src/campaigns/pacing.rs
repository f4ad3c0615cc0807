//! Keeps the pace of each campaign: calls take turns before they are judged, all nodes of the database together, and what
//! the way from there to the INVITE took is evened out when it leaves. Whatever was queued, late or left over from an
//! earlier life, no second holds more than the campaign's setting. Never decides whether a call is made.

use callwright_domain::campaign::pacing::{Cadence, Dialers, turns_apart};
use callwright_domain::campaign::{CampaignCall, Pace};
use callwright_domain::{AccountId, CallPlan, CampaignId, Moment};
use callwright_store::{Store, Turns};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// Campaigns whose cadence is remembered; beyond it those that nobody waits at are forgotten, and begin with a pause.
const REMEMBERED: usize = 10_000;

/// How late an INVITE may be for its turn; the turns of several nodes leave room for that in each second.
const LATE: Duration = Duration::from_millis(40);
/// Turns that one call asks for; then it goes, however late.
const ASKED_AT_MOST: u32 = 10;

type Key = (AccountId, CampaignId);

/// The pace of each campaign on this node.
#[derive(Debug)]
pub(crate) struct Pacing {
    /// Rung when a campaign was moved or got callees here.
    pub(crate) bell: Notify,
    began: Instant,
    cadences: std::sync::Mutex<HashMap<Key, Arc<Mutex<Cadence>>>>,
}

/// The turn of one call: the next of its campaign waits until it has left.
pub(crate) struct Turn {
    began: Instant,
    plan: Pace,
    cadence: OwnedMutexGuard<Cadence>,
}

impl Pacing {
    /// Pacing at which nothing has passed, as far as anybody knows.
    pub(crate) fn new() -> Self {
        Self { bell: Notify::new(), began: Instant::now(), cadences: std::sync::Mutex::default() }
    }

    /// When the turn of a campaign's call comes. What left just before this life began is not known: it is waited out.
    pub(crate) async fn turn_of(
        &self,
        store: &Store,
        (account, call): (&AccountId, &CampaignCall),
        now: Moment,
    ) -> Instant {
        let cadence = self.cadence((account.clone(), call.campaign.clone()));
        let opening = self.began + Duration::from_micros(cadence.lock().await.opening());
        let (asked, dialers) = (Instant::now(), if store.is_shared() { Dialers::Several } else { Dialers::One });
        let turns = Turns::Campaign(call.campaign.clone());
        match store.take_turn(account.clone(), turns, turns_apart(&call.pace, dialers), now).await {
            Ok(wait) => opening.max(asked + wait),
            Err(error) => {
                warn!(campaign = %call.campaign, %error, "the nodes' common pace could not be asked for; this one keeps its own");
                opening
            }
        }
    }

    /// Waits until the INVITE of a call may leave. Calls of no campaign have nothing to wait for.
    pub(crate) async fn turn(&self, store: &Store, plan: &CallPlan, now: Moment) -> Option<Turn> {
        let call = plan.campaign.as_ref()?;
        let cadence = self.cadence((plan.account.clone(), call.campaign.clone()));
        let cadence = cadence.lock_owned().await;
        let due = self.began + Duration::from_micros(cadence.earliest(&call.pace));
        sleep_until(due).await;
        if store.is_shared() {
            common_turn(store, (&plan.account, call), now).await;
        }
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

/// Waits for a moment at which no other node sends an INVITE of the campaign. Whoever is late for it asks for another, so
/// that nodes which take long do not send together. The gap is kept by the turn that the call had before.
async fn common_turn(store: &Store, (account, call): (&AccountId, &CampaignCall), now: Moment) {
    let apart = turns_apart(&Pace { gap_ms: 0, ..call.pace }, Dialers::Several);
    for _ in 0..ASKED_AT_MOST {
        let (asked, turns) = (Instant::now(), Turns::Invites(call.campaign.clone()));
        let wait = match store.take_turn(account.clone(), turns, apart, now).await {
            Ok(wait) => wait,
            Err(error) => {
                warn!(campaign = %call.campaign, %error, "the nodes' common pace could not be asked for; this one keeps its own");
                return;
            }
        };
        // The turn is somewhere between the question and the answer: not before it.
        sleep_until(Instant::now() + wait).await;
        if asked.elapsed() <= wait + LATE {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::tests::account;
    use callwright_store::StoreSettings;

    /// A campaign that calls once a minute does so over restarts, too.
    #[tokio::test]
    async fn turns_go_on_where_an_earlier_life_left_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let pace = Pace { concurrency: 9, cps: 5, gap_ms: 60_000 };
        let call = CampaignCall { campaign: CampaignId::new("c").expect("an id"), row: 1, attempt: 1, pace };
        let now = Moment(1_700_000_000_000);
        for (life, turn) in [(0, 0), (0, 60), (1, 120)] {
            let settings = StoreSettings::directory(directory.path(), "node");
            let store = Store::open(settings, now).await.expect("it opens").store;
            let (asked, pacing) = (Instant::now(), Pacing::new());
            let due = pacing.turn_of(&store, (&account(), &call), now).await;
            let (opening, turn) = (Duration::from_secs(1), Duration::from_secs(turn));
            assert!(due >= asked + turn.max(opening), "turn {turn:?} of life {life}");
            assert!(due < asked + turn + Duration::from_secs(50), "turn {turn:?} of life {life}");
            store.close().await;
        }
    }
}
