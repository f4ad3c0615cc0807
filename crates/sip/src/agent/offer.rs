//! Changes of the session that the peer asks for: re-INVITE and UPDATE with an offer (RFC 3261 section 14.2, RFC 3311).
//!
//! Hides glare and which transaction an offer came in. The session description itself is the application's.

use std::time::{Duration, Instant};

use super::call::{Call, Holds, Ours, PendingOffer};
use super::compose::{answer_with_body, session_description, way_to};
use super::{Event, OfferKey, UserAgent};
use crate::invite::{Body, CallKey};
use crate::message::{HeaderName, Headers, Method, Request, Response, StatusCode};
use crate::session_timer::{self, Agreement};
use crate::transaction::{CallTimer, TransactionId, Wake, Way};

/// How long the application may take to answer an offer. UPDATE wants its answer at once (RFC 3311 section 5.2).
const OFFER_PATIENCE: Duration = Duration::from_secs(8);

impl UserAgent {
    /// A re-INVITE or UPDATE in a dialog of a call; its transaction is open.
    pub(super) fn on_offer(&mut self, now: Instant, key: CallKey, id: TransactionId, request: &Request) {
        if let Some(refusal) = self.collision(key, request) {
            self.respond_plain(now, id, refusal);
            return;
        }
        let body = session_description(&request.headers, &request.body);
        if request.method == Method::Update && body.is_none() {
            self.refreshed(now, key, id, request);
            return;
        }
        if request.method == Method::Invite {
            self.respond_plain(now, id, StatusCode::TRYING);
        }
        let offer = OfferKey(self.next_key());
        let holds = if body.is_some() { Holds::Answer } else { Holds::Offer };
        let wake = Wake::Call(key, CallTimer::OfferPatience);
        let patience = Some(self.wires.alarms.set(now + OFFER_PATIENCE, wake));
        let pending = PendingOffer { call: key, transaction: id, holds, patience };
        self.offers.insert(offer, pending);
        if let Some(talk) = self.talk(key) {
            talk.theirs = Some(offer);
        }
        self.events.push_back(Event::Offer { call: key, offer, body });
    }

    /// Whether a change of ours, or an earlier one of theirs, stands in the way (RFC 3261 section 14.2).
    fn collision(&mut self, key: CallKey, request: &Request) -> Option<StatusCode> {
        match self.calls.get(&key)? {
            Call::Talking(talk) if talk.theirs.is_some() => Some(StatusCode::SERVER_INTERNAL_ERROR),
            Call::Talking(talk) => {
                let carries_offer = request.method == Method::Invite || !request.body.is_empty();
                let ours = talk.ours != Ours::Nothing && talk.glare.is_none();
                let unsettled = talk.unacked.is_some() && carries_offer;
                (carries_offer && ours || unsettled).then_some(StatusCode::REQUEST_PENDING)
            }
            // Our own offer in the INVITE is still open; a second INVITE in an early dialog breaks the rules.
            Call::Dialing(_) if request.method == Method::Invite => Some(StatusCode::REQUEST_PENDING),
            Call::Dialing(_) | Call::Ringing(_) => {
                let pending = self.offers.values().any(|pending| pending.call == key);
                pending.then_some(StatusCode::SERVER_INTERNAL_ERROR)
            }
        }
    }

    /// An UPDATE without a body refreshes the session and the target, nothing else.
    fn refreshed(&mut self, now: Instant, key: CallKey, id: TransactionId, request: &Request) {
        if let Some(answer) = self.changed_answer(now, key, request.headers.clone(), id) {
            self.transactions.respond(now, &mut self.wires, id, answer);
        }
    }

    /// A 200 to a re-INVITE or UPDATE, whose To has our tag already, with the session timer that follows from it.
    fn changed_answer(&mut self, now: Instant, key: CallKey, asked: Headers, id: TransactionId) -> Option<Response> {
        let request = self.transactions.asked(id)?;
        let mut answer = Response::to(request, StatusCode::OK);
        let local = request.headers.to();
        let transport = match self.calls.get(&key)? {
            Call::Talking(talk) => talk.trunk.transport,
            Call::Dialing(dialing) => dialing.trunk.transport,
            Call::Ringing(ringing) => ringing.peer.transport,
        };
        let contact = self.contact(transport, local.as_ref().map(|local| local.uri()));
        self.introduce(&mut answer.headers, contact.as_ref());
        let agreed = Agreement::from_request(&asked, self.settings.min_session_expires).unwrap_or(None);
        session_timer::write_answer(&mut answer.headers, agreed);
        let timed =
            matches!(self.calls.get(&key), Some(Call::Talking(talk)) if agreed.is_some() || talk.agreement.is_some());
        if timed {
            self.agree(now, key, agreed);
        }
        Some(answer)
    }

