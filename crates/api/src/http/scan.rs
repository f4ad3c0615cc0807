//! Reads the raw bytes of an HTTP/1 connection before the HTTP library does: finds where heads begin and end, cuts what is
//! too large down to what the library takes, and holds everything after a head that could be read in two ways.
//!
//! Pure. Knows framing (RFC 9112) and nothing else; the library still parses and judges every message.

use super::Limits;

/// What is wrong with a head; nothing behind it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Both Content-Length and Transfer-Encoding: two readers could disagree where the body ends (RFC 9112, section 6.1).
    TwoLengths,
    /// The request target is too long; it was cut.
    LongTarget,
    /// Too many or too large headers; the rest was left out.
    LargeHead,
}

/// Where in the stream the scanner stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before or in a request line.
    RequestLine,
    /// In the headers.
    Headers,
    /// In a body with so many bytes to come.
    Body(u64),
    /// In a line with a chunk's size.
    ChunkSize,
    /// In a chunk's data and the line end behind it.
    Chunk(u64),
    /// In the lines behind the last chunk.
    Trailers,
    /// HTTP/2, which has its own framing: everything passes.
    Through,
    /// Behind a flawed head: nothing passes.
    Held,
    /// Behind bytes that are no HTTP: nothing passes, and nothing will.
    Broken,
}

/// What the headers of the head in progress say.
#[derive(Debug, Default)]
struct Head {
    headers: usize,
    bytes: usize,
    length: Option<u64>,
    chunked: bool,
    flaw: Option<Flaw>,
}

/// The scanner of one connection.
#[derive(Debug)]
pub(crate) struct Scanner {
    at: At,
    /// The line in progress, held back until it is whole.
    line: Vec<u8>,
    /// The rest of the line in progress is left out.
    skipping: bool,
    head: Head,
    target: usize,
    header_bytes: usize,
    headers: usize,
    /// Heads that ended so far.
    heads: u64,
    flawed: Option<(u64, Flaw)>,
}

/// Room in a request line for the method, the version and the blanks.
const AROUND_TARGET: usize = 128;
/// Longest line with a chunk's size, or behind the last chunk.
const CHUNK_LINE: usize = 4096;
/// The first line of an HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

