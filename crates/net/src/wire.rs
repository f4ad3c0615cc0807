//! The network that datagrams go over: sockets of the system, or a network in memory that a simulation plays.
//! Hides which. Never looks into a datagram.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// Datagrams that wait for a slow reader in memory; beyond it they are dropped, as a full socket buffer does.
const INBOX: usize = 4096;

/// One datagram of a network in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Who is to have it.
    pub to: SocketAddr,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram({} to {}, {} bytes)", self.from, self.to, self.bytes.len())
    }
}

/// Takes what is sent into a network in memory. It decides what arrives, when and how often.
pub trait Air: Send + Sync {
    /// Takes one datagram, the moment it is sent.
    fn carry(&self, datagram: Datagram);
}

/// One end of a network in memory: an address, the way out and the way in. Clones are the same end.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    air: Arc<dyn Air>,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    waiting: Mutex<VecDeque<Datagram>>,
    came: Notify,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.address)
    }
}

impl Wire {
    /// An end at `address` that sends into `air`.
    pub fn new(address: SocketAddr, air: Arc<dyn Air>) -> Self {
        Self { address, air, inbox: Arc::default() }
    }

    /// Its address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a datagram before this end's reader. One that finds no room is dropped.
    pub fn deliver(&self, datagram: Datagram) {
        let mut waiting = self.waiting();
        if waiting.len() < INBOX {
            waiting.push_back(datagram);
            drop(waiting);
            self.inbox.came.notify_one();
        }
    }

    /// Sends from one of this end's ports.
    pub(crate) fn send_from(&self, port: u16, to: SocketAddr, bytes: &[u8]) {
        let from = SocketAddr::new(self.address.ip(), port);
        self.air.carry(Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// Waits until something has come. Safe to drop midway.
    pub(crate) async fn readable(&self) {
        while self.waiting().is_empty() {
            self.inbox.came.notified().await;
        }
    }

    /// The next datagram that has come.
    pub(crate) fn take(&self) -> Option<Datagram> {
        self.waiting().pop_front()
    }

    // A panic while the queue was locked cannot leave it half-changed: each critical section is one operation.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Datagram>> {
        self.inbox.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the datagrams of a SIP endpoint come from and go to.
pub(crate) enum Datagrams {
    /// The system's network.
    Socket(UdpSocket),
    /// A network in memory.
    Memory(Wire),
}

impl Datagrams {
    /// Its own address.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Socket(socket) => socket.local_addr(),
            Self::Memory(wire) => Ok(wire.address()),
        }
    }

    /// Waits until [`Datagrams::try_recv_from`] may give something. Safe to drop midway.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.readable().await,
            Self::Memory(wire) => {
                wire.readable().await;
                Ok(())
            }
        }
    }

    /// Waits until [`Datagrams::try_send_to`] may take something. Safe to drop midway.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Socket(socket) => socket.writable().await,
            Self::Memory(_) => Ok(()),
        }
    }

    /// The next datagram, cut to the buffer, and its sender.
    pub(crate) fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let wire = match self {
            Self::Socket(socket) => return socket.try_recv_from(buffer),
            Self::Memory(wire) => wire,
        };
        let datagram = wire.take().ok_or(ErrorKind::WouldBlock)?;
        let length = datagram.bytes.len().min(buffer.len());
        if let (Some(room), Some(bytes)) = (buffer.get_mut(..length), datagram.bytes.get(..length)) {
            room.copy_from_slice(bytes);
        }
        Ok((length, datagram.from))
    }

    /// Sends a datagram.
    pub(crate) fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_send_to(bytes, to),
            Self::Memory(wire) => {
                wire.send_from(wire.address.port(), to, bytes);
                Ok(bytes.len())
            }
        }
    }
}
