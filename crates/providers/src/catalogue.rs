//! The table from configuration to vendors: the only place that knows which kinds there are. Reads no file and no
//! environment; gets its settings parsed.

use crate::asr::Asr;
use crate::asr::deepgram::{Deepgram, DeepgramConfig};
use crate::endpoints::{Endpoints, Outside};
use crate::fallback::{Chain, Link};
use crate::llm::Llm;
use crate::llm::openai::{OpenAiLlm, OpenAiLlmConfig};
use crate::llm::script::ScriptLlm;
use crate::tts::Tts;
use crate::tts::openai::{OpenAiTts, OpenAiTtsConfig};
use crate::{ErrorKind, ProviderError};
use callwright_domain::agent::{BrainSettings, VoiceSettings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All configured vendors.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VendorsConfig {
    /// Recognisers by name.
    pub ears: BTreeMap<String, EarsVendor>,
    /// Language models by name.
    pub brain: BTreeMap<String, BrainVendor>,
    /// Synthesisers by name.
    pub voice: BTreeMap<String, VoiceVendor>,
    /// Which of them an agent gets that names none.
    pub defaults: Defaults,
    /// Whom to ask when one fails, by its name and in this order.
    pub fallback: Fallbacks,
}

/// Names of the vendors for agents that name none. Empty: `local` if there is one, else the only one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// Of the recogniser.
    pub ears: String,
    /// Of the language model.
    pub brain: String,
    /// Of the synthesiser.
    pub voice: String,
}

/// Replacements, by the name of the vendor that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fallbacks {
    /// Of recognisers.
    pub ears: BTreeMap<String, Vec<String>>,
    /// Of language models.
    pub brain: BTreeMap<String, Vec<String>>,
    /// Of synthesisers.
    pub voice: BTreeMap<String, Vec<String>>,
}

/// A recogniser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EarsVendor {
    /// Deepgram's streaming protocol.
    Deepgram(DeepgramConfig),
    /// In this process.
    Local(LocalEntry),
}

/// A language model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BrainVendor {
    /// OpenAI's chat completions.
    OpenAi(OpenAiLlmConfig),
    /// The agent's own rules.
    Script(ScriptEntry),
    /// In this process.
    Local(LocalEntry),
}

/// A synthesiser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum VoiceVendor {
    /// OpenAI's speech endpoint.
    OpenAi(OpenAiTtsConfig),
    /// In this process.
    Local(LocalEntry),
}

/// A vendor in this process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalEntry {
    /// Which model; empty: the one that is installed by default.
    pub model: String,
    /// Read by the model's own part.
    pub params: BTreeMap<String, String>,
}

/// The scripted brain has no settings: its rules are the agent's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptEntry {}

/// Makes the vendors that run in this process.
pub trait LocalParts {
    /// The recogniser called `name`.
    fn ears(&self, name: &str, entry: &LocalEntry) -> Result<Arc<dyn Asr>, ProviderError>;
    /// The language model called `name`.
    fn brain(&self, name: &str, entry: &LocalEntry) -> Result<Arc<dyn Llm>, ProviderError>;
    /// The synthesiser called `name`.
    fn voice(&self, name: &str, entry: &LocalEntry) -> Result<Arc<dyn Tts>, ProviderError>;
}

/// Where nothing runs in this process: every local entry is [`ErrorKind::Missing`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLocalParts;

impl LocalParts for NoLocalParts {
    fn ears(&self, name: &str, _: &LocalEntry) -> Result<Arc<dyn Asr>, ProviderError> {
        Err(no_local(name))
    }
    fn brain(&self, name: &str, _: &LocalEntry) -> Result<Arc<dyn Llm>, ProviderError> {
        Err(no_local(name))
    }
    fn voice(&self, name: &str, _: &LocalEntry) -> Result<Arc<dyn Tts>, ProviderError> {
        Err(no_local(name))
    }
}

fn no_local(name: &str) -> ProviderError {
    ProviderError::new(name, ErrorKind::Missing, "this program has no local models")
}

