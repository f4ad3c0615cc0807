//! The user agent of one node: all transactions, dialogs, calls and registrations, without sockets, clocks or threads.
//!
//! Push `(now, input)` in, pull messages, events and the next wake-up out. Hides the whole of SIP. Never looks into a
//! session description and never contacts an address that only a message named.

mod account;
mod call;
mod challenge;
mod compose;
mod dialling;
mod entropy;
mod errand;
mod event;
mod inside;
mod offer;
mod outside;
mod referring;
mod ringing;
mod settings;
mod snapshot;
mod talking;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub(crate) use errand::Errand;
pub use event::{
    Arrival, Counts, Ending, Event, FlowId, Input, Invitation, OfferKey, PingKey, Progress, RegistrationKey, Transmit,
};
pub use settings::{Inbound, Limits, LocalAddress, Settings, Timers, Transport};
pub use snapshot::{DialogSnapshot, SnapshotError};

use crate::dialog::DialogId;
use crate::invite::{Answered, Body, CallKey, Calling, Confirmed, Incoming, InviteError, OutboundInvite, TrunkRef};
use crate::message::{self, Capabilities, Message, Reason, Response, SipUri};
use crate::register::{Registered, Registration};
use crate::transaction::{CallTimer, Fired, Heard, Tell, TransactionId, Transactions, Wake, Way, Wires};
use call::{Acknowledgement, Call, PendingOffer};
use challenge::Digests;
use entropy::Entropy;
use errand::{Outcome, Purpose};
use outside::Gate;

/// A SIP user agent.
pub struct UserAgent {
    settings: Settings,
    capabilities: Capabilities,
    wires: Wires,
    events: VecDeque<Event>,
    transactions: Transactions,
    calls: HashMap<CallKey, Call>,
    /// Calls whose BYE was not answered yet, and what saying it again needs.
    parting: HashMap<CallKey, DialogSnapshot>,
    /// How requests of peers find their call.
    dialogs: HashMap<DialogId, CallKey>,
    /// Acknowledgements of the 2xx answers to INVITEs of ours, as long as such an answer may be repeated.
    acknowledgements: HashMap<TransactionId, Vec<Acknowledgement>>,
    offers: HashMap<OfferKey, PendingOffer>,
    /// How a CANCEL finds its call.
    ringing_by_invite: HashMap<TransactionId, CallKey>,
    registrations: HashMap<RegistrationKey, Registered>,
    digests: Digests,
    gate: Gate,
    /// Addresses of the trunks dialled so far: what comes from elsewhere and from no known peer is not even read.
    acquainted: HashSet<IpAddr>,
    entropy: Entropy,
    next_key: u64,
}

impl fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserAgent").field("live", &self.live()).finish_non_exhaustive()
    }
}

