//! Server-sent events: a parser for the wire format and the loop that carries a vendor's events to the engine under
//! deadlines and back-pressure. Knows no vendor's JSON, and never buffers more than one bounded line and event.

use crate::{ErrorKind, ProviderError};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout_at};

/// Longest line and longest event, in bytes.
pub(crate) const MAX_EVENT: usize = 1024 * 1024;

/// How far an answer has come; says how long the next piece may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing of use has come.
    Silent,
    /// Something has.
    Speaking,
    /// All that matters has; only formalities are missing.
    Closing,
    /// Nothing more comes.
    Done,
}

/// What a vendor's file writes: a pure reader of its events.
pub(crate) trait SseReader: Send {
    /// What it makes of them.
    type Event: Send + 'static;
    /// Reads the data of one event.
    fn data(&mut self, data: &str, out: &mut Vec<Self::Event>) -> Result<(), ProviderError>;
    /// The body ended, or broke off after something was said.
    fn ended(&mut self, out: &mut Vec<Self::Event>) -> Result<(), ProviderError>;
    /// How far the answer has come.
    fn progress(&self) -> Progress;
}

/// Deadlines of one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// When the first useful piece must be there.
    pub(crate) first: Instant,
    /// Longest pause between two pieces.
    pub(crate) stall: Duration,
}

/// Carries `body` through `reader` into `events` until the answer is done, fails, or nobody listens.
pub(crate) async fn pump<S, R>(
    vendor: &str,
    mut body: S,
    reader: &mut R,
    deadlines: Deadlines,
    events: &Sender<Result<R::Event, ProviderError>>,
) -> Result<(), ProviderError>
where
    S: Stream<Item = Result<Bytes, ProviderError>> + Unpin,
    R: SseReader,
{
    let mut parser = SseParser::default();
    let mut heard = Instant::now();
    let mut out = Vec::new();
    while reader.progress() != Progress::Done {
        let limit = match reader.progress() {
            Progress::Silent => deadlines.first,
            Progress::Speaking => heard + deadlines.stall,
            Progress::Closing | Progress::Done => heard + deadlines.stall.min(CLOSING),
        };
        match timeout_at(limit, body.next()).await {
            Ok(Some(Ok(bytes))) => {
                for data in parser.push(&bytes).map_err(|TooLong| too_long(vendor))? {
                    reader.data(&data, &mut out)?;
                    if deliver(&mut out, events).await.is_err() {
                        return Ok(());
                    }
                    heard = Instant::now();
                }
            }
            Err(_) if reader.progress() == Progress::Silent => {
                return Err(ProviderError::new(vendor, ErrorKind::Timeout, "no first word in time"));
            }
            Err(_) if reader.progress() == Progress::Speaking => {
                return Err(ProviderError::new(vendor, ErrorKind::Timeout, "stopped in the middle"));
            }
            Ok(Some(Err(error))) if reader.progress() == Progress::Silent => return Err(error),
            Ok(None | Some(Err(_))) | Err(_) => {
                if let Some(data) = parser.finish() {
                    // The last event of a body that was cut may be half an event: it is then no part of the answer.
                    if let Err(error) = reader.data(&data, &mut out) {
                        tracing::debug!(vendor, %error, "half an event at the end is left out");
                    }
                }
                if reader.progress() != Progress::Done {
                    reader.ended(&mut out)?;
                }
                // Nobody listening is the same as done.
                drop(deliver(&mut out, events).await);
                return Ok(());
            }
        }
    }
    Ok(())
}

fn too_long(vendor: &str) -> ProviderError {
    ProviderError::new(vendor, ErrorKind::Protocol, format!("an event longer than {MAX_EVENT} bytes"))
}

struct Deaf;

async fn deliver<E>(out: &mut Vec<E>, events: &Sender<Result<E, ProviderError>>) -> Result<(), Deaf> {
    for event in out.drain(..) {
        events.send(Ok(event)).await.map_err(|_| Deaf)?;
    }
    Ok(())
}

/// A line or an event above [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Splits a body into the data of its events (WHATWG HTML, section 9.2.6). Bytes may be cut anywhere, also within a
/// character. Event names, ids and retry times are read over: the vendors put everything into the data.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
    begun: bool,
}

impl SseParser {
    /// Takes bytes; returns the data of the events that are complete with them.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, tail) = rest.split_at(end);
            self.extend(line)?;
            events.extend(self.end_of_line()?);
            rest = match tail {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.extend(rest)?;
        Ok(events)
    }

    /// The body has ended: what a vendor forgot to close with an empty line.
    pub(crate) fn finish(&mut self) -> Option<String> {
        // Too long is cut short here as any other half event: there is nothing to add to what was read.
        let last = self.end_of_line().ok().flatten();
        last.or_else(|| self.data.take())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > MAX_EVENT {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_of_line(&mut self) -> Result<Option<String>, TooLong> {
        let mut line = std::mem::take(&mut self.line);
        if !self.begun {
            self.begun = true;
            if line.starts_with("\u{feff}".as_bytes()) {
                line.drain(..3);
            }
        }
        if line.is_empty() {
            return Ok(self.data.take());
        }
        let Some(value) = line.strip_prefix(b"data").filter(|rest| rest.is_empty() || rest.starts_with(b":")) else {
            return Ok(None);
        };
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value)).into_owned();
        match &mut self.data {
            None => self.data = Some(value),
            Some(data) if data.len() + value.len() < MAX_EVENT => {
                data.push('\n');
                data.push_str(&value);
            }
            Some(_) => return Err(TooLong),
        }
        Ok(None)
    }
}