/// What is wrong with the configured vendors, or with the name of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// A name that is not configured.
    #[error("no {what} is called {name:?}; configured: {}", listed(known))]
    Unknown {
        /// `ears`, `brain` or `voice`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// No name was given, and it is not clear which is meant.
    #[error("defaults.{what} is not set, and there is no obvious choice; configured: {}", listed(known))]
    NoDefault {
        /// `ears`, `brain` or `voice`.
        what: &'static str,
        /// The names there are.
        known: Vec<String>,
    },
    /// A vendor whose settings cannot be used.
    #[error("{what}.{}: {}", error.vendor, error.detail)]
    Unusable {
        /// `ears`, `brain` or `voice`.
        what: &'static str,
        /// Why.
        error: ProviderError,
    },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// Vendors by name.
#[derive(Clone)]
pub struct Catalogue {
    ears: Table<dyn Asr>,
    brain: Table<dyn Llm>,
    voice: Table<dyn Tts>,
    endpoints: Arc<Endpoints>,
}

impl Catalogue {
    /// Makes all configured vendors. Connects to none.
    pub fn build(config: &VendorsConfig, local: &dyn LocalParts) -> Result<Self, CatalogueError> {
        let VendorsConfig { ears, brain, voice, defaults, fallback } = config;
        let ears = Table::build("ears", ears, &defaults.ears, |name, vendor| make_ears(name, vendor, local))?;
        let brain = Table::build("brain", brain, &defaults.brain, |name, vendor| make_brain(name, vendor, local))?;
        let voice = Table::build("voice", voice, &defaults.voice, |name, vendor| make_voice(name, vendor, local))?;
        Ok(Self {
            ears: ears.chained(&fallback.ears, |chain| Arc::new(chain))?,
            brain: brain.chained(&fallback.brain, |chain| Arc::new(chain))?,
            voice: voice.chained(&fallback.voice, |chain| Arc::new(chain))?,
            endpoints: Arc::default(),
        })
    }

    /// The same, with a watch over the names that the agents' own services may resolve to.
    #[must_use]
    pub fn guarded(mut self, outside: Outside) -> Self {
        self.endpoints = Arc::new(Endpoints::new(outside));
        self
    }

    /// The recogniser called `name`; empty: the default.
    pub fn ears(&self, name: &str) -> Result<Arc<dyn Asr>, CatalogueError> {
        self.ears.find(name)
    }

    /// The language model called `name`; empty: the default.
    pub fn brain(&self, name: &str) -> Result<Arc<dyn Llm>, CatalogueError> {
        self.brain.find(name)
    }

    /// The language model that an agent means: its own, or the configured one that it names.
    pub fn brain_of(&self, settings: &BrainSettings) -> Result<Arc<dyn Llm>, CatalogueError> {
        match &settings.endpoint {
            None => self.brain(&settings.vendor),
            Some(endpoint) => self
                .endpoints
                .brain(endpoint, &settings.model)
                .map_err(|error| CatalogueError::Unusable { what: "brain", error }),
        }
    }

    /// The synthesiser that an agent means: its own, or the configured one that it names.
    pub fn voice_of(&self, settings: &VoiceSettings) -> Result<Arc<dyn Tts>, CatalogueError> {
        match &settings.endpoint {
            None => self.voice(&settings.vendor),
            Some(endpoint) => {
                self.endpoints.voice(endpoint).map_err(|error| CatalogueError::Unusable { what: "voice", error })
            }
        }
    }

    /// The synthesiser called `name`; empty: the default.
    pub fn voice(&self, name: &str) -> Result<Arc<dyn Tts>, CatalogueError> {
        self.voice.find(name)
    }
}

fn make_ears(name: &str, vendor: &EarsVendor, local: &dyn LocalParts) -> Result<Arc<dyn Asr>, ProviderError> {
    match vendor {
        EarsVendor::Deepgram(config) => Ok(Arc::new(Deepgram::new(name, config.clone())?)),
        EarsVendor::Local(entry) => local.ears(name, entry),
    }
}

fn make_brain(name: &str, vendor: &BrainVendor, local: &dyn LocalParts) -> Result<Arc<dyn Llm>, ProviderError> {
    match vendor {
        BrainVendor::OpenAi(config) => Ok(Arc::new(OpenAiLlm::new(name, config.clone())?)),
        BrainVendor::Script(ScriptEntry {}) => Ok(Arc::new(ScriptLlm::new(name))),
        BrainVendor::Local(entry) => local.brain(name, entry),
    }
}

fn make_voice(name: &str, vendor: &VoiceVendor, local: &dyn LocalParts) -> Result<Arc<dyn Tts>, ProviderError> {
    match vendor {
        VoiceVendor::OpenAi(config) => Ok(Arc::new(OpenAiTts::new(name, config.clone())?)),
        VoiceVendor::Local(entry) => local.voice(name, entry),
    }
}

struct Table<T: ?Sized> {
    what: &'static str,
    vendors: BTreeMap<String, Arc<T>>,
    default: Option<String>,
}

impl<T: ?Sized> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { what: self.what, vendors: self.vendors.clone(), default: self.default.clone() }
    }
}

