//! Answered calls: goodbye, changes and refreshes of the session that we ask for, key presses, and our 2xx until its ACK.
//!
//! Hides who refreshes, what a 491 means and when BYE may be sent. `Ended` is the last event of a call and comes once.

use std::time::{Duration, Instant};

use super::call::{Call, Holds, Ours, Sending, Stage, Talk, Unacked, Updates};
use super::compose::{session_description, way_to, with_body};
use super::dialling::{failure, updates};
use super::errand::{Errand, Outcome, Purpose};
use super::{Ending, Event, UserAgent};
use crate::cause::{EndedBy, HangupCause};
use crate::dialog::{Dialog, Side};
use crate::invite::{Body, CallKey, Reached, normal_clearing};
use crate::message::{HeaderName, HeaderValue, Method, Reason, Request, Response};
use crate::session_timer::{self, Agreement};
use crate::transaction::{CallTimer, Parcel, TransactionId, Wake, Way};

/// Longest key press told by INFO.
const LONGEST_KEY: Duration = Duration::from_secs(5);

impl UserAgent {
    pub(super) fn talk(&mut self, key: CallKey) -> Option<&mut Talk> {
        match self.calls.get_mut(&key) {
            Some(Call::Talking(talk)) => Some(talk),
            _ => None,
        }
    }

    // ---- goodbye ----

    pub(super) fn hang_up(&mut self, now: Instant, key: CallKey, reason: Option<Reason>) {
        match self.calls.get_mut(&key) {
            Some(Call::Talking(talk)) => match talk.stage {
                Stage::Confirmed => {
                    let reason = reason.or_else(|| Some(normal_clearing()));
                    self.part(now, key, reason, ended(EndedBy::Local, HangupCause::Normal));
                }
                // BYE may not overtake the ACK (RFC 3261 section 15); the application hears the end now all the same.
                Stage::Unconfirmed => {
                    talk.stage = Stage::Leaving(reason);
                    self.events
                        .push_back(Event::Ended { call: key, ending: ended(EndedBy::Local, HangupCause::Normal) });
                }
                Stage::Leaving(_) => {}
            },
            // Accepted, but the 2xx still waits for a PRACK: it never went out, so a refusal ends it.
            Some(Call::Ringing(_)) => {
                self.refuse(now, key, 480);
                self.events.push_back(Event::Ended { call: key, ending: ended(EndedBy::Local, HangupCause::Normal) });
            }
            Some(Call::Dialing(_)) | None => {}
        }
    }

    /// Sends BYE, forgets the call and tells the application.
    fn part(&mut self, now: Instant, key: CallKey, reason: Option<Reason>, ending: Ending) {
        // BYE may not overtake the ACK (RFC 3261 section 15).
        self.release_ack(key);
        if let Some(talk) = self.take_talk(now, key) {
            let told = matches!(talk.stage, Stage::Leaving(_));
            let Talk { dialog, trunk, .. } = *talk;
            self.leave(now, Some(key), (dialog, trunk), reason);
            if !told {
                self.events.push_back(Event::Ended { call: key, ending });
            }
        }
    }

    /// The peer said goodbye.
    pub(super) fn parted(&mut self, now: Instant, key: CallKey, reason: Option<Reason>) {
        if let Some(talk) = self.take_talk(now, key)
            && !matches!(talk.stage, Stage::Leaving(_))
        {
            let ending = Ending { by: EndedBy::Peer, cause: HangupCause::Normal, reason };
            self.events.push_back(Event::Ended { call: key, ending });
        }
    }

    /// The call is over without a BYE of ours: the peer no longer knows it.
    fn lost(&mut self, now: Instant, key: CallKey, cause: HangupCause) {
        self.part(now, key, None, ended(EndedBy::Network, cause));
    }

    fn take_talk(&mut self, now: Instant, key: CallKey) -> Option<Box<Talk>> {
        match self.calls.remove(&key)? {
            Call::Talking(mut talk) => {
                self.dialogs.remove(&talk.dialog.id());
                let alarms = &mut self.wires.alarms;
                for place in [&mut talk.refresh, &mut talk.expiry, &mut talk.glare] {
                    alarms.stop(place);
                }
                if let Some(unacked) = &mut talk.unacked {
                    alarms.stop(&mut unacked.repeat);
                    alarms.stop(&mut unacked.patience);
                }
                self.refuse_offers_of(now, key);
                Some(talk)
            }
            other => {
                self.calls.insert(key, other);
                None
            }
        }
    }

