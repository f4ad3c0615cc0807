//! SIP messages: types, reading, printing, checking (RFC 3261 sections 7 and 25).
//!
//! Hides the wire. What is read is framed strictly and its style taken tolerantly; what is printed is made of parts that
//! were checked when they were made, so no application string can add a line. Nothing here knows transactions, dialogs,
//! clocks or sockets, and bodies are octets.

use std::fmt;

mod headers;
mod method;
mod multipart;
mod name_addr;
mod params;
mod parse;
mod print;
mod stream;
mod text;
mod typed;
mod uri;
mod validate;
mod via;

pub use headers::{Header, HeaderName, HeaderValue, Headers};
pub use method::{Method, StatusCode};
pub use multipart::{MAX_DEPTH, MAX_PARTS, MultipartError, Part, find_body, parts};
pub use name_addr::NameAddr;
pub use params::Params;
pub use parse::{
    MAX_DATAGRAM, MAX_HEADER_LINE, MAX_HEADERS, MAX_HOPS, MAX_STREAM_MESSAGE, MAX_VIAS, ParseError, ParseErrorKind,
    parse_datagram,
};
pub use stream::{StreamItem, StreamParser};
pub use text::{TextError, Token};
pub use typed::{
    Allowance, CSeq, CallId, MAX_RETRY_AFTER, MediaType, RAck, Reason, Refresher, RetryAfter, SessionExpires,
};
pub use uri::{Host, HostName, OpaqueUri, SipUri, TelUri, Uri, UriError};
pub use validate::{Capabilities, Rejection, ResponseFault, validate_request, validate_response};
pub use via::{BRANCH_COOKIE, Via};

pub(crate) use text::{Nesting, quoted_prefix, split, trim};

/// A request or a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "messages are moved once or twice, never kept by the thousand")]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The request URI.
    pub uri: Uri,
    /// The headers but `Content-Length`, which the printer writes.
    pub headers: Headers,
    /// The body; its type is in `Content-Type`.
    pub body: Vec<u8>,
}

/// A response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase as read; never trusted and never matched on.
    reason: Box<str>,
    /// The headers but `Content-Length`, which the printer writes.
    pub headers: Headers,
    /// The body; its type is in `Content-Type`.
    pub body: Vec<u8>,
}

/// The parts without which no request goes out (RFC 3261 section 8.1.1).
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// The method; `CSeq` repeats it.
    pub method: Method,
    /// The request URI.
    pub uri: Uri,
    /// The topmost `Via`.
    pub via: Via,
    /// `From`, with its tag.
    pub from: NameAddr,
    /// `To`, with a tag inside a dialog.
    pub to: NameAddr,
    /// `Call-ID`.
    pub call_id: CallId,
    /// The `CSeq` number.
    pub cseq: u32,
}

impl NewRequest {
    /// The request with `Via`, `Max-Forwards: 70`, `From`, `To`, `Call-ID` and `CSeq`, without a body.
    #[must_use]
    pub fn build(self) -> Request {
        let mut headers = Headers::new();
        headers.push(HeaderName::Via, &self.via);
        headers.push(HeaderName::MaxForwards, 70);
        headers.push(HeaderName::From, &self.from);
        headers.push(HeaderName::To, &self.to);
        headers.push(HeaderName::CallId, &self.call_id);
        headers.push(HeaderName::CSeq, &CSeq { number: self.cseq, method: self.method.clone() });
        Request { method: self.method, uri: self.uri, headers, body: Vec::new() }
    }
}

impl Request {
    /// The request with one header line more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The request with this body.
    #[must_use]
    pub fn with_body(mut self, media_type: &MediaType, body: Vec<u8>) -> Self {
        self.headers.set(HeaderName::ContentType, media_type);
        self.body = body;
        self
    }

    /// The CANCEL of this request (RFC 3261 section 9.1): same URI, topmost `Via`, `From`, `To`, `Call-ID`, `CSeq` number
    /// and `Route`. None when this request lacks one of them.
    #[must_use]
    pub fn cancel(&self) -> Option<Self> {
        let mut cancel = self.sibling(Method::Cancel)?;
        cancel.copy(self, &HeaderName::To);
        Some(cancel)
    }

