//! Ears, brain and voice that run in this process, on the CPU, from files in one folder. Hides the runtime, the threads
//! and the models; loads each when it is first needed. Never downloads by itself: what is missing is said, with the
//! command that brings it.

mod bench;
mod brain;
mod ears;
pub mod models;
mod onnx;
mod turn;
mod voice;
mod workers;

use crate::asr::Asr;
use crate::llm::Llm;
use crate::resample::Resampler;
use crate::tts::Tts;
use crate::{ErrorKind, ProviderError};
use ears::segment;
use models::{ModelFolder, Standing};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, OnceLock, PoisonError};
use workers::{Urgency, Workers};

/// Name under which failures are reported before a configured name is known.
pub(crate) const VENDOR: &str = "local";

/// The voices that a request may name.
pub const VOICES: [&str; 2] = [voice::hibari::CHARACTERS[0].id, voice::hibari::CHARACTERS[1].id];

/// Whether a tag means English, which is all that the local ears and the local voice know; none means their own.
fn is_english(language: &str) -> bool {
    language.is_empty() || language.to_ascii_lowercase().starts_with("en")
}

/// The words in which the local voice says `text`: times, dates, money and numbers written out. Of use to compare what
/// was said with what was heard.
pub fn spoken_form(text: &str) -> String {
    voice::spoken(text)
}

/// The local models of one folder. Cheap to clone; all clones share threads and networks.
#[derive(Debug, Clone)]
pub struct LocalModels {
    inner: Arc<Inner>,
}

/// Something that local speech or the local brain lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The model, or the part of the program.
    pub what: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// The set of models it belongs to: `core` (ears and voice) or `llm` (brain).
    pub set: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", self.what, self.problem, self.remedy)
    }
}

impl LocalModels {
    /// The models in `dir`. Nothing is opened yet.
    pub fn new(dir: PathBuf) -> Self {
        let home = Home::new(dir);
        let inner = Inner {
            home,
            workers: OnceLock::new(),
            recent: Mutex::default(),
            #[cfg(feature = "local-llm")]
            engine: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The recogniser, under the name that the configuration gives it.
    pub fn ears(&self, name: &str) -> Arc<dyn Asr> {
        Arc::new(ears::LocalEars::new(name, Arc::clone(&self.inner)))
    }

    /// The voice, under the name that the configuration gives it.
    pub fn voice(&self, name: &str) -> Arc<dyn Tts> {
        Arc::new(voice::LocalVoice::new(name, Arc::clone(&self.inner)))
    }

    /// The language model, under the name that the configuration gives it.
    pub fn brain(&self, name: &str) -> Arc<dyn Llm> {
        Arc::new(brain::LocalBrain::new(name, Arc::clone(&self.inner)))
    }

    /// What is missing, judged by the files' names and sizes; empty when all is there.
    pub fn check(&self) -> Vec<Finding> {
        let home = &self.inner.home;
        let listed = ModelFolder::new(&*home.dir).list();
        let mut findings: Vec<Finding> = Vec::new();
        for (model, file, standing) in
            listed.iter().flat_map(|listed| listed.files.iter().map(|(file, standing)| (listed.model, file, *standing)))
        {
            let problem = match standing {
                Standing::Good => continue,
                Standing::Missing => format!("is not in {} ({} is missing)", home.dir.display(), file.path),
                Standing::Damaged => format!("is damaged ({} has the wrong size)", file.path),
            };
            if findings.iter().any(|finding| finding.what == model.name) {
                continue;
            }
            findings.push(Finding { what: model.name.into(), problem, remedy: home.remedy(model.set), set: model.set });
        }
        findings.extend(brain::build_finding());
        findings
    }

    /// Whether the voice's models are all there.
    pub fn has_voice(&self) -> bool {
        self.inner.home.require(models::VOICE_FILES).is_ok()
    }

    /// Loads ears, voice and turn model on every worker and runs each once, so that the first call does not wait for
    /// it. Blocks for a second or two: call it from a thread of its own.
    pub fn warm_up(&self) -> Result<(), ProviderError> {
        self.inner.home.require(models::EARS_FILES)?;
        self.inner.home.require(models::VOICE_FILES)?;
        let workers = self.inner.workers();
        // All wait for all, so that no worker takes two of the jobs and none is left cold.
        let gate = Arc::new(Barrier::new(workers.threads()));
        let mut pending = Vec::new();
        for _ in 0..workers.threads() {
            let gate = Arc::clone(&gate);
            pending.push(workers.submit(Urgency::Urgent, move |bench| {
                gate.wait();
                bench.rehearse()
            })?);
        }
        pending.into_iter().try_for_each(workers::Pending::wait)
    }

    /// Ends the threads of the local models: what runs comes to its end, what waits is given up, and nothing is begun
    /// any more. For the end of a process, which must not take the models' libraries apart under them. Blocks as long
    /// as the longest running job, a second or so.
    pub fn close(&self) {
        self.inner.workers.get_or_init(|| Arc::new(Workers::ended())).close();
        #[cfg(feature = "local-llm")]
        if let Some(engine) = self.inner.engine.get() {
            engine.close();
        }
    }

    /// The words of a whole recording (mono, `rate` samples a second). Blocks, about a fortieth of the recording's
    /// length: call it from a thread of its own.
    pub fn transcribe(&self, pcm: &[i16], rate: u32) -> Result<String, ProviderError> {
        self.inner.home.require(models::EARS_FILES)?;
        let mut resampler = Resampler::new(rate, ears::moonshine::RATE as u32).ok_or_else(|| {
            let detail = format!("the local recogniser cannot take {rate} samples a second");
            ProviderError::new(VENDOR, ErrorKind::Rejected, detail)
        })?;
        let mut audio = samples(&resampler.push(pcm));
        audio.extend(samples(&resampler.finish()));
        let mut words = Vec::new();
        for part in segment::stretches(&audio) {
            let part = part.to_vec();
            let heard =
                self.inner.workers().submit(Urgency::Urgent, move |bench| bench.ears()?.words(&part))?.wait()?;
            words.push(heard);
        }
        Ok(words.join(" ").trim().to_owned())
    }

    /// Makes the sound of `text` and keeps it for a while, so that speaking it later costs nothing.
    pub async fn prepare(&self, request: crate::tts::TtsRequest) -> Result<(), ProviderError> {
        let mut stream = self.voice(VENDOR).speak(request);
        while let Some(event) = stream.events.recv().await {
            event?;
        }
        Ok(())
    }
}

/// What all parts share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) home: Home,
    workers: OnceLock<Arc<Workers>>,
    recent: Mutex<voice::Recent>,
    #[cfg(feature = "local-llm")]
    pub(crate) engine: OnceLock<brain::Engine>,
}

impl Inner {
    /// The threads; started when they are first wanted.
    pub(crate) fn workers(&self) -> Arc<Workers> {
        Arc::clone(self.workers.get_or_init(|| Arc::new(Workers::start(&self.home))))
    }

