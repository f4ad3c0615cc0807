//! Digest authentication, client side (RFC 7616, RFC 8760, RFC 2617 as used by RFC 3261 section 22).
//!
//! Hides challenges, hashes, nonce counts and quoting. Never sends a password or a Basic answer, never answers a realm
//! other than the expected one, and makes no randomness: the client nonce is an argument.

use std::fmt;
use std::fmt::Write as _;

use md5::Md5;
use sha2::{Sha256, Sha512_256};

use crate::message::{
    HeaderName, HeaderValue, Headers, Method, Nesting, StatusCode, TextError, Token, quoted_prefix, split, trim,
};

/// Most challenges of one response looked at.
const MAX_CHALLENGES: usize = 32;
/// Longest nonce, realm or opaque taken, octets: together they must fit into one header line of the answer.
const MAX_PARAMETER: usize = 1024;
/// Most parameters of one challenge.
const MAX_CHALLENGE_PARAMS: usize = 32;

/// A user name and a password. Neither shows in Debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    /// Takes both as text.
    ///
    /// # Errors
    /// A control character or a line separator in the user name (it is sent), or an empty user name.
    pub fn new(username: &str, password: &str) -> Result<Self, TextError> {
        if username.is_empty() {
            return Err(TextError::Empty);
        }
        let clean = HeaderValue::new(username)?;
        if clean.as_str() != username || username.contains('\t') {
            return Err(TextError::Forbidden);
        }
        Ok(Self { username: username.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// A hash algorithm of RFC 7616, strongest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hash {
    Md5,
    Sha256,
    Sha512Trunc256,
}

/// A hash and whether the session variant is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Algorithm {
    hash: Hash,
    variant: Variant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Variant {
    Plain,
    Session,
}

impl Algorithm {
    fn parse(text: &str) -> Option<Self> {
        const NAMES: [(&str, Hash); 3] =
            [("MD5", Hash::Md5), ("SHA-256", Hash::Sha256), ("SHA-512-256", Hash::Sha512Trunc256)];
        let (base, variant) = match text.len().checked_sub("-sess".len()).and_then(|at| text.split_at_checked(at)) {
            Some((base, suffix)) if suffix.eq_ignore_ascii_case("-sess") => (base, Variant::Session),
            _ => (text, Variant::Plain),
        };
        let (_, hash) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(base))?;
        Some(Self { hash: *hash, variant })
    }

    const fn name(self) -> &'static str {
        match (self.hash, self.variant) {
            (Hash::Md5, Variant::Plain) => "MD5",
            (Hash::Md5, Variant::Session) => "MD5-sess",
            (Hash::Sha256, Variant::Plain) => "SHA-256",
            (Hash::Sha256, Variant::Session) => "SHA-256-sess",
            (Hash::Sha512Trunc256, Variant::Plain) => "SHA-512-256",
            (Hash::Sha512Trunc256, Variant::Session) => "SHA-512-256-sess",
        }
    }

    fn digest(self, parts: &[&str]) -> String {
        fn run<D: md5::Digest>(parts: &[&str]) -> String {
            let mut hasher = D::new();
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    hasher.update(b":");
                }
                hasher.update(part.as_bytes());
            }
            let mut hex = String::with_capacity(64);
            for byte in hasher.finalize().iter() {
                write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            }
            hex
        }
        match self.hash {
            Hash::Md5 => run::<Md5>(parts),
            Hash::Sha256 => run::<Sha256>(parts),
            Hash::Sha512Trunc256 => run::<Sha512_256>(parts),
        }
    }
}

/// What a challenge says about `qop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// No `qop`: the form of RFC 2069, without counts.
    Unstated,
    /// `auth` is offered.
    Auth,
    /// Only kinds we do not speak, such as `auth-int`.
    Unspoken,
}

/// One digest challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    protection: Protection,
    freshness: Freshness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// The answer before this challenge was wrong, or there was none.
    Unanswered,
    /// `stale=true`: the answer was right for a nonce that has run out.
    Stale,
}

impl Challenge {
    /// The realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Whether only the nonce had run out.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        matches!(self.freshness, Freshness::Stale)
    }

    fn from_params(params: &[(&str, &str)]) -> Option<Self> {
        let value =
            |name: &str| params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let sendable = |text: &str| text.len() <= MAX_PARAMETER && !text.chars().any(char::is_control);
        let realm = value("realm").filter(|text| sendable(text))?;
        let nonce = value("nonce").filter(|text| sendable(text) && !text.is_empty())?;
        let opaque = value("opaque");
        if !opaque.is_none_or(sendable) {
            return None;
        }
        let protection = match value("qop") {
            None | Some("") => Protection::Unstated,
            Some(offers) if offers.split(',').any(|offer| trim(offer).eq_ignore_ascii_case("auth")) => Protection::Auth,
            Some(_) => Protection::Unspoken,
        };
        let stale = value("stale").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Some(Self {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: opaque.map(str::to_owned),
            algorithm: Algorithm::parse(value("algorithm").unwrap_or("MD5"))?,
            protection,
            freshness: if stale { Freshness::Stale } else { Freshness::Unanswered },
        })
    }
}

