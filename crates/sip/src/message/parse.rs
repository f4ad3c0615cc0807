//! Octets to messages (RFC 3261 sections 7, 18.3 and 25; RFC 4475 for the odd cases).
//!
//! Hides lines, folding, caps and the order in which faults are weighed. Strict about framing (where a message, a header
//! and a body end), tolerant about style (blanks, case, compact forms, unknown headers, a missing reason phrase). Each
//! octet is looked at a fixed number of times. It never panics, and it never answers: it only prepares the answer.

use std::borrow::Cow;

use super::headers::{HeaderName, HeaderValue, Headers};
use super::method::{Method, StatusCode};
use super::name_addr::NameAddr;
use super::text;
use super::typed::{CSeq, CallId};
use super::uri::Uri;
use super::via::Via;
use super::{Message, Request, Response};

/// Greatest datagram read, octets.
pub const MAX_DATAGRAM: usize = 64 * 1024;
/// Greatest message read from a stream, octets.
pub const MAX_STREAM_MESSAGE: usize = 128 * 1024;
/// Most header lines kept.
pub const MAX_HEADERS: usize = 128;
/// Longest start line or header line, unfolded, octets.
pub const MAX_HEADER_LINE: usize = 8 * 1024;
/// Most elements of `Route`, `Record-Route` or `Contact`.
pub const MAX_HOPS: usize = 32;
/// Most elements of `Via`: RFC 4475 section 3.1.1.7 has a request with 34 that must be served.
pub const MAX_VIAS: usize = 40;

/// What is wrong with what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ParseErrorKind {
    /// Nothing but line ends: somebody keeps a NAT binding open.
    #[error("Keepalive")]
    KeepAlive,
    /// Neither a request nor a response.
    #[error("Not SIP")]
    NotSip,
    /// The start line of a request cannot be read.
    #[error("Bad Request Line")]
    RequestLine,
    /// The start line of a response cannot be read, or its code is outside 100 to 699.
    #[error("Bad Status Line")]
    StatusLine,
    /// Another version than SIP/2.0.
    #[error("Version Not Supported")]
    Version,
    /// A header line without a name, with a name that is no token, or with a bare CR.
    #[error("Bad Header Line")]
    HeaderLine,
    /// More than [`MAX_HEADERS`] lines.
    #[error("Too Many Headers")]
    TooManyHeaders,
    /// More than [`MAX_VIAS`] elements of `Via` (never answered: the answer would carry them all), or more than
    /// [`MAX_HOPS`] of another routing header.
    #[error("Too Many Hops")]
    TooManyHops,
    /// A line above [`MAX_HEADER_LINE`].
    #[error("Header Line Too Long")]
    LineTooLong,
    /// The message is above its cap.
    #[error("Message Too Large")]
    TooLarge,
    /// No blank line ends the headers.
    #[error("Headers Not Ended")]
    Unfinished,
    /// `Content-Length` malformed or repeated, or absent on a stream.
    #[error("Bad Content-Length")]
    ContentLength,
    /// `Content-Length` above what came in the datagram.
    #[error("Body Shorter Than Content-Length")]
    BodyShort,
    /// A header of which there may be one stands twice.
    #[error("Repeated Header")]
    Repeated,
    /// `Via` missing or malformed.
    #[error("Bad Via")]
    Via,
    /// `From` missing or malformed.
    #[error("Bad From")]
    From,
    /// `To` missing or malformed.
    #[error("Bad To")]
    To,
    /// `Call-ID` missing or malformed.
    #[error("Bad Call-ID")]
    CallId,
    /// `CSeq` missing, malformed, above 32 bits, or naming another method than the request.
    #[error("Bad CSeq")]
    CSeq,
    /// `Max-Forwards` malformed or above 255.
    #[error("Bad Max-Forwards")]
    MaxForwards,
    /// `Contact` of a request malformed.
    #[error("Bad Contact")]
    Contact,
    /// `Route` or `Record-Route` malformed.
    #[error("Bad Route")]
    Route,
}

impl ParseErrorKind {
    const fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::TooLarge => StatusCode::MESSAGE_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether the place where the next message would begin is in doubt: fatal to a stream.
    #[must_use]
    pub const fn is_framing(self) -> bool {
        matches!(
            self,
            Self::NotSip
                | Self::HeaderLine
                | Self::TooManyHeaders
                | Self::LineTooLong
                | Self::TooLarge
                | Self::Unfinished
                | Self::ContentLength
                | Self::BodyShort
        )
    }
}

