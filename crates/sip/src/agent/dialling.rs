//! Calls of ours before their answer: INVITE, forks, PRACK, CANCEL, and what a final answer means.
//!
//! Hides that one INVITE may be sent several times (challenge, 422) and answered by several phones. Exactly one of
//! `Answered` and `Failed` comes out.

use std::time::Instant;

use super::call::{
    Acknowledgement, Asked, Call, Dialing, Early, Ours, Referral, Sending, Stage, Talk, Updates, Withdrawal,
};
use super::compose::{session_description, way_to, with_body};
use super::errand::{Errand, Outcome, Purpose};
use super::{DialogSnapshot, Event, Progress, UserAgent};
use crate::cause::HangupCause;
use crate::dialog::{Dialog, Parts};
use crate::invite::{
    AckTiming, Body, CallKey, Confirmed, Failure, InviteError, OutboundInvite, Reached, Reliability, Trunk,
    normal_clearing,
};
use crate::message::{
    Allowance, CallId, HeaderName, HeaderValue, Headers, Method, NewRequest, RAck, Reason, Request, Response,
    SessionExpires, Via,
};
use crate::session_timer::{self, Agreement};
use crate::transaction::{CallTimer, Parcel, TransactionId, Wake, Way, send_alone};

impl UserAgent {
    // ---- sending ----

    pub(super) fn dial(&mut self, now: Instant, invite: OutboundInvite) -> Result<CallKey, InviteError> {
        if self.calls.len() >= self.settings.limits.calls
            || self.transactions.len() >= self.settings.limits.transactions
        {
            return Err(InviteError::Full);
        }
        if self.transactions.dials_with(&invite.identity.branch) {
            return Err(InviteError::DuplicateIdentity);
        }
        let mut request = self.compose_invite(&invite)?;
        let trunk = invite.trunk.clone();
        self.authorize_ahead(&trunk, &mut request);
        if !trunk.transport.is_reliable() && request.to_bytes().len() > self.settings.limits.datagram {
            return Err(InviteError::Unwritable("a request above the datagram limit"));
        }
        self.acquaint(&trunk);
        let key = CallKey(self.next_key());
        let ring = self.wires.alarms.set(now + invite.ring_timeout, Wake::Call(key, CallTimer::Ring));
        let way = way_to(&trunk, &invite.request_uri);
        let errand = Errand::new(Purpose::Dial(key), trunk.clone());
        let id = self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
        let dialing = Dialing {
            asked: Asked::of(&invite),
            trunk,
            invite: id,
            offer: Some(invite.offer),
            ack: invite.ack,
            early: Vec::new(),
            reached: Reached::Nothing,
            withdrawal: Withdrawal::No,
            ring: Some(ring),
            patience: None,
        };
        self.calls.insert(key, Call::Dialing(Box::new(dialing)));
        Ok(key)
    }

    fn compose_invite(&mut self, invite: &OutboundInvite) -> Result<Request, InviteError> {
        let transport = invite.trunk.transport;
        let contact = self.contact(transport, Some(invite.from.uri())).ok_or(InviteError::NoLocalAddress(transport))?;
        let via = self.via_with(transport, &invite.identity.branch).ok_or(InviteError::Unwritable("the branch"))?;
        if !(1..1 << 31).contains(&invite.identity.cseq) {
            return Err(InviteError::Unwritable("the CSeq"));
        }
        let parts = NewRequest {
            method: Method::Invite,
            uri: invite.request_uri.clone(),
            via,
            from: invite
                .from
                .clone()
                .with_tag(&invite.identity.from_tag)
                .map_err(|_| InviteError::Unwritable("the tag"))?,
            to: invite.to.clone().without_params(),
            call_id: CallId::new(&invite.identity.call_id).map_err(|_| InviteError::Unwritable("the Call-ID"))?,
            cseq: invite.identity.cseq,
        };
        let mut request = parts.build();
        self.introduce(&mut request.headers, Some(&contact));
        self.write_options(&mut request.headers, invite);
        if let Some(identity) = &invite.asserted_identity {
            request.headers.push(HeaderName::PAssertedIdentity, identity);
        }
        for (name, value) in &invite.headers {
            let name = HeaderName::new(name).map_err(|_| InviteError::Unwritable("a header name"))?;
            if name.is_structural() {
                return Err(InviteError::Unwritable("a header the user agent writes itself"));
            }
            request.headers.push(name, HeaderValue::new(value).map_err(|_| InviteError::Unwritable("a header value"))?);
        }
        with_body(request, invite.offer.clone()).ok_or(InviteError::Unwritable("the body type"))
    }

