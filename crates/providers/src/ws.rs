//! The runner of recognisers that speak WebSocket: connects while audio is kept, sends, receives, keeps the line
//! alive, reconnects once, and ends in order. What the frames mean is the vendor file's business.

use crate::asr::kept::KeptAudio;
use crate::asr::{AsrInput, AsrStream};
use crate::http::{masked, retry_after, status_of};
use crate::{ErrorKind, ProviderError, Running};
use callwright_conversation::vocabulary::AsrEvent;
use callwright_domain::pii::Pii;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

/// A frame, as vendor files see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WsFrame {
    /// UTF-8.
    Text(String),
    /// Anything.
    Binary(Vec<u8>),
}

/// Where and how to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// `ws://` or `wss://`, with its query.
    pub(crate) url: String,
    /// Sent beside the usual ones.
    pub(crate) headers: Vec<(&'static str, Pii<String>)>,
}

/// What a vendor's file writes: pure functions between audio, frames and events.
pub(crate) trait WsAsr: Send + Sync + 'static {
    /// Where and how to connect.
    fn handshake(&self) -> Handshake;
    /// The frame for a piece of audio.
    fn audio(&mut self, pcm: &[i16]) -> WsFrame;
    /// The frame that says: no more audio comes, say what is left.
    fn finish(&mut self) -> WsFrame;
    /// The frame that asks to make the words final, where the vendor has one.
    fn settle(&mut self) -> Option<WsFrame> {
        None
    }
    /// The frame that keeps a silent line open, where the vendor needs one.
    fn keep_alive(&mut self) -> Option<WsFrame> {
        None
    }
    /// Reads a frame.
    fn receive(&mut self, frame: WsFrame, out: &mut Vec<AsrEvent>) -> Result<(), ProviderError>;
}

/// What the runner must know of a vendor.
#[derive(Debug, Clone)]
pub(crate) struct WsVendor {
    /// Its configured name.
    pub(crate) name: String,
    /// Samples a second.
    pub(crate) rate: u32,
    /// Longest wait for a connection.
    pub(crate) connect: Duration,
    /// Masked in errors.
    pub(crate) key: Pii<String>,
}

