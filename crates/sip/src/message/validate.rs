//! What a user agent checks of a well-formed message before it acts on it (RFC 3261 sections 8.2 and 8.1.3).
//!
//! Hides the order of the checks and the headers each refusal must carry. It keeps no state: whether a dialog or a
//! transaction exists is not its question.

use super::headers::{HeaderName, HeaderValue};
use super::method::{Method, StatusCode};
use super::multipart;
use super::typed::MediaType;
use super::{Request, Response};

/// Most elements of `Require` or `Accept` looked at.
const MAX_ELEMENTS: usize = 64;

/// What this user agent serves.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// Methods served; a known method outside it gets 405, an unknown one 501.
    pub methods: Vec<Method>,
    /// Option tags understood in `Require`.
    pub options: Vec<String>,
    /// Body types understood (`application/sdp`). A multipart is served when one of its parts is.
    pub bodies: Vec<String>,
    /// Shortest session interval, seconds (RFC 4028 section 5: 90 at least).
    pub min_session: u32,
}

impl Default for Capabilities {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Self {
            methods: vec![
                Method::Invite,
                Method::Ack,
                Method::Bye,
                Method::Cancel,
                Method::Options,
                Method::Info,
                Method::Prack,
                Method::Update,
                Method::Refer,
                Method::Notify,
            ],
            options: words(&["100rel", "timer", "replaces"]),
            bodies: words(&["application/sdp", "application/dtmf-relay", "application/dtmf", "message/sipfrag"]),
            min_session: 90,
        }
    }
}

/// A refusal: the status and what must stand in the answer beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status.
    pub status: StatusCode,
    /// The words behind the code.
    pub reason: &'static str,
    /// Headers the answer must carry (`Allow`, `Unsupported`, `Accept`, `Min-SE`).
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Rejection {
    const fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The answer to `request`. The `To` tag is the caller's to add.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Response {
        let mut answer = Response::to(request, self.status);
        answer.reason = self.reason.into();
        for (name, value) in &self.headers {
            answer.headers.push(name.clone(), value.clone());
        }
        answer
    }
}

/// Checks a request in the order of RFC 3261 section 8.2. An ACK is never answered: when one is refused, drop it.
///
/// # Errors
/// [`Rejection`]: 400, 405, 406, 415, 416, 420, 422 or 501.
pub fn validate_request(request: &Request, own: &Capabilities) -> Result<(), Rejection> {
    check_method(request, own)?;
    if !matches!(request.uri.scheme(), "sip" | "sips" | "tel") {
        return Err(Rejection::new(StatusCode::UNSUPPORTED_URI_SCHEME, "Unsupported URI Scheme"));
    }
    check_required(request, own)?;
    check_body(request, own)?;
    check_accept(request, own)?;
    if request.method == Method::Prack && request.headers.rack().is_none() {
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "Bad RAck"));
    }
    check_session(request, own)
}

fn check_method(request: &Request, own: &Capabilities) -> Result<(), Rejection> {
    if own.methods.contains(&request.method) {
        return Ok(());
    }
    let (status, reason) = match request.method {
        Method::Other(_) => (StatusCode::NOT_IMPLEMENTED, "Not Implemented"),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    };
    let allow = HeaderValue::list(own.methods.iter().map(Method::as_str));
    Err(Rejection::new(status, reason).with(HeaderName::Allow, allow))
}

fn check_required(request: &Request, own: &Capabilities) -> Result<(), Rejection> {
    // ACK and CANCEL are never refused for Require (RFC 3261 section 8.2.2.3).
    if matches!(request.method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let unknown: Vec<_> = request
        .headers
        .elements(&HeaderName::Require)
        .take(MAX_ELEMENTS)
        .filter(|tag| !own.options.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let refusal = Rejection::new(StatusCode::BAD_EXTENSION, "Bad Extension");
    Err(refusal.with(HeaderName::Unsupported, HeaderValue::list(unknown)))
}

fn check_body(request: &Request, own: &Capabilities) -> Result<(), Rejection> {
    if request.body.is_empty() || ignores_body(&request.method) || is_optional(request) {
        return Ok(());
    }
    let unsupported = || {
        let accept = HeaderValue::list(own.bodies.iter().map(String::as_str));
        Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type").with(HeaderName::Accept, accept)
    };
    let encodings = &request.headers;
    if encodings.elements(&HeaderName::ContentEncoding).any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(unsupported().with(HeaderName::AcceptEncoding, HeaderValue::list(["identity"])));
    }
    let Some(written) = request.headers.first(&HeaderName::ContentType) else {
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "Body Without Content-Type"));
    };
    let media_type =
        MediaType::parse(written).ok_or_else(|| Rejection::new(StatusCode::BAD_REQUEST, "Bad Content-Type"))?;
    let serves = |kind: &MediaType| own.bodies.iter().any(|known| kind.is(known));
    if !media_type.is_multipart() {
        return if serves(&media_type) { Ok(()) } else { Err(unsupported()) };
    }
    let parts = multipart::parts(&media_type, &request.body)
        .map_err(|_| Rejection::new(StatusCode::BAD_REQUEST, "Bad Multipart Body"))?;
    let served = parts.iter().any(|part| part.headers.content_type().is_some_and(|kind| serves(&kind)));
    if served { Ok(()) } else { Err(unsupported()) }
}

/// Methods whose body is never acted upon. Gateways put ISUP into BYE: to refuse it would keep a call alive that is over.
const fn ignores_body(method: &Method) -> bool {
    matches!(method, Method::Ack | Method::Bye | Method::Cancel | Method::Options | Method::Refer)
}

