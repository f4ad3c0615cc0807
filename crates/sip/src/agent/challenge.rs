//! 401 and 407: who is shown credentials, and how often.
//!
//! Credentials go only to the trunk's own addresses, at most twice for one request, and not again for a nonce that is
//! new without being `stale`: that is a rejection. The arithmetic is in [`crate::auth`].

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::errand::{Errand, Purpose};
use super::{Call, UserAgent};
use crate::auth::{Credentials, DigestSession, Subject, parse_challenges};
use crate::invite::Trunk;
use crate::message::{HeaderName, Request, Response};
use crate::transaction::{Parcel, TransactionId, Way};

/// How often one request may be sent again because of a challenge.
const MAX_ANSWERS: u8 = 2;

/// The nonce in use towards each trunk account: the next request answers ahead and saves a round trip.
#[derive(Debug, Default)]
pub(super) struct Digests(HashMap<(SocketAddr, Option<String>), (Credentials, DigestSession)>);

impl Digests {
    /// The session of a trunk account; `None`: the trunk has no account.
    fn of(&mut self, trunk: &Trunk) -> Option<&mut DigestSession> {
        let credentials = trunk.credentials.as_ref()?;
        let fresh = || {
            let session = DigestSession::new(credentials.clone());
            match &trunk.realm {
                Some(realm) => session.with_realm(realm),
                None => session,
            }
        };
        let slot = self.0.entry((trunk.peer, trunk.realm.clone())).or_insert_with(|| (credentials.clone(), fresh()));
        if slot.0 != *credentials {
            *slot = (credentials.clone(), fresh());
        }
        Some(&mut slot.1)
    }
}

impl UserAgent {
    /// Answers ahead with a nonce the trunk gave before.
    pub(super) fn authorize_ahead(&mut self, trunk: &Trunk, request: &mut Request) {
        let cnonce = self.entropy.word();
        let uri = request.uri.to_string();
        let subject = Subject { method: &request.method, uri: &uri, cnonce: &cnonce };
        if let Some(Ok((name, value))) = self.digests.of(trunk).and_then(|session| session.reuse(subject)) {
            request.headers.push(name, value);
        }
    }

    /// Sends a challenged request again with an answer. False: not challenged, or not to be answered.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        id: TransactionId,
        errand: &Errand,
        (response, came): (&Response, Way),
    ) -> bool {
        let status = response.status.code();
        if !matches!(status, 401 | 407) || !self.may_answer(errand, response, came) {
            return false;
        }
        let Some(original) = self.transactions.request(id).cloned() else {
            return false;
        };
        let Some(mut request) = self.renewed(&original, errand.trunk.transport) else {
            return false;
        };
        let cnonce = self.entropy.word();
        let uri = request.uri.to_string();
        let subject = Subject { method: &request.method, uri: &uri, cnonce: &cnonce };
        let answer =
            self.digests.of(&errand.trunk).map(|session| session.answer(response.status, &response.headers, subject));
        let Some(Ok((name, value))) = answer else {
            return false;
        };
        request.headers.push(name, value);
        if request.to_bytes().len() > self.settings.limits.datagram && !errand.trunk.transport.is_reliable() {
            return false;
        }
        let number = request.headers.cseq().map_or(0, |cseq| cseq.number);
        let errand = Errand { answered: errand.answered + 1, ..errand.clone() };
        let purpose = errand.purpose;
        let way = Way { flow: None, ..super::compose::way_to(&errand.trunk, &first_hop(&request)) };
        let id = self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
        if matches!(purpose, Purpose::Reinvite(_)) {
            self.bound_reinvite(now, id);
        }
        self.note_resent(purpose, id, number);
        true
    }

    fn may_answer(&self, errand: &Errand, response: &Response, came: Way) -> bool {
        let stale = [HeaderName::WwwAuthenticate, HeaderName::ProxyAuthenticate]
            .iter()
            .flat_map(|name| response.headers.all(name))
            .flat_map(parse_challenges)
            .any(|challenge| challenge.is_stale());
        let wanted = match errand.purpose {
            Purpose::Dial(key) => match self.calls.get(&key) {
                Some(Call::Dialing(dialing)) => dialing.withdrawal.cause().is_none(),
                _ => false,
            },
            // A CANCEL and a PRACK have the number of another request; a ping that is challenged is answered.
            Purpose::Cancel | Purpose::Prack | Purpose::Ping(_) => false,
            Purpose::Reinvite(_)
            | Purpose::Refresh(_)
            | Purpose::Key(_)
            | Purpose::Refer(_)
            | Purpose::Bye(_)
            | Purpose::Register(_) => true,
        };
        wanted
            && errand.trunk.owns(came.destination.ip())
            && errand.answered < MAX_ANSWERS
            && (errand.answered == 0 || stale)
    }

    /// A request went out again under a new number and transaction.
    pub(super) fn note_resent(&mut self, purpose: Purpose, id: TransactionId, number: u32) {
        match purpose {
            Purpose::Dial(key) => {
                if let Some(Call::Dialing(dialing)) = self.calls.get_mut(&key) {
                    dialing.invite = id;
                    let gone = std::mem::take(&mut dialing.early);
                    for early in gone {
                        self.dialogs.remove(&early.dialog.id());
                    }
                }
            }
            Purpose::Reinvite(key) | Purpose::Refresh(key) | Purpose::Key(key) | Purpose::Refer(key) => {
                if let Some(Call::Talking(talk)) = self.calls.get_mut(&key) {
                    talk.dialog.used_cseq(number);
                }
            }
            Purpose::Register(key) => {
                if let Some(registered) = self.registrations.get_mut(&key) {
                    registered.resent(id, number);
                }
            }
            Purpose::Cancel | Purpose::Prack | Purpose::Bye(_) | Purpose::Ping(_) => {}
        }
    }
}

/// Where a request of ours goes first by its own lines.
fn first_hop(request: &Request) -> crate::message::Uri {
    request.headers.routes().first().map_or_else(|| request.uri.clone(), |route| route.uri().clone())
}