    fn write_options(&self, headers: &mut Headers, invite: &OutboundInvite) {
        match invite.reliability {
            Reliability::Off => headers.push(HeaderName::Supported, HeaderValue::list(["timer"])),
            Reliability::Offered => headers.push(HeaderName::Supported, HeaderValue::list(["timer", "100rel"])),
            Reliability::Required => {
                headers.push(HeaderName::Supported, HeaderValue::list(["timer", "100rel"]));
                headers.push(HeaderName::Require, HeaderValue::list(["100rel"]));
            }
        }
        let asked = match Asked::of(invite) {
            Asked::Nothing => None,
            Asked::Seconds(seconds) | Asked::Raised(seconds) => Some(SessionExpires { seconds, refresher: None }),
        };
        session_timer::write_request(headers, asked, self.settings.min_session_expires);
    }

    // ---- what comes back ----

    pub(super) fn on_dial_outcome(
        &mut self,
        now: Instant,
        (key, id): (CallKey, TransactionId),
        errand: &Errand,
        outcome: Outcome<'_>,
    ) {
        match outcome {
            Outcome::Response(response) if response.status.is_provisional() => self.on_progress(now, key, id, response),
            Outcome::Response(response) if response.status.is_success() => {
                self.on_success(now, (key, id), errand, response)
            }
            Outcome::Response(response) => self.on_refusal(now, key, id, response),
            Outcome::Timeout => self.on_silence(now, (key, id), HangupCause::NoResponse),
            Outcome::TransportFailed => self.on_silence(now, (key, id), HangupCause::TransportFailed),
        }
    }

    /// The call of an INVITE transaction, as long as that is its latest one and the call is not answered.
    fn dialing(&mut self, key: CallKey, id: TransactionId) -> Option<&mut Dialing> {
        match self.calls.get_mut(&key) {
            Some(Call::Dialing(dialing)) if dialing.invite == id => Some(dialing),
            _ => None,
        }
    }

    fn on_progress(&mut self, now: Instant, key: CallKey, id: TransactionId, response: &Response) {
        let early_limit = self.settings.limits.early_dialogs;
        let Some(invite) = self.transactions.request(id).cloned() else {
            return;
        };
        let Some(dialing) = self.dialing(key, id) else {
            return;
        };
        let status = response.status.code();
        dialing.reached = dialing.reached.max(if status >= 180 { Reached::Callee } else { Reached::Trunk });
        if let Withdrawal::Wanted(cause) = dialing.withdrawal {
            self.send_cancel(now, key, cause);
            return;
        }
        if dialing.withdrawal != Withdrawal::No {
            return; // CANCEL is on its way; the application has heard enough.
        }
        let tag = response.headers.to().and_then(|to| to.tag().map(String::from));
        let body = session_description(&response.headers, &response.body);
        let (fork, news) = match (status, tag) {
            (100, _) | (_, None) => (None, News::Plain),
            (_, Some(tag)) => match dialing.hear_fork(&invite, response, &tag, early_limit) {
                News::Repeated => return,
                news => (Some(tag), news),
            },
        };
        if let (Some(tag), News::Begun | News::BegunReliably(..)) = (&fork, &news)
            && let Some(early) = dialing.early.iter().find(|early| early.dialog.remote_tag() == tag)
        {
            let id = early.dialog.id();
            self.dialogs.insert(id, key);
        }
        if let (Some(tag), News::Reliable(rseq) | News::BegunReliably(rseq)) = (&fork, &news) {
            self.send_prack(now, key, tag, (*rseq, &invite));
        }
        let progress = Progress { status, fork, body };
        self.events.push_back(Event::Progress { call: key, progress });
    }

