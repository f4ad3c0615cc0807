//! The loop that takes due messages from the outbox and the tasks that tell them. At most [`OUTBOX_LANES`] at once for
//! one endpoint, one at once for an endpoint that keeps failing, so that a bad receiver costs nobody else a place. An
//! endpoint that answers has more taken for it than are told at once: then the next exchange need not wait until the end
//! of the last one is written down. Never decides what is due: the store's rows do.

use super::news::{news, wants_journal};
use super::schedule;
use super::{Failure, Notifier, Subject, Telling, Told};
use crate::clock::Clock;
use crate::failpoint::Failpoint;
use crate::limits::{
    OUTBOX_AHEAD, OUTBOX_DISABLE_AFTER, OUTBOX_EVERY, OUTBOX_GAP, OUTBOX_LANES, OUTBOX_LEASE, OUTBOX_STOP,
    OUTBOX_SUSPECT, OUTBOX_TURN,
};
use crate::node::Entropy;
use crate::tasks::Tasks;
use callwright_domain::WebhookId;
use callwright_domain::webhook::Status;
use callwright_store::outbox::{Attempt, Content, Fate, Pending, Settlement};
use callwright_store::{Reader, Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{self, Instant};
use tracing::{debug, error, info};

/// How busy an endpoint is, and how it has done lately.
#[derive(Debug)]
struct Load {
    /// Messages taken for it and not settled.
    in_hand: u32,
    /// How many may be: as many as are told at once, and one more with each that it heard since it last failed.
    window: u32,
    failures: u32,
    /// A place for each exchange that may go on at once.
    lanes: Arc<Semaphore>,
}

impl Default for Load {
    fn default() -> Self {
        let lanes = Arc::new(Semaphore::new(usize::try_from(OUTBOX_LANES).unwrap_or(1)));
        Self { in_hand: 0, window: OUTBOX_LANES, failures: 0, lanes }
    }
}

impl Load {
    const fn is_suspect(&self) -> bool {
        self.failures >= OUTBOX_SUSPECT
    }

    /// How many more may be taken.
    const fn room(&self) -> u32 {
        let window = if self.is_suspect() { 1 } else { self.window };
        window.saturating_sub(self.in_hand)
    }

    fn note(&mut self, fate: &Fate) {
        match fate {
            Fate::Heard => {
                self.failures = 0;
                self.window = self.window.saturating_add(1).min(OUTBOX_AHEAD);
            }
            Fate::Nothing => self.failures = 0,
            Fate::Later(_) | Fate::GivenUp => {
                self.failures = self.failures.saturating_add(1);
                self.window = OUTBOX_LANES;
            }
            Fate::Gone => {}
        }
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
            let room = |id: &WebhookId| loads.get(id).map_or(OUTBOX_LANES, Load::room);
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

/// A place among the messages that are taken for one endpoint; gives itself back.
struct Place {
    loads: Arc<Mutex<HashMap<WebhookId, Load>>>,
    webhook: WebhookId,
}

impl Place {
    fn take(loads: &Arc<Mutex<HashMap<WebhookId, Load>>>, webhook: &WebhookId) -> Self {
        let place = Self { loads: Arc::clone(loads), webhook: webhook.clone() };
        place.change(|load| load.in_hand += 1);
        place
    }

    fn change<T>(&self, change: impl FnOnce(&mut Load) -> T) -> T {
        let mut loads = self.loads.lock().unwrap_or_else(PoisonError::into_inner);
        let load = loads.entry(self.webhook.clone()).or_default();
        let changed = change(load);
        if load.in_hand == 0 && load.failures == 0 {
            loads.remove(&self.webhook);
        }
        changed
    }

    /// Waits for the turn of one exchange; of an endpoint that keeps failing there is one at once. None: its turn does not
    /// come while the message is surely still ours.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let (lanes, wanted) =
            self.change(|load| (Arc::clone(&load.lanes), if load.is_suspect() { OUTBOX_LANES } else { 1 }));
        time::timeout(OUTBOX_TURN, lanes.acquire_many_owned(wanted)).await.ok()?.ok()
    }

    fn note(&self, fate: &Fate) {
        self.change(|load| load.note(fate));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.change(|load| load.in_hand = load.in_hand.saturating_sub(1));
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
    let Some(turn) = place.turn().await else {
        debug!(message = pending.message, "its turn did not come; it is told when its lease is out");
        return Ok(None);
    };
    let began = desk.clock.now();
    let timer = Instant::now();
    let told = match telling(desk, &pending).await? {
        Found::SwitchedOff => None,
        Found::Nothing { max_tries } => Some((max_tries, Told::Nothing)),
        Found::Told(telling) => {
            // From the event's commit to the first byte, as near as can be told from here (BARS R24).
            let waited = began.since(pending.queued).as_secs_f64();
            if pending.tries == 0 {
                metrics::histogram!("callwright_webhook_delay_seconds").record(waited);
            }
            desk.tasks.reach(Failpoint::TellingDue).await;
            let told = desk.notifier.notify(&telling).await;
            desk.tasks.reach(Failpoint::TellingDone).await;
            Some((telling.webhook.endpoint.max_tries, told))
        }
    };
    // Writing down how it went keeps nobody else from being told.
    drop(turn);
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

/// What a message comes to when it is looked at.
enum Found {
    /// Its endpoint is gone or switched off.
    SwitchedOff,
    /// What it is about exists no more.
    Nothing {
        /// The most tries of its endpoint.
        max_tries: u32,
    },
    /// This is to be told.
    Told(Box<Telling>),
}

async fn telling(desk: &Desk, pending: &Pending) -> Result<Found, StoreError> {
    let (webhook, subject) = match &pending.content {
        Content::Announcement(body) => {
            let webhook = desk.reader.webhook(&pending.account, &pending.webhook).await?;
            let (account, topic, at) = (pending.account.clone(), pending.topic, pending.at);
            (webhook, Some(Subject::Account { account, topic, at, body: body.clone() }))
        }
        Content::Event { call, seq } => {
            let found = desk.reader.to_tell(&pending.account, &pending.webhook, (*call, *seq)).await?;
            let subject = match (&found.webhook, found.happened) {
                (Some(webhook), Some((view, recorded))) => {
                    let history = webhook.endpoint.history;
                    let journal = if wants_journal(&view, &recorded, history) {
                        let upto = u32::try_from(*seq).unwrap_or(u32::MAX);
                        desk.reader.journal(&pending.account, *call, 0, upto).await?
                    } else {
                        Vec::new()
                    };
                    Some(Subject::Call(Box::new(news(view, recorded, journal, history))))
                }
                _ => None,
            };
            (found.webhook, subject)
        }
    };
    let Some(webhook) = webhook.filter(|webhook| webhook.status == Status::Enabled) else {
        return Ok(Found::SwitchedOff);
    };
    let Some(subject) = subject else { return Ok(Found::Nothing { max_tries: webhook.endpoint.max_tries }) };
    Ok(Found::Told(Box::new(Telling {
        webhook,
        id: pending.message.clone(),
        attempt: pending.tries.saturating_add(1),
        now: desk.clock.now(),
        subject,
    })))
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
