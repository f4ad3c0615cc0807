//! Addresses: `sip:`, `sips:`, `tel:` and whatever else a peer names (RFC 3261 section 19.1, RFC 3966).
//!
//! Hides escaping. A part read from the wire is kept as written; a part made from application text is escaped, so no
//! string can add a parameter, a header or a second host. Nothing here resolves or contacts an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::params::Params;
use super::text::{self, TextError};

/// Longest host name taken (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 255;

/// A host: name or literal address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to be resolved.
    Name(HostName),
    /// An IPv4 literal.
    V4(Ipv4Addr),
    /// An IPv6 literal, in brackets on the wire.
    V6(Ipv6Addr),
}

/// A host name: letters, digits, `-`, `.` and `_`. Compared without case.
#[derive(Clone)]
pub struct HostName(Box<str>);

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid address")]
pub struct UriError;

impl HostName {
    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for HostName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for HostName {}

impl std::hash::Hash for HostName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl FromStr for Host {
    type Err = UriError;

    /// Reads a name, `192.0.2.1` or `[2001:db8::1]`.
    fn from_str(text: &str) -> Result<Self, UriError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(UriError)?;
            return inner.parse().map(Self::V6).map_err(|_| UriError);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::V4(address));
        }
        let named = !text.is_empty()
            && text.len() <= MAX_HOST
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if named { Ok(Self::Name(HostName(text.into()))) } else { Err(UriError) }
    }
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(v6),
        }
    }
}

impl Host {
    /// The literal address, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(v4) => Some(IpAddr::V4(*v4)),
            Self::V6(v6) => Some(IpAddr::V6(*v6)),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&name.0),
            Self::V4(v4) => write!(f, "{v4}"),
            Self::V6(v6) => write!(f, "[{v6}]"),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `host [":" port]` with blanks allowed around the colon.
pub(crate) fn host_port(text: &str) -> Option<(Host, Option<u16>)> {
    let text = text::trim(text);
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let host = text::trim(text.get(..host_end)?).parse().ok()?;
    let rest = text::trim(text.get(host_end..)?);
    if rest.is_empty() {
        return Some((host, None));
    }
    let digits = text::trim(rest.strip_prefix(':')?);
    let port = text::decimal(digits).and_then(|port| u16::try_from(port).ok())?;
    Some((host, Some(port)))
}

/// An address of any scheme.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Uri {
    /// `sip:` and `sips:`.
    Sip(SipUri),
    /// `tel:`.
    Tel(TelUri),
    /// Any other scheme, kept as written and never acted upon.
    Other(OpaqueUri),
}

/// A `sip:` or `sips:` address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SipUri {
    secure: bool,
    /// Escaped, as on the wire.
    user: Option<Box<str>>,
    /// Escaped, as on the wire.
    password: Option<Box<str>>,
    host: Host,
    port: Option<u16>,
    params: Params,
    /// What stands after `?`, escaped, as on the wire.
    headers: Option<Box<str>>,
}

/// A `tel:` address (RFC 3966).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TelUri {
    number: Box<str>,
    params: Params,
}

/// An address of a scheme this crate does not know.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OpaqueUri {
    scheme: Box<str>,
    rest: Box<str>,
}

impl Uri {
    /// The scheme in the case in which it was written (`sip`, `sips`, `tel`, ...).
    #[must_use]
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(uri) if uri.secure => "sips",
            Self::Sip(_) => "sip",
            Self::Tel(_) => "tel",
            Self::Other(uri) => &uri.scheme,
        }
    }

    /// The `sip:` or `sips:` address, if it is one.
    #[must_use]
    pub const fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Tel(_) | Self::Other(_) => None,
        }
    }

    /// Whether both name the same resource by RFC 3261 section 19.1.4 (escapes decoded once, known parameters weighed).
    #[must_use]
    pub fn equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sip(a), Self::Sip(b)) => a.equivalent(b),
            (Self::Tel(a), Self::Tel(b)) => {
                digits(&a.number).eq(digits(&b.number)) && params_agree(&a.params, &b.params, &[])
            }
            (Self::Other(a), Self::Other(b)) => a.scheme.eq_ignore_ascii_case(&b.scheme) && a.rest == b.rest,
            (Self::Sip(_) | Self::Tel(_) | Self::Other(_), _) => false,
        }
    }
}

/// A telephone number without its visual separators (RFC 3966 section 4).
fn digits(number: &str) -> impl Iterator<Item = u8> {
    number.bytes().filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')')).map(|b| b.to_ascii_lowercase())
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError)?;
        let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let rest_ok =
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\'));
        if !scheme_ok || !rest_ok {
            return Err(UriError);
        }
        if scheme.eq_ignore_ascii_case("sip") {
            SipUri::parse(false, rest).map(Self::Sip).ok_or(UriError)
        } else if scheme.eq_ignore_ascii_case("sips") {
            SipUri::parse(true, rest).map(Self::Sip).ok_or(UriError)
        } else if scheme.eq_ignore_ascii_case("tel") {
            TelUri::parse(rest).map(Self::Tel).ok_or(UriError)
        } else {
            Ok(Self::Other(OpaqueUri { scheme: scheme.into(), rest: rest.into() }))
        }
    }
}

impl SipUri {
    /// `sip:host`, to be filled by the `with_` functions.
    #[must_use]
    pub const fn new(host: Host) -> Self {
        Self { secure: false, user: None, password: None, host, port: None, params: Params::new(), headers: None }
    }

    /// With this user part. Everything that means something in an address is escaped, `%` too.
    ///
    /// # Errors
    /// An empty text, a control character or a line separator.
    pub fn with_user(mut self, user: &str) -> Result<Self, TextError> {
        if user.is_empty() {
            return Err(TextError::Empty);
        }
        if user.chars().any(text::is_line_breaking) {
            return Err(TextError::Forbidden);
        }
        self.user = Some(text::percent_encode(user, is_user_byte).into());
        Ok(self)
    }

