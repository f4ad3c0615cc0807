//! Requests of peers outside any call. Strangers get nothing; known peers get the right status, and nothing is
//! remembered of them but an INVITE the application may take.
//!
//! Never names our product and never answers with more than was asked.

use std::time::{Duration, Instant};

use super::{Inbound, UserAgent};
use crate::dialog::DialogId;
use crate::message::{HeaderName, Message, Method, Request, Response, StatusCode, validate_request};
use crate::transaction::{Found, Way};

/// What a peer above the rate is told to wait, seconds.
const BUSY_WAIT: u32 = 2;

/// Counts INVITEs per second of time.
#[derive(Debug, Default)]
pub(super) struct Gate {
    second: Option<Instant>,
    passed: u32,
}

impl Gate {
    /// Whether one more may pass now.
    fn pass(&mut self, now: Instant, per_second: u32) -> bool {
        let fresh = self.second.is_none_or(|start| now.saturating_duration_since(start) >= Duration::from_secs(1));
        if fresh {
            self.second = Some(now);
            self.passed = 0;
        }
        self.passed += 1;
        self.passed <= per_second
    }
}

impl UserAgent {
    /// A request from a known address.
    pub(super) fn on_request(&mut self, now: Instant, way: Way, mut request: Request) {
        if let Some(mut via) = request.headers.top_via() {
            via.set_source(way.destination.ip(), way.destination.port());
            request.headers.set_top_via(&via);
        }
        let way = answer_way(way, &request);
        if request.method == Method::Cancel {
            match self.transactions.on_request(now, &mut self.wires, &request) {
                Found::New | Found::Merged if self.settings.peers.contains(&way.destination.ip()) => {
                    self.on_cancel(now, way, request);
                }
                Found::New | Found::Merged => {}
                Found::Absorbed => {}
            }
            return;
        }
        match self.transactions.on_request(now, &mut self.wires, &request) {
            Found::Absorbed => return,
            Found::Merged => {
                let status = StatusCode::new(482).unwrap_or(StatusCode::BAD_REQUEST);
                self.answer_request_stateless(way, &request, status);
                return;
            }
            Found::New => {}
        }
        let inside = DialogId::of_request(&request.headers);
        if let Some(key) = inside.as_ref().and_then(|id| self.dialogs.get(id)).copied() {
            self.on_inner_request(now, key, way, request);
            return;
        }
        if !self.settings.peers.contains(&way.destination.ip()) {
            return; // A trunk we dial is known to answer, not to ask.
        }
        self.serve_outer(now, way, request, inside.is_some());
    }

    fn serve_outer(&mut self, now: Instant, way: Way, request: Request, names_dialog: bool) {
        if request.method == Method::Ack {
            return; // Never answered.
        }
        if let Err(rejection) = validate_request(&request, &self.capabilities) {
            self.answer_stateless(way, rejection.answer(&request));
            return;
        }
        if names_dialog {
            self.answer_request_stateless(way, &request, StatusCode::NO_SUCH_TRANSACTION);
            return;
        }
        match request.method {
            Method::Invite => self.on_outer_invite(now, way, request),
            Method::Options => {
                let answer = self.with_abilities(Response::to(&request, StatusCode::OK));
                self.answer_stateless(way, answer);
            }
            Method::Refer => self.answer_request_stateless(way, &request, StatusCode::FORBIDDEN),
            // Without a To tag they name no dialog, and no dialog means 481 (RFC 3261 section 12.2.2).
            Method::Bye | Method::Info | Method::Prack | Method::Update | Method::Notify => {
                self.answer_request_stateless(way, &request, StatusCode::NO_SUCH_TRANSACTION);
            }
            Method::Register | Method::Subscribe | Method::Message | Method::Publish => {
                self.answer_request_stateless(way, &request, StatusCode::METHOD_NOT_ALLOWED);
            }
            Method::Other(_) => self.answer_request_stateless(way, &request, StatusCode::NOT_IMPLEMENTED),
            Method::Ack | Method::Cancel => {} // Dealt with before.
        }
    }

    fn on_outer_invite(&mut self, now: Instant, way: Way, request: Request) {
        let limits = self.settings.limits;
        let full = self.calls.len() >= limits.calls || self.transactions.len() >= limits.transactions;
        if !self.gate.pass(now, limits.incoming_per_second) || full {
            let mut answer = Response::to(&request, StatusCode::SERVICE_UNAVAILABLE);
            answer.headers.push(HeaderName::RetryAfter, BUSY_WAIT);
            self.answer_stateless(way, answer);
            return;
        }
        match self.settings.inbound {
            Inbound::Refuse => self.answer_request_stateless(way, &request, StatusCode::FORBIDDEN),
            Inbound::Offer => self.on_invitation(now, way, request),
        }
    }

    /// Answers and forgets.
    pub(super) fn answer_request_stateless(&mut self, way: Way, request: &Request, status: StatusCode) {
        let mut answer = Response::to(request, status);
        answer.headers.remove(&HeaderName::RecordRoute);
        if matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
            answer.headers.push(HeaderName::Allow, super::compose::allow());
        }
        self.answer_stateless(way, answer);
    }

    /// Sends an answer that nobody repeats; its tag is the same each time (RFC 3261 section 8.2.7).
    pub(super) fn answer_stateless(&mut self, way: Way, mut answer: Response) {
        let branch = answer.headers.top_via().and_then(|via| via.branch().map(String::from)).unwrap_or_default();
        let call_id = answer.headers.first(&HeaderName::CallId).unwrap_or("").to_owned();
        let tag = self.entropy.fixed_word(&[&branch, &call_id]);
        if answer.set_to_tag(&tag).is_ok() {
            self.wires.send(way, Message::from(answer).to_bytes());
        }
    }
}

/// Where answers go: over a stream, back on it; else to the address the request came from, at the port it came from if
/// it asked so (RFC 3581), at the port of its Via if not (RFC 3261 section 18.2.2).
fn answer_way(way: Way, request: &Request) -> Way {
    let Some(via) = request.headers.top_via() else {
        return way;
    };
    if way.transport.is_reliable() || via.wants_rport() {
        return way;
    }
    let mut destination = way.destination;
    destination.set_port(via.port().unwrap_or(5060));
    Way { destination, ..way }
}
