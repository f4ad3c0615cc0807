//! Header names, values and the ordered list of both.
//!
//! Hides case, compact forms and comma lists. A value never holds a CR or LF: what is read was cut at line ends, what is
//! made from application text is checked. So the printer cannot be talked into one header more.

use std::fmt;

use super::text::{self, TextError, Token};

/// Longest header value an application may set, octets.
const MAX_APPLICATION_VALUE: usize = 4096;

macro_rules! header_names {
    ($($variant:ident = $text:literal $(| $compact:literal)?,)*) => {
        /// A header name. Known names have a variant; others keep the case in which they were written.
        #[derive(Debug, Clone)]
        #[allow(missing_docs, reason = "each variant is the header of that name")]
        pub enum HeaderName {
            $($variant,)*
            /// Any other name.
            Other(Token),
        }

        impl HeaderName {
            /// The name in its long form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(token) => token.as_str(),
                }
            }

            fn known(text: &str) -> Option<Self> {
                $(
                    if text.eq_ignore_ascii_case($text) $(|| text.eq_ignore_ascii_case($compact))? {
                        return Some(Self::$variant);
                    }
                )*
                None
            }
        }
    };
}

header_names! {
    Via = "Via" | "v",
    From = "From" | "f",
    To = "To" | "t",
    CallId = "Call-ID" | "i",
    CSeq = "CSeq",
    Contact = "Contact" | "m",
    MaxForwards = "Max-Forwards",
    ContentLength = "Content-Length" | "l",
    ContentType = "Content-Type" | "c",
    Route = "Route",
    RecordRoute = "Record-Route",
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AlertInfo = "Alert-Info",
    Allow = "Allow",
    AllowEvents = "Allow-Events" | "u",
    AuthenticationInfo = "Authentication-Info",
    Authorization = "Authorization",
    CallInfo = "Call-Info",
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" | "e",
    ContentLanguage = "Content-Language",
    Date = "Date",
    Diversion = "Diversion",
    Event = "Event" | "o",
    Expires = "Expires",
    HistoryInfo = "History-Info",
    Identity = "Identity" | "y",
    MinExpires = "Min-Expires",
    MinSe = "Min-SE",
    PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity",
    Path = "Path",
    Privacy = "Privacy",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyRequire = "Proxy-Require",
    RAck = "RAck",
    RSeq = "RSeq",
    Reason = "Reason",
    ReferTo = "Refer-To" | "r",
    ReferredBy = "Referred-By" | "b",
    RemotePartyId = "Remote-Party-ID",
    Replaces = "Replaces",
    Require = "Require",
    RetryAfter = "Retry-After",
    Server = "Server",
    ServiceRoute = "Service-Route",
    SessionExpires = "Session-Expires" | "x",
    Subject = "Subject" | "s",
    SubscriptionState = "Subscription-State",
    Supported = "Supported" | "k",
    Timestamp = "Timestamp",
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    Warning = "Warning",
    WwwAuthenticate = "WWW-Authenticate",
}

impl HeaderName {
    /// Reads a name, long or compact, in any case.
    ///
    /// # Errors
    /// [`TextError`] when the text is no token.
    pub fn new(text: &str) -> Result<Self, TextError> {
        match Self::known(text) {
            Some(name) => Ok(name),
            None => Token::new(text).map(Self::Other),
        }
    }

    /// Whether the user agent itself writes this header: an application that sets it could forge a route, a dialog or a
    /// body. Custom headers of a call must not be structural.
    #[must_use]
    pub fn is_structural(&self) -> bool {
        matches!(
            self,
            Self::Via
                | Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::Contact
                | Self::MaxForwards
                | Self::ContentLength
                | Self::ContentType
                | Self::ContentEncoding
                | Self::ContentDisposition
                | Self::Route
                | Self::RecordRoute
                | Self::Authorization
                | Self::ProxyAuthorization
                | Self::ProxyRequire
                | Self::Require
                | Self::Supported
                | Self::RAck
                | Self::RSeq
                | Self::Replaces
                | Self::ReferTo
                | Self::Event
                | Self::SessionExpires
                | Self::MinSe
                | Self::Path
                | Self::ServiceRoute
        )
    }

    /// Headers that may stand once only (RFC 3261 section 7.3.1 and table 2).
    pub(crate) const fn is_singleton(&self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
                | Self::ContentType
        )
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.as_str().eq_ignore_ascii_case(b.as_str()),
            (Self::Other(_), _) | (_, Self::Other(_)) => false,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for HeaderName {}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text of one header line, unfolded, without blanks around. Never holds CR or LF.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue(Box<str>);

impl HeaderValue {
    /// Takes application text.
    ///
    /// # Errors
    /// [`TextError::Forbidden`] for control characters (tab excepted) and line separators, [`TextError::TooLong`] above
    /// 4096 octets. An empty value is allowed.
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.len() > MAX_APPLICATION_VALUE {
            return Err(TextError::TooLong);
        }
        if text.chars().any(|c| c != '\t' && text::is_line_breaking(c)) {
            return Err(TextError::Forbidden);
        }
        Ok(Self(text::trim(text).into()))
    }

