//! Sealed recordings: read back whole, in parts and cut off; unreadable without their key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::Pii;
use callwright_store::blobs::{Content, open_file};
use callwright_store::{BlobError, BlobName, Keyring, Recordings, SealedFile};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;

/// The format's figures, told again.
const FRAME: u64 = 16 * 1024;
const TAG: u64 = 16;

fn ring(current: &str) -> Keyring {
    let keys = BTreeMap::from([
        (String::from("old"), Pii::new("11".repeat(32))),
        (String::from("new"), Pii::new(STANDARD.encode([7; 32]))),
    ]);
    Keyring::new(current, &keys).expect("keys")
}

/// A streaming header and `audio` bytes that tell their place.
fn wav(audio: usize) -> Vec<u8> {
    let mut wav = b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec();
    wav.resize(40, 0);
    wav.extend([0xff; 4]);
    wav.extend((0..audio).map(|at| (at * 7 + at / 251) as u8));
    wav
}

fn written(keys: &Keyring, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("r.wav");
    let mut sealed = SealedFile::create(&path, keys).expect("made");
    bytes.chunks(1000).for_each(|piece| sealed.append(piece).expect("written"));
    sealed.finish().expect("written");
    (directory, path)
}

fn opened(path: &Path, keys: &Keyring) -> Content {
    let blob = open_file(path, keys).unwrap();
    assert!(blob.content.is_sealed());
    blob.content
}

fn read(mut content: Content) -> Vec<u8> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_sealed_is_read_back_whole_in_parts_and_with_real_lengths() {
    for audio in [0, 4, 16_340, 16_344, 40_000] {
        let (_directory, path) = written(&ring("new"), &wav(audio));
        let bytes = read(opened(&path, &ring("old")));
        assert_eq!(bytes.len(), 44 + audio);
        assert_eq!(bytes[4..8], u32::try_from(audio + 36).expect("small").to_le_bytes());
        assert_eq!(bytes[40..44], u32::try_from(audio).expect("small").to_le_bytes());
        assert_eq!(bytes[44..], wav(audio)[44..]);
        for (from, count) in [(0, 10), (2, 60), (44, 4), (16_380, 9), (30_000, 20_000)] {
            let mut part = opened(&path, &ring("new"));
            part.seek(SeekFrom::Start(from as u64)).expect("seeks");
            let mut got = Vec::new();
            part.take(count as u64).read_to_end(&mut got).expect("readable");
            assert_eq!(got, bytes[from.min(bytes.len())..(from + count).min(bytes.len())], "{from}+{count}");
        }
    }
}

/// BARS S45: nothing of the audio shows without the key; 7.99 bits a byte.
#[test]
fn without_the_key_nothing_shows() {
    let (_directory, path) = written(&ring("new"), &wav(400_000));
    let bytes = std::fs::read(&path).expect("there");
    let mut counts = [0_u32; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / bytes.len() as f64)
        .map(|share| -share * share.log2())
        .sum();
    assert!(entropy >= 7.99, "{entropy}");
    let locked = open_file(&path, &Keyring::default());
    assert!(matches!(locked, Err(BlobError::Locked { key }) if key == "new"));
    let forged = BTreeMap::from([(String::from("new"), Pii::new("22".repeat(32)))]);
    let forged = Keyring::new("new", &forged).unwrap();
    assert!(matches!(open_file(&path, &forged), Err(BlobError::OtherKey { key }) if key == "new"));
    // The same audio twice has nothing in common.
    let (_other, again) = written(&ring("new"), &wav(400_000));
    assert_ne!(std::fs::read(again).expect("there")[48..], bytes[48..]);
}

#[test]
fn a_file_cut_anywhere_reads_to_its_last_whole_frame() {
    let (_directory, path) = written(&ring("new"), &wav(40_000));
    let whole = std::fs::read(&path).expect("there");
    let head = whole.len() as u64 - (44 + 40_000 + 3 * TAG);
    for cut in (0..whole.len() as u64).step_by(997).chain([head, head + 1, head + FRAME + TAG]) {
        if cut < head {
            continue;
        }
        std::fs::write(&path, &whole).expect("written");
        OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(cut)).expect("cut");
        let bytes = read(opened(&path, &ring("new")));
        assert_eq!(bytes.len() as u64, (cut - head) / (FRAME + TAG) * FRAME, "cut at {cut}");
        assert!(bytes.len() < 44 || bytes[44..] == wav(40_000)[44..bytes.len()]);
    }
    // A machine's crash may leave zeros where the last frames were to be.
    std::fs::write(&path, &whole).expect("written");
    let file = OpenOptions::new().write(true).open(&path).expect("there");
    file.set_len(head + FRAME + TAG).and_then(|()| file.set_len(whole.len() as u64 + 50_000)).expect("zeros");
    assert_eq!(read(opened(&path, &ring("new"))).len() as u64, FRAME);
}