impl UserAgent {
    /// A user agent that remembers nothing. `seed` feeds tags and branches: it must be unguessable and differ between
    /// runs of a program, and be the same to repeat a test.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let capabilities = Capabilities {
            // Named in Require by those who want them; `replaces` is not served, so it is not understood either.
            options: vec![String::from("100rel"), String::from("timer")],
            min_session: settings.min_session_expires.max(crate::session_timer::MIN_INTERVAL),
            ..Capabilities::default()
        };
        Self {
            capabilities,
            wires: Wires::default(),
            events: VecDeque::new(),
            transactions: Transactions::new(settings.timers),
            calls: HashMap::new(),
            dialogs: HashMap::new(),
            parting: HashMap::new(),
            acknowledgements: HashMap::new(),
            offers: HashMap::new(),
            ringing_by_invite: HashMap::new(),
            registrations: HashMap::new(),
            digests: Digests::default(),
            gate: Gate::default(),
            acquainted: HashSet::new(),
            entropy: Entropy::new(seed),
            next_key: 0,
            settings,
        }
    }

    /// Takes one thing that happened on the network.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Message(Arrival { source, transport, flow, bytes }) => {
                if !self.is_known(source.ip()) {
                    return; // Strangers cost nothing but this look.
                }
                let way = Way { transport, destination: source, flow };
                match message::parse_datagram(&bytes) {
                    Ok(message) => self.on_message(now, way, message),
                    Err(error) => {
                        if let Some(answer) = error.answer.filter(|_| self.settings.peers.contains(&source.ip())) {
                            self.answer_stateless(way, *answer);
                        }
                    }
                }
            }
            Input::Parsed { source, transport, flow, message } => {
                if self.is_known(source.ip()) {
                    self.on_message(now, Way { transport, destination: source, flow: Some(flow) }, *message);
                }
            }
            Input::TransportFailed { transport, destination } => self.on_transport_failed(now, transport, destination),
            // Answers carry both the connection and the address; whoever owns the sockets picks what still works.
            Input::FlowClosed { flow: _ } => {}
        }
    }

    /// Runs everything that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(wake) = self.wires.alarms.pop_due(now) {
            match wake {
                Wake::Transaction(id, timer) => match self.transactions.fire(now, &mut self.wires, id, timer) {
                    Fired::Nothing => {}
                    Fired::Unanswered(heard) => self.on_heard(now, heard, None),
                    Fired::Settled(id) => {
                        self.acknowledgements.remove(&id);
                    }
                },
                Wake::Call(key, timer) => self.on_call_timer(now, key, timer),
                Wake::Overdue(id) => {
                    if let Some(heard) = self.transactions.give_up(&mut self.wires, id) {
                        self.on_heard(now, heard, None);
                    }
                }
                Wake::Register(key) => self.register_now(now, key),
            }
        }
    }

    /// When `handle_timeout` is wanted next; `None`: nothing waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wires.alarms.next_at()
    }

    /// The next message to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.wires.outbox.pop_front()
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How much is remembered.
    pub fn live(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            dialogs: self.dialogs.len(),
            transactions: self.transactions.len(),
            timers: self.wires.alarms.len(),
            registrations: self.registrations.len(),
            leftovers: self.acknowledgements.len() + self.offers.len() + self.ringing_by_invite.len(),
        }
    }

    /// Whether nothing of a call is left: it has ended, and its BYE was answered or given up.
    pub fn is_over(&self, call: CallKey) -> bool {
        !self.calls.contains_key(&call) && !self.parting.contains_key(&call)
    }

    /// What a later run of the program needs to say a goodbye again that was not answered yet.
    pub fn parting(&self, call: CallKey) -> Option<DialogSnapshot> {
        self.parting.get(&call).cloned()
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// To change what may change while calls run: peers, limits, inbound. Timers stay as they were at the start.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    // ---- calls of ours ----

    /// Sends an INVITE. [`Event::Answered`] or [`Event::Failed`] follows, whatever happens.
    ///
    /// # Errors
    /// [`InviteError`]; nothing was sent.
    pub fn invite(&mut self, now: Instant, invite: OutboundInvite) -> Result<Calling, InviteError> {
        self.dial(now, invite).map(Calling)
    }

    /// Withdraws a call that is not answered. [`Event::Failed`] follows, with cause `Cancelled`, also when the answer was
    /// faster; [`Event::Ended`] if that answer was already reported.
    pub fn cancel(&mut self, now: Instant, calling: Calling) {
        self.withdraw(now, calling.0, crate::HangupCause::Cancelled);
    }

    /// Acknowledges an answer whose INVITE said [`crate::AckTiming::WhenTold`]. Harmless otherwise, and when repeated.
    pub fn acknowledge_answer(&mut self, call: &Confirmed) {
        self.release_ack(call.0);
    }

    // ---- calls of peers ----

    /// Tells the caller that it rings (180) or what goes on (181 to 199), with early media if there is a body.
    pub fn ring(&mut self, now: Instant, call: &Incoming, status: u16, body: Option<Body>) {
        self.provisional(now, call.0, status, body);
    }

    /// Answers a call from a peer; [`Event::Established`] follows with the ACK, or [`Event::Failed`] if none comes.
    pub fn accept(&mut self, now: Instant, call: Incoming, body: Body) -> Answered {
        self.answer(now, call.0, body);
        Answered(call.0)
    }

    /// Refuses a call from a peer with a failure status 300..=699; anything else is sent as 480.
    pub fn reject(&mut self, now: Instant, call: Incoming, status: u16) {
        self.refuse(now, call.0, status);
    }

    // ---- answered calls ----

    /// Ends an answered call; [`Event::Ended`] follows at once, before the peer agrees.
    pub fn bye(&mut self, now: Instant, call: Confirmed, reason: Option<Reason>) {
        self.hang_up(now, call.0, reason);
    }

    /// Ends a call we accepted but the peer has not acknowledged: BYE goes out as soon as it may (RFC 3261 section 15).
    pub fn bye_unacknowledged(&mut self, now: Instant, call: Answered, reason: Option<Reason>) {
        self.hang_up(now, call.0, reason);
    }

    /// Sends a re-INVITE with an offer; [`Event::OfferAnswered`] or [`Event::OfferRefused`] follows. False: another change
    /// is still going on, or the call is over.
    pub fn reinvite(&mut self, now: Instant, call: &Confirmed, offer: Body) -> bool {
        self.change_session(now, call.0, offer)
    }

    /// Answers [`Event::Offer`] with a session description: the answer, or our offer if the peer sent none.
    pub fn accept_offer(&mut self, now: Instant, offer: OfferKey, body: Body) {
        self.settle_offer(now, offer, Ok(body));
    }

    /// Refuses [`Event::Offer`] with a failure status, usually 488; the session goes on as it was.
    pub fn reject_offer(&mut self, now: Instant, offer: OfferKey, status: u16) {
        self.settle_offer(now, offer, Err(status));
    }

    /// Presses a key by INFO with `application/dtmf-relay`; [`Event::DtmfSent`] follows. False: not a key, or no call.
    pub fn send_dtmf(&mut self, now: Instant, call: &Confirmed, digit: char, duration: Duration) -> bool {
        self.press_key(now, call.0, digit, duration)
    }

    /// Asks the peer to call `target` in our place (RFC 3515); [`Event::ReferAnswered`] follows, and when that is a success,
    /// [`Event::ReferProgress`] as far as the peer tells. False: a transfer is under way, or the call is over.
    pub fn refer(&mut self, now: Instant, call: &Confirmed, target: &SipUri) -> bool {
        self.hand_over(now, call.0, target)
    }

    // ---- trunks ----

    /// Keeps an account registered until `unregister`.
    pub fn register(&mut self, now: Instant, registration: Registration) -> RegistrationKey {
        self.open_registration(now, registration)
    }

    /// Removes the registration; [`Event::Unregistered`] follows.
    pub fn unregister(&mut self, now: Instant, registration: RegistrationKey) {
        self.close_registration(now, registration);
    }

    /// Asks a trunk whether it is alive; [`Event::OptionsAnswered`] or [`Event::OptionsTimedOut`] follows.
    pub fn options(&mut self, now: Instant, trunk: TrunkRef) -> PingKey {
        self.ping(now, trunk)
    }

    // ---- after a restart ----

    /// What must be written down to end this call after a restart; `None`: the call is over.
    pub fn snapshot(&self, call: &Confirmed) -> Option<DialogSnapshot> {
        self.snapshot_of(call.0)
    }

    /// The same for a call that is not answered.
    pub fn snapshot_calling(&self, call: &Calling) -> Option<DialogSnapshot> {
        self.snapshot_of(call.0)
    }

    /// Ends a call that an earlier run of the program placed through the trunk: BYE if it was answered, CANCEL if not.
    /// [`Event::Ended`] or [`Event::Failed`] follows under the returned key.
    ///
    /// # Errors
    /// [`InviteError`]; nothing was sent.
    pub fn bye_from_snapshot(
        &mut self,
        now: Instant,
        snapshot: &DialogSnapshot,
        trunk: TrunkRef,
    ) -> Result<CallKey, InviteError> {
        self.end_restored(now, snapshot, trunk)
    }

    // ---- inner workings shared by the modules beside ----

    fn is_known(&self, address: IpAddr) -> bool {
        self.settings.peers.contains(&address) || self.acquainted.contains(&address)
    }

    fn acquaint(&mut self, trunk: &crate::invite::Trunk) {
        self.acquainted.insert(trunk.peer.ip());
        self.acquainted.extend(trunk.addresses.iter().copied());
    }

    fn next_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn on_message(&mut self, now: Instant, way: Way, message: Message) {
        match message {
            Message::Request(request) => self.on_request(now, way, request),
            Message::Response(response) => {
                if message::validate_response(&response).is_err() {
                    return; // Not for a user agent.
                }
                if let Some(heard) = self.transactions.on_response(now, &mut self.wires, &response) {
                    self.on_heard(now, heard, Some((&response, way)));
                }
            }
        }
    }

    fn on_transport_failed(&mut self, now: Instant, transport: Transport, destination: SocketAddr) {
        let heard = self.transactions.on_transport_failed(now, &mut self.wires, transport, destination);
        for heard in heard {
            self.on_heard(now, heard, None);
        }
    }

    /// A client transaction has something to say.
    fn on_heard(&mut self, now: Instant, heard: Heard, answer: Option<(&Response, Way)>) {
        let Heard { id, errand, tell } = heard;
        let outcome = match (tell, answer) {
            (Tell::Response, Some((response, way))) => {
                if self.answer_challenge(now, id, &errand, (response, way)) {
                    return;
                }
                Outcome::Response(response)
            }
            (Tell::TransportFailed, _) => Outcome::TransportFailed,
            (Tell::Timeout | Tell::Response, _) => Outcome::Timeout,
        };
        match errand.purpose {
            Purpose::Dial(key) => self.on_dial_outcome(now, (key, id), &errand, outcome),
            Purpose::Reinvite(key) => self.on_reinvite_outcome(now, (key, id), &errand, outcome),
            Purpose::Refresh(key) => self.on_refresh_outcome(now, key, outcome),
            Purpose::Key(call) => {
                if outcome.status() >= 200 {
                    self.on_key_outcome(now, call, outcome);
                }
            }
            Purpose::Refer(call) => {
                if outcome.status() >= 200 {
                    self.on_refer_outcome(now, call, outcome);
                }
            }
            Purpose::Register(key) => self.on_register_outcome(now, key, id, outcome),
            Purpose::Ping(ping) => self.on_ping_outcome(ping, outcome),
            Purpose::Bye(Some(call)) => {
                if outcome.status() >= 200 && self.parting.remove(&call).is_some() {
                    self.events.push_back(Event::Parted { call });
                }
            }
            Purpose::Cancel | Purpose::Prack | Purpose::Bye(None) => {}
        }
    }

    fn on_call_timer(&mut self, now: Instant, key: CallKey, timer: CallTimer) {
        match timer {
            CallTimer::Ring => self.withdraw(now, key, crate::HangupCause::NoAnswer),
            CallTimer::CancelPatience => self.give_up_cancel(now, key),
            CallTimer::AnswerRepeat => self.repeat_answer(now, key),
            CallTimer::AckPatience => self.give_up_ack(now, key),
            CallTimer::ProvisionalRepeat => self.repeat_provisional(now, key),
            CallTimer::ProvisionalPatience => self.give_up_prack(now, key),
            CallTimer::OfferPatience => self.give_up_offer(now, key),
            CallTimer::SessionRefresh => self.refresh_session(now, key),
            CallTimer::SessionExpiry => self.expire_session(now, key),
            CallTimer::GlareRetry => self.retry_change(now, key),
        }
    }
}
