//! The loop that takes due messages from the outbox and the tasks that tell them. At most [`OUTBOX_LANES`] at once for
//! one endpoint, one at once for an endpoint that keeps failing, so that a bad receiver costs nobody else a place.
//! Never decides what is due: the store's rows do.

use super::news::{news, wants_journal};
use super::schedule;
use super::{Failure, Notifier, Subject, Telling, Told};
use crate::clock::Clock;
use crate::failpoint::Failpoint;
use crate::limits::{
    OUTBOX_DISABLE_AFTER, OUTBOX_EVERY, OUTBOX_GAP, OUTBOX_LANES, OUTBOX_LEASE, OUTBOX_STOP, OUTBOX_SUSPECT,
};
use crate::node::Entropy;
use crate::tasks::Tasks;
use callwright_domain::webhook::Status;
use callwright_domain::{Webhook, WebhookId};
use callwright_store::outbox::{Attempt, Content, Fate, Pending, Settlement};
use callwright_store::{Reader, Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{self, Instant};
use tracing::{debug, error, info};

/// How busy an endpoint is, and how it has done lately.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    under_way: u32,
    failures: u32,
}

impl Load {
    /// How many more may be told at once.
    fn room(self) -> u32 {
        let lanes = if self.failures >= OUTBOX_SUSPECT { 1 } else { OUTBOX_LANES };
        lanes.saturating_sub(self.under_way)
    }
}

/// What telling needs of a node.
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) tasks: Tasks,
}

/// The outbox of one node.
pub(crate) struct Outbox {
    desk: Arc<Desk>,
    loads: Arc<Mutex<HashMap<WebhookId, Load>>>,
}

impl Outbox {
    /// An outbox over this desk.
    pub(crate) fn new(desk: Desk) -> Self {
        Self { desk: Arc::new(desk), loads: Arc::default() }
    }

    /// Tells what is due until the node stops.
    pub(crate) async fn run(self) {
        let stop = self.desk.tasks.stopping();
        let bell = self.desk.store.outbox_bell();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = bell.notified() => {}
                () = time::sleep(OUTBOX_EVERY) => {}
            }
            if let Err(error) = self.round().await {
                error!(%error, "due messages could not be taken from the outbox");
            }
            // Many rings in a burst are one look.
            time::sleep(OUTBOX_GAP).await;
        }
    }

    /// Takes what is due and has room, and starts telling it.
    async fn round(&self) -> Result<(), StoreError> {
        let now = self.desk.clock.now();
        let due = self.desk.reader.outbox_due(now).await?;
        let wanted: Vec<(WebhookId, u32)> = {
            let loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
            let room = |id: &WebhookId| loads.get(id).copied().unwrap_or_default().room();
            due.into_iter()
                .map(|id| (room(&id), id))
                .filter(|(room, _)| *room > 0)
                .map(|(room, id)| (id, room))
                .collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        for pending in self.desk.store.claim_outbox(wanted, now, now.after(OUTBOX_LEASE)).await? {
            let place = Place::take(&self.loads, &pending.webhook);
            let desk = Arc::clone(&self.desk);
            let said = pending.message.clone();
            let work = async move {
                let mut place = place;
                let stop = desk.tasks.stopping();
                let stopped = async {
                    stop.cancelled().await;
                    time::sleep(OUTBOX_STOP).await;
                };
                tokio::select! {
                    biased;
                    () = tell_lane(&desk, pending, &mut place) => {}
                    // What is cut off here is told again by the next life: at least once.
                    () = stopped => {}
                }
                drop(place);
                desk.store.outbox_bell().notify_one();
            };
            self.desk.tasks.spawn_guarded(work, move |panic| async move {
                error!(message = said, panic, "telling an event panicked; it is told again when its lease is out");
            });
        }
        Ok(())
    }
}

/// A place among those that are told at once to one endpoint; gives itself back.
struct Place {
    loads: Arc<Mutex<HashMap<WebhookId, Load>>>,
    webhook: WebhookId,
}

impl Place {
    fn take(loads: &Arc<Mutex<HashMap<WebhookId, Load>>>, webhook: &WebhookId) -> Self {
        let place = Self { loads: Arc::clone(loads), webhook: webhook.clone() };
        place.change(|load| load.under_way += 1);
        place
    }

    fn change(&self, change: impl FnOnce(&mut Load)) {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        let load = loads.entry(self.webhook.clone()).or_default();
        change(load);
        if load.under_way == 0 && load.failures == 0 {
            loads.remove(&self.webhook);
        }
    }