impl Scanner {
    /// A scanner at the beginning of a connection.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            at: At::RequestLine,
            line: Vec::new(),
            skipping: false,
            head: Head::default(),
            target: limits.target,
            header_bytes: limits.header_bytes,
            headers: limits.headers,
            heads: 0,
            flawed: None,
        }
    }

    /// Whether a head has begun and not ended.
    pub(crate) fn is_in_head(&self) -> bool {
        match self.at {
            At::RequestLine => self.skipping || !self.line.is_empty(),
            At::Headers => true,
            At::Body(_) | At::ChunkSize | At::Chunk(_) | At::Trailers | At::Through | At::Held | At::Broken => false,
        }
    }

    /// Whether nothing will pass any more because the bytes were no HTTP.
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self.at, At::Broken)
    }

    /// Whether a flawed head was found, behind which nothing passes.
    pub(crate) const fn is_holding(&self) -> bool {
        matches!(self.at, At::Held)
    }

    /// Whether no request is half-way through the scanner.
    pub(crate) fn is_at_rest(&self) -> bool {
        match self.at {
            At::RequestLine => self.line.is_empty(),
            At::Through => true,
            At::Headers | At::Body(_) | At::ChunkSize | At::Chunk(_) | At::Trailers | At::Held | At::Broken => false,
        }
    }

    /// The head that is flawed, counted from 1, and how.
    pub(crate) const fn flawed(&self) -> Option<(u64, Flaw)> {
        self.flawed
    }

    /// Takes bytes of the connection; what the library may read is appended to `passed`.
    pub(crate) fn take(&mut self, mut bytes: &[u8], passed: &mut Vec<u8>) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Through => {
                    passed.extend_from_slice(bytes);
                    &[]
                }
                At::Held | At::Broken => &[],
                At::Body(left) => self.data(bytes, left, passed),
                At::Chunk(left) => self.data(bytes, left, passed),
                At::RequestLine | At::Headers | At::ChunkSize | At::Trailers => self.part_of_line(bytes, passed),
            };
        }
    }

    /// Passes data on and says where it ends.
    fn data<'a>(&mut self, bytes: &'a [u8], left: u64, passed: &mut Vec<u8>) -> &'a [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (data, rest) = bytes.split_at(here);
        passed.extend_from_slice(data);
        let left = left - here as u64;
        self.at = match self.at {
            At::Body(_) if left == 0 => At::RequestLine,
            At::Body(_) => At::Body(left),
            _ if left == 0 => At::ChunkSize,
            _ => At::Chunk(left),
        };
        rest
    }

    fn part_of_line<'a>(&mut self, bytes: &'a [u8], passed: &mut Vec<u8>) -> &'a [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        if !self.skipping {
            let room = self.room().saturating_sub(self.line.len());
            self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or_default());
            if part.len() > room {
                self.overlong();
            }
        }
        if end.is_some() && self.at != At::Broken {
            let line = std::mem::take(&mut self.line);
            let skipped = std::mem::take(&mut self.skipping);
            match self.at {
                At::RequestLine => self.request_line(line, passed),
                At::Headers => self.header_line(&line, skipped, passed),
                At::ChunkSize => self.chunk_size(&line, passed),
                _ => self.trailer(&line, passed),
            }
        }
        rest
    }

    /// How long the line in progress may become.
    fn room(&self) -> usize {
        match self.at {
            At::RequestLine => self.target + AROUND_TARGET,
            At::Headers => self.header_bytes.saturating_sub(self.head.bytes) + 2,
            _ => CHUNK_LINE,
        }
    }

    fn overlong(&mut self) {
        match self.at {
            At::RequestLine => self.skipping = true,
            At::Headers => {
                self.skipping = true;
                self.head.flaw = self.head.flaw.or(Some(Flaw::LargeHead));
            }
            _ => self.at = At::Broken,
        }
    }

    fn request_line(&mut self, mut line: Vec<u8>, passed: &mut Vec<u8>) {
        let text = trimmed(&line);
        if text.is_empty() {
            // Servers should pass over an empty line before a request (RFC 9112, section 2.2).
            return;
        }
        if self.heads == 0 && text == PREFACE {
            self.at = At::Through;
            passed.extend_from_slice(&line);
            return;
        }
        self.head = Head::default();
        self.at = At::Headers;
        let begin = text.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
        let end = text.iter().rposition(|byte| *byte == b' ').filter(|end| *end > begin);
        let whole = line.ends_with(b"\n");
        let length = end.filter(|_| whole).unwrap_or(text.len()) - begin;
        if length > self.target {
            self.head.flaw = Some(Flaw::LongTarget);
            line.truncate(begin + self.target);
            line.extend_from_slice(b" HTTP/1.1\r\n");
        }
        passed.extend_from_slice(&line);
    }

    fn header_line(&mut self, line: &[u8], skipped: bool, passed: &mut Vec<u8>) {
        let text = trimmed(line);
        if text.is_empty() && !skipped {
            passed.extend_from_slice(line);
            self.end_of_head();
            return;
        }
        self.head.headers += 1;
        self.head.bytes += line.len();
        if self.head.headers > self.headers || self.head.bytes > self.header_bytes {
            self.head.flaw = self.head.flaw.or(Some(Flaw::LargeHead));
        }
        if self.head.flaw == Some(Flaw::LargeHead) {
            return;
        }
        if let Some(colon) = text.iter().position(|byte| *byte == b':') {
            let (name, value) = text.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
                self.head.length = decimal(value).or(Some(u64::MAX));
            } else if name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding") {
                self.head.chunked = true;
            }
        }
        passed.extend_from_slice(line);
    }

    fn end_of_head(&mut self) {
        self.heads += 1;
        let head = std::mem::take(&mut self.head);
        let two = (head.chunked && head.length.is_some()).then_some(Flaw::TwoLengths);
        if let Some(flaw) = head.flaw.or(two) {
            self.flawed = Some((self.heads, flaw));
            self.at = At::Held;
        } else if head.chunked {
            self.at = At::ChunkSize;
        } else {
            self.at = match head.length {
                None | Some(0) => At::RequestLine,
                Some(length) => At::Body(length),
            };
        }
    }

    fn chunk_size(&mut self, line: &[u8], passed: &mut Vec<u8>) {
        passed.extend_from_slice(line);
        let digits: Vec<u8> = line.iter().copied().take_while(u8::is_ascii_hexdigit).collect();
        let size = std::str::from_utf8(&digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        self.at = match size {
            Some(0) => At::Trailers,
            // The line end behind the data counts as part of it.
            Some(size) if size < u64::MAX - 2 => At::Chunk(size + 2),
            _ => At::Broken,
        };
    }

    fn trailer(&mut self, line: &[u8], passed: &mut Vec<u8>) {
        passed.extend_from_slice(line);
        if trimmed(line).is_empty() {
            self.at = At::RequestLine;
        }
    }
}

