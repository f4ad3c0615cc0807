//! Bodies of several parts (RFC 2046 section 5.1, RFC 5621).
//!
//! Hides boundaries. Parts are slices of the body. Nothing is fetched, decoded or unpacked.

use super::headers::{HeaderName, HeaderValue, Headers};
use super::typed::MediaType;
use super::{parse, text};

/// Deepest nesting looked into.
pub const MAX_DEPTH: usize = 4;
/// Most parts of one body, all levels together.
pub const MAX_PARTS: usize = 16;

/// Why a body cannot be cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The media type has no usable `boundary` parameter (1 to 70 octets).
    #[error("no boundary parameter")]
    NoBoundary,
    /// The boundary does not stand in the body.
    #[error("no part in the body")]
    NoPart,
    /// More than [`MAX_PARTS`] parts.
    #[error("too many parts")]
    TooManyParts,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deep")]
    TooDeep,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its headers; malformed lines are left out.
    pub headers: Headers,
    /// Its octets.
    pub body: &'a [u8],
}

/// The parts of a body in order, all levels flattened, so that each part is no multipart itself. A body that is no
/// multipart is not for this function. A last part without a closing delimiter ends where the body ends.
///
/// # Errors
/// [`MultipartError`].
pub fn parts<'a>(media_type: &MediaType, body: &'a [u8]) -> Result<Vec<Part<'a>>, MultipartError> {
    let mut found = Vec::new();
    collect(media_type, body, MAX_DEPTH, &mut found)?;
    Ok(found)
}

fn collect<'a>(
    media_type: &MediaType,
    body: &'a [u8],
    depth_left: usize,
    found: &mut Vec<Part<'a>>,
) -> Result<(), MultipartError> {
    if depth_left == 0 {
        return Err(MultipartError::TooDeep);
    }
    let boundary = media_type
        .params()
        .value("boundary")
        .filter(|boundary| (1..=70).contains(&boundary.len()))
        .ok_or(MultipartError::NoBoundary)?;
    for piece in cut(body, boundary.as_bytes())? {
        let part = read_part(piece);
        match part.headers.content_type().filter(MediaType::is_multipart) {
            Some(inner) => collect(&inner, part.body, depth_left - 1, found)?,
            None if found.len() == MAX_PARTS => return Err(MultipartError::TooManyParts),
            None => found.push(part),
        }
    }
    Ok(())
}

/// Cuts at lines that begin with `--boundary`. The line end before a delimiter belongs to the delimiter.
fn cut<'a>(body: &'a [u8], boundary: &[u8]) -> Result<Vec<&'a [u8]>, MultipartError> {
    let mut pieces: Vec<&[u8]> = Vec::new();
    let mut part_at: Option<usize> = None;
    let mut line_at = 0;
    let mut closed = false;
    while line_at < body.len() && !closed {
        let rest = body.get(line_at..).unwrap_or(&[]);
        let next = line_at + rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
        let line = body.get(line_at..next).unwrap_or(&[]);
        if let Some(delimiter) = delimiter(line, boundary) {
            if let Some(start) = part_at {
                pieces.push(strip_line_end(body.get(start..line_at).unwrap_or(&[])));
                if pieces.len() > MAX_PARTS {
                    return Err(MultipartError::TooManyParts);
                }
            }
            part_at = Some(next);
            closed = delimiter == Delimiter::Close;
        }
        line_at = next;
    }
    match part_at {
        None => return Err(MultipartError::NoPart),
        Some(start) if !closed => pieces.push(body.get(start..).unwrap_or(&[])),
        Some(_) => {}
    }
    if pieces.is_empty() { Err(MultipartError::NoPart) } else { Ok(pieces) }
}

#[derive(PartialEq, Eq)]
enum Delimiter {
    Open,
    Close,
}

fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let is_blank = |octets: &[u8]| octets.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    match rest.strip_prefix(b"--") {
        Some(rest) if is_blank(rest) => Some(Delimiter::Close),
        Some(_) => None,
        None => is_blank(rest).then_some(Delimiter::Open),
    }
}

