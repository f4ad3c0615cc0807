//! `[webrtc]`: where browsers are met. Says what is wrong with it, and nothing else.

use callwright_net::BrowserSettings;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// `[webrtc]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webrtc {
    /// UDP address of all browsers together, such as `0.0.0.0:3478`; none: this node meets no browsers.
    pub(crate) listen: Option<SocketAddr>,
    /// Addresses under which browsers reach `listen`, the best first; none: the one it listens on. A server behind a
    /// router gives the router's public address here and has the port forwarded.
    pub(crate) announce: Vec<IpAddr>,
}

impl Webrtc {
    /// What the media plane is told; `own` is the address of this machine, for when it listens on all.
    pub(crate) fn settings(&self, own: impl Fn() -> IpAddr) -> Option<BrowserSettings> {
        let listen = self.listen?;
        let everywhere = listen.ip().is_unspecified() && self.announce.is_empty();
        let announce = if everywhere { vec![own()] } else { self.announce.clone() };
        Some(BrowserSettings { listen, announce })
    }

    /// What is wrong, one line each.
    pub(crate) fn complaints(&self, found: &mut Vec<String>) {
        if self.listen.is_none() && !self.announce.is_empty() {
            found.push("`webrtc.announce` is of use only with `webrtc.listen`, such as \"0.0.0.0:3478\"".to_owned());
        }
        for address in &self.announce {
            if address.is_unspecified() || address.is_multicast() {
                found.push(format!("`webrtc.announce`: {address} is no address that a browser could send to"));
            }
        }
    }
}