    /// PRACK inside the early dialog (RFC 3262 section 4).
    fn send_prack(&mut self, now: Instant, key: CallKey, tag: &str, (rseq, invite): (u32, &Request)) {
        let Some(Call::Dialing(dialing)) = self.calls.get(&key) else {
            return;
        };
        let trunk = dialing.trunk.clone();
        let (Some(via), Some(cseq)) = (self.via(trunk.transport), invite.headers.cseq()) else {
            return;
        };
        let Some(Call::Dialing(dialing)) = self.calls.get_mut(&key) else {
            return;
        };
        let Some(early) = dialing.early.iter_mut().find(|early| early.dialog.remote_tag() == tag) else {
            return;
        };
        let number = early.dialog.next_cseq();
        let request = early.dialog.request(Method::Prack, number, via).with(HeaderName::RAck, &RAck { rseq, cseq });
        let way = way_to(&trunk, early.dialog.next_hop());
        let errand = Errand::new(Purpose::Prack, trunk);
        self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
    }

    /// A 2xx: the first one makes the call, every further one is acknowledged, and ended if it is another phone's.
    fn on_success(&mut self, now: Instant, (key, id): (CallKey, TransactionId), errand: &Errand, response: &Response) {
        let tag = response.headers.to().and_then(|to| to.tag().map(Box::from)).unwrap_or_default();
        if self.acknowledge_again(id, &tag) {
            return;
        }
        let Some(invite) = self.transactions.request(id).cloned() else {
            return;
        };
        let Some(mut dialog) = Dialog::at_caller(&invite, response) else {
            return;
        };
        if let Some(dialing) = self.dialing(key, id)
            && let Some(early) = dialing.early.iter().find(|early| early.dialog.remote_tag() == &*tag)
        {
            dialog.used_cseq(early.dialog.local_cseq()); // PRACKs took numbers.
        }
        let talks = !response.headers.contacts().is_empty();
        let held = self
            .dialing(key, id)
            .is_some_and(|dialing| talks && dialing.ack == AckTiming::WhenTold && dialing.withdrawal == Withdrawal::No);
        let sending = if held { Sending::Held } else { Sending::Now };
        self.acknowledge((id, sending), &errand.trunk, &mut dialog, &invite);
        let Some(dialing) = self.dialing(key, id) else {
            self.leave(now, None, (dialog, errand.trunk.clone()), Some(other_answered()));
            return;
        };
        let withdrawn = dialing.withdrawal.cause();
        let body = session_description(&response.headers, &response.body)
            .or_else(|| dialing.early.iter().find(|early| early.dialog.remote_tag() == &*tag)?.body.clone());
        let Some(dialing) = self.take_dialing(now, key) else {
            return;
        };
        let lost = match withdrawn {
            Some(cause) => Some(cause),
            // Without Contact there is nowhere to send later requests: better to end it now than to lose it later.
            None if !talks => Some(HangupCause::Protocol),
            None => None,
        };
        if let Some(cause) = lost {
            self.leave(now, Some(key), (dialog, errand.trunk.clone()), Some(normal_clearing()));
            let failure = Failure { status: Some(response.status.code()), ..failure(cause, Reached::Answered) };
            self.events.push_back(Event::Failed { call: key, failure });
            return;
        }
        let unsent_ack = held.then_some(id);
        self.begin_talk(now, (key, unsent_ack), (*dialing, dialog), response, body);
    }

    fn begin_talk(
        &mut self,
        now: Instant,
        (key, unsent_ack): (CallKey, Option<TransactionId>),
        (dialing, dialog): (Dialing, Dialog),
        response: &Response,
        body: Option<Body>,
    ) {
        self.dialogs.insert(dialog.id(), key);
        let talk = Talk {
            trunk: dialing.trunk,
            flow: None,
            dialog,
            stage: Stage::Confirmed,
            agreement: None,
            refresh: None,
            expiry: None,
            ours: Ours::Nothing,
            glare: None,
            theirs: None,
            unacked: None,
            local_body: dialing.offer,
            updates: updates(&response.headers),
            unsent_ack,
            referral: Referral::No,
        };
        self.calls.insert(key, Call::Talking(Box::new(talk)));
        self.agree(now, key, Agreement::from_answer(&response.headers));
        self.events.push_back(Event::Answered { call: key, handle: Confirmed(key), body });
    }

