//! Transactions (RFC 3261 section 17): finds the one a message belongs to, repeats what the network loses, absorbs
//! what it doubles, and says when nobody answers.
//!
//! Hides branches, timers and copies of messages. Never knows calls or dialogs: each client transaction carries an
//! [`Errand`] it only hands back.

mod invite_client;
mod invite_server;
mod non_invite_client;
mod non_invite_server;
mod step;
mod timer;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use invite_client::InviteClient;
use invite_server::InviteServer;
use non_invite_client::NonInviteClient;
use non_invite_server::NonInviteServer;
pub(crate) use step::Tell;
use step::{Change, Over, Pace, Send, Step};
pub(crate) use timer::{Alarm, Alarms, CallTimer, Timer, Wake};

use crate::agent::{Errand, FlowId, Timers, Transmit, Transport};
use crate::message::{CallId, Message, Method, NameAddr, Request, Response};

/// Names one transaction inside one user agent. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TransactionId(u64);

/// Where messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) destination: SocketAddr,
    pub(crate) flow: Option<FlowId>,
}

/// What leaves a user agent besides events, and what wakes it.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    pub(crate) outbox: VecDeque<Transmit>,
    pub(crate) alarms: Alarms,
}

impl Wires {
    /// Puts a message on the wire.
    pub(crate) fn send(&mut self, way: Way, bytes: Vec<u8>) {
        let Way { transport, destination, flow } = way;
        self.outbox.push_back(Transmit { transport, destination, flow, bytes });
    }
}

/// What a client transaction's user hears.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) id: TransactionId,
    pub(crate) errand: Errand,
    pub(crate) tell: Tell,
}

/// What a fired timer led to.
#[derive(Debug)]
pub(crate) enum Fired {
    /// Nothing the user must know.
    Nothing,
    /// A client transaction gave up.
    Unanswered(Heard),
    /// An INVITE client transaction is over after its 2xx: acknowledgements need no more repeating.
    Settled(TransactionId),
}

/// Where a request of a peer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// To no transaction.
    New,
    /// It was a copy, or the ACK of a failure: dealt with.
    Absorbed,
    /// The same INVITE over another path (RFC 3261 section 8.2.2.2).
    Merged,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(InviteClient),
    Other(NonInviteClient),
}

#[derive(Debug)]
struct Client {
    machine: ClientMachine,
    request: Request,
    errand: Errand,
    way: Way,
    key: ClientKey,
    ack: Option<Vec<u8>>,
    repeat: Option<Alarm>,
    end: Option<Alarm>,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    /// Dropped once a final answer is sent.
    request: Option<Box<Request>>,
    way: Way,
    key: ServerKey,
    merge: Option<MergeKey>,
    last: Option<Vec<u8>>,
    repeat: Option<Alarm>,
    end: Option<Alarm>,
}

/// RFC 3261 section 17.1.3: branch and CSeq method.
type ClientKey = (Box<str>, Method);

/// RFC 3261 section 17.2.3: branch with sent-by (or the parts of RFC 2543), and the method, INVITE standing for its ACK.
type ServerKey = (Box<str>, Method);

/// RFC 3261 section 8.2.2.2: From tag, Call-ID, CSeq number.
type MergeKey = (Box<str>, CallId, u32);

/// All transactions of one user agent.
#[derive(Debug)]
pub(crate) struct Transactions {
    clients: HashMap<TransactionId, Client>,
    servers: HashMap<TransactionId, Server>,
    client_keys: HashMap<ClientKey, TransactionId>,
    server_keys: HashMap<ServerKey, TransactionId>,
    merges: HashMap<MergeKey, TransactionId>,
    timers: Timers,
    next: u64,
}

