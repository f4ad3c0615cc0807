//! `"Display" <uri>;tag=...`: what stands in From, To, Contact, Route and their kin (RFC 3261 section 20.10).
//!
//! Hides quoting and the bare form without brackets, in which parameters belong to the header, not to the URI.

use std::fmt;

use super::headers::HeaderValue;
use super::params::Params;
use super::text::{self, TextError};
use super::uri::{Uri, UriError};

/// A name-addr or addr-spec with its header parameters. Always printed with brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameAddr {
    display: DisplayName,
    uri: Uri,
    params: Params,
}

/// A display name, quotes undone. Masked in Debug output: it names a person.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct DisplayName(Option<Box<str>>);

impl fmt::Debug for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "***" } else { "-" })
    }
}

impl NameAddr {
    /// `<uri>`.
    #[must_use]
    pub fn new(uri: impl Into<Uri>) -> Self {
        Self { display: DisplayName::default(), uri: uri.into(), params: Params::new() }
    }

    /// With a display name. Quotes and backslashes are escaped when printed.
    ///
    /// # Errors
    /// [`TextError::Forbidden`] for control characters and line separators, which cannot be escaped.
    pub fn with_display(mut self, display: &str) -> Result<Self, TextError> {
        if display.chars().any(text::is_line_breaking) {
            return Err(TextError::Forbidden);
        }
        self.display = DisplayName(Some(display.into()));
        Ok(self)
    }

    /// With the dialog tag `tag`.
    ///
    /// # Errors
    /// A tag that is no token.
    pub fn with_tag(mut self, tag: &str) -> Result<Self, TextError> {
        let tag = text::Token::new(tag)?;
        self.params.set("tag", tag.as_str())?;
        Ok(self)
    }

    /// With a header parameter.
    ///
    /// # Errors
    /// As [`Params::set`].
    pub fn with_param(mut self, name: &str, value: &str) -> Result<Self, TextError> {
        self.params.set(name, value)?;
        Ok(self)
    }

    /// Without any header parameter (a To made from a From of another dialog).
    #[must_use]
    pub fn without_params(mut self) -> Self {
        self.params = Params::new();
        self
    }

    /// The display name, quotes undone.
    #[must_use]
    pub fn display(&self) -> Option<&str> {
        self.display.0.as_deref()
    }

    /// The address.
    #[must_use]
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The header parameters.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The value of a header parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.value(name)
    }

    /// The dialog tag. An empty one counts as none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }
}

impl std::str::FromStr for NameAddr {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let text = text::trim(text);
        if let Some((inner, rest)) = text::quoted_prefix(text) {
            let display = text::unescape_quoted(inner).into();
            let rest = text::trim(rest).strip_prefix('<').ok_or(UriError)?;
            return bracketed(Some(display), rest);
        }
        if text.starts_with('"') {
            return Err(UriError); // An open quote: guessing where it ends could merge two addresses.
        }
        let Some((display, rest)) = text.split_once('<') else {
            return bare(text);
        };
        let display = text::trim(display);
        if display.contains(['"', '>', ';']) {
            return Err(UriError);
        }
        bracketed((!display.is_empty()).then(|| display.into()), rest)
    }
}

/// Reads `uri>;params`.
fn bracketed(display: Option<Box<str>>, rest: &str) -> Result<NameAddr, UriError> {
    let (uri, params) = rest.split_once('>').ok_or(UriError)?;
    Ok(NameAddr {
        display: DisplayName(display),
        uri: text::trim(uri).parse()?,
        params: Params::parse(params).ok_or(UriError)?,
    })
}

/// Reads `uri;params`. A URI with `,` or `?` must stand in brackets (RFC 3261 section 20), so it is refused here.
fn bare(text: &str) -> Result<NameAddr, UriError> {
    let params_at = text.find(';').unwrap_or(text.len());
    let (uri, params) = text.split_at(params_at);
    if uri.contains([',', '?']) {
        return Err(UriError);
    }
    Ok(NameAddr {
        display: DisplayName::default(),
        uri: text::trim(uri).parse()?,
        params: Params::parse(params).ok_or(UriError)?,
    })
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display.0 {
            text::write_quoted(f, display)?;
            f.write_str(" ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

impl From<&NameAddr> for HeaderValue {
    fn from(address: &NameAddr) -> Self {
        Self::clean(address.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NameAddr {
        text.parse().expect(text)
    }

    #[test]
    fn bare_parameters_belong_to_the_header() {
        let bare = read("sip:+19725552222@gw1.example.net;unknownparam");
        assert!(bare.params().contains("unknownparam"));
        assert!(bare.uri().as_sip().expect("sip").params().is_empty());
        let inside = read("<sip:+19725552222@gw1.example.net;unknownparam>");
        assert!(inside.params().is_empty());
        assert!(inside.uri().as_sip().expect("sip").params().contains("unknownparam"));
    }

    #[test]
    fn names_with_odd_blanks_are_read() {
        assert_eq!(read("caller<sip:c@example.com>;tag=323").display(), Some("caller"));
        assert_eq!(read("\"A\\\\\\\"\"   <sip:c@example.com>\t;\ttag = 9").display(), Some("A\\\""));
        assert_eq!(read("Bell, Alexander <sip:a@example.com>;tag=43").display(), Some("Bell, Alexander"));
        assert_eq!(read("\"W\" < sip:w@example.org >").uri().to_string(), "sip:w@example.org");
    }

    #[test]
    fn open_quotes_and_brackets_are_refused() {
        for bad in [
            "\"Mr. J. User <sip:j@example.com>",
            "<sip:j@example.com",
            "sip:u@example.com?Route=%3Csip:x%3E",
            "\"a\" b <sip:x@y>",
            "\"Joe\" <sip:joe@example.org>;;;;",
            "",
        ] {
            assert!(bad.parse::<NameAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn application_display_names_cannot_leave_their_quotes() {
        let uri: Uri = "sip:a@example.com".parse().expect("uri");
        let named = NameAddr::new(uri.clone()).with_display("x\" <sip:evil@e>\\").expect("printable");
        let printed = named.to_string();
        assert_eq!(printed.parse::<NameAddr>().expect("reads back"), named);
        assert!(NameAddr::new(uri).with_display("a\r\nb").is_err());
    }
}