    /// The ACK to a 2xx: a request of its own, kept to be repeated (RFC 3261 section 13.2.2.4).
    pub(super) fn acknowledge(
        &mut self,
        (id, sending): (TransactionId, Sending),
        trunk: &Trunk,
        dialog: &mut Dialog,
        invite: &Request,
    ) {
        let Some(number) = invite.headers.cseq().map(|cseq| cseq.number) else {
            return;
        };
        let Some(via) = self.via(trunk.transport) else {
            return;
        };
        let mut ack = dialog.request(Method::Ack, number, via);
        // The ACK carries the credentials of its INVITE (RFC 3261 section 22.1).
        for name in [HeaderName::Authorization, HeaderName::ProxyAuthorization] {
            for header in invite.headers.iter().filter(|header| header.name == name) {
                ack.headers.push(header.name.clone(), header.value.clone());
            }
        }
        let way = way_to(trunk, dialog.next_hop());
        let bytes = match sending {
            Sending::Now => send_alone(&mut self.wires, way, ack),
            Sending::Held => ack.to_bytes(),
        };
        let record = Acknowledgement { remote_tag: dialog.remote_tag().into(), way, bytes, sending };
        self.acknowledgements.entry(id).or_default().push(record);
    }

    /// Repeats an ACK for a repeated 2xx. False: that phone has not answered before.
    pub(super) fn acknowledge_again(&mut self, id: TransactionId, tag: &str) -> bool {
        let records = self.acknowledgements.get(&id).map_or(&[][..], Vec::as_slice);
        let Some(record) = records.iter().find(|record| &*record.remote_tag == tag) else {
            // More answers than forks we follow: not acknowledged, the peer gives up by itself.
            return records.len() > self.settings.limits.early_dialogs;
        };
        if record.sending == Sending::Now {
            self.wires.send(record.way, record.bytes.clone());
        }
        true
    }

    /// Sends the ACK that was held back, if there is one.
    pub(super) fn release_ack(&mut self, key: CallKey) {
        let Some(Call::Talking(talk)) = self.calls.get_mut(&key) else { return };
        let Some(id) = talk.unsent_ack.take() else { return };
        let tag = talk.dialog.remote_tag();
        let records = self.acknowledgements.get_mut(&id).map_or(&mut [][..], Vec::as_mut_slice);
        if let Some(record) = records.iter_mut().find(|record| &*record.remote_tag == tag) {
            record.sending = Sending::Now;
            self.wires.send(record.way, record.bytes.clone());
        }
    }