/// What came is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The answer (400, 505 or 513) when it was a request with a `Via` and no ACK. None: drop it in silence.
    pub answer: Option<Box<Response>>,
}

impl ParseError {
    pub(super) const fn silent(kind: ParseErrorKind) -> Self {
        Self { kind, answer: None }
    }
}

/// Reads one datagram. Octets behind `Content-Length` are noise; without `Content-Length` all octets are the body.
///
/// # Errors
/// [`ParseError`] with the answer to send, if one may be sent.
pub fn parse_datagram(datagram: &[u8]) -> Result<Message, ParseError> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(ParseError::silent(ParseErrorKind::TooLarge));
    }
    let datagram = skip_line_ends(datagram);
    if datagram.is_empty() {
        return Err(ParseError::silent(ParseErrorKind::KeepAlive));
    }
    let end = head_end(datagram, 0);
    let (head, rest) = datagram.split_at_checked(end.unwrap_or(datagram.len())).unwrap_or((datagram, &[]));
    let mut head = Head::read(head);
    if end.is_none() {
        head.note(ParseErrorKind::Unfinished);
    }
    let body = match head.length {
        Length::Absent => rest,
        Length::Octets(length) => rest.get(..length).unwrap_or_else(|| {
            head.note(ParseErrorKind::BodyShort);
            &[]
        }),
        Length::Malformed => &[],
    };
    head.finish(body)
}

/// What follows the line ends at the start (RFC 3261 section 7.5).
pub(super) fn skip_line_ends(octets: &[u8]) -> &[u8] {
    let text_at = octets.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(octets.len());
    octets.get(text_at..).unwrap_or(&[])
}

/// Where the blank line ends that ends the headers; `from` is where the search begins. A line ends with LF, a CR before
/// it belongs to the line end.
pub(super) fn head_end(octets: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(found) = octets.get(at..)?.iter().position(|b| *b == b'\n') {
        let next = at + found + 1;
        match octets.get(next..)? {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            _ => at = next,
        }
    }
    None
}

/// What `Content-Length` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Absent,
    Octets(usize),
    Malformed,
}

/// A start line.
#[derive(Debug)]
enum Start {
    Request {
        method: Method,
        uri: Uri,
    },
    Response {
        status: StatusCode,
        reason: String,
    },
    /// Unreadable, but it was to be a request; an ACK must not be answered.
    BrokenRequest {
        is_ack: bool,
    },
    /// Neither, or an unreadable response.
    Silent,
}

/// Everything before the body, with the first fault found in it.
#[derive(Debug)]
pub(super) struct Head {
    start: Start,
    headers: Headers,
    pub(super) length: Length,
    fault: Option<ParseErrorKind>,
}

impl Head {
    /// Reads start line and headers, going on past faults so that an answer can be built.
    pub(super) fn read(octets: &[u8]) -> Self {
        let mut lines = Lines::new(octets);
        let start_line = lines.next().unwrap_or_default();
        let (start, fault) = read_start(&start_line);
        let mut head = Self { start, headers: Headers::new(), length: Length::Absent, fault };
        if matches!(head.start, Start::Silent) && fault == Some(ParseErrorKind::NotSip) {
            return head;
        }
        if start_line.len() > MAX_HEADER_LINE {
            head.note(ParseErrorKind::LineTooLong);
        }
        for line in lines {
            head.take_line(&line);
            if head.headers.len() == MAX_HEADERS && head.fault.is_some() {
                break; // Refused, and nothing more would be kept.
            }
        }
        head
    }

    /// Keeps the first fault.
    pub(super) fn note(&mut self, kind: ParseErrorKind) {
        self.fault.get_or_insert(kind);
    }

    pub(super) const fn fault(&self) -> Option<ParseErrorKind> {
        self.fault
    }

