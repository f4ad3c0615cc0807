//! What a trunk needs besides calls: REGISTER (RFC 3261 section 10) and OPTIONS pings.
//!
//! Hides numbers, refreshes and back-off. A registration lives until it is removed; a ping until its answer.

use std::time::{Duration, Instant};

use super::compose::way_to;
use super::errand::{Errand, Outcome, Purpose};
use super::{Event, PingKey, RegistrationKey, UserAgent};
use crate::cause::HangupCause;
use crate::invite::TrunkRef;
use crate::message::{CallId, HeaderName, Method, NameAddr, NewRequest, Request, Response, SipUri, Uri};
use crate::register::{Aim, Registered, Registration};
use crate::transaction::{Parcel, TransactionId, Wake};

impl UserAgent {
    pub(super) fn open_registration(&mut self, now: Instant, wanted: Registration) -> RegistrationKey {
        self.acquaint(&wanted.trunk);
        let key = RegistrationKey(self.next_key());
        let tag = self.entropy.word();
        let call_id = CallId::new(&self.entropy.word()).expect("hexadecimal digits make a Call-ID");
        self.registrations.insert(key, Registered::new(wanted, call_id, tag));
        self.register_now(now, key);
        key
    }

    pub(super) fn close_registration(&mut self, now: Instant, key: RegistrationKey) {
        if let Some(registered) = self.registrations.get_mut(&key) {
            registered.aim = Aim::Leave;
            self.wires.alarms.stop(&mut registered.alarm);
            self.register_now(now, key);
        }
    }

    /// Sends the REGISTER that an account is due.
    pub(super) fn register_now(&mut self, now: Instant, key: RegistrationKey) {
        let Some(trunk) = self.registrations.get(&key).map(|registered| registered.wanted.trunk.clone()) else {
            return;
        };
        let Some(mut request) = self.compose_register(key, &trunk) else {
            self.registration_failed(now, key, (HangupCause::TransportFailed, None));
            return;
        };
        self.authorize_ahead(&trunk, &mut request);
        let way = way_to(&trunk, &request.uri);
        let errand = Errand::new(Purpose::Register(key), trunk);
        let id = self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
        if let Some(registered) = self.registrations.get_mut(&key) {
            registered.transaction = Some(id);
        }
    }

    fn compose_register(&mut self, key: RegistrationKey, trunk: &TrunkRef) -> Option<Request> {
        let via = self.via(trunk.transport)?;
        let user = self.registrations.get(&key)?.wanted.address.uri().clone();
        let contact = self.contact(trunk.transport, Some(&user))?;
        let registered = self.registrations.get_mut(&key)?;
        registered.cseq += 1;
        let address = registered.wanted.address.clone().without_params();
        let parts = NewRequest {
            method: Method::Register,
            uri: registered.wanted.registrar.clone(),
            via,
            from: address.clone().with_tag(&registered.tag).ok()?, // A tag of ours is always a token.
            to: address,
            call_id: registered.call_id.clone(),
            cseq: registered.cseq,
        };
        let expires = match registered.aim {
            Aim::Stay => registered.expires,
            Aim::Leave => 0,
        };
        let mut request = parts.build().with(HeaderName::Expires, expires);
        self.introduce(&mut request.headers, Some(&contact));
        Some(request)
    }

    pub(super) fn on_register_outcome(
        &mut self,
        now: Instant,
        key: RegistrationKey,
        id: TransactionId,
        outcome: Outcome<'_>,
    ) {
        let Some(registered) = self.registrations.get_mut(&key).filter(|known| known.transaction == Some(id)) else {
            return; // An older request of the same account.
        };
        if outcome.status() < 200 {
            return;
        }
        registered.transaction = None;
        if registered.aim == Aim::Leave {
            // Whatever the registrar says: the account is no longer refreshed and runs out by itself.
            self.registrations.remove(&key);
            self.events.push_back(Event::Unregistered { registration: key });
            return;
        }
        match outcome {
            Outcome::Response(response) if response.status.is_success() => self.on_registered(now, key, response),
            Outcome::Response(response) => {
                let status = response.status.code();
                if status == 423 && registered.raise(response.headers.min_expires()) {
                    self.register_now(now, key);
                    return;
                }
                let asked = response.headers.retry_after().map(|after| Duration::from_secs(after.seconds.into()));
                self.registration_failed(now, key, (HangupCause::of_status(status), asked));
            }
            Outcome::Timeout => self.registration_failed(now, key, (HangupCause::NoResponse, None)),
            Outcome::TransportFailed => self.registration_failed(now, key, (HangupCause::TransportFailed, None)),
        }
    }