    /// BYE for a dialog that is nobody's call any more; `call`: whose it was.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        call: Option<CallKey>,
        (mut dialog, trunk): (Dialog, crate::TrunkRef),
        reason: Option<Reason>,
    ) {
        let Some(via) = self.via(trunk.transport) else {
            return;
        };
        let number = dialog.next_cseq();
        let mut request = dialog.request(Method::Bye, number, via);
        if let Some(reason) = &reason {
            request.headers.push(HeaderName::Reason, reason);
        }
        self.name_product(&mut request.headers);
        self.authorize_ahead(&trunk, &mut request);
        let way = way_to(&trunk, dialog.next_hop());
        let errand = Errand::new(Purpose::Bye(call), trunk);
        self.parting.extend(call.map(|call| (call, DialogSnapshot::of_dialog(&dialog))));
        self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
    }

    fn on_refusal(&mut self, now: Instant, key: CallKey, id: TransactionId, response: &Response) {
        let Some(dialing) = self.dialing(key, id) else {
            return;
        };
        let status = response.status.code();
        let reached = dialing.reached;
        let withdrawn = dialing.withdrawal.cause();
        if status == 422 && withdrawn.is_none() && self.ask_longer(now, key, id, response) {
            return;
        }
        let reasons = response.headers.reasons();
        let q850 = response.headers.q850_cause();
        let cause = withdrawn.unwrap_or_else(|| HangupCause::of_answer(status, q850));
        let spoken = reasons.iter().position(|reason| reason.q850().is_some()).unwrap_or(0);
        let contact = response.headers.contacts().into_iter().next().map(|contact| contact.uri().clone());
        let failure = Failure {
            cause,
            status: Some(status),
            reason: reasons.into_iter().nth(spoken),
            retry_after: response
                .headers
                .retry_after()
                .map(|after| std::time::Duration::from_secs(after.seconds.into())),
            contact: contact.filter(|_| response.status.is_redirect()),
            reached,
        };
        self.fail(now, key, failure);
    }

    /// One more INVITE with the interval a 422 demands (RFC 4028 section 7.4). False: not to be tried.
    fn ask_longer(&mut self, now: Instant, key: CallKey, id: TransactionId, response: &Response) -> bool {
        let Some(dialing) = self.dialing(key, id) else {
            return false;
        };
        let (Asked::Seconds(asked), trunk) = (dialing.asked, dialing.trunk.clone()) else {
            return false;
        };
        let Some(seconds) = session_timer::raised(asked, &response.headers) else {
            return false;
        };
        let Some(original) = self.transactions.request(id).cloned() else {
            return false;
        };
        let Some(mut request) = self.renewed(&original, trunk.transport) else {
            return false;
        };
        request.headers.set(HeaderName::SessionExpires, &SessionExpires { seconds, refresher: None });
        request.headers.set(HeaderName::MinSe, seconds);
        self.authorize_ahead(&trunk, &mut request);
        let way = way_to(&trunk, &request.uri);
        let errand = Errand::new(Purpose::Dial(key), trunk);
        let new = self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
        self.note_resent(Purpose::Dial(key), new, 0);
        if let Some(dialing) = self.dialing(key, new) {
            dialing.asked = Asked::Raised(seconds);
        }
        true
    }

    fn on_silence(&mut self, now: Instant, (key, id): (CallKey, TransactionId), cause: HangupCause) {
        let Some(dialing) = self.dialing(key, id) else {
            return;
        };
        let reached = dialing.reached;
        let cause = match dialing.withdrawal.cause() {
            // The ring limit passed, but nothing ever rang.
            Some(HangupCause::NoAnswer) if reached == Reached::Nothing => cause,
            Some(withdrawn) => withdrawn,
            None => cause,
        };
        self.fail(now, key, failure(cause, reached));
    }

    // ---- withdrawing ----

    pub(super) fn withdraw(&mut self, now: Instant, key: CallKey, cause: HangupCause) {
        let Some(Call::Dialing(dialing)) = self.calls.get_mut(&key) else {
            // The answer was faster; its handle is on its way to the application, which no longer wants it.
            if matches!(self.calls.get(&key), Some(Call::Talking(_))) && cause == HangupCause::Cancelled {
                self.hang_up(now, key, Some(normal_clearing()));
            }
            return;
        };
        if dialing.withdrawal != Withdrawal::No {
            return;
        }
        self.wires.alarms.stop(&mut dialing.ring);
        if dialing.reached == Reached::Nothing {
            dialing.withdrawal = Withdrawal::Wanted(cause);
        } else {
            self.send_cancel(now, key, cause);
        }
    }

    /// CANCEL, and no more than 64*T1 of patience for the INVITE's own end (RFC 3261 section 9.1).
    fn send_cancel(&mut self, now: Instant, key: CallKey, cause: HangupCause) {
        let wait = self.settings.timers.patience();
        let Some(Call::Dialing(dialing)) = self.calls.get_mut(&key) else {
            return;
        };
        dialing.withdrawal = Withdrawal::Sent(cause);
        self.wires.alarms.reset(&mut dialing.patience, now + wait, Wake::Call(key, CallTimer::CancelPatience));
        let trunk = dialing.trunk.clone();
        let Some(invite) = self.transactions.request(dialing.invite) else {
            return;
        };
        let way = way_to(&trunk, &invite.uri);
        if let Some(request) = invite.cancel() {
            let errand = Errand::new(Purpose::Cancel, trunk);
            self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
        }
    }

    pub(super) fn give_up_cancel(&mut self, now: Instant, key: CallKey) {
        let Some(Call::Dialing(dialing)) = self.calls.get(&key) else {
            return;
        };
        let (id, reached) = (dialing.invite, dialing.reached);
        let cause = dialing.withdrawal.cause().unwrap_or(HangupCause::Cancelled);
        self.transactions.forget(&mut self.wires, id);
        self.fail(now, key, failure(cause, reached));
    }

    // ---- ending ----

    /// Removes a call that is not answered, with its timers and early dialogs.
    fn take_dialing(&mut self, now: Instant, key: CallKey) -> Option<Box<Dialing>> {
        match self.calls.remove(&key)? {
            Call::Dialing(mut dialing) => {
                self.wires.alarms.stop(&mut dialing.ring);
                self.wires.alarms.stop(&mut dialing.patience);
                for early in &dialing.early {
                    self.dialogs.remove(&early.dialog.id());
                }
                self.refuse_offers_of(now, key);
                Some(dialing)
            }
            other => {
                self.calls.insert(key, other);
                None
            }
        }
    }

    fn fail(&mut self, now: Instant, key: CallKey, failure: Failure) {
        if self.take_dialing(now, key).is_some() {
            self.events.push_back(Event::Failed { call: key, failure });
        }
    }

    /// Takes up the INVITE of an earlier run only to end it.
    pub(super) fn resume_dialing(&mut self, now: Instant, invite: Request, trunk: crate::TrunkRef) -> CallKey {
        let key = CallKey(self.next_key());
        let way: Way = way_to(&trunk, &invite.uri);
        let errand = Errand::new(Purpose::Dial(key), trunk.clone());
        let id = self.transactions.resume(Parcel { request: invite, way, errand });
        let dialing = Dialing {
            trunk,
            invite: id,
            offer: None,
            ack: AckTiming::AtOnce,
            asked: Asked::Nothing,
            early: Vec::new(),
            // Unknown; CANCEL goes out at once, because waiting for an answer that came before the restart helps nobody.
            reached: Reached::Trunk,
            withdrawal: Withdrawal::No,
            ring: None,
            patience: None,
        };
        self.calls.insert(key, Call::Dialing(Box::new(dialing)));
        self.withdraw(now, key, HangupCause::Cancelled);
        key
    }
}