    // ---- requests of ours inside the call ----

    /// A request inside the call, with Via, number and routes; `None`: the call is over.
    pub(super) fn inner_request(&mut self, key: CallKey, method: Method) -> Option<(Request, Way)> {
        let transport = self.talk(key)?.trunk.transport;
        let via = self.via(transport)?;
        let talk = self.talk(key)?;
        let number = talk.dialog.next_cseq();
        let request = talk.dialog.request(method, number, via);
        let way = Way { flow: talk.flow, ..way_to(&talk.trunk, talk.dialog.next_hop()) };
        Some((request, way))
    }

    pub(super) fn send_inner(
        &mut self,
        now: Instant,
        key: CallKey,
        purpose: Purpose,
        (mut request, way): (Request, Way),
    ) {
        let Some(trunk) = self.talk(key).map(|talk| talk.trunk.clone()) else {
            return;
        };
        self.authorize_ahead(&trunk, &mut request);
        let errand = Errand::new(purpose, trunk);
        let id = self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
        if matches!(purpose, Purpose::Reinvite(_)) {
            self.bound_reinvite(now, id);
        }
    }

    /// A re-INVITE that got a provisional answer and nothing more must not hold the session for ever.
    pub(super) fn bound_reinvite(&mut self, now: Instant, id: TransactionId) {
        // A little later than timer B, which speaks first where nothing came at all.
        let at = now + self.settings.timers.patience() + self.settings.timers.t1;
        self.wires.alarms.set(at, Wake::Overdue(id));
    }

    pub(super) fn press_key(&mut self, now: Instant, key: CallKey, digit: char, duration: Duration) -> bool {
        if !is_key(digit) {
            return false;
        }
        let Some((request, way)) = self.inner_request(key, Method::Info) else {
            return false;
        };
        let text = format!("Signal={digit}\r\nDuration={}\r\n", duration.min(LONGEST_KEY).as_millis());
        let body = Body { content_type: String::from("application/dtmf-relay"), bytes: text.into_bytes() };
        let Some(request) = with_body(request, body) else {
            return false;
        };
        self.send_inner(now, key, Purpose::Key(key), (request, way));
        true
    }

    pub(super) fn on_key_outcome(&mut self, now: Instant, key: CallKey, outcome: Outcome<'_>) {
        let status = outcome.status();
        if self.talk(key).is_some() {
            self.events.push_back(Event::DtmfSent { call: key, status });
            self.end_if_lost(now, key, status);
        }
    }

    /// 481 to a request inside the call ends it (RFC 3261 section 12.2.1.2). 408 does not: one lost request is no proof.
    pub(super) fn end_if_lost(&mut self, now: Instant, key: CallKey, status: u16) {
        if status == 481 {
            self.lost(now, key, HangupCause::CallLost);
        }
    }

    // ---- changes of the session that we ask for ----

    pub(super) fn change_session(&mut self, now: Instant, key: CallKey, offer: Body) -> bool {
        let Some(talk) = self.talk(key) else {
            return false;
        };
        let free = talk.ours == Ours::Nothing
            && talk.theirs.is_none()
            && talk.unacked.is_none()
            && talk.stage == Stage::Confirmed;
        free && self.send_reinvite(now, key, Ours::Offer(offer))
    }

    fn send_reinvite(&mut self, now: Instant, key: CallKey, change: Ours) -> bool {
        let Some(talk) = self.talk(key) else {
            return false;
        };
        let body = match &change {
            Ours::Offer(body) => Some(body.clone()),
            Ours::Refresh | Ours::Nothing => talk.local_body.clone(),
        };
        let (agreement, transport) = (talk.agreement, talk.trunk.transport);
        let Some((mut request, way)) = self.inner_request(key, Method::Invite) else {
            return false;
        };
        let contact = self.contact(transport, request.headers.from().as_ref().map(|from| from.uri()));
        self.introduce(&mut request.headers, contact.as_ref());
        request.headers.push(HeaderName::Supported, HeaderValue::list(["timer"]));
        let interval = agreement.map(|agreement| agreement.request_value());
        session_timer::write_request(&mut request.headers, interval, self.settings.min_session_expires);
        let request = match body {
            Some(body) => match with_body(request, body) {
                Some(request) => request,
                None => return false,
            },
            None => request,
        };
        if let Some(talk) = self.talk(key) {
            talk.ours = change;
        }
        self.send_inner(now, key, Purpose::Reinvite(key), (request, way));
        true
    }