    /// Phrases spoken lately.
    pub(crate) fn recent(&self) -> MutexGuard<'_, voice::Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The models folder, and what is loaded once for all threads.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    dir: Arc<Path>,
    phonemes: Arc<Mutex<Option<Arc<voice::Phonemes>>>>,
}

impl Home {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into().into(), phonemes: Arc::default() }
    }

    /// The full path of a model file that must be there.
    pub(crate) fn file(&self, path: &str) -> Result<PathBuf, ProviderError> {
        self.require(&[path])?;
        Ok(self.dir.join(path))
    }

    /// The bytes of a small model file.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, ProviderError> {
        std::fs::read(self.file(path)?).map_err(|error| failure(format!("{path} cannot be read: {error}")))
    }

    /// Fails with [`ErrorKind::Missing`] and the remedy unless all `paths` are there.
    pub(crate) fn require(&self, paths: &[&str]) -> Result<(), ProviderError> {
        let Some(missing) = paths.iter().find(|path| !self.dir.join(path).is_file()) else { return Ok(()) };
        let set = if *missing == models::BRAIN { "llm" } else { "core" };
        let detail = format!("{missing} is not in {}; {}", self.dir.display(), self.remedy(set));
        Err(ProviderError::new(VENDOR, ErrorKind::Missing, detail))
    }

    /// The command that brings a set of models.
    pub(crate) fn remedy(&self, set: &str) -> String {
        format!("run: callwright models fetch {set} --dir {}", self.dir.display())
    }

    /// Dictionaries of the voice, loaded once for all threads.
    pub(crate) fn phonemes(&self) -> Result<Arc<voice::Phonemes>, ProviderError> {
        let mut loaded = self.phonemes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phonemes) = &*loaded {
            return Ok(Arc::clone(phonemes));
        }
        let phonemes = Arc::new(voice::Phonemes::load(self)?);
        *loaded = Some(Arc::clone(&phonemes));
        Ok(phonemes)
    }
}

/// A local model failed inside.
pub(crate) fn failure(detail: impl Into<String>) -> ProviderError {
    ProviderError::new(VENDOR, ErrorKind::Internal, detail)
}

/// 16-bit samples as -1..1.
pub(crate) fn samples(pcm: &[i16]) -> Vec<f32> {
    pcm.iter().map(|sample| f32::from(*sample) / 32_768.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asr::AsrParams;

    fn nowhere() -> LocalModels {
        LocalModels::new(PathBuf::from("/nowhere/models"))
    }

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        let findings = nowhere().check();
        for what in ["moonshine-tiny-en", "hibari", "smart-turn", "qwen2.5-coder-1.5b"] {
            let finding = findings.iter().find(|finding| finding.what == what).unwrap();
            assert!(finding.to_string().contains("run: callwright models fetch"), "{finding}");
        }
        let error = nowhere().transcribe(&[0; 100], 8000).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Missing);
        assert!(error.detail.ends_with("run: callwright models fetch core --dir /nowhere/models"), "{error}");
        assert_eq!(nowhere().warm_up().unwrap_err().kind, ErrorKind::Missing);
    }

    #[tokio::test]
    async fn a_stream_without_models_says_so_under_its_own_name() {
        let params = AsrParams {
            rate: 8000,
            language: String::new(),
            model: String::new(),
            hot_words: vec![],
            silence_ms: 500,
            params: Default::default(),
        };
        let mut stream = nowhere().ears("my-ears").start(params);
        let error = stream.events.recv().await.unwrap().unwrap_err();
        assert_eq!((error.vendor.as_str(), error.kind), ("my-ears", ErrorKind::Missing));
        assert!(stream.events.recv().await.is_none());
    }
}
