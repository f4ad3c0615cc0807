//! Calls of peers before our answer: 100, 18x (reliable where the peer can), the 2xx, refusals and CANCEL.
//!
//! Hides PRACK: the application says "ring" and "accept" in any order, and what must wait for a PRACK waits.

use std::sync::Arc;
use std::time::Instant;

use super::call::{Call, Holds, Ours, Queued, Referral, Ringing, Stage, Talk, Unpracked};
use super::compose::{answer_with_body, session_description};
use super::dialling::{failure, updates};
use super::{Event, Invitation, UserAgent};
use crate::cause::HangupCause;
use crate::dialog::Dialog;
use crate::invite::{Body, CallKey, Incoming, Reached, Trunk};
use crate::message::{HeaderName, HeaderValue, Request, Response, StatusCode};
use crate::session_timer::{self, Agreement};
use crate::transaction::{CallTimer, TransactionId, Wake, Way};

/// The first RSeq is chosen below this (RFC 3262 section 3 allows up to 2^31-1); counting on from it never wraps.
const FIRST_RSEQ_BELOW: u64 = 1 << 16;

impl UserAgent {
    /// A new INVITE that may be offered to the application.
    pub(super) fn on_invitation(&mut self, now: Instant, way: Way, request: Request) {
        let tag = self.entropy.word();
        let agreement = Agreement::from_request(&request.headers, self.settings.min_session_expires);
        let (Some(dialog), Ok(agreement)) = (Dialog::at_callee(&request, &tag), agreement) else {
            // Without a Contact no dialog can be made (RFC 3261 section 8.1.1.8); 422 was answered before.
            self.answer_request_stateless(way, &request, StatusCode::BAD_REQUEST);
            return;
        };
        let (Some(from), Some(to), Some(call_id)) =
            (request.headers.from(), request.headers.to(), request.headers.call_id())
        else {
            return;
        };
        let invitation = Invitation {
            request_uri: request.uri.clone(),
            from,
            to,
            call_id: call_id.as_str().to_owned(),
            source: way.destination,
            body: session_description(&request.headers, &request.body),
        };
        let key = CallKey(self.next_key());
        let id = self.transactions.open(request.clone(), way);
        self.transactions.respond(now, &mut self.wires, id, Response::to(&request, StatusCode::TRYING));
        self.dialogs.insert(dialog.id(), key);
        let ringing = Ringing {
            peer: Arc::new(Trunk::at(way.destination, way.transport)),
            flow: way.flow,
            invite: id,
            request: Box::new(request),
            dialog,
            agreement,
            rseq: u32::try_from(1 + self.entropy.number() % FIRST_RSEQ_BELOW).unwrap_or(1),
            unpracked: None,
            queued: None,
        };
        self.ringing_by_invite.insert(id, key);
        self.calls.insert(key, Call::Ringing(Box::new(ringing)));
        let event = Event::Incoming { call: key, handle: Incoming(key), invitation: Box::new(invitation) };
        self.events.push_back(event);
    }

    fn ringing(&mut self, key: CallKey) -> Option<&mut Ringing> {
        match self.calls.get_mut(&key) {
            Some(Call::Ringing(ringing)) => Some(ringing),
            _ => None,
        }
    }

    /// An answer to the INVITE of a ringing call with our tag and Contact.
    fn ringing_answer(&mut self, key: CallKey, status: StatusCode) -> Option<Response> {
        let (transport, uri) = {
            let ringing = self.ringing(key)?;
            (ringing.peer.transport, ringing.request.uri.clone())
        };
        let contact = self.contact(transport, Some(&uri));
        let ringing = self.ringing(key)?;
        let mut answer = Response::to(&ringing.request, status);
        if answer.set_to_tag(ringing.dialog.local_tag()).is_err() {
            return None; // A tag of ours is always a token.
        }
        if status.code() < 300 {
            self.introduce(&mut answer.headers, contact.as_ref());
        }
        Some(answer)
    }

    // ---- provisional answers ----

