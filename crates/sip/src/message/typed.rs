//! Headers with a meaning of their own: CSeq, RAck, Session-Expires, Retry-After, Reason, media types.
//!
//! Hides their grammar. Each reader returns `None` (or an empty list) for what is absent or malformed; where the
//! difference matters the parser or the validator has refused the message before.

use std::fmt;

use super::headers::{HeaderName, HeaderValue, Headers};
use super::method::Method;
use super::name_addr::NameAddr;
use super::params::Params;
use super::text::{self, Nesting, TextError};
use super::via::Via;

/// Longest wait a peer can ask for with `Retry-After`, seconds.
pub const MAX_RETRY_AFTER: u32 = 300;

/// `CSeq`: number and method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The number; a sender keeps it below 2^31 (RFC 3261 section 8.1.1.5), a reader takes 32 bits.
    pub number: u32,
    /// The method.
    pub method: Method,
}

/// `RAck`: which provisional response a PRACK acknowledges (RFC 3262 section 7.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RAck {
    /// The `RSeq` of the provisional response.
    pub rseq: u32,
    /// The `CSeq` of the provisional response.
    pub cseq: CSeq,
}

/// Who refreshes a session (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refresher {
    /// The user agent client of this transaction.
    Uac,
    /// The user agent server of this transaction.
    Uas,
}

/// `Session-Expires` (RFC 4028 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionExpires {
    /// The session interval, seconds.
    pub seconds: u32,
    /// Who refreshes, if said.
    pub refresher: Option<Refresher>,
}

/// `Retry-After`, capped at [`MAX_RETRY_AFTER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryAfter {
    /// Seconds to wait, 300 at most.
    pub seconds: u32,
}

/// One `Reason` element (RFC 3326).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reason {
    /// `Q.850`, `SIP` or another protocol's name, as written.
    pub protocol: String,
    /// The cause number in that protocol.
    pub cause: Option<u16>,
    /// The words.
    pub text: Option<String>,
}

impl Reason {
    /// The Q.850 cause, 0 to 127, when this element is one.
    #[must_use]
    pub fn q850(&self) -> Option<u8> {
        if !self.protocol.eq_ignore_ascii_case("Q.850") {
            return None;
        }
        u8::try_from(self.cause?).ok().filter(|cause| *cause < 128) // Greater numbers mean nothing in Q.850.
    }

    fn parse(element: &str) -> Option<Self> {
        let params_at = element.find(';').unwrap_or(element.len());
        let (protocol, params) = element.split_at(params_at);
        let params = Params::parse(params)?;
        let cause = params.value("cause").and_then(text::decimal).and_then(|n| u16::try_from(n).ok());
        Some(Self {
            protocol: text::Token::new(text::trim(protocol)).ok()?.as_str().to_owned(),
            cause,
            text: params.value("text").map(str::to_owned),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The field is open to all, so what is no token character is left out here.
        let protocol = self.protocol.chars().filter(|c| u8::try_from(*c).is_ok_and(text::is_token_byte));
        f.write_str(&protocol.collect::<String>())?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(words) = &self.text {
            f.write_str(";text=")?;
            text::write_quoted(f, words)?;
        }
        Ok(())
    }
}

impl CSeq {
    /// Reads `number method`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (number, method) = text.split_once([' ', '\t'])?;
        let number = u32::try_from(text::decimal(number)?).ok()?;
        Some(Self { number, method: Method::new(text::trim(method)).ok()? })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl RAck {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (rseq, cseq) = text.split_once([' ', '\t'])?;
        let rseq = u32::try_from(text::decimal(rseq)?).ok().filter(|n| *n > 0)?;
        Some(Self { rseq, cseq: CSeq::parse(text::trim(cseq))? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

impl SessionExpires {
    fn parse(text: &str) -> Option<Self> {
        let params_at = text.find(';').unwrap_or(text.len());
        let (seconds, params) = text.split_at(params_at);
        let params = Params::parse(params)?;
        let refresher = match params.value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { seconds: seconds_saturating(seconds)?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// Seconds of a timer header. A number too great for 32 bits is the greatest one, never a wrapped one.
fn seconds_saturating(text: &str) -> Option<u32> {
    let text = text::trim(text);
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text::decimal(text).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX))
}

/// A media type: `application/sdp;charset=x`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType {
    kind: Box<str>,
    subtype: Box<str>,
    params: Params,
}

impl MediaType {
    /// Reads `type/subtype;params`; `*` stands for anything in an Accept header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let params_at = text.find(';').unwrap_or(text.len());
        let (essence, params) = text.split_at(params_at);
        let (kind, subtype) = essence.split_once('/')?;
        Some(Self {
            kind: text::Token::new(text::trim(kind)).ok()?.as_str().into(),
            subtype: text::Token::new(text::trim(subtype)).ok()?.as_str().into(),
            params: Params::parse(params)?,
        })
    }

    /// Whether it is `essence` (such as `application/sdp`), compared without case or parameters.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// Whether an Accept element such as this one admits `essence`.
    #[must_use]
    pub fn admits(&self, essence: &str) -> bool {
        essence.split_once('/').is_some_and(|(kind, subtype)| {
            (&*self.kind == "*" || self.kind.eq_ignore_ascii_case(kind))
                && (&*self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
        })
    }

    /// Whether it is `multipart/...`.
    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.kind.eq_ignore_ascii_case("multipart")
    }

    /// The parameters, such as `boundary`.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.kind, self.subtype, self.params)
    }
}

/// A Call-ID: compared octet by octet, with case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Box<str>);

impl CallId {
    /// Takes visible text without blanks.
    ///
    /// # Errors
    /// [`TextError`] when empty or when a blank, a control or a non-ASCII character is in it.
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TextError::Forbidden);
        }
        Ok(Self(text.into()))
    }

    /// The Call-ID as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! value_of {
    ($($typed:ty),*) => {
        $(impl From<&$typed> for HeaderValue {
            fn from(typed: &$typed) -> Self {
                Self::clean(typed.to_string())
            }
        })*
    };
}
value_of!(CSeq, RAck, SessionExpires, MediaType, CallId, Reason);

/// Typed readers. Each reads afresh; callers that need a value twice keep it.
impl Headers {
    /// All `Via` elements from the top, malformed ones left out.
    pub fn vias(&self) -> impl Iterator<Item = Via> {
        self.elements(&HeaderName::Via).filter_map(|text| text.parse().ok()) // Refused by the parser before.
    }

