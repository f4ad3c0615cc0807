//! One ONNX Runtime for the whole process, opened from the models folder when the first local model is wanted. Hides
//! the library's loading, its sessions and its tensors. Never downloads, and never falls back to a library found elsewhere.

use super::{Home, failure};
use crate::{ErrorKind, ProviderError};
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor};
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Kept for the life of the process: sessions hold it weakly, and the library cannot be opened twice.
static RUNTIME: Mutex<Option<Environment>> = Mutex::new(None);

/// Named inputs of one inference.
pub(crate) type Inputs<'v> = Vec<(Cow<'static, str>, SessionInputValue<'v>)>;

/// A loaded network. One inference at a time; each worker thread has its own.
#[derive(Debug)]
pub(crate) struct Network {
    session: Session,
}

impl Network {
    /// Loads `file` (a path below the models folder). [`ErrorKind::Missing`] when it or the library is not there.
    pub(crate) fn load(home: &Home, file: &str) -> Result<Self, ProviderError> {
        let path = home.file(file)?;
        let environment = runtime(home)?;
        let session =
            open(&environment, &path).map_err(|error| failure(format!("{file} cannot be loaded: {error}")))?;
        Ok(Self { session })
    }

    /// Runs the network once.
    pub(crate) fn run(&mut self, inputs: Inputs<'_>) -> Result<Outputs<'_>, ProviderError> {
        self.session.run(inputs).map(Outputs).map_err(|error| failure(format!("inference failed: {error}")))
    }
}

/// What one inference gave.
pub(crate) struct Outputs<'s>(SessionOutputs<'s>);

impl Outputs<'_> {
    /// Takes an output out, to be given to the next inference as it is.
    pub(crate) fn take(&mut self, name: &str) -> Result<DynValue, ProviderError> {
        self.0.remove(name).ok_or_else(|| failure(format!("the network has no output `{name}`")))
    }

    /// Shape and numbers of an output.
    pub(crate) fn numbers<T: PrimitiveTensorElementType>(
        &self,
        name: &str,
    ) -> Result<(Vec<usize>, &[T]), ProviderError> {
        let value = self.0.get(name).ok_or_else(|| failure(format!("the network has no output `{name}`")))?;
        let (shape, numbers) =
            value.try_extract_tensor::<T>().map_err(|error| failure(format!("output `{name}`: {error}")))?;
        Ok((shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect(), numbers))
    }
}

/// A tensor of `numbers` in `shape`.
pub(crate) fn tensor<T>(shape: Vec<usize>, numbers: Vec<T>) -> Result<DynValue, ProviderError>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Tensor::from_array((shape, numbers))
        .map(Tensor::into_dyn)
        .map_err(|error| failure(format!("a tensor cannot be made: {error}")))
}

fn open(environment: &Environment, path: &Path) -> Result<Session, ort::Error> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Level3)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        // A waiting worker must not burn the core that the media threads need.
        .with_intra_op_spinning(false)?
        .commit_from_file(path)
}

fn runtime(home: &Home) -> Result<Environment, ProviderError> {
    let mut opened = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*opened {
        return Ok(environment.clone());
    }
    let path = home.file(super::models::RUNTIME_LIBRARY)?;
    let environment = ort::init_from(&path)
        .map_err(|error| unusable(home, &path, &error.to_string()))?
        .with_name("callwright")
        .with_telemetry(false)
        .build()
        .map_err(|error| unusable(home, &path, &error.to_string()))?;
    *opened = Some(environment.clone());
    Ok(environment)
}

fn unusable(home: &Home, path: &Path, error: &str) -> ProviderError {
    let detail = format!("{} cannot be opened ({error}); {}", path.display(), home.remedy("core"));
    ProviderError::new(super::VENDOR, ErrorKind::Missing, detail)
}