    fn take_line(&mut self, line: &str) {
        if line.len() > MAX_HEADER_LINE {
            return self.note(ParseErrorKind::LineTooLong);
        }
        let Some((name, value)) = line.split_once(':') else {
            return self.note(ParseErrorKind::HeaderLine);
        };
        if value.contains('\r') {
            return self.note(ParseErrorKind::HeaderLine);
        }
        let name = name.trim_end_matches([' ', '\t']);
        if name.eq_ignore_ascii_case("Content-Length") || name.eq_ignore_ascii_case("l") {
            return self.take_length(text::trim(value));
        }
        if self.headers.len() == MAX_HEADERS {
            return self.note(ParseErrorKind::TooManyHeaders); // Before the name is looked up: a flood stays cheap.
        }
        let Ok(name) = HeaderName::new(name) else {
            return self.note(ParseErrorKind::HeaderLine);
        };
        if name.is_singleton() && self.headers.contains(&name) {
            self.note(ParseErrorKind::Repeated);
            return; // The first is kept: an answer must not carry two.
        }
        self.headers.push(name, HeaderValue::clean(text::trim(value).to_owned()));
    }

    fn take_length(&mut self, value: &str) {
        let octets = text::decimal(value).and_then(|length| usize::try_from(length).ok());
        self.length = match (self.length, octets) {
            (Length::Absent, Some(octets)) => Length::Octets(octets),
            _ => Length::Malformed,
        };
        if self.length == Length::Malformed {
            self.note(ParseErrorKind::ContentLength);
        }
    }

    /// The message, or the fault and the answer to it.
    pub(super) fn finish(mut self, body: &[u8]) -> Result<Message, ParseError> {
        if self.fault.is_none() {
            self.fault = self.check().err();
        }
        if let Some(kind) = self.fault {
            return Err(self.refuse(kind));
        }
        let Self { start, headers, .. } = self;
        let body = body.to_vec();
        match start {
            Start::Request { method, uri } => Ok(Message::Request(Request { method, uri, headers, body })),
            Start::Response { status, reason } => {
                Ok(Message::Response(Response { status, reason: reason.into(), headers, body }))
            }
            Start::BrokenRequest { .. } | Start::Silent => Err(ParseError::silent(ParseErrorKind::NotSip)),
        }
    }

    /// The error for `kind`, with an answer where one may be sent.
    pub(super) fn refuse(&self, kind: ParseErrorKind) -> ParseError {
        let answerable = match &self.start {
            Start::Request { method, .. } => *method != Method::Ack,
            Start::BrokenRequest { is_ack } => !is_ack,
            Start::Response { .. } | Start::Silent => false,
        };
        let hops = self.hops(&HeaderName::Via, MAX_VIAS);
        if !answerable || hops == 0 || hops > MAX_VIAS {
            return ParseError::silent(kind);
        }
        let mut answer = Response::echo(&self.headers, kind.status());
        answer.reason = kind.to_string().into();
        ParseError { kind, answer: Some(Box::new(answer)) }
    }

    /// What RFC 3261 section 8.1.1 asks of every message, and the syntax of what we act upon.
    fn check(&self) -> Result<(), ParseErrorKind> {
        self.check_hops()?;
        self.check_all::<Via>(&HeaderName::Via, ParseErrorKind::Via)?;
        if !self.headers.contains(&HeaderName::Via) {
            return Err(ParseErrorKind::Via);
        }
        self.headers.from().ok_or(ParseErrorKind::From)?;
        self.headers.to().ok_or(ParseErrorKind::To)?;
        let call_id = self.headers.first(&HeaderName::CallId).ok_or(ParseErrorKind::CallId)?;
        CallId::new(call_id).map_err(|_| ParseErrorKind::CallId)?;
        let cseq: CSeq = self.headers.cseq().ok_or(ParseErrorKind::CSeq)?;
        self.check_all::<NameAddr>(&HeaderName::Route, ParseErrorKind::Route)?;
        self.check_all::<NameAddr>(&HeaderName::RecordRoute, ParseErrorKind::Route)?;
        let Start::Request { method, .. } = &self.start else {
            return Ok(());
        };
        if cseq.method != *method {
            return Err(ParseErrorKind::CSeq);
        }
        if self.headers.contains(&HeaderName::MaxForwards) && self.headers.max_forwards().is_none() {
            return Err(ParseErrorKind::MaxForwards);
        }
        if self.headers.first(&HeaderName::Contact) == Some("*") {
            return Ok(());
        }
        self.check_all::<NameAddr>(&HeaderName::Contact, ParseErrorKind::Contact)
    }