    fn on_registered(&mut self, now: Instant, key: RegistrationKey, response: &Response) {
        let Some(registered) = self.registrations.get(&key) else {
            return;
        };
        let (trunk, asked) = (registered.wanted.trunk.clone(), registered.expires);
        let ours = self.contact(trunk.transport, None);
        let granted = granted(response, ours.as_ref()).unwrap_or(asked).min(asked.max(1));
        let Some(registered) = self.registrations.get_mut(&key) else {
            return;
        };
        let wait = registered.succeeded(granted);
        self.wires.alarms.reset(&mut registered.alarm, now + wait, Wake::Register(key));
        let expires = Duration::from_secs(granted.into());
        self.events.push_back(Event::Registered { registration: key, expires });
    }

    fn registration_failed(
        &mut self,
        now: Instant,
        key: RegistrationKey,
        (cause, asked): (HangupCause, Option<Duration>),
    ) {
        if let Some(registered) = self.registrations.get_mut(&key) {
            if registered.aim == Aim::Leave {
                self.registrations.remove(&key);
                self.events.push_back(Event::Unregistered { registration: key });
                return;
            }
            let retry_in = registered.failed(asked);
            self.wires.alarms.reset(&mut registered.alarm, now + retry_in, Wake::Register(key));
            self.events.push_back(Event::RegistrationFailed { registration: key, cause, retry_in });
        }
    }

    // ---- OPTIONS ----

    pub(super) fn ping(&mut self, now: Instant, trunk: TrunkRef) -> PingKey {
        self.acquaint(&trunk);
        let ping = PingKey(self.next_key());
        match self.compose_ping(&trunk) {
            Some(request) => {
                let way = way_to(&trunk, &request.uri);
                let errand = Errand::new(Purpose::Ping(ping), trunk);
                self.transactions.send(now, &mut self.wires, Parcel { request, way, errand });
            }
            None => self.events.push_back(Event::OptionsTimedOut { ping }),
        }
        ping
    }

    fn compose_ping(&mut self, trunk: &TrunkRef) -> Option<Request> {
        let via = self.via(trunk.transport)?;
        let contact = self.contact(trunk.transport, None)?;
        let tag = self.entropy.word();
        let uri = Uri::Sip(SipUri::new(trunk.peer.ip().into()).with_port(trunk.peer.port()));
        let parts = NewRequest {
            method: Method::Options,
            uri: uri.clone(),
            via,
            from: contact.clone().with_tag(&tag).ok()?, // A tag of ours is always a token.
            to: NameAddr::new(uri),
            call_id: CallId::new(&self.entropy.word()).ok()?, // As are its digits a Call-ID.
            cseq: 1,
        };
        let mut request = parts.build();
        self.introduce(&mut request.headers, Some(&contact));
        Some(request)
    }

    pub(super) fn on_ping_outcome(&mut self, ping: PingKey, outcome: Outcome<'_>) {
        match outcome {
            Outcome::Response(response) if response.status.is_provisional() => {}
            Outcome::Response(response) => {
                self.events.push_back(Event::OptionsAnswered { ping, status: response.status.code() });
            }
            Outcome::Timeout | Outcome::TransportFailed => self.events.push_back(Event::OptionsTimedOut { ping }),
        }
    }
}

/// For how long a registrar registered our contact: its `expires`, else `Expires` (RFC 3261 section 10.2.4).
fn granted(response: &Response, ours: Option<&NameAddr>) -> Option<u32> {
    let same_place = |contact: &NameAddr| match (contact.uri().as_sip(), ours.and_then(|ours| ours.uri().as_sip())) {
        (Some(contact), Some(ours)) => contact.host() == ours.host() && contact.port() == ours.port(),
        _ => false,
    };
    let contacts = response.headers.contacts();
    let contact = contacts.iter().find(|contact| same_place(contact)).or(match contacts.as_slice() {
        [only] => Some(only), // Rewritten by a NAT helper, but it can be no other.
        _ => None,
    });
    contact
        .and_then(|contact| contact.param("expires")?.parse().ok()) // Unreadable is as good as absent.
        .or_else(|| response.headers.expires())
}
