//! What becomes of a connection for which there is no room: it is told so at once, instead of waiting until its client
//! gives up. Hides the spare file descriptor that makes this possible when the process has no other left.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// What is said. The request is not read, so its dialect is not known; every client knows this status.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\n\
Content-Length: 98\r\nConnection: close\r\n\r\n\
{\"error\":{\"code\":\"busy\",\"message\":\"The server has too many connections; try again in a second.\"}}\n";
/// Connections that are being told at once; one more is closed without a word.
const TOLD_AT_ONCE: usize = 64;
/// How long one of them may take to hear it. A connection closed with something unread would lose the answer on its way.
const HEARING: Duration = Duration::from_millis(500);
/// The same while no other descriptor is left: everybody else waits meanwhile.
const HEARING_LAST: Duration = Duration::from_millis(50);
/// "Too many open files" of the process and of the system, on all systems we run on.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Turns connections away.
pub(crate) struct Crowd {
    told: Arc<Semaphore>,
    /// A descriptor to give up when there is no other.
    spare: Option<TcpSocket>,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        Self { told: Arc::new(Semaphore::new(TOLD_AT_ONCE)), spare: spare() }
    }

    /// Tells a connection that there is no place for it. Does not wait for it to listen.
    pub(crate) fn turn_away(&self, stream: TcpStream, tasks: &TaskTracker) {
        count();
        let Ok(place) = Arc::clone(&self.told).try_acquire_owned() else { return };
        tasks.spawn(async move {
            tell(stream, HEARING).await;
            drop(place);
        });
    }

    /// After an accept that failed: takes one connection with the spare descriptor and turns it away.
    pub(crate) async fn without_descriptors(&mut self, listener: &TcpListener, error: &io::Error) {
        if !matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
            warn!(%error, "a connection could not be accepted");
            return tokio::time::sleep(HEARING_LAST).await;
        }
        if self.spare.take().is_some() {
            match timeout(HEARING_LAST, listener.accept()).await {
                Ok(Ok((stream, _))) => {
                    count();
                    tell(stream, HEARING_LAST).await;
                }
                // Somebody else took the descriptor, or the client left.
                Ok(Err(_)) | Err(_) => tokio::time::sleep(HEARING_LAST).await,
            }
        } else {
            tokio::time::sleep(HEARING_LAST).await;
        }
        self.spare = spare();
    }
}

fn count() {
    metrics::counter!("callwright_http_turned_away_total").increment(1);
}

/// None: there is none to be had now; it is tried again after the next refusal.
fn spare() -> Option<TcpSocket> {
    match TcpSocket::new_v4() {
        Ok(socket) => Some(socket),
        Err(error) => {
            debug!(%error, "no spare descriptor");
            None
        }
    }
}

async fn tell(mut stream: TcpStream, patience: Duration) {
    let telling = async {
        stream.write_all(NO_ROOM).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    match timeout(patience, telling).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection left before it was turned away"),
        Err(_) => debug!("a connection that was turned away stayed"),
    }
}

#[cfg(test)]
mod tests {
    use super::NO_ROOM;

    #[test]
    fn the_length_is_that_of_the_body() {
        let text = std::str::from_utf8(NO_ROOM).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    }
}
