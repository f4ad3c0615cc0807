//! Where a call's recording is written: as it plays, or sealed when the store has a key. Knows neither format.

use callwright_media::record::HEADER_BYTES;
use callwright_net::{RecordingFile, Target};
use callwright_store::{BlobName, Recordings, SealedFile};
use std::io;

/// The file of this name.
pub(super) fn target(recordings: &Recordings, name: &BlobName) -> Target {
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
