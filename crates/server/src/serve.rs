//! `callwright serve`: runs until SIGTERM or Ctrl-C, then lets the live calls end; a second signal hurries them.

use crate::config::Settings;
use crate::{telemetry, wiring};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Runs the server to its end.
pub(crate) async fn run(settings: Settings, ready_file: Option<PathBuf>) -> Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let running = wiring::start(&settings, telemetry::metrics()?).await?;
    let addresses = &running.addresses;
    info!(http = %addresses.http, sip = %addresses.sip_udp, "ready");
    if let Some(file) = ready_file {
        addresses.write(&file)?;
    }
    signals.next().await;
    info!("stopping; a second signal ends live calls at once");
    running.stop(signals.next()).await;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
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