/// What a provisional answer with a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Nothing to remember.
    Plain,
    /// The first of a fork.
    Begun,
    /// The first of a fork, to be acknowledged under this number.
    BegunReliably(u32),
    /// To be acknowledged under this number.
    Reliable(u32),
    /// Seen before, out of order, or with an impossible number.
    Repeated,
}

impl Dialing {
    fn hear_fork(&mut self, invite: &Request, response: &Response, tag: &str, limit: usize) -> News {
        let offered = invite.headers.supports("100rel") || invite.headers.requires("100rel");
        let reliable = offered && response.headers.requires("100rel");
        let rseq = response.headers.rseq();
        if reliable && rseq.is_none() {
            return News::Repeated; // Outside 1..2^31-1 (RFC 3262 section 7.1): nothing that could be acknowledged.
        }
        let body = session_description(&response.headers, &response.body);
        let followed = self.early.len();
        match self.early.iter_mut().find(|early| early.dialog.remote_tag() == tag) {
            Some(early) => {
                let news = match (rseq, early.rseq) {
                    (Some(rseq), Some(last)) if reliable && Some(rseq) != last.checked_add(1) => return News::Repeated,
                    (Some(rseq), _) if reliable => News::Reliable(rseq),
                    _ => News::Plain,
                };
                if let News::Reliable(rseq) = news {
                    early.rseq = Some(rseq);
                }
                early.dialog.refresh_target(&response.headers);
                early.body = body.or(early.body.take());
                news
            }
            None if followed >= limit => News::Plain,
            None => {
                let Some(dialog) = Dialog::at_caller(invite, response) else {
                    return News::Plain;
                };
                let rseq = rseq.filter(|_| reliable);
                self.early.push(Early { dialog, rseq, body });
                rseq.map_or(News::Begun, News::BegunReliably)
            }
        }
    }
}

/// What a peer's headers tell about UPDATE.
pub(super) fn updates(headers: &Headers) -> Updates {
    match headers.allowance(&Method::Update) {
        Some(Allowance::Listed) => Updates::Served,
        Some(Allowance::NotListed) => Updates::NotServed,
        None => Updates::Untold,
    }
}

/// A failure without an answer that explains it.
pub(super) fn failure(cause: HangupCause, reached: Reached) -> Failure {
    Failure { cause, status: None, reason: None, retry_after: None, contact: None, reached }
}

/// Why the second phone of a fork is let go (RFC 3326 section 2).
fn other_answered() -> Reason {
    Reason { protocol: String::from("SIP"), cause: Some(200), text: Some(String::from("Call completed elsewhere")) }
}

/// The INVITE of an earlier run, as far as its CANCEL, its ACK and its BYE need it.
pub(super) fn restored_invite(parts: Parts, via: Via) -> Request {
    let new = NewRequest {
        method: Method::Invite,
        uri: parts.target,
        via,
        from: parts.local,
        to: parts.remote,
        call_id: parts.call_id,
        cseq: parts.local_cseq,
    };
    new.build()
}
