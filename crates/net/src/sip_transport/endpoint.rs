//! The task that owns a user agent and its sockets. Hides the loop: take what came, let the agent digest it, send what
//! it wants sent, pass on what it tells, sleep until its next timer. Never waits for anything else.

use super::call::{CallEvent, SipCall};
use super::connection::{End, StreamEvent};
use super::desk::{Desk, Held};
use super::handle::{Order, SipHandle, SipReport};
use super::registration::{RegistrationState, SipRegistration};
use super::streams::Streams;
use super::{Meter, SipSettings, StartError, count, local_address};
use crate::wire::{Datagrams, Wire};
use callwright_sip::agent::PingKey;
use callwright_sip::{
    Arrival, CallKey, Event, Incoming, Input, Invitation, InviteError, RegistrationKey, Transmit, Transport, UserAgent,
};
use socket2::SockRef;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};

/// Largest datagram there is.
const DATAGRAM: usize = 65_536;
/// Datagrams or orders taken before everything else has its turn.
const BATCH: usize = 64;
/// Kernel buffers asked for: bursts of a busy trunk wait there while a batch is digested.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Datagrams waiting for a full send buffer; beyond it they are dropped, and SIP's own timers repeat them.
const UNSENT: usize = 1024;
/// How often abandoned calls are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long farewells may take after the last handle is gone: a lost BYE is repeated three times within it (RFC 3261
/// timer E). Transactions that only absorb repeats would live for 32 s, and nobody should wait for those.
const FAREWELL: Duration = Duration::from_secs(4);
/// Status for a call that finds the engine's queue full (RFC 3261 section 21.5.4).
const OVERLOADED: u16 = 503;
/// A pause after a failed accept: the system has no file descriptors left, and asking at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A SIP endpoint, bound and not yet running.
pub struct SipEndpoint {
    agent: UserAgent,
    udp: Datagrams,
    unsent: VecDeque<Transmit>,
    listener: Option<TcpListener>,
    streams: Streams,
    stream_events: mpsc::Receiver<StreamEvent>,
    orders: mpsc::Receiver<Order>,
    /// To put into the calls of peers; weak, so that the endpoint does not keep itself alive.
    order_sender: mpsc::WeakSender<Order>,
    reports: mpsc::Sender<SipReport>,
    desk: Desk,
    pings: HashMap<PingKey, oneshot::Sender<Option<u16>>>,
    /// In the order of their keys, as everything that is gone through: the same history must do the same again.
    registrations: BTreeMap<RegistrationKey, Watched>,
    meter: Arc<Meter>,
}

/// Who is told about a registration.
struct Watched {
    state: watch::Sender<RegistrationState>,
    /// It was taken back; the registrar's answer is still to come.
    leaving: bool,
}

