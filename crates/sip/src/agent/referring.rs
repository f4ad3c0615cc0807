//! Transfers: the peer is asked to call somebody else in our place (RFC 3515) and tells how that goes. Never follows such
//! a request itself.

use super::call::Referral;
use super::errand::{Outcome, Purpose};
use super::{Event, UserAgent};
use crate::invite::CallKey;
use crate::message::{HeaderName, HeaderValue, Method, NameAddr, Request, SipUri, StatusCode};
use crate::transaction::TransactionId;
use std::time::Instant;

/// The body of a notification about a transfer (RFC 3420).
const FRAGMENT: &str = "message/sipfrag";

impl UserAgent {
    pub(super) fn hand_over(&mut self, now: Instant, key: CallKey, target: &SipUri) -> bool {
        let free = self.talk(key).is_some_and(|talk| talk.referral == Referral::No);
        if !free {
            return false;
        }
        let Some((mut request, way)) = self.inner_request(key, Method::Refer) else {
            return false;
        };
        let Some(us) = request.headers.from().map(|from| NameAddr::new(from.uri().clone())) else {
            return false;
        };
        let transport = way.transport;
        let contact = self.contact(transport, Some(us.uri()));
        self.introduce(&mut request.headers, contact.as_ref());
        request.headers.push(HeaderName::ReferTo, &NameAddr::new(target.clone()));
        request.headers.push(HeaderName::ReferredBy, &us);
        if let Some(talk) = self.talk(key) {
            talk.referral = Referral::UnderWay;
        }
        self.send_inner(now, key, Purpose::Refer(key), (request, way));
        true
    }

    pub(super) fn on_refer_outcome(&mut self, now: Instant, key: CallKey, outcome: Outcome<'_>) {
        let status = outcome.status();
        let Some(talk) = self.talk(key) else { return };
        if !(200..300).contains(&status) {
            talk.referral = Referral::No;
        }
        self.events.push_back(Event::ReferAnswered { call: key, status });
        self.end_if_lost(now, key, status);
    }

    /// A notification: about our REFER, or about nothing that we asked for (RFC 6665 section 4.1.3).
    pub(super) fn on_notify(&mut self, now: Instant, key: CallKey, id: TransactionId, request: &Request) {
        let event = request.headers.first(&HeaderName::Event).unwrap_or_default();
        let package = event.split(';').next().unwrap_or_default().trim();
        let expected = self.talk(key).is_some_and(|talk| talk.referral == Referral::UnderWay);
        if !expected || !package.eq_ignore_ascii_case("refer") {
            self.respond_plain(now, id, StatusCode::NO_SUCH_TRANSACTION);
            return;
        }
        if !request.headers.content_type().is_some_and(|kind| kind.is(FRAGMENT)) {
            let answer = crate::message::Response::to(request, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            let answer = answer.with(HeaderName::Accept, HeaderValue::list([FRAGMENT]));
            self.transactions.respond(now, &mut self.wires, id, answer);
            return;
        }
        self.respond_plain(now, id, StatusCode::OK);
        let state = request.headers.first(&HeaderName::SubscriptionState).unwrap_or_default();
        let over = state.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("terminated");
        let status = status_of(&request.body).unwrap_or(100);
        let last = over || status >= 200;
        if let Some(talk) = self.talk(key).filter(|_| last) {
            talk.referral = Referral::No;
        }
        self.events.push_back(Event::ReferProgress { call: key, status, last });
    }
}

/// The status of the status line that a fragment begins with.
fn status_of(body: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(body);
    let mut words = text.lines().next()?.split_whitespace();
    let version = words.next()?;
    let status = words.next()?.parse().ok()?;
    (version.eq_ignore_ascii_case("SIP/2.0") && (100..700).contains(&status)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_fragment() {
        assert_eq!(status_of(b"SIP/2.0 200 OK\r\n"), Some(200));
        assert_eq!(status_of(b"SIP/2.0 486 Busy Here"), Some(486));
        assert_eq!(status_of(b"SIP/2.0 99999 x"), None);
        assert_eq!(status_of(b"INVITE sip:a@b SIP/2.0"), None);
        assert_eq!(status_of(b""), None);
    }
}