    /// Takes what this crate printed or read. Line ends, which neither should hold, become spaces.
    pub(crate) fn clean(text: String) -> Self {
        if text.bytes().any(|b| matches!(b, b'\r' | b'\n')) {
            return Self(text.replace(['\r', '\n'], " ").into());
        }
        Self(text.into())
    }

    /// A list of tokens such as option tags or methods; not for application text.
    pub fn list<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        Self::clean(tokens.into_iter().collect::<Vec<_>>().join(", "))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Header values carry numbers, names and secrets; logs get the length only.
impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} octets>", self.0.len())
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<u32> for HeaderValue {
    fn from(number: u32) -> Self {
        Self::clean(number.to_string())
    }
}

/// One header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: HeaderName,
    /// The value.
    pub value: HeaderValue,
}

/// The headers of a message in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No headers.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a line at the end.
    pub fn push(&mut self, name: HeaderName, value: impl Into<HeaderValue>) {
        self.0.push(Header { name, value: value.into() });
    }

    /// Adds a line before all others (a request's own `Via`).
    pub fn push_front(&mut self, name: HeaderName, value: impl Into<HeaderValue>) {
        self.0.insert(0, Header { name, value: value.into() });
    }

    /// Replaces the first line of this name in place and removes the others, or adds one.
    pub fn set(&mut self, name: HeaderName, value: impl Into<HeaderValue>) {
        let value = value.into();
        match self.0.iter().position(|header| header.name == name) {
            Some(first) => {
                let mut at = 0;
                self.0.retain(|header| {
                    let keep = header.name != name || at == first;
                    at += 1;
                    keep
                });
                if let Some(header) = self.0.get_mut(first) {
                    header.value = value;
                }
            }
            None => self.0.push(Header { name, value }),
        }
    }

    /// Removes all lines of this name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.0.retain(|header| header.name != *name);
    }

    /// Replaces the first line of this name, leaving the others.
    pub(crate) fn replace_first(&mut self, name: &HeaderName, value: HeaderValue) {
        if let Some(header) = self.0.iter_mut().find(|header| header.name == *name) {
            header.value = value;
        }
    }

    /// The text of the first line of this name.
    #[must_use]
    pub fn first(&self, name: &HeaderName) -> Option<&str> {
        self.0.iter().find(|header| header.name == *name).map(|header| header.value.as_str())
    }

    /// The texts of all lines of this name, not split at commas.
    pub fn all<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a str> {
        let name = name.clone();
        self.0.iter().filter(move |header| header.name == name).map(|header| header.value.as_str())
    }

    /// The elements of a comma list over all lines of this name, trimmed, empty ones left out.
    pub fn elements<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a str> {
        self.all(name).flat_map(text::split_list).map(text::trim).filter(|element| !element.is_empty())
    }

    /// Whether a list header such as `Supported` or `Require` holds `token` (compared without case).
    #[must_use]
    pub fn lists(&self, name: &HeaderName, token: &str) -> bool {
        self.elements(name).any(|element| element.eq_ignore_ascii_case(token))
    }

    /// Whether a line of this name is there.
    #[must_use]
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.first(name).is_some()
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_and_odd_case_names_are_the_same_name() {
        for (written, name) in
            [("i", HeaderName::CallId), ("L", HeaderName::ContentLength), ("MaX-fOrWaRdS", HeaderName::MaxForwards)]
        {
            assert_eq!(HeaderName::new(written), Ok(name));
        }
        assert_eq!(HeaderName::new("X-A"), HeaderName::new("x-a"));
        assert_eq!(HeaderName::new("X A"), Err(TextError::Forbidden));
    }

    #[test]
    fn application_values_cannot_end_a_line() {
        for bad in ["a\r\nRoute: x", "a\nb", "a\0b", "a\u{2028}b", "a\u{85}b"] {
            assert_eq!(HeaderValue::new(bad), Err(TextError::Forbidden), "{bad:?}");
        }
        assert_eq!(HeaderValue::new(" a;b\"c> ").map(|v| v.to_string()), Ok("a;b\"c>".to_owned()));
    }

    #[test]
    fn set_keeps_place_and_leaves_one() {
        let mut headers = Headers::new();
        headers.push(HeaderName::Subject, 1);
        headers.push(HeaderName::Expires, 2);
        headers.push(HeaderName::Subject, 3);
        headers.set(HeaderName::Subject, 4);
        let seen: Vec<_> = headers.iter().map(|h| format!("{}:{}", h.name, h.value)).collect();
        assert_eq!(seen, ["Subject:4", "Expires:2"]);
    }
}
