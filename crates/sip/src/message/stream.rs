//! Messages out of a byte stream (RFC 3261 section 18.3, RFC 5626 section 3.5.1).
//!
//! Hides buffering. Push octets as they come, pull items until there are none. Once framing is lost nothing after it is
//! ever read as a message: the owner of the connection must close it. It never waits and knows no clock; the owner closes
//! a connection on which [`StreamParser::is_mid_message`] stays true too long.

use super::Message;
use super::parse::{Head, Length, MAX_STREAM_MESSAGE, ParseError, ParseErrorKind, head_end};

/// The keepalive of RFC 5626 section 3.5.1.
const PING: &[u8] = b"\r\n\r\n";

/// What came out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamItem {
    /// A message.
    Message(Box<Message>),
    /// A double line end between messages: answer with one line end.
    Ping,
    /// A message that cannot be served; the stream goes on. Send the answer, if there is one.
    Refused(ParseError),
    /// Framing is lost. Send the answer, if there is one, and close. Nothing follows.
    Broken(ParseError),
}

/// Cuts one stream into messages.
#[derive(Debug, Default)]
pub struct StreamParser {
    buffer: Vec<u8>,
    /// Up to where the buffer was searched for the end of the headers.
    searched: usize,
    /// Headers that are complete, and where their body begins.
    head: Option<(Head, usize)>,
    broken: bool,
}

impl StreamParser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came. Pull items afterwards; what comes after framing is lost is not kept.
    pub fn push(&mut self, octets: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// The next item, or None until more octets come.
    pub fn pull(&mut self) -> Option<StreamItem> {
        if self.broken {
            return None;
        }
        if self.head.is_none() {
            if let Some(ping) = self.skip_line_ends() {
                return Some(ping);
            }
            if let Err(broken) = self.find_head()? {
                return Some(self.fail(broken));
            }
        }
        self.take_message()
    }

    /// Octets kept at the moment: never more than a message cap and one push.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether a message has begun and is not complete.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.buffer.iter().any(|b| !matches!(b, b'\r' | b'\n'))
    }

    /// Whether framing is lost.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Drops line ends between messages. Any number of pings at hand gets one answer.
    fn skip_line_ends(&mut self) -> Option<StreamItem> {
        let text_at = self.buffer.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(self.buffer.len());
        let line_ends = self.buffer.iter().take(text_at).filter(|b| **b == b'\n').count();
        let ping = line_ends >= 2;
        // A ping may be cut in two by the network: half of one at the end of what came is kept.
        if !ping && text_at == self.buffer.len() && text_at < PING.len() {
            return None;
        }
        self.buffer.drain(..text_at);
        ping.then_some(StreamItem::Ping)
    }

    /// Looks for the end of the headers. None: more octets are needed.
    fn find_head(&mut self) -> Option<Result<(), ParseError>> {
        if self.buffer.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            return None;
        }
        // The blank line may straddle two pushes, so the search steps back over what could be its beginning.
        let Some(end) = head_end(&self.buffer, self.searched.saturating_sub(3)) else {
            self.searched = self.buffer.len();
            return (self.buffer.len() > MAX_STREAM_MESSAGE).then(|| Err(ParseError::silent(ParseErrorKind::TooLarge)));
        };
        self.searched = 0;
        let head = Head::read(self.buffer.get(..end).unwrap_or(&[]));
        let fault = match (head.fault(), head.length) {
            (Some(kind), _) if kind.is_framing() => Some(kind),
            (_, Length::Absent | Length::Malformed) => Some(ParseErrorKind::ContentLength),
            (_, Length::Octets(length)) if length.saturating_add(end) > MAX_STREAM_MESSAGE => {
                Some(ParseErrorKind::TooLarge)
            }
            (_, Length::Octets(_)) => None,
        };
        if let Some(kind) = fault {
            return Some(Err(head.refuse(kind)));
        }
        self.head = Some((head, end));
        Some(Ok(()))
    }

    /// Cuts the message off once its body is there.
    fn take_message(&mut self) -> Option<StreamItem> {
        let (head, body_at) = self.head.take()?;
        let Length::Octets(length) = head.length else {
            return Some(self.fail(head.refuse(ParseErrorKind::ContentLength)));
        };
        let end = body_at.saturating_add(length);
        let Some(body) = self.buffer.get(body_at..end) else {
            self.head = Some((head, body_at));
            return None;
        };
        let read = head.finish(body);
        self.buffer.drain(..end);
        Some(match read {
            Ok(message) => StreamItem::Message(Box::new(message)),
            Err(error) => StreamItem::Refused(error),
        })
    }

    fn fail(&mut self, error: ParseError) -> StreamItem {
        self.broken = true;
        self.buffer = Vec::new();
        self.head = None;
        StreamItem::Broken(error)
    }
}
