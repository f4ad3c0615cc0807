//! Links that need no key and hold until a time: to recordings, and to whatever else a dialect gives out so. Signed with
//! the key that asked for them, over what they are for, their path, their end and the key's id, so that taking the key
//! away takes its links away, and a new key can sign beside an old one. Those that are told to an endpoint are signed with
//! the endpoint's own secret, and go with it. Never says which of the parts was wrong.

use crate::fault::Fault;
use crate::http::{Context, Request};
use crate::sign;
use callwright_domain::access::KeyStatus;
use callwright_domain::webhook::Status;
use callwright_domain::{AccountId, ApiKey, KeyId, Moment, Scope, Webhook, WebhookId};
use std::time::Duration;

/// The scope that a link's key needs, in the word of the API.
const CALLS_READ: &str = "calls_read";

/// What comes first in what is signed, so that no dialect's link is another's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose(pub(crate) &'static str);

impl Purpose {
    /// Each part stands on a line of its own, which none of them can hold.
    fn signed(self, path: &str, until: i64, signer: &str) -> String {
        format!("{}\nGET\n{path}\n{until}\n{signer}", self.0)
    }

    /// A link to `path` under `base` (`https://host`) for whoever is told at this endpoint, which holds for `life`; `None`
    /// when the endpoint has no secret to sign with.
    pub(crate) fn link_of(
        self,
        webhook: &Webhook,
        base: &str,
        path: &str,
        (now, life): (Moment, Duration),
    ) -> Option<String> {
        let secret = webhook.endpoint.secrets.first()?;
        let until = now.after(life).millis() / 1000;
        let signature = sign::hmac_sha256_hex(secret.expose(), &self.signed(path, until, &signer(webhook)));
        let (account, id) = (&webhook.account, &webhook.id);
        Some(format!("{base}{path}?account={account}&webhook={id}&until={until}&signature={signature}"))
    }

    /// Whose the link is that is asked for, if it holds: signed by a key that may read calls, or by an endpoint that is
    /// told.
    ///
    /// # Errors
    /// [`Fault`].
    pub(crate) async fn account(self, request: &Request, context: &Context) -> Result<AccountId, Fault> {
        if part(request, "webhook").is_err() {
            return Ok(self.key(request, context).await?.account);
        }
        let account = AccountId::new(part(request, "account")?).map_err(|_| Fault::Unauthenticated)?;
        let id = WebhookId::new(part(request, "webhook")?).map_err(|_| Fault::Unauthenticated)?;
        let found = context.calls.reader().webhook(&account, &id).await?;
        let webhook = found.filter(|webhook| webhook.status == Status::Enabled).ok_or(Fault::Unauthenticated)?;
        // An older secret counts for as long as it is there.
        let secrets = webhook.endpoint.secrets.iter().map(|secret| secret.expose().as_str());
        self.hold(request, &signer(&webhook), secrets)?;
        Ok(account)
    }

    /// Whether one of these secrets has signed the link that is asked for, and its end has not come.
    fn hold<'a>(self, request: &Request, signer: &str, secrets: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
        let until: i64 = part(request, "until")?.parse().map_err(|_| Fault::Unauthenticated)?;
        let (text, given) = (self.signed(&request.path, until, signer), part(request, "signature")?);
        let ours = secrets.map(|secret| sign::same(&sign::hmac_sha256_hex(secret, &text), &given));
        // All are tried: how long it takes says nothing about which it was.
        if !ours.fold(false, |any, one| any | one) {
            return Err(Fault::Unauthenticated);
        }
        if request.received > Moment(until.saturating_mul(1000)) {
            return Err(Fault::Expired);
        }
        Ok(())
    }

    /// A link to `path` on the host that was asked, which holds for `life`.
    pub(crate) fn link(self, request: &Request, key: &ApiKey, path: &str, life: Duration) -> String {
        let until = end(request, life).millis() / 1000;
        let signature = sign::hmac_sha256_hex(key.secret.expose(), &self.signed(path, until, key.id.as_str()));
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
        let found = context.calls.reader().key(&id).await?;
        let key = found.filter(|key| key.status == KeyStatus::Active).ok_or(Fault::Unauthenticated)?;
        self.hold(request, key.id.as_str(), std::iter::once(key.secret.expose().as_str()))?;
        if !key.permits(Scope::CallsRead) {
            return Err(Fault::Forbidden { scope: CALLS_READ });
        }
        Ok(key)
    }
}

/// An endpoint as one that signs; no key has a slash in its id.
fn signer(webhook: &Webhook) -> String {
    format!("webhook/{}/{}", webhook.account, webhook.id)
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
