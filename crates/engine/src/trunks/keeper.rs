//! Keeps one trunk: registers with it and asks it whether it is alive, as long as its configuration says so. One task a
//! trunk, so that what it takes back and what it registers anew never overtake each other. Never dials.

use super::standing::{Standing, TrunkKey};
use super::status::{RegistrationStatus, TrunkHealth};
use super::{Reachable, Trunks};
use crate::limits::{PING_PATIENCE, REGISTER_EXPIRES_S, RESOLVE_AGAIN, UNREGISTER_PATIENCE};
use callwright_net::{RegistrationState, SipRegistration};
use callwright_sip::message::{TextError, UriError};
use callwright_sip::{Host, NameAddr, Registration, SipUri};
use callwright_store::{Trunk, TrunkSettings};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// The task that keeps one trunk.
pub(super) struct Keeper {
    pub(super) trunks: Arc<Trunks>,
    pub(super) standing: Arc<Standing>,
    /// How it is configured; `None`: it was removed.
    pub(super) wanted: watch::Receiver<Option<Trunk>>,
    pub(super) stop: CancellationToken,
}

/// Why a registration could not even be asked for.
#[derive(Debug, thiserror::Error)]
enum Unaskable {
    #[error("the user name or domain cannot be written into a SIP address: {0}")]
    Text(#[from] TextError),
    #[error("the user name or domain cannot be written into a SIP address: {0}")]
    Address(#[from] UriError),
}

impl Keeper {
    /// Keeps the trunk until the node stops, or until it was removed and no call is left on it.
    pub(super) async fn run(mut self) {
        loop {
            let trunk = self.wanted.borrow_and_update().clone();
            let mut registration = None;
            let go_on = match &trunk {
                Some(trunk) if trunk.enabled.is_on() => {
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => false,
                        () = changed(&mut self.wanted, trunk) => true,
                        () = ask(&self.trunks, &self.standing, &trunk.settings) => true,
                        () = register(&self.trunks, &self.standing, &trunk.settings, &mut registration) => true,
                    }
                }
                Some(trunk) => tokio::select! {
                    biased;
                    () = self.stop.cancelled() => false,
                    () = changed(&mut self.wanted, trunk) => true,
                },
                None => self.trunks.is_wanted_again(&self.standing, &mut self.wanted, &self.stop).await,
            };
            if let Some(registration) = registration.take() {
                leave(self.standing.key(), registration).await;
            }
            if !go_on {
                return;
            }
            self.standing.begin_anew();
        }
    }
}

/// Until something changes that its signalling depends on.
async fn changed(wanted: &mut watch::Receiver<Option<Trunk>>, now: &Trunk) {
    let other = |trunk: &Option<Trunk>| trunk.as_ref().is_none_or(|trunk| signalling(trunk) != signalling(now));
    if wanted.wait_for(other).await.is_err() {
        pending().await
    }
}

/// The trunk without its limits: a change of those disturbs nothing.
fn signalling(trunk: &Trunk) -> Trunk {
    let settings = TrunkSettings { cps: 0, max_calls: 0, ..trunk.settings.clone() };
    Trunk { settings, ..trunk.clone() }
}

/// Asks again and again whether the trunk is alive (BARS R58).
async fn ask(trunks: &Trunks, standing: &Standing, settings: &TrunkSettings) {
    if settings.options_interval_s == 0 {
        return pending().await;
    }
    let (account, id) = standing.key();
    let every = Duration::from_secs(settings.options_interval_s.into());
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let answer = match trunks.find(account, id).await {
            // Beyond our patience the SIP plane gives up by itself; nobody listens any more.
            Ok(reachable) => timeout(PING_PATIENCE.min(every), trunks.sip.options(reachable.route)).await.ok(),
            Err(error) => {
                debug!(trunk = %id, %error, "a trunk cannot be asked whether it is alive");
                None
            }
        };
        let alive = match answer {
            Some(Err(_gone)) => return pending().await,
            Some(Ok(Some(_status))) => true,
            Some(Ok(None)) | None => false,
        };
        if alive {
            if standing.answered() == TrunkHealth::Down {
                info!(trunk = %id, "a trunk answers again");
                trunks.freed.notify_one();
            }
        } else if standing.missed() == TrunkHealth::Down {
            warn!(trunk = %id, "a trunk does not answer OPTIONS; calls go through another where there is one");
        }
    }
}