    /// The ACK of a final response other than 2xx (RFC 3261 section 17.1.1.3): as the request, but with the response's
    /// `To`. None when either lacks a part.
    #[must_use]
    pub fn ack_failure(&self, response: &Response) -> Option<Self> {
        let mut ack = self.sibling(Method::Ack)?;
        let to = response.headers.first(&HeaderName::To)?;
        ack.headers.push(HeaderName::To, HeaderValue::clean(to.to_owned()));
        Some(ack)
    }

    /// A hop-by-hop request about this one, without `To`.
    fn sibling(&self, method: Method) -> Option<Self> {
        let cseq = CSeq { number: self.headers.cseq()?.number, method: method.clone() };
        let mut sibling = Self { method, uri: self.uri.clone(), headers: Headers::new(), body: Vec::new() };
        sibling.headers.push(HeaderName::Via, &self.headers.top_via()?);
        sibling.headers.push(HeaderName::MaxForwards, 70);
        for name in [HeaderName::Route, HeaderName::From, HeaderName::CallId] {
            sibling.copy(self, &name);
        }
        sibling.headers.push(HeaderName::CSeq, &cseq);
        Some(sibling)
    }

    fn copy(&mut self, from: &Self, name: &HeaderName) {
        copy_lines(&mut self.headers, &from.headers, name);
    }
}

/// Copies all lines of one name, octet for octet.
fn copy_lines(into: &mut Headers, from: &Headers, name: &HeaderName) {
    for line in from.iter().filter(|header| header.name == *name) {
        into.push(line.name.clone(), line.value.clone());
    }
}

impl Response {
    /// An answer to `request` (RFC 3261 section 8.2.6): `Via`, `From`, `To`, `Call-ID` and `CSeq` as they came,
    /// `Timestamp` in a 100, `Record-Route` where a dialog may begin (section 12.1.1). The `To` tag is the caller's to add,
    /// with [`Response::set_to_tag`].
    #[must_use]
    pub fn to(request: &Request, status: StatusCode) -> Self {
        Self::echo(&request.headers, status)
    }

    /// As [`Response::to`], from whatever could be read of a request.
    pub(crate) fn echo(from: &Headers, status: StatusCode) -> Self {
        let mut headers = Headers::new();
        for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq] {
            copy_lines(&mut headers, from, &name);
        }
        if status == StatusCode::TRYING {
            copy_lines(&mut headers, from, &HeaderName::Timestamp);
        } else if status.code() < 300 {
            copy_lines(&mut headers, from, &HeaderName::RecordRoute);
        }
        Self { status, reason: status.reason().into(), headers, body: Vec::new() }
    }

    /// The reason phrase. Printed by us only as the customary one or as set by [`Response::with_reason`].
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The response with these words behind the code.
    ///
    /// # Errors
    /// A control character or a line separator in `reason`.
    pub fn with_reason(mut self, reason: &str) -> Result<Self, TextError> {
        self.reason = HeaderValue::new(reason)?.as_str().into();
        Ok(self)
    }

    /// Adds `tag` to `To` unless it has one or cannot be read.
    ///
    /// # Errors
    /// A tag that is no token.
    pub fn set_to_tag(&mut self, tag: &str) -> Result<(), TextError> {
        let tag = Token::new(tag)?;
        let readable = self.headers.to().is_some_and(|to| to.tag().is_none() && !to.params().contains("tag"));
        if let Some(written) = self.headers.first(&HeaderName::To).filter(|_| readable) {
            // Appended to the text as it came: a peer that compares octets finds its own.
            let tagged = format!("{};tag={tag}", written.trim_end_matches([' ', '\t', ';']));
            self.headers.set(HeaderName::To, HeaderValue::clean(tagged));
        }
        Ok(())
    }

    /// The response with one header line more.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The response with this body.
    #[must_use]
    pub fn with_body(mut self, media_type: &MediaType, body: Vec<u8>) -> Self {
        self.headers.set(HeaderName::ContentType, media_type);
        self.body = body;
        self
    }
}

impl Message {
    /// The headers of either.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The body of either.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }
}

// Bodies and header values may name people: logs get their sizes.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}, body of {} octets", self.method, self.uri, self.headers, self.body.len())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}, body of {} octets", self.status, self.headers, self.body.len())
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}
