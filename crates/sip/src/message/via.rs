//! `Via`: the way back (RFC 3261 section 20.42, RFC 3581).
//!
//! Hides the blanks the grammar allows inside `SIP / 2.0 / UDP`. It never decides where an answer goes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::headers::HeaderValue;
use super::params::Params;
use super::text::{self, TextError, Token};
use super::uri::{Host, UriError, host_port};

/// What every branch made by RFC 3261 begins with.
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// One `Via` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    transport: Token,
    host: Host,
    port: Option<u16>,
    params: Params,
}

impl Via {
    /// `SIP/2.0/transport host:port;branch=branch;rport`.
    ///
    /// # Errors
    /// A transport or a branch that is no token.
    pub fn new(transport: &str, host: Host, port: Option<u16>, branch: &str) -> Result<Self, TextError> {
        let mut params = Params::new();
        params.set_flag("rport")?;
        params.set("branch", Token::new(branch)?.as_str())?;
        Ok(Self { transport: Token::new(transport)?, host, port, params })
    }

    /// The transport as written (`UDP`, `TCP`, ...).
    #[must_use]
    pub fn transport(&self) -> &str {
        self.transport.as_str()
    }

    /// The host of sent-by.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port of sent-by, if written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The branch as written. An RFC 2543 peer has none.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch when it identifies a transaction by itself: the cookie and at least one octet more
    /// (RFC 3261 section 17.2.3; RFC 4475 section 3.2.1 shows a bare cookie).
    #[must_use]
    pub fn unique_branch(&self) -> Option<&str> {
        let branch = self.branch()?;
        // The cookie is compared without case as all tokens are (RFC 3261 section 7.3.1).
        let cookie = branch.get(..BRANCH_COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(BRANCH_COOKIE) && branch.len() > BRANCH_COOKIE.len()).then_some(branch)
    }

    /// `received`, with or without brackets around an IPv6 address (RFC 5118 section 4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.value("received")?;
        let text = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        text.parse().ok() // Another form is as good as none: the packet's source is what counts.
    }

    /// The port in `rport`, when the parameter has one.
    #[must_use]
    pub fn rport(&self) -> Option<u16> {
        let value = self.params.value("rport")?;
        u16::try_from(text::decimal(value)?).ok() // Out of range: as good as none.
    }

    /// Whether the sender asked for `rport` (RFC 3581).
    #[must_use]
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Notes where the request really came from: `received` always, `rport` where asked (RFC 3581 section 4).
    pub fn set_source(&mut self, address: IpAddr, port: u16) {
        let noted = self
            .params
            .set("received", &address.to_string())
            .and_then(|()| if self.wants_rport() { self.params.set("rport", &port.to_string()) } else { Ok(()) });
        debug_assert!(noted.is_ok(), "an address and a number are always printable");
    }
}

impl FromStr for Via {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (protocol, rest) = text.split_once('/').ok_or(UriError)?;
        let (version, rest) = rest.split_once('/').ok_or(UriError)?;
        let rest = text::trim(rest);
        let transport_end = rest.find([' ', '\t']).ok_or(UriError)?;
        let (transport, rest) = rest.split_at(transport_end);
        if !text::trim(protocol).eq_ignore_ascii_case("SIP") || text::trim(version) != "2.0" {
            return Err(UriError);
        }
        let params_at = rest.find(';').unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at(params_at);
        let (host, port) = host_port(sent_by).ok_or(UriError)?;
        Ok(Self {
            transport: Token::new(transport).map_err(|_| UriError)?,
            host,
            port,
            params: Params::parse(params).ok_or(UriError)?,
        })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

impl From<&Via> for HeaderValue {
    fn from(via: &Via) -> Self {
        Self::clean(via.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Via {
        text.parse().expect(text)
    }

    #[test]
    fn blanks_inside_are_allowed() {
        let via = read("SIP  / 2.0  / TCP     spindle.example.com   ;\t  branch  =   z9hG4bK9ikj8  ");
        assert_eq!(via.to_string(), "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8");
        assert_eq!(via.unique_branch(), Some("z9hG4bK9ikj8"));
    }

    #[test]
    fn received_is_read_in_both_forms() {
        let expected: IpAddr = "2001:db8::9:255".parse().expect("address");
        for text in [
            "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111",
            "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3",
        ] {
            assert_eq!(read(text).received(), Some(expected));
        }
    }

    #[test]
    fn bare_cookie_is_no_unique_branch() {
        assert_eq!(read("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK").unique_branch(), None);
        assert_eq!(read("SIP/2.0/UDP 192.0.2.1").branch(), None);
    }

    #[test]
    fn source_is_noted_where_asked() {
        let mut via = read("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKx");
        via.set_source("192.0.2.7".parse().expect("address"), 1024);
        assert_eq!(via.to_string(), "SIP/2.0/UDP 10.0.0.1:5060;rport=1024;branch=z9hG4bKx;received=192.0.2.7");
    }

    #[test]
    fn malformed_is_refused() {
        for bad in ["SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP", "SIP/2.0 x", "HTTP/2.0/TCP a", "SIP/2.0/U/DP a:x"] {
            assert!(bad.parse::<Via>().is_err(), "{bad}");
        }
    }
}