fn strip_line_end(octets: &[u8]) -> &[u8] {
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    octets.strip_suffix(b"\r").unwrap_or(octets)
}

fn read_part(piece: &[u8]) -> Part<'_> {
    if let Some(body) = piece.strip_prefix(b"\r\n").or_else(|| piece.strip_prefix(b"\n")) {
        return Part { headers: Headers::new(), body };
    }
    let end = parse::head_end(piece, 0).unwrap_or(piece.len());
    let (head, body) = piece.split_at_checked(end).unwrap_or((piece, &[]));
    let mut headers = Headers::new();
    for line in parse::Lines::new(head).take(parse::MAX_HEADERS) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let Ok(name) = HeaderName::new(text::trim(name)) {
            headers.push(name, HeaderValue::clean(text::trim(value).to_owned()));
        }
    }
    Part { headers, body }
}

/// The first body of type `essence` (such as `application/sdp`) in a message with these headers and this body: the body
/// itself or a part of it. None when there is none, or when a multipart cannot be cut.
#[must_use]
pub fn find_body<'a>(headers: &Headers, body: &'a [u8], essence: &str) -> Option<&'a [u8]> {
    let media_type = headers.content_type()?;
    if media_type.is(essence) {
        return (!body.is_empty()).then_some(body);
    }
    if !media_type.is_multipart() {
        return None;
    }
    let found = parts(&media_type, body).ok()?; // A multipart that cannot be cut holds nothing we can use.
    found
        .into_iter()
        .find(|part| part.headers.content_type().is_some_and(|kind| kind.is(essence)))
        .map(|part| part.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(boundary: &str) -> MediaType {
        MediaType::parse(&format!("multipart/mixed;boundary=\"{boundary}\"")).expect("media type")
    }

    fn body_of(count: usize) -> Vec<u8> {
        let mut body = String::new();
        for n in 0..count {
            body.push_str(&format!("--b\r\nContent-Type: text/plain\r\n\r\n{n}\r\n"));
        }
        body.push_str("--b--\r\n");
        body.into_bytes()
    }

    #[test]
    fn parts_are_cut_without_their_delimiters() {
        let body = b"preamble\r\n--b\r\n\r\nplain\r\n--b \r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b--\r\nepilogue";
        let found = parts(&mixed("b"), body).expect("two parts");
        assert_eq!(found[0].body, b"plain");
        assert_eq!(found[1].body, b"v=0\r\n");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn sixteen_parts_and_no_more() {
        assert_eq!(parts(&mixed("b"), &body_of(MAX_PARTS)).map(|p| p.len()), Ok(MAX_PARTS));
        assert_eq!(parts(&mixed("b"), &body_of(MAX_PARTS + 1)), Err(MultipartError::TooManyParts));
    }

    fn nested(depth: usize) -> Vec<u8> {
        let mut body = b"--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b1--\r\n".to_vec();
        for level in 2..=depth {
            let mut outer =
                format!("--b{level}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n", level - 1).into_bytes();
            outer.extend_from_slice(&body);
            outer.extend_from_slice(format!("\r\n--b{level}--\r\n").as_bytes());
            body = outer;
        }
        body
    }

    #[test]
    fn four_levels_and_no_more() {
        assert_eq!(parts(&mixed("b4"), &nested(4)).expect("at the cap")[0].body, b"v=0");
        assert_eq!(parts(&mixed("b5"), &nested(5)), Err(MultipartError::TooDeep));
    }

    #[test]
    fn hopeless_bodies_are_refused() {
        assert_eq!(parts(&mixed("bb"), b"hello there"), Err(MultipartError::NoPart));
        assert_eq!(parts(&mixed(""), b"--\r\n\r\n"), Err(MultipartError::NoBoundary));
        let open =
            parts(&mixed("bb"), b"--bb\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b").expect("judged alone");
        assert_eq!(open[0].body, b"v=0\r\n--b");
    }
}