    /// With this port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// As `sips:`.
    #[must_use]
    pub const fn into_secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// With the parameter `name`, its value escaped.
    ///
    /// # Errors
    /// A name that is no token, or a value with a control character.
    pub fn with_param(mut self, name: &str, value: &str) -> Result<Self, TextError> {
        self.params.set_escaped(name, value)?;
        Ok(self)
    }

    /// With the parameter `name` without a value, such as `lr`.
    ///
    /// # Errors
    /// A name that is no token.
    pub fn with_flag(mut self, name: &str) -> Result<Self, TextError> {
        self.params.set_flag(name)?;
        Ok(self)
    }

    /// Without the headers part (`?...`), which a request URI must not carry (RFC 3261 section 19.1.1).
    #[must_use]
    pub fn without_headers(mut self) -> Self {
        self.headers = None;
        self
    }

    fn parse(secure: bool, rest: &str) -> Option<Self> {
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        // '@' is allowed nowhere else unescaped; a second one would leave the host open to argument.
        if rest.contains('@') {
            return None;
        }
        let (user, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => match userinfo.split_once(':') {
                Some((user, password)) => (Some(user), Some(password)),
                None => (Some(userinfo), None),
            },
        };
        if user.is_some_and(str::is_empty) {
            return None;
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let params_at = rest.find(';').unwrap_or(rest.len());
        let (host, port) = host_port(rest.get(..params_at)?)?;
        let params = Params::parse(rest.get(params_at..)?)?;
        Some(Self {
            secure,
            user: user.map(Into::into),
            password: password.map(Into::into),
            host,
            port,
            params,
            headers: headers.map(Into::into),
        })
    }

    /// Whether it is `sips:`.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The user part, escaped as on the wire.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The user part with escapes decoded once; octets that are no UTF-8 become U+FFFD. A NUL stays a NUL.
    #[must_use]
    pub fn user_decoded(&self) -> Option<String> {
        let user = self.user.as_deref()?;
        Some(String::from_utf8_lossy(&text::percent_decode(user)).into_owned())
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, if one is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters, escaped as on the wire.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The value of a parameter such as `transport` or `lr` (empty when it has none), escaped as on the wire.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| text::percent_decode(known).eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.unwrap_or(""))
    }

    /// Whether a loose router wrote it (`lr`, RFC 3261 section 19.1.1).
    #[must_use]
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// What stands after `?`, escaped as on the wire. Never turned into headers of anything sent.
    #[must_use]
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    fn equivalent(&self, other: &Self) -> bool {
        let same_text = |a: &Option<Box<str>>, b: &Option<Box<str>>| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => text::percent_decode(a) == text::percent_decode(b),
            _ => false,
        };
        self.secure == other.secure
            && same_text(&self.user, &other.user)
            && same_text(&self.password, &other.password)
            && self.host == other.host
            && self.port == other.port
            && params_agree(&self.params, &other.params, &["user", "ttl", "method", "maddr", "transport"])
            && same_headers(self.headers.as_deref(), other.headers.as_deref())
    }
}

/// Parameters in both must be equal; those in `weighty` must be in both or in neither.
fn params_agree(a: &Params, b: &Params, weighty: &[&str]) -> bool {
    let one_way = |from: &Params, to: &Params| {
        from.iter().all(|(name, value)| {
            let name = text::percent_decode(name);
            let twin = to.iter().find(|(other, _)| text::percent_decode(other).eq_ignore_ascii_case(&name));
            match twin {
                Some((_, other)) => text::percent_decode(value.unwrap_or(""))
                    .eq_ignore_ascii_case(&text::percent_decode(other.unwrap_or(""))),
                None => !weighty.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())),
            }
        })
    };
    one_way(a, b) && one_way(b, a)
}

/// Header parts agree when they hold the same `name=value` pairs in any order.
fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let sorted = |text: &str| {
        let mut pairs: Vec<_> = text.split('&').map(|pair| text::percent_decode(pair).into_owned()).collect();
        pairs.sort_unstable();
        pairs
    };
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => sorted(a) == sorted(b),
        _ => false,
    }
}

/// What a user part made from application text may show unescaped: unreserved characters and `+&=$,/`.
const fn is_user_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
        || matches!(byte, b'+' | b'&' | b'=' | b'$' | b',' | b'/')
}

impl TelUri {
    fn parse(rest: &str) -> Option<Self> {
        let params_at = rest.find(';').unwrap_or(rest.len());
        let number = rest.get(..params_at)?;
        let number_ok = !number.is_empty()
            && number
                .bytes()
                .all(|b| b.is_ascii_hexdigit() || matches!(b, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#'));
        if !number_ok {
            return None;
        }
        Some(Self { number: number.into(), params: Params::parse(rest.get(params_at..)?)? })
    }

    /// The number as written, separators included.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The parameters, such as `phone-context`.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }
}

impl OpaqueUri {
    /// What stands after the scheme's colon.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => write!(f, "{uri}"),
            Self::Tel(uri) => write!(f, "tel:{}{}", uri.number, uri.params),
            Self::Other(uri) => write!(f, "{}:{}", uri.scheme, uri.rest),
        }
    }
}

// A user part is often a telephone number and a password is a password: neither is shown whole.
impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "sips" } else { "sip" };
        let user = if self.user.is_some() { "***@" } else { "" };
        write!(f, "{scheme}:{user}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => fmt::Debug::fmt(uri, f),
            Self::Tel(_) | Self::Other(_) => write!(f, "{}:***", self.scheme()),
        }
    }
}
