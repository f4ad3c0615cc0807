//! Requests of peers inside a call: BYE, re-INVITE, UPDATE, INFO, OPTIONS, PRACK, NOTIFY, REFER and what we do not serve.
//!
//! A request counts only when it comes from the trunk of its call: tags that leaked are worth nothing elsewhere.

use std::time::{Duration, Instant};

use super::call::Call;
use super::compose::allow;
use super::talking::is_key;
use super::{Event, UserAgent};
use crate::dialog::{Dialog, Order};
use crate::invite::CallKey;
use crate::message::{HeaderName, HeaderValue, Method, Rejection, Request, Response, StatusCode, validate_request};
use crate::transaction::{TransactionId, Way};

/// How long a key press lasts when the INFO does not say.
const USUAL_KEY: Duration = Duration::from_millis(160);

/// Body types of INFO that are key presses.
const KEY_TYPES: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

impl UserAgent {
    /// A request whose To and From name a dialog of ours.
    pub(super) fn on_inner_request(&mut self, now: Instant, key: CallKey, way: Way, request: Request) {
        if !self.is_from_trunk_of(key, way) {
            // As if there were no such dialog: nothing is learned by trying.
            if request.method != Method::Ack && self.settings.peers.contains(&way.destination.ip()) {
                self.answer_request_stateless(way, &request, StatusCode::NO_SUCH_TRANSACTION);
            }
            return;
        }
        if request.method == Method::Ack {
            self.on_ack(now, key, &request);
            return;
        }
        let id = self.transactions.open(request.clone(), way);
        if let Err(rejection) = validate_request(&request, &self.capabilities) {
            let rejection = self.inner_rejection(&request, rejection);
            self.transactions.respond(now, &mut self.wires, id, rejection.answer(&request));
            return;
        }
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let tag: Box<str> = request.headers.from().and_then(|from| from.tag().map(Box::from)).unwrap_or_default();
        let order = self.dialog_of(key, &tag).map(|dialog| dialog.take_remote_cseq(number));
        if order == Some(Order::Stale) {
            self.respond_plain(now, id, StatusCode::SERVER_INTERNAL_ERROR);
            return;
        }
        self.learn(key, &request);
        self.serve_inner(now, key, id, &request);
    }

    fn serve_inner(&mut self, now: Instant, key: CallKey, id: TransactionId, request: &Request) {
        match &request.method {
            Method::Bye => self.on_bye(now, key, id, request),
            Method::Invite | Method::Update => {
                let tag: Box<str> =
                    request.headers.from().and_then(|from| from.tag().map(Box::from)).unwrap_or_default();
                if let Some(dialog) = self.dialog_of(key, &tag) {
                    dialog.refresh_target(&request.headers);
                }
                self.on_offer(now, key, id, request);
            }
            Method::Info => self.on_info(now, key, id, request),
            Method::Options => {
                let answer = Response::to(request, StatusCode::OK);
                let answer = self.with_abilities(answer);
                self.transactions.respond(now, &mut self.wires, id, answer);
            }
            Method::Prack => {
                // The answer leaves before what waited for the PRACK.
                let status =
                    if self.awaits_prack(key, request) { StatusCode::OK } else { StatusCode::NO_SUCH_TRANSACTION };
                self.respond_plain(now, id, status);
                self.on_prack(now, key, request);
            }
            Method::Refer => {
                self.respond_plain(now, id, StatusCode::FORBIDDEN);
                self.events.push_back(Event::ReferRefused { call: key });
            }
            Method::Notify => self.on_notify(now, key, id, request),
            Method::Ack | Method::Cancel => {} // Dealt with before.
            Method::Register | Method::Subscribe | Method::Message | Method::Publish => {
                self.respond_plain(now, id, StatusCode::METHOD_NOT_ALLOWED);
            }
            Method::Other(_) => self.respond_plain(now, id, StatusCode::NOT_IMPLEMENTED),
        }
    }

    fn is_from_trunk_of(&self, key: CallKey, way: Way) -> bool {
        let address = way.destination.ip();
        match self.calls.get(&key) {
            Some(Call::Dialing(dialing)) => dialing.trunk.owns(address),
            Some(Call::Ringing(ringing)) => ringing.peer.owns(address),
            Some(Call::Talking(talk)) => talk.trunk.owns(address),
            None => false,
        }
    }

    /// The dialog of a call with this remote tag.
    fn dialog_of(&mut self, key: CallKey, tag: &str) -> Option<&mut Dialog> {
        match self.calls.get_mut(&key)? {
            Call::Dialing(dialing) => {
                dialing.early.iter_mut().map(|early| &mut early.dialog).find(|dialog| dialog.remote_tag() == tag)
            }
            Call::Ringing(ringing) => Some(&mut ringing.dialog),
            Call::Talking(talk) => Some(&mut talk.dialog),
        }
    }

