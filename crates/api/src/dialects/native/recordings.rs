//! Recordings over HTTP: whole, in byte ranges, and clips of them by time and speaker. Never writes any.

use super::Asked;
use super::calls::find;
use super::decode::{invalid, query};
use crate::fault::Fault;
use crate::http::{Context, Request, Response};
use crate::links;
use axum::body::Body;
use callwright_domain::transcript::Speaker;
use callwright_engine::Clip;
use callwright_store::{BlobError, CallView};
use http::{HeaderName, HeaderValue, StatusCode, header};
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

/// Bytes of a recording read at a time.
const PIECE: usize = 64 * 1024;
/// What is said of a call without one.
const NONE: Fault = Fault::NotFound { what: "recording" };

/// The recording of a call, whole, in byte ranges, or a clip of it.
pub(super) async fn recording(asked: &Asked<'_>) -> Result<Response, Fault> {
    let (request, context) = (asked.request, asked.context);
    let clip = clip(request)?;
    let view = find(asked).await?;
    match clip {
        None => recording_of(request, context, &view).await,
        Some(clip) => clip_of(context, &view, clip).await,
    }
}

/// What of the recording a request asks for; none: all of it.
fn clip(request: &Request) -> Result<Option<Clip>, Fault> {
    let known = ["from_ms", "to_ms", "speaker", "key", "until", "signature"];
    let parameters = query(request, if links::is_signed(request) { &known } else { &known[..3] })?;
    let asked = |name: &str| parameters.get(name).map(String::as_str);
    let moment = |name: &'static str| {
        let milliseconds = |text: &str| text.parse().map(Duration::from_millis);
        asked(name).map(milliseconds).transpose().map_err(|_| invalid(name, "must be a number of milliseconds"))
    };
    let speaker = match asked("speaker") {
        None => None,
        Some("callee") => Some(Speaker::Callee),
        Some("agent") => Some(Speaker::Agent),
        Some(_) => return Err(invalid("speaker", "must be callee or agent; both when it is absent")),
    };
    let (from, to) = (moment("from_ms")?, moment("to_ms")?);
    if from.is_none() && to.is_none() && speaker.is_none() {
        return Ok(None);
    }
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or(Duration::MAX));
    if to <= from {
        return Err(invalid("to_ms", "must be more than from_ms"));
    }
    Ok(Some(Clip { from, to, speaker }))
}

/// A part of the recording of a call that the requester may hear, as a file of its own.
async fn clip_of(context: &Context, view: &CallView, clip: Clip) -> Result<Response, Fault> {
    let excerpt = context.calls.excerpt(kept_name(view)?, clip).await.map_err(|error| not_opened(&error))?;
    let length = excerpt.length();
    Ok(wav(excerpt, length, format!("{}-clip", view.plan.id)))
}

/// The name of the recording, when there is one.
fn kept_name(view: &CallView) -> Result<&str, Fault> {
    match view.recording_gone {
        Some(absence) => Err(Fault::Gone { what: "recording", absence }),
        None => view.recording.as_deref().ok_or(NONE),
    }
}

/// Why a recording cannot be opened.
fn not_opened(error: &BlobError) -> Fault {
    match error {
        BlobError::Locked { .. } => Fault::Storage("the recording is sealed with a key that the server does not have"),
        BlobError::OtherKey { .. } => Fault::Storage("the recording is sealed with another key of that name"),
        BlobError::Io(_) => Fault::Storage("the recording cannot be read"),
        BlobError::Away { .. } | BlobError::Denied | BlobError::Busy => {
            Fault::Storage("the store of the recordings does not give it out now")
        }
        BlobError::Name | BlobError::Missing | BlobError::Exists | BlobError::Full => NONE,
    }
}

/// The recording of a call that the requester may hear, or a range of it.
pub(in crate::dialects) async fn recording_of(
    request: &Request,
    context: &Context,
    view: &CallView,
) -> Result<Response, Fault> {
    let mut kept = context.calls.recording(kept_name(view)?).await.map_err(|error| not_opened(&error))?;
    let (first, last) = match request.header("range") {
        None => (0, kept.length.saturating_sub(1)),
        Some(range) => match byte_range(range, kept.length) {
            Some(range) => range,
            None => return unsatisfiable(kept.length),
        },
    };
    kept.content.seek(SeekFrom::Start(first)).map_err(|_| Fault::Storage("the recording cannot be read"))?;
    let length = if kept.length == 0 { 0 } else { last - first + 1 };
    let mut response = wav(kept.content, length, view.plan.id.to_string());
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if request.header("range").is_some() {
        insert_text(headers, header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", kept.length));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n` (RFC 9110, section 14.1.2); one range, inside the file.
fn byte_range(text: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), length.checked_sub(1)?),
        (first, "") => (first.parse().ok()?, length.checked_sub(1)?),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.min(length.checked_sub(1)?)),
    };
    (range.0 <= range.1 && range.0 < length).then_some(range)
}

fn unsatisfiable(length: u64) -> Result<Response, Fault> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    insert_text(response.headers_mut(), header::CONTENT_RANGE, format!("bytes */{length}"));
    Ok(response)
}

fn insert_text(headers: &mut http::HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}

/// An answer with a sound file's next `length` bytes.
fn wav(file: impl Read + Send + 'static, length: u64, name: String) -> Response {
    let mut response = Response::new(file_body(file, length));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    insert_text(headers, header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.wav\""));
    response
}

/// The file's next `length` bytes, piece by piece; reads happen beside the async runtime.
fn file_body(file: impl Read + Send + 'static, length: u64) -> Body {
    let pieces = futures_util::stream::unfold((Some(file), length), |(file, left)| async move {
        let mut file = file?;
        if left == 0 {
            return None;
        }
        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; wanted];
            file.read_exact(&mut piece).map(|()| (piece, file))
        });
        match read.await.map_err(std::io::Error::other).and_then(|outcome| outcome) {
            Ok((piece, file)) => Some((Ok(bytes::Bytes::from(piece)), (Some(file), left - wanted as u64))),
            Err(error) => Some((Err(error), (None, 0))),
        }
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use super::byte_range;

    #[test]
    fn ranges_stay_inside_the_file() {
        for (text, range) in [
            ("bytes=0-9", Some((0, 9))),
            ("bytes=90-", Some((90, 99))),
            ("bytes=-10", Some((90, 99))),
            ("bytes=-1000", Some((0, 99))),
            ("bytes=50-5000", Some((50, 99))),
            ("bytes=100-", None),
            ("bytes=9-3", None),
            ("bytes=a-b", None),
            ("items=0-1", None),
            ("bytes=-", None),
        ] {
            assert_eq!(byte_range(text, 100), range, "{text}");
        }
        assert_eq!(byte_range("bytes=0-", 0), None);
    }
}