    /// The topmost `Via`.
    #[must_use]
    pub fn top_via(&self) -> Option<Via> {
        self.elements(&HeaderName::Via).next()?.parse().ok() // Refused by the parser before.
    }

    /// Replaces the topmost `Via` element (to note `received` and `rport`), leaving those below it.
    pub fn set_top_via(&mut self, via: &Via) {
        let Some(line) = self.first(&HeaderName::Via) else {
            self.push_front(HeaderName::Via, via);
            return;
        };
        let rest = text::find_outside(line, b',', Nesting::QuotesAndAngles).and_then(|at| line.get(at + 1..));
        let value = match rest {
            Some(rest) => HeaderValue::clean(format!("{via}, {}", text::trim(rest))),
            None => via.into(),
        };
        self.replace_first(&HeaderName::Via, value);
    }

    fn address(&self, name: &HeaderName) -> Option<NameAddr> {
        self.first(name)?.parse().ok() // From and To are refused by the parser before; for others malformed is absent.
    }

    fn addresses(&self, name: &HeaderName) -> Vec<NameAddr> {
        self.elements(name).filter_map(|text| text.parse().ok()).collect() // A malformed element is left out.
    }

    /// `From`.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr> {
        self.address(&HeaderName::From)
    }

    /// `To`.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr> {
        self.address(&HeaderName::To)
    }

    /// `Call-ID`.
    #[must_use]
    pub fn call_id(&self) -> Option<CallId> {
        CallId::new(self.first(&HeaderName::CallId)?).ok() // Refused by the parser before.
    }

    /// `CSeq`.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(self.first(&HeaderName::CSeq)?)
    }

    /// `Max-Forwards`, 0 to 255.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        u8::try_from(text::decimal(self.first(&HeaderName::MaxForwards)?)?).ok() // Refused by the parser before.
    }

    /// All `Contact` addresses in order. `*` is none.
    #[must_use]
    pub fn contacts(&self) -> Vec<NameAddr> {
        self.addresses(&HeaderName::Contact)
    }

    /// All `Route` addresses in order.
    #[must_use]
    pub fn routes(&self) -> Vec<NameAddr> {
        self.addresses(&HeaderName::Route)
    }

    /// All `Record-Route` addresses in order.
    #[must_use]
    pub fn record_routes(&self) -> Vec<NameAddr> {
        self.addresses(&HeaderName::RecordRoute)
    }

    /// All `P-Asserted-Identity` addresses. To be believed from trusted peers only (RFC 3325).
    #[must_use]
    pub fn asserted_identities(&self) -> Vec<NameAddr> {
        self.addresses(&HeaderName::PAssertedIdentity)
    }

    /// `Refer-To`.
    #[must_use]
    pub fn refer_to(&self) -> Option<NameAddr> {
        self.address(&HeaderName::ReferTo)
    }

    /// `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> Option<MediaType> {
        MediaType::parse(self.first(&HeaderName::ContentType)?)
    }

    /// `Expires`, seconds; too great a number is the greatest one.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        seconds_saturating(self.first(&HeaderName::Expires)?)
    }

    /// `Min-Expires`, seconds (RFC 3261 section 20.23).
    #[must_use]
    pub fn min_expires(&self) -> Option<u32> {
        seconds_saturating(self.first(&HeaderName::MinExpires)?)
    }

    /// `Session-Expires`.
    #[must_use]
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.first(&HeaderName::SessionExpires)?)
    }

    /// `Min-SE`, seconds.
    #[must_use]
    pub fn min_se(&self) -> Option<u32> {
        let value = self.first(&HeaderName::MinSe)?;
        seconds_saturating(value.split(';').next()?)
    }

    /// `RSeq`, 1 to 2^31-1 (RFC 3262 section 7.1); any other number is none.
    #[must_use]
    pub fn rseq(&self) -> Option<u32> {
        let number = text::decimal(self.first(&HeaderName::RSeq)?)?;
        u32::try_from(number).ok().filter(|n| (1..=0x7fff_ffff).contains(n)) // Out of range: as good as none.
    }

    /// `RAck`.
    #[must_use]
    pub fn rack(&self) -> Option<RAck> {
        RAck::parse(self.first(&HeaderName::RAck)?)
    }

    /// `Retry-After`, capped.
    #[must_use]
    pub fn retry_after(&self) -> Option<RetryAfter> {
        let value = self.first(&HeaderName::RetryAfter)?;
        let digits = value.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(RetryAfter { seconds: seconds_saturating(digits)?.min(MAX_RETRY_AFTER) })
    }

    /// All `Reason` elements in order, malformed ones left out.
    #[must_use]
    pub fn reasons(&self) -> Vec<Reason> {
        self.elements(&HeaderName::Reason).filter_map(Reason::parse).collect()
    }

    /// The first Q.850 cause among the `Reason` elements.
    #[must_use]
    pub fn q850_cause(&self) -> Option<u8> {
        self.reasons().iter().find_map(Reason::q850)
    }

    /// Whether `Supported` lists this option tag.
    #[must_use]
    pub fn supports(&self, option: &str) -> bool {
        self.lists(&HeaderName::Supported, option)
    }

    /// Whether `Require` lists this option tag.
    #[must_use]
    pub fn requires(&self, option: &str) -> bool {
        self.lists(&HeaderName::Require, option)
    }

    /// Whether `Allow` lists this method; None when there is no `Allow`.
    #[must_use]
    pub fn allowance(&self, method: &Method) -> Option<Allowance> {
        self.first(&HeaderName::Allow)?;
        let listed = self.elements(&HeaderName::Allow).any(|element| element == method.as_str());
        Some(if listed { Allowance::Listed } else { Allowance::NotListed })
    }
}

