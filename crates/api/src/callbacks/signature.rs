//! The signature of Standard Webhooks (standardwebhooks.com, version 1): HMAC-SHA256 over id, time and body, one
//! signature for each active key. Never sees who the receiver is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::{Moment, Pii};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What every key's text begins with; the rest is the key in Base64.
pub(crate) const PREFIX: &str = "whsec_";
/// Shortest and longest key in bytes that the standard allows.
pub(crate) const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The bytes of a key's text; none: it is not of the standard's shape.
pub(crate) fn key_of(secret: &str) -> Option<Vec<u8>> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    KEY_BYTES.contains(&key.len()).then_some(key)
}

/// The text of a key.
pub(crate) fn text_of(key: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

/// The three headers of a signed delivery. A receiver accepts any one signature, so that keys can be changed without a
/// gap. A key that is not of the standard's shape signs nothing.
pub(crate) fn headers(id: &str, now: Moment, body: &[u8], secrets: &[Pii<String>]) -> Vec<(&'static str, Pii<String>)> {
    let seconds = now.millis().div_euclid(1000);
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| key_of(secret.expose()))
        .map(|key| format!("v1,{}", sign(&key, id, seconds, body)))
        .collect();
    let mut headers =
        vec![("webhook-id", Pii::new(id.to_owned())), ("webhook-timestamp", Pii::new(seconds.to_string()))];
    if !signatures.is_empty() {
        headers.push(("webhook-signature", Pii::new(signatures.join(" "))));
    }
    headers
}

fn sign(key: &[u8], id: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the standard's own libraries are tested with.
    #[test]
    fn matches_the_published_example() {
        let secret = Pii::new(String::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        let headers =
            headers("msg_p5jXN8AQM9LWM0D4loKWxJek", Moment(1_614_265_330_000), b"{\"test\": 2432232314}", &[secret]);
        let signature = headers.iter().find(|(name, _)| *name == "webhook-signature").expect("signed").1.expose();
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn both_keys_sign_while_they_change() {
        let secrets = [text_of(&[1; 32]), text_of(&[2; 32])].map(Pii::new);
        let headers = headers("m", Moment(0), b"", &secrets);
        let signature = headers.last().expect("three").1.expose();
        assert_eq!(signature.split(' ').filter(|part| part.starts_with("v1,")).count(), 2);
    }

    #[test]
    fn keys_have_the_standards_shape() {
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!"] {
            assert_eq!(key_of(bad), None, "{bad}");
        }
        assert_eq!(key_of(&text_of(&[7; 32])).as_deref(), Some(&[7; 32][..]));
    }
}
