//! A synthesiser behind HTTP, of the kind that users bring with their calls: hums each phrase as a WAV file. Keeps what it
//! was asked. Never checks a key.

use crate::tone;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Samples a second of its files: none of a telephone's, so that they must be converted.
const RATE: u32 = 24_000;

/// The synthesiser. It ends with the test's runtime.
pub struct HttpVoice {
    address: SocketAddr,
    asked: Asked,
}

/// Requests, each with its head and its body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

impl HttpVoice {
    /// Starts it in the runtime of whoever asks; it hums this long for each character.
    pub async fn start(per_character: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let asked = Asked::default();
        let shared = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), per_character));
            }
        });
        Self { address, asked }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/say", self.address)
    }

    /// Heads and bodies of all requests so far.
    pub fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, asked: Asked, per_character: Duration) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await {
        let characters = body["Text"].as_str().unwrap_or_default().chars().count();
        let length = per_character * u32::try_from(characters).unwrap_or(u32::MAX);
        asked.lock().unwrap_or_else(PoisonError::into_inner).push((head, body));
        let file = wav(&tone(length, RATE));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: {}\r\n\r\n", file.len());
        if stream.write_all(&[head.as_bytes(), &file].concat()).await.is_err() {
            return;
        }
    }
}

/// The next request of a connection.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Value)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
            if buffer.len() >= end + 4 + length {
                let body = serde_json::from_slice(&buffer[end + 4..end + 4 + length]).unwrap_or_default();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A WAV file of one channel.
fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(RATE.to_le_bytes());
    file.extend((2 * RATE).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(length.to_le_bytes());
    file.extend(bytes);
    file
}