    pub(super) fn provisional(&mut self, now: Instant, key: CallKey, status: u16, body: Option<Body>) {
        let code =
            StatusCode::new(status).filter(|code| (101..200).contains(&code.code())).unwrap_or(StatusCode::RINGING);
        let Some(ringing) = self.ringing(key) else {
            return;
        };
        if ringing.unpracked.is_some() {
            if !matches!(ringing.queued, Some(Queued::Accept(_))) {
                ringing.queued = Some(Queued::Ring(status, body));
            }
            return;
        }
        let headers = &ringing.request.headers;
        let reliable = headers.requires("100rel") || headers.supports("100rel");
        let id = ringing.invite;
        let Some(answer) = self.ringing_answer(key, code) else {
            return;
        };
        let mut answer = answer_with_body(answer, body);
        if reliable {
            self.await_prack(now, key, &mut answer);
        }
        self.transactions.respond(now, &mut self.wires, id, answer);
    }

    /// Makes a provisional answer reliable (RFC 3262 section 3).
    fn await_prack(&mut self, now: Instant, key: CallKey, answer: &mut Response) {
        let timers = self.settings.timers;
        let Some(Call::Ringing(ringing)) = self.calls.get_mut(&key) else {
            return;
        };
        ringing.rseq += 1;
        answer.headers.push(HeaderName::Require, HeaderValue::list(["100rel"]));
        answer.headers.push(HeaderName::RSeq, ringing.rseq);
        let alarms = &mut self.wires.alarms;
        ringing.unpracked = Some(Unpracked {
            response: answer.clone(),
            interval: timers.t1,
            repeat: Some(alarms.set(now + timers.t1, Wake::Call(key, CallTimer::ProvisionalRepeat))),
            patience: Some(alarms.set(now + timers.patience(), Wake::Call(key, CallTimer::ProvisionalPatience))),
        });
    }

    pub(super) fn repeat_provisional(&mut self, now: Instant, key: CallKey) {
        let Some(Call::Ringing(ringing)) = self.calls.get_mut(&key) else {
            return;
        };
        if let Some(unpracked) = &mut ringing.unpracked {
            unpracked.interval = unpracked.interval.saturating_mul(2);
            let at = now + unpracked.interval;
            self.wires.alarms.reset(&mut unpracked.repeat, at, Wake::Call(key, CallTimer::ProvisionalRepeat));
            let (id, response) = (ringing.invite, unpracked.response.clone());
            self.transactions.respond(now, &mut self.wires, id, response);
        }
    }

    /// No PRACK came: the INVITE is rejected (RFC 3262 section 3).
    pub(super) fn give_up_prack(&mut self, now: Instant, key: CallKey) {
        self.end_ringing(now, key, StatusCode::new(504).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        let failure = failure(HangupCause::Timeout, Reached::Callee);
        self.events.push_back(Event::Failed { call: key, failure });
    }

    /// A PRACK for a ringing call. False: it acknowledges nothing we wait for.
    pub(super) fn on_prack(&mut self, now: Instant, key: CallKey, request: &Request) -> bool {
        let Some(Call::Ringing(ringing)) = self.calls.get_mut(&key) else {
            return false;
        };
        let Some(rack) = request.headers.rack() else {
            return false;
        };
        let expected = ringing.request.headers.cseq();
        if ringing.rseq != rack.rseq || expected.as_ref() != Some(&rack.cseq) {
            return false;
        }
        let Some(mut unpracked) = ringing.unpracked.take() else {
            return false;
        };
        self.wires.alarms.stop(&mut unpracked.repeat);
        self.wires.alarms.stop(&mut unpracked.patience);
        match ringing.queued.take() {
            Some(Queued::Ring(status, body)) => self.provisional(now, key, status, body),
            Some(Queued::Accept(body)) => self.answer(now, key, body),
            None => {}
        }
        true
    }

    // ---- final answers ----

    pub(super) fn answer(&mut self, now: Instant, key: CallKey, body: Body) {
        let Some(ringing) = self.ringing(key) else {
            return;
        };
        // A 2xx may overtake a PRACK only if the provisional answer held no session description (RFC 3262 section 5).
        if ringing.unpracked.as_ref().is_some_and(|unpracked| !unpracked.response.body.is_empty()) {
            ringing.queued = Some(Queued::Accept(body));
            return;
        }
        let Some(answer) = self.ringing_answer(key, StatusCode::OK) else {
            return;
        };
        let Some(ringing) = self.take_ringing(key) else {
            return;
        };
        let mut answer = answer;
        answer.headers.push(HeaderName::Supported, HeaderValue::list(["timer", "100rel"]));
        session_timer::write_answer(&mut answer.headers, ringing.agreement);
        let answer = answer_with_body(answer, Some(body.clone()));
        let offered = session_description(&ringing.request.headers, &ringing.request.body).is_some();
        let number = ringing.request.headers.cseq().map_or(0, |cseq| cseq.number);
        let way = Way { transport: ringing.peer.transport, destination: ringing.peer.peer, flow: ringing.flow };
        self.transactions.respond(now, &mut self.wires, ringing.invite, answer.clone());
        let agreement = ringing.agreement;
        self.begin_answered(key, *ringing, body);
        self.agree(now, key, agreement);
        let holds = if offered { Holds::Answer } else { Holds::Offer };
        self.await_ack(now, key, (number, way), &answer, holds);
    }

    fn begin_answered(&mut self, key: CallKey, ringing: Ringing, body: Body) {
        self.dialogs.insert(ringing.dialog.id(), key);
        let talk = Talk {
            trunk: ringing.peer,
            flow: ringing.flow,
            dialog: ringing.dialog,
            stage: Stage::Unconfirmed,
            agreement: None,
            refresh: None,
            expiry: None,
            ours: Ours::Nothing,
            glare: None,
            theirs: None,
            unacked: None,
            local_body: Some(body),
            updates: updates(&ringing.request.headers),
            unsent_ack: None,
            referral: Referral::No,
        };
        self.calls.insert(key, Call::Talking(Box::new(talk)));
    }

    pub(super) fn refuse(&mut self, now: Instant, key: CallKey, status: u16) {
        let refusal = StatusCode::new(status).filter(|code| code.code() >= 300);
        self.end_ringing(now, key, refusal.unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE));
    }