/// Keeps the account registered. What it holds is in `held`, for whoever ends this.
async fn register(trunks: &Trunks, standing: &Standing, settings: &TrunkSettings, held: &mut Option<SipRegistration>) {
    if !settings.register.is_on() {
        return pending().await;
    }
    let (account, id) = standing.key();
    loop {
        standing.registration(RegistrationStatus::Trying);
        let reachable = match trunks.find(account, id).await {
            Ok(reachable) => reachable,
            Err(error) => {
                warn!(trunk = %id, %error, "a trunk cannot be registered with");
                let retry_at = trunks.clock.now().after(RESOLVE_AGAIN);
                standing.registration(RegistrationStatus::Failed { cause: error.to_string(), retry_at });
                sleep(RESOLVE_AGAIN).await;
                continue;
            }
        };
        let wanted = match registration(&reachable, settings) {
            Ok(wanted) => wanted,
            Err(error) => {
                warn!(trunk = %id, %error, "a trunk cannot be registered with");
                let retry_at = trunks.clock.now().after(RESOLVE_AGAIN);
                standing.registration(RegistrationStatus::Failed { cause: error.to_string(), retry_at });
                return pending().await;
            }
        };
        let Ok(registration) = trunks.sip.register(wanted).await else { return pending().await };
        let registration = held.insert(registration);
        while let Ok(state) = registration.changed().await {
            let failed = note(trunks, standing, state);
            // The name may lead elsewhere now.
            if failed && !still_there(trunks, standing.key(), &reachable).await {
                break;
            }
        }
        // Dropping takes it back; an endpoint that is gone took everything with it.
        *held = None;
        sleep(RESOLVE_AGAIN).await;
    }
}

/// Writes down where the registration stands; whether it failed.
fn note(trunks: &Trunks, standing: &Standing, state: RegistrationState) -> bool {
    let trunk = &standing.key().1;
    match state {
        RegistrationState::Registered { expires } => {
            debug!(%trunk, ?expires, "registered with a trunk");
            standing.registration(RegistrationStatus::Registered { until: trunks.clock.now().after(expires) });
            false
        }
        RegistrationState::Failed { cause, retry_in } => {
            warn!(%trunk, %cause, ?retry_in, "a trunk refuses our registration");
            let retry_at = trunks.clock.now().after(retry_in);
            standing.registration(RegistrationStatus::Failed { cause: cause.word().to_owned(), retry_at });
            true
        }
        RegistrationState::Trying | RegistrationState::Over => false,
    }
}

async fn still_there(trunks: &Trunks, (account, id): &TrunkKey, reachable: &Reachable) -> bool {
    trunks.find(account, id).await.is_ok_and(|found| found.route.peer == reachable.route.peer)
}

fn registration(reachable: &Reachable, settings: &TrunkSettings) -> Result<Registration, Unaskable> {
    let domain: Host = reachable.domain.parse()?;
    let address = SipUri::new(domain.clone()).with_user(settings.username.expose())?;
    let registrar = SipUri::new(domain);
    // A domain of its own stands for the whole carrier; a mere address needs its port to be the same place.
    let registrar = if settings.domain.is_none() { registrar.with_port(settings.port) } else { registrar };
    Ok(Registration {
        trunk: Arc::clone(&reachable.route),
        registrar: registrar.into(),
        address: NameAddr::new(address),
        expires: REGISTER_EXPIRES_S,
    })
}

/// Takes the registration back. A registrar that does not answer is not waited for; the registration runs out by itself.
async fn leave((_, trunk): &TrunkKey, registration: SipRegistration) {
    match timeout(UNREGISTER_PATIENCE, registration.unregister()).await {
        Ok(_over_or_gone) => info!(%trunk, "unregistered from a trunk"),
        Err(_) => warn!(%trunk, "a trunk did not answer our leaving"),
    }
}