/// Formalities after the answer's last word are not waited for longer than this.
const CLOSING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::sync::mpsc;

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut events: Vec<String> = pieces.iter().flat_map(|piece| parser.push(piece).expect("short")).collect();
        events.extend(parser.finish());
        events
    }

    #[test]
    fn every_cut_gives_the_same_events() {
        let body = "\u{feff}: hello\r\ndata: {\"a\":\"\u{e9}\u{4f60}\u{1f600}\"}\r\n\r\nevent: x\rdata:one\rdata: two\r\rid: 1\n\ndata: last";
        let wanted = vec!["{\"a\":\"\u{e9}\u{4f60}\u{1f600}\"}", "one\ntwo", "last"];
        assert_eq!(events(&[body.as_bytes()]), wanted);
        for cut in 0..body.len() {
            let (a, b) = body.as_bytes().split_at(cut);
            assert_eq!(events(&[a, b]), wanted, "cut at {cut}");
        }
        let single: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(events(&single), wanted);
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; MAX_EVENT / 2 + 1];
        assert_eq!(parser.push(&piece), Ok(vec![]));
        assert_eq!(parser.push(&piece), Err(TooLong));
        let mut parser = SseParser::default();
        let line = [b"data: ".as_slice(), &vec![b'x'; MAX_EVENT / 2], b"\n"].concat();
        assert_eq!(parser.push(&line), Ok(vec![]));
        assert_eq!(parser.push(&line), Err(TooLong));
    }

    /// Echoes data; `.` ends the answer, `!` is garbage, `~` leaves only formalities.
    struct Echo(Progress);

    impl SseReader for Echo {
        type Event = String;
        fn data(&mut self, data: &str, out: &mut Vec<String>) -> Result<(), ProviderError> {
            match data {
                "." => self.0 = Progress::Done,
                "~" => self.0 = Progress::Closing,
                "!" => return Err(ProviderError::new("echo", ErrorKind::Protocol, "garbage")),
                _ => {
                    self.0 = Progress::Speaking;
                    out.push(data.to_owned());
                }
            }
            Ok(())
        }
        fn ended(&mut self, out: &mut Vec<String>) -> Result<(), ProviderError> {
            out.push("(ended)".to_owned());
            Ok(())
        }
        fn progress(&self) -> Progress {
            self.0
        }
    }

    enum Tail {
        Hang,
        End,
        Break,
    }

    async fn pumped(pieces: &[&'static str], tail: Tail) -> (Vec<String>, Result<(), ErrorKind>, Duration) {
        let (tx, mut rx) = mpsc::channel(64);
        let lost = ProviderError::new("echo", ErrorKind::Unreachable, "lost");
        let head =
            stream::iter(pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect::<Vec<_>>());
        let body = match tail {
            Tail::Hang => head.chain(stream::pending()).boxed(),
            Tail::End => head.boxed(),
            Tail::Break => head.chain(stream::iter([Err(lost)])).boxed(),
        };
        let begun = Instant::now();
        let deadlines = Deadlines { first: begun + Duration::from_secs(5), stall: Duration::from_secs(3) };
        let result = pump("echo", body, &mut Echo(Progress::Silent), deadlines, &tx).await;
        drop(tx);
        let mut heard = Vec::new();
        while let Some(event) = rx.recv().await {
            heard.push(event.expect("pump returns errors"));
        }
        (heard, result.map_err(|error| error.kind), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_and_ends() {
        let s = Duration::from_secs;
        let heard = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(pumped(&["data: a\n\ndata: .\n\n"], Tail::Hang).await, (heard(&["a"]), Ok(()), s(0)));
        assert_eq!(pumped(&[": ping\n\n"], Tail::Hang).await, (heard(&[]), Err(ErrorKind::Timeout), s(5)));
        assert_eq!(pumped(&["data: a\n\n", ": x\n"], Tail::Hang).await, (heard(&["a"]), Err(ErrorKind::Timeout), s(3)));
        assert_eq!(pumped(&["data: a\n\ndata: ~\n\n"], Tail::Hang).await, (heard(&["a", "(ended)"]), Ok(()), s(1)));
        assert_eq!(pumped(&["data: a\n\n"], Tail::End).await, (heard(&["a", "(ended)"]), Ok(()), s(0)));
        assert_eq!(pumped(&["data: a\n\ndata: !"], Tail::Break).await, (heard(&["a", "(ended)"]), Ok(()), s(0)));
        assert_eq!(pumped(&["data"], Tail::Break).await, (heard(&[]), Err(ErrorKind::Unreachable), s(0)));
        assert_eq!(
            pumped(&["data: a\n\ndata: !\n\n"], Tail::End).await,
            (heard(&["a"]), Err(ErrorKind::Protocol), s(0))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_listener_is_no_stall() {
        let (tx, mut rx) = mpsc::channel(1);
        let pieces = ["data: a\n\n", "data: b\n\n", "data: c\n\n", "data: .\n\n"];
        let body = stream::iter(pieces.map(|piece| Ok(Bytes::from_static(piece.as_bytes()))));
        let deadlines = Deadlines { first: Instant::now() + Duration::from_secs(5), stall: Duration::from_secs(3) };
        let pumping =
            tokio::spawn(async move { pump("echo", body, &mut Echo(Progress::Silent), deadlines, &tx).await });
        let mut heard = 0;
        while let Some(event) = rx.recv().await {
            event.expect("no error");
            heard += 1;
            tokio::time::advance(Duration::from_secs(20)).await;
        }
        assert_eq!((heard, pumping.await.expect("joined")), (3, Ok(())));
    }
}