    /// CANCEL, or any other end before our answer.
    pub(super) fn end_ringing(&mut self, now: Instant, key: CallKey, status: StatusCode) {
        let answer = self.ringing_answer(key, status);
        if let (Some(answer), Some(ringing)) = (answer, self.take_ringing(key)) {
            self.transactions.respond(now, &mut self.wires, ringing.invite, answer);
        }
    }

    fn take_ringing(&mut self, key: CallKey) -> Option<Box<Ringing>> {
        match self.calls.remove(&key)? {
            Call::Ringing(mut ringing) => {
                self.dialogs.remove(&ringing.dialog.id());
                self.ringing_by_invite.remove(&ringing.invite);
                if let Some(unpracked) = &mut ringing.unpracked {
                    self.wires.alarms.stop(&mut unpracked.repeat);
                    self.wires.alarms.stop(&mut unpracked.patience);
                }
                Some(ringing)
            }
            other => {
                self.calls.insert(key, other);
                None
            }
        }
    }

    /// A CANCEL. The INVITE it names is ended if it is not answered; it is answered itself in any case.
    pub(super) fn on_cancel(&mut self, now: Instant, way: Way, request: Request) {
        let source = way.destination.ip();
        let same_source =
            |id: &TransactionId| self.transactions.way(*id).is_some_and(|to| to.destination.ip() == source);
        let Some(invite) = self.transactions.cancelled(&request).filter(same_source) else {
            self.answer_request_stateless(way, &request, StatusCode::NO_SUCH_TRANSACTION);
            return;
        };
        let key = self.ringing_by_invite.get(&invite).copied();
        let tag = key.and_then(|key| self.local_tag(key)).unwrap_or_else(|| self.entropy.word());
        let mut answer = Response::to(&request, StatusCode::OK);
        if answer.set_to_tag(&tag).is_err() {
            return; // A tag of ours is always a token.
        }
        let id = self.transactions.open(request.clone(), way);
        self.transactions.respond(now, &mut self.wires, id, answer);
        let Some(key) = key else {
            self.cancel_offer(now, invite);
            return;
        };
        let reason = request.headers.reasons().into_iter().next();
        self.end_ringing(now, key, StatusCode::REQUEST_TERMINATED);
        let failure = crate::invite::Failure { reason, ..failure(HangupCause::Cancelled, Reached::Callee) };
        self.events.push_back(Event::Failed { call: key, failure });
    }

    fn local_tag(&self, key: CallKey) -> Option<String> {
        match self.calls.get(&key)? {
            Call::Ringing(ringing) => Some(ringing.dialog.local_tag().to_owned()),
            Call::Dialing(_) | Call::Talking(_) => None,
        }
    }
}