/// What an `Allow` header says of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// The peer serves it.
    Listed,
    /// The peer does not serve it.
    NotListed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push(name, HeaderValue::new(value).expect("clean"));
        headers
    }

    #[test]
    fn cseq_takes_32_bits_and_no_more() {
        assert_eq!(CSeq::parse("0009   INVITE").map(|c| c.to_string()), Some("9 INVITE".to_owned()));
        assert!(CSeq::parse("4294967295 BYE").is_some());
        for bad in ["4294967296 BYE", "36893488147419103232 REGISTER", "-1 BYE", "1", "1 A B", ""] {
            assert!(CSeq::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn q850_is_found_among_reasons() {
        let headers = with(HeaderName::Reason, "SIP;cause=486, Q.850;cause=17;text=\"User busy, sorry\"");
        assert_eq!(headers.q850_cause(), Some(17));
        assert_eq!(headers.reasons()[1].text.as_deref(), Some("User busy, sorry"));
        assert_eq!(with(HeaderName::Reason, "preemption;cause=1").q850_cause(), None);
        assert_eq!(with(HeaderName::Reason, "Q.850;cause=300").q850_cause(), None);
    }

    #[test]
    fn timers_saturate() {
        assert_eq!(
            with(HeaderName::RetryAfter, "99999999999999999999").retry_after(),
            Some(RetryAfter { seconds: 300 })
        );
        assert_eq!(
            with(HeaderName::RetryAfter, "18 (busy);duration=9").retry_after(),
            Some(RetryAfter { seconds: 18 })
        );
        assert_eq!(with(HeaderName::Expires, "4294967296").expires(), Some(u32::MAX));
        let parsed = with(HeaderName::SessionExpires, "1800 ;refresher=UAS").session_expires();
        assert_eq!(parsed, Some(SessionExpires { seconds: 1800, refresher: Some(Refresher::Uas) }));
        assert_eq!(with(HeaderName::RSeq, "0").rseq(), None);
        assert_eq!(with(HeaderName::RSeq, "2147483648").rseq(), None);
        assert_eq!(with(HeaderName::RAck, "4294967296 1 INVITE").rack(), None);
    }

    #[test]
    fn top_via_is_replaced_and_the_rest_stays() {
        let mut headers = with(HeaderName::Via, "SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/UDP b;branch=z9hG4bK2");
        let mut via = headers.top_via().expect("via");
        via.set_source([192, 0, 2, 1].into(), 9);
        headers.set_top_via(&via);
        assert_eq!(
            headers.first(&HeaderName::Via),
            Some("SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.1, SIP/2.0/UDP b;branch=z9hG4bK2")
        );
    }
}