    fn note(&self, fate: &Fate) {
        self.change(|load| match fate {
            Fate::Heard | Fate::Nothing => load.failures = 0,
            Fate::Later(_) | Fate::GivenUp => load.failures = load.failures.saturating_add(1),
            Fate::Gone => {}
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.change(|load| load.under_way = load.under_way.saturating_sub(1));
    }
}

/// Tells one message and then, while there are any, the next ones of the same call to the same endpoint.
async fn tell_lane(desk: &Desk, first: Pending, place: &mut Place) {
    let mut next = Some(first);
    while let Some(pending) = next.take() {
        let message = pending.message.clone();
        match tell(desk, pending, place).await {
            Ok(follower) => next = follower,
            Err(error) => error!(message, %error, "how telling went could not be written; it will be told again"),
        }
        if desk.tasks.stopping().is_cancelled() {
            return;
        }
    }
}

async fn tell(desk: &Desk, pending: Pending, place: &Place) -> Result<Option<Pending>, StoreError> {
    let began = desk.clock.now();
    let timer = Instant::now();
    let webhook = desk.reader.webhook(&pending.account, &pending.webhook).await?;
    let told = match webhook.filter(|webhook| webhook.status == Status::Enabled) {
        None => None,
        Some(webhook) => match telling(desk, &webhook, &pending).await? {
            None => Some((webhook.endpoint.max_tries, Told::Nothing)),
            Some(telling) => {
                // From the event's commit to the first byte, as near as can be told from here (BARS R24).
                let waited = began.since(pending.queued).as_secs_f64();
                if pending.tries == 0 {
                    metrics::histogram!("callwright_webhook_delay_seconds").record(waited);
                }
                desk.tasks.reach(Failpoint::TellingDue).await;
                let told = desk.notifier.notify(&telling).await;
                desk.tasks.reach(Failpoint::TellingDone).await;
                Some((webhook.endpoint.max_tries, told))
            }
        },
    };
    let took = timer.elapsed();
    let (fate, status, detail) = judge(desk, &pending, told);
    metrics::counter!("callwright_webhooks_total", "fate" => fate.word()).increment(1);
    place.note(&fate);
    debug!(message = pending.message, webhook = %pending.webhook, fate = fate.word(), status, "told");
    let now = desk.clock.now();
    let settlement = Settlement {
        attempt: Attempt { at: began, took, status, detail },
        fate,
        lease: now.after(OUTBOX_LEASE),
        failing_before: now.before(OUTBOX_DISABLE_AFTER),
    };
    let settled = desk.store.settle_outbox(pending, settlement, now).await?;
    if let Some(status) = settled.disabled {
        info!(webhook = %place.webhook, status = status.word(), "an endpoint was switched off");
    }
    Ok(settled.next)
}

/// What is told; none: what it is about exists no more.
async fn telling(desk: &Desk, webhook: &Webhook, pending: &Pending) -> Result<Option<Telling>, StoreError> {
    let subject = match &pending.content {
        Content::Announcement(body) => Subject::Account {
            account: pending.account.clone(),
            topic: pending.topic,
            at: pending.at,
            body: body.clone(),
        },
        Content::Event { call, seq } => {
            let view = desk.reader.call(&pending.account, *call).await?;
            let recorded = desk.reader.journal(&pending.account, *call, seq.saturating_sub(1), 1).await?.pop();
            let (Some(view), Some(recorded)) = (view, recorded.filter(|recorded| recorded.seq == *seq)) else {
                return Ok(None);
            };
            let history = webhook.endpoint.history;
            let journal = if wants_journal(&view, &recorded, history) {
                let upto = u32::try_from(*seq).unwrap_or(u32::MAX);
                desk.reader.journal(&pending.account, *call, 0, upto).await?
            } else {
                Vec::new()
            };
            Subject::Call(Box::new(news(view, recorded, journal, history)))
        }
    };
    Ok(Some(Telling {
        webhook: webhook.clone(),
        id: pending.message.clone(),
        attempt: pending.tries.saturating_add(1),
        now: desk.clock.now(),
        subject,
    }))
}

/// What becomes of a message after a try. `told` is none when its endpoint is gone or switched off.
fn judge(desk: &Desk, pending: &Pending, told: Option<(u32, Told)>) -> (Fate, Option<u16>, String) {
    match told {
        None => (Fate::GivenUp, None, String::from("the endpoint is switched off")),
        Some((_, Told::Heard { status })) => (Fate::Heard, Some(status), String::new()),
        Some((_, Told::Nothing)) => (Fate::Nothing, None, String::new()),
        Some((_, Told::Gone)) => (Fate::Gone, Some(410), String::from("the receiver wants no more")),
        Some((max_tries, Told::Failed(Failure { status, retry_after, detail }))) => {
            let tries = pending.tries.saturating_add(1);
            let pause = schedule::pause(tries, max_tries, retry_after, desk.entropy.bits64());
            let fate = pause.map_or(Fate::GivenUp, |pause| Fate::Later(desk.clock.now().after(pause)));
            (fate, status, detail)
        }
    }
}
