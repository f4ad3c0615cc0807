//! Which call's events go where, and the user agent's handle of each call. Hides how a call in any state is ended.
//! Never waits: a call whose events are not taken is ended.

use super::call::CallEvent;
use super::handle::CallOrder;
use super::{Meter, count};
use callwright_sip::{Answered, CallKey, Calling, Confirmed, DialogSnapshot, Incoming, Reason, UserAgent};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// Status for a call of a peer that nobody takes (RFC 3261 section 21.4.18).
const UNAVAILABLE: u16 = 480;

/// The user agent's handle of a call, in the state it is in.
#[derive(Debug)]
pub(super) enum Held {
    Calling(Calling),
    Incoming(Incoming),
    Answered(Answered),
    Confirmed(Confirmed),
    /// It was used to end the call; the last event is still to come.
    Released,
}

struct Entry {
    held: Held,
    events: mpsc::Sender<CallEvent>,
}

/// All calls of an endpoint.
pub(super) struct Desk {
    /// In the order of their keys: what goes through all of them does the same each time.
    calls: BTreeMap<CallKey, Entry>,
    /// Who waits until nothing of a call is left.
    farewells: BTreeMap<CallKey, Vec<oneshot::Sender<()>>>,
    /// Who waits until a call's BYE is sent, or nothing of the call is left.
    partings: BTreeMap<CallKey, Vec<oneshot::Sender<Option<DialogSnapshot>>>>,
    depth: usize,
    meter: Arc<Meter>,
}

impl Desk {
    pub(super) fn new(depth: usize, meter: Arc<Meter>) -> Self {
        Self {
            calls: BTreeMap::new(),
            farewells: BTreeMap::new(),
            partings: BTreeMap::new(),
            depth: depth.max(4),
            meter,
        }
    }

    /// Takes a new call; gives the receiving end of its events.
    pub(super) fn admit(&mut self, key: CallKey, held: Held) -> mpsc::Receiver<CallEvent> {
        let (events, received) = mpsc::channel(self.depth);
        self.calls.insert(key, Entry { held, events });
        received
    }

    /// Replaces the handle of a call that went on. A call nobody knows is ended.
    pub(super) fn confirm(&mut self, now: Instant, agent: &mut UserAgent, handle: Confirmed) {
        match self.calls.get_mut(&handle.key()) {
            Some(entry) if !matches!(entry.held, Held::Released) => entry.held = Held::Confirmed(handle),
            Some(_) | None => agent.bye(now, handle, None),
        }
    }

    /// Passes an event on.
    pub(super) fn deliver(&mut self, now: Instant, agent: &mut UserAgent, key: CallKey, event: CallEvent) {
        let last = event.is_last();
        if last {
            self.tell_parting(agent, key);
        }
        if last && agent.is_over(key) {
            self.parted(key);
        }
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if event.is_chatter() && entry.events.capacity() <= self.depth / 4 {
            count(&self.meter.dropped_reports);
            return;
        }
        let refused = entry.events.try_send(event);
        if last {
            self.calls.remove(&key);
            return;
        }
        match refused {
            Ok(()) => {}
            Err(TrySendError::Closed(_)) => self.abandon(now, agent, key),
            Err(TrySendError::Full(_)) => {
                tracing::error!(call = key.number(), "a call is ended: its events are not taken");
                count(&self.meter.overruns);
                self.abandon(now, agent, key);
            }
        }
    }

    fn tell_parting(&mut self, agent: &UserAgent, key: CallKey) {
        for waits in self.partings.remove(&key).unwrap_or_default() {
            // Whoever asked may have gone away since; then nobody needs the answer.
            waits.send(agent.parting(key)).ok();
        }
    }

    /// Nothing of a call is left.
    pub(super) fn parted(&mut self, key: CallKey) {
        for waits in self.farewells.remove(&key).unwrap_or_default() {
            // Whoever asked may have gone away since; then nobody needs the answer.
            waits.send(()).ok();
        }
    }

