//! `[recordings]`: how recordings are sealed and where they go. Never opens a file or a connection.

use anyhow::{Context, Result};
use callwright_domain::Pii;
use callwright_domain::agent::Switch;
use callwright_store::{Addressing, KeyFlaw, Keyring, Remote, RemoteSettings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[recordings]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recordings {
    /// Name of the key that new recordings are sealed with; empty: they are written as they play.
    pub(crate) seal_with: String,
    /// Keys by name. One that recordings were sealed with must stay here for as long as they are to be read.
    pub(crate) keys: BTreeMap<String, SealingKey>,
    /// The object store that complete recordings go to; none: they stay in `server.data`.
    pub(crate) s3: Option<ObjectStore>,
}

/// `[recordings.keys.NAME]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SealingKey {
    /// 32 random bytes in Base64 or hexadecimal, such as `${file:recordings.key}`.
    pub(crate) secret: Pii<String>,
}

/// `[recordings.s3]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ObjectStore {
    /// `https://host[:port]`; empty: Amazon's, of the region.
    pub(crate) endpoint: String,
    /// The bucket; it must exist.
    pub(crate) bucket: String,
    /// The region that requests are signed for.
    pub(crate) region: String,
    /// The name of the key.
    pub(crate) access_key: Pii<String>,
    /// The key, such as `${file:s3.key}`.
    pub(crate) secret_key: Pii<String>,
    /// What names begin with, such as `calls/`.
    pub(crate) prefix: String,
    /// How the bucket is named in requests: `path` or `host`.
    pub(crate) addressing: Addressing,
    /// Whether the endpoint may be reached over plain `http`.
    pub(crate) plain_http: Switch,
}

impl Default for ObjectStore {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            bucket: String::new(),
            region: String::from("us-east-1"),
            access_key: Pii::default(),
            secret_key: Pii::default(),
            prefix: String::new(),
            addressing: Addressing::default(),
            plain_http: Switch::Off,
        }
    }
}

impl Recordings {
    /// The keys, checked.
    pub(crate) fn keyring(&self) -> Result<Keyring, KeyFlaw> {
        Keyring::new(&self.seal_with, self.keys.iter().map(|(name, key)| (name, &key.secret)))
    }

    /// The object store, when there is one. Nothing is sent.
    pub(crate) fn remote(&self) -> Result<Option<Remote>> {
        let Some(s3) = &self.s3 else { return Ok(None) };
        let remote = Remote::new(&RemoteSettings {
            endpoint: s3.endpoint.clone(),
            bucket: s3.bucket.clone(),
            region: s3.region.clone(),
            access_key: s3.access_key.clone(),
            secret_key: s3.secret_key.clone(),
            prefix: s3.prefix.clone(),
            addressing: s3.addressing,
        });
        remote.map(Some).context("`recordings.s3`")
    }

    /// What is wrong, and what to do.
    pub(crate) fn complaints(&self, found: &mut Vec<String>) {
        if let Err(flaw) = self.keyring() {
            found.push(format!("`recordings`: {flaw}"));
        }
        let Some(s3) = &self.s3 else { return };
        let mut wrong = |member: &str, what: &str| found.push(format!("`recordings.s3.{member}`: {what}"));
        for (member, text) in [
            ("bucket", &s3.bucket),
            ("region", &s3.region),
            ("access_key", s3.access_key.expose()),
            ("secret_key", s3.secret_key.expose()),
        ] {
            if text.is_empty() {
                wrong(member, "must not be empty");
            }
        }
        let begins = |scheme: &str| s3.endpoint.starts_with(scheme);
        let open = s3.plain_http == Switch::On && begins("http://");
        if !(open || begins("https://") || s3.endpoint.is_empty()) {
            wrong("endpoint", "must begin with https://, or with http:// when `plain_http` is \"on\"");
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if s3.prefix.starts_with('/') || s3.prefix.contains("//") || !s3.prefix.bytes().all(plain) {
            wrong("prefix", "is made of a-z A-Z 0-9 - _ . / and does not begin with a slash");
        }
    }
}
