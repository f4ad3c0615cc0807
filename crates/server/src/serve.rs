//! `callwright serve`: runs until SIGTERM or Ctrl-C, then lets the live calls end; a second signal hurries them.

use crate::config::Settings;
use crate::{telemetry, wiring};
use anyhow::{Context, Result};
use callwright_store::{Check, StoreError};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

/// Runs the server to its end.
pub(crate) async fn run(settings: Settings, ready_file: Option<PathBuf>) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut running = wiring::start(&settings, telemetry::metrics()?).await?;
    let addresses = &running.addresses;
    info!(http = %addresses.http, sip = %addresses.sip_udp, "ready");
    if let Some(file) = ready_file {
        addresses.write(&file)?;
    }
    let check = running.check.take();
    tokio::select! {
        () = signals.next() => {}
        damage = damage(check) => {
            error!("the database is damaged; ending at once");
            running.stop(std::future::ready(())).await;
            return Err(damage.into());
        }
    }
    info!("stopping; a second signal ends live calls at once");
    running.stop(signals.next()).await;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Waits until the database turns out to be damaged; for ever when it is whole. The server would not have started on it.
async fn damage(check: Option<Check>) -> StoreError {
    if let Some(check) = check {
        match check.run().await {
            Ok(()) => info!("the database was read whole"),
            Err(damage @ StoreError::Corrupt { .. }) => return damage,
            Err(error) => warn!(%error, "the database could not be read whole"),
        }
    }
    std::future::pending().await
}

/// The signals that ask a server to stop.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Until the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