/// Reads the digest challenges of one header value, which may hold several. Other schemes, unknown algorithms and
/// malformed challenges are left out.
#[must_use]
pub fn parse_challenges(value: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut scheme_is_digest = false;
    let mut params: Vec<(&str, &str)> = Vec::new();
    for piece in split(value, b',', Nesting::Quotes) {
        let mut piece = trim(piece);
        // "Digest realm=..." begins a challenge; "nonce=..." goes on with one.
        if let Some((scheme, rest)) = scheme_prefix(piece) {
            if scheme_is_digest {
                found.extend(Challenge::from_params(&params));
            }
            params.clear();
            scheme_is_digest = scheme.eq_ignore_ascii_case("Digest");
            piece = trim(rest);
        }
        if found.len() == MAX_CHALLENGES {
            return found;
        }
        if params.len() < MAX_CHALLENGE_PARAMS {
            params.extend(auth_param(piece));
        }
    }
    if scheme_is_digest {
        found.extend(Challenge::from_params(&params));
    }
    found
}

/// Splits `scheme rest` where a scheme stands: a token followed by a blank and no `=` before it.
fn scheme_prefix(piece: &str) -> Option<(&str, &str)> {
    let (first, rest) = piece.split_once([' ', '\t']).unwrap_or((piece, ""));
    let is_scheme = Token::new(first).is_ok() && !trim(rest).starts_with('=');
    is_scheme.then_some((first, rest))
}

/// A parameter, its value between the quotes as written: hashes and answers repeat it octet for octet (RFC 7616
/// section 3.4 takes the quotes off and nothing else).
fn auth_param(piece: &str) -> Option<(&str, &str)> {
    let (name, value) = piece.split_once('=')?;
    let value = trim(value);
    let value = match quoted_prefix(value) {
        Some((inner, _)) => inner,
        None if value.contains(['"', '\\']) => return None,
        None => value,
    };
    Some((trim(name), value))
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefusal {
    /// The response is no 401 or 407, or carries no digest challenge that can be read.
    #[error("no digest challenge")]
    NoChallenge,
    /// All challenges are for realms other than the expected one.
    #[error("the challenge is for another realm")]
    ForeignRealm,
    /// Only protections we do not speak are offered (`auth-int`).
    #[error("no protection in common")]
    UnspokenProtection,
    /// The client nonce is empty, too long, or holds more than visible ASCII without quotes.
    #[error("the client nonce cannot be sent")]
    BadClientNonce,
}

/// Where the answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// The user agent server: 401, `Authorization`.
    Server,
    /// A proxy: 407, `Proxy-Authorization`.
    Proxy,
}

impl Asker {
    const fn challenge_header(self) -> HeaderName {
        match self {
            Self::Server => HeaderName::WwwAuthenticate,
            Self::Proxy => HeaderName::ProxyAuthenticate,
        }
    }

    const fn answer_header(self) -> HeaderName {
        match self {
            Self::Server => HeaderName::Authorization,
            Self::Proxy => HeaderName::ProxyAuthorization,
        }
    }
}

/// A nonce in use and how often it was answered with.
#[derive(Debug, Clone)]
struct Answered {
    challenge: Challenge,
    asker: Asker,
    count: u32,
}

/// The digest state towards one trunk: credentials, the expected realm, the nonce in use and its count.
///
/// How often one request is answered is for the user agent to limit: a challenge to an answer that is not `stale` says
/// that the credentials are wrong.
#[derive(Debug, Clone)]
pub struct DigestSession {
    credentials: Credentials,
    expected_realm: Option<String>,
    answered: Option<Answered>,
}

/// What is hashed beside the challenge.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The method of the request to be sent.
    pub method: &'a Method,
    /// The request URI as it will be printed.
    pub uri: &'a str,
    /// Fresh and unpredictable, such as 16 random octets in hex: visible ASCII without `"` and `\`, 256 octets at most.
    pub cnonce: &'a str,
}

impl DigestSession {
    /// A session that answers any realm.
    #[must_use]
    pub const fn new(credentials: Credentials) -> Self {
        Self { credentials, expected_realm: None, answered: None }
    }

    /// Answers this realm alone.
    #[must_use]
    pub fn with_realm(mut self, realm: &str) -> Self {
        self.expected_realm = Some(realm.to_owned());
        self
    }