/// Whether the sender lets us ignore the body (`Content-Disposition: ...;handling=optional`).
fn is_optional(request: &Request) -> bool {
    let disposition = request.headers.first(&HeaderName::ContentDisposition).unwrap_or("");
    disposition.split(';').skip(1).any(|param| {
        param.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("handling") && value.trim().eq_ignore_ascii_case("optional")
        })
    })
}

/// An INVITE whose sender takes no session description cannot be answered with one (RFC 4475 section 3.3.15).
fn check_accept(request: &Request, own: &Capabilities) -> Result<(), Rejection> {
    let accepts = request.headers.contains(&HeaderName::Accept);
    if request.method != Method::Invite || !accepts {
        return Ok(());
    }
    let admitted = request
        .headers
        .elements(&HeaderName::Accept)
        .take(MAX_ELEMENTS)
        .filter_map(MediaType::parse)
        .any(|range| own.bodies.iter().any(|known| range.admits(known)));
    if admitted { Ok(()) } else { Err(Rejection::new(StatusCode::NOT_ACCEPTABLE, "Not Acceptable")) }
}

fn check_session(request: &Request, own: &Capabilities) -> Result<(), Rejection> {
    if !matches!(request.method, Method::Invite | Method::Update) {
        return Ok(());
    }
    match request.headers.session_expires() {
        Some(session) if session.seconds < own.min_session => {
            let refusal = Rejection::new(StatusCode::SESSION_INTERVAL_TOO_SMALL, "Session Interval Too Small");
            Err(refusal.with(HeaderName::MinSe, own.min_session.into()))
        }
        _ => Ok(()),
    }
}

/// Why a well-formed response is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseFault {
    /// More than one `Via`: it is not for a user agent (RFC 3261 section 8.1.3.3).
    #[error("the response has more than one Via")]
    NotForUs,
}

/// Checks a response before it is matched to a transaction.
///
/// # Errors
/// [`ResponseFault`]: drop it.
pub fn validate_response(response: &Response) -> Result<(), ResponseFault> {
    let hops = response.headers.elements(&HeaderName::Via).take(2).count();
    if hops > 1 { Err(ResponseFault::NotForUs) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::{Message, parse_datagram};
    use super::*;

    /// The status with which a request of this method, these extra lines and this body is refused.
    fn refused(method: &str, lines: &str, body: &str) -> Option<u16> {
        let text = format!(
            "{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=z9hG4bK1\r\nFrom: <sip:d@e>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: f\r\nCSeq: 1 {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        match parse_datagram(text.as_bytes()) {
            Ok(Message::Request(request)) => {
                validate_request(&request, &Capabilities::default()).err().map(|refusal| refusal.status.code())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bodies_are_refused_where_they_would_be_acted_upon() {
        let isup = "Content-Type: application/isup\r\n";
        assert_eq!(refused("INVITE", isup, "x"), Some(415));
        assert_eq!(refused("BYE", isup, "x"), None);
        assert_eq!(refused("ACK", isup, "x"), None);
        let optional = format!("{isup}Content-Disposition: signal ; handling = optional\r\n");
        assert_eq!(refused("INVITE", &optional, "x"), None);
        assert_eq!(refused("INVITE", "Content-Type: application/SDP\r\nContent-Encoding: gzip\r\n", "x"), Some(415));
        assert_eq!(refused("INVITE", "", "x"), Some(400));
        assert_eq!(refused("INVITE", "Content-Type: sdp\r\n", "x"), Some(400));
        let mixed = "Content-Type: multipart/mixed;boundary=b\r\n";
        let parts = |kind: &str| {
            format!("--b\r\nContent-Type: application/isup\r\n\r\nx\r\n--b\r\nc: {kind}\r\n\r\nv=0\r\n--b--")
        };
        assert_eq!(refused("INVITE", mixed, &parts("application/sdp")), None);
        assert_eq!(refused("INVITE", mixed, &parts("text/plain")), Some(415));
    }

    #[test]
    fn unknown_requirements_are_refused_but_not_in_ack_and_cancel() {
        assert_eq!(refused("INVITE", "Require: 100rel, Timer\r\n", ""), None);
        assert_eq!(refused("INVITE", "Require: 100rel\r\nRequire: x\r\n", ""), Some(420));
        assert_eq!(refused("CANCEL", "Require: x\r\n", ""), None);
        assert_eq!(refused("ACK", "Require: x\r\n", ""), None);
    }

    #[test]
    fn accept_matters_to_invite_alone() {
        assert_eq!(refused("INVITE", "Accept: text/plain, application/*;q=0.1\r\n", ""), None);
        assert_eq!(refused("INVITE", "Accept: text/plain\r\n", ""), Some(406));
        assert_eq!(refused("OPTIONS", "Accept: text/plain\r\n", ""), None);
    }

    #[test]
    fn session_intervals_have_a_floor() {
        assert_eq!(refused("INVITE", "x: 89\r\n", ""), Some(422));
        assert_eq!(refused("UPDATE", "Session-Expires: 90;refresher=uac\r\n", ""), None);
        assert_eq!(refused("BYE", "x: 1\r\n", ""), None);
    }

    #[test]
    fn methods_are_served_forbidden_or_unknown() {
        assert_eq!(refused("REGISTER", "", ""), Some(405));
        assert_eq!(refused("invite", "", ""), Some(501));
        assert_eq!(refused("PRACK", "RAck: 1 1 INVITE\r\n", ""), None);
        assert_eq!(refused("PRACK", "", ""), Some(400));
    }
}