    pub(super) fn on_reinvite_outcome(
        &mut self,
        now: Instant,
        (key, id): (CallKey, TransactionId),
        errand: &Errand,
        outcome: Outcome<'_>,
    ) {
        let response = match outcome {
            Outcome::Response(response) if response.status.is_provisional() => return,
            Outcome::Response(response) if response.status.is_success() => response,
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportFailed => {
                self.on_change_failed(now, key, outcome);
                return;
            }
        };
        let tag: Box<str> = response.headers.to().and_then(|to| to.tag().map(Box::from)).unwrap_or_default();
        if self.acknowledge_again(id, &tag) {
            return;
        }
        let Some(invite) = self.transactions.request(id).cloned() else {
            return;
        };
        let trunk = errand.trunk.clone();
        let Some(talk) = self.talk(key) else {
            // The call ended meanwhile; the peer still waits for its ACK.
            if let Some(mut dialog) = Dialog::at_caller(&invite, response) {
                self.acknowledge((id, Sending::Now), &trunk, &mut dialog, &invite);
            }
            return;
        };
        talk.dialog.refresh_target(&response.headers);
        let mut dialog = talk.dialog.clone();
        let change = std::mem::replace(&mut talk.ours, Ours::Nothing);
        if let Ours::Offer(body) = &change {
            talk.local_body = Some(body.clone());
        }
        self.acknowledge((id, Sending::Now), &trunk, &mut dialog, &invite);
        self.agree(now, key, Agreement::from_answer(&response.headers));
        if matches!(change, Ours::Offer(_)) {
            let body = session_description(&response.headers, &response.body);
            self.events.push_back(Event::OfferAnswered { call: key, body });
        }
    }

    fn on_change_failed(&mut self, now: Instant, key: CallKey, outcome: Outcome<'_>) {
        let status = outcome.status();
        let wait = self.glare_wait(key);
        let Some(Call::Talking(talk)) = self.calls.get_mut(&key) else {
            return;
        };
        if status == 491 && talk.glare.is_none() && talk.ours != Ours::Nothing {
            // Both sides asked at once; the change stays wanted (RFC 3261 section 14.1).
            talk.glare = Some(self.wires.alarms.set(now + wait, Wake::Call(key, CallTimer::GlareRetry)));
            return;
        }
        let change = std::mem::replace(&mut talk.ours, Ours::Nothing);
        match change {
            Ours::Offer(_) => self.events.push_back(Event::OfferRefused { call: key, status }),
            Ours::Refresh => self.on_refresh_failed(now, key, status),
            Ours::Nothing => {}
        }
        self.end_if_lost(now, key, status);
    }

    /// Who owns the Call-ID waits 2.1 to 4 s, the other one 0 to 2 s, in steps of 10 ms (RFC 3261 section 14.1).
    fn glare_wait(&mut self, key: CallKey) -> Duration {
        let dice = self.entropy.number();
        let placed_it = matches!(self.calls.get(&key), Some(Call::Talking(talk)) if talk.dialog.side() == Side::Caller);
        let step = if placed_it { 210 + dice % 191 } else { dice % 201 };
        Duration::from_millis(step * 10)
    }

    pub(super) fn retry_change(&mut self, now: Instant, key: CallKey) {
        let Some(talk) = self.talk(key) else {
            return;
        };
        let change = std::mem::replace(&mut talk.ours, Ours::Nothing);
        let busy = talk.theirs.is_some() || talk.unacked.is_some();
        match change {
            Ours::Nothing => talk.glare = None,
            Ours::Offer(_) if busy => {
                talk.glare = None;
                self.events.push_back(Event::OfferRefused { call: key, status: 491 });
            }
            Ours::Refresh if busy => talk.glare = None,
            // `glare` stays set, though it has fired: a second 491 ends the attempt.
            change => {
                self.send_reinvite(now, key, change);
            }
        }
    }

