//! The vendor's signature schemes: TC3-HMAC-SHA256 (vendor's page "signature v3") and the older HmacSHA1 and HmacSHA256
//! ("signature v1"). Says what must be signed and whether it was; never knows which keys exist.

use super::wire::Call;
use super::words::VendorError;
use crate::sign;
use callwright_domain::Moment;
use std::time::Duration;

/// How far a request's time may be from our clock, on either side (vendor: 5 minutes).
const WINDOW: Duration = Duration::from_secs(300);
/// The only algorithm of the newer scheme.
const TC3: &str = "TC3-HMAC-SHA256";
/// What a body is said to be when it is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Signed headers that must be there.
const NEEDED_HEADERS: [&str; 2] = ["content-type", "host"];
/// Most headers that are looked at.
const MAX_HEADERS: usize = 32;

/// What a request says about who made it, and what must have been signed. There are several candidates of the latter:
/// some SDKs sign the host with its port and some without.
pub(super) struct Claim {
    /// The key's public half.
    pub(super) key: String,
    signature: String,
    /// What a repeated request is known by: its signature, and its body where that is not signed.
    pub(super) mark: String,
    timestamp: String,
    candidates: Vec<String>,
    scheme: Scheme,
}

enum Scheme {
    /// With the date and the service of the credential's scope.
    Tc3 {
        date: String,
        service: String,
    },
    Sha1,
    Sha256,
}

/// Reads the claim.
///
/// # Errors
/// The vendor's words for a claim that is not there or not of its form.
pub(super) fn claim(call: &Call<'_>) -> Result<Claim, VendorError> {
    match call.header("authorization") {
        Some(authorization) => tc3(call, authorization),
        None if call.is_older() => older(call),
        None => Err(VendorError::missing("Authorization")),
    }
}

impl Claim {
    /// Whether the signature was made with `secret`, and lately. The time is judged last, so that a forged one is a bad
    /// signature and nothing more is learnt from it.
    ///
    /// # Errors
    /// The vendor's words for a bad signature or an old one.
    pub(super) fn check(&self, secret: &str, now: Moment) -> Result<(), VendorError> {
        let mut holds = false;
        for text in &self.candidates {
            holds |= sign::same(&self.sign(secret, text), &self.signature);
        }
        if !holds {
            return Err(VendorError::bad_signature());
        }
        let seconds: i64 = self.timestamp.parse().map_err(|_| {
            VendorError::wrong_type(if self.is_tc3() { "X-TC-Timestamp" } else { "Timestamp" }, "must be Unix seconds")
        })?;
        let at = Moment(seconds.saturating_mul(1000));
        if let Scheme::Tc3 { date, .. } = &self.scheme
            && *date != date_of(at)
        {
            return Err(VendorError::bad_signature());
        }
        // Seconds are compared: a clock that shows 300.9 s later is within.
        let (now, window) = (now.millis().div_euclid(1000), WINDOW.as_secs());
        if now.abs_diff(seconds) > window { Err(VendorError::expired_signature()) } else { Ok(()) }
    }

    const fn is_tc3(&self) -> bool {
        matches!(self.scheme, Scheme::Tc3 { .. })
    }

    fn sign(&self, secret: &str, text: &str) -> String {
        match &self.scheme {
            Scheme::Tc3 { date, service } => {
                let key = sign::hmac_sha256(format!("TC3{secret}").as_bytes(), date.as_bytes());
                let key = sign::hmac_sha256(&key, service.as_bytes());
                let key = sign::hmac_sha256(&key, b"tc3_request");
                hex::encode(sign::hmac_sha256(&key, text.as_bytes()))
            }
            Scheme::Sha1 => sign::hmac_sha1_base64(secret, text),
            Scheme::Sha256 => sign::hmac_sha256_base64(secret, text),
        }
    }
}

/// The vendor's day, as its scopes hold it.
fn date_of(moment: Moment) -> String {
    jiff::Timestamp::from_millisecond(moment.millis()).unwrap_or_default().strftime("%Y-%m-%d").to_string()
}