    /// Carries out what the engine wants of one call.
    pub(super) fn obey(&mut self, now: Instant, agent: &mut UserAgent, key: CallKey, order: CallOrder) {
        match order {
            CallOrder::HangUp(reason) => self.end(now, agent, key, reason, UNAVAILABLE),
            CallOrder::Reject(status) => self.end(now, agent, key, None, status),
            CallOrder::Abandon => self.abandon(now, agent, key),
            CallOrder::Farewell(answer) => {
                self.farewells.entry(key).or_default().push(answer);
                if agent.is_over(key) {
                    self.parted(key);
                }
            }
            CallOrder::Ring(status, body) => {
                if let Some(Held::Incoming(call)) = self.held(key) {
                    agent.ring(now, call, status, body);
                }
            }
            CallOrder::Accept(body) => {
                let Some(entry) = self.calls.get_mut(&key) else { return };
                entry.held = match std::mem::replace(&mut entry.held, Held::Released) {
                    Held::Incoming(call) => Held::Answered(agent.accept(now, call, body)),
                    other => other,
                };
            }
            CallOrder::Acknowledge => {
                if let Some(Held::Confirmed(call)) = self.held(key) {
                    agent.acknowledge_answer(call);
                }
            }
            CallOrder::AcceptOffer(offer, body) => agent.accept_offer(now, offer, body),
            CallOrder::RejectOffer(offer, status) => agent.reject_offer(now, offer, status),
            CallOrder::Parting(answer) => {
                self.partings.entry(key).or_default().push(answer);
                if agent.is_over(key) || agent.parting(key).is_some() {
                    self.tell_parting(agent, key);
                }
            }
            // Whoever asked the following may have gone away since; then nobody needs the answer.
            CallOrder::Reinvite(offer, answer) => drop(answer.send(match self.held(key) {
                Some(Held::Confirmed(call)) => agent.reinvite(now, call, offer),
                _ => false,
            })),
            CallOrder::Dtmf(digit, duration, answer) => drop(answer.send(match self.held(key) {
                Some(Held::Confirmed(call)) => agent.send_dtmf(now, call, digit, duration),
                _ => false,
            })),
            CallOrder::Refer(target, answer) => drop(answer.send(match self.held(key) {
                Some(Held::Confirmed(call)) => agent.refer(now, call, &target),
                _ => false,
            })),
            CallOrder::Snapshot(answer) => drop(answer.send(match self.held(key) {
                Some(Held::Confirmed(call)) => agent.snapshot(call),
                Some(Held::Calling(call)) => agent.snapshot_calling(call),
                _ => None,
            })),
        }
    }

    /// Ends the calls nobody listens to any more.
    pub(super) fn sweep(&mut self, now: Instant, agent: &mut UserAgent) {
        let abandoned: Vec<CallKey> =
            self.calls.iter().filter(|(_, entry)| entry.events.is_closed()).map(|(key, _)| *key).collect();
        for key in abandoned {
            self.abandon(now, agent, key);
        }
    }

    fn held(&self, key: CallKey) -> Option<&Held> {
        self.calls.get(&key).map(|entry| &entry.held)
    }

    fn abandon(&mut self, now: Instant, agent: &mut UserAgent, key: CallKey) {
        self.end(now, agent, key, None, UNAVAILABLE);
        self.calls.remove(&key);
    }

    fn end(&mut self, now: Instant, agent: &mut UserAgent, key: CallKey, reason: Option<Reason>, status: u16) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        match std::mem::replace(&mut entry.held, Held::Released) {
            Held::Calling(call) => agent.cancel(now, call),
            Held::Incoming(call) => agent.reject(now, call, status),
            Held::Answered(call) => agent.bye_unacknowledged(now, call, reason),
            Held::Confirmed(call) => agent.bye(now, call, reason),
            Held::Released => {}
        }
    }
}