    /// The application's word on an offer.
    pub(super) fn settle_offer(&mut self, now: Instant, offer: OfferKey, verdict: Result<Body, u16>) {
        let Some(mut pending) = self.offers.remove(&offer) else {
            return; // Withdrawn, or the call ended.
        };
        self.wires.alarms.stop(&mut pending.patience);
        let PendingOffer { call: key, transaction: id, holds, .. } = pending;
        if let Some(talk) = self.talk(key) {
            talk.theirs = None;
        }
        let body = match verdict {
            Ok(body) => body,
            Err(status) => {
                let refusal = StatusCode::new(status).filter(|code| code.code() >= 300);
                self.respond_plain(now, id, refusal.unwrap_or(StatusCode::NOT_ACCEPTABLE_HERE));
                return;
            }
        };
        let Some(request) = self.transactions.asked(id) else {
            return;
        };
        let (asked, method) = (request.headers.clone(), request.method.clone());
        let number = asked.cseq().map_or(0, |cseq| cseq.number);
        let Some(answer) = self.changed_answer(now, key, asked, id) else {
            return;
        };
        let answer = answer_with_body(answer, Some(body.clone()));
        self.transactions.respond(now, &mut self.wires, id, answer.clone());
        let Some(talk) = self.talk(key) else {
            return;
        };
        talk.local_body = Some(body);
        if method == Method::Invite {
            let there = Way { flow: talk.flow, ..way_to(&talk.trunk, talk.dialog.next_hop()) };
            let way = self.transactions.way(id).unwrap_or(there);
            self.await_ack(now, key, (number, way), &answer, holds);
        }
    }

    /// The application took too long: the session goes on as it was.
    pub(super) fn give_up_offer(&mut self, now: Instant, key: CallKey) {
        for offer in self.offers_of(key) {
            self.settle_offer(now, offer, Err(StatusCode::SERVER_INTERNAL_ERROR.code()));
            self.events.push_back(Event::OfferWithdrawn { call: key, offer });
        }
    }

    /// The call ends: offers of it that wait are refused, so that no transaction stays open.
    pub(super) fn refuse_offers_of(&mut self, now: Instant, key: CallKey) {
        for offer in self.offers_of(key) {
            self.settle_offer(now, offer, Err(StatusCode::REQUEST_TERMINATED.code()));
        }
    }

    /// The re-INVITE is cancelled by the peer.
    pub(super) fn cancel_offer(&mut self, now: Instant, id: TransactionId) {
        let found = self
            .offers
            .iter()
            .find(|(_, pending)| pending.transaction == id)
            .map(|(offer, found)| (*offer, found.call));
        if let Some((offer, call)) = found {
            self.settle_offer(now, offer, Err(StatusCode::REQUEST_TERMINATED.code()));
            self.events.push_back(Event::OfferWithdrawn { call, offer });
        }
    }

    /// The offers of a call, oldest first. There are as few as calls that are being changed right now.
    fn offers_of(&self, key: CallKey) -> Vec<OfferKey> {
        let mut offers: Vec<_> =
            self.offers.iter().filter(|(_, pending)| pending.call == key).map(|(offer, _)| *offer).collect();
        offers.sort_unstable_by_key(|offer| offer.0);
        offers
    }

    /// Answers a request of a peer with a status and what must stand beside it.
    pub(super) fn respond_plain(&mut self, now: Instant, id: TransactionId, status: StatusCode) {
        let Some(request) = self.transactions.asked(id) else {
            return;
        };
        let mut answer = Response::to(request, status);
        match status {
            StatusCode::SERVER_INTERNAL_ERROR => {
                // Somewhere in 0 to 10 s (RFC 3261 section 14.2).
                let wait = u32::try_from(self.entropy.number() % 11).unwrap_or(0);
                answer.headers.push(HeaderName::RetryAfter, wait);
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                answer.headers.push(HeaderName::Allow, super::compose::allow());
            }
            _ => {}
        }
        self.transactions.respond(now, &mut self.wires, id, answer);
    }
}