    fn check_hops(&self) -> Result<(), ParseErrorKind> {
        let caps = [
            (HeaderName::Via, MAX_VIAS),
            (HeaderName::Route, MAX_HOPS),
            (HeaderName::RecordRoute, MAX_HOPS),
            (HeaderName::Contact, MAX_HOPS),
        ];
        let over = caps.iter().any(|(name, cap)| self.hops(name, *cap) > *cap);
        if over { Err(ParseErrorKind::TooManyHops) } else { Ok(()) }
    }

    /// How many elements stand in the lines of `name`, empty ones too; counting stops above `cap`.
    fn hops(&self, name: &HeaderName, cap: usize) -> usize {
        self.headers.all(name).flat_map(text::split_list).take(cap + 1).count()
    }

    /// Each element over all lines of `name` must be a `T`; an empty element or line is none.
    fn check_all<T: std::str::FromStr>(&self, name: &HeaderName, kind: ParseErrorKind) -> Result<(), ParseErrorKind> {
        let sound =
            self.headers.all(name).flat_map(text::split_list).all(|element| text::trim(element).parse::<T>().is_ok());
        if sound { Ok(()) } else { Err(kind) }
    }
}

fn read_start(line: &str) -> (Start, Option<ParseErrorKind>) {
    let line = line.trim_end_matches([' ', '\t']);
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return match read_status_line(line) {
            Ok(start) => (start, None),
            Err(kind) => (Start::Silent, Some(kind)),
        };
    }
    let Some((rest, version)) = line.rsplit_once(' ') else {
        return (Start::Silent, Some(ParseErrorKind::NotSip));
    };
    if !version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return (Start::Silent, Some(ParseErrorKind::NotSip));
    }
    let is_ack = rest.starts_with("ACK ");
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return (Start::BrokenRequest { is_ack }, Some(ParseErrorKind::Version));
    }
    match read_request_line(rest) {
        Some(start) => (start, None),
        None => (Start::BrokenRequest { is_ack }, Some(ParseErrorKind::RequestLine)),
    }
}

/// Reads `method SP uri`. A URI with headers is refused: it may not stand here (RFC 3261 section 19.1.1), and they must
/// never become headers of anything.
fn read_request_line(text: &str) -> Option<Start> {
    if text.len() > MAX_HEADER_LINE {
        return None;
    }
    let (method, uri) = text.split_once(' ')?;
    let uri: Uri = uri.parse().ok()?; // Blanks and brackets around it are refused here too.
    if uri.as_sip().is_some_and(|sip| sip.headers().is_some()) {
        return None;
    }
    Some(Start::Request { method: Method::new(method).ok()?, uri })
}

fn read_status_line(line: &str) -> Result<Start, ParseErrorKind> {
    let (version, rest) = line.split_once(' ').ok_or(ParseErrorKind::StatusLine)?;
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err(ParseErrorKind::Version);
    }
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    if code.len() != 3 {
        return Err(ParseErrorKind::StatusLine);
    }
    let status = text::decimal(code)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(StatusCode::new)
        .ok_or(ParseErrorKind::StatusLine)?;
    if line.contains('\r') {
        return Err(ParseErrorKind::StatusLine);
    }
    Ok(Start::Response { status, reason: text::trim(reason).to_owned() })
}

/// Logical lines: a line that begins with a blank continues the one before (RFC 3261 section 7.3.1).
pub(super) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// One physical line without its end. None at the blank line or at the end.
    fn physical(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|b| *b == b'\n');
        let line = self.rest.get(..end.unwrap_or(self.rest.len()))?;
        self.rest = self.rest.get(end.map_or(self.rest.len(), |end| end + 1)..)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then_some(line)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        let mut line = decode(self.physical()?);
        while matches!(self.rest.first(), Some(b' ' | b'\t')) {
            let Some(more) = self.physical() else { break };
            let line = line.to_mut();
            line.push(' ');
            line.push_str(text::trim(&decode(more)));
        }
        Some(line)
    }
}

/// UTF-8 as RFC 3261 wants it; a line that is none is taken as Latin-1, which is what such senders mean.
fn decode(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(octets.iter().map(|b| char::from(*b)).collect()),
    }
}
