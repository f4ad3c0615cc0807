//! All TCP connections of an endpoint: opened on demand, used again, counted. Hides their tasks.
//! Never waits: a connection that does not take a message is as good as none.

use super::StreamLimits;
use super::connection::{Connection, StreamEvent};
use callwright_sip::FlowId;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Events of all connections waiting for the endpoint; connections wait when it is full, and so do their peers.
const EVENTS: usize = 256;

/// How long queued messages may take to leave when the endpoint stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Who made a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    Peer,
    Ours,
}

struct Flow {
    peer: SocketAddr,
    outgoing: mpsc::Sender<Vec<u8>>,
    maker: Maker,
}

/// The message could not be handed to any connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoWay;

/// The limit of accepted connections is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnedAway;

/// The connections.
pub(super) struct Streams {
    limits: StreamLimits,
    flows: HashMap<FlowId, Flow>,
    by_peer: HashMap<SocketAddr, FlowId>,
    accepted: usize,
    opened: usize,
    next: u64,
    events: mpsc::Sender<StreamEvent>,
    /// Ends every connection when the endpoint is dropped.
    tasks: JoinSet<()>,
}

impl Streams {
    pub(super) fn new(limits: StreamLimits) -> (Self, mpsc::Receiver<StreamEvent>) {
        let (events, received) = mpsc::channel(EVENTS);
        let streams = Self {
            limits,
            flows: HashMap::new(),
            by_peer: HashMap::new(),
            accepted: 0,
            opened: 0,
            next: 1,
            events,
            tasks: JoinSet::new(),
        };
        (streams, received)
    }

    /// Serves a connection that a peer made.
    pub(super) fn accept(&mut self, stream: TcpStream, peer: SocketAddr) -> Result<(), TurnedAway> {
        if self.accepted >= self.limits.accepted {
            return Err(TurnedAway);
        }
        let connection = self.admit(peer, Maker::Peer);
        self.tasks.spawn(connection.serve(stream));
        Ok(())
    }

    /// Sends over `flow` if it is still there, else over a connection to `destination`, made now if need be.
    pub(super) fn send(&mut self, flow: Option<FlowId>, destination: SocketAddr, bytes: Vec<u8>) -> Result<(), NoWay> {
        let known = flow.filter(|flow| self.flows.contains_key(flow));
        let flow = match known.or_else(|| self.by_peer.get(&destination).copied()) {
            Some(flow) => flow,
            None if self.opened >= self.limits.opened => return Err(NoWay),
            None => {
                let connection = self.admit(destination, Maker::Ours);
                let flow = connection.flow;
                self.tasks.spawn(connection.open());
                flow
            }
        };
        let flow = self.flows.get(&flow).ok_or(NoWay)?;
        flow.outgoing.try_send(bytes).map_err(|_| NoWay)
    }

    /// Forgets a connection that is over.
    pub(super) fn forget(&mut self, flow: FlowId) {
        let Some(gone) = self.flows.remove(&flow) else { return };
        match gone.maker {
            Maker::Peer => self.accepted -= 1,
            Maker::Ours => self.opened -= 1,
        }
        if self.by_peer.get(&gone.peer) == Some(&flow) {
            self.by_peer.remove(&gone.peer);
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// Lets what is queued leave, for a moment, and ends every connection.
    pub(super) async fn finish(mut self) {
        self.flows.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::debug!("connections are cut off with messages still queued");
        }
    }

    fn admit(&mut self, peer: SocketAddr, maker: Maker) -> Connection {
        let flow = FlowId(self.next);
        self.next += 1;
        let (outgoing, waiting) = mpsc::channel(self.limits.outgoing.max(1));
        self.flows.insert(flow, Flow { peer, outgoing, maker });
        self.by_peer.insert(peer, flow);
        match maker {
            Maker::Peer => self.accepted += 1,
            Maker::Ours => self.opened += 1,
        }
        Connection { flow, peer, outgoing: waiting, events: self.events.clone(), limits: self.limits }
    }
}