/// A line without its end.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { target: 40, header_bytes: 100, headers: 3, ..Limits::default() }
    }

    /// The same bytes at once and one by one.
    fn scan(text: &str) -> (String, Option<(u64, Flaw)>) {
        let (mut whole, mut single) = (Scanner::new(&limits()), Scanner::new(&limits()));
        let (mut passed, mut passed_single) = (Vec::new(), Vec::new());
        whole.take(text.as_bytes(), &mut passed);
        for byte in text.as_bytes() {
            single.take(&[*byte], &mut passed_single);
        }
        let passed = String::from_utf8(passed).expect("text");
        assert_eq!(passed, String::from_utf8(passed_single).expect("text"));
        assert_eq!(whole.flawed(), single.flawed());
        assert_eq!(whole.is_in_head(), single.is_in_head());
        (passed, whole.flawed())
    }

    #[test]
    fn what_is_clear_passes_unchanged() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\n\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(scan(text), (text.to_owned(), None));
        }
    }

    #[test]
    fn nothing_passes_behind_two_lengths() {
        let first = "GET / HTTP/1.1\r\n\r\n";
        for two in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 0",
            "Content-Length : x\r\nTransfer-Encoding: identity",
        ] {
            let head = format!("{first}POST /b HTTP/1.1\r\n{two}\r\n\r\n");
            assert_eq!(scan(&format!("{head}abcGET /c HTTP/1.1\r\n\r\n")), (head, Some((2, Flaw::TwoLengths))));
        }
    }

    #[test]
    fn what_is_too_large_is_cut() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\nmore", "x".repeat(40));
        let cut = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(39));
        assert_eq!(scan(&long), (cut.clone(), Some((1, Flaw::LongTarget))));
        let longer = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\nmore", "x".repeat(4000));
        assert_eq!(scan(&longer), (cut, Some((1, Flaw::LongTarget))));
        let fits = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(39));
        assert_eq!(scan(&fits), (fits, None));
        let many = "GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\n\r\nmore";
        let kept = "GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n";
        assert_eq!(scan(many), (kept.to_owned(), Some((1, Flaw::LargeHead))));
        let large = format!("GET / HTTP/1.1\r\na: 1\r\nb: {}\r\n\r\nmore", "x".repeat(300));
        assert_eq!(scan(&large), (String::from("GET / HTTP/1.1\r\na: 1\r\n\r\n"), Some((1, Flaw::LargeHead))));
    }

    #[test]
    fn garbage_ends_the_stream() {
        let mut scanner = Scanner::new(&limits());
        let mut passed = Vec::new();
        scanner.take(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET / HTTP/1.1\r\n\r\n", &mut passed);
        assert!(scanner.is_broken());
        assert!(passed.ends_with(b"zz\r\n"));
    }
}