impl<T: ?Sized> Table<T> {
    fn build<C>(
        what: &'static str,
        configured: &BTreeMap<String, C>,
        default: &str,
        make: impl Fn(&str, &C) -> Result<Arc<T>, ProviderError>,
    ) -> Result<Self, CatalogueError> {
        let mut vendors = BTreeMap::new();
        for (name, config) in configured {
            let vendor = make(name, config).map_err(|error| CatalogueError::Unusable { what, error })?;
            vendors.insert(name.clone(), vendor);
        }
        let obvious = vendors.keys().find(|name| *name == "local").or_else(|| vendors.keys().next());
        let obvious = obvious.filter(|name| *name == "local" || vendors.len() == 1).cloned();
        let default = if default.is_empty() { obvious } else { Some(default.to_owned()) };
        let table = Self { what, vendors, default };
        if let Some(name) = &table.default {
            table.find(name)?;
        }
        Ok(table)
    }

    /// The same table with each vendor behind its breaker and followed by its replacements.
    fn chained(
        self,
        fallback: &BTreeMap<String, Vec<String>>,
        wrap: impl Fn(Chain<T>) -> Arc<T>,
    ) -> Result<Self, CatalogueError> {
        for name in fallback.iter().flat_map(|(name, others)| [name].into_iter().chain(others)) {
            self.find(name)?;
        }
        let link = |vendor: &Arc<T>| Link { vendor: Arc::clone(vendor), breaker: Arc::default() };
        let links: BTreeMap<&String, Link<T>> =
            self.vendors.iter().map(|(name, vendor)| (name, link(vendor))).collect();
        let mut vendors = BTreeMap::new();
        for name in self.vendors.keys() {
            let others = fallback.get(name).into_iter().flatten();
            let chain = [name].into_iter().chain(others).filter_map(|name| links.get(name).cloned()).collect();
            vendors.insert(name.clone(), wrap(Chain::new(name.clone(), chain)));
        }
        Ok(Self { vendors, ..self })
    }

    fn find(&self, name: &str) -> Result<Arc<T>, CatalogueError> {
        let known = || self.vendors.keys().cloned().collect();
        let name = match &self.default {
            Some(default) if name.is_empty() => default,
            None if name.is_empty() => return Err(CatalogueError::NoDefault { what: self.what, known: known() }),
            _ => name,
        };
        let found = self.vendors.get(name).cloned();
        found.ok_or_else(|| CatalogueError::Unknown { what: self.what, name: name.to_owned(), known: known() })
    }
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Catalogue");
        out.field("ears", &self.ears.vendors.keys()).field("brain", &self.brain.vendors.keys());
        out.field("voice", &self.voice.vendors.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