impl Transactions {
    pub(crate) fn new(timers: Timers) -> Self {
        Self {
            clients: HashMap::new(),
            servers: HashMap::new(),
            client_keys: HashMap::new(),
            server_keys: HashMap::new(),
            merges: HashMap::new(),
            timers,
            next: 0,
        }
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn next_id(&mut self) -> TransactionId {
        self.next += 1;
        TransactionId(self.next)
    }

    fn pace(&self, transport: Transport) -> Pace {
        Pace::new(self.timers, transport.is_reliable())
    }

    // ---- as client ----

    /// Sends a request of ours, any but ACK.
    pub(crate) fn send(&mut self, now: Instant, wires: &mut Wires, parcel: Parcel) -> TransactionId {
        let pace = self.pace(parcel.way.transport);
        let (machine, step) = if parcel.request.method == Method::Invite {
            let (machine, step) = InviteClient::start(pace);
            (ClientMachine::Invite(machine), step)
        } else {
            let (machine, step) = NonInviteClient::start(pace);
            (ClientMachine::Other(machine), step)
        };
        let id = self.adopt(machine, parcel);
        self.follow_client(now, wires, id, step);
        id
    }

    /// Takes up an INVITE that an earlier run of the program sent.
    pub(crate) fn resume(&mut self, parcel: Parcel) -> TransactionId {
        let machine = InviteClient::resume(self.pace(parcel.way.transport));
        self.adopt(ClientMachine::Invite(machine), parcel)
    }

    fn adopt(&mut self, machine: ClientMachine, parcel: Parcel) -> TransactionId {
        let id = self.next_id();
        let Parcel { request, way, errand } = parcel;
        let branch = request.headers.top_via().and_then(|via| via.branch().map(Box::from)).unwrap_or_default();
        let key = (branch, request.method.clone());
        self.client_keys.insert(key.clone(), id);
        let client = Client { machine, request, errand, way, key, ack: None, repeat: None, end: None };
        self.clients.insert(id, client);
        id
    }

    /// Takes an answer; `None`: it belongs to nothing, or says nothing new.
    pub(crate) fn on_response(&mut self, now: Instant, wires: &mut Wires, response: &Response) -> Option<Heard> {
        let branch = response.headers.top_via()?.branch()?.into();
        let id = *self.client_keys.get(&(branch, response.headers.cseq()?.method))?;
        let client = self.clients.get_mut(&id)?;
        if !same_call(&client.request, response) {
            return None; // The branch is right and the call is not: forged or broken.
        }
        let status = response.status.code();
        let step = match &mut client.machine {
            ClientMachine::Invite(machine) => machine.on_status(status),
            ClientMachine::Other(machine) => machine.on_status(status),
        };
        if step.send == Some(Send::Ack) && client.ack.is_none() {
            client.ack = client.request.ack_failure(response).map(|ack| ack.to_bytes());
        }
        self.follow_client(now, wires, id, step)
    }

    /// The request a client transaction carries, while it lives.
    pub(crate) fn request(&self, id: TransactionId) -> Option<&Request> {
        self.clients.get(&id).map(|client| &client.request)
    }

    /// Whether an INVITE with this branch is under way.
    pub(crate) fn dials_with(&self, branch: &str) -> bool {
        self.client_keys.contains_key(&(Box::from(branch), Method::Invite))
    }

    /// Gives up an INVITE that has no final answer yet; `None`: it has one, or is over.
    pub(crate) fn give_up(&mut self, wires: &mut Wires, id: TransactionId) -> Option<Heard> {
        let client = self.clients.get(&id)?;
        let open = matches!(&client.machine, ClientMachine::Invite(machine) if machine.is_open());
        let heard = open.then(|| Heard { id, errand: client.errand.clone(), tell: Tell::Timeout })?;
        self.forget(wires, id);
        Some(heard)
    }

    /// Forgets a client transaction without a word.
    pub(crate) fn forget(&mut self, wires: &mut Wires, id: TransactionId) {
        if let Some(mut client) = self.clients.remove(&id) {
            wires.alarms.stop(&mut client.repeat);
            wires.alarms.stop(&mut client.end);
            self.client_keys.remove(&client.key);
        }
    }

    /// The way to an address is broken: every client transaction on it ends. Looks at all of them; it is rare, and
    /// whoever reports it bounds how often.
    pub(crate) fn on_transport_failed(
        &mut self,
        now: Instant,
        wires: &mut Wires,
        transport: Transport,
        destination: SocketAddr,
    ) -> Vec<Heard> {
        let hit = |client: &Client| client.way.transport == transport && client.way.destination == destination;
        let mut ids: Vec<_> = self.clients.iter().filter(|(_, client)| hit(client)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let mut heard = Vec::new();
        for id in ids {
            let step = match self.clients.get_mut(&id).map(|client| &mut client.machine) {
                Some(ClientMachine::Invite(machine)) => machine.on_transport_failed(),
                Some(ClientMachine::Other(machine)) => machine.on_transport_failed(),
                None => Step::NOTHING,
            };
            heard.extend(self.follow_client(now, wires, id, step));
        }
        heard
    }

    fn follow_client(&mut self, now: Instant, wires: &mut Wires, id: TransactionId, step: Step) -> Option<Heard> {
        let client = self.clients.get_mut(&id)?;
        match step.send {
            Some(Send::Request) => wires.send(client.way, client.request.to_bytes()),
            Some(Send::Ack) => {
                if let Some(ack) = &client.ack {
                    wires.send(client.way, ack.clone());
                }
            }
            Some(Send::Response) | None => {}
        }
        change(now, wires, id, &mut client.repeat, step.repeat);
        change(now, wires, id, &mut client.end, step.end);
        let heard = step.tell.map(|tell| Heard { id, errand: client.errand.clone(), tell });
        if step.over == Over::Yes {
            self.forget(wires, id);
        }
        heard
    }

    // ---- as server ----

    /// Looks where a request of a peer belongs, CANCEL excepted, which has a transaction of its own.
    pub(crate) fn on_request(&mut self, now: Instant, wires: &mut Wires, request: &Request) -> Found {
        let Some(key) = server_key(request) else {
            return Found::New;
        };
        if let Some(id) = self.server_keys.get(&key).copied() {
            let Some(server) = self.servers.get_mut(&id) else {
                return Found::New;
            };
            let step = match (&mut server.machine, &request.method) {
                (ServerMachine::Invite(machine), Method::Ack) => {
                    if matches!(machine.state(), invite_server::State::Accepted) {
                        return Found::New; // The ACK of a 2xx by a peer that reuses the branch: the dialog's.
                    }
                    machine.on_ack()
                }
                (ServerMachine::Invite(machine), _) => machine.on_repeat(),
                (ServerMachine::Other(machine), _) => machine.on_repeat(),
            };
            self.follow_server(now, wires, id, step);
            return Found::Absorbed;
        }
        match merge_key(request) {
            Some(merge) if self.merges.contains_key(&merge) => Found::Merged,
            _ => Found::New,
        }
    }

    /// The INVITE server transaction a CANCEL is about (RFC 3261 section 9.2).
    pub(crate) fn cancelled(&self, cancel: &Request) -> Option<TransactionId> {
        let (branch, _) = server_key(cancel)?;
        self.server_keys.get(&(branch, Method::Invite)).copied()
    }

    /// Opens a server transaction for a new request, any but ACK.
    pub(crate) fn open(&mut self, request: Request, way: Way) -> TransactionId {
        let id = self.next_id();
        let pace = self.pace(way.transport);
        let machine = if request.method == Method::Invite {
            ServerMachine::Invite(InviteServer::start(pace))
        } else {
            ServerMachine::Other(NonInviteServer::start(pace))
        };
        let key = server_key(&request).unwrap_or_else(|| (Box::default(), request.method.clone()));
        let merge = merge_key(&request);
        self.server_keys.insert(key.clone(), id);
        if let Some(merge) = &merge {
            self.merges.insert(merge.clone(), id);
        }
        let request = Some(Box::new(request));
        self.servers.insert(id, Server { machine, request, way, key, merge, last: None, repeat: None, end: None });
        id
    }

    /// The request a server transaction waits to answer; `None` once it has a final answer.
    pub(crate) fn asked(&self, id: TransactionId) -> Option<&Request> {
        self.servers.get(&id)?.request.as_deref()
    }

    /// Where a server transaction sends its answers.
    pub(crate) fn way(&self, id: TransactionId) -> Option<Way> {
        self.servers.get(&id).map(|server| server.way)
    }

    /// Answers. A second final answer is ignored.
    pub(crate) fn respond(&mut self, now: Instant, wires: &mut Wires, id: TransactionId, response: Response) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        let status = response.status.code();
        let step = match &mut server.machine {
            ServerMachine::Invite(machine) => machine.on_respond(status),
            ServerMachine::Other(machine) => machine.on_respond(status),
        };
        if step.send.is_some() {
            server.last = Some(response.to_bytes());
        }
        if status >= 200 {
            server.request = None;
        }
        self.follow_server(now, wires, id, step);
    }

    fn follow_server(&mut self, now: Instant, wires: &mut Wires, id: TransactionId, step: Step) {
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if let (Some(Send::Response), Some(last)) = (step.send, &server.last) {
            wires.send(server.way, last.clone());
        }
        change(now, wires, id, &mut server.repeat, step.repeat);
        change(now, wires, id, &mut server.end, step.end);
        if step.over == Over::Yes {
            self.forget_server(wires, id);
        }
    }

    fn forget_server(&mut self, wires: &mut Wires, id: TransactionId) {
        if let Some(mut server) = self.servers.remove(&id) {
            wires.alarms.stop(&mut server.repeat);
            wires.alarms.stop(&mut server.end);
            self.server_keys.remove(&server.key);
            if let Some(merge) = &server.merge {
                self.merges.remove(merge);
            }
        }
    }

    // ---- time ----

    /// A timer of a transaction is due.
    pub(crate) fn fire(&mut self, now: Instant, wires: &mut Wires, id: TransactionId, timer: Timer) -> Fired {
        if let Some(client) = self.clients.get_mut(&id) {
            let step = match &mut client.machine {
                ClientMachine::Invite(machine) => machine.on_timer(timer),
                ClientMachine::Other(machine) => machine.on_timer(timer),
            };
            return match self.follow_client(now, wires, id, step) {
                Some(heard) => Fired::Unanswered(heard),
                None if timer == Timer::M => Fired::Settled(id),
                None => Fired::Nothing,
            };
        }
        if let Some(server) = self.servers.get_mut(&id) {
            let step = match &mut server.machine {
                ServerMachine::Invite(machine) => machine.on_timer(timer),
                ServerMachine::Other(machine) => machine.on_timer(timer),
            };
            self.follow_server(now, wires, id, step);
        }
        Fired::Nothing
    }
}

/// A request of ours on its way: what, where to, and on whose behalf.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) request: Request,
    pub(crate) way: Way,
    pub(crate) errand: Errand,
}