#[test]
fn a_changed_byte_is_noticed() {
    let (_directory, path) = written(&ring("old"), &wav(40_000));
    let mut bytes = std::fs::read(&path).expect("there");
    bytes[5000] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let damaged = open_file(&path, &ring("new")).map(drop);
    assert!(matches!(damaged, Err(BlobError::Io(error)) if error.kind() == io::ErrorKind::InvalidData));
}

#[test]
fn keys_out_of_shape_are_named() {
    let keys = |id: &str, key: &str| BTreeMap::from([(id.to_owned(), Pii::new(key.to_owned()))]);
    let good = "ab".repeat(32);
    for (current, id, key, flaw) in [
        ("", "a b", good.as_str(), "id of a key"),
        ("", "a", "hunter2hunter2", "openssl rand"),
        ("b", "a", good.as_str(), "no key is called \"b\""),
    ] {
        let said = Keyring::new(current, &keys(id, key)).expect_err("refused").to_string();
        assert!(said.contains(flaw) && !said.contains("hunter2"), "{said}");
    }
    let ring = Keyring::new("", &keys("a", &good)).expect("keys");
    assert_eq!((ring.current(), format!("{ring:?}").contains("ab")), (None, false));
}

/// A new key seals, old ones open; a name that stands for another key is told at the start, before anything is sealed
/// with it, and a key that is gone locks what it sealed.
#[tokio::test]
async fn keys_are_changed_and_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let recordings = |keys: &Keyring| {
        let opened = Recordings::open(directory.path().join("recordings")).expect("a directory");
        opened.with_keys(keys.clone())
    };
    let keep = |keys: &Keyring, name: &str| {
        let kept = recordings(keys).expect("known keys");
        let mut file = SealedFile::create(&kept.path(&BlobName::new(name).unwrap()), keys).expect("made");
        file.append(&wav(100)).expect("written");
        file.finish().expect("written");
    };
    keep(&ring("old"), "first.wav");
    keep(&ring("new"), "second.wav");
    for name in ["first.wav", "second.wav"] {
        let blob = recordings(&ring("new"))
            .expect("known")
            .read(&BlobName::new(name).unwrap(), &Handle::current())
            .expect("opens");
        assert_eq!((blob.length, &read(blob.content)[44..]), (144, &wav(100)[44..]), "{name}");
    }
    let of = |id: &str, key: [u8; 32]| {
        Keyring::new(id, &BTreeMap::from([(id.to_owned(), Pii::new(hex::encode(key)))])).expect("a key")
    };
    let lost = recordings(&of("new", [7; 32])).expect("one that is gone is no reason not to start");
    let locked = lost.read(&BlobName::new("first.wav").unwrap(), &Handle::current()).map(drop);
    assert!(matches!(locked, Err(BlobError::Locked { key }) if key == "old"));
    let other = recordings(&of("new", [8; 32])).map(drop);
    assert!(matches!(other, Err(BlobError::OtherKey { key }) if key == "new"));
    let unsealed = recordings(&Keyring::default()).expect("sealing may be switched off");
    assert!(matches!(
        unsealed.read(&BlobName::new("second.wav").unwrap(), &Handle::current()),
        Err(BlobError::Locked { .. })
    ));
    let kept = std::fs::read_to_string(directory.path().join("recordings/.keys")).expect("noted");
    assert!(!kept.contains(&"11".repeat(32)) && !kept.contains(&hex::encode([7; 32])), "{kept}");
}

/// A short recording under a wrong key of the same name is no empty recording.
#[test]
fn a_wrong_key_is_told_from_an_empty_file() {
    let (_directory, path) = written(&ring("new"), &wav(4));
    let forged = BTreeMap::from([(String::from("new"), Pii::new("22".repeat(32)))]);
    let forged = Keyring::new("new", &forged).expect("a key");
    assert!(matches!(open_file(&path, &forged), Err(BlobError::OtherKey { .. })));
    assert_eq!(read(opened(&path, &ring("new"))).len(), 48);
}