    /// Answers the 401 or 407 whose headers are `challenged`: the strongest algorithm of the realm, counted. The header
    /// belongs into the repeated request, whose `CSeq` is one higher and whose branch is new.
    ///
    /// # Errors
    /// [`AuthRefusal`]: give the request up.
    pub fn answer(
        &mut self,
        status: StatusCode,
        challenged: &Headers,
        subject: Subject<'_>,
    ) -> Result<(HeaderName, HeaderValue), AuthRefusal> {
        let asker = match status {
            StatusCode::UNAUTHORIZED => Asker::Server,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Asker::Proxy,
            _ => return Err(AuthRefusal::NoChallenge),
        };
        let challenge = self.choose(asker, challenged)?;
        // Requests that run side by side are challenged with one nonce: it goes on being counted.
        let count = self
            .answered
            .as_ref()
            .filter(|answered| {
                answered.challenge.nonce == challenge.nonce && answered.challenge.realm == challenge.realm
            })
            .map_or(0, |answered| answered.count);
        self.answered = Some(Answered { challenge, asker, count });
        self.reuse(subject).unwrap_or(Err(AuthRefusal::NoChallenge))
    }

    /// Answers ahead with the nonce in use, its count one higher. None when nothing was challenged yet.
    pub fn reuse(&mut self, subject: Subject<'_>) -> Option<Result<(HeaderName, HeaderValue), AuthRefusal>> {
        let answered = self.answered.as_mut()?;
        if !is_client_nonce(subject.cnonce) {
            return Some(Err(AuthRefusal::BadClientNonce));
        }
        answered.count = answered.count.checked_add(1)?;
        let answered = self.answered.as_ref()?;
        let text = write_answer(&self.credentials, answered, subject);
        Some(Ok((answered.asker.answer_header(), HeaderValue::clean(text))))
    }

    /// Forgets the nonce in use (the trunk's address changed, a request failed for good).
    pub fn forget(&mut self) {
        self.answered = None;
    }

    fn choose(&self, asker: Asker, challenged: &Headers) -> Result<Challenge, AuthRefusal> {
        let challenges: Vec<_> =
            challenged.all(&asker.challenge_header()).flat_map(parse_challenges).take(MAX_CHALLENGES).collect();
        if challenges.is_empty() {
            return Err(AuthRefusal::NoChallenge);
        }
        let expected =
            |challenge: &Challenge| self.expected_realm.as_ref().is_none_or(|realm| *realm == challenge.realm);
        let ours: Vec<_> = challenges.into_iter().filter(expected).collect();
        if ours.is_empty() {
            return Err(AuthRefusal::ForeignRealm);
        }
        let spoken = ours.into_iter().filter(|challenge| challenge.protection != Protection::Unspoken);
        // The strongest wins; among equals the first, which the server prefers (RFC 8760 section 2.3).
        spoken
            .reduce(|best, next| if next.algorithm.hash > best.algorithm.hash { next } else { best })
            .ok_or(AuthRefusal::UnspokenProtection)
    }
}

fn write_answer(credentials: &Credentials, answered: &Answered, subject: Subject<'_>) -> String {
    let Challenge { realm, nonce, opaque, algorithm, protection, .. } = &answered.challenge;
    let count = format!("{:08x}", answered.count);
    let mut secret = algorithm.digest(&[&credentials.username, realm, &credentials.password]);
    if algorithm.variant == Variant::Session {
        secret = algorithm.digest(&[&secret, nonce, subject.cnonce]);
    }
    let asked = algorithm.digest(&[subject.method.as_str(), subject.uri]);
    let response = match protection {
        Protection::Auth => algorithm.digest(&[&secret, nonce, &count, subject.cnonce, "auth", &asked]),
        Protection::Unstated | Protection::Unspoken => algorithm.digest(&[&secret, nonce, &asked]),
    };
    let quoted = |name: &str, value: &str| format!("{name}=\"{value}\"");
    let mut params = vec![
        format!("username=\"{}\"", escape(&credentials.username)),
        quoted("realm", realm),
        quoted("nonce", nonce),
        quoted("uri", subject.uri),
        quoted("response", &response),
        format!("algorithm={}", algorithm.name()),
    ];
    if *protection == Protection::Auth {
        params.push(format!("qop=auth, nc={count}"));
    }
    if *protection == Protection::Auth || algorithm.variant == Variant::Session {
        params.push(quoted("cnonce", subject.cnonce));
    }
    if let Some(opaque) = opaque {
        params.push(quoted("opaque", opaque));
    }
    format!("Digest {}", params.join(", "))
}

fn is_client_nonce(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
}

/// Application text between quotes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