    // ---- session timer ----

    /// Puts an agreement in force and winds its clocks anew (RFC 4028 section 7.2).
    pub(super) fn agree(&mut self, now: Instant, key: CallKey, agreement: Option<Agreement>) {
        let Some(Call::Talking(talk)) = self.calls.get_mut(&key) else {
            return;
        };
        let alarms = &mut self.wires.alarms;
        alarms.stop(&mut talk.refresh);
        alarms.stop(&mut talk.expiry);
        talk.agreement = agreement;
        talk.glare = None;
        let Some(agreement) = agreement else {
            return;
        };
        talk.expiry = Some(alarms.set(now + agreement.gives_up_after(), Wake::Call(key, CallTimer::SessionExpiry)));
        if let Some(wait) = agreement.refresh_after() {
            talk.refresh = Some(alarms.set(now + wait, Wake::Call(key, CallTimer::SessionRefresh)));
        }
    }

    /// Refreshes: UPDATE without a body where the peer serves it, else a re-INVITE with the session as it is.
    pub(super) fn refresh_session(&mut self, now: Instant, key: CallKey) {
        let Some(talk) = self.talk(key) else {
            return;
        };
        if talk.ours != Ours::Nothing {
            return; // A change under way refreshes as well.
        }
        if talk.updates == Updates::NotServed {
            if talk.theirs.is_none() && talk.unacked.is_none() {
                self.send_reinvite(now, key, Ours::Refresh);
            }
            return;
        }
        talk.ours = Ours::Refresh;
        let (agreement, transport) = (talk.agreement, talk.trunk.transport);
        let Some((mut request, way)) = self.inner_request(key, Method::Update) else {
            return;
        };
        let contact = self.contact(transport, request.headers.from().as_ref().map(|from| from.uri()));
        self.introduce(&mut request.headers, contact.as_ref());
        request.headers.push(HeaderName::Supported, HeaderValue::list(["timer"]));
        let interval = agreement.map(|agreement| agreement.request_value());
        session_timer::write_request(&mut request.headers, interval, self.settings.min_session_expires);
        self.send_inner(now, key, Purpose::Refresh(key), (request, way));
    }