/// Starts `vendor`'s stream.
pub(crate) fn start(about: WsVendor, vendor: impl WsAsr) -> AsrStream {
    let (input, inputs) = mpsc::channel(INPUTS);
    let (events, heard) = mpsc::channel(EVENTS);
    let kept = KeptAudio::new(about.rate);
    let line = Line { about, vendor, inputs, events, kept, open: true, stopped: false };
    AsrStream { input, events: heard, running: Running::spawn(line.run()) }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Sender = SplitSink<Socket, Message>;

struct Line<V> {
    about: WsVendor,
    vendor: V,
    inputs: mpsc::Receiver<AsrInput>,
    events: mpsc::Sender<Result<AsrEvent, ProviderError>>,
    kept: KeptAudio,
    /// More audio may come.
    open: bool,
    /// Speech stopped while there was no connection to say so on.
    stopped: bool,
}

impl<V: WsAsr> Line<V> {
    async fn run(mut self) {
        let mut fresh = true;
        loop {
            let begun = Instant::now();
            let end = match self.connect().await {
                Ok(socket) => self.converse(socket).await,
                Err(error) => Err(error),
            };
            let Err(error) = end else { return };
            fresh = fresh || begun.elapsed() > SETTLED;
            if !fresh || !matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Internal) {
                // Nobody listening is no reason to go on either.
                drop(self.events.send(Err(error)).await);
                return;
            }
            tracing::info!(vendor = %self.about.name, %error, "connecting once more");
            fresh = false;
            self.pause().await;
        }
    }

    async fn pause(&mut self) {
        let pause = sleep(RECONNECT_PAUSE);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                input = self.inputs.recv(), if self.open => self.keep(input),
            }
        }
    }

    fn keep(&mut self, input: Option<AsrInput>) {
        match input {
            Some(AsrInput::Audio(pcm)) => self.kept.push(&pcm),
            Some(AsrInput::SpeechStarted) => self.stopped = false,
            Some(AsrInput::SpeechStopped) => self.stopped = true,
            None => self.open = false,
        }
    }

    async fn connect(&mut self) -> Result<Socket, ProviderError> {
        let request = self.request()?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .read_buffer_size(READ_BUFFER);
        let connecting = timeout(self.about.connect, connect_async_with_config(request, Some(limits), true));
        tokio::pin!(connecting);
        let connected = loop {
            tokio::select! {
                connected = &mut connecting => break connected,
                input = self.inputs.recv(), if self.open => self.keep(input),
            }
        };
        match connected {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(error)) => Err(self.failure(error)),
            Err(_) => Err(self.error(ErrorKind::Timeout, "no connection in time")),
        }
    }

    fn request(&self) -> Result<Request, ProviderError> {
        let handshake = self.vendor.handshake();
        let mut request = handshake
            .url
            .into_client_request()
            .map_err(|_| self.error(ErrorKind::Rejected, "the url cannot be used"))?;
        for (name, value) in handshake.headers {
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| self.error(ErrorKind::Rejected, format!("bad value of header {name:?}")))?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        Ok(request)
    }

    async fn converse(&mut self, socket: Socket) -> Result<(), ProviderError> {
        let (mut sender, mut receiver) = socket.split();
        for piece in self.kept.to_vec().chunks(self.piece()) {
            let frame = self.vendor.audio(piece);
            self.send(&mut sender, message(frame)).await?;
        }
        if std::mem::take(&mut self.stopped) {
            self.settle(&mut sender).await?;
        }
        let mut times = Times::now();
        if !self.open {
            self.say_goodbye(&mut sender).await?;
            times.closed = Some(Instant::now());
        }
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                input = self.inputs.recv(), if self.open => {
                    times.sent = Instant::now();
                    self.carry(input, &mut sender).await?;
                    times.closed = (!self.open).then(Instant::now);
                }
                frame = receiver.next() => {
                    times.heard = Instant::now();
                    if self.hear(frame).await? {
                        return Ok(());
                    }
                }
                _ = ticks.tick() => {
                    if self.tick(&mut times, &mut sender).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Samples in a tenth of a second: pieces in which kept audio is sent.
    const fn piece(&self) -> usize {
        let tenth = self.about.rate as usize / 10;
        if tenth == 0 { 1 } else { tenth }
    }

    async fn carry(&mut self, input: Option<AsrInput>, sender: &mut Sender) -> Result<(), ProviderError> {
        match input {
            Some(AsrInput::Audio(pcm)) => {
                self.kept.push(&pcm);
                let frame = self.vendor.audio(&pcm);
                self.send(sender, message(frame)).await
            }
            Some(AsrInput::SpeechStarted) => Ok(()),
            Some(AsrInput::SpeechStopped) => self.settle(sender).await,
            None => {
                self.open = false;
                self.say_goodbye(sender).await
            }
        }
    }

    async fn settle(&mut self, sender: &mut Sender) -> Result<(), ProviderError> {
        match self.vendor.settle() {
            Some(frame) => self.send(sender, message(frame)).await,
            None => Ok(()),
        }
    }

    async fn say_goodbye(&mut self, sender: &mut Sender) -> Result<(), ProviderError> {
        let frame = self.vendor.finish();
        self.send(sender, message(frame)).await
    }

    async fn send(&self, sender: &mut Sender, message: Message) -> Result<(), ProviderError> {
        match timeout(SEND_WAIT, sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.failure(error)),
            Err(_) => Err(self.error(ErrorKind::Unreachable, "it takes no more audio")),
        }
    }

    /// Reads one frame; true when the stream has ended in order.
    async fn hear(&mut self, frame: Option<Result<Message, WsError>>) -> Result<bool, ProviderError> {
        let frame = match frame {
            Some(Ok(Message::Text(text))) => WsFrame::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => WsFrame::Binary(bytes.to_vec()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return Ok(false),
            // After our goodbye every end is a good one.
            None | Some(Err(_) | Ok(Message::Close(_))) if !self.open => return Ok(true),
            None => return Err(self.error(ErrorKind::Unreachable, "connection lost")),
            Some(Err(error)) => return Err(self.failure(error)),
            Some(Ok(Message::Close(close))) => {
                let why = close.map(|close| format!(" ({}: {})", u16::from(close.code), close.reason.as_str()));
                let detail = format!("it closed the line{}", why.unwrap_or_default());
                return Err(self.error(ErrorKind::Unreachable, masked(&detail, &self.about.key)));
            }
        };
        let mut out = Vec::new();
        let read = self.vendor.receive(frame, &mut out);
        for event in out {
            if matches!(event, AsrEvent::Final { .. }) {
                self.kept.settle();
            }
            if self.events.send(Ok(event)).await.is_err() {
                return Ok(true);
            }
        }
        read.map(|()| false)
    }

    /// Looks after silent lines; true when the vendor had long enough to say its last words.
    async fn tick(&mut self, times: &mut Times, sender: &mut Sender) -> Result<bool, ProviderError> {
        if times.closed.is_some_and(|closed| closed.elapsed() >= LAST_WORDS) {
            return Ok(true);
        }
        if times.heard.elapsed() >= DEAF {
            return Err(self.error(ErrorKind::Unreachable, "no sign of life"));
        }
        if times.pinged.elapsed() >= PING_EVERY {
            times.pinged = Instant::now();
            self.send(sender, Message::Ping(bytes::Bytes::new())).await?;
        }
        if self.open && times.sent.elapsed() >= KEEP_ALIVE_AFTER {
            times.sent = Instant::now();
            if let Some(frame) = self.vendor.keep_alive() {
                self.send(sender, message(frame)).await?;
            }
        }
        Ok(false)
    }

    fn error(&self, kind: ErrorKind, detail: impl Into<String>) -> ProviderError {
        ProviderError::new(&self.about.name, kind, detail)
    }

    fn failure(&self, error: WsError) -> ProviderError {
        match error {
            WsError::Http(response) => {
                let status = response.status();
                let mut error = self.error(status_of(status), format!("HTTP {}", status.as_u16()));
                error.retry_after = retry_after(response.headers(), error.kind);
                error
            }
            WsError::Url(_) => self.error(ErrorKind::Rejected, "the url cannot be used"),
            WsError::Capacity(_) => self.error(ErrorKind::Protocol, "a message that is too long"),
            WsError::Utf8(_) => self.error(ErrorKind::Protocol, "text that is not UTF-8"),
            // A connection torn in the middle also arrives as a protocol error; to the call it is a lost line.
            other => self.error(ErrorKind::Unreachable, masked(&format!("connection lost: {other}"), &self.about.key)),
        }
    }
}

struct Times {
    sent: Instant,
    heard: Instant,
    pinged: Instant,
    closed: Option<Instant>,
}

impl Times {
    fn now() -> Self {
        let now = Instant::now();
        Self { sent: now, heard: now, pinged: now, closed: None }
    }
}

fn message(frame: WsFrame) -> Message {
    match frame {
        WsFrame::Text(text) => Message::text(text),
        WsFrame::Binary(bytes) => Message::binary(bytes),
    }
}

/// About a second of audio in pieces of 20 ms; when full, the engine drops the oldest.
const INPUTS: usize = 250;
const EVENTS: usize = 64;
const MAX_MESSAGE: usize = 1024 * 1024;
/// Events are short. The buffer is cleared before each read and kept for the whole call, so its size costs twice.
const READ_BUFFER: usize = 4 * 1024;
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// A connection that held this long earns another attempt.
const SETTLED: Duration = Duration::from_secs(10);
const SEND_WAIT: Duration = Duration::from_secs(3);
const LAST_WORDS: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(500);
const PING_EVERY: Duration = Duration::from_secs(4);
/// Three unanswered pings.
const DEAF: Duration = Duration::from_secs(12);
/// The vendors close a line after ten seconds without audio.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(4);
