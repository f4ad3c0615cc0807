//! Where a call's recording is written: as it plays, or sealed when the store has a key. Knows neither format.

use super::ending::Tape;
use crate::node::Node;
use callwright_domain::CallEvent;
use callwright_media::record::HEADER_BYTES;
use callwright_net::{LegHandle, RecordError, RecordingFile, RecordingStop, Target};
use callwright_store::{BlobName, Recordings, SealedFile};
use std::io;

/// Starts a recording of this name, and gives what tells that it stops before its time.
pub(super) async fn start(
    node: &Node,
    leg: &LegHandle,
    name: &BlobName,
) -> Result<(Tape, Option<RecordingStop>), RecordError> {
    let mut ticket = leg.record(target(&node.recordings, name)).await?;
    let stop = ticket.stop();
    Ok((Tape { name: name.as_str().to_owned(), ticket }, stop))
}

/// The event of a recording that does not begin, or stops before its time. It holds nothing personal.
pub(super) fn trouble(error: &RecordError) -> CallEvent {
    CallEvent::Trouble { part: String::from("recording"), detail: error.to_string() }
}

/// The file of this name.
fn target(recordings: &Recordings, name: &BlobName) -> Target {
    let path = recordings.path(name);
    let keys = recordings.keys().clone();
    if keys.current().is_none() {
        return Target::plain(path);
    }
    let at = path.clone();
    let create = move || SealedFile::create(&at, &keys).map(|file| Box::new(Sealed(file)) as Box<dyn RecordingFile>);
    Target { path, create: Box::new(create) }
}

struct Sealed(SealedFile);

impl RecordingFile for Sealed {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    /// What is sealed is never written again; reading corrects it.
    fn correct(&mut self, _header: &[u8; HEADER_BYTES]) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish()
    }
}