impl SipEndpoint {
    /// Binds the sockets. [`SipEndpoint::run`] must then be spawned; the receiver brings what concerns no known call.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn bind(settings: SipSettings) -> Result<(Self, SipHandle, mpsc::Receiver<SipReport>), StartError> {
        let cannot = |transport, address| move |source| StartError::Listen { transport, address, source };
        let udp = UdpSocket::bind(settings.udp).await.map_err(cannot(Transport::Udp, settings.udp))?;
        enlarge_buffers(&udp);
        let listener = match settings.tcp {
            None => None,
            Some(address) => Some(TcpListener::bind(address).await.map_err(cannot(Transport::Tcp, address))?),
        };
        Self::assemble(settings, Datagrams::Socket(udp), listener, rand::random())
    }

    /// An endpoint on a network in memory, without TCP, as [`SipEndpoint::bind`] makes one on the system's. `seed` feeds
    /// tags and branches: the same seed over the same network does the same.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn on_wire(
        settings: SipSettings,
        wire: Wire,
        seed: u64,
    ) -> Result<(Self, SipHandle, mpsc::Receiver<SipReport>), StartError> {
        Self::assemble(settings, Datagrams::Memory(wire), None, seed)
    }

    fn assemble(
        settings: SipSettings,
        udp: Datagrams,
        listener: Option<TcpListener>,
        seed: u64,
    ) -> Result<(Self, SipHandle, mpsc::Receiver<SipReport>), StartError> {
        let cannot = |transport, address| move |source| StartError::Listen { transport, address, source };
        let udp_address = udp.local_addr().map_err(cannot(Transport::Udp, settings.udp))?;
        let mut agent = settings.agent;
        agent.local = vec![local_address(Transport::Udp, udp_address, settings.advertise.as_ref())?];
        let mut tcp_address = None;
        if let (Some(listener), Some(address)) = (&listener, settings.tcp) {
            let bound = listener.local_addr().map_err(cannot(Transport::Tcp, address))?;
            agent.local.push(local_address(Transport::Tcp, bound, settings.advertise.as_ref())?);
            tcp_address = Some(bound);
        }
        let (order_sender, orders) = mpsc::channel(settings.orders.max(1));
        let (reports, received) = mpsc::channel(settings.reports.max(1));
        let (streams, stream_events) = Streams::new(settings.streams);
        let meter = Arc::new(Meter::default());
        let endpoint = Self {
            agent: UserAgent::new(agent, seed),
            udp,
            unsent: VecDeque::new(),
            listener,
            streams,
            stream_events,
            orders,
            order_sender: order_sender.downgrade(),
            reports,
            desk: Desk::new(settings.call_events, Arc::clone(&meter)),
            pings: HashMap::new(),
            registrations: BTreeMap::new(),
            meter: Arc::clone(&meter),
        };
        Ok((endpoint, SipHandle::new(order_sender, meter, udp_address, tcp_address), received))
    }

    /// Runs until the last handle and call are gone and their farewells are answered.
    pub async fn run(mut self) {
        let mut datagram = vec![0; DATAGRAM];
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut leaving: Option<Instant> = None;
        while leaving.is_none_or(|until| until > now() && self.has_farewells()) {
            let timer = self.agent.poll_timeout();
            tokio::select! {
                biased;
                order = self.orders.recv(), if leaving.is_none() => match order {
                    Some(order) => {
                        self.obey_batch(order);
                        // The order of these branches is fixed; many orders must not keep the network waiting.
                        self.read_datagrams(&mut datagram);
                    }
                    None => {
                        self.desk.sweep(now(), &mut self.agent);
                        self.sweep_registrations();
                        leaving = Some(now() + FAREWELL);
                    }
                },
                readable = self.udp.readable() => match readable {
                    Ok(()) => self.read_datagrams(&mut datagram),
                    Err(error) => tracing::error!(%error, "the SIP socket cannot be polled"),
                },
                writable = self.udp.writable(), if !self.unsent.is_empty() => match writable {
                    Ok(()) => self.send_unsent(),
                    Err(error) => tracing::error!(%error, "the SIP socket cannot be polled"),
                },
                Some(event) = self.stream_events.recv() => self.stream_event(event),
                (stream, peer) = accept(self.listener.as_ref()) => self.accepted(stream, peer),
                () = sleep_until(timer) => {}
                _ = sweep.tick() => {
                    self.desk.sweep(now(), &mut self.agent);
                    self.sweep_registrations();
                }
            }
            self.turn();
        }
        // No connection may wait for this task to hear of it.
        drop(self.stream_events);
        self.streams.finish().await;
    }

    fn has_farewells(&self) -> bool {
        let live = self.agent.live();
        live.calls + live.transactions > 0
    }

    /// Runs timers that are due, then sends and tells until the agent has nothing more.
    fn turn(&mut self) {
        if self.agent.poll_timeout().is_some_and(|due| due <= now()) {
            self.agent.handle_timeout(now());
        }
        loop {
            while let Some(message) = self.agent.poll_transmit() {
                self.send(message);
            }
            let Some(event) = self.agent.poll_event() else { return };
            self.tell(event);
        }
    }

    // ---- the network ----

    fn read_datagrams(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            match self.udp.try_recv_from(buffer) {
                Ok((length, source)) => {
                    count(&self.meter.received);
                    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                    let arrival = Arrival { source, transport: Transport::Udp, flow: None, bytes };
                    self.agent.handle(now(), Input::Message(arrival));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => tracing::debug!(%error, "an error came instead of a datagram"),
            }
        }
    }

    fn send(&mut self, message: Transmit) {
        match message.transport {
            Transport::Udp => self.send_datagram(message),
            Transport::Tcp => {
                let destination = message.destination;
                match self.streams.send(message.flow, destination, message.bytes) {
                    Ok(()) => count(&self.meter.sent),
                    Err(_) => self.failed(Transport::Tcp, destination),
                }
            }
            // Not spoken yet: whoever dialled such a trunk learns that it cannot be reached.
            transport @ (Transport::Tls | Transport::Ws) => self.failed(transport, message.destination),
        }
    }

    fn send_datagram(&mut self, message: Transmit) {
        match self.udp.try_send_to(&message.bytes, message.destination) {
            Ok(_) => count(&self.meter.sent),
            Err(error) if error.kind() == ErrorKind::WouldBlock && self.unsent.len() < UNSENT => {
                self.unsent.push_back(message);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => count(&self.meter.send_failures),
            Err(error) => {
                tracing::info!(destination = %message.destination, %error, "a datagram cannot be sent");
                self.failed(Transport::Udp, message.destination);
            }
        }
    }

    fn send_unsent(&mut self) {
        for _ in 0..self.unsent.len() {
            let Some(message) = self.unsent.pop_front() else { return };
            self.send_datagram(message);
        }
    }

    fn failed(&mut self, transport: Transport, destination: SocketAddr) {
        count(&self.meter.send_failures);
        self.agent.handle(now(), Input::TransportFailed { transport, destination });
    }

    fn stream_event(&mut self, event: StreamEvent) {
        match event {
            StreamEvent::Message { flow, peer, message } => {
                count(&self.meter.received);
                let parsed = Input::Parsed { source: peer, transport: Transport::Tcp, flow, message };
                self.agent.handle(now(), parsed);
            }
            StreamEvent::Refused { flow, peer, answer } => {
                // Strangers are not answered, as in the agent itself.
                if self.agent.settings().peers.contains(&peer.ip())
                    && self.streams.send(Some(flow), peer, answer).is_err()
                {
                    count(&self.meter.send_failures);
                }
            }
            StreamEvent::Closed { flow, peer, end } => {
                self.streams.forget(flow);
                self.agent.handle(now(), Input::FlowClosed { flow });
                if end == End::Failed {
                    self.failed(Transport::Tcp, peer);
                }
            }
        }
    }

    fn accepted(&mut self, stream: TcpStream, peer: SocketAddr) {
        match self.streams.accept(stream, peer) {
            Ok(()) => count(&self.meter.accepted),
            Err(_) => count(&self.meter.turned_away),
        }
    }

    // ---- the engine ----

    fn obey_batch(&mut self, first: Order) {
        self.obey(first);
        for _ in 1..BATCH {
            let Ok(order) = self.orders.try_recv() else { return };
            self.obey(order);
        }
    }

    fn obey(&mut self, order: Order) {
        let now = now();
        match order {
            Order::Call(key, order) => self.desk.obey(now, &mut self.agent, key, order),
            // Below: whoever asked may have gone away since. A call that nobody takes ends by being dropped.
            Order::Invite(invite, answer) => {
                let placed = self.agent.invite(now, *invite).map(|calling| (calling.key(), Held::Calling(calling)));
                drop(answer.send(self.admit(placed)));
            }
            Order::EndStale(snapshot, trunk, answer) => {
                let ended = self.agent.bye_from_snapshot(now, &snapshot, trunk).map(|key| (key, Held::Released));
                drop(answer.send(self.admit(ended)));
            }
            Order::Register(registration, answer) => {
                let key = self.agent.register(now, *registration);
                let (state, watched) = watch::channel(RegistrationState::Trying);
                self.registrations.insert(key, Watched { state, leaving: false });
                let orders = self.order_sender.upgrade().unwrap_or_else(|| mpsc::channel(1).0);
                drop(answer.send(SipRegistration::new(key, watched, orders)));
            }
            Order::Unregister(registration) => self.unregister(registration),
            Order::Options(trunk, answer) => {
                let ping = self.agent.options(now, trunk);
                self.pings.insert(ping, answer);
            }
            Order::Peers(peers) => self.agent.settings_mut().peers = peers,
            Order::Inbound(inbound) => self.agent.settings_mut().inbound = inbound,
            Order::Live(answer) => drop(answer.send(self.agent.live())),
        }
    }

    fn admit(&mut self, made: Result<(CallKey, Held), InviteError>) -> Result<SipCall, InviteError> {
        let (key, held) = made?;
        let events = self.desk.admit(key, held);
        let orders = self.order_sender.upgrade().unwrap_or_else(|| mpsc::channel(1).0);
        Ok(SipCall::new(key, events, orders))
    }

    fn tell(&mut self, event: Event) {
        let (key, told) = match event {
            Event::Incoming { call, handle, invitation } => return self.incoming(call, handle, invitation),
            Event::Answered { call, handle, body } => {
                self.desk.confirm(now(), &mut self.agent, handle);
                (call, CallEvent::Answered { body })
            }
            Event::Established { call, handle, body } => {
                self.desk.confirm(now(), &mut self.agent, handle);
                (call, CallEvent::Established { body })
            }
            Event::Progress { call, progress } => (call, CallEvent::Progress(progress)),
            Event::Failed { call, failure } => (call, CallEvent::Failed(failure)),
            Event::Ended { call, ending } => (call, CallEvent::Ended(ending)),
            Event::Parted { call } => return self.desk.parted(call),
            Event::Offer { call, offer, body } => (call, CallEvent::Offer { offer, body }),
            Event::OfferWithdrawn { call, offer } => (call, CallEvent::OfferWithdrawn { offer }),
            Event::AnswerInAck { call, body } => (call, CallEvent::AnswerInAck { body }),
            Event::OfferAnswered { call, body } => (call, CallEvent::OfferAnswered { body }),
            Event::OfferRefused { call, status } => (call, CallEvent::OfferRefused { status }),
            Event::Dtmf { call, digit, duration } => (call, CallEvent::Dtmf { digit, duration }),
            Event::DtmfSent { call, status } => (call, CallEvent::DtmfSent { status }),
            Event::ReferAnswered { call, status } => (call, CallEvent::ReferAnswered { status }),
            Event::ReferProgress { call, status, last } => (call, CallEvent::ReferProgress { status, last }),
            Event::ReferRefused { call } => (call, CallEvent::ReferRefused),
            other => return self.report_other(other),
        };
        self.desk.deliver(now(), &mut self.agent, key, told);
    }

    fn incoming(&mut self, key: CallKey, handle: Incoming, invitation: Box<Invitation>) {
        let Some(orders) = self.order_sender.upgrade() else {
            return self.agent.reject(now(), handle, OVERLOADED);
        };
        let Ok(slot) = self.reports.try_reserve() else {
            count(&self.meter.dropped_reports);
            return self.agent.reject(now(), handle, OVERLOADED);
        };
        let events = self.desk.admit(key, Held::Incoming(handle));
        slot.send(SipReport::Incoming { call: SipCall::new(key, events, orders), invitation });
    }

    fn report_other(&mut self, event: Event) {
        match event {
            Event::Registered { registration, expires } => {
                self.told(registration, RegistrationState::Registered { expires });
            }
            Event::RegistrationFailed { registration, cause, retry_in } => {
                self.told(registration, RegistrationState::Failed { cause, retry_in });
            }
            Event::Unregistered { registration } => {
                self.told(registration, RegistrationState::Over);
                self.registrations.remove(&registration);
            }
            Event::OptionsAnswered { ping, status } => self.pinged(ping, Some(status)),
            Event::OptionsTimedOut { ping } => self.pinged(ping, None),
            unknown => tracing::debug!(?unknown, "an event nobody waits for"),
        }
    }

    fn told(&self, registration: RegistrationKey, state: RegistrationState) {
        if let Some(watched) = self.registrations.get(&registration) {
            watched.state.send_replace(state);
        }
    }

    /// Takes a registration back, once.
    fn unregister(&mut self, key: RegistrationKey) {
        if let Some(watched) = self.registrations.get_mut(&key)
            && !watched.leaving
        {
            watched.leaving = true;
            self.agent.unregister(now(), key);
        }
    }

    /// Takes back what nobody holds any more.
    fn sweep_registrations(&mut self) {
        let abandoned: Vec<RegistrationKey> =
            self.registrations.iter().filter(|(_, watched)| watched.state.is_closed()).map(|(key, _)| *key).collect();
        for key in abandoned {
            self.unregister(key);
        }
    }

    fn pinged(&mut self, ping: PingKey, status: Option<u16>) {
        if let Some(answer) = self.pings.remove(&ping)
            && answer.send(status).is_err()
        {
            tracing::trace!("whoever asked has gone away since");
        }
    }
}

/// The runtime's clock, so that tests can stop it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

async fn accept(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn enlarge_buffers(udp: &UdpSocket) {
    let socket = SockRef::from(udp);
    let outcome = socket.set_recv_buffer_size(SOCKET_BUFFER).and_then(|()| socket.set_send_buffer_size(SOCKET_BUFFER));
    if let Err(error) = outcome {
        tracing::debug!(%error, "SIP socket buffers left at the system's size");
    }
}