    pub(super) fn on_refresh_outcome(&mut self, now: Instant, key: CallKey, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Response(response) if response.status.is_provisional() => {}
            Outcome::Response(response) if response.status.is_success() => {
                let Some(talk) = self.talk(key) else {
                    return;
                };
                talk.ours = Ours::Nothing;
                talk.dialog.refresh_target(&response.headers);
                self.agree(now, key, Agreement::from_answer(&response.headers));
            }
            Outcome::Response(response) if matches!(response.status.code(), 405 | 501) => self.refresh_anew(now, key),
            Outcome::Timeout if self.talk(key).is_some_and(|talk| talk.updates == Updates::Untold) => {
                self.refresh_anew(now, key);
            }
            Outcome::Response(_) | Outcome::Timeout | Outcome::TransportFailed => {
                self.on_change_failed(now, key, outcome)
            }
        }
    }

    /// The peer does not serve UPDATE after all: a re-INVITE in its place.
    fn refresh_anew(&mut self, now: Instant, key: CallKey) {
        if let Some(talk) = self.talk(key) {
            talk.ours = Ours::Nothing;
            talk.updates = Updates::NotServed;
            self.refresh_session(now, key);
        }
    }

    /// A refresh failed. Silence ends the call at once; after any other failure the expiry timer decides (RFC 4028
    /// section 10).
    fn on_refresh_failed(&mut self, now: Instant, key: CallKey, status: u16) {
        if status == 408 {
            self.part(now, key, None, ended(EndedBy::Network, HangupCause::SessionExpired));
        }
    }

    pub(super) fn expire_session(&mut self, now: Instant, key: CallKey) {
        let reason =
            Reason { protocol: String::from("SIP"), cause: Some(408), text: Some(String::from("Session expired")) };
        self.part(now, key, Some(reason), ended(EndedBy::Network, HangupCause::SessionExpired));
    }

    // ---- our 2xx until its ACK ----

    /// Starts repeating a 2xx (RFC 3261 section 13.3.1.4).
    pub(super) fn await_ack(
        &mut self,
        now: Instant,
        key: CallKey,
        (cseq, way): (u32, Way),
        answer: &Response,
        holds: Holds,
    ) {
        let timers = self.settings.timers;
        let alarms = &mut self.wires.alarms;
        let unacked = Unacked {
            cseq,
            way,
            bytes: answer.to_bytes(),
            holds,
            interval: timers.t1,
            // The 2xx is repeated over streams as well: the ACK travels end to end.
            repeat: Some(alarms.set(now + timers.t1, Wake::Call(key, CallTimer::AnswerRepeat))),
            patience: Some(alarms.set(now + timers.patience(), Wake::Call(key, CallTimer::AckPatience))),
        };
        if let Some(talk) = self.talk(key) {
            talk.unacked = Some(unacked);
        }
    }

    pub(super) fn repeat_answer(&mut self, now: Instant, key: CallKey) {
        let t2 = self.settings.timers.t2;
        let Some(Call::Talking(talk)) = self.calls.get_mut(&key) else {
            return;
        };
        if let Some(unacked) = &mut talk.unacked {
            unacked.interval = unacked.interval.saturating_mul(2).min(t2);
            self.wires.send(unacked.way, unacked.bytes.clone());
            let at = now + unacked.interval;
            self.wires.alarms.reset(&mut unacked.repeat, at, Wake::Call(key, CallTimer::AnswerRepeat));
        }
    }

    pub(super) fn give_up_ack(&mut self, now: Instant, key: CallKey) {
        let Some(talk) = self.talk(key) else {
            return;
        };
        let never_stood = talk.stage == Stage::Unconfirmed;
        let told = talk.stage != Stage::Confirmed;
        let Some(talk) = self.take_talk(now, key) else {
            return;
        };
        let Talk { dialog, trunk, .. } = *talk;
        self.leave(now, Some(key), (dialog, trunk), None);
        if never_stood {
            let failure = failure(HangupCause::Timeout, Reached::Answered);
            self.events.push_back(Event::Failed { call: key, failure });
        } else if !told {
            self.events.push_back(Event::Ended { call: key, ending: ended(EndedBy::Network, HangupCause::Timeout) });
        }
    }

    /// The ACK of our 2xx.
    pub(super) fn on_ack(&mut self, now: Instant, key: CallKey, request: &Request) {
        let number = request.headers.cseq().map(|cseq| cseq.number);
        let Some(Call::Talking(talk)) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(mut unacked) = talk.unacked.take_if(|unacked| Some(unacked.cseq) == number) else {
            return;
        };
        self.wires.alarms.stop(&mut unacked.repeat);
        self.wires.alarms.stop(&mut unacked.patience);
        let body = session_description(&request.headers, &request.body);
        match std::mem::replace(&mut talk.stage, Stage::Confirmed) {
            Stage::Unconfirmed => {
                let body = body.filter(|_| unacked.holds == Holds::Offer);
                let handle = crate::invite::Confirmed(key);
                self.events.push_back(Event::Established { call: key, handle, body });
            }
            Stage::Leaving(reason) => {
                let reason = reason.or_else(|| Some(normal_clearing()));
                talk.stage = Stage::Leaving(None); // So that the end is not told twice.
                self.part(now, key, reason, ended(EndedBy::Local, HangupCause::Normal));
            }
            Stage::Confirmed => {
                if unacked.holds == Holds::Offer {
                    self.events.push_back(Event::AnswerInAck { call: key, body });
                }
            }
        }
    }

    /// Notes what a request of the peer shows of it.
    pub(super) fn learn(&mut self, key: CallKey, request: &Request) {
        if let Some(talk) = self.talk(key)
            && request.headers.contains(&HeaderName::Allow)
        {
            talk.updates = updates(&request.headers);
        }
    }
}

/// Keys a telephone has, and the hook flash.
pub(super) fn is_key(digit: char) -> bool {
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D' | '!')
}

fn ended(by: EndedBy, cause: HangupCause) -> Ending {
    Ending { by, cause, reason: None }
}
