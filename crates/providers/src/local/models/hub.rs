//! The way from the makers' own hubs: one file over HTTPS, going on where an earlier attempt stopped. Decides nothing
//! about the bytes; the caller checks them.

use super::files::gathering_place;
use super::{ModelFile, ModelsError, Progress};
use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::RANGE;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A hub that sends nothing for so long is given up; trying again goes on from there.
const SILENCE: Duration = Duration::from_secs(30);

/// Gathers `file` beside `path`.
pub(super) async fn download(
    file: &ModelFile,
    path: &Path,
    mut report: Progress<'_>,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<(), ModelsError> {
    let failed = |detail: String| ModelsError::Hub { url: file.hub.into(), detail };
    let gathered = gathering_place(path);
    let have = std::fs::metadata(&gathered).map_or(0, |metadata| metadata.len());
    if have == file.bytes {
        return Ok(());
    }
    let have = if have > file.bytes { 0 } else { have };
    let client = reqwest::Client::builder()
        .connect_timeout(SILENCE)
        .read_timeout(SILENCE)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let mut request = client.get(file.hub);
    if have > 0 {
        request = request.header(RANGE, format!("bytes={have}-"));
    }
    let response = request.send().await.map_err(|error| failed(error.to_string()))?;
    let resumes = have > 0 && response.status() == StatusCode::PARTIAL_CONTENT;
    if !resumes && response.status() != StatusCode::OK {
        return Err(failed(format!("it answered {}", response.status())));
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).append(resumes).truncate(!resumes);
    let mut output = options.open(&gathered).await.map_err(|error| ModelsError::file(&gathered, &error))?;
    let start = report.done_bytes;
    let mut written = if resumes { have } else { 0 };
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                // What came before the break is worth keeping: the next attempt goes on from there.
                output.flush().await.map_err(|error| ModelsError::file(&gathered, &error))?;
                return Err(failed(error.to_string()));
            }
        };
        written += piece.len() as u64;
        if written > file.bytes {
            return Err(failed(format!("it sent more than {} bytes", file.bytes)));
        }
        output.write_all(&piece).await.map_err(|error| ModelsError::file(&gathered, &error))?;
        report.done_bytes = start + written;
        tell(report);
    }
    output.flush().await.map_err(|error| ModelsError::file(&gathered, &error))?;
    if written < file.bytes {
        return Err(failed(format!(
            "it stopped after {written} of {} bytes; try again to go on from there",
            file.bytes
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    /// Serves "abcde" once, from wherever it is asked to begin; cut short after `most` bytes.
    async fn hub(most: usize) -> (&'static str, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let served = tokio::task::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).to_lowercase();
            let from = request.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
            let body = &b"abcde"[from.map_or(0, |from| from.parse().unwrap())..];
            let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body[..body.len().min(most)]).await.unwrap();
            request
        });
        // A table's addresses live for ever; so does this one, for the length of the test.
        (Box::leak(url.into_boxed_str()), served)
    }

    fn file(hub: &'static str) -> ModelFile {
        ModelFile { path: "file", bytes: 5, sha256: "", hub, parts: &[] }
    }

    #[tokio::test]
    async fn an_interrupted_download_goes_on_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let report = Progress { file: "file", done_bytes: 0, total_bytes: 5 };
        let (url, _served) = hub(3).await;
        let broken = download(&file(url), &path, report, &mut |_| {}).await.unwrap_err();
        assert!(matches!(broken, ModelsError::Hub { .. }));
        assert_eq!(std::fs::read(gathering_place(&path)).unwrap(), b"abc");
        let (url, served) = hub(5).await;
        let mut seen = vec![];
        download(&file(url), &path, report, &mut |progress| seen.push(progress.done_bytes)).await.unwrap();
        assert!(served.await.unwrap().contains("range: bytes=3-"));
        assert_eq!(std::fs::read(gathering_place(&path)).unwrap(), b"abcde");
        assert_eq!(seen.last(), Some(&5));
    }
}
