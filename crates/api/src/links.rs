//! Links that need no key and hold until a time: to recordings, and to whatever else a dialect gives out so. Signed with
//! the key that asked for them, over what they are for, their path, their end and the key's id, so that taking the key
//! away takes its links away, and a new key can sign beside an old one. Never says which of the parts was wrong.

use crate::fault::Fault;
use crate::http::{Context, Request};
use crate::sign;
use callwright_domain::access::KeyStatus;
use callwright_domain::{ApiKey, KeyId, Moment, Scope};
use std::time::Duration;

/// The scope that a link's key needs, in the word of the API.
const CALLS_READ: &str = "calls_read";

/// What comes first in what is signed, so that no dialect's link is another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose(pub(crate) &'static str);

impl Purpose {
    /// Each part stands on a line of its own, which none of them can hold.
    fn signed(self, path: &str, until: i64, key: &KeyId) -> String {
        format!("{}\nGET\n{path}\n{until}\n{key}", self.0)
    }

    /// A link to `path` on the host that was asked, which holds for `life`.
    pub(crate) fn link(self, request: &Request, key: &ApiKey, path: &str, life: Duration) -> String {
        let until = end(request, life).millis() / 1000;
        let signature = sign::hmac_sha256_hex(key.secret.expose(), &self.signed(path, until, &key.id));
        let host = request.header("host").unwrap_or_default();
        let scheme = if request.header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        format!("{scheme}://{host}{path}?key={}&until={until}&signature={signature}", key.id)
    }

    /// The key that signed the link which is asked for, if it may read calls and the link holds.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) async fn key(self, request: &Request, context: &Context) -> Result<ApiKey, Fault> {
        let id = KeyId::new(part(request, "key")?).map_err(|_| Fault::Unauthenticated)?;
        let until: i64 = part(request, "until")?.parse().map_err(|_| Fault::Unauthenticated)?;
        let found = context.calls.reader().key(&id).await.map_err(|error| Fault::Storage(error.public()))?;
        let key = found.filter(|key| key.status == KeyStatus::Active).ok_or(Fault::Unauthenticated)?;
        let ours = sign::hmac_sha256_hex(key.secret.expose(), &self.signed(&request.path, until, &key.id));
        if !sign::same(&ours, &part(request, "signature")?) {
            return Err(Fault::Unauthenticated);
        }
        if request.received > Moment(until.saturating_mul(1000)) {
            return Err(Fault::Expired);
        }
        if !key.permits(Scope::CallsRead) {
            return Err(Fault::Forbidden { scope: CALLS_READ });
        }
        Ok(key)
    }
}

/// When a link that is made now ends: at a whole second.
pub(crate) fn end(request: &Request, life: Duration) -> Moment {
    Moment(request.received.after(life).millis() / 1000 * 1000)
}

/// Whether a request brings a link's signature.
pub(crate) fn is_signed(request: &Request) -> bool {
    part(request, "signature").is_ok()
}

fn part(request: &Request, name: &str) -> Result<String, Fault> {
    let found = form_urlencoded::parse(request.query.as_bytes()).find(|(given, _)| given == name);
    found.map(|(_, value)| value.into_owned()).ok_or(Fault::Unauthenticated)
}
