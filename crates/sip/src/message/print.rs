//! Messages to octets.
//!
//! Hides the layout: start line, headers in their order, one `Content-Length` counted here, body. It has no way to fail
//! and no way to be handed a line end: each part was checked when it was made.

use std::fmt::Write as _;

use super::{HeaderName, Headers, Message, Request, Response};

impl Message {
    /// The message as it goes out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl Request {
    /// The request as it goes out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        finish(start, &self.headers, &self.body)
    }
}

impl Response {
    /// The response as it goes out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = format!("SIP/2.0 {} {}\r\n", self.status, self.reason());
        finish(start, &self.headers, &self.body)
    }
}

fn finish(start: String, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let mut head = start;
    head.reserve(64 * (headers.len() + 2) + body.len());
    for header in headers.iter().filter(|header| header.name != HeaderName::ContentLength) {
        write!(head, "{}: {}\r\n", header.name, header.value).expect("writing to a string cannot fail");
    }
    write!(head, "Content-Length: {}\r\n\r\n", body.len()).expect("writing to a string cannot fail");
    let mut out = head.into_bytes();
    out.extend_from_slice(body);
    out
}
