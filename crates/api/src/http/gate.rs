//! The bytes of a connection on their way to the HTTP library: every one passes the scanner first. Hides the buffer
//! between the two; decides nothing.

use super::Limits;
use super::conduct::Conduct;
use super::scan::Scanner;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes read from the socket at a time.
const PIECE: usize = 16 * 1024;
/// Bytes thrown away at a time, and at most in one turn of the task, behind a head that was refused.
const DISCARDED_A_TURN: usize = 256 * 1024;

/// A stream behind its scanner.
pub(crate) struct Gate<S> {
    stream: S,
    scanner: Scanner,
    conduct: Arc<Conduct>,
    passed: Vec<u8>,
    /// How much of `passed` the library has.
    read: usize,
    side: Side,
}

/// How far the connection's end has come on our side.
#[derive(PartialEq)]
enum Side {
    /// We may still write.
    Open,
    /// We have said that nothing follows.
    Shut,
}

impl<S> Gate<S> {
    /// A gate before `stream`.
    pub(crate) fn new(stream: S, conduct: Arc<Conduct>, limits: &Limits) -> Self {
        Self { stream, scanner: Scanner::new(limits), conduct, passed: Vec::new(), read: 0, side: Side::Open }
    }

    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) {
        let waiting = self.passed.get(self.read..).unwrap_or_default();
        let length = waiting.len().min(buffer.remaining());
        buffer.put_slice(waiting.get(..length).unwrap_or_default());
        self.read += length;
        if self.read >= self.passed.len() {
            self.passed.clear();
            self.read = 0;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut discarded = 0;
        loop {
            if this.read < this.passed.len() {
                this.hand_over(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.conduct.is_upgraded() {
                return Pin::new(&mut this.stream).poll_read(context, buffer);
            }
            if this.scanner.is_broken() {
                return Poll::Ready(Ok(()));
            }
            if discarded > DISCARDED_A_TURN {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut piece = [0_u8; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                // Behind a flawed head the end of the stream must not overtake the answer.
                return if this.scanner.is_holding() { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            this.scanner.take(piece.filled(), &mut this.passed);
            this.conduct.saw(this.scanner.is_in_head(), this.scanner.flawed(), Instant::now());
            discarded += piece.filled().len();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.side == Side::Open {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.side = Side::Shut;
            this.conduct.closing(Instant::now());
        }
        // Closing a socket with unread bytes resets the connection, and the answer may be lost with it: what is left of a
        // request that was refused early is read first, for as long as the connection's conduct allows.
        while !this.scanner.is_at_rest() {
            let mut piece = [0_u8; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                break;
            }
            this.passed.clear();
            this.read = 0;
            this.scanner.take(piece.filled(), &mut this.passed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