fn change(now: Instant, wires: &mut Wires, id: TransactionId, place: &mut Option<Alarm>, change: Change) {
    match change {
        Change::Keep => {}
        Change::Stop => wires.alarms.stop(place),
        Change::Set(timer, wait) => wires.alarms.reset(place, now + wait, Wake::Transaction(id, timer)),
    }
}

/// Whether an answer speaks of the call its request spoke of: Call-ID and From tag come back as they went.
fn same_call(request: &Request, response: &Response) -> bool {
    let tag = |from: Option<NameAddr>| from.and_then(|from| from.tag().map(String::from));
    request.headers.call_id() == response.headers.call_id()
        && tag(request.headers.from()) == tag(response.headers.from())
}

/// How a server transaction is found again; `None`: the message has no usable Via.
fn server_key(request: &Request) -> Option<ServerKey> {
    let via = request.headers.top_via()?;
    let method = match &request.method {
        Method::Ack => Method::Invite,
        method => method.clone(),
    };
    let port = via.port().unwrap_or(5060);
    let text = match via.unique_branch() {
        Some(branch) => format!("{branch} {}:{port}", via.host()),
        None => {
            // RFC 2543 peers: everything that stays the same between an INVITE, its copies and its ACK.
            let from = request.headers.from()?;
            let call_id = request.headers.call_id()?;
            let number = request.headers.cseq()?.number;
            let branch = via.branch().unwrap_or("");
            let tag = from.tag().unwrap_or("");
            format!("{call_id} {tag} {number} {} {}:{port} {branch}", request.uri, via.host())
        }
    };
    Some((text.into(), method))
}

/// How an INVITE outside dialogs is recognised over another path.
fn merge_key(request: &Request) -> Option<MergeKey> {
    if request.method != Method::Invite || request.headers.to()?.tag().is_some() {
        return None;
    }
    let tag = request.headers.from()?.tag()?.into();
    Some((tag, request.headers.call_id()?, request.headers.cseq()?.number))
}

/// A message that is neither in nor for any transaction, such as the ACK of a 2xx.
pub(crate) fn send_alone(wires: &mut Wires, way: Way, message: impl Into<Message>) -> Vec<u8> {
    let bytes = message.into().to_bytes();
    wires.send(way, bytes.clone());
    bytes
}