/// The parts of an Authorization header.
struct Authorization<'a> {
    key: &'a str,
    date: &'a str,
    service: &'a str,
    /// The names of the signed headers.
    names: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// None: it is not of this form.
    fn of(header: &'a str) -> Option<Self> {
        let (algorithm, rest) = header.trim().split_once(' ')?;
        let part = |name: &str| {
            let found = rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            found.filter(|part| !part.is_empty())
        };
        let (credential, names, signature) = (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
        let scope: Vec<&str> = credential.split('/').collect();
        let [key, date, service, "tc3_request"] = scope[..] else { return None };
        (algorithm == TC3).then_some(Self { key, date, service, names, signature })
    }
}

/// The key that an Authorization header names, before anything is known of the rest.
pub(super) fn secret_id(authorization: &str) -> Option<&str> {
    Some(Authorization::of(authorization)?.key)
}

fn tc3(call: &Call<'_>, authorization: &str) -> Result<Claim, VendorError> {
    let malformed = VendorError::bad_authorization;
    let parts = Authorization::of(authorization).ok_or_else(malformed)?;
    let Authorization { key, date, service, names, signature } = parts;
    let listed: Vec<&str> = names.split(';').take(MAX_HEADERS + 1).collect();
    if listed.len() > MAX_HEADERS || NEEDED_HEADERS.iter().any(|needed| !listed.contains(needed)) {
        return Err(malformed());
    }
    let timestamp = call.header("x-tc-timestamp").ok_or_else(|| VendorError::missing("X-TC-Timestamp"))?.to_owned();
    let (payload, mark) = match call.header("x-tc-content-sha256") {
        // Two requests of one second have the same signature then.
        Some(UNSIGNED) => {
            (sign::sha256_hex(UNSIGNED.as_bytes()), format!("{signature} {}", sign::sha256_hex(call.body())))
        }
        _ if call.is_get() => (sign::sha256_hex(b""), signature.to_owned()),
        _ => (sign::sha256_hex(call.body()), signature.to_owned()),
    };
    let query = if call.is_get() { call.query() } else { "" };
    let mut candidates = Vec::new();
    for host in call.hosts() {
        let Some(headers) = canonical_headers(call, &listed, host) else { return Err(malformed()) };
        let canonical = format!("{}\n/\n{query}\n{headers}\n{names}\n{payload}", call.method());
        let hash = sign::sha256_hex(canonical.as_bytes());
        candidates.push(format!("{TC3}\n{timestamp}\n{date}/{service}/tc3_request\n{hash}"));
    }
    Ok(Claim {
        key: key.to_owned(),
        signature: signature.to_owned(),
        mark,
        timestamp,
        candidates,
        scheme: Scheme::Tc3 { date: date.to_owned(), service: service.to_owned() },
    })
}

/// The signed headers in the order in which they are listed; values in lower case, but the content type as it came.
fn canonical_headers(call: &Call<'_>, listed: &[&str], host: &str) -> Option<String> {
    let mut text = String::new();
    for name in listed {
        let value = match *name {
            "host" => host.to_owned(),
            "content-type" => call.header(name).unwrap_or_default().trim().to_owned(),
            other => call.header(other)?.trim().to_lowercase(),
        };
        text.push_str(name);
        text.push(':');
        text.push_str(&value);
        text.push('\n');
    }
    Some(text)
}

fn older(call: &Call<'_>) -> Result<Claim, VendorError> {
    let part = |name: &str| {
        let found = call.flat().iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        found.filter(|value| !value.is_empty()).ok_or_else(|| VendorError::missing(name))
    };
    let (key, signature, timestamp) = (part("SecretId")?, part("Signature")?, part("Timestamp")?);
    part("Nonce")?;
    let scheme = match part("SignatureMethod").as_deref() {
        Err(_) | Ok("HmacSHA1") => Scheme::Sha1,
        Ok("HmacSHA256") => Scheme::Sha256,
        Ok(_) => return Err(VendorError::bad_value("SignatureMethod", "must be HmacSHA1 or HmacSHA256")),
    };
    let mut signed: Vec<&(String, String)> = call.flat().iter().filter(|(name, _)| name != "Signature").collect();
    signed.sort_unstable();
    let pairs: Vec<String> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let pairs = pairs.join("&");
    let candidates = call.hosts().into_iter().map(|host| format!("{}{host}/?{pairs}", call.method())).collect();
    let mark = signature.clone();
    Ok(Claim { key, signature, mark, timestamp, candidates, scheme })
}