    /// An INFO is told which key types it may bring.
    fn inner_rejection(&self, request: &Request, mut rejection: Rejection) -> Rejection {
        if request.method == Method::Info && rejection.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            rejection.headers = vec![(HeaderName::Accept, HeaderValue::list(KEY_TYPES))];
        }
        rejection
    }

    fn on_bye(&mut self, now: Instant, key: CallKey, id: TransactionId, request: &Request) {
        match self.calls.get(&key) {
            Some(Call::Talking(_)) => {
                self.respond_plain(now, id, StatusCode::OK);
                let reason = request.headers.reasons().into_iter().next();
                self.parted(now, key, reason);
            }
            // A caller may leave an early dialog with BYE (RFC 3261 section 15.1.1).
            Some(Call::Ringing(_)) => {
                self.respond_plain(now, id, StatusCode::OK);
                self.end_ringing(now, key, StatusCode::REQUEST_TERMINATED);
                let failure = super::dialling::failure(crate::HangupCause::Cancelled, crate::Reached::Callee);
                self.events.push_back(Event::Failed { call: key, failure });
            }
            // A callee must not (section 15); its final answer to the INVITE is still to come.
            Some(Call::Dialing(_)) | None => self.respond_plain(now, id, StatusCode::NO_SUCH_TRANSACTION),
        }
    }

    fn awaits_prack(&self, key: CallKey, request: &Request) -> bool {
        match (self.calls.get(&key), request.headers.rack()) {
            (Some(Call::Ringing(ringing)), Some(rack)) => {
                ringing.unpracked.is_some()
                    && ringing.rseq == rack.rseq
                    && ringing.request.headers.cseq().as_ref() == Some(&rack.cseq)
            }
            _ => false,
        }
    }

    fn on_info(&mut self, now: Instant, key: CallKey, id: TransactionId, request: &Request) {
        let packaged = HeaderName::new("Info-Package").is_ok_and(|name| request.headers.contains(&name));
        if packaged {
            // We announced no package (RFC 6086 section 4.2.2).
            self.respond_plain(now, id, StatusCode::new(469).unwrap_or(StatusCode::BAD_REQUEST));
            return;
        }
        if request.body.is_empty() {
            self.respond_plain(now, id, StatusCode::OK); // Used as a keep-alive.
            return;
        }
        let media_type = request.headers.content_type();
        let known = KEY_TYPES.iter().find(|known| media_type.as_ref().is_some_and(|kind| kind.is(known)));
        let Some(known) = known else {
            let answer = Response::to(request, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            let answer = answer.with(HeaderName::Accept, HeaderValue::list(KEY_TYPES));
            self.transactions.respond(now, &mut self.wires, id, answer);
            return;
        };
        let text = String::from_utf8_lossy(&request.body);
        let pressed = if *known == KEY_TYPES[0] { relayed_key(&text) } else { plain_key(&text) };
        match pressed {
            Some((digit, duration)) => {
                self.respond_plain(now, id, StatusCode::OK);
                self.events.push_back(Event::Dtmf { call: key, digit, duration });
            }
            None => self.respond_plain(now, id, StatusCode::BAD_REQUEST),
        }
    }

    /// What we can do, for OPTIONS (RFC 3261 section 11.2).
    pub(super) fn with_abilities(&self, answer: Response) -> Response {
        answer
            .with(HeaderName::Allow, allow())
            .with(HeaderName::Accept, HeaderValue::list([super::compose::SDP]))
            .with(HeaderName::Supported, HeaderValue::list(["timer", "100rel"]))
    }
}

/// `Signal=5` and `Duration=160` on lines of their own, with blanks allowed.
fn relayed_key(text: &str) -> Option<(char, Duration)> {
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.into_iter().find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    let digit = key_of(value("Signal")?)?;
    let duration = value("Duration").and_then(|text| text.parse::<u16>().ok()); // Unreadable is as good as unsaid.
    Some((digit, duration.map_or(USUAL_KEY, |ms| Duration::from_millis(ms.into()))))
}

/// The key alone.
fn plain_key(text: &str) -> Option<(char, Duration)> {
    Some((key_of(text.trim())?, USUAL_KEY))
}

/// A key by its sign, or by its number 10 to 16 as RFC 4733 counts them.
fn key_of(text: &str) -> Option<char> {
    let mut signs = text.chars();
    let (first, rest) = (signs.next()?.to_ascii_uppercase(), signs.as_str());
    if rest.is_empty() {
        return is_key(first).then_some(first);
    }
    match text {
        "10" => Some('*'),
        "11" => Some('#'),
        "12" => Some('A'),
        "13" => Some('B'),
        "14" => Some('C'),
        "15" => Some('D'),
        "16" => Some('!'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_presses_in_the_forms_of_the_field() {
        let ms = Duration::from_millis;
        assert_eq!(relayed_key("Signal=5\r\nDuration=160\r\n"), Some(('5', ms(160))));
        assert_eq!(relayed_key("Signal= *\nDuration= 250"), Some(('*', ms(250))));
        assert_eq!(relayed_key("signal=11"), Some(('#', USUAL_KEY)));
        assert_eq!(relayed_key("Signal=d\r\nDuration=99999999"), Some(('D', USUAL_KEY)));
        assert_eq!(relayed_key("Duration=160"), None);
        assert_eq!(relayed_key("Signal=\u{1F600}"), None);
        assert_eq!(plain_key("5\r\n"), Some(('5', USUAL_KEY)));
        assert_eq!(plain_key("55"), None);
    }
}
