//! Tells whoever started the process where it listens: a small JSON file, written whole or not at all.

use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// Where the server listens.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Addresses {
    /// The HTTP API.
    pub(crate) http: SocketAddr,
    /// Its doors of single dialects.
    pub(crate) dialects: BTreeMap<String, SocketAddr>,
    /// SIP over UDP.
    pub(crate) sip_udp: SocketAddr,
    /// SIP over TCP.
    pub(crate) sip_tcp: Option<SocketAddr>,
    /// Browsers, as told to them.
    pub(crate) webrtc: Option<SocketAddr>,
    /// The process, for signals.
    pub(crate) pid: u32,
}

impl Addresses {
    /// Writes the file; a reader never sees half of it.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let draft = path.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec(self)?)
            .with_context(|| format!("{} cannot be written", draft.display()))?;
        std::fs::rename(&draft, path).with_context(|| format!("{} cannot be written", path.display()))
    }
}
