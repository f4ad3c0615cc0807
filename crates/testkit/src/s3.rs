//! An object store that speaks as much S3 as recordings need: objects whole and in ranges, uploads in parts, deletes.
//! Refuses what is not signed with its key, and fails as a test says. Never checks the signature's value, and keeps
//! everything in memory.

use crate::PATIENCE;
use callwright_domain::Pii;
use callwright_store::{Addressing, RemoteSettings};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// The bucket that is there.
const BUCKET: &str = "recordings";
/// The key that it takes.
const ACCESS_KEY: &str = "AKIDCALLWRIGHT";
/// Longest head of a request.
const HEAD_MAX: usize = 16 * 1024;

/// How the store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Fault {
    /// It does not.
    None,
    /// 503 to everything.
    Away,
    /// 503 to so many requests, then none.
    Requests(u32),
    /// Connections are closed in the middle of an answer or a request.
    Breaks,
    /// 400 to everything, with the request's own words and both keys in the answer.
    Tells,
}

/// A request as it came: method, path, query.
pub type S3Asked = (String, String, String);

#[derive(Default)]
struct Shelf {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    asked: Vec<S3Asked>,
}

/// The store. It ends with its last clone.
#[derive(Clone)]
pub struct FakeS3 {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    fault: Arc<Mutex<S3Fault>>,
    /// Counts answers.
    answered: watch::Sender<u64>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Reply(u16, Vec<(&'static str, String)>, Vec<u8>);

impl FakeS3 {
    /// Starts it in the runtime of whoever asks.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let fault = Arc::new(Mutex::new(S3Fault::None));
        let store = Self { address, shelf: Arc::default(), fault, answered: watch::channel(0).0 };
        let serving = store.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let store = serving.clone();
                tokio::spawn(async move { store.serve(stream).await });
            }
        });
        store
    }

    /// What a node needs to use it; names begin with `calls/`.
    pub fn settings(&self) -> RemoteSettings {
        RemoteSettings {
            endpoint: format!("http://{}", self.address),
            bucket: String::from(BUCKET),
            region: String::from("eu-test-1"),
            access_key: Pii::new(String::from(ACCESS_KEY)),
            secret_key: Pii::new(String::from("hunter2hunter2hunter2")),
            prefix: String::from("calls/"),
            addressing: Addressing::Path,
        }
    }

    /// From now on it fails so.
    pub fn fail(&self, fault: S3Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// An object's bytes.
    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.shelf().objects.get(name).cloned()
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<S3Asked> {
        self.shelf().asked.clone()
    }

    /// Waits until `done` says so of what was asked for; it is asked again after every answer.
    pub async fn wait_for(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let mut answered = self.answered.subscribe();
        let waiting = async {
            while !done(self) {
                answered.changed().await.expect("it serves");
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.asked()));
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, mut stream: TcpStream) {
        while let Some(request) = read(&mut stream).await {
            let asked = (request.method.clone(), request.path.clone(), request.query.clone());
            self.shelf().asked.push(asked);
            let fault = self.next_fault();
            let reply = match fault {
                S3Fault::Away | S3Fault::Requests(_) => Some(Reply(503, Vec::new(), b"<Error/>".to_vec())),
                S3Fault::Breaks => None,
                S3Fault::Tells => Some(Reply(400, Vec::new(), telling(&request, &self.settings()))),
                S3Fault::None => Some(self.answer(&request)),
            };
            let told = match &reply {
                Some(reply) => stream.write_all(&rendered(reply, &request.method)).await.is_ok(),
                None => false,
            };
            self.answered.send_modify(|count| *count += 1);
            if !told {
                return;
            }
        }
    }

    fn next_fault(&self) -> S3Fault {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *fault;
        if let S3Fault::Requests(left) = now {
            *fault = if left > 1 { S3Fault::Requests(left - 1) } else { S3Fault::None };
        }
        now
    }

    fn answer(&self, request: &Request) -> Reply {
        if !is_signed(request) {
            return Reply(403, Vec::new(), b"<Error><Code>AccessDenied</Code></Error>".to_vec());
        }
        let bucket = format!("/{BUCKET}/");
        let Some(name) = request.path.strip_prefix(&bucket) else {
            return Reply(404, Vec::new(), b"<Error><Code>NoSuchBucket</Code></Error>".to_vec());
        };
        match request.method.as_str() {
            "PUT" => self.put(name, request),
            "POST" => self.post(name, request),
            "GET" | "HEAD" => self.get(name, request),
            "DELETE" if request.query.contains("uploadId=") => {
                self.shelf().uploads.remove(name);
                Reply(204, Vec::new(), Vec::new())
            }
            "DELETE" => {
                self.shelf().objects.remove(name);
                Reply(204, Vec::new(), Vec::new())
            }
            other => panic!("recordings do not need {other}"),
        }
    }

    fn put(&self, name: &str, request: &Request) -> Reply {
        let part = request.query.split('&').find_map(|pair| pair.strip_prefix("partNumber=")?.parse().ok());
        let mut shelf = self.shelf();
        match part {
            Some(part) => {
                shelf.uploads.entry(name.to_owned()).or_default().insert(part, request.body.clone());
            }
            None => {
                shelf.objects.insert(name.to_owned(), request.body.clone());
            }
        }
        Reply(200, vec![("ETag", String::from("\"etag\""))], Vec::new())
    }

    /// An upload in parts begins, or ends.
    fn post(&self, name: &str, request: &Request) -> Reply {
        let mut shelf = self.shelf();
        if request.query.contains("uploadId=") {
            let parts = shelf.uploads.remove(name).unwrap_or_default();
            shelf.objects.insert(name.to_owned(), parts.into_values().collect::<Vec<_>>().concat());
            let done = "<CompleteMultipartUploadResult><ETag>\"etag\"</ETag></CompleteMultipartUploadResult>";
            return Reply(200, Vec::new(), done.into());
        }
        shelf.uploads.insert(name.to_owned(), BTreeMap::new());
        let begun = "<InitiateMultipartUploadResult><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>";
        Reply(200, Vec::new(), begun.into())
    }

    fn get(&self, name: &str, request: &Request) -> Reply {
        let shelf = self.shelf();
        let Some(object) = shelf.objects.get(name) else {
            return Reply(404, Vec::new(), b"<Error><Code>NoSuchKey</Code></Error>".to_vec());
        };
        let mut headers =
            vec![("ETag", String::from("\"etag\"")), ("Last-Modified", String::from("Sat, 21 Nov 2026 02:29:27 GMT"))];
        let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = range else { return Reply(200, headers, object.clone()) };
        let first: usize = first.parse().expect("a range with a beginning");
        let last = last.parse().unwrap_or(usize::MAX).min(object.len().saturating_sub(1));
        if first > last {
            return Reply(416, Vec::new(), Vec::new());
        }
        headers.push(("Content-Range", format!("bytes {first}-{last}/{}", object.len())));
        Reply(206, headers, object[first..=last].to_vec())
    }
}

/// Whether it bears what a signature of version 4 has, made with the one key.
fn is_signed(request: &Request) -> bool {
    let signed = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
    let credential = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/");
    let signature = signed.split_once("Signature=").map(|(_, signature)| signature).unwrap_or_default();
    signed.starts_with(&credential)
        && signed.contains("/eu-test-1/s3/aws4_request, SignedHeaders=")
        && signature.len() == 64
        && request.headers.contains_key("x-amz-date")
        && request.headers.contains_key("x-amz-content-sha256")
}

fn telling(request: &Request, settings: &RemoteSettings) -> Vec<u8> {
    let (access, secret) = (settings.access_key.expose(), settings.secret_key.expose());
    format!("<Error><Why>{access} {secret}</Why><Was>{:?}</Was></Error>", request.headers).into_bytes()
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        assert!(bytes.len() < HEAD_MAX, "a head");
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => body.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}

fn rendered(Reply(status, headers, body): &Reply, method: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body: &[u8] = if method == "HEAD" { &[] } else { body };
    [head.as_bytes(), body].concat()
}
