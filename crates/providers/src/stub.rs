//! A vendor for tests on a loopback port of its own: answers each HTTP request with the next of its prepared replies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A piece of a reply.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// These bytes.
    Send(Vec<u8>),
    /// Nothing more, but the connection stays.
    Hang,
    /// The connection is closed.
    Close,
}

/// The vendor. It ends with the test's runtime.
pub(crate) struct Stub {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
    replies: VecDeque<Vec<Piece>>,
}

impl Stub {
    /// Listens; without a reply left it closes the connection.
    pub(crate) async fn start(replies: impl IntoIterator<Item = Vec<Piece>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Seen { replies: replies.into_iter().collect(), ..Seen::default() }));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                shared.lock().expect("no panic").connections += 1;
                tokio::spawn(serve(socket, Arc::clone(&shared)));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("no panic").connections
    }

    /// Heads and bodies, as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").requests.clone()
    }
}

async fn serve(mut socket: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut socket, &mut buffer).await {
        let reply = {
            let mut seen = seen.lock().expect("no panic");
            seen.requests.push(request);
            seen.replies.pop_front().unwrap_or_else(|| vec![Piece::Close])
        };
        for piece in reply {
            match piece {
                Piece::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Piece::Hang => std::future::pending().await,
                Piece::Close => return,
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
            if buffer.len() >= end + 4 + length {
                let request = buffer.drain(..end + 4 + length).collect::<Vec<u8>>();
                return Some(String::from_utf8(request).expect("UTF-8"));
            }
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole reply.
pub(crate) fn reply(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<Piece> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    vec![Piece::Send([head.as_bytes(), body].concat())]
}

/// The beginning of a reply that comes in chunks, with the pieces of its body; what follows is up to the test.
pub(crate) fn chunked(kind: &str, pieces: &[&[u8]]) -> Vec<Piece> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = |piece: &&[u8]| Piece::Send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    [Piece::Send(head.into_bytes())].into_iter().chain(pieces.iter().map(chunk)).collect()
}

/// The end of a reply that came in chunks.
pub(crate) fn last_chunk() -> Piece {
    Piece::Send(b"0\r\n\r\n".to_vec())
}
