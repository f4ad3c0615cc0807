//! The vendor's two signature schemes, ACS3-HMAC-SHA256 and RPC V1 (HMAC-SHA1). Contract: vendor's "signature method V3"
//! and "RPC signature" pages. Never knows which keys exist: the caller looks the secret up.

use super::Call;
use crate::fault::Fault;
use crate::sign;
use callwright_domain::Moment;
use std::time::Duration;

/// How far a request's date may be from our clock, on either side (vendor: 15 minutes).
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How long a nonce is remembered: longer than any signed date can stay inside the window.
pub(super) const NONCE_KEPT: Duration = Duration::from_secs(31 * 60);
/// The only algorithm of V3 that is honoured.
const ACS3: &str = "ACS3-HMAC-SHA256";

/// What a request says about who made it, and what must be signed.
pub(super) struct Claim {
    /// The key's public half.
    pub(super) key: String,
    /// Single use per key.
    pub(super) nonce: String,
    string_to_sign: String,
    signature: String,
    scheme: Scheme,
}

#[derive(Clone, Copy, PartialEq)]
enum Scheme {
    V3,
    V1,
}

/// Why a request is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disbelief {
    /// A part is missing: its name.
    Missing(&'static str),
    /// A part is malformed: its name.
    Invalid(&'static str),
    /// The date is malformed.
    DateFormat,
    /// The date is too far from now.
    DateExpired,
    /// The signature does not hold; the text that we signed.
    Signature(String),
}

impl From<Disbelief> for Fault {
    fn from(disbelief: Disbelief) -> Self {
        match disbelief {
            Disbelief::Missing(name) => Self::Missing { field: name.to_owned() },
            Disbelief::Invalid(name) => Self::Invalid { field: name.to_owned(), rule: String::from("not valid") },
            Disbelief::DateFormat => Self::BadDate,
            Disbelief::DateExpired => Self::Expired,
            Disbelief::Signature(text) => Self::BadSignature { signed: text },
        }
    }
}

/// Reads the claim; checks the date, which comes before everything that needs the secret.
pub(super) fn claim(call: &Call, now: Moment) -> Result<Claim, Disbelief> {
    let claim = match call.header("authorization") {
        Some(authorization) => v3(call, authorization)?,
        None => v1(call)?,
    };
    let date = match claim.scheme {
        Scheme::V3 => call.header("x-acs-date").ok_or(Disbelief::Missing("Timestamp"))?,
        Scheme::V1 => call.signed("Timestamp").ok_or(Disbelief::Missing("Timestamp"))?,
    };
    check_date(date, now)?;
    Ok(claim)
}

impl Claim {
    /// Whether the signature was made with `secret`.
    pub(super) fn check(&self, secret: &str) -> Result<(), Disbelief> {
        let ours = match self.scheme {
            Scheme::V3 => sign::hmac_sha256_hex(secret, &self.string_to_sign),
            Scheme::V1 => sign::hmac_sha1_base64(&format!("{secret}&"), &self.string_to_sign),
        };
        if sign::same(&ours, &self.signature) { Ok(()) } else { Err(Disbelief::Signature(self.string_to_sign.clone())) }
    }
}

fn check_date(text: &str, now: Moment) -> Result<(), Disbelief> {
    let shape = text.len() == 20 && text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    let date: jiff::Timestamp = text.parse().ok().filter(|_| shape).ok_or(Disbelief::DateFormat)?;
    let date = Moment(date.as_millisecond());
    if date.since(now) > WINDOW || now.since(date) > WINDOW {
        return Err(Disbelief::DateExpired);
    }
    Ok(())
}

fn v3(call: &Call, authorization: &str) -> Result<Claim, Disbelief> {
    let invalid = Disbelief::Invalid("Authorization");
    let (algorithm, rest) = authorization.trim().split_once(' ').ok_or(invalid.clone())?;
    if algorithm != ACS3 {
        return Err(invalid);
    }
    let part = |name: &str| {
        rest.split(',')
            .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
            .filter(|part| !part.is_empty())
    };
    let (Some(key), Some(names), Some(signature)) = (part("Credential"), part("SignedHeaders"), part("Signature"))
    else {
        return Err(invalid);
    };
    let names: Vec<&str> = names.split(';').collect();
    // An unsigned x-acs-action could be swapped: every such header that is there must be signed.
    let all_signed = call
        .header_names()
        .filter(|name| *name == "host" || name.starts_with("x-acs-"))
        .all(|name| names.contains(&name));
    if !all_signed || !names.contains(&"host") {
        return Err(Disbelief::Invalid("SignedHeaders"));
    }
    let hash = sign::sha256_hex(call.body);
    let stated = call.header("x-acs-content-sha256").ok_or(Disbelief::Missing("ContentSha256"))?;
    let mut headers = String::new();
    for name in &names {
        headers
            .push_str(&format!("{name}:{}\n", call.canonical_header(name).ok_or(Disbelief::Invalid("SignedHeaders"))?));
    }
    let query = sign::canonical_query(call.query.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let canonical = format!("{}\n/\n{query}\n{headers}\n{}\n{hash}", call.method, names.join(";"));
    let nonce = call.header("x-acs-signature-nonce").ok_or(Disbelief::Missing("SignatureNonce"))?;
    Ok(Claim {
        key: key.to_owned(),
        nonce: nonce.to_owned(),
        string_to_sign: format!("{ACS3}\n{}", sign::sha256_hex(canonical.as_bytes())),
        // A hash of another body means that the signature is not one of this request: none matches then.
        signature: if stated == hash { signature.to_owned() } else { String::new() },
        scheme: Scheme::V3,
    })
}

fn v1(call: &Call) -> Result<Claim, Disbelief> {
    let part = |name: &'static str| call.signed(name).filter(|value| !value.is_empty()).ok_or(Disbelief::Missing(name));
    let key = part("AccessKeyId")?;
    let signature = part("Signature")?;
    if part("SignatureMethod")? != "HMAC-SHA1" {
        return Err(Disbelief::Invalid("SignatureMethod"));
    }
    if part("SignatureVersion")? != "1.0" {
        return Err(Disbelief::Invalid("SignatureVersion"));
    }
    let nonce = part("SignatureNonce")?;
    let signed = call.query.iter().chain(&call.form).filter(|(name, _)| name != "Signature");
    let query = sign::canonical_query(signed.map(|(name, value)| (name.as_str(), value.as_str())));
    Ok(Claim {
        key: key.to_owned(),
        nonce: nonce.to_owned(),
        string_to_sign: format!("{}&%2F&{}", call.method, sign::percent_encoded(&query)),
        signature: signature.to_owned(),
        scheme: Scheme::V1,
    })
}
