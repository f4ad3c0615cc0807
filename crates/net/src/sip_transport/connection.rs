//! One TCP connection: bytes to messages and back. Hides framing, keepalives and patience. Never looks into a message.

use super::StreamLimits;
use callwright_sip::message::Message;
use callwright_sip::{FlowId, StreamItem, StreamParser};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes read at a time; also most of what an idle connection costs.
const READ: usize = 4096;
/// How long a connection with lost framing may linger for the answer to leave.
const LINGER: Duration = Duration::from_secs(1);
/// The answer to a keepalive (RFC 5626 section 3.5.1).
const PONG: &[u8] = b"\r\n";

/// What a connection tells the endpoint.
pub(super) enum StreamEvent {
    /// A message came.
    Message { flow: FlowId, peer: SocketAddr, message: Box<Message> },
    /// Something came that cannot be served; this would be the answer.
    Refused { flow: FlowId, peer: SocketAddr, answer: Vec<u8> },
    /// The connection is over. The last event.
    Closed { flow: FlowId, peer: SocketAddr, end: End },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was up once.
    Closed,
    /// What was to be sent did not arrive: it never came up, or broke while writing.
    Failed,
}

/// One connection, known to the endpoint by its flow.
pub(super) struct Connection {
    pub(super) flow: FlowId,
    pub(super) peer: SocketAddr,
    pub(super) outgoing: mpsc::Receiver<Vec<u8>>,
    pub(super) events: mpsc::Sender<StreamEvent>,
    pub(super) limits: StreamLimits,
}

impl Connection {
    /// Connects, then serves the connection to its end.
    pub(super) async fn open(mut self) {
        let end = match timeout(self.limits.connect, TcpStream::connect(self.peer)).await {
            Ok(Ok(stream)) => self.converse(stream).await,
            Ok(Err(error)) => {
                tracing::info!(peer = %self.peer, %error, "cannot connect");
                End::Failed
            }
            Err(_) => {
                tracing::info!(peer = %self.peer, "connecting took too long");
                End::Failed
            }
        };
        self.tell(StreamEvent::Closed { flow: self.flow, peer: self.peer, end }).await;
    }

    /// Serves an accepted connection to its end.
    pub(super) async fn serve(mut self, stream: TcpStream) {
        let end = self.converse(stream).await;
        self.tell(StreamEvent::Closed { flow: self.flow, peer: self.peer, end }).await;
    }

    async fn converse(&mut self, mut stream: TcpStream) -> End {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "small messages may be delayed");
        }
        let (mut reader, mut writer) = stream.split();
        let mut parser = StreamParser::new();
        let mut buffer = vec![0; READ];
        let mut moved = Instant::now();
        let mut begun: Option<Instant> = None;
        loop {
            let patience = begun.map_or(moved + self.limits.idle, |begun| begun + self.limits.message);
            tokio::select! {
                read = reader.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(length) => {
                        moved = Instant::now();
                        parser.push(buffer.get(..length).unwrap_or_default());
                        match self.pull(&mut parser, &mut writer).await {
                            Pulled::Nothing => {}
                            Pulled::Something => begun = None,
                            Pulled::Broken => return self.linger(&mut writer).await,
                        }
                        begun = parser.is_mid_message().then(|| begun.unwrap_or(moved));
                    }
                },
                message = self.outgoing.recv() => match message {
                    None => return End::Closed,
                    Some(message) => {
                        moved = Instant::now();
                        if write(&mut writer, &message, self.limits.message).await.is_err() {
                            return End::Failed;
                        }
                    }
                },
                () = sleep_until(patience) => return End::Closed,
            }
        }
    }

    /// Passes on what is complete.
    async fn pull(&self, parser: &mut StreamParser, writer: &mut WriteHalf<'_>) -> Pulled {
        let (flow, peer) = (self.flow, self.peer);
        let mut pulled = Pulled::Nothing;
        while let Some(item) = parser.pull() {
            pulled = Pulled::Something;
            let refused = match item {
                StreamItem::Message(message) => {
                    self.tell(StreamEvent::Message { flow, peer, message }).await;
                    continue;
                }
                StreamItem::Ping => {
                    if write(writer, PONG, self.limits.message).await.is_err() {
                        return Pulled::Broken;
                    }
                    continue;
                }
                StreamItem::Refused(error) => error,
                StreamItem::Broken(error) => {
                    pulled = Pulled::Broken;
                    error
                }
            };
            tracing::debug!(%peer, error = %refused.kind, "a message cannot be served");
            if let Some(answer) = refused.answer {
                self.tell(StreamEvent::Refused { flow, peer, answer: answer.to_bytes() }).await;
            }
            if matches!(pulled, Pulled::Broken) {
                break;
            }
        }
        pulled
    }

    /// Framing is lost: nothing is read any more; the answer, if one comes, goes out before the end.
    async fn linger(&mut self, writer: &mut WriteHalf<'_>) -> End {
        if let Ok(Some(answer)) = timeout(LINGER, self.outgoing.recv()).await
            && let Err(error) = write(writer, &answer, LINGER).await
        {
            tracing::debug!(%error, "the peer did not wait for its answer");
        }
        End::Closed
    }

    async fn tell(&self, event: StreamEvent) {
        if self.events.send(event).await.is_err() {
            tracing::trace!("the endpoint has stopped");
        }
    }
}

/// What came out of the bytes at hand.
enum Pulled {
    Nothing,
    Something,
    Broken,
}

async fn write(writer: &mut WriteHalf<'_>, bytes: &[u8], patience: Duration) -> io::Result<()> {
    timeout(patience, writer.write_all(bytes)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
